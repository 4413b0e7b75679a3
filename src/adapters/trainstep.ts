import type { Device } from "../core/device";
import { MemoryError, OptionError } from "../core/errors";
import { LEAST_ROWS } from "../core/memoryplan";
import type { StepState } from "../core/trained";
import { requireSoundLater } from "./cardcheck";
import { choiceFor, machine, withMoments } from "./choice";
import type { Choice } from "./coder";
import { FUSED, fusedOps, fusedStep, requireProduct } from "./fusedstep";
import { plainStep } from "./plainstep";
import { stockStep, type Step } from "./step";
import type { Engine } from "./tensorflow";
import { deviceOf } from "./traindevice";
import type { Plan } from "./trainplan";
import type { Gpu } from "./webgpu";
import { webgpuStep } from "./webgpustep";

/** Which step computes a training. */

/** What computed a run, and is held when it goes on: another step, build or machine rounds differently. */
export interface Computed {
  step: Step["kind"];
  choice: Choice;
  device: Device;
  /** As far as rounding depends on it: the processor and TensorFlow's build, or the card. */
  machine: string;
  /** Rows encoded at a time, where they are fewer than a batch. */
  rowsAtOnce?: number;
  /** Which build of the fused ops ran; or why a run that was free to use them did not. */
  fusedOps?: string;
  withoutFused?: string;
}

/** On what a step is made. */
export interface On {
  /** Of WebGPU. */
  gpu?: Gpu;
  /** Rows encoded at a time; all. */
  rows?: number;
}

/**
 * The step that was asked for, or with "auto" the faster one; a choice that was given says which step it is of. On a card through WebGPU
 * its own.
 * @param given a choice to repeat
 * @param held what computed the run so far, where it must stay the same
 * @throws OptionError when the fused ops are asked for and not there, or what is held cannot be had; MemoryError of a card, EngineError of one
 *   that computes something else
 */
export async function stepFor(
  engine: Engine, plan: Plan, initial: StepState, given?: Choice, held?: Computed, { gpu, rows }: On = {},
): Promise<{ step: Step; computed: Computed }> {
  if (gpu) {
    if (held) requireHeld(held, gpu.name, undefined);
    // a driver in software is there for tests, which hold it against more than this
    if (!gpu.software) await requireSoundLater(`WebGPU on ${gpu.name}`, plan.kind, (small) => webgpuStep(gpu, small));
    const step = await onCard(gpu, initial, plan.batch, rows);
    return { step, computed: { step: step.kind, choice: step.choice, device: "webgpu", machine: gpu.name } };
  }
  const fused = plan.step === "stock" || plan.step === "plain" ? { why: "not asked for" } : fusedOps(engine);
  const id = "id" in fused ? fused.id : undefined;
  if (held) requireHeld(held, machine(engine), id);
  const step = await made();
  if (rows !== undefined && rows < plan.batch) step.rows = rows;
  const ops = step.kind === "plain" || plan.step === "stock" ? {}
    : "why" in fused ? { withoutFused: fused.why } : step.kind === "fused" ? { fusedOps: fused.id } : { withoutFused: plan.kind === "jumprelu" ? "JumpReLU has no fused step" : "measured slower for these sizes" };
  return { step, computed: { step: step.kind, choice: step.choice, device: deviceOf(engine), machine: machine(engine), ...ops } };

  async function made(): Promise<Step> {
    if ((held?.step ?? plan.step) === "plain") return plainStep(engine, initial);
    checkStep(engine, plan, given ?? held?.choice);
    if (plan.kind === "jumprelu") return stockStep(engine, initial); // nothing is there to choose
    const choice = given ?? held?.choice ?? withMoments(plan.step === "fused" ? FUSED : await choiceFor(engine, plan, undefined, id), plan);
    return choice.step === "fused" ? fusedStep(engine, initial, choice) : stockStep(engine, initial, choice);
  }
}

/** Rows to encode at a time after so many were too many; nothing where they are as few as they may be. */
export function fewerRows(rows: number, batch: number): number | undefined {
  const now = Math.min(rows, batch), next = Math.max(LEAST_ROWS, Math.ceil(now / 2));
  return next < now ? next : undefined;
}

/** A card's memory may not do for the whole batch: then for half of it at a time, and so on. */
async function onCard(gpu: Gpu, initial: StepState, batch: number, rows = batch): Promise<Step> {
  for (;;) {
    try {
      return await webgpuStep(gpu, initial, rows < batch ? { rows } : {});
    } catch (error) {
      const fewer = error instanceof MemoryError ? fewerRows(rows, batch) : undefined;
      if (fewer === undefined) throw error;
      rows = fewer;
    }
  }
}

/** @throws OptionError when the fused ops or a product is asked for that this machine has not */
export function checkStep(engine: Engine, { step }: Pick<Plan, "step">, given?: Choice): void {
  if (step !== "fused" && given?.step !== "fused") return;
  const fused = fusedOps(engine);
  if ("why" in fused) {
    throw new OptionError(
      `trainSae: step: expected the fused ops, which this machine has not: ${fused.why}. ` +
      'Leave step and choice out: "stock" computes the same.');
  }
  if (given) requireProduct(engine, given);
}

/** @throws OptionError when the run would go on to other bits */
function requireHeld(held: Computed, here: string, id: string | undefined): void {
  const fail = (name: string, expected: string, found: string): never => {
    throw new OptionError(
      `trainSae: ${name}: expected ${expected}, with which the run began, found ${found}. ` +
      `It would go on to other bits. { step: "auto", resume: true }${held.step === "webgpu" ? "" : ' (or "fused", "stock")'} goes on all the same.`);
  };
  if (held.machine !== here) fail("machine", held.machine, here);
  if (held.step === "fused" && held.fusedOps !== id) fail("fused ops", `build ${held.fusedOps}`, id === undefined ? "none" : `build ${id}`);
}
