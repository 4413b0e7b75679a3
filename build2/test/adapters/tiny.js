"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
exports.copyModel = exports.golden = exports.ORACLE = void 0;
exports.tensorsOf = tensorsOf;
exports.close = close;
exports.differs = differs;
exports.opened = opened;
exports.scratch = scratch;
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const model_1 = require("../../src/adapters/model");
const safetensors_1 = require("../../src/core/safetensors");
/** The tiny models of test/oracle, and how tests open and compare them. */
exports.ORACLE = (0, node_path_1.join)(__dirname, "../../../test/oracle");
const golden = (name) => JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(exports.ORACLE, "models", name, "golden.json"), "utf8"));
exports.golden = golden;
/** Tensors of a safetensors file, as float32. */
function tensorsOf(path) {
    const source = (0, safetensors_1.bytesSource)(new Uint8Array((0, node_fs_1.readFileSync)(path)));
    const { tensors } = (0, safetensors_1.readHeader)(source, path);
    return (name) => {
        const info = tensors.get(name);
        strict_1.default.ok(info, `${path}: no ${name}`);
        return (0, safetensors_1.readFloats)(source, info);
    };
}
/**
 * max|a − b| ≤ tolerance · max|b|. 1e-5 allows float32 sums over at most 96 terms in three blocks; 2e-6 is usual.
 * @returns the difference reached, relative
 */
function close(found, wanted, what, tolerance = 1e-5) {
    strict_1.default.equal(found.length, wanted.length, what);
    let difference = 0;
    let scale = 0;
    for (let i = 0; i < wanted.length; i++) {
        strict_1.default.ok(Number.isFinite(found[i]), `${what}: ${found[i]} at ${i}`);
        difference = Math.max(difference, Math.abs(found[i] - wanted[i]));
        scale = Math.max(scale, Math.abs(wanted[i]));
    }
    strict_1.default.ok(difference <= tolerance * scale, `${what}: ${difference} of ${scale}`);
    return scale ? difference / scale : 0;
}
/** Shows that a test could fail: the numbers are not those of the other run. */
function differs(a, b, what) {
    strict_1.default.equal(a.length, b.length, what);
    let difference = 0;
    for (let i = 0; i < a.length; i++)
        difference = Math.max(difference, Math.abs(a[i] - b[i]));
    strict_1.default.ok(difference > 1e-2, `${what}: expected other numbers, found them ${difference} apart`);
}
async function opened(name, work, options) {
    const model = await (0, model_1.openModel)(name.includes("/") ? name : (0, node_path_1.join)(exports.ORACLE, "models", name), options);
    try {
        return await work(model);
    }
    finally {
        await model.close();
    }
}
async function scratch(work) {
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-edits-"));
    try {
        await work(folder);
    }
    finally {
        (0, node_fs_1.rmSync)(folder, { recursive: true, force: true });
    }
}
const copyModel = (name, to) => (0, node_fs_1.cpSync)((0, node_path_1.join)(exports.ORACLE, "models", name), to, { recursive: true });
exports.copyModel = copyModel;
//# sourceMappingURL=tiny.js.map