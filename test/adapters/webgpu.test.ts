import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { before, test } from "node:test";
import { findWebGpu, nameOf } from "../../src/adapters/webgpu";
import { gpuEnvironment, softwareGpu } from "../swiftshader";
import { freshFolders } from "./folders";
import { cases } from "./webgpucases";

/** WebGPU's step on the card of this machine, or on SwiftShader: one child runs all cases, as one process opens one card. */

interface Result { name: string; failure?: string }
const results = new Map<string, (result: Result) => void>();
const waits = new Map(cases.map(({ name }) => [name, new Promise<Result>((resolve) => results.set(name, resolve))]));

before(async () => {
  const child = spawn(process.execPath, [join(__dirname, "webgpuchild.js")], { env: await gpuEnvironment(), stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (data: Buffer) => (said = (said + data.toString()).slice(-4000)));
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith("{")) return;
    const result = JSON.parse(line) as Result;
    results.get(result.name)!(result);
  });
  child.on("close", (code, signal) => {
    for (const [name, resolve] of results) resolve({ name, failure: `the child ended before (${signal ?? code}): ${said}` });
  });
});

for (const { name } of cases) {
  test(name, async () => {
    const { failure } = await waits.get(name)!;
    assert.equal(failure, undefined, failure);
  });
}

/** What a process with these variables finds, and what it writes to stderr meanwhile. */
async function found(environment: NodeJS.ProcessEnv): Promise<{ found: Awaited<ReturnType<typeof findWebGpu>>; stderr: string }> {
  const file = join(__dirname, "../../src/adapters/webgpu.js");
  const child = spawn(process.execPath, ["-e", `require(${JSON.stringify(file)}).findWebGpu().then((found) => console.log(JSON.stringify(found)))`], { env: environment });
  let stdout = "", stderr = "";
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
  child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
  await new Promise((resolve) => child.on("close", resolve));
  return { found: JSON.parse(stdout), stderr };
}

test("a card is found, named, and known to be software", async () => {
  const { found: gpu, stderr } = await found({ ...process.env, ...softwareGpu() });
  assert.equal(stderr, "");
  assert.ok(gpu.there && gpu.software && /^swiftshader-device.* \(SwiftShader driver/.test(gpu.name) && gpu.limits.maxBufferSize >= 2 ** 28, JSON.stringify(gpu));
});

test("a card is called by its own name and its driver's: two cards with one driver are two", () => {
  const told = { vendor: "nvidia", architecture: "lovelace", device: "nvidia-geforce-rtx-4090", description: "NVIDIA: 580.65.06" };
  assert.equal(nameOf(told), "nvidia-geforce-rtx-4090 (NVIDIA: 580.65.06)");
  assert.notEqual(nameOf({ ...told, device: "nvidia-a2" }), nameOf(told));
  assert.equal(nameOf({ vendor: "apple", architecture: "metal-3", device: "", description: "" }), "apple metal-3");
});

test("a driver that writes to stdout, behind the answer too, is no answer", async () => {
  const chatter = join(freshFolders("webgpu").root, "chatter.cjs");
  writeFileSync(chatter, 'if (/webgpu\\.js$/.test(process.argv[1] ?? "")) process.on("exit", () => process.stdout.write("driver: freed 3 objects\\n"));');
  const { found: gpu } = await found({ ...process.env, ...softwareGpu(), NODE_OPTIONS: `--require ${JSON.stringify(chatter)}` });
  assert.ok(gpu.there && gpu.software, JSON.stringify(gpu));
});

test("no driver: why, and what cures it, without a word on stderr", { skip: process.platform !== "linux" }, async () => {
  const nowhere = join(__dirname, "no-such-driver.json"); // whatever the machine has, the loader reads this one alone
  const { found: gpu, stderr } = await found({ ...process.env, ...softwareGpu(), VK_ICD_FILENAMES: nowhere, VK_DRIVER_FILES: nowhere });
  assert.equal(stderr, "");
  assert.ok(!gpu.there && /WebGPU finds no card|did not answer/.test(gpu.why) && /vulkan/i.test(gpu.cure!), JSON.stringify(gpu));
});
