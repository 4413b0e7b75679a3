import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { harvest } from "../../src/adapters/harvest";
import { loadSae } from "../../src/adapters/sae";
import { deviceOf } from "../../src/adapters/traindevice";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae, type TrainOptions } from "../../src/adapters/train";
import { CHECKPOINT } from "../../src/adapters/trainstate";
import { gpuEnvironment } from "../swiftshader";
import { fakeDocuments, fakeModel } from "./fake-model";
import { freshFolders } from "./folders";

/** trainSae on WebGPU for real: on the machine's card, or on SwiftShader where there is none. From a store on disk to a saved folder. */

const { root, fresh } = freshFolders("webgputrain");

/** @returns what the child said, by lines; it is killed once it said `kill` */
async function child(asked: object, kill?: string): Promise<string[]> {
  const env = { ...await gpuEnvironment(), XDG_CACHE_HOME: join(root, "cache") };
  return new Promise((resolve, reject) => {
    const run = spawn(process.execPath, [join(__dirname, "webgputrain-child.js"), JSON.stringify(asked)], { env, stdio: ["ignore", "pipe", "pipe"] });
    let out = "", err = "";
    run.stderr.on("data", (piece) => (err += piece));
    run.stdout.on("data", (piece) => {
      out += piece;
      if (kill !== undefined && out.includes(kill)) run.kill("SIGKILL");
    });
    run.on("close", (code, signal) => {
      if (code === 0 || (signal === "SIGKILL" && kill !== undefined)) resolve(out.trim().split("\n"));
      else reject(new Error(`code ${code}, signal ${signal}: ${out}${err}`));
    });
  });
}

const saved = (folder: string) => {
  const { seconds: _, resumed, ...card } = JSON.parse(readFileSync(join(folder, "saelab.json"), "utf8")).card;
  return { weights: readFileSync(join(folder, "sae.safetensors")), card, resumed, curve: JSON.parse(readFileSync(join(folder, "saelab.json"), "utf8")).curve };
};

test("trainSae on WebGPU: saved like any other; lost, killed and resumed it ends in the same bits, or on the processor when that is said", { timeout: 900_000 }, async (t) => {
  const path = fresh();
  const store = await harvest(fakeModel(), fakeDocuments(60), { hooks: ["layers.1", "layers.1.mlp"], folder: path, context: 32, batchTokens: 400, progress: () => {} });
  const options = { hook: ["layers.1", "layers.1.mlp"], latents: 128, k: 4, tokens: 512, batch: 32, deadAfter: 200, device: "webgpu", evaluate: false } satisfies TrainOptions;
  const whole = join(root, "whole"), folder = join(root, "lost");
  assert.deepEqual(await child({ store: path, options: { ...options, evaluate: true, folder: whole } }), ["begun", "done"]);
  const want = saved(whole);
  assert.deepEqual([want.card.device, want.card.step, want.card.steps, want.card.finished, want.card.d], ["webgpu", "webgpu", 16, true, 16]);
  t.diagnostic(`on ${want.card.machine}`);
  assert.ok(want.curve.at(-1).dead > 0, "some are dead, and revived");

  const [said, begun] = await child({ store: path, options: { ...options, folder, checkpoint: { steps: 8 } }, lose: true }, "begun");
  const error = JSON.parse(said);
  assert.equal(error.name, "DeviceLostError", said);
  assert.match(error.message, /The training was at step (9|1\d) of 16\. resume: true goes on from .*checkpoint, after 8 steps/);
  assert.equal(begun, "begun", "a device that was opened again goes on");
  assert.deepEqual(readdirSync(folder), ["checkpoint"]);
  const manifest = JSON.parse(readFileSync(join(folder, "checkpoint", CHECKPOINT), "utf8"));
  assert.deepEqual(manifest.generations.map(({ step }: { step: number }) => step), [8]);

  const onProcessor = join(root, "processor");
  cpSync(folder, onProcessor, { recursive: true });
  assert.deepEqual(await child({ store: path, options: { ...options, device: undefined, folder, checkpoint: { steps: 8 }, resume: true } }), ["begun", "done"]);
  const got = saved(folder);
  assert.ok(got.weights.equals(want.weights), "weights");
  assert.deepEqual(got.curve, want.curve);
  assert.deepEqual(got.resumed, [{ steps: 8 }]);
  assert.ok(!existsSync(join(folder, "checkpoint")));

  const here = await trainSae(store, { ...options, device: deviceOf(tensorflow()), folder: onProcessor, checkpoint: { steps: 8 }, resume: true });
  assert.deepEqual([here.card.device, (here.card.resumed as { from: { device: string } }[])[0].from.device], [deviceOf(tensorflow()), "webgpu"]);
  // a point of the card's is the mean of eight steps; and it takes latents for dead up to eight steps later
  const near = here.curve!.filter(({ step }) => step > 8).reduce((sum, { fvu }) => sum + fvu / 8, 0), wanted = want.curve.at(-1).fvu;
  assert.ok(Math.abs(near - wanted) < 0.02 * wanted, `FVU ${near}, on WebGPU ${wanted}`);
  assert.ok(want.card.metrics.fvu < 1 && want.card.metrics.rows > 0, "measured on rows held out");
  assert.equal((await loadSae(whole)).weights.latents, 128);

  const skipping = join(root, "skip");
  assert.deepEqual(await child({ store: path, options: { ...options, hook: "layers.1", target: "layers.1.mlp", skip: true, tokens: 256, folder: skipping } }), ["begun", "done"]);
  assert.deepEqual([saved(skipping).card.device, saved(skipping).card.step], ["webgpu", "webgpu"]);
  const { weights } = await loadSae(skipping);
  assert.ok(weights.wSkip?.some((value) => value !== 0), "W_skip is trained");
  const same = await trainSae(store, { ...options, hook: "layers.1", target: "layers.1.mlp", skip: true, tokens: 256, device: deviceOf(tensorflow()) });
  assert.ok(weights.wSkip!.every((value, i) => Math.abs(value - same.weights.wSkip![i]) < 0.01), "as on the processor");
  store.close();
});
