import { OptionError } from "../core/errors";
import { measuring, type Measures } from "../core/measure";
import { decode as plainDecode, wholeRows } from "../core/sae";
import { auxiliary } from "../core/schedule";
import type { Sparse } from "../core/types";
import { BETA1, BETA2, DT, EPSILON, kernels, type Engine, type Id } from "./tensorflow";

/**
 * One training step of a top-k SAE, twice: with TensorFlow's stock kernels on the k chosen latents only, and in plain TF.js
 * with automatic gradients as its reference. F latents, rows of width d, n rows a batch.
 *
 *   v = ReLU(TopK(W_enc·(x − b_dec) + b_enc))      e = W_decᵀ·v + b_dec − x
 *   loss = Σe²/Σ(x − x̄)² + s·Σ(W_decᵀ·v' + e)²/Σ(x − x̄)²
 *
 * v' are the largest k' = min(d/2, dead) among the dead latents, e in the second term is a constant, s = weight·min(1,
 * dead/(d/2)). Adam on all four; the part of W_dec's gradient along its rows is removed, and rows go back to unit norm
 * after each step.
 */

/** What is trained: W_enc [F, d], b_enc [F], W_dec [F, d], b_dec [d]. Gradients and Adam's moments have the same shapes. */
export interface Parameters {
  wEnc: Float32Array;
  bEnc: Float32Array;
  wDec: Float32Array;
  bDec: Float32Array;
}

/**
 * Everything a step needs to go on, as plain arrays: any kind of step takes up where another left off. Rows of W_dec have
 * unit norm.
 */
export interface StepState {
  d: number;
  latents: number;
  k: number;
  /** Updates made so far. */
  steps: number;
  parameters: Parameters;
  m: Parameters;
  v: Parameters;
}

/** What is chosen by measurement; it changes rounding, so it is written into the checkpoint. */
export interface Choice {
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

export interface UpdateOptions {
  learningRate: number;
  /** Latents that the auxiliary loss revives, ascending. */
  dead?: Int32Array;
  auxWeight?: number; // 1: recipe
}

export interface Losses {
  /** Fraction of variance unexplained of the batch, before the update. */
  fvu: number;
  /** The auxiliary term as it enters the loss; 0 without dead latents. */
  aux: number;
  /** The chosen latents of the batch, in no particular order. */
  chosen: Sparse;
}

/** The seam: a fused or GPU step has the same members. Rows are in the units that the state was trained in. */
export interface Step {
  kind: "stock" | "plain";
  choice: Choice;
  /**
   * The k largest latents of each row, larger first, ties by smaller index; `only` restricts the choice to some latents
   * (ascending).
   */
  encodeTopK(x: Float32Array, options?: { k?: number; only?: Int32Array }): Sparse;
  decode(sparse: Sparse): Float32Array;
  /** Gradients of the loss as autodiff gives them, before the projection; changes nothing. */
  gradients(x: Float32Array, options?: Omit<UpdateOptions, "learningRate">): Losses & { gradient: Parameters };
  update(x: Float32Array, options: UpdateOptions): Losses;
  measure(x: Float32Array): Measures;
  state(): StepState;
  /** Frees the tensors. */
  dispose(): void;
}

export const zerosLike = ({ wEnc, bEnc, wDec, bDec }: Parameters): Parameters => ({
  wEnc: new Float32Array(wEnc.length),
  bEnc: new Float32Array(bEnc.length),
  wDec: new Float32Array(wDec.length),
  bDec: new Float32Array(bDec.length),
});

/** A state with no steps made; rows of W_dec are brought to unit norm. */
export const freshState = (d: number, latents: number, k: number, parameters: Parameters): StepState => ({
  d, latents, k, steps: 0,
  parameters: { ...parameters, wDec: normalised(parameters.wDec, d) },
  m: zerosLike(parameters),
  v: zerosLike(parameters),
});

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

export const defaultChoice = (latents: number, k: number): Choice => ({
  precision: "f32", groups: defaultGroups(latents, k), chunk: 128,
});

/**
 * Columns that follow the d of x: the first holds ones and carries the bias, the others keep rows of the product aligned.
 */
export const PADDING = 8;

/**
 * [W_enc | b_enc | 0 …] of shape [F, d + 8]: the encoder's bias as a column, so that the product adds it and its gradient
 * comes with W_enc's.
 */
function withBias(wEnc: Float32Array, bEnc: Float32Array, d: number): Float32Array {
  const width = d + PADDING;
  const out = new Float32Array(bEnc.length * width);
  for (let f = 0; f < bEnc.length; f++) {
    out.set(wEnc.subarray(f * d, (f + 1) * d), f * width);
    out[f * width + d] = bEnc[f];
  }
  return out;
}

function withoutBias(packed: Float32Array, d: number): { wEnc: Float32Array; bEnc: Float32Array } {
  const width = d + PADDING, latents = packed.length / width;
  const wEnc = new Float32Array(latents * d), bEnc = new Float32Array(latents);
  for (let f = 0; f < latents; f++) {
    wEnc.set(packed.subarray(f * width, f * width + d), f * d);
    bEnc[f] = packed[f * width + d];
  }
  return { wEnc, bEnc };
}

/** The chosen latents of rows: [n, k] each. */
interface Chosen {
  value: Id;
  index: Id;
}

interface Sizes {
  n: number;
  d: number;
  k: number;
  chunk: number;
}

/** Pieces of the forward pass on tensors; all of them are to be called inside `tidy`. */
export function forward(engine: Engine) {
  const K = kernels(engine);

  /** [x − b_dec, 1, 0 …] and x − b_dec. */
  const centred = (x: Id, bDec: Id, n: number): { xc: Id; xa: Id } => {
    const xc = K.sub(x, bDec);
    const ones = new Float32Array(n * PADDING);
    for (let i = 0; i < n; i++) ones[i * PADDING] = 1;
    return { xc, xa: K.concat([xc, engine.tensor(ones, [n, PADDING])], 1) };
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
        return { value, index };
      }
      const grouped = K.reshape(pre, [n, columns / G, G], dtype);
      const best = K.topK(K.max(grouped, 2, dtype), k, dtype)[1];
      const ascending = K.negateInts(K.topK(K.negateInts(best), k, DT.i32)[0]);
      const members = K.reshape(K.gather(grouped, ascending, { batchDims: 1, dtype }), [n, k * G], dtype);
      const { value, index: place } = topK(members, n, k * G, k, rest, dtype);
      const size = K.int(G);
      const group = K.divideInts(place, size);
      const within = K.subInts(place, K.mulInts(group, size));
      return { value, index: K.addInts(K.mulInts(K.gather(ascending, group, { batchDims: 1, dtype: DT.i32 }), size), within) };
    });

  /** Dot products of row b with the chosen rows of a matrix: [n, width], [F, width], [n, k] → [n, k]. */
  const chosenProducts = (rows: Id, matrix: Id, index: Id, { n, d: width, k, chunk }: Sizes): Id => {
    const parts: Id[] = [];
    for (let from = 0; from < n; from += chunk) {
      const c = Math.min(chunk, n - from);
      parts.push(engine.tidy(() => {
        const chosen = K.gather(matrix, K.slice(index, [from, 0], [c, k], DT.i32));
        const row = K.reshape(K.slice(rows, [from, 0], [c, width]), [c, 1, width]);
        return K.reshape(K.batchMatMul(row, chosen, true), [c, k]);
      }));
    }
    return joined(parts);
  };

  const joined = (parts: Id[]): Id => (parts.length === 1 ? parts[0] : K.concat(parts, 0));

  /** The k latents of each row: values after ReLU. xa [n, d + 8], we [F, d + 8]. */
  const encode = (xa: Id, we: Id, size: { n: number; d: number; latents: number; k: number }, choice: Choice): Chosen =>
    engine.tidy(() => {
      const { n, d, latents, k } = size;
      if (choice.precision === "f32") {
        const pre = K.matMul(xa, we, { transposeB: true });
        const { value, index } = topK(pre, n, latents, k, choice.groups);
        return { value: K.relu(value), index };
      }
      const pre = K.matMul(K.cast(xa, DT.f32, DT.bf16), K.cast(we, DT.f32, DT.bf16), { transposeB: true, dtype: DT.bf16 });
      const { index } = topK(pre, n, latents, k, choice.groups, DT.bf16);
      const exact = chosenProducts(xa, we, index, { n, d: d + PADDING, k, chunk: choice.chunk });
      return { value: K.relu(exact), index };
    });

  /**
   * Rebuilds rows from the chosen latents and holds them against `target`: e = (Σ v·W_dec − target)·scale [n, d], g =
   * e·W_decᵀ at the chosen latents [n, k]. In chunks, so that the gathered rows [chunk, k, d] stay in the cache for both
   * products.
   */
  const decode = (
    { value, index }: Chosen, wd: Id, target: Id, scale: number, { n, d, k, chunk }: Sizes,
  ): { e: Id; g: Id } => engine.tidy(() => {
    const factor = K.scalar(scale);
    const errors: Id[] = [], products: Id[] = [];
    for (let from = 0; from < n; from += chunk) {
      const c = Math.min(chunk, n - from);
      const part = engine.tidy(() => {
        const rows = K.gather(wd, K.slice(index, [from, 0], [c, k], DT.i32));
        const v = K.reshape(K.slice(value, [from, 0], [c, k]), [c, 1, k]);
        const rebuilt = K.reshape(K.batchMatMul(v, rows), [c, d]);
        const e = K.mul(K.sub(rebuilt, K.slice(target, [from, 0], [c, d])), factor);
        return { e, g: K.reshape(K.batchMatMul(K.reshape(e, [c, 1, d]), rows, true), [c, k]) };
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
        const rows = K.gather(wd, K.slice(index, [from, 0], [c, k], DT.i32));
        return K.reshape(K.batchMatMul(K.reshape(K.slice(value, [from, 0], [c, k]), [c, 1, k]), rows), [c, d]);
      }));
    }
    return joined(parts);
  };

  return { K, centred, topK, encode, decode, rebuild };
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

/** Encodes rows in chunks with stock kernels, in float32. @throws RangeError when x is not whole rows or holds NaN */
export function encodeRows(
  engine: Engine, sae: Coder, x: Float32Array, { k = sae.k, only }: { k?: number; only?: Int32Array } = {},
): Sparse {
  const { d, latents } = sae;
  const n = wholeRows(x, d);
  const columns = only ? only.length : latents;
  if (!(k >= 1 && k <= columns)) {
    throw new OptionError(`k: expected 1 to ${columns} latents to choose from, found ${k}. Choose fewer.`);
  }
  const index = new Int32Array(n * k), value = new Float32Array(n * k);
  const { K, centred, encode } = forward(engine);
  const choice: Choice = { precision: "f32", groups: defaultGroups(columns, k), chunk: 128 };
  engine.tidy(() => {
    const all = engine.tensor(sae.packed, [latents, d + PADDING]);
    const we = only ? K.gather(all, engine.tensor(only, [only.length])) : all;
    const bDec = engine.tensor(sae.bDec, [d]);
    const chunk = encodeChunk(columns);
    for (let from = 0; from < n; from += chunk) {
      const c = Math.min(chunk, n - from);
      engine.tidy(() => {
        const { xa } = centred(engine.tensor(x.subarray(from * d, (from + c) * d), [c, d]), bDec, c);
        const chosen = encode(xa, we, { n: c, d, latents: columns, k }, choice);
        index.set(engine.ints(chosen.index), from * k);
        value.set(engine.floats(chosen.value), from * k);
      });
    }
    if (only) for (let i = 0; i < index.length; i++) index[i] = only[index[i]];
  });
  for (let i = 0; i < value.length; i++) {
    if (!Number.isFinite(value[i])) {
      throw new RangeError(
        `row ${Math.floor(i / k)}: expected numbers, found activations that are not finite. ` +
        "The rows or the weights hold NaN or infinity.");
    }
  }
  return { n, k, index, value };
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

/** Encodes, decodes and measures rows. */
function measureRows(engine: Engine, sae: Coder, x: Float32Array): Measures {
  const tally = measuring(sae.d, sae.latents);
  const sparse = encodeRows(engine, sae, x);
  tally.rows(x, decodeRows(engine, sae, sparse));
  tally.latents(sparse.index, sparse.value);
  return tally.result();
}

/** Added to a squared norm before its root: a row of zeros stays one. */
const TINY = 1e-30;

function normalised(rows: Float32Array, d: number): Float32Array {
  const out = new Float32Array(rows.length);
  for (let at = 0; at < rows.length; at += d) {
    let sum = TINY;
    for (let j = at; j < at + d; j++) sum += rows[j] * rows[j];
    const scale = 1 / Math.sqrt(sum);
    for (let j = at; j < at + d; j++) out[j] = rows[j] * scale;
  }
  return out;
}

const checkRows = (x: Float32Array, d: number): number => {
  const n = wholeRows(x, d);
  if (n < 2) throw new RangeError(`batch: expected at least 2 rows (their variance is the loss's unit), found ${n}`);
  return n;
};

/** Only the chosen latents are decoded and get gradients, through kernels that every TensorFlow build has. */
export function stockStep(engine: Engine, initial: StepState, choice: Choice = defaultChoice(initial.latents, initial.k)): Step {
  const { d, latents, k } = initial;
  const width = d + PADDING;
  const { K, centred, encode, decode } = forward(engine);
  let steps = initial.steps;
  const encoder = (p: Parameters): Id => K.variable(withBias(p.wEnc, p.bEnc, d), [latents, width]);
  const triple = (p: Parameters) => ({ we: encoder(p), wd: K.variable(p.wDec, [latents, d]), bd: K.variable(p.bDec, [d]) });
  const P = triple(initial.parameters);
  const M = triple(initial.m);
  const V = triple(initial.v);

  interface Gradients { dwe: Id; dwd: Id; dbd: Id; along: Id; fvu: number; aux: number; chosen: Chosen }

  /** The decoder's and encoder's gradients of one group of latents, and Σ v·g: the length of W_dec's along its rows. */
  interface RowGradients { dwe: Id; dwd: Id; along: Id }

  const sparseGradients = ({ value, index }: Chosen, e: Id, g: Id, xa: Id, n: number, kept: number, columns: number): RowGradients =>
    engine.tidy(() => {
      const { entries, shape } = K.entries(index, n, kept, columns);
      const flat = (x: Id): Id => K.reshape(x, [n * kept]);
      return {
        dwd: K.scatterProduct(entries, flat(value), shape, e),
        dwe: K.scatterProduct(entries, flat(g), shape, xa),
        along: K.segmentSum(flat(K.mul(value, g)), K.reshape(index, [n * kept], DT.i32), columns),
      };
    });

  /**
   * The auxiliary term: dead latents alone against the residual −e; gradients of the dead latents' rows. So many take part
   * in each row (half its width) that dense products are several times as fast as gathering them. Latents that tie with the
   * last one take part too.
   */
  const auxiliaryGradients = (
    dead: Int32Array, weight: number, xa: Id, e: Id, variance: number, we: Id, wd: Id, n: number,
  ): RowGradients & { loss: number } => {
    const { k: kept, scale } = auxiliary(dead.length, d, weight);
    const factor = (2 * scale) / variance;
    const list = engine.tensor(dead, [dead.length]);
    const wdDead = K.gather(wd, list);
    const weDead = K.gather(we, list);
    const target = K.mul(e, K.scalar(-variance / 2)); // the residual x − x̂ in plain units
    const pre = K.matMul(xa, weDead, { transposeB: true });
    const v = kept === dead.length ? K.relu(pre) : K.keepLargest(K.relu(pre), kept, n);
    const error = K.mul(K.sub(K.matMul(v, wdDead), target), K.scalar(factor));
    const g = K.reluGrad(K.matMul(error, wdDead, { transposeB: true }), v);
    return {
      loss: engine.floats(K.sum(K.square(error), [0, 1]))[0] * (variance / (4 * scale)),
      dwd: K.matMul(v, error, { transposeA: true }),
      dwe: K.matMul(g, xa, { transposeA: true }),
      along: K.sum(K.mul(v, g), [0]),
    };
  };

  /** To be called inside `tidy`. */
  const backward = (x: Float32Array, n: number, dead: Int32Array, weight: number, we: Id, wd: Id, bd: Id): Gradients => {
    const rows = engine.tensor(x, [n, d]);
    const mean = K.mul(K.sum(rows, [0], true), K.scalar(1 / n));
    const variance = engine.floats(K.sum(K.squaredDifference(rows, mean), [0, 1]))[0];
    const { xc, xa } = centred(rows, bd, n);
    const chosen = encode(xa, we, { n, d, latents, k }, choice);
    const decoded = decode(chosen, wd, xc, 2 / variance, { n, d, k, chunk: choice.chunk });
    const { e } = decoded;
    const g = K.reluGrad(decoded.g, chosen.value);
    const fvu = engine.floats(K.sum(K.square(e), [0, 1]))[0] * (variance / 4);
    let { dwd, dwe, along } = sparseGradients(chosen, e, g, xa, n, k, latents);
    let aux = 0;
    if (dead.length && weight > 0) {
      const extra = auxiliaryGradients(dead, weight, xa, e, variance, we, wd, n);
      const at = engine.tensor(dead, [dead.length, 1]);
      aux = extra.loss;
      dwd = K.addToRows(dwd, at, extra.dwd);
      dwe = K.addToRows(dwe, at, extra.dwe);
      along = K.addToRows(along, at, extra.along);
    }
    // x − b_dec enters every pre-activation: b_dec's gradient loses b_enc's, carried back through W_enc.
    const through = K.slice(K.matMul(K.slice(dwe, [0, d], [latents, 1]), we, { transposeA: true }), [0, 0], [1, d]);
    const dbd = K.sub(K.sum(e, [0]), K.reshape(through, [d]));
    return { dwe, dwd, dbd, along, fvu, aux, chosen };
  };

  const sparse = ({ index, value }: Chosen, n: number): Sparse => ({ n, k, index: engine.ints(index), value: engine.floats(value) });
  const readAll = ({ we, wd, bd }: typeof P): Parameters => engine.tidy(() => ({
    ...withoutBias(engine.floats(K.read(we)), d), wDec: engine.floats(K.read(wd)), bDec: engine.floats(K.read(bd)),
  }));
  const now = (): Coder => coder(d, latents, k, readAll(P));
  return {
    kind: "stock",
    choice,
    encodeTopK: (x, options) => encodeRows(engine, now(), x, options),
    decode: (rows) => decodeRows(engine, now(), rows),
    gradients: (x, { dead = new Int32Array(0), auxWeight = 1 } = {}) => engine.tidy(() => {
      const n = checkRows(x, d);
      const { dwe, dwd, dbd, fvu, aux, chosen } = backward(x, n, dead, auxWeight, K.read(P.we), K.read(P.wd), K.read(P.bd));
      const gradient = { ...withoutBias(engine.floats(dwe), d), wDec: engine.floats(dwd), bDec: engine.floats(dbd) };
      return { fvu, aux, chosen: sparse(chosen, n), gradient };
    }),
    update: (x, { learningRate, dead = new Int32Array(0), auxWeight = 1 }) => engine.tidy(() => {
      const n = checkRows(x, d);
      const [we, wd, bd] = [K.read(P.we), K.read(P.wd), K.read(P.bd)];
      const { dwe, dwd, dbd, along, fvu, aux, chosen } = backward(x, n, dead, auxWeight, we, wd, bd);
      const across = K.sub(dwd, K.mul(wd, K.reshape(along, [latents, 1])));
      engine.free(we, wd, bd); // while they are held, Adam copies the variables instead of changing them in place
      steps++;
      K.adam(P.we, M.we, V.we, dwe, steps, learningRate);
      K.adam(P.wd, M.wd, V.wd, across, steps, learningRate);
      K.adam(P.bd, M.bd, V.bd, dbd, steps, learningRate);
      const moved = K.read(P.wd);
      const norms = K.rsqrt(K.add(K.sum(K.square(moved), [1], true), K.scalar(TINY)));
      K.assign(P.wd, K.mul(moved, norms));
      return { fvu, aux, chosen: sparse(chosen, n) };
    }),
    measure: (x) => measureRows(engine, now(), x),
    state: () => ({ d, latents, k, steps, parameters: readAll(P), m: readAll(M), v: readAll(V) }),
    dispose() {
      for (const set of [P, M, V]) for (const variable of Object.values(set)) K.destroy(variable);
    },
  };
}

/**
 * Dense, with TF.js's own gradients: every latent is computed, and a mask of 0 and 1 keeps the chosen. Slow; the reference
 * of the stock step.
 */
export function plainStep({ tf }: Engine, initial: StepState): Step {
  const { d, latents, k } = initial;
  const names = ["wEnc", "bEnc", "wDec", "bDec"] as const;
  const shapes: Record<keyof Parameters, number[]> = { wEnc: [latents, d], bEnc: [latents], wDec: [latents, d], bDec: [d] };
  type Tensor = ReturnType<typeof tf.tensor>;
  type Variables = Record<keyof Parameters, ReturnType<typeof tf.variable>>;
  const variables = (p: Parameters): Variables =>
    Object.fromEntries(names.map((name) => [name, tf.variable(tf.tensor(p[name].slice(), shapes[name]))])) as Variables;
  const P = variables(initial.parameters);
  const M = variables(initial.m);
  const V = variables(initial.v);
  let steps = initial.steps;
  const parameters = (from: Variables): Parameters =>
    Object.fromEntries(names.map((name) => [name, (from[name].dataSync() as Float32Array).slice()])) as unknown as Parameters;

  const preActivations = (x: Tensor): Tensor => tf.add(tf.matMul(tf.sub(x, P.bDec) as never, P.wEnc as never, false, true), P.bEnc);
  /** 1 at the `count` largest of each row among the allowed latents, else 0. */
  const mask = (pre: Tensor, count: number, allowed: Uint8Array): { chosen: Sparse; mask: Tensor } => {
    const [n] = pre.shape;
    const values = pre.dataSync() as Float32Array;
    const out = new Float32Array(n * latents);
    const index = new Int32Array(n * count), value = new Float32Array(n * count);
    const candidates = [...allowed.keys()].filter((f) => allowed[f]);
    for (let row = 0; row < n; row++) {
      const at = row * latents;
      const order = candidates.slice().sort((a, b) => values[at + b] - values[at + a] || a - b);
      for (let i = 0; i < count; i++) {
        index[row * count + i] = order[i];
        value[row * count + i] = Math.max(values[at + order[i]], 0);
        out[at + order[i]] = 1;
      }
    }
    return { chosen: { n, k: count, index, value }, mask: tf.tensor(out, [n, latents]) };
  };

  const backward = (x: Float32Array, dead: Int32Array, weight: number): Losses & { gradient: Record<keyof Parameters, Tensor> } => {
    const n = checkRows(x, d);
    const rows = tf.tensor(x, [n, d]);
    const variance = tf.sum(tf.squaredDifference(rows, tf.mean(rows, 0))).dataSync()[0];
    const pre = preActivations(rows);
    const main = mask(pre, k, new Uint8Array(latents).fill(1));
    const { k: kept, scale } = auxiliary(dead.length, d, weight);
    const allowed = new Uint8Array(latents);
    for (const f of dead) allowed[f] = 1;
    const side = kept ? mask(pre, kept, allowed) : undefined;
    let fvu = 0, aux = 0;
    // The residual is a constant in the auxiliary term: it is computed before, outside the gradient.
    const rebuild = (m: Tensor): Tensor => tf.matMul(tf.mul(tf.relu(preActivations(rows)), m) as never, P.wDec as never);
    const residual = tf.sub(rows, tf.add(rebuild(main.mask), P.bDec));
    const { grads } = tf.variableGrads(() => {
      const share = tf.div(tf.sum(tf.square(tf.sub(tf.add(rebuild(main.mask), P.bDec), rows))), variance);
      fvu = share.dataSync()[0];
      if (!side) return share as never;
      const extra = tf.mul(tf.div(tf.sum(tf.square(tf.sub(rebuild(side.mask), residual))), variance), scale);
      aux = extra.dataSync()[0];
      return tf.add(share, extra) as never;
    }, names.map((name) => P[name]));
    const gradient = Object.fromEntries(names.map((name) => [name, grads[P[name].name]])) as Record<keyof Parameters, Tensor>;
    return { fvu, aux, chosen: main.chosen, gradient };
  };

  return {
    kind: "plain",
    choice: { precision: "f32", groups: [], chunk: 0 },
    encodeTopK: (x, { k: count = k, only } = {}) => tf.tidy(() => {
      const n = wholeRows(x, d);
      const allowed = new Uint8Array(latents).fill(only ? 0 : 1);
      for (const f of only ?? []) allowed[f] = 1;
      return mask(preActivations(tf.tensor(x, [n, d])), count, allowed).chosen as never;
    }) as unknown as Sparse,
    decode: (rows) => plainDecode({ d, latents, k, ...parameters(P) }, rows),
    gradients: (x, { dead = new Int32Array(0), auxWeight = 1 } = {}) => {
      let result: (Losses & { gradient: Parameters }) | undefined;
      tf.tidy(() => {
        const { gradient, ...losses } = backward(x, dead, auxWeight);
        result = { ...losses, gradient: parameters(gradient as Variables) };
      });
      return result!;
    },
    update: (x, { learningRate, dead = new Int32Array(0), auxWeight = 1 }) => {
      let losses: Losses | undefined;
      tf.tidy(() => {
        const { gradient, ...rest } = backward(x, dead, auxWeight);
        losses = rest;
        const along = tf.sum(tf.mul(gradient.wDec, P.wDec), 1, true);
        gradient.wDec = tf.sub(gradient.wDec, tf.mul(along, P.wDec));
        steps++;
        for (const name of names) {
          M[name].assign(tf.add(tf.mul(M[name], BETA1), tf.mul(gradient[name], 1 - BETA1)));
          V[name].assign(tf.add(tf.mul(V[name], BETA2), tf.mul(tf.square(gradient[name]), 1 - BETA2)));
          const mean = tf.div(M[name], 1 - BETA1 ** steps);
          const root = tf.add(tf.sqrt(tf.div(V[name], 1 - BETA2 ** steps)), EPSILON);
          P[name].assign(tf.sub(P[name], tf.mul(tf.div(mean, root), learningRate)));
        }
        P.wDec.assign(tf.mul(P.wDec, tf.rsqrt(tf.add(tf.sum(tf.square(P.wDec), 1, true), TINY))));
      });
      return losses!;
    },
    measure(x) {
      const tally = measuring(d, latents);
      const chosen = this.encodeTopK(x);
      tally.rows(x, this.decode(chosen));
      tally.latents(chosen.index, chosen.value);
      return tally.result();
    },
    state: () => ({ d, latents, k, steps, parameters: parameters(P), m: parameters(M), v: parameters(V) }),
    dispose() {
      for (const set of [P, M, V]) for (const name of names) set[name].dispose();
    },
  };
}
