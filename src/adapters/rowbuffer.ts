import { closeSync, constants, copyFileSync, existsSync, fsyncSync, ftruncateSync, openSync, readdirSync, readSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { OptionError, StoreError } from "../core/errors";
import { diskError, requireSpace } from "./files";
import type { SourceState } from "./rows";

/** Numbered slots for rows of several hooks, in memory or in a file. */
export interface Slots {
  /** Copies the rows of a slot to place i of each hook's `x`. */
  take(slot: number, x: Float32Array[], i: number): void;
  put(slot: number, x: Float32Array[], i: number): void;
  /** What slots 0 … held − 1 hold. `mark`, which grows from state to state, tells states apart. */
  state(held: number, mark: number): SourceState;
  /** @param done whether nobody will go on from a state */
  close(done: boolean): void;
}

/** @throws OptionError when there is not so much memory */
export function memorySlots(capacity: number, widths: number[], from?: SourceState): Slots {
  const room = (count: number): Float32Array => {
    try {
      return new Float32Array(count);
    } catch {
      const needed = megabytes(4 * capacity * widths.reduce((a, b) => a + b, 0));
      throw new OptionError(`buffer: expected memory for ${needed}, found less. Give a smaller { buffer }, or { on: "disk" }.`);
    }
  };
  const rows = widths.map((width, h) => {
    const held = from?.arrays[`rows.${h}`] as Float32Array | undefined;
    if (held?.length === capacity * width) return held; // taken over: it may be gigabytes
    const all = room(capacity * width);
    if (held) all.set(held);
    return all;
  });
  return {
    take: (slot, x, i) => widths.forEach((width, h) => x[h].set(rows[h].subarray(slot * width, (slot + 1) * width), i * width)),
    put: (slot, x, i) => widths.forEach((width, h) => rows[h].set(x[h].subarray(i * width, (i + 1) * width), slot * width)),
    state: (held) => ({ json: {}, arrays: Object.fromEntries(rows.map((all, h) => [`rows.${h}`, all.subarray(0, held * widths[h])])) }),
    close() {},
  };
}

const LIVE = "buffer.rows";
const KEPT = 2; // copies beside the one that is worked in: one for each generation of a run's checkpoints

/**
 * A slot is a record of all hooks' rows in `buffer.rows`, which is removed on closing. A state is a copy of the file beside it,
 * `buffer-<mark>.rows`; the last two are kept until the run is done. What an earlier run left that is not gone on with is removed.
 * @throws DiskError when there is no room for the file and two copies; StoreError when the copy of a state is not there
 */
export async function diskSlots(folder: string, capacity: number, widths: number[], from?: SourceState): Promise<Slots> {
  const width = widths.reduce((a, b) => a + b, 0);
  const record = new Float32Array(width);
  const bytes = new Uint8Array(record.buffer);
  const live = join(folder, LIVE);
  const kept = from?.json.file as string | undefined;
  if (from) {
    const held = from.json.held as number;
    const found = existsSync(join(folder, `${kept}`)) ? `${statSync(join(folder, `${kept}`)).size} bytes` : "no such file";
    if (found !== `${held * bytes.length} bytes`) {
      throw new StoreError(
        `${join(folder, `${kept}`)}: expected the ${held} rows of the buffer when its run was stopped, ${held * bytes.length} bytes, found ${found}. ` +
        "Go on from another checkpoint, or begin anew.");
    }
  }
  for (const file of existsSync(folder) ? readdirSync(folder) : []) {
    if (/^buffer(-\d+)?\.rows(\.part)?$/.test(file) && file !== kept) rmSync(join(folder, file));
  }
  await requireSpace(folder, capacity * bytes.length * (1 + KEPT - (kept ? 1 : 0)));
  /** Names of the states there are, the newest first. */
  const copies = (): string[] => {
    const mark = (name: string): number => Number(/^buffer-(\d+)\.rows$/.exec(name)?.[1] ?? -1);
    return readdirSync(folder).filter((name) => mark(name) >= 0).sort((a, b) => mark(b) - mark(a));
  };
  const guarded = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw diskError(error, live);
    }
  };
  if (kept) guarded(() => copyFileSync(join(folder, kept), live, constants.COPYFILE_FICLONE));
  const file = guarded(() => openSync(live, kept ? "r+" : "wx+"));
  return {
    take(slot, x, i) {
      for (let at = 0; at < bytes.length;) {
        const got = readSync(file, bytes, at, bytes.length - at, slot * bytes.length + at);
        if (!got) throw new StoreError(`${live}: expected row ${slot}, found that the file ends before it. Something shortened it: go on from a checkpoint.`);
        at += got;
      }
      for (let h = 0, at = 0; h < widths.length; at += widths[h++]) x[h].set(record.subarray(at, at + widths[h]), i * widths[h]);
    },
    put(slot, x, i) {
      for (let h = 0, at = 0; h < widths.length; at += widths[h++]) record.set(x[h].subarray(i * widths[h], (i + 1) * widths[h]), at);
      guarded(() => {
        for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at, bytes.length - at, slot * bytes.length + at);
      });
    },
    state(held, mark) {
      const name = `buffer-${mark}.rows`, part = join(folder, `${name}.part`);
      for (const old of copies().filter((copy) => copy !== name).slice(KEPT - 1)) rmSync(join(folder, old));
      try {
        copyFileSync(live, part, constants.COPYFILE_FICLONE);
        const copy = openSync(part, "r+");
        try {
          ftruncateSync(copy, held * bytes.length);
          fsyncSync(copy);
        } finally {
          closeSync(copy);
        }
        renameSync(part, join(folder, name));
      } catch (error) {
        rmSync(part, { force: true });
        throw diskError(error, join(folder, name));
      }
      return { json: { file: name }, arrays: {} };
    },
    close(done) {
      closeSync(file);
      rmSync(live, { force: true });
      if (done) for (const copy of copies()) rmSync(join(folder, copy), { force: true });
    },
  };
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
