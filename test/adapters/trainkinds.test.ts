import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { loadSae } from "../../src/adapters/sae";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae, trainSaes, type SaeOptions } from "../../src/adapters/train";
import { measuring } from "../../src/core/measure";
import { random } from "../../src/core/random";
import type { Sae, Store, TrainKind } from "../../src/core/types";
import { memoryStore, planted } from "../planted";

/** Every kind and structure from rows to a saved checkpoint. */

const scratch = mkdtempSync(join(tmpdir(), "saelab-kinds-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

const d = 16, rows = 12000, width = 8;
const data = planted({ d, rows, directions: 40, active: 3 });
const rng = random(5);
const normals = (count: number, scale: number): Float32Array => Float32Array.from({ length: count }, () => scale * rng.normal());
const times = (x: Float32Array, map: Float32Array, dOut: number): Float32Array => {
  const out = new Float32Array((x.length / d) * dOut);
  for (let row = 0; row < x.length / d; row++) {
    for (let j = 0; j < d; j++) for (let i = 0; i < dOut; i++) out[row * dOut + i] += x[row * d + j] * map[j * dOut + i];
  }
  return out;
};
/** What a model might make of the rows: a linear map, an offset, noise; and a hook of another width and size. */
const hooks: Record<string, { width: number; rows: Float32Array }> = {
  "layers.1": { width: d, rows: data.rows },
  "layers.2": { width: d, rows: times(data.rows, normals(d * d, 0.5), d).map((value) => value + 1 + 0.05 * rng.normal()) },
  "layers.3": { width, rows: times(data.rows, normals(d * width, 5), width) },
};
const base = memoryStore(data.rows, d);
const store: Store = {
  ...base,
  manifest: { ...base.manifest, hooks: Object.entries(hooks).map(([name, { width }]) => ({ name, kind: "resid_post", layer: 1, width })) },
  hook: (name) => name ?? "layers.1",
  width: (hook) => hooks[hook].width,
  read: (hook, from, to) => hooks[hook].rows.slice(from * hooks[hook].width, to * hooks[hook].width),
};
const heldOut = Array.from({ length: rows }, (_, row) => row).filter((row) => Math.floor(row / 50) % 4 === 3).slice(0, 1000);
const rowsAt = (names: string[]): Float32Array => {
  const sum = names.reduce((total, name) => total + hooks[name].width, 0);
  const out = new Float32Array(heldOut.length * sum);
  heldOut.forEach((row, i) => {
    let at = i * sum;
    for (const name of names) {
      out.set(hooks[name].rows.subarray(row * hooks[name].width, (row + 1) * hooks[name].width), at);
      at += hooks[name].width;
    }
  });
  return out;
};

/** The checkpoint as loaded must do what the SAE in memory does, and what the card says it does. */
async function check(sae: Sae, folder: string, reads: string[], rebuilds = reads): Promise<{ fvu: number; l0: number }> {
  const loaded = await loadSae(folder);
  const x = rowsAt(reads), y = rowsAt(rebuilds);
  const xHat = sae.reconstruct(x);
  const again = loaded.reconstruct(x);
  let largest = 0, worst = 0;
  xHat.forEach((value, i) => {
    largest = Math.max(largest, Math.abs(value));
    worst = Math.max(worst, Math.abs(value - again[i]));
  });
  assert.ok(worst <= 1e-5 * largest, `${worst} of ${largest}`);
  assert.deepEqual(loaded.encode(x).index.subarray(0, 50), sae.encode(x).index.subarray(0, 50));
  const tally = measuring(sae.weights.dOut ?? sae.weights.d, sae.weights.latents);
  const sparse = sae.encode(x);
  tally.rows(y, xHat);
  tally.latents(sparse.index, sparse.value);
  const { fvu, l0 } = tally.result();
  const told = sae.card.metrics as { fvu: number; l0: number; rows: number; split: string };
  assert.ok(told.split === "heldout" && told.rows === 3000);
  assert.ok(Math.abs(told.fvu - fvu) < 0.1 * fvu + 0.01, `card ${told.fvu}, here ${fvu}`);
  return { fvu, l0 };
}

const common = { latents: 64, k: 4, tokens: 40000, batch: 128, seed: 1 };
const kinds: [TrainKind, { fvu: number; l0: [number, number] }][] = [
  ["topk", { fvu: 0.22, l0: [2.5, 4] }], ["batchtopk", { fvu: 0.22, l0: [2.5, 6] }], ["multitopk", { fvu: 0.3, l0: [2.5, 4] }],
  ["groupmax", { fvu: 0.5, l0: [1.5, 4] }], ["matryoshka", { fvu: 0.3, l0: [2.5, 6] }], ["jumprelu", { fvu: 0.35, l0: [2, 6] }],
];

test("every kind, in one pass: held-out FVU and L0, and a checkpoint that does the same", async () => {
  const live = tensorflow().live();
  const saes: SaeOptions[] = kinds.map(([kind]) => ({ latents: common.latents, k: common.k, kind, folder: join(scratch, kind) }));
  const trained = await trainSaes(store, saes, { tokens: common.tokens, batch: common.batch, seed: common.seed });
  assert.equal(tensorflow().live(), live);
  for (const [i, [kind, wanted]] of kinds.entries()) {
    const sae = trained[i];
    const { fvu, l0 } = await check(sae, saes[i].folder!, ["layers.1"]);
    assert.ok(fvu < wanted.fvu, `${kind}: FVU ${fvu}`);
    assert.ok(l0 >= wanted.l0[0] && l0 <= wanted.l0[1], `${kind}: L0 ${l0}`);
    assert.equal(sae.card.kind, kind);
    assert.ok(Math.abs(sae.curve!.at(-1)!.l0! - l0) < 1.5, `${kind}: ${sae.curve!.at(-1)!.l0} in training, ${l0} in use`);
    assert.deepEqual(sae.card.widths, kind === "matryoshka" ? [4, 8, 16, 32, 64] : undefined);
  }
  // in one pass or alone: the same batches, so the same bits
  const alone = await trainSae(store, { ...common, kind: "batchtopk", choice: trained[1].card.choice as never, evaluate: false });
  assert.deepEqual(alone.weights, trained[1].weights);
});

test("a transcoder, with and without a skip connection, finds a map from one hook to another", async () => {
  const fvus: number[] = [];
  for (const skip of [false, true]) {
    const folder = join(scratch, `transcoder-${skip}`);
    const sae = await trainSae(store, { ...common, target: "layers.2", skip, folder });
    assert.equal(sae.weights.transcoder, true);
    assert.equal(sae.weights.wSkip !== undefined, skip);
    assert.equal(sae.card.target, "layers.2");
    fvus.push((await check(sae, folder, ["layers.1"], ["layers.2"])).fvu);
  }
  assert.ok(fvus[0] < 0.3, `FVU ${fvus[0]}`);
  assert.ok(fvus[1] < 0.05 && fvus[1] < fvus[0] / 3, `FVU ${fvus[1]}: a linear map is W_skip's alone`);
});

test("a crosscoder reads hooks of different size side by side, each at its own scale", async () => {
  const folder = join(scratch, "crosscoder");
  const both = ["layers.1", "layers.3"];
  const sae = await trainSae(store, { ...common, hook: both, folder });
  assert.equal(sae.weights.d, d + width);
  assert.deepEqual(sae.card.hook, both);
  assert.equal((sae.card.scale as number[]).length, 2);
  assert.ok((sae.card.scale as number[])[0] > 3 * (sae.card.scale as number[])[1]);
  await check(sae, folder, both);
  const x = rowsAt(both), xHat = sae.reconstruct(x);
  for (const [from, to] of [[0, d], [d, d + width]]) { // neither hook is rebuilt at the other's cost
    const tally = measuring(to - from, 0);
    const part = (all: Float32Array): Float32Array => Float32Array.from(heldOut.flatMap((_, i) => [...all.subarray(i * (d + width) + from, i * (d + width) + to)]));
    tally.rows(part(x), part(xHat));
    assert.ok(tally.fvu() < 0.35, `columns ${from} to ${to}: FVU ${tally.fvu()}`);
  }
});

test("a transcoder between widths: batch-top-k has a layout, top-k has none", async () => {
  const folder = join(scratch, "widths");
  const sae = await trainSae(store, { ...common, kind: "batchtopk", target: "layers.3", folder });
  assert.equal(sae.weights.dOut, width);
  await check(sae, folder, ["layers.1"], ["layers.3"]);
  await assert.rejects(trainSae(store, { ...common, target: "layers.3", folder: join(scratch, "none") }), /target: expected rows of width 16.*found 8.*batchtopk/);
});
