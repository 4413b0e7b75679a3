#!/usr/bin/env node
/**
 * Set-up: from a bare clone (or a packed install) to a kernel that runs, with Node built-ins only.
 *
 *   check   platform, tools, card and driver, free disk: which TensorFlow is meant (nvidia.cjs, setup/plan.cjs)
 *   npm     node_modules, exactly as the lock file says           (a packed install has them already)
 *   python  .venv with Jupyter and TensorFlow
 *   onnx    with an NVIDIA card: ONNX Runtime's CUDA provider, and its libraries
 *   tests   with --test: what only the tests ask of Python        (a packed install has no tests)
 *   binding the TF.js binding, compiled against the wheel's libtensorflow   (--no-tensorflow, and where there is none: left out, like ops)
 *   signal  the kernel's handler of SIGINT, compiled
 *   build   src/ and kernel/ → build/                             (a packed install has it already)
 *   lab     the JupyterLab extension, bundled                     (a packed install has it already)
 *   ops     the fused training step, compiled for this processor  (without it training uses TensorFlow's own kernels)
 *   kernel  .venv/share/jupyter: kernels/saelab and labextensions/saelab
 *   cuda    with an NVIDIA card: a product is computed on it, by TensorFlow and by ONNX Runtime
 *
 * --cuda, --cpu, --no-tensorflow say what to install, and are remembered; --auto lets the card decide again. SAELAB_DEVICE=cuda, cpu or none does the
 * same for one time. --plan prints as JSON what would be done.
 *
 * Every step is skipped when its inputs are those of its last success, so running it again costs a second.
 * Proxies and mirrors are the package clients' own: npm and pip read their settings as always.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, rmSync, statSync, statfsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { judgeNvidia, readNvidia } from "./nvidia.cjs";
import { binding, cuda, ops, signal, withoutTensorflow } from "./setup/native.mjs";
import { choosePlan, DISK, readOptions } from "./setup/plan.cjs";
import { installed, onnx, onnxCommand, pip, pythonCommands, testPackages } from "./setup/python.mjs";
import { began, clock, home, packed, root, run, say, SetupError, step, stop, union, venv, version, waits } from "./setup/step.mjs";

const CHOICE = path.join(venv, ".saelab-device"); // --cuda, --cpu or --no-tensorflow of an earlier set-up

/** The first Python that is new enough and can make virtual environments. */
function findPython() {
  const probe = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
  const tried = [];
  for (const name of [process.env.PYTHON, "python3", "python3.13", "python3.12", "python3.11", "python3.10"].filter(Boolean)) {
    const { status, stdout } = spawnSync(name, ["-c", probe], { encoding: "utf8" });
    const found = status === 0 ? stdout.trim() : undefined;
    const [major, minor] = (found ?? "0.0").split(".").map(Number);
    if (major === 3 && minor >= 10 && minor <= 13) return { command: name, version: found };
    tried.push(`${name}: ${found ?? "absent, or without venv"}`);
  }
  return stop(`Python 3.10 to 3.13 with venv: expected, found ${tried.join("; ")}.`,
    `${process.platform === "darwin" ? "brew install python@3.12" : "sudo apt-get install python3 python3-venv"}, or set PYTHON=/path/to/python3.12`);
}

/** Looks at the machine; changes nothing. */
function check() {
  const from = clock();
  const { platform, arch } = process;
  if (!["linux", "darwin"].includes(platform) || !["x64", "arm64"].includes(arch)) {
    stop(`Linux or macOS, on x86-64 or arm64: expected, found ${platform} ${arch}.`, "on Windows use WSL2");
  }
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) stop(`Node 20.19 or newer: expected, found ${process.versions.node}.`, "install a current Node (20, 22, 24 or 26)");
  const python3 = findPython();
  const before = installed();
  const found = readNvidia();
  const judged = judgeNvidia(found);
  let options;
  let plan;
  try {
    options = readOptions(process.argv.slice(2), process.env.SAELAB_DEVICE, existsSync(CHOICE) ? readFileSync(CHOICE, "utf8").trim() : undefined);
    plan = choosePlan({ options, platform, arch, python: python3.version, found, judged, before, shared: process.env.SAELAB_VENV !== undefined });
  } catch (error) {
    stop(error.message, "npx saelab setup --help lists the options");
  }
  const { bavail, bsize } = statfsSync(home);
  const free = bavail * bsize;
  const same = before.tensorflow === (plan.tensorflow === "none" ? undefined : plan.tensorflow) && before.onnx === (plan.onnx === "cuda");
  const there = existsSync(path.join(venv, "share"));
  const needed = there && same ? 0 : plan.disk - (there ? DISK.none : 0);
  return { python3, before, found, judged, options, plan, free, needed, time: clock() - from };
}

/** Says what was found and decided, or why nothing can be done. */
function tell({ python3, plan, free, needed, time }) {
  const compiler = version("g++");
  if (plan.tensorflow !== "none" && !compiler) stop("g++: not found; the TensorFlow binding is compiled with it.", "sudo apt-get install g++ make");
  say("check", `Node ${process.versions.node}, Python ${version(python3.command, ["-c", "import sys; print(sys.version.split()[0])"])}, ${compiler ? "g++, " : ""}${(free / 1e9).toFixed(0)} GB free`, time);
  for (const { name, text, cure } of plan.lines) say(name, cure ? `${text}\n${" ".repeat(21)}cure: ${cure}` : text);
  if (free < needed) stop(`${(needed / 1e9).toFixed(0)} GB of free disk: expected in ${home}, found ${(free / 1e9).toFixed(1)} GB.`, `free some space, or clone onto a larger disk${plan.tensorflow === "cuda" ? "; --cpu needs less" : ""}`);
}

async function npm() {
  const modules = path.join(root, "node_modules");
  const files = ["package.json", "package-lock.json", ".npmrc"].map((file) => readFileSync(path.join(root, file)));
  await step("npm", path.join(modules, ".saelab-npm"), files, () => existsSync(modules), async () => {
    // Time during which at least one request was under way: each "npm http" line ends a request and says how long it took.
    const requests = [];
    const command = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ["npm"];
    await run(command[0], [...command.slice(1), "ci", "--loglevel=http"], {
      onLine: (line) => {
        const [, ms] = /^npm http (?:fetch|cache).* (\d+)ms/.exec(line) ?? [];
        if (ms && !/cache hit|\(from cache\)/.test(line)) requests.push([clock() - ms / 1000, clock()]);
      },
      cure: "check the network, or point npm at a mirror (npm config set registry …; proxies: npm config set proxy …), then run the command again",
    });
    const waited = union(requests);
    waits.push(...requests);
    bundle(modules);
    return `${readdirSync(modules).length} package folders, of which network ${waited.toFixed(1)} s`;
  });
}

/**
 * Makes danfojs-node ready to travel in `npm pack` (it is a bundled dependency, because overrides do not reach whoever installs us):
 * its manifest asks for what the overrides chose, and our tfjs-node, a link in a clone, becomes a folder.
 */
function bundle(modules) {
  const manifest = path.join(modules, "danfojs-node", "package.json");
  const danfo = JSON.parse(readFileSync(manifest, "utf8"));
  danfo.dependencies.xlsx = JSON.parse(readFileSync(path.join(modules, "xlsx", "package.json"), "utf8")).version;
  const shim = path.join(root, "kernel-ext", "tfjs-node");
  danfo.dependencies["@tensorflow/tfjs-node"] = JSON.parse(readFileSync(path.join(shim, "package.json"), "utf8")).version;
  writeFileSync(manifest, `${JSON.stringify(danfo, null, 2)}\n`);
  const link = path.join(modules, "@tensorflow", "tfjs-node");
  rmSync(link, { recursive: true, force: true });
  cpSync(shim, link, { recursive: true });
}

/** Paths, sizes and times of all sources: cheaper than reading them. */
function listing(folder, keep) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && keep.test(entry.name))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort()
    .map((file) => `${file} ${statSync(file).size} ${statSync(file).mtimeMs}`);
}

async function build() {
  const stamp = path.join(root, "build", ".saelab-build");
  const inputs = ["src", "kernel-ext/kernel", "test", "data"].flatMap((folder) => listing(path.join(root, folder), /\.ts$/));
  await step("build", stamp, [readFileSync(path.join(root, "tsconfig.json")), ...inputs], () => existsSync(path.join(root, "build", "src")), async () => {
    rmSync(path.join(root, "build"), { recursive: true, force: true });
    await run(process.execPath, [path.join(root, "node_modules", "typescript", "bin", "tsc"), "--project", root], { cure: "mend the type errors above" });
    return "src, kernel, tests";
  });
  // npx makes it so when it first links it, and not again for one that was built anew.
  chmodSync(path.join(root, "build", "src", "adapters", "cli.js"), 0o755);
}

/** Renderers of our outputs for JupyterLab and Notebook: type-checked, then bundled by JupyterLab's own builder, which needs no network and no Python. */
async function lab() {
  const folder = path.join(root, "kernel-ext", "lab");
  const settings = ["package.json", "tsconfig.json", "bundle.cjs", "core.package.json"].map((file) => readFileSync(path.join(folder, file)));
  const inputs = [...settings, ...["kernel-ext/lab/src", "src/core"].flatMap((sources) => listing(path.join(root, sources), /\.(ts|css)$/))];
  await step("lab", path.join(folder, ".stamp"), inputs, () => existsSync(path.join(folder, "labextension", "package.json")), async () => {
    rmSync(path.join(folder, "lib"), { recursive: true, force: true });
    await run(process.execPath, [path.join(root, "node_modules", "typescript", "bin", "tsc"), "--project", folder], { cure: "mend the type errors above" });
    const builder = path.join(root, "node_modules", "@jupyter", "builder", "lib", "build-labextension.js");
    await run(process.execPath, [builder, "--core-package-file", path.join(folder, "core.package.json"), folder], { cure: "mend the errors above" });
    return "the JupyterLab extension";
  });
}

async function kernel() {
  const built = (name) => createRequire(import.meta.url)(path.join(root, "build", "src", "adapters", name));
  const { kernelContents, writeKernel } = built("kernelspec.js");
  const { extensionContents, installExtension } = built("labextension.js");
  // Jupyter's own variable wins: with a shared environment each project can have its own kernelspec.
  const data = process.env.JUPYTER_DATA_DIR ?? path.join(venv, "share", "jupyter");
  const folder = path.join(data, "kernels", "saelab");
  const there = () => existsSync(path.join(folder, "kernel.json")) && existsSync(path.join(data, "labextensions", "saelab", "package.json"));
  await step("kernel", path.join(folder, ".saelab-kernel"), [kernelContents(), extensionContents()], there, async () => {
    try {
      writeKernel(folder);
      installExtension(data);
    } catch (error) {
      if (error.name !== "OptionError") throw error;
      stop(error.message, `remove what is there, or set JUPYTER_DATA_DIR to another folder, and run the command again`);
    }
    return `${path.relative(process.cwd(), folder)}, and the JupyterLab extension beside it`;
  });
}

/** As JSON: what was found, what is decided, and the commands of the steps that depend on it. */
function describe({ python3, before, found, judged, options, plan, free, needed }) {
  const compiled = plan.tensorflow === "none" ? [] : ["binding"];
  const names = [...compiled, "signal", ...(packed ? [] : ["build", "lab"]), ...(compiled.length ? ["ops"] : []), "kernel", ...(plan.tensorflow === "cuda" && judged.tensorflow.ok ? ["cuda"] : [])];
  return {
    ...plan, asked: options.asked, by: options.by, venv, disk: { needed, free }, python: python3, before, nvidia: found, judged,
    steps: [...(packed ? [] : [{ name: "npm", commands: [["npm", "ci"]] }]), { name: "python", commands: process.env.SAELAB_VENV ? [] : pythonCommands({ python3, plan, before }) },
      ...(plan.onnx === "cuda" ? [{ name: "onnx", commands: process.env.SAELAB_VENV ? [] : [onnxCommand()] }] : []), ...names.map((name) => ({ name }))],
  };
}

async function main() {
  const machine = check();
  const { plan, options } = machine;
  if (options.planning) return console.log(JSON.stringify(describe(machine), null, 2));
  console.log(`Setting up saelab in ${home}`);
  tell(machine);
  // npm and pip wait for different things (many small files; few large ones): side by side they take little more than the slower one.
  const results = await Promise.allSettled([packed ? undefined : npm(), pip(machine).then(() => testPackages(machine))]);
  for (const { reason } of results) if (reason) throw reason;
  if (options.by === "option" && !process.env.SAELAB_VENV) options.asked === "auto" ? rmSync(CHOICE, { force: true }) : writeFileSync(CHOICE, `${options.asked}\n`);
  await onnx(machine);
  if (plan.tensorflow === "none") withoutTensorflow();
  else await binding();
  await signal(machine);
  if (!packed) await build();
  if (!packed) await lab();
  if (plan.tensorflow !== "none") await ops();
  await kernel();
  await cuda(machine);
  const network = union(waits);
  console.log(`Ready in ${(clock() - began).toFixed(1)} s${network > 1 ? `, of which npm or pip waited for its registry during ${network.toFixed(1)} s` : ""}.`);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nSet-up stopped: ${error.message}`);
  process.exit(1);
}
