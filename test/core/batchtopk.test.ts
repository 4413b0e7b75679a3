import assert from "node:assert/strict";
import { test } from "node:test";
import { batchLargest, candidatesOf, firstOf, replaced } from "../../src/core/batchtopk";
import { random } from "../../src/core/random";

/** Rows sorted as a top-k gives them, of few different values so that many tie. */
function candidates(n: number, k: number, seed: number, values: (rng: ReturnType<typeof random>) => number) {
  const rng = random(seed), index = new Int32Array(n * k), value = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    const all = Array.from({ length: k }, (_, f) => [Math.max(0, values(rng)), 3 * f] as const).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
    all.forEach(([v, f], j) => {
      value[row * k + j] = v;
      index[row * k + j] = f;
    });
  }
  return { n, k, index, value };
}

test("the largest of the batch are those of a full sort, ties by row then latent, and never more", () => {
  const kinds: ((rng: ReturnType<typeof random>) => number)[] = [(rng) => rng.normal(), (rng) => Math.round(2 * rng.normal()) / 2, () => 1, () => -1, (rng) => rng.normal() * 10 ** (30 * rng.uniform())];
  for (const [kind, values] of kinds.entries()) {
    for (const [n, k, total] of [[1, 1, 1], [7, 5, 20], [30, 16, 90], [3, 4, 12], [40, 8, 1]]) {
      const all = candidates(n, k, kind, values);
      const order = Array.from(all.value.keys()).filter((i) => all.value[i] > 0).sort((a, b) => all.value[b] - all.value[a] || a - b).slice(0, total);
      const { chosen, least, full } = batchLargest(candidatesOf(all), total);
      const found = Array.from(chosen.value.keys()).filter((i) => chosen.value[i] > 0).map((i) => [Math.floor(i / chosen.k), chosen.index[i], chosen.value[i]]);
      const want = order.sort((a, b) => a - b).map((i) => [Math.floor(i / k), all.index[i], all.value[i]]);
      assert.deepEqual(found, want);
      assert.equal(least, want.length ? Math.min(...want.map(([, , v]) => v)) : undefined);
      const counts = new Map<number, number>();
      for (const [row] of want) counts.set(row, (counts.get(row) ?? 0) + 1);
      assert.deepEqual(full, Array.from({ length: n }, (_, row) => row).filter((row) => counts.get(row) === k));
      assert.equal(chosen.k, Math.max(1, ...counts.values()));
    }
  }
});

test("NaN among the candidates is passed on, not chosen by", () => {
  const all = candidates(4, 6, 1, (rng) => rng.normal());
  all.value[7] = NaN;
  const { chosen, full } = batchLargest(candidatesOf(all), 8);
  assert.deepEqual([chosen, full], [firstOf(all, 2), []]);
  assert.ok(chosen.value.some(Number.isNaN));
});

test("rows that are full give more candidates, and the choice is then that among all of them", () => {
  const n = 12, all = candidates(n, 40, 5, (rng) => rng.normal());
  for (let i = 2 * 40; i < 3 * 40; i++) all.value[i] *= 20; // row 2 has most of the largest
  const want = batchLargest(candidatesOf(all), 60);
  let columns = 4, some = candidatesOf(firstOf(all, columns)), rounds = 0;
  for (;;) {
    const { chosen, least, full } = batchLargest(some, 60);
    if (!full.length || columns === 40) {
      assert.deepEqual([chosen, least], [want.chosen, want.least]);
      break;
    }
    rounds++;
    columns = Math.min(40, 2 * columns);
    const wide = firstOf(all, columns), pick = <T extends Int32Array | Float32Array>(from: T): T =>
      from.filter((_, i) => full.includes(Math.floor(i / columns))) as T;
    some = replaced(some, full, { n: full.length, k: columns, index: pick(wide.index), value: pick(wide.value) });
  }
  assert.ok(rounds >= 2);
});
