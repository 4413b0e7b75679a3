import { percent } from "./html";
import type { NotedTable } from "./noted";
import { atOnce, type Pieces } from "./pieces";
import { permutation, random } from "./random";
import { bootstrapped } from "./stratified";
import type { Origin, Sparse } from "./types";

/**
 * Detection scoring: a model reads contexts, on some of which a latent fires, and says where its label fits. Balanced accuracy is the mean of the shares that
 * it gets right of those and of the others; .5 is a label that says nothing.
 * @see https://arxiv.org/abs/2410.13928 (delphi's detection)
 */

/** Rows of the held-out side, and where each latent fires among them. */
export interface HeldoutFirings {
  document: Int32Array; // [rows]
  position: Int32Array; // [rows]
  /** By latent, numbers of rows ascending, and values. */
  firings: Map<number, { row: number[]; value: number[] }>;
}

/** @param isHeldout of a document */
export function* heldoutFirings(
  latents: Iterable<number>, codes: (from: number, to: number) => Sparse, origin: (from: number, to: number) => Origin, rows: number, isHeldout: (document: number) => boolean, chunk = 8192,
): Pieces<HeldoutFirings> {
  const firings = new Map(Array.from(latents, (latent) => [latent, { row: [] as number[], value: [] as number[] }]));
  const document: Int32Array[] = [], position: Int32Array[] = [];
  let held = 0;
  for (let from = 0; from < rows; from += chunk) {
    const to = Math.min(rows, from + chunk);
    const { k, index, value } = codes(from, to);
    const where = origin(from, to);
    const kept = new Int32Array(to - from);
    let n = 0;
    for (let r = 0; r < to - from; r++) {
      if (!isHeldout(where.document[r])) continue;
      for (let i = r * k; i < (r + 1) * k; i++) {
        const own = value[i] > 0 ? firings.get(index[i]) : undefined;
        if (!own) continue;
        own.row.push(held + n);
        own.value.push(value[i]);
      }
      kept[n++] = r;
    }
    document.push(Int32Array.from(kept.subarray(0, n), (r) => where.document[r]));
    position.push(Int32Array.from(kept.subarray(0, n), (r) => where.position[r]));
    held += n;
    yield;
  }
  return { document: joined(document), position: joined(position), firings };
}

function joined(parts: Int32Array[]): Int32Array {
  const out = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A context: tokens `position` ± `reach` of a document. */
export interface DetectionContext {
  document: number;
  position: number;
  active: boolean;
}

/**
 * Contexts of a latent: of its firings as many from each quarter of the activations, and as many places around which it does not fire at all; no two overlap.
 * Fewer where there are no more.
 * @param reach tokens on either side
 * @param seed decides, with the latent's number, which
 */
export function detectionContexts({ document, position, firings }: HeldoutFirings, latent: number, { count, silent, reach, seed }: { count: number; silent: number; reach: number; seed: number }): DetectionContext[] {
  const rng = random(seed, latent);
  const { row, value } = firings.get(latent)!;
  const taken = new Map<number, number[]>(); // by document, middles of contexts
  const take = (r: number): boolean => {
    const places = taken.get(document[r]) ?? [];
    if (places.some((place) => Math.abs(place - position[r]) <= 2 * reach)) return false;
    taken.set(document[r], [...places, position[r]]);
    return true;
  };
  const order = [...row.keys()].sort((i, j) => value[j] - value[i] || row[i] - row[j]);
  const quarters = Array.from({ length: 4 }, (_, q) => {
    const part = order.slice(Math.floor((q * order.length) / 4), Math.floor(((q + 1) * order.length) / 4));
    return Array.from(permutation(part.length, rng), (i) => row[part[i]]);
  });
  const active: number[] = [];
  for (let turn = 0; active.length < count && quarters.some((quarter) => quarter.length); turn++) {
    const quarter = quarters[turn % 4];
    while (quarter.length) {
      const r = quarter.pop()!;
      if (!take(r)) continue;
      active.push(r);
      break;
    }
  }
  /** Whether it fires within reach of a row; rows between two are no more than tokens between them. */
  const firesNear = (r: number): boolean => {
    for (let i = firstFrom(row, r - reach); i < row.length && row[i] <= r + reach; i++) {
      if (document[row[i]] === document[r] && Math.abs(position[row[i]] - position[r]) <= reach) return true;
    }
    return false;
  };
  const quiet: number[] = [];
  for (let tries = 0; quiet.length < silent && tries < 50 * silent && document.length; tries++) {
    const r = rng.below(document.length);
    if (!firesNear(r) && take(r)) quiet.push(r);
  }
  const all = [...active.map((r) => ({ r, active: true })), ...quiet.map((r) => ({ r, active: false }))];
  return Array.from(permutation(all.length, rng), (i) => ({ document: document[all[i].r], position: position[all[i].r], active: all[i].active }));
}

/** First place of an ascending list whose number is at least `least`. */
function firstFrom(list: number[], least: number): number {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < least) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface DetectionScore {
  latent: number;
  label: string;
  /** NaN without answers on either kind of context. */
  balancedAccuracy: number;
  /** 95 %, bootstrap over documents. */
  interval: [number, number];
  /** Share found of the contexts on which it fires, and share left alone of the others. */
  sensitivity: number;
  specificity: number;
  /** Answered contexts on which it fires, and on which it does not; and those without an answer that can be read. */
  active: number;
  silent: number;
  unanswered: number;
}

/** @param said of each context, undefined where there was no answer */
export function detectionScoreOf(latent: number, label: string, contexts: DetectionContext[], said: (boolean | undefined)[], seed: number, resamples = 1000): DetectionScore {
  const answered = contexts.flatMap((context, i) => (said[i] === undefined ? [] : [{ ...context, right: said[i] === context.active }]));
  const weigh = (weight?: ArrayLike<number>): { sensitivity: number; specificity: number; sums: number[] } => {
    const sums = [0, 0, 0, 0]; // contexts on which it fires, of these found; others, of these left alone
    answered.forEach(({ active, right }, i) => {
      const w = weight ? weight[i] : 1;
      sums[active ? 0 : 2] += w;
      if (right) sums[active ? 1 : 3] += w;
    });
    return { sensitivity: sums[1] / sums[0], specificity: sums[3] / sums[2], sums };
  };
  const { sensitivity, specificity, sums } = weigh();
  const balanced = (weight: ArrayLike<number>): number[] => {
    const { sensitivity: a, specificity: b } = weigh(weight);
    return [(a + b) / 2];
  };
  const [interval] = atOnce(bootstrapped(answered.map(({ document }) => document), balanced, random(seed, latent), resamples));
  return {
    latent, label, balancedAccuracy: (sensitivity + specificity) / 2, interval, sensitivity, specificity,
    active: sums[0], silent: sums[2], unanswered: contexts.length - answered.length,
  };
}

const FEW = 20; // below, an interval says more than the number

export function detectionTable(scores: DetectionScore[]): NotedTable {
  const share = (value: number): string => (Number.isNaN(value) ? "–" : percent(value));
  return {
    columns: ["latent", "label", "balanced accuracy", "95 % interval", "found", "of", "left alone", "of", "no answer", ""],
    rows: scores.map(({ latent, label, balancedAccuracy, interval, sensitivity, specificity, active, silent, unanswered }) => [
      latent, label, share(balancedAccuracy), Number.isNaN(interval[0]) ? "–" : `${share(interval[0])} to ${share(interval[1])}`, share(sensitivity), active, share(specificity), silent, unanswered,
      Math.min(active, silent) < FEW ? "few contexts" : interval[0] <= 0.5 ? "not above chance" : "",
    ]),
    total: scores.length,
    words: true,
    notes: [
      "Balanced accuracy: mean of the share found of the contexts on which the latent fires (from each quarter of its activations as many) and the share left alone of others drawn by chance; 50 % is a label that says nothing. 95 % intervals by bootstrap over documents.",
      "Contexts are of held-out documents. A label that was made from all documents, as those of suggestLabels are, has seen them.",
    ],
  };
}
