import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { drive, printedBy, resultOf, type Answer, type Driven, type Step } from "./drive";

/* Tables, exports, labels and maps of features in a notebook's cells, with a real model's tokens. What is an ES module (hyparquet-writer) loads there too. */

const scratch = mkdtempSync(join(tmpdir(), "saelab-tables-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const at = (name: string): string => JSON.stringify(join(scratch, name));
const of = (name: string): string => `require(${JSON.stringify(join(packageRoot, "build", "src", "adapters", name))})`;

const steps: Record<string, Step> = {
  features: {
    code: `import { openModel, readTexts, harvest, trainSaes, collect } from "saelab";
const model = await openModel(${JSON.stringify(join(packageRoot, "data", "tiny-reasoner"))});
const texts = await readTexts(${JSON.stringify(join(packageRoot, "data", "reasoning", "corpus.jsonl"))});
const store = await harvest(model, texts.slice(0, 60), { hooks: ["layers.3"], folder: ${at("store")} });
const [one, two] = await trainSaes(store, [{ latents: 128, k: 8, seed: 1 }, { latents: 128, k: 8, seed: 2 }]);
const features = await collect(store, one);
features.count`,
  },
  labels: { code: `const labels = await ${of("suggestlabels")}.suggestLabels(features);\nconsole.log(await labels.keep() === labels.labels.size);\nlabels` },
  table: { code: `const table = features.table().sortValues("density", { ascending: false });\ntable.head(5)` },
  plot: { code: `${of("tableplot")}.tablePlot(table, { x: "density", y: "max", log: true })` },
  map: { code: `await ${of("decodermap")}.decoderMap(one, { features, method: "pca" })` },
  compare: { code: `await ${of("similarity")}.compareFeatures(one, two)` },
  exports: {
    code: `for (const ending of ["csv", "json", "parquet"]) await ${of("exports")}.exportTable(features, ${at("table.")} + ending);
const delphi = await ${of("delphi")}.exportDelphi(features, ${at("latents")}, { contextLength: 64 });
const pedia = await ${of("neuronpedia")}.exportNeuronpedia(features, ${at("pedia")}, { modelId: "tiny", sourceSet: "res", sae: one });
const back = await ${of("neuronpedia")}.importNeuronpedia(pedia.path);
[delphi.firings > 1000, back.length === pedia.features, back[0].top[0].tokens.length > 5]`,
  },
};

let driven: Driven;
before(async () => {
  driven = await drive(steps, scratch);
});
const answer = (name: string): Answer => driven.answers[name] as Answer;
const shown = (name: string): Record<string, unknown> => {
  const { outputs } = answer(name);
  assert.deepEqual(outputs.filter(({ type, content }) => type === "error" || content.name === "stderr"), []);
  return outputs.find(({ type }) => type === "execute_result")!.content.data as Record<string, unknown>;
};

test("features of a real model, labelled without a network", () => {
  assert.equal(resultOf(answer("features")), "128");
  assert.equal(printedBy(answer("labels")).trim(), "true");
  assert.match(shown("labels")["text/plain"] as string, /latent +label +why\n +\d+ +\S/);
});

test("their table sorts and shows itself, with labels", () => {
  const table = shown("table");
  assert.match(table["text/plain"] as string, /^latent +density .*label/);
  assert.ok(table["application/vnd.saelab.table.v1+json"]);
});

for (const name of ["plot", "map", "compare"])
  test(`${name}: a figure, a picture, HTML and a sentence`, () => {
    const data = shown(name);
    assert.deepEqual(Object.keys(data).sort(), ["application/vnd.plotly.v1+json", "image/png", "text/html", "text/plain"]);
    assert.ok(Buffer.from(data["image/png"] as string, "base64").length > 5_000);
  });

test("exports are written, and Neuronpedia's reads back", () => {
  assert.deepEqual(shown("exports")["text/plain"], "[ true, true, true ]");
  assert.deepEqual(readdirSync(scratch).filter((name) => name.startsWith("table.")).sort(), ["table.csv", "table.json", "table.parquet"]);
  assert.ok(statSync(join(scratch, "table.parquet")).size > 3_000);
  assert.deepEqual(readdirSync(join(scratch, "latents")), ["layers.3"]);
});
