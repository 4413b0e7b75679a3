import { ansi, BADGE, count, escapeHtml, percent, PLAIN_PRE, short } from "./html";
import type { HeatMapFeature, TokenLogit } from "./heatmap";
import { DENSE } from "./measure";
import { brief } from "./shading";
import type { Feature } from "./types";

/** What stands above a feature's examples: number, label, verdict, how often and how strongly it fires, on which tokens, and what it writes. */

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

/** Bars in a row of text. @param told what a bar's title says */
export function barsHtml(counts: number[], told: (bar: number) => string, title: string, { wide = 4, high = 18 } = {}): string {
  const most = Math.max(...counts);
  const bars = counts
    .map(
      (n, b) =>
        `<span style="display:inline-block;width:${wide}px;margin-right:1px;height:${Math.max(n ? 1 : 0, Math.round((high * n) / most))}px;background:rgba(128,128,128,0.75)"` +
        ` title="${escapeHtml(told(b))}"></span>`,
    )
    .join("");
  return `<span style="white-space:nowrap" title="${escapeHtml(title)}">${bars}</span>`;
}

export function histogramHtml(histogram: Feature["histogram"], size?: { wide?: number; high?: number }): string {
  const { edges, counts } = mergeBins(histogram);
  if (!counts.length) return "";
  const told = (b: number): string => `${short(edges[b])} – ${short(edges[b + 1])}: ${count(counts[b])}`;
  return barsHtml(counts, told, `rows by activation, ${short(edges[0])} to ${short(edges.at(-1)!)}, logarithmic`, size);
}

const ONE_TOKEN = 0.5; // of its activation mass on one token
const EARLY = 0.5; // of its firings within the first five tokens of documents

/** What a reader should know before reading: dead, dense, on one token, at the beginning of documents. */
export function flagsOf({ density, tokenShares, position }: Pick<HeatMapFeature, "density" | "tokenShares" | "position">): string[] {
  return [
    density === 0 ? "dead" : density > DENSE ? "dense" : "",
    density > 0 && (tokenShares?.[0]?.share ?? 0) >= ONE_TOKEN ? "mostly one token" : "",
    density > 0 && (position?.early ?? 0) >= EARLY ? "mostly first five tokens" : "",
  ].filter(Boolean);
}

export const quoted = (text: string, most = 40): string => `“${brief(text, most)}”`;
const signed = (x: number): string => `${x > 0 ? "+" : ""}${short(x)}`;
const SHOWN = 5; // tokens of a list

/** Lists of tokens, each with its figure: where its activation goes, what its direction makes likelier. */
function tokenLists({ tokenShares = [], logits }: HeatMapFeature, most: number): { name: string; tokens: { text: string; figure: string }[] }[] {
  const of = (list: TokenLogit[]): { text: string; figure: string }[] => list.slice(0, most).map(({ text, value }) => ({ text: quoted(text), figure: signed(value) }));
  return [
    { name: "activation goes to", tokens: tokenShares.slice(0, most).map(({ text, share }) => ({ text: quoted(text), figure: percent(share) })) },
    { name: "makes likelier", tokens: of(logits?.top ?? []) },
    { name: "less likely", tokens: of(logits?.bottom ?? []) },
  ].filter(({ tokens }) => tokens.length);
}


/** The tokens of a feature's header. @param most of each list */
export function tokenListsHtml(feature: HeatMapFeature, most = SHOWN): string {
  const lists = tokenLists(feature, most).map(
    ({ name, tokens }) => `<span style="opacity:0.75">${name}</span> ${tokens.map(({ text, figure }) => `<bdi dir="ltr">${escapeHtml(text)}</bdi> ${figure}`).join(", ")}`,
  );
  return lists.length
    ? `<pre style="margin:0 0 0.4em;${PLAIN_PRE};font-size:12px;line-height:1.5;white-space:pre-wrap;overflow-wrap:break-word">${lists.join("\n")}</pre>`
    : "";
}

/** One line, and below it the tokens where they are known. */
export function headHtml(feature: HeatMapFeature): string {
  const { latent, label, verdict, density, documents, mean, max, histogram } = feature;
  const facts = [
    `<strong style="font-size:15px">latent ${latent}</strong>`,
    label ? `<em>${escapeHtml(brief(label))}</em>` : "",
    verdict ? `<span style="${BADGE}" title="what its tests made of it">${escapeHtml(brief(verdict))}</span>` : "",
    ...flagsOf(feature).map((flag) => `<b style="${BADGE}">${flag}</b>`),
    `<span>fires on ${percent(density)} of rows${documents ? `, in ${count(documents)} document${documents === 1 ? "" : "s"}` : ""}</span>`,
    density > 0 ? `<span>max ${short(max)}</span> <span>mean ${short(mean)}</span>` : "",
    histogramHtml(histogram),
  ].filter(Boolean);
  return `<div style="display:flex;flex-wrap:wrap;gap:0 1.1em;align-items:baseline;margin-bottom:0.3em">${facts.join(" ")}</div>${tokenListsHtml(feature)}`;
}

const BLOCKS = "▁▂▃▄▅▆▇█";

export function barsText(counts: number[]): string {
  const most = Math.max(...counts) || 1;
  return counts.map((n) => BLOCKS[Math.min(7, Math.floor((8 * n) / most))]).join("");
}

/** The same for a terminal, on one line and one for each list of tokens. */
export function headText(feature: HeatMapFeature, color: boolean, most = SHOWN): string {
  const paint = ansi(color);
  const { latent, label, verdict, density, documents, mean, max, histogram } = feature;
  const facts = [
    paint("1", `latent ${latent}`),
    label ? brief(label) : "",
    verdict ? `[${brief(verdict)}]` : "",
    ...flagsOf(feature),
    `fires on ${percent(density)} of rows${documents ? `, in ${count(documents)} document${documents === 1 ? "" : "s"}` : ""}`,
    ...(density > 0 ? [`max ${short(max)}`, `mean ${short(mean)}`, barsText(mergeBins(histogram).counts)] : []),
  ];
  const lists = tokenLists(feature, most).map(({ name, tokens }) => `  ${name} ${tokens.map(({ text, figure }) => `${text} ${figure}`).join(", ")}`);
  return [facts.filter(Boolean).join("  "), ...lists].join("\n");
}
