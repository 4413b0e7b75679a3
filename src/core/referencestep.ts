import { auxiliary } from "./schedule";
import { TINY, type Parameters, type StepState } from "./trained";
import type { Sparse } from "./types";

/**
 * One update of an SAE in plain loops and float64: what a device that was never seen before is held against. Of the kinds top-k,
 * group-max and multi-top-k; src/adapters/step.ts has the equations.
 */

export interface Reference {
  fvu: number;
  aux: number;
  extra: number;
  chosen: Sparse;
  gradient: Parameters;
}

/** Indices of the `count` largest, larger first, ties by smaller index. */
const largest = (values: Float64Array, among: ArrayLike<number>, count: number): number[] =>
  Array.from(among).sort((a, b) => values[b] - values[a] || a - b).slice(0, count);

const dot = (a: ArrayLike<number>, b: Float32Array, at: number, d: number): number => {
  let sum = 0;
  for (let j = 0; j < d; j++) sum += a[j] * b[at + j];
  return sum;
};

/** @param x rows [n, d] in training units @throws RangeError for other kinds and for transcoders */
export function referenceGradients({ kind, d, latents, k, transcoder, parameters }: StepState, x: Float32Array, dead: Int32Array = new Int32Array(0)): Reference {
  if (transcoder || !["topk", "groupmax", "multitopk"].includes(kind)) throw new RangeError(`referenceGradients: expected a top-k, group-max or multi-top-k SAE, found ${kind}${transcoder ? ", a transcoder" : ""}`);
  const { wEnc, bEnc, wDec, bDec } = parameters, n = x.length / d;
  const levels = kind === "multitopk" ? [{ columns: k, weight: 1 }, { columns: Math.min(4 * k, latents), weight: 1 / 8 }] : [{ columns: k, weight: 1 }];
  const gradient = { wEnc: new Float64Array(latents * d), bEnc: new Float64Array(latents), wDec: new Float64Array(latents * d), bDec: new Float64Array(d) };
  let variance = 0;
  for (let j = 0; j < d; j++) {
    let mean = 0;
    for (let b = 0; b < n; b++) mean += x[b * d + j] / n;
    for (let b = 0; b < n; b++) variance += (x[b * d + j] - mean) ** 2;
  }
  const everyone = Array.from({ length: latents }, (_, f) => f);
  const groups = kind === "groupmax" ? Array.from({ length: k }, (_, g) => everyone.slice(g * (latents / k), (g + 1) * (latents / k))) : [];
  const { k: kept, scale } = auxiliary(dead.length, d, 1);
  const chosen: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  const fvus = levels.map(() => 0);
  let aux = 0;
  for (let b = 0; b < n; b++) {
    const row = Float64Array.from({ length: d }, (_, j) => x[b * d + j] - bDec[j]);
    const pre = Float64Array.from({ length: latents }, (_, f) => dot(row, wEnc, f * d, d) + bEnc[f]);
    const active = (f: number): number => Math.max(0, pre[f]);
    /** Adds what latent f gets of the loss' gradient in the rebuilt row. */
    const learn = (f: number, e: Float64Array): void => {
      const v = active(f), g = v > 0 ? dot(e, wDec, f * d, d) : 0;
      gradient.bEnc[f] += g;
      for (let j = 0; j < d; j++) {
        gradient.wDec[f * d + j] += v * e[j];
        gradient.wEnc[f * d + j] += g * row[j];
        gradient.bDec[j] -= g * wEnc[f * d + j];
      }
    };
    /** Rebuilt by some latents, less `goal`. */
    const missed = (by: number[], goal: Float64Array): Float64Array => Float64Array.from(goal, (y, j) => by.reduce((sum, f) => sum + active(f) * wDec[f * d + j], -y));
    const order = kind === "groupmax" ? groups.map((group) => largest(pre, group, 1)[0]) : largest(pre, everyone, levels.at(-1)!.columns);
    let residual = row;
    levels.forEach(({ columns, weight }, l) => {
      const by = order.slice(0, columns), error = missed(by, row);
      if (l === 0) residual = error.map((e) => -e);
      fvus[l] += error.reduce((sum, e) => sum + e * e, 0) / variance;
      const e = error.map((value) => (value * 2 * weight) / variance);
      e.forEach((value, j) => (gradient.bDec[j] += value));
      for (const f of by) learn(f, e);
    });
    for (let i = 0; i < k; i++) {
      chosen.index[b * k + i] = order[i];
      chosen.value[b * k + i] = active(order[i]);
    }
    if (!kept) continue;
    const least = active(largest(pre, dead, kept)[kept - 1]);
    const revived = [...dead].filter((f) => active(f) >= least && active(f) > 0), error = missed(revived, residual);
    aux += (scale * error.reduce((sum, e) => sum + e * e, 0)) / variance;
    for (const f of revived) learn(f, error.map((value) => (value * 2 * scale) / variance));
  }
  const [fvu] = fvus, extra = levels.length > 1 ? fvus[1] / 8 : 0;
  return { fvu, aux, extra, chosen, gradient: Object.fromEntries(Object.entries(gradient).map(([name, values]) => [name, Float32Array.from(values)])) as unknown as Parameters };
}

const BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8; // PyTorch's

/** The parameters after an update by PyTorch's Adam, W_dec's rows brought back to unit norm. */
export function referenceUpdate(state: StepState, gradient: Parameters, learningRate: number): Pick<Parameters, "wEnc" | "bEnc" | "wDec" | "bDec"> {
  const { d, latents, steps } = state, t = steps + 1;
  const across = gradient.wDec.slice(), wDec = state.parameters.wDec;
  for (let f = 0; f < latents; f++) {
    const along = dot(gradient.wDec.subarray(f * d), wDec, f * d, d);
    for (let j = f * d; j < (f + 1) * d; j++) across[j] -= along * wDec[j];
  }
  const moved = (name: "wEnc" | "bEnc" | "wDec" | "bDec", slope: Float32Array): Float32Array => slope.map((g, i) => {
    const m = BETA1 * state.m[name][i] + (1 - BETA1) * g, v = BETA2 * state.v[name][i] + (1 - BETA2) * g * g;
    return state.parameters[name][i] - (learningRate * m / (1 - BETA1 ** t)) / (Math.sqrt(v / (1 - BETA2 ** t)) + EPSILON);
  });
  const out = { wEnc: moved("wEnc", gradient.wEnc), bEnc: moved("bEnc", gradient.bEnc), wDec: moved("wDec", across), bDec: moved("bDec", gradient.bDec) };
  for (let f = 0; f < latents; f++) {
    const norm = Math.sqrt(dot(out.wDec.subarray(f * d), out.wDec, f * d, d) + TINY);
    for (let j = f * d; j < (f + 1) * d; j++) out.wDec[j] /= norm;
  }
  return out;
}

/** Whether max|a − b| > tolerance·max|b|, or something is NaN. */
export function far(a: ArrayLike<number>, b: ArrayLike<number>, tolerance: number): boolean {
  let largest = 0, worst = 0;
  for (let i = 0; i < b.length; i++) {
    largest = Math.max(largest, Math.abs(b[i]));
    const difference = Math.abs(a[i] - b[i]);
    if (Number.isNaN(difference)) return true;
    worst = Math.max(worst, difference);
  }
  return worst > tolerance * largest;
}
