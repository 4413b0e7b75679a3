import { existsSync } from "node:fs";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { machine } from "../../src/adapters/choice";
import { fileSource } from "../../src/adapters/files";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { chunks, rowCount } from "../../src/adapters/rows";
import { evaluate } from "../../src/adapters/sae";
import { rowsOf } from "../../src/adapters/store";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";
import { readTexts } from "../../src/adapters/texts";
import { trainSae } from "../../src/adapters/train";
import { readFloats, readHeader } from "../../src/core/safetensors";
import type { Document, Model, Sae, Store } from "../../src/core/types";
import { memoryStore, planted } from "../planted";

/**
 * What the default recipe makes of an SAE, on rows that training did not see. No option but the sizes is given to trainSae.
 *
 * planted: rows of a known dictionary of 2,048 directions, four passes over 524,288 rows. SAELAB_BENCH_PLANTED names a folder with A.safetensors (x) and
 * A.truth.safetensors (directions, eval_x), so that other tools can read the same rows; without it rows of the same law are drawn.
 * real: the residual stream after layer 15 of the model in the folder SAELAB_BENCH_MODEL (SmolLM2-135M), over the texts of SAELAB_BENCH_TEXTS (GSM8K): one pass;
 * the documents behind those of training are held out. The store is kept under .saelab/stores for other seeds.
 */
const SETTINGS = {
  planted: { latents: 4096, k: 16, tokens: 2 ** 21, goals: { fvu: 0.19, deadTraining: 0.01, recovered: 0.95 } },
  real: { latents: 4608, k: 32, tokens: 500_000, goals: { fvu: 0.1 } },
};
const LAST = 2 ** 18; // training rows on which a latent that is not dead has fired
const HOOK = "layers.15";
const HELD_OUT = 2 ** 14; // rows, at least
const PLANTED = { d: 128, rows: 2 ** 19, heldOut: 2 ** 13, directions: 2048, active: 12 };

interface Data {
  store: Store;
  directions?: Float32Array; // [directions, d]: what was planted
  source: string;
}

/** @param options.setting one of SETTINGS; seed: of training, not of the rows */
export async function benchQuality({ setting = "planted", seed = 0 }: { setting?: string; seed?: number } = {}): Promise<Record<string, unknown>> {
  if (!(setting in SETTINGS)) throw new Error(`--setting: expected ${Object.keys(SETTINGS).join(", ")}, found ${setting}`);
  const { latents, k, tokens, goals } = SETTINGS[setting as keyof typeof SETTINGS];
  const { store, directions, source } = setting === "planted" ? plantedRows() : await realRows(tokens);
  try {
    const begun = performance.now();
    const sae = await trainSae(store, { latents, k, tokens, seed });
    const seconds = (performance.now() - begun) / 1000;
    const { fvu, l0, dead } = await evaluate(sae, store);
    const alive = firing(sae, store);
    const { batch, learningRate, step, choice } = sae.card;
    return {
      bench: "quality", setting, source, machine: machine(tensorflow()), d: sae.weights.d, latents, k, tokens, batch, learningRate, seed, step, choice,
      fvu: round(fvu), l0: round(l0), deadHeldout: round(dead), deadTraining: round(1 - alive.length / latents),
      ...(directions && recovery(sae, directions, alive)),
      seconds: round(seconds), goals,
    };
  } finally {
    store.close();
  }
}

const round = (value: number): number => Number(value.toPrecision(4));

function plantedRows(): Data {
  const { d, rows, heldOut, ...law } = PLANTED;
  const folder = process.env.SAELAB_BENCH_PLANTED;
  const found = folder ? readPlanted(folder) : drawn(planted({ d, rows: rows + heldOut, ...law }), rows * d);
  const all = new Float32Array(found.train.length + found.heldOut.length);
  all.set(found.train);
  all.set(found.heldOut, found.train.length);
  const n = found.train.length / d;
  const store: Store = {
    ...memoryStore(all, d),
    documents: () => [{ id: "train", text: "", spans: [], split: "train" }, { id: "held out", text: "", spans: [], split: "heldout" }],
    documentRows: () => Int32Array.of(0, n, all.length / d),
  };
  return { store, directions: found.directions, source: folder ? "given" : "drawn" };
}

const drawn = ({ rows, directions }: { rows: Float32Array; directions: Float32Array }, cut: number) => ({ train: rows.subarray(0, cut), heldOut: rows.subarray(cut), directions });

function readPlanted(folder: string): { train: Float32Array; heldOut: Float32Array; directions: Float32Array } {
  const read = (file: string, ...names: string[]): Float32Array[] => {
    const path = join(folder, file);
    const source = fileSource(path);
    try {
      const { tensors } = readHeader(source, path);
      return names.map((name) => {
        const info = tensors.get(name);
        if (info?.dtype !== "F32" || info.shape[1] !== PLANTED.d) throw new Error(`${path}: ${name}: expected F32 [n, ${PLANTED.d}], found ${info ? `${info.dtype} [${info.shape}]` : "none"}`);
        return readFloats(source, info);
      });
    } finally {
      source.close();
    }
  };
  const [train] = read("A.safetensors", "x");
  const [directions, heldOut] = read("A.truth.safetensors", "directions", "eval_x");
  return { train, heldOut, directions };
}

async function realRows(tokens: number): Promise<Data> {
  const { SAELAB_BENCH_MODEL: folder, SAELAB_BENCH_TEXTS: texts } = process.env;
  if (!folder || !texts || !existsSync(folder)) {
    throw new Error(`--setting=real: expected a model's folder in SAELAB_BENCH_MODEL and texts in SAELAB_BENCH_TEXTS, found ${folder || "none"} and ${texts || "none"}`);
  }
  const model = await openModel(folder);
  try {
    const store = await harvest(model, split(await readTexts(texts), model, tokens), { hooks: [HOOK] });
    return { store, source: `${HOOK}, model ${store.manifest.model.sha256.slice(0, 12)}, texts ${store.manifest.texts.sha256.slice(0, 12)}` };
  } finally {
    await model.close();
  }
}

/** The first documents that give so many rows are trained on, the next held out; a document's first token gives none. */
function split(documents: Document[], model: Model, tokens: number): Document[] {
  const out: Document[] = [];
  let rows = 0;
  for (const document of documents) {
    if (rows >= tokens + HELD_OUT) break;
    out.push({ ...document, split: rows < tokens ? "train" : "heldout" });
    rows += model.tokenizer.encode(document.text).ids.length - 1;
  }
  if (rows < tokens + HELD_OUT) throw new Error(`--setting=real: expected texts of at least ${tokens + HELD_OUT} rows, found ${rows}`);
  return out;
}

/** Latents that fire on a held-out row or on one of the last LAST training rows, ascending. */
function firing(sae: Sae, store: Store): number[] {
  const hook = store.hook();
  const fired = new Uint8Array(sae.weights.latents);
  let left = LAST;
  const last = rowsOf(store, "train").reverse().flatMap(({ from, to }) => {
    const count = Math.min(left, to - from);
    left -= count;
    return count ? [{ from: to - count, to }] : [];
  }).reverse();
  for (const ranges of [rowsOf(store, "heldout"), last]) {
    for (const x of chunks(store, hook, ranges, 8192, rowCount(ranges))) {
      const { index, value } = sae.encode(x);
      for (let i = 0; i < index.length; i++) if (value[i] > 0) fired[index[i]] = 1;
    }
  }
  return Array.from(fired.keys()).filter((f) => fired[f]);
}

/**
 * Of every planted direction the largest cosine with a decoder row that is not dead.
 * @returns recovered: share of directions where it is over 0.9; its mean
 */
function recovery({ weights: { d, wDec } }: Sae, directions: Float32Array, alive: number[]): { recovered: number; meanCosine: number } {
  const engine = tensorflow();
  const K = kernels(engine);
  const units = new Float32Array(alive.length * d);
  alive.forEach((f, i) => {
    const row = wDec.subarray(f * d, (f + 1) * d), norm = Math.hypot(...row);
    for (let j = 0; j < d; j++) units[i * d + j] = row[j] / norm;
  });
  const count = directions.length / d;
  const cosines = engine.tidy(() => engine.floats(K.matMul(engine.tensor(directions, [count, d]), engine.tensor(units, [alive.length, d]), { transposeB: true })));
  let found = 0, sum = 0;
  for (let i = 0; i < count; i++) {
    const best = cosines.subarray(i * alive.length, (i + 1) * alive.length).reduce((a, b) => Math.max(a, b), -1);
    if (best > 0.9) found++;
    sum += best;
  }
  return { recovered: round(found / count), meanCosine: round(sum / count) };
}
