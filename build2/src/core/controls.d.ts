import type { Pieces } from "./pieces";
import { type Random } from "./random";
import type { ranking } from "./ranking";
import type { Sentences } from "./score";
/** What a latent is held against: words, random directions, the difference of means, a probe, a text model. */
/** x ← H x, H the Walsh–Hadamard matrix of ±1, in place: n log₂ n additions, two levels a pass. @param n a power of two */
export declare function walshHadamard(x: Float32Array, n?: number): void;
/**
 * Random dense directions: vectors of independent signs ± 1/√d, made in blocks H·diag(signs), so that a row meets a
 * whole block at the price of one fast transform. Each direction by itself is uniform over all sign vectors.
 */
export declare function randomDirections(d: number, count: number, rng: Random): {
    size: number;
    blocks: number;
    count: number;
    /** The products of the row at x[at …] with the directions of a block, into out[0 … size). */
    project(block: number, x: Float32Array, at: number, out: Float32Array): void;
    direction(index: number): Float32Array;
};
/**
 * Logistic regression, one output a label, on dense standardised columns: Adam over shuffled batches, step falling to 0,
 * with a little L2.
 * @param x [any, d] @param rows which of them to learn from, [n] @param mask labels of each of these
 * @returns score of any vectors, [vectors] for a label
 */
export declare function logisticProbe(x: Float32Array, d: number, rows: Int32Array, mask: Int32Array, labels: number, rng: Random): Pieces<(vectors: Float32Array, label: number) => Float32Array>;
/** Words of a text, in lower case: what a reader would look for. */
export declare const wordsOf: (text: string) => string[];
/**
 * Logistic regression on the presence of words and pairs of neighbouring words, one output a label: what the text alone
 * gives. Stochastic gradient steps scaled by each weight's own history (AdaGrad), ten times over the training sentences.
 */
export declare function textModel(texts: string[], mask: Int32Array, labels: number, rng: Random): Pieces<(text: string) => Float64Array>;
/** Mean of the positives minus mean of the others. */
export declare function classDifference(means: Float32Array, d: number, of: Int32Array, positive: Int32Array): Float32Array;
/**
 * For each label the token (by its id) or word whose presence, or whose absence, tells it best.
 * @param texts of all sentences @param tokenIds of all documents
 * @param of the sentences to choose by, in the order of `ranks`
 * @returns for each label that sign, how many were searched, and 1 or 0 of every sentence
 */
export declare function bestKeywords(sentences: Sentences, texts: string[], tokenIds: Int32Array[], of: Int32Array, ranks: ReturnType<typeof ranking>): Pieces<{
    key: number | string;
    absent: boolean;
    searched: number;
    scores: Float32Array;
}[]>;
