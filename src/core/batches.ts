import type { Tokenizer, Tokens } from "./types";

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

/** How many tokens the tokenizer itself puts before a text, such as `<s>`: special, and of none of its characters. */
export function leadOf(tokenizer: Pick<Tokenizer, "isSpecial">, { ids, start, end }: Tokens): number {
  let lead = 0;
  while (lead < ids.length && tokenizer.isSpecial(ids[lead]) && start[lead] === 0 && end[lead] === 0) lead++;
  return lead;
}

/** Tokens that the model reads. */
const read = ({ lead, length }: Context): number => lead + length;

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
export function cutContexts(lengths: ArrayLike<number>, context: number, lead = 0): Context[] {
  if (context <= lead) throw new RangeError(`context: expected more than the ${lead} tokens that begin each, found ${context}`);
  const contexts: Context[] = [];
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

/** What a plan leaves out before the model runs: tokens of no context. */
export interface Unread {
  /** Of documents too long to be kept whole. */
  long: number;
  /** Of contexts that are all prompt. */
  prompt: number;
}

/**
 * Keeps documents whole: one context each. Of one longer than `context` the first tokens are read (`"cut"`) or none (`"skip"`).
 * @returns contexts in document order, and the tokens left out
 */
export function wholeContexts(lengths: ArrayLike<number>, context: number, tooLong: "cut" | "skip"): { contexts: Context[]; long: number } {
  const contexts: Context[] = [];
  let long = 0;
  for (let document = 0; document < lengths.length; document++) {
    const length = lengths[document] <= context ? lengths[document] : tooLong === "cut" ? context : 0;
    if (length) contexts.push({ document, from: 0, length, lead: 0 });
    long += lengths[document] - length;
  }
  return { contexts, long };
}

/**
 * Which shards a part of the work makes: every `of`-th from `index` on. Corpora are often sorted by source or length, so that
 * neighbours are alike: taken in turns, no part gets the long or the slow ones alone, and none gets more than one shard more.
 */
export const partOf = (shards: number, { index, of }: { index: number; of: number }): number[] =>
  Array.from({ length: Math.max(0, Math.ceil((shards - index) / of)) }, (_, i) => index + i * of);

/** Consecutive contexts, as many as fit into `shardTokens` tokens and at least one. */
export function planShards(contexts: Context[], shardTokens: number): ShardPlan[] {
  const shards: ShardPlan[] = [];
  for (let i = 0; i < contexts.length; i++) {
    const last = shards.at(-1);
    if (last && last.tokens + contexts[i].length <= shardTokens) {
      last.end = i + 1;
      last.tokens += contexts[i].length;
    } else {
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
export function planBatches(contexts: Context[], { first, end }: ShardPlan, batchTokens: number): number[][] {
  const order = Array.from({ length: end - first }, (_, i) => first + i);
  order.sort((a, b) => read(contexts[b]) - read(contexts[a]) || a - b);
  const batches: number[][] = [];
  for (const i of order) {
    const batch = batches.at(-1);
    if (batch && (batch.length + 1) * read(contexts[batch[0]]) <= batchTokens) batch.push(i);
    else batches.push([i]);
  }
  return batches;
}

/** At most eight of a shard's batches, spread evenly over their lengths: whose rows stand for all where a median is wanted. */
export const sampleOf = (batches: number[][]): number[][] => {
  const step = Math.ceil(batches.length / 8);
  return batches.filter((_, i) => i % step === 0);
};

/** Share of the padded tokens that are padding: what sorting by length is there to keep small. */
export function padding(contexts: Context[], batches: number[][]): number {
  let padded = 0;
  let tokens = 0;
  for (const batch of batches) {
    padded += batch.length * read(contexts[batch[0]]);
    for (const i of batch) tokens += read(contexts[i]);
  }
  return padded ? 1 - tokens / padded : 0;
}

/** Documents all of whose contexts lie in shards that are made. */
export function wholeDocuments(made: boolean[], plans: ShardPlan[], contexts: Context[], documents: number): number {
  const whole = new Uint8Array(documents).fill(1);
  plans.forEach(({ first, end }, shard) => {
    if (!made[shard]) for (let i = first; i < end; i++) whole[contexts[i].document] = 0;
  });
  return whole.reduce((sum, one) => sum + one, 0);
}
