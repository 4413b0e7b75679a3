import type { Write } from "../../src/core/types";
/**
 * A decoder in plain loops, float64, one text at a time, after the equations of the families' papers: what the graphs are held to.
 * Rows are arrays, one a token; every place is passed through `tap`, which makes the writes and keeps what is read.
 */
export interface Linear {
    out: number;
    in: number;
    w: Float64Array;
    b?: Float64Array;
}
export interface Norm {
    kind: "rms" | "layer";
    w: Float64Array;
    b?: Float64Array;
}
export interface PlainBlock {
    attnNorm?: Norm;
    attnPostNorm?: Norm;
    mlpNorm?: Norm;
    mlpPostNorm?: Norm;
    q: Linear;
    k: Linear;
    v: Linear;
    o: Linear;
    qNorm?: Norm;
    kNorm?: Norm;
    gate?: Linear;
    up: Linear;
    down: Linear;
    window: number;
    rope?: PlainRope;
}
export interface PlainRope {
    rotated: number;
    /** Angle by position, of each pair (j, j + R/2), for a text of so many tokens. */
    frequencies(length: number): Float64Array;
    /** Factor on cos and sin. */
    attention: number;
}
export interface PlainModel {
    heads: number;
    kvHeads: number;
    headDim: number;
    epsilon: number;
    scale: number;
    scoreCap: number;
    logitCap: number;
    act: (x: number) => number;
    /** Attention and MLP read the same stream. */
    parallel: boolean;
    /** The embedding's module gives other rows than where the stream starts. */
    token: boolean;
    embed: Float64Array[];
    embedScale: number;
    positions?: Float64Array[];
    blocks: PlainBlock[];
    norm: Norm;
    head: Linear;
}
type Rows = Float64Array[];
export interface PlainResult {
    /** By our names: rows of each token; of a pattern, one row of all numbers [heads, query, key]. */
    places: Map<string, Rows>;
    /** Least distance between the last latent that an SAE kept and the next, over all rows: where it is small, rounding decides. */
    gap: number;
}
/** A text's number in the batch, where its rows begin among those of all, and how many of its tokens were given: all by default. */
export interface PlainText {
    index: number;
    from: number;
    prompt?: number;
}
export declare function runPlain(m: PlainModel, ids: number[], writes: Write[], text: PlainText): PlainResult;
/** A function of one number as an edit, which a plain model can apply to a row of its own. */
export declare function elementwise(f: (x: number) => number): Extract<Write, {
    edit: unknown;
}>["edit"];
export {};
