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

/** Part of signal.cc; without it (not compiled) SIGINT is heard when the event loop gets a turn, and nothing is ended by force. */
export interface Signals {
  /**
   * Puts the signal's handler (back) in its place.
   * @param running whether a script runs for which Node has put its own there
   * @returns file descriptor that wakes whoever reads it
   */
  install(state: Int32Array, running: boolean): number;
  /** Ends the synchronous beginning of a cell. */
  force(): void;
}

export const loadSignals = (addon: string): Signals | undefined => (existsSync(addon) ? (require(addon) as Signals) : undefined);

/**
 * Takes SIGINT for good. Node changes the signal's handler at the beginning and at the end of each script that a signal may end, and
 * what arrives in between is lost, or ends the process. It counts such scripts; with one more in the count, as its REPL has it, it
 * puts its handler there once, ours comes on top, and nothing changes any more.
 * @returns file descriptor that becomes readable at SIGINT
 */
export function takeSignals(shared: SharedArrayBuffer, signals: Pick<Signals, "install">): number {
  const state = new Int32Array(shared);
  signals.install(state, false);
  (process as unknown as { binding(name: string): { startSigintWatchdog?(): boolean } }).binding("contextify").startSigintWatchdog?.();
  return signals.install(state, true);
}

/** The other thread's side: asks for an interrupt. */
export function createBell(shared: SharedArrayBuffer, signals: Pick<Signals, "force"> | undefined): Bell & { watch(): void } {
  const state = new Int32Array(shared);
  /** Ends what neither guards nor the library's loops have stopped in time. */
  const watch = (): void => {
    const asked = Atomics.load(state, COUNT);
    setTimeout(() => {
      if (Atomics.load(state, SEEN) - asked < 0 && Atomics.load(state, SYNC) === 1) signals?.force();
    }, FORCE);
  };
  return {
    ring() {
      Atomics.add(state, COUNT, 1);
      Atomics.store(state, FLAG, 1);
      watch();
    },
    watch,
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
  /**
   * Runs code that may be ended by force.
   * @param run calls what it is given in a script that a signal ends
   */
  forcible<T>(run: (work: () => T) => T, work: () => T): T;
  onInterrupt(act: () => void): void;
}

/** The side of the thread that runs cells. */
export function createInterrupts(shared: SharedArrayBuffer, signals: Pick<Signals, "install"> | undefined): Interrupts {
  const state = new Int32Array(shared);
  let act = (): void => {};
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
    forcible(run, work) {
      try {
        return run(() => {
          signals?.install(state, true); // nothing is to be done where takeSignals() could do it for good
          Atomics.store(state, SYNC, 1);
          try {
            return work();
          } finally {
            Atomics.store(state, SYNC, 0);
          }
        });
      } finally {
        Atomics.store(state, SYNC, 0);
        signals?.install(state, false); // a cell may have called process.on("SIGINT")
      }
    },
    onInterrupt: (given) => void (act = given),
  };
  return interrupts;
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
