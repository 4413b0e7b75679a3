import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { atOnce } from "../../src/core/pieces";
import { random } from "../../src/core/random";
import { sorter, type Sorted } from "../../src/core/ranking";
import { asNormal, benjaminiHochberg, clusteredTest, clustersOf, documentPermutations, twoSided, type Told } from "../../src/core/significance";

interface Golden {
  labels: {
    cases: { document: number[]; positive: number[]; score: number[]; auroc: number; averagePrecision: number; t: number; fires: number }[];
    student: [t: number, freedom: number, z: number][];
    normal: { z: number[]; p: number[] };
    adjusted: { p: number[]; q: number[] };
  };
}
const { labels: golden } = JSON.parse(readFileSync(join(__dirname, "../../../test/oracle/features/golden.json"), "utf8")) as Golden;

const close = (got: number, want: number, tolerance: number, what = ""): void => assert.ok(Math.abs(got - want) <= tolerance * Math.abs(want), `${what} ${got} is not ${want}`);

function sortedOf(score: ArrayLike<number>): Sorted {
  const item = Int32Array.from(Array.from(score).keys()).filter((i) => score[i] > 0);
  return sorter([score.length])(item, Float32Array.from(item, (i) => score[i]))[0];
}

function told(score: ArrayLike<number>, positive: ArrayLike<number>, document: ArrayLike<number>): Told {
  const [mask, of] = [Int32Array.from(positive), Int32Array.from(document)];
  const documents = Math.max(...of) + 1;
  const out = { auroc: NaN, averagePrecision: NaN, z: NaN };
  clusteredTest(of, mask, documents)(sortedOf(score), 0, clustersOf(of, mask, 0, documents), out);
  return out;
}

/** Variance of the AUROC of independent sentences where there is no effect: that of a mean of ranks drawn without replacement. */
function independent(score: number[], positive: number[]): number {
  const n = score.length;
  const rank = score.map((s) => score.reduce((sum, other) => sum + (other < s ? 1 : other === s ? 0.5 : 0), 0.5));
  const spread = rank.reduce((sum, r) => sum + (r - (n + 1) / 2) ** 2, 0) / (n - 1);
  const P = positive.reduce((a, b) => a + b, 0);
  return (spread * (1 / P + 1 / (n - P))) / n ** 2;
}

test("AUROC and average precision are scikit-learn's, z that of the ranks' regression with each document left out once, or of independent ranks where these scatter more", () => {
  const held: boolean[] = [];
  for (const { score, positive, document, t, fires, ...want } of golden.cases) {
    const got = told(score, positive, document);
    for (const name of ["auroc", "averagePrecision"] as const) close(got[name], want[name], 1e-8, name);
    const [jackknife, least] = [(want.auroc - 0.5) / t, Math.sqrt(independent(score, positive))];
    held.push(least > jackknife);
    close(got.z, asNormal((want.auroc - 0.5) / Math.max(jackknife, least), fires - 1), 1e-7, "z");
  }
  assert.ok(held.includes(true) && held.includes(false), String(held));
  for (const [t, freedom, z] of golden.student) {
    close(asNormal(t, freedom), z, 0.025, `t ${t} of ${freedom}`); // Wallace's approximation, and its error
    assert.equal(asNormal(-t, freedom), -asNormal(t, freedom));
  }
});

test("p is SciPy's to the far tail, q statsmodels'; what was no test has no q and does not count", () => {
  golden.normal.z.forEach((z, i) => close(twoSided(z), golden.normal.p[i], 1e-8, `z ${z}`));
  assert.ok(Number.isNaN(twoSided(NaN)));
  assert.equal(twoSided(Infinity), 0);
  const { p, q } = golden.adjusted;
  const got = benjaminiHochberg([NaN, ...p, NaN]);
  q.forEach((want, i) => close(got[i + 1], want, 1e-6, `p ${p[i]}`));
  assert.ok(Number.isNaN(got[0]) && Number.isNaN(got.at(-1)!));
});

/** Sentences of documents; scores and labels have a document's lean each, independent of one another: nothing to be found. */
function nothing(rng: ReturnType<typeof random>, documents: number, lean: number, density: number) {
  const [score, positive, document]: number[][] = [[], [], []];
  for (let d = 0; d < documents; d++) {
    const [a, b] = [rng.normal() * lean, rng.normal() * lean];
    for (let i = 10 + rng.below(20); i > 0; i--) {
      score.push(rng.uniform() < density ? Math.fround(Math.exp(rng.normal() + a)) : 0);
      positive.push(rng.normal() + b > 0.8 ? 1 : 0);
      document.push(d);
    }
  }
  return { score, positive, document };
}

test("where there is nothing z is as a normal is, though sentences of a document are alike; counted one by one they would not be", () => {
  const rng = random(3);
  let [sum, squares, tail, single, draws] = [0, 0, 0, 0, 0];
  for (let draw = 0; draw < 800; draw++) {
    const { score, positive, document } = nothing(rng, 25, 1.5, 0.9);
    const { z } = told(score, positive, document);
    sum += z;
    squares += z * z;
    tail += twoSided(z) < 0.05 ? 1 : 0;
    single += twoSided(told(score, positive, document.map((_, i) => i)).z) < 0.05 ? 1 : 0;
    draws++;
  }
  assert.ok(Math.abs(sum / draws) < 0.1 && Math.abs(Math.sqrt(squares / draws) - 1) < 0.12, `${sum / draws} ± ${Math.sqrt(squares / draws)}`);
  assert.ok(tail / draws > 0.03 && tail / draws < 0.075, String(tail / draws));
  assert.ok(single / draws > 0.2, String(single / draws));
});

test("a latent on fewer than five documents has no z; one that separates a label has one, and one that is the label too", () => {
  const document = Array.from({ length: 60 }, (_, i) => Math.floor(i / 6));
  const positive = document.map((_, i) => (i % 3 ? 0 : 1));
  assert.ok(Number.isNaN(told(document.map((d, i) => (d < 4 && !(i % 3) ? 1 : 0)), positive, document).z));
  const { auroc, z } = told(document.map((_, i) => (i % 3 ? 0 : 1 + ((i * 7) % 5))), positive, document);
  assert.equal(auroc, 1);
  assert.ok(z > 4 && z < 20, String(z));
  const own = told(positive, positive, document).z; // where no rank scatters
  assert.ok(own > 4 && own < 20, String(own));
});

test("of thousands of latents that fire rarely and by chance next to none is a discovery", () => {
  const rng = random(7);
  let [discoveries, extreme, tests] = [0, 0, 0];
  for (const documents of [25, 100]) {
    const document = Int32Array.from({ length: documents * 15 }, (_, i) => Math.floor(i / 15));
    const rate = Array.from({ length: documents }, () => 0.4 * rng.uniform() ** 2);
    const positive = document.map((d) => (rng.uniform() < rate[d] ? 1 : 0));
    const tell = clusteredTest(document, positive, documents);
    const clusters = clustersOf(document, positive, 0, documents);
    const p = Array.from({ length: 3000 }, () => {
      const often = 2 * 10 ** (-3 + 2.7 * rng.uniform());
      const leaning = Array.from({ length: documents }, () => rng.uniform() * often);
      const score = Array.from(document, (d) => (rng.uniform() < leaning[d] ? Math.fround(0.1 + rng.uniform()) : 0));
      const out: Told = { auroc: 0, averagePrecision: 0, z: 0 };
      tell(sortedOf(score), 0, clusters, out);
      return twoSided(out.z);
    });
    tests += p.filter((one) => !Number.isNaN(one)).length;
    extreme += p.filter((one) => one < 1e-3).length;
    discoveries += benjaminiHochberg(p).filter((q) => q <= 0.05).length;
  }
  assert.ok(tests > 3000 && extreme <= 2.5e-3 * tests && discoveries <= 2, `${discoveries} discoveries, ${extreme} below 0.001 of ${tests}`);
});

test("swapped documents: p is even where there is nothing, small where there is something, and large where the place tells all", () => {
  const rng = random(11);
  const permuted = (score: number[], positive: number[], document: number[], draws: number): number =>
    atOnce(documentPermutations([{ label: 0, sorted: sortedOf(score) }], Int32Array.from(positive), Int32Array.from(document), 1, draws, random(1)))[0];
  let below = 0;
  const tries = 300;
  for (let i = 0; i < tries; i++) {
    const { score, positive, document } = nothing(rng, 15, 1, 0.6);
    below += permuted(score, positive, document, 59) <= 0.2 ? 1 : 0;
  }
  assert.ok(below / tries > 0.12 && below / tries < 0.28, String(below / tries));

  const { positive, document } = nothing(rng, 20, 1, 1);
  const follows = positive.map((is) => (is ? 1 : rng.uniform() < 0.3 ? 0.5 : 0));
  assert.equal(permuted(follows, positive, document, 199), 1 / 200);
  // the first two sentences of every document carry the label, and the latent fires there: no more than the place says
  const place = document.map((d, i) => i - document.indexOf(d));
  const early = place.map((at) => (at < 2 ? 1 : 0));
  assert.ok(told(early, early, document).auroc === 1 && permuted(early, early, document, 199) > 0.5);
});

test("swapped documents of unequal lengths are stretched, and several labels are swapped together", () => {
  // two documents of 2 and 4 sentences: swapped, the first has sentences 0 and 2 of the second, the second 0, 0, 1, 1 of the first
  const mask = Int32Array.of(3, 0, 1, 1, 2, 0);
  const document = Int32Array.of(0, 0, 1, 1, 1, 1);
  const score = [2, 0, 1, 0, 0, 0];
  const sorted = sortedOf(score);
  const auroc = (positive: number[]): number => told(score, positive, [0, 1, 2, 3, 4, 5]).auroc;
  const [own, swapped] = [0, 1].map((i) => [[1, 0, 1, 1, 0, 0], [1, 0, 0, 0, 1, 0]].map((bits, l) => (i ? auroc(l ? [0, 1, 1, 1, 0, 0] : [1, 0, 1, 1, 0, 0]) : auroc(bits))));
  assert.ok(own[0] === swapped[0] && swapped[1] < own[1], `${own} ${swapped}`);
  const draws = 50;
  const p = atOnce(documentPermutations([{ label: 0, sorted }, { label: 1, sorted }], mask, document, 2, draws, random(5)));
  assert.equal(p[0], 1); // label 0 is as well told either way
  assert.ok(p[1] > 0.25 && p[1] < 0.75, String(p[1])); // label 1 only where nothing was swapped
});
