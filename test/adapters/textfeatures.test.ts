import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import type { Features } from "../../src/adapters/features";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { packageRoot } from "../../src/adapters/package";
import { saeOf } from "../../src/adapters/sae";
import { DISPLAY } from "../../src/adapters/show";
import { readTexts } from "../../src/adapters/texts";
import { textFeatures } from "../../src/adapters/textfeatures";
import { HookError, OptionError, StoreError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { strongest, unpackText, type PackedText } from "../../src/core/textview";
import type { Document, Model, Sae, Store } from "../../src/core/types";

const scratch = mkdtempSync(join(tmpdir(), "saelab-text-"));
const HOOK = "layers.2";
let model: Model, store: Store, sae: Sae, features: Features, texts: Document[];

before(async () => {
  model = await openModel(join(packageRoot, "data/tiny-reasoner"));
  texts = await readTexts(join(packageRoot, "data/reasoning/corpus.jsonl"));
  store = await harvest(model, texts.slice(0, 12), { hooks: [HOOK], folder: join(scratch, "store") });
  const d = store.width(HOOK), latents = 64;
  const { normal } = random(3);
  const wEnc = Float32Array.from({ length: latents * d }, () => normal() / Math.sqrt(d));
  const bEnc = new Float32Array(latents);
  bEnc[7] = 50; // fires everywhere
  sae = saeOf({ d, latents, k: 8, wEnc, bEnc, wDec: wEnc, bDec: new Float32Array(d) }, { hook: HOOK });
  features = await collect(store, sae, { folder: join(scratch, "features") });
  await features.setColumn("label", { 5: "five", 7: "all" });
});
after(async () => {
  features.close();
  store.close();
  await model.close();
  rmSync(scratch, { recursive: true, force: true });
});

test("each token's latents are those of the encoder on the model's own rows, larger first", async () => {
  const text = "Wait, 5 + 7 = 12.";
  const { ids } = model.tokenizer.encode(text);
  const rows = (await model.run([ids], { hooks: [HOOK] }))[HOOK];
  const codes = sae.encode(rows);
  const found = await textFeatures(text, { model, sae, top: 3 });
  assert.equal(found.hook, HOOK);
  assert.equal(found.tokens.join(""), text);
  assert.equal(found.skipped, 1);
  assert.deepEqual(strongest(found, 0), []);
  for (let token = 1; token < ids.length; token++) {
    const want = Array.from({ length: 3 }, (_, j) => [codes.index[token * 8 + j], codes.value[token * 8 + j]]).filter(([, value]) => value > 0);
    assert.deepEqual(strongest(found, token).map(({ latent, values }) => [latent, values[token]]), want, `token ${token}`);
  }
  const peaks = found.latents.map(({ values }) => Math.max(...Array.from(values)));
  assert.deepEqual(peaks, [...peaks].sort((a, b) => b - a));
  // without a collection the largest activation of the text is shaded in full
  assert.ok(found.latents.every(({ max }) => max === peaks[0]));
  assert.ok((await textFeatures(text, { model, sae, first: true })).latents.some(({ values }) => values[0] > 0));
});

test("what a harvested document's rows gave is what its text gives", async () => {
  const { ids } = store.tokens(3);
  const [from, to] = store.documentRows().subarray(3, 5);
  const codes = features.codes(from, to);
  const { position } = store.origin(from, to);
  const found = await textFeatures(texts[3].text, { model, sae, features, dense: true, top: 8 });
  assert.equal(found.tokens.length, ids.length);
  let compared = 0;
  position.forEach((token, row) => {
    for (let j = 0; j < codes.k; j++) {
      const value = codes.value[row * codes.k + j];
      if (!value) continue;
      const latent = found.latents.find((one) => one.latent === codes.index[row * codes.k + j]);
      assert.ok(latent && Math.abs(latent.values[token] - value) <= 1e-4 * value + 1e-4, `token ${token}, latent ${codes.index[row * codes.k + j]}: ${latent?.values[token]} instead of ${value}`);
      compared++;
    }
  });
  assert.ok(compared > 100);
});

test("with a collection: labels, maxima of the collection, dense latents passed over and counted", async () => {
  const found = await textFeatures("So the total is 12. Wait, no.", { model, sae, features });
  assert.ok(features.statistics.density[7] > 0.1);
  assert.ok(!found.latents.some(({ latent }) => features.statistics.density[latent] > 0.1));
  assert.match(found.notes[0], /^\d+ latents? that fires? on more than a tenth/);
  for (const { latent, max, label, density } of found.latents)
    assert.deepEqual([max, label, density], [features.statistics.max[latent], latent === 5 ? "five" : undefined, features.statistics.density[latent]]);
  const all = await textFeatures("So the total is 12. Wait, no.", { model, sae, features, dense: true });
  assert.equal(all.latents.find(({ latent }) => latent === 7)?.label, "all");
  const bundle = found[DISPLAY]() as Record<string, string>;
  const packed = (bundle as unknown as Record<string, PackedText>)["application/vnd.saelab.text.v1+json"];
  assert.equal(packed.live, undefined); // no kernel here
  assert.deepEqual(unpackText(packed).tokens, found.tokens);
  assert.match(bundle["text/plain"], /tokens, \d+ latents at layers\.2/);
  assert.match(bundle["text/html"], /% of the latent’s maximum/);
});

test("a single token shows itself, unencoded", async () => {
  const found = await textFeatures("5", { model, sae });
  assert.deepEqual([found.tokens.length, found.latents.length], [1, 0]);
  assert.match((found[DISPLAY]() as Record<string, string>)["text/html"], /No latent fires on this text.*not encoded/s);
});

test("bad input: no text, a long one, another SAE, another hook, no hook, a bad top", async () => {
  const say = (text: string, options: object, error: new (...args: never[]) => Error, message: RegExp): Promise<void> =>
    assert.rejects(textFeatures(text, { model, sae, ...options }), (thrown: Error) => thrown instanceof error && message.test(thrown.message));
  await say("", {}, OptionError, /at least one token/);
  await say("5 ".repeat(2000), {}, OptionError, /at most \d+ tokens, found \d+/);
  await say("5", { top: 0 }, OptionError, /top: expected a whole number/);
  await say("5", { hook: "layers.99" }, HookError, /layers/);
  await say("5", { sae: saeOf({ ...sae.weights }) }, OptionError, /Name it: \{ hook \}/);
  await say("5", { features, sae: saeOf({ ...sae.weights, bEnc: sae.weights.bEnc.map((b) => b + 1) }, { hook: HOOK }) }, StoreError, /features of this SAE, found those of another one of as many latents/);
  await say("5", { hook: "layers.2.mlp.act" }, OptionError, /expected rows of width/);
  await say("5", { features: { ...features, count: 65 } }, OptionError, /expected those of an SAE of 64 latents, found 65/);
});
