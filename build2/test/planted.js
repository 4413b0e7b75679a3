"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.planted = planted;
exports.memoryStore = memoryStore;
const random_1 = require("../src/core/random");
function planted({ d, rows, directions, active, seed = 7 }) {
    const rng = (0, random_1.random)(seed);
    const unit = (count, norm) => {
        const out = Float32Array.from({ length: count * d }, () => rng.normal());
        for (let i = 0; i < count; i++) {
            const row = out.subarray(i * d, (i + 1) * d);
            const scale = norm / Math.hypot(...row);
            for (let j = 0; j < d; j++)
                row[j] *= scale;
        }
        return out;
    };
    const dictionary = unit(directions, 1);
    const offset = unit(1, 3);
    const weights = Array.from({ length: directions }, (_, rank) => 1 / (rank + 8) ** 0.9);
    const total = weights.reduce((a, b) => a + b, 0);
    const probability = weights.map((w) => Math.min(0.9, (w / total) * active));
    const out = new Float32Array(rows * d);
    for (let row = 0; row < rows; row++) {
        const x = out.subarray(row * d, (row + 1) * d);
        for (let j = 0; j < d; j++)
            x[j] = offset[j] + 0.03 * rng.normal();
        for (let i = 0; i < directions; i++) {
            if (rng.uniform() >= probability[i])
                continue;
            const magnitude = Math.exp(0.35 * rng.normal());
            for (let j = 0; j < d; j++)
                x[j] += magnitude * dictionary[i * d + j];
        }
    }
    return { rows: out, directions: dictionary };
}
/** A store in memory over rows [n, d]; every fourth document of `document` rows is held out. */
function memoryStore(rows, d, { hook = "layers.1", document = 50 } = {}) {
    const n = rows.length / d;
    const documents = Math.ceil(n / document);
    const none = () => {
        throw new Error("this store has rows only");
    };
    return {
        path: "memory",
        rows: n,
        manifest: {
            format: "saelab-store", version: 1, model: { source: "planted", family: "none", sha256: "0" }, texts: { documents, tokens: n, sha256: "0" },
            hooks: [{ name: hook, kind: "resid_post", layer: 1, width: d }], dtype: "F32", rows: n, shards: [], dropped: { first: 0, norm: 0 }, settings: {},
        },
        hook: () => hook,
        width: () => d,
        documents: () => Array.from({ length: documents }, (_, i) => ({ id: `${i}`, text: "", spans: [], split: i % 4 === 3 ? "heldout" : "train" })),
        documentRows: () => Int32Array.from({ length: documents + 1 }, (_, i) => Math.min(n, i * document)),
        read: (_hook, from, to) => rows.slice(from * d, to * d),
        tokens: none,
        origin: none,
        tokenizer: { vocabularySize: 0, encode: none, decode: none, bytes: none, isSpecial: none, chat: none },
        close: () => { },
    };
}
//# sourceMappingURL=planted.js.map