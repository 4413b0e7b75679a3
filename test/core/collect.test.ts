import assert from "node:assert/strict";
import { test } from "node:test";
import { BINS, binEdge, bySize, firingsOf, histogramOf, latentBlocks, latentStatistics } from "../../src/core/collect";
import { rowLatents, together, type RowLatents } from "../../src/core/cofiring";
import { blockExamples, choose, type ChooseOptions } from "../../src/core/examples";
import { positionSpread } from "../../src/core/positions";
import { rowHash } from "../../src/core/rowhash";
import { tokenSpread } from "../../src/core/tokenspread";
import { atOnce } from "../../src/core/pieces";
import type { Sparse } from "../../src/core/types";
import { numbers } from "../adapters/synthetic";

const OPTIONS: ChooseOptions = { examples: 5, context: 4, perQuantile: 2, random: 2, seed: 0 };

/** Random codes of `n` rows in documents of 50 tokens, the first of each dropped. */
function corpus(n: number, latents: number, k: number, seed: number) {
  const random = numbers(seed);
  const codes: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  for (let r = 0; r < n; r++) {
    const free = Array.from({ length: latents }, (_, f) => f);
    for (let j = 0; j < k; j++) {
      codes.index[r * k + j] = free.splice(Math.floor(random() * free.length * 0.5), 1)[0];
      codes.value[r * k + j] = random() < 0.2 ? 0 : Math.round(random() * 64) / 8; // many ties
    }
  }
  const document = Int32Array.from({ length: n }, (_, r) => Math.floor(r / 49));
  const position = Int32Array.from({ length: n }, (_, r) => 1 + (r % 49));
  const tokens = Array.from({ length: Math.ceil(n / 49) }, () =>
    Int32Array.from({ length: 50 }, () => Math.floor(random() * 7)),
  );
  const token = Int32Array.from({ length: n }, (_, r) => tokens[document[r]][position[r]]);
  return { codes, origin: { document, position, token }, tokens };
}

const part = (codes: Sparse, from: number, to: number): Sparse => ({
  n: to - from,
  k: codes.k,
  index: codes.index.slice(from * codes.k, to * codes.k),
  value: codes.value.slice(from * codes.k, to * codes.k),
});

const at = (codes: Sparse, row: number, latent: number): number => {
  for (let j = 0; j < codes.k; j++) if (codes.index[row * codes.k + j] === latent) return codes.value[row * codes.k + j];
  return 0;
};

test("statistics are those of the dense codes, whatever the chunks", () => {
  const { codes } = corpus(500, 20, 4, 3);
  const counting = latentStatistics(20);
  for (const [from, to] of [
    [0, 1],
    [1, 130],
    [130, 500],
  ])
    counting.add(part(codes, from, to));
  const got = counting.finish();
  assert.equal(got.rows, 500);
  for (let f = 0; f < 20; f++) {
    const values = Array.from({ length: 500 }, (_, r) => at(codes, r, f)).filter((v) => v > 0);
    assert.equal(got.fired[f], values.length);
    assert.equal(got.max[f], Math.max(0, ...values));
    assert.ok(Math.abs(got.mean[f] - values.reduce((a, b) => a + b, 0) / (values.length || 1)) < 1e-6);
    const { edges, counts } = histogramOf(got.histogram.subarray(f * BINS, (f + 1) * BINS));
    counts.forEach((n, b) =>
      assert.equal(n, values.filter((v) => v >= edges[b] && v < edges[b + 1]).length, `latent ${f}, bin ${b}`),
    );
    assert.equal(
      counts.reduce((a, b) => a + b, 0),
      values.length,
    );
  }
});

test("bins: an edge belongs to the bin above it, what lies outside to the ends", () => {
  const bin = (v: number): number => {
    const counting = latentStatistics(1);
    counting.add({ n: 1, k: 1, index: Int32Array.of(0), value: Float32Array.of(v) });
    return counting.finish().histogram.indexOf(1);
  };
  for (const b of [0, 1, 2, 3, 4, 63, 64, 65, 127]) assert.equal(bin(binEdge(b)), b);
  assert.equal(bin(1e-30), 0);
  assert.equal(bin(1e30), BINS - 1);
  assert.equal(bin(1.2499), 64);
  assert.equal(bin(1.25), 65);
});

test("firings of a latent come in row order, in any blocks", () => {
  const { codes } = corpus(300, 12, 3, 5);
  const counting = latentStatistics(12);
  counting.add(codes);
  const { fired } = counting.finish();
  const blocks = latentBlocks(fired, 100);
  assert.ok(blocks.length > 2);
  assert.deepEqual(
    blocks.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)),
    Array.from({ length: 12 }, (_, f) => f),
  );
  for (const { from, to } of blocks) {
    const { firings, add } = firingsOf(fired, from, to);
    add(0, part(codes, 0, 77));
    add(77, part(codes, 77, 300));
    for (let f = from; f < to; f++) {
      const [a, b] = [firings.offset[f - from], firings.offset[f - from + 1]];
      const want = Array.from({ length: 300 }, (_, row) => ({ row, value: at(codes, row, f) })).filter(
        ({ value }) => value > 0,
      );
      assert.deepEqual(
        Array.from({ length: b - a }, (_, i) => ({ row: firings.row[a + i], value: firings.value[a + i] })),
        want,
      );
    }
  }
});

test("by size: larger first, equal ones in row order, each latent among itself", () => {
  const rng = numbers(4);
  const lengths = [0, 3, 700, 1, 5000, 40];
  const { firings, add } = firingsOf(Int32Array.from(lengths), 0, 6);
  lengths.forEach((n, f) => {
    for (let r = 0; r < n; r++)
      add(r, {
        n: 1,
        k: 1,
        index: Int32Array.of(f),
        value: Float32Array.of(rng() < 0.5 ? 2 ** (10 * rng() - 20) : Math.ceil(8 * rng()) * 1000),
      });
  });
  const order = atOnce(bySize(firings));
  for (let f = 0; f < 6; f++) {
    const [a, b] = [firings.offset[f], firings.offset[f + 1]];
    const want = Array.from({ length: b - a }, (_, i) => a + i).sort(
      (i, j) => firings.value[j] - firings.value[i] || i - j,
    );
    assert.deepEqual([...order.subarray(a, b)], want);
  }
});

/** One latent with the given rows and values in one document whose tokens all differ. */
function single(rows: number[], values: number[], tokens?: number[]) {
  const n = rows.at(-1)! + 10;
  const { firings, add } = firingsOf(Int32Array.of(rows.length), 0, 1);
  const codes: Sparse = { n, k: 1, index: new Int32Array(n), value: new Float32Array(n) };
  rows.forEach((row, i) => (codes.value[row] = values[i]));
  add(0, codes);
  const token = Int32Array.from({ length: n }, (_, r) => tokens?.[r] ?? r);
  return { firings, origin: { document: new Int32Array(n), position: Int32Array.from(token.keys()), token }, token };
}

const top = (made: ReturnType<typeof single>, options: Partial<ChooseOptions> = {}) =>
  choose(made.firings, 0, made.origin, { ...OPTIONS, perQuantile: 0, random: 0, ...options }).map(({ entry, count }) => ({
    row: made.firings.row[entry],
    count,
  }));

test("a peak stands for its neighbourhood; ties go to the earlier row", () => {
  const made = single([10, 12, 13, 30, 50, 70], [2, 5, 3, 4, 4, 9]);
  assert.deepEqual(top(made), [
    { row: 70, count: 1 },
    { row: 12, count: 1 },
    { row: 30, count: 1 },
    { row: 50, count: 1 },
  ]);
  assert.deepEqual(
    top(made, { context: 0 }).map(({ row }) => row),
    [70, 12, 30, 50, 13],
  );
  const rising = single([10, 13, 16, 19, 22], [1, 2, 3, 4, 5]);
  assert.deepEqual(
    top(rising).map(({ row }) => row),
    [22],
  );
  const falling = single([10, 13, 16, 19, 22], [5, 4, 3, 2, 1]);
  assert.deepEqual(
    top(falling).map(({ row }) => row),
    [10, 16, 22],
  ); // each more than 4 rows from the peak before it
});

test("equal windows are folded with a count, until enough different ones are found", () => {
  const tokens = Array.from({ length: 140 }, (_, r) => (r < 100 ? r % 20 : 1000 + r)); // windows repeat every 20 rows
  const made = single([10, 30, 50, 70, 110, 125], [8, 7, 6, 1, 3, 2], tokens);
  assert.deepEqual(top(made, { examples: 2 }), [
    { row: 10, count: 3 },
    { row: 110, count: 1 },
  ]); // the one at 70 is weaker than the last kept
  assert.deepEqual(top(made, { examples: 3 }), [
    { row: 10, count: 3 },
    { row: 110, count: 1 },
    { row: 125, count: 1 },
  ]);
});

test("quantile and random examples are firings of their quarter, none twice, the same for the same seed", () => {
  const { codes, origin } = corpus(2000, 6, 2, 9);
  const counting = latentStatistics(6);
  counting.add(codes);
  const { fired } = counting.finish();
  const { firings, add } = firingsOf(fired, 0, 6);
  add(0, codes);
  for (let f = 0; f < 3; f++) {
    assert.ok(fired[f] > 100);
    const chosen = choose(firings, f, origin, OPTIONS);
    assert.equal(new Set(chosen.map(({ entry }) => entry)).size, chosen.length);
    const sorted = [...firings.value.subarray(firings.offset[f], firings.offset[f + 1])].sort((a, b) => b - a);
    for (let q = 0; q < 4; q++) {
      const mine = chosen.filter(({ group }) => group === 1 + q);
      assert.equal(mine.length, 2);
      for (const { entry } of mine) {
        assert.ok(firings.value[entry] <= sorted[Math.floor((sorted.length * q) / 4)]);
        assert.ok(firings.value[entry] >= sorted[Math.floor((sorted.length * (q + 1)) / 4) - 1]);
      }
    }
    assert.equal(chosen.filter(({ group }) => group === 5).length, 2);
    assert.deepEqual(choose(firings, f, origin, OPTIONS), chosen);
  }
  const other = choose(firings, 0, origin, { ...OPTIONS, seed: 1 });
  assert.notDeepEqual(
    other.filter(({ group }) => group),
    choose(firings, 0, origin, OPTIONS).filter(({ group }) => group),
  );
});

test("contexts carry the latent's activation at every token, dropped rows 0, and stop at the document's ends", () => {
  const { codes, origin, tokens } = corpus(400, 8, 3, 11);
  const counting = latentStatistics(8);
  counting.add(codes);
  const { fired } = counting.finish();
  const lengths = new Int32Array(tokens.length).fill(50);
  let checked = 0;
  const blocks = latentBlocks(fired, 300, 3);
  assert.ok(blocks.length > 2 && blocks.every(({ from, to }) => to - from <= 3));
  for (const { from: begin, to: end } of blocks) {
    const { firings, add } = firingsOf(fired, begin, end);
    add(0, codes);
    const all = atOnce(blockExamples(firings, origin, (document) => tokens[document], lengths, OPTIONS));
    assert.deepEqual([all.offset.length, all.offset.at(-1), all.start.at(-1)], [end - begin + 1, all.group.length, all.tokens.length]);
    for (let f = begin; f < end; f++) {
      for (let e = all.offset[f - begin]; e < all.offset[f - begin + 1]; e++) {
        const [from, to] = [all.start[e], all.start[e + 1]];
        const document = all.document[e];
        const first = all.position[e];
        const peak = first + all.peak[e];
        assert.equal(first, Math.max(0, peak - 4));
        assert.equal(first + to - from, Math.min(50, peak + 5));
        assert.equal(all.goesOn[e], Number(peak + 5 < 50));
        assert.deepEqual([...all.tokens.subarray(from, to)], [...tokens[document].subarray(first, first + to - from)]);
        const want = Array.from({ length: to - from }, (_, i) => {
          const row = origin.position.findIndex((position, r) => position === first + i && origin.document[r] === document);
          return row < 0 ? 0 : at(codes, row, f);
        });
        assert.deepEqual([...all.values.subarray(from, to)], want);
        checked++;
      }
    }
  }
  assert.ok(checked > 50);
});

test("token spread: entropy in bits, triggers by mean activation with a minimum count", () => {
  // token 5 fires 4 times at 2; token 6 once at 9, too rare to be a trigger; token 7 four times at 1
  const tokens = [5, 5, 5, 5, 6, 7, 7, 7, 7];
  const made = single([0, 1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2, 2, 9, 1, 1, 1, 1], tokens);
  const got = atOnce(tokenSpread(made.firings, made.token, 100));
  assert.deepEqual([...got.token], [5, 7, -1, -1, -1]);
  assert.deepEqual([...got.tokenMean.subarray(0, 2)], [2, 1]);
  assert.equal(got.distinct[0], 3);
  const mass = [8, 9, 4].map((m) => m / 21);
  assert.ok(Math.abs(got.entropy[0] + mass.reduce((sum, p) => sum + p * Math.log2(p), 0)) < 1e-6);
  assert.deepEqual([...got.shareToken], [6, 5, 7, -1, -1]);
  [9, 8, 4].forEach((m, i) => assert.ok(Math.abs(got.share[i] - m / 21) < 1e-6));
});

/** Firings of all latents of a corpus, and on how many rows each fires. */
function inverted(codes: Sparse, latents: number, from = 0, to = latents) {
  const counting = latentStatistics(latents);
  counting.add(codes);
  const { fired } = counting.finish();
  const { firings, add } = firingsOf(fired, from, to);
  add(0, codes);
  return { fired, firings };
}

test("positions: documents, mean, early share and tenths are those of counting", () => {
  const { codes, origin } = corpus(600, 15, 3, 21);
  const lengths = new Int32Array(13).fill(50);
  const { firings } = inverted(codes, 15);
  const got = atOnce(positionSpread(firings, origin, lengths));
  for (let f = 0; f < 15; f++) {
    const rows = Array.from({ length: 600 }, (_, r) => r).filter((r) => at(codes, r, f) > 0);
    const places = rows.map((r) => origin.position[r]);
    assert.equal(got.documents[f], new Set(rows.map((r) => origin.document[r])).size);
    assert.ok(Math.abs(got.mean[f] - places.reduce((a, b) => a + b, 0) / (rows.length || 1)) < 1e-5);
    assert.ok(Math.abs(got.early[f] - places.filter((p) => p < 5).length / (rows.length || 1)) < 1e-6);
    for (let t = 0; t < 10; t++)
      assert.ok(Math.abs(got.tenths[10 * f + t] - places.filter((p) => Math.floor(p / 5) === t).length / (rows.length || 1)) < 1e-6, `${f}, ${t}`);
  }
});

/** Segments of so many rows. */
function segmented(codes: Sparse, latents: number, size: number): { count: number; at(segment: number): RowLatents } {
  const count = Math.ceil(codes.n / size);
  return {
    count,
    at(s) {
      const [from, to] = [s * size, Math.min(codes.n, (s + 1) * size)];
      const { rows, add } = rowLatents(from, to, (to - from) * codes.k, latents);
      for (let row = from; row < to; row += 7) add(part(codes, row, Math.min(to, row + 7)));
      return rows;
    },
  };
}

test("latents that fire together: those of counting all pairs, whatever the segments and blocks", () => {
  for (const [n, latents, k, seed] of [[400, 24, 5, 1], [900, 60, 4, 2], [150, 9, 6, 3]]) {
    const { codes } = corpus(n, latents, k, seed);
    let kept = 0;
    for (const options of [{ most: 4, score: 0.1, least: 3 }, { most: 16, score: 0.02, least: 1 }, { most: 2, score: 0.3, least: 20 }]) {
      const pairs = Array.from({ length: latents }, () => new Int32Array(latents));
      for (let r = 0; r < n; r++)
        for (let f = 0; f < latents; f++) for (let g = 0; g < latents; g++) if (at(codes, r, f) > 0 && at(codes, r, g) > 0) pairs[f][g]++;
      for (const size of [n, 1 + (n >> 1), 64, 11]) {
        for (const [from, to] of [[0, latents], [3, 8]]) {
          const { fired, firings } = inverted(codes, latents, from, to);
          const got = atOnce(together(firings, fired, segmented(codes, latents, size), options));
          for (let f = from; f < to; f++) {
            const want = Array.from(pairs[f], (count, g) => ({ g, count, score: count / (fired[f] + fired[g] - count) }))
              .filter(({ g, count, score }) => g !== f && count >= options.least && score >= options.score)
              .sort((a, b) => b.score - a.score || a.g - b.g)
              .slice(0, options.most);
            const [a, b] = [got.offset[f - from], got.offset[f - from + 1]];
            assert.deepEqual([...got.latent.subarray(a, b)], want.map(({ g }) => g), `latent ${f}, segments of ${size}`);
            assert.deepEqual([...got.count.subarray(a, b)], want.map(({ count }) => count));
            assert.deepEqual([...got.score.subarray(a, b)], want.map(({ score }) => Math.fround(score)));
            kept += want.length;
          }
        }
      }
    }
    assert.ok(kept > 100, `${n} rows: ${kept} pairs`);
  }
});

test("more than 65,536 latents are counted as well", () => {
  const codes: Sparse = { n: 6, k: 2, index: Int32Array.from({ length: 12 }, (_, i) => (i % 2 ? 70_000 : 3)), value: new Float32Array(12).fill(1) };
  const { fired, firings } = inverted(codes, 70_001, 70_000, 70_001);
  const got = atOnce(together(firings, fired, segmented(codes, 70_001, 6)));
  assert.deepEqual([[...got.latent], [...got.count], [...got.score]], [[3], [6], [1]]);
});

test("the hash of rows: the same for the same bits, another one when any number, sign or order changes", () => {
  const rows = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
  const hashes = new Set([`${rowHash(rows)}`]);
  assert.equal(`${rowHash(rows.slice())}`, [...hashes][0]);
  let tried = 1;
  for (let i = 0; i < 64; i++) {
    for (const change of [(x: Float32Array) => (x[i] = -x[i] || -0), (x: Float32Array) => (x[i] += 1e-6 + Math.abs(x[i]) * 1e-6), (x: Float32Array) => ([x[i], x[(i + 1) % 64]] = [x[(i + 1) % 64], x[i]])]) {
      const other = rows.slice();
      change(other);
      hashes.add(`${rowHash(other)}`);
      tried++;
    }
  }
  for (let i = 1; i < 64; i++) { // two signs: what a hash without rotation would not see
    const other = rows.slice();
    [other[i], other[(i + 7) % 64]] = [-other[i], -other[(i + 7) % 64]];
    hashes.add(`${rowHash(other)}`);
    tried++;
  }
  assert.equal(hashes.size, tried);
});
