import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openModel, type OpenOptions } from "../../src/adapters/open";
import { EngineError, HookError, InterruptError, ModelError, OptionError } from "../../src/core/errors";
import { bytesSource, readFloats, readHeader, writeSafetensors } from "../../src/core/safetensors";
import type { Model, Write } from "../../src/core/types";
import { close, golden, goldenName, sizeOf, type Golden } from "./golden";
import { scratch } from "./folders";

const ORACLE = join(__dirname, "../../../test/oracle/models");

async function opened(folder: string, work: (model: Model) => Promise<unknown>, options?: OpenOptions): Promise<void> {
  const model = await openModel(folder, options);
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

const copy = (model: string, to: string): void => cpSync(join(ORACLE, model), to, { recursive: true });

/** Every hook of every prompt, in one right-padded batch, the logits among them. Details of the attention are kept of block 1 only. */
async function agrees(model: Model, want: Golden, what: string): Promise<number> {
  const hooks = model.hooks();
  const found = await model.run(want.prompts.map(({ ids }) => ids), { hooks: hooks.map(({ name }) => name) });
  let compared = 0;
  for (const hook of hooks) {
    let at = 0;
    want.prompts.forEach(({ ids }, k) => {
      const size = sizeOf(hook, ids.length);
      const name = `p${k}.${goldenName(hook)}`;
      if (want.has(name)) {
        close(found[hook.name].subarray(at, at + size), want.tensor(name), `${what}: ${hook.name}, prompt ${k} of the batch`);
        compared++;
      }
      at += size;
    });
    assert.equal(found[hook.name].length, at, `${hook.name}: no row of padding is left`);
  }
  return compared;
}

/** The text that PyTorch wrote. */
const expectedText = (model: Model, prompt: string, ids: number[]): string => prompt + Buffer.concat(ids.map((id) => model.tokenizer.bytes(id))).toString();

const MODELS = readdirSync(ORACLE).sort();

for (const name of MODELS) {
  const folder = join(ORACLE, name);
  const want = golden(folder);

  test(`${name}: every hook and the logits agree with PyTorch, in one batch and one by one`, async () => {
    await opened(folder, async (model) => {
      assert.deepEqual([model.family, model.layers, model.vocabularySize], [want.model_type, want.layers, 320]);
      const compared = await agrees(model, want, "packed");
      assert.ok(compared > want.layers * 9, `${compared} tensors`);
      for (const hook of model.hooks()) { // one at a time: each graph ends where its hook is
        const k = want.has(`p0.${goldenName(hook)}`) ? 0 : 1;
        if (!want.has(`p${k}.${goldenName(hook)}`)) continue;
        const found = await model.run([want.prompts[k].ids], { hooks: [hook.name] });
        assert.deepEqual(Object.keys(found), [hook.name]);
        close(found[hook.name], want.tensor(`p${k}.${goldenName(hook)}`), `${hook.name}, prompt ${k} alone`);
      }
    }, { weights: "packed" });
    await opened(folder, (model) => agrees(model, want, "in place, one thread"), { weights: "in place", threads: 1 });
  });

  test(`${name}: steering, ablation and greedy texts, plain and steered, are PyTorch's, in one batch of unequal lengths and alone`, async () => {
    await opened(folder, async (model) => {
      const texts = want.prompts.map(({ text }) => text);
      const steer: Write = { hook: want.steer.point.replace("resid_post.", "layers."), add: want.tensor("steer.v") };
      const ablate: Write = { hook: `layers.${want.ablate.point.split(".")[1]}.mlp`, ablate: "zero" };
      for (const [key, write] of [["steer", steer], ["ablate", ablate]] as const) {
        const { logits } = await model.run(want.prompts.map(({ ids }) => ids), { hooks: [], logits: true, writes: [write] });
        let row = 0;
        want.prompts.forEach(({ ids }, k) => {
          row += ids.length;
          const whole = want.has(`p${k}.${key}.logits`);
          close(logits.subarray((whole ? row - ids.length : row - 1) * 320, row * 320), want.tensor(`p${k}.${key}.logits${whole ? "" : "_last"}`), `${key}, prompt ${k}`);
        });
      }
      for (const [writes, ids] of [[[], want.generate.plain], [[steer], want.generate.steered]] as const) {
        const expected = texts.map((text, k) => expectedText(model, text, ids[k]));
        const together = await model.generate(texts, { maxTokens: 12, writes: [...writes] });
        assert.deepEqual(together.map(({ text }) => text), expected);
        assert.deepEqual(together.map(({ id, spans, prompt }) => [id, spans.length, prompt]), texts.map((text, k) => [`prompt-${k}`, 0, text.length]));
        for (const [k, text] of texts.entries()) {
          const [alone] = await model.generate([{ id: "mine", text, spans: [{ start: 0, end: 1, label: "x" }], split: "heldout" }], { maxTokens: 12, writes: [...writes] });
          assert.deepEqual(alone, { id: "mine", text: expected[k], spans: [], split: "heldout", prompt: text.length });
        }
      }
    });
  });
}

test("a read leaves the others bit for bit as they were; a write that changes nothing within 1e-6", async () => {
  for (const name of ["llama", "gpt2", "gemma3", "phi"]) {
    await opened(join(ORACLE, name), async (model) => {
      const batch = [[40, 41, 42, 43, 50], [60, 61]];
      const before = await model.run(batch, { logits: true });
      for (const hook of model.hooks()) {
        const { logits } = await model.run(batch, { hooks: [hook.name], logits: true });
        assert.deepEqual(logits, before.logits, `${name}: reading ${hook.name}`);
      }
      for (const hook of model.hooks()) {
        const write: Write = { hook: hook.name, scale: 1 };
        close(Float32Array.from((await model.run(batch, { logits: true, writes: [write] })).logits), before.logits, `${name}: writing ${hook.name}`, 1e-6);
      }
    });
  }
});

test("the three spellings give the same rows, under the caller's names", async () => {
  await opened(join(ORACLE, "llama"), async (model) => {
    const names = ["layers.1.mlp", "blocks.1.hook_mlp_out", "model.layers.1.mlp", "hook_embed"];
    const found = await model.run([[1, 2, 3], [4]], { hooks: names });
    assert.deepEqual(Object.keys(found), names);
    assert.equal(found["hook_embed"].length, 4 * 48);
    assert.deepEqual(found[names[1]], found[names[0]]);
    assert.deepEqual(found[names[2]], found[names[0]]);
    assert.equal(model.hook("blocks.1.hook_mlp_out").name, "layers.1.mlp");
    await assert.rejects(model.run([[1]], { hooks: ["layers.3"] }), HookError);
  });
});

test("many runs at once, of more sessions than are kept, answer each its own", async () => {
  await opened(join(ORACLE, "qwen2"), async (model) => {
    const hooks = model.hooks().map(({ name }) => name);
    const texts = hooks.map((_, i) => Array.from({ length: 3 + (i % 9) }, (__, t) => 10 + ((i * 7 + t) % 300)));
    const single: Float32Array[] = [];
    for (const [i, name] of hooks.entries()) single.push((await model.run([texts[i]], { hooks: [name] }))[name]);
    const all = await Promise.all(hooks.map((name, i) => model.run([texts[i]], { hooks: [name] })));
    hooks.forEach((name, i) => assert.deepEqual(all[i][name], single[i], name));
  });
});

test("padding changes nothing: a text alone, with longer ones, and twice in a batch", async () => {
  await opened(join(ORACLE, "qwen2"), async (model) => {
    const short = [40, 41, 42];
    const long = Array.from({ length: 90 }, (_, t) => 10 + ((t * 31) % 300));
    const alone = (await model.run([short], { hooks: ["layers.2"] }))["layers.2"];
    const mixed = (await model.run([short, long, short], { hooks: ["layers.2"] }))["layers.2"];
    assert.equal(mixed.length, 96 * 64);
    close(mixed.subarray(0, 3 * 64), alone, "first");
    close(mixed.subarray(93 * 64), alone, "last");
  });
});

test("texts up to the model's context, and tables that grow with them", async () => {
  await opened(join(ORACLE, "llama"), async (model) => {
    const text = Array.from({ length: 256 }, (_, t) => 10 + ((t * 7) % 300));
    const prefix = (await model.run([text.slice(0, 20)], { hooks: ["layers.2"] }))["layers.2"];
    const whole = (await model.run([text], { hooks: ["layers.2"] }))["layers.2"];
    close(whole.subarray(0, prefix.length), prefix, "a token sees only what is before it");
    await assert.rejects(model.run([[...text, 1]], { hooks: ["layers.2"] }), (error: Error) => error instanceof OptionError && /at most 256 tokens.*found 257/.test(error.message));
  });
});

test("a sliding window of 8: a token sees itself and the seven before it, no more", async () => {
  await scratch(async (folder) => {
    copy("llama", folder);
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, model_type: "mistral", sliding_window: 8 }));
    await opened(folder, async (model) => {
      const text = Array.from({ length: 40 }, (_, t) => 10 + ((t * 13) % 300));
      const rows = async (first: number): Promise<Float32Array> => (await model.run([[first, ...text.slice(1)]], { hooks: ["layers.0"] }))["layers.0"];
      const [a, b] = [await rows(20), await rows(200)];
      const differs = (t: number): boolean => a.subarray(t * 48, (t + 1) * 48).some((x, j) => x !== b[t * 48 + j]);
      assert.deepEqual(text.map((_, t) => differs(t)), text.map((_, t) => t < 8));
    });
  });
});

test("what cannot be run is refused before anything is run", async () => {
  await opened(join(ORACLE, "llama"), async (model) => {
    const refused: [ArrayLike<number>[], RegExp][] = [
      [[], /at least one text/], [[[1], []], /text 1: expected at least one token/], [[[320]], /text 0, token 0: expected an id from 0 to 319, found 320/],
      [[[1, -1]], /token 1: .*found -1/], [[[1.5]], /found 1\.5/],
    ];
    for (const [batch, message] of refused) {
      await assert.rejects(model.run(batch, { hooks: ["layers.0"] }), (error: Error) => error instanceof OptionError && message.test(error.message), String(message));
    }
    await assert.rejects(model.run([[1]], { hooks: [] }), /at least one hook/);
    await assert.rejects(model.generate([""]), /prompt 0: expected at least one token/);
    await assert.rejects(model.generate(["a"], { temperature: -1 }), OptionError);
    await assert.rejects(model.generate(["a"], { maxTokens: 0 }), OptionError);
    assert.deepEqual(await model.generate([]), []);
  });
  await assert.rejects(openModel(join(ORACLE, "llama"), { threads: 0 }), OptionError);
});

test("sampling: same seed, same text, whatever the company; another seed, another text", async () => {
  await opened(join(ORACLE, "qwen2"), async (model) => {
    const settings = { temperature: 1, maxTokens: 20, seed: 3 };
    const [a, b] = await model.generate(["The rain", "Wait, hmm, let me check"], settings);
    assert.deepEqual(await model.generate(["The rain", "Wait, hmm, let me check"], settings), [a, b]);
    assert.deepEqual(await model.generate(["The rain"], settings), [a]);
    const [other] = await model.generate(["The rain"], { ...settings, seed: 4 });
    assert.notEqual(other.text, a.text);
    const [first, second] = await model.generate(["The rain", "The rain"], settings);
    assert.equal(first.text, a.text);
    assert.notEqual(second.text, first.text, "the same prompt twice gives two texts");
    const states: number[] = [];
    await model.generate(["The rain"], { ...settings, progress: ({ done, total }) => states.push(done / total) });
    assert.equal(states.at(-1), 1);
  });
});

test("generation ends at the end-of-text token of config or generation_config, and leaves it out; at the context's end too", async () => {
  await scratch(async (folder) => {
    const want = golden(join(ORACLE, "llama"));
    const [first, second, third] = want.generate.plain[1];
    for (const [file, eos] of [["config.json", third], ["generation_config.json", [300, third]]] as const) {
      rmSync(folder, { recursive: true });
      copy("llama", folder);
      const path = join(folder, file);
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), eos_token_id: eos }));
      assert.ok(first !== third && second !== third);
      await opened(folder, async (model) => {
        const [{ text }] = await model.generate([want.prompts[1].text], { maxTokens: 12 });
        assert.equal(text, want.prompts[1].text + Buffer.concat([first, second].map((id) => model.tokenizer.bytes(id))).toString(), file);
      });
    }
    await opened(join(ORACLE, "llama"), async (model) => {
      const prompt = "a ".repeat(125);
      const used = model.tokenizer.encode(prompt).ids.length;
      const [{ text }] = await model.generate([prompt], { maxTokens: 400 });
      assert.ok(used > 120 && used < 256 && text.length > prompt.length);
    });
  });
});

test("an interrupt ends generation between two tokens", async () => {
  const key = Symbol.for("saelab.interrupt");
  await opened(join(ORACLE, "llama"), async (model) => {
    const globals = globalThis as Record<symbol, any>;
    const before = globals[key];
    try {
      await assert.rejects(
        model.generate(["a"], { maxTokens: 200, progress: () => (globals[key] = { requested: true }) }),
        InterruptError);
    } finally {
      globals[key] = before;
    }
    assert.equal((await model.generate(["a"], { maxTokens: 2 })).length, 1, "the model is as good as before");
  });
});

test("shards, and symbolic links into a cache, read the same", async () => {
  await scratch(async (folder) => {
    const want = golden(join(ORACLE, "llama"));
    // the hub's cache: snapshots/<commit>/model.safetensors → ../../blobs/<hash>
    const snapshot = join(folder, "snapshots", "0123");
    const blobs = join(folder, "blobs");
    mkdirSync(blobs, { recursive: true });
    copy("llama", snapshot);
    for (const file of readdirSync(snapshot)) {
      renameSync(join(snapshot, file), join(blobs, `${file}.blob`));
      symlinkSync(`../../blobs/${file}.blob`, join(snapshot, file));
    }
    await opened(snapshot, (model) => agrees(model, want, "links"));

    const source = bytesSource(new Uint8Array(readFileSync(join(ORACLE, "llama/model.safetensors"))));
    const tensors = [...readHeader(source, "m").tensors];
    const sharded = join(folder, "sharded");
    copy("llama", sharded);
    unlinkSync(join(sharded, "model.safetensors"));
    const map: Record<string, string> = {};
    for (const [i, part] of [tensors.slice(0, 11), tensors.slice(11)].entries()) {
      const name = `model-0000${i + 1}-of-00002.safetensors`;
      for (const [tensor] of part) map[tensor] = name;
      writeFileSync(join(sharded, name), Buffer.concat(writeSafetensors(
        part.map(([tensor, info]) => ({ name: tensor, shape: info.shape, data: readFloats(source, info) })))));
    }
    writeFileSync(join(sharded, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
    await opened(sharded, (model) => agrees(model, want, "shards"));
    unlinkSync(join(sharded, "model-00002-of-00002.safetensors"));
    await assert.rejects(openModel(sharded), (error: Error) => error instanceof ModelError && /expected the shard model-00002-of-00002\.safetensors/.test(error.message));
  });
});

test("a folder that is no checkpoint is refused, with what is missing", async () => {
  await scratch(async (folder) => {
    const message = async (path: string, pattern: RegExp): Promise<void> => {
      await assert.rejects(openModel(path), (error: Error) => error instanceof ModelError && pattern.test(error.message), String(pattern));
    };
    await message(join(folder, "nowhere"), /expected the folder of a checkpoint .*found nothing/);
    await message(join(ORACLE, "llama", "config.json"), /expected a folder, a \.gguf or a \.onnx file/);
    await message(folder, /expected config\.json, found an empty folder/);
    const model = join(folder, "m");
    const broken = async (edit: () => void, pattern: RegExp): Promise<void> => {
      rmSync(model, { recursive: true, force: true });
      copy("llama", model);
      edit();
      await message(model, pattern);
    };
    await broken(() => renameSync(join(model, "model.safetensors"), join(model, "pytorch_model.bin")), /expected model\.safetensors, .*save_pretrained/);
    await broken(() => unlinkSync(join(model, "tokenizer.json")), /tokenizer\.json: expected the tokenizer, found no such file/);
    await broken(() => writeFileSync(join(model, "config.json"), "{"), /config\.json: expected JSON/);
    const config = JSON.parse(readFileSync(join(ORACLE, "llama/config.json"), "utf8"));
    await broken(() => writeFileSync(join(model, "config.json"), JSON.stringify({ ...config, vocab_size: 300 })), /embed_tokens\.weight: expected \[300, 48\] by config\.json, found \[320, 48\]/);
    rmSync(model, { recursive: true });
    copy("llama", model);
    {
      const tokenizer = JSON.parse(readFileSync(join(model, "tokenizer.json"), "utf8"));
      tokenizer.added_tokens.push({ id: 320, content: "<extra>", special: true, normalized: false });
      writeFileSync(join(model, "tokenizer.json"), JSON.stringify(tokenizer));
      // ids are run without a tokenizer: it is opened, and held against the weights, when it is first asked for
      await opened(model, async (one) => {
        assert.equal((await one.run([[1]], { hooks: ["embed_tokens"] })).embed_tokens.length, 48);
        const refused = (error: Error): boolean => error instanceof ModelError && /expected ids below vocab_size 320 of config\.json, found ids up to 320/.test(error.message);
        assert.throws(() => one.tokenizer, refused);
        await assert.rejects(one.run("text", { hooks: ["embed_tokens"] }), refused);
        await assert.rejects(one.generate(["text"]), refused);
      });
    }
    // cut off in the middle: said on opening, not in a run
    rmSync(model, { recursive: true });
    copy("llama", model);
    writeFileSync(join(model, "model.safetensors"), readFileSync(join(ORACLE, "llama/model.safetensors")).subarray(0, 200_000));
    await assert.rejects(openModel(model), /model\.safetensors: /);
  });
});

test("weights that vanish after opening are an engine's error, and the model can be closed", async () => {
  await scratch(async (folder) => {
    copy("llama", join(folder, "m"));
    await opened(join(folder, "m"), async (model) => {
      unlinkSync(join(folder, "m", "model.safetensors"));
      await assert.rejects(model.run([[1, 2]], { hooks: ["layers.0"] }), EngineError);
      copyBack(folder);
      assert.equal((await model.run([[1, 2]], { hooks: ["layers.0"] }))["layers.0"].length, 96, "a failed session is tried again");
    });
  });
  function copyBack(folder: string): void {
    cpSync(join(ORACLE, "llama/model.safetensors"), join(folder, "m", "model.safetensors"));
  }
});

test("a closed model says so", async () => {
  const model = await openModel(join(ORACLE, "llama"));
  const running = model.run([[1, 2, 3]], { hooks: ["layers.2"] });
  const closing = model.close();
  await assert.rejects(running, EngineError);
  await closing;
  await assert.rejects(model.run([[1]], { hooks: ["layers.0"] }), (error: Error) => error instanceof EngineError && /closed/.test(error.message));
  await model.close();
});

test("the hash is of config and weights: the same for a copy, another when one byte differs", async () => {
  await scratch(async (folder) => {
    const hash = async (path: string): Promise<string> => {
      const model = await openModel(path);
      const value = await model.hash();
      assert.equal(await model.hash(), value);
      await model.close();
      return value;
    };
    const original = await hash(join(ORACLE, "llama"));
    assert.match(original, /^[0-9a-f]{64}$/);
    const same = join(folder, "same");
    copy("llama", same);
    assert.equal(await hash(same), original);
    const other = join(folder, "other");
    copy("llama", other);
    const bytes = readFileSync(join(other, "model.safetensors"));
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(join(other, "model.safetensors"), bytes);
    assert.notEqual(await hash(other), original);
  });
});

test("describe says family, sizes, dtype, memory, holding, hooks and files", async () => {
  await opened(join(ORACLE, "qwen2"), async (model) => {
    const text = model.describe();
    for (const part of [/qwen2 model of 3 blocks, width 64/, /parameters in BF16, 0\.2 MB in one file/, /held packed/, /layers\.n\.mlp/, /config\.json, model\.safetensors/]) assert.match(text, part);
  });
  await opened(join(ORACLE, "llama"), async (model) => {
    assert.match(model.describe(), /100,176 parameters in F32[^]*llama3 scaling by 8[^]*read in place/);
  }, { weights: "in place" });
});

test("the process may exit, and a model be closed, in the middle of a run: ONNX Runtime would abort it", () => {
  const script = (end: string): string => `
    const { openModel } = require(${JSON.stringify(join(__dirname, "../../src/adapters/open.js"))});
    openModel(${JSON.stringify(join(ORACLE, "llama"))}, { threads: 1 }).then(async (model) => {
      await model.run([[5]], { hooks: ["layers.2"] });
      const batch = Array.from({ length: 32 }, () => new Int32Array(256).fill(9));
      const runs = Array.from({ length: 20 }, () => model.run(batch, { hooks: ["layers.2"] }).then(() => "done", (error) => error.name));
      await Promise.race(runs);
      ${end}
    });`;
  const run = (end: string): string => execFileSync(process.execPath, ["-e", script(end)], { encoding: "utf8", timeout: 120_000 }).trim();
  assert.equal(run("process.exit(0);"), "");
  assert.equal(run("await model.close(); console.log((await Promise.all(runs)).at(-1));"), "EngineError");
});

test("a process that is done ends although its models are open, and TensorFlow is not loaded", () => {
  const script = `
    const { openModel } = require(${JSON.stringify(join(__dirname, "../../src/adapters/open.js"))});
    openModel(${JSON.stringify(join(ORACLE, "llama"))}).then(async (model) => {
      const { "layers.1": rows } = await model.run([[5, 6, 7]], { hooks: ["layers.1"] });
      console.log(rows.length, Object.keys(require.cache).filter((file) => /node_modules.*(tfjs|tensorflow)/.test(file)).length);
    });`;
  const out = execFileSync(process.execPath, ["-e", script], { encoding: "utf8", timeout: 120_000 });
  assert.equal(out.trim(), `${3 * 48} 0`);
});
