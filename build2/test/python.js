"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.bin = exports.venv = void 0;
exports.requireTestPackages = requireTestPackages;
const node_child_process_1 = require("node:child_process");
const node_fs_1 = require("node:fs");
const node_path_1 = __importDefault(require("node:path"));
const package_1 = require("../src/adapters/package");
/** Python's side of the tests: the virtual environment of set-up, and what it must hold. */
exports.venv = process.env.SAELAB_VENV ?? node_path_1.default.join(package_1.packageRoot, ".venv");
const bin = (name) => node_path_1.default.join(exports.venv, "bin", name);
exports.bin = bin;
/** Packages of test/requirements.txt, and our own for papermill. */
const WANTED = [...(0, node_fs_1.readFileSync)(node_path_1.default.join(package_1.packageRoot, "test", "requirements.txt"), "utf8").matchAll(/^([\w-]+)==/gm)].map(([, name]) => name).concat("saelab-papermill");
/** @throws Error that names what is missing: set-up leaves a shared environment (SAELAB_VENV) as it is */
function requireTestPackages() {
    const remedy = process.env.SAELAB_VENV
        ? `Install them there: ${(0, exports.bin)("pip")} install -r test/requirements.txt kernel-ext/papermill`
        : "Run: node kernel-ext/setup.mjs --test";
    if (!(0, node_fs_1.existsSync)((0, exports.bin)("python")))
        throw new Error(`${(0, exports.bin)("python")}: expected the Python of set-up, found none. ${remedy}`);
    const probe = `import importlib.metadata, sys
plain = lambda name: name.lower().replace("_", "-")
have = {plain(found.name) for found in importlib.metadata.distributions()}
print(*[name for name in sys.argv[1:] if plain(name) not in have])`;
    const { stdout, stderr } = (0, node_child_process_1.spawnSync)((0, exports.bin)("python"), ["-c", probe, ...WANTED], { encoding: "utf8" });
    if (stderr || stdout.trim())
        throw new Error(`${exports.venv}: expected the packages of test/requirements.txt, found them without ${stdout.trim()}${stderr}. ${remedy}`);
}
//# sourceMappingURL=python.js.map