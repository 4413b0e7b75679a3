import { batchLargest, candidatesOf, replaced } from "../core/batchtopk";
import type { StateSizes } from "../core/trained";
import type { Sparse } from "../core/types";
import { MOST_COLUMNS } from "./webgpupass";

/**
 * Batch-top-k's choice among candidates that a card has ranked: each row's 2k largest, and all that a row has above 0 where these
 * were chosen to the last. So the candidates are read in every update.
 */

export interface Chosen {
  pairs: Sparse;
  /** Smallest value that was chosen, which moves the running threshold. */
  least?: number;
}

interface Ranks {
  /** The `count` largest of each row of the batch, after ReLU. */
  largest(count: number): Promise<Sparse>;
  /** All that are above 0 of some rows, larger first. */
  positive(rows: number[]): Promise<Sparse>;
}

export async function chosenOfBatch({ latents, k }: StateSizes, n: number, { largest, positive }: Ranks): Promise<Chosen> {
  const columns = Math.min(latents, 2 * k, MOST_COLUMNS);
  const candidates = candidatesOf(await largest(columns));
  let choice = batchLargest(candidates, n * k);
  if (choice.full.length && columns < latents) choice = batchLargest(replaced(candidates, choice.full, await positive(choice.full)), n * k);
  return { pairs: choice.chosen, least: choice.least };
}

/** Some rows of x [n, d]. */
export function rowsAt(x: Float32Array, rows: number[], d: number): Float32Array {
  const out = new Float32Array(rows.length * d);
  rows.forEach((row, i) => out.set(x.subarray(row * d, (row + 1) * d), i * d));
  return out;
}

/** Rows of some pieces, filled up to the longest with zeros. */
export function joined(parts: Sparse[]): Sparse {
  const n = parts.reduce((sum, part) => sum + part.n, 0), k = parts.reduce((most, part) => Math.max(most, part.k), 1);
  const out: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  let row = 0;
  for (const part of parts) {
    for (let i = 0; i < part.n; i++, row++) {
      out.index.set(part.index.subarray(i * part.k, (i + 1) * part.k), row * k);
      out.value.set(part.value.subarray(i * part.k, (i + 1) * part.k), row * k);
    }
  }
  return out;
}
