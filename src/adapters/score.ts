import { firingsOf, latentBlocks } from "../core/collect";
import { OptionError, StoreError } from "../core/errors";
import { random } from "../core/random";
import {
  auroc,
  averagePrecision,
  bootstrap,
  logisticProbe,
  POOLINGS,
  pooling,
  randomDirections,
  ranking,
  rowSentences,
  scoreLatents,
  sentencesOf,
  oneSidedLabels,
  textModel,
  withoutLabels,
  wordsOf,
  type Pooling,
  type Sentences,
} from "../core/score";
import {
  scoresHtml,
  scoresText,
  verdictOf,
  type Detector,
  type DetectorKind,
  type LabelScore,
  type ScoresView,
} from "../core/scoretable";
import { splitDocuments } from "../core/split";
import { bytesToText, visible } from "../core/token";
import type { Progress, Sae, Store } from "../core/types";
import { collect, type CollectedFeature, type Features } from "./collect";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { showing, type FeatureList, type ShownNow } from "./show";

export interface ScoreOptions {
  labels?: string[]; // all that the documents carry, most frequent first
  resamples?: number; // 400 bootstrap draws of documents
  seed?: number; // 0: directions, bootstrap, order of training
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface LabelScores extends ScoresView, ShownNow {
  /** @throws OptionError if the label was not scored */
  of(label: string): LabelScore;
  /** AUROC on training documents of each latent × pooling, [latents, 3], for a label. */
  training(label: string): Float32Array;
  /** The latents picked for some labels (all by default) as features, each with the words to show it by. */
  features(labels?: string[]): FeatureList<CollectedFeature> & ShownNow;
}

const CHUNK = 65_536; // rows of codes read at once
const SCRATCH = 2 ** 24; // scores of random directions held at once: 64 MB

/**
 * For each behaviour label: the latent and pooling that correlate best with it on training documents, measured on
 * held-out ones, beside what the same search finds without an SAE: a word, a text model, random directions, a probe,
 * position and length.
 *
 * Units are labelled sentences (spans), scored by the mean, the maximum and the mean of the first five of the rows
 * within; tokens whose rows were dropped are skipped.
 *
 * A label is scored if on either side of the split some sentence with rows carries it and some does not; others are left
 * out, and the notes say so.
 * @throws OptionError if the documents carry no such label, or more than can be scored at once; StoreError if the
 *   features miss one side of the split, or a label that was asked for has positives or negatives on one side only
 */
export function scoreLabels(features: Features, options?: ScoreOptions): Promise<LabelScores>;
export function scoreLabels(store: Store, sae: Sae, options?: ScoreOptions): Promise<LabelScores>;
export async function scoreLabels(
  from: Features | Store,
  second?: Sae | ScoreOptions,
  third?: ScoreOptions,
): Promise<LabelScores> {
  if ("codes" in from) return score(from, (second as ScoreOptions) ?? {});
  const options = third ?? {};
  return score(await collect(from, second as Sae, { progress: options.progress }), options);
}

/** @throws OptionError for what no score could come of */
function checkOptions({ labels, resamples = 1, seed = 0 }: ScoreOptions): void {
  if (!Number.isSafeInteger(resamples) || resamples < 1)
    throw new OptionError(`scoreLabels: resamples: expected a whole number from 1 on, found ${resamples}. The default is 400.`);
  if (!Number.isSafeInteger(seed)) throw new OptionError(`scoreLabels: seed: expected a whole number, found ${seed}.`);
  if (!labels) return;
  if (!labels.length)
    throw new OptionError("scoreLabels: labels: expected at least one, found none. Leave it out for all labels.");
  const twice = labels.find((label, i) => labels.indexOf(label) !== i);
  if (twice !== undefined)
    throw new OptionError(`scoreLabels: labels: expected each label once, found "${twice}" twice. Name it once.`);
}

/** The best so far of many candidates for each label. */
interface Best {
  auroc: number;
  at: number;
}

async function score(features: Features, options: ScoreOptions): Promise<LabelScores> {
  const { resamples = 400, seed = 0, progress = defaultProgress() } = options;
  checkOptions(options);
  const store = await features.store();
  const { hook, latents, d } = features.manifest.sae;
  if (features.manifest.split !== "all") {
    throw new StoreError(
      `${features.path}: expected features of all rows, as scores are picked on training documents and reported on held-out ones, found "${features.manifest.split}". collect(store, sae) takes all.`,
    );
  }
  const documents = store.documents().map((document) => (document.spans ? document : { ...document, spans: [] }));
  const known = new Set(documents.flatMap(({ spans }) => spans.map(({ label }) => label)));
  const unknown = (options.labels ?? []).filter((label) => !known.has(label));
  if (!known.size || unknown.length) {
    throw new OptionError(
      `${store.path}: expected documents with labelled spans${unknown.length ? ` "${unknown.join('", "')}"` : ""}, ` +
        `found ${known.size ? `labels ${[...known].slice(0, 12).join(", ")}` : "none"}. readTexts reads them from JSONL: { text, spans: [{ start, end, label }] }.`,
    );
  }
  if (!features.fired.some((n) => n > 0)) {
    throw new StoreError(
      `${features.path}: expected latents that fire, found that all ${latents} are silent on these rows. ` +
        "Look at evaluate(sae, store): the SAE may belong to another hook or model.",
    );
  }
  const sides = splitDocuments(documents);
  const tokenIds: Int32Array[] = [];
  const offsets = (document: number) => {
    const tokens = store.tokens(document);
    tokenIds.push(tokens.ids);
    return tokens;
  };
  const all = sentencesOf(documents, offsets, sides, options.labels);
  const origin = store.origin(0, features.rows);
  const rows = rowSentences(all, origin.document, origin.position);
  // where every sentence with rows carries a label, or none does, there is nothing to tell apart
  const unusable = oneSidedLabels(all, rows);
  if (unusable.length === all.labels.length || (options.labels && unusable.length)) {
    throw new StoreError(
      `${store.path}: expected sentences with rows that carry the label, and some that do not, in training and in held-out documents, ` +
        `found one side only for "${unusable.join('", "')}". Label more documents, other behaviours too${unusable.length < all.labels.length ? ", or leave it out of { labels }" : ""}.`,
    );
  }
  const sentences = withoutLabels(all, unusable);
  const { labels, mask, heldout } = sentences;
  const L = labels.length;

  // sentences of either side that have rows, and their numbers among them
  const side = (wanted: number): { number: Int32Array; of: Int32Array } => {
    const number = new Int32Array(sentences.count).fill(-1);
    const of: number[] = [];
    for (let s = 0; s < sentences.count; s++) if (heldout[s] === wanted && rows.rows[s] > 0) number[s] = of.push(s) - 1;
    return { number, of: Int32Array.from(of) };
  };
  const train = side(0);
  const test = side(1);
  const trainMask = train.of.map((s) => mask[s]);
  const ranks = ranking(trainMask, L);
  const total = features.rows;
  const told = meter("score", 4, "stages", progress);
  const pause = async (): Promise<void> => {
    stopIfInterrupted("No scores were kept: ask again.");
    await breathe();
  };
  const found = new Float64Array(L);
  const improve = (best: Best[], at: number, values: ArrayLike<number>): number[] => {
    const better: number[] = [];
    for (let l = 0; l < L; l++) {
      if (!(values[l] > best[l].auroc)) continue;
      best[l] = { auroc: values[l], at };
      better.push(l);
    }
    return better;
  };
  const none = (): Best[] => labels.map(() => ({ auroc: -1, at: -1 }));

  // 1 latents × poolings, exactly
  const training = labels.map(() => new Float32Array(latents * POOLINGS.length).fill(0.5));
  const bestLatent = none();
  const latentScores: Float32Array[] = new Array(L);
  const latentTrain: number[] = new Array(L).fill(NaN);
  const poolTrain = pooling(rows, train.number);
  const poolTest = pooling(rows, test.number);
  for (const block of latentBlocks(features.fired)) {
    const { firings, add } = firingsOf(features.fired, block.from, block.to);
    for (let from = 0; from < total; from += CHUNK) {
      add(from, features.codes(from, Math.min(total, from + CHUNK)));
      await pause();
    }
    for (let f = block.from; f < block.to; f += 256) {
      scoreLatents(firings, poolTrain, ranks, training, f, Math.min(block.to, f + 256));
      await pause();
    }
    for (let l = 0; l < L; l++) {
      let at = -1;
      for (let i = block.from * 3; i < block.to * 3; i++)
        if (features.fired[Math.floor(i / 3)] && training[l][i] > (at < 0 ? bestLatent[l].auroc : training[l][at])) at = i;
      if (at < 0) continue;
      bestLatent[l] = { auroc: training[l][at], at };
      const pooled = poolTest(firings, Math.floor(at / 3));
      latentScores[l] = new Float32Array(test.of.length);
      pooled.item.forEach((item, i) => (latentScores[l][item] = pooled.scores[at % 3][i]));
      latentTrain[l] = training[l][at];
    }
  }
  told(1, "latents");

  // 2 sentence means, then random directions with the same three poolings
  const means = new Float32Array(sentences.count * d);
  const firsts = new Float32Array(sentences.count * d);
  const step = Math.max(256, Math.floor(2 ** 21 / d));
  const eachRow = async (body: (row: number, sentence: number, x: Float32Array, at: number) => void): Promise<void> => {
    for (let from = 0; from < total; from += step) {
      const to = Math.min(total, from + step);
      const x = store.read(hook, from, to);
      for (let r = from; r < to; r++) if (rows.sentence[r] >= 0) body(r, rows.sentence[r], x, (r - from) * d);
      await pause();
    }
  };
  await eachRow((r, s, x, at) => {
    const first = rows.ordinal[r] < 5;
    for (let i = 0; i < d; i++) means[s * d + i] += x[at + i] / rows.rows[s];
    if (first) for (let i = 0; i < d; i++) firsts[s * d + i] += x[at + i] / Math.min(5, rows.rows[s]);
  });
  const directions = randomDirections(d, latents, random(seed, 1));
  const bestDirection = none();
  const n = train.of.length;
  const together = Math.max(1, Math.min(directions.blocks, Math.floor(SCRATCH / (n * directions.size))));
  const out = new Float32Array(directions.size);
  const bins = new Float64Array(2048 * ranks.classes);
  for (let begin = 0; begin < directions.blocks; begin += together) {
    const blocks = Math.min(together, directions.blocks - begin);
    const width = blocks * directions.size;
    const scores = new Float32Array(n * width);
    const consider = async (p: number): Promise<void> => {
      for (let j = 0; j < width && begin * directions.size + j < latents; j++) {
        ranks.binned(scores, j, width, bins, found);
        improve(bestDirection, (begin * directions.size + j) * 3 + p, found);
        if (j % 64 === 63) await pause();
      }
    };
    const ofSentences = (from: Float32Array): void => {
      for (let u = 0; u < n; u++) {
        for (let b = 0; b < blocks; b++) {
          directions.project(begin + b, from, train.of[u] * d, out);
          scores.set(out, u * width + b * directions.size);
        }
      }
    };
    ofSentences(means);
    await consider(0);
    ofSentences(firsts);
    await consider(2);
    scores.fill(-Infinity);
    await eachRow((_, s, x, at) => {
      const u = train.number[s];
      if (u < 0) return;
      for (let b = 0; b < blocks; b++) {
        directions.project(begin + b, x, at, out);
        const base = u * width + b * directions.size;
        for (let j = 0; j < out.length; j++) if (out[j] > scores[base + j]) scores[base + j] = out[j];
      }
    });
    await consider(1);
  }
  const picked = bestDirection.map(({ at }) => ({ vector: directions.direction(Math.floor(at / 3)), p: at % 3 }));
  const directionScores = picked.map(({ vector, p }) =>
    p === 1 ? new Float32Array(sentences.count).fill(-Infinity) : dots(p === 0 ? means : firsts, vector),
  );
  if (picked.some(({ p }) => p === 1)) {
    await eachRow((_, s, x, at) =>
      picked.forEach(({ vector, p }, l) => {
        if (p !== 1) return;
        let sum = 0;
        for (let i = 0; i < d; i++) sum += x[at + i] * vector[i];
        if (sum > directionScores[l][s]) directionScores[l][s] = sum;
      }),
    );
  }
  told(2, "random directions");

  // 3 what the text says: words, pairs of words, where and how long the sentence is
  const texts = Array.from({ length: sentences.count }, (_, s) =>
    documents[sentences.document[s]].text.slice(sentences.start[s], sentences.end[s]),
  );
  const keywords = bestKeywords(sentences, texts, tokenIds, train.of, ranks, L, (id) =>
    bytesToText(store.tokenizer.bytes(id)),
  );
  await pause();
  const gram = textModel(
    Array.from(train.of, (s) => texts[s]),
    trainMask,
    L,
    random(seed, 2),
  );
  await pause();
  const gramScores = texts.map(gram);
  const simple = (values: (s: number) => number): Float32Array =>
    Float32Array.from({ length: sentences.count }, (_, s) => values(s));
  const positions = [
    { what: "late", scores: simple((s) => sentences.first[s]) },
    { what: "early", scores: simple((s) => -sentences.first[s]) },
    { what: "near the end", scores: simple((s) => sentences.relative[s]) },
    { what: "near the beginning", scores: simple((s) => -sentences.relative[s]) },
  ];
  const lengths = [
    { what: "long", scores: simple((s) => sentences.tokens[s]) },
    { what: "short", scores: simple((s) => -sentences.tokens[s]) },
  ];
  told(3, "text");

  // 4 what the activations say: a probe, the difference of means
  const trainMeans = new Float32Array(n * d);
  train.of.forEach((s, u) => trainMeans.set(means.subarray(s * d, (s + 1) * d), u * d));
  await pause();
  const probe = logisticProbe(trainMeans, d, trainMask, L, random(seed, 3));
  await pause();

  const at = (scores: ArrayLike<number>, of: Int32Array): Float32Array => Float32Array.from(of, (s) => scores[s]);
  const testDocuments = test.of.map((s) => sentences.document[s]);
  const scored: LabelScore[] = [];
  for (let l = 0; l < L; l++) {
    const trainPositive = trainMask.map((m) => (m >> l) & 1);
    const positive = test.of.map((s) => (mask[s] >> l) & 1);
    const sum = (list: Int32Array): number => list.reduce((a, b) => a + b, 0);
    const counts = { train: sum(trainPositive), heldout: sum(positive) };
    const candidates: (Pick<Detector, "kind" | "what" | "absent" | "searched" | "train"> & {
      scores: ArrayLike<number>;
    })[] = [];
    const add = (kind: DetectorKind, what: string, searched: number, scores: ArrayLike<number>, absent = false): void => {
      candidates.push({
        kind,
        what,
        ...(absent ? { absent: true as const } : {}),
        searched,
        train: auroc(at(scores, train.of), trainPositive),
        scores: at(scores, test.of),
      });
    };
    const chosen = Math.floor(bestLatent[l].at / 3);
    const pool: Pooling = POOLINGS[Math.max(0, bestLatent[l].at) % 3];
    candidates.push({
      kind: "latent",
      what: `${chosen}, ${pool}`,
      searched: latents * 3,
      train: latentTrain[l],
      scores: latentScores[l] ?? new Float32Array(test.of.length),
    });
    add("keyword", keywords[l].what, keywords[l].searched, keywords[l].scores, keywords[l].absent);
    add("random direction", POOLINGS[picked[l].p], latents * 3, directionScores[l]);
    const better = (list: { what: string; scores: Float32Array }[]) =>
      list.reduce((best, one) =>
        auroc(at(one.scores, train.of), trainPositive) > auroc(at(best.scores, train.of), trainPositive) ? one : best,
      );
    const place = better(positions);
    add("position", place.what, positions.length, place.scores);
    const long = better(lengths);
    add("length", long.what, lengths.length, long.scores);
    add(
      "text model",
      "words and pairs of words",
      1,
      gramScores.map((z) => z[l]),
    );
    add("difference of means", "mean", 1, dots(means, classDifference(means, d, train.of, trainPositive)));
    add("probe", "logistic, mean", 1, probe(means, l));
    const intervals = bootstrap(
      candidates.map(({ scores }) => scores),
      positive,
      testDocuments,
      random(seed, 4),
      resamples,
    );
    const detectors: Detector[] = candidates.map(({ scores, ...candidate }, i) => ({
      ...candidate,
      heldout: auroc(scores, positive),
      averagePrecision: averagePrecision(scores, positive),
      interval: intervals[i].interval,
      lead: intervals[i].lead,
    }));
    scored.push({
      label: labels[l],
      latent: chosen,
      pooling: pool,
      positives: counts,
      baseRate: counts.heldout / test.of.length,
      detectors,
      ...verdictOf(detectors, counts.heldout),
    });
    await pause();
  }
  told(4);

  const count = (of: Int32Array): { sentences: number; documents: number } => ({
    sentences: of.length,
    documents: new Set(of.map((s) => sentences.document[s])).size,
  });
  const view: ScoresView = {
    labels: scored,
    latents,
    poolings: POOLINGS.length,
    train: count(train.of),
    heldout: count(test.of),
    skipped: sentences.count - train.of.length - test.of.length,
    leftOut: unusable,
  };
  const of = (label: string): LabelScore => {
    const one = scored.find((score) => score.label === label);
    if (!one) throw new OptionError(`scores: expected one of the labels ${labels.join(", ")}, found "${label}".`);
    return one;
  };
  return showing<Omit<LabelScores, keyof ShownNow>>(
    {
      ...view,
      of,
      training: (label) => training[labels.indexOf(of(label).label)],
      features(wanted = labels) {
        const list = features.top({ latents: [...new Set(wanted.map((label) => of(label).latent))] });
        for (const feature of list) {
          const mine = wanted.map(of).filter(({ latent }) => latent === feature.latent);
          feature.label = mine
            .map(({ label, detectors }) => `correlates with ${label} (held-out AUROC ${detectors[0].heldout.toFixed(2)})`)
            .join(", ");
        }
        return list;
      },
    },
    () => ({
      "application/vnd.saelab.scores.v1+json": { version: 1, ...view },
      "text/html": scoresHtml(view),
      "text/plain": scoresText(view),
    }),
  ) as LabelScores;

  /** Product of each sentence's vector with a direction. */
  function dots(vectors: Float32Array, direction: Float32Array): Float32Array {
    return Float32Array.from({ length: sentences.count }, (_, s) => {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += vectors[s * d + i] * direction[i];
      return sum;
    });
  }
}

/** Mean of the positives minus mean of the others. */
function classDifference(means: Float32Array, d: number, of: Int32Array, positive: Int32Array): Float32Array {
  const sums = [new Float64Array(d), new Float64Array(d)];
  const counts = [0, 0];
  of.forEach((s, u) => {
    counts[positive[u]]++;
    for (let i = 0; i < d; i++) sums[positive[u]][i] += means[s * d + i];
  });
  return Float32Array.from(
    { length: d },
    (_, i) => sums[1][i] / Math.max(1, counts[1]) - sums[0][i] / Math.max(1, counts[0]),
  );
}

/** For each label the token or word whose presence, or whose absence, tells it best on training sentences. */
function bestKeywords(
  sentences: Sentences,
  texts: string[],
  tokenIds: Int32Array[],
  of: Int32Array,
  ranks: ReturnType<typeof ranking>,
  labels: number,
  nameOf: (token: number) => string,
): { what: string; absent: boolean; searched: number; scores: Float32Array }[] {
  const tokensIn: Set<number>[] = texts.map(() => new Set());
  sentences.ofToken.forEach((ofToken, document) =>
    ofToken.forEach((s, t) => s >= 0 && tokensIn[s].add(tokenIds[document][t])),
  );
  const wordsIn = texts.map((text) => new Set(wordsOf(text)));
  const present = new Map<number | string, Float64Array>();
  of.forEach((s, u) => {
    for (const key of [...tokensIn[s], ...wordsIn[s]]) {
      if (!present.has(key)) present.set(key, new Float64Array(ranks.classes));
      present.get(key)![ranks.classOf[u]]++;
    }
  });
  const best = Array.from({ length: labels }, () => ({ auroc: -1, key: "" as number | string, absent: false }));
  const found = new Float64Array(labels);
  for (const [key, counts] of present) {
    ranks.presence(counts, found);
    for (let l = 0; l < labels; l++) {
      const absent = found[l] < 0.5;
      const reached = absent ? 1 - found[l] : found[l];
      if (reached > best[l].auroc) best[l] = { auroc: reached, key, absent };
    }
  }
  return best.map(({ key, absent }) => ({
    what: typeof key === "number" ? visible(nameOf(key)) : key,
    absent,
    searched: 2 * present.size,
    scores: Float32Array.from(texts, (_, s) =>
      (typeof key === "number" ? tokensIn[s].has(key) : wordsIn[s].has(key)) !== absent ? 1 : 0,
    ),
  }));
}
