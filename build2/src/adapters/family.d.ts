import type { Range } from "../core/split";
import type { Sparse, Store } from "../core/types";
/**
 * A store and an SAE → features, a family of files in one folder:
 *
 *   manifest.json           what it is, of which rows, store and SAE; a folder with it is whole
 *   statistics.safetensors  of each latent: fired, mean, max [F]; histogram [F, 128] (bins of core/collect); entropy, distinct [F]; trigger, triggerMean [F, 5]
 *   examples.safetensors    offset [F + 1] → group, count, document, position, peak, goesOn [E] and start [E + 1] → tokens, values [T]
 *   names.json              text of every token met there (its bytes in base64) and names of the documents
 *   codes-00000.safetensors …  index, value [rows, k]: what the SAE made of each row, so that scores and contexts need no second encode
 *
 * It is made beside its place and moved there when it is whole.
 */
export declare const MANIFEST = "manifest.json";
export declare const codesFile: (shard: number) => string;
export interface FeaturesManifest {
    format: "saelab-features";
    version: 1;
    /** The store it was made from, as far as it decides the rows. */
    store: {
        path: string;
        model: string;
        texts: string;
        rows: number;
        width: number;
        settings: Record<string, unknown>;
    };
    sae: {
        sha256: string;
        hook: string;
        latents: number;
        k: number;
        d: number;
    };
    rows: number;
    /** Rows of the store that were read, in this order. */
    ranges: Range[];
    split: string;
    settings: {
        examples: number;
        context: number;
        perQuantile: number;
        random: number;
        seed: number;
    };
    shards: {
        file: string;
        rows: number;
    }[];
}
/** What decides the rows of a store at a hook, as JSON keeps it. */
export declare const storeFacts: ({ manifest: { model, texts, settings }, rows }: Store, width: number) => {
    model: string;
    texts: string;
    rows: number;
    width: number;
    settings: Record<string, unknown>;
};
/** Folders that calls of this process are filling. */
export declare const underWay: Set<string>;
/**
 * Removes what killed collections left beside a folder, and puts back a family that one of them had just moved aside to
 * replace it. What a living process is making is let be.
 */
export declare function tidy(folder: string): Promise<void>;
/** A file of tensors whose names, types and shapes are known beforehand. */
interface Tensors {
    ints(name: string, from?: number, to?: number): Int32Array;
    floats(name: string, from?: number, to?: number): Float32Array;
    /** Size of a tensor of one axis. */
    length(name: string): number;
    close(): void;
}
/** Range reads of the codes, across shards. @throws FormatError if one of them is not what the manifest says */
export declare function codesReader(folder: string, { shards, sae: { k } }: FeaturesManifest): {
    read(from: number, to: number): Sparse;
    close(): void;
};
interface Names {
    tokens: Record<number, string>;
    documents: Record<number, string>;
}
/** All files of a family, each held against the manifest. Nothing stays open when one of them is not as it should be. */
export declare function openFamily(path: string, manifest: FeaturesManifest): {
    statistics: {
        fired: Int32Array<ArrayBufferLike>;
        mean: Float32Array<ArrayBufferLike>;
        max: Float32Array<ArrayBufferLike>;
        histogram: Int32Array<ArrayBufferLike>;
        entropy: Float32Array<ArrayBufferLike>;
        distinct: Int32Array<ArrayBufferLike>;
        trigger: Int32Array<ArrayBufferLike>;
        triggerMean: Float32Array<ArrayBufferLike>;
    };
    names: Names;
    codes: {
        read(from: number, to: number): Sparse;
        close(): void;
    };
    examples: Tensors;
};
/** @throws StoreError if the rows of this store are not those that were collected */
export declare function sameStore(store: Store, { store: was, sae: { hook } }: FeaturesManifest, path: string): void;
export declare function readManifest(path: string): FeaturesManifest;
export {};
