import { test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { ELEMENT, type Node, type OnnxModel } from "../../src/core/onnx";
import { BLOCK_KINDS, resolve, type Resolved } from "../../src/core/resolve";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import { FIXTURES, found } from "../fixtures";
import { distance, edited, feeds, float, load, ort, skeleton, tapped, type File } from "../resolved";

const ORACLE = join(__dirname, "../../../test/oracle");

/** The order of computation; attention's and MLP's places of parallel blocks do not see each other. */
const CHAINS = [["resid_pre"], ["attn_in", "q", "k", "v", "pattern", "z", "attn_out", "attn_add"], ["resid_mid"], ["mlp_in", "mlp_act", "mlp_out", "mlp_add"], ["resid_post"]];

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
