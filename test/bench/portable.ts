import { performance } from "node:perf_hooks";
import { coder, decodeRows, encodeRows } from "../../src/adapters/coder";
import { FUSED, fusedOps, fusedStep } from "../../src/adapters/fusedstep";
import { portableBinding } from "../../src/adapters/portable";
import { freshState, stockStep } from "../../src/adapters/step";
import { engineOf, kernels, tensorflow, type Engine } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";

/**
 * What it costs to do without TensorFlow: the same products, encoding, decoding, training steps and eigenvectors by WebAssembly, by JavaScript and by TensorFlow, in turns.
 * Medians of the clock, and of processor time (all cores), which does not grow with what else runs; ours are one thread.
 */
const SETTINGS = {
  small: { d: 128, latents: 1024, k: 16, batch: 256, eigen: 128 },
  A: { d: 128, latents: 4096, k: 16, batch: 2048, eigen: 256 },
  B: { d: 576, latents: 9216, k: 32, batch: 512, eigen: 576 },
};

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];

export async function benchPortable({ setting = "A", rounds = 5 }: { setting?: string; rounds?: number } = {}): Promise<Record<string, unknown>> {
  if (!(setting in SETTINGS)) throw new Error(`--setting: expected ${Object.keys(SETTINGS).join(", ")}, found ${setting}`);
  const { d, latents, k, batch, eigen } = SETTINGS[setting as keyof typeof SETTINGS];
  const native = tensorflow();
  const rng = random(0);
  const normals = (count: number): Float32Array => Float32Array.from({ length: count }, () => rng.normal());
  const noise = normals(latents * d), x = normals(batch * d), samples = normals(2 * eigen * eigen);
  const initial = freshState(d, latents, k, { wEnc: noise, bEnc: new Float32Array(latents), wDec: noise, bDec: new Float32Array(d) });
  const sae = coder(d, latents, k, initial.parameters);
  const engines: Record<string, Engine> = { tensorflow: native, wasm: engineOf(native.tf, portableBinding("wasm"), "wasm"), js: engineOf(native.tf, portableBinding("js"), "js") };
  const bodies: [what: string, body: () => void][] = Object.entries(engines).flatMap(([name, engine]): [string, () => void][] => {
    const K = kernels(engine), step = stockStep(engine, initial), sparse = encodeRows(engine, sae, x);
    const covariance = engine.tidy(() => engine.floats(K.matMul(engine.tensor(samples, [2 * eigen, eigen]), engine.tensor(samples, [2 * eigen, eigen]), { transposeA: true })));
    return [
      [`product ${name}`, () => engine.tidy(() => void K.matMul(engine.tensor(x, [batch, d]), engine.tensor(noise, [latents, d]), { transposeB: true }))],
      [`encode ${name}`, () => void encodeRows(engine, sae, x)],
      [`decode ${name}`, () => void decodeRows(engine, sae, sparse)],
      [`step ${name}`, () => void step.update(x, { learningRate: 1e-4 })],
      [`eigen ${name}`, () => engine.tidy(() => void K.eigen(engine.tensor(covariance, [eigen, eigen])))],
    ];
  });
  if ("id" in fusedOps(native)) {
    const fused = fusedStep(native, initial, FUSED);
    bodies.push(["step fused", () => void fused.update(x, { learningRate: 1e-4 })]);
  }
  const wall: Record<string, number[]> = {}, cpu: Record<string, number[]> = {};
  for (let round = 0; round <= rounds; round++) { // the first one compiles
    for (const [what, body] of bodies) {
      const begun = performance.now(), used = process.cpuUsage();
      body();
      const { user, system } = process.cpuUsage(used);
      if (!round) continue;
      (wall[what] ??= []).push(performance.now() - begun);
      (cpu[what] ??= []).push((user + system) / 1000);
    }
  }
  const shown = (times: Record<string, number[]>) => Object.fromEntries(Object.entries(times).map(([what, values]) => [what, Number(median(values).toPrecision(3))]));
  const [ms, cpuMs] = [shown(wall), shown(cpu)];
  const times = (table: Record<string, number>, by: string) => Object.fromEntries(["product", "encode", "decode", "step", "eigen"].map((what) => [what, Number((table[`${what} ${by}`] / table[`${what} tensorflow`]).toPrecision(2))]));
  return {
    bench: "portable", setting, d, latents, k, batch, eigen, ms, cpuMs, timesTensorflow: { wasm: times(ms, "wasm"), js: times(ms, "js"), wasmCpu: times(cpuMs, "wasm") },
    gflops: Number(((2 * batch * d * latents) / ms["product wasm"] / 1e6).toPrecision(3)),
  };
}
