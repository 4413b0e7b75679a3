"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.checkRows = exports.TINY = exports.defaultChoice = exports.freshState = exports.zerosLike = void 0;
exports.stockStep = stockStep;
const measure_1 = require("../core/measure");
const sae_1 = require("../core/sae");
const schedule_1 = require("../core/schedule");
const coder_1 = require("./coder");
const tensorflow_1 = require("./tensorflow");
const zerosLike = ({ wEnc, bEnc, wDec, bDec }) => ({
    wEnc: new Float32Array(wEnc.length),
    bEnc: new Float32Array(bEnc.length),
    wDec: new Float32Array(wDec.length),
    bDec: new Float32Array(bDec.length),
});
exports.zerosLike = zerosLike;
/** A state with no steps made; rows of W_dec are brought to unit norm. */
const freshState = (d, latents, k, parameters) => ({
    d, latents, k, steps: 0,
    parameters: { ...parameters, wDec: normalised(parameters.wDec, d) },
    m: (0, exports.zerosLike)(parameters),
    v: (0, exports.zerosLike)(parameters),
});
exports.freshState = freshState;
const defaultChoice = (latents, k) => ({
    precision: "f32", groups: (0, coder_1.defaultGroups)(latents, k), chunk: 128,
});
exports.defaultChoice = defaultChoice;
/** Encodes, decodes and measures rows. */
function measureRows(engine, sae, x) {
    const tally = (0, measure_1.measuring)(sae.d, sae.latents);
    const sparse = (0, coder_1.encodeRows)(engine, sae, x);
    tally.rows(x, (0, coder_1.decodeRows)(engine, sae, sparse));
    tally.latents(sparse.index, sparse.value);
    return tally.result();
}
/** Added to a squared norm before its root: a row of zeros stays one. */
exports.TINY = 1e-30;
function normalised(rows, d) {
    const out = new Float32Array(rows.length);
    for (let at = 0; at < rows.length; at += d) {
        let sum = exports.TINY;
        for (let j = at; j < at + d; j++)
            sum += rows[j] * rows[j];
        const scale = 1 / Math.sqrt(sum);
        for (let j = at; j < at + d; j++)
            out[j] = rows[j] * scale;
    }
    return out;
}
const checkRows = (x, d) => {
    const n = (0, sae_1.wholeRows)(x, d);
    if (n < 2)
        throw new RangeError(`batch: expected at least 2 rows (their variance is the loss's unit), found ${n}`);
    return n;
};
exports.checkRows = checkRows;
/** Only the chosen latents are decoded and get gradients, through kernels that every TensorFlow build has. */
function stockStep(engine, initial, choice = (0, exports.defaultChoice)(initial.latents, initial.k)) {
    const { d, latents, k } = initial;
    const width = d + coder_1.PADDING;
    const { K, centred, encode, decode } = (0, coder_1.forward)(engine);
    let steps = initial.steps;
    const encoder = (p) => K.variable((0, coder_1.withBias)(p.wEnc, p.bEnc, d), [latents, width]);
    const triple = (p) => ({ we: encoder(p), wd: K.variable(p.wDec, [latents, d]), bd: K.variable(p.bDec, [d]) });
    const P = triple(initial.parameters);
    const M = triple(initial.m);
    const V = triple(initial.v);
    const sparseGradients = ({ value, index }, e, g, xa, n, kept, columns) => engine.tidy(() => {
        const { entries, shape } = K.entries(index, n, kept, columns);
        const flat = (x) => K.reshape(x, [n * kept]);
        return {
            dwd: K.scatterProduct(entries, flat(value), shape, e),
            dwe: K.scatterProduct(entries, flat(g), shape, xa),
            along: K.segmentSum(flat(K.mul(value, g)), K.reshape(index, [n * kept], tensorflow_1.DT.i32), columns),
        };
    });
    /**
     * The auxiliary term: dead latents alone against the residual −e; gradients of the dead latents' rows. So many take part
     * in each row (half its width) that dense products are several times as fast as gathering them. Latents that tie with the
     * last one take part too.
     */
    const auxiliaryGradients = (dead, weight, xa, e, variance, we, wd, n) => {
        const { k: kept, scale } = (0, schedule_1.auxiliary)(dead.length, d, weight);
        const factor = (2 * scale) / variance;
        const list = engine.tensor(dead, [dead.length]);
        const wdDead = K.gather(wd, list);
        const weDead = K.gather(we, list);
        const target = K.mul(e, K.scalar(-variance / 2)); // the residual x − x̂ in plain units
        const pre = K.matMul(xa, weDead, { transposeB: true });
        const v = kept === dead.length ? K.relu(pre) : K.keepLargest(K.relu(pre), kept, n);
        const error = K.mul(K.sub(K.matMul(v, wdDead), target), K.scalar(factor));
        const g = K.reluGrad(K.matMul(error, wdDead, { transposeB: true }), v);
        return {
            loss: engine.floats(K.sum(K.square(error), [0, 1]))[0] * (variance / (4 * scale)),
            dwd: K.matMul(v, error, { transposeA: true }),
            dwe: K.matMul(g, xa, { transposeA: true }),
            along: K.sum(K.mul(v, g), [0]),
        };
    };
    /** To be called inside `tidy`. */
    const backward = (x, n, dead, weight, we, wd, bd) => {
        const rows = engine.tensor(x, [n, d]);
        const mean = K.mul(K.sum(rows, [0], true), K.scalar(1 / n));
        const variance = engine.floats(K.sum(K.squaredDifference(rows, mean), [0, 1]))[0];
        const { xc, xa } = centred(rows, bd, n);
        const chosen = encode(xa, we, { n, d, latents, k }, choice);
        const decoded = decode(chosen, wd, xc, 2 / variance, { n, d, k, chunk: choice.chunk });
        const { e } = decoded;
        const g = K.reluGrad(decoded.g, chosen.value);
        const fvu = engine.floats(K.sum(K.square(e), [0, 1]))[0] * (variance / 4);
        let { dwd, dwe, along } = sparseGradients(chosen, e, g, xa, n, k, latents);
        let aux = 0;
        if (dead.length && weight > 0) {
            const extra = auxiliaryGradients(dead, weight, xa, e, variance, we, wd, n);
            const at = engine.tensor(dead, [dead.length, 1]);
            aux = extra.loss;
            dwd = K.addToRows(dwd, at, extra.dwd);
            dwe = K.addToRows(dwe, at, extra.dwe);
            along = K.addToRows(along, at, extra.along);
        }
        // x − b_dec enters every pre-activation: b_dec's gradient loses b_enc's, carried back through W_enc.
        const through = K.slice(K.matMul(K.slice(dwe, [0, d], [latents, 1]), we, { transposeA: true }), [0, 0], [1, d]);
        const dbd = K.sub(K.sum(e, [0]), K.reshape(through, [d]));
        return { dwe, dwd, dbd, along, fvu, aux, chosen };
    };
    const sparse = ({ index, value }, n) => ({ n, k, index: engine.ints(index), value: engine.floats(value) });
    const readAll = ({ we, wd, bd }) => engine.tidy(() => ({
        ...(0, coder_1.withoutBias)(engine.floats(K.read(we)), d), wDec: engine.floats(K.read(wd)), bDec: engine.floats(K.read(bd)),
    }));
    const now = () => (0, coder_1.coder)(d, latents, k, readAll(P));
    return {
        kind: "stock",
        choice,
        encodeTopK: (x, options) => (0, coder_1.encodeRows)(engine, now(), x, options),
        decode: (rows) => (0, coder_1.decodeRows)(engine, now(), rows),
        gradients: (x, { dead = new Int32Array(0), auxWeight = 1 } = {}) => engine.tidy(() => {
            const n = (0, exports.checkRows)(x, d);
            const { dwe, dwd, dbd, fvu, aux, chosen } = backward(x, n, dead, auxWeight, K.read(P.we), K.read(P.wd), K.read(P.bd));
            const gradient = { ...(0, coder_1.withoutBias)(engine.floats(dwe), d), wDec: engine.floats(dwd), bDec: engine.floats(dbd) };
            return { fvu, aux, chosen: sparse(chosen, n), gradient };
        }),
        update: (x, { learningRate, dead = new Int32Array(0), auxWeight = 1 }) => engine.tidy(() => {
            const n = (0, exports.checkRows)(x, d);
            const [we, wd, bd] = [K.read(P.we), K.read(P.wd), K.read(P.bd)];
            const { dwe, dwd, dbd, along, fvu, aux, chosen } = backward(x, n, dead, auxWeight, we, wd, bd);
            const across = K.sub(dwd, K.mul(wd, K.reshape(along, [latents, 1])));
            engine.free(we, wd, bd); // while they are held, Adam copies the variables instead of changing them in place
            steps++;
            K.adam(P.we, M.we, V.we, dwe, steps, learningRate);
            K.adam(P.wd, M.wd, V.wd, across, steps, learningRate);
            K.adam(P.bd, M.bd, V.bd, dbd, steps, learningRate);
            const moved = K.read(P.wd);
            const norms = K.rsqrt(K.add(K.sum(K.square(moved), [1], true), K.scalar(exports.TINY)));
            K.assign(P.wd, K.mul(moved, norms));
            return { fvu, aux, chosen: sparse(chosen, n) };
        }),
        measure: (x) => measureRows(engine, now(), x),
        state: () => ({ d, latents, k, steps, parameters: readAll(P), m: readAll(M), v: readAll(V) }),
        dispose() {
            for (const set of [P, M, V])
                for (const variable of Object.values(set))
                    K.destroy(variable);
        },
    };
}
//# sourceMappingURL=step.js.map