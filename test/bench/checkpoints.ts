import { closeSync, copyFileSync, existsSync, ftruncateSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileSource } from "../../src/adapters/files";
import { packageRoot } from "../../src/adapters/package";
import { openTokenizer } from "../../src/adapters/tokenizer";
import { random } from "../../src/core/random";
import { readFloats, readHeader } from "../../src/core/safetensors";

/** The models that bench model runs: SmolLM2-135M in float32, and files as large as real ones that are holes but for a few bytes. */

const SMOLLM2 = {
  model_type: "llama", architectures: ["LlamaForCausalLM"], hidden_size: 576, intermediate_size: 1536, num_hidden_layers: 30, num_attention_heads: 9,
  num_key_value_heads: 3, vocab_size: 49152, max_position_embeddings: 8192, rms_norm_eps: 1e-5, rope_theta: 100_000, hidden_act: "silu",
  tie_word_embeddings: true, torch_dtype: "float32",
};

const QWEN3 = {
  model_type: "qwen3", architectures: ["Qwen3ForCausalLM"], hidden_size: 2560, intermediate_size: 9728, num_hidden_layers: 36, num_attention_heads: 32,
  num_key_value_heads: 8, head_dim: 128, vocab_size: 151_936, max_position_embeddings: 40_960, rms_norm_eps: 1e-6, rope_theta: 1_000_000, hidden_act: "silu",
  tie_word_embeddings: true,
};

interface Tensor {
  name: string;
  shape: number[];
}

const elements = (shape: number[]): number => shape.reduce((product, size) => product * size, 1);

/** The tensors of such a config, in order. */
function tensors(c: typeof SMOLLM2 | typeof QWEN3): Tensor[] {
  const D = c.hidden_size, M = c.intermediate_size;
  const hd = "head_dim" in c ? c.head_dim : D / c.num_attention_heads;
  const Q = c.num_attention_heads * hd, K = c.num_key_value_heads * hd;
  const block: Record<string, number[]> = {
    "input_layernorm": [D], "post_attention_layernorm": [D], ...("head_dim" in c ? { "self_attn.q_norm": [hd], "self_attn.k_norm": [hd] } : {}),
    "self_attn.q_proj": [Q, D], "self_attn.k_proj": [K, D], "self_attn.v_proj": [K, D], "self_attn.o_proj": [D, Q],
    "mlp.gate_proj": [M, D], "mlp.up_proj": [M, D], "mlp.down_proj": [D, M],
  };
  return [
    { name: "model.embed_tokens.weight", shape: [c.vocab_size, D] },
    ...Array.from({ length: c.num_hidden_layers }, (_, i) => Object.entries(block).map(([part, shape]) => ({ name: `model.layers.${i}.${part}.weight`, shape }))).flat(),
    { name: "model.norm.weight", shape: [D] },
  ];
}

/** Length and header of a safetensors file, padded to 64 bytes, and how many bytes of data follow. */
function head(list: Tensor[], dtype: "F32" | "BF16"): { bytes: Uint8Array; data: number } {
  let data = 0;
  const header = Object.fromEntries(list.map(({ name, shape }) => {
    const from = data;
    data += elements(shape) * (dtype === "F32" ? 4 : 2);
    return [name, { dtype, shape, data_offsets: [from, data] }];
  }));
  const json = Buffer.from(JSON.stringify(header));
  const bytes = Buffer.alloc(Math.ceil((8 + json.length) / 64) * 64, " ");
  bytes.writeBigUInt64LE(BigInt(bytes.length - 8));
  json.copy(bytes, 8);
  return { bytes, data };
}

/** Where the tokenizer comes from that the models without one of their own are given. */
const tokenizerOf = (folder?: string): string =>
  [folder, join(packageRoot, "data", "tiny-reasoner")].flatMap((from) => (from ? join(from, "tokenizer.json") : [])).find((file) => existsSync(file))!;

/**
 * SmolLM2-135M in float32 and without an end-of-text token, so that every continuation is as long as it is told to be, in a folder that is kept.
 * @param from a checkpoint of it (test/oracle/make_smollm2.py makes one); without, weights are random: as much work, and PyTorch must agree on them too
 */
export function smollm2(to: string, from?: string): string {
  const folder = `${to}-${from ? "float32" : "random"}`;
  if (existsSync(join(folder, "config.json"))) return folder;
  const part = `${folder}.${process.pid}.part`;
  mkdirSync(part, { recursive: true });
  const file = openSync(join(part, "model.safetensors"), "w");
  if (from) {
    const source = fileSource(join(from, "model.safetensors"));
    const stored = readHeader(source, from).tensors;
    writeSync(file, head([...stored].map(([name, { shape }]) => ({ name, shape })), "F32").bytes);
    for (const info of stored.values()) writeSync(file, readFloats(source, info));
    source.close();
  } else {
    const list = tensors(SMOLLM2);
    const rng = random(0);
    const noise = Float32Array.from({ length: 1 << 20 }, () => rng.normal() / Math.sqrt(SMOLLM2.hidden_size));
    writeSync(file, head(list, "F32").bytes);
    const { vocabularySize } = openTokenizer(dirname(tokenizerOf()));
    for (const { name, shape } of list) {
      // a piece of the noise, from another place each time; norms are near one. Tokens that the tokenizer does not know are zero, so that none is chosen
      const begin = rng.below(1 << 19), known = name === "model.embed_tokens.weight" ? vocabularySize * SMOLLM2.hidden_size : Infinity;
      writeSync(file, Float32Array.from({ length: elements(shape) }, (_, i) => (i < known ? (shape.length === 1 ? 1 : 0) + noise[(begin + i) % noise.length] : 0)));
    }
  }
  closeSync(file);
  copyFileSync(tokenizerOf(from), join(part, "tokenizer.json"));
  const { eos_token_id, ...config } = { ...(from ? JSON.parse(readFileSync(join(from, "config.json"), "utf8")) : SMOLLM2), torch_dtype: "float32" };
  writeFileSync(join(part, "config.json"), JSON.stringify(config));
  renameSync(part, folder);
  return folder;
}

/**
 * A checkpoint of the size of Qwen3-4B, a hole in the file: 16.1 GB in F32, 8.0 GB in BF16, on the disk a block for each tensor. Its first number is
 * not zero and unlike those of the others, as ONNX Runtime keeps equal weights once.
 * @param tokenizer folder whose tokenizer.json is taken: fewer tokens than the vocabulary has
 */
export function sparseQwen3(folder: string, dtype: "F32" | "BF16", tokenizer?: string): { bytes: number; layers: number } {
  mkdirSync(folder, { recursive: true });
  const list = tensors(QWEN3);
  const { bytes, data } = head(list, dtype);
  const file = openSync(join(folder, "model.safetensors"), "w");
  let at = writeSync(file, bytes);
  const size = dtype === "F32" ? 4 : 2;
  list.forEach(({ shape }, i) => {
    const own = (1 + (i % 128) / 128) / 2 ** Math.floor(i / 128); // exact in bfloat16, which is the upper half of a float32
    writeSync(file, new Uint8Array(Float32Array.of(own).buffer, 4 - size), 0, size, at);
    at += elements(shape) * size;
  });
  ftruncateSync(file, bytes.length + data);
  closeSync(file);
  copyFileSync(tokenizerOf(tokenizer), join(folder, "tokenizer.json"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(QWEN3));
  return { bytes: bytes.length + data, layers: QWEN3.num_hidden_layers };
}

/** A length or tag in protobuf: base 128, low group first. */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Buffer.from([...bytes, value]);
}
const number = (field: number, value: number): Buffer => Buffer.concat([varint(field << 3), varint(value)]);
const bytesHead = (field: number, length: number): Buffer => Buffer.concat([varint((field << 3) | 2), varint(length)]);
const block = (field: number, ...pieces: (Buffer | string)[]): Buffer => {
  const body = Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));
  return Buffer.concat([bytesHead(field, body.length), body]);
};

/** An ONNX file with its weights inside: a chain of 200 products of [1, 1536] with [1536, 1536], 1.89 GB, the weights a hole each. */
export function sparseOnnx(path: string): { bytes: number; weights: number } {
  const width = 1536, count = 200, raw = width * width * 4;
  const value = (name: string): Buffer =>
    Buffer.concat([block(1, name), block(2, block(1, number(1, 1), block(2, block(1, number(1, 1)), block(1, number(1, width)))))]);
  const names = Array.from({ length: count }, (_, i) => `weight.${i}`);
  // TensorProto up to its raw data: dims, data_type FLOAT, name, and the length of what follows as a hole
  const inner = names.map((name) => Buffer.concat([number(1, width), number(1, width), number(2, 1), block(8, name), bytesHead(9, raw)]));
  const heads = inner.map((bytes) => Buffer.concat([bytesHead(5, bytes.length + raw), bytes]));
  const rest = Buffer.concat([
    ...names.map((name, i) => block(1, block(1, i ? `x.${i}` : "x"), block(1, name), block(2, i < count - 1 ? `x.${i + 1}` : "y"), block(4, "MatMul"))),
    block(2, "sparse"), block(11, value("x")), block(12, value("y")),
  ]);
  const graph = heads.reduce((sum, bytes) => sum + bytes.length + raw, rest.length);
  const file = openSync(path, "w");
  let at = 0;
  const put = (bytes: Buffer): void => void (at += writeSync(file, bytes, 0, bytes.length, at));
  put(Buffer.concat([number(1, 10), block(8, number(2, 21)), bytesHead(7, graph)]));
  for (const bytes of heads) {
    put(bytes);
    at += raw;
  }
  put(rest);
  closeSync(file);
  return { bytes: at, weights: count };
}
