import { DiskError, MemoryError } from "../core/errors";
import { firing, learningRateAt, watching, type Watch } from "../core/schedule";
import { madeOnDemand, partLengths, trainedWeights, type Parameter, type Parameters, type StepState } from "../core/trained";
import type { SaeWeights, TrainingPoint } from "../core/types";
import type { Losses, Step, UpdateOptions } from "./step";
import type { EventFile } from "./tensorboard";
import type { Computed } from "./trainstep";
import type { Log } from "./trainlog";
import type { Plan } from "./trainplan";
import type { ArrayToKeep, KeptState } from "./trainstate";
import { inTrainingUnits, scaleOf, type Scaled } from "./trainunits";

/** One SAE while it trains: its step, counters and curve; what of it a checkpoint holds. */

const POINTS = 250; // of the curve
const SNAPSHOT = 2 ** 26; // bytes of weights that are kept in memory as the last good ones, beside checkpoints

/** Weights that are known to be sound: the loss of the step after them was. */
export interface Good {
  steps: number;
  weights: SaeWeights;
}

export interface Run {
  /** Of its arrays in a checkpoint. */
  name: string;
  plan: Plan;
  reads: Scaled[];
  rebuilds: Scaled[];
  /** What the card says of the start. */
  start: Record<string, unknown>;
  step: Step;
  computed: Computed;
  curve: TrainingPoint[];
  /** Why it was stopped, and at which step, counted from 1. */
  diverged?: { why: string; step: number };
  /** Its state is gone: the device was lost, or ran out of memory in the middle of an update. */
  lost?: boolean;
  /** Of one that diverged or is lost: what it goes back to; none if it never was sound. */
  last?: Good;
  /** Hands over the batch of step number i, from 0: rows of each hook. */
  add(rows: Map<string, Float32Array>, i: number): void;
  /**
   * Begins the steps that were handed over and not begun; after a MemoryError that left the state whole, those that it undid.
   * @throws as Step.send
   */
  push(): void;
  /** Whether what steps give is to be read after step i: a stride ends, or the run. */
  due(i: number): boolean;
  /**
   * Waits for the steps that were begun: counts their losses, and where a stride has ended which latents fired; there may then be a
   * new point of the curve. Elsewhere (rows could not be had) that is counted when it has.
   */
  take(): Promise<void>;
  /** Steps whose updates the state has. */
  done(): number;
  /** FVU is as it should be: what is kept now may be gone back to. */
  sound(): boolean;
  /** @throws DeviceLostError, MemoryError of a device */
  weights(): Promise<SaeWeights>;
  /** The last sound weights in memory. */
  good(): Good | undefined;
  /** What a checkpoint holds of it, after all that was begun was taken. */
  json(): Record<string, unknown>;
  arrays(): ArrayToKeep[];
  /** Frees the step's tensors, once. */
  dispose(): void;
}

/** Sums since the last point of the curve. */
interface Sums {
  fvu: number;
  loss: number;
  l0: number;
  steps: number;
}

export interface RunStart extends Pick<Run, "name" | "plan" | "reads" | "rebuilds" | "start" | "step" | "computed"> {
  /** Hooks whose rows no later SAE of the pass reads. */
  free: Set<string>;
  log?: Log;
  events?: EventFile;
  onPoint?: (point: TrainingPoint) => void;
  kept?: KeptState;
  /** Receives, in words, what went wrong without ending the training. */
  warn(text: string): void;
}

/** A step that was handed over. */
interface Handed {
  i: number;
  x: Float32Array;
  options: UpdateOptions;
}

/** Updates since the last stride ended, where a run was stopped within one. */
interface Part {
  updates: number;
  /** As Taken's. */
  silent?: Int32Array;
}

export function startRun({ name, plan, reads, rebuilds, start, step, computed, free, log, events, onPoint, kept, warn }: RunStart): Run {
  const { d, dOut, latents, batch, steps, targets } = plan;
  const { stride } = step;
  const was = kept?.json.runs[name] as
    { watch: Watch; curve: TrainingPoint[]; sums: Sums; diverged?: Run["diverged"]; last?: { steps: number }; within?: number } | undefined;
  const bits = kept?.ints(`${name}.since`);
  const fires = firing(latents, plan.deadAfter, bits && new Float64Array(bits.buffer, bits.byteOffset, latents));
  let dead = fires.dead();
  let within: Part = was?.within ? { updates: was.within, silent: kept!.ints(`${name}.silent`) } : { updates: 0 };
  const watch = watching(was?.watch);
  const curve = was?.curve ?? [];
  const sums: Sums = was?.sums ?? { fvu: 0, loss: 0, l0: 0, steps: 0 };
  const every = stride * Math.max(1, Math.round(steps / POINTS / stride)); // weights and latents that fired are known where strides end
  const small = 4 * latents * (d + dOut) <= SNAPSHOT;
  let good: Good | undefined, candidate: Good | undefined;
  let handed: Handed[] = [];
  let begun = 0; // of those handed over
  let taken = step.sizes().steps; // updates
  let disposed = false;
  let unwritten = false;
  const writeDown = (point: TrainingPoint): void => {
    const { step: at, tokens: _, ...values } = point;
    try {
      log?.add(point);
      events?.scalars(at, values as Record<string, number>);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      if (!unwritten) warn(`the curve is not written down from step ${at} on: ${error.message}`);
      unwritten = true;
    }
  };
  const [scaleIn, scaleOut] = [scaleOf(reads), scaleOf(rebuilds)];
  const names = (["wEnc", "bEnc", "wDec", "bDec", ...(plan.skip ? ["wSkip"] : []), ...(plan.kind === "jumprelu" ? ["logThreshold"] : [])]) as Parameter[];
  const due = (i: number): boolean => (i + 1) % stride === 0 || i + 1 === steps;
  /** An update that ran out of memory, and left the state whole, has not taken place; how many of a stride did, the step knows. */
  const undone = (error: unknown): unknown => {
    if (error instanceof MemoryError && error.intact) begun = step.sizes().steps - taken;
    return error;
  };
  /** @returns whether all is well */
  const count = ({ i, x }: Handed, { fvu, aux, extra, l0 }: Omit<Losses, "chosen">): boolean => {
    const loss = fvu + aux + extra;
    const why = watch.count(fvu, loss);
    if (why) {
      run.diverged = { why: why + extremes(x, d), step: i + 1 };
      return false;
    }
    if (candidate && run.sound()) good = candidate;
    candidate = undefined;
    sums.fvu += fvu;
    sums.loss += loss;
    sums.l0 += l0;
    sums.steps++;
    return true;
  };
  const addPoint = async (i: number, learningRate: number): Promise<void> => {
    const n = sums.steps;
    const point: TrainingPoint = {
      step: i + 1, tokens: (i + 1) * batch, fvu: sums.fvu / n, dead: dead.length / latents, learningRate, loss: sums.loss / n, l0: sums.l0 / n,
    };
    curve.push(point);
    Object.assign(sums, { fvu: 0, loss: 0, l0: 0, steps: 0 });
    writeDown(point);
    if (small && run.sound()) candidate = await run.weights().then((weights) => ({ steps: i + 1, weights }), (error: unknown) => {
      if (error instanceof MemoryError) return undefined; // only something to go back to
      throw error;
    });
    onPoint?.(point);
  };
  const run: Run = {
    name, plan, reads, rebuilds, start, step, computed, curve, diverged: was?.diverged, last: was?.last && { steps: was.last.steps, weights: keptLast(kept!, name) },
    add(rows, i) {
      const target = targets && inTrainingUnits(rows, rebuilds, batch);
      const x = inTrainingUnits(rows, reads, batch, free);
      const learningRate = learningRateAt(i, steps, plan.learningRate);
      handed.push({ i, x, options: { learningRate, dead, auxWeight: plan.auxK, l0Weight: plan.l0Weight, ...(target ? { target } : {}) } });
    },
    push() {
      try {
        for (; begun < handed.length; begun++) step.send(handed[begun].x, handed[begun].options);
      } catch (error) {
        throw undone(error);
      }
    },
    due,
    async take() {
      if (!begun) return;
      const { losses, silent } = await step.taken().catch((error: unknown) => {
        throw undone(error);
      });
      const done = handed.slice(0, begun);
      handed = handed.slice(begun);
      taken += begun;
      begun = 0;
      for (const [j, one] of done.entries()) if (!count(one, losses[j])) return;
      within = joined(within, done.length, silent);
      const { i, options: { learningRate } } = done.at(-1)!;
      if (!due(i)) return;
      fires.silent(batch, within.updates, within.silent!);
      within = { updates: 0 };
      dead = fires.dead();
      if ((i + 1) % every === 0 || i + 1 === steps) await addPoint(i, learningRate);
    },
    done: () => taken,
    sound: () => watch.seen.far === 0 && !run.diverged,
    weights: async () => trainedWeights(await parametersOf(step, names), scaleIn, scaleOut),
    good: () => good,
    json: () => ({
      curve, sums, watch: watch.seen, reads, rebuilds, start, computed: run.computed, state: step.sizes(), diverged: run.diverged,
      ...(within.updates ? { within: within.updates } : {}), ...(run.last ? { last: { steps: run.last.steps, weights: withoutArrays(run.last.weights) } } : {}),
    }),
    arrays: () => {
      const lengths = partLengths(step.sizes());
      const state = step.part ? undefined : step.live();
      const sets = (["parameters", "m", "v"] as const).flatMap((set) => names.map((part): ArrayToKeep => {
        const length = lengths[part];
        if (!step.part) return { name: `${name}.${set}.${part}`, type: "F32", length, read: async () => (await state!)[set][part]! };
        const read = (from: number, to: number) => step.part!(set, part, from, to);
        return { name: `${name}.${set}.${part}`, type: "F32", length, read: () => read(0, length), part: read };
      }));
      const counters = new Int32Array(fires.since.buffer, fires.since.byteOffset, 2 * latents);
      const last = arraysOf(run.last?.weights ?? {}).map(([part, array]): ArrayToKeep => ({ name: `${name}.last.${part}`, type: "F32", length: array.length, read: () => array }));
      const silent: ArrayToKeep[] = within.updates ? [{ name: `${name}.silent`, type: "I32", length: latents, read: () => within.silent! }] : [];
      return [...sets, ...last, { name: `${name}.since`, type: "I32", length: counters.length, read: () => counters }, ...silent];
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      step.dispose();
      events?.close();
    },
  };
  return run;
}

/** Updates that follow others within a stride. */
const joined = (first: Part, updates: number, silent: Int32Array): Part => ({
  updates: first.updates + updates,
  silent: first.silent ? silent.map((number, f) => (number < updates ? number : first.silent![f] + updates)) : silent, // in none: the sum of both
});

/** A state for its parameters' sake: of a device that is read later each by itself, and no moments. */
async function parametersOf(step: Step, names: Parameter[]): Promise<StepState> {
  if (step.kind !== "webgpu" || !step.part) return step.live();
  const sizes = step.sizes(), lengths = partLengths(sizes);
  const parameters: Partial<Parameters> = {};
  for (const name of names) parameters[name] = await step.part("parameters", name, 0, lengths[name]);
  const none = madeOnDemand({});
  return { ...sizes, parameters: parameters as Parameters, m: none, v: none };
}

/** The state of a run in a checkpoint; arrays are read when they are asked for, and not kept. */
export function keptState(kept: KeptState, name: string): StepState {
  const sizes = kept.json.runs[name].state as Omit<StepState, "parameters" | "m" | "v">;
  const set = (which: string): StepState["parameters"] => {
    const before = `${name}.${which}.`;
    const parts = kept.names.filter((one) => one.startsWith(before));
    return madeOnDemand(Object.fromEntries(parts.map((part) => [part.slice(before.length), () => kept.floats(part)])));
  };
  return { ...sizes, parameters: set("parameters"), m: set("m"), v: set("v") };
}

const arraysOf = (weights: object): [string, Float32Array][] => Object.entries(weights).filter(([, value]) => value instanceof Float32Array);
const withoutArrays = (weights: object): object => Object.fromEntries(Object.entries(weights).filter(([, value]) => !(value instanceof Float32Array)));

/** What a run that diverged goes back to, in a checkpoint. */
function keptLast(kept: KeptState, name: string): SaeWeights {
  const before = `${name}.last.`;
  const arrays = kept.names.filter((one) => one.startsWith(before)).map((one) => [one.slice(before.length), kept.floats(one)]);
  return { ...kept.json.runs[name].last.weights, ...Object.fromEntries(arrays) };
}

/** The SAE of a run in a checkpoint. */
export function keptWeights(kept: KeptState, name: string): SaeWeights {
  const { reads, rebuilds } = kept.json.runs[name] as { reads: Scaled[]; rebuilds: Scaled[] };
  return trainedWeights(keptState(kept, name), scaleOf(reads), scaleOf(rebuilds));
}

const EXTREME = 20; // times the median norm

/** Says so where a row is far longer than the others, as attention sinks are. */
function extremes(x: Float32Array, d: number): string {
  const norms = Float64Array.from({ length: x.length / d }, (_, row) => Math.sqrt(x.subarray(row * d, (row + 1) * d).reduce((sum, value) => sum + value * value, 0))).sort();
  const times = norms.at(-1)! / norms[norms.length >> 1];
  return times > EXTREME ? `, on a batch with a row of ${times.toPrecision(3)} times the usual norm` : "";
}
