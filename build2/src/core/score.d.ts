import type { Firings } from "./collect";
import type { Pieces } from "./pieces";
import type { ranking } from "./ranking";
import type { Document } from "./types";
/**
 * How well a latent's activation tells the sentences of one label from all others, beside what a reader would have got
 * without it.
 *
 *   documents -sentencesOf-> Sentences -rowSentences-> rows of each -pooling-> scores of a latent -ranking-> AUROC
 *
 * Everything that is chosen (latent and pooling, direction, word, sign) is chosen on training documents and measured on
 * held-out ones. Ranks are in core/ranking, what a latent is held against in core/controls.
 */
export declare const POOLINGS: readonly ["mean", "max", "first five"];
export type Pooling = (typeof POOLINGS)[number];
/** Rows of the pooling "first five". */
export declare const FIRST = 5;
/** The units that are scored: one a span, spans of equal bounds together. */
export interface Sentences {
    labels: string[];
    count: number;
    document: Int32Array;
    mask: Int32Array;
    heldout: Uint8Array;
    first: Int32Array;
    tokens: Int32Array;
    relative: Float32Array;
    start: Int32Array;
    end: Int32Array;
    /** Sentence of every token of every document; −1: none. */
    ofToken: Int32Array[];
}
/**
 * Sentences of labelled documents. A token belongs to the sentence that holds its first character that is not white
 * space; where sentences overlap, to the one that begins last.
 * @param offsets UTF-16 offsets of all tokens of a document, dropped ones included
 * @param side of each document
 * @param wanted labels; when absent all that occur, most frequent first
 * @throws OptionError for more labels than a mask of 32 bits holds
 */
export declare function sentencesOf(documents: Document[], offsets: (document: number) => {
    start: Int32Array;
    end: Int32Array;
}, side: ("train" | "heldout")[], wanted?: string[]): Pieces<Sentences>;
/**
 * Where each row falls: its sentence (−1: none), its number among the sentence's rows, and how many rows each sentence
 * has.
 */
export interface RowSentences {
    sentence: Int32Array;
    ordinal: Int32Array;
    rows: Int32Array;
}
export declare function rowSentences(sentences: Sentences, document: Int32Array, position: Int32Array): RowSentences;
/** Labels that all sentences with rows of one side carry, or that none of them does. */
export declare function oneSidedLabels({ labels, count, mask, heldout }: Sentences, { rows }: RowSentences): string[];
/** The same sentences, some labels forgotten. */
export declare function withoutLabels(sentences: Sentences, without: string[]): Sentences;
/** Sentence scores of one latent, all poolings; sentences on which it does not fire are left out. */
export interface Pooled {
    count: number;
    item: Int32Array;
    scores: Float32Array[];
}
/** Pools firings by sentence. @param number of each sentence among those that count, −1: it does not */
export declare function pooling(rows: RowSentences, number: Int32Array): (firings: Firings, latent: number) => Pooled;
/**
 * AUROC of latents × poolings for all labels: out[l][(latent)·3 + pooling], filled for the latents of the firings.
 * Sentences on which a latent does not fire are one group of ties.
 */
export declare function scoreLatents(firings: Firings, pool: ReturnType<typeof pooling>, ranks: ReturnType<typeof ranking>, out: Float32Array[]): Pieces<void>;
