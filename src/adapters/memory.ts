import { freemem, totalmem } from "node:os";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What the machine has left, and giving back what is not used any more. */

/**
 * Bytes this process may still take: what the machine has left, and what is left of a container's limit. Files that the
 * kernel keeps in memory count as free, as they give way: process.availableMemory() takes them off the limit, so that
 * nothing would be left after a long harvest.
 * @param found free: of the machine, page cache included; total; limit: of the container, 0 or beyond `total` for none;
 *   own: resident memory of this process
 */
export function freeMemory(found = { free: freemem(), total: totalmem(), limit: containerLimit(), own: process.memoryUsage.rss() }): number {
  const { free, total, limit, own } = found;
  return Math.max(0, Math.min(free, (limit > 0 ? Math.min(limit, total) : total) - own));
}

const containerLimit = (): number => (process as { constrainedMemory?: () => number | undefined }).constrainedMemory?.() ?? 0;

let collect: (() => void) | undefined;

/**
 * Gives memory of arrays that nobody holds back now. V8 waits until its own heap is full, and does not see that arrays of
 * hundreds of megabytes, which lie outside of it, pile up meanwhile.
 * @param bytes that became free: for less than 32 MB it is not worth its milliseconds
 */
export function collectGarbage(bytes = Infinity): void {
  if (bytes < 2 ** 25) return;
  if (!collect) {
    setFlagsFromString("--expose-gc"); // takes effect in contexts made from here on
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
