import { test } from "node:test";
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { openModel } from "../../src/adapters/open";
import { FAMILIES } from "../../src/core/families";
import { random, type Random } from "../../src/core/random";
import type { HookRow, Model, Positions, SaeWeights, Write } from "../../src/core/types";
import { randomCheckpoint } from "./plain-checkpoint";
import { elementwise, runPlain, type PlainModel, type PlainResult } from "./plain-model";
import { close, scratch } from "./tiny";

/**
 * Random models of every family, random batches, reads and writes, and texts continued under writes, against the plain model. A failure names its seed:
 * SAELAB_SEED=… runs that case alone, SAELAB_CASES=… as many as one likes.
 */
const CASES = Number(process.env.SAELAB_CASES ?? 66);
const SEED = process.env.SAELAB_SEED;

const FUNCTIONS: ((x: number) => number)[] = [(x) => Math.tanh(x), (x) => 0.5 * x, (x) => Math.abs(x), (x) => (x < 0 ? 0.1 * x : x)];

function randomWrites(rows: HookRow[], lengths: number[], headDim: number, rng: Random): Write[] {
  const pick = <T>(...options: T[]): T => options[rng.below(options.length)];
  const total = lengths.reduce((a, b) => a + b);
  const noise = (n: number, std = 1): Float32Array => Float32Array.from({ length: n }, () => std * rng.normal());
  const positions = (): Positions => pick<() => Positions>(
    () => rng.below(6), () => -1 - rng.below(4), () => [rng.below(8), -1 - rng.below(3)], () => ({ from: rng.below(5) }), () => ({ from: -1 - rng.below(5), to: -1 }),
    () => ({ to: 1 + rng.below(6) }), () => "prompt", () => "generated")();
  const sae = (d: number): SaeWeights => {
    const latents = 8 + rng.below(32);
    return { d, latents, k: 1 + rng.below(Math.min(6, latents)), wEnc: noise(latents * d, 1 / Math.sqrt(d)), bEnc: noise(latents, 0.2), wDec: noise(latents * d, 0.5), bDec: noise(d, 0.2) };
  };
  return Array.from({ length: rng.below(4) }, (): Write => {
    const { name: hook, kind, width } = pick(...rows);
    const pattern = kind === "pattern";
    const heads = pattern ? width : ["q", "k", "v", "z", "rot_q", "rot_k"].includes(kind) ? width / headDim : 0;
    const where = {
      hook, ...(rng.below(2) ? { at: positions() } : {}), ...(heads && rng.below(2) ? { heads: pick<number | number[]>(rng.below(heads), [rng.below(heads), heads - 1]) } : {}),
      ...(pattern && rng.below(2) ? { keys: positions() } : {}),
    };
    const factor = pick(0, 0.5, -1, 1.7);
    if (pattern) return pick<() => Write>(() => ({ ...where, scale: factor }), () => ({ ...where, set: 0.3 }), () => ({ ...where, ablate: "zero" }), () => ({ ...where, edit: elementwise(pick(...FUNCTIONS)) }))();
    return pick<() => Write>(
      () => ({ ...where, add: noise(width), ...(rng.below(2) ? { times: factor } : {}) }), () => ({ ...where, add: noise(total * width, 0.5) }), () => ({ ...where, scale: factor }),
      () => ({ ...where, set: rng.normal() }), () => ({ ...where, set: noise(width) }), () => ({ ...where, set: noise(total * width) }), () => ({ ...where, ablate: "zero" }),
      () => ({ ...where, ablate: "mean", of: noise(5 * width) }), () => ({ ...where, ablate: "resample", of: noise(7 * width), seed: rng.below(9) }), () => ({ ...where, projectOut: noise(width) }),
      () => ({ ...where, sae: { weights: sae(width) } }),
      () => {
        const weights = sae(width);
        return { ...where, sae: { weights }, latent: rng.below(weights.latents), ...(rng.below(2) ? { clamp: 2 * rng.normal() } : { times: factor }), ...(rng.below(3) ? {} : { keepError: false }) };
      },
      () => ({ ...where, edit: elementwise(pick(...FUNCTIONS)) }))();
  });
}

/** A write in one line, its numbers left out. */
const inWords = (write: Write): string => JSON.stringify(write, (key, value) => (ArrayBuffer.isView(value) ? `${(value as Float32Array).length} numbers` : typeof value === "function" ? "a function" : value));

/** Texts continued greedily by runs over all tokens so far; undefined where two tokens, or latents of an SAE, are too near to tell. */
function continued(plain: PlainModel, ids: number[], count: number, writes: Write[], index: number): number[] | undefined {
  const all = [...ids];
  for (let i = 0; i < count; i++) {
    const { places, gap } = runPlain(plain, all, writes, { index, from: 0, prompt: ids.length });
    const last = places.get("logits")!.at(-1)!.subarray(0, 320); // what lies beyond has no token
    const [best, next] = [...last.keys()].sort((a, b) => last[b] - last[a]);
    if (gap < 1e-3 || last[best] - last[next] < 1e-3) return undefined;
    all.push(best);
  }
  return all.slice(ids.length);
}

const LETTERS = "abcdefgh 0123.,";

/** Generation under writes, in a ragged batch, with its cache. @returns texts that could be compared */
async function generateCase(model: Model, plain: PlainModel, rng: Random, tell: (writes: Write[]) => void): Promise<number> {
  const prompts = Array.from({ length: 1 + rng.below(3) }, () => Array.from({ length: 1 + rng.below(10) }, () => LETTERS[rng.below(LETTERS.length)]).join(""));
  const widths = new Map(model.hooks().map(({ name, width }) => [name, width]));
  const rowsOfAll = (write: Write): boolean => ["add" in write && write.add, "set" in write && write.set].some((rows) => typeof rows === "object" && rows.length > widths.get(write.hook)!);
  const writes = randomWrites(model.hooks(), [99], plain.headDim, rng).filter((write) => !rowsOfAll(write));
  tell(writes);
  const found = await model.generate(prompts, { maxTokens: 5, writes });
  return prompts.filter((prompt, b) => {
    const tokens = continued(plain, [...model.tokenizer.encode(prompt).ids], 5, writes, b);
    if (tokens) assert.equal(found[b].text, prompt + Buffer.concat(tokens.map((id) => model.tokenizer.bytes(id))).toString(), `prompt ${b}`);
    return tokens;
  }).length;
}

/** @returns the largest difference reached, relative, and how many texts were continued */
async function runCase(family: string, seed: number, folder: string): Promise<[largest: number, texts: number]> {
  const rng = random(seed);
  const { config, plain, write } = randomCheckpoint(family, rng);
  write(folder);
  const model = await openModel(folder, { threads: 1, weights: rng.below(2) ? "packed" : "in place" });
  let writes: Write[] = [];
  try {
    const rows = model.hooks();
    const batch = Array.from({ length: 1 + rng.below(4) }, () => Array.from({ length: 1 + rng.below(12) }, () => rng.below(320)));
    const lengths = batch.map(({ length }) => length);
    let wanted: PlainResult[] = [];
    for (let gap = 0; gap < 1e-3;) { // nearer latents of an SAE could change places by rounding: another draw
      writes = randomWrites(rows, lengths, plain.headDim, rng);
      wanted = batch.map((ids, b) => runPlain(plain, ids, writes, { index: b, from: lengths.slice(0, b).reduce((x, y) => x + y, 0) }));
      gap = Math.min(...wanted.map((one) => one.gap));
    }
    const all = rng.below(4) === 0;
    const hooks = rows.filter(({ name }) => name !== "logits" && (all || rng.uniform() < 4 / rows.length)).map(({ name }) => name);
    const logits = !hooks.length || rng.below(2) === 0;
    const found = await model.run(batch, { hooks, logits, writes });
    let largest = 0;
    for (const name of [...hooks, ...(logits ? ["logits"] : [])]) {
      const want = Float64Array.from(wanted.flatMap(({ places }) => places.get(name)!.flatMap((row) => [...row])));
      largest = Math.max(largest, close(found[name], want, name));
    }
    return [largest, await generateCase(model, plain, rng, (given) => (writes = given))];
  } catch (error) {
    (error as Error).message += `\nSAELAB_SEED=${seed}, ${family}: ${JSON.stringify(config)}\n${writes.map(inWords).join("\n")}`;
    throw error;
  } finally {
    await model.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

for (const [f, { type }] of FAMILIES.entries()) {
  const seeds = Array.from({ length: Math.ceil((CASES - f) / FAMILIES.length) }, (_, i) => i * FAMILIES.length + f).filter((seed) => SEED === undefined || seed === Number(SEED));
  if (!seeds.length && SEED === undefined) seeds.push(f);
  if (!seeds.length && Number(SEED) % FAMILIES.length === f) seeds.push(Number(SEED));
  test(`${type}: ${seeds.length} random models, reads and writes give what plain loops give`, async (t) => {
    await scratch(async (folder) => {
      let [largest, texts] = [0, 0];
      for (const seed of seeds) {
        const [difference, compared] = await runCase(type, seed, join(folder, "model"));
        [largest, texts] = [Math.max(largest, difference), texts + compared];
      }
      t.diagnostic(`largest relative difference ${largest.toExponential(1)}, ${texts} texts continued`);
      if (SEED === undefined) assert.ok(largest > 0 && texts >= seeds.length, `${largest}, ${texts} texts`);
    });
  });
}
