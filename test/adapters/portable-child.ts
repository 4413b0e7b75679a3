import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import {
  collect, compareFeatures, decoderMap, evaluate, falsify, featureLogits, harvest, heatMap, loadSae, nearestFeatures, openModel, openStore, readTexts, scoreLabels, trainSae,
} from "../../src";
import { DISPLAY } from "../../src/adapters/show";
import { tensorflow } from "../../src/adapters/tensorflow";

/**
 * The first notebook's lines in small, and some more, on whatever computes in this process: node portable-child.js FOLDER begin|repeat.
 * `begin` harvests and trains into FOLDER; `repeat` measures the SAE that lies there, and trains one like it. What it found goes into
 * FOLDER/begin.json or repeat.json.
 */
const [folder, what] = process.argv.slice(2);
const root = join(__dirname, "../../..");
const quiet = { progress: () => {} };

export interface Found {
  name: string;
  device: string;
  backend: string;
  /** Numbers that are to be the same. */
  numbers: Record<string, number[]>;
  /** `cosine`: of each latent with the nearest one of the SAE that lies in FOLDER, ascending. */
  trained: { fvu: number; step: unknown; machine: unknown; cosine: number[] };
  words: Record<string, unknown>;
}

async function main(): Promise<void> {
  const begin = what === "begin";
  const model = await openModel(join(root, "data", "tiny-reasoner"));
  const texts = (await readTexts(join(root, "data", "reasoning", "corpus.jsonl"))).slice(0, 150);
  const store = join(folder, "store"), first = join(folder, "sae");
  const rows = begin ? await harvest(model, texts, { hooks: ["layers.3"], folder: store, ...quiet }) : await openStore(store);
  const trained = await trainSae(rows, { latents: 256, k: 8, tokens: 20_000, view: () => {}, ...(begin ? { folder: first } : {}) });
  const sae = await loadSae(first, { hook: model.hook("layers.3"), preflight: "warn" });
  const features = await collect(rows, sae, quiet);
  const scores = await scoreLabels(features, { labels: ["backtracking", "deduction"], ...quiet });
  const tested = await falsify(features, { model, sae, label: "backtracking", scores, count: 2, sentences: 20, resamples: 20, ...quiet });
  const nearest = await nearestFeatures(sae, trained, quiet);
  const map = await decoderMap(sae, { method: "pca", ...quiet });
  const logits = await featureLogits(model, sae, { count: 3, ...quiet });
  const compared = await compareFeatures(sae, trained, quiet);
  const measured = await evaluate(sae, rows, quiet);
  const top = features.top({ count: 5, examples: 2 });
  const frame = features.table().sortValues("density", { ascending: false })!.head(4);
  const shown = heatMap(top.slice(0, 2))[DISPLAY]() as Record<string, unknown>;
  const { name, device, tf } = tensorflow();
  const found: Found = {
    name, device, backend: tf.getBackend(),
    trained: { fvu: (await evaluate(trained, rows, quiet)).fvu, step: trained.card.step, machine: trained.card.machine, cosine: Array.from(nearest.cosine).sort((a, b) => a - b) },
    numbers: {
      measured: [measured.fvu, measured.l0, measured.cosine],
      fired: Array.from(features.fired),
      top: top.flatMap(({ latent, max }) => [latent, max]),
      scores: scores.labels.flatMap(({ latent, detectors }) => [latent, ...detectors.map(({ heldout }) => heldout)]),
      falsified: tested.latents.flatMap(({ latent, heldout }) => [latent, heldout]),
      map: Array.from(map.x, Math.abs),
    },
    words: { inspected: inspect(sae), logits: inspect(logits).length, compared: inspect(compared).length, frame: [frame.constructor.name, frame.columns, frame.shape], shown: Object.keys(shown) },
  };
  writeFileSync(join(folder, `${what}.json`), JSON.stringify(found));
  await model.close();
}

if (require.main === module) void main();
