"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.childRun = childRun;
const batches_1 = require("../../src/core/batches");
const store_1 = require("../../src/adapters/store");
const harvest_1 = require("../../src/adapters/harvest");
const fake_model_1 = require("./fake-model");
const CONTEXT = 32;
/**
 * The run that harvest.test.ts kills or starves of disk: `node harvest-child.js <folder> [rows a shard] [shards]`. With the last word it
 * makes shards up to so many in all, and then stands still in the model until it is killed.
 */
function childRun(folder, shardRows = 512, shards = Infinity) {
    const documents = (0, fake_model_1.fakeDocuments)(300);
    const state = (0, store_1.readState)(folder);
    const kept = state.kind === "none" ? 0 : state.manifest.shards.filter(Boolean).length;
    const plans = (0, batches_1.planShards)((0, batches_1.cutContexts)(documents.map(({ text }) => text.length), CONTEXT), shardRows);
    let left = plans.slice(kept, shards).reduce((sum, { tokens }) => sum + tokens, 0);
    const onRun = (lengths) => {
        left -= lengths.reduce((a, b) => a + b, 0);
        return left < 0 ? new Promise(() => setInterval(() => { }, 1e6)) : undefined; // the timer keeps the process
    };
    return (0, harvest_1.harvest)((0, fake_model_1.fakeModel)({ onRun }), documents, { hooks: ["layers.1", "layers.1.mlp"], folder, context: CONTEXT, batchTokens: 64, shardRows });
}
if (require.main === module) {
    const [folder, ...numbers] = process.argv.slice(2);
    childRun(folder, ...numbers.map(Number)).catch((error) => {
        console.error(`${error.name}: ${error.message}`);
        process.exitCode = 1;
    });
}
//# sourceMappingURL=harvest-child.js.map