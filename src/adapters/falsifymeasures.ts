import { FEWEST, margin, outcomeOf, type Falsified, type Measure } from "../core/falsify";
import type { Trigger, TriggerKind } from "../core/injection";
import type { Random } from "../core/random";
import { bootstrapped, quantileBins, stratified, type Stratified } from "../core/stratified";
import type { TestsRead, TestTexts } from "./falsifytexts";
import type { InPlace } from "./inplace";
import { positives, type Labelled } from "./labelled";
import { inPieces } from "./pieces";

/** One latent's AUROCs where one explanation after the other is taken away. */

const BINS = 20; // of positions
const WITHOUT = 10; // trigger tokens that are taken away, at most

export interface MeasureInput {
  labelled: Labelled;
  place: InPlace;
  triggers: Record<TriggerKind, Trigger[]>;
  texts: TestTexts;
  read: TestsRead;
  relative: boolean; // position ÷ length of the document tells the label better than the position
  context: number; // positions begin anew after so many tokens
  rng: Random;
  resamples: number;
  word: (id: number) => string;
  stopped: string;
}

type Measures = Pick<Falsified, "heldout" | "interval" | "tokenFree" | "moved" | "shuffled" | "samePosition" | "sameDocument" | "paraphrased"> & { ordinary: Omit<Falsified["ordinary"], "sentences"> };

export async function measuresOf({ labelled, place, triggers, texts, read, relative, context, rng, resamples, word, stopped }: MeasureInput): Promise<Measures> {
  const { sentences, test, train } = labelled;
  const positive = positives(test, 0);
  const { heldout } = place;
  const documents = Array.from(test.of, (s) => sentences.document[s]);

  /** AUROCs on items of these documents, each against the whole. */
  const measured = async (document: number[], whole: Stratified, others: Stratified[]): Promise<{ interval: [number, number]; measures: Measure[] }> => {
    const intervals = await inPieces(
      bootstrapped(document, (weight) => {
        const before = whole.auroc(weight);
        return [before, ...others.flatMap((one) => {
          const after = one.auroc(weight);
          return [after, margin(after, before)];
        })];
      }, rng, resamples), stopped);
    return {
      interval: intervals[0],
      measures: others.map((one, i) => ({
        auroc: one.auroc(), interval: intervals[1 + 2 * i], before: whole.auroc(), positives: one.positives, negatives: one.negatives,
        outcome: outcomeOf(intervals[2 + 2 * i], one.positives, one.negatives),
      })),
    };
  };

  // held-out sentences, then stretches of ordinary text, which belong to documents of their own
  const { stretches } = read.ordinary;
  const items = {
    score: [...heldout, ...stretches.map(({ score }) => score)],
    positive: [...positive, ...stretches.map(() => 0)],
    document: [...documents, ...stretches.map(({ context }) => sentences.ofToken.length + context)],
  };
  const n = test.of.length;
  const over = (stratum: (i: number) => number): Stratified => stratified(items.score, items.positive, Int32Array.from(items.score, (_, i) => stratum(i)));
  const ofSentences = (stratum: (u: number) => number): Stratified => over((i) => (i < n ? stratum(i) : -1));
  const bins = quantileBins(Array.from(test.of, (s) => (relative ? sentences.relative[s] : sentences.first[s])), BINS);

  const without = withoutTriggers(labelled, triggers);
  const [low, high] = middle([...train.of].filter((_, u) => train.mask[u] & 1).map((s) => sentences.first[s] % context));
  const near = (i: number): boolean => stretches[i - n].position >= low && stretches[i - n].position <= high;
  const { interval, measures: [tokenFree, samePosition, sameDocument, ordinary, nearby] } = await measured(items.document, ofSentences(() => 0), [
    ofSentences((u) => (without.has[u] ? -1 : 0)),
    ofSentences((u) => bins[u]),
    ofSentences((u) => documents[u]),
    over((i) => (i >= n || positive[i] ? 0 : -1)),
    over((i) => (i < n ? (positive[i] ? 0 : -1) : near(i) ? 0 : -1)),
  ]);

  /** Some sentences as the model reads them now, each against the score that it is held to. */
  const again = async (chosen: Int32Array, now: ArrayLike<number>, before: (i: number) => number): Promise<Measure> => {
    const is = Array.from(chosen, (u) => positive[u]);
    const { measures } = await measured(Array.from(chosen, (u) => documents[u]), stratified(Array.from(chosen, (_, i) => before(i)), is), [stratified(now, is)]);
    return measures[0];
  };
  const reached = stretches.filter(({ fired }) => fired).length;
  return {
    heldout: ofSentences(() => 0).auroc(), interval,
    tokenFree: { ...tokenFree, without: without.tokens.map(word) },
    samePosition, sameDocument,
    ordinary: { ...ordinary, tokens: read.ordinary.tokens, stretches: { fired: reached, of: stretches.length }, samePositions: nearby },
    moved: await again(texts.chosen, read.moved, (i) => heldout[texts.chosen[i]]),
    shuffled: await again(texts.chosen, read.shuffled, (i) => read.moved[i]),
    ...(texts.rephrased ? { paraphrased: await again(texts.rephrased.chosen, read.rephrased!, (i) => heldout[texts.rephrased!.chosen[i]]) } : {}),
  };
}

/** Where nine tenths lie. */
function middle(values: number[]): [number, number] {
  values.sort((a, b) => a - b);
  return [values[Math.floor(0.05 * values.length)] ?? 0, values[Math.floor(0.95 * values.length)] ?? 0];
}

/**
 * A latent's trigger tokens by mean activation, on them or on the token after, as many as leave enough sentences of the label and others; and which held-out
 * sentences have one. Where the first alone leaves too few, only that one is taken: nothing can be told then.
 */
function withoutTriggers({ tokenIds, sentences, test }: Labelled, triggers: Record<TriggerKind, Trigger[]>): { tokens: number[]; has: Uint8Array } {
  const ranked = [...triggers.token, ...triggers["token before"]].sort((a, b) => b.mean - a.mean).map(({ tokens }) => tokens[0]);
  const candidates = [...new Set(ranked)].slice(0, WITHOUT);
  const first = new Uint8Array(test.of.length).fill(255); // the first candidate that a sentence has
  const place = new Map(candidates.map((id, i) => [id, i]));
  sentences.ofToken.forEach((of, document) => of.forEach((s, t) => {
    const u = s < 0 ? -1 : test.number[s];
    const at = u < 0 ? undefined : place.get(tokenIds[document][t]);
    if (at !== undefined && at < first[u]) first[u] = at;
  }));
  const positive = positives(test, 0);
  let many = candidates.length;
  const left = (side: number): number => positive.reduce((sum, is, u) => sum + (is === side && first[u] >= many ? 1 : 0), 0);
  while (many > 1 && (left(1) < FEWEST || left(0) < FEWEST)) many--;
  return { tokens: candidates.slice(0, many), has: first.map((at) => (at < many ? 1 : 0)) };
}
