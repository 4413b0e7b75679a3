import { bestKeywords, classDifference, logisticProbe, textModel } from "../core/controls";
import { random } from "../core/random";
import type { Detector } from "../core/scoretable";
import { bytesToText, visible } from "../core/token";
import { positives } from "./labelled";
import { inPieces } from "./pieces";
import { candidate, pause, STOPPED, type Candidate, type Task } from "./scoretask";

/** What a latent is held against, found on training documents: what the text says, and what the activations say without an SAE. */

/** Product of each sentence's vector with a direction. */
const dots = (vectors: Float32Array, direction: Float32Array): Float32Array =>
  Float32Array.from({ length: vectors.length / direction.length }, (_, s) => {
    let sum = 0;
    for (let i = 0; i < direction.length; i++) sum += vectors[s * direction.length + i] * direction[i];
    return sum;
  });

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
