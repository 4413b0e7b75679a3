"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const build_1 = require("../../src/core/build");
const errors_1 = require("../../src/core/errors");
const families_1 = require("../../src/core/families");
const hookname_1 = require("../../src/core/hookname");
const rope_1 = require("../../src/core/rope");
const onnx_1 = require("../../src/core/onnx");
const safetensors_1 = require("../../src/core/safetensors");
const sample_1 = require("../../src/core/sample");
const ORACLE = (0, node_path_1.join)(__dirname, "../../../test/oracle/models");
const config = (model) => JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, model, "config.json"), "utf8"));
const stored = (model) => {
    const { tensors } = (0, safetensors_1.readHeader)((0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, model, "model.safetensors"))), model);
    return new Map([...tensors].map(([name, info]) => [name, { ...info, location: "model.safetensors" }]));
};
const open = (model) => {
    const architecture = (0, families_1.readArchitecture)(config(model), "config.json");
    return { architecture, weights: (0, build_1.checkWeights)(architecture, stored(model), model) };
};
const graph = (model, hooks, rest = {}) => {
    const { architecture, weights } = open(model);
    const built = (0, build_1.buildGraph)(architecture, weights, { hooks: hooks.map((name) => (0, hookname_1.parseHook)(name, architecture.layers)), ...rest });
    return { ...built, weights: built.model.initializers.filter(({ external }) => external).map(({ name }) => name) };
};
(0, node_test_1.test)("a graph ends at its deepest hook and reads nothing else", () => {
    const blocks = (built, op) => built.model.nodes.filter((node) => node.op === op).length;
    for (const model of ["llama", "qwen2"]) {
        const embed = graph(model, ["embed_tokens"]);
        strict_1.default.deepEqual(embed.weights, ["embed_tokens.weight"]);
        strict_1.default.deepEqual(embed.model.inputs.map(({ name }) => name), ["input_ids"]);
        const attention = graph(model, ["layers.1.self_attn"]);
        strict_1.default.equal(blocks(attention, "GroupQueryAttention"), 2);
        strict_1.default.equal(blocks(attention, "QuickGelu"), 1, "the MLP of block 0 only");
        strict_1.default.ok(!attention.weights.some((name) => name.startsWith("layers.1.mlp") || name.startsWith("layers.2") || name === "norm.weight"));
        const mlp = graph(model, ["layers.1.mlp", "embed_tokens"]);
        strict_1.default.equal(blocks(mlp, "QuickGelu"), 2);
        strict_1.default.equal(blocks(mlp, "Add"), 0, "the sum after block 1 is not needed");
        strict_1.default.deepEqual(mlp.model.outputs.map(({ name }) => name), ["layers.1.mlp", "embed_tokens"]);
        const stream = graph(model, ["layers.0"]);
        strict_1.default.equal(blocks(stream, "GroupQueryAttention"), 1);
        strict_1.default.equal(blocks(stream, "Add"), 1);
        strict_1.default.ok(!stream.weights.includes("lm_head.weight") && !stream.weights.includes("norm.weight"));
        strict_1.default.equal(blocks(graph(model, ["layers.0", "logits"]), "GroupQueryAttention"), 3);
    }
});
(0, node_test_1.test)("every tensor of a graph is made before it is read, and every node is needed", () => {
    for (const model of ["llama", "qwen2"]) {
        for (const [hooks, rest] of [[["layers.2"], {}], [["layers.1", "layers.0.mlp", "logits"], {}], [[], { last: true, cache: true }], [["layers.0.attn.pattern"], { lens: false }]]) {
            const { model: onnx } = graph(model, [...hooks], rest);
            const known = new Set(["", ...onnx.inputs.map(({ name }) => name), ...onnx.initializers.map(({ name }) => name)]);
            for (const node of onnx.nodes) {
                for (const input of node.inputs)
                    strict_1.default.ok(known.has(input), `${node.op} reads ${input}`);
                for (const output of node.outputs.filter(Boolean)) {
                    strict_1.default.ok(!known.has(output), `${output} is made twice`);
                    known.add(output);
                }
            }
            const read = new Set([...onnx.nodes.flatMap((node) => node.inputs), ...onnx.outputs.map(({ name }) => name)]);
            for (const node of onnx.nodes)
                strict_1.default.ok(node.outputs.some((name) => read.has(name)), `${node.op} ${node.outputs}`);
            for (const { name } of [...onnx.inputs, ...onnx.initializers])
                strict_1.default.ok(read.has(name), name);
        }
    }
});
(0, node_test_1.test)("weights are references: the model itself stays small and names offsets of the file", () => {
    const { model, weights, elements } = graph("llama", ["logits"]);
    const bytes = (0, onnx_1.writeOnnx)(model);
    strict_1.default.ok(bytes.length < 40_000, String(bytes.length));
    strict_1.default.equal(elements, [...open("llama").weights.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0));
    const file = (0, safetensors_1.readHeader)((0, safetensors_1.bytesSource)((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, "llama/model.safetensors"))), "llama").tensors;
    const external = (0, onnx_1.readOnnx)(bytes).initializers.filter((tensor) => tensor.external);
    strict_1.default.equal(external.length, weights.length);
    for (const tensor of external) {
        const info = [...file].find(([, { offset }]) => offset === tensor.external.offset)?.[1];
        strict_1.default.deepEqual(tensor.external, { location: "model.safetensors", offset: info.offset, length: info.bytes }, tensor.name);
    }
});
(0, node_test_1.test)("the cache has a pair for every block, in and out", () => {
    const { model } = graph("qwen2", [], { last: true, cache: true });
    const names = [0, 1, 2].flatMap((i) => [`${i}.key`, `${i}.value`]);
    strict_1.default.deepEqual(model.inputs.map(({ name }) => name).filter((name) => name.startsWith("past.")), names.map((name) => `past.${name}`));
    strict_1.default.deepEqual(model.outputs.map(({ name }) => name), ["logits.last", ...names.map((name) => `present.${name}`)]);
});
(0, node_test_1.test)("rotation: frequencies by the formula, and llama3's three ranges", () => {
    const rope = {
        theta: 10_000, kind: "default", factor: 1, attention: 1, low: 1, high: 4, originalContext: 16, betaFast: 32, betaSlow: 1, truncate: true, short: [], long: [],
    };
    const plain = (0, rope_1.ropeFrequencies)(rope, 16);
    plain.forEach((value, j) => strict_1.default.ok(Math.abs(value / 10_000 ** (-2 * j / 16) - 1) < 2e-7, String(j)));
    strict_1.default.deepEqual((0, rope_1.ropeFrequencies)({ ...rope, kind: "linear", factor: 4 }, 16), plain.map((x) => x / 4));
    const scaled = (0, rope_1.ropeFrequencies)({ ...rope, kind: "llama3", factor: 8 }, 16);
    plain.forEach((value, j) => {
        const wavelength = (2 * Math.PI) / value;
        if (wavelength > 16)
            strict_1.default.ok(Math.abs(scaled[j] / (value / 8) - 1) < 1e-6, "long: stretched");
        else if (wavelength < 4)
            strict_1.default.equal(scaled[j], value, "short: as it was");
        else
            strict_1.default.ok(scaled[j] < value && scaled[j] > value / 8, "between: blended");
    });
    strict_1.default.ok(plain.some((value) => (2 * Math.PI) / value > 4 && (2 * Math.PI) / value < 16), "the blend is reached");
    const { cos, sin } = (0, rope_1.ropeTables)(rope, 16, 5);
    strict_1.default.equal(cos.length, 5 * 8);
    strict_1.default.deepEqual([...cos.subarray(0, 8)], new Array(8).fill(1));
    for (let i = 0; i < cos.length; i++)
        strict_1.default.ok(Math.abs(cos[i] ** 2 + sin[i] ** 2 - 1) < 1e-6);
    strict_1.default.ok(Math.abs(sin[3 * 8] - Math.sin(3)) < 1e-7);
});
(0, node_test_1.test)("config: an unknown family names the known ones and where to add a row", () => {
    strict_1.default.throws(() => (0, families_1.readArchitecture)({ ...config("llama"), model_type: "mamba" }, "m/config.json"), (error) => {
        strict_1.default.ok(error instanceof errors_1.ModelError);
        for (const { type } of families_1.FAMILIES)
            strict_1.default.match(error.message, new RegExp(type));
        strict_1.default.match(error.message, /^m\/config\.json: model_type: .*"mamba".*src\/core\/families\.ts/);
        return true;
    });
});
(0, node_test_1.test)("config: a missing or impossible field is named, with what was expected and found", () => {
    const broken = [
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
        strict_1.default.throws(() => (0, families_1.readArchitecture)({ ...config("llama"), ...change }, "config.json"), (error) => error instanceof errors_1.ModelError && message.test(error.message), String(message));
    }
    strict_1.default.throws(() => (0, families_1.readArchitecture)([], "config.json"), errors_1.ModelError);
});
(0, node_test_1.test)("config: both forms of hub checkpoints say the same", () => {
    const old = config("llama");
    const { rope_theta, rope_scaling, ...rest } = old;
    const { rope_type, ...scaling } = rope_scaling;
    const want = (0, families_1.readArchitecture)(old, "old");
    strict_1.default.deepEqual((0, families_1.readArchitecture)({ ...rest, rope_parameters: { ...rope_scaling, rope_theta } }, "new"), want);
    strict_1.default.deepEqual((0, families_1.readArchitecture)({ ...rest, rope_theta, rope_scaling: { ...scaling, type: rope_type } }, "first"), want);
    strict_1.default.equal(want.ropes[0].kind, "llama3");
});
(0, node_test_1.test)("config: which blocks see a window only", () => {
    const qwen = (change) => (0, families_1.readArchitecture)({ ...config("qwen2"), sliding_window: 8, ...change }, "c").window;
    strict_1.default.deepEqual(qwen({}), [0, 0, 0], "use_sliding_window is false");
    strict_1.default.deepEqual(qwen({ use_sliding_window: true, max_window_layers: 1 }), [0, 8, 8]);
    strict_1.default.deepEqual(qwen({ use_sliding_window: true, layer_types: ["sliding_attention", "full_attention", "full_attention"] }), [8, 0, 0]);
    strict_1.default.deepEqual((0, families_1.readArchitecture)({ ...config("llama"), model_type: "mistral", sliding_window: 8 }, "c").window, [8, 8, 8]);
});
(0, node_test_1.test)("weights: a missing, misshapen, quantised or unknown tensor is named", () => {
    const { architecture } = open("qwen2");
    const change = (edit) => () => {
        const weights = stored("qwen2");
        edit(weights);
        (0, build_1.checkWeights)(architecture, weights, "folder");
    };
    const cases = [
        [(w) => w.delete("model.layers.1.mlp.up_proj.weight"), /model\.layers\.1\.mlp\.up_proj\.weight: expected a tensor \[96, 64\], found none/],
        [(w) => w.delete("model.layers.0.self_attn.q_proj.bias"), /q_proj\.bias: expected a tensor \[64\], found none/],
        [(w) => (w.get("model.norm.weight").shape = [63]), /model\.norm\.weight: expected \[64\] by config\.json, found \[63\]/],
        [(w) => (w.get("model.norm.weight").dtype = "I8"), /expected dtype F32, F16, BF16, found I8/],
        [(w) => w.set("model.layers.2.self_attn.q_norm.weight", w.get("model.norm.weight")), /q_norm\.weight: expected no such tensor in family qwen2/],
    ];
    for (const [edit, message] of cases) {
        strict_1.default.throws(change(edit), (error) => error instanceof errors_1.ModelError && error.message.startsWith("folder: ") && message.test(error.message), String(message));
    }
    change((w) => w.set("model.layers.2.self_attn.rotary_emb.inv_freq", w.get("model.norm.weight")))(); // old checkpoints carry it, nothing reads it
    change((w) => w.set("lm_head.weight", w.get("model.embed_tokens.weight")))(); // a tied head stored a second time
    const bare = new Map([...stored("qwen2")].map(([name, weight]) => [name.replace(/^model\./, ""), weight]));
    strict_1.default.deepEqual((0, build_1.checkWeights)(architecture, bare, "bare"), open("qwen2").weights, "names without model. in front");
    strict_1.default.throws(() => (0, build_1.checkWeights)({ ...architecture, tied: false }, stored("qwen2"), "folder"), /lm_head\.weight: .*tie_word_embeddings/);
});
(0, node_test_1.test)("drawing a token: greedy takes the first largest; shares follow the softmax; streams are independent and repeat", () => {
    const plain = { temperature: 1, topK: 0, topP: 1 };
    const greedy = { ...plain, temperature: 0 };
    strict_1.default.equal((0, sample_1.draw)(Float32Array.of(1, 3, 3, 2), greedy, () => 0.99), 1);
    const logits = Float32Array.of(0, Math.log(2), Math.log(5)); // probabilities 1/8, 2/8, 5/8
    const random = (0, sample_1.randomNumbers)(7, 0);
    const counts = [0, 0, 0];
    const n = 40_000;
    for (let i = 0; i < n; i++)
        counts[(0, sample_1.draw)(logits, plain, random)]++;
    [1, 2, 5].forEach((share, i) => strict_1.default.ok(Math.abs(counts[i] / n - share / 8) < 4 * Math.sqrt(0.25 / n), `${counts}`));
    strict_1.default.equal((0, sample_1.draw)(logits, { ...plain, temperature: 0.01 }, () => 0.5), 2, "cold is nearly greedy");
    const reached = (settings) => [...new Set(Array.from({ length: 200 }, (_, i) => (0, sample_1.draw)(logits, { ...plain, ...settings }, () => i / 200)))].sort();
    strict_1.default.deepEqual(reached({}), [0, 1, 2]);
    strict_1.default.deepEqual(reached({ topK: 2 }), [1, 2]);
    strict_1.default.deepEqual(reached({ topP: 0.625 }), [2], "the first alone reaches it");
    strict_1.default.deepEqual(reached({ topP: 0.63 }), [1, 2]);
    strict_1.default.deepEqual(reached({ topP: 0.01 }), [2], "one is always left");
    strict_1.default.deepEqual(reached({ topK: 2, topP: 0.72 }), [1, 2], "of the two, 5/7 is less than that");
    const take = (seed, stream) => Array.from({ length: 8 }, ((next) => () => next())((0, sample_1.randomNumbers)(seed, stream)));
    strict_1.default.deepEqual(take(1, 2), take(1, 2));
    strict_1.default.notDeepEqual(take(1, 2), take(1, 3));
    strict_1.default.notDeepEqual(take(1, 2), take(2, 2));
    strict_1.default.ok(take(0, 0).every((x) => x >= 0 && x < 1));
});
//# sourceMappingURL=build.test.js.map