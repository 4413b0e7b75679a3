import type { Measures } from "../core/measure";
import type { Parameter, Parameters, StateSizes, StepState } from "../core/trained";
import type { Sparse } from "../core/types";
import type { Choice } from "./coder";

export { freshState, zerosLike, type FreshOptions, type StepState } from "../core/trained";
export { defaultChoice, stockStep } from "./stockstep";

/**
 * One training step of an SAE or a transcoder: what every road offers. F latents, n rows a batch: x [n, d] is read, y [n, dOut]
 * rebuilt (y = x of an SAE).
 *
 *   p = W_enc·(x − b_dec) + b_enc      v = the chosen of them, by kind      ŷ = W_decᵀ·v + b_dec (+ W_skip·x)
 *   loss = Σ‖ŷ − y‖²/V + AuxK (auxk.ts)      V = Σ‖y − ȳ‖² of the batch
 *
 * kinds.ts says what each kind chooses and adds to the loss; a transcoder does not subtract b_dec. Adam on all of them; the part
 * of W_dec's gradient along its rows is removed, and rows go back to unit norm after each step. stockstep.ts, plainstep.ts (the
 * reference), fusedstep.ts and webgpustep.ts compute it.
 */
export interface UpdateOptions {
  learningRate: number;
  /** Latents that the auxiliary loss revives, ascending. */
  dead?: Int32Array;
  auxWeight?: number; // 1: recipe
  /** Rows of the other place [n, dOut], of a transcoder. */
  target?: Float32Array;
  l0Weight?: number; // of JumpReLU: L0_WEIGHT of jumprelu.ts
}

/** Before the update; their sum fvu + aux + extra is the loss. */
export interface Losses {
  /** Fraction of variance unexplained of the batch, by the latents that the kind chose. */
  fvu: number;
  /** The auxiliary term as it enters the loss; 0 without dead latents. */
  aux: number;
  /** What the kind adds: FVU(4k)/8 of multi-top-k, the levels' mean FVU less `fvu` of matryoshka, JumpReLU's L0 loss; else 0. */
  extra: number;
  /** Mean number of latents above 0 in a row. */
  l0: number;
  /** The chosen latents of the batch, in no particular order: those that count as having fired. */
  chosen: Sparse;
}

/** At once, or from a device that is read asynchronously, later: await it. */
export type MaybeLater<T> = T | Promise<T>;

/** What updates gave. */
export interface Taken {
  /** Of each update, in order. */
  losses: Omit<Losses, "chosen">[];
  /** Of each latent [F] the updates since it last fired, counted within these: 0 fired in the last one, losses.length in none. */
  silent: Int32Array;
}

/** The seam of all roads. Rows are in the units that the state was trained in. */
export interface Step {
  /** What computes it; "fused" where at least choice, decoding and update are fused ops. JumpReLU is "stock" or "plain" always. */
  readonly kind: "fused" | "stock" | "plain" | "webgpu";
  readonly choice: Choice;
  /**
   * Updates between two readings of what they gave: 1 where reading costs nothing. A run is stopped or kept at a multiple of it,
   * as which latents count as dead is known there.
   */
  readonly stride: number;
  /**
   * Rows encoded at a time, Infinity for all: the pre-activations are [rows, F]. The result stays what it is but for rounding, as
   * nothing else of an update is as large. To be set between updates; the plain step, a reference, has no use for it.
   */
  rows: number;
  /**
   * The active latents of rows as the SAE has them in use, thresholds in place of a choice over the batch: larger first, ties by
   * smaller index. With `k` or `only` the k largest instead, of all latents or some (ascending), whatever the kind.
   */
  encodeTopK(x: Float32Array, options?: { k?: number; only?: Int32Array }): MaybeLater<Sparse>;
  /** Without a skip connection's part. */
  decode(sparse: Sparse): MaybeLater<Float32Array>;
  /** Gradients of the loss as autodiff gives them, before the projection; changes nothing. */
  gradients(x: Float32Array, options?: Omit<UpdateOptions, "learningRate">): MaybeLater<Losses & { gradient: Parameters }>;
  /**
   * An update whose losses are read at once.
   * @throws OptionError where a target is missing or does not fit; RangeError of a step that is read every `stride` updates
   */
  update(x: Float32Array, options: UpdateOptions): Losses;
  /**
   * Begins an update; x and the target must not change until it is taken.
   * @throws as update; MemoryError, where `intact` says whether the state is as before this update
   */
  send(x: Float32Array, options: UpdateOptions): void;
  /** Waits for all updates that were sent since the last call, and gives what they gave. Rejects as send throws. */
  taken(): Promise<Taken>;
  /** Of the SAE as it is in use, held against `target` [n, dOut]; x by default. */
  measure(x: Float32Array, target?: Float32Array): MaybeLater<Measures>;
  /** Sizes, updates made so far (also those that were sent) and threshold. */
  sizes(): StateSizes;
  state(): MaybeLater<StepState>;
  /**
   * The same, each array read when it is asked for and not kept where a device can be read so: memory for one of them is enough.
   * Of use until the next update.
   */
  live(): MaybeLater<StepState>;
  /** Numbers from … to of an array of the state, where a part can be read for less than the whole. */
  part?(set: "parameters" | "m" | "v", name: Parameter, from: number, to: number): MaybeLater<Float32Array>;
  /** Frees what only an update needs: the moments. Parameters stay. */
  settle(): void;
  /** Frees the tensors. */
  dispose(): void;
}

/** A step that is read at once: those of TensorFlow. */
export interface StepNow extends Step {
  encodeTopK(x: Float32Array, options?: { k?: number; only?: Int32Array }): Sparse;
  decode(sparse: Sparse): Float32Array;
  gradients(x: Float32Array, options?: Omit<UpdateOptions, "learningRate">): Losses & { gradient: Parameters };
  measure(x: Float32Array, target?: Float32Array): Measures;
  state(): StepState;
  live(): StepState;
  part?(set: "parameters" | "m" | "v", name: Parameter, from: number, to: number): Float32Array;
}
