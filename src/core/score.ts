import type { Firings } from "./collect";
import { OptionError } from "./errors";
import { permutation, type Random } from "./random";
import type { Document } from "./types";

/**
 * How well a latent's activation tells the sentences of one label from all others, beside what a reader would have got
 * without it.
 *
 * AUROC = P(score of a positive > score of a negative) + ½ P(equal), exactly, from mid-ranks: (R⁺ − P(P + 1)/2) / (P·N),
 * R⁺ the sum of the positives' ranks. Everything that is chosen (latent and pooling, direction, word, sign) is chosen on
 * training documents and measured on held-out ones.
 */

export const POOLINGS = ["mean", "max", "first five"] as const;
export type Pooling = (typeof POOLINGS)[number];
const FIRST = 5;

/** The units that are scored: one a span, spans of equal bounds together. */
export interface Sentences {
  labels: string[];
  count: number;
  document: Int32Array; // [n]
  mask: Int32Array; // [n] bit l: it carries labels[l]
  heldout: Uint8Array; // [n]
  first: Int32Array; // [n] position of its first token in the document
  tokens: Int32Array; // [n] its tokens
  relative: Float32Array; // [n] first ÷ tokens of the document
  start: Int32Array; // [n] UTF-16 offsets into the document's text
  end: Int32Array; // [n]
  /** Sentence of every token of every document; −1: none. */
  ofToken: Int32Array[];
}

const MOST_LABELS = 30; // bits of a mask that stay clear of its sign

/**
 * Sentences of labelled documents. A token belongs to the sentence that holds its first character that is not white
 * space; where sentences overlap, to the one that begins last.
 * @param offsets UTF-16 offsets of all tokens of a document, dropped ones included
 * @param side of each document
 * @param wanted labels; when absent all that occur, most frequent first
 * @throws OptionError for more labels than a mask of 32 bits holds
 */
export function sentencesOf(
  documents: Document[],
  offsets: (document: number) => { start: Int32Array; end: Int32Array },
  side: ("train" | "heldout")[],
  wanted?: string[],
): Sentences {
  const times = new Map<string, number>();
  for (const { spans } of documents) for (const { label } of spans) times.set(label, (times.get(label) ?? 0) + 1);
  const labels =
    wanted ?? [...times.keys()].sort((a, b) => times.get(b)! - times.get(a)! || (a < b ? -1 : 1));
  if (labels.length > MOST_LABELS) {
    throw new OptionError(
      `scoreLabels: expected at most ${MOST_LABELS} labels at once, found ${labels.length}. ` +
        `Say which: { labels: ["${labels.slice(0, 2).join('", "')}", …] }, in several calls if need be.`,
    );
  }
  const bit = new Map(labels.map((label, l) => [label, 1 << l]));
  const [document, mask, heldout, first, tokens, relative, starts, ends] = Array.from({ length: 8 }, () => [] as number[]);
  const ofToken = documents.map(({ text, spans }, d) => {
    const units: { start: number; end: number; mask: number }[] = [];
    for (const { start, end, label } of [...spans].sort((a, b) => a.start - b.start || a.end - b.end)) {
      const last = units.at(-1);
      if (last && last.start === start && last.end === end) last.mask |= bit.get(label) ?? 0;
      else units.push({ start, end, mask: bit.get(label) ?? 0 });
    }
    const base = document.length;
    const { start, end } = offsets(d);
    const of = new Int32Array(start.length).fill(-1);
    const firstOf = new Int32Array(units.length).fill(-1);
    const many = new Int32Array(units.length);
    let u = -1;
    for (let t = 0; t < of.length; t++) {
      let at = start[t];
      while (at < end[t] - 1 && /\s/.test(text[at])) at++;
      while (u + 1 < units.length && units[u + 1].start <= at) u++;
      for (let v = u; v >= 0 && v > u - 8; v--) {
        if (at >= units[v].end || end[t] === start[t]) continue;
        of[t] = base + v;
        if (firstOf[v] < 0) firstOf[v] = t;
        many[v]++;
        break;
      }
    }
    units.forEach((unit, v) => {
      document.push(d);
      mask.push(unit.mask);
      heldout.push(side[d] === "heldout" ? 1 : 0);
      first.push(Math.max(0, firstOf[v]));
      tokens.push(many[v]);
      relative.push(Math.max(0, firstOf[v]) / Math.max(1, of.length));
      starts.push(unit.start);
      ends.push(unit.end);
    });
    return of;
  });
  return {
    labels,
    count: document.length,
    document: Int32Array.from(document),
    mask: Int32Array.from(mask),
    heldout: Uint8Array.from(heldout),
    first: Int32Array.from(first),
    tokens: Int32Array.from(tokens),
    relative: Float32Array.from(relative),
    start: Int32Array.from(starts),
    end: Int32Array.from(ends),
    ofToken,
  };
}

/**
 * Where each row falls: its sentence (−1: none), its number among the sentence's rows, and how many rows each sentence
 * has.
 */
export interface RowSentences {
  sentence: Int32Array; // [rows]
  ordinal: Int32Array; // [rows]
  rows: Int32Array; // [sentences]
}

export function rowSentences(sentences: Sentences, document: Int32Array, position: Int32Array): RowSentences {
  const rows = new Int32Array(sentences.count);
  const ordinal = new Int32Array(document.length);
  const sentence = Int32Array.from(document, (d, r) => {
    const s = sentences.ofToken[d][position[r]];
    if (s >= 0) ordinal[r] = rows[s]++;
    return s;
  });
  return { sentence, ordinal, rows };
}

/** Labels that all sentences with rows of one side carry, or that none of them does. */
export function oneSidedLabels({ labels, count, mask, heldout }: Sentences, { rows }: RowSentences): string[] {
  const [all, any] = [Int32Array.of(-1, -1), new Int32Array(2)]; // bits by side: training, held-out
  for (let s = 0; s < count; s++) {
    if (!rows[s]) continue;
    all[heldout[s]] &= mask[s];
    any[heldout[s]] |= mask[s];
  }
  const mixed = (l: number, side: number): boolean => Boolean(any[side] & (1 << l)) && !(all[side] & (1 << l));
  return labels.filter((_, l) => !mixed(l, 0) || !mixed(l, 1));
}

/** The same sentences, some labels forgotten. */
export function withoutLabels(sentences: Sentences, without: string[]): Sentences {
  if (!without.length) return sentences;
  const kept = [...sentences.labels.keys()].filter((l) => !without.includes(sentences.labels[l]));
  return {
    ...sentences,
    labels: kept.map((l) => sentences.labels[l]),
    mask: sentences.mask.map((m) => kept.reduce((bits, l, i) => bits | (((m >> l) & 1) << i), 0)),
  };
}

/**
 * Ranks → AUROC of several labels at once. Sentences with the same labels form a class; ranks are summed by class.
 * @param mask labels of each of the sentences that count
 */
export function ranking(mask: Int32Array, labels: number) {
  const masks = [...new Set(mask)];
  const number = new Map(masks.map((m, c) => [m, c]));
  const classOf = Int32Array.from(mask, (m) => number.get(m)!);
  const size = new Float64Array(masks.length);
  for (const c of classOf) size[c]++;
  const n = mask.length;
  const members = Array.from({ length: labels }, (_, l) => masks.map((m) => (m >> l) & 1));
  const positives = members.map((member) => member.reduce((sum, is, c) => sum + is * size[c], 0));
  const rankSum = new Float64Array(masks.length);
  const within = new Float64Array(masks.length);

  /** AUROC of each label from rankSum; NaN where a label has no positives or no negatives. */
  const finish = (out: Float64Array): void => {
    for (let l = 0; l < labels; l++) {
      let sum = 0;
      for (let c = 0; c < masks.length; c++) if (members[l][c]) sum += rankSum[c];
      const p = positives[l];
      out[l] = p && n - p ? (sum - (p * (p + 1)) / 2) / (p * (n - p)) : NaN;
    }
  };
  return {
    positives,
    classes: masks.length,
    classOf,
    /**
     * Scores that are zero but for `item[i]`, whose score is ≥ 0. Exact: ties have the mean of their ranks.
     * @param keys scratch of at least item.length
     */
    sparse(item: Int32Array, score: Float32Array, keys: Float64Array, out: Float64Array): void {
      const bits = new Int32Array(score.buffer, score.byteOffset, score.length); // those of a positive float32 sort as it does
      let count = 0;
      for (let i = 0; i < item.length; i++) if (bits[i] > 0) keys[count++] = bits[i] * 2 ** 22 + classOf[item[i]];
      const sorted = keys.subarray(0, count).sort();
      within.fill(0);
      for (let i = 0; i < count; i++) within[sorted[i] % 2 ** 22]++;
      const zeros = n - count;
      for (let c = 0; c < masks.length; c++) rankSum[c] = (size[c] - within[c]) * ((zeros + 1) / 2);
      for (let i = 0; i < count;) {
        const value = Math.floor(sorted[i] / 2 ** 22);
        let j = i + 1;
        while (j < count && Math.floor(sorted[j] / 2 ** 22) === value) j++;
        const rank = zeros + (i + 1 + j) / 2;
        for (; i < j; i++) rankSum[sorted[i] % 2 ** 22] += rank;
      }
      finish(out);
    },
    /**
     * Scores in `bins` equal steps between their least and largest, those of a step tied: for choosing among many dense
     * scores.
     */
    binned(score: Float32Array, from: number, stride: number, bins: Float64Array, out: Float64Array): void {
      const steps = bins.length / masks.length;
      let least = Infinity;
      let largest = -Infinity;
      for (let i = 0, at = from; i < n; i++, at += stride) {
        const v = score[at];
        if (v < least) least = v;
        if (v > largest) largest = v;
      }
      bins.fill(0);
      const scale = largest > least ? (steps - 1e-3) / (largest - least) : 0;
      for (let i = 0, at = from; i < n; i++, at += stride)
        bins[Math.floor((score[at] - least) * scale) * masks.length + classOf[i]]++;
      rankSum.fill(0);
      for (let s = 0, below = 0; s < steps; s++) {
        let here = 0;
        for (let c = 0; c < masks.length; c++) here += bins[s * masks.length + c];
        if (!here) continue;
        const rank = below + (here + 1) / 2;
        for (let c = 0; c < masks.length; c++) rankSum[c] += bins[s * masks.length + c] * rank;
        below += here;
      }
      finish(out);
    },
    /** Presence of something: yes or no. @param present how many sentences of each class have it */
    presence(present: ArrayLike<number>, out: Float64Array): void {
      let yes = 0;
      for (let c = 0; c < masks.length; c++) yes += present[c];
      const no = n - yes;
      for (let c = 0; c < masks.length; c++)
        rankSum[c] = present[c] * (no + (yes + 1) / 2) + (size[c] - present[c]) * ((no + 1) / 2);
      finish(out);
    },
  };
}

/** Indices by score, larger first, with the ends of its groups of equal scores. */
function groups(score: ArrayLike<number>): { order: Int32Array; ends: Int32Array } {
  const order = Int32Array.from({ length: score.length }, (_, i) => i).sort((a, b) => score[b] - score[a]);
  const ends: number[] = [];
  for (let i = 1; i <= order.length; i++) if (i === order.length || score[order[i]] !== score[order[i - 1]]) ends.push(i);
  return { order, ends: Int32Array.from(ends) };
}

/** AUROC, ties counted half. NaN without positives or without negatives. @param positive 1 or 0 of each */
export function auroc(score: ArrayLike<number>, positive: ArrayLike<number>): number {
  return weightedAuroc(groups(score), positive);
}

function weightedAuroc(
  { order, ends }: ReturnType<typeof groups>,
  positive: ArrayLike<number>,
  weight?: ArrayLike<number>,
): number {
  let pairs = 0;
  let above = 0; // positives with a larger score
  let negatives = 0;
  for (let g = 0, i = 0; g < ends.length; g++) {
    let p = 0;
    let q = 0;
    for (; i < ends[g]; i++) {
      const w = weight ? weight[order[i]] : 1;
      if (positive[order[i]]) p += w;
      else q += w;
    }
    pairs += q * (above + p / 2);
    above += p;
    negatives += q;
  }
  return above && negatives ? pairs / (above * negatives) : NaN;
}

/**
 * Average precision Σ (R_g − R_{g−1})·P_g over the groups of equal scores, largest first (scikit-learn's definition). NaN
 * without positives.
 */
export function averagePrecision(score: ArrayLike<number>, positive: ArrayLike<number>): number {
  const { order, ends } = groups(score);
  let found = 0;
  let sum = 0;
  for (let g = 0, i = 0; g < ends.length; g++) {
    let p = 0;
    for (; i < ends[g]; i++) p += positive[order[i]] ? 1 : 0;
    found += p;
    sum += (p * found) / ends[g];
  }
  return found ? sum / found : NaN;
}

/** Sentence scores of one latent, all poolings; sentences on which it does not fire are left out. */
export interface Pooled {
  count: number;
  item: Int32Array;
  scores: Float32Array[]; // [POOLINGS][count]
}

/** Pools firings by sentence. @param number of each sentence among those that count, −1: it does not */
export function pooling(rows: RowSentences, number: Int32Array): (firings: Firings, latent: number) => Pooled {
  const sum = new Float64Array(number.length);
  const first = new Float64Array(number.length);
  const max = new Float32Array(number.length);
  let seen = new Int32Array(1024);
  return (firings, latent) => {
    let count = 0;
    for (let i = firings.offset[latent - firings.from]; i < firings.offset[latent - firings.from + 1]; i++) {
      const row = firings.row[i];
      const s = rows.sentence[row];
      if (s < 0 || number[s] < 0) continue;
      const v = firings.value[i];
      if (max[s] === 0) {
        if (count === seen.length) {
          const longer = new Int32Array(2 * count);
          longer.set(seen);
          seen = longer;
        }
        seen[count++] = s;
      }
      sum[s] += v;
      if (v > max[s]) max[s] = v;
      if (rows.ordinal[row] < FIRST) first[s] += v;
    }
    const item = new Int32Array(count);
    const scores = POOLINGS.map(() => new Float32Array(count));
    for (let i = 0; i < count; i++) {
      const s = seen[i];
      item[i] = number[s];
      scores[0][i] = sum[s] / rows.rows[s];
      scores[1][i] = max[s];
      scores[2][i] = first[s] / Math.min(FIRST, rows.rows[s]);
      sum[s] = first[s] = max[s] = 0;
    }
    return { count, item, scores };
  };
}

/**
 * AUROC of latents × poolings for all labels: out[l][(latent)·3 + pooling], filled for latents `from` … `to`.
 * Sentences on which a latent does not fire are one group of ties.
 */
export function scoreLatents(
  firings: Firings,
  pool: ReturnType<typeof pooling>,
  ranks: ReturnType<typeof ranking>,
  out: Float32Array[],
  from = firings.from,
  to = firings.to,
): void {
  let keys = new Float64Array(1024);
  const found = new Float64Array(out.length);
  for (let f = from; f < to; f++) {
    const pooled = pool(firings, f);
    if (keys.length < pooled.count) keys = new Float64Array(2 * pooled.count);
    pooled.scores.forEach((score, p) => {
      ranks.sparse(pooled.item, score, keys, found);
      for (let l = 0; l < out.length; l++) out[l][f * POOLINGS.length + p] = found[l];
    });
  }
}

/** x ← H x, H the Walsh–Hadamard matrix of ±1, in place: n log₂ n additions, two levels a pass. @param n a power of two */
export function walshHadamard(x: Float32Array, n = x.length): void {
  let h = 1;
  for (; 4 * h <= n; h *= 4) {
    for (let i = 0; i < n; i += 4 * h) {
      for (let j = i; j < i + h; j++) {
        const a = x[j] + x[j + h];
        const b = x[j] - x[j + h];
        const c = x[j + 2 * h] + x[j + 3 * h];
        const d = x[j + 2 * h] - x[j + 3 * h];
        x[j] = a + c;
        x[j + h] = b + d;
        x[j + 2 * h] = a - c;
        x[j + 3 * h] = b - d;
      }
    }
  }
  if (h < n) {
    for (let j = 0; j < h; j++) {
      const a = x[j];
      x[j] = a + x[j + h];
      x[j + h] = a - x[j + h];
    }
  }
}

/**
 * Random dense directions: vectors of independent signs ± 1/√d, made in blocks H·diag(signs), so that a row meets a
 * whole block at the price of one fast transform. Each direction by itself is uniform over all sign vectors.
 */
export function randomDirections(d: number, count: number, rng: Random) {
  const size = 2 ** Math.ceil(Math.log2(Math.max(2, d)));
  const blocks = Math.ceil(count / size);
  const signs = Array.from({ length: blocks }, () =>
    Float32Array.from({ length: d }, () => (rng.uniform() < 0.5 ? -1 : 1) / Math.sqrt(d)),
  );
  return {
    size,
    blocks,
    count,
    /** The products of the row at x[at …] with the directions of a block, into out[0 … size). */
    project(block: number, x: Float32Array, at: number, out: Float32Array): void {
      const s = signs[block];
      for (let i = 0; i < d; i++) out[i] = x[at + i] * s[i];
      out.fill(0, d);
      walshHadamard(out);
    },
    direction(index: number): Float32Array {
      const s = signs[Math.floor(index / size)];
      const unit = new Float32Array(size);
      unit[index % size] = 1;
      walshHadamard(unit);
      return s.map((sign, i) => sign * unit[i]);
    },
  };
}

/**
 * Logistic regression, one output a label, on dense standardised columns: Adam over shuffled batches, step falling to 0,
 * with a little L2.
 * @param x [n, d] @param mask labels of each row
 * @returns score of any rows, [rows] for a label
 */
export function logisticProbe(x: Float32Array, d: number, mask: Int32Array, labels: number, rng: Random) {
  const n = mask.length;
  const mean = new Float64Array(d);
  const inverse = new Float64Array(d);
  for (let r = 0; r < n; r++) for (let i = 0; i < d; i++) mean[i] += x[r * d + i] / n;
  for (let r = 0; r < n; r++) for (let i = 0; i < d; i++) inverse[i] += (x[r * d + i] - mean[i]) ** 2 / n;
  for (let i = 0; i < d; i++) inverse[i] = inverse[i] > 0 ? 1 / Math.sqrt(inverse[i]) : 0;
  const width = d + 1; // the last one is the bias
  const w = new Float64Array(labels * width);
  const [g, m, v] = [new Float64Array(w.length), new Float64Array(w.length), new Float64Array(w.length)];
  const batch = 64;
  const L2 = 1e-3;
  const steps = Math.max(1500, Math.min(4000, Math.ceil((12 * n) / batch)));
  let order = permutation(n, rng);
  const row = new Float64Array(width).fill(1);
  for (let step = 0, at = n; step < steps; step++) {
    g.fill(0);
    for (let b = 0; b < batch; b++, at++) {
      if (at >= n) {
        order = permutation(n, rng);
        at = 0;
      }
      const r = order[at];
      for (let i = 0; i < d; i++) row[i] = (x[r * d + i] - mean[i]) * inverse[i];
      for (let l = 0; l < labels; l++) {
        let z = 0;
        for (let i = 0; i < width; i++) z += w[l * width + i] * row[i];
        const error = (1 / (1 + Math.exp(-z)) - ((mask[r] >> l) & 1)) / batch;
        for (let i = 0; i < width; i++) g[l * width + i] += error * row[i];
      }
    }
    const rate = 0.02 * (1 - step / steps) * (Math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1)));
    for (let i = 0; i < w.length; i++) {
      const gradient = g[i] + (i % width === d ? 0 : L2 * w[i]);
      m[i] = 0.9 * m[i] + 0.1 * gradient;
      v[i] = 0.999 * v[i] + 0.001 * gradient * gradient;
      w[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + 1e-8);
    }
  }
  return (rows: Float32Array, label: number): Float32Array =>
    Float32Array.from({ length: rows.length / d }, (_, r) => {
      let z = w[label * width + d];
      for (let i = 0; i < d; i++) z += w[label * width + i] * (rows[r * d + i] - mean[i]) * inverse[i];
      return z;
    });
}

/** Words of a text, in lower case: what a reader would look for. */
export const wordsOf = (text: string): string[] =>
  text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’][\p{L}]+)?|[^\s\p{L}\p{N}]/gu) ?? [];

/**
 * Logistic regression on the presence of words and pairs of neighbouring words, one output a label: what the text alone
 * gives. Stochastic gradient steps scaled by each weight's own history (AdaGrad), ten times over the training sentences.
 */
export function textModel(texts: string[], mask: Int32Array, labels: number, rng: Random): (text: string) => Float64Array {
  const grams = (text: string): string[] => {
    const words = wordsOf(text);
    return [...new Set([...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)])];
  };
  const times = new Map<string, number>();
  for (const text of texts) for (const gram of grams(text)) times.set(gram, (times.get(gram) ?? 0) + 1);
  const number = new Map<string, number>();
  for (const [gram, count] of times) if (count >= 3) number.set(gram, number.size);
  const encode = (text: string): number[] => grams(text).flatMap((gram) => number.get(gram) ?? []);
  const items = texts.map((text) => Int32Array.from(encode(text)));
  const w = new Float32Array((number.size + 1) * labels);
  const history = new Float32Array(w.length).fill(1e-6);
  const bias = number.size * labels;
  const scores = (item: ArrayLike<number>): Float64Array => {
    const z = Float64Array.from({ length: labels }, (_, l) => w[bias + l]);
    for (let i = 0; i < item.length; i++) for (let l = 0; l < labels; l++) z[l] += w[item[i] * labels + l];
    return z;
  };
  for (let epoch = 0; epoch < 10; epoch++) {
    for (const s of permutation(items.length, rng)) {
      const z = scores(items[s]);
      for (let l = 0; l < labels; l++) {
        const error = 1 / (1 + Math.exp(-z[l])) - ((mask[s] >> l) & 1);
        if (Math.abs(error) < 1e-3) continue;
        for (let i = -1; i < items[s].length; i++) {
          const at = (i < 0 ? bias : items[s][i] * labels) + l;
          const gradient = error + 1e-5 * w[at];
          history[at] += gradient * gradient;
          w[at] -= (0.1 * gradient) / Math.sqrt(history[at]);
        }
      }
    }
  }
  return (text) => scores(encode(text));
}

/**
 * Bootstrap over documents: sentences of one document go together.
 * @param scores of each detector on the same sentences
 * @returns for each detector the 2.5 % and 97.5 % quantiles of its AUROC, and of the first detector's lead over it
 */
export function bootstrap(
  scores: ArrayLike<number>[],
  positive: ArrayLike<number>,
  document: Int32Array,
  rng: Random,
  resamples = 400,
): { interval: [number, number]; lead: [number, number] }[] {
  const names = [...new Set(document)];
  const number = new Map(names.map((d, i) => [d, i]));
  const of = Int32Array.from(document, (d) => number.get(d)!);
  const sorted = scores.map(groups);
  const values = scores.map(() => [] as number[]);
  const leads = scores.map(() => [] as number[]);
  const drawn = new Float64Array(names.length);
  const weight = new Float64Array(document.length);
  for (let b = 0; b < resamples; b++) {
    drawn.fill(0);
    for (let i = 0; i < names.length; i++) drawn[rng.below(names.length)]++;
    for (let i = 0; i < weight.length; i++) weight[i] = drawn[of[i]];
    const got = sorted.map((one) => weightedAuroc(one, positive, weight));
    if (Number.isNaN(got[0])) continue; // a draw without positives
    got.forEach((value, i) => {
      values[i].push(value);
      leads[i].push(got[0] - value);
    });
  }
  const quantile = (list: number[], q: number): number =>
    list[Math.min(list.length - 1, Math.floor(q * list.length))] ?? NaN;
  const interval = (list: number[]): [number, number] => {
    list.sort((a, b) => a - b);
    return [quantile(list, 0.025), quantile(list, 0.975)];
  };
  return values.map((list, i) => ({ interval: interval(list), lead: interval(leads[i]) }));
}
