import type { Firings } from "./collect";
import type { Pieces } from "./pieces";
import { sorter, sparseMeasures, type ranking, type Sorted } from "./ranking";
import { pooling, POOLINGS, type RowSentences } from "./score";
import { clusteredTest, clustersOf, type Told } from "./significance";

/**
 * Every latent × label, sorted once:
 *
 *   firings -pooling-> three scores of each sentence -sorter-> training AUROC of all labels, the best pooling of each label
 *                                                           -> of that pooling, on held-out sentences: AUROC, AP, z
 *   firings on held-out tokens -sorter-> AUROC and AP of tokens: nothing is chosen there
 */

/** Measures of all latents for one label. */
export interface LatentScores {
  train: Float32Array; // [F] AUROC on training sentences, of the best pooling
  pooling: Uint8Array; // [F] which one, of POOLINGS
  heldout: Float32Array; // [F] AUROC on held-out sentences, of that pooling
  averagePrecision: Float32Array; // [F] the same sentences
  z: Float32Array; // [F] document-clustered Mann–Whitney, a normal deviate; NaN: it fires on fewer than five held-out documents
  tokenAuroc: Float32Array; // [F] on held-out tokens
  tokenAveragePrecision: Float32Array; // [F]
}

/** Sentences of one side of the split. */
export interface Half {
  number: Int32Array; // [sentences] place among those of this side, −1: none
  mask: Int32Array; // [n] their labels
}

/** Scores of a latent that never fires: no better than chance. */
export function silentScores(latents: number, baseRate: number, tokenBaseRate: number): LatentScores {
  const filled = (value: number): Float32Array => new Float32Array(latents).fill(value);
  return {
    train: filled(0.5),
    pooling: new Uint8Array(latents),
    heldout: filled(0.5),
    averagePrecision: filled(baseRate),
    z: filled(NaN),
    tokenAuroc: filled(0.5),
    tokenAveragePrecision: filled(tokenBaseRate),
  };
}

/** How many held-out tokens carry each label, and do not. */
export function tokenCounts({ rows }: RowSentences, { number, mask }: Half, labels: number): { positives: number; negatives: number }[] {
  const counts = Array.from({ length: labels }, () => ({ positives: 0, negatives: 0 }));
  number.forEach((u, s) => u >= 0 && counts.forEach((count, l) => (count[(mask[u] >> l) & 1 ? "positives" : "negatives"] += rows[s])));
  return counts;
}

/**
 * @param document of each held-out sentence, from 0
 * @param ranks of the training sentences
 * @returns puts the scores of the latents of some firings into `out`, one a label, and the training AUROC of all poolings into
 *   training[l][latent·3 + pooling]
 */
export function latentScores(rows: RowSentences, train: Half, test: Half, document: Int32Array, ranks: ReturnType<typeof ranking>, labels: number) {
  const [nT, nH] = [train.mask.length, test.mask.length];
  const pool = pooling(rows, train.number.map((u, s) => (u >= 0 ? u : test.number[s] >= 0 ? nT + test.number[s] : -1)));
  const sort = POOLINGS.map(() => sorter([nT, nT + nH]));
  const masks = [...new Set(test.mask)];
  const classOf = new Map(masks.map((mask, c) => [mask, c]));
  const tokenClass = test.number.map((u) => (u >= 0 ? classOf.get(test.mask[u])! : -1)); // [sentences]
  const classMask = Int32Array.from(masks);
  const sortTokens = sorter([masks.length]);
  const documents = document.reduce((most, d) => Math.max(most, d + 1), 0);
  const clusters = Array.from({ length: labels }, (_, l) => clustersOf(document, test.mask, l, documents));
  const tokens = tokenCounts(rows, test, labels);
  const tell = clusteredTest(document, test.mask, documents);
  const told: Told = { auroc: 0, averagePrecision: 0, z: 0 };
  const found = new Float64Array(labels);
  let [which, score] = [new Int32Array(0), new Float32Array(0)];

  const tokensOf = (firings: Firings, a: number, b: number): Sorted => {
    if (which.length < b - a) [which, score] = [new Int32Array(2 * (b - a)), new Float32Array(2 * (b - a))];
    let count = 0;
    for (let i = a; i < b; i++) {
      const s = rows.sentence[firings.row[i]];
      if (s < 0 || tokenClass[s] < 0) continue;
      which[count] = tokenClass[s];
      score[count++] = firings.value[i];
    }
    return sortTokens(which, score, count)[0];
  };

  return function* (firings: Firings, out: LatentScores[], training: Float32Array[]): Pieces<void> {
    for (let f = firings.from, held = 0; f < firings.to; f++) {
      const [a, b] = [firings.offset[f - firings.from], firings.offset[f - firings.from + 1]];
      if (a === b) continue;
      if ((held += 64 + b - a) > 1 << 15) {
        yield;
        held = 0;
      }
      const pooled = pool(firings, f);
      const sides = pooled.scores.map((scores, p) => sort[p](pooled.item, scores, pooled.count));
      sides.forEach(([own], p) => {
        ranks.sparse(own, found);
        for (let l = 0; l < labels; l++) training[l][f * POOLINGS.length + p] = found[l];
      });
      const byToken = tokensOf(firings, a, b);
      for (let l = 0; l < labels; l++) {
        let best = f * POOLINGS.length;
        for (let p = 1; p < POOLINGS.length; p++) if (training[l][f * POOLINGS.length + p] > training[l][best]) best = f * POOLINGS.length + p;
        out[l].train[f] = training[l][best];
        out[l].pooling[f] = best % POOLINGS.length;
        tell(sides[best % POOLINGS.length][1], l, clusters[l], told);
        out[l].heldout[f] = told.auroc;
        out[l].averagePrecision[f] = told.averagePrecision;
        out[l].z[f] = told.z;
        const { auroc, averagePrecision } = sparseMeasures(byToken, classMask, l, tokens[l].positives, tokens[l].negatives);
        out[l].tokenAuroc[f] = auroc;
        out[l].tokenAveragePrecision[f] = averagePrecision;
      }
    }
  };
}

/** Of one latent, pooled over held-out sentences: the scores that are not zero, sorted, and all of them. */
export function heldoutScores(rows: RowSentences, test: Half) {
  const pool = pooling(rows, test.number);
  return (firings: Firings, latent: number, pool_: number): { sorted: Sorted; scores: Float32Array } => {
    const { item, scores, count } = pool(firings, latent);
    const dense = new Float32Array(test.mask.length);
    item.forEach((u, i) => (dense[u] = scores[pool_][i]));
    return { sorted: sorter([test.mask.length])(item, scores[pool_], count)[0], scores: dense };
  };
}
