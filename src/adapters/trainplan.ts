import type { Device } from "../core/device";
import { OptionError } from "../core/errors";
import { fits, LEAST_ROWS, rowsThatFit, runMemory, whatFits, type Change, type Free, type RunShape } from "../core/memoryplan";
import { defaultBatch, defaultDeadAfter, defaultLearningRate } from "../core/schedule";
import type { TrainKind } from "../core/types";
import { isChoice, momentsFor } from "./choice";
import { groupings } from "./coder";
import type { SaeOptions, SharedOptions, TrainOptions } from "./train";
import { L0_WEIGHT } from "./jumprelu";
import { freeOn, type FreeMemory } from "./memory";

/** Options of a training with their defaults, checked before any work. */

/** A place whose rows are read or rebuilt. */
export interface Place {
  hook: string;
  width: number;
}

/** What several SAEs of one pass have in common. */
export interface SharedPlan {
  tokens: number;
  batch: number;
  steps: number;
  /** Of the order of the rows. */
  seed: number;
}

/** One SAE's own part besides. */
export interface Plan extends SharedPlan {
  kind: TrainKind;
  hooks: string[];
  /** Of a transcoder: what is rebuilt. */
  targets?: string[];
  skip: boolean;
  d: number;
  dOut: number;
  latents: number;
  k: number;
  widths?: number[];
  learningRate: number;
  deadAfter: number;
  auxK: number;
  l0Weight?: number;
  step: NonNullable<TrainOptions["step"]>;
  /** What is known of them before there is a step, which may be one that keeps them in float32. */
  moments: "f32" | "bf16";
  /** Of the initial weights: `seed` unless the SAE has its own. */
  initSeed: number;
}

/** @throws OptionError naming the option */
function fail(name: string, expected: string, found: unknown, remedy: string): never {
  const shown = found === undefined ? "none" : typeof found === "number" ? found : JSON.stringify(found);
  throw new OptionError(`trainSae: ${name}: expected ${expected}, found ${shown}. ${remedy}`);
}

const whole = (name: string, value: unknown, least: number, remedy: string): number =>
  Number.isSafeInteger(value) && (value as number) >= least
    ? (value as number)
    : fail(name, `a whole number of at least ${least}`, value, remedy);

const number = (name: string, value: number, least: number, strict: boolean, remedy: string): number =>
  Number.isFinite(value) && (strict ? value > least : value >= least)
    ? value
    : fail(name, `a number ${strict ? "above" : "of at least"} ${least}`, value, remedy);

/**
 * @param rows different rows there are; undefined when a model makes them while it runs
 * @param where path of the store or source of the model, for messages
 */
export function planShared(options: Pick<SharedOptions, "tokens" | "batch" | "seed">, rows: number | undefined, where: string): SharedPlan {
  if (rows !== undefined && rows < 2) {
    const remedy = `${where} has none to train on: harvest more text, or mark documents with split "train".`;
    fail("store", "at least 2 rows of training documents", rows, remedy);
  }
  const tokens = whole("tokens", options.tokens ?? rows, 2, rows === undefined ? "Say how many rows of the model to train on: { tokens: 1e6 }." : "Leave it out for one pass over the training rows.");
  const batch = whole("batch", options.batch ?? Math.min(defaultBatch(tokens), tokens, rows ?? Infinity), 2, "Leave it out for the recipe's.");
  if (batch > tokens) fail("batch", `at most ${tokens} rows (tokens)`, batch, "Take a smaller batch or more tokens.");
  if (rows !== undefined && batch > rows) fail("batch", `at most the ${rows} rows that there are to train on`, batch, "Take a smaller batch, or harvest more text.");
  const seed = options.seed ?? 0;
  if (!Number.isSafeInteger(seed)) fail("seed", "a whole number", seed, "Leave it out for 0.");
  return { tokens, batch, steps: Math.floor(tokens / batch), seed };
}

const KINDS: TrainKind[] = ["topk", "batchtopk", "multitopk", "groupmax", "matryoshka", "jumprelu"];

/**
 * @param reads where its rows come from
 * @param rebuilds of a transcoder: what it predicts
 */
export function planSae(options: SaeOptions, shared: SharedPlan, reads: Place[], rebuilds?: Place[]): Plan {
  const together = (places: Place[]): number => places.reduce((sum, { width }) => sum + width, 0);
  const d = together(reads), dOut = rebuilds ? together(rebuilds) : d;
  const { kind = "topk", skip = false } = options;
  if (!reads.length) fail("hook", "at least one place to read", [], "Name one, or several for a crosscoder.");
  if (rebuilds && !rebuilds.length) fail("target", "at least one place to rebuild", [], "Name one, or leave it out for an SAE.");
  if (!KINDS.includes(kind)) fail("kind", `one of ${KINDS.join(", ")}`, kind, 'Leave it out for "topk".');
  if (skip && !rebuilds) fail("skip", "a target, as a skip connection predicts another place's rows from these", skip, "Name the target, or leave it out.");
  const latents = whole("latents", options.latents, 1, `For this hook, ${8 * d} (8 times its width) is a first look.`);
  const k = whole("k", options.k, 1, "16 to 32 latents a row are usual.");
  if (k > latents) fail("k", `1 to ${latents} (latents)`, k, "Take a smaller k or more latents.");
  if (kind === "groupmax" && latents % k) fail("k", `a divisor of ${latents} (latents), as group-max has one latent of each of k groups`, k, "Choose another.");
  const widths = widthsOf(options, kind, latents);
  const { tokens, batch } = shared;
  const { choice, step = "auto", seed = shared.seed } = options;
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
  if (!Number.isSafeInteger(seed)) fail("seed", "a whole number", seed, "Leave it out for 0.");
  const moments = kind === "jumprelu" || step === "plain" ? "f32" : choice ? choice.moments ?? "f32" : step === "fused" ? momentsFor({ d, dOut, latents }) : "f32";
  return {
    ...shared, kind, hooks: reads.map(({ hook }) => hook), ...(rebuilds ? { targets: rebuilds.map(({ hook }) => hook) } : {}), skip,
    d, dOut, latents, k, ...(widths ? { widths } : {}), step, moments, initSeed: seed,
    learningRate: number(
      "learningRate", options.learningRate ?? defaultLearningRate(d, batch, tokens), 0, true, "Leave it out for the recipe's."),
    deadAfter: number(
      "deadAfter", options.deadAfter ?? defaultDeadAfter(tokens), 0, false, "It counts tokens; leave it out for 5 % of the run."),
    ...(kind === "jumprelu" ? { l0Weight: number("l0Weight", options.l0Weight ?? L0_WEIGHT, 0, false, "It is the weight of (L0/k − 1)² in the loss.") } : {}),
    auxK: number("auxK", options.auxK ?? 1, 0, false, "It is the auxiliary loss's weight; 0 leaves it out."),
  };
}

/** Matryoshka's levels, ascending, the last all latents: by default each half of the next, down to latents/16. */
function widthsOf({ widths }: SaeOptions, kind: TrainKind, latents: number): number[] | undefined {
  if (kind !== "matryoshka") {
    return widths === undefined ? undefined : fail("widths", `none, as a ${kind} SAE has no levels`, widths, 'Leave them out, or take kind "matryoshka".');
  }
  if (widths === undefined) return [16, 8, 4, 2, 1].map((part) => Math.floor(latents / part)).filter((width, i, all) => width > (i ? all[i - 1] : 0));
  const ascending = Array.isArray(widths) && widths.every((width, i) => Number.isSafeInteger(width) && width > (i ? widths[i - 1] : 0));
  if (!ascending || widths.at(-1) !== latents) fail("widths", `ascending numbers of latents, the last ${latents}`, widths, "They are matryoshka's levels.");
  return widths;
}

/** What makes a run the same run, field by field: with it a checkpoint is gone on from. How it is computed is not part of it. */
export function recipeOf(shared: SharedPlan, plans: Plan[], data: Record<string, unknown>): Record<string, unknown> {
  const { tokens, batch, seed } = shared;
  const own = ({ kind, hooks, targets, skip, d, dOut, latents, k, widths, learningRate, deadAfter, auxK, l0Weight, initSeed }: Plan) =>
    ({ kind, hooks, targets, skip, d, dOut, latents, k, widths, learningRate, deadAfter, auxK, l0Weight, initSeed });
  const fields = plans.map(own);
  const several = fields.flatMap((one, i) => Object.entries(one).map(([name, value]): [string, unknown] => [`saes[${i}].${name}`, value]));
  return { ...data, tokens, batch, seed, ...(fields.length === 1 ? fields[0] : { saes: fields.length, ...Object.fromEntries(several) }) };
}

/** Where a training is to run, and what there is to run it with. */
export interface Room {
  device?: Device; // "cpu"
  /** Different rows of the source, where that is known. */
  rows?: number;
  /** Whether this machine has the fused ops, where that is known. */
  fusedOps?: boolean;
  free?: FreeMemory; // of this machine, now
}

/** The SAEs of a pass as core/memoryplan counts them. */
const shapes = (plans: Plan[], device: Device, fusedOps?: boolean): RunShape[] => plans.map(({ kind, d, dOut, latents, k, widths, skip, targets, batch, step, moments, auxK }): RunShape => ({
  kind, d, dOut, latents, k, widths, skip, transcoder: targets !== undefined, batch, step, auxK, device, fusedOps,
  moments: step === "auto" && fusedOps ? momentsFor({ d, dOut, latents }) : moments,
}));

/**
 * Whether a pass fits into the memory that is free, before anything is begun.
 * @param held bytes of rows that the source keeps
 * @returns rows to encode at a time so that it does: the batch where that may be encoded at once
 * @throws OptionError that says what is missing, who else has it where a card's driver tells, and what would fit
 */
export function checkMemory(plans: Plan[], held: number, { device = "cpu", rows: there, fusedOps, free = freeOn(device) }: Room = {}): number {
  const run = shapes(plans, device, fusedOps), source = { held, rows: there };
  const rows = rowsThatFit(run, free, source);
  const needed = runMemory(run.map((one) => ({ ...one, rows })), source);
  if (fits(needed, free)) return rows;
  const [{ latents, batch }] = plans;
  const ofCard = !free.shared && needed.card > free.card;
  const need = free.shared ? needed.host + needed.card : ofCard ? needed.card : needed.host, has = ofCard ? free.card : free.host;
  const largest = needed.parts.filter(({ on }) => free.shared || on === (ofCard ? "card" : "host")).slice(0, 3).map(({ what, bytes }) => `${what} ${gigabytes(bytes)}`).join(", ");
  const also = free.told && (ofCard || free.shared) ? ` (${free.told})` : "";
  throw new OptionError(
    `trainSae: latents ${latents}, batch ${batch}${plans.length > 1 ? ` and ${plans.length - 1} more SAEs` : ""}: ` +
    `expected to need at most the ${gigabytes(has)} of ${ofCard ? "the card's memory" : "memory"} that are free${also}, found about ${gigabytes(need)} (${largest}). ` +
    remedyOf(whatFits(run, free, source), ofCard));
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** For a run that ran out of memory after all: what takes it, and what would take a quarter less, rows being cut as far as they may. */
export function lessMemory(plans: Plan[], device: Device, held: number): string {
  const run = shapes(plans, device), need = runMemory(run.map((one) => ({ ...one, rows: Math.min(one.batch, LEAST_ROWS) })), { held });
  const free: Free = { host: 0.75 * need.host, card: 0.75 * need.card };
  const [{ what, bytes }] = need.parts;
  return `Such a run takes about ${gigabytes(need.host + need.card)} (${what} ${gigabytes(bytes)}). ${remedyOf(whatFits(run, free, { held }), need.card > 0)}`;
}

function remedyOf(changes: Change[], ofCard: boolean): string {
  const others = ofCard ? "end what else runs on the card" : "close other programs";
  if (!changes.length) return `Train fewer or smaller SAEs, or ${others}.`;
  const words = changes.map(({ bytes, latents, saes, moments, ...option }) => `${
    latents !== undefined ? `about ${latents.toLocaleString("en")} latents` : saes !== undefined ? `${saes} of the SAEs at once`
    : moments !== undefined ? 'a choice with moments: "bf16"' : JSON.stringify(option).replace(/^\{"(\w+)":(.*)\}$/, "{ $1: $2 }")} would fit (${gigabytes(bytes)})`);
  const text = words.join("; ");
  return `${text[0].toUpperCase()}${text.slice(1)}; or ${others}.`;
}
