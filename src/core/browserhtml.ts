import type { Browser, BrowserColumn } from "./browser";
import { flagsOf, histogramHtml, tokenListsHtml } from "./featurehead";
import { groupsHtml, lineStyle, type HeatMapFeature } from "./heatmap";
import { linesHtml, originColumns } from "./heatmapline";
import { count, escapeHtml, percent, short } from "./html";
import { GLYPHS, scaleHtml } from "./shading";
import { visible } from "./token";

/** The browser's parts as HTML: data in, strings out. Looks are classes here, for the extension's style sheet; positions and events are its DOM shell's. */

/** A column's value of a feature, as it is read; nothing where there is none. */
export function valueText({ name, values }: BrowserColumn, place: number): string {
  const value = values[place];
  if (typeof value !== "number") return value ? visible(value) : "";
  if (Number.isNaN(value)) return "";
  return name === "density" ? percent(value) : Number.isInteger(value) ? (name === "latent" ? String(value) : count(value)) : short(value);
}

export interface RowState {
  place: number;
  open: boolean;
  pinned: boolean;
  note?: string;
  /** Of its examples, counted over its groups, the one that the closed row shows: the strongest, or where a search has found its word. */
  example?: number;
  /** The column that sorts: its value is in the row's first line. */
  sort?: BrowserColumn;
  /** Prefix of ids, of this browser on its page. */
  id: string;
}

const MEASURED = new Set(["latent", "density", "max", "label", "verdict", "tokens"]); // in the first line already, or below it

/** A feature's row: a line of facts and its strongest example; opened, all examples, its columns and a note. */
export function rowHtml(browser: Browser, feature: HeatMapFeature, { place, open, pinned, note, example = 0, sort, id }: RowState): string {
  const { latent, label, verdict, density, max, histogram, groups } = feature;
  const [top, ...more] = groups;
  const style = lineStyle(feature, {});
  const words = [
    label ? `<em>${escapeHtml(visible(label))}</em>` : "",
    verdict ? `<span class="saelab-badge" title="what its tests made of it">${escapeHtml(visible(verdict))}</span>` : "",
    ...flagsOf(feature).map((flag) => `<b class="saelab-badge">${flag}</b>`),
    note && !open ? `<span class="saelab-said">${escapeHtml(visible(note))}</span>` : "",
  ].filter(Boolean);
  const sorted = sort && !["latent", "density", "max"].includes(sort.name) && valueText(sort, place);
  const figures = [
    sorted && sort.name !== "tokens" && sort.name !== "label" && sort.name !== "verdict" ? `<span>${escapeHtml(visible(sort.name))} <b>${escapeHtml(sorted)}</b></span>` : "",
    `<span>fires on ${percent(density)}</span>`,
    `<span>max ${short(max)}</span>`,
    `<span class="saelab-bars">${histogramHtml(histogram, { wide: 2, high: 14 })}</span>`,
  ];
  const all = groups.flatMap(({ examples }) => examples);
  const characters = originColumns(all);
  const lines = top ? linesHtml(open ? top.examples : [all[example] ?? all[0]], style, characters) : `<p class="saelab-none">It never fires on these rows.</p>`;
  return (
    `<div class="saelab-row"><button type="button" class="saelab-pin" aria-pressed="${pinned}" aria-label="pin latent ${latent}" title="pin (p)" tabindex="-1">${pinned ? "★" : "☆"}</button>` +
    `<button type="button" class="saelab-open" id="${id}-${latent}" aria-expanded="${open}" tabindex="-1"><span aria-hidden="true">${open ? "▾" : "▸"}</span> <span class="saelab-hidden">latent </span>${latent}</button>` +
    `<span class="saelab-words">${words.join(" ")}</span><span class="saelab-figures">${figures.filter(Boolean).join(" ")}</span></div>` +
    (open ? `<div class="saelab-more">${tokenListsHtml(feature, 10)}${columnsHtml(browser, place)}${lines}${more.length ? groupsHtml(more, style, characters) : ""}${noteHtml(latent, note)}</div>` : lines)
  );
}

function columnsHtml(browser: Browser, place: number): string {
  const pairs = browser.columns.filter(({ name }) => !MEASURED.has(name)).map((column) => [column.name, valueText(column, place)]).filter(([, value]) => value);
  return pairs.length
    ? `<p class="saelab-columns">${pairs.map(([name, value]) => `<span>${escapeHtml(visible(name))} <b>${escapeHtml(value)}</b></span>`).join(" ")}</p>`
    : "";
}

const noteHtml = (latent: number, note = ""): string =>
  `<label class="saelab-note">note <textarea rows="1" aria-label="note on latent ${latent}" placeholder="kept in this output when the notebook is saved">${escapeHtml(note)}</textarea></label>`;

const KEYS: [string, string][] = [
  ["j k", "next, previous"], ["enter", "open"], ["e", "open all"], ["/", "search"], ["p", "pin"], ["n", "note"], ["c", "copy as text"], ["g G", "first, last"],
];

const QUERIES: [string, string][] = [
  ["wait", "fires on a token with “wait” in it, or a label, verdict or note has it; a number is a latent’s too"],
  ["token:wait", "fires on that token, spaces aside"],
  ["in:wait", "the token stands anywhere in its contexts"],
  ["density<1%", "a number; \"AUROC backtracking\">0.7 where its name has spaces"],
  ["verdict:survives", "a text of a column"],
  ["is:pinned", "or noted, labelled"],
  ["-word", "not so; several words: all of them"],
];

const rows = (pairs: [string, string][]): string => pairs.map(([what, means]) => `<li><kbd>${escapeHtml(what)}</kbd> ${escapeHtml(means)}</li>`).join("");

/** Search, order and what they mean. */
export function toolbarHtml(browser: Browser, sort: string, id: string): string {
  const options = browser.columns.map(({ name }) => `<option${name === sort ? " selected" : ""}>${escapeHtml(name)}</option>`).join("");
  return (
    `<div class="saelab-tools" role="search"><input type="search" class="saelab-search" aria-label="search features" placeholder="/ search: token, label, density<1%, is:pinned" spellcheck="false" autocomplete="off">` +
    `<label class="saelab-by">by <select aria-label="sort by">${options}</select></label>` +
    `<button type="button" class="saelab-way" aria-pressed="false" title="the other way round" aria-label="reversed order">↓</button>` +
    `<button type="button" class="saelab-pinned" aria-pressed="false" title="only pinned ones">★ <span class="saelab-pins">0</span></button>` +
    `<button type="button" class="saelab-help" aria-expanded="false" aria-controls="${id}-help" aria-label="keys and searches" title="keys and searches">?</button></div>` +
    `<div class="saelab-helped" id="${id}-help" hidden><ul>${rows(KEYS)}</ul><ul>${rows(QUERIES)}</ul></div>` +
    `<div class="saelab-legend">${scaleHtml("the feature’s")} <span><u>underlined</u>: the peak, its value in front</span> <span>${GLYPHS}</span></div>`
  );
}

/** What the search has found, as the status line says it. */
export function foundText(browser: Browser, found: number, unknown: string[]): string {
  const { count: n, of } = browser;
  const all = `${count(n)} of ${count(of)} latents`;
  return `${found === n ? all : `${count(found)} of ${count(n)} features found (${all})`}${unknown.length ? `; no column ${unknown.map((name) => `“${visible(name)}”`).join(", ")}` : ""}`;
}
