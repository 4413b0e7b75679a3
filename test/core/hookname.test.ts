import { test } from "node:test";
import assert from "node:assert/strict";
import { HookError } from "../../src/core/errors";
import { allHooks, deeper, parseHook, transformerLensName } from "../../src/core/hookname";

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

test("all hooks of a model come back from their own and TransformerLens' names, in the order of the pass", () => {
  const hooks = allHooks(3);
  assert.equal(hooks.length, 1 + 3 * 3);
  for (const hook of hooks) {
    assert.deepEqual(parseHook(hook.name, 3), hook);
    assert.deepEqual(parseHook(transformerLensName(hook), 3), hook);
  }
  for (let i = 1; i < hooks.length; i++) assert.ok(deeper(hooks[i], hooks[i - 1]) > 0, hooks[i].name);
});

test("a block that is not there: the error gives the range", () => {
  for (const name of ["layers.28", "blocks.28.hook_resid_post", "layers.-1"]) {
    assert.throws(() => parseHook(name, 28), (error: Error) => error instanceof HookError && /blocks 0 to 27/.test(error.message) && /"layers\.27"/.test(error.message));
  }
});

test("the last hidden state of Hugging Face is refused, with the reason", () => {
  for (const name of ["hidden_states[28]", "hidden_states[-1]"]) {
    assert.throws(() => parseHook(name, 28), (error: Error) => error instanceof HookError && /after the final norm/.test(error.message));
  }
});

test("a misspelt name: the error names what is near", () => {
  assert.throws(() => parseHook("layer.10.mlp", 28), /Near matches: "layers\.10\.mlp"/);
  assert.throws(() => parseHook("blocks.3.hook_resid_pst", 28), /"blocks\.3\.hook_resid_post"/);
  assert.throws(() => parseHook("model.layers.2.selfattn", 4), /"layers\.2\.self_attn"/);
  for (const name of ["", "layers.", "layers.1.", "layers.1.mlp.act", "layers.01x", "xlayers.1"]) {
    assert.throws(() => parseHook(name, 28), HookError, name);
  }
});
