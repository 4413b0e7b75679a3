/**
 * What changes from step to step: the learning rate, the auxiliary loss, and which latents count as dead. T is the number
 * of tokens of the run, a token being one row.
 */

/** Share of the steps at the end over which the learning rate falls to 0. */
const DECAY = 0.2;

/**
 * Rows of a batch: 1024 up to 4 million tokens, more beyond; short runs take smaller batches, so that at least 500
 * steps are made. A power of two, at least 32 (below 16,000 tokens that comes first).
 */
export function defaultBatch(tokens: number): number {
  const most = tokens <= 4e6 ? 1024 : tokens <= 30e6 ? 2048 : 4096;
  return Math.max(32, Math.min(most, 2 ** Math.floor(Math.log2(tokens / 500))));
}

/**
 * Adam's learning rate for all parameters: 0.045/√d · √(batch/1024) · min(1, √(10⁶/T)).
 * About 0.045 rad a step for a decoder row of unit norm; it does not depend on the number of latents.
 */
export const defaultLearningRate = (d: number, batch: number, tokens: number): number =>
  (0.045 / Math.sqrt(d)) * Math.sqrt(batch / 1024) * Math.min(1, Math.sqrt(1e6 / tokens));

/** Learning rate of step 0 … steps − 1: constant, then linear to 0 over the last fifth. */
export const learningRateAt = (step: number, steps: number, peak: number): number => peak * Math.min(1, (steps - step) / (DECAY * steps));

/** A latent is dead when it has not fired for this share of the run's tokens. */
export const defaultDeadAfter = (tokens: number): number => Math.ceil(0.05 * tokens);

/**
 * The auxiliary loss: the dead latents alone rebuild what the others missed.
 * @returns k, how many dead latents a row may use (0: no auxiliary loss), and the term's weight, which grows with their
 *   number
 */
export function auxiliary(dead: number, d: number, weight: number): { k: number; scale: number } {
  const half = Math.max(1, Math.floor(d / 2));
  return { k: weight > 0 ? Math.min(half, dead) : 0, scale: weight * Math.min(1, dead / half) };
}

/**
 * Remembers when each latent last fired.
 * @param since tokens since then, by latent: of a run that goes on
 */
export function firing(latents: number, deadAfter: number, since: Float64Array = new Float64Array(latents)) {
  const is = (f: number): boolean => since[f] > deadAfter;
  return {
    /** The counters themselves: what a checkpoint holds. */
    since,
    /** Counts a batch of `rows` tokens in which these latents were chosen; a value of 0 is silence. */
    count(rows: number, index: Int32Array, value: Float32Array): void {
      for (let f = 0; f < latents; f++) since[f] += rows;
      for (let i = 0; i < index.length; i++) if (value[i] > 0) since[index[i]] = 0;
    },
    /**
     * Counts several updates of `rows` tokens each, of which only the end is known.
     * @param silent [F]: updates since the latent last fired, counted within these; 0 fired in the last, `updates` in none
     */
    silent(rows: number, updates: number, silent: Int32Array): void {
      for (let f = 0; f < latents; f++) since[f] = silent[f] < updates ? silent[f] * rows : since[f] + updates * rows;
    },
    /** Latents silent for more than `deadAfter` tokens, ascending. */
    dead(): Int32Array {
      let n = 0;
      for (let f = 0; f < latents; f++) if (is(f)) n++;
      const out = new Int32Array(n);
      for (let f = 0, i = 0; f < latents; f++) if (is(f)) out[i++] = f;
      return out;
    },
  };
}

const FAR = 3; // times the first batch's FVU, or 1: the recipe's runs begin near 1 and stay below
const BEYOND = 1e4; // once is enough
const PATIENCE = 30; // steps: a batch with a few rows of extreme norm passes

export interface Watch {
  /** FVU of the first batch, at least 1; 0 before it. */
  first: number;
  /** Steps in succession that were far above it. */
  far: number;
}

/**
 * Tells a run that diverges: its loss is no number, its FVU is 10,000 times the first batch's (or 1), or for 30 steps in
 * succession 3 times.
 * @param was what a run that goes on had seen
 */
export function watching(was: Watch = { first: 0, far: 0 }) {
  const seen = { ...was };
  return {
    seen,
    /** Counts a step. @returns why the run must stop, if so, in words */
    count(fvu: number, loss: number): string | undefined {
      if (!Number.isFinite(loss)) return "found NaN or infinity";
      seen.first ||= Math.max(1, fvu);
      seen.far = fvu > FAR * seen.first ? seen.far + 1 : 0;
      if (fvu > BEYOND * seen.first) return `found an FVU of ${fvu.toPrecision(3)}`;
      return seen.far >= PATIENCE ? `found an FVU of ${fvu.toPrecision(3)}, far above 1 for ${PATIENCE} steps` : undefined;
    },
  };
}
