import type { DataFrame } from "danfojs-node";
import { OptionError } from "../core/errors";
import { FEATURE_COLUMNS, tableHtml, tableText, type TableView } from "../core/featuretable";
import { notedHtml, notedText, packTable, type NotedTable } from "../core/noted";
import { visible } from "../core/token";
import type { Features, TopOptions } from "./features";
import { DISPLAY, shown, type Bundle, type ShownNow } from "./show";
import { tensorflow } from "./tensorflow";

/** danfojs, loaded when the first table is made: it brings TensorFlow with it. */
export type { DataFrame };

const SHOWN_ROWS = 20;

/**
 * Rows as a danfojs DataFrame. From then on every DataFrame of this process shows itself in a cell, those that its
 * methods return too, and sorts what is not there last.
 * @throws EngineError if neither TensorFlow nor TF.js, which danfojs computes with, can be loaded
 */
export function dataFrame(rows: (number | string)[][], columns: string[]): DataFrame {
  tensorflow(); // first: sets back what old TF.js needs of newer Node versions
  const danfo = require("danfojs-node") as typeof import("danfojs-node");
  // the exported class extends the one whose instances sortValues, head and the like return
  const prototype = Object.getPrototypeOf(danfo.DataFrame.prototype) as Record<string | symbol, unknown>;
  prototype[DISPLAY] ??= function (this: DataFrame): Bundle {
    return tableBundle({
      columns: this.columns,
      rows: (this.values as TableView["rows"]).slice(0, SHOWN_ROWS),
      total: this.shape[0],
    });
  };
  prototype.sortValues = function (this: DataFrame, column: string, options?: SortOptions): DataFrame | void {
    return sortValues(danfo, this, column, options);
  };
  return new danfo.DataFrame(rows, { columns });
}

interface SortOptions {
  ascending?: boolean; // true
  inplace?: boolean; // false
}

/**
 * danfojs' own compares NaN with numbers, which leaves rows in no order at all, and looks every row up in a list: 4 s at 65,536. Here NaN, null and empty texts
 * come last either way, equal rows stay in their order, and capitals do not count, as there.
 */
function sortValues(danfo: typeof import("danfojs-node"), frame: DataFrame, column: string, { ascending = true, inplace = false }: SortOptions = {}): DataFrame | void {
  const at = frame.columns.indexOf(column);
  if (at < 0) throw new OptionError(`sortValues: expected one of the columns ${frame.columns.join(", ")}, found ${JSON.stringify(column)}.`);
  const rows = frame.values as unknown[][];
  const keys = rows.map((row): number | string | undefined => {
    const value = row[at];
    if (value === null || value === undefined || value === "" || Number.isNaN(value)) return undefined;
    return typeof value === "string" ? value.toUpperCase() : Number(value);
  });
  const turn = ascending ? 1 : -1;
  const order = rows.map((_, i) => i).sort((i, j) => {
    const [a, b] = [keys[i], keys[j]];
    if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined) || i - j;
    return (a < b ? -turn : a > b ? turn : 0) || i - j;
  });
  const [values, index] = [order.map((i) => rows[i]), order.map((i) => frame.index[i])];
  if (!inplace) return new danfo.DataFrame(values, { columns: frame.columns, index, dtypes: frame.dtypes, config: { ...frame.config } });
  frame.$setValues(values as never);
  frame.$setIndex(index);
}

const TABLE = "application/vnd.saelab.table.v1+json";

export const tableBundle = (table: TableView): Bundle => ({ [TABLE]: packTable(table), "text/html": tableHtml(table), "text/plain": tableText(table) });

/** A table with notes: what renders tables shows them too. */
export const notedBundle = (table: NotedTable): Bundle => ({ [TABLE]: packTable(table, table), "text/html": notedHtml(table), "text/plain": notedText(table) });

/** A table with a page of its own: what renders tables shows this title above it, and these notes below. */
export const saidBundle = (table: TableView, said: { title?: string; notes?: string[]; html: string; text: string }): Bundle => ({
  [TABLE]: packTable(table, said), "text/html": said.html, "text/plain": said.text,
});

/**
 * The features of `top(options)` as rows: how often, how strongly and on which tokens each fires. The same as a
 * DataFrame: `features.table()`.
 */
export function featureTable(features: Features, options: TopOptions = {}): ShownNow {
  const top = features.top({ ...options, examples: 1 });
  const rows = top.map(({ latent, density, mean, max, entropy, distinctTokens, triggers }) => [
    latent,
    density,
    mean,
    max,
    entropy,
    distinctTokens,
    triggers.map(({ text }) => visible(text).trim()).join(" "),
  ]);
  const alive = features.fired.reduce((sum, n) => sum + (n > 0 ? 1 : 0), 0);
  return shown(() => tableBundle({ columns: FEATURE_COLUMNS, rows, total: options.latents ? rows.length : alive }));
}
