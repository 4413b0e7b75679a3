import type { Clock } from "./cell";
import type { Handler } from "./kernel";
import type { Incoming, Line, Outgoing } from "./post";
import { answer, letter, type Content, type Message } from "./wire";

export interface PublishOptions {
  metadata?: Content;
  buffers?: Uint8Array[];
}

/** What the server says; where it stands among printed text is known to whoever sends it. */
export type Said = Exclude<Outgoing, { kind: "send" | "text" }> | Omit<Extract<Outgoing, { kind: "send" }>, "at">;

export interface Server {
  /** Publishes on iopub because of `parent`. */
  publish(parent: Message | undefined, type: string, content: Content, options?: PublishOptions): void;
  /** Asks the client of `parent` on the stdin channel; gives the question's id. */
  ask(parent: Message, type: string, content: Content): string;
  /** Takes what the thread of the sockets hands on. */
  take(incoming: Extract<Incoming, { kind: "request" }>): void;
}

const STRAGGLERS = 30; // ms after a failed cell in which requests that were already on their way arrive and are aborted

/**
 * The order of requests: publishes busy and idle, runs execute requests one after the other and answers the others at once, even
 * while a cell awaits. After a cell fails, the execute requests queued behind it are aborted, unless it asked for
 * stop_on_error: false.
 * @param send gives a message to the thread of the sockets
 * @param warn told of requests nobody handles
 */
export function createServer({ handlers, session, send, clock, warn }: {
  handlers: Record<string, Handler>; session: string; send: (outgoing: Said) => void; clock: Clock; warn: (message: string) => void;
}): Server {
  const queue: (() => Promise<void>)[] = [];
  let draining = false;
  let aborting = false;
  let running: Message | undefined;

  const publish: Server["publish"] = (parent, type, content, options = {}) => send({
    kind: "send", line: "iopub",
    letter: letter(answer(parent, { type, content, session, identities: [Buffer.from(`kernel.saelab.${type}`)], ...options })),
  });

  const reply = (line: Line, request: Message, content: Content): void => send({
    kind: "send", line,
    letter: letter(answer(request, {
      type: request.header.msg_type.replace(/_request$/, "_reply"), content, session, identities: request.identities,
    })),
  });

  const failure = (error: unknown): Content => {
    const { name, message } = error instanceof Error ? error : { name: "Error", message: String(error) };
    return { status: "error", ename: name, evalue: message, traceback: [] };
  };

  async function handle(line: Line, request: Message, handler: Handler): Promise<void> {
    const { msg_type } = request.header;
    const runs = msg_type === "execute_request";
    if (runs) running = request;
    if (runs) send({ kind: "running", parent: request.header });
    publish(request, "status", { execution_state: "busy" });
    try {
      let content: Content | undefined;
      try {
        content = (await handler(request)) as Content | undefined;
      } catch (error) {
        warn(`${msg_type} failed: ${error instanceof Error ? error.stack : error}`);
        content = failure(error);
      }
      if (runs && content?.status === "error" && request.content.stop_on_error !== false) {
        await new Promise<void>((resolve) => void clock.after(STRAGGLERS, resolve));
        aborting = queue.length > 0;
      }
      if (msg_type.endsWith("_request")) reply(line, request, content ?? {});
    } finally {
      if (runs) running = undefined;
      if (runs) send({ kind: "running", parent: undefined });
      publish(request, "status", { execution_state: "idle" });
      // Front ends show the last status they saw: while a cell runs it must not be this idle.
      if (running) publish(running, "status", { execution_state: "busy" });
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

  return {
    publish,
    ask(parent, type, content) {
      const question = answer(parent, { type, content, session, identities: parent.identities });
      send({ kind: "send", line: "stdin", letter: letter(question) });
      return question.header.msg_id;
    },
    take({ line, message }) {
      const type = message.header.msg_type;
      const handler = Object.hasOwn(handlers, type) ? handlers[type] : undefined;
      // An unknown request gets no reply, as the protocol has it.
      if (!handler) return warn(`a message of unknown type was dropped: ${type}`);
      if (line === "stdin") return void handler(message);
      if (type !== "execute_request") return void handle(line, message, handler);
      queue.push(() => handle(line, message, aborting ? () => ({ status: "aborted" }) : handler));
      void drain();
    },
  };
}
