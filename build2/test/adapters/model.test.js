"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const model_1 = require("../../src/adapters/model");
const errors_1 = require("../../src/core/errors");
const safetensors_1 = require("../../src/core/safetensors");
const ORACLE = (0, node_path_1.join)(__dirname, "../../../test/oracle/models");
function golden(folder) {
    const source = (0, safetensors_1.bytesSource)(new Uint8Array((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "golden.safetensors"))));
    const header = (0, safetensors_1.readHeader)(source, "golden.safetensors");
    return { ...JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "golden.json"), "utf8")), has: (name) => header.tensors.has(name), tensor: (name) => (0, safetensors_1.readFloats)(source, header.tensors.get(name)) };
}
const goldenName = ({ kind, layer }) => (["tok_embed", "embed", "final_norm", "logits"].includes(kind) ? kind : `${kind}.${layer}`);
/** max|a − b| ≤ 1e-5·max|b|: float32 sums over at most 96 terms and three blocks; 1.8e-6 is reached. */
function close(found, wanted, what, tolerance = 1e-5) {
    strict_1.default.equal(found.length, wanted.length, what);
    let difference = 0;
    let scale = 0;
    for (let i = 0; i < wanted.length; i++) {
        strict_1.default.ok(Number.isFinite(found[i]), what);
        difference = Math.max(difference, Math.abs(found[i] - wanted[i]));
        scale = Math.max(scale, Math.abs(wanted[i]));
    }
    strict_1.default.ok(scale > 0.1 && difference <= tolerance * scale, `${what}: ${difference} of ${scale}`);
}
async function opened(folder, work, options) {
    const model = await (0, model_1.openModel)(folder, options);
    try {
        await work(model);
    }
    finally {
        await model.close();
    }
}
async function scratch(work) {
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-model-"));
    try {
        await work(folder);
    }
    finally {
        (0, node_fs_1.rmSync)(folder, { recursive: true, force: true });
    }
}
const copy = (model, to) => (0, node_fs_1.cpSync)((0, node_path_1.join)(ORACLE, model), to, { recursive: true });
/** Numbers that a hook gives for a text of so many tokens. */
const sizeOf = (hook, length) => (hook.kind === "pattern" ? hook.width * length * length : length * hook.width);
/** Every hook of every prompt, in one right-padded batch, the logits among them. Details of the attention are kept of block 1 only. */
async function agrees(model, want, what) {
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
        strict_1.default.equal(found[hook.name].length, at, `${hook.name}: no row of padding is left`);
    }
    return compared;
}
/** The text that PyTorch wrote. */
const expectedText = (model, prompt, ids) => prompt + Buffer.concat(ids.map((id) => model.tokenizer.bytes(id))).toString();
const MODELS = (0, node_fs_1.readdirSync)(ORACLE).sort();
for (const name of MODELS) {
    const folder = (0, node_path_1.join)(ORACLE, name);
    const want = golden(folder);
    (0, node_test_1.test)(`${name}: every hook and the logits agree with PyTorch, in one batch and one by one`, async () => {
        await opened(folder, async (model) => {
            strict_1.default.deepEqual([model.family, model.layers, model.vocabularySize], [want.model_type, want.layers, 320]);
            const compared = await agrees(model, want, "packed");
            strict_1.default.ok(compared > want.layers * 9, `${compared} tensors`);
            for (const hook of model.hooks()) { // one at a time: each graph ends where its hook is
                const k = want.has(`p0.${goldenName(hook)}`) ? 0 : 1;
                if (!want.has(`p${k}.${goldenName(hook)}`))
                    continue;
                const found = await model.run([want.prompts[k].ids], { hooks: [hook.name] });
                strict_1.default.deepEqual(Object.keys(found), [hook.name]);
                close(found[hook.name], want.tensor(`p${k}.${goldenName(hook)}`), `${hook.name}, prompt ${k} alone`);
            }
        }, { weights: "packed" });
        await opened(folder, (model) => agrees(model, want, "in place, one thread"), { weights: "in place", threads: 1 });
    });
    (0, node_test_1.test)(`${name}: steering, ablation and greedy texts, plain and steered, are PyTorch's, in one batch of unequal lengths and alone`, async () => {
        await opened(folder, async (model) => {
            const texts = want.prompts.map(({ text }) => text);
            const steer = { hook: want.steer.point.replace("resid_post.", "layers."), add: want.tensor("steer.v") };
            const ablate = { hook: `layers.${want.ablate.point.split(".")[1]}.mlp`, ablate: "zero" };
            for (const [key, write] of [["steer", steer], ["ablate", ablate]]) {
                const { logits } = await model.run(want.prompts.map(({ ids }) => ids), { hooks: [], logits: true, writes: [write] });
                let row = 0;
                want.prompts.forEach(({ ids }, k) => {
                    row += ids.length;
                    const whole = want.has(`p${k}.${key}.logits`);
                    close(logits.subarray((whole ? row - ids.length : row - 1) * 320, row * 320), want.tensor(`p${k}.${key}.logits${whole ? "" : "_last"}`), `${key}, prompt ${k}`);
                });
            }
            for (const [writes, ids] of [[[], want.generate.plain], [[steer], want.generate.steered]]) {
                const expected = texts.map((text, k) => expectedText(model, text, ids[k]));
                const together = await model.generate(texts, { maxTokens: 12, writes: [...writes] });
                strict_1.default.deepEqual(together.map(({ text }) => text), expected);
                strict_1.default.deepEqual(together.map(({ id, spans, prompt }) => [id, spans.length, prompt]), texts.map((text, k) => [`prompt-${k}`, 0, text.length]));
                for (const [k, text] of texts.entries()) {
                    const [alone] = await model.generate([{ id: "mine", text, spans: [{ start: 0, end: 1, label: "x" }], split: "heldout" }], { maxTokens: 12, writes: [...writes] });
                    strict_1.default.deepEqual(alone, { id: "mine", text: expected[k], spans: [], split: "heldout", prompt: text.length });
                }
            }
        });
    });
}
(0, node_test_1.test)("a read leaves the others bit for bit as they were; a write that changes nothing within 1e-6", async () => {
    for (const name of ["llama", "gpt2", "gemma3", "phi"]) {
        await opened((0, node_path_1.join)(ORACLE, name), async (model) => {
            const batch = [[40, 41, 42, 43, 50], [60, 61]];
            const before = await model.run(batch, { logits: true });
            for (const hook of model.hooks()) {
                const { logits } = await model.run(batch, { hooks: [hook.name], logits: true });
                strict_1.default.deepEqual(logits, before.logits, `${name}: reading ${hook.name}`);
            }
            for (const hook of model.hooks()) {
                const write = { hook: hook.name, scale: 1 };
                close(Float32Array.from((await model.run(batch, { logits: true, writes: [write] })).logits), before.logits, `${name}: writing ${hook.name}`, 1e-6);
            }
        });
    }
});
(0, node_test_1.test)("the three spellings give the same rows, under the caller's names", async () => {
    await opened((0, node_path_1.join)(ORACLE, "llama"), async (model) => {
        const names = ["layers.1.mlp", "blocks.1.hook_mlp_out", "model.layers.1.mlp", "hook_embed"];
        const found = await model.run([[1, 2, 3], [4]], { hooks: names });
        strict_1.default.deepEqual(Object.keys(found), names);
        strict_1.default.equal(found["hook_embed"].length, 4 * 48);
        strict_1.default.deepEqual(found[names[1]], found[names[0]]);
        strict_1.default.deepEqual(found[names[2]], found[names[0]]);
        strict_1.default.equal(model.hook("blocks.1.hook_mlp_out").name, "layers.1.mlp");
        await strict_1.default.rejects(model.run([[1]], { hooks: ["layers.3"] }), errors_1.HookError);
    });
});
(0, node_test_1.test)("many runs at once, of more sessions than are kept, answer each its own", async () => {
    await opened((0, node_path_1.join)(ORACLE, "qwen2"), async (model) => {
        const hooks = model.hooks().map(({ name }) => name);
        const texts = hooks.map((_, i) => Array.from({ length: 3 + (i % 9) }, (__, t) => 10 + ((i * 7 + t) % 300)));
        const single = [];
        for (const [i, name] of hooks.entries())
            single.push((await model.run([texts[i]], { hooks: [name] }))[name]);
        const all = await Promise.all(hooks.map((name, i) => model.run([texts[i]], { hooks: [name] })));
        hooks.forEach((name, i) => strict_1.default.deepEqual(all[i][name], single[i], name));
    });
});
(0, node_test_1.test)("padding changes nothing: a text alone, with longer ones, and twice in a batch", async () => {
    await opened((0, node_path_1.join)(ORACLE, "qwen2"), async (model) => {
        const short = [40, 41, 42];
        const long = Array.from({ length: 90 }, (_, t) => 10 + ((t * 31) % 300));
        const alone = (await model.run([short], { hooks: ["layers.2"] }))["layers.2"];
        const mixed = (await model.run([short, long, short], { hooks: ["layers.2"] }))["layers.2"];
        strict_1.default.equal(mixed.length, 96 * 64);
        close(mixed.subarray(0, 3 * 64), alone, "first");
        close(mixed.subarray(93 * 64), alone, "last");
    });
});
(0, node_test_1.test)("texts up to the model's context, and tables that grow with them", async () => {
    await opened((0, node_path_1.join)(ORACLE, "llama"), async (model) => {
        const text = Array.from({ length: 256 }, (_, t) => 10 + ((t * 7) % 300));
        const prefix = (await model.run([text.slice(0, 20)], { hooks: ["layers.2"] }))["layers.2"];
        const whole = (await model.run([text], { hooks: ["layers.2"] }))["layers.2"];
        close(whole.subarray(0, prefix.length), prefix, "a token sees only what is before it");
        await strict_1.default.rejects(model.run([[...text, 1]], { hooks: ["layers.2"] }), (error) => error instanceof errors_1.OptionError && /at most 256 tokens.*found 257/.test(error.message));
    });
});
(0, node_test_1.test)("a sliding window of 8: a token sees itself and the seven before it, no more", async () => {
    await scratch(async (folder) => {
        copy("llama", folder);
        const config = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "config.json"), "utf8"));
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "config.json"), JSON.stringify({ ...config, model_type: "mistral", sliding_window: 8 }));
        await opened(folder, async (model) => {
            const text = Array.from({ length: 40 }, (_, t) => 10 + ((t * 13) % 300));
            const rows = async (first) => (await model.run([[first, ...text.slice(1)]], { hooks: ["layers.0"] }))["layers.0"];
            const [a, b] = [await rows(20), await rows(200)];
            const differs = (t) => a.subarray(t * 48, (t + 1) * 48).some((x, j) => x !== b[t * 48 + j]);
            strict_1.default.deepEqual(text.map((_, t) => differs(t)), text.map((_, t) => t < 8));
        });
    });
});
(0, node_test_1.test)("what cannot be run is refused before anything is run", async () => {
    await opened((0, node_path_1.join)(ORACLE, "llama"), async (model) => {
        const refused = [
            [[], /at least one text/], [[[1], []], /text 1: expected at least one token/], [[[320]], /text 0, token 0: expected an id from 0 to 319, found 320/],
            [[[1, -1]], /token 1: .*found -1/], [[[1.5]], /found 1\.5/],
        ];
        for (const [batch, message] of refused) {
            await strict_1.default.rejects(model.run(batch, { hooks: ["layers.0"] }), (error) => error instanceof errors_1.OptionError && message.test(error.message), String(message));
        }
        await strict_1.default.rejects(model.run([[1]], { hooks: [] }), /at least one hook/);
        await strict_1.default.rejects(model.generate([""]), /prompt 0: expected at least one token/);
        await strict_1.default.rejects(model.generate(["a"], { temperature: -1 }), errors_1.OptionError);
        await strict_1.default.rejects(model.generate(["a"], { maxTokens: 0 }), errors_1.OptionError);
        strict_1.default.deepEqual(await model.generate([]), []);
    });
    await strict_1.default.rejects((0, model_1.openModel)((0, node_path_1.join)(ORACLE, "llama"), { threads: 0 }), errors_1.OptionError);
});
(0, node_test_1.test)("sampling: same seed, same text, whatever the company; another seed, another text", async () => {
    await opened((0, node_path_1.join)(ORACLE, "qwen2"), async (model) => {
        const settings = { temperature: 1, maxTokens: 20, seed: 3 };
        const [a, b] = await model.generate(["The rain", "Wait, hmm, let me check"], settings);
        strict_1.default.deepEqual(await model.generate(["The rain", "Wait, hmm, let me check"], settings), [a, b]);
        strict_1.default.deepEqual(await model.generate(["The rain"], settings), [a]);
        const [other] = await model.generate(["The rain"], { ...settings, seed: 4 });
        strict_1.default.notEqual(other.text, a.text);
        const [first, second] = await model.generate(["The rain", "The rain"], settings);
        strict_1.default.equal(first.text, a.text);
        strict_1.default.notEqual(second.text, first.text, "the same prompt twice gives two texts");
        const states = [];
        await model.generate(["The rain"], { ...settings, progress: ({ done, total }) => states.push(done / total) });
        strict_1.default.equal(states.at(-1), 1);
    });
});
(0, node_test_1.test)("generation ends at the end-of-text token of config or generation_config, and leaves it out; at the context's end too", async () => {
    await scratch(async (folder) => {
        const want = golden((0, node_path_1.join)(ORACLE, "llama"));
        const [first, second, third] = want.generate.plain[1];
        for (const [file, eos] of [["config.json", third], ["generation_config.json", [300, third]]]) {
            (0, node_fs_1.rmSync)(folder, { recursive: true });
            copy("llama", folder);
            const path = (0, node_path_1.join)(folder, file);
            (0, node_fs_1.writeFileSync)(path, JSON.stringify({ ...JSON.parse((0, node_fs_1.readFileSync)(path, "utf8")), eos_token_id: eos }));
            strict_1.default.ok(first !== third && second !== third);
            await opened(folder, async (model) => {
                const [{ text }] = await model.generate([want.prompts[1].text], { maxTokens: 12 });
                strict_1.default.equal(text, want.prompts[1].text + Buffer.concat([first, second].map((id) => model.tokenizer.bytes(id))).toString(), file);
            });
        }
        await opened((0, node_path_1.join)(ORACLE, "llama"), async (model) => {
            const prompt = "a ".repeat(125);
            const used = model.tokenizer.encode(prompt).ids.length;
            const [{ text }] = await model.generate([prompt], { maxTokens: 400 });
            strict_1.default.ok(used > 120 && used < 256 && text.length > prompt.length);
        });
    });
});
(0, node_test_1.test)("an interrupt ends generation between two tokens", async () => {
    const key = Symbol.for("saelab.interrupt");
    await opened((0, node_path_1.join)(ORACLE, "llama"), async (model) => {
        const globals = globalThis;
        const before = globals[key];
        try {
            await strict_1.default.rejects(model.generate(["a"], { maxTokens: 200, progress: () => (globals[key] = { requested: true }) }), errors_1.InterruptError);
        }
        finally {
            globals[key] = before;
        }
        strict_1.default.equal((await model.generate(["a"], { maxTokens: 2 })).length, 1, "the model is as good as before");
    });
});
(0, node_test_1.test)("shards, and symbolic links into a cache, read the same", async () => {
    await scratch(async (folder) => {
        const want = golden((0, node_path_1.join)(ORACLE, "llama"));
        // the hub's cache: snapshots/<commit>/model.safetensors → ../../blobs/<hash>
        const snapshot = (0, node_path_1.join)(folder, "snapshots", "0123");
        const blobs = (0, node_path_1.join)(folder, "blobs");
        (0, node_fs_1.mkdirSync)(blobs, { recursive: true });
        copy("llama", snapshot);
        for (const file of (0, node_fs_1.readdirSync)(snapshot)) {
            (0, node_fs_1.renameSync)((0, node_path_1.join)(snapshot, file), (0, node_path_1.join)(blobs, `${file}.blob`));
            (0, node_fs_1.symlinkSync)(`../../blobs/${file}.blob`, (0, node_path_1.join)(snapshot, file));
        }
        await opened(snapshot, (model) => agrees(model, want, "links"));
        const source = (0, safetensors_1.bytesSource)(new Uint8Array((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, "llama/model.safetensors"))));
        const tensors = [...(0, safetensors_1.readHeader)(source, "m").tensors];
        const sharded = (0, node_path_1.join)(folder, "sharded");
        copy("llama", sharded);
        (0, node_fs_1.unlinkSync)((0, node_path_1.join)(sharded, "model.safetensors"));
        const map = {};
        for (const [i, part] of [tensors.slice(0, 11), tensors.slice(11)].entries()) {
            const name = `model-0000${i + 1}-of-00002.safetensors`;
            for (const [tensor] of part)
                map[tensor] = name;
            (0, node_fs_1.writeFileSync)((0, node_path_1.join)(sharded, name), Buffer.concat((0, safetensors_1.writeSafetensors)(part.map(([tensor, info]) => ({ name: tensor, shape: info.shape, data: (0, safetensors_1.readFloats)(source, info) })))));
        }
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(sharded, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
        await opened(sharded, (model) => agrees(model, want, "shards"));
        (0, node_fs_1.unlinkSync)((0, node_path_1.join)(sharded, "model-00002-of-00002.safetensors"));
        await strict_1.default.rejects((0, model_1.openModel)(sharded), (error) => error instanceof errors_1.ModelError && /expected the shard model-00002-of-00002\.safetensors/.test(error.message));
    });
});
(0, node_test_1.test)("a folder that is no checkpoint is refused, with what is missing", async () => {
    await scratch(async (folder) => {
        const message = async (path, pattern) => {
            await strict_1.default.rejects((0, model_1.openModel)(path), (error) => error instanceof errors_1.ModelError && pattern.test(error.message), String(pattern));
        };
        await message((0, node_path_1.join)(folder, "nowhere"), /expected the folder of a checkpoint .*found nothing/);
        await message((0, node_path_1.join)(ORACLE, "llama", "config.json"), /found a file/);
        await message(folder, /expected config\.json, found an empty folder/);
        const model = (0, node_path_1.join)(folder, "m");
        const broken = async (edit, pattern) => {
            (0, node_fs_1.rmSync)(model, { recursive: true, force: true });
            copy("llama", model);
            edit();
            await message(model, pattern);
        };
        await broken(() => (0, node_fs_1.renameSync)((0, node_path_1.join)(model, "model.safetensors"), (0, node_path_1.join)(model, "pytorch_model.bin")), /expected model\.safetensors, .*save_pretrained/);
        await broken(() => (0, node_fs_1.unlinkSync)((0, node_path_1.join)(model, "tokenizer.json")), /tokenizer\.json: expected the tokenizer, found no such file/);
        await broken(() => (0, node_fs_1.writeFileSync)((0, node_path_1.join)(model, "config.json"), "{"), /config\.json: expected JSON/);
        const config = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, "llama/config.json"), "utf8"));
        await broken(() => (0, node_fs_1.writeFileSync)((0, node_path_1.join)(model, "config.json"), JSON.stringify({ ...config, vocab_size: 300 })), /embed_tokens\.weight: expected \[300, 48\] by config\.json, found \[320, 48\]/);
        await broken(() => {
            const tokenizer = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(model, "tokenizer.json"), "utf8"));
            tokenizer.added_tokens.push({ id: 320, content: "<extra>", special: true, normalized: false });
            (0, node_fs_1.writeFileSync)((0, node_path_1.join)(model, "tokenizer.json"), JSON.stringify(tokenizer));
        }, /expected ids below vocab_size 320 of config\.json, found ids up to 320/);
        // cut off in the middle: said on opening, not in a run
        (0, node_fs_1.rmSync)(model, { recursive: true });
        copy("llama", model);
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(model, "model.safetensors"), (0, node_fs_1.readFileSync)((0, node_path_1.join)(ORACLE, "llama/model.safetensors")).subarray(0, 200_000));
        await strict_1.default.rejects((0, model_1.openModel)(model), /model\.safetensors: /);
    });
});
(0, node_test_1.test)("weights that vanish after opening are an engine's error, and the model can be closed", async () => {
    await scratch(async (folder) => {
        copy("llama", (0, node_path_1.join)(folder, "m"));
        await opened((0, node_path_1.join)(folder, "m"), async (model) => {
            (0, node_fs_1.unlinkSync)((0, node_path_1.join)(folder, "m", "model.safetensors"));
            await strict_1.default.rejects(model.run([[1, 2]], { hooks: ["layers.0"] }), errors_1.EngineError);
            copyBack(folder);
            strict_1.default.equal((await model.run([[1, 2]], { hooks: ["layers.0"] }))["layers.0"].length, 96, "a failed session is tried again");
        });
    });
    function copyBack(folder) {
        (0, node_fs_1.cpSync)((0, node_path_1.join)(ORACLE, "llama/model.safetensors"), (0, node_path_1.join)(folder, "m", "model.safetensors"));
    }
});
(0, node_test_1.test)("a closed model says so", async () => {
    const model = await (0, model_1.openModel)((0, node_path_1.join)(ORACLE, "llama"));
    const running = model.run([[1, 2, 3]], { hooks: ["layers.2"] });
    const closing = model.close();
    await strict_1.default.rejects(running, errors_1.EngineError);
    await closing;
    await strict_1.default.rejects(model.run([[1]], { hooks: ["layers.0"] }), (error) => error instanceof errors_1.EngineError && /closed/.test(error.message));
    await model.close();
});
(0, node_test_1.test)("the hash is of config and weights: the same for a copy, another when one byte differs", async () => {
    await scratch(async (folder) => {
        const hash = async (path) => {
            const model = await (0, model_1.openModel)(path);
            const value = await model.hash();
            strict_1.default.equal(await model.hash(), value);
            await model.close();
            return value;
        };
        const original = await hash((0, node_path_1.join)(ORACLE, "llama"));
        strict_1.default.match(original, /^[0-9a-f]{64}$/);
        const same = (0, node_path_1.join)(folder, "same");
        copy("llama", same);
        strict_1.default.equal(await hash(same), original);
        const other = (0, node_path_1.join)(folder, "other");
        copy("llama", other);
        const bytes = (0, node_fs_1.readFileSync)((0, node_path_1.join)(other, "model.safetensors"));
        bytes[bytes.length - 1] ^= 1;
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(other, "model.safetensors"), bytes);
        strict_1.default.notEqual(await hash(other), original);
    });
});
(0, node_test_1.test)("describe says family, sizes, dtype, memory, holding, hooks and files", async () => {
    await opened((0, node_path_1.join)(ORACLE, "qwen2"), async (model) => {
        const text = model.describe();
        for (const part of [/qwen2 model of 3 blocks, width 64/, /parameters in BF16, 0\.2 MB in one file/, /held packed/, /layers\.n\.mlp/, /config\.json, model\.safetensors/])
            strict_1.default.match(text, part);
    });
    await opened((0, node_path_1.join)(ORACLE, "llama"), async (model) => {
        strict_1.default.match(model.describe(), /100,176 parameters in F32[^]*llama3 scaling by 8[^]*read in place/);
    }, { weights: "in place" });
});
(0, node_test_1.test)("the process may exit, and a model be closed, in the middle of a run: ONNX Runtime would abort it", () => {
    const script = (end) => `
    const { openModel } = require(${JSON.stringify((0, node_path_1.join)(__dirname, "../../src/adapters/model.js"))});
    openModel(${JSON.stringify((0, node_path_1.join)(ORACLE, "llama"))}, { threads: 1 }).then(async (model) => {
      await model.run([[5]], { hooks: ["layers.2"] });
      const batch = Array.from({ length: 32 }, () => new Int32Array(256).fill(9));
      const runs = Array.from({ length: 20 }, () => model.run(batch, { hooks: ["layers.2"] }).then(() => "done", (error) => error.name));
      await Promise.race(runs);
      ${end}
    });`;
    const run = (end) => (0, node_child_process_1.execFileSync)(process.execPath, ["-e", script(end)], { encoding: "utf8", timeout: 120_000 }).trim();
    strict_1.default.equal(run("process.exit(0);"), "");
    strict_1.default.equal(run("await model.close(); console.log((await Promise.all(runs)).at(-1));"), "EngineError");
});
(0, node_test_1.test)("a process that is done ends although its models are open, and TensorFlow is not loaded", () => {
    const script = `
    const { openModel } = require(${JSON.stringify((0, node_path_1.join)(__dirname, "../../src/adapters/model.js"))});
    openModel(${JSON.stringify((0, node_path_1.join)(ORACLE, "llama"))}).then(async (model) => {
      const { "layers.1": rows } = await model.run([[5, 6, 7]], { hooks: ["layers.1"] });
      console.log(rows.length, Object.keys(require.cache).filter((file) => /tfjs|tensorflow/.test(file)).length);
    });`;
    const out = (0, node_child_process_1.execFileSync)(process.execPath, ["-e", script], { encoding: "utf8", timeout: 120_000 });
    strict_1.default.equal(out.trim(), `${3 * 48} 0`);
});
//# sourceMappingURL=model.test.js.map