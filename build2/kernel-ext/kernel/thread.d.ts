import { type Outgoing } from "./post";
import type { Connection } from "./connection";
import type { Content } from "./wire";
/** What main.ts gives to the thread of the sockets. */
export interface ThreadData {
    connection: Connection;
    session: string;
    info: Content;
    shared: SharedArrayBuffer;
    printed: SharedArrayBuffer;
    addon: string;
    signals: number | undefined;
    unpaced: boolean;
    parent: number | undefined;
}
export type ToThread = Outgoing | {
    kind: "close";
};
export type FromThread = {
    kind: "bound";
} | {
    kind: "closed";
} | {
    kind: "warn";
    message: string;
};
