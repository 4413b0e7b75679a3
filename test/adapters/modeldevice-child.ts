import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { harvest } from "../../src/adapters/harvest";
import { openModel } from "../../src/adapters/open";
import { ModelError } from "../../src/core/errors";
import type { Model, Write } from "../../src/core/types";
import { writeAttentionFile } from "./attentionfile";
import { close, golden, goldenName, sizeOf } from "./golden";
import { noise, ORACLE } from "./tiny";

/** What a child with a graphics card of its own (or SwiftShader) does: prints a line "name ok figure" for each task. @see modeldevice.test */

const FLOAT32 = 1e-4;
const folder = (name: string): string => join(ORACLE, "models", name);

/** Every hook, every logit, greedy and steered texts against PyTorch's, in one right-padded batch. @returns the largest difference */
async function parity(name: string): Promise<number> {
  const want = golden(folder(name));
  const model = await openModel(folder(name), { device: "webgpu" });
  try {
    assert.equal(model.device?.device, "webgpu");
    assert.match(model.device.checked!, /tokens at \d+ places.* agree with the CPU's to \d\.\de-\d/);
    assert.match(model.describe(), new RegExp(`on ${model.device.name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}, through ONNX Runtime's WebGPU provider`));
    const hooks = model.hooks().filter(({ missing }) => !missing);
    assert.ok(hooks.some(({ kind }) => kind === "pattern"), "patterns are read too");
    const found = await model.run(want.prompts.map(({ ids }) => ids), { hooks: hooks.map((hook) => hook.name) });
    let most = 0, compared = 0;
    for (const hook of hooks) {
      let at = 0;
      want.prompts.forEach(({ ids }, k) => {
        const size = sizeOf(hook, ids.length), key = `p${k}.${goldenName(hook)}`;
        if (want.has(key)) {
          most = Math.max(most, close(found[hook.name].subarray(at, at + size), want.tensor(key), `${hook.name}, prompt ${k}`, FLOAT32));
          compared++;
        }
        at += size;
      });
      assert.equal(found[hook.name].length, at);
    }
    assert.ok(compared > want.layers * 9, `${compared} tensors`);
    const steer: Write = { hook: want.steer.point.replace("resid_post.", "layers."), add: want.tensor("steer.v") };
    for (const [writes, ids] of [[[], want.generate.plain], [[steer], want.generate.steered]] as const) {
      const texts = await model.generate(want.prompts.map(({ text }) => text), { maxTokens: 12, writes: [...writes] });
      assert.deepEqual(texts.map(({ text }) => text), want.prompts.map(({ text }, k) => text + Buffer.concat(ids[k].map((id) => model.tokenizer.bytes(id))).toString()));
    }
    return most;
  } finally {
    await model.close();
  }
}

/** Long texts, edits of every sort, a harvest: the card's against the CPU's. */
async function likeTheCpu(name: string): Promise<number> {
  const [card, cpu] = [await openModel(folder(name), { device: "webgpu" }), await openModel(folder(name), { device: "cpu" })];
  const scratch = mkdtempSync(join(tmpdir(), "saelab-device-"));
  try {
    let most = 0;
    const batch = [100, 33].map((length, text) => Int32Array.from({ length }, (_, t) => (t * 37 + text * 11) % 300 + 1));
    const compare = async (what: string, ask: (model: Model) => Promise<Float32Array>): Promise<void> => {
      most = Math.max(most, close(await ask(card), await ask(cpu), what, FLOAT32));
    };
    const written = (what: string, writes: Write[]): Promise<void> => compare(what, async (model) => (await model.run(batch, { logits: true, writes })).logits);
    const last = `layers.${card.layers - 1}`;
    await compare("texts beyond 32 tokens", async (model) => (await model.run(batch, { hooks: [last] }))[last]);
    const width = card.width, latents = 64;
    await written("an edit by a function", [{ hook: "layers.1.mlp", edit: (rows) => rows.map((x, i) => (i % 3 ? x : 2 * x)) }]);
    await written("one head's pattern set to zero", [{ hook: "layers.1.attn.pattern", ablate: "zero", heads: 0 }]);
    await written("rotated queries scaled at some places", [{ hook: "layers.0.attn.rot_q", scale: 0.5, at: [1, 2] }]);
    await written("an SAE's reconstruction", [{ hook: "layers.1", sae: { weights: { d: width, latents, k: 4, wEnc: noise(latents * width, 2), bEnc: noise(latents, 3), wDec: noise(latents * width, 4), bDec: noise(width, 5) } } }]);
    await compare("unembed", (model) => model.unembed(noise(3 * width)));
    const documents = Array.from({ length: 6 }, (_, i) => ({ id: `${i}`, text: "one two three, four five six. ".repeat(2 + i), spans: [] }));
    const options = { hooks: ["layers.1"], context: 48, shardRows: 96, batchTokens: 96 };
    const [ours, theirs] = [await harvest(card, documents, { ...options, folder: join(scratch, "card") }), await harvest(cpu, documents, { ...options, folder: join(scratch, "cpu") })];
    assert.equal(ours.rows, theirs.rows);
    assert.ok(ours.manifest.shards.length > 1 && ours.manifest.shards.every(({ device }) => device === `${card.device!.name} (webgpu)`), JSON.stringify(ours.manifest.shards));
    assert.ok(theirs.manifest.shards.every((shard) => !("device" in shard)));
    most = Math.max(most, close(ours.read("layers.1", 0, ours.rows), theirs.read("layers.1", 0, theirs.rows), "harvested rows", FLOAT32));
    ours.close();
    theirs.close();
    return most;
  } finally {
    await card.close();
    await cpu.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Gemma 2's soft cap, in the operator that WebGPU's provider has: ignored, and found out. */
async function refused(): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), "saelab-device-"));
  try {
    writeAttentionFile(folder("gemma2"), scratch);
    const plain = await openModel(folder("gemma2"), { device: "cpu" }), file = await openModel(scratch, { route: "onnx", device: "cpu" });
    const ask = async (model: Model): Promise<Float32Array> => (await model.run([[5, 6, 7, 8]], { logits: true })).logits;
    close(await ask(file), await ask(plain), "the file on the CPU is the checkpoint");
    await plain.close();
    await file.close();
    let said = "";
    await assert.rejects(openModel(scratch, { route: "onnx", device: "webgpu" }), (error: Error) => {
      said = error.message;
      return error instanceof ModelError;
    });
    assert.match(said, /device: "webgpu": expected the CPU's numbers from .*, found others: .* differs from the CPU's by .*Open it with \{ device: "cpu" \}/);
    return Number(/differs from the CPU's by ([\d.e-]+)/.exec(said)![1]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  for (const task of process.argv.slice(2)) {
    const [what, name] = task.split(":");
    const figure = await (what === "parity" ? parity(name) : what === "cpu" ? likeTheCpu(name) : refused());
    process.stdout.write(`${task} ok ${figure.toExponential(1)}\n`);
  }
}

void main().catch((error: Error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
