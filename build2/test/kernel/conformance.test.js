"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const jupyter_run_1 = require("./jupyter-run");
// The suite's tests, by name: one that a later version adds or drops is noticed.
const SUITE = [
    "test_clear_output", "test_completion", "test_display_data", "test_error", "test_execute_result", "test_execute_stderr", "test_execute_stdout",
    "test_history", "test_inspect", "test_is_complete", "test_kernel_info", "test_pager",
];
(0, node_test_1.test)("jupyter_kernel_test", async (t) => {
    const out = await (0, jupyter_run_1.python)("conformance.py", [jupyter_run_1.jupyter.kernel]);
    const lines = out.trim().split("\n").map((line) => JSON.parse(line));
    for (const name of SUITE) {
        await t.test(name, () => {
            const { outcome, text } = lines.find((line) => line.test === name) ?? strict_1.default.fail("it did not run");
            strict_1.default.equal(outcome, name === "test_pager" ? "skipped" : "passed", text);
        });
    }
    await t.test("no other test was there to run", () => strict_1.default.deepEqual(lines.map((line) => line.test), SUITE));
});
//# sourceMappingURL=conformance.test.js.map