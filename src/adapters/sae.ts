import { OptionError } from "../core/errors";
import { evaluationTable } from "../core/evaluationtable";
import { measuring, type Measures } from "../core/measure";
import { addSkip, describeKind } from "../core/sae";
import type { Progress, Sae, Store } from "../core/types";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { chunks, requireFinite, rowCount } from "./rows";
import { showing, type Shown } from "./show";
import { rowsOf } from "./store";
import { tableBundle } from "./table";

export { loadSae, type LoadOptions } from "./loadsae";
export { checkTarget, saeOf } from "./saevalue";

/** What an SAE is worth: its measures on the rows of a store. */

export interface EvaluateOptions {
  split?: "heldout" | "train" | "all"; // "heldout": rows of documents that training did not see
  /** Hook whose rows are read; by default the SAE's own where the store has it, else the store's only one. */
  hook?: string;
  /** At most so many rows, from the beginning of the split; all by default. */
  rows?: number;
  target?: string; // of a transcoder: the hook that it predicts, in the same store
  progress?: Progress;
}

export type Evaluation = Measures & { hook: string };

const EVALUATE_BYTES = 64 * 2 ** 20; // rows read at a time

/**
 * Holds an SAE against the rows of a store.
 * @returns FVU, explained variance, L0, dead and dense shares; see Measures
 * @throws OptionError when the SAE does not fit the hook's rows or the split has none; StoreError when a row is not finite;
 *   InterruptError
 */
export async function evaluate(sae: Sae, store: Store, options: EvaluateOptions = {}): Promise<Evaluation & Shown> {
  const { split = "heldout", progress = defaultProgress() } = options;
  const { d, dOut = d, latents, transcoder } = sae.weights;
  const own = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
  const hook = store.hook(options.hook ?? own);
  if (store.width(hook) !== d) {
    throw new OptionError(
      `evaluate: expected rows of width ${d} (the SAE's d_in), ` +
      `found ${store.width(hook)} at ${hook} of ${store.path}. ` +
      "Name the hook it was trained on: evaluate(sae, store, { hook }).");
  }
  if (Boolean(transcoder) !== (options.target !== undefined)) {
    throw new OptionError(
      `evaluate: target: expected ${transcoder ? "the hook that a transcoder predicts" : "none, for an SAE rebuilds the rows that it reads"}, found ${options.target ?? "none"} for ${describeKind(sae.weights)}. ` +
      `${transcoder ? 'Say which: evaluate(sae, store, { hook: "layers.3.mlp.in", target: "layers.3.mlp" })' : "Leave it out"}.`);
  }
  const target = options.target === undefined ? hook : store.hook(options.target);
  if (store.width(target) !== dOut) {
    throw new OptionError(`evaluate: expected a target of width ${dOut}, found ${store.width(target)} at ${target} of ${store.path}. Name the hook that the transcoder predicts.`);
  }
  if (options.rows !== undefined && !(Number.isInteger(options.rows) && options.rows >= 2)) {
    throw new OptionError(`evaluate: rows: expected a whole number of at least 2, found ${options.rows}. Leave it out for all rows.`);
  }
  const ranges = rowsOf(store, split);
  const available = rowCount(ranges);
  if (available < 2) {
    throw new OptionError(
      `evaluate: expected at least 2 rows of the split "${split}", found ${available} in ${store.path}. ` +
      `Choose another: { split: "all" }.`);
  }
  const wanted = Math.min(options.rows ?? available, available);
  const tally = measuring(dOut, latents);
  const told = meter("evaluate", wanted, "rows", progress);
  let done = 0;
  const size = Math.max(1, Math.floor(EVALUATE_BYTES / (4 * Math.max(d, dOut))));
  const goals = target === hook ? undefined : chunks(store, target, ranges, size, wanted);
  for (const x of chunks(store, hook, ranges, size, wanted)) {
    stopIfInterrupted("Nothing was written.");
    requireFinite(x, store, hook);
    const sparse = sae.encode(x);
    const y: Float32Array = goals ? goals.next().value! : x;
    if (goals) requireFinite(y, store, target);
    tally.rows(y, addSkip(sae.weights, x, sae.decode(sparse)));
    tally.latents(sparse.index, sparse.value);
    told((done += x.length / d));
    await breathe();
  }
  const result: Evaluation = { ...tally.result(), hook };
  return showing(result, () => tableBundle(evaluationTable(result, split, latents)));
}
