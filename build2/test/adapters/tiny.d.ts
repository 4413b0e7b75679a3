import { type OpenOptions } from "../../src/adapters/model";
import type { Model } from "../../src/core/types";
/** The tiny models of test/oracle, and how tests open and compare them. */
export declare const ORACLE: string;
export interface Golden {
    prompts: {
        text: string;
        ids: number[];
    }[];
    generate: {
        plain: number[][];
        steered: number[][];
    };
}
export declare const golden: (name: string) => Golden;
/** Tensors of a safetensors file, as float32. */
export declare function tensorsOf(path: string): (name: string) => Float32Array;
/**
 * max|a − b| ≤ tolerance · max|b|. 1e-5 allows float32 sums over at most 96 terms in three blocks; 2e-6 is usual.
 * @returns the difference reached, relative
 */
export declare function close(found: Float32Array, wanted: ArrayLike<number>, what: string, tolerance?: number): number;
/** Shows that a test could fail: the numbers are not those of the other run. */
export declare function differs(a: Float32Array, b: Float32Array, what: string): void;
export declare function opened<T>(name: string, work: (model: Model) => Promise<T>, options?: OpenOptions): Promise<T>;
export declare function scratch(work: (folder: string) => Promise<void>): Promise<void>;
export declare const copyModel: (name: string, to: string) => void;
