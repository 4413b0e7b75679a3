import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "../../src/core/sae";

const weights = {
  d: 2, latents: 4, k: 2,
  wEnc: Float32Array.of(1, 0, 0, 1, 1, 0, -1, -1),
  bEnc: Float32Array.of(0, 0.5, 0, 0),
  wDec: Float32Array.of(1, 0, 0, 1, 0.5, 0.5, -1, 0),
  bDec: Float32Array.of(1, 2),
};

test("encode by hand: the largest first, ties by smaller index, zeros where nothing is positive", () => {
  // x − b_dec: (2, 1), (0, 0), (−1, −3); pre-activations (2, 1.5, 2, −3), (0, 0.5, 0, 0), (−1, −2.5, −1, 4)
  const { n, k, index, value } = encode(weights, Float32Array.of(3, 3, 1, 2, 0, -1));
  assert.deepEqual([n, k], [3, 2]);
  assert.deepEqual([...index], [0, 2, 1, 0, 3, 0]);
  assert.deepEqual([...value], [2, 2, 0.5, 0, 4, 0]);
});

test("decode by hand; a value of 0 may carry any index", () => {
  const x = decode(weights, { n: 2, k: 2, index: Int32Array.of(0, 2, 3, -1), value: Float32Array.of(2, 2, 4, 0) });
  assert.deepEqual([...x], [1 + 2 + 1, 2 + 1, 1 - 4, 2]);
});

test("encode refuses rows of another width", () => {
  assert.throws(() => encode(weights, new Float32Array(3)), { name: "RangeError", message: /multiple of the SAE's width 2, found 3/ });
});
