import { MemoryError } from "../core/errors";
import type { StateSizes } from "../core/trained";
import type { Sparse } from "../core/types";
import { auxiliaryPass, productGroups, type Auxiliary, type Listed } from "./webgpuaux";
import type { Gpu } from "./webgpu";
import { BETA1, BETA2 } from "./tensorflow";
import type { Commands, Compile, Kernel, Shape } from "./webgpukernels";
import type { Memory } from "./webgpumemory";
import { fours, sendRows, type Resident } from "./webgpuparameters";

/**
 * The arithmetic of an update by the kernels of src/native/*.wgsl, where it stands written: what goes to the card, and which kernel
 * runs on what. n rows of width d in and dOut out, F latents, `columns` pairs a row, L levels. Nothing is read back in it.
 */

/** What a kind chooses, and what its loss is made of. */
export interface Selecting {
  /** Of a row alone, on the card; else webgpuchoice.ts chooses over the batch. */
  entry?: "largest" | "groups_largest";
  columns: number; // pairs of a row; of a choice over the batch, at first
  weights: number[]; // w_l
  main: number;
  fires: number; // places of a row that count as firing
  /** Level of the pair at a place of its row: WGSL. */
  level: string;
}

const ALL = 0xffffffff;

export function selecting({ kind, latents, k, widths }: StateSizes): Selecting | undefined {
  switch (kind) {
    case "topk": return { entry: "largest", columns: k, weights: [1], main: 0, fires: k, level: "0u" };
    case "groupmax": return { entry: "groups_largest", columns: k, weights: [1], main: 0, fires: k, level: "0u" };
    case "multitopk": return { entry: "largest", columns: Math.min(4 * k, latents), weights: [1, 1 / 8], main: 0, fires: k, level: `select(1u, 0u, place < ${k}u)` };
    case "batchtopk": return { columns: k, weights: [1], main: 0, fires: ALL, level: "0u" };
    case "matryoshka": {
      const ends = widths!.slice(0, -1).map((width) => `u32(latent >= ${width}u)`);
      return { columns: k, weights: widths!.map(() => 1 / widths!.length), main: widths!.length - 1, fires: ALL, level: ends.join(" + ") || "0u" };
    }
    case "jumprelu": return undefined;
  }
}

/** The longest list of a row that topk.wgsl puts in order. */
export const MOST_COLUMNS = 1024;

const PRE_BYTES = 2 ** 28; // of pre-activations held at a time, unless the card allows less
const BLOCK_ROWS = 64; // summed by one thread
const BLOCK_LATENTS = 512;

export interface BatchGiven {
  n: number;
  x: Float32Array;
  target?: Float32Array;
  dead: Int32Array;
  auxWeight: number;
}

/** Buffers whose sizes depend on the batch. */
type Sized = Record<"x" | "xc" | "y" | "pre" | "values" | "indices" | "g" | "unordered" | "pairs" | "e" | "rowSums" | "rowSquares" | "blocks", GPUBuffer>;

export interface Pass {
  /** What an update of n rows needs beyond the parameters. @param columns pairs of a row. @throws MemoryError; then nothing has changed */
  prepare(n: number, dead: Int32Array, columns?: number): Promise<void>;
  /**
   * Losses into a slot, gradients as far as they are sparse; `counted` where it makes latents silent. To be prepared before.
   * @param chosen of a kind that chooses over the batch
   */
  forward(batch: BatchGiven, slot: number, counted: boolean, chosen?: Sparse): void;
  /** Changes the parameters. @param t the step's number, from 1 */
  apply(n: number, learningRate: number, t: number): void;
  /** ∂ of a parameter as it is after `forward`, in a buffer of its own, rows padded. */
  gradient(name: "wEnc" | "wDec", tile: number, out: GPUBuffer): void;
  bDecGradient(n: number, out: GPUBuffer): void;
  /** The `count` largest latents of rows, of all or those listed; of all, by the kind's own choice without a count. */
  encode(x: Float32Array, n: number, into: { values: GPUBuffer; indices: GPUBuffer }, options: { count?: number; listed?: Listed & { buffer: GPUBuffer } }): Promise<void>;
  /** Σ v·W_dec + b_dec of pairs into `out` [n, dOut padded]. */
  /** Rows of the pre-activations [n, F] into `read`, some at a time. */
  preActivations(x: Float32Array, n: number, read: (pre: Float32Array, rows: number) => void): Promise<void>;
  rebuild(n: number, columns: number, pairs: { values: GPUBuffer; indices: GPUBuffer }, out: GPUBuffer): void;
  /** [slots, L + 2]: FVU by level, latents above 0, the auxiliary loss. */
  losses: GPUBuffer;
  silent: GPUBuffer; // [F]
  latents: GPUBuffer; // [F, 4]: Σ g is the third
  sized(): Sized;
  rows: number;
}

export async function passOf(
  gpu: Gpu, memory: Memory, commands: Commands, compile: Compile, state: StateSizes, P: Resident, how: Selecting, slots: number, shape: Shape,
): Promise<Pass> {
  const { d, dOut, latents, transcoder } = state;
  const { weights, main, fires } = how;
  const L = weights.length, d4 = fours(d), D4 = fours(dOut);
  const stride = 4 * fours(latents); // of a row of pre-activations
  const levelOf = `fn level_of(place: u32, latent: u32) -> u32 { return ${how.level}; }`;
  const level = { LEVELS: L, FIRES: fires, level_of: levelOf };
  const decoding = { W4: D4, ...level, THREADS: shape.row, WEIGHTS: constantOf("WEIGHTS", weights) };
  const pairing = { ...level, THREADS: shape.rank, LANES: shape.lanes };
  const rank = { THREADS: shape.rank };
  const small = (W4: number) => ({ W4, THREADS: shape.rank, LANES: shape.lanes });
  const moving = (DECODER: boolean) => ({ W4: DECODER ? D4 : d4, LEVELS: L, DECODER, THREADS: shape.lanes });
  const kernels = {
    encode: compile("product", "product", { W4: d4, T: shape.T, LISTED: false, GATED: false }),
    choose: compile("topk", how.entry ?? "largest", rank), largest: compile("topk", "largest", rank),
    decode: compile("decode", "decode", decoding), errors: compile("decode", "errors", decoding), products: compile("decode", "products", decoding),
    tally: compile("pairs", "tally", pairing), allot: compile("pairs", "allot", pairing), fill: compile("pairs", "fill", pairing), order: compile("pairs", "order", pairing),
    encoder: compile("update", "update", moving(false)), decoder: compile("update", "update", moving(true)),
    centre: compile("batch", "centre", small(d4)), through: compile("batch", "through", small(d4)),
    blockSums: compile("batch", "block_sums", small(D4)), mean: compile("batch", "mean", small(D4)), squares: compile("batch", "squares", small(D4)),
    totals: compile("batch", "totals", small(D4)), bDec: compile("batch", "b_dec", small(D4)), bEnc: compile("batch", "b_enc", small(D4)),
  };
  type Name = keyof typeof kernels;
  const K = Object.fromEntries(await Promise.all(Object.entries(kernels).map(async ([name, kernel]) => [name, await kernel]))) as Record<Name, Kernel>;
  const run = (name: Name | Kernel, groups: number, buffers: Record<string, GPUBuffer>, given: Record<string, number>): void =>
    commands.run(typeof name === "string" ? K[name] : name, groups, buffers, given);

  const most = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
  const throughBlocks = P.tiles.map(({ count }) => Math.ceil(count / BLOCK_LATENTS));
  const kept = {
    latents: await memory.make("latents", 16 * latents), counts: await memory.make("counts", 4 * (latents + 1)), silent: await memory.make("silence", 4 * latents),
    places: await memory.make("places", 4 * latents), losses: await memory.make("losses", 4 * slots * (L + 2)), stats: await memory.make("variance", 16),
    mean: await memory.make("mean", 16 * D4), through: await memory.make("sums of latents", 16 * d4 * throughBlocks.reduce((a, b) => a + b, 0)),
    none: await memory.make("nothing", 16),
  };
  const { none, stats } = kept;

  let given = Infinity; // rows encoded at a time, as asked
  let room: { n: number; columns: number; piece: number; buffers: Sized } | undefined;
  let columns = how.columns; // of the batch
  const pieceOf = (n: number, width = stride): number => Math.max(1, Math.min(n, given, Math.floor(Math.min(most, PRE_BYTES) / (4 * width))));

  const makeRoom = async (n: number): Promise<void> => {
    const piece = pieceOf(n);
    if (room && room.n === n && room.piece === piece && room.columns >= columns) return;
    if (room) memory.free(...new Set(Object.values(room.buffers)));
    room = undefined;
    const made: GPUBuffer[] = [];
    const make = async (what: string, bytes: number): Promise<GPUBuffer> => {
      const buffer = await memory.make(what, bytes);
      made.push(buffer);
      return buffer;
    };
    try {
      const x = await make("rows", 16 * n * d4);
      const xc = transcoder ? x : await make("centred rows", 16 * n * d4);
      const y = transcoder ? await make("targets", 16 * n * D4) : x;
      const most = how.entry ? columns : Math.min(latents, Math.ceil(1.25 * columns)); // another number in each batch
      const pairs = n * most;
      room = {
        n, columns: most, piece,
        buffers: {
          x, xc, y, pre: await make("pre-activations", 4 * piece * stride),
          values: await make("values", 4 * pairs), indices: await make("indices", 4 * pairs), g: await make("gradients of values", 4 * pairs),
          unordered: await make("list of pairs", 4 * pairs), pairs: await make("pairs", 16 * pairs), e: await make("errors", 16 * n * L * D4),
          rowSums: await make("sums of rows", 4 * n * (L + 1)), rowSquares: await make("squares of rows", 4 * n),
          blocks: await make("sums of blocks", 16 * D4 * Math.ceil(n / BLOCK_ROWS)),
        },
      };
    } catch (error) {
      memory.free(...made);
      throw error;
    }
  };

  /** Σ over rows of an array [n, stride] in fours, by blocks. */
  const rowBlocks = (x: GPUBuffer, n: number, rowStride: number, out: GPUBuffer): number => {
    const blocks = Math.ceil(n / BLOCK_ROWS);
    run("blockSums", blocks * Math.ceil(D4 / shape.lanes), { x, out }, { rows: n, stride: rowStride, block: BLOCK_ROWS });
    return blocks;
  };

  const encodePieces = (xc: GPUBuffer, pre: GPUBuffer, n: number, piece: number, choose: (from: number, count: number) => void): void => {
    for (let from = 0; from < n; from += piece) {
      const count = Math.min(piece, n - from);
      for (const tile of P.tiles) {
        run("encode", productGroups(count, tile.count, shape), { a: xc, b: tile.wEnc.parameters, other: P.bEnc, list: none, out: pre }, {
          rows: count, from_row: from, columns: tile.count, first: tile.first, stride, base: tile.first,
        });
      }
      choose(from, count);
    }
  };

  const centred = (x: GPUBuffer, out: GPUBuffer, n: number): void => {
    if (!transcoder) run("centre", Math.ceil((n * d4) / shape.rank), { x, row: P.bDec, out }, { rows: n });
  };

  let aux: Auxiliary | undefined;
  let dead: Int32Array = new Int32Array(0);

  const pass: Pass = {
    losses: kept.losses, silent: kept.silent, latents: kept.latents,
    sized: () => room!.buffers,
    get rows() { return given; },
    set rows(rows) { given = rows; },
    async prepare(n, list, count = how.columns) {
      columns = count;
      await makeRoom(n);
      if (!list.length) return;
      aux ??= await auxiliaryPass(gpu, memory, commands, compile, { state, P, kept, weights: constantOf("WEIGHTS", weights), levels: L, main, shape });
      await aux.prepare(n, list, pieceOf);
    },
    forward(batch, slot, counted, chosen) {
      const { n } = batch, B = room!.buffers, { piece } = room!;
      sendRows(memory, B.x, batch.x, d);
      if (transcoder) sendRows(memory, B.y, batch.target!, dOut);
      centred(B.x, B.xc, n);
      // V
      const blocks = rowBlocks(B.y, n, D4, B.blocks);
      run("mean", Math.ceil(D4 / shape.lanes), { x: B.blocks, out: kept.mean }, { rows: n, count: blocks });
      run("squares", n, { x: B.y, row: kept.mean, sums: B.rowSquares }, { rows: n });
      run("totals", 1, { sums: stats, numbers: B.rowSquares, stats: none }, { rows: n, stride: 1 });

      const pairs = { values: B.values, indices: B.indices };
      if (chosen) {
        memory.write(B.values, chosen.value);
        memory.write(B.indices, chosen.index);
      } else {
        encodePieces(B.xc, B.pre, n, piece, (from, count) => run("choose", count, { pre: B.pre, ...pairs }, { rows: count, from_row: from, columns: latents, stride, k: columns }));
      }
      const perTile = (name: "decode" | "products", buffers: Record<string, GPUBuffer>): void => {
        for (const { first, count, wDec } of P.tiles) run(name, n, { ...pairs, w_dec: wDec.parameters, e: B.e, ...buffers }, { rows: n, columns, first, latents: count });
      };
      perTile("decode", {});
      run("errors", n, { values: B.values, e: B.e, y: B.y, b_dec: P.bDec, stats, row_sums: B.rowSums }, { rows: n, columns });
      run("totals", 1, { sums: kept.losses, numbers: B.rowSums, stats }, { rows: n, stride: L + 1, slot: slot * (L + 2), count: L });
      perTile("products", { g: B.g });

      const pairGroups = Math.ceil((n * columns) / shape.rank), which = { rows: n, columns, latents, counted: counted ? 1 : 0 };
      run("tally", pairGroups, { ...pairs, counts: kept.counts }, which);
      run("allot", Math.ceil(latents / shape.rank), { counts: kept.counts, latents: kept.latents }, which);
      run("fill", pairGroups, { ...pairs, counts: kept.counts, latents: kept.latents, unordered: B.unordered }, which);
      run("order", latents, {
        values: B.values, g: B.g, counts: kept.counts, latents: kept.latents, unordered: B.unordered, pairs: B.pairs, silent: kept.silent,
      }, which);
      dead = batch.dead;
      if (dead.length) aux!.run(batch, B, kept.losses, slot * (L + 2) + L + 1);
    },
    apply(n, learningRate, t) {
      const B = room!.buffers;
      const hyper = { rate: learningRate / (1 - BETA1 ** t), root: 1 / Math.sqrt(1 - BETA2 ** t) };
      const blocks = rowBlocks(B.e, n, L * D4, B.blocks);
      const through = backThrough();
      run("bDec", Math.ceil(D4 / shape.lanes), { x: B.blocks, row: kept.through, state: P.bDec }, { rows: blocks, count: through, tied: transcoder ? 0 : 1, ...hyper });
      run("bEnc", Math.ceil(fours(latents) / shape.rank), { latents: kept.latents, state: P.bEnc }, { rows: latents, count: fours(latents), ...hyper });
      P.tiles.forEach(({ first, count, wEnc, wDec }, number) => {
        const of = { latents: kept.latents, pairs: B.pairs, places: kept.places };
        const moved = { first, latents: count, ...hyper, dead: dead.length };
        const extra = dead.length ? aux!.gradients(number) : { wEnc: none, wDec: none };
        run("encoder", count, { ...of, rows: B.xc, weights: wEnc.parameters, m: wEnc.m, w: wEnc.v, auxiliary: extra.wEnc }, moved);
        run("decoder", count, { ...of, rows: B.e, weights: wDec.parameters, m: wDec.m, w: wDec.v, auxiliary: extra.wDec }, moved);
      });
    },
    gradient(name, number, out) {
      const B = room!.buffers, { first, count } = P.tiles[number];
      const extra = dead.length ? aux!.gradients(number)[name] : none;
      run(gradientOf[name], count, {
        latents: kept.latents, pairs: B.pairs, places: kept.places, rows: name === "wEnc" ? B.xc : B.e, auxiliary: extra, out,
      }, { first, latents: count, dead: dead.length });
    },
    bDecGradient(n, out) {
      const B = room!.buffers;
      const blocks = rowBlocks(B.e, n, L * D4, B.blocks);
      run(gradientOf.bDec, Math.ceil(D4 / shape.lanes), { x: B.blocks, row: kept.through, out }, { rows: blocks, count: backThrough(), tied: transcoder ? 0 : 1 });
    },
    async encode(x, n, into, { count, listed }) {
      const among = listed?.padded.length ?? latents;
      const width = 4 * fours(among), piece = pieceOf(n, width), made: GPUBuffer[] = [];
      const make = async (what: string, bytes: number): Promise<GPUBuffer> => (made.push(await memory.make(what, bytes)), made.at(-1)!);
      try {
        const rows = await make("rows", 16 * n * d4), xc = transcoder ? rows : await make("centred rows", 16 * n * d4);
        const pre = await make("pre-activations", 4 * piece * width);
        const product = listed && (await compile("product", "product", { W4: d4, T: shape.T, LISTED: true, GATED: false }));
        sendRows(memory, rows, x, d);
        centred(rows, xc, n);
        const chosen = (from: number, some: number): void =>
          run(count === undefined ? "choose" : "largest", some, { pre, ...into }, { rows: some, from_row: from, columns: among, stride: width, k: count ?? how.columns });
        if (!product) encodePieces(xc, pre, n, piece, chosen);
        else {
          for (let from = 0; from < n; from += piece) {
            const some = Math.min(piece, n - from);
            for (const { tile, first, columns: size } of listed.segments) {
              const { first: base, wEnc } = P.tiles[tile];
              run(product, productGroups(some, size, shape), { a: xc, b: wEnc.parameters, other: P.bEnc, list: listed.buffer, out: pre }, {
                rows: some, from_row: from, columns: size, first, stride: width, base,
              });
            }
            chosen(from, some);
          }
        }
        commands.submit();
      } finally {
        memory.free(...made); // the device keeps them until it has used them
      }
    },
    async preActivations(x, n, read) {
      const piece = pieceOf(n), made: GPUBuffer[] = [];
      const make = async (what: string, bytes: number): Promise<GPUBuffer> => (made.push(await memory.make(what, bytes)), made.at(-1)!);
      try {
        const rows = await make("rows", 16 * piece * d4), xc = transcoder ? rows : await make("centred rows", 16 * piece * d4);
        const pre = await make("pre-activations", 4 * piece * stride);
        for (let from = 0; from < n; from += piece) {
          const count = Math.min(piece, n - from);
          sendRows(memory, rows, x.subarray(from * d, (from + count) * d), d);
          centred(rows, xc, count);
          encodePieces(xc, pre, count, count, () => undefined);
          commands.submit();
          const padded = new Float32Array(await memory.read(pre, 0, 4 * count * stride));
          const whole = stride === latents ? padded : new Float32Array(count * latents);
          if (whole !== padded) for (let r = 0; r < count; r++) whole.set(padded.subarray(r * stride, r * stride + latents), r * latents);
          read(whole, count);
        }
      } finally {
        memory.free(...made);
      }
    },
    rebuild(n, width, pairs, out) {
      for (const { first, count, wDec } of P.tiles) run(plain.decode, n, { ...pairs, w_dec: wDec.parameters, e: out }, { rows: n, columns: width, first, latents: count });
      commands.submit();
    },
  };

  const gradientOf = {
    wEnc: await compile("update", "gradient", moving(false)), wDec: await compile("update", "gradient", moving(true)),
    bDec: await compile("batch", "b_dec_alone", small(D4)),
  };
  const plain = { decode: await compile("decode", "decode", { ...decoding, LEVELS: 1, level_of: "fn level_of(place: u32, latent: u32) -> u32 { return 0u; }" }) };

  /** Σ ∂b_enc·W_enc by blocks. @returns their number */
  function backThrough(): number {
    if (transcoder) return 0;
    let blocks = 0;
    P.tiles.forEach(({ first, count, wEnc }, number) => {
      run("through", throughBlocks[number] * Math.ceil(d4 / shape.lanes), { x: wEnc.parameters, latents: kept.latents, out: kept.through }, {
        rows: count, block: BLOCK_LATENTS, from_block: blocks, first,
      });
      blocks += throughBlocks[number];
    });
    return blocks;
  }
  return pass;
}

const constantOf = (name: string, values: number[]): string =>
  `const ${name} = array<f32, ${values.length}>(${values.map((value) => value.toPrecision(9)).join(", ")});`;

/** @throws MemoryError where a row of pre-activations is longer than the card has buffers */
export function requireRow({ limits, name }: Gpu, latents: number): void {
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  if (16 * fours(latents) > most) throw new MemoryError(`WebGPU on ${name}: expected at most ${Math.floor(most / 4)} latents, found ${latents}. Take fewer.`, { intact: true });
}
