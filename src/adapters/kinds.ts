import { batchLargest, candidatesOf, firstOf, replaced } from "../core/batchtopk";
import type { StateSizes } from "../core/trained";
import type { Sparse } from "../core/types";
import { meanActive } from "./batch";
import type { Chosen } from "./coder";
import type { Losses } from "./step";
import type { Engine } from "./tensorflow";

/**
 * What a kind of SAE lets through, and what its loss is made of: one small function a kind, which the stock and the fused step
 * both use. p = W_enc·(x − b_dec) + b_enc of n rows, F latents, k wished for; V = Σ‖y − ȳ‖² of the batch. The loss has levels,
 * one but for multi-top-k and matryoshka: a pair (row, latent) takes part in its own level and in those behind it.
 *
 *   ŷ_l = Σ_{pairs of level ≤ l} v·W_dec[f] + b_dec (+ W_skip·x)      loss = Σ_l w_l·Σ‖ŷ_l − y‖²/V
 *
 * JumpReLU is not among them: jumprelu.ts has it.
 */
export interface Selection extends Chosen {
  /** value and index are [n, columns]; a value of 0 takes no part. */
  columns: number;
  /** w_l */
  weights: number[];
  /** Of each pair [n, columns], where there are several. */
  levels?: Int32Array;
  /** value and index as arrays. */
  pairs: Sparse;
  /** The level that is the SAE's own: its FVU is reported, its residual is what dead latents rebuild. */
  main: number;
  /** What fires in the sense of the kind: by this latents count as dead or not. */
  chosen: Sparse;
  /** Smallest value that was chosen, of kinds with a running threshold. */
  least?: number;
}

/** What a step offers: of the pre-activations of the batch, after ReLU. */
export interface Ranks {
  n: number;
  /** The `count` largest of each row, or of these rows: larger first, ties by smaller index. */
  largest(count: number, rows?: Int32Array): Chosen;
  /** The largest of each of k groups of F/k neighbours, the first of equal ones. */
  groups(): Chosen;
}

export type Selector = (ranks: Ranks) => Selection;

/** The losses of a selection, from each level's FVU. */
export function lossesOf({ weights, main, chosen }: Selection, fvus: ArrayLike<number>): Omit<Losses, "aux"> {
  return { ...lossOf(weights, main, fvus), l0: meanActive(chosen), chosen };
}

export function lossOf(weights: number[], main: number, fvus: ArrayLike<number>): Pick<Losses, "fvu" | "extra"> {
  const fvu = fvus[main];
  return { fvu, extra: weights.length === 1 ? 0 : weights.reduce((sum, weight, l) => sum + weight * fvus[l], -fvu) };
}

/** The selector is to be called inside `tidy`. */
export function selectorOf(engine: Engine, state: StateSizes): Selector {
  const { kind, latents, k, widths } = state;
  switch (kind) {
    case "topk": return (ranks) => plain(engine, ranks.largest(k), ranks.n, k);
    case "groupmax": return (ranks) => plain(engine, ranks.groups(), ranks.n, k);
    case "multitopk": return (ranks) => multiTopK(engine, ranks, k, Math.min(4 * k, latents));
    case "batchtopk": return (ranks) => batchTopK(engine, ranks, latents, k);
    case "matryoshka": return (ranks) => matryoshka(batchTopK(engine, ranks, latents, k), widths!);
    case "jumprelu": throw new RangeError("selectorOf: expected a kind that chooses by rank, found jumprelu: jumprelu.ts has it");
  }
}

/**
 * Top-k: v = ReLU(p) of the k largest of a row. Group-max: v = ReLU(p) of the largest of each of k groups of F/k neighbours.
 * @see arXiv 2406.04093 (top-k); sparsify 1.3, fused_encoder.py (group-max)
 */
function plain(engine: Engine, { value, index }: Chosen, n: number, k: number): Selection {
  const chosen: Sparse = { n, k, index: engine.ints(index), value: engine.floats(value) };
  return { value, index, columns: k, weights: [1], main: 0, pairs: chosen, chosen };
}

/**
 * Multi-top-k: loss = FVU(k largest) + FVU(4k largest)/8. Gradients of both reach the encoder; only the k count as firing.
 * @see arXiv 2406.04093; sparsify 1.3, whose 4k rebuild has no part of a skip connection (ours has)
 */
function multiTopK(engine: Engine, { n, largest }: Ranks, k: number, columns: number): Selection {
  const { value, index } = largest(columns);
  const pairs: Sparse = { n, k: columns, index: engine.ints(index), value: engine.floats(value) };
  const levels = Int32Array.from({ length: n * columns }, (_, at) => (at % columns < k ? 0 : 1));
  return { value, index, columns, weights: [1, 1 / 8], levels, main: 0, pairs, chosen: firstOf(pairs, k) };
}

const CANDIDATES = 2; // times k, of each row at first

/**
 * Batch-top-k: v = ReLU(p) of the n·k largest of the batch, ties by smaller row, then latent. Candidates are each row's
 * largest; rows of which all are chosen may have more, and give twice as many.
 * @see arXiv 2412.06410
 */
function batchTopK(engine: Engine, { n, largest }: Ranks, latents: number, k: number): Selection {
  const ranked = (count: number, rows?: Int32Array): Sparse => {
    const { value, index } = largest(count, rows);
    const sparse: Sparse = { n: rows?.length ?? n, k: count, index: engine.ints(index), value: engine.floats(value) };
    engine.free(value, index);
    return sparse;
  };
  let columns = Math.min(latents, CANDIDATES * k);
  let candidates = candidatesOf(ranked(columns));
  for (;;) {
    const { chosen, least, full } = batchLargest(candidates, n * k);
    if (!full.length || columns === latents) {
      return {
        value: engine.tensor(chosen.value, [n, chosen.k]), index: engine.tensor(chosen.index, [n, chosen.k]), columns: chosen.k,
        weights: [1], main: 0, pairs: chosen, chosen, least,
      };
    }
    columns = Math.min(latents, 2 * columns);
    candidates = replaced(candidates, full, ranked(columns, Int32Array.from(full)));
  }
}

/**
 * Matryoshka: batch-top-k's choice; level l rebuilds with the first widths[l] latents alone, and the loss is the levels' mean
 * FVU. (SAELens adds the levels' errors up: but for AuxK's weight beside them a factor, which Adam does not see.)
 * @see arXiv 2503.17547
 */
function matryoshka(selection: Selection, widths: number[]): Selection {
  const { index } = selection.chosen;
  const level = (f: number): number => {
    let l = 0;
    while (f >= widths[l]) l++;
    return l;
  };
  if (widths.length === 1) return selection;
  return { ...selection, weights: widths.map(() => 1 / widths.length), levels: Int32Array.from(index, level), main: widths.length - 1 };
}

/** How far the running threshold goes towards a batch's smallest chosen value. */
const THRESHOLD_RATE = 0.01;

/**
 * The threshold that batch-top-k leaves for inference: τ ← 0.99·τ + 0.01·(smallest value chosen in the batch), from the first
 * batch's smallest value on; in float64.
 * @see SAELens 6.54, batchtopk_sae.py: the rate, but τ = 0 at first, which is too low for hundreds of steps; dictionary_learning
 *   0.1, batch_top_k.py: the start, but a rate of 0.001, which lags behind in runs of some thousand steps
 */
export const movedThreshold = (threshold: number | undefined, least: number | undefined): number | undefined =>
  least === undefined || threshold === undefined ? threshold ?? least : (1 - THRESHOLD_RATE) * threshold + THRESHOLD_RATE * least;
