import { EngineError } from "../core/errors";
import { random } from "../core/random";
import { far, referenceGradients, referenceUpdate } from "../core/referencestep";
import { freshState, type Parameters, type StepState } from "../core/trained";
import type { TrainKind } from "../core/types";
import type { Choice } from "./coder";
import type { Losses, Step, StepNow } from "./step";

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

interface Case {
  initial: StepState;
  x: Float32Array;
  dead: Int32Array;
  /** What differs, in words; nothing where nothing does. @param end parameters after one update at RATE */
  fault(got: Losses & { gradient: Parameters }, end: Parameters): string | undefined;
}

const RATE = 0.003;

/**
 * Rows and encoder are small multiples of 1/16: pre-activations are exact in any order of summing, many tie, and the chosen latents
 * must be the same.
 */
function caseOf({ kind, dead: count, choice }: (typeof CASES)[number], number: number): Case {
  const d = 21, latents = 1120, k = 5, n = 67, rng = random(0, number); // more columns than 1000: below, a card sorts
  const normals = (count: number, scale = 1): Float32Array => Float32Array.from({ length: count }, () => scale * rng.normal());
  const sixteenths = (count: number, scale: number): Float32Array => normals(count, scale).map((value) => Math.round(16 * value) / 16);
  const parameters = (scale: number): Parameters => ({
    wEnc: sixteenths(latents * d, scale), bEnc: sixteenths(latents, scale), wDec: normals(latents * d, scale), bDec: sixteenths(d, scale),
  });
  const x = sixteenths(n * d, 1), dead = Int32Array.from({ length: count }, (_, i) => 20 * i + 3);
  const m = parameters(0.1), v = parameters(0.1);
  for (const name of NAMES) v[name] = v[name].map((value) => value * value);
  const initial: StepState = { ...freshState(d, latents, k, parameters(0.25), { kind }), steps: 6, m, v };
  const want = referenceGradients(initial, x, dead), wanted = referenceUpdate(initial, want.gradient, RATE);
  const what = `${kind}${count ? `, ${count} dead latents` : ""}${choice.precision === "bf16" ? ", product in bfloat16" : ""}`;
  return {
    initial, x, dead,
    fault(got, end) {
      if (got.chosen.index.some((f, i) => f !== want.chosen.index[i])) return `the chosen latents (${what})`;
      if (far([got.fvu, got.aux, got.extra], [want.fvu, want.aux, want.extra], TOLERANCE)) return `the loss (${what})`;
      for (const name of NAMES) if (far(got.gradient[name], want.gradient[name], TOLERANCE)) return `the gradient of ${name} (${what})`;
      for (const name of NAMES) if (far(end[name], wanted[name], TOLERANCE)) return `${name} after an update (${what})`;
      return undefined;
    },
  };
}

/** @returns where it differs; nothing where it agrees */
export function differsFromReference(make: (initial: StepState, choice: Choice) => StepNow): string | undefined {
  for (const [i, one] of CASES.entries()) {
    const { initial, x, dead, fault } = caseOf(one, i), step = make(initial, one.choice);
    try {
      const got = step.gradients(x, { dead });
      step.send(x, { learningRate: RATE, dead });
      const found = fault(got, step.state().parameters);
      if (found !== undefined) return found;
    } finally {
      step.dispose();
    }
  }
  return undefined;
}

/**
 * The same of a step that answers later, for one kind. Of dead latents there are so few that all take part: of those that tie with the
 * last one, steps take one or all.
 */
export async function differsLater(kind: TrainKind, make: (initial: StepState) => Promise<Step>): Promise<string | undefined> {
  const like = CASES.some((one) => one.kind === kind) ? kind : "topk"; // plain loops have no choice over a batch
  const { initial, x, dead, fault } = caseOf({ kind: like, dead: 6, choice: CASES[0].choice }, 0), step = await make(initial);
  try {
    const got = await step.gradients(x, { dead });
    step.send(x, { learningRate: RATE, dead });
    await step.taken();
    return fault(got, (await step.state()).parameters);
  } finally {
    step.dispose();
  }
}

const sound = new Set<string>();

const refuse = (where: string, found: string): never => {
  throw new EngineError(
    `${where}: expected the card to compute what the processor computes, found a difference in ${found}. Nothing was trained on it: ` +
    'train on the processor ({ device: "cpu" }, or SAELAB_ENGINE=cpu), and report the card, its driver and this line.');
};

/** Once a process. @throws EngineError where the card computes something else */
export function requireSound(where: string, make: (initial: StepState, choice: Choice) => StepNow): void {
  if (sound.has(where)) return;
  const found = differsFromReference(make);
  if (found !== undefined) refuse(where, found);
  sound.add(where);
}

/** Once a process, card and kind. @throws EngineError where the card computes something else */
export async function requireSoundLater(where: string, kind: TrainKind, make: (initial: StepState) => Promise<Step>): Promise<void> {
  const which = `${where}, ${kind}`;
  if (sound.has(which)) return;
  const found = await differsLater(kind, make);
  if (found !== undefined) refuse(where, found);
  sound.add(which);
}
