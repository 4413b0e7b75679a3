import { performance } from "node:perf_hooks";
import type { Pieces } from "../core/pieces";
import { breathe, stopIfInterrupted } from "./interrupt";

const BREATH = 100; // milliseconds: a fifth of what a reader notices

/**
 * Does work piece by piece; timers, sockets and the interrupt flag get their turn ten times a second.
 * @throws InterruptError, when asked to stop
 */
export async function inPieces<T>(work: Pieces<T>, kept: string): Promise<T> {
  for (let last = performance.now(); ;) {
    const { done, value } = work.next();
    if (done) return value;
    if (performance.now() - last < BREATH) continue;
    stopIfInterrupted(kept);
    await breathe();
    last = performance.now();
  }
}
