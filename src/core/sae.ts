import { CheckpointError, OptionError } from "./errors";
import type { SaeWeights, Sparse } from "./types";

/**
 * Sparse autoencoders in plain loops with float64 sums: slow, obvious, and what every faster step is held against.
 *
 *   p = W_enc·(x − b_dec) + b_enc      v = the active of them, by kind      x̂ = W_decᵀ·v + b_dec (+ W_skip·x)
 *
 * {@link SaeWeights} has the equation of each kind. A faster product can be given; the choice is made here.
 * @see sparsify 1.3, sparse_coder.py; SAELens 6.54, saes/; dictionary_learning 0.1, dictionary.py
 */

/** rows [n, d] · W_encᵀ [F, d] → [n, F], without any bias. */
export type Product = (rows: Float32Array, n: number) => Float32Array;

const BLOCK = 2 ** 22; // pre-activations held at a time: 16 MB

/**
 * @param x rows [n, d], in the model's own units
 * @param product computes W_enc's part; plain loops by default
 * @returns the active latents of each row
 * @throws RangeError if x is not whole rows of width d; OptionError of a part of a top-k SAE, whose choice needs all its latents
 */
export function encode(weights: SaeWeights, x: Float32Array, product: Product = plainProduct(weights)): Sparse {
  const { d, latents, k, kind = "topk", subset } = weights;
  const n = wholeRows(x, d);
  const fixed = kind === "topk" || kind === "groupmax";
  if (subset && fixed) {
    throw new OptionError(`encode: expected all latents, as ${kind} chooses among them, found ${latents} that were loaded alone. Load the SAE without { latents }, or use their weights.`);
  }
  const { rows, units } = prepared(weights, x, n);
  const activations = activation(weights);
  const chunk = Math.max(1, Math.floor(BLOCK / latents));
  const found: { index: Int32Array; value: Float32Array }[] = [];
  for (let from = 0; from < n; from += chunk) {
    const count = Math.min(chunk, n - from);
    const pre = product(rows.subarray(from * d, (from + count) * d), count);
    for (let i = 0; i < count; i++) {
      const v = activations(pre.subarray(i * latents, (i + 1) * latents));
      found.push(fixed ? largest(v, k, kind === "groupmax" ? latents / k : 1) : positive(v));
    }
  }
  const columns = fixed ? k : found.reduce((most, { index }) => Math.max(most, index.length), 1);
  const index = new Int32Array(n * columns), value = new Float32Array(n * columns);
  found.forEach((row, i) => {
    index.set(row.index, i * columns);
    value.set(row.value, i * columns);
  });
  return { n, k: columns, index, value, ...(units ? { units } : {}) };
}

/** @returns x̂ [n, dOut], without a skip connection's part. @throws RangeError when rows were normalised and the codes do not say how */
export function decode(weights: SaeWeights, { n, k, index, value, units }: Sparse): Float32Array {
  const { d, dOut = d, wDec, bDec, normalize = "none" } = weights;
  if (normalize !== "none" && !units) throw new RangeError(`sparse rows: expected units, as encode gives them for an SAE that normalises rows (${normalize}), found none`);
  const norms = weights.rescaleByDecoderNorm ? decoderNorms(weights) : undefined;
  const x = new Float32Array(n * dOut);
  const sum = new Float64Array(dOut);
  for (let row = 0; row < n; row++) {
    sum.set(bDec);
    for (let i = row * k; i < (row + 1) * k; i++) {
      if (value[i] === 0) continue;
      const amount = value[i] / (norms ? norms[index[i]] || 1 : 1);
      for (let j = 0, at = index[i] * dOut; j < dOut; j++, at++) sum[j] += amount * wDec[at];
    }
    const scale = units ? units.scale[row] : 1, shift = units ? units.shift[row] : 0;
    for (let j = 0; j < dOut; j++) x[row * dOut + j] = sum[j] * scale + shift;
  }
  return x;
}

/** Adds W_skip·x to x̂ [n, dOut], in place. */
export function addSkip({ d, dOut = d, wSkip }: Pick<SaeWeights, "d" | "dOut" | "wSkip">, x: Float32Array, xHat: Float32Array): Float32Array {
  if (!wSkip) return xHat;
  for (let row = 0; row < xHat.length / dOut; row++) {
    for (let j = 0; j < dOut; j++) {
      let sum = 0;
      for (let i = 0; i < d; i++) sum += wSkip[j * d + i] * x[row * d + i];
      xHat[row * dOut + j] += sum;
    }
  }
  return xHat;
}

/** x̂ [n, dOut] of rows [n, d]: what the SAE's forward pass gives. */
export const reconstruct = (weights: SaeWeights, x: Float32Array): Float32Array => addSkip(weights, x, decode(weights, encode(weights, x)));

/**
 * Batch-top-k as it is trained: of all rows together, the n·k latents that are largest.
 * @returns rows padded to the largest number; a row may have none
 * @see dictionary_learning 0.1, BatchTopKSAE.encode(use_threshold=False)
 */
export function encodeBatch(weights: SaeWeights, x: Float32Array, k: number): Sparse {
  const all = encode({ ...weights, kind: "relu" } as SaeWeights, x);
  const order = Array.from(all.value.keys()).filter((i) => all.value[i] > 0).sort((a, b) => all.value[b] - all.value[a] || a - b);
  const kept = new Float32Array(all.value.length);
  for (const i of order.slice(0, all.n * k)) kept[i] = all.value[i];
  return { ...all, value: kept };
}

/** A plain top-k SAE of rows as they are: what every step, the fused writes and the training can do. */
export const isPlain = ({ kind = "topk", transcoder, subtractBDec = true, rescaleByDecoderNorm, normalize = "none", wSkip, subset, d, dOut = d }: SaeWeights): boolean =>
  kind === "topk" && !transcoder && subtractBDec && !rescaleByDecoderNorm && normalize === "none" && !wSkip && !subset && dOut === d;

/** What an SAE is, in a few words: "a jumprelu transcoder with a skip connection". */
export function describeKind({ kind = "topk", transcoder, wSkip, subset, subtractBDec = true, rescaleByDecoderNorm, normalize = "none" }: SaeWeights): string {
  const more = [
    ...(subset ? [`${subset.length} of its latents`] : []), ...(wSkip ? ["a skip connection"] : []), ...(rescaleByDecoderNorm ? ["activations times decoder norms"] : []),
    ...(normalize !== "none" ? [`rows normalised (${normalize})`] : []), ...(subtractBDec || transcoder ? [] : ["b_dec not subtracted"]),
  ];
  return `a ${kind} ${transcoder ? "transcoder" : "SAE"}${more.length ? ` with ${more.join(", ")}` : ""}`;
}

const normsOf = new WeakMap<Float32Array, Float32Array>();

/** ‖W_dec row‖ of each latent; kept, as weights do not change. */
export function decoderNorms({ d, dOut = d, latents, wDec }: SaeWeights): Float32Array {
  let norms = normsOf.get(wDec);
  if (!norms) {
    norms = new Float32Array(latents);
    for (let f = 0; f < latents; f++) {
      let sum = 0;
      for (let j = f * dOut; j < (f + 1) * dOut; j++) sum += wDec[j] * wDec[j];
      norms[f] = Math.sqrt(sum);
    }
    normsOf.set(wDec, norms);
  }
  return norms;
}

/** Rows as the encoder takes them: normalised, b_dec subtracted; and what decoding has to undo. */
export function prepared({ d, bDec, normalize = "none", subtractBDec = true }: SaeWeights, x: Float32Array, n: number): { rows: Float32Array; units?: Sparse["units"] } {
  if (normalize === "none" && !subtractBDec) return { rows: x };
  const rows = new Float32Array(n * d);
  const scale = new Float32Array(n).fill(1), shift = new Float32Array(n);
  for (let row = 0; row < n; row++) {
    const at = row * d;
    let by = 1, mean = 0;
    if (normalize === "constant_norm_rescale") {
      let squares = 0;
      for (let j = at; j < at + d; j++) squares += x[j] * x[j];
      by = Math.sqrt(d / (squares || d)); // a row of zeros stays one
      scale[row] = 1 / by;
    } else if (normalize === "layer_norm") {
      for (let j = at; j < at + d; j++) mean += x[j] / d;
      let squares = 0;
      for (let j = at; j < at + d; j++) squares += (x[j] - mean) ** 2;
      const std = Math.sqrt(squares / (d - 1));
      by = 1 / (std + 1e-5);
      scale[row] = std;
      shift[row] = mean;
    }
    for (let j = 0; j < d; j++) rows[at + j] = (x[at + j] - mean) * by - (subtractBDec ? bDec[j] : 0);
  }
  return normalize === "none" ? { rows } : { rows, units: { scale, shift } };
}

/** W_enc·x of one row, q → v before anything is chosen by rank, in place: 0 where a latent is not active. */
function activation(weights: SaeWeights): (q: Float32Array) => Float32Array {
  const { bEnc, latents: F } = weights;
  const norms = weights.rescaleByDecoderNorm ? decoderNorms(weights) : undefined;
  /** p = (q + b_enc)·norm, or 0 where it is not above its bound. */
  const above = (least: Float32Array | undefined) => (q: Float32Array): Float32Array => {
    for (let f = 0; f < F; f++) q[f] += bEnc[f];
    if (norms) for (let f = 0; f < F; f++) q[f] *= norms[f];
    if (least) for (let f = 0; f < F; f++) q[f] = q[f] > least[f] ? q[f] : 0;
    for (let f = 0; f < F; f++) q[f] = q[f] > 0 ? q[f] : 0;
    return q;
  };
  switch (weights.kind) {
    case "jumprelu":
    case "batchtopk": {
      const { threshold } = weights;
      return above(typeof threshold === "number" ? new Float32Array(F).fill(threshold) : threshold);
    }
    case "gated": {
      const { bGate, rMag } = weights;
      const gain = rMag.map(Math.exp);
      return (q) => {
        for (let f = 0; f < F; f++) q[f] = q[f] + bGate[f] > 0 ? Math.max(q[f] * gain[f] + bEnc[f], 0) : 0;
        return q;
      };
    }
    case undefined:
    case "topk":
    case "groupmax":
    case "relu":
      return above(undefined);
    default:
      throw new CheckpointError(
        `encode: expected an SAE of a known kind, found ${JSON.stringify((weights as { kind: unknown }).kind)}. ` +
        "Set kind to topk, groupmax, relu, jumprelu, batchtopk or gated.");
  }
}

/** The k largest, or the largest of each group of neighbours: larger first, ties by smaller index. */
function largest(v: Float32Array, k: number, group: number): { index: Int32Array; value: Float32Array } {
  const index = new Int32Array(k), value = new Float32Array(k).fill(-1);
  for (let f = 0, held = 0; f < v.length; f += group) {
    let best = f;
    if (group > 1) for (let g = f + 1; g < f + group; g++) if (v[g] > v[best]) best = g;
    if (held === k && v[best] <= value[k - 1]) continue;
    let low = 0, high = held; // behind all that are as large
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value[middle] >= v[best]) low = middle + 1;
      else high = middle;
    }
    index.copyWithin(low + 1, low, k - 1);
    value.copyWithin(low + 1, low, k - 1);
    index[low] = best;
    value[low] = v[best];
    if (held < k) held++;
  }
  return { index, value };
}

function positive(v: Float32Array): { index: Int32Array; value: Float32Array } {
  const active: number[] = [];
  for (let f = 0; f < v.length; f++) if (v[f] > 0) active.push(f);
  active.sort((a, b) => v[b] - v[a] || a - b);
  return { index: Int32Array.from(active), value: Float32Array.from(active, (f) => v[f]) };
}

/** Latent by latent over all rows of a block, so that each row of W_enc is read once. */
const plainProduct = (weights: SaeWeights): Product => (rows, n) => {
  const { d, latents, wEnc } = weights;
  const out = new Float32Array(n * latents);
  for (let f = 0; f < latents; f++) {
    for (let row = 0; row < n; row++) {
      let sum = 0;
      for (let j = 0, a = f * d, b = row * d; j < d; j++, a++, b++) sum += wEnc[a] * rows[b];
      out[row * latents + f] = sum;
    }
  }
  return out;
};

/** Number of rows of width d in x. @throws RangeError if the last one is not whole */
export function wholeRows(x: Float32Array, d: number): number {
  if (x.length % d) {
    throw new RangeError(
      `rows: expected a multiple of the SAE's width ${d}, found ${x.length} numbers. ` +
      "Take rows of the hook it was trained on.");
  }
  return x.length / d;
}
