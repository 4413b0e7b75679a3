import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { collect } from "../../src/adapters/collect";
import { falsify, type Falsification, type FalsifyOptions } from "../../src/adapters/falsify";
import type { Features } from "../../src/adapters/features";
import { latentsOf } from "../../src/adapters/latentrows";
import { ordinaryDocuments, ordinaryText } from "../../src/adapters/ordinary";
import type { LabelScores } from "../../src/adapters/labelscores";
import { scoreLabels } from "../../src/adapters/score";
import { DISPLAY } from "../../src/adapters/show";
import { InterruptError, OptionError, StoreError } from "../../src/core/errors";
import { share, type Falsified, type Measure } from "../../src/core/falsify";
import { auroc } from "../../src/core/ranking";
import { PLANTED, plantedModel, plantedSae, plantedStore, reworded } from "./plantedlatents";

const root = mkdtempSync(join(tmpdir(), "saelab-falsify-"));
after(() => {
  features.close();
  rmSync(root, { recursive: true, force: true });
});

const model = plantedModel();
const store = plantedStore();
const sae = plantedSae();
let features: Features;
let scores: LabelScores;
const results: Record<string, Falsification> = {};
const ASKED: Record<string, number[]> = {
  backtracking: [PLANTED.token, PLANTED.after, PLANTED.pair, PLANTED.context, PLANTED.noise, PLANTED.topic],
  weaving: [PLANTED.order], initializing: [PLANTED.position], calm: [PLANTED.calm], rare: [PLANTED.order],
};
const asked = (label: string, more: Partial<FalsifyOptions> = {}): Promise<Falsification> => falsify(features, { model, sae, label, latents: ASKED[label], scores, ...more });
before(async () => {
  features = await collect(store, sae, { folder: join(root, "planted") });
  scores = await scoreLabels(features, { resamples: 100 });
  for (const label of Object.keys(ASKED)) results[label] = await asked(label);
});

const rateOf = ({ injection }: Falsified, kind: string): number => share(injection.kinds.find((one) => one.kind === kind)!.rate);

test("a detector of one token: it fires wherever the token is pasted, and nowhere else", () => {
  const one = results.backtracking.of(PLANTED.token);
  assert.equal(one.verdict, "token detector");
  assert.deepEqual([rateOf(one, "token"), share(one.injection.none)], [1, 0]);
  assert.equal(one.injection.kinds[0].triggers[0].text, " wait");
  assert.equal(one.tokenFree.without[0], " wait");
  assert.ok(Math.abs(one.tokenFree.auroc - 0.5) < 0.03 && one.tokenFree.positives >= 20);
  assert.ok(one.moved.auroc > 0.7, "the word is in the sentence wherever it stands");
});

test("a detector whose peak sits on the token after its trigger: found by the token before", () => {
  const one = results.backtracking.of(PLANTED.after);
  assert.equal(one.verdict, "token detector");
  assert.equal(rateOf(one, "token before"), 1);
  assert.equal(one.injection.kinds[1].triggers[0].text, " hmm");
  assert.ok(rateOf(one, "token") < 0.25, "the tokens it peaks on do nothing");
});

test("a detector of two words in a row: single tokens do nothing, windows set it off", () => {
  const one = results.backtracking.of(PLANTED.pair);
  assert.equal(one.verdict, "token detector");
  assert.deepEqual([rateOf(one, "token"), rateOf(one, "token before"), rateOf(one, "2 tokens"), rateOf(one, "3 tokens")], [0, 0, 1, 1]);
  assert.equal(one.tokenFree.outcome, "undefined", "both words are in every sentence");
});

test("a position latent: high where the sentences stand, nothing when they are moved", () => {
  const one = results.initializing.of(PLANTED.position);
  assert.equal(one.verdict, "position");
  assert.ok(one.heldout > 0.85);
  assert.ok(Math.abs(one.moved.auroc - 0.5) < 0.06 && one.moved.outcome === "lost");
  assert.ok(rateOf(one, "token") > 0.9 && one.injection.outcome === "kept", "it fires on what is pasted, and as much where nothing is");
});

test("a latent that fires in such documents everywhere: nothing within a document, nothing behind other text", () => {
  const one = results.backtracking.of(PLANTED.context);
  assert.equal(one.verdict, "context");
  assert.ok(one.heldout > 0.75 && Math.abs(one.sameDocument.auroc - 0.5) < 0.06);
  assert.ok(Math.abs(one.moved.auroc - 0.5) < 0.06);
  assert.equal(one.injection.outcome, "kept");
});

test("a latent of the documents' topic: it goes along when the sentence is moved, but tells nothing within a document", () => {
  const one = results.backtracking.of(PLANTED.topic);
  assert.equal(one.verdict, "context");
  assert.ok(one.moved.auroc > 0.65 && one.moved.outcome !== "lost");
  assert.equal(one.sameDocument.outcome, "lost");
});

test("a latent that any text sets off which has no loud words: unrelated text as well", () => {
  const one = results.calm.of(PLANTED.calm);
  assert.equal(one.verdict, "context");
  assert.equal(one.moved.outcome, "kept");
  assert.ok(share(one.ordinary.tokens) > 0.9);
  assert.match(one.reasons[0], /unrelated text/);
});

test("a latent that fires at random is not above it; one with too few sentences is undecided", () => {
  const noise = results.backtracking.of(PLANTED.noise);
  assert.equal(noise.verdict, "not above random");
  assert.ok(noise.interval[0] < 0.5 && noise.interval[1] > 0.5);
  const rare = results.rare.of(PLANTED.order);
  assert.equal(rare.verdict, "undecided");
  assert.ok(results.rare.heldout.positives < 20);
  assert.match(rare.reasons[0], /only \d+ held-out sentences/);
});

test("a latent that needs the sentence, its order, and nothing else survives", () => {
  const one = results.weaving.of(PLANTED.order);
  assert.equal(one.verdict, "survives");
  assert.ok(one.moved.auroc > 0.9 && one.tokenFree.auroc > 0.9 && one.sameDocument.auroc > 0.9 && one.samePosition.auroc > 0.9);
  assert.ok(Math.abs(one.shuffled.auroc - 0.5) < 0.1 && one.shuffled.before > 0.9, "its tokens in another order are nothing to it");
  assert.equal(one.injection.outcome, "kept");
  for (const kind of ["keyword", "random direction", "position", "length"]) assert.ok(one.controls.find((control) => control.kind === kind)!.heldout < one.heldout);
});

test("figures are those of the held-out sentences, from the rows themselves", () => {
  const one = results.weaving.of(PLANTED.order);
  const codes = sae.encode(store.read("layers.1", 0, store.rows));
  const origin = store.origin(0, store.rows);
  const [score, positive]: number[][] = [[], []];
  const values = new Map<number, Map<number, number>>();
  for (let r = 0; r < store.rows; r++) for (let j = 0; j < codes.k; j++) {
    if (codes.index[r * codes.k + j] !== PLANTED.order || !(codes.value[r * codes.k + j] > 0)) continue;
    const of = values.get(origin.document[r]) ?? new Map<number, number>();
    values.set(origin.document[r], of.set(origin.position[r], codes.value[r * codes.k + j]));
  }
  store.documents().forEach(({ spans, split }, document) => {
    if (split !== "heldout") return;
    const { start } = store.tokens(document);
    for (const span of spans.filter((other) => ["backtracking", "deduction"].includes(other.label))) {
      const inside = [...start.keys()].filter((t) => t > 0 && start[t] >= span.start && start[t] < span.end).map((t) => values.get(document)?.get(t) ?? 0);
      const used = one.pooling === "first five" ? inside.slice(0, 5) : inside;
      score.push(Math.fround(one.pooling === "max" ? Math.max(...used) : used.reduce((a, b) => a + b, 0) / used.length));
      positive.push(spans.some((other) => other.label === "weaving" && other.start === span.start) ? 1 : 0);
    }
  });
  assert.equal(results.weaving.heldout.sentences, score.length);
  assert.ok(Math.abs(auroc(score, positive) - one.heldout) < 1e-9);
  assert.ok(Math.abs(positive.reduce((a, b) => a + b) / positive.length - results.weaving.baseRate) < 1e-12);
});

test("what is chosen does not depend on held-out labels", async () => {
  const blind = { ...store, documents: () => store.documents().map((document) => (document.split === "train" ? document : { ...document, spans: document.spans.map((span, i) => ({ ...span, label: i % 3 ? "backtracking" : "deduction" })) })) };
  const other = await collect(blind, sae, { folder: join(root, "blind") });
  const found = await falsify(other, { model, sae, label: "backtracking", count: 5 });
  const own = await falsify(features, { model, sae, label: "backtracking", count: 5, scores });
  const chosen = ({ latents }: Falsification) => latents.map(({ latent, pooling, threshold, train, injection }) => ({ latent, pooling, threshold, train, pasted: injection.kinds.map(({ triggers }) => triggers.map(({ text }) => text).sort()) }));
  assert.deepEqual(chosen(found), chosen(own));
  assert.equal(own.searched, features.count * 3);
  assert.deepEqual(own.latents.map(({ train }) => train), own.latents.map(({ train }) => train).sort((a, b) => b - a));
  assert.notDeepEqual(found.latents.map(({ heldout }) => heldout), own.latents.map(({ heldout }) => heldout));
  other.close();
});

test("the same seed gives the same figures; another one other sentences, and the same verdicts", async () => {
  const again = await asked("weaving");
  assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(results.weaving)));
  const alone = await asked("backtracking", { latents: [PLANTED.pair] });
  assert.deepEqual(JSON.parse(JSON.stringify(alone.latents[0])), JSON.parse(JSON.stringify(results.backtracking.of(PLANTED.pair))), "whatever others are asked for");
  const other = await asked("backtracking", { seed: 7 });
  assert.notEqual(other.latents[0].moved.auroc, results.backtracking.latents[0].moved.auroc);
  assert.deepEqual(other.latents.map(({ verdict }) => verdict), results.backtracking.latents.map(({ verdict }) => verdict));
});

test("in other words: a token detector is lost, what needs the order of classes is kept", async () => {
  const seen: string[] = [];
  const paraphrase = async (texts: string[]): Promise<string[]> => {
    seen.push(...texts);
    return texts.map(reworded);
  };
  const token = await asked("backtracking", { latents: [PLANTED.token], paraphrase });
  const lost = token.latents[0].paraphrased as Measure;
  assert.equal(lost.outcome, "lost");
  assert.equal(seen.length, 80);
  const heldout = store.documents().filter(({ split }) => split === "heldout").flatMap(({ text, spans }) => spans.map(({ start, end }) => text.slice(start, end)));
  assert.ok(seen.every((text) => heldout.includes(text)), "held-out sentences, whole");
  const order = await asked("weaving", { paraphrase });
  assert.equal(order.latents[0].paraphrased!.outcome, "kept");
  assert.match(inspect(order), /paraphrased/);
  for (const answer of [["one"], 7, ["", ""]]) await assert.rejects(asked("weaving", { paraphrase: async () => answer as string[] }), (error: Error) => error instanceof OptionError && /paraphrase: expected 80 texts/.test(error.message));
});

test("another SAE: its nearest latent and its best one, with what they score", async () => {
  const other = plantedSae("topk", true);
  const theirs = await collect(store, other, { folder: join(root, "other") });
  const { latents } = await asked("backtracking", { latents: [PLANTED.token, PLANTED.pair], second: { features: theirs, sae: other } });
  const last = other.weights.latents - 1;
  assert.equal(latents[1].second!.nearest.latent, last - PLANTED.pair);
  assert.ok(latents[1].second!.nearest.cosine > 0.95);
  assert.ok(Math.abs(latents[1].second!.nearest.heldout - latents[1].heldout) < 0.03);
  assert.ok(latents[0].second!.nearest.cosine < 0.7, "it has none for the token");
  assert.match(latents[0].cautions.join(), /no latent like it/);
  const some = await collect(plantedStore({ documents: 16 }), other, { folder: join(root, "some") });
  await assert.rejects(asked("backtracking", { second: { features: some, sae: other } }), /of the same rows/);
  theirs.close();
  some.close();
});

test("of an SAE with thresholds only the latents asked for are computed, with the same values", async () => {
  const jump = plantedSae("jumprelu");
  const x = store.read("layers.1", 0, 300);
  const all = jump.encode(x);
  const some = [PLANTED.order, 40, PLANTED.token];
  let encoded = 0;
  const counted = { ...jump, encode: () => assert.fail("all latents were encoded") };
  const values = latentsOf(counted, some)(x);
  for (let r = 0; r < 300; r++) for (const [i, latent] of some.entries()) {
    let want = 0;
    for (let j = 0; j < all.k; j++) if (all.index[r * all.k + j] === latent && all.value[r * all.k + j] > 0) want = all.value[r * all.k + j];
    assert.ok(Math.abs(values[r * some.length + i] - want) < 1e-5, `${r} ${latent}: ${values[r * some.length + i]} instead of ${want}`); // float32 sums of 96 terms
    encoded += want > 0 ? 1 : 0;
  }
  assert.ok(encoded > 20);
  const family = await collect(store, jump, { folder: join(root, "jump") });
  const found = await falsify(family, { model, sae: jump, label: "weaving", latents: [PLANTED.order] });
  assert.equal(found.latents[0].verdict, "survives");
  family.close();
});

test("verdicts are kept with the features; labels that are there stay", async () => {
  await features.setColumn("label", { [PLANTED.pair]: "let me" });
  await results.backtracking.keep();
  await results.weaving.keep();
  const [verdicts, labels] = [features.column("verdict"), features.column("label")];
  assert.equal(verdicts[PLANTED.token], "token detector");
  assert.deepEqual([labels[PLANTED.pair], verdicts[PLANTED.pair]], ["let me", "token detector (backtracking)"]);
  assert.deepEqual([labels[PLANTED.order], verdicts[PLANTED.order]], ["correlates with weaving", "survives"]);
  assert.equal(verdicts[40], undefined);
  assert.match(features.feature(PLANTED.order).label!, /weaving/);
  await results.backtracking.keep();
  assert.equal(features.column("verdict")[PLANTED.order], "survives");
});

test("shows itself: every latent with its verdict and reasons", () => {
  const bundle = results.backtracking[DISPLAY]() as Record<string, string>;
  const packed = bundle["application/vnd.saelab.verdicts.v1+json"] as unknown as { version: number; latents: Falsified[] };
  assert.equal(packed.version, 1);
  assert.equal(packed.latents.length, 6);
  for (const { latent, verdict, reasons } of results.backtracking.latents)
    for (const text of [bundle["text/plain"], bundle["text/html"]]) for (const said of [String(latent), verdict, reasons[0].slice(0, 20)]) assert.ok(text.includes(said.replace(/"/g, "&quot;")));
  assert.match(bundle["text/plain"], /Of 6 latents: token detector 3, context 2, not above random 1/);
  assert.match(bundle["text/plain"], /never|correlates with the label/);
});

test("ordinary text: plain prose with places to paste into; contexts of bounded length", async () => {
  const documents = await ordinaryDocuments();
  assert.ok(documents.length >= 8 && documents.reduce((sum, { text }) => sum + text.split(/\s+/).length, 0) > 1900);
  assert.doesNotMatch(documents.map(({ text }) => text).join(" "), /\b(wait|hmm|therefore|let me|check that|actually|maybe|suppose)\b/i);
  const text = ordinaryText(documents, model.tokenizer, 100);
  assert.ok(text.contexts.every(({ length }) => length <= 100));
  assert.throws(() => ordinaryText(["too short"], model.tokenizer), /expected texts of some hundred words/);
  assert.throws(() => ordinaryText("text" as never, model.tokenizer), OptionError);
});

test("a model, SAE or label that the features are not from are refused before the work", async () => {
  const refused = (options: Partial<FalsifyOptions>, message: RegExp, type: new (m: string) => Error = OptionError): Promise<void> =>
    assert.rejects(asked("backtracking", { model: { ...model, run: async () => assert.fail("the model was run") }, ...options }), (error: Error) => {
      assert.ok(error instanceof type, error.stack);
      assert.match(error.message, message);
      return true;
    });
  await refused({ model: { ...model, hash: async () => "other" } }, /model: expected planted, which the rows/);
  await refused({ model: undefined }, /model: expected the model/);
  await refused({ sae: plantedSae("topk", true) }, /sae: expected the SAE that was collected, found one whose codes/);
  await refused({ sae: undefined }, /sae: expected/);
  await refused({ label: "joy" }, /"joy"/);
  await refused({ label: "" }, /label: expected/);
  await refused({ latents: [] }, /latents: expected a list/);
  await refused({ latents: [1, 1] }, /found 1 twice/);
  await refused({ latents: [features.count] }, /from 0 to/);
  for (const options of [{ count: 0 }, { sentences: 3 }, { resamples: NaN }, { seed: 0.5 }]) await refused(options, new RegExp(Object.keys(options)[0]));
  await refused({ scores: { ...scores, latents: 3 } }, /scores of 3/);
  const half = await collect(store, sae, { folder: join(root, "half"), split: "train" });
  await assert.rejects(falsify(half, { model, sae, label: "backtracking" }), StoreError);
  half.close();
});

test("an interrupt stops the tests", async () => {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  try {
    await assert.rejects(asked("backtracking", { progress: () => void (flag.requested = true) }), InterruptError);
  } finally {
    flag.requested = false;
  }
});
