import { EngineError } from "../core/errors";
import { random } from "../core/random";
import { far, referenceGradients, referenceUpdate } from "../core/referencestep";
import { freshState, type Parameters, type StepState } from "../core/trained";
import type { TrainKind } from "../core/types";
import type { Choice } from "./coder";
import type { StepNow } from "./step";

/**
 * Whether a step computes what plain loops compute: asked of a card before anything is trained on it, as nobody has seen them all, and
 * a training that goes wrong by little looks like one that goes badly.
 */

const CASES: { kind: TrainKind; dead: number; choice: Choice }[] = [
  { kind: "topk", dead: 0, choice: { precision: "f32", groups: [], chunk: 32 } },
  { kind: "topk", dead: 40, choice: { precision: "f32", groups: [16], chunk: 32 } },
  { kind: "topk", dead: 6, choice: { precision: "bf16", groups: [], chunk: 32 } },
  { kind: "groupmax", dead: 0, choice: { precision: "f32", groups: [], chunk: 32 } },
  { kind: "multitopk", dead: 40, choice: { precision: "f32", groups: [], chunk: 32 } },
];
const NAMES = ["wEnc", "bEnc", "wDec", "bDec"] as const;
const TOLERANCE = 1e-5; // of the largest: float32 sums over fewer than 100 numbers

/**
 * Rows and encoder are small multiples of 1/16: pre-activations are exact in any order of summing, many tie, and the chosen latents
 * must be the same.
 * @returns where it differs; nothing where it agrees
 */
export function differsFromReference(make: (initial: StepState, choice: Choice) => StepNow): string | undefined {
  const d = 21, latents = 1120, k = 5, n = 67, rng = random(0); // more columns than 1000: below, a card sorts
  const normals = (count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, () => scale * rng.normal());
  const sixteenths = (count: number, scale: number): Float32Array => normals(count, scale).map((value) => Math.round(16 * value) / 16);
  const parameters = (scale: number): Parameters => ({
    wEnc: sixteenths(latents * d, scale), bEnc: sixteenths(latents, scale), wDec: normals(latents * d, scale), bDec: sixteenths(d, scale),
  });
  for (const { kind, dead: count, choice } of CASES) {
    const x = sixteenths(n * d, 1), dead = Int32Array.from({ length: count }, (_, i) => 20 * i + 3);
    const m = parameters(0.1), v = parameters(0.1);
    for (const name of NAMES) v[name] = v[name].map((value) => value * value);
    const initial: StepState = { ...freshState(d, latents, k, parameters(0.25), { kind }), steps: 6, m, v };
    const want = referenceGradients(initial, x, dead), step = make(initial, choice);
    const what = `${kind}${count ? `, ${count} dead latents` : ""}${choice.precision === "bf16" ? ", product in bfloat16" : ""}`;
    try {
      const got = step.gradients(x, { dead });
      if (got.chosen.index.some((f, i) => f !== want.chosen.index[i])) return `the chosen latents (${what})`;
      if (far([got.fvu, got.aux, got.extra], [want.fvu, want.aux, want.extra], TOLERANCE)) return `the loss (${what})`;
      for (const name of NAMES) if (far(got.gradient[name], want.gradient[name], TOLERANCE)) return `the gradient of ${name} (${what})`;
      step.send(x, { learningRate: 0.003, dead });
      const end = step.state().parameters, wanted = referenceUpdate(initial, want.gradient, 0.003);
      for (const name of NAMES) if (far(end[name], wanted[name], TOLERANCE)) return `${name} after an update (${what})`;
    } finally {
      step.dispose();
    }
  }
  return undefined;
}

let sound = false;

/** Once a process. @throws EngineError where the card computes something else */
export function requireSound(where: string, make: (initial: StepState, choice: Choice) => StepNow): void {
  if (sound) return;
  const found = differsFromReference(make);
  if (found !== undefined) {
    throw new EngineError(
      `${where}: expected the card to compute what the processor computes, found a difference in ${found}. Nothing was trained on it: ` +
      'train on the processor ({ device: "cpu" }, or SAELAB_ENGINE=cpu), and report the card, its driver and this line.');
  }
  sound = true;
}
