import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { EngineError } from "../core/errors";
import { BUSY, STOP, type Reply, type Request, type WorkerData } from "./model-worker";

/** The thread that ONNX Runtime computes on, seen from the main thread. */

/** Flags of the workers there are. */
const running = new Set<Int32Array>();
let watched = false;

/** Before the process ends, lets every worker come out of the call it is in: ending it there would abort the process. */
function endQuietly(): void {
  for (const flags of running) Atomics.store(flags, STOP, 1);
  for (const flags of running) Atomics.wait(flags, BUSY, 1, 60_000);
}

export interface Engine {
  ask(request: Request): Promise<Reply>;
  stop(): Promise<void>;
}

/** The error, with the frames of another stack. */
function askedAt<E extends Error>(error: E, stack = ""): E {
  error.stack = `${error.name}: ${error.message}\n${stack.slice(stack.indexOf("\n") + 1)}`;
  return error;
}

/**
 * The worker, started on the first request; it keeps the process alive only while something is asked of it.
 * @param lost called when it ended, with all that it held; the next request starts another
 */
export function startEngine(what: string, lost: () => void): Engine {
  let worker: Worker | undefined;
  let flags: Int32Array;
  let closed = false;
  let next = 0;
  const waiting = new Map<number, { resolve: (reply: Reply) => void; reject: (message: string, cause?: Error) => void }>();
  const fail = (message: string, cause?: Error): void => {
    for (const { reject } of waiting.values()) reject(message, cause);
    waiting.clear();
    worker = undefined;
    lost();
  };
  const start = (): Worker => {
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const started = new Worker(join(__dirname, "model-worker.js"), { workerData: { serves: "saelab model", flags: shared } satisfies WorkerData });
    if (!watched) process.once("exit", endQuietly);
    watched = true;
    running.add(shared);
    flags = shared;
    started.on("exit", () => running.delete(shared));
    started.on("message", (reply: Reply) => {
      const asked = waiting.get(reply.id);
      waiting.delete(reply.id);
      if (!waiting.size) started.unref();
      if (reply.error === undefined) asked?.resolve(reply);
      else asked?.reject(`${what}: ONNX Runtime: ${reply.error}`);
    });
    started.on("error", (error) => fail(`${what}: expected ONNX Runtime on a worker thread, found: ${error.message}. Run the set-up again.`, error));
    started.on("exit", (code) => fail(`${what}: expected the worker to answer, found that it ended (code ${code}). Was the memory full? Use a smaller batch.`));
    return started;
  };
  return {
    ask(request) {
      if (closed) return Promise.reject(new EngineError(`${what}: expected an open model, found one that was closed. Open it again.`));
      worker ??= start();
      const id = ++next;
      const transfer = request.do === "load" ? [request.model.buffer as ArrayBuffer]
        : request.do === "run" ? Object.values(request.feeds).map(({ data }) => data.buffer as ArrayBuffer) : [];
      const { stack } = new Error(); // an answer comes out of the blue: its error is to say who asked
      const asked = new Promise<Reply>((resolve, reject) => waiting.set(id, { resolve, reject: (message, cause) => reject(askedAt(new EngineError(message, cause && { cause }), stack)) }));
      worker.ref();
      worker.postMessage({ id, request }, transfer);
      return asked;
    },
    async stop() {
      closed = true;
      const ending = worker;
      fail(`${what}: the model was closed while this was being computed.`);
      if (!ending) return;
      Atomics.store(flags, STOP, 1);
      for (const event of ["message", "error", "exit"]) ending.removeAllListeners(event); // a late answer must not let the process go
      ending.ref(); // nor must the process end before the promise does
      const ended = new Promise((resolve) => ending.once("exit", resolve));
      ending.postMessage({ id: 0, request: { do: "end" } satisfies Request });
      await ended;
      running.delete(flags);
    },
  };
}
