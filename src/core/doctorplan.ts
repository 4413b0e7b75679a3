import { DEVICES, type Device } from "./device";
import { OptionError } from "./errors";
import { fits, planRun, rowsThatFit, runMemory, whatFits, type Change, type Free, type Memory, type RunOptions } from "./memoryplan";
import type { HarvestSpeed, TrainingSpeed } from "./doctorspeeds";

/** What a training that is thought of would take on this machine: memory, disk, hours. `saelab doctor --plan latents=65536 d=1536 tokens=100M` */

export interface PlanRequest extends Omit<RunOptions, "device" | "step"> {
  device?: Device; // the one that training would take here
  step?: RunOptions["step"]; // the one that it would take
  /** Of the model whose activations they are: its harvest is then estimated too. */
  parameters?: number;
}

export interface DoctorPlan {
  asked: Required<Pick<RunOptions, "d" | "latents" | "k" | "tokens">> & { batch: number; device: Device; step: string; dtype: string; rows: number; parameters?: number };
  memory: Memory;
  free: Free;
  /** Rows encoded at a time, where memory makes them fewer than a batch: the result is the same, and comes more slowly. */
  rowsAtOnce?: number;
  /** Bytes; free is absent where the disk does not say. */
  disk: { store: number; checkpoints: number; sae: number; free?: number };
  /** Seconds, estimated from what was measured here; absent where nothing was. */
  training?: number;
  harvest?: number;
  fits: boolean;
  /** What there is too little of: "memory", "memory on the card", "disk". */
  short: string[];
  /** Changes of which each alone makes its memory suffice, gentlest first. */
  changes: Change[];
}

const NUMBERS = ["d", "latents", "k", "tokens", "batch", "rows", "hooks", "dOut", "auxK", "parameters"] as const;
const TEXTS = ["dtype", "kind", "device", "step", "moments"] as const;
const CHOICES: Partial<Record<(typeof TEXTS)[number], readonly string[]>> = {
  dtype: ["F16", "F32"], device: DEVICES, step: ["auto", "fused", "stock", "plain"], moments: ["f32", "bf16"],
  kind: ["topk", "batchtopk", "multitopk", "groupmax", "matryoshka", "jumprelu"],
};
const EXAMPLE = "--plan latents=65536 d=1536 tokens=100M";
const SCALES: Record<string, number> = { "": 1, k: 1e3, m: 1e6, b: 1e9, g: 1e9 };

/**
 * NAME=VALUE words as a plan: latents=65536 tokens=100M parameters=1.5B.
 * @throws OptionError for a name that is none, a number that is none, or where latents, d or tokens is missing
 */
export function parsePlan(words: string[]): PlanRequest {
  const plan: Record<string, unknown> = {};
  const names: readonly string[] = [...NUMBERS, ...TEXTS];
  for (const word of words) {
    const [, name, text] = /^([A-Za-z]+)=(.*)$/.exec(word) ?? [];
    if (!names.includes(name)) throw new OptionError(`--plan: expected NAME=VALUE with a name of ${names.join(", ")}, found ${word}. At least: ${EXAMPLE}.`);
    plan[name] = (NUMBERS as readonly string[]).includes(name) ? numberOf(name, text) : textOf(name as (typeof TEXTS)[number], text);
  }
  const missing = ["latents", "d", "tokens"].filter((name) => plan[name] === undefined);
  if (missing.length) throw new OptionError(`--plan: expected ${missing.join(", ")}, found none: ${EXAMPLE}. d is the width of the rows (a model's hidden size).`);
  return { k: 32, ...plan } as unknown as PlanRequest;
}

/** 65536, 65_536, 65,536, 100M, 1.5B. */
function numberOf(name: string, text: string): number {
  const [, digits, scale = ""] = /^(\d[\d_,]*(?:\.\d+)?(?:e\d+)?)([kmbg]?)$/i.exec(text) ?? [];
  const value = Number(digits?.replace(/[_,]/g, "")) * SCALES[scale.toLowerCase()];
  if (!(value > 0)) throw new OptionError(`--plan: ${name}: expected a number above 0 (65536, 100M, 1.5B), found ${text || "none"}.`);
  return name === "auxK" ? value : Math.round(value);
}

function textOf(name: (typeof TEXTS)[number], text: string): string {
  // half precision in any spelling is stored in two bytes
  const value = name === "dtype" ? text.toUpperCase().replace(/^BF16$|^FLOAT16$|^BFLOAT16$/, "F16").replace(/^FLOAT32$/, "F32") : text;
  if (CHOICES[name]!.includes(value)) return value;
  throw new OptionError(`--plan: ${name}: expected ${CHOICES[name]!.join(", ")}, found ${text || "none"}.`);
}

export interface PlanBasis {
  /** Where training would run here, and by which step. */
  device: Device;
  step: string;
  free: Free & { disk?: number };
  /** How a fused step of these sizes keeps its moments. */
  moments?: (sizes: { d: number; dOut: number; latents: number }) => "f32" | "bf16";
  training?: TrainingSpeed;
  harvest?: HarvestSpeed;
}

/** @throws OptionError naming what is missing or out of range */
export function planFor(request: PlanRequest, basis: PlanBasis): DoctorPlan {
  const { parameters, ...options } = request;
  const { device = basis.device, k = 32, dtype = "F32" } = request;
  const step = request.step ?? (device === basis.device ? basis.step : device === "webgpu" ? "webgpu" : "auto") as RunOptions["step"];
  const moments = request.moments ?? (step === "fused" ? basis.moments?.({ dOut: request.d, ...request }) : undefined);
  const { run, tokens, steps, source, disk, flops } = planRun({ ...options, k, dtype, device, step, ...(moments ? { moments } : {}) });
  const { disk: space, ...free } = basis.free, { training, harvest } = basis;
  const rowsAtOnce = rowsThatFit([run], free, source), memory = runMemory([{ ...run, rows: rowsAtOnce }], source);
  const rows = request.rows ?? tokens;
  const short = [
    ...(memory.host + (free.shared ? memory.card : 0) > free.host ? ["memory"] : []), ...(!free.shared && memory.card > free.card ? ["memory on the card"] : []),
    ...(space !== undefined && disk.store + disk.checkpoints + disk.sae > space ? ["disk"] : []),
  ];
  const own = training && training.device === device ? training : undefined; // another device's speed says nothing of this one
  return {
    asked: { d: run.d, latents: run.latents, k, tokens, batch: run.batch, device, step: String(run.step), dtype, rows, ...(parameters ? { parameters } : {}) },
    memory, free, ...(rowsAtOnce < run.batch ? { rowsAtOnce } : {}), disk: { ...disk, ...(space === undefined ? {} : { free: space }) },
    ...(own ? { training: scaled(own, { d: run.d, latents: run.latents, batch: run.batch, steps, flops: flops.step }) } : {}),
    ...(harvest && parameters ? { harvest: (rows * parameters) / (harvest.tokensPerSecond * harvest.parameters) } : {}),
    fits: !short.length, short, changes: fits(memory, free) ? [] : whatFits([run], free, source),
  };
}

/**
 * Seconds of a run: what a step costs whatever its rows (Adam reads and writes all parameters) grows with the parameters, what each row
 * costs with its arithmetic, which is the encoder's product mostly.
 */
function scaled({ d, latents, k, batch, device, perStep, perRow }: TrainingSpeed, run: { d: number; latents: number; batch: number; steps: number; flops: number }): number {
  const measured = planRun({ d, latents, k, batch, device, tokens: batch, step: "auto" }).flops.step / batch;
  const ofStep = perStep * ((run.d * run.latents) / (d * latents));
  const ofRows = run.batch * perRow * (run.flops / run.batch / measured);
  return run.steps * (ofStep + ofRows);
}
