import type { Clock } from "./cell";
import { type RingReader } from "./ring";
import { type Content, type Header, type Letter, type Message } from "./wire";
/** A socket that takes messages, each a list of frames. */
export interface Sender {
    send(frames: (string | Uint8Array)[]): Promise<void>;
}
/** A socket that also gives them; zeromq's are such. */
export interface Channel extends Sender, AsyncIterable<Uint8Array[]> {
}
export interface Sockets {
    shell: Channel;
    control: Channel;
    stdin: Channel;
    iopub: Sender;
    heartbeat: Channel;
}
export type Line = "shell" | "control" | "stdin";
/** What the thread of the cells is told. */
export type Incoming = {
    kind: "request";
    line: Line;
    message: Message;
} | {
    kind: "interrupt";
} | {
    kind: "shutdown";
    restart: boolean;
};
/** What it says. */
export type Outgoing = {
    kind: "send";
    line: Line | "iopub";
    letter: Letter;
    at: number;
} | {
    kind: "text";
} | {
    kind: "running";
    parent: Header | undefined;
};
/**
 * What a client may be sent. Jupyter's server throws away what exceeds 1,000 messages or 1 MB of text a second (of three seconds
 * at a time), and counts late when it is busy: with these a flood arrives slowly, and whole.
 */
export interface Pace {
    bytes: number;
    messages: number;
    burst: number;
}
export declare const PACE: Pace;
/** Gives the interrupt to the thread of the cells, whatever it does. */
export interface Bell {
    ring(): void;
}
/**
 * The kernel's post office, in a thread of its own so that it works while a cell computes: checks and sorts what comes in, signs and
 * sends what goes out. Heartbeat, kernel_info, interrupt, shutdown and debug are answered here, at once; the rest is handed on.
 * @param key of the connection file; empty: unsigned
 * @param info content of kernel_info_reply
 * @param ring what cells print
 * @param waiting the next thing said by the thread of the cells that was not taken yet
 * @param hand gives a message to the thread of the cells
 * @param warn told of dropped messages and failed sends
 */
export declare function createPost({ sockets, key, session, info, bell, ring, clock, pace, waiting, hand, warn }: {
    sockets: Sockets;
    key: string;
    session: string;
    info: Content;
    bell: Bell;
    ring: RingReader;
    clock: Clock;
    pace?: Pace;
    waiting?: () => Outgoing | undefined;
    hand: (incoming: Incoming) => void;
    warn: (message: string) => void;
}): {
    take(outgoing: Outgoing): void;
    finish(): void;
    serve(): Promise<void>;
};
