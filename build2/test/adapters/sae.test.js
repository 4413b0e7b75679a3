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
const sae_1 = require("../../src/adapters/sae");
const errors_1 = require("../../src/core/errors");
const measure_1 = require("../../src/core/measure");
const random_1 = require("../../src/core/random");
const sae_2 = require("../../src/core/sae");
const safetensors_1 = require("../../src/core/safetensors");
const planted_1 = require("../planted");
const ORACLE = (0, node_path_1.join)(__dirname, "../../../test/oracle/saes");
const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-sae-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true }));
function close(actual, expected, tolerance) {
    strict_1.default.equal(actual.length, expected.length);
    const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const worst = actual.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i])), 0);
    strict_1.default.ok(worst <= tolerance * largest, `differs by ${worst}, largest ${largest}`);
}
for (const name of ["sae", "sae_bf16", "sae_legacy_cfg"]) {
    (0, node_test_1.test)(`${name}: the loaded SAE agrees with sparsify`, async () => {
        const sae = await (0, sae_1.loadSae)((0, node_path_1.join)(ORACLE, name));
        const bytes = (0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, name, "golden.safetensors")));
        const { tensors } = (0, safetensors_1.readHeader)(bytes, "golden.safetensors");
        const floats = (key) => (0, safetensors_1.readFloats)(bytes, tensors.get(key));
        const x = floats("x");
        const got = sae.encode(x);
        strict_1.default.deepEqual(got.index, (0, safetensors_1.readInts)(bytes, tensors.get("acts_indices")));
        close(got.value, floats("acts_values"), 1e-5);
        close(sae.decode(got), floats("recon"), 1e-5);
        strict_1.default.ok(Math.abs((0, measure_1.fvu)(x, sae.decode(got), 48) - floats("fvu")[0]) < 1e-5);
    });
}
function weights(d, latents, k, seed) {
    const rng = (0, random_1.random)(seed);
    const normals = (n, scale) => Float32Array.from({ length: n }, () => scale * rng.normal());
    return { d, latents, k, wEnc: normals(latents * d, 1 / Math.sqrt(d)), bEnc: normals(latents, 0.1), wDec: normals(latents * d, 1 / Math.sqrt(d)), bDec: normals(d, 1) };
}
(0, node_test_1.test)("encode and decode over many chunks agree with the plain loops", () => {
    const w = weights(6, 5000, 5, 1); // 5000 latents: chunks of some thousand rows
    const rng = (0, random_1.random)(2);
    const x = Float32Array.from({ length: 700 * 6 }, () => 2 * rng.normal());
    const sae = (0, sae_1.saeOf)(w);
    const got = sae.encode(x), want = (0, sae_2.encode)(w, x);
    strict_1.default.deepEqual(got.index, want.index);
    close(got.value, want.value, 1e-5);
    close(sae.decode(got), (0, sae_2.decode)(w, want), 1e-5);
    strict_1.default.deepEqual(sae.encode(new Float32Array(0)), { n: 0, k: 5, index: new Int32Array(0), value: new Float32Array(0) });
    const long = new Float32Array(9000 * 6); // more rows than one chunk of either
    for (let i = 0; i < long.length; i += x.length)
        long.set(x.subarray(0, Math.min(x.length, long.length - i)), i);
    const many = sae.encode(long);
    strict_1.default.deepEqual(many.index.subarray(8400 * 5, 9000 * 5), want.index.subarray(0, 600 * 5));
    strict_1.default.deepEqual(sae.decode(many).subarray(8400 * 6), sae.decode(got).subarray(0, 600 * 6));
});
(0, node_test_1.test)("save and load: the same bits, hook, card and curve; nothing else in the folder; saved again over itself", async () => {
    const folder = (0, node_path_1.join)(scratch, "saved", "deeper");
    const curve = [{ step: 1, tokens: 10, fvu: 0.5, dead: 0.1, learningRate: 0.01 }];
    const sae = (0, sae_1.saeOf)(weights(6, 20, 3, 3), { hook: "layers.2.mlp", card: { seed: 3 }, curve });
    await sae.save(folder);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder).sort(), ["cfg.json", "sae.safetensors", "saelab.json"]);
    const again = await (0, sae_1.loadSae)(folder);
    strict_1.default.deepEqual(again.weights, sae.weights);
    strict_1.default.deepEqual([again.hook, again.card, again.curve], [sae.hook, sae.card, sae.curve]);
    const before = (0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "sae.safetensors"));
    await again.save(folder);
    strict_1.default.deepEqual((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "sae.safetensors")), before);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder).length, 3);
    const cfg = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "cfg.json"), "utf8"));
    strict_1.default.deepEqual(cfg, {
        activation: "topk", expansion_factor: 3, normalize_decoder: true, num_latents: 20, k: 3, multi_topk: false, skip_connection: false, transcode: false, d_in: 6,
    });
});
(0, node_test_1.test)("a save over another that is cut short leaves no checkpoint, not a mixed one", async () => {
    const folder = (0, node_path_1.join)(scratch, "over");
    await (0, sae_1.saeOf)(weights(6, 20, 4, 3)).save(folder);
    const card = (0, node_path_1.join)(folder, "saelab.json");
    (0, node_fs_1.rmSync)(card);
    (0, node_fs_1.mkdirSync)(card); // a folder in the card's way: the weights are written, the card is not
    const next = (0, sae_1.saeOf)(weights(6, 20, 2, 4));
    await strict_1.default.rejects(next.save(folder), (error) => error instanceof errors_1.DiskError && /saelab\.json/.test(error.message));
    await strict_1.default.rejects((0, sae_1.loadSae)(folder), (error) => error instanceof errors_1.CheckpointError && /over: expected cfg\.json/.test(error.message));
    (0, node_fs_1.rmSync)(card, { recursive: true });
    await next.save(folder);
    strict_1.default.deepEqual((await (0, sae_1.loadSae)(folder)).weights, next.weights);
});
(0, node_test_1.test)("a folder with another tool's cfg.json is not saved to, and stays as it is", async () => {
    const folder = (0, node_path_1.join)(scratch, "foreign");
    (0, node_fs_1.mkdirSync)(folder);
    const others = ['{"architecture":"topk","d_in":6,"d_sae":20,"k":2}', "[tool]", "null", '{"sae_lens_version":"6.0"}'];
    for (const text of others) {
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "cfg.json"), text);
        await strict_1.default.rejects((0, sae_1.saeOf)(weights(6, 20, 2, 4)).save(folder), (error) => error instanceof errors_1.CheckpointError && /cfg\.json: expected none.*Choose another folder/.test(error.message));
        strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder), ["cfg.json"]);
        strict_1.default.equal((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "cfg.json"), "utf8"), text);
    }
    for (const known of ["sae", "sae_legacy_cfg"]) { // sparsify's own are replaced
        (0, node_fs_1.cpSync)((0, node_path_1.join)(ORACLE, known, "cfg.json"), (0, node_path_1.join)(folder, "cfg.json"));
        await (0, sae_1.saeOf)(weights(6, 20, 2, 4)).save(folder);
        strict_1.default.equal((await (0, sae_1.loadSae)(folder)).weights.latents, 20);
    }
});
(0, node_test_1.test)("of a folder with one checkpoint a hook, the hook picks one", async () => {
    const parent = (0, node_path_1.join)(scratch, "hub");
    await (0, sae_1.saeOf)(weights(4, 8, 2, 4)).save((0, node_path_1.join)(parent, "layers.0.mlp"));
    strict_1.default.equal((await (0, sae_1.loadSae)(parent)).hook, "layers.0.mlp");
    await (0, sae_1.saeOf)(weights(4, 16, 2, 5)).save((0, node_path_1.join)(parent, "layers.1.mlp"));
    const picked = await (0, sae_1.loadSae)(parent, { hook: "layers.1.mlp" });
    strict_1.default.deepEqual([picked.weights.latents, picked.hook], [16, "layers.1.mlp"]);
    await strict_1.default.rejects((0, sae_1.loadSae)(parent), (error) => error instanceof errors_1.CheckpointError && /layers\.0\.mlp, layers\.1\.mlp.*found none.*loadSae\(/.test(error.message));
    await strict_1.default.rejects((0, sae_1.loadSae)(parent, { hook: "layers.7" }), /found "layers\.7"/);
});
(0, node_test_1.test)("what is no checkpoint is refused, and the message names the file", async () => {
    await strict_1.default.rejects((0, sae_1.loadSae)((0, node_path_1.join)(scratch, "nowhere")), /nowhere: expected a folder.*found no such folder/);
    const folder = (0, node_path_1.join)(scratch, "broken");
    (0, node_fs_1.mkdirSync)(folder);
    await strict_1.default.rejects((0, sae_1.loadSae)(folder), /broken: expected cfg\.json.*an empty folder/);
    (0, node_fs_1.cpSync)((0, node_path_1.join)(ORACLE, "sae", "cfg.json"), (0, node_path_1.join)(folder, "cfg.json"));
    await strict_1.default.rejects((0, sae_1.loadSae)(folder), /expected sae\.safetensors beside cfg\.json/);
    (0, node_fs_1.cpSync)((0, node_path_1.join)(ORACLE, "sae", "sae.safetensors"), (0, node_path_1.join)(folder, "sae.safetensors"));
    await (0, sae_1.loadSae)(folder);
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "saelab.json"), '{"format":"saelab-sae","version":2}');
    await strict_1.default.rejects((0, sae_1.loadSae)(folder), (error) => error instanceof errors_1.CheckpointError && /saelab\.json: expected.*version 2.*Delete this file/.test(error.message));
});
(0, node_test_1.test)("arrays that do not fit each other make no SAE", () => {
    const w = weights(4, 8, 2, 6);
    strict_1.default.throws(() => (0, sae_1.saeOf)({ ...w, wDec: w.wDec.subarray(1) }), /wDec: expected 32 numbers.*found 31/);
    strict_1.default.throws(() => (0, sae_1.saeOf)({ ...w, k: 9 }), /k: expected 1 to 8, found 9/);
});
(0, node_test_1.test)("evaluate: the measures of the held-out rows, over chunks as in one piece", async () => {
    const d = 6, w = weights(d, 40, 3, 7);
    const rng = (0, random_1.random)(8);
    const rows = Float32Array.from({ length: 1000 * d }, () => 1.5 * rng.normal());
    const store = (0, planted_1.memoryStore)(rows, d, { document: 10 });
    const sae = (0, sae_1.saeOf)(w);
    const heldout = Float32Array.from(rows.filter((_, i) => Math.floor(i / d / 10) % 4 === 3));
    const codes = (0, sae_2.encode)(w, heldout);
    const got = await (0, sae_1.evaluate)(sae, store);
    strict_1.default.ok(Math.abs(got.fvu - (0, measure_1.fvu)(heldout, (0, sae_2.decode)(w, codes), d)) < 1e-6);
    strict_1.default.equal(got.explainedVariance, 1 - got.fvu);
    strict_1.default.equal(got.rows, 250);
    strict_1.default.equal(got.hook, "layers.1");
    const counts = new Float64Array(40);
    codes.index.forEach((f, i) => (counts[f] += codes.value[i] > 0 ? 1 : 0));
    strict_1.default.ok(Math.abs(got.l0 - counts.reduce((a, b) => a + b, 0) / 250) < 1e-9);
    strict_1.default.equal(got.dead, counts.filter((c) => c === 0).length / 40);
    strict_1.default.equal(got.dense, counts.filter((c) => c > 25).length / 40);
    strict_1.default.equal((await (0, sae_1.evaluate)(sae, store, { split: "train" })).rows, 750);
    strict_1.default.equal((await (0, sae_1.evaluate)(sae, store, { split: "all", rows: 123 })).rows, 123);
});
(0, node_test_1.test)("evaluate names the store and hook of a row that is not finite", async () => {
    const rng = (0, random_1.random)(10);
    const rows = Float32Array.from({ length: 400 * 5 }, () => rng.normal());
    rows[399 * 5] = NaN; // of the last document, which is held out
    await strict_1.default.rejects((0, sae_1.evaluate)((0, sae_1.saeOf)(weights(5, 12, 3, 9)), (0, planted_1.memoryStore)(rows, 5)), (error) => error instanceof errors_1.StoreError && /memory: layers\.1: expected finite activations, found NaN.*Harvest again/.test(error.message));
});
(0, node_test_1.test)("evaluate refuses rows of another width and an empty split before it reads", async () => {
    const store = (0, planted_1.memoryStore)(new Float32Array(30 * 5), 5);
    await strict_1.default.rejects((0, sae_1.evaluate)((0, sae_1.saeOf)(weights(6, 12, 3, 9)), store), (error) => error instanceof errors_1.OptionError && /width 6.*found 5/.test(error.message));
    await strict_1.default.rejects((0, sae_1.evaluate)((0, sae_1.saeOf)(weights(5, 12, 3, 9)), store), /at least 2 rows of the split "heldout", found 0/);
    await strict_1.default.rejects((0, sae_1.evaluate)((0, sae_1.saeOf)(weights(5, 12, 3, 9)), store, { split: "train" }), /rows that differ/);
    await strict_1.default.rejects((0, sae_1.evaluate)((0, sae_1.saeOf)(weights(5, 12, 3, 9)), store, { rows: 0 }), errors_1.OptionError);
});
//# sourceMappingURL=sae.test.js.map