import { existsSync, readFileSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { partOf, planShards } from "../core/batches";
import type { ChatFormat } from "../core/chat";
import { OptionError, StoreError } from "../core/errors";
import { writeSafetensors } from "../core/safetensors";
import type { Document, Model, Progress, Store, Tokens } from "../core/types";
import { formatted, noRows, planContexts, tokenize } from "./contexts";
import { fileSource, requireSpace, writeAtomic } from "./files";
import { checkDocuments, checkFolder, checkPart, checkSettings, findHooks, hashPieces, identityHash, identityOf, type Identity } from "./harvestsettings";
import { takeLock } from "./lock";
import { defaultProgress } from "./progressbar";
import { fillShards } from "./shards";
import { openStore } from "./store";
import {
  clear, DOCUMENTS, isWhole, LOCK, MANIFEST, ORIGIN_TENSORS, partFolder, readState, sizeOf, storeManifest, TOKENS, UNFINISHED, writeJson,
  type Part, type PartManifest, type ShardEntry, type StoreState, type Unfinished,
} from "./storestate";
import { TOKENIZER_FILES } from "./tokenizer";

export interface HarvestOptions {
  /** Places to read, in any of the three spellings and in any order; all in one pass. */
  hooks: string[];
  folder?: string; // .saelab/stores/<hash of model, texts and settings> under the current directory
  dtype?: "F32" | "F16"; // F32; F16 takes half the disk and keeps 11 bits (a relative error of 2⁻¹¹, 0.05 %)
  cut?: "windows" | "whole"; // windows: documents longer than `context` go on in the next; whole: a document is one context
  context?: number; // windows of 512 tokens; documents kept whole: as many as the model was made for
  tooLong?: "error" | "skip" | "cut"; // error: what happens to a document longer than `context` that is to be kept whole
  chat?: boolean | ChatFormat; // false: texts as they are; true: each is a user's message in the checkpoint's chat format
  mask?: "prompt"; // none; prompt: no rows of tokens before `document.prompt`, which the model reads all the same
  batchTokens?: number; // 2048 tokens a forward pass, padding included: larger ones pad more and leave the cache
  shardRows?: number; // rows a file, at most: 64 MB, and no less than a window; what a killed run may lose
  dropFirst?: boolean; // true: the first position of each context is an attention sink
  dropNorm?: number | false; // 10: drop rows whose norm is over 10 × the median of their hook
  progress?: Progress; // a bar in a notebook, nothing elsewhere
  resume?: boolean; // true: shards kept by a run that was stopped are taken over; false: made again
}

/** A part of a store, to be merged. */
export interface StorePart {
  path: string;
  manifest: PartManifest;
}

/**
 * Runs a model over documents and keeps the activations of some hooks on disk, one row a token.
 *
 * A row is dropped from all hooks (rows of all hooks stay side by side) when it is an attention sink: the first position of a
 * context, or a norm ‖x‖ over `dropNorm` × the median norm of its hook, the median being that of at most eight batches of the first
 * shard, without first positions. What was dropped is counted in the manifest; its tokens are kept.
 *
 * Documents are cut into contexts of `context` tokens, or kept whole, and never joined. A shard holds consecutive contexts; inside it
 * they are sorted by length for right-padded batches and written in document order. Each shard is written aside, flushed and renamed,
 * so that a killed run goes on with what is whole and ends with the same bytes. A store that is already finished is opened; if only
 * spans, prompts that are not masked or sides of the split have changed, its documents.jsonl is replaced. One process at a time works
 * in a folder; {@link harvestPart} is for several.
 *
 * A graphics card computes what the CPU does but for rounding, which opening the model has found out: the manifest says of each shard what
 * computed it, and a run may go on on another device. Where a card is lost in the middle, whole shards are kept.
 *
 * With `chat`, the store's documents are the formatted texts, their spans moved along.
 *
 * A token that the tokenizer itself puts before a text (Llama's and Mistral's `<s>`) is read again before each later context of a
 * long document, as the model expects it there; it is the sink then, gives no row, and counts towards `context`.
 *
 * @throws HookError, OptionError, TextError, StoreError (the folder holds something else, or another process is at work in it),
 *   DiskError: before the model runs
 * @throws ModelError if an activation is not finite, or too large for float16; InterruptError, DeviceLostError, MemoryError, whole shards kept
 * @see Sun et al., "Massive Activations in Large Language Models", arXiv 2402.17762: sinks
 */
export async function harvest(model: Model, documents: Document[], options: HarvestOptions): Promise<Store> {
  if ("part" in options) throw new OptionError("part: expected harvestPart, which makes one part of a store, found harvest, which makes the whole. Call the other, or leave part out.");
  return openStore(await make(model, documents, options));
}

/**
 * {@link harvest} for several workers, on one disk or on many: makes the shards index, index + of, … in a folder of its own,
 * `<folder>/part-<index>-of-<of>`. Nothing passes between workers: which shards there are follows from model, texts and settings
 * alone, which have to be the same for all. `mergeStores` makes the store, byte for byte the one that a single process makes. Each
 * worker cuts all texts into tokens, and runs up to eight batches of the first shard for the norm limits.
 * @param options part: which this is, counted from 0: { index: 3, of: 16 }
 * @throws as harvest does
 */
export async function harvestPart(model: Model, documents: Document[], options: HarvestOptions & { part: Part }): Promise<StorePart> {
  checkPart(options.part);
  const path = await make(model, documents, options, options.part);
  return { path, manifest: (readState(path) as { manifest: PartManifest }).manifest };
}

/** @returns the folder of a store, or of a part, that is whole */
async function make(model: Model, given: Document[], options: HarvestOptions, part?: Part): Promise<string> {
  const hooks = findHooks(model, options.hooks);
  const settings = checkSettings(model, hooks, options);
  checkDocuments(given, settings);
  const progress = options.progress ?? defaultProgress();
  const documents = settings.chat ? await formatted(model, given, settings.chat, progress) : given;
  const identity = await identityOf(model, hooks, settings, options.dtype ?? "F32", documents);
  const together = options.folder ?? join(".saelab", "stores", identityHash(identity));
  const folder = part ? join(together, partFolder(part)) : together;
  const isDone = (state: StoreState): boolean =>
    (state.kind === "finished" || state.kind === "part") && options.resume !== false && isWhole(folder, state.manifest);
  if (!isDone(checkFolder(folder, identity, part)) || existsSync(join(folder, UNFINISHED))) {
    const existed = existsSync(folder);
    try {
      await requireSpace(folder, 0);
      const release = takeLock(join(folder, LOCK), (holder) => new StoreError(
        `${folder}: expected no other harvest in this folder, found one at work: ${holder}. ` +
        `Wait for it, or choose another folder; if that process is gone, delete ${join(folder, LOCK)}.`));
      try {
        const state = checkFolder(folder, identity, part); // whoever had the lock before may have finished it
        if (!isDone(state)) await fill(model, documents, folder, state, identity, options.resume !== false, part, progress);
        await rm(join(folder, UNFINISHED), { force: true });
      } finally {
        release();
      }
    } catch (error) {
      if (!existed) await rmdir(folder).catch(() => {}); // only if nothing was kept in it; the folder of all parts is for others too
      throw error;
    }
  }
  if (!part?.index) await relabel(folder, documents);
  return folder;
}

/** Makes what is missing of a store. @throws as harvest does; whole shards are kept, of a run without any nothing is left */
async function fill(
  model: Model, documents: Document[], folder: string, state: StoreState, identity: Identity, resume: boolean, part?: Part, progress?: Progress,
): Promise<void> {
  const { settings, hooks, dtype } = identity;
  const tokens = await tokenize(model, documents, progress);
  const { contexts, unread } = planContexts(model, documents, tokens, settings);
  const plans = planShards(contexts, settings.shardRows);
  const mine = part ? partOf(plans.length, part) : plans.map((_, shard) => shard);
  const total = tokens.reduce((sum, { ids }) => sum + ids.length, 0);
  const unfinished = takeOver(folder, state, resume, {
    format: part ? "saelab-store-part" : "saelab-store", version: 1, ...(part && { part: { index: part.index, of: part.of } }),
    ...identity, settings: { ...settings }, texts: { ...identity.texts, tokens: total },
    shards: plans.map(() => null), documentsKept: 0, unread,
  });
  const describes = !part?.index; // one part is enough to carry documents and tokens
  const rowBytes = (dtype === "F16" ? 2 : 4) * hooks.reduce((sum, { width }) => sum + width, 0) + 4 * ORIGIN_TENSORS.length;
  const left = mine.reduce((sum, shard) => sum + (unfinished.shards[shard] ? 0 : plans[shard].tokens), 0);
  const textBytes = documents.reduce((sum, { text }) => sum + 2 * text.length + 200, 0);
  await requireSpace(folder, left * rowBytes + (describes ? total * 12 + textBytes : 0));

  try {
    // on record before anything else happens: whenever the run is killed, the folder says what it is
    await writeJson(join(folder, UNFINISHED), unfinished);
    await clear(folder, [UNFINISHED, ...unfinished.shards.flatMap((shard) => shard?.file ?? [])]);
    if (describes) {
      await writeAtomic(join(folder, DOCUMENTS), documentPieces(documents));
      await writeTokens(join(folder, TOKENS), tokens, total);
      for (const file of TOKENIZER_FILES) {
        const from = join(model.folder ?? model.source, file);
        if (existsSync(from)) await writeAtomic(join(folder, file), [readFileSync(from)]);
      }
    }
    await fillShards(model, folder, unfinished, { documents, tokens, contexts, plans, mine }, settings, progress);
    if (part) {
      const { documentsKept: _, ...manifest } = unfinished;
      await writeJson(join(folder, MANIFEST), manifest);
      return;
    }
    const manifest = storeManifest(unfinished, unfinished.shards as ShardEntry[]);
    if (!manifest.rows) {
      unfinished.shards.fill(null); // shards without rows are not worth keeping
      throw noRows(total, manifest.dropped);
    }
    await writeJson(join(folder, MANIFEST), manifest);
  } catch (error) {
    // whole shards stay for the next run; without any there is nothing to keep
    if (!unfinished.shards.some(Boolean)) await clear(folder, []);
    throw error;
  }
}

/** Spans and sides of the split do not change rows: texts that were labelled anew keep theirs, and give a new documents.jsonl. */
async function relabel(folder: string, documents: Document[]): Promise<void> {
  const file = join(folder, DOCUMENTS);
  if (hashPieces(filePieces(file)) !== hashPieces(documentPieces(documents))) await writeAtomic(file, documentPieces(documents));
}

/** Lines of documents.jsonl, about a megabyte at a time. */
export function* documentPieces(documents: Document[]): Generator<string> {
  let piece = "";
  for (const { id, text, spans, split, prompt } of documents) {
    piece += JSON.stringify({ id, text, spans, split, prompt }) + "\n";
    if (piece.length > 1e6) {
      yield piece;
      piece = "";
    }
  }
  if (piece) yield piece;
}

/** Bytes of a file, some megabytes at a time. */
function* filePieces(path: string): Generator<Uint8Array> {
  const file = fileSource(path);
  try {
    for (let at = 0; at < file.byteLength; at += 2 ** 24) yield file.slice(at, Math.min(file.byteLength, at + 2 ** 24));
  } finally {
    file.close();
  }
}

/** The state to go on from: what an earlier run kept, less the shards that are not as long as it says. */
function takeOver(folder: string, state: StoreState, resume: boolean, fresh: Unfinished): Unfinished {
  if (state.kind === "none" || !resume) return fresh;
  const { manifest } = state;
  if (manifest.texts.tokens !== fresh.texts.tokens || manifest.shards.length !== fresh.shards.length) {
    throw new StoreError(
      `${folder}: expected ${fresh.texts.tokens} tokens in ${fresh.shards.length} shards, ` +
      `found ${manifest.texts.tokens} in ${manifest.shards.length}: it was made with another tokenizer. ` +
      "Choose another folder, or delete this one.");
  }
  return {
    ...fresh,
    // in the order in which the norm limits of the settings stand, whatever the order asked for this time
    hooks: manifest.hooks.map((hook) => fresh.hooks.find(({ name }) => name === hook.name)!),
    settings: manifest.settings,
    shards: manifest.shards.map((shard) => (shard && sizeOf(join(folder, shard.file)) === shard.bytes ? (shard as ShardEntry) : null)),
  };
}

export async function writeTokens(path: string, tokens: Tokens[], total: number): Promise<void> {
  const first = new Int32Array(tokens.length + 1);
  tokens.forEach(({ ids }, i) => (first[i + 1] = first[i] + ids.length));
  const joined = (key: keyof Tokens): Int32Array => {
    const out = new Int32Array(total);
    tokens.forEach((one, i) => out.set(one[key], first[i]));
    return out;
  };
  await writeAtomic(path, writeSafetensors([
    ...(["ids", "start", "end"] as const).map((name) => ({ name, shape: [total], data: joined(name) })),
    { name: "first", shape: [first.length], data: first },
  ]));
}
