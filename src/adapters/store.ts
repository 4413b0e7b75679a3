import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { OptionError, StoreError } from "../core/errors";
import { parseHook } from "../core/hookname";
import { readHeader, widenFloat16, type ByteSource, type SafetensorsHeader } from "../core/safetensors";
import { intervalOf, splitRanges, type Range } from "../core/split";
import type { Document, Store, StoreManifest, Tokenizer } from "../core/types";
import { fewOpen } from "./files";
import { damaged, DOCUMENTS, MANIFEST, readState, sizeOf, TOKENS, type Unfinished } from "./storestate";
import { openTokenizer, TOKENIZER_FILES, vocabularyFile } from "./tokenizer";

const OPEN_SHARDS = 64; // file descriptors a store holds at most: far below the usual limit of 1,024 a process

/**
 * Opens a store that `harvest` has finished.
 * @throws StoreError if there is none, it is unfinished (with how far it is), of another version, or a file is missing or cut off
 */
export async function openStore(path: string): Promise<Store> {
  const manifest = readManifest(path);
  for (const { file, bytes } of manifest.shards) {
    const found = sizeOf(join(path, file));
    if (found !== bytes) throw damaged(join(path, file), `${bytes} bytes`, found < 0 ? "no such file" : `${found} bytes`);
  }
  for (const file of [DOCUMENTS, TOKENS]) {
    if (!existsSync(join(path, file))) throw damaged(join(path, file), "a file", "no such file");
  }
  const { rows, shards, texts } = manifest;
  const starts = new Float64Array(shards.length + 1); // first row of each shard
  shards.forEach((shard, i) => (starts[i + 1] = starts[i] + shard.rows));
  const sum = starts[shards.length];
  if (sum !== rows) throw damaged(join(path, MANIFEST), `${rows} rows`, `shards of ${sum} rows together`);

  let closed = false;
  const open = fewOpen(OPEN_SHARDS, (name: string): OpenFile => openFile(join(path, name)));
  const file = (name: string): OpenFile => {
    if (closed) {
      throw new StoreError(`${path}: expected an open store, found that it was closed. Open it again: openStore("${path}").`);
    }
    return open.get(name);
  };

  /** Elements of a tensor that runs through all shards, rows from … to, into `out`. */
  const gather = (
    tensor: string, width: number, dtype: "F32" | "F16" | "I32", from: number, to: number, out: Float32Array | Int32Array | Uint16Array,
  ): void => {
    const bytes = new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
    const size = out.BYTES_PER_ELEMENT;
    for (let shard = intervalOf(starts, from), row = from; row < to; shard++) {
      const end = Math.min(to, starts[shard + 1]);
      if (end <= row) continue; // a shard all of whose rows were dropped
      const into = bytes.subarray((row - from) * width * size, (end - from) * width * size);
      file(shards[shard].file).read(tensor, dtype, [shards[shard].rows, width], (row - starts[shard]) * width, into);
      row = end;
    }
  };
  const checkRange = (from: number, to: number): void => {
    if (!Number.isInteger(from) || !Number.isInteger(to) || !(0 <= from && from <= to && to <= rows)) {
      throw new OptionError(
        `${path}: expected rows 0 ≤ from ≤ to ≤ ${rows}, found from ${from}, to ${to}. store.rows says how many there are.`);
    }
  };
  const hookNames = manifest.hooks.map((hook) => hook.name).join(", ");
  const hookInfo = (asked: string) => {
    const found = manifest.hooks.find(({ name }) => name === asked) ?? manifest.hooks.find(({ name }) => name === ourName(asked));
    if (found) return found;
    throw new StoreError(
      `${path}: expected a hook of this store (${hookNames}), found "${asked}". ` +
      "Take one of these, or harvest that hook.");
  };

  let documents: Document[] | undefined;
  let documentRows: Int32Array | undefined;
  let first: Int32Array | undefined;
  let tokenizer: Tokenizer | undefined;
  const tokensOf = (name: string, from: number, to: number, length: number): Int32Array => {
    const out = new Int32Array(to - from);
    file(TOKENS).read(name, "I32", [length], from, new Uint8Array(out.buffer));
    return out;
  };
  const store: Store = {
    path,
    manifest,
    rows,
    hook(name) {
      if (name !== undefined) return hookInfo(name).name;
      if (manifest.hooks.length === 1) return manifest.hooks[0].name;
      throw new StoreError(
        `${path}: expected the name of a hook, as this store has ${manifest.hooks.length} (${hookNames}), found none. ` +
        `Say which: { hook: "${manifest.hooks[0].name}" }.`);
    },
    width: (hook) => hookInfo(hook).width,
    documents: () => (documents ??= readDocuments(join(path, DOCUMENTS), texts.documents)),
    tokens(document) {
      if (!Number.isInteger(document) || document < 0 || document >= texts.documents) {
        throw new OptionError(
          `${path}: expected a document from 0 to ${texts.documents - 1}, found ${document}. store.documents() lists them.`);
      }
      first ??= tokensOf("first", 0, texts.documents + 1, texts.documents + 1);
      const [from, to] = [first[document], first[document + 1]];
      const read = (name: string) => tokensOf(name, from, to, texts.tokens);
      return { ids: read("ids"), start: read("start"), end: read("end") };
    },
    origin(from, to) {
      checkRange(from, to);
      const read = (name: string): Int32Array => {
        const out = new Int32Array(to - from);
        gather(name, 1, "I32", from, to, out);
        return out;
      };
      return { document: read("document"), position: read("position"), token: read("token") };
    },
    read(hook, from, to) {
      const { name, width } = hookInfo(hook);
      checkRange(from, to);
      const out = new Float32Array((to - from) * width);
      if (manifest.dtype === "F32") gather(name, width, "F32", from, to, out);
      else {
        const half = new Uint16Array(out.buffer, out.length * 2); // where the widened ones come later than they are read
        gather(name, width, "F16", from, to, half);
        widenFloat16(half, out);
      }
      return out;
    },
    documentRows() {
      if (documentRows) return documentRows;
      const found = new Int32Array(texts.documents + 1);
      for (let shard = 0; shard < shards.length; shard++) {
        const rowDocuments = new Int32Array(shards[shard].rows);
        gather("document", 1, "I32", starts[shard], starts[shard + 1], rowDocuments);
        for (const document of rowDocuments) found[document + 1]++;
      }
      for (let i = 0; i < texts.documents; i++) found[i + 1] += found[i];
      return (documentRows = found);
    },
    get tokenizer() {
      if (!tokenizer) {
        if (!existsSync(vocabularyFile(path))) {
          throw new StoreError(
            `${join(path, TOKENIZER_FILES[0])}: expected the tokenizer's files, found none: ` +
            `the model that was harvested had none in its folder (${manifest.model.source}). ` +
            "Put tokenizer.json and tokenizer_config.json into the store's folder.");
        }
        tokenizer = openTokenizer(path);
      }
      return tokenizer;
    },
    close() {
      closed = true;
      open.close();
    },
  };
  return store;
}

/**
 * Rows of one side of the train / held-out split, as ascending ranges. A document's own `split` decides; of the documents that
 * name none, every tenth is held out (the last one if there are fewer than ten; the last tenth of the rows if the corpus is
 * one document).
 */
export function rowsOf(store: Store, split: "train" | "heldout" | "all"): Range[] {
  return splitRanges(store.documents(), store.documentRows(), split);
}

/** @throws StoreError as openStore does */
export function readManifest(path: string): StoreManifest {
  const state = readState(path);
  if (state.kind === "finished") return state.manifest;
  if (state.kind === "none") {
    throw new StoreError(
      `${path}: expected a folder with ${MANIFEST}, found ${existsSync(path) ? "none in it" : "no such folder"}. ` +
      "harvest(model, documents, { hooks, folder }) makes a store.");
  }
  const { part, shards, texts } = state.manifest as Unfinished;
  if (part) {
    throw new StoreError(
      `${path}: expected a whole store, found ${state.kind === "part" ? "" : "an unfinished "}part ${part.index} of ${part.of}, counted from 0. ` +
      "mergeStores(parts, folder), or saelab merge, makes the store out of all of them.");
  }
  const { documentsKept } = state.manifest as Unfinished;
  throw new StoreError(
    `${path}: expected a finished store, found one that was stopped: ${documentsKept} of ${texts.documents} documents ` +
    `(${shards.filter(Boolean).length} of ${shards.length} shards) are there. ` +
    `Run harvest again with the same model, documents and options and { folder: "${path}" }: it goes on from there.`);
}

/** Another spelling of a hook's name in ours; a name that is none stays as it is. */
function ourName(name: string): string {
  try {
    return parseHook(name, Infinity).name;
  } catch {
    return name;
  }
}

export function readDocuments(path: string, count: number): Document[] {
  const bytes = readFileSync(path); // line by line: all of it may be more than one string holds
  const documents: Document[] = [];
  for (let from = 0, end; from < bytes.length; from = end + 1) {
    end = bytes.indexOf(10, from);
    if (end < 0) throw damaged(path, "a line break at its end", "none");
    try {
      documents.push(JSON.parse(bytes.toString("utf8", from, end)));
    } catch (error) {
      throw damaged(`${path}:${documents.length + 1}`, "JSON", (error as Error).message);
    }
  }
  if (documents.length !== count) throw damaged(path, `${count} lines`, `${documents.length}`);
  return documents;
}

interface OpenFile {
  /** Fills `into` with elements of a tensor, from element `from` on. */
  read(tensor: string, dtype: "F32" | "F16" | "I32", shape: number[], from: number, into: Uint8Array): void;
  close(): void;
}

/** A safetensors file kept open: its header is read once, ranges straight into the caller's memory. */
function openFile(path: string): OpenFile {
  const descriptor = openSync(path, "r");
  const fill = (into: Uint8Array, position: number): void => {
    for (let at = 0; at < into.length;) {
      const got = readSync(descriptor, into, at, Math.min(into.length - at, 2 ** 30), position + at);
      if (!got) throw damaged(path, `${position + into.length} bytes`, `its end at ${position + at}`);
      at += got;
    }
  };
  const source: ByteSource = {
    byteLength: fstatSync(descriptor).size,
    slice(from, to) {
      const bytes = new Uint8Array(to - from);
      fill(bytes, from);
      return bytes;
    },
  };
  let header: SafetensorsHeader;
  try {
    header = readHeader(source, path);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return {
    read(tensor, dtype, shape, from, into) {
      const info = header.tensors.get(tensor);
      const elements = shape.reduce((a, b) => a * b, 1);
      const size = dtype === "F16" ? 2 : 4;
      if (!info || info.dtype !== dtype || info.bytes !== elements * size) {
        const found = info ? `${info.dtype} [${info.shape}]` : "none of this name";
        throw damaged(path, `tensor "${tensor}" ${dtype} [${shape}]`, found);
      }
      fill(into, info.offset + from * size);
    },
    close: () => closeSync(descriptor),
  };
}
