import { createHash } from "node:crypto";
import { OptionError, StoreError } from "../core/errors";
import { permutation, random, sample, type Random } from "../core/random";
import { intervalOf, type Range } from "../core/split";
import type { Store } from "../core/types";

/** Rows of a store, in order for measuring and in random order for training. Ranges are those of `rowsOf`. */

/**
 * Where a source is: plain numbers and words, and arrays. An array may be the source's own memory: write it down before the next
 * `next`. A source that is made with a state may take its arrays over.
 */
export interface SourceState {
  json: Record<string, unknown>;
  arrays: Record<string, Float32Array | Int32Array>;
}

/** Endless rows in random order for training: of a store ({@link storeRows}), or of a model while it runs (modelRows). */
export interface RowSource {
  /** "memory": all rows are held. "blocks": blocks of a store go through a pool. "model": a running model's rows go through a buffer. */
  kind: "memory" | "blocks" | "model";
  hooks: string[];
  widths: number[];
  /** Different rows there are, where that is known. */
  rows?: number;
  /** The next n rows of each hook, [n, width], of the same n tokens; fresh arrays, in the model's own units, finite. */
  next(n: number): Float32Array[] | Promise<Float32Array[]>;
  /** Index of the document of each row that `next` gave last, [n]. */
  documents(): Int32Array;
  /** `count` different rows of each hook, fewer where there are not so many; does not move on. */
  sample(count: number, rng: Random): Float32Array[] | Promise<Float32Array[]>;
  /** After the rows given so far: a source made alike with { state } goes on with the same rows, bit for bit. */
  state(): SourceState;
  /** For the card. */
  describe(): Record<string, unknown>;
  /** @param done whether nobody will go on from a state; true */
  close(done?: boolean): void | Promise<void>;
}

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

/**
 * @param first number of the first of these rows in the store, where they are neighbours
 * @throws StoreError when a number among rows that were read is NaN or infinity
 */
export function requireFinite(rows: Float32Array, store: Store, hook: string, first?: number): void {
  for (let i = 0; i < rows.length; i++) {
    if (Number.isFinite(rows[i])) continue;
    const row = first === undefined ? "a row" : `row ${first + Math.floor(i / store.width(hook))}`;
    throw new StoreError(
      `${store.path}: ${hook}: expected finite activations, found ${rows[i]} in ${row}. ` +
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

export interface StoreRowsOptions {
  bytes?: number; // SHUFFLE_BYTES: of all hooks together; the order depends on it
  state?: SourceState; // of a source of the same store, hooks, ranges, seed and bytes
}

/**
 * Rows of a store in random order, pass after pass; several hooks give rows of the same tokens. What fits into `bytes` is held
 * ("memory": each pass in an order of its own). Of more, blocks of 256 neighbours in random order go through a pool of that size,
 * out of which rows are drawn ("blocks"). The state is a count: random numbers are drawn again up to it, and of the rows only those
 * are read that are in the pool then.
 * @throws StoreError when a row that is read holds NaN or infinity, or the state is of other rows; OptionError when there are no rows
 */
export function storeRows(store: Store, hooks: string[], ranges: Range[], seed: number, { bytes = SHUFFLE_BYTES, state }: StoreRowsOptions = {}): RowSource {
  const names = hooks.map((hook) => store.hook(hook));
  const total = rowCount(ranges);
  if (!names.length || !total) throw new OptionError(`${store.path}: expected at least one hook and one row, found ${names.length} and ${total}. Name a hook, or harvest more text.`);
  const widths = names.map((hook) => store.width(hook));
  const { model, texts } = store.manifest;
  const identity = {
    model: model.sha256, texts: texts.sha256, hooks: names, rows: total,
    ranges: createHash("sha256").update(JSON.stringify(ranges)).digest("hex").slice(0, 16), seed, bytes,
  };
  if (state) requireSame(`${store.path}: rows`, state.json, identity);
  const shuffle = shuffleOf(store, names, ranges, random(seed, 2), bytes, (state?.json.drawn as number | undefined) ?? 0);
  let last: Uint32Array = new Uint32Array(0);
  let firstRows: Int32Array | undefined;
  return {
    kind: shuffle.kind, hooks: names, widths, rows: total,
    next(n) {
      const { x, rows } = shuffle.next(n);
      last = rows;
      return x;
    },
    documents: () => documentsOf((firstRows ??= store.documentRows()), last),
    sample(count, rng) {
      const places = sample(total, count, rng);
      return names.map((hook) => rowsAt(store, hook, ranges, places));
    },
    state: () => ({ json: { ...identity, drawn: shuffle.drawn() }, arrays: {} }),
    describe: () => ({ kind: shuffle.kind, rows: total, ...(shuffle.kind === "blocks" && { poolRows: shuffle.capacity }) }),
    close() {},
  };
}

/** @throws StoreError that names what differs between a state and the source that is to go on from it */
export function requireSame(what: string, found: Record<string, unknown>, wanted: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(wanted)) {
    const [is, want] = [JSON.stringify(found[name]), JSON.stringify(value)];
    if (is === want) continue;
    throw new StoreError(
      `${what}: expected a state of the same rows, found another: ${name} is ${is ?? "not there"}, asked for was ${want}. ` +
      "Go on with the options of the run that was stopped, or begin anew.");
  }
}

/** The document of each row: the last whose first row is not behind it. */
const documentsOf = (firstRows: Int32Array, rows: Uint32Array): Int32Array => Int32Array.from(rows, (row) => intervalOf(firstRows, row));

interface Shuffle {
  kind: "memory" | "blocks";
  /** Rows of the pool. */
  capacity: number;
  /** The next n rows of each hook, and their numbers in the store. */
  next(n: number): { x: Float32Array[]; rows: Uint32Array };
  /** How many were drawn so far. */
  drawn(): number;
}

/** @param begun rows that were drawn before */
function shuffleOf(store: Store, hooks: string[], ranges: Range[], rng: Random, bytes: number, begun: number): Shuffle {
  const widths = hooks.map((hook) => store.width(hook));
  const total = rowCount(ranges);
  const rowBytes = 4 * widths.reduce((a, b) => a + b, 0);
  const shuffle = total * rowBytes <= bytes ? fromMemory : fromBlocks;
  let drawn = begun;
  const { kind, capacity, take } = shuffle({ store, hooks, widths, ranges, rng, capacity: Math.max(BLOCK, Math.floor(bytes / rowBytes)) }, begun);
  return {
    kind, capacity,
    next(n) {
      const x = widths.map((width) => new Float32Array(n * width));
      const rows = new Uint32Array(n);
      for (let i = 0; i < n; i++) rows[i] = take(x, i);
      drawn += n;
      return { x, rows };
    },
    drawn: () => drawn,
  };
}

interface Shuffling {
  store: Store;
  hooks: string[];
  widths: number[];
  ranges: Range[];
  rng: Random;
  capacity: number;
}

/** Puts the next row of each hook at place i of `x`, and says its number in the store. */
type Take = (x: Float32Array[], i: number) => number;

const copyRow = (from: Float32Array, row: number, to: Float32Array, i: number, width: number): void =>
  to.set(from.subarray(row * width, (row + 1) * width), i * width);

/** All rows are held; each pass visits each once, in an order of its own. */
function fromMemory({ store, hooks, widths, ranges, rng }: Shuffling, begun: number): { kind: "memory"; capacity: number; take: Take } {
  const total = rowCount(ranges);
  const numbers = new Uint32Array(total);
  const held = hooks.map((hook, h) => {
    const all = new Float32Array(total * widths[h]);
    const size = Math.max(1, Math.floor(2 ** 22 / widths[h]));
    let at = 0;
    for (const { from, to } of ranges) {
      for (let row = from; row < to; row += size) {
        const rows = store.read(hook, row, Math.min(to, row + size));
        requireFinite(rows, store, hook, row);
        all.set(rows, at * widths[h]);
        for (let i = 0; i < rows.length / widths[h]; i++) numbers[at++] = row + i;
      }
    }
    return all;
  });
  let order = permutation(total, rng), next = begun;
  for (; next > total; next -= total) order = permutation(total, rng);
  return {
    kind: "memory",
    capacity: total,
    take(x, i) {
      if (next === total) {
        order = permutation(total, rng);
        next = 0;
      }
      const place = order[next++];
      for (let h = 0; h < x.length; h++) copyRow(held[h], place, x[h], i, widths[h]);
      return numbers[place];
    },
  };
}

/** Blocks in random order go through a pool, kept full; whichever row is drawn leaves it. */
function fromBlocks({ store, hooks, widths, ranges, rng, capacity }: Shuffling, begun: number): { kind: "blocks"; capacity: number; take: Take } {
  const blocks: Range[] = [];
  for (const { from, to } of ranges) for (let at = from; at < to; at += BLOCK) blocks.push({ from: at, to: Math.min(to, at + BLOCK) });
  const numbers = new Uint32Array(capacity); // of the pool's rows, in the store
  let order = permutation(blocks.length, rng), next = 0, held = 0;
  const fill = (read: (block: Range, at: number) => void): void => {
    while (held + BLOCK <= capacity) {
      if (next === order.length) {
        order = permutation(blocks.length, rng);
        next = 0;
      }
      const block = blocks[order[next++]];
      read(block, held);
      for (let row = block.from; row < block.to; row++) numbers[held++] = row;
    }
  };
  for (let i = 0; i < begun; i++) { // what was drawn before: the same random numbers, without the rows
    if (held + BLOCK <= capacity) fill(() => {});
    const slot = rng.below(held--);
    numbers[slot] = numbers[held];
  }
  const pools = widths.map((width) => new Float32Array(capacity * width));
  readPool(store, hooks, pools, numbers.subarray(0, held));
  const read = ({ from, to }: Range, at: number): void => hooks.forEach((hook, h) => {
    const rows = store.read(hook, from, to);
    requireFinite(rows, store, hook, from);
    pools[h].set(rows, at * widths[h]);
  });
  return {
    kind: "blocks",
    capacity,
    take(x, i) {
      if (held + BLOCK <= capacity) fill(read);
      const slot = rng.below(held--);
      const row = numbers[slot];
      numbers[slot] = numbers[held];
      for (let h = 0; h < x.length; h++) {
        copyRow(pools[h], slot, x[h], i, widths[h]);
        copyRow(pools[h], held, pools[h], slot, widths[h]);
      }
      return row;
    },
  };
}

/** Reads the rows of these numbers, in any order, into the pool: those of 256 neighbours with one read. */
function readPool(store: Store, hooks: string[], pools: Float32Array[], numbers: Uint32Array): void {
  const first = new Uint32Array(Math.floor(numbers.reduce((a, b) => Math.max(a, b), 0) / BLOCK) + 2); // of each block in `places`
  for (const row of numbers) first[Math.floor(row / BLOCK) + 1]++;
  for (let i = 1; i < first.length; i++) first[i] += first[i - 1];
  const places = new Uint32Array(numbers.length); // by block: a counting sort
  const at = first.slice();
  numbers.forEach((row, place) => (places[at[Math.floor(row / BLOCK)]++] = place));
  for (let block = 0; block + 1 < first.length; block++) {
    const these = places.subarray(first[block], first[block + 1]);
    if (!these.length) continue;
    let from = Infinity, to = 0;
    for (const place of these) {
      from = Math.min(from, numbers[place]);
      to = Math.max(to, numbers[place] + 1);
    }
    hooks.forEach((hook, h) => {
      const width = store.width(hook);
      const rows = store.read(hook, from, to);
      for (const place of these) {
        const row = rows.subarray((numbers[place] - from) * width, (numbers[place] - from + 1) * width);
        requireFinite(row, store, hook, numbers[place]);
        pools[h].set(row, place * width);
      }
    });
  }
}
