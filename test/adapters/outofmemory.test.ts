import assert from "node:assert/strict";
import { test } from "node:test";
import { DeviceLostError, EngineError, MemoryError } from "../../src/core/errors";
import { DEFERRED } from "../../src/adapters/deferredstep";
import { changing, lostErrorOf, memoryErrorOf } from "../../src/adapters/outofmemory";
import { stockStep, type Step, type StepNow } from "../../src/adapters/step";
import { fusedStep } from "../../src/adapters/fusedstep";
import { DT, type Engine } from "../../src/adapters/tensorflow";
import { random } from "../../src/core/random";
import type { StepState } from "../../src/core/trained";
import type { TrainKind } from "../../src/core/types";
import { engine, KINDS, normals, SMALL, stateOf, targetOf } from "./kindsteps";

/** Out of memory: what TensorFlow says of it, and what it leaves of a step. */

test("what other errors of TensorFlow are stays what it is", () => {
  const wrong = (): void => void engine.run("MatMul", { T: { type: DT.f32 }, transpose_a: false, transpose_b: false }, []);
  assert.throws(wrong, (error: Error) => error instanceof EngineError && !(error instanceof MemoryError) && /kernel MatMul/.test(error.message));
  assert.throws(() => changing(wrong), (error: Error) => !(error instanceof MemoryError));
  assert.equal(memoryErrorOf("x", new Error("Invalid TF_Status: 3\nMessage: In[0] is not a matrix")), undefined);
});

test("TensorFlow's words: the size, and whose memory it is, are named", () => {
  const error = memoryErrorOf("TensorFlow 2.21.0, kernel MatMul", new Error(
    "Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[4096,65536] and type float on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc"))!;
  assert.equal(error.bytes, 2 ** 30);
  assert.match(error.message, /^TensorFlow 2\.21\.0, kernel MatMul: expected memory for a tensor \[4096, 65536\] of 1,074 MB on the card, found it exhausted\. End what else uses it \(nvidia-smi lists it\), or/);
  const here = memoryErrorOf("x", new Error( // as slow/outofmemory.test.ts gets it
    "Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[33554432,33554432] and type float on /job:localhost/replica:0/task:0/device:CPU:0 by allocator mklcpu"))!;
  assert.match(here.message, /memory for a tensor \[33554432, 33554432\] of 4,503,599,628 MB of this machine, found it exhausted\. End what else uses it, or take a smaller batch/);
  const half = memoryErrorOf("x", new Error("Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[7,3] and type bfloat16 on device:GPU:0"))!;
  assert.equal(half.bytes, 42);
  assert.throws(() => changing(() => { throw error; }), (e: Error) => e instanceof MemoryError && !e.intact && e.message === error.message);
});

test("CUDA's words for a card that is gone", () => {
  const error = lostErrorOf("TensorFlow 2.21.0, kernel MatMul", new Error("Invalid TF_Status: 13\nMessage: Failed to enqueue async memcpy from device to host: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered"))!;
  assert.ok(error instanceof DeviceLostError);
  assert.match(error.message, /kernel MatMul: expected the card, found it lost \(CUDA_ERROR_ILLEGAL_ADDRESS\).*go on from the last checkpoint/);
  assert.equal(lostErrorOf("x", new Error("CUDA_ERROR_OUT_OF_MEMORY: out of memory")), undefined);
});

/** An engine that runs out of memory at the number-th kernel, upload or reading from when it is armed. */
function failing(): { engine: Engine; arm(at: number): void; reached(): boolean } {
  let left = Infinity;
  const spend = (): void => {
    if (left-- === 0) throw new MemoryError("injected", { intact: true });
  };
  const spending = <A extends unknown[], R>(body: (...given: A) => R) => (...given: A): R => {
    spend();
    return body(...given);
  };
  return {
    engine: { ...engine, run: spending(engine.run), tensor: spending(engine.tensor), floats: spending(engine.floats), ints: spending(engine.ints) },
    arm: (at) => (left = at),
    reached: () => left < 0,
  };
}

const makersOf = (kind: TrainKind): Record<string, (e: Engine, initial: StepState) => StepNow> => ({
  stock: (e, initial) => stockStep(e, initial),
  ...(DEFERRED.includes(kind) ? { deferred: (e: Engine, initial: StepState) => stockStep(e, initial, undefined, { deferred: true }) } : {}),
  ...(kind === "jumprelu" ? {} : { fused: (e: Engine, initial: StepState) => fusedStep(e, initial) }),
});

test("wherever memory ends in an update, the error says truly whether the state is as before, and nothing is held back", async () => {
  for (const kind of KINDS) {
    for (const [what, make] of Object.entries(makersOf(kind))) {
      const initial = stateOf(kind, "skip", 1), rng = random(2), n = 12;
      const x = normals(n * SMALL.d, rng), options = { ...targetOf(initial, n, rng), learningRate: 0.01, dead: Int32Array.from({ length: 20 }, (_, i) => i) };
      const after = async (step: Step): Promise<unknown> => {
        step.send(x, options);
        return [await step.taken(), await step.state()];
      };
      const sound = make(engine, initial), want = await after(sound);
      sound.dispose();
      let intact = 0, lost = 0;
      for (let at = 0; ; at += kind === "topk" ? 1 : 5) {
        const { engine: broken, arm, reached } = failing(), before = engine.live(), step = make(broken, initial);
        arm(at);
        let failed: MemoryError | undefined;
        try {
          step.send(x, options);
        } catch (error) {
          assert.ok(error instanceof MemoryError, `${kind} ${what}: ${error}`);
          failed = error;
        }
        const ended = !reached();
        arm(Infinity);
        if (failed?.intact) {
          intact++;
          assert.deepEqual(await after(step), want, `${kind} ${what}: after the ${at}th`);
        } else if (failed) lost++;
        step.dispose();
        assert.equal(engine.live(), before, `${kind} ${what}: after the ${at}th`);
        if (ended) break;
      }
      assert.ok(intact > 2 * lost && intact > 2, `${kind} ${what}: ${intact} left the state, ${lost} did not`);
    }
  }
});
