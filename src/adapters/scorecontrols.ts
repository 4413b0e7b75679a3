import { bestKeywords, classDifference, logisticProbe, randomDirections, textModel } from "../core/controls";
import type { Pieces } from "../core/pieces";
import { random } from "../core/random";
import { FIRST, POOLINGS, type Pooling } from "../core/score";
import type { Detector } from "../core/scoretable";
import { bytesToText, visible } from "../core/token";
import { positives } from "./labelled";
import { inPieces } from "./pieces";
import { candidate, pause, SCRATCH, STOPPED, type Candidate, type Task } from "./scoretask";

/** What a latent is held against, found on training documents with the same freedom of choice. */

const COLUMNS = 16; // float32 numbers in a cache line
const POOLS = POOLINGS.length;

/** The best so far of many, by AUROC on training sentences. */
interface Best {
  auroc: number;
  at: number;
}

/** Calls `body` with every row that is in a sentence: x[at … at + d]. */
async function eachRow(
  { features, store, hook, d, rows }: Task,
  body: (row: number, sentence: number, x: Float32Array, at: number) => void,
): Promise<void> {
  const step = Math.max(256, Math.floor(2 ** 21 / d));
  for (let from = 0; from < features.rows; from += step) {
    const to = Math.min(features.rows, from + step);
    const x = store.read(hook, from, to);
    for (let r = from; r < to; r++) if (rows.sentence[r] >= 0) body(r, rows.sentence[r], x, (r - from) * d);
    await pause();
  }
}

/** Mean of all rows of each sentence, and of its first five, [sentences, d] each. */
interface Means {
  all: Float32Array;
  first: Float32Array;
}

export async function sentenceMeans(task: Task): Promise<Means> {
  const { d, rows, sentences } = task;
  const all = new Float32Array(sentences.count * d);
  const first = new Float32Array(sentences.count * d);
  await eachRow(task, (r, s, x, at) => {
    for (let i = 0; i < d; i++) all[s * d + i] += x[at + i] / rows.rows[s];
    if (rows.ordinal[r] >= FIRST) return;
    for (let i = 0; i < d; i++) first[s * d + i] += x[at + i] / Math.min(FIRST, rows.rows[s]);
  });
  return { all, first };
}

/** Product of each sentence's vector with a direction. */
const dots = (vectors: Float32Array, direction: Float32Array): Float32Array =>
  Float32Array.from({ length: vectors.length / direction.length }, (_, s) => {
    let sum = 0;
    for (let i = 0; i < direction.length; i++) sum += vectors[s * direction.length + i] * direction[i];
    return sum;
  });

/** For each label the best of as many random directions as there are latents, with the same poolings. */
export async function bestDirections(task: Task, means: Means, seed: number): Promise<Candidate[]> {
  const { d, latents, sentences, train, ranks } = task;
  const directions = randomDirections(d, latents, random(seed, 1));
  const best: Best[] = sentences.labels.map(() => ({ auroc: -1, at: -1 }));
  const n = train.of.length;
  const together = Math.max(1, Math.min(directions.blocks, Math.floor(SCRATCH / (n * directions.size))));
  const out = new Float32Array(directions.size);
  const bins = new Float64Array(2048 * ranks.classes);
  const columns = new Float32Array(COLUMNS * n);
  const found = new Float64Array(best.length);
  for (let begin = 0; begin < directions.blocks; begin += together) {
    const blocks = Math.min(together, directions.blocks - begin);
    const width = blocks * directions.size;
    const firstOne = begin * directions.size;
    const scores = new Float32Array(n * width);
    const consider = function* (pool: Pooling): Pieces<void> {
      const p = POOLINGS.indexOf(pool);
      for (let j = 0; j < width && firstOne + j < latents; j++) {
        const c = j % COLUMNS;
        if (!c) {
          // a few columns at a time, each cache line read once
          yield;
          for (let u = 0; u < n; u++) for (let i = 0; i < COLUMNS; i++) columns[i * n + u] = scores[u * width + j + i];
        }
        ranks.binned(columns.subarray(c * n, (c + 1) * n), bins, found);
        best.forEach((one, l) => {
          if (found[l] > one.auroc) best[l] = { auroc: found[l], at: (firstOne + j) * POOLS + p };
        });
      }
    };
    const ofSentences = function* (vectors: Float32Array): Pieces<void> {
      for (let u = 0; u < n; u++) {
        if (u % 64 === 63) yield;
        for (let b = 0; b < blocks; b++) {
          directions.project(begin + b, vectors, train.of[u] * d, out);
          scores.set(out, u * width + b * directions.size);
        }
      }
    };
    await inPieces(ofSentences(means.all), STOPPED);
    await inPieces(consider("mean"), STOPPED);
    await inPieces(ofSentences(means.first), STOPPED);
    await inPieces(consider("first five"), STOPPED);
    scores.fill(-Infinity);
    await eachRow(task, (_, s, x, at) => {
      const u = train.number[s];
      if (u < 0) return;
      for (let b = 0; b < blocks; b++) {
        directions.project(begin + b, x, at, out);
        const base = u * width + b * directions.size;
        for (let j = 0; j < out.length; j++) if (out[j] > scores[base + j]) scores[base + j] = out[j];
      }
    });
    await inPieces(consider("max"), STOPPED);
  }
  const chosen = best.map(({ at }) => ({
    vector: directions.direction(Math.floor(at / POOLS)),
    pool: POOLINGS[at % POOLS],
  }));
  const scores = chosen.map(({ vector, pool }) =>
    pool === "max"
      ? new Float32Array(sentences.count).fill(-Infinity)
      : dots(pool === "mean" ? means.all : means.first, vector),
  );
  if (chosen.some(({ pool }) => pool === "max")) {
    await eachRow(task, (_, s, x, at) =>
      chosen.forEach(({ vector, pool }, l) => {
        if (pool !== "max") return;
        let sum = 0;
        for (let i = 0; i < d; i++) sum += x[at + i] * vector[i];
        if (sum > scores[l][s]) scores[l][s] = sum;
      }),
    );
  }
  return chosen.map(({ pool }, l) =>
    candidate(task, l, { kind: "random direction", what: pool, searched: latents * POOLS }, scores[l]),
  );
}

/** What the text says: words, where and how long a sentence is, pairs of words. */
export async function textControls(task: Task, seed: number) {
  const { documents, tokenIds, sentences, train, ranks, store } = task;
  const texts = Array.from({ length: sentences.count }, (_, s) =>
    documents[sentences.document[s]].text.slice(sentences.start[s], sentences.end[s]),
  );
  const keywords = await inPieces(bestKeywords(sentences, texts, tokenIds, train.of, ranks), STOPPED);
  const grams = await inPieces(
    textModel(
      Array.from(train.of, (s) => texts[s]),
      train.mask,
      sentences.labels.length,
      random(seed, 2),
    ),
    STOPPED,
  );
  const gramScores: Float64Array[] = [];
  for (const [s, text] of texts.entries()) {
    if (s % 1024 === 1023) await pause();
    gramScores.push(grams(text));
  }
  const each = (value: (s: number) => number): Float32Array =>
    Float32Array.from({ length: sentences.count }, (_, s) => value(s));
  const positions = [
    { what: "late", scores: each((s) => sentences.first[s]) },
    { what: "early", scores: each((s) => -sentences.first[s]) },
    { what: "near the end", scores: each((s) => sentences.relative[s]) },
    { what: "near the beginning", scores: each((s) => -sentences.relative[s]) },
  ];
  const lengths = [
    { what: "long", scores: each((s) => sentences.tokens[s]) },
    { what: "short", scores: each((s) => -sentences.tokens[s]) },
  ];
  const better = (l: number, kind: Detector["kind"], list: typeof positions): Candidate =>
    list
      .map(({ what, scores }) => candidate(task, l, { kind, what, searched: list.length }, scores))
      .reduce((best, one) => (one.train > best.train ? one : best));
  return {
    keyword(l: number): Candidate {
      const { key, absent, searched, scores } = keywords[l];
      const what = typeof key === "number" ? visible(bytesToText(store.tokenizer.bytes(key))) : key;
      return candidate(task, l, { kind: "keyword", what, ...(absent ? { absent } : {}), searched }, scores);
    },
    others: (l: number): Candidate[] => [
      better(l, "position", positions),
      better(l, "length", lengths),
      candidate(
        task,
        l,
        { kind: "text model", what: "words and pairs of words", searched: 1 },
        gramScores.map((z) => z[l]),
      ),
    ],
  };
}

/** What the activations say without an SAE: the difference of means, a probe. */
export async function activationControls(task: Task, means: Float32Array, seed: number): Promise<(l: number) => Candidate[]> {
  const { d, sentences, train } = task;
  const probe = await inPieces(
    logisticProbe(means, d, train.of, train.mask, sentences.labels.length, random(seed, 3)),
    STOPPED,
  );
  return (l) => [
    candidate(
      task,
      l,
      { kind: "difference of means", what: "mean", searched: 1 },
      dots(means, classDifference(means, d, train.of, positives(train, l))),
    ),
    candidate(task, l, { kind: "probe", what: "logistic, mean", searched: 1 }, probe(means, l)),
  ];
}
