import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { dirname, join, parse, resolve } from "node:path";
import { ModelError } from "../core/errors";
import { chooseOnnx } from "../core/onnxchoice";
import { readJson } from "./modelfiles";

/** Folders looked into before the search is given up. */
const FOLDERS = 5000;

/** Of a model of transformers.js, what tells where it came from. */
export interface Loaded {
  config?: Record<string, unknown>;
  dtype?: string;
}

/**
 * Which ONNX file a model of transformers.js 4 runs. It keeps neither its name nor a path, but its config and dtype: among the folders
 * that the library reads models from (`env.cacheDir`, `env.localModelPath`), the one with the same config.json.
 * @param given the .onnx file, or the model's folder, when the caller knows it
 * @throws ModelError when there is none, or more than one
 */
export async function pipelineFile({ config, dtype }: Loaded, given?: string): Promise<string> {
  if (given !== undefined) {
    const path = resolve(given);
    if (!existsSync(path)) throw new ModelError(`${path}: expected the ONNX file that the pipeline runs, or its folder, found nothing. Give the path of what was loaded.`);
    return statSync(path).isFile() ? path : join(path, chooseOnnx(filesOf(path), dtype, config, path).file);
  }
  const roots = await rootsOf();
  const named = typeof config?._name_or_path === "string" && existsSync(config._name_or_path) ? [resolve(config._name_or_path)] : [];
  const found = new Map<string, string>(); // by the file that a link leads to, the link: data files and config lie beside it
  for (const folder of [...named, ...roots.flatMap((root) => [...modelFolders(root)])]) {
    if (!existsSync(join(folder, "config.json")) || !sameConfig(readJson(join(folder, "config.json")), config)) continue;
    const files = filesOf(folder);
    try {
      const file = join(folder, chooseOnnx(files, dtype, config, folder).file);
      if (!found.has(realpathSync(file))) found.set(realpathSync(file), file);
    } catch {
      // a folder of that model without a file of that dtype
    }
  }
  const list = [...found.values()].sort();
  if (list.length === 1) return list[0];
  throw new ModelError(
    `hookPipeline: expected one ONNX file${dtype ? ` of dtype ${dtype}` : ""} with the pipeline's config.json in ${roots.join(", ") || "no folder"}, found ${list.length ? `${list.length}: ${list.slice(0, 4).join(", ")}` : "none"}. ` +
    "transformers.js does not keep what it loaded: say { file }, the .onnx or the model's folder.");
}

/** Where both builds of the library, which know nothing of each other, read models from. */
async function rootsOf(): Promise<string[]> {
  const builds: { env: { cacheDir?: string | null; localModelPath?: string | null } }[] = [];
  const loaded = require.cache[require.resolve("@huggingface/transformers")];
  if (loaded) builds.push(loaded.exports);
  builds.push(await import("@huggingface/transformers"));
  const paths = builds.flatMap(({ env }) => [env.cacheDir, env.localModelPath]).filter((path): path is string => typeof path === "string" && existsSync(path));
  return [...new Set(paths.map((path) => realpathSync(path)))].filter((path) => path !== parse(path).root);
}

/** Folders with a config.json: name, org/name or org/name/revision. */
function* modelFolders(root: string): Generator<string> {
  let left = FOLDERS;
  let level = [root];
  for (let depth = 0; depth < 4 && level.length; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      if (left-- <= 0) return;
      const names = entries(folder);
      if (names.includes("config.json")) yield folder;
      for (const name of names) {
        if (name.startsWith(".") || name === "node_modules") continue;
        if (statSync(join(folder, name), { throwIfNoEntry: false })?.isDirectory()) next.push(join(folder, name));
      }
    }
    level = next;
  }
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not ours to read
  }
}

const filesOf = (folder: string): string[] => [...entries(folder), ...entries(join(folder, "onnx")).map((name) => `onnx/${name}`)];

const sameConfig = (stored: Record<string, unknown>, config: Record<string, unknown> | undefined): boolean =>
  config !== undefined && Object.entries(stored).every(([key, value]) => JSON.stringify(value) === JSON.stringify(config[key]));

/** The config.json that belongs to a file: beside it or in the folder above. */
export const configOf = (file: string): string | undefined => [dirname(file), dirname(dirname(file))].map((folder) => join(folder, "config.json")).find((path) => existsSync(path));
