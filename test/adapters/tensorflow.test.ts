import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";

const ADAPTER = join(__dirname, "../../src/adapters/tensorflow.js");

/** What a fresh process says when TF.js' package with the binding is replaced by `substitute` (the body of a function that gives the module). */
function withModule(substitute: string, env: Record<string, string> = {}): { stdout: string; stderr: string } {
  return spawnSync(process.execPath, ["-e", `
  const Module = require("node:module");
  const load = Module._load;
  Module._load = (name, ...rest) => name === "@tensorflow/tfjs-node-gpu" ? (() => { ${substitute} })() : load(name, ...rest);
  const { tensorflow, withoutTensorflow } = require(${JSON.stringify(ADAPTER)});
  try {
    const { device, name, tf } = tensorflow();
    tensorflow();
    console.log(JSON.stringify({ device, name, backend: tf.getBackend(), instead: withoutTensorflow() }));
  } catch (error) { console.log(error.name + ": " + error.message); }
`], { encoding: "utf8", env: { ...process.env, SAELAB_ENGINE: "", ...env } });
}

const MISSING = 'throw new Error("The Node.js native addon module (tfjs_binding.node) can not be found at path: x. \\nPlease run");';

test("without the binding WebAssembly computes, and says so, why and how to have TensorFlow, once", () => {
  const { stdout, stderr } = withModule(MISSING);
  const { device, name, backend, instead } = JSON.parse(stdout) as { device: string; name: string; backend: string; instead: { why: string; cure?: string } };
  assert.deepEqual([device, name, backend], ["wasm", "WebAssembly", "cpu"]);
  const said = stderr.split("\n").filter((line) => line.startsWith("saelab:"));
  assert.equal(said.length, 1, stderr);
  assert.ok(said[0].includes("WebAssembly computes instead of TensorFlow") && said[0].includes(instead.why) && !stderr.includes("Please run"), said[0]);
  if (process.platform === "linux" && process.arch === "x64") {
    assert.match(instead.why, /expected its native binding, found: .*tfjs_binding\.node.* at path: x$/);
    assert.match(said[0], /at path: x\. To have it: npx saelab setup$/);
  }
});

test("where set-up was told to leave TensorFlow out, that is the reason, and its cure not the set-up that would leave it out again", { skip: process.platform !== "linux" || process.arch !== "x64" }, () => {
  const venv = mkdtempSync(join(tmpdir(), "saelab-venv-"));
  try {
    mkdirSync(join(venv, "bin"));
    writeFileSync(join(venv, "bin", "python"), "");
    writeFileSync(join(venv, ".saelab-device"), "none\n");
    const { stdout } = withModule(MISSING, { SAELAB_VENV: venv });
    assert.deepEqual((JSON.parse(stdout) as { instead: object }).instead, { why: "set-up was told to leave TensorFlow out (--no-tensorflow)", cure: "npx saelab setup --auto" });
  } finally {
    rmSync(venv, { recursive: true });
  }
});

test("a backend that TF.js fell back to is not taken for TensorFlow", () => {
  const { stdout } = withModule('return { getBackend: () => "cpu" };');
  assert.match((JSON.parse(stdout) as { instead: { why: string } }).instead.why, /expected the backend "tensorflow", found "cpu"$/);
  assert.match(withModule('return { getBackend: () => "cpu" };', { SAELAB_ENGINE: "cpu" }).stdout, /^EngineError: .*expected the backend "tensorflow", found "cpu".*npm run setup/);
});

test("SAELAB_ENGINE: cpu is TensorFlow or nothing, wasm and js do without it, other words are refused", () => {
  const missing = withModule(MISSING, { SAELAB_ENGINE: "cpu" });
  assert.match(missing.stdout, /^EngineError: @tensorflow\/tfjs-node-gpu: expected its native binding, found: .*tfjs_binding\.node.*npm run setup/);
  assert.ok(!missing.stdout.includes("Please run"));
  for (const [engine, name] of [["wasm", "WebAssembly"], ["js", "JavaScript"]]) {
    const { stdout, stderr } = withModule("process.exit(3)", { SAELAB_ENGINE: engine });
    assert.deepEqual(JSON.parse(stdout), { device: engine, name, backend: "cpu", instead: { why: `SAELAB_ENGINE=${engine} asks for it` } });
    assert.match(stderr, new RegExp(`^saelab: ${name} computes instead of TensorFlow, .*: SAELAB_ENGINE=${engine} asks for it\\.$`, "m"));
  }
  assert.match(withModule("", { SAELAB_ENGINE: "gpu" }).stdout, /^OptionError: SAELAB_ENGINE: expected cpu, wasm or js, found "gpu"/);
});

test("what packages get that ask for tfjs-node is the TF.js that computes here, and none of the binding where it is not wanted", () => {
  const shim = join(__dirname, "../../../kernel-ext/tfjs-node/index.js");
  const backend = (engine: string, ...preload: string[]): string => {
    const { stdout, stderr } = spawnSync(process.execPath, [...preload, "-e", `
      const tf = require(${JSON.stringify(shim)});
      const { tensorflow } = require(${JSON.stringify(ADAPTER)});
      const loaded = Object.keys(require.cache).some((file) => file.includes("tfjs-node-gpu"));
      console.log(tensorflow().tf === tf, tf.getBackend(), loaded);
    `], { encoding: "utf8", env: { ...process.env, SAELAB_ENGINE: engine } });
    return stdout.trim() || stderr;
  };
  assert.equal(backend(""), "true tensorflow true");
  assert.equal(backend("wasm"), "true cpu false");
  assert.equal(backend("", "-r", join(__dirname, "../withoutbinding.js")), "true cpu false");
  assert.match(backend("cpu", "-r", join(__dirname, "../withoutbinding.js")), /tfjs_binding\.node/);
});

test("importing the adapter does not load TensorFlow", () => {
  const said = execFileSync(process.execPath, ["-e", `require(${JSON.stringify(ADAPTER)}); console.log(Object.keys(require.cache).filter((f) => f.includes("tfjs")).length)`], { encoding: "utf8" });
  assert.equal(said.trim(), "0");
});

test("the backend is TensorFlow itself, and says its version", () => {
  const engine = tensorflow();
  assert.match(engine.version, /^2\.\d+\.\d+/);
  assert.equal(tensorflow(), engine);
  assert.equal(engine.tf.getBackend(), "tensorflow");
});

test("tidy keeps what it returns, once, and frees the rest", () => {
  const engine = tensorflow();
  const K = kernels(engine);
  const before = engine.live();
  engine.tidy(() => {
    const { sum, list } = engine.tidy(() => {
      const a = engine.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
      const [first] = engine.tidy(() => [K.add(a, a), K.mul(a, a)]);
      return { sum: first, list: K.matMul(a, a) };
    });
    assert.deepEqual([...engine.floats(sum)], [2, 4, 6, 8]);
    assert.deepEqual([...engine.floats(list)], [7, 10, 15, 22]);
    assert.equal(engine.live(), before + 2);
  });
  assert.equal(engine.live(), before);
});

test("eigenvectors of a symmetric matrix give it back", () => {
  const engine = tensorflow();
  const K = kernels(engine);
  engine.tidy(() => {
    const a = Float32Array.of(4, 1, 0, 1, 3, -1, 0, -1, 2);
    const [values, vectors] = K.eigen(engine.tensor(a, [3, 3]));
    const back = K.matMul(K.mul(vectors, values), vectors, { transposeB: true });
    engine.floats(back).forEach((v, i) => assert.ok(Math.abs(v - a[i]) < 1e-5));
    const sorted = engine.floats(values);
    assert.ok(sorted[0] < sorted[1] && sorted[1] < sorted[2]);
  });
});
