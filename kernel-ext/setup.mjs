#!/usr/bin/env node
/**
 * Set-up: from a bare clone (or a packed install) to a kernel that runs, with Node built-ins only.
 *
 *   check   platform, tools, free disk
 *   npm     node_modules, exactly as the lock file says           (a packed install has them already)
 *   python  .venv with Jupyter and TensorFlow
 *   tests   with --test: what only the tests ask of Python        (a packed install has no tests)
 *   binding the TF.js binding, compiled against the wheel's libtensorflow
 *   signal  the kernel's handler of SIGINT, compiled
 *   build   src/ and kernel/ → build/                             (a packed install has it already)
 *   lab     the JupyterLab extension, bundled                     (a packed install has it already)
 *   ops     the fused training step, compiled for this processor  (without it training uses TensorFlow's own kernels)
 *   kernel  .venv/share/jupyter: kernels/saelab and labextensions/saelab
 *
 * Every step is skipped when its inputs are those of its last success, so running it again costs a second.
 * Proxies and mirrors are the package clients' own: npm and pip read their settings as always.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, realpathSync, rmSync, statSync, statfsSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = realpathSync(path.join(path.dirname(fileURLToPath(import.meta.url)), ".."));
const packed = path.basename(path.dirname(root)) === "node_modules";
/** Where .venv goes: the clone, or the project that installed us. */
const home = packed ? path.resolve(root, "..", "..") : root;
/** SAELAB_VENV names an environment that several projects share; it must have what requirements.txt lists. */
const venv = process.env.SAELAB_VENV ? path.resolve(process.env.SAELAB_VENV) : path.join(home, ".venv");
const python = path.join(venv, "bin", "python");
const testing = process.argv.includes("--test");
const DISK = 5e9; // node_modules 1.0 GB, .venv 1.8 GB, and the clients' caches

const clock = () => performance.now() / 1000;
const began = clock();
/** Intervals of waiting for a registry; npm and pip wait side by side. */
const waits = [];
const seconds = (s) => `${s.toFixed(1).padStart(6)} s`;
const say = (name, what, time) => console.log(`  ${name.padEnd(8)} ${time === undefined ? "        " : seconds(time)}  ${what}`);

/** A problem with a cure; printed without a stack. */
class SetupError extends Error {}
const stop = (what, cure) => { throw new SetupError(`${what}\n  cure: ${cure}`); };

const hash = (...parts) => parts.reduce((h, part) => h.update(part).update("\0"), createHash("sha256")).digest("hex");

/** Runs step `name` unless its inputs are the ones of its last success; the stamp is written last, so an interrupted step runs again. */
async function step(name, stampFile, inputs, done, work) {
  const stamp = hash(...inputs);
  const from = clock();
  if (done() && existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return say(name, "up to date");
  rmSync(stampFile, { force: true });
  const what = await work();
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
  say(name, what, clock() - from);
}

/** Runs a command; `onLine` sees each line as it comes. On failure throws with the last lines and the cure. */
function run(command, args, { cwd = root, env = {}, onLine = () => {}, cure }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const tail = [];
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (chunk) => {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) {
          onLine(line);
          if (!/^npm http/.test(line)) tail.push(line);
          if (tail.length > 15) tail.shift();
        }
      });
    }
    const fail = (why) => reject(new SetupError(`${path.basename(command)} ${args.slice(0, 3).join(" ")} … ${why}\n${tail.map((line) => `    ${line}`).join("\n")}\n  cure: ${cure}`));
    child.on("error", (error) => fail(error.message));
    child.on("close", (code, signal) => (code === 0 ? resolve() : fail(signal ? `was ended by ${signal}` : `ended with code ${code}`)));
  });
}

const version = (command, args = ["--version"]) => {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? (stdout || stderr).trim().split("\n")[0] : undefined;
};

/** The first Python that is new enough and can make virtual environments. */
function findPython() {
  const probe = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";
  const tried = [];
  for (const name of [process.env.PYTHON, "python3", "python3.13", "python3.12", "python3.11", "python3.10"].filter(Boolean)) {
    const { status, stdout } = spawnSync(name, ["-c", probe], { encoding: "utf8" });
    const found = status === 0 ? stdout.trim() : undefined;
    const [major, minor] = (found ?? "0.0").split(".").map(Number);
    if (major === 3 && minor >= 10 && minor <= 13) return name;
    tried.push(`${name}: ${found ?? "absent, or without venv"}`);
  }
  return stop(`Python 3.10 to 3.13 with venv: expected, found ${tried.join("; ")}.`,
    "sudo apt-get install python3 python3-venv, or set PYTHON=/path/to/python3.12");
}

function check() {
  const from = clock();
  if (process.platform !== "linux" || process.arch !== "x64") {
    stop(`Linux on x86-64: expected, found ${process.platform} ${process.arch}.`, "on Windows use WSL2; on macOS the library's core (formats, heat maps) works, TensorFlow and the kernel are not built yet");
  }
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19)) stop(`Node 20.19 or newer: expected, found ${process.versions.node}.`, "install a current Node (20, 22, 24 or 26)");
  if (!version("g++")) stop("g++: not found; the TensorFlow binding is compiled with it.", "sudo apt-get install g++ make");
  if (!version("make")) stop("make: not found.", "sudo apt-get install g++ make");
  const python3 = findPython();
  const { bavail, bsize } = statfsSync(home);
  if (bavail * bsize < DISK && !existsSync(path.join(venv, "share"))) {
    stop(`${(DISK / 1e9).toFixed(0)} GB of free disk: expected in ${home}, found ${((bavail * bsize) / 1e9).toFixed(1)} GB.`, "free some space, or clone onto a larger disk");
  }
  say("check", `Node ${process.versions.node}, Python ${version(python3, ["-c", "import sys; print(sys.version.split()[0])"])}, g++, ${((bavail * bsize) / 1e9).toFixed(0)} GB free`, clock() - from);
  return python3;
}

const tfjs = () => path.dirname(createRequire(path.join(root, "package.json")).resolve("@tensorflow/tfjs-node-gpu/package.json"));

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

/** Total length of overlapping intervals. */
function union(intervals) {
  let total = 0;
  let end = -Infinity;
  for (const [from, to] of intervals.sort((a, b) => a[0] - b[0])) {
    total += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return total;
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
  if (lstatSync(link).isSymbolicLink()) {
    rmSync(link);
    cpSync(shim, link, { recursive: true });
  }
}

const REQUIREMENTS = path.join(root, "kernel-ext", "requirements.txt");
const TEST_REQUIREMENTS = path.join(root, "test", "requirements.txt");
const PAPERMILL = path.join(root, "kernel-ext", "papermill"); // lets papermill set parameters, where somebody installs papermill

/** The lines of a requirements file that name packages. */
const wanted = (file) => readFileSync(file, "utf8").split("\n").filter((line) => /^\w/.test(line));
const isEngine = (line) => line.startsWith("tensorflow");

/** Installs into the virtual environment, one command a list. Says how long the registry was waited for. */
async function pipInstall(...lists) {
  const downloads = [];
  for (const packages of lists) {
    // pip resolves and downloads, then says "Installing collected packages": what comes before is the network's.
    const from = clock();
    await run(python, ["-m", "pip", "install", "--disable-pip-version-check", "--no-compile", ...packages], {
      onLine: (line) => { if (/^Installing collected packages/.test(line)) downloads.push([from, clock()]); },
      cure: "check the network, or point pip at a mirror (pip config set global.index-url …), then run the command again",
    });
  }
  waits.push(...downloads);
  return union(downloads);
}

async function pip(python3) {
  if (process.env.SAELAB_VENV) return say("python", `${venv} (SAELAB_VENV), left as it is`);
  const inputs = [readFileSync(REQUIREMENTS), ...["pyproject.toml", "saelab_papermill.py"].map((file) => readFileSync(path.join(PAPERMILL, file))), venv];
  await step("python", path.join(venv, ".saelab-python"), inputs, () => existsSync(python), async () => {
    await run(python3, ["-m", "venv", venv], { cure: `sudo apt-get install python3-venv, or remove ${venv} and try again` });
    // Of TensorFlow only libtensorflow is used, never its Python side: it comes without its dependencies.
    const packages = wanted(REQUIREMENTS);
    const waited = await pipInstall([...packages.filter((line) => !isEngine(line)), PAPERMILL], ["--no-deps", ...packages.filter(isEngine)]);
    return `${path.relative(process.cwd(), venv) || venv}, of which network ${waited.toFixed(1)} s`;
  });
}

/** With --test: what only the tests ask of Python, beside what the kernel needs and at the same versions of that. */
async function testPackages() {
  if (!testing) return;
  if (packed) stop("--test: expected a clone, found an installed package, which has no tests.", "clone the repository, and run npm test there");
  if (process.env.SAELAB_VENV) return say("tests", `${venv} (SAELAB_VENV), left as it is`);
  const inputs = [readFileSync(TEST_REQUIREMENTS), readFileSync(REQUIREMENTS), venv];
  await step("tests", path.join(venv, ".saelab-tests"), inputs, () => existsSync(python), async () => {
    const waited = await pipInstall([...wanted(TEST_REQUIREMENTS), ...wanted(REQUIREMENTS).filter((line) => !isEngine(line))]);
    return `${wanted(TEST_REQUIREMENTS).length} Python packages of the tests, of which network ${waited.toFixed(1)} s`;
  });
}

/** Folder of the TensorFlow package in the virtual environment. */
function tensorflow() {
  const lib = path.join(venv, "lib");
  const found = readdirSync(lib).map((name) => path.join(lib, name, "site-packages", "tensorflow")).find((folder) => existsSync(path.join(folder, "libtensorflow_cc.so.2")));
  return found ?? stop(`libtensorflow_cc.so.2: expected in ${lib}/*/site-packages/tensorflow, not found.`, `remove ${venv} and run the command again`);
}

async function binding() {
  const package_ = tfjs();
  const wheel = tensorflow();
  const out = path.join(package_, "lib", "napi-v8", "tfjs_binding.node");
  const sources = ["tfjs_backend.cc", "tfjs_binding.cc"].map((name) => path.join(package_, "binding", name));
  const headers = createRequire(path.join(root, "package.json"))("node-api-headers").include_dir;
  const library = statSync(path.join(wheel, "libtensorflow_cc.so.2"));
  const inputs = [...sources.map((file) => readFileSync(file)), out, wheel, `${library.size} ${library.mtimeMs}`, version("g++")];
  await step("binding", `${out}.stamp`, inputs, () => existsSync(out), async () => {
    mkdirSync(path.dirname(out), { recursive: true });
    const half = `${out}.tmp`;
    await run("g++", ["-O2", "-std=c++17", "-shared", "-fPIC", "-DNAPI_VERSION=8", `-I${headers}`, `-I${wheel}/include`, ...sources, "-o", half,
      `-L${wheel}`, "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", `-Wl,-rpath,$ORIGIN/${path.relative(path.dirname(out), wheel)}`],
      { cure: "sudo apt-get install g++ make (a g++ of 2018 or later)" });
    cpSync(half, out);
    rmSync(half);
    const test = "const tf = require('@tensorflow/tfjs-node-gpu'); process.stdout.write(tf.backend().binding.TF_Version)";
    const shims = "const util = require('node:util'); util.isNullOrUndefined ??= (v) => v == null; util.isArray ??= Array.isArray; ";
    const { status, stdout, stderr } = spawnSync(process.execPath, ["-e", shims + test], { cwd: root, encoding: "utf8", env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: "3" } });
    if (status !== 0) {
      rmSync(out);
      stop(`The TensorFlow binding was compiled but does not load:\n${stderr.split("\n").slice(-12).join("\n")}`, `remove ${venv} and run the command again; if it stays, report it with this text`);
    }
    return `TF.js on TensorFlow ${stdout}`;
  });
}

/** The kernel's handler of SIGINT; beside the compiled kernel, not in build/, which is made anew. */
async function signal() {
  const source = path.join(root, "kernel-ext", "signal.cc");
  const out = path.join(root, "kernel-ext", "signal.node");
  const headers = createRequire(path.join(root, "package.json"))("node-api-headers").include_dir;
  await step("signal", `${out}.stamp`, [readFileSync(source), version("g++")], () => existsSync(out), async () => {
    const half = `${out}.tmp`;
    await run("g++", ["-O2", "-std=c++17", "-shared", "-fPIC", "-DNAPI_VERSION=8", `-I${headers}`, source, "-o", half],
      { cure: "sudo apt-get install g++ make (a g++ of 2018 or later)" });
    cpSync(half, out);
    rmSync(half);
    return "SIGINT reaches loops that never pause";
  });
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

// Sums may be reordered and divisions replaced, NaN and infinity stay what they are; not -ffast-math, which would flush denormals in the whole process.
const OPS_FLAGS = ["-O3", "-std=c++17", "-march=native", "-mprefer-vector-width=512", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math",
  "-fno-math-errno", "-freciprocal-math"];

/** The fused step as TensorFlow ops. Training does without them when they cannot be had, so nothing here ends the set-up. */
async function ops() {
  const { cpu, OPS: out, OPS_BUILD: card, OPS_SOURCES: sources, opsSource } = createRequire(import.meta.url)(path.join(root, "build", "src", "adapters", "ops.js"));
  const headers = createRequire(path.join(root, "package.json"))("node-api-headers").include_dir;
  const wheel = tensorflow();
  const library = statSync(path.join(wheel, "libtensorflow_framework.so.2"));
  const inputs = [opsSource(), cpu(), version("g++"), wheel, `${library.size} ${library.mtimeMs}`, OPS_FLAGS.join(" ")];
  await step("ops", `${out}.stamp`, inputs, () => existsSync(out) && existsSync(card), async () => {
    for (const old of [card, out]) rmSync(old, { force: true });
    const half = `${out}.tmp`;
    try {
      await run("g++", [...OPS_FLAGS, "-shared", "-fPIC", "-DNAPI_VERSION=8", `-I${headers}`, `-I${wheel}/include`, sources[0], "-o", half,
        `-L${wheel}`, "-l:libtensorflow_framework.so.2"], { cure: "a g++ of 2018 or later" });
      cpSync(half, out);
    } catch (error) {
      return `not built, training uses TensorFlow's own kernels: ${error.message.split("\n")[0]}`;
    } finally {
      rmSync(half, { force: true });
    }
    writeFileSync(card, `${JSON.stringify({ cpu: cpu(), source: opsSource(), id: hash(...inputs).slice(0, 12) })}\n`);
    return `the fused step, for ${cpu().split(",")[0]}`;
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

try {
  console.log(`Setting up saelab in ${home}`);
  const python3 = check();
  // npm and pip wait for different things (many small files; few large ones): side by side they take little more than the slower one.
  const results = await Promise.allSettled([packed ? undefined : npm(), pip(python3).then(testPackages)]);
  for (const { reason } of results) if (reason) throw reason;
  await binding();
  await signal();
  if (!packed) await build();
  if (!packed) await lab();
  await ops();
  await kernel();
  const network = union(waits);
  console.log(`Ready in ${(clock() - began).toFixed(1)} s${network > 1 ? `, of which npm or pip waited for its registry during ${network.toFixed(1)} s` : ""}.`);
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(`\nSet-up stopped: ${error.message}`);
  process.exit(1);
}
