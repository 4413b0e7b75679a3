import { test } from "node:test";
import assert from "node:assert/strict";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { ELEMENT, writeOnnx, type Initializer, type Node, type OnnxModel } from "../../src/core/onnx";
import { EDIT, prune, segments, tap } from "../../src/core/splice";

const floats = (name: string, values: number[], dims = [values.length]): Initializer => ({ name, type: ELEMENT.FLOAT, dims, raw: new Uint8Array(Float32Array.from(values).buffer) });
const ints = (name: string, values: number[]): Initializer => ({ name, type: ELEMENT.INT64, dims: [values.length], raw: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) });
const node = (op: string, inputs: string[], outputs: string[], attributes?: Node["attributes"], domain?: string): Node => ({ op, inputs, outputs, ...(attributes ? { attributes } : {}), ...(domain ? { domain } : {}) });
const contrib = (op: string, inputs: string[], outputs: string[], attributes?: Node["attributes"]): Node => node(op, inputs, outputs, attributes, "com.microsoft");

const graph = (nodes: Node[], outputs: string[], initializers: Initializer[] = [], inputs: OnnxModel["inputs"] = [{ name: "x", type: ELEMENT.FLOAT, dims: ["n", 4] }]): OnnxModel => ({
  irVersion: 10, opsets: { "": 21, "com.microsoft": 1 }, name: "test", nodes, inputs, initializers, outputs: outputs.map((name) => ({ name })),
});

/** What ONNX Runtime makes of it, every output as plain numbers. */
async function run(model: OnnxModel, feeds: Record<string, Tensor>): Promise<Record<string, Tensor>> {
  const session = await InferenceSession.create(writeOnnx(model), { logSeverityLevel: 4, intraOpNumThreads: 1 });
  try {
    return await session.run(Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]])), session.outputNames);
  } finally {
    await session.release();
  }
}

const X = new Tensor("float32", Float32Array.from([1, -2, 3, 0.5, 0.25, 4, -1, 2]), [2, 4]);
const numbers = async (model: OnnxModel, name: string, feeds: Record<string, Tensor> = { x: X }): Promise<number[]> => [...((await run(model, feeds))[name].data as Float32Array)];

const near = (found: number[], wanted: number[], what?: string): void => {
  assert.equal(found.length, wanted.length);
  found.forEach((value, i) => assert.ok(Math.abs(value - wanted[i]) < 1e-5 * (1 + Math.abs(wanted[i])), `${what ?? ""} ${value}, expected ${wanted[i]} at ${i}`));
};

const GAMMA = [1, 2, 0.5, -1];
const BETA = [0.1, 0, -0.2, 0.3];
const BIAS = [1, -1, 2, 0.5];
const EPSILON = 0.01;

/** Skip(Simplified)LayerNormalization of x·2 and x + 1, then what reads the sum and what reads the norm. */
function skipNorm(simplified: boolean, { beta = false, bias = false } = {}): OnnxModel {
  const op = simplified ? "SkipSimplifiedLayerNormalization" : "SkipLayerNormalization";
  const rest = simplified ? (bias ? ["bias"] : []) : bias ? [beta ? "beta" : "", "bias"] : beta ? ["beta"] : [];
  return graph([
    node("Mul", ["x", "two"], ["branch"]), node("Add", ["x", "one"], ["skip"]), contrib(op, ["branch", "skip", "gamma", ...rest], ["norm", "", "", "sum"], { epsilon: EPSILON }),
    node("Add", ["norm", "sum"], ["y"]), node("Neg", ["norm"], ["unused"]),
  ], ["y", "sum"], [floats("two", [2]), floats("one", [1]), floats("gamma", GAMMA), floats("beta", BETA), floats("bias", BIAS)]);
}

/** norm(h) + h for the sum h, in plain loops. */
function expected(h: number[], simplified: boolean, beta: boolean): number[] {
  return [0, 4].flatMap((at) => {
    const row = h.slice(at, at + 4);
    const mean = simplified ? 0 : row.reduce((a, b) => a + b) / 4;
    const size = Math.sqrt(row.reduce((a, b) => a + (b - mean) ** 2, 0) / 4 + EPSILON);
    return row.map((value, i) => ((value - mean) / size) * GAMMA[i] + (beta ? BETA[i] : 0) + value);
  });
}

const sums = (bias: boolean): number[] => [...X.data as Float32Array].map((value, i) => 2 * value + value + 1 + (bias ? BIAS[i % 4] : 0));

const VARIANTS = [[true, {}], [true, { bias: true }], [false, {}], [false, { beta: true }], [false, { bias: true }], [false, { beta: true, bias: true }]] as const;

test("prune keeps what outputs need, in order, with their constants and inputs", () => {
  const model = graph([
    node("Add", ["x", "a"], ["1"]), node("Mul", ["1", "b"], ["2"]), node("Split", ["1", "sizes"], ["3", "4"], { axis: 1n }), node("Neg", ["4"], ["5"]), node("Add", ["z", "2"], ["6"]),
  ], ["3"], [floats("a", [1]), floats("b", [2]), ints("sizes", [2, 2])], [{ name: "x" }, { name: "z" }]);
  const pruned = prune(model);
  assert.deepEqual(pruned.nodes.map(({ outputs }) => outputs[0]), ["1", "3"]);
  assert.deepEqual(pruned.initializers.map(({ name }) => name), ["a", "sizes"]);
  assert.deepEqual(pruned.inputs.map(({ name }) => name), ["x"]);
  assert.equal(model.nodes.length, 5, "the graph that was given is as it was");
  assert.deepEqual(prune({ ...model, outputs: [{ name: "6" }, { name: "5" }] }).nodes.length, 5);
});

test("prune: of a sum and its norm the sum alone, with its bias; the whole operator where the norm is read", async () => {
  for (const [simplified, rest] of VARIANTS) {
    const model = skipNorm(simplified, rest);
    const bias = "bias" in rest;
    const sum = prune({ ...model, outputs: [{ name: "sum" }] });
    assert.deepEqual(sum.nodes.map(({ op }) => op), ["Mul", "Add", "Add", ...(bias ? ["Add"] : [])]);
    assert.ok(!sum.initializers.some(({ name }) => name === "gamma" || name === "beta"));
    near(await numbers(sum, "sum"), sums(bias));
    const both = prune({ ...model, outputs: [{ name: "y" }] });
    assert.deepEqual(both.nodes.map(({ op }) => op), ["Mul", "Add", model.nodes[2].op, "Add"]);
    near(await numbers(both, "y"), expected(sums(bias), simplified, "beta" in rest));
  }
});

const plusOne = (name: string) => (x: string, out: string) => ({ nodes: [node("Add", [x, name], [out])], initializers: [floats(name, [1])] });
const times = (name: string, value: number) => (x: string, out: string) => ({ nodes: [node("Mul", [x, name], [out])], initializers: [floats(name, [value])] });

test("tap: whoever reads the tensor, and whoever asks for it, sees what was written; a norm that computes the sum itself is parted first", async () => {
  for (const [simplified, rest] of VARIANTS) {
    const what = `${simplified ? "simplified" : "layer"} ${JSON.stringify(rest)}`;
    const tapped = tap(skipNorm(simplified, rest), "sum", times("half", -0.5));
    const [bias, beta] = ["bias" in rest, "beta" in rest];
    const h = sums(bias).map((value) => -0.5 * value);
    near(await numbers(tapped, "sum"), h, what);
    near(await numbers(tapped, "y"), expected(h, simplified, beta), what);
    assert.deepEqual(tapped.nodes.map(({ op }) => op).slice(2, bias ? 6 : 5), ["Add", ...(bias ? ["Add"] : []), "Mul", `${simplified ? "Simplified" : ""}LayerNormalization`], what);
    // of the norm itself, the operator stays whole
    const normed = tap(skipNorm(simplified, rest), "norm", times("none", 0));
    assert.ok(normed.nodes.some(({ op }) => op.startsWith("Skip")));
    near(await numbers(normed, "y"), sums(bias), what);
  }
});

test("tap: several on one tensor are made in the order given; one output of a node leaves the others", async () => {
  const model = graph([node("Neg", ["x"], ["h"]), node("Abs", ["h"], ["y"])], ["y", "h"]);
  const x = [...X.data as Float32Array];
  const first = tap(tap(tap(model, "h", plusOne("a")), "h", times("b", 3)), "h", plusOne("c"));
  near(await numbers(first, "h"), x.map((value) => (-value + 1) * 3 + 1));
  near(await numbers(first, "y"), x.map((value) => Math.abs((-value + 1) * 3 + 1)));
  const second = tap(tap(model, "h", times("b", 3)), "h", plusOne("a"));
  near(await numbers(second, "h"), x.map((value) => -value * 3 + 1));
  assert.equal(model.nodes.length, 2, "the graph that was given is as it was");
  // the same constant in two of them is there once
  const twice = tap(tap(model, "h", plusOne("a")), "h", plusOne("a"));
  assert.equal(twice.initializers.length, 1);
  near(await numbers(twice, "h"), x.map((value) => -value + 2));

  const split = graph([node("Split", ["x", "sizes"], ["p", "q"], { axis: 1n }), node("Concat", ["q", "p"], ["y"], { axis: 1n })], ["y", "p", "q"], [ints("sizes", [2, 2])]);
  const one = tap(split, "q", times("b", 10));
  near(await numbers(one, "p"), [1, -2, 0.25, 4]);
  near(await numbers(one, "y"), [30, 5, 1, -2, -10, 20, 0.25, 4]);
  assert.throws(() => tap(model, "x", plusOne("a")), (error: Error) => error instanceof RangeError && /^x: expected a tensor that a node of the graph makes, found none/.test(error.message));
});

/** Runs segments one after the other, as the runtime does: edits by their names. */
async function inSegments(model: OnnxModel, feeds: Record<string, Tensor>, edits: Record<string, (x: Float32Array) => Float32Array>, order: string[] = []): Promise<Record<string, Tensor>> {
  const known = { ...feeds };
  const given: Record<string, Tensor> = {};
  for (const { model: part, edit } of segments(model)) {
    if (part.nodes.length) Object.assign(known, await run(part, known));
    if (!edit) continue;
    order.push(edit.name);
    known[edit.to] = new Tensor("float32", edits[edit.name](known[edit.from].data as Float32Array), known[edit.from].dims);
  }
  for (const { name } of model.outputs) given[name] = known[name];
  return given;
}

const edited = (name: string) => (x: string, out: string) => ({ nodes: [{ ...node(EDIT.op, [x], [out]), domain: EDIT.domain, name }] });

test("segments: a graph without edits is one, as it was", () => {
  const model = skipNorm(true);
  const [whole, ...rest] = segments(model);
  assert.equal(rest.length, 0);
  assert.deepEqual([whole.kept, whole.edit], [[], undefined]);
  assert.deepEqual(whole.model.nodes.map(({ op }) => op), prune(model).nodes.map(({ op }) => op));
  assert.deepEqual(whole.model.outputs.map(({ name }) => name).sort(), ["sum", "y"]);
});

test("segments: each gives what the edit reads and what later ones need, and computes nothing twice", async () => {
  const model = graph([
    node("Mul", ["x", "two"], ["a"]), node("Neg", ["x"], ["b"]), node("Abs", ["a"], ["c"]), node("Add", ["c", "b"], ["d"]), node("Add", ["d", "a"], ["e"]), node("Exp", ["b"], ["unused"]),
  ], ["e", "b"], [floats("two", [2])]);
  const tapped = tap(tap(model, "c", edited("first")), "d", edited("second"));
  const parts = segments(tapped);
  assert.deepEqual(parts.map(({ edit }) => edit?.name), ["first", "second", undefined]);
  assert.deepEqual(parts.map((part) => part.model.nodes.map(({ op }) => op)), [["Mul", "Abs"], ["Neg", "Add"], ["Add"]]);
  assert.deepEqual(parts.map(({ kept }) => kept), [["a"], [], []], "a crosses two cuts");
  assert.deepEqual(parts.map((part) => part.model.inputs.map(({ name }) => name)), [["x"], ["x", "c"], ["d", "a"]]);
  assert.deepEqual(parts[1].model.outputs.map(({ name }) => name), ["d/before.0", "b"], "what is asked for comes from where it is made");
  const order: string[] = [];
  const found = await inSegments(tapped, { x: X }, { first: (x) => x.map((value) => value + 1), second: (x) => x.map((value) => value * 10) }, order);
  near([...found.e.data as Float32Array], [...X.data as Float32Array].map((x) => (Math.abs(2 * x) + 1 - x) * 10 + 2 * x));
  near([...found.b.data as Float32Array], [...X.data as Float32Array].map((x) => -x));
  assert.deepEqual(order, ["first", "second"]);
});

test("segments: edits in a row, of one node's outputs, and at the very end", async () => {
  const model = graph([node("Neg", ["x"], ["h"])], ["h"]);
  const plus: (x: Float32Array) => Float32Array = (x) => x.map((value) => value + 1);
  const triple: (x: Float32Array) => Float32Array = (x) => x.map((value) => value * 3);
  const twice = tap(tap(model, "h", edited("plus")), "h", edited("triple"));
  assert.deepEqual(segments(twice).map((part) => part.model.nodes.length), [1, 0, 0]);
  near([...(await inSegments(twice, { x: X }, { plus, triple })).h.data as Float32Array], [...X.data as Float32Array].map((x) => (1 - x) * 3));

  const split = graph([node("Split", ["x", "sizes"], ["p", "q"], { axis: 1n }), node("Sub", ["q", "p"], ["y"])], ["y"], [ints("sizes", [2, 2])]);
  const both = tap(tap(split, "p", edited("plus")), "q", edited("triple"));
  assert.deepEqual(segments(both).map((part) => part.model.nodes.map(({ op }) => op)), [["Split"], [], ["Sub"]]);
  assert.deepEqual(segments(both)[0].model.outputs.map(({ name }) => name).sort(), ["p/before.0", "q/before.0"]);
  const { y } = await inSegments(both, { x: X }, { plus, triple });
  near([...y.data as Float32Array], [9 - 2, 1.5 + 1, -3 - 1.25, 6 - 5]);
});

test("segments: what is made of constants or of an input's shape is made again, not handed on; other types than float are declared", async () => {
  const model = graph([
    node("Cast", ["half"], ["weight"], { to: BigInt(ELEMENT.FLOAT) }), node("Add", ["weight", "one"], ["scale"]), node("Shape", ["x"], ["shape"]), node("Concat", ["shape", "tail"], ["long"], { axis: 0n }),
    node("Mul", ["x", "scale"], ["a"]), node("TopK", ["a", "k"], ["values", "indices"], { axis: -1n }), node("Greater", ["a", "one"], ["mask"]), node("Neg", ["values"], ["v"]),
    node("Mul", ["v", "scale"], ["scaled"]), node("Reshape", ["scaled", "rest"], ["flat"]), node("Cast", ["indices"], ["which"], { to: BigInt(ELEMENT.FLOAT) }), node("Where", ["mask", "a", "one"], ["b"]),
    node("Reshape", ["which", "rest"], ["flat2"]), node("Concat", ["flat", "flat2"], ["out"], { axis: 0n }), node("Reshape", ["b", "long"], ["c"]),
  ], ["out", "c"], [
    { name: "half", type: ELEMENT.FLOAT16, dims: [1], raw: new Uint8Array(Uint16Array.of(0x4000).buffer) }, floats("one", [1]), ints("tail", [1]), ints("k", [2]), ints("rest", [-1]),
  ]);
  const tapped = tap(model, "v", edited("e"));
  const [first, second] = segments(tapped);
  assert.deepEqual(first.model.nodes.map(({ op }) => op), ["Cast", "Add", "Mul", "TopK", "Neg"]);
  const again = second.model.nodes.map(({ outputs }) => outputs[0]);
  for (const name of ["weight", "scale", "shape", "long"]) assert.ok(again.includes(name), name);
  assert.deepEqual(first.kept.sort(), ["a", "indices"]);
  assert.deepEqual(Object.fromEntries(second.model.inputs.map(({ name, type }) => [name, type])), { x: ELEMENT.FLOAT, a: ELEMENT.FLOAT, indices: ELEMENT.INT64, v: ELEMENT.FLOAT });
  const found = await inSegments(tapped, { x: X }, { e: (x) => x.map((value) => value * 2) });
  const x = [...X.data as Float32Array];
  near([...found.out.data as Float32Array], [-54, -18, -72, -36, 2, 0, 1, 3]); // −2·3·(3·x) of the two largest, then their places
  near([...found.c.data as Float32Array], x.map((value) => (3 * value > 1 ? 3 * value : 1)));
  assert.deepEqual(found.c.dims, [2, 4, 1]);
});

test("segments: bool masks cross a cut as bool", async () => {
  const model = graph([
    node("Greater", ["x", "one"], ["mask"]), node("Not", ["mask"], ["other"]), node("Cast", ["other"], ["h2"], { to: 1n }), node("Neg", ["x"], ["h"]), node("Where", ["other", "h", "x"], ["y"]),
    node("Cast", ["mask"], ["m"], { to: 1n }), node("Add", ["h2", "m"], ["z"]),
  ], ["y", "z"], [floats("one", [1])]);
  const tapped = tap(model, "h2", edited("e"));
  const [first, second] = segments(tapped);
  assert.equal(second.model.inputs.find(({ name }) => name === "other")?.type, 9, JSON.stringify([first.kept, second.model.inputs]));
  const { y, z } = await inSegments(tapped, { x: X }, { e: (x) => x.map((value) => value * 5) });
  near([...y.data as Float32Array], [...X.data as Float32Array].map((x) => (x > 1 ? x : -x)));
  near([...z.data as Float32Array], [...X.data as Float32Array].map((x) => (x > 1 ? 1 : 5)));
});
