import type { Document } from "./types";
/**
 * One whole document, as it reads: its labelled sentences marked, or its tokens shaded by a latent, or both.
 * A sentence is marked by a bar in the colour of its label and by the label's letter, so that it reads without colour
 * too.
 */
export interface TraceView {
    id: string;
    /** The whole text in pieces: tokens where `values` are there, any pieces else. */
    pieces: {
        text: string;
        value?: number;
        label?: string;
        begins?: boolean;
    }[];
    labels: {
        name: string;
        letter: string;
        color: [number, number, number];
        sentences: number;
    }[];
    latent?: {
        number: number;
        max: number;
    };
}
/** A letter for each label: its own first one where that is free, else another of its letters, else a number. */
export declare function lettersOf(labels: string[]): string[];
/**
 * @param labels in the order of their colours; those of the document, by first appearance, when absent
 * @param tokens offsets and a latent's activation at each token, for the shaded kind
 */
export declare function traceView(document: Document, labels?: string[], tokens?: {
    start: ArrayLike<number>;
    end: ArrayLike<number>;
    values: ArrayLike<number>;
    latent: number;
    max: number;
}): TraceView;
/** Survives JupyterLab's sanitiser unchanged. */
export declare function traceHtml({ id, pieces, labels, latent }: TraceView): string;
/** The same for a terminal: letters in brackets where a sentence begins. */
export declare function traceText({ id, pieces, labels, latent }: TraceView, color?: boolean): string;
