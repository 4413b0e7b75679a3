import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { constants, inflateRawSync } from "node:zlib";
import { CONFIG_FILES, openCheckpoint, WEIGHT_FILES, type CheckpointFormat } from "../core/checkpoint";
import { CheckpointError, DiskError, HubError, OptionError } from "../core/errors";
import type { ByteSource } from "../core/safetensors";
import { CFG } from "../core/sparsify";
import { modelOfHook } from "../core/hookname";
import type { Hook, Model, Progress, Sae, TrainingPoint } from "../core/types";
import type { Inflate } from "../core/zip";
import { fileSource } from "./files";
import { downloadSnapshot, isHubId, type HubFile, type HubOptions } from "./hub";
import { preflight, type PreflightOptions } from "./preflight";
import { CARD, saeValue, type SaeDetails } from "./saevalue";
import { display } from "./show";

/** SAE checkpoints of any format, from a folder, a file or the hub. */

export interface LoadOptions extends HubOptions {
  /**
   * Hook whose rows the SAE reads; wins over what the checkpoint says. Of a folder with one checkpoint a hook, it picks
   * one. One that `model.hook(…)` gave is held against that model: see `preflight`.
   */
  hook?: string | Hook;
  /**
   * "error" where `hook` knows its model and the whole SAE is loaded, else "off": measures the SAE at the hook and around it (`preflight`), keeps what was found in `card.preflight`,
   * and refuses an SAE that does not belong there. "warn" shows the finding, and loads it all the same.
   */
  preflight?: "error" | "warn" | "off";
  texts?: PreflightOptions["texts"]; // the built-in sample: what preflight reads
  target?: PreflightOptions["target"]; // of a transcoder: the hook that it predicts, for preflight; what the checkpoint names
  format?: CheckpointFormat; // told from the files that are there
  /** All: numbers of the only latents to load. Of a file that has a row a latent, just those rows are read. */
  latents?: number[];
  progress?: Progress; // a bar in a notebook: of downloads
}

/**
 * Opens an SAE: sparsify, SAELens 5 and 6, dictionary_learning (ae.pt, of which nothing is run), Gemma Scope, Llama Scope; SAEs and
 * transcoders, top-k, group-max, ReLU, JumpReLU, gated, and the batch-top-k and matryoshka ones that these tools save. Only the header and
 * what is small is read; the matrices when they are first used.
 * @param source folder of a checkpoint, or one that holds a checkpoint a hook (`layers.10.mlp/`); a file with weights; or the hub's
 *   `org/name`, also with a folder or a file behind it: `org/name/layers.10.mlp`. A path that exists goes before a name
 * @throws CheckpointError, FormatError saying which file and field, what was expected and what was found; CheckpointError when preflight finds that it does not belong to the hook;
 *   HubError; OptionError
 */
export async function loadSae(source: string, options: LoadOptions = {}): Promise<Sae> {
  const model = checkPreflight(options);
  const sae = await open(source, { ...options, hook: typeof options.hook === "object" ? options.hook.name : options.hook });
  if (model) await fly(sae, model, source, options);
  return sae;
}

type OpenOptions = LoadOptions & { hook?: string };

async function open(source: string, options: OpenOptions): Promise<Sae> {
  const { hook, format, latents } = options;
  const { root, given } = await rootOf(source, options);
  const file = statSync(root).isFile() ? basename(root) : undefined;
  const folder = file ? dirname(root) : checkpointFolder(root, hook, source);
  const path = (name: string): string => join(folder, name);
  const opened = openCheckpoint({
    where: folder,
    files: readdirSync(folder),
    weights: file,
    text: (name) => readFileSync(path(name), "utf8"),
    bytes: (name) => steadySource(path(name)),
    inflate,
  }, { format, latents });
  const known = readCard(path(CARD));
  const warnings = opened.warnings;
  return saeValue(opened.weights, {
    stored: opened.offsets && { file: realpathSync(path(opened.file)), offsets: opened.offsets },
    hook: hook ?? known.hook ?? opened.hook ?? hookOfFolder(folder, root, given),
    card: { ...(known.card ?? { source: given ?? folder, format: opened.format, ...(opened.hook ? { hook: opened.hook } : {}), ...(opened.target ? { target: opened.target } : {}) }), ...(warnings.length ? { warnings } : {}) },
    curve: known.curve,
  });
}

const WAYS = ["error", "warn", "off"];

/** The model to hold the SAE against, if any. @throws OptionError when one is asked for and not told, before anything is read */
function checkPreflight({ hook, preflight: way, latents }: LoadOptions): Model | undefined {
  if (hook !== undefined && typeof hook !== "string" && typeof hook?.name !== "string") throw new OptionError(`loadSae: hook: expected a name or what model.hook() gave, found ${JSON.stringify(hook)}.`);
  if (way !== undefined && !WAYS.includes(way)) throw new OptionError(`loadSae: preflight: expected ${WAYS.join(", ")}, found ${JSON.stringify(way)}.`);
  const model = typeof hook === "object" ? modelOfHook(hook) : undefined;
  if (!model && way !== undefined && way !== "off") {
    throw new OptionError(`loadSae: preflight: expected a hook of an open model to measure at, found ${hook === undefined ? "none" : `"${typeof hook === "string" ? hook : hook.name}"`}. Give { hook: model.hook("layers.3.mlp") }.`);
  }
  return way === "off" || (way === undefined && latents) ? undefined : model;
}

/** The last step of loading: does it belong there? */
async function fly(sae: Sae, model: Model, source: string, { hook, preflight: way = "error", texts, target, progress }: LoadOptions): Promise<void> {
  const found = await preflight(sae, model, hook as Hook, { texts, target, progress });
  sae.card.preflight = found;
  if (found.verdict === "fits") return;
  if (way === "warn") return display(found);
  const { best } = found;
  const remedy = found.verdict === "fits nowhere"
    ? `Is it of another model or layer?${found.sample.builtIn ? " If it was trained on texts of a special kind, give some: { texts }." : ""}`
    : best.other ? `Is the checkpoint's configuration right? At ${best.hook} it fits with ${best.other}.` : `Load it for the place that it fits: { hook: model.hook("${best.hook}") }.`;
  throw new CheckpointError(
    `${source}: preflight: expected an SAE of ${found.declared.hook} of ${model.source}, found one that ${found.says.replace(/^better/, "is better")} ${remedy} ` +
    `To load it all the same: { preflight: "warn" }.`);
}

const inflate: Inflate = (bytes, { atMost, partial }) =>
  inflateRawSync(bytes, { maxOutputLength: atMost, ...(partial ? { finishFlush: constants.Z_SYNC_FLUSH } : {}) });

/**
 * A file that is opened for each range, so that nothing is held in between, and is refused when it is another file by then.
 */
function steadySource(path: string): ByteSource {
  const first = statSync(path);
  return {
    byteLength: first.size,
    slice(from, to) {
      const now = statSync(path, { throwIfNoEntry: false });
      if (now?.size !== first.size || now.mtimeMs !== first.mtimeMs || now.ino !== first.ino) {
        throw new DiskError(`${path}: expected the file as it was when the SAE was loaded, found ${now ? "that it has changed" : "none"}. Load the SAE again.`);
      }
      const file = fileSource(path);
      try {
        return file.slice(from, to);
      } finally {
        file.close();
      }
    },
  };
}

/** `layers.10.mlp` of a folder with one checkpoint a hook; of the last part of a name on the hub, when it is such a folder's. */
function hookOfFolder(folder: string, root: string, given: string | undefined): string | undefined {
  if (folder !== root) return folder.slice(root.length).replace(/^[\\/]+/, "") || undefined;
  const last = given?.split("/").pop() ?? "";
  return /^(layers\.\d+(\.[a-z_.]+)?|embed_tokens)$/.test(last) ? last : undefined;
}

/** Where the checkpoint is on disk, downloaded if it has to be. `given` is its name on the hub. */
async function rootOf(source: string, options: OpenOptions): Promise<{ root: string; given?: string }> {
  if (existsSync(source)) {
    const root = options.subfolder === undefined ? source : join(source, options.subfolder);
    if (existsSync(root)) return { root };
    const inside = statSync(source).isDirectory() ? readdirSync(source).slice(0, 10).join(", ") : "none, as it is a file";
    throw new CheckpointError(`${root}: expected a folder in ${source}, found none. There are: ${inside}.`);
  }
  const { id, inside } = hubName(source, options.subfolder);
  if (!isHubId(id)) {
    throw new CheckpointError(
      `${source}: expected a folder with ${WEIGHT_FILES.join(", ")}, such a file, or a name on the hub ("org/name", "org/name/folder"), found no such folder. ` +
      "Give the folder of a checkpoint.");
  }
  const file = /\.(pth?|npz|safetensors)$/.test(inside) ? posix.basename(inside) : undefined;
  const subfolder = (file ? posix.dirname(inside).replace(/^\.$/, "") : inside) || undefined;
  const snapshot = await downloadSnapshot(id, { ...options, subfolder, files: (files) => wanted(files, options.hook, file, source) }).catch((error: unknown) => {
    // a misspelt path looks like a name
    if (error instanceof HubError) error.message = `${source}: no such path from ${process.cwd()}, so taken for a name on the hub. ${error.message}`;
    throw error;
  });
  return { root: file ? join(snapshot.folder, file) : snapshot.folder, given: inside ? `${id}/${inside}` : id };
}

/** "org/name/sub/folder" as a repository and a path in it; addresses as they are. */
function hubName(source: string, subfolder = ""): { id: string; inside: string } {
  if (/^[a-z]+:/i.test(source)) return { id: source, inside: subfolder };
  const [organisation, name, ...rest] = source.split("/");
  return { id: name === undefined ? organisation : `${organisation}/${name}`, inside: [...rest, subfolder].filter(Boolean).join("/") };
}

/** The files of one checkpoint, out of a repository's list. */
function wanted(files: HubFile[], hook: string | undefined, file: string | undefined, where: string): HubFile[] {
  const paths = files.map(({ path }) => path);
  const holds = (folder: string): boolean => WEIGHT_FILES.some((name) => paths.includes(posix.join(folder, name)));
  const folders = [...new Set(paths.filter((path) => WEIGHT_FILES.includes(posix.basename(path))).map((path) => posix.dirname(path)))];
  const folder = file || holds(".") ? "." : pick(folders, hook, where);
  const names = [...CONFIG_FILES, CARD, ...(file ? [file] : WEIGHT_FILES)].map((name) => posix.join(folder, name));
  if (file && !paths.includes(file)) throw new HubError(`${where}: expected a file ${file}, found ${paths.slice(0, 10).join(", ") || "none"}. Is it the right folder?`);
  return files.filter(({ path }) => names.includes(path));
}

/** One of several folders with a checkpoint: the hook's, or the only one. */
function pick(folders: string[], hook: string | undefined, where: string): string {
  const found = folders.find((folder) => folder === hook) ?? (hook === undefined && folders.length === 1 ? folders[0] : undefined);
  if (found !== undefined) return found;
  if (!folders.length) throw new CheckpointError(`${where}: expected ${WEIGHT_FILES.join(", ")}, found none of them. Is it a repository of SAEs?`);
  const list = `${folders.slice(0, 12).join(", ")}${folders.length > 12 ? ` and ${folders.length - 12} more` : ""}`;
  throw new CheckpointError(
    `${where}: expected the name of one of its hooks (${list}), found ${hook === undefined ? "none" : `"${hook}"`}. ` +
    `Say which: loadSae("${where}", { ${folders[0].includes("/") ? "subfolder" : "hook"}: "${folders[0]}" }).`);
}

function checkpointFolder(root: string, hook: string | undefined, where: string): string {
  const entries = readdirSync(root);
  if (entries.some((entry) => WEIGHT_FILES.includes(entry) || entry === CFG)) return root; // a repository's own config.json says nothing of its SAEs
  const hooks = entries.filter((entry) => [...WEIGHT_FILES, ...CONFIG_FILES].some((name) => existsSync(join(root, entry, name))));
  return hooks.length ? join(root, pick(hooks, hook, where)) : root;
}

function readCard(file: string): SaeDetails {
  if (!existsSync(file)) return {};
  const fail = (found: string): never => {
    throw new CheckpointError(
      `${file}: expected the card of an SAE saved by saelab (version 1), found ${found}. ` +
      "Delete this file to load the weights without it.");
  };
  let json: { format?: unknown; version?: unknown; hook?: unknown; card?: unknown; curve?: unknown };
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    return fail((error as Error).message);
  }
  if (json?.format !== "saelab-sae" || json.version !== 1) {
    return fail(`format ${JSON.stringify(json?.format)}, version ${JSON.stringify(json?.version)}`);
  }
  const { hook, card, curve } = json;
  if (hook !== undefined && typeof hook !== "string") return fail(`hook ${JSON.stringify(hook)}`);
  if (typeof card !== "object" || card === null || Array.isArray(card)) return fail(`card ${JSON.stringify(card)}`);
  if (curve !== undefined && !Array.isArray(curve)) return fail(`curve ${JSON.stringify(curve)}`);
  return { hook, card: card as Record<string, unknown>, curve: curve as TrainingPoint[] | undefined };
}
