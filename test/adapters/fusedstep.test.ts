import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { differs, FUSED, fusedKernels, fusedOps, fusedStep } from "../../src/adapters/fusedstep";
import { HALVES, loadOps, OPS, OPS_BUILD, opsSource } from "../../src/adapters/ops";
import { freshState, stockStep, type StepNow as Step, type StepState } from "../../src/adapters/step";
import { tensorflow, type Id } from "../../src/adapters/tensorflow";
import { encode } from "../../src/core/sae";
import { OptionError } from "../../src/core/errors";
import { random, type Random } from "../../src/core/random";
import { planted } from "../planted";
import { agreesWithTorch, close, names } from "./torchsteps";

const engine = tensorflow();
const ops = fusedOps(engine);
assert.ok("id" in ops, `the fused ops must be there where tests run (npm run setup): ${"why" in ops ? ops.why : ""}`);
const setThreads = ops.setThreads;

const normals = (n: number, rng: Random, scale = 1): Float32Array => Float32Array.from({ length: n }, () => scale * rng.normal());

const sixteenths = (values: Float32Array): Float32Array => values.map((value) => Math.round(16 * value) / 16);

/**
 * Untied random weights. The encoder's are multiples of 1/16: with such rows pre-activations are exact however they are
 * summed, and no two steps can choose other latents where two nearly tie.
 */
function state(d: number, latents: number, k: number, seed: number): StepState {
  const rng = random(seed);
  return freshState(d, latents, k, {
    wEnc: sixteenths(normals(latents * d, rng, 1 / Math.sqrt(d))), bEnc: sixteenths(normals(latents, rng, 0.1)), wDec: normals(latents * d, rng),
    bDec: sixteenths(normals(d, rng, 0.3)),
  });
}

agreesWithTorch("fused steps", (initial) => fusedStep(engine, initial));

/** Widths that 16 and 4 do not divide, more latents than groups, every latent chosen, few rows, most of the chosen values 0. */
const cases: { name: string; d: number; latents: number; k: number; rows: number; dead?: number[]; bias?: number }[] = [
  { name: "width 64, 1536 latents", d: 64, latents: 1536, k: 8, rows: 130 },
  { name: "odd sizes, dead latents", d: 37, latents: 1031, k: 7, rows: 33, dead: [0, 5, 700, 1030] },
  { name: "width 1", d: 1, latents: 40, k: 3, rows: 20 },
  { name: "width 3, many dead", d: 3, latents: 50, k: 2, rows: 9, dead: Array.from({ length: 30 }, (_, i) => i + 11) },
  { name: "two rows", d: 19, latents: 100, k: 4, rows: 2 },
  { name: "every latent chosen", d: 8, latents: 12, k: 12, rows: 30, dead: [3] },
  { name: "k beyond what the groups bound", d: 8, latents: 2048, k: 300, rows: 6 },
  { name: "more chosen than are positive", d: 16, latents: 1200, k: 32, rows: 20, bias: -4 },
];

for (const { name, d, latents, k, rows, dead = [], bias = 0 } of cases) {
  test(`fused and stock steps agree: ${name}`, () => {
    const initial = state(d, latents, k, 1);
    initial.parameters.bEnc = initial.parameters.bEnc.map((b) => b + bias);
    const steps = [fusedStep(engine, initial), stockStep(engine, initial), fusedStep(engine, initial, { ...FUSED, product: "apart" })];
    const rng = random(7);
    const x = sixteenths(normals(rows * d, rng, 1.3).map((v, i) => v + (i % d) * 0.1));
    const options = { dead: Int32Array.from(dead) };
    const [a, b, apart] = steps.map((step) => step.gradients(x, options));
    assert.deepEqual(apart.chosen, a.chosen);
    if (bias) assert.ok(b.chosen.value.filter((v) => v === 0).length > 0.3 * b.chosen.value.length);
    assert.ok(Math.abs(a.fvu - b.fvu) <= 1e-5 * b.fvu, `fvu ${a.fvu} ${b.fvu}`);
    assert.ok(Math.abs(a.aux - b.aux) <= 1e-5 * b.aux, `aux ${a.aux} ${b.aux}`);
    const positive = ({ chosen }: typeof a): number[] => Array.from(chosen.index, (f, i) => (chosen.value[i] > 0 ? f : -1));
    assert.deepEqual(positive(a), positive(b));
    for (const part of names) close(a.gradient[part], b.gradient[part], 1e-5, `gradient of ${part}`);
    const updates = k > 100 ? 1 : 20; // later ones choose among weights that are rounded: of very many, two nearly tie
    for (let t = 0; t < updates; t++) {
      const batch = normals(rows * d, rng, 1.3).map((v, i) => v + (i % d) * 0.1);
      const [got, want, other] = steps.map((step) => step.update(batch, { ...options, learningRate: 0.003 }));
      assert.ok(Math.abs(other.fvu - want.fvu) <= 2e-5 * want.fvu, `step ${t}: product apart, fvu ${other.fvu}, expected ${want.fvu}`);
      assert.ok(Math.abs(got.fvu - want.fvu) <= 2e-5 * want.fvu, `step ${t}: fvu ${got.fvu}, expected ${want.fvu}`);
    }
    const end = steps[0].state();
    assert.equal(end.steps, updates);
    for (let f = 0; f < latents; f++) {
      const norm = Math.hypot(...end.parameters.wDec.subarray(f * d, (f + 1) * d));
      assert.ok(Math.abs(norm - 1) < 1e-5, `row ${f} of W_dec has norm ${norm}`);
    }
    steps.forEach((step) => step.dispose());
  });
}

/** Runs the op alone. */
const topK = (pre: Float32Array, bias: Float32Array, n: number, k: number) => engine.tidy(() => {
  const { value, index } = fusedKernels(engine).topK(engine.tensor(pre, [n, bias.length]), engine.tensor(bias, [bias.length]), k);
  return { value: engine.floats(value), index: engine.ints(index) };
});

test("top-k: the set and order of a full sort, ties by smaller index, for rows of all kinds", () => {
  const rng = random(5);
  const kinds: Record<string, (n: number) => Float32Array> = {
    normal: (n) => normals(n, rng),
    "few values, many ties": (n) => Float32Array.from({ length: n }, () => Math.round(2 * rng.normal())),
    equal: (n) => new Float32Array(n).fill(3),
    negative: (n) => normals(n, rng).map((v) => -Math.abs(v) - 1),
    "the largest in one group": (n) => Float32Array.from({ length: n }, (_, i) => (i % 512 === 7 ? 10 + rng.uniform() : rng.normal())),
    ascending: (n) => Float32Array.from({ length: n }, (_, i) => i),
    "far apart": (n) => normals(n, rng).map((v) => v * 10 ** (30 * rng.uniform())),
    infinite: (n) => normals(n, rng).map((v, i) => (i % 97 === 5 ? Infinity : i % 31 === 2 ? -Infinity : v)),
  };
  for (const [F, k] of [[1, 1], [5, 5], [63, 4], [511, 16], [1024, 1], [1537, 32], [4096, 16], [4096, 256], [9216, 300], [2000, 2000]]) {
    for (const [kind, make] of Object.entries(kinds)) {
      const rows = 3, pre = make(rows * F), bias = new Float32Array(F);
      const { value, index } = topK(pre, bias, rows, k);
      for (let row = 0; row < rows; row++) {
        const values = pre.subarray(row * F, (row + 1) * F);
        const want = Array.from(values.keys()).sort((a, b) => (values[b] > values[a] ? 1 : values[b] < values[a] ? -1 : a - b)).slice(0, k);
        assert.deepEqual([...index.subarray(row * k, (row + 1) * k)], want, `${kind}, F ${F}, k ${k}`);
        assert.deepEqual([...value.subarray(row * k, (row + 1) * k)], want.map((f) => Math.max(0, values[f])), `${kind}, F ${F}, k ${k}`);
      }
    }
  }
});

test("top-k adds the bias before it chooses; NaN is shown, not hidden, and indices stay in range", () => {
  const bias = new Float32Array(1200);
  bias[1100] = 5;
  assert.deepEqual([...topK(new Float32Array(1200), bias, 1, 2).index], [1100, 0]);
  const pre = normals(2 * 1200, random(1));
  pre.fill(NaN, 1200);
  const { value, index } = topK(pre, bias, 2, 40);
  assert.ok(index.every((f) => f >= 0 && f < 1200));
  assert.ok(value.subarray(0, 40).every((v) => Number.isFinite(v)));
  assert.ok(value.subarray(40).every((v) => Number.isNaN(v)));
});

test("encoder product and top-k in one: the same as apart, for sizes that divide and that do not", () => {
  const rng = random(21);
  for (const [n, d, F, k] of [[1, 1, 1, 1], [1, 7, 1024, 4], [2, 16, 64, 64], [5, 33, 1025, 3], [49, 24, 2048, 16], [97, 40, 5000, 32], [6, 9, 3333, 3333], [13, 128, 1100, 300]]) {
    const [x, wEnc, bEnc] = [n * d, F * d, F].map((count) => sixteenths(normals(count, rng))); // exact sums, many ties
    const got = engine.tidy(() => {
      const { value, index } = fusedKernels(engine).encodeTopK(engine.tensor(x, [n, d]), engine.tensor(wEnc, [F, d]), engine.tensor(bEnc, [F]), k);
      return { value: engine.floats(value), index: engine.ints(index) };
    });
    const want = encode({ d, latents: F, k, wEnc, bEnc, wDec: new Float32Array(F * d), bDec: new Float32Array(d) }, x);
    const what = `n ${n}, d ${d}, F ${F}, k ${k}`;
    assert.deepEqual(got.value, want.value, what);
    got.index.forEach((f, i) => assert.ok(f === want.index[i] || want.value[i] === 0, `${what}: ${f}, expected ${want.index[i]}`));
    for (let b = 0; b < n; b++) assert.equal(new Set(got.index.subarray(b * k, (b + 1) * k)).size, k, what);
  }
});

test("a row of NaN takes nothing from the other rows of its tile", () => {
  const n = 8, d = 5, F = 2500, k = 6, rng = random(22);
  const x = normals(n * d, rng), wEnc = normals(F * d, rng), bEnc = normals(F, rng);
  const run = (rows: Float32Array) => engine.tidy(() => {
    const { value, index } = fusedKernels(engine).encodeTopK(engine.tensor(rows, [n, d]), engine.tensor(wEnc, [F, d]), engine.tensor(bEnc, [F]), k);
    return { value: engine.floats(value), index: engine.ints(index) };
  });
  const whole = run(x), torn = run(x.map((value, i) => (i === 2 * d + 1 ? NaN : value)));
  for (let i = 0; i < n * k; i++) {
    if (Math.floor(i / k) === 2) assert.ok(Number.isNaN(torn.value[i]) && torn.index[i] >= 0 && torn.index[i] < F);
    else assert.deepEqual([torn.value[i], torn.index[i]], [whole.value[i], whole.index[i]]);
  }
});

test("a batch with NaN gives a loss that is not finite, and leaves the process whole", () => {
  const step = fusedStep(engine, state(16, 1200, 4, 2));
  const x = normals(20 * 16, random(3));
  x[77] = NaN;
  assert.ok(!Number.isFinite(step.update(x, { learningRate: 0.01 }).fvu));
  step.dispose();
  const next = fusedStep(engine, state(16, 1200, 4, 2));
  assert.ok(next.update(normals(20 * 16, random(3)), { learningRate: 0.01 }).fvu > 0);
  next.dispose();
});

test("encodeTopK: all latents or some, one row or many, as plain loops; and what cannot be encoded is refused", () => {
  const d = 13, latents = 1111, k = 6, initial = state(d, latents, k, 4);
  const step = fusedStep(engine, initial), stock = stockStep(engine, initial);
  const only = Int32Array.from({ length: 60 }, (_, i) => 18 * i + 1);
  for (const n of [1, 50]) {
    const x = normals(n * d, random(5));
    const want = encode({ d, latents, k, ...initial.parameters }, x);
    const got = step.encodeTopK(x);
    assert.deepEqual(got.index, want.index);
    close(got.value, want.value, 1e-5, "values");
    const some = step.encodeTopK(x, { k: 3, only });
    assert.deepEqual(some.index, stock.encodeTopK(x, { k: 3, only }).index);
    assert.ok(some.index.every((f) => only.includes(f)));
    close(step.decode(got), stock.decode(got), 1e-6, "rows");
  }
  const x = normals(40 * d, random(6));
  const [m, w] = [step.measure(x), stock.measure(x)];
  assert.ok(Math.abs(m.fvu - w.fvu) < 1e-5 * w.fvu);
  assert.deepEqual([m.l0, m.dead, m.dense, m.rows], [w.l0, w.dead, w.dense, w.rows]);
  assert.throws(() => step.encodeTopK(x.map((v, i) => (i === 14 ? NaN : v))), (e: Error) => e instanceof OptionError && /row 1: expected finite numbers, found NaN/.test(e.message));
  assert.throws(() => step.encodeTopK(x, { k: latents + 1 }), /1 to 1111 latents/);
  assert.throws(() => step.update(x.slice(0, d), { learningRate: 0.1 }), /at least 2 rows/);
  step.dispose();
  stock.dispose();
});

const KEPT = ["f32", "bf16"] as const;
const keeping = (moments: (typeof KEPT)[number]) => ({ ...FUSED, moments });

/** The state after five updates by so many threads of the ops. */
function trained(threads: number, moments: (typeof KEPT)[number]): StepState {
  setThreads(threads);
  try {
    const rng = random(8);
    const step = fusedStep(engine, state(23, 1301, 6, 9), keeping(moments));
    for (let t = 0; t < 5; t++) step.update(normals(300 * 23, rng), { learningRate: 0.01, dead: Int32Array.of(2, 3, 1300) });
    const end = step.state();
    step.dispose();
    return end;
  } finally {
    setThreads(availableParallelism());
  }
}

for (const moments of KEPT) {
  test(`same bits twice, and for any number of threads: moments ${moments}`, () => {
    const once = trained(1, moments);
    for (const threads of [1, 2, 3, 7, 2]) assert.deepEqual(trained(threads, moments), once, `${threads} threads`);
  });
}

/** v of latents without a gradient after so many updates: 1 at first, then 0.999ᵗ on average. */
function idle(updates: number): { state: StepState; idle: number[] } {
  const d = 31, latents = 151, initial = state(d, latents, 1, 4); // odd: the last number stands alone in its int32
  initial.v.wEnc.fill(1);
  initial.v.wDec.fill(1);
  const step = fusedStep(engine, initial, keeping("bf16")), x = normals(8 * d, random(3));
  const fired = new Set<number>();
  for (let t = 0; t < updates; t++) step.update(x, { learningRate: 0 }).chosen.index.forEach((f) => fired.add(f));
  const end = step.state();
  step.dispose();
  return { state: end, idle: Array.from({ length: latents }, (_, f) => f).filter((f) => !fired.has(f)) };
}

test("second moments as bfloat16 are right on average, where the nearest would never change; chance differs from place to place", () => {
  const d = 31, updates = 200, { state: end, idle: still } = idle(updates);
  assert.ok(still.length > 140);
  for (const name of ["wEnc", "wDec"] as const) {
    const values = still.flatMap((f) => [...end.v[name].subarray(f * d, (f + 1) * d)]);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    // In a step a value goes down by 2⁻⁸ with chance p ≈ ¼: standard deviation 2⁻⁸·√(updates·p(1 − p)/values) ≈ 0.00036 of the mean.
    assert.ok(Math.abs(mean - 0.999 ** updates) < 0.002, `${name}: ${mean}, expected ${0.999 ** updates}`);
    assert.ok(new Set(values).size > 10);
    for (const f of still.slice(1)) assert.notDeepEqual(end.v[name].subarray(f * d, (f + 1) * d), end.v[name].subarray(still[0] * d, (still[0] + 1) * d));
  }
  assert.notDeepEqual(end.v.wEnc, end.v.wDec);
});

test("moments as bfloat16: those of float32 to their last place after an update, parameters the same; parts, live arrays, other steps", () => {
  const d = 23, latents = 301, length = d * latents, x = normals(60 * d, random(6));
  const initial = state(d, latents, 5, 12);
  const [brief, long] = KEPT.slice().reverse().map((moments) => fusedStep(engine, initial, keeping(moments)));
  for (const step of [brief, long]) step.update(x, { learningRate: 0.01, dead: Int32Array.of(0, 299) });
  const a = brief.state(), b = long.state();
  for (const name of names) close(a.parameters[name], b.parameters[name], 1e-6, name);
  for (const name of ["wEnc", "wDec"] as const) {
    for (const [set, bound] of [["m", 2 ** -8], ["v", 2 ** -7]] as const) {
      a[set][name].forEach((value, i) => assert.ok(Math.abs(value - b[set][name][i]) <= 1.01 * bound * Math.abs(b[set][name][i]) + 1e-37, `${set} ${name} ${i}: ${value}, ${b[set][name][i]}`));
      const bits = new Uint32Array(a[set][name].buffer);
      assert.ok(bits.every((one) => (one & 0xffff) === 0) && bits.some((one) => one !== 0));
      for (const [from, to] of [[0, length], [0, 1], [1, 2], [7, 100], [length - 2, length], [length - 1, length]]) {
        assert.deepEqual(brief.part!(set, name, from, to), a[set][name].slice(from, to), `${from} to ${to}`);
      }
      assert.deepEqual(brief.live()[set][name], a[set][name]);
    }
  }
  for (const step of [fusedStep(engine, a, keeping("bf16")), fusedStep(engine, a), stockStep(engine, a)]) {
    assert.deepEqual(step.state(), a, step.kind);
    step.dispose();
  }
  brief.dispose();
  long.dispose();
});

test("200 updates with moments as bfloat16 come as far as with float32 ones", () => {
  const d = 48, latents = 384, k = 6, n = 128, updates = 200;
  const { rows } = planted({ d, rows: n * updates, directions: 192, active: 5 });
  const [long, brief] = KEPT.map((moments) => {
    const step = fusedStep(engine, state(d, latents, k, 18), keeping(moments));
    let sum = 0;
    for (let t = 0; t < updates; t++) {
      const { fvu } = step.update(rows.slice(t * n * d, (t + 1) * n * d), { learningRate: 0.004 });
      if (t >= 100) sum += fvu / 100;
    }
    step.dispose();
    return sum;
  });
  assert.ok(long < 0.65 && Math.abs(brief - long) < 0.01 * long, `FVU ${brief}, in float32 ${long}`);
});

for (const moments of KEPT) test(`a state carries over, and from the stock step; snapshots do not change afterwards: moments ${moments}`, () => {
  const d = 12, latents = 64, k = 4, rng = random(13);
  const batches = Array.from({ length: 6 }, () => normals(32 * d, rng));
  const first = fusedStep(engine, state(d, latents, k, 14), keeping(moments));
  for (const x of batches.slice(0, 3)) first.update(x, { learningRate: 0.01 });
  const between = first.state(), copy = structuredClone(between);
  const second = fusedStep(engine, between, keeping(moments)), stock = stockStep(engine, between);
  for (const x of batches.slice(3)) {
    const { fvu } = first.update(x, { learningRate: 0.01 });
    assert.equal(second.update(x, { learningRate: 0.01 }).fvu, fvu);
    assert.ok(Math.abs(stock.update(x, { learningRate: 0.01 }).fvu - fvu) < (moments === "bf16" ? 1e-2 : 1e-5) * fvu);
  }
  assert.deepEqual(second.state(), first.state());
  assert.deepEqual(between, copy);
  for (const step of [first, second, stock]) step.dispose();
});

for (const moments of KEPT) test(`a fused step leaves no tensor behind and does not change the caller's arrays: moments ${moments}`, () => {
  const d = 12, latents = 64, k = 4;
  const before = engine.live();
  const initial = state(d, latents, k, 16), copy = structuredClone(initial);
  const x = normals(32 * d, random(15)), kept = x.slice();
  const step = fusedStep(engine, initial, keeping(moments));
  const held = engine.live();
  for (let i = 0; i < 20; i++) step.update(x, { learningRate: 0.01, dead: i % 2 ? Int32Array.from([1, 2, 3]) : undefined });
  step.encodeTopK(x, { only: Int32Array.of(1, 2, 3, 4, 5) });
  step.gradients(x, { dead: Int32Array.from([4]) });
  step.measure(x);
  assert.equal(engine.live(), held);
  step.dispose();
  assert.equal(engine.live(), before);
  assert.deepEqual(initial, copy);
  assert.deepEqual(x, kept);
});

test("dead latents that are not ascending, or none of the SAE's, are refused before anything changes", () => {
  const step = fusedStep(engine, state(6, 40, 3, 2)), x = normals(8 * 6, random(2));
  const before = step.state().parameters;
  for (const dead of [[5, 4], [4, 4]]) {
    assert.throws(() => step.update(x, { learningRate: 0.1, dead: Int32Array.from(dead) }), /kernel SaeUpdate: at: expected ascending latents below 40/);
  }
  assert.throws(() => step.update(x, { learningRate: 0.1, dead: Int32Array.of(40) }), /kernel GatherV2/);
  assert.deepEqual(step.state(), { ...step.state(), parameters: before, steps: 0 });
  step.dispose();
});

test("the ops refuse tensors that do not fit, with what was expected", () => {
  const floats = (...shape: number[]): Id => engine.tensor(new Float32Array(shape.reduce((p, q) => p * q, 1)), shape);
  const ints = (value: number, ...shape: number[]): Id => engine.tensor(new Int32Array(shape.reduce((p, q) => p * q, 1)).fill(value), shape);
  const before = engine.live();
  const fails = (body: () => unknown, pattern: RegExp): void => assert.throws(() => engine.tidy(() => void body()), pattern);
  const ops = fusedKernels(engine);
  fails(() => ops.topK(floats(2, 30), floats(31), 3), /kernel SaeTopK: b_enc: expected shape \[ 30 \], found \[ 31 \]/);
  fails(() => ops.topK(floats(2, 30), floats(30), 31), /kernel SaeTopK: k: expected 1 to 30, found 31/);
  fails(() => ops.encodeTopK(floats(2, 7), floats(30, 8), floats(30), 3), /kernel SaeEncodeTopK: W_enc: expected shape \[ 30 7 \], found \[ 30 8 \]/);
  const decode = (index: Id, levels = ints(0, 1, 1), weights = [1], y = floats(4, 3)) =>
    ops.decode(floats(4, 3), { value: floats(4, 2), index, levels }, y, weights, floats(9, 3));
  fails(() => decode(ints(9, 4, 2)), /kernel SaeDecode: i: expected latents 0 to 8/);
  fails(() => decode(ints(-1, 4, 2)), /kernel SaeDecode: i: expected latents 0 to 8/);
  fails(() => decode(ints(0, 4, 3)), /kernel SaeDecode: i: expected shape \[ 4 2 \], found \[ 4 3 \]/);
  fails(() => decode(ints(0, 4, 2), ints(2, 4, 2), [1, 1]), /kernel SaeDecode: levels: expected 0 to 1/);
  fails(() => decode(ints(0, 4, 2), ints(-1, 4, 2), [1, 1]), /kernel SaeDecode: levels: expected 0 to 1/);
  fails(() => decode(ints(0, 4, 2), ints(0, 4, 1), [1, 1]), /kernel SaeDecode: levels: expected the shape of i/);
  fails(() => decode(ints(0, 4, 2), ints(0, 1, 1), [1, 1]), /kernel SaeDecode: levels: expected one for each pair/);
  fails(() => decode(ints(0, 4, 2), undefined, undefined, floats(4, 4)), /kernel SaeDecode: y: expected shape \[ 4 3 \], found \[ 4 4 \]/);
  fails(() => ops.groupMax(floats(2, 30), floats(30), 4), /kernel SaeGroupMax: k: expected a divisor of 30, found 4/);
  assert.equal(engine.live(), before);
});

test("the self-test finds a step that computes something else", () => {
  assert.equal(differs(engine, fusedStep), undefined);
  assert.equal(differs(engine, (e, initial) => fusedStep(e, initial, keeping("bf16"))), undefined);
  const wrong = (change: (step: Step) => Partial<Step>) => differs(engine, (e, initial) => {
    const step = fusedStep(e, initial);
    return { ...step, ...change(step) };
  });
  assert.match(wrong(({ gradients }) => ({ gradients: (x, o) => ({ ...gradients(x, o), fvu: NaN }) }))!, /loss/);
  assert.match(wrong(({ gradients }) => ({
    gradients(x, o) {
      const found = gradients(x, o);
      found.gradient.bDec[3] *= 1.001;
      return found;
    },
  }))!, /gradient of bDec/);
  assert.match(wrong(({ update }) => ({ update: (x, o) => update(x, { ...o, learningRate: 1.01 * o.learningRate }) }))!, /after an update/);
  assert.match(differs(engine, (e, initial) => {
    const step = fusedStep(e, initial, keeping("bf16"));
    return { ...step, state: () => ({ ...step.state(), m: initial.m }) };
  })!, /after an update \(m\)/);
  assert.match(wrong(() => ({ update: () => { throw new Error("no such kernel"); } }))!, /no such kernel/);
});

test("ops that are missing, or made for another CPU or of another source, are not loaded, and the reason is given", () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-ops-"));
  try {
    const file = join(folder, "ops.node");
    const why = (): string => (loadOps(engine, file) as { why: string }).why;
    assert.match(why(), /was not built/);
    copyFileSync(OPS, file);
    assert.match(why(), /does not load.*ops\.node\.json/);
    writeFileSync(`${file}.json`, JSON.stringify({ ...JSON.parse(readFileSync(OPS_BUILD, "utf8")), cpu: "Another CPU, flags 0" }));
    assert.match(why(), /built for another CPU \(Another CPU/);
    writeFileSync(`${file}.json`, JSON.stringify({ ...JSON.parse(readFileSync(OPS_BUILD, "utf8")), source: "0" }));
    assert.match(why(), /built of another version of src\/native/); // its ops may take other inputs, and end the process
    assert.equal(JSON.parse(readFileSync(OPS_BUILD, "utf8")).source, opsSource());
    copyFileSync(OPS_BUILD, `${file}.json`);
    writeFileSync(file, "no library");
    assert.match(why(), /does not load/);
    assert.match((loadOps({ ...engine, device: "cuda" }, file) as { why: string }).why, /GPU/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Rows as models have them: a far mean, a few dimensions fifty times as large as the others, some rows very long. */
function heavyRows(n: number, d: number, rng: Random): Float32Array {
  const x = normals(n * d, rng);
  for (let row = 0; row < n; row++) {
    const longer = row % 50 === 3 ? 40 : 1;
    for (let j = 0; j < d; j++) x[row * d + j] = longer * (x[row * d + j] * (j % 60 === 7 ? 50 : 1) + (j % 9 === 0 ? 10 : 0));
  }
  return x;
}

for (const half of HALVES) {
  const has = ops.halves.includes(half);
  test(`the ${half} product chooses what float32 chooses, but for near ties`, { skip: !has && "not of this processor" }, () => {
    for (const [d, latents, k, n] of [[192, 3000, 16, 250], [129, 5000, 32, 97], [700, 1100, 64, 40], [16, 40, 40, 5]]) {
      const rng = random(d);
      const initial = state(d, latents, k, 3);
      const x = heavyRows(n, d, rng);
      const steps = [fusedStep(engine, initial, { ...FUSED, product: half }), fusedStep(engine, initial)];
      const [a, b] = steps.map((step) => step.encodeTopK(x));
      let other = 0;
      for (let row = 0; row < n; row++) {
        const want = new Set(b.index.subarray(row * k, (row + 1) * k));
        const scale = 3e-6 * Math.hypot(...x.subarray(row * d, (row + 1) * d)); // float32 sums of numbers this large
        for (let i = row * k; i < (row + 1) * k; i++) {
          other += want.has(a.index[i]) ? 0 : 1;
          assert.ok(Math.abs(a.value[i] - b.value[i]) <= scale, `d ${d}, row ${row}: ${a.value[i]}, expected ${b.value[i]}`);
        }
      }
      assert.ok(other <= n * k * 1e-3, `${other} of ${n * k} latents are others`);
      steps.forEach((step) => step.dispose());
    }
  });

  test(`the ${half} product: the same bits on any number of threads, and NaN is shown`, { skip: !has && "not of this processor" }, () => {
    const d = 70, latents = 1300, k = 8, n = 333;
    const step = fusedStep(engine, state(d, latents, k, 5), { ...FUSED, product: half });
    const x = heavyRows(n, d, random(9));
    try {
      const [one, three] = [1, 3].map((threads) => {
        setThreads(threads);
        return step.encodeTopK(x);
      });
      assert.deepEqual(one, three);
    } finally {
      setThreads(availableParallelism());
    }
    x[5 * d + 3] = NaN;
    assert.ok(Number.isNaN(step.gradients(x).fvu));
    step.dispose();
  });
}

test("a choice of a product that this processor has not is refused", (t) => {
  const missing = HALVES.find((half) => !ops.halves.includes(half));
  if (!missing) return t.skip("this processor has them all");
  assert.throws(() => fusedStep(engine, state(8, 20, 2, 0), { ...FUSED, product: missing }), OptionError);
});
