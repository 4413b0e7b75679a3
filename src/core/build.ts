import { ModelError } from "./errors";
import type { Architecture, Rope } from "./families";
import { deeper } from "./hookname";
import { ELEMENT, type Attribute, type Initializer, type Node, type OnnxModel, type Value } from "./onnx";
import type { Hook } from "./types";

/**
 * Config and weights by reference → an ONNX graph with its hooks. Pre-norm decoder, block i, on the stream h [N, D], N = B·T rows:
 *
 *   a = Attention(RMS(h)) W_oᵀ            hook layers.i.self_attn
 *   m = (act(n W_gᵀ) ∘ n W_uᵀ) W_dᵀ,  n = RMS(h + a)   hook layers.i.mlp
 *   h ← h + a + m                         hook layers.i
 *
 * The stream is two-dimensional and three-dimensional only around attention; residual sum and norm are one operator whose
 * fourth output is the sum. Only what an output needs is kept, so that a graph ends at its deepest hook.
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (GroupQueryAttention, SkipSimplifiedLayerNormalization)
 */

/** Where a tensor of the checkpoint lies. */
export interface Weight {
  dtype: string;
  shape: number[];
  /** File, relative to the folder that the runtime is told. */
  location: string;
  offset: number;
  bytes: number;
}

export interface Wanted {
  hooks: Hook[];
  /** "all": [N, V]; "last": [B, V], one row a text, as told by the input `last`. */
  logits?: "all" | "last";
  /** Keys and values of every block as inputs `past.i.key` and outputs `present.i.key` [B, KV, S, {@link headRoom}]. */
  cache?: boolean;
}

export interface Built {
  model: OnnxModel;
  /** Tensors of the checkpoint that the graph reads. */
  weights: string[];
  /** Their elements: what the graph weighs, times four bytes in float32. */
  elements: number;
  /** Blocks that are computed, whole or in part. */
  blocks: number;
}

const DTYPES: Record<string, number> = { F32: ELEMENT.FLOAT, F16: ELEMENT.FLOAT16, BF16: ELEMENT.BFLOAT16 };

/** Every tensor the family's graph reads → its shape; names without the "model." that most checkpoints put in front. */
function expectedTensors(a: Architecture): Map<string, number[]> {
  const tensors = new Map<string, number[]>();
  const linear = (name: string, out: number, width: number, bias: boolean): void => {
    tensors.set(`${name}.weight`, [out, width]);
    if (bias) tensors.set(`${name}.bias`, [out]);
  };
  const norm = (name: string, width: number): void => void tensors.set(`${name}.weight`, [width]);
  tensors.set("embed_tokens.weight", [a.vocabulary, a.width]);
  for (let i = 0; i < a.layers; i++) {
    const at = `layers.${i}`;
    norm(`${at}.input_layernorm`, a.width);
    linear(`${at}.self_attn.q_proj`, a.heads * a.headDim, a.width, a.qkvBias);
    linear(`${at}.self_attn.k_proj`, a.kvHeads * a.headDim, a.width, a.qkvBias);
    linear(`${at}.self_attn.v_proj`, a.kvHeads * a.headDim, a.width, a.qkvBias);
    if (a.headNorm) for (const part of ["q", "k"]) norm(`${at}.self_attn.${part}_norm`, a.headDim);
    linear(`${at}.self_attn.o_proj`, a.width, a.heads * a.headDim, a.outBias);
    norm(`${at}.post_attention_layernorm`, a.width);
    linear(`${at}.mlp.gate_proj`, a.inner, a.width, a.mlpBias);
    linear(`${at}.mlp.up_proj`, a.inner, a.width, a.mlpBias);
    linear(`${at}.mlp.down_proj`, a.width, a.inner, a.mlpBias);
  }
  norm("norm", a.width);
  if (!a.tied) linear("lm_head", a.vocabulary, a.width, false);
  return tensors;
}

/**
 * Checks the checkpoint against the architecture, and gives the weights under the names that {@link buildGraph} uses.
 * @param weights by the checkpoint's own names
 * @param where folder, for messages
 * @throws ModelError naming the tensor that is missing, has another shape or dtype, or that the family's row does not know
 */
export function checkWeights(a: Architecture, weights: Map<string, Weight>, where: string): Map<string, Weight> {
  const prefix = weights.has("model.embed_tokens.weight") ? "model." : ""; // a checkpoint of the bare decoder has no prefix
  const out = new Map<string, Weight>();
  for (const [name, shape] of expectedTensors(a)) {
    const stored = name === "lm_head.weight" ? name : prefix + name;
    const weight = weights.get(stored);
    const wanted = `[${shape.join(", ")}]`;
    if (!weight) {
      throw new ModelError(`${where}: ${stored}: expected a tensor ${wanted}, found none. ` + (
        name === "lm_head.weight" ? "The checkpoint has no output head: set tie_word_embeddings in config.json if the embedding serves as one."
          : `The weights are incomplete or not of family ${a.family}: copy them again.`));
    }
    if (weight.shape.join() !== shape.join()) {
      throw new ModelError(`${where}: ${stored}: expected ${wanted} by config.json, found [${weight.shape.join(", ")}]. Config and weights belong to different models: copy both again.`);
    }
    if (!(weight.dtype in DTYPES)) {
      throw new ModelError(`${where}: ${stored}: expected dtype ${Object.keys(DTYPES).join(", ")}, found ${weight.dtype}. Quantised checkpoints are not read: use the full one.`);
    }
    out.set(name, weight);
  }
  // what lies inside a block and is not read would silently change the model
  const known = new Set([...out.keys()].map((name) => prefix + name));
  const foreign = [...weights.keys()].filter((name) => {
    const block = new RegExp(`^${prefix.replace(".", "\\.")}layers\\.(\\d+)\\.`).exec(name);
    return block && Number(block[1]) < a.layers && !known.has(name) && !name.endsWith("rotary_emb.inv_freq");
  });
  if (foreign.length) {
    throw new ModelError(
      `${where}: ${foreign[0]}: expected no such tensor in family ${a.family}, found ${foreign.length} of this sort. ` +
      "The checkpoint is of a variant that src/core/families.ts does not describe; the numbers would be wrong without it.");
  }
  return out;
}

/** Nodes that some output needs, in order. */
function prune(nodes: Node[], outputs: Iterable<string>): Node[] {
  const needed = new Set(outputs);
  const kept: Node[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    if (!nodes[i].outputs.some((name) => name && needed.has(name))) continue;
    for (const input of nodes[i].inputs) if (input) needed.add(input);
    kept.push(nodes[i]);
  }
  return kept.reverse();
}

const int64 = (name: string, values: number[]): Initializer =>
  ({ name, type: ELEMENT.INT64, dims: [values.length], raw: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) });

/** Width of a head inside GroupQueryAttention, which wants a multiple of 8: narrower ones are filled up with zeros, which change no score. */
export const headRoom = (a: Architecture): number => Math.ceil(a.headDim / 8) * 8;

/** Rotation inside GroupQueryAttention wants heads of a multiple of 16 on the CPU; others are rotated by an operator of their own. */
export const rotatesInside = (a: Architecture): boolean => a.headDim % 16 === 0;

/**
 * The graph that gives what is wanted and nothing more.
 *
 * Inputs: `input_ids` int32 [B, T], right-padded; `seqlens_k` int32 [B], valid tokens of each text, past included, less one;
 * `total_sequence_length` int32 scalar, past + T; `cos`, `sin` [≥ past + T, hd/2] of {@link ropeTables};
 * `position_ids` int64 [B, T] where {@link rotatesInside} is false; `last` int32 [B] with logits "last": row of [B·T] of each text.
 * Outputs: the hooks by our names [B·T, D] and `logits`.
 * @param weights as {@link checkWeights} gives them
 */
export function buildGraph(a: Architecture, weights: Map<string, Weight>, wanted: Wanted): Built {
  const nodes: Node[] = [];
  const initializers = new Map<string, Initializer>();
  const add = (op: string, inputs: string[], outputs: string[], attributes: Record<string, Attribute> = {}, domain?: string): void => {
    nodes.push({ op, inputs, outputs, attributes, domain });
  };
  const contrib = (op: string, inputs: string[], outputs: string[], attributes: Record<string, Attribute> = {}): void =>
    add(op, inputs, outputs, attributes, "com.microsoft");

  /** A tensor as it is stored. */
  const stored = (name: string): string => {
    const { dtype, shape, location, offset, bytes } = weights.get(name)!;
    initializers.set(name, { name, type: DTYPES[dtype], dims: shape, external: { location, offset, length: bytes } });
    return name;
  };
  const widened = new Set<string>();
  /** A tensor as float32: half precision is cast in the graph. */
  const float = (name: string): string => {
    if (stored(name) && weights.get(name)!.dtype === "F32") return name;
    const out = `${name}/float`;
    if (!widened.has(name)) add("Cast", [name], [out], { to: BigInt(ELEMENT.FLOAT) });
    widened.add(name);
    return out;
  };
  const linear = (x: string, name: string, out: string): string => {
    const bias = weights.has(`${name}.bias`) ? [float(`${name}.bias`)] : [];
    add("Gemm", [x, float(`${name}.weight`), ...bias], [out], { transB: 1n });
    return out;
  };
  const epsilon = a.epsilon;

  // embedding: gathered as stored, then widened, so that the table is never copied
  add("Gather", [stored("embed_tokens.weight"), "input_ids"], ["embed/rows"], { axis: 0n });
  const rows = weights.get("embed_tokens.weight")!.dtype === "F32" ? "embed/rows" : "embed/float";
  if (rows === "embed/float") add("Cast", ["embed/rows"], [rows], { to: BigInt(ELEMENT.FLOAT) });
  initializers.set("flat", int64("flat", [-1, a.width]));
  add("Reshape", [rows, "flat"], ["embed_tokens"]);

  // [N, w] → [B, T, w]: the batch's own shape, then what is left
  add("Shape", ["input_ids"], ["shape/ids"]);
  initializers.set("rest", int64("rest", [-1]));
  add("Concat", ["shape/ids", "rest"], ["shape/batch"], { axis: 0n });
  initializers.set("flat/heads", int64("flat/heads", [-1, a.heads * a.headDim]));
  initializers.set("flat/head", int64("flat/head", [-1, a.headDim]));

  const inside = rotatesInside(a);
  const room = headRoom(a);
  if (room !== a.headDim) {
    initializers.set("rest/head", int64("rest/head", [-1, a.headDim]));
    add("Concat", ["shape/ids", "rest/head"], ["shape/heads"], { axis: 0n });
    initializers.set("room/pads", int64("room/pads", [0, 0, 0, 0, 0, 0, 0, room - a.headDim]));
    initializers.set("room/flat", int64("room/flat", [-1, room]));
    for (const [name, value] of [["room/from", 0], ["room/to", a.headDim], ["room/axis", 1]] as const) initializers.set(name, int64(name, [value]));
  }
  /** [B, T, heads·hd] with each head filled up to its room. */
  const filled = (x: string): string => {
    if (room === a.headDim) return x;
    add("Reshape", [x, "shape/heads"], [`${x}/heads`]);
    add("Pad", [`${x}/heads`, "room/pads"], [`${x}/padded`]);
    add("Reshape", [`${x}/padded`, "shape/batch"], [`${x}/filled`]);
    return `${x}/filled`;
  };
  /** Back to [N, heads·hd]. */
  const unfilled = (x: string, out: string): void => {
    if (room !== a.headDim) {
      add("Reshape", [x, "room/flat"], [`${x}/rows`]);
      add("Slice", [`${x}/rows`, "room/from", "room/to", "room/axis"], [`${x}/cut`]);
      x = `${x}/cut`;
    }
    add("Reshape", [x, "flat/heads"], [out]);
  };
  const attention = (i: number, x: string): string => {
    const at = `layers.${i}.self_attn`;
    const project = (part: "q" | "k" | "v"): string => {
      let y = linear(x, `${at}.${part}_proj`, `${at}.${part}`);
      if (a.headNorm && part !== "v") {
        // one norm for each head: rows of one head's width
        add("Reshape", [y, "flat/head"], [`${y}/heads`]);
        add("SimplifiedLayerNormalization", [`${y}/heads`, float(`${at}.${part}_norm.weight`)], [`${y}/normed`], { axis: -1n, epsilon, stash_type: 1n });
        y = `${y}/normed`;
      }
      add("Reshape", [y, "shape/batch"], [`${at}.${part}/batch`]);
      y = `${at}.${part}/batch`;
      if (!inside && part !== "v") {
        const heads = BigInt(part === "q" ? a.heads : a.kvHeads);
        contrib("RotaryEmbedding", [y, "position_ids", "cos", "sin"], [`${at}.${part}/turned`], { num_heads: heads, rotary_embedding_dim: BigInt(a.headDim) });
        y = `${at}.${part}/turned`;
      }
      return filled(y);
    };
    const inputs = [project("q"), project("k"), project("v"),
      wanted.cache ? `past.${i}.key` : "", wanted.cache ? `past.${i}.value` : "", "seqlens_k", "total_sequence_length"];
    contrib("GroupQueryAttention", inside ? [...inputs, "cos", "sin"] : inputs, [`${at}.z/batch`, `present.${i}.key`, `present.${i}.value`], {
      num_heads: BigInt(a.heads), kv_num_heads: BigInt(a.kvHeads), scale: 1 / Math.sqrt(a.headDim), do_rotary: inside ? 1n : 0n,
      rotary_interleaved: 0n, local_window_size: BigInt(a.window[i] || -1),
    });
    unfilled(`${at}.z/batch`, `${at}.z`);
    return linear(`${at}.z`, `${at}.o_proj`, at);
  };

  const mlp = (i: number, x: string): string => {
    const at = `layers.${i}.mlp`;
    const gate = linear(x, `${at}.gate_proj`, `${at}.gate`);
    const up = linear(x, `${at}.up_proj`, `${at}.up`);
    if (a.activation === "silu") contrib("QuickGelu", [gate], [`${at}.open`], { alpha: 1 }); // x·sigmoid(1·x)
    else add("Gelu", [gate], [`${at}.open`], { approximate: a.activation === "gelu_tanh" ? "tanh" : "none" });
    add("Mul", [`${at}.open`, up], [`${at}.act`]);
    return linear(`${at}.act`, `${at}.down_proj`, at);
  };

  /** skip + branch → its norm and, as fourth output, the sum. */
  const addAndNorm = (branch: string, skip: string, weight: string, sum: string): string => {
    contrib("SkipSimplifiedLayerNormalization", [branch, skip, float(weight)], [`${sum}/normed`, "", "", sum], { epsilon });
    return `${sum}/normed`;
  };

  const last = wanted.logits || wanted.cache ? a.layers - 1 : wanted.hooks.reduce((x, y) => (deeper(y, x) > 0 ? y : x)).layer;
  let x = "";
  for (let i = 0; i <= last; i++) {
    if (i === 0) {
      x = "embed/normed";
      add("SimplifiedLayerNormalization", ["embed_tokens", float("layers.0.input_layernorm.weight")], [x], { axis: -1n, epsilon, stash_type: 1n });
    }
    const mid = `layers.${i}/mid`;
    const n = addAndNorm(attention(i, x), i ? `layers.${i - 1}` : "embed_tokens", `layers.${i}.post_attention_layernorm.weight`, mid);
    const m = mlp(i, n);
    if (i < last) x = addAndNorm(m, mid, `layers.${i + 1}.input_layernorm.weight`, `layers.${i}`);
    else if (wanted.logits) x = addAndNorm(m, mid, "norm.weight", `layers.${i}`);
    else add("Add", [mid, m], [`layers.${i}`]);
  }
  if (wanted.logits) {
    if (wanted.logits === "last") {
      add("Gather", [x, "last"], ["norm/last"], { axis: 0n });
      x = "norm/last";
    }
    add("Gemm", [x, float(a.tied ? "embed_tokens.weight" : "lm_head.weight")], ["logits"], { transB: 1n });
  }

  const cached = wanted.cache ? Array.from({ length: a.layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat() : [];
  const outputs = [
    ...wanted.hooks.map(({ name }) => name),
    ...(wanted.logits ? ["logits"] : []),
    ...cached.map((name) => `present.${name}`),
  ];
  const kept = prune(nodes, outputs);
  const read = new Set(kept.flatMap((node) => node.inputs));
  const inputs: Value[] = [
    { name: "input_ids", type: ELEMENT.INT32, dims: ["batch", "tokens"] },
    { name: "seqlens_k", type: ELEMENT.INT32, dims: ["batch"] },
    { name: "total_sequence_length", type: ELEMENT.INT32, dims: [] },
    { name: "cos", type: ELEMENT.FLOAT, dims: ["positions", a.headDim / 2] },
    { name: "sin", type: ELEMENT.FLOAT, dims: ["positions", a.headDim / 2] },
    { name: "position_ids", type: ELEMENT.INT64, dims: ["batch", "tokens"] },
    { name: "last", type: ELEMENT.INT32, dims: ["batch"] },
    ...cached.map((name) => ({ name: `past.${name}`, type: ELEMENT.FLOAT, dims: ["batch", a.kvHeads, "past", room] })),
  ].filter(({ name }) => read.has(name));
  const used = [...weights.keys()].filter((name) => read.has(name));
  return {
    model: {
      irVersion: 10,
      opsets: { "": 21, "com.microsoft": 1 },
      producer: "saelab",
      name: a.family,
      nodes: kept,
      initializers: [...initializers.values()].filter(({ name }) => read.has(name)),
      inputs,
      outputs: outputs.map((name) => ({ name })), // the runtime infers type and shape
    },
    weights: used,
    elements: used.reduce((sum, name) => sum + weights.get(name)!.shape.reduce((p, q) => p * q, 1), 0),
    blocks: new Set(kept.flatMap((node) => node.outputs).flatMap((name) => /^layers\.(\d+)\.self_attn\.k$/.exec(name)?.[1] ?? [])).size,
  };
}

/**
 * Angles a token's pairs turn by, per position: θ^(−2j/hd), j = 0 … hd/2 − 1, in PyTorch's order of float32 roundings.
 * llama3 stretches long wavelengths by `factor` and blends in between.
 * @see transformers, modeling_rope_utils.py: _compute_default_rope_parameters, _compute_llama3_parameters
 */
export function ropeFrequencies(rope: Rope, headDim: number): Float32Array {
  const f = Math.fround;
  return Float32Array.from({ length: headDim / 2 }, (_, j) => {
    const base = f(1 / f(rope.theta ** f((2 * j) / headDim)));
    if (rope.kind === "default") return base;
    const stretched = f(base / rope.factor);
    if (rope.kind === "linear") return stretched;
    const wavelength = f(f(2 * Math.PI) / base);
    if (wavelength > rope.originalContext / rope.lowFrequency) return stretched;
    if (wavelength < rope.originalContext / rope.highFrequency) return base;
    const smooth = f(f(f(rope.originalContext / wavelength) - rope.lowFrequency) / (rope.highFrequency - rope.lowFrequency));
    return f(f(f(f(1 - smooth) * base) / rope.factor) + f(smooth * base));
  });
}

/** cos and sin of position × frequency, [positions, hd/2] each. */
export function ropeTables(rope: Rope, headDim: number, positions: number): { cos: Float32Array; sin: Float32Array } {
  const frequencies = ropeFrequencies(rope, headDim);
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let j = 0; j < half; j++) {
      const angle = Math.fround(p * frequencies[j]);
      cos[p * half + j] = Math.cos(angle);
      sin[p * half + j] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
