import { StoreError } from "../core/errors";
import { permutation, sample, type Random } from "../core/random";
import type { Range } from "../core/split";
import type { Store } from "../core/types";

/** Rows of a store, in order for measuring and in random order for training. Ranges are those of `rowsOf`. */

export const rowCount = (ranges: Range[]): number => ranges.reduce((sum, { from, to }) => sum + to - from, 0);

/** The first `total` rows of the ranges in pieces of `size` rows, [≤ size, d] each; short ranges are joined. */
export function* chunks(store: Store, hook: string, ranges: Range[], size: number, total = rowCount(ranges)): Generator<Float32Array> {
  const d = store.width(hook);
  let out = new Float32Array(Math.min(size, total) * d), filled = 0, left = total;
  for (const { from, to } of ranges) {
    for (let at = from; at < to && left > 0;) {
      const n = Math.min(to - at, out.length / d - filled);
      out.set(store.read(hook, at, at + n), filled * d);
      at += n;
      filled += n;
      left -= n;
      if (filled * d < out.length) continue;
      yield out;
      out = new Float32Array(Math.min(size, left) * d);
      filled = 0;
    }
  }
}

/** @throws StoreError when a number among rows that were read is NaN or infinity */
export function requireFinite(rows: Float32Array, store: Store, hook: string): void {
  for (let i = 0; i < rows.length; i++) {
    if (Number.isFinite(rows[i])) continue;
    throw new StoreError(
      `${store.path}: ${hook}: expected finite activations, found ${rows[i]} in a row. ` +
      "Harvest again; if it stays, the model overflows at this hook.");
  }
}

/** Rows at these places of the ranges (ascending, counted over all ranges), [places, d]. */
export function rowsAt(store: Store, hook: string, ranges: Range[], places: Uint32Array): Float32Array {
  const d = store.width(hook);
  const out = new Float32Array(places.length * d);
  let range = 0, before = 0; // rows of the ranges that came before
  for (let i = 0; i < places.length;) {
    while (places[i] >= before + ranges[range].to - ranges[range].from) before += ranges[range].to - ranges[range++].from;
    const from = ranges[range].from + places[i] - before;
    let n = 1; // neighbours are read together
    while (i + n < places.length && places[i + n] === places[i] + n && from + n < ranges[range].to) n++;
    out.set(store.read(hook, from, from + n), i * d);
    i += n;
  }
  return out;
}

/** `count` rows drawn without repetition, in the store's order; all when there are not more. */
export const sampleRows = (store: Store, hook: string, ranges: Range[], count: number, rng: Random): Float32Array =>
  rowsAt(store, hook, ranges, sample(rowCount(ranges), count, rng));

/**
 * What of the rows is held in memory while they are shuffled. Fixed, as the order depends on it: the same seed must give
 * the same order anywhere.
 */
export const SHUFFLE_BYTES = 2 ** 31;

const BLOCK = 256; // neighbouring rows read at once: some documents, some hundred kilobytes

export interface Shuffled {
  /**
   * "memory": all rows are held, each pass in an order of its own. "blocks": blocks in random order go through a buffer
   * that is drawn from.
   */
  kind: "memory" | "blocks";
  /** Fills a batch [n, d] with the next rows, times `scale`. */
  next(batch: Float32Array): void;
}

/**
 * Endless rows in random order, pass after pass.
 * @throws StoreError from `next` when a row holds NaN or infinity
 */
export function shuffled(store: Store, hook: string, ranges: Range[], scale: number, rng: Random, bytes = SHUFFLE_BYTES): Shuffled {
  const d = store.width(hook);
  const total = rowCount(ranges);
  const scaled = (rows: Float32Array): Float32Array => {
    for (let i = 0; i < rows.length; i++) rows[i] *= scale;
    requireFinite(rows, store, hook);
    return rows;
  };
  if (total * d * 4 <= bytes) {
    const all = new Float32Array(total * d);
    let at = 0;
    for (const rows of chunks(store, hook, ranges, Math.max(1, Math.floor(2 ** 22 / d)))) {
      all.set(scaled(rows), at);
      at += rows.length;
    }
    let order = permutation(total, rng), next = 0;
    return {
      kind: "memory",
      next(batch) {
        for (let to = 0; to < batch.length; to += d) {
          if (next === total) {
            order = permutation(total, rng);
            next = 0;
          }
          const from = order[next++] * d;
          batch.set(all.subarray(from, from + d), to);
        }
      },
    };
  }
  const starts: Range[] = [];
  for (const { from, to } of ranges) for (let at = from; at < to; at += BLOCK) starts.push({ from: at, to: Math.min(to, at + BLOCK) });
  const capacity = Math.max(BLOCK, Math.floor(bytes / (4 * d)));
  const pool = new Float32Array(capacity * d);
  let held = 0, order = permutation(starts.length, rng), next = 0;
  const fill = (): void => {
    while (held + BLOCK <= capacity) {
      if (next === order.length) {
        order = permutation(starts.length, rng);
        next = 0;
      }
      const { from, to } = starts[order[next++]];
      pool.set(scaled(store.read(hook, from, to)), held * d);
      held += to - from;
    }
  };
  return {
    kind: "blocks",
    next(batch) {
      for (let to = 0; to < batch.length; to += d) {
        fill();
        const from = rng.below(held) * d;
        batch.set(pool.subarray(from, from + d), to);
        held--;
        pool.copyWithin(from, held * d, (held + 1) * d);
      }
    },
  };
}
