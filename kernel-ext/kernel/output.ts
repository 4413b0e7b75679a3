import { writeSync } from "node:fs";
import { Writable } from "node:stream";
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
  /** Takes away what the cell has shown; with `wait` when something new comes. */
  clear(cell: Cell, wait: boolean): void;
  /** The cell has ended: says what was cut. */
  end(cell: Cell): void;
}

const CELL_LIMIT = 16 << 20; // characters of one cell: a million lines of 16; a front end holds them all in memory, and saves them
const REMINDER = 10_000; // ms between notices of what a cell's timers had cut after its end

/** What of a cell's text was sent, and what was not because it was too much. */
interface Spent {
  sent: number;
  full: boolean;
  cut: { characters: number; lines: number };
  ended: boolean;
  reminding: boolean;
}

const count = (n: number, what: string): string => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;

/**
 * What cells print and show. What a cell prints past the limit is counted instead of sent, and the cell says so.
 * @param print takes text; displays published later stand behind it
 * @param tidy makes printed stacks readable
 * @param limit characters a cell may print
 */
export function createOutput({ publish, print, clock, tidy = (text) => text, limit = CELL_LIMIT }: {
  publish: Publish; print: (cell: Cell, name: StreamName, text: string) => void; clock: Clock; tidy?: (text: string) => string; limit?: number;
}): Output {
  const decoders = new WeakMap<Cell, Record<StreamName, StringDecoder>>();
  const spending = new WeakMap<Cell, Spent>();

  const decode = (cell: Cell, name: StreamName, chunk: string | Uint8Array): string => {
    if (typeof chunk === "string") return chunk;
    let pair = decoders.get(cell);
    if (!pair) decoders.set(cell, (pair = { stdout: new StringDecoder("utf8"), stderr: new StringDecoder("utf8") }));
    return pair[name].write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)); // half a character waits
  };

  const spentOf = (cell: Cell): Spent => {
    let spent = spending.get(cell);
    if (!spent) spending.set(cell, (spent = { sent: 0, full: false, cut: { characters: 0, lines: 0 }, ended: false, reminding: false }));
    return spent;
  };

  const notice = (cell: Cell, text: string): void => print(cell, "stderr", `\n[saelab] ${text}\n`);

  const saySoFar = (cell: Cell, { cut }: Spent): void => {
    if (cut.characters === 0) return;
    notice(cell, `Not shown: ${count(cut.characters, "character")}${cut.lines > 0 ? ` in ${count(cut.lines, "line")}` : ""}.`);
    cut.characters = cut.lines = 0;
  };

  const cutOff = (cell: Cell, spent: Spent, text: string): void => {
    spent.cut.characters += text.length;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) spent.cut.lines++;
    if (!spent.ended || spent.reminding) return;
    spent.reminding = true;
    clock.after(REMINDER, () => {
      spent.reminding = false;
      saySoFar(cell, spent);
    });
  };

  return {
    stream(cell, name, chunk) {
      // Half a surrogate pair is no text: front ends fail to save it.
      const text = tidy(decode(cell, name, chunk).toWellFormed());
      if (text === "") return;
      const spent = spentOf(cell);
      const rest = limit - spent.sent;
      if (text.length <= rest) {
        spent.sent += text.length;
        print(cell, name, text);
        return;
      }
      if (rest > 0) print(cell, name, text.slice(0, rest).toWellFormed());
      spent.sent = limit;
      if (!spent.full) notice(cell, `This cell has printed ${count(limit, "character")}, the most that is shown of one cell; what follows is counted only.`);
      spent.full = true;
      cutOff(cell, spent, text.slice(rest));
    },
    display(cell, bundle, { display_id, update = false, metadata = {} } = {}) {
      publish(cell, update ? "update_display_data" : "display_data", {
        data: bundle, metadata, transient: display_id === undefined ? {} : { display_id },
      });
    },
    clear: (cell, wait) => publish(cell, "clear_output", { wait }),
    end(cell) {
      const spent = spending.get(cell);
      if (!spent) return;
      saySoFar(cell, spent);
      spent.ended = true;
    },
  };
}

/** Writes to the process's own stdout or stderr. */
export function writeAside(fd: 1 | 2, data: string | Uint8Array): void {
  try {
    writeSync(fd, data as string);
  } catch {
    // Nobody reads it (any more): Jupyter's terminal is closed.
  }
}

/**
 * Replaces process.stdout and process.stderr by streams that lead to the cell whose code writes; what no cell has written goes where
 * the process's own output goes. Node's streams are never opened: they would make a pipe that the kernel shares with whoever started
 * it non-blocking, for that program too.
 * @returns function that puts the original streams back
 */
export function captureStreams(output: Output, current: () => Cell | undefined): () => void {
  const restore = (["stdout", "stderr"] as const).map((name, i) => {
    const original = Object.getOwnPropertyDescriptor(process, name)!;
    const fd = (i + 1) as 1 | 2;
    const stream = Object.assign(new Writable({ decodeStrings: false }), { fd, isTTY: false });
    // All at once, in the order of the calls, and for the cell that calls: a Writable's own queue keeps none of that.
    stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
      const cell = current();
      const encoding = typeof rest[0] === "string" ? (rest[0] as BufferEncoding) : "utf8";
      const data = typeof chunk === "string" && /^(hex|base64|base64url|latin1|binary)$/.test(encoding) ? Buffer.from(chunk, encoding) : chunk;
      if (cell) output.stream(cell, name, data);
      else writeAside(fd, data);
      const done = rest.find((each) => typeof each === "function") as (() => void) | undefined;
      if (done) queueMicrotask(done);
      return true;
    }) as typeof stream.write;
    stream.end = ((...rest: unknown[]) => {
      if (typeof rest[0] === "string" || rest[0] instanceof Uint8Array) stream.write(rest[0]);
      return stream; // as with Node's, it stays open
    }) as typeof stream.end;
    stream.destroy = () => stream;
    Object.defineProperty(process, name, { configurable: true, enumerable: true, get: () => stream });
    return () => void Object.defineProperty(process, name, original);
  });
  return () => restore.forEach((each) => each());
}
