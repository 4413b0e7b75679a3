import assert from "node:assert/strict";
import { test } from "node:test";
import { injectionOutcome, margin, outcomeOf, verdictOn, wilsonUpper, type Control, type Falsified, type Injection, type Measure, type Tested } from "../../src/core/falsify";
import { AFTER, pasted, placesIn, TRIGGER_KINDS, triggersOf } from "../../src/core/injection";
import { atOnce } from "../../src/core/pieces";
import { random } from "../../src/core/random";
import { auroc } from "../../src/core/ranking";
import { bootstrapped, quantileBins, stratified } from "../../src/core/stratified";

const numbers = (n: number, seed: number, steps = 8): number[] => {
  const rng = random(seed);
  return Array.from({ length: n }, () => rng.below(steps));
};

test("AUROC within strata is that of all pairs in one stratum; with one stratum that of all; weights count items so often", () => {
  for (let seed = 0; seed < 20; seed++) {
    const n = 60;
    const [score, positive, stratum, weight] = [numbers(n, seed), numbers(n, seed + 100, 2), numbers(n, seed + 200, 5).map((s) => s - 1), numbers(n, seed + 300, 3)];
    let [won, pairs] = [0, 0];
    const mixed = new Set([...stratum].filter((s) => s >= 0 && [0, 1].every((side) => stratum.some((other, i) => other === s && positive[i] === side))));
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
      if (!positive[i] || positive[j] || stratum[i] < 0 || stratum[i] !== stratum[j]) continue;
      pairs += weight[i] * weight[j];
      won += weight[i] * weight[j] * (score[i] > score[j] ? 1 : score[i] === score[j] ? 0.5 : 0);
    }
    const found = stratified(score, positive, stratum);
    assert.ok(Math.abs(found.auroc(weight) - won / pairs) < 1e-12);
    assert.equal(found.positives, positive.filter((is, i) => is && mixed.has(stratum[i])).length);
    assert.equal(found.negatives, positive.filter((is, i) => !is && mixed.has(stratum[i])).length);
    assert.ok(Math.abs(stratified(score, positive).auroc() - auroc(score, positive)) < 1e-12);
  }
  assert.ok(Number.isNaN(stratified([1, 2], [1, 1]).auroc()));
  assert.ok(Number.isNaN(stratified([1, 2], [1, 0], [0, 1]).auroc()), "never in one stratum");
});

test("what follows the stratum alone is at chance within strata", () => {
  const stratum = numbers(2000, 1, 10);
  const rng = random(4);
  const positive = stratum.map((s) => (rng.uniform() < s / 10 ? 1 : 0));
  const score = stratum.map((s) => s + 1e-3 * rng.uniform());
  assert.ok(auroc(score, positive) > 0.75);
  assert.ok(Math.abs(stratified(score, positive, stratum).auroc() - 0.5) < 0.04);
});

test("bins hold about equally many, equal values one bin", () => {
  const values = [...Array.from({ length: 50 }, () => 0), ...Array.from({ length: 50 }, (_, i) => i + 1)];
  const bins = quantileBins(values, 5);
  assert.ok(bins.subarray(0, 50).every((bin) => bin === bins[0]));
  const counts = new Map<number, number>();
  for (const bin of bins) counts.set(bin, (counts.get(bin) ?? 0) + 1);
  assert.ok([...counts.values()].every((count) => count <= 60 && count >= 15));
  bins.forEach((bin, i) => i && assert.ok(bin >= bins[i - 1]));
});

test("a bootstrap over documents is wider than one over sentences where documents are alike, and the same for the same seed", () => {
  const rng = random(9);
  const document = Array.from({ length: 400 }, (_, i) => Math.floor(i / 20));
  const of = Array.from({ length: 20 }, () => rng.normal());
  const values = document.map((d) => of[d] + 0.1 * rng.normal());
  const mean = (weight: Float64Array): number[] => {
    const all = weight.reduce((a, b) => a + b, 0);
    return [values.reduce((sum, value, i) => sum + weight[i] * value, 0) / all];
  };
  const width = (groups: number[]): number => {
    const [[low, high]] = atOnce(bootstrapped(groups, mean, random(1), 400));
    return high - low;
  };
  assert.ok(width(document) > 3 * width(document.map((_, i) => i)));
  assert.equal(width(document), width(document));
  // normal theory: 2 · 1.96 · sd of 20 means / √20
  const sd = Math.sqrt(of.reduce((sum, x) => sum + (x - of.reduce((a, b) => a + b, 0) / 20) ** 2, 0) / 19);
  assert.ok(Math.abs(width(document) / ((3.92 * sd) / Math.sqrt(20)) - 1) < 0.25);
});

test("triggers: by mean activation over all occurrences, with a least count; the token before, and windows", () => {
  // token 1 before token 2 sets it off; commas (9) carry the larger total
  const rng = random(2);
  const tokens = [Int32Array.from({ length: 600 }, (_, t) => (t % 12 === 3 ? 1 : t % 12 === 4 ? 2 : t % 3 === 0 ? 9 : 20 + rng.below(40)))];
  const rows = { document: new Int32Array(600), position: Int32Array.from({ length: 600 }, (_, t) => t) };
  const fired = new Map<number, number>();
  for (let t = 0; t < 600; t++) {
    if (t % 12 === 4) fired.set(t, 3);
    else if (tokens[0][t] === 9) fired.set(t, 1);
  }
  fired.set(7, 50); // once, strongly: an accident
  const found = triggersOf(tokens, rows)(fired, 4);
  assert.deepEqual(found.token[0], { tokens: [2], mean: 3, count: 50 });
  assert.deepEqual(found["token before"][0], { tokens: [1], mean: 3, count: 50 });
  assert.deepEqual(found["2 tokens"][0], { tokens: [1, 2], mean: 3, count: 50 });
  assert.equal(found["3 tokens"][0].tokens.slice(1).join(), "1,2");
  assert.ok(TRIGGER_KINDS.every((kind) => found[kind].length <= 4));
});

test("pastes: what stands before, what is pasted, and the tokens after it are read", () => {
  const ids = Int32Array.from({ length: 40 }, (_, i) => 100 + i);
  const wordStart = Uint8Array.from(ids, (_, i) => (i % 2 ? 1 : 0));
  const places = placesIn([{ ids: Int32Array.of(0, ...ids), wordStart: Uint8Array.of(0, ...wordStart) }], 1, 4, 50, random(0));
  assert.equal(places.length, 50);
  for (const place of places) {
    assert.equal(place.before[0], 0, "the tokenizer's own token first");
    assert.equal(place.before.length, 5);
    assert.equal(place.before[4] % 2, 0, "a word begins there");
    const { ids: all, from, to } = pasted(place, [7, 8]);
    assert.deepEqual([...all.subarray(from)], [7, 8, ...place.after.subarray(0, AFTER)]);
    assert.equal(to, all.length);
    const none = pasted(place, [], 3);
    assert.deepEqual([...none.ids.subarray(none.from)], [...place.after]);
    assert.equal(none.ids[none.from], none.ids[none.from - 1] + 1, "the text as it is");
  }
  assert.deepEqual(placesIn([{ ids, wordStart: new Uint8Array(40) }], 0, 4, 3, random(0)), []);
});

test("outcomes: half of what lies above chance has to stay, with enough sentences", () => {
  assert.equal(margin(0.7, 0.9), 0.7 - 0.5 - 0.2);
  assert.equal(outcomeOf([0.01, 0.1], 20, 20), "kept");
  assert.equal(outcomeOf([-0.1, -0.01], 20, 20), "lost");
  assert.equal(outcomeOf([-0.1, 0.1], 500, 500), "open");
  assert.equal(outcomeOf([0.01, 0.1], 19, 500), "undefined");
  assert.equal(outcomeOf([0.01, 0.1], 500, 19), "undefined");
  assert.equal(outcomeOf([NaN, NaN], 500, 500), "undefined");
});

test("the upper end of a rate is Wilson's", () => {
  // scipy 1: binomtest(10, 40).proportion_ci(method="wilson"), binomtest(0, 20)…
  assert.ok(Math.abs(wilsonUpper({ fired: 10, of: 40 }) - 0.40194) < 1e-4);
  assert.ok(Math.abs(wilsonUpper({ fired: 0, of: 20 }) - 0.16113) < 1e-4);
});

const rates = (token: number, before: number, two: number, three: number, none = 0, randoms = [0, 0, 0]): Omit<Injection, "outcome"> => ({
  kinds: TRIGGER_KINDS.map((kind, i) => ({ kind, rate: { fired: [token, before, two, three][i], of: 40 }, triggers: [] })),
  none: { fired: none, of: 40 }, random: randoms.map((fired) => ({ fired, of: 40 })),
});

test("pastes: windows alone suffice, controls are taken off, few pastes leave it open", () => {
  assert.equal(injectionOutcome(rates(0, 0, 0, 40)), "lost");
  assert.equal(injectionOutcome(rates(0, 20, 0, 0)), "lost");
  assert.equal(injectionOutcome(rates(4, 0, 2, 10)), "kept");
  assert.equal(injectionOutcome(rates(4, 0, 2, 17)), "open");
  assert.equal(injectionOutcome(rates(40, 40, 40, 40, 40)), "kept", "it fires there anyway");
  assert.equal(injectionOutcome(rates(0, 0, 0, 36, 0, [0, 0, 34])), "kept", "random tokens do as well");
  assert.equal(injectionOutcome(rates(0, 0, 36, 0, 0, [0, 0, 34])), "lost", "but not as few");
  assert.equal(injectionOutcome({ ...rates(0, 0, 0, 0), kinds: [] }), "undefined");
  assert.equal(injectionOutcome({ ...rates(0, 0, 0, 0), kinds: [{ kind: "token", rate: { fired: 1, of: 4 }, triggers: [] }] }), "open");
});

const measure = (outcome: Measure["outcome"], more: Partial<Measure> = {}): Measure => ({ auroc: outcome === "lost" ? 0.5 : 0.9, interval: [0.8, 0.95], before: 0.9, positives: 100, negatives: 100, outcome, ...more });
const control = (kind: Control["kind"], heldout: number, lead: [number, number] = [0.05, 0.2]): Control => ({ kind, what: "what", searched: 10, train: heldout, heldout, averagePrecision: 0.5, interval: [heldout, heldout], lead });
/** A latent that survives, but for what is said. */
const tested = (more: Partial<Tested> = {}): Tested => ({
  latent: 7, pooling: "max", train: 0.9, heldout: 0.9, interval: [0.85, 0.95], averagePrecision: 0.6, q: 0.001, threshold: 1,
  controls: [control("keyword", 0.7), control("random direction", 0.8), control("position", 0.6), control("length", 0.6), control("text model", 0.8), control("probe", 0.85)],
  ordinary: { ...measure("kept"), tokens: { fired: 0, of: 1000 }, stretches: { fired: 0, of: 50 }, sentences: { fired: 80, of: 100 }, samePositions: measure("kept") },
  injection: { ...rates(0, 0, 0, 0), outcome: "kept" }, tokenFree: { ...measure("kept"), without: [" wait"] },
  moved: measure("kept"), shuffled: measure("lost"), samePosition: measure("kept"), sameDocument: measure("kept"), ...more,
});
const lost = { ...rates(0, 0, 0, 40), outcome: "lost" as const };

const BRANCHES: [string, Partial<Tested>, number, Falsified["verdict"], RegExp][] = [
  ["all kept", {}, 100, "survives", /kept when moved/],
  ["too few of the label, whatever else", { injection: lost }, 19, "undecided", /only 19 held-out/],
  ["its interval reaches chance", { interval: [0.49, 0.95], injection: lost }, 100, "not above random", /may be chance/],
  ["pasted windows", { injection: lost }, 100, "token detector", /windows of 3 tokens set it off 40 of 40 times/],
  ["pasted windows, though position would explain it too", { injection: lost, samePosition: measure("lost") }, 100, "token detector", /pasted/],
  ["lost at like positions", { samePosition: measure("lost") }, 100, "position", /at like positions/],
  ["lost when moved, and position reaches half of it", { moved: measure("lost"), samePosition: measure("open"), controls: [control("position", 0.75)] }, 100, "position", /position alone/],
  ["lost when moved, position does not reach half", { moved: measure("lost"), samePosition: measure("open"), controls: [control("position", 0.65)] }, 100, "context", /behind unrelated text/],
  ["lost when moved, kept at like positions", { moved: measure("lost"), controls: [control("position", 0.75)] }, 100, "context", /behind unrelated text/],
  ["lost within documents, though kept when moved", { sameDocument: measure("lost") }, 100, "context", /within a document/],
  ["lost without its tokens", { tokenFree: { ...measure("lost"), without: [" wait"] } }, 100, "token detector", /without “ wait”/],
  ["lost in other words", { paraphrased: measure("lost") }, 100, "token detector", /in other words/],
  ["unrelated text at its positions", { ordinary: { ...tested().ordinary, samePositions: measure("lost") } }, 100, "position", /unrelated text at its positions/],
  ["unrelated text anywhere", { ordinary: { ...tested().ordinary, ...measure("lost"), samePositions: measure("lost") } }, 100, "context", /unrelated text sets it off/],
  ["position does as well", { controls: [control("position", 0.9)], moved: measure("open"), samePosition: measure("open") }, 100, "position", /the position \(what\) does as well/],
  ["position does as well, but it is kept when moved", { controls: [control("position", 0.9)], samePosition: measure("open") }, 100, "not above random", /the position \(what\) does as well/],
  ["a random direction does as well", { controls: [control("random direction", 0.91)] }, 100, "not above random", /random direction does as well/],
  ["a word does as well", { controls: [control("keyword", 0.9)] }, 100, "not above random", /the word “what” does as well/],
  ["the length does as well", { controls: [control("length", 0.95)] }, 100, "not above random", /the length/],
  ["a lead within chance", { controls: [control("random direction", 0.88, [-0.01, 0.05])] }, 100, "undecided", /within chance/],
  ["pastes neither way", { injection: { ...rates(0, 0, 0, 17), outcome: "open" } }, 100, "undecided", /pasted tokens/],
  ["moved neither way", { moved: measure("open") }, 100, "undecided", /moved elsewhere: neither/],
  ["no sentences without its tokens", { tokenFree: { ...measure("undefined", { positives: 3 }), without: [" wait"] } }, 100, "undecided", /too few to tell \(3 of the label\)/],
  ["moved unclear, and no like positions to ask", { moved: measure("open"), samePosition: measure("undefined") }, 100, "undecided", /like positions/],
  ["no like positions, but kept when moved", { samePosition: measure("undefined"), sameDocument: measure("undefined") }, 100, "survives", /./],
  ["other words neither way", { paraphrased: measure("open") }, 100, "undecided", /other words/],
];
for (const [name, more, positives, verdict, reason] of BRANCHES) {
  test(`verdict: ${name}: ${verdict}`, () => {
    const found = verdictOn(tested(more), positives);
    assert.equal(found.verdict, verdict);
    assert.match(verdict === "undecided" ? found.reasons.join("; ") : found.reasons[0], reason);
  });
}

test("what does not change the verdict is cautioned of", () => {
  const { verdict, cautions } = verdictOn(tested({
    shuffled: measure("kept"), controls: [...tested().controls, control("difference of means", 0.95)],
    second: { nearest: { latent: 3, cosine: 0.31, heldout: 0.6 }, best: { latent: 4, cosine: 0.2, heldout: 0.89 } },
  }), 100);
  assert.equal(verdict, "survives");
  assert.match(cautions.join("\n"), /reached by the difference of means \(0\.95\)\nthe order of the words hardly matters[^]*\nthe other SAE has no latent like it[^]*0\.31[^]*0\.89/);
  assert.match(verdictOn(tested({ q: 0.3 }), 100).cautions.join(), /no discovery \(q 0\.30\)/);
  assert.match(verdictOn(tested({ q: NaN }), 100).cautions.join(), /no discovery/);
  const all = verdictOn(tested({ injection: lost, tokenFree: { ...measure("lost"), without: ["x"] }, sameDocument: measure("lost") }), 100);
  assert.equal(all.reasons.length, 3, "all that was found is said, not the first alone");
});
