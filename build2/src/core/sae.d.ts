import type { SaeWeights, Sparse } from "./types";
/**
 * A top-k sparse autoencoder in plain loops with float64 sums: slow, obvious, and what every faster step is held against.
 *
 *   v = TopK(ReLU(W_enc·(x − b_dec) + b_enc))      x̂ = W_decᵀ·v + b_dec
 *
 * @see sparsify 1.3, sparse_coder.py: the same order of operations (ReLU, then top-k)
 */
/**
 * @param x rows [n, d], in the model's own units
 * @returns the k largest latents of each row, larger first, ties by smaller index
 * @throws RangeError if x is not whole rows of width d
 */
export declare function encode({ d, latents, k, wEnc, bEnc, bDec }: SaeWeights, x: Float32Array): Sparse;
/** @returns x̂ [n, d] */
export declare function decode({ d, wDec, bDec }: SaeWeights, { n, k, index, value }: Sparse): Float32Array;
/** Number of rows of width d in x. @throws RangeError if the last one is not whole */
export declare function wholeRows(x: Float32Array, d: number): number;
