import assert from "node:assert/strict";
import { test } from "node:test";
import { cutContexts, leadOf, padding, partOf, planBatches, planShards, sampleOf, wholeContexts, wholeDocuments } from "../../src/core/batches";
import { median, rowNorms } from "../../src/core/norms";
import { splitDocuments, splitRanges } from "../../src/core/split";
import { invalidUtf8 } from "../../src/core/utf8";

/** Repeatable numbers in [0, 1): xorshift32. */
const random = (seed: number) => () => {
  seed ^= seed << 13;
  seed ^= seed >>> 17;
  seed ^= seed << 5;
  return (seed >>> 0) / 2 ** 32;
};

test("documents are cut into consecutive contexts and never joined", () => {
  assert.deepEqual(cutContexts([3, 0, 10, 4], 4), [
    { document: 0, from: 0, length: 3, lead: 0 },
    { document: 2, from: 0, length: 4, lead: 0 }, { document: 2, from: 4, length: 4, lead: 0 }, { document: 2, from: 8, length: 2, lead: 0 },
    { document: 3, from: 0, length: 4, lead: 0 },
  ]);
});

test("first tokens that stand before later contexts too count towards context and batch, and are no tokens of a shard", () => {
  const contexts = cutContexts([9], 4, 1);
  assert.deepEqual(contexts.map(({ from, length, lead }) => [from, length, lead]), [[0, 4, 0], [4, 3, 1], [7, 2, 1]]);
  const [shard, ...none] = planShards(contexts, 100);
  assert.deepEqual([shard, none], [{ first: 0, end: 3, tokens: 9 }, []]);
  assert.deepEqual(planBatches(contexts, shard, 8), [[0, 1], [2]]);
  assert.deepEqual(planBatches(contexts, shard, 7), [[0], [1], [2]]);
  assert.equal(padding(contexts, [[0, 1], [2]]), 0);
  assert.ok(Math.abs(padding(contexts, [[0, 2]]) - 1 / 8) < 1e-12);
  assert.throws(() => cutContexts([9], 2, 2), /more than the 2 tokens/);
});

test("documents kept whole are a context each; those too long are read in their beginning or not at all", () => {
  const [a, c] = [{ document: 0, from: 0, length: 3, lead: 0 }, { document: 2, from: 0, length: 4, lead: 0 }];
  assert.deepEqual(wholeContexts([3, 9, 4, 0], 4, "skip"), { contexts: [a, c], long: 9 });
  assert.deepEqual(wholeContexts([3, 9, 4, 0], 4, "cut"), { contexts: [a, { document: 1, from: 0, length: 4, lead: 0 }, c], long: 5 });
});

test("parts together make every shard once, none more than one shard more", () => {
  for (const shards of [0, 1, 5, 16, 37]) {
    for (const of of [1, 4, 16]) {
      const parts = Array.from({ length: of }, (_, index) => partOf(shards, { index, of }));
      assert.deepEqual(parts.flat().sort((a, b) => a - b), Array.from({ length: shards }, (_, i) => i));
      const sizes = parts.map(({ length }) => length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `${sizes}`);
    }
  }
  assert.deepEqual(partOf(10, { index: 3, of: 4 }), [3, 7]);
});

test("a sample is all of few batches, and at most eight of many, from the longest on", () => {
  const batches = (n: number) => Array.from({ length: n }, (_, i) => [i]);
  for (const n of [0, 1, 8]) assert.deepEqual(sampleOf(batches(n)), batches(n));
  assert.deepEqual(sampleOf(batches(9)).flat(), [0, 2, 4, 6, 8]);
  assert.deepEqual(sampleOf(batches(128)).flat(), [0, 16, 32, 48, 64, 80, 96, 112]);
});

test("the lead is what the tokenizer puts before a text: special and of no character", () => {
  const tokens = { ids: Int32Array.of(1, 2, 1), start: Int32Array.of(0, 0, 0), end: Int32Array.of(0, 0, 0) };
  assert.equal(leadOf({ isSpecial: (id) => id === 1 }, tokens), 1);
  assert.equal(leadOf({ isSpecial: () => true }, { ...tokens, end: Int32Array.of(0, 0, 3) }), 2);
  assert.equal(leadOf({ isSpecial: () => false }, tokens), 0);
});

test("shards hold consecutive contexts up to their size; batches hold each context once, longest first, within the budget", () => {
  const next = random(7);
  const lengths = Array.from({ length: 500 }, () => 1 + Math.floor(next() * 300));
  const contexts = cutContexts(lengths, 128);
  const shards = planShards(contexts, 1000);
  assert.equal(shards[0].first, 0);
  assert.equal(shards.at(-1)!.end, contexts.length);
  shards.forEach((shard, i) => {
    if (i) assert.equal(shard.first, shards[i - 1].end);
    const tokens = contexts.slice(shard.first, shard.end).reduce((sum, { length }) => sum + length, 0);
    assert.equal(shard.tokens, tokens);
    assert.ok(tokens <= 1000);
    if (shards[i + 1]) assert.ok(tokens + contexts[shard.end].length > 1000, "a shard is filled before the next begins");
    const batches = planBatches(contexts, shard, 512);
    assert.deepEqual(batches.flat().sort((a, b) => a - b), Array.from({ length: shard.end - shard.first }, (_, j) => shard.first + j));
    let longest = Infinity;
    for (const batch of batches) {
      assert.ok(batch.length * contexts[batch[0]].length <= 512);
      for (const j of batch) {
        assert.ok(contexts[j].length <= longest);
        longest = contexts[j].length;
      }
    }
  });
});

test("a context longer than the budget of a shard or a batch stands alone", () => {
  const contexts = cutContexts([50, 5, 5], 100);
  assert.deepEqual(planShards(contexts, 10), [{ first: 0, end: 1, tokens: 50 }, { first: 1, end: 3, tokens: 10 }]);
  assert.deepEqual(planBatches(contexts, { first: 0, end: 3, tokens: 60 }, 10), [[0], [1, 2]]);
});

test("sorting by length leaves little padding", () => {
  const next = random(3);
  const contexts = cutContexts(Array.from({ length: 2000 }, () => 20 + Math.floor(next() * 400)), 512);
  const whole = { first: 0, end: contexts.length, tokens: 0 };
  const sorted = padding(contexts, planBatches(contexts, whole, 4096));
  const unsorted = padding(contexts.map((c) => ({ ...c })), contexts.reduce<number[][]>((batches, _, i) => {
    if (i % 16 === 0) batches.push([]);
    batches.at(-1)!.push(i);
    return batches;
  }, []).map((batch) => batch.sort((a, b) => contexts[b].length - contexts[a].length)));
  assert.ok(sorted < 0.02 && unsorted > 0.3, `padding sorted ${sorted}, as they come ${unsorted}`);
});

test("norms are lengths; the first row that is not finite is named", () => {
  const out = new Float64Array(3);
  assert.equal(rowNorms(Float32Array.of(3, 4, 0, 0, 1e30, 1e30), 2, out), -1);
  assert.deepEqual([...out.subarray(0, 2)], [5, 0]);
  assert.ok(Math.abs(out[2] / (Math.fround(1e30) * Math.SQRT2) - 1) < 1e-15);
  assert.equal(rowNorms(Float32Array.of(1, 1, 1, NaN, Infinity, 1), 2, out), 1);
  assert.equal(rowNorms(Float32Array.of(1, 1, 1, -Infinity), 2, out), 1);
});

test("median is the middle value, by number and not by name", () => {
  assert.equal(median(Float64Array.of(10, 9, 100)), 10);
  assert.equal(median(Float64Array.of(4, 1, 3, 2)), 2.5);
  assert.throws(() => median(new Float64Array(0)), RangeError);
});

test("every tenth document without a side is held out; a named side stands", () => {
  const none = (n: number) => Array.from({ length: n }, () => ({}));
  assert.deepEqual(splitDocuments(none(21)).flatMap((side, i) => (side === "heldout" ? [i] : [])), [9, 19]);
  assert.deepEqual(splitDocuments(none(3)), ["train", "train", "heldout"]);
  assert.deepEqual(splitDocuments(none(1)), ["train"]);
  assert.deepEqual(splitDocuments([{ split: "heldout" }, { split: "train" }]), ["heldout", "train"]);
  assert.deepEqual(splitDocuments([{ split: "heldout" }, {}, { split: "train" }]), ["heldout", "train", "train"]);
});

test("row ranges of a side join neighbours, pass over documents without rows and cover everything once", () => {
  const documents = (["train", "heldout", "train", "train", "heldout", "train"] as const).map((split) => ({ split }));
  const rows = Int32Array.of(0, 4, 4, 6, 9, 12, 12);
  assert.deepEqual(splitRanges(documents, rows, "train"), [{ from: 0, to: 9 }]);
  assert.deepEqual(splitRanges(documents, rows, "heldout"), [{ from: 9, to: 12 }]);
  assert.deepEqual(splitRanges(documents, rows, "all"), [{ from: 0, to: 12 }]);
  assert.deepEqual(splitRanges([{}], Int32Array.of(0, 105), "train"), [{ from: 0, to: 95 }]);
  assert.deepEqual(splitRanges([{}], Int32Array.of(0, 105), "heldout"), [{ from: 95, to: 105 }]);
});

test("the first byte that is not UTF-8 is found where a strict decoder gives up", () => {
  const strict = new TextDecoder("utf-8", { fatal: true });
  const valid = (bytes: Uint8Array): boolean => {
    try {
      strict.decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  // lead and continuation bytes at the edges of the table, every triple of them
  const edges = [0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5];
  let wrong = 0;
  for (const a of edges) for (const b of edges) for (const c of edges) for (const d of [0x80, 0x41]) {
    const bytes = Uint8Array.of(a, b, c, d);
    const at = invalidUtf8(bytes);
    assert.equal(at < 0, valid(bytes), `${bytes}`);
    if (at < 0) continue;
    wrong++;
    assert.ok(valid(bytes.subarray(0, at)), `what stands before byte ${at} of ${bytes} is whole`);
    for (let end = at + 1; end <= 4; end++) assert.ok(!valid(bytes.subarray(at, end)), `${bytes} from byte ${at} on is not`);
  }
  assert.ok(wrong > 5_000, `${wrong} cases`);
  assert.equal(invalidUtf8(new TextEncoder().encode("häß 語 🙂")), -1);
});

test("a document is whole when all shards that hold a part of it are made", () => {
  const contexts = cutContexts([5, 12, 3], 4); // 2 + 3 + 1 contexts
  const plans = planShards(contexts, 8); // 4 + 1 | 4 + 4 | 4 + 3
  assert.deepEqual(plans.map(({ tokens }) => tokens), [5, 8, 7]);
  assert.equal(wholeDocuments([true, true, true], plans, contexts, 3), 3);
  assert.equal(wholeDocuments([true, false, true], plans, contexts, 3), 2);
  assert.equal(wholeDocuments([true, true, false], plans, contexts, 3), 1);
  assert.equal(wholeDocuments([false, false, false], plans, contexts, 4), 1, "one without tokens lacks nothing");
});
