import assert from "node:assert/strict";
import { test } from "node:test";
import { symmetricEigen } from "../../src/core/eigen";
import { random } from "../../src/core/random";

const rng = random(0);

/** Σ λ·v·vᵀ of given values along random orthonormal directions (Gram–Schmidt, twice). */
function planted(values: number[]): Float64Array {
  const d = values.length, basis: Float64Array[] = [];
  while (basis.length < d) {
    const v = Float64Array.from({ length: d }, () => rng.normal());
    for (let turn = 0; turn < 2; turn++) {
      for (const b of basis) {
        const dot = v.reduce((sum, x, i) => sum + x * b[i], 0);
        for (let i = 0; i < d; i++) v[i] -= dot * b[i];
      }
    }
    const norm = Math.hypot(...v);
    basis.push(v.map((x) => x / norm));
  }
  const out = new Float64Array(d * d);
  basis.forEach((b, e) => {
    for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) out[i * d + j] += values[e] * b[i] * b[j];
  });
  return out;
}

const symmetric = (d: number): Float64Array => {
  const out = new Float64Array(d * d);
  for (let i = 0; i < d; i++) for (let j = 0; j <= i; j++) out[i * d + j] = out[j * d + i] = rng.normal();
  return out;
};

/** max|a − b| in units of the largest eigenvalue: some hundred times float64's own rounding. */
const TOLERANCE = 1e-13;

function check(matrix: Float64Array, d: number, what: string): Float64Array {
  const copy = matrix.slice(), { values, vectors } = symmetricEigen(matrix, d);
  assert.deepEqual(matrix, copy, "the caller's array is left alone");
  const largest = Math.max(...values.map(Math.abs), Number.MIN_VALUE);
  for (let e = 1; e < d; e++) assert.ok(values[e] >= values[e - 1], `${what}: ascending`);
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < d; j++) {
      let product = 0, dot = 0;
      for (let e = 0; e < d; e++) {
        product += (values[e] / largest) * vectors[i * d + e] * vectors[j * d + e];
        dot += vectors[e * d + i] * vectors[e * d + j];
      }
      assert.ok(Math.abs(product - matrix[i * d + j] / largest) < TOLERANCE * d, `${what}: V·Λ·Vᵀ at ${i}, ${j}: ${product}`);
      assert.ok(Math.abs(dot - (i === j ? 1 : 0)) < TOLERANCE * d, `${what}: Vᵀ·V at ${i}, ${j}: ${dot}`);
    }
  }
  return values;
}

test("eigenvalues that were put in come out, whatever they are: spread over ten decades, equal, zero, negative", () => {
  const spread = Array.from({ length: 40 }, (_, i) => 10 ** (-10 + i / 4));
  for (const [what, wanted] of Object.entries({
    spread, equal: new Array<number>(30).fill(2), pairs: [1, 1, 1, 5, 5, -3, -3, 0, 0], zero: new Array<number>(12).fill(0), negative: [-5, -4, -1e-9], one: [7], two: [3, -3],
    "more than are rotated at a time": Array.from({ length: 131 }, (_, i) => Math.sin(i)),
  })) {
    const values = check(planted(wanted), wanted.length, what), sorted = wanted.slice().sort((a, b) => a - b);
    const largest = Math.max(...wanted.map(Math.abs), Number.MIN_VALUE);
    sorted.forEach((value, i) => assert.ok(Math.abs(values[i] - value) <= TOLERANCE * wanted.length * largest, `${what}: ${values[i]}, expected ${value}`));
  }
});

test("matrices that are tridiagonal or fall apart already, and random ones of every small size", () => {
  for (let d = 1; d <= 20; d++) check(symmetric(d), d, `random ${d}`);
  const identity = new Float64Array(49).map((_, i) => (i % 8 ? 0 : 1));
  assert.deepEqual(Array.from(check(identity, 7, "identity")), new Array<number>(7).fill(1));
  const chain = new Float64Array(64); // 2 − 2·cos: of a chain of springs
  for (let i = 0; i < 8; i++) {
    chain[9 * i] = 2;
    if (i) chain[9 * i - 1] = chain[9 * i - 8] = -1;
  }
  check(chain, 8, "chain").forEach((value, i) => assert.ok(Math.abs(value - (2 - 2 * Math.cos((Math.PI * (i + 1)) / 9))) < 1e-13));
  const blocks = new Float64Array(64);
  for (const [from, size] of [[0, 3], [3, 1], [4, 4]]) for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) blocks[(from + i) * 8 + from + j] = 1 + (i === j ? from : 0);
  check(blocks, 8, "blocks");
});

test("tiny and huge numbers neither vanish nor overflow; what is not finite is refused", () => {
  const matrix = symmetric(9), want = symmetricEigen(matrix, 9).values;
  for (const factor of [1e-200, 1e200]) {
    const { values } = symmetricEigen(matrix.map((x) => x * factor), 9);
    values.forEach((value, i) => assert.ok(Math.abs(value / factor - want[i]) < 1e-12, `${factor}: ${value}`));
  }
  for (const bad of [NaN, Infinity]) assert.throws(() => symmetricEigen(matrix.with(4, bad), 9), /expected finite numbers, found (NaN|Infinity)/);
  assert.deepEqual(symmetricEigen([], 0), { values: new Float64Array(0), vectors: new Float64Array(0) });
});
