import type { Document } from "../core/types";
export interface ReadOptions {
    fields?: string | string[];
}
/**
 * Reads documents.
 *
 * - `.txt`: one document a file; its id is the file's name.
 * - `.jsonl`: one document a line: `text` (or `question` and `answer`, or what `fields` names), and if there are any `id`,
 *   `spans` [{ start, end, label }] (UTF-16 offsets, end exclusive) and `split` ("train", "heldout"; "test" and "validation"
 *   mean "heldout").
 *   A line without id is called `<file>:<line>`. Blank lines are passed over.
 * - a folder: every .txt and .jsonl in it and in the folders below, ordered by path; hidden files and other endings are
 *   passed over. Ids then begin with the file's path in the folder, so that files with the same ids can stand side by side.
 *
 * Text is kept as it stands in the file, line ends included; only a byte order mark is taken off.
 * @throws TextError with file and line or byte: nothing there, not UTF-8, not JSON, an empty text, a span outside of the text,
 * an id twice
 */
export declare function readTexts(path: string, options?: ReadOptions): Promise<Document[]>;
