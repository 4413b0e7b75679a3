"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.runPlain = runPlain;
exports.elementwise = elementwise;
const sample_1 = require("../../src/core/sample");
const row = (n, f) => Float64Array.from({ length: n }, (_, i) => f(i));
const sum = (n, f) => {
    let total = 0;
    for (let i = 0; i < n; i++)
        total += f(i);
    return total;
};
const plus = (a, b) => a.map((x, t) => x.map((value, i) => value + b[t][i]));
const linear = (x, { out, in: n, w, b }) => x.map((one) => row(out, (o) => sum(n, (i) => w[o * n + i] * one[i]) + (b ? b[o] : 0)));
/** Over groups of as many entries as the weight has. */
function normalise(x, { kind, w, b }, epsilon) {
    const n = w.length;
    return x.map((one) => {
        const y = one.slice();
        for (let at = 0; at < one.length; at += n) {
            const mean = kind === "layer" ? sum(n, (i) => one[at + i]) / n : 0;
            const size = Math.sqrt(sum(n, (i) => (one[at + i] - mean) ** 2) / n + epsilon);
            for (let i = 0; i < n; i++)
                y[at + i] = ((one[at + i] - mean) / size) * w[i] + (b ? b[i] : 0);
        }
        return y;
    });
}
function rotate(x, { rotated: R, frequencies, attention }, headDim) {
    const angles = frequencies(x.length);
    return x.map((one, p) => {
        const y = one.slice();
        for (let at = 0; at < one.length; at += headDim)
            for (let j = 0; j < R / 2; j++) {
                const [cos, sin] = [attention * Math.cos(p * angles[j]), attention * Math.sin(p * angles[j])];
                const [a, b] = [one[at + j], one[at + j + R / 2]];
                y[at + j] = a * cos - b * sin;
                y[at + j + R / 2] = b * cos + a * sin;
            }
        return y;
    });
}
const softmax = (scores) => {
    const top = Math.max(...scores);
    const e = scores.map((s) => Math.exp(s - top));
    const total = e.reduce((a, b) => a + b);
    return e.map((value) => value / total);
};
const capped = (x, cap) => (cap ? cap * Math.tanh(x / cap) : x);
function runPlain(m, ids, writes, text) {
    const result = { places: new Map(), gap: Infinity };
    const tap = (name, rows) => {
        let x = rows.map((one) => one.slice());
        for (const write of writes)
            if (tensorOf(write.hook) === name)
                x = written(x, write, m, ids.length, text, result);
        result.places.set(name, x);
        return x;
    };
    const norm = (x, by) => (by ? normalise(x, by, m.epsilon) : x);
    const { heads: H, kvHeads: KV, headDim: hd } = m;
    const rowsOf = ids.map((id) => m.embed[id]);
    const tokens = m.token ? tap("embed_tokens.token", rowsOf) : rowsOf;
    let h = tap("embed_tokens", tokens.map((x, t) => x.map((value, i) => value * m.embedScale + (m.positions ? m.positions[t][i] : 0))));
    m.blocks.forEach((block, i) => {
        const at = `layers.${i}`;
        result.places.set(`${at}.pre`, h);
        const attend = () => {
            const a = tap(`${at}.attn.in`, norm(h, block.attnNorm));
            let q = norm(tap(`${at}.attn.q`, linear(a, block.q)), block.qNorm);
            let k = norm(tap(`${at}.attn.k`, linear(a, block.k)), block.kNorm);
            const v = tap(`${at}.attn.v`, linear(a, block.v));
            if (block.rope) {
                q = tap(`${at}.attn.rot_q`, rotate(q, block.rope, hd));
                k = tap(`${at}.attn.rot_k`, rotate(k, block.rope, hd));
            }
            const T = ids.length;
            const pattern = new Float64Array(H * T * T);
            for (let head = 0; head < H; head++)
                for (let t = 0; t < T; t++) {
                    const first = block.window ? Math.max(0, t - block.window + 1) : 0;
                    const group = Math.floor(head / (H / KV)) * hd;
                    const scores = row(t - first + 1, (s) => capped(sum(hd, (j) => q[t][head * hd + j] * k[first + s][group + j]) * m.scale, m.scoreCap));
                    pattern.set(softmax(scores), (head * T + t) * T + first);
                }
            const [weights] = tap(`${at}.attn.pattern`, [pattern]);
            const z = tap(`${at}.attn.z`, ids.map((_, t) => row(H * hd, (c) => {
                const head = Math.floor(c / hd);
                return sum(T, (s) => weights[(head * T + t) * T + s] * v[s][Math.floor(head / (H / KV)) * hd + (c % hd)]);
            })));
            const out = tap(`${at}.self_attn`, linear(z, block.o));
            return block.attnPostNorm ? tap(`${at}.attn.add`, norm(out, block.attnPostNorm)) : out;
        };
        const think = (x) => {
            const n = tap(`${at}.mlp.in`, x);
            const up = linear(n, block.up);
            const open = block.gate ? linear(n, block.gate) : up;
            const inner = tap(`${at}.mlp.act`, open.map((one, t) => one.map((g, c) => m.act(g) * (block.gate ? up[t][c] : 1))));
            const out = tap(`${at}.mlp`, linear(inner, block.down));
            return block.mlpPostNorm ? tap(`${at}.mlp.add`, norm(out, block.mlpPostNorm)) : out;
        };
        if (m.parallel)
            h = tap(at, plus(plus(h, attend()), think(norm(h, block.mlpNorm ?? block.attnNorm))));
        else {
            const mid = tap(`${at}.mid`, plus(h, attend()));
            h = tap(at, plus(mid, think(norm(mid, block.mlpNorm))));
        }
    });
    const last = tap("norm", norm(h, m.norm));
    tap("logits", linear(last, m.head).map((x) => x.map((value) => capped(value, m.logitCap))));
    return result;
}
/** The stream before a block is the stream after the one before. */
const tensorOf = (name) => {
    const before = /^layers\.(\d+)\.pre$/.exec(name);
    return !before ? name : before[1] === "0" ? "embed_tokens" : `layers.${Number(before[1]) - 1}`;
};
function chosen(at, prompt) {
    const of = (position) => (position < 0 ? position + prompt : position);
    if (at === undefined)
        return () => true;
    if (at === "prompt" || at === "generated")
        return (position) => position < prompt === (at === "prompt");
    if (typeof at === "number" || Array.isArray(at))
        return (position) => [at].flat().some((one) => of(one) === position);
    return (position) => (at.from === undefined || position >= of(at.from)) && (at.to === undefined || position < of(at.to));
}
/** A function of one number as an edit, which a plain model can apply to a row of its own. */
function elementwise(f) {
    return Object.assign((rows) => rows.map((x) => f(x)), { element: f });
}
function written(x, write, m, length, text, result) {
    const heads = write.heads === undefined ? undefined : [write.heads].flat();
    const prompt = text.prompt ?? length;
    const at = chosen(write.at, prompt);
    if (write.hook.endsWith(".pattern")) {
        const keys = chosen(write.keys, prompt);
        return x.map((all) => all.map((p, c) => {
            const [head, t, s] = [Math.floor(c / length ** 2), Math.floor(c / length) % length, c % length];
            if (!at(t) || !keys(s) || (heads && !heads.includes(head)))
                return p;
            if ("scale" in write)
                return p * write.scale;
            if ("set" in write)
                return s <= t ? write.set : p;
            return "edit" in write ? write.edit.element(p) : 0;
        }));
    }
    return x.map((one, t) => {
        if (!at(t))
            return one;
        const y = changed(one, write, text.index * 0x10000 + t, text.from + t, result);
        return heads ? one.map((value, c) => (heads.includes(Math.floor(c / m.headDim)) ? y[c] : value)) : y;
    });
}
/** @param stream which of the random numbers. @param token number of the row among those of all texts */
function changed(x, write, stream, token, result) {
    const w = x.length;
    const given = (rows, i) => (rows.length === w ? rows[i] : rows[token * w + i]);
    if ("add" in write)
        return x.map((value, i) => value + (write.times ?? 1) * given(write.add, i));
    if ("scale" in write)
        return x.map((value) => value * write.scale);
    if ("set" in write)
        return x.map((_, i) => (typeof write.set === "number" ? write.set : given(write.set, i)));
    if ("edit" in write)
        return x.map(write.edit.element);
    if ("projectOut" in write) {
        const u = write.projectOut;
        const share = sum(w, (i) => x[i] * u[i]) / sum(w, (i) => u[i] ** 2);
        return x.map((value, i) => value - share * u[i]);
    }
    if ("ablate" in write) {
        if (write.ablate === "zero")
            return new Float64Array(w);
        const { of } = write;
        const n = of.length / w;
        if (write.ablate === "mean")
            return row(w, (i) => sum(n, (r) => of[r * w + i]) / n);
        const r = Math.floor((0, sample_1.randomNumbers)(write.seed ?? 0, stream)() * n);
        return row(w, (i) => of[r * w + i]);
    }
    const { weights: sae } = write.sae;
    const { a, rebuilt, gap } = reconstruct(x, sae);
    result.gap = Math.min(result.gap, gap);
    if (write.latent === undefined)
        return rebuilt;
    const j = write.latent;
    const by = (write.clamp ?? a[j] * write.times) - a[j];
    return (write.keepError === false ? rebuilt : x).map((value, i) => value + by * sae.wDec[j * w + i]);
}
function reconstruct(x, { d, latents, k, wEnc, bEnc, wDec, bDec }) {
    const pre = row(latents, (j) => Math.max(0, bEnc[j] + sum(d, (i) => wEnc[j * d + i] * (x[i] - bDec[i]))));
    const order = [...pre.keys()].sort((p, q) => pre[q] - pre[p]);
    const a = new Float64Array(latents);
    for (const j of order.slice(0, k))
        a[j] = pre[j];
    const rebuilt = row(d, (i) => bDec[i] + sum(latents, (j) => a[j] * wDec[j * d + i]));
    return { a, rebuilt, gap: k < latents && pre[order[k]] > 0 ? pre[order[k - 1]] - pre[order[k]] : Infinity };
}
//# sourceMappingURL=plain-model.js.map