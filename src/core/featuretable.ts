import { count, escapeHtml, MONO, padEnd, padStart, PLAIN, RULE, SANS, short } from "./html";
import type { Words } from "./heatmap";
import { TRIGGERS } from "./collect";
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
}

const cell = (value: number | string | null | undefined): string =>
  value === null || value === undefined
    ? ""
    : typeof value === "string"
      ? value
      : Number.isInteger(value)
        ? count(value)
        : short(value);

const isNumeric = ({ rows }: TableView, column: number): boolean =>
  rows.length > 0 && rows.every((row) => typeof row[column] !== "string");

const rest = ({ rows, total }: TableView): string =>
  total > rows.length ? `the first ${count(rows.length)} of ${count(total)} rows` : "";

/** Any table as HTML: numbers to the right with three digits, text in <code>. Survives JupyterLab's sanitiser unchanged. */
export function tableHtml(table: TableView): string {
  const align = table.columns.map((_, c) => (isNumeric(table, c) ? "right" : "left"));
  const style = (c: number): string => `text-align:${align[c]};padding:0.15em 0.8em 0.15em 0;border:0;white-space:nowrap`;
  const head = table.columns
    .map((name, c) => `<th style="${style(c)};border-bottom:${RULE};font-weight:600">${escapeHtml(name)}</th>`)
    .join("");
  const body = table.rows
    .map(
      (row) =>
        `<tr style="background:transparent">${row
          .map(
            (value, c) =>
              `<td style="${style(c)}">${align[c] === "right" ? cell(value) : `<code style="font-family:${MONO};background:transparent">${escapeHtml(cell(value))}</code>`}</td>`,
          )
          .join("")}</tr>`,
    )
    .join("");
  const note = rest(table);
  return (
    `<div class="saelab-table ${PLAIN}" style="font-family:${SANS};font-size:13px;overflow-x:auto"><table style="border-collapse:collapse;border:0;margin:0"><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table>` +
    `${note ? `<p style="font-size:12px;opacity:0.85;margin:0.3em 0 0">${note}</p>` : ""}</div>`
  );
}

export function tableText(table: TableView): string {
  const cells = [table.columns, ...table.rows.map((row) => row.map(cell))];
  const width = table.columns.map((_, c) => Math.max(...cells.map((row) => [...row[c]].length)));
  const lines = cells.map((row) =>
    row
      .map((text, c) => (isNumeric(table, c) ? padStart : padEnd)(text, width[c]))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, rest(table)].filter(Boolean).join("\n");
}
