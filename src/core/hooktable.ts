import { HookError } from "./errors";
import { escapeHtml, MONO, padEnd, PLAIN, PLAIN_TABLE, ROW, RULE, SANS, SMALL } from "./html";
import type { HookRow } from "./types";

/** Places of a model, for a reader: many names at once, and a table that is not as long as the model is deep. */

/**
 * Patterns → names. A `*` stands for the number of a block, in any spelling (`layers.*.mlp`, `blocks.*.hook_mlp_out`), or else for a
 * part of a name between two points (`layers.0.attn.*`); there places that the model's file does not offer are passed over.
 * @param known whether a name is one of this model's places
 * @returns each name once, in the order given; names without `*` as they are
 * @throws HookError when nothing is meant
 */
export function expandHooks(spellings: string[], rows: HookRow[], layers: number, known: (name: string) => boolean): string[] {
  const expand = (spelling: string): string[] => {
    if (!spelling.includes("*")) return [spelling];
    if (known(spelling.replace("*", "0"))) return Array.from({ length: layers }, (_, i) => spelling.replace("*", String(i)));
    const parts = spelling.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const pattern = new RegExp(`^${parts.join("[^.]+")}$`);
    const found = rows.filter(({ missing }) => !missing).flatMap(({ name, transformerLens }) => [name, transformerLens ?? name].find((one) => pattern.test(one)) ?? []);
    if (!found.length) throw new HookError(`"${spelling}": expected a pattern of places, such as "layers.*.mlp" (* a block's number) or "layers.0.attn.*", found none that it means. saelab hooks MODEL lists all.`);
    return found;
  };
  return [...new Set(spellings.flatMap(expand))];
}

/** A row of the table: one place, or the same place of several blocks. */
export interface FoldedRow extends HookRow {
  /** Last of the blocks, when there are several. */
  to?: number;
}

/** Blocks that offer the same are one row each place: `layers.0…27.mlp`. */
export function foldHooks(rows: HookRow[]): FoldedRow[] {
  const same = (row: HookRow): string => [row.kind, row.width, row.shape, row.note, row.missing, row.readOnly].join("\n");
  const layered = rows.filter(({ name }) => name.startsWith("layers."));
  const of = (layer: number): string => layered.filter((row) => row.layer === layer).map(same).join("\n\n");
  const folded = new Map<number, number>(); // first block of a run → its last
  let first = -1;
  for (const layer of new Set(layered.map((row) => row.layer))) {
    if (first < 0 || of(layer) !== of(first)) first = layer;
    folded.set(first, layer);
  }
  return rows.flatMap((row): FoldedRow[] => {
    if (!row.name.startsWith("layers.")) return [row];
    const to = folded.get(row.layer);
    return to === undefined ? [] : to === row.layer ? [row] : [{ ...row, to }];
  });
}

const COLUMNS = ["hook", "TransformerLens", "shape", "note"];

function cellsOf(row: FoldedRow): string[] {
  const { layer, to, missing, readOnly } = row;
  const named = (name: string): string => (to === undefined ? name : name.replace(`.${layer}`, `.${layer}…${to}`));
  const note = [missing ? `missing: ${missing}` : "", readOnly ? `read only: ${readOnly}` : "", row.note ?? ""].filter(Boolean).join("; ");
  return [named(row.name), named(row.transformerLens ?? ""), row.shape, note];
}

export function hookTable(rows: FoldedRow[]): string {
  const cells = [COLUMNS, ...rows.map(cellsOf)];
  const width = [0, 1, 2].map((c) => Math.max(...cells.map((row) => row[c].length)));
  return cells.map((row) => row.map((cell, c) => padEnd(cell, width[c] ?? 0)).join("  ").trimEnd()).join("\n");
}

/** The same for a cell; what the file does not offer is pale. Survives JupyterLab's sanitiser unchanged. */
export function hookTableHtml(rows: FoldedRow[]): string {
  const style = (c: number): string => `text-align:left;vertical-align:top;padding:0.1em 1em 0.1em 0;border:0;white-space:${c === 3 ? "normal" : "nowrap"}`;
  const head = COLUMNS.map((name, c) => `<th style="${style(c)};border-bottom:${RULE};font-weight:600">${name}</th>`).join("");
  const body = rows.map((row) => {
    const pale = row.missing ? ";opacity:0.6" : "";
    const cells = cellsOf(row).map((text, c) => `<td style="${style(c)}${pale}">${c < 2 && text ? `<code style="font-family:${MONO};background:transparent;white-space:pre">${escapeHtml(text)}</code>` : escapeHtml(text)}</td>`);
    return `${ROW}${cells.join("")}</tr>`;
  });
  const folded = rows.find(({ to }) => to !== undefined);
  const [name] = folded ? cellsOf(folded) : [""];
  const note = folded ? `<p style="${SMALL};margin:0.3em 0 0">${escapeHtml(`${name}: one in each of these blocks, such as ${folded.name}.`)}</p>` : "";
  return (
    `<div class="saelab-hooks ${PLAIN}" style="font-family:${SANS};font-size:13px;line-height:1.5;overflow-x:auto">` +
    `<table style="${PLAIN_TABLE};margin:0"><thead><tr>${head}</tr></thead><tbody>${body.join("")}</tbody></table>${note}</div>`
  );
}
