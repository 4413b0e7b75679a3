import { batchLargest, candidatesOf } from "../core/batchtopk";
import type { StateSizes, StepState } from "../core/trained";
import type { Sparse } from "../core/types";
import { meanActive } from "./batch";
import { coder, encodeRows } from "./coder";
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
 * Dense, by TensorFlow's stock kernels: gradients of θ need p near it, not only above, and nothing bounds how many there are.
 * Five products as large as the encoder's, where kinds that choose by rank need one.
 * @see Rajamanoharan et al. 2024, arXiv 2407.14435: v, θ = exp(t), both estimators; SAELens 6.54, jumprelu_sae.py ("quadratic"): the
 *   L0 loss, as Gemma Scope 2 has it
 */
export const BANDWIDTH = 0.3;

/** λ */
export const L0_WEIGHT = 4;

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
export function jumpGradients(engine: Engine, { d, k }: StateSizes, { n, xa, goal, variance, we, wd }: Prepared, lt: Id, l0Weight: number): Gradients {
  const K = kernels(engine);
  const bandwidth = bandwidthOf({ d, k });
  const f32 = { T: { type: DT.f32 } };
  const compare = (name: "Greater" | "Less", a: Id, b: Id): Id => engine.run(name, f32, [a, b])[0];
  const where = (condition: Id, x: Id): Id => engine.run("SelectV2", f32, [condition, x, K.scalar(0)])[0];
  const count = (condition: Id): Id =>
    K.sum(engine.run("Cast", { SrcT: { type: DT.bool }, DstT: { type: DT.f32 }, Truncate: false }, [condition])[0], [0]);
  const theta = engine.run("Exp", f32, [lt])[0];
  const pre = K.matMul(xa, we, { transposeB: true });
  const gate = compare("Greater", pre, theta);
  const v = where(gate, pre);
  // What is [n, F] goes as soon as it can: v, its gradient and one more are held at a time, and two masks.
  const window = engine.tidy(() => compare("Less", engine.run("Abs", f32, [K.sub(pre, theta)])[0], K.scalar(bandwidth / 2)));
  engine.free(pre);
  const chosen = active(engine, gate, v, n);
  const e = K.mul(K.sub(K.matMul(v, wd), goal), K.scalar(2 / variance));
  const inV = K.matMul(e, wd, { transposeB: true });
  const excess = meanActive(chosen) / k - 1;
  const perPair = (2 * l0Weight * excess) / (k * n); // the L0 loss' gradient in H
  const slopes = engine.tidy(() => K.add(K.mul(theta, K.sum(where(window, inV), [0])), K.mul(count(window), K.scalar(perPair))));
  const along = engine.tidy(() => K.sum(K.mul(v, inV), [0]));
  const dwe = engine.tidy(() => K.matMul(where(gate, inV), xa, { transposeA: true }));
  return {
    dwe,
    dwd: K.matMul(v, e, { transposeA: true }),
    along,
    total: e,
    residual: () => K.mul(e, K.scalar(-variance / 2)),
    dlt: K.mul(K.mul(theta, slopes), K.scalar(-1 / bandwidth)),
    losses: {
      fvu: (engine.floats(K.sum(K.square(e), [0, 1]))[0] * variance) / 4, extra: l0Weight * excess * excess, l0: meanActive(chosen), chosen,
    },
  };
}

/** The active latents, rows filled up with zeros to the largest number that one has. */
const active = (engine: Engine, gate: Id, v: Id, n: number): Sparse => engine.tidy(() => {
  const [places] = engine.run("Where", { T: { type: DT.bool } }, [gate]);
  const at = engine.ints(kernels(engine).cast(places, DT.i64, DT.i32)); // [m, 2], rows ascending
  const values = engine.floats(engine.run("GatherNd", { Tparams: { type: DT.f32 }, Tindices: { type: DT.i64 } }, [v, places])[0]);
  const each = new Int32Array(n);
  for (let i = 0; i < at.length; i += 2) each[at[i]]++;
  const most = each.reduce((a, b) => Math.max(a, b), 1);
  const index = new Int32Array(n * most), value = new Float32Array(n * most);
  each.fill(0);
  for (let i = 0; i < values.length; i++) {
    const row = at[2 * i], place = row * most + each[row]++;
    index[place] = at[2 * i + 1];
    value[place] = values[i];
  }
  return { n, k: most, index, value };
});
