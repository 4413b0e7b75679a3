/**
 * Pieces that all views share. What they make lives in pages that strip <style>, <script>, <svg> and data-*, so every
 * look is an inline style, every colour is either the page's own or laid over it half transparent, and the meaning stays
 * when the styles go.
 */
/** Text as HTML, for element content and for attributes in double quotes. */
export declare const escapeHtml: (text: string) => string;
/** Three significant digits, without an exponent between 0.001 and a million: 7.31, 0.0412, 1,204. */
export declare function short(x: number): string;
/** A share as percent: 0.41 %, 12 %, < 0.001 %. */
export declare function percent(share: number): string;
export declare const count: (n: number) => string;
/** Warm orange of the heat maps, over the page's own background. @param t 0 … 1 */
export declare const shade: (t: number) => string;
export declare const MONO = "ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace";
export declare const SANS = "system-ui,-apple-system,Segoe UI,Roboto,sans-serif";
export declare const RULE = "1px solid rgba(128,128,128,0.35)";
/** Classes that keep MathJax (2 and 3) from taking a dollar sign for mathematics. */
export declare const PLAIN = "mathjax_ignore tex2jax_ignore";
/** 24-bit ANSI colours and attributes of a terminal; as plain text when colour is off. */
export declare const ansi: (on: boolean) => (codes: string, text: string) => string;
/** Columns a text takes in a terminal: by characters, wide ones (East Asian, emoji) as two. */
export declare function columns(text: string): number;
export declare const padStart: (text: string, width: number) => string;
export declare const padEnd: (text: string, width: number) => string;
