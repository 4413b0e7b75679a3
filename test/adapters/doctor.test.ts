import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { inspect, promisify } from "node:util";
import { doctor, examine } from "../../src/adapters/doctor";
import { thisMachine } from "../../src/adapters/doctormachine";
import { hasGraphics, wheelFacts } from "../../src/adapters/devices";
import { packageRoot } from "../../src/adapters/package";
import { DISPLAY } from "../../src/adapters/show";
import { tensorflow } from "../../src/adapters/tensorflow";
import type { DoctorReport, Line } from "../../src/core/doctor";
import { doctorText } from "../../src/core/doctortext";
import { OptionError } from "../../src/core/errors";
import { columns } from "../../src/core/html";
import { freshFolders } from "./folders";
import { BINDING, inSlot, machine, MACHINES, ROOT, RTX_4090, smi, solverLink } from "./machines";

const PYTHON = `${ROOT}/.venv/bin/python`;

const look = (name: string): Promise<DoctorReport> => examine(machine(MACHINES[name]), { quick: true });
const lineOf = ({ lines }: DoctorReport, name: string): Line => {
  const found = lines.find((line) => line.name === name);
  assert.ok(found, `a line ${name}`);
  return found;
};
/** "cuda fused: NVIDIA …", or why not. */
const jobs = ({ jobs: all }: DoctorReport): Record<string, string> => Object.fromEntries(Object.entries(all).map(([job, report]) => [
  job, !report.runs ? `no: ${report.why}` : report.on ? [report.on.device, report.step].filter(Boolean).join(" ") : "yes",
]));
const passed = (report: DoctorReport, job: "training" | "harvest"): string[] => {
  const found = report.jobs[job];
  return found.runs ? found.on!.instead.map(({ device, why, cure }) => `${device}: ${why}${cure ? ` → ${cure}` : ""}`) : [];
};

test("no GPU: the CPU does everything, and nothing is to be cured", async () => {
  const report = await look("no GPU");
  assert.ok(report.ok);
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cpu", training: "cpu fused" });
  assert.deepEqual(passed(report, "training"), ["cuda: no NVIDIA driver", "webgpu: there is no graphics card"]);
  assert.deepEqual(report.lines.filter(({ status }) => status === "worse" || status === "broken"), []);
  assert.ok(report.lines.every(({ cure }) => cure === undefined));
  assert.equal(lineOf(report, "Jupyter").what, "JupyterLab 4.6.6, Notebook 7.6.5, nbconvert 7.17.2");
});

test("RTX 4090: CUDA trains and harvests; no Vulkan is missed", async () => {
  const report = await look("RTX 4090");
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cuda", training: "cuda stock" });
  assert.deepEqual(jobs(await look("WSL2")), jobs(report));
  assert.match(doctorText(await look("WSL2"), false), /linux x64 \(WSL\)[^]*by the stock step\n[^]*the driver compiles kernels/);
  assert.equal(lineOf(report, "NVIDIA GPU").what, "NVIDIA GeForce RTX 4090, 24.0 GiB (23.3 GiB free), driver 580.95.05, up to CUDA 13.0");
  assert.equal(lineOf(report, "TensorFlow").what, "2.21.0, for CUDA 12.5.1");
  assert.equal(lineOf(report, "fused ops").status, "absent"); // made for the CPU, and not missed
  assert.deepEqual(report.lines.filter(({ status }) => status === "worse" || status === "broken"), []);
});

test("old driver: each engine says which it needs, and how one gets it; the CPU is taken, and says why", async () => {
  const report = await look("old driver");
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cpu", training: "cpu fused" });
  const line = lineOf(report, "NVIDIA GPU");
  assert.equal(line.status, "worse");
  assert.match(line.why!, /470\.256\.02 is too old for TensorFlow \(CUDA 12\.5\): 525\.60\.13 or newer is needed; .*580\.65\.06 or newer/);
  assert.match(line.cure!, /sudo ubuntu-drivers install/);
  assert.match(passed(report, "training")[0], /^cuda: driver 470.*525\.60\.13/);
  assert.match(passed(report, "harvest")[0], /^cuda: driver 470.*580\.65\.06/);
});

test("two GPUs: that with the most free memory is meant; who uses the other one is said", async () => {
  const report = await look("two GPUs");
  assert.equal(lineOf(report, "NVIDIA GPU 0").status, "absent");
  assert.equal(lineOf(report, "NVIDIA GPU 0").why, "in use by process 4242 (python3, 21.5 GiB); card 1 is taken");
  assert.equal(lineOf(report, "NVIDIA GPU 1").status, "ok");
  assert.ok(report.jobs.training.runs && report.jobs.training.on!.name.endsWith("card 1"));
});

test("a GPU that another process uses: which one, how much, what ends it", async () => {
  const report = await look("GPU in use");
  assert.deepEqual(lineOf(report, "NVIDIA GPU"), {
    name: "NVIDIA GPU", status: "worse", what: "NVIDIA GeForce RTX 4090, 24.0 GiB (2.1 GiB free), driver 580.95.05, up to CUDA 13.0",
    why: "in use by process 4242 (python3, 21.5 GiB)", cure: "wait for it, or end it: kill 4242",
  });
});

test("two GPUs and a driver that is old for one engine: who uses the first is said beside that", async () => {
  const { commands } = MACHINES["two GPUs"];
  const old = { ...commands, "nvidia-smi": smi("570.10", "12.8", { ...RTX_4090, free: 2_100, uses: [{ pid: 4242, name: "/usr/bin/python3", memory: 22_000 }] }, { ...RTX_4090, free: 24_100 }) };
  const report = await examine(machine({ ...MACHINES["two GPUs"], commands: old }), { quick: true });
  assert.match(lineOf(report, "NVIDIA GPU 0").why!, /570\.10 is too old for ONNX Runtime .*; in use by process 4242 \(python3, 21\.5 GiB\); card 1 is taken$/);
});

test("an NVIDIA card whose driver brings no Vulkan: it is a card, and Mesa's drivers are not its cure", async () => {
  const report = await look("card in a container");
  assert.deepEqual(lineOf(report, "WebGPU"), {
    name: "WebGPU", status: "worse", what: "no adapter", why: "NVIDIA's driver offers no Vulkan here",
    cure: "in a container: start it with NVIDIA_DRIVER_CAPABILITIES=all; else sudo apt-get install libvulkan1",
  });
  assert.ok(hasGraphics(machine(MACHINES["card in a container"])));
});

test("CUDA's libraries missing: which, and the command; not CUDA is never silent", async () => {
  const report = await look("CUDA libraries missing");
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cpu", training: "cpu fused" });
  assert.equal(passed(report, "training")[0], `cuda: TensorFlow's build for CUDA 12.5.1 finds no card: libcudnn.so.9 is not installed → ${PYTHON} -m pip install --no-deps -r ${ROOT}/kernel-ext/requirements-cuda.txt && npx saelab setup`);
  assert.equal(passed(report, "harvest")[0], "cuda: ONNX Runtime's CUDA provider is not installed → npx saelab setup --cuda");
  const { files, commands, probes } = MACHINES["RTX 4090"];
  const unlinked = await examine(machine({ files: { ...files, [solverLink]: null }, commands, probes: { ...probes, engine: machine().probe.bind(null, "engine") as never } }), { quick: true });
  assert.equal(passed(unlinked, "training")[0], "cuda: TensorFlow's build for CUDA 12.5.1 finds no card: libcusolver.so.11 (its link beside cuBLAS) is not installed → npx saelab setup");
  const cpu = await look("card, TensorFlow for the CPU");
  assert.deepEqual(jobs(cpu), { notebooks: "yes", harvest: "webgpu", training: "webgpu webgpu" });
  assert.deepEqual(passed(cpu, "training"), ["cuda: TensorFlow was installed for the CPU only → npx saelab setup --cuda"]);
});

test("a card that the environment hides says so", async () => {
  const { files, commands, probes } = MACHINES["CUDA libraries missing"];
  const report = await examine(machine({ files, commands, probes, more: { env: { CUDA_VISIBLE_DEVICES: "-1" } } }), { quick: true });
  assert.deepEqual(lineOf(report, "NVIDIA GPU").cure, "unset CUDA_VISIBLE_DEVICES");
  assert.equal(passed(report, "training")[0], "cuda: CUDA_VISIBLE_DEVICES=-1 hides the card → unset CUDA_VISIBLE_DEVICES");
  const loaded = { SAELAB_ENGINE: "cpu", CUDA_VISIBLE_DEVICES: "-1" }; // which is what SAELAB_ENGINE=cpu makes of it
  const engine = await examine(machine({ files, commands, probes, more: { env: loaded } }), { quick: true });
  assert.equal(passed(engine, "training")[0], "cuda: SAELAB_ENGINE=cpu hides the card → unset SAELAB_ENGINE");
});

test("a command that cures names paths with spaces as one word: rm -r takes away nothing else", async () => {
  const { lines } = await examine(machine({ more: { venv: "/home/ada/my lab/.venv" }, commands: { python: () => ({ status: 127 }) } }), { quick: true });
  assert.equal(lines.find(({ name }) => name === "Python")!.cure, "rm -r '/home/ada/my lab/.venv' && npx saelab setup");
  const shared = await examine(machine({ more: { env: { SAELAB_VENV: "/srv/shared" } }, commands: { python: () => ({ status: 127 }) } }), { quick: true });
  assert.equal(lineOf(shared, "Python").cure, "unset SAELAB_VENV"); // others' environment
});

test("the notebook's own process is no stranger on the card: nobody is told to end it", async () => {
  const report = await examine(machine({ ...MACHINES["GPU in use"], more: { pid: 4242 } }), { quick: true });
  assert.equal(lineOf(report, "NVIDIA GPU").status, "ok");
});

test("SAELAB_DEVICE=cpu: what is said is where it will be computed, and what takes the setting away", async () => {
  const { files, commands, probes } = MACHINES["RTX 4090"];
  const onCpu = { ...probes, engine: machine().probe.bind(null, "engine") as never };
  for (const env of [{ SAELAB_DEVICE: "cpu" }, { SAELAB_DEVICE: "cpu", CUDA_VISIBLE_DEVICES: "-1" }]) { // TensorFlow once loaded has set that
    const report = await examine(machine({ files, commands, probes: onCpu, more: { env } }), { quick: true });
    assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cpu", training: "cpu fused" });
    assert.ok(passed(report, "training").every((each) => each.endsWith("→ unset SAELAB_DEVICE")), JSON.stringify(passed(report, "training")));
    assert.ok(passed(report, "harvest").every((each) => each.endsWith("→ unset SAELAB_DEVICE")), JSON.stringify(passed(report, "harvest")));
    assert.equal(lineOf(report, "NVIDIA GPU").cure, "unset SAELAB_DEVICE");
  }
  const engine = await examine(machine({ files, commands, probes: onCpu, more: { env: { SAELAB_ENGINE: "cpu", CUDA_VISIBLE_DEVICES: "-1" } } }), { quick: true });
  assert.equal(lineOf(engine, "NVIDIA GPU").cure, "unset SAELAB_ENGINE");
});

test("SAELAB_ENGINE that is no engine: that is to be unset, not set-up to be run", async () => {
  const code = `process.stdout.write(JSON.stringify(require(${JSON.stringify(join(__dirname, "../../src/adapters/devices.js"))}).engineFacts()))`;
  const { stdout } = await run(process.execPath, ["-e", code], { env: { ...process.env, SAELAB_ENGINE: "gpu" } });
  const facts = JSON.parse(stdout) as { there: false; why: string; cure: string };
  assert.match(facts.why, /SAELAB_ENGINE: expected cpu, wasm or js/);
  const report = await examine(machine({ probes: { engine: () => ({ there: true, engine: facts, ops: { there: false, why: "TensorFlow is not there" } }) } }), { quick: true });
  assert.equal(lineOf(report, "binding").cure, "unset SAELAB_ENGINE");
});

test("an NVIDIA card on arm64, and a Mac with Intel's processor: no command is offered that could not help", async () => {
  const { commands } = MACHINES["RTX 4090"];
  const engine = () => ({ there: true, engine: { there: true, version: "4.22.0", device: "wasm", why: "TensorFlow's binding is made on Linux x64 only" }, ops: { there: false, why: "TensorFlow is not there" } }) as const;
  const spark = await examine(machine({ commands, probes: { engine, onnx: () => ({ there: true, providers: ["cpu"] }) }, files: inSlot("0x10de"), more: { arch: "arm64" } }), { quick: true });
  const why = "TensorFlow and ONNX Runtime for CUDA are made for Linux on x86-64, this is linux arm64";
  assert.deepEqual([passed(spark, "training")[0], passed(spark, "harvest")[0], lineOf(spark, "NVIDIA GPU").why], [`cuda: ${why}`, `cuda: ${why}`, why]);
  assert.equal(lineOf(spark, "NVIDIA GPU").cure, undefined);
  const { probes, files, more } = MACHINES["Mac without TensorFlow"];
  const intel = await examine(machine({ probes, files, more: { ...more, arch: "x64" } }), { quick: true });
  assert.match(lineOf(intel, "ONNX Runtime").cure!, /^take a machine/);
  assert.ok(!intel.jobs.harvest.runs && /nothing for darwin x64/.test(intel.jobs.harvest.why));
  // what set-up would not use is not to be installed first: gcc of Homebrew is called otherwise, and nothing needs it
  const bare = await examine(machine({ probes, files: { ...files, [`${ROOT}/.venv/share/jupyter/kernels/saelab/kernel.json`]: null }, more: { ...more, venv: undefined }, commands: { "g++": () => ({ status: null }), make: () => ({ status: null }), python3: () => ({ status: 1 }) } }), { quick: true });
  assert.equal(lineOf(bare, "Python").cure, "brew install python@3.12 && npx saelab setup");
});

test("what is shown in a notebook does not tell the home folder; json does", async () => {
  const { HOME } = process.env;
  process.env.HOME = dirname(packageRoot);
  try {
    const value = await doctor({ quick: true });
    const bundle = value[DISPLAY]();
    assert.ok(JSON.stringify(value.json).includes(`${process.env.HOME}/`));
    for (const [type, content] of Object.entries(bundle)) assert.ok(!JSON.stringify(content).includes(`${process.env.HOME}/`), type);
    assert.match(bundle["text/plain"] as string, /~\//);
  } finally {
    if (HOME === undefined) delete process.env.HOME; else process.env.HOME = HOME;
  }
});

test("a Mac without TensorFlow: WebGPU trains and harvests, and TensorFlow is not missed", async () => {
  const report = await look("Mac without TensorFlow");
  assert.ok(report.ok);
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "webgpu", training: "webgpu webgpu" });
  assert.deepEqual(["TensorFlow", "binding", "fused ops"].map((name) => lineOf(report, name).status), ["absent", "absent", "absent"]);
  assert.equal(lineOf(report, "binding").what, "WebAssembly in its place");
});

test("AMD: WebGPU is taken where Vulkan is there; where not, the command that brings it", async () => {
  assert.deepEqual(jobs(await look("AMD with WebGPU")), { notebooks: "yes", harvest: "webgpu", training: "webgpu webgpu" });
  const without = await look("AMD without Vulkan");
  assert.deepEqual(lineOf(without, "WebGPU"), { name: "WebGPU", status: "worse", what: "no adapter", why: "finds no card (Couldn't load Vulkan)", cure: "sudo apt-get install libvulkan1 mesa-vulkan-drivers" });
  assert.deepEqual(jobs(without), { notebooks: "yes", harvest: "cpu", training: "cpu fused" });
  // a chip that draws a server's console is none
  assert.equal(lineOf(await look("a server's picture"), "WebGPU").cure, undefined);
  assert.ok(!hasGraphics(machine(MACHINES["a server's picture"])) && hasGraphics(machine(MACHINES["AMD without Vulkan"])));
});

test("an adapter in software is named, and not taken", async () => {
  const report = await look("SwiftShader");
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cpu", training: "cpu fused" });
  assert.match(lineOf(report, "WebGPU").what, /^SwiftShader .*is no card/);
});

test("a binding that ends its process: training cannot run, harvesting can, the doctor lives", async () => {
  const report = await look("broken binding");
  assert.ok(!report.ok);
  assert.deepEqual(jobs(report), { notebooks: "yes", harvest: "cpu", training: "no: the process that tried it was ended by SIGSEGV" });
  assert.deepEqual(lineOf(report, "binding"), { name: "binding", status: "broken", what: "does not load", why: "the process that tried it was ended by SIGSEGV", cure: `rm ${BINDING} && npx saelab setup` });
});

test("without TensorFlow: told so to set-up, or taken away behind its back, each has its own cure", async () => {
  const told = await look("set up without TensorFlow");
  assert.deepEqual([told.ok, jobs(told).training, lineOf(told, "binding").cure], [true, "wasm stock", "npx saelab setup --auto"]);
  const gone = await look("TensorFlow taken away");
  assert.equal(lineOf(gone, "binding").cure, `rm ${ROOT}/.venv/.saelab-python && npx saelab setup`);
  assert.ok(passed(gone, "training").includes(`cpu: the binding is not there → rm ${ROOT}/.venv/.saelab-python && npx saelab setup`));
});

test("no Jupyter: notebooks cannot run, the rest can", async () => {
  const report = await look("no Jupyter");
  assert.ok(!report.ok);
  assert.deepEqual(jobs(report), { notebooks: "no: Jupyter: not installed", harvest: "cpu", training: "cpu fused" });
  assert.equal(lineOf(report, "Jupyter").cure, `${PYTHON} -m pip install jupyterlab`);
  assert.equal(lineOf(report, "kernel").cure, "npx saelab install");
});

test("nothing set up: one command brings all that is missing, what the system lacks first", async () => {
  const report = await look("nothing set up");
  assert.ok(Object.values(report.jobs).every(({ runs }) => !runs));
  const command = "sudo apt-get install g++ python3 python3-venv && npx saelab setup";
  assert.match(lineOf(report, "Node").cure!, /nvm install 22/);
  for (const name of ["Python", "Jupyter", "kernel", "TensorFlow", "binding", "ONNX Runtime"]) assert.equal(lineOf(report, name).cure, command, name);
  assert.equal(doctorText(report, false).split(command).length, 2); // told once
});

test("kernels: another copy's, one whose Node is gone; fused ops of another CPU", async () => {
  const other = await look("another copy's kernel, and no fused ops");
  assert.match(lineOf(other, "kernel").why!, /another copy of saelab \(\/srv\/old\//);
  assert.equal(lineOf(other, "extension").why, "it is of another version of saelab");
  assert.deepEqual(jobs(other), { notebooks: "yes", harvest: "cpu", training: "cpu stock" });
  assert.equal(lineOf(other, "fused ops").why, "ops.node was built for another CPU");
  const gone = await look("Node moved");
  assert.equal(lineOf(gone, "kernel").why, "it starts /usr/bin/node, which is not there");
  assert.equal(jobs(gone).notebooks.slice(0, 3), "no:");
});

test("a damaged kernel.json, Python that does not start, a binding that gives WebAssembly on Linux", async () => {
  const { files } = machine();
  const kernel = `${ROOT}/.venv/share/jupyter/kernels/saelab/kernel.json`;
  assert.ok(files.exists(kernel));
  assert.equal(lineOf(await examine(machine({ files: { [kernel]: "{" } }), { quick: true }), "kernel").status, "broken");
  const python = await examine(machine({ commands: { python: () => ({ status: 127, stderr: "python: error while loading shared libraries: libpython3.12.so\n" }) } }), { quick: true });
  assert.match(lineOf(python, "Python").why!, /does not start: python: error while loading shared libraries/);
  assert.equal(lineOf(python, "Python").cure, `rm -r ${ROOT}/.venv && npx saelab setup`);
  const slow = await examine(machine({ probes: { engine: () => ({ there: true, engine: { there: true, version: "4.22.0", device: "wasm", why: "the binding does not load" }, ops: { there: false, why: "TensorFlow is not there" } }) } }), { quick: true });
  assert.deepEqual(lineOf(slow, "binding"), { name: "binding", status: "worse", what: "WebAssembly in its place", why: "the binding does not load; products take some 4 times as long", cure: `rm ${BINDING} && npx saelab setup` });
  assert.deepEqual(jobs(slow).training, "wasm stock");
  assert.match(doctorText(slow, false), /training +on WebAssembly, by the stock step\n[^]*a step takes some 12 times as long as its fused one/);
});

test("every machine: nothing wider than a screen of 100 columns but commands, at most 45 lines; the card has the same words", async () => {
  for (const [name, described] of Object.entries(MACHINES)) {
    const report = await examine(machine(described));
    const lines = doctorText(report, false).split("\n");
    assert.ok(lines.length <= 45, `${name}: ${lines.length} lines`);
    for (const line of lines) assert.ok(columns(line) <= 100 || /^ +→ (npx|sudo|rm|\/)/.test(line), `${name}: ${line}`);
    assert.equal(doctorText(report, true).replace(/\u001b\[[\d;]*m/g, ""), lines.join("\n"), name);
  }
});

test("speeds are measured where the jobs run, and not where they cannot", async () => {
  const asked: string[] = [];
  const probes = machine().probe;
  const told = machine({ ...MACHINES["AMD with WebGPU"], more: { probe: (name, options) => {
    asked.push(`${name} ${(options as { device?: string }).device ?? ""}`);
    return name === "webgpu" ? machine(MACHINES["AMD with WebGPU"]).probe(name, options) : probes(name, options);
  } } });
  const report = await examine(told);
  assert.deepEqual(asked.sort(), ["engine ", "harvest webgpu", "onnx ", "training webgpu", "webgpu "]);
  assert.ok(report.speeds?.training.there);
  const broken = await examine(machine(MACHINES["broken binding"]));
  assert.deepEqual(broken.speeds?.training, { there: false, why: "it cannot run here" });
  assert.ok(broken.speeds?.harvest.there);
});

test("this machine: what is said is what is so", async () => {
  const value = await doctor({ quick: true });
  const report = value.json;
  assert.equal(lineOf(report, "Node").what, process.versions.node);
  const engine = tensorflow();
  assert.equal(lineOf(report, "binding").what, `TF.js on TensorFlow ${engine.version}, on the ${engine.device === "cuda" ? "card" : "CPU"}`);
  assert.ok(report.jobs.training.runs && report.jobs.harvest.runs);
  assert.ok(lineOf(report, "TensorFlow").what.startsWith(engine.version));
  assert.equal(wheelFacts(thisMachine().venv, thisMachine().files)?.version, engine.version);
  const bundle = value[DISPLAY]() as Record<string, string>;
  assert.deepEqual(Object.keys(bundle), ["application/vnd.saelab.doctor.v1+json", "text/html", "text/plain"]);
  assert.equal(inspect(value), bundle["text/plain"]);
  assert.equal(JSON.stringify(JSON.parse(JSON.stringify(value.json))), JSON.stringify(report));
});

test("native code that crashes or is not there ends a child, not this process", async () => {
  const { probe } = thisMachine();
  const crash = join(freshFolders("doctor").root, "crash.cjs");
  writeFileSync(crash, 'if (/doctorprobe/.test(process.argv[1])) { process.stderr.write("a binding for another machine\\n"); process.abort(); }');
  const options = process.env.NODE_OPTIONS;
  process.env.NODE_OPTIONS = `--require ${JSON.stringify(crash)}`;
  try {
    const { jobs: all, lines } = await examine(thisMachine(), { quick: true });
    assert.ok(!all.training.runs && /was ended by SIGABRT/.test(all.training.why), JSON.stringify(all.training));
    assert.deepEqual(lines.filter(({ status }) => status === "broken").map(({ name, cure }) => [name, /npx saelab setup$/.test(cure!)]).slice(0, 2), [["binding", true], ["ONNX Runtime", true]]);
  } finally {
    if (options === undefined) delete process.env.NODE_OPTIONS; else process.env.NODE_OPTIONS = options;
  }
  const found = await probe("engine", {});
  assert.ok(found.there && found.engine.there);
  const none = await probe("no such probe" as "onnx", {});
  assert.ok(!none.there && /is not a function/.test(none.why), JSON.stringify(none));
});

const run = promisify(execFile);
const cli = join(__dirname, "../../src/adapters/cli.js");
const shell = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  run(process.execPath, [cli, ...args]).then(({ stdout, stderr }) => ({ code: 0, stdout, stderr }), (error: { code: number; stdout: string; stderr: string }) => error);

test("saelab doctor: text, JSON, a plan; mistakes before any work", async () => {
  const { code, stdout, stderr } = await shell("doctor", "--quick", "--json");
  const report = JSON.parse(stdout) as DoctorReport;
  assert.equal(code, report.ok ? 0 : 1);
  assert.equal(stderr, "");
  assert.ok(report.lines.length >= 11);
  const wrong = async (pattern: RegExp, ...args: string[]): Promise<void> => {
    const { code: failed, stderr: said } = await shell("doctor", ...args);
    assert.equal(failed, 1);
    assert.match(said, pattern);
  };
  await wrong(/--plan: expected d, tokens, found none/, "--plan", "latents=65536");
  await wrong(/found latent=65536\. At least: --plan latents=65536 d=1536 tokens=100M\./, "--plan", "latent=65536", "d=1536", "tokens=100M");
  await wrong(/expected options only, found quick/, "quick");
  await wrong(/expected the options --json, --quick, --plan, found: Unknown option '--jsn'\. saelab doctor --help/, "--jsn");
});

test("a SAELAB_ENGINE that means nothing: leaving it unset is the cure, not building again", async () => {
  const { stdout } = await run(process.execPath, [cli, "doctor", "--quick", "--json"], { env: { ...process.env, SAELAB_ENGINE: "nonsense" } }).catch((error: { stdout: string }) => error);
  assert.deepEqual(lineOf(JSON.parse(stdout) as DoctorReport, "binding"), {
    name: "binding", status: "broken", what: "does not load", why: 'SAELAB_ENGINE: expected cpu, wasm or js, found "nonsense"', cure: "unset SAELAB_ENGINE",
  });
});

test("a plan: free memory of the card that is meant; a device that is not there is refused before anything is measured", async () => {
  const plan = { latents: 65_536, d: 1536, tokens: 100e6, batch: 8192 };
  const { plan: free, ok } = await examine(machine(MACHINES["RTX 4090"]), { quick: true, plan: { ...plan, dtype: "F16" } });
  assert.deepEqual([free!.asked.device, free!.asked.step, free!.free.card, free!.fits, ok], ["cuda", "stock", 23_901 * 2 ** 20, true, true]);
  const used = await examine(machine(MACHINES["GPU in use"]), { quick: true, plan });
  assert.deepEqual([used.plan!.short.includes("memory on the card"), used.ok], [true, false]);
  assert.match(doctorText(used, false), /✗ card .* of 2\.2 GB free[^]*No hours: no speed was measured on CUDA\./);
  const measured = doctorText(await examine(machine(), { plan }), false);
  assert.match(measured, /✓ training +about [^]*The harvest's hours too: add parameters=1\.5B/);
  const asked: string[] = [];
  const { probe } = machine();
  await assert.rejects(examine(machine({ more: { probe: (name, options) => (asked.push(name), probe(name, options)) } }), { plan: { ...plan, device: "cuda" } }), (error: Error) =>
    error instanceof OptionError && /device: expected one that is here, found cuda: no NVIDIA driver/.test(error.message));
  assert.ok(!asked.includes("training"));
  // where nothing trains, the plan is of what the processor would need
  const broken = await examine(machine(MACHINES["broken binding"]), { quick: true, plan });
  assert.equal(broken.plan!.asked.device, "cpu");
});

test("a plan that lacks its numbers is refused before work begins", async () => {
  await assert.rejects(examine(machine(), { plan: {} as never }), OptionError);
  await assert.rejects(examine(machine(), { plan: 3 as never }), OptionError);
});
