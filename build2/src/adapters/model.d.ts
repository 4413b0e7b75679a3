import type { Wanted } from "../core/build";
import { type Pass } from "../core/feeds";
import type { Model, Write } from "../core/types";
import { type Holding } from "./runtime";
import { type GraphSource } from "./source";
export interface OpenOptions {
    threads?: number;
    /**
     * auto: packed when the weights of a graph, in float32, take less than 2 GB and an eighth of the memory.
     * "packed" copies and reorders them, 0.5 to 13 % faster; "in place" reads them where they lie, so that they cost page cache only.
     */
    weights?: Holding;
}
/**
 * Opens a Hugging Face checkpoint folder: config.json, model.safetensors (or its shards with model.safetensors.index.json), tokenizer.json;
 * float32, bfloat16 or float16. Arithmetic is float32. Nothing is computed or copied yet: a graph is built, and its weights mapped, when it is first run.
 * @param folder path; a folder of the hub's cache (symbolic links) will do
 * @throws ModelError when the folder, a file, a field or a tensor is missing or not what it should be, or the family is unknown
 */
export declare function openModel(folder: string, options?: OpenOptions): Promise<Model>;
/** What a pass is asked for, beside what goes in. */
export interface Question extends Pick<Wanted, "hooks" | "last" | "cache" | "lens"> {
    writes?: Write[];
}
/** What generation and lenses use of a model, beside its public face. */
export interface Inner {
    source: GraphSource;
    pass(question: Question, pass: Pass, cache?: number): Promise<Record<string, Float32Array>>;
    check(batch: ArrayLike<number>[]): void;
    forget(cache: number): void;
    stops: Set<number>;
}
export declare function makeModel(name: string, folder: string, source: GraphSource, settings: {
    threads: number;
    holding: Holding;
}): Model;
