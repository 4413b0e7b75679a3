import { join } from "node:path";
import { leadOf } from "../core/batches";
import { OptionError } from "../core/errors";
import { placesIn, type Place } from "../core/injection";
import type { Random } from "../core/random";
import type { Document, Tokenizer } from "../core/types";
import { packageRoot } from "./package";
import { readTexts } from "./texts";

/** Text that has nothing to do with the labels, and what tests need of it. */

const MOST = 8192; // tokens that are read
const LONGEST = 512; // tokens of a context, as harvest cuts by default

/** Tokens of unrelated text before a sentence that is moved. */
export const MOVED = 32;

export interface Ordinary {
  /** Token ids of each context, what the tokenizer puts before a text included. */
  contexts: Int32Array[];
  /** Of those tokens, how many the tokenizer put there. */
  lead: number;
  /** Places at the beginnings of words, each behind so many tokens of its text, at most {@link MOVED}. */
  places(before: number, count: number, rng: Random): Place[];
}

/** Plain prose of our own, 2,000 words on everyday things (data/ordinary). */
export const ordinaryDocuments = (): Promise<Document[]> => readTexts(join(packageRoot, "data", "ordinary", "ordinary.jsonl"));

/**
 * @param documents from the first on, 8,192 tokens at most
 * @throws OptionError when nothing can be pasted into them
 */
export function ordinaryText(documents: (string | Document)[], tokenizer: Tokenizer, longest = LONGEST): Ordinary {
  if (!Array.isArray(documents)) throw new OptionError("falsify: ordinary: expected a list of texts or documents, found something else. Put one text in brackets.");
  const contexts: Int32Array[] = [];
  const texts: { ids: Int32Array; wordStart: Uint8Array }[] = [];
  let left = MOST;
  let lead = 0;
  for (const document of documents) {
    const text = typeof document === "string" ? document : document.text;
    const tokens = tokenizer.encode(text);
    lead = leadOf(tokenizer, tokens);
    const step = Math.min(longest, LONGEST) - lead;
    // the first character of the token that is no blank has a blank before it, or none before it at all
    const wordStart = Uint8Array.from(tokens.ids, (_, t) => {
      let at = tokens.start[t];
      while (at < tokens.end[t] - 1 && /\s/.test(text[at])) at++;
      return at > 0 && /\s/.test(text[at - 1]) && /\p{L}/u.test(text[at]) ? 1 : 0;
    });
    for (let from = lead; from < tokens.ids.length && left > 0; from += step) {
      const to = Math.min(tokens.ids.length, from + step, from + left);
      left -= to - from;
      const ids = Int32Array.of(...tokens.ids.subarray(0, lead), ...tokens.ids.subarray(from, to));
      contexts.push(ids);
      texts.push({ ids, wordStart: Uint8Array.of(...new Uint8Array(lead), ...wordStart.subarray(from, to)) });
    }
  }
  if (!texts.some(({ ids, wordStart }) => wordStart.subarray(lead + MOVED, Math.max(0, ids.length - 5)).includes(1)))
    throw new OptionError("falsify: ordinary: expected texts of some hundred words with nothing of the labels in them, found none long enough to paste into. Leave it out for 2,000 words of plain prose.");
  return { contexts, lead, places: (before, count, rng) => placesIn(texts, lead, before, count, rng) };
}
