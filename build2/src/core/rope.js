"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.ropeRegime = void 0;
exports.readRope = readRope;
exports.ropeFrequencies = ropeFrequencies;
exports.ropeTables = ropeTables;
/** Config → rotated dimensions, the one or two ways of rotating, and each block's. */
function readRope(c, at, fail) {
    // rope_parameters: transformers 5, by kind of block where there are two; rope_scaling beside rope_theta: before that
    const given = (c.rope_parameters ?? c.rope_scaling ?? {});
    const parts = given.full_attention ? [given.full_attention, given.sliding_attention ?? given.full_attention] : [given];
    const share = c.partial_rotary_factor ?? parts[0].partial_rotary_factor ?? c.rotary_pct ?? at.share;
    if (typeof share !== "number" || !(share > 0 && share <= 1))
        fail("partial_rotary_factor", "a number above 0, up to 1", share, "The config is damaged: copy it again.");
    const rotated = Math.floor(at.headDim * share);
    if (rotated % 2 || !rotated)
        fail("head_dim", "an even number of rotated dimensions, for the rotation turns pairs", rotated, "The config is damaged: copy it again.");
    // 10,000: what transformers assumes where a config says nothing
    const theta = c.rope_theta ?? c.rotary_emb_base ?? 10_000;
    const ropes = parts.map((part, i) => readOne(part, i === 0 ? theta : c.rope_local_base_freq ?? theta, c, at.context, rotated, fail));
    if (parts.length === 1 && at.two && at.sliding.includes(true)) { // sliding blocks have a base of their own and are not scaled
        ropes.push(readOne({}, c.rope_local_base_freq ?? 10_000, c, at.context, rotated, fail));
    }
    return { rotated, ropes, ropeOf: at.sliding.map((slides) => (slides && ropes.length > 1 ? 1 : 0)) };
}
function readOne(s, theta, c, context, rotated, fail) {
    const kinds = ["default", "linear", "llama3", "yarn", "longrope"];
    const said = s.rope_type ?? s.type ?? "default"; // "type" was the field's first name; Phi-3's configs say su or yarn for longrope
    const phi3 = c.model_type === "phi3" && (said === "su" || said === "yarn");
    const kind = kinds.find((name) => name === (phi3 ? "longrope" : said)) ??
        fail("rope_scaling.rope_type", kinds.join(", "), said, "This scaling of positions is not built yet: see frequencies in src/core/rope.ts.");
    const positive = (field, value) => typeof value === "number" && value > 0 && Number.isFinite(value) ? value
        : fail(field.startsWith("rope_theta") ? field : `rope_scaling.${field}`, "a number above 0", value, "The config is incomplete: copy it again from where the model came from.");
    const list = (field) => Array.isArray(s[field]) && s[field].length === rotated / 2 && s[field].every((x) => typeof x === "number" && x > 0) ? s[field]
        : fail(`rope_scaling.${field}`, `${rotated / 2} numbers above 0`, s[field], "The config is incomplete: copy it again from where the model came from.");
    const original = c.original_max_position_embeddings ?? s.original_max_position_embeddings;
    const stretched = kind === "llama3" || kind === "longrope" || kind === "yarn";
    const originalContext = !stretched ? 0 : kind !== "llama3" && original == null ? context : positive("original_max_position_embeddings", original);
    // where no factor is said, it is how much longer the context has become
    const factor = kind === "default" ? 1 : (kind === "longrope" || kind === "yarn") && s.factor == null ? context / originalContext : positive("factor", s.factor);
    const mscale = (scale, m) => (scale <= 1 ? 1 : 0.1 * m * Math.log(scale) + 1);
    const attention = typeof s.attention_factor === "number" ? s.attention_factor
        : kind === "yarn" ? (s.mscale && s.mscale_all_dim ? mscale(factor, s.mscale) / mscale(factor, s.mscale_all_dim) : mscale(factor, 1))
            : kind === "longrope" && factor > 1 ? Math.sqrt(1 + Math.log(factor) / Math.log(originalContext)) : 1;
    return {
        theta: positive("rope_theta", s.rope_theta ?? theta), kind, factor, attention, originalContext,
        low: kind === "llama3" ? positive("low_freq_factor", s.low_freq_factor) : 1,
        high: kind === "llama3" ? positive("high_freq_factor", s.high_freq_factor) : 1,
        betaFast: s.beta_fast ?? 32, betaSlow: s.beta_slow ?? 1, truncate: s.truncate !== false,
        short: kind === "longrope" ? list("short_factor") : [], long: kind === "longrope" ? list("long_factor") : [],
    };
}
/** Whether texts of these lengths turn alike: LongRoPE has other frequencies for texts beyond the original context. */
const ropeRegime = (ropes, length) => ropes.some(({ kind, originalContext }) => kind === "longrope" && length > originalContext) ? "long" : "short";
exports.ropeRegime = ropeRegime;
/**
 * Angles a token's pairs turn by, per position: θ^(−2j/R), j = 0 … R/2 − 1, in PyTorch's order of float32 roundings.
 * linear divides all by `factor`; llama3 stretches long wavelengths by it and blends in between; yarn blends by the number of turns
 * within the original context; longrope divides each by a number of its own.
 */
function ropeFrequencies(rope, rotated, regime = "short") {
    const f = Math.fround;
    const half = rotated / 2;
    const power = Float32Array.from({ length: half }, (_, j) => rope.theta ** f((2 * j) / rotated));
    const base = (j) => f(1 / power[j]);
    switch (rope.kind) {
        case "default": return power.map((_, j) => base(j));
        case "linear": return power.map((_, j) => f(base(j) / rope.factor));
        case "longrope": {
            const factors = regime === "long" ? rope.long : rope.short;
            return power.map((x, j) => f(1 / f(f(factors[j]) * x)));
        }
        case "llama3": return power.map((_, j) => {
            const plain = base(j);
            const wavelength = f(f(2 * Math.PI) / plain);
            if (wavelength > rope.originalContext / rope.low)
                return f(plain / rope.factor);
            if (wavelength < rope.originalContext / rope.high)
                return plain;
            const smooth = f(f(f(rope.originalContext / wavelength) - rope.low) / (rope.high - rope.low));
            return f(f(f(f(1 - smooth) * plain) / rope.factor) + f(smooth * plain));
        });
        case "yarn": {
            // the dimension whose pair makes so many turns within the original context
            const dimension = (turns) => (rotated * Math.log(rope.originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(rope.theta));
            let low = dimension(rope.betaFast);
            let high = dimension(rope.betaSlow);
            if (rope.truncate)
                [low, high] = [Math.floor(low), Math.ceil(high)];
            low = Math.max(low, 0);
            high = Math.min(high, rotated - 1);
            if (low === high)
                high += 0.001; // as there: no division by zero
            return power.map((x, j) => {
                const keep = f(1 - Math.min(1, Math.max(0, f(f(j - low) / f(high - low)))));
                return f(f(f(1 / f(rope.factor * x)) * f(1 - keep)) + f(f(1 / x) * keep));
            });
        }
    }
}
/** attention · cos and sin of position × frequency, [positions, R/2] each. */
function ropeTables(rope, rotated, positions, regime = "short") {
    const frequencies = ropeFrequencies(rope, rotated, regime);
    const half = frequencies.length;
    const cos = new Float32Array(positions * half);
    const sin = new Float32Array(positions * half);
    for (let p = 0; p < positions; p++) {
        for (let j = 0; j < half; j++) {
            const angle = Math.fround(p * frequencies[j]);
            cos[p * half + j] = Math.fround(Math.cos(angle)) * rope.attention;
            sin[p * half + j] = Math.fround(Math.sin(angle)) * rope.attention;
        }
    }
    return { cos, sin };
}
//# sourceMappingURL=rope.js.map