import { diagnose, type Facts } from "../../src/core/doctor";
import { doctorHtml } from "../../src/core/doctorhtml";
import type { DoctorPlan } from "../../src/core/doctorplan";
import type { Speeds } from "../../src/core/doctorspeeds";
import { doctorText } from "../../src/core/doctortext";
import type { ViewCase } from "./cases";

/** The doctor's report: of a machine with a card, with a plan that does not fit; and of one where little works. */

const SAELAB = "/home/ada/saelab";

const card: Facts = {
  version: "0.5.0", platform: "linux", arch: "x64", processor: "AMD Ryzen 7 5800X 8-Core Processor", threads: 16, node: "22.20.0", wsl: false,
  memory: { total: 33.5e9, free: 28.1e9 }, disk: { folder: SAELAB, free: 212e9 }, tools: [], stale: { withoutTensorflow: false }, webgpuKinds: ["topk", "groupmax"],
  python: { there: true, path: `${SAELAB}/.venv/bin/python`, version: "3.12.4", packages: { jupyterlab: "4.6.6", notebook: "7.6.5", nbconvert: "7.17.2", jupyter_client: "8.10.0" }, jupyterPath: [] },
  kernels: [{ folder: `${SAELAB}/.venv/share/jupyter/kernels/saelab`, name: "saelab", node: "/usr/bin/node", main: "", nodeThere: true, mainThere: true, own: true }],
  extension: { there: true, folder: `${SAELAB}/.venv/share/jupyter/labextensions/saelab`, current: true },
  nvidia: { there: true, driver: "580.95.05", cuda: "13.0", cards: [{ index: 0, name: "NVIDIA GeForce RTX 4090", memory: 24_564 * 2 ** 20, free: 23_901 * 2 ** 20, capability: "8.9", processes: [] }] },
  judged: { tensorflow: { ok: true, cards: [0] }, onnx: { ok: true, cards: [0] } }, meant: 0,
  wheel: { version: "2.21.0", cuda: "12.5.1" }, engine: { there: true, version: "2.21.0", device: "cuda" }, ops: { there: false, why: "TensorFlow runs on a card" },
  webgpu: { there: true, name: "NVIDIA GeForce RTX 4090", software: false },
  onnx: { there: true, version: "1.30.0", webgpu: { there: true }, cuda: { there: false, why: "ONNX Runtime's CUDA provider is not installed", cure: "npx saelab setup --cuda" } },
};

const speeds: Speeds = {
  matmul: { there: true, device: "cuda", name: "TensorFlow", threads: 16, n: 4096, float32: 51.2e12, bfloat16: 148e12 },
  training: { there: true, device: "cuda", step: "stock", d: 1536, latents: 16_384, k: 32, batch: 4096, tokensPerSecond: 412_000, perStep: 0.002, perRow: 2e-6, others: 0 },
  harvest: { there: true, device: "webgpu", model: "4 blocks like SmolLM2-135M's", parameters: 14_160_384, hook: "layers.3", tokens: 524_288, tokensPerSecond: 98_700, others: 0 },
};

const plan: DoctorPlan = {
  asked: { d: 4096, latents: 131_072, k: 32, tokens: 1e9, batch: 4096, device: "cuda", step: "stock", dtype: "F16", rows: 1e9, parameters: 8e9 },
  memory: {
    host: 1.2e9, card: 29.4e9,
    parts: [{ what: "parameters and moments", on: "card", bytes: 12.9e9 }, { what: "gradients", on: "card", bytes: 8.6e9 }, { what: "pre-activations", on: "card", bytes: 6.4e9 }, { what: "rows held", on: "host", bytes: 1.2e9 }],
  },
  free: { host: 28.1e9, card: 25.06e9 }, disk: { store: 8.2e12, checkpoints: 38.7e9, sae: 4.3e9, free: 212e9 },
  training: 31.4 * 3600, harvest: 1590 * 3600, fits: false, short: ["memory on the card", "disk"], changes: [{ batch: 1024, bytes: 24.6e9 }, { latents: 98_304, bytes: 24.9e9 }],
};

const poor: Facts = {
  ...card, processor: 'Intel <b>"$x$"</b>', threads: 2, node: "18.20.4", tools: ["g++", "make"],
  python: { there: false, why: "no virtual environment (.venv) was set up, and python3 3.12.3 has no Jupyter" },
  kernels: [], extension: { there: false, why: "it was not built", cure: "npx saelab setup" },
  nvidia: { there: true, driver: "470.256.02", cuda: "11.4", cards: [{ index: 0, name: "NVIDIA GeForce GTX 1060 6GB", memory: 6144 * 2 ** 20, free: 812 * 2 ** 20, capability: "6.1", processes: [] }] },
  judged: {
    tensorflow: { ok: false, cards: [], why: "driver 470.256.02 is too old for TensorFlow (CUDA 12.5): 525.60.13 or newer is needed", cure: "install NVIDIA's newest driver (Ubuntu: sudo ubuntu-drivers install; others: https://www.nvidia.com/drivers), restart the machine, then npx saelab setup" },
    onnx: { ok: false, cards: [], why: "driver 470.256.02 is too old for ONNX Runtime (CUDA 13): 580.65.06 or newer is needed" },
  },
  meant: undefined, wheel: undefined, engine: { there: false, why: "@tensorflow/tfjs-node-gpu: expected its native binding, found: Cannot find module '<script>alert(1)</script>'." },
  webgpu: { there: false, why: "finds no card (Couldn't load Vulkan)", cure: "sudo apt-get install libvulkan1 mesa-vulkan-drivers" },
  onnx: { ...card.onnx, cuda: { there: false, why: "no provider" } } as Facts["onnx"],
};

const unmeasured: Speeds = { matmul: { there: false, why: "it cannot run here" }, training: { there: false, why: "it cannot run here" }, harvest: { ...speeds.harvest, device: "cpu", tokensPerSecond: 912, tokens: 4864, others: 1.4 } as Speeds["harvest"] };

const drawn = (name: string, ...given: Parameters<typeof diagnose>): ViewCase => {
  const report = diagnose(...given);
  return { name, html: doctorHtml(report), text: doctorText(report, false) };
};

export const doctorCases: ViewCase[] = [drawn("doctor", card, speeds, plan), drawn("doctor-poor", poor, unmeasured)];
