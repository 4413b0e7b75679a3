"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.randomNumbers = randomNumbers;
exports.draw = draw;
/**
 * A stream of numbers in [0, 1) that depends on seed and stream alone: Mulberry32, its state mixed from both.
 * Statistically plain, which is enough to draw tokens. @see https://github.com/bryc/code (PRNGs: mulberry32)
 */
function randomNumbers(seed, stream) {
    let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(stream + 1, 0xc2b2ae35)) >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let x = Math.imul(state ^ (state >>> 15), state | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
    };
}
/**
 * Draws a token: softmax(logits / temperature), summed in float64; the largest (first of equals) at temperature 0. Of the most likely
 * `topK`, as many as it takes to reach the probability `topP`, at least one: first the one cut, then the other, as transformers does.
 * @param logits [V]
 * @see Holtzman et al., "The Curious Case of Neural Text Degeneration", arXiv 1904.09751: topP
 */
function draw(logits, { temperature, topK, topP }, random) {
    let best = 0;
    for (let i = 1; i < logits.length; i++)
        if (logits[i] > logits[best])
            best = i;
    if (temperature === 0)
        return best;
    const top = logits[best];
    const weight = (i) => Math.exp((logits[i] - top) / temperature);
    let chosen; // undefined: all, in their own order
    if ((topK && topK < logits.length) || topP < 1) {
        const order = Uint32Array.from(logits.keys()).sort((x, y) => logits[y] - logits[x] || x - y).subarray(0, topK || logits.length);
        const total = order.reduce((sum, i) => sum + weight(i), 0);
        let reached = 0;
        let count = 0;
        while (count < order.length && (count === 0 || reached < topP * total))
            reached += weight(order[count++]);
        chosen = order.subarray(0, count);
    }
    const n = chosen?.length ?? logits.length;
    const at = (j) => (chosen ? chosen[j] : j);
    let sum = 0;
    for (let j = 0; j < n; j++)
        sum += weight(at(j));
    let left = random() * sum;
    for (let j = 0; j < n; j++) {
        left -= weight(at(j));
        if (left < 0)
            return at(j);
    }
    return best; // rounding left a sliver above the last
}
//# sourceMappingURL=sample.js.map