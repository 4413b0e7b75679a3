import { existsSync, readFileSync } from "node:fs";
import { readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { FormatError, StoreError } from "../core/errors";
import type { Range } from "../core/split";
import type { Store } from "../core/types";
import { codesFile, type CodesShard } from "./codes";
import { takeLock } from "./lock";
import { sizeOf } from "./storestate";
import { damaged } from "./tensorfile";

/**
 * Rows and an SAE → features, a family of files in one folder:
 *
 *   manifest.json           what it is, of which rows and SAE; a folder with it is whole
 *   statistics.safetensors  of each latent: fired, mean, max [F]; histogram [F, 128] (bins of core/collect); entropy, distinct [F]; trigger,
 *                           triggerMean [F, 5]; shareToken, share [F, 5]; documents, position, early [F]; tenths [F, 10] (core/positions)
 *   together.safetensors    offset [F + 1] → latent, count, score [P]: latents that fire on the same rows (core/cofiring)
 *   examples-00000.safetensors …  of the latents of a block: offset [latents + 1] → group, count, document, position, peak, goesOn [E] and
 *                           start [E + 1] → tokens, values [T]
 *   names.safetensors       token [n], ascending, tokenStart [n + 1] → tokenBytes; documentStart [D + 1] → documentBytes: names of documents
 *   codes-00000.safetensors …  what the SAE made of each row, so that scores and contexts need no second encode (codes.ts)
 *   documents.jsonl, tokens.safetensors  as in a store (storestate.ts), of features that were collected from a running model
 *   columns/, logits.safetensors  what was found later (columns.ts, keptlogits.ts)
 *
 * While it is made it lies beside its place, as `.<name>.part` with an unfinished.json that tells which shards of codes are whole; a lock,
 * `.<name>.lock`, keeps two processes apart. When it is whole it is moved into its place.
 */
export const MANIFEST = "manifest.json";
export const UNFINISHED = "unfinished.json";
export const STATISTICS = "statistics.safetensors";
export const TOGETHER = "together.safetensors";
export const examplesFile = (block: number): string => `examples-${String(block).padStart(5, "0")}.safetensors`;

/** Where a family is made, what it was before it was replaced, and the lock. */
export const partOf = (folder: string): string => join(dirname(folder), `.${basename(folder)}.part`);
const asideOf = (folder: string): string => join(dirname(folder), `.${basename(folder)}.old`);
export const lockOf = (folder: string): string => join(dirname(folder), `.${basename(folder)}.lock`);

export interface FeaturesManifest {
  format: "saelab-features";
  version: 2;
  /** What was read, as far as it decides the rows: a store, or, without a path, a running model. */
  store: { path?: string; model: string; texts: string; rows: number; width: number; settings: Record<string, unknown> };
  sae: { sha256: string; hook: string; latents: number; k: number; d: number };
  rows: number;
  /** Documents of the store or given to the model, those without rows included. */
  documents: number;
  /** Rows of the store that were read, in this order. */
  ranges: Range[];
  split: string;
  settings: { examples: number; context: number; perQuantile: number; random: number; seed: number };
  shards: CodesShard[];
  /** Files of examples, each of consecutive latents. */
  blocks: { file: string; from: number; to: number; bytes: number }[];
}

/** What decides the rows of a store at a hook, as JSON keeps it. */
export const storeFacts = ({ manifest: { model, texts, settings }, rows }: Store, width: number) => ({
  model: model.sha256,
  texts: texts.sha256,
  rows,
  width,
  settings: JSON.parse(JSON.stringify(settings)) as Record<string, unknown>,
});

/** Puts back a family that a killed collection had just moved aside to replace it; one that is at work is let be. */
export async function tidy(folder: string): Promise<void> {
  const aside = asideOf(folder);
  if (!existsSync(aside)) return;
  const busy = new StoreError(`${folder}: expected no collection into this folder, found one at work. Wait for it.`);
  let release: () => void;
  try {
    release = takeLock(lockOf(folder), () => busy);
  } catch (error) {
    if (error === busy) return;
    throw error;
  }
  try {
    if (!existsSync(folder) && existsSync(join(aside, MANIFEST))) await rename(aside, folder);
    else await rm(aside, { recursive: true, force: true });
  } finally {
    release();
  }
}

/** The old family goes aside first: a reader sees it, the new one, or (for an instant) none; never a mixture. */
export async function moveInto(part: string, folder: string): Promise<void> {
  const aside = asideOf(folder);
  const replaced = existsSync(folder);
  if (replaced) await rename(folder, aside);
  try {
    await rename(part, folder);
  } catch (error) {
    if (replaced) await rename(aside, folder);
    throw error;
  }
  if (replaced) await rm(aside, { recursive: true, force: true });
}

/** Removes all of a folder but these names. */
export async function clearBut(folder: string, keep: string[]): Promise<void> {
  const kept = new Set(keep);
  for (const name of await readdir(folder)) if (!kept.has(name)) await rm(join(folder, name), { recursive: true, force: true });
}

/** What differs between the rows of two stores, in words. */
export function differing(is: Omit<FeaturesManifest["store"], "path">, was: FeaturesManifest["store"], names: (keyof typeof is)[], leave: string[] = []): string[] {
  const found = names.filter((key) => is[key] !== was[key]).map((key) => `${key} ${is[key]} instead of ${was[key]}`);
  for (const key of new Set([...Object.keys(is.settings), ...Object.keys(was.settings)])) {
    if (leave.includes(key)) continue;
    const [a, b] = [is.settings[key], was.settings[key]].map((value) => JSON.stringify(value));
    if (a !== b) found.push(`${key} ${a} instead of ${b}`);
  }
  return found;
}

/** @throws StoreError if the rows of this store are not those that were collected */
export function sameStore(store: Store, { store: was, sae: { hook } }: FeaturesManifest, path: string): void {
  const info = store.manifest.hooks.find(({ name }) => name === hook);
  const found = differing(storeFacts(store, info?.width ?? 0), was, ["model", "texts", "rows", "width"]);
  if (!info) found.push(`no hook ${hook}`);
  if (!found.length) return;
  throw new StoreError(
    `${store.path}: expected the store that ${path} was collected from, found another: ${found.join("; ")}. Collect again.`,
  );
}

/**
 * @param name MANIFEST, or UNFINISHED of a family that is being made
 * @throws FormatError if there is none, or it is of another version or damaged
 */
export function readManifest(path: string, name = MANIFEST): FeaturesManifest {
  const where = join(path, name);
  if (!existsSync(where)) {
    const stopped = name === MANIFEST && existsSync(join(partOf(resolve(path)), UNFINISHED));
    throw new FormatError(
      stopped
        ? `${path}: expected a folder with ${name}, found a collection that is at work or was stopped. Collect again with the same options and folder: it goes on from there.`
        : `${path}: expected a folder with ${name}, found none. collect(store, sae, { folder }) makes one.`,
    );
  }
  let manifest: FeaturesManifest;
  try {
    manifest = JSON.parse(readFileSync(where, "utf8"));
  } catch (error) {
    throw damaged(where, "JSON", (error as Error).message);
  }
  if (manifest?.format !== "saelab-features")
    throw new FormatError(`${where}: format: expected "saelab-features", found ${JSON.stringify(manifest?.format)}.`);
  if (manifest.version !== 2) {
    throw new FormatError(
      `${where}: version: expected 2, found ${JSON.stringify(manifest.version)}. Another version of saelab wrote it: use that one, or collect again.`,
    );
  }
  const problem = manifestProblem(manifest, name === MANIFEST);
  if (problem) throw damaged(where, ...problem);
  return manifest;
}

/** @throws FormatError if a file that the manifest names is missing, or not as long as it says */
export function requireWhole(path: string, { shards, blocks }: FeaturesManifest): void {
  for (const { file, bytes } of [...shards, ...blocks]) {
    const found = sizeOf(join(path, file));
    if (found !== bytes) throw damaged(join(path, file), `${bytes} bytes`, found < 0 ? "no such file" : `${found} bytes`);
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The first field that is not as it should be: [expected, found]. */
function manifestProblem({ store, sae, rows, documents, ranges, split, settings, shards, blocks }: FeaturesManifest, whole: boolean): [string, string] | undefined {
  if (!["string", "undefined"].includes(typeof store?.path) || typeof store?.settings !== "object" || !store.settings || !isCount(store.rows))
    return ["store: path, rows, settings", JSON.stringify(store)];
  if (typeof sae?.hook !== "string" || ![sae.latents, sae.k, sae.d].every((n) => isCount(n) && n > 0))
    return ["sae: hook, latents, k, d", JSON.stringify(sae)];
  if (typeof split !== "string" || !isCount(documents) || !isCount(settings?.context))
    return ["split, documents and settings", JSON.stringify({ split, documents, settings })];
  if (!Array.isArray(ranges) || !ranges.every((one) => isCount(one?.from) && isCount(one.to) && one.from <= one.to))
    return ["ranges: a list of from, to", JSON.stringify(ranges)];
  const isShard = (one: CodesShard, i: number): boolean => one?.file === codesFile(i) && [one.rows, one.columns, one.firings, one.bytes].every(isCount);
  if (!Array.isArray(shards) || !shards.every(isShard))
    return ["shards: a list of file, rows, columns, firings, bytes, in order", JSON.stringify(shards)];
  if (!whole) return undefined;
  const [read, held] = [ranges.reduce((sum, { from, to }) => sum + to - from, 0), shards.reduce((sum, one) => sum + one.rows, 0)];
  if (read !== rows || held !== rows) return [`${rows} rows in ranges and in shards`, `${read} and ${held}`];
  const isBlock = (one: FeaturesManifest["blocks"][number], i: number): boolean =>
    one?.file === examplesFile(i) && one.from === (i ? blocks[i - 1].to : 0) && one.to > one.from && isCount(one.bytes);
  if (!Array.isArray(blocks) || !blocks.every(isBlock) || blocks.at(-1)?.to !== sae.latents)
    return [`blocks: a list of file, from, to, bytes, of ${sae.latents} latents`, JSON.stringify(blocks)];
  return undefined;
}
