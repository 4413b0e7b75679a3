import { existsSync, readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { HubError, ModelError, OptionError } from "../core/errors";
import { chooseOnnx, dataFiles } from "../core/onnxchoice";
import type { Model, Progress } from "../core/types";
import { openGguf } from "./gguf";
import { downloadSnapshot, isHubId, type HubFile, type HubOptions } from "./hub";
import { makeModel } from "./model";
import { checkpointFiles, readJson } from "./modelfiles";
import { defaultProgress } from "./progressbar";
import { resolvedSource } from "./resolved";
import { onDevice } from "./ondevice";
import type { Holding, RuntimeSettings } from "./runtime";
import { builtSource, type GraphSource } from "./source";

export interface OpenOptions extends HubOptions {
  /**
   * auto: CUDA, else WebGPU on a graphics card, else the CPU: the first that there is, and that computes this model as the CPU does, which
   * opening it finds out (adapters/devicecheck). describe() says which, and why it is no better one.
   */
  device?: "auto" | "cuda" | "webgpu" | "cpu";
  threads?: number; // all cores: threads of ONNX Runtime
  /**
   * auto: packed when the weights of a graph, in float32, take less than 2 GB and an eighth of the memory.
   * "packed" copies and reorders them, 0.5 to 13 % faster; "in place" reads them where they lie, so that they cost page cache only, and
   * widens half precision in every run; "widened" does that once, on loading, and takes memory for it: dearer at first than in place,
   * cheaper after a few hundred tokens.
   */
  weights?: Holding;
  memory?: number; // bytes that packed weights may take: what the system says is available
  /** auto: safetensors before ONNX before GGUF, for the first has every hook. Or which of them. */
  route?: "auto" | "checkpoint" | "onnx" | "gguf";
  dtype?: string; // takes the ONNX file of this one: fp32, fp16, q8, q4 …; else what config.json names, or fp32
  file?: string; // the only one: which .gguf or .onnx of a folder or repository with several
  gguf?: string; // .saelab/gguf: where GGUF files are expanded to
  progress?: Progress; // a bar in a notebook: of downloads, and of a GGUF that is expanded
}

const DEVICES = ["auto", "cuda", "webgpu", "cpu"];
const ROUTES = ["auto", "checkpoint", "onnx", "gguf"];
const SMALL = /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json$|^merges\.txt$|^chat_template\.jinja$/;

/**
 * Opens a language model, as it lies on disk or on the hub:
 *
 *   a folder or hub id with config.json and safetensors   its graph is built here: every hook (core/build)
 *   one with onnx/*.onnx, or a .onnx file                 that file's own graph, hooks found by structure (core/resolve)
 *   a .gguf, or a folder or hub id with one               expanded to a float32 checkpoint, once (adapters/gguf), then built
 *
 * Arithmetic is float32. On the CPU nothing is computed or copied yet: a graph is made, and its weights mapped, when it is first run. A
 * graphics card is asked at once whether it computes this model as the CPU does: it holds the weights for a moment, the CPU some blocks.
 * `describe()` says which way was taken, and why. Only what is named is downloaded, into the cache that Python's huggingface_hub shares.
 * @param source path of a folder or file, or the hub's `org/name`, `org/name@revision` or URL; a path that exists goes before a name
 * @throws ModelError when a file, field or tensor is missing or not what it should be, or the family is unknown; FormatError for damaged
 *   files; HubError for what the hub refuses; OptionError. Of a device that was asked for: ModelError when its numbers are not the CPU's, EngineError
 */
export async function openModel(source: string, options: OpenOptions = {}): Promise<Model> {
  const { threads = availableParallelism(), weights: holding = "auto", route = "auto", memory, device = "auto" } = options;
  if (!Number.isSafeInteger(threads) || threads < 1) throw new OptionError(`threads: expected a whole number from 1, found ${threads}.`);
  if (!["auto", "packed", "widened", "in place"].includes(holding)) throw new OptionError(`weights: expected auto, packed, widened or in place, found ${holding}.`);
  if (!DEVICES.includes(device)) throw new OptionError(`device: expected ${DEVICES.join(", ")}, found ${device}.`);
  if (!ROUTES.includes(route)) throw new OptionError(`route: expected ${ROUTES.join(", ")}, found ${route}.`);
  if (typeof source !== "string" || !source) throw new OptionError(`openModel: expected the path of a model or its name on the hub, found ${JSON.stringify(source)}.`);
  if (memory !== undefined && !(memory > 0)) throw new OptionError(`memory: expected bytes above 0, found ${memory}.`);
  const settings = { threads, holding, memory, asked: device };

  if (!existsSync(source) && isHubId(source)) {
    const progress = options.progress ?? defaultProgress();
    const found = await downloadSnapshot(source, { ...options, files: (files) => wanted(files, options, source), progress }).catch((error: unknown) => {
      // a misspelt path looks like a name
      if (error instanceof HubError) error.message = `${source}: no such path from ${process.cwd()}, so taken for a name on the hub. ${error.message}`;
      throw error;
    });
    const at = found.commit ? `${source} at ${found.commit.slice(0, 12)}` : source;
    return openFolder(source, found.folder, options, settings, `From the hub: ${at}.`);
  }
  if (existsSync(source) && statSync(source).isFile()) return openFile(source, source, options, settings, "It was named.");
  return openFolder(source, source, options, settings, "");
}

type Settings = Pick<RuntimeSettings, "threads" | "holding" | "memory"> & { asked: NonNullable<OpenOptions["device"]> };

/** The device comes last: whether it will do is a question about this model. */
async function onItsDevice(name: string, folder: string, source: GraphSource, { asked, ...settings }: Settings): Promise<Model> {
  const { source: offered, ...place } = await onDevice(`${source.family} model ${name}`, source, settings, asked);
  return makeModel(name, folder, offered, { ...settings, ...place });
}

/** What a repository has, of what is asked for. */
function wanted(files: HubFile[], { route = "auto", dtype, file }: OpenOptions, where: string): HubFile[] {
  const small = files.filter(({ path }) => SMALL.test(path));
  const named = (test: (path: string) => boolean): HubFile[] => files.filter(({ path }) => test(path));
  const safetensors = named((path) => /^model(-\d+-of-\d+)?\.safetensors$|^model\.safetensors\.index\.json$/.test(path));
  const onnx = named((path) => path.endsWith(".onnx"));
  const gguf = named((path) => path.endsWith(".gguf"));
  const way = wayOf({ safetensors: safetensors.length > 0, onnx: onnx.length > 0, gguf: gguf.length > 0 }, { route, file, dtype }, where, files.map(({ path }) => path));
  if (way === "checkpoint") return [...small, ...safetensors];
  if (way === "gguf") return [...small, pick(gguf, file, where)];
  const paths = files.map(({ path }) => path);
  const chosen = file && pick(onnx, file, where).path;
  const choice = chosen ? { file: chosen, data: dataFiles(paths, chosen) } : chooseOnnx(paths, dtype, undefined, where);
  return [...small, ...named((path) => path === choice.file || choice.data.includes(path))];
}

function pick<F extends { path: string }>(files: F[], file: string | undefined, where: string): F {
  const found = file ? files.find(({ path }) => path === file || basename(path) === file) : files.length === 1 ? files[0] : undefined;
  if (found) return found;
  const list = files.map(({ path }) => path).sort();
  throw new OptionError(`${where}: file: expected one of ${list.slice(0, 12).join(", ")}${list.length > 12 ? ` and ${list.length - 12} more` : ""}, found ${file ?? "none named"}. Say { file: "${list[0]}" }.`);
}

function wayOf(has: { safetensors: boolean; onnx: boolean; gguf: boolean }, { route = "auto", file, dtype }: OpenOptions, where: string, there: string[]): "checkpoint" | "onnx" | "gguf" {
  const fits = { checkpoint: has.safetensors, onnx: has.onnx, gguf: has.gguf };
  const asked = route !== "auto" ? route : file?.endsWith(".gguf") ? "gguf" : file?.endsWith(".onnx") || dtype ? "onnx" : undefined;
  const way = (["checkpoint", "onnx", "gguf"] as const).find((one) => (asked ? one === asked : fits[one]));
  if (way && fits[way]) return way;
  const what = { checkpoint: "model.safetensors, or model.safetensors.index.json with its shards", onnx: "an .onnx file", gguf: "a .gguf file" };
  const found = there.length ? there.slice(0, 12).join(", ") + (there.length > 12 ? ", …" : "") : "an empty folder";
  const remedy = there.some((name) => /\.(bin|pth?)$/.test(name))
    ? "Weights in PyTorch's own format are code: convert them with transformers, save_pretrained(folder, safe_serialization=True)."
    : asked ? "Leave route out, or choose a model that has it." : "Download the weights into it.";
  throw new ModelError(`${where}: expected ${way ? what[way] : Object.values(what).join("; or ")}, found ${found}. ${remedy}`);
}

async function openFolder(name: string, folder: string, options: OpenOptions, settings: Settings, why: string): Promise<Model> {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new ModelError(
      `${resolve(folder)}: expected the folder of a checkpoint (config.json, model.safetensors, tokenizer.json), a .gguf or .onnx file, or a model's name on the hub (org/name), found nothing. ` +
      "Give the path of a downloaded model.");
  }
  const there = [folder, join(folder, "onnx")].flatMap((one, i) => (existsSync(one) ? readdirSync(one).map((file) => (i ? `onnx/${file}` : file)) : []));
  const list = there.filter((file) => !file.startsWith("onnx/"));
  const has = {
    safetensors: there.some((file) => file === "model.safetensors" || file === "model.safetensors.index.json"), onnx: there.some((file) => file.endsWith(".onnx")),
    gguf: there.some((file) => file.endsWith(".gguf")),
  };
  // a checkpoint without weights, or weights without a config, is told by the builder's own checks
  const way = options.route === undefined && options.file === undefined && options.dtype === undefined && !has.onnx && !has.gguf ? "checkpoint" : wayOf(has, options, folder, list);
  const reason = `${why ? `${why} ` : ""}${options.route && options.route !== "auto" ? "The way was asked for." : `Taken for its ${way === "checkpoint" ? "safetensors" : `.${way} file`}, which ${has.onnx && way === "checkpoint" ? "have every hook" : "it has"}.`}`;
  if (way === "checkpoint") {
    const built = builtSource(folder, checkpointFiles(folder));
    return onItsDevice(name, folder, { ...built, facts: [...built.facts, reason] }, settings);
  }
  const paths = there.map((path) => ({ path }));
  const file = way === "gguf" ? pick(paths.filter(({ path }) => path.endsWith(".gguf")), options.file, folder).path
    : options.file ? pick(paths.filter(({ path }) => path.endsWith(".onnx")), options.file, folder).path
      : chooseOnnx(there, options.dtype, existsSync(join(folder, "config.json")) ? readJson(join(folder, "config.json")) : undefined, folder).file;
  return openFile(name, join(folder, file), options, settings, reason, folder);
}

/** @param folder with config.json and tokenizer; without one, the file's own or the one above */
async function openFile(name: string, file: string, options: OpenOptions, settings: Settings, reason: string, folder?: string): Promise<Model> {
  if (file.endsWith(".gguf")) {
    const { folder: expanded, did } = await openGguf(file, { cache: options.gguf, progress: options.progress ?? defaultProgress() });
    const built = builtSource(expanded, checkpointFiles(expanded));
    return onItsDevice(name, expanded, { ...built, facts: [...built.facts, did, reason] }, settings);
  }
  if (file.endsWith(".onnx")) {
    const home = folder ?? [dirname(file), dirname(dirname(resolve(file)))].find((one) => existsSync(join(one, "tokenizer.json"))) ?? dirname(file);
    const config = join(home, "config.json");
    const source = resolvedSource(file, existsSync(config) ? config : undefined);
    return onItsDevice(name, home, { ...source, facts: [...source.facts, reason] }, settings);
  }
  throw new ModelError(`${file}: expected a folder, a .gguf or a .onnx file, found ${basename(file)}. Of a checkpoint, give its folder.`);
}
