import { createHash } from "node:crypto";
import { createReadStream, readFileSync, realpathSync, statSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, join } from "node:path";
import { DiskError, ModelError } from "../core/errors";
import { readGguf, readGgufRows, type Gguf } from "../core/gguf";
import { ggufModel, type GgufModel } from "../core/ggufmodel";
import { ggufTokenizer } from "../core/gguftokenizer";
import { checkpointHeader, plannedFloats } from "../core/ggufweights";
import type { ByteSource } from "../core/safetensors";
import type { Progress } from "../core/types";
import { fileSource, requireSpace, writeAtomic } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { isAlive } from "./lock";
import { meter } from "./progress";

export interface GgufOptions {
  cache?: string; // .saelab/gguf under the current directory: takes four bytes a weight of every model opened
  progress?: Progress; // none: stages "hash" and "dequantise", both in bytes
}

export interface OpenedGguf {
  /** An ordinary checkpoint folder: config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json. */
  folder: string;
  /** What was done, one sentence. */
  did: string;
  /** False when the folder was there already. */
  made: boolean;
}

/** Of the folder's making: raised when the same file would give another folder. */
const VERSION = 1;
const NOTE = "gguf.json";
const HASHES = "hashes.json";

interface Note {
  version: number;
  sha256: string;
  did: string;
  /** Sizes in bytes: a folder that lacks one of them is made again. */
  files: Record<string, number>;
}

/**
 * Makes a .gguf file into a checkpoint folder, once; {@link openModel} opens that. The folder is named by the file's SHA-256, which is
 * remembered by path, size and time of change, so that a second call reads no more than two small files.
 *
 * Weights become float32. Run as blocks (MatMulNBits) they would take an eighth of the disk, but on models of a size for this
 * package that was slower: 525 to 593 tokens a second against 621 in a pass, 3 to 7 against 23 in generation (SmolLM2-135M, Q4_1, one
 * core); its fast int8 mode changed the logits by 6.8. Another form would begin where {@link writeWeights} is called.
 * @throws FormatError when the file is damaged or of a kind that is not read; ModelError when there is none;
 *   DiskError when the folder cannot be written; InterruptError. Nothing half-made is left.
 */
export async function openGguf(path: string, options: GgufOptions = {}): Promise<OpenedGguf> {
  const cache = options.cache ?? join(".saelab", "gguf");
  const source = open(path);
  try {
    const known = knownHash(path, cache);
    const before = known && readNote(join(cache, known.slice(0, 16)), known);
    if (before) return { folder: join(cache, known.slice(0, 16)), did: before.did, made: false };

    // refusals before the long work
    const gguf = readGguf(source, path);
    const model = ggufModel(gguf, (tensor) => readGgufRows(source, tensor), path);
    const tokenizer = ggufTokenizer(gguf, path);
    const { head, bytes } = checkpointHeader(model.tensors);
    const sha256 = known ?? await hashOf(path, cache, options.progress);
    const folder = join(cache, sha256.slice(0, 16));
    const there = readNote(folder, sha256);
    if (there) return { folder, did: there.did, made: false };

    await tidy(cache);
    await requireSpace(cache, bytes);
    const part = join(cache, `.${sha256.slice(0, 16)}.${hostname()}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.part`);
    try {
      await mkdir(part);
      const files: Record<string, Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>> = {
        "config.json": [json(model.config)], "generation_config.json": [json(model.generation)],
        "tokenizer.json": [JSON.stringify(tokenizer.tokenizer)], "tokenizer_config.json": [json(tokenizer.config)],
        "model.safetensors": writeWeights(source, gguf, model, head, bytes, options.progress),
      };
      for (const [file, pieces] of Object.entries(files)) await writeAtomic(join(part, file), pieces);
      const did = sentence(gguf, basename(path), bytes, folder);
      const note: Note = {
        version: VERSION, sha256, did, files: Object.fromEntries(Object.keys(files).map((file) => [file, statSync(join(part, file)).size])),
      };
      await writeAtomic(join(part, NOTE), [json(note)]);
      await settle(part, folder, sha256);
      return { folder, did, made: true };
    } finally {
      await rm(part, { recursive: true, force: true });
    }
  } finally {
    source.close();
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;

function open(path: string): ByteSource & { close(): void } {
  try {
    if (statSync(path).isFile()) return fileSource(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new ModelError(`${path}: expected a .gguf file, found no such file. Check the name.`);
  }
  throw new ModelError(`${path}: expected a .gguf file, found a folder. Name the file in it.`);
}

/** Size and time of change: where both are the same, so is the file. */
function stateOf(path: string): { size: string; changed: string } {
  const { size, mtimeNs } = statSync(path, { bigint: true });
  return { size: String(size), changed: String(mtimeNs) };
}

type Hashes = Record<string, { size: string; changed: string; sha256: string }>;

/** SHA-256 of the file as it was computed last time, if it is still that file. */
function knownHash(path: string, cache: string): string | undefined {
  const found = (readJson(join(cache, HASHES)) as Hashes | undefined)?.[realpathSync(path)];
  const { size, changed } = stateOf(path);
  return found?.size === size && found.changed === changed && /^[0-9a-f]{64}$/.test(found.sha256) ? found.sha256 : undefined;
}

async function hashOf(path: string, cache: string, progress?: Progress): Promise<string> {
  const before = stateOf(path);
  const hash = createHash("sha256");
  const told = meter("hash", Number(before.size), "bytes", progress);
  let done = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    hash.update(piece as Buffer);
    told((done += (piece as Buffer).length));
    stopIfInterrupted(`${path} was not opened; nothing was written.`);
  }
  const after = stateOf(path);
  if (after.size !== before.size || after.changed !== before.changed) {
    throw new DiskError(`${path}: expected a file at rest, found that it changed while it was being read. Wait until it is whole.`);
  }
  const sha256 = hash.digest("hex");
  await requireSpace(cache, 0);
  const memory = join(cache, HASHES);
  await writeAtomic(memory, [json({ ...(readJson(memory) as Hashes | undefined), [realpathSync(path)]: { ...before, sha256 } })]);
  return sha256;
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined; // absent or damaged: made again
  }
}

/** The note of a folder that is whole and of this version. */
function readNote(folder: string, sha256: string): Note | undefined {
  const note = readJson(join(folder, NOTE)) as Note | undefined;
  if (note?.version !== VERSION || note.sha256 !== sha256 || typeof note.files !== "object") return undefined;
  const whole = Object.entries(note.files).every(([file, size]) => statSync(join(folder, file), { throwIfNoEntry: false })?.size === size);
  return whole ? note : undefined;
}

/** model.safetensors, tensor by tensor; at most some 16 MB of it are in memory, but for GPT-2's matrices. */
async function* writeWeights(source: ByteSource, gguf: Gguf, model: GgufModel, head: Uint8Array, bytes: number, progress?: Progress): AsyncGenerator<Uint8Array> {
  const told = meter("dequantise", bytes, "bytes", progress);
  let done = head.length;
  yield head;
  for (const plan of model.tensors) {
    for (const values of plannedFloats(source, gguf.tensors.get(plan.from)!, plan)) {
      yield new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      told((done += values.byteLength), plan.to);
      await breathe();
      stopIfInterrupted("The model was not opened; what was written of it is removed.");
    }
  }
}

/** Puts the finished folder in its place; one that another process put there meanwhile stays. */
async function settle(part: string, folder: string, sha256: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await rename(part, folder);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (tries === 3 || (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOTDIR")) throw error;
      if (readNote(folder, sha256)) return;
      await rm(folder, { recursive: true, force: true }); // incomplete, or of an older version
    }
  }
}

/** Removes what killed runs of this machine left. */
async function tidy(cache: string): Promise<void> {
  const names = await readdir(cache).catch(() => [] as string[]);
  for (const name of names) {
    const [, host, pid] = /^\.[0-9a-f]{16}\.(.+)\.(\d+)\.[0-9a-z]+\.part$/.exec(name) ?? [];
    if (host === hostname() && !isAlive(Number(pid))) await rm(join(cache, name), { recursive: true, force: true });
  }
}

/** "SmolLM2-135M.gguf: Q4_1, Q8_0 dequantised to float32, 538 MB in .saelab/gguf/0123456789abcdef." */
function sentence({ tensors }: Gguf, file: string, bytes: number, folder: string): string {
  const weights = new Map<string, number>();
  for (const { type, shape } of tensors.values()) weights.set(type, (weights.get(type) ?? 0) + shape.reduce((a, b) => a * b, 1));
  const stored = [...weights].filter(([type]) => type !== "F32").sort((a, b) => b[1] - a[1]).map(([type]) => type);
  return `${file}: ${stored.length ? `${stored.join(", ")} dequantised to float32` : "F32 copied"}, ${(bytes / 1e6).toLocaleString("en", { maximumFractionDigits: bytes < 1e7 ? 1 : 0 })} MB in ${folder}.`;
}
