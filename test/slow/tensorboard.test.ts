import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/adapters/package";
import { openEventFile } from "../../src/adapters/tensorboard";
import { scratch } from "../adapters/folders";

/**
 * What we write is read by TensorBoard itself, which gets the same numbers. It is installed into a virtual environment of its
 * own (a minute, once: build/tensorboard). SAELAB_TENSORBOARD names a Python that has it already.
 */
function python(say: (text: string) => void): string {
  if (process.env.SAELAB_TENSORBOARD) return process.env.SAELAB_TENSORBOARD;
  const home = join(packageRoot, "build", "tensorboard");
  const found = join(home, "bin", "python");
  if (existsSync(join(home, "whole"))) return found;
  say("installing TensorBoard into build/tensorboard first");
  execFileSync("python3", ["-m", "venv", home]);
  execFileSync(found, ["-m", "pip", "install", "-q", "tensorboard==2.21.0"], { stdio: ["ignore", "pipe", "inherit"] });
  writeFileSync(join(home, "whole"), "");
  return found;
}

test("TensorBoard reads the same values, also of a run that went on after it was killed", { timeout: 600_000 }, async (context) => {
  const reader = python((text) => context.diagnostic(text));
  const read = (folder: string): Record<string, [number, number | string, number][]> =>
    JSON.parse(execFileSync(reader, [join(packageRoot, "test", "oracle", "read_events.py"), folder], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
  await scratch(async (folder) => {
    const file = openEventFile(folder, "topk, k 32");
    for (let step = 0; step < 1000; step++) file.scalars(step, { "loss": 1 / (step + 1), "share/dead": step % 7 ? 0.01 * step : NaN }, 1.7e9 + step / 8);
    const wanted = Array.from({ length: 1000 }, (_, step) => [step, Math.fround(1 / (step + 1)), 1.7e9 + step / 8]);
    const run = join(folder, "topk, k 32");
    const first = read(run);
    assert.deepEqual(first.loss, wanted);
    assert.deepEqual(first["share/dead"].map(([, value]) => value), wanted.map(([step]) => (step % 7 ? Math.fround(0.01 * step) : "nan")));
    // killed at step 999 in the middle of a record; it goes on from the checkpoint of step 900, with other numbers
    appendFileSync(file.path, Buffer.from([24, 0, 0, 0, 0, 0, 0, 0, 163, 127]));
    const again = openEventFile(folder, "topk, k 32", { resumedAt: 900 });
    for (let step = 900; step < 1100; step++) again.scalars(step, { loss: 2 + step }, 1.8e9 + step);
    again.scalars(2 ** 40, { tokens: 0.5 }, 1.9e9);
    const both = read(run);
    assert.deepEqual(both.loss, [...wanted.slice(0, 900), ...Array.from({ length: 200 }, (_, i) => [900 + i, 902 + i, 1.8e9 + 900 + i])]);
    assert.deepEqual(both.tokens, [[2 ** 40, 0.5, 1.9e9]]);
    file.close();
    again.close();
  });
});
