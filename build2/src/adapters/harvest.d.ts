import type { Document, Model, Progress, Store } from "../core/types";
export interface HarvestOptions {
    /** Places to read, in any of the three spellings and in any order; all in one pass. */
    hooks: string[];
    folder?: string;
    context?: number;
    batchTokens?: number;
    shardRows?: number;
    dropFirst?: boolean;
    dropNorm?: number | false;
    progress?: Progress;
    resume?: boolean;
}
/**
 * Runs a model over documents and keeps the activations of some hooks on disk, one row a token.
 *
 * A row is dropped from all hooks (rows of all hooks stay side by side) when it is an attention sink: the first position of a
 * context, or a norm ‖x‖ over `dropNorm` × the median norm of its hook, the median being that of the first shard's rows without
 * first positions. What was dropped is counted in the manifest; its tokens are kept.
 *
 * Documents are cut into contexts of `context` tokens and never joined. A shard holds consecutive contexts; inside it they are
 * sorted by length for right-padded batches and written in document order. Each shard is written aside, flushed and renamed, so
 * that a killed run goes on with what is whole and ends with the same bytes. A store that is already finished is opened; if only
 * spans or sides of the split have changed, its documents.jsonl is replaced. One process at a time works in a folder.
 *
 * A token that the tokenizer itself puts before a text (Llama's and Mistral's `<s>`) is read again before each later context of a
 * long document, as the model expects it there; it is the sink then, gives no row, and counts towards `context`.
 *
 * @throws HookError, OptionError, TextError, StoreError (the folder holds something else, or another process is at work in it),
 *   DiskError: before the model runs
 * @throws ModelError if an activation is not finite; InterruptError, whole shards kept
 * @see Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762: sinks
 */
export declare function harvest(model: Model, documents: Document[], options: HarvestOptions): Promise<Store>;
