import type { Clock } from "./cell";
import type { Handler } from "./kernel";
import type { Incoming, Outgoing } from "./post";
import { type Content, type Message } from "./wire";
export interface PublishOptions {
    metadata?: Content;
    buffers?: Uint8Array[];
}
/** What the server says; where it stands among printed text is known to whoever sends it. */
export type Said = Exclude<Outgoing, {
    kind: "send" | "text";
}> | Omit<Extract<Outgoing, {
    kind: "send";
}>, "at">;
export interface Server {
    /** Publishes on iopub because of `parent`. */
    publish(parent: Message | undefined, type: string, content: Content, options?: PublishOptions): void;
    /** Asks the client of `parent` on the stdin channel; gives the question's id. */
    ask(parent: Message, type: string, content: Content): string;
    /** Takes what the thread of the sockets hands on. */
    take(incoming: Extract<Incoming, {
        kind: "request";
    }>): void;
}
/**
 * The order of requests: publishes busy and idle, runs execute requests one after the other and answers the others at once, even
 * while a cell awaits. After a cell fails, the execute requests queued behind it are aborted, unless it asked for
 * stop_on_error: false.
 * @param send gives a message to the thread of the sockets
 * @param warn told of requests nobody handles
 */
export declare function createServer({ handlers, session, send, clock, warn }: {
    handlers: Record<string, Handler>;
    session: string;
    send: (outgoing: Said) => void;
    clock: Clock;
    warn: (message: string) => void;
}): Server;
