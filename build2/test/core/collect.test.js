"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const collect_1 = require("../../src/core/collect");
const pieces_1 = require("../../src/core/pieces");
const synthetic_1 = require("../adapters/synthetic");
const OPTIONS = { examples: 5, context: 4, perQuantile: 2, random: 2, seed: 0 };
/** Random codes of `n` rows in documents of 50 tokens, the first of each dropped. */
function corpus(n, latents, k, seed) {
    const random = (0, synthetic_1.numbers)(seed);
    const codes = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
    for (let r = 0; r < n; r++) {
        const free = Array.from({ length: latents }, (_, f) => f);
        for (let j = 0; j < k; j++) {
            codes.index[r * k + j] = free.splice(Math.floor(random() * free.length * 0.5), 1)[0];
            codes.value[r * k + j] = random() < 0.2 ? 0 : Math.round(random() * 64) / 8; // many ties
        }
    }
    const document = Int32Array.from({ length: n }, (_, r) => Math.floor(r / 49));
    const position = Int32Array.from({ length: n }, (_, r) => 1 + (r % 49));
    const tokens = Array.from({ length: Math.ceil(n / 49) }, () => Int32Array.from({ length: 50 }, () => Math.floor(random() * 7)));
    const token = Int32Array.from({ length: n }, (_, r) => tokens[document[r]][position[r]]);
    return { codes, origin: { document, position, token }, tokens };
}
const part = (codes, from, to) => ({
    n: to - from,
    k: codes.k,
    index: codes.index.slice(from * codes.k, to * codes.k),
    value: codes.value.slice(from * codes.k, to * codes.k),
});
const at = (codes, row, latent) => {
    for (let j = 0; j < codes.k; j++)
        if (codes.index[row * codes.k + j] === latent)
            return codes.value[row * codes.k + j];
    return 0;
};
(0, node_test_1.test)("statistics are those of the dense codes, whatever the chunks", () => {
    const { codes } = corpus(500, 20, 4, 3);
    const counting = (0, collect_1.latentStatistics)(20);
    for (const [from, to] of [
        [0, 1],
        [1, 130],
        [130, 500],
    ])
        counting.add(part(codes, from, to));
    const got = counting.finish();
    strict_1.default.equal(got.rows, 500);
    for (let f = 0; f < 20; f++) {
        const values = Array.from({ length: 500 }, (_, r) => at(codes, r, f)).filter((v) => v > 0);
        strict_1.default.equal(got.fired[f], values.length);
        strict_1.default.equal(got.max[f], Math.max(0, ...values));
        strict_1.default.ok(Math.abs(got.mean[f] - values.reduce((a, b) => a + b, 0) / (values.length || 1)) < 1e-6);
        const { edges, counts } = (0, collect_1.histogramOf)(got.histogram.subarray(f * collect_1.BINS, (f + 1) * collect_1.BINS));
        counts.forEach((n, b) => strict_1.default.equal(n, values.filter((v) => v >= edges[b] && v < edges[b + 1]).length, `latent ${f}, bin ${b}`));
        strict_1.default.equal(counts.reduce((a, b) => a + b, 0), values.length);
    }
});
(0, node_test_1.test)("bins: an edge belongs to the bin above it, what lies outside to the ends", () => {
    const bin = (v) => {
        const counting = (0, collect_1.latentStatistics)(1);
        counting.add({ n: 1, k: 1, index: Int32Array.of(0), value: Float32Array.of(v) });
        return counting.finish().histogram.indexOf(1);
    };
    for (const b of [0, 1, 2, 3, 4, 63, 64, 65, 127])
        strict_1.default.equal(bin((0, collect_1.binEdge)(b)), b);
    strict_1.default.equal(bin(1e-30), 0);
    strict_1.default.equal(bin(1e30), collect_1.BINS - 1);
    strict_1.default.equal(bin(1.2499), 64);
    strict_1.default.equal(bin(1.25), 65);
});
(0, node_test_1.test)("firings of a latent come in row order, in any blocks", () => {
    const { codes } = corpus(300, 12, 3, 5);
    const counting = (0, collect_1.latentStatistics)(12);
    counting.add(codes);
    const { fired } = counting.finish();
    const blocks = (0, collect_1.latentBlocks)(fired, 100);
    strict_1.default.ok(blocks.length > 2);
    strict_1.default.deepEqual(blocks.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)), Array.from({ length: 12 }, (_, f) => f));
    for (const { from, to } of blocks) {
        const { firings, add } = (0, collect_1.firingsOf)(fired, from, to);
        add(0, part(codes, 0, 77));
        add(77, part(codes, 77, 300));
        for (let f = from; f < to; f++) {
            const [a, b] = [firings.offset[f - from], firings.offset[f - from + 1]];
            const want = Array.from({ length: 300 }, (_, row) => ({ row, value: at(codes, row, f) })).filter(({ value }) => value > 0);
            strict_1.default.deepEqual(Array.from({ length: b - a }, (_, i) => ({ row: firings.row[a + i], value: firings.value[a + i] })), want);
        }
    }
});
(0, node_test_1.test)("by size: larger first, equal ones in row order, each latent among itself", () => {
    const rng = (0, synthetic_1.numbers)(4);
    const lengths = [0, 3, 700, 1, 5000, 40];
    const { firings, add } = (0, collect_1.firingsOf)(Int32Array.from(lengths), 0, 6);
    lengths.forEach((n, f) => {
        for (let r = 0; r < n; r++)
            add(r, {
                n: 1,
                k: 1,
                index: Int32Array.of(f),
                value: Float32Array.of(rng() < 0.5 ? 2 ** (10 * rng() - 20) : Math.ceil(8 * rng()) * 1000),
            });
    });
    const order = (0, pieces_1.atOnce)((0, collect_1.bySize)(firings));
    for (let f = 0; f < 6; f++) {
        const [a, b] = [firings.offset[f], firings.offset[f + 1]];
        const want = Array.from({ length: b - a }, (_, i) => a + i).sort((i, j) => firings.value[j] - firings.value[i] || i - j);
        strict_1.default.deepEqual([...order.subarray(a, b)], want);
    }
});
/** One latent with the given rows and values in one document whose tokens all differ. */
function single(rows, values, tokens) {
    const n = rows.at(-1) + 10;
    const { firings, add } = (0, collect_1.firingsOf)(Int32Array.of(rows.length), 0, 1);
    const codes = { n, k: 1, index: new Int32Array(n), value: new Float32Array(n) };
    rows.forEach((row, i) => (codes.value[row] = values[i]));
    add(0, codes);
    const token = Int32Array.from({ length: n }, (_, r) => tokens?.[r] ?? r);
    return { firings, origin: { document: new Int32Array(n), position: Int32Array.from(token.keys()), token }, token };
}
const top = (made, options = {}) => (0, collect_1.choose)(made.firings, 0, made.origin, { ...OPTIONS, perQuantile: 0, random: 0, ...options }).map(({ entry, count }) => ({
    row: made.firings.row[entry],
    count,
}));
(0, node_test_1.test)("a peak stands for its neighbourhood; ties go to the earlier row", () => {
    const made = single([10, 12, 13, 30, 50, 70], [2, 5, 3, 4, 4, 9]);
    strict_1.default.deepEqual(top(made), [
        { row: 70, count: 1 },
        { row: 12, count: 1 },
        { row: 30, count: 1 },
        { row: 50, count: 1 },
    ]);
    strict_1.default.deepEqual(top(made, { context: 0 }).map(({ row }) => row), [70, 12, 30, 50, 13]);
    const rising = single([10, 13, 16, 19, 22], [1, 2, 3, 4, 5]);
    strict_1.default.deepEqual(top(rising).map(({ row }) => row), [22]);
    const falling = single([10, 13, 16, 19, 22], [5, 4, 3, 2, 1]);
    strict_1.default.deepEqual(top(falling).map(({ row }) => row), [10, 16, 22]); // each more than 4 rows from the peak before it
});
(0, node_test_1.test)("equal windows are folded with a count, until enough different ones are found", () => {
    const tokens = Array.from({ length: 140 }, (_, r) => (r < 100 ? r % 20 : 1000 + r)); // windows repeat every 20 rows
    const made = single([10, 30, 50, 70, 110, 125], [8, 7, 6, 1, 3, 2], tokens);
    strict_1.default.deepEqual(top(made, { examples: 2 }), [
        { row: 10, count: 3 },
        { row: 110, count: 1 },
    ]); // the one at 70 is weaker than the last kept
    strict_1.default.deepEqual(top(made, { examples: 3 }), [
        { row: 10, count: 3 },
        { row: 110, count: 1 },
        { row: 125, count: 1 },
    ]);
});
(0, node_test_1.test)("quantile and random examples are firings of their quarter, none twice, the same for the same seed", () => {
    const { codes, origin } = corpus(2000, 6, 2, 9);
    const counting = (0, collect_1.latentStatistics)(6);
    counting.add(codes);
    const { fired } = counting.finish();
    const { firings, add } = (0, collect_1.firingsOf)(fired, 0, 6);
    add(0, codes);
    for (let f = 0; f < 3; f++) {
        strict_1.default.ok(fired[f] > 100);
        const chosen = (0, collect_1.choose)(firings, f, origin, OPTIONS);
        strict_1.default.equal(new Set(chosen.map(({ entry }) => entry)).size, chosen.length);
        const sorted = [...firings.value.subarray(firings.offset[f], firings.offset[f + 1])].sort((a, b) => b - a);
        for (let q = 0; q < 4; q++) {
            const mine = chosen.filter(({ group }) => group === 1 + q);
            strict_1.default.equal(mine.length, 2);
            for (const { entry } of mine) {
                strict_1.default.ok(firings.value[entry] <= sorted[Math.floor((sorted.length * q) / 4)]);
                strict_1.default.ok(firings.value[entry] >= sorted[Math.floor((sorted.length * (q + 1)) / 4) - 1]);
            }
        }
        strict_1.default.equal(chosen.filter(({ group }) => group === 5).length, 2);
        strict_1.default.deepEqual((0, collect_1.choose)(firings, f, origin, OPTIONS), chosen);
    }
    const other = (0, collect_1.choose)(firings, 0, origin, { ...OPTIONS, seed: 1 });
    strict_1.default.notDeepEqual(other.filter(({ group }) => group), (0, collect_1.choose)(firings, 0, origin, OPTIONS).filter(({ group }) => group));
});
(0, node_test_1.test)("contexts carry the latent's activation at every token, dropped rows 0, and stop at the document's ends", () => {
    const { codes, origin, tokens } = corpus(400, 8, 3, 11);
    const counting = (0, collect_1.latentStatistics)(8);
    counting.add(codes);
    const { fired } = counting.finish();
    const blocks = (0, collect_1.latentBlocks)(fired, 300).map(({ from, to }) => {
        const { firings, add } = (0, collect_1.firingsOf)(fired, from, to);
        add(0, codes);
        return (0, pieces_1.atOnce)((0, collect_1.blockExamples)(firings, origin, (document) => tokens[document], OPTIONS));
    });
    strict_1.default.ok(blocks.length > 1);
    const all = (0, collect_1.joinExamples)(blocks);
    strict_1.default.equal(all.offset.length, 9);
    strict_1.default.equal(all.offset[8], all.group.length);
    let checked = 0;
    for (let f = 0; f < 8; f++) {
        for (let e = all.offset[f]; e < all.offset[f + 1]; e++) {
            const [from, to] = [all.start[e], all.start[e + 1]];
            const document = all.document[e];
            const first = all.position[e];
            const peak = first + all.peak[e];
            strict_1.default.equal(first, Math.max(0, peak - 4));
            strict_1.default.equal(first + to - from, Math.min(50, peak + 5));
            strict_1.default.deepEqual([...all.tokens.subarray(from, to)], [...tokens[document].subarray(first, first + to - from)]);
            const want = Array.from({ length: to - from }, (_, i) => {
                const row = origin.position.findIndex((position, r) => position === first + i && origin.document[r] === document);
                return row < 0 ? 0 : at(codes, row, f);
            });
            strict_1.default.deepEqual([...all.values.subarray(from, to)], want);
            checked++;
        }
    }
    strict_1.default.ok(checked > 50);
});
(0, node_test_1.test)("token spread: entropy in bits, triggers by mean activation with a minimum count", () => {
    // token 5 fires 4 times at 2; token 6 once at 9, too rare to be a trigger; token 7 four times at 1
    const tokens = [5, 5, 5, 5, 6, 7, 7, 7, 7];
    const made = single([0, 1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2, 2, 9, 1, 1, 1, 1], tokens);
    const got = (0, pieces_1.atOnce)((0, collect_1.tokenSpread)(made.firings, made.token, 100));
    strict_1.default.deepEqual([...got.token], [5, 7, -1, -1, -1]);
    strict_1.default.deepEqual([...got.tokenMean.subarray(0, 2)], [2, 1]);
    strict_1.default.equal(got.distinct[0], 3);
    const mass = [8, 9, 4].map((m) => m / 21);
    strict_1.default.ok(Math.abs(got.entropy[0] + mass.reduce((sum, p) => sum + p * Math.log2(p), 0)) < 1e-6);
});
//# sourceMappingURL=collect.test.js.map