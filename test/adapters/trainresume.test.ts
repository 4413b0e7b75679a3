import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import fsPromises from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FUSED } from "../../src/adapters/fusedstep";
import { storeRows } from "../../src/adapters/rows";
import { evaluate, loadSae } from "../../src/adapters/sae";
import { rowsOf } from "../../src/adapters/store";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae, trainSaes, type TrainFailure, type TrainInterrupt, type TrainOptions } from "../../src/adapters/train";
import { CHECKPOINT, openCheckpoints } from "../../src/adapters/trainstate";
import { stepFor } from "../../src/adapters/trainstep";
import { CheckpointError, InterruptError, OptionError, TrainError } from "../../src/core/errors";
import { random, sample } from "../../src/core/random";
import { learningRateAt, watching } from "../../src/core/schedule";
import { freshState } from "../../src/core/trained";
import type { Store } from "../../src/core/types";
import { killAndGoOn } from "../killing";
import { memoryStore, planted } from "../planted";

const scratch = mkdtempSync(join(tmpdir(), "saelab-resume-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
after(() => rmSync(scratch, { recursive: true, force: true }));

const d = 16;
const store = memoryStore(planted({ d, rows: 4000, directions: 40, active: 3 }).rows, d);
const options = { latents: 64, k: 3, tokens: 12800, batch: 64, choice: FUSED, evaluate: false, checkpoint: { steps: 25 } } satisfies TrainOptions;
const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
const manifest = (folder: string): { recipe: object; generations: { step: number; file: string }[] } => JSON.parse(readFileSync(join(folder, "checkpoint", CHECKPOINT), "utf8"));

/** Trains until the interrupt after so many steps. */
async function stopped(folder: string, steps: number, more: Partial<TrainOptions> = {}): Promise<TrainInterrupt> {
  let interrupt: TrainInterrupt | undefined;
  await trainSae(store, { ...options, folder, onPoint: ({ step }) => (flag.requested = step === steps), ...more })
    .catch((error) => (interrupt = error));
  flag.requested = false;
  assert.ok(interrupt instanceof InterruptError, `${interrupt}`);
  return interrupt;
}
const { checkpoint: _checkpoint, ...plain } = options;
const whole = trainSae(store, plain);
const refuses = (error: unknown, kind: new (...args: never[]) => Error, message: RegExp): true => {
  assert.ok(error instanceof kind && message.test(error.message), `${(error as Error).stack}`);
  return true;
};

test("a training killed three times at random moments ends in the bits of one that was not", () => killAndGoOn(3, 1));

test("an interrupted training goes on to the bits of one that was not; then it is finished, and nothing is left", async () => {
  const folder = join(scratch, "interrupted");
  const live = tensorflow().live();
  const interrupt = await stopped(folder, 110);
  assert.match(interrupt.message, /after 110 of 200 steps.*resume: true goes on from .*checkpoint/);
  assert.deepEqual((await loadSae(folder)).weights, interrupt.sae.weights);
  assert.deepEqual(manifest(folder).generations.map(({ step }) => step), [110, 100]);
  writeFileSync(join(folder, "checkpoint", ".step-000000120.safetensors.77.abcdef.part"), "what a killed process leaves");
  let begun: number | undefined;
  const left = { now: undefined as string[] | undefined };
  const sae = await trainSae(store, { ...options, folder, resume: true, onPoint: ({ step }) => {
    begun ??= step;
    left.now ??= readdirSync(join(folder, "checkpoint")).sort();
  } });
  assert.equal(begun, 111);
  assert.deepEqual(left.now, ["checkpoint.json", "step-000000100.safetensors", "step-000000110.safetensors", "train.lock"]);
  const want = await whole;
  assert.deepEqual(sae.weights, want.weights);
  assert.deepEqual(sae.curve, want.curve);
  assert.deepEqual(sae.card.resumed, [{ steps: 110 }]);
  assert.deepEqual(readdirSync(folder).sort(), ["cfg.json", "sae.safetensors", "saelab.json"]);
  const untouched: Store = { ...store, read: () => assert.fail("rows were read") };
  assert.deepEqual((await trainSae(untouched, { ...options, folder, resume: true })).weights, sae.weights);
  assert.equal(tensorflow().live(), live);
});

test("moments as bfloat16: interrupted, a training goes on to the same bits; a step with others goes on from its checkpoint", async () => {
  const choice = { ...FUSED, moments: "bf16" as const }, folder = join(scratch, "brief");
  const want = await trainSae(store, { ...plain, choice });
  assert.notDeepEqual(want.weights, (await whole).weights);
  assert.deepEqual(want.card.choice, choice);
  await stopped(folder, 110, { choice });
  const other = join(scratch, "brief-stock");
  await fsPromises.cp(folder, other, { recursive: true });
  assert.deepEqual((await trainSae(store, { ...options, choice, folder, resume: true })).weights, want.weights);
  const { choice: _, ...free } = options;
  const stock = await trainSae(store, { ...free, step: "stock", folder: other, resume: true });
  const [end, wanted] = [stock, want].map(({ curve }) => curve!.at(-1)!.fvu);
  assert.ok(Math.abs(end - wanted) < 0.05 * wanted, `FVU ${end}, ${wanted}`);
});

test("a checkpoint of another recipe, or none, is refused before work", async () => {
  const folder = join(scratch, "recipe");
  await stopped(folder, 30);
  const untouched: Store = { ...store, read: () => assert.fail("rows were read") };
  const changes: [Partial<TrainOptions>, RegExp][] = [
    [{ latents: 65 }, /latents: expected 64, as the run had.*found 65.*resume: false/], [{ k: 4 }, /k: expected 3/], [{ learningRate: 0.01 }, /learningRate: expected 0\.\d+/],
    [{ tokens: 6400 }, /tokens: expected 12800/], [{ seed: 1 }, /seed: expected 0/], [{ batch: 32 }, /batch: expected 64/], [{ kind: "batchtopk" }, /kind: expected "topk"/],
  ];
  for (const [change, message] of changes) {
    await assert.rejects(trainSae(untouched, { ...options, folder, resume: true, ...change }), (error) => refuses(error, OptionError, message));
  }
  const other: Store = { ...untouched, manifest: { ...store.manifest, texts: { ...store.manifest.texts, sha256: "1" } } };
  await assert.rejects(trainSae(other, { ...options, folder, resume: true }), (error) => refuses(error, OptionError, /texts: expected "0".*found "1"/));
  await assert.rejects(trainSae(untouched, { ...options, folder }), (error) => refuses(error, OptionError, /resume: expected true or false, as .* has a checkpoint after 30 steps/));
  await assert.rejects(trainSae(untouched, { ...options, folder, resume: "true" as "auto" }), (error) => refuses(error, OptionError, /resume: expected true, false or "auto", found "true"/));
  assert.equal(manifest(folder).generations[0].step, 30, "it is still there");
  for (const name of ["hook", "target"]) await assert.rejects(trainSae(untouched, { ...plain, [name]: [] }), (error) => refuses(error, OptionError, new RegExp(`${name}: expected at least one place`)));
  const empty = join(scratch, "empty");
  mkdirSync(empty);
  await assert.rejects(trainSae(untouched, { ...options, folder: empty, resume: true }), (error) => refuses(error, CheckpointError, /expected a checkpoint to go on from, found none.*"auto"/));
  assert.deepEqual(readdirSync(empty), []);
  await assert.rejects(trainSae(untouched, { ...plain, resume: true }), (error) => refuses(error, OptionError, /resume: expected a folder/));
  const anew = await trainSae(store, { ...options, folder, resume: false });
  assert.deepEqual(anew.weights, (await whole).weights);
  assert.equal(anew.card.resumed, undefined);
});

test("a damaged checkpoint is passed over for the one before; when both are, it is said", async () => {
  const folder = join(scratch, "damaged");
  await stopped(folder, 110);
  const [newest, older] = manifest(folder).generations.map(({ file }) => join(folder, "checkpoint", file));
  const bytes = readFileSync(newest);
  bytes[bytes.length - 100] ^= 1;
  writeFileSync(newest, bytes);
  const second = join(scratch, "damaged-twice");
  await fsPromises.cp(folder, second, { recursive: true });
  const sae = await trainSae(store, { ...options, folder, resume: true });
  assert.deepEqual(sae.weights, (await whole).weights);
  assert.deepEqual(sae.card.resumed, [{ steps: 100 }]);
  assert.match((sae.card.warnings as string[])[0], /step-000000110\.safetensors: expected SHA-256 .*damaged; the checkpoint before it was taken/);
  writeFileSync(older.replace(folder, second), "cut");
  await assert.rejects(trainSae(store, { ...options, folder: second, resume: true }), (error) => refuses(error, CheckpointError, /begin anew/));
});

test("a full disk during a checkpoint keeps the one before; training goes on", async (t) => {
  const folder = join(scratch, "full");
  const { open } = fsPromises;
  let full = true;
  t.mock.method(fsPromises, "open", async (path: string, ...rest: []) => {
    const file = await open(path, ...rest);
    if (full && /step-0000000(75|99)/.test(path)) {
      let written = 0;
      const write = file.write.bind(file) as (...args: unknown[]) => Promise<{ bytesWritten: number }>;
      Object.assign(file, { write: async (bytes: Uint8Array, at: number, length: number) => {
        if ((written += length) > 10000) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
        return write(bytes, at, length);
      } });
    }
    return file;
  });
  const interrupt = await stopped(folder, 99);
  assert.match((interrupt.sae.card.warnings as string[])[0], /no checkpoint after 75 steps: .*ENOSPC.*free some space/);
  assert.doesNotMatch(interrupt.message, /resume: true/, "it says what is there");
  assert.deepEqual(manifest(folder).generations.map(({ step }) => step), [50, 25]);
  assert.deepEqual(readdirSync(join(folder, "checkpoint")).sort(), ["checkpoint.json", "step-000000025.safetensors", "step-000000050.safetensors"]);
  full = false;
  const sae = await trainSae(store, { ...options, folder, resume: true });
  assert.deepEqual(sae.weights, (await whole).weights);
});

test("a fused run's checkpoint goes on with the stock step when asked; unasked only where the bits stay the same", async () => {
  const folder = join(scratch, "steps");
  const { choice: _, ...auto } = options;
  const engine = tensorflow();
  await stopped(folder, 100);
  const sae = await trainSae(store, { ...auto, step: "stock", folder, resume: true });
  assert.equal(sae.card.step, "stock");
  assert.equal((sae.card.resumed as { from: { step: string } }[])[0].from.step, "fused");
  const want = await whole;
  assert.ok(Math.abs(sae.curve!.at(-1)!.fvu - want.curve!.at(-1)!.fvu) < 1e-3, "the same SAE but for rounding");
  assert.notDeepEqual(sae.weights.wDec, want.weights.wDec);

  const state = freshState(4, 8, 2, { wEnc: new Float32Array(32).fill(1), bEnc: new Float32Array(8), wDec: new Float32Array(32).fill(1), bDec: new Float32Array(4) });
  const plan = { d: 4, latents: 8, k: 2, batch: 8, step: "auto", kind: "topk" } as Parameters<typeof stepFor>[1];
  const { step, computed } = await stepFor(engine, plan, state, FUSED);
  step.dispose();
  const held = await stepFor(engine, { ...plan }, state, undefined, computed);
  assert.deepEqual(held.computed, computed);
  held.step.dispose();
  await assert.rejects(stepFor(engine, plan, state, undefined, { ...computed, machine: "another" }), (error) => refuses(error, OptionError, /machine: expected another, with which the run began.*step: "auto"/));
  await assert.rejects(stepFor(engine, plan, state, undefined, { ...computed, fusedOps: "old" }), (error) => refuses(error, OptionError, /fused ops: expected build old/));
});

test("two runs do not write to one folder", async () => {
  const folder = join(scratch, "locked");
  let second: Promise<unknown> | undefined;
  await trainSae(store, { ...options, folder, onPoint: () => (second ??= assert.rejects(
    trainSae(store, { ...options, folder, resume: "auto" }), (error) => refuses(error, CheckpointError, /only run that writes here, found process \d+/))) });
  await second;
});

test("a training that diverges stops, names the step and the cause, and gives back the SAE as it last was sound", async () => {
  const n = 54000, wide = 4, rng = random(11);
  const rows = Float32Array.from({ length: n * wide }, () => rng.normal());
  const tainted = memoryStore(rows, wide);
  const train = Array.from({ length: n }, (_, row) => row).filter((row) => Math.floor(row / 50) % 4 !== 3);
  const inSample = new Set(sample(train.length, 32768, random(0, 0)));
  const bad = train[train.findIndex((_, place) => place > 9000 && !inSample.has(place))];
  rows[bad * wide] = 1e25; // finite, but its square is not
  const folder = join(scratch, "diverged");
  const live = tensorflow().live();
  const settings = { latents: 16, k: 2, tokens: 40000, batch: 64, choice: FUSED, evaluate: false } satisfies TrainOptions;
  const error: TrainFailure = await trainSae(tainted, { ...settings, folder, checkpoint: { steps: 4 } }).then(() => assert.fail("did not diverge"), (e) => e);
  assert.ok(error instanceof TrainError, `${error.stack}`);
  const [, step] = /step (\d+) of 625: .*NaN or infinity, on a batch with a row of [\d.]+e\+24 times the usual norm.*Leave such rows out/.exec(error.message)?.map(Number) ?? assert.fail(error.message);
  const after = error.sae!.card.steps as number;
  assert.ok(after < step - 1 && after >= step - 9, `sound after ${after}, failed at ${step}`);
  assert.equal((error.sae!.card.diverged as { step: number }).step, step);
  assert.deepEqual((await loadSae(folder)).weights, error.sae!.weights);
  const kept = manifest(folder).generations[0].step;
  assert.ok(kept <= after && kept >= step - 9, `${kept}: what is on disk is the last sound one`);
  const inMemory: TrainFailure = await trainSae(tainted, settings).then(() => assert.fail("did not diverge"), (e) => e);
  assert.ok(inMemory.sae && (inMemory.sae.card.steps as number) < step, "weights are kept in memory where there is no folder");
  assert.ok((await evaluate(inMemory.sae, tainted)).fvu < 1);
  assert.equal(tensorflow().live(), live);
});

test("a learning rate that is far too high stops the training at once", async () => {
  const folder = join(scratch, "too-high");
  const error: TrainFailure = await trainSae(store, { ...options, folder, learningRate: 10 }).then(() => assert.fail("did not diverge"), (e) => e);
  assert.match(error.message, /step 2 of 200: expected a finite loss and an FVU near or below 1, found an FVU of .*learning rate 10.*Take a lower learning rate/);
  assert.equal(error.sae, undefined);
  assert.ok(!existsSync(folder));
});

test("one of several that diverges stops alone", async () => {
  const folder = join(scratch, "several");
  const good = { latents: 64, k: 3, choice: FUSED };
  const shared = { tokens: options.tokens, batch: options.batch, evaluate: false, folder };
  const error: TrainFailure = await trainSaes(store, [{ ...good, learningRate: 10 }, good], shared).then(() => assert.fail("did not diverge"), (e) => e);
  assert.match(error.message, /^trainSaes: step 2 of 200 of saes\[0\]: /);
  assert.equal(error.saes[0], undefined);
  assert.deepEqual(error.saes[1]!.weights, (await whole).weights);
  assert.equal(error.saes[1]!.card.finished, true);
  assert.deepEqual((await loadSae(join(folder, "sae-1"))).weights, (await whole).weights);
});

test("one of several that diverged is as it last was sound, in memory, on disk and in the checkpoints that follow", async () => {
  const n = 54000, wide = 4, rng = random(11);
  const rows = Float32Array.from({ length: n * wide }, () => rng.normal()), tainted = rows.slice();
  const clean = memoryStore(rows, wide);
  const both: Store = { ...clean, hook: (name) => name!, read: (hook, from, to) => (hook === "tainted" ? tainted : rows).slice(from * wide, to * wide) };
  const train = rowsOf(clean, "train").flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
  const inSample = new Set(Array.from(sample(train.length, 32768, random(0, 0)), (place) => rows[train[place] * wide]));
  const order = await storeRows(clean, ["layers.1"], rowsOf(clean, "train"), 0).next(40 * 64);
  const bad = order[0].filter((_, i) => i % wide === 0).findLast((first) => !inSample.has(first))!; // in one of the last of 40 batches
  tainted[rows.indexOf(bad)] = 1e25; // finite, but its square is not
  const shared = { tokens: 9600, batch: 64, evaluate: false };
  const good = { latents: 16, k: 2, choice: FUSED, hook: "clean" }, rough = { ...good, hook: "tainted" };
  const [want] = await trainSaes(both, [good], shared);
  const folder = join(scratch, "several-stopped");
  const all = { ...shared, folder, checkpoint: { steps: 1 } };
  const saes = (stop: number) => [rough, { ...good, onPoint: ({ step }: { step: number }) => void (flag.requested = step === stop) }];
  const interrupt: TrainInterrupt = await trainSaes(both, saes(100), all).then(() => assert.fail("not interrupted"), (e) => e);
  flag.requested = false;
  assert.ok(interrupt instanceof InterruptError, `${interrupt.stack}`);
  const { card, curve, weights } = interrupt.saes[0]!;
  const { step } = card.diverged as { step: number };
  assert.ok((card.steps as number) < step && curve!.every((point) => point.step <= (card.steps as number)), `sound after ${card.steps}, diverged at ${step}`);
  assert.deepEqual((await loadSae(join(folder, "sae-0"))).weights, weights);
  assert.deepEqual(manifest(folder).generations.map(({ step: kept }) => kept), [100, 99]);
  const error: TrainFailure = await trainSaes(both, saes(-1), { ...all, resume: true }).then(() => assert.fail("did not diverge"), (e) => e);
  assert.match(error.message, new RegExp(`step ${step} of 150 of saes\\[0\\]`));
  assert.deepEqual(error.saes[0]!.weights, weights);
  assert.deepEqual(error.saes[1]!.weights, want.weights);
});

test("interrupted, one of several that never was sound is not saved", async () => {
  const folder = join(scratch, "never-sound");
  const one = { latents: 64, k: 3, choice: FUSED };
  const interrupt: TrainInterrupt = await trainSaes(
    store, [{ ...one, learningRate: 10 }, { ...one, onPoint: ({ step }) => void (flag.requested = step === 50) }],
    { tokens: options.tokens, batch: options.batch, evaluate: false, folder }).then(() => assert.fail("not interrupted"), (e) => e);
  flag.requested = false;
  assert.ok(interrupt instanceof InterruptError, `${interrupt.stack}`);
  assert.deepEqual(interrupt.saes.map((sae) => sae?.card.steps), [undefined, 50]);
  assert.equal(interrupt.sae, interrupt.saes[1]);
  assert.ok(!existsSync(join(folder, "sae-0")));
});

test("an SAE that cannot be saved does not cost the others", async () => {
  const folder = join(scratch, "unsaved");
  const blocked = join(folder, "sae-0", "sae.safetensors");
  const one = { latents: 64, k: 3, choice: FUSED };
  const shared = { tokens: options.tokens, batch: options.batch, evaluate: false, folder };
  const error: TrainFailure = await trainSaes(store, [{ ...one, onPoint: () => void mkdirSync(blocked, { recursive: true }) }, one], shared)
    .then(() => assert.fail("was saved"), (e) => e);
  assert.match(error.message, /sae\.safetensors/);
  const want = await whole;
  for (const sae of error.saes) assert.deepEqual(sae!.weights, want.weights);
  assert.deepEqual((await loadSae(join(folder, "sae-1"))).weights, want.weights);
});

test("a checkpoint of the same step does not touch the one that the manifest names; later ones that are damaged give way", async (t) => {
  const folder = join(scratch, "same-step");
  const one = (value: number) => [{ name: "a", type: "F32" as const, length: 2, read: () => Float32Array.of(value, value) }];
  const checkpoints = (await openCheckpoints(folder, { a: 1 }, false))!;
  await checkpoints.write(5, {}, one(5));
  const { rename } = fsPromises;
  const full = t.mock.method(fsPromises, "rename", async (from: string, to: string) => {
    if (to.endsWith(CHECKPOINT)) throw Object.assign(new Error("ENOSPC: no space left on device, rename"), { code: "ENOSPC" });
    return rename(from, to);
  });
  await assert.rejects(checkpoints.write(5, { again: true }, one(6)));
  full.mock.restore();
  const { kept } = checkpoints.open();
  assert.deepEqual(kept!.floats("a"), Float32Array.of(5, 5));
  kept!.close();
  for (const value of [7, 8]) await checkpoints.write(5, {}, one(value));
  await checkpoints.write(9, {}, one(9));
  await checkpoints.write(7, {}, one(7));
  assert.deepEqual(checkpoints.generations().map(({ step }) => step), [7, 5]);
  assert.equal(readdirSync(folder).length, 4, "manifest, lock and two generations");
  checkpoints.close(true);
  assert.ok(!existsSync(folder));
});

test("what diverges: not a number, far beyond, or above 3 times the first FVU for 30 steps; not one bad batch", () => {
  assert.match(watching().count(0.5, NaN)!, /NaN or infinity/);
  const watch = watching();
  assert.equal(watch.count(0.9, 0.9), undefined);
  for (let i = 0; i < 29; i++) assert.equal(watch.count(3.5, 3.5), undefined);
  assert.equal(watch.count(0.5, 0.5), undefined);
  for (let i = 0; i < 29; i++) assert.equal(watch.count(3.5, 3.5), undefined);
  const goesOn = watching(watch.seen); // as a checkpoint has it
  assert.match(goesOn.count(3.5, 3.5)!, /3\.50, far above 1 for 30 steps/);
  assert.match(watch.count(2e4, 2e4)!, /FVU of 2\.00e\+4/);
});

test("the learning rate ends at 0, whatever the number of steps", () => {
  for (const steps of [1, 2, 3, 7, 100, 12345]) {
    assert.equal(learningRateAt(steps, steps, 0.01), 0);
    assert.ok(learningRateAt(steps - 1, steps, 0.01) <= 0.01 * Math.min(1, 1 / (0.2 * steps)) + 1e-18);
  }
});

test("no tensor is left behind by a step: handles are as many after 2,000 steps as after 10", async () => {
  const live: number[] = [];
  for (const choice of [FUSED, { precision: "f32", groups: [], chunk: 64 } as const]) {
    const folder = join(scratch, `handles-${live.length}`);
    await trainSae(store, {
      latents: 32, k: 2, tokens: 20000, batch: 10, deadAfter: 100, choice: { ...choice, groups: [] }, evaluate: false, folder, checkpoint: { steps: 900 },
      onPoint: ({ step }) => void (step === 8 || step === 2000 ? live.push(tensorflow().live()) : 0),
    });
  }
  assert.equal(live.length, 4);
  assert.equal(live[1], live[0]);
  assert.equal(live[3], live[2]);
});

test("the log is JSON lines, a header and the points; event files lie beside; another file is not written over", async () => {
  const log = join(scratch, "logs", "run.jsonl"), tensorboard = join(scratch, "events");
  const sae = await trainSae(store, { ...plain, log, tensorboard });
  const [header, ...points] = readFileSync(log, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([header.format, header.latents, header.k, header.steps], ["saelab-train-log", 64, 3, 200]);
  assert.deepEqual(points, sae.curve);
  assert.equal(readdirSync(tensorboard).length, 1);
  const live = tensorflow().live();
  await assert.rejects(trainSae(store, { ...plain, tensorboard: join(log, "no folder") }), /Part of the path is a file/);
  assert.equal(tensorflow().live(), live);
  const other = join(scratch, "notes.txt");
  writeFileSync(other, "mine\n");
  await assert.rejects(trainSae(store, { ...plain, log: other }), (error) => refuses(error, OptionError, /log: expected a new file/));
  assert.equal(readFileSync(other, "utf8"), "mine\n");
});

test("SAEs of one pass: what they cannot share is refused; each is as if trained alone", async () => {
  const one = { latents: 64, k: 3, choice: FUSED };
  const refused: [object[], object, RegExp][] = [
    [[], {}, /at least one SAE/], [[one, { ...one, tokens: 100 }], {}, /saes\[1\]\.tokens: expected none, as SAEs of one pass share it, found 100/],
    [[{ ...one, folder: "a" }, { ...one, folder: "./a" }], {}, /folder: expected one for each SAE/], [[one], { checkpoint: { steps: 0 }, folder: "a" }, /checkpoint\.steps/],
    [[one], { checkpoint: { steps: 5 } }, /checkpoint\.folder/], [[one], { documents: [] }, /documents: expected none, as the rows of memory are there/],
  ];
  for (const [saes, shared, message] of refused) await assert.rejects(trainSaes(store, saes as never, shared), (error) => refuses(error, OptionError, message));
  assert.ok(!existsSync("a"));
  const shared = { tokens: options.tokens, batch: options.batch, evaluate: false };
  const [a, b] = await trainSaes(store, [one, { ...one, seed: 3, learningRate: 0.001 }], shared);
  assert.deepEqual(a.weights, (await whole).weights);
  assert.notDeepEqual(b.weights.wDec, a.weights.wDec);
});

test("without held-out documents nothing is measured; few tokens are one batch by default", async () => {
  const all: Store = { ...store, documents: () => store.documents().map((document) => ({ ...document, split: "train" as const })) };
  const sae = await trainSae(all, { latents: 16, k: 2, tokens: 20, choice: FUSED });
  assert.equal(sae.card.metrics, undefined);
  assert.deepEqual([sae.card.batch, sae.card.steps], [20, 1]);
});

test("fewer rows than a batch, and what would fit into memory, are said before work", async () => {
  const untouched: Store = { ...store, read: () => assert.fail("rows were read") };
  await assert.rejects(trainSae(untouched, { ...plain, tokens: 20000, batch: 5000 }), (error) => refuses(error, OptionError, /batch: expected at most the 3000 rows/));
  await assert.rejects(evaluate(await whole, { ...store, width: () => 7 }), /width 16/);
});
