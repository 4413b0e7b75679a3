import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { choiceFor, isChoice, measureChoice, momentsFor, withMoments } from "../../src/adapters/choice";
import { groupings, type Choice } from "../../src/adapters/coder";
import { FUSED, fusedOps } from "../../src/adapters/fusedstep";
import { chunks, rowsAt, storeRows } from "../../src/adapters/rows";
import { evaluate, loadSae } from "../../src/adapters/sae";
import { tensorflow } from "../../src/adapters/tensorflow";
import { freeMemory } from "../../src/adapters/memory";
import { trainSae, type TrainInterrupt } from "../../src/adapters/train";
import { InterruptError, OptionError, StoreError, TrainError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import type { Store, TrainingPoint } from "../../src/core/types";
import { memoryStore, planted } from "../planted";

const scratch = mkdtempSync(join(tmpdir(), "saelab-train-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache"); // choices of these tests stay out of the user's own
after(() => rmSync(scratch, { recursive: true, force: true }));

const d = 24, directions = 64;
const data = planted({ d, rows: 16000, directions, active: 3 });
const store = memoryStore(data.rows, d);

/** Share of the planted directions that some decoder row points along (cosine above 0.9). */
function recovered(wDec: Float32Array): number {
  let found = 0;
  for (let i = 0; i < directions; i++) {
    let best = -1;
    for (let at = 0; at < wDec.length; at += d) {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += wDec[at + j] * data.directions[i * d + j];
      best = Math.max(best, dot);
    }
    if (best > 0.9) found++;
  }
  return found / directions;
}

test("training finds planted directions, on rows it did not see too", async () => {
  const points: TrainingPoint[] = [];
  const calls: number[] = [];
  const live = tensorflow().live();
  const folder = join(scratch, "planted");
  const sae = await trainSae(store, {
    latents: 128, k: 4, tokens: 120000, folder, onPoint: (point) => points.push(point), progress: ({ done }) => calls.push(done),
  });
  assert.equal(tensorflow().live(), live);
  const heldout = await evaluate(sae, store);
  assert.ok(heldout.fvu < 0.2, `FVU ${heldout.fvu}`);
  assert.ok(recovered(sae.weights.wDec) > 0.8, `recovered ${recovered(sae.weights.wDec)}`);
  // rows in the model's own units: the SAE that is returned reads them as they are
  const train = await evaluate(sae, store, { split: "train" });
  assert.ok(Math.abs(train.fvu - points.at(-1)!.fvu) < 0.03, `${train.fvu}, last point ${points.at(-1)!.fvu}`);
  for (let f = 0; f < 128; f++) assert.ok(Math.abs(Math.hypot(...sae.weights.wDec.subarray(f * d, (f + 1) * d)) - 1) < 1e-5);
  assert.deepEqual(points, sae.curve);
  assert.equal(points.at(-1)!.step, 937); // ⌊120000 / 128⌋
  assert.ok(points[0].fvu > 2 * points.at(-1)!.fvu);
  assert.equal(calls.at(-1), 937 * 128);
  const { choice, seed, tokens, batch, step } = sae.card;
  assert.deepEqual([seed, tokens, batch], [0, 120000, 128]);
  assert.equal((choice as Choice).step ?? "stock", step);
  assert.ok(groupings(128, 4).some((g) => JSON.stringify(g) === JSON.stringify((choice as { groups: number[] }).groups)));
  const loaded = await loadSae(folder);
  assert.deepEqual(loaded.weights, sae.weights);
  assert.deepEqual(loaded.curve, sae.curve);
  assert.equal(loaded.hook, "layers.1");
});

test("the same seed gives the same bits; another seed does not", async () => {
  const run = (seed: number) => trainSae(store, { latents: 96, k: 3, tokens: 20000, batch: 200, seed });
  const [a, b, c] = [await run(5), await run(5), await run(6)];
  assert.deepEqual(a.weights, b.weights);
  assert.deepEqual(a.curve, b.curve);
  assert.notDeepEqual(a.weights.wDec, c.weights.wDec);
});

test("fused, stock and plain steps train the same SAE", async () => {
  const options = { latents: 64, k: 3, tokens: 6000, batch: 100, learningRate: 0.003 };
  const plain = await trainSae(store, { ...options, step: "plain" });
  for (const step of ["plain", "stock", "fused"] as const) {
    const sae = step === "plain" ? plain : await trainSae(store, { ...options, step });
    assert.equal(sae.card.step, step);
    assert.equal(sae.card.fusedOps, step === "fused" ? (fusedOps(tensorflow()) as { id: string }).id : undefined);
    assert.equal(sae.card.withoutFused, undefined);
    for (let i = 0; i < 20; i++) {
      assert.ok(Math.abs(sae.curve![i].fvu - plain.curve![i].fvu) <= 1e-5 * plain.curve![i].fvu, `${step}, step ${i}: ${sae.curve![i].fvu} ${plain.curve![i].fvu}`);
    }
  }
});

test("a fused run's choice repeats its bits; a choice of another step is refused", async () => {
  const options = { latents: 64, k: 3, tokens: 4000, batch: 100 };
  const first = await trainSae(store, { ...options, step: "fused" });
  const again = await trainSae(store, { ...options, choice: first.card.choice as Choice });
  assert.equal(again.card.step, "fused");
  assert.deepEqual(again.weights, first.weights);
  await assert.rejects(
    trainSae(store, { ...options, step: "stock", choice: first.card.choice as Choice }),
    (error: Error) => error instanceof OptionError && /choice: expected that of a stock step/.test(error.message));
});

test("held-out rows are not read", async () => {
  const guarded: Store = {
    ...store,
    read(hook, from, to) {
      for (let row = from; row < to; row++) assert.notEqual(Math.floor(row / 50) % 4, 3, `row ${row} is held out`);
      return store.read(hook, from, to);
    },
  };
  await trainSae(guarded, { latents: 32, k: 2, tokens: 2000, evaluate: false });
});

test("an interrupt keeps the SAE so far, in the error and in the folder", async () => {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  const folder = join(scratch, "interrupted");
  const live = tensorflow().live();
  let steps = 0;
  const training = trainSae(store, { latents: 64, k: 3, tokens: 12000, batch: 100, folder, onPoint: () => (flag.requested = ++steps === 30) });
  const error = await training.then(() => assert.fail("not interrupted"), (e: TrainInterrupt) => e);
  flag.requested = false;
  assert.ok(error instanceof InterruptError, `${error}`);
  assert.match(error.message, /after 30 of 120 steps.*interrupted/);
  assert.equal(error.sae.curve!.length, 30);
  assert.deepEqual((await loadSae(folder)).weights, error.sae.weights);
  assert.ok((await evaluate(error.sae, store)).fvu < 1);
  assert.equal(tensorflow().live(), live);
});

test("an interrupt of a timer gets through between two steps", async () => {
  const flag = (globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] as { requested: boolean };
  setTimeout(() => (flag.requested = true), 50);
  await assert.rejects(trainSae(store, { latents: 64, k: 3, tokens: 4e6, batch: 100, auxK: 0 }), InterruptError);
  flag.requested = false;
});

const wrong: [string, Partial<Parameters<typeof trainSae>[1]>, RegExp][] = [
  ["k over latents", { k: 65 }, /k: expected 1 to 64 \(latents\), found 65/],
  ["k 0", { k: 0 }, /k: expected a whole number of at least 1, found 0/],
  ["k missing", { k: undefined }, /k: expected a whole number.*found none/],
  ["no latents", { latents: 0 }, /latents: expected.*found 0.*192 \(8 times its width\)/],
  ["fraction of latents", { latents: 10.5 }, /latents: .*found 10\.5/],
  ["batch 0", { batch: 0 }, /batch: .*found 0/],
  ["batch over tokens", { batch: 500, tokens: 400 }, /batch: expected at most 400/],
  ["tokens 0", { tokens: 0 }, /tokens: .*found 0/],
  ["learning rate 0", { learningRate: 0 }, /learningRate: expected a number above 0, found 0/],
  ["learning rate NaN", { learningRate: NaN }, /learningRate: .*found NaN/],
  ["auxK below 0", { auxK: -1 }, /auxK: .*found -1/],
  ["no such step", { step: "fast" as never }, /step: .*found "fast"/],
  ["seed", { seed: 0.5 }, /seed: .*found 0\.5/],
  ["device", { device: tensorflow().device === "cpu" ? "cuda" : "cpu" }, /trainSae: device: expected "(cuda|cpu)" for the training, found that it is not there: .*"auto" takes the best/],
  ["a choice that groups cannot divide", { choice: { precision: "f32", groups: [7], chunk: 64 } }, /choice: expected .*groups: \[\] or \[4\].*found .*\[7\].*card\.choice/],
  ["half a choice", { choice: { groups: [] } as never }, /choice: expected .*chunk: 1 or more/],
  ["more memory than any machine has", { latents: 2 ** 40 }, /latents 1099511627776.*GB.*About [\d,]+ latents would fit/],
];
for (const [name, options, message] of wrong) {
  test(`refused before any work: ${name}`, async () => {
    const untouched: Store = { ...store, read: () => assert.fail("rows were read") };
    const folder = join(scratch, `refused-${name}`);
    await assert.rejects(
      trainSae(untouched, { latents: 64, k: 4, ...options, folder } as Parameters<typeof trainSae>[1]),
      (error: Error) => error instanceof OptionError && message.test(error.message) || assert.fail(`${error.stack}`));
    assert.ok(!existsSync(folder));
  });
}

test("free memory: page cache counts as free, a container's limit and what is taken already do not", () => {
  const gib = 2 ** 30;
  assert.equal(freeMemory({ free: 20 * gib, total: 24 * gib, limit: 0, own: gib }), 20 * gib);
  assert.equal(freeMemory({ free: 20 * gib, total: 24 * gib, limit: 2 ** 64, own: gib }), 20 * gib); // what libuv says for none
  assert.equal(freeMemory({ free: 200 * gib, total: 256 * gib, limit: 8 * gib, own: 3 * gib }), 5 * gib);
  assert.equal(freeMemory({ free: 2 * gib, total: 24 * gib, limit: 0, own: gib }), 2 * gib);
  assert.equal(freeMemory({ free: 2 * gib, total: 24 * gib, limit: gib, own: 2 * gib }), 0);
  assert.ok(freeMemory() > 0);
});

test("more latents than the sample of rows: each begins at a row of its own, and the card says so", async () => {
  const latents = 33000, rng = random(2);
  const many = memoryStore(Float32Array.from({ length: 2 * 45000 }, () => rng.normal()), 2, { document: 50 }); // three in four to train on
  const sae = await trainSae(many, { latents, k: 2, tokens: 64, batch: 32, choice: { precision: "f32", groups: [], chunk: 64 } });
  assert.deepEqual(sae.card.start, { rows: latents, random: 0 });
  const few = memoryStore(Float32Array.from({ length: 2 * 400 }, () => rng.normal()), 2, { document: 50 });
  assert.deepEqual((await trainSae(few, { latents: 1000, k: 2, tokens: 64, batch: 32 })).card.start, { rows: 300, random: 700 });
});

test("rows that cannot be trained on: none, equal, NaN", async () => {
  const options = { latents: 8, k: 2, batch: 10 };
  await assert.rejects(trainSae(memoryStore(new Float32Array(0), 4), options), /at least 2 rows of training documents, found 0/);
  await assert.rejects(trainSae(memoryStore(new Float32Array(400).fill(3), 4), options), (e: Error) => e instanceof StoreError && /rows that differ/.test(e.message));
  const rng = random(1);
  const bad = Float32Array.from({ length: 400 }, () => rng.normal());
  bad[37] = NaN;
  await assert.rejects(trainSae(memoryStore(bad, 4), options), (e: Error) => e instanceof StoreError && /finite activations, found NaN/.test(e.message));
});

test("a loss that is no number stops the training and names the step", async () => {
  const live = tensorflow().live();
  const folder = join(scratch, "diverged");
  await assert.rejects(
    trainSae(store, { latents: 32, k: 2, tokens: 4000, batch: 50, learningRate: 1e30, folder }),
    (error: Error) => error instanceof TrainError && /step \d+ of 80: expected a finite loss.*learning rate 1e\+30/.test(error.message));
  assert.ok(!existsSync(folder), "nothing was saved: the folder is taken away again");
  assert.equal(tensorflow().live(), live);
});

test("more latents than different rows: the rest begin as random directions", async () => {
  const few = new Float32Array(600 * d);
  for (let i = 0; i < 600; i++) few.set(data.rows.subarray((i % 40) * d, (i % 40 + 1) * d), i * d); // 40 rows, each 15 times
  const sae = await trainSae(memoryStore(few, d), { latents: 100, k: 2, tokens: 450, batch: 225, learningRate: 1e-9 });
  const rows = new Set(Array.from({ length: 100 }, (_, f) => sae.weights.wDec.subarray(f * d, (f + 1) * d).join()));
  assert.equal(rows.size, 100);
});

test("shuffling: every pass visits each row once, in an order of its own; the buffer mixes blocks", () => {
  const n = 3000;
  const rows = Float32Array.from({ length: n * 2 }, (_, i) => Math.floor(i / 2) + (i % 2) / 2);
  const small = memoryStore(rows, 2, { document: 100 });
  const ranges = [{ from: 0, to: 1000 }, { from: 1500, to: 3000 }];
  const draw = (bytes?: number, passes = 2) => {
    const source = storeRows(small, ["layers.1"], ranges, 3, { bytes });
    const seen: number[] = [];
    for (let i = 0; i < passes * 20; i++) {
      const [batch] = source.next(125) as Float32Array[];
      for (let j = 0; j < batch.length; j += 2) {
        assert.equal(batch[j + 1] - batch[j], 0.5); // rows stay whole
        seen.push(batch[j]);
      }
    }
    return { kind: source.kind, seen };
  };
  const whole = draw();
  assert.equal(whole.kind, "memory");
  const inOrder = [...Array.from({ length: 1000 }, (_, i) => i), ...Array.from({ length: 1500 }, (_, i) => 1500 + i)];
  const first = whole.seen.slice(0, 2500), second = whole.seen.slice(2500);
  assert.deepEqual(first.slice().sort((a, b) => a - b), inOrder);
  assert.deepEqual(second.slice().sort((a, b) => a - b), inOrder);
  assert.notDeepEqual(first, second);
  assert.deepEqual(draw().seen, whole.seen);

  const buffered = draw(700 * 2 * 4, 8);
  assert.equal(buffered.kind, "blocks");
  assert.ok(buffered.seen.every((row) => row < 1000 || row >= 1500));
  const times = new Map<number, number>();
  for (const row of buffered.seen) times.set(row, (times.get(row) ?? 0) + 1);
  assert.equal(times.size, 2500);
  for (const [row, count] of times) assert.ok(count >= 3 && count <= 13, `row ${row}: ${count} times in 8 passes`);
  assert.deepEqual(draw(700 * 2 * 4, 8).seen, buffered.seen);
  const neighbours = buffered.seen.filter((row, i) => i > 0 && row === buffered.seen[i - 1] + 1).length;
  assert.ok(neighbours < 0.02 * buffered.seen.length, `${neighbours} neighbours`);
});

test("rows by place and in chunks", () => {
  const rows = Float32Array.from({ length: 60 }, (_, i) => Math.floor(i / 3));
  const small = memoryStore(rows, 3);
  const ranges = [{ from: 2, to: 4 }, { from: 7, to: 12 }, { from: 15, to: 16 }];
  assert.deepEqual([...rowsAt(small, "layers.1", ranges, Uint32Array.of(0, 1, 2, 6, 7))].filter((_, i) => i % 3 === 0), [2, 3, 7, 11, 15]);
  const pieces = [...chunks(small, "layers.1", ranges, 3)].map((piece) => [...piece].filter((_, i) => i % 3 === 0));
  assert.deepEqual(pieces, [[2, 3, 7], [8, 9, 10], [11, 15]]);
  assert.deepEqual([...chunks(small, "layers.1", ranges, 100, 4)].map((piece) => piece.length), [12]);
});

test("moments are bfloat16 where float32 ones are beyond the caches, and only a fused step has them", () => {
  assert.equal(momentsFor({ d: 576, dOut: 576, latents: 9216 }), "f32"); // 85 MB
  assert.equal(momentsFor({ d: 1536, dOut: 1536, latents: 32768 }), "bf16"); // 805 MB
  assert.equal(momentsFor({ d: 1024, dOut: 1024, latents: 16384 }), "f32"); // 256 MiB, not more
  const large = { d: 1536, dOut: 1536, latents: 32768 };
  assert.deepEqual(withMoments(FUSED, large), { ...FUSED, moments: "bf16" });
  assert.deepEqual(withMoments({ precision: "f32", groups: [], chunk: 64 }, large), { precision: "f32", groups: [], chunk: 64 });
  assert.ok(isChoice({ ...FUSED, moments: "bf16" }, 64, 3) && isChoice({ ...FUSED, moments: "f32" }, 64, 3));
  for (const moments of ["f16", 1, null]) assert.ok(!isChoice({ ...FUSED, moments }, 64, 3));
  assert.ok(!isChoice({ precision: "f32", groups: [], chunk: 64, moments: "bf16" }, 64, 3));
});

test("a choice is measured once and then remembered; a damaged cache is measured again", async () => {
  const engine = tensorflow();
  assert.ok("id" in fusedOps(engine));
  const file = join(scratch, "choices", "step.json");
  const sizes = { d: 8, latents: 256, k: 2, batch: 32 };
  const chosen = await choiceFor(engine, sizes, file);
  assert.ok(groupings(256, 2).some((g) => JSON.stringify(g) === JSON.stringify(chosen.groups)));
  assert.ok(["f32", "bf16"].includes(chosen.precision) && chosen.chunk > 0);
  const known = JSON.parse(readFileSync(file, "utf8"));
  const [key] = Object.keys(known);
  assert.match(key, new RegExp(`TensorFlow ${engine.version}; d 8, latents 256, k 2, batch 32`));
  writeFileSync(file, JSON.stringify({ [key]: { precision: "f32", groups: [4], chunk: 77 } }));
  assert.deepEqual(await choiceFor(engine, sizes, file), { precision: "f32", groups: [4], chunk: 77 });
  for (const bad of ["", "[]", JSON.stringify({ [key]: { precision: "f32", groups: [5], chunk: 64 } }), JSON.stringify({ [key]: "fast" })]) {
    writeFileSync(file, bad);
    assert.notEqual((await choiceFor(engine, sizes, file)).chunk, 77);
    assert.equal(Object.keys(JSON.parse(readFileSync(file, "utf8")))[0], key);
  }
  assert.equal(measureChoice(engine, { d: 4, latents: 6, k: 6, batch: 16 }).groups.length, 0);
  const either = await choiceFor(engine, sizes, file, "some-build"); // its own entry: another build, another measurement
  assert.match(Object.keys(JSON.parse(readFileSync(file, "utf8"))).at(-1)!, /batch 32; fused ops some-build$/);
  assert.deepEqual(await choiceFor(engine, sizes, file, "some-build"), either);
  assert.deepEqual(await choiceFor(engine, sizes, file, "another"), await choiceFor(engine, sizes, file, "another"));
  for (const bad of ["", JSON.stringify({ [key]: { step: "other", precision: "f32", groups: [4], chunk: 77 } })]) {
    writeFileSync(file, bad);
    assert.notEqual((await choiceFor(engine, sizes, file)).chunk, 77);
  }
});

test("an option of a name that means nothing is refused, with the one that was meant", async () => {
  const wrong = (options: object): Promise<unknown> => trainSae(store, { latents: 32, k: 4, ...options });
  await assert.rejects(wrong({ learning_rate: 4 }), (error: Error) => error instanceof OptionError && /learning_rate: expected an option.* It is learningRate\./.test(error.message));
  await assert.rejects(wrong({ epochs: 2 }), (error: Error) => error instanceof OptionError && /epochs: .* They are latents, k,/.test(error.message));
});
