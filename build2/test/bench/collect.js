"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.benchCollect = benchCollect;
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const collect_1 = require("../../src/adapters/collect");
const sae_1 = require("../../src/adapters/sae");
const random_1 = require("../../src/core/random");
/**
 * Rows of a store and an SAE of the embedded model's size, made in memory: 200,000 rows of width 128, 1,024 latents, 16
 * of them a row.
 */
const ROWS = 200_000;
const D = 128;
const F = 1024;
const K = 16;
const LENGTH = 250; // tokens a document
function made() {
    const rng = (0, random_1.random)(0);
    const fill = (n, scale) => Float32Array.from({ length: n }, () => scale * rng.normal());
    const wEnc = fill(F * D, 1 / Math.sqrt(D));
    const rows = fill(ROWS * D, 1);
    const ids = Int32Array.from({ length: ROWS }, () => rng.below(2000));
    const documents = Array.from({ length: ROWS / LENGTH }, (_, i) => ({
        id: `d${i}`,
        text: "",
        spans: [],
        split: i % 10 ? "train" : "heldout",
    }));
    const store = {
        path: "made",
        rows: ROWS,
        manifest: {
            format: "saelab-store",
            version: 1,
            model: { source: "made", family: "none", sha256: "0" },
            texts: { documents: documents.length, tokens: ROWS, sha256: "0" },
            hooks: [{ name: "layers.2", kind: "resid_post", layer: 2, width: D }],
            dtype: "F32",
            rows: ROWS,
            shards: [],
            dropped: { first: 0, norm: 0 },
            settings: {},
        },
        hook: () => "layers.2",
        width: () => D,
        documents: () => documents,
        tokens: (document) => ({
            ids: ids.slice(document * LENGTH, (document + 1) * LENGTH),
            start: new Int32Array(LENGTH),
            end: new Int32Array(LENGTH),
        }),
        origin: (from, to) => ({
            document: Int32Array.from({ length: to - from }, (_, i) => Math.floor((from + i) / LENGTH)),
            position: Int32Array.from({ length: to - from }, (_, i) => (from + i) % LENGTH),
            token: ids.slice(from, to),
        }),
        read: (_, from, to) => rows.slice(from * D, to * D),
        documentRows: () => Int32Array.from({ length: documents.length + 1 }, (_, i) => i * LENGTH),
        tokenizer: {
            vocabularySize: 2000,
            encode: () => ({ ids, start: ids, end: ids }),
            decode: () => "",
            bytes: (id) => new TextEncoder().encode(` w${id}`),
            isSpecial: () => false,
            chat: () => "",
        },
        close: () => { },
    };
    return {
        store,
        weights: { d: D, latents: F, k: K, wEnc, bEnc: new Float32Array(F), wDec: wEnc, bDec: new Float32Array(D) },
    };
}
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
/**
 * Tokens a second of `collect`, beside those of the encoder alone over the same chunks (what no collection can be faster
 * than), by turns; medians of five. Memory: the process's peak growth while collecting, above what it held before.
 */
async function benchCollect() {
    const { store, weights } = made();
    const sae = (0, sae_1.saeOf)(weights, {});
    const root = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-bench-"));
    const chunk = 8192;
    const encodeOnly = () => {
        const begun = performance.now();
        for (let from = 0; from < ROWS; from += chunk)
            sae.encode(store.read("layers.2", from, Math.min(ROWS, from + chunk)));
        return (performance.now() - begun) / 1000;
    };
    try {
        sae.encode(store.read("layers.2", 0, chunk)); // warm
        const before = process.memoryUsage().rss;
        let peak = before;
        const collectOnce = async () => {
            const begun = performance.now();
            const features = await (0, collect_1.collect)(store, sae, {
                folder: (0, node_path_1.join)(root, "features"),
                progress: () => (peak = Math.max(peak, process.memoryUsage().rss)),
            });
            const seconds = (performance.now() - begun) / 1000;
            features.close();
            return seconds;
        };
        const encodes = [];
        const collects = [];
        for (let turn = 0; turn < 5; turn++) {
            encodes.push(encodeOnly());
            collects.push(await collectOnce());
        }
        const [encode, all] = [median(encodes), median(collects)];
        return {
            bench: "collect",
            rows: ROWS,
            d: D,
            latents: F,
            k: K,
            tokensPerSecond: Math.round(ROWS / all),
            encoderTokensPerSecond: Math.round(ROWS / encode),
            shareOfEncoder: Number((encode / all).toFixed(3)),
            peakMemoryMB: Math.round((peak - before) / 1e6),
            turns: collects.map((s) => Number(s.toFixed(2))),
        };
    }
    finally {
        (0, node_fs_1.rmSync)(root, { recursive: true, force: true });
    }
}
//# sourceMappingURL=collect.js.map