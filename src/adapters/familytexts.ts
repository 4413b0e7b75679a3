import { join } from "node:path";
import type { Document, Tokens } from "../core/types";
import { readDocuments } from "./store";
import { DOCUMENTS, TOKENS } from "./storestate";
import { openTensors } from "./tensorfile";

/** Documents and their tokens. */
export interface CollectedTexts {
  documents(): Document[];
  /** All tokens of a document, those without rows included. */
  tokens(document: number): Tokens;
}

/**
 * What a running model read, as its features keep it.
 * @throws StoreError, FormatError when the files are not of so many documents
 */
export function readTextsKept(folder: string, count: number): CollectedTexts {
  const documents = readDocuments(join(folder, DOCUMENTS), count);
  const file = openTensors(join(folder, TOKENS), { ids: ["I32", "tokens"], start: ["I32", "tokens"], end: ["I32", "tokens"], first: ["I32", count + 1] });
  try {
    const [ids, start, end, first] = ["ids", "start", "end", "first"].map((name) => file.ints(name));
    return {
      documents: () => documents,
      tokens(document) {
        const part = (all: Int32Array): Int32Array => all.slice(first[document], first[document + 1]);
        return { ids: part(ids), start: part(start), end: part(end) };
      },
    };
  } finally {
    file.close();
  }
}
