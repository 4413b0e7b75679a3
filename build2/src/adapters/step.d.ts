import { type Measures } from "../core/measure";
import type { Sparse } from "../core/types";
import { type Choice, type Parameters } from "./coder";
import { type Engine } from "./tensorflow";
/**
 * One training step of a top-k SAE with TensorFlow's stock kernels, on the k chosen latents only; plainstep.ts has its
 * reference. F latents, rows of width d, n rows a batch.
 *
 *   v = ReLU(TopK(W_enc·(x − b_dec) + b_enc))      e = W_decᵀ·v + b_dec − x
 *   loss = Σe²/Σ(x − x̄)² + s·Σ(W_decᵀ·v' + e)²/Σ(x − x̄)²
 *
 * v' are the largest k' = min(d/2, dead) among the dead latents, e in the second term is a constant, s = weight·min(1,
 * dead/(d/2)). Adam on all four; the part of W_dec's gradient along its rows is removed, and rows go back to unit norm
 * after each step.
 */
/**
 * Everything a step needs to go on, as plain arrays: any kind of step takes up where another left off. Rows of W_dec have
 * unit norm.
 */
export interface StepState {
    d: number;
    latents: number;
    k: number;
    /** Updates made so far. */
    steps: number;
    parameters: Parameters;
    m: Parameters;
    v: Parameters;
}
export interface UpdateOptions {
    learningRate: number;
    /** Latents that the auxiliary loss revives, ascending. */
    dead?: Int32Array;
    auxWeight?: number;
}
export interface Losses {
    /** Fraction of variance unexplained of the batch, before the update. */
    fvu: number;
    /** The auxiliary term as it enters the loss; 0 without dead latents. */
    aux: number;
    /** The chosen latents of the batch, in no particular order. */
    chosen: Sparse;
}
/** The seam: a fused or GPU step has the same members. Rows are in the units that the state was trained in. */
export interface Step {
    kind: "stock" | "plain";
    choice: Choice;
    /**
     * The k largest latents of each row, larger first, ties by smaller index; `only` restricts the choice to some latents
     * (ascending).
     */
    encodeTopK(x: Float32Array, options?: {
        k?: number;
        only?: Int32Array;
    }): Sparse;
    decode(sparse: Sparse): Float32Array;
    /** Gradients of the loss as autodiff gives them, before the projection; changes nothing. */
    gradients(x: Float32Array, options?: Omit<UpdateOptions, "learningRate">): Losses & {
        gradient: Parameters;
    };
    update(x: Float32Array, options: UpdateOptions): Losses;
    measure(x: Float32Array): Measures;
    state(): StepState;
    /** Frees the tensors. */
    dispose(): void;
}
export declare const zerosLike: ({ wEnc, bEnc, wDec, bDec }: Parameters) => Parameters;
/** A state with no steps made; rows of W_dec are brought to unit norm. */
export declare const freshState: (d: number, latents: number, k: number, parameters: Parameters) => StepState;
export declare const defaultChoice: (latents: number, k: number) => Choice;
/** Added to a squared norm before its root: a row of zeros stays one. */
export declare const TINY = 1e-30;
export declare const checkRows: (x: Float32Array, d: number) => number;
/** Only the chosen latents are decoded and get gradients, through kernels that every TensorFlow build has. */
export declare function stockStep(engine: Engine, initial: StepState, choice?: Choice): Step;
