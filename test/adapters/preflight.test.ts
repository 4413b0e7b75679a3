import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { preflight } from "../../src/adapters/preflight";
import { evaluate, loadSae, saeOf } from "../../src/adapters/sae";
import { DISPLAY, type Shown } from "../../src/adapters/show";
import { tensorflow } from "../../src/adapters/tensorflow";
import { readTexts } from "../../src/adapters/texts";
import { trainSae } from "../../src/adapters/train";
import { CheckpointError, HookError, OptionError } from "../../src/core/errors";
import { modelOfHook } from "../../src/core/hookname";
import { measuring } from "../../src/core/measure";
import { random } from "../../src/core/random";
import type { Document, Model, Sae, SaeWeights, Store } from "../../src/core/types";

/** An SAE of the MLP's output, and what becomes of it when it is fed something else: the mistake that preflight exists for. */
const root = join(__dirname, "../../..");
const scratch = mkdtempSync(join(tmpdir(), "saelab-preflight-"));
process.env.XDG_CACHE_HOME = join(scratch, "cache");
const MLP = "layers.2.mlp", STREAM = "layers.2", d = 128;
const folder = join(scratch, "sae");
let model: Model, store: Store, sae: Sae, heldout: Document[];

before(async () => {
  model = await openModel(join(root, "data/tiny-reasoner"));
  const documents = await readTexts(join(root, "data/reasoning/corpus.jsonl"));
  heldout = documents.slice(1000, 1012);
  store = await harvest(model, [...documents.slice(0, 60).map((one) => ({ ...one, split: "train" as const })), ...heldout.map((one) => ({ ...one, split: "heldout" as const }))], { hooks: [MLP], folder: join(scratch, "store") });
  sae = await trainSae(store, { latents: 256, k: 16, tokens: 20_000, folder });
});
after(async () => {
  await model.close();
  store.close();
  rmSync(scratch, { recursive: true, force: true });
});

test("at its own place it fits: the table, and FVU and L0 that evaluate finds", async () => {
  const live = tensorflow().live();
  const tokens = heldout.reduce((sum, { text }) => sum + model.tokenizer.encode(text).ids.length, 0);
  const found = await preflight(sae, model, MLP, { texts: heldout, tokens });
  assert.equal(tensorflow().live(), live);
  assert.equal(found.verdict, "fits");
  assert.equal(found.best, found.declared);
  const { fvu, l0, dead, dense, rows } = await evaluate(sae, store, { split: "heldout" });
  assert.equal(found.sample.tokens, tokens);
  assert.equal(found.declared.rows, rows); // the same rows left out as by harvest
  assert.ok(Math.abs(found.declared.fvu - fvu) < 1e-4 && Math.abs(found.declared.l0 - l0) < 1e-3, `${found.declared.fvu}, ${fvu}`);
  assert.deepEqual([found.declared.dead, found.declared.dense], [dead, dense]);
  assert.deepEqual(found.notes, []);
  // other readings of the same place, each really another one
  const here = found.places.filter(({ hook }) => hook === MLP);
  assert.deepEqual(here.map(({ other }) => other), [
    undefined, "b_dec not subtracted", "rows normalised: constant_norm_rescale", "rows normalised: layer_norm", "rows normalised: expected_average_only_in"]);
  const another = saeOf({ ...sae.weights, subtractBDec: false, normalize: "layer_norm" }, { hook: MLP });
  const swapped = await preflight(another, model, undefined, { texts: heldout, tokens });
  const reading = (other: string) => swapped.places.find((place) => place.other === other)!.fvu;
  assert.ok(Math.abs(reading("b_dec subtracted") - here[3].fvu) < 1e-4);
  const bundle = found[DISPLAY]();
  assert.match(String(bundle["text/plain"]), /^✓ fits: FVU 0\.\d+ at layers\.2\.mlp/);
  assert.match(String(bundle["text/html"]), /<b>✓ fits.*<table/s);
  assert.deepEqual(JSON.parse(JSON.stringify(found)).places.length, found.places.length);
});

test("fed the residual stream it is refused loudly, and told where it belongs", async () => {
  const found = await preflight(sae, model, STREAM, { texts: heldout });
  assert.deepEqual([found.verdict, found.best.hook, found.declared.hook], ["better elsewhere", MLP, STREAM]);
  assert.ok(found.best.fvu < 0.6 * found.declared.fvu);
  assert.match(found.notes[0], /says that it reads layers\.2\.mlp, not layers\.2\./);
  assert.match(String(found[DISPLAY]()["text/plain"]), /^⚠ better at layers\.2\.mlp/);
  // on texts that are nothing like the training's, too; in another spelling
  const builtIn = await preflight(sae, model, "blocks.2.hook_resid_post");
  assert.deepEqual([builtIn.verdict, builtIn.best.hook, builtIn.sample.builtIn], ["better elsewhere", MLP, true]);
  // one block off
  assert.equal((await preflight(sae, model, "layers.1.mlp", { texts: heldout })).best.hook, MLP);
});

test("loadSae with a model's hook ends in it: error by default, warn and off when asked", async () => {
  const fitting = await loadSae(folder, { hook: model.hook(MLP), texts: heldout });
  assert.equal(fitting.hook, MLP);
  assert.equal((fitting.card.preflight as { verdict: string }).verdict, "fits");
  const shown = (fitting as unknown as Shown)[DISPLAY]() as Record<string, string>;
  assert.match(shown["text/plain"], /^A top-16 SAE of 256 latents.*\n✓ fits/);
  await assert.rejects(loadSae(folder, { hook: model.hook(STREAM), texts: heldout }), (error: Error) =>
    error instanceof CheckpointError && /expected an SAE of layers\.2 of .*tiny-reasoner, found one that is better at layers\.2\.mlp: FVU 0\.\d+ at layers\.2 .*FVU 0\.\d+ at layers\.2\.mlp.*\{ hook: model\.hook\("layers\.2\.mlp"\) \}.*preflight: "warn"/.test(error.message));
  const printed: string[] = [];
  const { log } = console;
  console.log = (text: string) => void printed.push(text);
  let warned: Sae;
  try {
    warned = await loadSae(folder, { hook: model.hook(STREAM), preflight: "warn", texts: heldout });
  } finally {
    console.log = log;
  }
  assert.match(printed.join("\n"), /⚠ better at layers\.2\.mlp/);
  assert.equal(warned.hook, STREAM);
  // what is saved says so, in file and model card
  await warned.save(join(scratch, "again"), { readme: true });
  assert.match(readFileSync(join(scratch, "again", "README.md"), "utf8"), /\| preflight \| better at layers\.2\.mlp/);
  assert.equal(((await loadSae(join(scratch, "again"))).card.preflight as { verdict: string }).verdict, "better elsewhere");
  const off = await loadSae(folder, { hook: model.hook(STREAM), preflight: "off" });
  assert.equal(off.card.preflight, undefined);
  assert.equal((await loadSae(folder, { hook: model.hook(MLP), latents: [3, 5] })).card.preflight, undefined); // a part of an SAE rebuilds nothing
  await assert.rejects(loadSae(folder, { hook: MLP, preflight: "error" }), (error: Error) => error instanceof OptionError && /model\.hook\(/.test(error.message));
  await assert.rejects(loadSae(folder, { hook: model.hook(MLP), preflight: "loud" as never }), /preflight: expected error, warn, off/);
});

test("random weights fit nowhere; every kind is measured as the SAE itself rebuilds", async () => {
  const rng = random(3), F = 256;
  const numbers = (n: number, scale: number) => Float32Array.from({ length: n }, () => scale * rng.normal());
  const parts = { d, latents: F, k: F, wEnc: numbers(F * d, 0.1), bEnc: numbers(F, 0.1), wDec: numbers(F * d, 0.1), bDec: numbers(d, 0.1) };
  const threshold = numbers(F, 1).map(Math.abs);
  const kinds: SaeWeights[] = [
    { ...parts, k: 16 }, { ...parts, k: 16, rescaleByDecoderNorm: true, normalize: "constant_norm_rescale", subtractBDec: false }, { ...parts, k: 16, kind: "groupmax" },
    { ...parts, kind: "relu", rescaleByDecoderNorm: true, normalize: "layer_norm" }, { ...parts, kind: "jumprelu", threshold }, { ...parts, kind: "batchtopk", threshold: 0.7, subtractBDec: false },
    { ...parts, kind: "gated", bGate: numbers(F, 1), rMag: numbers(F, 0.5) },
  ];
  const texts = [model.tokenizer.encode(heldout[0].text).ids];
  const { [MLP]: x } = await model.run(texts, { hooks: [MLP] });
  const kept = x.slice(d); // nothing but the first row is left out: no norm is over 10 × the median here
  for (const weights of kinds) {
    const one = saeOf(weights, { hook: MLP });
    const { verdict, declared } = await preflight(one, model, MLP, { texts });
    assert.equal(verdict, "fits nowhere");
    assert.equal(declared.rows, kept.length / d);
    const codes = one.encode(kept), tally = measuring(d, F);
    tally.rows(kept, one.reconstruct(kept));
    tally.latents(codes.index, codes.value);
    const own = tally.result(), what = JSON.stringify([weights.kind, own.fvu, declared.fvu]);
    assert.ok(own.fvu > 1 && Math.abs(declared.fvu / own.fvu - 1) < 1e-4, what);
    assert.ok(Math.abs(declared.l0 / own.l0 - 1) < 1e-3, what);
  }
  const wrong = join(scratch, "random");
  await saeOf(kinds[0]).save(wrong);
  await assert.rejects(loadSae(wrong, { hook: model.hook(MLP) }), /fits nowhere: FVU .*texts of a special kind/);
});

test("a transcoder is held against what it predicts", async () => {
  const F = 4, eye = Float32Array.from({ length: d * d }, (_, i) => (i % (d + 1) === 0 ? 1 : 0));
  const some = heldout.slice(0, 3); // a skip connection is multiplied out in plain loops
  const zeros = (n: number) => new Float32Array(n);
  // predicts its input, by its skip connection alone: right for the stream it is given, wrong for any other
  const copy = saeOf({ d, latents: F, k: 1, transcoder: true, subtractBDec: false, wEnc: zeros(F * d), bEnc: zeros(F), wDec: zeros(F * d), bDec: zeros(d), wSkip: eye });
  const right = await preflight(copy, model, STREAM, { target: STREAM, texts: some });
  assert.deepEqual([right.verdict, right.declared.fvu, right.declared.l0], ["fits", 0, 0]);
  const wrong = await preflight(copy, model, "layers.1.mlp", { target: model.hook(STREAM), texts: some });
  assert.deepEqual([wrong.verdict, wrong.best.hook], ["better elsewhere", STREAM]);
  assert.match(wrong.says, /rows of layers\.2, which it predicts/);
  const where = join(scratch, "transcoder");
  await copy.save(where);
  const loaded = await loadSae(where, { hook: model.hook(STREAM), target: STREAM, texts: some });
  assert.equal((loaded.card.preflight as { verdict: string }).verdict, "fits");
  await assert.rejects(loadSae(where, { hook: model.hook(STREAM), texts: some }), (error: Error) => error instanceof OptionError && /preflight: "off"/.test(error.message));
  // SAELens' cfg.json names it, in its own spelling
  const named = join(scratch, "named");
  await saeOf({ ...copy.weights, k: F, kind: "relu" }, { card: { target: "blocks.2.hook_resid_post" } }).save(named, { format: "saelens" });
  rmSync(join(named, "saelab.json"));
  const told = await loadSae(named, { hook: model.hook(STREAM), texts: some });
  assert.equal(told.card.target, "blocks.2.hook_resid_post");
  assert.equal((told.card.preflight as { verdict: string }).verdict, "fits");
  await assert.rejects(loadSae(named, { hook: model.hook("layers.1.mlp"), texts: some }), (error: Error) => error instanceof CheckpointError && /rows of layers\.2, which it predicts/.test(error.message));
  await assert.rejects(loadSae(named, { hook: model.hook(STREAM), target: "layers.2.mlp", texts: some }), /rows of layers\.2\.mlp, which it predicts/); // one that is given wins
  await assert.rejects(preflight(copy, model, STREAM), (error: Error) => error instanceof OptionError && /target: expected the hook that a transcoder predicts/.test(error.message));
  await assert.rejects(preflight(sae, model, MLP, { target: STREAM }), (error: Error) => error instanceof OptionError && /target: expected none/.test(error.message));
});

test("a hook of another width or model, too few tokens, no hook: said before anything is run", async () => {
  const refused = (promise: Promise<unknown>, kind: new (message: string) => Error, pattern: RegExp) =>
    assert.rejects(promise, (error: Error) => error instanceof kind && pattern.test(error.message));
  await refused(preflight(sae, model, "layers.2.mlp.act"), OptionError, /layers\.2\.mlp\.act: expected rows that the SAE reads, of width 128, found width 384\. Places of .*embed_tokens/);
  const narrow = saeOf({ d: 2, latents: 3, k: 1, wEnc: new Float32Array(6), bEnc: new Float32Array(3), wDec: new Float32Array(6), bDec: new Float32Array(2) });
  await refused(preflight(narrow, model, MLP), OptionError, /no place of that width: the SAE belongs to another model/);
  await refused(preflight(narrow, model), OptionError, /expected a place of .*found none/);
  await refused(preflight(sae, model, "layers.77.mlp"), HookError, /layers\.77/);
  await refused(preflight(sae, model, MLP, { texts: ["a"], tokens: 3 }), OptionError, /at least 2 tokens/);
  await refused(preflight(sae, model, MLP, { tokens: 0 }), OptionError, /tokens/);
  await refused(preflight(sae, model, MLP, { texts: "one" as never }), OptionError, /in brackets/);
  await refused(preflight(sae, model, MLP, { texts: ["the same", "the same"].map(() => Int32Array.of(5, 9)) }), OptionError, /differ in nothing/);
  const other = await openModel(join(root, "data/tiny-reasoner"));
  try {
    await refused(preflight(sae, model, other.hook(MLP)), OptionError, /found layers\.2\.mlp of /);
  } finally {
    await other.close();
  }
});

test("a model's hook knows its model, and is the same plain value as before", () => {
  const hook = model.hook(MLP);
  assert.deepEqual(hook, { name: MLP, kind: "mlp_out", layer: 2 });
  assert.equal(JSON.stringify(hook), `{"name":"${MLP}","kind":"mlp_out","layer":2}`);
  assert.equal(modelOfHook(hook), model);
  assert.equal(modelOfHook({ ...hook }), undefined);
});
