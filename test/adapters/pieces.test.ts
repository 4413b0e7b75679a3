import assert from "node:assert/strict";
import { test } from "node:test";
import { inPieces } from "../../src/adapters/pieces";
import { InterruptError } from "../../src/core/errors";
import { atOnce, type Pieces } from "../../src/core/pieces";

test("timers get their turn in endless work, and an interrupt ends it", async () => {
  const flag = ((globalThis as Record<symbol, unknown>)[Symbol.for("saelab.interrupt")] ??= { requested: false }) as {
    requested: boolean;
  };
  const endless = function* (): Pieces<never> {
    for (;;) yield;
  };
  setTimeout(() => (flag.requested = true), 1);
  try {
    await assert.rejects(inPieces(endless(), "Nothing was kept."), (error: Error) => {
      return error instanceof InterruptError && error.message.endsWith("Nothing was kept.");
    });
  } finally {
    flag.requested = false;
  }
});

test("the result is the same in pieces and at once", async () => {
  const sum = function* (n: number): Pieces<number> {
    let all = 0;
    for (let i = 1; i <= n; i++) {
      all += i;
      yield;
    }
    return all;
  };
  assert.equal(atOnce(sum(100)), 5050);
  assert.equal(await inPieces(sum(100), ""), 5050);
});
