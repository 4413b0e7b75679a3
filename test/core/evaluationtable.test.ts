import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluationTable } from "../../src/core/evaluationtable";
import { tableText } from "../../src/core/featuretable";

const good = {
  fvu: 0.0857, explainedVariance: 0.9143, explainedVarianceLegacy: 0.91, mse: 2.5, cosine: 0.96, l2NormIn: 12.2, l2NormOut: 11.9, l2Ratio: 0.975, relativeReconstructionBias: 0.99,
  l0: 16, l1: 40, dead: 0.0078, dense: 0.001, rows: 183735, hook: "layers.3",
};

test("an evaluation says what each measure means", () => {
  const text = tableText(evaluationTable(good, "heldout", 1024));
  assert.match(text, /FVU +0\.0857 +explains 91\.4 % of the variance of 183,735 held-out rows of layers\.3\.$/m);
  assert.match(text, /dead +0\.78 % +of 1,024 latents/);
  assert.doesNotMatch(text, /suspect/);
});

test("an SAE that rebuilds no better than the mean row is called suspect", () => {
  assert.match(tableText(evaluationTable({ ...good, fvu: 1.7, explainedVariance: -0.7 }, "all", 1024)), /^FVU +1\.70 +No better than the mean row: suspect the hook, or the SAE; explains −70 % /m);
});
