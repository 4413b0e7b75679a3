import { after, test } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { openGguf } from "../../src/adapters/gguf";
import { openModel } from "../../src/adapters/open";
import { DiskError, FormatError, InterruptError, ModelError } from "../../src/core/errors";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import { llamaGguf } from "../ggufllama";
import { scratch } from "./folders";

const ORACLE = join(__dirname, "../../../test/oracle");
const QWEN2 = join(ORACLE, "gguf", "qwen2-mixed.gguf");
const written = mkdtempSync(join(tmpdir(), "saelab-gguf-"));
const LLAMA = join(written, "llama-f32.gguf");
writeFileSync(LLAMA, llamaGguf(join(ORACLE, "models", "llama")));
after(() => rmSync(written, { recursive: true, force: true }));

const json = (...path: string[]): any => JSON.parse(readFileSync(join(...path), "utf8"));

/** Tensors of a safetensors file, as float32. */
function tensors(path: string): Map<string, { shape: number[]; data: Float32Array }> {
  const source = bytesSource(new Uint8Array(readFileSync(path)));
  return new Map([...readHeader(source, path).tensors].map(([name, info]) => [name, { shape: info.shape, data: readFloats(source, info) }]));
}

const listed = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).sort() : []);

test("llama in float32: the checkpoint's own weights, bit for bit, and PyTorch's logits and tokens", () => scratch(async (cache) => {
  assert.equal(createHash("sha256").update(readFileSync(LLAMA)).digest("hex"), json(ORACLE, "gguf", "golden.json")["llama-f32"], "what llama.cpp's package writes");
  const { folder, did, made } = await openGguf(LLAMA, { cache });
  assert.ok(made);
  assert.match(did, /^llama-f32\.gguf: F32 copied, 0\.4 MB in /);
  const want = tensors(join(ORACLE, "models", "llama", "model.safetensors"));
  const got = tensors(join(folder, "model.safetensors"));
  assert.deepEqual([...got.keys()].sort(), [...want.keys()].sort());
  for (const [name, tensor] of want) assert.deepEqual(got.get(name), tensor, name);

  const [config, original] = [json(folder, "config.json"), json(ORACLE, "models", "llama", "config.json")];
  for (const key of ["model_type", "hidden_size", "head_dim", "num_key_value_heads", "rms_norm_eps", "rope_theta", "vocab_size", "tie_word_embeddings", "eos_token_id"]) {
    assert.deepEqual(config[key], original[key], key);
  }
  assert.deepEqual(config.rope_scaling, original.rope_scaling); // found again from rope_freqs.weight
  assert.equal(json(folder, "tokenizer_config.json").chat_template, json(ORACLE, "models", "llama", "tokenizer_config.json").chat_template);

  const golden = json(ORACLE, "models", "llama", "golden.json");
  const activations = tensors(join(ORACLE, "models", "llama", "golden.safetensors"));
  const model = await openModel(folder);
  try {
    for (const [k, { text, ids }] of golden.prompts.entries()) {
      assert.deepEqual([...model.tokenizer.encode(text).ids], ids);
      const { logits } = await model.run([ids], { hooks: [], logits: true });
      const wanted = activations.get(`p${k}.logits`)!.data;
      const scale = wanted.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      assert.equal(logits.length, wanted.length);
      assert.ok(scale > 0.1 && logits.every((x, i) => Math.abs(x - wanted[i]) <= 1e-5 * scale), `logits of prompt ${k}`);
    }
    const [first] = await model.generate([golden.prompts[0].text], { temperature: 0, maxTokens: golden.generate.plain[0].length });
    assert.equal(first.text, golden.prompts[0].text + golden.generate.plain_text[0]);
  } finally {
    await model.close();
  }
}));

test("qwen2 in six types: every tensor is what gguf-py dequantises, and the model runs", () => scratch(async (cache) => {
  const { folder, did } = await openGguf(QWEN2, { cache });
  assert.match(did, /^qwen2-mixed\.gguf: (?=.*Q4_0)(?=.*Q4_1)(?=.*Q5_0)(?=.*Q5_1)(?=.*Q8_0)(?=.*BF16)(?=.*F16).* dequantised to float32, /);
  const want: Record<string, [string, string]> = json(ORACLE, "gguf", "golden.json")["qwen2-mixed"];
  const got = tensors(join(folder, "model.safetensors"));
  assert.deepEqual([...got.keys()].sort(), Object.keys(want).sort());
  for (const [name, [type, sum]] of Object.entries(want)) {
    const { data } = got.get(name)!;
    assert.equal(createHash("sha256").update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)).digest("hex"), sum, `${name} (${type})`);
  }
  const model = await openModel(folder);
  try {
    const golden = json(ORACLE, "models", "qwen2", "golden.json");
    for (const { text, ids } of golden.prompts) assert.deepEqual([...model.tokenizer.encode(text).ids], ids);
    const { logits } = await model.run([golden.prompts[0].ids], { hooks: [], logits: true });
    assert.ok(logits.every(Number.isFinite));
  } finally {
    await model.close();
  }
}));

test("the second call finds the folder by the file's hash and neither hashes nor writes; a changed file is hashed again", () => scratch(async (cache) => {
  const file = join(cache, "m.gguf");
  copyFileSync(LLAMA, file);
  const stages: string[] = [];
  const options = { cache, progress: ({ stage }: { stage: string }) => void stages.push(stage) };
  const first = await openGguf(file, options);
  assert.deepEqual([...new Set(stages)], ["hash", "dequantise"]);
  assert.equal(first.folder, join(cache, createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 16)));
  stages.length = 0;
  assert.deepEqual(await openGguf(file, options), { ...first, made: false });
  assert.deepEqual(stages, []);

  utimesSync(file, 1, 1); // another time: hashed, found to be the same
  assert.deepEqual(await openGguf(file, options), { ...first, made: false });
  assert.deepEqual([...new Set(stages)], ["hash"]);

  copyFileSync(QWEN2, file); // another file of that name
  const other = await openGguf(file, options);
  assert.ok(other.made && other.folder !== first.folder);
  assert.equal(json(other.folder, "config.json").model_type, "qwen2");

  writeFileSync(join(cache, "hashes.json"), "{damaged");
  assert.equal((await openGguf(file, options)).made, false);
  assert.equal((await openGguf(file, options)).folder, other.folder);
}));

test("a folder that lacks a file, or was made by another version, is made again", () => scratch(async (cache) => {
  const { folder } = await openGguf(LLAMA, { cache });
  rmSync(join(folder, "tokenizer.json"));
  assert.deepEqual(await openGguf(LLAMA, { cache }).then(({ made }) => made), true);
  assert.ok(existsSync(join(folder, "tokenizer.json")));
  truncateSync(join(folder, "model.safetensors"), 1000);
  assert.equal((await openGguf(LLAMA, { cache })).made, true);
  const note = json(folder, "gguf.json");
  writeFileSync(join(folder, "gguf.json"), JSON.stringify({ ...note, version: 0 }));
  assert.equal((await openGguf(LLAMA, { cache })).made, true);
  assert.deepEqual(json(folder, "gguf.json"), note);
  assert.deepEqual(listed(cache), [folder.slice(cache.length + 1), "hashes.json"].sort());
}));

test("two calls at once both get the folder; what killed runs left is tidied, what others are making is not", () => scratch(async (cache) => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  const dead = join(cache, `.0123456789abcdef.${hostname()}.${pid}.abc123.part`);
  const alive = join(cache, `.0123456789abcdef.${hostname()}.${process.pid}.abc123.part`);
  const elsewhere = join(cache, `.0123456789abcdef.other-host.${pid}.abc123.part`);
  for (const part of [dead, alive, elsewhere]) mkdirSync(part);
  const both = await Promise.all([openGguf(LLAMA, { cache }), openGguf(LLAMA, { cache })]);
  assert.equal(both[0].folder, both[1].folder);
  assert.ok(existsSync(join(both[0].folder, "gguf.json")));
  assert.deepEqual(listed(cache), [alive, elsewhere, both[0].folder, join(cache, "hashes.json")].map((path) => path.slice(cache.length + 1)).sort());
}));

test("an interrupt leaves nothing behind", () => scratch(async (cache) => {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  for (const stage of ["hash", "dequantise"]) {
    const progress = (now: { stage: string }): void => void (flag.requested ||= now.stage === stage);
    await assert.rejects(openGguf(LLAMA, { cache, progress }), InterruptError);
    flag.requested = false;
    assert.deepEqual(listed(cache).filter((name) => name !== "hashes.json"), [], stage);
  }
  assert.ok((await openGguf(LLAMA, { cache })).made);
}));

test("what cannot be opened is refused before anything is hashed or written", () => scratch(async (folder) => {
  const cache = join(folder, "cache");
  const file = join(folder, "m.gguf");
  const refuses = async (path: string, kind: new () => Error, message: RegExp): Promise<void> => {
    await assert.rejects(openGguf(path, { cache }), (error: Error) => {
      assert.ok(error instanceof kind, error.stack);
      assert.match(error.message, message);
      return true;
    });
    assert.deepEqual(listed(cache), []);
  };
  await refuses(join(folder, "none.gguf"), ModelError, /none\.gguf: expected a \.gguf file, found no such file/);
  await refuses(folder, ModelError, /found a folder/);
  writeFileSync(file, "");
  await refuses(file, FormatError, /m\.gguf: magic/);
  const whole = readFileSync(LLAMA);
  writeFileSync(file, whole.subarray(0, whole.length - 1000));
  await refuses(file, FormatError, /to lie within the file/);
  await refuses(join(ORACLE, "gguf", "quants.gguf"), FormatError, /general\.architecture: .*found "test"/);
  await refuses(join(ORACLE, "gguf", "spm.gguf"), FormatError, /llama\.block_count: expected .*, found nothing/);
  writeFileSync(join(folder, "cache"), "a file in the way");
  await assert.rejects(openGguf(LLAMA, { cache }), DiskError);
}));
