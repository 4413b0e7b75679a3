"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = __importDefault(require("node:path"));
const node_test_1 = require("node:test");
const reporters_1 = require("node:test/reporters");
const fixtures_1 = require("./fixtures");
/**
 * Runs every *.test.js under build/test (with --slow those under build/test/slow instead; other words pick files by name),
 * and closes with one line: "N passed, N failed".
 */
const words = process.argv.slice(2);
const slow = words.includes("--slow");
const picked = words.filter((word) => !word.startsWith("--"));
const files = (0, node_fs_1.readdirSync)(__dirname, { recursive: true })
    .filter((file) => file.endsWith(".test.js") && file.startsWith(`slow${node_path_1.default.sep}`) === slow)
    .filter((file) => !picked.length || picked.some((word) => file.includes(word)))
    .sort()
    .map((file) => node_path_1.default.join(__dirname, file));
if (!files.length)
    throw new Error(`No test file under ${__dirname} matches ${picked.join(", ") || "*.test.js"}: run npm run build.`);
// What the library remembers of a machine is not the user's own while its tests run.
const cache = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-cache-"));
process.env.XDG_CACHE_HOME = cache;
process.on("exit", () => (0, node_fs_1.rmSync)(cache, { recursive: true, force: true }));
const count = { passed: 0, failed: 0, skipped: 0 };
const stream = (0, node_test_1.run)({ files, concurrency: Math.min(2, (0, node_os_1.availableParallelism)()) });
// A file is reported like a test of its own; so is a suite. Only what has no children is counted, and a file that died outright.
const leaf = (data) => data.details.type !== "suite" && !files.includes(data.name);
stream.on("test:pass", (data) => {
    if (!leaf(data))
        return;
    if (data.skip !== undefined && data.skip !== false)
        count.skipped++;
    else
        count.passed++;
});
stream.on("test:fail", (data) => {
    if (data.details.type !== "suite" && data.details.error.failureType !== "subtestsFailed")
        count.failed++;
});
stream.compose(reporters_1.spec).pipe(process.stdout);
stream.on("end", () => {
    process.exitCode = count.failed || !count.passed ? 1 : 0;
    // After the reporter has written its own summary.
    setImmediate(() => {
        if (!(0, node_fs_1.existsSync)(fixtures_1.FIXTURES))
            process.stdout.write(`\nNot run: tests of files in ${fixtures_1.FIXTURES}, which is not there (SAELAB_FIXTURES names another folder).\n`);
        if (count.skipped)
            process.stdout.write(`\n${count.skipped} skipped\n`);
        process.stdout.write(`\n${count.passed} passed, ${count.failed} failed\n`);
    });
});
//# sourceMappingURL=run.js.map