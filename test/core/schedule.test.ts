import assert from "node:assert/strict";
import { test } from "node:test";
import { random } from "../../src/core/random";
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
  assert.deepEqual([1e6, 4e6, 5e6, 1e8, 262144, 120000, 20000, 100].map(defaultBatch), [1024, 1024, 2048, 4096, 512, 128, 32, 32]);
  for (let tokens = 16000; tokens < 4e6; tokens *= 1.37) assert.ok(tokens / defaultBatch(tokens) >= 500, `${tokens} tokens`);
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

test("updates counted several at a time leave the counters of one at a time", () => {
  const rng = random(3);
  const latents = 50, k = 2, rows = 4;
  for (const strides of [[1, 1, 1, 1, 1, 1], [6], [4, 2], [1, 5]]) {
    const [one, several] = [firing(latents, 12), firing(latents, 12)];
    for (const updates of strides) {
      const silent = new Int32Array(latents).fill(updates);
      for (let u = 0; u < updates; u++) {
        const index = Int32Array.from({ length: rows * k }, () => rng.below(latents)), value = Float32Array.from(index, () => rng.below(2)); // half of them 0: silence
        one.count(rows, index, value);
        index.forEach((f, i) => value[i] > 0 && (silent[f] = updates - 1 - u));
      }
      several.silent(rows, updates, silent);
      assert.deepEqual(several.since, one.since);
      assert.deepEqual(several.dead(), one.dead());
    }
    assert.ok(several.dead().length > 0 && several.dead().length < latents);
  }
});
