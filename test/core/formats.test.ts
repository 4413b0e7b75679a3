import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readDictionary } from "../../src/core/dictionarylearning";
import { CheckpointError, FormatError } from "../../src/core/errors";
import { readNpz } from "../../src/core/npz";
import { encode } from "../../src/core/sae";
import { parseLensConfig, readLens } from "../../src/core/saelens";
import { bytesSource, writeSafetensors, type TensorToWrite } from "../../src/core/safetensors";
import { readLlamaScope } from "../../src/core/scopes";
import { readMatrix, safetensorsIn } from "../../src/core/storedtensor";
import { inflate } from "../checkpoints";
import { kinds } from "../kinds";

const TINY = join(__dirname, "../../../test/oracle/saes/tiny");
const D = 3, F = 5;
const numbers = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(3 * i + 1));
const tensor = (name: string, ...shape: number[]): TensorToWrite => ({ name, shape, data: numbers(shape.reduce((a, b) => a * b, 1)) });
const tensors = (...list: TensorToWrite[]) => safetensorsIn(bytesSource(Buffer.concat(writeSafetensors(list))), "f");
const standard = [tensor("W_enc", D, F), tensor("b_enc", F), tensor("W_dec", F, D), tensor("b_dec", D)];

const lens = (cfg: object) => parseLensConfig(JSON.stringify({ d_in: D, d_sae: F, ...cfg }), "cfg.json");
const six = { metadata: { sae_lens_version: "6.18.0", hook_name: "blocks.1.hook_mlp_out" } };

test("SAELens 6 says its architecture; a flat configuration has other names and defaults", () => {
  const { architecture, k, hook, parts } = lens({ ...six, architecture: "topk", k: 2, rescale_acts_by_decoder_norm: true, apply_b_dec_to_input: false });
  assert.deepEqual([architecture, k, hook, parts], ["topk", 2, "blocks.1.hook_mlp_out", { subtractBDec: false, rescaleByDecoderNorm: true }]);
  const flat = lens({ activation_fn: "topk", activation_fn_kwargs: { k: 4 }, hook_point: "blocks.0.hook_resid_pre", normalize_activations: true });
  assert.deepEqual([flat.architecture, flat.k, flat.hook, flat.parts], ["topk", 4, "blocks.0.hook_resid_pre", {}]);
  assert.match(flat.warnings[0], /expected_average_only_in: rows are taken as they are/);
  assert.deepEqual(lens({ ...six, architecture: "skip_transcoder", d_out: 2 }).parts, { subtractBDec: false, transcoder: true });
  // what a transcoder predicts: in the metadata, flat before; SAELens' own defaults are no names
  const predicting = (name: unknown) => lens({ metadata: { ...six.metadata, hook_name_out: name }, architecture: "transcoder" }).target;
  assert.deepEqual(["blocks.1.hook_mlp_out", "", null].map(predicting), ["blocks.1.hook_mlp_out", undefined, undefined]);
  assert.equal(lens({ architecture: "transcoder", hook_name_out: "blocks.2.hook_mlp_out" }).target, "blocks.2.hook_mlp_out");
  assert.equal(lens({ ...six, hook_name_out: "blocks.2.hook_mlp_out" }).target, undefined);
});

const refused: [string, object, RegExp][] = [
  ["an unknown architecture", { ...six, architecture: "temporal" }, /architecture: expected one of standard, .*found "temporal"/],
  ["k over d_sae", { ...six, architecture: "topk", k: 6 }, /k: expected 1 to 5 \(d_sae\), found 6/],
  ["no k", { ...six, architecture: "topk" }, /k: .*found nothing/],
  ["another activation function", { activation_fn_str: "tanh-relu" }, /activation_fn_str: expected "relu" or "topk", found "tanh-relu"/],
  ["a flat top-k without k", { activation_fn_str: "topk" }, /activation_fn_kwargs\.k: .*found nothing/],
  ["another normalisation", { ...six, normalize_activations: "batch" }, /normalize_activations: expected one of none, .*found "batch"/],
  ["d_in that is no number", { ...six, d_in: "3" }, /d_in: expected a whole number of at least 1, found "3"/],
];
for (const [name, cfg, message] of refused) {
  test(`SAELens' cfg.json refused: ${name}`, () => {
    assert.throws(() => lens(cfg), (error: Error) => error instanceof CheckpointError && message.test(error.message) && error.message.startsWith("cfg.json: "));
  });
}

test("a training checkpoint of batch-top-k, which SAELens itself does not load, has one threshold for all", () => {
  const config = lens({ ...six, architecture: "batchtopk", k: 2, rescale_acts_by_decoder_norm: true });
  const { weights } = readLens(tensors(...standard, { name: "topk_threshold", shape: [], data: Float32Array.of(0.25) }), config, "f");
  assert.ok(weights.kind === "batchtopk" && weights.threshold === 0.25 && weights.rescaleByDecoderNorm);
  const { value } = encode(weights, numbers(12));
  assert.ok(value.some((v) => v > 0) && value.every((v) => v === 0 || v > 0.25));
  assert.throws(() => readLens(tensors(...standard), config, "f"), /topk_threshold: expected a number, found tensors W_enc/);
});

test("scaling factors of ones are dropped, others refused, as SAELens 6 does", () => {
  const ones = { name: "scaling_factor", shape: [F], data: new Float32Array(F).fill(1) };
  assert.equal(readLens(tensors(...standard, ones), lens({}), "f").weights.kind, "relu");
  assert.throws(() => readLens(tensors(...standard, tensor("scaling_factor", F)), lens({}), "f"), (error: Error) => error instanceof CheckpointError && /scaling_factor: expected ones/.test(error.message));
});

test("dictionary_learning: the class is told from the tensors where they can tell", () => {
  const linear = [tensor("encoder.weight", F, D), tensor("encoder.bias", F), tensor("decoder.weight", D, F)];
  const read = (list: TensorToWrite[], config?: object) => readDictionary(tensors(...list), config && JSON.stringify({ trainer: config }), "config.json", "ae.safetensors").weights;
  const auto = read([...linear, tensor("bias", D)]);
  assert.ok(auto.kind === "relu" && auto.rescaleByDecoderNorm);
  assert.equal(read([...standard, tensor("threshold", F)]).kind, "jumprelu");
  assert.equal(read([...standard, { name: "threshold", shape: [], data: Float32Array.of(1) }]).kind, "batchtopk");
  assert.throws(() => read([...linear, tensor("b_dec", D)]), /expected config\.json beside it, which says whether it is a TopK or a BatchTopK/);
  assert.throws(() => read(linear, { dict_class: "IdentityDict" }), /config\.json: trainer: dict_class: expected one of AutoEncoder, .*"IdentityDict"/);
  const k = { name: "k", shape: [], data: Int32Array.of(9) };
  assert.throws(() => read([...linear, tensor("b_dec", D), k], { dict_class: "AutoEncoderTopK" }), /k: expected 1 to 5, found 9/);
  assert.throws(() => read([tensor("b_dec", D)], { dict_class: "BatchTopKSAE" }), /expected encoder\.weight \[latents, d_in\]/);
});

test("Llama Scope: thresholds are exponentials, and must be numbers", () => {
  const list = [tensor("encoder.weight", F, D), tensor("encoder.bias", F), tensor("decoder.weight", D, F), tensor("decoder.bias", D)];
  const read = (log: Float32Array, config: object = {}) => readLlamaScope(
    tensors(...list, { name: "log_jumprelu_threshold", shape: [F], data: log }), JSON.stringify({ d_model: D, d_sae: F, ...config }), "config.json", "f");
  const { weights } = read(numbers(F));
  assert.ok(weights.kind === "jumprelu" && typeof weights.threshold !== "number" && weights.threshold.every((v, i) => v === Math.fround(Math.exp(numbers(F)[i]))));
  assert.match(read(numbers(F), { norm_activation: "dataset-wise" }).warnings[0], /dataset-wise/);
  assert.throws(() => read(new Float32Array(F).fill(200)), /log_jumprelu_threshold: expected logarithms/);
  assert.throws(() => read(numbers(F), { act_fn: "topk" }), /act_fn: expected "jumprelu", found "topk"/);
});

/** The same archive, with its directory in Zip64: counts, sizes and places moved to 64-bit fields. */
function zip64(bytes: Buffer): Buffer {
  const end = bytes.length - 22;
  const [count, size, offset] = [bytes.readUInt16LE(end + 10), bytes.readUInt32LE(end + 12), bytes.readUInt32LE(end + 16)];
  const entries: Buffer[] = [];
  for (let at = offset; at < offset + size;) {
    const [name, extra, comment] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field));
    const next = at + 46 + name + extra + comment;
    const entry = Buffer.from(bytes.subarray(at, at + 46 + name));
    const field = Buffer.alloc(28);
    field.writeUInt16LE(1, 0);
    field.writeUInt16LE(24, 2);
    [24, 20, 42].forEach((from, i) => {
      field.writeBigUInt64LE(BigInt(bytes.readUInt32LE(at + from)), 4 + 8 * i);
      entry.writeUInt32LE(0xffffffff, from);
    });
    entry.writeUInt16LE(28, 30);
    entry.writeUInt16LE(0, 32);
    entries.push(entry, field);
    at = next;
  }
  const directory = Buffer.concat(entries);
  const end64 = Buffer.alloc(56), locator = Buffer.alloc(20), last = Buffer.from(bytes.subarray(end));
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  [count, count, directory.length, offset].forEach((value, i) => end64.writeBigUInt64LE(BigInt(value), 24 + 8 * i));
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + directory.length), 8);
  last.writeUInt16LE(0xffff, 10);
  last.writeUInt32LE(0xffffffff, 12);
  last.writeUInt32LE(0xffffffff, 16);
  return Buffer.concat([bytes.subarray(0, offset), directory, end64, locator, last]);
}

test("an archive beyond 4 GB has 64-bit fields: read as the same arrays", () => {
  for (const folder of ["gemma_scope", "gemma_scope_deflated"]) {
    const bytes = readFileSync(join(TINY, folder, "params.npz"));
    const read = (content: Buffer) => new Map([...readNpz(bytesSource(content), "params.npz", inflate)].filter(([, { shape }]) => shape.length === 2).map(([name, one]) => [name, readMatrix(one)]));
    assert.deepEqual(read(zip64(bytes)), read(bytes));
    assert.equal(read(bytes).size, 2);
    assert.throws(() => read(zip64(bytes).subarray(0, -30)), FormatError);
  }
});

test("matrices of the kinds lie as their shapes say: every row of a transposed one is its own", () => {
  for (const { weights } of kinds) {
    const { d, latents, wEnc } = weights;
    const flipped = new Float32Array(wEnc.length);
    for (let f = 0; f < latents; f++) for (let j = 0; j < d; j++) flipped[j * latents + f] = wEnc[f * d + j];
    const stored = tensors({ name: "w", shape: [d, latents], data: flipped }).get("w")!;
    assert.deepEqual(readMatrix(stored, { transposed: true }), wEnc);
    const rows = Int32Array.of(2, 7, 8);
    assert.deepEqual(readMatrix(stored, { transposed: true, rows }), Float32Array.from([2, 7, 8].flatMap((f) => [...wEnc.subarray(f * d, (f + 1) * d)])));
  }
});
