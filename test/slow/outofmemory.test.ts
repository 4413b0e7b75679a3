import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryError } from "../../src/core/errors";
import { DT, tensorflow } from "../../src/adapters/tensorflow";

const engine = tensorflow();

// TensorFlow waits 10 s for memory to come free before it gives up.
test("a tensor that no machine holds is a MemoryError with its size, and leaves nothing behind", () => {
  const before = engine.live(), side = 2 ** 25; // together 2⁵² bytes: more than a processor addresses
  assert.throws(
    () => engine.tidy(() => engine.run("Fill", { T: { type: DT.f32 }, index_type: { type: DT.i32 } }, [engine.tensor(Int32Array.of(side, side), [2]), engine.tensor(Float32Array.of(1), [])])),
    (error: Error) => error instanceof MemoryError && error.intact && error.bytes === 2 ** 52 &&
      /kernel Fill: expected memory for a tensor \[33554432, 33554432\] of 4,503,599,628 MB of this machine, found it exhausted\. .*smaller batch/.test(error.message));
  assert.equal(engine.live(), before);
});

