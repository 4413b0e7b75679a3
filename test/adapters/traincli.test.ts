import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { loadSae } from "../../src/adapters/sae";
import { readTexts } from "../../src/adapters/texts";
import { trainSae, trainSaes, type TrainInterrupt } from "../../src/adapters/train";
import { EngineError, InterruptError } from "../../src/core/errors";
import type { Model, Sae } from "../../src/core/types";

/** Training as a command, and straight from a running model. */

const ROOT = join(__dirname, "..", "..", "..");
const CLI = join(ROOT, "build", "src", "adapters", "cli.js");
const MODEL = join(ROOT, "test", "oracle", "models", "llama");
const root = mkdtempSync(join(tmpdir(), "saelab-traincli-"));
after(() => rmSync(root, { recursive: true }));
const texts = join(root, "texts.jsonl"), acts = join(root, "acts");
let model: Model;
before(async () => {
  const lines = Array.from({ length: 150 }, (_, i) => JSON.stringify({ id: `${i}`, text: `What is ${i} times ${i % 7}? It is ${i * (i % 7)}, so they say.`, spans: [] }));
  writeFileSync(texts, lines.join("\n"));
  model = await openModel(MODEL);
  (await harvest(model, await readTexts(texts), { hooks: ["layers.1", "layers.2"], folder: acts })).close();
});
after(() => model.close());

/** @param onProgress called with what came on stderr so far */
function run(args: string[], onProgress?: (text: string, child: ReturnType<typeof spawn>) => void): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [CLI, "train", ...args], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, XDG_CACHE_HOME: join(root, "cache") } });
    let [out, err] = ["", ""];
    child.stdout.on("data", (piece) => (out += piece));
    child.stderr.on("data", (piece) => {
      err += piece;
      onProgress?.(err, child);
    });
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

test("train: a line about what was measured, or JSON; a list trains all pairs; wrong options say which", async () => {
  const out = join(root, "one"), log = join(root, "one.jsonl");
  const one = await run([acts, "--hook", "layers.1", "--latents", "64", "--k", "4", "--tokens", "4000", "--out", out, "--log", log]);
  assert.equal(one.code, 0, one.err);
  assert.match(one.out, /one: a topk SAE, 64 latents, k 4, of layers\.1; [\d,]+ tokens in \d+ steps; held-out FVU 0\.\d+, L0 \d\.\d, dead \d+\.\d %; (fused|stock) step.*; \d+ s\n$/);
  assert.equal((await loadSae(out)).weights.latents, 64);
  assert.ok(readFileSync(log, "utf8").startsWith('{"format":"saelab-train-log"'));
  const many = await run([acts, "--hook", "layers.2", "--latents", "32,64", "--k", "2", "--tokens", "2000", "--out", join(root, "many"), "--json", "--no-evaluate", "--kind", "batchtopk"]);
  assert.equal(many.code, 0, many.err);
  const told = JSON.parse(many.out) as { folder: string; latents: number; kind: string; metrics?: unknown }[];
  assert.deepEqual(told.map(({ latents, kind, metrics }) => [latents, kind, metrics]), [[32, "batchtopk", undefined], [64, "batchtopk", undefined]]);
  for (const { folder } of told) assert.equal((await loadSae(folder)).weights.kind, "jumprelu");
  const wrong = await run([acts, "--latents", "64", "--k", "4", "--hook", "layers.9", "--out", join(root, "none")]);
  assert.deepEqual([wrong.code, wrong.out], [1, ""]);
  assert.match(wrong.err, /layers\.1, layers\.2.*found "layers\.9"/);
  assert.match((await run([acts, "--latents", "x", "--k", "4", "--out", "y"])).err, /--latents: expected a number, found x/);
});

test("train from a running model; SIGINT leaves a checkpoint, and the same command with --resume goes on", async () => {
  const out = join(root, "live");
  const args = [MODEL, texts, "--hook", "layers.1", "--latents", "64", "--k", "4", "--tokens", "300000", "--batch", "64", "--out", out, "--checkpoint-steps", "50", "--log", join(root, "live.jsonl")];
  let sent = false;
  const stopped = await run(args, (text, child) => {
    if (sent || !/tokens/.test(text)) return;
    sent = true;
    child.kill("SIGINT");
  });
  assert.equal(stopped.code, 130, stopped.err);
  assert.match(stopped.err, /saelab: Interrupted after \d+ of 4687 steps\. The SAE so far is saved in [^ ]+; .*The same command with --resume goes on from/);
  assert.match((await run(args)).err, /saelab: --resume: expected it or --no-resume, as .* found none\. --resume goes on from it, --no-resume begins anew and removes it/);
  const shorter = await run([...args, "--resume", "--latents", "32"]);
  assert.match(shorter.err, /latents: expected 64, as the run had/);
});

test("several SAEs in one pass of a model: interrupted and gone on with, to the same bits", async () => {
  const documents = await readTexts(texts);
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  const saes = [{ hook: "layers.1", latents: 64, k: 4 }, { hook: "layers.1", target: "layers.2", latents: 48, k: 3 }];
  const shared = { documents, tokens: 6400, batch: 64, context: 64, buffer: 4 * 96 * 500, seed: 2 };
  let passes = 0;
  const counted: Model = { ...model, run: (...given) => (passes++, model.run(...given)) };
  const whole = await trainSaes(counted, saes, shared);
  const [first, second] = whole.map(({ card }) => card.metrics as { split: string; fvu: number; l0: number });
  assert.equal(first.split, "heldout");
  assert.ok(first.fvu < 1 && first.l0 <= 4 && second.fvu < 1, JSON.stringify([first, second]));
  assert.equal((whole[0].card.preflight as { declared: { hook: string } }).declared.hook, "layers.1");
  assert.ok(passes > 0);
  const folder = join(root, "several");
  const error: TrainInterrupt = await trainSaes(model, saes.map((one, i) => (i ? one : { ...one, onPoint: ({ step }: { step: number }) => (flag.requested = step === 40) })), { ...shared, folder, checkpoint: { steps: 1000 } })
    .then(() => assert.fail("not interrupted"), (e) => e);
  flag.requested = false;
  assert.ok(error instanceof InterruptError, `${error}`);
  assert.equal(error.saes.length, 2);
  const again = await trainSaes(model, saes, { ...shared, folder, checkpoint: { steps: 1000 }, resume: true });
  for (const i of [0, 1]) {
    assert.deepEqual(again[i].weights, whole[i].weights);
    assert.deepEqual(again[i].curve, whole[i].curve);
  }
  await assert.rejects(trainSaes(model, saes, { ...shared, documents: [] }), /documents: expected texts/);
  await assert.rejects(trainSaes(model, saes, { ...shared, tokens: undefined }), /tokens: .*Say how many rows/);
});

test("a buffer on disk is there for whoever goes on after an SAE could not be saved", async () => {
  const documents = await readTexts(texts);
  const folder = join(root, "unsaved"), blocked = join(folder, "sae.safetensors");
  const options = { documents, hook: "layers.1", latents: 32, k: 2, tokens: 640, batch: 64, context: 64, buffer: 4 * 96 * 300, on: "disk" as const, evaluate: false, folder, checkpoint: { steps: 5 } };
  const before = process.cwd();
  process.chdir(root); // the buffer lies in .saelab
  try {
    await assert.rejects(trainSae(model, { ...options, onPoint: () => void mkdirSync(blocked, { recursive: true }) }), /sae\.safetensors/);
    rmSync(blocked, { recursive: true });
    const sae = await trainSae(model, { ...options, resume: true });
    assert.deepEqual(sae.card.resumed, [{ steps: 5 }]);
    assert.deepEqual(readdirSync(join(root, ".saelab", "buffers")), [], "nothing is left of it");
  } finally {
    process.chdir(before);
  }
});

test("a model that ends meanwhile leaves the SAE so far, and a checkpoint that another goes on from", async () => {
  const folder = join(root, "ended");
  const options = { documents: await readTexts(texts), hook: "layers.1", latents: 32, k: 2, tokens: 6400, batch: 64, context: 64, buffer: 4 * 96 * 300, evaluate: false, folder };
  const short = await openModel(MODEL);
  const error: Error & { sae?: Sae } = await trainSae(short, { ...options, onPoint: ({ step }) => void (step === 10 && short.close()) }).then(() => assert.fail("did not end"), (e) => e);
  assert.ok(error instanceof EngineError, `${error.stack}`);
  const done = Number(/step (\d+) of 100; resume: true goes on from /.exec(error.message)?.[1]) - 1;
  assert.equal(error.sae!.card.steps, done);
  const sae = await trainSae(model, { ...options, resume: true });
  assert.deepEqual(sae.card.resumed, [{ steps: done }]);
  assert.deepEqual(sae.weights, (await trainSae(model, { ...options, folder: undefined })).weights);
});
