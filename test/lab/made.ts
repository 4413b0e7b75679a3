import type { BrowserView } from "../../src/core/browser";
import type { HeatMapExample, HeatMapFeature } from "../../src/core/heatmap";
import { random as seeded } from "../../src/core/random";

/** Features as a collection gives them, drawn by chance; some tokens would break a page that does not escape them. */

const WORDS = (" wait , no . the total is 12 so we have to check again that x equals y because of alternatively hmm let me think maybe this step gives three apples per box and it was not right actually " +
  "sum over all terms first then divide by two which leaves seven").split(" ").filter(Boolean).map((word) => (/^[.,]$/.test(word) ? word : ` ${word}`));
export const HOSTILE = ["<script>globalThis.evil = 1</script>", "</pre></div><img src=x onerror='globalThis.evil = 2'>", "\u202eRTL\u2066", "‹E2 80›", "$x^2$ and $5", "\n\n", "\t", "&amp;", "\"'`", "a".repeat(10_000), " שלום", " 日本"];

export interface Made {
  count: number;
  examples?: number; // 12
  tokens?: number; // 22
  hostile?: boolean; // false
  seed?: number;
}

export function madeFeatures({ count, examples = 12, tokens = 22, hostile = false, seed = 0 }: Made): HeatMapFeature[] {
  const { uniform: random } = seeded(seed);
  const pick = <T>(list: T[]): T => list[Math.floor(random() * list.length)];
  return Array.from({ length: count }, (_, place) => {
    const max = 1 + 20 * random();
    const favourite = pick(WORDS);
    const example = (rank: number): HeatMapExample => {
      const peak = Math.floor(tokens / 2);
      const texts = Array.from({ length: tokens }, (_, i) => (i === peak ? favourite : hostile && random() < 0.2 ? pick(HOSTILE) : pick(WORDS)));
      const values = texts.map((_, i) => (i === peak ? max * (1 - rank / (3 * examples)) : random() < 0.2 ? max * random() * 0.6 : 0));
      return { tokens: texts, values, peak, count: rank === 1 ? 3 : 1, document: hostile && rank === 2 ? "a <b> document" : `gsm-${Math.floor(random() * 900)}`, position: Math.floor(random() * 400) + peak, goesOn: true };
    };
    const counts = Array.from({ length: 20 }, (_, b) => Math.round(300 * random() * Math.exp(-(((b - 8) / 5) ** 2))) + 1);
    return {
      latent: (place * 7919 + 13) % 65_536, density: 0.0005 + 0.02 * random() ** 3, mean: max / 3, max,
      histogram: { edges: Array.from({ length: 21 }, (_, b) => (max * 1.3 ** b) / 1.3 ** 20), counts },
      ...(place % 3 === 0 ? { label: hostile ? "correlates with <b>label</b>" : "correlates with backtracking" } : {}),
      ...(place % 5 === 0 ? { verdict: place % 2 ? "token detector" : "survives" } : {}),
      ...(place % 2 === 0 ? { logits: { top: [{ text: favourite, value: 1.2 }, { text: hostile ? HOSTILE[0] : " again", value: 0.8 }], bottom: [{ text: " so", value: -0.7 }] } } : {}),
      tokenShares: [{ text: favourite, share: 0.3 + 0.4 * random() }, { text: pick(WORDS), share: 0.1 }],
      groups: [{ name: "top", examples: Array.from({ length: examples }, (_, rank) => example(rank)) }],
    };
  });
}

export function madeBrowser(made: Made): BrowserView {
  const { uniform: random } = seeded(made.seed ?? 0, 1);
  const features = madeFeatures(made);
  const numbers = (of: (feature: HeatMapFeature) => number): Float32Array => Float32Array.from(features, of);
  return {
    id: "made", of: 65_536, sort: "max", features, notes: ["Made by chance, for a test."],
    columns: [
      { name: "latent", values: numbers(({ latent }) => latent) },
      { name: "density", values: numbers(({ density }) => density) },
      { name: "max", values: numbers(({ max }) => max) },
      { name: "entropy", values: numbers(() => 10 * random()) },
      { name: "tokens", values: features.map(({ tokenShares }) => tokenShares![0].text.trim()) },
      { name: "label", values: features.map(({ label }) => label) },
      { name: "verdict", values: features.map(({ verdict }) => verdict) },
      { name: "AUROC backtracking", values: numbers(() => (random() < 0.1 ? NaN : 0.5 + 0.4 * random())) },
    ],
  };
}
