"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.kernelSpec = kernelSpec;
const node_path_1 = require("node:path");
/**
 * The kernelspec of saelab. Only node:path is used, so a set-up script may load this file before anything is installed.
 * @param node absolute path of the Node that runs the kernel: the one the native modules were built for
 * @param packageRoot folder of this package, the one that holds build/
 * @returns the object to write as <jupyter data folder>/kernels/saelab/kernel.json
 */
function kernelSpec({ node, packageRoot }) {
    return {
        argv: [node, (0, node_path_1.join)(packageRoot, "build", "kernel-ext", "kernel", "main.js"), "{connection_file}"],
        display_name: "TypeScript (saelab)",
        language: "typescript",
        // A message reaches the kernel alone; a signal would also reach the processes that it and its cells have started.
        interrupt_mode: "message",
        env: {
            TF_ENABLE_ONEDNN_OPTS: "1", // up to 1.4× in TensorFlow's products
            TF_CPP_MIN_LOG_LEVEL: "2",
            // bytes: keep freed tensors in the heap instead of giving pages back to the system at each step (up to 1.1×)
            MALLOC_MMAP_THRESHOLD_: String(1 << 30),
            MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
            MALLOC_TOP_PAD_: String(1 << 26),
        },
        metadata: { debugger: false },
    };
}
//# sourceMappingURL=spec.js.map