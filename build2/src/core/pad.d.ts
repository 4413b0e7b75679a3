import type { Pass } from "./feeds";
/** Between the padded rows of a pass and those of its tokens, text after text. A pattern is [B, H, T, S]; columns that hold nothing go. */
/** @param data [B·T, w], or of a pattern [B, H, T, S] */
export declare function withoutPadding(data: Float32Array, pass: Pass, heads?: number): Float32Array;
/** The other way: rows of tokens → padded, what was there before where there is no token. */
export declare function withPadding(rows: Float32Array, before: Float32Array, pass: Pass, heads?: number): Float32Array;
