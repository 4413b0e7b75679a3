"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.encode = encode;
exports.decode = decode;
exports.wholeRows = wholeRows;
/**
 * A top-k sparse autoencoder in plain loops with float64 sums: slow, obvious, and what every faster step is held against.
 *
 *   v = TopK(ReLU(W_enc·(x − b_dec) + b_enc))      x̂ = W_decᵀ·v + b_dec
 *
 * @see sparsify 1.3, sparse_coder.py: the same order of operations (ReLU, then top-k)
 */
/**
 * @param x rows [n, d], in the model's own units
 * @returns the k largest latents of each row, larger first, ties by smaller index
 * @throws RangeError if x is not whole rows of width d
 */
function encode({ d, latents, k, wEnc, bEnc, bDec }, x) {
    const n = wholeRows(x, d);
    const index = new Int32Array(n * k), value = new Float32Array(n * k);
    const pre = new Float32Array(latents);
    for (let row = 0; row < n; row++) {
        for (let f = 0; f < latents; f++) {
            let sum = bEnc[f];
            for (let j = 0; j < d; j++)
                sum += wEnc[f * d + j] * (x[row * d + j] - bDec[j]);
            pre[f] = Math.max(sum, 0);
        }
        const order = Array.from(pre.keys()).sort((a, b) => pre[b] - pre[a] || a - b);
        for (let i = 0; i < k; i++) {
            index[row * k + i] = order[i];
            value[row * k + i] = pre[order[i]];
        }
    }
    return { n, k, index, value };
}
/** @returns x̂ [n, d] */
function decode({ d, wDec, bDec }, { n, k, index, value }) {
    const x = new Float32Array(n * d);
    for (let row = 0; row < n; row++) {
        for (let j = 0; j < d; j++) {
            let sum = bDec[j];
            for (let i = row * k; i < (row + 1) * k; i++)
                if (value[i] !== 0)
                    sum += value[i] * wDec[index[i] * d + j];
            x[row * d + j] = sum;
        }
    }
    return x;
}
/** Number of rows of width d in x. @throws RangeError if the last one is not whole */
function wholeRows(x, d) {
    if (x.length % d) {
        throw new RangeError(`rows: expected a multiple of the SAE's width ${d}, found ${x.length} numbers. ` +
            "Take rows of the hook it was trained on.");
    }
    return x.length / d;
}
//# sourceMappingURL=sae.js.map