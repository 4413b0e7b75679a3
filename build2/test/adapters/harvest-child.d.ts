/**
 * The run that harvest.test.ts kills or starves of disk: `node harvest-child.js <folder> [rows a shard] [shards]`. With the last word it
 * makes shards up to so many in all, and then stands still in the model until it is killed.
 */
export declare function childRun(folder: string, shardRows?: number, shards?: number): Promise<import("../../src").Store>;
