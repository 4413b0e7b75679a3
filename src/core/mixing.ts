/** How well rows of different documents are mixed in the batches of a training. */

export interface Mixing {
  /** Share of the pairs of rows within a batch that come from one document. */
  share: number;
  /** The same of a full shuffle of all rows: Σ L(L − 1) / N(N − 1) for documents of L rows, N in all. */
  ideal: number;
}

/**
 * @param batches the document of each row, batch by batch
 * @param lengths rows of each document
 */
export function mixing(batches: Iterable<ArrayLike<number>>, lengths: ArrayLike<number>): Mixing {
  let same = 0, pairs = 0;
  const counts = new Map<number, number>();
  for (const batch of batches) {
    counts.clear();
    for (let i = 0; i < batch.length; i++) counts.set(batch[i], (counts.get(batch[i]) ?? 0) + 1);
    for (const count of counts.values()) same += count * (count - 1);
    pairs += batch.length * (batch.length - 1);
  }
  const rows = sum(lengths, (length) => length);
  return { share: pairs ? same / pairs : 0, ideal: rows > 1 ? sum(lengths, (length) => length * (length - 1)) / (rows * (rows - 1)) : 0 };
}

/**
 * The share that a buffer gives out of which rows are drawn at random, each making place for the next: rows of one context come in
 * together and stay for C draws on average, exponentially distributed, so that two of them come out at the same time with probability 1/2C: Σ L(L − 1) / 2CN
 * over the contexts, as many as in a full shuffle of 2C rows.
 * @param lengths rows of each context
 * @param capacity C, rows of the buffer, far above the length of a context and below half of all rows
 */
export function bufferShare(lengths: ArrayLike<number>, capacity: number): number {
  const rows = sum(lengths, (length) => length);
  return rows ? sum(lengths, (length) => length * (length - 1)) / (2 * capacity * rows) : 0;
}

const sum = (values: ArrayLike<number>, of: (value: number) => number): number => {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += of(values[i]);
  return total;
};
