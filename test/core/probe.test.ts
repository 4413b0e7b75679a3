import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { atOnce } from "../../src/core/pieces";
import { columnsOf, largestDifferences, logisticRegression, logits, meanDifference, type PooledItems } from "../../src/core/probe";
import { auroc, averagePrecision } from "../../src/core/ranking";
import { recovery } from "../../src/core/recovery";

const golden = JSON.parse(readFileSync(join(__dirname, "../../../test/oracle/evals/probes.json"), "utf8"));

for (const { name, c, x, y, weights, bias, accuracy, ...scores } of golden.probes.cases) {
  test(`logistic regression is scikit-learn's: ${name}`, () => {
    const k = x[0].length;
    const fit = logisticRegression(x.flat(), y, k, { c });
    [...weights, bias].forEach((wanted: number, j: number) => assert.ok(Math.abs([...fit.weights, fit.bias][j] - wanted) <= 1e-6 * (1e-2 + Math.abs(wanted)), `${j}: ${[...fit.weights, fit.bias][j]} for ${wanted}`));
    const z = logits(fit, x.flat());
    assert.equal(z.reduce((right, value, i) => right + (value > 0 === Boolean(y[i]) ? 1 : 0), 0) / y.length, accuracy);
    assert.ok(Math.abs(auroc(z, y) - scores.auroc) < 1e-9 && Math.abs(averagePrecision(z, y) - scores.average_precision) < 1e-9);
  });
}

test("logistic regression refuses one side only, and other shapes", () => {
  assert.throws(() => logisticRegression([1, 2], [1, 1], 1), /items of both sides, found 2 positives of 2/);
  assert.throws(() => logisticRegression([1, 2, 3], [1, 0], 1), RangeError);
});

/** Rows of numbers as pooled items: zeros left out. */
function pooled(rows: number[][]): PooledItems {
  const entries = rows.map((row) => row.flatMap((value, f) => (value ? [[f, value]] : [])));
  const offset = Int32Array.from([0, ...entries.map((_, i) => entries.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0))]);
  return { offset, latent: Int32Array.from(entries.flat().map(([f]) => f)), value: Float32Array.from(entries.flat().map(([, value]) => value)) };
}

test("the mean difference is NumPy's, and the columns are those of the chosen latents", () => {
  const { x, y } = golden.probes.cases[0];
  const items = pooled(x);
  const all = Int32Array.from(y.keys());
  const difference = atOnce(meanDifference(items, all, y, 4));
  golden.probes.mean_difference.forEach((wanted: number, f: number) => assert.ok(Math.abs(Math.abs(difference[f]) - wanted) < 1e-6));
  assert.deepEqual([...largestDifferences(difference, 2)], [0, 1]);
  assert.deepEqual([...largestDifferences([1, -3, 3, 0], 3)], [1, 2, 0]); // by size, ties by number
  assert.deepEqual([...columnsOf(items, Int32Array.of(5, 2), Int32Array.of(3, 0))].map(Math.fround), [x[5][3], x[5][0], x[2][3], x[2][0]].map(Math.fround));
});

test("recovery of planted directions is NumPy's; a dead latent finds nothing", () => {
  const { directions, decoder, probability, alive, cosine, latent, mean, share, weighted_mean, weighted_share } = golden.recovery;
  const found = atOnce(recovery(Float32Array.from(decoder.flat()), directions.flat(), 5, { alive, probability }));
  const near = (a: number, b: number): void => assert.ok(Math.abs(a - b) < 1e-6, `${a} for ${b}`);
  cosine.forEach((wanted: number, i: number) => near(found.cosine[i], wanted));
  assert.deepEqual([...found.latent], latent);
  near(found.meanMaxCosine, mean);
  near(found.recovered, share);
  near(found.weighted!.meanMaxCosine, weighted_mean);
  near(found.weighted!.recovered, weighted_share);
  const together = atOnce(recovery(Float32Array.from(decoder.flat()), directions.flat(), 5));
  assert.equal(together.latent[5], decoder.length - 1); // with the dead one counted, it is the last direction's
  assert.equal(together.weighted, undefined);
  assert.deepEqual([together.distinct, found.distinct].map((value) => value <= 1), [true, true]);
  assert.equal(atOnce(recovery(Float32Array.of(1, 0), [2, 0, 3, 0.1], 2)).distinct, 0); // one latent for two directions
  assert.throws(() => atOnce(recovery(Float32Array.of(1, 0), [0, 0], 2)), /direction 0 of norm 0/);
  assert.throws(() => atOnce(recovery(Float32Array.of(1, 0), [1, 0], 2, { alive: [0] })), /all 1 are dead/);
});
