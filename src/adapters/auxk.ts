import { auxiliary } from "../core/schedule";
import { kernels, type Engine, type Id } from "./tensorflow";

/** Gradients of some latents' rows, and Σ v·g: the length of W_dec's along its rows. */
export interface RowGradients {
  dwe: Id; // of [W_enc | b_enc | 0 …]
  dwd: Id;
  along: Id;
}

/**
 * AuxK: dead latents alone rebuild the residual r = y − ŷ, a constant here, of which b_dec is part already.
 *
 *   s·Σ‖W_decᵀ·v' − r‖²/V      v' = ReLU(p) of the largest k' = min(dOut/2, dead) of the dead      s = weight·min(1, dead/(dOut/2))
 *
 * So many take part in each row that dense products are several times as fast as gathering them. Latents that tie with the last
 * one take part too. To be called inside `tidy`.
 * @param rows [W_enc | b_enc | 0 …] and W_dec of the dead latents
 * @param batch xa = [x − b_dec, 1, 0 …] as the encoder reads it; residual [n, dOut]; variance V = Σ‖y − ȳ‖²
 * @see arXiv 2406.04093; sparsify 1.3 (the share of dead latents)
 */
export function auxiliaryGradients(
  engine: Engine,
  { weDead, wdDead }: { weDead: Id; wdDead: Id },
  { n, dOut, dead, weight }: { n: number; dOut: number; dead: number; weight: number },
  { xa, residual, variance }: { xa: Id; residual: Id; variance: number },
): RowGradients & { loss: number } {
  const K = kernels(engine);
  const { k: kept, scale } = auxiliary(dead, dOut, weight);
  const factor = (2 * scale) / variance;
  const pre = K.matMul(xa, weDead, { transposeB: true });
  const v = kept === dead ? K.relu(pre) : K.keepLargest(K.relu(pre), kept, n);
  const error = K.mul(K.sub(K.matMul(v, wdDead), residual), K.scalar(factor));
  const g = K.reluGrad(K.matMul(error, wdDead, { transposeB: true }), v);
  return {
    loss: engine.floats(K.sum(K.square(error), [0, 1]))[0] * (variance / (4 * scale)),
    dwd: K.matMul(v, error, { transposeA: true }),
    dwe: K.matMul(g, xa, { transposeA: true }),
    along: K.sum(K.mul(v, g), [0]),
  };
}
