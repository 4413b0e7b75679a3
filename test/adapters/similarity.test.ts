import assert from "node:assert/strict";
import { test } from "node:test";
import { decoderMap } from "../../src/adapters/decodermap";
import { saeOf } from "../../src/adapters/sae";
import { DISPLAY, type Bundle } from "../../src/adapters/show";
import { compareFeatures, nearestFeatures, similarFeatures } from "../../src/adapters/similarity";
import { OptionError } from "../../src/core/errors";
import { random } from "../../src/core/random";
import { chanceCosine, cosineShares, cosinesWith, partnerMeasures } from "../../src/core/similarity";
import type { Features } from "../../src/adapters/features";
import type { Sae } from "../../src/core/types";

const sae = (latents: number, d: number, seed: number, change: (wDec: Float32Array) => void = () => {}, hook = "layers.1"): Sae => {
  const rng = random(seed);
  const wDec = Float32Array.from({ length: latents * d }, () => rng.normal());
  change(wDec);
  return saeOf({ d, latents, k: 4, wEnc: wDec.slice(), bEnc: new Float32Array(latents), wDec, bDec: new Float32Array(d) }, { hook });
};

/** By the definition, in double precision. */
function cosine(a: Sae, f: number, b: Sae, g: number): number {
  const { d } = a.weights;
  let dot = 0, x = 0, y = 0;
  for (let i = 0; i < d; i++) {
    const [p, q] = [a.weights.wDec[f * d + i], b.weights.wDec[g * d + i]];
    [dot, x, y] = [dot + p * q, x + p * p, y + q * q];
  }
  return dot / Math.sqrt(x * y);
}

const brute = (a: Sae, f: number, b: Sae): { latent: number; cosine: number }[] =>
  Array.from({ length: b.weights.latents }, (_, g) => ({ latent: g, cosine: cosine(a, f, b, g) })).filter((one) => a !== b || one.latent !== f).sort((p, q) => q.cosine - p.cosine);

const fired = (latents: number, dead: number[]): Int32Array => Int32Array.from({ length: latents }, (_, f) => (dead.includes(f) ? 0 : 5));

const asFeatures = (latents: number, dead: number[], pairs: Record<number, { latent: number; count: number; score: number }[]> = {}): Features => ({
  count: latents, path: "features", fired: fired(latents, dead), together: (f: number) => pairs[f] ?? [],
  feature: (latent: number) => ({ latent, label: `label ${latent}`, triggers: [{ text: " wait\n" }] }),
}) as unknown as Features;

test("nearest latents across SAEs are those of a search over all pairs", async () => {
  const [a, b] = [sae(3000, 16, 1), sae(9001, 16, 2)]; // several blocks: 2²⁴ / 9001 rows at a time
  const nearest = await nearestFeatures(a, b, { count: 3 });
  assert.deepEqual([nearest.latents.length, nearest.count, nearest.latent.length], [3000, 3, 9000]);
  for (const f of [0, 1, 1023, 1024, 1863, 1864, 2999]) {
    const want = brute(a, f, b).slice(0, 3);
    assert.deepEqual(nearest.of(f).map(({ latent }) => latent), want.map(({ latent }) => latent));
    nearest.of(f).forEach((one, i) => assert.ok(Math.abs(one.cosine - want[i].cosine) < 1e-5));
  }
  const few = await nearestFeatures(a, b, { count: 2, latents: [2999, 4] });
  assert.deepEqual([...few.latents], [2999, 4]);
  assert.deepEqual(few.of(4), nearest.of(4).slice(0, 2));
  assert.match(few[DISPLAY]()["text/plain"] as string, /latent +nearest +cosine +2\. +cosine\n +2999/);
  assert.throws(() => few.of(5), OptionError);
});

test("latents that were loaded alone keep their numbers; where all are needed a part is refused", async () => {
  const whole = sae(40, 8, 5);
  const subset = Int32Array.of(3, 17, 39);
  const wDec = new Float32Array(subset.length * 8);
  subset.forEach((f, i) => wDec.set(whole.weights.wDec.subarray(f * 8, (f + 1) * 8), i * 8));
  const part = saeOf({ ...whole.weights, latents: 3, k: 3, wEnc: wDec.slice(), bEnc: new Float32Array(3), wDec, subset } as Sae["weights"], { hook: "layers.1" });
  const out = await nearestFeatures(part, whole, { count: 2 });
  assert.deepEqual([...out.latents], [3, 17, 39]);
  for (const f of subset) assert.deepEqual(out.of(f).map(({ latent }) => latent), [f, brute(whole, f, whole)[0].latent]);
  const back = await nearestFeatures(whole, part, { latents: [17] });
  assert.equal(back.of(17)[0].latent, 17);
  const own = await nearestFeatures(part, part, { latents: [39], count: 5 });
  assert.deepEqual(own.of(39).map(({ latent }) => latent).sort((a, b) => a - b), [3, 17]);
  await assert.rejects(nearestFeatures(part, whole, { latents: [1] }), (error: Error) => error instanceof OptionError && /some of the 3 latents that were loaded, found 1/.test(error.message));
  for (const act of [() => similarFeatures(part, 1), () => compareFeatures(whole, part), () => decoderMap(part)])
    await assert.rejects(async () => act(), (error: Error) => error instanceof OptionError && /expected a whole SAE, found 3 of its latents/.test(error.message));
});

test("within one SAE a latent is not its own neighbour; a row of zeros has none; scaled rows are one direction", async () => {
  const a = sae(50, 8, 3, (w) => {
    w.fill(0, 7 * 8, 8 * 8);
    for (let i = 0; i < 8; i++) w[9 * 8 + i] = 5 * w[8 * 8 + i];
  });
  const nearest = await nearestFeatures(a, a, { count: 60 });
  assert.equal(nearest.count, 49);
  assert.deepEqual(nearest.of(7), []);
  assert.equal(nearest.of(8)[0].latent, 9);
  assert.ok(Math.abs(nearest.of(8)[0].cosine - 1) < 1e-6 && nearest.of(8)[0].cosine <= 1);
  for (let f = 0; f < 50; f++) assert.ok(nearest.of(f).every(({ latent }) => latent !== f));
});

test("similar features by decoder, by firing together, by both", () => {
  const a = sae(60, 8, 4);
  const features = asFeatures(60, [11], { 5: [{ latent: 20, count: 12, score: 0.9 }, { latent: 21, count: 3, score: 0.2 }] });
  const want = brute(a, 5, a).filter(({ latent }) => latent !== 11);
  const decoder = similarFeatures(a, 5, { count: 4 });
  assert.deepEqual(decoder.map(({ latent }) => latent), brute(a, 5, a).slice(0, 4).map(({ latent }) => latent));
  decoder.forEach((one) => assert.ok(Math.abs(one.cosine - cosine(a, 5, a, one.latent)) < 1e-6));
  const together = similarFeatures(features, 5);
  assert.deepEqual([...together], [{ latent: 20, cosine: NaN, together: { count: 12, score: 0.9 } }, { latent: 21, cosine: NaN, together: { count: 3, score: 0.2 } }]);
  const both = similarFeatures(features, 5, { sae: a, count: 60 });
  assert.equal(both[0].latent, want[0].cosine > 0.9 ? want[0].latent : 20);
  assert.equal(both.length, 58); // neither itself nor the dead one
  assert.match(both[DISPLAY]()["text/plain"] as string, /latent +cosine +together +score +label +tokens/);
  assert.match(both[DISPLAY]()["text/plain"] as string, /label 20 +wait↵/);
  assert.throws(() => similarFeatures(features, 5, { by: "decoder" }), (error: Error) => error instanceof OptionError && /needs the SAE's decoder/.test(error.message));
  assert.throws(() => similarFeatures(a, 5, { by: "together" }), OptionError);
  assert.throws(() => similarFeatures(a, 60), OptionError);
  assert.throws(() => similarFeatures(a, 5, { features: asFeatures(59, []) }), OptionError);
  assert.throws(() => similarFeatures(a, 5, { by: "meaning" as never }), OptionError);
});

test("two SAEs compared: planted partners are found both ways, the dead are left out, random ones are at chance", async () => {
  const a = sae(400, 32, 5);
  const b = sae(300, 32, 6, (w) => { // every third latent of b is one of a, turned a little
    const rng = random(7);
    for (let g = 0; g < 300; g += 3) for (let i = 0; i < 32; i++) w[g * 32 + i] = 2 * a.weights.wDec[(g / 3) * 32 + i] + 0.2 * rng.normal();
  });
  const compared = await compareFeatures(a, b, { names: ["ours", "theirs"] });
  assert.deepEqual([compared.forth.matched, compared.back.matched], [100, 100]);
  for (let g = 0; g < 300; g += 3) assert.deepEqual([compared.partners.back.latent[g], compared.partners.forth.latent[g / 3]], [g / 3, g]);
  for (const f of [120, 399]) {
    const [want] = brute(a, f, b);
    assert.equal(compared.partners.forth.latent[f], want.latent);
    assert.ok(Math.abs(compared.partners.forth.cosine[f] - want.cosine) < 1e-5);
  }
  for (const g of [1, 299]) assert.equal(compared.partners.back.latent[g], brute(b, g, a)[0].latent);
  const table = compared.table();
  assert.deepEqual(table.columns, ["latent", "partner", "cosine", "mutual"]);
  assert.deepEqual((table.values as number[][]).slice(0, 100).map(([, , , mutual]) => mutual), new Array(100).fill(1));

  const bundle = await (compared[DISPLAY]() as Promise<Bundle>);
  assert.match(bundle["text/plain"] as string, /^25\.0 % of the 400 latents of ours have a partner above 0\.7 in theirs .*\nlatents of/);
  assert.match(bundle["text/html"] as string, /<img alt="25\.0 %.*<table/);
  assert.ok(bundle["image/png"] && bundle["application/vnd.plotly.v1+json"]);

  const alive = await compareFeatures(a, b, { features: [asFeatures(400, [0, 1]), asFeatures(300, [6])] });
  assert.deepEqual([alive.forth.latents, alive.back.latents], [398, 299]);
  assert.deepEqual([alive.forth.matched, alive.back.matched], [97, 97]); // 0 and 1, and the partner of 6
  assert.equal(alive.partners.forth.latent[0], -1);
  assert.notEqual(alive.partners.forth.latent[2], 6);
});

test("SAEs of other widths, thresholds out of range", async () => {
  await assert.rejects(nearestFeatures(sae(5, 8, 1), sae(5, 4, 1)), (error: Error) => error instanceof OptionError && /one width, found 8 and 4/.test(error.message));
  await assert.rejects(compareFeatures(sae(5, 8, 1), sae(5, 4, 1)), OptionError);
  await assert.rejects(compareFeatures(sae(5, 8, 1), sae(5, 8, 2), { threshold: 0 }), OptionError);
  await assert.rejects(compareFeatures(sae(5, 8, 1), sae(5, 8, 2), { features: [asFeatures(4, []), asFeatures(5, [])] }), OptionError);
  await assert.rejects(nearestFeatures(sae(5, 8, 1), sae(5, 8, 2), { latents: [5] }), OptionError);
  await assert.rejects(nearestFeatures(sae(5, 8, 1), sae(5, 8, 2), { count: 0 }), OptionError);
});

test("measures by hand", () => {
  const partners = { latent: Int32Array.of(0, 1, -1, 2), cosine: Float32Array.of(0.5, 0.75, NaN, -0.25) };
  assert.deepEqual(partnerMeasures(partners, 0.7, 0.1), { latents: 3, matched: 1, share: 1 / 3, mean: 1 / 3, median: 0.5, chance: 0.1 });
  const shares = cosineShares(Float32Array.of(1, 0.999, -1, 0.5, NaN));
  assert.deepEqual([shares[0], shares[25], shares[49]], [0.25, 0.25, 0.5]);
  assert.ok(Number.isNaN(partnerMeasures({ latent: Int32Array.of(-1), cosine: Float32Array.of(NaN) }, 0.7, 0).share));
  const rng = random(1); // the best of n random directions, measured
  for (const [d, n] of [[64, 2000], [16, 300]]) {
    const matrix = Float32Array.from({ length: (n + 1) * d }, () => rng.normal());
    const best = Array.from({ length: 40 }, (_, f) => cosinesWith(matrix, d, f).filter((_, g) => g !== f).reduce((most, value) => Math.max(most, value), -1));
    const mean = best.reduce((sum, value) => sum + value, 0) / 40;
    assert.ok(Math.abs(mean - chanceCosine(n, d)) < 0.03, `${mean} ${chanceCosine(n, d)}`);
  }
  assert.deepEqual([chanceCosine(1, 64), chanceCosine(5, 1)], [0, 1]);
});
