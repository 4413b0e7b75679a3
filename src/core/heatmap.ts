import { ansi, columns, count, escapeHtml, MONO, padStart, percent, PLAIN, RULE, SANS, shade, short } from "./html";
import { OptionError } from "./errors";
import { DENSE } from "./measure";
import { visible } from "./token";
import type { Example, Feature } from "./types";

/**
 * Heat maps: tokens shaded by activation. Data in, strings out; the same input gives the same string.
 *
 *   Feature[] + Words -heatMapView-> HeatMap -heatMapHtml-> page, -heatMapText-> terminal, -packHeatMap-> JSON for a renderer
 *
 * Shade is t = activation ÷ the feature's maximum (or, where asked, the row's own), linear. What the shade says is also said without it: bold from t =
 * 0.5, the peak underlined and its value in front. A line is a keyword in its context: peaks stand in one column, and
 * what the page's width cuts off is the far end of the context.
 */

/** How numbers of a feature become words. */
export interface Words {
  /** Decoded text of a token; bytes that are no text come as ‹E2 80›. */
  token(id: number): string;
  /** Name of a document. */
  document(index: number): string;
}

/** A feature together with what its collection can say beyond the contract's `top`. */
export interface ShownFeature extends Feature {
  /** Further groups of examples, such as quantiles of its activation. */
  more?: { name: string; examples: Example[] }[];
  /** What tests made of it: "survives", "token detector" … */
  verdict?: string;
  /** Tokens that its decoder direction makes likelier, strongest first, and those that it makes less likely. */
  logits?: { top: TokenLogit[]; bottom: TokenLogit[] };
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

export interface HeatMapFeature {
  latent: number;
  label?: string;
  verdict?: string;
  logits?: ShownFeature["logits"];
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
  /** Sentences on what is not shown, and why, and on where the rest comes from. */
  leftOut: string[];
}

export interface HeatMapOptions {
  count?: number; // 20 features
  examples?: number; // 12 of each group
  context?: number; // 12 tokens on either side: as a line of a page holds
  groups?: boolean; // true: quantile and random examples too, folded away
  scale?: "feature" | "row"; // "feature": shaded by its maximum, so that rows compare; "row": each by its own
  layout?: "line" | "wrap"; // "line": peaks in one column; "wrap": whole contexts, as many lines as they take
  bytes?: number; // 200,000: the longest HTML
  color?: boolean; // true: 24-bit ANSI in the text rendering
}

/** Features as they will be shown: contexts cut to ±`context`, ids turned to text. */
export function heatMapView(features: ShownFeature[], words: Words, options: HeatMapOptions = {}): HeatMap {
  const { count: most = 20, examples = 12, context = 12, groups = true, scale = "feature" } = options;
  if (scale !== "feature" && scale !== "row")
    throw new OptionError(`heatMap: scale: expected "feature" or "row", found ${JSON.stringify(scale)}.`);
  const cut = (example: Example): HeatMapExample => {
    const from = Math.max(0, example.peak - context);
    const to = Math.min(example.tokens.length, example.peak + context + 1);
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
  const leftOut: string[] = [];
  if (features.length > most)
    leftOut.push(`${most} of ${count(features.length)} features are shown; { count } sets how many.`);
  return {
    leftOut,
    ...(scale === "row" ? { scale } : {}),
    features: features.slice(0, most).map(({ latent, label, density, mean, max, histogram, top, more = [] }) => ({
      latent,
      label,
      density,
      mean,
      max,
      histogram,
      groups: [{ name: "top", examples: top }, ...(groups ? more : [])]
        .map((group) => ({ name: group.name, examples: group.examples.slice(0, examples).map(cut) }))
        .filter((group) => group.examples.length > 0),
    })),
  };
}

const FAINT = 0.005; // below half a percent of the maximum there is no shade

/** The activation that shades a token of an example in full. */
const fullShade = (example: HeatMapExample, max: number, scale: HeatMap["scale"]): number =>
  scale === "row" ? Math.max(0, ...example.values) : max;

const share = (value: number, max: number): number => (max > 0 ? Math.min(1, Math.max(0, value / max)) : 0);

/** A token as it is shown. A lone space that is hardly shaded stays one: what follows shows that it is there. */
const shownToken = (token: string, t: number): string => (token === " " && t < 0.05 ? " " : visible(token));

/** Tokens from … to of an example as HTML; neighbours without activation are one piece of text. */
function tokensHtml({ tokens, values, peak }: HeatMapExample, max: number, from: number, to: number): string {
  let html = "";
  for (let i = from; i < to; i++) {
    const t = share(values[i], max);
    let text = escapeHtml(shownToken(tokens[i], t));
    if (t < FAINT && i !== peak) {
      html += text;
      continue;
    }
    if (i === peak) text = `<u>${text}</u>`;
    if (t >= 0.5) text = `<b>${text}</b>`;
    html += `<span style="background:${shade(t)}${t >= 0.66 ? ";color:#000" : ""}" title="${short(values[i])}">${text}</span>`;
  }
  return html;
}

const LEFT = "flex:3 1 0;min-width:0;overflow:hidden;text-overflow:ellipsis;direction:rtl;text-align:right";
const RIGHT = "flex:2 1 0;min-width:0;overflow:hidden;text-overflow:ellipsis";
const VALUE = "flex:none;width:3.4em;opacity:0.7";
const WHERE = "flex:none;overflow:hidden;text-overflow:ellipsis;text-align:right;opacity:0.6";
const WIDEST = 18; // characters of an origin: the whole one is in its title

const originOf = ({ document, position, count: times }: HeatMapExample): string =>
  `${times > 1 ? `×${count(times)} ` : ""}${visible(document)}:${position}`;

function lineHtml(example: HeatMapExample, max: number, wrap: boolean, width: string): string {
  const { values, peak, tokens, document, position, count: times } = example;
  const before = (position > peak ? "…" : "") + tokensHtml(example, max, 0, peak);
  const at = tokensHtml(example, max, peak, peak + 1);
  const after = tokensHtml(example, max, peak + 1, tokens.length) + (example.goesOn ? "…" : "");
  const told = `${document}, token ${position}${times > 1 ? `; stands for ${count(times)} near-identical contexts` : ""}`;
  const where = `<span style="${WHERE};width:${width}" title="${escapeHtml(told)}">  ${escapeHtml(originOf(example))}\n</span>`;
  const value = `<span style="${VALUE}">${short(values[peak])} </span>`;
  return wrap
    ? `<span style="display:flex;margin-bottom:0.5em">${value}<span style="flex:1 1 0;min-width:0;white-space:pre-wrap;word-break:normal;overflow-wrap:break-word">${before}${at}${after}</span>${where}</span>`
    : `<span style="display:flex">${value}<span style="${LEFT}"><bdi dir="ltr">${before}</bdi></span><span style="flex:none">${at}</span><span style="${RIGHT}">${after}</span>${where}</span>`;
}

const PRE = `margin:0;padding:0;border:0;background:transparent;font-family:${MONO};font-size:12.5px;line-height:1.6;white-space:pre;overflow:hidden`;

/** Lines of one group. The column of origins is as wide as the longest, so that the peaks stand below one another. */
function linesHtml(examples: HeatMapExample[], maxOf: (example: HeatMapExample) => number, wrap: boolean, characters: number): string {
  const width = `${(0.62 * (characters + 2)).toFixed(1)}em`; // of a monospaced font, and the two spaces before it
  return `<pre style="${PRE}">${examples.map((example) => lineHtml(example, maxOf(example), wrap, width)).join("")}</pre>`;
}

const BARS = 24;
const TAIL = 0.005;

/**
 * What a histogram shows: the weakest half percent as one bar, then neighbouring bins together until there are few enough
 * to draw.
 */
export function mergeBins(histogram: Feature["histogram"], most = BARS): Feature["histogram"] {
  let { edges, counts } = histogram;
  const total = counts.reduce((sum, n) => sum + n, 0);
  let tail = 0;
  let held = 0;
  while (tail < counts.length && held + counts[tail] <= TAIL * total) held += counts[tail++];
  if (tail > 1) {
    counts = [held, ...counts.slice(tail)];
    edges = [edges[0], ...edges.slice(tail)];
  }
  const step = Math.ceil(counts.length / most) || 1;
  const merged = { edges: [] as number[], counts: [] as number[] };
  for (let b = 0; b < counts.length; b += step) {
    merged.edges.push(edges[b]);
    merged.counts.push(counts.slice(b, b + step).reduce((sum, n) => sum + n, 0));
  }
  if (counts.length) merged.edges.push(edges[counts.length]);
  return merged;
}

function histogramHtml(histogram: Feature["histogram"]): string {
  const { edges, counts } = mergeBins(histogram);
  if (!counts.length) return "";
  const most = Math.max(...counts);
  const bars = counts
    .map(
      (n, b) =>
        `<span style="display:inline-block;width:4px;margin-right:1px;height:${Math.max(n ? 1 : 0, Math.round((18 * n) / most))}px;background:rgba(128,128,128,0.75)"` +
        ` title="${short(edges[b])} – ${short(edges[b + 1])}: ${count(n)}"></span>`,
    )
    .join("");
  return `<span style="white-space:nowrap" title="rows by activation, ${short(edges[0])} to ${short(edges.at(-1)!)}, logarithmic">${bars}</span>`;
}

/** dead, dense, or nothing. */
const flagOf = (density: number): string => (density === 0 ? "dead" : density > DENSE ? "dense" : "");

function featureHtml(feature: HeatMapFeature, wrap: boolean, scale: HeatMap["scale"]): string {
  const { latent, label, density, mean, max, histogram, groups } = feature;
  const flag = flagOf(density);
  const maxOf = (example: HeatMapExample): number => fullShade(example, max, scale);
  const facts = [
    `<strong style="font-size:15px">latent ${latent}</strong>`,
    label ? `<em>${escapeHtml(label)}</em>` : "",
    flag ? `<b style="border:${RULE};border-radius:3px;padding:0 0.4em">${flag}</b>` : "",
    `<span>fires on ${percent(density)} of rows</span>`,
    density > 0 ? `<span>max ${short(max)}</span> <span>mean ${short(mean)}</span>` : "",
    histogramHtml(histogram),
  ].filter(Boolean);
  const [top, ...more] = groups;
  const characters = Math.min(
    WIDEST,
    Math.max(0, ...groups.flatMap(({ examples }) => examples.map((example) => columns(originOf(example))))),
  );
  const folded = more.length
    ? `<details style="margin-top:0.2em"><summary style="cursor:pointer;opacity:0.75">examples at random, by strength of activation</summary>${more
        .map(
          ({ name, examples }) =>
            `<div style="opacity:0.75;margin-top:0.3em">${escapeHtml(GROUP_TITLES[name] ?? name)}</div>${linesHtml(examples, maxOf, wrap, characters)}`,
        )
        .join("")}</details>`
    : "";
  return (
    `<section style="border-top:${RULE};padding:0.5em 0 0.9em">` +
    `<div style="display:flex;flex-wrap:wrap;gap:0 1.1em;align-items:baseline;margin-bottom:0.3em">${facts.join(" ")}</div>` +
    `${top ? linesHtml(top.examples, maxOf, wrap, characters) : "<p>It never fires on these rows.</p>"}${folded}</section>`
  );
}

const GROUP_TITLES: Record<string, string> = {
  "75–100 %": "strongest quarter of its activations",
  "50–75 %": "second quarter",
  "25–50 %": "third quarter",
  "0–25 %": "weakest quarter",
  random: "any activation",
};

/** The scale, in the very style of the tokens. */
const legendHtml = (scale: HeatMap["scale"]): string => {
  const steps = [0.1, 0.3, 0.5, 0.7, 1]
    .map((t) => {
      const text = ` ${t * 100} `;
      return `<span style="background:${shade(t)}${t >= 0.66 ? ";color:#000" : ""}">${t >= 0.5 ? `<b>${text}</b>` : text}</span>`;
    })
    .join("");
  return (
    `<div style="display:flex;flex-wrap:wrap;gap:0 1.1em;font-size:12px;opacity:0.85;margin-bottom:0.6em">` +
    `<span>shade: <span style="white-space:pre">${steps}</span> % of ${scale === "row" ? "each line’s own" : "the feature’s"} maximum, linear</span> ` +
    `<span><u>underlined</u>: the peak, its value in front</span> ` +
    `<span>↵ new line, → tab, · trailing space</span> <span>a row: a token whose activation was kept</span></div>`
  );
};

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
  const { bytes = 200_000, layout = "line" } = options;
  const size = (html: string): number => new TextEncoder().encode(html).length;
  const room = bytes - 2_000; // frame, legend, notes
  let parts: string[] = [];
  const notes = [...map.leftOut];
  for (const { say, of } of REDUCTIONS) {
    parts = map.features.map((feature) => featureHtml(of(feature), layout === "wrap", map.scale));
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
  const foot = notes.length ? `<p style="font-size:12px;opacity:0.85;margin:0">${notes.map(escapeHtml).join(" ")}</p>` : "";
  return `<div class="saelab-heatmap ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5">${legendHtml(map.scale)}${body}${foot}</div>`;
}

const BLOCKS = "▁▂▃▄▅▆▇█";
const TEXT_LEFT = 44; // columns before the peak and after it
const TEXT_RIGHT = 32;

/** Colours of a terminal, whose background is unknown: both colours are set, black on pale to full orange. */
export const ansiShade = (t: number): string => `38;2;0;0;0;48;2;255;${Math.round(236 - 96 * t)};${Math.round(214 - 188 * t)}`;

function lineText(example: HeatMapExample, max: number, color: boolean): string {
  const paint = ansi(color);
  const { tokens, values, peak, position, count: times, document } = example;
  const piece = (i: number): string => {
    const t = share(values[i], max);
    const text = shownToken(tokens[i], t);
    if (i === peak) return color ? paint(`1;4;${ansiShade(t)}`, text) : `⟦${text}⟧`;
    return t < FAINT ? text : paint(`${t >= 0.5 ? "1;" : ""}${ansiShade(t)}`, text);
  };
  const side = (from: number, to: number, step: 1 | -1, room: number): string => {
    let line = "";
    let left = room;
    const begin = step > 0 ? from : to - 1;
    for (let i = begin; i >= from && i < to; i += step) {
      const width = columns(visible(tokens[i]));
      if (width > left - 1)
        return step > 0 ? `${line}…${" ".repeat(Math.max(0, left - 1))}` : `${" ".repeat(Math.max(0, left - 1))}…${line}`;
      line = step > 0 ? line + piece(i) : piece(i) + line;
      left -= width;
    }
    const begins = step < 0 && position <= peak; // nothing of the document is before the context
    if (step > 0 && example.goesOn && left > 0) return `${line}…${" ".repeat(left - 1)}`;
    if (step < 0 && !begins && left > 0) return `${" ".repeat(left - 1)}…${line}`;
    return step > 0 ? line + " ".repeat(left) : " ".repeat(left) + line;
  };
  const origin = `${document}:${position}${times > 1 ? ` ×${count(times)}` : ""}`;
  return `${padStart(short(values[peak]), 6)}  ${side(0, peak, -1, TEXT_LEFT)}${piece(peak)}${side(peak + 1, tokens.length, 1, TEXT_RIGHT)}  ${origin}`;
}

/** The same for a terminal: shaded in 24-bit colour, or plain with the peak in ⟦ ⟧. */
export function heatMapText(map: HeatMap, { color = true }: HeatMapOptions = {}): string {
  const paint = ansi(color);
  const features = map.features.map(({ latent, label, density, mean, max, histogram, groups }) => {
    const { counts } = mergeBins(histogram);
    const most = Math.max(1, ...counts);
    const bars = counts.map((n) => BLOCKS[Math.min(7, Math.floor((8 * n) / most))]).join("");
    const facts = [
      paint("1", `latent ${latent}`),
      label ?? "",
      flagOf(density),
      `fires on ${percent(density)} of rows`,
      ...(density > 0 ? [`max ${short(max)}`, `mean ${short(mean)}`, bars] : []),
    ]
      .filter(Boolean)
      .join("  ");
    return [facts, ...(groups[0]?.examples ?? []).map((example) => lineText(example, fullShade(example, max, map.scale), color))].join("\n");
  });
  return [...(features.length ? features : ["No feature to show."]), ...map.leftOut].join("\n\n");
}

/**
 * Arrays as strings, since notebook files write a number a line: tokens of all examples as indices into one list, values
 * with three digits.
 */
export interface PackedHeatMap {
  version: 1;
  scale?: "row";
  strings: string[];
  features: (Omit<HeatMapFeature, "groups" | "histogram"> & {
    histogram: { edges: string; counts: string };
    groups: {
      name: string;
      examples: { tokens: string; values: string; peak: number; count: number; document: string; position: number }[];
    }[];
  })[];
  leftOut: string[];
}

export function packHeatMap({ features, leftOut, scale }: HeatMap): PackedHeatMap {
  const index = new Map<string, number>();
  const number = (text: string): number => {
    if (!index.has(text)) index.set(text, index.size);
    return index.get(text)!;
  };
  const packed = features.map(({ histogram, groups, ...rest }) => ({
    ...rest,
    histogram: { edges: histogram.edges.join(" "), counts: histogram.counts.join(" ") },
    groups: groups.map(({ name, examples }) => ({
      name,
      examples: examples.map(({ tokens, values, ...where }) => ({
        ...where,
        tokens: tokens.map(number).join(" "),
        values: values.map((v) => Number(v.toPrecision(3))).join(" "),
      })),
    })),
  }));
  return { version: 1, strings: [...index.keys()], features: packed, leftOut, ...(scale ? { scale } : {}) };
}

export function unpackHeatMap({ strings, features, leftOut, scale }: PackedHeatMap): HeatMap {
  const numbers = (text: string): number[] => (text ? text.split(" ").map(Number) : []);
  return {
    leftOut,
    ...(scale ? { scale } : {}),
    features: features.map(({ histogram, groups, ...rest }) => ({
      ...rest,
      histogram: { edges: numbers(histogram.edges), counts: numbers(histogram.counts) },
      groups: groups.map(({ name, examples }) => ({
        name,
        examples: examples.map(({ tokens, values, ...where }) => ({
          ...where,
          tokens: numbers(tokens).map((i) => strings[i]),
          values: numbers(values),
        })),
      })),
    })),
  };
}
