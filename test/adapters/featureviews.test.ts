import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { cofiringGraph } from "../../src/adapters/cofiringgraph";
import { collect } from "../../src/adapters/collect";
import { documentView, timeline } from "../../src/adapters/documents";
import { featureCard } from "../../src/adapters/featurecard";
import { activationHistogram, densityPlot } from "../../src/adapters/featureplots";
import type { Features } from "../../src/adapters/features";
import { DISPLAY, type Shown } from "../../src/adapters/show";
import { traceMap } from "../../src/adapters/traces";
import { unpackDocument, type PackedDocument } from "../../src/core/documentview";
import { OptionError } from "../../src/core/errors";
import { unpackCard, type PackedCard } from "../../src/core/featurecard";
import type { Sae, Store } from "../../src/core/types";
import { synthetic } from "./synthetic";

/** The views of a collection with known contents: latent 0 follows "backtracking", latent 1 the word " wait", the last one never fires. */
const root = mkdtempSync(join(tmpdir(), "saelab-views-"));
after(() => rmSync(root, { recursive: true, force: true }));

let store: Store, sae: Sae, features: Features;
before(async () => {
  ({ store, sae } = synthetic());
  features = await collect(store, sae, { folder: join(root, "features") });
  await features.setColumn("label", { 0: "correlates with backtracking" });
  await features.setColumn("verdict", { 1: "token detector" });
  await features.setColumn("AUROC backtracking", Float32Array.from({ length: features.count }, (_, i) => (i ? NaN : 0.9)));
});
after(() => features.close());

const bundleOf = async (shown: Shown): Promise<Record<string, string>> => (await shown[DISPLAY]()) as Record<string, string>;

test("document view: each latent's activations at its tokens, as the encoder has them; the text is whole", async () => {
  const bundle = await bundleOf(await documentView(features, [0, 1, 31], 5));
  const view = unpackDocument((bundle as unknown as Record<string, PackedDocument>)["application/vnd.saelab.document.v1+json"]);
  assert.equal(view.pieces.join(""), store.documents()[5].text);
  const [from, to] = store.documentRows().subarray(5, 7);
  const codes = sae.encode(store.read("layers.1", from, to));
  const { position } = store.origin(from, to);
  const { start } = store.tokens(5);
  let fired = 0;
  for (const [place, latent] of [0, 1, 31].entries()) {
    const want = new Map<number, number>();
    codes.index.forEach((index, i) => index === latent && codes.value[i] > 0 && want.set(start[position[Math.floor(i / codes.k)]], codes.value[i]));
    let at = 0;
    view.pieces.forEach((piece, i) => {
      const value = want.get(at) ?? 0;
      assert.ok(Math.abs(view.latents[place].values[i] - value) <= 0.005 * value, `latent ${latent} at ${at}`);
      fired += Number(value > 0);
      at += piece.length;
    });
  }
  assert.ok(fired > 10);
  assert.deepEqual(view.latents.map(({ label, verdict }) => [label, verdict]), [["correlates with backtracking", undefined], [undefined, "token detector"], [undefined, undefined]]);
  assert.match(bundle["text/html"], /does not fire here/);
  assert.match(bundle["text/plain"], /1 token has no row/); // the first, dropped
  assert.ok(view.labels.find(({ name }) => name === "backtracking")!.begins.length > 0);
  assert.equal((await bundleOf(await documentView(features, 0, "doc-5")))["text/html"], (await bundleOf(await documentView(features, [0], 5)))["text/html"]);
});

test("timeline: most of what follows backtracking lies in its sentences; a picture, a figure, a sentence", async () => {
  const bundle = await bundleOf(await timeline(features, [0, 1], 5));
  const share = /([\d.]+) % of its activation is in backtracking/.exec(bundle["text/plain"]);
  assert.ok(share && Number(share[1]) > 90, bundle["text/plain"]);
  assert.equal(typeof bundle["application/vnd.plotly.v1+json"], "object");
  assert.equal(Buffer.from(bundle["image/png"], "base64").subarray(1, 4).toString(), "PNG");
  assert.match(bundle["text/html"], /^<img alt="doc-5, \d+ tokens\./);
});

test("card: what the collection has of the latent, with whole contexts and later columns; a dead one too", async () => {
  const packed = (await bundleOf(featureCard(features, 0)) as unknown as Record<string, PackedCard>)["application/vnd.saelab.card.v1+json"];
  const view = unpackCard(packed);
  const feature = features.feature(0);
  assert.deepEqual([view.feature.density, view.feature.documents, view.entropy, view.latents, view.rows], [feature.density, feature.documents, feature.entropy, features.count, features.rows]);
  assert.deepEqual(view.columns, [{ name: "AUROC backtracking", value: features.column("AUROC backtracking")[0] }]);
  assert.deepEqual(view.together.map(({ latent }) => latent), features.together(0).map(({ latent }) => latent));
  assert.equal(view.feature.groups[0].examples.length, feature.top.length);
  assert.equal(view.feature.groups[0].examples[0].tokens.length, feature.top[0].tokens.length);
  assert.match((await bundleOf(featureCard(features, 0, { shading: "log" })))["text/html"], /logarithmic<\/span>/);
  assert.match((await bundleOf(featureCard(features, features.count - 1)))["text/plain"], /dead[^]*It never fires/);
  assert.deepEqual((await bundleOf(featureCard(features, 1)) as unknown as Record<string, PackedCard>)["application/vnd.saelab.card.v1+json"].columns, []); // NaN: nothing is known
});

test("a card reads no other latent", () => {
  const reads: number[] = [];
  featureCard({ ...features, feature: (latent) => (reads.push(latent), features.feature(latent)) }, 0)[DISPLAY]();
  assert.deepEqual(reads, [0]);
});

test("plots of activations, densities and common firings: figures with words, the same each time", async () => {
  const text = async (shown: Shown): Promise<string> => (await bundleOf(shown))["text/plain"];
  assert.match(await text(activationHistogram(features, 1)), new RegExp(`fires on ${features.fired[1].toLocaleString("en")} rows`));
  assert.match(await text(densityPlot(features, { latents: [1] })), /of 32 latents \d+ fires? on none.*Latent 1 fires on/);
  assert.match(await text(await cofiringGraph(features, [0, 2])), /^Latents that fire together: \d+ latents, \d+ pairs/);
  const [one, two] = [await bundleOf(await cofiringGraph(features)), await bundleOf(await cofiringGraph(features))];
  assert.deepEqual(one["application/vnd.plotly.v1+json"], two["application/vnd.plotly.v1+json"]);
  assert.equal(one["image/png"], two["image/png"]);
});

test("bad input: an error that says what was expected", async () => {
  const refused = (call: () => unknown, message: RegExp): Promise<void> =>
    assert.rejects(async () => call(), (error: Error) => error instanceof OptionError && message.test(error.message));
  await refused(() => documentView(features, [], 5), /latents: expected 1 to 8, found 0/);
  await refused(() => documentView(features, [1, 2, 1], 5), /expected each once, found 1 twice/);
  await refused(() => documentView(features, [0, 1, 2, 3, 4, 5, 6, 7, 8], 5), /expected 1 to 8, found 9/);
  await refused(() => documentView(features, 32, 5), /expected a latent from 0 to 31, found 32/);
  await refused(() => documentView(features, 0, 40), /expected a document from 0 to 39 or the id of one, found 40/);
  await refused(() => timeline(features, 0, "none"), /found "none"/);
  await refused(() => traceMap(features, -1, 0), /found -1/);
  await refused(() => featureCard(features, 1.5), /expected a latent from 0 to 31, found 1\.5/);
  await refused(() => activationHistogram(features, 31), /expected a latent that fires, found 31/);
  await refused(() => densityPlot(features, { latents: [99] }), /found 99/);
  await refused(() => densityPlot(features, { latents: Array(21).fill(1) }), /at most 20, found 21/);
  await refused(() => cofiringGraph(features, []), /latents: expected 1 to 200, found 0/);
  await refused(() => cofiringGraph(features, [32]), /found 32/);
  await refused(() => cofiringGraph(features, [1], { partners: 0 }), /partners: expected a whole number from 1 to 16, found 0/);
  const some = await collect(store, sae, { folder: join(root, "train"), split: "train" });
  await refused(() => documentView(some, 0, 3), /a document on the side "train" with rows, found doc-3/);
  some.close();
});
