"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.SHUFFLE_BYTES = exports.sampleRows = exports.rowCount = void 0;
exports.chunks = chunks;
exports.requireFinite = requireFinite;
exports.rowsAt = rowsAt;
exports.shuffled = shuffled;
const errors_1 = require("../core/errors");
const random_1 = require("../core/random");
/** Rows of a store, in order for measuring and in random order for training. Ranges are those of `rowsOf`. */
const rowCount = (ranges) => ranges.reduce((sum, { from, to }) => sum + to - from, 0);
exports.rowCount = rowCount;
/** The first `total` rows of the ranges in pieces of `size` rows, [≤ size, d] each; short ranges are joined. */
function* chunks(store, hook, ranges, size, total = (0, exports.rowCount)(ranges)) {
    const d = store.width(hook);
    let out = new Float32Array(Math.min(size, total) * d), filled = 0, left = total;
    for (const { from, to } of ranges) {
        for (let at = from; at < to && left > 0;) {
            const n = Math.min(to - at, out.length / d - filled);
            out.set(store.read(hook, at, at + n), filled * d);
            at += n;
            filled += n;
            left -= n;
            if (filled * d < out.length)
                continue;
            yield out;
            out = new Float32Array(Math.min(size, left) * d);
            filled = 0;
        }
    }
}
/** @throws StoreError when a number among rows that were read is NaN or infinity */
function requireFinite(rows, store, hook) {
    for (let i = 0; i < rows.length; i++) {
        if (Number.isFinite(rows[i]))
            continue;
        throw new errors_1.StoreError(`${store.path}: ${hook}: expected finite activations, found ${rows[i]} in a row. ` +
            "Harvest again; if it stays, the model overflows at this hook.");
    }
}
/** Rows at these places of the ranges (ascending, counted over all ranges), [places, d]. */
function rowsAt(store, hook, ranges, places) {
    const d = store.width(hook);
    const out = new Float32Array(places.length * d);
    let range = 0, before = 0; // rows of the ranges that came before
    for (let i = 0; i < places.length;) {
        while (places[i] >= before + ranges[range].to - ranges[range].from)
            before += ranges[range].to - ranges[range++].from;
        const from = ranges[range].from + places[i] - before;
        let n = 1; // neighbours are read together
        while (i + n < places.length && places[i + n] === places[i] + n && from + n < ranges[range].to)
            n++;
        out.set(store.read(hook, from, from + n), i * d);
        i += n;
    }
    return out;
}
/** `count` rows drawn without repetition, in the store's order; all when there are not more. */
const sampleRows = (store, hook, ranges, count, rng) => rowsAt(store, hook, ranges, (0, random_1.sample)((0, exports.rowCount)(ranges), count, rng));
exports.sampleRows = sampleRows;
/**
 * What of the rows is held in memory while they are shuffled. Fixed, as the order depends on it: the same seed must give
 * the same order anywhere.
 */
exports.SHUFFLE_BYTES = 2 ** 31;
const BLOCK = 256; // neighbouring rows read at once: some documents, some hundred kilobytes
/**
 * Endless rows in random order, pass after pass.
 * @throws StoreError from `next` when a row holds NaN or infinity
 */
function shuffled(store, hook, ranges, scale, rng, bytes = exports.SHUFFLE_BYTES) {
    const d = store.width(hook);
    const total = (0, exports.rowCount)(ranges);
    const scaled = (rows) => {
        for (let i = 0; i < rows.length; i++)
            rows[i] *= scale;
        requireFinite(rows, store, hook);
        return rows;
    };
    if (total * d * 4 <= bytes) {
        const all = new Float32Array(total * d);
        let at = 0;
        for (const rows of chunks(store, hook, ranges, Math.max(1, Math.floor(2 ** 22 / d)))) {
            all.set(scaled(rows), at);
            at += rows.length;
        }
        let order = (0, random_1.permutation)(total, rng), next = 0;
        return {
            kind: "memory",
            next(batch) {
                for (let to = 0; to < batch.length; to += d) {
                    if (next === total) {
                        order = (0, random_1.permutation)(total, rng);
                        next = 0;
                    }
                    const from = order[next++] * d;
                    batch.set(all.subarray(from, from + d), to);
                }
            },
        };
    }
    const starts = [];
    for (const { from, to } of ranges)
        for (let at = from; at < to; at += BLOCK)
            starts.push({ from: at, to: Math.min(to, at + BLOCK) });
    const capacity = Math.max(BLOCK, Math.floor(bytes / (4 * d)));
    const pool = new Float32Array(capacity * d);
    let held = 0, order = (0, random_1.permutation)(starts.length, rng), next = 0;
    const fill = () => {
        while (held + BLOCK <= capacity) {
            if (next === order.length) {
                order = (0, random_1.permutation)(starts.length, rng);
                next = 0;
            }
            const { from, to } = starts[order[next++]];
            pool.set(scaled(store.read(hook, from, to)), held * d);
            held += to - from;
        }
    };
    return {
        kind: "blocks",
        next(batch) {
            for (let to = 0; to < batch.length; to += d) {
                fill();
                const from = rng.below(held) * d;
                batch.set(pool.subarray(from, from + d), to);
                held--;
                pool.copyWithin(from, held * d, (held + 1) * d);
            }
        },
    };
}
//# sourceMappingURL=rows.js.map