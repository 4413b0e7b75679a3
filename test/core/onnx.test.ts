import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../../src/core/errors";
import { ELEMENT, readOnnx, writeOnnx, type OnnxModel } from "../../src/core/onnx";
import { FIXTURES, found } from "../fixtures";

const model: OnnxModel = {
  irVersion: 10,
  opsets: { "": 21, "com.microsoft": 1 },
  producer: "saelab",
  name: "test",
  nodes: [
    { op: "Gemm", inputs: ["x", "w"], outputs: ["y"], attributes: { transB: 1n, alpha: 0.5, axes: [-1n, 300n, 2n ** 62n], mode: "tanh", scales: [0.25, -2] } },
    { op: "GroupQueryAttention", domain: "com.microsoft", name: "attention 0", inputs: ["y", "", "é"], outputs: ["z", "", "k"], attributes: { local_window_size: -1n } },
  ],
  initializers: [
    { name: "w", type: ELEMENT.BFLOAT16, dims: [151936, 1536], external: { location: "blobs/model.safetensors", offset: 2 ** 40 + 8, length: 466747392 } },
    { name: "shape", type: ELEMENT.INT64, dims: [2], raw: Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 64, 0, 0, 0, 0, 0, 0, 0) },
  ],
  inputs: [{ name: "x", type: ELEMENT.INT32, dims: ["batch", 300] }, { name: "n", type: ELEMENT.INT32, dims: [] }],
  outputs: [{ name: "z" }],
};

test("what is written is read again: attributes of every kind, external data beyond 4 GB, empty names", () => {
  const again = readOnnx(writeOnnx(model));
  assert.deepEqual(
    { ...again, nodes: again.nodes.map((node) => ({ ...node })) },
    { ...model, nodes: model.nodes.map((node) => ({ ...node })) });
});

test("a Buffer, whose slices are views, reads the same", () => {
  assert.deepEqual(readOnnx(Buffer.from(writeOnnx(model))).nodes[0].attributes, model.nodes[0].attributes);
});

test("numbers on the wire are as protobuf's documentation has them", () => {
  // field 1 varint 150 is 08 96 01: ir_version comes first in what is written
  assert.deepEqual([...writeOnnx({ ...model, irVersion: 150 }).subarray(0, 3)], [0x08, 0x96, 0x01]);
  // −1 takes ten bytes
  const bytes = Buffer.from(writeOnnx({ ...model, nodes: [model.nodes[1]] }));
  assert.ok(bytes.includes(Buffer.from([0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])), "attribute i = -1");
});

test("damaged bytes are an error that says where", () => {
  const whole = writeOnnx(model);
  assert.throws(() => readOnnx(whole.subarray(0, whole.length - 40), "m.onnx"), (error: Error) => error instanceof FormatError && /^m\.onnx: /.test(error.message));
  assert.throws(() => readOnnx(new Uint8Array(), "m.onnx"), /expected a graph/);
  assert.throws(() => readOnnx(Uint8Array.of(0x0b), "m.onnx"), /wire type/);
  assert.throws(() => readOnnx(Uint8Array.of(0x08, 0x80), "m.onnx"), FormatError);
});

// from the fixtures' README: made by ONNX Runtime GenAI's builder and by PyTorch's exporters
const written: [string, number, Record<string, number>][] = [
  ["llama/onnx/model_genai_fp32.onnx", 44, { MatMul: 16, GroupQueryAttention: 3, SkipSimplifiedLayerNormalization: 6, Gather: 2 }],
  ["llama/onnx/model.onnx", 745, { MatMul: 28, Softmax: 3, Gather: 39, Cast: 37 }],
  ["gpt2/onnx/model_ort_tf.onnx", 243, { MatMul: 16, SkipLayerNormalization: 6, FastGelu: 3 }],
  ["neox/onnx/model_quantized.onnx", 547, { MatMulInteger: 13, Cast: 36 }],
];
for (const [file, nodes, operators] of written) {
  if (!found(join(FIXTURES, "models", file))) continue;
  test(`a model that another tool wrote: ${file}: counts of nodes and operators`, () => {
    const graph = readOnnx(readFileSync(join(FIXTURES, "models", file)), file);
    assert.equal(graph.nodes.length, nodes, file);
    for (const [op, count] of Object.entries(operators)) assert.equal(graph.nodes.filter((node) => node.op === op).length, count, `${file} ${op}`);
    assert.equal(graph.inputs[0].name, "input_ids");
    assert.equal(graph.inputs[0].type, ELEMENT.INT64);
    assert.ok(graph.outputs.some(({ name }) => name === "logits"));
    // every tensor used comes from an input, an initialiser or another node
    const known = new Set([...graph.inputs, ...graph.initializers].map(({ name }) => name).concat(graph.nodes.flatMap((node) => node.outputs), ""));
    for (const node of graph.nodes) for (const input of node.inputs) assert.ok(known.has(input), `${file} ${input}`);
  });
}
