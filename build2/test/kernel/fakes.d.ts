import { type Cell, type Clock } from "../../kernel-ext/kernel/cell";
import type { Channel } from "../../kernel-ext/kernel/post";
import type { Said } from "../../kernel-ext/kernel/server";
import { type Content, type Message } from "../../kernel-ext/kernel/wire";
export declare const KEY = "a key of the tests";
/** A socket without a network: put() is the client's side, sent is what the kernel answered. */
export interface FakeChannel extends Channel {
    put(frames: Uint8Array[]): void;
    sent: Message[];
    close(): void;
}
export declare function fakeChannel(): FakeChannel;
/** A client's request as frames. */
export declare function request(type: string, content?: Content, key?: string): Uint8Array[];
/** A clock that moves when told to. */
export declare function fakeClock(): Clock & {
    advance(ms: number): void;
};
export declare const fakeCell: (source?: string, name?: string) => Cell;
/** What the thread of the cells said, by the line it said it on. */
export declare function fakeLines(): {
    send(said: Said): void;
    on(line: string): Message[];
    running: (string | undefined)[];
};
/** Some turns of the event loop, for what promises and streams still have to do. */
export declare function turns(count?: number): Promise<void>;
