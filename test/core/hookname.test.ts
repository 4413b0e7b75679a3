import { test } from "node:test";
import assert from "node:assert/strict";
import { HookError } from "../../src/core/errors";
import { allHooks, deeper, parseHook, transformerLensName, type Anatomy } from "../../src/core/hookname";

test("every spelling of a place gives the same hook", () => {
  const spellings: [string, ...string[]][] = [
    ["layers.10", "blocks.10.hook_resid_post", "model.layers.10", "transformer.h.10", "h.10", "gpt_neox.layers.10", "hidden_states[11]"],
    ["layers.10.mlp", "blocks.10.hook_mlp_out", "model.layers.10.mlp", "h.10.mlp", "transformer.h.10.mlp", "gpt_neox.layers.10.mlp"],
    ["layers.10.self_attn", "blocks.10.hook_attn_out", "model.layers.10.self_attn", "h.10.attn", "gpt_neox.layers.10.attention"],
    ["embed_tokens", "hook_embed", "model.embed_tokens", "transformer.wte", "gpt_neox.embed_in", "hidden_states[0]"],
  ];
  for (const [ours, ...others] of spellings) {
    assert.equal(parseHook(ours, 28).name, ours);
    for (const name of others) assert.deepEqual(parseHook(name, 28), parseHook(ours, 28), name);
  }
});

const ANATOMIES: Record<string, Anatomy> = {
  llama: { layers: 3 }, gemma2: { layers: 3, postNorm: true, embedding: "scaled" }, gpt2: { layers: 3, rotary: false, embedding: "positions" }, neox: { layers: 3, parallel: true },
};

test("all hooks of a model come back from their own and TransformerLens' names, in the order of the pass", () => {
  const counts = { llama: 1 + 3 * 15 + 2, gemma2: 2 + 3 * 17 + 2, gpt2: 2 + 3 * 13 + 2, neox: 1 + 3 * 14 + 2 };
  for (const [family, anatomy] of Object.entries(ANATOMIES)) {
    const hooks = allHooks(anatomy);
    assert.equal(hooks.length, counts[family as keyof typeof counts], family);
    for (const hook of hooks) {
      assert.deepEqual(parseHook(hook.name, anatomy), hook);
      const lens = transformerLensName(hook, anatomy);
      if (lens) assert.deepEqual(parseHook(lens, anatomy), hook, lens);
    }
    assert.equal(new Set(hooks.map((hook) => transformerLensName(hook, anatomy) ?? hook.name)).size, hooks.length, "each name is one place");
    for (let i = 1; i < hooks.length; i++) assert.ok(deeper(hooks[i], hooks[i - 1]) > 0, hooks[i].name);
  }
});

test("where families differ, a spelling means what its own library means", () => {
  const [llama, gemma2, gpt2, neox] = ["llama", "gemma2", "gpt2", "neox"].map((family) => (name: string) => parseHook(name, ANATOMIES[family]).name);
  // norms after the sublayers: the module gives one thing, TransformerLens' name is of what is added
  assert.equal(gemma2("blocks.1.hook_mlp_out"), "layers.1.mlp.add");
  assert.equal(gemma2("model.layers.1.mlp"), "layers.1.mlp");
  assert.equal(gemma2("model.layers.1.post_attention_layernorm"), "layers.1.attn.add");
  assert.equal(gemma2("blocks.1.hook_attn_out"), "layers.1.attn.add");
  assert.equal(llama("model.layers.1.post_attention_layernorm"), "layers.1.mlp.in");
  assert.equal(llama("layers.1.mlp.add"), "layers.1.mlp", "no norm follows: what is added is what came out");
  // learned positions, scaled embedding
  assert.equal(gpt2("hook_embed"), "embed_tokens.token");
  assert.equal(gpt2("transformer.wte"), "embed_tokens.token");
  assert.equal(gpt2("hidden_states[0]"), "embed_tokens");
  assert.equal(gemma2("hook_embed"), "embed_tokens");
  assert.equal(gemma2("model.embed_tokens"), "embed_tokens.token");
  assert.equal(llama("embed_tokens.token"), "embed_tokens");
  // Hugging Face's last hidden state is after the final norm
  for (const name of ["hidden_states[3]", "hidden_states[-1]", "model.norm", "ln_final.hook_normalized"]) assert.equal(llama(name), "norm");
  assert.equal(llama("hidden_states[-2]"), "layers.1");
  assert.equal(llama("lm_head"), "logits");
  // what is not there is refused with the reason
  assert.throws(() => neox("blocks.1.hook_resid_mid"), /attention and MLP read the same stream/);
  assert.throws(() => gpt2("layers.0.attn.rot_q"), /positions are learned/);
  assert.throws(() => llama("hidden_states[4]"), HookError);
});

test("a block that is not there: the error gives the range", () => {
  for (const name of ["layers.28", "blocks.28.hook_resid_post", "layers.-1"]) {
    assert.throws(() => parseHook(name, 28), (error: Error) => error instanceof HookError && /blocks 0 to 27/.test(error.message) && /"layers\.27"/.test(error.message));
  }
});

test("a misspelt name: the error names what is near", () => {
  assert.throws(() => parseHook("layer.10.mlp", 28), /Near matches: "layers\.10\.mlp"/);
  assert.throws(() => parseHook("blocks.3.hook_resid_pst", 28), /"blocks\.3\.hook_resid_post"/);
  assert.throws(() => parseHook("model.layers.2.selfattn", 4), /"layers\.2\.self_attn"/);
  for (const name of ["", "layers.", "layers.1.", "layers.1.mlp.gate", "layers.01x", "xlayers.1"]) {
    assert.throws(() => parseHook(name, 28), HookError, name);
  }
});
