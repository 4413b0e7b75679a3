"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const errors_1 = require("../../src/core/errors");
const sae_1 = require("../../src/core/sae");
const random_1 = require("../../src/core/random");
const safetensors_1 = require("../../src/core/safetensors");
const coder_1 = require("../../src/adapters/coder");
const plainstep_1 = require("../../src/adapters/plainstep");
const step_1 = require("../../src/adapters/step");
const tensorflow_1 = require("../../src/adapters/tensorflow");
const engine = (0, tensorflow_1.tensorflow)();
const normals = (n, rng, scale = 1) => Float32Array.from({ length: n }, () => scale * rng.normal());
/** Untied random weights with non-zero biases: nothing cancels by symmetry. */
function state(d, latents, k, seed) {
    const rng = (0, random_1.random)(seed);
    const parameters = {
        wEnc: normals(latents * d, rng, 1 / Math.sqrt(d)), bEnc: normals(latents, rng, 0.05), wDec: normals(latents * d, rng), bDec: normals(d, rng, 0.3),
    };
    return (0, step_1.freshState)(d, latents, k, parameters);
}
/** max|a − b| ≤ tolerance·max|b| */
function close(actual, expected, tolerance, what) {
    strict_1.default.equal(actual.length, expected.length, what);
    let largest = 0, worst = 0;
    for (let i = 0; i < expected.length; i++) {
        largest = Math.max(largest, Math.abs(expected[i]));
        worst = Math.max(worst, Math.abs(actual[i] - expected[i]));
        strict_1.default.ok(Number.isFinite(actual[i]), `${what}: ${i} is ${actual[i]}`);
    }
    strict_1.default.ok(worst <= tolerance * largest, `${what}: differs by ${worst}, largest ${largest}, relative ${worst / largest}`);
}
const names = ["wEnc", "bEnc", "wDec", "bDec"];
/** The cases: sizes that divide and that do not, every latent chosen, groups, bfloat16; few dead latents (dense) and many (picked). */
const cases = [
    { name: "no dead latents", d: 16, latents: 64, k: 4, rows: 40, dead: [] },
    { name: "few dead latents: all of them take part", d: 16, latents: 64, k: 4, rows: 40, dead: [3, 9, 10, 63] },
    { name: "many dead latents: half the width take part", d: 16, latents: 96, k: 4, rows: 40, dead: Array.from({ length: 60 }, (_, i) => i + 5) },
    { name: "every latent is chosen", d: 8, latents: 12, k: 12, rows: 30, dead: [0, 7] },
    { name: "one latent is chosen", d: 7, latents: 33, k: 1, rows: 21, dead: [1, 2, 3, 4, 5] },
    { name: "groups of groups, chunks that do not divide", d: 12, latents: 512, k: 3, rows: 50, dead: [4, 5], choice: { precision: "f32", groups: [16, 4], chunk: 7 } },
];
for (const { name, d, latents, k, rows, dead, choice } of cases) {
    (0, node_test_1.test)(`stock and plain steps agree: ${name}`, () => {
        const rng = (0, random_1.random)(7);
        const initial = state(d, latents, k, 1);
        const stock = (0, step_1.stockStep)(engine, initial, choice), plain = (0, plainstep_1.plainStep)(engine, initial);
        const list = Int32Array.from(dead);
        const x = normals(rows * d, rng, 1.3).map((v, i) => v + (i % d) * 0.1);
        const a = stock.gradients(x, { dead: list }), b = plain.gradients(x, { dead: list });
        strict_1.default.ok(Math.abs(a.fvu - b.fvu) <= 1e-5 * b.fvu, `fvu ${a.fvu} ${b.fvu}`);
        strict_1.default.ok(Math.abs(a.aux - b.aux) <= 1e-5 * b.aux, `aux ${a.aux} ${b.aux}`);
        strict_1.default.equal(b.aux > 0, dead.length > 0);
        for (const part of names)
            close(a.gradient[part], b.gradient[part], 1e-5, `gradient of ${part}`);
        for (let step = 0; step < 20; step++) {
            const batch = normals(rows * d, rng, 1.3).map((v, i) => v + (i % d) * 0.1);
            const options = { learningRate: 0.003, dead: list };
            const got = stock.update(batch, options), want = plain.update(batch, options);
            strict_1.default.ok(Math.abs(got.fvu - want.fvu) <= 1e-5 * want.fvu, `step ${step}: fvu ${got.fvu}, expected ${want.fvu}`);
            strict_1.default.ok(Math.abs(got.aux - want.aux) <= 1e-5 * want.aux, `step ${step}: aux ${got.aux}, expected ${want.aux}`);
        }
        const end = stock.state().parameters;
        for (let f = 0; f < latents; f++) {
            const norm = Math.hypot(...end.wDec.subarray(f * d, (f + 1) * d));
            strict_1.default.ok(Math.abs(norm - 1) < 1e-5, `row ${f} of W_dec has norm ${norm}`);
        }
        close(end.wDec, plain.state().parameters.wDec, 1e-4, "W_dec after 20 steps");
        close(end.wEnc, plain.state().parameters.wEnc, 1e-4, "W_enc after 20 steps");
        stock.dispose();
        plain.dispose();
    });
}
const golden = (0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(__dirname, "../../../test/oracle/step/golden.safetensors")));
const { tensors } = (0, safetensors_1.readHeader)(golden, "golden.safetensors");
for (const kind of ["none", "few", "many"]) {
    (0, node_test_1.test)(`20 steps agree with PyTorch's autograd and Adam: ${kind} dead`, () => {
        const floats = (name) => (0, safetensors_1.readFloats)(golden, tensors.get(name));
        const of = (prefix) => Object.fromEntries(names.map((name) => [name, floats(`${prefix}.${name}`)]));
        const [steps, rows, d] = tensors.get("x").shape;
        const latents = tensors.get("start.bEnc").shape[0];
        const x = floats("x"), losses = floats(`${kind}.losses`), dead = (0, safetensors_1.readInts)(golden, tensors.get(`${kind}.dead`));
        const initial = { ...(0, step_1.freshState)(d, latents, 4, of("start")), parameters: of("start") };
        const step = (0, step_1.stockStep)(engine, initial);
        const batch = (t) => x.slice(t * rows * d, (t + 1) * rows * d);
        const { gradient } = step.gradients(batch(0), { dead });
        for (const name of names)
            close(gradient[name], floats(`${kind}.gradient.${name}`), 2e-6, `gradient of ${name}`);
        for (let t = 0; t < steps; t++) {
            const { fvu, aux } = step.update(batch(t), { learningRate: 3e-3, dead });
            strict_1.default.ok(Math.abs(fvu - losses[2 * t]) <= 1e-5 * losses[2 * t], `step ${t}: fvu ${fvu}, expected ${losses[2 * t]}`);
            strict_1.default.ok(Math.abs(aux - losses[2 * t + 1]) <= 1e-5 * losses[2 * t + 1], `step ${t}: aux ${aux}, expected ${losses[2 * t + 1]}`);
        }
        const end = step.state().parameters;
        for (const name of names)
            close(end[name], floats(`${kind}.end.${name}`), 1e-4, `${name} after ${steps} steps`);
        step.dispose();
    });
}
(0, node_test_1.test)("the auxiliary loss reaches the encoder of dead latents, and leaves the residual alone", () => {
    const d = 16, latents = 64, k = 2, rng = (0, random_1.random)(3);
    const initial = state(d, latents, k, 4);
    for (let f = 0; f < 32; f++)
        initial.parameters.bEnc[f] = 9; // the other half is never among the best two
    const step = (0, step_1.stockStep)(engine, initial);
    const x = normals(64 * d, rng);
    const dead = Int32Array.from({ length: 32 }, (_, i) => 32 + i);
    const without = step.gradients(x).gradient, with_ = step.gradients(x, { dead }).gradient;
    const size = (g, from, to) => Math.hypot(...g.subarray(from * d, to * d));
    strict_1.default.equal(size(without.wEnc, 32, 64), 0);
    strict_1.default.ok(size(with_.wEnc, 32, 64) > 1e-4);
    strict_1.default.ok(size(with_.wDec, 32, 64) > 1e-4);
    strict_1.default.deepEqual(with_.wEnc.subarray(0, 32 * d), without.wEnc.subarray(0, 32 * d));
    strict_1.default.deepEqual(with_.wDec.subarray(0, 32 * d), without.wDec.subarray(0, 32 * d));
    step.dispose();
});
(0, node_test_1.test)("a numerical derivative of the loss agrees with the gradient", () => {
    const d = 6, latents = 20, k = 3, rng = (0, random_1.random)(11);
    const initial = state(d, latents, k, 12);
    const x = normals(30 * d, rng);
    const lossAt = (parameters) => {
        const step = (0, step_1.stockStep)(engine, (0, step_1.freshState)(d, latents, k, parameters));
        const { fvu } = step.gradients(x);
        step.dispose();
        return fvu;
    };
    const step = (0, step_1.stockStep)(engine, initial);
    const { gradient } = step.gradients(x);
    const at = initial.parameters;
    step.dispose();
    const h = 5e-3;
    for (const [name, i] of [["wEnc", 17], ["bEnc", 2], ["bDec", 4]]) { // not W_dec: a step would normalise the shifted rows
        const shifted = (by) => ({ ...at, [name]: at[name].map((v, j) => (j === i ? v + by : v)) });
        const numeric = (lossAt(shifted(h)) - lossAt(shifted(-h))) / (2 * h);
        strict_1.default.ok(Math.abs(numeric - gradient[name][i]) < 2e-2 * Math.abs(gradient[name][i]) + 1e-4, `${name}: ${numeric}, ${gradient[name][i]}`);
    }
});
(0, node_test_1.test)("top-k: every grouping gives the set and the order of a full sort, ties by smaller index", () => {
    const d = 8, latents = 256, k = 3, rng = (0, random_1.random)(5);
    const parameters = { wEnc: normals(latents * d, rng), bEnc: new Float32Array(latents), wDec: normals(latents * d, rng), bDec: normals(d, rng) };
    // Duplicates within a group and far apart: exact ties among the largest values.
    for (const [to, from] of [[9, 8], [200, 8], [131, 5], [6, 5], [255, 77], [78, 77], [128, 127]]) {
        parameters.wEnc.copyWithin(to * d, from * d, (from + 1) * d);
    }
    const x = normals(200 * d, rng);
    const weights = { d, latents, k, ...parameters };
    const want = (0, sae_1.encode)(weights, x);
    const groups = (0, coder_1.groupings)(latents, k);
    strict_1.default.ok(groups.length >= 4 && groups.some((g) => g.length === 2), JSON.stringify(groups));
    const got = (0, coder_1.encodeRows)(engine, (0, coder_1.coder)(d, latents, k, parameters), x);
    strict_1.default.deepEqual(got.index, want.index);
    close(got.value, want.value, 1e-5, "values");
    for (const g of groups) {
        const step = (0, step_1.stockStep)(engine, (0, step_1.freshState)(d, latents, k, parameters), { precision: "f32", groups: g, chunk: 64 });
        const { chosen } = step.gradients(x);
        strict_1.default.deepEqual(chosen.index, want.index, `groups [${g}]`);
        step.dispose();
    }
});
(0, node_test_1.test)("bfloat16 picks nearly the same latents, and their values are float32's", () => {
    const d = 32, latents = 256, k = 4, rng = (0, random_1.random)(6);
    const initial = state(d, latents, k, 8);
    const x = normals(100 * d, rng);
    const exact = (0, step_1.stockStep)(engine, initial), rough = (0, step_1.stockStep)(engine, initial, { precision: "bf16", groups: [8], chunk: 32 });
    const a = exact.gradients(x), b = rough.gradients(x);
    let same = 0;
    for (let row = 0; row < 100; row++) {
        const want = new Map(Array.from({ length: k }, (_, i) => [a.chosen.index[row * k + i], a.chosen.value[row * k + i]]));
        for (let i = row * k; i < (row + 1) * k; i++) {
            const value = want.get(b.chosen.index[i]);
            if (value === undefined)
                continue;
            same++;
            strict_1.default.ok(Math.abs(value - b.chosen.value[i]) <= 1e-5, `${value} ${b.chosen.value[i]}`);
        }
    }
    strict_1.default.ok(same >= 0.98 * 100 * k, `${same} of ${100 * k}`);
    strict_1.default.ok(Math.abs(a.fvu - b.fvu) < 1e-2 * a.fvu);
    exact.dispose();
    rough.dispose();
});
(0, node_test_1.test)("encodeTopK and decode: of some latents only, and both steps alike", () => {
    const d = 10, latents = 48, k = 4, rng = (0, random_1.random)(9);
    const initial = state(d, latents, k, 10);
    const steps = [(0, step_1.stockStep)(engine, initial), (0, plainstep_1.plainStep)(engine, initial)];
    const x = normals(25 * d, rng);
    const only = Int32Array.from([2, 3, 5, 7, 11, 13, 17, 40]);
    const [a, b] = steps.map((step) => step.encodeTopK(x, { k: 3, only }));
    const positive = (s) => Array.from(s.index, (f, i) => (s.value[i] > 0 ? f : -1));
    strict_1.default.deepEqual(positive(a), positive(b));
    strict_1.default.ok(a.index.every((f) => only.includes(f)));
    close(a.value, b.value, 1e-5, "values");
    const [p, q] = steps.map((step) => step.decode(a));
    close(p, q, 1e-5, "rows");
    const [m, w] = steps.map((step) => step.measure(x));
    strict_1.default.ok(Math.abs(m.fvu - w.fvu) < 1e-5 * w.fvu);
    strict_1.default.deepEqual([m.l0, m.dead, m.dense, m.rows], [w.l0, w.dead, w.dense, w.rows]);
    steps.forEach((step) => step.dispose());
});
(0, node_test_1.test)("a state carries over: a second step goes on as the first would have", () => {
    const d = 12, latents = 64, k = 4, rng = (0, random_1.random)(13);
    const first = (0, step_1.stockStep)(engine, state(d, latents, k, 14));
    const batches = Array.from({ length: 6 }, () => normals(32 * d, rng));
    for (const x of batches.slice(0, 3))
        first.update(x, { learningRate: 0.01 });
    const second = (0, step_1.stockStep)(engine, first.state());
    for (const x of batches.slice(3)) {
        strict_1.default.equal(second.update(x, { learningRate: 0.01 }).fvu, first.update(x, { learningRate: 0.01 }).fvu);
    }
    strict_1.default.deepEqual(second.state(), first.state());
    first.dispose();
    second.dispose();
});
for (const [kind, make] of [["stock", step_1.stockStep], ["plain", plainstep_1.plainStep]]) {
    (0, node_test_1.test)(`a ${kind} step leaves no tensor behind and does not change the caller's arrays`, () => {
        const d = 12, latents = 64, k = 4, rng = (0, random_1.random)(15);
        // handles of the binding, and TF.js's own count: its variables share handles with the tensors they were made of
        const tensors = () => [engine.live(), engine.tf.memory().numTensors];
        const before = tensors();
        const initial = state(d, latents, k, 16);
        const copy = structuredClone(initial);
        const x = normals(32 * d, rng);
        const kept = x.slice();
        const step = make(engine, initial);
        step.update(x, { learningRate: 0.01 }); // TF.js hands a variable to TensorFlow when it is first used
        const held = tensors();
        for (let i = 0; i < 5; i++)
            step.update(x, { learningRate: 0.01, dead: Int32Array.from([1, 2, 3]) });
        step.encodeTopK(x);
        step.gradients(x, { dead: Int32Array.from([4]) });
        step.measure(x);
        strict_1.default.deepEqual(tensors(), held);
        step.dispose();
        strict_1.default.deepEqual(tensors(), before);
        strict_1.default.deepEqual(initial, copy);
        strict_1.default.deepEqual(x, kept);
    });
}
(0, node_test_1.test)("an error inside tidy frees what was made, and names the kernel", () => {
    const before = engine.live();
    const K = (0, tensorflow_1.kernels)(engine);
    strict_1.default.throws(() => engine.tidy(() => K.matMul(engine.tensor(new Float32Array(6), [2, 3]), engine.tensor(new Float32Array(8), [2, 4]))), /kernel MatMul/);
    strict_1.default.equal(engine.live(), before);
});
(0, node_test_1.test)("encode and decode refuse rows that do not fit", () => {
    const d = 6, latents = 12, k = 2;
    const sae = (0, coder_1.coder)(d, latents, k, state(d, latents, k, 17).parameters);
    strict_1.default.throws(() => (0, coder_1.encodeRows)(engine, sae, new Float32Array(7)), /multiple of the SAE's width 6, found 7/);
    for (const bad of [NaN, Infinity]) { // in the last number of the second row
        strict_1.default.throws(() => (0, coder_1.encodeRows)(engine, sae, new Float32Array(12).fill(bad, 11)), (error) => error instanceof errors_1.OptionError && error.message.startsWith(`encode: row 1: expected finite numbers, found ${bad}. Leave`));
    }
    const overflowing = { ...sae, packed: sae.packed.map((w) => w * 1e38) };
    strict_1.default.throws(() => (0, coder_1.encodeRows)(engine, overflowing, new Float32Array(6).fill(1e3)), /row 0: expected finite latents/);
    strict_1.default.throws(() => (0, coder_1.encodeRows)(engine, sae, new Float32Array(6), { k: 13 }), /1 to 12 latents/);
    const bad = { n: 1, k: 2, index: Int32Array.of(3, 12), value: Float32Array.of(1, 0.5) };
    strict_1.default.throws(() => (0, coder_1.decodeRows)(engine, sae, bad), /latents 0 to 11, found 12/);
    strict_1.default.equal((0, coder_1.decodeRows)(engine, sae, { ...bad, value: Float32Array.of(1, 0) }).length, 6); // 0 may carry any index
});
//# sourceMappingURL=step.test.js.map