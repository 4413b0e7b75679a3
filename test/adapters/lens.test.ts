import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { attribution, logitLens, loss } from "../../src/adapters/lens";
import { openModel } from "../../src/adapters/open";
import { DISPLAY, type ShownNow } from "../../src/adapters/show";
import { HookError, ModelError, OptionError } from "../../src/core/errors";
import { bytesSource, readFloats, readHeader } from "../../src/core/safetensors";
import type { Model, Write } from "../../src/core/types";

const ORACLE = join(__dirname, "../../../test/oracle");
const MODELS = join(ORACLE, "models");

function tensors(file: string): (name: string) => Float32Array {
  const source = bytesSource(new Uint8Array(readFileSync(file)));
  const header = readHeader(source, file);
  return (name) => readFloats(source, header.tensors.get(name)!);
}
const promptsOf = (name: string): number[][] => JSON.parse(readFileSync(join(MODELS, name, "golden.json"), "utf8")).prompts.map(({ ids }: { ids: number[] }) => ids);

async function opened(name: string, work: (model: Model, prompts: number[][]) => Promise<unknown>): Promise<void> {
  const model = await openModel(join(MODELS, name));
  try {
    await work(model, promptsOf(name));
  } finally {
    await model.close();
  }
}

const near = (found: number, wanted: number, tolerance: number, what: string): void => assert.ok(Math.abs(found - wanted) <= tolerance, `${what}: ${found} for ${wanted}`);
const nearAll = (found: ArrayLike<number>, wanted: ArrayLike<number>, tolerance: number, what: string): void => {
  assert.equal(found.length, wanted.length, what);
  for (let i = 0; i < wanted.length; i++) near(found[i], wanted[i], tolerance, `${what}, ${i}`);
};
const bundle = (value: ShownNow): Record<string, string> => value[DISPLAY]() as Record<string, string>;

/** Written anew: log-probabilities of a row. */
function logProbabilities(row: Float32Array): number[] {
  const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = row.reduce((total, x) => total + Math.exp(x - most), 0);
  return Array.from(row, (x) => x - most - Math.log(sum));
}

test("lens, attribution, cross-entropy and divergence are PyTorch's", async () => {
  const edits = JSON.parse(readFileSync(join(ORACLE, "edits/edits.json"), "utf8"));
  const tensor = tensors(join(ORACLE, "edits/edits.safetensors"));
  await opened("llama", async (model, prompts) => {
    for (const k of [1, 2]) {
      const { rows } = await logitLens(model, prompts[k], { hooks: ["layers.0", "layers.1"], top: 320 });
      const at: number[] = edits.rows[`p${k}`];
      for (const i of [0, 1]) {
        const golden = tensor(`p${k}.lens.${i}`);
        at.forEach((position, r) => {
          const wanted = logProbabilities(golden.subarray(r * 320, (r + 1) * 320));
          const { top, next } = rows[i].cells[position];
          for (const { token, probability } of top) near(Math.log(probability), wanted[token], 1e-4, `lens ${i}, prompt ${k}, position ${position}`);
          const following = prompts[k][position + 1];
          assert.equal(next?.token, following);
          if (!next) return;
          near(next.logProbability, wanted[following], 1e-4, "next");
          assert.equal(next.rank, 1 + wanted.filter((x) => x > wanted[following]).length);
        });
      }
    }

    const want = edits.attribution;
    const found = await attribution(model, prompts[want.prompt], { heads: [1] });
    assert.deepEqual([found.target, found.position], [want.token, want.position]);
    near(found.logit, want.logit, 1e-5, "logit");
    const names = ["embed_tokens", ...[0, 1, 2].flatMap((i) => [`layers.${i}.self_attn`, `layers.${i}.mlp`])];
    assert.deepEqual(found.parts.map(({ name }) => name), names);
    nearAll(found.parts.map(({ value }) => value), Object.values(want.parts), 1e-5, "parts");
    nearAll(found.parts[3].heads!, want["heads.1"], 1e-5, "heads");
    assert.ok(Math.abs(found.remainder) < 1e-5 && found.warning === undefined, String(found.remainder));

    const writes: Write[] = edits.kl.edits.map(({ point, vector }: { point: string; vector: string }) => ({ hook: point.replace("resid_post.", "layers."), add: tensor(vector) }));
    const measured = await loss(model, prompts[2], { writes });
    nearAll(measured.texts[0].loss, edits.cross_entropy.values, 1e-4, "cross-entropy");
    nearAll(measured.texts[0].kl!, edits.kl.values, 1e-4, "KL");
    near(measured.written!.kl, edits.kl.values.reduce((a: number, b: number) => a + b, 0) / edits.kl.values.length, 1e-5, "mean KL");
  });
});

// caps, LayerNorm with learned positions, a bias of the head, norms behind the sublayers, parallel blocks, two rotations
const FAMILIES = ["gemma2", "gpt2", "phi", "olmo2", "neox", "gemma3", "llama_linear", "phi3_longrope"];

for (const name of FAMILIES) {
  test(`${name}: parts and heads add up to the logit; the last lens is the model; nothing written, nothing changed`, async () => {
    await opened(name, async (model, prompts) => {
      const ids = prompts[2];
      const { logits } = await model.run([ids], { logits: true });
      const own = (t: number): Float32Array => logits.subarray(t * 320, (t + 1) * 320);
      for (const position of [-1, 4]) {
        const t = position < 0 ? ids.length - 1 : position;
        const found = await attribution(model, ids, { heads: true, position, ...(position < 0 ? {} : { target: 17, against: 200 }) });
        assert.equal(found.warning, undefined);
        const wanted = position < 0 ? Math.max(...own(t)) : own(t)[17] - own(t)[200];
        near(found.model, wanted, 2e-5, "the model's own"); // of the whole text: a shorter one may rotate otherwise
        const size = found.parts.reduce((sum, { value }) => sum + Math.abs(value), 0);
        near(found.remainder, 0, 2e-6 * size + 2e-6, "remainder");
        near(found.parts.reduce((sum, { value }) => sum + value, 0), found.logit, 1e-9 * size, "sum");
        if (name === "gemma2") assert.ok(Math.abs(found.logit) > Math.abs(found.model), "the cap bites");
        else near(found.logit, found.model, 1e-4, "no cap");
        const withHeads = found.parts.filter(({ heads }) => heads);
        assert.equal(withHeads.length, model.layers);
        for (const { value, heads, bias } of withHeads) near(heads!.reduce((a, b) => a + b, 0) + bias!, value, 2e-6 * size + 2e-6, "heads");
        assert.equal(withHeads.some(({ bias }) => bias !== 0), ["gpt2", "phi", "neox", "llama_linear"].includes(name));
        const extra = found.parts.map((part) => part.name).filter((part) => !part.startsWith("layers."));
        assert.deepEqual(extra, name === "gpt2" ? ["embed_tokens.token", "embed_tokens.positions", "norm.bias"] : ["embed_tokens", ...(["neox", "phi"].includes(name) ? ["norm.bias"] : []), ...(name === "phi" ? ["lm_head.bias"] : [])]);
        assert.match(bundle(found)["text/plain"], /^logit of “/);
      }

      const lens = await logitLens(model, ids, { targets: [17], top: 3 });
      assert.deepEqual(lens.rows.map(({ hook }) => hook), ["embed_tokens", ...Array.from({ length: model.layers }, (_, i) => `layers.${i}`)]);
      lens.rows.at(-1)!.cells.forEach(({ top, targets, kl }, t) => {
        const wanted = logProbabilities(own(t));
        assert.equal(kl, 0);
        assert.deepEqual(top.map(({ token }) => token), wanted.map((x, id) => ({ x, id })).sort((a, b) => b.x - a.x).slice(0, 3).map(({ id }) => id));
        near(targets[0].logProbability, wanted[17], 1e-4, "target");
      });
      assert.ok(lens.rows[0].cells.every(({ kl }) => kl > 0.01), "the embedding alone is not the model");
      assert.equal(lens.rows[0].cells.at(-1)!.next, undefined);

      const documents = [{ id: "a", text: "The rain", spans: [] }, "Wait, hmm, let me check", ids];
      for (const write of [{ hook: "layers.0", scale: 1 }, { hook: "logits", scale: 1 }] as Write[]) {
        const { texts, written, mean, tokens } = await loss(model, documents, { writes: [write] });
        assert.equal(texts[0].id, "a");
        assert.equal(tokens, texts.reduce((sum, text) => sum + text.ids.length - 1, 0));
        near(written!.kl, 0, 1e-9, "KL of a null write");
        near(written!.difference, 0, 1e-6, "difference of a null write");
        const wanted = Array.from({ length: ids.length - 1 }, (_, t) => -logProbabilities(own(t))[ids[t + 1]]);
        nearAll(texts[2].loss, wanted, 1e-4, "loss");
        near(mean, texts.flatMap((text) => [...text.loss]).reduce((a, b) => a + b) / tokens, 1e-12, "mean");
      }
    });
  });
}

test("loss: batches change nothing, rows of all tokens find their own, bytes are the text's, writes behind the stream are seen", async () => {
  await opened("qwen2", async (model, prompts) => {
    const text = "The rain – oh, why…";
    const plain = await loss(model, [text, ...prompts]);
    const small = await loss(model, [text, ...prompts], { batchTokens: 1 });
    plain.texts.forEach((one, i) => nearAll(small.texts[i].loss, one.loss, 1e-5, `text ${i}`));
    const alone = await loss(model, text);
    const first = model.tokenizer.bytes(alone.texts[0].ids[0]).length;
    near(alone.bitsPerByte, alone.texts[0].loss.reduce((a, b) => a + b) / Math.LN2 / (Buffer.byteLength(text) - first), 1e-9, "bits a byte");
    near(alone.perplexity, Math.exp(alone.mean), 1e-9, "perplexity");
    assert.match(bundle(alone as ShownNow)["text/plain"], /perplexity/);

    // a text that is read counts as generated, a document from its prompt on
    const off: Write = { hook: "layers.0", ablate: "zero" };
    const [everywhere, generated] = [await loss(model, text, { writes: [off] }), await loss(model, text, { writes: [{ ...off, at: "generated" }] })];
    assert.deepEqual(generated.texts[0].kl, everywhere.texts[0].kl);
    const { start } = model.tokenizer.encode(text);
    const document = { id: "d", text, spans: [], prompt: start[3] };
    const { texts: [later, whole] } = await loss(model, [document, text], { writes: [{ ...off, at: "generated" }] });
    nearAll(later.kl!.subarray(0, 3), new Float64Array(3), 1e-9, "the prompt");
    assert.ok(later.kl![3] > 1e-3);
    assert.deepEqual(whole.kl, everywhere.texts[0].kl);
    const { texts: [before, none] } = await loss(model, [document, text], { writes: [{ ...off, at: "prompt" }] });
    assert.ok(before.kl![0] > 1e-3);
    nearAll(none.kl!, new Float64Array(none.kl!.length), 1e-9, "no prompt");

    const total = prompts.reduce((sum, ids) => sum + ids.length, 0);
    const rows = Float32Array.from({ length: total * model.width }, (_, i) => Math.sin(i));
    const writes: Write[] = [{ hook: "layers.1", add: rows }];
    const together = await loss(model, prompts, { writes });
    const apart = await loss(model, prompts, { writes, batchTokens: 1 });
    assert.ok(together.written!.kl > 0.1);
    together.texts.forEach((one, i) => nearAll(apart.texts[i].kl!, one.kl!, 1e-4, `text ${i}`));

    const zero = await loss(model, prompts, { writes: [{ hook: "logits", ablate: "zero" }] });
    near(zero.written!.mean, Math.log(320), 1e-6, "even odds");
    near(zero.mean, (await loss(model, prompts)).mean, 1e-6, "the clean one is clean");
  });
});

test("lens: writes, long texts in chunks, what it shows", async () => {
  await opened("gpt2", async (model, prompts) => {
    const [clean, steered] = [await logitLens(model, prompts[1]), await logitLens(model, prompts[1], { writes: [{ hook: "layers.1", ablate: "zero" }] })];
    assert.deepEqual(steered.rows[1], { hook: "layers.0", cells: steered.rows[1].cells });
    nearAll(steered.rows[1].cells.map(({ next }) => next?.logProbability ?? 0), clean.rows[1].cells.map(({ next }) => next?.logProbability ?? 0), 1e-9, "before the write");
    assert.notDeepEqual(steered.rows[2].cells[3].top, clean.rows[2].cells[3].top);
    const { "text/html": html, "text/plain": plain } = bundle(clean);
    assert.match(html, /<td [^>]*rgba\(255,140,26,[^>]*KL /);
    assert.ok(html.includes("layers.2") && plain.includes("layers.2") && plain.split("\n").every((line) => line.length < 250));
    const long = Array.from({ length: 60 }, (_, t) => (t * 37) % 320);
    const shown = bundle(await logitLens(model, long));
    assert.match(shown["text/html"], /The first (3[6-9]|4\d) positions are not shown/);
  });
});

test("a lens over logits in many chunks is the same as at once", async () => {
  await opened("llama", async (model, prompts) => {
    // a head so large that only a few rows are held at a time
    const counts: number[] = [];
    const wide: Model = {
      ...model, vocabularySize: 2 ** 22,
      async unembed(rows) {
        const narrow = await model.unembed(rows);
        const n = narrow.length / 320;
        counts.push(n);
        const out = new Float32Array(n * 2 ** 22).fill(-1e9);
        for (let i = 0; i < n; i++) out.set(narrow.subarray(i * 320, (i + 1) * 320), i * 2 ** 22);
        return out;
      },
    };
    const ids = prompts[0];
    const [few, all] = [await logitLens(wide, ids), await logitLens(model, ids)];
    assert.deepEqual(few.rows.map(({ cells }) => cells.map(({ top }) => top.map(({ token }) => token))), all.rows.map(({ cells }) => cells.map(({ top }) => top.map(({ token }) => token))));
    assert.ok(counts.every((n) => n <= 4) && counts.length > 4, counts.join());
  });
});

test("what cannot be asked is refused with a remedy", async () => {
  await opened("llama", async (model, prompts) => {
    const ids = prompts[1];
    await assert.rejects(logitLens(model, ids, { hooks: ["layers.0.mlp"] }), HookError);
    await assert.rejects(logitLens(model, ids, { writes: [{ hook: "norm", scale: 2 }] }), HookError);
    await assert.rejects(logitLens(model, ids, { targets: ["Wait, hmm"] }), (error: Error) => error instanceof OptionError && /targets: expected a text of one token, found \d+ in "Wait, hmm": \d+/.test(error.message));
    await assert.rejects(logitLens(model, []), OptionError);
    await assert.rejects(logitLens(model, ids, { top: 0 }), OptionError);
    await assert.rejects(attribution(model, ids, { position: 99 }), OptionError);
    await assert.rejects(attribution(model, ids, { target: 320 }), OptionError);
    await assert.rejects(attribution(model, ids, { target: 5, against: 5 }), OptionError);
    await assert.rejects(attribution(model, ids, { heads: [3] }), OptionError);
    await assert.rejects(attribution({ ...model, head: undefined }, ids), ModelError);
    await assert.rejects(loss(model, [[1], [2]]), OptionError);
    await assert.rejects(loss(model, []), OptionError);
  });
});
