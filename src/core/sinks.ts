import { median } from "./norms";
import type { Range } from "./split";

/**
 * Which rows are attention sinks and are left out: the first position of a context, or a norm far over the usual.
 * @see Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762
 */

export interface SinkRules {
  /** Whether first positions are dropped. */
  dropFirst: boolean;
  /** Rows over so many times the median norm of their hook are dropped; false: none. */
  dropNorm: number | false;
}

/**
 * Largest norm a row of a hook may have: dropNorm × the median, taken without first positions where they are dropped.
 * @param norms of the hook's rows
 * @param isFirst 1 for the first position of a context
 * @returns null when any norm will do: no rule, no rows to take a median of, or a hook that gives zeros
 */
export function normLimit(norms: Float64Array, isFirst: Uint8Array, { dropFirst, dropNorm }: SinkRules): number | null {
  if (dropNorm === false) return null;
  const counted = dropFirst ? norms.filter((_, i) => !isFirst[i]) : norms.slice();
  const middle = counted.length ? median(counted) : 0;
  return middle > 0 ? dropNorm * middle : null;
}

export interface Kept {
  /** Rows that stay, in ascending runs with gaps between them. */
  runs: Range[];
  /** How many rows do not, by the first rule that says so; `prompt` where some rows are masked by a prompt. */
  dropped: { first: number; norm: number; prompt?: number };
}

/**
 * Rows that stay. A row that is a sink at one hook is dropped from all, as rows of all hooks lie side by side.
 * @param norms of each hook's rows, [hooks][≥ rows]
 * @param limits of each hook, as normLimit gives them
 * @param isFirst [rows]
 * @param isPrompt [rows], 1 for what the model was given, where that is to be left out too
 */
export function keptRows(
  norms: Float64Array[], limits: (number | null)[], isFirst: Uint8Array, dropFirst: boolean, isPrompt?: Uint8Array,
): Kept {
  const runs: Range[] = [];
  const dropped: Kept["dropped"] = { first: 0, norm: 0 };
  let prompt = 0;
  for (let row = 0; row < isFirst.length; row++) {
    if (dropFirst && isFirst[row]) dropped.first++;
    else if (isPrompt?.[row]) prompt++;
    else if (limits.some((limit, hook) => limit !== null && norms[hook][row] > limit)) dropped.norm++;
    else {
      const last = runs.at(-1);
      if (last?.to === row) last.to++;
      else runs.push({ from: row, to: row + 1 });
    }
  }
  if (isPrompt) dropped.prompt = prompt;
  return { runs, dropped };
}

/**
 * Moves the rows that stay to the front, in place.
 * @param x rows of `width` numbers
 * @returns x as far as it holds them
 */
export function closeGaps<Rows extends Float32Array | Int32Array | Uint16Array>(x: Rows, width: number, runs: Range[]): Rows {
  let rows = 0;
  for (const { from, to } of runs) {
    if (from !== rows) x.copyWithin(rows * width, from * width, to * width);
    rows += to - from;
  }
  return x.subarray(0, rows * width) as Rows;
}
