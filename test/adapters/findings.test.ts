import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { causalCheck } from "../../src/adapters/causal";
import { collect } from "../../src/adapters/collect";
import { falsify } from "../../src/adapters/falsify";
import { harvest } from "../../src/adapters/harvest";
import { latentValues } from "../../src/adapters/latentrows";
import { openModel } from "../../src/adapters/open";
import { packageRoot } from "../../src/adapters/package";
import { scoreLabels } from "../../src/adapters/score";
import { DISPLAY, heatMap } from "../../src/adapters/show";
import { readTexts } from "../../src/adapters/texts";
import { trainSae } from "../../src/adapters/train";

test("from a trained SAE to features that correlate with backtracking, each with its controls and its verdict, on held-out text", async () => {
  const root = mkdtempSync(join(tmpdir(), "saelab-findings-"));
  const model = await openModel(join(packageRoot, "data", "tiny-reasoner"));
  try {
    const texts = (await readTexts(join(packageRoot, "data", "reasoning", "corpus.jsonl"))).slice(0, 300);
    const rows = await harvest(model, texts, { hooks: ["layers.3"], folder: join(root, "rows") });
    const sae = await trainSae(rows, { latents: 256, k: 8, tokens: 60_000 });

    // the README's program
    const features = await collect(rows, sae);
    const scores = await scoreLabels(features, { labels: ["backtracking"] });
    const best = scores.best("backtracking", { count: 10 });
    const tested = await falsify(features, { model, sae, label: "backtracking", scores, count: 10 });
    await tested.keep();
    const maps = heatMap(tested.features("token detector"));

    assert.deepEqual(tested.latents.map(({ latent }) => latent), best.map(({ latent }) => latent));
    tested.latents.forEach(({ latent, heldout, controls, injection, moved, q }, i) => {
      assert.ok(Math.abs(heldout - best[i].heldout) < 1e-6, `${latent}: as scoreLabels measures it`);
      assert.equal(q, best[i].q);
      assert.deepEqual(controls.map(({ kind }) => kind).sort(), ["difference of means", "keyword", "length", "position", "probe", "random direction", "text model"]);
      assert.ok(injection.kinds.every(({ rate }) => rate.of >= 20) && injection.none.of >= 20);
      assert.ok(moved.positives >= 20 && moved.before > 0.5);
    });
    assert.ok(tested.latents[0].moved.auroc > 0.7 && tested.latents[0].heldout > 0.9);
    assert.equal(tested.heldout.sentences, scores.heldout.sentences);
    assert.equal(features.column("verdict")[best[0].latent], tested.latents[0].verdict);
    assert.match(features.table().columns.join(), /label,verdict/);
    assert.equal(typeof maps[DISPLAY]()["text/html"], "string");
    assert.match(tested[DISPLAY]()["text/plain"] as string, /Of 10 latents: /);

    // texts that are read for the tests give what the harvest gave
    const [chosen, document] = [best.slice(0, 3).map(({ latent }) => latent), 7];
    const [from, to] = rows.documentRows().subarray(document, document + 2);
    const { position } = rows.origin(from, to);
    const { k, index, value } = features.codes(from, to);
    const { ids } = rows.tokens(document);
    let [active, compared] = [0, 0];
    await latentValues(model, sae, chosen, [{ ids, from: 0, to: ids.length }], { hook: "layers.3", dropNorm: 10, stopped: "", told: () => {} }, (_, values) => {
      assert.ok(Number.isNaN(values[0]), "the first position is a sink");
      position.forEach((at, r) => chosen.forEach((latent, l) => {
        let want = 0;
        for (let j = r * k; j < (r + 1) * k; j++) if (index[j] === latent && value[j] > 0) want = value[j];
        compared++;
        if (want) active++;
        assert.ok(Math.abs(values[at * chosen.length + l] - want) <= 1e-3 * Math.max(1, want), `${at} ${latent}`); // other sizes of batches: sums in another order
      }));
    });
    assert.ok(active > 0 && compared === 3 * (to - from));

    const check = await causalCheck(model, sae, best[0].latent, { texts: texts.slice(0, 4), tokens: 600, controls: 2 });
    assert.ok(check.ablated.kl.value > 0 && check.ablated.controls.length === 2);
    features.close();
  } finally {
    await model.close();
    rmSync(root, { recursive: true, force: true });
  }
});
