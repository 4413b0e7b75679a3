import { availableParallelism, cpus } from "node:os";
import { chooseDevice, type Chosen, type Device } from "../core/device";
import { EngineError, OptionError } from "../core/errors";
import { findDevices } from "./devices";
import { fusedOps } from "./fusedstep";
import { freeOn } from "./memory";
import type { Engine } from "./tensorflow";
import type { SaeOptions } from "./train";
import { checkMemory, type Plan } from "./trainplan";
import type { Computed } from "./trainstep";
import { findWebGpu, openWebGpu, type Gpu } from "./webgpu";
import { MOST_COLUMNS } from "./webgpupass";
import { WEBGPU_KINDS } from "./webgpustep";

/** Where a training computes: TensorFlow, on the processor or on an NVIDIA card, or a card through WebGPU. Never elsewhere in silence. */
export interface TrainingDevice {
  asked: "auto" | Device;
  /** Whether anybody did: what was not asked for stays what it was when a run goes on. */
  said: boolean;
  chosen: Chosen;
}

/** What TensorFlow, or what is in its place, computes on. */
export const deviceOf = ({ device }: Engine): Device => (device === "cuda" || device === "cpu" ? device : "wasm");

/**
 * @param said by the caller; SAELAB_DEVICE=cpu: no card, where nothing is
 * @throws OptionError when what is asked for is not there, with the reason and the cure
 */
export async function trainingDevice(said: "auto" | Device | undefined, engine: Engine): Promise<TrainingDevice> {
  const device = deviceOf(engine), asked = said ?? (process.env.SAELAB_DEVICE === "cpu" && device !== "cuda" ? device : "auto");
  if (asked === device && device !== "cuda") { // no need to ask drivers
    return { asked, said: said !== undefined, chosen: { device, name: `${cpus()[0]?.model.trim() ?? "CPU"} × ${availableParallelism()}`, instead: [] } };
  }
  const found = await findDevices("training");
  try {
    return { asked, said: said !== undefined, chosen: chooseDevice("training", found, asked) };
  } catch (error) {
    throw error instanceof OptionError ? new OptionError(`trainSae: ${error.message}`) : error;
  }
}

type Suiting = Pick<Plan, "kind" | "latents" | "k">;

/** Why WebGPU has no step for an SAE, as option and reason; nothing where it has one. */
function unsuited({ kind, latents, k }: Suiting, { step, choice }: Pick<SaeOptions, "step" | "choice">): [option: string, expected: string, found: unknown] | undefined {
  const columns = kind === "multitopk" ? Math.min(4 * k, latents) : k;
  if (!WEBGPU_KINDS.includes(kind)) return ["kind", `one of ${WEBGPU_KINDS.join(", ")}, for which WebGPU has a step`, kind];
  if (columns > MOST_COLUMNS && kind !== "groupmax") return ["k", `at most ${Math.floor((MOST_COLUMNS * k) / columns)}, as WebGPU's step has it`, k];
  if (step !== undefined && step !== "auto") return ["step", '"auto", as WebGPU has a step of its own', step];
  return choice === undefined ? undefined : ["choice", "none, as WebGPU leaves nothing to choose", choice];
}

/** @throws OptionError when WebGPU is asked for by name and has no step for this SAE */
export function checkDevice({ asked }: TrainingDevice, plan: Suiting, options: Pick<SaeOptions, "step" | "choice">): void {
  const why = asked === "webgpu" ? unsuited(plan, options) : undefined;
  if (!why) return;
  const [option, expected, found] = why;
  throw new OptionError(`trainSae: ${option}: expected ${expected}, found ${JSON.stringify(found)}. Leave it out, or train on the processor: { device: "cpu" }.`);
}

/** Where an SAE of a run that begins is trained: the chosen device, or what TensorFlow is on where that has no step for it. */
const deviceFor = ({ chosen: { device } }: TrainingDevice, engine: Engine, plan: Suiting, options: Pick<SaeOptions, "step" | "choice">): Device =>
  (device === "webgpu" && unsuited(plan, options) ? deviceOf(engine) : device);

/**
 * Whether a pass fits into the memory of where it is trained.
 * @returns rows to encode at a time so that it does
 * @throws OptionError that says what would fit
 */
export async function rowsFor(device: TrainingDevice, engine: Engine, plans: Plan[], saes: SaeOptions[], held: number, rows: number | undefined): Promise<number> {
  let least = Infinity;
  for (const place of ["cuda", "webgpu", "cpu", "wasm"] as const) {
    const here = plans.filter((plan, i) => deviceFor(device, engine, plan, saes[i]) === place);
    if (!here.length) continue;
    const gpu = place === "webgpu" ? await findWebGpu() : undefined;
    least = Math.min(least, checkMemory(here, held, { device: place, rows, fusedOps: place === "cpu" && "id" in fusedOps(engine), ...(gpu?.there ? { free: freeOn(place, gpu) } : {}) }));
  }
  return least;
}

/** What an SAE's steps run on. */
export interface Road {
  device: Device;
  /** Of WebGPU. */
  gpu?: Gpu;
  /** What is to be said of it: why it is not the device that there is. */
  remark?: string;
}

/**
 * The device of one SAE; opens it.
 * @param held what computed the run so far, where it goes on
 * @throws OptionError when the device of a run that goes on is not there and no other was asked for
 */
export async function roadOf(
  { asked, said, chosen }: TrainingDevice, engine: Engine, plan: Suiting, options: Pick<SaeOptions, "step" | "choice">, held: Partial<Computed> | undefined,
): Promise<Road> {
  const own = deviceOf(engine), before = said ? undefined : held?.device;
  const fail = (found: string): never => {
    throw new OptionError(
      `trainSae: device: expected ${JSON.stringify(before)} (${held!.machine}), with which the run began, found ${found} ` +
      `It would go on to other bits. { device: "${own}", resume: true } goes on all the same, and so does { device: "auto", resume: true } on the best device there is.`);
  };
  const device = before ?? chosen.device;
  if (device !== "webgpu") return before === undefined || before === own ? { device: own } : fail(`"${own}".`);
  const why = asked === "webgpu" ? undefined : unsuited(plan, options);
  if (why && before) {
    throw new OptionError(
      `trainSae: ${why[0]}: expected ${why[1]} (${held!.machine}, on which the run began), found ${JSON.stringify(why[2])}. ` +
      `Leave it out, or go on elsewhere: { device: "${own}", resume: true }.`);
  }
  if (why) return { device: own, remark: `trained on "${own}" and not on ${chosen.name} (WebGPU): ${why[0]}: expected ${why[1]}, found ${JSON.stringify(why[2])}` };
  try {
    return { device, gpu: await openWebGpu() };
  } catch (error) {
    if (before && error instanceof EngineError) fail(error.message);
    throw error;
  }
}

/** Better devices that could be had, and how: said where nobody asked for the one that was taken. */
export const couldBeBetter = ({ asked, chosen: { device, name, instead } }: TrainingDevice): string[] => asked !== "auto" ? [] : instead
  .filter(({ cure }) => cure).map((better) => `trained on "${device}" (${name}) and not on "${better.device}": ${better.why}. To cure it: ${better.cure}`);
