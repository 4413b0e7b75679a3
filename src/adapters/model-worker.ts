import { parentPort, workerData } from "node:worker_threads";
import type { InferenceSession, Tensor } from "onnxruntime-node";
import type { Feed } from "../core/feeds";

/**
 * ONNX Runtime on a thread of its own: its addon computes synchronously and would hold up timers, sockets and interrupts.
 * Messages are served one after the other; arrays come and go by transfer, not by copy. All models of a process share the thread:
 * the setting that flushes denormal numbers to zero (masked scores underflow, and cost a tenth of a pass) is taken from the process's
 * first session, for the thread that makes it, and no other.
 */

export type Request =
  | { do: "load"; session: string; model: Uint8Array; options: InferenceSession.SessionOptions }
  | { do: "release"; session: string }
  /**
   * Runs a session. Inputs that are not fed are looked up in the slot, then among the tables, then taken as empty. `outputs` are given
   * back; of a slot's `keep`, each output stays here under another name: keys and values for the next step, or what a later segment reads.
   */
  | { do: "run"; session: string; feeds: Record<string, Feed>; outputs: string[]; empty: Record<string, Pick<Feed, "type" | "dims">>; slot?: { id: number; keep: [output: string, as: string][] } }
  | { do: "forget"; slot: number }
  /** Ends the profile of a session that has one: its file is whole then. */
  | { do: "profile"; session: string }
  /** Frees everything of a model. */
  | { do: "end" };

export interface Message {
  id: number;
  /** Whose sessions, slots and tables are meant. */
  model: number;
  /** [1] once the model is being closed: what has not begun is turned down. */
  stop: Int32Array;
  request: Request;
}

/**
 * Two flags that both threads see at once. ONNX Runtime's addon aborts the whole process when its thread is ended within a call,
 * so that whoever wants the end sets STOP, which turns down what has not begun, and waits until BUSY is 0.
 */
export const BUSY = 0;
export const STOP = 1;

export interface Reply {
  id: number;
  error?: string;
  outputs?: Record<string, { data: Float32Array; dims: number[] }>;
  milliseconds?: number;
}

/** What a thread is given so that this file knows that it is the one to serve. */
export interface WorkerData {
  serves: "saelab model";
  flags: Int32Array;
}

const told = workerData as WorkerData | null;
if (parentPort && told?.serves === "saelab model") serve(parentPort, told.flags);

function serve(port: NonNullable<typeof parentPort>, flags: Int32Array): void {
  // loaded here, on the thread, and only when there is one: importing this file for its types costs nothing
  const ort = require("onnxruntime-node") as typeof import("onnxruntime-node");
  ort.env.logLevel = "fatal"; // errors are thrown; a provider that does not load would be printed too
  interface Held {
    sessions: Map<string, InferenceSession>;
    slots: Map<number, Record<string, Tensor>>;
    /** Tables that do not change from run to run: sent once, kept by name. */
    tables: Map<string, Tensor>;
  }
  const models = new Map<number, Held>();
  /** What lies on a card is not the collector's to find. */
  const drop = (tensor: Tensor): void => {
    if (tensor.location === "gpu-buffer") tensor.dispose();
  };
  const isTable = (name: string): boolean => name.startsWith("cos.") || name.startsWith("sin.");

  /** A call into the addon, between two signs to the other thread. */
  const busy = async <T>(stop: Int32Array, call: () => Promise<T>): Promise<T> => {
    Atomics.store(flags, BUSY, 1);
    try {
      if (Atomics.load(flags, STOP) || Atomics.load(stop, 0)) throw new Error("the model was closed");
      return await call();
    } finally {
      Atomics.store(flags, BUSY, 0);
      Atomics.notify(flags, BUSY);
    }
  };

  const handle = async ({ model, stop, request }: Message): Promise<{ reply: Omit<Reply, "id">; transfer: ArrayBuffer[] }> => {
    const own = models.get(model) ?? { sessions: new Map(), slots: new Map(), tables: new Map() };
    models.set(model, own);
    const { sessions, slots, tables } = own;
    switch (request.do) {
      case "load":
        sessions.set(request.session, await busy(stop, () => ort.InferenceSession.create(request.model, request.options)));
        return { reply: {}, transfer: [] };
      case "release": {
        const session = sessions.get(request.session);
        sessions.delete(request.session);
        await session?.release();
        return { reply: {}, transfer: [] };
      }
      case "forget":
        for (const tensor of Object.values<Tensor>(slots.get(request.slot) ?? {})) drop(tensor);
        slots.delete(request.slot);
        return { reply: {}, transfer: [] };
      case "profile":
        sessions.get(request.session)?.endProfiling();
        return { reply: {}, transfer: [] };
      case "end":
        models.delete(model);
        for (const slot of slots.values()) for (const tensor of Object.values<Tensor>(slot)) drop(tensor);
        for (const session of sessions.values()) await session.release();
        return { reply: {}, transfer: [] };
      case "run": {
        const { slot, outputs, empty } = request;
        const held = slot ? slots.get(slot.id) ?? {} : {};
        if (slot) slots.set(slot.id, held);
        const feeds: Record<string, Tensor> = {};
        for (const [name, { type, data, dims }] of Object.entries(request.feeds)) {
          feeds[name] = new ort.Tensor(type, data as never, dims);
          if (isTable(name)) tables.set(name, feeds[name]);
        }
        const session = sessions.get(request.session); // after the tables are kept: the next run counts on them
        if (!session) throw new Error(`no session "${request.session}"`);
        for (const name of session.inputNames) {
          const nothing = empty[name];
          const found = feeds[name] ?? held[name] ?? tables.get(name) ?? (nothing && new ort.Tensor(nothing.type, (nothing.type === "float16" ? new Uint16Array(0) : new Float32Array(0)) as never, nothing.dims));
          if (!found) throw new Error(`no input "${name}"`);
          feeds[name] = found;
        }
        for (const name of Object.keys(feeds)) if (!session.inputNames.includes(name)) delete feeds[name];
        const keep = slot?.keep ?? [];
        const begin = performance.now();
        const results: InferenceSession.OnnxValueMapType = await busy(stop, () => session.run(feeds, [...new Set([...outputs, ...keep.map(([name]) => name)])]));
        const milliseconds = performance.now() - begin;
        for (const [name, as] of keep) {
          if (held[as] && held[as] !== results[name]) drop(held[as]);
          held[as] = results[name] as Tensor;
        }
        const shared = new Set(keep.map(([name]) => name));
        const given: NonNullable<Reply["outputs"]> = {};
        for (const name of outputs) {
          const data = results[name].data as Float32Array;
          given[name] = { data: shared.has(name) ? data.slice() : data, dims: [...results[name].dims] };
        }
        return { reply: { outputs: given, milliseconds }, transfer: Object.values(given).map(({ data }) => data.buffer as ArrayBuffer) };
      }
    }
  };

  let queue = Promise.resolve();
  port.on("message", (message: Message) => {
    const { id } = message;
    queue = queue.then(() => handle(message)).then(
      ({ reply, transfer }) => port.postMessage({ id, ...reply } satisfies Reply, transfer),
      (error: unknown) => port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies Reply),
    );
  });
}
