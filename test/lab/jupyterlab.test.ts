import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { Page } from "playwright-core";
import { packBrowser } from "../../src/core/browser";
import { startLab, type Lab } from "./lab";
import { madeBrowser } from "./made";

/** The extension in real JupyterLab and Notebook 7, in a real browser; the notebooks are of somebody else, so that nothing of them is trusted. */

const MIME = "application/vnd.saelab.browser.v1+json";
const COUNT = 150;
const view = madeBrowser({ count: COUNT, hostile: true });
const byMax = [...view.features].sort((a, b) => b.max - a.max);
const output = { data: { [MIME]: packBrowser(view), "text/html": "<b>fallback</b>", "text/plain": "fallback" } };

let lab: Lab;
before(async () => void (lab = await startLab()));
after(() => lab?.close());

/** Latents of the rows that are in the page, from above. */
const rows = (page: Page): Promise<number[]> =>
  page.$$eval(".saelab-feature", (all) => all.map((row) => Number(/latent (\d+)/.exec(row.querySelector(".saelab-open")!.textContent!)![1])));
const found = (page: Page): Promise<string> => page.$eval(".saelab-status [role=status]", (status) => status.textContent!);
const focused = (page: Page): Promise<string> => page.$eval(":focus", (element) => element.querySelector(".saelab-open")?.textContent?.replace(/\D/g, "") ?? element.className);
const search = async (page: Page, text: string): Promise<string> => {
  await page.fill(".saelab-search", text);
  await page.press(".saelab-search", "Enter");
  return found(page);
};
/** Serious and critical findings of axe within the output. */
async function axe(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  const { violations } = await page.evaluate(() => (globalThis as unknown as { axe: { run(where: string): Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run(".saelab-output"));
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)}`);
}
const cells = (page: Page): Promise<number> => page.$$eval(".jp-Notebook .jp-Cell", (all) => all.length);

for (const app of ["lab", "notebook"] as const) {
  describe(app === "lab" ? "JupyterLab" : "Notebook 7", { concurrency: 1 }, () => {
    let page: Page & { errors: string[] };
    const name = `${app}.ipynb`;
    before(async () => {
      lab.write(name, [output]);
      page = await lab.open(name, { app });
      await page.waitForSelector(".saelab-browser");
    });
    after(() => page?.close());

    test("an untrusted notebook's browser is drawn by the extension, largest maximum first, and only what is seen is in the page", async () => {
      assert.equal(await page.locator(".jp-OutputArea-output b", { hasText: "fallback" }).count(), 0);
      assert.equal(await found(page), `${COUNT} of 65,536 latents`);
      const shown = await rows(page);
      assert.deepEqual(shown, byMax.slice(0, shown.length).map(({ latent }) => latent));
      assert.ok(shown.length >= 10 && shown.length < 40, `${shown.length} rows`);
      assert.equal(await page.$eval(".saelab-feature", (row) => row.getAttribute("aria-setsize")), String(COUNT));
    });

    test("keys walk, open, and stay out of the notebook", async () => {
      const before = await cells(page);
      await page.click(".saelab-feature .saelab-open");
      const first = byMax[0].latent;
      assert.equal(await focused(page), String(first));
      assert.equal(await page.$eval(".saelab-opened", (row) => row.querySelectorAll("pre > span").length > 10), true);
      for (const key of ["j", "j", "k", "Enter"]) await page.keyboard.press(key);
      assert.equal(await focused(page), String(byMax[1].latent));
      assert.equal(await page.locator(".saelab-opened").count(), 2);
      for (const key of ["d", "d", "a", "x", "b", "m", "y"]) await page.keyboard.press(key); // would add, cut and change cells
      await page.keyboard.press("G");
      assert.equal(await focused(page), String(byMax.at(-1)!.latent));
      await page.keyboard.press("g");
      assert.equal(await focused(page), String(first));
      await page.keyboard.press("Enter");
      assert.equal(await cells(page), before);
    });

    test("search and conditions find what is there; / and enter lead there and back", async () => {
      await page.keyboard.press("/");
      assert.match(await focused(page), /saelab-search/);
      const wanted = view.features.filter(({ density, groups, label }) =>
        density < 0.005 && (label?.includes("alternatively") || groups[0].examples.some(({ tokens, values }) => tokens.some((token, i) => values[i] > 0 && token.includes("alternatively")))));
      assert.equal(await search(page, "alternatively density<0.5%"), `${wanted.length} of ${COUNT} features found (${COUNT} of 65,536 latents)`);
      assert.ok((await rows(page)).every((latent) => wanted.some((feature) => feature.latent === latent)));
      assert.equal(await focused(page), String((await rows(page))[0]));
      assert.match(await search(page, "densty<1"), /no column “densty”/);
      assert.equal(await search(page, ""), `${COUNT} of 65,536 latents`);
    });

    test("any column sorts, both ways; what has no value comes last", async () => {
      const auroc = view.columns.find(({ name }) => name === "AUROC backtracking")!.values as Float32Array;
      const best = [...auroc.keys()].filter((i) => !Number.isNaN(auroc[i])).sort((a, b) => auroc[b] - auroc[a]);
      await page.selectOption("select[aria-label='sort by']", "AUROC backtracking");
      assert.equal((await rows(page))[0], view.features[best[0]].latent);
      assert.match(await page.$eval(".saelab-figures", (figures) => figures.textContent!), /^AUROC backtracking 0\.\d{3} /);
      await page.click(".saelab-way");
      assert.equal((await rows(page))[0], view.features[best.at(-1)!].latent);
      await page.click(".saelab-way");
      await page.selectOption("select[aria-label='sort by']", "max");
    });

    test("pins and notes are saved with the notebook, and there again", async () => {
      const [first, second] = byMax.map(({ latent }) => latent);
      await page.click(".saelab-feature .saelab-open");
      await page.keyboard.press("p");
      await page.keyboard.press("j");
      await page.keyboard.press("n");
      await page.keyboard.type("a note: <i>x</i>");
      await page.waitForTimeout(600); // it is kept when nothing was typed for a while
      await page.keyboard.press("Escape");
      assert.equal(await page.inputValue(`textarea[aria-label='note on latent ${second}']`), "a note: <i>x</i>");
      await page.keyboard.press("Control+s");
      const kept = (): unknown => lab.read(name).cells[0].outputs[0].metadata?.[MIME];
      for (let waited = 0; waited < 10_000 && !kept(); waited += 100) await page.waitForTimeout(100);
      assert.deepEqual(kept(), { pinned: [first], notes: { [second]: "a note: <i>x</i>" } });
      await page.reload();
      await page.waitForSelector(".saelab-browser");
      assert.equal(await page.getAttribute(`button[aria-label='pin latent ${first}']`, "aria-pressed"), "true");
      await page.click(".saelab-pinned");
      assert.deepEqual(await rows(page), [first]);
      await page.click(".saelab-pinned");
      assert.match(await search(page, "is:noted"), /^1 of/);
      await search(page, "");
    });

    test("axe has no serious finding, closed and open", async () => {
      assert.deepEqual(await axe(page), []);
      await page.click(".saelab-feature .saelab-open");
      await page.click(".saelab-help");
      assert.deepEqual(await axe(page), []);
      await page.click(".saelab-help");
    });

    test("tokens that would break a page are text", async () => {
      await page.keyboard.press("e");
      for (const key of ["G", "g"]) await page.keyboard.press(key);
      assert.match(await page.textContent(".saelab-feed") ?? "", /<script>globalThis\.evil = 1<\/script>/);
      assert.equal(await page.evaluate(() => (globalThis as { evil?: number }).evil), undefined);
      assert.equal(await page.locator(".saelab-feed :is(script, img, i)").count(), 0);
      const overflows = await page.$eval(".saelab-list", (list) => list.scrollWidth - list.clientWidth);
      assert.ok(overflows <= 0, `${overflows} pixels wider than the list`);
      assert.deepEqual(page.errors, []);
    });
  });
}
