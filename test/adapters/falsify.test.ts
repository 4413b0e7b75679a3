import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { falsify, type Falsification } from "../../src/adapters/falsify";
import type { Features } from "../../src/adapters/features";
import { scoreLabels, type LabelScores } from "../../src/adapters/score";
import { PLANTED, plantedModel, plantedSae, plantedStore } from "./plantedlatents";

const root = mkdtempSync(join(tmpdir(), "saelab-falsify-"));
after(() => rmSync(root, { recursive: true, force: true }));

const model = plantedModel();
const store = plantedStore();
const sae = plantedSae();
let features: Features;
let scores: LabelScores;
const results: Record<string, Falsification> = {};
before(async () => {
  features = await collect(store, sae, { folder: join(root, "planted") });
  scores = await scoreLabels(features, { resamples: 100 });
  for (const [label, latents] of Object.entries({
    backtracking: [PLANTED.token, PLANTED.after, PLANTED.pair, PLANTED.context, PLANTED.noise, PLANTED.topic],
    weaving: [PLANTED.order, PLANTED.noise], initializing: [PLANTED.position], calm: [PLANTED.calm], rare: [PLANTED.order],
  })) results[label] = await falsify(features, { model, sae, label, latents, scores });
});

void assert;
test("each planted latent is found out, for the reason that was planted", () => {
  console.log(String(require("node:util").inspect(scores)));
  for (const one of Object.values(results)) console.log(String(require("node:util").inspect(one)));
});
