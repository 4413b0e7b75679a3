import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fusedOps, fusedStep } from "../../src/adapters/fusedstep";
import { plainStep } from "../../src/adapters/plainstep";
import { stockStep, type StepNow as Step } from "../../src/adapters/step";
import { tensorflow } from "../../src/adapters/tensorflow";
import { random, type Random } from "../../src/core/random";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import { freshState, partsOf, type Parameters, type StepState } from "../../src/core/trained";
import type { TrainKind } from "../../src/core/types";

/** Every kind and structure by every step: states and rows for their tests. */

export const engine = tensorflow();

export const KINDS: TrainKind[] = ["topk", "batchtopk", "multitopk", "groupmax", "matryoshka", "jumprelu"];
export const STRUCTURES = ["sae", "transcoder", "skip"] as const;
export type Structure = (typeof STRUCTURES)[number];

/** JumpReLU has no fused step. */
export const stepsOf = (kind: TrainKind): Record<string, (initial: StepState) => Step> => {
  const ops = fusedOps(engine);
  if ("why" in ops) throw new Error(`the fused ops must be there where tests run (npm run setup): ${ops.why}`);
  return {
    plain: (initial) => plainStep(engine, initial), stock: (initial) => stockStep(engine, initial),
    ...(kind === "jumprelu" ? {} : { fused: (initial: StepState) => fusedStep(engine, initial) }),
  };
};

export const normals = (n: number, rng: Random, scale = 1): Float32Array => Float32Array.from({ length: n }, () => scale * rng.normal());
const sixteenths = (values: Float32Array): Float32Array => values.map((value) => Math.round(16 * value) / 16);

/** Pre-activations of these rows and weights are exact in any order of summing: no two steps can choose other latents. */
export const rowsOf = (n: number, d: number, rng: Random): Float32Array => sixteenths(normals(n * d, rng));

export interface Sizes { d: number; dOut: number; latents: number; k: number; widths: number[] }
export const SMALL: Sizes = { d: 12, dOut: 9, latents: 64, k: 4, widths: [8, 24, 64] };

export function stateOf(kind: TrainKind, structure: Structure, seed: number, { d, dOut, latents, k, widths }: Sizes = SMALL): StepState {
  const rng = random(seed);
  const transcoder = structure !== "sae", out = transcoder ? dOut : d;
  const parameters: Parameters = {
    wEnc: sixteenths(normals(latents * d, rng, 1 / Math.sqrt(d))), bEnc: sixteenths(normals(latents, rng, 0.2)), wDec: normals(latents * out, rng),
    bDec: sixteenths(normals(out, rng, 0.3)), ...(structure === "skip" ? { wSkip: normals(out * d, rng, 0.2) } : {}),
    ...(kind === "jumprelu" ? { logThreshold: normals(latents, rng, 0.3).map((t) => t + 0.3) } : {}),
  };
  return freshState(d, latents, k, parameters, { kind, transcoder, ...(transcoder ? { dOut } : {}), ...(kind === "matryoshka" ? { widths } : {}) });
}

export const targetOf = ({ transcoder, dOut }: StepState, n: number, rng: Random): { target?: Float32Array } =>
  transcoder ? { target: normals(n * dOut, rng) } : {};

/** What PyTorch made: test/oracle/step/make_kinds.py. */
export function torchKinds() {
  const golden = bytesSource(readFileSync(join(__dirname, "../../../test/oracle/step/kinds.safetensors")));
  const { tensors } = readHeader(golden, "kinds.safetensors");
  const floats = (name: string): Float32Array => readFloats(golden, tensors.get(name)!);
  const [steps, n, d] = tensors.get("x")!.shape;
  const dOut = tensors.get("y")!.shape[2], latents = tensors.get("start.bEnc")!.shape[0], k = 3;
  const start = (kind: TrainKind, structure: Structure): StepState => {
    const transcoder = structure !== "sae", out = transcoder ? "other" : "sae";
    const parameters: Parameters = {
      wEnc: floats("start.wEnc"), bEnc: floats("start.bEnc"), wDec: floats(`${out}.wDec`), bDec: floats(`${out}.bDec`),
      ...(structure === "skip" ? { wSkip: floats("other.wSkip") } : {}), ...(kind === "jumprelu" ? { logThreshold: floats("logThreshold") } : {}),
    };
    const fresh = freshState(d, latents, k, parameters, { kind, transcoder, dOut: transcoder ? dOut : d, ...(kind === "matryoshka" ? { widths: [4, 9, latents] } : {}) });
    return { ...fresh, parameters };
  };
  /** One array of all parameters, by name. */
  const split = (flat: Float32Array, like: Parameters): Parameters => {
    let at = 0;
    return Object.fromEntries(partsOf(like).map((name) => [name, flat.subarray(at, (at += like[name]!.length))])) as unknown as Parameters;
  };
  const [x, y] = [floats("x"), floats("y")];
  return {
    steps, start, split, floats, dead: Int32Array.of(2, 7, 11, 12, 16), l0Weight: 1.5, learningRate: 3e-3,
    x: (t: number): Float32Array => x.slice(t * n * d, (t + 1) * n * d),
    target: (t: number, structure: Structure): { target?: Float32Array } => (structure === "sae" ? {} : { target: y.slice(t * n * dOut, (t + 1) * n * dOut) }),
  };
}
