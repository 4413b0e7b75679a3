import type { Message } from "./wire";
/** One execution of one cell, from its request on; what its promises and timers print later still belongs to it. */
export interface Cell {
    name: string;
    label: string;
    source: string;
    request: Message | undefined;
    interrupted: boolean;
    polledAt: number;
    sparedUntil: number;
    pending: Set<Promise<unknown>>;
    waits: Set<(reason: unknown) => void>;
    timers: Set<object>;
}
export declare const newCell: (given: Pick<Cell, "name" | "label" | "source" | "request">) => Cell;
/**
 * Waits for a value, or until the cell is given up.
 * @param failed told of what it was rejected with
 */
export declare function waitIn<T>(cell: Cell, value: T | PromiseLike<T>, failed?: (error: unknown) => void): Promise<T>;
/** Which cell the running code belongs to. Follows promises, timers and callbacks by itself. */
export interface CellScope {
    run<T>(cell: Cell, work: () => T): T;
    current(): Cell | undefined;
}
/** The scope; code whose origin is lost (a native callback) counts as the latest cell's. */
export declare function cellScope(): CellScope;
/** Time as the kernel's parts see it: tests bring their own. */
export interface Clock {
    now(): number;
    after(ms: number, work: () => void): () => void;
}
export declare const systemClock: Clock;
