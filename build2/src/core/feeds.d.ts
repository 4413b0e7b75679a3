import { type Value } from "./onnx";
/** What goes into a session: one array by name. */
export interface Feed {
    type: "float32" | "int32" | "int64" | "bool" | "float16";
    data: Float32Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array;
    dims: number[];
}
/** One pass over a right-padded batch, some tokens of each text being in the cache already. */
export interface Pass {
    ids: ArrayLike<number>[];
    lengths: number[];
    batch: number;
    tokens: number;
    /** Tokens of each text that are in the cache. */
    past: number[];
    /** Tokens of each text that were given rather than written. */
    prompt: number[];
    /** Number of each text among all that were given. */
    index: number[];
    /** Where the rows of each text begin among those of all tokens that were given, and how many these are; absent while texts grow. */
    rows?: {
        from: number[];
        all: number;
    };
    /** Position that each column of a decomposed cache holds, of each text; −1 for padding. The last T columns are this pass's. */
    columns: Int32Array[];
    /** Rows lie as [N, w] in the graph, not as [B, T, w]. */
    flat: boolean;
}
/** A batch that is the first pass of its texts. */
export declare function firstPass(ids: ArrayLike<number>[], rest?: Partial<Pass>): Pass;
/** The pass after `before`, of one more token each; texts that are done stay where they are, for the context may end there. */
export declare function nextPass(before: Pass, ids: ArrayLike<number>[], done: boolean[]): Pass;
/** Longest of all texts with what came before: what tables and the cache must reach. */
export declare const reach: ({ past, tokens }: Pass) => number;
/**
 * The inputs of a graph for a pass, by name and type; those of the cache, of tables and of writes are others' to give.
 * Exports of the hub ask for `input_ids`, `attention_mask` and `position_ids`; ours for what core/build says.
 */
export declare function standardFeeds(inputs: Value[], pass: Pass): Record<string, Feed>;
