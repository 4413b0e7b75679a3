import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fusedStep } from "../../src/adapters/fusedstep";
import { bandwidthOf, startThresholds } from "../../src/adapters/jumprelu";
import { saeOf } from "../../src/adapters/sae";
import { freshState, stockStep, type Losses, type StepNow as Step } from "../../src/adapters/step";
import { OptionError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { encode, reconstruct } from "../../src/core/sae";
import { partsOf, trainedWeights, trainingWeights, type Parameters, type StepState } from "../../src/core/trained";
import { engine, KINDS, normals, rowsOf, SMALL, stateOf, stepsOf, STRUCTURES, targetOf, torchKinds, type Sizes } from "./kindsteps";
import { close } from "./torchsteps";

const torch = torchKinds();

for (const kind of KINDS) {
  test(`${kind}: every step and structure agrees with PyTorch's autograd and Adam`, () => {
    for (const structure of STRUCTURES) {
      const initial = torch.start(kind, structure);
      const { dead, l0Weight, learningRate, split, floats } = torch;
      const wantGradient = split(floats(`${kind}.${structure}.gradient`), initial.parameters);
      const wantEnd = split(floats(`${kind}.${structure}.end`), initial.parameters);
      const losses = floats(`${kind}.${structure}.losses`);
      for (const [what, make] of Object.entries(stepsOf(kind))) {
        const name = `${kind} ${structure} ${what}`, step = make(initial);
        const options = (t: number) => ({ dead, l0Weight, ...torch.target(t, structure) });
        const { gradient } = step.gradients(torch.x(0), options(0));
        assert.deepEqual(partsOf(gradient), partsOf(initial.parameters), name);
        for (const part of partsOf(gradient)) close(gradient[part]!, wantGradient[part]!, 3e-6, `${name}: gradient of ${part}`);
        for (let t = 0; t < torch.steps; t++) {
          const { fvu, extra, aux } = step.update(torch.x(t), { ...options(t), learningRate });
          [fvu, extra, aux].forEach((value, i) => {
            const want = losses[3 * t + i];
            assert.ok(Math.abs(value - want) <= 2e-5 * Math.abs(want) + 1e-7, `${name}, step ${t}: loss ${i} is ${value}, expected ${want}`);
          });
        }
        const { parameters } = step.state();
        for (const part of partsOf(parameters)) close(parameters[part]!, wantEnd[part]!, 5e-5, `${name}: ${part} at the end`);
        step.dispose();
      }
    }
  });
}

/** Sizes that divide nothing, and more latents than the groups of a fused top-k. */
const LARGE: Sizes = { d: 21, dOut: 34, latents: 1100, k: 5, widths: [3, 250, 1100] };

for (const kind of KINDS) {
  test(`${kind}: stock and fused agree with the plain step, with and without dead latents`, () => {
    for (const structure of STRUCTURES) {
      const initial = stateOf(kind, structure, 3, LARGE), rng = random(4), n = 23;
      // Dead latents do not tie: those that tie with the last one take part in the stock step.
      for (let i = 0; i < 40; i++) initial.parameters.bEnc[20 * i + 3] += 0.0011 * i;
      // A row that is larger than the others has more latents among the batch's largest than a row has candidates at first.
      const x = rowsOf(n, LARGE.d, rng).map((v, i) => (i < LARGE.d ? 8 * v : v)), target = targetOf(initial, n, rng);
      const steps = Object.entries(stepsOf(kind)).map(([what, make]) => [what, make(initial)] as const);
      for (const dead of [new Int32Array(0), Int32Array.from({ length: 40 }, (_, i) => 20 * i + 3)]) {
        const [want, ...rest] = steps.map(([, step]) => step.gradients(x, { ...target, dead }));
        assert.equal(want.aux > 0, dead.length > 0);
        if (kind === "batchtopk" && structure === "sae") assert.ok(want.chosen.k > 4 * LARGE.k, "a row with more than its first candidates");
        rest.forEach((got, i) => {
          const name = `${structure} ${steps[i + 1][0]}, ${dead.length} dead`;
          for (const loss of ["fvu", "aux", "extra", "l0"] as const) assert.ok(Math.abs(got[loss] - want[loss]) <= 1e-5 * Math.abs(want[loss]) + 1e-7, `${name}: ${loss} ${got[loss]}, expected ${want[loss]}`);
          assert.deepEqual(pairs(got), pairs(want), name);
          for (const part of partsOf(want.gradient)) close(got.gradient[part]!, want.gradient[part]!, 1e-5, `${name}: gradient of ${part}`);
        });
      }
      for (const [, step] of steps) step.update(x, { ...target, learningRate: 0.003, dead: Int32Array.of(5, 700) });
      const [want, ...rest] = steps.map(([, step]) => step.state());
      rest.forEach((got, i) => {
        for (const set of ["parameters", "m", "v"] as const) {
          for (const part of partsOf(want[set])) close(got[set][part]!, want[set][part]!, 1e-4, `${structure} ${steps[i + 1][0]}: ${part} (${set})`);
        }
        assert.ok(got.threshold === want.threshold || Math.abs(got.threshold! - want.threshold!) < 1e-5);
      });
      for (const [, step] of steps) step.dispose();
    }
  });
}

/** Positive (row, latent) pairs, ordered. */
const pairs = ({ chosen: { k, index, value } }: Losses): number[] =>
  Array.from(index.keys()).filter((i) => value[i] > 0).map((i) => Math.floor(i / k) * 1e6 + index[i]).sort((a, b) => a - b);

for (const kind of KINDS) {
  test(`${kind}: a state goes on to the same bits, tensors are given back, arrays are left alone, inference is core's`, () => {
    for (const structure of STRUCTURES) {
      for (const [what, make] of Object.entries(stepsOf(kind))) {
        const name = `${structure} ${what}`, before = engine.live(), rng = random(13), n = 40;
        const initial = stateOf(kind, structure, 14), copy = structuredClone(initial);
        const batches = Array.from({ length: 4 }, () => ({ x: normals(n * SMALL.d, rng), ...targetOf(initial, n, rng) }));
        const kept = structuredClone(batches);
        const options = (i: number) => ({ target: batches[i].target, learningRate: 0.01, dead: i % 2 ? Int32Array.of(1, 9, 60) : undefined });
        const first = make(initial);
        for (const i of [0, 1]) first.update(batches[i].x, options(i));
        const between = first.state(), snapshot = structuredClone(between);
        const second = make(between);
        for (const i of [2, 3]) {
          const [a, b] = [first, second].map((step) => step.update(batches[i].x, options(i)));
          assert.deepEqual(b, a, name);
        }
        const end = first.state();
        assert.deepEqual(second.state(), end, name);
        assert.deepEqual(between, snapshot, name);
        const weights = trainingWeights(end), { x, target } = batches[0];
        const got = first.encodeTopK(x), want = encode(weights, x);
        assert.deepEqual([got.n, pairs({ chosen: got } as Losses)], [want.n, pairs({ chosen: want } as Losses)], name);
        const measured = first.measure(x, target), xHat = reconstruct(weights, x), y = target ?? x;
        const error = y.reduce((sum, v, i) => sum + (v - xHat[i]) ** 2, 0);
        const mean = Array.from({ length: weights.dOut ?? SMALL.d }, (_, j, out = weights.dOut ?? SMALL.d) => y.reduce((sum, v, i) => (i % out === j ? sum + v / n : sum), 0));
        const variance = y.reduce((sum, v, i) => sum + (v - mean[i % mean.length]) ** 2, 0);
        assert.ok(Math.abs(measured.fvu - error / variance) < 1e-5 * measured.fvu, `${name}: FVU ${measured.fvu}, expected ${error / variance}`);
        assert.equal(first.encodeTopK(x, { k: 2, only: Int32Array.of(3, 4, 5) }).k, 2);
        const held = engine.live();
        for (let i = 0; i < 4; i++) first.update(batches[i].x, options(i));
        first.gradients(x, options(1));
        first.encodeTopK(x);
        first.measure(x, target);
        assert.equal(engine.live(), held, name);
        for (const step of [first, second]) step.dispose();
        assert.equal(engine.live(), before, name);
        assert.deepEqual(initial, copy);
        assert.deepEqual(batches, kept);
      }
    }
  });
}

test("the running threshold is exactly the first batch's smallest chosen value, then 0.99 of itself and 0.01 of each batch's", () => {
  for (const kind of ["batchtopk", "matryoshka"] as const) {
    for (const [what, make] of Object.entries(stepsOf(kind))) {
      const rng = random(21), step = make(stateOf(kind, "sae", 20));
      assert.equal(step.state().threshold, undefined);
      let want: number | undefined;
      for (let t = 0; t < 5; t++) {
        const { chosen, l0 } = step.update(normals(30 * SMALL.d, rng), { learningRate: 0.01 });
        assert.equal(l0, SMALL.k, "n·k latents of the batch, exactly");
        const least = Math.min(...chosen.value.filter((v) => v > 0));
        want = want === undefined ? least : 0.99 * want + 0.01 * least;
        assert.equal(step.state().threshold, want, `${kind} ${what}`);
      }
      step.dispose();
    }
  }
});

test("rows of W_dec have unit norm after every update of every kind and step", () => {
  for (const kind of KINDS) {
    for (const make of Object.values(stepsOf(kind))) {
      const rng = random(22), initial = stateOf(kind, "skip", 23), step = make(initial);
      for (let t = 0; t < 3; t++) {
        step.update(normals(20 * SMALL.d, rng), { ...targetOf(initial, 20, rng), learningRate: 0.1, dead: Int32Array.of(0, 63) });
        const { wDec } = step.state().parameters;
        for (let at = 0; at < wDec.length; at += SMALL.dOut) {
          const norm = Math.hypot(...wDec.subarray(at, at + SMALL.dOut));
          assert.ok(Math.abs(norm - 1) < 5e-7, `${norm}`); // a float32's last bit is 6e-8
        }
      }
      step.dispose();
    }
  }
});

/**
 * Gradients of a multi-top-k SAE with dead latents, ours by every step, autograd's, and autograd's with a peer's fault: of all
 * latents, or of the dead ones, where a fault of AuxK shows.
 */
function faulty(fault: string, part: "wEnc" | "wDec", of: "all" | "dead"): void {
  const initial = torch.start("multitopk", "sae"), { split, floats, dead } = torch;
  const rows = (gradient: Parameters): Float32Array =>
    gradient[part].filter((_, i) => of === "all" || dead.includes(Math.floor(i / initial.d)));
  const right = rows(split(floats("multitopk.sae.gradient"), initial.parameters));
  const wrong = rows(split(floats(`fault.${fault}`), initial.parameters));
  const distance = (a: Float32Array, b: Float32Array): number => Math.hypot(...a.map((v, i) => v - b[i])) / Math.hypot(...b);
  assert.ok(distance(wrong, right) > 0.05, `the fault shows: ${distance(wrong, right)}`);
  for (const [what, make] of Object.entries(stepsOf("multitopk"))) {
    const step = make(initial);
    const ours = rows(step.gradients(torch.x(0), { dead }).gradient);
    assert.ok(distance(ours, right) < 1e-5, `${what}: ${distance(ours, right)}`);
    assert.ok(distance(ours, wrong) > 0.05, what);
    step.dispose();
  }
}

test("multi-top-k's gradient reaches the encoder (sparsify since March 2025: it does not)", () => faulty("multitopk without the encoder", "wEnc", "all"));
test("AuxK's gradient reaches the encoder (sparsify since March 2025: it does not)", () => faulty("auxiliary without the encoder", "wEnc", "dead"));
test("b_dec is subtracted once in AuxK (sparsify #132, SAELens 6.18: twice)", () => faulty("auxiliary with b_dec", "wDec", "dead"));
test("AuxK's activations go through ReLU (SAELens: they do not)", () => faulty("auxiliary without ReLU", "wDec", "dead"));

test("only multi-top-k's k latents count as fired (sparsify: the 4k)", () => {
  const initial = stateOf("multitopk", "sae", 30), x = normals(50 * SMALL.d, random(31));
  for (const make of Object.values(stepsOf("multitopk"))) {
    const step = make(initial);
    const fourfold = step.encodeTopK(x, { k: 4 * SMALL.k }), { chosen, l0 } = step.update(x, { learningRate: 0 });
    assert.equal(chosen.k, SMALL.k);
    assert.deepEqual(pairs({ chosen } as Losses), pairs({ chosen: encode(trainingWeights(initial), x) } as Losses));
    const fired = (index: Int32Array, value: Float32Array): number => new Set(index.filter((_, i) => value[i] > 0)).size;
    assert.ok(fired(chosen.index, chosen.value) < fired(fourfold.index, fourfold.value), "the fault would call fewer latents dead");
    assert.ok(l0 <= SMALL.k);
    step.dispose();
  }
});

test("trained weights read the model's units and give what the step gives in training units, for every kind and structure", () => {
  for (const kind of KINDS) {
    for (const structure of STRUCTURES) {
      for (const uniform of [true, false]) {
        const rng = random(40), initial = stateOf(kind, structure, 41), n = 30, { d, dOut, transcoder } = initial;
        const step = stockStep(engine, initial);
        const scales = (width: number): Float32Array => {
          const one = Math.fround(0.2 + 3 * rng.uniform());
          return Float32Array.from({ length: width }, () => (uniform ? one : 0.2 + 3 * rng.uniform()));
        };
        const scaleIn = scales(d), scaleOut = transcoder ? scales(dOut) : scaleIn;
        const trainingRows = normals(n * d, rng);
        step.update(trainingRows, { ...targetOf(initial, n, rng), learningRate: 0.01 });
        const state = step.state();
        const weights = trainedWeights(state, scaleIn, scaleOut);
        const want = reconstruct(trainingWeights(state), trainingRows).map((v, i) => v / scaleOut[i % dOut]);
        const sae = saeOf(weights); // whose checks accept them
        close(sae.reconstruct(trainingRows.map((v, i) => v / scaleIn[i % d])), want, 1e-5, `${kind} ${structure}`);
        if (uniform && !transcoder) assert.equal(weights.wDec, state.parameters.wDec);
        step.dispose();
      }
    }
  }
  const state = stateOf("topk", "sae", 1), ones = new Float32Array(SMALL.d).fill(1);
  assert.throws(() => trainedWeights(state, ones, ones.map((_, i) => i + 1)), (e: Error) => e instanceof OptionError && /rebuilds the rows that it reads/.test(e.message));
  for (const bad of [0, -1, NaN, Infinity]) assert.throws(() => trainedWeights(state, ones.with(3, bad), ones), /numbers above 0/);
  assert.throws(() => trainedWeights(state, ones.slice(1), ones), /expected 12 numbers/);
});

test("JumpReLU begins where k latents a row pass, and its loss brings L0 to k while FVU falls", () => {
  const d = 16, latents = 96, k = 4, rng = random(50), n = 256;
  const dictionary = normals(48 * d, rng, 1 / Math.sqrt(d));
  const batch = (): Float32Array => {
    const x = normals(n * d, rng, 0.05);
    for (let row = 0; row < n; row++) {
      for (let i = 0; i < 4; i++) {
        const f = rng.below(48), amount = 2 * Math.exp(0.3 * rng.normal());
        for (let j = 0; j < d; j++) x[row * d + j] += amount * dictionary[f * d + j];
      }
    }
    return x;
  };
  const wDec = normals(latents * d, rng);
  const fresh = freshState(d, latents, k, { wEnc: wDec, bEnc: new Float32Array(latents), wDec, bDec: new Float32Array(d) }, { kind: "jumprelu" });
  const start = startThresholds(engine, { ...fresh, parameters: { ...fresh.parameters, wEnc: fresh.parameters.wDec.map((w) => w / 2) } }, batch());
  const step = stockStep(engine, start);
  const begin = step.measure(batch());
  assert.ok(Math.abs(begin.l0 - k) < 0.3, `${begin.l0}`);
  for (let t = 0; t < 300; t++) step.update(batch(), { learningRate: 0.01 * Math.min(1, (300 - t) / 60) });
  const end = step.measure(batch());
  assert.ok(Math.abs(end.l0 - k) < 0.25 * k, `L0 ${end.l0}`);
  assert.ok(end.fvu < 0.5 * begin.fvu, `FVU ${begin.fvu} to ${end.fvu}`);
  assert.ok(new Set(step.state().parameters.logThreshold).size > latents / 2, "thresholds went their own ways");
  assert.equal(bandwidthOf(start), 0.3 * 2);
  step.dispose();
});

test("where nothing passes its threshold the L0 loss is λ, and thresholds with p near them come down", () => {
  const initial = stateOf("jumprelu", "sae", 60), x = normals(20 * SMALL.d, random(61));
  for (const make of Object.values(stepsOf("jumprelu"))) {
    const ranked = make(initial), largest = Math.max(...ranked.encodeTopK(x, { k: 1 }).value);
    ranked.dispose();
    for (const [above, near] of [[bandwidthOf(initial) / 4, true], [bandwidthOf(initial), false]] as const) {
      const logThreshold = new Float32Array(SMALL.latents).fill(Math.log(largest + above));
      const step = make({ ...initial, parameters: { ...initial.parameters, logThreshold } });
      const { gradient, l0, extra, chosen } = step.gradients(x, { l0Weight: 3 });
      assert.deepEqual([l0, extra, chosen.k, chosen.value.some((v) => v !== 0)], [0, 3, 1, false]);
      assert.equal(gradient.logThreshold!.some((g) => g !== 0), near);
      step.update(x, { learningRate: 0.01, l0Weight: 1000 });
      assert.equal(step.state().parameters.logThreshold!.some((t, f) => t < logThreshold[f] - 0.009), near);
      step.dispose();
    }
  }
});

test("what does not fit is refused before anything is computed", () => {
  const weights = (d: number, F: number, out = d): Parameters => ({ wEnc: new Float32Array(F * d), bEnc: new Float32Array(F), wDec: new Float32Array(F * out).fill(1), bDec: new Float32Array(out) });
  const refused = (body: () => unknown, pattern: RegExp): void => assert.throws(body, (e: Error) => e instanceof OptionError && pattern.test(e.message));
  refused(() => freshState(4, 10, 11, weights(4, 10)), /k: expected 1 to 10/);
  refused(() => freshState(4, 10, 3, weights(4, 10), { kind: "groupmax" }), /k: expected a divisor of 10/);
  for (const widths of [undefined, [], [4, 4, 10], [5], [0, 10], [2.5, 10]]) refused(() => freshState(4, 10, 2, weights(4, 10), { kind: "matryoshka", widths }), /widths: expected ascending/);
  refused(() => freshState(4, 10, 2, weights(4, 10), { widths: [10] }), /widths: expected none/);
  refused(() => freshState(4, 10, 2, weights(4, 10, 5), { dOut: 5 }), /dOut: expected 4/);
  refused(() => freshState(4, 10, 2, weights(4, 10), { transcoder: true, dOut: 5 }), /wDec: expected 50 numbers/);
  for (const make of [stockStep, fusedStep] as ((e: typeof engine, s: StepState) => Step)[]) {
    const sae = make(engine, stateOf("topk", "sae", 1)), other = make(engine, stateOf("topk", "transcoder", 1)), x = normals(10 * SMALL.d, random(1));
    refused(() => sae.update(x, { learningRate: 0.1, target: x }), /target: expected none/);
    refused(() => other.update(x, { learningRate: 0.1 }), /target: expected the rows/);
    refused(() => other.gradients(x, { target: new Float32Array(8 * SMALL.dOut) }), /target: expected 10 rows of width 9/);
    assert.equal(other.state().steps, 0);
    for (const step of [sae, other]) step.dispose();
  }
});

test("a batch with NaN gives a loss that is not finite, whatever the kind", () => {
  for (const kind of KINDS) {
    for (const make of Object.values(stepsOf(kind))) {
      const step = make(stateOf(kind, "sae", 2)), x = normals(20 * SMALL.d, random(3));
      x[77] = NaN;
      assert.ok(!Number.isFinite(step.update(x, { learningRate: 0.01 }).fvu), kind);
      step.dispose();
    }
  }
});

test("a step lets go of the arrays it began with: they are as large as its tensors", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const begun = KINDS.flatMap((kind) => Object.entries(stepsOf(kind)).filter(([what]) => what !== "plain").map(([what, make]) => {
    const initial = stateOf(kind, "skip", 1);
    return { name: `${kind} ${what}`, step: make(initial), arrays: [new WeakRef(initial.parameters.wDec), new WeakRef(initial.m.wEnc), new WeakRef(initial.v.wSkip!)] };
  }));
  const held = (): string[] => begun.filter(({ arrays }) => arrays.some((array) => array.deref() !== undefined)).map(({ name }) => name);
  for (let i = 0; i < 50 && held().length; i++) { // a WeakRef holds on until the job it was asked in ends, the stack for a while
    await new Promise((resolve) => setTimeout(resolve, 5));
    collect();
  }
  assert.deepEqual(held(), []);
  for (const { step } of begun) step.dispose();
});
