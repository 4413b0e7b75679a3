import assert from "node:assert/strict";
import { test } from "node:test";
import type { Losses, Step, Taken } from "../../src/adapters/step";
import { random } from "../../src/core/random";
import { engine, KINDS, normals, SMALL, stateOf, stepsOf, targetOf } from "./kindsteps";

/** Updates that are sent and taken later, beside the same read at once. */

const N = 30;

/** Updates since each latent last fired, of these; their number where it did not. */
function silentOf(updates: Losses[]): Int32Array {
  const silent = new Int32Array(SMALL.latents).fill(updates.length);
  updates.forEach(({ chosen: { index, value } }, u) => index.forEach((f, i) => {
    if (value[i] > 0) silent[f] = updates.length - 1 - u;
  }));
  return silent;
}

const withoutChosen = (updates: Losses[]): Taken["losses"] => updates.map(({ chosen: _, ...losses }) => losses);

for (const kind of KINDS) {
  test(`${kind}: what is sent and taken is what updates give, to the bit`, async () => {
    for (const [what, make] of Object.entries(stepsOf(kind))) {
      const initial = stateOf(kind, "transcoder", 3), before = engine.live(), rng = random(4);
      const first = make(initial), second: Step = make(initial);
      assert.equal(second.stride, 1, what);
      for (const count of [2, 0, 3]) {
        const updates: Losses[] = [];
        for (let i = 0; i < count; i++) {
          const x = normals(N * SMALL.d, rng), options = { ...targetOf(initial, N, rng), learningRate: 0.01, dead: i % 2 ? Int32Array.of(1, 9, 60) : undefined };
          updates.push(first.update(x, options));
          second.send(x, options);
        }
        const { losses, silent } = await second.taken();
        assert.deepEqual(losses, withoutChosen(updates), what);
        assert.deepEqual(silent, silentOf(updates), what);
      }
      assert.deepEqual(second.sizes(), first.sizes());
      assert.equal(second.sizes().steps, 5);
      assert.deepEqual(await second.state(), first.state(), what);
      assert.throws(() => second.send(new Float32Array(N * SMALL.d), { learningRate: 0.01 }), /target: expected the rows/);
      assert.deepEqual((await second.taken()).losses, [], "one that was refused is not counted");
      for (const step of [first, second]) step.dispose();
      assert.equal(engine.live(), before, what);
    }
  });
}
