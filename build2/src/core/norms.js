"use strict";
/** Length of rows: attention sinks are told by it. */
Object.defineProperty(exports, "__esModule", { value: true });
exports.rowNorms = rowNorms;
exports.median = median;
/**
 * ‖x_i‖₂ of each row, summed in float64.
 * @param x rows [n, d]
 * @param out [≥ n], filled from 0
 * @returns the first row with an element that is not finite, or -1 (its norm is then not finite either)
 */
function rowNorms(x, d, out) {
    const n = x.length / d;
    let bad = -1;
    for (let i = 0, at = 0; i < n; i++) {
        let sum = 0;
        for (const end = at + d; at < end; at++)
            sum += x[at] * x[at];
        out[i] = Math.sqrt(sum); // squares of float32 stay far below the largest float64: infinite only if an element is
        if (bad < 0 && !(sum < Infinity))
            bad = i;
    }
    return bad;
}
/** The middle value, or the mean of the two middle ones. Sorts its argument. @throws RangeError if there is none */
function median(values) {
    if (!values.length)
        throw new RangeError("median: expected at least one value, found none");
    values.sort();
    const half = values.length >> 1;
    return values.length % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}
//# sourceMappingURL=norms.js.map