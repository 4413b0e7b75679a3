import { toFloat16 } from "./safetensors";
import type { Pieces } from "./pieces";
import type { Sparse } from "./types";

/**
 * Codes of rows → what delphi keeps of a latent cache: one matrix of tokens [contexts, length], and for ranges of latents where they fire.
 *
 *   locations [n, 3]  context, position in it, latent − first latent of the range; by context, position, latent
 *   activations [n]   half precision; what is not above 1e-5 is no firing
 *
 * Documents follow one another without a gap, as delphi itself cuts its texts, and are cut into contexts of one length; what does not fill the last one is
 * left out.
 * @see https://github.com/EleutherAI/delphi, delphi/latents/cache.py, loader.py
 */

export const LEAST = 1e-5;
const LARGEST = 65_504; // of half precision

/** First and last latents of `splits` ranges as even as can be, without empty ones. */
export function latentRanges(latents: number, splits: number): { first: number; last: number }[] {
  const edges = Array.from({ length: splits + 1 }, (_, i) => Math.floor((latents * i) / splits));
  return edges.slice(1).map((edge, i) => ({ first: edges[i], last: edge - 1 })).filter(({ first, last }) => last >= first);
}

export interface Firing {
  /** [n, 3], 16 bits where all fit, else 32. */
  locations: Uint16Array | Uint32Array;
  /** [n] bits of half precision. */
  activations: Uint16Array;
  /** Values above what half precision holds, written as its largest. */
  clamped: number;
}

/** Where rows lie in the one sequence of all documents' tokens. */
export interface Placing {
  /** Place of each row, ascending; [rows]. */
  place: Int32Array;
  /** Tokens of a context, and contexts that are kept. */
  length: number;
  contexts: number;
}

/**
 * The firings of latents first … last.
 * @param codes of rows `from` … `to`, numbered as `place` is
 * @param rows of which there are codes
 */
export function* firingsWithin(
  { first, last }: { first: number; last: number }, { place, length, contexts }: Placing, codes: (from: number, to: number) => Sparse, rows: number, chunk = 8192,
): Pieces<Firing> {
  const wide = last - first >= 2 ** 16 || contexts > 2 ** 16 || length > 2 ** 16;
  let count = 0;
  let locations = new Uint32Array(3 * 65_536);
  let values = new Float32Array(65_536);
  const own: number[] = []; // firings of one row within the range
  let clamped = 0;
  for (let from = 0; from < rows; from += chunk) {
    const { n, k, index, value } = codes(from, Math.min(rows, from + chunk));
    for (let r = 0; r < n; r++) {
      const at = place[from + r];
      const context = Math.floor(at / length);
      if (context >= contexts) break; // places ascend
      own.length = 0;
      for (let i = r * k; i < (r + 1) * k; i++) if (value[i] > LEAST && index[i] >= first && index[i] <= last) own.push(i);
      own.sort((i, j) => index[i] - index[j]);
      for (const i of own) {
        if (count === values.length) [locations, values] = [grown(locations), grown(values)];
        locations[3 * count] = context;
        locations[3 * count + 1] = at % length;
        locations[3 * count + 2] = index[i] - first;
        if (value[i] > LARGEST) clamped++;
        values[count++] = Math.min(LARGEST, value[i]);
      }
      if (r % 4096 === 4095) yield;
    }
    yield;
  }
  const activations = new Uint16Array(count);
  toFloat16(values.subarray(0, count), activations);
  const kept = locations.subarray(0, 3 * count);
  return { locations: wide ? kept : Uint16Array.from(kept), activations, clamped };
}

function grown<T extends Uint32Array | Float32Array>(array: T): T {
  const out = new (array.constructor as new (length: number) => T)(2 * array.length);
  out.set(array);
  return out;
}

/**
 * All tokens, one document after another, as int64 of little endian: [contexts, length].
 * @param tokensOf ids of a document
 */
export function tokenMatrix(documents: ArrayLike<number>, tokensOf: (document: number) => Int32Array, length: number, contexts: number): Int32Array {
  const out = new Int32Array(2 * contexts * length); // low and high halves; ids are not negative
  let at = 0;
  for (let i = 0; i < documents.length && at < contexts * length; i++) {
    const ids = tokensOf(documents[i]);
    for (let j = 0; j < ids.length && at < contexts * length; j++) out[2 * at++] = ids[j];
  }
  return out;
}
