"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.randomCheckpoint = randomCheckpoint;
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const tiny_1 = require("./tiny");
/** Numbers that the dtype holds exactly. */
const ROUND = {
    F32: Math.fround,
    BF16: (x) => new Float32Array(Uint32Array.of(new Uint32Array(Float32Array.of(x).buffer)[0] & 0xffff0000).buffer)[0],
    F16: (x) => Math.round(Math.max(-1.9, Math.min(1.9, x)) * 1024) / 1024,
};
function bytesOf(values, dtype) {
    if (dtype === "F32")
        return Buffer.from(Float32Array.from(values).buffer);
    if (dtype === "BF16")
        return Buffer.from(Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16).buffer);
    return Buffer.from(Uint16Array.from(values, (x) => {
        if (x === 0)
            return 0;
        const exponent = Math.floor(Math.log2(Math.abs(x)));
        return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | Math.round((Math.abs(x) / 2 ** exponent - 1) * 1024);
    }).buffer);
}
/** erf by its series of positive terms: e^(−x²)·Σ 2ⁿx^(2n+1)/(2n+1)!!. */
function erf(x) {
    if (Math.abs(x) > 6)
        return Math.sign(x);
    let [term, total] = [x, x];
    for (let n = 1; Math.abs(term) > 1e-17; n++)
        total += term *= (2 * x * x) / (2 * n + 1);
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}
const ACTS = {
    silu: (x) => x / (1 + Math.exp(-x)),
    relu: (x) => Math.max(0, x),
    gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    gelu_new: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};
ACTS.gelu_pytorch_tanh = ACTS.gelu_new;
const GEMMA = ["gemma2", "gemma3_text"];
/** A random model of the family. */
function randomCheckpoint(family, rng) {
    const pick = (...options) => options[rng.below(options.length)];
    const between = (a, b) => a + rng.below(b - a + 1);
    const chance = (p) => rng.uniform() < p;
    const dtype = pick("F32", "F32", "BF16", "F16");
    const is = (...types) => types.includes(family);
    const layered = is("gpt2", "gpt_neox", "phi");
    const ownHeadDim = is("llama", "mistral", "qwen3", ...GEMMA);
    // sizes
    const H = pick(1, 2, 3, 4, 6);
    const KV = is("gpt2", "gpt_neox") ? H : pick(...[1, 2, 3, 6].filter((count) => H % count === 0), H);
    const hd = pick(4, 6, 8, 12, 16, 20);
    const D = ownHeadDim ? between(8, 40) : H * hd;
    const F = is("gpt2") && chance(0.5) ? 4 * D : between(8, 64);
    const V = between(320, 330);
    const layers = between(1, 3);
    const context = pick(64, 100);
    const epsilon = pick(1e-5, 1e-6);
    const act = layered ? pick("gelu", "gelu_new", "relu") : pick("silu", "silu", "gelu_pytorch_tanh", "gelu", "relu");
    const tied = is("phi") ? false : chance(0.5);
    const attentionBias = is("gpt2", "phi") || (is("gpt_neox") ? chance(0.7) : is("llama", "qwen3", "olmo2", ...GEMMA) && chance(0.4));
    const mlpBias = layered || (is("llama") && chance(0.4));
    // positions
    const share = is("gpt_neox") ? pick(0.25, 0.5, 1) : is("phi") ? pick(0.5, 0.5, 1) : is("phi3") ? pick(1, 1, 0.75, 0.5) : 1;
    const rotates = Math.floor(hd * share) % 2 === 0 && Math.floor(hd * share) > 0;
    const usedShare = rotates ? share : 1;
    const R = Math.floor(hd * usedShare);
    const theta = pick(100, 10_000, 500_000);
    const local = pick(100, 10_000);
    const scaling = is("gpt2") ? undefined : randomScaling(family, rng, R, context);
    const plainly = (base) => Array.from({ length: R / 2 }, (_, j) => base ** ((-2 * j) / R));
    const ropeOf = (slides) => is("gpt2") ? undefined
        : is("gemma3_text") && slides ? { rotated: R, attention: 1, frequencies: () => Float64Array.from(plainly(local)) }
            : { rotated: R, attention: scaling?.attention ?? 1, frequencies: (length) => Float64Array.from(scaling ? scaling.scaled(plainly(theta), length) : plainly(theta)) };
    // windows
    const slidesInAll = is("mistral", "phi3") && chance(0.5);
    const from = between(0, layers);
    const slidesFrom = is("qwen2", "qwen3") && chance(0.5);
    const every = between(2, 3);
    const types = is("gemma3_text") && chance(0.5) ? Array.from({ length: layers }, () => pick("sliding_attention", "full_attention")) : undefined;
    const size = between(1, 6);
    const slides = (i) => slidesInAll || (slidesFrom && i >= from) || (is("gemma2") && i % 2 === 0)
        || (is("gemma3_text") && (types ? types[i] === "sliding_attention" : (i + 1) % every !== 0));
    // weights
    const numbers = (n, std, mean = 0) => Float64Array.from({ length: n }, () => ROUND[dtype](mean + std * rng.normal()));
    const linear = (out, inner, bias) => ({ out, in: inner, w: numbers(out * inner, 1.1 / Math.sqrt(inner)), ...(bias ? { b: numbers(out, 0.2) } : {}) });
    const onePlus = is(...GEMMA);
    const stored = new Map();
    const norm = (n) => {
        const w = numbers(n, 0.2, onePlus ? 0 : 1);
        const made = { kind: layered ? "layer" : "rms", w: onePlus ? w.map((x) => 1 + x) : w, ...(layered ? { b: numbers(n, 0.2) } : {}) };
        stored.set(made, w);
        return made;
    };
    const parallel = is("phi") || (is("gpt_neox") && chance(0.6));
    const blocks = Array.from({ length: layers }, (_, i) => ({
        ...(is("olmo2") ? {} : { attnNorm: norm(D) }), ...(is("olmo2", ...GEMMA) ? { attnPostNorm: norm(D), mlpPostNorm: norm(D) } : {}),
        ...(is("olmo2", "phi") ? {} : { mlpNorm: norm(D) }),
        q: linear(H * hd, D, attentionBias || is("qwen2")), k: linear(KV * hd, D, attentionBias || is("qwen2")), v: linear(KV * hd, D, attentionBias || is("qwen2")),
        o: linear(D, H * hd, attentionBias),
        ...(is("qwen3", "gemma3_text") ? { qNorm: norm(hd), kNorm: norm(hd) } : is("olmo2") ? { qNorm: norm(H * hd), kNorm: norm(KV * hd) } : {}),
        ...(layered ? {} : { gate: linear(F, D, mlpBias) }), up: linear(F, D, mlpBias), down: linear(D, F, mlpBias),
        window: slides(i) ? size : 0, rope: ropeOf(slides(i)),
    }));
    const scaled = is(...GEMMA);
    const table = (count, std) => Array.from({ length: count }, () => numbers(D, std));
    const embed = table(V, scaled ? 1 / Math.sqrt(D) : 1);
    const flat = (rows) => Float64Array.from(rows.flatMap((one) => [...one]));
    const scoreCap = is("gemma2") ? pick(0, 2, 5) : 0;
    const logitCap = is(...GEMMA) ? pick(0, 3, 8) : 0;
    const scalar = is(...GEMMA) ? between(4, 24) : hd;
    const plain = {
        heads: H, kvHeads: KV, headDim: hd, epsilon, scale: 1 / Math.sqrt(scalar), scoreCap, logitCap, act: ACTS[act], parallel,
        token: is("gpt2", ...GEMMA), embed, embedScale: scaled ? Math.sqrt(D) : 1, ...(is("gpt2") ? { positions: table(context, 0.5) } : {}),
        blocks, norm: norm(D), head: tied ? { out: V, in: D, w: flat(embed) } : linear(V, D, is("phi")),
    };
    // the hub's names and packings
    const tensors = [];
    const prefix = is("gpt2") ? pick("", "transformer.") : is("gpt_neox") ? "gpt_neox." : "model.";
    const put = (name, shape, values) => void tensors.push([name, shape, values]);
    const putNorm = (name, given) => {
        if (!given)
            return;
        put(`${prefix}${name}.weight`, [given.w.length], stored.get(given));
        if (given.b)
            put(`${prefix}${name}.bias`, [given.b.length], given.b);
    };
    const joined = (parts) => ({
        out: parts.reduce((n, { out }) => n + out, 0), in: parts[0].in, w: Float64Array.from(parts.flatMap(({ w }) => [...w])),
        ...(parts[0].b ? { b: Float64Array.from(parts.flatMap(({ b }) => [...b])) } : {}),
    });
    /** A head's rows of q, then of k, then of v, head by head. */
    const byHead = (parts) => joined(Array.from({ length: H }, (_, head) => parts.map(({ in: n, w, b }) => ({
        out: hd, in: n, w: w.slice(head * hd * n, (head + 1) * hd * n), ...(b ? { b: b.slice(head * hd, (head + 1) * hd) } : {}),
    }))).flat());
    const turned = ({ out, in: n, w }) => Float64Array.from({ length: w.length }, (_, c) => w[(c % out) * n + Math.floor(c / out)]);
    const putLinear = (name, given, bare = false) => {
        const at = bare ? name : prefix + name;
        put(`${at}.weight`, is("gpt2") && !bare ? [given.in, given.out] : [given.out, given.in], is("gpt2") && !bare ? turned(given) : given.w);
        if (given.b)
            put(`${at}.bias`, [given.out], given.b);
    };
    const [embedName, block, finalName, headName] = is("gpt2") ? ["wte", "h", "ln_f", "lm_head"] : is("gpt_neox") ? ["embed_in", "layers", "final_layer_norm", "embed_out"]
        : ["embed_tokens", "layers", is("phi") ? "final_layernorm" : "norm", "lm_head"];
    put(`${prefix}${embedName}.weight`, [V, D], flat(embed));
    if (plain.positions)
        put(`${prefix}wpe.weight`, [context, D], flat(plain.positions));
    blocks.forEach((one, i) => {
        const at = `${block}.${i}`;
        const qkv = [one.q, one.k, one.v];
        if (is("gpt2")) {
            putNorm(`${at}.ln_1`, one.attnNorm);
            putNorm(`${at}.ln_2`, one.mlpNorm);
            for (const [name, given] of [["attn.c_attn", joined(qkv)], ["attn.c_proj", one.o], ["mlp.c_fc", one.up], ["mlp.c_proj", one.down]])
                putLinear(`${at}.${name}`, given);
            return;
        }
        putNorm(`${at}.input_layernorm`, one.attnNorm);
        if (onePlus) {
            putNorm(`${at}.post_attention_layernorm`, one.attnPostNorm);
            putNorm(`${at}.pre_feedforward_layernorm`, one.mlpNorm);
        }
        else
            putNorm(`${at}.post_attention_layernorm`, is("olmo2") ? one.attnPostNorm : one.mlpNorm);
        putNorm(`${at}.post_feedforward_layernorm`, one.mlpPostNorm);
        putNorm(`${at}.self_attn.q_norm`, one.qNorm);
        putNorm(`${at}.self_attn.k_norm`, one.kNorm);
        if (is("gpt_neox"))
            putLinear(`${at}.attention.query_key_value`, byHead(qkv));
        else if (is("phi3"))
            putLinear(`${at}.self_attn.qkv_proj`, joined(qkv));
        else
            ["q", "k", "v"].forEach((part, p) => putLinear(`${at}.self_attn.${part}_proj`, qkv[p]));
        putLinear(is("gpt_neox") ? `${at}.attention.dense` : is("phi") ? `${at}.self_attn.dense` : `${at}.self_attn.o_proj`, one.o);
        const [up, down] = is("gpt_neox") ? ["dense_h_to_4h", "dense_4h_to_h"] : is("phi") ? ["fc1", "fc2"] : ["up_proj", "down_proj"];
        if (is("phi3"))
            putLinear(`${at}.mlp.gate_up_proj`, joined([one.gate, one.up]));
        else {
            if (one.gate)
                putLinear(`${at}.mlp.gate_proj`, one.gate);
            putLinear(`${at}.mlp.${up}`, one.up);
        }
        putLinear(`${at}.mlp.${down}`, one.down);
    });
    putNorm(finalName, plain.norm);
    if (!tied)
        putLinear(headName, plain.head, true);
    const config = is("gpt2") ? {
        model_type: family, n_layer: layers, n_embd: D, n_head: H, n_positions: context, vocab_size: V, layer_norm_epsilon: epsilon, activation_function: act, tie_word_embeddings: tied,
        n_inner: F === 4 * D ? null : F,
    } : {
        model_type: family, num_hidden_layers: layers, hidden_size: D, num_attention_heads: H, num_key_value_heads: KV, max_position_embeddings: context, vocab_size: V, intermediate_size: F,
        tie_word_embeddings: tied, rope_theta: theta, [layered ? "layer_norm_eps" : "rms_norm_eps"]: epsilon, [is(...GEMMA) ? "hidden_activation" : "hidden_act"]: act,
        ...(ownHeadDim ? { head_dim: hd } : {}), ...(is("qwen2", "phi") ? {} : { attention_bias: attentionBias }), ...(is("llama") ? { mlp_bias: mlpBias } : {}),
        ...(is("gpt_neox") ? { rotary_pct: usedShare, use_parallel_residual: parallel } : is("phi", "phi3") ? { partial_rotary_factor: usedShare } : {}),
        ...(is("mistral", "phi3") ? { sliding_window: slidesInAll ? size : null } : {}), ...(is("qwen2", "qwen3") ? { use_sliding_window: slidesFrom, sliding_window: size, max_window_layers: from } : {}),
        ...(is(...GEMMA) ? { sliding_window: size, query_pre_attn_scalar: scalar, final_logit_softcapping: logitCap || null } : {}), ...(is("gemma2") ? { attn_logit_softcapping: scoreCap || null } : {}),
        ...(is("gemma3_text") ? { rope_local_base_freq: local, ...(types ? { layer_types: types } : { sliding_window_pattern: every }) } : {}), ...(scaling?.config ?? {}),
    };
    return {
        config: { ...config, dtype }, plain,
        write(folder) {
            (0, node_fs_1.mkdirSync)(folder, { recursive: true });
            (0, node_fs_1.cpSync)((0, node_path_1.join)(tiny_1.ORACLE, "models/llama/tokenizer.json"), (0, node_path_1.join)(folder, "tokenizer.json"));
            (0, node_fs_1.cpSync)((0, node_path_1.join)(tiny_1.ORACLE, "models/llama/tokenizer_config.json"), (0, node_path_1.join)(folder, "tokenizer_config.json"));
            (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "config.json"), JSON.stringify(config));
            const parts = tensors.map(([, , values]) => bytesOf(values, dtype));
            let at = 0;
            const header = Buffer.from(JSON.stringify(Object.fromEntries(tensors.map(([name, shape], i) => [name, { dtype, shape, data_offsets: [at, (at += parts[i].length)] }]))));
            const length = Buffer.alloc(8);
            length.writeBigUInt64LE(BigInt(header.length));
            (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "model.safetensors"), Buffer.concat([length, header, ...parts]));
        },
    };
}
/** Scalings of positions, as the table of test/oracle/README.md has them. */
function randomScaling(family, rng, R, context) {
    const kind = rng.below(5);
    if (family === "phi3" && kind < 2) {
        const original = 6;
        const [short, long] = [0, 1].map(() => Array.from({ length: R / 2 }, () => 1 + 3 * rng.uniform()));
        return {
            config: { rope_scaling: { type: "longrope", short_factor: short, long_factor: long }, original_max_position_embeddings: original },
            attention: Math.sqrt(1 + Math.log(context / original) / Math.log(original)),
            scaled: (plain, length) => plain.map((f, j) => f / (length > original ? long : short)[j]),
        };
    }
    if (kind === 0)
        return { config: { rope_scaling: { rope_type: "linear", factor: 3 } }, attention: 1, scaled: (plain) => plain.map((f) => f / 3) };
    if (kind === 1 && family !== "gemma3_text") {
        return {
            config: { rope_scaling: { rope_type: "llama3", factor: 4, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 20 } }, attention: 1,
            scaled: (plain) => plain.map((f) => {
                const wavelength = (2 * Math.PI) / f;
                if (wavelength > 20)
                    return f / 4;
                if (wavelength < 5)
                    return f;
                const m = (20 / wavelength - 1) / 3;
                return ((1 - m) * f) / 4 + m * f;
            }),
        };
    }
    return undefined;
}
//# sourceMappingURL=plain-checkpoint.js.map