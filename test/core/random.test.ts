import assert from "node:assert/strict";
import { test } from "node:test";
import { permutation, random, sample } from "../../src/core/random";

test("random: same seed, same numbers; seeds and streams differ; moments are right", () => {
  const draw = (seed: number, stream = 0) => Array.from({ length: 4 }, random(seed, stream).uniform);
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
  assert.notDeepEqual(draw(1), draw(1, 1));
  // Pinned: a change of the generator would silently change every seeded run.
  const fixed = random(0);
  assert.deepEqual(Array.from({ length: 3 }, () => fixed.below(1000)), [44, 639, 612]);
  const rng = random(3), n = 20000;
  const uniform = Array.from({ length: n }, rng.uniform), normal = Array.from({ length: n }, rng.normal);
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  assert.ok(Math.abs(mean(uniform) - 0.5) < 0.01 && Math.min(...uniform) >= 0 && Math.max(...uniform) < 1);
  assert.ok(Math.abs(mean(normal)) < 0.03 && Math.abs(mean(normal.map((v) => v * v)) - 1) < 0.05);
});

test("a permutation holds each number once and moves evenly; a sample is ascending, without repetition", () => {
  const order = permutation(1000, random(5));
  assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  const firsts = new Float64Array(4);
  for (let seed = 0; seed < 4000; seed++) firsts[permutation(4, random(seed))[0]]++;
  for (const count of firsts) assert.ok(Math.abs(count - 1000) < 120, `${firsts}`);
  const some = sample(1000, 100, random(6));
  assert.equal(new Set(some).size, 100);
  assert.ok(some.every((v, i) => v < 1000 && (i === 0 || v > some[i - 1])));
  assert.deepEqual([...sample(3, 10, random(0))], [0, 1, 2]);
});
