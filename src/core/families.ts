import { ModelError } from "./errors";
import type { Anatomy } from "./hookname";
import { readRope, type Rope } from "./rope";

/**
 * One row a model family: what differs between architectures that are otherwise the same decoder. To add a family, add a row;
 * when it needs what no row has yet (another norm, another packing), teach core/build that first.
 * Every row has been run against PyTorch on a tiny model with random weights (test/oracle).
 */
export interface Family {
  /** `model_type` of config.json. */
  type: string;
  /** RMS: x/rms(x)·w; "rms 1+w": x/rms(x)·(1 + w); layer: LayerNorm with bias. */
  norm: "rms" | "rms 1+w" | "layer";
  /** Where norms sit: before the sublayers, after them (before the sum), or both. */
  norms: "before" | "after" | "both";
  /** Attention and MLP side by side: with a norm each, with one norm for both, or where this flag is set. */
  parallel?: "one norm" | "use_parallel_residual";
  /** How q, k and v are stored: apart, as rows of one matrix, as columns of one (Conv1D), or as rows by head. */
  packed: "no" | "rows" | "columns" | "heads";
  /** act(gate)·up, from one matrix each or from rows of one; or act(up). */
  mlp: "gated" | "gated rows" | "plain";
  /** Biases of the q, k and v projections, of the attention's output, of the MLP, of the head: always, never, or where this flag is set. */
  bias: { qkv: boolean | string; out: boolean | string; mlp: boolean | string; head: boolean };
  /** RMS norm of q and k before the rotation: of each head, or of all heads at once. */
  headNorm: "no" | "each" | "all";
  positions: "rotary" | "learned";
  /** Share of a head that is rotated, where the config says nothing. */
  rotated?: number;
  /** Which blocks see only the last `sliding_window` tokens, where the config has no layer_types. */
  window: "none" | "all" | "from max_window_layers" | "even" | "pattern";
  /** The embedding is multiplied by √D: by the model, or by the embedding's own module. */
  scaled?: "by the model" | "by the module";
  /** What stands for a field that config.json leaves out. */
  defaults?: Record<string, unknown>;
  names: Names;
}

/** Tensor names of a checkpoint, without prefix; "" where there is no such tensor. `layers` stands before the number of the block. */
interface Names {
  prefixes: string[];
  embed: string;
  positions?: string;
  layers: string;
  attnNorm: string;
  attnPostNorm: string;
  /** q, k and v; or the packed one. */
  qkv: string[];
  out: string;
  mlpNorm: string;
  mlpPostNorm: string;
  /** gate and up; or the packed or only one. */
  up: string[];
  down: string;
  norm: string;
  head: string;
  /** Tensors of old checkpoints that are no weights. */
  ignored?: RegExp;
}

const LLAMA: Names = {
  prefixes: ["model.", "", "language_model.model.", "model.language_model."],
  embed: "embed_tokens", layers: "layers", attnNorm: "input_layernorm", attnPostNorm: "",
  qkv: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], out: "self_attn.o_proj",
  mlpNorm: "post_attention_layernorm", mlpPostNorm: "", up: ["mlp.gate_proj", "mlp.up_proj"], down: "mlp.down_proj",
  norm: "norm", head: "lm_head", ignored: /rotary_emb\.inv_freq$/,
};
const GEMMA: Names = { ...LLAMA, attnPostNorm: "post_attention_layernorm", mlpNorm: "pre_feedforward_layernorm", mlpPostNorm: "post_feedforward_layernorm" };

const PLAIN = {
  norm: "rms", norms: "before", packed: "no", mlp: "gated", headNorm: "no", positions: "rotary", window: "none",
  bias: { qkv: false, out: false, mlp: false, head: false }, names: LLAMA,
} as const satisfies Omit<Family, "type">;

export const FAMILIES: Family[] = [
  { ...PLAIN, type: "llama", bias: { ...PLAIN.bias, qkv: "attention_bias", out: "attention_bias", mlp: "mlp_bias" } },
  { ...PLAIN, type: "mistral", window: "all" },
  { ...PLAIN, type: "qwen2", bias: { ...PLAIN.bias, qkv: true }, window: "from max_window_layers" },
  { ...PLAIN, type: "qwen3", bias: { ...PLAIN.bias, qkv: "attention_bias", out: "attention_bias" }, headNorm: "each", window: "from max_window_layers" },
  { ...PLAIN, type: "gemma2", norm: "rms 1+w", norms: "both", window: "even", scaled: "by the model", names: GEMMA,
    bias: { ...PLAIN.bias, qkv: "attention_bias", out: "attention_bias" },
    defaults: { head_dim: 256, query_pre_attn_scalar: 256, tie_word_embeddings: true, hidden_activation: "gelu_pytorch_tanh", sliding_window: 4096, attn_logit_softcapping: 50, final_logit_softcapping: 30, rms_norm_eps: 1e-6 } },
  { ...PLAIN, type: "gemma3_text", norm: "rms 1+w", norms: "both", headNorm: "each", window: "pattern", scaled: "by the module", names: GEMMA,
    bias: { ...PLAIN.bias, qkv: "attention_bias", out: "attention_bias" },
    defaults: {
      head_dim: 256, query_pre_attn_scalar: 256, tie_word_embeddings: true, hidden_activation: "gelu_pytorch_tanh", sliding_window: 4096, sliding_window_pattern: 6, rms_norm_eps: 1e-6,
      num_attention_heads: 8, num_key_value_heads: 4, vocab_size: 262_208, max_position_embeddings: 131_072, rope_theta: 1_000_000, rope_local_base_freq: 10_000 } },
  { ...PLAIN, type: "phi3", packed: "rows", mlp: "gated rows", window: "all", names: { ...LLAMA, qkv: ["self_attn.qkv_proj"], up: ["mlp.gate_up_proj"] } },
  { ...PLAIN, type: "olmo2", norms: "after", headNorm: "all", bias: { ...PLAIN.bias, qkv: "attention_bias", out: "attention_bias" },
    names: { ...LLAMA, attnNorm: "", attnPostNorm: "post_attention_layernorm", mlpNorm: "", mlpPostNorm: "post_feedforward_layernorm" } },
  { ...PLAIN, type: "gpt2", norm: "layer", packed: "columns", mlp: "plain", positions: "learned", bias: { qkv: true, out: true, mlp: true, head: false },
    defaults: { tie_word_embeddings: true, activation_function: "gelu_new", layer_norm_epsilon: 1e-5, vocab_size: 50_257, n_positions: 1024 },
    names: {
      prefixes: ["transformer.", ""], embed: "wte", positions: "wpe", layers: "h", attnNorm: "ln_1", attnPostNorm: "", qkv: ["attn.c_attn"], out: "attn.c_proj",
      mlpNorm: "ln_2", mlpPostNorm: "", up: ["mlp.c_fc"], down: "mlp.c_proj", norm: "ln_f", head: "lm_head", ignored: /attn\.(masked_)?bias$/ } },
  { ...PLAIN, type: "gpt_neox", norm: "layer", parallel: "use_parallel_residual", packed: "heads", mlp: "plain", rotated: 0.25, bias: { qkv: "attention_bias", out: "attention_bias", mlp: true, head: false },
    defaults: { use_parallel_residual: true, attention_bias: true, hidden_act: "gelu", layer_norm_eps: 1e-5 },
    names: {
      prefixes: ["gpt_neox.", ""], embed: "embed_in", layers: "layers", attnNorm: "input_layernorm", attnPostNorm: "", qkv: ["attention.query_key_value"], out: "attention.dense",
      mlpNorm: "post_attention_layernorm", mlpPostNorm: "", up: ["mlp.dense_h_to_4h"], down: "mlp.dense_4h_to_h", norm: "final_layer_norm", head: "embed_out", ignored: /(rotary_emb\.inv_freq|attention\.(masked_)?bias)$/ } },
  { ...PLAIN, type: "phi", norm: "layer", parallel: "one norm", mlp: "plain", rotated: 0.5, bias: { qkv: true, out: true, mlp: true, head: true },
    defaults: { hidden_act: "gelu_new", layer_norm_eps: 1e-5 },
    names: { ...LLAMA, out: "self_attn.dense", mlpNorm: "", up: ["mlp.fc1"], down: "mlp.fc2", norm: "final_layernorm" } },
];

/** A config.json, read and checked: the numbers that core/build needs. */
export interface Architecture {
  /** `model_type`. */
  family: string;
  row: Family;
  layers: number;
  width: number; // D
  heads: number; // H
  kvHeads: number; // KV
  headDim: number; // hd; H·hd may differ from D
  inner: number; // width inside the MLP
  vocabulary: number;
  /** Longest text, in tokens. */
  context: number;
  epsilon: number;
  activation: "silu" | "gelu" | "gelu_tanh" | "relu";
  /** Scale of the scores: 1/√hd, or what the family says. */
  scale: number;
  /** c in c·tanh(x/c) on scores and on logits; 0: none. */
  scoreCap: number;
  logitCap: number;
  parallel: boolean;
  /** Dimensions of a head that are rotated; 0 where positions are learned. */
  rotated: number;
  /** One or two ways of rotating, and which of them each block takes. */
  ropes: Rope[];
  ropeOf: number[];
  /** Head = transposed embedding. */
  tied: boolean;
  qkvBias: boolean;
  outBias: boolean;
  mlpBias: boolean;
  headBias: boolean;
  /** Tokens that block i sees, its own included; 0: all. */
  window: number[];
  /** End-of-text ids, as config.json gives them. */
  eos: number[];
}

const ACTIVATIONS: Record<string, Architecture["activation"]> = {
  silu: "silu", swish: "silu", gelu: "gelu", gelu_new: "gelu_tanh", gelu_pytorch_tanh: "gelu_tanh", gelu_fast: "gelu_tanh", relu: "relu",
};

export const anatomyOf = (a: Architecture): Anatomy => ({
  layers: a.layers, postNorm: a.row.norms !== "before", parallel: a.parallel, rotary: a.rotated > 0,
  embedding: a.row.positions === "learned" ? "positions" : a.row.scaled === "by the model" ? "scaled" : a.row.scaled ? "scaled rows" : "plain",
});

/**
 * Reads a config.json, in the form of hub checkpoints (`rope_theta`, `rope_scaling`) or of transformers 5 (`rope_parameters`).
 * @param where name of the file, for messages
 * @throws ModelError for an unknown family, a field that is missing or not what it should be, or a variant that no row describes
 */
export function readArchitecture(config: unknown, where: string): Architecture {
  const fail = (field: string, expected: string, found: unknown, remedy: string): never => {
    throw new ModelError(`${where}: ${field}: expected ${expected}, found ${found === undefined ? "nothing" : JSON.stringify(found)}. ${remedy}`);
  };
  if (typeof config !== "object" || config === null || Array.isArray(config)) fail("the file", "a JSON object", config, "Copy it again from where the model came from.");
  const outer = config as Record<string, any>;
  // models that also see pictures keep the language model's numbers apart
  const inner = typeof outer.text_config === "object" && outer.text_config !== null ? { eos_token_id: outer.eos_token_id, ...outer.text_config } : outer;

  const family = FAMILIES.find(({ type }) => type === inner.model_type) ?? fail(
    "model_type", `one of ${FAMILIES.map(({ type }) => type).join(", ")}`, inner.model_type,
    "A further family is a row of FAMILIES in src/core/families.ts, and what is new in it in src/core/build.ts.");
  const c: Record<string, any> = { ...family.defaults, ...Object.fromEntries(Object.entries(inner).filter(([key, value]) => value !== null || !(key in (family.defaults ?? {})) || key.endsWith("softcapping"))) };
  /** The first of a field's names that the config has. */
  const named = (...names: string[]): [string, any] => {
    const name = names.find((key) => c[key] !== undefined && c[key] !== null) ?? names[0];
    return [name, c[name]];
  };
  const incomplete = "The config is incomplete: copy it again from where the model came from.";
  const count = (...names: string[]): number => {
    const [name, value] = named(...names);
    return Number.isSafeInteger(value) && value > 0 ? value : fail(name, "a whole number above 0", value, incomplete);
  };
  const positive = (field: string, value: unknown): number =>
    typeof value === "number" && value > 0 && Number.isFinite(value) ? value : fail(field, "a number above 0", value, incomplete);

  const layers = count("num_hidden_layers", "n_layer");
  const width = count("hidden_size", "n_embd");
  const heads = count("num_attention_heads", "n_head");
  const kvHeads = c.num_key_value_heads == null ? heads : count("num_key_value_heads");
  if (heads % kvHeads) fail("num_key_value_heads", `a divisor of num_attention_heads (${heads})`, kvHeads, "The config is damaged: copy it again.");
  if (c.head_dim == null && width % heads) fail("hidden_size", `a multiple of num_attention_heads (${heads}), as there is no head_dim`, width, "Add head_dim, or copy the config again.");
  const headDim = c.head_dim == null ? width / heads : count("head_dim");

  const [actField, act] = named("hidden_activation", "hidden_act", "activation_function");
  const activation = ACTIVATIONS[act ?? "silu"] ?? fail(actField, `one of ${Object.keys(ACTIVATIONS).join(", ")}`, act, "Add it to core/families and core/build.");
  if (c.scale_attn_by_inverse_layer_idx === true) fail("scale_attn_by_inverse_layer_idx", "false", true, "This variant is not built yet: see src/core/build.ts.");
  if (c.qk_layernorm === true) fail("qk_layernorm", "false", true, "This variant is not built yet: see src/core/build.ts.");

  const context = count("max_position_embeddings", "n_positions");
  const pattern = count.bind(null, "sliding_window_pattern");
  const from = family.window === "from max_window_layers" ? Number(c.max_window_layers ?? 0) : 0;
  const slides = c.sliding_window != null && family.window !== "none" && (family.window !== "from max_window_layers" || c.use_sliding_window === true);
  const slidesAt = (i: number): boolean => slides && (
    Array.isArray(c.layer_types) ? c.layer_types[i] === "sliding_attention"
      : family.window === "even" ? i % 2 === 0 : family.window === "pattern" ? (i + 1) % pattern() !== 0 : i >= from);
  const window = Array.from({ length: layers }, (_, i) => (slidesAt(i) ? count("sliding_window") : 0));

  const { rotated, ropes, ropeOf } = family.positions === "learned" ? { rotated: 0, ropes: [], ropeOf: [] }
    : readRope(c, { headDim, share: family.rotated ?? 1, context, sliding: window.map((size) => size > 0), two: family.window === "pattern" }, fail);

  const flag = (bias: boolean | string): boolean => (typeof bias === "string" ? c[bias] === true : bias);
  const cap = (field: string): number => (c[field] == null ? 0 : positive(field, c[field]));
  return {
    family: family.type, row: family, layers, width, heads, kvHeads, headDim, vocabulary: count("vocab_size"), context, activation,
    inner: c.n_inner === null || (c.n_inner === undefined && c.intermediate_size === undefined && family.type === "gpt2") ? 4 * width : count("intermediate_size", "n_inner"),
    epsilon: positive(...named("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")),
    scale: c.query_pre_attn_scalar == null ? (c.scale_attn_weights === false ? 1 : 1 / Math.sqrt(headDim)) : positive("query_pre_attn_scalar", c.query_pre_attn_scalar) ** -0.5,
    scoreCap: cap("attn_logit_softcapping"), logitCap: cap("final_logit_softcapping"),
    parallel: family.parallel === "one norm" || (family.parallel !== undefined && c[family.parallel] === true),
    rotated, ropes, ropeOf,
    tied: c.tie_word_embeddings === true,
    qkvBias: flag(family.bias.qkv), outBias: flag(family.bias.out), mlpBias: flag(family.bias.mlp), headBias: family.bias.head,
    window,
    eos: [c.eos_token_id ?? []].flat().filter((id): id is number => Number.isSafeInteger(id)),
  };
}

/** A tensor of the family's graph: its name there, as stored without prefix, its shape. */
export interface ExpectedTensor {
  name: string;
  stored: string;
  shape: number[];
  /** Rows of the stored tensor that it is, where several are packed into one: [first, of how many]. */
  rows?: [number, number];
}

/**
 * Every tensor that the family's graph reads. Packed rows (Phi-3) are three tensors at three offsets; packed columns (GPT-2's
 * Conv1D, [in, out]) and rows by head (NeoX) cannot be told apart by offsets and are split in the graph.
 */
export function expectedTensors(a: Architecture): ExpectedTensor[] {
  const { row, width: D, headDim: hd } = a;
  const { names } = row;
  const out: ExpectedTensor[] = [];
  const conv = row.packed === "columns"; // such checkpoints keep every linear map as [in, out]
  const add = (name: string, stored: string, shape: number[], rows?: [number, number]): void => void out.push({ name, stored, shape, rows });
  const linear = (name: string, stored: string, [o, i]: [number, number], bias: boolean, rows?: [number, number]): void => {
    add(`${name}.weight`, `${stored}.weight`, conv ? [i, o] : [o, i], rows);
    if (bias) add(`${name}.bias`, `${stored}.bias`, [o], rows);
  };
  const norm = (name: string, stored: string, size = D): void => {
    if (!stored) return;
    add(`${name}.weight`, `${stored}.weight`, [size]);
    if (row.norm === "layer") add(`${name}.bias`, `${stored}.bias`, [size]);
  };
  add("embed_tokens.weight", `${names.embed}.weight`, [a.vocabulary, D]);
  if (names.positions) add("positions.weight", `${names.positions}.weight`, [a.context, D]);
  for (let i = 0; i < a.layers; i++) {
    const at = `layers.${i}`;
    const stored = `${names.layers}.${i}`;
    const put = (name: string): string => (name ? `${stored}.${name}` : "");
    norm(`${at}.attn_norm`, put(names.attnNorm));
    const sizes = [a.heads * hd, a.kvHeads * hd, a.kvHeads * hd];
    const total = sizes.reduce((x, y) => x + y);
    if (row.packed === "no") ["q", "k", "v"].forEach((part, p) => linear(`${at}.${part}_proj`, put(names.qkv[p]), [sizes[p], D], a.qkvBias));
    else if (row.packed === "rows") ["q", "k", "v"].forEach((part, p) =>
      linear(`${at}.${part}_proj`, put(names.qkv[0]), [sizes[p], D], a.qkvBias, [sizes.slice(0, p).reduce((x, y) => x + y, 0), total]));
    else linear(`${at}.qkv_proj`, put(names.qkv[0]), [total, D], a.qkvBias);
    if (row.headNorm !== "no") for (const [part, count] of [["q", a.heads], ["k", a.kvHeads]] as const) {
      add(`${at}.${part}_norm.weight`, `${stored}.self_attn.${part}_norm.weight`, [row.headNorm === "each" ? hd : count * hd]);
    }
    linear(`${at}.o_proj`, put(names.out), [D, a.heads * hd], a.outBias);
    norm(`${at}.attn_post_norm`, put(names.attnPostNorm));
    norm(`${at}.mlp_norm`, put(names.mlpNorm));
    if (row.mlp === "plain") linear(`${at}.up_proj`, put(names.up[0]), [a.inner, D], a.mlpBias);
    else ["gate", "up"].forEach((part, p) => row.mlp === "gated" ? linear(`${at}.${part}_proj`, put(names.up[p]), [a.inner, D], a.mlpBias)
      : linear(`${at}.${part}_proj`, put(names.up[0]), [a.inner, D], a.mlpBias, [p * a.inner, 2 * a.inner]));
    linear(`${at}.down_proj`, put(names.down), [D, a.inner], a.mlpBias);
    norm(`${at}.mlp_post_norm`, put(names.mlpPostNorm));
  }
  norm("norm", names.norm);
  if (!a.tied) {
    add("lm_head.weight", `${names.head}.weight`, [a.vocabulary, D]);
    if (a.headBias) add("lm_head.bias", `${names.head}.bias`, [a.vocabulary]);
  }
  return out;
}
