"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const errors_1 = require("../../src/core/errors");
const hookname_1 = require("../../src/core/hookname");
(0, node_test_1.test)("every spelling of a place gives the same hook", () => {
    const spellings = [
        ["layers.10", "blocks.10.hook_resid_post", "model.layers.10", "transformer.h.10", "h.10", "gpt_neox.layers.10", "hidden_states[11]"],
        ["layers.10.mlp", "blocks.10.hook_mlp_out", "model.layers.10.mlp", "h.10.mlp", "transformer.h.10.mlp", "gpt_neox.layers.10.mlp"],
        ["layers.10.self_attn", "blocks.10.hook_attn_out", "model.layers.10.self_attn", "h.10.attn", "gpt_neox.layers.10.attention"],
        ["embed_tokens", "hook_embed", "model.embed_tokens", "transformer.wte", "gpt_neox.embed_in", "hidden_states[0]"],
    ];
    for (const [ours, ...others] of spellings) {
        strict_1.default.equal((0, hookname_1.parseHook)(ours, 28).name, ours);
        for (const name of others)
            strict_1.default.deepEqual((0, hookname_1.parseHook)(name, 28), (0, hookname_1.parseHook)(ours, 28), name);
    }
});
const ANATOMIES = {
    llama: { layers: 3 }, gemma2: { layers: 3, postNorm: true, embedding: "scaled" }, gpt2: { layers: 3, rotary: false, embedding: "positions" }, neox: { layers: 3, parallel: true },
};
(0, node_test_1.test)("all hooks of a model come back from their own and TransformerLens' names, in the order of the pass", () => {
    const counts = { llama: 1 + 3 * 15 + 2, gemma2: 2 + 3 * 17 + 2, gpt2: 2 + 3 * 13 + 2, neox: 1 + 3 * 14 + 2 };
    for (const [family, anatomy] of Object.entries(ANATOMIES)) {
        const hooks = (0, hookname_1.allHooks)(anatomy);
        strict_1.default.equal(hooks.length, counts[family], family);
        for (const hook of hooks) {
            strict_1.default.deepEqual((0, hookname_1.parseHook)(hook.name, anatomy), hook);
            const lens = (0, hookname_1.transformerLensName)(hook, anatomy);
            if (lens)
                strict_1.default.deepEqual((0, hookname_1.parseHook)(lens, anatomy), hook, lens);
        }
        strict_1.default.equal(new Set(hooks.map((hook) => (0, hookname_1.transformerLensName)(hook, anatomy) ?? hook.name)).size, hooks.length, "each name is one place");
        for (let i = 1; i < hooks.length; i++)
            strict_1.default.ok((0, hookname_1.deeper)(hooks[i], hooks[i - 1]) > 0, hooks[i].name);
    }
});
(0, node_test_1.test)("where families differ, a spelling means what its own library means", () => {
    const [llama, gemma2, gpt2, neox] = ["llama", "gemma2", "gpt2", "neox"].map((family) => (name) => (0, hookname_1.parseHook)(name, ANATOMIES[family]).name);
    // norms after the sublayers: the module gives one thing, TransformerLens' name is of what is added
    strict_1.default.equal(gemma2("blocks.1.hook_mlp_out"), "layers.1.mlp.add");
    strict_1.default.equal(gemma2("model.layers.1.mlp"), "layers.1.mlp");
    strict_1.default.equal(gemma2("model.layers.1.post_attention_layernorm"), "layers.1.attn.add");
    strict_1.default.equal(gemma2("blocks.1.hook_attn_out"), "layers.1.attn.add");
    strict_1.default.equal(llama("model.layers.1.post_attention_layernorm"), "layers.1.mlp.in");
    strict_1.default.equal(llama("layers.1.mlp.add"), "layers.1.mlp", "no norm follows: what is added is what came out");
    // learned positions, scaled embedding
    strict_1.default.equal(gpt2("hook_embed"), "embed_tokens.token");
    strict_1.default.equal(gpt2("transformer.wte"), "embed_tokens.token");
    strict_1.default.equal(gpt2("hidden_states[0]"), "embed_tokens");
    strict_1.default.equal(gemma2("hook_embed"), "embed_tokens");
    strict_1.default.equal(gemma2("model.embed_tokens"), "embed_tokens.token");
    strict_1.default.equal(llama("embed_tokens.token"), "embed_tokens");
    // Hugging Face's last hidden state is after the final norm
    for (const name of ["hidden_states[3]", "hidden_states[-1]", "model.norm", "ln_final.hook_normalized"])
        strict_1.default.equal(llama(name), "norm");
    strict_1.default.equal(llama("hidden_states[-2]"), "layers.1");
    strict_1.default.equal(llama("lm_head"), "logits");
    // what is not there is refused with the reason
    strict_1.default.throws(() => neox("blocks.1.hook_resid_mid"), /attention and MLP read the same stream/);
    strict_1.default.throws(() => gpt2("layers.0.attn.rot_q"), /positions are learned/);
    strict_1.default.throws(() => llama("hidden_states[4]"), errors_1.HookError);
});
(0, node_test_1.test)("a block that is not there: the error gives the range", () => {
    for (const name of ["layers.28", "blocks.28.hook_resid_post", "layers.-1"]) {
        strict_1.default.throws(() => (0, hookname_1.parseHook)(name, 28), (error) => error instanceof errors_1.HookError && /blocks 0 to 27/.test(error.message) && /"layers\.27"/.test(error.message));
    }
});
(0, node_test_1.test)("a misspelt name: the error names what is near", () => {
    strict_1.default.throws(() => (0, hookname_1.parseHook)("layer.10.mlp", 28), /Near matches: "layers\.10\.mlp"/);
    strict_1.default.throws(() => (0, hookname_1.parseHook)("blocks.3.hook_resid_pst", 28), /"blocks\.3\.hook_resid_post"/);
    strict_1.default.throws(() => (0, hookname_1.parseHook)("model.layers.2.selfattn", 4), /"layers\.2\.self_attn"/);
    for (const name of ["", "layers.", "layers.1.", "layers.1.mlp.gate", "layers.01x", "xlayers.1"]) {
        strict_1.default.throws(() => (0, hookname_1.parseHook)(name, 28), errors_1.HookError, name);
    }
});
//# sourceMappingURL=hookname.test.js.map