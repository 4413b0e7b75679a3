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
export function splitDocuments(documents: Pick<Document, "split">[]): ("train" | "heldout")[] {
  const unnamed = documents.filter(({ split }) => !split).length;
  let seen = 0;
  return documents.map(({ split }) => {
    if (split) return split;
    seen++;
    return unnamed < 10 ? (seen === unnamed && unnamed > 1 ? "heldout" : "train") : seen % 10 ? "train" : "heldout";
  });
}

/**
 * Rows of one side of the split, as ranges without gaps between neighbours. A corpus that is one document without a side
 * is cut by rows: its last tenth is held out.
 * @param documentRows first row of each document and one past the last, [documents + 1]
 */
export function splitRanges(
  documents: Pick<Document, "split">[], documentRows: Int32Array, split: "train" | "heldout" | "all",
): Range[] {
  const rows = documentRows[documents.length];
  const range = (from: number, to: number): Range[] => (from < to ? [{ from, to }] : []);
  if (split === "all") return range(0, rows);
  if (documents.length === 1 && !documents[0].split) {
    const cut = rows - Math.floor(rows / 10);
    return split === "train" ? range(0, cut) : range(cut, rows);
  }
  const ranges: Range[] = [];
  splitDocuments(documents).forEach((side, i) => {
    if (side !== split || documentRows[i] === documentRows[i + 1]) return;
    const last = ranges.at(-1);
    if (last && last.to === documentRows[i]) last.to = documentRows[i + 1];
    else ranges.push({ from: documentRows[i], to: documentRows[i + 1] });
  });
  return ranges;
}

/**
 * The interval that a number is in: starts[i] ≤ at < starts[i + 1]; empty ones are left aside.
 * @param starts ascending, with the end of the last one behind
 */
export function intervalOf(starts: ArrayLike<number>, at: number): number {
  let low = 0, high = starts.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= at) low = middle;
    else high = middle;
  }
  return low;
}
