import type { Feed } from "../core/feeds";
import { type OnnxModel, type Value } from "../core/onnx";
import { type Edit } from "../core/splice";
/** Graphs → sessions on the worker: which are loaded, how their weights are held, how one with edits is run piece by piece. */
export type Holding = "auto" | "packed" | "in place";
/** A graph, cut at its edits, with a name for the session of each part. */
export type Prepared = {
    key: string;
    model: OnnxModel;
    kept: string[];
    edit?: Edit;
}[];
export declare const prepare: (key: string, model: OnnxModel) => Prepared;
export interface RunRequest {
    /** Called once a segment, with the inputs that it has. */
    feeds: (inputs: Value[]) => Record<string, Feed>;
    /** Outputs given back; the others that the graph has are left alone, or kept. */
    outputs: string[];
    /** Keys and values: under which number, which output becomes which input, and what an empty one looks like. */
    cache?: {
        id: number;
        pairs: {
            past: string;
            present: string;
            dims: number[];
            type?: "float32" | "float16";
        }[];
    };
    /** What the caller computes at the edit of this name: padded rows in, padded rows out. */
    edit?: (name: string, data: Float32Array, dims: number[]) => Promise<Float32Array>;
}
export interface Runtime {
    run(prepared: Prepared, request: RunRequest): Promise<Record<string, {
        data: Float32Array;
        dims: number[];
    }>>;
    forget(slot: number): void;
    /** Tables that the worker has, by name: how long, and for what. Emptied when the worker is lost. */
    tables: Map<string, string>;
    hold(bytes: number): "packed" | "in place";
    close(): Promise<void>;
}
/** Memory that can still be had, bytes: what the system calls available, or what a container leaves. */
export declare function availableMemory(): number;
/**
 * @param what for messages: "llama model /path"
 * @param half some weights are in half precision: in place they are widened in each run
 */
export declare function runtime(what: string, options: {
    threads: number;
    holding: Holding;
    memory?: number;
}): Runtime;
