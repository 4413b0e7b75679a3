import type { Pieces } from "./pieces";
import type { Feature, Sparse } from "./types";

/**
 * Sparse codes of a corpus → what each latent fires on.
 *
 *   rows -encode-> codes [n, k] -statistics-> density, mean, maximum, histogram of each latent
 *   codes -invert-> firings of each latent, in row order
 *     -choose-> top, quantile and random examples with their contexts (examples)
 *     -measure-> tokens (tokenspread), positions and documents (positions), latents that fire on the same rows (cofiring)
 *
 * The codes are turned over in blocks of latents, so that memory is bounded by the block and by latents × examples.
 */

/** Bins of an activation histogram: four to an octave, 2^-16 … 2^16; what lies outside falls into the first or last one. */
export const BINS = 128;
const OCTAVES_BELOW_ONE = 16;

/** Lower edge of a bin: 2^⌊b/4 − 16⌋ · (1 + (b mod 4)/4). `binEdge(BINS)` is the end of the last one. */
export const binEdge = (bin: number): number => 2 ** (Math.floor(bin / 4) - OCTAVES_BELOW_ONE) * (1 + (bin % 4) / 4);

/** Measures of every latent over the rows seen. */
export interface LatentStatistics {
  rows: number;
  latents: number;
  fired: Int32Array; // [F] rows on which it fires
  mean: Float32Array; // [F] over the rows on which it fires
  max: Float32Array; // [F]
  histogram: Int32Array; // [F, BINS]
}

/** Counts chunk after chunk of codes. A value of 0 or less is no firing, whatever its index. */
export function latentStatistics(latents: number): { add(codes: Sparse): void; finish(): LatentStatistics } {
  const fired = new Int32Array(latents);
  const sum = new Float64Array(latents);
  const max = new Float32Array(latents);
  const histogram = new Int32Array(latents * BINS);
  let rows = 0;
  return {
    add({ n, k, index, value }) {
      const bits = new Int32Array(value.buffer, value.byteOffset, value.length);
      const lowest = (127 - OCTAVES_BELOW_ONE) << 2; // exponent and two bits of the fraction of 2^-16
      for (let i = 0; i < n * k; i++) {
        const v = value[i];
        if (!(v > 0)) continue;
        const f = index[i];
        fired[f]++;
        sum[f] += v;
        if (v > max[f]) max[f] = v;
        const bin = (bits[i] >> 21) - lowest;
        histogram[f * BINS + (bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin)]++;
      }
      rows += n;
    },
    finish() {
      return {
        rows,
        latents,
        fired,
        mean: Float32Array.from(sum, (s, f) => (fired[f] ? s / fired[f] : 0)),
        max,
        histogram,
      };
    },
  };
}

/** The bins that hold something, as `Feature.histogram`; empty for a latent that never fires. */
export function histogramOf(counts: Int32Array): Feature["histogram"] {
  let from = 0;
  let to = counts.length;
  while (from < to && !counts[from]) from++;
  while (to > from && !counts[to - 1]) to--;
  if (from === to) return { edges: [], counts: [] };
  return {
    edges: Array.from({ length: to - from + 1 }, (_, b) => binEdge(from + b)),
    counts: [...counts.subarray(from, to)],
  };
}

/**
 * Firings of latents `from` … `to`: those of latent f are entries `offset[f − from]` … `offset[f − from + 1]`, rows
 * ascending.
 */
export interface Firings {
  from: number;
  to: number;
  offset: Int32Array;
  row: Int32Array;
  value: Float32Array;
}

const ENTRIES = 1 << 23; // firings held at once: 64 MB

/**
 * Ranges of at most so many latents whose firings fit into memory together. A latent that alone exceeds the bound has a range of its own.
 */
export function latentBlocks(fired: Int32Array, entries = ENTRIES, latents = Infinity): { from: number; to: number }[] {
  const blocks: { from: number; to: number }[] = [];
  let from = 0;
  let held = 0;
  fired.forEach((count, f) => {
    if (f > from && (held + count > entries || f - from === latents)) {
      blocks.push({ from, to: f });
      from = f;
      held = 0;
    }
    held += count;
  });
  if (from < fired.length) blocks.push({ from, to: fired.length });
  return blocks;
}

/**
 * Room for the firings of latents `from` … `to`, filled by adding all chunks of codes in row order.
 * @param fired of every latent, over the same codes
 */
export function firingsOf(
  fired: Int32Array,
  from: number,
  to: number,
): { firings: Firings; add(firstRow: number, codes: Sparse): void } {
  const offset = new Int32Array(to - from + 1);
  for (let f = from; f < to; f++) offset[f - from + 1] = offset[f - from] + fired[f];
  const row = new Int32Array(offset[to - from]);
  const value = new Float32Array(row.length);
  const next = offset.slice(0, -1);
  return {
    firings: { from, to, offset, row, value },
    add(firstRow, { n, k, index, value: values }) {
      const latents = to - from;
      for (let r = 0, i = 0; r < n; r++) {
        for (let j = 0; j < k; j++, i++) {
          const f = (index[i] - from) >>> 0; // below 0 becomes large
          if (f >= latents || !(values[i] > 0)) continue;
          const at = next[f]++;
          row[at] = firstRow + r;
          value[at] = values[i];
        }
      }
    },
  };
}

export const PIECE = 1 << 17; // firings looked at between two yields
const DIGITS = 11;
const RADIX = 1 << DIGITS;

/**
 * Entries of each latent by value, larger first, then by row: those of latent f at offset[f − from] … offset[f − from +
 * 1]. Radix sort, three digits of 11 bits from the lowest on: the bits of a positive float32 sort as it does, and each
 * pass keeps the order of equals.
 */
export function* bySize({ offset, value }: Firings): Pieces<Int32Array> {
  const bits = new Int32Array(value.buffer, value.byteOffset, value.length);
  const longest = offset.reduce((most, end, i) => (i ? Math.max(most, end - offset[i - 1]) : most), 0);
  const order = new Int32Array(value.length);
  const other = new Int32Array(longest);
  const counts = new Int32Array(3 * RADIX);
  let held = 0; // firings sorted since the last yield
  for (let f = 0; f + 1 < offset.length; f++) {
    const [a, b] = [offset[f], offset[f + 1]];
    if ((held += b - a) > PIECE) {
      yield;
      held = 0;
    }
    const mine = order.subarray(a, b);
    for (let i = a; i < b; i++) order[i] = i;
    if (b - a < 256) {
      mine.sort((i, j) => bits[j] - bits[i] || i - j);
      continue;
    }
    counts.fill(0);
    for (let i = a; i < b; i++) {
      const key = 0x7fffffff - bits[i];
      counts[key & (RADIX - 1)]++;
      counts[RADIX + ((key >>> DIGITS) & (RADIX - 1))]++;
      counts[2 * RADIX + (key >>> (2 * DIGITS))]++;
    }
    let from = mine;
    let to = other.subarray(0, b - a);
    for (let digit = 0; digit < 3; digit++) {
      for (let c = digit * RADIX, at = 0; c < (digit + 1) * RADIX; c++) {
        const here = counts[c];
        counts[c] = at;
        at += here;
      }
      for (let i = 0; i < from.length; i++) {
        const key = 0x7fffffff - bits[from[i]];
        to[counts[digit * RADIX + ((key >>> (digit * DIGITS)) & (RADIX - 1))]++] = from[i];
      }
      [from, to] = [to, from];
    }
    mine.set(from);
  }
  return order;
}
