import { test } from "node:test";
import assert from "node:assert/strict";
import { HookError, OptionError } from "../../src/core/errors";
import type { Model, SaeWeights, Write } from "../../src/core/types";
import { golden, noise, opened } from "./tiny";

/** Every write, and every option of a run, that is refused, and with what words. */

const [, first, second] = golden("llama").prompts.map(({ ids }) => ids);
const BATCH = [first, second.slice(0, 5), second];

const sae: SaeWeights = { d: 48, latents: 128, k: 4, wEnc: noise(128 * 48), bEnc: noise(128), wDec: noise(128 * 48, 2), bDec: noise(48) };

const refused: [string, Record<string, unknown>, RegExp, (typeof HookError | typeof OptionError)?][] = [
  ["nothing", {}, /write to "layers\.1": expected one of add, scale, set, ablate, projectOut, sae, edit, found none/],
  ["two", { add: noise(48), scale: 2 }, /found add and scale\. Make it one write each/],
  ["null", { add: null }, /expected one of .*found none/],
  ["no such place", { hook: "layers.9", scale: 1 }, /"layers\.9": expected a block of this model/, HookError],
  ["heads where there are none", { heads: 0, scale: 1 }, /heads: expected a place with heads .*found resid_post/],
  ["a head too many", { hook: "layers.1.attn.z", heads: [0, 4], scale: 1 }, /heads: expected numbers from 0 to 3, found 4/],
  ["a key head too many", { hook: "layers.1.attn.k", heads: 2, scale: 1 }, /heads: expected numbers from 0 to 1, found 2/],
  ["half a head", { hook: "layers.1.attn.z", heads: 0.5, scale: 1 }, /heads: expected numbers from 0 to 3, found 0\.5/],
  ["keys where there are none", { keys: 0, scale: 1 }, /keys: expected an attention pattern/],
  ["add to a pattern", { hook: "layers.1.attn.pattern", add: [1] }, /expected scale, set, ablate: "zero" or edit of a pattern, found add/, HookError],
  ["a direction of a pattern", { hook: "layers.1.attn.pattern", projectOut: [1] }, /of a pattern, found projectOut/, HookError],
  ["an SAE on a pattern", { hook: "layers.1.attn.pattern", sae: { weights: sae } }, /of a pattern, found sae/, HookError],
  ["rows for a pattern", { hook: "layers.1.attn.pattern", set: [1, 2, 3, 4] }, /set: expected a number for a pattern, found rows/],
  ["the mean of a pattern", { hook: "layers.1.attn.pattern", ablate: "mean", of: noise(4) }, /ablate: expected "zero" for a pattern, found "mean"/],
  ["a vector of another width", { add: noise(47) }, /add: expected rows of 48 numbers, the width of layers\.1, found 47/],
  ["no vector", { add: [] }, /add: expected rows of 48 numbers.*found 0/],
  ["a vector of no numbers", { add: new Float32Array(48).fill(NaN) }, /add: expected finite numbers, found NaN at 0/],
  ["times nothing", { add: noise(48), times: Infinity }, /times: expected a finite number, found Infinity/],
  ["scale NaN", { scale: NaN }, /scale: expected a finite number, found NaN/],
  ["set NaN", { set: NaN }, /set: expected a finite number, found NaN/],
  ["rows of other tokens", { set: noise(3 * 48) }, /expected one row of 48, or rows of all 42 tokens of this pass, found 3 rows/],
  ["a direction that is none", { projectOut: new Float32Array(48) }, /projectOut: expected one row of 48 numbers, not all 0, found 48 zeros/],
  ["two directions", { projectOut: noise(96) }, /projectOut: expected one row of 48 numbers.*found 96/],
  ["an ablation that is none", { ablate: "median" }, /ablate: expected "zero", "mean" or "resample", found "median"/],
  ["the mean of nothing", { ablate: "mean" }, /ablate: "mean": expected of: rows \[n, 48\] that run gave for this place, found undefined/],
  ["the mean of other rows", { ablate: "mean", of: noise(50) }, /of: expected rows of 48 numbers.*found 50/],
  ["an SAE of another width", { hook: "layers.1.mlp.act", sae: { weights: sae } }, /sae: expected one of width 96, as layers\.1\.mlp\.act is, found 48/],
  ["an SAE of another kind", { sae: { weights: { ...sae, kind: "relu" } } }, /sae: expected a plain top-k SAE, found a relu SAE\. Write what it gives, with edit:/],
  ["a transcoder", { sae: { weights: { ...sae, transcoder: true, subtractBDec: false } } }, /found a topk transcoder/],
  ["no SAE", { sae: {} }, /sae: expected an SAE, or its \{ weights \}, found object without weights/],
  ["clamp without latent", { sae: { weights: sae }, clamp: 1 }, /expected latent beside clamp, times or keepError, found none/],
  ["no such latent", { sae: { weights: sae }, latent: 128, clamp: 1 }, /latent: expected a number from 0 to 127, found 128/],
  ["latent alone", { sae: { weights: sae }, latent: 1 }, /latent: expected either clamp .* or times .*found both or neither/],
  ["latent both ways", { sae: { weights: sae }, latent: 1, clamp: 1, times: 2 }, /found both or neither/],
  ["clamp NaN", { sae: { weights: sae }, latent: 1, clamp: NaN }, /clamp or times: expected a finite number, found NaN/],
  ["an edit that is none", { edit: "x" }, /edit: expected a function, found string/],
  ["a word for positions", { at: "promt", scale: 2 }, /at: expected a position, a list of them, \{ from, to \}, "prompt" or "generated", found "promt"/],
  ["half a position", { at: [0, 1.5], scale: 2 }, /at: expected .*found 1\.5/],
  ["a range of words", { at: { from: "1" }, scale: 2 }, /at: expected .*found "1"/],
  ["no keys", { hook: "layers.1.attn.pattern", keys: null, scale: 2 }, /keys: expected .*found null/],
];

test("a write that cannot be is refused, naming it and what is wrong, before anything is run", async () => {
  await opened("llama", async (model) => {
    const before = await model.run(BATCH, { logits: true });
    for (const [what, write, message, type = OptionError] of refused) {
      for (const run of [() => model.run(BATCH, { logits: true, writes: [{ hook: "layers.1", ...write } as Write] }), ...(what === "rows of other tokens" ? [] : [() => model.generate(["a"], { maxTokens: 1, writes: [{ hook: "layers.1", ...write } as Write] })])]) {
        await assert.rejects(Promise.resolve(run()), (error: Error) => {
          assert.ok(error instanceof type && message.test(error.message), `${what}: ${error.name}: ${error.message}`);
          return true;
        });
      }
    }
    assert.deepEqual(await model.run(BATCH, { logits: true }), before, "the model is as good as before");
  });
});

test("options of run that cannot be are refused", async () => {
  await opened("llama", async (model) => {
    const cases: [Parameters<Model["run"]>, RegExp][] = [
      [[[[1]], {}], /run: expected at least one hook, or logits: true, found neither/],
      [[[[1]], { hooks: ["layers.1"], upTo: "layers.0" }], /run: expected hooks up to "layers\.0", found "layers\.1", which comes later/],
      [[[[1]], { hooks: ["layers.7"] }], /"layers\.7": expected a block/], [[[[1]], { hooks: [], upTo: "nowhere" }], /"nowhere": expected a hook/],
      [[[], { logits: true }], /batch: expected at least one text, found none/], [["", { logits: true }], /text 0: expected at least one token/],
      [[["a", ""], { logits: true }], /text 1: expected at least one token/],
    ];
    for (const [given, message] of cases) await assert.rejects(model.run(...given), message);
    assert.deepEqual(await model.run([[1, 2]], { upTo: "layers.1" }), {});
    assert.deepEqual(await model.run("The rain", { logits: true }), await model.run([model.tokenizer.encode("The rain").ids], { logits: true }));
  });
});

test("what is no batch, no list, no prompt, no token or block is refused in words, not in the runtime's", async () => {
  await opened("llama", async (model) => {
    const any = model as any;
    const cases: [() => unknown, RegExp, (typeof HookError | typeof OptionError)?][] = [
      [() => any.run(undefined, { logits: true }), /batch: expected a text, a list of texts, or .*found nothing/], [() => any.run([1, 2], { logits: true }), /text 0: expected a list of token ids, found 1\. .*run\(\[ids\], …\)/],
      [() => any.run(Int32Array.of(1), { logits: true }), /batch: .*found Int32Array/], [() => any.run(["a", [1]], { logits: true }), /text 0: expected a list of token ids, found "a"/],
      [() => any.run([[1]]), /expected at least one hook/], [() => any.run([[1]], { hooks: "layers.0" }), /hooks: expected a list of names, found "layers\.0"/],
      [() => any.run([[1]], { hooks: [3] }), /expected a hook's name.*found 3/, HookError], [() => any.hook(), /expected a hook's name.*found undefined/, HookError],
      [() => any.run([[1]], { logits: true, writes: { hook: "layers.0", scale: 1 } }), /writes: expected a list of objects/], [() => any.run([[1]], { logits: true, writes: [undefined] }), /writes: expected a list of objects/],
      [() => any.run([[1]], { logits: true, writes: [{}] }), /expected a hook's name/, HookError],
      [() => any.generate("The rain"), /expected a list of prompts, found string.*generate\(\[prompt\]\)/], [() => any.generate([null]), /prompt 0: expected a text, a document .*found null/],
      [() => any.generate([{ id: "a" }]), /prompt 0: .*found \{"id":"a"\}/], [() => any.generate([[1.5]]), /token 0: expected an id .*found 1\.5/], [() => any.generate(["a"], { hooks: "layers.0" }), /hooks: expected a list/],
      [() => any.unembed([1]), /unembed: expected a Float32Array/], [() => any.head([-1]), /head: expected token ids from 0 to 319, found -1/], [() => any.head([320]), /found 320/], [() => any.headOutput(3), /headOutput: expected a block from 0 to 2, found 3/],
    ];
    for (const [i, [work, message, type = OptionError]] of cases.entries()) {
      await assert.rejects(async () => await work(), (error: Error) => {
        assert.ok(error instanceof type && message.test(error.message), `case ${i}: ${error.name}: ${error.message}`);
        return true;
      });
    }
  });
});
