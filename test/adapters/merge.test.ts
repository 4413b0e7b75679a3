import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { harvest, harvestPart, type HarvestOptions } from "../../src/adapters/harvest";
import { mergeStores } from "../../src/adapters/merge";
import { openStore } from "../../src/adapters/store";
import { partFolder, partFolders } from "../../src/adapters/storestate";
import { InterruptError, OptionError, StoreError, TextError } from "../../src/core/errors";
import { fakeDocuments, fakeModel } from "./fake-model";
import { digest, fails, freshFolders, type Fault } from "./folders";

const { root, fresh } = freshFolders("merge");

const documents = fakeDocuments(300);
// a first shard of many batches, so that its sample is not all of it
const options: HarvestOptions = { hooks: ["layers.1", "layers.1.mlp"], context: 32, batchTokens: 64, shardRows: 1200 };

async function parts(folder: string, of: number, more: Partial<HarvestOptions> = {}): Promise<string[]> {
  const made: string[] = [];
  for (let index = 0; index < of; index++) made.push((await harvestPart(fakeModel(), documents, { ...options, ...more, folder, part: { index, of } })).path);
  return made;
}

for (const [name, more] of [
  ["float32", {}], ["float16, whole documents", { dtype: "F16", cut: "whole", context: 40, tooLong: "skip", shardRows: 700 }], ["without norms", { dropNorm: false }], ["chat", { chat: true }],
] as [string, Partial<HarvestOptions>][]) {
  test(`parts merged are the store of one process, byte for byte: ${name}`, async () => {
    const one = await harvest(fakeModel(), documents, { ...options, ...more, folder: fresh() });
    assert.ok(one.manifest.shards.length >= 5);
    const folder = fresh();
    const made = await parts(folder, 4, more);
    assert.deepEqual(made, partFolders(folder));
    assert.deepEqual(made.map((path) => path.slice(folder.length + 1)), ["part-00-of-4", "part-01-of-4", "part-02-of-4", "part-03-of-4"]);
    const store = await mergeStores([...made].reverse(), folder);
    assert.deepEqual(digest(folder), digest(one.path));
    assert.equal(store.rows, one.rows);
    assert.ok(made.every((path) => !existsSync(path)), "the parts are used up");
    assert.deepEqual((await mergeStores(made, folder)).manifest, one.manifest, "merged again, it is opened");
  });
}

test("more parts than shards: those without shards run nothing", async () => {
  const one = await harvest(fakeModel(), documents, { ...options, shardRows: 4000, folder: fresh() });
  const { length } = one.manifest.shards;
  assert.ok(length > 1 && length < 5);
  const folder = fresh();
  await parts(folder, 4, { shardRows: 4000 });
  const idle = fakeModel({ onRun: () => assert.fail("the model ran") });
  rmSync(folder, { recursive: true });
  for (let index = 0; index < 5; index++) {
    await harvestPart(index < length ? fakeModel() : idle, documents, { ...options, shardRows: 4000, folder, part: { index, of: 5 } });
  }
  await mergeStores(partFolders(folder), folder);
  assert.deepEqual(digest(folder), digest(one.path));
});

test("a part reads eight batches of the first shard for the limits, and nothing when it has them or needs none", async () => {
  const count = async (more: Partial<HarvestOptions>, folder = fresh()): Promise<[number, string]> => {
    let passes = 0;
    await harvestPart(fakeModel({ onRun: () => passes++ }), documents, { ...options, ...more, folder, part: { index: 1, of: 4 } });
    return [passes, folder];
  };
  const [with8, folder] = await count({});
  const [without] = await count({ dropNorm: false });
  assert.ok(with8 > without && with8 <= without + 8, `${with8}, ${without}`);
  assert.equal((await count({}, folder))[0], 0, "a finished part is not made again");
  rmSync(join(folder, "part-01-of-4", "shard-00001.safetensors"));
  const [again] = await count({}, folder);
  assert.ok(again > 0 && again < without, "one shard is made again, with the limits on record");
});

test("keep: the parts stay, their shards are other names of the same bytes; on another disk they are copied", async () => {
  const folder = fresh();
  const made = await parts(folder, 3);
  const before = made.map(digest);
  const kept = fresh();
  const store = await mergeStores(made, kept, { keep: true });
  assert.deepEqual(made.map(digest), before);
  assert.equal(statSync(join(kept, "shard-00001.safetensors")).ino, statSync(join(made[1], "shard-00001.safetensors")).ino);
  if (existsSync("/dev/shm") && statSync("/dev/shm").dev !== statSync(root).dev) {
    const far = mkdtempSync("/dev/shm/saelab-merge-");
    after(() => rmSync(far, { recursive: true, force: true }));
    await mergeStores(made, far);
    assert.deepEqual(digest(far), digest(kept));
    assert.ok(made.every((path) => !existsSync(path)));
  }
  assert.deepEqual((await openStore(kept)).manifest, store.manifest, "a store outlives its parts");
});

test("a merge that was killed goes on, before and after the store was whole", async () => {
  const folder = fresh();
  const made = await parts(folder, 3);
  const whole = fresh();
  cpSync(folder, whole, { recursive: true });
  await mergeStores(partFolders(whole), whole);

  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  const before = made.map(digest);
  try {
    flag.requested = true;
    await fails(mergeStores(made, folder), InterruptError, /The parts are as they were, 1 of \d+ shards are in .*: merge again/);
  } finally {
    flag.requested = false;
  }
  assert.deepEqual(made.map(digest), before);
  await fails(openStore(folder), StoreError, /was stopped/);
  truncateSync(join(folder, "documents.jsonl"), 0); // a copy of the part's, or its own bytes where it is a link: made anew in either case
  cpSync(join(whole, "documents.jsonl"), join(made[0], "documents.jsonl"));
  await mergeStores(made, folder);
  assert.deepEqual(digest(folder), digest(whole));

  // killed while the parts were taken away: one is gone, one has lost a shard
  const late = fresh();
  const again = await parts(late, 3);
  await mergeStores(again, late, { keep: true });
  rmSync(again[0], { recursive: true });
  rmSync(join(again[1], "shard-00001.safetensors"));
  await mergeStores(again, late);
  assert.deepEqual(digest(late), digest(whole));
});

test("a part is no store, and a store no part", async () => {
  const folder = fresh();
  const [part] = await parts(folder, 2);
  await fails(openStore(part), StoreError, /expected a whole store, found part 0 of 2, counted from 0\. mergeStores/);
  await fails(harvest(fakeModel(), documents, { ...options, folder: part }), StoreError, /expected a whole store, found part 0 of 2/);
  const store = await harvest(fakeModel(), documents, { ...options, folder: fresh() });
  await fails(mergeStores([store.path], fresh()), StoreError, /expected a finished part, found a store of its own/);
  await fails(mergeStores([fresh()], fresh()), StoreError, /found no such folder/);
  await fails(mergeStores([], fresh()), OptionError, /found none/);
  for (const part of [{ index: 2, of: 2 }, { index: -1, of: 2 }, { index: 0.5, of: 2 }, { index: 0, of: 0 }]) {
    await fails(harvestPart(fakeModel(), documents, { ...options, folder, part }), OptionError, /counted from 0/);
  }
  const both = { ...options, folder: fresh(), part: { index: 0, of: 2 } };
  await fails(harvest(fakeModel(), documents, both), OptionError, /expected harvestPart/);
  assert.equal(partFolder({ index: 3, of: 16 }), "part-03-of-16");
  assert.equal(partFolder({ index: 3, of: 1000 }), "part-0003-of-1000");
});

test("parts that are missing, stopped, twice, damaged or of something else are refused, and nothing is changed", async () => {
  const folder = fresh();
  const made = await parts(folder, 3);
  const other = async (change: (folder: string) => Promise<unknown>): Promise<string> => {
    const to = fresh();
    await change(to);
    return partFolders(to)[0];
  };
  const second = { index: 1, of: 3 };
  const to = fresh();
  const before = made.map(digest);
  const refused = async (paths: string[], message: RegExp, type: Fault = StoreError): Promise<void> => {
    await fails(mergeStores(paths, to), type, message);
    assert.ok(!existsSync(to));
  };
  await refused(made.slice(0, 2), /expected all 3, found 2: 2 \(counted from 0\) is missing.*--shard 2\/3/);
  await refused([made[1]], /0, 2 \(counted from 0\) are missing/);
  await refused([...made, made[1]], /each folder once/, OptionError);
  const twin = await other((at) => harvestPart(fakeModel(), documents, { ...options, folder: at, part: second }));
  await refused([...made, twin], /found part 1 too/);
  const swapped = (path: string): string[] => [made[0], path, made[2]];
  await refused(swapped(await other((at) => harvestPart(fakeModel({ hash: "b".repeat(64) }), documents, { ...options, folder: at, part: second }))), /same store as .*found model is bbbb/);
  await refused(swapped(await other((at) => harvestPart(fakeModel(), documents.slice(1), { ...options, folder: at, part: second }))), /found texts is/);
  await refused(swapped(await other((at) => harvestPart(fakeModel(), documents, { ...options, dtype: "F16", folder: at, part: second }))), /found dtype is "F16"/);
  await refused(swapped(await other((at) => harvestPart(fakeModel(), documents, { ...options, folder: at, part: { index: 1, of: 4 } }))), /found part 1 of 4, not of 3/);

  const spoilt = (change: (path: string) => void): string[] => {
    const path = fresh();
    cpSync(made[1], path, { recursive: true });
    change(path);
    return swapped(path);
  };
  const edit = (change: (manifest: any) => void) => (path: string): void => {
    const file = join(path, "manifest.json");
    const manifest = JSON.parse(readFileSync(file, "utf8"));
    change(manifest);
    writeFileSync(file, JSON.stringify(manifest));
  };
  await refused(spoilt((path) => rmSync(join(path, "shard-00004.safetensors"))), /missing or cut off \(shard-00004/);
  await refused(spoilt((path) => truncateSync(join(path, "shard-00001.safetensors"), 99)), /missing or cut off \(shard-00001/);
  await refused(spoilt(edit((m) => (m.settings.normLimits[1] *= 1.01))), /rows of layers\.1\.mlp up to a norm of/);
  await refused(spoilt(edit((m) => (m.shards[1] = null))), /shards: a list/);
  await refused(spoilt(edit((m) => (m.shards[1].rows -= 1))), /tensor "layers\.1" F32 \[\d+,8\]/);
  await refused(spoilt(edit((m) => (m.part.index = 3))), /part: index and of/);
  assert.ok(existsSync(to) === false);
  const stopped = spoilt((path) => {
    edit((m) => (m.shards[1] = null))(path);
    writeFileSync(join(path, "unfinished.json"), readFileSync(join(path, "manifest.json")));
    rmSync(join(path, "manifest.json"));
  });
  await refused(stopped, /found one that was stopped: \d of \d shards are there\. Run its harvest again/);

  const mine = fresh();
  mkdirSync(mine);
  writeFileSync(join(mine, "tokenizer.json"), "mine");
  await fails(mergeStores(made, mine), StoreError, /expected an empty folder or a store, found tokenizer\.json/);
  assert.deepEqual(digest(mine), { "tokenizer.json": createHash("sha256").update("mine").digest("hex") });
  const elsewhere = await harvest(fakeModel(), documents, { ...options, context: 16, folder: fresh() });
  await fails(mergeStores(made, elsewhere.path), StoreError, /context is/);
  assert.deepEqual(made.map(digest), before);
  assert.equal((await mergeStores(made, to)).manifest.shards.length, before.flatMap((part) => Object.keys(part)).filter((name) => name.startsWith("shard-")).length);
});

test("limits of parts that were made on other processors may differ in their last bits", async () => {
  const folder = fresh();
  const made = await parts(folder, 3);
  const file = join(made[2], "manifest.json");
  const manifest = JSON.parse(readFileSync(file, "utf8"));
  manifest.settings.normLimits = manifest.settings.normLimits.map((limit: number) => limit * (1 + 1e-6));
  writeFileSync(file, JSON.stringify(manifest));
  const one = await harvest(fakeModel(), documents, { ...options, folder: fresh() });
  assert.deepEqual((await mergeStores(made, folder)).manifest, one.manifest);
});

test("parts in which no row is left make no store", async () => {
  const folder = fresh();
  const short = [..."abcdefgh"].map((text) => ({ id: text, text, spans: [] }));
  for (let index = 0; index < 2; index++) await harvestPart(fakeModel(), short, { ...options, shardRows: 2, folder, part: { index, of: 2 } });
  const to = fresh();
  await fails(mergeStores(partFolders(folder), to), TextError, /all 8 tokens are dropped/);
  assert.ok(!existsSync(to));
});
