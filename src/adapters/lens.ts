import { HookError, ModelError, OptionError } from "../core/errors";
import { short } from "../core/html";
import { divergence, dot, headShares, largest, lensCell, logSumExp, lossMeans, towardToken, type LensCell, type LossMeans } from "../core/lens";
import { attributionHtml, attributionText, lensHtml, lensText } from "../core/lensview";
import { bytesToText, visible } from "../core/token";
import type { Document, Model, Positions, Progress, Write } from "../core/types";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { colored, showing, type ShownNow } from "./show";
import { tableBundle } from "./table";

/** What a stream foretells, what a logit is made of, how well a text is foretold. */

/** Logits held at once: 64 MB in float32. */
export const LOGITS = 2 ** 24;

/** Numbers of rows that one pass gives back, at most. */
const ROWS = 2 ** 27;

type Text = string | ArrayLike<number>;

const idsOf = (model: Model, text: Text): Int32Array => {
  const ids = typeof text === "string" ? model.tokenizer.encode(text).ids : Int32Array.from(text);
  if (!ids.length) throw new OptionError("text: expected at least one token, found none.");
  return ids;
};

/** A token as it can be seen. */
const wordOf = ({ tokenizer }: Model, token: number): string => visible(bytesToText(tokenizer.bytes(token)));

/** An id, or a text that is one token. @throws OptionError when it is none, or several */
function tokenOf(model: Model, option: string, token: number | string): number {
  if (typeof token === "number") {
    if (Number.isInteger(token) && token >= 0 && token < model.vocabularySize) return token;
    throw new OptionError(`${option}: expected a token id from 0 to ${model.vocabularySize - 1}, found ${token}.`);
  }
  const { ids, start, end } = model.tokenizer.encode(token);
  const found = Array.from(ids).filter((_, i) => end[i] > start[i]); // without what the tokenizer puts before a text
  if (found.length === 1) return found[0];
  throw new OptionError(
    `${option}: expected a text of one token, found ${found.length} in ${JSON.stringify(token)}${found.length ? `: ${found.map((id) => `${id} ${JSON.stringify(wordOf(model, id))}`).join(", ")}` : ""}. ` +
    "Give one of them; most words begin with a space.");
}

const lastStream = (model: Model): string => `layers.${model.layers - 1}`;

export interface LensOptions {
  hooks?: string[]; // embed_tokens, layers.0, … to the last: streams to be read
  top?: number; // 5 most likely tokens of each
  targets?: (number | string)[]; // none: tokens to be followed, ids or texts of one token each
  writes?: Write[]; // none
}

export interface Lens {
  ids: Int32Array;
  /** One for each hook, with a cell for each token. */
  rows: { hook: string; cells: LensCell[] }[];
  /** Ids of the targets, as the cells give them. */
  targets: number[];
}

const STREAMS = ["embed", "resid_pre", "resid_mid", "resid_post"];

/**
 * The logit lens: softmax(head(norm(x))) of the stream x after each block, as if the blocks that follow were not there.
 * Where the model has a cap on its logits, the lens has it too. The last block's row is the model's own distribution.
 * Logits of some rows at a time are held, never of all.
 * @param text a text, or its token ids
 * @returns also shows itself: hooks × positions, the likeliest token of each shaded by its probability
 * @throws HookError for a place that is not the stream, or a write behind the last block, which no stream sees; OptionError
 * @see nostalgebraist, "interpreting GPT: the logit lens" (2020)
 */
export async function logitLens(model: Model, text: Text, options: LensOptions = {}): Promise<Lens & ShownNow> {
  const { hooks = ["embed_tokens", ...Array.from({ length: model.layers }, (_, i) => `layers.${i}`)], top = 5, writes = [] } = options;
  if (!Number.isSafeInteger(top) || top < 1 || top > model.vocabularySize) throw new OptionError(`top: expected a whole number from 1, found ${top}.`);
  if (!hooks.length) throw new OptionError("hooks: expected at least one place, found none.");
  for (const hook of hooks) if (!STREAMS.includes(model.hook(hook).kind)) throw new HookError(`"${hook}": expected a place of the stream (embed_tokens, layers.n, layers.n.mid, layers.n.pre), which the head can read, found ${model.hook(hook).kind}.`);
  for (const { hook } of writes) if (behind(model, hook)) throw new HookError(`write to "${hook}": expected a place up to the last block, found one behind, which no stream sees.`);
  const targets = (options.targets ?? []).map((target) => tokenOf(model, "targets", target));
  const ids = idsOf(model, text);
  const last = lastStream(model);
  const streams = await model.run([ids], { hooks: [...new Set([...hooks, last])], writes });
  const rows = hooks.map((hook) => ({ hook, cells: [] as LensCell[] }));
  const { width, vocabularySize: V } = model;
  const held = Math.max(2, Math.floor(LOGITS / V)); // rows
  const tokens = Math.min(ids.length, held >> 1);
  for (let from = 0; from < ids.length; from += tokens) {
    const to = Math.min(from + tokens, ids.length);
    const n = to - from;
    const part = (hook: string): Float32Array => streams[hook].subarray(from * width, to * width);
    const final = await model.unembed(part(last));
    const norms = Array.from({ length: n }, (_, t) => logSumExp(final.subarray(t * V, (t + 1) * V)));
    const together = Math.max(1, Math.floor(held / n) - 1); // beside the model's own
    for (let h = 0; h < hooks.length; h += together) {
      stopIfInterrupted("Nothing of the lens is kept.");
      const group = hooks.slice(h, h + together);
      const stacked = new Float32Array(group.length * n * width);
      group.forEach((hook, g) => stacked.set(part(hook), g * n * width));
      const logits = await model.unembed(stacked);
      for (let g = 0; g < group.length; g++) {
        for (let t = 0; t < n; t++) {
          const at = (g * n + t) * V;
          const next = from + t + 1 < ids.length ? ids[from + t + 1] : undefined;
          rows[h + g].cells.push(lensCell(logits.subarray(at, at + V), final.subarray(t * V, (t + 1) * V), norms[t], { top, next, targets }));
        }
        await breathe();
      }
    }
  }
  const view = { from: 0, tokens: Array.from(ids, (id) => wordOf(model, id)), rows, targets, word: (token: number) => wordOf(model, token) };
  return showing({ ids, rows, targets }, () => ({ "text/html": lensHtml(view), "text/plain": lensText(view, colored()) }));
}

/** Whether a place lies behind the stream: the final norm's rows and the logits. */
const behind = (model: Model, hook: string): boolean => ["final_norm", "logits"].includes(model.hook(hook).kind);

export interface AttributionOptions {
  target?: number | string; // the most likely token: id, or a text of one token
  against?: number | string; // none: the logit; another token: the difference of the two logits
  position?: number; // −1, the last: counts from the end when negative
  heads?: boolean | number[]; // false: also the heads of all blocks, or of these
}

export interface AttributionPart {
  /** A hook; or "embed_tokens.positions", "norm.bias", "lm_head.bias". */
  name: string;
  value: number;
  /** Of an attention: the share of each head, and of its output's bias; together `value`. */
  heads?: number[];
  bias?: number;
}

export interface Attribution {
  target: number;
  against?: number;
  position: number;
  /** In the order of a pass. */
  parts: AttributionPart[];
  /** Their sum: the logit, or difference of logits, before a cap. */
  logit: number;
  /** What the model itself gives, after its cap. */
  model: number;
  /** The model's own less what the parts add up to, cap applied: rounding, about 1e-6 of their sizes. */
  remainder: number;
  /** Set when the remainder is more than rounding. */
  warning?: string;
}

/**
 * Direct logit attribution: the logit of a token as a sum over embedding, positions, attentions, MLPs and biases, the scale of the
 * final norm frozen at its value there (and of the norm behind an attention, for its heads). It says what is written towards the token
 * directly, not what later blocks make of it. Where the model caps its logits, parts add up to the logit before the cap.
 * @param text a text, or its token ids
 * @returns also shows itself: a bar for each part
 * @throws OptionError; ModelError where the weights of the head cannot be read
 * @see Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021)
 */
export async function attribution(model: Model, text: Text, options: AttributionOptions = {}): Promise<Attribution & ShownNow> {
  const all = idsOf(model, text);
  const { heads = false } = options;
  const given = options.position ?? -1;
  const position = given < 0 ? all.length + given : given;
  if (!(Number.isInteger(position) && position >= 0 && position < all.length)) throw new OptionError(`position: expected a position from ${-all.length} to ${all.length - 1}, found ${given}.`);
  const blocks = heads === true ? Array.from({ length: model.layers }, (_, i) => i) : heads || [];
  for (const layer of blocks) if (!(Number.isInteger(layer) && layer >= 0 && layer < model.layers)) throw new OptionError(`heads: expected blocks from 0 to ${model.layers - 1}, found ${layer}.`);
  if (!model.head || (blocks.length && !model.headOutput)) throw new ModelError(`${model.source}: expected weights of ${model.head ? "the attention's output" : "norm and head"} that can be read, found a file that does not name them. Open the checkpoint's folder.`);

  // learned positions: they are added, and are a part of their own
  const kinds = new Set(model.hooks().map(({ kind }) => kind));
  const positions = kinds.has("tok_embed") && !kinds.has("rot_q");
  const sublayers = Array.from({ length: model.layers }, (_, i) => [`layers.${i}.attn.add`, `layers.${i}.mlp.add`].map((name) => model.hook(name).name)).flat();
  const names = ["embed_tokens", ...(positions ? ["embed_tokens.token"] : []), ...sublayers, lastStream(model), ...blocks.flatMap((i) => [`layers.${i}.attn.z`, `layers.${i}.self_attn`])];
  const row = await rowsAt(model, all, position, [...new Set(names)]);
  const x = row.get(lastStream(model))!;
  const own = await model.unembed(x);
  const target = options.target === undefined ? largest(own, 1)[0] : tokenOf(model, "target", options.target);
  const against = options.against === undefined ? undefined : tokenOf(model, "against", options.against);
  if (target === against) throw new OptionError(`against: expected another token than the target, found ${target} twice.`);

  const tokens = against === undefined ? [target] : [target, against];
  const head = model.head(tokens);
  const sides = tokens.map((_, i) => towardToken(head, i, x));
  const direction = sides.length === 1 ? sides[0].direction : sides[0].direction.map((value, d) => value - sides[1].direction[d]);
  const difference = (values: number[]): number => (values.length === 1 ? values[0] : values[0] - values[1]);
  const positionRow = positions ? row.get("embed_tokens")!.map((value, d) => value - row.get("embed_tokens.token")![d]) : undefined;
  const vectors: [string, Float32Array][] = [
    ...(positionRow ? [["embed_tokens.token", row.get("embed_tokens.token")!], ["embed_tokens.positions", positionRow]] as [string, Float32Array][] : [["embed_tokens", row.get("embed_tokens")!] as [string, Float32Array]]),
    ...sublayers.map((name): [string, Float32Array] => [name, row.get(name)!]),
  ];
  const parts = vectors.map(([name, vector]): AttributionPart => {
    const value = dot(vector, direction);
    const layer = blocks.find((i) => name === model.hook(`layers.${i}.attn.add`).name);
    return { name, value, ...(layer === undefined ? {} : headShares(model.headOutput!(layer), row.get(`layers.${layer}.attn.z`)!, row.get(`layers.${layer}.self_attn`)!, direction)) };
  });
  if (head.bias) parts.push({ name: "norm.bias", value: difference(sides.map(({ normBias }) => normBias)) });
  if (head.offsets) parts.push({ name: "lm_head.bias", value: difference(sides.map(({ headBias }) => headBias)) });

  const sums = sides.map((side) => vectors.reduce((sum, [, vector]) => sum + dot(vector, side.direction), side.normBias + side.headBias));
  const capped = (logit: number): number => (head.cap ? head.cap * Math.tanh(logit / head.cap) : logit);
  const logit = difference(sums);
  const modelLogit = difference(tokens.map((token) => own[token]));
  const remainder = modelLogit - difference(sums.map(capped));
  const size = parts.reduce((sum, { value }) => sum + Math.abs(value), 1);
  const warning = Math.abs(remainder) > 1e-4 * size ? `The parts add up to ${difference(sums.map(capped))}, the model gives ${modelLogit}: more than rounding lies between them.` : undefined;

  const word = (token: number): string => `“${wordOf(model, token)}”`;
  const view = {
    title: against === undefined ? `logit of ${word(target)} after position ${position}` : `logit of ${word(target)} less that of ${word(against)} after position ${position}`,
    parts, total: logit,
    notes: [
      ...(head.cap ? [`Shares of the logit before the model's cap; after it ${modelLogit.toPrecision(4)}.`] : []),
      `Logits; the model's own less the sum of the parts: ${short(remainder)}.`, ...(warning ? [warning] : []),
    ],
  };
  return showing(
    { target, ...(against === undefined ? {} : { against }), position, parts, logit, model: modelLogit, remainder, ...(warning ? { warning } : {}) },
    () => ({ "text/html": attributionHtml(view), "text/plain": attributionText(view) }));
}

/** One position's row of each hook, in as many passes as keep what comes back small. */
async function rowsAt(model: Model, ids: Int32Array, position: number, names: string[]): Promise<Map<string, Float32Array>> {
  const width = new Map(model.hooks().map((row) => [row.name, row.width]));
  const group = Math.max(1, Math.floor(ROWS / (ids.length * Math.max(...names.map((name) => width.get(name) ?? model.width)))));
  const out = new Map<string, Float32Array>();
  for (let from = 0; from < names.length; from += group) {
    stopIfInterrupted("Nothing of the attribution is kept.");
    const found = await model.run([ids], { hooks: names.slice(from, from + group) });
    for (const [name, rows] of Object.entries(found)) out.set(name, rows.slice((position * rows.length) / ids.length, ((position + 1) * rows.length) / ids.length));
  }
  return out;
}

export interface LossOptions {
  writes?: Write[]; // none: a second pass with these, beside the clean one
  batchTokens?: number; // 2048 tokens a pass, padding included
  progress?: Progress;
}

export interface TextLoss {
  /** Of a document. */
  id?: string;
  ids: Int32Array;
  /** −ln p(token t + 1 | tokens to t), nats, [tokens − 1]. */
  loss: Float64Array;
  /** The same with the writes. */
  written?: Float64Array;
  /** KL(clean ‖ written) after each token, nats, [tokens]. */
  kl?: Float64Array;
}

export interface Loss extends LossMeans {
  /** Tokens that were foretold: all but the first of each text. */
  tokens: number;
  texts: TextLoss[];
  /** With the writes: its means, `written.mean − mean`, and the mean divergence. */
  written?: LossMeans & { difference: number; kl: number };
}

type Texts = string | Document | ArrayLike<number> | (string | Document | ArrayLike<number>)[];

/**
 * Cross-entropy of each next token, and what writes do to it.
 *
 * Bytes are those that the tokenizer's tokens stand for; special tokens stand for none, and the first token of a text is not foretold.
 * Logits of some rows at a time are held; but a write to "norm" or "logits" needs those of a whole text.
 * In a document with `prompt`, `at: "generated"` means the tokens that begin there or later; of any other text all count as generated.
 * A write's rows of all tokens lie as `run` takes them for all texts; a resample's draws begin anew in each batch.
 * @param texts a text, document or list of token ids, or several of them, each as long as the model's context at most
 * @returns also shows itself as a small table
 * @throws OptionError when no text has two tokens; InterruptError
 */
export async function loss(model: Model, texts: Texts, options: LossOptions = {}): Promise<Loss & ShownNow> {
  const { writes, batchTokens = 2048, progress } = options;
  if (!Number.isSafeInteger(batchTokens) || batchTokens < 1) throw new OptionError(`batchTokens: expected a whole number from 1, found ${batchTokens}.`);
  const several = Array.isArray(texts) && typeof texts[0] !== "number";
  const prompts = new Map<Int32Array, number>(); // tokens that were given
  const read = (several ? (texts as (string | Document | ArrayLike<number>)[]) : [texts as string]).map((text): TextLoss => {
    const document = typeof text === "string" || "length" in text ? undefined : text;
    const ids = idsOf(model, document ? document.text : (text as Text));
    prompts.set(ids, document?.prompt ? promptTokens(model, document.text, document.prompt) : 0);
    return { ...(document ? { id: document.id } : {}), ids, loss: new Float64Array(ids.length - 1), ...(writes ? { written: new Float64Array(ids.length - 1), kl: new Float64Array(ids.length) } : {}) };
  });
  const total = read.reduce((sum, { ids }) => sum + ids.length, 0);
  if (total === read.length) throw new OptionError("texts: expected one of at least two tokens, found none: the first token of a text is not foretold.");
  const V = model.vocabularySize;
  const whole = writes?.some(({ hook }) => behind(model, hook)) ?? false;
  // what is meant by these differs from text to text
  const apart = writes?.some(({ at, keys }) => [at, keys].some((where) => typeof where === "string")) ?? false;
  const most = apart ? 1 : whole ? Math.min(batchTokens, Math.max(1, Math.floor(LOGITS / V))) : batchTokens;
  const told = meter("loss", total, "tokens", progress);
  let done = 0;
  for (const batch of batchesOf(read, most)) {
    stopIfInterrupted(`${done} of ${total} tokens were read; nothing is kept.`);
    const ids = batch.map((text) => text.ids);
    const n = ids.reduce((sum, { length }) => sum + length, 0);
    const clean = await logitsOf(model, ids, undefined, whole);
    const written = writes && (await logitsOf(model, ids, batchWrites(model, writes, done, n, total).map((write) => placed(write, prompts.get(ids[0])!)), whole));
    const chunk = Math.max(1, Math.floor(LOGITS / V));
    const places = batch.flatMap((text) => Array.from(text.ids, (_, t): [TextLoss, number] => [text, t]));
    for (let from = 0; from < n; from += chunk) {
      const to = Math.min(n, from + chunk);
      const [p, q] = [await clean(from, to), await written?.(from, to)];
      for (let i = from; i < to; i++) {
        const [text, t] = places[i];
        const at = (i - from) * V;
        const row = p.subarray(at, at + V);
        const norm = logSumExp(row);
        if (t + 1 < text.ids.length) text.loss[t] = norm - row[text.ids[t + 1]];
        if (!q) continue;
        const other = q.subarray(at, at + V);
        const otherNorm = logSumExp(other);
        if (t + 1 < text.ids.length) text.written![t] = otherNorm - other[text.ids[t + 1]];
        text.kl![t] = divergence(row, other, norm, otherNorm);
      }
      stopIfInterrupted(`${done} of ${total} tokens were read; nothing is kept.`);
      await breathe();
    }
    told((done += n));
  }
  const bytes = read.reduce((sum, { ids }) => sum + ids.subarray(1).reduce((count, id) => count + (model.tokenizer.isSpecial(id) ? 0 : model.tokenizer.bytes(id).length), 0), 0);
  const means = lossMeans(read.flatMap((text) => [...text.loss]), bytes);
  const after = writes && lossMeans(read.flatMap((text) => [...text.written!]), bytes);
  const kl = writes && read.reduce((sum, text) => sum + text.kl!.reduce((a, b) => a + b, 0), 0) / total;
  const result: Loss = {
    ...means, tokens: total - read.length, texts: read,
    ...(after ? { written: { ...after, difference: after.mean - means.mean, kl: kl! } } : {}),
  };
  const row = (name: string, { mean, perplexity, bitsPerByte }: LossMeans): (string | number)[] => [name, mean, perplexity, bitsPerByte];
  return showing(result, () => tableBundle({
    columns: ["", "nats a token", "perplexity", "bits a byte", ...(after ? ["difference, nats a token", "KL(clean ‖ written), nats"] : [])],
    rows: [row(`${result.tokens.toLocaleString("en")} tokens`, means).concat(after ? ["", ""] : []), ...(after ? [[...row("with writes", after), result.written!.difference, kl!]] : [])],
    total: after ? 2 : 1,
  }));
}

/** Tokens of a text that begin before a UTF-16 offset. */
function promptTokens(model: Model, text: string, offset: number): number {
  const { start } = model.tokenizer.encode(text);
  const first = start.findIndex((at) => at >= offset);
  return first < 0 ? start.length : first;
}

/** A text that is only read has no part that the model writes now: "prompt" and "generated" as positions. */
function placed(write: Write, prompt: number): Write {
  const positions = (where: Positions | undefined): Positions | undefined => (where === "prompt" ? (prompt ? { to: prompt } : []) : where === "generated" ? { from: prompt } : where);
  return { ...write, at: positions(write.at), keys: positions(write.keys) };
}

/** Neighbouring texts, as many as fit; one that is longer stands alone. */
export function batchesOf<Text extends { ids: Int32Array }>(texts: Text[], batchTokens: number): Text[][] {
  const batches: Text[][] = [];
  let longest = 0;
  for (const text of texts) {
    const last = batches.at(-1);
    const length = Math.max(longest, text.ids.length);
    if (last && (last.length + 1) * length <= batchTokens) last.push(text);
    else batches.push([text]);
    longest = batches.at(-1)!.length === 1 ? text.ids.length : length;
  }
  return batches;
}

/** A batch's logits, some rows at a time: from the last stream, or where a write lies behind it, from one pass. */
async function logitsOf(model: Model, ids: Int32Array[], writes: Write[] | undefined, whole: boolean): Promise<(from: number, to: number) => Promise<Float32Array>> {
  const last = lastStream(model);
  const V = model.vocabularySize;
  if (whole) {
    const { logits } = await model.run(ids, { logits: true, writes });
    return async (from, to) => logits.subarray(from * V, to * V);
  }
  const { [last]: stream } = await model.run(ids, { hooks: [last], writes });
  return (from, to) => model.unembed(stream.subarray(from * model.width, to * model.width));
}

/** Of writes that have rows of all tokens, those of this batch. */
function batchWrites(model: Model, writes: Write[], from: number, n: number, total: number): Write[] {
  const width = new Map(model.hooks().map((row) => [row.name, row.width]));
  return writes.map((write) => {
    const w = width.get(model.hook(write.hook).name) ?? model.width;
    const part = (rows: ArrayLike<number>): ArrayLike<number> => (rows.length === total * w && total > 1 ? Float32Array.from(rows).subarray(from * w, (from + n) * w) : rows);
    if ("add" in write) return { ...write, add: part(write.add) };
    if ("set" in write && typeof write.set !== "number") return { ...write, set: part(write.set) };
    return write;
  });
}
