"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const tensorflow_1 = require("../../src/adapters/tensorflow");
const ADAPTER = (0, node_path_1.join)(__dirname, "../../src/adapters/tensorflow.js");
/** What a fresh process says when TF.js is replaced by `substitute` (the body of a function that gives the module). */
const withModule = (substitute) => (0, node_child_process_1.execFileSync)(process.execPath, ["-e", `
  const Module = require("node:module");
  const load = Module._load;
  Module._load = (name, ...rest) => name === "@tensorflow/tfjs-node-gpu" ? (() => { ${substitute} })() : load(name, ...rest);
  try { require(${JSON.stringify(ADAPTER)}).tensorflow(); } catch (error) { console.log(error.name + ": " + error.message); }
`], { encoding: "utf8" });
(0, node_test_1.test)("a missing binding is an EngineError that names the cure", () => {
    const said = withModule('throw new Error("The Node.js native addon module (tfjs_binding.node) can not be found at path: x.\\nPlease run");');
    strict_1.default.match(said, /^EngineError: @tensorflow\/tfjs-node-gpu: expected its native binding, found: .*tfjs_binding\.node.*npm run setup/);
    strict_1.default.ok(!said.includes("Please run"));
});
(0, node_test_1.test)("a backend that TF.js fell back to is not taken for TensorFlow", () => {
    strict_1.default.match(withModule('return { getBackend: () => "cpu" };'), /^EngineError: .*expected the backend "tensorflow", found "cpu".*npm run setup/);
});
(0, node_test_1.test)("importing the adapter does not load TensorFlow", () => {
    const said = (0, node_child_process_1.execFileSync)(process.execPath, ["-e", `require(${JSON.stringify(ADAPTER)}); console.log(Object.keys(require.cache).filter((f) => f.includes("tfjs")).length)`], { encoding: "utf8" });
    strict_1.default.equal(said.trim(), "0");
});
(0, node_test_1.test)("the backend is TensorFlow itself, and says its version", () => {
    const engine = (0, tensorflow_1.tensorflow)();
    strict_1.default.match(engine.version, /^2\.\d+\.\d+/);
    strict_1.default.equal((0, tensorflow_1.tensorflow)(), engine);
    strict_1.default.equal(engine.tf.getBackend(), "tensorflow");
});
(0, node_test_1.test)("tidy keeps what it returns, once, and frees the rest", () => {
    const engine = (0, tensorflow_1.tensorflow)();
    const K = (0, tensorflow_1.kernels)(engine);
    const before = engine.live();
    engine.tidy(() => {
        const { sum, list } = engine.tidy(() => {
            const a = engine.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
            const [first] = engine.tidy(() => [K.add(a, a), K.mul(a, a)]);
            return { sum: first, list: K.matMul(a, a) };
        });
        strict_1.default.deepEqual([...engine.floats(sum)], [2, 4, 6, 8]);
        strict_1.default.deepEqual([...engine.floats(list)], [7, 10, 15, 22]);
        strict_1.default.equal(engine.live(), before + 2);
    });
    strict_1.default.equal(engine.live(), before);
});
(0, node_test_1.test)("eigenvectors of a symmetric matrix give it back", () => {
    const engine = (0, tensorflow_1.tensorflow)();
    const K = (0, tensorflow_1.kernels)(engine);
    engine.tidy(() => {
        const a = Float32Array.of(4, 1, 0, 1, 3, -1, 0, -1, 2);
        const [values, vectors] = K.eigen(engine.tensor(a, [3, 3]));
        const back = K.matMul(K.mul(vectors, values), vectors, { transposeB: true });
        engine.floats(back).forEach((v, i) => strict_1.default.ok(Math.abs(v - a[i]) < 1e-5));
        const sorted = engine.floats(values);
        strict_1.default.ok(sorted[0] < sorted[1] && sorted[1] < sorted[2]);
    });
});
//# sourceMappingURL=tensorflow.test.js.map