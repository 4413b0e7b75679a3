import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { openStore } from "../../src/adapters/store";
import { readState } from "../../src/adapters/storestate";
import { DiskError, HookError, InterruptError, ModelError, OptionError, StoreError, TextError } from "../../src/core/errors";
import { fileSource } from "../../src/adapters/files";
import { readFloats, readHeader, readInts } from "../../src/core/safetensors";
import type { Document, Progress } from "../../src/core/types";
import { fakeDocuments, fakeModel, fakeRow, SINK, WIDTH } from "./fake-model";
import { digest, fails, freshFolders } from "./folders";
import { childRun } from "./harvest-child";

const { fresh } = freshFolders("harvest");

test("every row is where it should be: document order, sinks dropped and counted, offsets kept", async () => {
  const documents = fakeDocuments(120);
  const context = 32;
  const hooks = ["blocks.1.hook_resid_post", "layers.1.mlp"];
  const store = await harvest(fakeModel(), documents, { hooks, folder: fresh(), context, batchTokens: 100, shardRows: 700 });
  assert.deepEqual(store.manifest.hooks.map(({ name, width }) => [name, width]), [["layers.1", WIDTH], ["layers.1.mlp", WIDTH]]);
  assert.ok(store.manifest.shards.length > 4);

  const want: { document: number; position: number; id: number; x: Float32Array; mlp: Float32Array }[] = [];
  let first = 0;
  let norm = 0;
  documents.forEach(({ text }, document) => {
    for (let position = 0; position < text.length; position++) {
      const id = text.charCodeAt(position);
      if (position % context === 0) first++;
      else if (id === SINK) norm++; // long in layers.1 only, dropped from both
      else {
        const [x, mlp] = ["layers.1", "layers.1.mlp"].map((hook) => fakeRow(hook, id, position % context));
        want.push({ document, position, id, x, mlp });
      }
    }
  });
  assert.ok(norm > 20, "the texts hold sinks");
  assert.deepEqual(store.manifest.dropped, { first, norm });
  assert.equal(store.rows, want.length);
  const origin = store.origin(0, store.rows);
  assert.deepEqual([...origin.document], want.map(({ document }) => document));
  assert.deepEqual([...origin.position], want.map(({ position }) => position));
  assert.deepEqual([...origin.token], want.map(({ id }) => id));
  const x = store.read("layers.1", 0, store.rows);
  const mlp = store.read("layers.1.mlp", 0, store.rows);
  want.forEach((row, i) => {
    assert.deepEqual(x.subarray(i * WIDTH, (i + 1) * WIDTH), row.x);
    assert.deepEqual(mlp.subarray(i * WIDTH, (i + 1) * WIDTH), row.mlp);
  });
  assert.equal(store.manifest.texts.tokens, documents.reduce((sum, { text }) => sum + text.length, 0));
  assert.deepEqual([...store.tokens(7).ids], [...documents[7].text].map((c) => c.charCodeAt(0)));
  store.close();

  // offsets of each row stand in the shard itself
  const { file, rows } = store.manifest.shards[1];
  const source = fileSource(join(store.path, file));
  const { tensors } = readHeader(source, file);
  const start = readInts(source, tensors.get("start")!);
  const end = readInts(source, tensors.get("end")!);
  const before = store.manifest.shards[0].rows;
  for (let i = 0; i < rows; i++) assert.deepEqual([start[i], end[i]], [want[before + i].position, want[before + i].position + 1]);
  source.close();
});

test("a token that the tokenizer puts before a text is read before each context, and gives no row there", async () => {
  const documents = fakeDocuments(60);
  const BOS = 7, context = 16;
  const { tokenizer, ...model } = fakeModel();
  const before = (first: number, rest: Int32Array): Int32Array => Int32Array.from([first, ...rest]);
  const withBos = { ...model, tokenizer: {
    ...tokenizer,
    isSpecial: (id: number) => id === BOS,
    encode(text: string) {
      const { ids, start, end } = tokenizer.encode(text);
      return { ids: before(BOS, ids), start: before(0, start), end: before(0, end) };
    },
  } };
  const store = await harvest(withBos, documents, { hooks: ["layers.2"], folder: fresh(), context, batchTokens: 60, shardRows: 200 });
  const rows: number[][] = [], origin: number[][] = [];
  documents.forEach(({ text }, document) => {
    for (let position = 1; position <= text.length; position++) {
      const id = text.charCodeAt(position - 1);
      // the first context holds 16 positions, its own <s> among them; later ones 15, each behind another <s>
      const place = position < context ? position : 1 + (position - context) % (context - 1);
      rows.push([...fakeRow("layers.2", id, place)]);
      origin.push([document, position, id]);
    }
  });
  assert.deepEqual(store.manifest.dropped, { first: documents.length, norm: 0 });
  assert.ok(documents.some(({ text }) => text.length > 3 * context), "some documents have many contexts");
  const found = store.origin(0, store.rows);
  assert.deepEqual(Array.from(found.token, (token, i) => [found.document[i], found.position[i], token]), origin);
  assert.deepEqual([...store.read("layers.2", 0, store.rows)], rows.flat());
  const folder = fresh();
  await fails(
    harvest(withBos, documents, { hooks: ["layers.2"], folder, context: 1, dropFirst: false }), OptionError, /at least 2 tokens, as the tokenizer puts 1 before a text, found 1/);
  assert.ok(!existsSync(folder));
});

test("drop rules can be switched off", async () => {
  const documents = fakeDocuments(20);
  const tokens = documents.reduce((sum, { text }) => sum + text.length, 0);
  const store = await harvest(fakeModel(), documents, { hooks: ["layers.1"], folder: fresh(), dropFirst: false, dropNorm: false });
  assert.equal(store.rows, tokens);
  assert.deepEqual(store.manifest.dropped, { first: 0, norm: 0 });
  // without dropFirst the first positions count in the median and fall by their norm
  const byNorm = await harvest(fakeModel(), documents, { hooks: ["layers.0"], folder: fresh(), dropFirst: false });
  assert.deepEqual(byNorm.manifest.dropped, { first: 0, norm: documents.length });
});

test("batches stay within their budget, padding included, and two are on their way at most", async () => {
  let running = 0;
  let most = 0;
  const model = fakeModel({
    onRun: (lengths) => {
      assert.ok(lengths.length * Math.max(...lengths) <= 128);
      most = Math.max(most, ++running);
    },
  });
  const run = model.run;
  model.run = async (...rest) => {
    try {
      const result = await run(...rest);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return result;
    } finally {
      running--;
    }
  };
  await harvest(model, fakeDocuments(60), { hooks: ["layers.0"], folder: fresh(), context: 40, batchTokens: 128, shardRows: 400 });
  assert.equal(most, 2);
});

test("progress counts tokens up to all of them, with a rate", async () => {
  const documents = fakeDocuments(80);
  const tokens = documents.reduce((sum, { text }) => sum + text.length, 0);
  const told: Parameters<Progress>[0][] = [];
  const progress: Progress = (state) => void told.push(state);
  await harvest(fakeModel({ delay: 2 }), documents, { hooks: ["layers.0"], folder: fresh(), batchTokens: 64, shardRows: 512, progress });
  const harvested = told.filter(({ stage }) => stage === "harvest");
  assert.ok(told.some(({ stage, done, total }) => stage === "tokenize" && done === total));
  const last = harvested.at(-1)!;
  assert.deepEqual([last.done, last.total, last.unit, last.secondsLeft], [tokens, tokens, "tokens", 0]);
  assert.ok(last.rate > 0);
  harvested.forEach(({ done }, i) => assert.ok(!i || done > harvested[i - 1].done));
});

/** A run in another process that has made so many shards and stands still. */
async function standingChild(folder: string, shards: number): Promise<{ pid: number; kill(): Promise<void> }> {
  const child = spawn(process.execPath, [join(__dirname, "harvest-child.js"), folder, "512", `${shards}`], { stdio: "inherit" });
  after(() => child.kill("SIGKILL")); // nothing to do where the test came to its end
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on("exit", (_, signal) => resolve(signal)));
  const made = (): number => {
    const state = readState(folder);
    return state.kind === "unfinished" ? state.manifest.shards.filter(Boolean).length : -1;
  };
  while (made() !== shards) {
    assert.equal(child.exitCode, null, "the child ran to its end");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    pid: child.pid!,
    async kill() {
      child.kill("SIGKILL");
      assert.equal(await ended, "SIGKILL");
    },
  };
}

test("one process at a time in a folder: the second is told who is at work; a dead one's lock is taken over", async () => {
  const folder = fresh();
  const documents = fakeDocuments(300);
  const options = { hooks: ["layers.1", "layers.1.mlp"], folder, context: 32, batchTokens: 64, shardRows: 512 };
  const child = await standingChild(folder, 1);
  const before = digest(folder);
  const refused = fakeModel({ onRun: () => assert.fail("the model ran") });
  await fails(
    harvest(refused, documents, options), StoreError,
    new RegExp(`expected no other harvest in this folder, found one at work: process ${child.pid}, since 20.*delete .*harvest\\.lock`));
  await fails(harvest(refused, documents, { ...options, resume: false }), StoreError, /found one at work/);
  assert.deepEqual(digest(folder), before, "nothing of the other's was touched");
  await child.kill();
  let open = (): void => {};
  const gate = new Promise<void>((resolve) => (open = resolve));
  const both = [1, 2].map(() => harvest(fakeModel({ onRun: () => gate }), documents, options)); // whichever comes first waits for the other's end
  await fails(Promise.race(both), StoreError, new RegExp(`process ${process.pid}, since`));
  open();
  assert.deepEqual((await Promise.allSettled(both)).map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  assert.ok(!existsSync(join(folder, "harvest.lock")));
  const whole = fresh();
  await childRun(whole);
  assert.deepEqual(digest(folder), digest(whole));
});

test("a lock: another machine's is kept, a number that another process has by now is not", async () => {
  const folder = fresh();
  mkdirSync(folder);
  const lock = join(folder, "harvest.lock");
  const work = () => harvest(fakeModel(), fakeDocuments(5), { hooks: ["layers.1"], folder });
  const since = "2026-01-01T00:00:00.000Z";
  writeFileSync(lock, JSON.stringify({ pid: 1, host: "elsewhere.example", started: null, since }));
  await fails(work(), StoreError, /process 1 on elsewhere\.example, since 2026-01-01/);
  writeFileSync(lock, "");
  await fails(work(), StoreError, /whose name is not in it yet/);
  assert.deepEqual(readdirSync(folder), ["harvest.lock"]);
  writeFileSync(lock, JSON.stringify({ pid: process.pid, host: hostname(), started: "1", since })); // started with the machine
  await work();
  assert.ok(!existsSync(lock));
});

test("texts that were labelled anew keep their rows; hooks may come in another order", async () => {
  const documents: Document[] = fakeDocuments(40);
  const folder = fresh();
  const options = { hooks: ["layers.1", "layers.2.mlp"], folder, context: 32, shardRows: 256 };
  await harvest(fakeModel(), documents, options);
  const before = digest(folder);
  const still = fakeModel({ onRun: () => assert.fail("the model ran") });
  const labelled: Document[] = documents.map((document, i) => ({ ...document, spans: [{ start: 0, end: 1, label: "a" }], split: i % 2 ? "train" : "heldout" }));
  const store = await harvest(still, labelled, { ...options, hooks: ["layers.2.mlp", "blocks.1.hook_resid_post"] });
  assert.deepEqual(store.documents(), labelled);
  const { "documents.jsonl": was, ...others } = before;
  const { "documents.jsonl": is, ...same } = digest(folder);
  assert.deepEqual(same, others);
  assert.notEqual(is, was);
  await harvest(still, documents, options);
  assert.deepEqual(digest(folder), before);
  await fails(harvest(still, documents.map((d) => ({ ...d, text: `${d.text}x` })), options), StoreError, /found another: texts is/);
});

test("a stopped run goes on with its hooks in another order, and ends with the same bytes", async () => {
  const documents = fakeDocuments(300);
  const options = { folder: fresh(), context: 32, batchTokens: 64, shardRows: 512 };
  const child = await standingChild(options.folder, 2);
  await child.kill();
  await harvest(fakeModel(), documents, { ...options, hooks: ["layers.1.mlp", "layers.1"] });
  const whole = fresh();
  await childRun(whole);
  assert.deepEqual(digest(options.folder), digest(whole));
});

test("a run killed in its middle goes on and ends with the same bytes", async () => {
  const whole = fresh();
  await childRun(whole);
  const killed = fresh();
  for (const shards of [2, 4]) { // the second run goes on after the first
    const child = await standingChild(killed, shards);
    await child.kill();
  }

  await fails(
    openStore(killed), StoreError,
    /expected a finished store, found one that was stopped: \d+ of 300 documents \(4 of \d+ shards\).*Run harvest again/);
  // one shard is cut off and half a shard lies about, as after a crash of the machine
  truncateSync(join(killed, "shard-00001.safetensors"), 1000);
  writeFileSync(join(killed, ".shard-00005.safetensors.4194305.abc.part"), "half"); // a number no process has: past Linux' largest
  const before = statSync(join(killed, "shard-00002.safetensors")).mtimeMs;
  let passes = 0;
  const model = fakeModel({ onRun: () => passes++ });
  const options = { hooks: ["layers.1", "layers.1.mlp"], folder: killed, context: 32, batchTokens: 64, shardRows: 512 };
  const store = await harvest(model, fakeDocuments(300), options);
  assert.deepEqual(digest(killed), digest(whole));
  assert.equal(statSync(join(killed, "shard-00002.safetensors")).mtimeMs, before, "a whole shard is taken over");
  store.close();

  writeFileSync(join(killed, "unfinished.json"), readFileSync(join(killed, "manifest.json"))); // as if killed just before it was removed
  const once = passes;
  await harvest(model, fakeDocuments(300), options);
  assert.equal(passes, once, "a finished store is opened, not made again");
  assert.deepEqual(digest(killed), digest(whole));
  rmSync(join(killed, "shard-00002.safetensors"));
  await fails(openStore(killed), StoreError, /shard-00002\.safetensors: expected \d+ bytes, found no such file/);
  await harvest(model, fakeDocuments(300), options);
  assert.ok(passes > once && passes < 2 * once, "only the lost shard is made again");
  assert.deepEqual(digest(killed), digest(whole));
  await harvest(model, fakeDocuments(300), { ...options, resume: false });
  assert.deepEqual(digest(killed), digest(whole));
});

test("an interrupt keeps whole shards and says how many documents they hold", async () => {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  const folder = fresh();
  let passes = 0;
  const model = fakeModel({ onRun: () => (flag.requested = ++passes === 40) });
  const options = { hooks: ["layers.1"], folder, context: 32, batchTokens: 64, shardRows: 512 };
  try {
    await fails(
      harvest(model, fakeDocuments(300), options), InterruptError,
      /Interrupted\. ([1-9]\d*) of 300 documents are kept in .*: run harvest again to go on/);
  } finally {
    flag.requested = false;
  }
  await fails(openStore(folder), StoreError, /was stopped/);
  const taken: number[] = [];
  const progress: Progress = ({ stage, done }) => void (stage === "harvest" && taken.push(done));
  const store = await harvest(model, fakeDocuments(300), { ...options, progress });
  assert.ok(taken[0] > 512, "what was kept counts as done");
  assert.equal(store.documents().length, 300);

  const early = fresh();
  const second = fakeModel({ onRun: () => (flag.requested = true) });
  try {
    await fails(harvest(second, fakeDocuments(300), { ...options, folder: early }), InterruptError, /nothing is kept/);
  } finally {
    flag.requested = false;
  }
  assert.ok(!existsSync(early), "a folder without a whole shard is taken away");
});

test("bad input is refused before the model runs, and leaves nothing", async () => {
  let passes = 0;
  const model = fakeModel({ onRun: () => passes++ });
  const documents = fakeDocuments(5);
  const folder = fresh();
  const hooks = ["layers.1"];
  await fails(harvest(model, documents, { hooks: ["layers.7"], folder }), HookError, /blocks 0 to 2/);
  await fails(harvest(model, documents, { hooks: [], folder }), OptionError, /at least one hook/);
  await fails(harvest(model, documents, { hooks: ["layers.1", "blocks.1.hook_resid_post"], folder }), OptionError, /which are one place/);
  await fails(harvest(model, [], { hooks, folder }), TextError, /at least one document/);
  await fails(harvest(model, [...documents, { id: "e", text: "", spans: [] }], { hooks, folder }), TextError, /documents\[5\] \("e"\)/);
  await fails(harvest(model, documents, { hooks, folder, context: 0 }), OptionError, /context: expected a whole number/);
  await fails(harvest(model, documents, { hooks, folder, context: 1 }), OptionError, /2 tokens or more/);
  await fails(harvest(model, documents, { hooks, folder, batchTokens: 1.5 }), OptionError, /batchTokens/);
  await fails(harvest(model, documents, { hooks, folder, shardRows: -1 }), OptionError, /shardRows/);
  await fails(harvest(model, documents, { hooks, folder, dropNorm: 0.5 }), OptionError, /dropNorm/);
  assert.equal(passes, 0);
  assert.ok(!existsSync(folder));

  const foreign = fresh();
  mkdirSync(foreign);
  writeFileSync(join(foreign, "thesis.tex"), "mine");
  await fails(harvest(model, documents, { hooks, folder: foreign }), StoreError, /expected an empty folder or a store, found thesis\.tex/);
  await fails(harvest(model, documents, { hooks, folder: join(foreign, "thesis.tex") }), StoreError, /thesis\.tex/);
  assert.deepEqual(readdirSync(foreign), ["thesis.tex"]);
});

test("a folder that holds another store is refused, with what differs", async () => {
  const documents = fakeDocuments(12);
  const folder = fresh();
  const options = { hooks: ["layers.1"], folder, context: 32 };
  await harvest(fakeModel(), documents, options);
  const before = digest(folder);
  const changed: [Document[], object, string | undefined, RegExp][] = [
    [documents, {}, "b".repeat(64), /found another: model is aaaaaaaaaaaa…, asked for was bbbbbbbbbbbb…\./],
    [documents.slice(1), {}, undefined, /found another: texts is /],
    [documents, { hooks: ["layers.2"] }, undefined, /found another: hooks is "layers\.1", asked for was "layers\.2"\./],
    [documents, { context: 16, dropNorm: 5 }, undefined, /context is 32, asked for was 16; dropNorm is 10, asked for was 5/],
    [documents, { context: 16, resume: false }, undefined, /context is 32/],
  ];
  for (const [texts, more, hash, message] of changed) {
    await fails(harvest(fakeModel({ hash }), texts, { ...options, ...more }), StoreError, message);
  }
  assert.deepEqual(digest(folder), before);
});

test("an activation that is not finite is named by document and position, and nothing is left", async () => {
  const documents = fakeDocuments(30);
  documents[17].text = "abcdef#gh";
  const folder = fresh();
  await fails(
    harvest(fakeModel({ poison: "#".charCodeAt(0) }), documents, { hooks: ["layers.1"], folder, batchTokens: 64 }),
    ModelError, /layers\.1: expected finite activations, found NaN at document 17 \("doc 17"\), position 6\./);
  assert.ok(!existsSync(folder));
});

test("texts of which nothing is left are refused", async () => {
  const folder = fresh();
  await fails(harvest(fakeModel(), [{ id: "a", text: "x", spans: [] }], { hooks: ["layers.1"], folder }), TextError, /all 1 tokens are dropped/);
  assert.ok(!existsSync(folder));
});

test("a disk too small is noticed before the model runs", async () => {
  // rows of 2⁴⁰ numbers: more than any disk takes
  const model = fakeModel({ onRun: () => assert.fail("the model ran") });
  const hooks = model.hooks().map((hook) => ({ ...hook, width: 2 ** 40 }));
  model.hooks = () => hooks;
  const folder = fresh();
  await fails(harvest(model, fakeDocuments(100), { hooks: ["layers.1"], folder }), DiskError, /free/);
  assert.ok(!existsSync(folder));
});

test("a disk that takes no more in the middle of the run ends it with the remedy, and nothing is left", () => {
  const folder = fresh();
  // files may grow to 200 KB (400 KB where a block is 1,024 bytes): texts and tokens fit, the first shard of some 700 KB does not
  const child = [process.execPath, join(__dirname, "harvest-child.js"), folder, "100000"];
  const { status, stderr } = spawnSync("sh", ["-c", 'ulimit -f 400; exec "$@"', "sh", ...child]);
  assert.equal(status, 1);
  assert.match(`${stderr}`, /DiskError: .*shard-00000\.safetensors: expected to write it, found EFBIG\. .*choose another disk/);
  assert.ok(!existsSync(folder));
});

test("without a folder the store lies in .saelab/stores under a name made of its content", async () => {
  const here = process.cwd();
  const place = fresh();
  mkdirSync(place);
  process.chdir(place);
  try {
    const documents = fakeDocuments(5);
    const one = await harvest(fakeModel(), documents, { hooks: ["layers.1"] });
    const same = await harvest(fakeModel(), documents, { hooks: ["blocks.1.hook_resid_post"] });
    const other = await harvest(fakeModel(), documents, { hooks: ["layers.1"], context: 16 });
    assert.match(one.path, /^\.saelab\/stores\/[0-9a-f]{16}$/);
    assert.equal(same.path, one.path);
    assert.notEqual(other.path, one.path);
    assert.deepEqual([...one.read("layers.1", 0, 1)], [...same.read("layers.1", 0, 1)]);
  } finally {
    process.chdir(here);
  }
});

test("rows of a real model are PyTorch's, whatever else is in the batch, and its tokenizer travels with them", async () => {
  const folder = join(__dirname, "..", "..", "..", "test", "oracle", "models", "qwen2");
  const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")) as { prompts: { text: string; ids: number[] }[] };
  const source = fileSource(join(folder, "golden.safetensors"));
  const { tensors } = readHeader(source, "golden.safetensors");
  const documents = golden.prompts.map(({ text }, i) => ({ id: `${i}`, text, spans: [] }));
  const model = await openModel(folder, { threads: 1 });
  const hooks = [["layers.1", "resid_post.1"], ["layers.2.mlp", "mlp_out.2"]];
  const store = await harvest(model, documents, { hooks: hooks.map(([name]) => name), folder: fresh(), dropFirst: false, dropNorm: false });
  await model.close();
  const rows = store.documentRows();
  golden.prompts.forEach(({ text, ids }, k) => {
    assert.deepEqual([...store.tokens(k).ids], ids);
    assert.equal(store.tokenizer.decode(ids), text);
    assert.deepEqual([...store.origin(rows[k], rows[k + 1]).token], ids);
    for (const [hook, tensor] of hooks) {
      const want = readFloats(source, tensors.get(`p${k}.${tensor}`)!);
      const got = store.read(hook, rows[k], rows[k + 1]);
      assert.equal(got.length, want.length);
      const most = want.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      // float32 sums in another order: 3 blocks of width 64
      got.forEach((value, i) => assert.ok(Math.abs(value - want[i]) <= 1e-5 * most, `${hook}, prompt ${k}: ${value}, not ${want[i]}`));
    }
  });
  source.close();
  store.close();
});
