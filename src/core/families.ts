import { ModelError } from "./errors";

/**
 * One row a model family: what differs between architectures that are otherwise the same decoder. To add a family, add a row;
 * when it needs what no row has yet (another norm, packed projections, learned positions), teach core/build that first.
 * Every row has been run against PyTorch on a tiny model with random weights (test/oracle).
 */
export interface Family {
  /** `model_type` of config.json. */
  type: string;
  /** Biases of the q, k and v projections: always, or where this flag of the config is set. */
  qkvBias: true | "attention_bias";
  /** Bias of the attention's output projection: never, or where the flag is set. */
  outBias: false | "attention_bias";
  mlpBias: false | "mlp_bias";
  /** RMS norm of each head's q and k before the rotation. */
  headNorm: boolean;
  /** Which blocks see only the last `sliding_window` tokens. */
  window: "none" | "all" | "from max_window_layers";
}

export const FAMILIES: Family[] = [
  { type: "llama", qkvBias: "attention_bias", outBias: "attention_bias", mlpBias: "mlp_bias", headNorm: false, window: "none" },
  { type: "mistral", qkvBias: "attention_bias", outBias: false, mlpBias: false, headNorm: false, window: "all" },
  { type: "qwen2", qkvBias: true, outBias: false, mlpBias: false, headNorm: false, window: "from max_window_layers" },
  { type: "qwen3", qkvBias: "attention_bias", outBias: "attention_bias", mlpBias: false, headNorm: true, window: "from max_window_layers" },
];

export interface Rope {
  theta: number;
  kind: "default" | "linear" | "llama3";
  factor: number;
  /** llama3 only: wavelengths above originalContext / lowFrequency are stretched, below originalContext / highFrequency left alone. */
  lowFrequency: number;
  highFrequency: number;
  originalContext: number;
}

/** A config.json, read and checked: the numbers that core/build needs. */
export interface Architecture {
  family: string;
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
  activation: "silu" | "gelu" | "gelu_tanh";
  rope: Rope;
  /** Head = transposed embedding. */
  tied: boolean;
  qkvBias: boolean;
  outBias: boolean;
  mlpBias: boolean;
  headNorm: boolean;
  /** Tokens that block i sees, its own included; 0: all. */
  window: number[];
  /** End-of-text ids, as config.json gives them. */
  eos: number[];
}

const ACTIVATIONS: Record<string, Architecture["activation"]> = {
  silu: "silu", swish: "silu", gelu: "gelu", gelu_new: "gelu_tanh", gelu_pytorch_tanh: "gelu_tanh",
};

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
  const c = config as Record<string, any>;

  const family = FAMILIES.find(({ type }) => type === c.model_type) ?? fail(
    "model_type", `one of ${FAMILIES.map(({ type }) => type).join(", ")}`, c.model_type,
    "A further family is a row of FAMILIES in src/core/families.ts, and what is new in it in src/core/build.ts.");

  const count = (field: string, value: unknown = c[field]): number =>
    Number.isSafeInteger(value) && (value as number) > 0 ? (value as number)
      : fail(field, "a whole number above 0", value, "The config is incomplete: copy it again from where the model came from.");
  const positive = (field: string, value: unknown): number =>
    typeof value === "number" && value > 0 && Number.isFinite(value) ? value
      : fail(field, "a number above 0", value, "The config is incomplete: copy it again from where the model came from.");

  const layers = count("num_hidden_layers");
  const width = count("hidden_size");
  const heads = count("num_attention_heads");
  const kvHeads = count("num_key_value_heads", c.num_key_value_heads ?? heads);
  if (heads % kvHeads) fail("num_key_value_heads", `a divisor of num_attention_heads (${heads})`, kvHeads, "The config is damaged: copy it again.");
  if (c.head_dim == null && width % heads) fail("hidden_size", `a multiple of num_attention_heads (${heads}), as there is no head_dim`, width, "Add head_dim, or copy the config again.");
  const headDim = count("head_dim", c.head_dim ?? width / heads);
  if (headDim % 2) fail("head_dim", "an even number, for the rotation turns pairs", headDim, "The config is damaged: copy it again.");

  const activation = ACTIVATIONS[c.hidden_act ?? "silu"] ?? fail("hidden_act", `one of ${Object.keys(ACTIVATIONS).join(", ")}`, c.hidden_act, "Add it to core/families and core/build.");

  // rope_parameters: transformers 5; rope_scaling beside rope_theta: before that; "type" was the field's first name
  const scaling = (c.rope_parameters ?? c.rope_scaling ?? {}) as Record<string, any>;
  const kind = scaling.rope_type ?? scaling.type ?? "default";
  if (kind !== "default" && kind !== "linear" && kind !== "llama3") {
    fail("rope_scaling.rope_type", "default, linear or llama3", kind, "This scaling of positions is not built yet: see ropeFrequencies in src/core/build.ts.");
  }
  const rotated = c.partial_rotary_factor ?? scaling.partial_rotary_factor ?? 1;
  if (rotated !== 1) fail("partial_rotary_factor", "1 (whole heads are rotated)", rotated, "Partial rotation is not built yet: see src/core/build.ts.");
  const rope: Rope = {
    theta: positive("rope_theta", scaling.rope_theta ?? c.rope_theta ?? 10_000), // 10,000: what transformers assumes where a config says nothing
    kind,
    factor: kind === "default" ? 1 : positive("rope_scaling.factor", scaling.factor),
    lowFrequency: kind === "llama3" ? positive("rope_scaling.low_freq_factor", scaling.low_freq_factor) : 1,
    highFrequency: kind === "llama3" ? positive("rope_scaling.high_freq_factor", scaling.high_freq_factor) : 1,
    originalContext: kind === "llama3" ? positive("rope_scaling.original_max_position_embeddings", scaling.original_max_position_embeddings) : 0,
  };

  const slides = c.sliding_window != null && (family.window === "all" || (family.window === "from max_window_layers" && c.use_sliding_window === true));
  const from = family.window === "from max_window_layers" ? Number(c.max_window_layers ?? 0) : 0;
  const window = Array.from({ length: layers }, (_, i) => {
    const slidesHere = Array.isArray(c.layer_types) ? c.layer_types[i] === "sliding_attention" : i >= from;
    return slides && slidesHere ? count("sliding_window") : 0;
  });

  const flag = (bias: boolean | string): boolean => (typeof bias === "string" ? c[bias] === true : bias);
  return {
    family: family.type, layers, width, heads, kvHeads, headDim, inner: count("intermediate_size"), vocabulary: count("vocab_size"),
    context: count("max_position_embeddings"), epsilon: positive("rms_norm_eps", c.rms_norm_eps), activation, rope,
    tied: c.tie_word_embeddings === true,
    qkvBias: flag(family.qkvBias), outBias: flag(family.outBias), mlpBias: flag(family.mlpBias), headNorm: family.headNorm,
    window,
    eos: [c.eos_token_id ?? []].flat().filter((id): id is number => Number.isSafeInteger(id)),
  };
}
