import { FormatError } from "./errors";
import type { Gguf, GgufTensor } from "./gguf";
import { ropeScaling } from "./ggufrope";

/**
 * GGUF metadata and tensor names → what a Hugging Face checkpoint of the same model says: config.json, and for every tensor of the
 * checkpoint where its numbers are and what llama.cpp's converter did to them, to be undone. Data, not arithmetic: core/ggufweights does it.
 * One row an architecture; to add one, add a row.
 * @see https://github.com/ggml-org/llama.cpp/blob/master/convert_hf_to_gguf.py (the way there), gguf-py/gguf/tensor_mapping.py (names)
 */

/** One tensor of the checkpoint, [out, in] row-major, as rows of one tensor of the file. Steps in the order of the fields. */
export interface TensorPlan {
  from: string;
  to: string;
  /** Of the result. */
  shape: number[];
  /** Only rows [first, end) of the stored tensor: one of q, k, v that were stored as one. */
  rows?: [number, number];
  /** Rows of each of so many heads are stored as pairs (i, i + hd/2); the result has first halves before second ones. */
  unpairHeads?: number;
  /** Rows are stored as all q, all k, all v; the result has q, k, v of one head after the other. */
  gatherHeads?: number;
  /** Stored [out, in], wanted [in, out]: GPT-2's Conv1D. */
  transpose?: true;
  /** Added to every element: −1 where 1 was added to a norm's weight (in float32, so that a last bit may be lost). */
  add?: number;
}

export interface GgufModel {
  /** Of general.architecture: llama, qwen2 … */
  architecture: string;
  config: Record<string, unknown>;
  generation: Record<string, unknown>;
  tensors: TensorPlan[];
}

type Step = Pick<TensorPlan, "transpose" | "add"> & { unpair?: "heads" | "kvHeads"; gather?: true };

interface Row {
  type: string;
  class: string;
  /** Tensor of the file → tensor of the checkpoint, without .weight or .bias; {i} is the block. */
  names: Record<string, string | [string, Step]>;
  config(read: Reader): Record<string, unknown>;
}

/** Blocks of the llama kind; what differs is put over it. */
const BLOCK: Row["names"] = {
  token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head",
  "blk.{i}.attn_norm": "model.layers.{i}.input_layernorm",
  "blk.{i}.attn_q": "model.layers.{i}.self_attn.q_proj", "blk.{i}.attn_k": "model.layers.{i}.self_attn.k_proj",
  "blk.{i}.attn_v": "model.layers.{i}.self_attn.v_proj", "blk.{i}.attn_output": "model.layers.{i}.self_attn.o_proj",
  "blk.{i}.ffn_norm": "model.layers.{i}.post_attention_layernorm",
  "blk.{i}.ffn_gate": "model.layers.{i}.mlp.gate_proj", "blk.{i}.ffn_up": "model.layers.{i}.mlp.up_proj", "blk.{i}.ffn_down": "model.layers.{i}.mlp.down_proj",
};
const HEAD_NORMS: Row["names"] = {
  "blk.{i}.attn_q_norm": "model.layers.{i}.self_attn.q_norm", "blk.{i}.attn_k_norm": "model.layers.{i}.self_attn.k_norm",
};
const without = (names: Row["names"], ...left: string[]): Row["names"] => Object.fromEntries(Object.entries(names).filter(([name]) => !left.includes(name)));
/** Gemma's norms multiply by 1 + w; the file holds 1 + w. */
const lessOne = (names: Row["names"]): Row["names"] =>
  Object.fromEntries(Object.entries(names).map(([from, to]) => [from, from.endsWith("norm") ? [to as string, { add: -1 }] : to]));
const GEMMA: Row["names"] = lessOne({
  ...BLOCK, "blk.{i}.post_attention_norm": "model.layers.{i}.post_attention_layernorm",
  "blk.{i}.ffn_norm": "model.layers.{i}.pre_feedforward_layernorm", "blk.{i}.post_ffw_norm": "model.layers.{i}.post_feedforward_layernorm",
});

const ROWS: Record<string, Row> = {
  // Mistral is stored as llama too; what tells it apart is a window, which most conversions leave out
  llama: {
    type: "llama", class: "LlamaForCausalLM",
    names: {
      ...BLOCK, "blk.{i}.attn_q": ["model.layers.{i}.self_attn.q_proj", { unpair: "heads" }],
      "blk.{i}.attn_k": ["model.layers.{i}.self_attn.k_proj", { unpair: "kvHeads" }],
    },
    config(read) {
      const window = read.count("attention.sliding_window", 0);
      return {
        ...read.decoder(), hidden_act: "silu", attention_bias: read.biases("attn_q", "attn_k", "attn_v", "attn_output"), mlp_bias: read.biases("ffn_gate", "ffn_up", "ffn_down"),
        ...(window ? { architectures: ["MistralForCausalLM"], model_type: "mistral", sliding_window: window } : {}),
      };
    },
  },
  qwen2: {
    type: "qwen2", class: "Qwen2ForCausalLM", names: BLOCK,
    config: (read) => ({ ...read.decoder(), hidden_act: "silu", use_sliding_window: false }),
  },
  qwen3: {
    type: "qwen3", class: "Qwen3ForCausalLM", names: { ...BLOCK, ...HEAD_NORMS },
    config: (read) => ({ ...read.decoder(), hidden_act: "silu", attention_bias: read.biases("attn_q", "attn_k", "attn_v", "attn_output"), use_sliding_window: false }),
  },
  gemma2: {
    type: "gemma2", class: "Gemma2ForCausalLM", names: GEMMA,
    config: (read) => ({
      ...read.decoder(), hidden_act: "gelu_pytorch_tanh", hidden_activation: "gelu_pytorch_tanh", attention_bias: false,
      query_pre_attn_scalar: read.queryScalar(46),
      attn_logit_softcapping: read.number("attn_logit_softcapping", 50), final_logit_softcapping: read.number("final_logit_softcapping", 30),
      sliding_window: read.count("attention.sliding_window", 4096),
      layer_types: read.layers((i) => i % 2 === 0),
    }),
  },
  gemma3: {
    type: "gemma3_text", class: "Gemma3ForCausalLM", names: { ...GEMMA, ...lessOne(HEAD_NORMS) },
    config: (read) => ({
      ...read.decoder(1_000_000), hidden_act: "gelu_pytorch_tanh", hidden_activation: "gelu_pytorch_tanh", attention_bias: false,
      query_pre_attn_scalar: read.queryScalar(62),
      rope_local_base_freq: read.number("rope.freq_base_swa", 10_000),
      sliding_window: read.count("attention.sliding_window"), attn_logit_softcapping: null, final_logit_softcapping: null,
      layer_types: read.slidingLayers(6),
    }),
  },
  phi3: {
    type: "phi3", class: "Phi3ForCausalLM",
    names: {
      ...without(BLOCK, "blk.{i}.attn_q", "blk.{i}.attn_k", "blk.{i}.attn_v", "blk.{i}.ffn_gate"),
      "blk.{i}.attn_qkv": "model.layers.{i}.self_attn.qkv_proj", "blk.{i}.ffn_up": "model.layers.{i}.mlp.gate_up_proj",
    },
    config: (read) => ({
      ...read.decoder(), hidden_act: "silu", ...read.partialRotation("partial_rotary_factor"),
      sliding_window: read.count("attention.sliding_window", 0) || null,
      original_max_position_embeddings: read.count("rope.scaling.original_context_length", read.count("context_length")),
    }),
  },
  olmo2: {
    type: "olmo2", class: "Olmo2ForCausalLM",
    names: {
      ...without(BLOCK, "blk.{i}.attn_norm", "blk.{i}.ffn_norm"), ...HEAD_NORMS,
      "blk.{i}.post_attention_norm": "model.layers.{i}.post_attention_layernorm", "blk.{i}.post_ffw_norm": "model.layers.{i}.post_feedforward_layernorm",
    },
    config: (read) => ({ ...read.decoder(), hidden_act: "silu", attention_bias: false }),
  },
  gpt2: {
    type: "gpt2", class: "GPT2LMHeadModel",
    names: {
      token_embd: "wte", position_embd: "wpe", output_norm: "ln_f", output: "lm_head",
      "blk.{i}.attn_norm": "h.{i}.ln_1", "blk.{i}.attn_qkv": ["h.{i}.attn.c_attn", { transpose: true }],
      "blk.{i}.attn_output": ["h.{i}.attn.c_proj", { transpose: true }], "blk.{i}.ffn_norm": "h.{i}.ln_2",
      "blk.{i}.ffn_up": ["h.{i}.mlp.c_fc", { transpose: true }], "blk.{i}.ffn_down": ["h.{i}.mlp.c_proj", { transpose: true }],
    },
    config: (read) => ({
      n_embd: read.width, n_layer: read.blocks, n_head: read.heads, n_positions: read.count("context_length"), n_inner: read.inner,
      layer_norm_epsilon: read.number("attention.layer_norm_epsilon"), activation_function: "gelu_new",
    }),
  },
  gptneox: {
    type: "gpt_neox", class: "GPTNeoXForCausalLM",
    names: {
      token_embd: "gpt_neox.embed_in", output_norm: "gpt_neox.final_layer_norm", output: "embed_out",
      "blk.{i}.attn_norm": "gpt_neox.layers.{i}.input_layernorm", "blk.{i}.ffn_norm": "gpt_neox.layers.{i}.post_attention_layernorm",
      "blk.{i}.attn_qkv": ["gpt_neox.layers.{i}.attention.query_key_value", { gather: true }], "blk.{i}.attn_output": "gpt_neox.layers.{i}.attention.dense",
      "blk.{i}.ffn_up": "gpt_neox.layers.{i}.mlp.dense_h_to_4h", "blk.{i}.ffn_down": "gpt_neox.layers.{i}.mlp.dense_4h_to_h",
    },
    config: (read) => ({
      ...read.common(), hidden_act: "gelu", layer_norm_eps: read.number("attention.layer_norm_epsilon"), attention_bias: true,
      ...read.partialRotation("rotary_pct"), rotary_emb_base: read.number("rope.freq_base", 10_000), rope_scaling: read.scaling(),
      use_parallel_residual: read.flag("use_parallel_residual", true),
    }),
  },
  phi2: {
    type: "phi", class: "PhiForCausalLM",
    names: {
      ...without(BLOCK, "blk.{i}.ffn_gate", "blk.{i}.ffn_norm"), output_norm: "model.final_layernorm",
      "blk.{i}.attn_output": "model.layers.{i}.self_attn.dense", "blk.{i}.ffn_up": "model.layers.{i}.mlp.fc1", "blk.{i}.ffn_down": "model.layers.{i}.mlp.fc2",
    },
    config: (read) => ({
      ...read.common(), intermediate_size: read.inner, hidden_act: "gelu_new", layer_norm_eps: read.number("attention.layer_norm_epsilon"), qk_layernorm: false,
      num_key_value_heads: read.kvHeads, ...read.partialRotation("partial_rotary_factor"),
      rope_theta: read.number("rope.freq_base", 10_000), rope_scaling: read.scaling(),
    }),
  },
};

/** general.architecture of the files that can be read. */
export const GGUF_ARCHITECTURES: readonly string[] = Object.keys(ROWS);

/** The shortest decimal that is this float32: 1e-6, not 9.99999997e-7. */
const shortest = (value: number): number => {
  for (let digits = 1; digits < 9; digits++) if (Math.fround(Number(value.toPrecision(digits))) === Math.fround(value)) return Number(value.toPrecision(digits));
  return value;
};

/** Metadata under the architecture's prefix, with the fields that several architectures share. */
function reader(gguf: Gguf, architecture: string, floats: (tensor: GgufTensor) => Float32Array, fail: (what: string, remedy?: string) => never) {
  const key = (field: string): string => `${architecture}.${field}`;
  const missing = (field: string, expected: string): never => fail(`metadata ${key(field)}: expected ${expected}, found ${describe(gguf.metadata.get(key(field)))}`);
  const value = (field: string): unknown => {
    const found = gguf.metadata.get(key(field));
    if (typeof found !== "object") return found;
    // a list, one entry a block: llama.cpp can, none of these models does
    const list = Array.from(found as ArrayLike<unknown>);
    return list.length && list.every((one) => one === list[0]) ? list[0] : missing(field, "one value for all blocks");
  };
  const number = (field: string, otherwise?: number): number => {
    const found = value(field) ?? otherwise;
    return typeof found === "number" && Number.isFinite(found) ? shortest(found) : missing(field, "a number");
  };
  const count = (field: string, otherwise?: number): number => {
    const found = value(field) ?? otherwise;
    return typeof found === "number" && Number.isInteger(found) && found >= (otherwise === 0 ? 0 : 1) ? found : missing(field, "a whole number above 0");
  };
  const flag = (field: string, otherwise: boolean): boolean => {
    const found = value(field) ?? otherwise;
    return typeof found === "boolean" ? found : missing(field, "a boolean");
  };
  const has = (name: string): boolean => gguf.tensors.has(name);
  const blocks = count("block_count");
  const width = count("embedding_length");
  const heads = count("attention.head_count");
  const kvHeads = count("attention.head_count_kv", heads);
  const headDim = count("attention.key_length", width / heads);
  if (count("attention.value_length", headDim) !== headDim) missing("attention.value_length", `${headDim}, as attention.key_length`);
  if (headDim % 2) missing("attention.key_length", "an even number");
  const rotated = count("rope.dimension_count", headDim);
  if (rotated > headDim || rotated % 2) missing("rope.dimension_count", `an even number up to ${headDim}`);
  const scale = number("attention.scale", 0);
  if (scale && !architecture.startsWith("gemma") && Math.abs(scale * Math.sqrt(headDim) - 1) > 1e-5) missing("attention.scale", `1/√${headDim}`);
  // what would change the numbers and has no place in the config
  for (const field of ["logit_scale", "residual_scale", "embedding_scale", "attention.output_scale"]) {
    if (![0, 1].includes(number(field, 1))) missing(field, "1 or nothing");
  }
  for (const field of ["attention.clamp_kqv", "attention.max_alibi_bias"]) if (number(field, 0)) missing(field, "0 or nothing");
  if (!flag("attention.causal", true)) missing("attention.causal", "true: texts are read from left to right");
  const embedding = gguf.tensors.get("token_embd.weight") ?? fail("expected a tensor token_embd.weight, found none");
  if (embedding.shape.length !== 2 || embedding.shape[1] !== width) fail(`tensor token_embd.weight: expected [vocabulary, ${width}], found [${embedding.shape.join(", ")}]`);

  const scaling = () => ropeScaling({
    text: (field) => value(field) as string | undefined, number, theta: number("rope.freq_base", 10_000), headDim: rotated,
    factors: (name) => { const tensor = gguf.tensors.get(name); return tensor && floats(tensor); }, fail,
  });
  const common = () => ({
    hidden_size: width, intermediate_size: count("feed_forward_length"), num_hidden_layers: blocks, num_attention_heads: heads,
    max_position_embeddings: count("context_length"),
  });
  const layers = (slides: (i: number) => boolean): string[] => Array.from({ length: blocks }, (_, i) => (slides(i) ? "sliding_attention" : "full_attention"));
  return {
    number, count, flag, has, blocks, width, heads, kvHeads, headDim, vocabulary: embedding.shape[0], common, scaling, layers,
    /** Width inside the MLP by its matrix: for GPT-2 and Phi-2 the converter writes 4·width, whatever it is. */
    inner: gguf.tensors.get("blk.0.ffn_up.weight")?.shape[0],
    /** Fields of the decoders with RMS norms and rotation. */
    decoder: (theta = 10_000) => ({
      ...common(), num_key_value_heads: kvHeads, head_dim: headDim, rms_norm_eps: number("attention.layer_norm_rms_epsilon"),
      rope_theta: number("rope.freq_base", theta), rope_scaling: scaling(), ...(rotated === headDim ? {} : { partial_rotary_factor: rotated / headDim }),
    }),
    /** Whether these have biases: all of them in all blocks, or none. */
    biases(...parts: string[]): boolean {
      const names = parts.flatMap((part) => Array.from({ length: blocks }, (_, i) => `blk.${i}.${part}.bias`));
      const found = names.filter(has);
      if (found.length && found.length < names.length) fail(`expected biases of all of ${parts.join(", ")} or of none, found ${found[0]} but not ${names.find((name) => !has(name))}`);
      return found.length > 0;
    },
    partialRotation: (field: string) => ({ [field]: rotated / headDim }),
    /** Gemma's 1/scale²; not in most files, and llama.cpp too knows the 27B, which alone differs, by its number of blocks. */
    queryScalar: (large: number) => (scale ? 1 / (scale * scale) : blocks === large ? width / heads : headDim),
    /** By attention.sliding_window_pattern: true or false for every block, or every how manyth block sees all. */
    slidingLayers(otherwise: number): string[] {
      const found = gguf.metadata.get(key("attention.sliding_window_pattern"));
      if (Array.isArray(found)) {
        return found.length === blocks && found.every((one) => typeof one === "boolean") ? layers((i) => found[i] as boolean)
          : missing("attention.sliding_window_pattern", `${blocks} booleans`);
      }
      const every = count("attention.sliding_window_pattern", otherwise);
      return layers((i) => (i + 1) % every !== 0);
    },
  };
}

type Reader = ReturnType<typeof reader>;

const describe = (value: unknown): string =>
  value === undefined ? "nothing" : typeof value === "object" ? `a list of ${(value as ArrayLike<unknown>).length}` : JSON.stringify(typeof value === "bigint" ? String(value) : value);

/** Tensors that are not part of the checkpoint: factors of the rotation, which {@link ropeScaling} reads. */
const ASIDE = /^(rope_freqs|rope_factors_(long|short)|blk\.\d+\.(attn_rot_embd|attn\.rot_embd|rope_freqs|rope_factors_(long|short)))(\.weight)?$/;

/**
 * @param floats numbers of a small tensor: the factors of the rotation are read
 * @param where name of the file, for messages
 * @throws FormatError naming the metadata key or the tensor that is missing, unknown or of another shape
 */
export function ggufModel(gguf: Gguf, floats: (tensor: GgufTensor) => Float32Array, where: string): GgufModel {
  const fail = (what: string, remedy = "The file is incomplete, or of a variant that is not read: take another conversion of the model."): never => {
    throw new FormatError(`${where}: ${what}. ${remedy}`);
  };
  const parts = gguf.metadata.get("split.count");
  if (typeof parts === "number" && parts > 1) fail(`expected a whole model, found part ${Number(gguf.metadata.get("split.no") ?? 0) + 1} of ${parts}`, "Put the parts together first: llama-gguf-split --merge FIRST-PART WHOLE.gguf.");
  const architecture = gguf.metadata.get("general.architecture");
  const row = typeof architecture === "string" && Object.hasOwn(ROWS, architecture) ? ROWS[architecture] : undefined;
  if (typeof architecture !== "string" || !row) {
    return fail(`metadata general.architecture: expected one of ${GGUF_ARCHITECTURES.join(", ")}, found ${describe(architecture)}`, "A further architecture is a row of src/core/ggufmodel.ts.");
  }
  const experts = gguf.metadata.get(`${architecture}.expert_count`);
  if (typeof experts === "number" && experts > 0) fail(`metadata ${architecture}.expert_count: expected a model without experts, found ${experts} experts`, "Mixtures of experts are not read.");

  const read = reader(gguf, architecture, floats, fail);
  const tensors = planTensors(gguf, row, read, fail);
  const id = (name: string): number | null => {
    const found = gguf.metadata.get(`tokenizer.ggml.${name}_token_id`);
    return typeof found === "number" && found >= 0 && found < read.vocabulary ? found : null;
  };
  // further tokens that end a turn, as llama.cpp stops at them too
  const ends = [...new Set([id("eos"), id("eot"), id("eom")].filter((one): one is number => one !== null))];
  const ids = { bos_token_id: id("bos"), eos_token_id: ends.length > 1 ? ends : ends[0] ?? null, pad_token_id: id("padding") };
  return {
    architecture, tensors,
    config: {
      architectures: [row.class], model_type: row.type, ...row.config(read), vocab_size: read.vocabulary,
      tie_word_embeddings: !read.has("output.weight"), ...ids, torch_dtype: "float32",
    },
    generation: Object.fromEntries(Object.entries(ids).filter(([, value]) => value !== null)),
  };
}

/** Every tensor of the file under its new name, and none missing. */
function planTensors(gguf: Gguf, row: Row, read: Reader, fail: (what: string, remedy?: string) => never): TensorPlan[] {
  const plans: TensorPlan[] = [];
  for (const { name, shape } of gguf.tensors.values()) {
    if (ASIDE.test(name)) continue;
    const [, block, kind] = /^(?:blk\.(\d+)\.)?.*\.(weight|bias)$/.exec(name) ?? fail(`tensor ${name}: expected a name ending in .weight or .bias`);
    if (block !== undefined && Number(block) >= read.blocks) fail(`tensor ${name}: expected blocks below ${read.blocks} (block_count), found it`);
    const stem = name.slice(0, -kind.length - 1).replace(/^blk\.\d+\./, "blk.{i}.");
    const given = (to: string): string => `${to.replace("{i}", block)}.${kind}`;
    const { heads, kvHeads, headDim } = read;
    if (stem === "blk.{i}.attn_qkv" && !row.names[stem] && row.names["blk.{i}.attn_q"]) {
      // stored as one, wanted as three
      const sizes: [string, number][] = [["q", heads], ["k", kvHeads], ["v", kvHeads]];
      let at = 0;
      for (const [part, count] of sizes) {
        const rows = count * headDim;
        plans.push({ from: name, to: given([row.names[`blk.{i}.attn_${part}`]].flat()[0] as string), shape: [rows, ...shape.slice(1)], rows: [at, at + rows] });
        at += rows;
      }
      if (at !== shape[0]) fail(`tensor ${name}: expected ${at} rows (query, key and value heads), found ${shape[0]}`);
      continue;
    }
    const entry = Object.hasOwn(row.names, stem) ? row.names[stem]
      : fail(`tensor ${name}: expected a tensor of architecture ${row.type}, found one that it does not have`, "The numbers would be wrong without it: this variant is not read.");
    const [to, step] = typeof entry === "string" ? [entry, {} as Step] : entry;
    const plan: TensorPlan = { from: name, to: given(to), shape };
    if (step.unpair) {
      plan.unpairHeads = read[step.unpair];
      if (shape[0] !== plan.unpairHeads * headDim) fail(`tensor ${name}: expected ${plan.unpairHeads * headDim} rows (${plan.unpairHeads} heads of ${headDim}), found ${shape[0]}`);
    }
    if (step.gather) {
      plan.gatherHeads = heads;
      if (shape[0] !== 3 * heads * headDim) fail(`tensor ${name}: expected ${3 * heads * headDim} rows (query, key and value of ${heads} heads), found ${shape[0]}`);
    }
    if (step.transpose && shape.length === 2) Object.assign(plan, { transpose: true, shape: [shape[1], shape[0]] });
    if (step.add) plan.add = step.add;
    plans.push(plan);
  }
  const made = new Set(plans.map(({ to }) => to));
  if (made.size !== plans.length) fail("expected each tensor of the checkpoint once, found attn_qkv beside attn_q, attn_k, attn_v");
  for (const [stem, entry] of Object.entries(row.names)) {
    if (stem === "output") continue; // tied to the embedding where absent
    for (let i = 0; i < (stem.includes("{i}") ? read.blocks : 1); i++) {
      const to = `${[entry].flat()[0] as string}.weight`.replace("{i}", String(i));
      if (!made.has(to)) fail(`expected a tensor ${stem.replace("{i}", String(i))}.weight, found none`);
    }
  }
  return plans;
}
