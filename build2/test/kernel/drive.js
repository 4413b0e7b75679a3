"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.printedBy = void 0;
exports.withKernel = withKernel;
exports.drive = drive;
exports.resultOf = resultOf;
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const spec_1 = require("../../kernel-ext/kernel/spec");
const package_1 = require("../../src/adapters/package");
const python_1 = require("../python");
/** Runs a Python script of this folder that starts this build's kernel, under a kernelspec in a scratch folder. */
async function withKernel(script, task) {
    const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-jupyter-"));
    try {
        const kernels = (0, node_path_1.join)(scratch, "kernels", "saelab-test");
        (0, node_fs_1.mkdirSync)(kernels, { recursive: true });
        (0, node_fs_1.writeFileSync)((0, node_path_1.join)(kernels, "kernel.json"), JSON.stringify((0, spec_1.kernelSpec)({ node: process.execPath, packageRoot: package_1.packageRoot })));
        const env = { ...process.env, JUPYTER_PATH: scratch, JUPYTER_RUNTIME_DIR: (0, node_path_1.join)(scratch, "runtime"), SAELAB_OUTPUT_PACE: "off" };
        const out = await new Promise((done, fail) => {
            const child = (0, node_child_process_1.execFile)((0, python_1.bin)("python"), [(0, node_path_1.join)(package_1.packageRoot, "test", "kernel", script)], { env, maxBuffer: 1 << 28 }, (error, stdout, stderr) => error ? fail(new Error(`${script} failed:\n${stderr}`, { cause: error })) : done(stdout));
            child.stdin?.end(JSON.stringify({ kernel: "saelab-test", ...task }));
        });
        try {
            return JSON.parse(out);
        }
        catch (error) {
            const at = Number(/position (\d+)/.exec(String(error))?.[1] ?? 0);
            throw new Error(`${script}: expected JSON, found …${out.slice(Math.max(0, at - 200), at + 200)}…`, { cause: error });
        }
    }
    finally {
        (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true });
    }
}
/** Takes a kernel through steps, one after the other; drive.py says what each may be. */
async function drive(steps, cwd) {
    const { steps: found, ...rest } = await withKernel("drive.py", { cwd, steps: Object.values(steps) });
    return { ...rest, answers: Object.fromEntries(Object.keys(steps).map((name, i) => [name, found[i]])) };
}
/** Text of a cell's result; its reply where it has none. */
function resultOf({ outputs, reply }) {
    const shown = outputs.find(({ type }) => type === "execute_result");
    return shown ? shown.content.data["text/plain"] : reply.content;
}
const printedBy = ({ outputs }, which = "stdout") => outputs.filter(({ type, content }) => type === "stream" && content.name === which).map(({ content }) => content.text).join("");
exports.printedBy = printedBy;
//# sourceMappingURL=drive.js.map