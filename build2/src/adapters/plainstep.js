"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.plainStep = plainStep;
const measure_1 = require("../core/measure");
const sae_1 = require("../core/sae");
const schedule_1 = require("../core/schedule");
const step_1 = require("./step");
const tensorflow_1 = require("./tensorflow");
/**
 * Dense, with TF.js's own gradients: every latent is computed, and a mask of 0 and 1 keeps the chosen. Slow; the reference
 * of the stock step.
 */
function plainStep({ tf }, initial) {
    const { d, latents, k } = initial;
    const names = ["wEnc", "bEnc", "wDec", "bDec"];
    const shapes = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, d], bDec: [d] };
    const variables = (p) => tf.tidy(() => // a variable outlives tidy, the tensor it was made of does not
     Object.fromEntries(names.map((name) => [name, tf.variable(tf.tensor(p[name].slice(), shapes[name]))])));
    const P = variables(initial.parameters);
    const M = variables(initial.m);
    const V = variables(initial.v);
    let steps = initial.steps;
    const parameters = (from) => Object.fromEntries(names.map((name) => [name, from[name].dataSync().slice()]));
    const preActivations = (x) => tf.add(tf.matMul(tf.sub(x, P.bDec), P.wEnc, false, true), P.bEnc);
    /** 1 at the `count` largest of each row among the allowed latents, else 0. */
    const mask = (pre, count, allowed) => {
        const [n] = pre.shape;
        const values = pre.dataSync();
        const out = new Float32Array(n * latents);
        const index = new Int32Array(n * count), value = new Float32Array(n * count);
        const candidates = [...allowed.keys()].filter((f) => allowed[f]);
        for (let row = 0; row < n; row++) {
            const at = row * latents;
            const order = candidates.slice().sort((a, b) => values[at + b] - values[at + a] || a - b);
            for (let i = 0; i < count; i++) {
                index[row * count + i] = order[i];
                value[row * count + i] = Math.max(values[at + order[i]], 0);
                out[at + order[i]] = 1;
            }
        }
        return { chosen: { n, k: count, index, value }, mask: tf.tensor(out, [n, latents]) };
    };
    const backward = (x, dead, weight) => {
        const n = (0, step_1.checkRows)(x, d);
        const rows = tf.tensor(x, [n, d]);
        const variance = tf.sum(tf.squaredDifference(rows, tf.mean(rows, 0))).dataSync()[0];
        const pre = preActivations(rows);
        const main = mask(pre, k, new Uint8Array(latents).fill(1));
        const { k: kept, scale } = (0, schedule_1.auxiliary)(dead.length, d, weight);
        const allowed = new Uint8Array(latents);
        for (const f of dead)
            allowed[f] = 1;
        const side = kept ? mask(pre, kept, allowed) : undefined;
        let fvu = 0, aux = 0;
        // The residual is a constant in the auxiliary term: it is computed before, outside the gradient.
        const rebuild = (m) => tf.matMul(tf.mul(tf.relu(preActivations(rows)), m), P.wDec);
        const residual = tf.sub(rows, tf.add(rebuild(main.mask), P.bDec));
        const { grads } = tf.variableGrads(() => {
            const share = tf.div(tf.sum(tf.square(tf.sub(tf.add(rebuild(main.mask), P.bDec), rows))), variance);
            fvu = share.dataSync()[0];
            if (!side)
                return share;
            const extra = tf.mul(tf.div(tf.sum(tf.square(tf.sub(rebuild(side.mask), residual))), variance), scale);
            aux = extra.dataSync()[0];
            return tf.add(share, extra);
        }, names.map((name) => P[name]));
        const gradient = Object.fromEntries(names.map((name) => [name, grads[P[name].name]]));
        return { fvu, aux, chosen: main.chosen, gradient };
    };
    return {
        kind: "plain",
        choice: { precision: "f32", groups: [], chunk: 0 },
        encodeTopK: (x, { k: count = k, only } = {}) => tf.tidy(() => {
            const n = (0, sae_1.wholeRows)(x, d);
            const allowed = new Uint8Array(latents).fill(only ? 0 : 1);
            for (const f of only ?? [])
                allowed[f] = 1;
            return mask(preActivations(tf.tensor(x, [n, d])), count, allowed).chosen;
        }),
        decode: (rows) => (0, sae_1.decode)({ d, latents, k, ...parameters(P) }, rows),
        gradients: (x, { dead = new Int32Array(0), auxWeight = 1 } = {}) => {
            let result;
            tf.tidy(() => {
                const { gradient, ...losses } = backward(x, dead, auxWeight);
                result = { ...losses, gradient: parameters(gradient) };
            });
            return result;
        },
        update: (x, { learningRate, dead = new Int32Array(0), auxWeight = 1 }) => {
            let losses;
            tf.tidy(() => {
                const { gradient, ...rest } = backward(x, dead, auxWeight);
                losses = rest;
                const along = tf.sum(tf.mul(gradient.wDec, P.wDec), 1, true);
                gradient.wDec = tf.sub(gradient.wDec, tf.mul(along, P.wDec));
                steps++;
                for (const name of names) {
                    M[name].assign(tf.add(tf.mul(M[name], tensorflow_1.BETA1), tf.mul(gradient[name], 1 - tensorflow_1.BETA1)));
                    V[name].assign(tf.add(tf.mul(V[name], tensorflow_1.BETA2), tf.mul(tf.square(gradient[name]), 1 - tensorflow_1.BETA2)));
                    const mean = tf.div(M[name], 1 - tensorflow_1.BETA1 ** steps);
                    const root = tf.add(tf.sqrt(tf.div(V[name], 1 - tensorflow_1.BETA2 ** steps)), tensorflow_1.EPSILON);
                    P[name].assign(tf.sub(P[name], tf.mul(tf.div(mean, root), learningRate)));
                }
                P.wDec.assign(tf.mul(P.wDec, tf.rsqrt(tf.add(tf.sum(tf.square(P.wDec), 1, true), step_1.TINY))));
            });
            return losses;
        },
        measure(x) {
            const tally = (0, measure_1.measuring)(d, latents);
            const chosen = this.encodeTopK(x);
            tally.rows(x, this.decode(chosen));
            tally.latents(chosen.index, chosen.value);
            return tally.result();
        },
        state: () => ({ d, latents, k, steps, parameters: parameters(P), m: parameters(M), v: parameters(V) }),
        dispose() {
            for (const set of [P, M, V])
                for (const name of names)
                    set[name].dispose();
        },
    };
}
//# sourceMappingURL=plainstep.js.map