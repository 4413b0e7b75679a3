import assert from "node:assert/strict";
import { test } from "node:test";
import { jupyter, python } from "./jupyter-run";

/** Jupyter's own test suite for kernels: conformance.py holds the samples, every test of the suite is one here. */

interface Line {
  test: string;
  outcome: "passed" | "failed" | "skipped";
  text: string;
}

// The suite's tests, by name: one that a later version adds or drops is noticed.
const SUITE = [
  "test_clear_output", "test_completion", "test_display_data", "test_error", "test_execute_result", "test_execute_stderr", "test_execute_stdout",
  "test_history", "test_inspect", "test_is_complete", "test_kernel_info", "test_pager",
];

test("jupyter_kernel_test", async (t) => {
  const out = await python("conformance.py", [jupyter.kernel]);
  const lines = out.trim().split("\n").map((line) => JSON.parse(line) as Line);
  for (const name of SUITE) {
    await t.test(name, () => {
      const { outcome, text } = lines.find((line) => line.test === name) ?? assert.fail("it did not run");
      assert.equal(outcome, name === "test_pager" ? "skipped" : "passed", text);
    });
  }
  await t.test("no other test was there to run", () => assert.deepEqual(lines.map((line) => line.test), SUITE));
});
