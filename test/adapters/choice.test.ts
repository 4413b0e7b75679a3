import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryError } from "../../src/core/errors";
import { isChoice, measureChoice } from "../../src/adapters/choice";
import { tensorflow, type Engine } from "../../src/adapters/tensorflow";

const engine = tensorflow();
const SIZES = { d: 16, latents: 512, k: 4, batch: 300 };

test("on a card every timing ends in a reading, which waits for it, and what is timed is the card's own arithmetic", () => {
  const before = engine.live();
  let readings = 0, ended = 0;
  const types = new Set<unknown>();
  const card: Engine = {
    ...engine, device: "cuda",
    floats(id) {
      readings++;
      return engine.floats(id);
    },
    run(name, attributes, ...rest) {
      if (name === "TopKV2") ended++;
      if (name === "GatherV2") types.add((attributes.Tindices as { type: number }).type);
      return engine.run(name, attributes, ...rest);
    },
  };
  const choice = measureChoice(card, SIZES);
  assert.ok(isChoice(choice, SIZES.latents, SIZES.k) && [128, 512, 2048].includes(choice.chunk), JSON.stringify(choice));
  assert.ok(readings >= 5 * 4 && ended > readings / 2, `${readings} readings`); // 5 rounds: groupings, chunks, both precisions
  assert.deepEqual([...types], [9]);
  assert.equal(engine.live(), before);
});

test("where memory ends fewer rows are timed; where there is none at all the error comes through", () => {
  const before = engine.live(), tried: number[] = [];
  const small = (most: number): Engine => ({
    ...engine,
    tensor(data, shape) {
      if (shape[1] === SIZES.d + 8 && shape[0] !== SIZES.latents) {
        tried.push(shape[0]);
        if (shape[0] > most) throw new MemoryError("no memory", { intact: true });
      }
      return engine.tensor(data, shape);
    },
  });
  assert.ok(isChoice(measureChoice(small(100), SIZES), SIZES.latents, SIZES.k));
  assert.deepEqual(tried, [300, 75]);
  assert.throws(() => measureChoice(small(0), SIZES), MemoryError);
  assert.deepEqual(tried.slice(2), [300, 75, 19]);
  assert.equal(engine.live(), before);
});
