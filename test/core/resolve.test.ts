import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { InferenceSession } from "onnxruntime-node";

import { ModelError } from "../../src/core/errors";
import { ELEMENT, readOnnx, readSkeleton, writeOnnx, type Node, type OnnxModel } from "../../src/core/onnx";
import { BLOCK_KINDS, resolve, type Resolved } from "../../src/core/resolve";
import { randomNumbers } from "../../src/core/sample";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import { FIXTURES, found } from "../fixtures";

const ORACLE = join(__dirname, "../../../test/oracle");
const ort = require("onnxruntime-node") as typeof import("onnxruntime-node");

/** A model file and the folder it lies in. */
interface File {
  model: string;
  folder: string;
  name: string;
}

const skeleton = ({ folder, name }: File): OnnxModel => readSkeleton(bytesSource(readFileSync(join(folder, name))), { location: name });

const load = (graph: OnnxModel, folder: string): Promise<InferenceSession> => ort.InferenceSession.create(writeOnnx(graph), {
  logSeverityLevel: 3,
  extra: { session: { model_external_initializers_file_folder_path: folder } },
});

type Tensors = Record<string, InstanceType<typeof ort.Tensor>>;

/** Feeds for one text without padding; `before` are the outputs of a run of the first `past` tokens. */
function feeds(resolved: Resolved, ids: number[], past = 0, before?: Tensors): Tensors {
  const { inputs, cache } = resolved;
  const whole = (values: number[]) => new ort.Tensor("int64", BigInt64Array.from(values.map(BigInt)), [1, values.length]);
  return {
    [inputs.ids]: whole(ids.slice(past)),
    ...(inputs.mask && { [inputs.mask]: whole(ids.map(() => 1)) }),
    ...(inputs.positions && { [inputs.positions]: whole(ids.map((_, i) => i).slice(past)) }),
    ...Object.fromEntries(cache.map(({ past, present, shape, type }) => {
      if (before) return [past, before[present]];
      const dims = [1, Number(shape[1]), 0, Number(shape[3])];
      return [past, type === ELEMENT.FLOAT16 ? new ort.Tensor("float16", new Uint16Array(0), dims) : new ort.Tensor("float32", new Float32Array(0), dims)];
    })),
  };
}

/** The graph with the hooks as outputs `hook/<key>`, in float32. */
function tapped({ graph, hooks }: Resolved): OnnxModel {
  const casts = [...hooks].map(([key, { tensor }]): Node => ({ op: "Cast", inputs: [tensor], outputs: [`hook/${key}`], attributes: { to: 1n } }));
  return { ...graph, nodes: [...graph.nodes, ...casts], outputs: [...graph.outputs, ...casts.map(({ outputs }) => ({ name: outputs[0] }))] };
}

/** A steering vector, or zero, in place of a hook: its maker's output gets another name. A skip-norm whose sum is edited is taken apart. */
function edited({ graph, hooks }: Resolved, key: string, edit: (from: string, to: string) => Node[], extra: OnnxModel["initializers"]): OnnxModel {
  const { tensor } = hooks.get(key)!;
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (!node.outputs.includes(tensor)) return [node];
    const changed = edit(`${tensor}/before`, tensor);
    if (!node.op.startsWith("Skip") || node.outputs[3] !== tensor) return [{ ...node, outputs: node.outputs.map((name) => (name === tensor ? `${tensor}/before` : name)) }, ...changed];
    const simple = node.op === "SkipSimplifiedLayerNormalization";
    return [
      { op: "Add", inputs: node.inputs.slice(0, 2), outputs: [`${tensor}/before`] }, ...changed,
      {
        op: simple ? "SimplifiedLayerNormalization" : "LayerNormalization", inputs: [tensor, ...node.inputs.slice(2)], outputs: [node.outputs[0]],
        attributes: { epsilon: node.attributes!.epsilon, axis: -1n, stash_type: 1n },
      },
    ];
  });
  return { ...graph, nodes, initializers: [...graph.initializers, ...extra] };
}

const float = (name: string, values: Float32Array) =>
  ({ name, type: ELEMENT.FLOAT, dims: [values.length], raw: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) });

/** The order of computation; attention's and MLP's places of parallel blocks do not see each other. */
const CHAINS = [["resid_pre"], ["attn_in", "q", "k", "v", "pattern", "z", "attn_out", "attn_add"], ["resid_mid"], ["mlp_in", "mlp_act", "mlp_out", "mlp_add"], ["resid_post"]];

/** max|a − b| / max|b|. */
function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  let [most, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    most = Math.max(most, Math.abs(a[i] - b[i]));
    size = Math.max(size, Math.abs(b[i]));
  }
  return most / size;
}

function golden(model: string): { prompts: number[][]; get(name: string): Float32Array | undefined } {
  const folder = found(join(FIXTURES, "models", model), join(ORACLE, "models", model))!;
  const source = bytesSource(readFileSync(join(folder, "golden.safetensors")));
  const { tensors } = readHeader(source, model);
  return {
    prompts: JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")).prompts.map(({ ids }: { ids: number[] }) => ids),
    get: (name) => (tensors.has(name) ? readFloats(source, tensors.get(name)!) : undefined),
  };
}

/** Weights of block 1 by what they do, [out][in], and their biases; families name, pack and transpose them differently. */
function projections(model: string, { heads, kvHeads, headDim, width }: Resolved): Record<string, (x: Float32Array) => Float32Array> {
  const source = bytesSource(readFileSync(join(FIXTURES, "models", model, "model.safetensors")));
  const { tensors } = readHeader(source, model);
  const read = (name: string): Float32Array | undefined => (tensors.has(name) ? readFloats(source, tensors.get(name)!) : undefined);
  /** The product with the rows `pick` gives, of `names[0]`. */
  const product = (name: string, rows: number[], transposed = false) => (x: Float32Array): Float32Array => {
    const [w, b] = [read(`${name}.weight`)!, read(`${name}.bias`)];
    const all = w.length / width;
    const out = new Float32Array((x.length / width) * rows.length);
    for (let t = 0; t < x.length / width; t++) {
      rows.forEach((row, j) => {
        let sum = b ? b[row] : 0;
        for (let i = 0; i < width; i++) sum += x[t * width + i] * (transposed ? w[i * all + row] : w[row * width + i]);
        out[t * rows.length + j] = sum;
      });
    }
    return out;
  };
  const range = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const inner = model === "neox" ? 128 : 96;
  const both = (f: (x: Float32Array) => Float32Array, g: (x: Float32Array) => Float32Array, act: (x: number) => number) => (x: Float32Array) => {
    const up = g(x);
    return f(x).map((gate, i) => act(gate) * up[i]);
  };
  const silu = (x: number): number => x / (1 + Math.exp(-x));
  const tanhGelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  const gelu = (x: number): number => {
    const z = Math.abs(x) / Math.SQRT2; // erf as a series: |z| stays below 4
    let [sum, term] = [z, z];
    for (let n = 1; n < 80; n++) sum += (term *= -(z * z) / n) / (2 * n + 1);
    return 0.5 * x * (1 + Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum);
  };
  if (model === "gpt2") {
    const at = "h.1.attn.c_attn";
    const up = product("h.1.mlp.c_fc", range(0, inner), true);
    return { q: product(at, range(0, q), true), k: product(at, range(q, q), true), v: product(at, range(2 * q, q), true), mlp_act: (x) => up(x).map(tanhGelu) };
  }
  if (model === "neox") {
    const part = (k: number) => product("gpt_neox.layers.1.attention.query_key_value", range(0, heads).flatMap((h) => range((3 * h + k) * headDim, headDim)));
    const up = product("gpt_neox.layers.1.mlp.dense_h_to_4h", range(0, inner));
    return { q: part(0), k: part(1), v: part(2), mlp_act: (x) => up(x).map(gelu) };
  }
  if (model === "phi3") {
    const [at, up] = ["model.layers.1.self_attn.qkv_proj", "model.layers.1.mlp.gate_up_proj"];
    return { q: product(at, range(0, q)), k: product(at, range(q, kv)), v: product(at, range(q + kv, kv)), mlp_act: both(product(up, range(0, inner)), product(up, range(inner, inner)), silu) };
  }
  const at = "model.layers.1";
  return {
    q: product(`${at}.self_attn.q_proj`, range(0, q)), k: product(`${at}.self_attn.k_proj`, range(0, kv)), v: product(`${at}.self_attn.v_proj`, range(0, kv)),
    mlp_act: both(product(`${at}.mlp.gate_proj`, range(0, inner)), product(`${at}.mlp.up_proj`, range(0, inner)), model.startsWith("gemma") ? tanhGelu : silu),
  };
}

const HALF = 5e-3;

/** Float32 files agree with PyTorch to 1e-5 of the largest value; float16 to what its 11 bits leave after three blocks. */
const files: (File & { bound: number; half: boolean })[] = !existsSync(join(FIXTURES, "models"))
  ? [{ model: "qwen2", folder: join(ORACLE, "onnx"), name: "qwen2_genai_int4.onnx", bound: 0, half: false }]
  : readdirSync(join(FIXTURES, "models")).flatMap((model) => {
    const folder = join(FIXTURES, "models", model, "onnx");
    return !existsSync(folder) ? [] : readdirSync(folder).filter((name) => name.endsWith(".onnx"))
      .map((name) => ({ model, folder, name, bound: /quantized|int4|q4/.test(name) ? 0 : /fp16/.test(name) ? HALF : 1e-5, half: /fp?16/.test(name) }));
  });

for (const file of files) {
  const { model, folder, name, bound, half } = file;
  const exact = half ? 2e-3 : 1e-6; // sums of numbers that were rounded
  test(`${model}/${name}: every hook is the tensor that PyTorch has there; the skeleton computes what the file does`, async (t) => {
    const want = golden(model);
    const resolved = resolve(skeleton(file), name);
    const { layers, width, hooks, missing } = resolved;
    const absent = model === "neox" ? ["resid_mid"] : [];
    assert.equal(layers, 3);
    assert.equal(hooks.size, 3 + layers * (BLOCK_KINDS.length - absent.length));
    assert.deepEqual([...missing.keys()], [0, 1, 2].flatMap((n) => absent.map((kind) => `${kind}.${n}`)));
    assert.equal(resolved.vocabulary, 320);

    const original = await ort.InferenceSession.create(join(folder, name), { logSeverityLevel: 3 });
    const plain = await load(skeleton(file), folder);
    const rewritten = await load(resolved.graph, folder);
    const session = await load(tapped(resolved), folder);
    let worst = 0;
    for (const [k, ids] of want.prompts.entries()) {
      const fed = feeds(resolved, ids);
      const first = await original.run(fed);
      const second = await plain.run(fed);
      for (const output of original.outputNames) assert.deepEqual(second[output].data, first[output].data, `${output} of prompt ${k}`);
      const unhooked = (await rewritten.run(fed)).logits.data as Float32Array;
      const got = await session.run(fed);
      const hook = (key: string): Float32Array => got[`hook/${key}`].data as Float32Array;
      assert.ok(distance(unhooked, first.logits.data as Float32Array) <= (half ? HALF : 1e-6));

      for (const [key, { tensor, width: size, rank, type }] of hooks) {
        assert.ok(type === ELEMENT.FLOAT || (type === ELEMENT.FLOAT16 && half), `${key} ${tensor}: type ${type}`);
        const { dims, data } = got[`hook/${key}`];
        if (rank === "pattern") assert.deepEqual(dims, [1, resolved.heads, ids.length, ids.length], key);
        else assert.equal(data.length, ids.length * size, `${key} ${dims}`);
        const [kind] = key.split(".");
        const other = { attn_add: "attn_out", mlp_add: "mlp_out" }[kind];
        const expected = want.get(`p${k}.${key}`) ?? (other && want.get(`p${k}.${key.replace(kind, other)}`));
        if (!bound || !expected) continue;
        const off = distance(data as Float32Array, expected);
        worst = Math.max(worst, off);
        assert.ok(off <= bound, `${key} of prompt ${k}: ${off}`);
      }
      // without PyTorch: what a model's parts have to do with each other
      for (let n = 0; n < layers; n++) {
        const sum = (...keys: string[]): Float32Array => hook(keys[0]).map((_, i) => keys.reduce((total, key) => total + hook(key)[i], 0));
        const close = (key: string, ...parts: string[]): void => assert.ok(distance(hook(key), sum(...parts)) <= exact, `${key} = ${parts.join(" + ")}`);
        if (hooks.has(`resid_mid.${n}`)) {
          close(`resid_mid.${n}`, `resid_pre.${n}`, `attn_add.${n}`);
          close(`resid_post.${n}`, `resid_mid.${n}`, `mlp_add.${n}`);
        } else close(`resid_post.${n}`, `resid_pre.${n}`, `attn_add.${n}`, `mlp_add.${n}`);
        close(`resid_pre.${n}`, n ? `resid_post.${n - 1}` : "embed");
        // rows of a pattern sum to one and look back only
        const pattern = hook(`pattern.${n}`);
        for (let row = 0; row < pattern.length / ids.length; row++) {
          const part = pattern.subarray(row * ids.length, (row + 1) * ids.length);
          assert.ok(Math.abs(part.reduce((a, b) => a + b, 0) - 1) < 2e-3);
          assert.ok(part.subarray((row % ids.length) + 1).every((x) => x === 0));
        }
        // values are not turned: z of the first token is v of the first token, heads repeated
        const [v, z] = [hook(`v.${n}`), hook(`z.${n}`)];
        const { heads, kvHeads, headDim } = resolved;
        for (let h = 0; h < heads; h++) {
          const at = Math.floor(h / (heads / kvHeads)) * headDim;
          assert.ok(distance(z.subarray(h * headDim, (h + 1) * headDim), v.subarray(at, at + headDim)) < exact, `z.${n} of head ${h}`);
        }
      }
      // the checkpoint's own weights, applied to what goes in, give what comes out
      if (bound && existsSync(join(FIXTURES, "models", model, "model.safetensors"))) {
        for (const [kind, project] of Object.entries(projections(model, resolved))) {
          const off = distance(hook(`${kind}.1`), project(hook(kind === "mlp_act" ? "mlp_in.1" : "attn_in.1")));
          assert.ok(off <= bound, `${kind} from its input: ${off}`);
        }
      }
      // the last token alone, after the others through the cache
      const start = ids.length - 1;
      const last = await session.run(feeds(resolved, ids, start, await session.run(feeds(resolved, ids.slice(0, start)))));
      for (const [key, { rank }] of hooks) {
        const { dims, data } = last[`hook/${key}`];
        if (rank === "pattern") assert.deepEqual(dims, [1, resolved.heads, 1, ids.length], key);
        else if (bound) assert.ok(distance(data as Float32Array, hook(key).slice(-data.length)) <= bound, `${key} through the cache`);
      }
      if (!bound && !half) assert.deepEqual(got.logits.data, first.logits.data, "hooked and not edited = not hooked");
    }
    t.diagnostic(`${hooks.size} hooks, width ${width}, largest difference ${worst.toExponential(1)} of the largest value`);
    for (const loaded of [original, plain, rewritten, session]) await loaded.release();
  });

  if (!bound) continue;
  test(`${model}/${name}: steered and ablated logits are PyTorch's`, async (t) => {
    const want = golden(model);
    const resolved = resolve(skeleton(file), name);
    // in float32, whatever the file's own type is
    const inFloat = (tensor: string, make: (from: string, to: string) => Node): ((from: string, to: string) => Node[]) => (from, to) =>
      half ? [
        { op: "Cast", inputs: [from], outputs: [`${tensor}/wide`], attributes: { to: 1n } }, make(`${tensor}/wide`, `${tensor}/done`),
        { op: "Cast", inputs: [`${tensor}/done`], outputs: [to], attributes: { to: 10n } },
      ] : [make(from, to)];
    const steered = edited(resolved, "resid_post.1", inFloat("a", (from, to) => ({ op: "Add", inputs: [from, "test/v"], outputs: [to] })), [float("test/v", want.get("steer.v")!)]);
    const ablated = edited(resolved, "mlp_out.1", inFloat("b", (from, to) => ({ op: "Mul", inputs: [from, "test/zero"], outputs: [to] })), [float("test/zero", Float32Array.of(0))]);
    let worst = 0;
    for (const [what, graph] of [["steer", steered], ["ablate", ablated]] as const) {
      const session = await load(graph, folder);
      for (const [k, ids] of want.prompts.entries()) {
        const { logits } = await session.run(feeds(resolved, ids));
        const off = distance(logits.data as Float32Array, want.get(`p${k}.${what}.logits`)!);
        worst = Math.max(worst, off);
        assert.ok(off <= bound, `${what} of prompt ${k}: ${off}`);
      }
      await session.release();
    }
    t.diagnostic(`largest difference ${worst.toExponential(1)}`);
  });
}

// ---- edits: what comes after a hook sees them, what comes before or beside it does not

for (const [model, name] of [["gemma2", "model.onnx"], ["gpt2", "model_ort_tf.onnx"], ["neox", "model_dynamo.onnx"], ["qwen2", "model_genai_fp32.onnx"], ["llama", "model.onnx"]]) {
  const folder = join(FIXTURES, "models", model, "onnx");
  if (!existsSync(join(folder, name))) continue;
  test(`${model}/${name}: an edit at any hook reaches all that follows and nothing else`, async () => {
    const resolved = resolve(skeleton({ model, folder, name }), name);
    const fed = feeds(resolved, golden(model).prompts[0]);
    const run = async (graph: OnnxModel) => {
      const session = await load(tapped({ ...resolved, graph }), folder);
      const result = await session.run(fed);
      await session.release();
      return (key: string): Float32Array => result[`hook/${key}`].data as Float32Array;
    };
    const before = await run(resolved.graph);
    const parallel = !resolved.hooks.has("resid_mid.1");
    let edits = 0;
    for (const [c, chain] of CHAINS.entries()) {
      for (const kind of chain) {
        const place = resolved.hooks.get(`${kind}.1`);
        if (!place || place.readOnly) continue;
        edits++;
        const after = await run(edited(resolved, `${kind}.1`, (from, to) => [{ op: "Mul", inputs: [from, "test/half"], outputs: [to] }], [float("test/half", Float32Array.of(0.5))]));
        const same = (key: string): boolean => Buffer.compare(Buffer.from(before(key).buffer), Buffer.from(after(key).buffer)) === 0;
        for (const key of ["embed", "resid_post.0", "attn_in.0", ...CHAINS.slice(0, c).flat().map((other) => `${other}.1`)]) {
          if (resolved.hooks.has(key) && resolved.hooks.get(key)!.tensor !== place.tensor) assert.ok(same(key), `${kind}: ${key} comes before`);
        }
        if (parallel && c === 1) for (const other of CHAINS[3]) assert.ok(same(`${other}.1`), `${kind}: ${other} lies beside`);
        assert.ok(!same(`${kind}.1`));
        for (const key of ["attn_in.2", "resid_post.2", "logits"]) assert.ok(!same(key), `${kind}: ${key} comes after`);
        if (kind === "attn_in") for (const part of ["q", "k", "v", "z"]) assert.ok(!same(`${part}.1`), `attn_in: ${part}`);
        if (kind === "mlp_in") assert.ok(!same("mlp_act.1") && !same("mlp_out.1"));
        if (kind === "q") assert.ok(same("k.1") && same("v.1") && !same("pattern.1"), "q alone");
        if (kind === "v") assert.ok(same("q.1") && same("k.1") && same("pattern.1") && !same("z.1"), "v alone");
      }
    }
    assert.ok(edits >= 11, String(edits));
  });
}

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
