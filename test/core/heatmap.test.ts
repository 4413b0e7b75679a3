import assert from "node:assert/strict";
import { test } from "node:test";
import { OptionError } from "../../src/core/errors";
import {
  heatMapHtml,
  heatMapText,
  heatMapView,
  packHeatMap,
  unpackHeatMap,
  type ShownFeature,
  type Words,
} from "../../src/core/heatmap";
import { mergeBins } from "../../src/core/featurehead";
import { columns, count, percent, short } from "../../src/core/html";

const words: Words = { token: (id) => `t${id}`, document: (index) => `d${index}` };

function feature(latent: number, examples: number, tokens: number, text?: (i: number) => number): ShownFeature {
  return {
    latent,
    density: 0.01,
    mean: 2,
    max: 4,
    histogram: { edges: [1, 2, 4], counts: [3, 1] },
    top: Array.from({ length: examples }, (_, e) => ({
      tokens: Int32Array.from({ length: tokens }, (_, i) => text?.(i) ?? i),
      values: Float32Array.from({ length: tokens }, (_, i) => (i === 8 ? 4 - e / 10 : i === 9 ? 2 : i === 2 ? 0.01 : 0)),
      peak: 8,
      document: e,
      position: 100,
      count: e === 1 ? 5 : 1,
    })),
  };
}

const html = (features: ShownFeature[], options = {}): string =>
  heatMapHtml(heatMapView(features, words, options), options);

test("shade is the share of the feature's maximum, not of the row's; bold from a half, the peak underlined", () => {
  const got = html([feature(7, 2, 16)]);
  assert.match(
    got,
    /<span style="background:rgba\(255,140,26,1\.00\);color:#000" title="4\.00"><b><u>t8<\/u><\/b><\/span>/,
  );
  assert.match(
    got,
    /<span style="background:rgba\(255,140,26,0\.98\);color:#000" title="3\.90"><b><u>t8<\/u><\/b><\/span>/,
  );
  assert.match(got, /<span style="background:rgba\(255,140,26,0\.50\)" title="2\.00"><b>t9<\/b><\/span>/);
  assert.doesNotMatch(got, /title="0\.01/); // under half a percent: no shade
});

test("contexts are cut to what was asked, with an ellipsis where the document goes on before", () => {
  const view = heatMapView([feature(7, 1, 16)], words, { context: 3 });
  assert.deepEqual(view.features[0].groups[0].examples[0].tokens, ["t5", "t6", "t7", "t8", "t9", "t10", "t11"]);
  assert.equal(view.features[0].groups[0].examples[0].position, 108);
  assert.match(heatMapHtml(view), /…t5/);
  const begin = { ...feature(7, 1, 16), top: [{ ...feature(7, 1, 16).top[0], position: 0 }] };
  assert.doesNotMatch(html([begin]), /…t/);
});

test("an ellipsis where the document goes on after the context that was collected", () => {
  const ending = feature(7, 1, 16);
  const going = { ...ending, top: ending.top.map((example) => ({ ...example, goesOn: true })) };
  for (const layout of ["line", "wrap"] as const) {
    assert.match(html([going], { context: 16, layout }), /t15…/);
    assert.doesNotMatch(html([ending], { context: 16, layout }), /t15…/);
    assert.match(html([ending], { context: 3, layout }), /t11…/); // cut by the view
  }
});

test("shaded by the row's own maximum where asked, and the legend says which", () => {
  const two = feature(7, 2, 16);
  const rows = html([two], { scale: "row" });
  assert.match(rows, /rgba\(255,140,26,1\.00\);color:#000" title="3\.90"/);
  assert.match(rows, /% of each line’s own maximum/);
  assert.match(html([two]), /% of the feature’s maximum/);
  const view = heatMapView([two], words, { scale: "row" });
  assert.equal(unpackHeatMap(packHeatMap(view)).scale, "row");
  assert.match(heatMapText(view).split("\n")[2], /255;140;26mt8/); // the second line's peak in full orange
  assert.throws(() => heatMapView([two], words, { scale: "log" as never }), OptionError);
});

test("every text is escaped: tokens, names of documents, labels, groups", () => {
  const evil = "<img src=x onerror=\"alert('1')\">&";
  const got = heatMapHtml(
    heatMapView([{ ...feature(1, 1, 16), label: evil, more: [{ name: evil, examples: feature(1, 1, 12).top }] }], {
      token: () => evil,
      document: () => evil,
    }),
  );
  assert.doesNotMatch(got, /<img/);
  assert.ok(got.split("&lt;img src=x onerror=&quot;alert('1')&quot;&gt;&amp;").length > 20);
});

test("where it came from and how many near-duplicates it stands for", () => {
  assert.match(html([feature(7, 2, 16)]), /title="d1, token 108; stands for 5 near-identical contexts"> {2}×5 d1:108\n/);
});

test("fits its room: groups go first, then examples, then features, and it says so", () => {
  const features = Array.from({ length: 10 }, (_, f) => ({
    ...feature(f, 12, 25),
    more: [{ name: "random", examples: feature(f, 4, 25).top }],
  }));
  const whole = html(features);
  const size = (text: string): number => Buffer.byteLength(text);
  assert.match(whole, /<details/);
  assert.doesNotMatch(whole, /not shown|to keep this output small/);
  const some = html(features, { bytes: size(whole) - 1 });
  assert.doesNotMatch(some, /<details/);
  assert.match(some, /Only the top examples are shown/);
  const five = html(features, { bytes: Math.round(size(whole) * 0.5) });
  assert.match(five, /Only the five strongest/);
  const few = html(features, { bytes: 12_000 });
  assert.match(few, /[1-9] of 10 features are not shown/);
  for (const [text, bytes] of [
    [some, size(whole)],
    [five, size(whole) * 0.5],
    [few, 12_000],
  ] as const)
    assert.ok(size(text) <= bytes, `${size(text)} > ${bytes}`);
  assert.match(html([feature(1, 12, 25)], { bytes: 100 }), /latent 1</); // one at least
  assert.match(html(features, { count: 4 }), /4 of 10 features are shown/);
});

test("twenty features of twelve examples stay within 200 KB", () => {
  const features = Array.from({ length: 20 }, (_, f) => feature(f, 12, 33));
  assert.ok(Buffer.byteLength(html(features)) <= 200_000);
});

test("dead and dense are said", () => {
  const dead = { ...feature(1, 0, 0), density: 0, max: 0, mean: 0, histogram: { edges: [], counts: [] } };
  assert.match(html([dead]), />dead<.*It never fires/s);
  assert.match(html([{ ...feature(1, 1, 16), density: 0.3 }]), />dense</);
});

test("text: colours by 24-bit ANSI, or the peak in brackets; columns line up", () => {
  const view = heatMapView([feature(7, 3, 16)], words);
  const plain = heatMapText(view, { color: false });
  assert.doesNotMatch(plain, /\u001b/);
  const lines = plain.split("\n").filter((line) => line.includes("⟦"));
  assert.equal(new Set(lines.map((line) => columns(line.slice(0, line.indexOf("⟦"))))).size, 1);
  const colored = heatMapText(view);
  assert.match(colored, /\u001b\[1;4;38;2;0;0;0;48;2;255;140;26mt8\u001b\[0m/);
  assert.equal(colored.replace(/\u001b\[[\d;]*m/g, "").replaceAll(" ", ""), plain.replace(/[⟦⟧]/g, "").replaceAll(" ", ""));
});

test("packed and unpacked it is the same", () => {
  const view = heatMapView(
    [
      {
        ...feature(7, 2, 16),
        more: [{ name: "random", examples: feature(7, 1, 5, () => 3).top.map((e) => ({ ...e, peak: 2 })) }],
      },
    ],
    words,
  );
  const round = unpackHeatMap(JSON.parse(JSON.stringify(packHeatMap(view))));
  const rounded = JSON.parse(JSON.stringify(view), (key, value) =>
    key === "values" ? value.map((v: number) => Number(v.toPrecision(3))) : value,
  );
  assert.deepEqual(JSON.parse(JSON.stringify(round)), rounded);
});

test("histograms: the weakest half percent is one bar, the rest merged to few; nothing is lost", () => {
  const counts = [1, 0, 1, ...Array.from({ length: 60 }, () => 50)];
  const edges = Array.from({ length: counts.length + 1 }, (_, i) => 2 ** (i / 4));
  const got = mergeBins({ edges, counts });
  assert.ok(got.counts.length <= 24);
  assert.equal(
    got.counts.reduce((a, b) => a + b),
    counts.reduce((a, b) => a + b),
  );
  assert.equal(got.edges.length, got.counts.length + 1);
  assert.equal(got.edges[0], edges[0]);
  assert.equal(got.edges.at(-1), edges.at(-1));
  assert.deepEqual(mergeBins({ edges: [], counts: [] }), { edges: [], counts: [] });
});

test("numbers: three digits", () => {
  assert.deepEqual([7.314, 0.04121, 1204.4, 0, -0.5, 12_345_678, 0.00001, NaN, Infinity].map(short), [
    "7.31",
    "0.0412",
    "1,204",
    "0",
    "−0.500",
    "1.2e7",
    "1.0e−5",
    "–",
    "∞",
  ]);
  assert.deepEqual([0.00412, 0.123, 1, 0, 0.000001].map(percent), ["0.41 %", "12.3 %", "100 %", "0 %", "< 0.001 %"]);
  assert.equal(count(1234567), "1,234,567");
});
