import { OptionError } from "./errors";
import { headHtml, headText } from "./featurehead";
import { lineText, linesHtml, originColumns, type LineStyle } from "./heatmapline";
import { count, escapeHtml, PLAIN, RULE, SANS, SMALL } from "./html";
import { numbers, packNumbers, textIndex } from "./packing";
import { GLYPHS, scaleHtml, type Shading } from "./shading";
import type { Example, Feature } from "./types";

/**
 * Heat maps: tokens shaded by activation. Data in, strings out; the same input gives the same string.
 *
 *   Feature[] + Words -heatMapView-> HeatMap -heatMapHtml-> page, -heatMapText-> terminal, -packHeatMap-> JSON for a renderer
 *
 * Shade is t = activation ÷ the feature's maximum (or, where asked, the row's own), linear unless it says otherwise. What the shade says is also
 * said without it: bold from half of the maximum, the peak underlined and its value in front. A line is a keyword in its context: peaks stand in one
 * column, and what the page's width cuts off is the far end of the context.
 */

/** How numbers of a feature become words. */
export interface Words {
  /** Decoded text of a token; bytes that are no text come as ‹E2 80›. */
  token(id: number): string;
  /** Name of a document. */
  document(index: number): string;
}

/** What may be known of a feature beyond the contract: a view shows what is there. */
export interface FeatureFacts {
  label?: string;
  /** What tests made of it: "survives", "token detector" … */
  verdict?: string;
  /** Tokens that its decoder direction makes likelier, strongest first, and those that it makes less likely. */
  logits?: { top: TokenLogit[]; bottom: TokenLogit[] };
  /** Tokens of the largest shares of its activation mass, largest first. */
  tokenShares?: { text: string; share: number }[];
  /** Documents on which it fires. */
  documents?: number;
  /** Where in documents it fires: mean position, share of its firings within the first five tokens, and in each tenth of a document. */
  position?: { mean: number; early: number; deciles: ArrayLike<number> };
}

/** A feature together with what its collection can say beyond the contract's `top`. */
export interface ShownFeature extends Feature, FeatureFacts {
  /** Further groups of examples, such as quantiles of its activation. */
  more?: { name: string; examples: Example[] }[];
  label?: string;
}

export interface TokenLogit {
  /** As decoded. */
  text: string;
  /** Logit for one unit of activation. */
  value: number;
}

export interface HeatMapExample {
  /** Text of each token, as decoded. */
  tokens: string[];
  values: number[];
  peak: number;
  count: number;
  document: string;
  /** Position of the peak in its document. */
  position: number;
  /** The document goes on after these tokens. */
  goesOn?: true;
}

export interface HeatMapFeature extends FeatureFacts {
  latent: number;
  density: number;
  mean: number;
  max: number;
  histogram: Feature["histogram"];
  groups: { name: string; examples: HeatMapExample[] }[];
}

export interface HeatMap {
  features: HeatMapFeature[];
  /** What 100 % of the shade is: the feature's maximum when absent, or that of each row of tokens. */
  scale?: "row";
  /** How shade follows from the share of that: linearly when absent. */
  shading?: "log";
  /** Contexts on as many lines as they take; each on one when absent. */
  layout?: "wrap";
  /** Sentences on what is not shown, and why, and on where the rest comes from. */
  leftOut: string[];
}

export interface HeatMapOptions {
  count?: number; // 20 features
  examples?: number; // 12 of each group
  context?: number | "whole"; // 12 tokens on either side: as a line of a page holds; "whole": all that were collected
  groups?: boolean; // true: quantile and random examples too, folded away
  scale?: "feature" | "row"; // "feature": shaded by its maximum, so that rows compare; "row": each by its own
  shading?: Shading; // "linear"; "log": weak activations are seen too
  layout?: "line" | "wrap"; // "line": peaks in one column; "wrap": contexts on as many lines as they take, as context "whole" has them
  bytes?: number; // 200,000: the longest HTML
  color?: boolean; // true: 24-bit ANSI in the text rendering
}

/**
 * Features as they will be shown: contexts cut to ±`context`, ids turned to text.
 * @throws OptionError for an unknown scale or shading, or a context that is no number of tokens
 */
export function heatMapView(features: ShownFeature[], words: Words, options: HeatMapOptions = {}): HeatMap {
  const { count: most = 20, groups = true, scale = "feature", shading = "linear", layout = options.context === "whole" ? "wrap" : "line" } = options;
  if (scale !== "feature" && scale !== "row")
    throw new OptionError(`heatMap: scale: expected "feature" or "row", found ${JSON.stringify(scale)}.`);
  if (shading !== "linear" && shading !== "log")
    throw new OptionError(`heatMap: shading: expected "linear" or "log", found ${JSON.stringify(shading)}.`);
  const leftOut: string[] = [];
  if (features.length > most)
    leftOut.push(`${most} of ${count(features.length)} features are shown; { count } sets how many.`);
  return {
    leftOut,
    ...(scale === "row" ? { scale } : {}),
    ...(shading === "log" ? { shading } : {}),
    ...(layout === "wrap" ? { layout } : {}),
    features: features.slice(0, most).map((feature) => featureView(groups ? feature : { ...feature, more: [] }, words, options)),
  };
}

/** One feature as it will be shown. */
export function featureView(feature: ShownFeature, words: Words, { examples: most = 12, context = 12 }: HeatMapOptions = {}): HeatMapFeature {
  if (context !== "whole" && !(Number.isInteger(context) && context >= 0))
    throw new OptionError(`heatMap: context: expected a whole number from 0 on, or "whole", found ${JSON.stringify(context)}.`);
  const around = context === "whole" ? Infinity : context;
  const cut = (example: Example): HeatMapExample => {
    const from = Math.max(0, example.peak - around);
    const to = Math.min(example.tokens.length, example.peak + around + 1);
    return {
      tokens: Array.from(example.tokens.subarray(from, to), words.token),
      values: Array.from(example.values.subarray(from, to)),
      peak: example.peak - from,
      count: example.count,
      document: words.document(example.document),
      position: example.position + example.peak,
      ...(to < example.tokens.length || example.goesOn ? { goesOn: true as const } : {}),
    };
  };
  const { latent, density, mean, max, histogram, top, more = [], label, verdict, logits, tokenShares, documents, position } = feature;
  const facts: FeatureFacts = { label, verdict, logits, tokenShares: tokenShares?.map(({ text, share }) => ({ text, share })), documents, position };
  return {
    latent,
    ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)),
    density,
    mean,
    max,
    histogram,
    groups: [{ name: "top", examples: top }, ...more]
      .map(({ name, examples }) => ({ name, examples: examples.slice(0, most).map(cut) }))
      .filter(({ examples }) => examples.length > 0),
  };
}

/** How a feature's lines are shaded. */
export const lineStyle = ({ max }: HeatMapFeature, { scale, shading }: Pick<HeatMap, "scale" | "shading">, wrap?: boolean): LineStyle => ({
  maxOf: (example) => (scale === "row" ? Math.max(0, ...example.values) : max),
  shading,
  wrap,
});

const GROUP_TITLES: Record<string, string> = {
  "75–100 %": "strongest quarter of its activations",
  "50–75 %": "second quarter",
  "25–50 %": "third quarter",
  "0–25 %": "weakest quarter",
  random: "any activation",
};

/** A group of examples in words. */
export const titleOf = (name: string): string => GROUP_TITLES[name] ?? name;

/** Further groups of examples, each under its name. */
export const groupsHtml = (groups: HeatMapFeature["groups"], style: LineStyle, characters?: number): string =>
  groups
    .map(({ name, examples }) => `<div style="opacity:0.75;margin-top:0.3em">${escapeHtml(titleOf(name))}</div>${linesHtml(examples, style, characters)}`)
    .join("");

/** A feature of a map: its header and its lines. */
function featureHtml(feature: HeatMapFeature, map: Pick<HeatMap, "scale" | "shading">, wrap = false): string {
  const [top, ...more] = feature.groups;
  const style = lineStyle(feature, map, wrap);
  const characters = originColumns(feature.groups.flatMap(({ examples }) => examples));
  const folded = more.length
    ? `<details style="margin-top:0.2em"><summary style="cursor:pointer;opacity:0.75">examples at random, by strength of activation</summary>${groupsHtml(more, style, characters)}</details>`
    : "";
  return (
    `<section style="border-top:${RULE};padding:0.5em 0 0.9em">${headHtml(feature)}` +
    `${top ? linesHtml(top.examples, style, characters) : "<p>It never fires on these rows.</p>"}${folded}</section>`
  );
}

/** What shade, line and glyphs mean. */
export const legendHtml = ({ scale, shading }: Pick<HeatMap, "scale" | "shading">): string =>
  `<div style="display:flex;flex-wrap:wrap;gap:0 1.1em;font-size:12px;margin-bottom:0.6em">${scaleHtml(scale === "row" ? "each line’s own" : "the feature’s", shading)} ` +
  `<span><u>underlined</u>: the peak, its value in front</span> <span>${GLYPHS}</span> <span>a row: a token whose activation was kept</span></div>`;

/** Less and less of a map, until it fits: everything; without the folded groups; five examples each. */
const REDUCTIONS: { say: string; of: (feature: HeatMapFeature) => HeatMapFeature }[] = [
  { say: "", of: (feature) => feature },
  {
    say: "Only the top examples are shown, to keep this output small.",
    of: (feature) => ({ ...feature, groups: feature.groups.slice(0, 1) }),
  },
  {
    say: "Only the five strongest examples of each feature are shown, to keep this output small.",
    of: (feature) => ({
      ...feature,
      groups: feature.groups.slice(0, 1).map(({ name, examples }) => ({ name, examples: examples.slice(0, 5) })),
    }),
  },
];

/**
 * A page fragment without script, style sheet or reference; survives JupyterLab's sanitiser unchanged.
 * At most `bytes` long (UTF-8), the legend and one feature at least: examples, then features are left out, and the last
 * line says which.
 */
export function heatMapHtml(map: HeatMap, options: HeatMapOptions = {}): string {
  const { bytes = 200_000, layout = options.context === "whole" ? "wrap" : map.layout } = options;
  const size = (html: string): number => new TextEncoder().encode(html).length;
  const room = bytes - 2_000; // frame, legend, notes
  let parts: string[] = [];
  const notes = [...map.leftOut];
  for (const { say, of } of REDUCTIONS) {
    parts = map.features.map((feature) => featureHtml(of(feature), map, layout === "wrap"));
    if (parts.reduce((sum, part) => sum + size(part), 0) > room) continue;
    if (say) notes.push(say);
    break;
  }
  let held = 0;
  const fitting = parts.filter((part, i) => (held += size(part)) <= room || i === 0);
  if (fitting.length < parts.length) {
    notes.push(
      REDUCTIONS.at(-1)!.say,
      `${parts.length - fitting.length} of ${parts.length} features are not shown, to keep this output small; ask for them by { latents }.`,
    );
  }
  const body = fitting.length ? fitting.join("") : "<p>No feature to show.</p>";
  const foot = notes.length ? `<p style="${SMALL};margin:0">${notes.map(escapeHtml).join(" ")}</p>` : "";
  return `<div class="saelab-heatmap ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5">${legendHtml(map)}${body}${foot}</div>`;
}

/** The same for a terminal: shaded in 24-bit colour, or plain with the peak in ⟦ ⟧. */
export function heatMapText(map: HeatMap, { color = true }: HeatMapOptions = {}): string {
  const features = map.features.map((feature) =>
    [headText(feature, color), ...(feature.groups[0]?.examples ?? []).map((example) => lineText(example, lineStyle(feature, map), color))].join("\n"));
  const notes = [...(map.shading ? ["Shades are logarithmic."] : []), ...map.leftOut];
  return [...(features.length ? features : ["No feature to show."]), ...notes].join("\n\n");
}

/**
 * Arrays as strings, since notebook files write a number a line: tokens of all examples as indices into one list, values
 * with three digits.
 */
export interface PackedHeatMap {
  version: 1;
  scale?: "row";
  shading?: "log";
  layout?: "wrap";
  strings: string[];
  features: PackedFeature[];
  leftOut: string[];
}

export interface PackedFeature extends Omit<HeatMapFeature, "groups" | "histogram" | "position"> {
  histogram: { edges: string; counts: string };
  position?: { mean: number; early: number; deciles: string };
  groups: {
    name: string;
    examples: (Omit<HeatMapExample, "tokens" | "values"> & { tokens: string; values: string })[];
  }[];
}

/** @param pack texts → indices into a list that features share */
export const packFeature = ({ histogram, groups, position, ...rest }: HeatMapFeature, pack: (texts: string[]) => string): PackedFeature => ({
  ...rest,
  histogram: { edges: histogram.edges.join(" "), counts: histogram.counts.join(" ") },
  ...(position ? { position: { ...position, deciles: packNumbers(position.deciles) } } : {}),
  groups: groups.map(({ name, examples }) => ({
    name,
    examples: examples.map(({ tokens, values, ...where }) => ({ ...where, tokens: pack(tokens), values: packNumbers(values) })),
  })),
});

export const unpackFeature = ({ histogram, groups, position, ...rest }: PackedFeature, strings: string[]): HeatMapFeature => ({
  ...rest,
  histogram: { edges: numbers(histogram.edges), counts: numbers(histogram.counts) },
  ...(position ? { position: { ...position, deciles: numbers(position.deciles) } } : {}),
  groups: groups.map(({ name, examples }) => ({
    name,
    examples: examples.map(({ tokens, values, ...where }) => ({ ...where, tokens: numbers(tokens).map((i) => strings[i]), values: numbers(values) })),
  })),
});

export function packHeatMap({ features, leftOut, scale, shading, layout }: HeatMap): PackedHeatMap {
  const { strings, pack } = textIndex();
  return { version: 1, strings, features: features.map((feature) => packFeature(feature, pack)), leftOut, ...(scale ? { scale } : {}), ...(shading ? { shading } : {}), ...(layout ? { layout } : {}) };
}

export const unpackHeatMap = ({ strings, features, leftOut, scale, shading, layout }: PackedHeatMap): HeatMap => ({
  leftOut,
  ...(scale ? { scale } : {}),
  ...(shading ? { shading } : {}),
  ...(layout ? { layout } : {}),
  features: features.map((feature) => unpackFeature(feature, strings)),
});
