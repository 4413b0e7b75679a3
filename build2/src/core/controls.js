"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.wordsOf = void 0;
exports.walshHadamard = walshHadamard;
exports.randomDirections = randomDirections;
exports.logisticProbe = logisticProbe;
exports.textModel = textModel;
exports.classDifference = classDifference;
exports.bestKeywords = bestKeywords;
const random_1 = require("./random");
/** What a latent is held against: words, random directions, the difference of means, a probe, a text model. */
/** x ← H x, H the Walsh–Hadamard matrix of ±1, in place: n log₂ n additions, two levels a pass. @param n a power of two */
function walshHadamard(x, n = x.length) {
    let h = 1;
    for (; 4 * h <= n; h *= 4) {
        for (let i = 0; i < n; i += 4 * h) {
            for (let j = i; j < i + h; j++) {
                const a = x[j] + x[j + h];
                const b = x[j] - x[j + h];
                const c = x[j + 2 * h] + x[j + 3 * h];
                const d = x[j + 2 * h] - x[j + 3 * h];
                x[j] = a + c;
                x[j + h] = b + d;
                x[j + 2 * h] = a - c;
                x[j + 3 * h] = b - d;
            }
        }
    }
    if (h < n) {
        for (let j = 0; j < h; j++) {
            const a = x[j];
            x[j] = a + x[j + h];
            x[j + h] = a - x[j + h];
        }
    }
}
/**
 * Random dense directions: vectors of independent signs ± 1/√d, made in blocks H·diag(signs), so that a row meets a
 * whole block at the price of one fast transform. Each direction by itself is uniform over all sign vectors.
 */
function randomDirections(d, count, rng) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(2, d)));
    const blocks = Math.ceil(count / size);
    const signs = Array.from({ length: blocks }, () => Float32Array.from({ length: d }, () => (rng.uniform() < 0.5 ? -1 : 1) / Math.sqrt(d)));
    return {
        size,
        blocks,
        count,
        /** The products of the row at x[at …] with the directions of a block, into out[0 … size). */
        project(block, x, at, out) {
            const s = signs[block];
            for (let i = 0; i < d; i++)
                out[i] = x[at + i] * s[i];
            out.fill(0, d);
            walshHadamard(out);
        },
        direction(index) {
            const s = signs[Math.floor(index / size)];
            const unit = new Float32Array(size);
            unit[index % size] = 1;
            walshHadamard(unit);
            return s.map((sign, i) => sign * unit[i]);
        },
    };
}
/**
 * Logistic regression, one output a label, on dense standardised columns: Adam over shuffled batches, step falling to 0,
 * with a little L2.
 * @param x [any, d] @param rows which of them to learn from, [n] @param mask labels of each of these
 * @returns score of any vectors, [vectors] for a label
 */
function* logisticProbe(x, d, rows, mask, labels, rng) {
    const n = rows.length;
    const mean = new Float64Array(d);
    const inverse = new Float64Array(d);
    for (let r = 0; r < n; r++) {
        if (r % 1024 === 1023)
            yield;
        for (let i = 0; i < d; i++)
            mean[i] += x[rows[r] * d + i] / n;
    }
    for (let r = 0; r < n; r++) {
        if (r % 1024 === 1023)
            yield;
        for (let i = 0; i < d; i++)
            inverse[i] += (x[rows[r] * d + i] - mean[i]) ** 2 / n;
    }
    for (let i = 0; i < d; i++)
        inverse[i] = inverse[i] > 0 ? 1 / Math.sqrt(inverse[i]) : 0;
    const width = d + 1; // the last one is the bias
    const w = new Float64Array(labels * width);
    const [g, m, v] = [new Float64Array(w.length), new Float64Array(w.length), new Float64Array(w.length)];
    const batch = 64;
    const L2 = 1e-3;
    const steps = Math.max(1500, Math.min(4000, Math.ceil((12 * n) / batch)));
    let order = (0, random_1.permutation)(n, rng);
    const row = new Float64Array(width).fill(1);
    for (let step = 0, at = n; step < steps; step++) {
        if (step % 8 === 7)
            yield;
        g.fill(0);
        for (let b = 0; b < batch; b++, at++) {
            if (at >= n) {
                order = (0, random_1.permutation)(n, rng);
                at = 0;
            }
            const r = order[at];
            for (let i = 0; i < d; i++)
                row[i] = (x[rows[r] * d + i] - mean[i]) * inverse[i];
            for (let l = 0; l < labels; l++) {
                let z = 0;
                for (let i = 0; i < width; i++)
                    z += w[l * width + i] * row[i];
                const error = (1 / (1 + Math.exp(-z)) - ((mask[r] >> l) & 1)) / batch;
                for (let i = 0; i < width; i++)
                    g[l * width + i] += error * row[i];
            }
        }
        const rate = 0.02 * (1 - step / steps) * (Math.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1)));
        for (let i = 0; i < w.length; i++) {
            const gradient = g[i] + (i % width === d ? 0 : L2 * w[i]);
            m[i] = 0.9 * m[i] + 0.1 * gradient;
            v[i] = 0.999 * v[i] + 0.001 * gradient * gradient;
            w[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + 1e-8);
        }
    }
    return (vectors, label) => Float32Array.from({ length: vectors.length / d }, (_, r) => {
        let z = w[label * width + d];
        for (let i = 0; i < d; i++)
            z += w[label * width + i] * (vectors[r * d + i] - mean[i]) * inverse[i];
        return z;
    });
}
/** Words of a text, in lower case: what a reader would look for. */
const wordsOf = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’][\p{L}]+)?|[^\s\p{L}\p{N}]/gu) ?? [];
exports.wordsOf = wordsOf;
/**
 * Logistic regression on the presence of words and pairs of neighbouring words, one output a label: what the text alone
 * gives. Stochastic gradient steps scaled by each weight's own history (AdaGrad), ten times over the training sentences.
 */
function* textModel(texts, mask, labels, rng) {
    const grams = (text) => {
        const words = (0, exports.wordsOf)(text);
        return [...new Set([...words, ...words.slice(1).map((word, i) => `${words[i]} ${word}`)])];
    };
    const times = new Map();
    for (const [i, text] of texts.entries()) {
        if (i % 256 === 255)
            yield;
        for (const gram of grams(text))
            times.set(gram, (times.get(gram) ?? 0) + 1);
    }
    const number = new Map();
    for (const [gram, count] of times)
        if (count >= 3)
            number.set(gram, number.size);
    const encode = (text) => grams(text).flatMap((gram) => number.get(gram) ?? []);
    const items = [];
    for (const [i, text] of texts.entries()) {
        if (i % 256 === 255)
            yield;
        items.push(Int32Array.from(encode(text)));
    }
    const w = new Float32Array((number.size + 1) * labels);
    const history = new Float32Array(w.length).fill(1e-6);
    const bias = number.size * labels;
    const scores = (item) => {
        const z = Float64Array.from({ length: labels }, (_, l) => w[bias + l]);
        for (let i = 0; i < item.length; i++)
            for (let l = 0; l < labels; l++)
                z[l] += w[item[i] * labels + l];
        return z;
    };
    for (let epoch = 0; epoch < 10; epoch++) {
        for (const [i, s] of (0, random_1.permutation)(items.length, rng).entries()) {
            if (i % 256 === 255)
                yield;
            const z = scores(items[s]);
            for (let l = 0; l < labels; l++) {
                const error = 1 / (1 + Math.exp(-z[l])) - ((mask[s] >> l) & 1);
                if (Math.abs(error) < 1e-3)
                    continue;
                for (let i = -1; i < items[s].length; i++) {
                    const at = (i < 0 ? bias : items[s][i] * labels) + l;
                    const gradient = error + 1e-5 * w[at];
                    history[at] += gradient * gradient;
                    w[at] -= (0.1 * gradient) / Math.sqrt(history[at]);
                }
            }
        }
    }
    return (text) => scores(encode(text));
}
/** Mean of the positives minus mean of the others. */
function classDifference(means, d, of, positive) {
    const sums = [new Float64Array(d), new Float64Array(d)];
    const counts = [0, 0];
    of.forEach((s, u) => {
        counts[positive[u]]++;
        for (let i = 0; i < d; i++)
            sums[positive[u]][i] += means[s * d + i];
    });
    return Float32Array.from({ length: d }, (_, i) => sums[1][i] / Math.max(1, counts[1]) - sums[0][i] / Math.max(1, counts[0]));
}
/**
 * For each label the token (by its id) or word whose presence, or whose absence, tells it best.
 * @param texts of all sentences @param tokenIds of all documents
 * @param of the sentences to choose by, in the order of `ranks`
 * @returns for each label that sign, how many were searched, and 1 or 0 of every sentence
 */
function* bestKeywords(sentences, texts, tokenIds, of, ranks) {
    const labels = sentences.labels.length;
    const tokensIn = texts.map(() => new Set());
    sentences.ofToken.forEach((ofToken, document) => ofToken.forEach((s, t) => s >= 0 && tokensIn[s].add(tokenIds[document][t])));
    const wordsIn = [];
    for (const [s, text] of texts.entries()) {
        if (s % 256 === 255)
            yield;
        wordsIn.push(new Set((0, exports.wordsOf)(text)));
    }
    const present = new Map();
    for (const [u, s] of of.entries()) {
        if (u % 256 === 255)
            yield;
        for (const key of [...tokensIn[s], ...wordsIn[s]]) {
            if (!present.has(key))
                present.set(key, new Float64Array(ranks.classes));
            present.get(key)[ranks.classOf[u]]++;
        }
    }
    yield;
    const best = Array.from({ length: labels }, () => ({ auroc: -1, key: "", absent: false }));
    const found = new Float64Array(labels);
    for (const [key, counts] of present) {
        ranks.presence(counts, found);
        for (let l = 0; l < labels; l++) {
            const absent = found[l] < 0.5;
            const reached = absent ? 1 - found[l] : found[l];
            if (reached > best[l].auroc)
                best[l] = { auroc: reached, key, absent };
        }
    }
    return best.map(({ key, absent }) => ({
        key,
        absent,
        searched: 2 * present.size,
        scores: Float32Array.from(texts, (_, s) => (typeof key === "number" ? tokensIn[s].has(key) : wordsIn[s].has(key)) !== absent ? 1 : 0),
    }));
}
//# sourceMappingURL=controls.js.map