import { performance } from "node:perf_hooks";
import { CheckpointError, DiskError, InterruptError, TrainError } from "../core/errors";
import { short } from "../core/html";
import { random } from "../core/random";
import { defaultLearningRate } from "../core/schedule";
import type { Sae } from "../core/types";
import { breathe, interrupted } from "./interrupt";
import { collectGarbage } from "./memory";
import type { RowSource, SourceState } from "./rows";
import { saeOf } from "./saevalue";
import { openEventFile } from "./tensorboard";
import type { Engine } from "./tensorflow";
import type { SaeOptions, SharedOptions, TrainFailure, TrainInterrupt } from "./train";
import { teller, type Teller } from "./traintelling";
import { keptState, keptWeights, startRun, type Run } from "./training";
import { openLog, type Log } from "./trainlog";
import type { Plan, SharedPlan } from "./trainplan";
import type { TrainingData } from "./trainsource";
import { initialState, SAMPLE, sampled, type Sampled } from "./trainstart";
import type { ArrayToKeep, Checkpoints, KeptState } from "./trainstate";
import { stepFor, type Computed } from "./trainstep";
import type { Scaled } from "./trainunits";

/** The loop: batches of one source through one or several SAEs, with checkpoints, until the end, an interrupt or a divergence. */

/** What was checked, and is to be done. */
export interface Task {
  data: TrainingData;
  hooks: string[];
  engine: Engine;
  saes: SaeOptions[];
  plans: Plan[];
  shared: SharedPlan;
  options: SharedOptions;
  checkpoints?: Checkpoints;
  /** Names the recipe: what makes it the same run. */
  run: string;
}

const MINUTES = 10; // between two checkpoints

/** What was done before this process, or went wrong: told in the card. */
interface History {
  seconds: number;
  /** Where the run went on, and with what where that changed. */
  resumed: { steps: number; from?: Partial<Computed> }[];
  warnings: string[];
}

export async function train(task: Task): Promise<Sae[]> {
  const { data, hooks, shared, checkpoints } = task;
  const begun = performance.now();
  const { kept, damaged } = checkpoints?.open() ?? {};
  const history: History = (kept?.json.history as History | undefined) ?? { seconds: 0, resumed: [], warnings: [] };
  if (damaged) history.warnings.push(`${damaged}; the checkpoint before it was taken`);
  const runs: Run[] = [];
  const seconds = (): number => history.seconds + (performance.now() - begun) / 1000;
  const { steps, batch } = shared, from = kept?.step ?? 0;
  const tell = teller(task.plans, runs, steps * batch, from * batch, task.options);
  const prepare = async (what?: string): Promise<void> => {
    if (what !== undefined) tell.preparing(what);
    await breathe();
    if (!interrupted()) return;
    tell.end(from * batch, "interrupted");
    throw new InterruptError(`Interrupted before ${from ? `step ${from + 1}` : "the first step: nothing was trained yet"}. The same call begins again${from ? " from the checkpoint" : ""}.`);
  };
  let source: RowSource | undefined;
  let done = false;
  try {
    try {
      await prepare(data.rows === undefined ? undefined : "reading rows"); // a model tells of that by bars of its own
      source = await data.open(hooks, shared.seed, shared.steps * shared.batch, kept && sourceState(kept));
      await startRuns(task, source, kept, history, runs, prepare);
    } finally {
      kept?.close();
    }
    collectGarbage(bytesOf(task));
    const going: Going = { task, source, runs, history, seconds, tell };
    await loop(going, from);
    const saes = await finish(going);
    done = true;
    return saes;
  } catch (error) {
    tell.end(undefined, "stopped by an error");
    throw error;
  } finally {
    for (const run of runs) run.dispose();
    await source?.close(done);
  }
}

/** Of the largest SAE's weights. */
const bytesOf = ({ plans }: Task): number => Math.max(...plans.map(({ latents, d, dOut }) => 4 * latents * (d + dOut)));

/**
 * Fills `runs`: from a checkpoint, or from a sample of the rows.
 * @param prepare tells what is done next, and lets an interrupt in
 */
async function startRuns(
  { engine, saes, plans, shared, data }: Task, source: RowSource, kept: KeptState | undefined, history: History, runs: Run[], prepare: (what?: string) => Promise<void>,
): Promise<void> {
  const name = (i: number): string => `sae-${i}`;
  if (kept) history.resumed.push({ steps: kept.step });
  const logs: (Log | undefined)[] = [];
  for (const [i, { log }] of saes.entries()) logs.push(log === undefined ? undefined : await openLog(log, { ...plans[i] }, kept?.step ?? 0));
  if (!kept) await prepare(data.rows === undefined ? undefined : "measuring a sample of the rows");
  const sample = kept ? undefined : await sampleOf(source, Math.max(SAMPLE, ...plans.map(({ latents }) => latents)), shared.seed, data.where);
  for (const [i, plan] of plans.entries()) {
    const was = kept?.json.runs[name(i)] as { reads: Scaled[]; rebuilds: Scaled[]; start: Record<string, unknown>; computed: Computed } | undefined;
    const asked = saes[i].step !== undefined || saes[i].choice !== undefined;
    const places = (names: string[]): Sampled[] => names.map((hook) => sample!.get(hook)!);
    const scaled = (names: string[]): Scaled[] => names.map((hook) => ({ hook, width: sample!.get(hook)!.width, scale: sample!.get(hook)!.scale }));
    const targets = plan.targets ?? plan.hooks;
    const which = plans.length > 1 ? ` of SAE ${i + 1} of ${plans.length}` : "";
    await prepare(`setting the weights${which}`);
    const begin = was ? undefined : initialState(engine, plan, places(plan.hooks), places(targets));
    if (sample && i + 1 === plans.length) for (const one of sample.values()) one.centred = new Float32Array(0); // as large as W_enc
    await prepare(`looking for the fastest step${which}`);
    const { tensorboard, onPoint } = saes[i];
    const events = tensorboard === undefined ? undefined : openEventFile(tensorboard, undefined, kept ? { resumedAt: kept.step + 1 } : {});
    const { step, computed } = await stepFor(engine, plan, begin?.initial ?? keptState(kept!, name(i)), saes[i].choice, asked ? undefined : was?.computed).catch((error: unknown) => {
      events?.close();
      throw error;
    });
    if (was && JSON.stringify(was.computed) !== JSON.stringify(computed)) history.resumed.at(-1)!.from = was.computed;
    const norm = begin && Math.hypot(...places(plan.hooks).flatMap(({ mean }) => [...mean]));
    runs.push(startRun({
      name: name(i), plan, reads: was?.reads ?? scaled(plan.hooks), rebuilds: was?.rebuilds ?? scaled(targets),
      start: was?.start ?? { meanNorm: norm, start: { rows: begin!.fromRows, random: plan.latents - begin!.fromRows } },
      free: new Set(plan.hooks.filter((hook) => !plans.slice(i + 1).some((later) => [...later.hooks, ...later.targets ?? []].includes(hook)))),
      step, computed, kept, onPoint, log: logs[i], events, warn: (text) => history.warnings.push(text),
    }));
  }
}

async function sampleOf(source: RowSource, count: number, seed: number, where: string): Promise<Map<string, Sampled>> {
  const rows = await source.sample(count, random(seed, 0));
  collectGarbage(Math.max(...rows.map(({ byteLength }) => byteLength))); // they were copied together
  return new Map(source.hooks.map((hook, h) => [hook, sampled(rows[h], source.widths[h], where)]));
}

interface Going {
  task: Task;
  source: RowSource;
  runs: Run[];
  history: History;
  seconds(): number;
  tell: Teller;
}

async function loop(going: Going, from: number): Promise<void> {
  const { task: { shared: { steps, batch }, options, checkpoints }, source, runs, tell } = going;
  const due = clock(options, from);
  tell.begin();
  for (let i = from; i < steps; i++) {
    if (interrupted()) await stop(going, i, tell.end);
    const rows = await batchOf(source, batch).catch((error: Error) => (error instanceof InterruptError ? stop(going, i, tell.end) : giveUp(going, i, error, tell.end)));
    for (const run of runs) {
      if (run.diverged) continue;
      run.update(rows, i);
      if (run.diverged) run.last = lastSound(run, checkpoints);
    }
    if (runs.every(({ diverged }) => diverged)) return tell.end(i * batch, "diverged");
    if (checkpoints && i + 1 < steps && due(i + 1)) await keep(going, checkpoints, i + 1);
    tell.at((i + 1) * batch);
    await breathe();
  }
  tell.end(steps * batch);
}

/** The rows of a batch by hook. @throws StoreError and others of the source */
async function batchOf(source: RowSource, batch: number): Promise<Map<string, Float32Array>> {
  const rows = await source.next(batch);
  return new Map(rows.map((part, h) => [source.hooks[h], part]));
}

/** Rows could not be had, as when a model's worker ended: what was trained is put into a checkpoint and into the error. */
async function giveUp(going: Going, done: number, error: Error, end: (done: number, note: string) => void): Promise<never> {
  const { task: { shared: { steps, batch }, checkpoints }, runs } = going;
  end(done * batch, "stopped: no more rows");
  const kept = checkpoints !== undefined && await keep(going, checkpoints, done).catch(() => false); // the first error is the one to know
  error.message += ` (The training was at step ${done + 1} of ${steps}${kept ? `; resume: true goes on from ${checkpoints!.folder}` : ""}.)`;
  const saes = runs.map((run) => saeFrom(going, run, done));
  throw Object.assign(error, { sae: saes.find((sae) => sae), saes });
}

/** Whether a checkpoint is due after so many steps. */
function clock({ checkpoint }: SharedOptions, from: number): (steps: number) => boolean {
  const { steps: every, minutes = every === undefined ? MINUTES : Infinity } = checkpoint || {};
  let last = from, at = performance.now();
  return (steps) => {
    if (!(every !== undefined && steps - last >= every) && performance.now() - at < 60_000 * minutes) return false;
    last = steps;
    at = performance.now();
    return true;
  };
}

/**
 * Writes a checkpoint where all is sound: an SAE that is about to diverge leaves the checkpoint before, and so does a full disk, of which
 * the card tells; one that has diverged is kept as it last was sound. Training goes on.
 * @returns whether it was written
 */
async function keep({ source, runs, history, seconds }: Going, checkpoints: Checkpoints, steps: number): Promise<boolean> {
  if (!runs.every((run) => run.diverged || run.sound())) return false;
  const { json, arrays } = source.state();
  try {
    await checkpoints.write(steps, {
      steps, source: json, arrays: Object.keys(arrays), history: { ...history, seconds: seconds() },
      runs: Object.fromEntries(runs.map((run) => [run.name, run.json()])),
    }, [
      ...runs.flatMap((run) => run.arrays()),
      ...Object.entries(arrays).map(([name, data]): ArrayToKeep => (
        { name: `source.${name}`, type: data instanceof Int32Array ? "I32" : "F32", length: data.length, read: () => data })),
    ]);
    return true;
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    history.warnings.push(`no checkpoint after ${steps} steps: ${error.message}`);
    return false;
  }
}

function sourceState(kept: KeptState): SourceState {
  const names = kept.json.arrays as string[];
  return { json: kept.json.source as Record<string, unknown>, arrays: Object.fromEntries(names.map((name) => [name, kept.array(`source.${name}`)])) };
}

const told = ({ resumed, warnings }: History): Record<string, unknown> => ({ ...(resumed.length ? { resumed } : {}), ...(warnings.length ? { warnings } : {}) });

async function stop(going: Going, done: number, end: (done: number, note: string) => void): Promise<never> {
  const { task: { saes, shared: { steps, batch }, checkpoints }, runs } = going;
  end(done * batch, "interrupted");
  const kept = checkpoints !== undefined && await keep(going, checkpoints, done);
  for (const { step } of runs) step.settle(); // the moments are on disk, or of no use any more
  collectGarbage(bytesOf(going.task));
  const made = runs.map((run) => saeFrom(going, run, done));
  const folders: string[] = [], failures: string[] = [];
  for (const [i, sae] of made.entries()) {
    const { folder } = saes[i];
    if (folder === undefined || !sae) continue;
    try {
      await sae.save(folder);
      folders.push(folder);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      failures.push(error.message);
    }
  }
  const goesOn = kept ? ` The same call with resume: true goes on from ${checkpoints!.folder}.` : "";
  const saved = folders.length ? `saved in ${folders.join(", ")} and ` : "";
  const where = made.length > 1
    ? `The SAEs so far are ${saved}in this error's \`saes\` (in a notebook: lastError.saes); their learning rates had not come down, so they are rougher than finished ones.`
    : `The SAE so far is ${saved}in this error's \`sae\` (in a notebook: lastError.sae); its learning rate had not come down, so it is rougher than a finished one.`;
  const error = new InterruptError(`Interrupted after ${done} of ${steps} steps. ${where}${goesOn}${failures.map((text) => ` Not saved: ${text}`).join("")}`);
  throw Object.assign(error, { sae: made.find((sae) => sae)!, saes: made } satisfies Pick<TrainInterrupt, "sae" | "saes">);
}

/** Measures and saves; those that diverged go back to where they last were sound. */
async function finish(going: Going): Promise<Sae[]> {
  const { task, runs } = going;
  const { data, saes, plans, shared: { steps }, options, checkpoints } = task;
  const done: (Sae | undefined)[] = [];
  let unsaved: Error | undefined;
  const failed = runs.filter(({ diverged }) => diverged);
  if (failed.length === runs.length && checkpoints) await checkpoints.drop(Math.max(...failed.map(({ diverged }) => diverged!.step - 1)));
  for (const [i, run] of runs.entries()) {
    run.step.settle();
    collectGarbage(bytesOf(task));
    const sae = saeFrom(going, run, steps);
    done.push(sae);
    run.dispose();
    if (!sae) continue;
    if (options.evaluate !== false && !run.diverged) {
      await data.measure(sae, plans[i]).catch((error: Error) => // the SAE is whole all the same
        (sae.card.warnings = [...(sae.card.warnings as string[] | undefined ?? []), `not measured: ${error.message}`]));
    }
    if (!run.diverged) sae.card.finished = true;
    const { folder } = saes[i];
    if (folder !== undefined) await sae.save(folder).catch((error: Error) => (unsaved ??= Object.assign(error, { sae, saes: done }))); // the others are trained too
  }
  if (unsaved) throw unsaved;
  if (!failed.length) return done as Sae[];
  const sae = done[runs.indexOf(failed[0])];
  throw Object.assign(divergence(failed[0], runs, steps, sae), { sae, saes: done } satisfies Pick<TrainFailure, "sae" | "saes">);
}

function divergence(run: Run, runs: Run[], steps: number, sae: Sae | undefined): TrainError {
  const { plan: { learningRate, batch, tokens, d } } = run;
  const { step, why } = run.diverged!;
  const usual = defaultLearningRate(d, batch, tokens);
  const [verb, which] = runs.length > 1 ? ["trainSaes", ` of saes[${runs.indexOf(run)}]`] : ["trainSae", ""];
  const remedy = /usual norm/.test(why) ? "Leave such rows out (harvest drops rows over 10 × the median norm by default), or take" : "Take";
  return new TrainError(
    `${verb}: step ${step} of ${steps}${which}: expected a finite loss and an FVU near or below 1, ${why} (learning rate ${learningRate}, batch ${batch}). ` +
    `${remedy} a lower learning rate${learningRate > usual ? ` (the recipe's is ${short(usual)})` : ""}; if it stays, look for rows of extreme norm. ` +
    (sae ? `The SAE after ${sae.card.steps} steps, where it was sound, is in this error's \`sae\` (in a notebook: lastError.sae).` : "It never was sound for long enough to be kept.") +
    (runs.some(({ diverged }) => !diverged) ? " Those that did not diverge are whole, in its `saes` (lastError.saes)." : ""));
}

/** The newest weights whose next loss was sound: of a checkpoint, or in memory. */
function lastSound(run: Run, checkpoints: Checkpoints | undefined): Run["last"] {
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

/** The SAE of a run after so many steps; of one that diverged as it last was sound, if it was. */
function saeFrom({ task: { data, saes, options, run: recipe }, source, history, seconds }: Going, run: Run, steps: number): Sae | undefined {
  const { diverged, last } = run;
  if (diverged && !last) return undefined;
  const curve = run.curve.filter(({ step }) => step <= (last?.steps ?? steps));
  const { hooks, targets, kind, latents, k, widths, skip, d, dOut, tokens, batch, learningRate, deadAfter, auxK, l0Weight, seed, initSeed } = run.plan;
  const one = <T>(list: T[]): T | T[] => (list.length === 1 ? list[0] : list);
  const hook = hooks.length === 1 ? hooks[0] : undefined;
  const { fvu, dead, l0 } = curve.at(-1) ?? {};
  return saeOf(last?.weights ?? run.weights(), {
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
