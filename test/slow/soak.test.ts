import assert from "node:assert/strict";
import { test } from "node:test";
import { soak } from "../kernel/soak";

test("10,000 cells of all kinds: none lost, none wrong, memory flat", { timeout: 3_600_000 }, async (t) => {
  const { slope } = await soak(t, 10_000);
  // A cell's text, history and maps are kept, some kilobytes; a leak of its values or its program would be many times that.
  assert.ok(slope < 10, `expected less than 10 MB a thousand cells, found ${slope.toFixed(1)}`);
});
