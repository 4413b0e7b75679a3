import { type Choice } from "./coder";
import type { Engine } from "./tensorflow";
/**
 * What is faster on this machine, measured once and remembered: how the k largest latents are found, whether the encoder
 * product pays in bfloat16, how many rows are decoded at a time. All choices compute the same step; they differ in rounding
 * at most, which is why the one that was taken stands in the checkpoint.
 */
export interface Sizes {
    d: number;
    latents: number;
    k: number;
    batch: number;
}
/** Where choices are kept: $XDG_CACHE_HOME/saelab/step.json, by default in ~/.cache. */
export declare const choiceFile: () => string;
/** Names the machine as far as timings and rounding depend on it: products are cut by the number of threads. */
export declare const machine: ({ device, version }: Engine) => string;
/**
 * The remembered choice for these sizes, or a new one, which is then remembered. A cache that cannot be read or written is
 * done without.
 */
export declare function choiceFor(engine: Engine, sizes: Sizes, file?: string): Promise<Choice>;
/** Whether it is one that could have been chosen for these sizes: another version or a hand may have written it. */
export declare function isChoice(value: unknown, latents: number, k: number): value is Choice;
/**
 * Times the alternatives on random rows of these sizes: some tenths of a second for a small SAE, some seconds for a large
 * one.
 */
export declare function measureChoice(engine: Engine, { d, latents, k, batch }: Sizes): Choice;
