import { InterruptError } from "../core/errors";
import type { Progress, Sae, Store, TrainingPoint } from "../core/types";
import { type Choice } from "./coder";
/**
 * The training loop. Rows are scaled to mean square 1 a coordinate for training, and the weights are folded back at the
 * end, so that the SAE reads rows in the model's own units.
 */
export interface TrainOptions {
    /** Latents of the SAE: 8 times the hook's width is a first look; memory and time grow with it. */
    latents: number;
    /** Latents that may be active in a row. */
    k: number;
    /** Hook of the store whose rows are read; the only one by default. */
    hook?: string;
    /**
     * Rows that training sees: one pass over the rows of training documents by default; more are further passes, each in an
     * order of its own.
     */
    tokens?: number;
    batch?: number;
    learningRate?: number;
    deadAfter?: number;
    auxK?: number;
    seed?: number;
    step?: "auto" | "stock" | "plain";
    device?: "auto" | "cpu" | "cuda";
    /**
     * What the stock step may choose; measured on this machine by default. Take another run's `card.choice` to repeat its
     * bits.
     */
    choice?: Choice;
    /** Folder to save to, at the end or when interrupted. */
    folder?: string;
    progress?: Progress;
    /** Receives each point of the curve when it is there. */
    onPoint?: (point: TrainingPoint) => void;
}
/** What an interrupted training throws: the SAE as far as it is. */
export interface TrainInterrupt extends InterruptError {
    sae: Sae;
}
/**
 * Trains a top-k SAE on the rows of a store's training documents; those held out are not read.
 * @returns the SAE in the model's own units, with its card and curve; saved when a folder is given
 * @throws OptionError before any work when an option is out of range or memory does not suffice; StoreError when rows are
 *   not numbers or all equal; TrainError when the loss is no number any more; InterruptError, with the SAE so far as its
 *   `sae`; EngineError
 */
export declare function trainSae(store: Store, options: TrainOptions): Promise<Sae>;
/**
 * Bytes this process may still take: what the machine has left, and what is left of a container's limit. Files that the
 * kernel keeps in memory count as free, as they give way: process.availableMemory() takes them off the limit, so that
 * nothing would be left after a long harvest.
 * @param found free: of the machine, page cache included; total; limit: of the container, 0 or beyond `total` for none;
 *   own: resident memory of this process
 */
export declare function freeMemory(found?: {
    free: number;
    total: number;
    limit: number;
    own: number;
}): number;
