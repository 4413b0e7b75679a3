import type { HeadOutput, HeadRows } from "./types";

/**
 * What a model's stream says about the next token, in plain loops and float64: probabilities, ranks, cross-entropy, divergence, and
 * shares of a logit. A row is the logits of one position, [vocabulary].
 */

/** ln Σ exp(x_i), safe from overflow. */
export function logSumExp(row: Float32Array): number {
  let most = -Infinity;
  for (let i = 0; i < row.length; i++) if (row[i] > most) most = row[i];
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i] - most);
  return most + Math.log(sum);
}

/** Kullback-Leibler divergence Σ p (ln p − ln q) of softmax(p) from softmax(q), nats; 0 bit for bit where the rows are equal. */
export function divergence(p: Float32Array, q: Float32Array, normP = logSumExp(p), normQ = logSumExp(q)): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const logP = p[i] - normP;
    const share = Math.exp(logP);
    if (share > 0) sum += share * (logP - (q[i] - normQ));
  }
  return Math.max(0, sum); // rounding may leave −1e-16
}

/** Place of an id among all by size: 1 is the largest; equal ones share the better place. */
export function rankOf(row: Float32Array, id: number): number {
  let rank = 1;
  for (let i = 0; i < row.length; i++) if (row[i] > row[id]) rank++;
  return rank;
}

/** The ids of the largest, largest first, ties by smaller id. */
export function largest(row: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < row.length; i++) {
    if (best.length === count && !(row[i] > row[best[count - 1]])) continue;
    let at = best.length;
    while (at > 0 && row[i] > row[best[at - 1]]) at--;
    best.splice(at, 0, i);
    if (best.length > count) best.pop();
  }
  return best;
}

/** One token as a stream foresees it. */
export interface Foreseen {
  token: number;
  /** Natural logarithm of its probability. */
  logProbability: number;
  /** 1: the most likely. */
  rank: number;
}

/** A stream at one position, through the final norm and the head. */
export interface LensCell {
  /** The most likely next tokens, best first. */
  top: { token: number; probability: number }[];
  /** The token that does follow; absent at the text's last position. */
  next?: Foreseen;
  targets: Foreseen[];
  /** KL(model's own distribution ‖ this one), nats. */
  kl: number;
}

/** @param final logits that the model itself gives there, and their logSumExp */
export function lensCell(row: Float32Array, final: Float32Array, finalNorm: number, wanted: { top: number; next?: number; targets: number[] }): LensCell {
  const norm = logSumExp(row);
  const foreseen = (token: number): Foreseen => ({ token, logProbability: row[token] - norm, rank: rankOf(row, token) });
  return {
    top: largest(row, wanted.top).map((token) => ({ token, probability: Math.exp(row[token] - norm) })),
    ...(wanted.next === undefined ? {} : { next: foreseen(wanted.next) }),
    targets: wanted.targets.map(foreseen),
    kl: divergence(final, row, finalNorm, norm),
  };
}

/**
 * The final norm with its scale s frozen at a stream x, and the head, as one linear map: logit = Σ_d x_d·direction_d + constants.
 *
 *   rms     s = √(mean(x²) + ε),          direction = w_t∘g/s
 *   layer   s = √(var(x) + ε),            direction = w_t∘g/s less its mean, which takes the mean off x
 *
 * So each part of x has a share, and the shares add up to the logit (before a cap).
 * @param token which of head's rows
 * @see Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021): direct logit attribution
 */
export function towardToken(head: HeadRows, token: number, x: Float32Array): { direction: Float64Array; normBias: number; headBias: number } {
  const d = x.length;
  const row = head.rows.subarray(token * d, (token + 1) * d);
  const direction = new Float64Array(d);
  const s = Math.sqrt(variance(x, head.kind) + head.epsilon);
  let normBias = 0;
  let sum = 0;
  for (let i = 0; i < d; i++) {
    direction[i] = (row[i] * head.norm[i]) / s;
    sum += direction[i];
    if (head.bias) normBias += row[i] * head.bias[i];
  }
  if (head.kind === "layer") for (let i = 0; i < d; i++) direction[i] -= sum / d;
  return { direction, normBias, headBias: head.offsets?.[token] ?? 0 };
}

/** Mean of x²; of a LayerNorm, of what is left when the mean is taken off. */
function variance(x: Float32Array, kind: HeadRows["kind"]): number {
  let mean = 0;
  if (kind === "layer") for (let i = 0; i < x.length; i++) mean += x[i] / x.length;
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += (x[i] - mean) ** 2;
  return sum / x.length;
}

export function dot(x: Float32Array, direction: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < direction.length; i++) sum += x[i] * direction[i];
  return sum;
}

/**
 * An attention's share of a logit, head by head: (W_o[:, head]·z_head)·direction, through the norm behind, if there is one, its scale
 * frozen too; and the share of the bias.
 * @param z heads side by side, [heads·headDim]
 * @param out what the sublayer gives there, before that norm, [width]
 */
export function headShares({ weight, bias, heads, norm, epsilon }: HeadOutput, z: Float32Array, out: Float32Array, direction: Float64Array): { heads: number[]; bias: number } {
  const [width, inner] = [direction.length, z.length];
  const s = norm ? Math.sqrt(variance(out, "rms") + epsilon) : 1;
  const along = direction.map((value, d) => (norm ? (value * norm[d]) / s : value));
  const toward = new Float64Array(inner); // Wᵀ·direction
  for (let d = 0; d < width; d++) for (let j = 0; j < inner; j++) toward[j] += weight[d * inner + j] * along[d];
  const size = inner / heads;
  return {
    heads: Array.from({ length: heads }, (_, h) => dot(z.subarray(h * size, (h + 1) * size), toward.subarray(h * size, (h + 1) * size))),
    bias: bias ? dot(bias, along) : 0,
  };
}

/** Mean loss in nats and what is made of it. */
export interface LossMeans {
  /** Cross-entropy of the next token, nats. */
  mean: number;
  /** exp(mean). */
  perplexity: number;
  /** Bits for each byte of the tokens foretold; NaN where they stand for no bytes. */
  bitsPerByte: number;
}

/** @param bytes that all tokens foretold stand for */
export function lossMeans(losses: Iterable<number>, bytes: number): LossMeans {
  let [sum, n] = [0, 0];
  for (const one of losses) [sum, n] = [sum + one, n + 1];
  return { mean: sum / n, perplexity: Math.exp(sum / n), bitsPerByte: bytes ? sum / (Math.LN2 * bytes) : NaN };
}
