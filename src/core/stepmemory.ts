import type { Device } from "./device";
import type { TrainKind } from "./types";

/** Bytes that a training step needs for its state and its work, by its kind. F latents, rows of width d read and dOut rebuilt, n rows a batch. */

export interface SaeShape {
  d: number;
  latents: number;
  k: number;
  kind?: TrainKind; // "topk"
  dOut?: number; // d
  transcoder?: boolean; // false
  skip?: boolean; // false
  widths?: number[]; // of matryoshka
}

/** One SAE as it is to be trained. */
export interface RunShape extends SaeShape {
  batch: number;
  device: Device;
  /** "auto" on the CPU: fused where the fused ops are there, else stock; the measurement that chooses is counted too. */
  step: "fused" | "stock" | "plain" | "webgpu" | "auto";
  /** Whether the fused ops are there, where that is known; else whichever needs more is counted. */
  fusedOps?: boolean;
  moments?: "f32" | "bf16"; // f32
  /** Rows encoded at a time: all. */
  rows?: number;
  auxK?: number; // 1
  /** Latents that the auxiliary loss revives at once: a quarter. */
  dead?: number;
}

export const F32 = 4;
const DEAD = 0.25; // of the latents: as many as an auxiliary loss is expected to revive at once

export interface Sizes extends Required<Pick<RunShape, "d" | "dOut" | "latents" | "k" | "kind" | "batch" | "rows" | "auxK" | "transcoder">> {
  /** F·(d + dOut): numbers of the two matrices. */
  P: number;
  /** Numbers of biases, thresholds and a skip connection. */
  small: number;
  columns: number;
  levels: number;
  dead: number;
}

export function sizesOf({ d, dOut = d, latents, k, kind = "topk", transcoder = false, batch, rows = batch, auxK = 1, dead = Math.ceil(DEAD * latents), skip, widths }: RunShape): Sizes {
  const byBatch = kind === "batchtopk" || kind === "matryoshka";
  return {
    d, dOut, latents, k, kind, transcoder, batch, rows: Math.min(rows, batch), auxK, P: latents * (d + dOut), dead: auxK > 0 ? dead : 0,
    small: latents * (kind === "jumprelu" ? 2 : 1) + dOut + (skip ? d * dOut : 0),
    columns: Math.min(latents, kind === "multitopk" ? 4 * k : byBatch ? 2 * k : k),
    levels: kind === "multitopk" ? 2 : kind === "matryoshka" ? widths?.length ?? 5 : 1,
  };
}

/** What a state is made of; a device may pad it. */
export function stateOf({ P, small, latents, d, dOut }: Sizes, step: RunShape["step"], moments: RunShape["moments"]): { parameters: number; moments: number } {
  const whole = step === "webgpu" ? 16 * latents * (fours(d) + fours(dOut)) : F32 * P; // rows padded to fours
  const parameters = whole + F32 * small;
  return { parameters, moments: step === "fused" && moments === "bf16" ? whole + 2 * F32 * small : 2 * parameters };
}

const fours = (count: number): number => Math.ceil(count / 4);

interface Need { what: string; bytes: number }

/** What a step needs besides, by what it is for. */
export function workingOf(own: Sizes, step: RunShape["step"]): Need[] {
  const { P, d, dOut, latents, batch, rows, kind, columns, levels, dead } = own;
  const pre = F32 * rows * latents;
  const common: Need[] = [
    // Rows as they are read and rebuilt, their errors, the chosen pairs with their lists.
    { what: "a batch and its chosen latents", bytes: F32 * batch * (3 * d + (2 + levels) * dOut + 12 * columns) },
    // It is dense: values and gradients [rows, dead], rows of the dead and their gradients.
    { what: "the auxiliary loss", bytes: F32 * dead * (6.5 * rows + 3.5 * (d + dOut)) },
  ];
  switch (step) {
    // Gradients are used up while they are in the cache; but for group-max, pre-activations are never whole.
    case "fused": return [...common, { what: "pre-activations", bytes: kind === "groupmax" ? 2 * pre : F32 * batch * (4 * columns + 400) }];
    // Gradients, their projection and the normalised rows are whole; TensorFlow keeps more, where pieces do not join again.
    case "stock": return [...common, { what: "gradients", bytes: 4.5 * F32 * P }, { what: "pre-activations", bytes: (kind === "jumprelu" ? 2.5 : 1.25) * pre }];
    // TF.js keeps every intermediate tensor of a step.
    case "plain": return [{ what: "gradients and intermediate tensors", bytes: 19 * F32 * P }, { what: "pre-activations and masks", bytes: 22 * F32 * batch * latents }];
    case "webgpu": return onWebGpu(own);
    default: throw new RangeError(`step: expected one that computes, found ${step}`);
  }
}

const WEBGPU_PRE = 2 ** 28; // bytes of pre-activations at a time, of itself

/** The buffers of adapters/webgpupass.ts and webgpuaux.ts; sparse gradients are never whole. */
function onWebGpu({ d, dOut, latents, batch, rows, columns, levels, dead, transcoder }: Sizes): Need[] {
  const [d4, D4] = [fours(d), fours(dOut)], spare = Math.min(latents, Math.ceil(1.25 * dead));
  const piece = (width: number): number => Math.max(1, Math.min(batch, rows, Math.floor(WEBGPU_PRE / (F32 * width))));
  return [
    { what: "a batch and its chosen latents", bytes: 16 * batch * ((transcoder ? d4 + D4 : 2 * d4) + levels * D4) + 32 * batch * columns + F32 * batch * (levels + 2) },
    { what: "pre-activations", bytes: 16 * fours(latents) * piece(latents) },
    { what: "the auxiliary loss", bytes: spare && 16 * spare * (d4 + D4) + piece(spare) * (2 * F32 * spare + 16 * D4) + 12 * spare },
    { what: "lists of latents and commands", bytes: 32 * latents + 16 * d4 * Math.ceil(latents / 512) + 2 ** 16 },
  ];
}
