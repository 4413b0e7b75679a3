import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import type { KernelSpec } from "../../kernel-ext/kernel/spec";
import { userDataFolder, writeKernel } from "../../src/adapters/kernelspec";
import { packageRoot, version } from "../../src/adapters/package";
import { bin } from "../python";

/** The commands as a user gives them, each in a prefix, home or environment of its own; Jupyter's own command says what it finds. */

const scratch = mkdtempSync(path.join(tmpdir(), "saelab-kernelspec-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const folder = (name: string): string => mkdtempSync(path.join(scratch, `${name}-`));

const cli = path.join(packageRoot, "build", "src", "adapters", "cli.js");
const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(JUPYTER|XDG_DATA|SAELAB_VENV)/.test(name)));
const saelab = (args: string[], env: Record<string, string> = {}) => spawnSync(process.execPath, [cli, ...args], { encoding: "utf8", env: { ...clean, ...env } });
/** What the commands say of a problem, after making sure that they failed. */
const refusal = (args: string[], env: Record<string, string> = {}): string => {
  const { status, stdout, stderr } = saelab(args, env);
  assert.equal(status, 1, stdout + stderr);
  return stderr;
};
const succeed = (args: string[], env: Record<string, string> = {}): string => {
  const { status, stdout, stderr } = saelab(args, env);
  assert.equal(status, 0, stderr);
  return stdout;
};
const kernelsOf = (prefix: string): string => path.join(prefix, "share", "jupyter", "kernels");
const read = (kernel: string): KernelSpec => JSON.parse(readFileSync(path.join(kernel, "kernel.json"), "utf8")) as KernelSpec;
/** What any Jupyter finds that looks into this prefix. */
const listed = (prefix: string): Record<string, { resource_dir: string; spec: KernelSpec }> => {
  const env = { ...clean, JUPYTER_PATH: path.join(prefix, "share", "jupyter"), HOME: prefix };
  return (JSON.parse(execFileSync(bin("jupyter"), ["kernelspec", "list", "--json"], { encoding: "utf8", env })) as { kernelspecs: ReturnType<typeof listed> }).kernelspecs;
};
/** A kernel that is not ours. */
const stranger = (kernel: string): void => {
  mkdirSync(kernel, { recursive: true });
  writeFileSync(path.join(kernel, "kernel.json"), JSON.stringify({ argv: ["node", "/x/main.js", "{connection_file}"], display_name: "Other", language: "typescript" }));
};

test("install writes a kernel that jupyter kernelspec list finds, with its logos", () => {
  const prefix = folder("prefix");
  const said = succeed(["install", "--prefix", prefix, "--name", "Saelab-Dev", "--display-name", "TypeScript (dev)"]);
  const kernel = path.join(kernelsOf(prefix), "saelab-dev");
  assert.ok(said.includes(kernel), said);
  assert.deepEqual(readdirSync(kernelsOf(prefix)), ["saelab-dev"]);
  assert.deepEqual(readdirSync(kernel).sort(), ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]);
  const { resource_dir, spec } = listed(prefix)["saelab-dev"];
  assert.equal(resource_dir, kernel);
  assert.deepEqual([spec.display_name, spec.language, spec.argv[0], spec.argv[2]], ["TypeScript (dev)", "typescript", process.execPath, "{connection_file}"]);
  assert.ok(existsSync(spec.argv[1]), `${spec.argv[1]} starts the kernel`);
  assert.deepEqual(spec, { ...spec, ...read(kernel) });
});

test("installing again replaces what is ours and leaves nothing of it", () => {
  const prefix = folder("again");
  const kernel = path.join(kernelsOf(prefix), "saelab");
  succeed(["install", "--prefix", prefix, "--display-name", "Old"]);
  writeFileSync(path.join(kernel, "logo-16x16.png"), "of an older version");
  succeed(["install", "--prefix", prefix]);
  assert.equal(read(kernel).display_name, "TypeScript (saelab)");
  assert.deepEqual(readdirSync(kernel).sort(), ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]);
  assert.deepEqual(readdirSync(kernelsOf(prefix)), ["saelab"]);
});

test("a replacement that cannot be finished leaves the kernel as it was", () => {
  const kernel = path.join(folder("half"), "kernels", "saelab");
  writeKernel(kernel, "Before");
  const before = readFileSync(path.join(kernel, "kernel.json"), "utf8");
  rmSync(path.join(kernel, "logo-svg.svg"));
  mkdirSync(path.join(kernel, "logo-svg.svg", "in the way"), { recursive: true });
  assert.throws(() => writeKernel(kernel, "After"), { name: "OptionError", message: /expected to write there, found EISDIR/ });
  assert.equal(readFileSync(path.join(kernel, "kernel.json"), "utf8"), before);
  assert.deepEqual(readdirSync(path.join(kernel, "..")), ["saelab"]);
});

test("uninstall removes what is ours, and then says that there is none", () => {
  const prefix = folder("remove");
  const kernel = path.join(kernelsOf(prefix), "passing");
  const place = ["--prefix", prefix, "--name", "passing"];
  succeed(["install", ...place]);
  assert.ok(listed(prefix).passing);
  assert.ok(succeed(["uninstall", ...place]).includes(`Removed the kernel passing: ${kernel}`));
  assert.deepEqual(readdirSync(kernelsOf(prefix)), []);
  assert.equal(listed(prefix).passing, undefined);
  const env = { JUPYTER_DATA_DIR: folder("data") };
  assert.match(refusal(["uninstall", ...place], env), /passing: expected a kernelspec to remove, found none\. jupyter kernelspec list/);
  succeed(["install", "--user", "--name", "passing"], env);
  assert.match(refusal(["uninstall", ...place], env), /found none\. One is found with --user\./);
});

test("the JupyterLab extension comes with the kernel and goes with the last one; another's is left alone", () => {
  const prefix = folder("beside");
  const extension = path.join(prefix, "share", "jupyter", "labextensions", "saelab");
  const enabled = (): string => {
    const { stdout, stderr } = spawnSync(bin("jupyter"), ["labextension", "list"], { encoding: "utf8", env: { ...clean, JUPYTER_PATH: path.join(prefix, "share", "jupyter"), JUPYTER_CONFIG_DIR: prefix, HOME: prefix, NO_COLOR: "1" } });
    return (stdout + stderr).replace(/\u001b\[\d+m/g, "");
  };
  assert.ok(succeed(["install", "--prefix", prefix]).includes(`Wrote the JupyterLab extension: ${extension}`));
  assert.match(enabled(), new RegExp(`${path.dirname(extension)}\\s+saelab v${version} enabled OK`));
  assert.deepEqual(readdirSync(path.dirname(extension)), ["saelab"]);

  writeFileSync(path.join(extension, "static", "of-an-older-version.js"), "");
  succeed(["install", "--prefix", prefix, "--name", "second"]);
  assert.ok(!existsSync(path.join(extension, "static", "of-an-older-version.js")), "an older one is replaced whole");
  assert.doesNotMatch(succeed(["uninstall", "--prefix", prefix]), /extension/);
  assert.ok(existsSync(extension), "the second kernel's outputs need it");
  assert.ok(succeed(["uninstall", "--prefix", prefix, "--name", "second"]).includes(`Removed the JupyterLab extension: ${extension}`));
  assert.deepEqual(readdirSync(path.dirname(extension)), []);
  assert.deepEqual(readdirSync(path.join(prefix, "share", "jupyter")).sort(), ["kernels", "labextensions"]);

  mkdirSync(extension);
  writeFileSync(path.join(extension, "package.json"), JSON.stringify({ name: "saelab", version: "9.9.9", jupyterlab: {} }));
  assert.match(refusal(["install", "--prefix", prefix]), /labextensions\/saelab: expected nothing there or saelab's own JupyterLab extension, found another/);
  succeed(["uninstall", "--prefix", prefix]);
  assert.deepEqual(readdirSync(extension), ["package.json"]);
});

test("the extension is of this version, and at most 60 KB without Plotly", () => {
  const lab = path.join(packageRoot, "kernel-ext", "lab");
  const manifest = (file: string) => JSON.parse(readFileSync(path.join(lab, file), "utf8")) as { version: string };
  assert.deepEqual([manifest("package.json").version, manifest("labextension/package.json").version], [version, version]);
  const files = readdirSync(path.join(lab, "labextension", "static")).filter((name) => name.endsWith(".js"));
  const bytes = files.filter((name) => !name.startsWith("plotly.")).reduce((sum, name) => sum + statSync(path.join(lab, "labextension", "static", name)).size, 0);
  assert.ok(bytes <= 60 * 1024, `${bytes} bytes`);
  assert.equal(files.filter((name) => name.startsWith("plotly.")).length, 1);
});

test("another kernel is neither replaced nor removed", () => {
  const prefix = folder("stranger");
  const kernel = path.join(kernelsOf(prefix), "other");
  stranger(kernel);
  const before = readFileSync(path.join(kernel, "kernel.json"), "utf8");
  assert.match(refusal(["install", "--prefix", prefix, "--name", "other"]), /expected nothing there or a kernelspec of saelab, found Other \(node \/x\/main\.js/);
  assert.match(refusal(["uninstall", "--prefix", prefix, "--name", "other"]), /expected a kernelspec of saelab, found Other .*Nothing was removed.*jupyter kernelspec remove other/);
  writeFileSync(path.join(kernel, "logo-64x64.png"), "");
  rmSync(path.join(kernel, "kernel.json"));
  assert.match(refusal(["install", "--prefix", prefix, "--name", "other"]), /found something without a readable kernel\.json/);
  writeFileSync(path.join(kernel, "kernel.json"), before);
  assert.deepEqual(readdirSync(kernelsOf(prefix)), ["other"]);
  assert.deepEqual(readdirSync(kernel).sort(), ["kernel.json", "logo-64x64.png"]);
});

test("--user is where Jupyter keeps a user's data; without options, the environment of set-up comes first", () => {
  const home = folder("home");
  const dataDir = (env: Record<string, string>): string => execFileSync(bin("jupyter"), ["--data-dir"], { encoding: "utf8", env: { ...clean, ...env } }).trim();
  const environments: Record<string, string>[] = [{}, { XDG_DATA_HOME: path.join(home, "xdg") }, { JUPYTER_DATA_DIR: path.join(home, "own") }];
  for (const env of environments.map((own) => ({ HOME: home, ...own }))) {
    succeed(["install", "--user"], env);
    assert.ok(existsSync(path.join(dataDir(env), "kernels", "saelab", "kernel.json")), JSON.stringify(env));
    assert.equal(userDataFolder(env, "linux", home), dataDir(env));
  }
  assert.equal(userDataFolder({}, "darwin", "/Users/a"), "/Users/a/Library/Jupyter");
  assert.equal(userDataFolder({ APPDATA: "/Roaming" }, "win32", "/a"), "/Roaming/jupyter");

  const venv = folder("venv");
  mkdirSync(path.join(venv, "bin"));
  writeFileSync(path.join(venv, "bin", "python"), "");
  assert.ok(succeed(["install"], { SAELAB_VENV: venv, HOME: home }).includes(path.join(kernelsOf(venv), "saelab")));
  const data = folder("data");
  assert.ok(succeed(["install"], { SAELAB_VENV: venv, JUPYTER_DATA_DIR: data }).includes(path.join(data, "kernels", "saelab")));
});

test("what cannot be meant is refused in words", () => {
  const prefix = folder("refused");
  assert.match(refusal(["install", "--user", "--prefix", prefix]), /--user and --prefix: expected at most one of them, found both/);
  for (const name of ["a b", "..", "ünder", "a/b", ""]) assert.match(refusal(["install", "--prefix", prefix, "--name", name]), /--name: expected letters, digits/);
  assert.match(refusal(["install", "mine"]), /install: expected options only, found mine\. A name is given as --name NAME/);
  writeFileSync(path.join(prefix, "file"), "");
  assert.match(refusal(["install", "--prefix", path.join(prefix, "file")]), /expected to write there, found (ENOTDIR|EEXIST)/);
  assert.deepEqual(readdirSync(prefix), ["file"]);
});

test("the pictures are the drawing, at their sizes", () => {
  const { Resvg } = require("@resvg/resvg-js") as typeof import("@resvg/resvg-js");
  const logo = (name: string): Buffer => readFileSync(path.join(packageRoot, "kernel-ext", "logo", name));
  for (const size of [32, 64]) {
    const drawn = new Resvg(logo("logo-svg.svg").toString(), { fitTo: { mode: "width", value: size }, font: { loadSystemFonts: false } }).render();
    assert.deepEqual([drawn.width, drawn.height], [size, size]);
    assert.ok(drawn.asPng().equals(logo(`logo-${size}x${size}.png`)), `logo-${size}x${size}.png: expected the drawing of logo-svg.svg; write it anew`);
  }
});
