import { EngineError, OptionError } from "./errors";

/** Where a training or a harvest computes, and why it is not a better place. */

/** "cuda": an NVIDIA card through TensorFlow or ONNX Runtime; "webgpu": any card through Dawn; "wasm": the processor without TensorFlow. */
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

const SOFTWARE = "is no graphics card: the CPU computes for it, slower than TensorFlow and ONNX Runtime";

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
    else if (here.software) instead.push({ device, why: `${here.name} ${SOFTWARE}` });
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

/** What was found out about a machine's engines, each probe by itself. */
export interface DeviceFacts {
  /** process.platform and process.arch. */
  platform: string;
  arch: string;
  processor: string;
  threads: number;
  /** A setting that hides every card from all engines, or from TensorFlow: "CUDA_VISIBLE_DEVICES=-1", "SAELAB_ENGINE=cpu". */
  hidden?: { setting: string; from: "all" | "tensorflow" };
  /** Index of the card that a training takes, of several. */
  meant?: number;
  nvidia: NvidiaFacts;
  /** Of the card and its driver: whether TensorFlow and ONNX Runtime could use them. */
  judged: Record<"tensorflow" | "onnx", { ok: boolean; cards: number[]; why?: string; cure?: string; note?: string }>;
  /** The TensorFlow that was installed; `cuda`: of which it is built, where it is; `missing`: libraries of it that are not beside it, and what brings them. */
  wheel?: { version: string; cuda?: string; missing?: string[]; cure?: string };
  engine: EngineFacts | Missing;
  webgpu: { there: true; name: string; software: boolean } | Missing;
  onnx: OnnxFacts | Missing;
}

export interface Missing {
  there: false;
  why: string;
  cure?: string;
}

export type NvidiaFacts = Missing | {
  there: true;
  driver: string;
  cuda?: string;
  /** Memory in bytes, where the driver tells. */
  cards: { index: number; name: string; memory?: number; free?: number; capability?: string; processes: { pid: number; name: string; memory?: number }[] }[];
};

/** What tensorflow() gives. */
export interface EngineFacts {
  there: true;
  version: string;
  device: "cpu" | "cuda" | "wasm" | "js";
  /** Of WebAssembly and JavaScript: why it is not TensorFlow. */
  why?: string;
  cure?: string;
}

export interface OnnxFacts {
  there: true;
  version: string;
  webgpu: { there: true } | Missing;
  cuda: { there: true } | Missing;
}

/** Of a model's passes there are no other builds than ONNX Runtime's for this platform. */
const NO_WASM: Missing = { there: false, why: "a model's passes are ONNX Runtime's" };

/** Where each purpose could be computed, and where not: what "auto" chooses from, and what `saelab doctor` tells. */
export function foundDevices(purpose: Purpose, facts: DeviceFacts): Found {
  const processor = `${facts.processor} × ${facts.threads}`;
  if (purpose === "harvest") {
    const { onnx } = facts;
    if (!onnx.there) return { cuda: onnx, webgpu: onnx, cpu: onnx, wasm: NO_WASM };
    return {
      cuda: withoutCard(facts, "onnx") ?? (onnx.cuda.there ? card(facts, "onnx") : onnx.cuda),
      webgpu: onnx.webgpu.there ? adapter(facts) : onnx.webgpu,
      cpu: { there: true, name: processor },
      wasm: NO_WASM,
    };
  }
  const { engine } = facts;
  const plain = engine.there && (engine.device === "wasm" || engine.device === "js") ? engine : undefined;
  const absent: Missing = !engine.there ? engine : { there: false, why: plain?.why ?? "TensorFlow computes on the card in this process", ...(plain ? (plain.cure ? { cure: plain.cure } : {}) : { cure: "start with CUDA_VISIBLE_DEVICES=-1" }) };
  return {
    cuda: engine.there && engine.device === "cuda" ? card(facts, "tensorflow") : withoutCard(facts, "tensorflow") ?? cudaBuild(facts),
    webgpu: adapter(facts),
    cpu: engine.there && engine.device === "cpu" ? { there: true, name: processor } : absent,
    wasm: plain ? { there: true, name: plain.device === "wasm" ? "WebAssembly" : "JavaScript", note: `without TensorFlow: a step takes some ${plain.device === "wasm" ? 12 : 40} times as long as its fused one` }
      : engine.there ? { there: false, why: "TensorFlow is here, and faster" } : engine,
  };
}

const adapter = ({ webgpu }: DeviceFacts): Availability => (webgpu.there ? { there: true, name: webgpu.name, ...(webgpu.software ? { software: true } : {}) } : webgpu);

/** Why no card could be used even if all libraries were there. */
function withoutCard({ nvidia, judged, hidden }: DeviceFacts, by: "tensorflow" | "onnx"): Missing | undefined {
  if (!nvidia.there) return nvidia;
  const { ok, why = "the card cannot be used", cure } = judged[by];
  if (!ok) return { there: false, why, ...(cure ? { cure } : {}) };
  return hidden && (hidden.from === "all" || by === "tensorflow") ? { there: false, ...hides(hidden) } : undefined;
}

export const hides = ({ setting, from }: NonNullable<DeviceFacts["hidden"]>): { why: string; cure: string } =>
  ({ why: `${setting} hides the card${from === "tensorflow" ? " from TensorFlow" : ""}`, cure: `unset ${setting.split("=")[0]}` });

const CUDA_SETUP = "npx saelab setup --cuda";

/** There is a card for it, and TensorFlow does not compute on it. */
function cudaBuild({ wheel, engine }: DeviceFacts): Missing {
  if (!engine.there) return engine;
  if (wheel?.cuda === undefined) return { there: false, why: "TensorFlow was installed for the CPU only", cure: CUDA_SETUP };
  const what = wheel.missing?.length ? `${wheel.missing.join(", ")} ${wheel.missing.length > 1 ? "are" : "is"} not installed` : "a library of CUDA does not load";
  return { there: false, why: `TensorFlow's build for CUDA ${wheel.cuda} finds no card: ${what}`, cure: wheel.cure ?? CUDA_SETUP };
}

function card({ nvidia, judged, meant }: DeviceFacts, by: "tensorflow" | "onnx"): Availability {
  if (!nvidia.there) return { there: true, name: "an NVIDIA card" }; // the engine computes on it all the same
  const { cards, note } = judged[by];
  const one = nvidia.cards.find(({ index }) => index === (meant ?? cards[0])) ?? nvidia.cards[0];
  const name = one && nvidia.cards.length > 1 ? `${one.name}, card ${one.index}` : one?.name;
  return { there: true, name: name ?? "an NVIDIA card", ...(note ? { note } : {}) };
}
