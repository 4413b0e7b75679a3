import type { Sae, Store } from "../../src/core/types";
/**
 * A store and an SAE made in memory, with known contents: every word is a token, and a row is the sum of the directions
 * of what is active there, plus noise. Latent 0 follows the behaviour "backtracking" whatever its words; latent 1 the
 * word " wait"; latent 2 the first tokens of a document; latent 3 the behaviour "deduction"; the rest are words. Latent
 * `latents − 1` never fires.
 */
export interface Synthetic {
    store: Store;
    sae: Sae;
}
export declare const words: string[];
/** Numbers in [0, 1) from a seed (a linear congruence: tests need no better). */
export declare function numbers(seed: number): () => number;
export declare function synthetic({ documents, sentences, length, d, latents, k, seed, }?: {
    d?: number | undefined;
    documents?: number | undefined;
    k?: number | undefined;
    latents?: number | undefined;
    length?: number | undefined;
    seed?: number | undefined;
    sentences?: number | undefined;
}): Synthetic;
