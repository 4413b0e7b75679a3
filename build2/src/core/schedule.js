"use strict";
/**
 * What changes from step to step: the learning rate, the auxiliary loss, and which latents count as dead. T is the number
 * of tokens of the run, a token being one row.
 */
Object.defineProperty(exports, "__esModule", { value: true });
exports.defaultDeadAfter = exports.learningRateAt = exports.defaultLearningRate = void 0;
exports.defaultBatch = defaultBatch;
exports.auxiliary = auxiliary;
exports.firing = firing;
/** Share of the steps at the end over which the learning rate falls to 0. */
const DECAY = 0.2;
/**
 * Rows of a batch: 1024 up to 4 million tokens, more beyond; short runs take smaller batches, so that at least 500
 * steps are made. A power of two, at least 32 (below 16,000 tokens that comes first).
 */
function defaultBatch(tokens) {
    const most = tokens <= 4e6 ? 1024 : tokens <= 30e6 ? 2048 : 4096;
    return Math.max(32, Math.min(most, 2 ** Math.floor(Math.log2(tokens / 500))));
}
/**
 * Adam's learning rate for all parameters: 0.045/√d · √(batch/1024) · min(1, √(10⁶/T)).
 * About 0.045 rad a step for a decoder row of unit norm; it does not depend on the number of latents.
 */
const defaultLearningRate = (d, batch, tokens) => (0.045 / Math.sqrt(d)) * Math.sqrt(batch / 1024) * Math.min(1, Math.sqrt(1e6 / tokens));
exports.defaultLearningRate = defaultLearningRate;
/** Learning rate of step 0 … steps − 1: constant, then linear to 0 over the last fifth. */
const learningRateAt = (step, steps, peak) => peak * Math.min(1, (steps - step) / (DECAY * steps));
exports.learningRateAt = learningRateAt;
/** A latent is dead when it has not fired for this share of the run's tokens. */
const defaultDeadAfter = (tokens) => Math.ceil(0.05 * tokens);
exports.defaultDeadAfter = defaultDeadAfter;
/**
 * The auxiliary loss: the dead latents alone rebuild what the others missed.
 * @returns k, how many dead latents a row may use (0: no auxiliary loss), and the term's weight, which grows with their
 *   number
 */
function auxiliary(dead, d, weight) {
    const half = Math.max(1, Math.floor(d / 2));
    return { k: weight > 0 ? Math.min(half, dead) : 0, scale: weight * Math.min(1, dead / half) };
}
/** Remembers when each latent last fired. */
function firing(latents, deadAfter) {
    const since = new Float64Array(latents);
    const is = (f) => since[f] > deadAfter;
    return {
        /** Counts a batch of `rows` tokens in which these latents were chosen; a value of 0 is silence. */
        count(rows, index, value) {
            for (let f = 0; f < latents; f++)
                since[f] += rows;
            for (let i = 0; i < index.length; i++)
                if (value[i] > 0)
                    since[index[i]] = 0;
        },
        /** Latents silent for more than `deadAfter` tokens, ascending. */
        dead() {
            let n = 0;
            for (let f = 0; f < latents; f++)
                if (is(f))
                    n++;
            const out = new Int32Array(n);
            for (let f = 0, i = 0; f < latents; f++)
                if (is(f))
                    out[i++] = f;
            return out;
        },
    };
}
//# sourceMappingURL=schedule.js.map