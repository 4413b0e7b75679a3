import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { momentsFor } from "../../src/adapters/choice";
import type { SaeOptions } from "../../src/adapters/train";
import { runMemory, type RunShape } from "../../src/core/memoryplan";
import type { MemoryRun } from "../memorychild";
import { gpuEnvironment } from "../swiftshader";

/** What is planned, held against what runs take, each in a process of its own. */

const run = promisify(execFile);
const child = (name: string): string => path.join(__dirname, "..", `${name}.js`);

const LESS = 0.9, MORE = 1.25, ROUGHLY = 32e6; // core/memoryplan.ts says so

const train = (sae: SaeOptions, count = 1): SaeOptions[] => Array.from({ length: count }, () => sae);
const runs: [name: string, MemoryRun & { shared: { batch: number } }][] = [
  ["fused", { d: 512, rows: 8192, saes: train({ latents: 8192, k: 32, step: "fused" }), shared: { batch: 512, tokens: 4096 } }],
  ["fused, moments in bfloat16", { d: 1024, rows: 2048, saes: train({ latents: 18_432, k: 32, step: "fused", auxK: 0 }), shared: { batch: 256, tokens: 768 } }],
  ["fused, three at once, group-max", { d: 256, rows: 4096, saes: train({ latents: 8192, k: 16, step: "fused", kind: "groupmax", auxK: 0 }, 3), shared: { batch: 256, tokens: 1024 } }],
  ["stock", { d: 512, rows: 4096, saes: train({ latents: 12_288, k: 32, step: "stock", auxK: 0 }), shared: { batch: 512, tokens: 2048 } }],
  ["plain", { d: 256, rows: 2048, saes: train({ latents: 4096, k: 16, step: "plain", auxK: 0 }), shared: { batch: 64, tokens: 128 } }],
];
for (const [name, given] of runs) {
  test(`memory of a run: ${name}`, { skip: process.platform !== "linux" && "the kernel tells a process's peak on Linux only" }, async () => {
    const { stdout } = await run(process.execPath, [child("memorychild"), JSON.stringify(given)]);
    const { peak, dead } = JSON.parse(stdout) as { peak: number; dead: number };
    const { d, saes, rows: stored, shared: { batch } } = given, rows = Math.ceil(0.75 * stored); // the others are held out
    const shapes = saes.map(({ latents, k, kind, step, auxK }): RunShape => (
      { d, latents, k, kind, step: step!, auxK, dead, batch, device: "cpu", moments: step === "fused" ? momentsFor({ d, dOut: d, latents }) : "f32" }));
    const { host, parts } = runMemory(shapes, { held: 4 * rows * d, rows });
    const told = `planned ${host}, found ${peak}: ${JSON.stringify(parts)}`;
    assert.ok(host > LESS * peak - ROUGHLY, told);
    assert.ok(host < MORE * peak + ROUGHLY, told);
  });
}

test("memory of a step on WebGPU, buffer by buffer", async () => {
  const shapes: RunShape[] = [
    { device: "webgpu", step: "webgpu", kind: "multitopk", d: 65, dOut: 32, transcoder: true, latents: 1030, k: 8, batch: 64, rows: 24, dead: 300 },
  ];
  const { stdout } = await run(process.execPath, [child("gpumemorychild"), JSON.stringify(shapes)], { env: await gpuEnvironment() });
  const found = JSON.parse(stdout) as number[];
  shapes.forEach((shape, i) => {
    const planned = runMemory([shape]).parts.filter(({ on, what }) => on === "card" && !what.startsWith("driver")).reduce((sum, { bytes }) => sum + bytes, 0);
    assert.ok(Math.abs(planned - found[i]) < 0.01 * found[i], `planned ${planned}, found ${found[i]}`);
  });
});
