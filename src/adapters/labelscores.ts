import { OptionError } from "../core/errors";
import { bestTable, type LatentScore } from "../core/latentscoretable";
import { POOLINGS } from "../core/score";
import { scoresHtml, scoresText, type LabelScore, type ScoresView } from "../core/scoretable";
import type { CollectedFeature } from "./features";
import type { Side } from "./labelled";
import { byTraining, type ScoredLatents } from "./scorelatents";
import type { Task } from "./scoretask";
import { DISPLAY, heatMap, showing, type FeatureList, type ShownNow } from "./show";
import { notedBundle } from "./table";

/** Of every latent, [F] each; those that never fire have AUROC ½. */
export interface EveryLatent {
  train: Float32Array; // AUROC on training sentences
  heldout: Float32Array; // AUROC on held-out sentences, of the pooling chosen on training ones
  averagePrecision: Float32Array; // on held-out sentences
  tokenAuroc: Float32Array; // on held-out tokens
  tokenAveragePrecision: Float32Array;
  z: Float32Array; // document-clustered Mann–Whitney of `heldout`; NaN: fewer than five documents
  q: Float32Array; // Benjamini–Hochberg over all latents, two-sided
  pooling: Uint8Array; // of mean, max, first five
}

export interface LabelScores extends ScoresView, ShownNow {
  /** @throws OptionError if the label was not scored */
  of(label: string): LabelScore;
  /** AUROC on training documents of each latent × pooling, [latents, poolings], for a label. */
  training(label: string): Float32Array;
  /** The latents that correlate best with a label on training documents (20), best first, and what held-out ones say; shows itself as a table. */
  best(label: string, options?: { count?: number }): LatentScore[] & ShownNow;
  /** All latents. */
  every(label: string): EveryLatent;
  /** Keeps held-out scores in the family: columns "AUROC <label>", "AP <label>", "q <label>" of `features.table()`. */
  keep(): Promise<void>;
  /** The latents picked for some labels (all by default) as features. They stay when the features they came from are closed. */
  features(labels?: string[]): FeatureList<CollectedFeature> & ShownNow;
}

/** The scores as something to ask and to show. The picked latents are read now: the features may be closed then. */
export function labelScores(task: Task, scored: LabelScore[], found: ScoredLatents, { permutations, sampled }: { permutations: number; sampled: number }): LabelScores {
  const { features, sentences, train, test, latents, leftOut } = task;
  const { labels } = sentences;
  const count = ({ of }: Side): { sentences: number; documents: number } => ({
    sentences: of.length,
    documents: new Set(of.map((s) => sentences.document[s])).size,
  });
  const view: ScoresView = {
    labels: scored,
    latents,
    poolings: POOLINGS.length,
    train: count(train),
    heldout: count(test),
    skipped: sentences.count - train.of.length - test.of.length,
    leftOut,
    ...(sampled < train.of.length ? { sampled } : {}),
  };
  const { words, fired } = features;
  const known = new Map(scored.map(({ latent }) => [latent, features.feature(latent)]));
  const of = (label: string): LabelScore => {
    const one = scored.find((labelled) => labelled.label === label);
    if (!one) throw new OptionError(`scores: expected one of the labels ${labels.join(", ")}, found "${label}".`);
    return one;
  };
  const number = (label: string): number => labels.indexOf(of(label).label);
  const featureOf = (latent: number, label: string): CollectedFeature => {
    const feature: CollectedFeature = showing({ ...known.get(latent)!, label }, () => heatMap(feature)[DISPLAY]());
    return feature;
  };
  return showing<Omit<LabelScores, keyof ShownNow>>(
    {
      ...view,
      of,
      training: (label) => found.training[number(label)],
      best(label, { count: wanted = 20 } = {}) {
        if (!Number.isSafeInteger(wanted) || wanted < 1) throw new OptionError(`best: count: expected a whole number from 1 on, found ${wanted}.`);
        const l = number(label);
        const measures = found.measures[l];
        const list = Array.from(byTraining(measures, fired, wanted), (latent, i): LatentScore => ({
          latent,
          pooling: POOLINGS[measures.pooling[latent]],
          train: measures.train[latent],
          heldout: measures.heldout[latent],
          averagePrecision: measures.averagePrecision[latent],
          baseRate: found.baseRate[l],
          tokenAuroc: measures.tokenAuroc[latent],
          tokenAveragePrecision: measures.tokenAveragePrecision[latent],
          tokenBaseRate: found.tokenBaseRate[l],
          z: measures.z[latent],
          q: found.q[l][latent],
          permutationP: found.best[l].p[i] ?? NaN,
        }));
        return showing(list, () => notedBundle(bestTable({ ...view, label, scores: list, permutations, controls: of(label).detectors.slice(1) })));
      },
      every: (label) => ({ ...found.measures[number(label)], q: found.q[number(label)] }),
      async keep() {
        for (const [l, label] of labels.entries()) {
          const { heldout, averagePrecision } = found.measures[l];
          for (const [name, values] of Object.entries({ AUROC: heldout, AP: averagePrecision, q: found.q[l] })) await features.setColumn(`${name} ${label}`, values);
        }
      },
      features(wanted = labels) {
        const mine = wanted.map(of);
        const list = [...new Set(mine.map(({ latent }) => latent))].map((latent) =>
          featureOf(
            latent,
            mine
              .filter((one) => one.latent === latent)
              .map(({ label, detectors }) => `correlates with ${label} (held-out AUROC ${detectors[0].heldout.toFixed(2)})`)
              .join(", "),
          ),
        );
        const shown: FeatureList<CollectedFeature> = Object.assign(list, { words, note: CONTEXTS });
        return showing(shown, () => heatMap(shown, { count: shown.length })[DISPLAY]());
      },
    },
    () => ({
      "application/vnd.saelab.scores.v1+json": { version: 1, ...view },
      "text/html": scoresHtml(view),
      "text/plain": scoresText(view),
    }),
  ) as LabelScores;
}

const CONTEXTS =
  "Contexts come from training and held-out documents alike; the scores beside the latents from held-out ones only.";
