import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Unread } from "../core/batches";
import { StoreError } from "../core/errors";
import type { Kept } from "../core/sinks";
import type { StoreManifest } from "../core/types";
import { writeAtomic } from "./files";
import { isAlive } from "./lock";
import { TOKENIZER_FILES } from "./tokenizer";

/**
 * An activation store on disk:
 *
 *   manifest.json        what it is and its shards; written last, so a folder with it is whole
 *   unfinished.json      the same while a run is under way or was stopped
 *   documents.jsonl      the documents, a line each
 *   tokens.safetensors   ids, start, end [tokens] of all documents, first [documents + 1]
 *   shard-00000.safetensors …  for each hook [rows, width]; document, position, token, start, end [rows]
 *   tokenizer.json, tokenizer_config.json  as the model's folder had them
 *
 * A part, which one of several workers makes, is the same with some of the shards; only part 0 has documents, tokens and tokenizer.
 */
export const MANIFEST = "manifest.json";
export const UNFINISHED = "unfinished.json";
export const DOCUMENTS = "documents.jsonl";
export const TOKENS = "tokens.safetensors";

/** Held while a store is being made: names the process at work. */
export const LOCK = "harvest.lock";

export const shardFile = (shard: number): string => `shard-${String(shard).padStart(5, "0")}.safetensors`;

/** What a shard says of each row beside its activations. */
export const ORIGIN_TENSORS = ["document", "position", "token", "start", "end"] as const;

/** A shard that is on disk, and how many of its tokens gave no row. */
export type ShardEntry = StoreManifest["shards"][number] & { dropped: Kept["dropped"] };

/** One of several workers, counted from 0: it makes the shards index, index + of, index + 2·of, … */
export interface Part {
  index: number;
  of: number;
}

/** A finished part: `null` for the shards of others. */
export interface PartManifest extends Omit<StoreManifest, "format" | "rows" | "dropped" | "shards"> {
  format: "saelab-store-part";
  part: Part;
  shards: (ShardEntry | null)[];
  /** Tokens that no context holds, of the whole corpus. */
  unread?: Partial<Unread>;
}

/** The state of a run that has not come to its end: `null` for a shard still to be made, or another part's. */
export interface Unfinished extends Omit<PartManifest, "format" | "part"> {
  format: "saelab-store" | "saelab-store-part";
  part?: Part;
  /** Documents all of whose rows are on disk. */
  documentsKept: number;
}

export type StoreState =
  | { kind: "none" }
  | { kind: "finished"; manifest: StoreManifest }
  | { kind: "part"; manifest: PartManifest }
  | { kind: "unfinished"; manifest: Unfinished };

/** Folder of a part inside of the folder where all of them stand. */
export const partFolder = ({ index, of }: Part): string => `part-${String(index).padStart(Math.max(2, String(of).length), "0")}-of-${of}`;

const PART_FOLDER = /^part-\d+-of-\d+$/;

/** Folders of parts that stand in a folder, in order. */
export function partFolders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => PART_FOLDER.test(name)).sort().map((name) => join(folder, name));
}

/** The manifest of a whole store: the same whether one process made it or several. */
export function storeManifest({ model, hooks, settings, texts, dtype, unread }: PartManifest | Unfinished, shards: ShardEntry[]): StoreManifest {
  const sum = (of: (shard: ShardEntry) => number | undefined): number => shards.reduce((all, shard) => all + (of(shard) ?? 0), 0);
  const dropped: StoreManifest["dropped"] = { first: sum((shard) => shard.dropped.first), norm: sum((shard) => shard.dropped.norm) };
  if (unread?.prompt !== undefined) dropped.prompt = unread.prompt + sum((shard) => shard.dropped.prompt);
  if (unread?.long !== undefined) dropped.long = unread.long;
  return { format: "saelab-store", version: 1, model, texts, hooks, settings, dtype, shards, rows: sum(({ rows }) => rows), dropped };
}

/** What a folder holds. @throws StoreError if its manifest cannot be understood */
export function readState(path: string): StoreState {
  for (const file of [MANIFEST, UNFINISHED]) {
    const where = join(path, file);
    if (!existsSync(where)) continue;
    let manifest: Written;
    try {
      manifest = JSON.parse(readFileSync(where, "utf8"));
    } catch (error) {
      throw damaged(where, "JSON", (error as Error).message);
    }
    const format: string | undefined = manifest?.format;
    if (format !== "saelab-store" && format !== "saelab-store-part") throw damaged(where, 'format "saelab-store"', JSON.stringify(format));
    if (manifest.version !== 1) {
      throw new StoreError(
        `${where}: version: expected 1, found ${JSON.stringify(manifest.version)}. ` +
        "Another version of saelab wrote this store: use that one, or harvest again into another folder.");
    }
    const kind = file === UNFINISHED ? "unfinished" : format === "saelab-store" ? "finished" : "part";
    const problem = manifestProblem(manifest, kind);
    if (problem) throw damaged(where, ...problem);
    return { kind, manifest } as StoreState;
  }
  return { kind: "none" };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** What any of the manifests may hold. */
type Written = Unfinished & { rows?: number };

/** The first field that is not as it should be: [expected, found]. */
function manifestProblem(manifest: Written, kind: StoreState["kind"]): [string, string] | undefined {
  const { format, model, texts, hooks, dtype, shards, settings, part } = manifest;
  if (typeof model?.sha256 !== "string") return ["model.sha256: a hash", JSON.stringify(model)];
  if (typeof texts?.sha256 !== "string" || !isCount(texts.documents) || !isCount(texts.tokens)) {
    return ["texts: documents, tokens, sha256", JSON.stringify(texts)];
  }
  if (!Array.isArray(hooks) || !hooks.length || !hooks.every((h) => typeof h?.name === "string" && isCount(h.width))) {
    return ["hooks: a list of names and widths", JSON.stringify(hooks)];
  }
  if (dtype !== "F32" && dtype !== "F16") return ['dtype: "F32" or "F16"', JSON.stringify(dtype)];
  if (typeof settings !== "object" || settings === null) return ["settings", JSON.stringify(settings)];
  if (format === "saelab-store-part" && !(isCount(part?.index) && isCount(part.of) && part.index < part.of)) {
    return ["part: index and of, index < of", JSON.stringify(part)];
  }
  const isShard = (shard: ShardEntry | null, i: number): boolean => {
    if (shard === null) return kind === "unfinished" || (kind === "part" && i % part!.of !== part!.index);
    return shard?.file === shardFile(i) && [shard.rows, shard.bytes, shard.dropped?.first, shard.dropped?.norm].every(isCount);
  };
  if (!Array.isArray(shards) || !shards.every(isShard)) {
    return ["shards: a list of file, rows, bytes, in order", JSON.stringify(shards)];
  }
  if (kind === "finished" && !isCount(manifest.rows)) return ["rows: a count", JSON.stringify(manifest.rows)];
  return undefined;
}

export const damaged = (where: string, expected: string, found: string): StoreError =>
  new StoreError(
    `${where}: expected ${expected}, found ${found}. ` +
    "The store is damaged: run harvest again with the same options and folder, or delete the folder first.");

/** Bytes of a file, or -1. */
export const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? -1;

/** Whether all files that a manifest names are there, as long as it says. */
export const isWhole = (folder: string, { shards, part }: (StoreManifest | PartManifest) & { part?: Part }): boolean =>
  (part?.index ? [] : [DOCUMENTS, TOKENS]).every((file) => existsSync(join(folder, file))) &&
  shards.every((shard) => !shard || sizeOf(join(folder, shard.file)) === shard.bytes);

/** Names in a folder that are a store's own. */
export function ownFiles(path: string): string[] {
  const names: string[] = [MANIFEST, UNFINISHED, DOCUMENTS, TOKENS, ...TOKENIZER_FILES];
  return readdirSync(path).filter((name) => names.includes(name) || /^shard-\d{5,}\.safetensors$/.test(name));
}

/** Names of a folder that nothing of a store explains; parts of one may stand in it. @throws errors of the file system but ENOENT */
export function foreignFiles(folder: string): string[] {
  let names: string[] = [];
  try {
    names = readdirSync(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT") throw new StoreError(`${folder}: expected a folder to write to, found ${code}. Choose another folder.`);
  }
  return names.filter((name) => !isPart(name) && name !== LOCK && !PART_FOLDER.test(name));
}

/** Half a file of files.writeAtomic, by its name: `.<name>.<pid>.<random>.part`. */
const isPart = (name: string): boolean => /^\..+\.part$/.test(name);

/** Half a file that no other process is writing any more. */
function isLeft(name: string): boolean {
  const pid = Number(/\.(\d+)\.\w+\.part$/.exec(name)?.[1]);
  return isPart(name) && (!pid || pid === process.pid || !isAlive(pid));
}

/** Removes the store's own files but those to be kept, and what killed writers left. */
export async function clear(folder: string, keep: string[]): Promise<void> {
  const kept = new Set(keep);
  const files = ownFiles(folder).filter((name) => !kept.has(name) && name !== MANIFEST && name !== UNFINISHED);
  // the manifest first: a folder without it is not taken for a finished store; the run's record last: it tells that this is one
  const order = [MANIFEST, ...readdirSync(folder).filter(isLeft), ...files, ...(kept.has(UNFINISHED) ? [] : [UNFINISHED])];
  for (const name of order) await rm(join(folder, name), { force: true });
}

export const writeJson = (path: string, value: unknown): Promise<void> => writeAtomic(path, [JSON.stringify(value, null, 2) + "\n"]);
