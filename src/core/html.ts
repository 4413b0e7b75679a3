/**
 * Pieces that all views share. What they make lives in pages that strip <style>, <script>, <svg> and data-*, so every
 * look is an inline style, every colour is either the page's own or laid over it half transparent, and the meaning stays
 * when the styles go.
 */

const ENTITIES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Text as HTML, for element content and for attributes in double quotes. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"]/g, (character) => ENTITIES[character]);

/** Three significant digits, without an exponent between 0.001 and a million: 7.31, 0.0412, 1,204. */
export function short(x: number): string {
  if (!Number.isFinite(x)) return x === Infinity ? "∞" : x === -Infinity ? "−∞" : "–";
  const size = Math.abs(x);
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-3) return x.toExponential(1).replace("e+", "e").replaceAll("-", "−");
  if (size >= 100) return Math.round(x).toLocaleString("en").replace("-", "−");
  return x.toPrecision(3).replace("-", "−");
}

/** A share as percent: 0.41 %, 12 %, < 0.001 %. */
export function percent(share: number): string {
  if (share > 0 && share < 1e-5) return "< 0.001 %";
  const x = share * 100;
  return `${x === 0 ? "0" : x >= 99.5 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toPrecision(2)} %`;
}

/** A probability as short writes it; what float32 holds as zero, or nearly, is not none: < 1.0e−30. */
export const smallShare = (p: number): string => (p < 1e-30 ? `< ${short(1e-30)}` : short(p));

/** A stretch of time: 4.2 s, 54 s, 12 min 5 s, 3.2 h; nothing where it is not known. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return seconds < 5400 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${(seconds / 3600).toFixed(1)} h`;
}

export const count = (n: number): string => n.toLocaleString("en");

export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** Warm orange of the heat maps, over the page's own background. @param t 0 … 1 */
export const shade = (t: number): string => `rgba(255,140,26,${t.toFixed(2)})`;

export const MONO = "ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace";
export const SANS = "system-ui,-apple-system,Segoe UI,Roboto,sans-serif";
/** What stands below or beside: notes, legends. */
export const SMALL = "font-size:12px;opacity:0.85";
/** A table without the page's own lines, and a row of it without its stripes. */
export const PLAIN_TABLE = "border-collapse:collapse;border:0";
export const ROW = '<tr style="background:transparent">';
/** Text as it stands, without the page's own frame. */
export const PLAIN_PRE = `padding:0;border:0;background:transparent;font-family:${MONO}`;
export const RULE = "1px solid rgba(128,128,128,0.35)";

/** Round what was found of a latent: a verdict, "dense". */
export const BADGE = `border:${RULE};border-radius:3px;padding:0 0.4em`;

/** Classes that keep MathJax (2 and 3) from taking a dollar sign for mathematics. */
export const PLAIN = "mathjax_ignore tex2jax_ignore";

/** 24-bit ANSI colours and attributes of a terminal; as plain text when colour is off. */
export const ansi =
  (on: boolean) =>
  (codes: string, text: string): string =>
    on && codes && text ? `\u001b[${codes}m${text}\u001b[0m` : text;

/** Columns a text takes in a terminal: by characters, wide ones (East Asian, emoji) as two. */
export function columns(text: string): number {
  let width = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    width +=
      code >= 0x1100 &&
      /\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

export const padStart = (text: string, width: number): string => " ".repeat(Math.max(0, width - columns(text))) + text;
export const padEnd = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - columns(text)));
