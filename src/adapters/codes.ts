import { join } from "node:path";
import { OptionError } from "../core/errors";
import { writeSafetensors, type TensorToWrite } from "../core/safetensors";
import { intervalOf } from "../core/split";
import type { Origin, Sparse } from "../core/types";
import { fewOpen, writeAtomic } from "./files";
import { damaged, openTensors, type Tensors } from "./tensorfile";

/**
 * Codes of rows on disk, in shards:
 *
 *   index, value [rows, columns]       active latents of each row, larger first; where fewer are active the value is 0
 *   offset [rows + 1] → index, value [firings]  the same of an SAE of which only thresholds bound them: `columns` is 0 then
 *   document, position, token [rows]   where each row comes from
 *   hash [pieces, 2]                   of the rows that were encoded (core/rowhash), PIECE_ROWS at a time
 */

export interface CodesShard {
  file: string;
  rows: number;
  /** 0 where rows have any number of them. */
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

/** Where the codes of a shard are put together: a table, or where rows differ much in length, one row behind the other. */
interface Held {
  columns: number;
  add(codes: Pick<Sparse, "n" | "k" | "index" | "value">): void;
  /** What was added, of so many rows; and all is empty again. */
  take(rows: number): TensorToWrite[];
}

function table(capacity: number, columns: number): Held {
  const [index, value] = [new Int32Array(capacity * columns), new Float32Array(capacity * columns)];
  let held = 0;
  return {
    columns,
    add(codes) {
      spread(codes, codes.k, index, value, columns, held);
      held += codes.n;
    },
    take(rows) {
      held = 0;
      return [
        { name: "index", shape: [rows, columns], data: index.subarray(0, rows * columns) },
        { name: "value", shape: [rows, columns], data: value.subarray(0, rows * columns) },
      ];
    },
  };
}

function list(capacity: number): Held {
  const offset = new Int32Array(capacity + 1);
  let [index, value] = [new Int32Array(0), new Float32Array(0)];
  let held = 0;
  return {
    columns: 0,
    add({ n, k, index: latents, value: values }) {
      let at = offset[held];
      if (at + n * k > index.length) {
        const [wider, larger] = [new Int32Array(at + n * k + (at >> 1)), new Float32Array(at + n * k + (at >> 1))];
        wider.set(index.subarray(0, at));
        larger.set(value.subarray(0, at));
        [index, value] = [wider, larger];
      }
      for (let r = 0, i = 0; r < n; r++) {
        for (let j = 0; j < k; j++, i++) {
          if (!(values[i] > 0)) continue;
          index[at] = latents[i];
          value[at++] = values[i];
        }
        offset[++held] = at;
      }
    },
    take(rows) {
      const firings = offset[rows];
      held = 0;
      return [
        { name: "offset", shape: [rows + 1], data: offset.subarray(0, rows + 1) },
        { name: "index", shape: [firings], data: index.subarray(0, firings) },
        { name: "value", shape: [firings], data: value.subarray(0, firings) },
      ];
    },
  };
}

/**
 * @param capacity rows of the largest shard
 * @param columns latents that a row has at most; 0: any number of them
 */
export function codesWriter(capacity: number, columns: number): CodesWriter {
  const codesHeld = columns ? table(capacity, columns) : list(capacity);
  let held = 0;
  let firings = 0;
  let origins: Origin[] = [];
  let hashes: number[] = [];
  return {
    add(codes, origin, hash) {
      if (columns && codes.k > columns)
        throw new OptionError(`collect: expected at most ${columns} latents a row, as the SAE's k says, found room for ${codes.k}. Where thresholds alone bound them, k is the number of latents.`);
      codesHeld.add(codes);
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
        ...codesHeld.take(held),
        ...(["document", "position", "token"] as const).map((name) => ({ name, shape: [held], data: joined(name) })),
        { name: "hash", shape: [hashes.length / 2, 2], data: Int32Array.from(hashes) },
      ]);
      await writeAtomic(join(folder, file), pieces);
      const entry = { file, rows: held, columns, firings, bytes: pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) };
      [held, firings, origins, hashes] = [0, 0, [], []];
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
export function codesReader(folder: string, shards: CodesShard[], latents: number): CodesReader {
  const held = fewOpen(OPEN_SHARDS, (i: number): Tensors => {
    const { file, rows, columns, firings } = shards[i];
    return openTensors(join(folder, file), {
      ...(columns ? { index: ["I32", rows, columns], value: ["F32", rows, columns] } : { offset: ["I32", rows + 1], index: ["I32", firings], value: ["F32", firings] }),
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
  /** Latents of the row that has most, at least 1. */
  const longest = (i: number, offset: Int32Array): number => {
    const { file, firings } = shards[i];
    let most = 1;
    for (let row = 1; row < offset.length; row++) {
      const [a, b] = [offset[row - 1], offset[row]];
      if (!(0 <= a && a <= b && b <= firings && b - a <= latents)) throw damaged(join(folder, file), `offsets that rise to ${firings}, by at most ${latents}`, `${a}, ${b}`);
      most = Math.max(most, b - a);
    }
    return most;
  };
  return {
    read(from, to, into) {
      let k = 1;
      const offsets: Int32Array[] = []; // of shards without columns, in order
      each(from, to, (i, first, last) => {
        if (!shards[i].columns) offsets.push(held.get(i).ints("offset", first, last + 1));
        k = Math.max(k, shards[i].columns || longest(i, offsets.at(-1)!));
      });
      const n = to - from;
      const out: Sparse = into?.n === n && into.k === k ? into : { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
      each(from, to, (i, first, last, at) => {
        const { columns } = shards[i];
        const tensors = held.get(i);
        const [index, value] = [out.index.subarray(at * k, (at + last - first) * k), out.value.subarray(at * k, (at + last - first) * k)];
        if (columns === k) {
          tensors.fill("index", first * k, index);
          tensors.fill("value", first * k, value);
          return;
        }
        index.fill(0);
        value.fill(0);
        const starts = columns ? undefined : offsets.shift()!;
        const [begin, end] = starts ? [starts[0], starts.at(-1)!] : [first * columns, last * columns];
        const [found, values] = [tensors.ints("index", begin, end), tensors.floats("value", begin, end)];
        for (let r = 0; r < last - first; r++) {
          const [a, b] = starts ? [starts[r] - begin, starts[r + 1] - begin] : [r * columns, (r + 1) * columns];
          index.set(found.subarray(a, b), r * k);
          value.set(values.subarray(a, b), r * k);
        }
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
