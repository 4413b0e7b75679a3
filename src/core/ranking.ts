import type { Pieces } from "./pieces";
import type { Random } from "./random";
import { bootstrapped } from "./stratified";

/**
 * Scores and labels → how well the one tells the other.
 *
 * AUROC = P(score of a positive > score of a negative) + ½ P(equal), exactly, from mid-ranks: (R⁺ − P(P + 1)/2) / (P·N),
 * R⁺ the sum of the positives' ranks.
 */

/** Items with scores above zero, largest first, in groups of equal scores: those of group g end before ends[g]. */
export interface Sorted {
  count: number;
  item: Int32Array;
  groups: number;
  ends: Int32Array;
}

const ITEMS = 2 ** 22; // a key is bits·2²² + item, exact in a float64

/**
 * Sorts sparse scores once, and deals them out by ranges of items: to each range its own, counted from its beginning. What it gives is
 * overwritten by its next call.
 * @param ends of the ranges, ascending; items lie below the last one
 * @throws RangeError for more than 2²² items
 */
export function sorter(ends: number[]): (item: Int32Array, score: Float32Array, count?: number) => Sorted[] {
  if (ends.at(-1)! > ITEMS) throw new RangeError(`expected at most ${ITEMS.toLocaleString("en")} sentences, found ${ends.at(-1)!.toLocaleString("en")}. Score the documents in parts.`);
  let keys = new Float64Array(0);
  const dealt = ends.map((): Sorted => ({ count: 0, item: new Int32Array(0), groups: 0, ends: new Int32Array(0) }));
  const last = new Float64Array(ends.length);
  return (item, score, count = item.length) => {
    if (keys.length < count) {
      keys = new Float64Array(2 * count);
      for (const one of dealt) [one.item, one.ends] = [new Int32Array(2 * count), new Int32Array(2 * count)];
    }
    const bits = new Int32Array(score.buffer, score.byteOffset, count); // those of a positive float32 sort as it does
    let positive = 0;
    for (let i = 0; i < count; i++) if (bits[i] > 0) keys[positive++] = bits[i] * ITEMS + item[i];
    const sorted = keys.subarray(0, positive).sort();
    for (const one of dealt) one.count = one.groups = 0;
    for (let i = positive - 1; i >= 0; i--) {
      const value = Math.floor(sorted[i] / ITEMS);
      const which = sorted[i] - value * ITEMS;
      let side = 0;
      while (which >= ends[side]) side++;
      const one = dealt[side];
      if (one.count && value !== last[side]) one.ends[one.groups++] = one.count;
      last[side] = value;
      one.item[one.count++] = which - (side ? ends[side - 1] : 0);
    }
    for (const one of dealt) if (one.count) one.ends[one.groups++] = one.count;
    return dealt;
  };
}

/** AUROC and average precision of one label from sparse scores. @param mask labels of each item @param totals its positives and negatives */
export function sparseMeasures({ item, groups, ends }: Sorted, mask: Int32Array, l: number, positives: number, negatives: number): { auroc: number; averagePrecision: number } {
  let [above, pairs, precision] = [0, 0, 0]; // positives above
  const add = (to: number, p: number, q: number): void => {
    pairs += q * (above + p / 2);
    above += p;
    precision += (p * above) / to;
  };
  for (let g = 0, i = 0; g < groups; g++) {
    const from = i;
    let p = 0;
    for (; i < ends[g]; i++) p += (mask[item[i]] >> l) & 1;
    add(i, p, i - from - p);
  }
  const n = positives + negatives;
  const silent = n - (groups ? ends[groups - 1] : 0);
  if (silent) add(n, positives - above, silent - (positives - above));
  return { auroc: pairs / (positives * negatives), averagePrecision: precision / positives };
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
    /** Scores that are zero but on some sentences. Exact: ties have the mean of their ranks. */
    sparse({ item, count, ends, groups }: Sorted, out: Float64Array): void {
      within.fill(0);
      rankSum.fill(0);
      for (let g = 0, i = 0; g < groups; g++) {
        const rank = n - (i + ends[g] - 1) / 2;
        for (; i < ends[g]; i++) {
          const c = classOf[item[i]];
          rankSum[c] += rank;
          within[c]++;
        }
      }
      for (let c = 0; c < masks.length; c++) rankSum[c] += (size[c] - within[c]) * ((n - count + 1) / 2);
      finish(out);
    },
    /**
     * Scores in `bins` equal steps between their least and largest, those of a step tied: for choosing among many dense
     * scores.
     */
    binned(score: Float32Array, bins: Float64Array, out: Float64Array): void {
      const steps = bins.length / masks.length;
      let least = Infinity;
      let largest = -Infinity;
      for (let i = 0; i < n; i++) {
        const v = score[i];
        if (v < least) least = v;
        if (v > largest) largest = v;
      }
      bins.fill(0);
      const scale = largest > least ? (steps - 1e-3) / (largest - least) : 0;
      for (let i = 0; i < n; i++)
        bins[Math.floor((score[i] - least) * scale) * masks.length + classOf[i]]++;
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

/**
 * Bootstrap over documents: sentences of one document go together.
 * @param scores of each detector on the same sentences
 * @returns for each detector the 2.5 % and 97.5 % quantiles of its AUROC, and of the first detector's lead over it
 */
export function* bootstrap(
  scores: ArrayLike<number>[],
  positive: ArrayLike<number>,
  document: Int32Array,
  rng: Random,
  resamples = 400,
): Pieces<{ interval: [number, number]; lead: [number, number] }[]> {
  const sorted = scores.map(groups);
  const found = yield* bootstrapped(document, (weight) => {
    const got = sorted.map((one) => weightedAuroc(one, positive, weight));
    return [...got, ...got.map((value) => got[0] - value)];
  }, rng, resamples);
  return scores.map((_, i) => ({ interval: found[i], lead: found[scores.length + i] }));
}
