import { StringDecoder } from "node:string_decoder";
import type { Cell, Clock } from "./cell";
import type { Bundle } from "./bundle";
import type { Content } from "./wire";

export type StreamName = "stdout" | "stderr";

export interface DisplayOptions {
  display_id?: string; // names the display, so that it can be updated
  update?: boolean; // replaces what the displays of that name show
  metadata?: Content;
}

/** Publishes one iopub message on behalf of a cell. */
export type Publish = (cell: Cell, type: string, content: Content) => void;

export interface Output {
  stream(cell: Cell, name: StreamName, chunk: string | Uint8Array): void;
  display(cell: Cell, bundle: Bundle, options?: DisplayOptions): void;
  flush(cell?: Cell): void;
}

interface Pending {
  name: StreamName;
  parts: string[];
  length: number;
  since: number;
  cancel: () => void;
}

const INTERVAL = 20; // ms: text waits at most so long for more text
const LIMIT = 1 << 18; // characters: more than that is sent at once, so that a printing loop holds little memory

/**
 * Collects what cells print into few messages and keeps their order: text waits up to 20 ms for more of the same stream; a
 * display, the other stream or flush() sends it on before. A loop that never gives the event loop a turn is served too, because
 * each write looks at the clock.
 */
export function createOutput({ publish, clock }: { publish: Publish; clock: Clock }): Output {
  const waiting = new Map<Cell, Pending>();
  const decoders = new WeakMap<Cell, Record<StreamName, StringDecoder>>();

  const decode = (cell: Cell, name: StreamName, chunk: string | Uint8Array): string => {
    if (typeof chunk === "string") return chunk;
    let pair = decoders.get(cell);
    if (!pair) decoders.set(cell, (pair = { stdout: new StringDecoder("utf8"), stderr: new StringDecoder("utf8") }));
    return pair[name].write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)); // half a character waits
  };

  const flush = (cell: Cell): void => {
    const pending = waiting.get(cell);
    if (!pending) return;
    waiting.delete(cell);
    pending.cancel();
    // Half a surrogate pair is no text: front ends fail to save it.
    const text = pending.parts.join("").replace(/\p{Surrogate}/gu, "\ufffd");
    publish(cell, "stream", { name: pending.name, text });
  };

  return {
    stream(cell, name, chunk) {
      const text = decode(cell, name, chunk);
      if (text === "") return;
      let pending = waiting.get(cell);
      if (pending && pending.name !== name) {
        flush(cell);
        pending = undefined;
      }
      if (!pending) {
        pending = {
          name, parts: [], length: 0, since: clock.now(), cancel: clock.after(INTERVAL, () => flush(cell)),
        };
        waiting.set(cell, pending);
      }
      pending.parts.push(text);
      pending.length += text.length;
      if (pending.length >= LIMIT || clock.now() - pending.since >= INTERVAL) flush(cell);
    },
    display(cell, bundle, { display_id, update = false, metadata = {} } = {}) {
      flush(cell);
      publish(cell, update ? "update_display_data" : "display_data", {
        data: bundle, metadata, transient: display_id === undefined ? {} : { display_id },
      });
    },
    flush(cell) {
      for (const each of cell ? [cell] : [...waiting.keys()]) flush(each);
    },
  };
}

/**
 * Leads process.stdout and process.stderr to the cell whose code writes; before the first cell they go where they always went.
 * @returns function that puts the original streams back
 */
export function captureStreams(output: Output, current: () => Cell | undefined): () => void {
  const restore = (["stdout", "stderr"] as const).map((name) => {
    const stream = process[name];
    const original = stream.write;
    const write = original.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
      const cell = current();
      if (!cell) return write(chunk, ...rest);
      const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : "utf8";
      const text = typeof chunk === "string" && /^(hex|base64|base64url|latin1|binary)$/.test(encoding);
      output.stream(cell, name, text ? Buffer.from(chunk, encoding) : chunk);
      const done = rest.find((each) => typeof each === "function") as (() => void) | undefined;
      if (done) queueMicrotask(done);
      return true;
    }) as typeof stream.write;
    return () => {
      stream.write = original;
    };
  });
  return () => restore.forEach((each) => each());
}
