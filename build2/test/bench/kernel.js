"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.benchKernel = benchKernel;
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const spec_1 = require("../../kernel-ext/kernel/spec");
const package_1 = require("../../src/adapters/package");
const kerneltable_1 = require("./kerneltable");
/**
 * Our kernel beside stock tslab, Deno's and ipykernel, by turns in one run, as a front end sees them (kernel.py drives them, with jupyter_client).
 * Prints a Markdown table of medians; a peer that cannot be had is "absent", with the reason, and the others are measured all the same.
 */
const ROUNDS = 30;
const STARTS = 15; // at most: a start takes a second or two of each kernel
const LIMIT = 25; // minutes for the whole: the rounds take about eight
const python = (0, node_path_1.join)(package_1.packageRoot, ".venv", "bin", "python");
const typescript = (mark, prepare = "") => {
    const begin = `writeFileSync(${JSON.stringify(mark)}, "");`;
    return {
        trivial: "1 + 1",
        prepare: `import { writeFileSync } from "node:fs";\n${prepare}`,
        // The last line uses both, so that no kernel drops an import as unused.
        import: `import * as tf from "@tensorflow/tfjs-node-gpu";\nimport * as saelab from "saelab";\n[tf.getBackend(), typeof saelab.heatMap, "loaded"].join()`,
        tensors: "const x = tf.tensor2d([[1, 2], [3, 4]]);\nconst y = x.matMul(x).sum();\ny.dataSync()[0]", // 54
        lines: `for (let i = 0; i < ${kerneltable_1.LINES}; i++) console.log("line", i);`,
        completion: "tf.",
        control: `${begin}\nconst t = Date.now();\nwhile (Date.now() - t < 400);`,
        interruptLoop: `${begin}\nwhile (true) {}`,
        interruptWait: `${begin}\nawait new Promise((done) => setTimeout(done, 60_000));`,
        interruptLate: `await null;\n${begin}\nwhile (true) {}`,
        mistyped: "const n: number = tf.tensor1d([1]);",
    };
};
/** TF.js 4.22 calls two functions that Node 23 and Deno do not have; our kernel puts them back itself. */
const shim = (require) => `{ const util: any = ${require}("util"); util.isNullOrUndefined ??= (v: any) => v == null; util.isArray ??= Array.isArray; }`;
function makePlace(scratch) {
    const project = (0, node_path_1.join)(scratch, "project");
    (0, node_fs_1.mkdirSync)((0, node_path_1.join)(project, "node_modules"), { recursive: true });
    for (const name of ["@tensorflow", "@types"])
        (0, node_fs_1.symlinkSync)((0, node_path_1.join)(package_1.packageRoot, "node_modules", name), (0, node_path_1.join)(project, "node_modules", name));
    (0, node_fs_1.symlinkSync)(package_1.packageRoot, (0, node_path_1.join)(project, "node_modules", "saelab"));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(project, "package.json"), JSON.stringify({ dependencies: { "@tensorflow/tfjs-node-gpu": "*", saelab: "*" } }));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(project, "deno.json"), JSON.stringify({ nodeModulesDir: "manual" }));
    return { scratch, project, mark: (0, node_path_1.join)(scratch, "mark") };
}
const quiet = { TF_CPP_MIN_LOG_LEVEL: "2" };
function tslab({ project, mark }) {
    const folder = (0, node_path_1.join)(package_1.packageRoot, "node_modules", "tslab");
    if (!(0, node_fs_1.existsSync)(folder))
        return { name: "tslab", absent: "node_modules holds no tslab" };
    const { version } = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "package.json"), "utf8"));
    // As tslab's python/install.py writes it.
    const argv = [process.execPath, (0, node_path_1.join)(folder, "bin", "tslab"), "kernel", "--config-path", "{connection_file}"];
    const spec = { argv, display_name: "tslab", language: "typescript", env: quiet };
    return { name: "tslab", version, spec, cwd: project, cells: typescript(mark, shim("require")) };
}
/** Deno from the npm registry, beside this file and not in the root's manifest; its install script is not run: it only hunts for the binary. */
function deno({ scratch, project, mark }) {
    const folder = (0, node_path_1.join)(package_1.packageRoot, "test", "bench", "kernel");
    const lock = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(folder, "package-lock.json"), "utf8"));
    const { version = "" } = lock.packages["node_modules/deno"];
    const platform = `@deno/${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}`;
    const binary = (0, node_path_1.join)(folder, "node_modules", platform, "deno");
    const runs = () => (0, node_child_process_1.spawnSync)(binary, ["--version"], { encoding: "utf8" }).stdout?.startsWith(`deno ${version} `) ?? false;
    if (!runs()) {
        console.error(`bench kernel: installs deno ${version} (${platform}, 92 MB) from the npm registry into test/bench/kernel/node_modules`);
        const { status, stderr, error } = (0, node_child_process_1.spawnSync)("npm", ["ci", "--ignore-scripts"], { cwd: folder, encoding: "utf8", timeout: 300_000 });
        if (status !== 0)
            return { name: "Deno", absent: `npm ci in test/bench/kernel: ${error?.message ?? stderr.trim().split("\n")[0]}` };
        if (!runs())
            return { name: "Deno", absent: `${binary} does not run here` };
    }
    // As `deno jupyter --install` writes it.
    const argv = [binary, "jupyter", "--kernel", "--conn", "{connection_file}"];
    const env = { ...quiet, DENO_DIR: (0, node_path_1.join)(scratch, "deno"), DENO_NO_UPDATE_CHECK: "1" };
    const spec = { argv, display_name: "Deno", language: "typescript", env };
    const prepare = `import { createRequire } from "node:module";\n${shim(`createRequire(${JSON.stringify((0, node_path_1.join)(project, "cell.ts"))})`)}`;
    return { name: "Deno", version, spec, cwd: project, cells: typescript(mark, prepare) };
}
function ipykernel({ scratch, mark }) {
    const ask = (code) => (0, node_child_process_1.spawnSync)(python, ["-c", code], { encoding: "utf8" }).stdout.trim();
    const version = ask("import ipykernel; print(ipykernel.__version__)");
    if (!version)
        return { name: "ipykernel", absent: ".venv holds no ipykernel" };
    const numpy = ask("import numpy; print(numpy.__version__)");
    const name = numpy ? "numpy" : "json";
    const begin = `open(${JSON.stringify(mark)}, "w").close()`;
    const cells = {
        trivial: "1 + 1",
        prepare: "import asyncio, time",
        import: `import ${name}\n${name}.__name__ + " loaded"`,
        tensors: "x = numpy.array([[1, 2], [3, 4]])\ny = (x @ x).sum()\nint(y)",
        lines: `for i in range(${kerneltable_1.LINES}): print("line", i)`,
        completion: `${name}.`,
        control: `${begin}\nt = time.monotonic()\nwhile time.monotonic() - t < 0.4: pass`,
        interruptLoop: `${begin}\nwhile True: pass`,
        interruptWait: `${begin}\ntime.sleep(60)`,
        interruptLate: `await asyncio.sleep(0)\n${begin}\nwhile True: pass`,
    };
    const remarks = [`ipykernel imports ${numpy ? `numpy ${numpy}` : "json, as .venv holds no numpy"}, and waits in time.sleep`];
    const skip = { mistyped: "Python has no types to check", ...(numpy ? {} : { tensors: ".venv holds no numpy" }) };
    return { name: "ipykernel", version, cwd: scratch, cells, skip, remarks };
}
const ours = ({ mark }) => ({
    name: "ours",
    version: `${package_1.version} (${(0, node_child_process_1.execFileSync)("git", ["-C", package_1.packageRoot, "describe", "--always", "--dirty"], { encoding: "utf8" }).trim()})`,
    spec: (0, spec_1.kernelSpec)({ node: process.execPath, packageRoot: package_1.packageRoot }),
    cwd: (0, node_path_1.join)(package_1.packageRoot, "notebooks"),
    cells: typescript(mark),
});
async function benchKernel({ rounds = ROUNDS } = {}) {
    if (!(0, node_fs_1.existsSync)(python))
        throw new Error(`${python}: expected the Python of the set-up, found none; run npm run setup`);
    const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-bench-"));
    const starts = Math.min(rounds, STARTS);
    try {
        const place = makePlace(scratch);
        const columns = [tslab, deno, ipykernel, ours].map((peer) => peer(place));
        const peers = columns.filter((column) => !("absent" in column));
        const kernels = peers.map(({ name, spec, cwd, cells, skip = {} }) => {
            const kernel = spec ? `bench-${name.toLowerCase()}` : "python3";
            if (spec) {
                (0, node_fs_1.mkdirSync)((0, node_path_1.join)(scratch, "kernels", kernel), { recursive: true });
                (0, node_fs_1.writeFileSync)((0, node_path_1.join)(scratch, "kernels", kernel, "kernel.json"), JSON.stringify(spec));
            }
            return { name, kernel, cwd, cells, skip };
        });
        const measured = JSON.parse(await drive({ kernels, starts, rounds, lines: kerneltable_1.LINES, scratch }, scratch));
        const machine = `${(0, node_os_1.cpus)()[0]?.model.trim()} × ${(0, node_os_1.cpus)().length}, Node ${process.versions.node}; ${columns
            .map((column) => `${column.name} ${"absent" in column ? "absent" : column.version}`).join(", ")}`;
        const made = (0, kerneltable_1.markdown)(columns.map((column) => ({ ...column, ...measured[column.name] })), { rounds, starts });
        console.log(`${machine}\n\n${made.text}\n`);
        return { bench: "kernel", machine, rounds, starts, ...made.values };
    }
    finally {
        (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true });
    }
}
function drive(task, scratch) {
    return new Promise((done, fail) => {
        const env = { ...process.env, JUPYTER_PATH: scratch, JUPYTER_RUNTIME_DIR: (0, node_path_1.join)(scratch, "runtime") };
        // SIGTERM after the limit: kernel.py ends its kernels then, too.
        const options = { env, stdio: ["pipe", "pipe", "inherit"], timeout: LIMIT * 60_000 };
        const child = (0, node_child_process_1.spawn)(python, [(0, node_path_1.join)(package_1.packageRoot, "test", "bench", "kernel.py")], options);
        let out = "";
        child.stdout.setEncoding("utf8").on("data", (text) => (out += text));
        child.on("error", fail);
        child.on("close", (code, signal) => (code === 0 ? done(out) : fail(new Error(`kernel.py ended with ${signal ?? `code ${code}`}`))));
        child.stdin.end(JSON.stringify(task));
    });
}
//# sourceMappingURL=kernel.js.map