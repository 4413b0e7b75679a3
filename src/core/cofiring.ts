import { PIECE, type Firings } from "./collect";
import type { Pieces } from "./pieces";
import type { Sparse } from "./types";

/**
 * Pairs of latents that fire together. Of latents f and g with n_f and n_g firings, n_fg of them on the same rows, the score is
 *
 *   J = n_fg / (n_f + n_g − n_fg)      Jaccard: 1 always together, 0 never
 *
 * Rows are looked at a segment at a time, so that memory does not grow with them. No pair is lost by that: the J of all rows is a mean
 * of the segments' J, weighted by their n_f + n_g − n_fg, so that a pair that reaches the threshold reaches it in some segment. Those
 * pairs are noted, and counted in all segments.
 */

export const TOGETHER = { most: 16, score: 0.05, least: 5 };

const BUCKETS = 4096;
const AHEAD = 256; // rows looked at beforehand: 16 KB of 32 latents each

export interface TogetherOptions {
  most: number; // partners kept of a latent
  score: number; // smallest J of a pair that is kept
  least: number; // rows on which a pair fires at least
}

/** Active latents of rows from … to: those of row r are entries `start[r − from]` … `start[r − from + 1]`. */
export interface RowLatents {
  from: number;
  to: number;
  start: Int32Array; // [to − from + 1]
  latent: Int32Array | Uint16Array;
}

/** Partners of the latents of a block, larger J first, ties by smaller number: those of latent f at offset[f − from] … offset[f − from + 1]. */
export interface Together {
  offset: Int32Array;
  latent: Int32Array;
  count: Int32Array;
  score: Float32Array;
}

/** Room for the active latents of rows from … to, filled by adding codes in row order: 2 bytes each of up to 65,536 latents, else 4. */
export function rowLatents(from: number, to: number, entries: number, latents: number): { rows: RowLatents; add(codes: Sparse): void } {
  const rows: RowLatents = {
    from,
    to,
    start: new Int32Array(to - from + 1),
    latent: latents <= 2 ** 16 ? new Uint16Array(entries) : new Int32Array(entries),
  };
  let row = 0;
  let at = 0;
  return {
    rows,
    add({ n, k, index, value }) {
      for (let r = 0, i = 0; r < n; r++) {
        for (let j = 0; j < k; j++, i++) if (value[i] > 0) rows.latent[at++] = index[i];
        rows.start[++row] = at;
      }
    },
  };
}

/**
 * Partners of the latents of a block.
 * @param fired rows on which each latent fires, [F], of all rows
 * @param segments consecutive, over all rows; each is asked for once if there is one, twice if there are more
 */
export function* together(
  firings: Firings,
  fired: Int32Array,
  segments: { count: number; at(segment: number): RowLatents },
  { most, score, least }: TogetherOptions = TOGETHER,
): Pieces<Together> {
  const latents = firings.to - firings.from;
  const pairs = Array.from({ length: latents }, () => new Map<number, number>()); // partner → rows together
  const buckets = new Int32Array(BUCKETS);
  const counts = new Int32Array(fired.length);
  const touched = new Int32Array(fired.length);
  /**
   * Goes through a segment, latent by latent: counts those that fire beside it, of which their bucket holds enough. Most do not: buckets
   * lie in the nearest cache, the counts of all latents do not.
   * @param sift fills the buckets for latent f and its firings a … b; says how many are enough
   * @param each gets the latent, its firings in the segment, and how many others `touched` names; `counts` has how often
   */
  const count = function* (
    rows: RowLatents,
    cursor: Int32Array,
    sift: (f: number, a: number, b: number) => number,
    each: (f: number, here: number, many: number) => void,
  ): Pieces<void> {
    let looked = 0;
    for (let f = 0; f < latents; f++) {
      const a = cursor[f];
      let b = a;
      while (b < firings.offset[f + 1] && firings.row[b] < rows.to) b++;
      cursor[f] = b;
      if (a === b) continue;
      buckets.fill(0);
      const enough = sift(f, a, b);
      const many = pick(rows, firings.row, a, b, buckets, enough, counts, touched);
      if (many) each(f, b - a, many);
      for (let t = 0; t < many; t++) counts[touched[t]] = 0;
      if ((looked += b - a) < PIECE / 4) continue;
      yield;
      looked = 0;
    }
  };

  const firstOf = (): Int32Array => firings.offset.slice(0, -1);
  let cursor = firstOf();
  for (let s = 0; s < segments.count; s++) {
    const rows = segments.at(s);
    const [whole, firedHere] = segments.count === 1 ? [least, fired] : [1, firedIn(rows, fired.length)];
    const sift = (_f: number, a: number, b: number): number => {
      tally(rows, firings.row, a, b, buckets);
      return Math.max(whole, Math.floor(score * (b - a))); // n_fg ≥ J·n_f, as n_g ≥ n_fg
    };
    yield* count(rows, cursor, sift, (f, here, many) => {
      for (let t = 0; t < many; t++) {
        const g = touched[t];
        if (g !== f + firings.from && counts[g] / (here + firedHere[g] - counts[g]) >= score) pairs[f].set(g, counts[g]);
      }
    });
  }
  if (segments.count > 1) {
    for (const partners of pairs) for (const g of partners.keys()) partners.set(g, 0);
    cursor = firstOf();
    const sift = (f: number): number => {
      for (const g of pairs[f].keys()) buckets[g & (BUCKETS - 1)] = 1;
      return 1;
    };
    for (let s = 0; s < segments.count; s++) {
      yield* count(segments.at(s), cursor, sift, (f) => {
        for (const [g, sum] of pairs[f]) if (counts[g]) pairs[f].set(g, sum + counts[g]);
      });
    }
  }
  return chosen();

  function chosen(): Together {
    const offset = new Int32Array(latents + 1);
    const kept: { g: number; n: number; j: number }[] = [];
    pairs.forEach((partners, f) => {
      const own = fired[f + firings.from];
      const list = Array.from(partners, ([g, n]) => ({ g, n, j: n / (own + fired[g] - n) })).filter(({ n, j }) => n >= least && j >= score);
      for (const one of list.sort((a, b) => b.j - a.j || a.g - b.g).slice(0, most)) kept.push(one);
      offset[f + 1] = kept.length;
    });
    return {
      offset,
      latent: Int32Array.from(kept, ({ g }) => g),
      count: Int32Array.from(kept, ({ n }) => n),
      score: Float32Array.from(kept, ({ j }) => j),
    };
  }
}

const seen = new Int32Array(1); // what is looked at has to go somewhere, or the compiler leaves the looking out

/** Looks at rows, none waiting for the one before: memory brings several at a time, and what follows finds them near. */
function bring(latent: RowLatents["latent"], start: Int32Array, row: Int32Array, from: number, a: number, b: number): void {
  let sum = 0;
  for (let i = a; i < b; i++) sum ^= latent[start[row[i] - from]];
  seen[0] = sum;
}

/** Counts the latents of the rows of firings a … b into their buckets. */
function tally({ from, start, latent }: RowLatents, row: Int32Array, a: number, b: number, buckets: Int32Array): void {
  for (let first = a; first < b; first += AHEAD) {
    const last = Math.min(b, first + AHEAD);
    bring(latent, start, row, from, first, last);
    for (let i = first; i < last; i++) {
      const r = row[i] - from;
      const end = start[r + 1];
      for (let j = start[r]; j < end; j++) buckets[latent[j] & (BUCKETS - 1)]++;
    }
  }
}

/** Counts those latents whose bucket holds enough; @returns how many there are, named in `touched` */
function pick(
  { from, start, latent }: RowLatents, row: Int32Array, a: number, b: number,
  buckets: Int32Array, enough: number, counts: Int32Array, touched: Int32Array,
): number {
  let many = 0;
  for (let first = a; first < b; first += AHEAD) {
    const last = Math.min(b, first + AHEAD);
    bring(latent, start, row, from, first, last);
    for (let i = first; i < last; i++) {
      const r = row[i] - from;
      const end = start[r + 1];
      for (let j = start[r]; j < end; j++) {
        const g = latent[j];
        if (buckets[g & (BUCKETS - 1)] < enough) continue;
        if (!counts[g]++) touched[many++] = g;
      }
    }
  }
  return many;
}

function firedIn({ latent, start }: RowLatents, latents: number): Int32Array {
  const fired = new Int32Array(latents);
  const end = start[start.length - 1];
  for (let i = 0; i < end; i++) fired[latent[i]]++;
  return fired;
}
