import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ModelError } from "../../src/core/errors";
import { ELEMENT, readOnnx, writeOnnx, type Node, type OnnxModel } from "../../src/core/onnx";
import { resolve, type Resolved } from "../../src/core/resolve";
import { randomNumbers } from "../../src/core/sample";
import { distance, edited, ort, tapped } from "../resolved";

const ORACLE = join(__dirname, "../../../test/oracle");

// ---- without weights: which tensor is which, as proven with them above

const NAMES: [string, Record<string, string>][] = [
  ["gemma2_torchscript", { // norms after the sublayers
    embed: "/m/model/embed_tokens/Mul_output_0", "attn_in.1": "/m/model/layers.1/input_layernorm/Mul_1_output_0", "attn_out.1": "/m/model/layers.1/self_attn/o_proj/MatMul_output_0",
    "attn_add.1": "/m/model/layers.1/post_attention_layernorm/Mul_1_output_0", "resid_mid.1": "/m/model/layers.1/Add_output_0", "mlp_out.1": "/m/model/layers.1/mlp/down_proj/MatMul_output_0",
    "mlp_add.1": "/m/model/layers.1/post_feedforward_layernorm/Mul_1_output_0", "resid_post.1": "/m/model/layers.1/Add_1_output_0", "pattern.1": "/m/model/layers.1/self_attn/Softmax_output_0",
    final_norm: "/m/model/norm/Mul_1_output_0",
  }],
  ["gpt2_ort", { // a bias folded into the norm; packed q, k, v; the last sum inside the norm
    embed: "/m/transformer/Add_output_0", "q.1": "/m/transformer/h.1/attn/Split_output_0", "k.1": "/m/transformer/h.1/attn/Split_output_1", "mlp_act.1": "FullyConnect_MatMul_5_input",
    "mlp_out.1": "FullyConnect_MatMul_5_output/biased", "resid_post.1": "/m/transformer/h.1/Add_1_output_0", final_norm: "/m/transformer/ln_f/LayerNormalization_output_0",
  }],
  ["neox_dynamo", { // attention and MLP side by side
    embed: "embedding", "attn_in.1": "layer_norm_2", "mlp_in.1": "layer_norm_3", "attn_add.1": "linear_5", "mlp_add.1": "linear_7", "resid_pre.1": "add_368", "resid_post.1": "add_611", "mlp_act.1": "gelu_1",
  }],
];
for (const [file, names] of NAMES) {
  test(`${file}: hooks are found by structure, and no name of a tensor helps`, () => {
    const graph = readOnnx(readFileSync(join(ORACLE, "onnx", `${file}.skeleton.onnx`)), file);
    const resolved = resolve(graph, file);
    for (const [key, tensor] of Object.entries(names)) assert.equal(resolved.hooks.get(key)?.tensor, tensor, key);
    assert.deepEqual([resolved.layers, resolved.heads, resolved.vocabulary, resolved.cache.length], [3, 4, 320, 6]);
    assert.deepEqual(graph, readOnnx(readFileSync(join(ORACLE, "onnx", `${file}.skeleton.onnx`)), file), "what was given stays as it was");
    assert.equal(resolved.missing.get("resid_mid.1")?.includes("parallel"), file === "neox_dynamo" ? true : undefined);

    // every tensor but inputs and outputs renamed, operators nameless and in reverse order
    const kept = new Set([...graph.inputs, ...graph.outputs].map(({ name }) => name));
    const other = new Map<string, string>();
    const rename = (name: string): string => (!name || kept.has(name) ? name : other.get(name) ?? (other.set(name, `t${other.size}`), other.get(name)!));
    const blind: OnnxModel = {
      ...graph,
      nodes: graph.nodes.map((node) => ({ ...node, name: undefined, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) })).reverse(),
      initializers: graph.initializers.map((tensor) => ({ ...tensor, name: rename(tensor.name) })),
    };
    const again = resolve(blind, file);
    assert.deepEqual([...again.hooks.keys()], [...resolved.hooks.keys()]);
    for (const [key, tensor] of Object.entries(names)) if (!tensor.endsWith("/biased")) assert.equal(again.hooks.get(key)!.tensor, rename(tensor), key);
  });
}

// ---- small decoders made here: layouts that no fixture has

const word = (name: string, dims: number[], values: number[] = Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i * 1.7 + name.length))) =>
  ({ name, type: ELEMENT.FLOAT, dims, raw: new Uint8Array(Float32Array.from(values).buffer) });

/** One block of width 4, one head; `add` puts in what differs. The stream's first tensor is `e`. */
function decoder(block: Node[], rest: Partial<OnnxModel> = {}): OnnxModel {
  const attention: Node[] = [
    ...["q", "k", "v"].map((part): Node => ({ op: "MatMul", inputs: ["a_in", `w${part}`], outputs: [part] })),
    { op: "Transpose", inputs: ["k"], outputs: ["kT"], attributes: { perm: [0n, 2n, 1n] } }, { op: "MatMul", inputs: ["q", "kT"], outputs: ["s"] },
    { op: "Softmax", inputs: ["s"], outputs: ["p"] }, { op: "MatMul", inputs: ["p", "v"], outputs: ["z"] }, { op: "MatMul", inputs: ["z", "wo"], outputs: ["a"] },
  ];
  const mlp: Node[] = [{ op: "MatMul", inputs: ["m_in", "wu"], outputs: ["u"] }, { op: "Relu", inputs: ["u"], outputs: ["act"] }, { op: "MatMul", inputs: ["act", "wd"], outputs: ["m"] }];
  return {
    irVersion: 8, opsets: { "": 17, "com.microsoft": 1 }, name: "small",
    nodes: [{ op: "Gather", inputs: ["table", "input_ids"], outputs: ["e"] }, ...attention, ...mlp, ...block, { op: "MatMul", inputs: ["f", "head"], outputs: ["logits"] }],
    initializers: [word("table", [7, 4]), ...["wq", "wk", "wv", "wo"].map((name) => word(name, [4, 4])), word("wu", [4, 6]), word("wd", [6, 4]), word("head", [4, 7]), word("g", [4]), word("b", [4])],
    inputs: [{ name: "input_ids", type: ELEMENT.INT64, dims: ["b", "t"] }], outputs: [{ name: "logits", type: ELEMENT.FLOAT, dims: ["b", "t", 7] }],
    ...rest,
  };
}
const norm = (x: string, out: string): Node => ({ op: "LayerNormalization", inputs: [x, "g"], outputs: [out], attributes: { axis: -1n } });
const add = (x: string, y: string, out: string): Node => ({ op: "Add", inputs: [x, y], outputs: [out] });
const skip = (op: string, inputs: string[], outputs: string[]): Node => ({ op, domain: "com.microsoft", inputs, outputs, attributes: { epsilon: 1e-5 } });

async function values(model: OnnxModel, resolved: Resolved): Promise<(key: string) => Float32Array> {
  const session = await ort.InferenceSession.create(writeOnnx(tapped(resolved)), { logSeverityLevel: 3 });
  const plain = await ort.InferenceSession.create(writeOnnx(model), { logSeverityLevel: 3 });
  const fed = { input_ids: new ort.Tensor("int64", BigInt64Array.of(3n, 1n, 4n), [1, 3]) };
  const got = await session.run(fed);
  assert.ok(distance(got.logits.data as Float32Array, (await plain.run(fed)).logits.data as Float32Array) < 1e-6);
  return (key) => got[`hook/${key}`].data as Float32Array;
}
const plus = (...parts: Float32Array[]): Float32Array => parts[0].map((_, i) => parts.reduce((sum, part) => sum + part[i], 0));

test("a parallel block with one norm for both sublayers: each input is a tensor of its own", async () => {
  const model = decoder([norm("e", "n"), { op: "Identity", inputs: ["n"], outputs: ["a_in"] }, { op: "Identity", inputs: ["n"], outputs: ["m_in"] }, add("a", "m", "am"), add("am", "e", "r"), norm("r", "f")]);
  for (const graph of [model, { ...model, nodes: model.nodes.filter(({ op }) => op !== "Identity").map((node) => ({ ...node, inputs: node.inputs.map((name) => (name.endsWith("_in") ? "n" : name)) })) }]) {
    const resolved = resolve(graph);
    assert.match(resolved.missing.get("resid_mid.0")!, /parallel/);
    const [a, m] = ["attn_in.0", "mlp_in.0"].map((key) => resolved.hooks.get(key)!.tensor);
    assert.notEqual(a, m);
    const hook = await values(graph, resolved);
    assert.deepEqual(hook("attn_in.0"), hook("mlp_in.0"));
    assert.ok(distance(hook("resid_post.0"), plus(hook("embed"), hook("attn_add.0"), hook("mlp_add.0"))) < 1e-6);
    const before = { ...resolved, graph: edited(resolved, "attn_in.0", (from, to) => [{ op: "Neg", inputs: [from], outputs: [to] }], []) };
    const session = await ort.InferenceSession.create(writeOnnx(tapped(before)), { logSeverityLevel: 3 });
    const got = await session.run({ input_ids: new ort.Tensor("int64", BigInt64Array.of(3n, 1n, 4n), [1, 3]) });
    assert.deepEqual(got["hook/mlp_in.0"].data, hook("mlp_in.0"));
    assert.deepEqual(got["hook/attn_in.0"].data, hook("attn_in.0").map((x) => -x));
  }
});

test("no norm before a sublayer: its input is the stream, but an edit there leaves the stream alone", async () => {
  const model = decoder([norm("a", "an"), add("e", "an", "r0"), norm("m", "mn"), add("mn", "r0", "r1"), norm("r1", "f")]);
  const graph = { ...model, nodes: model.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => ({ a_in: "e", m_in: "r0" })[name] ?? name) })) };
  const resolved = resolve(graph);
  assert.equal(resolved.hooks.get("attn_out.0")!.tensor, "a");
  assert.equal(resolved.hooks.get("attn_add.0")!.tensor, "an");
  const hook = await values(graph, resolved);
  for (const [key, same] of [["attn_in.0", "embed"], ["mlp_in.0", "resid_mid.0"]]) {
    assert.deepEqual(hook(key), hook(same));
    assert.notEqual(resolved.hooks.get(key)!.tensor, resolved.hooks.get(same)!.tensor);
  }
});

test("MLP and attention added one after the other to the same stream: no middle of the stream", () => {
  const resolved = resolve(decoder([norm("e", "a_in"), norm("e", "m_in"), add("e", "a", "r0"), add("r0", "m", "r1"), norm("r1", "f")]));
  assert.match(resolved.missing.get("resid_mid.0")!, /parallel/);
  assert.equal(resolved.hooks.get("resid_post.0")!.tensor, "r1");
});

test("skip-norms: biases folded in, sums without a name, positions added by one; logits of the last position only", async () => {
  const model = decoder([
    skip("SkipLayerNormalization", ["e", "positions", "g", "b"], ["a_in", "", "", "e1"]),
    skip("SkipSimplifiedLayerNormalization", ["a", "e1", "g", "b"], ["m_in", "", "", "r0"]),
    skip("SkipLayerNormalization", ["r0", "m", "g", "b", "b"], ["f1"]),
    { op: "Gather", inputs: ["f1", "last"], outputs: ["f"], attributes: { axis: 1n } },
    { op: "Expand", inputs: ["b", "wide"], outputs: ["positions"] }, { op: "Concat", inputs: ["shape", "four"], outputs: ["wide"], attributes: { axis: 0n } }, { op: "Shape", inputs: ["input_ids"], outputs: ["shape"] },
  ]);
  const int = (name: string, value: bigint) => ({ name, type: ELEMENT.INT64, dims: [1], raw: new Uint8Array(BigInt64Array.of(value).buffer) });
  const graph = { ...model, initializers: [...model.initializers, int("last", -1n), int("four", 4n)] };
  const resolved = resolve(graph);
  assert.equal(resolved.lastLogitsOnly, true);
  assert.equal(resolved.hooks.get("embed")!.tensor, "e1");
  const sorted = { ...graph, nodes: resolved.graph.nodes.filter(({ outputs }) => graph.nodes.some((node) => node.outputs[0] === outputs[0])).map((node) => graph.nodes.find((one) => one.outputs[0] === node.outputs[0])!) };
  const hook = await values(sorted, resolved);
  const bias = new Float32Array(new Uint8Array(graph.initializers.find(({ name }) => name === "b")!.raw!).buffer);
  assert.ok(distance(hook("resid_mid.0"), plus(hook("embed"), hook("attn_out.0"))) < 1e-6, "the bias is in attn_out");
  assert.ok(distance(hook("resid_post.0"), plus(hook("resid_mid.0"), hook("mlp_out.0"))) < 1e-6);
  assert.ok(bias.some((x) => Math.abs(x) > 0.1));
  assert.equal(hook("final_norm").length, 12);
  assert.equal(hook("logits").length, 7);
});

test("what cannot be followed is refused with what was found", () => {
  const good = decoder([norm("e", "a_in"), add("e", "a", "r0"), norm("r0", "m_in"), add("r0", "m", "r1"), norm("r1", "f")]);
  assert.equal(resolve(good).hooks.size, 18);
  const refused = (model: OnnxModel, message: RegExp): void =>
    assert.throws(() => resolve(model, "m.onnx"), (error: Error) => error instanceof ModelError && message.test(error.message) && error.message.startsWith("m.onnx: expected "), String(message));
  const inputs = (...names: string[]) => ({ ...good, inputs: names.map((name) => ({ name, type: ELEMENT.FLOAT, dims: ["b", "t", "s", 4] })) });
  refused(inputs("inputs_embeds"), /input input_ids, found inputs_embeds/);
  refused(inputs("input_ids", "encoder_hidden_states"), /"encoder_hidden_states"/);
  refused(inputs("input_ids", "past_key_values.0.key"), /without its output/);
  refused({ ...inputs("input_ids", "use_cache_branch"), nodes: [...good.nodes, { op: "If", inputs: ["use_cache_branch"], outputs: ["logits2"] }], outputs: [{ name: "logits2" }] }, /decoder_model_merged.*decoder_model\.onnx/);
  refused(decoder([norm("e", "a_in"), norm("a", "m_in"), norm("m", "f")]), /no residual sum|that no residual sum follows/);
  refused({ ...good, nodes: good.nodes.map((node) => (node.op === "Gather" ? { ...node, inputs: ["table", "other"] } : node)), initializers: [...good.initializers, word("other", [1], [0])] }, /no table/);
  const cached = ["key", "value"];
  refused({
    ...good, inputs: [...good.inputs, ...cached.map((part) => ({ name: `past_key_values.0.${part}`, type: 1, dims: ["b", 1, "s", 4] }))],
    outputs: [...good.outputs, ...cached.map((part) => ({ name: `present.0.${part}` }))],
  }, /block 0 to read past_key_values\.0\.key/);
});

test("shapes that a file notes for tensors in between are not handed on: some exporters' are wrong, and the runtime believes them", () => {
  const graph = decoder([norm("e", "a_in"), add("e", "a", "r0"), norm("r0", "m_in"), add("r0", "m", "r1"), norm("r1", "f")],
    { values: [{ name: "a", type: ELEMENT.FLOAT, dims: ["b", 2, 4] }, { name: "p" }] });
  assert.deepEqual(resolve(graph).graph.values, [{ name: "a", type: ELEMENT.FLOAT }]);
});

test("graphs that were tampered with: a result or a ModelError, never another error", () => {
  const files = ["gpt2_ort.skeleton.onnx", "neox_dynamo.skeleton.onnx", "qwen2_genai_int4.onnx"].map((name) => readOnnx(readFileSync(join(ORACLE, "onnx", name)), name));
  const random = randomNumbers(3, 1);
  const below = (n: number): number => Math.floor(random() * n);
  const counts = { resolved: 0, refused: 0 };
  for (let round = 0; round < 240; round++) {
    const graph = files[round % files.length];
    const nodes = graph.nodes.map((node) => ({ ...node, inputs: [...node.inputs], outputs: [...node.outputs] }));
    const names = nodes.flatMap((node) => node.outputs).filter(Boolean);
    const node = nodes[below(nodes.length)];
    if (round % 5 === 0) nodes.splice(nodes.indexOf(node), 1);
    else if (round % 5 === 1) node.inputs[below(node.inputs.length)] = names[below(names.length)];
    else if (round % 5 === 2) node.op = nodes[below(nodes.length)].op;
    else if (round % 5 === 3) node.inputs.length = below(node.inputs.length + 1);
    else node.attributes = { num_heads: 0n, axis: 99n };
    try {
      const { hooks, graph: made } = resolve({ ...graph, nodes }, "tampered");
      const known = new Set(made.nodes.flatMap(({ outputs }) => outputs));
      for (const [key, { tensor }] of hooks) assert.ok(known.has(tensor), `${key} ${tensor}`);
      counts.resolved++;
    } catch (error) {
      assert.ok(error instanceof ModelError, `round ${round}: ${(error as Error).stack}`);
      counts.refused++;
    }
  }
  assert.ok(counts.resolved > 50 && counts.refused > 50, JSON.stringify(counts));
});
