import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, FormatError, OptionError } from "../core/errors";
import { readHeader, safetensorsHead } from "../core/safetensors";
import { diskError, fileSource, writeAtomic } from "./files";
import { takeLock } from "./lock";
import { collectGarbage } from "./memory";
import type { MaybeLater } from "./step";

/**
 * Checkpoints of a training on disk:
 *
 *   checkpoint.json              the recipe, and the generations that are whole, newest first, with bytes and SHA-256
 *   step-000000400.safetensors   everything a run needs to go on: arrays, and what else there is as JSON in its metadata
 *   train.lock                   names the process at work
 *
 * Each file is written aside, flushed and renamed; checkpoint.json last. So a process that is killed at any moment leaves a
 * checkpoint.json that names whole files only. Two generations are kept: if the newer is damaged, the older is gone on from.
 */
export const CHECKPOINT = "checkpoint.json";
const LOCK = "train.lock";
const KEPT = 2;
const PIECE = 2 ** 23; // bytes read or written at a time
const FILE = /^step-\d+(-again)?\.safetensors$/;
const OURS = /^(step-\d+(-again)?\.safetensors|\.(step-\d+(-again)?\.safetensors|checkpoint\.json)\..*\.part)$/;

type Resume = boolean | "auto" | undefined;

export interface Generation {
  step: number;
  file: string;
  bytes: number;
  sha256: string;
}

interface Manifest {
  format: "saelab-checkpoint";
  version: 1;
  /** What makes a run the same run, by name. */
  recipe: Record<string, unknown>;
  generations: Generation[];
}

/** An array that is made when it is written: the whole of a state need not be in memory beside the tensors. */
export interface ArrayToKeep {
  name: string;
  type: "F32" | "I32";
  length: number;
  read(): MaybeLater<Float32Array | Int32Array>;
  /** Numbers from … to, where this takes less memory than the whole. */
  part?(from: number, to: number): MaybeLater<Float32Array>;
}

/** A whole generation, open. */
export interface KeptState {
  step: number;
  json: Record<string, any>;
  names: string[];
  /** A fresh array each time. */
  floats(name: string): Float32Array;
  ints(name: string): Int32Array;
  array(name: string): Float32Array | Int32Array;
  close(): void;
}

export interface Checkpoints {
  folder: string;
  generations(): Generation[];
  /** Puts a new generation in place, and takes the third away. @throws DiskError; then all is as it was */
  write(step: number, json: Record<string, unknown>, arrays: ArrayToKeep[]): Promise<void>;
  /** The newest generation that is whole, of those before a step; `damaged` says what was passed over. @throws CheckpointError when none is */
  open(before?: number): { kept?: KeptState; damaged?: string };
  /** Takes generations from this step on away: they turned out to be of no use. */
  drop(from: number): Promise<void>;
  /** Gives the lock back; with nothing worth keeping, or `done`, the folder goes too. */
  close(done?: boolean): void;
}

/**
 * Whether a run may begin, or go on, in a folder. Changes nothing.
 * @returns what is there
 * @throws as {@link openCheckpoints}
 */
export function checkCheckpoints(folder: string, recipe: Record<string, unknown>, resume: Resume): Manifest | undefined {
  if (resume !== undefined && resume !== "auto" && typeof resume !== "boolean") { // else a checkpoint would be taken for one to remove
    throw new OptionError(`trainSae: resume: expected true, false or "auto", found ${JSON.stringify(resume)}. Leave it out where nothing was begun.`);
  }
  const found = readManifest(folder);
  if (found && (resume === true || resume === "auto")) requireRecipe(folder, found.recipe, recipe);
  if (found?.generations.length && resume === undefined) {
    throw new OptionError(
      `trainSae: resume: expected true or false, as ${folder} has a checkpoint after ${found.generations[0].step} steps, found none. ` +
      "true goes on from it, false begins anew and removes it.");
  }
  return found;
}

/**
 * Opens a folder for a run's checkpoints, and takes it for this process. What a killed process left half-written is removed.
 * @param resume true goes on with what is there; "auto" if there is something, else begins; false begins anew; undefined
 *   begins, but not over a checkpoint
 * @returns nothing when there is nothing to go on from and `resume` is true: then the folder was not touched
 * @throws OptionError when there is a checkpoint of another recipe, naming the field, or `resume` does not say what to do with
 *   one; CheckpointError when it cannot be read, or another process is at work in it
 */
export async function openCheckpoints(folder: string, recipe: Record<string, unknown>, resume: Resume): Promise<Checkpoints | undefined> {
  const found = checkCheckpoints(folder, recipe, resume);
  if (resume === true && !found) return undefined;
  const goesOn = found !== undefined && (resume === true || resume === "auto");
  const made = makeFolder(folder);
  const release = takeLock(join(folder, LOCK), (holder) => new CheckpointError(
    `${folder}: expected to be the only run that writes here, found ${holder}. Wait until it has ended, or choose another folder.`));
  const manifest: Manifest = { format: "saelab-checkpoint", version: 1, recipe, generations: goesOn ? found.generations : [] };
  const sweep = (): void => {
    const kept = new Set(manifest.generations.map(({ file }) => file));
    for (const name of readdirSync(folder)) if (OURS.test(name) && !kept.has(name)) rmSync(join(folder, name), { force: true });
  };
  const put = (generations: Generation[]): Promise<void> =>
    writeAtomic(join(folder, CHECKPOINT), [`${JSON.stringify({ ...manifest, generations }, null, 1)}\n`]).then(() => void (manifest.generations = generations));
  try {
    await put(manifest.generations); // before the old files go: a manifest never names what is not there
    sweep();
  } catch (error) {
    release();
    if (made) rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    folder,
    generations: () => manifest.generations,
    async write(step, json, arrays) {
      const before = manifest.generations.filter((other) => other.step < step); // a later one is damaged: the run went on from one before it
      // never over a file that the manifest names: a process killed between the two would leave another content than is written there
      const [first, again] = ["", "-again"].map((suffix) => `step-${String(step).padStart(9, "0")}${suffix}.safetensors`);
      const file = manifest.generations.some((other) => other.file === first) ? again : first;
      const hash = createHash("sha256");
      let bytes = 0;
      const counted = (piece: Uint8Array): Uint8Array => {
        hash.update(piece);
        bytes += piece.byteLength;
        return piece;
      };
      async function* pieces(): AsyncGenerator<Uint8Array> {
        const listed = arrays.map(({ name, type, length }) => ({ name, dtype: type, shape: [length] }));
        yield counted(safetensorsHead(listed, { saelab: JSON.stringify(json) }));
        for (const array of arrays) {
          for await (const piece of inPieces(array)) yield counted(piece);
          collectGarbage(4 * array.length); // it is let go before the next one is read
        }
      }
      try {
        await writeAtomic(join(folder, file), pieces());
        await put([{ step, file, bytes, sha256: hash.digest("hex") }, ...before].slice(0, KEPT));
      } finally {
        sweep(); // also a new file that did not get into the manifest
      }
    },
    open(before = Infinity) {
      let damaged: string | undefined;
      for (const generation of manifest.generations.filter(({ step }) => step < before)) {
        const kept = openGeneration(folder, generation);
        if (typeof kept !== "string") return { kept, damaged };
        damaged ??= kept;
      }
      if (damaged !== undefined) throw new CheckpointError(`${damaged}. No other checkpoint of this run is whole: begin anew with resume: false.`);
      return {};
    },
    async drop(from) {
      await put(manifest.generations.filter(({ step }) => step < from));
      sweep();
    },
    close(done = false) {
      if (done || !manifest.generations.length) {
        manifest.generations = [];
        rmSync(join(folder, CHECKPOINT), { force: true });
        sweep();
      }
      release();
      try {
        rmdirSync(folder); // goes if nothing is left in it
      } catch {
        // a checkpoint, or someone's own file
      }
    },
  };
}

/** Its bytes, in one buffer that is filled again and again: whoever writes them holds no more of a large array than that. */
async function* inPieces({ name, length, read, part }: ArrayToKeep): AsyncGenerator<Uint8Array> {
  if (part && 4 * length > PIECE) {
    for (let from = 0; from < length; from += PIECE / 4) {
      const data = await part(from, Math.min(length, from + PIECE / 4));
      yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      if (from % (4 * PIECE) === 0) collectGarbage(); // those before
    }
    return;
  }
  const data = await read();
  if (data.length !== length) throw new RangeError(`${name}: expected ${length} elements, found ${data.length}`);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const buffer = new Uint8Array(Math.min(PIECE, bytes.length));
  for (let at = 0; at < bytes.length; at += PIECE) {
    const piece = bytes.subarray(at, at + PIECE);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

/** @returns whether it was not there */
function makeFolder(folder: string): boolean {
  try {
    return mkdirSync(folder, { recursive: true }) !== undefined;
  } catch (error) {
    throw diskError(error, folder);
  }
}

function readManifest(folder: string): Manifest | undefined {
  const file = join(folder, CHECKPOINT);
  if (!existsSync(file)) return undefined;
  const fail = (found: string): never => {
    throw new CheckpointError(`${file}: expected the list of a training's checkpoints, found ${found}. Move it away, or choose another folder.`);
  };
  let json: Partial<Manifest>;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    return fail((error as Error).message);
  }
  const whole = (one: Partial<Generation>): boolean =>
    Number.isSafeInteger(one?.step) && Number.isSafeInteger(one.bytes) && typeof one.sha256 === "string" && FILE.test(one.file ?? "");
  if (json?.format !== "saelab-checkpoint") return fail(`format ${JSON.stringify(json?.format)}`);
  if (json.version !== 1) return fail(`version ${JSON.stringify(json.version)}, which this saelab does not know`);
  if (typeof json.recipe !== "object" || json.recipe === null || !Array.isArray(json.generations) || !json.generations.every(whole)) return fail("no recipe or generations in it");
  return json as Manifest;
}

/** @returns what is wrong with it, if something is */
function openGeneration(folder: string, { file, step, bytes, sha256 }: Generation): KeptState | string {
  const path = join(folder, file);
  const wrong = (expected: string, found: string): string => `${path}: expected ${expected}, found ${found}`;
  if (!existsSync(path)) return wrong("a checkpoint", "no such file");
  const source = fileSource(path);
  try {
    if (source.byteLength !== bytes) return wrong(`${bytes} bytes`, `${source.byteLength}`);
    const hash = createHash("sha256");
    for (let at = 0; at < bytes; at += PIECE) hash.update(source.slice(at, Math.min(bytes, at + PIECE)));
    if (hash.digest("hex") !== sha256) return wrong(`SHA-256 ${sha256.slice(0, 12)}…`, "another: the file is damaged");
    const { tensors, metadata } = readHeader(source, path);
    const json = JSON.parse(metadata.saelab) as KeptState["json"];
    const numbers = <T>(name: string, dtype: string, make: new (buffer: ArrayBuffer, offset: number, length: number) => T): T => {
      const info = tensors.get(name);
      if (info?.dtype !== dtype) throw new CheckpointError(`${wrong(`tensor "${name}" ${dtype}`, info?.dtype ?? "none of this name")}. Begin anew with resume: false.`);
      collectGarbage(info.bytes); // what was read before and is in a tensor now
      const data = source.slice(info.offset, info.offset + info.bytes); // a copy that begins at 0 of its buffer
      return new make(data.buffer as ArrayBuffer, data.byteOffset, info.bytes / 4);
    };
    const floats = (name: string): Float32Array => numbers(name, "F32", Float32Array);
    const ints = (name: string): Int32Array => numbers(name, "I32", Int32Array);
    return { step, json, names: [...tensors.keys()], floats, ints, array: (name) => (tensors.get(name)?.dtype === "I32" ? ints : floats)(name), close: source.close };
  } catch (error) {
    source.close();
    if (error instanceof FormatError || error instanceof SyntaxError) return wrong("a checkpoint", error.message);
    throw error;
  }
}

/** @throws OptionError naming the first field that differs */
function requireRecipe(folder: string, found: Record<string, unknown>, asked: Record<string, unknown>): void {
  for (const name of new Set([...Object.keys(asked), ...Object.keys(found)])) {
    const [is, want] = [JSON.stringify(found[name]), JSON.stringify(asked[name])];
    if (is === want) continue;
    throw new OptionError(
      `trainSae: ${name}: expected ${is ?? "none"}, as the run had whose checkpoint is in ${folder}, found ${want ?? "none"}. ` +
      "Go on with the same options, or begin anew: resume: false.");
  }
}
