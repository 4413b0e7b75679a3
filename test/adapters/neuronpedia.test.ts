import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { collect } from "../../src/adapters/collect";
import { exportNeuronpedia, importNeuronpedia } from "../../src/adapters/neuronpedia";
import { DISPLAY, heatMap } from "../../src/adapters/show";
import { FormatError, InterruptError, OptionError, StoreError } from "../../src/core/errors";
import { BARS, dashboardFeature } from "../../src/core/neuronpedia";
import { synthetic, words } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-neuronpedia-"));
after(() => rmSync(root, { recursive: true, force: true }));

const lines = (path: string): Record<string, any>[] =>
  (path.endsWith(".gz") ? gunzipSync(readFileSync(path)) : readFileSync(path)).toString("utf8").trim().split("\n").map((line) => JSON.parse(line));

test("a bulk import: everything that belongs together does, numbers are those of the features", async () => {
  const { store, sae } = synthetic();
  const features = await collect(store, sae, { folder: join(root, "family") });
  await features.setColumn("label", { 1: "the word “wait”", 0: "<b>back</b>" });
  await features.setColumn("verdict", { 1: "token detector" });
  const made = await exportNeuronpedia(features, join(root, "exports"), { modelId: "tiny", sourceSet: "res-test", sae, perBatch: 10, creatorId: "me", createdAt: new Date(0) });
  assert.equal(made.path, join(root, "exports", "tiny", "1-res-test"));
  const living = [...features.fired].filter((n) => n > 0).length;
  assert.deepEqual([made.features, made.explanations], [living, 2]);
  assert.deepEqual(readdirSync(made.path).sort(), ["activations", "explanations", "features", "model.jsonl", "release.jsonl", "source.jsonl", "sourceset.jsonl"]);
  const [[release], [model], [set], [source]] = ["release", "model", "sourceset", "source"].map((name) => lines(join(made.path, `${name}.jsonl`)));
  assert.deepEqual([set.releaseName, set.modelId, source.modelId, source.setName, source.id, source.num_prompts], [release.name, model.id, model.id, set.name, "1-res-test", 40]);
  const all = (kind: string): Record<string, any>[] => readdirSync(join(made.path, kind)).flatMap((file) => lines(join(made.path, kind, file)));
  const [rows, activations, explanations] = ["features", "activations", "explanations"].map(all);
  assert.deepEqual(readdirSync(join(made.path, "features")), ["batch-0.jsonl.gz", "batch-1.jsonl.gz", "batch-2.jsonl.gz", "batch-3.jsonl.gz"].slice(0, Math.ceil(living / 10)));
  assert.equal(rows.length, living);
  assert.equal(activations.length, made.activations);
  assert.equal(new Set([...activations, ...explanations].map(({ id }) => id)).size, activations.length + 2);
  assert.ok(activations.every(({ id }) => /^c[0-9a-f]{24}$/.test(id)));
  const codes = sae.encode(store.read("layers.1", 0, store.rows));
  for (const row of rows) {
    const f = Number(row.index);
    const feature = features.feature(f);
    assert.deepEqual([row.modelId, row.layer, row.creatorId, row.sourceSetName, row.hookName, row.createdAt], ["tiny", "1-res-test", "me", "res-test", "blocks.1.hook_resid_post", "1970-01-01T00:00:00.000Z"]);
    assert.equal(row.frac_nonzero, feature.density);
    assert.ok(Math.abs(row.maxActApprox - feature.max) < 1e-5 * feature.max);
    assert.equal(row.vector.length, 32);
    row.vector.forEach((value: number, i: number) => assert.ok(Math.abs(value - sae.weights.wDec[f * 32 + i]) < 1e-5));
    const values = [...codes.value].filter((value, i) => value > 0 && codes.index[i] === f);
    const bars = new Array(BARS).fill(0);
    for (const value of values) bars[Math.min(BARS - 1, Math.floor((BARS * value) / feature.max))]++;
    assert.deepEqual(row.freq_hist_data_bar_heights, bars);
    const own = activations.filter(({ index }) => index === row.index);
    assert.equal(own.length, feature.top.length + feature.more.reduce((sum, { examples }) => sum + examples.length, 0));
    for (const one of own) {
      assert.deepEqual([one.maxValue, one.minValue, one.maxValueTokenIndex], [Math.max(...one.values), Math.min(...one.values), one.values.indexOf(one.maxValue)]);
      assert.equal(one.tokens.length, one.values.length);
      const peak = one.values[one.qualifyingTokenIndex];
      if (one.binMin < 0) continue;
      assert.ok(peak >= one.binMin - 1e-4 && peak <= one.binMax + 1e-4);
      const within = values.filter((value) => value >= one.binMin && value < one.binMax + 1e-4).length + (one.binMin === 0 ? store.rows - values.length : 0);
      assert.ok(Math.abs(one.binContains - within / store.rows) < 2e-3, `${one.binContains} ${within / store.rows}`);
    }
    assert.deepEqual(own[0].tokens, [...feature.top[0].tokens].map((id) => words[id]));
  }
  assert.deepEqual(explanations.map(({ index, description, authorId, notes }) => [index, description, authorId, notes]).sort(), [["0", "<b>back</b>", "me", null], ["1", "the word “wait”", "me", "Tested: token detector"]]);

  const again = await importNeuronpedia(made.path);
  assert.equal(again.length, living);
  const wait = again.find(({ latent }) => latent === 1)!;
  const was = features.feature(1);
  assert.deepEqual([wait.label, wait.density, wait.source], ["the word “wait”", was.density, "tiny/1-res-test"]);
  assert.deepEqual(wait.top.map(({ tokens, peak }) => [[...tokens].map(again.words.token), peak]), was.top.map(({ tokens, peak }) => [[...tokens].map(features.words.token), peak]));
  wait.top.forEach(({ values }, e) => values.forEach((value, i) => assert.ok(Math.abs(value - was.top[e].values[i]) <= 1e-5 * value)));
  assert.match(again[DISPLAY]()["text/html"] as string, /latent 1<[\s\S]*the word “wait”/);
  assert.match(heatMap(wait)[DISPLAY]()["text/plain"] as string, / wait/);

  const batches = await exportNeuronpedia(features, join(root, "batches"), { modelId: "tiny", sourceSet: "res-test", layout: "batches", latents: [1, 31, 0], perBatch: 2 });
  assert.deepEqual(readdirSync(batches.path).sort(), ["batch-0.json", "batch-1.json", "run_settings.json"]);
  const back = await importNeuronpedia(batches.path);
  assert.deepEqual(back.map(({ latent, top }) => [latent, top.length]), [[1, was.top.length], [31, 0], [0, features.feature(0).top.length]]);
  await exportNeuronpedia(features, join(root, "batches"), { modelId: "tiny", sourceSet: "res-test", layout: "batches", latents: [2] }); // in the place of the first
  assert.deepEqual(readdirSync(batches.path).sort(), ["batch-0.json", "run_settings.json"]);
  features.close();
});

test("the JSON of the API: tokens in a vocabulary's spelling, explanations, logits, intervals", async () => {
  const json = {
    modelId: "gemma-2-2b", layer: "20-gemmascope-res-16k", index: "123", maxActApprox: 40, frac_nonzero: 0.002,
    pos_str: ["▁no", "Ġbut"], pos_values: [1.5, 1], neg_str: ["▁yes"], neg_values: [-0.5],
    freq_hist_data_bar_values: [5, 15, 25], freq_hist_data_bar_heights: [10, 5, 1],
    explanations: [{ description: "negations" }, { description: "contrast" }],
    activations: [
      { tokens: ["▁no", "<script>", "Ċ"], values: [0, 20, 3], maxValueTokenIndex: 1, binMin: -1, binMax: 40, binContains: -1, qualifyingTokenIndex: 1 },
      { tokens: ["▁not"], values: [40], binMin: -1, binMax: 40 },
      { tokens: ["a", "b"], values: [1, 2], binMin: 0, binMax: 8, binContains: 0.9, qualifyingTokenIndex: 0 },
      { tokens: ["c"], values: [33], binMin: 32, binMax: 40, binContains: 0.01 },
    ],
  };
  const file = join(root, "feature.json");
  writeFileSync(file, JSON.stringify(json));
  for (const from of [json, file, [json]]) {
    const [feature, ...none] = await importNeuronpedia(from);
    assert.equal(none.length, 0);
    assert.deepEqual([feature.latent, feature.density, feature.max, feature.label, feature.explanations], [123, 0.002, 40, "negations", ["negations", "contrast"]]);
    assert.deepEqual(feature.top.map(({ values, peak }) => [[...values], peak]), [[[40], 0], [[0, 20, 3], 1]]);
    assert.deepEqual([...feature.top[1].tokens].map(feature.words.token), [" no", "<script>", "\n"]);
    assert.deepEqual(feature.more!.map(({ name, examples }) => [name, examples.map(({ peak }) => peak)]), [["32–40", [0]], ["0–8", [0]]]);
    assert.deepEqual(feature.logits, { top: [{ text: " no", value: 1.5 }, { text: " but", value: 1 }], bottom: [{ text: " yes", value: -0.5 }] });
    assert.deepEqual(feature.histogram, { edges: [0, 10, 20, 30], counts: [10, 5, 1] });
    assert.equal(feature.mean, (50 + 75 + 25) / 16);
    assert.match(heatMap(feature)[DISPLAY]()["text/html"] as string, /&lt;script&gt;/);
  }
});

test("damaged and foreign JSON is named by file and field", async () => {
  const refuse = async (json: unknown, what: RegExp): Promise<void> => {
    const file = join(root, "bad.json");
    writeFileSync(file, typeof json === "string" ? json : JSON.stringify(json));
    await assert.rejects(importNeuronpedia(file), (error: Error) => error instanceof FormatError && what.test(error.message) && error.message.includes("bad.json"));
  };
  await refuse('{"index": 1, "activ', /expected JSON/);
  await refuse({ modelId: "x" }, /index: expected the number of a latent/);
  await refuse({ index: 1, activations: [{ tokens: ["a", "b"], values: [1] }] }, /activations\[0\]: expected as many values as tokens/);
  await refuse({ index: 1, activations: [{ tokens: ["a"], values: ["1"] }] }, /activations\[0\]\.values: expected a list of numbers/);
  await refuse({ index: 1, activations: {} }, /activations: expected a list/);
  await refuse({ index: 1, pos_str: [1], pos_values: [1] }, /pos_str: expected a list of texts/);
  await refuse([], /at least one feature/);
  await refuse(null, /feature: expected an object/);
  await refuse("7", /feature: expected an object/);
  await assert.rejects(importNeuronpedia(null as never), FormatError);
  await refuse([{ index: 1 }, null], /\[1\]: feature: expected an object/);
  const folder = join(root, "nothing");
  mkdirSync(folder);
  await assert.rejects(importNeuronpedia(folder), FormatError);
  await assert.rejects(importNeuronpedia(join(root, "none.json")), FormatError);
  writeFileSync(join(root, "cut.jsonl.gz"), Buffer.from([31, 139, 8, 0]));
  await assert.rejects(importNeuronpedia(join(root, "cut.jsonl.gz")), (error: Error) => error instanceof FormatError && /expected gzip/.test(error.message));
});

test("names that are paths, a hook in no block, another SAE, a folder of somebody else's", async () => {
  const { store, sae } = synthetic({ documents: 4 });
  const features = await collect(store, sae, { folder: join(root, "small") });
  const wanted = { modelId: "tiny", sourceSet: "set" };
  const refuse = (options: object, what: RegExp, folder = join(root, "refused")): Promise<void> =>
    assert.rejects(exportNeuronpedia(features, folder, { ...wanted, ...options }), (error: Error) => error instanceof OptionError && what.test(error.message));
  await refuse({ modelId: "../up" }, /modelId/);
  await refuse({ sourceSet: "" }, /sourceSet/);
  await refuse({ layout: "csv" }, /layout/);
  await refuse({ latents: [32] }, /latents: expected numbers from 0 to 31/);
  await refuse({ perBatch: 0 }, /perBatch/);
  for (const layer of ["../../up", NaN, -1, null]) await refuse({ layer }, /layer: expected a whole number/);
  await refuse({ sae: synthetic({ latents: 33 }).sae }, /33/);
  const another = { ...sae, weights: { ...sae.weights, wDec: sae.weights.wDec.map((w) => -w) } };
  await assert.rejects(exportNeuronpedia(features, join(root, "refused"), { ...wanted, sae: another }), (error: Error) => error instanceof StoreError && /another one of as many latents/.test(error.message));
  const folder = join(root, "mine", "tiny", "1-set");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "source.jsonl"), "{}");
  await refuse({}, /source\.jsonl/, join(root, "mine"));
  assert.deepEqual(readdirSync(join(root, "mine", "tiny")), ["1-set"]);

  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  for (const layout of ["import", "batches"] as const) {
    const stopped = join(root, `stopped-${layout}`);
    await assert.rejects(exportNeuronpedia(features, stopped, { ...wanted, layout, perBatch: 2, progress: ({ done }) => void (flag.requested = done > 0) }), InterruptError);
    flag.requested = false;
    assert.ok(!existsSync(stopped) || readdirSync(stopped, { recursive: true }).every((name) => name === "tiny"));
  }
  features.close();
});

test("a latent that never fires, a token that is half a character: still JSON that others read", () => {
  const dead = dashboardFeature({ latent: 3, density: 0, mean: 0, max: 0, histogram: { edges: [], counts: [] }, top: [] }, { token: String, document: String }, new Int32Array(BARS), 10, { dataset: "", prompts: 0, tokensInPrompt: 0 });
  assert.deepEqual([dead.activations, dead.freq_hist_data_bar_values], [[], []]);
  const example = { tokens: Int32Array.of(0), values: Float32Array.of(2), peak: 0, document: 0, position: 0, count: 1 };
  const half = dashboardFeature({ latent: 0, density: 0.1, mean: 2, max: 2, histogram: { edges: [], counts: [] }, top: [example] }, { token: () => "\ud800", document: String }, new Int32Array(BARS), 10, { dataset: "", prompts: 0, tokensInPrompt: 0 });
  assert.deepEqual(half.activations[0].tokens, ["\ufffd"]);
  const logits = { top: [{ text: " no", value: 1.25 }], bottom: [{ text: "\n", value: -0.1234567 }] };
  const lens = dashboardFeature({ latent: 0, density: 0, mean: 0, max: 0, histogram: { edges: [], counts: [] }, top: [], logits }, { token: String, document: String }, new Int32Array(BARS), 10, { dataset: "", prompts: 0, tokensInPrompt: 0 });
  assert.deepEqual([lens.pos_str, lens.pos_values, lens.neg_str, lens.neg_values], [[" no"], [1.25], ["\n"], [-0.123457]]);
});
