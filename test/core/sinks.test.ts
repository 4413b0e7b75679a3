import assert from "node:assert/strict";
import { test } from "node:test";
import { closeGaps, keptRows, normLimit } from "../../src/core/sinks";

const floats = (...values: number[]): Float64Array => Float64Array.from(values);

test("norm limit: a multiple of the median, first positions left aside where they are dropped", () => {
  const norms = floats(1000, 1, 2, 3, 900, 4); // positions 0 and 4 are first
  const isFirst = Uint8Array.of(1, 0, 0, 0, 1, 0);
  assert.equal(normLimit(norms, isFirst, { dropFirst: true, dropNorm: 10 }), 25); // of 1, 2, 3, 4
  assert.equal(normLimit(norms, isFirst, { dropFirst: false, dropNorm: 10 }), 35); // of 1, 2, 3, 4, 900, 1000
  assert.equal(normLimit(norms, isFirst, { dropFirst: true, dropNorm: false }), null);
  assert.equal(normLimit(floats(5, 0, 0), Uint8Array.of(1, 0, 0), { dropFirst: true, dropNorm: 10 }), null, "a hook that gives zeros");
  assert.equal(normLimit(floats(5, 5), Uint8Array.of(1, 1), { dropFirst: true, dropNorm: 10 }), null, "contexts of one token");
  assert.deepEqual([...norms], [1000, 1, 2, 3, 900, 4], "the caller's norms stay in order");
});

test("kept rows: a sink at one hook is dropped from all; each is counted once, by its first rule", () => {
  const isFirst = Uint8Array.of(1, 0, 0, 0, 1, 0, 0);
  const norms = [floats(99, 1, 1, 99, 1, 10, 1, 77), floats(1, 1, 1, 1, 99, 1, 99, 77)]; // buffers may be longer than the shard
  assert.deepEqual(keptRows(norms, [10, 20], isFirst, true), { runs: [{ from: 1, to: 3 }, { from: 5, to: 6 }], dropped: { first: 2, norm: 2 } });
  assert.deepEqual(keptRows(norms, [10, null], isFirst, false), { runs: [{ from: 1, to: 3 }, { from: 4, to: 7 }], dropped: { first: 0, norm: 2 } });
  assert.deepEqual(keptRows(norms, [null, null], isFirst, false).runs, [{ from: 0, to: 7 }]);
  assert.deepEqual(keptRows(norms, [0, 0], isFirst, true), { runs: [], dropped: { first: 2, norm: 5 } });
});

test("kept rows: what a prompt masks is counted after first positions and before norms", () => {
  const norms = [floats(9, 1, 9, 9, 1, 1)];
  assert.deepEqual(
    keptRows(norms, [5], Uint8Array.of(1, 0, 0, 0, 0, 0), true, Uint8Array.of(1, 1, 1, 0, 0, 0)),
    { runs: [{ from: 4, to: 6 }], dropped: { first: 1, norm: 1, prompt: 2 } });
});

test("gaps are closed in place, rows stay whole", () => {
  const x = Float32Array.from({ length: 14 }, (_, i) => i);
  const kept = closeGaps(x, 2, [{ from: 1, to: 3 }, { from: 5, to: 6 }]);
  assert.deepEqual([...kept], [2, 3, 4, 5, 10, 11]);
  assert.equal(kept.buffer, x.buffer);
  assert.deepEqual([...closeGaps(Int32Array.of(7, 8, 9), 1, [{ from: 0, to: 1 }, { from: 2, to: 3 }])], [7, 9]);
  assert.equal(closeGaps(Int32Array.of(7, 8), 1, []).length, 0);
});
