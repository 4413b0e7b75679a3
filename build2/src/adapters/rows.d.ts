import { type Random } from "../core/random";
import type { Range } from "../core/split";
import type { Store } from "../core/types";
/** Rows of a store, in order for measuring and in random order for training. Ranges are those of `rowsOf`. */
export declare const rowCount: (ranges: Range[]) => number;
/** The first `total` rows of the ranges in pieces of `size` rows, [≤ size, d] each; short ranges are joined. */
export declare function chunks(store: Store, hook: string, ranges: Range[], size: number, total?: number): Generator<Float32Array>;
/** @throws StoreError when a number among rows that were read is NaN or infinity */
export declare function requireFinite(rows: Float32Array, store: Store, hook: string): void;
/** Rows at these places of the ranges (ascending, counted over all ranges), [places, d]. */
export declare function rowsAt(store: Store, hook: string, ranges: Range[], places: Uint32Array): Float32Array;
/** `count` rows drawn without repetition, in the store's order; all when there are not more. */
export declare const sampleRows: (store: Store, hook: string, ranges: Range[], count: number, rng: Random) => Float32Array;
/**
 * What of the rows is held in memory while they are shuffled. Fixed, as the order depends on it: the same seed must give
 * the same order anywhere.
 */
export declare const SHUFFLE_BYTES: number;
export interface Shuffled {
    /**
     * "memory": all rows are held, each pass in an order of its own. "blocks": blocks in random order go through a buffer
     * that is drawn from.
     */
    kind: "memory" | "blocks";
    /** Fills a batch [n, d] with the next rows, times `scale`. */
    next(batch: Float32Array): void;
}
/**
 * Endless rows in random order, pass after pass.
 * @throws StoreError from `next` when a row holds NaN or infinity
 */
export declare function shuffled(store: Store, hook: string, ranges: Range[], scale: number, rng: Random, bytes?: number): Shuffled;
