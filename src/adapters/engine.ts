import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { EngineError } from "../core/errors";
import { BUSY, STOP, type Message, type Reply, type Request, type WorkerData } from "./model-worker";

/**
 * The thread that ONNX Runtime computes on, seen from the main thread. There is one for all models of a process, for as long as it
 * lives: the runtime takes the processor's setting for denormal numbers from the first session and its thread (model-worker).
 */
interface Thread {
  worker: Worker;
  flags: Int32Array;
  waiting: Map<number, { resolve: (reply: Reply) => void; reject: (what: string, cause?: Error) => void }>;
  /** Called when it ended, with all that it held. */
  lost: Set<() => void>;
}

let current: Thread | undefined;
let watched = false;
let asked = 0;
let models = 0;

/** Before the process ends, lets the thread come out of the call it is in: ending it there would abort the process. */
function endQuietly(): void {
  if (!current) return;
  Atomics.store(current.flags, STOP, 1);
  Atomics.wait(current.flags, BUSY, 1, 60_000);
}

function thread(): Thread {
  if (current) return current;
  const flags = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(join(__dirname, "model-worker.js"), { workerData: { serves: "saelab model", flags } satisfies WorkerData });
  const started: Thread = { worker, flags, waiting: new Map(), lost: new Set() };
  if (!watched) process.once("exit", endQuietly);
  watched = true;
  const fail = (what: string, cause?: Error): void => {
    if (current === started) current = undefined;
    for (const { reject } of started.waiting.values()) reject(what, cause);
    started.waiting.clear();
    for (const lost of started.lost) lost();
    started.lost.clear(); // an error is followed by the end: by then there may be another thread
  };
  worker.on("message", (reply: Reply) => {
    const one = started.waiting.get(reply.id);
    started.waiting.delete(reply.id);
    if (!started.waiting.size) worker.unref(); // it keeps the process alive only while something is asked of it
    if (reply.error === undefined) one?.resolve(reply);
    else one?.reject(`ONNX Runtime: ${reply.error}`);
  });
  worker.on("error", (error) => fail(`expected ONNX Runtime on a worker thread, found: ${error.message}. Run the set-up again.`, error));
  worker.on("exit", (code) => fail(`expected the worker to answer, found that it ended (code ${code}). Was the memory full? Use a smaller batch.`));
  return (current = started);
}

export interface Engine {
  ask(request: Request): Promise<Reply>;
  /** Frees what this model has on the thread; what is asked and not begun is turned down. */
  stop(): Promise<void>;
}

/** The error, with the frames of another stack. */
function askedAt<E extends Error>(error: E, stack = ""): E {
  error.stack = `${error.name}: ${error.message}\n${stack.slice(stack.indexOf("\n") + 1)}`;
  return error;
}

/**
 * One model's part of the thread, which is started on the first request of any.
 * @param what for messages: "llama model /path"
 * @param lost called when the thread ended, with all that it held; the next request starts another
 */
export function startEngine(what: string, lost: () => void): Engine {
  const model = ++models;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const mine = new Map<number, (what: string) => void>();
  let closed = false;
  let used: Thread | undefined;

  const send = (request: Request): Promise<Reply> => {
    used = thread();
    used.lost.add(lost);
    const { waiting, worker } = used;
    const id = ++asked;
    const transfer = request.do === "load" ? [request.model.buffer as ArrayBuffer]
      : request.do === "run" ? Object.values(request.feeds).map(({ data }) => data.buffer as ArrayBuffer) : [];
    const { stack } = new Error(); // an answer comes out of the blue: its error is to say who asked
    const answer = new Promise<Reply>((resolve, reject) => {
      const refuse = (message: string, cause?: Error): void => reject(askedAt(new EngineError(`${what}: ${message}`, cause && { cause }), stack));
      waiting.set(id, { resolve, reject: refuse });
      mine.set(id, refuse);
    });
    answer.then(() => mine.delete(id), () => mine.delete(id));
    worker.ref();
    try {
      worker.postMessage({ id, model, stop, request } satisfies Message, transfer);
    } catch (error) { // what cannot be sent is not answered: waiting for it would keep the process alive
      waiting.get(id)!.reject(`expected arrays that can be handed over, found: ${(error as Error).message}`, error as Error);
      waiting.delete(id);
      if (!waiting.size) worker.unref();
    }
    return answer;
  };
  return {
    ask: (request) => (closed ? Promise.reject(new EngineError(`${what}: expected an open model, found one that was closed. Open it again.`)) : send(request)),
    async stop() {
      if (closed) return;
      closed = true;
      for (const refuse of mine.values()) refuse("the model was closed while this was being computed.");
      mine.clear();
      Atomics.store(stop, 0, 1);
      if (!used || used !== current) return; // it never began, or is gone with its thread
      await send({ do: "end" }).catch(() => {});
      used.lost.delete(lost);
    },
  };
}
