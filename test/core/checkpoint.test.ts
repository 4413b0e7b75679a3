import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { configText, parseConfig, readWeights, weightBytes } from "../../src/core/checkpoint";
import { CheckpointError, FormatError } from "../../src/core/errors";
import { decode, encode } from "../../src/core/sae";
import { bytesSource, readFloats, readHeader, readInts, writeSafetensors, type TensorToWrite } from "../../src/core/safetensors";
import type { SaeWeights } from "../../src/core/types";
import { FIXTURES, found } from "../fixtures";

const ORACLE = join(__dirname, "../../../test/oracle/saes");

const read = (folder: string): SaeWeights => {
  const config = parseConfig(readFileSync(join(folder, "cfg.json"), "utf8"), "cfg.json");
  return readWeights(bytesSource(readFileSync(join(folder, "sae.safetensors"))), config, "sae.safetensors").weights;
};

for (const name of ["sae", "sae_bf16", "sae_legacy_cfg"]) {
  test(`${name}: encode and decode agree with sparsify`, () => {
    const weights = read(join(ORACLE, name));
    const bytes = bytesSource(readFileSync(join(ORACLE, name, "golden.safetensors")));
    const { tensors } = readHeader(bytes, "golden.safetensors");
    const floats = (key: string) => readFloats(bytes, tensors.get(key)!);
    const got = encode(weights, floats("x"));
    assert.deepEqual(got.index, readInts(bytes, tensors.get("acts_indices")!)); // larger first
    const close = (actual: Float32Array, expected: Float32Array) => {
      const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
      const worst = actual.reduce((max, v, i) => Math.max(max, Math.abs(v - expected[i])), 0);
      assert.equal(actual.length, expected.length);
      assert.ok(worst <= 1e-5 * largest, `${worst} of ${largest}`);
    };
    close(got.value, floats("acts_values"));
    close(decode(weights, got), floats("recon"));
  });
}

const D = 3, F = 5;
const numbers = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i / 7 - 1);
const good: TensorToWrite[] = [
  { name: "encoder.weight", shape: [F, D], data: numbers(F * D) },
  { name: "encoder.bias", shape: [F], data: numbers(F) },
  { name: "W_dec", shape: [F, D], data: numbers(F * D) },
  { name: "b_dec", shape: [D], data: numbers(D) },
];
const source = (tensors: TensorToWrite[]) => bytesSource(Buffer.concat(writeSafetensors(tensors)));
const config = { d: D, latents: F, k: 2, warnings: [] };

test("weights go to bytes and back, bit by bit", () => {
  const { weights, warnings } = readWeights(source(good), config, "f");
  assert.deepEqual(warnings, []);
  const again = readWeights(bytesSource(Buffer.concat(weightBytes(weights))), parseConfig(configText(weights), "c"), "f").weights;
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
    assert.throws(() => readWeights(source(tensors), config, "f.safetensors"), (error: Error) => error instanceof CheckpointError && message.test(error.message) && error.message.startsWith("f.safetensors: "));
  });
}

test("an unknown tensor is ignored with a warning; a file cut short is refused", () => {
  const { warnings } = readWeights(source([...good, { name: "extra", shape: [1], data: numbers(1) }]), config, "f");
  assert.match(warnings[0], /ignored tensors.*extra/);
  const bytes = Buffer.concat(writeSafetensors(good));
  assert.throws(() => readWeights(bytesSource(bytes.subarray(0, bytes.length - 4)), config, "f"), FormatError);
});

test("cfg.json: num_latents wins, 0 means d_in × expansion_factor, the nested and the early forms are read", () => {
  const parse = (cfg: object) => parseConfig(JSON.stringify(cfg), "cfg.json");
  assert.deepEqual(parse({ d_in: 4, k: 2, num_latents: 10, expansion_factor: 64 }), { d: 4, latents: 10, k: 2, warnings: [] });
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
  ["groupmax", '{"d_in":4,"num_latents":8,"k":2,"activation":"groupmax"}', /activation: .*"groupmax"/],
  ["no such activation", '{"d_in":4,"num_latents":8,"k":2,"activation":"swish"}', /activation: expected "topk", found "swish"/],
  ["transcoder", '{"d_in":4,"num_latents":8,"k":2,"transcode":true}', /transcode: .*another hook/],
  ["skip connection", '{"d_in":4,"num_latents":8,"k":2,"skip_connection":true}', /skip_connection: .*W_skip/],
];
for (const [name, text, message] of badConfigs) {
  test(`cfg.json refused: ${name}`, () => {
    assert.throws(() => parseConfig(text, "cfg.json"), (error: Error) => error instanceof CheckpointError && message.test(error.message));
  });
}

for (const hostile of [join(ORACLE, "hostile"), join(FIXTURES, "saes/hostile")]) {
  if (!found(join(hostile, "expected.json"))) continue;
  const { files } = JSON.parse(readFileSync(join(hostile, "expected.json"), "utf8")) as { files: Record<string, { want: string; why: string }> };
  for (const [file, { want, why }] of Object.entries(files)) {
    const attempt = file.startsWith("sparsify_") ? () => void read(join(hostile, file))
      : file.endsWith(".safetensors") ? () => void readHeader(bytesSource(readFileSync(join(hostile, file))), file) : undefined;
    if (!attempt) continue; // pickles and zips: formats that are not read
    const where = hostile.startsWith(ORACLE) ? "" : " (fixtures)";
    test(`hostile file${where}: ${file}: ${want}: ${why}`, () => {
      const typed = (error: Error) => error instanceof CheckpointError || error instanceof FormatError;
      if (want === "accept") attempt();
      else if (want === "reject") assert.throws(attempt, typed);
      else {
        try {
          attempt(); // either is right
        } catch (error) {
          assert.ok(typed(error as Error), `${(error as Error).stack}`);
        }
      }
    });
  }
}
