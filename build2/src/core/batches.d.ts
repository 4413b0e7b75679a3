/**
 * How a corpus is put before a model: documents are cut into contexts, contexts are gathered into shards (the unit that a killed
 * run keeps), and inside a shard into batches. The plan depends on lengths and settings alone, so that a run that goes on makes
 * the same batches.
 */
/** A piece of a document that the model reads at one go. */
export interface Context {
    document: number;
    /** Position of its first token in the document. */
    from: number;
    length: number;
    /** How many of the document's first tokens the model reads again before these. */
    lead: number;
}
/** Contexts first … end (exclusive), `tokens` in all. */
export interface ShardPlan {
    first: number;
    end: number;
    tokens: number;
}
/**
 * Cuts each document into consecutive contexts of `context` tokens; the last one of a document may be shorter. Documents are not joined.
 * @param lengths tokens of each document
 * @param context longest context, in tokens
 * @param lead first tokens of a document that stand before its later contexts too: a beginning-of-text token
 * @returns contexts in document order; none for a document without tokens
 * @throws RangeError when there is no room for more than the lead
 */
export declare function cutContexts(lengths: ArrayLike<number>, context: number, lead?: number): Context[];
/** Consecutive contexts, as many as fit into `shardTokens` tokens and at least one. */
export declare function planShards(contexts: Context[], shardTokens: number): ShardPlan[];
/**
 * Batches of a shard, for right padding: longest first, so that lengths inside a batch differ little and the memory peak comes at once.
 * A batch's padded size, texts × longest, stays within `batchTokens`; a context longer than that is a batch of its own.
 * @returns for each batch the indices of its contexts; together every context of the shard once
 */
export declare function planBatches(contexts: Context[], { first, end }: ShardPlan, batchTokens: number): number[][];
/** Share of the padded tokens that are padding: what sorting by length is there to keep small. */
export declare function padding(contexts: Context[], batches: number[][]): number;
/** Documents all of whose contexts lie in shards that are made. */
export declare function wholeDocuments(made: boolean[], plans: ShardPlan[], contexts: Context[], documents: number): number;
