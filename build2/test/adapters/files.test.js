"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const files_1 = require("../../src/adapters/files");
const errors_1 = require("../../src/core/errors");
async function scratch(work) {
    const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-files-"));
    try {
        await work(folder);
    }
    finally {
        (0, node_fs_1.rmSync)(folder, { recursive: true, force: true });
    }
}
(0, node_test_1.test)("ranges of a file are copies of its bytes, cut at its end", () => scratch(async (folder) => {
    const path = (0, node_path_1.join)(folder, "a");
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    (0, node_fs_1.writeFileSync)(path, bytes);
    const source = (0, files_1.fileSource)(path);
    strict_1.default.equal(source.byteLength, 1000);
    strict_1.default.deepEqual(source.slice(3, 700), bytes.slice(3, 700));
    strict_1.default.deepEqual(source.slice(990, 2000), bytes.slice(990));
    strict_1.default.equal(source.slice(5, 5).length, 0);
    const slice = source.slice(0, 16);
    strict_1.default.equal(slice.buffer.byteLength, 16, "a buffer of its own, fit to be transferred");
    slice.fill(0);
    strict_1.default.deepEqual(source.slice(0, 16), bytes.slice(0, 16));
    (0, node_fs_1.truncateSync)(path, 500);
    strict_1.default.throws(() => source.slice(400, 600), (error) => error instanceof errors_1.DiskError && /ends at 500/.test(error.message));
    source.close();
    source.close();
    strict_1.default.throws(() => (0, files_1.fileSource)((0, node_path_1.join)(folder, "none")), /ENOENT/);
}));
(0, node_test_1.test)("a file is written whole: pieces of every kind, over an older one, nothing else left", () => scratch(async (folder) => {
    const path = (0, node_path_1.join)(folder, "a.json");
    await (0, files_1.writeAtomic)(path, ["{\"ü\":", Uint8Array.of(0x31), "}"]);
    strict_1.default.equal((0, node_fs_1.readFileSync)(path, "utf8"), "{\"ü\":1}");
    const many = (async function* () {
        for (let i = 0; i < 3; i++)
            yield `line ${i}\n`;
    })();
    await (0, files_1.writeAtomic)(path, many);
    strict_1.default.equal((0, node_fs_1.readFileSync)(path, "utf8"), "line 0\nline 1\nline 2\n");
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder), ["a.json"]);
}));
(0, node_test_1.test)("a file whose writing fails half-way is as it was before", () => scratch(async (folder) => {
    const path = (0, node_path_1.join)(folder, "a");
    await (0, files_1.writeAtomic)(path, ["old"]);
    const failing = (function* () {
        yield "new, but";
        throw new Error("the source broke");
    })();
    await strict_1.default.rejects((0, files_1.writeAtomic)(path, failing), /the source broke/);
    strict_1.default.equal((0, node_fs_1.readFileSync)(path, "utf8"), "old");
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(folder), ["a"]);
}));
(0, node_test_1.test)("a folder that is missing, a file in its place, or one that may not be written to is a DiskError with the remedy", () => scratch(async (folder) => {
    await strict_1.default.rejects((0, files_1.writeAtomic)((0, node_path_1.join)(folder, "none", "a"), ["x"]), (error) => error instanceof errors_1.DiskError && /ENOENT.*make it first/.test(error.message));
    (0, node_fs_1.writeFileSync)((0, node_path_1.join)(folder, "file"), "");
    await strict_1.default.rejects((0, files_1.writeAtomic)((0, node_path_1.join)(folder, "file", "a"), ["x"]), (error) => error instanceof errors_1.DiskError && /ENOTDIR/.test(error.message));
    await strict_1.default.rejects((0, files_1.requireSpace)((0, node_path_1.join)(folder, "file", "sub"), 1), errors_1.DiskError);
    if (process.getuid?.() === 0)
        return; // to root every folder is open
    (0, node_fs_1.chmodSync)(folder, 0o500);
    await strict_1.default.rejects((0, files_1.writeAtomic)((0, node_path_1.join)(folder, "a"), ["x"]), (error) => error instanceof errors_1.DiskError && /EACCES/.test(error.message));
    (0, node_fs_1.chmodSync)(folder, 0o700);
}));
(0, node_test_1.test)("space is checked before: the folder is made, too little is said in figures", () => scratch(async (folder) => {
    await (0, files_1.requireSpace)((0, node_path_1.join)(folder, "new", "deep"), 1000);
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)((0, node_path_1.join)(folder, "new")), ["deep"]);
    await strict_1.default.rejects((0, files_1.requireSpace)(folder, 1e18), (error) => error instanceof errors_1.DiskError && /expected 1,000,000,000,064 MB free .*found [\d,]+ MB\. Free some space/.test(error.message));
}));
(0, node_test_1.test)("few files are held open: the one asked for longest ago is closed, all at the end", () => {
    const closed = [];
    const files = (0, files_1.fewOpen)(2, (name) => ({ name, close: () => void closed.push(name) }));
    const first = files.get("a");
    files.get("b");
    strict_1.default.equal(files.get("a"), first, "what is open is not opened again");
    files.get("c");
    strict_1.default.deepEqual(closed, ["b"]);
    strict_1.default.notEqual(files.get("b"), undefined);
    strict_1.default.deepEqual(closed, ["b", "a"]);
    files.close();
    strict_1.default.deepEqual(closed, ["b", "a", "c", "b"]);
});
//# sourceMappingURL=files.test.js.map