"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const batches_1 = require("../../src/core/batches");
const norms_1 = require("../../src/core/norms");
const split_1 = require("../../src/core/split");
const utf8_1 = require("../../src/core/utf8");
/** Repeatable numbers in [0, 1): xorshift32. */
const random = (seed) => () => {
    seed ^= seed << 13;
    seed ^= seed >>> 17;
    seed ^= seed << 5;
    return (seed >>> 0) / 2 ** 32;
};
(0, node_test_1.test)("documents are cut into consecutive contexts and never joined", () => {
    strict_1.default.deepEqual((0, batches_1.cutContexts)([3, 0, 10, 4], 4), [
        { document: 0, from: 0, length: 3, lead: 0 },
        { document: 2, from: 0, length: 4, lead: 0 }, { document: 2, from: 4, length: 4, lead: 0 }, { document: 2, from: 8, length: 2, lead: 0 },
        { document: 3, from: 0, length: 4, lead: 0 },
    ]);
});
(0, node_test_1.test)("first tokens that stand before later contexts too count towards context and batch, and are no tokens of a shard", () => {
    const contexts = (0, batches_1.cutContexts)([9], 4, 1);
    strict_1.default.deepEqual(contexts.map(({ from, length, lead }) => [from, length, lead]), [[0, 4, 0], [4, 3, 1], [7, 2, 1]]);
    const [shard, ...none] = (0, batches_1.planShards)(contexts, 100);
    strict_1.default.deepEqual([shard, none], [{ first: 0, end: 3, tokens: 9 }, []]);
    strict_1.default.deepEqual((0, batches_1.planBatches)(contexts, shard, 8), [[0, 1], [2]]);
    strict_1.default.deepEqual((0, batches_1.planBatches)(contexts, shard, 7), [[0], [1], [2]]);
    strict_1.default.equal((0, batches_1.padding)(contexts, [[0, 1], [2]]), 0);
    strict_1.default.ok(Math.abs((0, batches_1.padding)(contexts, [[0, 2]]) - 1 / 8) < 1e-12);
    strict_1.default.throws(() => (0, batches_1.cutContexts)([9], 2, 2), /more than the 2 tokens/);
});
(0, node_test_1.test)("shards hold consecutive contexts up to their size; batches hold each context once, longest first, within the budget", () => {
    const next = random(7);
    const lengths = Array.from({ length: 500 }, () => 1 + Math.floor(next() * 300));
    const contexts = (0, batches_1.cutContexts)(lengths, 128);
    const shards = (0, batches_1.planShards)(contexts, 1000);
    strict_1.default.equal(shards[0].first, 0);
    strict_1.default.equal(shards.at(-1).end, contexts.length);
    shards.forEach((shard, i) => {
        if (i)
            strict_1.default.equal(shard.first, shards[i - 1].end);
        const tokens = contexts.slice(shard.first, shard.end).reduce((sum, { length }) => sum + length, 0);
        strict_1.default.equal(shard.tokens, tokens);
        strict_1.default.ok(tokens <= 1000);
        if (shards[i + 1])
            strict_1.default.ok(tokens + contexts[shard.end].length > 1000, "a shard is filled before the next begins");
        const batches = (0, batches_1.planBatches)(contexts, shard, 512);
        strict_1.default.deepEqual(batches.flat().sort((a, b) => a - b), Array.from({ length: shard.end - shard.first }, (_, j) => shard.first + j));
        let longest = Infinity;
        for (const batch of batches) {
            strict_1.default.ok(batch.length * contexts[batch[0]].length <= 512);
            for (const j of batch) {
                strict_1.default.ok(contexts[j].length <= longest);
                longest = contexts[j].length;
            }
        }
    });
});
(0, node_test_1.test)("a context longer than the budget of a shard or a batch stands alone", () => {
    const contexts = (0, batches_1.cutContexts)([50, 5, 5], 100);
    strict_1.default.deepEqual((0, batches_1.planShards)(contexts, 10), [{ first: 0, end: 1, tokens: 50 }, { first: 1, end: 3, tokens: 10 }]);
    strict_1.default.deepEqual((0, batches_1.planBatches)(contexts, { first: 0, end: 3, tokens: 60 }, 10), [[0], [1, 2]]);
});
(0, node_test_1.test)("sorting by length leaves little padding", () => {
    const next = random(3);
    const contexts = (0, batches_1.cutContexts)(Array.from({ length: 2000 }, () => 20 + Math.floor(next() * 400)), 512);
    const whole = { first: 0, end: contexts.length, tokens: 0 };
    const sorted = (0, batches_1.padding)(contexts, (0, batches_1.planBatches)(contexts, whole, 4096));
    const unsorted = (0, batches_1.padding)(contexts.map((c) => ({ ...c })), contexts.reduce((batches, _, i) => {
        if (i % 16 === 0)
            batches.push([]);
        batches.at(-1).push(i);
        return batches;
    }, []).map((batch) => batch.sort((a, b) => contexts[b].length - contexts[a].length)));
    strict_1.default.ok(sorted < 0.02 && unsorted > 0.3, `padding sorted ${sorted}, as they come ${unsorted}`);
});
(0, node_test_1.test)("norms are lengths; the first row that is not finite is named", () => {
    const out = new Float64Array(3);
    strict_1.default.equal((0, norms_1.rowNorms)(Float32Array.of(3, 4, 0, 0, 1e30, 1e30), 2, out), -1);
    strict_1.default.deepEqual([...out.subarray(0, 2)], [5, 0]);
    strict_1.default.ok(Math.abs(out[2] / (Math.fround(1e30) * Math.SQRT2) - 1) < 1e-15);
    strict_1.default.equal((0, norms_1.rowNorms)(Float32Array.of(1, 1, 1, NaN, Infinity, 1), 2, out), 1);
    strict_1.default.equal((0, norms_1.rowNorms)(Float32Array.of(1, 1, 1, -Infinity), 2, out), 1);
});
(0, node_test_1.test)("median is the middle value, by number and not by name", () => {
    strict_1.default.equal((0, norms_1.median)(Float64Array.of(10, 9, 100)), 10);
    strict_1.default.equal((0, norms_1.median)(Float64Array.of(4, 1, 3, 2)), 2.5);
    strict_1.default.throws(() => (0, norms_1.median)(new Float64Array(0)), RangeError);
});
(0, node_test_1.test)("every tenth document without a side is held out; a named side stands", () => {
    const none = (n) => Array.from({ length: n }, () => ({}));
    strict_1.default.deepEqual((0, split_1.splitDocuments)(none(21)).flatMap((side, i) => (side === "heldout" ? [i] : [])), [9, 19]);
    strict_1.default.deepEqual((0, split_1.splitDocuments)(none(3)), ["train", "train", "heldout"]);
    strict_1.default.deepEqual((0, split_1.splitDocuments)(none(1)), ["train"]);
    strict_1.default.deepEqual((0, split_1.splitDocuments)([{ split: "heldout" }, { split: "train" }]), ["heldout", "train"]);
    strict_1.default.deepEqual((0, split_1.splitDocuments)([{ split: "heldout" }, {}, { split: "train" }]), ["heldout", "train", "train"]);
});
(0, node_test_1.test)("row ranges of a side join neighbours, pass over documents without rows and cover everything once", () => {
    const documents = ["train", "heldout", "train", "train", "heldout", "train"].map((split) => ({ split }));
    const rows = Int32Array.of(0, 4, 4, 6, 9, 12, 12);
    strict_1.default.deepEqual((0, split_1.splitRanges)(documents, rows, "train"), [{ from: 0, to: 9 }]);
    strict_1.default.deepEqual((0, split_1.splitRanges)(documents, rows, "heldout"), [{ from: 9, to: 12 }]);
    strict_1.default.deepEqual((0, split_1.splitRanges)(documents, rows, "all"), [{ from: 0, to: 12 }]);
    strict_1.default.deepEqual((0, split_1.splitRanges)([{}], Int32Array.of(0, 105), "train"), [{ from: 0, to: 95 }]);
    strict_1.default.deepEqual((0, split_1.splitRanges)([{}], Int32Array.of(0, 105), "heldout"), [{ from: 95, to: 105 }]);
});
(0, node_test_1.test)("the first byte that is not UTF-8 is found where a strict decoder gives up", () => {
    const strict = new TextDecoder("utf-8", { fatal: true });
    const valid = (bytes) => {
        try {
            strict.decode(bytes);
            return true;
        }
        catch {
            return false;
        }
    };
    // lead and continuation bytes at the edges of the table, every triple of them
    const edges = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5];
    let wrong = 0;
    for (const a of edges)
        for (const b of edges)
            for (const c of edges)
                for (const d of [0x80, 0x41]) {
                    const bytes = Uint8Array.of(a, b, c, d);
                    const at = (0, utf8_1.invalidUtf8)(bytes);
                    strict_1.default.equal(at < 0, valid(bytes), `${bytes}`);
                    if (at < 0)
                        continue;
                    wrong++;
                    strict_1.default.ok(valid(bytes.subarray(0, at)), `what stands before byte ${at} of ${bytes} is whole`);
                    for (let end = at + 1; end <= 4; end++)
                        strict_1.default.ok(!valid(bytes.subarray(at, end)), `${bytes} from byte ${at} on is not`);
                }
    strict_1.default.ok(wrong > 5_000, `${wrong} cases`);
    strict_1.default.equal((0, utf8_1.invalidUtf8)(new TextEncoder().encode("häß 語 🙂")), -1);
});
(0, node_test_1.test)("a document is whole when all shards that hold a part of it are made", () => {
    const contexts = (0, batches_1.cutContexts)([5, 12, 3], 4); // 2 + 3 + 1 contexts
    const plans = (0, batches_1.planShards)(contexts, 8); // 4 + 1 | 4 + 4 | 4 + 3
    strict_1.default.deepEqual(plans.map(({ tokens }) => tokens), [5, 8, 7]);
    strict_1.default.equal((0, batches_1.wholeDocuments)([true, true, true], plans, contexts, 3), 3);
    strict_1.default.equal((0, batches_1.wholeDocuments)([true, false, true], plans, contexts, 3), 2);
    strict_1.default.equal((0, batches_1.wholeDocuments)([true, true, false], plans, contexts, 3), 1);
    strict_1.default.equal((0, batches_1.wholeDocuments)([false, false, false], plans, contexts, 4), 1, "one without tokens lacks nothing");
});
//# sourceMappingURL=batches.test.js.map