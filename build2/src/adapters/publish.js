"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.publish = publish;
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_path_1 = __importDefault(require("node:path"));
const errors_1 = require("../core/errors");
const package_1 = require("./package");
/**
 * Executes a notebook in a fresh kernel and writes one HTML file: no script, no network reference, light and dark.
 * Stops at the first error, names the cell and writes nothing.
 * @returns path of the page
 * @throws EngineError when the Python side of the set-up is missing or a cell fails
 */
async function publish(notebook, out, options = {}) {
    if (!(0, node_fs_1.existsSync)(notebook))
        throw new errors_1.OptionError(`${notebook}: expected a notebook (.ipynb), found nothing there.`);
    const python = findPython(node_path_1.default.dirname(node_path_1.default.resolve(notebook)));
    const settings = Object.entries(options.parameters ?? {}).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    const keep = options.notebook ? ["--keep", options.notebook] : [];
    const script = node_path_1.default.join(package_1.packageRoot, "kernel-ext", "publish.py");
    const code = await new Promise((resolve, reject) => {
        const child = (0, node_child_process_1.spawn)(python, [script, notebook, out, ...settings, ...keep, "--footer", footer()], { stdio: "inherit" });
        child.on("error", reject).on("close", resolve);
    });
    if (code !== 0)
        throw new errors_1.EngineError(`${notebook}: expected every cell to run; see the error above. Nothing was written.`);
    if (options.open)
        openOnDesktop(node_path_1.default.resolve(out));
    return node_path_1.default.resolve(out);
}
/** The Python of set-up. */
function findPython(from) {
    const venv = (0, package_1.findVenv)(from);
    if (!venv)
        throw new errors_1.EngineError(`.venv/bin/python: expected in ${package_1.packageRoot} or above ${process.cwd()}, found none. Run npm run setup (in a clone) or npx saelab setup.`);
    return (0, package_1.pythonOf)(venv);
}
/** What made the page: version, commit when there is one, Node. */
function footer() {
    let commit = "";
    try {
        commit = `, commit ${(0, node_child_process_1.execFileSync)("git", ["-C", package_1.packageRoot, "rev-parse", "--short", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim()}`;
    }
    catch {
        // Not a clone, or no git: the version says enough.
    }
    return `saelab ${package_1.version}${commit}, Node ${process.versions.node}.`;
}
function openOnDesktop(file) {
    if (!process.env.DISPLAY && !process.env.WAYLAND_DISPLAY)
        return;
    (0, node_child_process_1.spawn)("xdg-open", [file], { detached: true, stdio: "ignore" }).on("error", () => { }).unref();
}
//# sourceMappingURL=publish.js.map