import { chooseDevice, foundDevices, hides, type Chosen, type Device, type DeviceFacts, type Missing, type Purpose } from "./device";
import type { DoctorPlan } from "./doctorplan";
import type { Speeds } from "./doctorspeeds";
import { count } from "./html";
import { shellWord } from "./shell";

/**
 * What a machine can do for saelab, what it cannot, why, and what would cure it: facts that probes gathered → a report.
 *
 *   Facts -diagnose-> DoctorReport -doctorText-> terminal, -doctorHtml-> card in a notebook
 */

/** ok: works. worse: works, and could do better. broken: does not work. absent: is not here, and nothing that is here needs it. */
export type Status = "ok" | "worse" | "broken" | "absent";

export interface Line {
  name: string;
  status: Status;
  /** What was found. */
  what: string;
  /** What is amiss. */
  why?: string;
  /** A command where there is one; else what to do. */
  cure?: string;
}

/** What saelab is for. */
export type Job = "notebooks" | "harvest" | "training";

/** Where a job runs; or, with `why`, that it does not. */
export type JobReport = { runs: true; on?: Chosen; step?: string } | { runs: false; why: string; cure?: string };

export interface DoctorReport {
  version: string;
  machine: { platform: string; wsl?: true; arch: string; processor: string; threads: number; memory: { total: number; free: number }; disk?: { folder: string; free: number } };
  lines: Line[];
  jobs: Record<Job, JobReport>;
  /** Absent where nothing was measured. */
  speeds?: Speeds;
  plan?: DoctorPlan;
  /** All three jobs run, and a plan that was asked for fits. */
  ok: boolean;
}

/** A kernelspec of saelab in a folder where Jupyter looks. */
export interface KernelFacts {
  folder: string;
  name: string;
  /** What it starts; whether both are there. */
  node: string;
  main: string;
  nodeThere: boolean;
  mainThere: boolean;
  /** It starts this package and not another copy. */
  own: boolean;
}

export interface Facts extends DeviceFacts {
  version: string;
  node: string;
  wsl: boolean;
  memory: { total: number; free: number };
  disk?: { folder: string; free: number };
  /** Set-up's virtual environment, or a Python that has Jupyter. */
  python: { there: true; path: string; version: string; packages: Record<string, string>; jupyterPath: string[] } | Missing;
  /** SAELAB_DEVICE=cpu: no card is taken where nobody names one. */
  asked?: "cpu";
  /** What set-up needs of the system and does not find: packages by Debian's names. */
  tools: string[];
  kernels: KernelFacts[];
  /** Finished work of set-up, as files that it does not make again while they are there; and whether it was told to do without TensorFlow. */
  stale: { binding?: string; ops?: string; python?: string; withoutTensorflow: boolean };
  /** Kinds of SAE that WebGPU has a step for. */
  webgpuKinds: string[];
  /** Of the JupyterLab extension: where it is, and whether it is this package's. */
  extension: { there: true; folder: string; current: boolean } | Missing;
  ops: { there: true; id: string; halves: string[] } | Missing;
}

const LEAST_NODE = [20, 19];
const SETUP = "npx saelab setup";
/** 0.4 GB, 23.9 GB, 212 GB, 8.2 TB. */
export const gigabytes = (bytes: number): string => (bytes >= 1e12 ? `${(bytes / 1e12).toFixed(1)} TB` : `${(bytes / 1e9).toFixed(bytes < 1e11 ? 1 : 0)} GB`);
const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`; // as NVIDIA counts

/** @param speeds, plan what was measured, and what was asked of a run */
export function diagnose(given: Facts, speeds?: Speeds, plan?: DoctorPlan): DoctorReport {
  const facts = withCures(given);
  const harvest = computed("harvest", facts), training = computed("training", facts);
  const lines = [
    node(facts), python(facts), jupyter(facts), kernel(facts), extension(facts), tensorflow(facts), binding(facts), ops(facts),
    ...nvidia(facts), webgpu(facts, [harvest, training]), onnx(facts),
  ];
  const { version, platform, wsl, arch, processor, threads, memory, disk } = facts;
  const jobs = { notebooks: notebooks(lines), harvest, training };
  return {
    version, machine: { platform, ...(wsl ? { wsl } : {}), arch, processor, threads, memory, ...(disk ? { disk } : {}) }, lines, jobs,
    ...(speeds ? { speeds } : {}), ...(plan ? { plan } : {}),
    ok: Object.values(jobs).every(({ runs }) => runs) && (plan?.fits ?? true),
  };
}

const line = (name: string, status: Status, what: string, why?: string, cure?: string): Line =>
  ({ name, status, what, ...(why ? { why } : {}), ...(cure ? { cure } : {}) });

/** Linux on x86-64: where TensorFlow's binding and the fused ops are built. */
const isBuiltHere = ({ platform, arch }: DeviceFacts): boolean => platform === "linux" && arch === "x64";

/** What is to be done where TensorFlow or the fused ops do not load: set-up, once that is gone which it would take for finished. */
function withCures(facts: Facts): Facts {
  const { engine, ops, stale, wheel } = facts;
  const again = (file?: string): string => `${file ? `rm ${shellWord(file)} && ` : ""}${setUp(facts)}`;
  const amiss = !engine.there || engine.why !== undefined;
  const ours = amiss && isBuiltHere(facts) && !/^unset /.test(engine.cure ?? "");
  const cure = stale.withoutTensorflow ? `${SETUP} --auto` : wheel ? again(stale.binding) : again(stale.python);
  return {
    ...facts, ...(ours ? { engine: { ...engine, cure } } : {}),
    ...(ops.there ? {} : { ops: { ...ops, cure: again(/does not load/.test(ops.why) ? stale.ops : undefined) } }),
  };
}

/** Set-up, with what it needs first. */
const setUp = ({ tools, platform }: Facts): string =>
  (platform === "linux" && tools.length ? `sudo apt-get install ${tools.join(" ")} && ${SETUP}` : tools.includes("python3") ? `brew install python@3.12 && ${SETUP}` : SETUP);

function node({ node: version }: Facts): Line {
  const [major, minor] = version.split(".").map(Number);
  const old = major < LEAST_NODE[0] || (major === LEAST_NODE[0] && minor < LEAST_NODE[1]);
  return old ? line("Node", "broken", version, "20.19 or newer is needed", "install Node 22: nvm install 22, or https://nodejs.org") : line("Node", "ok", version);
}

function python(facts: Facts): Line {
  const { python: found } = facts;
  return found.there ? line("Python", "ok", `${found.version}, ${found.path}`) : line("Python", "broken", "none with Jupyter", found.why, found.cure ?? setUp(facts));
}

const JUPYTERS = { jupyterlab: "JupyterLab", notebook: "Notebook", nbconvert: "nbconvert", jupyter_client: "jupyter_client" };

function jupyter(facts: Facts): Line {
  const { python: found } = facts;
  if (!found.there) return line("Jupyter", "broken", "not found", undefined, found.cure ?? setUp(facts));
  const { packages, path } = found;
  const has = Object.entries(JUPYTERS).filter(([name]) => packages[name]).map(([name, called]) => `${called} ${packages[name]}`);
  const reads = packages.jupyterlab ?? packages.notebook;
  if (reads && packages.jupyter_client) return line("Jupyter", "ok", has.slice(0, -1).join(", "));
  return line("Jupyter", "broken", has.join(", ") || "not installed", `${path} has no ${packages.jupyter_client ? "JupyterLab" : "Jupyter"}`, `${shellWord(path)} -m pip install jupyterlab`);
}

function kernel(facts: Facts): Line {
  const { kernels, version } = facts;
  const whole = kernels.filter(({ nodeThere, mainThere }) => nodeThere && mainThere);
  const [first] = [...whole.filter(({ own }) => own), ...whole];
  if (first?.own) return line("kernel", "ok", first.folder);
  if (first) return line("kernel", "worse", first.folder, `it starts another copy of saelab (${first.main}), not this one, ${version}`, "npx saelab install");
  const [broken] = kernels;
  if (broken) return line("kernel", "broken", broken.folder, `it starts ${broken.nodeThere ? broken.main : broken.node}, which is not there`, "npx saelab install");
  return line("kernel", "broken", "not registered with Jupyter", undefined, facts.python.there ? "npx saelab install" : setUp(facts));
}

function extension(facts: Facts): Line {
  const { extension: found } = facts, name = "extension";
  if (!found.there) return line(name, "worse", "none in JupyterLab", `${found.why}; outputs are shown as plain HTML`, facts.python.there ? found.cure : setUp(facts));
  return found.current ? line(name, "ok", found.folder) : line(name, "worse", found.folder, "it is of another version of saelab", "npx saelab install");
}

function tensorflow(facts: Facts): Line {
  const { wheel } = facts, name = "TensorFlow";
  if (wheel) return line(name, "ok", `${wheel.version}, ${wheel.cuda === undefined ? "for the CPU" : `for CUDA ${wheel.cuda}`}`);
  if (!isBuiltHere(facts)) return line(name, "absent", `not used on ${facts.platform} ${facts.arch}: TF.js computes instead`);
  const { engine } = facts;
  return line(name, engine.there ? "absent" : "broken", "not installed", undefined, engine.there ? undefined : engine.cure);
}

function binding(facts: Facts): Line {
  const { engine } = facts, name = "binding";
  if (!engine.there) return line(name, "broken", "does not load", engine.why, engine.cure ?? setUp(facts));
  if (engine.device === "cpu" || engine.device === "cuda") return line(name, "ok", `TF.js on TensorFlow ${engine.version}, on the ${engine.device === "cuda" ? "card" : "CPU"}`);
  const instead = `${engine.device === "wasm" ? "WebAssembly" : "JavaScript"} in its place`;
  return isBuiltHere(facts) ? line(name, "worse", instead, `${engine.why ?? "TensorFlow's does not load"}; products take some ${engine.device === "wasm" ? 4 : 33} times as long`, engine.cure ?? setUp(facts)) : line(name, "absent", instead);
}

function ops(facts: Facts): Line {
  const { ops: found, engine } = facts, name = "fused ops";
  if (found.there) return line(name, "ok", `built for this CPU${found.halves.length ? `, half precision by ${found.halves.join(", ")}` : ""}`);
  // What is made for TensorFlow on a processor is not missed where there is none.
  if (!engine.there || engine.device !== "cpu") return line(name, "absent", engine.there && engine.device === "cuda" ? "not for a card" : "not without TensorFlow");
  return line(name, "worse", "none: training takes TensorFlow's own kernels, several times slower", found.why, found.cure ?? setUp(facts));
}

function nvidia({ nvidia: found, judged, hidden, meant }: Facts): Line[] {
  const name = "NVIDIA GPU";
  if (!found.there) return [line(name, found.cure ? "worse" : "absent", found.cure ? "not usable" : "none", found.why, found.cure)];
  const driver = `driver ${found.driver}${found.cuda ? `, up to CUDA ${found.cuda}` : ""}`;
  const problems = [judged.tensorflow, judged.onnx].filter(({ ok }) => !ok);
  const several = found.cards.length > 1;
  return found.cards.map((card, i) => {
    const memory = card.memory === undefined ? "" : `, ${gibibytes(card.memory)}${card.free === undefined ? "" : ` (${gibibytes(card.free)} free)`}`;
    const what = `${card.name}${memory}${i ? "" : `, ${driver}`}`;
    const called = several ? `${name} ${card.index}` : name;
    const usable = judged.tensorflow.cards.includes(card.index) || judged.onnx.cards.includes(card.index);
    if (hidden) return line(called, "worse", what, hides(hidden).why, hides(hidden).cure);
    const passedBy = card.processes.length > 0 && meant !== undefined && meant !== card.index;
    const used = card.processes.length ? `in use by ${card.processes.map(user).join(", ")}${passedBy ? `; card ${meant} is taken` : ""}` : undefined;
    if (!usable || (i === 0 && problems.length)) {
      const whys = [...new Set((problems.length ? problems : [judged.tensorflow]).flatMap(({ why, note }) => why ?? note ?? []))];
      return line(called, "worse", what, [...whys, ...(used ? [used] : [])].join("; "), problems.find(({ cure }) => cure)?.cure);
    }
    if (passedBy) return line(called, "absent", what, used);
    if (used) return line(called, "worse", what, used, `wait for it, or end it: kill ${card.processes.map(({ pid }) => pid).join(" ")}`);
    return line(called, "ok", what);
  });
}

type Card = (DeviceFacts["nvidia"] & { there: true })["cards"][number];

const user = ({ pid, name, memory }: Card["processes"][number]): string => `process ${pid} (${[name.split("/").at(-1), memory === undefined ? "" : gibibytes(memory)].filter(Boolean).join(", ")})`;

/** @param jobs where they run: what CUDA does needs no WebGPU */
function webgpu({ webgpu: found }: Facts, jobs: JobReport[]): Line {
  const name = "WebGPU";
  if (found.there && !found.software) return line(name, "ok", found.name);
  if (found.there) return line(name, "absent", `${found.name}, which is no card: taken only where device: "webgpu" asks for it`);
  const needed = found.cure !== undefined && !jobs.every((job) => job.runs && job.on?.device === "cuda");
  return needed ? line(name, "worse", "no adapter", found.why, found.cure) : line(name, "absent", `no adapter: ${found.why}`);
}

function onnx(facts: Facts): Line {
  const { onnx: found } = facts, name = "ONNX Runtime";
  if (!found.there) return line(name, "broken", "does not load", found.why, found.cure ?? setUp(facts));
  const providers = ["CPU", ...(found.webgpu.there ? ["WebGPU"] : []), ...(found.cuda.there ? ["CUDA"] : [])];
  return line(name, "ok", `${found.version}, ${providers.length > 1 ? "providers" : "provider"} ${providers.join(", ")}`);
}

/** The kernel needs Jupyter, itself registered, and Node; not the extension. */
function notebooks(lines: Line[]): JobReport {
  const broken = lines.find(({ name, status }) => status === "broken" && ["Node", "Python", "Jupyter", "kernel"].includes(name));
  return broken ? { runs: false, why: `${broken.name}: ${broken.what}`, ...(broken.cure ? { cure: broken.cure } : {}) } : { runs: true };
}

function computed(purpose: Purpose, facts: Facts): JobReport {
  try {
    const on = chooseDevice(purpose, foundDevices(purpose, facts), askedOf(purpose, facts));
    on.instead = on.instead.map((one) => (/ was asked for$/.test(one.why) ? { ...one, why: "SAELAB_DEVICE=cpu asks for none", cure: "unset SAELAB_DEVICE" } : one));
    if (purpose === "harvest") return { runs: true, on };
    const { device } = on;
    if (device === "webgpu") on.note = `kinds ${facts.webgpuKinds.join(", ")}; others ${facts.engine.there ? `on ${DEVICE_WORDS[facts.engine.device === "js" ? "wasm" : facts.engine.device]}` : "not at all"}`;
    return { runs: true, on, step: device === "webgpu" ? "webgpu" : device === "cpu" && facts.ops.there ? "fused" : "stock" };
  } catch {
    const found: Missing | { there: true } = purpose === "harvest" ? facts.onnx : facts.engine;
    return found.there ? { runs: false, why: "there is nothing that computes it" } : { runs: false, why: found.why, cure: found.cure ?? setUp(facts) };
  }
}

/** As a training and openModel read SAELAB_DEVICE where no device is named. */
function askedOf(purpose: Purpose, { asked, engine }: Facts): "auto" | Device {
  if (!asked || purpose === "harvest") return asked ?? "auto";
  return !engine.there || engine.device === "cpu" ? "cpu" : engine.device === "cuda" ? "auto" : "wasm";
}

/** How one calls a device in a sentence: "on the CPU". */
export const DEVICE_WORDS: Record<Device, string> = { cuda: "CUDA", webgpu: "WebGPU", cpu: "the CPU", wasm: "WebAssembly" };

/** 52,310 tokens/s; of fewer than a hundred with three digits. */
export const rateWords = (rate: number): string => `${rate >= 100 ? count(Math.round(Number(rate.toPrecision(3)))) : rate.toPrecision(3)} tokens/s`;

/** FLOP/s as GFLOP/s or TFLOP/s. */
export const flopWords = (rate: number): string => (rate >= 1e12 ? `${(rate / 1e12).toPrecision(3)} TFLOP/s` : `${count(Math.round(rate / 1e9))} GFLOP/s`);
