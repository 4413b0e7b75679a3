import { count, escapeHtml, MONO, padEnd, padStart, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, short, SMALL } from "./html";
import type { Words } from "./heatmap";
import { TRIGGERS } from "./tokenspread";
import { visible } from "./token";

/** Columns of the feature table, one row a latent. */
export const FEATURE_COLUMNS = ["latent", "density", "mean", "max", "entropy", "distinct", "tokens"];

export interface TableSource {
  rows: number;
  fired: Int32Array; // [F]
  mean: Float32Array; // [F]
  max: Float32Array; // [F]
  entropy: Float32Array; // [F] bits
  distinct: Int32Array; // [F]
  trigger: Int32Array; // [F, TRIGGERS], −1: none
  words: Words;
}

export function featureRows({
  rows,
  fired,
  mean,
  max,
  entropy,
  distinct,
  trigger,
  words,
}: TableSource): (number | string)[][] {
  return Array.from(fired, (n, f) => [
    f,
    n / rows,
    mean[f],
    max[f],
    entropy[f],
    distinct[f],
    [...trigger.subarray(f * TRIGGERS, (f + 1) * TRIGGERS)]
      .filter((id) => id >= 0)
      .map((id) => visible(words.token(id)).trim())
      .join(" "),
  ]);
}

export interface TableView {
  columns: string[];
  rows: (number | string | null | undefined)[][];
  /** How many rows there are in all. */
  total: number;
  /** Texts are words of ours, not names or tokens: set as text. */
  words?: boolean;
}

const NUMBER = /^((< )?−?[\d.,]+(e−?\d+)?( %)?|[–∞]|)$/; // as short and percent write them

const LATENTS = /^(latent|nearest|partner|\d+\.)$/; // columns of latents' numbers, which are names: without a comma they can be copied into a program

/** The cells of a column: whole numbers as they are, or all with three digits where one is not whole. */
function column({ columns, rows }: TableView, c: number): string[] {
  const whole = rows.every(({ [c]: value }) => typeof value !== "number" || Number.isInteger(value));
  const said = LATENTS.test(columns[c]) && whole ? String : (value: number): string => (whole || value === 0 ? count(value) : short(value));
  return rows.map(({ [c]: value }) => (value === null || value === undefined ? "" : typeof value === "string" ? value : said(value)));
}

/** Row by row. */
function cells(table: TableView): string[][] {
  const byColumn = table.columns.map((_, c) => column(table, c));
  return table.rows.map((_, r) => byColumn.map((texts) => texts[r]));
}

const isNumeric = ({ rows }: TableView, c: number): boolean =>
  rows.length > 0 && rows.every(({ [c]: value }) => typeof value !== "string" || NUMBER.test(value)) && rows.some(({ [c]: value }) => value !== "");

const rest = ({ rows, total }: TableView): string =>
  total > rows.length ? `the first ${count(rows.length)} of ${count(total)} rows` : "";

const LONG = 36; // characters from which a text goes on several lines where the page is narrow

/** Any table as HTML: numbers and percentages to the right, text in <code>, or as text where it is words. Survives JupyterLab's sanitiser unchanged. */
export function tableHtml(table: TableView): string {
  const align = table.columns.map((_, c) => (isNumeric(table, c) ? "right" : "left"));
  const wraps = (text: string): string => (text.length > LONG ? "normal" : "nowrap");
  const style = (c: number, text = ""): string =>
    `text-align:${align[c]};padding:0.15em 0.8em 0.15em 0;border:0;vertical-align:baseline;white-space:${wraps(text)}${text.length > LONG ? ";min-width:22em" : ""}`;
  const shown = (text: string, c: number): string => align[c] === "right" || table.words
    ? escapeHtml(text)
    : `<code style="font-family:${MONO};background:transparent;padding:0;white-space:${wraps(text)}">${escapeHtml(text)}</code>`;
  const head = table.columns
    .map((name, c) => `<th style="${style(c)};border-bottom:${RULE};font-weight:600">${escapeHtml(name)}</th>`)
    .join("");
  const body = cells(table)
    .map((row) => `${ROW}${row.map((text, c) => `<td style="${style(c, text)}">${shown(text, c)}</td>`).join("")}</tr>`)
    .join("");
  const note = rest(table);
  return (
    `<div class="saelab-table ${PLAIN}" style="font-family:${SANS};font-size:13px;overflow-x:auto"><table style="${PLAIN_TABLE};margin:0"><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>` +
    `${note ? `<p style="${SMALL};margin:0.3em 0 0">${note}</p>` : ""}</div>`
  );
}

export function tableText(table: TableView): string {
  const all = [table.columns, ...cells(table)];
  const width = table.columns.map((_, c) => Math.max(...all.map((row) => [...row[c]].length)));
  const lines = all.map((row) =>
    row
      .map((text, c) => (isNumeric(table, c) ? padStart : padEnd)(text, width[c]))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, rest(table)].filter(Boolean).join("\n");
}
