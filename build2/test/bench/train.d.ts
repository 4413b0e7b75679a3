export declare function benchTrain(): Promise<Record<string, unknown>>;
