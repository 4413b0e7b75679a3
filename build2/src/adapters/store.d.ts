import { type Range } from "../core/split";
import type { Store, StoreManifest } from "../core/types";
/**
 * An activation store on disk:
 *
 *   manifest.json        what it is and its shards; written last, so a folder with it is whole
 *   unfinished.json      the same while a run is under way or was stopped
 *   documents.jsonl      the documents, a line each
 *   tokens.safetensors   ids, start, end [tokens] of all documents, first [documents + 1]
 *   shard-00000.safetensors …  for each hook [rows, width]; document, position, token, start, end [rows]
 *   tokenizer.json, tokenizer_config.json  as the model's folder had them
 */
export declare const MANIFEST = "manifest.json";
export declare const UNFINISHED = "unfinished.json";
export declare const DOCUMENTS = "documents.jsonl";
export declare const TOKENS = "tokens.safetensors";
export declare const shardFile: (shard: number) => string;
/** What a shard says of each row beside its activations. */
export declare const ORIGIN_TENSORS: readonly ["document", "position", "token", "start", "end"];
/** A shard that is on disk, and how many of its tokens gave no row. */
export type ShardEntry = StoreManifest["shards"][number] & {
    dropped: {
        first: number;
        norm: number;
    };
};
/** The state of a run that has not come to its end: `null` for a shard still to be made. */
export interface Unfinished extends Omit<StoreManifest, "rows" | "dropped" | "shards"> {
    shards: (ShardEntry | null)[];
    /** Documents all of whose rows are on disk. */
    documentsKept: number;
}
/**
 * Opens a store that `harvest` has finished.
 * @throws StoreError if there is none, it is unfinished (with how far it is), of another version, or a file is missing or cut off
 */
export declare function openStore(path: string): Promise<Store>;
/**
 * Rows of one side of the train / held-out split, as ascending ranges. A document's own `split` decides; of the documents that
 * name none, every tenth is held out (the last one if there are fewer than ten; the last tenth of the rows if the corpus is
 * one document).
 */
export declare function rowsOf(store: Store, split: "train" | "heldout" | "all"): Range[];
/** @throws StoreError as openStore does */
export declare function readManifest(path: string): StoreManifest;
export type StoreState = {
    kind: "none";
} | {
    kind: "finished";
    manifest: StoreManifest;
} | {
    kind: "unfinished";
    manifest: Unfinished;
};
/** What a folder holds. @throws StoreError if its manifest cannot be understood */
export declare function readState(path: string): StoreState;
/** Bytes of a file, or -1. */
export declare const sizeOf: (path: string) => number;
/** Names in a folder that are a store's own. */
export declare function ownFiles(path: string): string[];
