import type { Document, GenerateOptions, Generation, Hook, Model } from "../core/types";
import type { Inner } from "./model";
/**
 * Continues texts: a pass over the prompts, then one token of each text a step, keys and values kept with the worker. Each text draws
 * from numbers of its own, so that company changes nothing.
 */
export declare function generation(model: Model, inner: Inner, prompts: (string | Document)[], options: GenerateOptions, find: (spelling: string, use?: "read" | "write") => Hook): Generation;
