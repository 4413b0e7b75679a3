import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { evaluate } from "../../src/adapters/evaluate";
import { harvest } from "../../src/adapters/harvest";
import { loss } from "../../src/adapters/lens";
import { loadSae } from "../../src/adapters/loadsae";
import { openModel } from "../../src/adapters/open";
import { saeOf } from "../../src/adapters/saevalue";
import { DISPLAY, type ShownNow } from "../../src/adapters/show";
import { evaluateSplice, spliceLosses, storeTexts } from "../../src/adapters/spliceloss";
import { rowsOf } from "../../src/adapters/store";
import { tensorflow } from "../../src/adapters/tensorflow";
import { trainSae } from "../../src/adapters/train";
import { HookError, InterruptError, OptionError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { spliceMeasures } from "../../src/core/spliceloss";
import type { Document, Model, Sae, Store } from "../../src/core/types";

const ORACLE = join(__dirname, "../../../test/oracle");
const golden = JSON.parse(readFileSync(join(ORACLE, "evals/golden.json"), "utf8"));
const scratch = mkdtempSync(join(tmpdir(), "saelab-splice-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
let llama: Model, tiny: Model;
before(async () => {
  tiny = await openModel(join(__dirname, "../../../data/tiny-reasoner"));
  llama = await openModel(join(ORACLE, "models", golden.model));
});
after(async () => {
  await llama.close();
  await tiny.close();
  rmSync(scratch, { recursive: true, force: true });
});
const near = (found: number, wanted: number, tolerance: number, what: string): void => assert.ok(Math.abs(found - wanted) <= tolerance, `${what}: ${found} for ${wanted}`);
const refuses = (work: Promise<unknown>, type: new (...args: never[]) => Error, message: RegExp): Promise<void> =>
  assert.rejects(work, (error: Error) => error instanceof type && message.test(error.message) || assert.fail(`${error.name}: ${error.message}`));

for (const [name, { metrics }] of Object.entries<{ metrics: Record<string, number> }>(golden.cases)) {
  test(`spliced into the model: SAELens' numbers, ${name}`, async () => {
    const sae = await loadSae(join(ORACLE, "evals", name.split(",")[0]));
    assert.equal(llama.hook(sae.hook!).name, golden.hook);
    const live = tensorflow().live();
    for (const batchTokens of [2048, 30]) { // all texts in one pass, and one by one
      const found = await evaluateSplice(sae, llama, golden.ids, { excludeSpecialTokens: name.includes("left out") ? [0, 1, 2] : false, batchTokens });
      const { loss: H, kl, lossRecovered, klRecovered } = found;
      const pairs: [number, string][] = [
        [H.original, "ce_loss_without_sae"], [H.sae, "ce_loss_with_sae"], [H.zero, "ce_loss_with_ablation"], [lossRecovered, "ce_loss_score"],
        [kl.sae, "kl_div_with_sae"], [kl.zero, "kl_div_with_ablation"], [klRecovered, "kl_div_score"],
      ];
      for (const [ours, theirs] of pairs) near(ours, metrics[theirs], 5e-6 * Math.max(1, metrics[theirs]), theirs);
      const left = name.includes("left out") ? golden.ids.flat().filter((id: number) => id < 3).length : 0;
      assert.equal(found.tokens, golden.ids.flat().length - left);
    }
    assert.equal(tensorflow().live(), live);
  });
}

test("the default leaves out what the tokenizer calls special; the mean row is that of the counted tokens", async () => {
  const sae = await loadSae(join(ORACLE, "evals/topk"));
  const byDefault = await evaluateSplice(sae, llama, golden.ids);
  assert.deepEqual(byDefault, await evaluateSplice(sae, llama, golden.ids, { excludeSpecialTokens: [0, 1, 2] }));
  // all of it written anew through loss(): rows as they are but for the mean where tokens count
  const counts = golden.ids.map((ids: number[]) => ids.map((id) => id > 2));
  const { [golden.hook]: rows } = await llama.run(golden.ids, { hooks: [golden.hook] });
  const at = counts.flat();
  const mean = Array.from({ length: 48 }, (_, j) => at.reduce((sum: number, is: boolean, row: number) => sum + (is ? rows[row * 48 + j] : 0), 0) / at.filter(Boolean).length);
  const written = rows.map((value, i) => (at[Math.floor(i / 48)] ? mean[i % 48] : value));
  const found = await loss(llama, golden.ids, { writes: [{ hook: golden.hook, set: written }] });
  let [sum, n, kl] = [0, 0, 0];
  found.texts.forEach((text, t) => counts[t].forEach((is: boolean, i: number) => {
    if (!is) return;
    kl += text.kl![i];
    if (i + 1 < text.ids.length) [sum, n] = [sum + text.written![i], n + 1];
  }));
  near(byDefault.loss.mean, sum / n, 1e-5, "cross-entropy with the mean row");
  near(byDefault.kl.mean, kl / at.filter(Boolean).length, 1e-5, "KL with the mean row");
  assert.equal(byDefault.predicted, n);
  assert.match((byDefault as unknown as ShownNow)[DISPLAY]()["text/plain"] as string, /loss recovered +0\.728 +of what setting layers\.1 to zero takes; over the mean row/);
});

test("an SAE that rebuilds its rows exactly recovers all; several SAEs in one call are those one by one", async () => {
  const d = 48, identity = new Float32Array(2 * d * d);
  for (let j = 0; j < d; j++) [identity[j * d + j], identity[(d + j) * d + j]] = [1, -1];
  const exact = saeOf({ kind: "relu", d, latents: 2 * d, k: 2 * d, wEnc: identity, bEnc: new Float32Array(2 * d), wDec: identity, bDec: new Float32Array(d) }, { hook: "layers.1" });
  const same = await evaluateSplice(exact, llama, golden.ids);
  near(same.lossRecovered, 1, 1e-6, "loss recovered");
  near(same.klRecovered, 1, 1e-6, "KL recovered");
  const topk = await loadSae(join(ORACLE, "evals/topk"));
  const texts = golden.ids.map((ids: number[]) => ({ ids: Int32Array.from(ids), counts: Uint8Array.from(ids, (id) => (id > 2 ? 1 : 0)) }));
  const [one, two, three] = await spliceLosses(llama, [{ sae: exact, hook: "layers.1", target: "layers.1" }, { sae: topk, hook: "layers.0", target: "layers.0" }, { sae: topk, hook: "layers.1", target: "layers.1" }], texts, {});
  assert.deepEqual([one, two, three], [{ ...same }, { ...(await evaluateSplice(topk, llama, golden.ids, { hook: "layers.0" })) }, { ...(await evaluateSplice(topk, llama, golden.ids)) }]);
  assert.ok(two.loss.sae > three.loss.sae);
});

test("a transcoder takes the place of what it predicts, its skip connection included", async () => {
  const d = 48, rng = random(3);
  const wSkip = Float32Array.from({ length: d * d }, () => 0.2 * rng.normal());
  const weights = { kind: "relu" as const, d, latents: 1, k: 1, wEnc: new Float32Array(d), bEnc: new Float32Array(1), wDec: new Float32Array(d), bDec: new Float32Array(d).fill(0.1), transcoder: true, wSkip };
  const transcoder = saeOf(weights, { hook: "layers.1.mlp.in" });
  const found = await evaluateSplice(transcoder, llama, golden.ids, { target: "layers.1.mlp", excludeSpecialTokens: false });
  const { "layers.1.mlp.in": x } = await llama.run(golden.ids, { hooks: ["layers.1.mlp.in"] });
  const y = transcoder.reconstruct(x);
  assert.ok(y.some((value) => Math.abs(value - 0.1) > 0.1)); // the skip is in it
  const by = await loss(llama, golden.ids, { writes: [{ hook: "layers.1.mlp", set: y }] });
  near(found.loss.sae, by.written!.mean, 1e-5, "cross-entropy");
  near(found.kl.sae, by.written!.kl, 1e-5, "KL");
  assert.equal(found.target, "layers.1.mlp");
  await refuses(evaluateSplice(transcoder, llama, golden.ids), OptionError, /target: expected the hook that a transcoder predicts, found none/);
});

test("what cannot be spliced is refused before the model runs", async () => {
  const sae = await loadSae(join(ORACLE, "evals/topk"));
  const idle: Model = { ...llama, run: () => assert.fail("the model ran") };
  await refuses(evaluateSplice(sae, idle, golden.ids, { hook: "layers.1.mlp.act" }), OptionError, /layers\.1\.mlp\.act: expected rows of width 48, as the SAE has, found 96.*Places of that width: /);
  await refuses(evaluateSplice(sae, idle, golden.ids, { hook: "norm" }), HookError, /expected a place up to the last block/);
  await refuses(evaluateSplice(sae, idle, golden.ids, { hook: "layers.7" }), HookError, /layers\.7/);
  await refuses(evaluateSplice(sae, idle, golden.ids, { target: "layers.2" }), OptionError, /target: expected none/);
  await refuses(evaluateSplice(sae, idle, [[1, 2, 0]]), OptionError, /at least two tokens that are not special/);
  await refuses(evaluateSplice(sae, idle, []), OptionError, /at least two tokens/);
  await refuses(evaluateSplice(sae, idle, golden.ids, { tokens: 1 }), OptionError, /tokens: expected a whole number of tokens from 2, found 1/);
  await refuses(evaluateSplice(sae, idle, golden.ids, { excludeSpecialTokens: "yes" as never }), OptionError, /excludeSpecialTokens/);
  await refuses(evaluateSplice(saeOf(sae.weights), idle, golden.ids), OptionError, /hook: expected a place of .*found none/);
});

test("an ablation that does no harm leaves what is recovered undefined", () => {
  const found = spliceMeasures("layers.0", { loss: { original: 10, sae: 12, zero: 9, mean: 20 }, kl: { sae: 1, zero: 0, mean: 4 }, tokens: 4, predicted: 2 });
  assert.deepEqual([found.lossRecovered, found.klRecovered, found.lossRecoveredOverMean, found.klRecoveredOverMean], [NaN, NaN, 0.8, 0.75]);
  assert.deepEqual([found.loss.sae, found.kl.sae], [6, 0.25]);
});

/** A trained SAE on a small model that was trained too. */
let store: Store, sae: Sae;
const documents: Document[] = [];
test("evaluate with the model: the store's documents, sinks left as they are", async () => {
  const root = join(__dirname, "../../..");
  const lines = readFileSync(join(root, "data/reasoning/corpus.jsonl"), "utf8").split("\n").slice(0, 40).map((line) => JSON.parse(line));
  lines.forEach(({ text }, i) => documents.push({ id: `${i}`, text, spans: [], split: i % 5 ? "train" : "heldout" }));
  store = await harvest(tiny, documents, { hooks: ["layers.2"], folder: join(scratch, "store"), context: 48 });
  sae = await trainSae(store, { latents: 256, k: 16, tokens: 30_000, folder: join(scratch, "sae") });
  const stages = new Set<string>();
  const found = await evaluate(sae, store, { model: tiny, tokens: 600, progress: ({ stage }) => stages.add(stage) });
  assert.deepEqual([...stages], ["evaluate", "splice"]);
  const splice = found.splice!;
  assert.ok(splice.lossRecovered > 0.5 && splice.lossRecovered < 1, `${splice.lossRecovered}`);
  assert.ok(splice.kl.sae > 0 && splice.kl.sae < splice.kl.zero);
  assert.ok(splice.tokens > 500 && splice.tokens < 600); // first tokens of contexts have no row
  const plain = await evaluate(sae, store);
  assert.equal(plain.fvu, found.fvu);
  assert.equal(plain.splice, undefined);
  // the same texts given as documents, cut alike, first tokens dropped
  const heldout = documents.filter(({ split }) => split === "heldout");
  const given = await evaluateSplice(sae, tiny, heldout, { tokens: 600, context: 48, dropFirst: true });
  assert.deepEqual({ ...given }, { ...splice });
  const text = ((await found[DISPLAY]()) as Record<string, string>)["text/plain"];
  assert.match(text, /^FVU .*\n(.*\n)+loss recovered .*\ncross-entropy .*\nKL recovered .*\nKL /m);
});

test("of a store the tokens that count are those with a row of the split: first tokens, special ones, and the other side's are not", async () => {
  const alone = await harvest(tiny, [{ id: "one", text: documents.slice(0, 6).map(({ text }) => text).join("\n"), spans: [] }], { hooks: ["layers.2"], folder: join(scratch, "alone"), context: 32 });
  const ranges = rowsOf(alone, "heldout"); // of a single document the last tenth of its rows
  const texts = storeTexts(tiny, alone, ranges, {});
  const { position } = alone.origin(ranges[0].from, alone.rows);
  const { ids } = alone.tokens(0);
  const found = texts.flatMap((text) => Array.from(text.ids).filter((_, i) => text.counts[i]));
  assert.deepEqual(found, Array.from(position, (at) => ids[at]).filter((id) => !tiny.tokenizer.isSpecial(id)));
  assert.ok(texts.length * 32 < ids.length / 5); // contexts without such a row are not read
  for (const { counts } of texts) assert.equal(counts[0], 0);
  assert.ok(storeTexts(tiny, alone, ranges, { tokens: 20 }).reduce((sum, text) => sum + text.ids.length, 0) <= 20);
  alone.close();
  const whole = await harvest(tiny, documents.slice(0, 3), { hooks: ["layers.2"], folder: join(scratch, "whole"), cut: "whole" });
  assert.deepEqual(storeTexts(tiny, whole, rowsOf(whole, "all"), { excludeSpecialTokens: false }).map((text) => [...text.ids]), documents.slice(0, 3).map((_, d) => [...whole.tokens(d).ids]));
  whole.close();
});

test("evaluate refuses another model than the store's, and documents without a model", async () => {
  const stranger: Model = { ...tiny, hash: async () => "another" };
  await refuses(evaluate(sae, store, { model: stranger }), OptionError, /model: expected the store's model, .*found .*whose files are others.*documents/);
  await refuses(evaluate(sae, store, { model: llama }), OptionError, /layers\.2: expected rows of width 128, as the SAE has, found 48/);
  await refuses(evaluate(sae, store, { documents }), OptionError, /documents: expected a model beside them/);
  const other = await evaluate(sae, store, { model: stranger, documents: documents[0], rows: 50 });
  assert.ok(other.splice!.tokens > 0);
});

test("an interrupt stops the splice between two passes", async () => {
  const flag = (globalThis as Record<symbol, any>)[Symbol.for("saelab.interrupt")];
  let passes = 0;
  const model: Model = { ...tiny, run: (...args) => {
    if (++passes === 3) flag.requested = true;
    return tiny.run(...args);
  } };
  try {
    await refuses(evaluateSplice(sae, model, documents, { tokens: 600, batchTokens: 200 }), InterruptError, /Nothing of it is kept/);
  } finally {
    flag.requested = false;
  }
  assert.equal(passes, 3);
});
