import type { Random } from "../../src/core/random";
import type { PlainModel } from "./plain-model";
/**
 * Random small models of every family: the plain model, and the same as a checkpoint in the hub's form. What a family is, is written
 * here a second time, after its modelling file in transformers, so that src/core/families is held to it.
 */
export interface Checkpoint {
    config: Record<string, unknown>;
    plain: PlainModel;
    /** Puts config.json, model.safetensors and a tokenizer into the folder. */
    write(folder: string): void;
}
/** A random model of the family. */
export declare function randomCheckpoint(family: string, rng: Random): Checkpoint;
