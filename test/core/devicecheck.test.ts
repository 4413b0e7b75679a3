import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { PROVIDER, providerFolder } from "../../src/adapters/onnxcuda";
import { faultOf, leftToCpu, prepareProcess, providerOptions } from "../../src/adapters/providers";
import { builtSource } from "../../src/adapters/source";
import { checkpointFiles } from "../../src/adapters/modelfiles";
import { apart, checkBlocks, checkTexts, cutTo, fedAt, placement } from "../../src/core/devicecheck";
import { firstPass, nextPass, standardFeeds } from "../../src/core/feeds";
import { EngineError } from "../../src/core/errors";
import { ELEMENT } from "../../src/core/onnx";
import { ORACLE } from "../adapters/tiny";

const source = (name: string) => {
  const folder = join(ORACLE, "models", name);
  return builtSource(folder, checkpointFiles(folder));
};

test("texts of a check are of the model's vocabulary, of unequal lengths, as long as it takes, and the same each time", () => {
  const texts = checkTexts(320, 1024);
  assert.deepEqual(texts.map(({ length }) => length), [150, 40, 7]);
  for (const ids of texts) for (const id of ids) assert.ok(id >= 0 && id < 320 && Number.isInteger(id));
  assert.ok(new Set(texts[0]).size > 100, "spread over the vocabulary");
  assert.deepEqual(checkTexts(320, 1024), texts);
  assert.deepEqual(checkTexts(50_000, 64).map(({ length }) => length), [64, 40, 7]);
});

test("blocks to be compared: first, middle, last, and one of every other kind", () => {
  const blocks = (name: string, decomposed: boolean): number[] => {
    const one = source(name);
    return checkBlocks(one.build({ hooks: [one.rows.find(({ kind }) => kind === "logits")!], decomposed }), one.anatomy.layers);
  };
  for (const decomposed of [true, false]) assert.deepEqual(blocks("gemma3", decomposed), [0, 1, 2]);
  const node = (i: number, mask: string) => ({ op: "Add", inputs: ["x", mask], outputs: [`layers.${i}.attn/masked`] });
  const model = { irVersion: 10, opsets: {}, name: "", outputs: [], initializers: [], inputs: [{ name: "mask" }, { name: "mask.64" }], nodes: Array.from({ length: 26 }, (_, i) => node(i, i % 6 === 5 ? "mask" : "mask.64")) };
  assert.deepEqual(checkBlocks({ model }, 26), [0, 5, 13, 25], "five of six blocks have a window: the first without one is the sixth");
});

test("difference: a share of the row's largest number; small rows against the tensor's; what is not finite, or missing, is infinitely far", () => {
  const wanted = Float32Array.of(1, -2, 10, 100, 50, 80, 1000, 9000);
  const but = (at: number, value: number): Float32Array => wanted.with(at, value);
  assert.equal(apart(wanted.slice(), wanted, 2), 0);
  assert.ok(Math.abs(apart(but(3, 101), wanted, 2) - 0.01) < 1e-6);
  assert.ok(Math.abs(apart(but(0, 1.5), wanted, 2) - 0.5 / 5) < 1e-6, "2 is less than a twentieth of the middle row's 100, the sink's 9,000 is not asked");
  assert.equal(apart(but(2, NaN), wanted, 2), Infinity);
  assert.equal(apart(but(2, Infinity), wanted, 2), Infinity);
  assert.equal(apart(wanted.subarray(0, 2), wanted, 2), Infinity);
  assert.equal(apart(Float32Array.of(-Infinity, 1), Float32Array.of(-Infinity, 1), 2), 0, "the same infinity is the same");
  assert.equal(apart(new Float32Array(4), new Float32Array(4), 2), 0);
});

test("where operators ran, by ONNX Runtime's profile: copies and shapes are not counted", () => {
  const event = (op_name: string, provider: string, type: string) => ({ cat: "Node", name: `${op_name}_kernel_time`, args: { op_name, provider, output_type_shape: [{ [type]: [2] }] } });
  assert.deepEqual(placement([
    event("Gemm", "WebGpuExecutionProvider", "float"), event("Gather", "CPUExecutionProvider", "float16"), event("Gather", "CPUExecutionProvider", "float"),
    event("Concat", "CPUExecutionProvider", "int64"), event("MemcpyFromHost", "WebGpuExecutionProvider", "float"), { cat: "Session", name: "model_run" },
    { cat: "Node", name: "Gemm_fence_before", args: { op_name: "Gemm", provider: "CPUExecutionProvider" } },
  ]), { device: 1, cpu: { Gather: 2 } });
});

test("a graph begins where it is fed: what came before is gone, a sum and its norm are parted", () => {
  const one = source("llama");
  const [begin, end] = ["layers.1.pre", "layers.1.mlp"].map((name) => one.rows.find((row) => row.name === name)!);
  const built = one.build({ hooks: [begin, end] });
  const { inputs, nodes } = fedAt({ ...built.model, outputs: [{ name: built.tensors.get(end.name)! }] }, built.tensors.get(begin.name)!);
  assert.ok(inputs.some(({ name }) => name === "fed"));
  assert.ok(!nodes.some(({ outputs }) => outputs.some((name) => name.startsWith("layers.0.")) || outputs.includes("embed_tokens")));
  assert.equal(nodes.filter(({ op }) => op === "GroupQueryAttention").length, 1);
});

test("a cut keeps the cache of the blocks that are left", () => {
  const one = source("llama");
  const asked = one.build({ hooks: [one.rows.find(({ name }) => name === "layers.1")!], cache: true, decomposed: true });
  const { model, cache } = cutTo(asked, ["layers.1"]);
  assert.deepEqual(cache.map(({ present }) => present), ["present.0.key", "present.0.value", "present.1.key", "present.1.value"]);
  assert.deepEqual(model.inputs.filter(({ name }) => name.startsWith("past")).map(({ name }) => name), cache.map(({ past }) => past));
  assert.ok(!model.nodes.some(({ op }) => op === "GroupQueryAttention"), "operator by operator");
});

test("texts that begin together share a mask; with a cache or a text that is done each has its own", () => {
  const inputs = [{ name: "mask", type: ELEMENT.FLOAT }, { name: "mask.2", type: ELEMENT.FLOAT }];
  const pass = firstPass([[1, 2, 3], [4]]);
  const { mask, "mask.2": narrow } = standardFeeds(inputs, pass);
  assert.deepEqual([mask.dims, narrow.dims], [[1, 1, 1, 3, 3], [1, 1, 1, 3, 3]]);
  const seen = ({ data }: typeof mask): number[] => Array.from(data as Float32Array, (value) => (value === 0 ? 1 : 0));
  assert.deepEqual(seen(mask), [1, 0, 0, 1, 1, 0, 1, 1, 1]);
  assert.deepEqual(seen(narrow), [1, 0, 0, 1, 1, 0, 0, 1, 1]);
  const next = standardFeeds(inputs, nextPass(pass, [[5], [6]], [false, false])).mask;
  assert.deepEqual(next.dims, [2, 1, 1, 1, 4]);
  assert.deepEqual(seen(next), [1, 1, 1, 1, 1, 0, 0, 1], "the second text's padding is hidden");
});

test("half precision as it is stored is left to the CPU, by name; an empty list of names is not given, for it is refused", () => {
  const one = source("phi"); // float16
  const built = one.build({ hooks: [one.rows.find(({ name }) => name === "layers.0.mlp")!], decomposed: true });
  const { model, names } = leftToCpu(built.model);
  const named = model.nodes.filter(({ name }) => name && names.includes(name));
  assert.equal(named.length, names.length);
  assert.equal(named.filter(({ op }) => op === "Gather").length, 1);
  assert.ok(named.every(({ op }) => op === "Gather" || op === "Cast"));
  assert.ok(named.some(({ inputs }) => inputs[0] === "embed_tokens/rows"), "the cast of what was gathered");
  assert.deepEqual(leftToCpu(source("llama").build({ hooks: [one.rows[0]] }).model).names, []);
  assert.deepEqual(providerOptions({ device: "webgpu", name: "x" }, [], []), { executionProviders: [{ name: "webgpu" }] });
  assert.deepEqual(providerOptions({ device: "webgpu", name: "x" }, ["n"], ["present.0.key"]), {
    executionProviders: [{ name: "webgpu", forceCpuNodeNames: ["n"] }], preferredOutputLocation: { "present.0.key": "gpu-buffer" },
  });
  assert.deepEqual(providerOptions({ device: "cuda", name: "x" }, ["n"], ["p"]), { executionProviders: [{ name: "cuda", deviceId: 0 }] });
  assert.deepEqual(providerOptions({ device: "cpu", name: "x" }, [], []), { executionProviders: ["cpu"] });
});

test("CUDA without its libraries is an error that says what installs them; its products are float32", { skip: existsSync(join(providerFolder(), PROVIDER)) }, () => {
  prepareProcess({ device: "cpu", name: "x" });
  prepareProcess({ device: "webgpu", name: "x" });
  const before = process.env.NVIDIA_TF32_OVERRIDE;
  assert.throws(() => prepareProcess({ device: "cuda", name: "Card Two" }), (error: Error) => error instanceof EngineError && /^ONNX Runtime on Card Two: .*npx saelab setup --cuda/.test(error.message));
  assert.equal(process.env.NVIDIA_TF32_OVERRIDE, before ?? "0");
  if (before === undefined) delete process.env.NVIDIA_TF32_OVERRIDE;
});

test("faults of a device are told from faults of a model", () => {
  for (const said of ["WebGPU device lost (2): Device was destroyed.", "CUDA failure 719: unspecified launch failure ; GPU=0", "VK_ERROR_DEVICE_LOST", "CUDA failure 700: an illegal memory access was encountered"]) assert.equal(faultOf(said), "lost", said);
  for (const said of ["Failed to allocate memory for requested buffer of size 1073741824", "CUDA failure 2: out of memory ; GPU=0", "VK_ERROR_OUT_OF_DEVICE_MEMORY", "Available memory of 1 is smaller than requested bytes of 2"]) assert.equal(faultOf(said), "memory", said);
  for (const said of ["Non-zero status code returned while running Gemm node", "Failed to load model", "Program Gather requires f16 but the device does not support it", "the model was closed"]) assert.equal(faultOf(said), undefined, said);
});
