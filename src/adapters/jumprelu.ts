import { batchLargest, candidatesOf } from "../core/batchtopk";
import type { StateSizes, StepState } from "../core/trained";
import type { Sparse } from "../core/types";
import { meanActive } from "./batch";
import { coder, encodeRows, PADDING } from "./coder";
import type { Prepared, Gradients } from "./ranked";
import { DT, kernels, type Engine, type Id } from "./tensorflow";

/**
 * JumpReLU. p = W_enc·(x − b_dec) + b_enc [n, F], a threshold θ_f > 0 for each latent, k the number of latents a row that is
 * wished for.
 *
 *   v = p·H(p − θ)      L0 = Σ H(p − θ)/n      loss = Σ‖ŷ − y‖²/V + AuxK + λ·(L0/k − 1)²
 *
 * H is the step function, whose slope is 0: θ gets straight-through gradients instead, from a rectangle of width ε about it,
 * K(u) = [|u| < ½], as if p had a density there that is estimated from the batch:
 *
 *   ∂v/∂θ := −θ/ε·K((p − θ)/ε)      ∂H(p − θ)/∂θ := −1/ε·K((p − θ)/ε)      ∂v/∂p = H(p − θ)      ∂H/∂p := 0
 *
 * θ = exp(t), and Adam moves t: ∂t = θ·∂θ. The rectangle's width is ε = {@link BANDWIDTH}·√(d/k): rows of mean square 1 a
 * coordinate that k latents rebuild have activations near √(d/k).
 *
 * By TensorFlow's stock kernels: gradients of θ need p and the loss' gradient in v near θ, not only above it, so that two products
 * are as large as the encoder's, where kinds that choose by rank need one; the others are of the active pairs alone.
 * @see Rajamanoharan et al. 2024, arXiv 2407.14435: v, θ = exp(t), both estimators; SAELens 6.54, jumprelu_sae.py ("quadratic"): the
 *   L0 loss, as Gemma Scope 2 has it
 */
const BANDWIDTH = 0.3;

/** λ */
export const L0_WEIGHT = 4;

/**
 * How many times as fast t learns as the weights. Activations change several times over in the first hundreds of steps, and t, which
 * Adam moves by one learning rate a step, would be left behind: on real rows half of the wished-for L0 was never reached again, and FVU
 * was .176 instead of .124.
 */
export const THRESHOLD_SPEED = 10;

export const bandwidthOf = ({ d, k }: Pick<StepState, "d" | "k">): number => BANDWIDTH * Math.sqrt(d / k);

/**
 * The state with all thresholds where k latents a row pass, on average over some rows: the smallest value of what batch-top-k
 * would choose.
 * @param x rows [n, d] in training units; 4,000 are plenty
 */
export function startThresholds(engine: Engine, state: StepState, x: Float32Array): StepState {
  const { d, latents, k, transcoder, parameters } = state;
  const sae = coder(d, latents, k, { ...parameters, bDec: transcoder ? new Float32Array(d) : parameters.bDec });
  for (let columns = Math.min(latents, 4 * k); ; columns = Math.min(latents, 2 * columns)) {
    const { least, full } = batchLargest(candidatesOf(encodeRows(engine, sae, x, { k: columns })), (x.length / d) * k);
    if (full.length && columns < latents) continue;
    const start = Math.log(least ?? 1);
    return { ...state, parameters: { ...parameters, logThreshold: new Float32Array(latents).fill(start) } };
  }
}

/** To be called inside `tidy`. */
export function jumpGradients(
  engine: Engine, { d, dOut, k, latents }: StateSizes, { n, xa, goal, variance, we, wd, most }: Prepared, lt: Id, l0Weight: number,
): Gradients {
  const K = kernels(engine);
  const bandwidth = bandwidthOf({ d, k });
  const f32 = { T: { type: DT.f32 } };
  const compare = (name: "Greater" | "Less", a: Id, b: Id): Id => engine.run(name, f32, [a, b])[0];
  const theta = engine.run("Exp", f32, [lt])[0];
  const shapeOf = (rows: number): Id => K.cast(engine.tensor(Int32Array.of(rows, latents), [2]), DT.i32, DT.i64);
  /** Of some rows; what is [c, F] goes as soon as it can. `near` and `count` are sums over those in the window, by latent. */
  const part = (rows: Id, aim: Id, c: number) => {
    const pre = K.matMul(rows, we, { transposeB: true });
    const { at, places, value, values } = activeOf(engine, compare("Greater", pre, theta), pre);
    const window = engine.tidy(() => compare("Less", engine.run("Abs", f32, [K.sub(pre, theta)])[0], K.scalar(bandwidth / 2)));
    engine.free(pre);
    const e = K.mul(K.sub(K.sparseProduct(places, value, shapeOf(c), wd), aim), K.scalar(2 / variance));
    const inV = K.matMul(e, wd, { transposeB: true });
    const g = K.reluGrad(engine.run("GatherNd", GATHER, [inV, places])[0], value);
    const near = K.sum(K.select(window, inV, K.scalar(0)), [0]);
    const count = K.sum(engine.run("Cast", { SrcT: { type: DT.bool }, DstT: { type: DT.f32 }, Truncate: false }, [window])[0], [0]);
    return { at, values, tensors: { places, value, e, g, near, count } };
  };
  type Part = ReturnType<typeof part>;
  const parts: Part[] = [];
  if (n <= most) parts.push(part(xa, goal, n));
  else for (let from = 0; from < n; from += most) {
    const c = Math.min(most, n - from), read: Pick<Part, "at" | "values">[] = [];
    const tensors = engine.tidy(() => {
      const { tensors: made, at, values } = part(K.slice(xa, [from, 0], [c, d + PADDING]), K.slice(goal, [from, 0], [c, dOut]), c);
      for (let i = 0; i < at.length; i += 2) at[i] += from;
      read.push({ at, values });
      return made;
    });
    parts.push({ ...read[0], tensors });
  }
  const single = parts.length === 1;
  const all = (name: "value" | "e" | "g"): Id => (single ? parts[0].tensors[name] : K.concat(parts.map(({ tensors }) => tensors[name]), 0));
  const sum = (name: "near" | "count"): Id => parts.map(({ tensors }) => tensors[name]).reduce(K.add);
  const at = joined(parts.map((one) => one.at), (length) => new Int32Array(length));
  const { chosen, latent } = paddedOf(at, joined(parts.map(({ values }) => values), (length) => new Float32Array(length)), n);
  const places = single ? parts[0].tensors.places : K.cast(engine.tensor(at, [at.length / 2, 2]), DT.i32, DT.i64);
  const [value, g, e] = [all("value"), all("g"), all("e")];
  const shape = shapeOf(n);
  const excess = meanActive(chosen) / k - 1;
  const perPair = (2 * l0Weight * excess) / (k * n); // the L0 loss' gradient in H
  const slopes = K.add(K.mul(theta, sum("near")), K.mul(sum("count"), K.scalar(perPair)));
  return {
    dwe: K.scatterProduct(places, g, shape, xa),
    dwd: K.scatterProduct(places, value, shape, e),
    along: K.segmentSum(K.mul(value, g), engine.tensor(latent, [latent.length]), latents),
    total: e,
    residual: () => K.mul(e, K.scalar(-variance / 2)),
    dlt: K.mul(K.mul(theta, slopes), K.scalar(-1 / bandwidth)),
    losses: {
      fvu: (engine.floats(K.sum(K.square(e), [0, 1]))[0] * variance) / 4, extra: l0Weight * excess * excess, l0: meanActive(chosen), chosen,
    },
  };
}

const GATHER = { Tparams: { type: DT.f32 }, Tindices: { type: DT.i64 } };

/**
 * The pairs that pass their gate [n, F]: places [m, 2] and values [m], rows ascending. Where there are none, one pair with the value 0, as
 * the binding makes no empty matrices.
 */
const activeOf = (engine: Engine, gate: Id, pre: Id): { at: Int32Array; values: Float32Array; places: Id; value: Id } => {
  const K = kernels(engine);
  let [places] = engine.run("Where", { T: { type: DT.bool } }, [gate]);
  let at: Int32Array = engine.ints(K.cast(places, DT.i64, DT.i32));
  engine.free(gate);
  let value: Id;
  if (at.length) {
    value = engine.run("GatherNd", GATHER, [pre, places])[0];
  } else {
    at = new Int32Array(2);
    places = K.cast(engine.tensor(at, [1, 2]), DT.i32, DT.i64);
    value = engine.tensor(new Float32Array(1), [1]);
  }
  return { at, values: engine.floats(value), places, value };
};

function joined<T extends Int32Array | Float32Array>(parts: T[], make: (length: number) => T): T {
  const out = make(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Pairs in rows that are filled up with zeros to the largest number that one has; and each pair's latent. */
function paddedOf(at: Int32Array, values: Float32Array, n: number): { chosen: Sparse; latent: Int32Array } {
  const latent = Int32Array.from(values, (_, i) => at[2 * i + 1]);
  const each = new Int32Array(n);
  for (let i = 0; i < values.length; i++) each[at[2 * i]]++;
  const k = each.reduce((a, b) => Math.max(a, b), 1);
  const chosen: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  each.fill(0);
  for (let i = 0; i < values.length; i++) {
    const row = at[2 * i], place = row * k + each[row]++;
    chosen.index[place] = latent[i];
    chosen.value[place] = values[i];
  }
  return { chosen, latent };
}
