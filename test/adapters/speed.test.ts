import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { DoctorReport } from "../../src/core/doctor";
import type { Speeds } from "../../src/core/doctorspeeds";
import { measureHarvest, measureTraining } from "../../src/adapters/speed";
import { tensorflow } from "../../src/adapters/tensorflow";
import { gpuEnvironment } from "../swiftshader";

const SMALL = { sizes: { d: 32, latents: 256, k: 8, batch: 128 }, product: 64 };

test("training: whole updates of the step that would run; what a step and what a row cost add up to it", async () => {
  const engine = tensorflow();
  const before = engine.live();
  const { matmul, training } = await measureTraining({ device: engine.device === "cuda" ? "cuda" : "cpu", seconds: 0.2, ...SMALL });
  assert.ok(matmul.there && matmul.float32 > 0 && matmul.bfloat16! > 0 && matmul.n === 64);
  assert.ok(training.there, JSON.stringify(training));
  const { perStep, perRow, tokensPerSecond, batch, step } = training;
  assert.ok(perStep >= 0 && perRow >= 0);
  assert.ok(Math.abs(perStep + batch * perRow - batch / tokensPerSecond) < 1e-9);
  assert.ok(["fused", "stock"].includes(step));
  assert.equal(engine.live(), before);
});

test("what cannot be measured says why", async () => {
  const { training } = await measureTraining({ device: "cpu", seconds: 0.1, ...SMALL, sizes: { d: 8, latents: 4, k: 8, batch: 16 } });
  assert.ok(!training.there && /k: expected 1 to 4/.test(training.why), JSON.stringify(training));
});

test("harvest: a model that is made for it, read to its last block; nothing stays on disk", async () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-speed-"));
  const own = process.env.TMPDIR;
  process.env.TMPDIR = folder;
  try {
    const speed = await measureHarvest({ device: "cpu", seconds: 0.1 });
    assert.equal(speed.parameters, 4 * (2 * 576 + 576 * (576 + 2 * 192) + 576 * 576 + 3 * 576 * 1536)); // norms, q, k, v, o, MLP
    assert.ok(speed.tokens >= 16 * 256 && speed.tokensPerSecond > 0 && speed.others >= 0);
    assert.deepEqual(readdirSync(folder), []);
  } finally {
    if (own === undefined) delete process.env.TMPDIR; else process.env.TMPDIR = own;
    rmSync(folder, { recursive: true });
  }
});

const adapters = join(__dirname, "../../src/adapters");

/** A child's answer by message, or what it prints. */
async function child<T>(file: string, args: string[], env: NodeJS.ProcessEnv): Promise<{ message?: T; stdout: string }> {
  assert.ok(existsSync(join(adapters, file)));
  const process_ = fork(join(adapters, file), args, { env, stdio: ["ignore", "pipe", "ignore", "ipc"] });
  let stdout = "", message: T | undefined;
  process_.stdout!.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  process_.on("message", (told) => (message = told as T));
  await once(process_, "close");
  return { message, stdout };
}

test("WebGPU: a product by the adapter that there is, in software where there is no card; the doctor does not take that one", async () => {
  const env = await gpuEnvironment();
  const [{ message }, { stdout }] = [
    await child<Pick<Speeds, "matmul">>("doctorprobe.js", ["training", JSON.stringify({ device: "webgpu", seconds: 0.1, product: 64, sizes: { d: 8, latents: 4, k: 8, batch: 16 } })], env),
    await child("cli.js", ["doctor", "--quick", "--json"], env),
  ];
  assert.ok(message?.matmul.there && message.matmul.float32 > 0 && message.matmul.device === "webgpu", JSON.stringify(message));
  const { lines, jobs } = JSON.parse(stdout) as DoctorReport;
  const line = lines.find(({ name }) => name === "WebGPU")!;
  if (!/is no card/.test(line.what)) return assert.equal(line.status, "ok"); // on a machine that has one
  assert.equal(line.status, "absent");
  assert.ok(jobs.training.runs && jobs.training.on!.device !== "webgpu");
  assert.ok(jobs.training.on!.instead.some(({ device, why }) => device === "webgpu" && /is no graphics card/.test(why)));
});
