import { parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { Socket } from "node:net";
import { Publisher, Reply, Router, type Socket as ZmqSocket } from "zeromq";
import { systemClock } from "./cell";
import { createBell, loadSignals } from "./interrupt";
import { createPost, PACE, type Incoming, type Outgoing } from "./post";
import { ringReader } from "./ring";
import type { Connection } from "./connection";
import type { Content } from "./wire";

/** What main.ts gives to the thread of the sockets. */
export interface ThreadData {
  connection: Connection;
  session: string;
  info: Content;
  shared: SharedArrayBuffer; // the interrupt's counters
  printed: SharedArrayBuffer; // the ring of printed text
  addon: string; // path of signal.cc's result
  signals: number | undefined; // file descriptor that becomes readable at SIGINT
  unpaced: boolean; // floods go out as fast as they come
  parent: number | undefined; // pid of the process without which the kernel should end
}

export type ToThread = Outgoing | { kind: "close" };
export type FromThread = { kind: "bound" } | { kind: "closed" } | { kind: "warn"; message: string };

const LAST_WORD = 3_000; // ms the thread of the cells gets to end by itself after a shutdown

/** Entry of the thread that owns the sockets. */
async function main(): Promise<void> {
  const port = parentPort!;
  const { connection, session, info, shared, printed, addon, signals, unpaced, parent } = workerData as ThreadData;
  let closing = false;
  const bell = createBell(shared, loadSignals(addon));
  const warn = (message: string): void => port.postMessage({ kind: "warn", message } satisfies FromThread);

  process.on("uncaughtException", (error) => warn(`in the thread of the sockets: ${error.stack ?? error}`));
  // A kernel without its sockets is of no use: what computes is interrupted, so that the other thread hears of it and ends.
  process.on("exit", () => {
    if (!closing) bell.ring();
  });

  // Without these two, zeromq loses what is sent after 512 messages in one turn of the event loop.
  const options = { sendTimeout: 0, sendHighWaterMark: 0, linger: 1000, maxMessageSize: 1 << 29 };
  const sockets = {
    shell: new Router(options),
    control: new Router(options),
    stdin: new Router(options),
    iopub: new Publisher(options),
    heartbeat: new Reply({ linger: 1000 }),
  };
  const bind = (socket: ZmqSocket, number: number): Promise<void> =>
    socket.bind(`${connection.transport}://${connection.ip}${connection.transport === "ipc" ? "-" : ":"}${number}`);
  await Promise.all([
    bind(sockets.shell, connection.shell_port),
    bind(sockets.control, connection.control_port),
    bind(sockets.iopub, connection.iopub_port),
    bind(sockets.stdin, connection.stdin_port),
    bind(sockets.heartbeat, connection.hb_port),
  ]);

  const post = createPost({
    sockets, key: connection.key, session, info, bell, ring: ringReader(printed), clock: systemClock, warn,
    pace: unpaced ? { ...PACE, bytes: 0 } : PACE,
    waiting: () => receiveMessageOnPort(port)?.message as Outgoing | undefined,
    hand(incoming) {
      port.postMessage(incoming);
      if (incoming.kind !== "shutdown") return;
      // A cell that never gives a turn cannot end the process; nobody else is left who could.
      setTimeout(() => process.kill(process.pid, "SIGKILL"), LAST_WORD);
    },
  });
  port.on("message", (message: ToThread) => {
    if (message.kind !== "close") return post.take(message);
    closing = true;
    post.finish();
    for (const socket of Object.values(sockets)) socket.close(); // `linger` gets the last messages to the client
    port.postMessage({ kind: "closed" } satisfies FromThread);
  });
  if (signals !== undefined) {
    new Socket({ fd: signals, readable: true, writable: false }).on("data", () => {
      bell.watch();
      port.postMessage({ kind: "interrupt" } satisfies Incoming);
    });
  }
  // Jupyter gone without a goodbye: a kernel nobody can reach any more ends.
  if (parent !== undefined) {
    setInterval(() => {
      if (process.ppid !== parent) process.kill(process.pid, "SIGKILL");
    }, 2000).unref();
  }
  port.postMessage({ kind: "bound" } satisfies FromThread);
  await post.serve();
}

void main();
