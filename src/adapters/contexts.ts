import { cutContexts, leadOf, wholeContexts, type Context, type Unread } from "../core/batches";
import { asUserMessage, type ChatFormat } from "../core/chat";
import { OptionError, TextError } from "../core/errors";
import type { Document, Model, Progress, Tokens } from "../core/types";
import type { Settings } from "./harvestsettings";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";

/** From documents to what the model reads at one go: for what is harvested, and for what is trained on while the model runs. */

export const noRows = (total: number, { first, norm, prompt, long }: Record<string, number | undefined>): TextError => {
  const reasons = [`${first} first positions`, `${norm} by norm`, prompt && `${prompt} of prompts`, long && `${long} of documents too long`];
  return new TextError(
    `documents: expected rows, found that all ${total} tokens are dropped (${reasons.filter(Boolean).join(", ")}). ` +
    "Give longer documents, or { dropFirst: false }.");
};

/** Documents as the model is to read them. */
export async function formatted(model: Model, documents: Document[], chat: ChatFormat, progress?: Progress): Promise<Document[]> {
  const format = asUserMessage(model.tokenizer, chat);
  return gently(documents, "format", "Nothing was changed: the texts were being put into the chat format.", progress, format);
}

/** Goes through documents with a rest now and then, so that one can look and interrupt. */
async function gently<T>(
  documents: Document[], stage: string, kept: string, progress: Progress | undefined, work: (document: Document, i: number) => T,
): Promise<T[]> {
  const tell = meter(stage, documents.length, "documents", progress);
  const all: T[] = [];
  let rested = Date.now();
  for (const [i, document] of documents.entries()) {
    all.push(work(document, i));
    tell(i + 1);
    if (Date.now() - rested > 50) {
      await breathe();
      stopIfInterrupted(kept);
      rested = Date.now();
    }
  }
  return all;
}

export const tokenize = (model: Model, documents: Document[], progress?: Progress): Promise<Tokens[]> =>
  gently(documents, "tokenize", "Nothing was changed: the texts were being cut into tokens.", progress, ({ id, text }, i) => {
    const tokens = model.tokenizer.encode(text);
    if (tokens.ids.length) return tokens;
    throw new TextError(
      `documents[${i}] ("${id}"): expected tokens, found none in ${JSON.stringify(text.slice(0, 40))}. ` +
      "Leave this document out.");
  });

/** What the model reads, and how many tokens it never does. */
export function planContexts(
  model: Model, documents: Document[], tokens: Tokens[], { context, cut, tooLong, mask }: Settings,
): { contexts: Context[]; unread: Partial<Unread> } {
  const lead = leadOf(model.tokenizer, tokens[0]);
  if (context <= lead) {
    throw new OptionError(
      `context: expected at least ${lead + 1} tokens, as the tokenizer puts ${lead} before a text, found ${context}. ` +
      "Leave it out for the default.");
  }
  const lengths = tokens.map(({ ids }) => ids.length);
  const unread: Partial<Unread> = {};
  let contexts: Context[];
  if (cut === "whole") {
    const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
    if (tooLong === "error" && longest > context) {
      const worst = lengths.indexOf(longest);
      const others = lengths.filter((length) => length > context).length - 1;
      throw new TextError(
        `documents[${worst}] ("${documents[worst].id}"): expected at most ${context} tokens, as documents are to be kept whole, ` +
        `found ${longest}${others ? ` (${others} more documents are too long)` : ""}. ` +
        'Give a larger { context } if the model takes it, or { tooLong: "skip" }, or "cut" to read the beginning.');
    }
    const whole = wholeContexts(lengths, context, tooLong === "cut" ? "cut" : "skip");
    ({ contexts } = whole);
    unread.long = whole.long;
  } else {
    contexts = cutContexts(lengths, context, lead);
  }
  if (mask) {
    unread.prompt = 0;
    const masked = ({ document, from, length }: Context): boolean =>
      tokens[document].start.subarray(from, from + length).every((start) => start < documents[document].prompt!);
    // only the context that prompt and answer share is worth reading for its prompt
    contexts = contexts.filter((one) => {
      if (!masked(one)) return true;
      unread.prompt! += one.length;
      return false;
    });
  }
  if (!contexts.length) throw noRows(lengths.reduce((a, b) => a + b, 0), { first: 0, norm: 0, ...unread });
  return { contexts, unread };
}
