import { InterruptError } from "../core/errors";

/**
 * The flag that kernel and library share: a kernel sets `requested`, the loops of harvest, train and collect read it between steps.
 * It lives on globalThis, so that kernel and library need not import each other.
 */
const KEY = Symbol.for("saelab.interrupt");

const flag = (): { requested: boolean } => ((globalThis as Record<symbol, any>)[KEY] ??= { requested: false });

/** True once a stop was asked for. */
export const interrupted = (): boolean => flag().requested;

/** @throws InterruptError that says what was kept, when a stop was asked for */
export function stopIfInterrupted(kept: string): void {
  if (interrupted()) throw new InterruptError(`Interrupted. ${kept}`);
}

/** Lets timers, sockets and the kernel's control channel run between two steps of a long loop. */
export const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
