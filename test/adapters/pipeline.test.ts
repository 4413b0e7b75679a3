import { after, before, test } from "node:test";
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openModel } from "../../src/adapters/open";
import { hookPipeline, type PipelineHookOptions } from "../../src/adapters/pipeline";
import { HookError, ModelError, OptionError } from "../../src/core/errors";
import { ELEMENT, readSkeleton, writeOnnx } from "../../src/core/onnx";
import { resolve } from "../../src/core/resolve";
import { bytesSource } from "../../src/core/safetensors";
import { tap } from "../../src/core/splice";
import type { HookRow, Write } from "../../src/core/types";
import { FIXTURES } from "../fixtures";
import { close, golden, goldenName, sizeOf } from "./golden";

/** Pipelines of transformers.js, offline, with hooks: held against PyTorch, and against openModel of the same file. */
const ORACLE = join(__dirname, "../../../test/oracle");
const INT4 = join(ORACLE, "onnx/qwen2_genai_int4.onnx");

/**
 * Family, file, dtype; whether transformers.js runs it alone: where an exporter has names of its own for the batch or the width of a
 * head it takes them for 0, which the hooked session puts right.
 */
const EXPORTS = ([
  ["llama", "model.onnx", "fp32", true], ["gpt2", "model.onnx", "fp32", true], ["gemma2", "model.onnx", "fp32", true], ["qwen2", "model_genai_fp32.onnx", "fp32", false],
  ["qwen3", "model_dynamo.onnx", "fp32", false], ["phi3", "model_fp16.onnx", "fp16", true],
] as const).filter(([family, name]) => existsSync(join(FIXTURES, "models", family, "onnx", name)));

let root: string;
let library: any;

before(async () => {
  root = mkdtempSync(join(tmpdir(), "saelab-pipeline-"));
  library = await import("@huggingface/transformers");
  Object.assign(library.env, { allowRemoteModels: false, localModelPath: `${root}/`, cacheDir: join(root, "cache"), logLevel: library.LogLevel?.NONE ?? 50 });
  for (const [family, name, dtype] of EXPORTS) lay(family, join(FIXTURES, "models", family, "onnx", name), family, onnxOf(dtype));
});
after(() => rmSync(root, { recursive: true, force: true }));

const onnxOf = (dtype: string): string => (dtype === "fp32" ? "model.onnx" : `model_${dtype}.onnx`);

/** A model as transformers.js wants it. */
function lay(family: string, file: string, name = family, as = "model.onnx"): string {
  const folder = join(root, name);
  const own = join(ORACLE, "models", family);
  cpSync(own, folder, { recursive: true, filter: (path) => path === own || path.endsWith(".json") });
  mkdirSync(join(folder, "onnx"), { recursive: true });
  symlinkSync(file, join(folder, "onnx", as));
  return folder;
}

const pipelineOf = (name: string, dtype = "fp32", task = "text-generation"): Promise<any> => library.pipeline(task, name, { dtype, device: "cpu" });

const SETTINGS = { add_special_tokens: true, max_new_tokens: 12, do_sample: false, return_full_text: false };

/** New ids of each prompt: what the tokenizer would do to texts is left out. */
async function idsOf(generate: any, prompts: number[][], more: object = {}): Promise<number[][]> {
  const out: number[][] = [];
  for (const ids of prompts) {
    const tensor = (value: (i: number) => number): unknown => new library.Tensor("int64", BigInt64Array.from(ids, (_, i) => BigInt(value(i))), [1, ids.length]);
    const made = await generate.model.generate({ input_ids: tensor((i) => ids[i]), attention_mask: tensor(() => 1), max_new_tokens: 12, do_sample: false, ...more });
    out.push(made.tolist()[0].map(Number).slice(ids.length));
  }
  return out;
}

async function withHooks<T>(generate: any, options: PipelineHookOptions, work: (hooked: Awaited<ReturnType<typeof hookPipeline>>) => Promise<T>): Promise<T> {
  const hooked = await hookPipeline(generate, { threads: 1, ...options });
  try {
    return await work(hooked);
  } finally {
    await hooked.close();
  }
}

for (const [family, name, dtype, alone] of EXPORTS) {
  const want = golden(join(FIXTURES, "models", family));
  const prompts = want.prompts.map(({ ids }) => ids);
  const texts = want.prompts.map(({ text }) => text);
  const tolerance = dtype === "fp16" ? 4e-3 : 1e-5;
  const layer = want.steer.point.split(".")[1];
  const steer: Write = { hook: `layers.${layer}`, add: want.tensor("steer.v") };

  test(`${family}/${name}: a pipeline with hooks generates as PyTorch, plain and steered, and gives every row`, async () => {
    const generate = await pipelineOf(family, dtype);
    const own = generate.model.sessions.model;
    const there = await withHooks(generate, {}, async (hooked) => hooked.hooks().filter(({ missing }: HookRow) => !missing));
    await withHooks(generate, { hooks: there.map((row) => row.name) }, async (hooked) => {
      assert.deepEqual(await idsOf(generate, prompts), want.generate.plain);
      const starts = hooked.passes.filter(({ past }) => past[0] === 0);
      assert.deepEqual(starts.map(({ lengths }) => lengths[0]), prompts.map(({ length }) => length));
      let compared = 0;
      for (const [k, { rows }] of starts.entries()) for (const row of there) {
        const golden = `p${k}.${goldenName(row)}`;
        if (row.kind === "logits") { // of the last token, where the pipeline can ask for that
          const V = row.width;
          close(rows.logits.subarray(-V), want.tensor(golden).subarray(-V), golden, tolerance);
        } else {
          assert.equal(rows[row.name].length, sizeOf(row, prompts[k].length), row.name);
          if (want.has(golden) && ++compared) close(rows[row.name], want.tensor(golden), golden, tolerance);
        }
      }
      assert.ok(compared > 20);
      for (const [i, { lengths, past }] of hooked.passes.entries()) if (past[0]) {
        assert.deepEqual([lengths, past[0]], [[1], hooked.passes[i - 1].past[0] + hooked.passes[i - 1].lengths[0]]);
      }
    });
    for (const weights of ["in place", "packed"] as const) {
      await withHooks(generate, { writes: [steer], weights }, async () => assert.deepEqual(await idsOf(generate, prompts), want.generate.steered));
    }
    assert.equal(generate.model.sessions.model, own);
    if (alone) assert.deepEqual(await idsOf(generate, prompts), want.generate.plain, "as before");
    await generate.dispose();
  });

  if (alone) test(`${family}/${name}: texts side by side give each its own rows and writes, as openModel does`, async () => {
    const generate = await pipelineOf(family, dtype);
    const model = await openModel(join(root, family, "onnx", onnxOf(dtype)), { threads: 1 });
    const ask = async (inputs: string | string[]): Promise<string[]> => [await generate(inputs, SETTINGS)].flat(2).map((one: { generated_text: string }) => one.generated_text);
    const names = [`layers.${layer}`, "blocks.0.hook_mlp_out", "model.layers.1.self_attn", "norm"];
    const rows = [want.tensor("p0.resid_post.0"), want.tensor("p1.resid_post.0")];
    const of = rows[1];
    const direction = want.tensor("steer.v");
    const cases: Write[][] = [
      [], [{ ...steer, at: [0, -1] }], [{ ...steer, at: { from: 1, to: -1 } }], [{ hook: "layers.0.mlp", scale: 0.5, at: -2 }], [{ hook: "layers.0", projectOut: direction }],
      [{ hook: "layers.0", set: 0.25, at: 1 }], [{ hook: "layers.0.self_attn", ablate: "zero" }, { ...steer, times: 2 }], [{ hook: "layers.1.attn.z", ablate: "zero", heads: 0 }],
      [{ hook: "layers.0", ablate: "mean", of, at: "prompt" }], [{ hook: "layers.0", ablate: "resample", of, seed: 3 }],
      [{ hook: "layers.0", add: Float32Array.from({ length: model.width * prompts.slice(0, 2).flat().length }, (_, i) => Math.sin(i)) }],
    ];
    const two = texts.slice(0, 2);
    const encoded = two.map((text) => [...generate.tokenizer.encode(text)] as number[]);
    const batch = encoded[0].length === encoded[1].length ? [two[0], texts[2]] : two;
    const ids = batch.map((text) => [...generate.tokenizer.encode(text)] as number[]);
    const aside = await ask(batch);
    const there = model.hooks();
    const plain = await idsOf(generate, ids);
    try {
      for (const writes of family === "llama" ? cases : cases.slice(0, 4)) {
        const everyToken = writes.some((write) => "add" in write && write.add.length > model.width);
        if (everyToken) Object.assign(writes[0], { add: Float32Array.from({ length: model.width * ids.flat().length }, (_, i) => Math.sin(i)) });
        await withHooks(generate, { hooks: names, writes }, async ({ passes }) => {
          const told = JSON.stringify(writes.map(({ hook, at }) => [hook, at]));
          const run = (): Promise<string[]> => generate(batch, { ...SETTINGS, max_new_tokens: everyToken ? 1 : 3 });
          await run();
          assert.deepEqual(passes[0].lengths, ids.map(({ length }) => length));
          assert.deepEqual(passes[0].past, [0, 0]);
          const expected = await model.run(ids, { hooks: names, writes });
          for (const hook of names) close(passes[0].rows[hook], expected[hook], `${hook}, ${told}`, tolerance);
          if (passes.length > 1) assert.deepEqual([passes[1].lengths, passes[1].past], [[1, 1], ids.map(({ length }) => length)]);
        });
      }
      // what was written shows in what is generated only
      await withHooks(generate, { hooks: names, writes: [{ ...steer, at: "generated" }] }, async ({ passes }) => {
        await idsOf(generate, [ids[0]]);
        const unwritten = await model.run([ids[0]], { hooks: names });
        for (const hook of names) close(passes[0].rows[hook], unwritten[hook], hook, tolerance);
        const steered = [...model.tokenizer.encode(batch[0]).ids];
        assert.deepEqual(steered, ids[0]);
        const texts = await model.generate([ids[0]], { maxTokens: 12, temperature: 0, writes: [{ ...steer, at: "generated" }] });
        passes.length = 0;
        const [again] = await idsOf(generate, [ids[0]]);
        assert.ok(again.length > 3 && texts[0].text === model.tokenizer.decode(ids[0]) + Buffer.concat(again.map((id) => model.tokenizer.bytes(id))).toString());
      });
      // in later passes too a negative key is told from the end of what was given
      const blind = there.filter(({ kind, readOnly }) => kind === "pattern" && !readOnly).map(({ name: hook }): Write => ({ hook, ablate: "zero", keys: { from: -2, to: -1 } }));
      if (blind.length) await withHooks(generate, { writes: blind }, async () => {
        const [made] = await idsOf(generate, [ids[1]]);
        const [{ text }] = await model.generate([ids[1]], { maxTokens: 12, temperature: 0, writes: blind });
        assert.equal(text, model.tokenizer.decode(ids[1]) + Buffer.concat(made.map((id) => model.tokenizer.bytes(id))).toString());
        assert.notDeepEqual(made, plain[1]);
      });
      // each text's own beginning is remembered, whoever else generates meanwhile
      await withHooks(generate, { writes: [{ ...steer, times: 3, at: "generated" }] }, async () => {
        const apart = await idsOf(generate, ids);
        const together = await Promise.all(ids.map((one) => idsOf(generate, [one])));
        assert.deepEqual(together.flat(), apart);
        assert.notDeepEqual(apart, plain);
      });
      assert.deepEqual(await ask(batch), aside, "as before");
    } finally {
      await model.close();
      await generate.dispose();
    }
  });
}

test("forward() of a model without a pipeline: padding on the right, every logit, a pattern", async () => {
  if (!EXPORTS.some(([family]) => family === "llama")) return;
  const want = golden(join(FIXTURES, "models/llama"));
  const model = await library.AutoModelForCausalLM.from_pretrained("llama", { dtype: "fp32", device: "cpu" });
  const tokenizer = await library.AutoTokenizer.from_pretrained("llama");
  const opened = await openModel(join(root, "llama/onnx/model.onnx"), { threads: 1 });
  const texts = want.prompts.map(({ text }) => text);
  const hooks = ["layers.1.attn.pattern", "logits", "layers.0"];
  const writes: Write[] = [{ hook: "layers.0.attn.pattern", ablate: "zero", heads: 1, keys: 0 }, { hook: "layers.0", scale: 1.5, at: -1 }];
  for (const padding_side of ["right", "left"]) {
    tokenizer.padding_side = padding_side;
    const inputs = tokenizer(texts, { padding: true });
    await withHooks(model, { hooks, writes }, async ({ passes }) => {
      const out = await model(inputs);
      const ids = texts.map((text) => [...tokenizer.encode(text)] as number[]);
      const expected = await opened.run(ids, { hooks, writes });
      assert.deepEqual(passes[0].lengths, ids.map(({ length }) => length));
      for (const hook of hooks) close(passes[0].rows[hook], expected[hook], `${hook}, padded on the ${padding_side}`);
      assert.ok(Object.keys(out).includes("logits"));
      assert.deepEqual(out.logits.dims, [texts.length, inputs.input_ids.dims[1], opened.vocabularySize]);
      assert.ok(out instanceof Object && out.logits instanceof library.Tensor);
    });
  }
  await opened.close();
  await model.dispose();
});

test("a file that is told how many logits to give: generation asks for one, in the pipeline and in openModel", async () => {
  const file = join(FIXTURES, "models/llama/onnx/model.onnx");
  if (!existsSync(file)) return;
  const want = golden(join(FIXTURES, "models/llama"));
  const folder = lay("llama", file, "keeps", "model.onnx_data"); // the config of another folder too: the file is to be named
  rmSync(join(folder, "onnx/model.onnx_data"));
  cpSync(file, join(folder, "onnx/model.onnx_data"), { dereference: true });
  const skeleton = readSkeleton(bytesSource(new Uint8Array(readFileSync(file))), { location: "model.onnx_data" });
  const int64 = (name: string, value: bigint) => ({ name, type: ELEMENT.INT64, dims: [1], raw: new Uint8Array(BigInt64Array.of(value).buffer) });
  writeFileSync(join(folder, "onnx/model.onnx"), writeOnnx(tap(skeleton, resolve(skeleton).hooks.get("final_norm")!.tensor, (x, out) => ({
    nodes: [
      { op: "Neg", inputs: ["num_logits_to_keep"], outputs: ["keep/neg"] }, { op: "Unsqueeze", inputs: ["keep/neg", "keep/0"], outputs: ["keep/start"] },
      { op: "Slice", inputs: [x, "keep/start", "keep/end", "keep/axis"], outputs: [out] },
    ],
    inputs: [{ name: "num_logits_to_keep", type: ELEMENT.INT64, dims: [] }], initializers: [int64("keep/0", 0n), int64("keep/end", 2n ** 62n), int64("keep/axis", 1n)],
  }))));
  const generate = await pipelineOf("keeps");
  const prompts = want.prompts.map(({ ids }) => ids);
  await withHooks(generate, { file: folder, hooks: ["norm", "logits"] }, async ({ passes }) => {
    assert.deepEqual(await idsOf(generate, prompts), want.generate.plain);
    const starts = passes.filter(({ past }) => !past[0]);
    for (const [k, { rows }] of starts.entries()) {
      close(rows.norm, want.tensor(`p${k}.final_norm`), "norm");
      close(rows.logits, want.tensor(`p${k}.logits`).slice(-rows.logits.length), "logits of the last token");
      assert.equal(rows.logits.length, want.tensor(`p${k}.logits`).length / prompts[k].length);
    }
  });
  await generate.dispose();
  const opened = await openModel(join(folder, "onnx/model.onnx"), { threads: 1 });
  const made = await opened.generate(prompts, { maxTokens: 12, temperature: 0, writes: [] });
  assert.deepEqual(made.map(({ text }) => text), prompts.map((ids, k) => opened.tokenizer.decode(ids) + Buffer.concat(want.generate.plain[k].map((id) => opened.tokenizer.bytes(id))).toString()));
  await opened.close();
  rmSync(folder, { recursive: true });
});

test("feature-extraction over a decoder works with hooks", async () => {
  if (!EXPORTS.some(([family]) => family === "gpt2")) return;
  const want = golden(join(FIXTURES, "models/gpt2"));
  const extract = await pipelineOf("gpt2", "fp32", "feature-extraction");
  const texts = want.prompts.map(({ text }) => text);
  const plain = await extract(texts[0]);
  await withHooks(extract, { hooks: ["layers.0", "transformer.h.1"] }, async ({ passes }) => {
    const out = await extract(texts[0]);
    assert.deepEqual(out.dims, plain.dims);
    close(Float32Array.from(out.data), Float32Array.from(plain.data), "what the pipeline gives");
    close(passes[0].rows["layers.0"], want.tensor("p0.resid_post.0"), "layers.0");
    close(passes[0].rows["transformer.h.1"], want.tensor("p0.resid_post.1"), "layers.1");
  });
  await extract.dispose();
});

test("an SAE's reconstruction in a pipeline is that of openModel", async () => {
  if (!EXPORTS.some(([family]) => family === "llama")) return;
  const want = golden(join(FIXTURES, "models/llama"));
  const generate = await pipelineOf("llama");
  const opened = await openModel(join(root, "llama/onnx/model.onnx"), { threads: 1 });
  const d = opened.width;
  const latents = 4 * d;
  const wave = (length: number, step: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(1 + step * i) / 4);
  const weights = { d, latents, k: 8, wEnc: wave(latents * d, 0.37), bEnc: wave(latents, 0.11), wDec: wave(latents * d, 0.53), bDec: wave(d, 0.7) };
  const writes: Write[] = [{ hook: "layers.0", sae: { weights } }, { hook: "layers.1", sae: { weights }, latent: 3, clamp: 2, at: -1 }];
  await withHooks(generate, { hooks: ["layers.0", "layers.1"], writes }, async ({ passes }) => {
    await idsOf(generate, [want.prompts[0].ids]);
    const expected = await opened.run([want.prompts[0].ids], { hooks: ["layers.0", "layers.1"], writes });
    for (const hook of ["layers.0", "layers.1"]) close(passes[0].rows[hook], expected[hook], hook);
  });
  await opened.close();
  await generate.dispose();
});

test("a pipeline over int4 weights with packed projections: writes that change nothing, and one that does", async () => {
  lay("qwen2", INT4, "quantized", "model_q4.onnx");
  const generate = await pipelineOf("quantized", "q4");
  const opened = await openModel(join(root, "quantized/onnx/model_q4.onnx"), { threads: 1 });
  const { ids } = golden(join(ORACLE, "models/qwen2")).prompts[1];
  const hooks = ["layers.1.attn.q", "layers.1", "norm"];
  const steer: Write = { hook: "layers.1", add: golden(join(ORACLE, "models/qwen2")).tensor("steer.v") };
  for (const writes of [[], [{ hook: "layers.0", scale: 1 }], [steer]] as Write[][]) {
    await withHooks(generate, { hooks, writes }, async ({ passes, file }) => {
      assert.match(file, /quantized\/onnx\/model_q4\.onnx$/);
      const [made] = await idsOf(generate, [ids]);
      const expected = await opened.run([ids], { hooks, writes });
      for (const hook of hooks) close(passes[0].rows[hook], expected[hook], hook, 1e-4);
      const [{ text }] = await opened.generate([ids], { maxTokens: 12, temperature: 0, writes });
      assert.ok(text.endsWith(Buffer.concat(made.map((id) => opened.tokenizer.bytes(id))).toString()) && made.length > 3);
    });
  }
  await opened.close();
  await generate.dispose();
});

test("what cannot be hooked is told, and leaves the pipeline as it was", async () => {
  lay("qwen2", INT4, "one");
  rmSync(join(root, "qwen2"), { recursive: true, force: true });
  const generate = await pipelineOf("one");
  const own = generate.model.sessions.model;
  const refused = async (what: unknown, options: PipelineHookOptions, kind: new (message: string) => Error, message: RegExp): Promise<void> => {
    await assert.rejects(hookPipeline(what as { model: { sessions: object } }, options), (error: Error) => {
      assert.ok(error instanceof kind && message.test(error.message), `${error.constructor.name}: ${error.message}`);
      return true;
    });
    assert.equal(generate.model.sessions.model, own);
  };
  await refused(undefined, {}, ModelError, /expected a pipeline or model of transformers\.js/);
  await refused({ model: {} }, {}, ModelError, /with model\.sessions/);
  await refused({ model: { sessions: { model: { inputNames: ["pixel_values"] }, decoder: {} } } }, {}, ModelError, /found "model" \(pixel_values\), "decoder"/);
  await refused(generate, { file: join(root, "nowhere.onnx") }, ModelError, /nowhere\.onnx: expected the ONNX file .* found nothing/);
  await refused(generate, { hooks: ["layers.99"] }, HookError, /layers\.99/);
  await refused(generate, { hooks: ["layers.0.attn.rot_q"] }, HookError, /not searched for rotated q and k.*\.hooks\(\) lists/);
  await refused(generate, { writes: [{ hook: "layers.0", add: [1, 2, 3] }] }, OptionError, /expected rows of \d+ numbers.*found 3/);
  await refused(generate, { writes: [{ hook: "layers.0", edit: () => {} }] }, OptionError, /found a function\. Open the model with openModel/);
  await refused(generate, { weights: "mapped" as "packed" }, OptionError, /weights/);
  await refused(generate, { threads: 0 }, OptionError, /threads/);
  const hooked = await hookPipeline(generate, { hooks: ["layers.0"] });
  await assert.rejects(hookPipeline(generate), (error: Error) => error instanceof ModelError && /Close those first/.test(error.message));
  await hooked.close();
  await hooked.close();
  assert.equal(generate.model.sessions.model, own);

  // the same config and names, other weights
  const folder = lay("qwen2", INT4, "two");
  await (await hookPipeline(generate)).close(); // both folders link to one file
  const other = new Uint8Array(readFileSync(INT4));
  for (const { external } of readSkeleton(bytesSource(other), { location: "" }).initializers) {
    if (external && external.length > 1000) other.subarray(external.offset, external.offset + external.length).copyWithin(0, 256);
  }
  rmSync(join(folder, "onnx/model.onnx"));
  writeFileSync(join(folder, "onnx/model.onnx"), other);
  await refused(generate, {}, ModelError, /found 2: .*say \{ file \}/);
  await refused(generate, { file: folder }, ModelError, /its logits differ by [\d.]+ % of the largest/);
  await refused(generate, { file: folder, writes: [{ hook: "layers.0", scale: 2 }] }, ModelError, /its logits differ/);
  const named = await hookPipeline(generate, { file: join(root, "one") });
  assert.match(named.file, /one\/onnx\/model\.onnx$/);
  await generate.dispose(); // takes the hooks with it
  assert.equal(generate.model.sessions.model, own);
  rmSync(folder, { recursive: true });
  rmSync(join(root, "one"), { recursive: true });
});
