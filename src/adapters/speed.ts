import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import type { Device, Missing } from "../core/device";
import type { HarvestSpeed, Measured, Meanwhile, Speeds, TrainingSpeed } from "../core/doctorspeeds";
import { expectedTensors, readArchitecture } from "../core/families";
import { random } from "../core/random";
import { writeSafetensors } from "../core/safetensors";
import { harvest } from "./harvest";
import { openModel } from "./open";
import { freshState, type Step, type StepState } from "./step";
import { kernels, tensorflow } from "./tensorflow";
import { stepFor } from "./trainstep";
import { planSae, planShared } from "./trainplan";
import { openWebGpu } from "./webgpu";

/** What the doctor times: a product, a training step, a harvest, at sizes that are the same everywhere. Each runs in a process of its own. */

export interface SpeedOptions {
  device: Device;
  /** How long a part may measure. */
  seconds: number;
  /** Tests take smaller ones. */
  sizes?: Sizes;
  product?: number;
}

type Sizes = Record<"d" | "latents" | "k" | "batch", number>;

/** A first SAE on SmolLM2-135M's activations; of a card's size on a card; a demo where TF.js computes alone. */
const SIZES: Record<Device, Sizes> = {
  cpu: { d: 576, latents: 4608, k: 32, batch: 1024 },
  cuda: { d: 1536, latents: 16_384, k: 32, batch: 4096 },
  webgpu: { d: 1536, latents: 16_384, k: 32, batch: 4096 },
  wasm: { d: 64, latents: 512, k: 16, batch: 256 },
};

const PRODUCT: Record<Device, number> = { cpu: 1024, cuda: 4096, webgpu: 4096, wasm: 256 };

export async function measureTraining({ device, seconds, sizes = SIZES[device], product = PRODUCT[device] }: SpeedOptions): Promise<Pick<Speeds, "matmul" | "training">> {
  const matmul = await measured(() => (device === "webgpu" ? webgpuProduct(product, seconds / 5) : engineProduct(device, product, seconds / 5)));
  return { matmul, training: await measured(() => meanwhile(() => trainingSpeed(device, sizes, seconds))) };
}

async function measured<T>(work: () => Promise<T>): Promise<Measured<T>> {
  try {
    return { there: true, ...(await work()) };
  } catch (error) {
    return { there: false, why: String((error as Error).message).split("\n")[0] } satisfies Missing;
  }
}

/** What other programs took of the processors while `work` ran, in threads. */
async function meanwhile<T>(work: () => Promise<T>): Promise<T & Meanwhile> {
  const busy = (): number => cpus().reduce((sum, { times: { user, nice, sys, irq } }) => sum + user + nice + sys + irq, 0) / 1000;
  const before = busy(), own = process.cpuUsage(), begun = performance.now();
  const result = await work();
  const { user, system } = process.cpuUsage(own);
  return { ...result, others: Math.max(0, (busy() - before - (user + system) / 1e6) / ((performance.now() - begun) / 1000)) };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];

/** Seconds that `body` takes: the median of as many runs as fit into the time, of three at least, after one that is not counted. */
async function timed(body: () => unknown, seconds: number): Promise<number> {
  await body();
  const times: number[] = [];
  for (const end = performance.now() + 1000 * seconds; times.length < 3 || performance.now() < end;) {
    const begun = performance.now();
    await body();
    times.push((performance.now() - begun) / 1000);
  }
  return median(times);
}

type Product = Omit<Speeds["matmul"] & { there: true }, "there">;

/** Products of square matrices, 2·n³ operations each; a number of each is read, as a card works on by itself. */
async function engineProduct(device: Device, n: number, seconds: number): Promise<Product> {
  const engine = tensorflow();
  const K = kernels(engine);
  const rng = random(0);
  const data = Float32Array.from({ length: n * n }, () => rng.uniform() - 0.5);
  const [a, b] = [engine.tensor(data, [n, n]), engine.tensor(data.slice(), [n, n])];
  const made = new Set([a, b]);
  const rate = async (dtype: "f32" | "bf16"): Promise<number> => {
    const type = ({ f32: 1, bf16: 14 } as const)[dtype];
    const [x, y] = dtype === "f32" ? [a, b] : [a, b].map((id) => K.cast(id, 1, type));
    made.add(x).add(y);
    const time = await timed(() => engine.tidy(() => {
      const product = K.slice(K.matMul(x, y, { dtype: type }), [0, 0], [1, 1], type);
      return engine.floats(dtype === "f32" ? product : K.cast(product, type, 1));
    }), seconds);
    return (2 * n ** 3) / time;
  };
  const float32 = await rate("f32");
  const half = engine.device === "cpu" || engine.device === "cuda" ? { bfloat16: await rate("bf16") } : {};
  engine.free(...made);
  const name = engine.device === "cpu" || engine.device === "cuda" ? "TensorFlow" : "TF.js";
  return { device, name, threads: availableParallelism(), n, float32, ...half };
}

/** The product of TF.js' WebGPU backend, on the device that trains. The backend is this process's own: a child's, which does nothing else. */
async function webgpuProduct(n: number, seconds: number): Promise<Product> {
  const { device } = await openWebGpu();
  const tf = require("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core");
  const { WebGPUBackend } = require("@tensorflow/tfjs-backend-webgpu") as typeof import("@tensorflow/tfjs-backend-webgpu");
  Object.defineProperty(globalThis, "navigator", { value: { gpu: device }, configurable: true }); // the backend asks whether there is any
  if (tf.findBackendFactory("webgpu")) tf.removeBackend("webgpu"); // its kernels go by this name
  tf.registerBackend("webgpu", () => new WebGPUBackend(device));
  await tf.setBackend("webgpu");
  const [a, b] = [0, 1].map((seed) => tf.randomUniform<import("@tensorflow/tfjs-core").Rank.R2>([n, n], -0.5, 0.5, "float32", seed));
  const time = await timed(async () => {
    const read = tf.tidy(() => tf.slice(tf.matMul(a, b), [0, 0], [1, 1]));
    await read.data();
    read.dispose();
  }, seconds);
  return { device: "webgpu", name: "TF.js' WebGPU", threads: availableParallelism(), n, float32: (2 * n ** 3) / time };
}

/** An SAE's state with random weights. */
function startOf({ d, latents, k }: { d: number; latents: number; k: number }): StepState {
  const rng = random(0);
  const noise = Float32Array.from({ length: latents * d }, () => rng.uniform() - 0.5);
  const initial = freshState(d, latents, k, { wEnc: noise, bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
  initial.parameters.wEnc = initial.parameters.wDec.map((w) => w / 2);
  return initial;
}

/** The step that a training of these sizes takes where nobody says which. */
async function stepOn(device: Device, sizes: Sizes): Promise<Step> {
  const { d, latents, k, batch } = sizes;
  const plan = planSae({ latents, k }, planShared({ tokens: batch, batch }, undefined, "rows"), [{ hook: "rows", width: d }]);
  const gpu = device === "webgpu" ? { gpu: await openWebGpu() } : {};
  return (await stepFor(tensorflow(), plan, startOf(sizes), undefined, undefined, gpu)).step;
}

/** Whole updates on random rows, of two batch sizes in turns: what a step costs by itself, and what a row adds. */
async function trainingSpeed(device: Device, sizes: Sizes, seconds: number): Promise<Omit<TrainingSpeed, "others">> {
  const { d, batch } = sizes;
  const rng = random(1);
  const rows = Float32Array.from({ length: batch * d }, () => rng.normal());
  const few = rows.slice(0, rows.length / 4);
  const step = await stepOn(device, sizes);
  try {
    const updates = async (x: Float32Array): Promise<void> => {
      for (let i = 0; i < step.stride; i++) step.send(x, { learningRate: 1e-3 });
      await step.taken();
    };
    const whole = (await timed(() => updates(rows), 0.6 * seconds)) / step.stride;
    const part = (await timed(() => updates(few), 0.2 * seconds)) / step.stride;
    const perRow = Math.min(Math.max((whole - part) / (0.75 * batch), 0), whole / batch); // timings waver
    return { device, step: step.kind, ...sizes, tokensPerSecond: batch / whole, perStep: whole - batch * perRow, perRow };
  } finally {
    step.dispose();
  }
}

/** SmolLM2-135M's blocks (LlamaForCausalLM), four of its thirty, and a vocabulary of bytes. */
const MODEL = {
  model_type: "llama", hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 4, num_attention_heads: 9, num_key_value_heads: 3,
  vocab_size: 257, max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 100_000, hidden_act: "silu", tie_word_embeddings: true,
  bos_token_id: 256, eos_token_id: 256, torch_dtype: "float32",
};
const HOOK = `layers.${MODEL.num_hidden_layers - 1}`;
const LENGTH = 256; // tokens a text

/** Writes the model: one table of noise serves all matrices, as their values cost no time. @returns parameters of its blocks */
function writeModel(folder: string): number {
  mkdirSync(folder);
  const rng = random(2);
  const expected = expectedTensors(readArchitecture(MODEL, "config.json"));
  const size = ({ shape }: { shape: number[] }): number => shape.reduce((a, b) => a * b, 1);
  const noise = Float32Array.from({ length: Math.max(...expected.map(size)) }, () => 0.04 * (rng.uniform() - 0.5));
  const ones = new Float32Array(MODEL.hidden_size).fill(1);
  const tensors = expected.map(({ stored, shape }) => ({ name: `model.${stored}`, shape, data: shape.length > 1 ? noise.subarray(0, size({ shape })) : ones }));
  writeFileSync(join(folder, "model.safetensors"), Buffer.concat(writeSafetensors(tensors)));
  writeFileSync(join(folder, "config.json"), JSON.stringify(MODEL));
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(byteTokenizer()));
  writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast", eos_token: "<end>" }));
  return expected.filter(({ name }) => name.startsWith("layers.")).reduce((sum, tensor) => sum + size(tensor), 0);
}

/** A token a byte, written as GPT-2 writes bytes: printable Latin-1 as it is, the others from U+0100 on. @see openai/gpt-2, encoder.py */
function byteTokenizer(): object {
  let next = 256;
  const letters = Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174 ? byte : next++));
  return {
    version: "1.0", added_tokens: [{ id: 256, content: "<end>", special: true, lstrip: false, rstrip: false, normalized: false, single_word: false }],
    normalizer: null, pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false }, post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", dropout: null, unk_token: null, fuse_unk: false, byte_fallback: false, vocab: Object.fromEntries(letters.map((letter, byte) => [letter, byte])), merges: [] },
  };
}

/** Tokenizing, the passes of a model that is made for it, and rows written to disk: a first harvest says how long the one that counts may be. */
export async function measureHarvest({ device, seconds }: SpeedOptions): Promise<HarvestSpeed & { there: true }> {
  const scratch = mkdtempSync(join(tmpdir(), "saelab-doctor-"));
  try {
    const parameters = writeModel(join(scratch, "model"));
    const model = await openModel(join(scratch, "model"), { device: device === "wasm" ? "cpu" : device });
    const rng = random(3);
    const texts = (count: number) => Array.from({ length: count }, (_, i) => ({
      id: `${i}`, text: Array.from({ length: LENGTH }, () => String.fromCharCode(97 + rng.below(26))).join(""), spans: [],
    }));
    const run = async (count: number, name: string): Promise<number> => {
      const documents = texts(count), begun = performance.now();
      const store = await harvest(model, documents, { hooks: [HOOK], folder: join(scratch, name), progress: () => undefined });
      store.close();
      return (performance.now() - begun) / 1000;
    };
    try {
      await model.hash();
      await run(8, "warm");
      const first = await run(16, "first");
      const count = Math.max(16, Math.min(4096, Math.round((16 * seconds) / first)));
      const { time, others } = await meanwhile(async () => ({ time: await run(count, "counted") }));
      const shape = `${MODEL.num_hidden_layers} blocks like SmolLM2-135M's`;
      return { there: true, device, model: shape, parameters, hook: HOOK, tokens: count * LENGTH, tokensPerSecond: (count * LENGTH) / time, others };
    } finally {
      await model.close();
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
