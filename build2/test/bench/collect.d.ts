/**
 * Tokens a second of `collect`, beside those of the encoder alone over the same chunks (what no collection can be faster
 * than), by turns; medians of five. Memory: the process's peak growth while collecting, above what it held before.
 */
export declare function benchCollect(): Promise<object>;
