import { parentPort, workerData } from "node:worker_threads";
import type { InferenceSession, Tensor } from "onnxruntime-node";

/**
 * ONNX Runtime on a thread of its own: its addon computes synchronously and would hold up timers, sockets and interrupts.
 * Messages are served one after the other; arrays come and go by transfer, not by copy.
 */

export interface Feed {
  type: "float32" | "int32" | "int64";
  data: Float32Array | Int32Array | BigInt64Array;
  dims: number[];
}

export type Request =
  | { do: "load"; session: string; model: Uint8Array; options: InferenceSession.SessionOptions }
  | { do: "release"; session: string }
  /** Runs a session. `outputs` are given back; with `cache`, keys and values stay here under that number and are fed to the next run. */
  | { do: "run"; session: string; feeds: Record<string, Feed>; outputs: string[]; cache?: { id: number; emptyDims: number[] } }
  | { do: "forget"; cache: number }
  /** Frees everything and ends the thread. */
  | { do: "end" };

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

const given = workerData as WorkerData | null;
if (parentPort && given?.serves === "saelab model") serve(parentPort, given.flags);

function serve(port: NonNullable<typeof parentPort>, flags: Int32Array): void {
  // loaded here, on the thread, and only when there is one: importing this file for its types costs nothing
  const ort = require("onnxruntime-node") as typeof import("onnxruntime-node");
  const sessions = new Map<string, InferenceSession>();
  const caches = new Map<number, Record<string, Tensor>>();
  /** Tables that do not change from run to run: sent once, kept by name. */
  const kept = new Map<string, Tensor>();

  /** A call into the addon, between two signs to the other thread. */
  const busy = async <T>(call: () => Promise<T>): Promise<T> => {
    Atomics.store(flags, BUSY, 1);
    try {
      if (Atomics.load(flags, STOP)) throw new Error("the model was closed");
      return await call();
    } finally {
      Atomics.store(flags, BUSY, 0);
      Atomics.notify(flags, BUSY);
    }
  };

  const handle = async (request: Request): Promise<{ reply: Omit<Reply, "id">; transfer: ArrayBuffer[] }> => {
    switch (request.do) {
      case "load":
        sessions.set(request.session, await busy(() => ort.InferenceSession.create(request.model, request.options)));
        return { reply: {}, transfer: [] };
      case "release": {
        const session = sessions.get(request.session);
        sessions.delete(request.session);
        await session?.release();
        return { reply: {}, transfer: [] };
      }
      case "forget":
        caches.delete(request.cache);
        return { reply: {}, transfer: [] };
      case "end":
        caches.clear();
        kept.clear();
        for (const session of sessions.values()) await session.release();
        sessions.clear();
        port.close();
        return { reply: {}, transfer: [] };
      case "run": {
        const feeds: Record<string, Tensor> = {};
        for (const [name, { type, data, dims }] of Object.entries(request.feeds)) {
          feeds[name] = new ort.Tensor(type, data as never, dims);
          if (name === "cos" || name === "sin") kept.set(name, feeds[name]);
        }
        const session = sessions.get(request.session); // after the tables are kept: the next run counts on them
        if (!session) throw new Error(`no session "${request.session}"`);
        for (const name of ["cos", "sin"]) if (!feeds[name] && session.inputNames.includes(name)) feeds[name] = kept.get(name)!;
        const fetches = [...request.outputs];
        if (request.cache) {
          const past = caches.get(request.cache.id);
          for (const name of session.inputNames) {
            if (name.startsWith("past.")) feeds[name] = past?.[name] ?? new ort.Tensor("float32", new Float32Array(0), request.cache.emptyDims);
          }
          fetches.push(...session.outputNames.filter((name) => name.startsWith("present.")));
        }
        const begin = performance.now();
        const results = await busy(() => session.run(feeds, fetches));
        const milliseconds = performance.now() - begin;
        if (request.cache) {
          const next: Record<string, Tensor> = {};
          for (const [name, tensor] of Object.entries(results)) if (name.startsWith("present.")) next[name.replace("present", "past")] = tensor as Tensor;
          caches.set(request.cache.id, next);
        }
        const outputs: NonNullable<Reply["outputs"]> = {};
        for (const name of request.outputs) outputs[name] = { data: results[name].data as Float32Array, dims: [...results[name].dims] };
        return { reply: { outputs, milliseconds }, transfer: Object.values(outputs).map(({ data }) => data.buffer as ArrayBuffer) };
      }
    }
  };

  let queue = Promise.resolve();
  port.on("message", ({ id, request }: { id: number; request: Request }) => {
    queue = queue.then(() => handle(request)).then(
      ({ reply, transfer }) => port.postMessage({ id, ...reply } satisfies Reply, transfer),
      (error: unknown) => port.postMessage({ id, error: error instanceof Error ? error.message : String(error) } satisfies Reply),
    );
  });
}
