"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const harvest_1 = require("../../src/adapters/harvest");
const progress_1 = require("../../src/adapters/progress");
const store_1 = require("../../src/adapters/store");
const errors_1 = require("../../src/core/errors");
const fake_model_1 = require("./fake-model");
const root = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-store-"));
let store;
let documents;
(0, node_test_1.before)(async () => {
    const spans = [{ start: 0, end: 2, label: "deduction" }];
    documents = (0, fake_model_1.fakeDocuments)(40).map((document, i) => (i % 4 ? document : { ...document, spans, split: i % 8 ? "train" : "heldout" }));
    const folder = (0, node_path_1.join)(root, "store");
    store = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks: ["layers.1", "layers.2"], folder, context: 32, shardRows: 150 });
});
(0, node_test_1.after)(() => {
    store.close();
    (0, node_fs_1.rmSync)(root, { recursive: true });
});
/** A copy of the store to be spoilt. */
let copies = 0;
const copy = () => {
    const to = (0, node_path_1.join)(root, `copy-${copies++}`);
    (0, node_fs_1.cpSync)(store.path, to, { recursive: true });
    return to;
};
const fails = async (path, message) => strict_1.default.rejects((0, store_1.openStore)(path), (error) => {
    strict_1.default.ok(error instanceof errors_1.StoreError, `${error.name}: ${error.message}`);
    strict_1.default.match(error.message, message);
    return true;
});
(0, node_test_1.test)("any range of rows reads the same as all rows at once, across shards", () => {
    strict_1.default.ok(store.manifest.shards.length >= 5);
    const all = store.read("layers.2", 0, store.rows);
    const origin = store.origin(0, store.rows);
    for (let from = 0; from <= store.rows; from += 37) {
        for (const length of [0, 1, 64, 149, 400]) {
            const to = Math.min(store.rows, from + length);
            strict_1.default.deepEqual(store.read("layers.2", from, to), all.slice(from * fake_model_1.WIDTH, to * fake_model_1.WIDTH));
            strict_1.default.deepEqual(store.origin(from, to).position, origin.position.slice(from, to));
        }
    }
});
(0, node_test_1.test)("what read gives is the caller's own", () => {
    const one = store.read("layers.1", 0, 2).fill(7);
    strict_1.default.notDeepEqual(store.read("layers.1", 0, 2), one);
});
(0, node_test_1.test)("documentRows counts the rows of each document", () => {
    const rows = store.documentRows();
    strict_1.default.equal(rows.length, documents.length + 1);
    strict_1.default.equal(rows[documents.length], store.rows);
    const { document } = store.origin(0, store.rows);
    for (let i = 0; i < documents.length; i++) {
        for (let row = rows[i]; row < rows[i + 1]; row++)
            strict_1.default.equal(document[row], i);
    }
});
(0, node_test_1.test)("documents and tokens come back whole, dropped positions included", () => {
    strict_1.default.deepEqual(store.documents(), documents);
    documents.forEach(({ text }, i) => {
        const { ids, start, end } = store.tokens(i);
        strict_1.default.equal(String.fromCharCode(...ids), text);
        strict_1.default.deepEqual([start[1], end[1]], [1, 2]);
    });
    strict_1.default.throws(() => store.tokens(40), errors_1.OptionError);
});
(0, node_test_1.test)("both sides of the split together are all rows, and no document is on both", () => {
    const sides = { train: (0, store_1.rowsOf)(store, "train"), heldout: (0, store_1.rowsOf)(store, "heldout") };
    const count = (ranges) => ranges.reduce((sum, { from, to }) => sum + to - from, 0);
    strict_1.default.equal(count(sides.train) + count(sides.heldout), store.rows);
    strict_1.default.deepEqual((0, store_1.rowsOf)(store, "all"), [{ from: 0, to: store.rows }]);
    const { document } = store.origin(0, store.rows);
    for (const { from, to } of sides.heldout) {
        for (let row = from; row < to; row++) {
            const { split } = documents[document[row]];
            const unnamed = documents.slice(0, document[row] + 1).filter((one) => !one.split).length;
            strict_1.default.ok(split === "heldout" || (!split && unnamed % 10 === 0));
        }
    }
    strict_1.default.equal(new Set(sides.heldout.flatMap(({ from, to }) => [...document.subarray(from, to)])).size, 5 + 3);
});
(0, node_test_1.test)("hooks are found in any spelling; with several one has to be named", () => {
    strict_1.default.equal(store.hook("blocks.2.hook_resid_post"), "layers.2");
    strict_1.default.deepEqual(store.read("model.layers.2", 3, 5), store.read("layers.2", 3, 5));
    strict_1.default.equal(store.width("layers.1"), fake_model_1.WIDTH);
    strict_1.default.throws(() => store.hook(), /has 2 \(layers\.1, layers\.2\)/);
    strict_1.default.throws(() => store.read("layers.0", 0, 1), /expected a hook of this store \(layers\.1, layers\.2\), found "layers\.0"/);
});
(0, node_test_1.test)("ranges outside of the store are refused", () => {
    for (const [from, to] of [[-1, 1], [2, 1], [0, store.rows + 1], [0.5, 2]]) {
        strict_1.default.throws(() => store.read("layers.1", from, to), errors_1.OptionError);
        strict_1.default.throws(() => store.origin(from, to), errors_1.OptionError);
    }
});
(0, node_test_1.test)("a model without tokenizer files makes a store that says so when asked for its tokenizer", () => {
    strict_1.default.throws(() => store.tokenizer, /expected the tokenizer's files, found none/);
});
(0, node_test_1.test)("a closed store says so", async () => {
    const other = await (0, store_1.openStore)(store.path);
    other.close();
    strict_1.default.throws(() => other.read("layers.1", 0, 1), /found that it was closed/);
});
(0, node_test_1.test)("what is missing, cut off, of another version or not a store is named", async () => {
    await fails((0, node_path_1.join)(root, "nowhere"), /nowhere: expected a folder with manifest\.json, found no such folder/);
    const cut = copy();
    (0, node_fs_1.truncateSync)((0, node_path_1.join)(cut, "shard-00002.safetensors"), 100);
    await fails(cut, /shard-00002\.safetensors: expected \d+ bytes, found 100 bytes.*run harvest again/);
    const lost = copy();
    (0, node_fs_1.rmSync)((0, node_path_1.join)(lost, "tokens.safetensors"));
    await fails(lost, /tokens\.safetensors: expected a file/);
    const spoil = async (change, message) => {
        const path = copy();
        const file = (0, node_path_1.join)(path, "manifest.json");
        const manifest = JSON.parse((0, node_fs_1.readFileSync)(file, "utf8"));
        (0, node_fs_1.writeFileSync)(file, JSON.stringify(change(manifest) ?? manifest));
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
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(text, "manifest.json"), "{");
    await fails(text, /expected JSON/);
});
(0, node_test_1.test)("the meter tells a rate over the last seconds, at most ten times a second and at the end", () => {
    let now = 100;
    const told = [];
    const tell = (0, progress_1.meter)("s", 1000, "tokens", (state) => void told.push(state), 200, () => now);
    for (let done = 200; done < 1000; done += 10) {
        now += done < 600 ? 0.02 : 0.2; // 500 a second, then 50
        tell(done, `${done}`);
    }
    strict_1.default.ok(told.every(({ total, unit, stage }) => total === 1000 && unit === "tokens" && stage === "s"));
    const fast = told.filter(({ done }) => done < 600);
    strict_1.default.ok(fast.length <= 9, `${fast.length} calls in 0.8 s`);
    strict_1.default.ok(Math.abs(fast.at(-1).rate - 500) < 15, "what was there before does not count");
    const slow = told.at(-1);
    strict_1.default.ok(Math.abs(slow.rate - 50) < 5, "the fast beginning is forgotten");
    strict_1.default.ok(Math.abs(slow.secondsLeft - (1000 - slow.done) / 50) < 1);
    tell(1000);
    strict_1.default.deepEqual([told.at(-1).done, told.at(-1).secondsLeft], [1000, 0]);
});
//# sourceMappingURL=store.test.js.map