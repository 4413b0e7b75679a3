import { OptionError } from "../core/errors";
import { wholeRows } from "../core/sae";
import type { Parameters } from "../core/trained";
import type { Sparse } from "../core/types";
import type { Half } from "./ops";
import { DT, kernels, type Dtype, type Engine, type Id } from "./tensorflow";

/**
 * Encoding and decoding with TensorFlow's stock kernels, only the k chosen latents being decoded. F latents, rows of width
 * d, n rows.
 *
 *   v = ReLU(TopK(W_enc·(x − b_dec) + b_enc))      x̂ = W_decᵀ·v + b_dec
 */

export type { Parameters } from "../core/trained";

/** What is chosen by measurement; it changes rounding, so it is written into the checkpoint. */
export interface Choice {
  /** "fused": the ops of src/native, which leave only the product to choose; by default TensorFlow's stock kernels. */
  step?: "fused" | "stock";
  /**
   * Of the fused step: "apart" takes the encoder's product from TensorFlow; by default an op joins it with the top-k. A half-precision
   * one finds k and some more candidates, of which float32 chooses.
   */
  product?: "apart" | "joined" | Half;
  /**
   * Of the fused step, Adam's moments of the two matrices: "bf16" keeps them in half the memory, the second ones rounded up or down by
   * chance, so that the mean is right (src/native/ops.cc); by default float32. Biases and a skip connection are float32 always.
   */
  moments?: "f32" | "bf16";
  /** "bf16": the encoder product picks latents in bfloat16, their values are then computed in float32. */
  precision: "f32" | "bf16";
  /**
   * Group sizes of the top-k: [] is one TopKV2; [16] takes the k best groups of 16 first. The result is the same, ties
   * included.
   */
  groups: number[];
  /** Rows decoded at a time: k·d·chunk floats should fit the cache. */
  chunk: number;
}

/**
 * Group sizes to try for the k largest of `columns`: each level keeps k groups of G, so G must divide, and k groups must be
 * a gain.
 */
export function groupings(columns: number, k: number): number[][] {
  const fits = (n: number, G: number): boolean => n % G === 0 && 2 * k * G <= n;
  const out: number[][] = [[]];
  for (const G of [4, 8, 16, 32]) {
    if (!fits(columns, G)) continue;
    out.push([G]);
    if (G >= 16 && fits(k * G, 4)) out.push([G, 4]);
  }
  return out;
}

/** Without a measurement: the group size near √(F/k), where both levels have as much to do. */
export function defaultGroups(columns: number, k: number): number[] {
  const sizes = groupings(columns, k).filter((groups) => groups.length === 1);
  const cost = ([G]: number[]): number => columns / G + k * G;
  return sizes.reduce<number[]>((best, groups) => (!best.length || cost(groups) < cost(best) ? groups : best), []);
}

/**
 * Columns that follow the d of x: the first holds ones and carries the bias, the others keep rows of the product aligned.
 */
export const PADDING = 8;

/** The columns that follow rows of x: [n, 8]. */
export function paddingOf(n: number): Float32Array {
  const ones = new Float32Array(n * PADDING);
  for (let i = 0; i < n; i++) ones[i * PADDING] = 1;
  return ones;
}

/**
 * [W_enc | b_enc | 0 …] of shape [F, d + 8]: the encoder's bias as a column, so that the product adds it and its gradient
 * comes with W_enc's.
 */
export function withBias(wEnc: Float32Array, bEnc: Float32Array, d: number): Float32Array {
  const width = d + PADDING;
  const out = new Float32Array(bEnc.length * width);
  for (let f = 0; f < bEnc.length; f++) {
    out.set(wEnc.subarray(f * d, (f + 1) * d), f * width);
    out[f * width + d] = bEnc[f];
  }
  return out;
}

export function withoutBias(packed: Float32Array, d: number): { wEnc: Float32Array; bEnc: Float32Array } {
  const width = d + PADDING, latents = packed.length / width;
  const wEnc = new Float32Array(latents * d), bEnc = new Float32Array(latents);
  for (let f = 0; f < latents; f++) {
    wEnc.set(packed.subarray(f * width, f * width + d), f * d);
    bEnc[f] = packed[f * width + d];
  }
  return { wEnc, bEnc };
}

/**
 * How latents are counted. A card's kernels for int32 run on the host, those for int64 on the card; `number` gives a whole number as a
 * tensor that is there already, as an upload waits for all that the card was given to do.
 */
export interface Counting {
  type: typeof DT.i64;
  number(value: number): Id;
}

/** The chosen latents of rows: [n, k] each. */
export interface Chosen {
  value: Id;
  index: Id;
}

interface Sizes {
  n: number;
  d: number;
  k: number;
  chunk: number;
}

/** Levels of a loss (kinds.ts): `places` [n, L, k], or [1, L, k] for all rows, is 1 where a level has the pair, else 0. */
export interface Levels {
  count: number; // L
  places: Id;
  rows: "all alike" | "each its own";
}

export const SPARE = 8; // candidates beyond k of a product in bfloat16, as in src/native/half.h

/** These groups where they hold k, else others. */
function groupsFor(columns: number, k: number, groups: number[]): number[] {
  let left = columns;
  for (const G of groups) {
    if (left % G || k > left / G) return defaultGroups(columns, k);
    left = k * G;
  }
  return groups;
}

/** Pieces of the forward pass on tensors; all of them are to be called inside `tidy`. */
export function forward(engine: Engine, counting?: Counting) {
  const K = kernels(engine);
  const type = counting?.type ?? DT.i32;
  const whole = K.whole(type);
  const number = counting?.number ?? K.int;
  const counted = (index: Id): Id => (type === DT.i32 ? index : K.cast(index, DT.i32, type));
  const ascending = (index: Id, k: number): Id => whole.negate(K.topK(whole.negate(index), k, type)[0]);
  const taken = (rows: Id, index: Id): Id => K.gather(rows, index, { indices: type });

  /** [x − b_dec, 1, 0 …] and x − b_dec; of x as it is where no b_dec is given. */
  const centred = (x: Id, bDec: Id | undefined, n: number, padding = engine.tensor(paddingOf(n), [n, PADDING])): { xc: Id; xa: Id } => {
    const xc = bDec === undefined ? x : K.sub(x, bDec);
    return { xc, xa: K.concat([xc, padding], 1) };
  };

  /**
   * The k largest of each row of pre [n, columns]: larger first, ties by smaller index. With groups, the largest of each
   * group of G neighbours is taken, then the k best groups, then the k best of their k·G members. The best k are surely
   * among them; groups are put in ascending order, so that position decides ties as it does in a single TopKV2.
   */
  const topK = (
    pre: Id, n: number, columns: number, k: number, groups: number[], dtype: typeof DT.f32 | typeof DT.bf16 = DT.f32,
  ): Chosen =>
    engine.tidy(() => {
      const [G, ...rest] = groups;
      if (!G) {
        const [value, index] = K.topK(pre, k, dtype);
        return { value, index: counted(index) };
      }
      const grouped = K.reshape(pre, [n, columns / G, G], dtype);
      const best = ascending(counted(K.topK(K.max(grouped, 2, dtype), k, dtype)[1]), k);
      const members = K.reshape(K.gather(grouped, best, { batchDims: 1, dtype, indices: type }), [n, k * G], dtype);
      const { value, index: place } = topK(members, n, k * G, k, rest, dtype);
      const size = number(G);
      const group = whole.divide(place, size);
      const within = whole.sub(place, whole.mul(group, size));
      return { value, index: whole.add(whole.mul(K.gather(best, group, { batchDims: 1, dtype: type, indices: type }), size), within) };
    });

  /** Dot products of row b with the chosen rows of a matrix: [n, width], [F, width], [n, k] → [n, k]. */
  const chosenProducts = (rows: Id, matrix: Id, index: Id, { n, d: width, k, chunk }: Sizes): Id => {
    const parts: Id[] = [];
    for (let from = 0; from < n; from += chunk) {
      const c = Math.min(chunk, n - from);
      parts.push(engine.tidy(() => {
        const chosen = taken(matrix, K.slice(index, [from, 0], [c, k], type));
        const row = K.reshape(K.slice(rows, [from, 0], [c, width]), [c, 1, width]);
        return K.reshape(K.batchMatMul(row, chosen, true), [c, k]);
      }));
    }
    return joined(parts);
  };

  const joined = (parts: Id[], dtype: Dtype = DT.f32): Id => (parts.length === 1 ? parts[0] : K.concat(parts, 0, dtype));

  /** What `body` chooses of rows [n, width], so many at a time. */
  const inPieces = (rows: Id, n: number, width: number, most: number, body: (rows: Id, n: number) => Chosen): Chosen => {
    if (n <= most) return body(rows, n);
    const parts: Chosen[] = [];
    for (let from = 0; from < n; from += most) {
      const c = Math.min(most, n - from);
      parts.push(engine.tidy(() => body(K.slice(rows, [from, 0], [c, width]), c)));
    }
    return { value: joined(parts.map(({ value }) => value)), index: joined(parts.map(({ index }) => index), type) };
  };

  /** The k latents of each row: values after ReLU. xa [n, d + 8], we [F, d + 8]. @param most rows at a time */
  const encode = (xa: Id, we: Id, size: { n: number; d: number; latents: number; k: number }, choice: Choice, most = Infinity): Chosen =>
    engine.tidy(() => {
      const { n, d, latents, k } = size;
      if (choice.precision === "f32") {
        return inPieces(xa, n, d + PADDING, most, (rows, c) => {
          const { value, index } = topK(K.matMul(rows, we, { transposeB: true }), c, latents, k, choice.groups);
          return { value: K.relu(value), index };
        });
      }
      const brief = K.cast(we, DT.f32, DT.bf16), candidates = Math.min(latents, k + SPARE);
      return inPieces(xa, n, d + PADDING, most, (rows, c) => {
        const pre = K.matMul(K.cast(rows, DT.f32, DT.bf16), brief, { transposeB: true, dtype: DT.bf16 });
        const found = topK(pre, c, latents, candidates, groupsFor(latents, candidates, choice.groups), DT.bf16).index;
        const ordered = ascending(found, candidates); // position decides ties
        const exact = chosenProducts(rows, we, ordered, { n: c, d: d + PADDING, k: candidates, chunk: choice.chunk });
        const { value, index } = topK(exact, c, candidates, k, []);
        return { value: K.relu(value), index: K.gather(ordered, index, { batchDims: 1, dtype: type, indices: type }) };
      });
    });

  /**
   * Rebuilds rows from the chosen latents and holds them against `target`: e = (Σ v·W_dec − target)·factor [n, d], g =
   * e·W_decᵀ at the chosen latents [n, k]. In chunks, so that the gathered rows [chunk, k, d] stay in the cache for both
   * products. With levels, e is [n·L, d], each level by its own factor, and g the sum over the levels that have the pair.
   * @param factor a scalar, or of levels [1, L, 1]
   */
  const decode = (
    { value, index }: Chosen, wd: Id, target: Id, factor: Id, { n, d, k, chunk }: Sizes, levels?: Levels,
  ): { e: Id; g: Id } => engine.tidy(() => {
    const L = levels?.count ?? 1;
    const errors: Id[] = [], products: Id[] = [];
    for (let from = 0; from < n; from += chunk) {
      const c = Math.min(chunk, n - from);
      const part = engine.tidy(() => {
        const rows = taken(wd, K.slice(index, [from, 0], [c, k], type));
        const all = K.reshape(K.slice(value, [from, 0], [c, k]), [c, 1, k]);
        const goal = K.slice(target, [from, 0], [c, d]);
        if (!levels) {
          const e = K.mul(K.sub(K.reshape(K.batchMatMul(all, rows), [c, d]), goal), factor);
          return { e, g: K.reshape(K.batchMatMul(K.reshape(e, [c, 1, d]), rows, true), [c, k]) };
        }
        const places = levels.rows === "all alike" ? levels.places : K.slice(levels.places, [from, 0, 0], [c, L, k]);
        const e = K.mul(K.sub(K.batchMatMul(K.mul(all, places), rows), K.reshape(goal, [c, 1, d])), factor);
        return { e: K.reshape(e, [c * L, d]), g: K.sum(K.mul(K.batchMatMul(e, rows, true), places), [1]) };
      });
      errors.push(part.e);
      products.push(part.g);
    }
    return { e: joined(errors), g: joined(products) };
  });

  /** x̂ − b_dec of the chosen latents: [n, k] → [n, d]. */
  const rebuild = ({ value, index }: Chosen, wd: Id, { n, d, k, chunk }: Sizes): Id => {
    const parts: Id[] = [];
    for (let from = 0; from < n; from += chunk) {
      const c = Math.min(chunk, n - from);
      parts.push(engine.tidy(() => {
        const rows = taken(wd, K.slice(index, [from, 0], [c, k], type));
        return K.reshape(K.batchMatMul(K.reshape(K.slice(value, [from, 0], [c, k]), [c, 1, k]), rows), [c, d]);
      }));
    }
    return joined(parts);
  };

  /** The first latent of each of k groups of neighbours, [1, k]. */
  const groupStarts = (latents: number, k: number): Id =>
    counted(engine.tensor(Int32Array.from({ length: k }, (_, group) => group * (latents / k)), [1, k]));

  /** The largest of each of k groups of neighbours, after ReLU, the first of equal ones. @param most rows at a time */
  const groupMax = (
    xa: Id, we: Id, { n, d, latents, k }: { n: number; d: number; latents: number; k: number }, most = Infinity, starts = groupStarts(latents, k),
  ): Chosen => engine.tidy(() => inPieces(xa, n, d + PADDING, most, (rows, c) => {
    const grouped = K.reshape(K.matMul(rows, we, { transposeB: true }), [c, k, latents / k]);
    const attributes = { T: { type: DT.f32 }, Tidx: { type: DT.i32 }, output_type: { type } };
    const [within] = engine.run("ArgMax", attributes, [grouped, K.int(2)]);
    return { value: K.relu(K.max(grouped, 2)), index: whole.add(within, starts) };
  }));

  return { K, centred, topK, groupMax, groupStarts, inPieces, encode, decode, rebuild };
}

/** Rows encoded at a time outside training: the product [chunk, F] stays below 64 MB. */
const encodeChunk = (latents: number): number => Math.max(1, Math.min(2048, Math.floor(2 ** 24 / latents)));

/** What encoding and decoding need; `packed` is [W_enc | b_enc | 0 …]. */
export interface Coder {
  d: number;
  latents: number;
  k: number;
  packed: Float32Array;
  wDec: Float32Array;
  bDec: Float32Array;
}

export const coder = (d: number, latents: number, k: number, { wEnc, bEnc, wDec, bDec }: Parameters): Coder => ({
  d, latents, k, packed: withBias(wEnc, bEnc, d), wDec, bDec,
});

interface Wanted {
  d: number;
  latents: number;
  k: number;
  only?: Int32Array;
}

/**
 * Runs an encoder over rows in chunks, and holds what goes in and comes out against what can be right.
 * @param part encodes some rows: latents numbered within `only`
 * @param chunk rows at a time; by default few enough for a product [chunk, F] in memory
 * @throws RangeError when x is not whole rows; OptionError when k is out of range, or x or the result are not finite
 */
export function encodeChunks(
  { d, latents, k, only }: Wanted, x: Float32Array, part: (rows: Float32Array, n: number) => { index: Int32Array; value: Float32Array }, chunk = encodeChunk(only?.length ?? latents),
): Sparse {
  const n = wholeRows(x, d);
  const columns = only ? only.length : latents;
  if (!(k >= 1 && k <= columns)) {
    throw new OptionError(`k: expected 1 to ${columns} latents to choose from, found ${k}. Choose fewer.`);
  }
  const bad = x.findIndex((number) => !Number.isFinite(number));
  if (bad >= 0) {
    throw new OptionError(
      `encode: row ${Math.floor(bad / d)}: expected finite numbers, found ${x[bad]}. ` +
      "Leave this row out; if a harvest gave it, the model overflows at this hook.");
  }
  const index = new Int32Array(n * k), value = new Float32Array(n * k);
  for (let from = 0; from < n; from += chunk) {
    const c = Math.min(chunk, n - from);
    const chosen = part(x.subarray(from * d, (from + c) * d), c);
    index.set(chosen.index, from * k);
    value.set(chosen.value, from * k);
  }
  if (only) for (let i = 0; i < index.length; i++) index[i] = only[index[i]];
  for (let i = 0; i < value.length; i++) {
    if (!Number.isFinite(value[i])) {
      throw new OptionError(
        `encode: row ${Math.floor(i / k)}: expected finite latents, found ${value[i]}. ` +
        "The SAE's weights hold NaN or infinity, or overflow on this row: take another checkpoint.");
    }
  }
  return { n, k, index, value };
}

/**
 * Encodes rows in chunks with stock kernels, in float32.
 * @throws RangeError when x is not whole rows; OptionError when k is out of range, or x or the weights are not finite
 */
export function encodeRows(
  engine: Engine, sae: Coder, x: Float32Array, { k = sae.k, only }: { k?: number; only?: Int32Array } = {},
): Sparse {
  const { d, latents } = sae;
  const columns = only ? only.length : latents;
  const { K, centred, encode } = forward(engine);
  return engine.tidy(() => {
    const all = engine.tensor(sae.packed, [latents, d + PADDING]);
    const we = only ? K.gather(all, engine.tensor(only, [only.length])) : all;
    const bDec = engine.tensor(sae.bDec, [d]);
    const choice: Choice = { precision: "f32", groups: defaultGroups(columns, k), chunk: 128 };
    return encodeChunks({ d, latents, k, only }, x, (rows, n) => engine.tidy(() => {
      const { xa } = centred(engine.tensor(rows, [n, d]), bDec, n);
      const chosen = encode(xa, we, { n, d, latents: columns, k }, choice);
      return { index: engine.ints(chosen.index), value: engine.floats(chosen.value) };
    }));
  });
}

/** Decodes in chunks with stock kernels. @throws RangeError when an index is out of range or the arrays do not fit */
export function decodeRows(engine: Engine, sae: Coder, { n, k, index, value }: Sparse): Float32Array {
  const { d, latents } = sae;
  if (index.length !== n * k || value.length !== n * k) {
    throw new RangeError(`sparse rows: expected index and value of ${n} × ${k}, found ${index.length} and ${value.length} entries`);
  }
  let safe = index;
  for (let i = 0; i < index.length; i++) {
    if (index[i] >= 0 && index[i] < latents) continue;
    if (value[i] !== 0) {
      throw new RangeError(`row ${Math.floor(i / k)}: expected latents 0 to ${latents - 1}, found ${index[i]}`);
    }
    if (safe === index) safe = index.slice();
    safe[i] = 0; // a value of 0 may carry any index
  }
  const out = new Float32Array(n * d);
  const { K, rebuild } = forward(engine);
  engine.tidy(() => {
    const wd = engine.tensor(sae.wDec, [latents, d]);
    const bDec = engine.tensor(sae.bDec, [d]);
    for (let from = 0; from < n; from += 4096) {
      const c = Math.min(4096, n - from);
      engine.tidy(() => {
        const part = {
          index: engine.tensor(safe.subarray(from * k, (from + c) * k), [c, k]),
          value: engine.tensor(value.subarray(from * k, (from + c) * k), [c, k]),
        };
        out.set(engine.floats(K.add(rebuild(part, wd, { n: c, d, k, chunk: 128 }), bDec)), from * d);
      });
    }
  });
  return out;
}
