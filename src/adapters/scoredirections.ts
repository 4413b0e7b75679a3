import { randomDirections } from "../core/controls";
import type { Pieces } from "../core/pieces";
import { permutation, random } from "../core/random";
import { auroc, ranking } from "../core/ranking";
import { FIRST, POOLINGS, type Pooling } from "../core/score";
import { positives } from "./labelled";
import { inPieces } from "./pieces";
import { candidate, pause, picked, SAMPLED_ROWS, SCRATCH, STOPPED, type Candidate, type Task } from "./scoretask";
import { kernels, tensorflow } from "./tensorflow";

/**
 * The best of as many random directions as there are latents, with the same poolings: what a search gives by its size alone.
 *
 *   training sentences -sample-> all directions × poolings -> sixteen of each label -on all training sentences-> the best
 *
 * So the cost is that of a sample × latents, not of all rows × latents.
 */

const COLUMNS = 16; // float32 numbers in a cache line
const POOLS = POOLINGS.length;
const FEWEST = 200; // positives of a label in the sample, if there are so many
const FINALISTS = 16;
const STEPS = 256; // scores are sorted into so many, those of a step tied: finalists are measured exactly

/** Mean of all rows of each sentence, and of its first five, [sentences, d] each; and the rows of some sentences. */
export interface SentenceRows {
  all: Float32Array;
  first: Float32Array;
  sample: { of: Int32Array; mask: Int32Array; rows: Float32Array; sentence: Int32Array }; // places among `train`, their labels, rows [m, d], place in `of` of each
}

/** Calls `body` with every row that is in a sentence: x[at … at + d]. */
async function eachRow({ features, store, hook, d, rows }: Task, body: (sentence: number, row: number, x: Float32Array, at: number) => void): Promise<void> {
  const step = Math.max(256, Math.floor(2 ** 21 / d));
  for (let from = 0; from < features.rows; from += step) {
    const to = Math.min(features.rows, from + step);
    const x = store.read(hook, from, to);
    for (let r = from; r < to; r++) if (rows.sentence[r] >= 0) body(rows.sentence[r], r, x, (r - from) * d);
    await pause();
  }
}

/** Training sentences by chance up to so many rows, and more of those that carry a label few of them do; all where they are few. */
function sampleOf({ sentences, rows, train }: Task, seed: number): Int32Array {
  const order = permutation(train.of.length, random(seed, 6));
  const found = sentences.labels.map(() => 0);
  let held = 0;
  return Int32Array.from(order).filter((u) => {
    const carried = found.map((_, l) => (train.mask[u] >> l) & 1);
    if (held >= SAMPLED_ROWS && !carried.some((is, l) => is && found[l] < FEWEST)) return false;
    held += rows.rows[train.of[u]];
    carried.forEach((is, l) => (found[l] += is));
    return true;
  }).sort();
}

export async function sentenceRows(task: Task, seed: number): Promise<SentenceRows> {
  const { d, rows, sentences, train } = task;
  const [all, first] = [new Float32Array(sentences.count * d), new Float32Array(sentences.count * d)];
  const of = sampleOf(task, seed);
  const place = new Int32Array(sentences.count).fill(-1);
  of.forEach((u, i) => (place[train.of[u]] = i));
  const many = of.reduce((sum, u) => sum + rows.rows[train.of[u]], 0);
  const sample = { of, mask: of.map((u) => train.mask[u]), rows: new Float32Array(many * d), sentence: new Int32Array(many) };
  let held = 0;
  await eachRow(task, (s, r, x, at) => {
    for (let i = 0; i < d; i++) all[s * d + i] += x[at + i] / rows.rows[s];
    if (rows.ordinal[r] < FIRST) for (let i = 0; i < d; i++) first[s * d + i] += x[at + i] / Math.min(FIRST, rows.rows[s]);
    if (place[s] < 0) return;
    sample.sentence[held] = place[s];
    sample.rows.set(x.subarray(at, at + d), d * held++);
  });
  return { all, first, sample };
}

/** Directions × poolings of largest AUROC, larger first. */
interface Finalist {
  auroc: number;
  direction: number;
  pool: Pooling;
}

/** For each label those that do best on the sample. */
async function finalists(task: Task, { all, first, sample }: SentenceRows, directions: ReturnType<typeof randomDirections>): Promise<Finalist[][]> {
  const { d, latents, sentences, train } = task;
  const { size } = directions;
  const best: Finalist[][] = sentences.labels.map(() => []);
  const n = sample.of.length;
  const ranks = ranking(sample.mask, best.length);
  const together = Math.max(1, Math.min(directions.blocks, Math.floor(SCRATCH / (n * size))));
  const out = new Float32Array(size);
  const bins = new Float64Array(STEPS * ranks.classes);
  const columns = new Float32Array(COLUMNS * n);
  const found = new Float64Array(best.length);
  const scores = new Float32Array(n * together * size);
  for (let begin = 0; begin < directions.blocks; begin += together) {
    const blocks = Math.min(together, directions.blocks - begin);
    const width = blocks * size;
    const consider = function* (pool: Pooling): Pieces<void> {
      for (let j = 0; j < width && begin * size + j < latents; j++) {
        const c = j % COLUMNS;
        if (!c) {
          // a few columns at a time, each cache line read once
          yield;
          for (let u = 0; u < n; u++) for (let i = 0; i < COLUMNS; i++) columns[i * n + u] = scores[u * width + j + i];
        }
        ranks.binned(columns.subarray(c * n, (c + 1) * n), bins, found);
        best.forEach((list, l) => {
          if (list.length === FINALISTS && !(found[l] > list[FINALISTS - 1].auroc)) return;
          let at = list.length;
          while (at > 0 && found[l] > list[at - 1].auroc) at--;
          list.splice(at, 0, { auroc: found[l], direction: begin * size + j, pool });
          if (list.length > FINALISTS) list.pop();
        });
      }
    };
    const project = function* (vectors: Float32Array, count: number, at: (i: number) => number, put: (i: number, base: number) => void): Pieces<void> {
      for (let i = 0; i < count; i++) {
        if (i % 64 === 63) yield;
        for (let b = 0; b < blocks; b++) {
          directions.project(begin + b, vectors, at(i) * d, out);
          put(i, b * size);
        }
      }
    };
    for (const [pool, vectors] of [["mean", all], ["first five", first]] as const) {
      await inPieces(project(vectors, n, (u) => train.of[sample.of[u]], (u, base) => scores.set(out, u * width + base)), STOPPED);
      await inPieces(consider(pool), STOPPED);
    }
    scores.fill(-Infinity, 0, n * width);
    const larger = (i: number, base: number): void => {
      const from = sample.sentence[i] * width + base;
      for (let j = 0; j < size; j++) if (out[j] > scores[from + j]) scores[from + j] = out[j];
    };
    await inPieces(project(sample.rows, sample.sentence.length, (i) => i, larger), STOPPED);
    await inPieces(consider("max"), STOPPED);
  }
  return best;
}

/** Scores of all sentences for some directions, by pooling: [directions][sentences]. */
async function directionScores(task: Task, { all, first }: SentenceRows, list: { vector: Float32Array; pool: Pooling }[]): Promise<Float32Array[]> {
  const { d, rows, sentences, features, store, hook } = task;
  const engine = tensorflow();
  const K = kernels(engine);
  const n = sentences.count;
  const scores = list.map(() => new Float32Array(n).fill(-Infinity));
  const step = Math.max(256, Math.floor(2 ** 21 / d));
  /** Runs over vectors, some at a time: use(number of the first, products [some, directions of this pooling]). */
  const products = async (pool: Pooling, count: number, vectors: (from: number, to: number) => Float32Array, use: (from: number, to: number, x: Float32Array, mine: number[]) => void): Promise<void> => {
    const mine = [...list.keys()].filter((c) => list[c].pool === pool);
    if (!mine.length) return;
    const matrix = new Float32Array(mine.length * d);
    mine.forEach((c, i) => matrix.set(list[c].vector, i * d));
    for (let from = 0; from < count; from += step) {
      const to = Math.min(count, from + step);
      const x = engine.tidy(() => engine.floats(K.matMul(engine.tensor(vectors(from, to), [to - from, d]), engine.tensor(matrix, [mine.length, d]), { transposeB: true })));
      use(from, to, x, mine);
      await pause();
    }
  };
  for (const [pool, vectors] of [["mean", all], ["first five", first]] as const) {
    await products(pool, n, (from, to) => vectors.slice(from * d, to * d), (from, to, x, mine) => {
      for (let s = from; s < to; s++) mine.forEach((c, i) => (scores[c][s] = x[(s - from) * mine.length + i]));
    });
  }
  await products("max", features.rows, (from, to) => store.read(hook, from, to), (from, to, x, mine) => {
    for (let r = from; r < to; r++) {
      const s = rows.sentence[r];
      if (s < 0) continue;
      for (let i = 0; i < mine.length; i++) {
        const [list, v] = [scores[mine[i]], x[(r - from) * mine.length + i]];
        if (v > list[s]) list[s] = v;
      }
    }
  });
  return scores;
}

/** For each label the best of as many random directions as there are latents, with the same poolings. */
export async function bestDirections(task: Task, means: SentenceRows, seed: number): Promise<Candidate[]> {
  const { d, latents, train } = task;
  const directions = randomDirections(d, latents, random(seed, 1));
  const chosen = await finalists(task, means, directions);
  const list = chosen.flat();
  const vectors = new Map<number, Float32Array>();
  for (const { direction } of list) if (!vectors.has(direction)) vectors.set(direction, directions.direction(direction));
  const scores = await directionScores(task, means, list.map(({ direction, pool }) => ({ vector: vectors.get(direction)!, pool })));
  const best: Candidate[] = [];
  let at = 0;
  for (const [l, mine] of chosen.entries()) {
    const positive = positives(train, l);
    let [first, reached] = [at, -1];
    for (let i = 0; i < mine.length; i++, at++) {
      const found = auroc(picked(scores[at], train.of), positive);
      if (found > reached) [first, reached] = [at, found];
      await pause();
    }
    best.push(candidate(task, l, { kind: "random direction", what: list[first].pool, searched: latents * POOLS }, scores[first]));
  }
  return best;
}
