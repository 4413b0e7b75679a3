import { ansiShade } from "./shading";
import { ansi, columns as wide, escapeHtml, MONO, padEnd, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, shade, short, SMALL } from "./html";
import type { LensCell } from "./lens";

/** What a lens and an attribution look like in a cell and in a terminal. */

export interface LensView {
  /** Position of the first column in the text. */
  from: number;
  /** Tokens of the text, made visible. */
  tokens: string[];
  rows: { hook: string; cells: LensCell[] }[];
  /** Of the last position: ranks of these are a column each. */
  targets: number[];
  /** A token's visible text. */
  word: (token: number) => string;
}

const probability = (p: number): string => (p < 0.0005 ? "<0.001" : p.toFixed(3));

const told = ({ top, next, targets, kl }: LensCell, word: LensView["word"]): string =>
  [
    top.map(({ token, probability: p }) => `“${word(token)}” ${probability(p)}`).join(", "),
    ...[...(next ? [{ ...next, what: "next" }] : []), ...targets.map((one) => ({ ...one, what: "target" }))].map(({ what, token, rank, logProbability }) =>
      `${what} “${word(token)}”: rank ${rank.toLocaleString("en")}, ${probability(Math.exp(logProbability))}`),
    `KL ${short(kl)} nats`,
  ].join("\n");

/** The last positions, as many as the reader's page takes. */
function lastColumns(view: LensView, most: number): { view: LensView; note: string } {
  const left = view.tokens.length - most;
  if (left <= 0) return { view, note: "" };
  return {
    view: { ...view, from: view.from + left, tokens: view.tokens.slice(left), rows: view.rows.map(({ hook, cells }) => ({ hook, cells: cells.slice(left) })) },
    note: `The first ${left === 1 ? "position is" : `${left} positions are`} not shown, to keep this output small; .rows has all.`,
  };
}

const WIDEST = 24;

/** Characters of a token that a column shows; all of it is in the cell's title. */
const LONGEST = 14;

/** Characters side by side that a page takes without scrolling, the room between them included; and those of a rank. */
const PAGE = 118;
const RANK = 11;

const brief = (text: string): string => (wide(text) <= LONGEST ? text : `${[...text].slice(0, LONGEST - 1).join("")}…`);

/** As many of the last columns as the page is wide. */
function fitting({ tokens, rows, targets, word }: LensView): number {
  const room = PAGE - RANK * targets.length;
  let used = Math.max(...rows.map(({ hook }) => hook.length));
  for (let t = tokens.length - 1; t >= 0; t--) {
    used += 2 + Math.max(...[tokens[t], ...rows.map(({ cells }) => word(cells[t].top[0].token))].map((text) => wide(brief(text))));
    if (used > room) return Math.max(1, tokens.length - 1 - t);
  }
  return tokens.length;
}

/** A table of hooks × positions, at most `bytes` long; survives JupyterLab's sanitiser unchanged. */
export function lensHtml(all: LensView, bytes = 200_000): string {
  for (let most = Math.min(WIDEST, fitting(all)); ; most = Math.floor(most * 0.75)) {
    const { view, note } = lastColumns(all, most);
    const html = tableOf(view, note);
    if (most === 1 || new TextEncoder().encode(html).length <= bytes) return html;
  }
}

function tableOf({ from, tokens, rows, targets, word }: LensView, note: string): string {
  const code = (text: string, ink = ""): string => `<code style="font-family:${MONO};background:transparent;white-space:pre${ink}">${escapeHtml(text)}</code>`;
  const side = "text-align:left;padding:0.1em 0.6em 0.1em 0;border:0;white-space:nowrap";
  const last = from + tokens.length - 1;
  const rank = "text-align:right;padding:0.1em 0.4em 0.1em 1em;border:0;white-space:nowrap";
  const head = (name: string, cells: string[], more: string[]): string =>
    `${ROW}<th style="${side};font-weight:400;opacity:0.75">${name}</th>${cells.map((cell) => `<th style="text-align:left;padding:0.1em 0.4em;border:0;border-bottom:${RULE};font-weight:600">${cell}</th>`).join("")}${more.map((cell) => `<th style="${rank};border-bottom:${RULE};font-weight:600">${cell}</th>`).join("")}</tr>`;
  const body = rows.map(({ hook, cells }) =>
    `${ROW}<th style="${side};font-weight:400">${escapeHtml(hook)}</th>${cells.map((cell) => {
      const [{ token, probability: p }] = cell.top;
      const text = code(brief(word(token)), p >= 0.66 ? ";color:#000" : "");
      const right = token === cell.next?.token;
      return `<td style="text-align:left;padding:0.1em 0.4em;border:0;white-space:nowrap;background:${shade(p)}" title="${escapeHtml(told(cell, word))}">${right ? `<b><u>${text}</u></b>` : text}</td>`;
    }).join("")}${targets.map((_, i) => `<td style="${rank}">${cells.at(-1)!.targets[i].rank.toLocaleString("en")}</td>`).join("")}</tr>`);
  return (
    `<div class="saelab-lens ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5;overflow-x:auto">` +
    `<table style="${PLAIN_TABLE};margin:0"><thead>${head("position", tokens.map((_, t) => String(from + t)), targets.map(() => "rank of"))}${head("token", tokens.map((token) => code(brief(token))), targets.map((token) => code(brief(word(token)))))}</thead><tbody>${body.join("")}</tbody></table>` +
    `<p style="${SMALL};margin:0.3em 0 0">Each cell: the most likely next token there, shaded by its probability from 0 to 1; underlined where it is the token that follows.${targets.length ? ` Ranks: after position ${last}, 1 the most likely.` : ""} ${escapeHtml(note)}</p></div>`
  );
}

const CELL = 9;
const TERMINAL = 11;

const fit = (text: string, width: number): string => {
  if (wide(text) <= width) return padEnd(text, width);
  let cut = "";
  for (const character of text) {
    if (wide(cut + character) > width - 1) break;
    cut += character;
  }
  return padEnd(`${cut}…`, width);
};

/** The same for a terminal: shaded in colour, or each with its probability in percent. */
export function lensText(all: LensView, color = true): string {
  const { targets } = all;
  const { view: { tokens, rows, word }, note } = lastColumns(all, Math.max(1, TERMINAL - targets.length));
  const paint = ansi(color);
  const side = Math.max(5, ...rows.map(({ hook }) => hook.length));
  const line = (name: string, cells: string[]): string => `${padEnd(name, side)}  ${cells.join(" ")}`.trimEnd();
  return [
    line("token", [...tokens.map((token) => fit(token, CELL)), ...targets.map((token) => fit(`#${word(token)}`, CELL))]),
    ...rows.map(({ hook, cells }) => line(hook, [...cells.map((cell) => {
      const [{ token, probability: p }] = cell.top;
      return color ? paint(p < 0.005 ? "" : ansiShade(p), fit(word(token), CELL)) : `${fit(word(token), CELL - 4)} ${`${Math.round(100 * p)}`.padStart(3)}`;
    }), ...targets.map((_, i) => fit(cells.at(-1)!.targets[i].rank.toLocaleString("en"), CELL))])),
    color ? "shade: probability of the most likely next token" : "number: probability of the most likely next token, %",
    targets.length ? "#: a token's rank after the last position, 1 the most likely" : "",
    note,
  ].filter(Boolean).join("\n");
}

export interface AttributionView {
  /** What is divided into shares, such as `logit of " Paris"`. */
  title: string;
  parts: { name: string; value: number; heads?: number[]; bias?: number }[];
  total: number;
  notes: string[];
}

const signed = (x: number): string => `${x > 0 ? "+" : ""}${short(x)}`;

/** Parts with their heads and biases below them. */
const lines = ({ parts }: AttributionView): { name: string; value: number; part: boolean }[] =>
  parts.flatMap(({ name, value, heads, bias }) => [
    { name, value, part: true },
    ...(heads ?? []).map((share, h) => ({ name: `head ${h}`, value: share, part: false })),
    ...(bias ? [{ name: "bias", value: bias, part: false }] : []),
  ]);

const BAR = 140; // pixels on each side of zero

/** Bars to the left and right of zero; survives JupyterLab's sanitiser unchanged. */
export function attributionHtml(view: AttributionView): string {
  const all = lines(view);
  const most = Math.max(...all.map(({ value }) => Math.abs(value)), 1e-12);
  const cell = "padding:0.05em 0.6em 0.05em 0;border:0;white-space:nowrap";
  const bar = (value: number, strong: boolean): string => {
    const width = Math.round((BAR * Math.abs(value)) / most);
    const paint = `display:inline-block;height:0.8em;width:${width}px;background:${value < 0 ? "rgba(58,134,214,0.8)" : "rgba(255,140,26,0.8)"}${strong ? "" : ";opacity:0.6"}`;
    return `<span style="display:inline-block;width:${BAR}px;text-align:right">${value < 0 ? `<span style="${paint}"></span>` : ""}</span><span style="display:inline-block;width:${BAR}px;text-align:left">${value < 0 ? "" : `<span style="${paint}"></span>`}</span>`;
  };
  const row = (name: string, value: number, part: boolean): string =>
    `${ROW}<td style="${cell};text-align:left">${part ? "" : "&nbsp;&nbsp;"}${escapeHtml(name)}</td><td style="${cell};text-align:right">${part ? `<b>${signed(value)}</b>` : signed(value)}</td><td style="${cell};text-align:left">${bar(value, part)}</td></tr>`;
  return (
    `<div class="saelab-attribution ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.4;overflow-x:auto"><strong>${escapeHtml(view.title)}: ${short(view.total)}</strong>` +
    `<table style="${PLAIN_TABLE};margin:0.3em 0"><tbody>${all.map(({ name, value, part }) => row(name, value, part)).join("")}</tbody></table>` +
    `<p style="${SMALL};margin:0">${view.notes.map(escapeHtml).join(" ")}</p></div>`
  ).replaceAll("&nbsp;", "\u00a0");
}

const BLOCKS = 20;

export function attributionText(view: AttributionView): string {
  const all = lines(view);
  const most = Math.max(...all.map(({ value }) => Math.abs(value)), 1e-12);
  const width = Math.max(...all.map(({ name, part }) => name.length + (part ? 0 : 2)));
  return [
    `${view.title}: ${short(view.total)}`,
    ...all.map(({ name, value, part }) => {
      const bar = "█".repeat(Math.round((BLOCKS * Math.abs(value)) / most));
      return `${padEnd(`${part ? "" : "  "}${name}`, width)}  ${signed(value).padStart(8)}  ${value < 0 ? `${bar.padStart(BLOCKS)}│` : `${" ".repeat(BLOCKS)}│${bar}`}`;
    }),
    ...view.notes,
  ].join("\n");
}
