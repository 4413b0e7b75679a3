import { join } from "node:path";
import { OptionError } from "../core/errors";
import { writeSafetensors } from "../core/safetensors";
import { intervalOf } from "../core/split";
import type { Origin, Sparse } from "../core/types";
import { fewOpen, writeAtomic } from "./files";
import { openTensors, type Tensors } from "./tensorfile";

/**
 * Codes of rows on disk, in shards:
 *
 *   index, value [rows, columns]       active latents of each row, larger first; where fewer are active the value is 0
 *   document, position, token [rows]   where each row comes from
 *   hash [pieces, 2]                   of the rows that were encoded (core/rowhash), PIECE_ROWS at a time
 */

export interface CodesShard {
  file: string;
  rows: number;
  columns: number;
  /** Values above 0. */
  firings: number;
  bytes: number;
}

export const PIECE_ROWS = 2048; // read, hashed and encoded at a time
const OPEN_SHARDS = 32; // file descriptors that features hold at most for codes

export const codesFile = (shard: number): string => `codes-${String(shard).padStart(5, "0")}.safetensors`;

/** Puts codes of so many columns into arrays of at least as many, from a row on; what is left over has the value 0. */
function spread(codes: Pick<Sparse, "n" | "index" | "value">, columns: number, index: Int32Array, value: Float32Array, k: number, row: number): void {
  if (columns === k) {
    index.set(codes.index.subarray(0, codes.n * k), row * k);
    value.set(codes.value.subarray(0, codes.n * k), row * k);
    return;
  }
  index.fill(0, row * k, (row + codes.n) * k);
  value.fill(0, row * k, (row + codes.n) * k);
  for (let i = 0; i < codes.n; i++) {
    index.set(codes.index.subarray(i * columns, (i + 1) * columns), (row + i) * k);
    value.set(codes.value.subarray(i * columns, (i + 1) * columns), (row + i) * k);
  }
}

/** Gathers a shard, piece by piece, and writes it; then it is ready for the next one. */
export interface CodesWriter {
  add(codes: Pick<Sparse, "n" | "k" | "index" | "value">, origin: Origin, hash: [number, number]): void;
  /** Writes what was added as shard number so much. */
  flush(folder: string, shard: number): Promise<CodesShard>;
}

/** @param capacity rows of the largest shard */
export function codesWriter(capacity: number): CodesWriter {
  let k = 0; // columns of the shard: as many as any piece of it has
  let index = new Int32Array(0);
  let value = new Float32Array(0);
  let held = 0;
  let firings = 0;
  let origins: Origin[] = [];
  let hashes: number[] = [];
  const widen = (columns: number): void => {
    if (held || capacity * columns > index.length) {
      const [wide, values] = [new Int32Array(capacity * columns), new Float32Array(capacity * columns)];
      spread({ n: held, index, value }, k, wide, values, columns, 0);
      [index, value] = [wide, values];
    }
    k = columns;
  };
  return {
    add(codes, origin, hash) {
      if (codes.k > k) widen(codes.k);
      spread(codes, codes.k, index, value, k, held);
      held += codes.n;
      for (let i = 0; i < codes.n * codes.k; i++) if (codes.value[i] > 0) firings++;
      origins.push(origin);
      hashes.push(...hash);
    },
    async flush(folder, shard) {
      const file = codesFile(shard);
      const joined = (key: keyof Origin): Int32Array => {
        const all = new Int32Array(held);
        let at = 0;
        for (const one of origins) {
          all.set(one[key], at);
          at += one[key].length;
        }
        return all;
      };
      const pieces = writeSafetensors([
        { name: "index", shape: [held, k], data: index.subarray(0, held * k) },
        { name: "value", shape: [held, k], data: value.subarray(0, held * k) },
        ...(["document", "position", "token"] as const).map((name) => ({ name, shape: [held], data: joined(name) })),
        { name: "hash", shape: [hashes.length / 2, 2], data: Int32Array.from(hashes) },
      ]);
      await writeAtomic(join(folder, file), pieces);
      const entry = { file, rows: held, columns: k, firings, bytes: pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) };
      [held, firings, origins, hashes] = [0, 0, [], []];
      k = 0; // columns of a shard depend on its own rows
      return entry;
    },
  };
}

export interface CodesReader {
  /**
   * Codes of rows from … to, across shards; as many columns as the widest of the shards has.
   * @param into what an earlier call gave, to be written over if it has the size
   */
  read(from: number, to: number, into?: Sparse): Sparse;
  origin(from: number, to: number): Origin;
  /** Hashes of the pieces: of each the first row, how many rows, and the hash. */
  hashes(): { from: number; n: number; hash: [number, number] }[];
  close(): void;
}

/** Range reads of the codes, across shards. Their methods throw a FormatError if a shard is not what the manifest says. */
export function codesReader(folder: string, shards: CodesShard[]): CodesReader {
  const held = fewOpen(OPEN_SHARDS, (i: number): Tensors => {
    const { file, rows, columns } = shards[i];
    return openTensors(join(folder, file), {
      index: ["I32", rows, columns],
      value: ["F32", rows, columns],
      document: ["I32", rows],
      position: ["I32", rows],
      token: ["I32", rows],
      hash: ["I32", "pieces", 2],
    });
  });
  const starts = [0];
  for (const { rows } of shards) starts.push(starts.at(-1)! + rows);
  /** Calls with each shard that rows from … to are in, and which of its own rows those are. */
  const each = (from: number, to: number, body: (shard: number, first: number, last: number, at: number) => void): void => {
    if (!(0 <= from && from <= to && to <= starts.at(-1)!))
      throw new OptionError(`${folder}: expected rows 0 ≤ from ≤ to ≤ ${starts.at(-1)}, found ${from}, ${to}.`);
    for (let i = intervalOf(starts, from), row = from; row < to; i++) {
      const end = Math.min(to, starts[i + 1]);
      if (end > row) body(i, row - starts[i], end - starts[i], row - from);
      row = Math.max(row, end);
    }
  };
  return {
    read(from, to, into) {
      let k = 1;
      each(from, to, (i) => (k = Math.max(k, shards[i].columns)));
      const n = to - from;
      const out: Sparse = into?.n === n && into.k === k ? into : { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
      each(from, to, (i, first, last, at) => {
        const { columns } = shards[i];
        const tensors = held.get(i);
        if (columns === k) {
          tensors.fill("index", first * k, out.index.subarray(at * k, (at + last - first) * k));
          tensors.fill("value", first * k, out.value.subarray(at * k, (at + last - first) * k));
          return;
        }
        const index = tensors.ints("index", first * columns, last * columns);
        const value = tensors.floats("value", first * columns, last * columns);
        spread({ n: last - first, index, value }, columns, out.index, out.value, k, at);
      });
      return out;
    },
    origin(from, to) {
      const out: Origin = { document: new Int32Array(to - from), position: new Int32Array(to - from), token: new Int32Array(to - from) };
      each(from, to, (i, first, last, at) => {
        const tensors = held.get(i);
        for (const name of ["document", "position", "token"] as const) out[name].set(tensors.ints(name, first, last), at);
      });
      return out;
    },
    hashes() {
      return shards.flatMap(({ rows }, i) => {
        const all = held.get(i).ints("hash");
        return Array.from({ length: all.length / 2 }, (_, p) => ({
          from: starts[i] + p * PIECE_ROWS,
          n: Math.min(PIECE_ROWS, rows - p * PIECE_ROWS),
          hash: [all[2 * p], all[2 * p + 1]] as [number, number],
        }));
      });
    },
    close: held.close,
  };
}
