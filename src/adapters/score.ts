import { OptionError } from "../core/errors";
import { random } from "../core/random";
import { auroc, averagePrecision, bootstrap } from "../core/ranking";
import { POOLINGS } from "../core/score";
import { verdictOf, type Detector, type LabelScore } from "../core/scoretable";
import type { Progress, Sae, Store } from "../core/types";
import { collect } from "./collect";
import type { Features } from "./features";
import { positives } from "./labelled";
import { labelScores, type LabelScores } from "./labelscores";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { activationControls, textControls } from "./scorecontrols";
import { bestDirections, sentenceRows } from "./scoredirections";
import { scoreLatents, type ScoredLatents } from "./scorelatents";
import { pause, requireMemory, STOPPED, taskOf, type Candidate, type Task } from "./scoretask";

export interface ScoreOptions {
  labels?: string[]; // all that the documents carry, most frequent first
  resamples?: number; // 400 bootstrap draws of documents
  permutations?: number; // 1000 draws of swapped documents, for the best hundred latents of each label: p is 0.001 at least
  seed?: number; // 0: directions, bootstrap, permutations, order of training
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

/**
 * For each behaviour label: the latent and pooling that correlate best with it on training documents, measured on
 * held-out ones, beside what the same search finds without an SAE: a word, a text model, random directions, a probe,
 * position and length. And every other latent: `best(label)`, `every(label)`.
 *
 * Units are labelled sentences (spans), scored by the mean, the maximum and the mean of the first five of the rows
 * within; tokens whose rows were dropped are skipped. A label is scored if on either side of the split some sentence
 * with rows carries it and some does not; others are left out, and the notes say so.
 *
 * Shows itself as `application/vnd.saelab.scores.v1+json` ({ version: 1 } and a ScoresView), HTML and text.
 * @throws OptionError if the documents carry no such label, more than can be scored at once, or memory is short;
 *   StoreError if the features miss one side of the split, or a label that was asked for has positives or negatives on
 *   one side only; InterruptError, when asked to stop
 */
export function scoreLabels(features: Features, options?: ScoreOptions): Promise<LabelScores>;
export function scoreLabels(store: Store, sae: Sae, options?: ScoreOptions): Promise<LabelScores>;
export async function scoreLabels(
  from: Features | Store,
  second?: Sae | ScoreOptions,
  third?: ScoreOptions,
): Promise<LabelScores> {
  if ("codes" in from) return score(from, (second as ScoreOptions) ?? {});
  const options = third ?? {};
  checkOptions(options);
  const features = await collect(from, second as Sae, { progress: options.progress });
  try {
    return await score(features, options);
  } finally {
    features.close();
  }
}

async function score(features: Features, options: ScoreOptions): Promise<LabelScores> {
  checkOptions(options);
  const { resamples = 400, permutations = 1000, seed = 0, progress = defaultProgress() } = options;
  const told = meter("score", 4, "stages", progress);
  const task = await taskOf(features, await features.store(), options.labels);
  requireMemory(task);
  const latents = await scoreLatents(task, permutations, seed);
  told(1, "latents");
  const means = await sentenceRows(task, seed);
  const directions = await bestDirections(task, means, seed);
  told(2, "random directions");
  const texts = await textControls(task, seed);
  told(3, "text");
  const activations = await activationControls(task, means.all, seed);
  const { sentences, train, test } = task;
  const scored: LabelScore[] = [];
  for (const [l, label] of sentences.labels.entries()) {
    const candidates = [bestLatent(task, latents, l), texts.keyword(l), directions[l]];
    candidates.push(...texts.others(l));
    await pause();
    candidates.push(...activations(l));
    await pause();
    const positive = positives(test, l);
    const intervals = await inPieces(
      bootstrap(
        candidates.map(({ scores }) => scores),
        positive,
        task.document,
        random(seed, 4),
        resamples,
      ),
      STOPPED,
    );
    const detectors: Detector[] = candidates.map(({ scores, ...candidate }, i) => ({
      ...candidate,
      heldout: auroc(scores, positive),
      averagePrecision: averagePrecision(scores, positive),
      ...intervals[i],
    }));
    const counts = { train: total(positives(train, l)), heldout: total(positive) };
    const latent = latents.best[l].latents[0];
    scored.push({
      label,
      latent,
      pooling: POOLINGS[latents.measures[l].pooling[latent]],
      positives: counts,
      baseRate: latents.baseRate[l],
      detectors,
      ...verdictOf(detectors, counts.heldout),
    });
    await pause();
  }
  told(4);
  return labelScores(task, scored, latents, { permutations, sampled: means.sample.of.length });
}

/** The latent that is picked for a label. */
function bestLatent({ latents }: Task, { best, measures }: ScoredLatents, l: number): Candidate {
  const [latent] = best[l].latents;
  return {
    kind: "latent",
    what: `${latent}, ${POOLINGS[measures[l].pooling[latent]]}`,
    searched: latents * POOLINGS.length,
    train: measures[l].train[latent],
    scores: best[l].scores,
  };
}

/** @throws OptionError for what no score could come of */
function checkOptions({ labels, resamples = 1, permutations = 1, seed = 0 }: ScoreOptions): void {
  if (!Number.isSafeInteger(resamples) || resamples < 1)
    throw new OptionError(`scoreLabels: resamples: expected a whole number from 1 on, found ${resamples}. The default is 400.`);
  if (!Number.isSafeInteger(permutations) || permutations < 1)
    throw new OptionError(`scoreLabels: permutations: expected a whole number from 1 on, found ${permutations}. The default is 1000.`);
  if (!Number.isSafeInteger(seed)) throw new OptionError(`scoreLabels: seed: expected a whole number, found ${seed}.`);
  if (labels === undefined) return;
  if (!Array.isArray(labels)) throw new OptionError(`scoreLabels: labels: expected a list such as ["backtracking"], found ${JSON.stringify(labels)}.`);
  if (!labels.length)
    throw new OptionError("scoreLabels: labels: expected at least one, found none. Leave it out for all labels.");
  const twice = labels.find((label, i) => labels.indexOf(label) !== i);
  if (twice !== undefined)
    throw new OptionError(`scoreLabels: labels: expected each label once, found "${twice}" twice. Name it once.`);
}

const total = (list: Int32Array): number => list.reduce((a, b) => a + b, 0);
