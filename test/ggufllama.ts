import { readFileSync } from "node:fs";
import { join } from "node:path";
import { bytesSource, readFloats, readHeader } from "../src/core/safetensors";
import { floats, ggufBytes, item, T, type Stored } from "./ggufwriter";

const NAMES: Record<string, string> = {
  "model.embed_tokens": "token_embd", "model.norm": "output_norm", lm_head: "output",
  input_layernorm: "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
};

/** model.layers.1.mlp.up_proj.weight → blk.1.ffn_up.weight */
function ggufName(name: string): string {
  const [, block, stem, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name)!;
  return `${block === undefined ? "" : `blk.${block}.`}${NAMES[stem]}.${kind}`;
}

/** Rows of each head, first halves before second ones, as pairs (i, i + hd/2): how llama.cpp turns them. */
function paired(values: Float32Array, rows: number, heads: number): Float32Array {
  const [width, half] = [values.length / rows, rows / heads / 2];
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const [head, rest] = [Math.floor(row / (2 * half)), row % (2 * half)];
    const from = head * 2 * half + (rest % 2) * half + Math.floor(rest / 2);
    out.set(values.subarray(from * width, (from + 1) * width), row * width);
  }
  return out;
}

/** llama3's scaling as divisors of the plain frequencies, [headDim / 2]. */
function ropeFactors(headDim: number, theta: number, scaling: Record<"factor" | "low_freq_factor" | "high_freq_factor" | "original_max_position_embeddings", number>): Float32Array {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    const smooth = (original / wavelength - low) / (high - low);
    return smooth >= 1 ? 1 : smooth <= 0 ? factor : 1 / ((1 - smooth) / factor + smooth);
  });
}

/**
 * The tiny llama, test/oracle/models/llama, as llama.cpp stores it in float32: byte for byte what llama.cpp's Python package writes,
 * whose SHA-256 is `llama-f32` of test/oracle/gguf/golden.json (made by make_gguf.py).
 */
export function llamaGguf(folder: string): Uint8Array {
  const json = (name: string): any => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const [config, tokenizer] = [json("config.json"), json("tokenizer.json")];
  const added = new Map<number, string>(tokenizer.added_tokens.map(({ id, content }: { id: number; content: string }) => [id, content]));
  const pieces: string[] = [];
  for (const [piece, id] of Object.entries<number>(tokenizer.model.vocab)) pieces[id] = piece;
  for (const [id, content] of added) pieces[id] = content;
  const [NORMAL, CONTROL] = [1, 3];

  const source = bytesSource(new Uint8Array(readFileSync(join(folder, "model.safetensors"))));
  const weights = [...readHeader(source, folder).tensors].map(([name, info]): Stored => {
    const heads = /q_proj/.test(name) ? config.num_attention_heads : /k_proj/.test(name) ? config.num_key_value_heads : 0;
    const values = readFloats(source, info);
    return floats(ggufName(name), info.shape, heads ? paired(values, info.shape[0], heads) : values);
  });
  const factors = ropeFactors(config.head_dim, config.rope_theta, config.rope_scaling);
  const u32 = (key: string, value: number) => item(key, T.u32, value);
  return ggufBytes([
    item("general.architecture", T.string, "llama"), item("general.name", T.string, "Tiny llama"),
    u32("llama.block_count", config.num_hidden_layers), u32("llama.context_length", config.max_position_embeddings),
    u32("llama.embedding_length", config.hidden_size), u32("llama.feed_forward_length", config.intermediate_size),
    u32("llama.attention.head_count", config.num_attention_heads), u32("llama.attention.head_count_kv", config.num_key_value_heads),
    item("llama.attention.layer_norm_rms_epsilon", T.f32, config.rms_norm_eps), item("llama.rope.freq_base", T.f32, config.rope_theta),
    u32("llama.vocab_size", config.vocab_size), u32("llama.attention.key_length", config.head_dim), u32("llama.attention.value_length", config.head_dim),
    u32("llama.rope.dimension_count", config.head_dim),
    item("tokenizer.ggml.model", T.string, "gpt2"), item("tokenizer.ggml.pre", T.string, "gpt-2"), item("tokenizer.ggml.tokens", T.array, [T.string, pieces]),
    item("tokenizer.ggml.token_type", T.array, [T.i32, pieces.map((_, id) => (added.has(id) ? CONTROL : NORMAL))]),
    item("tokenizer.ggml.merges", T.array, [T.string, tokenizer.model.merges.map((pair: string | string[]) => [pair].flat().join(" "))]),
    u32("tokenizer.ggml.bos_token_id", config.bos_token_id), u32("tokenizer.ggml.eos_token_id", config.eos_token_id), u32("tokenizer.ggml.padding_token_id", config.pad_token_id),
    item("tokenizer.ggml.add_bos_token", T.bool, false), item("tokenizer.chat_template", T.string, json("tokenizer_config.json").chat_template),
  ], [floats("rope_freqs.weight", [factors.length], factors), ...weights]);
}
