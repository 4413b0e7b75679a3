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
const choice_1 = require("../../src/adapters/choice");
const coder_1 = require("../../src/adapters/coder");
const rows_1 = require("../../src/adapters/rows");
const sae_1 = require("../../src/adapters/sae");
const tensorflow_1 = require("../../src/adapters/tensorflow");
const train_1 = require("../../src/adapters/train");
const errors_1 = require("../../src/core/errors");
const random_1 = require("../../src/core/random");
const planted_1 = require("../planted");
const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-train-"));
process.env.XDG_CACHE_HOME = (0, node_path_1.join)(scratch, "cache"); // choices of these tests stay out of the user's own
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true }));
const d = 24, directions = 64;
const data = (0, planted_1.planted)({ d, rows: 16000, directions, active: 3 });
const store = (0, planted_1.memoryStore)(data.rows, d);
/** Share of the planted directions that some decoder row points along (cosine above 0.9). */
function recovered(wDec) {
    let found = 0;
    for (let i = 0; i < directions; i++) {
        let best = -1;
        for (let at = 0; at < wDec.length; at += d) {
            let dot = 0;
            for (let j = 0; j < d; j++)
                dot += wDec[at + j] * data.directions[i * d + j];
            best = Math.max(best, dot);
        }
        if (best > 0.9)
            found++;
    }
    return found / directions;
}
(0, node_test_1.test)("training finds planted directions, on rows it did not see too", async () => {
    const points = [];
    const calls = [];
    const live = (0, tensorflow_1.tensorflow)().live();
    const folder = (0, node_path_1.join)(scratch, "planted");
    const sae = await (0, train_1.trainSae)(store, {
        latents: 128, k: 4, tokens: 120000, folder, onPoint: (point) => points.push(point), progress: ({ done }) => calls.push(done),
    });
    strict_1.default.equal((0, tensorflow_1.tensorflow)().live(), live);
    const heldout = await (0, sae_1.evaluate)(sae, store);
    strict_1.default.ok(heldout.fvu < 0.2, `FVU ${heldout.fvu}`);
    strict_1.default.ok(recovered(sae.weights.wDec) > 0.8, `recovered ${recovered(sae.weights.wDec)}`);
    // rows in the model's own units: the SAE that is returned reads them as they are
    const train = await (0, sae_1.evaluate)(sae, store, { split: "train" });
    strict_1.default.ok(Math.abs(train.fvu - points.at(-1).fvu) < 0.03, `${train.fvu}, last point ${points.at(-1).fvu}`);
    for (let f = 0; f < 128; f++)
        strict_1.default.ok(Math.abs(Math.hypot(...sae.weights.wDec.subarray(f * d, (f + 1) * d)) - 1) < 1e-5);
    strict_1.default.deepEqual(points, sae.curve);
    strict_1.default.equal(points.at(-1).step, 937); // ⌊120000 / 128⌋
    strict_1.default.ok(points[0].fvu > 2 * points.at(-1).fvu);
    strict_1.default.equal(calls.at(-1), 937 * 128);
    const { choice, seed, tokens, batch, step } = sae.card;
    strict_1.default.deepEqual([seed, tokens, batch, step], [0, 120000, 128, "stock"]);
    strict_1.default.ok((0, coder_1.groupings)(128, 4).some((g) => JSON.stringify(g) === JSON.stringify(choice.groups)));
    const loaded = await (0, sae_1.loadSae)(folder);
    strict_1.default.deepEqual(loaded.weights, sae.weights);
    strict_1.default.deepEqual(loaded.curve, sae.curve);
    strict_1.default.equal(loaded.hook, "layers.1");
});
(0, node_test_1.test)("the same seed gives the same bits; another seed does not", async () => {
    const run = (seed) => (0, train_1.trainSae)(store, { latents: 96, k: 3, tokens: 20000, batch: 200, seed });
    const [a, b, c] = [await run(5), await run(5), await run(6)];
    strict_1.default.deepEqual(a.weights, b.weights);
    strict_1.default.deepEqual(a.curve, b.curve);
    strict_1.default.notDeepEqual(a.weights.wDec, c.weights.wDec);
});
(0, node_test_1.test)("stock and plain steps train the same SAE", async () => {
    const options = { latents: 64, k: 3, tokens: 6000, batch: 100, learningRate: 0.003 };
    const [stock, plain] = [await (0, train_1.trainSae)(store, options), await (0, train_1.trainSae)(store, { ...options, step: "plain" })];
    strict_1.default.equal(plain.card.step, "plain");
    for (let i = 0; i < 20; i++) {
        strict_1.default.ok(Math.abs(stock.curve[i].fvu - plain.curve[i].fvu) <= 1e-5 * plain.curve[i].fvu, `step ${i}: ${stock.curve[i].fvu} ${plain.curve[i].fvu}`);
    }
});
(0, node_test_1.test)("held-out rows are not read", async () => {
    const guarded = {
        ...store,
        read(hook, from, to) {
            for (let row = from; row < to; row++)
                strict_1.default.notEqual(Math.floor(row / 50) % 4, 3, `row ${row} is held out`);
            return store.read(hook, from, to);
        },
    };
    await (0, train_1.trainSae)(guarded, { latents: 32, k: 2, tokens: 2000 });
});
(0, node_test_1.test)("an interrupt keeps the SAE so far, in the error and in the folder", async () => {
    const flag = (globalThis[Symbol.for("saelab.interrupt")] ??= { requested: false });
    const folder = (0, node_path_1.join)(scratch, "interrupted");
    const live = (0, tensorflow_1.tensorflow)().live();
    let steps = 0;
    const training = (0, train_1.trainSae)(store, { latents: 64, k: 3, tokens: 12000, batch: 100, folder, onPoint: () => (flag.requested = ++steps === 30) });
    const error = await training.then(() => strict_1.default.fail("not interrupted"), (e) => e);
    flag.requested = false;
    strict_1.default.ok(error instanceof errors_1.InterruptError, `${error}`);
    strict_1.default.match(error.message, /after 30 of 120 steps.*interrupted/);
    strict_1.default.equal(error.sae.curve.length, 30);
    strict_1.default.deepEqual((await (0, sae_1.loadSae)(folder)).weights, error.sae.weights);
    strict_1.default.ok((await (0, sae_1.evaluate)(error.sae, store)).fvu < 1);
    strict_1.default.equal((0, tensorflow_1.tensorflow)().live(), live);
});
(0, node_test_1.test)("an interrupt of a timer gets through between two steps", async () => {
    const flag = globalThis[Symbol.for("saelab.interrupt")];
    setTimeout(() => (flag.requested = true), 50);
    await strict_1.default.rejects((0, train_1.trainSae)(store, { latents: 64, k: 3, tokens: 4e6, batch: 100, auxK: 0 }), errors_1.InterruptError);
    flag.requested = false;
});
const wrong = [
    ["k over latents", { k: 65 }, /k: expected 1 to 64 \(latents\), found 65/],
    ["k 0", { k: 0 }, /k: expected a whole number of at least 1, found 0/],
    ["k missing", { k: undefined }, /k: expected a whole number.*found undefined/],
    ["no latents", { latents: 0 }, /latents: expected.*found 0.*192 \(8 times its width\)/],
    ["fraction of latents", { latents: 10.5 }, /latents: .*found 10\.5/],
    ["batch 0", { batch: 0 }, /batch: .*found 0/],
    ["batch over tokens", { batch: 500, tokens: 400 }, /batch: expected at most 400/],
    ["tokens 0", { tokens: 0 }, /tokens: .*found 0/],
    ["learning rate 0", { learningRate: 0 }, /learningRate: expected a number above 0, found 0/],
    ["learning rate NaN", { learningRate: NaN }, /learningRate: .*found NaN/],
    ["auxK below 0", { auxK: -1 }, /auxK: .*found -1/],
    ["no such step", { step: "fused" }, /step: .*found "fused"/],
    ["seed", { seed: 0.5 }, /seed: .*found 0\.5/],
    ["device", { device: (0, tensorflow_1.tensorflow)().device === "cpu" ? "cuda" : "cpu" }, /device: expected "auto" or .*found "(cuda|cpu)"/],
    ["a choice that groups cannot divide", { choice: { precision: "f32", groups: [7], chunk: 64 } }, /choice: expected .*groups: \[\] or \[4\].*found .*\[7\].*card\.choice/],
    ["half a choice", { choice: { groups: [] } }, /choice: expected .*chunk: 1 or more/],
    ["more memory than any machine has", { latents: 2 ** 40 }, /latents 1099511627776.*GB.*Take fewer latents/],
];
for (const [name, options, message] of wrong) {
    (0, node_test_1.test)(`refused before any work: ${name}`, async () => {
        const untouched = { ...store, read: () => strict_1.default.fail("rows were read") };
        const folder = (0, node_path_1.join)(scratch, `refused-${name}`);
        await strict_1.default.rejects((0, train_1.trainSae)(untouched, { latents: 64, k: 4, ...options, folder }), (error) => error instanceof errors_1.OptionError && message.test(error.message) || strict_1.default.fail(`${error.stack}`));
        strict_1.default.ok(!(0, node_fs_1.existsSync)(folder));
    });
}
(0, node_test_1.test)("free memory: page cache counts as free, a container's limit and what is taken already do not", () => {
    const gib = 2 ** 30;
    strict_1.default.equal((0, train_1.freeMemory)({ free: 20 * gib, total: 24 * gib, limit: 0, own: gib }), 20 * gib);
    strict_1.default.equal((0, train_1.freeMemory)({ free: 20 * gib, total: 24 * gib, limit: 2 ** 64, own: gib }), 20 * gib); // what libuv says for none
    strict_1.default.equal((0, train_1.freeMemory)({ free: 200 * gib, total: 256 * gib, limit: 8 * gib, own: 3 * gib }), 5 * gib);
    strict_1.default.equal((0, train_1.freeMemory)({ free: 2 * gib, total: 24 * gib, limit: 0, own: gib }), 2 * gib);
    strict_1.default.equal((0, train_1.freeMemory)({ free: 2 * gib, total: 24 * gib, limit: gib, own: 2 * gib }), 0);
    strict_1.default.ok((0, train_1.freeMemory)() > 0);
});
(0, node_test_1.test)("more latents than the sample of rows: each begins at a row of its own, and the card says so", async () => {
    const latents = 33000, rng = (0, random_1.random)(2);
    const many = (0, planted_1.memoryStore)(Float32Array.from({ length: 2 * 45000 }, () => rng.normal()), 2, { document: 50 }); // three in four to train on
    const sae = await (0, train_1.trainSae)(many, { latents, k: 2, tokens: 64, batch: 32, choice: { precision: "f32", groups: [], chunk: 64 } });
    strict_1.default.deepEqual(sae.card.start, { rows: latents, random: 0 });
    const few = (0, planted_1.memoryStore)(Float32Array.from({ length: 2 * 400 }, () => rng.normal()), 2, { document: 50 });
    strict_1.default.deepEqual((await (0, train_1.trainSae)(few, { latents: 1000, k: 2, tokens: 64, batch: 32 })).card.start, { rows: 300, random: 700 });
});
(0, node_test_1.test)("rows that cannot be trained on: none, equal, NaN", async () => {
    const options = { latents: 8, k: 2, batch: 10 };
    await strict_1.default.rejects((0, train_1.trainSae)((0, planted_1.memoryStore)(new Float32Array(0), 4), options), /at least 2 rows of training documents, found 0/);
    await strict_1.default.rejects((0, train_1.trainSae)((0, planted_1.memoryStore)(new Float32Array(400).fill(3), 4), options), (e) => e instanceof errors_1.StoreError && /rows that differ/.test(e.message));
    const rng = (0, random_1.random)(1);
    const bad = Float32Array.from({ length: 400 }, () => rng.normal());
    bad[37] = NaN;
    await strict_1.default.rejects((0, train_1.trainSae)((0, planted_1.memoryStore)(bad, 4), options), (e) => e instanceof errors_1.StoreError && /finite activations, found NaN/.test(e.message));
});
(0, node_test_1.test)("a loss that is no number stops the training and names the step", async () => {
    const live = (0, tensorflow_1.tensorflow)().live();
    const folder = (0, node_path_1.join)(scratch, "diverged");
    await strict_1.default.rejects((0, train_1.trainSae)(store, { latents: 32, k: 2, tokens: 4000, batch: 50, learningRate: 1e30, folder }), (error) => error instanceof errors_1.TrainError && /step \d+ of 80: expected a finite loss.*learning rate 1e\+30/.test(error.message));
    strict_1.default.ok(!(0, node_fs_1.existsSync)(folder), "nothing was saved: the folder is taken away again");
    strict_1.default.equal((0, tensorflow_1.tensorflow)().live(), live);
});
(0, node_test_1.test)("more latents than different rows: the rest begin as random directions", async () => {
    const few = new Float32Array(600 * d);
    for (let i = 0; i < 600; i++)
        few.set(data.rows.subarray((i % 40) * d, (i % 40 + 1) * d), i * d); // 40 rows, each 15 times
    const sae = await (0, train_1.trainSae)((0, planted_1.memoryStore)(few, d), { latents: 100, k: 2, tokens: 450, batch: 225, learningRate: 1e-9 });
    const rows = new Set(Array.from({ length: 100 }, (_, f) => sae.weights.wDec.subarray(f * d, (f + 1) * d).join()));
    strict_1.default.equal(rows.size, 100);
});
(0, node_test_1.test)("shuffling: every pass visits each row once, in an order of its own; the buffer mixes blocks", () => {
    const n = 3000;
    const rows = Float32Array.from({ length: n * 2 }, (_, i) => Math.floor(i / 2) + (i % 2) / 2);
    const small = (0, planted_1.memoryStore)(rows, 2, { document: 100 });
    const ranges = [{ from: 0, to: 1000 }, { from: 1500, to: 3000 }];
    const draw = (bytes, passes = 2) => {
        const source = (0, rows_1.shuffled)(small, "layers.1", ranges, 2, (0, random_1.random)(3), bytes);
        const batch = new Float32Array(125 * 2);
        const seen = [];
        for (let i = 0; i < passes * 20; i++) {
            source.next(batch);
            for (let j = 0; j < batch.length; j += 2) {
                strict_1.default.equal(batch[j + 1] - batch[j], 1); // rows stay whole; scaled by 2
                seen.push(batch[j] / 2);
            }
        }
        return { kind: source.kind, seen };
    };
    const whole = draw();
    strict_1.default.equal(whole.kind, "memory");
    const inOrder = [...Array.from({ length: 1000 }, (_, i) => i), ...Array.from({ length: 1500 }, (_, i) => 1500 + i)];
    const first = whole.seen.slice(0, 2500), second = whole.seen.slice(2500);
    strict_1.default.deepEqual(first.slice().sort((a, b) => a - b), inOrder);
    strict_1.default.deepEqual(second.slice().sort((a, b) => a - b), inOrder);
    strict_1.default.notDeepEqual(first, second);
    strict_1.default.deepEqual(draw().seen, whole.seen);
    const buffered = draw(700 * 2 * 4, 8);
    strict_1.default.equal(buffered.kind, "blocks");
    strict_1.default.ok(buffered.seen.every((row) => row < 1000 || row >= 1500));
    const times = new Map();
    for (const row of buffered.seen)
        times.set(row, (times.get(row) ?? 0) + 1);
    strict_1.default.equal(times.size, 2500);
    for (const [row, count] of times)
        strict_1.default.ok(count >= 3 && count <= 13, `row ${row}: ${count} times in 8 passes`);
    strict_1.default.deepEqual(draw(700 * 2 * 4, 8).seen, buffered.seen);
    const neighbours = buffered.seen.filter((row, i) => i > 0 && row === buffered.seen[i - 1] + 1).length;
    strict_1.default.ok(neighbours < 0.02 * buffered.seen.length, `${neighbours} neighbours`);
});
(0, node_test_1.test)("rows by place and in chunks", () => {
    const rows = Float32Array.from({ length: 60 }, (_, i) => Math.floor(i / 3));
    const small = (0, planted_1.memoryStore)(rows, 3);
    const ranges = [{ from: 2, to: 4 }, { from: 7, to: 12 }, { from: 15, to: 16 }];
    strict_1.default.deepEqual([...(0, rows_1.rowsAt)(small, "layers.1", ranges, Uint32Array.of(0, 1, 2, 6, 7))].filter((_, i) => i % 3 === 0), [2, 3, 7, 11, 15]);
    const pieces = [...(0, rows_1.chunks)(small, "layers.1", ranges, 3)].map((piece) => [...piece].filter((_, i) => i % 3 === 0));
    strict_1.default.deepEqual(pieces, [[2, 3, 7], [8, 9, 10], [11, 15]]);
    strict_1.default.deepEqual([...(0, rows_1.chunks)(small, "layers.1", ranges, 100, 4)].map((piece) => piece.length), [12]);
});
(0, node_test_1.test)("a choice is measured once and then remembered; a damaged cache is measured again", async () => {
    const engine = (0, tensorflow_1.tensorflow)();
    const file = (0, node_path_1.join)(scratch, "choices", "step.json");
    const sizes = { d: 8, latents: 256, k: 2, batch: 32 };
    const chosen = await (0, choice_1.choiceFor)(engine, sizes, file);
    strict_1.default.ok((0, coder_1.groupings)(256, 2).some((g) => JSON.stringify(g) === JSON.stringify(chosen.groups)));
    strict_1.default.ok(["f32", "bf16"].includes(chosen.precision) && chosen.chunk > 0);
    const known = JSON.parse((0, node_fs_1.readFileSync)(file, "utf8"));
    const [key] = Object.keys(known);
    strict_1.default.match(key, new RegExp(`TensorFlow ${engine.version}; d 8, latents 256, k 2, batch 32`));
    (0, node_fs_1.writeFileSync)(file, JSON.stringify({ [key]: { precision: "f32", groups: [4], chunk: 77 } }));
    strict_1.default.deepEqual(await (0, choice_1.choiceFor)(engine, sizes, file), { precision: "f32", groups: [4], chunk: 77 });
    for (const bad of ["", "[]", JSON.stringify({ [key]: { precision: "f32", groups: [5], chunk: 64 } }), JSON.stringify({ [key]: "fast" })]) {
        (0, node_fs_1.writeFileSync)(file, bad);
        strict_1.default.notEqual((await (0, choice_1.choiceFor)(engine, sizes, file)).chunk, 77);
        strict_1.default.equal(Object.keys(JSON.parse((0, node_fs_1.readFileSync)(file, "utf8")))[0], key);
    }
    strict_1.default.equal((0, choice_1.measureChoice)(engine, { d: 4, latents: 6, k: 6, batch: 16 }).groups.length, 0);
});
//# sourceMappingURL=train.test.js.map