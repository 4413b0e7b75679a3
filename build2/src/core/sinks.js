"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.normLimit = normLimit;
exports.keptRows = keptRows;
exports.closeGaps = closeGaps;
const norms_1 = require("./norms");
/**
 * Largest norm a row of a hook may have: dropNorm × the median, taken without first positions where they are dropped.
 * @param norms of the hook's rows
 * @param isFirst 1 for the first position of a context
 * @returns null when any norm will do: no rule, no rows to take a median of, or a hook that gives zeros
 */
function normLimit(norms, isFirst, { dropFirst, dropNorm }) {
    if (dropNorm === false)
        return null;
    const counted = dropFirst ? norms.filter((_, i) => !isFirst[i]) : norms.slice();
    const middle = counted.length ? (0, norms_1.median)(counted) : 0;
    return middle > 0 ? dropNorm * middle : null;
}
/**
 * Rows that stay. A row that is a sink at one hook is dropped from all, as rows of all hooks lie side by side.
 * @param norms of each hook's rows, [hooks][≥ rows]
 * @param limits of each hook, as normLimit gives them
 * @param isFirst [rows]
 */
function keptRows(norms, limits, isFirst, dropFirst) {
    const runs = [];
    const dropped = { first: 0, norm: 0 };
    for (let row = 0; row < isFirst.length; row++) {
        if (dropFirst && isFirst[row])
            dropped.first++;
        else if (limits.some((limit, hook) => limit !== null && norms[hook][row] > limit))
            dropped.norm++;
        else {
            const last = runs.at(-1);
            if (last?.to === row)
                last.to++;
            else
                runs.push({ from: row, to: row + 1 });
        }
    }
    return { runs, dropped };
}
/**
 * Moves the rows that stay to the front, in place.
 * @param x rows of `width` numbers
 * @returns x as far as it holds them
 */
function closeGaps(x, width, runs) {
    let rows = 0;
    for (const { from, to } of runs) {
        if (from !== rows)
            x.copyWithin(rows * width, from * width, to * width);
        rows += to - from;
    }
    return x.subarray(0, rows * width);
}
//# sourceMappingURL=sinks.js.map