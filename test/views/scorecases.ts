import { logitsTable } from "../../src/core/featurelogits";
import { bestTable, type LatentScore } from "../../src/core/latentscoretable";
import { notedHtml, notedText, type NotedTable } from "../../src/core/noted";
import { promptTable, type PromptFeature } from "../../src/core/promptstatistics";
import { reasonTable } from "../../src/core/reasonscore";
import type { Detector } from "../../src/core/scoretable";
import { visible } from "../../src/core/token";
import type { ViewCase } from "./cases";

/** What scores of latents look like; labels, words and tokens are awkward on purpose. */
const noted = (name: string, table: NotedTable): ViewCase => ({ name, html: notedHtml(table), text: notedText(table) });

const score = (latent: number, more: Partial<LatentScore> = {}): LatentScore => ({
  latent, pooling: "mean", train: 0.91, heldout: 0.874, averagePrecision: 0.41, baseRate: 0.052, tokenAuroc: 0.79, tokenAveragePrecision: 0.11, tokenBaseRate: 0.031, z: 9.31, q: 3.2e-15, permutationP: 0.000999, ...more,
});

const control = (kind: Detector["kind"], what: string, heldout: number): Detector => ({ kind, what, searched: 1, train: heldout, heldout, averagePrecision: 0.604, interval: [0, 1], lead: [0, 1] });

const prompt = (latent: number, more: Partial<PromptFeature> = {}): PromptFeature => ({
  latent, max: 7.31, prompts: 96, topIn: 61, entropy: 3.2, distinctTokens: 17, spread: "many tokens", tokens: "wait , no", ...more,
});

const logits = (texts: string[], sign: number): { text: string; value: number }[] => texts.map((text, i) => ({ text, value: sign * (12.4 / (i + 1)) }));

export const scoreCases: ViewCase[] = [
  noted("best-latents", bestTable({
    label: "back<tracking> & $x$",
    latents: 65_536,
    poolings: 3,
    permutations: 1000,
    heldout: { sentences: 812, documents: 25 },
    controls: [control("keyword", " wait", 0.71), control("random direction", "max", 0.779), control("position", "late", 0.52), control("probe", "logistic, mean", 0.884)],
    scores: [
      score(812),
      score(40, { pooling: "first five", heldout: 0.512, z: -0.0341, q: 0.999, permutationP: 0.42 }),
      score(9, { pooling: "max", train: 0.88, heldout: 1, averagePrecision: 1, z: Infinity, q: 0, permutationP: NaN }),
      score(65_535, { z: NaN, q: NaN, permutationP: 0.0819 }),
    ],
  })),
  noted("best-latents-none", bestTable({ label: "deduction", latents: 8, poolings: 3, permutations: 10, heldout: { sentences: 4, documents: 2 }, controls: [], scores: [] })),
  noted("reasonscore", reasonTable({
    scored: [
      { latent: 812, score: 0.0123, inside: 2.1, outside: 0.00041, entropy: 0.87, groups: { wait: 0.4, "let me": 0.31, "<b>but</b>": 0.2, $x$: 0.05, hmm: 0.04 } },
      { latent: 7, score: -0.00031, inside: 0, outside: 0.2, entropy: 0, groups: {} },
    ],
    latents: 65_536,
    rows: { inside: 4120, outside: 92_476, groups: [900, 400, 300, 100, 0] },
    groups: ["wait", "let me", "<b>but</b>", "$x$", "hmm"],
    alpha: 0.7,
    window: [1, 2],
    norms: false,
  })),
  noted("prompts", promptTable({
    features: [
      prompt(812),
      prompt(3, { max: 1204, entropy: 0.0186, distinctTokens: 1, spread: "few tokens", tokens: "<script>alert(1)</script> ‹E2 80› $5" }),
      prompt(12, { prompts: 3, topIn: 0, entropy: 2.9, distinctTokens: 31, spread: "between", tokens: `שלום 日本 ${visible("\u202e")}` }),
    ],
    spreads: { "few tokens": 4120, "many tokens": 51_002, between: 6011 },
    documents: 100,
    most: 10,
    few: { bits: 3, tokens: 10 },
    by: "maximum",
  })),
  noted("featurelogits", logitsTable({
    latents: [
      { latent: 812, top: logits([" wait", " Wait", " hmm", "\n\n"], 1), bottom: logits([" the", "</pre>", " $x$"], -1) },
      { latent: 3, top: logits(["<script>alert(1)</script>", "‹E2 80›", " שלום", " 日本", "&amp;"], 1), bottom: logits(["\t", "\u200b", "x".repeat(90)], -1) },
    ],
    total: 65_536,
    notes: [
      "Logit of one unit of activation, times the final norm's scale at the position; what the latent does through later blocks is not in it.",
      "The head is the embedding: in early blocks a latent that reads a token can seem to speak for that same token.",
    ],
  })),
];
