import type { Cell, Clock } from "./cell";

/** Where the library's loops look: `globalThis[INTERRUPT].requested`. */
export const INTERRUPT = Symbol.for("saelab.interrupt");

/**
 * Puts the interrupt flag where loops read it between steps. It answers for the cell that the reading code belongs to: a loop of an
 * interrupted cell still sees true after the next cell has begun, and the next cell's loops see false.
 * An object that the library put there before keeps its identity.
 */
export function installInterruptFlag(
  { current, clock }: { current: () => Cell | undefined; clock: Clock },
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
      return cell.interrupted;
    },
    set(value: boolean) {
      const cell = current();
      if (cell) cell.interrupted = value;
    },
  });
}
