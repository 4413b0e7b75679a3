import { cutContexts, leadOf, wholeContexts } from "../core/batches";
import { HookError, OptionError } from "../core/errors";
import { divergence, logSumExp } from "../core/lens";
import { describeKind } from "../core/sae";
import { noSums, spliceMeasures, type SpliceMeasures, type SpliceSums } from "../core/spliceloss";
import { spliceTable } from "../core/evaluationtable";
import type { Document, HookRow, Model, Progress, Sae, Store, Write } from "../core/types";
import type { Range } from "../core/split";
import { breathe, stopIfInterrupted } from "./interrupt";
import { batchesOf, LOGITS } from "./lens";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { showing, type ShownNow } from "./show";
import { tableBundle } from "./table";

/** An SAE's reconstruction spliced into the running model: what it costs in cross-entropy and divergence (core/spliceloss). */

export interface SpliceOptions {
  hook?: string; // the SAE's own: where it reads
  target?: string; // of a transcoder: what it predicts and replaces, such as "layers.3.mlp"
  tokens?: number; // 8192: at most so many that are read, from the first text on
  context?: number; // 512 tokens a context, or the model's longest; documents are cut into contexts as by harvest
  /** true: special tokens keep the model's own activations, and nothing is measured at them, as SAELens does; or their ids, as SAELens asks the tokenizer for BOS, EOS and padding only. */
  excludeSpecialTokens?: boolean | number[];
  dropFirst?: boolean; // false, as SAELens; true treats a context's first token so too: for SAEs that were trained without sinks
  batchTokens?: number; // 2048 tokens a pass, padding included
  progress?: Progress;
}

/** A context, and which of its tokens are replaced and counted. */
export interface SpliceText {
  ids: Int32Array;
  counts: Uint8Array; // [tokens]
}

/** An SAE and its places, by their names in the model. */
export interface Spliced {
  sae: Sae;
  hook: string;
  target: string;
}

const KEPT = "Nothing of it is kept.";

/**
 * Runs the model over texts as it is, with the reconstruction in place of the activations, with the place set to zero, and with the mean row in its
 * place, and compares what it foretells. An SAE replaces the rows that it reads; a transcoder those of `target` (SAELens puts its output in the place of
 * its input), a skip connection's part included (SAELens leaves it out).
 * @param documents texts, documents or token ids
 * @returns also shows itself as a table
 * @throws OptionError when widths do not fit or no token counts; HookError for a place that cannot be written; InterruptError
 * @see core/spliceloss for the definitions, SAELens'
 */
export async function evaluateSplice(
  sae: Sae, model: Model, documents: string | Document | ArrayLike<number> | (string | Document | ArrayLike<number>)[], options: SpliceOptions = {},
): Promise<SpliceMeasures & ShownNow> {
  const spliced = placesOf(sae, model, options, "evaluateSplice");
  const [measures] = await spliceLosses(model, [spliced], documentTexts(model, documents, options), options);
  return showing(measures, () => tableBundle(spliceTable(measures)));
}

/** @throws OptionError, HookError when the SAE cannot stand in for a place of this model */
export function placesOf(sae: Sae, model: Model, { hook = sae.hook, target }: Pick<SpliceOptions, "hook" | "target">, verb: string): Spliced {
  const { d, dOut = d, transcoder, subset } = sae.weights;
  if (hook === undefined) throw new OptionError(`${verb}: hook: expected a place of ${model.source}, found none, and the SAE does not tell. Say where it reads: { hook: "layers.3" }.`);
  if (Boolean(transcoder) !== (target !== undefined)) {
    throw new OptionError(
      `${verb}: target: expected ${transcoder ? "the hook that a transcoder predicts" : "none, for an SAE replaces the rows that it reads"}, found ${target ?? "none"} for ${describeKind(sae.weights)}. ` +
      `${transcoder ? 'Say which: { hook: "layers.3.mlp.in", target: "layers.3.mlp" }' : "Leave it out"}.`);
  }
  if (subset) throw new OptionError(`${verb}: expected a whole SAE, found ${sae.weights.latents} of its latents. Load it without { latents }.`);
  const rows = model.hooks();
  const place = (name: string, width: number): HookRow => {
    const found = model.hook(name).name;
    const row = rows.find((one) => one.name === found);
    if (!row || row.missing) throw new HookError(`${verb}: "${name}": expected a place that ${model.source} offers, found ${row?.missing ?? "none of that name"}. model.hooks() lists them.`);
    if (row.width === width) return row;
    const fitting = rows.filter((one) => one.width === width && !one.missing).map((one) => one.name);
    throw new OptionError(
      `${verb}: ${row.name}: expected rows of width ${width}, as the SAE has, found ${row.width} in ${model.source}. ` +
      (fitting.length ? `Places of that width: ${fitting.slice(0, 6).join(", ")}${fitting.length > 6 ? ` and ${fitting.length - 6} more` : ""}.` : "The SAE belongs to another model."));
  };
  const read = place(hook, d), written = place(target ?? hook, dOut);
  if (written.readOnly) throw new HookError(`${verb}: "${written.name}": expected a place that can be written, found one that can only be read: ${written.readOnly}. Choose another.`);
  if (["final_norm", "logits"].includes(written.kind)) throw new HookError(`${verb}: "${written.name}": expected a place up to the last block, found one behind it. Measure there with loss(model, texts, { writes }).`);
  return { sae, hook: read.name, target: written.name };
}

function checkCounts({ tokens = 8192, context, batchTokens = 2048, excludeSpecialTokens: special = true }: SpliceOptions): void {
  for (const [name, value] of Object.entries({ tokens, context, batchTokens })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 2)) throw new OptionError(`evaluate: ${name}: expected a whole number of tokens from 2, found ${value}. Leave it out for the default.`);
  }
  if (typeof special !== "boolean" && !(Array.isArray(special) && special.every(Number.isSafeInteger))) throw new OptionError("evaluate: excludeSpecialTokens: expected true, false or a list of token ids, found something else.");
}

const isLeftOut = (model: Model, special: boolean | number[]): ((id: number) => boolean) =>
  special === false ? () => false : special === true ? (id) => model.tokenizer.isSpecial(id) : (id) => special.includes(id);

/** Texts as contexts. @throws OptionError where none has a token that counts */
export function documentTexts(model: Model, documents: Parameters<typeof evaluateSplice>[2], options: SpliceOptions): SpliceText[] {
  checkCounts(options);
  const { tokens = 8192, context, excludeSpecialTokens = true, dropFirst = false } = options;
  const list = Array.isArray(documents) && typeof documents[0] !== "number" ? (documents as (string | Document | ArrayLike<number>)[]) : [documents as string];
  const leftOut = isLeftOut(model, excludeSpecialTokens);
  const longest = Math.min(model.context ?? Infinity, context ?? 512);
  const texts: SpliceText[] = [];
  let left = tokens;
  for (const text of list) {
    if (left < 2) break;
    const read = typeof text === "string" || "text" in text ? model.tokenizer.encode(typeof text === "string" ? text : text.text) : undefined;
    const ids = read?.ids ?? Int32Array.from(text as ArrayLike<number>);
    const lead = read ? leadOf(model.tokenizer, read) : 0;
    for (const one of cutContexts([ids.length], longest, Math.min(lead, longest - 1))) {
      const part = Int32Array.of(...ids.subarray(0, one.lead), ...ids.subarray(one.from, one.from + one.length)).subarray(0, left);
      if (part.length < 2) continue;
      left -= part.length;
      texts.push({ ids: part, counts: Uint8Array.from(part, (id, at) => (leftOut(id) || at < one.lead || (dropFirst && at === 0) ? 0 : 1)) });
    }
  }
  return counted(texts, "documents: expected a text of at least two tokens that are not special, found none. Give other texts.");
}

/**
 * The documents of a store's rows, cut as the harvest did. Tokens without a row (sinks, prompts left out) keep the model's activations and do not count; so do special
 * ones, unless they are to be counted.
 */
export function storeTexts(model: Model, store: Store, ranges: Range[], options: SpliceOptions): SpliceText[] {
  checkCounts(options);
  const { tokens = 8192, excludeSpecialTokens = true, dropFirst = false } = options;
  const settings = store.manifest.settings as { context?: number; cut?: string };
  const longest = Math.min(model.context ?? Infinity, options.context ?? settings.context ?? 512);
  const leftOut = isLeftOut(model, excludeSpecialTokens);
  const first = store.documentRows();
  const texts: SpliceText[] = [];
  let left = tokens, lead: number | undefined;
  for (let document = 0; document + 1 < first.length && left >= 2; document++) {
    const parts = ranges.map(({ from, to }) => ({ from: Math.max(from, first[document]), to: Math.min(to, first[document + 1]) })).filter(({ from, to }) => from < to);
    if (!parts.length) continue;
    const read = store.tokens(document);
    const has = new Uint8Array(read.ids.length);
    for (const { from, to } of parts) for (const position of store.origin(from, to).position) has[position] = 1;
    lead ??= leadOf(model.tokenizer, read);
    const contexts = settings.cut === "whole" && options.context === undefined ? wholeContexts([read.ids.length], longest, "cut").contexts : cutContexts([read.ids.length], longest, lead);
    for (const one of contexts) {
      const order = [...Array.from({ length: one.lead }, (_, i) => i), ...Array.from({ length: one.length }, (_, i) => one.from + i)].slice(0, left);
      if (order.length < 2) continue;
      const counts = Uint8Array.from(order, (position, at) => (at >= one.lead && has[position] && !leftOut(read.ids[position]) && !(dropFirst && at === 0) ? 1 : 0));
      if (!counts.includes(1)) continue;
      left -= order.length;
      texts.push({ ids: Int32Array.from(order, (position) => read.ids[position]), counts });
    }
  }
  return counted(texts, `${store.path}: expected a document with two tokens that are not special, found none. Choose another split, or give { documents }.`);
}

function counted(texts: SpliceText[], otherwise: string): SpliceText[] {
  if (texts.some(({ counts }) => counts.subarray(0, -1).includes(1))) return texts;
  throw new OptionError(`evaluate: ${otherwise}`);
}

/**
 * One pass as the model is and one for each ablation of each place serve all SAEs; each SAE adds one.
 * Logits of some rows at a time are held, never of all.
 * @param spliced SAEs of one model, at any places
 */
export async function spliceLosses(model: Model, spliced: Spliced[], texts: SpliceText[], { batchTokens = 2048, progress = defaultProgress() }: Pick<SpliceOptions, "batchTokens" | "progress">): Promise<SpliceMeasures[]> {
  const width = new Map(model.hooks().map((row) => [row.name, row.width]));
  const targets = [...new Set(spliced.map(({ target }) => target))];
  const places = [...new Set([...targets, ...spliced.map(({ hook }) => hook)])];
  const batches = batchesOf(texts, batchTokens);
  const size = (batch: SpliceText[]): number => batch.reduce((sum, { ids }) => sum + ids.length, 0);
  const passes = 2 + 2 * targets.length + spliced.length;
  const told = meter("splice", passes * size(texts), "tokens", progress);
  let done = 0;
  const pass = async (batch: SpliceText[], hooks: string[], writes: Write[]): Promise<Record<string, Float32Array>> => {
    stopIfInterrupted(KEPT);
    const found = await model.run(batch.map(({ ids }) => ids), { hooks, writes });
    told((done += size(batch)));
    await breathe();
    return found;
  };

  const means = new Map(targets.map((target) => [target, new Float64Array(width.get(target)!)]));
  let kept = 0;
  for (const batch of batches) {
    const rows = await pass(batch, targets, []);
    const at = countedRows(batch);
    kept += at.length;
    for (const [target, mean] of means) for (const row of at) for (let j = 0; j < mean.length; j++) mean[j] += rows[target][row * mean.length + j];
  }
  for (const mean of means.values()) for (let j = 0; j < mean.length; j++) mean[j] /= kept;

  const last = `layers.${model.layers - 1}`;
  const sums = spliced.map(noSums);
  for (const batch of batches) {
    const at = countedRows(batch);
    const clean = await pass(batch, [...new Set([...places, last])], []);
    const written = async (target: string, write: Write): Promise<Float32Array> => (await pass(batch, [last], [{ ...write, hook: target } as Write]))[last];
    /** The target's rows with others at the positions that count. */
    const replaced = (target: string, row: (i: number) => ArrayLike<number>): Write => {
      const d = width.get(target)!;
      const rows = clean[target].slice();
      at.forEach((to, i) => rows.set(row(i), to * d));
      return { hook: target, set: rows };
    };
    const ablated = new Map<string, { zero: Float32Array; mean: Float32Array }>();
    for (const target of targets) {
      ablated.set(target, { zero: await written(target, { hook: target, ablate: "zero" }), mean: await written(target, replaced(target, () => means.get(target)!)) });
    }
    const changed: Float32Array[] = [];
    for (const { sae, hook, target } of spliced) {
      const d = width.get(hook)!, dOut = width.get(target)!;
      const x = new Float32Array(at.length * d);
      at.forEach((from, i) => x.set(clean[hook].subarray(from * d, (from + 1) * d), i * d));
      const y = sae.reconstruct(x);
      changed.push(await written(target, replaced(target, (i) => y.subarray(i * dOut, (i + 1) * dOut))));
    }
    await compare(model, batch, clean[last], spliced.map(({ target }, i) => ({ sums: sums[i], streams: { sae: changed[i], ...ablated.get(target)! } })));
  }
  return spliced.map(({ target }, i) => spliceMeasures(target, sums[i]));
}

/** Rows of a batch whose tokens count. */
function countedRows(batch: SpliceText[]): number[] {
  const rows: number[] = [];
  let row = 0;
  for (const { counts } of batch) for (const one of counts) {
    if (one) rows.push(row);
    row++;
  }
  return rows;
}

type Way = "sae" | "zero" | "mean";

/** Adds up losses and divergences of a batch, from the last block's streams. */
async function compare(model: Model, batch: SpliceText[], clean: Float32Array, all: { sums: SpliceSums; streams: Record<Way, Float32Array> }[]): Promise<void> {
  const V = model.vocabularySize, d = model.width;
  const tokens = batch.flatMap(({ ids, counts }) => Array.from(ids, (_, t) => ({ counts: counts[t], next: t + 1 < ids.length ? ids[t + 1] : -1 })));
  const chunk = Math.max(1, Math.floor(LOGITS / V));
  for (let from = 0; from < tokens.length; from += chunk) {
    const to = Math.min(tokens.length, from + chunk);
    const part = (stream: Float32Array): Promise<Float32Array> => model.unembed(stream.subarray(from * d, to * d));
    const own = await part(clean);
    const row = (logits: Float32Array, i: number): Float32Array => logits.subarray((i - from) * V, (i - from + 1) * V);
    const norms = Float64Array.from({ length: to - from }, (_, i) => logSumExp(row(own, from + i)));
    // a stream that several SAEs share (an ablation) is read once
    const seen = new Map<Float32Array, { loss: number; kl: number }>();
    for (const { sums, streams } of all) {
      for (const way of ["zero", "mean", "sae"] as const) {
        let found = seen.get(streams[way]);
        if (!found) {
          stopIfInterrupted(KEPT);
          const logits = await part(streams[way]);
          found = { loss: 0, kl: 0 };
          for (let i = from; i < to; i++) {
            if (!tokens[i].counts) continue;
            const q = row(logits, i), norm = logSumExp(q);
            found.kl += divergence(row(own, i), q, norms[i - from], norm);
            if (tokens[i].next >= 0) found.loss += norm - q[tokens[i].next];
          }
          seen.set(streams[way], found);
          await breathe();
        }
        sums.loss[way] += found.loss;
        sums.kl[way] += found.kl;
      }
      for (let i = from; i < to; i++) {
        if (!tokens[i].counts) continue;
        sums.tokens++;
        if (tokens[i].next < 0) continue;
        sums.predicted++;
        sums.loss.original += norms[i - from] - row(own, i)[tokens[i].next];
      }
    }
  }
}
