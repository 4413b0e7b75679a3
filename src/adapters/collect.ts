import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { BINS } from "../core/collect";
import { FormatError, OptionError, StoreError } from "../core/errors";
import type { Pieces } from "../core/pieces";
import { rowHash } from "../core/rowhash";
import { isPlain } from "../core/sae";
import type { Document, Model, Progress, Sae, Store } from "../core/types";
import { appended, type EarlierCodes } from "./collectappend";
import { modelToCollect, type ReadingOptions } from "./collectmodel";
import { placeOf, storeToCollect, type RowPiece, type RowsToCollect } from "./collectrows";
import { columnNames } from "./columns";
import { codesReader, codesWriter, type CodesShard } from "./codes";
import { clearBut, lockOf, MANIFEST, moveInto, partOf, readManifest, tidy, UNFINISHED, type FeaturesManifest } from "./family";
import { writeFamily } from "./familywriter";
import { openFeatures, wholeNumber, type Features } from "./features";
import { requireSpace } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { takeLock } from "./lock";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { sizeOf, writeJson } from "./storestate";

const HASHED = 1 << 24; // bytes hashed between two yields
const ASSUMED_L0 = 256; // latents a row for which space is asked where only thresholds bound them
const NOTHING = "Nothing of this collection was kept: collect again.";

export interface CollectOptions {
  examples?: number; // 12 contexts of the strongest peaks of each latent
  context?: number; // 16 tokens on either side of the peak
  perQuantile?: number; // 2 random firings of each quarter of the activations
  random?: number; // 2 random firings of all
  split?: "all" | "train" | "heldout"; // "all": scores want both sides; of a store
  hook?: string; // the SAE's, or the store's only one
  folder?: string; // <store>/features/<hash of store, SAE and options>; of a model .saelab/features/<hash>
  append?: Features | string; // none: features of a store whose first documents these are; what was encoded for them is taken over
  documents?: Document[]; // of a running model: what it is to read
  reading?: ReadingOptions; // of a running model: as for a harvest
  shardRows?: number; // 65,536 rows of codes a file: what a killed run may lose; of a model a shard of a harvest
  seed?: number; // 0: which random firings are shown
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

/**
 * Encodes every row once and keeps, for each latent: on how many rows and documents it fires, its mean, maximum and histogram, the tokens and
 * places that it fires on, the latents that fire with it, the contexts of its strongest peaks (near-duplicates folded) and of some random
 * firings of each quarter of its activations, with its activation at every token of them.
 *
 * Codes are written down as they come and read again a block of latents at a time: memory grows with the rows by 12 bytes each. A run that was
 * killed or interrupted goes on from its last whole shard of codes, and ends with the same bytes. A collection that is finished is opened.
 *
 * @param from what `harvest` made; or a model, which then reads `documents` by the rules of a harvest: no rows are kept, but the texts are
 * @throws OptionError, StoreError (another process collects into the folder; `append` is of something else), DiskError, TextError before the
 *   work starts; InterruptError, whole shards kept
 */
export async function collect(from: Store | Model, sae: Sae, options: CollectOptions = {}): Promise<Features> {
  return (await make(from, [sae], options, options.folder && [options.folder]))[0];
}

/**
 * {@link collect} for several SAEs, each at its own hook, in one pass over the rows or one of the model. Families are those of one at a time,
 * except that rows of a model are dropped that are sinks at any of the hooks.
 * @param options folder: families are `<folder>/0`, `<folder>/1`, …
 */
export async function collectAll(from: Store | Model, saes: Sae[], options: Omit<CollectOptions, "hook" | "append"> = {}): Promise<Features[]> {
  if (!Array.isArray(saes) || !saes.length) throw new OptionError("collectAll: saes: expected a list of at least one, found none.");
  return make(from, saes, options, options.folder && saes.map((_, i) => join(options.folder!, `${i}`)));
}

/** A family on its way. */
interface Making {
  sae: Sae;
  hook: string;
  folder: string;
  /** What is known of it: the shards that are whole, no blocks yet. */
  manifest: FeaturesManifest;
  earlier?: EarlierCodes;
}

async function make(from: Store | Model, saes: Sae[], options: CollectOptions, folders?: string[] | ""): Promise<Features[]> {
  const { examples = 12, context = 16, perQuantile = 2, random = 2, split = "all", seed = 0, shardRows = 65_536, progress = defaultProgress() } = options;
  for (const [name, value, least] of [["examples", examples, 1], ["context", context, 0], ["perQuantile", perQuantile, 0], ["random", random, 0], ["shardRows", shardRows, 1], ["seed", seed, 0]] as const)
    wholeNumber(name, value, least);
  if (!["all", "train", "heldout"].includes(split))
    throw new OptionError(`collect: split: expected "all", "train" or "heldout", found "${split}".`);
  const rows = "read" in from ? storeToCollect(from, split, shardRows) : await modelToCollect(from, saes, options);
  if ("read" in from && (options.documents || options.reading))
    throw new OptionError(`${from.path}: expected a model beside documents or reading, found a store, which has its own. Leave them out.`);
  const settings = { examples, context, perQuantile, random, seed };
  const list: Making[] = [];
  for (const [i, sae] of saes.entries()) list.push(await planned(rows, sae, options.hook, split, settings, folders ? folders[i] : undefined));
  const twice = list.find(({ folder }, i) => list.findIndex((one) => one.folder === folder) < i);
  if (twice) throw new OptionError(`collect: expected SAEs of different weights or hooks, found one twice (${twice.folder}). Leave one out.`);

  const store = "read" in from ? from : undefined;
  const found = await Promise.all(list.map(({ folder, manifest }) => opened(folder, manifest, store)));
  const makings: Making[] = [];
  const releases: (() => void)[] = [];
  try {
    for (const [i, one] of list.entries()) {
      if (found[i]) continue;
      await spaceFor(one, rows);
      releases.push(locked(one.folder));
      found[i] = await opened(one.folder, one.manifest, store); // whoever had the lock before may have finished it
      if (!found[i]) makings.push(await begun(one, rows, options.append));
    }
    await encodeAll(rows, makings, progress);
    for (const making of makings) await finish(making, rows, progress);
  } catch (error) {
    for (const one of found) one?.close();
    // whole shards are gone on from; without any, or of rows that cannot be used, there is nothing to keep
    for (const { folder, manifest } of makings) if (!manifest.shards.length) await rm(partOf(folder), { recursive: true, force: true });
    throw error;
  } finally {
    for (const { earlier } of makings) earlier?.close();
    for (const release of releases) release();
  }
  return Promise.all(list.map(async ({ folder }, i) => found[i] ?? openFeatures(folder, { store })));
}

/** SHA-256 over shapes and arrays of an SAE: the same of one that was saved in another layout, which has batch top-k as a JumpReLU of one threshold. */
export function* saeHash({ weights }: Sae): Pieces<string> {
  const hash = createHash("sha256").update(JSON.stringify([weights.d, weights.latents, weights.k]));
  const arrays = [weights.wEnc, weights.bEnc, weights.wDec, weights.bDec];
  if (!isPlain(weights)) {
    const jumps = weights.kind === "batchtopk" || weights.kind === "jumprelu" ? weights.threshold : undefined;
    const same = jumps === undefined ? weights : { ...weights, kind: "jumprelu", threshold: typeof jumps === "number" ? new Float32Array(weights.latents).fill(jumps) : jumps };
    const others = Object.entries(same).filter(([, value]) => value !== undefined && !arrays.includes(value)).sort(([a], [b]) => (a < b ? -1 : 1));
    hash.update(JSON.stringify(others.filter(([, value]) => !ArrayBuffer.isView(value))));
    for (const [, value] of others) if (ArrayBuffer.isView(value)) arrays.push(value as Float32Array);
  }
  for (const array of arrays) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at += HASHED) {
      hash.update(bytes.subarray(at, at + HASHED));
      yield;
    }
  }
  return hash.digest("hex");
}

/** What is to be made of an SAE, and where. */
async function planned(
  rows: RowsToCollect, sae: Sae, asked: string | undefined, split: string, settings: FeaturesManifest["settings"], given?: string,
): Promise<Making> {
  const hook = placeOf(rows, sae, asked);
  const { d, latents, k } = sae.weights;
  const sha256 = await inPieces(saeHash(sae), NOTHING);
  const { path, ...facts } = rows.facts(hook);
  const name = createHash("sha256").update(JSON.stringify([2, facts, sha256, hook, split, settings])).digest("hex").slice(0, 12);
  const folder = resolve(given ?? join(path ?? ".saelab", "features", name));
  const store = { ...(path === undefined ? {} : { path: relative(folder, resolve(path)) || "." }), ...facts };
  const manifest: FeaturesManifest = {
    format: "saelab-features",
    version: 2,
    store,
    sae: { sha256, hook, latents, k, d },
    rows: facts.rows,
    documents: rows.documents,
    ranges: rows.ranges ?? [],
    split,
    settings,
    shards: [],
    blocks: [],
  };
  return { sae, hook, folder, manifest };
}

/** What decides the codes of a family; what a model's pass finds on its way left out. */
function identity({ store, sae, documents, ranges, split }: FeaturesManifest): string {
  const { path, rows, settings: { normLimits, ...settings }, ...facts } = store;
  const stored = path === undefined ? [] : [rows, normLimits, ranges];
  return JSON.stringify([facts, settings, stored, sae, documents, split]);
}

/** A family that is there already, and the same. */
async function opened(folder: string, manifest: FeaturesManifest, store?: Store): Promise<Features | undefined> {
  await tidy(folder);
  await requireFree(folder);
  if (!existsSync(join(folder, MANIFEST))) return undefined;
  try {
    const found = readManifest(folder);
    if (identity(found) === identity(manifest) && JSON.stringify(found.settings) === JSON.stringify(manifest.settings)) return await openFeatures(folder, { store });
  } catch (error) {
    if (!(error instanceof FormatError)) throw error; // damaged, or of another version: to be replaced
  }
  const columns = columnNames(folder);
  if (!columns.length) return undefined;
  throw new OptionError(
    `${folder}: expected features that may be replaced, found others with ${columns.length === 1 ? "the column" : "columns"} ${columns.slice(0, 3).join(", ")}${columns.length > 3 ? "…" : ""} (labels, verdicts, scores), which would be lost. ` +
    `Choose another folder, or remove ${join(folder, "columns")} first.`);
}

/** @throws OptionError if something that is not a feature family is in the way */
async function requireFree(folder: string): Promise<void> {
  if (!existsSync(folder)) return;
  if (!statSync(folder).isDirectory())
    throw new OptionError(`${folder}: expected a folder or nothing, found a file. Choose another folder.`);
  const names = await readdir(folder);
  if (!names.length) return;
  const manifest = join(folder, MANIFEST);
  if (existsSync(manifest) && readFileSync(manifest, "utf8").includes('"saelab-features"')) return;
  throw new OptionError(
    `${folder}: expected an empty folder or features that may be replaced, found other files (${names.slice(0, 3).join(", ")}…). Choose another folder.`,
  );
}

/** Checks that the disk has room; makes the folder that the family will be in. */
async function spaceFor({ folder, manifest, sae }: Making, rows: RowsToCollect): Promise<void> {
  const { latents, k } = sae.weights;
  const { examples, perQuantile, random, context } = manifest.settings;
  const shown = examples + 4 * perQuantile + random;
  const active = k === latents ? Math.min(k, ASSUMED_L0) : k;
  await requireSpace(dirname(folder), rows.most * (active * 8 + 12) + latents * (BINS * 4 + shown * (28 + (2 * context + 1) * 8)));
}

/** @throws StoreError if another process, or another call, collects into the folder */
function locked(folder: string): () => void {
  const lock = lockOf(folder);
  return takeLock(lock, (holder) => new StoreError(
    `${folder}: expected no other collection into this folder, found one at work: ${holder}. Wait for it, or choose another folder; if that process is gone, delete ${lock}.`));
}

/** Takes over what a run that was stopped left, and of an earlier collection the codes. */
async function begun(one: Making, rows: RowsToCollect, append?: Features | string): Promise<Making> {
  const earlier = append === undefined ? undefined : appended(append, one.manifest, rows);
  const part = partOf(one.folder);
  await mkdir(part, { recursive: true });
  const shards = await whole(part, one.manifest, rows);
  const store = shards.length && !rows.ranges ? readState(part)!.store : one.manifest.store; // with what the model's pass had found
  const manifest = { ...one.manifest, store, shards };
  await clearBut(part, [UNFINISHED, ...shards.map(({ file }) => file)]);
  await writeJson(join(part, UNFINISHED), manifest);
  return { ...one, manifest, earlier };
}

/** The manifest of a family that was being made. */
function readState(part: string): FeaturesManifest | undefined {
  try {
    return readManifest(part, existsSync(join(part, UNFINISHED)) ? UNFINISHED : MANIFEST);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

/** Shards of codes that are there, from the first on, of the same rows and SAE. */
async function whole(part: string, manifest: FeaturesManifest, rows: RowsToCollect): Promise<CodesShard[]> {
  const state = readState(part);
  if (!state || identity(state) !== identity(manifest)) return [];
  const cut = state.shards.findIndex(({ file, bytes, rows: n }, i) => sizeOf(join(part, file)) !== bytes || (rows.ranges && n !== rows.before(i + 1) - rows.before(i)));
  const shards = cut < 0 ? state.shards : state.shards.slice(0, cut);
  if (!rows.ranges || !shards.length) return shards;
  // a store may have been made again, with the same texts and other roundings
  const reader = codesReader(part, shards, manifest.sae.latents);
  try {
    const hashes = new Map(reader.hashes().map(({ from, hash }) => [from, hash]));
    for (const shard of new Set([0, shards.length - 1])) {
      for await (const { x } of rows.read([manifest.sae.hook], shard)) {
        if (`${rowHash(x.get(manifest.sae.hook)!)}` !== `${hashes.get(rows.before(shard))}`) return [];
        break;
      }
    }
  } catch (error) {
    if (error instanceof StoreError) return []; // rows that cannot be used
    throw error;
  } finally {
    reader.close();
  }
  return shards;
}

/** Encodes all rows that are not encoded yet, piece by piece, into shards. */
async function encodeAll(rows: RowsToCollect, makings: Making[], progress?: Progress): Promise<void> {
  const first = makings.reduce((least, { manifest }) => Math.min(least, manifest.shards.length), rows.shards);
  if (first === rows.shards) return;
  const told = meter("collect", rows.total, rows.unit, progress, rows.before(first));
  const left = makings.filter(({ manifest }) => manifest.shards.length < rows.shards);
  const writers = left.map(({ manifest: { sae: { k, latents } } }) => codesWriter(rows.shardRows, k < latents ? k : 0)); // k = F: thresholds alone bound them
  rows.goOn?.(left.map(({ manifest }) => manifest));
  for await (const piece of checkedRows(rows, left, first)) {
    stopIfInterrupted(kept(left.map(({ manifest }) => manifest)));
    const hashes = new Map(Array.from(piece.x, ([hook, x]) => [hook, rowHash(x)]));
    for (const [i, { sae, hook, folder, manifest, earlier }] of left.entries()) {
      const { shards } = manifest;
      if (shards.length > piece.shard) continue;
      if (piece.n) {
        const codes = earlier?.find(piece.done - piece.n, piece.n, hashes.get(hook)!) ?? sae.encode(piece.x.get(hook)!);
        writers[i].add(codes, piece.origin, hashes.get(hook)!);
      }
      if (!piece.last) continue;
      const { path } = manifest.store;
      shards.push(await writers[i].flush(partOf(folder), shards.length));
      manifest.store = { ...rows.facts(hook), ...(path === undefined ? {} : { path }) };
      await writeJson(join(partOf(folder), UNFINISHED), manifest);
    }
    told(piece.done);
    await breathe();
  }
}

/** Rows of all hooks from a shard on. Where they cannot be used, shards made of such rows before them are not kept. */
async function* checkedRows(rows: RowsToCollect, makings: Making[], first: number): AsyncGenerator<RowPiece> {
  try {
    yield* rows.read([...new Set(makings.map(({ hook }) => hook))], first);
  } catch (error) {
    if (error instanceof StoreError) for (const { manifest } of makings) manifest.shards.length = 0;
    throw error;
  }
}

/** What an interrupt leaves. */
const kept = (manifests: FeaturesManifest[]): string => {
  const shards = manifests.reduce((most, one) => Math.max(most, one.shards.length), 0);
  return shards ? `${shards} shards of codes are kept: collect again to go on.` : NOTHING;
};

/** Finds what there is in the codes, and moves the family into its place. */
async function finish({ folder, manifest }: Making, rows: RowsToCollect, progress?: Progress): Promise<void> {
  const part = partOf(folder);
  const count = manifest.shards.reduce((sum, shard) => sum + shard.rows, 0);
  const store = { ...manifest.store, rows: rows.ranges ? manifest.store.rows : count };
  const written: FeaturesManifest = { ...manifest, store, rows: count, ranges: rows.ranges ?? [{ from: 0, to: count }] };
  await rows.keepTexts?.(part);
  const reader = codesReader(part, manifest.shards, manifest.sae.latents);
  try {
    written.blocks = await writeFamily(part, written, reader, rows.texts, kept([manifest]), progress);
  } finally {
    reader.close();
  }
  await writeJson(join(part, MANIFEST), written);
  await rm(join(part, UNFINISHED), { force: true });
  await moveInto(part, folder);
}
