import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadSae } from "../../src/adapters/loadsae";
import { densityHistogram, fvu, measuring, type Measures } from "../../src/core/measure";
import { decode, encode } from "../../src/core/sae";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";

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
  assert.throws(() => fvu(new Float32Array(0), new Float32Array(0), 2), { name: "RangeError", message: /found 0 equal rows/ });
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
  const { fvu: share, explainedVariance, mse, l0, l1, dead, dense, rows } = tally.result();
  assert.ok(Math.abs(share - 10 / 82.5) < 1e-12);
  assert.equal(explainedVariance, 1 - share);
  assert.deepEqual({ mse, l0, l1, dead, dense, rows }, { mse: 1, l0: 1.3, l1: 1.15, dead: 2 / 5, dense: 2 / 5, rows: 10 });
  assert.deepEqual([...tally.density()], [1, 0.1, 0.2, 0, 0].map(Math.fround));
});

test("density histogram: four bins a decade, the dead apart, the edges within", () => {
  const { edges, counts, dead } = densityHistogram([0, 1, 0.5, 0.1, 0.0999, 0.01, 0]);
  assert.deepEqual([edges[0], edges.at(-1), counts.length, dead], [-2, 0, 8, 2]);
  assert.deepEqual(counts, [1, 0, 0, 1, 1, 0, 1, 1]); // 0.01 | 0.0999 | 0.1 | 0.5 | 1
  assert.equal(counts.reduce((a, b) => a + b) + dead, 7);
  assert.deepEqual(densityHistogram([0, 0]).counts, [0, 0, 0, 0]);
});

/** SAELens' numbers on the same rows and weights: test/oracle/evals. */
const ORACLE = join(__dirname, "../../../test/oracle/evals");
const golden = JSON.parse(readFileSync(join(ORACLE, "golden.json"), "utf8"));
const NAMES: Record<string, keyof Measures> = {
  explained_variance: "explainedVariance", explained_variance_legacy: "explainedVarianceLegacy", mse: "mse", cossim: "cosine", l2_norm_in: "l2NormIn", l2_norm_out: "l2NormOut",
  l2_ratio: "l2Ratio", relative_reconstruction_bias: "relativeReconstructionBias", l0: "l0", l1: "l1",
};

for (const [name, { metrics, density }] of Object.entries<{ metrics: Record<string, number>; density: number[] }>(golden.cases)) {
  test(`measures are SAELens': ${name}`, async () => {
    const sae = await loadSae(join(ORACLE, name.split(",")[0]));
    const bytes = bytesSource(readFileSync(join(ORACLE, "rows.safetensors")));
    const all = readFloats(bytes, readHeader(bytes, "rows").tensors.get("x")!);
    const kept = golden.ids.flat().flatMap((id: number, row: number) => (name.includes("left out") && id < 3 ? [] : [row]));
    const x = Float32Array.from(kept.flatMap((row: number) => [...all.subarray(row * 48, (row + 1) * 48)]));
    const sparse = encode(sae.weights, x);
    const tally = measuring(48, 48);
    tally.rows(x, decode(sae.weights, sparse));
    tally.latents(sparse.index, sparse.value);
    const found = tally.result();
    for (const [theirs, ours] of Object.entries(NAMES)) assert.ok(Math.abs(found[ours] - metrics[theirs]) <= 2e-6 * Math.max(1, Math.abs(metrics[theirs])), `${theirs}: ${found[ours]} for ${metrics[theirs]}`);
    tally.density().forEach((share, f) => assert.ok(Math.abs(share - density[f]) < 1e-6, `density of latent ${f}`));
    assert.equal(found.dead, density.filter((share) => share === 0).length / 48);
    assert.equal(found.rows, kept.length);
  });
}

test("rows of zeros and rows that are the mean count as the docstrings say", () => {
  const tally = measuring(2, 0);
  tally.rows(Float32Array.of(0, 0, 2, 0, 1, 0), Float32Array.of(0, 0, 1, 0, 0, 0)); // the last row is the mean
  const { cosine, l2Ratio, explainedVarianceLegacy, fvu: share } = tally.result();
  assert.equal(cosine, 1 / 3);
  assert.equal(l2Ratio, 0.5 / 3);
  assert.equal(explainedVarianceLegacy, (1 + 0) / 2);
  assert.equal(share, 1);
});
