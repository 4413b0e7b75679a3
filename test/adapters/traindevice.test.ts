import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import * as devices from "../../src/adapters/devices";
import { stockStep } from "../../src/adapters/step";
import { deviceOf } from "../../src/adapters/traindevice";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae, trainSaes, type TrainFailure, type TrainOptions } from "../../src/adapters/train";
import * as webgpu from "../../src/adapters/webgpu";
import * as webgpustep from "../../src/adapters/webgpustep";
import type { Availability, Found } from "../../src/core/device";
import { DeviceLostError, EngineError, MemoryError, OptionError } from "../../src/core/errors";
import type { Store } from "../../src/core/types";
import { memoryStore, planted } from "../planted";
import { deferred, type Fault } from "./deferred";

/** Which device a training takes, on simulated machines. The card's arithmetic is the stock step's here; test/adapters/webgputrain.test.ts has the real one. */

const scratch = mkdtempSync(join(tmpdir(), "saelab-device-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
delete process.env.SAELAB_DEVICE; // which says that no card is to be taken
after(() => rmSync(scratch, { recursive: true, force: true }));

const d = 16;
const store = memoryStore(planted({ d, rows: 4000, directions: 40, active: 3 }).rows, d);
const untouched: Store = { ...store, read: () => assert.fail("rows were read") };
const options = { latents: 64, k: 3, tokens: 6400, batch: 64, evaluate: false } satisfies TrainOptions;
const none: Availability = { there: false, why: "there is no graphics card" };
const cpu: Availability = { there: true, name: "Ryzen 7 × 16" };
const radeon: Availability = { there: true, name: "AMD Radeon RX 7900" };
const own = deviceOf(tensorflow());

const machine = (t: TestContext, found: Partial<Found>): void => {
  t.mock.method(devices, "findDevices", async () => ({ cuda: none, webgpu: none, cpu, wasm: none, ...found }));
};

/** A card whose steps are read every fourth update. @param memory rows above which it has no room for a step */
function card(t: TestContext, faults: Fault[] = [], memory = Infinity, name = "AMD Radeon RX 7900"): void {
  t.mock.method(webgpu, "openWebGpu", async () => ({ name, software: true })); // which is not held against plain loops first
  t.mock.method(webgpustep, "webgpuStep", async (...[, initial, { rows = Infinity } = {}]: Parameters<typeof webgpustep.webgpuStep>) => {
    if (Math.min(rows, options.batch) > memory) throw new MemoryError("card: expected room, found none.");
    return { ...deferred(stockStep(tensorflow(), initial), 4, faults), rows, kind: "webgpu" };
  });
}

const refuses = (training: Promise<unknown>, kind: new (...args: never[]) => Error, message: RegExp): Promise<void> => assert.rejects(training, (error: Error) => {
  assert.ok(error instanceof kind && message.test(error.message), error.stack);
  return true;
});

test("a graphics card is taken where there is one; the card of the SAE says so, and the checkpoint's bits are its own", async (t) => {
  machine(t, { webgpu: radeon });
  card(t);
  const said: string[] = [];
  const sae = await trainSae(store, { ...options, view: ({ preparing }) => void (preparing && said.push(preparing)) });
  assert.deepEqual([sae.card.device, sae.card.step, sae.card.machine, sae.card.warnings], ["webgpu", "webgpu", "AMD Radeon RX 7900", undefined]);
  assert.ok(said.includes("setting up AMD Radeon RX 7900"), said.join(", "));
  const here = await trainSae(store, { ...options, device: own });
  assert.equal(here.card.device, own);
  assert.ok(Math.abs(here.curve!.at(-1)!.fvu - sae.curve!.at(-1)!.fvu) < 0.02);
  process.env.SAELAB_DEVICE = "cpu";
  try {
    assert.equal((await trainSae(store, options)).card.device, own); // where nobody says anything
    assert.equal((await trainSae(store, { ...options, device: "auto" })).card.device, "webgpu");
  } finally {
    delete process.env.SAELAB_DEVICE;
  }
});

test("a better device that could be had is told of, with its cure; where there is nothing to cure, nothing is", async (t) => {
  machine(t, { cuda: { there: false, why: "the driver 470 is too old for CUDA 12", cure: "sudo apt install nvidia-driver-580" } });
  const notes = new Set<string | undefined>();
  const sae = await trainSae(store, { ...options, view: ({ note }) => void notes.add(note) });
  const said = 'trained on "cpu" (Ryzen 7 × 16) and not on "cuda": the driver 470 is too old for CUDA 12. To cure it: sudo apt install nvidia-driver-580';
  assert.deepEqual(sae.card.warnings, [said]);
  assert.ok(notes.has(said));
  machine(t, { webgpu: { there: true, name: "SwiftShader", software: true } });
  const plain = await trainSae(store, options);
  assert.deepEqual([plain.card.device, plain.card.warnings], [own, undefined]);
});

test("what a card has no step for is trained by TensorFlow, and said; asked for by name it is refused before any work", async (t) => {
  machine(t, { webgpu: radeon });
  card(t);
  const saes = await trainSaes(store, [{ latents: 64, k: 3 }, { latents: 32, k: 3, kind: "jumprelu" }, { latents: 32, k: 3, step: "stock" }], { tokens: 3200, batch: 64, evaluate: false });
  assert.deepEqual(saes.map((sae) => [sae.card.device, sae.card.step]), [["webgpu", "webgpu"], [own, "stock"], [own, "stock"]]);
  const warnings = saes[0].card.warnings as string[];
  assert.equal(warnings.length, 2);
  assert.match(warnings[0], /^trained on "cpu" and not on AMD Radeon RX 7900 \(WebGPU\): kind: expected one of .*, found "jumprelu"/);
  assert.match(warnings[1], /step: expected "auto", as WebGPU has a step of its own, found "stock"/);
  await refuses(trainSae(untouched, { ...options, device: "webgpu", kind: "jumprelu" }), OptionError, /^trainSae: kind: expected one of topk.*found "jumprelu".*device: "cpu"/);
  await refuses(trainSae(untouched, { ...options, device: "webgpu", step: "fused" }), OptionError, /^trainSae: step: expected "auto"/);
});

test("lost in the middle: it goes on where it was, not elsewhere in silence; on the processor when that is said, and the card says so", async (t) => {
  machine(t, { webgpu: radeon });
  const folder = join(scratch, "lost"), all = { ...options, folder, checkpoint: { steps: 20 } };
  card(t);
  const want = await trainSae(store, options);
  card(t, [{ at: 51, what: "lost" }]);
  const lost = await trainSae(store, all).then(() => assert.fail("was not lost"), (error: DeviceLostError & TrainFailure) => error);
  assert.ok(lost instanceof DeviceLostError, lost.stack);
  assert.match(lost.message, /at step 52 of 100\. resume: true goes on from .*, after 40 steps/);
  machine(t, {});
  t.mock.method(webgpu, "openWebGpu", async () => {
    throw new EngineError("WebGPU: expected a card, found none: it is gone.");
  });
  await refuses(trainSae(store, { ...all, resume: true }), OptionError, /device: expected "webgpu" \(AMD Radeon RX 7900\), with which the run began, found WebGPU: expected a card, found none.*other bits\. \{ device: "cpu", resume: true \} goes on all the same/);
  card(t, [], Infinity, "Intel Arc A770");
  await refuses(trainSae(store, { ...all, resume: true }), OptionError, /machine: expected AMD Radeon RX 7900, with which the run began, found Intel Arc A770/);
  const copy = join(scratch, "lost-copy");
  await import("node:fs/promises").then(({ cp }) => cp(folder, copy, { recursive: true }));
  const moved = await trainSae(store, { ...all, folder: copy, device: own, resume: true });
  assert.deepEqual([moved.card.device, (moved.card.resumed as { steps: number; from: { device: string; machine: string } }[])[0].from.device], [own, "webgpu"]);
  assert.ok(Math.abs(moved.curve!.at(-1)!.fvu - want.curve!.at(-1)!.fvu) < 0.02);
  card(t); // it is back, and is taken although nobody says so
  await refuses(trainSae(store, { ...all, step: "stock", resume: true }), OptionError, /step: expected "auto", as WebGPU has a step of its own \(AMD Radeon RX 7900, on which the run began\), found "stock".*device: "cpu", resume: true/);
  const back = await trainSae(store, { ...all, resume: true });
  assert.deepEqual(back.weights, want.weights);
  assert.deepEqual(back.card.resumed, [{ steps: 40 }]);
});

test("begun on the processor, a run stays there where a card turns up, unless that is said", async (t) => {
  machine(t, {});
  const folder = join(scratch, "stays"), all = { ...options, folder, checkpoint: { steps: 20 } };
  const want = await trainSae(store, options);
  const stop = (step: number): never => {
    throw new Error(`stopped at ${step}`);
  };
  await assert.rejects(trainSae(store, { ...all, onPoint: ({ step }) => void (step === 50 && stop(step)) }), /stopped at 50/);
  machine(t, { webgpu: radeon });
  card(t);
  const copy = join(scratch, "stays-copy");
  await import("node:fs/promises").then(({ cp }) => cp(folder, copy, { recursive: true }));
  const stayed = await trainSae(store, { ...all, resume: true });
  assert.deepEqual(stayed.weights, want.weights);
  const moved = await trainSae(store, { ...all, folder: copy, device: "auto", resume: true });
  assert.equal(moved.card.device, "webgpu");
});

test("a card without room for a batch at once encodes half of it, and so on; with none at all it is said", async (t) => {
  machine(t, { webgpu: radeon });
  card(t, [], 20);
  const sae = await trainSae(store, options);
  assert.equal(sae.card.rowsAtOnce, 16);
  assert.deepEqual(sae.card.warnings, ["memory does not do for a batch of 64 rows at once: 16 are encoded at a time"]);
  card(t, [], 1);
  await refuses(trainSae(store, options), MemoryError, /^card: expected room, found none/);
});

test("a card that computes something else, by little, is refused before anything is trained on it", async (t) => {
  machine(t, { webgpu: radeon });
  card(t);
  t.mock.method(webgpu, "openWebGpu", async () => ({ name: "AMD Radeon RX 7900", software: false }));
  const told: number[] = [];
  const train = () => trainSae(store, { ...options, progress: ({ done }) => void told.push(done) });
  const whole = webgpustep.webgpuStep;
  const by = (factor: number): void => void t.mock.method(webgpustep, "webgpuStep", async (...given: Parameters<typeof webgpustep.webgpuStep>) => {
    const step = await whole(...given);
    return { ...step, gradients: async (...batch: Parameters<typeof step.gradients>) => {
      const found = await step.gradients(...batch);
      return { ...found, gradient: { ...found.gradient, bEnc: found.gradient.bEnc.map((value) => factor * value) } };
    } };
  });
  by(1.0001);
  await refuses(train(), EngineError, /WebGPU on AMD Radeon RX 7900: expected the card to compute what the processor computes, found a difference in the gradient of bEnc \(topk, 6 dead latents\)\. Nothing was trained/);
  assert.deepEqual(told.filter((done) => done > 0), []);
  by(1);
  assert.equal((await train()).card.device, "webgpu");
});
