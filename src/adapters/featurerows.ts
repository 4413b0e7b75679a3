import type { Origin, Sparse, Store } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";

const CHUNK = 65_536; // rows

/**
 * Reads all codes of a family once, with where each row comes from; rows of a document follow each other.
 * @param kept what an interrupt leaves @throws InterruptError
 */
export async function eachRows(features: Features, store: Store, kept: string, use: (codes: Sparse, origin: Origin, done: number) => void): Promise<void> {
  let done = 0;
  for (const range of features.manifest.ranges) {
    for (let from = range.from; from < range.to; from += CHUNK) {
      const to = Math.min(range.to, from + CHUNK);
      use(features.codes(done, done + to - from), store.origin(from, to), (done += to - from));
      stopIfInterrupted(kept);
      await breathe();
    }
  }
}
