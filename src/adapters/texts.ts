import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { OptionError, TextError } from "../core/errors";
import type { Document, Span } from "../core/types";
import { invalidUtf8 } from "../core/utf8";

export interface ReadOptions {
  fields?: string | string[]; // "text", else "question" and "answer": what makes the text of a JSONL line, joined by a line break
}

const LARGEST = 2 ** 29 - 1; // bytes: what certainly fits into one JavaScript string, and one read

/**
 * Reads documents.
 *
 * - `.txt`: one document a file; its id is the file's name.
 * - `.jsonl`: one document a line: `text` (or `question` and `answer`, or what `fields` names), and if there are any `id`,
 *   `spans` [{ start, end, label }] (UTF-16 offsets, end exclusive) and `split` ("train", "heldout"; "test" and "validation"
 *   mean "heldout") and `prompt`, a number (UTF-16 offset where what a model wrote begins; a text of that name is passed over).
 *   A line without id is called `<file>:<line>`. Blank lines are passed over.
 * - a folder: every .txt and .jsonl in it and in the folders below, ordered by path; hidden files and other endings are
 *   passed over. Ids then begin with the file's path in the folder, so that files with the same ids can stand side by side.
 *
 * Text is kept as it stands in the file, line ends included; only a byte order mark is taken off.
 * @throws TextError with file and line or byte: nothing there, not UTF-8, not JSON, an empty text, a span outside of the text,
 * an id twice
 */
export async function readTexts(path: string, options: ReadOptions = {}): Promise<Document[]> {
  if (Array.isArray(options.fields) && !options.fields.length) {
    throw new OptionError("fields: expected at least one name, found none. Leave it out to read \"text\".");
  }
  const documents: Document[] = [];
  const seen = new Map<string, string>(); // id → where
  const add = (where: string, document: Document): void => {
    const before = seen.get(document.id);
    if (before !== undefined) {
      throw new TextError(
        `${where}: expected an id of its own, found "${document.id}" again (first in ${before}). ` +
        "Give one of them another id, or leave the ids out.");
    }
    seen.set(document.id, where);
    documents.push(document);
  };
  const { files, folder } = list(path);
  for (const name of files) {
    const file = folder ? join(path, name) : path;
    const bytes = readBytes(file);
    if (name.endsWith(".txt")) {
      add(file, { id: name, text: required(decode(bytes, file, 0), file), spans: [] });
      continue;
    }
    const before = documents.length;
    let line = 0;
    for (let from = 0, end; from < bytes.length; from = end + 1) {
      end = bytes.indexOf(10, from);
      if (end < 0) end = bytes.length;
      line++;
      const text = decode(bytes.subarray(from, end), file, from);
      if (!text.trim()) continue;
      const where = `${file}:${line}`;
      const { id, ...document } = parseLine(text, where, options.fields);
      add(where, { id: id === undefined ? `${name}:${line}` : folder ? `${name}:${id}` : id, ...document });
    }
    if (documents.length === before) {
      throw new TextError(`${file}: expected at least one document, found none. Remove the file or fill it.`);
    }
  }
  return documents;
}

function list(path: string): { files: string[]; folder: boolean } {
  let folder: boolean;
  try {
    folder = statSync(path).isDirectory();
  } catch (error) {
    throw new TextError(
      `${path}: expected a .txt or .jsonl file or a folder of them, found ${(error as NodeJS.ErrnoException).code}. ` +
      `Relative paths start from ${process.cwd()}.`);
  }
  if (!folder) {
    if (!isText(path)) {
      throw new TextError(
        `${path}: expected a name that ends in .txt or .jsonl, found another. Rename it, or write one JSON object a line.`);
    }
    return { files: [basename(path)], folder };
  }
  const files: string[] = [];
  const walk = (below: string): void => {
    for (const entry of readdirSync(join(path, below), { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue;
      const name = below ? `${below}/${entry.name}` : entry.name;
      // a linked folder may lead back to this one: only linked files are followed
      if (entry.isDirectory()) walk(name);
      else if (isText(name) && statSync(join(path, name)).isFile()) files.push(name);
    }
  };
  walk("");
  files.sort((a, b) => (a < b ? -1 : 1)); // by code unit: the same order on every machine
  if (!files.length) {
    throw new TextError(
      `${path}: expected .txt or .jsonl files in this folder, found none. Point readTexts at the folder that holds them.`);
  }
  return { files, folder };
}

const isText = (name: string): boolean => name.endsWith(".txt") || name.endsWith(".jsonl");

function readBytes(file: string): Buffer {
  const size = statSync(file).size;
  if (size > LARGEST) {
    throw new TextError(
      `${file}: expected at most ${LARGEST} bytes, found ${size}. Split it into several files and point readTexts at their folder.`);
  }
  const bytes = readFileSync(file);
  if (bytes[0] === 0xff && bytes[1] === 0xfe || bytes[0] === 0xfe && bytes[1] === 0xff) {
    throw new TextError(
      `${file}: expected UTF-8, found UTF-16 (its byte order mark). Convert it: iconv -f UTF-16 -t UTF-8.`);
  }
  if (!bytes.length) throw new TextError(`${file}: expected text, found an empty file. Remove the file or fill it.`);
  return bytes;
}

/** @param at where the bytes begin in the file */
function decode(bytes: Uint8Array, file: string, at: number): string {
  const wrong = invalidUtf8(bytes);
  if (wrong >= 0) {
    const found = Array.from(bytes.subarray(wrong, wrong + 4), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new TextError(
      `${file}: expected UTF-8, found the bytes ${found} at byte ${at + wrong}. ` +
      "Convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8.");
  }
  return new TextDecoder("utf-8", { ignoreBOM: at > 0 }).decode(bytes); // a mark is one at the beginning of the file only
}

function required(text: unknown, where: string): string {
  if (typeof text !== "string") {
    throw new TextError(
      `${where}: expected text, found ${JSON.stringify(text)}. Name the field that holds it: { fields: "…" }.`);
  }
  if (!text.trim()) throw new TextError(`${where}: expected text, found nothing but white space. Leave this document out.`);
  if (/\p{Surrogate}/u.test(text)) {
    throw new TextError(
      `${where}: expected well-formed text, found half of a surrogate pair (\\ud800 … \\udfff alone). Write the whole character.`);
  }
  return text;
}

const SPLITS: Record<string, Document["split"]> = {
  train: "train", heldout: "heldout", test: "heldout", validation: "heldout",
};

function parseLine(line: string, where: string, fields?: string | string[]): Omit<Document, "id"> & { id?: string } {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line);
  } catch (error) {
    throw new TextError(
      `${where}: expected one JSON object on this line, found: ${(error as Error).message}. ` +
      "Each document is a line of its own.");
  }
  if (typeof record !== "object" || record === null || Array.isArray(record)) {
    const found = Array.isArray(record) ? "an array" : JSON.stringify(record);
    throw new TextError(`${where}: expected a JSON object, found ${found}. Write {"text": "…"}.`);
  }
  const names = fields !== undefined ? [fields].flat() : "text" in record ? ["text"] : ["question", "answer"];
  for (const name of names) {
    if (!(name in record)) {
      const found = Object.keys(record).map((key) => `"${key}"`).join(", ") || "no field";
      throw new TextError(
        `${where}: expected the field ${fields === undefined ? '"text" (or "question" and "answer")' : `"${name}"`}, ` +
        `found ${found}. Name what holds the text: { fields: "…" }.`);
    }
  }
  const text = names.map((name) => required(record[name], where)).join("\n");
  const { id, spans, split, prompt } = record;
  if (id !== undefined && !(typeof id === "string" && id || Number.isSafeInteger(id))) {
    throw new TextError(
      `${where}: id: expected a string or a whole number, found ${JSON.stringify(id)}. Leave it out to have lines numbered.`);
  }
  if (split !== undefined && split !== null && !(typeof split === "string" && Object.hasOwn(SPLITS, split))) {
    throw new TextError(
      `${where}: split: expected ${Object.keys(SPLITS).map((side) => `"${side}"`).join(", ")}, found ${JSON.stringify(split)}. ` +
      "Leave it out to have a tenth held out.");
  }
  return {
    ...(id !== undefined && { id: String(id) }),
    text,
    spans: parseSpans(spans, text, where),
    ...(typeof split === "string" && { split: SPLITS[split] }),
    ...(typeof prompt === "number" && { prompt: checkedPrompt(prompt, text, where) }),
  };
}

function checkedPrompt(prompt: number, text: string, where: string): number {
  if (Number.isSafeInteger(prompt) && prompt >= 0 && prompt <= text.length) return prompt;
  throw new TextError(
    `${where}: prompt: expected a whole number from 0 to ${text.length} (UTF-16 units of the text), found ${prompt}. ` +
    "Leave it out if it is not known where the prompt ends.");
}

function parseSpans(spans: unknown, text: string, where: string): Span[] {
  if (spans === undefined || spans === null) return [];
  if (!Array.isArray(spans)) {
    throw new TextError(
      `${where}: spans: expected a list of { start, end, label }, found ${JSON.stringify(spans)}. Leave it out if there are none.`);
  }
  return spans.map((span, i) => {
    const { start, end, label } = (span ?? {}) as Partial<Span>;
    const whole = Number.isSafeInteger(start) && Number.isSafeInteger(end);
    if (!whole || !(0 <= start! && start! < end! && end! <= text.length)) {
      throw new TextError(
        `${where}: spans[${i}]: expected 0 ≤ start < end ≤ ${text.length} (UTF-16 units of the text), ` +
        `found start ${JSON.stringify(start)}, end ${JSON.stringify(end)}. ` +
        "Offsets counted in bytes or code points do not fit texts with characters outside of ASCII or the BMP.");
    }
    if (typeof label !== "string" || !label) {
      throw new TextError(
        `${where}: spans[${i}].label: expected a name, found ${JSON.stringify(label)}. Say what the span is labelled with.`);
    }
    return { start: start!, end: end!, label };
  });
}
