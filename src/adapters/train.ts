import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Device } from "../core/device";
import { CheckpointError, InterruptError, OptionError, TrainError } from "../core/errors";
import type { TrainingState } from "../core/trainingview";
import type { Model, Progress, Sae, SaeFormat, Store, TrainingPoint, TrainKind } from "../core/types";
import type { Choice } from "./coder";
import { requireSpace } from "./files";
import { checkTarget } from "./saevalue";
import { loadSae } from "./loadsae";
import { tensorflow } from "./tensorflow";
import { train } from "./trainloop";
import { checkDevice, rowsFor, trainingDevice } from "./traindevice";
import { checkStep } from "./trainstep";
import { planSae, planShared, recipeOf, type Place, type Plan } from "./trainplan";
import type { Task } from "./trainsofar";
import { dataOf, LIVE_OPTIONS, type LiveOptions } from "./trainsource";
import { checkCheckpoints, openCheckpoints, type Checkpoints } from "./trainstate";

/**
 * Training. Rows are scaled to mean square 1 a coordinate, and the weights are folded back at the end, so that an SAE reads
 * rows in the model's own units.
 */

/** One SAE's own options. */
export interface SaeOptions {
  /** Latents of the SAE: 8 times the hook's width is a first look; memory and time grow with it. */
  latents: number;
  /** Latents that may be active in a row; of batch-top-k on average; of JumpReLU as its loss wishes. */
  k: number;
  kind?: TrainKind; // "topk"
  widths?: number[]; // of matryoshka: latents/16, /8, /4, /2, latents
  /** Hook of the store whose rows are read; the only one by default. Several make a crosscoder: one row side by side. */
  hook?: string | string[];
  /** Hook whose rows are rebuilt instead: a transcoder. Several stand side by side. */
  target?: string | string[];
  skip?: boolean; // false: of a transcoder, with a matrix W_skip besides
  learningRate?: number; // 0.045/√d · √(batch/1024) · min(1, √(10⁶/tokens))
  deadAfter?: number; // 5 % of the run's tokens without firing
  l0Weight?: number; // 4: of JumpReLU's loss (L0/k − 1)²
  auxK?: number; // 1: weight of the loss that revives dead latents; 0 leaves it out
  seed?: number; // 0: of the initial weights; in trainSae of the order of the rows too
  /**
   * "auto": the faster of "fused" (compiled for this CPU) and "stock" (TensorFlow's own kernels), measured; "plain" is their
   * slow reference. The card says which it was, and why "fused" was not to be had. Adam's moments of more than 256 MiB the fused step
   * keeps as bfloat16, unless a choice without them is given.
   */
  step?: "auto" | "fused" | "stock" | "plain";
  /** What the step may choose; measured on this machine by default. Take another run's `card.choice` to repeat its bits. */
  choice?: Choice;
  /** Folder to save to, at the end or when interrupted. */
  folder?: string;
  log?: string; // none: a file for the curve as JSON lines
  tensorboard?: string; // none: a folder for event files, the run's own
  /** Receives each point of the curve when it is there. */
  onPoint?: (point: TrainingPoint) => void;
}

/** What SAEs of one pass have in common. */
export interface SharedOptions extends LiveOptions {
  /**
   * Rows that training sees: one pass over the rows of a store's training documents by default; more are further passes, each in
   * an order of its own. To be said for a model.
   */
  tokens?: number;
  batch?: number; // 1024 rows up to 4 million tokens; smaller for short runs
  seed?: number; // 0: same seed, machine and choice, same bits
  /**
   * "auto": "cuda" where TensorFlow was set up for an NVIDIA card, "webgpu" on any other graphics card, else "cpu". An SAE for which
   * WebGPU has no step, or with a `step` or `choice` of TensorFlow's, is then trained on TensorFlow's device. The card says where it was,
   * and why on no better device. A run that goes on stays on the device where it began, unless one is said.
   */
  device?: "auto" | Device;
  /**
   * How often all that a run needs is put on disk, so that it may go on when it was stopped or killed: every so many steps, or
   * minutes (10). Where: `checkpoint` within the SAE's folder by default; without either there are none. false: none.
   */
  checkpoint?: false | { folder?: string; steps?: number; minutes?: number };
  /**
   * true: goes on from the checkpoint of the same call; on the same machine to the same bits as if it had not been stopped.
   * "auto": if there is one, else begins. false: begins anew, and removes a checkpoint that is there.
   */
  resume?: boolean | "auto";
  evaluate?: boolean; // true: at the end held-out rows of the store measure the SAE, 32,768 at most; of a model a preflight
  progress?: Progress; // none: receives how far it is
  /** Receives how each SAE goes; in a notebook a live picture by default, elsewhere nothing. */
  view?: (state: TrainingState) => void;
}

export type TrainOptions = SaeOptions & SharedOptions;

// Names as values, for cells that no type checker reads; the compiler sees to it that none is missing.
const OF_SAE: Record<keyof SaeOptions, true> = {
  latents: true, k: true, kind: true, widths: true, hook: true, target: true, skip: true, learningRate: true, deadAfter: true, l0Weight: true, auxK: true, seed: true, step: true,
  choice: true, folder: true, log: true, tensorboard: true, onPoint: true,
};
const OF_PASS: Record<keyof SharedOptions | "folder", true> = {
  tokens: true, batch: true, seed: true, device: true, checkpoint: true, resume: true, evaluate: true, progress: true, view: true, folder: true, ...LIVE_OPTIONS,
};

/** @throws OptionError for a name that means nothing: a run of hours with a default that was thought to be changed */
function checkNames(verb: string, options: object, known: Record<string, true>): void {
  const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, "");
  for (const name of Object.keys(options)) {
    if (known[name]) continue;
    const meant = Object.keys(known).find((other) => plain(other) === plain(name));
    throw new OptionError(`${verb}: ${name}: expected an option that it has, found none of that name. ${meant ? `It is ${meant}` : `They are ${Object.keys(known).join(", ")}`}.`);
  }
}

/** What an interrupted training throws: the SAEs as far as they are. */
export interface TrainInterrupt extends InterruptError {
  /** Of several the first one that there is. */
  sae: Sae;
  /** One that diverged is as it last was sound; none if it never was. */
  saes: (Sae | undefined)[];
}

/** What a training that diverged throws. */
export interface TrainFailure extends TrainError {
  /** The SAE as it last was sound; of several the first one that diverged. None if it never was. */
  sae?: Sae;
  /** All SAEs of the pass: those that did not diverge are whole. */
  saes: (Sae | undefined)[];
}

/**
 * Trains an SAE, or a transcoder, on the rows of a store's training documents, or of a model that reads them meanwhile; those
 * held out are only measured with.
 * @returns the SAE in the model's own units, with its card and curve; saved when a folder is given
 * @throws OptionError before any work when an option is out of range, memory does not suffice, or a checkpoint is of another
 *   recipe; StoreError when rows are not numbers or all equal, ModelError and EngineError of a model, from within the loop with the SAE
 *   so far as their `sae`; CheckpointError when there is none to go on from; TrainError, with
 *   the last sound SAE as its `sae`, when the loss is no number any more or far above 1; InterruptError, with the SAE so far as
 *   its `sae`; DiskError
 */
export async function trainSae(source: Store | Model, options: TrainOptions): Promise<Sae> {
  checkNames("trainSae", options, { ...OF_SAE, ...OF_PASS });
  const [sae] = await trainAll(source, [options], options, options.folder);
  return sae;
}

/**
 * Trains several SAEs on the same batches, in one pass: a grid of k, latents, learning rates, kinds or hooks. What they share is
 * said once. Each is saved to its own `folder`, or to one named for its number within `shared.folder`.
 * @returns the SAEs, in order
 * @throws as {@link trainSae}. When one diverges the others go on to their end: they are in the error
 */
export async function trainSaes(source: Store | Model, saes: SaeOptions[], shared: SharedOptions & { folder?: string } = {}): Promise<Sae[]> {
  if (!saes.length) throw new OptionError("trainSaes: expected at least one SAE to train, found none: trainSaes(store, [{ latents, k }, …], { tokens }).");
  checkNames("trainSaes", shared, OF_PASS);
  saes.forEach((one, i) => {
    checkNames(`trainSaes: saes[${i}]`, one, { ...OF_SAE, ...OF_PASS });
    for (const name of ["tokens", "batch", "device", "checkpoint", "resume", "progress", "documents"] as const) {
      const own = (one as TrainOptions)[name];
      if (own === undefined || own === shared[name]) continue;
      throw new OptionError(
        `trainSaes: saes[${i}].${name}: expected none, as SAEs of one pass share it, found ${JSON.stringify(own)}. ` +
        `Say it once, trainSaes(store, saes, { ${name} }), or train this one by itself.`);
    }
  });
  const named = saes.map((one, i) => (one.folder === undefined && shared.folder !== undefined ? { ...one, folder: join(shared.folder, `sae-${i}`) } : one));
  for (const name of ["folder", "log", "tensorboard"] as const) {
    const paths = named.map((one) => one[name]).filter((path) => path !== undefined).map((path) => resolve(path));
    const twice = paths.find((path, i) => paths.indexOf(path) !== i);
    if (twice !== undefined) throw new OptionError(`trainSaes: ${name}: expected one for each SAE, found ${twice} twice. Give each its own.`);
  }
  return trainAll(source, named, shared, shared.folder);
}

/** @param folder in which `checkpoint` is, by default */
async function trainAll(source: Store | Model, saes: SaeOptions[], options: SharedOptions, folder: string | undefined): Promise<Sae[]> {
  const data = await dataOf(source, options);
  const shared = planShared(options, data.rows, data.where);
  const places = (hooks: string | string[] | undefined): Place[] => [hooks].flat().map((name) => data.place(name));
  const plans = saes.map((one) => planSae(one, shared, places(one.hook), one.target === undefined ? undefined : places(one.target)));
  const hooks = [...new Set(plans.flatMap((plan) => [...plan.hooks, ...(plan.targets ?? [])]))];
  const engine = tensorflow();
  const device = await trainingDevice(options.device, engine);
  saes.forEach((one, i) => {
    checkDevice(device, plans[i], one);
    checkStep(engine, plans[i], one.choice);
  });
  const held = data.held(hooks.reduce((sum, hook) => sum + data.place(hook).width, 0));
  const rows = await rowsFor(device, engine, plans, saes, held, data.rows);

  const recipe = recipeOf(shared, plans, data.identity);
  const run = createHash("sha256").update(JSON.stringify(recipe)).digest("hex");
  const where = checkpointFolder(options, folder);
  const folders = saes.flatMap((one) => (one.folder === undefined ? [] : [one.folder]));
  if (where !== undefined) checkCheckpoints(where, recipe, options.resume);
  saes.forEach(({ folder: to }, i) => {
    if (to !== undefined) checkTarget(to, formatOf(plans[i]));
  });
  if (options.resume && where === undefined) {
    throw new OptionError("trainSae: resume: expected a folder in which the run's checkpoint is, found none. Give the one of the run that was stopped: { folder, resume: true }.");
  }
  const made = [...folders, ...(where === undefined ? [] : [where])].filter((path) => !existsSync(path));
  let checkpoints: Checkpoints | undefined;
  try {
    if (where !== undefined) {
      checkpoints = await openCheckpoints(where, recipe, options.resume);
      if (!checkpoints) return await finished(saes, run, where);
    }
    for (const [i, one] of saes.entries()) if (one.folder !== undefined) await requireSpace(one.folder, 4 * sizeOf(plans[i]) + 1e6);
    if (checkpoints) await requireSpace(checkpoints.folder, 3 * 12 * plans.reduce((sum, plan) => sum + sizeOf(plan), 0)); // two are kept while a third is written
    const task: Task = { data, hooks, engine, device, saes, plans, shared, options, rows, checkpoints, run };
    const trained = await train(task);
    checkpoints?.close(true);
    return trained;
  } catch (error) {
    checkpoints?.close();
    for (const path of made.reverse()) await rmdir(path).catch(() => {}); // only if nothing was saved
    throw error;
  }
}

/** The layout that it will be saved in. @throws OptionError when there is none */
function formatOf({ kind, d, dOut }: Plan): SaeFormat {
  const byRank = kind === "topk" || kind === "multitopk" || kind === "groupmax";
  if (byRank && dOut !== d) {
    throw new OptionError(
      `trainSae: target: expected rows of width ${d}, as those that are read, found ${dOut}: no layout of a file has words for a ${kind} transcoder between widths. ` +
      'Take kind "batchtopk" or "jumprelu", or no folder.');
  }
  return byRank ? "sparsify" : "saelens";
}

/** Numbers of an SAE's weights. */
const sizeOf = ({ d, dOut, latents, skip }: Plan): number => latents * (d + dOut + 1) + dOut + (skip ? d * dOut : 0);

function checkpointFolder({ checkpoint = {} }: SharedOptions, folder: string | undefined): string | undefined {
  if (checkpoint === false) return undefined;
  const { steps, minutes } = checkpoint;
  const fail = (name: string, expected: string, found: unknown): never => {
    throw new OptionError(`trainSae: checkpoint.${name}: expected ${expected}, found ${JSON.stringify(found)}. Leave it out for every 10 minutes.`);
  };
  if (steps !== undefined && !(Number.isSafeInteger(steps) && steps >= 1)) fail("steps", "a whole number from 1", steps);
  if (minutes !== undefined && !(minutes > 0)) fail("minutes", "a number above 0", minutes);
  const where = checkpoint.folder ?? (folder === undefined ? undefined : join(folder, "checkpoint"));
  if (where === undefined && (steps !== undefined || minutes !== undefined)) fail("folder", "one to write to, as the SAE has no folder either", undefined);
  return where;
}

/**
 * Without a checkpoint a run that is to go on may have come to its end: then its SAEs are there.
 * @throws CheckpointError when they are not
 */
async function finished(saes: SaeOptions[], run: string, where: string): Promise<Sae[]> {
  const found: Sae[] = [];
  for (const { folder } of saes) {
    const sae = folder !== undefined && existsSync(join(folder, "cfg.json")) ? await loadSae(folder) : undefined;
    if (sae?.card.run === run && sae.card.finished === true) found.push(sae);
  }
  if (found.length === saes.length) return found;
  throw new CheckpointError(
    `${where}: expected a checkpoint to go on from, found none, nor a finished SAE of the same recipe. ` +
    'Begin with resume: false, or "auto", which goes on only where there is something.');
}
