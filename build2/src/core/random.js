"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.random = random;
exports.permutation = permutation;
exports.sample = sample;
/** @param stream numbers the independent streams of one seed: rows, initial weights … */
function random(seed, stream = 0) {
    let s = (seed ^ Math.imul(stream + 1, 0x9e3779b9)) | 0;
    const splitmix = () => {
        s = (s + 0x9e3779b9) | 0;
        let z = Math.imul(s ^ (s >>> 16), 0x21f0aaad);
        z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
        return z ^ (z >>> 15);
    };
    let a = splitmix(), b = splitmix(), c = splitmix(), counter = 1;
    const next = () => {
        const t = (a + b + counter) | 0;
        counter = (counter + 1) | 0;
        a = b ^ (b >>> 9);
        b = (c + (c << 3)) | 0;
        c = ((c << 21) | (c >>> 11)) + t | 0;
        return t >>> 0;
    };
    for (let i = 0; i < 12; i++)
        next();
    const uniform = () => next() / 2 ** 32;
    let spare;
    return {
        uniform,
        below: (n) => Math.floor((next() / 2 ** 32) * n),
        normal() {
            if (spare !== undefined) {
                const value = spare;
                spare = undefined;
                return value;
            }
            const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
            const angle = 2 * Math.PI * uniform();
            spare = radius * Math.sin(angle);
            return radius * Math.cos(angle);
        },
    };
}
/** A random order of 0 … n − 1 (Fisher–Yates). */
function permutation(n, rng) {
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) {
        const j = rng.below(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    return order;
}
/**
 * `count` different numbers of 0 … n − 1 in ascending order; all of them when count ≥ n (selection sampling, Knuth's
 * algorithm S).
 */
function sample(n, count, rng) {
    const wanted = Math.min(n, count);
    const chosen = new Uint32Array(wanted);
    for (let i = 0, taken = 0; taken < wanted; i++) {
        if (rng.uniform() * (n - i) < wanted - taken)
            chosen[taken++] = i;
    }
    return chosen;
}
//# sourceMappingURL=random.js.map