import type { DataFrame } from "danfojs-node";
import { type TableView } from "../core/featuretable";
import type { Features, TopOptions } from "./features";
import { type Bundle, type ShownNow } from "./show";
/** danfojs, loaded when the first table is made: it brings TensorFlow with it. */
export type { DataFrame };
/**
 * Rows as a danfojs DataFrame. From then on every DataFrame of this process shows itself in a cell, those that its
 * methods return too.
 * @throws EngineError if TensorFlow, which danfojs computes with, cannot be loaded
 */
export declare function dataFrame(rows: (number | string)[][], columns: string[]): DataFrame;
export declare const tableBundle: (table: TableView) => Bundle;
/**
 * The features of `top(options)` as rows: how often, how strongly and on which tokens each fires. The same as a
 * DataFrame: `features.table()`.
 */
export declare function featureTable(features: Features, options?: TopOptions): ShownNow;
