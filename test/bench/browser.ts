import { execFile } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { packageRoot } from "../../src/adapters/package";
import { packBrowser } from "../../src/core/browser";
import { heatMapHtml } from "../../src/core/heatmap";
import { startLab, type Lab } from "../lab/lab";
import { madeBrowser } from "../lab/made";
import { inChild, type Size } from "./collectchild";
import { plantedStore } from "./collectstore";

const MIME = "application/vnd.saelab.browser.v1+json";

/** quick: a family of 16,384 latents; issue: of 65,536, some two minutes to collect. */
const SETTINGS: Record<string, Size> = {
  quick: { latents: 16_384, d: 128, k: 32, rows: 65_536 },
  issue: { latents: 65_536, d: 128, k: 32, rows: 131_072 },
};
const OUTPUT = { count: 1000, examples: 12, tokens: 22 };
const FRAMES = 150; // scrolled, 57 pixels each

interface Event {
  name: string;
  ph: string;
  ts: number; // µs
  dur?: number;
  tdur?: number; // µs of the thread itself: other processes of a busy machine are not in it
  pid: number;
  tid: number;
}

/** Events of the page's main thread while `work` runs, as Chromium traces them. */
async function traced(lab: Lab, page: Page, work: () => Promise<unknown>): Promise<Event[]> {
  await lab.browser.startTracing(page, { categories: ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel", "blink.user_timing"] });
  await work();
  const { traceEvents } = JSON.parse((await lab.browser.stopTracing()).toString()) as { traceEvents: Event[] };
  const mark = traceEvents.find(({ name }) => name === "saelab");
  if (!mark) throw new Error("the trace has no mark of the page");
  return traceEvents.filter(({ pid, tid }) => pid === mark.pid && tid === mark.tid);
}
const mark = "performance.mark('saelab')";
const settled = (page: Page): Promise<unknown> => page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))))");
const milliseconds = (events: Event[], ...names: string[]): number => events.filter(({ name, ph }) => names.includes(name) && ph === "X").reduce((sum, { dur = 0, tdur = dur }) => sum + tdur / 1000, 0);
const layoutOf = (events: Event[]): number => milliseconds(events, "Layout", "UpdateLayoutTree");
const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];
const to = (digits: number, value: number): number => Number(value.toFixed(digits));

/** Work of the main thread in each frame: its tasks between one frame's hand-over to the compositor and the next one's. */
function workPerFrame(events: Event[]): number[] {
  const ends = events.filter(({ name, ph }) => name === "Commit" && ph === "X").map(({ ts }) => ts).sort((a, b) => a - b);
  const tasks = events.filter(({ name, ph }) => name === "RunTask" && ph === "X");
  return ends.slice(1).map((end, i) => milliseconds(tasks.filter(({ ts, dur = 0 }) => ts + dur > ends[i] && ts + dur <= end), "RunTask"));
}

/**
 * The browser in a real JupyterLab, in headless Chromium: 1,000 features × 12 examples × 22 tokens. Layout (and style) until the first rows are seen, and again with all features
 * open; the main thread's work per scrolled frame; the same features as one long page of HTML beside it, with and without content-visibility. And the kernel's side, each in a fresh process:
 * opening a family and making the browser of 200 features, its size, that of the fallback, one card. Chromium's times are CPU time of the page's main thread.
 */
export async function benchBrowser({ setting = "quick", rounds = 3 }: { setting?: string; rounds?: number } = {}): Promise<object> {
  const size = SETTINGS[setting];
  if (!size) throw new Error(`--setting: expected ${Object.keys(SETTINGS).join(", ")}, found ${setting}`);
  const made = madeBrowser(OUTPUT);
  const packed = packBrowser(made);
  const lab = await startLab();
  const first: number[] = [], firstWork: number[] = [], open: number[] = [], frames: number[] = [], plain: number[] = [], contained: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      lab.write("browser.ipynb", [{ data: { [MIME]: packed, "text/plain": "features" } }], { outputs_hidden: true });
      const page = await lab.open("browser.ipynb");
      await page.waitForSelector(".jp-OutputPlaceholder, .jp-Placeholder");
      await page.waitForTimeout(3000); // JupyterLab's own start is over
      const shown = await traced(lab, page, async () => {
        await page.evaluate(mark);
        await page.click(".jp-OutputPlaceholder, .jp-Placeholder");
        await page.waitForSelector(".saelab-feature");
        await settled(page);
      });
      first.push(layoutOf(shown));
      firstWork.push(milliseconds(shown, "RunTask"));
      const opened = await traced(lab, page, async () => {
        await page.evaluate(mark);
        await page.focus(".saelab-feature");
        await page.keyboard.press("e");
        await settled(page);
      });
      open.push(layoutOf(opened));
      const scrolled = await traced(lab, page, () => page.evaluate(`new Promise((done) => {
        ${mark};
        const list = document.querySelector(".saelab-list");
        let frames = 0;
        const step = () => { list.scrollTop += 57; if (++frames < ${FRAMES}) requestAnimationFrame(step); else done(); };
        requestAnimationFrame(step);
      })`));
      frames.push(...workPerFrame(scrolled));
      // the same features as the page that is shown without the extension
      const html = heatMapHtml({ features: made.features, leftOut: [] }, { bytes: Infinity });
      for (const [style, list] of [["", plain], ["<style>.saelab-bench section { content-visibility: auto; contain-intrinsic-size: auto 300px }</style>", contained]] as const) {
        const events = await traced(lab, page, async () => {
          await page.evaluate(({ html, style }) => {
            performance.mark("saelab");
            const page = (globalThis as unknown as { document: { querySelector(selector: string): { innerHTML: string; className: string } } }).document.querySelector(".jp-OutputArea-output");
            page.className = "saelab-bench";
            page.innerHTML = style + html;
          }, { html, style });
          await settled(page);
        });
        list.push(layoutOf(events));
        await page.evaluate(`(document.querySelector(".saelab-bench").innerHTML = "", document.querySelector(".saelab-bench").className = "jp-OutputArea-output")`);
      }
      await page.close();
    }
  } finally {
    await lab.close();
  }
  return {
    bench: "browser", setting, output: OUTPUT,
    layoutMs: { first: to(1, median(first)), allOpen: to(1, median(open)), page: to(1, median(plain)), pageContentVisibility: to(1, median(contained)) },
    firstWorkMs: to(1, median(firstWork)),
    frameMs: { median: to(2, median(frames)), p95: to(2, frames.toSorted((a, b) => a - b)[Math.floor(0.95 * frames.length)]), frames: frames.length },
    outputKB: to(0, JSON.stringify(packed).length / 1000),
    bundleBytes: bundle(),
    kernel: await kernelSide(size, rounds),
  };
}

/** Bytes of the extension without Plotly. */
function bundle(): number {
  const folder = join(packageRoot, "kernel-ext", "lab", "labextension", "static");
  return readdirSync(folder).filter((name) => name.endsWith(".js") && !name.startsWith("plotly.")).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

/** Opens a family and shows its browser, in processes that did nothing before. */
async function kernelSide(size: Size, rounds: number): Promise<object> {
  const root = mkdtempSync(join(tmpdir(), "saelab-bench-"));
  try {
    const folder = join(root, "features");
    await plantedStore(join(root, "store"), size);
    await inChild({ do: "collect", store: join(root, "store"), sae: size, folder });
    const all: Record<"open" | "browser" | "card" | "packedKB" | "fallback20KB", number>[] = [];
    for (let round = 0; round < rounds; round++) {
      const { stdout } = await promisify(execFile)(process.execPath, [join(__dirname, "browserchild.js"), folder]);
      all.push(JSON.parse(stdout) as (typeof all)[0]);
    }
    const of = (key: keyof (typeof all)[0]): number => to(1, median(all.map((one) => one[key])));
    return { latents: size.latents, openMs: of("open"), browserMs: of("browser"), cardMs: of("card"), packedKB: of("packedKB"), fallback20KB: of("fallback20KB") };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
