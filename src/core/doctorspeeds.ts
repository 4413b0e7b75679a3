import type { Device, Missing } from "./device";

/** What the doctor measures, each on its own device; what could not be measured says why. */

export type Measured<T> = ({ there: true } & T) | Missing;

export interface Speeds {
  /** FLOP/s of [n, n]·[n, n] by the engine that trains. */
  matmul: Measured<{ device: Device; name: string; threads: number; n: number; float32: number; bfloat16?: number }>;
  training: Measured<TrainingSpeed>;
  harvest: Measured<HarvestSpeed>;
}

export interface TrainingSpeed extends Meanwhile {
  device: Device;
  /** Of the step that a training of these sizes would take. */
  step: string;
  d: number;
  latents: number;
  k: number;
  batch: number;
  tokensPerSecond: number;
  /** A step of n rows takes perStep + n · perRow seconds: from two batch sizes. */
  perStep: number;
  perRow: number;
}

export interface HarvestSpeed extends Meanwhile {
  device: Device;
  /** "tiny-reasoner", or the shape of a model with random weights. */
  model: string;
  parameters: number;
  hook: string;
  tokens: number;
  tokensPerSecond: number;
}

export interface Meanwhile {
  /** Threads that other programs kept busy while this was measured, on average: it would be faster without. */
  others: number;
}
