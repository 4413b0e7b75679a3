import type { Device } from "./device";
import { OptionError } from "./errors";
import { defaultBatch } from "./schedule";
import { F32, sizesOf, stateOf, workingOf, type RunShape } from "./stepmemory";

export type { RunShape, SaeShape } from "./stepmemory";

/**
 * What a training takes: memory of the machine and of the card, disk, arithmetic; and what would fit where it does not. stepmemory.ts has
 * the part of the step, cards.ts says which card.
 *
 * Factors are counted in the code and held against the peaks of real runs (test/adapters/memoryruns.test.ts). On the CPU the sum lies
 * within −10 % and +25 % of what a run takes, give or take 32 MB, where its auxiliary loss revives as many latents as was said. Of WebGPU
 * the buffers are counted one by one. What else a card's driver takes, and TensorFlow on CUDA, was never measured on a card.
 */

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

const MB = 1e6;
const ENGINE = 110 * MB; // what TensorFlow takes by being there, its libraries' files aside
const DRIVER = { cuda: 600 * MB, webgpu: 200 * MB }; // of a card: context and libraries. A guess
const SNAPSHOT = 2 ** 26; // bytes of weights of which the loop keeps the last sound ones
const SAMPLE = 32768; // rows from which a run's start is computed, or as many as there are latents
const WHITENED = 2048; // width up to which they are whitened
const WHITENING = 60; // bytes a number of the covariance: itself and its eigenvectors, in float64 too; TensorFlow keeps what it once had
const CHOOSING = 3.3; // matrices' bytes that TensorFlow keeps of the measurement that chooses a step
const STRIDE = 8; // batches on their way to a card

/** The steps that "auto" may come to mean. */
function candidates({ step, device, kind, fusedOps }: RunShape): Exclude<RunShape["step"], "auto">[] {
  if (device === "webgpu") return ["webgpu"];
  if (device === "wasm") return [step === "plain" ? "plain" : "stock"];
  if (device === "cuda") return [step === "plain" ? "plain" : "stock"];
  if (step !== "auto") return [step === "fused" && kind === "jumprelu" ? "stock" : step];
  if (kind === "jumprelu" || fusedOps === false) return ["stock"];
  return fusedOps ? ["fused"] : ["fused", "stock"];
}

const onCard = (device: Device): boolean => device === "cuda" || device === "webgpu";

/**
 * Most that a run takes at any one time: while it starts, in its steps, or at its end.
 * @param saes of one pass; the batch and the device are theirs together
 */
export function runMemory(saes: RunShape[], source: Source = {}): Memory {
  const all = alternatives(saes.map((sae) => candidates(sae).map((step) => ({ sae, step })))).map((chosen) => memoryOf(chosen, source));
  return all.reduce((a, b) => (b.host + b.card > a.host + a.card ? b : a));
}

/** One candidate of each SAE: the first of all of them, the second of all. */
const alternatives = <T>(lists: T[][]): T[][] => Array.from({ length: Math.max(...lists.map(({ length }) => length)) }, (_, i) => lists.map((list) => list[Math.min(i, list.length - 1)]));

const sum = (parts: { bytes: number }[]): number => parts.reduce((total, { bytes }) => total + bytes, 0);
const most = (numbers: number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0);

interface Chosen {
  sae: RunShape;
  step: RunShape["step"];
}

function memoryOf(saes: Chosen[], source: Source): Memory {
  const on = (parts: Part[], where: Part["on"]): Part[] => parts.filter((part) => part.on === where && part.bytes > 0);
  const { kept, steps, others } = phasesOf(saes, source);
  const fullest = [steps, ...others].map((parts) => on(parts, "host")).reduce((a, b) => (sum(b) > sum(a) ? b : a));
  const host = [...on(kept, "host"), ...fullest], card = [...on(kept, "card"), ...on(steps, "card")];
  return { host: sum(host), card: sum(card), parts: [...host, ...card].sort((a, b) => b.bytes - a.bytes) };
}

/** What there is at all times, in the steps, and in the other phases: the start's sample, the first weights, the end's measuring. */
function phasesOf(saes: Chosen[], { held = 0, rows: there = Infinity }: Source): { kept: Part[]; steps: Part[]; others: Part[][] } {
  const { device } = saes[0].sae, card = onCard(device), several = saes.length > 1;
  const host = (what: string, bytes: number): Part => ({ what, on: "host", bytes });
  const placed = (what: string, bytes: number): Part => ({ what, on: card ? "card" : "host", bytes });
  const each = saes.map(({ sae, step }) => {
    const own = sizesOf(sae);
    return { own, step, ...stateOf(own, step, sae.moments), working: workingOf(own, step), matrices: F32 * own.P };
  });
  const total = (bytes: (one: (typeof each)[number]) => number): number => each.reduce((all, one) => all + bytes(one), 0);
  const largest = each.reduce((a, b) => (sum(b.working) > sum(a.working) ? b : a));
  const widest = most(each.map(({ own: { d, dOut } }) => Math.max(d, dOut)));
  const matrices = most(each.map((one) => one.matrices));
  const parameters = total((one) => one.parameters), state = parameters + total((one) => one.moments);
  const choosing = saes.some(({ sae, step }) => sae.step === "auto" && step === "fused") ? CHOOSING * matrices : 0;
  const sample = F32 * Math.min(there, Math.max(SAMPLE, ...each.map(({ own }) => own.latents))) * most(each.map(({ own: { d, dOut, transcoder } }) => d + (transcoder ? dOut : 0)));
  /** What TensorFlow had for the steps it keeps until the end. */
  const pool = !card && largest.step !== "fused" ? state + sum(largest.working) : 0;
  return {
    kept: [
      host("rows that are held", held), host("TensorFlow itself", ENGINE), host("choosing the step", choosing),
      { what: "computing the start", on: device === "cuda" ? "card" : "host", bytes: widest <= WHITENED ? WHITENING * widest ** 2 : 0 },
      placed("driver and libraries", device === "cuda" || device === "webgpu" ? DRIVER[device] : 0),
    ],
    steps: [
      placed("parameters", parameters), placed("Adam's moments", state - parameters), ...largest.working.map(({ what, bytes }) => placed(what, bytes)),
      host("batches on their way", card ? (STRIDE + 3) * F32 * largest.own.batch * (largest.own.d + largest.own.dOut) : 0),
      host("the last sound weights", 3 * total((one) => (one.matrices <= SNAPSHOT ? one.matrices : 0))),
    ],
    others: [
      [host("a sample of the rows", 2 * sample), host("first weights", matrices + (several && !card ? parameters : 0))],
      [host("first weights", matrices + (choosing ? 1.5 * matrices : card ? matrices : parameters)), host("a sample of the rows", several ? sample : 0)],
      [host("parameters and moments", pool || (card ? 0 : state - each[0].parameters - each[0].moments)), host("weights, and their copies that measure", (pool ? 1.5 : 2.5) * matrices + 32 * MB)],
    ],
  };
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
  const own = sizesOf(run);
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
