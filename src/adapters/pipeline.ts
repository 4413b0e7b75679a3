import { availableParallelism } from "node:os";
import { basename } from "node:path";
import type { InferenceSession, Tensor, TensorConstructor } from "onnxruntime-node";
import type { Built, CachePair } from "../core/build";
import { ModelError, OptionError } from "../core/errors";
import { firstPass, standardFeeds, type Feed, type Pass } from "../core/feeds";
import type { OnnxModel, Value } from "../core/onnx";
import { withoutPadding } from "../core/pad";
import { widenFloat16 } from "../core/safetensors";
import { prune } from "../core/splice";
import type { Hook, HookRow, Write } from "../core/types";
import { applyWrites, lowerWrite, type Lowered } from "../core/writes";
import { configOf, pipelineFile } from "./pipelinefile";
import { resolvedSource } from "./resolved";
import { sessionOf, type Holding } from "./runtime";
import { saeFiles } from "./saefile";
import { places } from "./source";

/**
 * Hooks in a pipeline of transformers.js: in place of its session stands one over the same file, with places read and written, which
 * shows the pipeline nothing but the inputs and outputs that it knows.
 */

/** What is used of a model of transformers.js 4. */
export interface HookableModel {
  sessions: Record<string, any>;
  config?: any;
}

export interface PipelineHookOptions {
  hooks?: string[]; // none: places to read, in any of the three spellings
  writes?: Write[]; // none; all but functions, which need openModel
  file?: string; // searched for: the .onnx that the pipeline runs, or the model's folder
  threads?: number; // all cores
  /**
   * "in place": the weights of this second session cost page cache only. "packed" copies them. auto: in place, but packed where weights have
   * 4 bits or fewer (MatMulNBits), which the runtime then computes otherwise: in place up to 3 % off what the pipeline gives, and slowly.
   */
  weights?: Holding;
}

/** One pass of the pipeline: over prompts, or over one more token of each. */
export interface PipelinePass {
  /** Tokens of each text in this pass, padding not counted, and how many came before. */
  lengths: number[];
  past: number[];
  /**
   * By the caller's spelling the rows of all texts, padding removed, [Σ lengths, width]; of a pattern [heads, query, key] of each text; of
   * "logits" as many last positions as the pipeline asked for: one a text when it generates and the file can be told so.
   */
  rows: Record<string, Float32Array>;
}

export interface HookedPipeline {
  /** Passes so far, in order, when hooks are read. They grow with every token: empty the list (`passes.length = 0`) to begin anew. */
  passes: PipelinePass[];
  /** Every place of the file, what is missing and why. */
  hooks(): HookRow[];
  /** The file that was found. */
  file: string;
  /** Gives the pipeline its own session back, and frees this one. */
  close(): Promise<void>;
}

const hooked = new WeakSet<object>();

/**
 * Puts hooks into a pipeline of transformers.js 4, or into a model of it: what it generates, and what `forward` gives, is as written to.
 *
 *   const generate = await pipeline("text-generation", "onnx-community/Qwen3-0.6B-ONNX", { dtype: "fp32" });
 *   const steered = await hookPipeline(generate, { hooks: ["layers.10"], writes: [{ hook: "layers.12", add: direction, at: "generated" }] });
 *   await generate("The rain");      // steered.passes has the rows
 *   await steered.close();
 *
 * Runs on CPU, whatever the pipeline's device, and on the thread that transformers.js runs on. A batch is computed as the pipeline
 * would: files with GroupQueryAttention are inexact for texts padded on the left, with hooks as without. A pass of one token is taken
 * for a generated one unless it begins its text.
 * @throws ModelError when it is no pipeline with a decoder, the file is not found, cannot be followed, or gives other numbers than the
 *   pipeline; HookError for a place that the file does not have; OptionError for a write that cannot be done
 */
export async function hookPipeline(pipeline: { model: HookableModel } | HookableModel, options: PipelineHookOptions = {}): Promise<HookedPipeline> {
  const { hooks: spellings = [], writes = [], threads = availableParallelism(), weights = "auto" } = options;
  const loaded = ("model" in Object(pipeline) ? (pipeline as { model: HookableModel }).model : pipeline) as HookableModel;
  const sessions = loaded?.sessions;
  if (!sessions || typeof sessions !== "object") throw new ModelError("hookPipeline: expected a pipeline or model of transformers.js (with model.sessions), found none. Make it with pipeline(\"text-generation\", …).");
  const original = sessions.model;
  if (!original?.inputNames?.includes("input_ids")) {
    throw new ModelError(`hookPipeline: expected a model with one decoder, a session "model" that reads input_ids, found ${Object.entries<any>(sessions).map(([name, one]) => `"${name}" (${one?.inputNames?.slice(0, 4).join(", ") ?? "no session"})`).join(", ") || "no session"}. Models of several parts are not hooked.`);
  }
  if (hooked.has(original)) throw new ModelError("hookPipeline: expected a pipeline without hooks, found one that has them. Close those first, or ask for all in one call.");
  if (!["auto", "packed", "in place"].includes(weights)) throw new OptionError(`weights: expected auto, packed or in place, found ${weights}.`);
  if (!Number.isSafeInteger(threads) || threads < 1) throw new OptionError(`threads: expected a whole number from 1, found ${threads}.`);
  for (const write of writes) if ("edit" in write && write.edit !== undefined) throw new OptionError(`write to "${write.hook}": expected one that the runtime itself can do, found a function. Open the model with openModel for it.`);

  const file = await pipelineFile({ config: loaded.config, dtype: original.config?.dtype }, options.file);
  const source = resolvedSource(file, configOf(file));
  const { find, shape, heads } = places(source, basename(file), "(await hookPipeline(pipeline)).hooks()");
  const reads = new Map(spellings.map((spelling): [string, Hook] => [spelling, find(spelling)]));
  const saes = saeFiles();
  let session: InferenceSession | undefined;
  try {
    const lowered = writes.map((write, i) => lowerWrite(write, find(write.hook, "write"), `write.${i}`, shape, saes.initializers));
    const unique = [...new Map([...reads.values()].map((hook) => [hook.name, hook])).values()];
    const built = source.build({ hooks: unique, written: lowered.map(({ hook }) => hook), whole: true });
    checkNames(file, built.model, original);
    const create = (model: OnnxModel, holding: Holding): Promise<InferenceSession> => createSession(original, prune(model), file, holding === "in place", threads);
    const usual = built.model.nodes.some(({ op }) => op === "MatMulNBits") ? "packed" : "in place";
    session = await create(applyWrites(built, lowered), weights === "auto" ? usual : weights);
    // with writes the numbers differ, as they should: then those without are compared
    const plain = lowered.length ? await create(source.build({ hooks: [], whole: true }).model, usual) : session;
    try {
      await checkNumbers(file, built, plain, original, source.vocabulary);
    } finally {
      if (plain !== session) await plain.release();
    }
    return replace(sessions, session, { file, built, lowered, reads, heads, rows: source.rows, free: saes.close });
  } catch (error) {
    await session?.release();
    saes.close();
    throw error;
  }
}

interface Parts {
  file: string;
  built: Built;
  lowered: Lowered[];
  reads: Map<string, Hook>;
  heads(hook: Hook): number | undefined;
  rows: HookRow[];
  free(): void;
}

/** Puts a session in place of the pipeline's. */
function replace(sessions: Record<string, any>, session: InferenceSession, { file, built, lowered, reads, heads, rows, free }: Parts): HookedPipeline {
  const original = sessions.model;
  const passes: PipelinePass[] = [];
  const begun = new WeakMap<object, number[]>(); // by the first of the keys that a pass gave: tokens of each text that were no answer
  const [first] = built.cache;

  const run = async (feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> => {
    const pass = passOf(feeds, first, begun);
    const given: Record<string, Tensor> = {};
    for (const name of session.inputNames) if (feeds[name]) given[name] = feeds[name];
    for (const { feeds: written } of lowered) for (const [name, feed] of Object.entries(written(pass))) if (session.inputNames.includes(name)) given[name] = tensorOf(feeds.input_ids, feed);
    const made = await session.run(given);
    if (first) begun.set(made[first.present], pass.prompt);
    if (reads.size) {
      const { lengths, past } = pass;
      passes.push({ lengths, past, rows: Object.fromEntries([...reads].map(([spelling, hook]) => [spelling, rowsOf(made[built.outputs!.get(hook.name)!], pass, heads(hook))])) });
    }
    return Object.fromEntries(original.outputNames.map((name: string) => [name, made[name]]));
  };
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => (closed ??= (async () => {
    if (sessions.model === proxy) sessions.model = original;
    await session.release();
    free();
  })());
  // transformers.js makes an empty cache from these, and takes a name that it does not know for 0: exporters differ in them
  const cacheDims = new Map(built.cache.map(({ past, dims }) => [past, ["batch_size", dims[1], "past_sequence_length", dims[3]]]));
  const inputs = original.inputMetadata.map((one: { name: string }) => (cacheDims.has(one.name) ? { ...one, shape: cacheDims.get(one.name) } : one));
  const proxy = new Proxy(original, {
    get(target, key) {
      if (key === "run") return run;
      if (key === "inputMetadata") return inputs;
      if (key === "release") return async () => { // the pipeline is disposed of
        await close();
        await target.release();
      };
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  hooked.add(proxy);
  sessions.model = proxy;
  return { passes, file, hooks: () => rows.map((row) => ({ ...row })), close };
}

/** In the pipeline's own runtime, so that it knows the tensors. */
async function createSession(original: { constructor: unknown }, model: OnnxModel, file: string, inPlace: boolean, threads: number): Promise<InferenceSession> {
  const { model: bytes, options } = sessionOf(model, inPlace ? "in place" : "packed", threads);
  try {
    return await (original.constructor as typeof InferenceSession).create(bytes, options);
  } catch (error) {
    throw new ModelError(`${file}: expected a graph that the pipeline's ONNX Runtime takes, found: ${(error as Error).message} The weights may be damaged: download them again.`, { cause: error });
  }
}

const inputsOf = ({ inputs, initializers }: OnnxModel): Value[] => {
  const weights = new Set(initializers.map(({ name }) => name));
  return inputs.filter(({ name }) => !weights.has(name));
};

/** @throws ModelError when file and session have other inputs or outputs */
function checkNames(file: string, model: OnnxModel, { inputNames, outputNames }: { inputNames: string[]; outputNames: string[] }): void {
  const has = { inputs: inputsOf(model).map(({ name }) => name), outputs: model.outputs.map(({ name }) => name) };
  const strange = inputNames.find((name) => !has.inputs.includes(name)) ?? outputNames.find((name) => !has.outputs.includes(name));
  const more = has.inputs.find((name) => !inputNames.includes(name));
  if (strange ?? more) throw new ModelError(`${file}: expected the file that the pipeline runs, found another: ${strange ? `it has no "${strange}"` : `the pipeline has no "${more}"`}. ${REMEDY}`);
}

const REMEDY = "Say { file }: the .onnx that the pipeline was made from, of the same dtype.";

/** Eight tokens through both. A fine-tuned model has the names of its base and the same config: only numbers tell them apart. */
async function checkNumbers(file: string, built: Built, session: InferenceSession, original: InferenceSession, vocabulary: number): Promise<void> {
  const pass = firstPass([Array.from({ length: Math.min(8, vocabulary) }, (_, i) => Math.floor((i * vocabulary) / 8))]);
  const inputs = inputsOf(built.model);
  const { Tensor: tensors } = require("onnxruntime-node") as typeof import("onnxruntime-node");
  const cache = built.cache.map(({ past, type = "float32", dims }): [string, Tensor] =>
    [past, new tensors(type as "float32", (type === "float16" ? new Uint16Array(0) : new Float32Array(0)) as Float32Array, [1, ...dims.slice(1)])]);
  const keep = inputs.filter(({ name }) => /logits_to_keep$/.test(name)).map(({ name }): [string, Tensor] => [name, new tensors("int64", [0n], [])]);
  const plain = Object.entries(standardFeeds(inputs, pass)).map(([name, { type, data, dims }]): [string, Tensor] => [name, new tensors(type as "int64", data as BigInt64Array, dims)]);
  const feeds = Object.fromEntries([...plain, ...cache, ...keep].filter(([name]) => session.inputNames.includes(name)));
  const [ours, theirs] = [floats((await session.run(feeds)).logits), floats((await original.run(feeds)).logits)];
  const scale = theirs.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const difference = ours.reduce((most, x, i) => Math.max(most, Math.abs(x - theirs[i])), 0);
  // rounding alone differs: half precision and 8-bit activations by less than 2 %
  if (ours.length !== theirs.length || !(difference <= 0.02 * scale)) {
    throw new ModelError(`${file}: expected the file that the pipeline runs, found that its logits ${difference / scale > 0 ? `differ by ${((100 * difference) / scale).toFixed(1)} % of the largest` : "are others"}. ${REMEDY}`);
  }
}

function floats({ data }: Tensor): Float32Array {
  if (data instanceof Float32Array) return data;
  const half = data as unknown as Uint16Array;
  const out = new Float32Array(half.length);
  widenFloat16(new Uint16Array(half.buffer, half.byteOffset, half.length), out); // newer Node gives a Float16Array
  return out;
}

/** Feeds of the pipeline's own kind of tensor. */
const tensorOf = (like: Tensor, { type, data, dims }: Feed): Tensor => new (like.constructor as unknown as TensorConstructor)(type as "float32", data as Float32Array, dims);

/** What a pass is, as its feeds tell. Texts are padded on the left when the pipeline generates, on the right otherwise. */
function passOf(feeds: Record<string, Tensor>, first: CachePair | undefined, begun: WeakMap<object, number[]>): Pass {
  const { input_ids: ids, attention_mask: mask } = feeds;
  const [batch, tokens] = ids.dims;
  const cached = first && feeds[first.past];
  const all = mask?.dims[1] ?? tokens + (cached?.dims[2] ?? 0);
  const columns = Array.from({ length: batch }, (_, b) => {
    let position = 0;
    return Int32Array.from({ length: all }, (__, s) => (!mask || Number(mask.data[b * all + s]) ? position++ : -1));
  });
  const now = columns.map((column) => [...column.subarray(-tokens)].map((position) => position >= 0));
  const before = now.map((there) => Math.max(0, there.indexOf(true)));
  const lengths = now.map((there, b) => (there.includes(true) ? there.lastIndexOf(true) + 1 - before[b] : 0));
  const past = columns.map((column) => column.subarray(0, -tokens).reduce((n, position) => n + (position >= 0 ? 1 : 0), 0));
  const answer = tokens === 1 && past.some(Boolean);
  return {
    ids: Array.from({ length: batch }, (_, b) => Array.from({ length: lengths[b] }, (__, t) => Number(ids.data[b * tokens + before[b] + t]))),
    lengths, batch, tokens, past, columns, before, index: lengths.map((_, b) => b),
    rows: past.some(Boolean) ? undefined : { from: lengths.map((_, b) => lengths.slice(0, b).reduce((sum, length) => sum + length, 0)), all: lengths.reduce((sum, length) => sum + length, 0) },
    prompt: answer ? (cached && begun.get(cached)) ?? past : past.map((count, b) => count + lengths[b]),
  };
}

/** Rows of the tokens that are no padding; of logits there may be those of the last positions only. */
function rowsOf(tensor: Tensor, pass: Pass, heads?: number): Float32Array {
  const data = tensor.data as Float32Array;
  if (heads !== undefined) return withoutPadding(data, pass, heads);
  const tokens = data.length / (pass.batch * tensor.dims.at(-1)!);
  const cut = pass.tokens - tokens;
  const before = pass.before!.map((count) => Math.max(0, count - cut));
  return withoutPadding(data, { ...pass, tokens, before, lengths: pass.lengths.map((length, b) => Math.max(0, pass.before![b] + length - cut - before[b])) });
}
