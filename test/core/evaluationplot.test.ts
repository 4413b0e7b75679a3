import assert from "node:assert/strict";
import { test } from "node:test";
import { densityFigure, paretoFigure, paretoFront } from "../../src/core/evaluationplot";
import { densityHistogram } from "../../src/core/measure";
import type { Column } from "../../src/core/plot";

const values = ({ bdata }: Column): number[] => [...new Float32Array(Uint8Array.from(Buffer.from(bdata, "base64")).buffer)];
const LESS = { better: "less" as const }, MORE = { better: "more" as const };

test("the front holds whoever no other equals in one measure and beats in the other", () => {
  const at = (...pairs: [number, number][]) => pairs.map(([x, y]) => ({ x, y }));
  const points = at([8, 0.5], [16, 0.3], [16, 0.4], [32, 0.3], [32, 0.2], [4, NaN], [64, 0.25]);
  assert.deepEqual(paretoFront(points, LESS, LESS), [0, 1, 4]);
  assert.deepEqual(paretoFront(points, LESS, MORE), [0]);
  assert.deepEqual(paretoFront(points, MORE, LESS), [4, 6]);
  assert.deepEqual(paretoFront(at([1, 1], [1, 1]), LESS, LESS), [0]); // twice the same: the first stands for both
  // against the definition, on points of a grid
  let state = 1;
  const draw = (): number => (state = (state * 48271) % 2147483647) % 12;
  const many = Array.from({ length: 60 }, () => ({ x: draw(), y: draw() }));
  const beaten = (a: { x: number; y: number }): boolean => many.some((b) => b.x <= a.x && b.y <= a.y && (b.x < a.x || b.y < a.y));
  const wanted = new Set(many.filter((one) => !beaten(one)).map(({ x, y }) => `${x} ${y}`));
  assert.deepEqual(new Set(paretoFront(many, LESS, LESS).map((i) => `${many[i].x} ${many[i].y}`)), wanted);
});

test("Pareto plot: the front joined in order, kinds by shape, the front in words", () => {
  const points = [{ name: "b", x: 32, y: 0.1, kind: "topk" }, { name: "a", x: 8, y: 0.4, kind: "topk" }, { name: "c", x: 33, y: 0.2, kind: "jumprelu" }, { name: "none", x: 3, y: NaN }];
  const { figure, words } = paretoFigure(points, { label: "L0", better: "less" }, { label: "FVU", better: "less" });
  const [front, topk, jump] = figure.data;
  assert.deepEqual(values(front.x as Column), [8, 32]);
  assert.deepEqual([topk.text, jump.text], [["b", "a"], ["c"]]);
  assert.notEqual((topk.marker as { symbol: string }).symbol, (jump.marker as { symbol: string }).symbol);
  assert.match(words, /L0 against FVU of 3 SAEs\. No other beats a \(8\.00, 0\.400\), b \(32\.0, 0\.100\); 1 are beaten/);
  for (const [name, low, high] of [["xaxis", 8, 33], ["yaxis", 0.1, 0.4]] as const) {
    const { type, range } = figure.layout[name] as { type: string; range: [number, number] };
    assert.ok(type === "log" && 10 ** range[0] < low && 10 ** range[1] > high, name);
  }
  assert.throws(() => paretoFigure([points[3]], { label: "L0", better: "less" }, { label: "FVU", better: "less" }), RangeError);
  // of a crowd those of the front are named, and others as long as there is room
  const crowd = Array.from({ length: 60 }, (_, i) => ({ name: `an SAE of number ${i}`, x: 100 + (i % 8) / 4, y: i ? 2 + (i % 7) / 100 : 1 }));
  const named = (paretoFigure(crowd, { label: "L0", better: "less" }, { label: "FVU", better: "less" }).figure.data[1].text as string[]).filter(Boolean);
  assert.ok(named[0] === "an SAE of number 0" && named.length > 1 && named.length < 30, `${named.length}`);
});

test("density: a bar a bin, decades named, dead latents in words", () => {
  const { figure, words } = densityFigure(densityHistogram([0, 0, 0.5, 0.02, 0.002]));
  assert.equal(values(figure.data[0].y as Column).reduce((a, b) => a + b, 0), 3);
  assert.deepEqual((figure.layout.xaxis as { ticktext: string[] }).ticktext, ["0.1 %", "1 %", "10 %", "100 %"]);
  assert.match(words, /of 5 latents 2 fire on none of the rows; half of the others fire on less than about 2\.\d %/);
  assert.match(densityFigure(densityHistogram([0])).words, /of 1 latents 1 fire on none of the rows\.$/);
});
