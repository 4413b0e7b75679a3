"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const errors_1 = require("../../src/core/errors");
const onnx_1 = require("../../src/core/onnx");
const fixtures_1 = require("../fixtures");
const model = {
    irVersion: 10,
    opsets: { "": 21, "com.microsoft": 1 },
    producer: "saelab",
    name: "test",
    nodes: [
        { op: "Gemm", inputs: ["x", "w"], outputs: ["y"], attributes: { transB: 1n, alpha: 0.5, axes: [-1n, 300n, 2n ** 62n], mode: "tanh", scales: [0.25, -2] } },
        { op: "GroupQueryAttention", domain: "com.microsoft", name: "attention 0", inputs: ["y", "", "é"], outputs: ["z", "", "k"], attributes: { local_window_size: -1n } },
    ],
    initializers: [
        { name: "w", type: onnx_1.ELEMENT.BFLOAT16, dims: [151936, 1536], external: { location: "blobs/model.safetensors", offset: 2 ** 40 + 8, length: 466747392 } },
        { name: "shape", type: onnx_1.ELEMENT.INT64, dims: [2], raw: Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 64, 0, 0, 0, 0, 0, 0, 0) },
    ],
    inputs: [{ name: "x", type: onnx_1.ELEMENT.INT32, dims: ["batch", 300] }, { name: "n", type: onnx_1.ELEMENT.INT32, dims: [] }],
    outputs: [{ name: "z" }],
};
(0, node_test_1.test)("what is written is read again: attributes of every kind, external data beyond 4 GB, empty names", () => {
    const again = (0, onnx_1.readOnnx)((0, onnx_1.writeOnnx)(model));
    strict_1.default.deepEqual({ ...again, nodes: again.nodes.map((node) => ({ ...node })) }, { ...model, nodes: model.nodes.map((node) => ({ ...node })) });
});
(0, node_test_1.test)("a Buffer, whose slices are views, reads the same", () => {
    strict_1.default.deepEqual((0, onnx_1.readOnnx)(Buffer.from((0, onnx_1.writeOnnx)(model))).nodes[0].attributes, model.nodes[0].attributes);
});
(0, node_test_1.test)("numbers on the wire are as protobuf's documentation has them", () => {
    // field 1 varint 150 is 08 96 01: ir_version comes first in what is written
    strict_1.default.deepEqual([...(0, onnx_1.writeOnnx)({ ...model, irVersion: 150 }).subarray(0, 3)], [0x08, 0x96, 0x01]);
    // −1 takes ten bytes
    const bytes = Buffer.from((0, onnx_1.writeOnnx)({ ...model, nodes: [model.nodes[1]] }));
    strict_1.default.ok(bytes.includes(Buffer.from([0x18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])), "attribute i = -1");
});
(0, node_test_1.test)("damaged bytes are an error that says where", () => {
    const whole = (0, onnx_1.writeOnnx)(model);
    strict_1.default.throws(() => (0, onnx_1.readOnnx)(whole.subarray(0, whole.length - 40), "m.onnx"), (error) => error instanceof errors_1.FormatError && /^m\.onnx: /.test(error.message));
    strict_1.default.throws(() => (0, onnx_1.readOnnx)(new Uint8Array(), "m.onnx"), /expected a graph/);
    strict_1.default.throws(() => (0, onnx_1.readOnnx)(Uint8Array.of(0x0b), "m.onnx"), /wire type/);
    strict_1.default.throws(() => (0, onnx_1.readOnnx)(Uint8Array.of(0x08, 0x80), "m.onnx"), errors_1.FormatError);
});
// from the fixtures' README: made by ONNX Runtime GenAI's builder and by PyTorch's exporters
const written = [
    ["llama/onnx/model_genai_fp32.onnx", 44, { MatMul: 16, GroupQueryAttention: 3, SkipSimplifiedLayerNormalization: 6, Gather: 2 }],
    ["llama/onnx/model.onnx", 745, { MatMul: 28, Softmax: 3, Gather: 39, Cast: 37 }],
    ["gpt2/onnx/model_ort_tf.onnx", 243, { MatMul: 16, SkipLayerNormalization: 6, FastGelu: 3 }],
    ["neox/onnx/model_quantized.onnx", 547, { MatMulInteger: 13, Cast: 36 }],
];
for (const [file, nodes, operators] of written) {
    if (!(0, fixtures_1.found)((0, node_path_1.join)(fixtures_1.FIXTURES, "models", file)))
        continue;
    (0, node_test_1.test)(`a model that another tool wrote: ${file}: counts of nodes and operators`, () => {
        const graph = (0, onnx_1.readOnnx)((0, node_fs_1.readFileSync)((0, node_path_1.join)(fixtures_1.FIXTURES, "models", file)), file);
        strict_1.default.equal(graph.nodes.length, nodes, file);
        for (const [op, count] of Object.entries(operators))
            strict_1.default.equal(graph.nodes.filter((node) => node.op === op).length, count, `${file} ${op}`);
        strict_1.default.equal(graph.inputs[0].name, "input_ids");
        strict_1.default.equal(graph.inputs[0].type, onnx_1.ELEMENT.INT64);
        strict_1.default.ok(graph.outputs.some(({ name }) => name === "logits"));
        // every tensor used comes from an input, an initialiser or another node
        const known = new Set([...graph.inputs, ...graph.initializers].map(({ name }) => name).concat(graph.nodes.flatMap((node) => node.outputs), ""));
        for (const node of graph.nodes)
            for (const input of node.inputs)
                strict_1.default.ok(known.has(input), `${file} ${input}`);
    });
}
//# sourceMappingURL=onnx.test.js.map