import { workerData } from "node:worker_threads";
import { rowsOf } from "./portableproduct";
import { WAKE, work } from "./portablethreads";

/** One of the threads of portablethreads.ts. */
const { bytes, memory, control } = workerData as { bytes: Uint8Array; memory: object; control: Int32Array };
const rows = rowsOf(bytes, memory);
for (;;) {
  const seen = Atomics.load(control, WAKE);
  work(control, rows);
  Atomics.wait(control, WAKE, seen);
}
