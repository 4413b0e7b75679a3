import { DeviceLostError, MemoryError } from "../core/errors";
import { collectGarbage } from "./memory";
import type { SourceState } from "./rows";
import { lessMemory } from "./trainplan";
import { keep, saesSoFar, takeAll, type Going } from "./trainsofar";
import type { Run } from "./training";
import { fewerRows } from "./trainstep";

/** What a training does when memory does not suffice or its device goes away. Neither ends up on another device by itself. */

/**
 * Does what may run out of memory; where that leaves the state whole, again with half the rows encoded at a time, until it is done. First
 * of all what there is goes into a checkpoint, as the next try may end the process.
 * @param work goes on where it was, when called again
 * @param before state of the source without the batch that is under way, where all runs are as they were then
 * @throws MemoryError that it can do nothing about
 */
export async function enduring(going: Going, run: Run, work: () => void | Promise<void>, before?: SourceState): Promise<void> {
  for (let first = true;; first = false) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MemoryError && error.intact)) throw error;
      const rows = run.step.kind === "plain" ? undefined : fewerRows(run.step.rows, run.plan.batch);
      if (first) await keepFirst(going, before);
      if (rows === undefined) throw error;
      encodeAtMost(run, rows);
      going.history.warnings.push(words(going, run, rows));
      going.tell.remark(going.history.warnings.at(-1)!);
      collectGarbage();
    }
  }
}

/** Puts a run's step on fewer rows at a time; said in the card and kept when it goes on, as they round a product differently. */
export function encodeAtMost(run: Run, rows: number): void {
  run.step.rows = rows;
  run.computed = { ...run.computed, rowsAtOnce: rows };
}

const words = ({ done, runs, task: { shared: { steps } } }: Going, run: Run, rows: number): string =>
  `memory ran out at step ${done + 1} of ${steps}: from there on ${rows} rows are encoded at a time${runs.length > 1 ? ` (SAE ${runs.indexOf(run) + 1})` : ""}`;

async function keepFirst(going: Going, before: SourceState | undefined): Promise<void> {
  const { task: { checkpoints }, runs, done } = going;
  if (!checkpoints) return;
  going.soon = true; // where it cannot be now
  if (!before || done === 0) return;
  try {
    await takeAll(runs);
  } catch (error) {
    if (error instanceof MemoryError) return; // tried again with fewer rows
    throw error;
  }
  if (runs.every((run) => run.diverged || run.done() === done)) await keep(going, checkpoints, done, before);
}

/** How a training begins again at its last checkpoint. */
export interface Again {
  /** Of each SAE, encoded at a time. */
  rows: number[];
  warnings: string[];
  /** That it took so far. */
  seconds: number;
}

/**
 * After a MemoryError that broke a state: from where the training may go on with half the rows at a time. That is the last checkpoint, or
 * the beginning where nothing was trained yet.
 * @returns nothing where there is no such place, or it would not help
 */
export function goneBack(going: Going, error: MemoryError | DeviceLostError): Again | undefined {
  const { task: { checkpoints, shared: { steps } }, runs, history, done, seconds, tell } = going;
  const place = checkpoints?.generations()[0]?.step ?? (runs.every((run) => run.done() === 0) ? 0 : undefined);
  if (!(error instanceof MemoryError) || error.intact || place === undefined) return undefined;
  const rows = runs.map(({ step, plan: { batch } }) => (step.kind === "plain" ? undefined : fewerRows(step.rows, batch)));
  if (rows.every((one) => one === undefined)) return undefined;
  const now = runs.map(({ step, plan: { batch } }, i) => rows[i] ?? Math.min(step.rows, batch));
  const remark = `memory ran out at step ${done + 1} of ${steps} in the middle of an update: it was gone on from ${place ? `the checkpoint after ${place} steps` : "the beginning"}, ${[...new Set(now)].join(" and ")} rows encoded at a time`;
  tell.remark(remark);
  return { rows: now, warnings: [...history.warnings, remark], seconds: seconds() };
}

/** The error that ends a training without memory or device: it says from where it can be gone on, and has the SAEs as they last were sound. */
export async function failed(going: Going, error: MemoryError | DeviceLostError): Promise<never> {
  const { task: { checkpoints, shared: { steps, batch } }, runs, tell, done } = going;
  const lost = error instanceof DeviceLostError;
  tell.end(done * batch, lost ? "stopped: the device was lost" : "stopped: out of memory");
  for (const run of runs) {
    if (run.diverged || !(lost || !(error as MemoryError).intact)) continue;
    run.lost = true;
    run.last = run.good();
  }
  const kept = checkpoints?.generations()[0];
  const again = kept
    ? `resume: true goes on from ${checkpoints!.folder}, after ${kept.step} steps${lost ? ': on the same device once it is back, with { device: "cpu" } on the processor' : ""}.`
    : "No checkpoint was written: it can only begin anew.";
  const remedy = lost ? "" : ` ${remedyFor(going)}`;
  error.message += ` (The training was at step ${done + 1} of ${steps}. ${again}${remedy})`;
  throw Object.assign(error, await saesSoFar(going).catch(() => ({ sae: undefined, saes: [] })));
}

function remedyFor({ runs, task: { data, plans, hooks } }: Going): string {
  const rows = Math.min(...runs.map(({ step, plan: { batch } }) => Math.min(step.rows, batch)));
  const held = data.held(hooks.reduce((sum, hook) => sum + data.place(hook).width, 0));
  return `With ${rows} rows encoded at a time it did not fit. ${lessMemory(plans, runs[0].computed.device, held)}`;
}
