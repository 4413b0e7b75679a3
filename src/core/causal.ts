import { wordsOf } from "./controls";
import type { TableView } from "./featuretable";
import { count, short } from "./html";
import type { Pieces } from "./pieces";
import { sample, type Random } from "./random";
import { bootstrapped } from "./stratified";

/** What changes when a latent is taken away or put in: the numbers, and how they are read. */

/** How often any of some words, or of some phrases, stands in a text: whole words, capitals or not. */
export function occurrences(text: string, phrases: string[]): number {
  const words = wordsOf(text);
  let found = 0;
  for (const phrase of phrases) {
    const wanted = wordsOf(phrase);
    if (!wanted.length) continue;
    for (let at = 0; at + wanted.length <= words.length; at++) if (wanted.every((word, i) => words[at + i] === word)) found++;
  }
  return found;
}

export const wordCount = (text: string): number => wordsOf(text).length;

const NEAREST = 20;

/**
 * Latents that fire about as often as another one: at random, of the 20 nearest on a scale of ratios.
 * @param fired of each latent, on the same tokens
 */
export function likeDense(fired: ArrayLike<number>, latent: number, wanted: number, rng: Random): number[] {
  const distance = (other: number): number => Math.abs(Math.log(fired[other] / Math.max(1, fired[latent])));
  const near = Array.from({ length: fired.length }, (_, i) => i)
    .filter((other) => other !== latent && fired[other] > 0)
    .sort((a, b) => distance(a) - distance(b) || a - b)
    .slice(0, Math.max(NEAREST, wanted));
  return Array.from(sample(near.length, wanted, rng), (i) => near[i]);
}

/** Of texts: sum and number of what is averaged over. */
export interface Parts {
  sum: number[];
  of: number[];
}

export interface Mean {
  value: number;
  /** 95 %, bootstrap over texts. NaN of a single text. */
  interval: [number, number];
}

const ratio = ({ sum, of }: Parts, weight?: ArrayLike<number>): number => {
  let [a, b] = [0, 0];
  for (let i = 0; i < sum.length; i++) {
    const w = weight ? weight[i] : 1;
    a += w * sum[i];
    b += w * of[i];
  }
  return b ? a / b : NaN;
};

/** Σ sum ÷ Σ of; with `less`, minus that of the same texts otherwise. */
export function* meanOf(parts: Parts, rng: Random, resamples: number, less?: Parts): Pieces<Mean> {
  const value = (weight?: ArrayLike<number>): number => ratio(parts, weight) - (less ? ratio(less, weight) : 0);
  if (parts.sum.length < 2) return { value: value(), interval: [NaN, NaN] };
  const [interval] = yield* bootstrapped(parts.sum.map((_, i) => i), (weight) => [value(weight)], rng, resamples);
  return { value: value(), interval };
}

/** What one change does to the next token, over the same texts. */
export interface Effect {
  latent: number;
  /** Its new value at all tokens, or a factor. */
  clamp?: number;
  times?: number;
  /** KL(as it is ‖ changed), nats a token. */
  kl: Mean;
  /** Cross-entropy, changed less as it is, nats a token. */
  loss: Mean;
  /** Norm of what is added to a row, on average. */
  norm: number;
}

export interface BehaviourRate {
  name: string;
  /** Of 100 words that the model wrote. */
  rate: Mean;
  /** Changed less as it is, same prompts and random numbers; absent for what is as it is. */
  difference?: Mean;
  /** Continuations with at least one. */
  texts: number;
}

export interface WrittenWay {
  way: "as it is" | "ablated" | "steered" | "control";
  /** Which latent was changed. */
  latent?: number;
  texts: number;
  words: number;
  behaviours: BehaviourRate[];
}

export interface CausalView {
  latent: number;
  hook: string;
  /** Tokens that were read, and on how many of them the latent is active. */
  tokens: number;
  fired: number;
  texts: number;
  ablated: Effect & { controls: Effect[] };
  steered?: Effect & { controls: Effect[] };
  written: WrittenWay[];
}

const range = ([low, high]: [number, number]): string => (Number.isNaN(low) ? "–" : `${short(low)} to ${short(high)}`);
const change = ({ clamp, times }: Effect): string => (times === 0 ? "ablated" : clamp !== undefined ? `held at ${short(clamp)}` : `× ${short(times!)}`);

/** One row a figure, its controls beside it. */
export function causalTable(view: CausalView): TableView {
  const effects = [view.ablated, ...(view.steered ? [view.steered] : [])];
  const rows = effects.flatMap((effect) => {
    const against = (value: (one: Effect) => number): string => effect.controls.map((one) => short(value(one))).join(", ") || "–";
    const beyond = effect.controls.filter((one) => effect.kl.value > one.kl.value).length;
    return [
      [`KL, ${change(effect)}`, short(effect.kl.value), range(effect.kl.interval), against((one) => one.kl.value), `nats a token of ${count(view.tokens)} in ${count(view.texts)} texts; more than ${beyond} of ${effect.controls.length} controls`],
      [`loss, ${change(effect)}`, short(effect.loss.value), range(effect.loss.interval), against((one) => one.loss.value), "nats a token, less that of the model as it is"],
      [`norm, ${change(effect)}`, short(effect.norm), "–", against((one) => one.norm), `of what is added to a row; the latent is active on ${count(view.fired)} tokens`],
    ];
  });
  for (const { way, latent, texts, words, behaviours } of view.written)
    for (const { name, rate, difference, texts: some } of behaviours)
      rows.push([
        `${name}, ${way === "control" ? `control ${latent}` : way}`, short(rate.value), range(rate.interval), "–",
        `in 100 words of ${count(words)}; in ${count(some)} of ${count(texts)} continuations${difference ? `; changed by ${short(difference.value)} (95 %: ${range(difference.interval)})` : ""}`,
      ]);
  return { columns: [`latent ${view.latent} at ${view.hook}`, "value", "95 %", "controls", "what it says"], rows, total: rows.length, words: true };
}
