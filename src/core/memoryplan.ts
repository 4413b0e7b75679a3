import type { Device } from "./device";
import { defaultBatch } from "./schedule";
import type { TrainKind } from "./types";

/**
 * What a training takes: memory of the machine and of the card, disk, arithmetic; and what would fit where it does not. F latents,
 * rows of width d read and dOut rebuilt, n rows a batch. Held against runs by test/adapters/memoryplan.test.ts.
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
  /** "auto": the one of them that needs more memory is counted. */
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
  parts: { what: string; on: "host" | "card"; bytes: number }[];
}

/** Bytes that may be taken; a card's are Infinity where nobody tells. */
export interface Free {
  host: number;
  card: number;
}

/** The most that a step can be cut: below it the encoder's product is mostly overhead. */
export const LEAST_ROWS = 16;

/** One change that alone makes a run fit, as an option of trainSae. */
export interface Change {
  batch?: number;
  latents?: number;
  step?: "fused";
  device?: "cpu";
  saes?: number;
  /** What the run then needs. */
  bytes: number;
}

/**
 * Most that a run takes at any one time, beyond what the process has with its engine loaded: while it starts, in its steps, or at its end.
 * @param saes of one pass; the batch and the device are theirs together
 * @param held bytes of rows that the source keeps
 */
export function runMemory(saes: RunShape[], held = 0): Memory {
  void saes; void held;
  throw new Error("not yet");
}

/**
 * Rows of a batch that are to be encoded at a time so that a run fits: the whole batch, or it halved as often as it takes, to
 * LEAST_ROWS at the least.
 */
export function rowsThatFit(saes: RunShape[], free: Free, held = 0): number {
  void saes; void free; void held;
  throw new Error("not yet");
}

/** Changes of which each alone makes the run fit, that which leaves most of the run as it is first. */
export function whatFits(saes: RunShape[], free: Free, held = 0): Change[] {
  void saes; void free; void held;
  throw new Error("not yet");
}

/** What `doctor --plan` asks for. */
export interface RunOptions extends Partial<Omit<RunShape, "d" | "latents">> {
  d: number;
  latents: number;
  /** Rows that training sees. */
  tokens: number;
  /** Of the rows on disk, as harvest writes them: "F16" or "F32"; in any spelling ("bf16" counts as 2 bytes). */
  dtype?: string; // "F16"
  hooks?: number; // 1: places that are harvested
  /** Rows in the store: tokens. */
  rows?: number;
}

export interface PlannedRun {
  run: RunShape;
  tokens: number;
  steps: number;
  memory: Memory;
  /** Bytes; checkpoints while a third is written beside two. */
  disk: { store: number; checkpoints: number; sae: number };
  /** Of arithmetic; `encoder` is the part of the encoder's product in a step. */
  flops: { step: number; encoder: number; total: number };
}

/** @throws OptionError naming the field that is missing or out of range */
export function planRun(options: RunOptions): PlannedRun {
  void options; void defaultBatch;
  throw new Error("not yet");
}
