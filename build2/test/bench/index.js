"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = __importDefault(require("node:path"));
const node_child_process_1 = require("node:child_process");
const package_1 = require("../../src/adapters/package");
const collect_1 = require("./collect");
const harvest_1 = require("./harvest");
const kernel_1 = require("./kernel");
const train_1 = require("./train");
/**
 * npm run bench [-- train harvest collect kernel] [--record] [--rounds=N]: one JSON line each. Ours and its physical limit (the kernel: its peers) take
 * turns in one run, so that the share travels from machine to machine although the rates do not. --record appends a row to RESULTS.md; --rounds is the
 * kernel's: 30, some eight minutes.
 */
const BENCHES = {
    train: train_1.benchTrain, harvest: () => (0, harvest_1.benchHarvest)(), collect: collect_1.benchCollect, kernel: kernel_1.benchKernel,
};
async function main() {
    const words = process.argv.slice(2);
    const names = words.filter((word) => !word.startsWith("--"));
    const unknown = names.filter((name) => !(name in BENCHES));
    if (unknown.length)
        throw new Error(`expected ${Object.keys(BENCHES).join(", ")}, found ${unknown.join(", ")}`);
    const rounds = words.find((word) => word.startsWith("--rounds="))?.slice("--rounds=".length);
    if (rounds !== undefined && !(Number(rounds) >= 1))
        throw new Error(`--rounds: expected a number of at least 1, found ${rounds}`);
    for (const name of names.length ? names : Object.keys(BENCHES)) {
        const result = await BENCHES[name](rounds === undefined ? {} : { rounds: Number(rounds) });
        const line = JSON.stringify(result);
        console.log(line);
        if (words.includes("--record"))
            record(name, line);
    }
}
function record(name, line) {
    const file = node_path_1.default.join(package_1.packageRoot, "test", "bench", "RESULTS.md");
    const head = "# Results\n\nOne row a run of `npm run bench -- --record`. Only shares compare between machines.\n\n| date | commit | machine | bench | result |\n|---|---|---|---|---|\n";
    const commit = (0, node_child_process_1.execFileSync)("git", ["-C", package_1.packageRoot, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
    const machine = `${(0, node_os_1.cpus)()[0]?.model.trim()} × ${(0, node_os_1.cpus)().length}, Linux ${(0, node_os_1.release)().split("-")[0]}, Node ${process.versions.node}`;
    (0, node_fs_1.appendFileSync)(file, `${(0, node_fs_1.existsSync)(file) ? "" : head}| ${new Date().toISOString().slice(0, 10)} | ${commit} | ${machine} | ${name} | \`${line}\` |\n`);
}
main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
});
//# sourceMappingURL=index.js.map