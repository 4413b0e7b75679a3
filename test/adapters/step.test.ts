import assert from "node:assert/strict";
import { test } from "node:test";
import { OptionError } from "../../src/core/errors";
import { encode } from "../../src/core/sae";
import { random, type Random } from "../../src/core/random";
import { coder, decodeRows, encodeRows, groupings, type Choice, type Parameters } from "../../src/adapters/coder";
import { plainStep } from "../../src/adapters/plainstep";
import { freshState, stockStep, type StepNow as Step, type StepState } from "../../src/adapters/step";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";
import { agreesWithTorch, close, names } from "./torchsteps";

const engine = tensorflow();

const normals = (n: number, rng: Random, scale = 1): Float32Array => Float32Array.from({ length: n }, () => scale * rng.normal());

/** Untied random weights with non-zero biases: nothing cancels by symmetry. */
function state(d: number, latents: number, k: number, seed: number): StepState {
  const rng = random(seed);
  const parameters: Parameters = {
    wEnc: normals(latents * d, rng, 1 / Math.sqrt(d)), bEnc: normals(latents, rng, 0.05), wDec: normals(latents * d, rng), bDec: normals(d, rng, 0.3),
  };
  return freshState(d, latents, k, parameters);
}

/** The cases: sizes that divide and that do not, every latent chosen, groups, bfloat16; few dead latents (dense) and many (picked). */
const cases: { name: string; d: number; latents: number; k: number; rows: number; dead: number[]; choice?: Choice }[] = [
  { name: "no dead latents", d: 16, latents: 64, k: 4, rows: 40, dead: [] },
  { name: "few dead latents: all of them take part", d: 16, latents: 64, k: 4, rows: 40, dead: [3, 9, 10, 63] },
  { name: "many dead latents: half the width take part", d: 16, latents: 96, k: 4, rows: 40, dead: Array.from({ length: 60 }, (_, i) => i + 5) },
  { name: "every latent is chosen", d: 8, latents: 12, k: 12, rows: 30, dead: [0, 7] },
  { name: "one latent is chosen", d: 7, latents: 33, k: 1, rows: 21, dead: [1, 2, 3, 4, 5] },
  { name: "groups of groups, chunks that do not divide", d: 12, latents: 512, k: 3, rows: 50, dead: [4, 5], choice: { precision: "f32", groups: [16, 4], chunk: 7 } },
];

for (const { name, d, latents, k, rows, dead, choice } of cases) {
  test(`stock and plain steps agree: ${name}`, () => {
    const rng = random(7);
    const initial = state(d, latents, k, 1);
    const stock = stockStep(engine, initial, choice), plain = plainStep(engine, initial);
    const list = Int32Array.from(dead);
    const x = normals(rows * d, rng, 1.3).map((v, i) => v + (i % d) * 0.1);
    const a = stock.gradients(x, { dead: list }), b = plain.gradients(x, { dead: list });
    assert.ok(Math.abs(a.fvu - b.fvu) <= 1e-5 * b.fvu, `fvu ${a.fvu} ${b.fvu}`);
    assert.ok(Math.abs(a.aux - b.aux) <= 1e-5 * b.aux, `aux ${a.aux} ${b.aux}`);
    assert.equal(b.aux > 0, dead.length > 0);
    for (const part of names) close(a.gradient[part], b.gradient[part], 1e-5, `gradient of ${part}`);
    for (let step = 0; step < 20; step++) {
      const batch = normals(rows * d, rng, 1.3).map((v, i) => v + (i % d) * 0.1);
      const options = { learningRate: 0.003, dead: list };
      const got = stock.update(batch, options), want = plain.update(batch, options);
      assert.ok(Math.abs(got.fvu - want.fvu) <= 1e-5 * want.fvu, `step ${step}: fvu ${got.fvu}, expected ${want.fvu}`);
      assert.ok(Math.abs(got.aux - want.aux) <= 1e-5 * want.aux, `step ${step}: aux ${got.aux}, expected ${want.aux}`);
    }
    const end = stock.state().parameters;
    for (let f = 0; f < latents; f++) {
      const norm = Math.hypot(...end.wDec.subarray(f * d, (f + 1) * d));
      assert.ok(Math.abs(norm - 1) < 1e-5, `row ${f} of W_dec has norm ${norm}`);
    }
    close(end.wDec, plain.state().parameters.wDec, 1e-4, "W_dec after 20 steps");
    close(end.wEnc, plain.state().parameters.wEnc, 1e-4, "W_enc after 20 steps");
    stock.dispose();
    plain.dispose();
  });
}

agreesWithTorch("steps", (initial) => stockStep(engine, initial));

test("the auxiliary loss reaches the encoder of dead latents, and leaves the residual alone", () => {
  const d = 16, latents = 64, k = 2, rng = random(3);
  const initial = state(d, latents, k, 4);
  for (let f = 0; f < 32; f++) initial.parameters.bEnc[f] = 9; // the other half is never among the best two
  const step = stockStep(engine, initial);
  const x = normals(64 * d, rng);
  const dead = Int32Array.from({ length: 32 }, (_, i) => 32 + i);
  const without = step.gradients(x).gradient, with_ = step.gradients(x, { dead }).gradient;
  const size = (g: Float32Array, from: number, to: number): number => Math.hypot(...g.subarray(from * d, to * d));
  assert.equal(size(without.wEnc, 32, 64), 0);
  assert.ok(size(with_.wEnc, 32, 64) > 1e-4);
  assert.ok(size(with_.wDec, 32, 64) > 1e-4);
  assert.deepEqual(with_.wEnc.subarray(0, 32 * d), without.wEnc.subarray(0, 32 * d));
  assert.deepEqual(with_.wDec.subarray(0, 32 * d), without.wDec.subarray(0, 32 * d));
  step.dispose();
});

test("a numerical derivative of the loss agrees with the gradient", () => {
  const d = 6, latents = 20, k = 3, rng = random(11);
  const initial = state(d, latents, k, 12);
  const x = normals(30 * d, rng);
  const lossAt = (parameters: Parameters): number => {
    const step = stockStep(engine, freshState(d, latents, k, parameters));
    const { fvu } = step.gradients(x);
    step.dispose();
    return fvu;
  };
  const step = stockStep(engine, initial);
  const { gradient } = step.gradients(x);
  const at = initial.parameters;
  step.dispose();
  const h = 5e-3;
  for (const [name, i] of [["wEnc", 17], ["bEnc", 2], ["bDec", 4]] as const) { // not W_dec: a step would normalise the shifted rows
    const shifted = (by: number): Parameters => ({ ...at, [name]: at[name].map((v, j) => (j === i ? v + by : v)) });
    const numeric = (lossAt(shifted(h)) - lossAt(shifted(-h))) / (2 * h);
    assert.ok(Math.abs(numeric - gradient[name][i]) < 2e-2 * Math.abs(gradient[name][i]) + 1e-4, `${name}: ${numeric}, ${gradient[name][i]}`);
  }
});

test("top-k: every grouping gives the set and the order of a full sort, ties by smaller index", () => {
  const d = 8, latents = 256, k = 3, rng = random(5);
  const parameters: Parameters = { wEnc: normals(latents * d, rng), bEnc: new Float32Array(latents), wDec: normals(latents * d, rng), bDec: normals(d, rng) };
  // Duplicates within a group and far apart: exact ties among the largest values.
  for (const [to, from] of [[9, 8], [200, 8], [131, 5], [6, 5], [255, 77], [78, 77], [128, 127]]) {
    parameters.wEnc.copyWithin(to * d, from * d, (from + 1) * d);
  }
  const x = normals(200 * d, rng);
  const weights = { d, latents, k, ...parameters };
  const want = encode(weights, x);
  const groups = groupings(latents, k);
  assert.ok(groups.length >= 4 && groups.some((g) => g.length === 2), JSON.stringify(groups));
  const got = encodeRows(engine, coder(d, latents, k, parameters), x);
  assert.deepEqual(got.index, want.index);
  close(got.value, want.value, 1e-5, "values");
  for (const g of groups) {
    const step = stockStep(engine, freshState(d, latents, k, parameters), { precision: "f32", groups: g, chunk: 64 });
    const { chosen } = step.gradients(x);
    assert.deepEqual(chosen.index, want.index, `groups [${g}]`);
    step.dispose();
  }
});

test("bfloat16 picks nearly the same latents, and their values are float32's", () => {
  const d = 32, latents = 256, k = 4, rng = random(6);
  const initial = state(d, latents, k, 8);
  const x = normals(100 * d, rng);
  const exact = stockStep(engine, initial), rough = stockStep(engine, initial, { precision: "bf16", groups: [8], chunk: 32 });
  const a = exact.gradients(x), b = rough.gradients(x);
  let same = 0;
  for (let row = 0; row < 100; row++) {
    const want = new Map(Array.from({ length: k }, (_, i) => [a.chosen.index[row * k + i], a.chosen.value[row * k + i]]));
    for (let i = row * k; i < (row + 1) * k; i++) {
      const value = want.get(b.chosen.index[i]);
      if (value === undefined) continue;
      same++;
      assert.ok(Math.abs(value - b.chosen.value[i]) <= 1e-5, `${value} ${b.chosen.value[i]}`);
    }
  }
  assert.ok(same >= 0.98 * 100 * k, `${same} of ${100 * k}`);
  assert.ok(Math.abs(a.fvu - b.fvu) < 1e-2 * a.fvu);
  exact.dispose();
  rough.dispose();
});

test("encodeTopK and decode: of some latents only, and both steps alike", () => {
  const d = 10, latents = 48, k = 4, rng = random(9);
  const initial = state(d, latents, k, 10);
  const steps: Step[] = [stockStep(engine, initial), plainStep(engine, initial)];
  const x = normals(25 * d, rng);
  const only = Int32Array.from([2, 3, 5, 7, 11, 13, 17, 40]);
  const [a, b] = steps.map((step) => step.encodeTopK(x, { k: 3, only }));
  const positive = (s: typeof a) => Array.from(s.index, (f, i) => (s.value[i] > 0 ? f : -1));
  assert.deepEqual(positive(a), positive(b));
  assert.ok(a.index.every((f) => only.includes(f)));
  close(a.value, b.value, 1e-5, "values");
  const [p, q] = steps.map((step) => step.decode(a));
  close(p, q, 1e-5, "rows");
  const [m, w] = steps.map((step) => step.measure(x));
  assert.ok(Math.abs(m.fvu - w.fvu) < 1e-5 * w.fvu);
  assert.deepEqual([m.l0, m.dead, m.dense, m.rows], [w.l0, w.dead, w.dense, w.rows]);
  steps.forEach((step) => step.dispose());
});

test("a state carries over: a second step goes on as the first would have", () => {
  const d = 12, latents = 64, k = 4, rng = random(13);
  const first = stockStep(engine, state(d, latents, k, 14));
  const batches = Array.from({ length: 6 }, () => normals(32 * d, rng));
  for (const x of batches.slice(0, 3)) first.update(x, { learningRate: 0.01 });
  const second = stockStep(engine, first.state());
  for (const x of batches.slice(3)) {
    assert.equal(second.update(x, { learningRate: 0.01 }).fvu, first.update(x, { learningRate: 0.01 }).fvu);
  }
  assert.deepEqual(second.state(), first.state());
  first.dispose();
  second.dispose();
});

for (const [kind, make] of [["stock", stockStep], ["plain", plainStep]] as const) {
  test(`a ${kind} step leaves no tensor behind and does not change the caller's arrays`, () => {
    const d = 12, latents = 64, k = 4, rng = random(15);
    // handles of the binding, and TF.js's own count: its variables share handles with the tensors they were made of
    const tensors = () => [engine.live(), engine.tf.memory().numTensors];
    const before = tensors();
    const initial = state(d, latents, k, 16);
    const copy = structuredClone(initial);
    const x = normals(32 * d, rng);
    const kept = x.slice();
    const step = make(engine, initial);
    step.update(x, { learningRate: 0.01 }); // TF.js hands a variable to TensorFlow when it is first used
    const held = tensors();
    for (let i = 0; i < 5; i++) step.update(x, { learningRate: 0.01, dead: Int32Array.from([1, 2, 3]) });
    step.encodeTopK(x);
    step.gradients(x, { dead: Int32Array.from([4]) });
    step.measure(x);
    assert.deepEqual(tensors(), held);
    step.dispose();
    assert.deepEqual(tensors(), before);
    assert.deepEqual(initial, copy);
    assert.deepEqual(x, kept);
  });
}

test("an error inside tidy frees what was made, and names the kernel", () => {
  const before = engine.live();
  const K = kernels(engine);
  assert.throws(() => engine.tidy(() => K.matMul(engine.tensor(new Float32Array(6), [2, 3]), engine.tensor(new Float32Array(8), [2, 4]))), /kernel MatMul/);
  assert.equal(engine.live(), before);
});

test("encode and decode refuse rows that do not fit", () => {
  const d = 6, latents = 12, k = 2;
  const sae = coder(d, latents, k, state(d, latents, k, 17).parameters);
  assert.throws(() => encodeRows(engine, sae, new Float32Array(7)), /multiple of the SAE's width 6, found 7/);
  for (const bad of [NaN, Infinity]) { // in the last number of the second row
    assert.throws(
      () => encodeRows(engine, sae, new Float32Array(12).fill(bad, 11)),
      (error: Error) => error instanceof OptionError && error.message.startsWith(`encode: row 1: expected finite numbers, found ${bad}. Leave`));
  }
  const overflowing = { ...sae, packed: sae.packed.map((w) => w * 1e38) };
  assert.throws(() => encodeRows(engine, overflowing, new Float32Array(6).fill(1e3)), /row 0: expected finite latents/);
  assert.throws(() => encodeRows(engine, sae, new Float32Array(6), { k: 13 }), /1 to 12 latents/);
  const bad = { n: 1, k: 2, index: Int32Array.of(3, 12), value: Float32Array.of(1, 0.5) };
  assert.throws(() => decodeRows(engine, sae, bad), /latents 0 to 11, found 12/);
  assert.equal(decodeRows(engine, sae, { ...bad, value: Float32Array.of(1, 0) }).length, 6); // 0 may carry any index
});
