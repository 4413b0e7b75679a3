import type { Progress, Sae, Store } from "../core/types";
import { type Features } from "./features";
export interface CollectOptions {
    examples?: number;
    context?: number;
    perQuantile?: number;
    random?: number;
    split?: "all" | "train" | "heldout";
    hook?: string;
    folder?: string;
    seed?: number;
    progress?: Progress;
}
/**
 * Encodes every row once and keeps, for each latent: on how many rows it fires, its mean, maximum and
 * histogram (codes are written down, and read again a block of latents at a time), the contexts of its strongest peaks (near-duplicates folded) and of some random firings of each quarter of
 * its activations, with its activation at every token of them.
 * @param store what `harvest` made
 * @throws OptionError, StoreError, DiskError before the work starts; InterruptError, when asked to stop: nothing is kept
 *   then
 */
export declare function collect(store: Store, sae: Sae, options?: CollectOptions): Promise<Features>;
