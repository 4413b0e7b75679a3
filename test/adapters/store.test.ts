import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { harvest } from "../../src/adapters/harvest";
import { meter } from "../../src/adapters/progress";
import { openStore, rowsOf } from "../../src/adapters/store";
import { OptionError, StoreError } from "../../src/core/errors";
import type { Document, Progress, Store } from "../../src/core/types";
import { fakeDocuments, fakeModel, WIDTH } from "./fake-model";

const root = mkdtempSync(join(tmpdir(), "saelab-store-"));
let store: Store;
let documents: Document[];
before(async () => {
  const spans = [{ start: 0, end: 2, label: "deduction" }];
  documents = fakeDocuments(40).map((document, i) => (i % 4 ? document : { ...document, spans, split: i % 8 ? "train" : "heldout" }));
  const folder = join(root, "store");
  store = await harvest(fakeModel(), documents, { hooks: ["layers.1", "layers.2"], folder, context: 32, shardRows: 150 });
});
after(() => {
  store.close();
  rmSync(root, { recursive: true });
});

/** A copy of the store to be spoilt. */
let copies = 0;
const copy = (): string => {
  const to = join(root, `copy-${copies++}`);
  cpSync(store.path, to, { recursive: true });
  return to;
};
const fails = async (path: string, message: RegExp): Promise<void> =>
  assert.rejects(openStore(path), (error: Error) => {
    assert.ok(error instanceof StoreError, `${error.name}: ${error.message}`);
    assert.match(error.message, message);
    return true;
  });

test("any range of rows reads the same as all rows at once, across shards", () => {
  assert.ok(store.manifest.shards.length >= 5);
  const all = store.read("layers.2", 0, store.rows);
  const origin = store.origin(0, store.rows);
  for (let from = 0; from <= store.rows; from += 37) {
    for (const length of [0, 1, 64, 149, 400]) {
      const to = Math.min(store.rows, from + length);
      assert.deepEqual(store.read("layers.2", from, to), all.slice(from * WIDTH, to * WIDTH));
      assert.deepEqual(store.origin(from, to).position, origin.position.slice(from, to));
    }
  }
});

test("what read gives is the caller's own", () => {
  const one = store.read("layers.1", 0, 2).fill(7);
  assert.notDeepEqual(store.read("layers.1", 0, 2), one);
});

test("documentRows counts the rows of each document", () => {
  const rows = store.documentRows();
  assert.equal(rows.length, documents.length + 1);
  assert.equal(rows[documents.length], store.rows);
  const { document } = store.origin(0, store.rows);
  for (let i = 0; i < documents.length; i++) {
    for (let row = rows[i]; row < rows[i + 1]; row++) assert.equal(document[row], i);
  }
});

test("documents and tokens come back whole, dropped positions included", () => {
  assert.deepEqual(store.documents(), documents);
  documents.forEach(({ text }, i) => {
    const { ids, start, end } = store.tokens(i);
    assert.equal(String.fromCharCode(...ids), text);
    assert.deepEqual([start[1], end[1]], [1, 2]);
  });
  assert.throws(() => store.tokens(40), OptionError);
});

test("both sides of the split together are all rows, and no document is on both", () => {
  const sides = { train: rowsOf(store, "train"), heldout: rowsOf(store, "heldout") };
  const count = (ranges: { from: number; to: number }[]) => ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  assert.equal(count(sides.train) + count(sides.heldout), store.rows);
  assert.deepEqual(rowsOf(store, "all"), [{ from: 0, to: store.rows }]);
  const { document } = store.origin(0, store.rows);
  for (const { from, to } of sides.heldout) {
    for (let row = from; row < to; row++) {
      const { split } = documents[document[row]];
      const unnamed = documents.slice(0, document[row] + 1).filter((one) => !one.split).length;
      assert.ok(split === "heldout" || (!split && unnamed % 10 === 0));
    }
  }
  assert.equal(new Set(sides.heldout.flatMap(({ from, to }) => [...document.subarray(from, to)])).size, 5 + 3);
});

test("hooks are found in any spelling; with several one has to be named", () => {
  assert.equal(store.hook("blocks.2.hook_resid_post"), "layers.2");
  assert.deepEqual(store.read("model.layers.2", 3, 5), store.read("layers.2", 3, 5));
  assert.equal(store.width("layers.1"), WIDTH);
  assert.throws(() => store.hook(), /has 2 \(layers\.1, layers\.2\)/);
  assert.throws(() => store.read("layers.0", 0, 1), /expected a hook of this store \(layers\.1, layers\.2\), found "layers\.0"/);
});

test("ranges outside of the store are refused", () => {
  for (const [from, to] of [[-1, 1], [2, 1], [0, store.rows + 1], [0.5, 2]]) {
    assert.throws(() => store.read("layers.1", from, to), OptionError);
    assert.throws(() => store.origin(from, to), OptionError);
  }
});

test("a model without tokenizer files makes a store that says so when asked for its tokenizer", () => {
  assert.throws(() => store.tokenizer, /expected the tokenizer's files, found none/);
});

test("a closed store says so", async () => {
  const other = await openStore(store.path);
  other.close();
  assert.throws(() => other.read("layers.1", 0, 1), /found that it was closed/);
});

test("what is missing, cut off, of another version or not a store is named", async () => {
  await fails(join(root, "nowhere"), /nowhere: expected a folder with manifest\.json, found no such folder/);
  const cut = copy();
  truncateSync(join(cut, "shard-00002.safetensors"), 100);
  await fails(cut, /shard-00002\.safetensors: expected \d+ bytes, found 100 bytes.*run harvest again/);
  const lost = copy();
  rmSync(join(lost, "tokens.safetensors"));
  await fails(lost, /tokens\.safetensors: expected a file/);
  const spoil = async (change: (manifest: any) => unknown, message: RegExp): Promise<void> => {
    const path = copy();
    const file = join(path, "manifest.json");
    const manifest = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify(change(manifest) ?? manifest));
    await fails(path, message);
  };
  await spoil((m) => void (m.version = 2), /manifest\.json: version: expected 1, found 2/);
  await spoil((m) => void (m.format = "other"), /expected format "saelab-store", found "other"/);
  await spoil((m) => void (m.rows = 1), /expected 1 rows, found shards of \d+ rows/);
  await spoil((m) => void m.shards.reverse(), /shards: a list/);
  await spoil((m) => void (m.hooks = []), /hooks: a list/);
  await spoil((m) => void delete m.model, /model\.sha256/);
  await spoil(() => 7, /found undefined/);
  const text = copy();
  writeFileSync(join(text, "manifest.json"), "{");
  await fails(text, /expected JSON/);
});

test("the meter tells a rate over the last seconds, at most ten times a second and at the end", () => {
  let now = 100;
  const told: Parameters<Progress>[0][] = [];
  const tell = meter("s", 1000, "tokens", (state) => void told.push(state), 200, () => now);
  for (let done = 200; done < 1000; done += 10) {
    now += done < 600 ? 0.02 : 0.2; // 500 a second, then 50
    tell(done, `${done}`);
  }
  assert.ok(told.every(({ total, unit, stage }) => total === 1000 && unit === "tokens" && stage === "s"));
  const fast = told.filter(({ done }) => done < 600);
  assert.ok(fast.length <= 9, `${fast.length} calls in 0.8 s`);
  assert.ok(Math.abs(fast.at(-1)!.rate - 500) < 15, "what was there before does not count");
  const slow = told.at(-1)!;
  assert.ok(Math.abs(slow.rate - 50) < 5, "the fast beginning is forgotten");
  assert.ok(Math.abs(slow.secondsLeft - (1000 - slow.done) / 50) < 1);
  tell(1000);
  assert.deepEqual([told.at(-1)!.done, told.at(-1)!.secondsLeft], [1000, 0]);
});
