import type { TableView } from "./featuretable";
import { ansi, escapeHtml, MONO, PLAIN, SANS, SMALL } from "./html";
import type { GeneratedDocument, HookKind } from "./types";

/** What a pass gave and what a model wrote, as the last line of a cell shows it: shapes and sizes, not a screen of numbers. */

/** Rows of one hook. */
export interface RowsView {
  name: string;
  kind: HookKind;
  /** Numbers in a row; of a pattern, heads. */
  width: number;
  data: Float32Array;
}

const FIRST = 4;

/** A row for each hook: shape, root mean square of all its numbers, the first of them. @param lengths tokens of each text */
export function rowsTable(hooks: RowsView[], lengths: number[]): TableView {
  const shape = ({ kind, width, data }: RowsView): string =>
    kind !== "pattern" ? `[${data.length / width}, ${width}]` : lengths.length === 1 ? `[${width}, ${lengths[0]}, ${lengths[0]}]` : `[${width}, query, key] of each of ${lengths.length} texts`;
  const rms = ({ data }: RowsView): number => Math.sqrt(data.reduce((sum, x) => sum + x * x, 0) / data.length);
  const first = ({ data }: RowsView): string => `${Array.from(data.subarray(0, FIRST), (x) => x.toPrecision(3)).join(", ")}${data.length > FIRST ? ", …" : ""}`;
  return {
    columns: ["hook", "shape", "RMS", "Float32Array"],
    rows: hooks.map((hook) => [hook.name, shape(hook), rms(hook), first(hook)]),
    total: hooks.length,
  };
}

const parts = ({ text, prompt }: GeneratedDocument): [string, string] => [text.slice(0, prompt), text.slice(prompt)];

/** Numbers in a row of each hook. */
type Widths = Record<string, number>;

const kept = ({ ids, rows }: GeneratedDocument, widths: Widths): string =>
  ids && rows ? `.ids: ${ids.length} tokens; .rows: ${Object.entries(rows).map(([name, data]) => `${name} [${data.length / widths[name]}, ${widths[name]}]`).join(", ")}` : "";

/** Each text with what the model wrote in bold; survives JupyterLab's sanitiser unchanged. */
export function writtenHtml(documents: GeneratedDocument[], widths: Widths): string {
  const small = (text: string): string => (text ? `<p style="${SMALL};margin:0">${escapeHtml(text)}</p>` : "");
  const body = documents.map((document) => {
    const [given, written] = parts(document).map(escapeHtml);
    return `${small(document.id)}<pre style="font-family:${MONO};background:transparent;border:0;margin:0 0 0.6em;padding:0;white-space:pre-wrap"><span style="opacity:0.7">${given}</span><b>${written}</b></pre>${small(kept(document, widths))}`;
  });
  return `<div class="saelab-written ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5">${body.join("")}</div>`;
}

/** The same for a terminal; without colour a bar stands where the model begins. */
export function writtenText(documents: GeneratedDocument[], widths: Widths, color = true): string {
  const paint = ansi(color);
  return documents.map((document) => {
    const [given, written] = parts(document);
    return [`${document.id}:`, color ? `${paint("2", given)}${paint("1", written)}` : `${given}▌${written}`, kept(document, widths)].filter(Boolean).join("\n");
  }).join("\n\n");
}
