import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inOrder } from "../../src/core/flow";
import { FormatError } from "../../src/core/errors";
import { ELEMENT, attributeTensor, readOnnx, readSkeleton, sparseNames, usedNames, wholeNumbers, writeOnnx, type Node, type OnnxModel } from "../../src/core/onnx";
import { randomNumbers } from "../../src/core/sample";
import { bytesSource, type ByteSource } from "../../src/core/safetensors";
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

// ---- what a file holds besides nodes and weights: test/oracle/make_onnx.py

const ORACLE = join(__dirname, "../../../test/oracle/onnx");
const everything = new Uint8Array(readFileSync(join(ORACLE, "everything.onnx")));

/** Fields of a protobuf message as [number, hexadecimal value], read apart from the code under test. */
function fieldsOf(bytes: Uint8Array): [number, Uint8Array][] {
  const list: [number, Uint8Array][] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      value += (bytes[at] & 127) * scale;
      if (bytes[at++] < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    let from = at;
    if (key % 8 === 0) varint();
    else if (key % 8 === 2) {
      const length = varint();
      from = at;
      at += length;
    } else at += key % 8 === 1 ? 8 : 4;
    list.push([key >> 3, bytes.subarray(from, at)]);
  }
  return list;
}

/** The same message in one form: fields by number; those under `paths` taken apart likewise. */
function canonical(bytes: Uint8Array, path = "model"): unknown[] {
  const parts: Record<string, string> = { "model 7": "graph", "graph 1": "node", "graph 5": "tensor", "graph 11": "value", "graph 12": "value", "graph 13": "value", "model 8": "opset" };
  return fieldsOf(bytes).filter(([field, value]) => !(path === "opset" && field === 1 && !value.length))
    .map(([field, value]): [number, unknown] => [field, parts[`${path} ${field}`] ? canonical(value, parts[`${path} ${field}`]) : Buffer.from(value).toString("hex")])
    .sort((a, b) => a[0] - b[0]); // stable: order within a field stays
}

test("what is read and written again says the same: subgraphs, functions, typed and sparse tensors, notes, metadata", () => {
  assert.deepEqual(canonical(writeOnnx(readOnnx(everything))), canonical(everything));
  const skeleton = readSkeleton(bytesSource(everything), { location: "everything.onnx" });
  const external = skeleton.initializers.filter((tensor) => tensor.external);
  assert.deepEqual(external.map(({ name, external: place }) => [name, place!.location, place!.length]), [["table", "everything.onnx", 2560]]);
  const { offset, length } = external[0].external!;
  const table = readOnnx(everything).initializers.find(({ name }) => name === "table")!;
  assert.deepEqual(everything.subarray(offset, offset + length), new Uint8Array(table.raw!));
  // with that tensor put back the skeleton is the file
  const whole = { ...skeleton, initializers: skeleton.initializers.map((tensor) => (tensor.external ? table : tensor)) };
  assert.deepEqual(canonical(writeOnnx(whole)), canonical(everything));
  assert.deepEqual(canonical(writeOnnx(readOnnx(writeOnnx(skeleton)))), canonical(writeOnnx(skeleton)), "external data too");
});

test("names that subgraphs take from the graph around them count as used; values of small tensors can be looked at", () => {
  const model = readOnnx(everything);
  const node = (op: string): Node => model.nodes.find((one) => one.op === op)!;
  assert.deepEqual(usedNames(node("If")).sort(), ["flag", "only_in_else", "outer", "x"]);
  assert.deepEqual(usedNames(node("Loop")).sort(), ["chosen", "flag", "step", "trips"]);
  assert.deepEqual(usedNames(node("MatMul")), ["scaled", "big"]);
  assert.deepEqual(sparseNames(model), ["sparse"]);
  assert.deepEqual(inOrder({ ...model, nodes: [...model.nodes].reverse() }, "reversed").map(({ op }) => op).indexOf("If") > 1, true);
  assert.deepEqual(wholeNumbers(model.initializers.find(({ name }) => name === "trips")!), [3]);
  assert.equal(wholeNumbers(model.initializers.find(({ name }) => name === "typed")!), undefined);
  const constant = attributeTensor(node("Constant").attributes!.value)!;
  assert.deepEqual([constant.dims, [...new Float32Array(new Uint8Array(constant.raw!).buffer)]], [[1, 4], [1, -2, 3, 4]]);
});

test("operators out of order are sorted; circles, missing and doubled tensors are told", () => {
  const graph = (...nodes: [string[], string[]][]): OnnxModel =>
    ({ ...model, nodes: nodes.map(([inputs, outputs], i) => ({ op: "Add", name: `n${i}`, inputs, outputs })), inputs: [{ name: "x" }], initializers: [], outputs: [] });
  const order = (m: OnnxModel): string => inOrder(m, "m.onnx").map(({ name }) => name).join(" ");
  assert.equal(order(graph([["x"], ["a"]], [["a", "x"], ["b"]], [["b", ""], ["c"]])), "n0 n1 n2");
  assert.equal(order(graph([["b"], ["c"]], [["a"], ["b"]], [["x"], ["a"]], [["c", "a"], ["d"]])), "n2 n1 n0 n3");
  assert.throws(() => order(graph([["a", "c"], ["b"]], [["b"], ["c"]], [["x"], ["a"]])), /circle/);
  assert.throws(() => order(graph([["a"], ["a"]])), /circle/);
  assert.throws(() => order(graph([["nowhere"], ["a"]])), /"nowhere" from another operator/);
  assert.throws(() => order(graph([["x"], ["a"]], [["x"], ["a"]])), /only one that makes "a"/);
  assert.throws(() => order(graph([["x"], ["x"]])), /only one that makes "x"/);
  const long = graph(...Array.from({ length: 20_000 }, (_, i): [string[], string[]] => [[i === 19_999 ? "x" : `t${i + 1}`], [`t${i}`]]));
  assert.equal(inOrder(long, "long").at(-1)!.outputs[0], "t0", "no recursion");
});

/** A source that counts what is read of it: `bytes`, and behind them zeros up to `length`. */
function sparse(pieces: [number, Uint8Array][], length: number): ByteSource & { read: number } {
  return {
    byteLength: length,
    read: 0,
    slice(from, to) {
      this.read += to - from;
      assert.ok(to - from < 1e6 && to <= length, "reads little at a time");
      const out = new Uint8Array(to - from);
      for (const [at, bytes] of pieces) for (let i = Math.max(from, at); i < Math.min(to, at + bytes.length); i++) out[i - from] = bytes[i - at];
      return out;
    },
  };
}

test("weights of gigabytes are jumped over: offsets beyond 2^32 are exact and little is read", () => {
  const varint = (value: number): number[] => (value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]);
  const [a, b] = [3_000_000_000, 2_500_000_000];
  const tensor = (name: number, size: number): number[] => {
    const head = [...[8, ...varint(size)], 16, 2, 66, 1, name, 74, ...varint(size)]; // dims, uint8, name, raw_data
    return [42, ...varint(head.length + size), ...head];
  };
  const [first, second] = [tensor(97, a), tensor(98, b)];
  const last = [10, 9, 10, 1, 97, 18, 1, 121, 34, 1, 78]; // a node: N(a) → y
  const size = first.length + a + second.length + b + last.length;
  const head = [8, 10, 58, ...varint(size)];
  const pieces: [number, Uint8Array][] = [[0, Uint8Array.from([...head, ...first])], [head.length + first.length + a, Uint8Array.from(second)], [head.length + size - last.length, Uint8Array.from(last)]];
  const source = sparse(pieces, head.length + size);
  const { initializers, nodes, irVersion } = readSkeleton(source, { location: "big.onnx" });
  assert.equal(irVersion, 10);
  assert.deepEqual(initializers.map(({ name, external }) => [name, external]), [
    ["a", { location: "big.onnx", offset: head.length + first.length, length: a }],
    ["b", { location: "big.onnx", offset: head.length + first.length + a + second.length, length: b }],
  ]);
  assert.deepEqual(nodes, [{ op: "N", inputs: ["a"], outputs: ["y"] }]);
  assert.ok(source.read < 100_000, String(source.read));
  // the same file, cut off within the second tensor
  assert.throws(() => readSkeleton(sparse(pieces, 5_000_000_000), { location: "big.onnx" }), FormatError);
});

test("tensors in further files: the location is handed over with the bytes needed, lengths follow from the shape, nonsense is refused", () => {
  const of = (external: Record<string, string>, type = 1): Uint8Array => {
    const text = (field: number, value: string): number[] => [field * 8 + 2, value.length, ...Buffer.from(value)];
    const entries = Object.entries(external).flatMap(([key, value]) => {
      const pair = [...text(1, key), ...text(2, value)];
      return [106, pair.length, ...pair];
    });
    const tensor = [8, 3, 8, 5, 16, type, 66, 1, 119, ...entries, 112, 1];
    return Uint8Array.from([58, tensor.length + 2, 42, tensor.length, ...tensor]);
  };
  const read = (external: Record<string, string>, type?: number) => {
    const asked: unknown[] = [];
    const model = readSkeleton(bytesSource(of(external, type)), { location: "m.onnx", sidecar: (location, end) => (asked.push([location, end]), `checked/${location}`) });
    return { asked, external: model.initializers[0].external };
  };
  assert.deepEqual(read({ location: "../w", offset: "16", length: "60" }), { asked: [["../w", 76]], external: { location: "checked/../w", offset: 16, length: 60 } });
  assert.deepEqual(read({ location: "w" }).external, { location: "checked/w", offset: 0, length: 60 });
  assert.deepEqual(read({ location: "w" }, 22).external!.length, 8, "15 elements of four bits");
  assert.equal(readSkeleton(bytesSource(of({ location: "w", checksum: "ab" })), { location: "m" }).initializers[0].rest!.length > 0, true);
  for (const wrong of [{ offset: "-1" }, { offset: "1e99" }, { length: "x" }, { length: "1.5" }] as Record<string, string>[]) assert.throws(() => read({ location: "w", ...wrong }), FormatError, JSON.stringify(wrong));
  assert.throws(() => read({ location: "w" }, 8), /element type/);
});

test("damaged files: 300 mutations give a model or a FormatError, soon, and what is read can be written", () => {
  const random = randomNumbers(7, 0);
  const below = (n: number): number => Math.floor(random() * n);
  let [good, bad] = [0, 0];
  for (let round = 0; round < 300; round++) {
    let bytes = everything.slice();
    const at = below(bytes.length);
    if (round % 3 === 0) for (let k = 0; k <= below(4); k++) bytes[below(bytes.length)] = below(256);
    else if (round % 3 === 1) bytes = bytes.slice(0, at);
    else bytes.set([255, 255, 255, 255, 255, 255, 255, 255, 255, round % 2].slice(below(9)), Math.min(at, bytes.length - 10)); // a huge length or number
    try {
      const model = readSkeleton(bytesSource(bytes), { location: "m.onnx" });
      for (const node of model.nodes) usedNames(node);
      sparseNames(model);
      assert.ok(writeOnnx(model).length < 2 * bytes.length);
      good++;
    } catch (error) {
      assert.ok(error instanceof FormatError, `round ${round}: ${(error as Error).stack}`);
      assert.match(error.message, /expected .*, found /s);
      bad++;
    }
  }
  assert.ok(good > 20 && bad > 100, `${good} read, ${bad} refused`);
});

test("hostile files: subgraphs in one another, a graph twice, wrong wire types, a file of zeros", () => {
  const wrap = (field: number, bytes: number[]): number[] => {
    const length: number[] = [];
    for (let n = bytes.length; ; n >>= 7) {
      length.push(n > 127 ? (n & 127) | 128 : n);
      if (n < 128) break;
    }
    return [field * 8 + 2, ...length, ...bytes];
  };
  let graph: number[] = [];
  for (let i = 0; i < 2000; i++) graph = wrap(1, wrap(5, wrap(6, graph))); // graph > node > attribute > graph
  const [node] = readOnnx(Uint8Array.from(wrap(7, graph)), "deep").nodes;
  assert.throws(() => usedNames(node), /at most 16 deep/);
  assert.throws(() => readOnnx(Uint8Array.from([...wrap(7, []), ...wrap(7, [])])), /second one/);
  assert.throws(() => readOnnx(new Uint8Array(1e6)), /field number 0/);
  for (const bytes of [[58, 2, 8, 1], [56, 1], [58, 4, 10, 2, 8, 1], [58, 4, 42, 2, 72, 1], [10, 1, 65], [58, 4, 90, 2, 16, 1]]) {
    assert.throws(() => readOnnx(Uint8Array.from(bytes)), FormatError, bytes.join());
  }
});
