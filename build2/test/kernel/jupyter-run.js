"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.program = exports.jupyter = void 0;
exports.python = python;
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const kernelspec_1 = require("../../src/adapters/kernelspec");
const package_1 = require("../../src/adapters/package");
const python_1 = require("../python");
/** Jupyter with this build's kernel in a scratch folder, first on its path, so that no installed kernel is needed or disturbed. */
(0, python_1.requireTestPackages)();
const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-jupyter-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true }));
const kernel = "saelab-test";
(0, kernelspec_1.writeKernel)((0, node_path_1.join)(scratch, "kernels", kernel));
const env = {
    ...process.env,
    JUPYTER_PATH: scratch,
    JUPYTER_RUNTIME_DIR: (0, node_path_1.join)(scratch, "runtime"),
    JUPYTER_CONFIG_DIR: (0, node_path_1.join)(scratch, "config"), // not the user's own
    JUPYTER_PREFER_ENV_PATH: "0",
    IPYTHONDIR: (0, node_path_1.join)(scratch, "ipython"),
    PYTHONWARNINGS: "ignore",
    NO_COLOR: "1",
};
(0, node_fs_1.mkdirSync)((0, node_path_1.join)(scratch, "work"));
/** `work` is the folder that programs run in. */
exports.jupyter = { kernel, env, work: (0, node_path_1.join)(scratch, "work") };
const LIMIT = 180_000; // ms: none hangs for ever; far above what one takes
/** Runs a program of the virtual environment to its end. */
const program = (name, args, input) => new Promise((done) => {
    const child = (0, node_child_process_1.execFile)((0, python_1.bin)(name), args, { env, cwd: exports.jupyter.work, maxBuffer: 1 << 28, timeout: LIMIT, killSignal: "SIGKILL" }, (error, stdout, stderr) => done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }));
    child.stdin.on("error", () => { }).end(input); // a program that reads nothing may be gone by now
});
exports.program = program;
/** Runs a script of this folder; its output. */
async function python(script, args, input) {
    const { code, stdout, stderr } = await (0, exports.program)("python", [(0, node_path_1.join)(package_1.packageRoot, "test", "kernel", script), ...args], input);
    if (code !== 0)
        throw new Error(`${script} failed:\n${stderr}`);
    return stdout;
}
//# sourceMappingURL=jupyter-run.js.map