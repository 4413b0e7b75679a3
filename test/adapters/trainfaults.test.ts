import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { FUSED } from "../../src/adapters/fusedstep";
import * as rows from "../../src/adapters/rows";
import { loadSae } from "../../src/adapters/sae";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae, trainSaes, type TrainFailure, type TrainInterrupt, type TrainOptions } from "../../src/adapters/train";
import { CHECKPOINT } from "../../src/adapters/trainstate";
import * as trainstep from "../../src/adapters/trainstep";
import { DeviceLostError, InterruptError, MemoryError, StoreError, TrainError } from "../../src/core/errors";
import type { Sae, SaeWeights } from "../../src/core/types";
import { memoryStore, planted } from "../planted";
import { deferred, type Fault } from "./deferred";
import { fakeDocuments, fakeModel } from "./fake-model";

const scratch = mkdtempSync(join(tmpdir(), "saelab-faults-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
after(() => rmSync(scratch, { recursive: true, force: true }));

const d = 16;
const store = memoryStore(planted({ d, rows: 4000, directions: 40, active: 3 }).rows, d);
// few tokens without firing make a latent dead: the list of the dead changes from stride to stride
const options = { latents: 64, k: 3, tokens: 9600, batch: 64, deadAfter: 300, choice: FUSED, evaluate: false } satisfies TrainOptions;
const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
const generations = (folder: string): number[] => JSON.parse(readFileSync(join(folder, "checkpoint", CHECKPOINT), "utf8")).generations.map(({ step }: { step: number }) => step);

/**
 * Steps of the trainings that follow are read every `stride` updates, and fail as is said. Rows encoded at a time are said and not
 * done, so that rounding stays out of it.
 * @param faults of the first, second … step that is made
 */
function onDevice(t: TestContext, stride: number, ...faults: Fault[][]): void {
  const { stepFor } = trainstep;
  let made = 0;
  t.mock.method(trainstep, "stepFor", async (...[engine, plan, initial, given, held, { rows = plan.batch } = {}]: Parameters<typeof stepFor>) => {
    const { step, computed } = await stepFor(engine, plan, initial, given, held);
    return { step: Object.assign(deferred(step, stride, faults[made++]), rows < plan.batch ? { rows } : {}), computed };
  });
}

const fails = <E>(training: Promise<unknown>, kind: new (...args: never[]) => Error): Promise<E> => training.then(() => assert.fail("it came to its end"), (error) => {
  assert.ok(error instanceof kind, `${error.stack}`);
  return error as E;
});
const same = (got: Sae, want: Sae): void => {
  assert.deepEqual(got.weights, want.weights);
  assert.deepEqual(got.curve, want.curve);
};

let inStrides: Sae; // of four, undisturbed
test("read every fourth update, a training takes latents for dead as of the last reading, and is else the same", async (t) => {
  const { deadAfter: _, ...alive } = options;
  const want = await trainSae(store, { ...alive, deadAfter: 1e9 });
  onDevice(t, 4);
  const got = await trainSae(store, { ...alive, deadAfter: 1e9 });
  assert.deepEqual(got.weights, want.weights);
  assert.deepEqual(got.curve!.map(({ step }) => step), [...Array.from({ length: 37 }, (_, i) => 4 * i + 4), 150]);
  const at = got.curve!.findIndex(({ step }) => step === 148);
  const mean = want.curve!.filter(({ step }) => step > 144 && step <= 148).reduce((sum, { fvu }) => sum + fvu / 4, 0);
  assert.ok(Math.abs(got.curve![at].fvu - mean) < 1e-12);
  inStrides = await trainSae(store, options);
  assert.ok(inStrides.curve!.some(({ dead }) => dead > 0), "some are dead meanwhile");
  assert.notDeepEqual(inStrides.weights, (await trainSae(store, { ...options, auxK: 0 })).weights);
});

test("interrupted it stops where a stride ends, and goes on to the same bits", async (t) => {
  const live = tensorflow().live();
  onDevice(t, 4);
  const folder = join(scratch, "interrupted");
  const all = { ...options, folder, checkpoint: { steps: 25 } };
  let calls = 0;
  const interrupt = await fails<TrainInterrupt>(trainSae({ ...store, width: () => d }, { ...all, onPoint: ({ step }) => void (step === 68 && setImmediate(() => setImmediate(() => (flag.requested = true)))) }), InterruptError);
  flag.requested = false;
  assert.match(interrupt.message, /after 72 of 150 steps/); // asked for within the stride from 68 on
  assert.deepEqual(generations(folder), [72, 56]);
  assert.deepEqual((await loadSae(folder)).weights, interrupt.sae.weights);
  const got = await trainSae(store, { ...all, resume: true, onPoint: () => void calls++ });
  same(got, inStrides);
  assert.ok(calls < 25);
  assert.deepEqual(got.card.resumed, [{ steps: 72 }]);
  assert.equal(tensorflow().live(), live);
});

test("rows that cannot be had within a stride: what was begun is in the checkpoint, and goes on to the same bits", async (t) => {
  onDevice(t, 4);
  const folder = join(scratch, "rows");
  const { storeRows } = rows;
  const broken = t.mock.method(rows, "storeRows", (...args: Parameters<typeof storeRows>) => {
    const source = storeRows(...args);
    let given = 0;
    return { ...source, next: (n: number) => (++given === 71 ? Promise.reject(new StoreError("shard 3: expected it, found none.")) : source.next(n)) };
  });
  const error = await fails<TrainFailure>(trainSae(store, { ...options, folder }), StoreError);
  assert.match(error.message, /found none\. \(The training was at step 71 of 150; resume: true goes on from .*checkpoint\.\)/);
  assert.equal(error.sae!.card.steps, 70);
  assert.deepEqual(generations(folder), [70]);
  broken.mock.restore();
  same(await trainSae(store, { ...options, folder, resume: true }), inStrides);
});

test("a divergence within a stride is told of by its own step", async (t) => {
  const settings = { ...options, learningRate: 10 };
  const at = (message: string): string => /step \d+ of 150: .*FVU of [\d.e+]+/.exec(message)![0];
  const want = await fails<TrainError>(trainSae(store, settings), TrainError);
  onDevice(t, 4);
  const got = await fails<TrainFailure>(trainSae(store, settings), TrainError);
  assert.equal(at(got.message), at(want.message));
  assert.equal(got.sae, undefined);
});

test("rows encoded at a time: halved down to 16", () => {
  assert.deepEqual([Infinity, 1000, 500, 33, 31, 17, 16, 5].map((rows) => trainstep.fewerRows(rows, 1001)), [501, 500, 250, 17, 16, 16, undefined, undefined]);
  assert.equal(trainstep.fewerRows(Infinity, 12), undefined);
});

for (const [stride, when] of [[1, "send"], [4, "send"], [4, "taken"]] as const) {
  test(`memory runs out in the middle, stride ${stride}, ${when}: a checkpoint, half the rows at a time, the same batch again, and it is said`, async (t) => {
    const live = tensorflow().live();
    const want = stride === 4 ? inStrides : await trainSae(store, options);
    onDevice(t, stride, [{ at: 67, when, what: "memory", above: 20 }], []);
    const folder = join(scratch, `memory-${stride}-${when}`);
    const all = { ...options, folder, checkpoint: { steps: 1000 } };
    const notes = new Set<string>(), details = new Set<string>();
    const stop = await fails<TrainInterrupt>(trainSae(store, {
      ...all, progress: ({ detail = "" }) => void details.add(detail.replace(/^FVU [\d.]+/, "FVU")), view: ({ note = "" }) => void notes.add(note),
      onPoint: ({ step }) => {
        if (step === 72) assert.deepEqual(generations(folder), [when === "taken" ? 68 : 66]);
        flag.requested = step === 100;
      },
    }), InterruptError);
    flag.requested = false;
    const warnings = stop.sae.card.warnings as string[];
    assert.deepEqual(warnings, [32, 16].map((rows) => `memory ran out at step ${when === "taken" ? 68 : 67} of 150: from there on ${rows} rows are encoded at a time`));
    for (const said of warnings) assert.ok(notes.has(said), [...notes].join("; "));
    assert.ok(details.has(`FVU · ${warnings[1]}`), [...details].join("; "));
    assert.equal(stop.sae.card.rowsAtOnce, 16);
    const got = await trainSae(store, { ...all, resume: true });
    same(got, want);
    assert.equal(got.card.rowsAtOnce, 16, "held");
    assert.deepEqual(got.card.warnings, warnings);
    assert.deepEqual(got.card.resumed, [{ steps: 100 }]);
    assert.equal(tensorflow().live(), live);
  });
}

test("an update that broke the state: back to the last checkpoint with half the rows at a time, to the same bits", async (t) => {
  const live = tensorflow().live();
  onDevice(t, 4, [{ at: 67, what: "broken", above: 40 }]);
  const folder = join(scratch, "broken"), log = join(scratch, "broken.jsonl");
  const got = await trainSae(store, { ...options, folder, log, checkpoint: { steps: 25 } });
  same(got, inStrides);
  assert.deepEqual(got.card.warnings, ["memory ran out at step 68 of 150 in the middle of an update: it was gone on from the checkpoint after 56 steps, 32 rows encoded at a time"]);
  assert.deepEqual((got.card.resumed as { steps: number; from: object }[]).map(({ steps, from }) => [steps, "rowsAtOnce" in from]), [[56, false]]);
  assert.deepEqual(readFileSync(log, "utf8").trimEnd().split("\n").slice(1).map((line) => JSON.parse(line)), inStrides.curve);
  assert.ok(!existsSync(join(folder, "checkpoint")));
  assert.equal(tensorflow().live(), live);
});

test("broken in the first stride it begins again; broken without a checkpoint it ends, with the SAE as it last was sound", async (t) => {
  onDevice(t, 4, [{ at: 2, what: "broken", above: 40 }], [], [{ at: 67, what: "broken", above: 40 }]);
  const begun = await trainSae(store, options);
  same(begun, inStrides);
  assert.match((begun.card.warnings as string[])[0], /at step 4 of 150 in the middle of an update: it was gone on from the beginning, 32 rows/);
  const error = await fails<MemoryError & TrainFailure>(trainSae(store, options), MemoryError);
  assert.match(error.message, /^fake device: .* \(The training was at step 68 of 150\. No checkpoint was written: it can only begin anew\. With 64 rows encoded at a time it did not fit\. Such a run takes about [\d.]+ GB \(.*\)\. /);
  assert.equal(error.sae!.card.steps, 60); // the newest weights whose next loss was sound
});

test("as few rows as there can be, and no memory: the error says from where it goes on, and that does", async (t) => {
  onDevice(t, 4, [{ at: 67, when: "send", what: "memory" }], []);
  const folder = join(scratch, "floor");
  const error = await fails<MemoryError & TrainFailure>(trainSae(store, { ...options, folder }), MemoryError);
  assert.match(error.message, /The training was at step 67 of 150\. resume: true goes on from .*floor\/checkpoint, after 66 steps\. With 16 rows encoded at a time it did not fit/);
  assert.equal(error.sae!.card.steps, 66, "the state is whole");
  assert.deepEqual(readdirSync(folder), ["checkpoint"]);
  same(await trainSae(store, { ...options, folder, resume: true }), inStrides);
});

test("a checkpoint for which there is no memory is said to be missing; training goes on", async (t) => {
  onDevice(t, 4, [{ at: 56, when: "part", what: "memory", times: 1 }]);
  const folder = join(scratch, "unread");
  const got = await trainSae(store, { ...options, folder, checkpoint: { steps: 25 }, latents: 64 });
  same(got, inStrides);
  // the first reading after 56 updates is that of the weights in memory, which is only done without
  onDevice(t, 4, [{ at: 56, when: "part", what: "memory", times: 2 }]);
  const again = await trainSae(store, { ...options, folder: join(scratch, "unread-too"), checkpoint: { steps: 25 } });
  same(again, inStrides);
  assert.match((again.card.warnings as string[])[0], /^no checkpoint after 56 steps: fake device/);
});

test("the device is lost: the last checkpoint stays, the error says from where and after how many steps; no other device by itself", async (t) => {
  const live = tensorflow().live();
  onDevice(t, 4, [{ at: 67, what: "lost" }], []);
  const folder = join(scratch, "lost");
  const all = { ...options, folder, checkpoint: { steps: 25 } };
  const error = await fails<DeviceLostError & TrainFailure>(trainSae(store, all), DeviceLostError);
  assert.match(error.message, /The training was at step 68 of 150\. resume: true goes on from .*lost\/checkpoint, after 56 steps: on the same device once it is back, with \{ device: "cpu" \} on the processor/);
  assert.deepEqual(generations(folder), [56, 28]);
  assert.deepEqual(readdirSync(folder), ["checkpoint"]);
  assert.deepEqual(readdirSync(join(folder, "checkpoint")).sort(), ["checkpoint.json", "step-000000028.safetensors", "step-000000056.safetensors"]);
  assert.equal(error.sae!.card.steps, 60);
  const got = await trainSae(store, { ...all, resume: true });
  same(got, inStrides);
  assert.equal(tensorflow().live(), live);
});

test("lost while a checkpoint is written, and without one", async (t) => {
  onDevice(t, 4, [{ at: 56, when: "part", what: "lost" }], [{ at: 67, when: "send", what: "lost" }]);
  const folder = join(scratch, "lost-writing");
  const error = await fails<DeviceLostError & TrainFailure>(trainSae(store, { ...options, folder, checkpoint: { steps: 25 } }), DeviceLostError);
  assert.match(error.message, /after 28 steps/);
  assert.deepEqual(readdirSync(join(folder, "checkpoint")).sort(), ["checkpoint.json", "step-000000028.safetensors"]);
  const nowhere = await fails<DeviceLostError & TrainFailure>(trainSae(store, options), DeviceLostError);
  assert.match(nowhere.message, /at step 67 of 150\. No checkpoint was written: it can only begin anew\.\)$/);
  assert.equal(nowhere.sae!.card.steps, 60);
  same(await trainSae(store, options), inStrides);
});

test("of several SAEs the one that runs out of memory goes on with fewer rows; others stay as they are", async (t) => {
  const weights = async (): Promise<SaeWeights[]> => (await trainSaes(store, [
    { latents: 64, k: 3, choice: FUSED, deadAfter: 300 }, { latents: 32, k: 2, choice: FUSED, deadAfter: 300 },
  ], { tokens: options.tokens, batch: 64, evaluate: false, folder: join(scratch, "several"), checkpoint: { steps: 1000 }, resume: "auto" })).map((sae) => {
    warnings.push(sae.card.warnings);
    return sae.weights;
  });
  const warnings: unknown[] = [];
  onDevice(t, 4);
  const want = await weights();
  t.mock.restoreAll();
  rmSync(join(scratch, "several"), { recursive: true });
  onDevice(t, 4, [], [{ at: 67, when: "send", what: "memory", above: 40 }]);
  assert.deepEqual(await weights(), want);
  assert.deepEqual(warnings.slice(2), Array(2).fill(["memory ran out at step 67 of 150: from there on 32 rows are encoded at a time (SAE 2)"]));
});

test("a model's rows: interrupted within a stride, short of memory, back at a checkpoint, it ends in the same bits", async (t) => {
  const documents = fakeDocuments(150), settings = {
    documents, hook: "layers.1", latents: 32, k: 2, tokens: 3200, batch: 32, deadAfter: 200, choice: FUSED, evaluate: false, context: 32, batchTokens: 64, buffer: 32 * 8 * 20, progress: () => {},
  } satisfies TrainOptions;
  onDevice(t, 4, [], [], [{ at: 67, what: "broken", above: 16 }], [], [{ at: 42, when: "send", what: "memory", above: 16 }]);
  const want = await trainSae(fakeModel(), settings);
  const folder = join(scratch, "model"), all = { ...settings, folder, checkpoint: { steps: 12 } };
  let runs = 0, since = -1;
  const stopping = fakeModel({ onRun: () => {
    if (since >= 0 && runs++ === since) throw new InterruptError("Interrupted within a pass of the model.");
  } });
  const interrupt = await fails<TrainInterrupt>(trainSae(stopping, { ...all, onPoint: ({ step }) => void (since = step === 48 ? 1 : since) }), InterruptError);
  const at = interrupt.sae.card.steps as number;
  assert.ok(at > 48 && at % 4 !== 0, `stopped within a stride: after ${at} steps`);
  assert.deepEqual(generations(folder), [at, 48]);
  const back = await trainSae(fakeModel(), { ...all, resume: true });
  same(back, want);
  assert.deepEqual(back.card.warnings, [`memory ran out at step 68 of 100 in the middle of an update: it was gone on from the checkpoint after ${at} steps, 16 rows encoded at a time`]);
  const short = await trainSae(fakeModel(), { ...all, folder: join(scratch, "model-short"), onPoint: ({ step }) => void (step === 48 && assert.deepEqual(generations(join(scratch, "model-short")), [44, 36])) });
  same(short, want);
  assert.deepEqual(short.card.warnings, ["memory ran out at step 42 of 100: from there on 16 rows are encoded at a time"]); // kept after 44: rows on their way are in no checkpoint
});
