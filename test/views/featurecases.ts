import { documentHtml, documentText, documentView, type DocumentLatent } from "../../src/core/documentview";
import { cardHtml, cardText, type CardView } from "../../src/core/featurecard";
import { featureView, heatMapHtml, heatMapText, heatMapView, type HeatMapOptions, type ShownFeature, type Words } from "../../src/core/heatmap";
import { textHtml, textText, type TextLatent, type TextView } from "../../src/core/textview";
import type { Document, Example } from "../../src/core/types";

/** Cases of the views of features: real words, and the tokens that break pages. */

export const HOSTILE = ["<script>alert(1)</script>", "</pre></div>", "\u202e\u2067 backwards", "‹E2 80›", "x".repeat(10_000), '" onmouseover="alert(1)', "$x$ \\(y\\)", "&lt;b&gt;", "\u0000\u001b[31m", " שלום", "👩‍👩‍👧 日本", "\n\n"];

const VOCABULARY = [" wait", ",", " no", ".", " the", " total", " is", " 12", " Let", " me", " check", " again", " so", " it", "'s", " 15", "\n\n", " Hmm", ...HOSTILE];
const words: Words = { token: (id) => VOCABULARY[id], document: (index) => ["gsm-17", "</pre> <b>2", "\u202egsm"][index] ?? `doc-${index}` };
const ids = (text: string): number[] => text.split("|").map((token) => VOCABULARY.indexOf(token));

const example = (text: string, values: number[], more: Partial<Example> = {}): Example => ({
  tokens: Int32Array.from(ids(text)), values: Float32Array.from(values), peak: values.indexOf(Math.max(...values)), document: 0, position: 40, count: 1, ...more,
});

const STATS = { density: 0.0041, mean: 2.1, max: 7.31, histogram: { edges: [0.5, 1, 2, 4, 8], counts: [60, 500, 700, 140] } };

export const known: ShownFeature = {
  latent: 812, label: "correlates with backtracking", verdict: "survives", ...STATS, documents: 231,
  tokenShares: [{ text: " wait", share: 0.41 }, { text: " Wait", share: 0.22 }, { text: " no", share: 0.09 }, { text: " Hmm", share: 0.05 }, { text: "\n\n", share: 0.03 }],
  logits: {
    top: [" no", " maybe", " actually", " perhaps", " hold", " mistake"].map((text, i) => ({ text, value: 1.31 - i / 7 })),
    bottom: [" therefore", " finally", "答", "</think>", " QED", " Thus"].map((text, i) => ({ text, value: -1.02 + i / 9 })),
  },
  position: { mean: 212.4, early: 0.012, deciles: [0.02, 0.05, 0.09, 0.11, 0.13, 0.14, 0.14, 0.13, 0.11, 0.08] },
  top: [
    example(" so| the| total| is| 12|.| wait|,| no|,| check| it| again|.", [0, 0, 0, 0, 0, 0.4, 7.31, 4.1, 5.2, 1.1, 0.2, 0, 0, 0], { goesOn: true }),
    example("\n\n| wait|,| the| total|'s| 15", [1.2, 6.9, 3.3, 0, 0, 0, 0], { document: 4, position: 0, count: 14 }),
    example(" it| is| 15|.| Hmm|,| wait|,| Let| me| check|.", [0, 0, 0, 0.2, 2.4, 0.9, 5.6, 2.2, 0.8, 0.05, 0.3, 0], { document: 3, position: 301 }),
  ],
  more: [{ name: "75–100 %", examples: [example(" the| total| no|,| check| it", [0, 0, 4.4, 1.2, 0, 0])] }, { name: "random", examples: [example(" wait|,| no|.", [1.9, 0.4, 0, 0], { position: 0, count: 2 })] }],
};

export const hostile: ShownFeature = {
  latent: 5, label: '<img src=x onerror="alert(1)">\u202e', verdict: "</pre><script>", ...STATS, density: 0.21, documents: 1,
  tokenShares: HOSTILE.slice(0, 5).map((text, i) => ({ text, share: 0.6 - i / 8 })),
  logits: { top: HOSTILE.slice(0, 6).map((text, i) => ({ text, value: 2 - i / 3 })), bottom: HOSTILE.slice(6).map((text, i) => ({ text, value: i / 3 - 3 })) },
  position: { mean: 1.2, early: 0.93, deciles: [1, 0, 0, 0, 0, 0, 0, 0, 0, 0] },
  top: HOSTILE.map((token, i) => example(` the|${token}| is|${HOSTILE[(i + 1) % HOSTILE.length]}|.`, [0.1, 7.31 - i / 2, 0, 2.2, 0.4], { document: i % 3, position: i })),
  more: [{ name: "random", examples: [example(HOSTILE.join("|"), HOSTILE.map((_, i) => i / 2))] }],
};

/** Each latent's activations by token: "3:1.2 7:0.4". */
const sparse = (length: number, values: Record<number, number>): Float32Array => Float32Array.from({ length }, (_, i) => values[i] ?? 0);

const typed = [" so", " the", " total", " is", " 12", ".", " wait", ",", " no", ",", " Let", " me", " check", " again", "."];
const latent = (number: number, max: number, values: Record<number, number>, more: Partial<TextLatent> = {}): TextLatent => ({ latent: number, max, values: sparse(typed.length, values), ...more });
export const text: TextView = {
  hook: "layers.10.mlp", tokens: typed, skipped: 1, of: "collection", top: 4, notes: ["2 latents that fire on more than a tenth of the collection’s rows are passed over; { dense: true } shows them."],
  latents: [
    latent(812, 7.31, { 5: 0.4, 6: 7.1, 7: 4.1, 8: 5.2, 9: 1.1 }, { label: "correlates with backtracking", verdict: "survives", density: 0.0041 }),
    latent(40_061, 12, { 10: 8.4, 11: 9.1, 12: 11.4, 13: 3.2 }, { label: "checking the work", density: 0.0102 }),
    latent(77, 30, { 2: 2.1, 4: 17.4 }, { density: 0.03 }),
    latent(9, 5, { 1: 0.7, 2: 2.2, 3: 0.9, 6: 0.5 }, { density: 0.09 }),
    latent(3, 9, { 5: 2.2, 14: 2.6, 7: 1.1, 9: 1 }, { verdict: "token detector", density: 0.08 }),
  ],
};
const hostileText: TextView = {
  hook: "layers.0", tokens: HOSTILE, skipped: 0, of: "text", top: 3, notes: [],
  latents: [5, 6].map((n) => ({ latent: n, max: 6, label: '<img src=x onerror="alert(1)">', values: Float32Array.from(HOSTILE, (_, i) => (n * i) % 7) })),
};

const trace: Document = {
  id: "gsm-17",
  text: "<think>\nSo we want the total of both boxes. The first box has 5 pens and the second one has 7, so 5 + 7 = 12.\n\nWait, no: the second box holds two rows of 7. Let me check again. Two rows of 7 are 14, and 5 + 14 = 19.\n\nHmm, is the lid counted? I think it is not. So the answer is 19.\n</think>\n19",
  spans: [],
};
const sentence = (from: string, to: string, label: string): void => void trace.spans!.push({ start: trace.text.indexOf(from), end: trace.text.indexOf(to) + to.length, label });
sentence("So we want", "boxes.", "initializing");
sentence("The first box", "= 12.", "deduction");
sentence("Wait, no", "of 7.", "backtracking");
sentence("Let me", "again.", "example-testing");
sentence("Two rows of 7 are", "= 19.", "deduction");
sentence("Hmm", "counted?", "uncertainty-estimation");

const tokenOffsets = ({ text }: Pick<Document, "text">): { start: number[]; end: number[] } => {
  let at = 0;
  const pieces = text.match(/\n+|\s?[^\s,.:?]+|[,.:?]|\s/g)!;
  const start = pieces.map((piece) => (at += piece.length) - piece.length);
  return { start, end: start.map((from, i) => from + pieces[i].length) };
};
const offsets = tokenOffsets(trace);
const firing = (number: number, max: number, found: Record<string, number>, more: Partial<DocumentLatent> = {}): DocumentLatent => ({
  latent: number, max, ...more,
  values: Float32Array.from(offsets.start, (start, t) => found[trace.text.slice(start, offsets.end[t]).trim() || "↵"] ?? 0),
});
export const documents = documentView(trace, offsets, [
  firing(812, 7.31, { Wait: 7.1, no: 5.2, Hmm: 6.1, again: 1.2 }, { label: "correlates with backtracking", verdict: "survives" }),
  firing(40_061, 12, { Let: 8.4, me: 9.1, check: 11.4, again: 3.2, counted: 4, "?": 7 }, { label: "checking the work" }),
  firing(77, 30, { "12": 17.4, "19": 28.1, "14": 20, "7": 6, "5": 4 }),
  firing(3, 9, { ".": 2.6, "↵": 8, "=": 3, so: 6, So: 8.5, no: 4 }, { verdict: "token detector" }),
  firing(6, 9, { no: 3 }),
  firing(9, 9, {}),
], ["Tokens whose rows were dropped are not shaded."]);
const hostileDocument = documentView(
  { id: "</pre>\u202e", text: HOSTILE.join(" "), spans: [{ start: 0, end: 30, label: "<b>doubt</b>" }, { start: 20, end: 99_999, label: "\u202e" }] },
  tokenOffsets({ text: HOSTILE.join(" ") }),
  [5, 6].map((n) => ({ latent: n, max: 6, label: '<img src=x onerror="alert(1)">', verdict: "</pre>", values: Float32Array.from(tokenOffsets({ text: HOSTILE.join(" ") }).start, (_, i) => (n * i) % 7) })),
);

const card = (feature: ShownFeature, more: Partial<CardView> = {}): CardView => ({
  feature: featureView(feature, words, { context: "whole" }), latents: 65_536, hook: "layers.10.mlp", rows: 1_000_000, entropy: 3.2,
  triggers: [{ text: " wait", mean: 5.1 }, { text: " Wait", mean: 4.6 }, { text: " no", mean: 2.2 }],
  together: [{ latent: 40_061, label: "checking the work", count: 1204, score: 0.271 }, { latent: 3, count: 88, score: 0.0512 }],
  columns: [{ name: "AUROC backtracking", value: 0.871 }, { name: "ReasonScore", value: 0.00041 }, { name: "note", value: "looks at <b>" }], ...more,
});
const hostileCard = card(hostile, {
  triggers: HOSTILE.map((text) => ({ text, mean: 1 })), together: HOSTILE.map((label, i) => ({ latent: i, label, count: 5, score: 0.1 })), columns: HOSTILE.map((text) => ({ name: text.slice(0, 20), value: text })),
});
const dead = card({ latent: 9, density: 0, mean: 0, max: 0, histogram: { edges: [], counts: [] }, top: [] }, { entropy: 0, triggers: [], together: [], columns: [] });

interface FeatureCase {
  name: string;
  html: string;
  text?: string;
}

const heat = (name: string, features: ShownFeature[], options: HeatMapOptions = {}): FeatureCase => {
  const view = heatMapView(features, words, options);
  return { name, html: heatMapHtml(view, options), text: heatMapText(view, { color: false }) };
};

export const featureCases: FeatureCase[] = [
  heat("heatmap-facts", [known]),
  heat("heatmap-log", [known], { shading: "log", context: "whole" }),
  heat("heatmap-hostile", [hostile]),
  { name: "text", html: textHtml(text), text: textText(text, false) },
  { name: "text-hostile", html: textHtml(hostileText), text: textText(hostileText, false) },
  { name: "text-none", html: textHtml({ ...text, latents: [], notes: [] }), text: textText({ ...text, latents: [], notes: [] }, false) },
  { name: "document", html: documentHtml(documents), text: documentText(documents, false) },
  { name: "document-hostile", html: documentHtml(hostileDocument), text: documentText(hostileDocument, false) },
  { name: "card", html: cardHtml(card(known)), text: cardText(card(known), false) },
  { name: "card-hostile", html: cardHtml(hostileCard), text: cardText(hostileCard, false) },
  { name: "card-dead", html: cardHtml(dead), text: cardText(dead, false) },
  { name: "card-left-out", html: cardHtml(card(known, { shading: "log" }), { bytes: 15_000 }) },
  { name: "document-left-out", html: documentHtml(documents, { bytes: 12_000 }) },
];
