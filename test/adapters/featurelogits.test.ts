import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { featureLogits } from "../../src/adapters/featurelogits";
import { openFeatures } from "../../src/adapters/features";
import { saeOf } from "../../src/adapters/sae";
import { DISPLAY } from "../../src/adapters/show";
import { FormatError, HookError, InterruptError, ModelError, OptionError, StoreError } from "../../src/core/errors";
import { foldNorm, keepLargest, noneYet } from "../../src/core/featurelogits";
import { bytesToText } from "../../src/core/token";
import type { Model, Sae } from "../../src/core/types";
import { synthetic } from "./synthetic";
import { opened } from "./tiny";

const root = mkdtempSync(join(tmpdir(), "saelab-logits-"));
after(() => rmSync(root, { recursive: true, force: true }));

interface Golden {
  decoder: number[][];
  top: number[][];
  topValue: number[][];
  bottom: number[][];
  bottomValue: number[][];
}
const golden = (JSON.parse(readFileSync(join(__dirname, "../../../test/oracle/features/golden.json"), "utf8")) as { logits: Record<string, Golden> }).logits;

/** An SAE whose decoder has these rows. */
function saeFor(decoder: number[][], more: object = {}): Sae {
  const [latents, d] = [decoder.length, decoder[0].length];
  const wDec = Float32Array.from(decoder.flat());
  return saeOf({ d, latents, k: 1, wEnc: wDec, bEnc: new Float32Array(latents), wDec, bDec: new Float32Array(d), ...more }, { hook: "layers.1" });
}

// an untied head; tied; 1 + w, a cap, norms behind the sublayers; LayerNorm; a bias of the head; parallel blocks
for (const name of ["llama", "qwen2", "gemma2", "gpt2", "phi", "neox", "gemma3"]) {
  test(`${name}: the tokens that a decoder row speaks for and against are PyTorch's`, async () => {
    await opened(name, async (model) => {
      const { decoder, top, topValue, bottom, bottomValue } = golden[name];
      const logits = await featureLogits(model, saeFor(decoder), { count: 4 });
      const scale = Math.max(...topValue.flat());
      decoder.forEach((_, f) => {
        const of = logits.of(f);
        assert.deepEqual(of.top.map(({ token }) => token), top[f]);
        assert.deepEqual(of.bottom.map(({ token }) => token), bottom[f]);
        of.top.forEach(({ value, text, token }, j) => {
          assert.ok(Math.abs(value - topValue[f][j]) < 1e-5 * scale, `${value} for ${topValue[f][j]}`);
          assert.equal(text, bytesToText(model.tokenizer.bytes(token)));
        });
        of.bottom.forEach(({ value }, j) => assert.ok(Math.abs(value - bottomValue[f][j]) < 1e-5 * scale, `${value} for ${bottomValue[f][j]}`));
      });
      const told = logits.notes.join("\n");
      assert.equal(/The head is the embedding/.test(told), ["qwen2", "gemma2", "gpt2", "gemma3"].includes(name));
      assert.equal(/caps its logits/.test(told), name === "gemma2");
      assert.doesNotMatch(told, /A norm lies between/); // the stream itself
      const behind = await featureLogits(model, { ...saeFor(decoder), hook: "layers.1.mlp" }, { count: 1, latents: [2] });
      assert.equal(/A norm lies between/.test(behind.notes.join("\n")), ["gemma2", "gemma3"].includes(name));
      assert.deepEqual([behind.latents, behind.of(2).top[0].token], [[2], top[2][0]]);
    });
  });
}

test("what a decoder row adds to a stream moves the model's own logits by that, up to the norm's scale", async () => {
  await opened("llama", async (model) => {
    const { decoder } = golden.llama;
    const logits = await featureLogits(model, saeFor(decoder), { count: 320 });
    const x = Float32Array.from({ length: model.width }, (_, i) => 3 * Math.sin(1 + 7 * i));
    const small = 1e-2;
    const [before, after] = await Promise.all([model.unembed(x), model.unembed(x.map((v, i) => v + small * decoder[0][i]))]);
    // the norm's scale itself moves too: it takes from each logit a share of what it was
    const { epsilon } = model.head!([0]);
    const square = x.reduce((sum, v) => sum + v * v, 0) / x.length + epsilon;
    const turn = (x.reduce((sum, v, i) => sum + v * decoder[0][i], 0) / x.length / square) * small;
    for (const { token, value } of logits.of(0).top) {
      const moved = after[token] - before[token] + turn * before[token];
      assert.ok(Math.abs((moved / small) * Math.sqrt(square) - value) < 0.02 * Math.abs(logits.of(0).top[0].value), `${token}: ${(moved / small) * Math.sqrt(square)} for ${value}`);
    }
  });
});

test("parts of the vocabulary and of the latents change nothing; ties go to the smaller token", () => {
  const kept = noneYet(2, 3);
  keepLargest(kept, 3, 1, Int32Array.of(2, 0, 1), Float32Array.of(5, 3, 3), 3, 0, 1);
  keepLargest(kept, 3, 1, Int32Array.of(0, 1), Float32Array.of(5, 4), 2, 100, 1);
  assert.deepEqual([...kept.id], [-1, -1, -1, 2, 100, 101]);
  assert.deepEqual([...kept.value], [0, 0, 0, 5, 5, 4]);
  const least = noneYet(1, 2);
  keepLargest(least, 2, 0, Int32Array.of(4), Float32Array.of(-3), 1, 0, -1);
  keepLargest(least, 2, 0, Int32Array.of(1), Float32Array.of(2), 1, 10, -1);
  assert.deepEqual([[...least.id], [...least.value]], [[11, 4], [-2, 3]]);
  const rows = foldNorm({ rows: Float32Array.of(1, 2, 3, 4), norm: Float32Array.of(2, 1), kind: "layer", epsilon: 0 });
  assert.deepEqual([...rows], [0, 0, 1, -1]);
});

/** A model of 20,000 tokens that is only a head: its vocabulary is read in parts. */
function wide(d: number): Model {
  const V = 20_000;
  const at = (i: number): number => Math.fround((43758.5453 * Math.sin(12.9898 * i + 1)) % 1); // the same whenever it is asked for
  return {
    source: "wide", width: d, vocabularySize: V + 7, hooks: () => [], hook: (name: string) => ({ name, kind: "resid_post", layer: 1 }),
    tokenizer: { vocabularySize: V, bytes: (id: number) => new TextEncoder().encode(`‹${id}`) },
    head: (tokens: number[]) => ({ rows: Float32Array.from({ length: tokens.length * d }, (_, i) => at(tokens[Math.floor(i / d)] * d + (i % d))), norm: new Float32Array(d).fill(1), kind: "rms", epsilon: 1e-6 }),
  } as unknown as Model;
}

test("of a family: kept beside it, shown with its features, damage is told", async () => {
  const { store, sae } = synthetic({ documents: 8 });
  const features = await collect(store, sae, { folder: join(root, "family") });
  const model = wide(32);
  assert.equal(features.feature(0).logits, undefined);
  const logits = await featureLogits(model, sae, { features, count: 5 });
  const { rows } = model.head!(Array.from({ length: 20_000 }, (_, i) => i));
  for (const f of [0, 31]) {
    const own = Array.from({ length: 20_000 }, (_, t) => {
      let sum = 0;
      for (let i = 0; i < 32; i++) sum += rows[t * 32 + i] * sae.weights.wDec[f * 32 + i];
      return sum;
    });
    const order = [...own.keys()].sort((a, b) => own[b] - own[a]);
    assert.deepEqual(logits.of(f).top.map(({ token }) => token), order.slice(0, 5));
    assert.deepEqual(logits.of(f).bottom.map(({ token }) => token), order.slice(-5).reverse());
  }
  await logits.keep();
  const want = logits.of(3);
  const plain = (list: { text: string; value: number }[]) => list.map(({ text, value }) => ({ text, value }));
  assert.deepEqual(features.feature(3).logits, { top: plain(want.top), bottom: plain(want.bottom) });
  features.close();
  const again = await openFeatures(join(root, "family"), { store });
  assert.deepEqual(again.feature(31).logits!.top[0].text, `‹${logits.of(31).top[0].token}`);
  const some = await featureLogits(model, sae, { features: again, latents: [4, 2], count: 2 });
  await some.keep(); // replaces
  assert.equal(again.feature(3).logits, undefined);
  assert.equal(again.feature(2).logits!.top.length, 2);
  assert.deepEqual(Object.keys(some[DISPLAY]()), ["application/vnd.saelab.table.v1+json", "text/html", "text/plain"]);
  assert.match(some[DISPLAY]()["text/plain"] as string, /^latent +likelier +less likely\n +4 +“‹/);
  assert.deepEqual(readdirSync(join(root, "family")).filter((name) => name.startsWith("logits")), ["logits.safetensors"]); // one file: all new, or all old
  truncateSync(join(root, "family", "logits.safetensors"), statSync(join(root, "family", "logits.safetensors")).size - 3);
  const damaged = await openFeatures(join(root, "family"), { store });
  assert.throws(() => damaged.feature(2), (error: Error) => error instanceof FormatError && /keep the logits again/.test(error.message));
  again.close();
  damaged.close();
});

test("a subset, rows that decode by their own length, and what cannot be asked", async () => {
  const { sae, store } = synthetic({ documents: 4 });
  const model = wide(32);
  const part = { ...sae, weights: { ...sae.weights, latents: 2, wDec: sae.weights.wDec.slice(64, 128), subset: Int32Array.of(2, 3) } };
  const [whole, some] = [await featureLogits(model, sae, { latents: [3], count: 3 }), await featureLogits(model, part, { count: 3 })];
  assert.deepEqual(some.latents, [2, 3]);
  const ids = (list: { token: number }[]): number[] => list.map(({ token }) => token);
  assert.deepEqual([ids(some.of(3).top), ids(some.of(3).bottom)], [ids(whole.of(3).top), ids(whole.of(3).bottom)]);
  const longer = { ...sae, weights: { ...sae.weights, rescaleByDecoderNorm: true, wDec: sae.weights.wDec.map((w) => 3 * w) } };
  const unit = (await featureLogits(model, longer, { latents: [3], count: 3 })).of(3);
  unit.top.forEach(({ token, value }, j) => assert.ok(token === whole.of(3).top[j].token && Math.abs(value - whole.of(3).top[j].value) < 1e-5));
  assert.throws(() => whole.of(2), OptionError);
  await assert.rejects(whole.keep(), OptionError);
  for (const options of [{ latents: [32] }, { latents: [] }, { latents: [-1] }, { count: 0 }, { count: 20_001 }]) await assert.rejects(featureLogits(model, sae, options), OptionError);
  await assert.rejects(featureLogits({ ...model, head: undefined }, sae), ModelError);
  await assert.rejects(featureLogits({ ...model, width: 48 }, sae), HookError);
  await assert.rejects(featureLogits({ ...model, hook: (name: string) => ({ name, kind: "z", layer: 1 }) }, sae), (error: Error) => error instanceof HookError && /found z, width 32/.test(error.message));
  const features = await collect(store, sae, { folder: join(root, "other") });
  const smaller = { ...sae, weights: { ...sae.weights, latents: 16, wDec: sae.weights.wDec.slice(0, 16 * 32) } };
  await assert.rejects(featureLogits(model, smaller, { features }), StoreError);
  const another = { ...sae, weights: { ...sae.weights, wDec: sae.weights.wDec.map((w) => -w) } };
  await assert.rejects(featureLogits(model, another, { features }), (error: Error) => error instanceof StoreError && /another one of as many latents/.test(error.message));
  features.close();
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  try {
    await assert.rejects(featureLogits(model, sae, { progress: () => void (flag.requested = true) }), InterruptError);
  } finally {
    flag.requested = false;
  }
});
