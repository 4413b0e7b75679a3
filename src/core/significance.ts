import type { Pieces } from "./pieces";
import { permutation, type Random } from "./random";
import { sparseMeasures, type Sorted } from "./ranking";

/**
 * What chance would give.
 *
 *   AUROC of sentences that come in documents -> its variance -> z -> p of every latent -Benjamini–Hochberg-> q
 *   labels of one document given to another, whole -> AUROC again and again -> p of a few latents, without an approximation
 */

/** erfc(x) = 2/√π ∫ₓ^∞ exp(−t²) dt for x ≥ 0, to 12 digits of its own size: a series, from 2.5 on a continued fraction. */
function erfc(x: number): number {
  const scale = Math.exp(-x * x) / Math.sqrt(Math.PI);
  if (x < 2.5) {
    let term = 2 * x;
    let sum = term;
    for (let n = 1; term > 1e-17 * sum; n++) sum += term *= (2 * x * x) / (2 * n + 1);
    return 1 - scale * sum;
  }
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + n / 2 / fraction;
  return scale / fraction;
}

/** P(|Z| ≥ |z|), Z normal. NaN of NaN. */
export const twoSided = (z: number): number => erfc(Math.abs(z) / Math.SQRT2);

/**
 * The normal deviate as unlikely as Student's t with ν degrees of freedom: √(ν ln(1 + t²/ν))·(8ν + 1)/(8ν + 3), right to 3 % of itself from ν = 4 on.
 * @see Wallace, "Bounds on normal approximations to Student's and the chi-square distributions" (1959)
 */
export const asNormal = (t: number, freedom: number): number =>
  (Math.sign(t) * Math.sqrt(freedom * Math.log1p((t * t) / freedom)) * (8 * freedom + 1)) / (8 * freedom + 3);

/**
 * Benjamini and Hochberg's q: the least false discovery rate at which each test is among the discoveries, min over j ≥ i of p₍ⱼ₎·m/j.
 * @param p NaN where there was no test; m counts the others
 * @see Benjamini & Hochberg, "Controlling the False Discovery Rate" (1995)
 */
export function benjaminiHochberg(p: ArrayLike<number>): Float32Array {
  const tests: number[] = [];
  for (let i = 0; i < p.length; i++) if (!Number.isNaN(p[i])) tests.push(i);
  const order = Int32Array.from(tests).sort((a, b) => p[b] - p[a]); // largest first
  const q = new Float32Array(p.length).fill(NaN);
  let least = 1;
  order.forEach((test, i) => (q[test] = least = Math.min(least, (p[test] * order.length) / (order.length - i))));
  return q;
}

/** Sentences that carry a label and those that do not, document by document. */
export interface Clusters {
  positives: number;
  negatives: number;
  documents: number;
  ofDocument: { positives: Float64Array; negatives: Float64Array }; // [documents]
  /** Weights of a document's sums when it is left out: 1 ÷ (positives of the others), 1 ÷ (negatives of the others). */
  weights: { positives: Float64Array; negatives: Float64Array }; // [documents]
  /** Σ (m·u)², Σ (k·v)², Σ m·u·k·v over documents, m and k their positives and negatives, u and v those weights. */
  squares: [number, number, number];
}

/** @param document of each sentence, from 0 @param mask labels of each, of which bit l is asked for */
export function clustersOf(document: Int32Array, mask: Int32Array, l: number, documents: number): Clusters {
  const [m, k] = [new Float64Array(documents), new Float64Array(documents)];
  document.forEach((d, s) => ((mask[s] >> l) & 1 ? m : k)[d]++);
  const [positives, negatives] = [m, k].map((list) => list.reduce((a, b) => a + b, 0));
  const weights = { positives: m.map((here) => 1 / (positives - here)), negatives: k.map((here) => 1 / (negatives - here)) };
  const sum = (value: (d: number) => number): number => m.reduce((total, _, d) => total + (m[d] + k[d] ? value(d) : 0), 0);
  const [a, b] = [(d: number) => m[d] * weights.positives[d], (d: number) => k[d] * weights.negatives[d]];
  return {
    positives,
    negatives,
    documents: sum(() => 1),
    ofDocument: { positives: m, negatives: k },
    weights,
    squares: [sum((d) => a(d) ** 2), sum((d) => b(d) ** 2), sum((d) => a(d) * b(d))],
  };
}

/** Documents on which a latent must fire for its z to be near normal: below, one document decides. */
export const FEWEST_DOCUMENTS = 5;

/** What a latent's sparse scores tell of one label. */
export interface Told {
  auroc: number;
  averagePrecision: number;
  /**
   * (AUROC − ½) ÷ its standard error, sentences of a document going together, as a normal deviate; NaN where it fires on fewer than five
   * documents, or one has all the positives.
   */
  z: number;
}

/**
 * AUROC, average precision and document-clustered z of scores that are zero but on some sentences, in one walk.
 *
 * n·(AUROC − ½) is the mean mid-rank of the positives less that of the others, Δ. Sentences of a document go together, so its standard error
 * is the jackknife over documents, ranks held: (D − 1)/D · Σ_d (Δ without document d − Δ)². Left out, document d moves the positives' mean by
 * −(its positives' ranks less their mean, summed) ÷ (positives of the others). AUROC − ½ in these units is taken for Student's t, its degrees of
 * freedom the documents on which the latent fires less one.
 *
 * The jackknife sees no scatter where there is none to see: of a rare latent that happens to fire on no positive, all positives have one rank, and
 * chance looked like p < 1e-4 in one such latent of a hundred. So the standard error is never less than that of independent sentences without an effect,
 * Mann and Whitney's own: σ₀² of the AUROC = (n + 1 − Σ(t³ − t)/(n(n − 1))) / (12·P·N), t the sizes of groups of equal scores.
 * @param document of each sentence, from 0
 * @see MacKinnon & White, "Some heteroskedasticity-consistent covariance matrix estimators" (1985), HC3, here with documents for observations
 */
export function clusteredTest(document: Int32Array, mask: Int32Array, documents: number) {
  const ranks = [new Float64Array(documents), new Float64Array(documents)]; // sums of those of negatives, of positives that fire
  const counts = [new Int32Array(documents), new Int32Array(documents)];
  const touched = new Int32Array(documents);
  return (sorted: Sorted, l: number, clusters: Clusters, told: Told): void => {
    const { item, ends, groups, count } = sorted;
    const { positives: P, negatives: N, documents: D, ofDocument, weights, squares } = clusters;
    const n = P + N;
    const [sums, fired] = [[0, 0], [0, 0]];
    let seen = 0;
    const cubed = (ties: number): number => ties * (ties * ties - 1);
    let tied = cubed(n - count);
    for (let g = 0, i = 0; g < groups; g++) {
      const rank = n - (i + ends[g] - 1) / 2;
      tied += cubed(ends[g] - i);
      for (; i < ends[g]; i++) {
        const is = (mask[item[i]] >> l) & 1;
        const d = document[item[i]];
        if (!counts[0][d] && !counts[1][d]) touched[seen++] = d;
        counts[is][d]++;
        ranks[is][d] += rank;
        sums[is] += rank;
        fired[is]++;
      }
    }
    const { auroc, averagePrecision } = sparseMeasures(sorted, mask, l, P, N);
    const silent = (n - count + 1) / 2; // rank of the sentences of score zero
    const mean = (sums[1] + (P - fired[1]) * silent) / P;
    const other = (sums[0] + (N - fired[0]) * silent) / N;
    // documents on which it is silent: all their sentences have that rank
    const [a, b] = [silent - mean, silent - other];
    let sum = squares[0] * a * a + squares[1] * b * b - 2 * squares[2] * a * b;
    for (let t = 0; t < seen; t++) {
      const d = touched[t];
      const [m, k, u, v] = [ofDocument.positives[d], ofDocument.negatives[d], weights.positives[d], weights.negatives[d]];
      const x = ranks[1][d] + (m - counts[1][d]) * silent - m * mean;
      const y = ranks[0][d] + (k - counts[0][d]) * silent - k * other;
      sum += (u * x - v * y) ** 2 - (u * m * a - v * k * b) ** 2;
      ranks[0][d] = ranks[1][d] = counts[0][d] = counts[1][d] = 0;
    }
    const lead = auroc - 0.5;
    const independent = (n + 1 - tied / (n * (n - 1))) / (12 * P * N);
    const variance = Math.max(((D - 1) / D) * (sum / n / n), independent); // of AUROC
    const t = variance > 1e-18 ? lead / Math.sqrt(variance) : NaN; // of equal scores throughout
    told.auroc = auroc;
    told.averagePrecision = averagePrecision;
    told.z = seen < FEWEST_DOCUMENTS || !Number.isFinite(squares[0] + squares[1]) ? NaN : asNormal(t, seen - 1);
  };
}

/** A latent and a label: its scores on the sentences. */
export interface Picked {
  label: number;
  sorted: Sorted;
}

/** How much the mid-rank of each sentence with a score is above that of those without. */
function ranksAbove({ count, item, groups, ends }: Sorted, n: number): { zero: number; item: Int32Array; above: Float64Array } {
  const zero = (n - count + 1) / 2;
  const above = new Float64Array(count);
  for (let g = 0, i = 0; g < groups; i = ends[g++]) above.fill(n - (i + ends[g] - 1) / 2 - zero, i, ends[g]);
  return { zero, item: item.slice(0, count), above };
}

/**
 * P(AUROC as large, had the labels nothing to do with the activations): each document's row of labels is laid over another document, drawn
 * without repetition. So labels keep their runs and their places, and what follows from the place alone is not taken for more than chance:
 * a quarter of the shorter of the two counts from the beginning, one from the end, and what lies between is stretched.
 * @param document of each sentence; those of a document lie together, in order
 * @returns (1 + draws that reach it) ÷ (1 + draws), of each of them
 */
export function* documentPermutations(picked: Picked[], mask: Int32Array, document: Int32Array, labels: number, draws: number, rng: Random): Pieces<Float64Array> {
  const starts: number[] = [];
  document.forEach((d, s) => (!s || d !== document[s - 1]) && starts.push(s));
  starts.push(document.length);
  const D = starts.length - 1;
  const n = document.length;
  const prepared = picked.map(({ sorted }) => ranksAbove(sorted, n));
  const auroc = ({ zero, item, above }: ReturnType<typeof ranksAbove>, labelled: Int32Array, l: number, positives: number): number => {
    let sum = 0;
    for (let i = 0; i < item.length; i++) if ((labelled[item[i]] >> l) & 1) sum += above[i];
    return positives && n - positives ? (sum + positives * zero - (positives * (positives + 1)) / 2) / (positives * (n - positives)) : 0.5;
  };
  const countsOf = (labelled: Int32Array): Float64Array => {
    const counts = new Float64Array(labels);
    for (const m of labelled) for (let l = 0; l < labels; l++) counts[l] += (m >> l) & 1;
    return counts;
  };
  const own = countsOf(mask);
  const reached = prepared.map((one, c) => auroc(one, mask, picked[c].label, own[picked[c].label]) - 1e-12); // rounding is no difference
  const times = new Float64Array(picked.length);
  const moved = new Int32Array(n);
  for (let draw = 0; draw < draws; draw++) {
    const order = permutation(D, rng);
    for (let d = 0; d < D; d++) {
      const [from, other] = [starts[d], starts[order[d]]];
      const [size, others] = [starts[d + 1] - from, starts[order[d] + 1] - other];
      const edge = Math.min(size, others) >> 2;
      const ratio = (others - 2 * edge) / (size - 2 * edge);
      for (let i = 0; i < size; i++)
        moved[from + i] = mask[other + (i < edge ? i : i >= size - edge ? others - size + i : edge + Math.floor((i - edge) * ratio))];
    }
    const counts = countsOf(moved);
    for (let c = 0; c < prepared.length; c++) {
      if (c % 64 === 0) yield;
      const { label } = picked[c];
      if (auroc(prepared[c], moved, label, counts[label]) >= reached[c]) times[c]++;
    }
  }
  return times.map((more) => (1 + more) / (1 + draws));
}
