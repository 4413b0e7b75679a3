import { type Pieces } from "./pieces";
import type { Example, Feature, Sparse } from "./types";
/**
 * Sparse codes of a corpus → what each latent fires on.
 *
 *   rows -encode-> codes [n, k] -statistics-> density, mean, maximum, histogram of each latent
 *   codes -invert-> firings of each latent, in row order -choose-> top, quantile and random examples with their contexts
 *
 * The codes are turned over in blocks of latents, so that memory is bounded by the block and by latents × examples.
 */
/** Bins of an activation histogram: four to an octave, 2^-16 … 2^16; what lies outside falls into the first or last one. */
export declare const BINS = 128;
/** Lower edge of a bin: 2^⌊b/4 − 16⌋ · (1 + (b mod 4)/4). `binEdge(BINS)` is the end of the last one. */
export declare const binEdge: (bin: number) => number;
/** Measures of every latent over the rows seen. */
export interface LatentStatistics {
    rows: number;
    latents: number;
    fired: Int32Array;
    mean: Float32Array;
    max: Float32Array;
    histogram: Int32Array;
}
/** Counts chunk after chunk of codes. A value of 0 or less is no firing, whatever its index. */
export declare function latentStatistics(latents: number): {
    add(codes: Sparse): void;
    finish(): LatentStatistics;
};
/** The bins that hold something, as `Feature.histogram`; empty for a latent that never fires. */
export declare function histogramOf(counts: Int32Array): Feature["histogram"];
/**
 * Firings of latents `from` … `to`: those of latent f are entries `offset[f − from]` … `offset[f − from + 1]`, rows
 * ascending.
 */
export interface Firings {
    from: number;
    to: number;
    offset: Int32Array;
    row: Int32Array;
    value: Float32Array;
}
/** Ranges of latents whose firings fit into memory together. A latent that alone exceeds the bound has a range of its own. */
export declare function latentBlocks(fired: Int32Array, entries?: number): {
    from: number;
    to: number;
}[];
/**
 * Room for the firings of latents `from` … `to`, filled by adding all chunks of codes in row order.
 * @param fired of every latent, over the same codes
 */
export declare function firingsOf(fired: Int32Array, from: number, to: number): {
    firings: Firings;
    add(firstRow: number, codes: Sparse): void;
};
/** Where each row comes from: [n] each; rows of a document lie together, positions ascending. */
export interface RowOrigins {
    document: Int32Array;
    position: Int32Array;
    token: Int32Array;
}
export interface ChooseOptions {
    examples: number;
    context: number;
    perQuantile: number;
    random: number;
    seed: number;
}
/** Groups of examples, in the order in which they are numbered and stored. */
export declare const GROUPS: string[];
/** One firing chosen to be shown. */
export interface Choice {
    group: number;
    /** Entry of the firings. */
    entry: number;
    count: number;
}
/**
 * Examples and token measures of a range of latents as flat arrays; those of latent f are examples `offset[f]` …
 * `offset[f + 1]`.
 */
export interface ExampleArrays {
    offset: Int32Array;
    group: Int32Array;
    count: Int32Array;
    document: Int32Array;
    position: Int32Array;
    peak: Int32Array;
    goesOn: Int32Array;
    start: Int32Array;
    tokens: Int32Array;
    values: Float32Array;
}
/**
 * Entries of each latent by value, larger first, then by row: those of latent f at offset[f − from] … offset[f − from +
 * 1]. Radix sort, three digits of 11 bits from the lowest on: the bits of a positive float32 sort as it does, and each
 * pass keeps the order of equals.
 */
export declare function bySize({ offset, value }: Firings): Pieces<Int32Array>;
/**
 * Which firings of a latent to show: the strongest peaks, near-duplicates folded into the first of them (`count` counts
 * those at least as strong as the last example kept); then, at random, some firings of each quarter of its activations,
 * strongest quarter first, and some of all. Ties: larger value first, then the earlier row.
 * @param order entries by size, as {@link bySize} gives them
 */
export declare function choose(firings: Firings, latent: number, origin: RowOrigins, options: ChooseOptions, order?: Int32Array<ArrayBufferLike>): Choice[];
/**
 * The context of a firing: up to `context` tokens on either side, with the latent's activation at each. Tokens whose
 * rows were dropped from the store carry 0.
 * @param documentTokens all token ids of the firing's document
 */
export declare function contextOf(firings: Firings, latent: number, choice: Choice, origin: RowOrigins, documentTokens: Int32Array, context: number): Example;
/** Examples of all latents of a block; each document's tokens are asked for once. */
export declare function blockExamples(firings: Firings, origin: RowOrigins, tokensOf: (document: number) => Int32Array, options: ChooseOptions, order?: Int32Array<ArrayBufferLike>): Pieces<ExampleArrays>;
/** Blocks one after the other as one. */
export declare function joinExamples(blocks: ExampleArrays[]): ExampleArrays;
/** How a latent's activation is spread over tokens of the vocabulary. */
export interface TokenSpread {
    entropy: Float32Array;
    distinct: Int32Array;
    token: Int32Array;
    tokenMean: Float32Array;
}
export declare const TRIGGERS = 5;
/** @param vocabulary one more than the largest token id */
export declare function tokenSpread(firings: Firings, token: Int32Array, vocabulary: number, order?: Int32Array<ArrayBufferLike>): Pieces<TokenSpread>;
