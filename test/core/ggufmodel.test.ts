import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { makeTokenizer } from "../../src/adapters/tokenizer";
import { FormatError } from "../../src/core/errors";
import { readArchitecture } from "../../src/core/families";
import { readGguf, readGgufRows } from "../../src/core/gguf";
import { GGUF_ARCHITECTURES, ggufModel, type GgufModel } from "../../src/core/ggufmodel";
import { ggufTokenizer, GGUF_PRE_TOKENIZERS } from "../../src/core/gguftokenizer";
import { checkpointHeader, plannedFloats } from "../../src/core/ggufweights";
import { randomNumbers } from "../../src/core/sample";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import { floats, ggufBytes, item, T, type Item, type Stored } from "../ggufwriter";

const ORACLE = join(__dirname, "../../../test/oracle/gguf");

/** D = 8, 2 heads of 4, 1 for keys and values, MLP 12, 2 blocks, 10 tokens. */
const [D, H, KV, HD, INNER, BLOCKS, V, CONTEXT] = [8, 2, 1, 4, 12, 2, 10, 64];

interface Matrix {
  shape: number[];
  data: Float32Array;
}

let seed = 0;
const matrix = (...shape: number[]): Matrix => {
  const random = randomNumbers(++seed, 0);
  return { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() - 0.5) };
};
const rows = ({ shape, data }: Matrix): Float32Array[] => {
  const width = shape.length > 1 ? shape[shape.length - 1] : 1;
  return Array.from({ length: data.length / width }, (_, i) => data.slice(i * width, (i + 1) * width));
};
const fromRows = (list: Float32Array[], like: Matrix): Matrix =>
  ({ shape: like.shape.length > 1 ? [list.length, list[0].length] : [list.length], data: Float32Array.from(list.flatMap((row) => [...row])) });

// what llama.cpp's convert_hf_to_gguf.py does, written from its side
const paired = (heads: number) => (m: Matrix): Matrix => {
  const list = rows(m);
  const size = list.length / heads;
  return fromRows(list.map((_, at) => {
    const [head, k] = [Math.floor(at / size), at % size];
    return list[head * size + (k % 2) * (size / 2) + Math.floor(k / 2)];
  }), m);
};
const plusOne = (m: Matrix): Matrix => ({ ...m, data: m.data.map((x) => x + 1) });
const turned = (m: Matrix): Matrix => m.shape.length < 2 ? m
  : { shape: [m.shape[1], m.shape[0]], data: Float32Array.from({ length: m.data.length }, (_, at) => m.data[(at % m.shape[0]) * m.shape[1] + Math.floor(at / m.shape[0])]) };
const parted = (m: Matrix): Matrix => { // [head, (q, k, v), hd] → [(q, k, v), head, hd]
  const list = rows(m);
  return fromRows(list.map((_, at) => {
    const [part, head, k] = [Math.floor(at / (H * HD)), Math.floor(at / HD) % H, at % HD];
    return list[(head * 3 + part) * HD + k];
  }), m);
};
const same = (m: Matrix): Matrix => m;

type Line = [hf: string, gguf: string, shape: number[], forward?: (m: Matrix) => Matrix];
const base = (block: Line[], top: Line[] = []): Line[] => [
  ...top, ...Array.from({ length: BLOCKS }, (_, i) => block.map(([hf, gguf, ...rest]): Line => [hf.replace("{i}", String(i)), gguf.replace("{i}", String(i)), ...rest])).flat(),
];
const decoderTop: Line[] = [["model.embed_tokens.weight", "token_embd.weight", [V, D]], ["model.norm.weight", "output_norm.weight", [D]], ["lm_head.weight", "output.weight", [V, D]]];
const at = "model.layers.{i}";
const attention = (permuted = false): Line[] => [
  [`${at}.self_attn.q_proj.weight`, "blk.{i}.attn_q.weight", [H * HD, D], permuted ? paired(H) : same], [`${at}.self_attn.k_proj.weight`, "blk.{i}.attn_k.weight", [KV * HD, D], permuted ? paired(KV) : same],
  [`${at}.self_attn.v_proj.weight`, "blk.{i}.attn_v.weight", [KV * HD, D]], [`${at}.self_attn.o_proj.weight`, "blk.{i}.attn_output.weight", [D, H * HD]],
];
const biases = (permuted = false): Line[] => [
  [`${at}.self_attn.q_proj.bias`, "blk.{i}.attn_q.bias", [H * HD], permuted ? paired(H) : same], [`${at}.self_attn.k_proj.bias`, "blk.{i}.attn_k.bias", [KV * HD], permuted ? paired(KV) : same],
  [`${at}.self_attn.v_proj.bias`, "blk.{i}.attn_v.bias", [KV * HD]],
];
const mlp: Line[] = [
  [`${at}.mlp.gate_proj.weight`, "blk.{i}.ffn_gate.weight", [INNER, D]], [`${at}.mlp.up_proj.weight`, "blk.{i}.ffn_up.weight", [INNER, D]], [`${at}.mlp.down_proj.weight`, "blk.{i}.ffn_down.weight", [D, INNER]],
];
const norms: Line[] = [[`${at}.input_layernorm.weight`, "blk.{i}.attn_norm.weight", [D]], [`${at}.post_attention_layernorm.weight`, "blk.{i}.ffn_norm.weight", [D]]];
const headNorms = (width: number, keys: number, forward = same): Line[] => [
  [`${at}.self_attn.q_norm.weight`, "blk.{i}.attn_q_norm.weight", [width], forward], [`${at}.self_attn.k_norm.weight`, "blk.{i}.attn_k_norm.weight", [keys], forward],
];
const gemmaTop: Line[] = [["model.embed_tokens.weight", "token_embd.weight", [V, D]], ["model.norm.weight", "output_norm.weight", [D], plusOne]];
const gemmaNorms: Line[] = [
  [`${at}.input_layernorm.weight`, "blk.{i}.attn_norm.weight", [D], plusOne], [`${at}.post_attention_layernorm.weight`, "blk.{i}.post_attention_norm.weight", [D], plusOne],
  [`${at}.pre_feedforward_layernorm.weight`, "blk.{i}.ffn_norm.weight", [D], plusOne], [`${at}.post_feedforward_layernorm.weight`, "blk.{i}.post_ffw_norm.weight", [D], plusOne],
];
const withBias = (lines: Line[]): Line[] => lines.flatMap(([hf, gguf, shape, forward]): Line[] => [
  [hf, gguf, shape, forward], [hf.replace(/weight$/, "bias"), gguf.replace(/weight$/, "bias"), [forward === turned ? shape[1] : shape[0]], forward],
]);

const common = (name: string): Item[] => [
  item("general.architecture", T.string, name), item(`${name}.block_count`, T.u32, BLOCKS), item(`${name}.context_length`, T.u32, CONTEXT), item(`${name}.embedding_length`, T.u32, D),
  item(`${name}.feed_forward_length`, T.u32, INNER), item(`${name}.attention.head_count`, T.u32, H), item("tokenizer.ggml.bos_token_id", T.u32, 1), item("tokenizer.ggml.eos_token_id", T.u32, 2),
];
const rms = (name: string): Item[] => [...common(name), item(`${name}.attention.head_count_kv`, T.u32, KV), item(`${name}.attention.layer_norm_rms_epsilon`, T.f32, 1e-6), item(`${name}.rope.freq_base`, T.f32, 5e5)];
const layerNorm = (name: string): Item[] => [...common(name), item(`${name}.attention.layer_norm_epsilon`, T.f32, 1e-5)];

const gemmaShared = { hidden_act: "gelu_pytorch_tanh", hidden_activation: "gelu_pytorch_tanh", query_pre_attn_scalar: HD, tie_word_embeddings: true, sliding_window: 16 };
const CASES: Record<string, { items: Item[]; lines: Line[]; config: object }> = {
  llama: { items: rms("llama"), lines: base([...attention(true), ...mlp, ...norms], decoderTop), config: { model_type: "llama", attention_bias: false, mlp_bias: false, tie_word_embeddings: false, rope_scaling: null } },
  qwen2: { items: rms("qwen2"), lines: base([...attention(), ...biases(), ...mlp, ...norms], decoderTop), config: { model_type: "qwen2", use_sliding_window: false } },
  qwen3: { items: rms("qwen3"), lines: base([...attention(), ...headNorms(HD, HD), ...mlp, ...norms], decoderTop), config: { model_type: "qwen3", attention_bias: false } },
  gemma2: {
    items: [...rms("gemma2"), item("gemma2.attention.sliding_window", T.u32, 16), item("gemma2.attn_logit_softcapping", T.f32, 50), item("gemma2.final_logit_softcapping", T.f32, 30)],
    lines: base([...attention(), ...mlp, ...gemmaNorms], gemmaTop),
    config: { model_type: "gemma2", ...gemmaShared, attn_logit_softcapping: 50, final_logit_softcapping: 30, layer_types: ["sliding_attention", "full_attention"] },
  },
  gemma3: {
    items: [...rms("gemma3"), item("gemma3.attention.sliding_window", T.u32, 16), item("gemma3.rope.scaling.type", T.string, "linear"), item("gemma3.rope.scaling.factor", T.f32, 8), item("gemma3.attention.sliding_window_pattern", T.u32, 2)],
    lines: base([...attention(), ...headNorms(HD, HD, plusOne), ...mlp, ...gemmaNorms], gemmaTop),
    config: { model_type: "gemma3_text", ...gemmaShared, rope_local_base_freq: 10_000, rope_scaling: { type: "linear", rope_type: "linear", factor: 8 }, layer_types: ["sliding_attention", "full_attention"] },
  },
  phi3: {
    items: [...rms("phi3"), item("phi3.rope.dimension_count", T.u32, HD), item("phi3.attention.sliding_window", T.u32, 0)],
    lines: base([
      [`${at}.self_attn.qkv_proj.weight`, "blk.{i}.attn_qkv.weight", [(H + 2 * KV) * HD, D]], [`${at}.self_attn.o_proj.weight`, "blk.{i}.attn_output.weight", [D, H * HD]],
      [`${at}.mlp.gate_up_proj.weight`, "blk.{i}.ffn_up.weight", [2 * INNER, D]], [`${at}.mlp.down_proj.weight`, "blk.{i}.ffn_down.weight", [D, INNER]], ...norms,
    ], decoderTop),
    config: { model_type: "phi3", partial_rotary_factor: 1, sliding_window: null, original_max_position_embeddings: CONTEXT },
  },
  olmo2: {
    items: rms("olmo2"),
    lines: base([...attention(), ...headNorms(H * HD, KV * HD), ...mlp,
      [`${at}.post_attention_layernorm.weight`, "blk.{i}.post_attention_norm.weight", [D]], [`${at}.post_feedforward_layernorm.weight`, "blk.{i}.post_ffw_norm.weight", [D]]], decoderTop),
    config: { model_type: "olmo2", attention_bias: false },
  },
  gpt2: {
    items: layerNorm("gpt2"),
    lines: base(withBias([
      ["h.{i}.ln_1.weight", "blk.{i}.attn_norm.weight", [D]], ["h.{i}.attn.c_attn.weight", "blk.{i}.attn_qkv.weight", [D, 3 * D], turned], ["h.{i}.attn.c_proj.weight", "blk.{i}.attn_output.weight", [D, D], turned],
      ["h.{i}.ln_2.weight", "blk.{i}.ffn_norm.weight", [D]], ["h.{i}.mlp.c_fc.weight", "blk.{i}.ffn_up.weight", [D, INNER], turned], ["h.{i}.mlp.c_proj.weight", "blk.{i}.ffn_down.weight", [INNER, D], turned],
    ]), [["wte.weight", "token_embd.weight", [V, D]], ["wpe.weight", "position_embd.weight", [CONTEXT, D]], ...withBias([["ln_f.weight", "output_norm.weight", [D]]])]),
    config: { model_type: "gpt2", n_embd: D, n_layer: BLOCKS, n_head: H, n_positions: CONTEXT, n_inner: INNER, layer_norm_epsilon: 1e-5, activation_function: "gelu_new", tie_word_embeddings: true },
  },
  gptneox: {
    items: [...layerNorm("gptneox"), item("gptneox.rope.dimension_count", T.u32, 2), item("gptneox.use_parallel_residual", T.bool, true)],
    lines: base(withBias([
      ["gpt_neox.layers.{i}.attention.query_key_value.weight", "blk.{i}.attn_qkv.weight", [3 * D, D], parted], ["gpt_neox.layers.{i}.attention.dense.weight", "blk.{i}.attn_output.weight", [D, D]],
      ["gpt_neox.layers.{i}.input_layernorm.weight", "blk.{i}.attn_norm.weight", [D]], ["gpt_neox.layers.{i}.post_attention_layernorm.weight", "blk.{i}.ffn_norm.weight", [D]],
      ["gpt_neox.layers.{i}.mlp.dense_h_to_4h.weight", "blk.{i}.ffn_up.weight", [INNER, D]], ["gpt_neox.layers.{i}.mlp.dense_4h_to_h.weight", "blk.{i}.ffn_down.weight", [D, INNER]],
    ]), [["gpt_neox.embed_in.weight", "token_embd.weight", [V, D]], ["embed_out.weight", "output.weight", [V, D]], ...withBias([["gpt_neox.final_layer_norm.weight", "output_norm.weight", [D]]])]),
    config: { model_type: "gpt_neox", rotary_pct: 0.5, rotary_emb_base: 10_000, use_parallel_residual: true, layer_norm_eps: 1e-5, hidden_act: "gelu" },
  },
  phi2: {
    items: [...layerNorm("phi2"), item("phi2.rope.dimension_count", T.u32, 2)],
    lines: base(withBias([
      [`${at}.self_attn.q_proj.weight`, "blk.{i}.attn_q.weight", [D, D]], [`${at}.self_attn.k_proj.weight`, "blk.{i}.attn_k.weight", [D, D]], [`${at}.self_attn.v_proj.weight`, "blk.{i}.attn_v.weight", [D, D]],
      [`${at}.self_attn.dense.weight`, "blk.{i}.attn_output.weight", [D, D]], [`${at}.input_layernorm.weight`, "blk.{i}.attn_norm.weight", [D]],
      [`${at}.mlp.fc1.weight`, "blk.{i}.ffn_up.weight", [INNER, D]], [`${at}.mlp.fc2.weight`, "blk.{i}.ffn_down.weight", [D, INNER]],
    ]), [["model.embed_tokens.weight", "token_embd.weight", [V, D]], ...withBias([["lm_head.weight", "output.weight", [V, D]], ["model.final_layernorm.weight", "output_norm.weight", [D]]])]),
    config: { model_type: "phi", partial_rotary_factor: 0.5, num_key_value_heads: H, hidden_act: "gelu_new", layer_norm_eps: 1e-5 },
  },
};

const stored = (lines: Line[]): { tensors: Stored[]; want: Map<string, Matrix> } => {
  const want = new Map<string, Matrix>();
  const tensors = lines.map(([hf, gguf, shape, forward = same]) => {
    const m = matrix(...shape);
    want.set(hf, m);
    const there = forward(m);
    return floats(gguf, there.shape, there.data);
  });
  return { tensors, want };
};

const modelOf = (bytes: Uint8Array): GgufModel => {
  const source = bytesSource(bytes);
  return ggufModel(readGguf(source, "m.gguf"), (tensor) => readGgufRows(source, tensor), "m.gguf");
};
const planned = (bytes: Uint8Array): Map<string, { shape: number[]; data: Float32Array }> => {
  const source = bytesSource(bytes);
  const gguf = readGguf(source, "m.gguf");
  const { tensors } = ggufModel(gguf, (tensor) => readGgufRows(source, tensor), "m.gguf");
  const { head, bytes: size } = checkpointHeader(tensors);
  const pieces = tensors.flatMap((plan) => [...plannedFloats(source, gguf.tensors.get(plan.from)!, plan)].map((piece) => new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)));
  const file = new Uint8Array(Buffer.concat([head, ...pieces]));
  assert.equal(file.length, size);
  const made = bytesSource(file);
  return new Map([...readHeader(made, "made").tensors].map(([name, info]) => [name, { shape: info.shape, data: readFloats(made, info) }]));
};

test("there is a case for every architecture", () => assert.deepEqual(Object.keys(CASES).sort(), [...GGUF_ARCHITECTURES].sort()));

for (const [name, { items, lines, config }] of Object.entries(CASES)) {
  test(`${name}: config and tensors of the checkpoint, what the converter did undone`, () => {
    const { tensors, want } = stored(lines);
    const bytes = ggufBytes(items, tensors);
    const model = modelOf(bytes);
    const found = Object.fromEntries(Object.keys(config).map((key) => [key, model.config[key]]));
    assert.deepEqual(found, config);
    assert.deepEqual([model.config.vocab_size, model.config.bos_token_id, model.config.eos_token_id], [V, 1, 2]);
    const got = planned(bytes);
    assert.deepEqual([...got.keys()].sort(), [...want.keys()].sort());
    for (const [tensor, { shape, data }] of want) {
      assert.deepEqual(got.get(tensor)!.shape, shape, tensor);
      if (name.startsWith("gemma") && tensor.includes("norm")) got.get(tensor)!.data.forEach((x, i) => assert.ok(Math.abs(x - data[i]) <= 2 ** -24, `${tensor} ${i}`)); // w + 1 was rounded
      else assert.deepEqual(got.get(tensor)!.data, data, tensor);
    }
  });
}

test("the config is what core/families reads", () => {
  for (const name of ["llama", "qwen2", "qwen3"]) {
    const { items, lines } = CASES[name];
    const a = readArchitecture(modelOf(ggufBytes(items, stored(lines).tensors)).config, "config.json");
    assert.deepEqual([a.layers, a.width, a.heads, a.kvHeads, a.headDim, a.inner, a.vocabulary, a.context], [BLOCKS, D, H, KV, HD, INNER, V, CONTEXT]);
    assert.deepEqual([a.epsilon, a.ropes[0].theta, a.tied, a.qkvBias, a.row.headNorm, a.eos], [1e-6, 5e5, false, name === "qwen2", name === "qwen3" ? "each" : "no", [2]]);
  }
});

test("gpt2: the width inside the MLP is its matrix's, whatever the metadata say", () => {
  const { items, lines } = CASES.gpt2;
  const wrong = [...items.filter(({ key }) => key !== "gpt2.feed_forward_length"), item("gpt2.feed_forward_length", T.u32, 4 * D)]; // what the converter writes
  assert.equal(modelOf(ggufBytes(wrong, stored(lines).tensors)).config.n_inner, INNER);
});

test("llama: biases are put in order as rows are; an absent head is the embedding; several ends of text", () => {
  const lines = base([...attention(true), ...biases(true), [`${at}.self_attn.o_proj.bias`, "blk.{i}.attn_output.bias", [D]], ...mlp, ...norms], decoderTop.slice(0, 2));
  const { tensors, want } = stored(lines);
  const bytes = ggufBytes([...rms("llama"), item("tokenizer.ggml.eot_token_id", T.u32, 7), item("tokenizer.ggml.padding_token_id", T.u32, 2 ** 32 - 1)], tensors);
  const { config, generation } = modelOf(bytes);
  assert.deepEqual([config.attention_bias, config.tie_word_embeddings, config.eos_token_id, config.pad_token_id], [true, true, [2, 7], null]);
  assert.deepEqual(generation, { bos_token_id: 1, eos_token_id: [2, 7] });
  const got = planned(bytes);
  for (const [tensor, { data }] of want) assert.deepEqual(got.get(tensor)!.data, data, tensor);
});

test("phi2: query, key and value stored as one are taken apart", () => {
  const { items, lines } = CASES.phi2;
  const { tensors, want } = stored(lines);
  const one = (kind: string): Stored => {
    const parts = ["q", "k", "v"].map((part) => tensors.find(({ name }) => name === `blk.0.attn_${part}.${kind}`)!);
    return { ...parts[0], name: `blk.0.attn_qkv.${kind}`, dims: kind === "bias" ? [3 * D] : [D, 3 * D], data: Buffer.concat(parts.map(({ data }) => data)) };
  };
  const got = planned(ggufBytes(items, [...tensors.filter(({ name }) => !/^blk\.0\.attn_[qkv]\./.test(name)), one("weight"), one("bias")]));
  for (const [tensor, { data }] of want) assert.deepEqual(got.get(tensor)!.data, data, tensor);
});

/** Factors as convert_hf_to_gguf.py writes them. @see transformers, _compute_llama3_parameters */
const llama3 = (headDim: number, theta: number, factor: number, low: number, high: number, context: number): Float32Array =>
  Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wave = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wave < context / high) return 1;
    if (wave > context / low) return factor;
    const smooth = (context / wave - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });

test("rope_freqs.weight leads back to the llama3 scaling: the published ones exactly, others to the same factors", () => {
  const scaling = (theta: number, headDim: number, factors: Float32Array): any => {
    const { items, lines } = CASES.llama;
    const all = [...items.filter(({ key }) => !key.endsWith("freq_base")), item("llama.rope.freq_base", T.f32, theta), item("llama.attention.key_length", T.u32, headDim), item("llama.attention.value_length", T.u32, headDim)];
    const wide = lines.map(([hf, gguf, shape, forward]): Line => [hf, gguf, /attn_(q|k|v)\./.test(gguf) ? [shape[0] / HD * headDim, D] : gguf.includes("attn_output") ? [D, H * headDim] : shape, forward]);
    return modelOf(ggufBytes(all, [...stored(wide).tensors, floats("rope_freqs.weight", [factors.length], factors)])).config.rope_scaling;
  };
  for (const [theta, headDim, factor, context] of [[5e5, 128, 8, 8192], [5e5, 64, 32, 8192]]) { // Llama 3.1, Llama 3.2 1B
    assert.deepEqual(scaling(theta, headDim, llama3(headDim, theta, factor, 1, 4, context)), {
      rope_type: "llama3", factor, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: context,
    });
  }
  for (const [theta, headDim, factor, low, high, context] of [[1e4, 128, 4, 2, 9, 3000], [5e5, 16, 8, 1, 4, 16], [1e4, 64, 16, 1, 32, 8192], [1e6, 8, 8, 1, 1.01, 40]]) {
    const factors = llama3(headDim, theta, factor, low, high, context);
    const s = scaling(theta, headDim, factors);
    llama3(headDim, theta, s.factor, s.low_freq_factor, s.high_freq_factor, s.original_max_position_embeddings)
      .forEach((x, i) => assert.ok(Math.abs(x - factors[i]) <= 1e-4 * factors[i], `${[theta, headDim, factor]} factor ${i}: ${x}, ${factors[i]}`));
  }
  assert.equal(scaling(1e4, 8, new Float32Array(4).fill(1)), null);
  assert.throws(() => scaling(1e4, 8, Float32Array.of(1, 3, 2, 8)), (error: Error) => error instanceof FormatError && /rope_freqs\.weight: expected the factors of a llama3 scaling/.test(error.message));
  assert.throws(() => scaling(1e4, 8, new Float32Array(5)), /rope_freqs\.weight: expected 4 factors/);
});

test("phi3: long and short factors become longrope", () => {
  const { items, lines } = CASES.phi3;
  const { config } = modelOf(ggufBytes([...items, item("phi3.rope.scaling.original_context_length", T.u32, 16)], [
    ...stored(lines).tensors, floats("rope_factors_long.weight", [2], Float32Array.of(2, 4)), floats("rope_factors_short.weight", [2], Float32Array.of(1, 1.5))]));
  assert.deepEqual(config.rope_scaling, { type: "longrope", rope_type: "longrope", long_factor: [2, 4], short_factor: [1, 1.5] });
  assert.equal(config.original_max_position_embeddings, 16);
});

const refuses = (what: () => unknown, message: RegExp): void => assert.throws(what, (error: Error) => {
  assert.ok(error instanceof FormatError, error.stack);
  assert.match(error.message, /^m\.gguf: /);
  assert.match(error.message, message);
  return true;
});

test("what is missing, left over or of another kind is named", () => {
  const { items, lines } = CASES.llama;
  const { tensors } = stored(lines);
  const lacking = (key: string): Uint8Array => ggufBytes(items.filter((one) => one.key !== key), tensors);
  const more = (...added: Item[]): Uint8Array => ggufBytes([...items.filter(({ key }) => !added.some((one) => one.key === key)), ...added], tensors);
  for (const field of ["block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count", "attention.layer_norm_rms_epsilon"]) {
    refuses(() => modelOf(lacking(`llama.${field}`)), new RegExp(`metadata llama\\.${field.replaceAll(".", "\\.")}: expected .*, found nothing`));
  }
  refuses(() => modelOf(lacking("general.architecture")), /general\.architecture: expected one of llama, .*phi2, found nothing/);
  refuses(() => modelOf(more(item("general.architecture", T.string, "mamba"))), /found "mamba"/);
  refuses(() => modelOf(more(item("general.architecture", T.string, "constructor"))), /found "constructor"/);
  refuses(() => modelOf(more(item("llama.block_count", T.string, "2"))), /llama\.block_count: expected a whole number above 0, found "2"/);
  refuses(() => modelOf(more(item("llama.block_count", T.u32, 3))), /expected a tensor blk\.2\.attn_norm\.weight, found none/);
  refuses(() => modelOf(more(item("llama.block_count", T.u32, 1))), /tensor blk\.1\..*: expected blocks below 1/);
  refuses(() => modelOf(more(item("llama.attention.head_count", T.array, [T.u32, [2, 1]]))), /one value for all blocks, found a list of 2/);
  refuses(() => modelOf(more(item("llama.attention.value_length", T.u32, 8))), /value_length: expected 4/);
  refuses(() => modelOf(more(item("llama.expert_count", T.u32, 8))), /expert_count: .*found 8 experts/);
  refuses(() => modelOf(more(item("split.count", T.u32, 3))), /part 1 of 3\. .*llama-gguf-split --merge/);
  refuses(() => modelOf(more(item("llama.rope.scaling.type", T.string, "spiral"))), /rope\.scaling\.type: .*found "spiral"/);
  refuses(() => modelOf(more(item("llama.logit_scale", T.f32, 0.25))), /llama\.logit_scale: expected 1 or nothing, found 0\.25/);
  refuses(() => modelOf(more(item("llama.attention.scale", T.f32, 0.25))), /llama\.attention\.scale: expected 1\/√4/);
  refuses(() => modelOf(more(item("llama.attention.causal", T.bool, false))), /attention\.causal: expected true/);
  refuses(() => modelOf(more(item("llama.rope.dimension_count", T.u32, 8))), /rope\.dimension_count: expected an even number up to 4, found 8/);
  assert.equal(modelOf(more(item("llama.rope.dimension_count", T.u32, 2))).config.partial_rotary_factor, 0.5);
  const mistral = modelOf(more(item("llama.attention.sliding_window", T.u32, 32))).config;
  assert.deepEqual([mistral.model_type, mistral.sliding_window], ["mistral", 32]);
  refuses(() => modelOf(ggufBytes(items, tensors.slice(1))), /expected a tensor token_embd\.weight, found none/);
  refuses(() => modelOf(ggufBytes(items, [...tensors, floats("blk.0.attn_sinks.weight", [2], new Float32Array(2))])), /tensor blk\.0\.attn_sinks\.weight: .*does not have/);
  refuses(() => modelOf(ggufBytes(items, [...tensors, floats("blk.0.attn_q.bias", [8], new Float32Array(8))])), /found blk\.0\.attn_q\.bias but not blk\.1\.attn_q\.bias/);
  assert.equal(modelOf(more(item("llama.attention.head_count", T.array, [T.u32, [2, 2]]))).config.num_attention_heads, 2);
});

const vocabulary = (change: Record<string, Item | undefined> = {}): Item[] => {
  const items: Record<string, Item> = {
    model: item("tokenizer.ggml.model", T.string, "gpt2"), pre: item("tokenizer.ggml.pre", T.string, "gpt-2"),
    tokens: item("tokenizer.ggml.tokens", T.array, [T.string, ["<s>", "a", "b", "ab", "<think>", "[PAD5]", "[PAD6]"]]),
    types: item("tokenizer.ggml.token_type", T.array, [T.i32, [3, 1, 1, 1, 4, 5, 5]]), merges: item("tokenizer.ggml.merges", T.array, [T.string, ["a b"]]),
    bos: item("tokenizer.ggml.bos_token_id", T.u32, 0), template: item("tokenizer.chat_template", T.string, "{{ x }}"),
  };
  return Object.values({ ...items, ...change }).filter((one) => one !== undefined);
};
const tokenizerOf = (items: Item[]) => ggufTokenizer(readGguf(bytesSource(ggufBytes(items)), "m.gguf"), "m.gguf");

test("byte-level: vocabulary, merges, added tokens, what is put in front", () => {
  const { tokenizer, config } = tokenizerOf(vocabulary({ add: item("tokenizer.ggml.add_bos_token", T.bool, true) })) as any;
  assert.deepEqual(tokenizer.model.vocab, { "<s>": 0, a: 1, b: 2, ab: 3, "<think>": 4 });
  assert.deepEqual(tokenizer.model.merges, [["a", "b"]]);
  assert.deepEqual(tokenizer.added_tokens.map(({ id, special }: any) => [id, special]), [[0, true], [4, false]]);
  assert.deepEqual([config.bos_token, config.eos_token, config.add_bos_token, config.chat_template], ["<s>", null, true, "{{ x }}"]);
  const made = makeTokenizer(tokenizer, config, "test");
  assert.deepEqual([...made.encode("ab<think>b").ids], [0, 3, 4, 2]);
  assert.equal((tokenizerOf(vocabulary()) as any).tokenizer.post_processor, null);
  const llama = tokenizerOf(vocabulary({ pre: item("tokenizer.ggml.pre", T.string, "llama-bpe") })) as any;
  assert.deepEqual([llama.config.add_bos_token, llama.tokenizer.model.ignore_merges], [true, true]);
});

test("pre-tokenizers: where words end (patterns of llama.cpp's llama-vocab.cpp)", () => {
  const text = "I'LL pay 12345 \u0661\u0662  now\n\n";
  const cuts: Record<string, string[]> = {
    "gpt-2": ["I", "'", "LL", " pay", " 12345", " \u0661\u0662", " ", " now", "\n\n"],
    smollm: ["I", "'", "LL", " pay", " ", "1", "2", "3", "4", "5", " ", "\u0661", "\u0662", " ", " now", "\n\n"],
    "llama-bpe": ["I", "'LL", " pay", " ", "123", "45", " ", "\u0661\u0662", " ", " now", "\n\n"],
    qwen2: ["I", "'LL", " pay", " ", "1", "2", "3", "4", "5", " ", "\u0661", "\u0662", " ", " now", "\n\n"],
    default: ["I", "'", "LL", " pay", " ", "123", "45", " ", "\u0661\u0662", " ", " now", "\n\n"],
  };
  cuts["deepseek-r1-qwen"] = cuts.qwen2;
  // every stretch of the text is a piece, and merges join any two that meet: a word becomes one token
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  const unprintable = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte));
  const letters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : 256 + unprintable.indexOf(byte)));
  const whole = [...Buffer.from(text)].map((byte) => letters[byte]).join("");
  const pieces = new Set(letters);
  const merges = new Set<string>();
  for (let length = 2; length <= whole.length; length++) {
    for (let from = 0; from + length <= whole.length; from++) {
      const piece = whole.slice(from, from + length);
      pieces.add(piece);
      for (let i = 1; i < length; i++) merges.add(`${piece.slice(0, i)} ${piece.slice(i)}`);
    }
  }
  for (const [pre, words] of Object.entries(cuts)) {
    const { tokenizer, config } = tokenizerOf([
      item("tokenizer.ggml.model", T.string, "gpt2"), item("tokenizer.ggml.pre", T.string, pre), item("tokenizer.ggml.tokens", T.array, [T.string, [...pieces]]),
      item("tokenizer.ggml.merges", T.array, [T.string, [...merges]]), item("tokenizer.ggml.add_bos_token", T.bool, false),
    ]);
    const { start, end } = makeTokenizer(tokenizer, config, pre).encode(text);
    assert.deepEqual([...start].map((from, t) => text.slice(from, end[t])), words, pre);
  }
});

test("SentencePiece: merges from scores give llama.cpp's tokens", () => {
  const { tokenizer, config } = ggufTokenizer(readGguf(bytesSource(new Uint8Array(readFileSync(join(ORACLE, "spm.gguf")))), "spm.gguf"), "spm.gguf");
  const made = makeTokenizer(tokenizer, config, "spm.gguf");
  for (const { text, ids } of JSON.parse(readFileSync(join(ORACLE, "golden.json"), "utf8")).spm) {
    assert.deepEqual([...made.encode(text).ids], ids, JSON.stringify(text));
    if (!/<[|t]/.test(text)) assert.equal(made.decode(ids.slice(1)), text); // after an added token such a tokenizer puts another space
  }
});

test("SentencePiece without a space in front", () => {
  const { metadata, ...rest } = readGguf(bytesSource(new Uint8Array(readFileSync(join(ORACLE, "spm.gguf")))), "spm.gguf");
  const { tokenizer, config } = ggufTokenizer({ ...rest, metadata: new Map(metadata).set("tokenizer.ggml.add_space_prefix", false).set("tokenizer.ggml.add_bos_token", false) }, "spm.gguf");
  const made = makeTokenizer(tokenizer, config, "spm.gguf");
  const { ids, start, end } = made.encode("the other");
  assert.equal(made.decode(ids), "the other");
  assert.deepEqual([start[0], end.at(-1)], [0, 9]);
  assert.notEqual(made.bytes(ids[0])[0], 32);
});

test("a vocabulary that is incomplete or of another kind is named", () => {
  assert.deepEqual([...GGUF_PRE_TOKENIZERS].slice(0, 2), ["default", "gpt-2"]);
  const bad = (change: Record<string, Item | undefined>, message: RegExp): void => refuses(() => tokenizerOf(vocabulary(change)), message);
  bad({ model: undefined }, /tokenizer\.ggml\.model: expected gpt2 .* or llama .*, found nothing/);
  bad({ model: item("tokenizer.ggml.model", T.string, "bert") }, /found "bert"/);
  bad({ pre: item("tokenizer.ggml.pre", T.string, "viking") }, /tokenizer\.ggml\.pre: expected one of default, gpt-2, .*, found "viking"\. .*CUTS/);
  bad({ tokens: undefined }, /tokenizer\.ggml\.tokens: expected a list of strings/);
  bad({ tokens: item("tokenizer.ggml.tokens", T.array, [T.u32, [1]]) }, /tokens: expected a list of strings/);
  bad({ types: item("tokenizer.ggml.token_type", T.array, [T.i32, [1]]) }, /token_type: expected 7 types/);
  bad({ merges: undefined }, /merges: expected a list of strings/);
  bad({ merges: item("tokenizer.ggml.merges", T.array, [T.string, ["a c"]]) }, /merges: expected two pieces that join to a piece, found "a c" at 0/);
  bad({ merges: item("tokenizer.ggml.merges", T.array, [T.string, ["ab"]]) }, /found "ab" at 0/);
  bad({ tokens: item("tokenizer.ggml.tokens", T.array, [T.string, ["a", "a", "b", "ab", "c", "d", "e"]]) }, /each piece once, found "a" as 0 and 1/);
  bad({ tokens: item("tokenizer.ggml.tokens", T.array, [T.string, ["a", "b".repeat(5000), "b", "ab", "c", "d", "e"]]) }, /at most 1024 characters, found 5000 at 1/);
  bad({ bos: item("tokenizer.ggml.bos_token_id", T.u32, 99) }, /bos_token_id: expected an id below 7, found 99/);
  bad({ bos: undefined, add: item("tokenizer.ggml.add_bos_token", T.bool, true) }, /add_bos_token: expected a bos_token_id with it/);
  bad({ add: item("tokenizer.ggml.add_bos_token", T.u32, 1) }, /add_bos_token: expected true or false/);
  bad({ model: item("tokenizer.ggml.model", T.string, "llama") }, /scores: expected 7 numbers/);
  bad({ model: item("tokenizer.ggml.model", T.string, "llama"), scores: item("tokenizer.ggml.scores", T.array, [T.f32, [0, 0, 0, 0, 0, 0, 0]]) }, /each of the 256 bytes, found no <0x00>/);
});

test("300 mutations of a whole model's header: a typed error, or a model whose tensors can be read", () => {
  const original = new Uint8Array(readFileSync(join(ORACLE, "qwen2-mixed.gguf")));
  const random = randomNumbers(11, 0);
  const below = (n: number): number => Math.floor(random() * n);
  let refused = 0;
  for (let i = 0; i < 300; i++) {
    const bytes = Uint8Array.from(original);
    for (let j = 0; j <= below(3); j++) {
      const at = below(2) ? below(1200) : below(14_000); // the fields, or all of the header
      if (below(2)) bytes[at] = below(256);
      else new DataView(bytes.buffer).setUint32(at, [0, 1, 3, 2 ** 16, 2 ** 31, 2 ** 32 - 1][below(6)], true);
    }
    try {
      const source = bytesSource(bytes);
      const gguf = readGguf(source, "m.gguf");
      const { tensors } = ggufModel(gguf, (tensor) => readGgufRows(source, tensor), "m.gguf");
      ggufTokenizer(gguf, "m.gguf");
      for (const plan of tensors) {
        let elements = 0;
        for (const piece of plannedFloats(source, gguf.tensors.get(plan.from)!, plan)) elements += piece.length;
        assert.equal(elements, plan.shape.reduce((a, b) => a * b, 1), plan.to);
      }
    } catch (error) {
      assert.ok(error instanceof FormatError, `mutation ${i}: ${(error as Error).stack}`);
      refused++;
    }
  }
  assert.ok(refused > 100 && refused < 300, `${refused} refused`);
});
