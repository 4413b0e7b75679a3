// TensorFlow's binding where there is one; plain TF.js where saelab computes without it, as src/adapters/tensorflow.ts chooses.
const { SAELAB_ENGINE: engine } = process.env;
if (engine === "wasm" || engine === "js") {
  module.exports = require("@tensorflow/tfjs");
} else {
  try {
    module.exports = require("@tensorflow/tfjs-node-gpu");
  } catch (error) {
    if (engine === "cpu") throw error;
    module.exports = require("@tensorflow/tfjs");
  }
}
