import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildGraph, checkWeights, type Weight, type Wanted } from "../../src/core/build";
import { ModelError } from "../../src/core/errors";
import { FAMILIES, readArchitecture } from "../../src/core/families";
import { parseHook } from "../../src/core/hookname";
import { ropeFrequencies, ropeTables, type Rope } from "../../src/core/rope";
import { readOnnx, writeOnnx } from "../../src/core/onnx";
import { bytesSource, readHeader } from "../../src/core/safetensors";
import { draw, randomNumbers } from "../../src/core/sample";

const ORACLE = join(__dirname, "../../../test/oracle/models");

const config = (model: string): Record<string, any> => JSON.parse(readFileSync(join(ORACLE, model, "config.json"), "utf8"));

const stored = (model: string): Map<string, Weight> => {
  const { tensors } = readHeader(bytesSource(readFileSync(join(ORACLE, model, "model.safetensors"))), model);
  return new Map([...tensors].map(([name, info]) => [name, { ...info, location: "model.safetensors" }]));
};

const open = (model: string) => {
  const architecture = readArchitecture(config(model), "config.json");
  return { architecture, weights: checkWeights(architecture, stored(model), model) };
};

const graph = (model: string, hooks: string[], rest: Omit<Wanted, "hooks"> = {}) => {
  const { architecture, weights } = open(model);
  const built = buildGraph(architecture, weights, { hooks: hooks.map((name) => parseHook(name, architecture.layers)), ...rest });
  return { ...built, weights: built.model.initializers.filter(({ external }) => external).map(({ name }) => name) };
};

test("a graph ends at its deepest hook and reads nothing else", () => {
  const blocks = (built: ReturnType<typeof graph>, op: string): number => built.model.nodes.filter((node) => node.op === op).length;
  for (const model of ["llama", "qwen2"]) {
    const embed = graph(model, ["embed_tokens"]);
    assert.deepEqual(embed.weights, ["embed_tokens.weight"]);
    assert.deepEqual(embed.model.inputs.map(({ name }) => name), ["input_ids"]);

    const attention = graph(model, ["layers.1.self_attn"]);
    assert.equal(blocks(attention, "GroupQueryAttention"), 2);
    assert.equal(blocks(attention, "QuickGelu"), 1, "the MLP of block 0 only");
    assert.ok(!attention.weights.some((name) => name.startsWith("layers.1.mlp") || name.startsWith("layers.2") || name === "norm.weight"));

    const mlp = graph(model, ["layers.1.mlp", "embed_tokens"]);
    assert.equal(blocks(mlp, "QuickGelu"), 2);
    assert.equal(blocks(mlp, "Add"), 0, "the sum after block 1 is not needed");
    assert.deepEqual(mlp.model.outputs.map(({ name }) => name), ["layers.1.mlp", "embed_tokens"]);

    const stream = graph(model, ["layers.0"]);
    assert.equal(blocks(stream, "GroupQueryAttention"), 1);
    assert.equal(blocks(stream, "Add"), 1);
    assert.ok(!stream.weights.includes("lm_head.weight") && !stream.weights.includes("norm.weight"));

    assert.equal(blocks(graph(model, ["layers.0", "logits"]), "GroupQueryAttention"), 3);
  }
});

test("every tensor of a graph is made before it is read, and every node is needed", () => {
  for (const model of ["llama", "qwen2"]) {
    for (const [hooks, rest] of [[["layers.2"], {}], [["layers.1", "layers.0.mlp", "logits"], {}], [[], { last: true, cache: true }], [["layers.0.attn.pattern"], { lens: false }]] as const) {
      const { model: onnx } = graph(model, [...hooks], rest);
      const known = new Set(["", ...onnx.inputs.map(({ name }) => name), ...onnx.initializers.map(({ name }) => name)]);
      for (const node of onnx.nodes) {
        for (const input of node.inputs) assert.ok(known.has(input), `${node.op} reads ${input}`);
        for (const output of node.outputs.filter(Boolean)) {
          assert.ok(!known.has(output), `${output} is made twice`);
          known.add(output);
        }
      }
      const read = new Set([...onnx.nodes.flatMap((node) => node.inputs), ...onnx.outputs.map(({ name }) => name)]);
      for (const node of onnx.nodes) assert.ok(node.outputs.some((name) => read.has(name)), `${node.op} ${node.outputs}`);
      for (const { name } of [...onnx.inputs, ...onnx.initializers]) assert.ok(read.has(name), name);
    }
  }
});

test("weights are references: the model itself stays small and names offsets of the file", () => {
  const { model, weights } = graph("llama", ["logits"]);
  const bytes = writeOnnx(model);
  assert.ok(bytes.length < 40_000, String(bytes.length));
  assert.equal(weights.length, open("llama").weights.size);
  const file = readHeader(bytesSource(readFileSync(join(ORACLE, "llama/model.safetensors"))), "llama").tensors;
  const external = readOnnx(bytes).initializers.filter((tensor) => tensor.external);
  assert.equal(external.length, weights.length);
  for (const tensor of external) {
    const info = [...file].find(([, { offset }]) => offset === tensor.external!.offset)?.[1];
    assert.deepEqual(tensor.external, { location: "model.safetensors", offset: info!.offset, length: info!.bytes }, tensor.name);
  }
});

test("the cache has a pair for every block, in and out", () => {
  const { model } = graph("qwen2", [], { last: true, cache: true });
  const names = [0, 1, 2].flatMap((i) => [`${i}.key`, `${i}.value`]);
  assert.deepEqual(model.inputs.map(({ name }) => name).filter((name) => name.startsWith("past.")), names.map((name) => `past.${name}`));
  assert.deepEqual(model.outputs.map(({ name }) => name), ["logits.last", ...names.map((name) => `present.${name}`)]);
});

test("rotation: frequencies by the formula, and llama3's three ranges", () => {
  const rope: Rope = {
    theta: 10_000, kind: "default", factor: 1, attention: 1, low: 1, high: 4, originalContext: 16, betaFast: 32, betaSlow: 1, truncate: true, short: [], long: [],
  };
  const plain = ropeFrequencies(rope, 16);
  plain.forEach((value, j) => assert.ok(Math.abs(value / 10_000 ** (-2 * j / 16) - 1) < 2e-7, String(j)));
  assert.deepEqual(ropeFrequencies({ ...rope, kind: "linear", factor: 4 }, 16), plain.map((x) => x / 4));
  const scaled = ropeFrequencies({ ...rope, kind: "llama3", factor: 8 }, 16);
  plain.forEach((value, j) => {
    const wavelength = (2 * Math.PI) / value;
    if (wavelength > 16) assert.ok(Math.abs(scaled[j] / (value / 8) - 1) < 1e-6, "long: stretched");
    else if (wavelength < 4) assert.equal(scaled[j], value, "short: as it was");
    else assert.ok(scaled[j] < value && scaled[j] > value / 8, "between: blended");
  });
  assert.ok(plain.some((value) => (2 * Math.PI) / value > 4 && (2 * Math.PI) / value < 16), "the blend is reached");
  const { cos, sin } = ropeTables(rope, 16, 5);
  assert.equal(cos.length, 5 * 8);
  assert.deepEqual([...cos.subarray(0, 8)], new Array(8).fill(1));
  for (let i = 0; i < cos.length; i++) assert.ok(Math.abs(cos[i] ** 2 + sin[i] ** 2 - 1) < 1e-6);
  assert.ok(Math.abs(sin[3 * 8] - Math.sin(3)) < 1e-7);
});

test("config: an unknown family names the known ones and where to add a row", () => {
  assert.throws(() => readArchitecture({ ...config("llama"), model_type: "mamba" }, "m/config.json"), (error: Error) => {
    assert.ok(error instanceof ModelError);
    for (const { type } of FAMILIES) assert.match(error.message, new RegExp(type));
    assert.match(error.message, /^m\/config\.json: model_type: .*"mamba".*src\/core\/families\.ts/);
    return true;
  });
});

test("config: a missing or impossible field is named, with what was expected and found", () => {
  const broken: [Record<string, unknown>, RegExp][] = [
    [{ hidden_size: undefined }, /hidden_size: expected a whole number above 0, found nothing/],
    [{ num_hidden_layers: -1 }, /num_hidden_layers: .*found -1/],
    [{ num_key_value_heads: 3 }, /num_key_value_heads: expected a divisor of num_attention_heads \(4\), found 3/],
    [{ head_dim: null, hidden_size: 50 }, /hidden_size: expected a multiple of num_attention_heads/],
    [{ head_dim: 15 }, /head_dim: expected an even number/],
    [{ hidden_act: "swiglu" }, /hidden_act: .*"swiglu"/],
    [{ rms_norm_eps: undefined }, /rms_norm_eps: .*found nothing/],
    [{ rope_scaling: { rope_type: "dynamic", factor: 4 } }, /rope_scaling\.rope_type: .*"dynamic"/],
    [{ rope_scaling: { rope_type: "longrope", factor: 4, short_factor: [1], long_factor: [1] } }, /rope_scaling\.short_factor: expected 8 numbers/],
    [{ rope_scaling: { rope_type: "linear" } }, /rope_scaling\.factor: .*found nothing/],
    [{ partial_rotary_factor: 1.5 }, /partial_rotary_factor/],
    [{ vocab_size: "320" }, /vocab_size: .*found "320"/],
  ];
  for (const [change, message] of broken) {
    assert.throws(() => readArchitecture({ ...config("llama"), ...change }, "config.json"), (error: Error) => error instanceof ModelError && message.test(error.message), String(message));
  }
  assert.throws(() => readArchitecture([], "config.json"), ModelError);
});

test("config: both forms of hub checkpoints say the same", () => {
  const old = config("llama");
  const { rope_theta, rope_scaling, ...rest } = old;
  const { rope_type, ...scaling } = rope_scaling;
  const want = readArchitecture(old, "old");
  assert.deepEqual(readArchitecture({ ...rest, rope_parameters: { ...rope_scaling, rope_theta } }, "new"), want);
  assert.deepEqual(readArchitecture({ ...rest, rope_theta, rope_scaling: { ...scaling, type: rope_type } }, "first"), want);
  assert.equal(want.ropes[0].kind, "llama3");
});

test("config: which blocks see a window only", () => {
  const qwen = (change: object): number[] => readArchitecture({ ...config("qwen2"), sliding_window: 8, ...change }, "c").window;
  assert.deepEqual(qwen({}), [0, 0, 0], "use_sliding_window is false");
  assert.deepEqual(qwen({ use_sliding_window: true, max_window_layers: 1 }), [0, 8, 8]);
  assert.deepEqual(qwen({ use_sliding_window: true, layer_types: ["sliding_attention", "full_attention", "full_attention"] }), [8, 0, 0]);
  assert.deepEqual(readArchitecture({ ...config("llama"), model_type: "mistral", sliding_window: 8 }, "c").window, [8, 8, 8]);
});

test("weights: a missing, misshapen, quantised or unknown tensor is named", () => {
  const { architecture } = open("qwen2");
  const change = (edit: (weights: Map<string, Weight>) => void): (() => void) => () => {
    const weights = stored("qwen2");
    edit(weights);
    checkWeights(architecture, weights, "folder");
  };
  const cases: [(weights: Map<string, Weight>) => void, RegExp][] = [
    [(w) => w.delete("model.layers.1.mlp.up_proj.weight"), /model\.layers\.1\.mlp\.up_proj\.weight: expected a tensor \[96, 64\], found none/],
    [(w) => w.delete("model.layers.0.self_attn.q_proj.bias"), /q_proj\.bias: expected a tensor \[64\], found none/],
    [(w) => (w.get("model.norm.weight")!.shape = [63]), /model\.norm\.weight: expected \[64\] by config\.json, found \[63\]/],
    [(w) => (w.get("model.norm.weight")!.dtype = "I8"), /expected dtype F32, F16, BF16, found I8/],
    [(w) => w.set("model.layers.2.self_attn.q_norm.weight", w.get("model.norm.weight")!), /q_norm\.weight: expected no such tensor in family qwen2/],
  ];
  for (const [edit, message] of cases) {
    assert.throws(change(edit), (error: Error) => error instanceof ModelError && error.message.startsWith("folder: ") && message.test(error.message), String(message));
  }
  change((w) => w.set("model.layers.2.self_attn.rotary_emb.inv_freq", w.get("model.norm.weight")!))(); // old checkpoints carry it, nothing reads it
  change((w) => w.set("lm_head.weight", w.get("model.embed_tokens.weight")!))(); // a tied head stored a second time
  const bare = new Map([...stored("qwen2")].map(([name, weight]) => [name.replace(/^model\./, ""), weight]));
  assert.deepEqual(checkWeights(architecture, bare, "bare"), open("qwen2").weights, "names without model. in front");
  assert.throws(() => checkWeights({ ...architecture, tied: false }, stored("qwen2"), "folder"), /lm_head\.weight: .*tie_word_embeddings/);
});

test("drawing a token: greedy takes the first largest; shares follow the softmax; streams are independent and repeat", () => {
  const plain = { temperature: 1, topK: 0, topP: 1 };
  const greedy = { ...plain, temperature: 0 };
  assert.equal(draw(Float32Array.of(1, 3, 3, 2), greedy, () => 0.99), 1);
  const logits = Float32Array.of(0, Math.log(2), Math.log(5)); // probabilities 1/8, 2/8, 5/8
  const random = randomNumbers(7, 0);
  const counts = [0, 0, 0];
  const n = 40_000;
  for (let i = 0; i < n; i++) counts[draw(logits, plain, random)]++;
  [1, 2, 5].forEach((share, i) => assert.ok(Math.abs(counts[i] / n - share / 8) < 4 * Math.sqrt(0.25 / n), `${counts}`));
  assert.equal(draw(logits, { ...plain, temperature: 0.01 }, () => 0.5), 2, "cold is nearly greedy");
  const reached = (settings: object): number[] => [...new Set(Array.from({ length: 200 }, (_, i) => draw(logits, { ...plain, ...settings }, () => i / 200)))].sort();
  assert.deepEqual(reached({}), [0, 1, 2]);
  assert.deepEqual(reached({ topK: 2 }), [1, 2]);
  assert.deepEqual(reached({ topP: 0.625 }), [2], "the first alone reaches it");
  assert.deepEqual(reached({ topP: 0.63 }), [1, 2]);
  assert.deepEqual(reached({ topP: 0.01 }), [2], "one is always left");
  assert.deepEqual(reached({ topK: 2, topP: 0.72 }), [1, 2], "of the two, 5/7 is less than that");
  const take = (seed: number, stream: number): number[] => Array.from({ length: 8 }, ((next) => () => next())(randomNumbers(seed, stream)));
  assert.deepEqual(take(1, 2), take(1, 2));
  assert.notDeepEqual(take(1, 2), take(1, 3));
  assert.notDeepEqual(take(1, 2), take(2, 2));
  assert.ok(take(0, 0).every((x) => x >= 0 && x < 1));
});

test("topK and topP draw as from the whole vocabulary in order: peaked, flat, with equals, with impossible tokens", () => {
  const V = 500;
  const random = randomNumbers(3, 1);
  for (const [what, logits] of Object.entries({
    peaked: Float32Array.from({ length: V }, () => 60 * random()), flat: new Float32Array(V).fill(2), equals: Float32Array.from({ length: V }, () => Math.round(4 * random())),
    impossible: Float32Array.from({ length: V }, (_, i) => (i % 3 ? -Infinity : 40 * random())),
  })) for (const temperature of [0.05, 1, 30]) for (const topK of [0, 1, 40, V - 1, V, V + 1]) for (const topP of [1e-6, 0.5, 0.95, 1]) for (const u of [0, 0.3, 0.999]) {
    const top = logits.reduce((most, x) => Math.max(most, x));
    const weight = (i: number): number => Math.exp((logits[i] - top) / temperature);
    const cut = topK > 0 && topK < V || topP < 1;
    let order = [...logits.keys()];
    if (cut) order = order.sort((x, y) => logits[y] - logits[x] || x - y).slice(0, topK || V);
    const total = order.reduce((sum, i) => sum + weight(i), 0);
    let reached = 0;
    const kept = order.filter((i, j) => (cut && j > 0 && reached >= topP * total * (1 - 1e-12) ? false : ((reached += weight(i)), true)));
    let left = u * kept.reduce((sum, i) => sum + weight(i), 0);
    const wanted = kept.find((i) => (left -= weight(i)) < 0);
    assert.equal(draw(logits, { temperature, topK, topP }, () => u), wanted, `${what}, ${JSON.stringify({ temperature, topK, topP, u })}`);
  }
});
