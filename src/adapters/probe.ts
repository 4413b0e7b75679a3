import { OptionError, StoreError } from "../core/errors";
import { logisticProbe } from "../core/controls";
import { columnsOf, largestDifferences, logisticRegression, logits, meanDifference, poolingItems, probeScore, type PooledItems, type ProbeScore } from "../core/probe";
import { probeNotes, probesHtml, probesTable, probesText, type LabelProbes, type ProbesView, type SparseProbe } from "../core/probetable";
import { random, sample, type Random } from "../core/random";
import type { Progress, Sae, Store } from "../core/types";
import { hookIn } from "./evaluate";
import { breathe, stopIfInterrupted } from "./interrupt";
import { labelledSentences, positives, type Labelled, type Side } from "./labelled";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { requireFinite } from "./rows";
import { showing, type ShownNow } from "./show";
import { saidBundle } from "./table";

/** k-sparse probing: how much few latents tell of the labels of a store's documents. */

export interface ProbeOptions {
  labels?: string[]; // all that the documents carry, most frequent first
  k?: number[]; // [1, 2, 5] latents of a probe, ascending
  hook?: string; // the SAE's own where the store has it, else the store's only one
  c?: number; // 1: inverse strength of the penalty, as scikit-learn has it
  draws?: number; // 5 draws of random latents
  seed?: number; // 0: random latents, order of the raw probe's training
  progress?: Progress;
}

export interface SparseProbes extends ProbesView, ShownNow {
  /** @throws OptionError if the label was not probed */
  of(label: string): LabelProbes;
}

const STOPPED = "No probes were kept: ask again.";
const CHUNK_BYTES = 32 * 2 ** 20;

/**
 * For each behaviour label, k-sparse probes: a sentence (labelled span) is the mean of its rows' latents; on training documents the k latents whose means differ most
 * between sentences that carry the label and the others are chosen, and a logistic regression is fitted to them; it is scored on held-out documents, beside
 * as many random latents, a regression on the mean raw row, and the majority.
 *
 * As SAEBench does, but for the balance: it draws as many negatives as positives, here all sentences count and the base rate stands beside the scores; so
 * accuracy says little where a label is rare, and AUROC and average precision are given. SAEBench's raw probe is scikit-learn's on the rows as they are; here the rows
 * are standardised (scoreLabels' probe). What else tells a label (words, position, length, the best random direction) is in scoreLabels.
 * @returns also shows itself as `application/vnd.saelab.table.v1+json`, HTML and text
 * @throws OptionError for a k that is no number of latents, or documents without such labels; StoreError if a label has positives or others on one side of the split
 *   only, or a row is not finite; InterruptError
 * @see Gurnee et al. 2023, arXiv 2305.01610; Karvonen et al. 2025, SAEBench, arXiv 2503.09532
 */
export async function sparseProbing(sae: Sae, store: Store, options: ProbeOptions = {}): Promise<SparseProbes> {
  const { k: ks = [1, 2, 5], c = 1, draws = 5, seed = 0, progress = defaultProgress() } = options;
  const { latents } = sae.weights;
  checkOptions(ks, c, draws, seed, latents);
  const hook = hookIn(store, sae, options.hook, "sparseProbing");
  const labelled = await labelledSentences(store, "sparseProbing", STOPPED, options.labels);
  const { sentences, train, test } = labelled;
  const { items, means } = await pooled(sae, store, hook, labelled, meter("encode", store.rows, "rows", progress));
  const told = meter("probe", sentences.labels.length, "labels", progress);
  const firing = new Uint8Array(latents);
  for (const s of train.of) for (let i = items.offset[s]; i < items.offset[s + 1]; i++) firing[items.latent[i]] = 1;
  const alive = Int32Array.from(firing.keys()).filter((f) => firing[f]);
  if (!alive.length) throw new StoreError(`${store.path}: expected latents that fire on labelled sentences of training documents, found that all ${latents} are silent. Look at evaluate(sae, store): the SAE may belong to another hook or model.`);
  const dense = await inPieces(logisticProbe(means, sae.weights.d, train.of, train.mask, sentences.labels.length, random(seed, 1)), STOPPED);
  const rng = random(seed, 2);
  const probed: LabelProbes[] = [];
  for (const [l, label] of sentences.labels.entries()) {
    const [mine, theirs] = [positives(train, l), positives(test, l)];
    const difference = await inPieces(meanDifference(items, train.of, mine, latents), STOPPED);
    const order = largestDifferences(difference, ks.at(-1)!);
    const fit = (chosen: Int32Array) => {
      const model = logisticRegression(columnsOf(items, train.of, chosen), mine, chosen.length, { c });
      const score = ({ of }: Side, positive: Int32Array): ProbeScore => probeScore(logits(model, columnsOf(items, of, chosen)), positive);
      return { model, train: score(train, mine), heldout: score(test, theirs) };
    };
    const sparse: SparseProbe[] = [];
    for (const k of ks) {
      stopIfInterrupted(STOPPED);
      const chosen = order.slice(0, k);
      const { model, ...scores } = fit(chosen);
      const others = Array.from({ length: draws }, () => fit(drawn(alive, k, rng)).heldout);
      sparse.push({ k, latents: [...chosen], weights: [...model.weights], bias: model.bias, ...scores, random: meanScore(others) });
      await breathe();
    }
    const z = dense(means, l);
    const total = (list: Int32Array): number => list.reduce((sum, one) => sum + one, 0);
    const [p, q] = [total(mine), total(theirs)];
    const baseRate = q / theirs.length;
    probed.push({
      label, positives: { train: p, heldout: q }, baseRate, majority: 2 * p > mine.length ? baseRate : 1 - baseRate, dense: probeScore(Float32Array.from(test.of, (s) => z[s]), theirs), sparse,
    });
    told(l + 1, label);
  }
  const counts = ({ of }: Side): { sentences: number; documents: number } => ({ sentences: of.length, documents: new Set(of.map((s) => sentences.document[s])).size });
  const view: ProbesView = { labels: probed, latents, train: counts(train), heldout: counts(test), draws, leftOut: labelled.leftOut };
  const of = (label: string): LabelProbes => {
    const found = probed.find((one) => one.label === label);
    if (!found) throw new OptionError(`probes: expected one of the labels ${sentences.labels.join(", ")}, found "${label}".`);
    return found;
  };
  return showing({ ...view, of }, () => saidBundle(probesTable(view), { notes: probeNotes(view), html: probesHtml(view), text: probesText(view) }));
}

function checkOptions(ks: number[], c: number, draws: number, seed: number, latents: number): void {
  if (!Array.isArray(ks) || !ks.length || ks.some((k, i) => !Number.isSafeInteger(k) || k < 1 || k > latents || (i > 0 && k <= ks[i - 1]))) {
    throw new OptionError(`sparseProbing: k: expected ascending whole numbers from 1 to ${latents}, the SAE's latents, found ${JSON.stringify(ks)}. Such as { k: [1, 2, 5] }.`);
  }
  if (!(c > 0 && Number.isFinite(c))) throw new OptionError(`sparseProbing: c: expected a number above 0, found ${c}. The default is 1.`);
  if (!Number.isSafeInteger(draws) || draws < 1) throw new OptionError(`sparseProbing: draws: expected a whole number from 1, found ${draws}. The default is 5.`);
  if (!Number.isSafeInteger(seed)) throw new OptionError(`sparseProbing: seed: expected a whole number, found ${seed}.`);
}

/** k of the living latents, or all where there are fewer. */
const drawn = (alive: Int32Array, k: number, rng: Random): Int32Array => Int32Array.from(sample(alive.length, Math.min(k, alive.length), rng), (i) => alive[i]);

function meanScore(scores: ProbeScore[]): ProbeScore {
  const mean = (of: (score: ProbeScore) => number): number => scores.reduce((sum, score) => sum + of(score), 0) / scores.length;
  return { accuracy: mean((one) => one.accuracy), auroc: mean((one) => one.auroc), averagePrecision: mean((one) => one.averagePrecision) };
}

/** Mean latents and mean raw rows of every sentence, in one reading of the store. */
async function pooled(sae: Sae, store: Store, hook: string, { sentences, rows }: Labelled, told: (done: number) => void): Promise<{ items: PooledItems; means: Float32Array }> {
  const { d, latents } = sae.weights;
  const pool = poolingItems(rows, latents);
  const means = new Float32Array(sentences.count * d);
  const step = Math.max(256, Math.floor(CHUNK_BYTES / (4 * d)));
  for (let from = 0; from < store.rows; from += step) {
    stopIfInterrupted(STOPPED);
    const to = Math.min(store.rows, from + step);
    const x = store.read(hook, from, to);
    requireFinite(x, store, hook);
    pool.add(from, sae.encode(x));
    for (let r = from; r < to; r++) {
      const s = rows.sentence[r];
      if (s >= 0) for (let j = 0; j < d; j++) means[s * d + j] += x[(r - from) * d + j] / rows.rows[s];
    }
    told(to);
    await breathe();
  }
  return { items: pool.finish(), means };
}
