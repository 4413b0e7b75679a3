import { cutContexts, planShards } from "../../src/core/batches";
import { readState } from "../../src/adapters/storestate";
import { harvest } from "../../src/adapters/harvest";
import { fakeDocuments, fakeModel } from "./fake-model";

const CONTEXT = 32;

/**
 * The run that harvest.test.ts kills or starves of disk: `node harvest-child.js <folder> [rows a shard] [shards]`. With the last word it
 * makes shards up to so many in all, and then stands still in the model until it is killed.
 */
export function childRun(folder: string, shardRows = 512, shards = Infinity) {
  const documents = fakeDocuments(300);
  const state = readState(folder);
  const kept = state.kind === "none" ? 0 : state.manifest.shards.filter(Boolean).length;
  const plans = planShards(cutContexts(documents.map(({ text }) => text.length), CONTEXT), shardRows);
  let left = plans.slice(kept, shards).reduce((sum, { tokens }) => sum + tokens, 0);
  const onRun = (lengths: number[]) => {
    left -= lengths.reduce((a, b) => a + b, 0);
    return left < 0 ? new Promise(() => setInterval(() => {}, 1e6)) : undefined; // the timer keeps the process
  };
  return harvest(fakeModel({ onRun }), documents, { hooks: ["layers.1", "layers.1.mlp"], folder, context: CONTEXT, batchTokens: 64, shardRows });
}

if (require.main === module) {
  const [folder, ...numbers] = process.argv.slice(2);
  childRun(folder, ...numbers.map(Number)).catch((error: Error) => {
    console.error(`${error.name}: ${error.message}`);
    process.exitCode = 1;
  });
}
