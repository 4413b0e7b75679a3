/**
 * What changes from step to step: the learning rate, the auxiliary loss, and which latents count as dead. T is the number
 * of tokens of the run, a token being one row.
 */
/**
 * Rows of a batch: 1024 up to 4 million tokens, more beyond; short runs take smaller batches, so that at least 500
 * steps are made. A power of two, at least 32 (below 16,000 tokens that comes first).
 */
export declare function defaultBatch(tokens: number): number;
/**
 * Adam's learning rate for all parameters: 0.045/√d · √(batch/1024) · min(1, √(10⁶/T)).
 * About 0.045 rad a step for a decoder row of unit norm; it does not depend on the number of latents.
 */
export declare const defaultLearningRate: (d: number, batch: number, tokens: number) => number;
/** Learning rate of step 0 … steps − 1: constant, then linear to 0 over the last fifth. */
export declare const learningRateAt: (step: number, steps: number, peak: number) => number;
/** A latent is dead when it has not fired for this share of the run's tokens. */
export declare const defaultDeadAfter: (tokens: number) => number;
/**
 * The auxiliary loss: the dead latents alone rebuild what the others missed.
 * @returns k, how many dead latents a row may use (0: no auxiliary loss), and the term's weight, which grows with their
 *   number
 */
export declare function auxiliary(dead: number, d: number, weight: number): {
    k: number;
    scale: number;
};
/** Remembers when each latent last fired. */
export declare function firing(latents: number, deadAfter: number): {
    /** Counts a batch of `rows` tokens in which these latents were chosen; a value of 0 is silence. */
    count(rows: number, index: Int32Array, value: Float32Array): void;
    /** Latents silent for more than `deadAfter` tokens, ascending. */
    dead(): Int32Array;
};
