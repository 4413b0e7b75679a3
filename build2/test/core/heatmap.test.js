"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const errors_1 = require("../../src/core/errors");
const heatmap_1 = require("../../src/core/heatmap");
const html_1 = require("../../src/core/html");
const words = { token: (id) => `t${id}`, document: (index) => `d${index}` };
function feature(latent, examples, tokens, text) {
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
const html = (features, options = {}) => (0, heatmap_1.heatMapHtml)((0, heatmap_1.heatMapView)(features, words, options), options);
(0, node_test_1.test)("shade is the share of the feature's maximum, not of the row's; bold from a half, the peak underlined", () => {
    const got = html([feature(7, 2, 16)]);
    strict_1.default.match(got, /<span style="background:rgba\(255,140,26,1\.00\);color:#000" title="4\.00"><b><u>t8<\/u><\/b><\/span>/);
    strict_1.default.match(got, /<span style="background:rgba\(255,140,26,0\.98\);color:#000" title="3\.90"><b><u>t8<\/u><\/b><\/span>/);
    strict_1.default.match(got, /<span style="background:rgba\(255,140,26,0\.50\)" title="2\.00"><b>t9<\/b><\/span>/);
    strict_1.default.doesNotMatch(got, /title="0\.01/); // under half a percent: no shade
});
(0, node_test_1.test)("contexts are cut to what was asked, with an ellipsis where the document goes on before", () => {
    const view = (0, heatmap_1.heatMapView)([feature(7, 1, 16)], words, { context: 3 });
    strict_1.default.deepEqual(view.features[0].groups[0].examples[0].tokens, ["t5", "t6", "t7", "t8", "t9", "t10", "t11"]);
    strict_1.default.equal(view.features[0].groups[0].examples[0].position, 108);
    strict_1.default.match((0, heatmap_1.heatMapHtml)(view), /…t5/);
    const begin = { ...feature(7, 1, 16), top: [{ ...feature(7, 1, 16).top[0], position: 0 }] };
    strict_1.default.doesNotMatch(html([begin]), /…t/);
});
(0, node_test_1.test)("an ellipsis where the document goes on after the context that was collected", () => {
    const ending = feature(7, 1, 16);
    const going = { ...ending, top: ending.top.map((example) => ({ ...example, goesOn: true })) };
    for (const layout of ["line", "wrap"]) {
        strict_1.default.match(html([going], { context: 16, layout }), /t15…/);
        strict_1.default.doesNotMatch(html([ending], { context: 16, layout }), /t15…/);
        strict_1.default.match(html([ending], { context: 3, layout }), /t11…/); // cut by the view
    }
});
(0, node_test_1.test)("shaded by the row's own maximum where asked, and the legend says which", () => {
    const two = feature(7, 2, 16);
    const rows = html([two], { scale: "row" });
    strict_1.default.match(rows, /rgba\(255,140,26,1\.00\);color:#000" title="3\.90"/);
    strict_1.default.match(rows, /% of each line’s own maximum/);
    strict_1.default.match(html([two]), /% of the feature’s maximum/);
    const view = (0, heatmap_1.heatMapView)([two], words, { scale: "row" });
    strict_1.default.equal((0, heatmap_1.unpackHeatMap)((0, heatmap_1.packHeatMap)(view)).scale, "row");
    strict_1.default.match((0, heatmap_1.heatMapText)(view).split("\n")[2], /255;140;26mt8/); // the second line's peak in full orange
    strict_1.default.throws(() => (0, heatmap_1.heatMapView)([two], words, { scale: "log" }), errors_1.OptionError);
});
(0, node_test_1.test)("every text is escaped: tokens, names of documents, labels, groups", () => {
    const evil = "<img src=x onerror=\"alert('1')\">&";
    const got = (0, heatmap_1.heatMapHtml)((0, heatmap_1.heatMapView)([{ ...feature(1, 1, 16), label: evil, more: [{ name: evil, examples: feature(1, 1, 12).top }] }], {
        token: () => evil,
        document: () => evil,
    }));
    strict_1.default.doesNotMatch(got, /<img/);
    strict_1.default.ok(got.split("&lt;img src=x onerror=&quot;alert('1')&quot;&gt;&amp;").length > 20);
});
(0, node_test_1.test)("where it came from and how many near-duplicates it stands for", () => {
    strict_1.default.match(html([feature(7, 2, 16)]), /title="d1, token 108; stands for 5 near-identical contexts"> {2}×5 d1:108\n/);
});
(0, node_test_1.test)("fits its room: groups go first, then examples, then features, and it says so", () => {
    const features = Array.from({ length: 10 }, (_, f) => ({
        ...feature(f, 12, 25),
        more: [{ name: "random", examples: feature(f, 4, 25).top }],
    }));
    const whole = html(features);
    const size = (text) => Buffer.byteLength(text);
    strict_1.default.match(whole, /<details/);
    strict_1.default.doesNotMatch(whole, /not shown|to keep this output small/);
    const some = html(features, { bytes: size(whole) - 1 });
    strict_1.default.doesNotMatch(some, /<details/);
    strict_1.default.match(some, /Only the top examples are shown/);
    const five = html(features, { bytes: Math.round(size(whole) * 0.5) });
    strict_1.default.match(five, /Only the five strongest/);
    const few = html(features, { bytes: 12_000 });
    strict_1.default.match(few, /[1-9] of 10 features are not shown/);
    for (const [text, bytes] of [
        [some, size(whole)],
        [five, size(whole) * 0.5],
        [few, 12_000],
    ])
        strict_1.default.ok(size(text) <= bytes, `${size(text)} > ${bytes}`);
    strict_1.default.match(html([feature(1, 12, 25)], { bytes: 100 }), /latent 1</); // one at least
    strict_1.default.match(html(features, { count: 4 }), /4 of 10 features are shown/);
});
(0, node_test_1.test)("twenty features of twelve examples stay within 200 KB", () => {
    const features = Array.from({ length: 20 }, (_, f) => feature(f, 12, 33));
    strict_1.default.ok(Buffer.byteLength(html(features)) <= 200_000);
});
(0, node_test_1.test)("dead and dense are said", () => {
    const dead = { ...feature(1, 0, 0), density: 0, max: 0, mean: 0, histogram: { edges: [], counts: [] } };
    strict_1.default.match(html([dead]), />dead<.*It never fires/s);
    strict_1.default.match(html([{ ...feature(1, 1, 16), density: 0.3 }]), />dense</);
});
(0, node_test_1.test)("text: colours by 24-bit ANSI, or the peak in brackets; columns line up", () => {
    const view = (0, heatmap_1.heatMapView)([feature(7, 3, 16)], words);
    const plain = (0, heatmap_1.heatMapText)(view, { color: false });
    strict_1.default.doesNotMatch(plain, /\u001b/);
    const lines = plain.split("\n").filter((line) => line.includes("⟦"));
    strict_1.default.equal(new Set(lines.map((line) => (0, html_1.columns)(line.slice(0, line.indexOf("⟦"))))).size, 1);
    const colored = (0, heatmap_1.heatMapText)(view);
    strict_1.default.match(colored, /\u001b\[1;4;38;2;0;0;0;48;2;255;140;26mt8\u001b\[0m/);
    strict_1.default.equal(colored.replace(/\u001b\[[\d;]*m/g, "").replaceAll(" ", ""), plain.replace(/[⟦⟧]/g, "").replaceAll(" ", ""));
});
(0, node_test_1.test)("packed and unpacked it is the same", () => {
    const view = (0, heatmap_1.heatMapView)([
        {
            ...feature(7, 2, 16),
            more: [{ name: "random", examples: feature(7, 1, 5, () => 3).top.map((e) => ({ ...e, peak: 2 })) }],
        },
    ], words);
    const round = (0, heatmap_1.unpackHeatMap)(JSON.parse(JSON.stringify((0, heatmap_1.packHeatMap)(view))));
    const rounded = JSON.parse(JSON.stringify(view), (key, value) => key === "values" ? value.map((v) => Number(v.toPrecision(3))) : value);
    strict_1.default.deepEqual(JSON.parse(JSON.stringify(round)), rounded);
});
(0, node_test_1.test)("histograms: the weakest half percent is one bar, the rest merged to few; nothing is lost", () => {
    const counts = [1, 0, 1, ...Array.from({ length: 60 }, () => 50)];
    const edges = Array.from({ length: counts.length + 1 }, (_, i) => 2 ** (i / 4));
    const got = (0, heatmap_1.mergeBins)({ edges, counts });
    strict_1.default.ok(got.counts.length <= 24);
    strict_1.default.equal(got.counts.reduce((a, b) => a + b), counts.reduce((a, b) => a + b));
    strict_1.default.equal(got.edges.length, got.counts.length + 1);
    strict_1.default.equal(got.edges[0], edges[0]);
    strict_1.default.equal(got.edges.at(-1), edges.at(-1));
    strict_1.default.deepEqual((0, heatmap_1.mergeBins)({ edges: [], counts: [] }), { edges: [], counts: [] });
});
(0, node_test_1.test)("numbers: three digits", () => {
    strict_1.default.deepEqual([7.314, 0.04121, 1204.4, 0, -0.5, 12_345_678, 0.00001, NaN, Infinity].map(html_1.short), [
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
    strict_1.default.deepEqual([0.00412, 0.123, 1, 0, 0.000001].map(html_1.percent), ["0.41 %", "12.3 %", "100 %", "0 %", "< 0.001 %"]);
    strict_1.default.equal((0, html_1.count)(1234567), "1,234,567");
});
//# sourceMappingURL=heatmap.test.js.map