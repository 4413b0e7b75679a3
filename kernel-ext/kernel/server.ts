import { randomUUID } from "node:crypto";
import type { Clock } from "./cell";
import type { Handler } from "./kernel";
import { answer, decode, encode, WireError, type Content, type Message } from "./wire";

export interface Sender {
  send(frames: (string | Uint8Array)[]): Promise<void>;
}

/** A socket that gives messages, each a list of frames, and takes them; zeromq's are such. */
export interface Channel extends Sender, AsyncIterable<Uint8Array[]> {}

export interface Sockets {
  shell: Channel;
  control: Channel;
  iopub: Sender;
  heartbeat: Channel;
}

export interface Server {
  /** Publishes on iopub because of `parent`. */
  publish(parent: Message | undefined, type: string, content: Content): void;
  /** Answers requests until the sockets are closed. */
  serve(handlers: Record<string, Handler>): Promise<void>;
}

const STRAGGLERS = 30; // ms after a failed cell in which requests that were already on their way arrive and are aborted

/**
 * Jupyter's messages over sockets: signs and checks, publishes busy and idle, runs execute requests one after the other and answers
 * the others at once, even while a cell awaits. After a cell fails, the execute requests queued behind it are aborted, unless it
 * asked for stop_on_error: false.
 * @param key of the connection file; empty: unsigned
 * @param warn told of dropped messages and failed sends
 */
export function createServer({ sockets, key, clock, warn }: {
  sockets: Sockets; key: string; clock: Clock; warn: (message: string) => void;
}): Server {
  const session = randomUUID();
  const queue: (() => Promise<void>)[] = [];
  let draining = false;
  let aborting = false;

  const send = (socket: Sender, message: Message): void => {
    socket.send(encode(message, key)).catch((error: Error) => warn(`${message.header.msg_type} was not sent: ${error.message}`));
  };

  const publish: Server["publish"] = (parent, type, content) =>
    send(sockets.iopub, answer(parent, { type, content, session, identities: [Buffer.from(`kernel.saelab.${type}`)] }));

  const reply = (socket: Sender, request: Message, content: Content): void =>
    send(socket, answer(request, {
      type: request.header.msg_type.replace(/_request$/, "_reply"), content, session, identities: request.identities,
    }));

  const failure = (error: unknown): Content => {
    const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
    return { status: "error", ename: name, evalue: message, traceback: [] };
  };

  async function handle(socket: Sender, request: Message, handler: Handler): Promise<void> {
    publish(request, "status", { execution_state: "busy" });
    try {
      let content: Content;
      try {
        content = await handler(request);
      } catch (error) {
        warn(`${request.header.msg_type} failed: ${error instanceof Error ? error.stack : error}`);
        content = failure(error);
      }
      if (request.header.msg_type === "execute_request" && content.status === "error" && request.content.stop_on_error !== false) {
        await new Promise<void>((resolve) => void clock.after(STRAGGLERS, resolve));
        aborting = queue.length > 0;
      }
      reply(socket, request, content);
    } finally {
      publish(request, "status", { execution_state: "idle" });
    }
  }

  async function drain(): Promise<void> {
    if (draining) return;
    draining = true;
    for (let next = queue.shift(); next; next = queue.shift()) {
      await next();
      if (queue.length === 0) aborting = false;
    }
    draining = false;
  }

  async function listen(socket: Channel, handlers: Record<string, Handler>): Promise<void> {
    for await (const frames of socket) {
      let request: Message;
      try {
        request = decode(frames, key);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        warn(`a message was dropped: ${error.message}`);
        continue;
      }
      const type = request.header.msg_type;
      const handler = Object.hasOwn(handlers, type) ? handlers[type] : undefined;
      if (!handler) {
        // comm_open and the like expect no reply; an unknown request gets none, as the protocol has it.
        if (!type.startsWith("comm_")) warn(`a message of unknown type was dropped: ${type}`);
        continue;
      }
      if (type !== "execute_request") {
        void handle(socket, request, handler);
        continue;
      }
      queue.push(() => handle(socket, request, aborting ? () => ({ status: "aborted" }) : handler));
      void drain();
    }
  }

  return {
    publish,
    async serve(handlers) {
      const echo = async (): Promise<void> => {
        for await (const frames of sockets.heartbeat) await sockets.heartbeat.send(frames);
      };
      publish(undefined, "status", { execution_state: "starting" });
      await Promise.all([listen(sockets.shell, handlers), listen(sockets.control, handlers), echo()]);
    },
  };
}
