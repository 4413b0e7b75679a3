import { rotatesInside } from "../core/attention";
import { buildGraph, checkWeights, hookWidth, product, type Built, type Wanted, type Weight } from "../core/build";
import { HookError, OptionError } from "../core/errors";
import { anatomyOf, readArchitecture, type Architecture } from "../core/families";
import type { Feed } from "../core/feeds";
import { allHooks, parseHook, transformerLensName, type Anatomy } from "../core/hookname";
import { ropeRegime, ropeTables } from "../core/rope";
import { readFloats } from "../core/safetensors";
import type { HeadOutput, HeadRows, Hook, HookKind, HookRow, Model } from "../core/types";
import type { Shape } from "../core/writes";
import { fileSource } from "./files";
import { readJson, readWeights } from "./modelfiles";

/** What makes a model's graphs: the builder, from a checkpoint; or surgery on an ONNX file (adapters/resolved). */
export interface GraphSource {
  family: string;
  anatomy: Anatomy;
  width: number;
  vocabulary: number;
  context: number;
  eos: number[];
  rows: HookRow[];
  headDim(kind: HookKind): number | undefined;
  build(wanted: Wanted): Built;
  /** Its cache takes texts of unequal lengths side by side. */
  ragged: boolean;
  /** Which of two ways of rotating a text of this length takes: texts that differ in it go apart. */
  regime(length: number): string;
  /** Tables that runs need, for so many positions; a name with the same key is sent once. */
  tables(positions: number, regime: string): { name: string; key: string; make: () => Feed }[];
  head?: Model["head"];
  headOutput?: Model["headOutput"];
  /** Files that decide its numbers. */
  files: string[];
  /** Elements of all weights, their bytes, dtypes and number of files: for describe. */
  elements: number;
  bytes: number;
  /** What all of them take when packed. */
  packedBytes: number;
  dtypes: string[];
  /** Sentences about where it comes from and how it is built. */
  facts: string[];
}

/** A checkpoint folder's config and safetensors → graphs built here. @throws ModelError, FormatError */
export function builtSource(folder: string, files: { config: string; weights: string[] }): GraphSource {
  const a = readArchitecture(readJson(files.config), files.config);
  const weights = checkWeights(a, readWeights(files.weights), folder);
  const anatomy = anatomyOf(a);
  const stored = [...new Map([...weights.values()].map((weight) => [`${weight.location} ${weight.offset}`, weight])).values()];
  return {
    family: a.family, anatomy, width: a.width, vocabulary: a.vocabulary, context: a.context, eos: a.eos,
    rows: hookRows(anatomy, (kind) => hookWidth(a, kind), a.row.norm),
    headDim: (kind) => (["q", "k", "v", "rot_q", "rot_k", "z"].includes(kind) ? a.headDim : kind === "pattern" ? 1 : undefined),
    build: (wanted) => buildGraph(a, weights, wanted),
    ragged: true,
    regime: (length) => ropeRegime(a.ropes, length),
    tables(positions, regime) {
      const size = Math.min(Math.max(256, 2 ** Math.ceil(Math.log2(positions))), Math.max(a.context, positions));
      return a.ropes.flatMap((rope, r) => {
        let made: ReturnType<typeof ropeTables> | undefined;
        const table = (part: "cos" | "sin"): Feed => ({ type: "float32", data: (made ??= ropeTables(rope, a.rotated, size, regime as "short"))[part], dims: [size, a.rotated / 2] });
        return (["cos", "sin"] as const).map((part) => ({ name: `${part}.${r}`, key: `${size} ${regime}`, make: () => table(part) }));
      });
    },
    head: (tokens) => headRows(a, weights, tokens),
    headOutput: (layer) => headOutput(a, weights, layer),
    files: [files.config, ...files.weights],
    elements: stored.reduce((sum, { shape }) => sum + product(shape), 0),
    bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
    packedBytes: stored.reduce((sum, { shape }) => sum + 4 * product(shape), 0),
    dtypes: [...new Set(stored.map(({ dtype }) => dtype))].sort(),
    facts: facts(a),
  };
}

/**
 * How the places of a source are found, and what a write must know of them.
 * @param name of the model, for messages
 * @param list what lists them all
 */
export function places({ anatomy, rows, headDim }: GraphSource, name: string, list = "model.hooks()") {
  const rowOf = new Map(rows.map((row) => [row.name, row]));
  const widths = new Map(rows.map((row): [HookKind, number] => [row.kind, row.width]));
  for (const [alias, kind] of [["attn_add", "attn_out"], ["mlp_add", "mlp_out"], ["tok_embed", "embed"]] as const) if (!widths.has(alias)) widths.set(alias, widths.get(kind)!);
  return {
    shape: { width: (kind: HookKind) => widths.get(kind)!, headDim } satisfies Shape,
    /** Heads of a pattern; of other places undefined: they have rows. */
    heads: ({ kind, name: hook }: Hook): number | undefined => (kind === "pattern" ? rowOf.get(hook)!.width : undefined),
    /** @throws HookError when there is no such place, or it cannot be had: with the reason */
    find(spelling: string, use: "read" | "write" = "read"): Hook {
      const hook = parseHook(spelling, anatomy);
      const row = rowOf.get(hook.name);
      const reason = row?.missing ?? (use === "write" ? row?.readOnly : undefined);
      if (reason) throw new HookError(`"${spelling}": expected a place that can be ${use === "read" ? "read" : "written"} in ${name}, found that it cannot: ${reason}. ${list} lists what this file offers.`);
      return hook;
    },
  };
}

/** The table that model.hooks() gives. */
export function hookRows(anatomy: Anatomy, width: (kind: HookKind) => number, norm: string): HookRow[] {
  return allHooks(anatomy).map((hook): HookRow => {
    const w = width(hook.kind);
    const note = noteOn(hook.kind, anatomy, norm);
    return {
      ...hook, transformerLens: transformerLensName(hook, anatomy), width: w,
      shape: hook.kind === "pattern" ? `[${w}, query, key]` : `[tokens, ${w}]`, ...(note ? { note } : {}),
    };
  });
}

/** Where spellings part: what a reader of another library's names must know. */
function noteOn(kind: HookKind, { postNorm, embedding }: Anatomy, norm: string): string | undefined {
  switch (kind) {
    case "attn_out": case "mlp_out":
      return postNorm ? `what Hugging Face's module gives; TransformerLens' name is of what is added after the norm: ${kind === "attn_out" ? "attn" : "mlp"}.add` : undefined;
    case "embed":
      return embedding === "positions" ? "with positions, as hidden_states[0]; the token's row alone is embed_tokens.token"
        : embedding === "scaled" ? "scaled by √d, as hidden_states[0]; the module's own rows are embed_tokens.token" : undefined;
    case "final_norm":
      return norm === "layer" ? "Hugging Face's last hidden state" : "Hugging Face's last hidden state; TransformerLens takes it before the norm's weight, unless that is folded into the head";
    default: return undefined;
  }
}

/** A stored tensor, or some of its elements, as float32. */
function readWeight(weight: Weight, from?: number, to?: number): Float32Array {
  const source = fileSource(weight.location);
  try {
    return readFloats(source, weight, from, to);
  } finally {
    source.close();
  }
}

function headRows(a: Architecture, weights: Map<string, Weight>, tokens: number[]): HeadRows {
  const wrong = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < a.vocabulary));
  if (wrong !== undefined) throw new OptionError(`head: expected token ids from 0 to ${a.vocabulary - 1}, found ${wrong}.`);
  const matrix = weights.get(a.tied ? "embed_tokens.weight" : "lm_head.weight")!;
  const rows = new Float32Array(tokens.length * a.width);
  for (let i = 0, j; i < tokens.length; i = j) { // neighbours in one go: a whole vocabulary may be asked for
    for (j = i + 1; j < tokens.length && tokens[j] === tokens[j - 1] + 1;) j++;
    rows.set(readWeight(matrix, tokens[i] * a.width, (tokens[j - 1] + 1) * a.width), i * a.width);
  }
  const norm = readWeight(weights.get("norm.weight")!);
  const [bias, offsets] = [weights.get("norm.bias"), weights.get("lm_head.bias")];
  return {
    rows, norm: a.row.norm === "rms 1+w" ? norm.map((w) => 1 + w) : norm, kind: a.row.norm === "layer" ? "layer" : "rms", epsilon: a.epsilon,
    ...(bias ? { bias: readWeight(bias) } : {}),
    ...(offsets ? { offsets: all(readWeight(offsets), tokens) } : {}),
    ...(a.logitCap ? { cap: a.logitCap } : {}),
    ...(a.tied ? { tied: true } : {}),
  };
}

const all = (values: Float32Array, at: number[]): Float32Array => Float32Array.from(at, (i) => values[i]);

function headOutput(a: Architecture, weights: Map<string, Weight>, layer: number): HeadOutput {
  if (!(Number.isInteger(layer) && layer >= 0 && layer < a.layers)) throw new OptionError(`headOutput: expected a block from 0 to ${a.layers - 1}, found ${layer}.`);
  const stored = readWeight(weights.get(`layers.${layer}.o_proj.weight`)!);
  const inner = a.heads * a.headDim;
  // Conv1D keeps [in, out]
  const weight = a.row.packed === "columns" ? stored.map((_, i) => stored[(i % inner) * a.width + Math.floor(i / inner)]) : stored;
  const [bias, after] = [weights.get(`layers.${layer}.o_proj.bias`), weights.get(`layers.${layer}.attn_post_norm.weight`)];
  const norm = after && readWeight(after);
  return {
    weight, heads: a.heads, epsilon: a.epsilon, ...(bias ? { bias: readWeight(bias) } : {}),
    ...(norm ? { norm: a.row.norm === "rms 1+w" ? norm.map((w) => 1 + w) : norm } : {}),
  };
}

function facts(a: Architecture): string[] {
  const ropes = a.ropes.map((rope) => `base ${rope.theta}${rope.kind === "default" ? "" : `, ${rope.kind} scaling by ${rope.factor}`}`);
  const windows = a.window.filter(Boolean).length;
  return [
    `A ${a.family} model of ${a.layers} blocks, width ${a.width}, ${a.heads} heads (${a.kvHeads} for keys and values) of ${a.headDim}, ` +
    `MLP ${a.inner}, vocabulary ${a.vocabulary}, context ${a.context} tokens.`,
    `${a.tied ? "The embedding is the output head too" : "An output head of its own"}; ` +
    (a.rotated ? `positions by rotation (${ropes.join("; ")}${a.rotated < a.headDim ? `; ${a.rotated} of ${a.headDim} dimensions of a head` : ""})` : "learned positions") +
    `${windows ? `; ${windows} blocks see ${Math.max(...a.window)} tokens` : ""}.`,
    `Its graph is built here from config.json and the weights${rotatesInside(a) ? "" : ", heads rotated apart from attention"}.`,
  ];
}
