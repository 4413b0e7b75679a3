import type { Sparse } from "./types";

/** Batch-top-k's choice among candidates that are sorted already. */

export interface BatchChoice {
  /** Rows padded to the largest number that one has (at least 1); what is left over has the value 0. */
  chosen: Sparse;
  /** Smallest value that was chosen; none where none is above 0. */
  least?: number;
  /** A row had all its candidates chosen: it may have more that belong to the largest, and needs more candidates. */
  full: boolean;
}

/**
 * Of n rows' candidates together the `total` largest that are above 0; ties by smaller row, then by place. With NaN
 * among them there is no order: each row's first candidates are given, so that the loss shows it.
 * @param candidates values after ReLU, larger first in each row, ties by smaller index
 */
export function batchLargest({ n, k: columns, index, value }: Sparse, total: number): BatchChoice {
  if (value.some(Number.isNaN)) return { chosen: firstOf({ n, k: columns, index, value }, Math.max(1, Math.floor(total / n))), full: false };
  const least = nthLargest(value, total);
  let ties = total; // how many that equal the least are taken
  for (let i = 0; i < value.length; i++) if (value[i] > least) ties--;
  const counts = new Int32Array(n);
  let most = 1, smallest = Infinity;
  for (let row = 0; row < n; row++) {
    let count = 0;
    for (let at = row * columns; count < columns; at++, count++) {
      const v = value[at];
      if (v <= 0 || v < least || (v === least && ties-- <= 0)) break;
      if (v < smallest) smallest = v;
    }
    counts[row] = count;
    if (count > most) most = count;
  }
  const chosen: Sparse = { n, k: most, index: new Int32Array(n * most), value: new Float32Array(n * most) };
  for (let row = 0; row < n; row++) {
    const from = row * columns, to = from + counts[row];
    chosen.index.set(index.subarray(from, to), row * most);
    chosen.value.set(value.subarray(from, to), row * most);
  }
  return { chosen, full: counts.includes(columns), ...(smallest < Infinity ? { least: smallest } : {}) };
}

/** The first k places of each row. */
export function firstOf({ n, k: columns, index, value }: Sparse, k: number): Sparse {
  const out: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  for (let row = 0; row < n; row++) {
    out.index.set(index.subarray(row * columns, row * columns + k), row * k);
    out.value.set(value.subarray(row * columns, row * columns + k), row * k);
  }
  return out;
}

/**
 * The `total`-th largest of the values above 0; 0 where there are not as many. Floats above 0 are ordered as their bits are:
 * the upper half of these is counted first, then the lower half within the bin that holds the one looked for.
 */
function nthLargest(value: Float32Array, total: number): number {
  const bits = new Uint32Array(value.buffer, value.byteOffset, value.length);
  const counts = new Uint32Array(0x8000);
  for (let i = 0; i < value.length; i++) if (value[i] > 0) counts[bits[i] >>> 16]++;
  let left = total, upper = counts.length - 1;
  for (; upper >= 0 && counts[upper] < left; upper--) left -= counts[upper];
  if (upper < 0) return 0;
  const lower = new Uint32Array(0x10000);
  for (let i = 0; i < value.length; i++) if (value[i] > 0 && bits[i] >>> 16 === upper) lower[bits[i] & 0xffff]++;
  let low = lower.length - 1;
  for (; lower[low] < left; low--) left -= lower[low];
  return new Float32Array(Uint32Array.of(((upper << 16) | low) >>> 0).buffer)[0];
}
