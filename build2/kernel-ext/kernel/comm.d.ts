import type { Cell } from "./cell";
import type { PublishOptions } from "./server";
import type { Content, Message } from "./wire";
/** A line between code in a cell and something in the front end, a slider for one. */
export interface Comm {
    readonly id: string;
    readonly target: string;
    send(data: Content, buffers?: Uint8Array[]): void;
    /** What the front end sends. */
    onMessage(act: (data: Content, buffers: Uint8Array[]) => unknown): void;
    onClose(act: (data: Content) => unknown): void;
    close(data?: Content): void;
}
/** What cells find as `comms`. */
export interface CommMaker {
    /** Opens a line to what the front end registered under that name. */
    open(target: string, data?: Content, options?: {
        metadata?: Content;
        buffers?: Uint8Array[];
    }): Comm;
    /** Says what happens when the front end opens a line to that name. */
    register(target: string, act: (comm: Comm, data: Content, buffers: Uint8Array[]) => unknown): void;
}
export interface Comms extends CommMaker {
    /** Message type → what to do with it. */
    opened(message: Message): unknown;
    received(message: Message): unknown;
    closed(message: Message): unknown;
    list(target?: unknown): Content;
}
/** Declared for cells. */
export declare const COMM_DECLARATIONS = "/** A line between this notebook's code and something in the front end. */\ninterface Comm {\n  readonly id: string;\n  readonly target: string;\n  send(data: Record<string, unknown>, buffers?: Uint8Array[]): void;\n  onMessage(act: (data: any, buffers: Uint8Array[]) => unknown): void;\n  onClose(act: (data: any) => unknown): void;\n  close(data?: Record<string, unknown>): void;\n}\n/** Lines to the front end: open(target) to what it registered under that name, register(target, act) for what it opens itself. */\ndeclare const comms: {\n  open(target: string, data?: Record<string, unknown>, options?: { metadata?: Record<string, unknown>; buffers?: Uint8Array[] }): Comm;\n  register(target: string, act: (comm: Comm, data: any, buffers: Uint8Array[]) => unknown): void;\n};\n";
/**
 * Jupyter's comms.
 * @param publish sends an iopub message because of the running code's cell
 */
export declare function createComms({ publish, current }: {
    publish: (cell: Cell | undefined, type: string, content: Content, options?: PublishOptions) => void;
    current: () => Cell | undefined;
}): Comms;
