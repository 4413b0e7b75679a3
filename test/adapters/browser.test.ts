import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { featureBrowser } from "../../src/adapters/browser";
import { collect } from "../../src/adapters/collect";
import type { Features } from "../../src/adapters/features";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { packageRoot } from "../../src/adapters/package";
import { saeOf } from "../../src/adapters/sae";
import { DISPLAY } from "../../src/adapters/show";
import { readTexts } from "../../src/adapters/texts";
import { openBrowser, type Browser, type PackedBrowser } from "../../src/core/browser";
import { matching, ordered } from "../../src/core/browserquery";

const scratch = mkdtempSync(join(tmpdir(), "saelab-browser-"));
let features: Features;

before(async () => {
  const model = await openModel(join(packageRoot, "data/tiny-reasoner"));
  const texts = await readTexts(join(packageRoot, "data/reasoning/corpus.jsonl"));
  const store = await harvest(model, texts.slice(0, 12), { hooks: ["layers.2"], folder: join(scratch, "store") });
  const d = store.width("layers.2"), latents = 96;
  const wEnc = Float32Array.from({ length: latents * d }, (_, i) => Math.sin(i * i) / Math.sqrt(d));
  const sae = saeOf({ d, latents, k: 8, wEnc, bEnc: new Float32Array(latents), wDec: wEnc, bDec: new Float32Array(d) }, { hook: "layers.2" });
  features = await collect(store, sae, { folder: join(scratch, "features") });
  await features.setColumn("label", { 5: "five", 7: "<b>seven</b>" });
  await features.setColumn("AUROC a", Float32Array.from({ length: latents }, (_, f) => (f % 2 ? NaN : f / latents)));
  store.close();
  await model.close();
});
after(() => {
  features.close();
  rmSync(scratch, { recursive: true, force: true });
});

const bundleOf = (...options: [Parameters<typeof featureBrowser>[1]?]): Record<string, unknown> => featureBrowser(features, ...options)[DISPLAY]();
const opened = (...options: [Parameters<typeof featureBrowser>[1]?]): Browser =>
  openBrowser(JSON.parse(JSON.stringify(bundleOf(...options)["application/vnd.saelab.browser.v1+json"])) as PackedBrowser);

test("holds what the collection says of each feature, its columns, and contexts around the peaks", () => {
  const browser = opened({ count: 30, context: 5 });
  const top = features.top({ count: 30 });
  assert.deepEqual(Array.from(browser.latents), top.map(({ latent }) => latent));
  assert.deepEqual([browser.of, browser.sort, browser.columns.map(({ name }) => name).slice(-2)], [96, "max", ["AUROC a", "label"]]);
  top.forEach((feature, place) => {
    const got = browser.feature(place);
    assert.equal(got.label, feature.label);
    assert.ok(Math.abs(got.max - feature.max) <= 5e-5 * feature.max);
    assert.equal(got.documents, feature.documents);
    assert.deepEqual(got.groups.map(({ name }) => name), ["top"]);
    got.groups[0].examples.forEach(({ tokens, peak, position, values }, e) => {
      const { top: examples, words } = feature;
      const example = examples[e];
      const from = Math.max(0, example.peak - 5);
      assert.deepEqual(tokens, Array.from(example.tokens.subarray(from, example.peak + 6), words.token));
      assert.equal(position, example.position + example.peak);
      assert.ok(Math.abs(values[peak] - example.values[example.peak]) <= 1e-4 * feature.max);
    });
  });
  assert.deepEqual(matching(browser, "is:labelled", { pinned: new Set(), notes: new Map() }).places.map((place) => browser.latents[place]).sort(), [5, 7].filter((latent) => Array.from(browser.latents).includes(latent)));
  assert.ok(opened({ count: 3, groups: true }).feature(0).groups.length > 1);
});

test("any column chooses the features and sorts them; latents stay in the order asked", () => {
  const auroc = opened({ count: 5, sort: "AUROC a" });
  assert.deepEqual(Array.from(auroc.latents), [94, 92, 90, 88, 86]);
  assert.deepEqual(ordered(auroc, [0, 1, 2, 3, 4], auroc.sort), [0, 1, 2, 3, 4]);
  assert.deepEqual(Array.from(opened({ sort: "label" }).latents), [7, 5]);
  const asked = opened({ latents: [9, 3, 70] });
  assert.deepEqual([Array.from(asked.latents), asked.sort], [[9, 3, 70], ""]);
  assert.throws(() => featureBrowser(features, { sort: "AUROC b" }), { name: "OptionError", message: /sort: expected one of max, mean, density, entropy, AUROC a, label, found "AUROC b"/ });
  assert.throws(() => featureBrowser(features, { latents: [96] }), { name: "OptionError", message: /expected a latent from 0 to 95, found 96/ });
  assert.throws(() => featureBrowser(features, { count: 0 }), { name: "OptionError" });
});

test("without the extension: twenty heat maps of at most 200 KB, and a table in a terminal, which say what is left out", () => {
  const bundle = bundleOf({ count: 40 });
  const html = String(bundle["text/html"]);
  assert.equal(html.match(/<section/g)!.length, 20);
  assert.ok(Buffer.byteLength(html) <= 200_000, `${Buffer.byteLength(html)} bytes`);
  assert.match(html, /The first 20 of 40 features\. JupyterLab and Notebook with saelab’s extension \(npx saelab install\)/);
  assert.doesNotMatch(html, /<b>seven/);
  assert.match(String(bundle["text/plain"]), /^latent +density[^]*the first 20 of 40 rows$/);
});

test("the same features have the same place for pins and notes", () => {
  const id = (options?: Parameters<typeof featureBrowser>[1]): string => opened(options).id;
  assert.equal(id({ count: 3 }), id({ sort: "label" }));
});
