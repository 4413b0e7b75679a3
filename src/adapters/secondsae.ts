import { OptionError } from "../core/errors";
import type { SecondOpinion } from "../core/falsify";
import { auroc } from "../core/ranking";
import { POOLINGS, type Pooling } from "../core/score";
import type { Sae } from "../core/types";
import type { Features } from "./features";
import { firingsOfSome, inPlace } from "./inplace";
import { breathe, stopIfInterrupted } from "./interrupt";
import { positives, type Labelled } from "./labelled";
import type { LabelScores } from "./labelscores";
import { scoreLabels } from "./score";

/**
 * What another SAE of the same rows, such as one of another seed, has of some latents: scores agreed to .01–.05 between seeds where the best
 * latents' decoder rows had cosines of .06–.49, and 12 % of all latents had a partner above .7. So a score that comes again is no sign that the
 * latent does.
 */
export async function secondOpinions(
  features: Features, sae: Sae, label: string, latents: number[], labelled: Labelled, second: { features: Features; sae: Sae; scores?: LabelScores; seed: number; stopped: string },
): Promise<SecondOpinion[]> {
  const [ours, theirs] = [features.manifest, second.features.manifest];
  if (second.features.rows !== features.rows || theirs.store.texts !== ours.store.texts || theirs.split !== ours.split)
    throw new OptionError(`falsify: second: expected features of the same rows as ${features.path} (${features.rows}), found others (${second.features.rows}). Collect both SAEs on one store.`);
  const width = ({ d, dOut = d }: Sae["weights"]): number => dOut;
  if (width(sae.weights) !== width(second.sae.weights) || second.sae.weights.latents !== second.features.count)
    throw new OptionError(`falsify: second: expected an SAE of ${second.features.count} latents whose decoder rows have width ${width(sae.weights)}, found ${second.sae.weights.latents} and ${width(second.sae.weights)}. Give the SAE of those features, at the same hook.`);
  const scores = second.scores ?? (await scoreLabels(second.features, { labels: [label], seed: second.seed, resamples: 20 }));
  const { latent: best } = scores.of(label);
  const cosines = await cosinesTo(sae, latents, second.sae, second.stopped);
  const nearest = cosines.map((row) => row.reduce((most, value, j) => (value > row[most] ? j : most), 0));
  const asked = [...new Set([best, ...nearest])];
  const { pooling } = scores.every(label);
  const poolings = asked.map((latent): Pooling => POOLINGS[pooling[latent]]);
  const places = inPlace(labelled, await firingsOfSome(second.features, asked, second.stopped), poolings);
  const positive = positives(labelled.test, 0);
  const heldout = (latent: number): number => auroc(places[asked.indexOf(latent)].heldout, positive);
  return latents.map((_, i) => {
    const of = (latent: number): SecondOpinion["best"] => ({ latent, cosine: cosines[i][latent], heldout: heldout(latent) });
    return { nearest: of(nearest[i]), best: of(best) };
  });
}

/** Cosines of some decoder rows of an SAE to all of another's, [latents][others]. */
async function cosinesTo(sae: Sae, latents: number[], other: Sae, stopped: string): Promise<Float32Array[]> {
  const { d, dOut = d, wDec } = sae.weights;
  const theirs = other.weights.wDec;
  const rows = latents.map((latent) => wDec.subarray(latent * dOut, (latent + 1) * dOut));
  const norms = rows.map((row) => Math.hypot(...row) || 1);
  const out = latents.map(() => new Float32Array(other.weights.latents));
  for (let j = 0; j < other.weights.latents; j++) {
    const at = j * dOut;
    let squares = 0;
    for (let c = 0; c < dOut; c++) squares += theirs[at + c] ** 2;
    rows.forEach((row, i) => {
      let sum = 0;
      for (let c = 0; c < dOut; c++) sum += row[c] * theirs[at + c];
      out[i][j] = sum / (norms[i] * (Math.sqrt(squares) || 1));
    });
    if (j % 512) continue;
    stopIfInterrupted(stopped);
    await breathe();
  }
  return out;
}
