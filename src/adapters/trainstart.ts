import { createHash } from "node:crypto";
import { StoreError } from "../core/errors";
import { random, type Random } from "../core/random";
import { madeOnDemand, TINY, type Parameters, type StepState } from "../core/trained";
import { startThresholds } from "./jumprelu";
import { collectGarbage } from "./memory";
import { kernels, type Engine, type Id } from "./tensorflow";
import type { Plan } from "./trainplan";
import { sideBySide } from "./trainunits";

/** Where training begins: the scale of the rows, and the first weights. */

export const SAMPLE = 32768; // rows from which mean, scale and covariance are taken; as many as there are latents, if those are more
const MAX_COVARIANCE = 2048; // width up to which rows are whitened: the eigenvectors take d³
const EIGEN_FLOOR = 1e-6; // of the largest eigenvalue: directions without variance stay finite
const THRESHOLD_ROWS = 4096; // from which JumpReLU's first thresholds are taken
const WHITENED = 4096; // rows whitened at a time
const LARGE = 2 ** 25; // bytes of rows that are taken in parts

/** Rows of one hook [n, width], centred in place, with what was taken off and what they are trained at. */
export interface Sampled {
  width: number;
  mean: Float64Array;
  /** Rows are trained at s·x, s = √(width / mean‖x − μ‖²): mean square 1 a coordinate. */
  scale: number;
  centred: Float32Array;
}

/**
 * Mean and scale of rows; the rows are centred where they lie.
 * @param rows [n, width] in the model's own units
 * @throws StoreError when rows are not finite or all equal
 */
export function sampled(rows: Float32Array, width: number, where: string): Sampled {
  const n = rows.length / width;
  const mean = new Float64Array(width);
  for (let i = 0; i < rows.length; i++) mean[i % width] += rows[i] / n;
  let squares = 0;
  for (let i = 0; i < rows.length; i++) {
    rows[i] -= mean[i % width];
    squares += rows[i] * rows[i];
  }
  if (!Number.isFinite(squares)) {
    throw new StoreError(
      `${where}: expected finite activations, found NaN or infinity among the rows. ` +
      "Harvest again; if it stays, the model overflows at this hook.");
  }
  if (!(squares > 1e-12 * n)) {
    throw new StoreError(`${where}: expected rows that differ, found equal ones. Harvest other texts or another hook.`);
  }
  return { width, mean, scale: Math.sqrt((width * n) / squares), centred: rows };
}

/**
 * The first weights, for rows in training units. b_dec = s·μ of what is rebuilt; W_dec: random rows of it, centred and whitened
 * by Σ^(−½), to unit norm; W_enc: the same rows of what is read, /√3; b_enc = 0. Equal rows count once: twins would stay twins
 * for ever. A transcoder's b_enc = −W_enc·s·μ, which centres its rows as subtracting b_dec does an SAE's; W_skip = 0. Several
 * hooks are one row side by side. W_enc of an SAE and the moments are made when they are first asked for, and not kept.
 * @param reads what is read; rebuilds what is rebuilt, the same of an SAE: samples of the same tokens
 * @returns how many latents begin at a row of the sample, besides; the others at random directions
 */
export function initialState(engine: Engine, plan: Plan, reads: Sampled[], rebuilds: Sampled[]): { fromRows: number; initial: StepState } {
  const { d, dOut, latents, k, kind, widths, skip, initSeed } = plan;
  const transcoder = plan.targets !== undefined;
  const rng = random(initSeed, 1);
  const x = joined(reads);
  const chosen = Math.max(d, dOut) <= MAX_COVARIANCE ? differentRows(x, d, latents, rng) : new Uint32Array(0);
  const first = (rows: Float32Array, width: number): Float32Array => {
    const out = whitened(engine, rows, width, chosen, latents);
    for (let i = chosen.length * width; i < out.length; i++) out[i] = rng.normal(); // isotropic in whitened coordinates
    normalise(out, width);
    return out;
  };
  const encoder = first(x, d);
  const wDec = transcoder ? first(joined(rebuilds), dOut) : encoder;
  const bEnc = new Float32Array(latents);
  if (transcoder) {
    const mean = meanOf(reads);
    for (let f = 0; f < latents; f++) {
      let dot = 0;
      for (let j = 0; j < d; j++) dot += encoder[f * d + j] * mean[j];
      bEnc[f] = -dot / Math.sqrt(3);
    }
  }
  const zeros = (count: number) => (): Float32Array => {
    collectGarbage(4 * count); // the parameters' arrays are tensors by now
    return new Float32Array(count);
  };
  const moments = (): Parameters => madeOnDemand({
    wEnc: zeros(latents * d), wDec: zeros(latents * dOut), bEnc: zeros(latents), bDec: zeros(dOut),
    ...(skip ? { wSkip: zeros(dOut * d) } : {}), ...(kind === "jumprelu" ? { logThreshold: zeros(latents) } : {}),
  });
  const parameters = madeOnDemand({
    wEnc: () => encoder.map((w) => w / Math.sqrt(3)), bEnc: () => bEnc, wDec: () => wDec, bDec: () => meanOf(rebuilds),
    ...(skip ? { wSkip: zeros(dOut * d) } : {}),
  });
  const initial: StepState = { kind, d, dOut, latents, k, ...(widths ? { widths } : {}), transcoder, steps: 0, parameters, m: moments(), v: moments() };
  return { fromRows: chosen.length, initial: kind === "jumprelu" ? startThresholds(engine, initial, trained(x.subarray(0, THRESHOLD_ROWS * d), reads)) : initial };
}

/** Centred rows as the step sees them: with their mean again, scaled. */
function trained(centred: Float32Array, sample: Sampled[]): Float32Array {
  const mean = meanOf(sample), d = mean.length;
  const scale = sample.length === 1 ? sample[0].scale : 1; // several are scaled already
  return centred.map((value, i) => value * scale + mean[i % d]);
}

/** s·μ of places side by side. */
const meanOf = (sample: Sampled[]): Float32Array => Float32Array.from(sample.flatMap(({ mean, scale }) => Array.from(mean, (m) => m * scale)));

/** Centred rows of several hooks side by side, each at its own scale; those of one as they are. */
const joined = (sample: Sampled[]): Float32Array => sample.length === 1 ? sample[0].centred : sideBySide(
  sample.map(({ centred, scale }) => centred.map((value) => value * scale)), sample.map(({ width }) => width));

function normalise(rows: Float32Array, d: number): void {
  for (let at = 0; at < rows.length; at += d) {
    let sum = TINY;
    for (let j = at; j < at + d; j++) sum += rows[j] * rows[j];
    const scale = 1 / Math.sqrt(sum);
    for (let j = at; j < at + d; j++) rows[j] *= scale;
  }
}

/** Places of up to `count` rows of [n, d] in random order, none equal to another or zero. */
function differentRows(rows: Float32Array, d: number, count: number, rng: Random): Uint32Array {
  const n = rows.length / d;
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const seen = new Set<string>();
  const out = new Uint32Array(Math.min(n, count));
  for (let left = n; left > 0 && seen.size < out.length; left--) { // Fisher–Yates, as far as needed
    const at = rng.below(left);
    const place = order[at];
    order[at] = order[left - 1];
    const row = rows.subarray(place * d, (place + 1) * d);
    const key = createHash("sha1").update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength)).digest("base64");
    if (seen.has(key) || row.every((value) => value === 0)) continue;
    out[seen.size] = place;
    seen.add(key);
  }
  return out.subarray(0, seen.size);
}

/** The rows at these places of [n, d], times Σ^(−½), in an array of [latents, d]; it is 0 behind them. */
function whitened(engine: Engine, rows: Float32Array, d: number, places: Uint32Array, latents: number): Float32Array {
  const out = new Float32Array(latents * d);
  if (!places.length) return out;
  const K = kernels(engine);
  engine.tidy(() => {
    const inverseRoot = engine.tidy(() => {
      const n = rows.length / d;
      let sum: Id | undefined;
      for (let from = 0, size = 4 * rows.length < LARGE ? n : WHITENED; from < n; from += size) { // TensorFlow keeps what it allocates
        sum = engine.tidy(() => {
          const x = engine.tensor(rows.subarray(from * d, Math.min(n, from + size) * d), [Math.min(n - from, size), d]);
          const part = K.matMul(x, x, { transposeA: true });
          return sum === undefined ? part : K.add(sum, part);
        });
      }
      const covariance = K.mul(sum!, K.scalar(1 / n));
      const [values, vectors] = K.eigen(covariance);
      const eigenvalues = engine.floats(values);
      const floor = EIGEN_FLOOR * eigenvalues[d - 1];
      const roots = engine.tensor(eigenvalues.map((value) => 1 / Math.sqrt(Math.max(value, floor))), [d]);
      return K.matMul(K.mul(vectors, roots), vectors, { transposeB: true });
    });
    for (let from = 0; from < places.length; from += WHITENED) {
      const part = places.subarray(from, from + WHITENED);
      const these = new Float32Array(part.length * d);
      part.forEach((place, i) => these.set(rows.subarray(place * d, (place + 1) * d), i * d));
      out.set(engine.tidy(() => engine.floats(K.matMul(engine.tensor(these, [part.length, d]), inverseRoot))), from * d);
      collectGarbage(4 * these.length);
    }
  });
  return out;
}
