import { openWebGpu } from "../src/adapters/webgpu";
import { webgpuStep } from "../src/adapters/webgpustep";
import type { RunShape } from "../src/core/memoryplan";
import { random } from "../src/core/random";
import { freshState } from "../src/core/trained";

/** Updates of a step on WebGPU, in a process of its own: node gpumemorychild.js '[shape, …]' prints for each the most bytes of buffers that it held, as JSON. */
async function most({ d, dOut = d, latents, k, kind = "topk", transcoder = false, batch, rows = Infinity, dead = 0 }: RunShape): Promise<number> {
  const gpu = await openWebGpu(), { device } = gpu;
  const make = GPUDevice.prototype.createBuffer, rng = random(0);
  let held = 0, peak = 0;
  device.createBuffer = (descriptor) => {
    const buffer = make.call(device, descriptor), destroy = buffer.destroy.bind(buffer);
    let there = true;
    held += descriptor.size;
    peak = Math.max(peak, held);
    buffer.destroy = () => {
      if (there) held -= descriptor.size;
      there = false;
      return destroy();
    };
    return buffer;
  };
  const normals = (count: number): Float32Array => Float32Array.from({ length: count }, () => rng.normal());
  const state = freshState(d, latents, k, { wEnc: normals(latents * d), bEnc: new Float32Array(latents), wDec: normals(latents * dOut), bDec: new Float32Array(dOut) }, { kind, dOut, transcoder });
  const step = await webgpuStep(gpu, state, { rows });
  const list = Int32Array.from({ length: dead }, (_, i) => i);
  step.send(normals(batch * d), { learningRate: 0.001, dead: list, ...(transcoder ? { target: normals(batch * dOut) } : {}) });
  const { losses } = await step.taken();
  if (!Number.isFinite(losses[0].fvu)) throw new Error(`an update gave ${JSON.stringify(losses)}`);
  step.dispose();
  device.createBuffer = make.bind(device);
  return peak;
}

async function main(): Promise<void> {
  const peaks: number[] = [];
  for (const shape of JSON.parse(process.argv[2]) as RunShape[]) peaks.push(await most(shape));
  process.stdout.write(`${JSON.stringify(peaks)}\n`);
  process.exit(0);
}

if (require.main === module) main().catch((error: Error) => {
  console.error(error);
  process.exitCode = 1;
});
