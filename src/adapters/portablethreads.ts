import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

/**
 * Other threads that take rows of a product: the memory is shared, and this thread waits for them as it would for a call. They are
 * started by the first product that is worth it, and end with the process. Every number is computed as one thread would.
 */

/** Places in the control words, which all threads see. */
export const WAKE = 0, JOB = 1, NEXT = 2, FINISHED = 3, TOTAL = 4, ROWS = 5, COLUMNS = 6, INNER = 7, WORDS = 8;

export const CHUNK = 16; // rows that are taken at once
const MOST = 16; // threads: a tile has not more to do
const NUMBERS = 2 ** 15; // of jobs, counted around
const WORTH = 2e7; // multiplications: a millisecond, for which waking others pays

/** Computes rows from … n of two tiles. */
export type Rows = (from: number, n: number, m: number, innerBytes: number, outBytes: number) => void;

/**
 * Takes rows of the present job until none is left. A number that was taken counts only while the job it was taken of is the present
 * one: one that came too late is of a job whose rows were all taken.
 */
export function work(control: Int32Array, rows: Rows): void {
  for (;;) {
    const taken = Atomics.add(control, NEXT, 1), job = taken >>> 16, chunk = taken & 0xffff;
    const total = control[TOTAL];
    if (Atomics.load(control, JOB) !== job || chunk >= total) return;
    const [n, m, inner] = control.subarray(ROWS, INNER + 1);
    rows(chunk * CHUNK, Math.min(n, (chunk + 1) * CHUNK), m, 4 * inner, 4 * m);
    Atomics.add(control, FINISHED, 1);
    Atomics.notify(control, FINISHED);
  }
}

/** A product of two tiles in `memory`, by all threads where it is large. */
export function threaded(bytes: Uint8Array, memory: object, rows: Rows): (tile: { n: number; m: number; inner: number }) => void {
  const control = new Int32Array(new SharedArrayBuffer(4 * WORDS));
  const threads = Math.min(MOST, availableParallelism());
  let job = 0, started = false;
  const start = (): void => {
    started = true;
    for (let i = 1; i < threads; i++) {
      const worker = new Worker(join(__dirname, "portable-worker.js"), { workerData: { bytes, memory, control }, stdin: false });
      worker.unref();
      worker.on("error", () => {}); // this thread takes what others do not
    }
  };
  return ({ n, m, inner }) => {
    if (n * m * inner < WORTH) return rows(0, n, m, 4 * inner, 4 * m);
    if (!started) start();
    const total = Math.ceil(n / CHUNK);
    job = (job + 1) % NUMBERS;
    Atomics.store(control, JOB, -1);
    control.set([total, n, m, inner], TOTAL);
    Atomics.store(control, FINISHED, 0);
    Atomics.store(control, JOB, job);
    Atomics.store(control, NEXT, job << 16);
    Atomics.add(control, WAKE, 1);
    Atomics.notify(control, WAKE);
    work(control, rows);
    for (let finished = Atomics.load(control, FINISHED); finished < total; finished = Atomics.load(control, FINISHED)) Atomics.wait(control, FINISHED, finished);
  };
}
