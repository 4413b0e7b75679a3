import type { Device } from "./device";
import { OptionError } from "./errors";
import { defaultBatch } from "./schedule";
import type { TrainKind } from "./types";

/**
 * What a training takes: memory of the machine and of the card, disk, arithmetic; and what would fit where it does not. F latents,
 * rows of width d read and dOut rebuilt, n rows a batch; P = F·(d + dOut) numbers are in the two matrices. cards.ts says which card.
 *
 * Factors are counted in the steps' code and held against the peaks of real runs (test/adapters/memoryruns.test.ts): on the CPU the
 * sum lies within −10 % and +25 % of what a run takes beyond the engine itself. On a card they are counted only.
 */

export interface SaeShape {
  d: number;
  latents: number;
  k: number;
  kind?: TrainKind; // "topk"
  dOut?: number; // d
  transcoder?: boolean; // false
  skip?: boolean; // false
  widths?: number[]; // of matryoshka
}

/** One SAE as it is to be trained. */
export interface RunShape extends SaeShape {
  batch: number;
  device: Device;
  /** "auto": the one of them that needs more memory is counted, and the measurement that chooses. */
  step: "fused" | "stock" | "plain" | "webgpu" | "auto";
  moments?: "f32" | "bf16"; // f32
  /** Rows encoded at a time: all. */
  rows?: number;
  auxK?: number; // 1
}

/** Bytes, in all and by what they are for. */
export interface Memory {
  /** Of the machine's memory, the rows that are held included. */
  host: number;
  /** Of the card's; 0 where the processor computes. */
  card: number;
  /** At the moment when there is most. */
  parts: Part[];
}

interface Part {
  what: string;
  on: "host" | "card";
  bytes: number;
}

/** Bytes that may be taken; a card's are Infinity where nobody tells. */
export interface Free {
  host: number;
  card: number;
  /** The card's memory is the machine's: both needs come out of `host`. */
  shared?: boolean;
}

/** Where the rows come from. */
export interface Source {
  /** Bytes of rows that it keeps. */
  held?: number; // 0
  /** Different rows that there are. */
  rows?: number; // more than a run's start is computed from
}

/** The most that a step can be cut: below it the encoder's product is mostly overhead. */
export const LEAST_ROWS = 16;

/** One change that alone makes a run fit, as an option of trainSae. */
export interface Change {
  moments?: "bf16";
  step?: "fused";
  device?: "cpu";
  batch?: number;
  saes?: number;
  latents?: number;
  /** What the run then needs, of the machine and the card together. */
  bytes: number;
}

const F32 = 4;
const MB = 1e6;

const ENGINE = 110 * MB; // what TensorFlow takes by being there, its libraries' files aside
const DRIVER = 600 * MB; // of a card: CUDA's context and its libraries. Not measured on a card of ours
const SNAPSHOT = 2 ** 26; // bytes of weights of which the loop keeps the last sound ones
const SAMPLE = 32768; // rows from which a run's start is computed, or as many as there are latents
const WHITENED = 2048; // width up to which they are whitened
const DEAD = 0.25; // of the latents: as many as an auxiliary loss is expected to revive at once
const STRIDE = 8; // batches on their way to a card

interface Sizes extends Required<Pick<RunShape, "d" | "dOut" | "latents" | "k" | "kind" | "batch" | "rows" | "auxK">> {
  P: number;
  /** Numbers of biases, thresholds and a skip connection. */
  small: number;
  columns: number;
  levels: number;
}

function sizes({ d, dOut = d, latents, k, kind = "topk", batch, rows = batch, auxK = 1, skip, widths }: RunShape): Sizes {
  const byBatch = kind === "batchtopk" || kind === "matryoshka";
  return {
    d, dOut, latents, k, kind, batch, rows: Math.min(rows, batch), auxK, P: latents * (d + dOut),
    small: latents * (kind === "jumprelu" ? 2 : 1) + dOut + (skip ? d * dOut : 0),
    columns: Math.min(latents, kind === "multitopk" ? 4 * k : byBatch ? 2 * k : k),
    levels: kind === "multitopk" ? 2 : kind === "matryoshka" ? widths?.length ?? 5 : 1,
  };
}

const parametersOf = ({ P, small }: Sizes): number => F32 * (P + small);

const momentsOf = ({ P, small }: Sizes, moments: RunShape["moments"]): number => 2 * ((moments === "bf16" ? 2 : F32) * P + F32 * small);

/** Rows as they are read and rebuilt, their errors, and the chosen pairs with their lists. */
const batchOf = ({ batch, d, dOut, columns, levels }: Sizes): number => F32 * batch * (3 * d + (2 + levels) * dOut + 12 * columns);

/** The auxiliary loss is dense over the dead latents: their pre-activations, values and gradients [rows, D], their rows and their gradients [D, …]. */
function revivingOf({ auxK, latents, rows, d, dOut }: Sizes): number {
  const dead = Math.ceil(DEAD * latents);
  return auxK > 0 ? F32 * dead * (6.5 * rows + 3.5 * (d + dOut)) : 0;
}

/** What a step needs beside parameters and moments, by what it is for. */
function workingOf(shape: RunShape, step: RunShape["step"]): { what: string; bytes: number }[] {
  const own = sizes(shape);
  const { P, latents, batch, rows, kind } = own;
  const pre = F32 * rows * latents;
  const common = [{ what: "a batch and its chosen latents", bytes: batchOf(own) }, { what: "the auxiliary loss", bytes: revivingOf(own) }];
  switch (step) {
    // Gradients are used up while they are in the cache; but for group-max no pre-activations are kept.
    case "fused": return [...common, { what: "pre-activations", bytes: kind === "groupmax" ? 1.25 * pre : F32 * batch * (4 * own.columns + 400) }];
    // Gradients, their projection and the normalised rows are whole, and TensorFlow keeps some more that it does not join again.
    case "stock": return [
      ...common, { what: "gradients", bytes: 4.5 * F32 * P },
      { what: "pre-activations", bytes: kind === "jumprelu" ? 2.5 * F32 * batch * latents : 1.25 * pre }];
    // TF.js keeps every intermediate tensor of a step.
    case "plain": return [{ what: "gradients and intermediate tensors", bytes: 23 * F32 * P }, { what: "pre-activations and masks", bytes: 26 * F32 * batch * latents }];
    case "webgpu": return [...common, { what: "pre-activations", bytes: pre }];
    default: throw new RangeError(`step: expected one that computes, found ${step}`);
  }
}

/** The steps that "auto" may come to mean. */
function candidates({ step, device, kind }: RunShape): Exclude<RunShape["step"], "auto">[] {
  if (device === "webgpu") return ["webgpu"];
  if (device === "wasm") return ["plain"];
  if (device === "cuda") return [step === "plain" ? "plain" : "stock"];
  if (step !== "auto") return [step === "fused" && kind === "jumprelu" ? "stock" : step];
  return kind === "jumprelu" ? ["stock"] : ["fused", "stock"];
}

const onCard = (device: Device): boolean => device === "cuda" || device === "webgpu";

/**
 * Most that a run takes at any one time: while it starts, in its steps, or at its end.
 * @param saes of one pass; the batch and the device are theirs together
 */
export function runMemory(saes: RunShape[], source: Source = {}): Memory {
  const all = product(saes.map((sae) => candidates(sae).map((step) => ({ sae, step })))).map((chosen) => memoryOf(chosen, source));
  return all.reduce((most, one) => (one.host + one.card > most.host + most.card ? one : most));
}

/** One candidate of each SAE: the same of all, as sizes of one pass are seldom far apart. */
const product = <T>(lists: T[][]): T[][] => Array.from({ length: Math.max(...lists.map(({ length }) => length)) }, (_, i) => lists.map((list) => list[Math.min(i, list.length - 1)]));

const sum = (parts: { bytes: number }[]): number => parts.reduce((total, { bytes }) => total + bytes, 0);
const most = (numbers: number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0);

function memoryOf(saes: { sae: RunShape; step: RunShape["step"] }[], { held = 0, rows: there = Infinity }: Source): Memory {
  const { device } = saes[0].sae;
  const card = onCard(device), on = card ? "card" as const : "host" as const;
  const each = saes.map(({ sae, step }) => {
    const own = sizes(sae), parameters = parametersOf(own);
    return { own, step, parameters, state: parameters + momentsOf(own, step === "fused" ? sae.moments : "f32"), working: workingOf(sae, step) };
  });
  const matrices = each.map(({ own: { P } }) => F32 * P);
  const largest = each.reduce((a, b) => (sum(b.working) > sum(a.working) ? b : a));
  // Covariance and eigenvectors, in float64 too; TensorFlow keeps what it once had.
  const whitening = 60 * most(each.map(({ own: { d, dOut } }) => (Math.max(d, dOut) <= WHITENED ? Math.max(d, dOut) ** 2 : 0)));
  const choosing = saes.some(({ sae, step }) => sae.step === "auto" && step === "fused") ? 3.3 * most(matrices) : 0;
  const snapshots = 3 * matrices.filter((bytes) => bytes <= SNAPSHOT).reduce((a, b) => a + b, 0);
  const sample = F32 * Math.min(there, Math.max(SAMPLE, ...each.map(({ own }) => own.latents))) * most(each.map(({ own: { d, dOut } }, i) => d + (saes[i].sae.transcoder ? dOut : 0)));
  const parameters = each.reduce((total, one) => total + one.parameters, 0), state = each.reduce((total, one) => total + one.state, 0);
  const batches = card ? (STRIDE + 3) * F32 * largest.own.batch * (largest.own.d + largest.own.dOut) : 0;

  const kept: Part[] = [
    { what: "rows that are held", on: "host", bytes: held }, { what: "TensorFlow itself", on: "host", bytes: ENGINE },
    { what: "computing the start", on: card && device === "cuda" ? "card" : "host", bytes: whitening },
    ...(card ? [{ what: "driver and libraries", on: "card" as const, bytes: DRIVER }] : []),
  ];
  const start: Part[] = [
    ...kept, { what: "a sample of the rows", on: "host", bytes: 2 * sample },
    { what: "first weights", on: "host", bytes: (saes.length > 1 && !card ? parameters : 0) + most(matrices) + (saes.some(({ sae }) => sae.step === "auto") ? choosing + most(matrices) : 0) },
  ];
  const making: Part[] = [...kept, { what: "first weights", on: "host", bytes: (card ? 0 : parameters) + most(matrices) + (saes.length > 1 ? sample : 0) }, { what: "choosing the step", on: "host", bytes: choosing }];
  const step: Part[] = [
    ...kept, { what: "parameters", on, bytes: parameters }, { what: "Adam's moments", on, bytes: state - parameters }, ...largest.working.map((part) => ({ ...part, on })),
    { what: "batches on their way", on: "host", bytes: batches }, { what: "the last sound weights", on: "host", bytes: snapshots }, { what: "choosing the step", on: "host", bytes: choosing },
  ];
  // Weights as arrays, and their copies that encode the rows held out; what TensorFlow had for the steps it keeps.
  const pooled = !card && largest.step !== "fused" ? sum(largest.working) + state : 0;
  const end: Part[] = [
    ...kept, { what: "parameters and moments", on: "host", bytes: card ? 0 : pooled || state - each[0].state + parameters },
    { what: "weights as arrays", on: "host", bytes: 1.5 * most(matrices) + (pooled ? 0 : 32 * MB) }, { what: "choosing the step", on: "host", bytes: choosing },
  ];
  const of = (parts: Part[], where: Part["on"]): Part[] => parts.filter((part) => part.on === where && part.bytes > 0);
  const fullest = [start, making, step, end].map((parts) => of(parts, "host")).reduce((a, b) => (sum(b) > sum(a) ? b : a));
  const parts = [...fullest, ...of(step, "card")].sort((a, b) => b.bytes - a.bytes);
  return { host: sum(fullest), card: sum(of(step, "card")), parts };
}

/** Whether it fits; what the card shares with the machine is counted once for both. */
export const fits = ({ host, card }: Memory, free: Free): boolean => (free.shared ? host + card <= free.host : host <= free.host && card <= free.card);

/**
 * Rows of a batch that are to be encoded at a time so that a run fits: the whole batch, or it halved as often as it takes, to
 * LEAST_ROWS at the least.
 */
export function rowsThatFit(saes: RunShape[], free: Free, source: Source = {}): number {
  let rows = saes[0].batch;
  while (rows > LEAST_ROWS && !fits(runMemory(saes.map((sae) => ({ ...sae, rows })), source), free)) rows = Math.max(LEAST_ROWS, Math.ceil(rows / 2));
  return rows;
}

/** The run with its rows cut as far as it takes. */
function cut(saes: RunShape[], free: Free, source: Source): Memory {
  const rows = rowsThatFit(saes, free, source);
  return runMemory(saes.map((sae) => ({ ...sae, rows })), source);
}

/** Changes of which each alone makes the run fit, rows encoded at a time being cut; that which leaves most of the run as it is first. */
export function whatFits(saes: RunShape[], free: Free, source: Source = {}): Change[] {
  const out: Change[] = [];
  const bytesOf = (changed: RunShape[]): number | undefined => {
    const memory = cut(changed, free, source);
    return fits(memory, free) ? memory.host + memory.card : undefined;
  };
  const offer = (change: Omit<Change, "bytes">, changed: RunShape[]): boolean => {
    const bytes = bytesOf(changed);
    if (bytes !== undefined) out.push({ ...change, bytes });
    return bytes !== undefined;
  };
  const { device, batch } = saes[0];
  const each = (change: Partial<RunShape>): RunShape[] => saes.map((sae) => ({ ...sae, ...change }));
  const byProcessor = saes.every(({ kind }) => kind !== "jumprelu");
  if (device === "cpu" && saes.some(({ step, moments }) => step === "fused" && moments !== "bf16") && byProcessor) offer({ moments: "bf16" }, each({ moments: "bf16" }));
  if (device === "cpu" && saes.some(({ step }) => step !== "fused") && byProcessor) offer({ step: "fused" }, each({ step: "fused", moments: "bf16" }));
  for (let smaller = 2 ** Math.ceil(Math.log2(batch) - 1); smaller >= 32; smaller /= 2) if (offer({ batch: smaller }, each({ batch: smaller }))) break;
  for (let count = saes.length - 1; count >= 1; count--) if (offer({ saes: count }, saes.slice(0, count))) break;
  if (onCard(device)) offer({ device: "cpu" }, each({ device: "cpu", step: "auto" }));
  const latents = mostLatents(saes, (changed) => bytesOf(changed) !== undefined);
  if (latents !== undefined) offer({ latents }, saes.map((sae) => withLatents(sae, latents)));
  return out;
}

const withLatents = (sae: RunShape, latents: number): RunShape => ({ ...sae, latents: Math.min(sae.latents, latents) });

/** The most latents, of the largest SAE, for which a run fits, as a round number; undefined where not even k would do. */
function mostLatents(saes: RunShape[], fitting: (changed: RunShape[]) => boolean): number | undefined {
  const k = Math.max(...saes.map((sae) => sae.k)), multiple = saes.some(({ kind }) => kind === "groupmax") ? k : 1;
  const able = (latents: number): boolean => fitting(saes.map((sae) => withLatents(sae, latents)));
  if (!able(k)) return undefined;
  let least = k, beyond = Math.max(...saes.map(({ latents }) => latents));
  while (beyond - least > Math.max(1, least / 128)) {
    const middle = Math.floor((least + beyond) / 2);
    if (able(middle)) least = middle;
    else beyond = middle;
  }
  const round = 2 ** Math.max(0, Math.floor(Math.log2(least)) - 5) * 1;
  const rounded = Math.floor(least / round) * round;
  return Math.max(k, Math.floor(rounded / multiple) * multiple);
}

/** What `doctor --plan` asks for. */
export interface RunOptions extends Partial<Omit<RunShape, "d" | "latents">> {
  d: number;
  latents: number;
  /** Rows that training sees. */
  tokens: number;
  /** Of the rows on disk, as harvest writes them: "F32" or "F16". */
  dtype?: string; // "F32"
  hooks?: number; // 1: places that are harvested
  /** Rows in the store: tokens. */
  rows?: number;
}

export interface PlannedRun {
  run: RunShape;
  tokens: number;
  steps: number;
  source: Source;
  memory: Memory;
  /** Bytes; checkpoints while a third is written beside two. */
  disk: { store: number; checkpoints: number; sae: number };
  /** Of arithmetic; `encoder` is the part of the encoder's product in a step. */
  flops: { step: number; encoder: number; total: number };
}

const ORIGIN = 20; // bytes beside each row of a store: document, position, token, where its text starts and ends
const HELD = 2 ** 31; // of a store's rows, at most
const ADAM = 15; // operations a parameter

/**
 * What a run of these sizes takes: the defaults are those of trainSae.
 * @throws OptionError naming the field that is missing or out of range
 */
export function planRun({ tokens, dtype = "F32", hooks = 1, rows: stored = tokens, ...options }: RunOptions): PlannedRun {
  for (const [name, value] of Object.entries({ d: options.d, latents: options.latents, tokens, rows: stored, hooks, k: options.k ?? 32, batch: options.batch ?? 1 })) {
    if (!(Number.isSafeInteger(value) && value >= 1)) throw new OptionError(`plan: ${name}: expected a whole number of at least 1, found ${value === undefined ? "none" : JSON.stringify(value)}. Such as { latents: 65536, d: 1536, tokens: 1e8 }.`);
  }
  const { k = 32, device = "cpu", step = "auto" } = options;
  if (k > options.latents) throw new OptionError(`plan: k: expected 1 to ${options.latents} (latents), found ${k}. Take a smaller k or more latents.`);
  const width = /^B?F(LOAT)?16$/i.test(dtype) ? 2 : /^F(LOAT)?32$/i.test(dtype) ? 4 : undefined;
  if (width === undefined) throw new OptionError(`plan: dtype: expected "F32" or "F16", found ${JSON.stringify(dtype)}. It is how harvest writes rows.`);
  const batch = options.batch ?? Math.min(defaultBatch(tokens), tokens);
  const run: RunShape = { ...options, k, device, step, batch };
  const own = sizes(run);
  const { d, dOut, latents, columns, P, small, auxK } = own;
  const encoder = 2 * batch * latents * d;
  const pairs = 2 * batch * columns * (2 * dOut + d + dOut); // decoding, g, and both matrices' gradients
  const reviving = auxK > 0 ? 0.02 * 3 * 2 * batch * latents * (d + dOut) : 0; // of dead latents there are few for most of a run
  const flops = encoder + pairs + reviving + ADAM * (P + small);
  const steps = Math.max(1, Math.floor(tokens / batch));
  const source: Source = { held: Math.min(F32 * stored * (d + (run.transcoder ? dOut : 0)), HELD), rows: stored };
  return {
    run, tokens, steps, source, memory: runMemory([run], source),
    disk: { store: stored * (width * d * hooks + ORIGIN), checkpoints: 3 * (3 * F32 * (P + small) + 8 * latents), sae: F32 * (P + small) },
    flops: { step: flops, encoder, total: steps * flops },
  };
}
