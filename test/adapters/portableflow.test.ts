import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { scratch } from "./folders";
import type { Found } from "./portable-child";
import { close } from "./torchsteps";

/** The library's main lines in a process that has no TensorFlow, beside one that has. */
test("without the binding an SAE is trained, loaded, measured, collected, scored, falsified and mapped, with TensorFlow's numbers", { timeout: 400_000 }, async (t) => {
  await scratch(async (folder) => {
    const run = (what: "begin" | "repeat", ...preload: string[]): { found: Found; stderr: string } => {
      const { status, stderr } = spawnSync(process.execPath, [...preload, join(__dirname, "portable-child.js"), folder, what], { encoding: "utf8", env: { ...process.env, SAELAB_ENGINE: "" } });
      assert.equal(status, 0, stderr);
      return { found: JSON.parse(readFileSync(join(folder, `${what}.json`), "utf8")) as Found, stderr };
    };
    const { found: native } = run("begin");
    const { found, stderr } = run("repeat", "-r", join(__dirname, "../withoutbinding.js"));
    assert.deepEqual([native.device, native.backend, found.device, found.backend, found.name], ["cpu", "tensorflow", "wasm", "cpu", "WebAssembly"]);
    assert.equal(stderr.match(/^saelab: WebAssembly computes instead of TensorFlow/gm)?.length, 1, stderr);
    assert.doesNotMatch(stderr, /Node backend|npm install/, "TF.js recommends nothing");
    for (const [name, want] of Object.entries(native.numbers)) close(found.numbers[name], want, 1e-4, name); // a latent at the edge of the k may fire in one and not in the other
    assert.match(String(found.trained.machine), /wasm/);
    assert.ok(Math.abs(found.trained.fvu - native.trained.fvu) < 0.01 * native.trained.fvu, `FVU ${found.trained.fvu}, by TensorFlow ${native.trained.fvu}`);
    const { cosine } = found.trained;
    t.diagnostic(`trained by the ${found.trained.step} step: FVU ${found.trained.fvu}, by TensorFlow ${native.trained.fvu}; cosines of latents with TensorFlow's ${cosine[0]} to ${cosine.at(-1)}, median ${cosine[cosine.length >> 1]}`);
    assert.ok(cosine[cosine.length >> 1] > 0.95, "the same rows and seed give the same latents, but for rounding");
    assert.match(String(found.words.inspected), /encodes without TensorFlow, several times as slowly: .*tfjs_binding/);
    assert.doesNotMatch(String(native.words.inspected), /without TensorFlow/);
    assert.deepEqual({ ...found.words, inspected: "" }, { ...native.words, inspected: "" });
  });
});
