import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { harvest, type HarvestOptions } from "../../src/adapters/harvest";
import { modelRows, type ModelRowsOptions } from "../../src/adapters/liverows";
import type { RowSource, SourceState } from "../../src/adapters/rows";
import { cutContexts } from "../../src/core/batches";
import { DiskError, HookError, InterruptError, ModelError, OptionError, StoreError, TextError } from "../../src/core/errors";
import { bufferShare, mixing } from "../../src/core/mixing";
import { random } from "../../src/core/random";
import type { Document, Model } from "../../src/core/types";
import { fakeDocuments, fakeModel, WIDTH } from "./fake-model";
import { fails, freshFolders } from "./folders";
import { DOCUMENTS, HOOKS, OPTIONS } from "./liverows-child";
import { opened } from "./tiny";

const { fresh } = freshFolders("liverows");

/** The next n rows, those of all hooks joined, and their documents. */
async function drawn(source: RowSource, n: number, batch = 37): Promise<string[]> {
  const rows: string[] = [];
  while (rows.length < n) {
    const size = Math.min(batch, n - rows.length);
    const x = await source.next(size);
    const documents = source.documents();
    for (let i = 0; i < size; i++) rows.push(`${documents[i]}: ${x.map((all, h) => all.subarray(i * source.widths[h], (i + 1) * source.widths[h]).join()).join(" | ")}`);
  }
  return rows;
}

/** As it lies in a checkpoint: nothing of it is the source's own. */
const kept = ({ json, arrays }: SourceState): SourceState =>
  ({ json: JSON.parse(JSON.stringify(json)), arrays: Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.slice()])) });

const withBos = (model: Model): Model => ({ ...model, tokenizer: {
  ...model.tokenizer,
  isSpecial: (id: number) => id === 7,
  encode(text: string) {
    const { ids, start, end } = model.tokenizer.encode(text);
    const behind = (first: number, rest: Int32Array): Int32Array => Int32Array.from([first, ...rest]);
    return { ids: behind(7, ids), start: behind(0, start), end: behind(0, end) };
  },
} });

const SETTINGS: [string, Model, Partial<HarvestOptions>][] = [
  ["windows", fakeModel(), {}],
  ["no rules", fakeModel(), { dropFirst: false, dropNorm: false }],
  ["a token before each context", withBos(fakeModel()), { context: 12 }],
  ["prompts masked", fakeModel(), { mask: "prompt" }],
  ["whole documents, long ones skipped", fakeModel(), { cut: "whole", context: 40, tooLong: "skip" }],
];
for (const [name, model, settings] of SETTINGS) {
  for (const on of ["memory", "disk"] as const) {
    test(`${name}, ${on}: one pass gives the rows that a harvest gives, and drops the same`, async () => {
      const documents: Document[] = fakeDocuments(150).map((one, i) => ({ ...one, prompt: (i * 7) % (one.text.length + 1) }));
      const options = { context: 24, batchTokens: 96, ...settings };
      const store = await harvest(model, documents, { hooks: HOOKS, folder: fresh(), ...options });
      const origin = store.origin(0, store.rows).document;
      const x = HOOKS.map((hook) => store.read(hook, 0, store.rows));
      const wanted = Array.from(origin, (document, i) => `${document}: ${x.map((rows) => rows.subarray(i * WIDTH, (i + 1) * WIDTH).join()).join(" | ")}`);
      const folder = on === "disk" ? fresh() : undefined;
      const source = await modelRows(model, documents, HOOKS, 1, { ...options, buffer: 300 * 64, on, folder, rows: store.rows });
      assert.deepEqual([source.kind, source.hooks, source.widths], ["model", HOOKS, [WIDTH, WIDTH]]);
      const found = await drawn(source, store.rows - 1);
      source.state(); // of no use to anyone at the end
      found.push(...(await drawn(source, 1)));
      assert.deepEqual(found.slice().sort(), wanted.slice().sort());
      assert.notDeepEqual(found, wanted);
      const { dropped, tokens } = source.describe();
      assert.deepEqual(dropped, store.manifest.dropped);
      assert.equal(tokens, store.manifest.texts.tokens);
      assert.equal(source.rows, store.rows + store.manifest.dropped.norm, "rows but for those that fall by norm");
      await fails(Promise.resolve(source.next(1)), OptionError, /at most \d+ rows.*found \d+/);
      if (folder) assert.deepEqual(readdirSync(folder).sort(), [".buffer.lock", `buffer-${store.rows - 1}.rows`, "buffer.rows"]);
      await source.close();
      if (folder) assert.deepEqual(readdirSync(folder), []);
      store.close();
    });
  }
}

test("a real model: the rows of a harvest, to rounding, as batches are others", () => opened("qwen2", async (model) => {
  const documents = ["The cat sat on the mat", "So 12 + 7 = 19, and wait", "a b c", "Once upon a time there was"].map((text, i) => ({ id: `${i}`, text: text.repeat(1 + i % 3), spans: [] }));
  const options = { context: 16, batchTokens: 48 };
  const hooks = ["layers.1", "layers.0.mlp"];
  const store = await harvest(model, documents, { hooks, folder: fresh(), ...options });
  const source = await modelRows(model, documents, hooks, 0, { ...options, rows: store.rows });
  const x = await source.next(store.rows), from = source.documents();
  assert.deepEqual(source.describe().dropped, store.manifest.dropped);
  const first = store.documentRows();
  hooks.forEach((hook, h) => {
    const width = source.widths[h], wanted = store.read(hook, 0, store.rows);
    documents.forEach((_, document) => {
      const mine = [...from.keys()].filter((row) => from[row] === document);
      assert.equal(mine.length, first[document + 1] - first[document]);
      for (let j = 0; j < width; j++) {
        const a = mine.map((row) => x[h][row * width + j]).sort((p, q) => p - q);
        const b = mine.map((_, i) => wanted[(first[document] + i) * width + j]).sort((p, q) => p - q);
        a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-4, `${hook}: ${value} for ${b[i]}`)); // float32 sums in another order
      }
    });
  });
  await source.close();
  store.close();
}));

for (const on of ["memory", "disk"] as const) {
  test(`${on}: a source that is stopped and made again gives the same bits, whatever the model's speed`, async () => {
    const whole = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, OPTIONS);
    const TOTAL = 9000; // three passes
    const rows = await drawn(whole, TOTAL);
    let turn = 0;
    const onRun = () => (turn++ % 7 ? undefined : new Promise((resolve) => setTimeout(resolve, turn % 3)));
    for (const stops of [[0], [1], [500, 501], [2990], [3100, 6300, 8999]]) {
      const folder = on === "disk" ? fresh() : undefined;
      const found: string[] = [];
      let state: SourceState | undefined;
      for (const stop of [...stops, TOTAL]) {
        const source: RowSource = await modelRows(fakeModel({ onRun }), DOCUMENTS, HOOKS, 4, { ...OPTIONS, on, folder, state });
        found.push(...(await drawn(source, stop - found.length, 1 + (stop % 53))));
        state = kept(source.state());
        if (stop < TOTAL) await source.next(60); // rows that nobody will have seen
        await source.close();
      }
      assert.deepEqual(found, rows, `stopped at ${stops}`);
      const { file: _, on: __, ...position } = state!.json;
      const { on: ___, ...wanted } = kept(whole.state()).json;
      assert.deepEqual(position, wanted);
    }
    await whole.close();
    // another order with another seed, and every pass in an order of its own
    const other = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 5, OPTIONS);
    assert.notDeepEqual(await drawn(other, 500), rows.slice(0, 500));
    await other.close();
  });
}

test("a killed run's buffer on disk goes on from its last state, and what it left is cleared away", async () => {
  const folder = fresh();
  const child = spawn(process.execPath, [join(__dirname, "liverows-child.js"), folder], { stdio: ["ignore", "pipe", "inherit"] });
  after(() => child.kill("SIGKILL"));
  let printed = "";
  for await (const piece of child.stdout) if ((printed += piece).endsWith("\n")) break;
  const { json, documents } = JSON.parse(printed);
  const ended = new Promise((resolve) => child.on("exit", (_, signal) => resolve(signal)));
  const go = (state?: SourceState) => modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, { ...OPTIONS, on: "disk", folder, state });
  await fails(go(), StoreError, /no other run's buffer.*found one in use: process \d+/);
  child.kill("SIGKILL");
  assert.equal(await ended, "SIGKILL");
  assert.deepEqual(readdirSync(folder).sort(), [".buffer.lock", "buffer-500.rows", "buffer.rows"]);
  const state = { json, arrays: { documents: Int32Array.from(documents) } };
  const source = await go(state);
  const whole = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, OPTIONS);
  await drawn(whole, 500);
  assert.deepEqual(await drawn(source, 4000), await drawn(whole, 4000));

  // two states are kept, one for each generation of checkpoints
  for (let i = 0; i < 3; i++) {
    source.state();
    await source.next(10);
  }
  const last = kept(source.state());
  assert.deepEqual(readdirSync(folder).sort(), [".buffer.lock", "buffer-4520.rows", "buffer-4530.rows", "buffer.rows"]);
  await source.close();
  await fails(go(state), StoreError, /buffer-500\.rows: expected the 300 rows.*found no such file/);
  truncateSync(join(folder, "buffer-4530.rows"), 1000);
  await fails(go(last), StoreError, /buffer-4530\.rows: expected the 300 rows of the buffer when its run was stopped, 19200 bytes, found 1000 bytes/);
  writeFileSync(join(folder, "mine.txt"), "");
  const anew = await go();
  assert.deepEqual(readdirSync(folder).sort(), [".buffer.lock", "buffer.rows", "mine.txt"]);
  await anew.close();
  await whole.close();
});

test("the model is two passes ahead, and runs for no more rows than are asked for", async () => {
  let running = 0, most = 0, read = 0;
  const model = fakeModel({ async onRun(lengths) {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 1));
    running--;
    read += lengths.reduce((a, b) => a + b, 0);
  } });
  const source = await modelRows(model, DOCUMENTS, HOOKS, 4, { ...OPTIONS, dropNorm: false, rows: 700 });
  await source.next(300);
  assert.equal(most, 3);
  assert.ok(running > 0, "the next passes are on their way");
  await drawn(source, 400);
  await source.close();
  assert.equal(running, 0, "nothing of the source happens after its end");
  assert.ok(read < 700 * 1.15 + 4 * 96, `${read} tokens for 700 rows`);
  await fails(Promise.resolve(source.next(1)), OptionError, /at most 700 rows/);
});

test("rows wait in a buffer that is as long as was said; a sample is of it, and does not move on", async () => {
  const source = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, OPTIONS);
  const sample = await source.sample(50, random(0));
  assert.deepEqual(sample.map(({ length }) => length), [400, 400]);
  const all = await source.sample(1e6, random(0));
  assert.equal(all[0].length, 300 * WIDTH);
  const joined = (x: Float32Array[]): string[] => Array.from({ length: x[0].length / WIDTH }, (_, i) => x.map((rows) => rows.subarray(i * WIDTH, (i + 1) * WIDTH).join()).join());
  let slot = -1;
  for (const row of joined(sample)) assert.ok((slot = joined(all).indexOf(row, slot + 1)) >= 0, "rows of different slots, in their order");
  const other = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, OPTIONS);
  assert.deepEqual(await drawn(source, 400), await drawn(other, 400));
  const { buffer } = source.describe();
  assert.deepEqual(buffer, { on: "memory", rows: 300, bytes: 300 * 64 });
  // calls that do not wait for each other are served in turn
  const [a, b] = await Promise.all([source.next(20), source.next(20)]);
  assert.deepEqual([a, b], [await other.next(20), await other.next(20)]);
  await Promise.all([source.close(), other.close()]);
});

test("batches mix documents as theory says: as a full shuffle of twice the buffer", async () => {
  const documents = Array.from({ length: 400 }, (_, i) => ({ id: `${i}`, text: "abcdefghij".repeat(2 + (i % 5)), spans: [] }));
  const lengths = documents.map(({ text }) => text.length);
  const contexts = cutContexts(lengths, 64).map(({ length }) => length);
  for (const capacity of [500, 1000, 2000]) {
    const source = await modelRows(fakeModel(), documents, ["layers.1"], 0, { context: 64, batchTokens: 256, dropFirst: false, dropNorm: false, buffer: capacity * WIDTH * 4 });
    const batches: Int32Array[] = [];
    for (let i = 0; i < 400; i++) {
      await source.next(100);
      batches.push(source.documents());
    }
    const { share, ideal } = mixing(batches, lengths), predicted = bufferShare(contexts, capacity);
    assert.ok(Math.abs(share / predicted - 1) < 0.15, `${capacity} rows: ${share}, predicted ${predicted}`);
    assert.ok(share > 1.5 * ideal, "a small buffer is seen to be one");
    await source.close();
  }
  assert.deepEqual(mixing([[1, 1, 2], [3, 3, 3]], [2, 1, 3]), { share: 8 / 12, ideal: (2 + 6) / 30 });
});

test("an interrupt while the buffer fills loses nothing", async () => {
  const flag = ((globalThis as Record<symbol, any>)[Symbol.for("saelab.interrupt")] ??= { requested: false });
  let runs = 0;
  const source = await modelRows(fakeModel({ onRun: () => (flag.requested = ++runs === 12) }), DOCUMENTS, HOOKS, 4, OPTIONS);
  await fails(Promise.resolve(source.next(10)), InterruptError, /\d+ rows are in the buffer/);
  flag.requested = false;
  const whole = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, OPTIONS);
  assert.deepEqual(await drawn(source, 600), await drawn(whole, 600));
  await Promise.all([source.close(), whole.close()]);
});

test("a pass that fails takes no rows along: asked again, a source goes on as if it had not", async () => {
  let runs = 0;
  const model = fakeModel({ onRun: () => {
    if (++runs % 9 === 0) throw new InterruptError("Interrupted within a pass of the model");
  } });
  const source = await modelRows(model, DOCUMENTS, HOOKS, 4, { ...OPTIONS, dropNorm: false });
  const whole = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 4, { ...OPTIONS, dropNorm: false });
  let failed = 0;
  for (let i = 0; i < 60; i++) {
    const wanted = await drawn(whole, 100, 100);
    for (;;) {
      const before = kept(source.state());
      try {
        assert.deepEqual(await drawn(source, 100, 100), wanted);
        break;
      } catch (error) {
        assert.ok(error instanceof InterruptError, `${error}`);
        failed++;
        if (before.json.held === 300) assert.deepEqual(kept(source.state()), before);
      }
    }
  }
  assert.ok(failed > 5, `${failed}`);
  assert.deepEqual(kept(source.state()), kept(whole.state()));
  await Promise.all([source.close(), whole.close()]);
});

test("rows that are no numbers, and a model whose rows all fall by norm", async () => {
  const bad = await modelRows(fakeModel({ poison: "q".charCodeAt(0) }), DOCUMENTS, HOOKS, 4, { ...OPTIONS, dropNorm: false });
  await fails(Promise.resolve(bad.next(200)), ModelError, /expected finite activations, found NaN at document \d+ \("doc \d+"\), position \d+/);
  await bad.close();
  const { run, ...model } = fakeModel();
  let calls = 0;
  const growing: Model = { ...model, async run(texts, options) { // short rows for the limit, long ones from then on
    const made = await run(texts, options);
    const longer = calls++ < 8 ? 1 : 1000;
    return Object.fromEntries(Object.entries(made).map(([hook, rows]) => [hook, rows.map((value) => value * longer)]));
  } };
  const none = await modelRows(growing, DOCUMENTS.slice(0, 60), ["layers.1"], 4, { context: 24, batchTokens: 96 });
  await fails(Promise.resolve(none.next(5)), TextError, /all \d+ tokens are dropped \(\d+ first positions, \d+ by norm\)/);
  await none.close();
});

test("refused before the model runs", async () => {
  const never = fakeModel({ onRun: () => assert.fail("the model ran") });
  const make = (hooks: string[], options: ModelRowsOptions = {}, documents: Document[] = DOCUMENTS) => modelRows(never, documents, hooks, 0, { ...OPTIONS, ...options });
  await fails(make(["layers.9"]), HookError, /layers\.9/);
  await fails(make([]), OptionError, /at least one hook/);
  await fails(make(["layers.1", "blocks.1.hook_resid_post"]), OptionError, /each place once/);
  await fails(make(HOOKS, {}, []), TextError, /at least one document/);
  await fails(make(HOOKS, {}, [{ id: "a", text: "x", spans: [] }, { id: "b", text: "y", spans: [] }]), TextError, /all 2 tokens are dropped \(2 first positions/);
  await fails(make(HOOKS, { mask: "prompt" }, DOCUMENTS.map((one) => ({ ...one, prompt: one.text.length }))), TextError, /tokens are dropped.*of prompts/);
  await fails(make(HOOKS, { buffer: 47 * 64 }), OptionError, /buffer: expected at least the 48 rows of two contexts, 3072 bytes at 64 a row, found room for 47/);
  await fails(make(HOOKS, { buffer: -1 }), OptionError, /buffer: expected a number of bytes/);
  await fails(make(HOOKS, { on: "tape" as "disk" }), OptionError, /on: expected "memory" or "disk", found "tape"/);
  await fails(make(HOOKS, { rows: 0 }), OptionError, /rows: expected a whole number/);
  await fails(make(HOOKS, { context: 0 }), OptionError, /context/);
  const folder = fresh();
  const huge: Model = { ...never, hooks: () => never.hooks().map((hook) => ({ ...hook, width: 1e9 })) };
  await fails(modelRows(huge, DOCUMENTS, ["layers.1"], 0, { context: 24, dropNorm: false, buffer: 1e15, on: "disk", folder }), DiskError, /free/);
  assert.deepEqual(readdirSync(folder), []);
  await fails(modelRows(huge, DOCUMENTS, ["layers.1"], 0, { context: 24, dropNorm: false, buffer: 1e15 }), OptionError, /buffer: expected memory for [\d,]+ MB, found less/);
  const small = await modelRows(fakeModel(), DOCUMENTS, HOOKS, 0, OPTIONS);
  await fails(Promise.resolve(small.next(301)), OptionError, /buffer: expected at least the 301 rows of a batch, 19264 bytes at 64 a row, found room for 300/);
  const state = kept(small.state());
  await small.close();
  await fails(make(HOOKS.slice().reverse(), { state }), StoreError, /hooks is .* asked for was/);
  await fails(make(HOOKS, { state }, DOCUMENTS.slice(1)), StoreError, /of is "\w+", asked for was/);
  await fails(modelRows(never, DOCUMENTS, HOOKS, 1, { ...OPTIONS, state }), StoreError, /seed is 0, asked for was 1/);
});
