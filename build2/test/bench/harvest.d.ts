export interface BenchOptions {
    threads?: number;
    model?: string;
    texts?: string;
    hook?: string;
}
/**
 * Harvesting the embedded corpus through tiny-reasoner, against the same batches run and thrown away: tokens a second, in turns, medians.
 * The difference is what cutting into tokens, hashing, checking, sorting rows and writing them cost.
 */
export declare function benchHarvest(options?: BenchOptions): Promise<object>;
