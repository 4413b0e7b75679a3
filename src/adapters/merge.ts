import { createReadStream, existsSync, statSync } from "node:fs";
import { link, rm, rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { OptionError, StoreError } from "../core/errors";
import { readHeader } from "../core/safetensors";
import type { Progress, Store } from "../core/types";
import { fileSource, requireSpace, writeAtomic } from "./files";
import { noRows } from "./contexts";
import { checkFolder, differences } from "./harvestsettings";
import { breathe, stopIfInterrupted } from "./interrupt";
import { takeLock } from "./lock";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { openStore } from "./store";
import {
  clear, damaged, DOCUMENTS, isWhole, LOCK, MANIFEST, ORIGIN_TENSORS, ownFiles, readState, sizeOf, storeManifest, TOKENS, UNFINISHED, writeJson,
  type PartManifest, type ShardEntry, type Unfinished,
} from "./storestate";
import { TOKENIZER_FILES } from "./tokenizer";

/** From the parts that several workers made to one store. */

export interface MergeOptions {
  keep?: boolean; // false: parts are taken away once the store is whole; true: they stay
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

interface FoundPart {
  path: string;
  manifest: PartManifest;
}

/** Largest relative difference of norm limits: processors of another kind sum in another order. */
const SAME_LIMIT = 1e-3;

/**
 * Makes a store out of all parts that `harvestPart` made, in any order; it is byte for byte what one process would have made (on
 * processors that compute alike). Shards on the same disk become links to the same bytes, those on other disks are copied; nothing of
 * a part is taken away before the store is whole. A merge that was killed is run again; one that is done opens the store.
 * @param folder where the store is to be; the folder that the parts stand in will do
 * @throws StoreError when a part is missing, unfinished, there twice, damaged, or of another model, text or setting; when the folder
 *   holds something else, or another process is at work in one of them
 * @throws TextError when all rows were dropped; DiskError; InterruptError, the parts untouched
 */
export async function mergeStores(parts: string[], folder: string, options: MergeOptions = {}): Promise<Store> {
  if (!parts.length) {
    throw new OptionError("parts: expected the folders that harvestPart made, found none. partFolders(folder) lists those in a folder.");
  }
  const { keep = false, progress = defaultProgress() } = options;
  const target = readState(folder);
  if (target.kind === "finished" && isWhole(folder, target.manifest)) {
    // merged before: what an interrupted clearing left is cleared
    for (const path of parts) {
      const state = readState(path);
      if (state.kind === "none") continue;
      const differing = differences(state.manifest, target.manifest);
      if (state.kind === "finished" || differing) throw mismatch(path, differing || "a whole store", folder);
    }
    if (!keep) for (const path of parts) await remove(path);
    return openStore(folder);
  }

  const found = checkParts(parts);
  const [{ manifest: first, path: firstPath }] = found;
  const taken: (() => void)[] = [];
  const take = (path: string): void => void taken.push(takeLock(join(path, LOCK), (holder) => new StoreError(
    `${path}: expected no harvest or merge in this folder, found one at work: ${holder}. ` +
    `Wait for it; if that process is gone, delete ${join(path, LOCK)}.`)));
  const existed = existsSync(folder);
  let begun = false;
  try {
    checkFolder(folder, first);
    const describing = [DOCUMENTS, TOKENS, ...TOKENIZER_FILES].filter((file) => existsSync(join(firstPath, file)));
    await requireSpace(folder, 0);
    await requireSpace(folder, bytesToCopy(folder, found, describing));
    take(folder);
    if (!keep) found.forEach(({ path }) => take(path));

    const shards = first.shards.map((_, shard) => found[shard % found.length].manifest.shards[shard]!);
    const fileOf = (shard: number): string => join(found[shard % found.length].path, shards[shard].file);
    shards.forEach((entry, shard) => checkShard(fileOf(shard), entry, first)); // all before anything is written
    const { format: _format, part: _part, ...described } = first;
    const unfinished: Unfinished = { format: "saelab-store", ...described, shards: shards.map(() => null), documentsKept: 0 };
    const manifest = storeManifest(first, shards);
    if (!manifest.rows) throw noRows(first.texts.tokens, manifest.dropped);
    await writeJson(join(folder, UNFINISHED), unfinished); // whenever this is killed, the folder says what it is
    begun = true;
    for (const file of describing) await place(join(firstPath, file), join(folder, file));
    const tell = meter("merge", shards.length, "shards", progress);
    for (const [shard, entry] of shards.entries()) {
      const to = join(folder, entry.file);
      if (sizeOf(to) !== entry.bytes) await place(fileOf(shard), to); // else a killed merge put it there
      tell(shard + 1);
      await breathe();
      stopIfInterrupted(`The parts are as they were, ${shard + 1} of ${shards.length} shards are in ${folder}: merge again to go on.`);
    }
    await writeJson(join(folder, MANIFEST), manifest);
    await rm(join(folder, UNFINISHED), { force: true });
    const store = await openStore(folder);
    if (!keep) for (const { path } of found) await remove(path);
    return store;
  } catch (error) {
    // shards that are in their places stay for the next run; without any there is nothing to keep
    if (begun && target.kind === "none" && !ownFiles(folder).some((file) => file.startsWith("shard-"))) await clear(folder, []);
    throw error;
  } finally {
    for (const release of taken) release();
    if (!existed) await rmdir(folder).catch(() => {}); // only if nothing is in it
    if (!keep && !existsSync(join(folder, UNFINISHED))) for (const { path } of found) await rmdir(path).catch(() => {});
  }
}

/** All parts in their order, held against the first. */
function checkParts(paths: string[]): FoundPart[] {
  const all = paths.map((path): FoundPart => {
    const state = readState(path);
    if (state.kind === "part") return { path, manifest: state.manifest };
    const { part, shards } = state.kind === "none" ? { part: undefined, shards: [] } : (state.manifest as Unfinished);
    const mine = shards.filter((_, shard) => part && shard % part.of === part.index);
    const words =
      part ? `one that was stopped: ${mine.filter(Boolean).length} of ${mine.length} shards are there`
        : state.kind === "none" ? (existsSync(path) ? `no ${MANIFEST} in it` : "no such folder") : "a store of its own";
    throw new StoreError(
      `${path}: expected a finished part, found ${words}. ` +
      (part ? "Run its harvest again: it goes on from there." : "saelab harvest --shard i/n, or harvestPart, makes parts."));
  });
  const [{ path, manifest: one }] = all;
  const { of } = one.part;
  const found: FoundPart[] = [];
  for (const each of all) {
    const { manifest } = each;
    const { index } = manifest.part;
    if (manifest.part.of !== of) throw mismatch(each.path, `part ${index} of ${manifest.part.of}, not of ${of}`, path);
    const differing = differences(manifest, one);
    if (differing) throw mismatch(each.path, differing, path);
    if (manifest.shards.length !== one.shards.length || manifest.texts.tokens !== one.texts.tokens) {
      throw mismatch(each.path, `${manifest.texts.tokens} tokens in ${manifest.shards.length} shards, not ${one.texts.tokens} in ${one.shards.length}`, path);
    }
    if (found[index]) {
      if (resolve(found[index].path) === resolve(each.path)) throw new OptionError(`parts: expected each folder once, found ${each.path} twice. Leave one out.`);
      throw mismatch(each.path, `part ${index} too`, found[index].path);
    }
    found[index] = each;
    if (!isWhole(each.path, manifest)) {
      const lost = [...(index ? [] : [DOCUMENTS, TOKENS]), ...manifest.shards.flatMap((shard) => (shard && sizeOf(join(each.path, shard.file)) !== shard.bytes ? shard.file : []))];
      throw new StoreError(
        `${each.path}: expected all files of its ${MANIFEST}, found one missing or cut off (${lost.slice(0, 3).join(", ")}). Run its harvest again: it makes what is missing.`);
    }
  }
  const missing: number[] = [];
  for (let index = 0; index < of && missing.length < 9; index++) if (!found[index]) missing.push(index);
  if (missing.length) {
    const many = missing.length > 1;
    throw new StoreError(
      `parts: expected all ${of}, found ${all.length}: ${missing.slice(0, 8).join(", ")}${missing.length > 8 ? ", …" : ""} ` +
      `(counted from 0) ${many ? "are" : "is"} missing. Harvest ${many ? "them" : "it"}: saelab harvest … --shard ${missing[0]}/${of}.`);
  }
  for (const { path: where, manifest } of found) checkLimits(where, manifest, found[0]);
  return found;
}

/** Parts drop rows by the same norms. */
function checkLimits(where: string, manifest: PartManifest, first: FoundPart): void {
  const limitsOf = ({ hooks, settings }: PartManifest): Map<string, number | null> =>
    new Map(((settings.normLimits ?? []) as (number | null)[]).map((limit, h) => [hooks[h].name, limit]));
  const want = limitsOf(first.manifest);
  for (const [hook, limit] of limitsOf(manifest)) { // empty for a part that has no shards
    const other = want.get(hook) ?? null;
    const same = limit === null || other === null ? limit === other : Math.abs(limit - other) <= SAME_LIMIT * other;
    if (!same) throw mismatch(where, `rows of ${hook} up to a norm of ${limit}, not ${other}`, first.path);
  }
}

const mismatch = (path: string, found: string, other: string): StoreError =>
  new StoreError(
    `${path}: expected a part of the same store as ${other}, found ${found}. ` +
    "All parts are of one model, one corpus and the same settings: harvest this one again like the others, or leave it out.");

/** A shard's header says what the manifests say. */
function checkShard(path: string, { rows }: ShardEntry, { hooks, dtype }: PartManifest): void {
  const source = fileSource(path);
  try {
    const { tensors } = readHeader(source, path);
    const wanted: [string, string, number[]][] = [
      ...hooks.map(({ name, width }): [string, string, number[]] => [name, dtype, [rows, width]]),
      ...ORIGIN_TENSORS.map((name): [string, string, number[]] => [name, "I32", [rows]]),
    ];
    for (const [name, type, shape] of wanted) {
      const info = tensors.get(name);
      if (info?.dtype !== type || `${info.shape}` !== `${shape}`) {
        throw damaged(path, `tensor "${name}" ${type} [${shape}]`, info ? `${info.dtype} [${info.shape}]` : "none of this name");
      }
    }
  } finally {
    source.close();
  }
}

/** Bytes of parts that lie on another disk than the folder. */
function bytesToCopy(folder: string, found: FoundPart[], describing: string[]): number {
  const { dev } = statSync(folder);
  return found.reduce((sum, { path, manifest: { shards, part } }) => {
    if (statSync(path).dev === dev) return sum;
    const described = part.index ? 0 : describing.reduce((all, file) => all + sizeOf(join(path, file)), 0);
    return sum + described + shards.reduce((all, shard) => all + (shard?.bytes ?? 0), 0);
  }, 0);
}

/** What tells that the disk, or this pair of disks, has no links. */
const NO_LINKS = ["EXDEV", "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EACCES"];

/** Puts a whole file into its place: as a second name of the same bytes, else as a copy. */
async function place(from: string, to: string): Promise<void> {
  try {
    await rm(to, { force: true });
    await link(from, to);
  } catch (error) {
    if (!NO_LINKS.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await writeAtomic(to, createReadStream(from, { highWaterMark: 2 ** 22 }));
  }
}

/** Takes a part's folder away; its manifest last, so that it is known for what it is until then. */
async function remove(path: string): Promise<void> {
  if (readState(path).kind !== "none") {
    const files = ownFiles(path).filter((file) => file !== MANIFEST);
    for (const file of [...files, MANIFEST]) await rm(join(path, file), { force: true });
  }
  await rmdir(path).catch(() => {}); // its lock may be in it, or something of the user's
}
