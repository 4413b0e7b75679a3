import { barsHtml, barsText, flagsOf, headText, histogramHtml, mergeBins, quoted } from "./featurehead";
import { groupsHtml, legendHtml, lineStyle, packFeature, titleOf, unpackFeature, type HeatMapFeature, type PackedFeature } from "./heatmap";
import { lineText, linesHtml, originColumns } from "./heatmapline";
import { BADGE, count, escapeHtml, MONO, percent, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, shade, short, SMALL } from "./html";
import { textIndex } from "./packing";
import { brief, type Shading } from "./shading";
import { visible } from "./token";

/**
 * All that is known of one feature, on one page: facts in panels, then its examples with their whole contexts.
 *
 *   CardView -cardHtml-> page, -cardText-> terminal, -packCard-> JSON for a renderer (application/vnd.saelab.card.v1+json)
 */

export interface CardView {
  feature: HeatMapFeature;
  /** Where it lives. */
  latents: number;
  hook: string;
  rows: number;
  /** Bits, of the tokens' shares of its activation mass. */
  entropy?: number;
  /** Tokens of largest mean activation. */
  triggers: { text: string; mean: number }[];
  /** Latents that fire on the same rows; score is Jaccard. */
  together: { latent: number; label?: string; count: number; score: number }[];
  /** Columns that were found later: scores and the like. */
  columns: { name: string; value: number | string }[];
  shading?: "log";
}

const TOKEN = `font-family:${MONO};background:transparent;padding:0;font-size:12px;white-space:pre`;
const token = (text: string): string => `<code style="${TOKEN}"><bdi dir="ltr">${escapeHtml(quoted(text, 16))}</bdi></code>`;

const CELL = "border:0;padding:0.05em 0.9em 0.05em 0;vertical-align:baseline";
/** @param rows cells as HTML @param right columns of figures */
const table = (rows: string[][], right: number[]): string =>
  `<table style="${PLAIN_TABLE};margin:0;font-size:12.5px"><tbody>${rows
    .map((cells) => `${ROW}${cells.map((cell, c) => `<td style="text-align:${right.includes(c) ? "right" : "left"};${CELL};white-space:nowrap">${cell}</td>`).join("")}</tr>`)
    .join("")}</tbody></table>`;

const panel = (title: string, body: string, note = ""): string =>
  `<div style="margin:0 2.2em 0.9em 0;max-width:28em;overflow:hidden"><div style="font-size:12px;border-bottom:${RULE};margin-bottom:0.25em"><strong>${title}</strong></div>${body}${note ? `<div style="font-size:12px;opacity:0.8;margin-top:0.2em">${note}</div>` : ""}</div>`;

/** A share as a bar behind its figure. */
const shareBar = (share: number): string =>
  `<span style="display:inline-block;vertical-align:baseline;height:9px;width:${Math.max(1, Math.round(60 * Math.min(1, share)))}px;background:${shade(0.8)}"></span>`;

/** Entropy, and how many tokens of equal shares would have it. */
const spreadOver = (entropy: number): string => `spread as over ${short(2 ** entropy)} equal tokens (${short(Math.max(0, entropy))} bits)`;

const signed = (x: number): string => `${x > 0 ? "+" : ""}${short(x)}`;

function panels({ feature, rows, entropy, triggers, together, columns }: CardView): string[] {
  const { density, documents, mean, max, histogram, tokenShares = [], logits, position } = feature;
  const fired = Math.round(density * rows);
  const { edges, counts } = mergeBins(histogram);
  const out = [panel("How often, how strongly", table([
    ["fires on", `${count(fired)} rows`, percent(density)],
    ...(documents === undefined ? [] : [["documents", "", count(documents)]]),
    ...(fired ? [["mean where it fires", "", short(mean)], ["maximum", "", short(max)]] : []),
  ], [2]), counts.length ? `${histogramHtml(histogram, { wide: 8, high: 36 })}<br>rows by activation: ${short(edges[0])} to ${short(edges.at(-1)!)}, logarithmic` : "")];
  if (tokenShares.length) out.push(panel("Where its activation goes", table(tokenShares.map(({ text, share }) => [percent(share), shareBar(share), token(text)]), [0]), entropy === undefined ? "" : spreadOver(entropy)));
  if (triggers.length) out.push(panel("Tokens of largest mean", table(triggers.map(({ text, mean: value }) => [short(value), token(text)]), [0]), "of tokens on which it fires at least three times"));
  if (logits) {
    const pairs = Array.from({ length: Math.max(logits.top.length, logits.bottom.length) }, (_, i) => [logits.top[i], logits.bottom[i]].flatMap((one) => (one ? [signed(one.value), token(one.text)] : ["", ""])));
    if (pairs.length) out.push(panel("What it writes", table([["", "<em>likelier</em>", "", "<em>less likely</em>"], ...pairs], [0, 2]), "logits for one unit of activation, by the direct path"));
  }
  if (position && fired) {
    const deciles = Array.from(position.deciles);
    out.push(panel("Where in a document", barsHtml(deciles, (b) => `${10 * b} to ${10 * (b + 1)} % of the document: ${percent(deciles[b])} of its firings`, "firings by tenths of the document", { wide: 14, high: 36 }),
      `first to last tenth; token ${short(position.mean)} on average, ${percent(position.early)} within the first five`));
  }
  if (together.length)
    out.push(panel("Fires together with", table(together.slice(0, MOST).map(({ latent, label, count: times, score }) => [short(score), `${count(times)} rows`, `<strong>${latent}</strong>${label ? ` <em>${escapeHtml(cut(label))}</em>` : ""}`]), [0, 1]), "both fire on this share of the rows on which one does (Jaccard), and on so many"));
  if (columns.length) out.push(panel("Found later", table(columns.map(({ name, value }) => [escapeHtml(brief(name, NOTE)), typeof value === "number" ? short(value) : escapeHtml(brief(value, NOTE))]), [])));
  return out;
}

/** As much of a partner's label as its panel holds. */
const cut = (label: string): string => (label.length > 28 ? `${[...visible(label)].slice(0, 27).join("")}…` : visible(label));

const NOTE = 60; // characters of a name beside others
const MOST = 8; // latents that fire together with it

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/** Without script, style sheet or reference; survives JupyterLab's sanitiser unchanged. At most about `bytes` long: examples are left out, and the last line says so. */
export function cardHtml(view: CardView, { bytes = 200_000 }: { bytes?: number } = {}): string {
  const { feature, latents, hook, shading } = view;
  const { latent, label, verdict, groups } = feature;
  const facts = [
    `<strong style="font-size:16px">latent ${latent}</strong>`,
    `<span style="opacity:0.8">of ${count(latents)} at ${escapeHtml(hook)}</span>`,
    label ? `<em>${escapeHtml(brief(label))}</em>` : "",
    verdict ? `<span style="${BADGE}" title="what its tests made of it">${escapeHtml(brief(verdict))}</span>` : "",
    ...flagsOf(feature).map((flag) => `<b style="${BADGE}">${flag}</b>`),
  ].filter(Boolean);
  const head = `<div style="display:flex;flex-wrap:wrap;gap:0 1.1em;align-items:baseline;margin-bottom:0.6em">${facts.join(" ")}</div><div style="display:flex;flex-wrap:wrap">${panels(view).join("")}</div>`;
  const frame = (body: string): string => `<div class="saelab-card ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5;border-top:${RULE};padding-top:0.5em">${head}${body}</div>`;
  if (!groups.length) return frame("<p>It never fires on these rows.</p>");
  const style = lineStyle(feature, { shading }, true);
  const characters = originColumns(groups.flatMap(({ examples }) => examples));
  const [top, ...more] = groups;
  const examplesHtml = (most: number): string =>
    `${legendHtml({ shading })}${linesHtml(top.examples.slice(0, most), style, characters)}` +
    groupsHtml(more.map(({ name, examples }) => ({ name, examples: examples.slice(0, most) })), style, characters);
  let most = Math.max(...groups.map(({ examples }) => examples.length));
  let body = examplesHtml(most);
  const room = bytes - bytesOf(frame("")) - 200;
  let note = "";
  while (bytesOf(body) > room && most > 1) {
    body = examplesHtml((most = Math.floor(most / 2)));
    note = `<p style="${SMALL};margin:0">At most ${most} example${most === 1 ? "" : "s"} of each kind ${most === 1 ? "is" : "are"} shown, to keep this output small.</p>`;
  }
  return frame(body + note);
}

/** The same for a terminal. */
export function cardText(view: CardView, color = true): string {
  const { feature, latents, hook, entropy, together, columns, shading } = view;
  const { position, groups } = feature;
  const style = lineStyle(feature, { shading });
  const facts = [
    `  of ${count(latents)} latents at ${hook}, ${count(view.rows)} rows`,
    ...(entropy !== undefined && feature.density > 0 ? [`  activation ${spreadOver(entropy)}`] : []),
    ...(position && feature.density > 0 ? [`  in a document ${barsText(Array.from(position.deciles))} first to last tenth, token ${short(position.mean)} on average, ${percent(position.early)} within the first five`] : []),
    ...(together.length ? [`  fires together with ${together.slice(0, MOST).map(({ latent, score }) => `${latent} (${short(score)})`).join(", ")}`] : []),
    ...columns.map(({ name, value }) => `  ${brief(name, NOTE)} ${typeof value === "number" ? short(value) : brief(value)}`),
  ];
  const lines = groups.map(({ name, examples }) => [`${name === "top" ? "strongest" : titleOf(name)}:`, ...examples.map((example) => lineText(example, style, color))].join("\n"));
  return [[headText(feature, color, 10), ...facts].join("\n"), ...(lines.length ? lines : ["It never fires on these rows."])].join("\n\n");
}

/** As notebook files keep it. */
export interface PackedCard extends Omit<CardView, "feature"> {
  version: 1;
  strings: string[];
  feature: PackedFeature;
}

export function packCard({ feature, ...rest }: CardView): PackedCard {
  const { strings, pack } = textIndex();
  const packed = packFeature(feature, pack);
  return { version: 1, ...rest, strings, feature: packed };
}

export const unpackCard = ({ version: _, strings, feature, ...rest }: PackedCard): CardView => ({ ...rest, feature: unpackFeature(feature, strings) });

/** Shading by name, as a view keeps it. */
export const shadingOf = (shading: Shading = "linear"): Pick<CardView, "shading"> => (shading === "log" ? { shading } : {});
