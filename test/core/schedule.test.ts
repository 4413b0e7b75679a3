import assert from "node:assert/strict";
import { test } from "node:test";
import { permutation, random, sample } from "../../src/core/random";
import { auxiliary, defaultBatch, defaultDeadAfter, defaultLearningRate, firing, learningRateAt } from "../../src/core/schedule";

test("learning rate: the recipe's formula, constant, then linear over the last fifth", () => {
  assert.ok(Math.abs(defaultLearningRate(128, 1024, 1e6) - 0.045 / Math.sqrt(128)) < 1e-12);
  assert.ok(Math.abs(defaultLearningRate(128, 4096, 4e6) - 0.045 / Math.sqrt(128)) < 1e-12); // √4 · √¼
  assert.equal(defaultLearningRate(576, 1024, 2e5), defaultLearningRate(576, 1024, 1e6)); // short runs do not go higher
  assert.equal(learningRateAt(0, 100, 0.5), 0.5);
  assert.equal(learningRateAt(80, 100, 0.5), 0.5);
  assert.equal(learningRateAt(90, 100, 0.5), 0.25);
  assert.ok(Math.abs(learningRateAt(99, 100, 0.5) - 0.025) < 1e-12);
});

test("batch: 1024 up to 4 million tokens, smaller for short runs", () => {
  assert.deepEqual([1e6, 4e6, 5e6, 1e8, 262144, 20000, 100].map(defaultBatch), [1024, 1024, 2048, 4096, 512, 32, 32]);
  assert.equal(defaultDeadAfter(1000), 50);
});

test("auxiliary loss: at most half the width takes part, its weight grows with the dead", () => {
  assert.deepEqual(auxiliary(0, 64, 1), { k: 0, scale: 0 });
  assert.deepEqual(auxiliary(8, 64, 1), { k: 8, scale: 0.25 });
  assert.deepEqual(auxiliary(32, 64, 1), { k: 32, scale: 1 });
  assert.deepEqual(auxiliary(500, 64, 0.5), { k: 32, scale: 0.5 });
  assert.equal(auxiliary(500, 64, 0).k, 0);
  assert.equal(auxiliary(1, 1, 1).k, 1);
});

test("a latent is dead after it was silent for more than so many tokens, and alive as soon as it fires", () => {
  const fires = firing(4, 20);
  fires.count(10, Int32Array.of(0, 1), Float32Array.of(1, 0)); // a value of 0 is silence
  fires.count(10, Int32Array.of(0, 2), Float32Array.of(1, 1));
  assert.deepEqual([...fires.dead()], []);
  fires.count(10, Int32Array.of(0), Float32Array.of(1));
  assert.deepEqual([...fires.dead()], [1, 3]);
  fires.count(10, Int32Array.of(3), Float32Array.of(0.1));
  assert.deepEqual([...fires.dead()], [1]);
});

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
