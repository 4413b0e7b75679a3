import { firingsOf, type Firings } from "../core/collect";
import { triggersOf, type Trigger, type TriggerKind } from "../core/injection";
import { FIRST, pooling, POOLINGS, type Pooling } from "../core/score";
import { CHUNK } from "./featurerows";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { positives, type Labelled } from "./labelled";

/** What some latents do on the labelled sentences as they stand, read from the codes that were collected. */

/** Firings of some latents: latent latents[i] is number i. */
export async function firingsOfSome(features: Features, latents: number[], stopped: string): Promise<Firings> {
  const slot = new Int32Array(features.count).fill(-1);
  latents.forEach((latent, i) => (slot[latent] = i));
  const { firings, add } = firingsOf(Int32Array.from(latents, (latent) => features.fired[latent]), 0, latents.length);
  for (let from = 0; from < features.rows; from += CHUNK) {
    const { n, k, index, value } = features.codes(from, Math.min(features.rows, from + CHUNK));
    add(from, { n, k, index: index.map((latent) => slot[latent] ?? -1), value });
    stopIfInterrupted(stopped);
    await breathe();
  }
  return firings;
}

export interface InPlace {
  /** Of held-out sentences, in their order. */
  heldout: Float32Array;
  /** Half the median peak of the label's training sentences on which it is active; Infinity where there is none. */
  threshold: number;
  /** The label's held-out sentences whose peak reaches it. */
  reached: { fired: number; of: number };
}

/** @param poolings of each latent */
export function inPlace({ rows, train, test }: Labelled, firings: Firings, poolings: Pooling[]): InPlace[] {
  const [inTrain, inTest] = [positives(train, 0), positives(test, 0)];
  const [poolTrain, poolTest] = [pooling(rows, train.number), pooling(rows, test.number)];
  const MAX = POOLINGS.indexOf("max");
  return poolings.map((pool, latent) => {
    const trained = poolTrain(firings, latent);
    const peaks = Float64Array.from([...trained.scores[MAX]].filter((_, i) => inTrain[trained.item[i]])).sort();
    const threshold = peaks.length ? peaks[peaks.length >> 1] / 2 : Infinity;
    const tested = poolTest(firings, latent);
    const heldout = new Float32Array(test.of.length);
    tested.item.forEach((u, i) => (heldout[u] = tested.scores[POOLINGS.indexOf(pool)][i]));
    let fired = 0;
    tested.item.forEach((u, i) => (fired += inTest[u] && tested.scores[MAX][i] >= threshold ? 1 : 0));
    return { heldout, threshold, reached: { fired, of: inTest.reduce((a, b) => a + b, 0) } };
  });
}

/** Triggers of each latent, from the label's training sentences. @param origin of all rows */
export function latentTriggers({ tokenIds, rows, train, sentences }: Labelled, firings: Firings, origin: { document: Int32Array; position: Int32Array }, count: number): Record<TriggerKind, Trigger[]>[] {
  const isPositive = new Uint8Array(sentences.count);
  const inTrain = positives(train, 0);
  train.of.forEach((s, u) => (isPositive[s] = inTrain[u]));
  const ofLabel: number[] = []; // rows of the label's training sentences
  const number = new Map<number, number>();
  rows.sentence.forEach((s, row) => {
    if (s >= 0 && isPositive[s]) number.set(row, ofLabel.push(row) - 1);
  });
  const find = triggersOf(tokenIds, { document: Int32Array.from(ofLabel, (row) => origin.document[row]), position: Int32Array.from(ofLabel, (row) => origin.position[row]) });
  return Array.from({ length: firings.to }, (_, latent) => {
    const active = new Map<number, number>();
    for (let i = firings.offset[latent]; i < firings.offset[latent + 1]; i++) {
      const at = number.get(firings.row[i]);
      if (at !== undefined) active.set(at, firings.value[i]);
    }
    return find(active, count);
  });
}

/** Pools a latent's values at the tokens of a sentence, as sentences in a store are pooled; NaN: a token without a row. */
export function pooled(values: ArrayLike<number>, pool: Pooling): number {
  const all = Array.from(values).filter((value) => !Number.isNaN(value));
  if (!all.length) return 0;
  const used = pool === "first five" ? all.slice(0, FIRST) : all;
  return pool === "max" ? used.reduce((a, b) => Math.max(a, b), 0) : used.reduce((a, b) => a + b, 0) / used.length;
}
