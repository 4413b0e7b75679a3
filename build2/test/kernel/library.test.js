"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const package_1 = require("../../src/adapters/package");
const drive_1 = require("./drive");
/* The library's long calls in a cell that is interrupted: harvest, training, collecting. The kernel lives, and nothing is lost. */
const scratch = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-library-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(scratch, { recursive: true, force: true }));
const at = (name) => JSON.stringify((0, node_path_1.join)(scratch, name));
const soon = (ms) => `setTimeout(() => console.log("under way"), ${ms});`;
const steps = {
    open: {
        code: `import { openModel, readTexts, harvest, trainSae, collect, openStore } from "saelab";
const model = await openModel(${JSON.stringify((0, node_path_1.join)(package_1.packageRoot, "data", "tiny-reasoner"))});
const texts = await readTexts(${JSON.stringify((0, node_path_1.join)(package_1.packageRoot, "data", "reasoning", "corpus.jsonl"))});
const some = await harvest(model, texts.slice(0, 150), { hooks: ["layers.3"], folder: ${at("some")} });
some.rows`,
    },
    harvest: { code: `${soon(300)}\nconst all = await harvest(model, texts, { hooks: ["layers.3"], folder: ${at("all")} });`, interruptOn: "under way" },
    afterHarvest: { code: "[lastError.name, texts.length > 1000, some.rows > 1000]" },
    train: { code: `let points = 0;\nconst sae = await trainSae(some, { latents: 256, k: 8, tokens: 5_000_000, onPoint: () => { if (points++ === 2) console.log("under way"); } });`, interruptOn: "under way" },
    afterTrain: { code: "const rough = lastError.sae;\n[lastError.name, rough.weights.latents, rough.encode(new Float32Array(rough.weights.d).fill(0.1)).index.length, points > 2]" },
    trainBySignal: { code: `${soon(1500)}\nconst sae = await trainSae(some, { latents: 256, k: 8, tokens: 5_000_000 });`, interruptOn: "under way", how: "signal" },
    trained: { code: "const sae = await trainSae(some, { latents: 256, k: 8 });\ntypeof sae.encode" },
    collect: { code: `${soon(1)}\nfor (let i = 0; ; i++) await collect(some, sae, { folder: ${at("features")} + i });`, interruptOn: "under way" },
    afterCollect: { code: "[lastError.name, typeof sae.encode]" },
};
let driven;
(0, node_test_1.before)(async () => {
    driven = await (0, drive_1.drive)(steps, scratch);
});
const answer = (name) => driven.answers[name];
const error = (name) => {
    const found = answer(name).outputs.find(({ type }) => type === "error");
    strict_1.default.ok(found, `${name}: expected an error, found ${JSON.stringify(answer(name).outputs).slice(0, 2000)}`);
    return `${found.content.ename}: ${found.content.evalue}`;
};
(0, node_test_1.test)("the model, the texts and a store are there", () => strict_1.default.match(String((0, drive_1.resultOf)(answer("open"))), /^\d+$/, JSON.stringify(answer("open").outputs).slice(0, 2000)));
(0, node_test_1.test)("a harvest stops at its next step; what was there before it stays", () => {
    strict_1.default.match(error("harvest"), /^InterruptError: Interrupted/);
    strict_1.default.equal((0, drive_1.resultOf)(answer("afterHarvest")), "[ 'InterruptError', true, true ]");
});
(0, node_test_1.test)("a training stops at its next step, also after its callback has run cell code; the SAE so far is in lastError", () => {
    strict_1.default.match(error("train"), /^InterruptError: Interrupted after \d+ of \d+ steps/);
    strict_1.default.equal((0, drive_1.resultOf)(answer("afterTrain")), "[ 'InterruptError', 256, 8, true ]");
});
(0, node_test_1.test)("a training stops at SIGINT too", () => strict_1.default.match(error("trainBySignal"), /^InterruptError: Interrupted after \d+ of/));
(0, node_test_1.test)("a collecting stops, and the SAE is still there", () => {
    strict_1.default.equal((0, drive_1.resultOf)(answer("trained")), "'function'", (0, drive_1.printedBy)(answer("trained"), "stderr"));
    strict_1.default.match(error("collect"), /^InterruptError|^KeyboardInterrupt/);
    strict_1.default.match(String((0, drive_1.resultOf)(answer("afterCollect"))), /^\[ '(Interrupt|Keyboard)\w+', 'function' \]$/);
});
(0, node_test_1.test)("the kernel ends by itself", () => strict_1.default.ok(driven.ended));
//# sourceMappingURL=library.test.js.map