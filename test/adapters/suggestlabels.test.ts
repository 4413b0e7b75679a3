import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { openFeatures } from "../../src/adapters/features";
import { DISPLAY } from "../../src/adapters/show";
import { similarFeatures } from "../../src/adapters/similarity";
import { suggestLabels } from "../../src/adapters/suggestlabels";
import { OptionError } from "../../src/core/errors";
import { suggestLabel, type LabelFacts } from "../../src/core/labels";
import { synthetic, words } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-labels-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("planted latents are named by what was planted; labels of a person stay", async () => {
  const { store, sae } = synthetic();
  const folder = join(root, "family");
  const features = await collect(store, sae, { folder });
  const found = await suggestLabels(features);
  assert.equal(found.labels.get(1)!.label, "“wait”");
  for (const word of [10, 12, 20]) assert.ok(found.labels.get(4 + word)!.label.includes(`“${words[word].trim()}”`)); // latents of a word, and of what else lies near it in 32 dimensions
  assert.match(found.labels.get(0)!.label, /^dense: many tokens/); // the behaviour, on any of its words
  assert.ok(!found.labels.has(31) && !found.none.has(31)); // dead
  assert.equal(await found.keep(), found.labels.size);
  assert.equal(features.feature(1).label, "“wait”");
  await features.setColumn("label", { 1: "a person's" });
  assert.equal(await found.keep(), found.labels.size - 1);
  assert.equal(features.feature(1).label, "a person's");
  assert.equal(await found.keep({ overwrite: true }), found.labels.size);
  const again = await openFeatures(folder);
  assert.equal(again.feature(1).label, "“wait”");
  assert.ok(again.table().columns.includes("label"));
  assert.match(found[DISPLAY]()["text/plain"] as string, /latent +label +why/);

  const few = await suggestLabels(features, { latents: [31, 1] });
  assert.deepEqual([[...few.labels.keys()], [...few.none]], [[1], [[31, "never fires"]]]);
  await assert.rejects(suggestLabels(features, { latents: [32] }), OptionError);

  const similar = similarFeatures(features, 1, { sae });
  const partners = features.together(1);
  assert.ok(partners.length > 0);
  for (const { latent, count, score } of partners) assert.deepEqual(similar.find((one) => one.latent === latent)?.together ?? { count, score }, { count, score });
  features.close();
  again.close();
});

const facts = (more: Partial<LabelFacts>): LabelFacts => ({ density: 0.01, entropy: 6, triggers: [], tokenShares: [], early: 0, fired: 100, documents: 10, ...more });

test("each kind of label", () => {
  const shares = (...list: [string, number][]) => list.map(([text, share]) => ({ text, share }));
  const label = (more: Partial<LabelFacts>): string | undefined => suggestLabel(facts(more))?.label;
  assert.equal(label({ fired: 4 }), undefined);
  assert.equal(label({ early: 0.9 }), "the first tokens of a text");
  assert.equal(label({ tokenShares: shares([" Wait", 0.5], [" wait", 0.3]) }), "“Wait”");
  assert.equal(label({ tokenShares: shares([" no", 0.5], ["but", 0.3]) }), "“no” or “but”");
  assert.equal(label({ tokenShares: shares([" 1", 0.4], [" 22", 0.2], ["3.5", 0.2]) }), "numbers, such as “1” or “22”");
  assert.equal(label({ tokenShares: shares([",", 0.15], [" one", 0.02], [".", 0.1], [" —", 0.05]) }), "punctuation, such as “,” or “.”");
  assert.equal(label({ tokenShares: shares(["\n\n", 0.9]) }), "“↵↵”");
  assert.equal(label({ density: 0.3, tokenShares: shares([" the", 0.1], [" a", 0.05]) }), "dense: many tokens, most “the” or “a”");
  assert.equal(label({ triggers: [{ text: " hmm", mean: 3 }, { text: " Hmm", mean: 2 }, { text: " but", mean: 4 }] }), "many tokens, strongest “hmm” or “but”");
  assert.equal(label({ entropy: 4, triggers: [{ text: " hmm", mean: 3 }], logits: { top: [{ text: " no", value: 1 }] } }), "some tokens, strongest “hmm”; before “no”");
  assert.equal(label({}), "many tokens");
  assert.equal(label({ tokenShares: shares(["<script>alert(1)</script>\u202e", 1]) }), "“<script>alert(1)</script>‹U+202E›”");
});
