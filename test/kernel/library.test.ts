import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { drive, printedBy, resultOf, type Answer, type Driven, type Step } from "./drive";

/* The library's long calls in a cell that is interrupted: harvest, training, collecting. The kernel lives, and nothing is lost. */

const scratch = mkdtempSync(join(tmpdir(), "saelab-library-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const at = (name: string): string => JSON.stringify(join(scratch, name));
const soon = (ms: number): string => `setTimeout(() => console.log("under way"), ${ms});`;

const steps: Record<string, Step> = {
  open: {
    code: `import { openModel, readTexts, harvest, trainSae, collect, openStore } from "saelab";
const model = await openModel(${JSON.stringify(join(packageRoot, "data", "tiny-reasoner"))});
const texts = await readTexts(${JSON.stringify(join(packageRoot, "data", "reasoning", "corpus.jsonl"))});
const some = await harvest(model, texts.slice(0, 150), { hooks: ["layers.3"], folder: ${at("some")} });
some.rows`,
  },
  harvest: { code: `${soon(300)}\nconst all = await harvest(model, texts, { hooks: ["layers.3"], folder: ${at("all")} });`, interruptOn: "under way" },
  afterHarvest: { code: "[lastError.name, texts.length > 1000, some.rows > 1000]" },
  train: { code: `let points = 0;\nconst sae = await trainSae(some, { latents: 256, k: 8, tokens: 5_000_000, onPoint: () => { if (points++ === 2) console.log("under way"); } });`, interruptOn: "under way" },
  afterTrain: { code: "const rough = lastError.sae;\n[lastError.name, rough.weights.latents, rough.encode(new Float32Array(rough.weights.d).fill(0.1)).index.length, points > 2]" },
  trainBySignal: { code: `${soon(1500)}\nconst sae = await trainSae(some, { latents: 256, k: 8, tokens: 5_000_000 });`, interruptOn: "under way", how: "signal" },
  trained: { code: "const sae = await trainSae(some, { latents: 256, k: 8 });\ntypeof sae.encode" },
  collect: { code: `${soon(1)}\nfor (let i = 0; ; i++) await collect(some, sae, { folder: ${at("features")} + i });`, interruptOn: "under way" },
  afterCollect: { code: "[lastError.name, typeof sae.encode]" },
};

let driven: Driven;
before(async () => {
  driven = await drive(steps, scratch);
});
const answer = (name: string): Answer => driven.answers[name] as Answer;
const error = (name: string): string => {
  const found = answer(name).outputs.find(({ type }) => type === "error");
  assert.ok(found, `${name}: expected an error, found ${JSON.stringify(answer(name).outputs).slice(0, 2000)}`);
  return `${found.content.ename}: ${found.content.evalue}`;
};

test("the model, the texts and a store are there", () => assert.match(String(resultOf(answer("open"))), /^\d+$/, JSON.stringify(answer("open").outputs).slice(0, 2000)));

test("a harvest stops at its next step; what was there before it stays", () => {
  assert.match(error("harvest"), /^InterruptError: Interrupted/);
  assert.equal(resultOf(answer("afterHarvest")), "[ 'InterruptError', true, true ]");
});

test("a training stops at its next step, also after its callback has run cell code; the SAE so far is in lastError", () => {
  assert.match(error("train"), /^InterruptError: Interrupted after \d+ of \d+ steps/);
  assert.equal(resultOf(answer("afterTrain")), "[ 'InterruptError', 256, 8, true ]");
});

test("a training stops at SIGINT too", () => assert.match(error("trainBySignal"), /^InterruptError: Interrupted after \d+ of/));

test("a collecting stops, and the SAE is still there", () => {
  assert.equal(resultOf(answer("trained")), "'function'", printedBy(answer("trained"), "stderr"));
  assert.match(error("collect"), /^InterruptError|^KeyboardInterrupt/);
  assert.match(String(resultOf(answer("afterCollect"))), /^\[ '(Interrupt|Keyboard)\w+', 'function' \]$/);
});

test("the kernel ends by itself", () => assert.ok(driven.ended));
