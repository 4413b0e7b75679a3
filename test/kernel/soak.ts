import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import type { TestContext } from "node:test";
import { withKernel } from "./drive";

interface Soaked {
  cells: number;
  kinds: Record<string, number>;
  wrong: unknown[];
  memory: number[]; // MB after each twentieth
}

/** Least-squares slope of memory over cells, MB a thousand cells, of the last three quarters of a run. */
function slopeOf({ memory, cells }: Soaked): number {
  const late = memory.slice(Math.floor(memory.length / 4));
  const x = late.map((_, i) => (i * cells) / memory.length / 1000);
  const [mx, my] = [x, late].map((list) => list.reduce((a, b) => a + b, 0) / list.length);
  return x.reduce((sum, each, i) => sum + (each - mx) * (late[i] - my), 0) / x.reduce((sum, each) => sum + (each - mx) ** 2, 0);
}

/** Cells of all kinds, errors and interrupts among them: each gives what it must. Reports the memory, and its slope. */
export async function soak(t: TestContext, cells: number): Promise<{ slope: number }> {
  const found = await withKernel<Soaked>("soak.py", { cwd: tmpdir(), cells });
  const slope = slopeOf(found);
  t.diagnostic(`${found.cells} cells (${Object.entries(found.kinds).map(([kind, n]) => `${n} ${kind}`).join(", ")})`);
  // The first hundreds of cells fill heaps and caches: their slope says nothing.
  t.diagnostic(`memory, MB: ${found.memory.join(" ")}${cells < 2000 ? "" : `; slope ${slope.toFixed(2)} MB a thousand cells`}`);
  assert.deepEqual(found.wrong, []);
  assert.equal(found.cells, cells + 1);
  return { slope };
}
