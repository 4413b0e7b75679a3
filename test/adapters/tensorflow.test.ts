import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { kernels, tensorflow } from "../../src/adapters/tensorflow";

const ADAPTER = join(__dirname, "../../src/adapters/tensorflow.js");

/** What a fresh process says when TF.js is replaced by `substitute` (the body of a function that gives the module). */
const withModule = (substitute: string): string => execFileSync(process.execPath, ["-e", `
  const Module = require("node:module");
  const load = Module._load;
  Module._load = (name, ...rest) => name === "@tensorflow/tfjs-node-gpu" ? (() => { ${substitute} })() : load(name, ...rest);
  try { require(${JSON.stringify(ADAPTER)}).tensorflow(); } catch (error) { console.log(error.name + ": " + error.message); }
`], { encoding: "utf8" });

test("a missing binding is an EngineError that names the cure", () => {
  const said = withModule('throw new Error("The Node.js native addon module (tfjs_binding.node) can not be found at path: x.\\nPlease run");');
  assert.match(said, /^EngineError: @tensorflow\/tfjs-node-gpu: expected its native binding, found: .*tfjs_binding\.node.*npm run setup/);
  assert.ok(!said.includes("Please run"));
});

test("a backend that TF.js fell back to is not taken for TensorFlow", () => {
  assert.match(withModule('return { getBackend: () => "cpu" };'), /^EngineError: .*expected the backend "tensorflow", found "cpu".*npm run setup/);
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
