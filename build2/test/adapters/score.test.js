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
const collect_1 = require("../../src/adapters/collect");
const score_1 = require("../../src/adapters/score");
const show_1 = require("../../src/adapters/show");
const errors_1 = require("../../src/core/errors");
const ranking_1 = require("../../src/core/ranking");
const synthetic_1 = require("./synthetic");
const root = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-score-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(root, { recursive: true, force: true }));
(0, node_test_1.test)("finds the planted latents, and reports them on held-out documents", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 60 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "planted") });
    const scores = await (0, score_1.scoreLabels)(features);
    strict_1.default.equal(scores.of("backtracking").latent, 0);
    strict_1.default.equal(scores.of("deduction").latent, 3);
    strict_1.default.deepEqual(scores.train, { sentences: 45 * 12, documents: 45 });
    strict_1.default.deepEqual(scores.heldout, { sentences: 15 * 12, documents: 15 });
    for (const label of ["backtracking", "deduction"])
        strict_1.default.ok(scores.of(label).detectors[0].heldout > 0.95);
    strict_1.default.equal(scores.of("backtracking").detectors.find(({ kind }) => kind === "keyword").what, " wait");
    // " wait" is rarer where there is deduction: no better sign than its absence
    const absence = scores.of("deduction").detectors.find(({ kind }) => kind === "keyword");
    strict_1.default.deepEqual([absence.what, absence.absent], [" wait", true]);
    strict_1.default.ok(absence.train > 0.5);
    const chance = scores.of("initializing").detectors[0]; // nothing in the SAE follows it
    strict_1.default.ok(chance.heldout < 0.65);
    strict_1.default.notEqual(scores.of("initializing").verdict, "above its controls");
    // the reported AUROC of latent 0, mean over the sentence, from the rows themselves
    const codes = sae.encode(store.read("layers.1", 0, store.rows));
    const origin = store.origin(0, store.rows);
    const score = [];
    const positive = [];
    store.documents().forEach(({ spans, split }, document) => {
        if (split !== "heldout")
            return;
        const { start } = store.tokens(document);
        for (const span of spans) {
            const values = [];
            for (let r = 0; r < store.rows; r++) {
                if (origin.document[r] !== document ||
                    start[origin.position[r]] < span.start ||
                    start[origin.position[r]] >= span.end)
                    continue;
                let value = 0;
                for (let j = 0; j < codes.k; j++)
                    if (codes.index[r * codes.k + j] === 0)
                        value = codes.value[r * codes.k + j];
                values.push(value);
            }
            const pool = scores.of("backtracking").pooling;
            const used = pool === "first five" ? values.slice(0, 5) : values;
            score.push(Math.fround(pool === "max" ? Math.max(...used) : used.reduce((a, b) => a + b, 0) / used.length));
            positive.push(span.label === "backtracking" ? 1 : 0);
        }
    });
    strict_1.default.ok(Math.abs((0, ranking_1.auroc)(score, positive) - scores.of("backtracking").detectors[0].heldout) < 1e-12);
    strict_1.default.ok(Math.abs(positive.reduce((a, b) => a + b) / positive.length - scores.of("backtracking").baseRate) < 1e-12);
    strict_1.default.match(scores.features(["backtracking"])[0].label, /^correlates with backtracking/);
    const bundle = scores[show_1.DISPLAY]();
    strict_1.default.match(bundle["text/plain"], /32 latents × 3 poolings/);
    strict_1.default.match(bundle["text/html"], /backtracking/);
    features.close();
});
(0, node_test_1.test)("what is chosen does not depend on held-out labels; what is reported does", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 40 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "blind") });
    const scrambled = {
        ...store,
        documents: () => store
            .documents()
            .map((document) => document.split === "train"
            ? document
            : {
                ...document,
                spans: document.spans.map((span, i) => ({
                    ...span,
                    label: ["backtracking", "deduction", "initializing"][(i * 7 + document.text.length) % 3],
                })),
            }),
    };
    const again = await (0, collect_1.collect)(scrambled, sae, { folder: (0, node_path_1.join)(root, "blind2") });
    const [a, b] = [await (0, score_1.scoreLabels)(features), await (0, score_1.scoreLabels)(again)];
    for (const label of ["backtracking", "deduction", "initializing"]) {
        const [x, y] = [a.of(label), b.of(label)];
        strict_1.default.deepEqual([x.latent, x.pooling, x.detectors.map(({ kind, what, train }) => ({ kind, what, train }))], [y.latent, y.pooling, y.detectors.map(({ kind, what, train }) => ({ kind, what, train }))]);
    }
    strict_1.default.ok(b.of("backtracking").detectors[0].heldout < a.of("backtracking").detectors[0].heldout - 0.2);
    features.close();
    again.close();
});
(0, node_test_1.test)("the same seed gives the same scores; from a store and an SAE as from features", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 24 });
    const path = (0, node_path_1.join)(root, "store");
    const one = await (0, score_1.scoreLabels)({ ...store, path }, sae, { labels: ["deduction"], resamples: 50 });
    const open = () => (0, node_fs_1.readdirSync)("/proc/self/fd").length;
    const before = open();
    const two = await (0, score_1.scoreLabels)({ ...store, path }, sae, { labels: ["deduction"], resamples: 50 });
    strict_1.default.deepEqual(one.labels, two.labels);
    strict_1.default.equal(one.labels.length, 1);
    strict_1.default.equal(open(), before); // what it collected is closed, and its latents can still be shown
    const list = two.features();
    strict_1.default.equal(list[0].latent, two.of("deduction").latent);
    const html = list[show_1.DISPLAY]()["text/html"];
    strict_1.default.match(html, /correlates with deduction/);
    strict_1.default.match(html, /from training and held-out documents alike/);
    strict_1.default.match((0, show_1.heatMap)(list)[show_1.DISPLAY]()["text/plain"], /training and held-out documents alike/);
});
(0, node_test_1.test)("scores that would not fit into memory are refused before the work", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 8 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "memory") });
    const was = Object.getOwnPropertyDescriptor(process, "availableMemory");
    Object.defineProperty(process, "availableMemory", { value: () => 1e6, configurable: true });
    try {
        await strict_1.default.rejects((0, score_1.scoreLabels)({ ...features, codes: () => strict_1.default.fail("read") }), (error) => error instanceof errors_1.OptionError && /MB of free memory.*found 1 MB/.test(error.message));
    }
    finally {
        if (was)
            Object.defineProperty(process, "availableMemory", was);
        else
            delete process.availableMemory;
    }
    features.close();
});
(0, node_test_1.test)("an interrupt stops the scores", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 12 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "stopped") });
    const flag = (globalThis[Symbol.for("saelab.interrupt")] ??= { requested: false });
    try {
        const progress = () => void (flag.requested = true);
        await strict_1.default.rejects((0, score_1.scoreLabels)(features, { progress }), errors_1.InterruptError);
    }
    finally {
        flag.requested = false;
        features.close();
    }
});
(0, node_test_1.test)("what cannot be scored says why", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 12 });
    const half = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "half"), split: "train" });
    await strict_1.default.rejects((0, score_1.scoreLabels)(half), errors_1.StoreError);
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "none") });
    await strict_1.default.rejects((0, score_1.scoreLabels)(features, { labels: ["joy"] }), (error) => error instanceof errors_1.OptionError && /"joy".*backtracking/s.test(error.message));
    const bare = { ...store, documents: () => store.documents().map((document) => ({ ...document, spans: [] })) };
    const unlabelled = await (0, collect_1.collect)(bare, sae, { folder: (0, node_path_1.join)(root, "bare") });
    await strict_1.default.rejects((0, score_1.scoreLabels)(unlabelled), /found none/);
    features.close();
    half.close();
    unlabelled.close();
});
/** A store whose labels are changed: as if it had been harvested with them. */
const relabelled = (store, label) => ({
    ...store,
    documents: () => store.documents().map((document) => ({
        ...document,
        spans: document.spans.flatMap((span, i) => {
            const is = label(span.label, document.split, i);
            return is === undefined ? [] : [{ ...span, label: is }];
        }),
    })),
});
(0, node_test_1.test)("labels without positives or negatives on a side are left out, or refused when asked for", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 12 });
    const scored = async (name, changed, options = {}) => {
        const features = await (0, collect_1.collect)(changed, sae, { folder: (0, node_path_1.join)(root, name) });
        return (0, score_1.scoreLabels)(features, { resamples: 20, ...options }).finally(() => features.close());
    };
    const uneven = relabelled(store, (was, side) => (side === "train" || was !== "backtracking" ? was : "deduction"));
    const scores = await scored("uneven", uneven);
    strict_1.default.deepEqual(scores.labels.map(({ label }) => label).sort(), ["deduction", "initializing"]);
    strict_1.default.match(scores[show_1.DISPLAY]()["text/plain"], /Not scored.*: backtracking\./);
    await strict_1.default.rejects(scored("uneven", uneven, { labels: ["deduction", "backtracking"] }), (error) => error instanceof errors_1.StoreError && /one side only for "backtracking"/.test(error.message));
    const single = relabelled(store, (was) => (was === "deduction" ? was : undefined)); // one behaviour, and nothing else marked
    await strict_1.default.rejects(scored("single", single), /one side only for "deduction".*other behaviours too/s);
    const everywhere = relabelled(store, (was, side) => (side === "train" ? was : "deduction")); // no negatives held out
    await strict_1.default.rejects(scored("everywhere", everywhere), errors_1.StoreError);
    // a label on first tokens only, whose rows were dropped
    const first = {
        ...store,
        documents: () => store.documents().map((document, i) => ({
            ...document,
            spans: [...document.spans, { start: 0, end: store.tokens(i).end[0], label: "start" }],
        })),
    };
    const left = await scored("first", first);
    strict_1.default.ok(!left.labels.some(({ label }) => label === "start"));
    const bare = { ...store, documents: () => store.documents().map(({ id, text, split }) => ({ id, text, split })) };
    await strict_1.default.rejects(scored("spanless", bare), /found none/);
});
(0, node_test_1.test)("options that no score could come of are refused", async () => {
    const { store, sae } = (0, synthetic_1.synthetic)({ documents: 8 });
    const features = await (0, collect_1.collect)(store, sae, { folder: (0, node_path_1.join)(root, "options") });
    for (const options of [
        { labels: ["deduction", "deduction"] },
        { labels: [] },
        { resamples: -1 },
        { resamples: 0 },
        { resamples: 1.5 },
        { seed: NaN },
    ])
        await strict_1.default.rejects((0, score_1.scoreLabels)(features, options), errors_1.OptionError);
    const silent = { ...sae, encode: (x) => ({ ...sae.encode(x), value: new Float32Array((x.length / 32) * 6) }) };
    const dead = await (0, collect_1.collect)(store, silent, { folder: (0, node_path_1.join)(root, "silent") });
    await strict_1.default.rejects((0, score_1.scoreLabels)(dead), /expected latents that fire/);
    features.close();
    dead.close();
});
//# sourceMappingURL=score.test.js.map