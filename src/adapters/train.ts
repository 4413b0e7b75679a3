import { existsSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { freemem, totalmem } from "node:os";
import { performance } from "node:perf_hooks";
import { InterruptError, OptionError, StoreError, TrainError } from "../core/errors";
import { random, type Random } from "../core/random";
import { defaultBatch, defaultDeadAfter, defaultLearningRate, firing, learningRateAt } from "../core/schedule";
import type { Progress, Sae, SaeWeights, Store, TrainingPoint } from "../core/types";
import { choiceFor, isChoice, machine } from "./choice";
import { groupings, type Choice, type Parameters } from "./coder";
import { requireSpace } from "./files";
import { FUSED, fusedOps, fusedStep } from "./fusedstep";
import { breathe, interrupted } from "./interrupt";
import { plainStep } from "./plainstep";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { rowCount, sampleRows, shuffled, SHUFFLE_BYTES, type Shuffled } from "./rows";
import { checkTarget, saeOf } from "./sae";
import { freshState, stockStep, type Step, type StepState } from "./step";
import { rowsOf } from "./store";
import { kernels, tensorflow, type Engine } from "./tensorflow";

/**
 * The training loop. Rows are scaled to mean square 1 a coordinate for training, and the weights are folded back at the
 * end, so that the SAE reads rows in the model's own units.
 */

export interface TrainOptions {
  /** Latents of the SAE: 8 times the hook's width is a first look; memory and time grow with it. */
  latents: number;
  /** Latents that may be active in a row. */
  k: number;
  /** Hook of the store whose rows are read; the only one by default. */
  hook?: string;
  /**
   * Rows that training sees: one pass over the rows of training documents by default; more are further passes, each in an
   * order of its own.
   */
  tokens?: number;
  batch?: number; // 1024 rows up to 4 million tokens; smaller for short runs
  learningRate?: number; // 0.045/√d · √(batch/1024) · min(1, √(10⁶/tokens))
  deadAfter?: number; // 5 % of the run's tokens without firing
  auxK?: number; // 1: weight of the loss that revives dead latents; 0 leaves it out
  seed?: number; // 0: same seed, machine and choice, same bits
  /**
   * "auto": the faster of "fused" (compiled for this CPU) and "stock" (TensorFlow's own kernels), measured; "plain" is their
   * slow reference. The card says which it was, and why "fused" was not to be had.
   */
  step?: "auto" | "fused" | "stock" | "plain";
  device?: "auto" | "cpu" | "cuda"; // "auto": what TensorFlow was set up with
  /**
   * What the step may choose; measured on this machine by default. Take another run's `card.choice` to repeat its bits.
   */
  choice?: Choice;
  /** Folder to save to, at the end or when interrupted. */
  folder?: string;
  progress?: Progress; // a bar in a notebook, nothing elsewhere
  /** Receives each point of the curve when it is there. */
  onPoint?: (point: TrainingPoint) => void;
}

/** What an interrupted training throws: the SAE as far as it is. */
export interface TrainInterrupt extends InterruptError {
  sae: Sae;
}

const SAMPLE = 32768; // rows from which mean, scale and covariance are taken; as many as there are latents, if those are more
const MAX_COVARIANCE = 2048; // width up to which rows are whitened: the eigenvectors take d³
const EIGEN_FLOOR = 1e-6; // of the largest eigenvalue: directions without variance stay finite
const POINTS = 250; // of the curve

/** Options with their defaults, checked. */
interface Plan {
  hook: string;
  d: number;
  latents: number;
  k: number;
  tokens: number;
  batch: number;
  steps: number;
  learningRate: number;
  deadAfter: number;
  auxK: number;
  seed: number;
  step: NonNullable<TrainOptions["step"]>;
}

/**
 * Trains a top-k SAE on the rows of a store's training documents; those held out are not read.
 * @returns the SAE in the model's own units, with its card and curve; saved when a folder is given
 * @throws OptionError before any work when an option is out of range or memory does not suffice; StoreError when rows are
 *   not numbers or all equal; TrainError when the loss is no number any more; InterruptError, with the SAE so far as its
 *   `sae`; EngineError
 */
export async function trainSae(store: Store, options: TrainOptions): Promise<Sae> {
  const hook = store.hook(options.hook);
  const ranges = rowsOf(store, "train");
  const rows = rowCount(ranges);
  const plan = planOf(options, hook, store.width(hook), rows, store.path);
  const { d, latents, batch, steps, seed } = plan;
  checkMemory(plan, rows);
  const engine = tensorflow();
  checkDevice(options.device ?? "auto", engine);
  const { folder } = options;
  if (folder === undefined) return run();
  checkTarget(folder);
  const existed = existsSync(folder);
  try {
    await requireSpace(folder, 4 * (2 * latents * d + latents + d) + 1e6);
    return await run();
  } catch (error) {
    if (!existed) await rmdir(folder).catch(() => {}); // only if nothing was saved
    throw error;
  }

  async function run(): Promise<Sae> {
    const begun = performance.now();
    const sample = sampleRows(store, hook, ranges, Math.max(SAMPLE, latents), random(seed, 0));
    const { mean, scale, fromRows, initial } = initialState(engine, plan, sample, store.path);
    const source = shuffled(store, hook, ranges, scale, random(seed, 2));
    const step = await stepFor(engine, plan, initial, options.choice);
    const curve: TrainingPoint[] = [];
    const soFar = (done: number): Sae => saeOf(inModelUnits(step.state(), scale), { hook, curve, card: cardOf(store, plan, rows, {
      steps: done, step: step.kind, ...opsOf(engine, step, plan.step), choice: step.choice, machine: machine(engine), shuffle: source.kind, meanNorm: mean, scale,
      start: { rows: fromRows, random: latents - fromRows },
      seconds: (performance.now() - begun) / 1000,
      fvu: curve.at(-1)?.fvu, dead: curve.at(-1)?.dead,
    }) });
    try {
      await loop(step, source, curve, soFar);
      const sae = soFar(steps);
      if (folder !== undefined) await sae.save(folder);
      return sae;
    } finally {
      step.dispose();
    }
  }

  async function loop(step: Step, source: Shuffled, curve: TrainingPoint[], soFar: (done: number) => Sae): Promise<void> {
    const told = meter("train", steps * batch, "tokens", options.progress ?? defaultProgress());
    const fires = firing(latents, plan.deadAfter);
    const every = Math.max(1, Math.round(steps / POINTS));
    let sum = 0, counted = 0;
    for (let i = 0; i < steps; i++) {
      if (interrupted()) await stop(i, soFar(i));
      const x = new Float32Array(batch * d); // TensorFlow may share its memory: a fresh one each step
      source.next(x);
      const learningRate = learningRateAt(i, steps, plan.learningRate);
      const dead = fires.dead();
      const { fvu, aux, chosen } = step.update(x, { learningRate, dead, auxWeight: plan.auxK });
      if (!Number.isFinite(fvu + aux)) throw diverged(i, steps, plan);
      fires.count(batch, chosen.index, chosen.value);
      sum += fvu;
      counted++;
      if ((i + 1) % every === 0 || i + 1 === steps) {
        const point = { step: i + 1, tokens: (i + 1) * batch, fvu: sum / counted, dead: fires.dead().length / latents, learningRate };
        curve.push(point);
        options.onPoint?.(point);
        sum = counted = 0;
      }
      told((i + 1) * batch, `FVU ${(curve.at(-1)?.fvu ?? fvu).toFixed(3)}`);
      await breathe();
    }
  }

  async function stop(done: number, sae: Sae): Promise<never> {
    if (folder !== undefined) await sae.save(folder);
    const kept = folder !== undefined ? `saved in ${folder} and ` : "";
    const error = new InterruptError(
      `Interrupted after ${done} of ${steps} steps. The SAE so far is ${kept}in this error's \`sae\` (in a notebook: lastError.sae); ` +
      "its learning rate had not come down, so it is rougher than a finished one.");
    throw Object.assign(error, { sae });
  }
}

function planOf(options: TrainOptions, hook: string, d: number, rows: number, path: string): Plan {
  const fail = (name: string, expected: string, found: unknown, remedy: string): never => {
    const shown = typeof found === "number" || found === undefined ? found : JSON.stringify(found);
    throw new OptionError(`trainSae: ${name}: expected ${expected}, found ${shown}. ${remedy}`);
  };
  const whole = (name: string, value: unknown, least: number, remedy: string): number =>
    Number.isSafeInteger(value) && (value as number) >= least
      ? (value as number)
      : fail(name, `a whole number of at least ${least}`, value, remedy);
  const number = (name: string, value: number, least: number, strict: boolean, remedy: string): number =>
    Number.isFinite(value) && (strict ? value > least : value >= least)
      ? value
      : fail(name, `a number ${strict ? "above" : "of at least"} ${least}`, value, remedy);
  const latents = whole("latents", options.latents, 1, `For this hook, ${8 * d} (8 times its width) is a first look.`);
  const k = whole("k", options.k, 1, "16 to 32 latents a row are usual.");
  if (k > latents) fail("k", `1 to ${latents} (latents)`, k, "Take a smaller k or more latents.");
  if (rows < 2) {
    const remedy = `${path} has none to train on: harvest more text, or mark documents with split "train".`;
    fail("store", "at least 2 rows of training documents", rows, remedy);
  }
  const tokens = whole("tokens", options.tokens ?? rows, 2, "Leave it out for one pass over the training rows.");
  const batch = whole("batch", options.batch ?? Math.min(defaultBatch(tokens), rows), 2, "Leave it out for the recipe's.");
  if (batch > tokens) fail("batch", `at most ${tokens} rows (tokens)`, batch, "Take a smaller batch or more tokens.");
  const { choice, step = "auto" } = options;
  if (!["auto", "fused", "stock", "plain"].includes(step)) {
    fail("step", '"auto", "fused", "stock" or "plain"', step, "Leave it out for the fastest one.");
  }
  if (choice !== undefined && step !== "plain" && !isChoice(choice, latents, k)) {
    const sizes = groupings(latents, k).map((groups) => JSON.stringify(groups)).join(" or ");
    fail(
      "choice", `{ precision: "f32" or "bf16", groups: ${sizes}, chunk: 1 or more } for ${latents} latents and k ${k}`, choice,
      "Take `card.choice` of a run with the same latents and k, or leave it out.");
  }
  if (choice && (step === "fused" || step === "stock") && (choice.step ?? "stock") !== step) {
    fail("choice", `that of a ${step} step (step is "${step}")`, choice, "Leave out the step or the choice.");
  }
  const seed = options.seed ?? 0;
  if (!Number.isSafeInteger(seed)) fail("seed", "a whole number", seed, "Leave it out for 0.");
  return {
    hook, d, latents, k, tokens, batch, seed, step,
    steps: Math.floor(tokens / batch),
    learningRate: number(
      "learningRate", options.learningRate ?? defaultLearningRate(d, batch, tokens), 0, true, "Leave it out for the recipe's."),
    deadAfter: number(
      "deadAfter", options.deadAfter ?? defaultDeadAfter(tokens), 0, false, "It counts tokens; leave it out for 5 % of the run."),
    auxK: number("auxK", options.auxK ?? 1, 0, false, "It is the auxiliary loss's weight; 0 leaves it out."),
  };
}

/**
 * Parameters, moments and gradients; the pre-activations of a batch and their copy in the top-k; the rows held. An estimate
 * from below.
 */
function checkMemory({ d, latents, k, batch }: Plan, rows: number): void {
  const parameters = 4 * (2 * latents * d + latents * 9 + d);
  const needed = 6 * parameters + 4 * batch * (1.25 * latents + 4 * d + 12 * k) + Math.min(rows * d * 4, SHUFFLE_BYTES);
  const available = freeMemory();
  if (needed > available) {
    const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
    throw new OptionError(
      `trainSae: latents ${latents}, batch ${batch}: expected to need at most the ${gigabytes(available)} of memory that are free, ` +
      `found about ${gigabytes(needed)}. ` +
      "Take fewer latents or a smaller batch, or close other programs.");
  }
}

/**
 * Bytes this process may still take: what the machine has left, and what is left of a container's limit. Files that the
 * kernel keeps in memory count as free, as they give way: process.availableMemory() takes them off the limit, so that
 * nothing would be left after a long harvest.
 * @param found free: of the machine, page cache included; total; limit: of the container, 0 or beyond `total` for none;
 *   own: resident memory of this process
 */
export function freeMemory(found = { free: freemem(), total: totalmem(), limit: containerLimit(), own: process.memoryUsage.rss() }): number {
  const { free, total, limit, own } = found;
  return Math.max(0, Math.min(free, (limit > 0 ? Math.min(limit, total) : total) - own));
}

const containerLimit = (): number => (process as { constrainedMemory?: () => number | undefined }).constrainedMemory?.() ?? 0;

function checkDevice(device: NonNullable<TrainOptions["device"]>, engine: Engine): void {
  if (device === "auto" || device === engine.device) return;
  const remedy = device === "cuda" ? "This TensorFlow has no NVIDIA GPU at hand." : "Hide the GPU before start: CUDA_VISIBLE_DEVICES=-1.";
  throw new OptionError(
    `trainSae: device: expected "auto" or "${engine.device}" (what TensorFlow runs on here), found ${JSON.stringify(device)}. ` +
    remedy);
}

/** The step that was asked for, or with "auto" the faster one; a choice that was given says which step it is of. */
async function stepFor(engine: Engine, plan: Plan, initial: StepState, given?: Choice): Promise<Step> {
  if (plan.step === "plain") return plainStep(engine, initial);
  const fused = plan.step === "stock" ? { why: "not asked for" } : fusedOps(engine);
  if ("why" in fused && (plan.step === "fused" || given?.step === "fused")) throw noFused(fused.why);
  const choice = given ?? (plan.step === "fused" ? FUSED : await choiceFor(engine, plan, undefined, "id" in fused ? fused.id : undefined));
  return choice.step === "fused" ? fusedStep(engine, initial, choice) : stockStep(engine, initial, choice);
}

/** For the card: which build of the fused ops ran, or why a run that was free to use them did not. */
function opsOf(engine: Engine, { kind }: Step, asked: Plan["step"]): { fusedOps?: string; withoutFused?: string } {
  if (kind === "plain" || asked === "stock") return {};
  const ops = fusedOps(engine);
  if ("why" in ops) return { withoutFused: ops.why };
  return kind === "fused" ? { fusedOps: ops.id } : { withoutFused: "measured slower for these sizes" };
}

const noFused = (why: string): OptionError => new OptionError(
  `trainSae: step: expected the fused ops, which this machine has not: ${why}. ` +
  'Leave step and choice out: "stock" computes the same.');

const diverged = (i: number, steps: number, { learningRate, batch }: Plan): TrainError => new TrainError(
  `trainSae: step ${i + 1} of ${steps}: expected a finite loss, found NaN or infinity (learning rate ${learningRate}, batch ${batch}). ` +
  "Take a lower learning rate; if it stays, look for rows of extreme norm.");

/**
 * Where training begins. Rows are scaled by s = √(d / mean‖x − μ‖²); b_dec = s·μ; W_dec: random rows, centred and whitened
 * by Σ^(−½), to unit norm; W_enc = W_dec/√3, b_enc = 0. Equal rows count once: twins would stay twins for ever.
 * @param rows a sample of the training rows [n, d], in the model's own units
 * @throws StoreError when rows are not finite or all equal
 */
function initialState(
  engine: Engine, { d, latents, k, seed }: Plan, rows: Float32Array, path: string,
): { mean: number; scale: number; fromRows: number; initial: StepState } {
  const n = rows.length / d;
  const mean = new Float64Array(d);
  for (let i = 0; i < rows.length; i++) mean[i % d] += rows[i] / n;
  const centred = new Float32Array(rows.length);
  let squares = 0;
  for (let i = 0; i < rows.length; i++) {
    centred[i] = rows[i] - mean[i % d];
    squares += centred[i] * centred[i];
  }
  if (!Number.isFinite(squares)) {
    throw new StoreError(
      `${path}: expected finite activations, found NaN or infinity among the rows. ` +
      "Harvest again; if it stays, the model overflows at this hook.");
  }
  if (!(squares > 1e-12 * n)) {
    throw new StoreError(`${path}: expected rows that differ, found equal ones. Harvest other texts or another hook.`);
  }
  const scale = Math.sqrt((d * n) / squares);
  const rng = random(seed, 1);
  const { wDec, fromRows } = d <= MAX_COVARIANCE
    ? whitenedRows(engine, centred, d, latents, rng)
    : { wDec: directions(latents * d, rng), fromRows: 0 };
  const parameters: Parameters = {
    wEnc: new Float32Array(latents * d), bEnc: new Float32Array(latents), wDec, bDec: Float32Array.from(mean, (m) => m * scale),
  };
  const initial = freshState(d, latents, k, parameters);
  initial.parameters.wEnc = initial.parameters.wDec.map((w) => w / Math.sqrt(3));
  return { mean: Math.hypot(...mean), scale, fromRows, initial };
}

const directions = (count: number, rng: Random): Float32Array => Float32Array.from({ length: count }, () => rng.normal());

/** `latents` different rows of the sample, times Σ^(−½); random directions for what the sample lacks. */
function whitenedRows(
  engine: Engine, centred: Float32Array, d: number, latents: number, rng: Random,
): { wDec: Float32Array; fromRows: number } {
  const n = centred.length / d;
  const K = kernels(engine);
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const seen = new Set<string>();
  const chosen = new Float32Array(latents * d);
  let count = 0;
  for (let left = n; left > 0 && count < latents; left--) { // Fisher–Yates, as far as needed
    const at = rng.below(left);
    const row = centred.subarray(order[at] * d, (order[at] + 1) * d);
    order[at] = order[left - 1];
    const key = Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString("latin1");
    if (seen.has(key) || row.every((value) => value === 0)) continue;
    seen.add(key);
    chosen.set(row, count++ * d);
  }
  const out = engine.tidy(() => {
    const x = engine.tensor(centred, [n, d]);
    const covariance = K.mul(K.matMul(x, x, { transposeA: true }), K.scalar(1 / n));
    const [values, vectors] = K.eigen(covariance);
    const eigenvalues = engine.floats(values);
    const floor = EIGEN_FLOOR * eigenvalues[d - 1];
    const roots = engine.tensor(eigenvalues.map((value) => 1 / Math.sqrt(Math.max(value, floor))), [d]);
    const inverseRoot = K.matMul(K.mul(vectors, roots), vectors, { transposeB: true });
    return engine.floats(K.matMul(engine.tensor(chosen, [latents, d]), inverseRoot));
  });
  out.set(directions((latents - count) * d, rng), count * d); // isotropic in whitened coordinates
  return { wDec: out, fromRows: count };
}

/** v in training units is s·v in the model's: only the biases change. */
function inModelUnits({ d, latents, k, parameters }: StepState, scale: number): SaeWeights {
  const { wEnc, bEnc, wDec, bDec } = parameters;
  return { d, latents, k, wEnc, wDec, bEnc: bEnc.map((b) => b / scale), bDec: bDec.map((b) => b / scale) };
}

function cardOf(store: Store, plan: Plan, rows: number, measured: Record<string, unknown>): Record<string, unknown> {
  const { model, texts } = store.manifest;
  const { hook, latents, k, d, tokens, batch, learningRate, deadAfter, auxK, seed } = plan;
  return {
    hook, latents, k, d, model, texts, rows, tokens, batch, learningRate, deadAfter, auxK, seed, ...measured,
  };
}

