import { randomUUID } from "node:crypto";
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
  open(target: string, data?: Content, options?: { metadata?: Content; buffers?: Uint8Array[] }): Comm;
  /** Says what happens when the front end opens a line to that name. */
  register(target: string, act: (comm: Comm, data: Content, buffers: Uint8Array[]) => unknown): void;
}

/** Where the library finds `comms`, so that what it shows may be live. */
export const COMMS = Symbol.for("saelab.comms");

export interface Comms extends CommMaker {
  /** Message type → what to do with it. */
  opened(message: Message): unknown;
  received(message: Message): unknown;
  closed(message: Message): unknown;
  list(target?: unknown): Content;
}

/** Declared for cells. */
export const COMM_DECLARATIONS = `\
/** A line between this notebook's code and something in the front end. */
interface Comm {
  readonly id: string;
  readonly target: string;
  send(data: Record<string, unknown>, buffers?: Uint8Array[]): void;
  onMessage(act: (data: any, buffers: Uint8Array[]) => unknown): void;
  onClose(act: (data: any) => unknown): void;
  close(data?: Record<string, unknown>): void;
}
/** Lines to the front end: open(target) to what it registered under that name, register(target, act) for what it opens itself. */
declare const comms: {
  open(target: string, data?: Record<string, unknown>, options?: { metadata?: Record<string, unknown>; buffers?: Uint8Array[] }): Comm;
  register(target: string, act: (comm: Comm, data: any, buffers: Uint8Array[]) => unknown): void;
};
`;

interface Open extends Comm {
  message?: (data: Content, buffers: Uint8Array[]) => unknown;
  end?: (data: Content) => unknown;
}

/**
 * Jupyter's comms.
 * @param publish sends an iopub message because of the running code's cell
 */
export function createComms({ publish, current }: {
  publish: (cell: Cell | undefined, type: string, content: Content, options?: PublishOptions) => void; current: () => Cell | undefined;
}): Comms {
  const open = new Map<string, Open>();
  const targets = new Map<string, (comm: Comm, data: Content, buffers: Uint8Array[]) => unknown>();

  function make(id: string, target: string): Open {
    const comm: Open = {
      id, target,
      send: (data, buffers) => publish(current(), "comm_msg", { comm_id: id, data }, { buffers }),
      onMessage: (act) => void (comm.message = act),
      onClose: (act) => void (comm.end = act),
      close(data = {}) {
        if (open.delete(id)) publish(current(), "comm_close", { comm_id: id, data });
      },
    };
    open.set(id, comm);
    return comm;
  }

  const parts = ({ content, buffers }: Message): { id: string; data: Content; buffers: Uint8Array[] } =>
    ({ id: String(content.comm_id), data: (content.data ?? {}) as Content, buffers });

  return {
    open(target, data = {}, { metadata, buffers } = {}) {
      const comm = make(randomUUID().replaceAll("-", ""), target);
      publish(current(), "comm_open", { comm_id: comm.id, target_name: target, data }, { metadata, buffers });
      return comm;
    },
    register: (target, act) => void targets.set(target, act),
    opened(message) {
      const { id, data, buffers } = parts(message);
      const target = String(message.content.target_name);
      const act = targets.get(target);
      // The protocol's answer to a target nobody knows.
      if (!act) return publish(current(), "comm_close", { comm_id: id, data: {} });
      return act(make(id, target), data, buffers);
    },
    received(message) {
      const { id, data, buffers } = parts(message);
      return open.get(id)?.message?.(data, buffers);
    },
    closed(message) {
      const { id, data } = parts(message);
      const comm = open.get(id);
      open.delete(id);
      return comm?.end?.(data);
    },
    list: (target) => ({
      status: "ok",
      comms: Object.fromEntries([...open.values()].filter((comm) => !target || comm.target === target).map((comm) => [comm.id, { target_name: comm.target }])),
    }),
  };
}
