"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const node_util_1 = require("node:util");
const png_1 = require("../../src/adapters/png");
const plots_1 = require("../../src/adapters/plots");
const progressbar_1 = require("../../src/adapters/progressbar");
const show_1 = require("../../src/adapters/show");
const traces_1 = require("../../src/adapters/traces");
const errors_1 = require("../../src/core/errors");
const plot_1 = require("../../src/core/plot");
const cases_1 = require("../views/cases");
// test files run from build/test/adapters
const root = (0, node_path_1.join)(__dirname, "..", "..", "..");
const views = (0, node_path_1.join)(root, "test", "views");
// as @jupyterlab/apputils hands it to sanitize-html for outputs of a notebook that is not trusted
const allowed = JSON.parse((0, node_fs_1.readFileSync)((0, node_path_1.join)(views, "jupyterlab-sanitizer.json"), "utf8"));
const sanitize = require("sanitize-html");
const jupyter = (html) => sanitize(html, {
    allowedTags: allowed.tags,
    allowedAttributes: allowed.attributes,
    allowedStyles: {
        "*": Object.fromEntries(Object.entries(allowed.styles).map(([name, pattern]) => [name, [new RegExp(pattern, "i")]])),
    },
    allowedSchemesByTag: { img: ["http", "https", "ftp", "mailto", "tel", "attachment", "data"] },
    allowedSchemesAppliedToAttributes: ["href", "cite"],
});
/** Written as sanitize-html writes, nothing taken out. */
const rewritten = (html) => sanitize(html, {
    allowedTags: false,
    allowedAttributes: false,
    allowVulnerableTags: true,
    parseStyleAttributes: false,
    allowedSchemesAppliedToAttributes: [],
});
(0, node_test_1.test)("the sanitiser of this test takes out what JupyterLab's does", () => {
    for (const html of [
        "<style>a{}</style>",
        '<b onclick="x()">b</b>',
        '<p data-x="1">p</p>',
        "<svg></svg>",
        '<p style="color:var(--x)">p</p>',
        "<script>1</script>",
    ]) {
        strict_1.default.notEqual(jupyter(html), rewritten(html), html);
    }
});
for (const { name, html, text } of cases_1.cases) {
    (0, node_test_1.test)(`${name}: as drawn before (node build/test/views/draw.js draws anew)`, () => {
        strict_1.default.equal(`${html}\n`, (0, node_fs_1.readFileSync)((0, node_path_1.join)(views, `${name}.html`), "utf8"));
        if (text !== undefined)
            strict_1.default.equal(`${text}\n`, (0, node_fs_1.readFileSync)((0, node_path_1.join)(views, `${name}.txt`), "utf8"));
    });
    (0, node_test_1.test)(`${name}: JupyterLab's sanitiser changes nothing`, () => {
        strict_1.default.equal(jupyter(html), rewritten(html));
    });
    (0, node_test_1.test)(`${name}: no script, no style sheet, no reference to anywhere, all tags closed`, () => {
        strict_1.default.doesNotMatch(html, /<(script|style|link|iframe|svg|object)\b/i);
        strict_1.default.doesNotMatch(html, /\b(href|src|url\()\s*=?\s*["']?(?!data:)(https?:)?\/\//i);
        const open = [];
        for (const [, close, tag] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*>/g)) {
            if (["br", "img"].includes(tag))
                continue;
            if (close)
                strict_1.default.equal(open.pop(), tag);
            else
                open.push(tag);
        }
        strict_1.default.deepEqual(open, []);
    });
}
(0, node_test_1.test)("plots: an object for Plotly, a picture, a description of it", async () => {
    const curve = [
        { step: 1, tokens: 1000, fvu: 0.9, dead: 0, learningRate: 1 },
        { step: 2, tokens: 2000, fvu: 0.2, dead: 0.01, learningRate: 1 },
    ];
    const bundle = await (0, plots_1.trainingCurve)(curve)[show_1.DISPLAY]();
    strict_1.default.equal(typeof bundle["application/vnd.plotly.v1+json"], "object");
    const png = Buffer.from(bundle["image/png"], "base64");
    strict_1.default.deepEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
    strict_1.default.equal(png.readUInt32BE(16), 2 * 760);
    strict_1.default.match(bundle["text/html"], /^<img alt="Training: over 2,000 tokens the variance left unexplained went from 0\.900 to 0\.200;/);
    strict_1.default.equal(jupyter(bundle["text/html"]), rewritten(bundle["text/html"]));
    strict_1.default.match((0, node_util_1.inspect)((0, plots_1.trainingCurve)(curve)), /went from 0\.900 to 0\.200/);
    strict_1.default.throws(() => (0, plots_1.trainingCurve)({ curve: [] }), errors_1.OptionError);
    const scatter = (0, plots_1.featureScatter)({
        statistics: { density: Float32Array.of(0, 0.01, 0.2), max: Float32Array.of(0, 3, 4) },
    });
    strict_1.default.match((await scatter[show_1.DISPLAY]())["text/plain"], /of 3 latents 1 are dead and 1 fire on more than a tenth/);
});
(0, node_test_1.test)("pictures have text, the same bytes each time, without any font of the machine", async () => {
    const { figure } = (0, plot_1.trainingFigure)([{ step: 1, tokens: 10, fvu: 0.5, dead: 0, learningRate: 1 }]);
    const one = await (0, png_1.figurePng)(figure);
    strict_1.default.deepEqual(await (0, png_1.figurePng)(figure), one);
    const blank = await (0, png_1.figurePng)({ ...figure, layout: { ...figure.layout, title: { text: "" } } });
    strict_1.default.notDeepEqual(blank, one); // the title was drawn
    strict_1.default.ok((await (0, png_1.figurePng)((0, plot_1.scatterFigure)([0.1, 0.2], [1, 2]).figure)).length > 5000);
});
(0, node_test_1.test)("display: through the kernel where there is one, as text elsewhere; promises are waited for", async () => {
    const key = Symbol.for("saelab.display");
    const calls = [];
    globalThis[key] = (bundle, options) => calls.push([bundle, options]);
    try {
        await (0, show_1.display)((0, show_1.shown)(() => ({ "text/plain": "a" })), { display_id: "x" });
        await (0, show_1.display)("text");
        await (0, show_1.display)({ [show_1.DISPLAY]: async () => ({ "text/plain": "later" }) });
        await (0, show_1.display)({ n: 1 });
    }
    finally {
        delete globalThis[key];
    }
    strict_1.default.deepEqual(calls, [
        [{ "text/plain": "a" }, { display_id: "x" }],
        [{ "text/plain": "text" }, {}],
        [{ "text/plain": "later" }, {}],
        [{ "text/plain": "{ n: 1 }" }, {}],
    ]);
});
(0, node_test_1.test)("a heat map is a compact object for a renderer: no array of numbers", () => {
    const data = (0, show_1.heatMap)(cases_1.cases[0].features)[show_1.DISPLAY]()["application/vnd.saelab.heatmap.v1+json"];
    const arrays = [];
    JSON.stringify(data, (_, value) => (Array.isArray(value) && value.length > 3 && typeof value[0] === "number" && arrays.push(value), value));
    strict_1.default.deepEqual(arrays, []);
    strict_1.default.ok(JSON.stringify(data).length <
        0.5 * (0, show_1.heatMap)(cases_1.cases[0].features)[show_1.DISPLAY]()["text/html"].length);
});
(0, node_test_1.test)("progress: at most ten updates a second, one display, the last state always", () => {
    const key = Symbol.for("saelab.display");
    strict_1.default.equal((0, progressbar_1.defaultProgress)(), undefined);
    const calls = [];
    globalThis[key] = (bundle, options) => calls.push({ bundle, options });
    try {
        strict_1.default.equal(typeof (0, progressbar_1.defaultProgress)(), "function");
        let now = 0;
        const told = (0, progressbar_1.progressBar)("sae", () => now);
        for (let done = 1; done <= 100; done++) {
            now = done / 50;
            told({ stage: "collect", done, total: 100, unit: "rows", rate: 50, secondsLeft: (100 - done) / 50 });
        }
        told({ stage: "examples", done: 1, total: 2, unit: "latents", rate: 0, secondsLeft: Infinity });
        now = 2.2;
        told({ stage: "examples", done: 2, total: 2, unit: "latents", rate: 1, secondsLeft: 0 });
    }
    finally {
        delete globalThis[key];
    }
    strict_1.default.ok(calls.length >= 18 && calls.length <= 24, String(calls.length));
    strict_1.default.deepEqual(calls.map(({ options }) => options.update), calls.map((_, i) => i > 0));
    strict_1.default.equal(new Set(calls.map(({ options }) => options.display_id)).size, 1);
    const last = calls.at(-1).bundle;
    strict_1.default.match(last["text/plain"], /sae: collect .*100 rows in 2\.0 s \(51 rows\/s\)\nsae: examples/);
    strict_1.default.match(calls[3].bundle["text/plain"], /of 100 rows · 50\.0 rows\/s · [\d.]+ s left/);
    strict_1.default.equal(jupyter(last["text/html"]), rewritten(last["text/html"]));
});
(0, node_test_1.test)("traces show in a terminal with letters", () => {
    process.env.NO_COLOR = "1";
    try {
        const text = (0, node_util_1.inspect)((0, traces_1.showTrace)({
            id: "d",
            text: "Hmm. So 5.",
            spans: [
                { start: 0, end: 4, label: "doubt" },
                { start: 5, end: 10, label: "deduction" },
            ],
        }));
        strict_1.default.match(text, /\[D\] doubt {6}1\n {2}\[E\] deduction {2}1\n\n\[D\]Hmm\. \[E\]So 5\.$/);
    }
    finally {
        delete process.env.NO_COLOR;
    }
});
(0, node_test_1.test)("every snapshot has its case", () => {
    const wanted = cases_1.cases.map(({ name }) => `${name}.html`).sort();
    strict_1.default.deepEqual((0, node_fs_1.readdirSync)(views)
        .filter((file) => file.endsWith(".html"))
        .sort(), wanted);
});
//# sourceMappingURL=show.test.js.map