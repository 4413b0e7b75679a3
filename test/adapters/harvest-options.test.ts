import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { harvest, type HarvestOptions } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { fromFloat16, toFloat16 } from "../../src/core/safetensors";
import { ModelError, OptionError, StoreError, TextError } from "../../src/core/errors";
import type { Document } from "../../src/core/types";
import { fakeDocuments, fakeModel, WIDTH } from "./fake-model";
import { fails, freshFolders } from "./folders";

const { fresh } = freshFolders("harvest-options");

const halved = (x: Float32Array): Float32Array => {
  const half = new Uint16Array(x.length);
  toFloat16(x, half);
  return fromFloat16(new Uint8Array(half.buffer));
};

const hooks = ["layers.1", "layers.2.mlp"];

test("float16 shards: the same rows, rounded, in half the bytes; any range reads the same", async () => {
  const documents = fakeDocuments(120);
  const options = { hooks, context: 32, batchTokens: 100, shardRows: 300 };
  const full = await harvest(fakeModel(), documents, { ...options, folder: fresh() });
  const half = await harvest(fakeModel(), documents, { ...options, folder: fresh(), dtype: "F16" });
  assert.equal(half.manifest.dtype, "F16");
  assert.deepEqual(half.manifest.dropped, full.manifest.dropped);
  assert.deepEqual(half.manifest.settings, full.manifest.settings, "norms are those of float32");
  for (const hook of hooks) {
    const all = halved(full.read(hook, 0, full.rows));
    assert.deepEqual(half.read(hook, 0, half.rows), all);
    for (let from = 0; from < half.rows; from += 97) {
      for (const to of [from, from + 1, Math.min(half.rows, from + 350)]) assert.deepEqual(half.read(hook, from, to), all.slice(from * WIDTH, to * WIDTH));
    }
  }
  assert.deepEqual(half.origin(0, half.rows), full.origin(0, full.rows));
  const bytes = (path: string, i: number): number => statSync(join(path, full.manifest.shards[i].file)).size;
  full.manifest.shards.forEach(({ rows }, i) => assert.ok(Math.abs(bytes(full.path, i) - bytes(half.path, i) - rows * hooks.length * WIDTH * 2) < 64));
  await fails(harvest(fakeModel(), documents, { ...options, folder: full.path, dtype: "F16" }), StoreError, /dtype is "F32", asked for was "F16"/);
  full.close();
  half.close();
});

test("a row too large for float16 is named, unless it is dropped as a sink", async () => {
  const documents = fakeDocuments(40);
  documents[17].text = "abcdef#gh";
  const model = fakeModel({ huge: "#".charCodeAt(0) });
  const folder = fresh();
  await fails(
    harvest(model, documents, { hooks, folder, dtype: "F16", dropNorm: false }), ModelError,
    /layers\.1: expected activations within ±65,504.* at document 17 \("doc 17"\), position 6\. .*dtype: "F32"/);
  assert.ok(!existsSync(folder));
  const store = await harvest(model, documents, { hooks, folder, dtype: "F16" });
  assert.ok(store.manifest.dropped.norm > 0);
  assert.ok(store.read("layers.1", 0, store.rows).every(Number.isFinite));
  const wide = await harvest(model, documents, { hooks, folder: fresh(), dropNorm: false });
  assert.ok(wide.read("layers.1", 0, wide.rows).includes(-70_000));
});

test("documents kept whole are one context each; one too long is an error, left out or cut, and counted", async () => {
  const documents = fakeDocuments(50);
  const lengths = documents.map(({ text }) => text.length);
  const tokens = lengths.reduce((a, b) => a + b, 0);
  const options: HarvestOptions = { hooks: ["layers.2"], cut: "whole", dropNorm: false };
  const whole = await harvest(fakeModel(), documents, { ...options, folder: fresh() });
  assert.deepEqual(whole.manifest.dropped, { first: 50, norm: 0, long: 0 });
  assert.equal(whole.rows, tokens - 50);

  const context = 40;
  const long = lengths.filter((length) => length > context);
  const folder = fresh();
  await fails(
    harvest(fakeModel({ onRun: () => assert.fail("the model ran") }), documents, { ...options, folder, context }), TextError,
    new RegExp(`documents\\[${lengths.indexOf(Math.max(...lengths))}\\].*at most 40 tokens.*found ${Math.max(...lengths)} \\(${long.length - 1} more.*tooLong: "skip"`));
  assert.ok(!existsSync(folder));
  const skipped = await harvest(fakeModel(), documents, { ...options, folder, context, tooLong: "skip" });
  const left = long.reduce((a, b) => a + b, 0);
  assert.deepEqual(skipped.manifest.dropped, { first: 50 - long.length, norm: 0, long: left });
  assert.equal(skipped.rows, tokens - left - (50 - long.length));
  const rows = skipped.documentRows();
  lengths.forEach((length, i) => assert.equal(rows[i + 1] - rows[i], length > context ? 0 : length - 1));
  assert.deepEqual(skipped.documents(), documents, "documents without rows are there");
  assert.equal(skipped.tokens(lengths.indexOf(Math.max(...lengths))).ids.length, Math.max(...lengths));
  const cut = await harvest(fakeModel(), documents, { ...options, folder: fresh(), context, tooLong: "cut" });
  assert.deepEqual(cut.manifest.dropped, { first: 50, norm: 0, long: left - long.length * context });
  assert.equal(cut.rows + 50 + left - long.length * context, tokens, "rows and what was dropped are all tokens");
  await fails(harvest(fakeModel(), documents, { ...options, folder: fresh(), context: 1, dropFirst: false, tooLong: "skip" }), TextError, /all \d+ tokens are dropped \(0 first positions, 0 by norm, \d+ of documents too long/);
  await fails(harvest(fakeModel(), documents, { hooks, folder: fresh(), tooLong: "skip" }), OptionError, /tooLong: expected \{ cut: "whole" \}/);
});

test("chat: the store's documents are what the model read, spans on the same words", async () => {
  const documents: Document[] = fakeDocuments(30).map((document, i) => ({ ...document, text: ` ${document.text}`, spans: i % 2 ? [{ start: 1, end: 3, label: "x" }] : [] }));
  const store = await harvest(fakeModel(), documents, { hooks: ["layers.2"], folder: fresh(), chat: { system: "be brief" } });
  store.documents().forEach(({ text, spans }, i) => {
    assert.equal(text, `<system>be brief</system><user>${documents[i].text.trim()}</user>`);
    spans.forEach(({ start, end }) => assert.equal(text.slice(start, end), documents[i].text.slice(1, 3)));
    assert.equal(spans.length, i % 2);
    const { ids, start } = store.tokens(i);
    assert.equal(String.fromCharCode(...ids), text);
    assert.equal(start.at(-1), text.length - 1);
  });
  assert.deepEqual(store.manifest.settings.chat, { system: "be brief" });
  await fails(harvest(fakeModel(), documents, { hooks: ["layers.2"], folder: store.path, chat: true }), StoreError, /texts is .*chat is /);
  await harvest(fakeModel({ onRun: () => assert.fail("the model ran") }), documents, { hooks: ["layers.2"], folder: store.path, chat: { system: "be brief" } });
});

test("mask: no rows of prompts, all else as without; contexts that are all prompt are not read", async () => {
  const context = 16;
  const documents: Document[] = fakeDocuments(60).map((document, i) => ({ ...document, prompt: Math.floor(document.text.length * (i % 4) / 3) }));
  const options: HarvestOptions = { hooks: ["layers.2"], context, dropNorm: false };
  const all = await harvest(fakeModel(), documents, { ...options, folder: fresh() });
  let read = 0;
  const store = await harvest(fakeModel({ onRun: (lengths) => (read += lengths.reduce((a, b) => a + b, 0)) }), documents, { ...options, folder: fresh(), mask: "prompt" });
  const want: number[] = [];
  const { document, position } = all.origin(0, all.rows);
  for (let row = 0; row < all.rows; row++) if (position[row] >= documents[document[row]].prompt!) want.push(row);
  const rowsOf = (rows: number[]): number[][] => rows.map((row) => [...all.read("layers.2", row, row + 1)]);
  assert.ok(want.length > 100 && want.length < all.rows - 100);
  assert.deepEqual([...store.read("layers.2", 0, store.rows)], rowsOf(want).flat());
  assert.deepEqual([...store.origin(0, store.rows).position], want.map((row) => position[row]));
  const { first, norm, prompt } = store.manifest.dropped;
  assert.equal(store.rows + first + norm + prompt!, store.manifest.texts.tokens);
  const spared = documents.reduce((sum, { text, prompt }) => sum + (prompt === text.length ? text.length : Math.floor(prompt! / context) * context), 0);
  assert.ok(spared > 200);
  assert.equal(read, store.manifest.texts.tokens - spared);
  assert.deepEqual(store.documents(), documents, "prompts are kept");

  // where the prompt ends decides the rows now, and did not before
  const moved = documents.map((document) => ({ ...document, prompt: 0 }));
  await fails(harvest(fakeModel(), moved, { ...options, folder: store.path, mask: "prompt" }), StoreError, /texts is /);
  const still = fakeModel({ onRun: () => assert.fail("the model ran") });
  assert.deepEqual((await harvest(still, moved, { ...options, folder: all.path })).documents(), moved);
  await fails(harvest(still, fakeDocuments(3), { ...options, folder: fresh(), mask: "prompt" }), TextError, /documents\[0\] \("doc 0"\): prompt: expected where the prompt ends/);
  await fails(harvest(still, [{ id: "a", text: "abc", spans: [], prompt: 4 }], { ...options, folder: fresh() }), TextError, /from 0 to 3/);
  await fails(
    harvest(still, documents.map((one) => ({ ...one, prompt: one.text.length })), { ...options, folder: fresh(), mask: "prompt" }), TextError, /tokens are dropped.*of prompts/);
});

test("settings at their defaults leave no trace, so that stores of older versions are the same", async () => {
  const store = await harvest(fakeModel(), fakeDocuments(5), { hooks, folder: fresh(), dtype: "F32", cut: "windows", chat: false, mask: undefined });
  assert.deepEqual(Object.keys(store.manifest.settings), ["context", "batchTokens", "shardRows", "dropFirst", "dropNorm", "tokenizer", "normLimits"]);
  assert.deepEqual(Object.keys(store.manifest), ["format", "version", "model", "texts", "hooks", "settings", "dtype", "shards", "rows", "dropped"]);
  assert.deepEqual(Object.keys(store.manifest.dropped), ["first", "norm"]);
});

test("settings that are none are refused before the model runs", async () => {
  const still = fakeModel({ onRun: () => assert.fail("the model ran") });
  const folder = fresh();
  for (const [wrong, message] of [
    [{ dtype: "BF16" }, /dtype: expected "F32" or "F16", found "BF16"/], [{ cut: "lines" }, /cut: expected "windows" or "whole"/],
    [{ cut: "whole", tooLong: "drop" }, /tooLong: expected "error" or "skip" or "cut"/], [{ mask: "answer" }, /mask: expected "prompt"/],
  ] as [object, RegExp][]) {
    await fails(harvest(still, fakeDocuments(3), { hooks, folder, ...wrong }), OptionError, message);
  }
  assert.ok(!existsSync(folder));
});

test("a float16 store of a real model is within float16's rounding of its float32 one", async () => {
  const model = await openModel(join(__dirname, "..", "..", "..", "test", "oracle", "models", "llama"), { threads: 1 });
  const documents = Array.from({ length: 20 }, (_, i) => ({ id: `${i}`, text: `${i} and ${i * i} make ${i + i * i}. `.repeat(1 + i % 5), spans: [] }));
  const options = { hooks: ["layers.1"], context: 64 };
  const full = await harvest(model, documents, { ...options, folder: fresh() });
  const half = await harvest(model, documents, { ...options, folder: fresh(), dtype: "F16" });
  await model.close();
  assert.deepEqual(half.read("layers.1", 0, half.rows), halved(full.read("layers.1", 0, full.rows)));
  assert.deepEqual(half.tokenizer.decode(half.tokens(3).ids), documents[3].text);
  assert.equal(readFileSync(join(half.path, "documents.jsonl"), "utf8").split("\n").length, 21);
  assert.ok(!readdirSync(half.path).includes("harvest.lock"));
});
