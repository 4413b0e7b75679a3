import { type Bundle } from "./bundle";
import { type Cell, type CellScope, type Clock } from "./cell";
import { type CommMaker, type Comms } from "./comm";
import { type Input } from "./input";
import type { Language, Prelude } from "./language";
import type { DisplayOptions, Output } from "./output";
import { type Content, type Message } from "./wire";
/** Where the library finds the kernel: `globalThis[SHOW]?.(bundle, options)`. */
export declare const SHOW: unique symbol;
/** Shows a bundle at once in the cell whose code calls it. */
export type Show = (bundle: Bundle, options?: DisplayOptions) => void;
/** What a request is answered with; a message that is no request is not answered. */
export type Handler = (request: Message) => Content | void | Promise<Content | void>;
export interface Kernel {
    /** Message type → handler, for shell and control. */
    handlers: Record<string, Handler>;
    /** Stops the running cell: cooperating loops at their next step, the rest at once. */
    interrupt(): void;
    /** Printed text, with stacks in the author's terms. */
    tidy(text: string): string;
    /** Reports an error that no code waited for, in the cell it came from. */
    report(what: string, error: unknown): void;
}
/** What cells find declared: display, clearOutput, input, comms. */
export declare function cellPrelude({ scope, output, input, comms }: {
    scope: CellScope;
    output: Output;
    input: Input["input"];
    comms: CommMaker;
}): Prelude;
/** The hook by which the library shows things by itself, progress for one. */
export declare const showHook: ({ scope, output }: {
    scope: CellScope;
    output: Output;
}) => Show;
/** The protocol's language_info and the rest of kernel_info_reply. */
export declare const kernelInfo: ({ version, typescript }: {
    version: string;
    typescript: string;
}) => Content;
/**
 * What the kernel does with each request, apart from sockets: runs cells, keeps count, shows values and errors.
 * @param publish sends one iopub message because of a cell
 * @param interrupts told when a cell is interrupted and when it has ended
 * @param warn told of errors that belong to no cell
 */
export declare function createKernel({ language, output, scope, clock, publish, interrupts, input, comms, warn }: {
    language: Language;
    output: Output;
    scope: CellScope;
    clock: Clock;
    publish: (cell: Cell, type: string, content: Content) => void;
    interrupts: {
        raise(): void;
        lower(): void;
    };
    input: Input;
    comms: Comms;
    warn: (message: string) => void;
}): Kernel;
