import { DICTIONARY_CONFIG, readDictionary } from "./dictionarylearning";
import { CheckpointError, OptionError } from "./errors";
import { readNpz } from "./npz";
import { isLens, LENS_WEIGHTS, parseLensConfig, readLens } from "./saelens";
import type { ByteSource } from "./safetensors";
import type { ReadSae } from "./saetensors";
import { GEMMA_WEIGHTS, readGemmaScope, readLlamaScope } from "./scopes";
import { CFG, isSparsify, parseConfig, readSparsify, WEIGHTS } from "./sparsify";
import { safetensorsIn, type StoredTensor } from "./storedtensor";
import { readTorch } from "./torchfile";
import type { SaeWeights } from "./types";
import type { Inflate } from "./zip";

/**
 * Every SAE format that is read, told apart by the files that are there:
 *
 *   sparsify              cfg.json     sae.safetensors            core/sparsify
 *   saelens               cfg.json     sae_weights.safetensors    core/saelens
 *   llama_scope           config.json  sae_weights.safetensors    core/scopes
 *   dictionary_learning   config.json  ae.pt                      core/dictionarylearning
 *   gemma_scope                        params.npz                 core/scopes
 */
export const FORMATS = ["sparsify", "saelens", "llama_scope", "dictionary_learning", "gemma_scope"] as const;
export type CheckpointFormat = (typeof FORMATS)[number];

/** A folder with a checkpoint, as seen from here. */
export interface CheckpointFiles {
  /** Path of the folder, for messages. */
  where: string;
  files: string[];
  /** One of the files, when it was named: the weights. */
  weights?: string;
  text(file: string): string;
  bytes(file: string): ByteSource;
  inflate: Inflate;
}

export interface OpenedSae extends ReadSae {
  format: CheckpointFormat;
  /** The file with the weights, within the folder. */
  file: string;
}

/** Names of weights by which a folder is known to hold a checkpoint. */
export const WEIGHT_FILES = [WEIGHTS, LENS_WEIGHTS, "ae.pt", "ae.safetensors", GEMMA_WEIGHTS];

/** Configurations that may lie beside them. */
export const CONFIG_FILES = [CFG, DICTIONARY_CONFIG];

/**
 * Reads a checkpoint's configuration, header and small tensors; the matrices are read when they are first used.
 * @param format by default told from the files
 * @param latents the numbers of the only ones wanted: then just their rows are read
 * @throws CheckpointError, FormatError saying which file and field, what was expected and what was found; OptionError for numbers that
 *   are no latents
 */
export function openCheckpoint(folder: CheckpointFiles, { format, latents }: { format?: CheckpointFormat; latents?: number[] } = {}): OpenedSae {
  if (format !== undefined && !FORMATS.includes(format)) throw new OptionError(`format: expected one of ${FORMATS.join(", ")}, found ${JSON.stringify(format)}.`);
  if (latents !== undefined && !(Array.isArray(latents) && latents.length && latents.every((one) => Number.isSafeInteger(one) && one >= 0))) {
    throw new OptionError(`latents: expected a list of numbers of latents, from 0, found ${JSON.stringify(latents)?.slice(0, 100)}. Leave it out for all.`);
  }
  const told = format ?? formatOf(folder);
  const file = weightsOf(folder, told);
  const where = pathOf(folder, file);
  const configOf = (name: string): string => {
    if (folder.files.includes(name)) return folder.text(name);
    throw new CheckpointError(`${folder.where}: expected ${name} beside ${file}, as ${told} has it, found ${listed(folder.files)}. Copy or download it too.`);
  };
  const read = (): ReadSae => {
    switch (told) {
      case "sparsify":
        return readSparsify(tensorsOf(folder, file), parseConfig(configOf(CFG), pathOf(folder, CFG)), where, latents);
      case "saelens":
        return readLens(tensorsOf(folder, file), parseLensConfig(configOf(CFG), pathOf(folder, CFG)), where, latents);
      case "llama_scope":
        return readLlamaScope(tensorsOf(folder, file), configOf(DICTIONARY_CONFIG), pathOf(folder, DICTIONARY_CONFIG), where, latents);
      case "dictionary_learning":
        return readDictionary(
          tensorsOf(folder, file), folder.files.includes(DICTIONARY_CONFIG) ? folder.text(DICTIONARY_CONFIG) : undefined, pathOf(folder, DICTIONARY_CONFIG), where, latents);
      case "gemma_scope":
        return readGemmaScope(tensorsOf(folder, file), where, latents);
    }
  };
  return { ...read(), format: told, file };
}

function tensorsOf(folder: CheckpointFiles, file: string): Map<string, StoredTensor> {
  const bytes = folder.bytes(file), where = pathOf(folder, file);
  if (file.endsWith(".npz")) return readNpz(bytes, where, folder.inflate);
  return /\.pth?$/.test(file) ? readTorch(bytes, where) : safetensorsIn(bytes, where);
}

const pathOf = ({ where }: CheckpointFiles, file: string): string => (where ? `${where.replace(/[\\/]+$/, "")}/${file}` : file);

const listed = (files: string[]): string => (files.length ? files.slice(0, 10).join(", ") + (files.length > 10 ? ` and ${files.length - 10} more` : "") : "an empty folder");

const USUAL: Record<CheckpointFormat, string[]> = {
  sparsify: [WEIGHTS], saelens: [LENS_WEIGHTS], llama_scope: [LENS_WEIGHTS], dictionary_learning: ["ae.pt", "ae.safetensors"], gemma_scope: [GEMMA_WEIGHTS],
};

function weightsOf(folder: CheckpointFiles, format: CheckpointFormat): string {
  const file = folder.weights ?? USUAL[format].find((name) => folder.files.includes(name));
  if (file) return file;
  throw new CheckpointError(
    `${folder.where}: expected ${USUAL[format].join(" or ")}${format === "gemma_scope" ? "" : ` beside ${CONFIG_FILES.find((name) => folder.files.includes(name)) ?? CFG}`}, ` +
    `found ${listed(folder.files)}. The checkpoint is not whole: copy or download it again.`);
}

function formatOf(folder: CheckpointFiles): CheckpointFormat {
  const { files, weights = WEIGHT_FILES.find((name) => files.includes(name)) } = folder;
  const cfg = files.includes(CFG) ? folder.text(CFG) : undefined;
  if (weights?.endsWith(".npz")) return "gemma_scope";
  if (weights && (/\.pth?$/.test(weights) || weights === "ae.safetensors")) return "dictionary_learning";
  if (weights === WEIGHTS) return "sparsify";
  if (weights === LENS_WEIGHTS) return cfg === undefined && files.includes(DICTIONARY_CONFIG) ? "llama_scope" : "saelens";
  if (cfg !== undefined && isSparsify(cfg)) return "sparsify";
  if (cfg !== undefined && isLens(cfg)) return "saelens";
  if (cfg !== undefined) {
    parseConfig(cfg, pathOf(folder, CFG)); // says what is wrong with it
    return "sparsify";
  }
  throw new CheckpointError(
    `${folder.where}: expected ${CFG} and ${WEIGHTS} or ${LENS_WEIGHTS}, ae.pt and ${DICTIONARY_CONFIG}, or ${GEMMA_WEIGHTS}, found ${listed(files)}. ` +
    "Give the folder of one checkpoint.");
}

/** A little of everything that could be wrong with weights made in memory. @throws CheckpointError */
export function checkWeights(weights: SaeWeights, where: string): void {
  const { d, dOut = d, latents, k, kind = "topk", wEnc, bEnc, wDec, bDec, wSkip } = weights;
  const sizes: [string, Float32Array, number][] = [
    ["wEnc", wEnc, latents * d], ["bEnc", bEnc, latents], ["wDec", wDec, latents * dOut], ["bDec", bDec, dOut], ...(wSkip ? [["wSkip", wSkip, dOut * d] as [string, Float32Array, number]] : []),
    ...(weights.kind === "gated" ? [["bGate", weights.bGate, latents], ["rMag", weights.rMag, latents]] as [string, Float32Array, number][] : []),
    ...((weights.kind === "jumprelu" || weights.kind === "batchtopk") && typeof weights.threshold !== "number" ? [["threshold", weights.threshold, latents] as [string, Float32Array, number]] : []),
  ];
  for (const [name, data, size] of sizes) {
    if (data?.length !== size) {
      throw new CheckpointError(
        `${where}: ${name}: expected ${size} numbers for ${latents} ` +
        `latents of width ${d}${dOut === d ? "" : ` to ${dOut}`}, found ${data?.length ?? "none"}. Give whole arrays.`);
    }
  }
  if (!Number.isInteger(k) || k < 1 || k > latents) {
    throw new CheckpointError(`${where}: k: expected 1 to ${latents}, found ${k}. Choose within the number of latents.`);
  }
  if (kind === "groupmax" && latents % k) throw new CheckpointError(`${where}: k: expected a divisor of ${latents}, as groupmax has one latent of each of k groups, found ${k}. Choose another.`);
}
