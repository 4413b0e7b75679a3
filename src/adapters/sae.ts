import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { checkWeights, CFG, configText, isSparsify, parseConfig, readWeights, weightBytes, WEIGHTS } from "../core/checkpoint";
import { CheckpointError, OptionError } from "../core/errors";
import { evaluationTable } from "../core/evaluationtable";
import { measuring, type Measures } from "../core/measure";
import type { Progress, Sae, SaeWeights, Store, TrainingPoint } from "../core/types";
import { coder, decodeRows, encodeRows, type Coder } from "./coder";
import { fileSource, requireSpace, writeAtomic } from "./files";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { chunks, requireFinite, rowCount } from "./rows";
import { inCell, showing, type Shown } from "./show";
import { rowsOf } from "./store";
import { tableBundle } from "./table";
import { tensorflow } from "./tensorflow";

/** An SAE as a value: encode and decode on TensorFlow, a folder on disk, its measures on a store. */

/** Our own file beside sparsify's two: where the SAE comes from, and how training went. */
const CARD = "saelab.json";

export interface SaeDetails extends Pick<Sae, "stored"> {
  hook?: string;
  card?: Record<string, unknown>;
  curve?: TrainingPoint[];
}

/**
 * An SAE over weights, which must not change afterwards. TensorFlow is loaded when it is first needed.
 * @throws CheckpointError when the arrays do not fit each other
 */
export function saeOf(weights: SaeWeights, { hook, card = {}, curve, stored }: SaeDetails = {}): Sae {
  checkWeights(weights, "SAE");
  let packed: Coder | undefined;
  const code = (): Coder => (packed ??= coder(weights.d, weights.latents, weights.k, weights));
  const { d, latents, k } = weights;
  const sae: Sae = {
    weights,
    ...(stored ? { stored } : {}),
    hook,
    card,
    curve,
    encode: (x) => encodeRows(tensorflow(), code(), x),
    decode: (sparse) => decodeRows(tensorflow(), code(), sparse),
    save: (folder) => save({ weights, hook, card, curve }, folder),
  };
  const { withoutFused } = card;
  const slower = typeof withoutFused === "string" ? ` Trained by TensorFlow's own kernels, without the fused ops: ${withoutFused}.` : "";
  return inCell(sae, () => ({ "text/plain": `A top-${k} SAE of ${latents.toLocaleString("en")} latents, rows of width ${d}${hook ? `, for ${hook}` : ""}. evaluate(sae, store) measures it.${slower}` }));
}

/**
 * cfg.json goes first and comes last: a folder without it is no checkpoint, so that a save cut short is never taken for
 * one, and of two SAEs saved over each other none lends its k to the other's weights.
 */
async function save({ weights, hook, card, curve }: Pick<Sae, "weights" | "hook" | "card" | "curve">, folder: string): Promise<void> {
  checkTarget(folder);
  const pieces = weightBytes(weights);
  await requireSpace(folder, pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) + 1e6);
  await rm(join(folder, CFG), { force: true });
  await writeAtomic(join(folder, WEIGHTS), pieces);
  await writeAtomic(join(folder, CARD), [`${JSON.stringify({ format: "saelab-sae", version: 1, hook, card, curve }, null, 1)}\n`]);
  await writeAtomic(join(folder, CFG), [configText(weights)]);
}

/**
 * A folder may be saved to when it holds no cfg.json, or one of a checkpoint of this layout, which is then replaced.
 * @throws CheckpointError when its cfg.json is something else's
 */
export function checkTarget(folder: string): void {
  const file = join(folder, CFG);
  if (!existsSync(file) || isSparsify(readFileSync(file, "utf8"))) return;
  throw new CheckpointError(
    `${file}: expected none, or that of an SAE in the sparsify layout to replace, found another tool's. ` +
    "Choose another folder, or move this file away.");
}

export interface LoadOptions {
  /**
   * Hook whose rows the SAE reads; wins over what the checkpoint says. Of a folder with one checkpoint a hook, it picks
   * one.
   */
  hook?: string;
}

/**
 * Reads a top-k SAE in the sparsify layout: cfg.json and sae.safetensors, as sparsify and `sae.save` write them.
 * @param source the checkpoint's folder, or one that holds a checkpoint a hook (`layers.10.mlp/`)
 * @throws CheckpointError saying which file and field, what was expected and what was found
 */
export async function loadSae(source: string, { hook }: LoadOptions = {}): Promise<Sae> {
  const folder = checkpointFolder(source, hook);
  const config = parseConfig(readFileSync(join(folder, CFG), "utf8"), join(folder, CFG));
  const file = join(folder, WEIGHTS);
  if (!existsSync(file)) {
    throw new CheckpointError(
      `${folder}: expected ${WEIGHTS} beside ${CFG}, found ${readdirSync(folder).join(", ")}. ` +
      "The checkpoint is not whole: copy or download it again.");
  }
  const bytes = fileSource(file);
  try {
    const { weights, offsets, warnings } = readWeights(bytes, config, file);
    const known = readCard(join(folder, CARD));
    const all = [...config.warnings, ...warnings];
    return saeOf(weights, {
      stored: offsets && { file: realpathSync(file), offsets },
      hook: hook ?? known.hook ?? (folder === source ? undefined : folder.slice(source.length).replace(/^[\\/]+/, "")),
      card: { ...(known.card ?? { source: folder }), ...(all.length ? { warnings: all } : {}) },
      curve: known.curve,
    });
  } finally {
    bytes.close();
  }
}

function checkpointFolder(source: string, hook?: string): string {
  if (!existsSync(source)) {
    throw new CheckpointError(
      `${source}: expected a folder with ${CFG} and ${WEIGHTS}, found no such folder. ` +
      "Give the folder that sae.save wrote.");
  }
  if (existsSync(join(source, CFG))) return source;
  let entries: string[];
  try {
    entries = readdirSync(source);
  } catch {
    throw new CheckpointError(`${source}: expected a folder with ${CFG} and ${WEIGHTS}, found a file. Give the folder it is in.`);
  }
  const hooks = entries.filter((entry) => existsSync(join(source, entry, CFG)));
  if (hook !== undefined && hooks.includes(hook)) return join(source, hook);
  if (hooks.length === 1 && hook === undefined) return join(source, hooks[0]);
  if (hooks.length) {
    throw new CheckpointError(
      `${source}: expected the name of one of its hooks (${hooks.join(", ")}), found ${hook === undefined ? "none" : `"${hook}"`}. ` +
      `Say which: loadSae("${source}", { hook: "${hooks[0]}" }).`);
  }
  throw new CheckpointError(
    `${source}: expected ${CFG} and ${WEIGHTS}, found ${entries.slice(0, 10).join(", ") || "an empty folder"}. ` +
    "Give the folder that sae.save wrote.");
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

export interface EvaluateOptions {
  split?: "heldout" | "train" | "all"; // "heldout": rows of documents that training did not see
  /** Hook whose rows are read; by default the SAE's own where the store has it, else the store's only one. */
  hook?: string;
  /** At most so many rows, from the beginning of the split; all by default. */
  rows?: number;
  progress?: Progress;
}

export type Evaluation = Measures & { hook: string };

const EVALUATE_BYTES = 64 * 2 ** 20; // rows read at a time

/**
 * Holds an SAE against the rows of a store.
 * @returns FVU, explained variance, L0, dead and dense shares; see Measures
 * @throws OptionError when the SAE does not fit the hook's rows or the split has none; StoreError when a row is not finite;
 *   InterruptError
 */
export async function evaluate(sae: Sae, store: Store, options: EvaluateOptions = {}): Promise<Evaluation & Shown> {
  const { split = "heldout", progress = defaultProgress() } = options;
  const { d, latents } = sae.weights;
  const own = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
  const hook = store.hook(options.hook ?? own);
  if (store.width(hook) !== d) {
    throw new OptionError(
      `evaluate: expected rows of width ${d} (the SAE's d_in), ` +
      `found ${store.width(hook)} at ${hook} of ${store.path}. ` +
      "Name the hook it was trained on: evaluate(sae, store, { hook }).");
  }
  if (options.rows !== undefined && !(Number.isInteger(options.rows) && options.rows >= 2)) {
    throw new OptionError(`evaluate: rows: expected a whole number of at least 2, found ${options.rows}. Leave it out for all rows.`);
  }
  const ranges = rowsOf(store, split);
  const available = rowCount(ranges);
  if (available < 2) {
    throw new OptionError(
      `evaluate: expected at least 2 rows of the split "${split}", found ${available} in ${store.path}. ` +
      `Choose another: { split: "all" }.`);
  }
  const wanted = Math.min(options.rows ?? available, available);
  const tally = measuring(d, latents);
  const told = meter("evaluate", wanted, "rows", progress);
  let done = 0;
  for (const x of chunks(store, hook, ranges, Math.max(1, Math.floor(EVALUATE_BYTES / (4 * d))), wanted)) {
    stopIfInterrupted("Nothing was written.");
    requireFinite(x, store, hook);
    const sparse = sae.encode(x);
    tally.rows(x, sae.decode(sparse));
    tally.latents(sparse.index, sparse.value);
    told((done += x.length / d));
    await breathe();
  }
  const result: Evaluation = { ...tally.result(), hook };
  return showing(result, () => tableBundle(evaluationTable(result, split, latents)));
}
