/** Length of rows: attention sinks are told by it. */
/**
 * ‖x_i‖₂ of each row, summed in float64.
 * @param x rows [n, d]
 * @param out [≥ n], filled from 0
 * @returns the first row with an element that is not finite, or -1 (its norm is then not finite either)
 */
export declare function rowNorms(x: Float32Array, d: number, out: Float64Array): number;
/** The middle value, or the mean of the two middle ones. Sorts its argument. @throws RangeError if there is none */
export declare function median(values: Float64Array): number;
