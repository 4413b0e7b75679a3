import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { hash, root, run, step, stop, venv, version } from "./step.mjs";

/** What is compiled here: the binding to TensorFlow, the fused training step, the kernel's signal handler; and whether the card computes. */

const tfjs = () => path.dirname(createRequire(path.join(root, "package.json")).resolve("@tensorflow/tfjs-node-gpu/package.json"));

/** Folder of the TensorFlow package in the virtual environment. */
function tensorflow() {
  const lib = path.join(venv, "lib");
  const found = readdirSync(lib).map((name) => path.join(lib, name, "site-packages", "tensorflow")).find((folder) => existsSync(path.join(folder, "libtensorflow_cc.so.2")));
  return found ?? stop(`libtensorflow_cc.so.2: expected in ${lib}/*/site-packages/tensorflow, not found.`, `remove ${venv} and run the command again`);
}

/**
 * TensorFlow's library looks for CUDA's in the folders of NVIDIA's packages (its RUNPATH), but not in cuSOLVER's; without that one it leaves the card
 * unused. A link in a folder where it does look makes LD_LIBRARY_PATH unnecessary.
 */
function linkSolver(wheel) {
  const [name, nvidia] = ["libcusolver.so.11", path.join(wheel, "..", "nvidia")];
  const link = path.join(nvidia, "cublas", "lib", name);
  if (existsSync(path.join(nvidia, "cusolver", "lib", name)) && existsSync(path.dirname(link)) && !existsSync(link)) {
    rmSync(link, { force: true });
    symlinkSync(path.join("..", "..", "cusolver", "lib", name), link);
  }
}

/** Takes away what was compiled against a TensorFlow that is gone. */
export function withoutTensorflow() {
  const files = [path.join(tfjs(), "lib", "napi-v8", "tfjs_binding.node"), path.join(root, "kernel-ext", "ops.node")];
  for (const file of files) for (const end of [".stamp", ".json", ""]) rmSync(`${file}${end}`, { force: true });
}

export async function binding() {
  const package_ = tfjs();
  const wheel = tensorflow();
  linkSolver(wheel);
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
    const { found, said } = probe("tensorflow", { CUDA_VISIBLE_DEVICES: "" }); // whether it loads; the card's turn comes last
    if (!found) {
      rmSync(out);
      stop(`The TensorFlow binding was compiled but does not load:\n${said}`, `remove ${venv} and run the command again; if it stays, report it with this text`);
    }
    return `TF.js on TensorFlow ${found.version}`;
  });
}

/** Runs probe.cjs in a process of its own: what it found, and what was said on the way. */
function probe(what, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [path.join(root, "kernel-ext", "setup", "probe.cjs"), what],
    { cwd: root, encoding: "utf8", timeout: 30 * 60_000, env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: "0", TF_FORCE_GPU_ALLOW_GROWTH: "true", CUDA_CACHE_MAXSIZE: String(2 ** 32), ...env } });
  const said = stderr.split("\n").slice(-12).join("\n").trim();
  return { found: status === 0 ? JSON.parse(stdout.trim().split("\n").at(-1)) : undefined, said: said || (error?.message ?? `ended with ${status}`), lines: stderr.split("\n") };
}

/** Whether the card really computes: what no look at version numbers tells. Nothing here ends the set-up, for everything works without it, slower. */
export async function cuda({ plan, found, judged }) {
  if (plan.tensorflow !== "cuda" || !judged.tensorflow.ok) return;
  const inputs = [found.driver, ...found.cards.map((card) => card.uuid ?? card.name), readFileSync(path.join(tfjs(), "lib", "napi-v8", "tfjs_binding.node.stamp")), plan.onnx];
  await step("cuda", path.join(venv, ".saelab-cuda"), inputs, () => true, async () => {
    const results = [["TensorFlow", probe("tensorflow")], ...(plan.onnx === "cuda" ? [["ONNX Runtime", probe("onnx")]] : [])];
    const failed = results.filter(([, { found: it }]) => !it?.cuda);
    if (!failed.length) return `${results.map(([name]) => name).join(" and ")} computed on ${found.cards.map((card) => card.name).join(", ")}`;
    return { failed: failed.map(([name, { found: it, said, lines }]) => `${name} does not compute on the card: ${it?.why ??
      lines.findLast((line) => /dlopen|cuInit|Could not load|Skipping/i.test(line))?.replace(/^.*?\] /, "") ?? said}`).join("; ") + ". npx saelab doctor says more." };
  });
}

/** The kernel's handler of SIGINT; beside the compiled kernel, not in build/, which is made anew. */
export async function signal({ plan }) {
  const source = path.join(root, "kernel-ext", "signal.cc");
  const out = path.join(root, "kernel-ext", "signal.node");
  const headers = createRequire(path.join(root, "package.json"))("node-api-headers").include_dir;
  await step("signal", `${out}.stamp`, [readFileSync(source), version("g++")], () => existsSync(out), async () => {
    const half = `${out}.tmp`;
    const names = process.platform === "darwin" ? ["-undefined", "dynamic_lookup"] : []; // Node-API's are found when it is loaded
    try {
      await run("g++", ["-O2", "-std=c++17", "-shared", "-fPIC", "-DNAPI_VERSION=8", ...names, `-I${headers}`, source, "-o", half],
        { cure: process.platform === "darwin" ? "xcode-select --install" : "sudo apt-get install g++ make (a g++ of 2018 or later)" });
    } catch (error) {
      if (plan.tensorflow !== "none") throw error;
      return { failed: `not built, SIGINT waits for a pause (the interrupt button does not): ${error.message.split("\n")[0]}` };
    }
    cpSync(half, out);
    rmSync(half);
    return "SIGINT reaches loops that never pause";
  });
}

// Sums may be reordered and divisions replaced, NaN and infinity stay what they are; not -ffast-math, which would flush denormals in the whole process.
const OPS_FLAGS = ["-O3", "-std=c++17", "-march=native", "-mprefer-vector-width=512", "-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math",
  "-fno-math-errno", "-freciprocal-math"];

/** The fused step as TensorFlow ops. Training does without them when they cannot be had, so nothing here ends the set-up. */
export async function ops() {
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
