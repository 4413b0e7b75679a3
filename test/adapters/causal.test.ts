import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { causalCheck } from "../../src/adapters/causal";
import { saeOf } from "../../src/adapters/saevalue";
import { DISPLAY } from "../../src/adapters/show";
import { likeDense, meanOf, occurrences } from "../../src/core/causal";
import { HookError, InterruptError, OptionError } from "../../src/core/errors";
import { divergence } from "../../src/core/lens";
import { atOnce } from "../../src/core/pieces";
import { random } from "../../src/core/random";
import type { Model, Sae, SaeWeights } from "../../src/core/types";
import { noise, opened } from "./tiny";

const HOOK = "layers.0";

/** An SAE of random directions, whose last latent writes nothing and whose last but one never fires. */
function someSae({ width: d }: Model, more: Partial<SaeWeights> = {}): Sae {
  const latents = 24;
  const wEnc = noise(latents * d, 3);
  const wDec = noise(latents * d, 5);
  wDec.fill(0, (latents - 1) * d);
  const bEnc = new Float32Array(latents);
  bEnc[latents - 2] = -1e6;
  return saeOf({ d, latents, k: 6, wEnc, bEnc, wDec, bDec: noise(d, 7), ...more } as SaeWeights, { hook: HOOK });
}

const TEXTS = ["The rain in the valley did not stop for days.", "a b a b a b", "One two three four five six.", "So it goes, and so it went, again."];

/** A latent that fires on some tokens of the texts, and on how many. */
async function active(model: Model, sae: Sae): Promise<{ latent: number; fired: number[] }> {
  const fired = new Array<number>(sae.weights.latents).fill(0);
  for (const text of TEXTS) {
    const rows = (await model.run(text, { hooks: [HOOK] }))[HOOK];
    const { k, n, index, value } = sae.encode(rows);
    for (let i = k; i < n * k; i++) if (value[i] > 0) fired[index[i]]++; // from the second token on
  }
  const latent = fired.findIndex((count, i) => count > 5 && i < sae.weights.latents - 1);
  assert.ok(latent >= 0);
  return { latent, fired };
}

test("ablation and steering: the divergence is that of two passes, token by token", () => opened("llama", async (model) => {
  const sae = someSae(model);
  const { latent, fired } = await active(model, sae);
  const check = await causalCheck(model, sae, latent, { texts: TEXTS, clamp: 3, resamples: 50 });
  const V = model.vocabularySize;
  const ids = TEXTS.map((text) => model.tokenizer.encode(text).ids);
  const tokens = ids.reduce((sum, { length }) => sum + length, 0);
  for (const [effect, by] of [[check.ablated, { times: 0 }], [check.steered!, { clamp: 3 }]] as const) {
    const [plain, changed] = [await model.run(ids, { logits: true }), await model.run(ids, { logits: true, writes: [{ hook: HOOK, sae, latent, at: { from: 1 }, ...by }] })];
    let sum = 0;
    for (let t = 0; t < tokens; t++) sum += divergence(plain.logits.subarray(t * V, (t + 1) * V), changed.logits.subarray(t * V, (t + 1) * V));
    assert.ok(sum > 1e-3, "something changes");
    assert.ok(Math.abs(effect.kl.value - sum / tokens) < 1e-5 * sum);
    assert.ok(effect.kl.interval[0] <= effect.kl.value && effect.kl.value <= effect.kl.interval[1]);
  }
  assert.deepEqual([check.tokens, check.fired], [tokens, fired[latent]]);
  assert.equal(check.ablated.controls.length, 3);
  for (const { latent: other, norm } of check.steered!.controls) {
    assert.ok(other !== latent && fired[other] > 0);
    assert.ok(Math.abs(norm - check.steered!.norm) < 1e-5 * norm || other === 23, "as long a vector is added");
  }
  const again = await causalCheck(model, sae, latent, { texts: TEXTS, clamp: 3, resamples: 50 });
  assert.deepEqual(JSON.parse(JSON.stringify(again)), JSON.parse(JSON.stringify(check)));
  assert.match(inspect(check), /KL, ablated[^]*more than \d of 3 controls[^]*KL, held at 3/);
  assert.match(check[DISPLAY]()["text/html"] as string, /latent \d+ at layers\.0/);
}));

test("a latent that writes nothing changes nothing", () => opened("llama", async (model) => {
  const sae = someSae(model);
  const { fired } = await active(model, sae);
  const last = sae.weights.latents - 1;
  const { ablated, steered } = await causalCheck(model, sae, last, { texts: TEXTS, clamp: 50, controls: 1 });
  for (const effect of [ablated, steered!]) assert.ok(effect.kl.value < 1e-9 && Math.abs(effect.loss.value) < 1e-6);
  assert.ok(fired[last] === 0 || ablated.controls[0].kl.value > 0);
}));

test("other kinds go through their own encoder: a ReLU SAE is a top-k of all latents", () => opened("llama", async (model) => {
  const plain = someSae(model, { k: 24 });
  const { latent } = await active(model, plain);
  const options = { texts: TEXTS, times: -2, controls: 2 };
  const want = await causalCheck(model, plain, latent, options);
  const relu = await causalCheck(model, someSae(model, { k: 24, kind: "relu" }), latent, options);
  const scaled = await causalCheck(model, someSae(model, { k: 24, kind: "jumprelu", threshold: new Float32Array(24) }), latent, options);
  for (const got of [relu, scaled]) for (const way of ["ablated", "steered"] as const) {
    assert.ok(want[way]!.kl.value > 1e-5);
    assert.ok(Math.abs(got[way]!.kl.value / want[way]!.kl.value - 1) < 1e-3, `${way}: ${got[way]!.kl.value} instead of ${want[way]!.kl.value}`);
    assert.deepEqual(got[way]!.controls.map((one) => one.latent), want[way]!.controls.map((one) => one.latent));
  }
}));

test("behaviours: a latent that writes a token's own direction makes the model write it, and its rate says so", () => opened("llama", async (model) => {
  const last = `layers.${model.layers - 1}`;
  const word = " the";
  const { ids, start, end } = model.tokenizer.encode(word);
  const token = ids.filter((_, i) => end[i] > start[i])[0];
  const shown = model.tokenizer.decode([token]);
  const direction = model.head!([token]).rows;
  const sae = someSae(model);
  const wDec = sae.weights.wDec.slice();
  wDec.set(direction, 0);
  const own = saeOf({ ...sae.weights, wDec }, { hook: last });
  const prompts = ["The rain", "One", "So it", "a b", "and", "it went"];
  const check = await causalCheck(model, own, 0, {
    texts: TEXTS, clamp: 4000, prompts, samples: 2, controls: 1, generate: { maxTokens: 12, temperature: 1 },
    behaviours: { token: (text) => text.split(shown).length - 1, never: ["zzyzx"] },
  });
  assert.deepEqual(check.written.map(({ way, texts }) => [way, texts]), [["as it is", 12], ["ablated", 12], ["steered", 12], ["control", 12]]);
  const [plain, , steered, control] = check.written.map(({ behaviours }) => behaviours[0]);
  assert.ok(plain.difference === undefined && steered.texts === 12 && steered.texts > control.texts);
  assert.ok(steered.difference!.interval[0] > 0, "beyond chance");
  assert.ok(check.continuations[2].texts.every((text) => text.includes(shown)));
  assert.equal(new Set(check.continuations[0].texts).size > 6, true, "samples differ");
  assert.deepEqual(check.written.map(({ behaviours }) => behaviours[1].rate.value), [0, 0, 0, 0]);
  assert.match(inspect(check), /token, steered[^]*in 12 of 12 continuations; changed by/);
}));

test("words and phrases are counted whole, capitals or not", () => {
  assert.equal(occurrences("Wait, wait. Waiting for a waiter.", ["wait"]), 2);
  assert.equal(occurrences("Let me check that. let me, check that", ["let me check", "that"]), 3);
  assert.equal(occurrences("Hold on — hold   on!", ["hold on"]), 2);
  assert.equal(occurrences("nothing", ["", "  "]), 0);
});

test("controls fire about as often", () => {
  const fired = Int32Array.from({ length: 500 }, (_, i) => i);
  const chosen = likeDense(fired, 100, 5, random(0));
  assert.equal(new Set(chosen).size, 5);
  assert.ok(chosen.every((one) => one !== 100 && one >= 85 && one <= 115));
  assert.notDeepEqual(likeDense(fired, 100, 5, random(1)), chosen);
  assert.deepEqual(likeDense([0, 5, 0], 1, 3, random(0)), [], "none that fires");
});

test("rates are of all texts together, differences paired", () => {
  const [a, b] = [{ sum: [1, 5, 9, 2], of: [1, 2, 3, 4] }, { sum: [0, 4, 8, 1], of: [1, 2, 3, 4] }];
  const mean = atOnce(meanOf(a, random(0), 100));
  assert.equal(mean.value, 1.7);
  const difference = atOnce(meanOf(a, random(0), 100, b));
  assert.ok(Math.abs(difference.value - 0.4) < 1e-12);
  assert.ok(difference.interval[1] - difference.interval[0] < mean.interval[1] - mean.interval[0]);
  assert.deepEqual(atOnce(meanOf({ sum: [1], of: [2] }, random(0), 100)), { value: 0.5, interval: [NaN, NaN] });
});

test("what cannot be checked says why", () => opened("llama", async (model) => {
  const sae = someSae(model);
  const { latent } = await active(model, sae);
  const refused = (which: number, options: object, message: RegExp, of: Sae = sae): Promise<void> => assert.rejects(causalCheck(model, of, which, { texts: TEXTS, ...options }), (error: Error) => {
    assert.ok(error instanceof OptionError || error instanceof HookError, error.stack);
    assert.match(error.message, message);
    return true;
  });
  await refused(24, {}, /latent: expected a number from 0 to 23, found 24/);
  await refused(22, {}, /on which latent 22 is active, found none/);
  await refused(latent, { clamp: 1, times: 2 }, /found both/);
  await refused(latent, { clamp: NaN }, /clamp: expected a finite number/);
  await refused(latent, { texts: [] }, /texts: expected a list/);
  await refused(latent, { texts: ["a"], tokens: 1 }, /tokens/);
  await refused(latent, { behaviours: { wait: ["wait"] } }, /prompts: expected/);
  await refused(latent, { behaviours: { wait: [] }, prompts: ["a"] }, /behaviours: wait: expected words/);
  await refused(latent, { behaviours: { wait: () => NaN }, prompts: ["a"], controls: 0, generate: { maxTokens: 2 } }, /expected a count/);
  for (const options of [{ controls: -1 }, { samples: 0 }, { resamples: 1 }, { seed: 1.5 }]) await refused(latent, options, new RegExp(Object.keys(options)[0]));
  await refused(latent, {}, /hook: expected a place/, saeOf(sae.weights));
  await refused(latent, { hook: "logits" }, /width|behind/);
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as { requested: boolean };
  try {
    await assert.rejects(causalCheck(model, sae, latent, { texts: TEXTS, progress: () => void (flag.requested = true) }), InterruptError);
  } finally {
    flag.requested = false;
  }
}));
