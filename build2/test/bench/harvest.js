"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.benchHarvest = benchHarvest;
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_perf_hooks_1 = require("node:perf_hooks");
const harvest_1 = require("../../src/adapters/harvest");
const model_1 = require("../../src/adapters/model");
const texts_1 = require("../../src/adapters/texts");
const batches_1 = require("../../src/core/batches");
const ROOT = (0, node_path_1.join)(__dirname, "..", "..", "..");
const MODEL = (0, node_path_1.join)(ROOT, "data", "tiny-reasoner");
const TEXTS = (0, node_path_1.join)(ROOT, "data", "reasoning", "corpus.jsonl");
const HOOK = "layers.2";
const TOKENS = 100_000; // a turn: a few seconds
const ROUNDS = 5;
/** The first documents that have so many tokens together. */
function some(documents, model) {
    const tokens = [];
    for (let i = 0, sum = 0; i < documents.length && sum < TOKENS; i++) {
        tokens.push(model.tokenizer.encode(documents[i].text));
        sum += tokens[i].ids.length;
    }
    return { documents: documents.slice(0, tokens.length), tokens };
}
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
async function timed(into, work) {
    const begin = node_perf_hooks_1.performance.now();
    const used = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(used);
    into.cpu.push((user + system) / 1e6);
    into.seconds.push((node_perf_hooks_1.performance.now() - begin) / 1000);
}
/**
 * Harvesting the embedded corpus through tiny-reasoner, against the same batches run and thrown away: tokens a second, in turns, medians.
 * The difference is what cutting into tokens, hashing, checking, sorting rows and writing them cost.
 */
async function benchHarvest(options = {}) {
    const { threads, model: folder = MODEL, texts = TEXTS, hook = HOOK } = options;
    const model = await (0, model_1.openModel)(folder, threads ? { threads } : {});
    const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-bench-"));
    try {
        const { documents, tokens } = some(await (0, texts_1.readTexts)(texts), model);
        const times = { harvest: { seconds: [], cpu: [] }, bare: { seconds: [], cpu: [] } };
        let settings = {};
        let rows = 0;
        let share = 0;
        const count = tokens.reduce((sum, { ids }) => sum + ids.length, 0);
        await model.hash(); // read once a model, not once a harvest
        for (let round = 0; round <= ROUNDS; round++) {
            const store = (0, node_path_1.join)(scratch, `${round}`);
            await timed(times.harvest, async () => {
                const made = await (0, harvest_1.harvest)(model, documents, { hooks: [hook], folder: store });
                ({ rows, manifest: { settings } } = made);
                made.close();
            });
            (0, node_fs_1.rmSync)(store, { recursive: true });
            const contexts = (0, batches_1.cutContexts)(tokens.map(({ ids }) => ids.length), settings.context);
            const batches = (0, batches_1.planShards)(contexts, settings.shardRows)
                .flatMap((shard) => (0, batches_1.planBatches)(contexts, shard, settings.batchTokens));
            share = (0, batches_1.padding)(contexts, batches);
            const idsOf = ({ document, from, length }) => tokens[document].ids.subarray(from, from + length);
            await timed(times.bare, async () => {
                const waiting = [];
                for (const batch of batches) {
                    waiting.push(model.run(batch.map((i) => idsOf(contexts[i])), { hooks: [hook] }));
                    if (waiting.length === 2)
                        await waiting.shift();
                }
                await Promise.all(waiting);
            });
            if (!round)
                Object.values(times).forEach(({ seconds, cpu }) => (seconds.length = cpu.length = 0)); // it loaded the session
        }
        const rate = (values) => count / median(values);
        const { harvest: ours, bare } = times;
        return {
            bench: "harvest",
            model: model.source.split("/").at(-1),
            hook,
            threads: threads ?? "all",
            width: model.width,
            tokens: count,
            rows,
            padding: Number(share.toFixed(4)),
            tokensPerSecond: Math.round(rate(ours.seconds)),
            bareTokensPerSecond: Math.round(rate(bare.seconds)),
            shareOfBare: Number((rate(ours.seconds) / rate(bare.seconds)).toFixed(3)),
            tokensPerCpuSecond: Math.round(rate(ours.cpu)),
            bareTokensPerCpuSecond: Math.round(rate(bare.cpu)),
            peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
            rounds: ROUNDS,
        };
    }
    finally {
        await model.close();
        (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true });
    }
}
//# sourceMappingURL=harvest.js.map