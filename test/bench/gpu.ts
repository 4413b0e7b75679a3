import { execFile } from "node:child_process";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { promisify } from "node:util";
import { fusedOps, fusedStep } from "../../src/adapters/fusedstep";
import { stockStep } from "../../src/adapters/stockstep";
import { tensorflow } from "../../src/adapters/tensorflow";
import { findWebGpu } from "../../src/adapters/webgpu";
import { random } from "../../src/core/random";
import { freshState } from "../../src/core/trained";
import { gpuEnvironment } from "../swiftshader";
import { peerSteps } from "./train";

/**
 * The one command that measures a card nobody has measured: `npm run bench -- gpu --setting=D`. WebGPU's step beside the bare encoder product on the same card (ours, and that of
 * TF.js' backend: the faster one counts), without and with an auxiliary loss over a tenth of the latents; which kernels its time goes to, by the card's own clock; TensorFlow's step
 * on the CPU; and, with a Python in SAELAB_PEER_PYTHON whose torch sees a card, hand-tuned PyTorch on that card. T is for machines without a card: it shows that the command works.
 */
const SETTINGS = {
  T: { d: 16, latents: 128, k: 4, batch: 32 },
  B: { d: 576, latents: 9216, k: 32, batch: 2048 },
  D: { d: 1536, latents: 65536, k: 32, batch: 4096 },
};
const CPU_STEPS = 3;
const PEER_STEPS = 16;

const round = (value: number): number => Number(value.toPrecision(3));
const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[values.length >> 1];

/** Kernels by what they are part of; what is not named here is "rest". */
const PARTS: Record<string, string[]> = {
  product: ["product.product"], choice: ["topk.largest"], decode: ["decode.decode", "decode.errors", "decode.products"],
  lists: ["pairs.tally", "pairs.allot", "pairs.fill", "pairs.order"], update: ["update.update"],
};

/** @param options.rounds of turns, of which one more, the first, is not counted */
export async function benchGpu({ setting = "D", rounds = 5 }: { setting?: string; rounds?: number } = {}): Promise<Record<string, unknown>> {
  if (!(setting in SETTINGS)) throw new Error(`--setting: expected ${Object.keys(SETTINGS).join(", ")}, found ${setting}`);
  const sizes = SETTINGS[setting as keyof typeof SETTINGS], { d, latents, k, batch } = sizes;
  const here = await findWebGpu();
  if ((!here.there || here.software) && setting !== "T") {
    return { bench: "gpu", setting, skipped: here.there ? `${here.name} is no card` : here.why, instead: "--setting=T runs on a driver in software" };
  }
  const env = await gpuEnvironment();
  const child = async (what: string): Promise<any> => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(__dirname, "gpuchild.js"), what, ...[d, latents, k, batch, rounds].map(String)], { env, maxBuffer: 2 ** 24 });
    return JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  };
  const gpu = await child("step");
  const tfjs = await child("tfjs").catch((error: Error) => ({ skipped: error.message.trim().split("\n").at(-1) }));
  const productMs = Math.min(gpu.productMs, tfjs.productMs ?? Infinity);
  const parts: Record<string, number> = {};
  for (const [kernel, ms] of Object.entries<number>(gpu.partsMs)) {
    const part = Object.keys(PARTS).find((name) => PARTS[name].includes(kernel)) ?? "rest";
    parts[part] = (parts[part] ?? 0) + ms;
  }
  const cpu = cpuStep(sizes);
  const rng = random(0), rows = Float32Array.from({ length: 2 * batch * d }, () => rng.normal());
  const peers: Record<string, unknown> = {};
  for (const peer of await peerSteps(rows, sizes, 0, ["torch", "torch-bf16"], "cuda")) {
    if ("why" in peer) peers[peer.name] = { skipped: peer.why };
    else {
      await peer.steps(PEER_STEPS); // warms up
      const ms = median((await peer.steps(PEER_STEPS)).slice(0, PEER_STEPS));
      peers[peer.name] = { version: peer.version, msPerStep: round(ms), speedup: round(ms / gpu.stepMs) };
      peer.end();
    }
  }
  return {
    bench: "gpu", setting, card: gpu.name, software: gpu.software, ...sizes,
    msPerStep: round(gpu.stepMs), tokensPerSecond: Math.round((batch / gpu.stepMs) * 1000), shareOfBareProduct: round(productMs / gpu.stepMs), auxiliary: round(gpu.auxStepMs / gpu.stepMs),
    bareProductMs: { ours: round(gpu.productMs), tfjs: "skipped" in tfjs ? tfjs : round(tfjs.productMs) }, teraflops: round((2 * batch * d * latents) / productMs / 1e9),
    partsMs: Object.fromEntries(Object.entries(parts).map(([name, ms]) => [name, round(ms)])),
    cpu: { ...cpu, speedup: round(cpu.msPerStep / gpu.stepMs) }, peers,
  };
}

/** TensorFlow's step on the CPU: the fused ops where they are there. */
function cpuStep({ d, latents, k, batch }: (typeof SETTINGS)["T"]): { step: string; msPerStep: number } {
  const engine = tensorflow(), rng = random(1);
  const noise = Float32Array.from({ length: latents * d }, () => rng.normal());
  const initial = freshState(d, latents, k, { wEnc: noise.map((w) => w / Math.sqrt(d)), bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
  const step = "id" in fusedOps(engine) ? fusedStep(engine, initial) : stockStep(engine, initial);
  const x = Float32Array.from({ length: batch * d }, () => rng.normal()), times: number[] = [];
  for (let i = 0; i <= CPU_STEPS; i++) {
    const begun = performance.now();
    step.update(x, { learningRate: 1e-4 });
    if (i) times.push(performance.now() - begun);
  }
  step.dispose();
  return { step: step.kind, msPerStep: round(median(times)) };
}
