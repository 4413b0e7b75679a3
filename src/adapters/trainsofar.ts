import { CheckpointError, DiskError, MemoryError } from "../core/errors";
import type { Sae } from "../core/types";
import type { RowSource, SourceState } from "./rows";
import { saeOf } from "./saevalue";
import type { Engine } from "./tensorflow";
import type { SaeOptions, SharedOptions } from "./train";
import type { TrainingDevice } from "./traindevice";
import type { Teller } from "./traintelling";
import { keptWeights, type Run } from "./training";
import type { Plan, SharedPlan } from "./trainplan";
import type { TrainingData } from "./trainsource";
import type { ArrayToKeep, Checkpoints, KeptState } from "./trainstate";
import type { Computed } from "./trainstep";

/** A training as far as it is: what of it goes into a checkpoint, and the SAEs that it is worth at any moment. */

/** What was checked, and is to be done. */
export interface Task {
  data: TrainingData;
  hooks: string[];
  engine: Engine;
  device: TrainingDevice;
  /** Encoded at a time, so that it fits; all. */
  rows?: number;
  saes: SaeOptions[];
  plans: Plan[];
  shared: SharedPlan;
  options: SharedOptions;
  checkpoints?: Checkpoints;
  /** Names the recipe: what makes it the same run. */
  run: string;
}

/** What was done before this process, or went wrong: told in the card. */
export interface History {
  seconds: number;
  /** Where the run went on, and with what where that changed. */
  resumed: { steps: number; from?: Partial<Computed> }[];
  warnings: string[];
}

/** A training under way. */
export interface Going {
  task: Task;
  source: RowSource;
  runs: Run[];
  history: History;
  seconds(): number;
  tell: Teller;
  /** Steps that were done when it began, and that are done now. */
  from: number;
  done: number;
  /** A checkpoint is to be written where the next one can be. */
  soon?: boolean;
}

/** What was begun, within a stride. */
export async function takeAll(runs: Run[]): Promise<void> {
  for (const run of runs) if (!run.diverged) await run.take();
}

/**
 * Writes a checkpoint where all is sound: an SAE that is about to diverge leaves the checkpoint before, and so does a full disk, of which
 * the card tells; one that has diverged is kept as it last was sound. Training goes on.
 * @param state of the source after so many steps
 * @returns whether it was written
 */
export async function keep(going: Going, checkpoints: Checkpoints, steps: number, state?: SourceState): Promise<boolean> {
  const { source, runs, history, seconds } = going;
  if (!runs.every((run) => run.diverged || run.sound())) return false;
  const { json, arrays } = state ?? source.state();
  try {
    await checkpoints.write(steps, {
      steps, source: json, arrays: Object.keys(arrays), history: { ...history, seconds: seconds() },
      runs: Object.fromEntries(runs.map((run) => [run.name, run.json()])),
    }, [
      ...runs.flatMap((run) => run.arrays()),
      ...Object.entries(arrays).map(([name, data]): ArrayToKeep => (
        { name: `source.${name}`, type: data instanceof Int32Array ? "I32" : "F32", length: data.length, read: () => data })),
    ]);
    going.soon = false;
    return true;
  } catch (error) {
    if (!(error instanceof DiskError || error instanceof MemoryError)) throw error;
    history.warnings.push(`no checkpoint after ${steps} steps: ${error.message}`);
    return false;
  }
}

/** The newest weights whose next loss was sound: of a checkpoint, or in memory. */
export function lastSound(run: Run, checkpoints: Checkpoints | undefined): Run["last"] {
  const inMemory = run.good();
  const onDisk = checkpoints?.generations().find(({ step }) => step < run.diverged!.step - 1 && step > 0);
  if (!onDisk || (inMemory && inMemory.steps >= onDisk.step)) return inMemory;
  let kept: KeptState | undefined;
  try {
    ({ kept } = checkpoints!.open(run.diverged!.step - 1));
    return kept ? { steps: kept.step, weights: keptWeights(kept, run.name) } : inMemory;
  } catch (error) {
    if (error instanceof CheckpointError) return inMemory; // damaged: other SAEs go on
    throw error;
  } finally {
    kept?.close();
  }
}

const told = ({ resumed, warnings }: History): Record<string, unknown> => ({ ...(resumed.length ? { resumed } : {}), ...(warnings.length ? { warnings } : {}) });

/** All of them as far as they are, and the first that there is. */
export async function saesSoFar(going: Going): Promise<{ sae: Sae | undefined; saes: (Sae | undefined)[] }> {
  const saes: (Sae | undefined)[] = [];
  for (const run of going.runs) saes.push(await saeFrom(going, run, going.done));
  return { sae: saes.find((sae) => sae), saes };
}

/** The SAE of a run after so many steps; of one that diverged, or whose device was lost, as it last was sound, if it was. */
export async function saeFrom({ task: { data, saes, options, run: recipe }, source, history, seconds }: Going, run: Run, steps: number): Promise<Sae | undefined> {
  const { diverged, last, lost } = run;
  if ((diverged || lost) && !last) return undefined;
  const curve = run.curve.filter(({ step }) => step <= (last?.steps ?? steps));
  const { hooks, targets, kind, latents, k, widths, skip, d, dOut, tokens, batch, learningRate, deadAfter, auxK, l0Weight, seed, initSeed } = run.plan;
  const one = <T>(list: T[]): T | T[] => (list.length === 1 ? list[0] : list);
  const hook = hooks.length === 1 ? hooks[0] : undefined;
  const { fvu, dead, l0 } = curve.at(-1) ?? {};
  return saeOf(last?.weights ?? await run.weights(), {
    hook, curve,
    card: {
      hook: one(hooks), ...(targets ? { target: one(targets), skip } : {}), kind, latents, k, ...(widths ? { widths } : {}),
      d, ...(dOut === d ? {} : { dOut }), ...data.card, tokens, batch, learningRate, deadAfter, auxK, ...(l0Weight === undefined ? {} : { l0Weight }),
      seed, ...(initSeed === seed ? {} : { initSeed }), ...(saes.length > 1 ? { sharedWith: saes.length - 1 } : {}),
      steps: last?.steps ?? steps, ...run.computed, shuffle: source.kind, data: source.describe(), scale: one(run.reads.map(({ scale }) => scale)),
      ...(targets ? { targetScale: one(run.rebuilds.map(({ scale }) => scale)) } : {}), ...run.start,
      ...(options.checkpoint ? { checkpoint: { steps: options.checkpoint.steps, minutes: options.checkpoint.minutes } } : {}),
      fvu, dead, l0, run: recipe, seconds: seconds(), ...told(history), ...(diverged ? { diverged } : {}),
    },
  });
}
