import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openCheckpoint } from "../../src/core/checkpoint";
import { addSkip, decode, encode, encodeBatch } from "../../src/core/sae";
import { cases, folderOf, goldenOf, worst, worstActivation } from "../checkpoints";
import { FIXTURES } from "../fixtures";

/** Every checkpoint there is, against the results of the library that wrote it: the same latents, and values to 1e-5 of the largest. */

const TOLERANCE = 1e-5; // float32 sums of 48 products on their side

for (const root of [join(__dirname, "../../../test/oracle/saes"), join(FIXTURES, "saes")]) {
  for (const name of cases(root)) {
    const fixture = root.startsWith(FIXTURES) ? " (fixtures)" : "";
    test(`${name}${fixture}: the plain loops agree with the library`, () => {
      const golden = goldenOf(join(root, name));
      const { weights } = openCheckpoint(folderOf(join(root, name)));
      const got = encode(weights, golden.x);
      const figures = [worstActivation(got, golden)];
      const decoded = decode(weights, got);
      if (golden.decode) figures.push(worst(decoded, golden.decode));
      figures.push(worst(addSkip(weights, golden.x, decoded), golden.recon));
      if (golden.batch) figures.push(worstActivation(encodeBatch(weights, golden.x, 8), golden.batch));
      if (process.env.SAELAB_FIGURES) console.log(`| ${name} | ${weights.kind ?? "topk"} | ${figures.map((v) => v.toExponential(1)).join(", ")} |`);
      for (const figure of figures) assert.ok(figure <= TOLERANCE, `${figures}`);
    });
  }
}
