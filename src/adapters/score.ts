import { freemem } from "node:os";
import { firingsOf, latentBlocks } from "../core/collect";
import { bestKeywords, classDifference, logisticProbe, randomDirections, textModel } from "../core/controls";
import { OptionError, StoreError } from "../core/errors";
import type { Pieces } from "../core/pieces";
import { random } from "../core/random";
import { auroc, averagePrecision, bootstrap, ranking } from "../core/ranking";
import { FIRST, pooling, POOLINGS, scoreLatents, type Pooling } from "../core/score";
import { scoresHtml, scoresText, verdictOf, type Detector, type LabelScore, type ScoresView } from "../core/scoretable";
import { bytesToText, visible } from "../core/token";
import type { Progress, Sae, Store } from "../core/types";
import { collect } from "./collect";
import type { CollectedFeature, Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { labelledSentences, positives, type Labelled, type Side } from "./labelled";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { DISPLAY, heatMap, showing, type FeatureList, type ShownNow } from "./show";

export interface ScoreOptions {
  labels?: string[]; // all that the documents carry, most frequent first
  resamples?: number; // 400 bootstrap draws of documents
  seed?: number; // 0: directions, bootstrap, order of training
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface LabelScores extends ScoresView, ShownNow {
  /** @throws OptionError if the label was not scored */
  of(label: string): LabelScore;
  /** AUROC on training documents of each latent × pooling, [latents, poolings], for a label. */
  training(label: string): Float32Array;
  /** The latents picked for some labels (all by default) as features. They stay when the features they came from are closed. */
  features(labels?: string[]): FeatureList<CollectedFeature> & ShownNow;
}

const CHUNK = 65_536; // rows of codes read at once
const SCRATCH = 2 ** 24; // scores of random directions held at once: 64 MB
const COLUMNS = 16; // float32 numbers in a cache line
const POOLS = POOLINGS.length;
const STOPPED = "No scores were kept: ask again.";

/**
 * For each behaviour label: the latent and pooling that correlate best with it on training documents, measured on
 * held-out ones, beside what the same search finds without an SAE: a word, a text model, random directions, a probe,
 * position and length.
 *
 * Units are labelled sentences (spans), scored by the mean, the maximum and the mean of the first five of the rows
 * within; tokens whose rows were dropped are skipped. A label is scored if on either side of the split some sentence
 * with rows carries it and some does not; others are left out, and the notes say so.
 *
 * Shows itself as `application/vnd.saelab.scores.v1+json` ({ version: 1 } and a ScoresView), HTML and text.
 * @throws OptionError if the documents carry no such label, more than can be scored at once, or memory is short;
 *   StoreError if the features miss one side of the split, or a label that was asked for has positives or negatives on
 *   one side only; InterruptError, when asked to stop
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
  checkOptions(options);
  const features = await collect(from, second as Sae, { progress: options.progress });
  try {
    return await score(features, options);
  } finally {
    features.close();
  }
}

async function score(features: Features, options: ScoreOptions): Promise<LabelScores> {
  checkOptions(options);
  const { resamples = 400, seed = 0, progress = defaultProgress() } = options;
  const told = meter("score", 4, "stages", progress);
  const task = await taskOf(features, await features.store(), options.labels);
  requireMemory(task);
  const latents = await bestLatents(task);
  told(1, "latents");
  const means = await sentenceMeans(task);
  const directions = await bestDirections(task, means, seed);
  told(2, "random directions");
  const texts = await textControls(task, seed);
  told(3, "text");
  const activations = await activationControls(task, means.all, seed);
  const { sentences, train, test } = task;
  const scored: LabelScore[] = [];
  for (const [l, label] of sentences.labels.entries()) {
    const { latent, pool } = latents.best[l];
    const candidates = [latents.best[l].candidate, texts.keyword(l), directions[l]];
    candidates.push(...texts.others(l));
    await pause();
    candidates.push(...activations(l));
    await pause();
    const positive = positives(test, l);
    const intervals = await inPieces(
      bootstrap(
        candidates.map(({ scores }) => scores),
        positive,
        test.of.map((s) => sentences.document[s]),
        random(seed, 4),
        resamples,
      ),
      STOPPED,
    );
    const detectors: Detector[] = candidates.map(({ scores, ...candidate }, i) => ({
      ...candidate,
      heldout: auroc(scores, positive),
      averagePrecision: averagePrecision(scores, positive),
      ...intervals[i],
    }));
    const counts = { train: total(positives(train, l)), heldout: total(positive) };
    scored.push({
      label,
      latent,
      pooling: pool,
      positives: counts,
      baseRate: counts.heldout / test.of.length,
      detectors,
      ...verdictOf(detectors, counts.heldout),
    });
    await pause();
  }
  told(4);
  return labelScores(task, scored, latents.training);
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

async function pause(): Promise<void> {
  stopIfInterrupted(STOPPED);
  await breathe();
}

/** What is scored, and what there is to choose from. */
interface Task extends Labelled {
  features: Features;
  store: Store;
  hook: string;
  d: number;
  latents: number;
  ranks: ReturnType<typeof ranking>; // of the sentences of `train`
}

async function taskOf(features: Features, store: Store, wanted?: string[]): Promise<Task> {
  const { hook, latents, d } = features.manifest.sae;
  if (features.manifest.split !== "all") {
    throw new StoreError(
      `${features.path}: expected features of all rows, as scores are picked on training documents and reported on held-out ones, found "${features.manifest.split}". collect(store, sae) takes all.`,
    );
  }
  if (!features.fired.some((n) => n > 0)) {
    throw new StoreError(
      `${features.path}: expected latents that fire, found that all ${latents} are silent on these rows. ` +
        "Look at evaluate(sae, store): the SAE may belong to another hook or model.",
    );
  }
  const { documents, tokenIds, sentences, rows, train, test, leftOut } = await labelledSentences(store, "scoreLabels", STOPPED, wanted);
  const ranks = ranking(train.mask, sentences.labels.length);
  return { features, store, hook, d, latents, documents, tokenIds, sentences, rows, train, test, ranks, leftOut };
}

/** @throws OptionError if what is held at once would not fit */
function requireMemory({ features, store, d, latents, sentences }: Task): void {
  const firings = 8 * Math.min(2 ** 23, features.fired.reduce((sum, n) => sum + n, 0));
  const needed = 8 * sentences.count * d + 4 * SCRATCH + firings + 4 * POOLS * latents * sentences.labels.length;
  const available = (process as { availableMemory?: () => number }).availableMemory?.() ?? freemem();
  if (needed <= available) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
  throw new OptionError(
    `${store.path}: expected ${megabytes(needed)} of free memory to score ${sentences.count.toLocaleString("en")} sentences × width ${d}, ` +
      `found ${megabytes(available)}. Close other programs, or harvest fewer of the documents into another store.`,
  );
}

/** A way to tell a label: `scores` are those of the held-out sentences. */
type Candidate = Pick<Detector, "kind" | "what" | "absent" | "searched" | "train"> & { scores: ArrayLike<number> };

const total = (list: Int32Array): number => list.reduce((a, b) => a + b, 0);
const picked = (scores: ArrayLike<number>, of: Int32Array): Float32Array => Float32Array.from(of, (s) => scores[s]);

/** A candidate from scores of all sentences: measured on training ones, its held-out ones kept. */
function candidate(
  { train, test }: Task,
  l: number,
  what: Pick<Detector, "kind" | "what" | "absent" | "searched">,
  scores: ArrayLike<number>,
): Candidate {
  return { ...what, train: auroc(picked(scores, train.of), positives(train, l)), scores: picked(scores, test.of) };
}

/** The best so far of many, by AUROC on training sentences. */
interface Best {
  auroc: number;
  at: number;
}

/** All latents × poolings, exactly; the best of each label is pooled on held-out sentences too. */
async function bestLatents({ features, latents, sentences, rows, train, test, ranks }: Task): Promise<{
  best: { latent: number; pool: Pooling; candidate: Candidate }[];
  training: Float32Array[];
}> {
  const { labels } = sentences;
  const training = labels.map(() => new Float32Array(latents * POOLS).fill(0.5));
  const best: Best[] = labels.map(() => ({ auroc: -1, at: -1 }));
  const scores = labels.map(() => new Float32Array(test.of.length));
  const [poolTrain, poolTest] = [pooling(rows, train.number), pooling(rows, test.number)];
  for (const block of latentBlocks(features.fired)) {
    const { firings, add } = firingsOf(features.fired, block.from, block.to);
    for (let from = 0; from < features.rows; from += CHUNK) {
      add(from, features.codes(from, Math.min(features.rows, from + CHUNK)));
      await pause();
    }
    await inPieces(scoreLatents(firings, poolTrain, ranks, training), STOPPED);
    labels.forEach((_, l) => {
      let better = false;
      for (let i = block.from * POOLS; i < block.to * POOLS; i++) {
        if (!features.fired[Math.floor(i / POOLS)] || !(training[l][i] > best[l].auroc)) continue;
        best[l] = { auroc: training[l][i], at: i };
        better = true;
      }
      if (!better) return;
      const { item, scores: pooled } = poolTest(firings, Math.floor(best[l].at / POOLS));
      scores[l].fill(0);
      item.forEach((s, i) => (scores[l][s] = pooled[best[l].at % POOLS][i]));
    });
  }
  return {
    training,
    best: best.map(({ auroc: reached, at }, l) => {
      const [latent, pool] = [Math.floor(at / POOLS), POOLINGS[at % POOLS]];
      const what = `${latent}, ${pool}`;
      return {
        latent,
        pool,
        candidate: { kind: "latent", what, searched: latents * POOLS, train: reached, scores: scores[l] },
      };
    }),
  };
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

async function sentenceMeans(task: Task): Promise<Means> {
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
async function bestDirections(task: Task, means: Means, seed: number): Promise<Candidate[]> {
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
async function textControls(task: Task, seed: number) {
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
async function activationControls(task: Task, means: Float32Array, seed: number): Promise<(l: number) => Candidate[]> {
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

/** The scores as something to ask and to show. The picked latents are read now: the features may be closed then. */
function labelScores(task: Task, scored: LabelScore[], training: Float32Array[]): LabelScores {
  const { features, sentences, train, test, latents, leftOut } = task;
  const { labels } = sentences;
  const count = ({ of }: Side): { sentences: number; documents: number } => ({
    sentences: of.length,
    documents: new Set(of.map((s) => sentences.document[s])).size,
  });
  const view: ScoresView = {
    labels: scored,
    latents,
    poolings: POOLS,
    train: count(train),
    heldout: count(test),
    skipped: sentences.count - train.of.length - test.of.length,
    leftOut,
  };
  const { words } = features;
  const known = new Map(scored.map(({ latent }) => [latent, features.feature(latent)]));
  const of = (label: string): LabelScore => {
    const one = scored.find((labelled) => labelled.label === label);
    if (!one) throw new OptionError(`scores: expected one of the labels ${labels.join(", ")}, found "${label}".`);
    return one;
  };
  const featureOf = (latent: number, label: string): CollectedFeature => {
    const feature: CollectedFeature = showing({ ...known.get(latent)!, label }, () => heatMap(feature)[DISPLAY]());
    return feature;
  };
  return showing<Omit<LabelScores, keyof ShownNow>>(
    {
      ...view,
      of,
      training: (label) => training[labels.indexOf(of(label).label)],
      features(wanted = labels) {
        const mine = wanted.map(of);
        const list = [...new Set(mine.map(({ latent }) => latent))].map((latent) =>
          featureOf(
            latent,
            mine
              .filter((one) => one.latent === latent)
              .map(({ label, detectors }) => `correlates with ${label} (held-out AUROC ${detectors[0].heldout.toFixed(2)})`)
              .join(", "),
          ),
        );
        const shown: FeatureList<CollectedFeature> = Object.assign(list, { words, note: CONTEXTS });
        return showing(shown, () => heatMap(shown, { count: shown.length })[DISPLAY]());
      },
    },
    () => ({
      "application/vnd.saelab.scores.v1+json": { version: 1, ...view },
      "text/html": scoresHtml(view),
      "text/plain": scoresText(view),
    }),
  ) as LabelScores;
}

const CONTEXTS =
  "Contexts come from training and held-out documents alike; the scores beside the latents from held-out ones only.";
