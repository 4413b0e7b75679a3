import { permutation, type Random } from "./random";

/**
 * What is pasted into unrelated text, to see whether a latent needs more than that.
 *
 * Triggers are tokens, and windows of two and three tokens, of the sentences that carry a label, ranked by the latent's mean activation at
 * their last token with a least number of firings: the total would give commas. A latent's peak often sits on the token after what sets it off, so tokens
 * are ranked by the activation on the token after them, too, and the two tokens that follow what is pasted are read with it. On real traces
 * single tokens fired 0–4 % of the time where windows of three fired always.
 */
export const TRIGGER_KINDS = ["token", "token before", "2 tokens", "3 tokens"] as const;
export type TriggerKind = (typeof TRIGGER_KINDS)[number];

export interface Trigger {
  tokens: number[];
  /** Mean activation over its occurrences in the label's sentences. */
  mean: number;
  /** Its occurrences there. */
  count: number;
}

/** Tokens that are read after what was pasted. */
export const AFTER = 2;
/** Tokens of unrelated text before it. */
export const BEFORE = 16;

const LENGTH: Record<TriggerKind, number> = { token: 1, "token before": 1, "2 tokens": 2, "3 tokens": 3 };

/** Rows of sentences: which token of which document each is. */
export interface SentenceRows {
  document: Int32Array;
  position: Int32Array;
}

/**
 * Counts the windows before and at rows of some sentences once; then gives any latent's triggers.
 * @param tokens of each document @param rows those of the sentences, all of them
 * @returns (values of the rows on which a latent fires, by row; 0 elsewhere) → its triggers of each kind, best first
 */
export function triggersOf(tokens: ArrayLike<number>[], rows: SentenceRows): (fired: Map<number, number>, count: number) => Record<TriggerKind, Trigger[]> {
  const at = (row: number, kind: TriggerKind): number[] | undefined => {
    const ids = tokens[rows.document[row]];
    const end = rows.position[row] + (kind === "token before" ? 0 : 1);
    const from = end - LENGTH[kind];
    return from < 0 ? undefined : Array.from({ length: end - from }, (_, i) => ids[from + i]);
  };
  const occurrences = TRIGGER_KINDS.map((kind) => {
    const counts = new Map<string, number>();
    for (let row = 0; row < rows.document.length; row++) {
      const key = at(row, kind)?.join();
      if (key) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  });
  return (fired, count) => {
    const kinds = TRIGGER_KINDS.map((kind, k): [TriggerKind, Trigger[]] => {
      const sums = new Map<string, { tokens: number[]; sum: number; fired: number }>();
      for (const [row, value] of fired) {
        const window = at(row, kind);
        if (!window) continue;
        const key = window.join();
        const held = sums.get(key);
        if (held) {
          held.sum += value;
          held.fired++;
        } else sums.set(key, { tokens: window, sum: value, fired: 1 });
      }
      const least = Math.max(3, fired.size / 200);
      const all = [...sums].map(([key, { tokens: window, sum, fired: often }]) => {
        const of = occurrences[k].get(key)!;
        return { trigger: { tokens: window, mean: sum / of, count: of }, enough: often >= least };
      });
      // rare ones only where there are too few that recur: of windows that is the rule
      all.sort((a, b) => Number(b.enough) - Number(a.enough) || b.trigger.mean - a.trigger.mean || b.trigger.count - a.trigger.count);
      return [kind, all.slice(0, count).map(({ trigger }) => trigger)];
    });
    return Object.fromEntries(kinds) as Record<TriggerKind, Trigger[]>;
  };
}

/** A place within unrelated text: what stands before it, and what follows. */
export interface Place {
  before: Int32Array;
  after: Int32Array; // 3 + AFTER tokens
}

/**
 * Places in unrelated text, at the beginnings of words, spread over the texts.
 * @param texts ids of each, with 1 where a word begins @param lead tokens that the tokenizer puts before a text
 * @param before tokens kept before a place
 */
export function placesIn(texts: { ids: Int32Array; wordStart: Uint8Array }[], lead: number, before: number, count: number, rng: Random): Place[] {
  const need = 3 + AFTER;
  const all = texts.flatMap(({ ids, wordStart }) => {
    const own: Place[] = [];
    for (let at = lead + before; at + need <= ids.length; at++)
      if (wordStart[at]) own.push({ before: Int32Array.of(...ids.subarray(0, lead), ...ids.subarray(at - before, at)), after: ids.subarray(at, at + need) });
    return own;
  });
  const order = permutation(all.length, rng);
  return Array.from({ length: all.length ? count : 0 }, (_, i) => all[order[i % all.length]]);
}

/** A text of token ids, of which positions from … to are looked at. */
export interface Sequence {
  ids: Int32Array;
  from: number;
  to: number;
}

/** What is pasted, behind a place's text and before two tokens of what follows it there; nothing pasted: as the text is, as many tokens read. */
export function pasted({ before, after }: Place, tokens: ArrayLike<number>, read = tokens.length): Sequence {
  const follow = after.subarray(0, AFTER + read - tokens.length);
  const ids = new Int32Array(before.length + tokens.length + follow.length);
  ids.set(before);
  ids.set(Array.from(tokens), before.length);
  ids.set(follow, before.length + tokens.length);
  return { ids, from: before.length, to: ids.length };
}
