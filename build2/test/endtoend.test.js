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
const joined = (text) => (Array.isArray(text) ? text.join("") : String(text ?? ""));
const cli = node_path_1.default.join(package_1.packageRoot, "build", "src", "adapters", "cli.js");
const saelab = (...args) => (0, node_child_process_1.spawnSync)(process.execPath, [cli, ...args], { encoding: "utf8" });
(0, node_test_1.test)("texts to heat maps: the notebook runs in a fresh kernel and becomes one offline page", { timeout: 400_000 }, (t) => {
    const folder = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-e2e-"));
    t.after(() => (0, node_fs_1.rmSync)(folder, { recursive: true, force: true }));
    const notebook = node_path_1.default.join(folder, "real-model.ipynb");
    (0, node_fs_1.writeFileSync)(notebook, (0, node_fs_1.readFileSync)(node_path_1.default.join(package_1.packageRoot, "notebooks", "real-model.ipynb")));
    // Both sides of the split must be there: the corpus file mixes them.
    const page = node_path_1.default.join(folder, "page.html");
    const kept = node_path_1.default.join(folder, "executed.ipynb");
    const { status, stdout, stderr } = saelab("publish", notebook, page, "--keep", kept, "--set", "documents=400", "--set", "latents=512", "--set", `modelFolder=${JSON.stringify(node_path_1.default.join(package_1.packageRoot, "data", "tiny-reasoner"))}`, "--set", `textPath=${JSON.stringify(node_path_1.default.join(package_1.packageRoot, "data", "reasoning", "corpus.jsonl"))}`);
    strict_1.default.equal(status, 0, stdout + stderr);
    const cells = JSON.parse((0, node_fs_1.readFileSync)(kept, "utf8")).cells.filter((cell) => cell.cell_type === "code");
    const shown = cells.flatMap((cell) => cell.outputs ?? []);
    strict_1.default.ok(cells.every((cell) => typeof cell.execution_count === "number"), "every code cell ran");
    strict_1.default.deepEqual(shown.filter((output) => output.output_type === "error"), []);
    const printed = shown.filter((output) => output.output_type === "stream").map((output) => joined(output.text)).join("");
    const [, tokens, rows] = /400 texts, (\d+) tokens .*; (\d+) rows, dropped 400 first positions/.exec(printed) ?? [];
    strict_1.default.ok(Number(tokens) > 50_000 && Number(rows) > 0 && Number(rows) <= Number(tokens) - 400, printed);
    const evaluated = cells.find((cell) => joined(cell.source).startsWith("await evaluate"));
    const fvu = Number(/FVU\s+([\d.e-]+)/.exec(joined(evaluated.outputs.map((output) => joined(output.data?.["text/plain"]))))?.[1]);
    t.diagnostic(`held-out FVU ${fvu} after ${rows} rows`);
    strict_1.default.ok(fvu > 0 && fvu < 0.25, `held-out FVU: expected under 0.25 even on a tenth of the corpus, found ${fvu}`);
    const maps = shown.map((output) => output.data?.["application/vnd.saelab.heatmap.v1+json"]).filter((map) => map !== undefined);
    strict_1.default.ok(maps.reduce((sum, map) => sum + map.features.length, 0) >= 12, "at least twelve features with contexts");
    const html = (0, node_fs_1.readFileSync)(page, "utf8");
    strict_1.default.doesNotMatch(html, /<script|<link|@import/i);
    strict_1.default.doesNotMatch(html, /(?:src|srcset)\s*=\s*["'](?!data:)/i);
    strict_1.default.match(html, /prefers-color-scheme: dark/);
    strict_1.default.match(html, /correlates with/);
});
(0, node_test_1.test)("a cell that throws stops the run: its name, its line, and no page", { timeout: 120_000 }, (t) => {
    const folder = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-e2e-"));
    t.after(() => (0, node_fs_1.rmSync)(folder, { recursive: true, force: true }));
    const notebook = node_path_1.default.join(folder, "broken.ipynb");
    const cell = (id, source) => ({ cell_type: "code", id, execution_count: null, metadata: {}, outputs: [], source });
    (0, node_fs_1.writeFileSync)(notebook, JSON.stringify({
        cells: [cell("a", "const one = 1;"), cell("b", "const two = one + 1;\nthrow new RangeError(`two is ${two}`);"), cell("c", "console.log('never')")],
        metadata: { kernelspec: { name: "saelab", display_name: "saelab", language: "typescript" } }, nbformat: 4, nbformat_minor: 5,
    }));
    const page = node_path_1.default.join(folder, "page.html");
    const { status, stdout, stderr } = saelab("publish", notebook, page);
    strict_1.default.equal(status, 1);
    strict_1.default.match(stderr, /cell 2 of 3 stopped/);
    strict_1.default.match(stderr, /RangeError.*two is 2/s);
    strict_1.default.match(stderr, /line 2/);
    strict_1.default.doesNotMatch(stdout, /never/);
    strict_1.default.equal((0, node_fs_1.existsSync)(page), false);
});
(0, node_test_1.test)("what cannot be published is refused in words", () => {
    const { status, stderr } = saelab("publish", "nowhere.ipynb");
    strict_1.default.equal(status, 1);
    strict_1.default.match(stderr, /nowhere\.ipynb: expected a notebook/);
    strict_1.default.match(saelab("frobnicate").stderr, /expected a verb \(setup, install, uninstall, publish, demo\), found frobnicate/);
});
//# sourceMappingURL=endtoend.test.js.map