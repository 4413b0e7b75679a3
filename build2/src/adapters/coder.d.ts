import type { Sparse } from "../core/types";
import { DT, type Engine, type Id } from "./tensorflow";
/**
 * Encoding and decoding with TensorFlow's stock kernels, only the k chosen latents being decoded. F latents, rows of width
 * d, n rows.
 *
 *   v = ReLU(TopK(W_enc·(x − b_dec) + b_enc))      x̂ = W_decᵀ·v + b_dec
 */
/** What is trained: W_enc [F, d], b_enc [F], W_dec [F, d], b_dec [d]. Gradients and Adam's moments have the same shapes. */
export interface Parameters {
    wEnc: Float32Array;
    bEnc: Float32Array;
    wDec: Float32Array;
    bDec: Float32Array;
}
/** What is chosen by measurement; it changes rounding, so it is written into the checkpoint. */
export interface Choice {
    /** "bf16": the encoder product picks latents in bfloat16, their values are then computed in float32. */
    precision: "f32" | "bf16";
    /**
     * Group sizes of the top-k: [] is one TopKV2; [16] takes the k best groups of 16 first. The result is the same, ties
     * included.
     */
    groups: number[];
    /** Rows decoded at a time: k·d·chunk floats should fit the cache. */
    chunk: number;
}
/**
 * Group sizes to try for the k largest of `columns`: each level keeps k groups of G, so G must divide, and k groups must be
 * a gain.
 */
export declare function groupings(columns: number, k: number): number[][];
/** Without a measurement: the group size near √(F/k), where both levels have as much to do. */
export declare function defaultGroups(columns: number, k: number): number[];
/**
 * Columns that follow the d of x: the first holds ones and carries the bias, the others keep rows of the product aligned.
 */
export declare const PADDING = 8;
/**
 * [W_enc | b_enc | 0 …] of shape [F, d + 8]: the encoder's bias as a column, so that the product adds it and its gradient
 * comes with W_enc's.
 */
export declare function withBias(wEnc: Float32Array, bEnc: Float32Array, d: number): Float32Array;
export declare function withoutBias(packed: Float32Array, d: number): {
    wEnc: Float32Array;
    bEnc: Float32Array;
};
/** The chosen latents of rows: [n, k] each. */
export interface Chosen {
    value: Id;
    index: Id;
}
interface Sizes {
    n: number;
    d: number;
    k: number;
    chunk: number;
}
/** Pieces of the forward pass on tensors; all of them are to be called inside `tidy`. */
export declare function forward(engine: Engine): {
    K: {
        scalar: (value: number) => Id;
        int: (value: number) => Id;
        ints: (...values: number[]) => Id;
        relu: (x: Id) => Id;
        square: (x: Id) => Id;
        rsqrt: (x: Id) => Id;
        mul: (a: Id, b: Id) => Id;
        add: (a: Id, b: Id) => Id;
        sub: (a: Id, b: Id) => Id;
        squaredDifference: (a: Id, b: Id) => Id;
        addInts: (a: Id, b: Id) => Id;
        subInts: (a: Id, b: Id) => Id;
        mulInts: (a: Id, b: Id) => Id;
        divideInts: (a: Id, b: Id) => Id;
        negateInts: (x: Id) => Id;
        reluGrad: (gradient: Id, y: Id) => Id;
        cast: (x: Id, from: import("./tensorflow").Dtype, to: import("./tensorflow").Dtype) => Id;
        matMul: (a: Id, b: Id, { transposeA, transposeB, dtype }?: {
            dtype?: import("./tensorflow").Dtype | undefined;
            transposeA?: boolean | undefined;
            transposeB?: boolean | undefined;
        }) => Id;
        batchMatMul: (a: Id, b: Id, transposeB?: boolean) => Id;
        reshape: (x: Id, shape: number[], dtype?: import("./tensorflow").Dtype) => Id;
        slice: (x: Id, begin: number[], size: number[], dtype?: import("./tensorflow").Dtype) => Id;
        concat: (parts: Id[], axis: number) => Id;
        gather: (x: Id, index: Id, { batchDims, dtype }?: {
            batchDims?: number | undefined;
            dtype?: import("./tensorflow").Dtype | undefined;
        }) => Id;
        sum: (x: Id, axes: number[], keepDims?: boolean) => Id;
        max: (x: Id, axis: number, dtype?: import("./tensorflow").Dtype) => Id;
        topK: (x: Id, k: number, dtype?: import("./tensorflow").Dtype) => Id[];
        keepLargest(x: Id, k: number, n: number): Id;
        segmentSum: (x: Id, segments: Id, count: number) => Id;
        addToRows: (x: Id, index: Id, updates: Id) => Id;
        scatterProduct(entries: Id, values: Id, shape: Id, dense: Id): Id;
        entries(index: Id, n: number, k: number, columns: number): {
            entries: Id;
            shape: Id;
        };
        eigen(x: Id): Id[];
        variable(data: Float32Array, shape: number[]): Id;
        read: (variable: Id) => Id;
        assign: (variable: Id, value: Id) => void;
        destroy(variable: Id): void;
        adam(variable: Id, m: Id, v: Id, gradient: Id, t: number, learningRate: number): void;
    };
    centred: (x: Id, bDec: Id, n: number) => {
        xc: Id;
        xa: Id;
    };
    topK: (pre: Id, n: number, columns: number, k: number, groups: number[], dtype?: typeof DT.f32 | typeof DT.bf16) => Chosen;
    encode: (xa: Id, we: Id, size: {
        n: number;
        d: number;
        latents: number;
        k: number;
    }, choice: Choice) => Chosen;
    decode: ({ value, index }: Chosen, wd: Id, target: Id, scale: number, { n, d, k, chunk }: Sizes) => {
        e: Id;
        g: Id;
    };
    rebuild: ({ value, index }: Chosen, wd: Id, { n, d, k, chunk }: Sizes) => Id;
};
/** What encoding and decoding need; `packed` is [W_enc | b_enc | 0 …]. */
export interface Coder {
    d: number;
    latents: number;
    k: number;
    packed: Float32Array;
    wDec: Float32Array;
    bDec: Float32Array;
}
export declare const coder: (d: number, latents: number, k: number, { wEnc, bEnc, wDec, bDec }: Parameters) => Coder;
/**
 * Encodes rows in chunks with stock kernels, in float32.
 * @throws RangeError when x is not whole rows; OptionError when k is out of range, or x or the weights are not finite
 */
export declare function encodeRows(engine: Engine, sae: Coder, x: Float32Array, { k, only }?: {
    k?: number;
    only?: Int32Array;
}): Sparse;
/** Decodes in chunks with stock kernels. @throws RangeError when an index is out of range or the arrays do not fit */
export declare function decodeRows(engine: Engine, sae: Coder, { n, k, index, value }: Sparse): Float32Array;
export {};
