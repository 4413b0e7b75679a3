import { auxiliary } from "../core/schedule";
import type { StateSizes } from "../core/trained";
import type { Gpu } from "./webgpu";
import type { Commands, Compile, Shape } from "./webgpukernels";
import type { Memory } from "./webgpumemory";
import type { BatchGiven } from "./webgpupass";
import { fours, type Resident, type Tile } from "./webgpuparameters";

/** The auxiliary term (auxk.ts) on a card: dense over the dead latents, some rows at a time, whose gradients are added up. */

/** Latents listed for a product: those of a tile lie together, filled up to fours with empty places. */
export interface Listed {
  padded: Uint32Array;
  segments: { tile: number; first: number; columns: number }[];
}

const EMPTY = 0xffffffff;

/** @param list ascending */
export function listed(list: Int32Array, tiles: Pick<Tile, "first" | "count">[]): Listed {
  const padded: number[] = [], segments: Listed["segments"] = [];
  let at = 0;
  tiles.forEach(({ first, count }, tile) => {
    const begin = padded.length;
    for (; at < list.length && list[at] < first + count; at++) padded.push(list[at]);
    while (padded.length % 4) padded.push(EMPTY);
    if (padded.length > begin) segments.push({ tile, first: begin, columns: padded.length - begin });
  });
  return { padded: Uint32Array.from(padded), segments };
}

/** Workgroups of product.wgsl. */
export const productGroups = (rows: number, columns: number, { T }: Shape): number => Math.ceil(rows / (T * T / 2)) * Math.ceil(columns / (T * T / 2));

/** Of dense.wgsl, width in fours. */
export const denseGroups = (rows: number, width: number, { T }: Shape): number => Math.ceil(rows / (T * T / 2)) * Math.ceil(width / (T * T / 8));

export interface Auxiliary {
  /** @param pieceOf rows at a time, of that many numbers each. @throws MemoryError; then nothing has changed */
  prepare(n: number, dead: Int32Array, pieceOf: (n: number, width: number) => number): Promise<void>;
  /** After the main loss' pairs: adds to what they gave of the latents, keeps the rest. */
  run(batch: BatchGiven, main: Record<"xc" | "e", GPUBuffer>, losses: GPUBuffer, slot: number): void;
  /** Of a tile's dead latents, of the last run. */
  gradients(tile: number): Record<"wEnc" | "wDec", GPUBuffer>;
}

interface Room {
  stride: number;
  piece: number;
  n: number;
  list: GPUBuffer;
  v: GPUBuffer;
  g: GPUBuffer;
  error: GPUBuffer;
  sums: GPUBuffer;
  rowSums: GPUBuffer;
  gradients: (Record<"wEnc" | "wDec", GPUBuffer> | undefined)[];
  columns: number[]; // of each tile
}

export async function auxiliaryPass(
  gpu: Gpu, memory: Memory, commands: Commands, compile: Compile,
  { state, P, kept, weights, levels, main, shape }: {
    state: StateSizes; P: Resident; kept: Record<"latents" | "places" | "stats" | "none", GPUBuffer>; weights: string; levels: number; main: number; shape: Shape;
  },
): Promise<Auxiliary> {
  const { d, dOut, latents } = state;
  const d4 = fours(d), D4 = fours(dOut);
  const product = (GATED: boolean) => compile("product", "product", { T: shape.T, LISTED: true, GATED });
  const dense = (entry: string) => compile("dense", entry, { T: shape.T });
  const kernel = (entry: string) => compile("auxiliary", entry, { W4: D4, LEVELS: levels, MAIN: main, WEIGHTS: weights, THREADS: shape.row });
  const [encode, back, keep, rebuild, outer, residual, columnSums, join, totals] = await Promise.all([
    product(false), product(true), compile("topk", "keep", { THREADS: shape.rank }), dense("rebuild"), dense("outer"), kernel("residual"), kernel("column_sums"), kernel("join"), compile("batch", "totals", { W4: D4, THREADS: shape.rank, LANES: shape.lanes }),
  ]);
  const { run } = commands;
  let room: Room | undefined;
  let now: { list: Int32Array; dead: Listed } | undefined;
  const same = (list: Int32Array): boolean => now !== undefined && now.list.length === list.length && now.list.every((f, i) => f === list[i]);
  const release = (): void => {
    if (!room) return;
    const { list, v, g, error, sums, rowSums, gradients } = room;
    memory.free(list, v, g, error, sums, rowSums, ...gradients.flatMap((one) => (one ? Object.values(one) : [])));
    room = undefined;
  };

  return {
    async prepare(n, list, pieceOf) {
      const again = same(list);
      const dead = again ? now!.dead : listed(list, P.tiles);
      const columns = P.tiles.map((_, tile) => dead.segments.find((segment) => segment.tile === tile)?.columns ?? 0);
      // Dead latents come and go: some more than are needed, so that buffers last.
      const fits = room && room.n === n && room.stride >= dead.padded.length && columns.every((count, tile) => count <= room!.columns[tile]);
      const wanted = pieceOf(n, fits ? room!.stride : dead.padded.length);
      if (!fits || room!.piece !== wanted) {
        release();
        const spare = (count: number, most: number): number => Math.min(4 * fours(most), 4 * fours(Math.ceil(1.25 * count)));
        const roomy = columns.map((count, tile) => (count ? spare(count, P.tiles[tile].count) : 0));
        const stride = roomy.reduce((a, b) => a + b, 0), piece = pieceOf(n, stride);
        const made: GPUBuffer[] = [];
        const make = async (what: string, bytes: number): Promise<GPUBuffer> => (made.push(await memory.make(`dead latents: ${what}`, bytes)), made.at(-1)!);
        try {
          const gradients: Room["gradients"] = [];
          for (const count of roomy) gradients.push(count ? { wEnc: await make("gradient of W_enc", 16 * count * d4), wDec: await make("gradient of W_dec", 16 * count * D4) } : undefined);
          room = {
            n, stride, piece, columns: roomy, gradients, list: await make("list", 4 * stride), v: await make("values", 4 * piece * stride),
            g: await make("gradients of values", 4 * piece * stride), error: await make("errors", 16 * piece * D4), sums: await make("sums", 8 * stride), rowSums: await make("sums of rows", 4 * n),
          };
          now = undefined;
        } catch (error) {
          memory.free(...made);
          throw error;
        }
      }
      if (again && now) return;
      memory.write(room!.list, dead.padded);
      const places = new Uint32Array(latents);
      for (const { first, columns: count } of dead.segments) {
        for (let i = 0; i < count; i++) if (dead.padded[first + i] !== EMPTY) places[dead.padded[first + i]] = i + 1;
      }
      memory.write(kept.places, places);
      now = { list: list.slice(), dead };
    },
    run({ n, dead: { length }, auxWeight }, { xc, e }, losses, slot) {
      const R = room!, { segments, padded } = now!.dead, among = padded.length;
      const { k, scale } = auxiliary(length, dOut, auxWeight);
      const { stats } = kept;
      for (let from = 0; from < n; from += R.piece) {
        const rows = Math.min(R.piece, n - from), again = from > 0 ? 1 : 0, size = { rows, from_row: from, stride: among };
        for (const { tile, first, columns } of segments) {
          const { first: base, wEnc } = P.tiles[tile];
          run(encode, productGroups(rows, columns, shape), { a: xc, b: wEnc.parameters, other: P.bEnc, list: R.list, out: R.v }, { ...size, columns, first, base, width: d4 });
        }
        run(keep, rows, { pre: R.v }, { rows, columns: among, stride: among, k });
        segments.forEach(({ tile, first, columns }, i) => {
          const { first: base, wDec } = P.tiles[tile];
          run(rebuild, denseGroups(rows, D4, shape), { v: R.v, b: wDec.parameters, list: R.list, out: R.error }, { ...size, columns, first, base, again: i > 0 ? 1 : 0, width: D4 });
        });
        run(residual, rows, { out: R.error, e, stats, row_sums: R.rowSums }, { ...size, scale });
        for (const { tile, first, columns } of segments) {
          const { first: base, wDec } = P.tiles[tile];
          run(back, productGroups(rows, columns, shape), { a: R.error, b: wDec.parameters, other: R.v, list: R.list, out: R.g }, { ...size, from_row: 0, columns, first, base, width: D4 });
        }
        run(columnSums, Math.ceil(among / shape.row), { g: R.g, v: R.v, sums: R.sums }, { ...size, again });
        for (const { tile, first, columns } of segments) {
          const of = { ...size, columns, first, again };
          run(outer, denseGroups(columns, D4, shape), { v: R.v, b: R.error, out: R.gradients[tile]!.wDec }, { ...of, from_row: 0, width: D4 });
          run(outer, denseGroups(columns, d4, shape), { v: R.g, b: xc, out: R.gradients[tile]!.wEnc }, { ...of, width: d4 });
        }
      }
      run(join, Math.ceil(among / shape.row), { list: R.list, sums: R.sums, latents: kept.latents }, { stride: among });
      run(totals, 1, { sums: losses, numbers: R.rowSums, stats }, { rows: n, stride: 1, slot, count: 1 });
    },
    gradients: (tile) => room!.gradients[tile] ?? { wEnc: kept.none, wDec: kept.none },
  };
}
