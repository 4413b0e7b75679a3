import { paddedRow, type Pass } from "./feeds";

/** Between the padded rows of a pass and those of its tokens, text after text. A pattern is [B, H, T, S]; columns that hold nothing go. */

/** @param data [B·T, w], or of a pattern [B, H, T, S] */
export function withoutPadding(data: Float32Array, pass: Pass, heads?: number): Float32Array {
  const { lengths, batch, tokens } = pass;
  if (heads !== undefined) return patterns(data, pass, heads);
  const width = data.length / (batch * tokens);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (total === batch * tokens) return data;
  const out = new Float32Array(total * width);
  let at = 0;
  lengths.forEach((length, b) => {
    const row = paddedRow(pass, b, 0);
    out.set(data.subarray(row * width, (row + length) * width), at);
    at += length * width;
  });
  return out;
}

/** Columns that hold a position, as runs: one, but where padding of several passes lies between. */
function runsOf(column: Int32Array): { from: number; count: number }[] {
  const runs: { from: number; count: number }[] = [];
  column.forEach((position, s) => {
    if (position < 0) return;
    const last = runs.at(-1);
    if (last && last.from + last.count === s) last.count++;
    else runs.push({ from: s, count: 1 });
  });
  return runs;
}

/** Pieces of rows that lie together on both sides: where they begin, and how long they are. */
function* strips({ lengths, tokens, columns, before }: Pass, heads: number): Generator<[padded: number, plain: number, count: number]> {
  const S = columns[0].length;
  let at = 0;
  for (const [b, length] of lengths.entries()) {
    const runs = runsOf(columns[b]);
    for (let h = 0; h < heads; h++) for (let t = 0; t < length; t++) for (const { from, count } of runs) {
      yield [((b * heads + h) * tokens + (before?.[b] ?? 0) + t) * S + from, at, count];
      at += count;
    }
  }
}

function patterns(data: Float32Array, pass: Pass, heads: number): Float32Array {
  const held = pass.columns.map((column) => runsOf(column).reduce((sum, { count }) => sum + count, 0));
  const out = new Float32Array(pass.lengths.reduce((sum, length, b) => sum + heads * length * held[b], 0));
  for (const [padded, plain, count] of strips(pass, heads)) out.set(data.subarray(padded, padded + count), plain);
  return out;
}

/** The other way: rows of tokens → padded, what was there before where there is no token. */
export function withPadding(rows: Float32Array, before: Float32Array, pass: Pass, heads?: number): Float32Array {
  const out = before.slice();
  if (heads !== undefined) {
    for (const [padded, plain, count] of strips(pass, heads)) out.set(rows.subarray(plain, plain + count), padded);
    return out;
  }
  const width = before.length / (pass.batch * pass.tokens);
  let at = 0;
  pass.lengths.forEach((length, b) => {
    out.set(rows.subarray(at, at + length * width), paddedRow(pass, b, 0) * width);
    at += length * width;
  });
  return out;
}

/** Rows after rows. */
export function joined(parts: Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
