import type { Range } from "./split";
/**
 * Which rows are attention sinks and are left out: the first position of a context, or a norm far over the usual.
 * @see Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762
 */
export interface SinkRules {
    /** Whether first positions are dropped. */
    dropFirst: boolean;
    /** Rows over so many times the median norm of their hook are dropped; false: none. */
    dropNorm: number | false;
}
/**
 * Largest norm a row of a hook may have: dropNorm × the median, taken without first positions where they are dropped.
 * @param norms of the hook's rows
 * @param isFirst 1 for the first position of a context
 * @returns null when any norm will do: no rule, no rows to take a median of, or a hook that gives zeros
 */
export declare function normLimit(norms: Float64Array, isFirst: Uint8Array, { dropFirst, dropNorm }: SinkRules): number | null;
export interface Kept {
    /** Rows that stay, in ascending runs with gaps between them. */
    runs: Range[];
    /** How many rows do not, by the first rule that says so. */
    dropped: {
        first: number;
        norm: number;
    };
}
/**
 * Rows that stay. A row that is a sink at one hook is dropped from all, as rows of all hooks lie side by side.
 * @param norms of each hook's rows, [hooks][≥ rows]
 * @param limits of each hook, as normLimit gives them
 * @param isFirst [rows]
 */
export declare function keptRows(norms: Float64Array[], limits: (number | null)[], isFirst: Uint8Array, dropFirst: boolean): Kept;
/**
 * Moves the rows that stay to the front, in place.
 * @param x rows of `width` numbers
 * @returns x as far as it holds them
 */
export declare function closeGaps<Rows extends Float32Array | Int32Array>(x: Rows, width: number, runs: Range[]): Rows;
