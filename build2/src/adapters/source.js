"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.builtSource = builtSource;
exports.hookRows = hookRows;
const attention_1 = require("../core/attention");
const build_1 = require("../core/build");
const families_1 = require("../core/families");
const hookname_1 = require("../core/hookname");
const rope_1 = require("../core/rope");
const safetensors_1 = require("../core/safetensors");
const files_1 = require("./files");
const modelfiles_1 = require("./modelfiles");
/** A checkpoint folder's config and safetensors → graphs built here. @throws ModelError, FormatError */
function builtSource(folder, files) {
    const a = (0, families_1.readArchitecture)((0, modelfiles_1.readJson)(files.config), files.config);
    const weights = (0, build_1.checkWeights)(a, (0, modelfiles_1.readWeights)(files.weights), folder);
    const anatomy = (0, families_1.anatomyOf)(a);
    const stored = [...new Map([...weights.values()].map((weight) => [`${weight.location} ${weight.offset}`, weight])).values()];
    return {
        family: a.family, anatomy, width: a.width, vocabulary: a.vocabulary, context: a.context, eos: a.eos,
        rows: hookRows(anatomy, (kind) => (0, build_1.hookWidth)(a, kind), a.row.norm),
        headDim: (kind) => (["q", "k", "v", "rot_q", "rot_k", "z"].includes(kind) ? a.headDim : kind === "pattern" ? 1 : undefined),
        build: (wanted) => (0, build_1.buildGraph)(a, weights, wanted),
        flat: true,
        ragged: true,
        regime: (length) => (0, rope_1.ropeRegime)(a.ropes, length),
        tables(positions, regime) {
            const size = Math.min(Math.max(256, 2 ** Math.ceil(Math.log2(positions))), Math.max(a.context, positions));
            return a.ropes.flatMap((rope, r) => {
                let made;
                const table = (part) => ({ type: "float32", data: (made ??= (0, rope_1.ropeTables)(rope, a.rotated, size, regime))[part], dims: [size, a.rotated / 2] });
                return ["cos", "sin"].map((part) => ({ name: `${part}.${r}`, key: `${size} ${regime}`, make: () => table(part) }));
            });
        },
        head: (tokens) => headRows(a, weights, tokens),
        files: [files.config, ...files.weights],
        elements: stored.reduce((sum, { shape }) => sum + shape.reduce((p, q) => p * q, 1), 0),
        bytes: stored.reduce((sum, { bytes }) => sum + bytes, 0),
        dtypes: [...new Set(stored.map(({ dtype }) => dtype))].sort(),
        facts: facts(a),
    };
}
/** The table that model.hooks() gives. */
function hookRows(anatomy, width, norm) {
    return (0, hookname_1.allHooks)(anatomy).map((hook) => {
        const w = width(hook.kind);
        const note = noteOn(hook.kind, anatomy, norm);
        return {
            ...hook, transformerLens: (0, hookname_1.transformerLensName)(hook, anatomy), width: w,
            shape: hook.kind === "pattern" ? `[${w}, query, key]` : `[tokens, ${w}]`, ...(note ? { note } : {}),
        };
    });
}
/** Where spellings part: what a reader of another library's names must know. */
function noteOn(kind, { postNorm, embedding }, norm) {
    switch (kind) {
        case "attn_out":
        case "mlp_out":
            return postNorm ? `what Hugging Face's module gives; TransformerLens' name is of what is added after the norm: ${kind === "attn_out" ? "attn" : "mlp"}.add` : undefined;
        case "embed":
            return embedding === "positions" ? "with positions, as hidden_states[0]; the token's row alone is embed_tokens.token"
                : embedding === "scaled" ? "scaled by √d, as hidden_states[0]; the module's own rows are embed_tokens.token" : undefined;
        case "final_norm":
            return norm === "layer" ? "Hugging Face's last hidden state" : "Hugging Face's last hidden state; TransformerLens takes it before the norm's weight, unless that is folded into the head";
        default: return undefined;
    }
}
function headRows(a, weights, tokens) {
    const read = (name, row) => {
        const weight = weights.get(name);
        const source = (0, files_1.fileSource)(weight.location);
        try {
            return row === undefined ? (0, safetensors_1.readFloats)(source, weight) : (0, safetensors_1.readFloats)(source, weight, row * a.width, (row + 1) * a.width);
        }
        finally {
            source.close();
        }
    };
    const rows = new Float32Array(tokens.length * a.width);
    tokens.forEach((token, i) => rows.set(read(a.tied ? "embed_tokens.weight" : "lm_head.weight", token), i * a.width));
    const norm = read("norm.weight");
    return {
        rows, norm: a.row.norm === "rms 1+w" ? norm.map((w) => 1 + w) : norm, kind: a.row.norm === "layer" ? "layer" : "rms", epsilon: a.epsilon,
        ...(weights.has("norm.bias") ? { bias: read("norm.bias") } : {}),
    };
}
function facts(a) {
    const ropes = a.ropes.map((rope) => `base ${rope.theta}${rope.kind === "default" ? "" : `, ${rope.kind} scaling by ${rope.factor}`}`);
    const windows = a.window.filter(Boolean).length;
    return [
        `A ${a.family} model of ${a.layers} blocks, width ${a.width}, ${a.heads} heads (${a.kvHeads} for keys and values) of ${a.headDim}, ` +
            `MLP ${a.inner}, vocabulary ${a.vocabulary}, context ${a.context} tokens.`,
        `${a.tied ? "The embedding is the output head too" : "An output head of its own"}; ` +
            (a.rotated ? `positions by rotation (${ropes.join("; ")}${a.rotated < a.headDim ? `; ${a.rotated} of ${a.headDim} dimensions of a head` : ""})` : "learned positions") +
            `${windows ? `; ${windows} blocks see ${Math.max(...a.window)} tokens` : ""}.`,
        `Its graph is built here from config.json and the weights${(0, attention_1.rotatesInside)(a) ? "" : ", heads rotated apart from attention"}.`,
    ];
}
//# sourceMappingURL=source.js.map