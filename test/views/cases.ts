import { type FeatureList } from "../../src/adapters/show";
import { comparisonTable, evaluationTable, type ComparedSae } from "../../src/core/evaluationtable";
import { featureRows, FEATURE_COLUMNS, tableHtml, tableText } from "../../src/core/featuretable";
import {
  heatMapHtml,
  heatMapText,
  heatMapView,
  type HeatMap,
  type HeatMapOptions,
  type ShownFeature,
  type Words,
} from "../../src/core/heatmap";
import { foldHooks, hookTable, hookTableHtml } from "../../src/core/hooktable";
import { attributionHtml, attributionText, lensHtml, lensText, type AttributionView, type LensView } from "../../src/core/lensview";
import { rowsTable, writtenHtml, writtenText } from "../../src/core/passview";
import { preflightHtml, preflightText, verdictOn, type PlaceMeasures } from "../../src/core/preflight";
import { probesHtml, probesText, type ProbesView } from "../../src/core/probetable";
import {
  scoresHtml,
  scoresText,
  verdictOf,
  type Detector,
  type LabelScore,
  type ScoresView,
} from "../../src/core/scoretable";
import { visible } from "../../src/core/token";
import { scoreCases } from "./scorecases";
import { falsifyCases } from "./falsifycases";
import { traceHtml, traceText, traceView } from "../../src/core/trace";
import { trainingHtml, trainingText, type TrainingState, type TrainingView } from "../../src/core/trainingview";
import { doctorCases } from "./doctorcases";
import { tableCases } from "./tablecases";
import type { Document, Example, GeneratedDocument, HookRow, TrainingPoint } from "../../src/core/types";
import { featureCases } from "./featurecases";

/**
 * One case each of what a cell can show; `npm run views` draws them anew. The page beside it is what it must look like,
 * byte by byte.
 */
export interface ViewCase {
  name: string;
  html: string;
  text?: string;
  features?: FeatureList;
}

// a vocabulary of everything that is awkward to show: spaces, breaks, markup, dollar signs, halves of characters, wide
// and right-to-left letters
const VOCABULARY = [
  " wait",
  ",",
  " no",
  ".",
  "\n\n",
  "\t",
  " the",
  " total",
  " is",
  " 12",
  "<think>",
  "</think>",
  " <script>alert(1)</script>",
  " $5",
  " and $x$",
  "&amp;",
  "‹E2 80›",
  "  ",
  "trailing ",
  " é",
  " 日本",
  " שלום",
  "\u200b",
  ' "quoted"',
  " so",
  " back",
  " check",
  " it",
  " again",
  "'s",
];
const words: Words = {
  token: (id) => VOCABULARY[id],
  document: (index) => ["gsm-17", "a <b> document", "held out 3"][index] ?? `doc-${index}`,
};

const example = (tokens: number[], values: number[], more: Partial<Example> = {}): Example => ({
  tokens: Int32Array.from(tokens),
  values: Float32Array.from(values),
  peak: values.indexOf(Math.max(...values)),
  document: 0,
  position: 40,
  count: 1,
  ...more,
});

const backtracking: ShownFeature = {
  latent: 812,
  label: "correlates with backtracking",
  density: 0.0041,
  mean: 2.1,
  max: 7.31,
  histogram: {
    edges: [0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8],
    counts: [1, 0, 3, 12, 44, 80, 130, 190, 220, 160, 120, 70, 40, 22, 9, 4],
  },
  top: [
    example([24, 6, 7, 8, 9, 3, 0, 1, 2, 1, 26, 27, 28, 3], [0, 0, 0, 0, 0, 0.4, 7.31, 4.1, 5.2, 1.1, 0.2, 0, 0, 0]),
    example([4, 0, 1, 6, 7, 29, 25, 8, 9], [1.2, 6.9, 3.3, 0, 0, 0, 0, 0, 0], { document: 1, position: 0, count: 14 }),
    example([12, 13, 14, 15, 0, 16, 17, 18, 5], [0.1, 0, 0, 0.3, 5.05, 2.4, 3.7, 0.2, 0], { document: 2, position: 1203 }),
    example([20, 21, 22, 23, 19, 0, 20, 2], [0, 0, 0, 0, 0, 4.9, 0, 2.5], { document: 7 }),
  ],
  more: [
    { name: "75–100 %", examples: [example([6, 7, 2, 1, 26, 27], [0, 0, 4.4, 1.2, 0, 0])] },
    { name: "0–25 %", examples: [example([24, 8, 9, 3, 4], [0, 0, 0, 0.6, 0], { document: 1, position: 8 })] },
    { name: "random", examples: [example([0, 1, 2, 3], [1.9, 0.4, 0, 0], { position: 0, count: 2 })] },
  ],
};
const dead: ShownFeature = { latent: 3, density: 0, mean: 0, max: 0, histogram: { edges: [], counts: [] }, top: [] };
const dense: ShownFeature = {
  latent: 40,
  density: 0.6,
  mean: 31.5,
  max: 1204,
  histogram: { edges: [16, 20, 24], counts: [5000, 900] },
  top: [example([10, 24, 6, 7, 8, 9, 3], [1204, 900, 850, 700, 640, 610, 500], { position: 0 })],
};
const list = (features: ShownFeature[]): FeatureList => Object.assign([...features], { words });

const heat = (name: string, features: ShownFeature[], options: HeatMapOptions = {}): ViewCase => {
  const view: HeatMap = heatMapView(features, words, options);
  return {
    name,
    html: heatMapHtml(view, options),
    text: heatMapText(view, { ...options, color: false }),
    features: list(features),
  };
};

const documents: Document[] = [
  {
    id: "trace <1>",
    text: "How many?\n<think>\nSo we want the total. 5 + $7 = 12. Wait, no: the box has & <b>two</b>.\n  Let me check again.\n</think>\n12",
    spans: [
      { start: 18, end: 39, label: "initializing" },
      { start: 40, end: 52, label: "deduction" },
      { start: 53, end: 88, label: "backtracking" },
      { start: 91, end: 110, label: "example-testing" },
    ],
  },
];
const offsets = ((): { start: number[]; end: number[] } => {
  const pieces = documents[0].text.match(/\s*\S+|\s+$/g)!;
  let at = 0;
  const start = pieces.map((piece) => (at += piece.length) - piece.length);
  return { start, end: start.map((s, i) => s + pieces[i].length) };
})();

const detector = (
  kind: Detector["kind"],
  what: string,
  train: number,
  heldout: number,
  averagePrecision: number,
  lead: [number, number] = [0.02, 0.09],
): Detector => ({
  kind,
  what,
  searched: 3072,
  train,
  heldout,
  averagePrecision,
  interval: [heldout - 0.03, heldout + 0.02],
  lead,
});
const scoreOf = (
  label: string,
  latent: number,
  baseRate: number,
  positives: number,
  detectors: Detector[],
): LabelScore => ({
  label,
  latent,
  pooling: "max",
  positives: { train: 5 * positives, heldout: positives },
  baseRate,
  detectors,
  ...verdictOf(detectors, positives),
});
const scores: ScoresView = {
  latents: 1024,
  poolings: 3,
  train: { sentences: 31_234, documents: 3_600 },
  heldout: { sentences: 3_470, documents: 400 },
  skipped: 2,
  leftOut: ["adding-<knowledge>"],
  labels: [
    scoreOf("backtracking", 812, 0.071, 240, [
      detector("latent", "812, max", 0.94, 0.932, 0.71, [0, 0]),
      detector("keyword", " <wait>", 0.76, 0.752, 0.3),
      detector("random direction", "mean", 0.81, 0.79, 0.25),
      detector("position", "late", 0.62, 0.61, 0.1),
      detector("length", "short", 0.55, 0.56, 0.08),
      detector("text model", "words and pairs of words", 0.95, 0.91, 0.7),
      detector("difference of means", "mean", 0.93, 0.925, 0.6),
      detector("probe", "logistic, mean", 0.99, 0.985, 0.93),
    ]),
    scoreOf("initializing", 17, 0.16, 560, [
      detector("latent", "17, first five", 0.9, 0.88, 0.62, [0, 0]),
      { ...detector("keyword", " and", 0.7, 0.69, 0.4), absent: true },
      detector("random direction", "max", 0.86, 0.86, 0.55, [-0.01, 0.05]),
      detector("position", "near the beginning", 0.95, 0.951, 0.8),
      detector("length", "long", 0.5, 0.5, 0.16),
      detector("text model", "words and pairs of words", 0.9, 0.87, 0.6),
      detector("difference of means", "mean", 0.93, 0.9, 0.6),
      detector("probe", "logistic, mean", 0.99, 0.97, 0.9),
    ]),
    scoreOf("example-testing", 5, 0.003, 9, [detector("latent", "5, mean", 0.8, NaN, NaN)]),
  ],
};

const seen = (token: number, probability: number, next?: number): LensView["rows"][number]["cells"][number] => ({
  top: [{ token, probability }, { token: 11, probability: probability / 4 }],
  ...(next === undefined ? {} : { next: { token: next, rank: next === token ? 1 : 1204, logProbability: Math.log(next === token ? probability : 2e-4) } }),
  targets: [{ token: 13, rank: 2, logProbability: -1.5 }],
  kl: 2.5 * (1 - probability),
});

const lens: LensView = {
  from: 0,
  tokens: [12, 13, 4, 20].map((token) => visible(VOCABULARY[token])),
  targets: [13],
  word: (token) => visible(VOCABULARY[token]),
  rows: [
    { hook: "embed_tokens", cells: [seen(12, 0.04, 13), seen(4, 0.08, 4), seen(16, 0.002, 20), seen(17, 0.2)] },
    { hook: "layers.0", cells: [seen(0, 0.31, 13), seen(5, 0.5, 4), seen(20, 0.7, 20), seen(22, 0.99)] },
  ],
};

const shares: AttributionView = {
  title: "logit of “ <b>” after position 15",
  total: 8.956,
  parts: [
    { name: "embed_tokens", value: 1.68 },
    { name: "layers.0.self_attn", value: -4.2, heads: [-3, -1.5, 0.2], bias: 0.1 },
    { name: "layers.0.mlp", value: 11.4 },
    { name: "norm.bias", value: 0.076 },
  ],
  notes: ["Remainder 1.0e-7."],
};

const places: HookRow[] = [
  { name: "embed_tokens", kind: "embed", layer: -1, transformerLens: "hook_embed", width: 8, shape: "[tokens, 8]" },
  ...[0, 1, 2].flatMap((layer): HookRow[] => [
    { name: `layers.${layer}.attn.pattern`, kind: "pattern", layer, transformerLens: `blocks.${layer}.attn.hook_pattern`, width: 2, shape: "[2, query, key]", missing: "the file's graph has one <fused> node for the attention" },
    { name: `layers.${layer}`, kind: "resid_post", layer, transformerLens: `blocks.${layer}.hook_resid_post`, width: 8, shape: "[tokens, 8]", ...(layer === 2 ? { readOnly: "nothing after it reads it & stays" } : {}) },
  ]),
  { name: "logits", kind: "logits", layer: 3, width: 30, shape: "[tokens, 30]", note: "before the cap" },
];
const folded = foldHooks(places);
const given = rowsTable([
  { name: "layers.0", kind: "resid_post", width: 2, data: Float32Array.of(3, -4, 0, 1e-8, 1234.5, 0.5) },
  { name: "blocks.0.attn.hook_pattern", kind: "pattern", width: 1, data: Float32Array.of(1, 0, 0.25, 0.75, 1) },
], [2, 1]);
const generated: GeneratedDocument[] = [
  { id: "prompt-0", text: "<|user|>\nIs 221 <b>prime</b>?\n13 · 17 = 221 & $5", spans: [], prompt: 30 },
  { id: "gsm-17", text: "日本", spans: [], prompt: 1, ids: Int32Array.of(20, 21), rows: { "layers.0": new Float32Array(2_000_000) } },
];

const measured = (hook: string, fvu: number, more: Partial<PlaceMeasures> = {}): PlaceMeasures => ({
  hook, fvu, l0: 32, dead: 0.41, dense: 0.004, rows: 1991, outlier: 4.76, ...more,
});
/** The R1 SAE's mistake: the residual stream where the MLP's output is meant. */
const mistaken = [
  measured("layers.10", 1.83, { dense: 0.0213, outlier: 412 }), measured("layers.10", 1.71, { other: "b_dec not subtracted" }),
  measured("layers.9.mlp", 0.6, { rows: 256 }), measured("layers.10.mlp", 0.21), measured("layers.10.mlp", 0.24, { other: "b_dec not subtracted" }), measured("layers.11.mlp", NaN),
];
const refused = verdictOn(mistaken, { hook: "layers.10.mlp", l0: 32, fvu: 0.2 });
const fitting = [measured("layers.10.mlp", 0.21), measured("layers.10", 1.83)];

const evaluated: ComparedSae = {
  name: "EleutherAI 65k", kind: "topk", latents: 65_536, hook: "layers.10.mlp", fvu: 0.2134, explainedVariance: 0.7866, explainedVarianceLegacy: 0.741, mse: 31.2, cosine: 0.887,
  l2NormIn: 17.9, l2NormOut: 15.2, l2Ratio: 0.851, relativeReconstructionBias: 0.93, l0: 32, l1: 118.4, dead: 0.4105, dense: 0.0004, rows: 18_812,
  splice: {
    target: "layers.10.mlp", loss: { original: 1.942, sae: 2.051, zero: 3.62, mean: 2.63 }, kl: { sae: 0.118, zero: 1.71, mean: 0.74 },
    lossRecovered: 0.935, klRecovered: 0.931, lossRecoveredOverMean: 0.842, klRecoveredOverMean: 0.841, tokens: 8_100, predicted: 8_011,
  },
};
const comparedSaes: ComparedSae[] = [
  evaluated,
  { ...evaluated, name: "ours <b>", latents: 12_288, fvu: 0.178, cosine: 0.912, l2Ratio: 0.902, dead: 0, splice: { ...evaluated.splice!, lossRecovered: 0.951, kl: { ...evaluated.splice!.kl, sae: 0.091 } } },
  { ...evaluated, name: "transcoder", kind: "jumprelu transcoder", hook: "layers.10.mlp.in", target: "layers.10.mlp", l0: 41.37, fvu: 0.334, splice: undefined },
];
const harmless: ComparedSae = { ...evaluated, fvu: 1.83, explainedVariance: -0.83, relativeReconstructionBias: 1.4, splice: { ...evaluated.splice!, loss: { original: 1.9, sae: 2.4, zero: 1.8, mean: 1.95 }, lossRecovered: NaN, lossRecoveredOverMean: -9 } };
const probe = (accuracy: number, auroc: number, averagePrecision: number) => ({ accuracy, auroc, averagePrecision });
const sparse = (k: number, score: ReturnType<typeof probe>, latents: number[]) => ({ k, latents, weights: latents.map(() => 1), bias: 0, train: score, heldout: score, random: probe(0.84, 0.61, 0.22) });
const probes: ProbesView = {
  labels: [
    { label: "backtracking", positives: { train: 402, heldout: 51 }, baseRate: 0.049, majority: 0.951, dense: probe(0.958, 0.91, 0.6), sparse: [sparse(1, probe(0.951, 0.77, 0.41), [812]), sparse(5, probe(0.953, 0.824, 0.507), [812, 3, 40_061, 9, 77])] },
    { label: "initializing", positives: { train: 90, heldout: 12 }, baseRate: 0.0114, majority: 0.9886, dense: probe(0.99, 0.97, 0.72), sparse: [sparse(1, probe(0.98, 0.55, 0.02), [5]), sparse(5, probe(0.98, 0.6, 0.03), [5, 6, 7, 8, 9])] },
  ],
  train: { sentences: 8_212, documents: 90 }, heldout: { sentences: 1_044, documents: 10 }, latents: 65_536, draws: 5, leftOut: ["example-testing"],
};

/** A training as it might go: FVU falls from 1 to `end` by a power of the tokens, latents die late. */
const training = (name: string, end: number, more: Partial<TrainingState> = {}): TrainingState => {
  const { done = 1_200_000, total = 4_000_000 } = more;
  const count = 60;
  const points = Array.from({ length: count }, (_, i): TrainingPoint => {
    const tokens = Math.round((done * (i + 1)) / count);
    const fvu = end + (1 - end) * (1 + tokens / 2e4) ** -1.3 + 0.01 * end * Math.sin(3 * i);
    return { step: i * 20, tokens, fvu, dead: 0.08 * Math.max(0, tokens / total - 0.1), learningRate: 1e-3, loss: 1.06 * fvu, l0: 32 };
  });
  return { name, done, total, points, rate: 52_300, secondsLeft: (total - done) / 52_300, ...more };
};
const viewOf = (states: TrainingState[], title?: string): TrainingView => ({ title, states, latest: states.at(-1)!, seconds: 76.5, moved: states[0].done });
const over = { done: 4_000_000, rate: 0, secondsLeft: 0, finished: true };
const old = training("layers.3", 0.2).points.slice(0, 2).map(({ loss, l0, ...point }) => point);
const trainings: Record<string, TrainingView> = {
  "training": viewOf([training("layers.10.mlp <topk> & $5", 0.18)], "sae"),
  "training-several": viewOf([
    training("topk k 32", 0.18, over), training("batchtopk k 32", 0.17, over),
    training("matryoshka 512 | 2048 | 8192", 0.26, over), training("jumprelu, of a name that is much too long for its panel", 0.22, over),
  ]),
  "training-stopped": viewOf([
    { ...training("topk", 0.18), finished: true, note: "interrupted at step 1180: the SAE is in `sae`", secondsLeft: Infinity },
    { ...training("lr <0.1>", 0.4, { done: 300_000 }), finished: true, note: "loss was no number at step 300", points: [...training("", 0.4, { done: 300_000 }).points.slice(0, 9), { step: 200, tokens: 250_000, fvu: NaN, dead: 0.02, learningRate: 1 }] },
  ]),
  "training-begins": viewOf([{ name: "layers.3", done: 0, total: 4_000_000, points: [], rate: 0, secondsLeft: Infinity }]),
  "training-many": viewOf([...Array.from({ length: 26 }, (_, i) => training(`seed ${i}`, 0.5 + 0.01 * i, { points: training("", 0.5 + 0.01 * i).points.slice(20, 26) })), { ...training("old file", 0.5), points: old }]),
};

export const cases: ViewCase[] = [
  heat("heatmap", [backtracking, dense, dead]),
  heat("heatmap-wrap", [backtracking], { layout: "wrap", context: 5 }),
  heat(
    "heatmap-left-out",
    Array.from({ length: 6 }, (_, i) => ({ ...backtracking, latent: i })),
    { count: 5, bytes: 9_000 },
  ),
  heat("heatmap-none", []),
  {
    name: "featuretable",
    html: tableHtml({
      columns: FEATURE_COLUMNS,
      total: 4096,
      rows: featureRows({
        rows: 100_000,
        fired: Int32Array.of(410, 0, 60_000),
        mean: Float32Array.of(2.1, 0, 31.5),
        max: Float32Array.of(7.31, 0, 1204),
        entropy: Float32Array.of(3.2, 0, 9.1),
        distinct: Int32Array.of(17, 0, 88),
        trigger: Int32Array.of(0, 2, 12, -1, -1, -1, -1, -1, -1, -1, 10, 4, 18, 20, 6),
        words,
      }),
    }),
  },
  { name: "scores", html: scoresHtml(scores), text: scoresText(scores) },
  ...scoreCases,
  { name: "trace", html: traceHtml(traceView(documents[0])), text: traceText(traceView(documents[0]), false) },
  (() => {
    const view = traceView(documents[0], ["deduction", "backtracking", "initializing", "example-testing"], {
      ...offsets,
      values: offsets.start.map((s) => (s > 50 && s < 80 ? (s % 7) + 1 : 0)),
      latent: 812,
      max: 7.5,
    });
    return { name: "trace-shaded", html: traceHtml(view), text: traceText(view, false) };
  })(),
  { name: "lens", html: lensHtml(lens), text: lensText(lens, false) },
  { name: "lens-left-out", html: lensHtml(lens, 2_500), text: lensText({ ...lens, tokens: Array(20).fill("x"), rows: [{ hook: "layers.0", cells: Array(20).fill(seen(0, 0.3)) }] }, false) },
  { name: "attribution", html: attributionHtml(shares), text: attributionText(shares) },
  { name: "hooks", html: hookTableHtml(folded), text: hookTable(folded) },
  { name: "rows", html: tableHtml(given), text: tableText(given) },
  { name: "evaluation", html: tableHtml(evaluationTable(evaluated, "heldout", 65_536)), text: tableText(evaluationTable(evaluated, "heldout", 65_536)) },
  { name: "evaluation-misplaced", html: tableHtml(evaluationTable(harmless, "all", 65_536)), text: tableText(evaluationTable(harmless, "all", 65_536)) },
  { name: "comparison", html: tableHtml(comparisonTable(comparedSaes)), text: tableText(comparisonTable(comparedSaes)) },
  { name: "probes", html: probesHtml(probes), text: probesText(probes) },
  { name: "preflight", html: preflightHtml(mistaken, refused), text: preflightText(mistaken, refused) },
  { name: "preflight-fits", html: preflightHtml(fitting, verdictOn(fitting, {})), text: preflightText(fitting, verdictOn(fitting, {})) },
  ...Object.entries(trainings).map(([name, view]) => ({ name, html: trainingHtml(view), text: trainingText(view) })),
  { name: "written", html: writtenHtml(generated, { "layers.0": 1000 }), text: writtenText(generated, { "layers.0": 1000 }, false) },
  ...featureCases,
  ...falsifyCases,
  ...tableCases,
  ...doctorCases,
];
