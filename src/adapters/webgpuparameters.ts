import { partLengths, partsOf, sizesOf, type Parameter, type Parameters, type StateSizes, type StepState } from "../core/trained";
import type { Gpu } from "./webgpu";
import type { Memory } from "./webgpumemory";

/** Parameters and moments in a card's memory: rows padded to fours, matrices in tiles of latents where one buffer cannot hold them. */

const SETS = ["parameters", "m", "v"] as const;
type SetName = (typeof SETS)[number];

export const fours = (count: number): number => Math.ceil(count / 4);

/** Latents first … first + count − 1. Moments are gone after `settle`. */
export interface Tile {
  first: number;
  count: number;
  wEnc: Record<SetName, GPUBuffer>;
  wDec: Record<SetName, GPUBuffer>;
}

export interface Resident {
  tiles: Tile[];
  /** A bias, its m and its v, one behind the other. */
  bEnc: GPUBuffer;
  bDec: GPUBuffer;
  /** The same of a skip connection, each [dOut, d] padded to fours both ways. */
  wSkip?: GPUBuffer;
  /** Numbers from … to of an array. */
  part(set: SetName, name: Parameter, from: number, to: number): Promise<Float32Array>;
  /** A whole set. */
  read(set: SetName): Promise<Parameters>;
  settle(): void;
}

/** How many latents' rows of both matrices fit into one buffer each. */
function tileLatents({ limits }: Pick<Gpu, "limits">, { d, dOut, latents }: Pick<StateSizes, "d" | "dOut" | "latents">): number {
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  const fit = Math.max(1, Math.floor(most / (16 * Math.max(fours(d), fours(dOut)))));
  return Math.ceil(latents / Math.ceil(latents / fit)); // of about the same size
}

const isZero = (data: Float32Array): boolean => data.every((value) => value === 0);

/** @throws MemoryError when there is no room */
export async function resident(gpu: Gpu, memory: Memory, initial: StepState): Promise<Resident> {
  const sizes = sizesOf(initial);
  const { d, dOut, latents } = sizes;
  const widths = { wEnc: d, wDec: dOut };
  const size = tileLatents(gpu, sizes);
  const tiles: Tile[] = [];
  for (let first = 0; first < latents; first += size) {
    const count = Math.min(size, latents - first);
    const matrix = async (name: "wEnc" | "wDec"): Promise<Record<SetName, GPUBuffer>> => {
      const made = {} as Record<SetName, GPUBuffer>;
      for (const set of SETS) made[set] = await memory.make(`${name}, ${set}`, 16 * count * fours(widths[name]));
      return made;
    };
    tiles.push({ first, count, wEnc: await matrix("wEnc"), wDec: await matrix("wDec") });
  }
  const biases = { bEnc: latents, bDec: dOut };
  const bEnc = await memory.make("b_enc and its moments", 48 * fours(latents));
  const bDec = await memory.make("b_dec and its moments", 48 * fours(dOut));
  const bias = { bEnc, bDec };
  const skipBytes = 64 * fours(dOut) * fours(d);
  const wSkip = initial.parameters.wSkip && (await memory.make("W_skip and its moments", 3 * skipBytes));

  for (const set of SETS) {
    for (const name of ["wEnc", "wDec"] as const) {
      const data = initial[set][name], width = widths[name];
      if (isZero(data)) continue; // as buffers are
      for (const { first, count, [name]: { [set]: buffer } } of tiles) sendRows(memory, buffer, data.subarray(first * width, (first + count) * width), width);
    }
    if (wSkip) sendRows(memory, wSkip, initial[set].wSkip!, d, skipBytes * SETS.indexOf(set));
    for (const name of ["bEnc", "bDec"] as const) memory.write(bias[name], initial[set][name], 16 * fours(biases[name]) * SETS.indexOf(set));
  }

  const part: Resident["part"] = async (set, name, from, to) => {
    if (name === "bEnc" || name === "bDec") return new Float32Array(await memory.read(bias[name], 16 * fours(biases[name]) * SETS.indexOf(set) + 4 * from, 4 * (to - from)));
    if (name === "wSkip" && wSkip) return partOfRows(wSkip, d, from, to, skipBytes * SETS.indexOf(set));
    if (name !== "wEnc" && name !== "wDec") throw new RangeError(`part: expected a parameter of this state, found ${name}`);
    const out = new Float32Array(to - from), width = widths[name];
    for (const { first, count, [name]: { [set]: buffer } } of tiles) {
      const a = Math.max(from, first * width), b = Math.min(to, (first + count) * width);
      if (a >= b) continue;
      out.set(await partOfRows(buffer, width, a - first * width, b - first * width), a - from);
    }
    return out;
  };
  /** Numbers from … to of rows that lie padded in a buffer, from a byte of it on. */
  async function partOfRows(buffer: GPUBuffer, width: number, from: number, to: number, byte = 0): Promise<Float32Array> {
    const padded = 4 * fours(width), row = Math.floor(from / width), end = Math.ceil(to / width); // whole rows
    const rows = new Float32Array(await memory.read(buffer, byte + 4 * padded * row, 4 * padded * (end - row)));
    if (padded === width) return rows.subarray(from - row * width, to - row * width);
    const out = new Float32Array(to - from);
    for (let r = row; r < end; r++) {
      const begin = Math.max(from, r * width), stop = Math.min(to, (r + 1) * width);
      const at = (r - row) * padded - r * width;
      out.set(rows.subarray(at + begin, at + stop), begin - from);
    }
    return out;
  }
  const lengths = partLengths(sizes), names = partsOf(initial.parameters);
  return {
    tiles, bEnc, bDec, wSkip, part,
    async read(set) {
      const all: Partial<Parameters> = {};
      for (const name of names) all[name] = await part(set, name, 0, lengths[name]);
      return all as Parameters;
    },
    settle() {
      for (const { wEnc, wDec } of tiles) for (const set of ["m", "v"] as const) memory.free(wEnc[set], wDec[set]);
    },
  };
}

/** Rows [n, width] to where they lie padded to fours. */
export function sendRows(memory: Memory, buffer: GPUBuffer, rows: Float32Array, width: number, byte = 0): void {
  const padded = 4 * fours(width);
  if (padded === width) return memory.write(buffer, rows, byte);
  const n = rows.length / width, some = Math.max(1, Math.floor(2 ** 20 / padded)); // rows at a time: 4 MB
  for (let from = 0; from < n; from += some) {
    const count = Math.min(some, n - from), piece = new Float32Array(count * padded);
    for (let r = 0; r < count; r++) piece.set(rows.subarray((from + r) * width, (from + r + 1) * width), r * padded);
    memory.write(buffer, piece, byte + 4 * padded * from);
  }
}
