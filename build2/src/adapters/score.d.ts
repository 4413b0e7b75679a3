import { type LabelScore, type ScoresView } from "../core/scoretable";
import type { Progress, Sae, Store } from "../core/types";
import type { CollectedFeature, Features } from "./features";
import { type FeatureList, type ShownNow } from "./show";
export interface ScoreOptions {
    labels?: string[];
    resamples?: number;
    seed?: number;
    progress?: Progress;
}
export interface LabelScores extends ScoresView, ShownNow {
    /** @throws OptionError if the label was not scored */
    of(label: string): LabelScore;
    /** AUROC on training documents of each latent × pooling, [latents, poolings], for a label. */
    training(label: string): Float32Array;
    /** The latents picked for some labels (all by default) as features. They stay when the features they came from are closed. */
    features(labels?: string[]): FeatureList<CollectedFeature> & ShownNow;
}
/**
 * For each behaviour label: the latent and pooling that correlate best with it on training documents, measured on
 * held-out ones, beside what the same search finds without an SAE: a word, a text model, random directions, a probe,
 * position and length.
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
export declare function scoreLabels(features: Features, options?: ScoreOptions): Promise<LabelScores>;
export declare function scoreLabels(store: Store, sae: Sae, options?: ScoreOptions): Promise<LabelScores>;
