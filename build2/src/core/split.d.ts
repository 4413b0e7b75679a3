import type { Document } from "./types";
/** A half-open range of rows. */
export interface Range {
    from: number;
    to: number;
}
/**
 * Which side of the split each document is on: the side it names; of those that name none, every tenth (the 10th, 20th, …) is held out,
 * and the last one when there are two to nine of them.
 */
export declare function splitDocuments(documents: Pick<Document, "split">[]): ("train" | "heldout")[];
/**
 * Rows of one side of the split, as ranges without gaps between neighbours. A corpus that is one document without a side
 * is cut by rows: its last tenth is held out.
 * @param documentRows first row of each document and one past the last, [documents + 1]
 */
export declare function splitRanges(documents: Pick<Document, "split">[], documentRows: Int32Array, split: "train" | "heldout" | "all"): Range[];
