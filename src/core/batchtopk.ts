import type { Sparse } from "./types";

/** Batch-top-k's choice among candidates that are sorted already. */

/** What may be chosen of each row: row b has entries start[b] … start[b + 1] − 1, larger first, ties by smaller index, after ReLU. */
export interface Candidates {
  start: Int32Array; // [n + 1]
  index: Int32Array;
  value: Float32Array;
}

export interface BatchChoice {
  /** Rows padded to the largest number that one has (at least 1); what is left over has the value 0. */
  chosen: Sparse;
  /** Smallest value that was chosen; none where none is above 0. */
  least?: number;
  /** Rows of which all candidates were chosen, ascending: they may have more that belong to the largest. */
  full: number[];
}

/** Rows [n, k] as candidates. */
export const candidatesOf = ({ n, k, index, value }: Sparse): Candidates => ({
  start: Int32Array.from({ length: n + 1 }, (_, row) => row * k), index, value,
});

/**
 * Of all rows' candidates together the `total` largest that are above 0; ties by smaller row, then by place. With NaN among them
 * there is no order: each row's first ones are given, so that the loss shows it.
 */
export function batchLargest({ start, index, value }: Candidates, total: number): BatchChoice {
  const n = start.length - 1, counts = new Int32Array(n), full: number[] = [];
  let smallest: number | undefined;
  if (hasNaN(value)) {
    for (let row = 0; row < n; row++) counts[row] = Math.min(start[row + 1] - start[row], Math.ceil(total / n));
  } else {
    const least = nthLargest(value, total);
    let ties = total; // how many that equal the least are taken
    for (let i = 0; i < value.length; i++) if (value[i] > least) ties--;
    for (let row = 0; row < n; row++) {
      let at = start[row];
      for (; at < start[row + 1]; at++) {
        const v = value[at];
        if (v <= 0 || v < least || (v === least && ties-- <= 0)) break;
        if (smallest === undefined || v < smallest) smallest = v;
      }
      counts[row] = at - start[row];
      if (at === start[row + 1]) full.push(row);
    }
  }
  const k = counts.reduce((a, b) => Math.max(a, b), 1);
  const chosen: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  for (let row = 0; row < n; row++) {
    chosen.index.set(index.subarray(start[row], start[row] + counts[row]), row * k);
    chosen.value.set(value.subarray(start[row], start[row] + counts[row]), row * k);
  }
  return { chosen, full, ...(smallest === undefined ? {} : { least: smallest }) };
}

/** Candidates with some rows (ascending) replaced by those of `rows` [rows.length, k]. */
export function replaced({ start, index, value }: Candidates, which: ArrayLike<number>, rows: Sparse): Candidates {
  const n = start.length - 1, sizes = new Int32Array(n);
  for (let row = 0; row < n; row++) sizes[row] = start[row + 1] - start[row];
  for (let i = 0; i < which.length; i++) sizes[which[i]] = rows.k;
  const out: Candidates = { start: new Int32Array(n + 1), index: new Int32Array(0), value: new Float32Array(0) };
  for (let row = 0; row < n; row++) out.start[row + 1] = out.start[row] + sizes[row];
  out.index = new Int32Array(out.start[n]);
  out.value = new Float32Array(out.start[n]);
  for (let row = 0, i = 0; row < n; row++) {
    const mine = which[i] === row;
    const from = mine ? i++ * rows.k : start[row], source = mine ? rows : { index, value };
    out.index.set(source.index.subarray(from, from + sizes[row]), out.start[row]);
    out.value.set(source.value.subarray(from, from + sizes[row]), out.start[row]);
  }
  return out;
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

function hasNaN(value: Float32Array): boolean {
  for (let i = 0; i < value.length; i++) if (value[i] !== value[i]) return true;
  return false;
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
