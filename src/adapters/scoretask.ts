import { freemem } from "node:os";
import { OptionError, StoreError } from "../core/errors";
import { auroc, ranking } from "../core/ranking";
import { POOLINGS } from "../core/score";
import type { Detector } from "../core/scoretable";
import type { Store } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { labelledSentences, positives, type Labelled } from "./labelled";

/** What is scored, and what there is to choose from. */
export interface Task extends Labelled {
  features: Features;
  store: Store;
  hook: string;
  d: number;
  latents: number;
  ranks: ReturnType<typeof ranking>; // of the sentences of `train`
  document: Int32Array; // of each held-out sentence, counted from 0
}

export const STOPPED = "No scores were kept: ask again.";
/** Scores of random directions held at once: 64 MB. */
export const SCRATCH = 2 ** 24;
/** Rows of training sentences on which all random directions are tried. */
export const SAMPLED_ROWS = 2 ** 14;

export async function pause(): Promise<void> {
  stopIfInterrupted(STOPPED);
  await breathe();
}

export async function taskOf(features: Features, store: Store, wanted?: string[]): Promise<Task> {
  const { hook, latents, d } = features.manifest.sae;
  if (features.manifest.split !== "all") {
    throw new StoreError(
      `${features.path}: expected features of all rows, as scores are picked on training documents and reported on held-out ones, found "${features.manifest.split}". collect(store, sae) takes all.`,
    );
  }
  if (!features.fired.some((n) => n > 0)) {
    throw new StoreError(
      `${features.path}: expected latents that fire, found that all ${latents} are silent on these rows. ` +
        "Look at evaluate(sae, store): the SAE may belong to another hook or model.",
    );
  }
  const labelled = await labelledSentences(store, "scoreLabels", STOPPED, wanted);
  const { sentences, train, test } = labelled;
  const known = new Map<number, number>();
  const document = test.of.map((s) => {
    const d = sentences.document[s];
    if (!known.has(d)) known.set(d, known.size);
    return known.get(d)!;
  });
  return { ...labelled, features, store, hook, d, latents, ranks: ranking(train.mask, sentences.labels.length), document };
}

/** @throws OptionError if what is held at once would not fit */
export function requireMemory({ features, store, d, latents, sentences }: Task): void {
  const firings = 8 * Math.min(2 ** 23, features.fired.reduce((sum, n) => sum + n, 0));
  const eachLatent = (4 * POOLINGS.length + 33) * sentences.labels.length; // training AUROC of each pooling, measures, q
  const sampled = Math.min(2 * SAMPLED_ROWS, features.rows);
  const needed = 8 * sentences.count * d + 4 * sampled * d + 4 * SCRATCH + firings + eachLatent * latents;
  const available = (process as { availableMemory?: () => number }).availableMemory?.() ?? freemem();
  if (needed <= available) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
  throw new OptionError(
    `${store.path}: expected ${megabytes(needed)} of free memory to score ${sentences.count.toLocaleString("en")} sentences × width ${d}, ` +
      `found ${megabytes(available)}. Close other programs, or harvest fewer of the documents into another store.`,
  );
}

/** A way to tell a label: `scores` are those of the held-out sentences. */
export type Candidate = Pick<Detector, "kind" | "what" | "absent" | "searched" | "train"> & { scores: ArrayLike<number> };

/** Scores of some sentences. */
export const picked = (scores: ArrayLike<number>, of: Int32Array): Float32Array => Float32Array.from(of, (s) => scores[s]);

/** A candidate from scores of all sentences: measured on training ones, its held-out ones kept. */
export function candidate(
  { train, test }: Task,
  l: number,
  what: Pick<Detector, "kind" | "what" | "absent" | "searched">,
  scores: ArrayLike<number>,
): Candidate {
  return { ...what, train: auroc(picked(scores, train.of), positives(train, l)), scores: picked(scores, test.of) };
}
