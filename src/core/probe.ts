import type { Pieces } from "./pieces";
import { auroc, averagePrecision } from "./ranking";
import type { RowSentences } from "./score";
import type { Sparse } from "./types";

/**
 * k-sparse probing: what few latents tell of a label. The k latents whose mean differs most between positives and the others are
 * chosen on training items, and a logistic regression is fitted to them.
 * @see Gurnee et al. 2023, "Finding Neurons in a Haystack", arXiv 2305.01610; SAEBench, sparse_probing/probe_training.py, whose choices these are
 */

/** p = σ(w·x + b). */
export interface LogisticRegression {
  weights: Float64Array; // [k]
  bias: number;
}

/**
 * Logistic regression by Newton's method, halving a step that does not lower the loss:
 *
 *   ½‖w‖² + C·Σ ln(1 + exp(−y·(w·x + b))),  y = ±1; b is not penalised
 *
 * scikit-learn's `LogisticRegression(penalty="l2", C)`, which SAEBench uses with C = 1 and features as they are.
 * @param x items [n, k], row-major @param positive 1 or 0 of each
 * @returns finite weights also where a line parts the two sides, as the penalty holds them
 * @throws RangeError if the shapes differ, or all items are of one side
 */
export function logisticRegression(x: ArrayLike<number>, positive: ArrayLike<number>, k: number, { c = 1, iterations = 100 } = {}): LogisticRegression {
  const n = positive.length;
  if (x.length !== n * k) throw new RangeError(`logistic regression: expected ${n} items of ${k} numbers, found ${x.length} numbers`);
  let positives = 0;
  for (let i = 0; i < n; i++) positives += positive[i] ? 1 : 0;
  if (!positives || positives === n) throw new RangeError(`logistic regression: expected items of both sides, found ${positives} positives of ${n}`);
  const size = k + 1; // the last one is the bias
  let w = new Float64Array(size);
  w[k] = Math.log(positives / (n - positives));
  const margins = (v: Float64Array): Float64Array => Float64Array.from({ length: n }, (_, i) => {
    let z = v[k];
    for (let j = 0; j < k; j++) z += v[j] * x[i * k + j];
    return z;
  });
  const loss = (v: Float64Array, z: Float64Array): number => {
    let sum = 0;
    for (let j = 0; j < k; j++) sum += 0.5 * v[j] * v[j];
    for (let i = 0; i < n; i++) sum += c * softplus(positive[i] ? -z[i] : z[i]);
    return sum;
  };
  let z = margins(w), at = loss(w, z);
  for (let step = 0; step < iterations; step++) {
    const gradient = new Float64Array(size), hessian = new Float64Array(size * size);
    for (let j = 0; j < k; j++) {
      gradient[j] = w[j];
      hessian[j * size + j] = 1;
    }
    for (let i = 0; i < n; i++) {
      const p = 1 / (1 + Math.exp(-z[i]));
      const g = c * (p - (positive[i] ? 1 : 0)), h = c * p * (1 - p);
      for (let a = 0; a < size; a++) {
        const xa = a < k ? x[i * k + a] : 1;
        gradient[a] += g * xa;
        for (let b = 0; b <= a; b++) hessian[a * size + b] += h * xa * (b < k ? x[i * k + b] : 1);
      }
    }
    const direction = solve(hessian, gradient, size);
    let [t, next, nextZ, nextLoss] = [1, w, z, at];
    for (; t > 1e-10; t /= 2) {
      next = w.map((value, j) => value - t * direction[j]);
      nextZ = margins(next);
      nextLoss = loss(next, nextZ);
      if (nextLoss <= at) break;
    }
    const moved = next.reduce((most, value, j) => Math.max(most, Math.abs(value - w[j]) / (1e-3 + Math.abs(value))), 0);
    if (!(nextLoss <= at)) break; // nothing lower is near: rounding is reached
    [w, z, at] = [next, nextZ, nextLoss];
    if (moved < 1e-10) break;
  }
  return { weights: w.slice(0, k), bias: w[k] };
}

/** w·x + b of items [n, k]: above 0, a positive is the likelier. */
export function logits({ weights, bias }: LogisticRegression, x: ArrayLike<number>): Float64Array {
  const k = weights.length;
  return Float64Array.from({ length: x.length / k }, (_, i) => {
    let z = bias;
    for (let j = 0; j < k; j++) z += weights[j] * x[i * k + j];
    return z;
  });
}

/** ln(1 + eᶻ) without overflow. */
const softplus = (z: number): number => (z > 0 ? z : 0) + Math.log1p(Math.exp(-Math.abs(z)));

/** x of A x = b by Cholesky's decomposition, A symmetric, its lower half given; a pivot that rounding made 0 is raised. */
function solve(a: Float64Array, b: Float64Array, n: number): Float64Array {
  const l = a.slice(), x = b.slice();
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = l[i * n + j];
      for (let m = 0; m < j; m++) sum -= l[i * n + m] * l[j * n + m];
      if (i === j) l[i * n + i] = Math.sqrt(Math.max(sum, 1e-12 * Math.max(a[i * n + i], 1e-12)));
      else l[i * n + j] = sum / l[j * n + j];
    }
  }
  for (let i = 0; i < n; i++) {
    for (let m = 0; m < i; m++) x[i] -= l[i * n + m] * x[m];
    x[i] /= l[i * n + i];
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let m = i + 1; m < n; m++) x[i] -= l[m * n + i] * x[m];
    x[i] /= l[i * n + i];
  }
  return x;
}

/**
 * Means of latents over the rows of each item: entries offset[i] to offset[i + 1] are the latents of item i that are not 0; one that is there twice has the sum.
 */
export interface PooledItems {
  offset: Int32Array; // [items + 1]
  latent: Int32Array;
  value: Float32Array;
}

/** Pools the latents of rows by sentence, chunk by chunk in the order of the rows. Only what fires is held. */
export function poolingItems({ sentence, rows }: RowSentences, latents: number) {
  const sums = new Float64Array(latents);
  let touched: number[] = [], current = -1, count = 0;
  let item = new Int32Array(1024), latent = new Int32Array(1024), value = new Float32Array(1024);
  const longer = <T extends Int32Array | Float32Array>(list: T): T => {
    const twice = new (list.constructor as new (n: number) => T)(2 * list.length);
    twice.set(list);
    return twice;
  };
  const flush = (): void => {
    for (const f of touched) {
      if (count === item.length) [item, latent, value] = [longer(item), longer(latent), longer(value)];
      [item[count], latent[count], value[count++]] = [current, f, sums[f] / rows[current]];
      sums[f] = 0;
    }
    touched = [];
  };
  return {
    /** @param from number of the first of these rows */
    add(from: number, { n, k, index, value: values }: Sparse): void {
      for (let row = 0; row < n; row++) {
        const s = sentence[from + row];
        if (s !== current) flush();
        current = s;
        if (s < 0) continue;
        for (let i = row * k; i < (row + 1) * k; i++) {
          if (!(values[i] > 0)) continue;
          if (sums[index[i]] === 0) touched.push(index[i]);
          sums[index[i]] += values[i];
        }
      }
    },
    finish(): PooledItems {
      flush();
      current = -1;
      const offset = new Int32Array(rows.length + 1);
      for (let i = 0; i < count; i++) offset[item[i] + 1]++;
      for (let s = 0; s < rows.length; s++) offset[s + 1] += offset[s];
      const next = offset.slice(), sorted = { offset, latent: new Int32Array(count), value: new Float32Array(count) };
      for (let i = 0; i < count; i++) {
        const to = next[item[i]]++;
        [sorted.latent[to], sorted.value[to]] = [latent[i], value[i]];
      }
      return sorted;
    },
  };
}

/**
 * Difference of means between the positives and the others for each latent, [latents].
 * @param of the items that count, and 1 or 0 of each
 */
export function* meanDifference({ offset, latent, value }: PooledItems, of: Int32Array, positive: ArrayLike<number>, latents: number): Pieces<Float64Array> {
  const counts = [0, 0];
  for (let u = 0; u < of.length; u++) counts[positive[u] ? 1 : 0]++;
  const difference = new Float64Array(latents);
  for (const [u, item] of of.entries()) {
    if (u % 256 === 255) yield;
    const share = positive[u] ? 1 / counts[1] : -1 / counts[0];
    for (let i = offset[item]; i < offset[item + 1]; i++) difference[latent[i]] += share * value[i];
  }
  return difference;
}

/** The k latents of largest absolute difference, largest first, ties by smaller number. */
export function largestDifferences(difference: ArrayLike<number>, k: number): Int32Array {
  const order = Int32Array.from({ length: difference.length }, (_, f) => f);
  return order.sort((a, b) => Math.abs(difference[b]) - Math.abs(difference[a]) || a - b).slice(0, k);
}

/** Values of some latents on some items, [items, k]. */
export function columnsOf({ offset, latent, value }: PooledItems, of: Int32Array, latents: Int32Array): Float64Array {
  const k = latents.length;
  const column = new Map(Array.from(latents, (f, j) => [f, j]));
  const out = new Float64Array(of.length * k);
  of.forEach((item, u) => {
    for (let i = offset[item]; i < offset[item + 1]; i++) {
      const j = column.get(latent[i]);
      if (j !== undefined) out[u * k + j] += value[i];
    }
  });
  return out;
}

/** How well a probe's logits tell positives from the others. */
export interface ProbeScore {
  /** Share of items on the right side of 0. */
  accuracy: number;
  auroc: number;
  averagePrecision: number;
}

export function probeScore(z: ArrayLike<number>, positive: ArrayLike<number>): ProbeScore {
  let right = 0;
  for (let i = 0; i < positive.length; i++) if (z[i] > 0 === Boolean(positive[i])) right++;
  return { accuracy: right / positive.length, auroc: auroc(z, positive), averagePrecision: averagePrecision(z, positive) };
}
