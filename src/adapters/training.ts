import { DiskError } from "../core/errors";
import { firing, learningRateAt, watching, type Watch } from "../core/schedule";
import { madeOnDemand, partLengths, sizesOf, trainedWeights, type Parameter, type StepState } from "../core/trained";
import type { SaeWeights, TrainingPoint } from "../core/types";
import type { StepNow as Step } from "./step";
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
  /** Of one that diverged: what it goes back to; none if it never was sound. */
  last?: Good;
  /** One step, number i from 0, on rows of each hook. @returns a new point of the curve, when there is one */
  update(rows: Map<string, Float32Array>, i: number): TrainingPoint | undefined;
  /** FVU is as it should be: what is kept now may be gone back to. */
  sound(): boolean;
  weights(): SaeWeights;
  /** The last sound weights in memory. */
  good(): Good | undefined;
  /** What a checkpoint holds of it. */
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

export function startRun({ name, plan, reads, rebuilds, start, step, computed, free, log, events, onPoint, kept, warn }: RunStart): Run {
  const { d, dOut, latents, batch, steps, targets } = plan;
  const was = kept?.json.runs[name] as { watch: Watch; curve: TrainingPoint[]; sums: Sums; diverged?: Run["diverged"]; last?: { steps: number } } | undefined;
  const bits = kept?.ints(`${name}.since`);
  const fires = firing(latents, plan.deadAfter, bits && new Float64Array(bits.buffer, bits.byteOffset, latents));
  const watch = watching(was?.watch);
  const curve = was?.curve ?? [];
  const sums: Sums = was?.sums ?? { fvu: 0, loss: 0, l0: 0, steps: 0 };
  const every = Math.max(1, Math.round(steps / POINTS));
  const small = 4 * latents * (d + dOut) <= SNAPSHOT;
  let good: Good | undefined, candidate: Good | undefined;
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
  const run: Run = {
    name, plan, reads, rebuilds, start, step, computed, curve, diverged: was?.diverged, last: was?.last && { steps: was.last.steps, weights: keptLast(kept!, name) },
    update(rows, i) {
      const target = targets && inTrainingUnits(rows, rebuilds, batch);
      const x = inTrainingUnits(rows, reads, batch, free);
      const learningRate = learningRateAt(i, steps, plan.learningRate);
      const { fvu, aux, extra, l0, chosen } = step.update(x, { learningRate, dead: fires.dead(), auxWeight: plan.auxK, l0Weight: plan.l0Weight, ...(target ? { target } : {}) });
      const loss = fvu + aux + extra;
      const why = watch.count(fvu, loss);
      if (why) {
        run.diverged = { why: why + extremes(x, d), step: i + 1 };
        return undefined;
      }
      if (candidate && run.sound()) good = candidate;
      candidate = undefined;
      fires.count(batch, chosen.index, chosen.value);
      sums.fvu += fvu;
      sums.loss += loss;
      sums.l0 += l0;
      sums.steps++;
      if ((i + 1) % every !== 0 && i + 1 !== steps) return undefined;
      const n = sums.steps;
      const point: TrainingPoint = {
        step: i + 1, tokens: (i + 1) * batch, fvu: sums.fvu / n, dead: fires.dead().length / latents, learningRate, loss: sums.loss / n, l0: sums.l0 / n,
      };
      curve.push(point);
      Object.assign(sums, { fvu: 0, loss: 0, l0: 0, steps: 0 });
      writeDown(point);
      if (small && run.sound()) candidate = { steps: i + 1, weights: run.weights() };
      onPoint?.(point);
      return point;
    },
    sound: () => watch.seen.far === 0 && !run.diverged,
    weights: () => trainedWeights(step.live(), scaleIn, scaleOut),
    good: () => good,
    json: () => ({ curve, sums, watch: watch.seen, reads, rebuilds, start, computed, state: sizesOf(step.live()), diverged: run.diverged, ...(run.last ? { last: { steps: run.last.steps, weights: withoutArrays(run.last.weights) } } : {}) }),
    arrays: () => {
      const state = step.live();
      const lengths = partLengths(state);
      const sets = (["parameters", "m", "v"] as const).flatMap((set) => (Object.keys(state[set]) as Parameter[]).map((part): ArrayToKeep => (
        { name: `${name}.${set}.${part}`, type: "F32", length: lengths[part], read: () => state[set][part]!, part: step.part && ((from, to) => step.part!(set, part, from, to)) })));
      const counters = new Int32Array(fires.since.buffer, fires.since.byteOffset, 2 * latents);
      const last = arraysOf(run.last?.weights ?? {}).map(([part, array]): ArrayToKeep => ({ name: `${name}.last.${part}`, type: "F32", length: array.length, read: () => array }));
      return [...sets, ...last, { name: `${name}.since`, type: "I32", length: counters.length, read: () => counters }];
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
