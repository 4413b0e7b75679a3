import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { readTexts } from "../../src/adapters/texts";
import { trainSae, trainSaes } from "../../src/adapters/train";
import type { Sae, Store } from "../../src/core/types";

const ROOT = join(__dirname, "..", "..", "..");
const ROUNDS = 3;
const TOKENS = 100_000;

interface Turn {
  /** By the clock, and of all threads of the process: what stays the same when the machine is busy. */
  wall: number[];
  cpu: number[];
}

/**
 * Four SAEs (two k, two seeds) in one pass of the model, against one harvest to disk and four trainings, in turns. The same texts, as many
 * rows; all of each way is counted, from open model to trained SAEs. Of data/reasoning and tiny-reasoner; SAELAB_BENCH_MODEL,
 * SAELAB_BENCH_TEXTS and SAELAB_BENCH_HOOK name others.
 */
export async function benchOnePass({ rounds = ROUNDS, tokens: wanted = TOKENS }: { rounds?: number; tokens?: number } = {}): Promise<object> {
  const folder = process.env.SAELAB_BENCH_MODEL ?? join(ROOT, "data", "tiny-reasoner");
  const hook = process.env.SAELAB_BENCH_HOOK ?? "layers.2";
  const all = await readTexts(process.env.SAELAB_BENCH_TEXTS ?? join(ROOT, "data", "reasoning", "corpus.jsonl"));
  const model = await openModel(folder);
  const scratch = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  try {
    const documents: typeof all = [];
    for (let i = 0, tokens = 0; i < all.length && tokens < wanted; i++) {
      documents.push({ ...all[i], split: "train" });
      tokens += model.tokenizer.encode(all[i].text).ids.length;
    }
    const width = model.hooks().find(({ name }) => name === hook)!.width;
    const grid = [0, 1].flatMap((seed) => [16, 32].map((k) => ({ hook, latents: 8 * width, k, seed })));
    await model.hash(); // read once a model
    const turns = { apart: turn(), harvest: turn(), together: turn() };
    let rows = 0;
    let fvu: number[][] = [];
    for (let round = 0; round <= rounds; round++) {
      const counted = round > 0; // the first loads sessions and measures the step
      const saes: Sae[] = [];
      let store: Store | undefined;
      await timed(turns.apart, counted, async () => {
        const path = join(scratch, `${round}`);
        await timed(turns.harvest, counted, async () => {
          store = await harvest(model, documents, { hooks: [hook], folder: path });
        });
        rows = store!.rows;
        for (const options of grid) saes.push(await trainSae(store!, { ...options, tokens: rows, evaluate: false }));
        store!.close();
      });
      let together: Sae[] = [];
      await timed(turns.together, counted, async () => {
        together = await trainSaes(model, grid, { documents, tokens: rows, evaluate: false });
      });
      fvu = [saes, together].map((made) => made.map(({ card }) => round3(card.fvu as number)));
      rmSync(join(scratch, `${round}`), { recursive: true });
    }
    const [apart, together] = [turns.apart, turns.together];
    return {
      bench: "onepass", model: folder.split("/").at(-1), hook, width, latents: 8 * width, saes: grid.map(({ k, seed }) => `k ${k}, seed ${seed}`), rows, rounds,
      seconds: round3(median(together.wall)), apartSeconds: round3(median(apart.wall)), harvestSeconds: round3(median(turns.harvest.wall)),
      times: round3(median(together.wall) / median(apart.wall)), timesCpu: round3(median(together.cpu) / median(apart.cpu)),
      fvuApart: fvu[0], fvu: fvu[1],
    };
  } finally {
    await model.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

const turn = (): Turn => ({ wall: [], cpu: [] });

async function timed(into: Turn, counted: boolean, work: () => Promise<void>): Promise<void> {
  const begun = performance.now(), used = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(used);
  if (!counted) return;
  into.wall.push((performance.now() - begun) / 1000);
  into.cpu.push((user + system) / 1e6);
}

const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[values.length >> 1];
const round3 = (value: number): number => Number(value.toPrecision(3));
