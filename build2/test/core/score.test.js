"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const collect_1 = require("../../src/core/collect");
const errors_1 = require("../../src/core/errors");
const random_1 = require("../../src/core/random");
const pieces_1 = require("../../src/core/pieces");
const score_1 = require("../../src/core/score");
const ranking_1 = require("../../src/core/ranking");
const controls_1 = require("../../src/core/controls");
const scoretable_1 = require("../../src/core/scoretable");
const close = (got, want, tolerance = 1e-9) => strict_1.default.ok(Math.abs(got - want) <= tolerance, `${got} is not ${want}`);
/** Pair by pair: the definition. */
function byPairs(score, positive) {
    let sum = 0;
    let pairs = 0;
    score.forEach((p, i) => positive[i] &&
        score.forEach((q, j) => {
            if (positive[j])
                return;
            pairs++;
            sum += p > q ? 1 : p === q ? 0.5 : 0;
        }));
    return sum / pairs;
}
/** Scores with many ties and many zeros. */
function made(n, seed) {
    const rng = (0, random_1.random)(seed);
    const score = Array.from({ length: n }, () => (rng.uniform() < 0.6 ? 0 : Math.fround(Math.ceil(rng.uniform() * 9) / 7)));
    const mask = Int32Array.from({ length: n }, (_, i) => (rng.uniform() < 0.2 + 0.3 * score[i] ? 1 : 0) | (rng.uniform() < 0.3 ? 2 : 0) | (rng.uniform() < 0.1 ? 4 : 0));
    return { score, mask };
}
const bitOf = (mask, l) => [...mask].map((m) => (m >> l) & 1);
(0, node_test_1.test)("AUROC: by pairs, by sorting, sparse, present or absent: all the same", () => {
    for (const seed of [1, 2, 3]) {
        const { score, mask } = made(150, seed);
        const ranks = (0, ranking_1.ranking)(mask, 3);
        const out = new Float64Array(3);
        const item = score.map((v, i) => ({ v, i })).filter(({ v }) => v > 0);
        const scrambled = item.sort((a, b) => ((a.i * 7919) % 151) - ((b.i * 7919) % 151));
        ranks.sparse(Int32Array.from(scrambled, ({ i }) => i), Float32Array.from(scrambled, ({ v }) => v), new Float64Array(200), out);
        for (let l = 0; l < 3; l++) {
            const want = byPairs(score, bitOf(mask, l));
            close((0, ranking_1.auroc)(score, bitOf(mask, l)), want);
            close(out[l], want);
        }
        const present = new Float64Array(ranks.classes);
        score.forEach((v, i) => v > 0 && present[ranks.classOf[i]]++);
        ranks.presence(present, out);
        for (let l = 0; l < 3; l++)
            close(out[l], byPairs(score.map((v) => (v > 0 ? 1 : 0)), bitOf(mask, l)));
        const negative = Float32Array.from(score, (v) => v - 3);
        ranks.binned(negative, new Float64Array(64 * ranks.classes), out);
        for (let l = 0; l < 3; l++)
            close(out[l], byPairs(score, bitOf(mask, l)));
    }
});
(0, node_test_1.test)("AUROC of a label without positives is not a number; of equal scores one half", () => {
    strict_1.default.ok(Number.isNaN((0, ranking_1.auroc)([1, 2], [0, 0])));
    strict_1.default.equal((0, ranking_1.auroc)([3, 3, 3], [0, 1, 0]), 0.5);
    const out = new Float64Array(2);
    (0, ranking_1.ranking)(Int32Array.of(1, 0, 1), 2).sparse(new Int32Array(0), new Float32Array(0), new Float64Array(1), out);
    strict_1.default.equal(out[0], 0.5);
    strict_1.default.ok(Number.isNaN(out[1]));
});
(0, node_test_1.test)("average precision: scikit-learn's values", () => {
    // sklearn.metrics.average_precision_score, its documentation's example, then one with ties worked by hand: groups (1
    // of 2), (2 of 4)
    close((0, ranking_1.averagePrecision)([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 0.8333333333333333);
    close((0, ranking_1.averagePrecision)([2, 2, 1, 1], [1, 0, 1, 0]), 0.5 * 0.5 + 0.5 * 0.5);
    strict_1.default.ok(Number.isNaN((0, ranking_1.averagePrecision)([1], [0])));
});
const text = "So it is 5. Wait, no. Done";
const documents = [
    {
        id: "d",
        text,
        spans: [
            { start: 0, end: 11, label: "a" },
            { start: 12, end: 21, label: "b" },
            { start: 12, end: 21, label: "a" },
            { start: 22, end: 26, label: "c" },
        ],
    },
];
// tokens: "So", " it", " is", " 5", ".", " Wait", ",", " no", ".", " ", "Done"
const pieces = ["So", " it", " is", " 5", ".", " Wait", ",", " no", ".", " ", "Done"];
const offsets = () => {
    let at = 0;
    const start = pieces.map((piece) => (at += piece.length) - piece.length);
    return { start: Int32Array.from(start), end: Int32Array.from(start, (s, i) => s + pieces[i].length) };
};
(0, node_test_1.test)("a token belongs to the sentence of its first character that is not white space", () => {
    const sentences = (0, pieces_1.atOnce)((0, score_1.sentencesOf)(documents, offsets, ["train"]));
    strict_1.default.deepEqual(sentences.labels, ["a", "b", "c"]);
    strict_1.default.deepEqual([...sentences.mask], [1, 3, 4]);
    strict_1.default.deepEqual([...sentences.ofToken[0]], [0, 0, 0, 0, 0, 1, 1, 1, 1, -1, 2]);
    strict_1.default.deepEqual([...sentences.first], [0, 5, 10]);
    strict_1.default.deepEqual([...sentences.tokens], [5, 4, 1]);
    strict_1.default.deepEqual((0, pieces_1.atOnce)((0, score_1.sentencesOf)(documents, offsets, ["train"], ["b"])).labels, ["b"]);
    strict_1.default.deepEqual([...(0, pieces_1.atOnce)((0, score_1.sentencesOf)(documents, offsets, ["train"], ["b"])).mask], [0, 1, 0]);
});
(0, node_test_1.test)("a label needs sentences with and without it that have rows, on both sides", () => {
    const document = (id, labels) => ({
        id,
        text: "a".repeat(2 * labels.length),
        spans: labels.flatMap((names, s) => [...names].map((label) => ({ start: 2 * s, end: 2 * s + 2, label }))),
    });
    const docs = [document("0", ["xy", "xz", "y"]), document("1", ["x", "xz", "xy"])];
    const at = { start: Int32Array.of(0, 2, 4), end: Int32Array.of(2, 4, 6) };
    const sentences = (0, pieces_1.atOnce)((0, score_1.sentencesOf)(docs, () => at, ["train", "heldout"]));
    const rows = (0, score_1.rowSentences)(sentences, Int32Array.of(0, 0, 0, 1, 1, 1), Int32Array.of(0, 1, 2, 0, 1, 2));
    strict_1.default.deepEqual((0, score_1.oneSidedLabels)(sentences, rows), ["x"]); // all held-out sentences carry it
    const some = (0, score_1.rowSentences)(sentences, Int32Array.of(0, 0, 1, 1, 1), Int32Array.of(0, 2, 0, 1, 2)); // the only z of training dropped
    strict_1.default.deepEqual((0, score_1.oneSidedLabels)(sentences, some).sort(), ["x", "y", "z"]);
    const left = (0, score_1.withoutLabels)(sentences, ["x"]);
    strict_1.default.deepEqual(left.labels, ["y", "z"]);
    strict_1.default.deepEqual([...left.mask], [1, 2, 1, 0, 2, 1]);
    strict_1.default.equal((0, score_1.withoutLabels)(sentences, []), sentences);
});
(0, node_test_1.test)("more labels than a mask holds are refused, with what to do", () => {
    const spans = Array.from({ length: 31 }, (_, i) => ({ start: 0, end: 2, label: `l${i}` }));
    strict_1.default.throws(() => (0, pieces_1.atOnce)((0, score_1.sentencesOf)([{ id: "0", text: "ab", spans }], () => ({ start: new Int32Array(0), end: new Int32Array(0) }), ["train"])), (error) => error instanceof errors_1.OptionError && /at most 30.*found 31.*labels:/s.test(error.message));
});
(0, node_test_1.test)("poolings: mean over the kept rows, maximum, mean of the first five kept rows", () => {
    const sentences = (0, pieces_1.atOnce)((0, score_1.sentencesOf)([{ ...documents[0], spans: [{ start: 0, end: 26, label: "a" }] }], offsets, ["train"]));
    const position = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 10); // position 0 was dropped
    const rows = (0, score_1.rowSentences)(sentences, new Int32Array(9), position);
    strict_1.default.equal(rows.rows[0], 9); // eleven tokens, of which position 0 and the lone space at 9 have no row
    const { firings, add } = (0, collect_1.firingsOf)(Int32Array.of(3), 0, 1);
    add(0, { n: 9, k: 1, index: new Int32Array(9), value: Float32Array.of(0, 4, 0, 0, 1, 0, 3, 0, 0) });
    const { item, scores } = (0, score_1.pooling)(rows, Int32Array.of(0))(firings, 0);
    strict_1.default.deepEqual([...item], [0]);
    strict_1.default.deepEqual(scores.map(([v]) => v), [Math.fround(8 / 9), 4, 1]);
});
(0, node_test_1.test)("latents × poolings against the definition", () => {
    const rng = (0, random_1.random)(5);
    const n = 240; // rows: sentences of 8, of which two documents of 15 sentences
    const spans = Array.from({ length: 15 }, (_, s) => ({ start: s * 8, end: s * 8 + 8, label: s % 3 ? "x" : "y" }));
    const docs = [
        { id: "0", text: "a".repeat(120), spans },
        { id: "1", text: "a".repeat(120), spans },
    ];
    const at = {
        start: Int32Array.from({ length: 120 }, (_, i) => i),
        end: Int32Array.from({ length: 120 }, (_, i) => i + 1),
    };
    const sentences = (0, pieces_1.atOnce)((0, score_1.sentencesOf)(docs, () => at, ["train", "train"]));
    const rows = (0, score_1.rowSentences)(sentences, Int32Array.from({ length: n }, (_, r) => Math.floor(r / 120)), Int32Array.from({ length: n }, (_, r) => r % 120));
    const value = Float32Array.from({ length: n }, () => (rng.uniform() < 0.7 ? 0 : rng.uniform()));
    const { firings, add } = (0, collect_1.firingsOf)(Int32Array.of(value.filter((v) => v > 0).length), 0, 1);
    add(0, { n, k: 1, index: new Int32Array(n), value });
    const out = sentences.labels.map(() => new Float32Array(3));
    const number = Int32Array.from({ length: 30 }, (_, s) => s);
    (0, pieces_1.atOnce)((0, score_1.scoreLatents)(firings, (0, score_1.pooling)(rows, number), (0, ranking_1.ranking)(sentences.mask, 2), out));
    const of = (s) => [...value.subarray(s * 8, s * 8 + 8)];
    const mean = (list) => Math.fround(list.reduce((a, b) => a + b, 0) / list.length);
    const pools = [mean, (list) => Math.max(...list), (list) => mean(list.slice(0, 5))];
    for (let l = 0; l < 2; l++) {
        pools.forEach((pool, p) => close(out[l][p], byPairs(Array.from({ length: 30 }, (_, s) => pool(of(s))), bitOf(sentences.mask, l)), 1e-6));
    }
});
(0, node_test_1.test)("Walsh–Hadamard: the product with its matrix; random directions are unit vectors of signs, projected as by dot products", () => {
    const x = Float32Array.of(1, 2, 3, 4);
    (0, controls_1.walshHadamard)(x);
    strict_1.default.deepEqual([...x], [10, -2, -4, 0]);
    const d = 20;
    const directions = (0, controls_1.randomDirections)(d, 70, (0, random_1.random)(1));
    strict_1.default.equal(directions.size, 32);
    strict_1.default.equal(directions.blocks, 3);
    const row = Float32Array.from({ length: 2 * d }, (_, i) => Math.sin(i));
    const out = new Float32Array(32);
    const seen = new Set();
    for (let j = 0; j < 70; j++) {
        const vector = directions.direction(j);
        for (const v of vector)
            close(Math.abs(v), 1 / Math.sqrt(d), 1e-6);
        seen.add(vector.join());
        directions.project(Math.floor(j / 32), row, d, out);
        close(out[j % 32], vector.reduce((sum, v, i) => sum + v * row[d + i], 0), 1e-5);
    }
    strict_1.default.ok(seen.size === 70);
});
(0, node_test_1.test)("the probe separates what a line separates, for several labels at once", () => {
    const rng = (0, random_1.random)(2);
    const [n, d] = [400, 8];
    const x = Float32Array.from({ length: n * d }, () => 50 + 7 * rng.normal());
    const mask = Int32Array.from({ length: n }, (_, r) => (x[r * d] > 50 ? 1 : 0) | (x[r * d + 1] + x[r * d + 2] > 104 ? 2 : 0));
    const all = Int32Array.from({ length: n }, (_, r) => r);
    const probe = (0, pieces_1.atOnce)((0, controls_1.logisticProbe)(x, d, all, mask, 2, (0, random_1.random)(3)));
    for (const l of [0, 1])
        strict_1.default.ok((0, ranking_1.auroc)(probe(x, l), bitOf(mask, l)) > 0.98);
});
(0, node_test_1.test)("the text model learns words and pairs of words", () => {
    const rng = (0, random_1.random)(7);
    const pick = (words) => words[rng.below(words.length)];
    const texts = Array.from({ length: 300 }, () => Array.from({ length: 5 }, () => pick(["not", "so", "sure", "fine", "then"])).join(" "));
    const mask = Int32Array.from(texts, (text) => (/\bnot sure\b/.test(text) ? 1 : 0) | (/fine/.test(text) ? 2 : 0));
    const model = (0, pieces_1.atOnce)((0, controls_1.textModel)(texts.slice(0, 200), mask.slice(0, 200), 2, (0, random_1.random)(1)));
    for (const l of [0, 1])
        strict_1.default.ok((0, ranking_1.auroc)(texts.slice(200).map((text) => model(text)[l]), bitOf(mask.slice(200), l)) > 0.95);
});
(0, node_test_1.test)("bootstrap: documents are drawn whole, the interval holds the estimate, a detector leads itself by nothing", () => {
    const { score, mask } = made(200, 9);
    const positive = bitOf(mask, 0);
    const document = Int32Array.from({ length: 200 }, (_, i) => Math.floor(i / 10));
    const [one, same, noise] = (0, pieces_1.atOnce)((0, ranking_1.bootstrap)([score, score, score.map((_, i) => (i * 37) % 101)], positive, document, (0, random_1.random)(1), 300));
    const got = (0, ranking_1.auroc)(score, positive);
    strict_1.default.ok(one.interval[0] < got && got < one.interval[1]);
    strict_1.default.deepEqual(same.lead, [0, 0]);
    strict_1.default.ok(noise.lead[1] > 0);
    const whole = (0, pieces_1.atOnce)((0, ranking_1.bootstrap)([score], positive, new Int32Array(200), (0, random_1.random)(1), 20))[0]; // one document: every draw is the same
    strict_1.default.deepEqual(whole.interval, [got, got]);
});
(0, node_test_1.test)("verdicts name the first control that reaches the latent", () => {
    const detector = (kind, heldout, lead = [0.01, 0.1]) => ({
        kind,
        what: "w",
        searched: 1,
        train: heldout,
        heldout,
        averagePrecision: 0.5,
        interval: [0, 1],
        lead,
    });
    const latent = detector("latent", 0.9);
    const quiet = [
        detector("keyword", 0.7),
        detector("random direction", 0.8),
        detector("position", 0.5),
        detector("length", 0.5),
    ];
    strict_1.default.deepEqual((0, scoretable_1.verdictOf)([latent, ...quiet], 50), { verdict: "above its controls", warnings: [] });
    strict_1.default.equal((0, scoretable_1.verdictOf)([latent, ...quiet], 19).verdict, "undefined");
    strict_1.default.equal((0, scoretable_1.verdictOf)([latent, detector("keyword", 0.9), detector("random direction", 0.95)], 50).verdict, "keyword");
    strict_1.default.equal((0, scoretable_1.verdictOf)([latent, detector("random direction", 0.95), detector("position", 0.91)], 50).verdict, "position");
    strict_1.default.equal((0, scoretable_1.verdictOf)([latent, ...quiet, detector("probe", 0.95)], 50).verdict, "above its controls");
    strict_1.default.match((0, scoretable_1.verdictOf)([latent, ...quiet, detector("probe", 0.95)], 50).warnings[0], /^reached by the probe \(0\.95\)$/);
    strict_1.default.match((0, scoretable_1.verdictOf)([latent, detector("keyword", 0.89, [-0.02, 0.05])], 50).warnings[0], /within chance over the word “w” \(95 %: −0\.02 to \+0\.05\)/);
    const absent = { ...detector("keyword", 0.95), absent: true };
    strict_1.default.match((0, scoretable_1.verdictOf)([latent, absent], 50).warnings[0], /^reached by the absence of the word “w” \(0\.95\)$/);
});
//# sourceMappingURL=score.test.js.map