import path from "node:path";
import type { Missing } from "../core/device";
import type { Facts, KernelFacts } from "../core/doctor";
import { shellWord } from "../core/shell";
import { cardFacts, onnxFacts, webgpuFacts, wheelFacts } from "./devices";
import type { Machine } from "./doctormachine";
import type { Probes } from "./doctorprobe";
import { pythonOf } from "./package";
import { WEBGPU_KINDS } from "./webgpustep";

/** What there is on a machine, gathered without judging it; nothing is changed, nothing downloaded. */
export async function gatherFacts(machine: Machine): Promise<Facts> {
  // Children first: they work while commands are waited for.
  const probes = Promise.all([machine.probe("engine", {}), machine.probe("onnx", {}), machine.probe("webgpu", {})]);
  const { version, platform, arch, processor, threads, node, files, venv } = machine;
  const python = findPython(machine);
  const looked = python.there ? python.jupyterPath : [];
  const own = {
    version, platform, arch, processor, threads, node, memory: machine.memory(), ...diskFacts(machine),
    wsl: /microsoft/i.test(files.read("/proc/version") ?? ""),
    python, tools: missingTools(machine), webgpuKinds: WEBGPU_KINDS, ...(machine.env.SAELAB_DEVICE === "cpu" ? { asked: "cpu" as const } : {}),
    kernels: looked.flatMap((folder) => kernelsIn(folder, machine)), extension: extensionIn(looked, machine),
    ...cardFacts(machine), wheel: wheelFacts(venv, files, machine.root), stale: staleFacts(machine),
  };
  const [engine, onnx, webgpu] = await probes;
  return {
    ...own,
    engine: engine.there ? engine.engine : engine,
    ops: engine.there ? engine.ops : { there: false, why: "TensorFlow's binding does not load" },
    webgpu: webgpuFacts(webgpu.there ? webgpu.found : webgpu, machine, own.nvidia),
    onnx: onnxProbed(onnxFacts(machine, machine.root), onnx),
  };
}

/** The runtime as its files have it, once it is known to load; and the providers that it says it has. */
function onnxProbed(files: Facts["onnx"], probed: Probes["onnx"]["gives"] | Missing): Facts["onnx"] {
  if (!files.there) return files;
  if (!probed.there) return probed;
  return { ...files, ...(probed.cuda ? { cuda: probed.cuda } : {}), webgpu: probed.providers.includes("webgpu") ? { there: true } : { there: false, why: "this build of ONNX Runtime has no WebGPU" } };
}

/** Files of set-up that it takes for finished work, though they may be what does not load. */
function staleFacts({ root, venv, env, files }: Machine): Facts["stale"] {
  const modules = [root, path.dirname(path.dirname(root))].map((folder) => path.join(folder, "node_modules"));
  const binding = modules.map((folder) => path.join(folder, "@tensorflow", "tfjs-node-gpu", "lib", "napi-v8", "tfjs_binding.node")).find(files.exists);
  const ops = path.join(root, "kernel-ext", "ops.node"), stamp = venv && path.join(venv, ".saelab-python");
  return {
    ...(binding ? { binding } : {}), ...(files.exists(ops) ? { ops } : {}), ...(stamp && files.exists(stamp) && !env.SAELAB_VENV ? { python: stamp } : {}),
    withoutTensorflow: venv !== undefined && files.read(path.join(venv, ".saelab-device"))?.trim() === "none",
  };
}

function diskFacts({ freeDisk, cwd }: Machine): Pick<Facts, "disk"> {
  const free = freeDisk(cwd);
  return free === undefined ? {} : { disk: { folder: cwd, free } };
}

/** What set-up needs that is not there, by the names of Debian's packages. */
function missingTools({ run }: Machine): string[] {
  const has = (command: string): boolean => run(command, ["--version"]).status === 0;
  return [...["g++", "make"].filter((command) => !has(command)), ...(has("python3") ? [] : ["python3", "python3-venv"])];
}

/** Asked in one go: versions of packages and where Jupyter looks. */
const QUESTION = `
import json, sys
from importlib import metadata
def version(name):
    try: return metadata.version(name)
    except Exception: return None
try:
    from jupyter_core.paths import jupyter_path
    path = jupyter_path()
except Exception:
    path = []
names = ["jupyterlab", "notebook", "nbconvert", "jupyter_client"]
print(json.dumps({"version": sys.version.split()[0], "path": path, "packages": {name: version(name) for name in names}}))
`;

/** Set-up's virtual environment; without one, a python3 that has Jupyter. */
function findPython(machine: Machine): Facts["python"] {
  const { venv, run, env } = machine;
  const inVenv = venv && pythonOf(venv);
  for (const command of inVenv ? [inVenv] : ["python3"]) {
    const { status, stdout, stderr } = run(command, ["-c", QUESTION]);
    const answer = status === 0 ? (JSON.parse(stdout.trim().split("\n").at(-1)!) as { version: string; path: string[]; packages: Record<string, string | null> }) : undefined;
    if (inVenv && !answer) {
      return { there: false, why: `${inVenv} does not start${stderr.trim() ? `: ${stderr.trim().split("\n").at(-1)}` : ""}`, cure: env.SAELAB_VENV ? "unset SAELAB_VENV" : `rm -r ${shellWord(venv)} && npx saelab setup` };
    }
    if (!answer) continue;
    const packages = Object.fromEntries(Object.entries(answer.packages).filter((entry): entry is [string, string] => entry[1] !== null));
    if (!inVenv && !packages.jupyter_client) return { there: false, why: `no virtual environment (.venv) was set up, and ${command} ${answer.version} has no Jupyter` };
    return { there: true, path: command, version: answer.version, packages, jupyterPath: answer.path };
  }
  return { there: false, why: "there is no python3" };
}

const MAIN = path.join("build", "kernel-ext", "kernel", "main.js");

/** Kernelspecs of saelab, whatever their name, in a folder of Jupyter's data. */
function kernelsIn(data: string, { files, root }: Machine): KernelFacts[] {
  const kernels = path.join(data, "kernels");
  return files.list(kernels).flatMap((name): KernelFacts[] => {
    const folder = path.join(kernels, name);
    let argv: unknown;
    try {
      ({ argv } = JSON.parse(files.read(path.join(folder, "kernel.json")) ?? "null") as { argv?: unknown });
    } catch {
      return []; // not ours, or nobody's
    }
    const words = Array.isArray(argv) ? argv.filter((word): word is string => typeof word === "string") : [];
    const main = words.find((word) => word.endsWith(path.sep + MAIN));
    if (!main) return [];
    return [{ folder, name, node: words[0], main, nodeThere: files.exists(words[0]), mainThere: files.exists(main), own: main === path.join(root, MAIN) }];
  });
}

/** The first that Jupyter would find, held against the one that this package has built. */
function extensionIn(looked: string[], { files, root, version }: Machine): Facts["extension"] {
  const manifest = (folder: string) => {
    try {
      return JSON.parse(files.read(path.join(folder, "package.json")) ?? "null") as { version?: string; jupyterlab?: { _build?: { load?: string } } } | null;
    } catch {
      return null;
    }
  };
  const built = manifest(path.join(root, "kernel-ext", "lab", "labextension"));
  for (const data of looked) {
    const folder = path.join(data, "labextensions", "saelab"), found = manifest(folder);
    if (found) return { there: true, folder, current: built ? found.jupyterlab?._build?.load === built.jupyterlab?._build?.load : found.version === version };
  }
  return built ? { there: false, why: "it is not installed", cure: "npx saelab install" } : { there: false, why: "it was not built", cure: "npx saelab setup" };
}
