import assert from "node:assert/strict";
import { test } from "node:test";
import { firingsOf } from "../../src/core/collect";
import { OptionError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { atOnce } from "../../src/core/pieces";
import {
  oneSidedLabels,
  pooling,
  rowSentences,
  sentencesOf,
  withoutLabels,
} from "../../src/core/score";
import { latentScores, silentScores } from "../../src/core/latentscores";
import { auroc, averagePrecision, bootstrap, ranking, sorter, sparseMeasures } from "../../src/core/ranking";
import { asNormal, FEWEST_DOCUMENTS } from "../../src/core/significance";
import { logisticProbe, randomDirections, textModel, walshHadamard } from "../../src/core/controls";
import { verdictOf, type Detector } from "../../src/core/scoretable";
import type { Document } from "../../src/core/types";

const close = (got: number, want: number, tolerance = 1e-9): void =>
  assert.ok(Object.is(got, want) || Math.abs(got - want) <= tolerance, `${got} is not ${want}`);

/** Pair by pair: the definition. */
function byPairs(score: number[], positive: number[]): number {
  let sum = 0;
  let pairs = 0;
  score.forEach(
    (p, i) =>
      positive[i] &&
      score.forEach((q, j) => {
        if (positive[j]) return;
        pairs++;
        sum += p > q ? 1 : p === q ? 0.5 : 0;
      }),
  );
  return sum / pairs;
}

/** Scores with many ties and many zeros. */
function made(n: number, seed: number) {
  const rng = random(seed);
  const score = Array.from({ length: n }, () => (rng.uniform() < 0.6 ? 0 : Math.fround(Math.ceil(rng.uniform() * 9) / 7)));
  const mask = Int32Array.from(
    { length: n },
    (_, i) =>
      (rng.uniform() < 0.2 + 0.3 * score[i] ? 1 : 0) | (rng.uniform() < 0.3 ? 2 : 0) | (rng.uniform() < 0.1 ? 4 : 0),
  );
  return { score, mask };
}

const bitOf = (mask: Int32Array, l: number): number[] => [...mask].map((m) => (m >> l) & 1);

test("AUROC: by pairs, by sorting, sparse, present or absent: all the same", () => {
  for (const seed of [1, 2, 3]) {
    const { score, mask } = made(150, seed);
    const ranks = ranking(mask, 3);
    const out = new Float64Array(3);
    const item = score.map((v, i) => ({ v, i })).filter(({ v }) => v > 0);
    const scrambled = item.sort((a, b) => ((a.i * 7919) % 151) - ((b.i * 7919) % 151));
    const [sorted] = sorter([150])(
      Int32Array.from(scrambled, ({ i }) => i),
      Float32Array.from(scrambled, ({ v }) => v),
    );
    ranks.sparse(sorted, out);
    for (let l = 0; l < 3; l++) {
      const want = byPairs(score, bitOf(mask, l));
      close(auroc(score, bitOf(mask, l)), want);
      close(out[l], want);
      const both = sparseMeasures(sorted, mask, l, ranks.positives[l], 150 - ranks.positives[l]);
      close(both.auroc, want);
      close(both.averagePrecision, averagePrecision(score, bitOf(mask, l)));
    }
    const present = new Float64Array(ranks.classes);
    score.forEach((v, i) => v > 0 && present[ranks.classOf[i]]++);
    ranks.presence(present, out);
    for (let l = 0; l < 3; l++)
      close(
        out[l],
        byPairs(
          score.map((v) => (v > 0 ? 1 : 0)),
          bitOf(mask, l),
        ),
      );
    const negative = Float32Array.from(score, (v) => v - 3);
    ranks.binned(negative, new Float64Array(64 * ranks.classes), out);
    for (let l = 0; l < 3; l++) close(out[l], byPairs(score, bitOf(mask, l)));
  }
});

test("sparse scores are dealt out by ranges, each counted from its beginning, equal ones together; zeros are left out", () => {
  const [train, test] = sorter([4, 7])(Int32Array.of(5, 1, 6, 0, 4, 3), Float32Array.of(2, 2, 9, 0.5, 2, 0));
  const plain = ({ count, item, groups, ends }: typeof train) => [[...item.subarray(0, count)], [...ends.subarray(0, groups)]];
  assert.deepEqual(plain(train), [[1, 0], [1, 2]]);
  assert.deepEqual(plain(test), [[2, 1, 0], [1, 3]]);
  assert.throws(() => sorter([10, 2 ** 22 + 1]), RangeError);
});

test("AUROC of a label without positives is not a number; of equal scores one half", () => {
  assert.ok(Number.isNaN(auroc([1, 2], [0, 0])));
  assert.equal(auroc([3, 3, 3], [0, 1, 0]), 0.5);
  const out = new Float64Array(2);
  ranking(Int32Array.of(1, 0, 1), 2).sparse(sorter([3])(new Int32Array(0), new Float32Array(0))[0], out);
  assert.equal(out[0], 0.5);
  assert.ok(Number.isNaN(out[1]));
});

test("average precision: scikit-learn's values", () => {
  // sklearn.metrics.average_precision_score, its documentation's example, then one with ties worked by hand: groups (1
  // of 2), (2 of 4)
  close(averagePrecision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 0.8333333333333333);
  close(averagePrecision([2, 2, 1, 1], [1, 0, 1, 0]), 0.5 * 0.5 + 0.5 * 0.5);
  assert.ok(Number.isNaN(averagePrecision([1], [0])));
});

const text = "So it is 5. Wait, no. Done";
const documents: Document[] = [
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

test("a token belongs to the sentence of its first character that is not white space", () => {
  const sentences = atOnce(sentencesOf(documents, offsets, ["train"]));
  assert.deepEqual(sentences.labels, ["a", "b", "c"]);
  assert.deepEqual([...sentences.mask], [1, 3, 4]);
  assert.deepEqual([...sentences.ofToken[0]], [0, 0, 0, 0, 0, 1, 1, 1, 1, -1, 2]);
  assert.deepEqual([...sentences.first], [0, 5, 10]);
  assert.deepEqual([...sentences.tokens], [5, 4, 1]);
  assert.deepEqual(atOnce(sentencesOf(documents, offsets, ["train"], ["b"])).labels, ["b"]);
  assert.deepEqual([...atOnce(sentencesOf(documents, offsets, ["train"], ["b"])).mask], [0, 1, 0]);
});

test("a label needs sentences with and without it that have rows, on both sides", () => {
  const document = (id: string, labels: string[]): Document => ({
    id,
    text: "a".repeat(2 * labels.length),
    spans: labels.flatMap((names, s) => [...names].map((label) => ({ start: 2 * s, end: 2 * s + 2, label }))),
  });
  const docs = [document("0", ["xy", "xz", "y"]), document("1", ["x", "xz", "xy"])];
  const at = { start: Int32Array.of(0, 2, 4), end: Int32Array.of(2, 4, 6) };
  const sentences = atOnce(sentencesOf(docs, () => at, ["train", "heldout"]));
  const rows = rowSentences(sentences, Int32Array.of(0, 0, 0, 1, 1, 1), Int32Array.of(0, 1, 2, 0, 1, 2));
  assert.deepEqual(oneSidedLabels(sentences, rows), ["x"]); // all held-out sentences carry it
  const some = rowSentences(sentences, Int32Array.of(0, 0, 1, 1, 1), Int32Array.of(0, 2, 0, 1, 2)); // the only z of training dropped
  assert.deepEqual(oneSidedLabels(sentences, some).sort(), ["x", "y", "z"]);
  const left = withoutLabels(sentences, ["x"]);
  assert.deepEqual(left.labels, ["y", "z"]);
  assert.deepEqual([...left.mask], [1, 2, 1, 0, 2, 1]);
  assert.equal(withoutLabels(sentences, []), sentences);
});

test("more labels than a mask holds are refused, with what to do", () => {
  const spans = Array.from({ length: 31 }, (_, i) => ({ start: 0, end: 2, label: `l${i}` }));
  assert.throws(
    () => atOnce(sentencesOf([{ id: "0", text: "ab", spans }], () => ({ start: new Int32Array(0), end: new Int32Array(0) }), ["train"])),
    (error: Error) => error instanceof OptionError && /at most 30.*found 31.*labels:/s.test(error.message),
  );
});

test("poolings: mean over the kept rows, maximum, mean of the first five kept rows", () => {
  const sentences = atOnce(sentencesOf([{ ...documents[0], spans: [{ start: 0, end: 26, label: "a" }] }], offsets, ["train"]));
  const position = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 10); // position 0 was dropped
  const rows = rowSentences(sentences, new Int32Array(9), position);
  assert.equal(rows.rows[0], 9); // eleven tokens, of which position 0 and the lone space at 9 have no row
  const { firings, add } = firingsOf(Int32Array.of(3), 0, 1);
  add(0, { n: 9, k: 1, index: new Int32Array(9), value: Float32Array.of(0, 4, 0, 0, 1, 0, 3, 0, 0) });
  const { item, scores } = pooling(rows, Int32Array.of(0))(firings, 0);
  assert.deepEqual([...item], [0]);
  assert.deepEqual(
    scores.map(([v]) => v),
    [Math.fround(8 / 9), 4, 1],
  );
});

test("every latent × label against the definition: poolings, held-out sentences, tokens", () => {
  const rng = random(5);
  const [perDocument, documents, latents] = [15, 12, 7]; // sentences of 8 tokens, a row each
  const n = 8 * perDocument * documents;
  const docs: Document[] = Array.from({ length: documents }, (_, d) => ({
    id: String(d),
    text: "a".repeat(8 * perDocument),
    spans: Array.from({ length: perDocument }, (_, s) => ({ start: s * 8, end: s * 8 + 8, label: rng.uniform() < 0.3 + 0.02 * d ? "x" : "y" })),
  }));
  const at = {
    start: Int32Array.from({ length: 8 * perDocument }, (_, i) => i),
    end: Int32Array.from({ length: 8 * perDocument }, (_, i) => i + 1),
  };
  const sentences = atOnce(sentencesOf(docs, () => at, docs.map((_, d) => (d % 2 ? "heldout" : "train")), ["x", "y"]));
  const rows = rowSentences(
    sentences,
    Int32Array.from({ length: n }, (_, r) => Math.floor(r / (8 * perDocument))),
    Int32Array.from({ length: n }, (_, r) => r % (8 * perDocument)),
  );
  // latent f: denser the smaller f; the last one never fires; values of few sizes, so that there are ties
  const value = Array.from({ length: latents }, (_, f) => Float32Array.from({ length: n }, () => (f < latents - 1 && rng.uniform() < 0.4 / (f + 1) ? Math.ceil(rng.uniform() * 6) / 6 : 0)));
  const fired = Int32Array.from(value, (list) => list.filter((v) => v > 0).length);
  const { firings, add } = firingsOf(fired, 0, latents);
  add(0, {
    n,
    k: latents,
    index: Int32Array.from({ length: n * latents }, (_, i) => i % latents),
    value: Float32Array.from({ length: n * latents }, (_, i) => value[i % latents][Math.floor(i / latents)]),
  });
  const side = (heldout: number) => {
    const of = [...sentences.heldout.keys()].filter((s) => sentences.heldout[s] === heldout);
    const number = new Int32Array(sentences.count).fill(-1);
    of.forEach((s, u) => (number[s] = u));
    return { of, number, mask: Int32Array.from(of, (s) => sentences.mask[s]) };
  };
  const [train, test] = [side(0), side(1)];
  const document = Int32Array.from(test.of, (s) => (sentences.document[s] - 1) / 2);
  const out = [0, 1].map(() => silentScores(latents, 0.25, 0.25));
  const training = [0, 1].map(() => new Float32Array(latents * 3).fill(0.5));
  atOnce(latentScores(rows, train, test, document, ranking(train.mask, 2), 2)(firings, out, training));
  const mean = (list: number[]): number => Math.fround(list.reduce((a, b) => a + b, 0) / list.length);
  const pools = [mean, (list: number[]) => Math.max(...list), (list: number[]) => mean(list.slice(0, 5))];
  for (let f = 0; f < latents - 1; f++) {
    const pooled = (of: number[], p: number): number[] => of.map((s) => pools[p]([...value[f].subarray(s * 8, s * 8 + 8)]));
    for (let l = 0; l < 2; l++) {
      const reached = pools.map((_, p) => byPairs(pooled(train.of, p), bitOf(train.mask, l)));
      reached.forEach((want, p) => close(training[l][f * 3 + p], want, 1e-6));
      const best = out[l].pooling[f];
      close(reached[best], Math.max(...reached), 1e-6);
      close(out[l].train[f], reached[best], 1e-6);
      const [scores, positive] = [pooled(test.of, best), bitOf(test.mask, l)];
      close(out[l].heldout[f], byPairs(scores, positive), 1e-6);
      close(out[l].averagePrecision[f], averagePrecision(scores, positive), 1e-6);
      const fires = new Set(document.filter((_, i) => scores[i] > 0)).size;
      close(out[l].z[f], fires < FEWEST_DOCUMENTS ? NaN : asNormal(clustered(scores, positive, document), fires - 1), 1e-5);
      const tokens = test.of.flatMap((s) => [...value[f].subarray(s * 8, s * 8 + 8)]);
      const ofTokens = positive.flatMap((is) => new Array<number>(8).fill(is));
      close(out[l].tokenAuroc[f], auroc(tokens, ofTokens), 1e-6);
      close(out[l].tokenAveragePrecision[f], averagePrecision(tokens, ofTokens), 1e-6);
    }
  }
  assert.deepEqual([out[0].heldout[latents - 1], out[0].averagePrecision[latents - 1], out[0].z[latents - 1]], [0.5, 0.25, NaN]);
});

/** Difference of mean mid-ranks ÷ its jackknife error, each document left out once: sums over all sentences. */
function clustered(score: number[], positive: number[], document: Int32Array): number {
  const rank = score.map((v) => score.reduce((sum, w) => sum + (w < v ? 1 : w === v ? 0.5 : 0), 0.5));
  const difference = (without: number): number => {
    const [other, mean] = [0, 1].map((is) => {
      const list = rank.filter((_, i) => positive[i] === is && document[i] !== without);
      return list.reduce((a, b) => a + b, 0) / list.length;
    });
    return mean - other;
  };
  const names = [...new Set(document)];
  const variance = ((names.length - 1) / names.length) * names.reduce((sum, d) => sum + (difference(d) - difference(-1)) ** 2, 0);
  const n = rank.length;
  const P = positive.reduce((a, b) => a + b, 0);
  const independent = (rank.reduce((sum, r) => sum + (r - (n + 1) / 2) ** 2, 0) / (n - 1)) * (1 / P + 1 / (n - P));
  return difference(-1) / Math.sqrt(Math.max(variance, independent));
}

test("Walsh–Hadamard: the product with its matrix; random directions are unit vectors of signs, projected as by dot products", () => {
  const x = Float32Array.of(1, 2, 3, 4);
  walshHadamard(x);
  assert.deepEqual([...x], [10, -2, -4, 0]);
  const d = 20;
  const directions = randomDirections(d, 70, random(1));
  assert.equal(directions.size, 32);
  assert.equal(directions.blocks, 3);
  const row = Float32Array.from({ length: 2 * d }, (_, i) => Math.sin(i));
  const out = new Float32Array(32);
  const seen = new Set<string>();
  for (let j = 0; j < 70; j++) {
    const vector = directions.direction(j);
    for (const v of vector) close(Math.abs(v), 1 / Math.sqrt(d), 1e-6);
    seen.add(vector.join());
    directions.project(Math.floor(j / 32), row, d, out);
    close(
      out[j % 32],
      vector.reduce((sum, v, i) => sum + v * row[d + i], 0),
      1e-5,
    );
  }
  assert.ok(seen.size === 70);
});

test("the probe separates what a line separates, for several labels at once", () => {
  const rng = random(2);
  const [n, d] = [400, 8];
  const x = Float32Array.from({ length: n * d }, () => 50 + 7 * rng.normal());
  const mask = Int32Array.from(
    { length: n },
    (_, r) => (x[r * d] > 50 ? 1 : 0) | (x[r * d + 1] + x[r * d + 2] > 104 ? 2 : 0),
  );
  const all = Int32Array.from({ length: n }, (_, r) => r);
  const probe = atOnce(logisticProbe(x, d, all, mask, 2, random(3)));
  for (const l of [0, 1]) assert.ok(auroc(probe(x, l), bitOf(mask, l)) > 0.98);
});

test("the text model learns words and pairs of words", () => {
  const rng = random(7);
  const pick = (words: string[]): string => words[rng.below(words.length)];
  const texts = Array.from({ length: 300 }, () =>
    Array.from({ length: 5 }, () => pick(["not", "so", "sure", "fine", "then"])).join(" "),
  );
  const mask = Int32Array.from(texts, (text) => (/\bnot sure\b/.test(text) ? 1 : 0) | (/fine/.test(text) ? 2 : 0));
  const model = atOnce(textModel(texts.slice(0, 200), mask.slice(0, 200), 2, random(1)));
  for (const l of [0, 1])
    assert.ok(
      auroc(
        texts.slice(200).map((text) => model(text)[l]),
        bitOf(mask.slice(200), l),
      ) > 0.95,
    );
});

test("bootstrap: documents are drawn whole, the interval holds the estimate, a detector leads itself by nothing", () => {
  const { score, mask } = made(200, 9);
  const positive = bitOf(mask, 0);
  const document = Int32Array.from({ length: 200 }, (_, i) => Math.floor(i / 10));
  const [one, same, noise] = atOnce(
    bootstrap([score, score, score.map((_, i) => (i * 37) % 101)], positive, document, random(1), 300),
  );
  const got = auroc(score, positive);
  assert.ok(one.interval[0] < got && got < one.interval[1]);
  assert.deepEqual(same.lead, [0, 0]);
  assert.ok(noise.lead[1] > 0);
  const whole = atOnce(bootstrap([score], positive, new Int32Array(200), random(1), 20))[0]; // one document: every draw is the same
  assert.deepEqual(whole.interval, [got, got]);
});

test("verdicts name the first control that reaches the latent", () => {
  const detector = (kind: Detector["kind"], heldout: number, lead: [number, number] = [0.01, 0.1]): Detector => ({
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
  assert.deepEqual(verdictOf([latent, ...quiet], 50), { verdict: "above its controls", warnings: [] });
  assert.equal(verdictOf([latent, ...quiet], 19).verdict, "undefined");
  assert.equal(verdictOf([latent, detector("keyword", 0.9), detector("random direction", 0.95)], 50).verdict, "keyword");
  assert.equal(verdictOf([latent, detector("random direction", 0.95), detector("position", 0.91)], 50).verdict, "position");
  assert.equal(verdictOf([latent, ...quiet, detector("probe", 0.95)], 50).verdict, "above its controls");
  assert.match(verdictOf([latent, ...quiet, detector("probe", 0.95)], 50).warnings[0], /^reached by the probe \(0\.95\)$/);
  assert.match(
    verdictOf([latent, detector("keyword", 0.89, [-0.02, 0.05])], 50).warnings[0],
    /within chance over the word “w” \(95 %: −0\.02 to \+0\.05\)/,
  );
  const absent = { ...detector("keyword", 0.95), absent: true as const };
  assert.match(verdictOf([latent, absent], 50).warnings[0], /^reached by the absence of the word “w” \(0\.95\)$/);
});
