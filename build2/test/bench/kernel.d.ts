export declare function benchKernel({ rounds }?: {
    rounds?: number;
}): Promise<object>;
