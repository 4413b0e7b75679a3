import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { readTexts } from "../../src/adapters/texts";
import { findDevices } from "../../src/adapters/devices";
import { cutContexts, padding, planBatches, planShards, type Context } from "../../src/core/batches";
import type { Document, Model, Tokens } from "../../src/core/types";

const ROOT = join(__dirname, "..", "..", "..");
const MODEL = join(ROOT, "data", "tiny-reasoner");
const TEXTS = join(ROOT, "data", "reasoning", "corpus.jsonl");
const HOOK = "layers.2";
const TOKENS = 100_000; // a turn: a few seconds
const ROUNDS = 5;

export interface BenchOptions {
  threads?: number; // all cores
  model?: string; // data/tiny-reasoner
  texts?: string; // data/reasoning/corpus.jsonl
  hook?: string;
  device?: string; // cards that there are, beside the CPU; one that is named is taken even where it is software
}

/** The first documents that have so many tokens together. */
function some(documents: Document[], model: Model, most = TOKENS): { documents: Document[]; tokens: Tokens[] } {
  const tokens: Tokens[] = [];
  for (let i = 0, sum = 0; i < documents.length && sum < most; i++) {
    tokens.push(model.tokenizer.encode(documents[i].text));
    sum += tokens[i].ids.length;
  }
  return { documents: documents.slice(0, tokens.length), tokens };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];

interface Time {
  seconds: number[];
  /** Of all threads of the process: what stays the same when the machine is busy. */
  cpu: number[];
}

async function timed(into: Time, work: () => Promise<void>): Promise<void> {
  const begin = performance.now();
  const used = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(used);
  into.cpu.push((user + system) / 1e6);
  into.seconds.push((performance.now() - begin) / 1000);
}

/**
 * Harvesting the embedded corpus through tiny-reasoner, against the same batches run and thrown away: tokens a second, in turns, medians.
 * The difference is what cutting into tokens, hashing, checking, sorting rows and writing them cost. Then the same harvest on each graphics
 * card that there is, in turns with the CPU.
 */
export async function benchHarvest(options: BenchOptions = {}): Promise<object> {
  const { threads, model: folder = MODEL, texts = TEXTS, hook = HOOK } = options;
  const model = await openModel(folder, { ...(threads ? { threads } : {}), device: "cpu" });
  const scratch = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  try {
    const { documents, tokens } = some(await readTexts(texts), model);
    const times = { harvest: { seconds: [], cpu: [] } as Time, bare: { seconds: [], cpu: [] } as Time };
    let settings: Record<string, unknown> = {};
    let rows = 0;
    let share = 0;
    const count = tokens.reduce((sum, { ids }) => sum + ids.length, 0);
    await model.hash(); // read once a model, not once a harvest
    for (let round = 0; round <= ROUNDS; round++) {
      const store = join(scratch, `${round}`);
      await timed(times.harvest, async () => {
        const made = await harvest(model, documents, { hooks: [hook], folder: store });
        ({ rows, manifest: { settings } } = made);
        made.close();
      });
      rmSync(store, { recursive: true });

      const contexts = cutContexts(tokens.map(({ ids }) => ids.length), settings.context as number);
      const batches = planShards(contexts, settings.shardRows as number)
        .flatMap((shard) => planBatches(contexts, shard, settings.batchTokens as number));
      share = padding(contexts, batches);
      const idsOf = ({ document, from, length }: Context) => tokens[document].ids.subarray(from, from + length);
      await timed(times.bare, async () => {
        const waiting: Promise<unknown>[] = [];
        for (const batch of batches) {
          waiting.push(model.run(batch.map((i) => idsOf(contexts[i])), { hooks: [hook] }));
          if (waiting.length === 2) await waiting.shift();
        }
        await Promise.all(waiting);
      });
      if (!round) Object.values(times).forEach(({ seconds, cpu }) => (seconds.length = cpu.length = 0)); // it loaded the session
    }
    const rate = (values: number[]): number => count / median(values);
    const { harvest: ours, bare } = times;
    const cards = await byDevice(model, await readTexts(texts), hook, scratch, options.device);
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
      ...(cards.length ? { devices: cards } : {}),
    };
  } finally {
    await model.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Tokens of a turn in software: a thousandth of a card's speed. */
const SOFTWARE_TOKENS = 4_000;

/** Tokens a second of the same harvest on each card and on the CPU, in turns; how long opening it took, the comparison with the CPU included. */
async function byDevice(cpu: Model, all: Document[], hook: string, scratch: string, named?: string): Promise<object[]> {
  const found = await findDevices("harvest");
  const out: object[] = [];
  for (const device of ["cuda", "webgpu"] as const) {
    const here = found[device];
    if (!here.there || (here.software && named !== device) || (named !== undefined && named !== device)) continue;
    const begun = performance.now();
    const card = await openModel(cpu.source, { device });
    const opened = performance.now() - begun;
    try {
      const { documents, tokens } = some(all, cpu, here.software ? SOFTWARE_TOKENS : TOKENS);
      const times = { card: [] as number[], cpu: [] as number[] };
      for (let round = 0; round <= (here.software ? 1 : ROUNDS); round++) {
        for (const [name, model] of [["card", card], ["cpu", cpu]] as const) {
          const store = join(scratch, `${device}-${name}-${round}`);
          const begin = performance.now();
          (await harvest(model, documents, { hooks: [hook], folder: store })).close();
          if (round) times[name].push((performance.now() - begin) / 1000); // the first makes sessions and shaders
          rmSync(store, { recursive: true });
        }
      }
      const count = tokens.reduce((sum, { ids }) => sum + ids.length, 0);
      const [rate, cpuRate] = [count / median(times.card), count / median(times.cpu)];
      out.push({
        device, name: here.name, ...(here.software ? { software: true } : {}), tokens: count, tokensPerSecond: Math.round(rate), cpuTokensPerSecond: Math.round(cpuRate), timesCpu: Number((rate / cpuRate).toPrecision(3)),
        openedSeconds: Number((opened / 1000).toFixed(1)), checked: card.device?.checked,
      });
    } finally {
      await card.close();
    }
  }
  return out;
}
