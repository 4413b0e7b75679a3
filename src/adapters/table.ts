import type { DataFrame } from "danfojs-node";
import { FEATURE_COLUMNS, tableHtml, tableText, type TableView } from "../core/featuretable";
import { notedHtml, notedText, type NotedTable } from "../core/noted";
import { visible } from "../core/token";
import type { Features, TopOptions } from "./features";
import { DISPLAY, shown, type Bundle, type ShownNow } from "./show";
import { tensorflow } from "./tensorflow";

/** danfojs, loaded when the first table is made: it brings TensorFlow with it. */
export type { DataFrame };

const SHOWN_ROWS = 20;

/**
 * Rows as a danfojs DataFrame. From then on every DataFrame of this process shows itself in a cell, those that its
 * methods return too.
 * @throws EngineError if TensorFlow, which danfojs computes with, cannot be loaded
 */
export function dataFrame(rows: (number | string)[][], columns: string[]): DataFrame {
  tensorflow(); // first: sets back what old TF.js needs of newer Node versions
  const danfo = require("danfojs-node") as typeof import("danfojs-node");
  // the exported class extends the one whose instances sortValues, head and the like return
  const prototype = Object.getPrototypeOf(danfo.DataFrame.prototype) as Record<symbol, unknown>;
  prototype[DISPLAY] ??= function (this: DataFrame): Bundle {
    return tableBundle({
      columns: this.columns,
      rows: (this.values as TableView["rows"]).slice(0, SHOWN_ROWS),
      total: this.shape[0],
    });
  };
  return new danfo.DataFrame(rows, { columns });
}

export const tableBundle = (table: TableView): Bundle => ({
  "application/vnd.saelab.table.v1+json": {
    version: 1,
    columns: table.columns,
    rows: JSON.stringify(table.rows),
    total: table.total,
  },
  "text/html": tableHtml(table),
  "text/plain": tableText(table),
});

/** A table with notes: what renders tables shows it, and has the notes beside. */
export const notedBundle = (table: NotedTable): Bundle => ({
  ...tableBundle(table),
  "application/vnd.saelab.table.v1+json": { ...(tableBundle(table)["application/vnd.saelab.table.v1+json"] as object), notes: table.notes },
  "text/html": notedHtml(table),
  "text/plain": notedText(table),
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
