import assert from "node:assert/strict";
import { test } from "node:test";
import { fvu, measuring } from "../../src/core/measure";

test("fvu by hand: perfect 0, the mean row 1", () => {
  const x = Float32Array.of(1, 2, 3, 4, 5, 9);
  assert.equal(fvu(x, x, 2), 0);
  assert.equal(fvu(x, Float32Array.of(3, 5, 3, 5, 3, 5), 2), 1);
  // errors 1, 0, 0, 1, 0, 0 over variance (4 + 9) + (0 + 1) + (4 + 16)
  assert.equal(fvu(x, Float32Array.of(0, 2, 3, 3, 5, 9), 2), 2 / 34);
});

test("fvu keeps its digits far from zero", () => {
  const far = 1e4;
  const x = Float32Array.from({ length: 2000 }, (_, i) => far + (i % 2 ? 1 : -1) * (1 + (i % 3)));
  const xHat = x.map((v, i) => v + (i % 5 === 0 ? 0.5 : 0));
  const mean = [0, 1].map((j) => x.filter((_, i) => i % 2 === j).reduce((a, b) => a + b, 0) / 1000);
  let error = 0, variance = 0;
  x.forEach((v, i) => {
    error += (v - xHat[i]) ** 2;
    variance += (v - mean[i % 2]) ** 2;
  });
  assert.ok(Math.abs(fvu(x, xHat, 2) - error / variance) < 1e-9);
});

test("fvu of equal rows, or of other shapes, is an error", () => {
  assert.throws(() => fvu(Float32Array.of(1, 2, 1, 2), new Float32Array(4), 2), { name: "RangeError", message: /rows that differ/ });
  assert.throws(() => fvu(new Float32Array(4), new Float32Array(2), 2), RangeError);
  assert.throws(() => fvu(new Float32Array(3), new Float32Array(3), 2), RangeError);
});

test("measures add up over chunks: L0, dead and dense", () => {
  const tally = measuring(1, 5);
  // latent 0 fires in every row, latent 1 in one of 10 (a tenth is not dense), 2 in two, 3 is chosen with value 0, 4 never
  for (let row = 0; row < 10; row++) {
    tally.rows(Float32Array.of(row), Float32Array.of(row + 1));
    tally.latents(Int32Array.of(0, row === 0 ? 1 : row < 3 ? 2 : 3), Float32Array.of(1, row < 3 ? 0.5 : 0));
  }
  const { fvu: share, explainedVariance, ...rest } = tally.result();
  assert.ok(Math.abs(share - 10 / 82.5) < 1e-12);
  assert.equal(explainedVariance, 1 - share);
  assert.deepEqual(rest, { l0: 1.3, dead: 2 / 5, dense: 2 / 5, rows: 10 });
});
