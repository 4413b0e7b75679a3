/**
 * Whether TensorFlow's binding loads (`tensorflow`) or ONNX Runtime opens a session on CUDA (`onnx`), and whether a product computed there is right.
 * A process of its own, since a broken library may end it. Its last line is JSON: { version, cuda, why? }.
 */
const { createRequire } = require("node:module");
const path = require("node:path");
const util = require("node:util");

const root = path.resolve(__dirname, "..", "..");
const of = createRequire(path.join(root, "package.json"));
const SIZE = 256;
const a = Float32Array.from({ length: SIZE * SIZE }, (_, i) => (i % 7) - 3);
/** Row 1 of a·a: small integers, so that any order of summing, in any precision of 8 bits and more, gives the same. */
const want = Array.from({ length: SIZE }, (_, j) => Array.from({ length: SIZE }, (_, k) => a[SIZE + k] * a[k * SIZE + j]).reduce((sum, x) => sum + x, 0));
const right = (got) => want.every((x, j) => got[SIZE + j] === x);
const WRONG = "the product of two small matrices is wrong";

function tensorflow() {
  util.isNullOrUndefined ??= (value) => value == null; // removed in Node 23, and TF.js 4.22 calls them
  util.isArray ??= Array.isArray;
  const tf = of("@tensorflow/tfjs-node-gpu");
  const { TF_Version: version, isUsingGpuDevice } = tf.backend().binding;
  if (!isUsingGpuDevice()) return { version, cuda: false };
  const x = tf.tensor2d(a, [SIZE, SIZE]);
  return right(tf.matMul(x, x).dataSync()) ? { version, cuda: true } : { version, cuda: false, why: WRONG };
}

async function onnx() {
  const { loadOnnxCuda } = require(path.join(root, "build", "src", "adapters", "onnxcuda.js"));
  const ort = of("onnxruntime-node");
  const version = ort.env.versions.node;
  const missing = loadOnnxCuda();
  if (missing) return { version, cuda: false, why: missing };
  try {
    const session = await ort.InferenceSession.create(product(), { executionProviders: ["cuda"], logSeverityLevel: 4 });
    const { y } = await session.run({ x: new ort.Tensor("float32", a, [SIZE, SIZE]) });
    return right(await y.getData()) ? { version, cuda: true } : { version, cuda: false, why: WRONG };
  } catch (error) {
    // CUDA's faults come with the source line that met them
    return { version, cuda: false, why: /CUDA failure \d+: [^;]+?(?= ;)/.exec(error.message)?.[0] ?? error.message.split("\n")[0] };
  }
}

/** y = x·x as an ONNX file. @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto for the numbers of the fields */
function product() {
  const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >> 7)]);
  const number = (field, n) => [...varint(field << 3), ...varint(n)];
  const bytes = (field, content) => [...varint((field << 3) | 2), ...varint(content.length), ...content];
  const text = (field, value) => bytes(field, [...Buffer.from(value)]);
  const dimension = bytes(1, number(1, SIZE));
  const value = (name) => [...text(1, name), ...bytes(2, bytes(1, [...number(1, 1), ...bytes(2, [...dimension, ...dimension])]))];
  const node = [...text(1, "x"), ...text(1, "x"), ...text(2, "y"), ...text(4, "MatMul")];
  const graph = [...bytes(1, node), ...text(2, "product"), ...bytes(11, value("x")), ...bytes(12, value("y"))];
  return Uint8Array.from([...number(1, 8), ...bytes(7, graph), ...bytes(8, number(2, 17))]);
}

const probes = { tensorflow, onnx };
Promise.resolve().then(() => probes[process.argv[2]]()).then((found) => console.log(JSON.stringify(found)), (error) => {
  console.error(error.message);
  process.exit(1);
});
