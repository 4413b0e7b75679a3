import type { Cell, Clock } from "./cell";
import type { Bundle } from "./bundle";
import type { Content } from "./wire";
export type StreamName = "stdout" | "stderr";
export interface DisplayOptions {
    display_id?: string;
    update?: boolean;
    metadata?: Content;
}
/** Publishes one iopub message on behalf of a cell. */
export type Publish = (cell: Cell, type: string, content: Content) => void;
export interface Output {
    stream(cell: Cell, name: StreamName, chunk: string | Uint8Array): void;
    display(cell: Cell, bundle: Bundle, options?: DisplayOptions): void;
    /** Takes away what the cell has shown; with `wait` when something new comes. */
    clear(cell: Cell, wait: boolean): void;
    /** The cell has ended: says what was cut. */
    end(cell: Cell): void;
}
/**
 * What cells print and show. What a cell prints past the limit is counted instead of sent, and the cell says so.
 * @param print takes text; displays published later stand behind it
 * @param tidy makes printed stacks readable
 * @param limit characters a cell may print
 */
export declare function createOutput({ publish, print, clock, tidy, limit }: {
    publish: Publish;
    print: (cell: Cell, name: StreamName, text: string) => void;
    clock: Clock;
    tidy?: (text: string) => string;
    limit?: number;
}): Output;
/** Writes to the process's own stdout or stderr. */
export declare function writeAside(fd: 1 | 2, data: string | Uint8Array): void;
/**
 * Replaces process.stdout and process.stderr by streams that lead to the cell whose code writes; what no cell has written goes where
 * the process's own output goes. Node's streams are never opened: they would make a pipe that the kernel shares with whoever started
 * it non-blocking, for that program too.
 * @returns function that puts the original streams back
 */
export declare function captureStreams(output: Output, current: () => Cell | undefined): () => void;
