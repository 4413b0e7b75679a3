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
  sparedUntil: number; // ms: an interrupted cell whose loops look at the flag gets time to stop by itself
  pending: Set<Promise<unknown>>; // displays still being made: the cell waits for them
  waits: Set<(reason: unknown) => void>; // what its top level awaits; an interrupt rejects it
  timers: Set<object>; // timers its code set; an interrupt stops them
}

export const newCell = (given: Pick<Cell, "name" | "label" | "source" | "request">): Cell => ({
  ...given, interrupted: false, polledAt: -Infinity, sparedUntil: -Infinity, pending: new Set(), waits: new Set(), timers: new Set(),
});

/**
 * Waits for a value, or until the cell is given up.
 * @param failed told of what it was rejected with
 */
export function waitIn<T>(cell: Cell, value: T | PromiseLike<T>, failed: (error: unknown) => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      cell.waits.delete(fail);
      failed(error);
      reject(error);
    };
    cell.waits.add(fail);
    Promise.resolve(value).then((result) => {
      cell.waits.delete(fail);
      resolve(result);
    }, fail);
  });
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
