import assert from "node:assert/strict";
import { test } from "node:test";
import type { Choice } from "../../src/adapters/coder";
import { DEFERRED } from "../../src/adapters/deferredstep";
import { fusedStep } from "../../src/adapters/fusedstep";
import { stockStep, type Losses, type StepNow, type UpdateOptions } from "../../src/adapters/step";
import { random } from "../../src/core/random";
import { freshState, partsOf, type StepState } from "../../src/core/trained";
import { followed, kernelOf, registry } from "./gpuplaces";
import { engine, KINDS, normals, rowsOf, SMALL, stateOf, STRUCTURES, targetOf } from "./kindsteps";
import { agreesWithTorch, close } from "./torchsteps";

/** The stock step that a card gets, here on the processor: its arithmetic, and where its tensors would lie. */

const deferred = (initial: StepState, choice?: Choice, e = engine): StepNow => stockStep(e, initial, choice, { deferred: true });
const FEW = Int32Array.of(3, 9, 10, 63), MANY = Int32Array.from({ length: 40 }, (_, i) => i + 5);
const N = 33;

const batch = (initial: StepState, seed: number, n = N): { x: Float32Array; target?: Float32Array } => {
  const rng = random(seed);
  return { x: rowsOf(n, initial.d, rng), ...targetOf(initial, n, rng) };
};

agreesWithTorch("deferred steps", (initial) => deferred(initial));

const near = (a: number, b: number, what: string): void => assert.ok(Math.abs(a - b) <= 1e-6 * Math.abs(b), `${what}: ${a}, expected ${b}`);

for (const kind of DEFERRED) {
  test(`${kind}: a deferred step computes what the stock step computes`, async () => {
    for (const structure of STRUCTURES) {
      for (const dead of [undefined, FEW, MANY]) {
        const initial = stateOf(kind, structure, 1), stock = stockStep(engine, initial), late = deferred(initial), what = `${structure}, ${dead?.length ?? 0} dead`;
        const { x, ...rest } = batch(initial, 2);
        const [a, b] = [late, stock].map((step) => step.gradients(x, { ...rest, dead }));
        assert.deepEqual(a.chosen, b.chosen, what);
        for (const name of ["fvu", "aux", "extra", "l0"] as const) near(a[name], b[name], `${what}: ${name}`);
        assert.equal(a.aux > 0, dead !== undefined);
        for (const part of partsOf(b.gradient)) close(a.gradient[part]!, b.gradient[part]!, 1e-6, `${what}: gradient of ${part}`);
        const want: Losses[] = [], silent = new Int32Array(SMALL.latents).fill(10);
        for (let t = 0; t < 20; t++) {
          const { x: rows, target } = batch(initial, 10 + t), options: UpdateOptions = { target, dead, learningRate: 0.003, auxWeight: 0.7 };
          late.send(rows, options);
          want.push(stock.update(rows, options));
          if (t < 10) continue;
          const { index, value } = want[t].chosen;
          index.forEach((f, i) => (silent[f] = value[i] > 0 ? 19 - t : silent[f]));
          if (t === 10) {
            const first = await late.taken();
            assert.equal(first.losses.length, 11);
          }
        }
        const { losses, silent: found } = await late.taken();
        losses.forEach((got, i) => {
          for (const name of ["fvu", "aux", "extra", "l0"] as const) assert.ok(Math.abs(got[name] - want[11 + i][name]) <= 1e-5 * want[11 + i][name], `${what}: ${name}`);
        });
        assert.deepEqual(found, silent.map((one) => Math.min(one, 9)), what);
        const [p, q] = [late, stock].map((step) => step.state());
        assert.equal(p.steps, 20);
        for (const part of partsOf(q.parameters)) close(p.parameters[part]!, q.parameters[part]!, 1e-5, `${what}: ${part} after 20 updates`);
        for (const step of [stock, late]) step.dispose();
      }
    }
  });
}

test("odd sizes, ties, a row of zeros and every latent chosen", () => {
  for (const [d, latents, k] of [[17, 130, 5], [8, 12, 12], [7, 33, 1]]) {
    const rng = random(d), weights = rowsOf(latents, d, rng);
    weights.copyWithin(3 * d, 5 * d, 6 * d); // latents 3 and 5 tie in every row
    const initial = freshState(d, latents, k, { wEnc: weights, bEnc: new Float32Array(latents), wDec: normals(latents * d, rng), bDec: new Float32Array(d) });
    const x = rowsOf(21, d, rng).fill(0, 0, d), steps = [deferred(initial), stockStep(engine, initial)];
    const [a, b] = steps.map((step) => step.gradients(x, { dead: Int32Array.of(0, latents - 1) }));
    assert.deepEqual(a.chosen, b.chosen);
    for (const part of partsOf(b.gradient)) close(a.gradient[part]!, b.gradient[part]!, 1e-6, `d ${d}: ${part}`);
    for (const step of steps) step.dispose();
  }
});

test("bfloat16 finds k + 8 candidates, and float32 chooses: the same latents, ties by smaller index, with groups and without", () => {
  const d = 24, latents = 512, k = 4, rng = random(1);
  const wEnc = rowsOf(latents, d, rng);
  for (const [to, from] of [[9, 8], [300, 8], [131, 5]]) wEnc.copyWithin(to * d, from * d, (from + 1) * d);
  const initial = freshState(d, latents, k, { wEnc, bEnc: normals(latents, rng, 0.1), wDec: normals(latents * d, rng), bDec: new Float32Array(d) });
  const exact = stockStep(engine, initial), x = rowsOf(200, d, rng), want = exact.gradients(x).chosen;
  for (const groups of [[], [8], [32], [16, 4]]) {
    for (const late of [false, true]) {
      const step = stockStep(engine, initial, { precision: "bf16", groups, chunk: 64 }, { deferred: late });
      const { chosen } = step.gradients(x);
      assert.deepEqual(chosen.index, want.index, `groups [${groups}]`);
      close(chosen.value, want.value, 1e-6, "values");
      step.dispose();
    }
  }
  exact.dispose();
});

test("rows encoded in pieces give what all at once give, by every step and kind", () => {
  for (const kind of KINDS) {
    const makers: Record<string, (initial: StepState) => StepNow> = {
      stock: (initial) => stockStep(engine, initial),
      ...(DEFERRED.includes(kind) ? { deferred } : {}),
      ...(kind === "jumprelu" ? {} : { fused: (initial) => fusedStep(engine, initial, { step: "fused", product: "apart", precision: "f32", groups: [], chunk: 1 }) }),
    };
    for (const [what, make] of Object.entries(makers)) {
      for (const dead of [FEW, MANY]) {
        const initial = stateOf(kind, "skip", 4), step = make(initial), { x, ...rest } = batch(initial, 5);
        const whole = step.gradients(x, { ...rest, dead });
        const before = engine.live();
        for (const rows of [N, 16, 7, 1]) {
          step.rows = rows;
          const pieces = step.gradients(x, { ...rest, dead });
          assert.deepEqual(pieces.chosen.index, whole.chosen.index, `${kind} ${what}, ${rows} rows`);
          for (const part of partsOf(whole.gradient)) close(pieces.gradient[part]!, whole.gradient[part]!, 2e-6, `${kind} ${what}, ${rows} rows: ${part}`);
          near(pieces.aux, whole.aux, "aux");
        }
        assert.equal(engine.live(), before);
        step.dispose();
      }
    }
  }
});

test("a run goes on from a state to the same bits, holds no tensor back, and leaves the caller's arrays alone", async () => {
  for (const kind of DEFERRED) {
    const initial = stateOf(kind, "skip", 6), before = engine.live(), batches = Array.from({ length: 9 }, (_, i) => batch(initial, i));
    const copy = structuredClone({ initial, batches });
    const send = (step: StepNow, i: number): void => step.send(batches[i].x, { target: batches[i].target, learningRate: 0.01, dead: i % 2 ? FEW : MANY });
    const first = deferred(initial);
    for (const i of [0, 1, 2]) send(first, i);
    await first.taken();
    const held = engine.live(), second = deferred(first.state());
    for (const step of [first, second]) for (const i of [3, 4, 5]) send(step, i);
    assert.deepEqual(await second.taken(), await first.taken());
    assert.deepEqual(second.state(), first.state());
    second.dispose();
    for (const i of [6, 7, 8]) send(first, i);
    await first.taken();
    first.gradients(batches[0].x, { target: batches[0].target, dead: MANY });
    first.measure(batches[0].x, batches[0].target);
    assert.equal(engine.live(), held);
    send(first, 0); // and is not taken
    first.settle();
    first.dispose();
    assert.equal(engine.live(), before);
    assert.deepEqual({ initial, batches }, copy);
  }
});

test("a deferred step has no update, and is not made of kinds that it has not", () => {
  const step = deferred(stateOf("topk", "sae", 1));
  assert.equal(step.stride, 8);
  assert.throws(() => step.update(normals(N * SMALL.d, random(1)), { learningRate: 0.1 }), (e: Error) => e instanceof RangeError && /Use send and taken/.test(e.message));
  step.dispose();
  for (const kind of KINDS.filter((one) => !DEFERRED.includes(one))) {
    const other = deferred(stateOf(kind, "sae", 1));
    assert.equal(other.stride, 1, kind);
    other.dispose();
  }
});

test("NaN in a batch is seen in its loss", async () => {
  const step = deferred(stateOf("topk", "sae", 2)), { x } = batch(stateOf("topk", "sae", 2), 3);
  step.send(x.with(77, NaN), { learningRate: 0.01 });
  assert.ok(Number.isNaN((await step.taken()).losses[0].fvu));
  step.dispose();
});

/** What an update may run before its last upload: nothing that takes a card time. */
const LIGHT = ["Unpack", "ReadVariableOp", "Cast", "Reshape"];

test("on a card nothing of an update would be read or run by the processor, and all is sent before anything is computed", async () => {
  for (const kind of DEFERRED) {
    for (const precision of ["f32", "bf16"] as const) {
      for (const structure of STRUCTURES) {
        for (const dead of [undefined, FEW, MANY]) {
          const initial = stateOf(kind, structure, 1), what = `${kind} ${precision} ${structure} ${dead?.length ?? 0} dead`;
          const { engine: card, events } = followed(engine);
          const step = deferred(initial, { precision, groups: [8], chunk: 16 }, card);
          for (const rows of [Infinity, 16]) {
            step.rows = rows;
            for (let i = 0; i < 3; i++) {
              const { x, target } = batch(initial, i);
              events.length = 0;
              step.send(x, { target, dead, learningRate: 0.01 });
              if (i === 0) continue; // lists and constants are sent once
              assert.deepEqual(events.filter((event) => event.what === "read" || event.what === "processor"), [], what);
              const begins = events.findIndex((event) => event.what === "kernel" && !LIGHT.includes(event.by));
              assert.deepEqual(events.slice(begins).filter((event) => event.what === "upload"), [], what);
              assert.equal(events.filter((event) => event.what === "upload").length, target ? 3 : 2, `${what}: the rows, and one vector of numbers`);
              assert.ok(events.length > 40);
            }
          }
          events.length = 0;
          await step.taken();
          assert.ok(events.some((event) => event.what === "read"), "here it is read");
          step.dispose();
        }
      }
    }
  }
});

test("the recorder sees what a card would wait for: the step that is read at once", () => {
  const initial = stateOf("topk", "sae", 1), { engine: card, events } = followed(engine), { x } = batch(initial, 1);
  const step = stockStep(card, initial, { precision: "f32", groups: [8], chunk: 16 });
  step.update(x, { learningRate: 0.01, dead: MANY });
  for (const what of ["read", "upload"]) assert.ok(events.some((event) => event.what === what && event.by.includes(":")), `${what} within a kernel`);
  assert.ok(events.some((event) => event.what === "processor" && event.by === "NthElement"));
  step.dispose();
});

test("every kernel of the other kinds' stock steps is one that a card has, but for those that it is known to lack", () => {
  const lacking = new Set<string>();
  for (const kind of KINDS) {
    const { engine: card, events } = followed({ ...engine, device: "cuda" });
    const initial = stateOf(kind, "skip", 1), step = stockStep(card, initial, undefined, { deferred: false }), { x, target } = batch(initial, 1);
    step.update(x, { target, learningRate: 0.01, dead: MANY });
    for (const { what, by } of events) if (what === "processor") lacking.add(by);
    step.dispose();
  }
  assert.deepEqual([...lacking], []);
  assert.equal(kernelOf("NthElement", { T: { type: 1 } }), undefined);
  assert.equal(registry.tensorflow, engine.version, "make test/oracle/gpukernels.json anew");
});
