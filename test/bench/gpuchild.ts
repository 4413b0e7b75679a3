import { performance } from "node:perf_hooks";
import { openWebGpu, type Gpu } from "../../src/adapters/webgpu";
import { productGroups } from "../../src/adapters/webgpuaux";
import { CARD, commands, compiler, SOFTWARE, type Shape } from "../../src/adapters/webgpukernels";
import { memory } from "../../src/adapters/webgpumemory";
import { webgpuStep } from "../../src/adapters/webgpustep";
import { random } from "../../src/core/random";
import { freshState } from "../../src/core/trained";

/**
 * What gpu.ts measures on WebGPU, in a process of its own: "step D_IN LATENTS K BATCH ROUNDS" our step, its product alone and its parts;
 * "tfjs …" TF.js' own product, whose backend is a matter of the whole process. One line of JSON.
 */
const [what, ...numbers] = process.argv.slice(2);
const [d, latents, k, batch, rounds] = numbers.map(Number);
const PRE_BYTES = 2 ** 28; // as webgpupass.ts has them
const piece = Math.max(1, Math.min(batch, Math.floor(PRE_BYTES / (4 * latents))));

const median = (values: number[]): number => values.slice().sort((a, b) => a - b)[values.length >> 1];

async function ours(): Promise<object> {
  const gpu = await openWebGpu(), shape = gpu.software ? SOFTWARE : CARD;
  const rng = random(0);
  const noise = Float32Array.from({ length: latents * d }, () => rng.normal());
  const initial = freshState(d, latents, k, { wEnc: noise.map((w) => w / Math.sqrt(d)), bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
  const batches = Array.from({ length: 4 }, () => Float32Array.from({ length: batch * d }, () => rng.normal()));
  const dead = Int32Array.from({ length: Math.floor(latents / 10) }, (_, i) => 10 * i);
  const step = await webgpuStep(gpu, initial), { stride } = step;
  const turn = async (list?: Int32Array): Promise<number> => {
    const begun = performance.now();
    for (let i = 0; i < stride; i++) step.send(batches[i % batches.length], { learningRate: 1e-4, dead: list });
    await step.taken();
    return (performance.now() - begun) / stride;
  };
  const bare = await product(gpu, shape, initial.parameters.wEnc, batches[0]);
  const times: Record<string, number[]> = { step: [], aux: [], product: [] };
  for (let round = 0; round <= rounds; round++) { // the first warms up
    for (const [name, run] of [["step", () => turn()], ["product", bare.run], ["aux", () => turn(dead)]] as const) {
      const ms = await run();
      if (round) times[name].push(ms);
    }
  }
  bare.end();
  step.dispose();
  const parts: Record<string, number> = {};
  const traced = await webgpuStep(gpu, initial, { trace: (kernel, ms) => (parts[kernel] = (parts[kernel] ?? 0) + ms) });
  traced.send(batches[0], { learningRate: 1e-4 });
  await traced.taken();
  for (const kernel of Object.keys(parts)) delete parts[kernel];
  for (let i = 0; i < stride; i++) traced.send(batches[i % batches.length], { learningRate: 1e-4 });
  await traced.taken();
  await gpu.device.queue.onSubmittedWorkDone();
  traced.dispose();
  return {
    name: gpu.name, software: gpu.software, stepMs: median(times.step), auxStepMs: median(times.aux), productMs: median(times.product),
    partsMs: Object.fromEntries(Object.entries(parts).map(([kernel, ms]) => [kernel, ms / stride])),
  };
}

/** The encoder's product alone, some rows at a time as in the step. */
async function product(gpu: Gpu, shape: Shape, weights: Float32Array, x: Float32Array): Promise<{ run(): Promise<number>; end(): void }> {
  const memories = memory(gpu), queue = commands(gpu);
  const kernel = await compiler(gpu)("product", "product", { W4: d / 4, T: shape.T, LISTED: false, GATED: false });
  const [a, b, other, list, out] = [
    await memories.make("rows", 4 * batch * d), await memories.make("weights", 4 * latents * d), await memories.make("bias", 4 * latents),
    await memories.make("nothing", 16), await memories.make("pre-activations", 4 * piece * latents),
  ];
  memories.write(a, x);
  memories.write(b, weights);
  return {
    async run() {
      const times = 4, begun = performance.now();
      for (let i = 0; i < times; i++) {
        for (let from = 0; from < batch; from += piece) {
          const rows = Math.min(piece, batch - from);
          queue.run(kernel, productGroups(rows, latents, shape), { a, b, other, list, out }, { rows, from_row: from, columns: latents, stride: latents });
        }
        queue.submit();
      }
      await memories.read(out, 0, 16);
      return (performance.now() - begun) / times;
    },
    end() {
      memories.dispose();
      queue.dispose();
    },
  };
}

/** TF.js' product of the same pieces. */
async function tfjs(): Promise<object> {
  const { create, globals } = require("webgpu") as unknown as { create(options: string[]): GPU; globals: object };
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, "navigator", { value: { gpu: create([]) }, configurable: true }); // where the backend looks
  const tf = require("@tensorflow/tfjs-core") as typeof import("@tensorflow/tfjs-core");
  require("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu")) || tf.getBackend() !== "webgpu") throw new Error(`TF.js chose the backend ${tf.getBackend()}`);
  const rng = random(0), x = tf.tensor(Float32Array.from({ length: piece * d }, () => rng.normal()), [piece, d]);
  const w = tf.tensor(Float32Array.from({ length: latents * d }, () => rng.normal()), [latents, d]);
  const times: number[] = [], pieces = Math.ceil(batch / piece);
  for (let round = 0; round <= rounds; round++) {
    const begun = performance.now();
    for (let i = 0; i < pieces - 1; i++) tf.matMul(x as never, w as never, false, true).dispose();
    const last = tf.matMul(x as never, w as never, false, true), corner = tf.slice(last, [0, 0], [1, 1]);
    await corner.data();
    tf.dispose([last, corner]);
    if (round) times.push(performance.now() - begun);
  }
  return { productMs: median(times) };
}

void (what === "tfjs" ? tfjs() : ours()).then(
  (answer) => {
    process.stdout.write(`\n${JSON.stringify(answer)}\n`);
    process.exit(0);
  },
  (error: Error) => {
    console.error(error.message);
    process.exit(1);
  });
