import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { saidBundle } from "../../src/adapters/table";
import { packageRoot } from "../../src/adapters/package";
import { packBrowser } from "../../src/core/browser";
import { documentView, packDocument } from "../../src/core/documentview";
import { packHeatMap } from "../../src/core/heatmap";
import { trainingFigure } from "../../src/core/plot";
import { startLab, type Lab, type Output } from "../lab/lab";
import { madeBrowser, madeFeatures, HOSTILE } from "../lab/made";

/** What JupyterLab makes of every kind of output, in every theme, and what the kernel answers while somebody types. */

let lab: Lab;
before(async () => void (lab = await startLab()));
after(() => lab?.close());

const BROWSER = "application/vnd.saelab.browser.v1+json";
const kind = (name: string, content: unknown): Output => ({ data: { [`application/vnd.saelab.${name}.v1+json`]: content, "text/plain": "not drawn" } });
const text = `Wait, no. ${HOSTILE.slice(0, 9).join(" ")} So the total is 12.`;
const words = [...text.matchAll(/\S+\s*/g)];
const tokens = { start: words.map(({ index }) => index), end: words.map(({ index, 0: word }) => index + word.length) };
const document = packDocument(documentView({ id: "d <b>1</b>", text, spans: [{ start: 0, end: 9, label: "backtracking" }] }, tokens, [
  { latent: 7, label: "<i>label</i>", max: 4, values: words.map((_, i) => (i % 3 ? 0 : 4 / (1 + i))) },
  { latent: 9, max: 2, values: words.map((_, i) => (i % 4 === 1 ? 1 : 0)) },
]));
const outputs = (): Output[] => [
  kind("heatmap", packHeatMap({ features: madeFeatures({ count: 3, examples: 4, hostile: true }), leftOut: ["<u>left</u>"] })),
  kind("document", document),
  { data: saidBundle({ columns: ["name", "n", "share <b>"], rows: [["b", 3, "12 %"], ["<img src=x>", 20, "< 0.001 %"], ["a", 1, "3.1 %"]], total: 90 }, { title: "⚠ <b>said</b>", notes: ["to be <i>read</i> with it"], html: "", text: "" }) },
  { data: { "application/vnd.plotly.v1+json": trainingFigure(Array.from({ length: 20 }, (_, i) => ({ step: 10 * i, tokens: 1e4 * i, fvu: 1 / (1 + i), dead: 0.1 }) as never)).figure, "text/plain": "not drawn" } },
  kind("browser", packBrowser(madeBrowser({ count: 40, hostile: true }))),
];

async function axe(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: { run(where: object): Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> } }).axe.run({ include: [".saelab-output"], exclude: [".js-plotly-plot"] }));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary}`);
}

/** Runs the first cell; a page that was just opened may not know the keys yet. */
async function run(page: Page): Promise<void> {
  const prompt = (): Promise<string> => page.innerText(".jp-Cell .jp-InputPrompt");
  const before = await prompt();
  for (let tries = 0; tries < 10 && (await prompt()) === before; tries++) {
    await page.click(".jp-Cell >> nth=0 >> .cm-content");
    await page.keyboard.press("Control+Enter");
    await page.waitForTimeout(500);
  }
}

for (const [app, theme] of [["lab", "JupyterLab Light"], ["lab", "JupyterLab Dark"], ["lab", "JupyterLab Dark High Contrast"], ["notebook", "JupyterLab Dark"]] as const) {
  test(`${app}, ${theme}: each kind is drawn, as text where it is hostile, and axe has no serious finding`, async () => {
    lab.write("kinds.ipynb", outputs());
    const page = await lab.open("kinds.ipynb", { app, theme, reducedMotion: "reduce" });
    try {
      await page.waitForSelector(".saelab-feature");
      await page.waitForSelector(".js-plotly-plot .main-svg");
      assert.equal(await page.getAttribute("body", "data-jp-theme-name"), theme);
      assert.equal(await page.getByText("not drawn").count(), 0);
      assert.equal(await page.locator(".saelab-output").count(), 5);
      assert.equal(await page.evaluate(() => (globalThis as { evil?: number }).evil), undefined);
      assert.equal(await page.locator(".saelab-output :is(script, img, i)").count(), 0);
      assert.equal(await page.$eval(".saelab-feature", (row) => (globalThis as unknown as { getComputedStyle(of: unknown): { transitionDuration: string } }).getComputedStyle(row).transitionDuration), "0s", "motion is reduced");
      await page.click(".saelab-feature .saelab-open");
      assert.deepEqual(await axe(page), []);
      assert.deepEqual(page.errors, []);
    } finally {
      await page.close();
    }
  });
}

test("a table sorts, a document's tokens are walked, a heat map's are told", async () => {
  lab.write("kinds.ipynb", outputs());
  const page = await lab.open("kinds.ipynb");
  await page.waitForSelector(".saelab-feature");
  const first = (): Promise<string[]> => page.$$eval(".saelab-table tbody tr td:first-child", (cells) => cells.map((cell) => cell.textContent!));
  const head = page.locator(".saelab-table th button");
  assert.deepEqual(await first(), ["b", "<img src=x>", "a"]);
  const around = async (): Promise<string> => (await page.locator(".saelab-output", { has: page.locator(".saelab-table") }).innerText()).replaceAll(/\s+/g, " ");
  assert.match(await around(), /^⚠ <b>said<\/b> .* the first 3 of 90 rows to be <i>read<\/i> with it$/);
  await head.nth(1).click();
  assert.match(await around(), /the first 3 of 90 rows, sorted among themselves to be/);
  assert.deepEqual(await first(), ["<img src=x>", "b", "a"]);
  await head.nth(2).click();
  assert.deepEqual(await first(), ["b", "a", "<img src=x>"]);
  await head.nth(2).click();
  assert.deepEqual(await first(), ["<img src=x>", "a", "b"]);
  assert.equal(await page.locator(".saelab-table th[aria-sort=ascending]").count(), 1);
  await head.nth(2).click();
  assert.deepEqual(await first(), ["b", "<img src=x>", "a"]);

  const cellsBefore = await page.locator(".jp-Cell").count();
  await page.focus(".saelab-document pre");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowLeft", "x"]) await page.keyboard.press(key);
  const told = page.locator(".jp-Cell:nth-of-type(2) .saelab-status, .saelab-output:has(.saelab-document) .saelab-status").first();
  assert.match((await told.textContent())!, /^Wait,.*a latent 7: 4\.00 \(100 %\)/);
  assert.equal(await page.locator(".jp-Cell").count(), cellsBefore);

  const map = page.locator(".saelab-output:has(.saelab-heatmap)");
  await map.locator("pre u").first().hover();
  assert.match((await map.locator("[role=status]").textContent())!, /token \d+/);
  await page.close();
});

test("pins outlive a cell that runs again, and the notebook's own windows of cells", async () => {
  const packed = packBrowser(madeBrowser({ count: 30 }));
  writeFileSync(join(lab.work, "packed.json"), JSON.stringify(packed));
  const source = `import { readFileSync } from "node:fs";\n({ [Symbol.for("Jupyter.display")]: () => ({ "${BROWSER}": JSON.parse(readFileSync("packed.json", "utf8")), "text/plain": "x" }) })`;
  lab.write("again.ipynb", []);
  const notebook = JSON.parse(readFileSync(join(lab.work, "again.ipynb"), "utf8")) as { cells: object[] };
  const cell = (id: string, code: string) => ({ cell_type: "code", id, source: code, execution_count: null, metadata: {}, outputs: [] });
  notebook.cells.push(cell("a", source), ...Array.from({ length: 40 }, (_, i) => cell(`f${i}`, `// ${i}\n\n\n\n`)));
  writeFileSync(join(lab.work, "again.ipynb"), JSON.stringify(notebook));
  const page = await lab.open("again.ipynb", { windowing: "full" });
  await run(page);
  await page.waitForSelector(".saelab-feature");
  await page.click(".saelab-feature .saelab-open");
  await page.keyboard.press("p");
  assert.equal(await page.textContent(".saelab-pins"), "1");
  await page.$eval(".saelab-browser", (element) => element.setAttribute("data-old", ""));
  await run(page);
  await page.waitForSelector(".saelab-browser:not([data-old]) .saelab-feature");
  assert.equal(await page.textContent(".saelab-pins"), "1");
  await page.$eval(".saelab-list", (list) => void (list.scrollTop = 400));
  await page.waitForTimeout(200);
  const scroller = ".jp-WindowedPanel-outer";
  await page.$eval(scroller, (panel) => void (panel.scrollTop = panel.scrollHeight));
  await page.waitForTimeout(500);
  await page.$eval(scroller, (panel) => void (panel.scrollTop = 0));
  await page.waitForFunction(`document.querySelector(".saelab-list")?.scrollTop === 400 && document.querySelectorAll(".saelab-feature").length > 5`);
  assert.equal(await page.textContent(".saelab-pins"), "1");
  // the new output has them too: saved, they are in the file; and a new output that this page has drawn no old one of finds them
  await page.click(".saelab-feature .saelab-open");
  await page.keyboard.press("Control+s");
  const kept = (): unknown => lab.read("again.ipynb").cells[0].outputs[0]?.metadata?.[BROWSER];
  for (let waited = 0; waited < 10_000 && !kept(); waited += 100) await page.waitForTimeout(100);
  assert.equal((kept() as { pinned: number[] }).pinned.length, 1);
  const bare = lab.read("again.ipynb");
  bare.cells[0].outputs[0].metadata = {};
  writeFileSync(join(lab.work, "bare.ipynb"), JSON.stringify(bare));
  await page.goto(page.url().replace("again.ipynb", "bare.ipynb"));
  await page.waitForSelector(".saelab-feature");
  assert.equal(await page.textContent(".saelab-pins"), "1");
  await page.close();
});

test("a typed text is read by the kernel, in JupyterLab and in Notebook; without one it says so", async () => {
  const built = (name: string): string => JSON.stringify(join(packageRoot, "build", "src", "adapters", name));
  const source = `import { openModel } from "saelab";
import { textFeatures } from ${built("textfeatures")};
import { saeOf } from ${built("sae")};
const model = await openModel(${JSON.stringify(join(packageRoot, "data", "tiny-reasoner"))});
const d = model.width, latents = 64;
const wEnc = Float32Array.from({ length: latents * d }, (_, i) => Math.sin(i * i));
const sae = saeOf({ d, latents, k: 8, wEnc, bEnc: new Float32Array(latents), wDec: wEnc, bDec: new Float32Array(d) }, { hook: "layers.2" });
await textFeatures("Wait, no.", { model, sae })`;
  for (const app of ["lab", "notebook"] as const) {
    const name = `text-${app}.ipynb`;
    lab.write(name, []);
    const notebook = JSON.parse(readFileSync(join(lab.work, name), "utf8")) as { cells: object[] };
    notebook.cells.push({ cell_type: "code", id: "a", source, execution_count: null, metadata: {}, outputs: [] });
    writeFileSync(join(lab.work, name), JSON.stringify(notebook));
    const page = await lab.open(name, { app });
    await run(page);
    await page.waitForSelector(".saelab-typed textarea");
    assert.equal(await page.inputValue(".saelab-typed textarea"), "Wait, no.");
    await page.fill(".saelab-typed textarea", "So the total is 15.");
    await page.waitForFunction(`/\\b15\\b/.test(document.querySelector(".saelab-answer").textContent)`);
    assert.equal((await page.textContent(".saelab-output [role=status]"))!.trim(), "");
    await page.close();
  }
  lab.write("stale.ipynb", [kind("text", { version: 1, live: "unknown", hook: "layers.2", skipped: 0, of: "text", top: 5, notes: [], strings: ["a"], tokens: "0", latents: [] })]);
  const page = await lab.open("stale.ipynb");
  await page.waitForSelector(".saelab-typed textarea");
  await page.waitForTimeout(2000); // its kernel is up by then
  await page.fill(".saelab-typed textarea", "b");
  await page.waitForFunction(`/run its cell again/.test(document.querySelector(".saelab-output [role=status]").textContent)`);
  await page.close();
});
