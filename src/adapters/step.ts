import { measuring, type Measures } from "../core/measure";
import { wholeRows } from "../core/sae";
import { auxiliary } from "../core/schedule";
import { freshState, TINY, type StepState } from "../core/trained";
import type { Sparse } from "../core/types";
import {
  coder, decodeRows, defaultGroups, encodeRows, forward, PADDING, withBias, withoutBias,
  type Choice, type Chosen, type Coder, type Parameters,
} from "./coder";
import { DT, kernels, type Engine, type Id } from "./tensorflow";

/**
 * One training step of a top-k SAE with TensorFlow's stock kernels, on the k chosen latents only; plainstep.ts has its
 * reference. F latents, rows of width d, n rows a batch.
 *
 *   v = ReLU(TopK(W_enc·(x − b_dec) + b_enc))      e = W_decᵀ·v + b_dec − x
 *   loss = Σe²/Σ(x − x̄)² + s·Σ(W_decᵀ·v' + e)²/Σ(x − x̄)²
 *
 * v' are the largest k' = min(d/2, dead) among the dead latents, e in the second term is a constant, s = weight·min(1,
 * dead/(d/2)). Adam on all four; the part of W_dec's gradient along its rows is removed, and rows go back to unit norm
 * after each step.
 */

export type { StepState };
export { freshState, TINY };

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

/** The seam: stock here, plain in plainstep.ts, fused in fusedstep.ts. Rows are in the units that the state was trained in. */
export interface Step {
  kind: "fused" | "stock" | "plain";
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

export const defaultChoice = (latents: number, k: number): Choice => ({
  precision: "f32", groups: defaultGroups(latents, k), chunk: 128,
});

/** Encodes, decodes and measures rows. */
function measureRows(engine: Engine, sae: Coder, x: Float32Array): Measures {
  const tally = measuring(sae.d, sae.latents);
  const sparse = encodeRows(engine, sae, x);
  tally.rows(x, decodeRows(engine, sae, sparse));
  tally.latents(sparse.index, sparse.value);
  return tally.result();
}


export const checkRows = (x: Float32Array, d: number): number => {
  const n = wholeRows(x, d);
  if (n < 2) throw new RangeError(`batch: expected at least 2 rows (their variance is the loss's unit), found ${n}`);
  return n;
};

/** Gradients of some latents' rows, and Σ v·g: the length of W_dec's along its rows. */
interface RowGradients {
  dwe: Id; // of [W_enc | b_enc | 0 …]
  dwd: Id;
  along: Id;
}

/**
 * The auxiliary term: dead latents alone against the residual −e; gradients of the dead latents' rows. So many take part in
 * each row (half its width) that dense products are several times as fast as gathering them. Latents that tie with the last
 * one take part too. To be called inside `tidy`.
 * @param rows [W_enc | b_enc | 0 …] and W_dec of the dead latents
 * @param batch xa = [x − b_dec, 1, 0 …]; e the main term's gradient in x̂; variance Σ(x − x̄)²
 */
export function auxiliaryGradients(
  engine: Engine,
  { weDead, wdDead }: { weDead: Id; wdDead: Id },
  { n, d, dead, weight }: { n: number; d: number; dead: number; weight: number },
  { xa, e, variance }: { xa: Id; e: Id; variance: number },
): RowGradients & { loss: number } {
  const K = kernels(engine);
  const { k: kept, scale } = auxiliary(dead, d, weight);
  const factor = (2 * scale) / variance;
  const target = K.mul(e, K.scalar(-variance / 2)); // the residual x − x̂ in plain units
  const pre = K.matMul(xa, weDead, { transposeB: true });
  const v = kept === dead ? K.relu(pre) : K.keepLargest(K.relu(pre), kept, n);
  const error = K.mul(K.sub(K.matMul(v, wdDead), target), K.scalar(factor));
  const g = K.reluGrad(K.matMul(error, wdDead, { transposeB: true }), v);
  return {
    loss: engine.floats(K.sum(K.square(error), [0, 1]))[0] * (variance / (4 * scale)),
    dwd: K.matMul(v, error, { transposeA: true }),
    dwe: K.matMul(g, xa, { transposeA: true }),
    along: K.sum(K.mul(v, g), [0]),
  };
}

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
      const list = engine.tensor(dead, [dead.length]);
      const ofDead = { weDead: K.gather(we, list), wdDead: K.gather(wd, list) };
      const extra = auxiliaryGradients(engine, ofDead, { n, d, dead: dead.length, weight }, { xa, e, variance });
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
    state: () => ({ kind: "topk", dOut: d, transcoder: false, d, latents, k, steps, parameters: readAll(P), m: readAll(M), v: readAll(V) }),
    dispose() {
      for (const set of [P, M, V]) for (const variable of Object.values(set)) K.destroy(variable);
    },
  };
}
