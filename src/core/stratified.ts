import type { Pieces } from "./pieces";
import type { Random } from "./random";

/**
 * AUROC among items of one stratum only: of the pairs of a positive and a negative that lie in the same stratum, the share in which the
 * positive's score is larger, ties counted half. With one stratum for all it is the AUROC; with a document each, what is left when documents
 * cannot help; with a bin of positions each, what is left when the position cannot.
 */
export interface Stratified {
  /** @param weight of each item; 1 by default. NaN where no stratum has both a positive and a negative of some weight */
  auroc(weight?: ArrayLike<number>): number;
  /** In strata that have both. */
  positives: number;
  negatives: number;
}

/**
 * @param positive 1 or 0 of each item
 * @param stratum of each item, a whole number from 0; −1 leaves the item out. All in one by default
 */
export function stratified(score: ArrayLike<number>, positive: ArrayLike<number>, stratum?: ArrayLike<number>): Stratified {
  const of = (i: number): number => (stratum ? stratum[i] : 0);
  const all: number[] = [];
  for (let i = 0; i < score.length; i++) if (of(i) >= 0) all.push(i);
  const order = Int32Array.from(all).sort((a, b) => of(a) - of(b) || score[b] - score[a] || a - b);
  // ends of strata, and within them of equal scores
  const last = new Uint8Array(order.length); // 1: the next score is another, 2: the next stratum is
  order.forEach((i, at) => {
    const next = order[at + 1];
    last[at] = next === undefined || of(next) !== of(i) ? 2 : score[next] !== score[i] ? 1 : 0;
  });
  const walk = (weight: ArrayLike<number> | undefined, found?: { positives: number; negatives: number }): number => {
    let [won, pairs] = [0, 0];
    let [above, below, p, q] = [0, 0, 0, 0]; // of this stratum: positives and negatives before this group of equals, and in it
    for (let at = 0; at < order.length; at++) {
      const w = weight ? weight[order[at]] : 1;
      if (positive[order[at]]) p += w;
      else q += w;
      if (!last[at]) continue;
      won += q * (above + p / 2);
      above += p;
      below += q;
      p = q = 0;
      if (last[at] < 2) continue;
      pairs += above * below;
      if (found && above && below) {
        found.positives += above;
        found.negatives += below;
      }
      above = below = 0;
    }
    return pairs ? won / pairs : NaN;
  };
  const counts = { positives: 0, negatives: 0 };
  walk(undefined, counts);
  return { auroc: (weight) => walk(weight), ...counts };
}

/** Bins of about equally many items each, equal values in one bin. @param bins at most so many */
export function quantileBins(values: ArrayLike<number>, bins: number): Int32Array {
  const sorted = Float64Array.from(values).sort();
  const edges = [...new Set(Array.from({ length: bins - 1 }, (_, b) => sorted[Math.floor(((b + 1) * sorted.length) / bins)]))];
  return Int32Array.from(values, (value) => {
    let bin = 0;
    while (bin < edges.length && value >= edges[bin]) bin++;
    return bin;
  });
}

/**
 * Bootstrap over documents: documents are drawn with replacement, items go with theirs.
 * @param document of each item, any numbers
 * @param statistics some numbers from the items' weights
 * @returns of each the 2.5 % and 97.5 % quantiles; draws that leave it undefined do not count
 */
export function* bootstrapped(document: ArrayLike<number>, statistics: (weight: Float64Array) => number[], rng: Random, resamples: number): Pieces<[number, number][]> {
  const number = new Map<number, number>();
  const of = Int32Array.from(document, (d) => {
    if (!number.has(d)) number.set(d, number.size);
    return number.get(d)!;
  });
  const drawn = new Float64Array(number.size);
  const weight = new Float64Array(of.length).fill(1);
  const values: number[][] = statistics(weight).map(() => []);
  for (let b = 0; b < resamples; b++) {
    yield;
    drawn.fill(0);
    for (let i = 0; i < drawn.length; i++) drawn[rng.below(drawn.length)]++;
    for (let i = 0; i < weight.length; i++) weight[i] = drawn[of[i]];
    for (const [s, value] of statistics(weight).entries()) if (!Number.isNaN(value)) values[s].push(value);
  }
  return values.map((list) => {
    list.sort((a, b) => a - b);
    const at = (q: number): number => list[Math.min(list.length - 1, Math.floor(q * list.length))] ?? NaN;
    return [at(0.025), at(0.975)];
  });
}
