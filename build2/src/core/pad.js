"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.withoutPadding = withoutPadding;
exports.withPadding = withPadding;
/** Between the padded rows of a pass and those of its tokens, text after text. A pattern is [B, H, T, S]; columns that hold nothing go. */
/** @param data [B·T, w], or of a pattern [B, H, T, S] */
function withoutPadding(data, pass, heads) {
    const { lengths, batch, tokens } = pass;
    if (heads !== undefined)
        return patterns(data, pass, heads);
    const width = data.length / (batch * tokens);
    const total = lengths.reduce((sum, length) => sum + length, 0);
    if (total === batch * tokens)
        return data;
    const out = new Float32Array(total * width);
    let at = 0;
    lengths.forEach((length, b) => {
        out.set(data.subarray(b * tokens * width, (b * tokens + length) * width), at);
        at += length * width;
    });
    return out;
}
const valid = (column) => Array.from(column.keys()).filter((s) => column[s] >= 0);
function* cells({ lengths, tokens, columns }, heads) {
    const S = columns[0].length;
    let at = 0;
    for (const [b, length] of lengths.entries()) {
        const there = valid(columns[b]);
        for (let h = 0; h < heads; h++)
            for (let t = 0; t < length; t++)
                for (const s of there)
                    yield [((b * heads + h) * tokens + t) * S + s, at++];
    }
}
function patterns(data, pass, heads) {
    const out = new Float32Array(pass.lengths.reduce((sum, length, b) => sum + heads * length * valid(pass.columns[b]).length, 0));
    for (const [padded, plain] of cells(pass, heads))
        out[plain] = data[padded];
    return out;
}
/** The other way: rows of tokens → padded, what was there before where there is no token. */
function withPadding(rows, before, pass, heads) {
    const out = before.slice();
    if (heads !== undefined) {
        for (const [padded, plain] of cells(pass, heads))
            out[padded] = rows[plain];
        return out;
    }
    const width = before.length / (pass.batch * pass.tokens);
    let at = 0;
    pass.lengths.forEach((length, b) => {
        out.set(rows.subarray(at, at + length * width), b * pass.tokens * width);
        at += length * width;
    });
    return out;
}
//# sourceMappingURL=pad.js.map