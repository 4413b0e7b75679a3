import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import {
  BINS,
  blockExamples,
  bySize,
  firingsOf,
  GROUPS,
  histogramOf,
  joinExamples,
  latentBlocks,
  latentStatistics,
  tokenSpread,
  TRIGGERS,
  type ExampleArrays,
  type RowOrigins,
  type TokenSpread,
} from "../core/collect";
import { FormatError, OptionError, StoreError } from "../core/errors";
import { featureRows, FEATURE_COLUMNS } from "../core/featuretable";
import type { ShownFeature, Words } from "../core/heatmap";
import { DENSE } from "../core/measure";
import { readFloats, readHeader, readInts, writeSafetensors, type TensorToWrite } from "../core/safetensors";
import type { Pieces } from "../core/pieces";
import type { Range } from "../core/split";
import { bytesToText } from "../core/token";
import type { Example, Progress, Sae, Sparse, Store } from "../core/types";
import { fileSource, requireSpace, writeAtomic } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { DISPLAY, heatMap, showing, type FeatureList, type ShownNow } from "./show";
import { openStore, rowsOf } from "./store";
import { dataFrame, type DataFrame } from "./table";

/**
 * A store and an SAE → features, a family of files in one folder:
 *
 *   manifest.json           what it is, of which rows, store and SAE; a folder with it is whole
 *   statistics.safetensors  of each latent: fired, mean, max [F]; histogram [F, 128] (bins of core/collect); entropy, distinct [F]; trigger, triggerMean [F, 5]
 *   examples.safetensors    offset [F + 1] → group, count, document, position, peak, goesOn [E] and start [E + 1] → tokens, values [T]
 *   names.json              text of every token met there (its bytes in base64) and names of the documents
 *   codes-00000.safetensors …  index, value [rows, k]: what the SAE made of each row, so that scores and contexts need no second encode
 *
 * It is made beside its place and moved there when it is whole.
 */
const MANIFEST = "manifest.json";
const SHARD_ROWS = 65_536;
const STOPPED = "Nothing of this collection was kept: collect again.";
const HASHED = 1 << 24; // bytes hashed between two yields
const OPEN_SHARDS = 32; // file descriptors that features hold at most for codes
const RARE = 1 / 50_000; // a latent that fires on fewer rows fires by accident
const codesFile = (shard: number): string => `codes-${String(shard).padStart(5, "0")}.safetensors`;

export interface CollectOptions {
  examples?: number; // 12 contexts of the strongest peaks of each latent
  context?: number; // 16 tokens on either side of the peak
  perQuantile?: number; // 2 random firings of each quarter of the activations
  random?: number; // 2 random firings of all
  split?: "all" | "train" | "heldout"; // "all": scores want both sides
  hook?: string; // the SAE's, or the store's only one
  folder?: string; // <store>/features/<hash of store, SAE and options>
  seed?: number; // 0: which random firings are shown
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface FeaturesManifest {
  format: "saelab-features";
  version: 1;
  /** The store it was made from, as far as it decides the rows. */
  store: { path: string; model: string; texts: string; rows: number; width: number; settings: Record<string, unknown> };
  sae: { sha256: string; hook: string; latents: number; k: number; d: number };
  rows: number;
  /** Rows of the store that were read, in this order. */
  ranges: Range[];
  split: string;
  settings: { examples: number; context: number; perQuantile: number; random: number; seed: number };
  shards: { file: string; rows: number }[];
}

/** A feature with everything the collection knows of it. */
export interface CollectedFeature extends ShownFeature, ShownNow {
  more: { name: string; examples: Example[] }[];
  /** Bits, of the tokens' shares of its activation mass: 0 is one token, 10 as many as a thousand equal ones. */
  entropy: number;
  /** Different tokens among its 100 strongest firings. */
  distinctTokens: number;
  /** Tokens of largest mean activation, of those on which it fires at least three times and on one firing in a hundred. */
  triggers: { token: number; text: string; mean: number }[];
  words: Words;
}

export interface TopOptions {
  count?: number; // 20 features
  by?: "max" | "mean" | "density" | "entropy"; // "max": largest first; entropy smallest first: one-token features
  latents?: number[]; // these, in this order; `by` is not asked
  examples?: number; // as many as were collected
  dense?: boolean; // false: latents that fire on more than a tenth of the rows are passed over
  rare?: boolean; // false: so are those that fire on fewer than one row in 50,000; by entropy or mean the accidents would come first
}

export interface Features extends ShownNow {
  path: string;
  manifest: FeaturesManifest;
  /** Latents, dead ones included. */
  count: number;
  rows: number;
  words: Words;
  feature(latent: number): CollectedFeature;
  /** A choice of features, dead ones passed over; shows itself as heat maps. */
  top(options?: TopOptions): FeatureList<CollectedFeature> & ShownNow;
  /** One row a latent, as a danfojs DataFrame. */
  table(): DataFrame;
  /** One feature in full: whole contexts, every group. */
  card(latent: number): ShownNow;
  /** What the SAE made of rows from … to, counted over `manifest.ranges` one after the other. */
  codes(from: number, to: number): Sparse;
  /** Rows on which each latent fires. */
  fired: Int32Array;
  /** Of each latent: share of rows, mean over the rows on which it fires, maximum. */
  statistics: { density: Float32Array; mean: Float32Array; max: Float32Array };
  /** The store it was collected from. @throws StoreError if it is gone or another one */
  store(): Promise<Store>;
  close(): void;
}

const wholeNumber = (name: string, value: number, least: number): void => {
  if (!Number.isSafeInteger(value) || value < least)
    throw new OptionError(`collect: ${name}: expected a whole number from ${least} on, found ${value}.`);
};

/** What decides the rows of a store at a hook, as JSON keeps it. */
const storeFacts = ({ manifest: { model, texts, settings }, rows }: Store, width: number) => ({
  model: model.sha256,
  texts: texts.sha256,
  rows,
  width,
  settings: JSON.parse(JSON.stringify(settings)) as Record<string, unknown>,
});

/** SHA-256 over shapes and arrays of an SAE. */
function* saeHash({ weights }: Sae): Pieces<string> {
  const hash = createHash("sha256").update(JSON.stringify([weights.d, weights.latents, weights.k]));
  for (const array of [weights.wEnc, weights.bEnc, weights.wDec, weights.bDec]) {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let at = 0; at < bytes.length; at += HASHED) {
      hash.update(bytes.subarray(at, at + HASHED));
      yield;
    }
  }
  return hash.digest("hex");
}

/**
 * Encodes every row once and keeps, for each latent: on how many rows it fires, its mean, maximum and
 * histogram (codes are written down, and read again a block of latents at a time), the contexts of its strongest peaks (near-duplicates folded) and of some random firings of each quarter of
 * its activations, with its activation at every token of them.
 * @param store what `harvest` made
 * @throws OptionError, StoreError, DiskError before the work starts; InterruptError, when asked to stop: nothing is kept
 *   then
 */
export async function collect(store: Store, sae: Sae, options: CollectOptions = {}): Promise<Features> {
  const {
    examples = 12,
    context = 16,
    perQuantile = 2,
    random = 2,
    split = "all",
    seed = 0,
    progress = defaultProgress(),
  } = options;
  wholeNumber("examples", examples, 1);
  wholeNumber("context", context, 0);
  wholeNumber("perQuantile", perQuantile, 0);
  wholeNumber("random", random, 0);
  if (!["all", "train", "heldout"].includes(split))
    throw new OptionError(`collect: split: expected "all", "train" or "heldout", found "${split}".`);
  const trained = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
  const hook = store.hook(options.hook ?? trained);
  const { d, latents, k } = sae.weights;
  const width = store.width(hook);
  if (width !== d) {
    throw new OptionError(
      `${store.path}: ${hook}: expected rows of width ${d}, as the SAE has, found ${width}. ` +
        `Name the hook it was trained on${sae.hook ? ` (${sae.hook})` : ""}: collect(store, sae, { hook }).`,
    );
  }
  const ranges = rowsOf(store, split);
  const rows = ranges.reduce((sum, { from, to }) => sum + to - from, 0);
  if (!rows)
    throw new StoreError(
      `${store.path}: expected rows on the side "${split}", found none. Take another side, or harvest more documents.`,
    );
  store.documents(); // what is read only at the end has to be there before the work
  void store.tokenizer;
  const sha256 = await inPieces(saeHash(sae), STOPPED);
  const settings = { examples, context, perQuantile, random, seed };
  const facts = storeFacts(store, width);
  const name = createHash("sha256")
    .update(JSON.stringify([facts, sha256, hook, split, settings]))
    .digest("hex")
    .slice(0, 12);
  const folder = resolve(options.folder ?? join(store.path, "features", name));
  await tidy(folder);
  await requireFree(folder);
  const shown = examples + 4 * perQuantile + random;
  await requireSpace(dirname(folder), rows * k * 8 + latents * (BINS * 4 + shown * (28 + (2 * context + 1) * 8)));

  const part = join(dirname(folder), `.${basename(folder)}.${process.pid}-${(made += 1)}.part`);
  await mkdir(part);
  underWay.add(part);
  try {
    const shards = await writeCodes(store, sae, hook, ranges, rows, part, progress);
    const written: FeaturesManifest = {
      format: "saelab-features",
      version: 1,
      store: { path: relative(folder, resolve(store.path)) || ".", ...facts },
      sae: { sha256, hook, latents, k, d },
      rows,
      ranges,
      split,
      settings,
      shards: shards.list,
    };
    const reader = codesReader(part, written);
    try {
      await writeFeatures(store, part, written, shards.statistics, reader.read, progress);
    } finally {
      reader.close();
    }
    await writeAtomic(join(part, MANIFEST), [JSON.stringify(written, null, 2) + "\n"]);
    await moveInto(part, folder);
  } finally {
    await rm(part, { recursive: true, force: true }); // gone already when all went well
    underWay.delete(part);
  }
  return openFeatures(folder, { store });
}

/** Folders that calls of this process are filling. */
const underWay = new Set<string>();
let made = 0;

/** Whether a process of this machine is alive. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // alive, and someone else's
  }
}

/**
 * Removes what killed collections left beside a folder, and puts back a family that one of them had just moved aside to
 * replace it. What a living process is making is let be.
 */
async function tidy(folder: string): Promise<void> {
  const beside = dirname(folder);
  if (!existsSync(beside)) return;
  const prefix = `.${basename(folder)}.`;
  for (const name of await readdir(beside)) {
    const [, pid, old] = (name.startsWith(prefix) && /^(\d+)(?:-\d+)?\.part(\.old)?$/.exec(name.slice(prefix.length))) || [];
    if (!pid) continue;
    const path = join(beside, name);
    const busy = Number(pid) === process.pid ? underWay.has(path.replace(/\.old$/, "")) : isAlive(Number(pid));
    if (busy) continue;
    if (old && !existsSync(folder) && existsSync(join(path, MANIFEST))) await rename(path, folder);
    else await rm(path, { recursive: true, force: true });
  }
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

/** The old family goes aside first: a reader sees it, the new one, or (for an instant) none; never a mixture. */
async function moveInto(part: string, folder: string): Promise<void> {
  const aside = `${part}.old`;
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

/** Encodes all rows, chunk by chunk, into shards; counts on the way. */
async function writeCodes(
  store: Store,
  sae: Sae,
  hook: string,
  ranges: Range[],
  rows: number,
  part: string,
  progress?: Progress,
): Promise<{ list: FeaturesManifest["shards"]; statistics: ReturnType<ReturnType<typeof latentStatistics>["finish"]> }> {
  const { latents, k } = sae.weights;
  const chunk = Math.max(64, Math.min(8192, Math.floor(2 ** 23 / latents))); // the product [chunk, latents] stays within 32 MB
  const statistics = latentStatistics(latents);
  const list: FeaturesManifest["shards"] = [];
  const told = meter("collect", rows, "rows", progress);
  const size = Math.min(SHARD_ROWS, rows);
  const index = new Int32Array(size * k);
  const value = new Float32Array(size * k);
  let held = 0;
  let done = 0;
  const flush = async (): Promise<void> => {
    const file = codesFile(list.length);
    await writeAtomic(
      join(part, file),
      writeSafetensors([
        { name: "index", shape: [held, k], data: index.subarray(0, held * k) },
        { name: "value", shape: [held, k], data: value.subarray(0, held * k) },
      ]),
    );
    list.push({ file, rows: held });
    held = 0;
  };
  for (const range of ranges) {
    for (let from = range.from; from < range.to;) {
      stopIfInterrupted(STOPPED);
      const to = Math.min(range.to, from + Math.min(chunk, size - held));
      const x = store.read(hook, from, to);
      requireFinite(x, sae.weights.d, store, hook, from);
      const codes = sae.encode(x);
      statistics.add(codes);
      index.set(codes.index, held * k);
      value.set(codes.value, held * k);
      held += to - from;
      done += to - from;
      if (held === size || done === rows) await flush();
      told(done);
      from = to;
      await breathe();
    }
  }
  return { list, statistics: statistics.finish() };
}

/** @throws StoreError at the first row with a value that is no number: no latent could be told from it */
function requireFinite(x: Float32Array, d: number, store: Store, hook: string, first: number): void {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += 0 * x[i]; // NaN from the first NaN or infinity on
  if (sum === 0) return;
  const at = x.findIndex((v) => !Number.isFinite(v));
  const row = first + Math.floor(at / d);
  const { document, position } = store.origin(row, row + 1);
  throw new StoreError(
    `${store.path}: ${hook}: row ${row} (document "${store.documents()[document[0]].id}", token ${position[0]}): expected finite activations, found ${x[at]}. ` +
      "The model overflows there or its weights are damaged: leave that document out, or mend the model, and harvest again.",
  );
}

/** Turns the codes over, block of latents by block, and writes what is found. */
async function writeFeatures(
  store: Store,
  part: string,
  manifest: FeaturesManifest,
  statistics: ReturnType<ReturnType<typeof latentStatistics>["finish"]>,
  codes: (from: number, to: number) => Sparse,
  progress?: Progress,
): Promise<void> {
  const { rows, ranges, settings, sae } = manifest;
  const origin: RowOrigins = {
    document: new Int32Array(rows),
    position: new Int32Array(rows),
    token: new Int32Array(rows),
  };
  let at = 0;
  for (const { from, to } of ranges) {
    const { document, position, token } = store.origin(from, to);
    origin.document.set(document, at);
    origin.position.set(position, at);
    origin.token.set(token, at);
    at += to - from;
  }
  let vocabulary = 0;
  for (const id of origin.token) if (id >= vocabulary) vocabulary = id + 1;
  const blocks = latentBlocks(statistics.fired);
  const told = meter("collect: examples", sae.latents, "latents", progress);
  const found: ExampleArrays[] = [];
  const spread: TokenSpread = {
    entropy: new Float32Array(sae.latents),
    distinct: new Int32Array(sae.latents),
    token: new Int32Array(sae.latents * TRIGGERS),
    tokenMean: new Float32Array(sae.latents * TRIGGERS),
  };
  for (const block of blocks) {
    const { firings, add } = firingsOf(statistics.fired, block.from, block.to);
    for (let from = 0; from < rows; from += SHARD_ROWS) {
      add(from, codes(from, Math.min(rows, from + SHARD_ROWS)));
      stopIfInterrupted(STOPPED);
      await breathe();
    }
    const order = await inPieces(bySize(firings), STOPPED);
    const tokensOf = (document: number): Int32Array => store.tokens(document).ids;
    found.push(await inPieces(blockExamples(firings, origin, tokensOf, settings, order), STOPPED));
    const some = await inPieces(tokenSpread(firings, origin.token, vocabulary, order), STOPPED);
    spread.entropy.set(some.entropy, block.from);
    spread.distinct.set(some.distinct, block.from);
    spread.token.set(some.token, block.from * TRIGGERS);
    spread.tokenMean.set(some.tokenMean, block.from * TRIGGERS);
    told(block.to);
    await breathe();
  }
  const F = sae.latents;
  const { fired, mean, max, histogram } = statistics;
  await writeAtomic(
    join(part, "statistics.safetensors"),
    writeSafetensors([
      { name: "fired", shape: [F], data: fired },
      { name: "mean", shape: [F], data: mean },
      { name: "max", shape: [F], data: max },
      { name: "histogram", shape: [F, BINS], data: histogram },
      { name: "entropy", shape: [F], data: spread.entropy },
      { name: "distinct", shape: [F], data: spread.distinct },
      { name: "trigger", shape: [F, TRIGGERS], data: spread.token },
      { name: "triggerMean", shape: [F, TRIGGERS], data: spread.tokenMean },
    ]),
  );
  const all = joinExamples(found);
  const tensors: TensorToWrite[] = Object.entries(all).map(([name, data]) => ({ name, shape: [data.length], data }));
  await writeAtomic(join(part, "examples.safetensors"), writeSafetensors(tensors));
  const { tokenizer } = store;
  const tokens: Record<number, string> = {};
  for (const id of new Set([...all.tokens, ...spread.token]))
    if (id >= 0) tokens[id] = Buffer.from(tokenizer.bytes(id)).toString("base64");
  const names = store.documents();
  const documents: Record<number, string> = {};
  for (const document of new Set(all.document)) documents[document] = names[document].id;
  await writeAtomic(join(part, "names.json"), [JSON.stringify({ tokens, documents })]);
}

const damaged = (path: string, expected: string, found: string): FormatError =>
  new FormatError(`${path}: expected ${expected}, found ${found}. The family is damaged: collect again.`);

/** A file of tensors whose names, types and shapes are known beforehand. */
interface Tensors {
  ints(name: string, from?: number, to?: number): Int32Array;
  floats(name: string, from?: number, to?: number): Float32Array;
  /** Size of a tensor of one axis. */
  length(name: string): number;
  close(): void;
}

/**
 * @param expected type and shape of each tensor; a name in a shape stands for a size that all tensors with that name share
 * @throws FormatError if the file is missing, cut off, or holds something else
 */
function openTensors(path: string, expected: Record<string, [dtype: "I32" | "F32", ...shape: (number | string)[]]>): Tensors {
  let source: ReturnType<typeof fileSource>;
  try {
    source = fileSource(path);
  } catch (error) {
    throw damaged(path, "a file that can be read", (error as NodeJS.ErrnoException).code ?? String(error));
  }
  try {
    const { tensors } = readHeader(source, path);
    const sizes = new Map<string, number>();
    for (const [name, [dtype, ...shape]] of Object.entries(expected)) {
      const info = tensors.get(name);
      const size = (axis: number | string, i: number): number | undefined => {
        if (typeof axis === "number") return axis;
        if (!sizes.has(axis) && info) sizes.set(axis, info.shape[i]);
        return sizes.get(axis);
      };
      if (info?.dtype === dtype && info.shape.length === shape.length && shape.every((axis, i) => size(axis, i) === info.shape[i]))
        continue;
      const wanted = shape.map((axis, i) => size(axis, i) ?? axis).join(", ");
      throw damaged(path, `a tensor "${name}" ${dtype} [${wanted}]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none of this name");
    }
    return {
      ints: (name, from, to) => readInts(source, tensors.get(name)!, from, to),
      floats: (name, from, to) => readFloats(source, tensors.get(name)!, from, to),
      length: (name) => tensors.get(name)!.shape[0],
      close: source.close,
    };
  } catch (error) {
    source.close();
    if (error instanceof FormatError && !error.message.includes("collect again"))
      throw new FormatError(`${error.message} The family is damaged: collect again.`);
    throw error;
  }
}

/** Range reads of the codes, across shards. @throws FormatError if one of them is not what the manifest says */
function codesReader(
  folder: string,
  { shards, sae: { k } }: FeaturesManifest,
): { read(from: number, to: number): Sparse; close(): void } {
  const path = (i: number): string => join(folder, shards[i].file);
  const open = (i: number): Tensors => openTensors(path(i), { index: ["I32", shards[i].rows, k], value: ["F32", shards[i].rows, k] });
  shards.forEach((_, i) => open(i).close()); // all are looked at, few are held open
  const held = new Map<number, Tensors>(); // least recently used first
  const shard = (i: number): Tensors => {
    const found = held.get(i) ?? open(i);
    held.delete(i);
    held.set(i, found);
    for (const [old, { close }] of held) {
      if (held.size <= OPEN_SHARDS) break;
      held.delete(old);
      close();
    }
    return found;
  };
  const starts = [0];
  for (const { rows } of shards) starts.push(starts.at(-1)! + rows);
  return {
    read(from, to) {
      const out: Sparse = {
        n: to - from,
        k,
        index: new Int32Array((to - from) * k),
        value: new Float32Array((to - from) * k),
      };
      for (let i = 0; i < shards.length; i++) {
        const a = Math.max(from, starts[i]);
        const b = Math.min(to, starts[i + 1]);
        if (a >= b) continue;
        const [first, last] = [(a - starts[i]) * k, (b - starts[i]) * k];
        out.index.set(shard(i).ints("index", first, last), (a - from) * k);
        out.value.set(shard(i).floats("value", first, last), (a - from) * k);
      }
      return out;
    },
    close() {
      for (const { close } of held.values()) close();
      held.clear();
    },
  };
}

interface Names {
  tokens: Record<number, string>;
  documents: Record<number, string>;
}

function readNames(path: string): Names {
  let names: Names;
  try {
    names = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw damaged(path, "JSON", (error as Error).message);
  }
  const isNames = (value: unknown): boolean =>
    typeof value === "object" && value !== null && Object.values(value).every((name) => typeof name === "string");
  if (!isNames(names?.tokens) || !isNames(names?.documents))
    throw damaged(path, "names of tokens and of documents", JSON.stringify(names)?.slice(0, 80));
  return names;
}

/** All files of a family, each held against the manifest. Nothing stays open when one of them is not as it should be. */
function openFamily(path: string, manifest: FeaturesManifest) {
  const { latents: F } = manifest.sae;
  const statisticsFile = openTensors(join(path, "statistics.safetensors"), {
    fired: ["I32", F],
    mean: ["F32", F],
    max: ["F32", F],
    histogram: ["I32", F, BINS],
    entropy: ["F32", F],
    distinct: ["I32", F],
    trigger: ["I32", F, TRIGGERS],
    triggerMean: ["F32", F, TRIGGERS],
  });
  const { ints, floats } = statisticsFile;
  const statistics = {
    fired: ints("fired"),
    mean: floats("mean"),
    max: floats("max"),
    histogram: ints("histogram"),
    entropy: floats("entropy"),
    distinct: ints("distinct"),
    trigger: ints("trigger"),
    triggerMean: floats("triggerMean"),
  };
  statisticsFile.close();
  const names = readNames(join(path, "names.json"));
  const codes = codesReader(path, manifest);
  const examplesPath = join(path, "examples.safetensors");
  const examples = openTensors(examplesPath, {
    offset: ["I32", F + 1],
    group: ["I32", "examples"],
    count: ["I32", "examples"],
    document: ["I32", "examples"],
    position: ["I32", "examples"],
    peak: ["I32", "examples"],
    goesOn: ["I32", "examples"],
    start: ["I32", "examples and one"],
    tokens: ["I32", "tokens"],
    values: ["F32", "tokens"],
  });
  const E = examples.length("group");
  const ends = (list: Int32Array, last: number): boolean =>
    list[0] === 0 && list.at(-1) === last && list.every((at, i) => !i || at >= list[i - 1]);
  const whole =
    examples.length("start") === E + 1 &&
    ends(examples.ints("offset"), E) &&
    ends(examples.ints("start"), examples.length("tokens"));
  if (!whole) {
    examples.close();
    throw damaged(examplesPath, `offsets that rise to ${E} examples and ${examples.length("tokens")} tokens`, "others");
  }
  return { statistics, names, codes, examples };
}

/**
 * Opens what `collect` wrote. Statistics are read at once, examples and codes when they are asked for.
 * @throws FormatError if the folder is no such family, of another version, or damaged
 */
export async function openFeatures(path: string, options: { store?: Store } = {}): Promise<Features> {
  if (!existsSync(path)) await tidy(resolve(path));
  const manifest = readManifest(path);
  const F = manifest.sae.latents;
  const { statistics, examples, names, codes } = openFamily(path, manifest);
  const { fired, mean, max, histogram, entropy, distinct, trigger, triggerMean } = statistics;
  const part = examples.ints;
  const texts = new Map<number, string>();
  const words: Words = {
    token(id) {
      if (!texts.has(id))
        texts.set(id, id in names.tokens ? bytesToText(Buffer.from(names.tokens[id], "base64")) : `‹${id}›`);
      return texts.get(id)!;
    },
    document: (index) => names.documents[index] ?? String(index),
  };
  let store = options.store;

  const feature = (latent: number, most = Infinity): CollectedFeature => {
    if (!Number.isInteger(latent) || latent < 0 || latent >= F)
      throw new OptionError(`${path}: expected a latent from 0 to ${F - 1}, found ${latent}.`);
    const [a, b] = part("offset", latent, latent + 2);
    const meta = (name: string): Int32Array => part(name, a, b);
    const [group, times, document, position, peak, goesOn] = [
      meta("group"),
      meta("count"),
      meta("document"),
      meta("position"),
      meta("peak"),
      meta("goesOn"),
    ];
    const start = part("start", a, b + 1);
    const tokens = part("tokens", start[0], start[b - a]);
    const values = examples.floats("values", start[0], start[b - a]);
    const groups: Example[][] = GROUPS.map(() => []);
    group.forEach((g, e) => {
      if (groups[g].length >= most) return;
      groups[g].push({
        tokens: tokens.slice(start[e] - start[0], start[e + 1] - start[0]),
        values: values.slice(start[e] - start[0], start[e + 1] - start[0]),
        peak: peak[e],
        document: document[e],
        position: position[e],
        count: times[e],
        goesOn: goesOn[e] === 1,
      });
    });
    const triggers = Array.from({ length: TRIGGERS }, (_, i) => latent * TRIGGERS + i)
      .filter((i) => trigger[i] >= 0)
      .map((i) => ({ token: trigger[i], text: words.token(trigger[i]), mean: triggerMean[i] }));
    const plain = {
      latent,
      density: fired[latent] / manifest.rows,
      mean: mean[latent],
      max: max[latent],
      histogram: histogramOf(histogram.subarray(latent * BINS, (latent + 1) * BINS)),
      top: groups[0],
      more: GROUPS.slice(1)
        .map((name, g) => ({ name, examples: groups[g + 1] }))
        .filter((one) => one.examples.length),
      entropy: entropy[latent],
      distinctTokens: distinct[latent],
      triggers,
      words,
    };
    const one: CollectedFeature = showing(plain, () => heatMap(one)[DISPLAY]());
    return one;
  };

  const orders: Record<NonNullable<TopOptions["by"]>, (f: number) => number> = {
    max: (f) => -max[f],
    mean: (f) => -mean[f],
    density: (f) => -fired[f],
    entropy: (f) => entropy[f],
  };
  const top = (topOptions: TopOptions = {}): FeatureList<CollectedFeature> & ShownNow => {
    const { count: wanted = 20, by = "max", latents, examples: most, dense = false, rare = false } = topOptions;
    if (!(by in orders))
      throw new OptionError(`top: by: expected one of ${Object.keys(orders).join(", ")}, found "${by}".`);
    wholeNumber("count", wanted, 1);
    const order = orders[by];
    const chosen =
      latents ??
      Array.from(fired.keys())
        .filter(
          (f) => fired[f] > 0 && (dense || fired[f] <= DENSE * manifest.rows) && (rare || fired[f] >= RARE * manifest.rows),
        )
        .sort((f, g) => order(f) - order(g) || f - g)
        .slice(0, wanted);
    const list = Object.assign(
      chosen.map((latent) => feature(latent, most)),
      { words },
    );
    return showing(list, () => heatMap(list, { count: list.length, examples: most })[DISPLAY]());
  };

  const features: Features = showing<Omit<Features, typeof DISPLAY>>(
    {
      path,
      manifest,
      count: F,
      rows: manifest.rows,
      words,
      fired,
      statistics: { density: Float32Array.from(fired, (n) => n / manifest.rows), mean, max },
      feature: (latent: number) => feature(latent),
      top,
      table: () =>
        dataFrame(
          featureRows({ rows: manifest.rows, fired, mean, max, entropy, distinct, trigger, words }),
          FEATURE_COLUMNS,
        ),
      card: (latent: number) => heatMap(feature(latent), { layout: "wrap" as const, context: manifest.settings.context }),
      codes(from: number, to: number) {
        if (!(0 <= from && from <= to && to <= manifest.rows))
          throw new OptionError(`${path}: expected rows 0 ≤ from ≤ to ≤ ${manifest.rows}, found ${from}, ${to}.`);
        return codes.read(from, to);
      },
      async store() {
        store ??= await openStore(resolve(path, manifest.store.path));
        sameStore(store, manifest, path);
        return store;
      },
      close() {
        examples.close();
        codes.close();
      },
    },
    () => heatMap(top())[DISPLAY](),
  );
  return features;
}

/** @throws StoreError if the rows of this store are not those that were collected */
function sameStore(store: Store, { store: was, sae: { hook } }: FeaturesManifest, path: string): void {
  const info = store.manifest.hooks.find(({ name }) => name === hook);
  const is = storeFacts(store, info?.width ?? 0);
  const differing = (["model", "texts", "rows", "width"] as const)
    .filter((key) => is[key] !== was[key])
    .map((key) => `${key} ${is[key]} instead of ${was[key]}`);
  if (!info) differing.push(`no hook ${hook}`);
  for (const key of new Set([...Object.keys(is.settings), ...Object.keys(was.settings)])) {
    const [a, b] = [is.settings[key], was.settings[key]].map((value) => JSON.stringify(value));
    if (a !== b) differing.push(`${key} ${a} instead of ${b}`);
  }
  if (!differing.length) return;
  throw new StoreError(
    `${store.path}: expected the store that ${path} was collected from, found another: ${differing.join("; ")}. Collect again.`,
  );
}

function readManifest(path: string): FeaturesManifest {
  const where = join(path, MANIFEST);
  if (!existsSync(where))
    throw new FormatError(
      `${path}: expected a folder with ${MANIFEST}, found none. collect(store, sae, { folder }) makes one.`,
    );
  let manifest: FeaturesManifest;
  try {
    manifest = JSON.parse(readFileSync(where, "utf8"));
  } catch (error) {
    throw damaged(where, "JSON", (error as Error).message);
  }
  if (manifest?.format !== "saelab-features")
    throw new FormatError(`${where}: format: expected "saelab-features", found ${JSON.stringify(manifest?.format)}.`);
  if (manifest.version !== 1) {
    throw new FormatError(
      `${where}: version: expected 1, found ${JSON.stringify(manifest.version)}. Another version of saelab wrote it: use that one, or collect again.`,
    );
  }
  const problem = manifestProblem(manifest);
  if (problem) throw damaged(where, ...problem);
  return manifest;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** The first field that is not as it should be: [expected, found]. */
function manifestProblem({ store, sae, rows, ranges, split, settings, shards }: FeaturesManifest): [string, string] | undefined {
  if (typeof store?.path !== "string" || typeof store.settings !== "object" || !store.settings || !isCount(store.rows))
    return ["store: path, rows, settings", JSON.stringify(store)];
  if (typeof sae?.hook !== "string" || ![sae.latents, sae.k, sae.d].every((n) => isCount(n) && n > 0))
    return ["sae: hook, latents, k, d", JSON.stringify(sae)];
  if (typeof split !== "string" || !isCount(settings?.context)) return ["split and settings", JSON.stringify({ split, settings })];
  if (!Array.isArray(ranges) || !ranges.every((one) => isCount(one?.from) && isCount(one.to) && one.from <= one.to))
    return ["ranges: a list of from, to", JSON.stringify(ranges)];
  if (!Array.isArray(shards) || !shards.every((one, i) => one?.file === codesFile(i) && isCount(one.rows)))
    return ["shards: a list of file, rows, in order", JSON.stringify(shards)];
  const [read, held] = [ranges.reduce((sum, { from, to }) => sum + to - from, 0), shards.reduce((sum, one) => sum + one.rows, 0)];
  if (read !== rows || held !== rows) return [`${rows} rows in ranges and in shards`, `${read} and ${held}`];
  return undefined;
}
