import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { collect } from "../../src/adapters/collect";
import { detectionScore } from "../../src/adapters/detection";
import type { Features } from "../../src/adapters/features";
import { labelFeatures, paraphraser } from "../../src/adapters/labeller";
import { openAiProvider, type LabelProvider } from "../../src/adapters/provider";
import { DISPLAY } from "../../src/adapters/show";
import { suggestLabels } from "../../src/adapters/suggestlabels";
import { detectionContexts, detectionScoreOf, heldoutFirings, type DetectionContext } from "../../src/core/detection";
import { OptionError, ProviderError } from "../../src/core/errors";
import { labelPrompt, markedText, readLabel, readVerdicts } from "../../src/core/labelprompts";
import { atOnce } from "../../src/core/pieces";
import type { Store } from "../../src/core/types";
import { json, labelServer } from "./label-server";
import { synthetic, words } from "./synthetic";

const root = mkdtempSync(join(tmpdir(), "saelab-labeller-"));
let features: Features, store: Store;
before(async () => {
  const made = synthetic({ documents: 60 });
  store = made.store;
  features = await collect(store, made.sae, { folder: join(root, "family") });
});
after(() => {
  features.close();
  rmSync(root, { recursive: true, force: true });
});

const excerptsOf = (user: string): string[] => [...user.matchAll(/^Excerpt \d+: (.*)$/gm)].map(([, text]) => text);

/** Answers as `fits` says of each excerpt. */
const judge = (fits: (excerpt: string, label: string) => boolean): LabelProvider & { asked: string[] } => {
  const asked: string[] = [];
  return {
    name: "judge", asked,
    async complete(messages) {
      const user = messages.at(-1)!.content;
      asked.push(user);
      const label = /^Description: (.*)$/m.exec(user)![1];
      return `Thinking … [maybe]\n${JSON.stringify(excerptsOf(user).map((one) => (fits(one, label) ? 1 : 0)))}`;
    },
  };
};

test("a labeller sees marked contexts of the training side only, over HTTP; its labels are kept", async () => {
  const server = await labelServer((_, user) => (/«[^»]* wait»/.test(user) ? "<think>Label: wrong</think>\nLabel: **the word \"wait\"**" : "Label: something else"));
  try {
    const provider = openAiProvider({ endpoint: server.endpoint, model: "tiny" });
    const labels = await labelFeatures(features, { provider, latents: [1, 31, 0], examples: 6 });
    assert.equal(labels.labels.get(1)!.label, 'the word "wait"');
    assert.equal(labels.labels.get(0)!.label, "something else");
    assert.deepEqual([...labels.none], [[31, "never fires"]]);
    assert.match(labels[DISPLAY]()["text/plain"] as string, /tiny at 127\.0\.0\.1:\d+, of 6 contexts/);
    const sides = store.documents().map(({ split }) => split);
    const allowed = new Set([0, 1].flatMap((latent) => {
      const feature = features.feature(latent);
      return [...feature.top, ...feature.more.flatMap(({ examples }) => examples)].filter(({ document }) => sides[document] === "train").map((example) => markedText(example, features.words.token));
    }));
    for (const { body } of server.asked) {
      const [, told] = /^Tokens it is strongest on: (.*)\.$/m.exec(body.messages.at(-1)!.content)!;
      for (const token of JSON.parse(`[${told}]`) as string[]) assert.ok([...allowed].some((context) => context.match(/«[^»]*»/g)!.some((marked) => marked.includes(token))), token);
      const texts = [...body.messages.at(-1)!.content.matchAll(/^\d+\. (.*)$/gm)].map(([, text]) => text);
      assert.equal(texts.length, 6);
      assert.ok(texts.every((text) => allowed.has(text)));
    }
    assert.equal(server.asked.length, 2); // a dead latent is not asked about
    assert.equal(await labels.keep(), 2);
    assert.equal(features.feature(0).label, "something else");
  } finally {
    await server.close();
  }
});

test("an endpoint that gives up: at once an error, after some answers the rest without", async () => {
  const refusing = await labelServer((n) => (n < 2 ? `Label: number ${n}` : json(401, {})));
  try {
    const provider = openAiProvider({ endpoint: refusing.endpoint, model: "m" });
    const labels = await labelFeatures(features, { provider, latents: [1, 2, 3, 4, 5], concurrency: 1 });
    assert.deepEqual([[...labels.labels.keys()], [...labels.none.keys()]], [[1, 2], [3, 4, 5]]);
    assert.match(labels.none.get(5)!, /401/);
    assert.equal(refusing.asked.length, 3);
    await assert.rejects(labelFeatures(features, { provider, latents: [1] }), ProviderError);
  } finally {
    await refusing.close();
  }
  const silent: LabelProvider = { name: "s", complete: async () => "I do not\nknow." };
  assert.deepEqual([...(await labelFeatures(features, { provider: silent, latents: [1] })).none], [[1, "the answer held no label"]]);
  await assert.rejects(labelFeatures(features, { provider: {} as never }), OptionError);
  await assert.rejects(labelFeatures(features, { provider: silent, latents: [99] }), OptionError);
  await assert.rejects(labelFeatures(features, { provider: silent, concurrency: 0 }), OptionError);
});

test("detection: a judge who knows is right, one who errs is wrong, one who guesses is at chance", async () => {
  const knows = judge((text) => text.includes(" wait"));
  const right = (await detectionScore(features, { 1: "the word “wait”" }, { provider: knows, context: 2 })).scores[0];
  assert.ok(right.balancedAccuracy > 0.85 && right.interval[0] > 0.5, JSON.stringify(right));
  assert.deepEqual([right.active, right.silent, right.unanswered], [20, 20, 0]);
  const wrong = (await detectionScore(features, { 1: "x" }, { provider: judge((text) => !text.includes(" wait")), context: 2 })).scores[0];
  assert.ok(Math.abs(wrong.balancedAccuracy - (1 - right.balancedAccuracy)) < 1e-12);
  let coin = 1;
  const guess = (await detectionScore(features, { 1: "x" }, { provider: judge(() => ((coin = (coin * 48271) % 2147483647) & 1) === 1), context: 2, count: 40 })).scores[0];
  assert.ok(guess.interval[0] < 0.5 && guess.interval[1] > 0.5, JSON.stringify(guess));
  const all = (await detectionScore(features, { 1: "x" }, { provider: judge(() => true), context: 2 })).scores[0];
  assert.deepEqual([all.balancedAccuracy, all.sensitivity, all.specificity], [0.5, 1, 0]);
  assert.ok(knows.asked.every((user) => excerptsOf(user).length === 5));
});

test("detection: held-out documents only, texts as they stand there, labels of suggestLabels, a column", async () => {
  const provider = judge((text, label) => [...label.matchAll(/“([^”]+)”/g)].some(([, word]) => text.includes(word)));
  const suggested = await suggestLabels(features, { latents: [1, 14, 31] });
  const scores = await detectionScore(features, suggested, { provider, context: 3 });
  assert.deepEqual(scores.scores.map(({ latent }) => latent), [1, 14]);
  const heldout = store.documents().filter(({ split }) => split === "heldout").map(({ text }) => text.replaceAll("\n", "\\n"));
  assert.ok(provider.asked.flatMap(excerptsOf).every((excerpt) => heldout.some((text) => text.includes(excerpt))));
  await scores.keep();
  const column = features.column("detection") as Float32Array;
  assert.deepEqual([column[1], column[2]], [Math.fround(scores.scores[0].balancedAccuracy), NaN]);
  assert.match(scores[DISPLAY]()["text/plain"] as string, /latent +label +balanced accuracy +95 % interval/);
  const again = await detectionScore(features, suggested, { provider, context: 3, concurrency: 1 });
  assert.deepEqual(again.scores, scores.scores);
});

test("detection: answers that cannot be read are asked for once more, then counted; none at all is an error", async () => {
  let n = 0;
  const good = judge((text) => text.includes(" wait"));
  const provider: LabelProvider = { name: "sloppy", complete: async (messages) => (n++ % 4 < 2 ? "no idea [1, 2, 3]" : good.complete(messages)) };
  const [score] = (await detectionScore(features, { 1: "x" }, { provider, context: 2, concurrency: 1 })).scores;
  assert.ok(score.unanswered > 0 && score.unanswered % 5 === 0 && score.active + score.silent + score.unanswered === 40, JSON.stringify(score));
  assert.match(good.asked.length ? "asked" : "", /asked/);
  await assert.rejects(detectionScore(features, { 1: "x" }, { provider: { name: "p", complete: async () => "hm" } }), (error: Error) => error instanceof ProviderError && /none in any of 8 answers/.test(error.message));
  await assert.rejects(detectionScore(features, {}, { provider: good }), OptionError);
  await assert.rejects(detectionScore(features, { 1: " " }, { provider: good }), OptionError);
  await assert.rejects(detectionScore(features, { 77: "x" }, { provider: good }), OptionError);
  const { store: some, sae } = synthetic({ documents: 8 });
  const train = await collect(some, sae, { folder: join(root, "train"), split: "train" });
  await assert.rejects(detectionScore(train, { 1: "x" }, { provider: good }), (error: Error) => error instanceof OptionError && /split: "all"/.test(error.message));
  train.close();
});

test("contexts: firings of every strength, silence that is silent, nothing twice", () => {
  const sides = store.documents().map(({ split }) => split);
  const held = atOnce(heldoutFirings([0, 1, 6, 31], features.codes, features.origin, features.rows, (document) => sides[document] === "heldout", 500));
  const codes = features.codes(0, features.rows), origin = features.origin(0, features.rows);
  const fires = new Map([0, 1, 6, 31].map((latent) => [latent, new Map<string, number>()]));
  for (let i = 0; i < codes.index.length; i++) {
    const r = Math.floor(i / codes.k);
    if (codes.value[i] > 0 && sides[origin.document[r]] === "heldout") fires.get(codes.index[i])?.set(`${origin.document[r]}:${origin.position[r]}`, codes.value[i]);
  }
  for (const latent of [0, 1, 6]) {
    const own = fires.get(latent)!;
    assert.equal(held.firings.get(latent)!.row.length, own.size);
    const reach = 2;
    const contexts = detectionContexts(held, latent, { count: 12, silent: 12, reach, seed: 3 });
    const sorted = [...own.values()].sort((a, b) => b - a);
    const quarter = ({ document, position }: DetectionContext): number => Math.floor((4 * sorted.indexOf(own.get(`${document}:${position}`)!)) / sorted.length);
    const active = contexts.filter((one) => one.active);
    assert.ok(active.length > 8);
    if (active.length === 12) for (const q of [0, 1, 2, 3]) assert.ok(active.filter((one) => quarter(one) === q).length >= 2);
    for (const { document, position, active: on } of contexts) {
      assert.equal(sides[document], "heldout");
      const near = Array.from({ length: 2 * reach + 1 }, (_, i) => own.has(`${document}:${position - reach + i}`));
      assert.equal(near[reach], on);
      if (!on) assert.deepEqual(near, new Array(2 * reach + 1).fill(false));
    }
    for (const [i, a] of contexts.entries()) for (const b of contexts.slice(i + 1)) assert.ok(a.document !== b.document || Math.abs(a.position - b.position) > 2 * reach);
    assert.deepEqual(detectionContexts(held, latent, { count: 12, silent: 12, reach, seed: 3 }), contexts);
  }
  assert.deepEqual(detectionContexts(held, 31, { count: 5, silent: 0, reach: 2, seed: 0 }), []);
});

test("a score by hand", () => {
  const contexts: DetectionContext[] = [[1, true], [1, true], [2, true], [2, false], [3, false], [3, false]].map(([document, active], i) => ({ document: Number(document), position: i, active: Boolean(active) }));
  const score = detectionScoreOf(7, "l", contexts, [true, false, undefined, false, true, false], 0);
  assert.deepEqual([score.sensitivity, score.specificity, score.active, score.silent, score.unanswered], [0.5, 2 / 3, 2, 3, 1]);
  assert.equal(score.balancedAccuracy, (0.5 + 2 / 3) / 2);
  assert.ok(score.interval[0] <= score.balancedAccuracy && score.interval[1] >= score.balancedAccuracy);
  assert.ok(Number.isNaN(detectionScoreOf(7, "l", [], [], 0).balancedAccuracy));
});

test("labels and verdicts are read out of what models write around them", () => {
  assert.equal(readLabel("Label: numbers"), "numbers");
  assert.equal(readLabel("- **Label**: “numbers”"), "numbers");
  assert.equal(readLabel("<think>Label: no</think>\n\nLabel: yes"), "yes");
  assert.equal(readLabel("thinking …</think> a word"), "a word");
  assert.equal(readLabel("numbers"), "numbers");
  assert.equal(readLabel("I think\nit is this"), undefined);
  assert.equal(readLabel("Label: \u202e\u200b"), undefined);
  assert.equal(readLabel(`Label: ${"x".repeat(1000)}`)!.length, 300);
  assert.deepEqual(readVerdicts("[1,0,1]", 3), [true, false, true]);
  assert.deepEqual(readVerdicts("Excerpt [2] … so:\n[True, false]", 2), [true, false]);
  assert.deepEqual(readVerdicts("<think>[1,1]</think>[0,0]", 2), [false, false]);
  for (const text of ["", "[1,0]", "[1,0,2]", "1,0,1", "[1,0,", '["1","0","1"]']) assert.equal(readVerdicts(text, 3), undefined, text);
});

test("a marked context is one line, its hostile tokens data", () => {
  const text = markedText({ tokens: Int32Array.of(0, 1, 2, 3), values: Float32Array.of(1, 5, 4, 0), peak: 1, document: 0, position: 0, count: 1 }, (id) => ["a\n", " b", " c", "\r\nd"][id]);
  assert.equal(text, "a\\n« b c»\\nd");
  const [, user] = labelPrompt([text], { promoted: [' "x'], strongest: [] });
  assert.equal(user.content, '1. a\\n« b c»\\nd\n\nTokens it makes more likely to come next: " \\"x".');
  assert.equal(words.length, 30);
});

test("paraphrases come in the order of the texts; an empty answer is an error", async () => {
  const provider: LabelProvider = { name: "p", complete: async (messages) => (await new Promise((resolve) => setTimeout(resolve, messages[1].content.length)), `<think>…</think> other ${messages[1].content}`) };
  assert.deepEqual(await paraphraser(provider).paraphrase(["long text", "a", "bb"]), ["other long text", "other a", "other bb"]);
  await assert.rejects(paraphraser({ name: "p", complete: async () => "  " }).paraphrase(["a"]), OptionError);
});
