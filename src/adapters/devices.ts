import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import { foundDevices, type Device, type DeviceFacts, type EngineFacts, type Found, type Missing, type OnnxFacts, type Purpose } from "../core/device";
import { chooseCard } from "../core/cards";
import { OptionError } from "../core/errors";
import { shellWord } from "../core/shell";
import { judgeNvidia, readNvidia, type NvidiaMachine } from "./nvidia";
import { findVenv, packageRoot, pythonOf } from "./package";
import { tensorflow } from "./tensorflow";
import { findWebGpu, type FoundGpu } from "./webgpu";

/** What this process could compute on. saelab doctor finds the same, but asks native code in children. */

/** Files as a machine has them: this one's, or those of a test. */
export interface Files {
  /** undefined: not there, or no text. */
  read(file: string): string | undefined;
  /** []: not there. */
  list(folder: string): string[];
  exists(file: string): boolean;
}

export const disk: Files = {
  read(file) {
    try { return readFileSync(file, "utf8"); } catch { return undefined; }
  },
  list(folder) {
    try { return readdirSync(folder); } catch { return []; }
  },
  exists: existsSync,
};

/** What the devices of a machine hang on besides its engines. */
export interface Hardware {
  platform: string;
  arch: string;
  env: NodeJS.ProcessEnv;
  files: Files;
  processor: string;
  threads: number;
  /** Of this process, which is no stranger on a card. */
  pid?: number;
  /** Of nvidia-smi; this machine's own where it is left out. */
  run?: NvidiaMachine["run"];
}

export const hardware = (): Hardware => ({
  platform: process.platform, arch: process.arch, pid: process.pid, env: process.env, files: disk, processor: cpus()[0]?.model.trim() || "CPU", threads: availableParallelism(),
});

/** NVIDIA's cards, what can use them, and whether the environment hides them. */
export function cardFacts({ platform, arch, env, files, run, pid }: Hardware): Pick<DeviceFacts, "nvidia" | "judged" | "hidden" | "meant"> {
  const nvidia = readNvidia({ env, files, ...(run ? { run } : {}) });
  if (nvidia.there) for (const card of nvidia.cards) card.processes = card.processes.filter((process) => process.pid !== pid);
  const made = platform === "linux" && arch === "x64" || !nvidia.there;
  const unmade = { ok: false, cards: [], why: `TensorFlow and ONNX Runtime for CUDA are made for Linux on x86-64, this is ${platform} ${arch}` };
  const judged: DeviceFacts["judged"] = made ? judgeNvidia(nvidia) : { tensorflow: unmade, onnx: unmade };
  const usable = nvidia.there ? nvidia.cards.filter(({ index }) => judged.tensorflow.cards.includes(index)) : [];
  const { card } = chooseCard({ there: true, cards: usable.map((one) => ({ uuid: "", memory: 0, free: 0, ...one, processes: [] })) }, env);
  const visible = env.CUDA_VISIBLE_DEVICES;
  // CUDA takes the numbers up to the first that is none
  const none = visible !== undefined && (visible.trim() === "" || /^-/.test(visible.trim()));
  // what sets that variable itself once TensorFlow is loaded
  const setting = env.SAELAB_ENGINE === "cpu" ? "SAELAB_ENGINE=cpu" : env.SAELAB_DEVICE === "cpu" && (none || visible === undefined) ? "SAELAB_DEVICE=cpu" : undefined;
  const hidden: DeviceFacts["hidden"] = none ? { setting: setting ?? `CUDA_VISIBLE_DEVICES=${visible}`, from: "all" } : setting ? { setting, from: "tensorflow" } : undefined;
  return { nvidia, judged, ...(hidden ? { hidden } : {}), ...(card ? { meant: card.index } : {}) };
}

/** Makers of graphics cards by their PCI numbers; others' are the pictures of virtual machines and servers. */
const MAKERS = ["0x1002", "0x10de", "0x8086"];

/** Whether there is a graphics card, with or without a driver. */
export function hasGraphics({ platform, files }: Hardware): boolean {
  if (platform !== "linux") return true;
  if (files.exists("/dev/dxg") || files.exists("/dev/nvidiactl") || files.list("/dev/dri").some((name) => name.startsWith("renderD"))) return true;
  const pci = "/sys/bus/pci/devices";
  return files.list(pci).some((slot) => (files.read(`${pci}/${slot}/class`) ?? "").startsWith("0x03") && MAKERS.includes((files.read(`${pci}/${slot}/vendor`) ?? "").trim()));
}

const NO_VULKAN = "NVIDIA's driver offers no Vulkan here";
const NVIDIA_VULKAN = "in a container: start it with NVIDIA_DRIVER_CAPABILITIES=all; else sudo apt-get install libvulkan1";

/** What Dawn said, with a cure that is a command, and only where there is something to cure. */
export function webgpuFacts(found: FoundGpu, machine: Hardware, nvidia: DeviceFacts["nvidia"]): DeviceFacts["webgpu"] {
  if (found.there) return { there: true, name: found.name, software: found.software };
  // A container may have a card to compute on, and neither its node in /dev/dri nor the driver's Vulkan; Mesa has none for it.
  if (nvidia.there && !machine.files.exists("/dev/dxg")) return { there: false, why: NO_VULKAN, cure: NVIDIA_VULKAN };
  if (!hasGraphics(machine)) return { there: false, why: "there is no graphics card" };
  return { there: false, why: found.why.replace(/^WebGPU (?=finds)/, "").replace(/^WebGPU's/, "its"), cure: machine.platform === "linux" ? "sudo apt-get install libvulkan1 mesa-vulkan-drivers" : found.cure };
}

/** What TensorFlow's build for CUDA loads, each from a Python package of NVIDIA's beside it. */
const CUDA_LIBRARIES: Record<string, string> = {
  cuda_runtime: "libcudart.so.12", cublas: "libcublas.so.12", cudnn: "libcudnn.so.9", cufft: "libcufft.so.11", cusparse: "libcusparse.so.12",
};

/** The TensorFlow that set-up put into the virtual environment; undefined where there is none. */
export function wheelFacts(venv: string | undefined, { list, read }: Files, root = packageRoot): DeviceFacts["wheel"] {
  if (!venv) return undefined;
  for (const name of list(path.join(venv, "lib"))) {
    const site = path.join(venv, "lib", name, "site-packages");
    const info = read(path.join(site, "tensorflow", "python", "platform", "build_info.py"));
    if (info === undefined) continue;
    const version = list(site).map((entry) => /^tensorflow(?:_cpu)?-(\d[\w.]*)\.dist-info$/.exec(entry)?.[1]).find(Boolean) ?? "of an unknown version";
    const cuda = /'is_cuda_build', True/.test(info) ? /'cuda_version', '([\d.]+)'/.exec(info)?.[1] ?? "" : undefined;
    if (cuda === undefined) return { version };
    const missing = Object.entries(CUDA_LIBRARIES).filter(([folder, library]) => !list(path.join(site, "nvidia", folder, "lib")).includes(library)).map(([, library]) => library);
    // TensorFlow does not look into cuSOLVER's own folder: set-up lays a link beside cuBLAS.
    const solver = "libcusolver.so.11", folders = ["cusolver", "cublas"].map((folder) => list(path.join(site, "nvidia", folder, "lib")));
    if (!folders[0].includes(solver)) missing.push(solver);
    else if (!missing.length && !folders[1].includes(solver)) return { version, cuda, missing: [`${solver} (its link beside cuBLAS)`], cure: "npx saelab setup" };
    return { version, cuda, ...(missing.length ? { missing, cure: `${shellWord(pythonOf(venv))} -m pip install --no-deps -r ${shellWord(path.join(root, "kernel-ext", "requirements-cuda.txt"))} && npx saelab setup` } : {}) };
  }
  return undefined;
}

/** ONNX Runtime by its files: nothing is loaded. */
export function onnxFacts({ platform, arch, files }: Hardware, root = packageRoot): OnnxFacts | Missing {
  const folder = onnxFolder(root, files);
  const manifest = folder && files.read(path.join(folder, "package.json"));
  if (!manifest) return { there: false, why: "the npm package onnxruntime-node is not installed" };
  const binaries = path.join(folder, "bin", "napi-v6", platform, arch);
  if (!files.exists(path.join(binaries, "onnxruntime_binding.node"))) return { there: false, why: `onnxruntime-node has nothing for ${platform} ${arch}`, cure: "take a machine that it is made for: Linux, Windows, a Mac with Apple's processor" };
  return {
    there: true, version: (JSON.parse(manifest) as { version: string }).version,
    webgpu: platform === "linux" && arch === "arm64" ? { there: false, why: "ONNX Runtime has no WebGPU on Linux arm64" } : { there: true },
    cuda: files.exists(path.join(binaries, "libonnxruntime_providers_cuda.so")) ? { there: true }
      : { there: false, why: "ONNX Runtime's CUDA provider is not installed", cure: "npx saelab setup --cuda" },
  };
}

/** In this package's node_modules, or in those of the project that installed it. */
function onnxFolder(root: string, files: Files): string | undefined {
  for (let folder = root; ; folder = path.dirname(folder)) {
    const found = path.join(folder, "node_modules", "onnxruntime-node");
    if (files.exists(path.join(found, "package.json"))) return found;
    if (folder === path.dirname(folder)) return undefined;
  }
}

/** TensorFlow, or what computes in its place; loads it. */
export function engineFacts(): EngineFacts | Missing {
  try {
    const { version, device, instead } = tensorflow();
    const asked = process.env.SAELAB_ENGINE ? "unset SAELAB_ENGINE" : undefined, cure = asked ?? instead?.cure;
    return { there: true, version, device, ...(instead ? { why: instead.why, ...(cure ? { cure } : {}) } : {}) };
  } catch (error) {
    const [why] = (error as Error).message.split("\n");
    return error instanceof OptionError ? { there: false, why: why.split(". ")[0], cure: "unset SAELAB_ENGINE" } : { there: false, why, cure: "npx saelab setup" };
  }
}

/**
 * What there is for a purpose on this machine, for `chooseDevice`. Loads TensorFlow for training; drivers of graphics cards are asked in
 * children.
 * @param asked "auto": where there is no graphics card Dawn is not asked for adapters in software, which would not be taken
 */
export async function findDevices(purpose: Purpose, asked?: "auto" | Device): Promise<Found> {
  const machine = hardware(), cards = cardFacts(machine);
  const none: FoundGpu = { there: false, why: "" };
  return foundDevices(purpose, {
    ...machine, ...cards, wheel: wheelFacts(findVenv(), disk),
    engine: purpose === "training" ? engineFacts() : { there: false, why: "not asked" },
    webgpu: webgpuFacts(asked === "auto" && !hasGraphics(machine) ? none : await findWebGpu(), machine, cards.nvidia),
    onnx: onnxFacts(machine),
  });
}
