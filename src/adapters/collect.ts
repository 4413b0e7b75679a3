import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, relative, resolve } from "node:path";
import {
  BINS,
  blockExamples,
  bySize,
  firingsOf,
  joinExamples,
  latentBlocks,
  latentStatistics,
  tokenSpread,
  TRIGGERS,
  type ExampleArrays,
  type RowOrigins,
  type TokenSpread,
} from "../core/collect";
import { OptionError, StoreError } from "../core/errors";
import type { Pieces } from "../core/pieces";
import { writeSafetensors, type TensorToWrite } from "../core/safetensors";
import type { Range } from "../core/split";
import { isPlain } from "../core/sae";
import type { Progress, Sae, Sparse, Store } from "../core/types";
import { codesFile, codesReader, MANIFEST, spread, storeFacts, tidy, underWay, type FeaturesManifest } from "./family";
import { openFeatures, wholeNumber, type Features } from "./features";
import { requireSpace, writeAtomic } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { rowsOf } from "./store";

const SHARD_ROWS = 65_536;
const STOPPED = "Nothing of this collection was kept: collect again.";
const HASHED = 1 << 24; // bytes hashed between two yields

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

const ASSUMED_L0 = 256; // latents a row for which space is asked where only thresholds bound them

/** SHA-256 over shapes and arrays of an SAE. */
function* saeHash({ weights }: Sae): Pieces<string> {
  const hash = createHash("sha256").update(JSON.stringify([weights.d, weights.latents, weights.k]));
  const arrays = [weights.wEnc, weights.bEnc, weights.wDec, weights.bDec];
  if (!isPlain(weights)) {
    const others = Object.entries(weights).filter(([, value]) => !arrays.includes(value));
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
  const active = k === latents ? Math.min(k, ASSUMED_L0) : k;
  await requireSpace(dirname(folder), rows * active * 8 + latents * (BINS * 4 + shown * (28 + (2 * context + 1) * 8)));

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

let made = 0;

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
  const { latents } = sae.weights;
  const chunk = Math.max(64, Math.min(8192, Math.floor(2 ** 23 / latents))); // the product [chunk, latents] stays within 32 MB
  const statistics = latentStatistics(latents);
  const list: FeaturesManifest["shards"] = [];
  const told = meter("collect", rows, "rows", progress);
  const size = Math.min(SHARD_ROWS, rows);
  let k = 0; // columns of the shard: as many as any chunk of it has
  let index = new Int32Array(0);
  let value = new Float32Array(0);
  let held = 0;
  let done = 0;
  /** Puts codes of any number of columns behind those that are held. */
  const hold = (codes: Sparse): void => {
    if (codes.k > k) {
      const [wide, values] = [new Int32Array(size * codes.k), new Float32Array(size * codes.k)];
      spread({ n: held, index, value }, k, wide, values, codes.k, 0);
      [index, value, k] = [wide, values, codes.k];
    }
    spread(codes, codes.k, index, value, k, held);
    held += codes.n;
  };
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
      hold(codes);
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
