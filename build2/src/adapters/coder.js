"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.coder = exports.PADDING = void 0;
exports.groupings = groupings;
exports.defaultGroups = defaultGroups;
exports.withBias = withBias;
exports.withoutBias = withoutBias;
exports.forward = forward;
exports.encodeRows = encodeRows;
exports.decodeRows = decodeRows;
const errors_1 = require("../core/errors");
const sae_1 = require("../core/sae");
const tensorflow_1 = require("./tensorflow");
/**
 * Group sizes to try for the k largest of `columns`: each level keeps k groups of G, so G must divide, and k groups must be
 * a gain.
 */
function groupings(columns, k) {
    const fits = (n, G) => n % G === 0 && 2 * k * G <= n;
    const out = [[]];
    for (const G of [4, 8, 16, 32]) {
        if (!fits(columns, G))
            continue;
        out.push([G]);
        if (G >= 16 && fits(k * G, 4))
            out.push([G, 4]);
    }
    return out;
}
/** Without a measurement: the group size near √(F/k), where both levels have as much to do. */
function defaultGroups(columns, k) {
    const sizes = groupings(columns, k).filter((groups) => groups.length === 1);
    const cost = ([G]) => columns / G + k * G;
    return sizes.reduce((best, groups) => (!best.length || cost(groups) < cost(best) ? groups : best), []);
}
/**
 * Columns that follow the d of x: the first holds ones and carries the bias, the others keep rows of the product aligned.
 */
exports.PADDING = 8;
/**
 * [W_enc | b_enc | 0 …] of shape [F, d + 8]: the encoder's bias as a column, so that the product adds it and its gradient
 * comes with W_enc's.
 */
function withBias(wEnc, bEnc, d) {
    const width = d + exports.PADDING;
    const out = new Float32Array(bEnc.length * width);
    for (let f = 0; f < bEnc.length; f++) {
        out.set(wEnc.subarray(f * d, (f + 1) * d), f * width);
        out[f * width + d] = bEnc[f];
    }
    return out;
}
function withoutBias(packed, d) {
    const width = d + exports.PADDING, latents = packed.length / width;
    const wEnc = new Float32Array(latents * d), bEnc = new Float32Array(latents);
    for (let f = 0; f < latents; f++) {
        wEnc.set(packed.subarray(f * width, f * width + d), f * d);
        bEnc[f] = packed[f * width + d];
    }
    return { wEnc, bEnc };
}
/** Pieces of the forward pass on tensors; all of them are to be called inside `tidy`. */
function forward(engine) {
    const K = (0, tensorflow_1.kernels)(engine);
    /** [x − b_dec, 1, 0 …] and x − b_dec. */
    const centred = (x, bDec, n) => {
        const xc = K.sub(x, bDec);
        const ones = new Float32Array(n * exports.PADDING);
        for (let i = 0; i < n; i++)
            ones[i * exports.PADDING] = 1;
        return { xc, xa: K.concat([xc, engine.tensor(ones, [n, exports.PADDING])], 1) };
    };
    /**
     * The k largest of each row of pre [n, columns]: larger first, ties by smaller index. With groups, the largest of each
     * group of G neighbours is taken, then the k best groups, then the k best of their k·G members. The best k are surely
     * among them; groups are put in ascending order, so that position decides ties as it does in a single TopKV2.
     */
    const topK = (pre, n, columns, k, groups, dtype = tensorflow_1.DT.f32) => engine.tidy(() => {
        const [G, ...rest] = groups;
        if (!G) {
            const [value, index] = K.topK(pre, k, dtype);
            return { value, index };
        }
        const grouped = K.reshape(pre, [n, columns / G, G], dtype);
        const best = K.topK(K.max(grouped, 2, dtype), k, dtype)[1];
        const ascending = K.negateInts(K.topK(K.negateInts(best), k, tensorflow_1.DT.i32)[0]);
        const members = K.reshape(K.gather(grouped, ascending, { batchDims: 1, dtype }), [n, k * G], dtype);
        const { value, index: place } = topK(members, n, k * G, k, rest, dtype);
        const size = K.int(G);
        const group = K.divideInts(place, size);
        const within = K.subInts(place, K.mulInts(group, size));
        return { value, index: K.addInts(K.mulInts(K.gather(ascending, group, { batchDims: 1, dtype: tensorflow_1.DT.i32 }), size), within) };
    });
    /** Dot products of row b with the chosen rows of a matrix: [n, width], [F, width], [n, k] → [n, k]. */
    const chosenProducts = (rows, matrix, index, { n, d: width, k, chunk }) => {
        const parts = [];
        for (let from = 0; from < n; from += chunk) {
            const c = Math.min(chunk, n - from);
            parts.push(engine.tidy(() => {
                const chosen = K.gather(matrix, K.slice(index, [from, 0], [c, k], tensorflow_1.DT.i32));
                const row = K.reshape(K.slice(rows, [from, 0], [c, width]), [c, 1, width]);
                return K.reshape(K.batchMatMul(row, chosen, true), [c, k]);
            }));
        }
        return joined(parts);
    };
    const joined = (parts) => (parts.length === 1 ? parts[0] : K.concat(parts, 0));
    /** The k latents of each row: values after ReLU. xa [n, d + 8], we [F, d + 8]. */
    const encode = (xa, we, size, choice) => engine.tidy(() => {
        const { n, d, latents, k } = size;
        if (choice.precision === "f32") {
            const pre = K.matMul(xa, we, { transposeB: true });
            const { value, index } = topK(pre, n, latents, k, choice.groups);
            return { value: K.relu(value), index };
        }
        const pre = K.matMul(K.cast(xa, tensorflow_1.DT.f32, tensorflow_1.DT.bf16), K.cast(we, tensorflow_1.DT.f32, tensorflow_1.DT.bf16), { transposeB: true, dtype: tensorflow_1.DT.bf16 });
        const { index } = topK(pre, n, latents, k, choice.groups, tensorflow_1.DT.bf16);
        const exact = chosenProducts(xa, we, index, { n, d: d + exports.PADDING, k, chunk: choice.chunk });
        return { value: K.relu(exact), index };
    });
    /**
     * Rebuilds rows from the chosen latents and holds them against `target`: e = (Σ v·W_dec − target)·scale [n, d], g =
     * e·W_decᵀ at the chosen latents [n, k]. In chunks, so that the gathered rows [chunk, k, d] stay in the cache for both
     * products.
     */
    const decode = ({ value, index }, wd, target, scale, { n, d, k, chunk }) => engine.tidy(() => {
        const factor = K.scalar(scale);
        const errors = [], products = [];
        for (let from = 0; from < n; from += chunk) {
            const c = Math.min(chunk, n - from);
            const part = engine.tidy(() => {
                const rows = K.gather(wd, K.slice(index, [from, 0], [c, k], tensorflow_1.DT.i32));
                const v = K.reshape(K.slice(value, [from, 0], [c, k]), [c, 1, k]);
                const rebuilt = K.reshape(K.batchMatMul(v, rows), [c, d]);
                const e = K.mul(K.sub(rebuilt, K.slice(target, [from, 0], [c, d])), factor);
                return { e, g: K.reshape(K.batchMatMul(K.reshape(e, [c, 1, d]), rows, true), [c, k]) };
            });
            errors.push(part.e);
            products.push(part.g);
        }
        return { e: joined(errors), g: joined(products) };
    });
    /** x̂ − b_dec of the chosen latents: [n, k] → [n, d]. */
    const rebuild = ({ value, index }, wd, { n, d, k, chunk }) => {
        const parts = [];
        for (let from = 0; from < n; from += chunk) {
            const c = Math.min(chunk, n - from);
            parts.push(engine.tidy(() => {
                const rows = K.gather(wd, K.slice(index, [from, 0], [c, k], tensorflow_1.DT.i32));
                return K.reshape(K.batchMatMul(K.reshape(K.slice(value, [from, 0], [c, k]), [c, 1, k]), rows), [c, d]);
            }));
        }
        return joined(parts);
    };
    return { K, centred, topK, encode, decode, rebuild };
}
/** Rows encoded at a time outside training: the product [chunk, F] stays below 64 MB. */
const encodeChunk = (latents) => Math.max(1, Math.min(2048, Math.floor(2 ** 24 / latents)));
const coder = (d, latents, k, { wEnc, bEnc, wDec, bDec }) => ({
    d, latents, k, packed: withBias(wEnc, bEnc, d), wDec, bDec,
});
exports.coder = coder;
/**
 * Encodes rows in chunks with stock kernels, in float32.
 * @throws RangeError when x is not whole rows; OptionError when k is out of range, or x or the weights are not finite
 */
function encodeRows(engine, sae, x, { k = sae.k, only } = {}) {
    const { d, latents } = sae;
    const n = (0, sae_1.wholeRows)(x, d);
    const columns = only ? only.length : latents;
    if (!(k >= 1 && k <= columns)) {
        throw new errors_1.OptionError(`k: expected 1 to ${columns} latents to choose from, found ${k}. Choose fewer.`);
    }
    const bad = x.findIndex((number) => !Number.isFinite(number));
    if (bad >= 0) {
        throw new errors_1.OptionError(`encode: row ${Math.floor(bad / d)}: expected finite numbers, found ${x[bad]}. ` +
            "Leave this row out; if a harvest gave it, the model overflows at this hook.");
    }
    const index = new Int32Array(n * k), value = new Float32Array(n * k);
    const { K, centred, encode } = forward(engine);
    const choice = { precision: "f32", groups: defaultGroups(columns, k), chunk: 128 };
    engine.tidy(() => {
        const all = engine.tensor(sae.packed, [latents, d + exports.PADDING]);
        const we = only ? K.gather(all, engine.tensor(only, [only.length])) : all;
        const bDec = engine.tensor(sae.bDec, [d]);
        const chunk = encodeChunk(columns);
        for (let from = 0; from < n; from += chunk) {
            const c = Math.min(chunk, n - from);
            engine.tidy(() => {
                const { xa } = centred(engine.tensor(x.subarray(from * d, (from + c) * d), [c, d]), bDec, c);
                const chosen = encode(xa, we, { n: c, d, latents: columns, k }, choice);
                index.set(engine.ints(chosen.index), from * k);
                value.set(engine.floats(chosen.value), from * k);
            });
        }
        if (only)
            for (let i = 0; i < index.length; i++)
                index[i] = only[index[i]];
    });
    for (let i = 0; i < value.length; i++) {
        if (!Number.isFinite(value[i])) {
            throw new errors_1.OptionError(`encode: row ${Math.floor(i / k)}: expected finite latents, found ${value[i]}. ` +
                "The SAE's weights hold NaN or infinity, or overflow on this row: take another checkpoint.");
        }
    }
    return { n, k, index, value };
}
/** Decodes in chunks with stock kernels. @throws RangeError when an index is out of range or the arrays do not fit */
function decodeRows(engine, sae, { n, k, index, value }) {
    const { d, latents } = sae;
    if (index.length !== n * k || value.length !== n * k) {
        throw new RangeError(`sparse rows: expected index and value of ${n} × ${k}, found ${index.length} and ${value.length} entries`);
    }
    let safe = index;
    for (let i = 0; i < index.length; i++) {
        if (index[i] >= 0 && index[i] < latents)
            continue;
        if (value[i] !== 0) {
            throw new RangeError(`row ${Math.floor(i / k)}: expected latents 0 to ${latents - 1}, found ${index[i]}`);
        }
        if (safe === index)
            safe = index.slice();
        safe[i] = 0; // a value of 0 may carry any index
    }
    const out = new Float32Array(n * d);
    const { K, rebuild } = forward(engine);
    engine.tidy(() => {
        const wd = engine.tensor(sae.wDec, [latents, d]);
        const bDec = engine.tensor(sae.bDec, [d]);
        for (let from = 0; from < n; from += 4096) {
            const c = Math.min(4096, n - from);
            engine.tidy(() => {
                const part = {
                    index: engine.tensor(safe.subarray(from * k, (from + c) * k), [c, k]),
                    value: engine.tensor(value.subarray(from * k, (from + c) * k), [c, k]),
                };
                out.set(engine.floats(K.add(rebuild(part, wd, { n: c, d, k, chunk: 128 }), bDec)), from * d);
            });
        }
    });
    return out;
}
//# sourceMappingURL=coder.js.map