"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.TRIGGERS = exports.GROUPS = exports.binEdge = exports.BINS = void 0;
exports.latentStatistics = latentStatistics;
exports.histogramOf = histogramOf;
exports.latentBlocks = latentBlocks;
exports.firingsOf = firingsOf;
exports.bySize = bySize;
exports.choose = choose;
exports.contextOf = contextOf;
exports.blockExamples = blockExamples;
exports.joinExamples = joinExamples;
exports.tokenSpread = tokenSpread;
const pieces_1 = require("./pieces");
const random_1 = require("./random");
/**
 * Sparse codes of a corpus → what each latent fires on.
 *
 *   rows -encode-> codes [n, k] -statistics-> density, mean, maximum, histogram of each latent
 *   codes -invert-> firings of each latent, in row order -choose-> top, quantile and random examples with their contexts
 *
 * The codes are turned over in blocks of latents, so that memory is bounded by the block and by latents × examples.
 */
/** Bins of an activation histogram: four to an octave, 2^-16 … 2^16; what lies outside falls into the first or last one. */
exports.BINS = 128;
const OCTAVES_BELOW_ONE = 16;
/** Lower edge of a bin: 2^⌊b/4 − 16⌋ · (1 + (b mod 4)/4). `binEdge(BINS)` is the end of the last one. */
const binEdge = (bin) => 2 ** (Math.floor(bin / 4) - OCTAVES_BELOW_ONE) * (1 + (bin % 4) / 4);
exports.binEdge = binEdge;
/** Counts chunk after chunk of codes. A value of 0 or less is no firing, whatever its index. */
function latentStatistics(latents) {
    const fired = new Int32Array(latents);
    const sum = new Float64Array(latents);
    const max = new Float32Array(latents);
    const histogram = new Int32Array(latents * exports.BINS);
    let rows = 0;
    return {
        add({ n, k, index, value }) {
            const bits = new Int32Array(value.buffer, value.byteOffset, value.length);
            const lowest = (127 - OCTAVES_BELOW_ONE) << 2; // exponent and two bits of the fraction of 2^-16
            for (let i = 0; i < n * k; i++) {
                const v = value[i];
                if (!(v > 0))
                    continue;
                const f = index[i];
                fired[f]++;
                sum[f] += v;
                if (v > max[f])
                    max[f] = v;
                const bin = (bits[i] >> 21) - lowest;
                histogram[f * exports.BINS + (bin < 0 ? 0 : bin >= exports.BINS ? exports.BINS - 1 : bin)]++;
            }
            rows += n;
        },
        finish() {
            return {
                rows,
                latents,
                fired,
                mean: Float32Array.from(sum, (s, f) => (fired[f] ? s / fired[f] : 0)),
                max,
                histogram,
            };
        },
    };
}
/** The bins that hold something, as `Feature.histogram`; empty for a latent that never fires. */
function histogramOf(counts) {
    let from = 0;
    let to = counts.length;
    while (from < to && !counts[from])
        from++;
    while (to > from && !counts[to - 1])
        to--;
    if (from === to)
        return { edges: [], counts: [] };
    return {
        edges: Array.from({ length: to - from + 1 }, (_, b) => (0, exports.binEdge)(from + b)),
        counts: [...counts.subarray(from, to)],
    };
}
const ENTRIES = 1 << 23; // firings held at once: 64 MB
/** Ranges of latents whose firings fit into memory together. A latent that alone exceeds the bound has a range of its own. */
function latentBlocks(fired, entries = ENTRIES) {
    const blocks = [];
    let from = 0;
    let held = 0;
    fired.forEach((count, f) => {
        if (f > from && held + count > entries) {
            blocks.push({ from, to: f });
            from = f;
            held = 0;
        }
        held += count;
    });
    if (from < fired.length)
        blocks.push({ from, to: fired.length });
    return blocks;
}
/**
 * Room for the firings of latents `from` … `to`, filled by adding all chunks of codes in row order.
 * @param fired of every latent, over the same codes
 */
function firingsOf(fired, from, to) {
    const offset = new Int32Array(to - from + 1);
    for (let f = from; f < to; f++)
        offset[f - from + 1] = offset[f - from] + fired[f];
    const row = new Int32Array(offset[to - from]);
    const value = new Float32Array(row.length);
    const next = offset.slice(0, -1);
    return {
        firings: { from, to, offset, row, value },
        add(firstRow, codes) {
            const { n, k } = codes;
            for (let r = 0, i = 0; r < n; r++) {
                for (let j = 0; j < k; j++, i++) {
                    const f = codes.index[i];
                    if (f < from || f >= to || !(codes.value[i] > 0))
                        continue;
                    const at = next[f - from]++;
                    row[at] = firstRow + r;
                    value[at] = codes.value[i];
                }
            }
        },
    };
}
/** Groups of examples, in the order in which they are numbered and stored. */
exports.GROUPS = ["top", "75–100 %", "50–75 %", "25–50 %", "0–25 %", "random"];
const DUPLICATE_REACH = 5; // contexts that agree from 5 tokens before the peak to 5 after it are near-duplicates
/**
 * Entries from `a` to `b` that are peaks: the largest firing among those no further than `reach` rows apart, in one
 * document. Found in one walk: a firing within reach of the peak at hand replaces it if larger, is passed over if not.
 */
function peaksOf({ row, value }, a, b, document, reach) {
    const isPeak = new Uint8Array(b - a);
    let peak = a;
    for (let i = a + 1; i < b; i++) {
        if (row[i] - row[peak] > reach || document[row[i]] !== document[row[peak]])
            isPeak[peak - a] = 1;
        else if (value[i] <= value[peak])
            continue;
        peak = i;
    }
    if (b > a)
        isPeak[peak - a] = 1;
    return isPeak;
}
const PIECE = 1 << 17; // firings looked at between two yields
const DIGITS = 11;
const RADIX = 1 << DIGITS;
/**
 * Entries of each latent by value, larger first, then by row: those of latent f at offset[f − from] … offset[f − from +
 * 1]. Radix sort, three digits of 11 bits from the lowest on: the bits of a positive float32 sort as it does, and each
 * pass keeps the order of equals.
 */
function* bySize({ offset, value }) {
    const bits = new Int32Array(value.buffer, value.byteOffset, value.length);
    const longest = offset.reduce((most, end, i) => (i ? Math.max(most, end - offset[i - 1]) : most), 0);
    const order = new Int32Array(value.length);
    const other = new Int32Array(longest);
    const counts = new Int32Array(3 * RADIX);
    let held = 0; // firings sorted since the last yield
    for (let f = 0; f + 1 < offset.length; f++) {
        const [a, b] = [offset[f], offset[f + 1]];
        if ((held += b - a) > PIECE) {
            yield;
            held = 0;
        }
        const mine = order.subarray(a, b);
        for (let i = a; i < b; i++)
            order[i] = i;
        if (b - a < 256) {
            mine.sort((i, j) => bits[j] - bits[i] || i - j);
            continue;
        }
        counts.fill(0);
        for (let i = a; i < b; i++) {
            const key = 0x7fffffff - bits[i];
            counts[key & (RADIX - 1)]++;
            counts[RADIX + ((key >>> DIGITS) & (RADIX - 1))]++;
            counts[2 * RADIX + (key >>> (2 * DIGITS))]++;
        }
        let from = mine;
        let to = other.subarray(0, b - a);
        for (let digit = 0; digit < 3; digit++) {
            for (let c = digit * RADIX, at = 0; c < (digit + 1) * RADIX; c++) {
                const here = counts[c];
                counts[c] = at;
                at += here;
            }
            for (let i = 0; i < from.length; i++) {
                const key = 0x7fffffff - bits[from[i]];
                to[counts[digit * RADIX + ((key >>> (digit * DIGITS)) & (RADIX - 1))]++] = from[i];
            }
            [from, to] = [to, from];
        }
        mine.set(from);
    }
    return order;
}
/**
 * Which firings of a latent to show: the strongest peaks, near-duplicates folded into the first of them (`count` counts
 * those at least as strong as the last example kept); then, at random, some firings of each quarter of its activations,
 * strongest quarter first, and some of all. Ties: larger value first, then the earlier row.
 * @param order entries by size, as {@link bySize} gives them
 */
function choose(firings, latent, origin, options, order = (0, pieces_1.atOnce)(bySize(firings))) {
    const a = firings.offset[latent - firings.from];
    const b = firings.offset[latent - firings.from + 1];
    if (a === b)
        return [];
    const { document, token } = origin;
    const isPeak = peaksOf(firings, a, b, document, options.context);
    const sorted = order.subarray(a, b);
    const chosen = [];
    const taken = new Set();
    const folded = new Map();
    for (const entry of sorted) {
        if (chosen.length === options.examples)
            break;
        if (!isPeak[entry - a])
            continue;
        const row = firings.row[entry];
        let from = row;
        let to = row + 1;
        while (from > 0 && row - from < DUPLICATE_REACH && document[from - 1] === document[row])
            from--;
        while (to < document.length && to - row <= DUPLICATE_REACH && document[to] === document[row])
            to++;
        const key = `${row - from}:${token.subarray(from, to).join()}`;
        const same = folded.get(key);
        if (same) {
            same.count++;
            continue;
        }
        const choice = { group: 0, entry, count: 1 };
        folded.set(key, choice);
        taken.add(entry);
        chosen.push(choice);
    }
    const { below } = (0, random_1.random)(options.seed, latent); // a stream a latent: the same draw whatever the blocks
    const draw = (group, from, to, wanted) => {
        const drawn = []; // places among the sorted ones
        for (let tries = 0; drawn.length < wanted && tries < 4 * wanted && from < to; tries++) {
            const at = from + below(to - from);
            if (taken.has(sorted[at]))
                continue;
            taken.add(sorted[at]);
            drawn.push(at);
        }
        for (const at of drawn.sort((i, j) => i - j))
            chosen.push({ group, entry: sorted[at], count: 1 });
    };
    const n = b - a;
    for (let q = 0; q < 4; q++)
        draw(1 + q, Math.floor((n * q) / 4), Math.floor((n * (q + 1)) / 4), options.perQuantile);
    draw(5, 0, n, options.random);
    return chosen;
}
/**
 * The context of a firing: up to `context` tokens on either side, with the latent's activation at each. Tokens whose
 * rows were dropped from the store carry 0.
 * @param documentTokens all token ids of the firing's document
 */
function contextOf(firings, latent, choice, origin, documentTokens, context) {
    const a = firings.offset[latent - firings.from];
    const b = firings.offset[latent - firings.from + 1];
    const row = firings.row[choice.entry];
    const document = origin.document[row];
    const at = origin.position[row];
    const from = Math.max(0, at - context);
    const to = Math.min(documentTokens.length, at + context + 1);
    const values = new Float32Array(to - from);
    const put = (entry) => {
        const r = firings.row[entry];
        const position = origin.position[r];
        if (origin.document[r] !== document || position < from || position >= to)
            return false;
        values[position - from] = firings.value[entry];
        return true;
    };
    for (let i = choice.entry; i >= a && put(i); i--)
        ;
    for (let i = choice.entry + 1; i < b && put(i); i++)
        ;
    return {
        tokens: documentTokens.slice(from, to),
        values,
        peak: at - from,
        document,
        position: from,
        count: choice.count,
        goesOn: to < documentTokens.length,
    };
}
/** Examples of all latents of a block; each document's tokens are asked for once. */
function* blockExamples(firings, origin, tokensOf, options, order = (0, pieces_1.atOnce)(bySize(firings))) {
    const offset = new Int32Array(firings.to - firings.from + 1);
    const choices = [];
    let looked = 0;
    for (let f = firings.from; f < firings.to; f++) {
        const i = f - firings.from;
        if ((looked += 1024 + firings.offset[i + 1] - firings.offset[i]) > PIECE) {
            yield;
            looked = 0;
        }
        for (const choice of choose(firings, f, origin, options, order))
            choices.push({ latent: f, choice });
        offset[f - firings.from + 1] = choices.length;
    }
    const documentOf = choices.map(({ choice }) => origin.document[firings.row[choice.entry]]);
    const examples = new Array(choices.length);
    let held = -1;
    let tokens = new Int32Array(0);
    const byDocument = Int32Array.from(choices.keys()).sort((i, j) => documentOf[i] - documentOf[j] || i - j);
    for (const [at, e] of byDocument.entries()) {
        if (at % 1024 === 1023)
            yield;
        if (documentOf[e] !== held)
            tokens = Int32Array.from(tokensOf((held = documentOf[e])));
        examples[e] = contextOf(firings, choices[e].latent, choices[e].choice, origin, tokens, options.context);
    }
    const start = new Int32Array(examples.length + 1);
    examples.forEach((example, e) => (start[e + 1] = start[e] + example.tokens.length));
    const out = {
        offset,
        start,
        group: Int32Array.from(choices, ({ choice }) => choice.group),
        count: Int32Array.from(choices, ({ choice }) => choice.count),
        document: Int32Array.from(documentOf),
        position: Int32Array.from(examples, ({ position }) => position),
        peak: Int32Array.from(examples, ({ peak }) => peak),
        goesOn: Int32Array.from(examples, ({ goesOn }) => Number(goesOn)),
        tokens: new Int32Array(start[examples.length]),
        values: new Float32Array(start[examples.length]),
    };
    examples.forEach((example, e) => {
        out.tokens.set(example.tokens, start[e]);
        out.values.set(example.values, start[e]);
    });
    return out;
}
/** Blocks one after the other as one. */
function joinExamples(blocks) {
    const join = (parts, into) => {
        const all = new into(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
            all.set(part, at);
            at += part.length;
        }
        return all;
    };
    const ints = (key) => join(blocks.map((block) => block[key]), Int32Array);
    const offsets = (key) => {
        let base = 0;
        return join([
            new Int32Array(1),
            ...blocks.map((block) => {
                const shifted = block[key].subarray(1).map((at) => at + base);
                base += block[key].at(-1);
                return shifted;
            }),
        ], Int32Array);
    };
    return {
        offset: offsets("offset"),
        start: offsets("start"),
        group: ints("group"),
        count: ints("count"),
        document: ints("document"),
        position: ints("position"),
        peak: ints("peak"),
        goesOn: ints("goesOn"),
        tokens: ints("tokens"),
        values: join(blocks.map(({ values }) => values), Float32Array),
    };
}
exports.TRIGGERS = 5;
const STRONGEST = 100;
/** @param vocabulary one more than the largest token id */
function* tokenSpread(firings, token, vocabulary, order = (0, pieces_1.atOnce)(bySize(firings))) {
    const latents = firings.to - firings.from;
    const out = {
        entropy: new Float32Array(latents),
        distinct: new Int32Array(latents),
        token: new Int32Array(latents * exports.TRIGGERS).fill(-1),
        tokenMean: new Float32Array(latents * exports.TRIGGERS),
    };
    const mass = new Float64Array(vocabulary);
    const times = new Int32Array(vocabulary);
    let looked = 0;
    for (let f = 0; f < latents; f++) {
        const a = firings.offset[f];
        const b = firings.offset[f + 1];
        if ((looked += b - a) > PIECE) {
            yield;
            looked = 0;
        }
        if (a === b)
            continue;
        const seen = [];
        let total = 0;
        for (let i = a; i < b; i++) {
            const id = token[firings.row[i]];
            if (!times[id]++)
                seen.push(id);
            mass[id] += firings.value[i];
            total += firings.value[i];
        }
        const enough = Math.max(3, (b - a) / 100);
        const ranked = seen
            .filter((id) => times[id] >= enough)
            .sort((x, y) => mass[y] / times[y] - mass[x] / times[x] || x - y)
            .slice(0, exports.TRIGGERS);
        ranked.forEach((id, i) => {
            out.token[f * exports.TRIGGERS + i] = id;
            out.tokenMean[f * exports.TRIGGERS + i] = mass[id] / times[id];
        });
        for (const id of seen) {
            out.entropy[f] -= (mass[id] / total) * Math.log2(mass[id] / total);
            mass[id] = times[id] = 0;
        }
        out.entropy[f] = Math.max(0, out.entropy[f]);
        out.distinct[f] = new Set(order.subarray(a, Math.min(b, a + STRONGEST)).map((entry) => token[firings.row[entry]])).size;
    }
    return out;
}
//# sourceMappingURL=collect.js.map