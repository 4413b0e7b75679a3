import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/model";
import { readTexts } from "../../src/adapters/texts";
import { cutContexts, padding, planBatches, planShards } from "../../src/core/batches";
import type { Document, Model, Tokens } from "../../src/core/types";

const ROOT = join(__dirname, "..", "..", "..");
const HOOK = "layers.2";
const TOKENS = 200_000; // a round: a second or two
const ROUNDS = 5;

/** The first documents that have so many tokens together. */
function some(documents: Document[], model: Model): { documents: Document[]; tokens: Tokens[] } {
  const tokens: Tokens[] = [];
  for (let i = 0, sum = 0; i < documents.length && sum < TOKENS; i++) {
    tokens.push(model.tokenizer.encode(documents[i].text));
    sum += tokens[i].ids.length;
  }
  return { documents: documents.slice(0, tokens.length), tokens };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];

/**
 * Harvesting the embedded corpus through tiny-reasoner, against the same batches run and thrown away: tokens a second, in turns, medians.
 * The difference is what cutting into tokens, hashing, checking, sorting rows and writing them cost.
 */
export async function benchHarvest(options: { threads?: number; model?: string; texts?: string; hook?: string } = {}): Promise<object> {
  const { threads, model: folder = join(ROOT, "data", "tiny-reasoner"), texts = join(ROOT, "data", "reasoning", "corpus.jsonl"), hook = HOOK } = options;
  const model = await openModel(folder, threads ? { threads } : {});
  const scratch = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  try {
    const { documents, tokens } = some(await readTexts(texts), model);
    const seconds: { harvest: number[]; bare: number[]; tokenize: number[] } = { harvest: [], bare: [], tokenize: [] };
    let settings: Record<string, unknown> = {};
    let rows = 0;
    let share = 0;
    const count = tokens.reduce((sum, { ids }) => sum + ids.length, 0);
    await model.hash(); // read once a model, not once a harvest
    for (let round = 0; round <= ROUNDS; round++) {
      const store = join(scratch, `${round}`);
      let begin = performance.now();
      const made = await harvest(model, documents, { hooks: [hook], folder: store });
      const harvested = performance.now() - begin;
      ({ rows, manifest: { settings } } = made);
      made.close();
      rmSync(store, { recursive: true });

      const contexts = cutContexts(tokens.map(({ ids }) => ids.length), settings.context as number);
      const batches = planShards(contexts, settings.shardRows as number)
        .flatMap((shard) => planBatches(contexts, shard, settings.batchTokens as number));
      share = padding(contexts, batches);
      begin = performance.now();
      const waiting: Promise<unknown>[] = [];
      for (const batch of batches) {
        const ids = batch.map((i) => tokens[contexts[i].document].ids.subarray(contexts[i].from, contexts[i].from + contexts[i].length));
        waiting.push(model.run(ids, { hooks: [hook] }));
        if (waiting.length === 2) await waiting.shift();
      }
      await Promise.all(waiting);
      const bare = performance.now() - begin;

      begin = performance.now();
      for (const { text } of documents) model.tokenizer.encode(text);
      const tokenized = performance.now() - begin;
      if (!round) continue; // the first one loads the session
      seconds.harvest.push(harvested / 1000);
      seconds.bare.push(bare / 1000);
      seconds.tokenize.push(tokenized / 1000);
    }
    const harvestRate = count / median(seconds.harvest);
    const bareRate = count / median(seconds.bare);
    return {
      bench: "harvest",
      model: model.source.split("/").at(-1),
      hook,
      threads: threads ?? "all",
      width: model.width,
      tokens: count,
      rows,
      padding: Number(share.toFixed(4)),
      tokensPerSecond: Math.round(harvestRate),
      bareTokensPerSecond: Math.round(bareRate),
      shareOfBare: Number((harvestRate / bareRate).toFixed(3)),
      tokenizeTokensPerSecond: Math.round(count / median(seconds.tokenize)),
      peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
      rounds: ROUNDS,
    };
  } finally {
    await model.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}
