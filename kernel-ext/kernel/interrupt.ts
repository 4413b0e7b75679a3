import { existsSync } from "node:fs";
import type { Cell, Clock } from "./cell";
import type { Bell } from "./post";

/** Where the library's loops look: `globalThis[INTERRUPT].requested`. */
export const INTERRUPT = Symbol.for("saelab.interrupt");

/*
 * Four integers that all threads and the signal handler see. Guards that the compiler puts into a cell's loops read the first one:
 * nothing else reaches code that never gives the event loop a turn.
 */
const FLAG = 0; // not 0: look whether you are meant
const COUNT = 1; // interrupts asked for since the start
const SEEN = 2; // of these, taken into account
const SYNC = 3; // 1 while code runs that SIGINT ends by force

const FORCE = 700; // ms in which a guard or a loop of the library should have looked; then synchronous code is ended by force

export const sharedInterrupt = (): SharedArrayBuffer => new SharedArrayBuffer(16);

/** The other thread's side: asks for an interrupt. */
export function createBell(shared: SharedArrayBuffer): Bell {
  const state = new Int32Array(shared);
  return {
    ring() {
      const mine = Atomics.add(state, COUNT, 1) + 1;
      Atomics.store(state, FLAG, 1);
      setTimeout(() => {
        if (Atomics.load(state, SEEN) < mine && Atomics.load(state, SYNC) === 1) process.kill(process.pid, "SIGINT");
      }, FORCE);
    },
  };
}

export interface Interrupts {
  /** What guards read; its first element is 0 as long as nobody is meant. */
  flag: Int32Array;
  /** Takes requests into account that came from another thread or a signal handler. */
  poll(): void;
  /** Makes guards look. */
  raise(): void;
  /** Whether that was ever so: then what an interrupted cell left behind may still be on its way. */
  ever: boolean;
  /** After a cell's end: guards need not look any more. */
  lower(): void;
  /** Runs code that SIGINT may end by force. */
  forcible<T>(work: () => T): T;
  onInterrupt(act: () => void): void;
}

/**
 * The side of the thread that runs cells.
 * @param catchSignals puts the signal handler (back) in its place; Node takes its place while forcible code runs
 */
export function createInterrupts(shared: SharedArrayBuffer, catchSignals: (state: Int32Array) => void): Interrupts {
  const state = new Int32Array(shared);
  let act = (): void => {};
  catchSignals(state);
  const interrupts: Interrupts = {
    flag: state,
    ever: false,
    poll() {
      const count = Atomics.load(state, COUNT);
      if (count === state[SEEN]) return;
      Atomics.store(state, SEEN, count);
      act();
    },
    raise() {
      Atomics.store(state, FLAG, 1);
      interrupts.ever = true;
    },
    lower() {
      if (Atomics.load(state, COUNT) === state[SEEN]) Atomics.store(state, FLAG, 0);
    },
    forcible(work) {
      Atomics.store(state, SYNC, 1);
      try {
        return work();
      } finally {
        Atomics.store(state, SYNC, 0);
        catchSignals(state);
      }
    },
    onInterrupt: (given) => void (act = given),
  };
  return interrupts;
}

/**
 * The handler of signal.cc, which writes into shared memory at once, then calls the handler that was there before. Without it (not
 * compiled) SIGINT still stops all but synchronous loops after a cell's first await; interrupt_request stops those too.
 */
export function signalCatcher(addon: string): (state: Int32Array) => void {
  if (!existsSync(addon)) return () => {};
  const { install } = require(addon) as { install(state: Int32Array): void };
  return install;
}

/**
 * Puts the interrupt flag where loops read it between steps. It answers for the cell that the reading code belongs to: a loop of an
 * interrupted cell still sees true after the next cell has begun, and the next cell's loops see false.
 * An object that the library put there before keeps its identity.
 */
export function installInterruptFlag(
  { current, clock, poll = () => {} }: { current: () => Cell | undefined; clock: Clock; poll?: () => void },
): { requested: boolean } {
  const place = globalThis as unknown as Record<symbol, { requested: boolean } | undefined>;
  const flag = (place[INTERRUPT] ??= { requested: false });
  return Object.defineProperty(flag, "requested", {
    configurable: true,
    enumerable: true,
    get(): boolean {
      const cell = current();
      if (!cell) return false;
      cell.polledAt = clock.now();
      poll();
      return cell.interrupted;
    },
    set(value: boolean) {
      const cell = current();
      if (cell) cell.interrupted = value;
    },
  });
}
