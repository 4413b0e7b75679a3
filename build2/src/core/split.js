"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.splitDocuments = splitDocuments;
exports.splitRanges = splitRanges;
/**
 * Which side of the split each document is on: the side it names; of those that name none, every tenth (the 10th, 20th, …) is held out,
 * and the last one when there are two to nine of them.
 */
function splitDocuments(documents) {
    const unnamed = documents.filter(({ split }) => !split).length;
    let seen = 0;
    return documents.map(({ split }) => {
        if (split)
            return split;
        seen++;
        return unnamed < 10 ? (seen === unnamed && unnamed > 1 ? "heldout" : "train") : seen % 10 ? "train" : "heldout";
    });
}
/**
 * Rows of one side of the split, as ranges without gaps between neighbours. A corpus that is one document without a side
 * is cut by rows: its last tenth is held out.
 * @param documentRows first row of each document and one past the last, [documents + 1]
 */
function splitRanges(documents, documentRows, split) {
    const rows = documentRows[documents.length];
    const range = (from, to) => (from < to ? [{ from, to }] : []);
    if (split === "all")
        return range(0, rows);
    if (documents.length === 1 && !documents[0].split) {
        const cut = rows - Math.floor(rows / 10);
        return split === "train" ? range(0, cut) : range(cut, rows);
    }
    const ranges = [];
    splitDocuments(documents).forEach((side, i) => {
        if (side !== split || documentRows[i] === documentRows[i + 1])
            return;
        const last = ranges.at(-1);
        if (last && last.to === documentRows[i])
            last.to = documentRows[i + 1];
        else
            ranges.push({ from: documentRows[i], to: documentRows[i + 1] });
    });
    return ranges;
}
//# sourceMappingURL=split.js.map