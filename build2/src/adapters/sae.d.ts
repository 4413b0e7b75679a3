import { type Measures } from "../core/measure";
import type { Progress, Sae, SaeWeights, Store, TrainingPoint } from "../core/types";
import { type Shown } from "./show";
export interface SaeDetails {
    hook?: string;
    card?: Record<string, unknown>;
    curve?: TrainingPoint[];
}
/**
 * An SAE over weights, which must not change afterwards. TensorFlow is loaded when it is first needed.
 * @throws CheckpointError when the arrays do not fit each other
 */
export declare function saeOf(weights: SaeWeights, { hook, card, curve }?: SaeDetails): Sae;
/**
 * A folder may be saved to when it holds no cfg.json, or one of a checkpoint of this layout, which is then replaced.
 * @throws CheckpointError when its cfg.json is something else's
 */
export declare function checkTarget(folder: string): void;
export interface LoadOptions {
    /**
     * Hook whose rows the SAE reads; wins over what the checkpoint says. Of a folder with one checkpoint a hook, it picks
     * one.
     */
    hook?: string;
}
/**
 * Reads a top-k SAE in the sparsify layout: cfg.json and sae.safetensors, as sparsify and `sae.save` write them.
 * @param source the checkpoint's folder, or one that holds a checkpoint a hook (`layers.10.mlp/`)
 * @throws CheckpointError saying which file and field, what was expected and what was found
 */
export declare function loadSae(source: string, { hook }?: LoadOptions): Promise<Sae>;
export interface EvaluateOptions {
    split?: "heldout" | "train" | "all";
    /** Hook whose rows are read; by default the SAE's own where the store has it, else the store's only one. */
    hook?: string;
    /** At most so many rows, from the beginning of the split; all by default. */
    rows?: number;
    progress?: Progress;
}
export type Evaluation = Measures & {
    hook: string;
};
/**
 * Holds an SAE against the rows of a store.
 * @returns FVU, explained variance, L0, dead and dense shares; see Measures
 * @throws OptionError when the SAE does not fit the hook's rows or the split has none; StoreError when a row is not finite;
 *   InterruptError
 */
export declare function evaluate(sae: Sae, store: Store, options?: EvaluateOptions): Promise<Evaluation & Shown>;
