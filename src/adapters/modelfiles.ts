import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { Weight } from "../core/build";
import { FormatError, ModelError } from "../core/errors";
import { readHeader } from "../core/safetensors";
import { fileSource } from "./files";

/** The files of a model on disk: which there are, what tensors they hold, what they hash to. */

export function readJson(path: string): any {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ModelError(`${path}: expected JSON, found: ${(error as Error).message}. Copy the file again from where the model came from.`);
  }
}

/** The files of a checkpoint folder that hold numbers. */
export function checkpointFiles(folder: string): { config: string; weights: string[] } {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new ModelError(
      `${resolve(folder)}: expected the folder of a checkpoint (config.json, model.safetensors, tokenizer.json), found ${existsSync(folder) ? "a file" : "nothing"}. ` +
      "Give the path of a downloaded model.");
  }
  const there = readdirSync(folder);
  const found = `found ${there.length ? there.slice(0, 12).join(", ") + (there.length > 12 ? ", …" : "") : "an empty folder"}`;
  const config = join(folder, "config.json");
  if (!existsSync(config)) throw new ModelError(`${folder}: expected config.json, ${found}. Copy it from where the model came from.`);
  const whole = join(folder, "model.safetensors");
  if (existsSync(whole)) return { config, weights: [whole] };
  const index = join(folder, "model.safetensors.index.json");
  if (!existsSync(index)) {
    const remedy = there.some((name) => name.endsWith(".bin"))
      ? "Weights in PyTorch's own format are code: convert them with transformers, save_pretrained(folder, safe_serialization=True)."
      : there.some((name) => name.endsWith(".gguf")) ? 'There is a GGUF file: open it with { route: "gguf" }.'
        : "Download the weights into it.";
    throw new ModelError(`${folder}: expected model.safetensors, or model.safetensors.index.json with its shards, ${found}. ${remedy}`);
  }
  const map = readJson(index).weight_map;
  if (typeof map !== "object" || map === null) throw new ModelError(`${index}: expected weight_map, found none. Copy the file again.`);
  const shards = [...new Set(Object.values(map as Record<string, string>))].sort();
  for (const shard of shards) {
    if (basename(shard) !== shard) throw new ModelError(`${index}: expected names of files beside it, found "${shard}". Copy the file again.`);
    if (!existsSync(join(folder, shard))) throw new ModelError(`${folder}: expected the shard ${shard} that model.safetensors.index.json names, ${found}. Download it.`);
  }
  return { config, weights: shards.map((shard) => join(folder, shard)) };
}

/** All tensors of the files, as places on the disk: real paths, for ONNX Runtime takes no link that leads out of the folder it is told. */
export function readWeights(paths: string[]): Map<string, Weight> {
  const weights = new Map<string, Weight>();
  for (const path of paths) {
    const location = realpathSync(path);
    const source = fileSource(location);
    try {
      for (const [name, { dtype, shape, offset, bytes }] of readHeader(source, path).tensors) {
        if (weights.has(name)) throw new FormatError(`${path}: ${name}: expected each tensor once, found it in two shards. Copy the checkpoint again.`);
        weights.set(name, { dtype, shape, location, offset, bytes });
      }
    } finally {
      source.close();
    }
  }
  return weights;
}

const hashes = new Map<string, Promise<string>>();

/** SHA-256 over names, sizes and contents, in order; remembered as long as the files stay as they are. */
export function hashFiles(paths: string[]): Promise<string> {
  const key = paths.map((path) => {
    const { size, mtimeMs } = statSync(path);
    return `${realpathSync(path)} ${size} ${mtimeMs}`;
  }).join("\n");
  const known = hashes.get(key);
  if (known) return known;
  const hash = (async () => {
    const sha = createHash("sha256");
    for (const path of paths) {
      sha.update(`${basename(path)}\0${statSync(path).size}\0`);
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) sha.update(chunk as Buffer);
    }
    return sha.digest("hex");
  })();
  hash.catch(() => hashes.delete(key));
  hashes.set(key, hash);
  return hash;
}
