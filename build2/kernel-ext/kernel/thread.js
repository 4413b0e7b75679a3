"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const node_worker_threads_1 = require("node:worker_threads");
const node_net_1 = require("node:net");
const zeromq_1 = require("zeromq");
const cell_1 = require("./cell");
const interrupt_1 = require("./interrupt");
const post_1 = require("./post");
const ring_1 = require("./ring");
const LAST_WORD = 3_000; // ms the thread of the cells gets to end by itself after a shutdown
/** Entry of the thread that owns the sockets. */
async function main() {
    const port = node_worker_threads_1.parentPort;
    const { connection, session, info, shared, printed, addon, signals, unpaced, parent } = node_worker_threads_1.workerData;
    let closing = false;
    const bell = (0, interrupt_1.createBell)(shared, (0, interrupt_1.loadSignals)(addon));
    const warn = (message) => port.postMessage({ kind: "warn", message });
    process.on("uncaughtException", (error) => warn(`in the thread of the sockets: ${error.stack ?? error}`));
    // A kernel without its sockets is of no use: what computes is interrupted, so that the other thread hears of it and ends.
    process.on("exit", () => {
        if (!closing)
            bell.ring();
    });
    // Without these two, zeromq loses what is sent after 512 messages in one turn of the event loop.
    const options = { sendTimeout: 0, sendHighWaterMark: 0, linger: 1000, maxMessageSize: 1 << 29 };
    const sockets = {
        shell: new zeromq_1.Router(options),
        control: new zeromq_1.Router(options),
        stdin: new zeromq_1.Router(options),
        iopub: new zeromq_1.Publisher(options),
        heartbeat: new zeromq_1.Reply({ linger: 1000 }),
    };
    const bind = (socket, number) => socket.bind(`${connection.transport}://${connection.ip}${connection.transport === "ipc" ? "-" : ":"}${number}`);
    await Promise.all([
        bind(sockets.shell, connection.shell_port),
        bind(sockets.control, connection.control_port),
        bind(sockets.iopub, connection.iopub_port),
        bind(sockets.stdin, connection.stdin_port),
        bind(sockets.heartbeat, connection.hb_port),
    ]);
    const post = (0, post_1.createPost)({
        sockets, key: connection.key, session, info, bell, ring: (0, ring_1.ringReader)(printed), clock: cell_1.systemClock, warn,
        pace: unpaced ? { ...post_1.PACE, bytes: 0 } : post_1.PACE,
        waiting: () => (0, node_worker_threads_1.receiveMessageOnPort)(port)?.message,
        hand(incoming) {
            port.postMessage(incoming);
            if (incoming.kind !== "shutdown")
                return;
            // A cell that never gives a turn cannot end the process; nobody else is left who could.
            setTimeout(() => process.kill(process.pid, "SIGKILL"), LAST_WORD);
        },
    });
    port.on("message", (message) => {
        if (message.kind !== "close")
            return post.take(message);
        closing = true;
        post.finish();
        for (const socket of Object.values(sockets))
            socket.close(); // `linger` gets the last messages to the client
        port.postMessage({ kind: "closed" });
    });
    if (signals !== undefined) {
        new node_net_1.Socket({ fd: signals, readable: true, writable: false }).on("data", () => {
            bell.watch();
            port.postMessage({ kind: "interrupt" });
        });
    }
    // Jupyter gone without a goodbye: a kernel nobody can reach any more ends.
    if (parent !== undefined) {
        setInterval(() => {
            if (process.ppid !== parent)
                process.kill(process.pid, "SIGKILL");
        }, 2000).unref();
    }
    port.postMessage({ kind: "bound" });
    await post.serve();
}
void main();
//# sourceMappingURL=thread.js.map