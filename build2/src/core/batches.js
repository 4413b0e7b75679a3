"use strict";
/**
 * How a corpus is put before a model: documents are cut into contexts, contexts are gathered into shards (the unit that a killed
 * run keeps), and inside a shard into batches. The plan depends on lengths and settings alone, so that a run that goes on makes
 * the same batches.
 */
Object.defineProperty(exports, "__esModule", { value: true });
exports.cutContexts = cutContexts;
exports.planShards = planShards;
exports.planBatches = planBatches;
exports.padding = padding;
exports.wholeDocuments = wholeDocuments;
/** Tokens that the model reads. */
const read = ({ lead, length }) => lead + length;
/**
 * Cuts each document into consecutive contexts of `context` tokens; the last one of a document may be shorter. Documents are not joined.
 * @param lengths tokens of each document
 * @param context longest context, in tokens
 * @param lead first tokens of a document that stand before its later contexts too: a beginning-of-text token
 * @returns contexts in document order; none for a document without tokens
 * @throws RangeError when there is no room for more than the lead
 */
function cutContexts(lengths, context, lead = 0) {
    if (context <= lead)
        throw new RangeError(`context: expected more than the ${lead} tokens that begin each, found ${context}`);
    const contexts = [];
    for (let document = 0; document < lengths.length; document++) {
        for (let from = 0; from < lengths[document];) {
            const before = from ? lead : 0;
            const length = Math.min(context - before, lengths[document] - from);
            contexts.push({ document, from, length, lead: before });
            from += length;
        }
    }
    return contexts;
}
/** Consecutive contexts, as many as fit into `shardTokens` tokens and at least one. */
function planShards(contexts, shardTokens) {
    const shards = [];
    for (let i = 0; i < contexts.length; i++) {
        const last = shards.at(-1);
        if (last && last.tokens + contexts[i].length <= shardTokens) {
            last.end = i + 1;
            last.tokens += contexts[i].length;
        }
        else {
            shards.push({ first: i, end: i + 1, tokens: contexts[i].length });
        }
    }
    return shards;
}
/**
 * Batches of a shard, for right padding: longest first, so that lengths inside a batch differ little and the memory peak comes at once.
 * A batch's padded size, texts × longest, stays within `batchTokens`; a context longer than that is a batch of its own.
 * @returns for each batch the indices of its contexts; together every context of the shard once
 */
function planBatches(contexts, { first, end }, batchTokens) {
    const order = Array.from({ length: end - first }, (_, i) => first + i);
    order.sort((a, b) => read(contexts[b]) - read(contexts[a]) || a - b);
    const batches = [];
    for (const i of order) {
        const batch = batches.at(-1);
        if (batch && (batch.length + 1) * read(contexts[batch[0]]) <= batchTokens)
            batch.push(i);
        else
            batches.push([i]);
    }
    return batches;
}
/** Share of the padded tokens that are padding: what sorting by length is there to keep small. */
function padding(contexts, batches) {
    let padded = 0;
    let tokens = 0;
    for (const batch of batches) {
        padded += batch.length * read(contexts[batch[0]]);
        for (const i of batch)
            tokens += read(contexts[i]);
    }
    return padded ? 1 - tokens / padded : 0;
}
/** Documents all of whose contexts lie in shards that are made. */
function wholeDocuments(made, plans, contexts, documents) {
    const whole = new Uint8Array(documents).fill(1);
    plans.forEach(({ first, end }, shard) => {
        if (!made[shard])
            for (let i = first; i < end; i++)
                whole[contexts[i].document] = 0;
    });
    return whole.reduce((sum, one) => sum + one, 0);
}
//# sourceMappingURL=batches.js.map