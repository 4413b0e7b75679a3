import type { Firings } from "./collect";
import { OptionError } from "./errors";
import type { Pieces } from "./pieces";
import type { Document } from "./types";

/**
 * How well a latent's activation tells the sentences of one label from all others, beside what a reader would have got
 * without it.
 *
 *   documents -sentencesOf-> Sentences -rowSentences-> rows of each -pooling-> scores of a latent -ranking-> AUROC
 *
 * Everything that is chosen (latent and pooling, direction, word, sign) is chosen on training documents and measured on
 * held-out ones. Ranks are in core/ranking, what a latent is held against in core/controls.
 */

export const POOLINGS = ["mean", "max", "first five"] as const;
export type Pooling = (typeof POOLINGS)[number];
/** Rows of the pooling "first five". */
export const FIRST = 5;

/** The units that are scored: one a span, spans of equal bounds together. */
export interface Sentences {
  labels: string[];
  count: number;
  document: Int32Array; // [n]
  mask: Int32Array; // [n] bit l: it carries labels[l]
  heldout: Uint8Array; // [n]
  first: Int32Array; // [n] position of its first token in the document
  tokens: Int32Array; // [n] its tokens
  relative: Float32Array; // [n] first ÷ tokens of the document
  start: Int32Array; // [n] UTF-16 offsets into the document's text
  end: Int32Array; // [n]
  /** Sentence of every token of every document; −1: none. */
  ofToken: Int32Array[];
}

const MOST_LABELS = 30; // bits of a mask that stay clear of its sign

/**
 * Sentences of labelled documents. A token belongs to the sentence that holds its first character that is not white
 * space; where sentences overlap, to the one that begins last.
 * @param offsets UTF-16 offsets of all tokens of a document, dropped ones included
 * @param side of each document
 * @param wanted labels; when absent all that occur, most frequent first
 * @param verb who asks
 * @throws OptionError for more labels than a mask of 32 bits holds
 */
export function* sentencesOf(
  documents: Document[],
  offsets: (document: number) => { start: Int32Array; end: Int32Array },
  side: ("train" | "heldout")[],
  wanted?: string[],
  verb = "scoreLabels",
): Pieces<Sentences> {
  const times = new Map<string, number>();
  for (const { spans } of documents) for (const { label } of spans) times.set(label, (times.get(label) ?? 0) + 1);
  const labels =
    wanted ?? [...times.keys()].sort((a, b) => times.get(b)! - times.get(a)! || (a < b ? -1 : 1));
  if (labels.length > MOST_LABELS) {
    throw new OptionError(
      `${verb}: expected at most ${MOST_LABELS} labels at once, found ${labels.length}. ` +
        `Say which: { labels: ["${labels.slice(0, 2).join('", "')}", …] }, in several calls if need be.`,
    );
  }
  const bit = new Map(labels.map((label, l) => [label, 1 << l]));
  const [document, mask, heldout, first, tokens, relative, starts, ends] = Array.from({ length: 8 }, () => [] as number[]);
  const ofToken: Int32Array[] = [];
  for (const [d, { text, spans }] of documents.entries()) {
    if (d % 32 === 31) yield;
    const units: { start: number; end: number; mask: number }[] = [];
    for (const { start, end, label } of [...spans].sort((a, b) => a.start - b.start || a.end - b.end)) {
      const last = units.at(-1);
      if (last && last.start === start && last.end === end) last.mask |= bit.get(label) ?? 0;
      else units.push({ start, end, mask: bit.get(label) ?? 0 });
    }
    const base = document.length;
    const { start, end } = offsets(d);
    const of = new Int32Array(start.length).fill(-1);
    const firstOf = new Int32Array(units.length).fill(-1);
    const many = new Int32Array(units.length);
    let u = -1;
    for (let t = 0; t < of.length; t++) {
      let at = start[t];
      while (at < end[t] - 1 && /\s/.test(text[at])) at++;
      while (u + 1 < units.length && units[u + 1].start <= at) u++;
      for (let v = u; v >= 0 && v > u - 8; v--) {
        if (at >= units[v].end || end[t] === start[t]) continue;
        of[t] = base + v;
        if (firstOf[v] < 0) firstOf[v] = t;
        many[v]++;
        break;
      }
    }
    units.forEach((unit, v) => {
      document.push(d);
      mask.push(unit.mask);
      heldout.push(side[d] === "heldout" ? 1 : 0);
      first.push(Math.max(0, firstOf[v]));
      tokens.push(many[v]);
      relative.push(Math.max(0, firstOf[v]) / Math.max(1, of.length));
      starts.push(unit.start);
      ends.push(unit.end);
    });
    ofToken.push(of);
  }
  return {
    labels,
    count: document.length,
    document: Int32Array.from(document),
    mask: Int32Array.from(mask),
    heldout: Uint8Array.from(heldout),
    first: Int32Array.from(first),
    tokens: Int32Array.from(tokens),
    relative: Float32Array.from(relative),
    start: Int32Array.from(starts),
    end: Int32Array.from(ends),
    ofToken,
  };
}

/**
 * Where each row falls: its sentence (−1: none), its number among the sentence's rows, and how many rows each sentence
 * has.
 */
export interface RowSentences {
  sentence: Int32Array; // [rows]
  ordinal: Int32Array; // [rows]
  rows: Int32Array; // [sentences]
}

export function rowSentences(sentences: Sentences, document: Int32Array, position: Int32Array): RowSentences {
  const rows = new Int32Array(sentences.count);
  const ordinal = new Int32Array(document.length);
  const sentence = Int32Array.from(document, (d, r) => {
    const s = sentences.ofToken[d][position[r]];
    if (s >= 0) ordinal[r] = rows[s]++;
    return s;
  });
  return { sentence, ordinal, rows };
}

/** Labels that all sentences with rows of one side carry, or that none of them does. */
export function oneSidedLabels({ labels, count, mask, heldout }: Sentences, { rows }: RowSentences): string[] {
  const [all, any] = [Int32Array.of(-1, -1), new Int32Array(2)]; // bits by side: training, held-out
  for (let s = 0; s < count; s++) {
    if (!rows[s]) continue;
    all[heldout[s]] &= mask[s];
    any[heldout[s]] |= mask[s];
  }
  const mixed = (l: number, side: number): boolean => Boolean(any[side] & (1 << l)) && !(all[side] & (1 << l));
  return labels.filter((_, l) => !mixed(l, 0) || !mixed(l, 1));
}

/** The same sentences, some labels forgotten. */
export function withoutLabels(sentences: Sentences, without: string[]): Sentences {
  if (!without.length) return sentences;
  const kept = [...sentences.labels.keys()].filter((l) => !without.includes(sentences.labels[l]));
  return {
    ...sentences,
    labels: kept.map((l) => sentences.labels[l]),
    mask: sentences.mask.map((m) => kept.reduce((bits, l, i) => bits | (((m >> l) & 1) << i), 0)),
  };
}

/** Sentence scores of one latent, all poolings; sentences on which it does not fire are left out. */
export interface Pooled {
  count: number;
  item: Int32Array;
  scores: Float32Array[]; // [POOLINGS][count]
}

/** Pools firings by sentence. @param number of each sentence among those that count, −1: it does not */
export function pooling(rows: RowSentences, number: Int32Array): (firings: Firings, latent: number) => Pooled {
  const sum = new Float64Array(number.length);
  const first = new Float64Array(number.length);
  const max = new Float32Array(number.length);
  let seen = new Int32Array(1024);
  return (firings, latent) => {
    let count = 0;
    for (let i = firings.offset[latent - firings.from]; i < firings.offset[latent - firings.from + 1]; i++) {
      const row = firings.row[i];
      const s = rows.sentence[row];
      if (s < 0 || number[s] < 0) continue;
      const v = firings.value[i];
      if (max[s] === 0) {
        if (count === seen.length) {
          const longer = new Int32Array(2 * count);
          longer.set(seen);
          seen = longer;
        }
        seen[count++] = s;
      }
      sum[s] += v;
      if (v > max[s]) max[s] = v;
      if (rows.ordinal[row] < FIRST) first[s] += v;
    }
    const item = new Int32Array(count);
    const scores = POOLINGS.map(() => new Float32Array(count));
    for (let i = 0; i < count; i++) {
      const s = seen[i];
      item[i] = number[s];
      scores[0][i] = sum[s] / rows.rows[s];
      scores[1][i] = max[s];
      scores[2][i] = first[s] / Math.min(FIRST, rows.rows[s]);
      sum[s] = first[s] = max[s] = 0;
    }
    return { count, item, scores };
  };
}
