import type { Words } from "./heatmap";
/** Columns of the feature table, one row a latent. */
export declare const FEATURE_COLUMNS: string[];
export interface TableSource {
    rows: number;
    fired: Int32Array;
    mean: Float32Array;
    max: Float32Array;
    entropy: Float32Array;
    distinct: Int32Array;
    trigger: Int32Array;
    words: Words;
}
export declare function featureRows({ rows, fired, mean, max, entropy, distinct, trigger, words, }: TableSource): (number | string)[][];
export interface TableView {
    columns: string[];
    rows: (number | string | null | undefined)[][];
    /** How many rows there are in all. */
    total: number;
}
/** Any table as HTML: numbers to the right with three digits, text in <code>. Survives JupyterLab's sanitiser unchanged. */
export declare function tableHtml(table: TableView): string;
export declare function tableText(table: TableView): string;
