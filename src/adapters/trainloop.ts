import { performance } from "node:perf_hooks";
import { isDeepStrictEqual } from "node:util";
import { DeviceLostError, DiskError, InterruptError, MemoryError, TrainError } from "../core/errors";
import { short } from "../core/html";
import { random } from "../core/random";
import { defaultLearningRate } from "../core/schedule";
import type { Sae } from "../core/types";
import { breathe, interrupted } from "./interrupt";
import { collectGarbage } from "./memory";
import type { RowSource, SourceState } from "./rows";
import { openEventFile } from "./tensorboard";
import type { SharedOptions, TrainFailure, TrainInterrupt } from "./train";
import { couldBeBetter, roadOf } from "./traindevice";
import { encodeAtMost, enduring, failed, goneBack, type Again } from "./trainfaults";
import { teller, type Teller } from "./traintelling";
import { keptState, startRun, type Run } from "./training";
import { openLog, type Log } from "./trainlog";
import { keep, lastSound, saeFrom, saesSoFar, takeAll, type Going, type History, type Task } from "./trainsofar";
import { initialState, SAMPLE, sampled, type Sampled } from "./trainstart";
import type { KeptState } from "./trainstate";
import { stepFor, type Computed } from "./trainstep";
import type { Scaled } from "./trainunits";

/** The loop: batches of one source through one or several SAEs, with checkpoints, until the end, an interrupt or a divergence. */

const MINUTES = 10; // between two checkpoints

export async function train(task: Task): Promise<Sae[]> {
  const runs: Run[] = [];
  const tell = teller(task.plans, runs, task.shared.steps * task.shared.batch, task.options);
  let again: Again | undefined;
  try {
    for (;;) {
      const ended = await attempt(task, runs, tell, again);
      if (Array.isArray(ended)) return ended;
      again = ended;
      runs.length = 0; // they were disposed
      collectGarbage();
    }
  } catch (error) {
    tell.end(undefined, "stopped by an error");
    throw error;
  }
}

/** From the last checkpoint, or the beginning, to the end. */
async function attempt(task: Task, runs: Run[], tell: Teller, again: Again | undefined): Promise<Sae[] | Again> {
  const begun = performance.now();
  const { data, hooks, shared: { seed, steps, batch }, checkpoints } = task;
  const { kept, damaged } = checkpoints?.open() ?? {};
  const history: History = (kept?.json.history as History | undefined) ?? { seconds: 0, resumed: [], warnings: [] };
  if (damaged) history.warnings.push(`${damaged}; the checkpoint before it was taken`);
  if (again) history.warnings = [...new Set([...history.warnings, ...again.warnings])];
  const spent = again?.seconds ?? history.seconds;
  const seconds = (): number => spent + (performance.now() - begun) / 1000;
  const from = kept?.step ?? 0;
  tell.from(from * batch);
  const prepare = async (what?: string): Promise<void> => {
    if (what !== undefined) tell.preparing(what);
    await breathe();
    if (!interrupted()) return;
    tell.end(from * batch, "interrupted");
    throw new InterruptError(`Interrupted before ${from ? `step ${from + 1}` : "the first step: nothing was trained yet"}. The same call begins again${from ? " from the checkpoint" : ""}.`);
  };
  let source: RowSource | undefined;
  let going: Going | undefined;
  let done = false;
  try {
    try {
      await prepare(data.rows === undefined ? undefined : "reading rows"); // a model tells of that by bars of its own
      source = await data.open(hooks, seed, steps * batch, kept && sourceState(kept));
      await startRuns({ task, source, kept, history, runs, tell, prepare, rows: again?.rows });
    } finally {
      kept?.close();
    }
    collectGarbage(bytesOf(task));
    going = { task, source, runs, history, seconds, tell, from, done: from };
    await loop(going);
    const saes = await finish(going);
    done = true;
    return saes;
  } catch (error) {
    if (!going || !(error instanceof MemoryError || error instanceof DeviceLostError) || "saes" in error) throw error;
    return goneBack(going, error) ?? await failed(going, error);
  } finally {
    for (const run of runs) run.dispose();
    await source?.close(done);
  }
}

/** Of the largest SAE's weights. */
const bytesOf = ({ plans }: Task): number => Math.max(...plans.map(({ latents, d, dOut }) => 4 * latents * (d + dOut)));

interface Starting extends Pick<Going, "task" | "source" | "history" | "runs" | "tell"> {
  kept?: KeptState;
  /** Tells what is done next, and lets an interrupt in. */
  prepare(what?: string): Promise<void>;
  /** Of each SAE, encoded at a time, where it goes on with fewer. */
  rows?: number[];
}

/** Fills `runs`: from a checkpoint, or from a sample of the rows. */
async function startRuns({ task, source, kept, history, runs, tell, prepare, rows }: Starting): Promise<void> {
  const { engine, device, saes, plans, shared, data } = task;
  const name = (i: number): string => `sae-${i}`;
  const warn = (text: string): void => {
    history.warnings.push(text);
    tell.remark(text);
  };
  if (!kept && !rows) couldBeBetter(device).forEach(warn);
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
    const road = await roadOf(device, engine, plan, saes[i], was?.computed);
    if (road.remark !== undefined && !was && !rows) warn(road.remark);
    const held = was && (was.computed.device ?? road.device) === road.device ? was.computed : undefined;
    const most = rows?.[i] ?? (held ? held.rowsAtOnce : task.rows) ?? plan.batch;
    await prepare(`${road.gpu ? `setting up ${road.gpu.name}` : "looking for the fastest step"}${which}`);
    const { tensorboard, onPoint } = saes[i];
    const events = tensorboard === undefined ? undefined : openEventFile(tensorboard, undefined, kept ? { resumedAt: kept.step + 1 } : {});
    const state = begin?.initial ?? keptState(kept!, name(i));
    const { step, computed } = await stepFor(engine, plan, state, saes[i].choice, asked ? undefined : held, { gpu: road.gpu, rows: most }).catch((error: unknown) => {
      events?.close();
      throw error;
    });
    const norm = begin && Math.hypot(...places(plan.hooks).flatMap(({ mean }) => [...mean]));
    runs.push(startRun({
      name: name(i), plan, reads: was?.reads ?? scaled(plan.hooks), rebuilds: was?.rebuilds ?? scaled(targets),
      start: was?.start ?? { meanNorm: norm, start: { rows: begin!.fromRows, random: plan.latents - begin!.fromRows } },
      free: new Set(plan.hooks.filter((hook) => !plans.slice(i + 1).some((later) => [...later.hooks, ...later.targets ?? []].includes(hook)))),
      step, computed, kept, onPoint, log: logs[i], events, warn,
    }));
    if (step.rows < plan.batch) {
      encodeAtMost(runs[i], step.rows);
      if (!(rows?.[i] ?? held?.rowsAtOnce)) warn(`memory does not do for a batch of ${plan.batch} rows at once${which}: ${step.rows} are encoded at a time`);
    }
    if (was && !isDeepStrictEqual(was.computed, runs[i].computed)) history.resumed.at(-1)!.from = was.computed;
  }
}

async function sampleOf(source: RowSource, count: number, seed: number, where: string): Promise<Map<string, Sampled>> {
  const rows = await source.sample(count, random(seed, 0));
  collectGarbage(Math.max(...rows.map(({ byteLength }) => byteLength))); // they were copied together
  return new Map(source.hooks.map((hook, h) => [hook, sampled(rows[h], source.widths[h], where)]));
}

async function loop(going: Going): Promise<void> {
  const { task: { shared: { steps, batch }, options, checkpoints }, source, runs, tell, from } = going;
  const due = clock(options, from);
  /** Whether nothing is begun that was not taken after so many steps. */
  const between = (done: number): boolean => done === from || runs.every((run) => run.diverged || run.due(done - 1));
  tell.begin();
  for (let i = from; i < steps; i++) {
    if (interrupted() && between(i)) await stop(going);
    const before = source.kind === "model" ? undefined : source.state(); // a model's is its own memory
    const rows = await batchOf(source, batch).catch((error: Error) => (error instanceof InterruptError ? stop(going) : giveUp(going, error)));
    for (const run of runs) {
      if (run.diverged) continue;
      run.add(rows, i);
      await enduring(going, run, () => run.push(), run === runs.find(({ diverged }) => !diverged) ? before : undefined);
      if (run.due(i)) {
        await enduring(going, run, async () => {
          run.push();
          await run.take();
        });
      }
      if (run.diverged) run.last = lastSound(run, checkpoints);
    }
    going.done = i + 1;
    if (runs.every(({ diverged }) => diverged)) return tell.end(i * batch, "diverged");
    if (checkpoints && i + 1 < steps && between(i + 1) && (due(i + 1) || going.soon)) await keep(going, checkpoints, i + 1);
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
async function giveUp(going: Going, error: Error): Promise<never> {
  const { task: { shared: { steps, batch }, checkpoints }, runs, tell, done } = going;
  tell.end(done * batch, "stopped: no more rows");
  const whole = await takeAll(runs).then(() => true, () => false); // the first error is the one to know
  const kept = whole && checkpoints !== undefined && await keep(going, checkpoints, done).catch(() => false);
  error.message += ` (The training was at step ${done + 1} of ${steps}${kept ? `; resume: true goes on from ${checkpoints!.folder}` : ""}.)`;
  throw Object.assign(error, whole ? await saesSoFar(going) : { saes: [] });
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

function sourceState(kept: KeptState): SourceState {
  const names = kept.json.arrays as string[];
  return { json: kept.json.source as Record<string, unknown>, arrays: Object.fromEntries(names.map((name) => [name, kept.array(`source.${name}`)])) };
}

async function stop(going: Going): Promise<never> {
  const { task: { saes, shared: { steps, batch }, checkpoints }, runs, tell, done } = going;
  tell.end(done * batch, "interrupted");
  await takeAll(runs);
  const kept = checkpoints !== undefined && await keep(going, checkpoints, done);
  for (const { step } of runs) step.settle(); // the moments are on disk, or of no use any more
  collectGarbage(bytesOf(going.task));
  const { saes: made } = await saesSoFar(going);
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
    const sae = await saeFrom(going, run, steps);
    done.push(sae);
    run.dispose();
    collectGarbage(bytesOf(task)); // before the weights are copied to be measured
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
