import { maskName } from "./attention";
import { ELEMENT, type Value } from "./onnx";

/** What goes into a session: one array by name. */
export interface Feed {
  type: "float32" | "int32" | "int64" | "bool" | "float16";
  data: Float32Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array;
  dims: number[];
}

/** One pass over a padded batch, some tokens of each text being in the cache already. */
export interface Pass {
  ids: ArrayLike<number>[];
  /** Tokens of each text; of one that is done 0, although a row goes through the graph. */
  lengths: number[];
  batch: number; // B
  tokens: number; // T, padding included
  /** Tokens of each text that are in the cache. */
  past: number[];
  /** Tokens of each text that were given rather than written. */
  prompt: number[];
  /** Number of each text among all that were given. */
  index: number[];
  /** Where the rows of each text begin among those of all tokens that were given, and how many these are; absent while texts grow. */
  rows?: { from: number[]; all: number };
  /** Columns of padding before each text in this pass; absent: all padding is on the right. */
  before?: number[];
  /** Position that each column of a decomposed cache holds, of each text; −1 for padding. The last T columns are this pass's. */
  columns: Int32Array[];
}

/** A batch that is the first pass of its texts. */
export function firstPass(ids: ArrayLike<number>[], rest: Partial<Pass> = {}): Pass {
  const tokens = ids.reduce((most, { length }) => Math.max(most, length), 0);
  let all = 0;
  const from = ids.map(({ length }) => (all += length) - length);
  return {
    ids, lengths: ids.map(({ length }) => length), batch: ids.length, tokens, past: ids.map(() => 0), prompt: ids.map(({ length }) => length), index: ids.map((_, b) => b), rows: { from, all },
    columns: ids.map(({ length }) => Int32Array.from({ length: tokens }, (_, t) => (t < length ? t : -1))), ...rest,
  };
}

/** Which of the padded rows is that of token t of text b. */
export const paddedRow = ({ tokens, before }: Pick<Pass, "tokens" | "before">, b: number, t: number): number => b * tokens + (before?.[b] ?? 0) + t;

/** The pass after `before`, of one more token each. Texts that are done have none, and stay where they are, for the context may end there. */
export function nextPass(before: Pass, ids: ArrayLike<number>[], done: boolean[]): Pass {
  const past = before.past.map((count, b) => count + (done[b] ? Math.max(0, before.lengths[b] - 1) : before.lengths[b]));
  return {
    ...before, ids, past, lengths: done.map((ended) => (ended ? 0 : 1)), tokens: 1,
    columns: before.columns.map((column, b) => {
      const longer = new Int32Array(column.length + 1);
      longer.set(column);
      longer[column.length] = done[b] ? -1 : past[b];
      return longer;
    }),
  };
}

/** Longest of all texts with what came before: what tables and the cache must reach. */
export const reach = ({ past, tokens }: Pass): number => Math.max(...past) + tokens;

/**
 * The inputs of a graph for a pass, by name and type; those of the cache, of tables and of writes are others' to give.
 * Exports of the hub ask for `input_ids`, `attention_mask` and `position_ids`; ours for what core/build says.
 */
export function standardFeeds(inputs: Value[], pass: Pass): Record<string, Feed> {
  const { ids, batch, tokens, past, lengths } = pass;
  const out: Record<string, Feed> = {};
  const integers = (type: number | undefined, values: ArrayLike<number>, dims: number[]): Feed =>
    type === ELEMENT.INT64 ? { type: "int64", data: BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i])), dims }
      : { type: "int32", data: Int32Array.from(values), dims };
  for (const { name, type } of inputs) {
    if (name === "input_ids") {
      const padded = new Int32Array(batch * tokens); // padding is token 0: its rows are never read
      ids.forEach((text, b) => padded.set(text, b * tokens));
      out[name] = integers(type, padded, [batch, tokens]);
    } else if (name === "position_ids") {
      out[name] = integers(type, Int32Array.from({ length: batch * tokens }, (_, i) => past[Math.floor(i / tokens)] + (i % tokens)), [batch, tokens]);
    } else if (name === "attention_mask") {
      const all = pass.columns[0].length;
      const mask = new Int32Array(batch * all);
      pass.columns.forEach((column, b) => column.forEach((position, s) => (mask[b * all + s] = position >= 0 ? 1 : 0)));
      out[name] = integers(type, mask, [batch, all]);
    } else if (name === "seqlens_k") out[name] = integers(type, past.map((count, b) => count + Math.max(lengths[b], 1) - 1), [batch]);
    else if (name === "total_sequence_length") out[name] = integers(type, [reach(pass)], []);
    else if (name === "last") out[name] = integers(type, lengths.map((length, b) => b * tokens + Math.max(length, 1) - 1), [batch]);
    else if (name === maskName(0) || name.startsWith(maskName(1).slice(0, -1))) out[name] = mask(pass, Number(name.split(".")[1] ?? 0));
  }
  return out;
}

/**
 * Added to scores: 0 where a token may look, else the lowest number; [B, 1, 1, T, S]. A window of 0 is none. Texts that begin together
 * and are padded on the right share one, [1, 1, 1, T, T]: what is padding lies behind all that a token may look at.
 */
function mask(pass: Pass, window: number): Feed {
  const { tokens, past, columns } = pass;
  const shared = !pass.before && past.every((count) => count === 0) && columns[0].length === tokens;
  const batch = shared ? 1 : pass.batch;
  const S = columns[0].length;
  const data = new Float32Array(batch * tokens * S).fill(-3.4028234663852886e38);
  for (let b = 0; b < batch; b++) for (let t = 0; t < tokens; t++) {
    const position = past[b] + t;
    for (let s = 0; s < S; s++) {
      const key = shared ? s : columns[b][s];
      if (key >= 0 && key <= position && (!window || key > position - window)) data[(b * tokens + t) * S + s] = 0;
    }
  }
  return { type: "float32", data, dims: [batch, 1, 1, tokens, S] };
}
