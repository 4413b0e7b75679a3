import assert from "node:assert/strict";
import { test } from "node:test";
import { cofiringFigure, graphAround, strongestPairs } from "../../src/core/cofiringgraph";
import { densityFigure } from "../../src/core/evaluationplot";
import { activationFigure, labelShares, timelineFigure, type Timeline } from "../../src/core/featureplots";
import { pairFigure } from "../../src/core/similarity";
import { densityHistogram } from "../../src/core/measure";
import { atOnce } from "../../src/core/pieces";
import type { Column } from "../../src/core/plot";
import { random } from "../../src/core/random";
import { HOSTILE, known } from "../views/featurecases";

const values = ({ bdata }: Column): number[] => [...new Float32Array(Uint8Array.from(Buffer.from(bdata, "base64")).buffer)];
const near = (found: number, wanted: number): void => assert.ok(Math.abs(found - wanted) < 1e-6, `${found} instead of ${wanted}`);
type Shape = { x0: number; x1: number; y0: number; y1: number };
type Note = { text: string; x: number };

test("activations: a bar for each bin, as wide as the bin is on the logarithmic axis; mean and maximum marked", () => {
  const { figure, words } = activationFigure(known);
  const [bars] = figure.data;
  assert.deepEqual(values(bars.y as Column), [60, 500, 700, 140]);
  const [x, width] = [values(bars.x as Column), values(bars.width as Column)];
  [[0.5, 1], [1, 2], [2, 4], [4, 8]].forEach(([low, high], b) => {
    near(x[b] - width[b] / 2, Math.log10(low));
    near(x[b] + width[b] / 2, Math.log10(high));
  });
  const { tickvals, ticktext } = figure.layout.xaxis as { tickvals: number[]; ticktext: string[] };
  ticktext.forEach((tick, i) => near(tickvals[i], Math.log10(Number(tick))));
  assert.deepEqual((figure.layout.shapes as Shape[]).map(({ x0 }) => x0), [Math.log10(2.1), Math.log10(7.31)]);
  assert.match(words, /^latent 812 \(correlates with backtracking\): fires on 1,400 rows \(0\.41 %\); half of its activations are below 4\.00/);
  assert.throws(() => activationFigure({ ...known, histogram: { edges: [], counts: [] } }), RangeError);
});

const walk: Timeline = {
  id: "gsm-17", tokens: ["So", " 5", ".", " Wait", ",", " no"],
  latents: [{ latent: 812, label: "x", max: 8, values: [0, 0, 0, 7, 1, 2] }, { latent: 3, max: 4, values: [0, 0, 0, 0, 0, 0] }],
  sentences: [{ label: "deduction", start: 0, end: 3 }, { label: "backtracking", start: 3, end: 5 }, { label: "deduction", start: 5, end: 6 }],
};

test("timeline: a panel a latent, a band a sentence, and where a latent's activation lies", () => {
  const { figure, words } = timelineFigure(walk);
  const [first, second, ...legend] = figure.data;
  assert.deepEqual([values(first.x as Column), values(first.y as Column)], [[0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 7, 1, 2, 2]]);
  assert.deepEqual([first.yaxis, second.yaxis], ["y", "y2"]);
  assert.deepEqual(legend.map(({ name }) => name), ["D deduction", "B backtracking"]);
  const domains = ["yaxis", "yaxis2"].map((name) => (figure.layout[name] as { domain: [number, number] }).domain);
  assert.ok(0 <= domains[1][0] && domains[1][1] < domains[0][0] && domains[0][1] < 1, JSON.stringify(domains));
  const bands = (figure.layout.shapes as Shape[]).filter(({ y0 }) => y0 === 0);
  assert.deepEqual(bands.map(({ x0, x1 }) => [x0, x1]), [[0, 3], [3, 5], [5, 6]]);
  assert.deepEqual(labelShares(walk, walk.latents[0].values), [{ label: "backtracking", share: 0.8, tokens: 2 / 6 }, { label: "deduction", share: 0.2, tokens: 4 / 6 }]);
  assert.match(words, /^gsm-17, 6 tokens\. latent 812 \(x\) peaks at token 3, “ Wait” \(7\.00\); 80\.0 % of its activation is in backtracking, 33\.3 % of the tokens\. latent 3 does not fire\.$/);
});

test("timeline: of tokens, labels and names nothing is read as markup", () => {
  const { figure } = timelineFigure({ ...walk, id: "<a href='x'>", tokens: [...HOSTILE.slice(0, 3), "<b>", "&lt;", HOSTILE[4]], latents: [{ ...walk.latents[0], label: "<b>&" }], sentences: [{ label: "<i>", start: 0, end: 6 }] });
  for (const text of figure.data[0].text as string[]) {
    assert.equal(text.replace(/<\/?b>/, "").replace("</b>", "").includes("<"), false, text);
    assert.ok(text.length < 400, text);
  }
  assert.match((figure.data[0].text as string[])[3], /<b>&lt;b><\/b>&amp;lt;/);
  assert.equal((figure.layout.title as { text: string }).text, "&lt;a href='x'>");
  assert.equal(figure.config?.typesetMath, false); // nor between two $ as mathematics
  const none = { latent: new Int32Array(0), cosine: new Float32Array(0) };
  const measures = { latents: 0, matched: 0, share: NaN, mean: NaN, median: NaN, chance: 0 };
  const pair = pairFigure({ names: ["<b>a", "c"], threshold: 0.7, forth: { partners: none, measures }, back: { partners: none, measures } }).figure;
  assert.doesNotMatch(JSON.stringify([pair.data.map(({ name }) => name), pair.layout.title]), /<b>/);
  assert.equal((figure.layout.annotations as Note[]).some(({ text }) => text.includes("<")), false);
});

test("density: chosen latents are marked where they are; dead ones have no place, and are told", () => {
  const { figure, words } = densityFigure(densityHistogram([0, 0.001, 0.2, 0.2]), "Density", [{ latent: 2, density: 0.2 }, { latent: 0, density: 0 }, { latent: 1, density: 0.001 }]);
  const notes = (figure.layout.annotations as Note[]).slice(2);
  assert.equal(notes.shift()!.text, "dense");
  assert.deepEqual(notes.map(({ text, x }) => [text, x]), [["1", -3], ["2", Math.log10(0.2)]]);
  assert.match(words, /Latent 2 fires on 20\.0 %\. Latent 0 fires on 0 %\./);
});

/** Made-up overlaps, the same from both sides, as a collection keeps them: the 16 largest of each. */
function overlaps(latents: number, seed: number) {
  const { uniform } = random(seed);
  const lists = Array.from({ length: latents }, () => [] as { latent: number; count: number; score: number }[]);
  const all: { a: number; b: number; count: number; score: number }[] = [];
  for (let a = 0; a < latents; a++) {
    for (let b = a + 1; b < latents; b++) {
      if (uniform() > 0.1) continue;
      const score = Math.ceil(20 * uniform()) / 20; // ties
      all.push({ a, b, count: Math.floor(100 * score), score });
      lists[a].push({ latent: b, count: Math.floor(100 * score), score });
      lists[b].push({ latent: a, count: Math.floor(100 * score), score });
    }
  }
  return { all, together: (latent: number) => lists[latent] };
}

test("the strongest pairs of all are those of a sort of all, each once, ties by number", () => {
  for (const seed of [1, 2, 3]) {
    const { all, together } = overlaps(120, seed);
    const wanted = all.sort((p, q) => q.score - p.score || p.a - q.a || p.b - q.b).slice(0, 40);
    assert.deepEqual(atOnce(strongestPairs(Array(120).keys(), together, 40)), wanted);
  }
  assert.deepEqual(atOnce(strongestPairs([], () => [], 5)), []);
  const many = overlaps(1200, 5);
  assert.deepEqual(atOnce(strongestPairs(Array(1200).keys(), many.together, 3)), many.all.sort((p, q) => q.score - p.score || p.a - q.a || p.b - q.b).slice(0, 3));
});

test("a graph around some latents: they, their first partners, and every pair between these", () => {
  const { all, together } = overlaps(60, 4);
  const { nodes, pairs } = graphAround([7, 3], together, 2, (latent) => ({ density: latent / 100 }));
  const wanted = new Set([7, 3, ...together(7).slice(0, 2).map(({ latent }) => latent), ...together(3).slice(0, 2).map(({ latent }) => latent)]);
  assert.deepEqual(new Set(nodes.map(({ latent }) => latent)), wanted);
  assert.deepEqual(nodes.slice(0, 2).map(({ latent, asked, density }) => [latent, asked, density]), [[7, true, 0.07], [3, true, 0.03]]);
  const between = all.filter(({ a, b }) => wanted.has(a) && wanted.has(b)).map(({ a, b }) => [a, b].sort().join());
  assert.deepEqual(pairs.map(({ a, b }) => [nodes[a].latent, nodes[b].latent].sort().join()).sort(), between.sort());
  assert.deepEqual(pairs.map(({ score }) => score), pairs.map(({ score }) => score).sort((a, b) => b - a));
});

test("the graph's figure: a line a pair, thicker where the score is larger; names are text; none without pairs", () => {
  const graph = {
    nodes: [1, 2, 3].map((latent) => ({ latent, density: 0.01, asked: latent === 1, ...(latent === 2 ? { label: "<b>" } : {}) })),
    pairs: [{ a: 0, b: 1, count: 9, score: 0.9 }, { a: 1, b: 2, count: 5, score: 0.1 }],
  };
  const at = [{ x: 0, y: 0 }, { x: 10, y: 0 }, { x: 10, y: 10 }];
  const { figure, words } = cofiringFigure(graph, at);
  const lines = figure.data.filter(({ mode }) => mode === "lines");
  assert.deepEqual(lines.map(({ x }) => values(x as Column)), [[10, 10, NaN], [0, 10, NaN]]);
  const width = lines.map(({ line }) => (line as { width: number }).width);
  assert.ok(width[0] < width[1]);
  assert.ok(figure.data.some(({ customdata }) => (customdata as string[] | undefined)?.some((one) => one.startsWith("latent 2 (&lt;b>)<br>fires on 1.0 % of rows<br>with 1: 0.900"))));
  assert.match(words, /3 latents, 2 pairs; most alike 1 and 2 \(0\.900\)/);
  assert.match(cofiringFigure({ nodes: [graph.nodes[0]], pairs: [] }, [at[0]]).words, /1 latents?, 0 pairs: none fires together with another\./);
});
