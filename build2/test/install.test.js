"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = __importDefault(require("node:path"));
const node_test_1 = require("node:test");
const package_1 = require("../src/adapters/package");
/**
 * What a user of the packed package does: install it into an empty folder, set up, use library and kernel there.
 * Only the Python environment is the clone's own (SAELAB_VENV), to spare a second download of TensorFlow.
 */
(0, node_test_1.test)("npm pack gives a package that installs, sets up, computes and runs a notebook elsewhere", { timeout: 600_000 }, (t) => {
    const folder = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-install-"));
    t.after(() => (0, node_fs_1.rmSync)(folder, { recursive: true, force: true }));
    const env = { ...process.env, SAELAB_VENV: node_path_1.default.join(package_1.packageRoot, ".venv"), JUPYTER_DATA_DIR: node_path_1.default.join(folder, "jupyter"), TF_CPP_MIN_LOG_LEVEL: "3" };
    for (const name of Object.keys(env))
        if (/^npm_/i.test(name) && !/cache|registry|proxy|cafile/i.test(name))
            delete env[name];
    const run = (command, args, cwd = folder) => (0, node_child_process_1.execFileSync)(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    const packed = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], package_1.packageRoot));
    const [tarball] = Object.values(packed);
    t.diagnostic(`${tarball.filename}: ${(tarball.size / 1e6).toFixed(1)} MB`);
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(folder, "package.json"), JSON.stringify({ name: "elsewhere", private: true }));
    run("npm", ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", node_path_1.default.join(folder, tarball.filename)]);
    const said = run("npx", ["saelab", "setup"]);
    strict_1.default.match(said, /TF\.js on TensorFlow 2\./);
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(folder, "use.mjs"), `
    import { createRequire } from "node:module";
    import { loadSae } from "saelab";
    const sae = await loadSae(process.argv[2]);
    const { index, value } = sae.encode(new Float32Array(sae.weights.d).fill(0.5));
    const { tensorflow, DataFrame } = createRequire(import.meta.resolve("saelab"))("danfojs-node");
    console.log(JSON.stringify({ k: index.length, finite: value.every(Number.isFinite), backend: tensorflow.getBackend(), rows: new DataFrame({ a: [1, 2] }).shape[0] }));
  `);
    const got = JSON.parse(run(process.execPath, ["use.mjs", node_path_1.default.join(package_1.packageRoot, "test", "oracle", "saes", "sae")]));
    strict_1.default.deepEqual(got, { k: 8, finite: true, backend: "tensorflow", rows: 2 });
    const cell = (source) => ({ cell_type: "code", id: `c${source.length}`, execution_count: null, metadata: {}, outputs: [], source });
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(folder, "note.ipynb"), JSON.stringify({
        cells: [cell(`import { readTexts } from "saelab";`), cell(`const texts = await readTexts("note.txt");\ntexts[0].text.length`)],
        metadata: { kernelspec: { name: "saelab", display_name: "saelab", language: "typescript" } }, nbformat: 4, nbformat_minor: 5,
    }));
    (0, node_fs_1.writeFileSync)(node_path_1.default.join(folder, "note.txt"), "forty-two letters, or thereabouts, in all.");
    run("npx", ["saelab", "publish", "note.ipynb", "note.html"]);
    strict_1.default.match((0, node_fs_1.readFileSync)(node_path_1.default.join(folder, "note.html"), "utf8"), /<pre>42<\/pre>/);
});
//# sourceMappingURL=install.test.js.map