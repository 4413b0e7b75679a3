import assert from "node:assert/strict";
import { test } from "node:test";
import { column, scatterFigure, trainingFigure, type Column } from "../../src/core/plot";

const values = ({ bdata }: Column): number[] => [...new Float32Array(Uint8Array.from(Buffer.from(bdata, "base64")).buffer)];

test("columns are base64 of float32", () => {
  const want = Array.from({ length: 5000 }, (_, i) => Math.fround(i / 3));
  assert.deepEqual(values(column(want)), want);
});

test("training curve: FVU and dead share against tokens, axes that hold them", () => {
  const curve = [0.9, 0.3, 0.12].map((fvu, i) => ({
    step: i,
    tokens: 1000 * (i + 1),
    fvu,
    dead: i / 100,
    learningRate: 1,
  }));
  const { figure } = trainingFigure(curve);
  assert.deepEqual(values(figure.data[0].x as Column), [1000, 2000, 3000]);
  assert.deepEqual(values(figure.data[0].y as Column), [0.9, 0.3, 0.12].map(Math.fround));
  assert.deepEqual(values(figure.data[1].y as Column), [0, 1, 2]);
  const { type, range, tickvals } = figure.layout.yaxis as { type: string; range: number[]; tickvals: number[] };
  assert.equal(type, "log");
  assert.ok(10 ** range[0] < 0.12 && 10 ** range[1] > 0.9);
  assert.ok(tickvals.length >= 3 && tickvals.every((v) => v >= 10 ** range[0] && v <= 10 ** range[1]));
  assert.throws(() => trainingFigure([]), RangeError);
});

test("a curve that does not move, or holds a zero, has axes all the same", () => {
  for (const fvu of [0.5, 0]) {
    const { range } = trainingFigure([{ step: 0, tokens: 1, fvu, dead: 0, learningRate: 1 }]).figure.layout.yaxis as {
      range: number[];
    };
    assert.ok(Number.isFinite(range[0]) && range[0] < range[1]);
  }
});

test("scatter: living latents only, numbered; of very many one in so many", () => {
  const { figure, words } = scatterFigure([0, 0.01, 0.5], [0, 2, 3]);
  assert.deepEqual(values(figure.data[0].customdata as Column), [1, 2]);
  assert.match(words, /of 3 latents 1 are dead and 1 fire/);
  const many = scatterFigure(new Float32Array(10_000).fill(0.01), new Float32Array(10_000).fill(1));
  assert.equal(values(many.figure.data[0].x as Column).length, 3334);
  assert.match((many.figure.layout.title as { text: string }).text, /one in 3 drawn/);
});
