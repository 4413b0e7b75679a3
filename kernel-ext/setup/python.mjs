import { existsSync, lstatSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";
import { clock, packed, python, root, run, say, step, stop, union, venv, waits } from "./step.mjs";

/** The Python environment: Jupyter, the TensorFlow that plan.cjs has chosen, ONNX Runtime's CUDA provider, and what the tests ask for. */

const ONNX_CUDA = path.join(venv, "onnx-cuda");

/** What the environment has of TensorFlow, and whether ONNX Runtime's CUDA provider. */
export function installed() {
  const folders = (at) => (existsSync(at) ? readdirSync(at).map((name) => path.join(at, name)) : []);
  const packages = folders(path.join(venv, "lib")).flatMap((python) => folders(path.join(python, "site-packages"))).map((folder) => path.basename(folder));
  const has = (name) => packages.some((found) => found.startsWith(`${name}-`) && found.endsWith(".dist-info"));
  return { tensorflow: has("tensorflow_cpu") ? "cpu" : has("tensorflow") ? "cuda" : undefined, onnx: existsSync(path.join(ONNX_CUDA, "onnxruntime")) };
}

const REQUIREMENTS = path.join(root, "kernel-ext", "requirements.txt");
const TEST_REQUIREMENTS = path.join(root, "test", "requirements.txt");
const PAPERMILL = path.join(root, "kernel-ext", "papermill"); // lets papermill set parameters, where somebody installs papermill

/** The lines of a requirements file that name packages. */
const wanted = (file) => readFileSync(file, "utf8").split("\n").filter((line) => /^\w/.test(line));
const isEngine = (line) => line.startsWith("tensorflow");
const CUDA_REQUIREMENTS = path.join(root, "kernel-ext", "requirements-cuda.txt");
const ONNX_REQUIREMENTS = path.join(root, "kernel-ext", "requirements-onnx-cuda.txt");
/** TensorFlow's packages, and for CUDA the libraries it loads. Of it only libtensorflow is used, never its Python side: it comes without its dependencies. */
const engine = (build) => (build === "cpu" ? wanted(REQUIREMENTS).filter(isEngine) : build === "cuda" ? wanted(CUDA_REQUIREMENTS) : []);

const pipCommand = (verb, ...words) => [python, "-m", "pip", verb, "--disable-pip-version-check", ...words];
const pipInstallCommand = (packages) => pipCommand("install", "--no-compile", ...packages);

/** Runs commands of pip. Says how long the registry was waited for. */
async function runPip(commands, cure = "check the network, or point pip at a mirror (pip config set global.index-url …), then run the command again") {
  const downloads = [];
  for (const [command, ...words] of commands) {
    // pip resolves and downloads, then says "Installing collected packages": what comes before is the network's.
    const from = clock();
    await run(command, words, { onLine: (line) => { if (/^Installing collected packages/.test(line)) downloads.push([from, clock()]); }, cure });
  }
  waits.push(...downloads);
  return union(downloads);
}

/**
 * What makes the environment, in order. Of another TensorFlow all goes first, since both builds have the same files. CUDA's wheels are some GB: they are
 * not kept a second time in pip's cache.
 */
export function pythonCommands({ python3, plan, before }) {
  const gone = before.tensorflow && before.tensorflow !== plan.tensorflow ? engine(before.tensorflow).map((line) => line.split("==")[0]) : [];
  return [
    [python3.command, "-m", "venv", venv],
    ...(gone.length ? [pipCommand("uninstall", "--yes", ...gone)] : []),
    pipInstallCommand([...wanted(REQUIREMENTS).filter((line) => !isEngine(line)), PAPERMILL]),
    ...(plan.tensorflow === "none" ? [] : [pipInstallCommand(["--no-deps", ...(plan.tensorflow === "cuda" ? ["--no-cache-dir"] : []), ...engine(plan.tensorflow)])]),
  ];
}

export async function pip(machine) {
  if (process.env.SAELAB_VENV) return say("python", `${venv} (SAELAB_VENV), left as it is`);
  const inputs = [readFileSync(REQUIREMENTS), ...engine(machine.plan.tensorflow), ...["pyproject.toml", "saelab_papermill.py"].map((file) => readFileSync(path.join(PAPERMILL, file))), venv];
  await step("python", path.join(venv, ".saelab-python"), inputs, () => existsSync(python), async () => {
    const [[python3, ...words], ...commands] = pythonCommands(machine);
    await run(python3, words, { cure: `${process.platform === "darwin" ? "" : "sudo apt-get install python3-venv, or "}remove ${venv} and try again` });
    return `${path.relative(process.cwd(), venv) || venv}, of which network ${(await runPip(commands)).toFixed(1)} s`;
  });
}

const PROVIDERS = ["libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"];
export const onnxCommand = (target = ONNX_CUDA) => pipInstallCommand(["--no-deps", "--no-cache-dir", "--target", target, ...wanted(ONNX_REQUIREMENTS)]);

/**
 * ONNX Runtime looks for a provider beside its own library: links go there. The files stay in the environment, in a folder of their own, since cuDNN for
 * CUDA 12, which TensorFlow has, and for CUDA 13 have the same names.
 */
export async function onnx({ plan }) {
  const runtime = createRequire(path.join(root, "package.json")).resolve("onnxruntime-node/package.json");
  const beside = path.join(path.dirname(runtime), "bin", "napi-v6", process.platform, process.arch);
  const links = PROVIDERS.map((name) => path.join(beside, name));
  const linked = (file) => lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  const shared = process.env.SAELAB_VENV !== undefined;
  if (plan.onnx === "cpu") {
    const gone = [...links.filter(linked), ...(shared || !existsSync(ONNX_CUDA) ? [] : [ONNX_CUDA])];
    for (const file of gone) rmSync(file, { recursive: true });
    return gone.length ? say("onnx", "ONNX Runtime's CUDA provider was taken away") : undefined;
  }
  if (!shared) {
    await step("onnx", path.join(ONNX_CUDA, ".stamp"), [readFileSync(ONNX_REQUIREMENTS), venv], () => true, async () => {
      const half = `${ONNX_CUDA}.tmp`;
      for (const folder of [half, ONNX_CUDA]) rmSync(folder, { recursive: true, force: true });
      const waited = await runPip([onnxCommand(half)], "check the network, then run the command again; --cpu does without");
      renameSync(half, ONNX_CUDA);
      return `ONNX Runtime's CUDA provider, of which network ${waited.toFixed(1)} s`;
    });
  }
  for (const [number, file] of links.entries()) {
    rmSync(file, { force: true });
    symlinkSync(path.join(ONNX_CUDA, "onnxruntime", "capi", PROVIDERS[number]), file);
  }
}

/** With --test: what only the tests ask of Python, beside what the kernel needs and at the same versions of that. */
export async function testPackages({ options }) {
  if (!options.testing) return;
  if (packed) stop("--test: expected a clone, found an installed package, which has no tests.", "clone the repository, and run npm test there");
  if (process.env.SAELAB_VENV) return say("tests", `${venv} (SAELAB_VENV), left as it is`);
  const inputs = [readFileSync(TEST_REQUIREMENTS), readFileSync(REQUIREMENTS), venv];
  await step("tests", path.join(venv, ".saelab-tests"), inputs, () => existsSync(python), async () => {
    const waited = await runPip([pipInstallCommand([...wanted(TEST_REQUIREMENTS), ...wanted(REQUIREMENTS).filter((line) => !isEngine(line))])]);
    return `${wanted(TEST_REQUIREMENTS).length} Python packages of the tests, of which network ${waited.toFixed(1)} s`;
  });
}
