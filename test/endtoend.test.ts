import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../src/adapters/package";

/** The main job in small: the parameterised notebook, in a real kernel under nbclient, from a few hundred texts to a page. */

interface Output {
  output_type: string;
  data?: Record<string, unknown>;
  text?: string | string[];
}
interface Cell {
  cell_type: string;
  source: string | string[];
  execution_count?: number | null;
  outputs?: Output[];
}

const joined = (text: unknown): string => (Array.isArray(text) ? text.join("") : String(text ?? ""));
const cli = path.join(packageRoot, "build", "src", "adapters", "cli.js");
const saelab = (...args: string[]) => spawnSync(process.execPath, [cli, ...args], { encoding: "utf8" });

test("texts to heat maps: the notebook runs in a fresh kernel and becomes one offline page", { timeout: 400_000 }, (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "saelab-e2e-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const notebook = path.join(folder, "real-model.ipynb");
  writeFileSync(notebook, readFileSync(path.join(packageRoot, "notebooks", "real-model.ipynb")));
  // Both sides of the split must be there: the corpus file mixes them.
  const page = path.join(folder, "page.html");
  const kept = path.join(folder, "executed.ipynb");
  const { status, stdout, stderr } = saelab("publish", notebook, page, "--keep", kept, "--set", "documents=400", "--set", "latents=512",
    "--set", `modelFolder=${JSON.stringify(path.join(packageRoot, "data", "tiny-reasoner"))}`, "--set", `textPath=${JSON.stringify(path.join(packageRoot, "data", "reasoning", "corpus.jsonl"))}`);
  assert.equal(status, 0, stdout + stderr);

  const cells = (JSON.parse(readFileSync(kept, "utf8")) as { cells: Cell[] }).cells.filter((cell) => cell.cell_type === "code");
  const shown = cells.flatMap((cell) => cell.outputs ?? []);
  assert.ok(cells.every((cell) => typeof cell.execution_count === "number"), "every code cell ran");
  assert.deepEqual(shown.filter((output) => output.output_type === "error"), []);
  const printed = shown.filter((output) => output.output_type === "stream").map((output) => joined(output.text)).join("");
  const [, tokens, rows] = /400 texts, (\d+) tokens .*; (\d+) rows, dropped 400 first positions/.exec(printed) ?? [];
  assert.ok(Number(tokens) > 50_000 && Number(rows) > 0 && Number(rows) <= Number(tokens) - 400, printed);

  const evaluated = cells.find((cell) => joined(cell.source).startsWith("await evaluate"))!;
  const fvu = Number(/FVU\s+([\d.e-]+)/.exec(joined(evaluated.outputs!.map((output) => joined(output.data?.["text/plain"]))))?.[1]);
  t.diagnostic(`held-out FVU ${fvu} after ${rows} rows`);
  assert.ok(fvu > 0 && fvu < 0.25, `held-out FVU: expected under 0.25 even on a tenth of the corpus, found ${fvu}`);

  const maps = shown.map((output) => output.data?.["application/vnd.saelab.heatmap.v1+json"] as { features: unknown[] } | undefined).filter((map) => map !== undefined);
  assert.ok(maps.reduce((sum, map) => sum + map.features.length, 0) >= 12, "at least twelve features with contexts");

  const html = readFileSync(page, "utf8");
  assert.doesNotMatch(html, /<script|<link|@import/i);
  assert.doesNotMatch(html, /(?:src|srcset)\s*=\s*["'](?!data:)/i);
  assert.match(html, /prefers-color-scheme: dark/);
  assert.match(html, /correlates with/);
});

test("a cell that throws stops the run: its name, its line, and no page", { timeout: 120_000 }, (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "saelab-e2e-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const notebook = path.join(folder, "broken.ipynb");
  const cell = (id: string, source: string) => ({ cell_type: "code", id, execution_count: null, metadata: {}, outputs: [], source });
  writeFileSync(notebook, JSON.stringify({
    cells: [cell("a", "const one = 1;"), cell("b", "const two = one + 1;\nthrow new RangeError(`two is ${two}`);"), cell("c", "console.log('never')")],
    metadata: { kernelspec: { name: "saelab", display_name: "saelab", language: "typescript" } }, nbformat: 4, nbformat_minor: 5,
  }));
  const page = path.join(folder, "page.html");
  const { status, stdout, stderr } = saelab("publish", notebook, page);
  assert.equal(status, 1);
  assert.match(stderr, /cell 2 of 3 stopped/);
  assert.match(stderr, /RangeError.*two is 2/s);
  assert.match(stderr, /line 2/);
  assert.doesNotMatch(stdout, /never/);
  assert.equal(existsSync(page), false);
});

test("what cannot be published is refused in words", () => {
  const { status, stderr } = saelab("publish", "nowhere.ipynb");
  assert.equal(status, 1);
  assert.match(stderr, /nowhere\.ipynb: expected a notebook/);
  assert.match(saelab("frobnicate").stderr, /expected a verb \(setup, install, uninstall, doctor, publish, harvest, merge, train, encode, evaluate, trace, hooks, demo\), found frobnicate/);
});
