import { AsyncLocalStorage } from "node:async_hooks";
import type { Message } from "./wire";

/** One execution of one cell, from its request on; what its promises and timers print later still belongs to it. */
export interface Cell {
  name: string; // "cell-3.ts": how stack traces name its code; unique in a session
  label: string; // "cell 3": how a person names it, after the execution count
  source: string;
  request: Message | undefined;
  interrupted: boolean;
  polledAt: number; // ms, when a loop of this cell last read the interrupt flag; such a loop stops by itself
  pending: Set<Promise<unknown>>; // displays still being made: the cell waits for them
}

/** Which cell the running code belongs to. Follows promises, timers and callbacks by itself. */
export interface CellScope {
  run<T>(cell: Cell, work: () => T): T;
  current(): Cell | undefined;
}

/** The scope; code whose origin is lost (a native callback) counts as the latest cell's. */
export function cellScope(): CellScope {
  const storage = new AsyncLocalStorage<Cell>();
  let latest: Cell | undefined;
  return {
    run(cell, work) {
      latest = cell;
      return storage.run(cell, work);
    },
    current: () => storage.getStore() ?? latest,
  };
}

/** Time as the kernel's parts see it: tests bring their own. */
export interface Clock {
  now(): number; // ms
  after(ms: number, work: () => void): () => void; // returns the cancel function
}

export const systemClock: Clock = {
  now: () => performance.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
};
