"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.reach = void 0;
exports.firstPass = firstPass;
exports.nextPass = nextPass;
exports.standardFeeds = standardFeeds;
const attention_1 = require("./attention");
const onnx_1 = require("./onnx");
/** A batch that is the first pass of its texts. */
function firstPass(ids, rest = {}) {
    const tokens = ids.reduce((most, { length }) => Math.max(most, length), 0);
    let all = 0;
    const from = ids.map(({ length }) => (all += length) - length);
    return {
        ids, lengths: ids.map(({ length }) => length), batch: ids.length, tokens, past: ids.map(() => 0), prompt: ids.map(({ length }) => length), index: ids.map((_, b) => b), rows: { from, all },
        columns: ids.map(({ length }) => Int32Array.from({ length: tokens }, (_, t) => (t < length ? t : -1))), flat: true, ...rest,
    };
}
/** The pass after `before`, of one more token each; texts that are done stay where they are, for the context may end there. */
function nextPass(before, ids, done) {
    const past = before.past.map((count, b) => count + before.lengths[b] - (done[b] ? 1 : 0));
    return {
        ...before, ids, past, lengths: ids.map(({ length }) => length), tokens: 1,
        columns: before.columns.map((column, b) => {
            const longer = new Int32Array(column.length + 1);
            longer.set(column);
            longer[column.length] = done[b] ? -1 : past[b];
            return longer;
        }),
    };
}
/** Longest of all texts with what came before: what tables and the cache must reach. */
const reach = ({ past, tokens }) => Math.max(...past) + tokens;
exports.reach = reach;
/**
 * The inputs of a graph for a pass, by name and type; those of the cache, of tables and of writes are others' to give.
 * Exports of the hub ask for `input_ids`, `attention_mask` and `position_ids`; ours for what core/build says.
 */
function standardFeeds(inputs, pass) {
    const { ids, batch, tokens, past, lengths } = pass;
    const out = {};
    const integers = (type, values, dims) => type === onnx_1.ELEMENT.INT64 ? { type: "int64", data: BigInt64Array.from({ length: values.length }, (_, i) => BigInt(values[i])), dims }
        : { type: "int32", data: Int32Array.from(values), dims };
    for (const { name, type } of inputs) {
        if (name === "input_ids") {
            const padded = new Int32Array(batch * tokens); // padding is token 0: its rows are never read
            ids.forEach((text, b) => padded.set(text, b * tokens));
            out[name] = integers(type, padded, [batch, tokens]);
        }
        else if (name === "position_ids") {
            out[name] = integers(type, Int32Array.from({ length: batch * tokens }, (_, i) => past[Math.floor(i / tokens)] + (i % tokens)), [batch, tokens]);
        }
        else if (name === "attention_mask") {
            const all = pass.columns[0].length;
            const mask = new Int32Array(batch * all);
            pass.columns.forEach((column, b) => column.forEach((position, s) => (mask[b * all + s] = position >= 0 ? 1 : 0)));
            out[name] = integers(type, mask, [batch, all]);
        }
        else if (name === "seqlens_k")
            out[name] = integers(type, past.map((count, b) => count + lengths[b] - 1), [batch]);
        else if (name === "total_sequence_length")
            out[name] = integers(type, [(0, exports.reach)(pass)], []);
        else if (name === "last")
            out[name] = integers(type, lengths.map((length, b) => b * tokens + length - 1), [batch]);
        else if (name === (0, attention_1.maskName)(0) || name.startsWith((0, attention_1.maskName)(1).slice(0, -1)))
            out[name] = mask(pass, Number(name.split(".")[1] ?? 0));
    }
    return out;
}
/** Added to scores: 0 where a token may look, else the lowest number; [B, 1, 1, T, S]. A window of 0 is none. */
function mask({ batch, tokens, past, columns }, window) {
    const S = columns[0].length;
    const data = new Float32Array(batch * tokens * S).fill(-3.4028234663852886e38);
    for (let b = 0; b < batch; b++)
        for (let t = 0; t < tokens; t++) {
            const position = past[b] + t;
            for (let s = 0; s < S; s++) {
                const key = columns[b][s];
                if (key >= 0 && key <= position && (!window || key > position - window))
                    data[(b * tokens + t) * S + s] = 0;
            }
        }
    return { type: "float32", data, dims: [batch, 1, 1, tokens, S] };
}
//# sourceMappingURL=feeds.js.map