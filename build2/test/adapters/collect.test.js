"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const collect_1 = require("../../src/adapters/collect");
const features_1 = require("../../src/adapters/features");
const show_1 = require("../../src/adapters/show");
const table_1 = require("../../src/adapters/table");
const errors_1 = require("../../src/core/errors");
const synthetic_1 = require("./synthetic");
const root = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-collect-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(root, { recursive: true, force: true }));
(0, node_test_1.test)("collects what was planted, and opens again the same", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)();
    const folder = (0, node_path_1.join)(root, "planted");
    const features = await (0, collect_1.collect)(store, sae, { folder });
    const codes = sae.encode(store.read("layers.1", 0, store.rows));
    for (const latent of [0, 1, 2, 5, 30, 31]) {
        const feature = features.feature(latent);
        const values = Array.from({ length: codes.n * codes.k }, (_, i) => codes.index[i] === latent ? codes.value[i] : 0).filter((v) => v > 0);
        strict_1.default.equal(feature.density, values.length / store.rows);
        strict_1.default.equal(feature.max, Math.max(0, ...values));
        if (feature.top.length)
            strict_1.default.equal(feature.top[0].values[feature.top[0].peak], feature.max);
        for (const { tokens, document, position, values: shown, peak, goesOn } of feature.top) {
            strict_1.default.equal(goesOn, position + tokens.length < store.tokens(document).ids.length);
            strict_1.default.deepEqual(tokens, store.tokens(document).ids.slice(position, position + tokens.length));
            strict_1.default.ok(shown[peak] > 0);
            strict_1.default.equal(Math.max(...shown.subarray(Math.max(0, peak - 16), peak + 17)), shown[peak]);
        }
    }
    const wait = features.feature(1);
    strict_1.default.ok(wait.top.every(({ tokens, peak }) => synthetic_1.words[tokens[peak]] === " wait"));
    strict_1.default.equal(wait.triggers[0].text, " wait");
    strict_1.default.ok(wait.entropy < 0.5 && features.feature(0).entropy > 3);
    strict_1.default.equal(features.feature(31).density, 0);
    strict_1.default.deepEqual(features.feature(31).top, []);
    const again = await (0, features_1.openFeatures)(folder);
    for (const latent of [0, 1, 31])
        strict_1.default.deepEqual(again.feature(latent).top, features.feature(latent).top);
    strict_1.default.deepEqual(again.codes(100, 200), {
        n: 100,
        k: 6,
        index: codes.index.slice(600, 1200),
        value: codes.value.slice(600, 1200),
    });
    strict_1.default.equal(again.feature(0)[show_1.DISPLAY]()["text/html"], features.feature(0)[show_1.DISPLAY]()["text/html"]);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(root), ["planted"]);
    features.close();
    again.close();
});
(0, node_test_1.test)("top leaves dead and dense latents out, orders by what is asked, takes latents by number", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)();
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "top") });
    const top = features.top({ count: 100 });
    strict_1.default.ok(top.length > 10 && !top.some(({ latent }) => latent === 31));
    strict_1.default.ok(top.every(({ density }) => density > 0 && density <= 0.1));
    strict_1.default.deepEqual(top.map(({ max }) => max), top.map(({ max }) => max).sort((a, b) => b - a));
    strict_1.default.deepEqual(features.top({ by: "entropy", count: 3 }).map(({ entropy }) => entropy), [...features.top({ by: "entropy", count: 40 })]
        .map(({ entropy }) => entropy)
        .sort((a, b) => a - b)
        .slice(0, 3));
    strict_1.default.deepEqual(features.top({ latents: [7, 31, 0], examples: 2 }).map(({ latent, top: best }) => [latent, best.length]), [
        [7, 2],
        [31, 0],
        [0, 2],
    ]);
    strict_1.default.throws(() => features.top({ by: "beauty" }), errors_1.OptionError);
    strict_1.default.throws(() => features.feature(32), errors_1.OptionError);
    features.close();
});
(0, node_test_1.test)("a part of a list of features shows as the whole does; a table lists them", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 8 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "part") });
    const some = features.top().filter(({ latent }) => latent > 4);
    strict_1.default.match((0, show_1.heatMap)(some)[show_1.DISPLAY]()["text/html"], / wait/);
    strict_1.default.match((0, show_1.heatMap)(features)[show_1.DISPLAY]()["text/html"], /latent 1</);
    strict_1.default.match((0, show_1.heatMap)([])[show_1.DISPLAY]()["text/html"], /No feature to show/);
    const text = (0, table_1.featureTable)(features, { latents: [1, 31] })[show_1.DISPLAY]()["text/plain"];
    strict_1.default.match(text, /latent +density.*\n +1 .* wait.*\n +31 +0 +0/);
    features.close();
});
(0, node_test_1.test)("one side of the split only", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)();
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "heldout"), split: "heldout" });
    strict_1.default.ok(features.rows < store.rows / 3);
    strict_1.default.ok(features.feature(0).top.every(({ document }) => document % 4 === 3));
    const { from, to } = features.manifest.ranges[1];
    const first = features.manifest.ranges[0].to - features.manifest.ranges[0].from;
    strict_1.default.deepEqual(features.codes(first, first + to - from), sae.encode(store.read("layers.1", from, to)));
    features.close();
});
(0, node_test_1.test)("the table holds a row a latent", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 6 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "table") });
    const table = features.table();
    strict_1.default.deepEqual(table.shape, [32, 7]);
    const sorted = table.sortValues("density", { ascending: false });
    const density = sorted.column("density").values;
    strict_1.default.deepEqual(density, [...density].sort((a, b) => b - a));
    const bundle = sorted[show_1.DISPLAY]();
    strict_1.default.match(bundle["text/html"], /the first 20 of 32 rows/);
    features.close();
});
(0, node_test_1.test)("an interrupt leaves nothing behind, not even a folder", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)();
    const flag = (globalThis[Symbol.for("saelab.interrupt")] ??= { requested: false });
    const folder = (0, node_path_1.join)(root, "interrupted");
    try {
        await strict_1.default.rejects((0, collect_1.collect)(store, { ...sae, encode: (x) => ((flag.requested = true), sae.encode(x)) }, { folder }), errors_1.InterruptError);
    }
    finally {
        flag.requested = false;
    }
    strict_1.default.ok(!(0, node_fs_1.readdirSync)(root).some((name) => name.includes("interrupted")));
});
(0, node_test_1.test)("progress ends with all rows and all latents", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 6 });
    const seen = [];
    const features = await (0, collect_1.collect)(store, sae, {
        folder: (0, node_path_1.join)(root, "progress"),
        progress: ({ stage, done, total }) => seen.push(`${stage} ${done}/${total}`),
    });
    strict_1.default.ok(seen.includes(`collect ${store.rows}/${store.rows}`));
    strict_1.default.ok(seen.includes("collect: examples 32/32"));
    features.close();
});
(0, node_test_1.test)("bad input is refused before anything is written", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 4 });
    const folder = (0, node_path_1.join)(root, "refused");
    const wide = { ...sae, weights: { ...sae.weights, d: 7 } };
    await strict_1.default.rejects((0, collect_1.collect)(store, wide, { folder }), (error) => error instanceof errors_1.OptionError && /width 7.*found 32/s.test(error.message));
    for (const options of [{ examples: 0 }, { context: -1 }, { random: 1.5 }, { split: "test" }]) {
        await strict_1.default.rejects((0, collect_1.collect)(store, sae, { folder, ...options }), errors_1.OptionError);
    }
    const noDocuments = {
        ...store,
        documents: () => store.documents().map((document) => ({ ...document, split: "train" })),
    };
    await strict_1.default.rejects((0, collect_1.collect)(noDocuments, sae, { folder, split: "heldout" }), errors_1.StoreError);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(root, "notes.txt"), "mine");
    await strict_1.default.rejects((0, collect_1.collect)(store, sae, { folder: root }), /found other files/);
    (0, node_fs_1.unlinkSync)((0, node_path_1.join)(root, "notes.txt"));
});
(0, node_test_1.test)("another store is refused: other rows, settings or hooks, and says which differ", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 4 });
    const folder = (0, node_path_1.join)(root, "another");
    (await (0, collect_1.collect)(store, sae, { folder })).close();
    const { manifest } = store;
    const others = [
        [{ ...store, rows: store.rows - 1 }, /rows \d+ instead of \d+/],
        [{ ...store, manifest: { ...manifest, settings: { context: 64 } } }, /context 64 instead of undefined/],
        [{ ...store, manifest: { ...manifest, hooks: [{ ...manifest.hooks[0], name: "layers.0" }] } }, /no hook layers\.1/],
        [{ ...store, manifest: { ...manifest, model: { ...manifest.model, sha256: "n" } } }, /model n instead of m/],
    ];
    for (const [other, says] of others) {
        const features = await (0, features_1.openFeatures)(folder, { store: other });
        await strict_1.default.rejects(features.store(), (error) => error instanceof errors_1.StoreError && says.test(error.message));
        features.close();
    }
    const same = await (0, features_1.openFeatures)(folder, { store });
    strict_1.default.equal(await same.store(), store);
    same.close();
    // and the default folder keeps them apart
    const path = (0, node_path_1.join)(root, "defaults");
    const one = await (0, collect_1.collect)({ ...store, path }, sae);
    const two = await (0, collect_1.collect)({ ...store, path, manifest: { ...manifest, settings: { context: 64 } } }, sae);
    strict_1.default.notEqual(one.path, two.path);
    one.close();
    two.close();
});
(0, node_test_1.test)("a store without its tokenizer or documents is refused before the work", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 4 });
    const gone = () => {
        throw new errors_1.StoreError("gone");
    };
    const encode = () => strict_1.default.fail("encoded");
    const folder = (0, node_path_1.join)(root, "early");
    const without = [
        Object.defineProperty({ ...store }, "tokenizer", { get: gone }),
        { ...store, documents: gone },
    ];
    for (const one of without)
        await strict_1.default.rejects((0, collect_1.collect)(one, { ...sae, encode }, { folder }), /gone/);
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
});
(0, node_test_1.test)("activations that are no numbers: store, hook, row, document", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 4 });
    const read = (hook, from, to) => {
        const x = store.read(hook, from, to);
        if (from <= 50 && 50 < to)
            x[(50 - from) * 32 + 7] = Infinity;
        return x;
    };
    const folder = (0, node_path_1.join)(root, "infinite");
    await strict_1.default.rejects((0, collect_1.collect)({ ...store, read }, sae, { folder }), (error) => error instanceof errors_1.StoreError && /^synthetic: layers\.1: row 50 \(document "doc-0", token 51\).*Infinity/.test(error.message));
    strict_1.default.ok(!(0, node_fs_1.readdirSync)(root).some((name) => name.includes("infinite")));
});
(0, node_test_1.test)("what killed collections left is removed, a family moved aside put back; living ones are let be", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 4 });
    const inside = (0, node_path_1.join)(root, "leftovers");
    const folder = (0, node_path_1.join)(inside, "f");
    (await (0, collect_1.collect)(store, sae, { folder })).close();
    const dead = (0, node_child_process_1.spawnSync)(process.execPath, ["-e", ""]).pid;
    for (const name of [`.f.${dead}-1.part`, `.f.${process.pid}-0.part`, `.f.${process.ppid}-1.part`, ".g.1.part"])
        (0, node_fs_1.mkdirSync)((0, node_path_1.join)(inside, name));
    (0, node_fs_1.renameSync)(folder, (0, node_path_1.join)(inside, `.f.${dead}-2.part.old`)); // killed between the two renames
    (await (0, features_1.openFeatures)(folder)).close();
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(inside).sort(), [`.f.${process.ppid}-1.part`, ".g.1.part", "f"].sort());
    (0, node_fs_1.mkdirSync)((0, node_path_1.join)(inside, `.f.${dead}-3.part.old`)); // killed after the second one
    const [one, two] = await Promise.all([(0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(inside, "a") }), (0, collect_1.collect)(store, sae, { folder })]);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(inside).sort(), [`.f.${process.ppid}-1.part`, ".g.1.part", "a", "f"].sort());
    one.close();
    two.close();
});
(0, node_test_1.test)("a damaged family says what is wrong", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 4 });
    const folder = (0, node_path_1.join)(root, "damaged");
    (await (0, collect_1.collect)(store, sae, { folder })).close();
    (await (0, collect_1.collect)(store, sae, { folder })).close(); // replaces the old one
    const manifest = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "manifest.json"), "utf8"));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "manifest.json"), JSON.stringify({ ...manifest, version: 2 }));
    await strict_1.default.rejects((0, features_1.openFeatures)(folder), /version: expected 1, found 2/);
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "manifest.json"), JSON.stringify(manifest));
    await strict_1.default.rejects((0, features_1.openFeatures)((0, node_path_1.join)(root, "nowhere")), /expected a folder with manifest.json/);
    // every file: missing, cut off, emptied, another's; each time a FormatError with the file's name, and nothing stays open
    const other = (0, node_path_1.join)(root, "other");
    (await (0, collect_1.collect)(store, { ...sae, ...(0, synthetic_1.synthetic)({ documents: 4, latents: 40, k: 5 }).sae }, { folder: other })).close();
    const open = () => (0, node_fs_1.readdirSync)("/proc/self/fd").length;
    const before = open();
    for (const file of (0, node_fs_1.readdirSync)(folder)) {
        const path = (0, node_path_1.join)(folder, file);
        const bytes = (0, node_fs_1.readFileSync)(path);
        const faults = [
            () => (0, node_fs_1.unlinkSync)(path),
            () => (0, node_fs_1.writeFileSync)(path, bytes.subarray(0, bytes.length / 2)),
            () => (0, node_fs_1.writeFileSync)(path, ""),
            () => (0, node_fs_1.writeFileSync)(path, file.endsWith(".json") ? "{}" : (0, node_fs_1.readFileSync)((0, node_path_1.join)(other, file))),
        ];
        for (const fault of faults) {
            fault();
            await strict_1.default.rejects((0, features_1.openFeatures)(folder), (error) => error instanceof errors_1.FormatError && error.message.includes(file) && /collect(?: again|\()|format:/.test(error.message), `${file}: ${fault}`);
            (0, node_fs_1.writeFileSync)(path, bytes);
        }
    }
    for (const change of [{ shards: "none" }, { ranges: [{ from: 0, to: 7 }] }, { sae: null }, { store: { path: "." } }]) {
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "manifest.json"), JSON.stringify({ ...manifest, ...change }));
        await strict_1.default.rejects((0, features_1.openFeatures)(folder), errors_1.FormatError);
    }
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "manifest.json"), JSON.stringify(manifest));
    (await (0, features_1.openFeatures)(folder)).close();
    strict_1.default.equal(open(), before);
});
//# sourceMappingURL=collect.test.js.map