import { join } from "node:path";
import { writeSafetensors } from "../core/safetensors";
import { bytesToText } from "../core/token";
import { writeAtomic } from "./files";
import { damaged, openTensors, type Tensors } from "./tensorfile";

/** Bytes of tokens and names of documents, found without reading those of all others. */
const FILE = "names.safetensors";

/**
 * @param tokens ids, ascending
 * @param documents names, in order
 */
export async function writeNames(folder: string, tokens: Int32Array, bytesOf: (token: number) => Uint8Array, documents: string[]): Promise<void> {
  const [token, document] = [joined(Array.from(tokens, bytesOf)), joined(documents.map((name) => Buffer.from(name, "utf8")))];
  await writeAtomic(
    join(folder, FILE),
    writeSafetensors([
      { name: "token", shape: [tokens.length], data: tokens },
      { name: "tokenStart", shape: [token.start.length], data: token.start },
      { name: "documentStart", shape: [document.start.length], data: document.start },
      { name: "tokenBytes", shape: [token.bytes.length], data: token.bytes },
      { name: "documentBytes", shape: [document.bytes.length], data: document.bytes },
    ]),
  );
}

/** Strings of bytes one behind the other; number i is bytes start[i] … start[i + 1]. */
function joined(list: Uint8Array[]): { start: Int32Array; bytes: Uint8Array } {
  const start = new Int32Array(list.length + 1);
  list.forEach((one, i) => (start[i + 1] = start[i] + one.length));
  const bytes = new Uint8Array(start[list.length]);
  list.forEach((one, i) => bytes.set(one, start[i]));
  return { start, bytes };
}

/**
 * Tokens are read now, names of documents when the first is asked for; no file stays open.
 * @throws FormatError when the file is not one of names, of so many documents
 */
export function openNames(folder: string, documents: number): { token(id: number): string; document(index: number): string } {
  const path = join(folder, FILE);
  const open = (): Tensors => openTensors(path, {
    token: ["I32", "tokens"],
    tokenStart: ["I32", "tokens and one"],
    documentStart: ["I32", documents + 1],
    tokenBytes: ["U8", "bytes"],
    documentBytes: ["U8", "bytes of documents"],
  });
  const parts = (tensors: Tensors, name: "token" | "document"): { start: Int32Array; bytes: Uint8Array } => {
    const [start, bytes] = [tensors.ints(`${name}Start`), tensors.bytes(`${name}Bytes`)];
    if (start[0] !== 0 || start.at(-1) !== bytes.length) throw damaged(path, `${name}Start from 0 to ${bytes.length}`, `${start[0]} to ${start.at(-1)}`);
    return { start, bytes };
  };
  const reading = <T>(read: (tensors: Tensors) => T): T => {
    const tensors = open();
    try {
      return read(tensors);
    } finally {
      tensors.close();
    }
  };
  const { ids, start, bytes } = reading((tensors) => ({ ids: tensors.ints("token"), ...parts(tensors, "token") }));
  if (start.length !== ids.length + 1) throw damaged(path, `where ${ids.length} tokens begin and end`, `${start.length} numbers`);
  const texts = new Map<number, string>();
  let names: { start: Int32Array; bytes: Uint8Array } | undefined;
  return {
    token(id) {
      const held = texts.get(id);
      if (held !== undefined) return held;
      let [low, high] = [0, ids.length];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (ids[middle] < id) low = middle + 1;
        else high = middle;
      }
      const text = ids[low] === id ? bytesToText(bytes.subarray(start[low], start[low + 1])) : `‹${id}›`;
      texts.set(id, text);
      return text;
    },
    document(index) {
      if (!(index >= 0 && index < documents)) return String(index);
      names ??= reading((tensors) => parts(tensors, "document"));
      return Buffer.from(names.bytes.subarray(names.start[index], names.start[index + 1])).toString("utf8");
    },
  };
}
