import { test } from "node:test";
import assert from "node:assert/strict";
import { ModelError, OptionError } from "../../src/core/errors";
import { chooseOnnx, dataFiles } from "../../src/core/onnxchoice";

// onnx-community/Llama-3.2-1B-Instruct's kind of listing
const HUB = [
  "config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/model_fp16.onnx", "onnx/model_fp16.onnx_data",
  "onnx/model_int8.onnx", "onnx/model_q4.onnx", "onnx/model_q4f16.onnx", "onnx/model_quantized.onnx", "onnx/model.onnx_database", "onnx/model_q4.onnx.txt",
];

test("fp32 by default, other dtypes by the suffix that transformers.js gives them; weights come with the file", () => {
  assert.deepEqual(chooseOnnx(HUB, undefined, {}, "hub"), { file: "onnx/model.onnx", dtype: "fp32", data: ["onnx/model.onnx_data", "onnx/model.onnx_data_1"] });
  assert.deepEqual(chooseOnnx(HUB, "fp16", {}, "hub"), { file: "onnx/model_fp16.onnx", dtype: "fp16", data: ["onnx/model_fp16.onnx_data"] });
  assert.equal(chooseOnnx(HUB, "q8", {}, "hub").file, "onnx/model_quantized.onnx");
  assert.equal(chooseOnnx(HUB, "int8", {}, "hub").file, "onnx/model_int8.onnx");
  assert.deepEqual(chooseOnnx(HUB, "q4f16", {}, "hub"), { file: "onnx/model_q4f16.onnx", dtype: "q4f16", data: [] });
});

test("config.json may name a dtype, for all files or for this one; a dtype asked for comes before it", () => {
  const config = (dtype: unknown) => ({ "transformers.js_config": { dtype } });
  assert.equal(chooseOnnx(HUB, undefined, config("q4"), "hub").file, "onnx/model_q4.onnx");
  assert.equal(chooseOnnx(HUB, undefined, config({ model: "fp16", vision_encoder: "q4" }), "hub").file, "onnx/model_fp16.onnx");
  assert.equal(chooseOnnx(HUB, "fp32", config("q4"), "hub").file, "onnx/model.onnx");
  assert.equal(chooseOnnx(HUB, undefined, config("bnb4"), "hub").file, "onnx/model.onnx", "what is not there does not count");
  assert.equal(chooseOnnx(HUB, undefined, null, "hub").file, "onnx/model.onnx");
});

test("a builder's folder, numbered and dotted data files, the only file there is", () => {
  assert.deepEqual(chooseOnnx(["model.onnx", "model.onnx.data", "genai_config.json"], undefined, {}, "x"), { file: "model.onnx", dtype: "fp32", data: ["model.onnx.data"] });
  assert.deepEqual(chooseOnnx(["onnx/model_q4.onnx"], undefined, {}, "x"), { file: "onnx/model_q4.onnx", dtype: "q4", data: [] });
  assert.equal(chooseOnnx(["decoder_model.onnx", "decoder_model_merged.onnx"], undefined, {}, "x").file, "decoder_model.onnx");
  const many = Array.from({ length: 12 }, (_, i) => `m.onnx_data${i ? `_${i}` : ""}`);
  assert.deepEqual(dataFiles([...many].reverse(), "m.onnx"), many, "in their own order: _2 before _10");
});

test("what cannot be chosen is said, with what is there", () => {
  const message = (files: string[], dtype?: string): Error => {
    try {
      chooseOnnx(files, dtype, {}, "folder");
    } catch (error) {
      return error as Error;
    }
    throw assert.fail("expected an error");
  };
  assert.match(message(HUB, "bf16").message, /^dtype: expected one of fp32, fp16, .*found bf16/);
  assert.match(message(HUB, "toString").message, /found toString/);
  const absent = message(HUB, "bnb4");
  assert.ok(absent instanceof OptionError);
  assert.match(absent.message, /fp32, fp16, int8, q8, q4, q4f16, which are there, found bnb4/);
  assert.match(message(["onnx/model_q4.onnx", "onnx/model_fp16.onnx"]).message, /fp16, q4, which are there, found none said/);
  assert.ok(message([]) instanceof ModelError);
  assert.match(message(["model.safetensors"]).message, /no \.onnx file/);
  assert.match(message(["onnx/decoder_model_merged.onnx"]).message, /two graphs/);
  assert.match(message(["cpu-int4/phi.onnx"]).message, /found cpu-int4\/phi\.onnx\. Give the path/);
});
