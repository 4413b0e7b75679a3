import type { Machine } from "../../src/adapters/doctormachine";
import type { Probes } from "../../src/adapters/doctorprobe";
import type { Ran } from "../../src/adapters/nvidia";
import type { Missing } from "../../src/core/device";

/** Machines as text: their files, what their commands print, what native code gives. The doctor cannot tell them from real ones. */

export const ROOT = "/home/ada/saelab";
const VENV = `${ROOT}/.venv`;
const SITE = `${VENV}/lib/python3.12/site-packages`;
const DATA = `${VENV}/share/jupyter`;
const MAIN = `${ROOT}/build/kernel-ext/kernel/main.js`;
const ORT = `${ROOT}/node_modules/onnxruntime-node`;

export const BINDING = `${ROOT}/node_modules/@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node`;

type Given = { [K in keyof Probes]: (options: Probes[K]["asks"]) => Probes[K]["gives"] | Missing };

export interface Described {
  /** Path → text; null: not there. */
  files?: Record<string, string | null>;
  /** By command's last word of a path: "nvidia-smi". Others are not there. */
  commands?: Record<string, (args: string[]) => Partial<Ran>>;
  probes?: Partial<Given>;
  more?: Partial<Machine>;
}

const manifest = (load: string): string => JSON.stringify({ name: "saelab", version: "0.5.0", jupyterlab: { mimeExtension: true, _build: { load } } });

/** Set up whole, on Linux without a card. */
const FILES: Record<string, string> = {
  "/proc/version": "Linux version 6.8.0-generic (gcc)",
  "/usr/bin/node": "",
  [MAIN]: "",
  [`${DATA}/kernels/saelab/kernel.json`]: JSON.stringify({ argv: ["/usr/bin/node", MAIN, "{connection_file}"], display_name: "TypeScript (saelab)" }),
  [`${DATA}/kernels/python3/kernel.json`]: JSON.stringify({ argv: ["python", "-m", "ipykernel_launcher"] }),
  [`${DATA}/labextensions/saelab/package.json`]: manifest("static/remoteEntry.1.js"),
  [`${ROOT}/kernel-ext/lab/labextension/package.json`]: manifest("static/remoteEntry.1.js"),
  [`${SITE}/tensorflow/python/platform/build_info.py`]: "build_info = collections.OrderedDict([('is_cuda_build', False), ('is_rocm_build', False)])",
  [`${SITE}/tensorflow_cpu-2.21.0.dist-info/METADATA`]: "",
  [`${VENV}/.saelab-python`]: "stamp",
  [BINDING]: "",
  [`${ORT}/package.json`]: JSON.stringify({ version: "1.30.0" }),
  ...Object.fromEntries(["linux/x64", "linux/arm64", "darwin/arm64", "win32/x64"].map((platform) => [`${ORT}/bin/napi-v6/${platform}/onnxruntime_binding.node`, ""])),
};

const PACKAGES = { jupyterlab: "4.6.6", notebook: "7.6.5", nbconvert: "7.17.2", jupyter_client: "8.10.0" };

export const pythonSays = (packages: Record<string, string> = PACKAGES) => (): Partial<Ran> => ({ stdout: `${JSON.stringify({ version: "3.12.4", path: [DATA, "/usr/share/jupyter"], packages })}\n` });

const PROBES: Given = {
  engine: () => ({ there: true, engine: { there: true, version: "2.21.0", device: "cpu" }, ops: { there: true, id: "e0bd91aae99a", halves: ["tiles"] } }),
  onnx: () => ({ there: true, providers: ["cpu", "webgpu"] }),
  webgpu: () => ({ there: true, found: { there: false, why: "WebGPU finds no card (Couldn't load Vulkan)", cure: "Install the Vulkan loader." } }),
  training: ({ device }) => ({
    there: true, matmul: { there: true, device, name: "TensorFlow", threads: 8, n: 1024, float32: 412e9, bfloat16: 1.31e12 },
    training: { there: true, device, step: "fused", d: 576, latents: 4608, k: 32, batch: 1024, tokensPerSecond: 81_234, perStep: 0.003, perRow: 9.7e-6, others: 0.2 },
  }),
  harvest: ({ device }) => ({
    there: true, device, model: "4 blocks like SmolLM2-135M's", parameters: 14_160_384, hook: "layers.3", tokens: 26_368, tokensPerSecond: 9123, others: 0.1,
  }),
};

export function machine({ files = {}, commands = {}, probes = {}, more = {} }: Described = {}): Machine {
  const all = Object.entries({ ...FILES, ...files }).filter((entry): entry is [string, string] => entry[1] !== null);
  const texts = new Map(all);
  const ok: Described["commands"] = { "g++": () => ({}), make: () => ({}), python3: () => ({}), python: pythonSays(), ...commands };
  const gives = { ...PROBES, ...probes };
  return {
    version: "0.5.0", root: ROOT, cwd: ROOT, venv: VENV, node: "22.20.0", platform: "linux", arch: "x64", env: {}, processor: "AMD Ryzen 7 5800X", threads: 16,
    memory: () => ({ total: 33.5e9, free: 28.1e9 }), freeDisk: () => 412e9,
    files: {
      read: (file) => texts.get(file),
      exists: (file) => texts.has(file),
      list: (folder) => [...new Set([...texts.keys()].flatMap((file) => (file.startsWith(`${folder}/`) ? file.slice(folder.length + 1).split("/")[0] : [])))],
    },
    run(command, args) {
      const found = ok[command.split("/").at(-1)!];
      return found ? { status: 0, stdout: "", stderr: "", ...found(args) } : { status: null, stdout: "", stderr: "" };
    },
    probe: async (name, options) => gives[name](options as never) as never,
    ...more,
  };
}

export interface SimCard { name: string; memory: number; free: number; capability: string; uses?: { pid: number; name: string; memory: number }[] }

/** nvidia-smi of a driver; sizes in MiB. */
export const smi = (driver: string, cuda: string, ...cards: SimCard[]) => (args: string[]): Partial<Ran> => {
  const [query] = args;
  if (!query) return { stdout: `| NVIDIA-SMI ${driver}   Driver Version: ${driver}   CUDA Version: ${cuda} |` };
  if (query.startsWith("--query-compute-apps")) {
    return { stdout: cards.flatMap(({ uses = [] }, i) => uses.map(({ pid, name, memory }) => `GPU-${i}, ${pid}, ${memory}, ${name}`)).join("\n") };
  }
  const fields = /--query-gpu=(.*)/.exec(query)![1].split(",");
  return { stdout: cards.map((card, i) => fields.map((field) => ({
    index: i, uuid: `GPU-${i}`, "memory.total": card.memory, "memory.free": card.free, driver_version: driver, compute_cap: card.capability, name: card.name,
  } as Record<string, string | number>)[field]).join(", ")).join("\n") };
};

export const RTX_4090: SimCard = { name: "NVIDIA GeForce RTX 4090", memory: 24_564, free: 23_901, capability: "8.9" };

/** Of the CUDA build, set up for a card. */
export const CUDA_FILES: Record<string, string | null> = {
  [`${SITE}/tensorflow/python/platform/build_info.py`]: "build_info = OrderedDict([('cuda_compute_capabilities', ['sm_60', 'sm_89']), ('cuda_version', '12.5.1'), ('cudnn_version', '9'), ('is_cuda_build', True)])",
  [`${SITE}/tensorflow_cpu-2.21.0.dist-info/METADATA`]: null,
  [`${SITE}/tensorflow-2.21.0.dist-info/METADATA`]: "",
  "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "",
  [`${ORT}/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so`]: "",
  ...Object.fromEntries([
    ["cuda_runtime", "libcudart.so.12"], ["cublas", "libcublas.so.12"], ["cudnn", "libcudnn.so.9"], ["cufft", "libcufft.so.11"], ["cusolver", "libcusolver.so.11"], ["cublas", "libcusolver.so.11"], ["cusparse", "libcusparse.so.12"],
  ].map(([folder, library]) => [`${SITE}/nvidia/${folder}/lib/${library}`, ""])),
};
export const solverLink = `${SITE}/nvidia/cublas/lib/libcusolver.so.11`;
export const cudnn = `${SITE}/nvidia/cudnn/lib/libcudnn.so.9`;

const PCI = "/sys/bus/pci/devices/0000:01:00.0";
/** A card in its slot: 0x10de NVIDIA, 0x1002 AMD, 0x8086 Intel; 0x1a03 is a server's picture. */
export const inSlot = (vendor: string): Record<string, string> => ({ [`${PCI}/vendor`]: `${vendor}\n`, [`${PCI}/class`]: "0x030000\n" });

const onCuda: Described["probes"] = { engine: () => ({ there: true, engine: { there: true, version: "2.21.0", device: "cuda" }, ops: { there: false, why: "TensorFlow runs on a GPU, and they are made for the CPU" } }) };
const LIMITS = { maxStorageBufferBindingSize: 2 ** 31, maxBufferSize: 2 ** 31, maxStorageBuffersPerShaderStage: 10, maxComputeWorkgroupStorageSize: 32_768, maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupSizeX: 1024, maxComputeWorkgroupsPerDimension: 65_535 };
const adapter = (name: string, software = false): Described["probes"] => ({ webgpu: () => ({ there: true, found: { there: true, name, software, limits: LIMITS } }) });
const withCard = { ...CUDA_FILES, ...inSlot("0x10de") };
const driver = (version: string, cuda: string, ...cards: SimCard[]): Described["commands"] => ({ "nvidia-smi": smi(version, cuda, ...cards) });

/** What the issue names, and what else goes wrong. */
export const MACHINES: Record<string, Described> = {
  "no GPU": {},
  "RTX 4090": { files: withCard, commands: driver("580.95.05", "13.0", RTX_4090), probes: { ...onCuda, ...adapter("NVIDIA GeForce RTX 4090") } },
  "old driver": { files: inSlot("0x10de"), commands: driver("470.256.02", "11.4", { ...RTX_4090, name: "NVIDIA GeForce RTX 3060", capability: "8.6" }) },
  "two GPUs": { files: withCard, commands: driver("580.95.05", "13.0", { ...RTX_4090, free: 2_100, uses: [{ pid: 4242, name: "/usr/bin/python3", memory: 22_000 }] }, { ...RTX_4090, free: 24_100 }), probes: onCuda },
  "GPU in use": { files: withCard, commands: driver("580.95.05", "13.0", { ...RTX_4090, free: 2_100, uses: [{ pid: 4242, name: "/usr/bin/python3", memory: 22_000 }] }), probes: onCuda },
  "CUDA libraries missing": { files: { ...withCard, [cudnn]: null, [`${ORT}/bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so`]: null }, commands: driver("580.95.05", "13.0", RTX_4090) },
  "card, TensorFlow for the CPU": { files: { ...inSlot("0x10de"), "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "" }, commands: driver("580.95.05", "13.0", RTX_4090), probes: adapter("NVIDIA GeForce RTX 4090") },
  "card in a container": { files: { "/dev/nvidiactl": "", "/usr/lib/x86_64-linux-gnu/libcuda.so.1": "" }, commands: driver("580.95.05", "13.0", RTX_4090) },
  "Mac without TensorFlow": {
    more: { platform: "darwin", arch: "arm64", processor: "Apple M3 Pro", threads: 12, venv: VENV },
    files: { "/proc/version": null, [`${SITE}/tensorflow/python/platform/build_info.py`]: null, [`${SITE}/tensorflow_cpu-2.21.0.dist-info/METADATA`]: null },
    probes: {
      ...adapter("Apple M3 Pro"),
      engine: () => ({ there: true, engine: { there: true, version: "4.22.0", device: "wasm", why: "TensorFlow's binding is not built for darwin arm64" }, ops: { there: false, why: "TensorFlow is not there" } }),
    },
  },
  "AMD with WebGPU": { files: inSlot("0x1002"), probes: adapter("AMD Radeon RX 7900 XTX (RADV NAVI31)") },
  "AMD without Vulkan": { files: inSlot("0x1002") },
  "a server's picture": { files: inSlot("0x1a03") },
  SwiftShader: { probes: adapter("SwiftShader Device (LLVM 10.0.0)", true) },
  "broken binding": { probes: { engine: () => ({ there: false, why: "the process that tried it was ended by SIGSEGV" }), training: () => ({ there: false, why: "not to be asked" }) }, commands: {} },
  "set up without TensorFlow": {
    files: { [`${VENV}/.saelab-device`]: "none\n", [BINDING]: null, [`${SITE}/tensorflow/python/platform/build_info.py`]: null },
    probes: { engine: () => ({ there: true, engine: { there: true, version: "4.22.0", device: "wasm", why: "the binding is not there", cure: "npx saelab setup" }, ops: { there: false, why: "TensorFlow is not there" } }) },
  },
  "TensorFlow taken away": {
    files: { [BINDING]: null, [`${SITE}/tensorflow/python/platform/build_info.py`]: null },
    probes: { engine: () => ({ there: true, engine: { there: true, version: "4.22.0", device: "wasm", why: "the binding is not there", cure: "npx saelab setup" }, ops: { there: false, why: "TensorFlow is not there" } }) },
  },
  "no Jupyter": { commands: { python: pythonSays({}) }, files: { [`${DATA}/kernels/saelab/kernel.json`]: null } },
  "nothing set up": {
    more: { venv: undefined, node: "18.20.4" },
    files: Object.fromEntries(Object.keys(FILES).filter((file) => file.startsWith(VENV) || file.startsWith(ORT) || file === BINDING).map((file) => [file, null])),
    commands: { python3: () => ({ status: null }), python: () => ({ status: null }), "g++": () => ({ status: null }) },
    probes: { engine: () => ({ there: false, why: "@tensorflow/tfjs-node-gpu: expected its native binding, found: Cannot find module" }), onnx: () => ({ there: false, why: "Cannot find module 'onnxruntime-node'" }) },
  },
  "another copy's kernel, and no fused ops": {
    files: { [`${DATA}/kernels/saelab/kernel.json`]: JSON.stringify({ argv: ["/usr/bin/node", "/srv/old/build/kernel-ext/kernel/main.js"] }), "/srv/old/build/kernel-ext/kernel/main.js": "", [`${DATA}/labextensions/saelab/package.json`]: manifest("static/remoteEntry.0.js") },
    probes: { engine: () => ({ there: true, engine: { there: true, version: "2.21.0", device: "cpu" }, ops: { there: false, why: "ops.node was built for another CPU" } }) },
  },
  "Node moved": { files: { "/usr/bin/node": null } },
  WSL2: {
    files: { ...withCard, "/proc/version": "Linux version 5.15.167.4-microsoft-standard-WSL2", "/dev/dxg": "", "/usr/lib/wsl/lib/libcuda.so.1": "" },
    commands: driver("581.29", "13.0", { ...RTX_4090, name: "NVIDIA GeForce RTX 5090", capability: "12.0", memory: 32_607, free: 31_000 }), probes: onCuda,
  },
};
