import type { Origin, Sparse } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";

/** Rows of codes read at once: a table as wide as the fullest of them, which may have thousands of latents where thresholds alone bound them. */
export const CHUNK = 8192;

/**
 * Reads all codes of a family once, with where each row comes from; rows of a document follow each other.
 * @param kept what an interrupt leaves @throws InterruptError
 */
export async function eachRows(features: Features, kept: string, use: (codes: Sparse, origin: Origin, done: number) => void): Promise<void> {
  for (let from = 0; from < features.rows; from += CHUNK) {
    const to = Math.min(features.rows, from + CHUNK);
    use(features.codes(from, to), features.origin(from, to), to);
    stopIfInterrupted(kept);
    await breathe();
  }
}
