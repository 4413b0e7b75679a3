import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import path from "node:path";
import { foundDevices, type Device, type DeviceFacts, type EngineFacts, type Found, type Missing, type OnnxFacts, type Purpose } from "../core/device";
import { chooseCard } from "../core/cards";
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
  /** Of nvidia-smi; this machine's own where it is left out. */
  run?: NvidiaMachine["run"];
}

export const hardware = (): Hardware => ({
  platform: process.platform, arch: process.arch, env: process.env, files: disk, processor: cpus()[0]?.model.trim() || "CPU", threads: availableParallelism(),
});

/** NVIDIA's cards, what can use them, and whether the environment hides them. */
export function cardFacts({ env, files, run }: Hardware): Pick<DeviceFacts, "nvidia" | "judged" | "hidden" | "meant"> {
  const nvidia = readNvidia({ env, files, ...(run ? { run } : {}) });
  const judged = judgeNvidia(nvidia);
  const usable = nvidia.there ? nvidia.cards.filter(({ index }) => judged.tensorflow.cards.includes(index)) : [];
  const { card } = chooseCard({ there: true, cards: usable.map((one) => ({ uuid: "", memory: 0, free: 0, ...one, processes: [] })) }, env);
  const visible = env.CUDA_VISIBLE_DEVICES;
  // CUDA takes the numbers up to the first that is none. SAELAB_ENGINE=cpu makes that -1 when TensorFlow is loaded, which hides cards from all.
  const none = visible !== undefined && (visible.trim() === "" || /^-/.test(visible.trim()));
  const hidden: DeviceFacts["hidden"] = env.SAELAB_ENGINE === "cpu" && (visible === undefined || none)
    ? { setting: "SAELAB_ENGINE=cpu", from: none ? "all" : "tensorflow" } : none ? { setting: `CUDA_VISIBLE_DEVICES=${visible}`, from: "all" } : undefined;
  return { nvidia, judged, ...(hidden ? { hidden } : {}), ...(card ? { meant: card.index } : {}) };
}

/** Makers of graphics cards by their PCI numbers; others' are the pictures of virtual machines and servers. */
const MAKERS = ["0x1002", "0x10de", "0x8086"];

/** Whether there is a graphics card, with or without a driver. */
export function hasGraphics({ platform, files }: Hardware): boolean {
  if (platform !== "linux") return true;
  if (files.exists("/dev/dxg") || files.list("/dev/dri").some((name) => name.startsWith("renderD"))) return true;
  const pci = "/sys/bus/pci/devices";
  return files.list(pci).some((slot) => (files.read(`${pci}/${slot}/class`) ?? "").startsWith("0x03") && MAKERS.includes((files.read(`${pci}/${slot}/vendor`) ?? "").trim()));
}

/** What Dawn said, with a cure that is a command, and only where there is something to cure. */
export function webgpuFacts(found: FoundGpu, machine: Hardware): DeviceFacts["webgpu"] {
  if (found.there) return { there: true, name: found.name, software: found.software };
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
    return { version, cuda, ...(missing.length ? { missing, cure: `${pythonOf(venv)} -m pip install --no-deps -r ${path.join(root, "kernel-ext", "requirements-cuda.txt")} && npx saelab setup` } : {}) };
  }
  return undefined;
}

/** ONNX Runtime by its files: nothing is loaded. */
export function onnxFacts({ platform, arch, files }: Hardware, root = packageRoot): OnnxFacts | Missing {
  const folder = onnxFolder(root, files);
  const manifest = folder && files.read(path.join(folder, "package.json"));
  if (!manifest) return { there: false, why: "the npm package onnxruntime-node is not installed" };
  const binaries = path.join(folder, "bin", "napi-v6", platform, arch);
  if (!files.exists(path.join(binaries, "onnxruntime_binding.node"))) return { there: false, why: `onnxruntime-node has nothing for ${platform} ${arch}` };
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
    return { there: false, why: (error as Error).message.split("\n")[0], cure: "npx saelab setup" };
  }
}

/**
 * What there is for a purpose on this machine, for `chooseDevice`. Loads TensorFlow for training; drivers of graphics cards are asked in
 * children.
 * @param asked "auto": where there is no graphics card Dawn is not asked for adapters in software, which would not be taken
 */
export async function findDevices(purpose: Purpose, asked?: "auto" | Device): Promise<Found> {
  const machine = hardware();
  const none: FoundGpu = { there: false, why: "" };
  return foundDevices(purpose, {
    ...machine, ...cardFacts(machine), wheel: wheelFacts(findVenv(), disk),
    engine: purpose === "training" ? engineFacts() : { there: false, why: "not asked" },
    webgpu: webgpuFacts(asked === "auto" && !hasGraphics(machine) ? none : await findWebGpu(), machine),
    onnx: onnxFacts(machine),
  });
}
