import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { figurePng } from "../../src/adapters/png";
import { featureScatter, trainingCurve } from "../../src/adapters/plots";
import { defaultProgress, progressBar } from "../../src/adapters/progressbar";
import { display, DISPLAY, heatMap, shown, type Bundle } from "../../src/adapters/show";
import { showTrace } from "../../src/adapters/traces";
import { OptionError } from "../../src/core/errors";
import { scatterFigure, trainingFigure } from "../../src/core/plot";
import { cases } from "../views/cases";

// test files run from build/test/adapters
const root = join(__dirname, "..", "..", "..");
const views = join(root, "test", "views");

// as @jupyterlab/apputils hands it to sanitize-html for outputs of a notebook that is not trusted
const allowed = JSON.parse(readFileSync(join(views, "jupyterlab-sanitizer.json"), "utf8")) as {
  tags: string[];
  attributes: Record<string, string[]>;
  styles: Record<string, string>;
};
const sanitize = require("sanitize-html") as (html: string, options: object) => string;
const jupyter = (html: string): string =>
  sanitize(html, {
    allowedTags: allowed.tags,
    allowedAttributes: allowed.attributes,
    allowedStyles: {
      "*": Object.fromEntries(Object.entries(allowed.styles).map(([name, pattern]) => [name, [new RegExp(pattern, "i")]])),
    },
    allowedSchemesByTag: { img: ["http", "https", "ftp", "mailto", "tel", "attachment", "data"] },
    allowedSchemesAppliedToAttributes: ["href", "cite"],
  });
/** Written as sanitize-html writes, nothing taken out. */
const rewritten = (html: string): string =>
  sanitize(html, {
    allowedTags: false,
    allowedAttributes: false,
    allowVulnerableTags: true,
    parseStyleAttributes: false,
    allowedSchemesAppliedToAttributes: [],
  });

test("the sanitiser of this test takes out what JupyterLab's does", () => {
  for (const html of [
    "<style>a{}</style>",
    '<b onclick="x()">b</b>',
    '<p data-x="1">p</p>',
    "<svg></svg>",
    '<p style="color:var(--x)">p</p>',
    "<script>1</script>",
  ]) {
    assert.notEqual(jupyter(html), rewritten(html), html);
  }
});

for (const { name, html, text } of cases) {
  test(`${name}: as drawn before (node build/test/views/draw.js draws anew)`, () => {
    assert.equal(`${html}\n`, readFileSync(join(views, `${name}.html`), "utf8"));
    if (text !== undefined) assert.equal(`${text}\n`, readFileSync(join(views, `${name}.txt`), "utf8"));
  });
  test(`${name}: JupyterLab's sanitiser changes nothing`, () => {
    assert.equal(jupyter(html), rewritten(html));
  });
  test(`${name}: no script, no style sheet, no reference to anywhere, all tags closed`, () => {
    assert.doesNotMatch(html, /<(script|style|link|iframe|svg|object)\b/i);
    assert.doesNotMatch(html, /\b(href|src|url\()\s*=?\s*["']?(?!data:)(https?:)?\/\//i);
    const open: string[] = [];
    for (const [, close, tag] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)\b[^>]*>/g)) {
      if (["br", "img"].includes(tag)) continue;
      if (close) assert.equal(open.pop(), tag);
      else open.push(tag);
    }
    assert.deepEqual(open, []);
  });
}

test("plots: an object for Plotly, a picture, a description of it", async () => {
  const curve = [
    { step: 1, tokens: 1000, fvu: 0.9, dead: 0, learningRate: 1 },
    { step: 2, tokens: 2000, fvu: 0.2, dead: 0.01, learningRate: 1 },
  ];
  const bundle = await (trainingCurve(curve)[DISPLAY]() as Promise<Record<string, string>>);
  assert.equal(typeof bundle["application/vnd.plotly.v1+json"], "object");
  const png = Buffer.from(bundle["image/png"], "base64");
  assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from("PNG")]);
  assert.equal(png.readUInt32BE(16), 2 * 760);
  assert.match(
    bundle["text/html"],
    /^<img alt="Training: over 2,000 tokens the variance left unexplained went from 0\.900 to 0\.200;/,
  );
  assert.equal(jupyter(bundle["text/html"]), rewritten(bundle["text/html"]));
  assert.match(inspect(trainingCurve(curve)), /went from 0\.900 to 0\.200/);
  assert.throws(() => trainingCurve({ curve: [] } as never), OptionError);

  const scatter = featureScatter({
    statistics: { density: Float32Array.of(0, 0.01, 0.2), max: Float32Array.of(0, 3, 4) },
  } as never);
  assert.match(
    ((await scatter[DISPLAY]()) as Bundle)["text/plain"] as string,
    /of 3 latents 1 are dead and 1 fire on more than a tenth/,
  );
});

test("pictures have text, the same bytes each time, without any font of the machine", async () => {
  const { figure } = trainingFigure([{ step: 1, tokens: 10, fvu: 0.5, dead: 0, learningRate: 1 }]);
  const one = await figurePng(figure);
  assert.deepEqual(await figurePng(figure), one);
  const blank = await figurePng({ ...figure, layout: { ...figure.layout, title: { text: "" } } });
  assert.notDeepEqual(blank, one); // the title was drawn
  assert.ok((await figurePng(scatterFigure([0.1, 0.2], [1, 2]).figure)).length > 5000);
});

test("display: through the kernel where there is one, as text elsewhere; promises are waited for", async () => {
  const key = Symbol.for("saelab.display");
  const calls: unknown[] = [];
  (globalThis as Record<symbol, unknown>)[key] = (bundle: Bundle, options: object) => calls.push([bundle, options]);
  try {
    await display(
      shown(() => ({ "text/plain": "a" })),
      { display_id: "x" },
    );
    await display("text");
    await display({ [DISPLAY]: async () => ({ "text/plain": "later" }) });
    await display({ n: 1 });
  } finally {
    delete (globalThis as Record<symbol, unknown>)[key];
  }
  assert.deepEqual(calls, [
    [{ "text/plain": "a" }, { display_id: "x" }],
    [{ "text/plain": "text" }, {}],
    [{ "text/plain": "later" }, {}],
    [{ "text/plain": "{ n: 1 }" }, {}],
  ]);
});

test("a heat map is a compact object for a renderer: no array of numbers", () => {
  const data = (heatMap(cases[0].features!)[DISPLAY]() as Bundle)["application/vnd.saelab.heatmap.v1+json"];
  const arrays: unknown[] = [];
  JSON.stringify(
    data,
    (_, value) => (Array.isArray(value) && value.length > 3 && typeof value[0] === "number" && arrays.push(value), value),
  );
  assert.deepEqual(arrays, []);
  assert.ok(
    JSON.stringify(data).length <
      0.5 * (heatMap(cases[0].features!)[DISPLAY]() as Record<string, string>)["text/html"].length,
  );
});

test("progress: at most ten updates a second, one display, the last state always", () => {
  const key = Symbol.for("saelab.display");
  assert.equal(defaultProgress(), undefined);
  const calls: { bundle: Record<string, string>; options: { display_id: string; update: boolean } }[] = [];
  (globalThis as Record<symbol, unknown>)[key] = (
    bundle: Record<string, string>,
    options: { display_id: string; update: boolean },
  ) => calls.push({ bundle, options });
  try {
    assert.equal(typeof defaultProgress(), "function");
    let now = 0;
    const told = progressBar("sae", () => now);
    for (let done = 1; done <= 100; done++) {
      now = done / 50;
      told({ stage: "collect", done, total: 100, unit: "rows", rate: 50, secondsLeft: (100 - done) / 50 });
    }
    told({ stage: "examples", done: 1, total: 2, unit: "latents", rate: 0, secondsLeft: Infinity });
    now = 2.2;
    told({ stage: "examples", done: 2, total: 2, unit: "latents", rate: 1, secondsLeft: 0 });
  } finally {
    delete (globalThis as Record<symbol, unknown>)[key];
  }
  assert.ok(calls.length >= 18 && calls.length <= 24, String(calls.length));
  assert.deepEqual(
    calls.map(({ options }) => options.update),
    calls.map((_, i) => i > 0),
  );
  assert.equal(new Set(calls.map(({ options }) => options.display_id)).size, 1);
  const last = calls.at(-1)!.bundle;
  assert.match(last["text/plain"], /sae: collect .*100 rows in 2\.0 s \(51 rows\/s\)\nsae: examples/);
  assert.match(calls[3].bundle["text/plain"], /of 100 rows · 50\.0 rows\/s · [\d.]+ s left/);
  assert.equal(jupyter(last["text/html"]), rewritten(last["text/html"]));
});

test("traces show in a terminal with letters", () => {
  process.env.NO_COLOR = "1";
  try {
    const text = inspect(
      showTrace({
        id: "d",
        text: "Hmm. So 5.",
        spans: [
          { start: 0, end: 4, label: "doubt" },
          { start: 5, end: 10, label: "deduction" },
        ],
      }),
    );
    assert.match(text, /\[D\] doubt {6}1\n {2}\[E\] deduction {2}1\n\n\[D\]Hmm\. \[E\]So 5\.$/);
  } finally {
    delete process.env.NO_COLOR;
  }
});

test("every snapshot has its case", () => {
  const wanted = cases.map(({ name }) => `${name}.html`).sort();
  assert.deepEqual(
    readdirSync(views)
      .filter((file) => file.endsWith(".html"))
      .sort(),
    wanted,
  );
});
