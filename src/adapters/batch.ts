import { OptionError } from "../core/errors";
import { wholeRows } from "../core/sae";
import type { StateSizes } from "../core/trained";
import type { Sparse } from "../core/types";

/** A batch as every step takes it. */

/**
 * Holds a batch against what a state takes.
 * @returns the number of rows
 * @throws RangeError for fewer than 2 rows, or some that are not whole; OptionError where a target is missing or too many, or
 *   has another number of rows
 */
export function checkBatch({ d, dOut, transcoder }: StateSizes, x: Float32Array, target?: Float32Array): number {
  const n = wholeRows(x, d);
  if (n < 2) throw new RangeError(`batch: expected at least 2 rows (their variance is the loss's unit), found ${n}`);
  if (transcoder !== (target !== undefined)) {
    throw new OptionError(transcoder
      ? "target: expected the rows that the transcoder predicts, found none. Give those of its second hook, of the same tokens."
      : "target: expected none, as an SAE rebuilds the rows that it reads, found some. Make the state with { transcoder: true }.");
  }
  if (target && target.length !== n * dOut) {
    throw new OptionError(`target: expected ${n} rows of width ${dOut}, found ${target.length} numbers. Give the rows of the same tokens.`);
  }
  return n;
}

/** Mean number of latents above 0 in a row. */
export function meanActive({ n, value }: Sparse): number {
  let count = 0;
  for (let i = 0; i < value.length; i++) if (value[i] > 0) count++;
  return count / n;
}
