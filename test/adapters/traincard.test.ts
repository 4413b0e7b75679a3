import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { DEFERRED } from "../../src/adapters/deferredstep";
import * as devices from "../../src/adapters/devices";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae, type TrainInterrupt, type TrainOptions } from "../../src/adapters/train";
import { InterruptError, MemoryError } from "../../src/core/errors";
import type { Availability } from "../../src/core/device";
import type { Sae } from "../../src/core/types";
import { memoryStore, planted } from "../planted";
import { close } from "./torchsteps";

/** A training by the step that a card gets, from rows to an SAE: TensorFlow computes here and says that it is a card. */

const scratch = mkdtempSync(join(tmpdir(), "saelab-card-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
after(() => rmSync(scratch, { recursive: true, force: true }));

const engine = tensorflow();
const d = 16;
const store = memoryStore(planted({ d, rows: 4000, directions: 40, active: 3 }).rows, d);
const options = { latents: 64, k: 4, tokens: 6400, batch: 64, evaluate: false, choice: { precision: "f32", groups: [4], chunk: 128 } } satisfies TrainOptions;
const none: Availability = { there: false, why: "there is none" };

function card(t: TestContext): void {
  const before = engine.device;
  engine.device = "cuda";
  t.after(() => (engine.device = before));
  t.mock.method(devices, "findDevices", async () => ({ cuda: { there: true, name: "NVIDIA GeForce RTX 4090" }, webgpu: none, cpu: none, wasm: none }));
}

const numbers = ({ weights: { wEnc, wDec, bEnc, bDec } }: Sae): Float32Array[] => [wEnc, wDec, bEnc, bDec];

for (const kind of DEFERRED) {
  test(`${kind}: a card's training ends where the processor's does`, async (t) => {
    // Which latents are dead is known up to a stride late: without them both compute the same.
    const same = { ...options, kind, auxK: 0 };
    const here = await trainSae(store, { ...same, device: engine.device as "cpu", step: "stock" });
    card(t);
    const before = engine.live(), there = await trainSae(store, same);
    assert.deepEqual([there.card.device, there.card.step, there.card.warnings], ["cuda", "stock", undefined]);
    assert.match(there.card.machine as string, /cuda/);
    for (const [i, name] of ["wEnc", "wDec", "bEnc", "bDec"].entries()) close(numbers(there)[i], numbers(here)[i], 1e-3, name);
    assert.equal(engine.live(), before);
  });
}

test("a card's training that is interrupted goes on to the same bits", async (t) => {
  card(t);
  const whole = await trainSae(store, options), folder = join(scratch, "run");
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  t.after(() => (flag.requested = false));
  const stopped = trainSae(store, { ...options, checkpoint: { folder }, onPoint: ({ step }) => (flag.requested ||= step >= 37) });
  await assert.rejects(stopped, (error: Error & Partial<TrainInterrupt>) => error instanceof InterruptError && error.sae!.card.steps === 40);
  flag.requested = false;
  const resumed = await trainSae(store, { ...options, checkpoint: { folder }, resume: true });
  assert.deepEqual(numbers(resumed), numbers(whole));
});

test("where a card's memory ends the training goes on with fewer rows at a time, and says so", async (t) => {
  card(t);
  const whole = await trainSae(store, options), run = engine.run;
  let products = 0;
  t.mock.method(engine, "run", (...given: Parameters<typeof run>) => {
    if (given[0] === "TopKV2" && ++products === 100) throw new MemoryError("TensorFlow, kernel TopKV2: expected memory, found it exhausted.", { intact: true });
    return run(...given);
  });
  const saved = await trainSae(store, options);
  assert.ok(products > 100);
  assert.equal(saved.card.rowsAtOnce, 32);
  assert.match(JSON.stringify(saved.card.warnings), /32 rows/);
  numbers(whole).forEach((want, i) => close(numbers(saved)[i], want, 1e-3, `part ${i}`));
});
