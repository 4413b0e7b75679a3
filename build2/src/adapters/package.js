"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.pythonOf = exports.version = exports.packageRoot = void 0;
exports.findVenv = findVenv;
const node_fs_1 = require("node:fs");
const node_path_1 = __importDefault(require("node:path"));
/** Folder of this package, whether a clone or installed: build/src/adapters is three below it. */
exports.packageRoot = node_path_1.default.resolve(__dirname, "..", "..", "..");
exports.version = JSON.parse((0, node_fs_1.readFileSync)(node_path_1.default.join(exports.packageRoot, "package.json"), "utf8")).version;
const pythonOf = (venv) => node_path_1.default.join(venv, "bin", "python");
exports.pythonOf = pythonOf;
/** The virtual environment of set-up: SAELAB_VENV, else .venv in the package (a clone) or in a folder at or above `from` or the current one. */
function findVenv(from = process.cwd()) {
    const above = (folder) => (folder === node_path_1.default.dirname(folder) ? [folder] : [folder, ...above(node_path_1.default.dirname(folder))]);
    const folders = [exports.packageRoot, ...above(process.cwd()), ...above(node_path_1.default.resolve(from))].map((folder) => node_path_1.default.join(folder, ".venv"));
    return [process.env.SAELAB_VENV, ...folders].flatMap((folder) => folder ?? []).find((folder) => (0, node_fs_1.existsSync)((0, exports.pythonOf)(folder)));
}
//# sourceMappingURL=package.js.map