import assert from "node:assert/strict";
import { test } from "node:test";
import { CheckpointError, FormatError } from "../../src/core/errors";
import { bytesSource, writeSafetensors, type ByteSource, type TensorToWrite } from "../../src/core/safetensors";
import { configText, parseConfig, readSparsify, weightBytes, type Config } from "../../src/core/sparsify";
import { safetensorsIn } from "../../src/core/storedtensor";

/** Header and small tensors, and then the matrices too. */
const read = (bytes: ByteSource, config: Config, where: string) => {
  const opened = readSparsify(safetensorsIn(bytes, where), config, where);
  return { ...opened, weights: { ...opened.weights } };
};

const D = 3, F = 5;
const numbers = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i / 7 - 1);
const good: TensorToWrite[] = [
  { name: "encoder.weight", shape: [F, D], data: numbers(F * D) },
  { name: "encoder.bias", shape: [F], data: numbers(F) },
  { name: "W_dec", shape: [F, D], data: numbers(F * D) },
  { name: "b_dec", shape: [D], data: numbers(D) },
];
const source = (tensors: TensorToWrite[]) => bytesSource(Buffer.concat(writeSafetensors(tensors)));
const config: Config = { d: D, latents: F, k: 2, activation: "topk", transcode: false, skip: false, warnings: [] };

test("weights go to bytes and back, bit by bit", () => {
  const { weights, warnings } = read(source(good), config, "f");
  assert.deepEqual(warnings, []);
  const again = read(bytesSource(Buffer.concat(weightBytes(weights))), parseConfig(configText(weights), "c"), "f").weights;
  assert.deepEqual(again, weights);
});

const replaced = (name: string, by: Partial<TensorToWrite> | undefined): TensorToWrite[] =>
  good.flatMap((tensor) => (tensor.name === name ? (by ? [{ ...tensor, ...by }] : []) : [tensor]));

const badWeights: [string, TensorToWrite[], RegExp][] = [
  ["transposed W_dec", replaced("W_dec", { shape: [D, F] }), /W_dec: expected \[5,3\].*found \[3,5\].*transposed/],
  ["another width", replaced("encoder.weight", { shape: [F, 2], data: numbers(10) }), /encoder\.weight: expected \[5,3\].*found \[5,2\]/],
  ["another number of latents", replaced("encoder.bias", { shape: [4], data: numbers(4) }), /encoder\.bias: expected \[5\].*found \[4\]/],
  ["no b_dec", replaced("b_dec", undefined), /b_dec: expected \[3\].*found tensors encoder\.weight/],
  ["NaN", replaced("encoder.weight", { data: numbers(F * D).fill(NaN, 4, 5) }), /encoder\.weight: expected finite numbers, found NaN at 4/],
  ["infinity", replaced("W_dec", { data: numbers(F * D).fill(-Infinity, 2, 3) }), /W_dec: expected finite numbers, found -Infinity at 2/],
  ["whole numbers", replaced("b_dec", { data: Int32Array.of(1, 2, 3) }), /b_dec: expected F32, F16, BF16 or F64, found I32/],
  ["SAELens' names", [{ name: "W_enc", shape: [D, F], data: numbers(F * D) }], /SAELens layout/],
];
for (const [name, tensors, message] of badWeights) {
  test(`weights refused: ${name}`, () => {
    assert.throws(() => read(source(tensors), config, "f.safetensors"), (error: Error) => error instanceof CheckpointError && message.test(error.message) && error.message.startsWith("f.safetensors: "));
  });
}

test("an unknown tensor is ignored with a warning; a file cut short is refused", () => {
  const { warnings } = read(source([...good, { name: "extra", shape: [1], data: numbers(1) }]), config, "f");
  assert.match(warnings[0], /ignored tensors.*extra/);
  const bytes = Buffer.concat(writeSafetensors(good));
  assert.throws(() => read(bytesSource(bytes.subarray(0, bytes.length - 4)), config, "f"), FormatError);
});

test("cfg.json: num_latents wins, 0 means d_in × expansion_factor, the nested and the early forms are read", () => {
  const parse = (cfg: object) => parseConfig(JSON.stringify(cfg), "cfg.json");
  assert.deepEqual(parse({ d_in: 4, k: 2, num_latents: 10, expansion_factor: 64 }), { ...config, d: 4, latents: 10, k: 2 });
  assert.deepEqual(parse({ d_in: 4, k: 2, num_latents: 8, activation: "groupmax", transcode: true, skip_connection: true }), { d: 4, latents: 8, k: 2, activation: "groupmax", transcode: true, skip: true, warnings: [] });
  assert.equal(parse({ d_in: 4, k: 2, num_latents: 0, expansion_factor: 3 }).latents, 12);
  assert.equal(parse({ d_in: 4, k: 2, expansion_factor: 3, signed: false }).latents, 12);
  assert.equal(parse({ sae: { k: 2, num_latents: 8, d_in: 4 }, batch_size: 32 }).latents, 8);
  assert.equal(parse({ sae: { k: 2, num_latents: 8 }, d_in: 4 }).d, 4);
  assert.match(parse({ d_in: 4, k: 2, num_latents: 8, new_option: 1 }).warnings[0], /cfg\.json: ignored keys.*new_option/);
});

const badConfigs: [string, string, RegExp][] = [
  ["not JSON", '{"d_in": 4,', /cfg\.json: expected JSON/],
  ["a list", "[1]", /expected a JSON object/],
  ["k 0", '{"d_in":4,"num_latents":8,"k":0}', /k: expected a whole number of at least 1, found 0/],
  ["k fraction", '{"d_in":4,"num_latents":8,"k":2.5}', /k: .*found 2\.5/],
  ["k too large", '{"d_in":4,"num_latents":8,"k":9}', /k: expected 1 to 8 \(num_latents\), found 9/],
  ["no d_in", '{"num_latents":8,"k":2}', /d_in: .*found nothing/],
  ["neither number of latents", '{"d_in":4,"k":2}', /expansion_factor: .*found nothing/],
  ["groups of another size", '{"d_in":4,"num_latents":8,"k":3,"activation":"groupmax"}', /k: expected a divisor of num_latents 8 .*found 3/],
  ["no such activation", '{"d_in":4,"num_latents":8,"k":2,"activation":"swish"}', /activation: expected "topk" or "groupmax", found "swish"/],
  ["transcode that is no flag", '{"d_in":4,"num_latents":8,"k":2,"transcode":"yes"}', /transcode: expected true or false, found "yes"/],
];
for (const [name, text, message] of badConfigs) {
  test(`cfg.json refused: ${name}`, () => {
    assert.throws(() => parseConfig(text, "cfg.json"), (error: Error) => error instanceof CheckpointError && message.test(error.message));
  });
}
