import { test } from "node:test";
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openModel, type OpenOptions } from "../../src/adapters/open";
import { FormatError, HookError, HubError, ModelError, OptionError } from "../../src/core/errors";
import { readSkeleton, writeOnnx } from "../../src/core/onnx";
import { bytesSource } from "../../src/core/safetensors";
import type { Model, Write } from "../../src/core/types";
import { FIXTURES } from "../fixtures";
import { llamaGguf } from "../ggufllama";
import { close, golden, goldenName, sizeOf } from "./golden";
import { startHub } from "./hub-server";
import { scratch } from "./folders";

/** The ways into openModel: which is taken, why, and what is said when none can be. */
const ORACLE = join(__dirname, "../../../test/oracle");
const LLAMA = join(ORACLE, "models/llama");

async function opened<T>(source: string, work: (model: Model) => Promise<T>, options?: OpenOptions): Promise<T> {
  const model = await openModel(source, { threads: 1, ...options });
  try {
    return await work(model);
  } finally {
    await model.close();
  }
}

const logitsOf = (source: string, options?: OpenOptions): Promise<Float32Array> =>
  opened(source, async (model) => (await model.run([golden(LLAMA).prompts[1].ids], { logits: true })).logits, options);

/** Every hook that a file offers, in one batch, against PyTorch; the same texts, plain and steered. */
async function agreesWith(model: Model, folder: string, tolerance: number): Promise<void> {
  const want = golden(folder);
  const rows = model.hooks().filter(({ missing }) => !missing);
  const found = await model.run(want.prompts.map(({ ids }) => ids), { hooks: rows.map(({ name }) => name) });
  for (const row of rows) {
    let at = 0;
    want.prompts.forEach(({ ids }, k) => {
      const size = sizeOf(row, ids.length);
      const name = `p${k}.${goldenName(row)}`;
      if (want.has(name)) close(found[row.name].subarray(at, at + size), want.tensor(name), `${row.name}, prompt ${k}`, tolerance);
      at += size;
    });
    assert.equal(found[row.name].length, at);
  }
  const steer: Write = { hook: want.steer.point.replace("resid_post.", "layers."), add: want.tensor("steer.v") };
  const texts = want.prompts.map(({ text }) => text);
  for (const [writes, ids] of [[[], want.generate.plain], [[steer], want.generate.steered]] as const) {
    const written = await model.generate(texts, { maxTokens: 12, writes: [...writes] });
    assert.deepEqual(written.map(({ text }) => text), texts.map((text, k) => text + Buffer.concat(ids[k].map((id) => model.tokenizer.bytes(id))).toString()));
  }
  const last = `layers.${model.layers - 1}`;
  close(await model.unembed(found[last]), found.logits, "final norm and head of the last stream", tolerance);
}

/** Exported files: family, file, tolerance; 0: other weights than PyTorch's, held against themselves only. */
const EXPORTS: [string, string, number][] = [
  ["gemma2", "model.onnx", 1e-5], ["gpt2", "model.onnx", 1e-5], ["gpt2", "model_ort_tf.onnx", 1e-5], ["llama", "model.onnx", 1e-5], ["llama", "model_genai_fp32.onnx", 1e-5],
  ["neox", "model_dynamo.onnx", 1e-5], ["neox", "model_quantized.onnx", 0], ["phi3", "model_fp16.onnx", 4e-3], ["qwen2", "model_genai_fp32.onnx", 1e-5],
  ["qwen2", "model_genai_int4.onnx", 0], ["qwen3", "model_dynamo.onnx", 1e-5], ["qwen3", "model_genai_fp32.onnx", 1e-5],
];

for (const [family, name, tolerance] of EXPORTS) {
  const file = [join(ORACLE, "onnx", `${family}_${name}`), join(FIXTURES, "models", family, "onnx", name)].find((path) => existsSync(path));
  if (!file) continue;
  const folder = join(FIXTURES, "models", family);

  test(`${family}/${name}: ${tolerance ? "hooks, texts and steering as PyTorch" : "hooked without an edit is as unhooked; the stream adds up"}`, async () => {
    await opened(file, async (model) => {
      const rows = model.hooks();
      assert.deepEqual([...new Set(rows.filter(({ missing }) => missing).map(({ kind }) => kind))].filter((kind) => !/^rot_|^tok_embed$/.test(kind)), [], "what is missing");
      if (tolerance) return agreesWith(model, folder, tolerance);
      const batch = golden(folder).prompts.map(({ ids }) => ids);
      const { logits } = await model.run(batch, { logits: true });
      const names = rows.filter(({ missing }) => !missing).map((row) => row.name);
      const hooked = await model.run(batch, { hooks: names, logits: true });
      assert.deepEqual(hooked.logits, logits);
      const sum = (...parts: string[]): Float32Array => hooked[parts[0]].map((_, i) => parts.reduce((total, part) => total + hooked[part][i], 0));
      for (let i = 0; i < model.layers; i++) {
        close(sum(i ? `layers.${i - 1}` : "embed_tokens", `layers.${i}.self_attn`, `layers.${i}.mlp`), hooked[`layers.${i}`], `block ${i}`);
      }
      const { logits: same } = await model.run(batch, { logits: true, writes: [{ hook: "layers.1", scale: 1 }, { hook: "layers.0.mlp", scale: 1 }] });
      close(same, logits, "writes that change nothing", 1e-6);
    });
  });

  test(`${family}/${name}: says what it is and what is missing`, async () => {
    await opened(file, async (model) => {
      assert.match(model.describe(), new RegExp(`graph is that of ${name.replaceAll(".", "\\.")} \\(\\d+ operators`));
      const gone = model.hooks().find(({ missing }) => missing)!;
      await assert.rejects(model.run([[1]], { hooks: [gone.name] }), (error: Error) => error instanceof HookError && error.message.includes(gone.missing!));
    });
  });
}

test("an ONNX file with its weights beside it; one that points elsewhere, and one cut off, are refused", async () => {
  const file = join(FIXTURES, "models/llama/onnx/model_genai_fp32.onnx");
  if (!existsSync(file)) return;
  await scratch(async (folder) => {
    const bytes = new Uint8Array(readFileSync(file));
    const want = await logitsOf(file);
    cpSync(LLAMA, folder, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
    writeFileSync(join(folder, "model.onnx_data"), bytes);
    const skeleton = (location: string): void => writeFileSync(join(folder, "model.onnx"), writeOnnx(readSkeleton(bytesSource(bytes), { location })));
    skeleton("model.onnx_data");
    assert.deepEqual(await logitsOf(folder), want);
    for (const location of ["../model.onnx_data", join(folder, "model.onnx_data"), "deeper/../../x"]) {
      skeleton(location);
      await assert.rejects(openModel(folder), (error: Error) => error instanceof FormatError && /expected weights in its own folder/.test(error.message), location);
    }
    skeleton("elsewhere.onnx_data");
    await assert.rejects(openModel(folder), (error: Error) => error instanceof ModelError && /elsewhere\.onnx_data, found no such file/.test(error.message));
    skeleton("model.onnx_data");
    truncateSync(join(folder, "model.onnx_data"), 1000);
    await assert.rejects(openModel(folder), (error: Error) => error instanceof FormatError && /cut off/.test(error.message));
  });
});

test("a GGUF file, or a folder with one, is expanded once and says so", async () => {
  await scratch(async (folder) => {
    const file = join(folder, "given.gguf");
    writeFileSync(file, llamaGguf(LLAMA));
    const one = join(folder, "one");
    mkdirSync(one);
    symlinkSync(file, join(one, "llama.gguf"));
    const want = golden(LLAMA);
    const cache = join(folder, "cache");
    for (const source of [file, one]) {
      await opened(source, async (model) => {
        close((await model.run([want.prompts[1].ids], { logits: true })).logits, want.tensor("p1.logits"), source);
        assert.match(model.describe(), /dequantised|F32/);
        assert.equal(model.source, source);
      }, { gguf: cache });
    }
    assert.equal(readdirSync(cache).filter((name) => !name.endsWith(".json")).length, 1);
  });
});

test("of several ways the checkpoint is taken; another can be forced; what is not there is named", async () => {
  await scratch(async (folder) => {
    cpSync(LLAMA, folder, { recursive: true });
    await opened(folder, async (model) => assert.match(model.describe(), /Taken for its safetensors/));
    await assert.rejects(openModel(folder, { route: "onnx" }), (error: Error) => error instanceof ModelError && /expected an \.onnx file, found .*config\.json/.test(error.message));
    await assert.rejects(openModel(folder, { route: "gguf" }), /expected a \.gguf file/);
    await assert.rejects(openModel(folder, { route: "best" as "auto" }), OptionError);
    const exported = join(FIXTURES, "models/llama/onnx");
    if (!existsSync(exported)) return;
    mkdirSync(join(folder, "onnx"));
    for (const [from, to] of [["model.onnx", "model.onnx"], ["model_genai_fp32.onnx", "model_q4.onnx"]]) cpSync(join(exported, from), join(folder, "onnx", to));
    await opened(folder, async (model) => assert.match(model.describe(), /safetensors, which have every hook/));
    await opened(folder, async (model) => assert.match(model.describe(), /graph is that of model\.onnx .*The way was asked for/), { route: "onnx" });
    await opened(folder, async (model) => assert.match(model.describe(), /graph is that of model_q4\.onnx/), { route: "onnx", dtype: "q4" });
    await opened(folder, async (model) => assert.match(model.describe(), /graph is that of model_q4\.onnx/), { file: "model_q4.onnx" });
    await assert.rejects(openModel(folder, { route: "onnx", dtype: "fp16" }), (error: Error) => error instanceof OptionError && /dtype: expected one of fp32, q4/.test(error.message));
  });
});

test("by name from the hub: only what is needed is fetched, once; offline it is there", async () => {
  await scratch(async (folder) => {
    const files = Object.fromEntries(readdirSync(LLAMA).filter((name) => !name.startsWith("golden")).map((name) => [name, readFileSync(join(LLAMA, name))]));
    const hub = await startHub({ "org/tiny": {
      revisions: { main: "5".repeat(40) },
      files: Object.fromEntries(Object.entries({ ...files, "README.md": Buffer.from("# tiny"), "pytorch_model.bin": Buffer.from("x"), "onnx/model.onnx": Buffer.from("not asked for") })
        .map(([name, content]) => [name, { content, lfs: name.endsWith(".safetensors") }])),
    } });
    const cache = join(folder, "hub");
    try {
      const options = { endpoint: hub.endpoint, cache, retryDelay: 0.01 };
      const want = await logitsOf(LLAMA);
      await opened("org/tiny", async (model) => {
        assert.deepEqual((await model.run([golden(LLAMA).prompts[1].ids], { logits: true })).logits, want);
        assert.equal(model.source, "org/tiny");
        assert.match(model.describe(), /From the hub: org\/tiny at [0-9a-f]{12}/);
        const [text] = await model.generate(["The rain"], { maxTokens: 2 });
        assert.ok(text.text.length > 8);
      }, options);
      const [commit] = readdirSync(join(cache, "models--org--tiny/snapshots"));
      assert.deepEqual(readdirSync(join(cache, "models--org--tiny/snapshots", commit)).sort(), Object.keys(files).sort(), "neither README, pickle nor ONNX");
      await assert.rejects(openModel("org/other", options), (error: Error) => error instanceof HubError);
    } finally {
      await hub.close();
    }
    assert.deepEqual(await logitsOf("org/tiny", { cache, offline: true }), await logitsOf(LLAMA));
  });
});

test("memory: what does not fit packed is read in place; asked for packed, it is refused before it is loaded, with what would do", async () => {
  const little = { memory: 100_000 };
  await opened(LLAMA, async (model) => assert.match(model.describe(), /held packed: .* are available/));
  await opened(LLAMA, async (model) => {
    assert.match(model.describe(), /read in place: .* of 0\.1 MB/);
    close((await model.run([golden(LLAMA).prompts[1].ids], { logits: true })).logits, golden(LLAMA).tensor("p1.logits"), "in place");
  }, little);
  await opened(LLAMA, async (model) => {
    await assert.rejects(model.run([[1, 2]], { logits: true }), (error: Error) => error instanceof ModelError && /expected memory for .* packed as float32, found .* available.*weights: "in place"/.test(error.message));
    assert.equal((await model.run([[1, 2]], { hooks: ["embed_tokens"] })).embed_tokens.length, 96, "what fits is run");
  }, { weights: "packed", ...little });
  await assert.rejects(openModel(LLAMA, { memory: 0 }), OptionError);
});

test("what is neither a path nor a name is told from both", async () => {
  await assert.rejects(openModel("/no/such/model"), (error: Error) => error instanceof ModelError && /expected the folder of a checkpoint .* found nothing/.test(error.message));
  await assert.rejects(openModel(""), OptionError);
  await assert.rejects(openModel(join(LLAMA, "config.json")), (error: Error) => error instanceof ModelError && /expected a folder, a \.gguf or a \.onnx file/.test(error.message));
});

test("an ONNX file of a family that is not built here: its config still tells where texts end and how long they may be", async () => {
  const file = join(ORACLE, "onnx/qwen2_genai_int4.onnx");
  const home = join(FIXTURES, "models/qwen2");
  if (!existsSync(home)) return;
  await scratch(async (folder) => {
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) cpSync(join(home, name), join(folder, name));
    cpSync(file, join(folder, "model.onnx"));
    const written = async (config: object): Promise<Int32Array> => {
      writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "another", max_position_embeddings: 32, ...config }));
      return opened(folder, async (model) => {
        assert.equal(model.context, 32);
        await assert.rejects(model.run([new Int32Array(33)], { logits: true }), /at most 32 tokens/);
        return (await model.generate([[1, 2, 3]], { maxTokens: 8, hooks: ["embed_tokens"] }))[0].ids!;
      }) as Promise<Int32Array>;
    };
    const whole = await written({});
    assert.equal(whole.length, 3 + 8);
    const end = whole[3 + 2];
    assert.deepEqual(await written({ eos_token_id: [end, 319] }), whole.slice(0, whole.indexOf(end, 3)));
    assert.deepEqual(await written({ text_config: { eos_token_id: end, max_position_embeddings: 32 } }), whole.slice(0, whole.indexOf(end, 3)));
  });
});
