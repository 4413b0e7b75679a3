import { firingsOf, latentBlocks } from "../core/collect";
import { heldoutScores, latentScores, silentScores, tokenCounts, type LatentScores } from "../core/latentscores";
import { random } from "../core/random";
import { POOLINGS } from "../core/score";
import { benjaminiHochberg, documentPermutations, twoSided, type Picked } from "../core/significance";
import type { Sparse } from "../core/types";
import { CHUNK } from "./featurerows";
import type { Features } from "./features";
import { positives } from "./labelled";
import { inPieces } from "./pieces";
import { pause, STOPPED, type Task } from "./scoretask";

/** Latents of each label whose p comes from permuted documents. */
const PERMUTED = 100;

/** All latents × labels; by label. */
export interface ScoredLatents {
  measures: LatentScores[];
  q: Float32Array[]; // [F] Benjamini–Hochberg, of the two-sided p of z
  training: Float32Array[]; // [F, poolings]
  /** The best by training AUROC, best first, at most a hundred, their p, and the scores of the first on all held-out sentences. */
  best: { latents: Int32Array; p: Float64Array; scores: Float32Array }[];
  baseRate: number[];
  tokenBaseRate: number[];
}

/** Reads all codes, a chunk at a time. */
async function eachChunk(features: Features, use: (from: number, codes: Sparse) => void): Promise<void> {
  for (let from = 0; from < features.rows; from += CHUNK) {
    use(from, features.codes(from, Math.min(features.rows, from + CHUNK)));
    await pause();
  }
}

/** Latents that fire, by training AUROC, largest first. */
export function byTraining({ train }: LatentScores, fired: Int32Array, count: number): Int32Array {
  const firing = Int32Array.from(fired.keys()).filter((f) => fired[f] > 0);
  return firing.sort((f, g) => train[g] - train[f] || f - g).slice(0, count);
}

/** Scores of all latents, exactly; p of the best hundred by permuting documents. */
export async function scoreLatents(task: Task, permutations: number, seed: number): Promise<ScoredLatents> {
  const { features, latents, sentences, rows, train, test, ranks, document } = task;
  const { labels } = sentences;
  const baseRate = labels.map((_, l) => positives(test, l).reduce((a, b) => a + b, 0) / test.of.length);
  const tokenBaseRate = tokenCounts(rows, test, labels.length).map((count) => count.positives / (count.positives + count.negatives));
  const measures = labels.map((_, l) => silentScores(latents, baseRate[l], tokenBaseRate[l]));
  const training = labels.map(() => new Float32Array(latents * POOLINGS.length).fill(0.5));
  const score = latentScores(rows, train, test, document, ranks, labels.length);
  for (const block of latentBlocks(features.fired)) {
    const { firings, add } = firingsOf(features.fired, block.from, block.to);
    await eachChunk(features, add);
    await inPieces(score(firings, measures, training), STOPPED);
  }
  const best = await bestLatents(task, measures, permutations, seed);
  const q: Float32Array[] = [];
  for (const { z } of measures) {
    q.push(benjaminiHochberg(Float64Array.from(z, twoSided)));
    await pause();
  }
  return { measures, q, training, best, baseRate, tokenBaseRate };
}

/** The best of each label once more: their firings alone, turned over as those of an SAE with so many latents. */
async function bestLatents({ features, sentences, rows, test, document }: Task, measures: LatentScores[], permutations: number, seed: number): Promise<ScoredLatents["best"]> {
  const chosen: Int32Array[] = [];
  for (const one of measures) {
    chosen.push(byTraining(one, features.fired, PERMUTED));
    await pause();
  }
  const list = [...new Set(chosen.flatMap((latents) => [...latents]))].sort((f, g) => f - g);
  const place = new Int32Array(features.count).fill(-1);
  list.forEach((latent, i) => (place[latent] = i));
  const fired = Int32Array.from(list, (latent) => features.fired[latent]);
  const scoresOf = heldoutScores(rows, test);
  const best: ScoredLatents["best"] = chosen.map((latents) => ({ latents, p: new Float64Array(latents.length), scores: new Float32Array(0) }));
  for (const block of latentBlocks(fired)) {
    const { firings, add } = firingsOf(fired, block.from, block.to);
    await eachChunk(features, (from, codes) => add(from, { ...codes, index: codes.index.map((f) => place[f]) }));
    const picked: Picked[] = [];
    const at: { l: number; i: number }[] = [];
    chosen.forEach((latents, l) =>
      latents.forEach((latent, i) => {
        if (place[latent] < block.from || place[latent] >= block.to) return;
        const { sorted, scores } = scoresOf(firings, place[latent], measures[l].pooling[latent]);
        if (!i) best[l].scores = scores;
        picked.push({ label: l, sorted });
        at.push({ l, i });
      }),
    );
    // the same draws in each block
    const p = await inPieces(documentPermutations(picked, test.mask, document, sentences.labels.length, permutations, random(seed, 5)), STOPPED);
    at.forEach(({ l, i }, c) => (best[l].p[i] = p[c]));
  }
  return best;
}
