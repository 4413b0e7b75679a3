import { type ByteSource } from "./safetensors";
import type { SaeWeights } from "./types";
/**
 * The sparsify layout of an SAE ↔ plain arrays.
 *
 *   cfg.json          d_in, num_latents, k, activation …
 *   sae.safetensors   encoder.weight [F, d], encoder.bias [F], W_dec [F, d], b_dec [d]
 *
 * ReLU comes before top-k, b_dec is always subtracted before encoding, and nothing is normalised on load.
 * @see sparsify 1.3, config.py and sparse_coder.py
 */
export declare const CFG = "cfg.json";
export declare const WEIGHTS = "sae.safetensors";
export interface Config {
    d: number;
    latents: number;
    k: number;
    /** What was ignored, in words. */
    warnings: string[];
}
/**
 * @param where path of the file, for messages
 * @throws CheckpointError when it is not a configuration, or is of an SAE with features that cannot be read
 */
export declare function parseConfig(text: string, where: string): Config;
/** Whether a cfg.json is of this layout, whatever its activation: sparsify counts latents by num_latents or expansion_factor. */
export declare function isSparsify(text: string): boolean;
/**
 * @param source bytes of sae.safetensors; half precision is widened exactly
 * @param where path of the file, for messages
 * @throws CheckpointError when tensors are missing, of other shapes than cfg.json says, or hold NaN or infinity;
 *   FormatError when it is no safetensors file
 */
export declare function readWeights(source: ByteSource, { d, latents, k }: Config, where: string): {
    weights: SaeWeights;
    warnings: string[];
};
/** cfg.json, as sparsify writes and reads it. */
export declare const configText: ({ d, latents, k }: SaeWeights) => string;
/** sae.safetensors in pieces, to be written one after the other. */
export declare const weightBytes: ({ d, latents, wEnc, bEnc, wDec, bDec }: SaeWeights) => Uint8Array[];
/** A little of everything that could be wrong with weights made in memory. @throws CheckpointError */
export declare function checkWeights({ d, latents, k, wEnc, bEnc, wDec, bDec }: SaeWeights, where: string): void;
