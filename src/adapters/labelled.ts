import { OptionError, StoreError } from "../core/errors";
import { oneSidedLabels, rowSentences, sentencesOf, withoutLabels, type RowSentences, type Sentences } from "../core/score";
import { splitDocuments } from "../core/split";
import type { Document, Store } from "../core/types";
import { inPieces } from "./pieces";

/** The labelled sentences of a store's documents, and their rows: what scores and probes are made of. */
export interface Labelled {
  documents: Document[];
  tokenIds: Int32Array[]; // of each document
  sentences: Sentences;
  rows: RowSentences;
  train: Side;
  test: Side;
  /** Labels that one side of the split has only positives or only others of. */
  leftOut: string[];
}

/** Sentences of one side of the split that have rows. */
export interface Side {
  of: Int32Array; // [n] their numbers among all
  number: Int32Array; // [sentences] and back; −1: none of these
  mask: Int32Array; // [n] their labels
}

/** 1 or 0 of each sentence of a side: whether it carries label l. */
export const positives = ({ mask }: Side, l: number): Int32Array => mask.map((m) => (m >> l) & 1);

/**
 * @param verb who asks @param stopped what is kept when an interrupt comes
 * @param wanted labels; when absent all that can be told apart on both sides
 * @throws OptionError if the documents carry no such label; StoreError if a label has one side only; InterruptError
 */
export async function labelledSentences(store: Store, verb: string, stopped: string, wanted?: string[]): Promise<Labelled> {
  const documents = store.documents().map((document) => (document.spans ? document : { ...document, spans: [] }));
  const known = new Set(documents.flatMap(({ spans }) => spans.map(({ label }) => label)));
  const unknown = (wanted ?? []).filter((label) => !known.has(label));
  if (!known.size || unknown.length) {
    throw new OptionError(
      `${store.path}: expected documents with labelled spans${unknown.length ? ` "${unknown.join('", "')}"` : ""}, ` +
      `found ${known.size ? `labels ${[...known].slice(0, 12).join(", ")}` : "none"}. readTexts reads them from JSONL: { text, spans: [{ start, end, label }] }.`);
  }
  const tokenIds: Int32Array[] = [];
  const offsets = (document: number) => {
    const tokens = store.tokens(document);
    tokenIds.push(tokens.ids);
    return tokens;
  };
  const all = await inPieces(sentencesOf(documents, offsets, splitDocuments(documents), wanted, verb), stopped);
  const origin = store.origin(0, store.rows);
  const rows = rowSentences(all, origin.document, origin.position);
  // where every sentence with rows carries a label, or none does, there is nothing to tell apart
  const leftOut = oneSidedLabels(all, rows);
  if (leftOut.length === all.labels.length || (wanted && leftOut.length)) {
    throw new StoreError(
      `${store.path}: expected sentences with rows that carry the label, and some that do not, in training and in held-out documents, ` +
      `found one side only for "${leftOut.join('", "')}". Label more documents, other behaviours too${leftOut.length < all.labels.length ? ", or leave it out of { labels }" : ""}.`);
  }
  const sentences = withoutLabels(all, leftOut);
  const side = (heldout: number): Side => {
    const number = new Int32Array(sentences.count).fill(-1);
    const list: number[] = [];
    for (let s = 0; s < sentences.count; s++) if (sentences.heldout[s] === heldout && rows.rows[s] > 0) number[s] = list.push(s) - 1;
    const of = Int32Array.from(list);
    return { of, number, mask: of.map((s) => sentences.mask[s]) };
  };
  return { documents, tokenIds, sentences, rows, train: side(0), test: side(1), leftOut };
}
