"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_crypto_1 = require("node:crypto");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const harvest_1 = require("../../src/adapters/harvest");
const model_1 = require("../../src/adapters/model");
const store_1 = require("../../src/adapters/store");
const errors_1 = require("../../src/core/errors");
const files_1 = require("../../src/adapters/files");
const safetensors_1 = require("../../src/core/safetensors");
const fake_model_1 = require("./fake-model");
const harvest_child_1 = require("./harvest-child");
const root = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-harvest-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(root, { recursive: true }));
let folders = 0;
const fresh = () => (0, node_path_1.join)(root, `${folders++}`);
const digest = (folder) => Object.fromEntries((0, node_fs_1.readdirSync)(folder).sort().map((name) => [name, (0, node_crypto_1.createHash)("sha256").update((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, name))).digest("hex")]));
const fails = (work, type, message) => strict_1.default.rejects(work, (error) => {
    strict_1.default.ok(error instanceof type, `${error.name}: ${error.message}`);
    strict_1.default.match(error.message, message);
    return true;
});
(0, node_test_1.test)("every row is where it should be: document order, sinks dropped and counted, offsets kept", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(120);
    const context = 32;
    const hooks = ["blocks.1.hook_resid_post", "layers.1.mlp"];
    const store = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks, folder: fresh(), context, batchTokens: 100, shardRows: 700 });
    strict_1.default.deepEqual(store.manifest.hooks.map(({ name, width }) => [name, width]), [["layers.1", fake_model_1.WIDTH], ["layers.1.mlp", fake_model_1.WIDTH]]);
    strict_1.default.ok(store.manifest.shards.length > 4);
    const want = [];
    let first = 0;
    let norm = 0;
    documents.forEach(({ text }, document) => {
        for (let position = 0; position < text.length; position++) {
            const id = text.charCodeAt(position);
            if (position % context === 0)
                first++;
            else if (id === fake_model_1.SINK)
                norm++; // long in layers.1 only, dropped from both
            else {
                const [x, mlp] = ["layers.1", "layers.1.mlp"].map((hook) => (0, fake_model_1.fakeRow)(hook, id, position % context));
                want.push({ document, position, id, x, mlp });
            }
        }
    });
    strict_1.default.ok(norm > 20, "the texts hold sinks");
    strict_1.default.deepEqual(store.manifest.dropped, { first, norm });
    strict_1.default.equal(store.rows, want.length);
    const origin = store.origin(0, store.rows);
    strict_1.default.deepEqual([...origin.document], want.map(({ document }) => document));
    strict_1.default.deepEqual([...origin.position], want.map(({ position }) => position));
    strict_1.default.deepEqual([...origin.token], want.map(({ id }) => id));
    const x = store.read("layers.1", 0, store.rows);
    const mlp = store.read("layers.1.mlp", 0, store.rows);
    want.forEach((row, i) => {
        strict_1.default.deepEqual(x.subarray(i * fake_model_1.WIDTH, (i + 1) * fake_model_1.WIDTH), row.x);
        strict_1.default.deepEqual(mlp.subarray(i * fake_model_1.WIDTH, (i + 1) * fake_model_1.WIDTH), row.mlp);
    });
    strict_1.default.equal(store.manifest.texts.tokens, documents.reduce((sum, { text }) => sum + text.length, 0));
    strict_1.default.deepEqual([...store.tokens(7).ids], [...documents[7].text].map((c) => c.charCodeAt(0)));
    store.close();
    // offsets of each row stand in the shard itself
    const { file, rows } = store.manifest.shards[1];
    const source = (0, files_1.fileSource)((0, node_path_1.join)(store.path, file));
    const { tensors } = (0, safetensors_1.readHeader)(source, file);
    const start = (0, safetensors_1.readInts)(source, tensors.get("start"));
    const end = (0, safetensors_1.readInts)(source, tensors.get("end"));
    const before = store.manifest.shards[0].rows;
    for (let i = 0; i < rows; i++)
        strict_1.default.deepEqual([start[i], end[i]], [want[before + i].position, want[before + i].position + 1]);
    source.close();
});
(0, node_test_1.test)("a token that the tokenizer puts before a text is read before each context, and gives no row there", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(60);
    const BOS = 7, context = 16;
    const { tokenizer, ...model } = (0, fake_model_1.fakeModel)();
    const before = (first, rest) => Int32Array.from([first, ...rest]);
    const withBos = { ...model, tokenizer: {
            ...tokenizer,
            isSpecial: (id) => id === BOS,
            encode(text) {
                const { ids, start, end } = tokenizer.encode(text);
                return { ids: before(BOS, ids), start: before(0, start), end: before(0, end) };
            },
        } };
    const store = await (0, harvest_1.harvest)(withBos, documents, { hooks: ["layers.2"], folder: fresh(), context, batchTokens: 60, shardRows: 200 });
    const rows = [], origin = [];
    documents.forEach(({ text }, document) => {
        for (let position = 1; position <= text.length; position++) {
            const id = text.charCodeAt(position - 1);
            // the first context holds 16 positions, its own <s> among them; later ones 15, each behind another <s>
            const place = position < context ? position : 1 + (position - context) % (context - 1);
            rows.push([...(0, fake_model_1.fakeRow)("layers.2", id, place)]);
            origin.push([document, position, id]);
        }
    });
    strict_1.default.deepEqual(store.manifest.dropped, { first: documents.length, norm: 0 });
    strict_1.default.ok(documents.some(({ text }) => text.length > 3 * context), "some documents have many contexts");
    const found = store.origin(0, store.rows);
    strict_1.default.deepEqual(Array.from(found.token, (token, i) => [found.document[i], found.position[i], token]), origin);
    strict_1.default.deepEqual([...store.read("layers.2", 0, store.rows)], rows.flat());
    const folder = fresh();
    await fails((0, harvest_1.harvest)(withBos, documents, { hooks: ["layers.2"], folder, context: 1, dropFirst: false }), errors_1.OptionError, /at least 2 tokens, as the tokenizer puts 1 before a text, found 1/);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
});
(0, node_test_1.test)("drop rules can be switched off", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(20);
    const tokens = documents.reduce((sum, { text }) => sum + text.length, 0);
    const store = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks: ["layers.1"], folder: fresh(), dropFirst: false, dropNorm: false });
    strict_1.default.equal(store.rows, tokens);
    strict_1.default.deepEqual(store.manifest.dropped, { first: 0, norm: 0 });
    // without dropFirst the first positions count in the median and fall by their norm
    const byNorm = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks: ["layers.0"], folder: fresh(), dropFirst: false });
    strict_1.default.deepEqual(byNorm.manifest.dropped, { first: 0, norm: documents.length });
});
(0, node_test_1.test)("batches stay within their budget, padding included, and two are on their way at most", async () => {
    let running = 0;
    let most = 0;
    const model = (0, fake_model_1.fakeModel)({
        onRun: (lengths) => {
            strict_1.default.ok(lengths.length * Math.max(...lengths) <= 128);
            most = Math.max(most, ++running);
        },
    });
    const run = model.run;
    model.run = async (...rest) => {
        try {
            const result = await run(...rest);
            await new Promise((resolve) => setTimeout(resolve, 1));
            return result;
        }
        finally {
            running--;
        }
    };
    await (0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(60), { hooks: ["layers.0"], folder: fresh(), context: 40, batchTokens: 128, shardRows: 400 });
    strict_1.default.equal(most, 2);
});
(0, node_test_1.test)("progress counts tokens up to all of them, with a rate", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(80);
    const tokens = documents.reduce((sum, { text }) => sum + text.length, 0);
    const told = [];
    const progress = (state) => void told.push(state);
    await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)({ delay: 2 }), documents, { hooks: ["layers.0"], folder: fresh(), batchTokens: 64, shardRows: 512, progress });
    const harvested = told.filter(({ stage }) => stage === "harvest");
    strict_1.default.ok(told.some(({ stage, done, total }) => stage === "tokenize" && done === total));
    const last = harvested.at(-1);
    strict_1.default.deepEqual([last.done, last.total, last.unit, last.secondsLeft], [tokens, tokens, "tokens", 0]);
    strict_1.default.ok(last.rate > 0);
    harvested.forEach(({ done }, i) => strict_1.default.ok(!i || done > harvested[i - 1].done));
});
/** A run in another process that has made so many shards and stands still. */
async function standingChild(folder, shards) {
    const child = (0, node_child_process_1.spawn)(process.execPath, [(0, node_path_1.join)(__dirname, "harvest-child.js"), folder, "512", `${shards}`], { stdio: "inherit" });
    (0, node_test_1.after)(() => child.kill("SIGKILL")); // nothing to do where the test came to its end
    const ended = new Promise((resolve) => child.on("exit", (_, signal) => resolve(signal)));
    const made = () => {
        const state = (0, store_1.readState)(folder);
        return state.kind === "unfinished" ? state.manifest.shards.filter(Boolean).length : -1;
    };
    while (made() !== shards) {
        strict_1.default.equal(child.exitCode, null, "the child ran to its end");
        await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return {
        pid: child.pid,
        async kill() {
            child.kill("SIGKILL");
            strict_1.default.equal(await ended, "SIGKILL");
        },
    };
}
(0, node_test_1.test)("one process at a time in a folder: the second is told who is at work; a dead one's lock is taken over", async () => {
    const folder = fresh();
    const documents = (0, fake_model_1.fakeDocuments)(300);
    const options = { hooks: ["layers.1", "layers.1.mlp"], folder, context: 32, batchTokens: 64, shardRows: 512 };
    const child = await standingChild(folder, 1);
    const before = digest(folder);
    const refused = (0, fake_model_1.fakeModel)({ onRun: () => strict_1.default.fail("the model ran") });
    await fails((0, harvest_1.harvest)(refused, documents, options), errors_1.StoreError, new RegExp(`expected no other harvest in this folder, found one at work: process ${child.pid}, since 20.*delete .*harvest\\.lock`));
    await fails((0, harvest_1.harvest)(refused, documents, { ...options, resume: false }), errors_1.StoreError, /found one at work/);
    strict_1.default.deepEqual(digest(folder), before, "nothing of the other's was touched");
    await child.kill();
    let open = () => { };
    const gate = new Promise((resolve) => (open = resolve));
    const both = [1, 2].map(() => (0, harvest_1.harvest)((0, fake_model_1.fakeModel)({ onRun: () => gate }), documents, options)); // whichever comes first waits for the other's end
    await fails(Promise.race(both), errors_1.StoreError, new RegExp(`process ${process.pid}, since`));
    open();
    strict_1.default.deepEqual((await Promise.allSettled(both)).map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    strict_1.default.ok(!(0, node_fs_1.existsSync)((0, node_path_1.join)(folder, "harvest.lock")));
    const whole = fresh();
    await (0, harvest_child_1.childRun)(whole);
    strict_1.default.deepEqual(digest(folder), digest(whole));
});
(0, node_test_1.test)("a lock: another machine's is kept, a number that another process has by now is not", async () => {
    const folder = fresh();
    (0, node_fs_1.mkdirSync)(folder);
    const lock = (0, node_path_1.join)(folder, "harvest.lock");
    const work = () => (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), (0, fake_model_1.fakeDocuments)(5), { hooks: ["layers.1"], folder });
    const since = "2026-01-01T00:00:00.000Z";
    (0, node_fs_1.writeFileSync)(lock, JSON.stringify({ pid: 1, host: "elsewhere.example", started: null, since }));
    await fails(work(), errors_1.StoreError, /process 1 on elsewhere\.example, since 2026-01-01/);
    (0, node_fs_1.writeFileSync)(lock, "");
    await fails(work(), errors_1.StoreError, /whose name is not in it yet/);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder), ["harvest.lock"]);
    (0, node_fs_1.writeFileSync)(lock, JSON.stringify({ pid: process.pid, host: (0, node_os_1.hostname)(), started: "1", since })); // started with the machine
    await work();
    strict_1.default.ok(!(0, node_fs_1.existsSync)(lock));
});
(0, node_test_1.test)("texts that were labelled anew keep their rows; hooks may come in another order", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(40);
    const folder = fresh();
    const options = { hooks: ["layers.1", "layers.2.mlp"], folder, context: 32, shardRows: 256 };
    await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, options);
    const before = digest(folder);
    const still = (0, fake_model_1.fakeModel)({ onRun: () => strict_1.default.fail("the model ran") });
    const labelled = documents.map((document, i) => ({ ...document, spans: [{ start: 0, end: 1, label: "a" }], split: i % 2 ? "train" : "heldout" }));
    const store = await (0, harvest_1.harvest)(still, labelled, { ...options, hooks: ["layers.2.mlp", "blocks.1.hook_resid_post"] });
    strict_1.default.deepEqual(store.documents(), labelled);
    const { "documents.jsonl": was, ...others } = before;
    const { "documents.jsonl": is, ...same } = digest(folder);
    strict_1.default.deepEqual(same, others);
    strict_1.default.notEqual(is, was);
    await (0, harvest_1.harvest)(still, documents, options);
    strict_1.default.deepEqual(digest(folder), before);
    await fails((0, harvest_1.harvest)(still, documents.map((d) => ({ ...d, text: `${d.text}x` })), options), errors_1.StoreError, /found another: texts is/);
});
(0, node_test_1.test)("a stopped run goes on with its hooks in another order, and ends with the same bytes", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(300);
    const options = { folder: fresh(), context: 32, batchTokens: 64, shardRows: 512 };
    const child = await standingChild(options.folder, 2);
    await child.kill();
    await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { ...options, hooks: ["layers.1.mlp", "layers.1"] });
    const whole = fresh();
    await (0, harvest_child_1.childRun)(whole);
    strict_1.default.deepEqual(digest(options.folder), digest(whole));
});
(0, node_test_1.test)("a run killed in its middle goes on and ends with the same bytes", async () => {
    const whole = fresh();
    await (0, harvest_child_1.childRun)(whole);
    const killed = fresh();
    for (const shards of [2, 4]) { // the second run goes on after the first
        const child = await standingChild(killed, shards);
        await child.kill();
    }
    await fails((0, store_1.openStore)(killed), errors_1.StoreError, /expected a finished store, found one that was stopped: \d+ of 300 documents \(4 of \d+ shards\).*Run harvest again/);
    // one shard is cut off and half a shard lies about, as after a crash of the machine
    (0, node_fs_1.truncateSync)((0, node_path_1.join)(killed, "shard-00001.safetensors"), 1000);
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(killed, ".shard-00005.safetensors.4194305.abc.part"), "half"); // a number no process has: past Linux' largest
    const before = (0, node_fs_1.statSync)((0, node_path_1.join)(killed, "shard-00002.safetensors")).mtimeMs;
    let passes = 0;
    const model = (0, fake_model_1.fakeModel)({ onRun: () => passes++ });
    const options = { hooks: ["layers.1", "layers.1.mlp"], folder: killed, context: 32, batchTokens: 64, shardRows: 512 };
    const store = await (0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(300), options);
    strict_1.default.deepEqual(digest(killed), digest(whole));
    strict_1.default.equal((0, node_fs_1.statSync)((0, node_path_1.join)(killed, "shard-00002.safetensors")).mtimeMs, before, "a whole shard is taken over");
    store.close();
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(killed, "unfinished.json"), (0, node_fs_1.readFileSync)((0, node_path_1.join)(killed, "manifest.json"))); // as if killed just before it was removed
    const once = passes;
    await (0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(300), options);
    strict_1.default.equal(passes, once, "a finished store is opened, not made again");
    strict_1.default.deepEqual(digest(killed), digest(whole));
    (0, node_fs_1.rmSync)((0, node_path_1.join)(killed, "shard-00002.safetensors"));
    await fails((0, store_1.openStore)(killed), errors_1.StoreError, /shard-00002\.safetensors: expected \d+ bytes, found no such file/);
    await (0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(300), options);
    strict_1.default.ok(passes > once && passes < 2 * once, "only the lost shard is made again");
    strict_1.default.deepEqual(digest(killed), digest(whole));
    await (0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(300), { ...options, resume: false });
    strict_1.default.deepEqual(digest(killed), digest(whole));
});
(0, node_test_1.test)("an interrupt keeps whole shards and says how many documents they hold", async () => {
    const flag = (globalThis[Symbol.for("saelab.interrupt")] ??= { requested: false });
    const folder = fresh();
    let passes = 0;
    const model = (0, fake_model_1.fakeModel)({ onRun: () => (flag.requested = ++passes === 40) });
    const options = { hooks: ["layers.1"], folder, context: 32, batchTokens: 64, shardRows: 512 };
    try {
        await fails((0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(300), options), errors_1.InterruptError, /Interrupted\. ([1-9]\d*) of 300 documents are kept in .*: run harvest again to go on/);
    }
    finally {
        flag.requested = false;
    }
    await fails((0, store_1.openStore)(folder), errors_1.StoreError, /was stopped/);
    const taken = [];
    const progress = ({ stage, done }) => void (stage === "harvest" && taken.push(done));
    const store = await (0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(300), { ...options, progress });
    strict_1.default.ok(taken[0] > 512, "what was kept counts as done");
    strict_1.default.equal(store.documents().length, 300);
    const early = fresh();
    const second = (0, fake_model_1.fakeModel)({ onRun: () => (flag.requested = true) });
    try {
        await fails((0, harvest_1.harvest)(second, (0, fake_model_1.fakeDocuments)(300), { ...options, folder: early }), errors_1.InterruptError, /nothing is kept/);
    }
    finally {
        flag.requested = false;
    }
    strict_1.default.ok(!(0, node_fs_1.existsSync)(early), "a folder without a whole shard is taken away");
});
(0, node_test_1.test)("bad input is refused before the model runs, and leaves nothing", async () => {
    let passes = 0;
    const model = (0, fake_model_1.fakeModel)({ onRun: () => passes++ });
    const documents = (0, fake_model_1.fakeDocuments)(5);
    const folder = fresh();
    const hooks = ["layers.1"];
    await fails((0, harvest_1.harvest)(model, documents, { hooks: ["layers.7"], folder }), errors_1.HookError, /blocks 0 to 2/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks: [], folder }), errors_1.OptionError, /at least one hook/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks: ["layers.1", "blocks.1.hook_resid_post"], folder }), errors_1.OptionError, /which are one place/);
    await fails((0, harvest_1.harvest)(model, [], { hooks, folder }), errors_1.TextError, /at least one document/);
    await fails((0, harvest_1.harvest)(model, [...documents, { id: "e", text: "", spans: [] }], { hooks, folder }), errors_1.TextError, /documents\[5\] \("e"\)/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder, context: 0 }), errors_1.OptionError, /context: expected a whole number/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder, context: 1 }), errors_1.OptionError, /2 tokens or more/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder, batchTokens: 1.5 }), errors_1.OptionError, /batchTokens/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder, shardRows: -1 }), errors_1.OptionError, /shardRows/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder, dropNorm: 0.5 }), errors_1.OptionError, /dropNorm/);
    strict_1.default.equal(passes, 0);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
    const foreign = fresh();
    (0, node_fs_1.mkdirSync)(foreign);
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(foreign, "thesis.tex"), "mine");
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder: foreign }), errors_1.StoreError, /expected an empty folder or a store, found thesis\.tex/);
    await fails((0, harvest_1.harvest)(model, documents, { hooks, folder: (0, node_path_1.join)(foreign, "thesis.tex") }), errors_1.StoreError, /thesis\.tex/);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(foreign), ["thesis.tex"]);
});
(0, node_test_1.test)("a folder that holds another store is refused, with what differs", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(12);
    const folder = fresh();
    const options = { hooks: ["layers.1"], folder, context: 32 };
    await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, options);
    const before = digest(folder);
    const changed = [
        [documents, {}, "b".repeat(64), /found another: model is aaaaaaaaaaaa…, asked for was bbbbbbbbbbbb…\./],
        [documents.slice(1), {}, undefined, /found another: texts is /],
        [documents, { hooks: ["layers.2"] }, undefined, /found another: hooks is "layers\.1", asked for was "layers\.2"\./],
        [documents, { context: 16, dropNorm: 5 }, undefined, /context is 32, asked for was 16; dropNorm is 10, asked for was 5/],
        [documents, { context: 16, resume: false }, undefined, /context is 32/],
    ];
    for (const [texts, more, hash, message] of changed) {
        await fails((0, harvest_1.harvest)((0, fake_model_1.fakeModel)({ hash }), texts, { ...options, ...more }), errors_1.StoreError, message);
    }
    strict_1.default.deepEqual(digest(folder), before);
});
(0, node_test_1.test)("an activation that is not finite is named by document and position, and nothing is left", async () => {
    const documents = (0, fake_model_1.fakeDocuments)(30);
    documents[17].text = "abcdef#gh";
    const folder = fresh();
    await fails((0, harvest_1.harvest)((0, fake_model_1.fakeModel)({ poison: "#".charCodeAt(0) }), documents, { hooks: ["layers.1"], folder, batchTokens: 64 }), errors_1.ModelError, /layers\.1: expected finite activations, found NaN at document 17 \("doc 17"\), position 6\./);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
});
(0, node_test_1.test)("texts of which nothing is left are refused", async () => {
    const folder = fresh();
    await fails((0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), [{ id: "a", text: "x", spans: [] }], { hooks: ["layers.1"], folder }), errors_1.TextError, /all 1 tokens are dropped/);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
});
(0, node_test_1.test)("a disk too small is noticed before the model runs", async () => {
    // rows of 2⁴⁰ numbers: more than any disk takes
    const model = (0, fake_model_1.fakeModel)({ onRun: () => strict_1.default.fail("the model ran") });
    const hooks = model.hooks().map((hook) => ({ ...hook, width: 2 ** 40 }));
    model.hooks = () => hooks;
    const folder = fresh();
    await fails((0, harvest_1.harvest)(model, (0, fake_model_1.fakeDocuments)(100), { hooks: ["layers.1"], folder }), errors_1.DiskError, /free/);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
});
(0, node_test_1.test)("a disk that takes no more in the middle of the run ends it with the remedy, and nothing is left", () => {
    const folder = fresh();
    // files may grow to 200 KB (400 KB where a block is 1,024 bytes): texts and tokens fit, the first shard of some 700 KB does not
    const child = [process.execPath, (0, node_path_1.join)(__dirname, "harvest-child.js"), folder, "100000"];
    const { status, stderr } = (0, node_child_process_1.spawnSync)("sh", ["-c", 'ulimit -f 400; exec "$@"', "sh", ...child]);
    strict_1.default.equal(status, 1);
    strict_1.default.match(`${stderr}`, /DiskError: .*shard-00000\.safetensors: expected to write it, found EFBIG\. .*choose another disk/);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
});
(0, node_test_1.test)("without a folder the store lies in .saelab/stores under a name made of its content", async () => {
    const here = process.cwd();
    const place = fresh();
    (0, node_fs_1.mkdirSync)(place);
    process.chdir(place);
    try {
        const documents = (0, fake_model_1.fakeDocuments)(5);
        const one = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks: ["layers.1"] });
        const same = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks: ["blocks.1.hook_resid_post"] });
        const other = await (0, harvest_1.harvest)((0, fake_model_1.fakeModel)(), documents, { hooks: ["layers.1"], context: 16 });
        strict_1.default.match(one.path, /^\.saelab\/stores\/[0-9a-f]{16}$/);
        strict_1.default.equal(same.path, one.path);
        strict_1.default.notEqual(other.path, one.path);
        strict_1.default.deepEqual([...one.read("layers.1", 0, 1)], [...same.read("layers.1", 0, 1)]);
    }
    finally {
        process.chdir(here);
    }
});
(0, node_test_1.test)("rows of a real model are PyTorch's, whatever else is in the batch, and its tokenizer travels with them", async () => {
    const folder = (0, node_path_1.join)(__dirname, "..", "..", "..", "test", "oracle", "models", "qwen2");
    const golden = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "golden.json"), "utf8"));
    const source = (0, files_1.fileSource)((0, node_path_1.join)(folder, "golden.safetensors"));
    const { tensors } = (0, safetensors_1.readHeader)(source, "golden.safetensors");
    const documents = golden.prompts.map(({ text }, i) => ({ id: `${i}`, text, spans: [] }));
    const model = await (0, model_1.openModel)(folder, { threads: 1 });
    const hooks = [["layers.1", "resid_post.1"], ["layers.2.mlp", "mlp_out.2"]];
    const store = await (0, harvest_1.harvest)(model, documents, { hooks: hooks.map(([name]) => name), folder: fresh(), dropFirst: false, dropNorm: false });
    await model.close();
    const rows = store.documentRows();
    golden.prompts.forEach(({ text, ids }, k) => {
        strict_1.default.deepEqual([...store.tokens(k).ids], ids);
        strict_1.default.equal(store.tokenizer.decode(ids), text);
        strict_1.default.deepEqual([...store.origin(rows[k], rows[k + 1]).token], ids);
        for (const [hook, tensor] of hooks) {
            const want = (0, safetensors_1.readFloats)(source, tensors.get(`p${k}.${tensor}`));
            const got = store.read(hook, rows[k], rows[k + 1]);
            strict_1.default.equal(got.length, want.length);
            const most = want.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
            // float32 sums in another order: 3 blocks of width 64
            got.forEach((value, i) => strict_1.default.ok(Math.abs(value - want[i]) <= 1e-5 * most, `${hook}, prompt ${k}: ${value}, not ${want[i]}`));
        }
    });
    source.close();
    store.close();
});
//# sourceMappingURL=harvest.test.js.map