import type { Model } from "../../src/core/types";
/**
 * A model that is a formula: one token a UTF-16 unit, rows that depend on token and position within the context alone, so that every row of a store can be foretold.
 * Position 0 is an attention sink (100 × longer), the character § one in the middle of a text (50 × longer).
 */
export declare const WIDTH = 8;
export declare const SINK: number;
export declare function fakeRow(hook: string, id: number, position: number): Float32Array;
export interface FakeOptions {
    hash?: string;
    /** Milliseconds a forward pass takes. */
    delay?: number;
    /** Called before each pass with the lengths of its texts; the pass waits for what it returns. */
    onRun?: (lengths: number[]) => unknown;
    /** Token whose rows are not finite. */
    poison?: number;
}
export declare function fakeModel({ hash, delay, onRun, poison }?: FakeOptions): Model;
/** Documents of unequal lengths, some longer than a context, from a seed. */
export declare function fakeDocuments(count: number, seed?: number): {
    id: string;
    text: string;
    spans: never[];
}[];
