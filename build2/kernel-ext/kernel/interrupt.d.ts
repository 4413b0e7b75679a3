import type { Cell, Clock } from "./cell";
import type { Bell } from "./post";
/** Where the library's loops look: `globalThis[INTERRUPT].requested`. */
export declare const INTERRUPT: unique symbol;
export declare const sharedInterrupt: () => SharedArrayBuffer;
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
export declare const loadSignals: (addon: string) => Signals | undefined;
/**
 * Takes SIGINT for good. Node changes the signal's handler at the beginning and at the end of each script that a signal may end, and
 * what arrives in between is lost, or ends the process. It counts such scripts; with one more in the count, as its REPL has it, it
 * puts its handler there once, ours comes on top, and nothing changes any more.
 * @returns file descriptor that becomes readable at SIGINT
 */
export declare function takeSignals(shared: SharedArrayBuffer, signals: Pick<Signals, "install">): number;
/** The other thread's side: asks for an interrupt. */
export declare function createBell(shared: SharedArrayBuffer, signals: Pick<Signals, "force"> | undefined): Bell & {
    watch(): void;
};
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
export declare function createInterrupts(shared: SharedArrayBuffer, signals: Pick<Signals, "install"> | undefined): Interrupts;
/**
 * Puts the interrupt flag where loops read it between steps. It answers for the cell that the reading code belongs to: a loop of an
 * interrupted cell still sees true after the next cell has begun, and the next cell's loops see false.
 * An object that the library put there before keeps its identity.
 */
export declare function installInterruptFlag({ current, clock, poll }: {
    current: () => Cell | undefined;
    clock: Clock;
    poll?: () => void;
}): {
    requested: boolean;
};
