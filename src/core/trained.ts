import { OptionError } from "./errors";
import type { Activation, SaeWeights, TrainKind } from "./types";

/**
 * What is trained, as plain arrays, and the SAE that it makes. F latents, rows of width d in and dOut out. Training units:
 * those of the rows that the step sees, which the loop has scaled.
 */

/** Gradients and Adam's moments have the same shapes. */
export interface Parameters {
  wEnc: Float32Array; // [F, d]
  bEnc: Float32Array; // [F]
  wDec: Float32Array; // [F, dOut]
  bDec: Float32Array; // [dOut]
  wSkip?: Float32Array; // [dOut, d]: ŷ has W_skip·x besides
  /** Of JumpReLU, [F]: θ = exp of it. */
  logThreshold?: Float32Array;
}

export type Parameter = keyof Parameters;

/** Those a state has, in a fixed order. */
export const partsOf = (parameters: Parameters): Parameter[] =>
  (["wEnc", "bEnc", "wDec", "bDec", "wSkip", "logThreshold"] as const).filter((name) => parameters[name]);

/**
 * Everything a step needs to go on: any kind of step takes up where another left off, and the same step goes on to the same
 * bits. Rows of W_dec have unit norm.
 */
export interface StepState {
  kind: TrainKind;
  d: number;
  dOut: number;
  latents: number;
  /** Latents a row: of batch-top-k on average, of JumpReLU as its loss wishes. */
  k: number;
  /** Of matryoshka: how many latents each level has, ascending; the last is all of them. */
  widths?: number[];
  /** y are another place's rows, and b_dec is not subtracted before encoding. */
  transcoder: boolean;
  /** Updates made so far. */
  steps: number;
  /** Of batch-top-k and matryoshka, from the first update on: what inference lets through. float64. */
  threshold?: number;
  parameters: Parameters;
  m: Parameters;
  v: Parameters;
}

/** A state without its arrays: what a step may hold on to. */
export type StateSizes = Omit<StepState, "parameters" | "m" | "v">;

export const sizesOf = ({ parameters: _, m: _m, v: _v, ...sizes }: StepState): StateSizes => sizes;

/** How many numbers each has. */
export const partLengths = ({ d, dOut, latents }: StateSizes): Record<Parameter, number> =>
  ({ wEnc: latents * d, bEnc: latents, wDec: latents * dOut, bDec: dOut, wSkip: dOut * d, logThreshold: latents });

/** Parameters whose arrays are made when they are asked for, and not kept. */
export const madeOnDemand = (parts: { [name in Parameter]?: () => Float32Array }): Parameters =>
  Object.defineProperties({}, Object.fromEntries(Object.entries(parts).map(([name, get]) => [name, { enumerable: true, get }]))) as Parameters;

export const zerosLike = (parameters: Parameters): Parameters =>
  Object.fromEntries(partsOf(parameters).map((name) => [name, new Float32Array(parameters[name]!.length)])) as unknown as Parameters;

/**
 * z with P(N(0, 1) > z) ≈ share, for shares below a fifth: z² = 2l − ln(4πl), l = ln(1/share). Of isotropic rows of mean square 1
 * that share has p > z·‖W_enc row‖.
 */
function normalTail(share: number): number {
  const l = Math.max(1, -Math.log(share));
  return Math.sqrt(Math.max(0.1, 2 * l - Math.log(4 * Math.PI * l)));
}

export interface FreshOptions {
  kind?: TrainKind; // "topk"
  dOut?: number; // d
  widths?: number[]; // of matryoshka
  transcoder?: boolean; // false
}

/**
 * A state with no steps made; rows of W_dec are brought to unit norm. A skip connection is one where `parameters` has W_skip;
 * zeros are where it begins. JumpReLU's thresholds, unless they are given, are those that k latents would pass if rows were
 * isotropic, of mean square 1: `startThresholds` of jumprelu.ts sets them so that k do.
 * @throws OptionError when sizes do not fit each other or the kind
 */
export function freshState(
  d: number, latents: number, k: number, parameters: Parameters, { kind = "topk", dOut = d, widths, transcoder = false }: FreshOptions = {},
): StepState {
  const fail = (name: string, expected: string, found: unknown, remedy: string): never => {
    throw new OptionError(`${name}: expected ${expected}, found ${JSON.stringify(found)}. ${remedy}`);
  };
  if (!(k >= 1 && k <= latents)) fail("k", `1 to ${latents} (latents)`, k, "Take a smaller k or more latents.");
  if (kind === "groupmax" && latents % k) fail("k", `a divisor of ${latents} (latents), as group-max has one latent of each of k groups`, k, "Choose another.");
  if (kind === "matryoshka") {
    const ascending = widths?.length && widths.every((width, i) => Number.isInteger(width) && width > (i ? widths[i - 1] : 0));
    if (!ascending || widths.at(-1) !== latents) fail("widths", `ascending numbers of latents, the last ${latents}`, widths, "They are matryoshka's levels.");
  } else if (widths) fail("widths", `none, as a ${kind} SAE has no levels`, widths, 'Leave them out, or take kind "matryoshka".');
  if (!transcoder && dOut !== d) fail("dOut", `${d}, as an SAE rebuilds the rows that it reads`, dOut, "Set transcoder for rows of another place.");
  const { wEnc, logThreshold } = parameters;
  const tail = normalTail(k / latents);
  const thresholds = kind !== "jumprelu" ? {} : {
    logThreshold: logThreshold ?? Float32Array.from({ length: latents }, (_, f) => Math.log(tail * norm(wEnc, f * d, d))),
  };
  const all: Parameters = { ...parameters, ...thresholds, wDec: normalised(parameters.wDec, dOut) };
  if (kind !== "jumprelu") delete all.logThreshold;
  const lengths = partLengths({ kind, d, dOut, latents, k, transcoder, steps: 0 });
  for (const name of partsOf(all)) {
    if (all[name]!.length !== lengths[name]) fail(name, `${lengths[name]} numbers`, all[name]!.length, "It does not fit d, dOut and latents.");
  }
  return {
    kind, d, dOut, latents, k, ...(widths ? { widths: widths.slice() } : {}), transcoder, steps: 0,
    parameters: all, m: zerosLike(all), v: zerosLike(all),
  };
}

/** Added to a squared norm before its root: a row of zeros stays one. */
export const TINY = 1e-30;

function norm(rows: Float32Array, from: number, d: number): number {
  let sum = TINY;
  for (let j = from; j < from + d; j++) sum += rows[j] * rows[j];
  return Math.sqrt(sum);
}

function normalised(rows: Float32Array, d: number): Float32Array {
  const out = new Float32Array(rows.length);
  for (let at = 0; at < rows.length; at += d) {
    const scale = 1 / norm(rows, at, d);
    for (let j = at; j < at + d; j++) out[j] = rows[j] * scale;
  }
  return out;
}

/** float64 where the rows were scaled in float64: biases then come back to the last bit. */
export type Scale = Float32Array | Float64Array;

const all = (scale: Scale, value: number): boolean => (scale as Float64Array).every((one) => one === value);

/**
 * The SAE of a state, its rows' scales folded back: rows x in the model's units were trained as x∘scaleIn, targets as y∘scaleOut.
 *
 *   W_enc·diag(s_in)/c   b_enc/c   θ/c   c·W_dec·diag(1/s_out)   b_dec/s_out   diag(1/s_out)·W_skip·diag(s_in)
 *
 * c = 1/√mean(1/s_out²) keeps W_dec's rows near unit norm: of an SAE with one scale s it is s, so that only biases and
 * thresholds change. Multi-top-k is a top-k SAE, batch-top-k and matryoshka have their running threshold (0 before the first
 * update).
 * @param scaleIn [d]; scaleOut [dOut], the same of an SAE, which rebuilds what it reads
 * @throws OptionError when a scale is not above 0 or does not fit
 */
export function trainedWeights(state: StepState, scaleIn: Scale, scaleOut: Scale): SaeWeights {
  const { d, dOut, latents, transcoder, parameters } = state;
  for (const [name, scale, width] of [["scaleIn", scaleIn, d], ["scaleOut", scaleOut, dOut]] as const) {
    if (scale.length !== width || !(scale as Float64Array).every((s) => s > 0 && Number.isFinite(s))) {
      throw new OptionError(`${name}: expected ${width} numbers above 0, found ${scale.length}, the least ${Math.min(...scale)}. They are what the rows were multiplied by.`);
    }
  }
  if (!transcoder && scaleIn.some((s, j) => s !== scaleOut[j])) {
    throw new OptionError("scaleOut: expected scaleIn's numbers, as an SAE rebuilds the rows that it reads, found others. Scale both alike.");
  }
  let mean = 0;
  for (const s of scaleOut) mean += 1 / (s * s) / dOut;
  const c = all(scaleOut, scaleOut[0]) ? scaleOut[0] : 1 / Math.sqrt(mean);
  const { wEnc, bEnc, wDec, bDec, wSkip } = parameters;
  /** Each row times a factor a column; itself where all are 1. */
  const columns = (rows: Float32Array, factor: Scale): Float32Array =>
    all(factor, 1) ? rows : rows.map((value, i) => value * factor[i % factor.length]);
  return {
    d, latents,
    ...(dOut === d ? {} : { dOut }),
    ...(transcoder ? { transcoder: true, subtractBDec: false } : {}),
    ...activationOf(state, c),
    wEnc: columns(wEnc, scaleIn.map((s) => s / c)),
    bEnc: bEnc.map((b) => b / c),
    wDec: columns(wDec, scaleOut.map((s) => c / s)),
    bDec: bDec.map((b, j) => b / scaleOut[j]),
    ...(wSkip ? { wSkip: wSkip.map((w, i) => (w * scaleIn[i % d]) / scaleOut[Math.floor(i / d)]) } : {}),
  };
}

/** What the kind leaves for inference, activations divided by c. */
function activationOf({ kind, latents, k, threshold = 0, parameters }: StepState, c: number): Activation & { k: number } {
  switch (kind) {
    case "topk":
    case "multitopk": return { k };
    case "groupmax": return { k, kind: "groupmax" };
    case "batchtopk":
    case "matryoshka": return { k: latents, kind: "batchtopk", threshold: threshold / c };
    case "jumprelu": return { k: latents, kind: "jumprelu", threshold: parameters.logThreshold!.map((t) => Math.exp(t) / c) };
  }
}

/** The SAE of a state that reads rows in training units. */
export const trainingWeights = (state: StepState): SaeWeights =>
  trainedWeights(state, new Float32Array(state.d).fill(1), new Float32Array(state.dOut).fill(1));
