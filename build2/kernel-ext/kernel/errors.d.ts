/** A place in a cell or file as its author wrote it, counted from 1. */
export interface CellPosition {
    file: string;
    line: number;
    column: number;
}
/** What a compiler finds wrong with a cell, or with a file it imports. */
export interface Diagnostic {
    start: {
        line: number;
        character: number;
    };
    messageText: string;
    code?: number;
    syntax?: boolean;
    fileName?: string;
}
/** Content of Jupyter's `error` message. */
export interface ErrorContent {
    ename: string;
    evalue: string;
    traceback: string[];
}
/** The cell was stopped from outside. */
export declare class KeyboardInterrupt extends Error {
    name: string;
}
/** The compiler refused a cell; none of it ran. */
export declare class CompileError extends Error {
    readonly diagnostics: Diagnostic[];
    name: string;
    constructor(diagnostics: Diagnostic[]);
}
/**
 * Ends the file name of a frame that was not V8's: the place of a top-level await. V8 follows awaits, but not through the promise
 * by which such an await can be given up. Line and column are those before our own rewriting.
 */
export declare const AWAITED = "?awaited";
/** Adds that frame to the error that an awaited promise was rejected with, unless the cell's top level is in it already. */
export declare function addAwaited(error: unknown, file: string, line: number, column: number): void;
/** How stack traces are read: where a frame of compiled code comes from, what a cell is called, what it says. */
export interface Tracer {
    locate(file: string, line: number, column: number): CellPosition | undefined;
    /** A cell's label and text, undefined if the file is no cell. */
    cell(file: string): {
        label: string;
        source: string;
    } | undefined;
    /** Whether frames of that file are the kernel's own. */
    hidden(file: string): boolean;
    /** Paths are shown relative to it. */
    root: string;
}
/**
 * A stack that a cell has printed itself, in the author's terms: without the kernel's frames, with places as they were written.
 * Other text stays as it is.
 */
export declare function tidied(text: string, tracer: Tracer): string;
/**
 * What a thrown value looks like in a notebook: name, message, the line of the cell it came from, and the frames of the author's
 * code and of packages; the kernel's and Node's own frames are left out.
 * @param cell the cell that ran, for errors of the compiler
 */
export declare function errorContent(thrown: unknown, tracer: Tracer, cell: {
    label: string;
    source: string;
}): ErrorContent;
