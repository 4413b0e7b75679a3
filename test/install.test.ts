import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { packageRoot } from "../src/adapters/package";

/**
 * What a user of the packed package does: install it into an empty folder, set up, use library and kernel there.
 * Only the Python environment is the clone's own (SAELAB_VENV), to spare a second download of TensorFlow.
 */
test("npm pack gives a package that installs, sets up, computes and runs a notebook elsewhere", { timeout: 600_000 }, (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "saelab-install-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const env = { ...process.env, SAELAB_VENV: path.join(packageRoot, ".venv"), JUPYTER_DATA_DIR: path.join(folder, "jupyter"), TF_CPP_MIN_LOG_LEVEL: "3" };
  for (const name of Object.keys(env)) if (/^npm_/i.test(name) && !/cache|registry|proxy|cafile/i.test(name)) delete (env as NodeJS.ProcessEnv)[name];
  const run = (command: string, args: string[], cwd = folder): string => execFileSync(command, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

  const packed = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], packageRoot)) as { filename: string; size: number }[] | Record<string, { filename: string; size: number }>;
  const [tarball] = Object.values(packed);
  t.diagnostic(`${tarball.filename}: ${(tarball.size / 1e6).toFixed(1)} MB`);
  writeFileSync(path.join(folder, "package.json"), JSON.stringify({ name: "elsewhere", private: true }));
  run("npm", ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", path.join(folder, tarball.filename)]);
  const said = run("npx", ["saelab", "setup"]);
  assert.match(said, /TF\.js on TensorFlow 2\./);
  const extension = path.join(env.JUPYTER_DATA_DIR, "labextensions", "saelab");
  const { jupyterlab } = JSON.parse(readFileSync(path.join(extension, "package.json"), "utf8")) as { jupyterlab: { _build: { load: string } } };
  assert.ok(existsSync(path.join(extension, jupyterlab._build.load)), "the JupyterLab extension lies beside the kernel");

  writeFileSync(path.join(folder, "use.mjs"), `
    import { createRequire } from "node:module";
    import { loadSae } from "saelab";
    const sae = await loadSae(process.argv[2]);
    const { index, value } = sae.encode(new Float32Array(sae.weights.d).fill(0.5));
    const { tensorflow, DataFrame } = createRequire(import.meta.resolve("saelab"))("danfojs-node");
    console.log(JSON.stringify({ k: index.length, finite: value.every(Number.isFinite), backend: tensorflow.getBackend(), rows: new DataFrame({ a: [1, 2] }).shape[0] }));
  `);
  const got = JSON.parse(run(process.execPath, ["use.mjs", path.join(packageRoot, "test", "oracle", "saes", "sae")])) as Record<string, unknown>;
  assert.deepEqual(got, { k: 8, finite: true, backend: "tensorflow", rows: 2 });

  const cell = (source: string) => ({ cell_type: "code", id: `c${source.length}`, execution_count: null, metadata: {}, outputs: [], source });
  writeFileSync(path.join(folder, "note.ipynb"), JSON.stringify({
    cells: [cell(`import { readTexts } from "saelab";`), cell(`const texts = await readTexts("note.txt");\ntexts[0].text.length`)],
    metadata: { kernelspec: { name: "saelab", display_name: "saelab", language: "typescript" } }, nbformat: 4, nbformat_minor: 5,
  }));
  writeFileSync(path.join(folder, "note.txt"), "forty-two letters, or thereabouts, in all.");
  run("npx", ["saelab", "publish", "note.ipynb", "note.html"]);
  assert.match(readFileSync(path.join(folder, "note.html"), "utf8"), /<pre>42<\/pre>/);
});
