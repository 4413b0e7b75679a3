import { EngineError, OptionError } from "./errors";

/** Where a training or a harvest computes, and why it is not a better place. */

/** "cuda": an NVIDIA card through TensorFlow or ONNX Runtime; "webgpu": any card through Dawn; "wasm": TF.js without TensorFlow. */
export type Device = "cuda" | "webgpu" | "cpu" | "wasm";

/** Better ones first. */
export const DEVICES: readonly Device[] = ["cuda", "webgpu", "cpu", "wasm"];

export type Availability =
  | {
    there: true;
    /** As people call it: "NVIDIA GeForce RTX 4090", "AMD Ryzen 7 5800X × 8". */
    name: string;
    /** Computed by the processor (SwiftShader, llvmpipe): right, and slow. */
    software?: boolean;
    note?: string;
  }
  | {
    there: false;
    why: string;
    /** A command, or what to do. */
    cure?: string;
  };

export type Found = Record<Device, Availability>;

/** A device that would be better than the chosen one, and why it is not that. */
export interface Passed {
  device: Device;
  why: string;
  cure?: string;
}

export interface Chosen {
  device: Device;
  name: string;
  /** Better ones first; empty where it is the best that there is. */
  instead: Passed[];
  note?: string;
}

export type Purpose = "training" | "harvest";

const SOFTWARE = "it is no graphics card: the processor computes for it, more slowly than TensorFlow and ONNX Runtime do";

/**
 * The device that was asked for; with "auto" the first of CUDA, WebGPU on a graphics card, the CPU, WebAssembly. An adapter in software
 * is taken only where "webgpu" is asked for by name.
 * @throws OptionError for a name that is none, and for a device that is not there, with the reason and the cure
 * @throws EngineError where there is none at all
 */
export function chooseDevice(purpose: Purpose, found: Found, asked: "auto" | Device = "auto"): Chosen {
  if (asked !== "auto" && !DEVICES.includes(asked)) {
    throw new OptionError(`device: expected "auto", ${DEVICES.map((device) => JSON.stringify(device)).join(", ")}, found ${JSON.stringify(asked)}. Leave it out for the best that there is.`);
  }
  const better = asked === "auto" ? DEVICES : DEVICES.slice(0, DEVICES.indexOf(asked));
  const instead: Passed[] = [];
  for (const device of better) {
    const here = found[device];
    if (!here.there) instead.push({ device, why: here.why, ...(here.cure ? { cure: here.cure } : {}) });
    else if (here.software) instead.push({ device, why: `${here.name}: ${SOFTWARE}` });
    else if (asked === "auto") return chosen(device, here, instead);
    else instead.push({ device, why: `device: "${asked}" was asked for` });
  }
  if (asked === "auto") {
    const told = instead.map(({ device, why, cure }) => `${device}: ${why}${cure ? ` (${cure})` : ""}`).join("; ");
    throw new EngineError(`device: expected something that computes a ${purpose}, found nothing: ${told}. npx saelab doctor says what to do.`);
  }
  const here = found[asked];
  if (here.there) return chosen(asked, here, instead);
  const others = DEVICES.filter((device) => device !== asked && usable(found[device]));
  throw new OptionError(
    `device: expected "${asked}" for the ${purpose}, found that it is not there: ${here.why}. ` +
    `${here.cure ? `${sentence(here.cure)} ` : ""}${others.length ? `Here there ${others.length > 1 ? "are" : "is"} ${others.map((device) => `"${device}"`).join(", ")}; ` : ""}"auto" takes the best that there is.`);
}

const usable = (here: Availability): boolean => here.there && !here.software;

const chosen = (device: Device, { name, note }: Availability & { there: true }, instead: Passed[]): Chosen =>
  ({ device, name, instead, ...(note ? { note } : {}) });

/** A command is left as one types it. */
const sentence = (cure: string): string => `${cure.startsWith("npx ") ? `Run ${cure}` : cure[0].toUpperCase() + cure.slice(1)}${/[.!?]$/.test(cure) ? "" : "."}`;
