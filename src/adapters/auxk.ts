import { kernels, type Engine, type Id } from "./tensorflow";

/** Gradients of some latents' rows, and Σ v·g: the length of W_dec's along its rows. */
export interface RowGradients {
  dwe: Id; // of [W_enc | b_enc | 0 …]
  dwd: Id;
  along: Id;
}

/** A batch as the auxiliary loss sees it. */
export interface Auxiliary {
  n: number;
  dOut: number;
  /** How many latents are dead, and how many of them a row may use: `auxiliary` of core/schedule.ts. */
  dead: number;
  kept: number;
  /** Of xa. */
  width: number;
  /** Rows at a time: all but the sums is [rows, dead]. */
  most: number;
}

/**
 * AuxK: dead latents alone rebuild the residual r = y − ŷ, a constant here, of which b_dec is part already.
 *
 *   s·Σ‖W_decᵀ·v' − r‖²/V      v' = ReLU(p) of the largest k' = min(dOut/2, dead) of the dead      s = weight·min(1, dead/(dOut/2))
 *
 * So many take part in each row that dense products are several times as fast as gathering them. Latents that tie with the last
 * one take part too. To be called inside `tidy`.
 * @param rows [W_enc | b_enc | 0 …] and W_dec of the dead latents
 * @param batch xa = [x − b_dec, 1, 0 …] as the encoder reads it; residual [n, dOut]; factor 2s/V, a scalar
 * @param keepLargest of v [n, dead] the k' largest of each row
 * @returns also Σ of the squares of the loss' gradient in what is rebuilt: the loss is that times V/(4s)
 * @see arXiv 2406.04093; sparsify 1.3 (the share of dead latents)
 */
export function auxiliaryGradients(
  engine: Engine, { weDead, wdDead }: { weDead: Id; wdDead: Id }, { n, dOut, dead, kept, width, most }: Auxiliary,
  { xa, residual, factor }: { xa: Id; residual: Id; factor: Id }, keepLargest?: (v: Id, n: number) => Id,
): RowGradients & { squares: Id } {
  const K = kernels(engine);
  const largest = keepLargest ?? ((v, rows) => K.keepLargest(v, kept, rows));
  const part = (rows: Id, missed: Id, c: number): RowGradients & { squares: Id } => {
    const pre = K.relu(K.matMul(rows, weDead, { transposeB: true }));
    const v = kept === dead ? pre : largest(pre, c);
    const error = K.mul(K.sub(K.matMul(v, wdDead), missed), factor);
    const g = K.reluGrad(K.matMul(error, wdDead, { transposeB: true }), v);
    return {
      squares: K.sum(K.square(error), [0, 1]),
      dwd: K.matMul(v, error, { transposeA: true }),
      dwe: K.matMul(g, rows, { transposeA: true }),
      along: K.sum(K.mul(v, g), [0]),
    };
  };
  if (n <= most) return part(xa, residual, n);
  const names = ["squares", "dwd", "dwe", "along"] as const;
  let sums: ReturnType<typeof part> | undefined;
  for (let from = 0; from < n; from += most) {
    const c = Math.min(most, n - from), before = sums;
    sums = engine.tidy(() => {
      const one = part(K.slice(xa, [from, 0], [c, width]), K.slice(residual, [from, 0], [c, dOut]), c);
      return before ? Object.fromEntries(names.map((name) => [name, K.add(before[name], one[name])])) as unknown as typeof one : one;
    });
    if (before) engine.free(...Object.values(before));
  }
  return sums!;
}
