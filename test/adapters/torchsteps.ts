import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Parameters } from "../../src/adapters/coder";
import { freshState, type StepNow as Step, type StepState } from "../../src/adapters/step";
import { bytesSource, readFloats, readHeader, readInts } from "../../src/core/safetensors";

/** What every training step is held to: twenty steps by PyTorch's autograd and Adam. */

export const names = ["wEnc", "bEnc", "wDec", "bDec"] as const;

/** max|a − b| ≤ tolerance·max|b| */
export function close(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(actual.length, expected.length, what);
  let largest = 0, worst = 0;
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    worst = Math.max(worst, Math.abs(actual[i] - expected[i]));
    assert.ok(Number.isFinite(actual[i]), `${what}: ${i} is ${actual[i]}`);
  }
  assert.ok(worst <= tolerance * largest, `${what}: differs by ${worst}, largest ${largest}, relative ${worst / largest}`);
}

/** @param make the step, from where PyTorch began */
export function agreesWithTorch(what: string, make: (initial: StepState) => Step): void {
  const golden = bytesSource(readFileSync(join(__dirname, "../../../test/oracle/step/golden.safetensors")));
  const { tensors } = readHeader(golden, "golden.safetensors");
  for (const kind of ["none", "few", "many"]) {
    test(`20 ${what} agree with PyTorch's autograd and Adam: ${kind} dead`, async () => {
      const floats = (name: string): Float32Array => readFloats(golden, tensors.get(name)!);
      const of = (prefix: string): Parameters => Object.fromEntries(names.map((name) => [name, floats(`${prefix}.${name}`)])) as unknown as Parameters;
      const [steps, rows, d] = tensors.get("x")!.shape;
      const latents = tensors.get("start.bEnc")!.shape[0];
      const x = floats("x"), losses = floats(`${kind}.losses`), dead = readInts(golden, tensors.get(`${kind}.dead`)!);
      const step = make({ ...freshState(d, latents, 4, of("start")), parameters: of("start") });
      const batch = (t: number): Float32Array => x.slice(t * rows * d, (t + 1) * rows * d);
      const { gradient } = step.gradients(batch(0), { dead });
      for (const name of names) close(gradient[name], floats(`${kind}.gradient.${name}`), 2e-6, `gradient of ${name}`);
      for (let t = 0; t < steps; t++) {
        step.send(batch(t), { learningRate: 3e-3, dead });
        const { losses: [{ fvu, aux }] } = await step.taken();
        assert.ok(Math.abs(fvu - losses[2 * t]) <= 1e-5 * losses[2 * t], `step ${t}: fvu ${fvu}, expected ${losses[2 * t]}`);
        assert.ok(Math.abs(aux - losses[2 * t + 1]) <= 1e-5 * losses[2 * t + 1], `step ${t}: aux ${aux}, expected ${losses[2 * t + 1]}`);
      }
      const end = step.state().parameters;
      for (const name of names) close(end[name], floats(`${kind}.end.${name}`), 1e-4, `${name} after ${steps} steps`);
      step.dispose();
    });
  }
}
