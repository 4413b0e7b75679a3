import { evaluationTable, type EvaluationView, type Split } from "../core/evaluationtable";
import { OptionError } from "../core/errors";
import { densityHistogram, measuring, type DensityHistogram } from "../core/measure";
import { targetOf } from "../core/modelcard";
import { addSkip, describeKind } from "../core/sae";
import type { Range } from "../core/split";
import type { Document, Model, Progress, Sae, Store } from "../core/types";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { chunks, requireFinite, rowCount } from "./rows";
import { showing, type Shown } from "./show";
import { documentTexts, placesOf, spliceLosses, storeTexts, type Spliced, type SpliceOptions, type SpliceText } from "./spliceloss";
import { rowsOf } from "./store";
import { tableBundle } from "./table";

/** What an SAE is worth: its measures on the rows of a store, and, with the model, what its reconstruction costs there. */

export interface EvaluateOptions extends Omit<SpliceOptions, "hook" | "target"> {
  split?: Split; // "heldout": rows of documents that training did not see
  /** Hook whose rows are read; by default the SAE's own where the store has it, else the store's only one. */
  hook?: string;
  /** At most so many rows, from the beginning of the split; all by default. */
  rows?: number;
  target?: string; // of a transcoder: the hook that it predicts, in the same store; by default what its card says
  /** The model of the store: then the reconstruction is spliced into it too, over the split's documents. */
  model?: Model;
  /** Texts for the splice; by default the store's documents, where tokens without a row (sinks) keep the model's activations and do not count. */
  documents?: string | Document | ArrayLike<number> | (string | Document | ArrayLike<number>)[];
  progress?: Progress;
}

export interface Evaluation extends EvaluationView {
  split: Split;
  latents: number;
  /** How latents are chosen, such as "topk", "jumprelu transcoder". */
  kind: string;
  /** Share of the rows on which each latent fires, [latents]: SAELens' `feature_density`. */
  density: Float32Array;
  /** Of these shares; `densityHistogram(evaluation)` draws it. */
  histogram: DensityHistogram;
}

const EVALUATE_BYTES = 64 * 2 ** 20; // rows read at a time

/**
 * Holds an SAE against the rows of a store; with `model`, also splices its reconstruction into the model.
 * @returns FVU, explained variance, cosine, norms, bias, L0, L1, dead and dense shares (Measures), density of the latents; `splice`: cross-entropy, KL and what is
 *   recovered of an ablation (SpliceMeasures). Shows itself as a table
 * @throws OptionError when the SAE does not fit the hook's rows, the split has none, or the model is not the store's; HookError; StoreError when a row is not finite;
 *   InterruptError
 * @see core/measure and core/spliceloss for the definitions: SAELens'
 */
export async function evaluate(sae: Sae, store: Store, options: EvaluateOptions = {}): Promise<Evaluation & Shown> {
  const plan = planRows(sae, store, options);
  const splicing = await planSplice([plan], store, options);
  const measured = await measureRows(plan, store, options);
  const [splice] = splicing ? await spliceLosses(splicing.model, splicing.spliced, splicing.texts, options) : [];
  return shownEvaluation(splice ? { ...measured, splice } : measured);
}

/** An evaluation that shows itself. */
const shownEvaluation = (e: Evaluation): Evaluation & Shown => showing(e, () => tableBundle(evaluationTable(e, e.split, e.latents)));

/** What is read of a store for an SAE: checked, nothing of it done. */
export interface RowPlan {
  sae: Sae;
  hook: string;
  target: string;
  split: Split;
  ranges: Range[];
  wanted: number;
}

/** The hook of a store whose rows an SAE reads: the one asked for, its own, or the only one. @throws OptionError when it has another width */
export function hookIn(store: Store, sae: Sae, asked: string | undefined, verb: string): string {
  const own = store.manifest.hooks.some(({ name }) => name === sae.hook) ? sae.hook : undefined;
  const hook = store.hook(asked ?? own);
  const { d } = sae.weights;
  if (store.width(hook) === d) return hook;
  throw new OptionError(
    `${verb}: expected rows of width ${d} (the SAE's d_in), found ${store.width(hook)} at ${hook} of ${store.path}. ` +
    `Name the hook it was trained on: ${verb}(sae, store, { hook }).`);
}

/** @throws OptionError */
export function planRows(sae: Sae, store: Store, options: EvaluateOptions): RowPlan {
  const { split = "heldout" } = options;
  const { d, dOut = d, transcoder } = sae.weights;
  const hook = hookIn(store, sae, options.hook, "evaluate");
  const own = targetOf(sae.card);
  const asked = options.target ?? (transcoder && store.manifest.hooks.some(({ name }) => name === own) ? own : undefined);
  if (Boolean(transcoder) !== (asked !== undefined)) {
    throw new OptionError(
      `evaluate: target: expected ${transcoder ? "the hook that a transcoder predicts" : "none, for an SAE rebuilds the rows that it reads"}, found ${asked ?? "none"} for ${describeKind(sae.weights)}. ` +
      `${transcoder ? 'Say which: evaluate(sae, store, { hook: "layers.3.mlp.in", target: "layers.3.mlp" })' : "Leave it out"}.`);
  }
  const target = asked === undefined ? hook : store.hook(asked);
  if (store.width(target) !== dOut) {
    throw new OptionError(`evaluate: expected a target of width ${dOut}, found ${store.width(target)} at ${target} of ${store.path}. Name the hook that the transcoder predicts.`);
  }
  if (options.rows !== undefined && !(Number.isInteger(options.rows) && options.rows >= 2)) {
    throw new OptionError(`evaluate: rows: expected a whole number of at least 2, found ${options.rows}. Leave it out for all rows.`);
  }
  if (!["heldout", "train", "all"].includes(split)) throw new OptionError(`evaluate: split: expected "heldout", "train" or "all", found ${JSON.stringify(split)}.`);
  const ranges = rowsOf(store, split);
  const available = rowCount(ranges);
  if (available < 2) {
    throw new OptionError(
      `evaluate: expected at least 2 rows of the split "${split}", found ${available} in ${store.path}. ` +
      `Choose another: { split: "all" }.`);
  }
  return { sae, hook, target, split, ranges, wanted: Math.min(options.rows ?? available, available) };
}

/** What is spliced into which texts, where a model is given. @throws OptionError, HookError */
export async function planSplice(
  plans: RowPlan[], store: Store, options: EvaluateOptions,
): Promise<{ model: Model; spliced: Spliced[]; texts: SpliceText[] } | undefined> {
  const { model, documents } = options;
  if (!model) {
    if (documents !== undefined) throw new OptionError("evaluate: documents: expected a model beside them, into which the reconstruction is spliced, found none: evaluate(sae, store, { model, documents }).");
    return undefined;
  }
  const spliced = plans.map(({ sae, hook, target }) => placesOf(sae, model, { hook, target: sae.weights.transcoder ? target : undefined }, "evaluate"));
  if (documents !== undefined) return { model, spliced, texts: documentTexts(model, documents, options) };
  const { source, sha256 } = store.manifest.model;
  if ((await model.hash()) !== sha256) {
    throw new OptionError(`evaluate: model: expected the store's model, ${source}, found ${model.source}, whose files are others. Open that one, or give the texts to be read: evaluate(sae, store, { model, documents }).`);
  }
  return { model, spliced, texts: storeTexts(model, store, plans[0].ranges, options) };
}

/** The measures on the rows. @throws StoreError, InterruptError */
export async function measureRows({ sae, hook, target, split, ranges, wanted }: RowPlan, store: Store, { progress = defaultProgress() }: EvaluateOptions, stage = "evaluate"): Promise<Evaluation> {
  const { d, dOut = d, latents, kind = "topk", transcoder } = sae.weights;
  const tally = measuring(dOut, latents);
  const told = meter(stage, wanted, "rows", progress);
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
  const density = tally.density();
  return { ...tally.result(), hook, ...(target === hook ? {} : { target }), split, latents, kind: `${kind}${transcoder ? " transcoder" : ""}`, density, histogram: densityHistogram(density) };
}
