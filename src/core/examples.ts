import { bySize, PIECE, type Firings } from "./collect";
import { atOnce, type Pieces } from "./pieces";
import { random } from "./random";

/** Where each row comes from: [n] each; rows of a document lie together, positions ascending. */
export interface RowOrigins {
  document: Int32Array;
  position: Int32Array;
  token: Int32Array;
}

export interface ChooseOptions {
  examples: number; // contexts kept of the strongest peaks
  context: number; // tokens on either side of the peak
  perQuantile: number; // random firings of each quarter of the activations
  random: number; // random firings of all
  seed: number;
}

/** Groups of examples, in the order in which they are numbered and stored. */
export const GROUPS = ["top", "75–100 %", "50–75 %", "25–50 %", "0–25 %", "random"];
const DUPLICATE_REACH = 5; // contexts that agree from 5 tokens before the peak to 5 after it are near-duplicates

/** One firing chosen to be shown. */
export interface Choice {
  group: number;
  /** Entry of the firings. */
  entry: number;
  count: number;
}

/**
 * Examples and token measures of a range of latents as flat arrays; those of latent f are examples `offset[f]` …
 * `offset[f + 1]`.
 */
export interface ExampleArrays {
  offset: Int32Array; // [F + 1]
  group: Int32Array; // [E]
  count: Int32Array; // [E]
  document: Int32Array; // [E]
  position: Int32Array; // [E] of the first token
  peak: Int32Array; // [E]
  goesOn: Int32Array; // [E] 1: the document goes on after the context
  start: Int32Array; // [E + 1] first token of each example
  tokens: Int32Array; // [T]
  values: Float32Array; // [T]
}

/**
 * Entries from `a` to `b` that are peaks: the largest firing among those no further than `reach` rows apart, in one
 * document. Found in one walk: a firing within reach of the peak at hand replaces it if larger, is passed over if not.
 */
function peaksOf({ row, value }: Firings, a: number, b: number, document: Int32Array, reach: number): Uint8Array {
  const isPeak = new Uint8Array(b - a);
  let peak = a;
  for (let i = a + 1; i < b; i++) {
    if (row[i] - row[peak] > reach || document[row[i]] !== document[row[peak]]) isPeak[peak - a] = 1;
    else if (value[i] <= value[peak]) continue;
    peak = i;
  }
  if (b > a) isPeak[peak - a] = 1;
  return isPeak;
}

/**
 * Which firings of a latent to show: the strongest peaks, near-duplicates folded into the first of them (`count` counts
 * those at least as strong as the last example kept); then, at random, some firings of each quarter of its activations,
 * strongest quarter first, and some of all. Ties: larger value first, then the earlier row.
 * @param order entries by size, as {@link bySize} gives them
 */
export function choose(
  firings: Firings,
  latent: number,
  origin: RowOrigins,
  options: ChooseOptions,
  order = atOnce(bySize(firings)),
): Choice[] {
  const a = firings.offset[latent - firings.from];
  const b = firings.offset[latent - firings.from + 1];
  if (a === b) return [];
  const { document, token } = origin;
  const isPeak = peaksOf(firings, a, b, document, options.context);
  const sorted = order.subarray(a, b);
  const chosen: Choice[] = [];
  const taken = new Set<number>();
  const folded = new Map<string, Choice>();
  for (const entry of sorted) {
    if (chosen.length === options.examples) break;
    if (!isPeak[entry - a]) continue;
    const row = firings.row[entry];
    let from = row;
    let to = row + 1;
    while (from > 0 && row - from < DUPLICATE_REACH && document[from - 1] === document[row]) from--;
    while (to < document.length && to - row <= DUPLICATE_REACH && document[to] === document[row]) to++;
    const key = `${row - from}:${token.subarray(from, to).join()}`;
    const same = folded.get(key);
    if (same) {
      same.count++;
      continue;
    }
    const choice = { group: 0, entry, count: 1 };
    folded.set(key, choice);
    taken.add(entry);
    chosen.push(choice);
  }
  const { below } = random(options.seed, latent); // a stream a latent: the same draw whatever the blocks
  const draw = (group: number, from: number, to: number, wanted: number): void => {
    const drawn: number[] = []; // places among the sorted ones
    for (let tries = 0; drawn.length < wanted && tries < 4 * wanted && from < to; tries++) {
      const at = from + below(to - from);
      if (taken.has(sorted[at])) continue;
      taken.add(sorted[at]);
      drawn.push(at);
    }
    for (const at of drawn.sort((i, j) => i - j)) chosen.push({ group, entry: sorted[at], count: 1 });
  };
  const n = b - a;
  for (let q = 0; q < 4; q++) draw(1 + q, Math.floor((n * q) / 4), Math.floor((n * (q + 1)) / 4), options.perQuantile);
  draw(5, 0, n, options.random);
  return chosen;
}

/**
 * Examples of all latents of a block. The context of a firing is up to `context` tokens on either side, with the latent's activation at
 * each; tokens whose rows were dropped carry 0.
 * @param tokensOf all token ids of a document; each document is asked for once
 * @param lengths tokens of each document
 */
export function* blockExamples(
  firings: Firings,
  origin: RowOrigins,
  tokensOf: (document: number) => Int32Array,
  lengths: Int32Array,
  options: ChooseOptions,
  order = atOnce(bySize(firings)),
): Pieces<ExampleArrays> {
  const offset = new Int32Array(firings.to - firings.from + 1);
  const chosen: Choice[] = [];
  let looked = 0;
  for (let f = firings.from; f < firings.to; f++) {
    const i = f - firings.from;
    if ((looked += 1024 + firings.offset[i + 1] - firings.offset[i]) > PIECE) {
      yield;
      looked = 0;
    }
    for (const choice of choose(firings, f, origin, options, order)) chosen.push(choice);
    offset[i + 1] = chosen.length;
  }
  const E = chosen.length;
  const out: ExampleArrays = {
    offset,
    group: Int32Array.from(chosen, ({ group }) => group),
    count: Int32Array.from(chosen, ({ count }) => count),
    document: Int32Array.from(chosen, ({ entry }) => origin.document[firings.row[entry]]),
    position: new Int32Array(E),
    peak: new Int32Array(E),
    goesOn: new Int32Array(E),
    start: new Int32Array(E + 1),
    tokens: new Int32Array(0),
    values: new Float32Array(0),
  };
  for (let e = 0; e < E; e++) {
    const at = origin.position[firings.row[chosen[e].entry]];
    const from = Math.max(0, at - options.context);
    const to = Math.min(lengths[out.document[e]], at + options.context + 1);
    out.position[e] = from;
    out.peak[e] = at - from;
    out.goesOn[e] = Number(to < lengths[out.document[e]]);
    out.start[e + 1] = out.start[e] + to - from;
  }
  out.tokens = new Int32Array(out.start[E]);
  out.values = new Float32Array(out.start[E]);
  for (let f = 0; f + 1 < offset.length; f++) {
    if (f % 1024 === 1023) yield;
    for (let e = offset[f]; e < offset[f + 1]; e++) putValues(firings, f, chosen[e].entry, origin, out, e);
  }
  let held = -1;
  let tokens = new Int32Array(0);
  const byDocument = Int32Array.from(chosen.keys()).sort((i, j) => out.document[i] - out.document[j] || i - j);
  for (const [at, e] of byDocument.entries()) {
    if (at % 1024 === 1023) yield;
    if (out.document[e] !== held) tokens = Int32Array.from(tokensOf((held = out.document[e])));
    const from = out.position[e];
    out.tokens.set(tokens.subarray(from, from + out.start[e + 1] - out.start[e]), out.start[e]);
  }
  return out;
}

/** Values of the latent number f of the block at the tokens of example e, whose firing is `entry`. */
function putValues({ offset, row, value }: Firings, f: number, entry: number, origin: RowOrigins, out: ExampleArrays, e: number): void {
  const [document, from, to] = [out.document[e], out.position[e], out.position[e] + out.start[e + 1] - out.start[e]];
  const put = (i: number): boolean => {
    const position = origin.position[row[i]];
    if (origin.document[row[i]] !== document || position < from || position >= to) return false;
    out.values[out.start[e] + position - from] = value[i];
    return true;
  };
  for (let i = entry; i >= offset[f] && put(i); i--);
  for (let i = entry + 1; i < offset[f + 1] && put(i); i++);
}
