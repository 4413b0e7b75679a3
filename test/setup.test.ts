import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { judgeNvidia, readNvidia } from "../src/adapters/nvidia";
import { loadOnnxCuda } from "../src/adapters/onnxcuda";
import { packageRoot } from "../src/adapters/package";
import { environmentWith, machineWith, type Stub } from "./nvidiastub";

/** What set-up decides and would run, on machines that nvidia-smi's answers make up; nothing is installed. */

const scratch = mkdtempSync(path.join(tmpdir(), "saelab-setup-"));
after(() => rmSync(scratch, { recursive: true, force: true }));
const folder = (name: string): string => mkdtempSync(path.join(scratch, `${name}-`));

interface Plan {
  tensorflow: "cpu" | "cuda" | "none";
  onnx: "cuda" | "cpu";
  lines: { name: string; text: string; cure?: string }[];
  disk: number;
}
interface Options {
  asked: "auto" | "cpu" | "cuda" | "none";
  by: string;
  testing: boolean;
  planning: boolean;
}
interface Module {
  readOptions(words: string[], device?: string, kept?: string): Options;
  choosePlan(machine: Record<string, unknown>): Plan;
}
const { choosePlan, readOptions } = require(path.join(packageRoot, "kernel-ext", "setup", "plan.cjs")) as Module;

const card = (driver: string, name = "NVIDIA GeForce RTX 4090", capability = "8.9"): Stub => ({ driver, cards: [{ name, capability }] });
/** The decision on a Linux machine with these cards, or none. */
function plan(stub: Stub | undefined, { words = [] as string[], device = undefined as string | undefined, kept = undefined as string | undefined, ...more } = {}, others: Record<string, unknown> = more): Plan {
  const found = readNvidia(stub ? machineWith(stub) : machineWith(undefined, {}));
  return choosePlan({ options: readOptions(words, device, kept), platform: "linux", arch: "x64", python: "3.12", found, judged: judgeNvidia(found), ...others });
}
const line = ({ lines }: Plan, name: string) => lines.find((each) => each.name === name);

test("no card: TensorFlow for the CPU, as ever, with nothing to say", () => {
  const { tensorflow, onnx, lines, disk } = plan(undefined);
  assert.deepEqual([tensorflow, onnx, lines], ["cpu", "cpu", []]);
  assert.ok(disk < plan(card("580.65.06")).disk);
});

test("a card and a new driver: both on CUDA; Blackwell is told of its first run", () => {
  const ada = plan(card("580.65.06"));
  assert.deepEqual([ada.tensorflow, ada.onnx], ["cuda", "cuda"]);
  assert.match(line(ada, "card")?.text ?? "", /RTX 4090, 24 GiB: driver 580\.65\.06 \(CUDA 13\.0\)/);
  const blackwell = plan(card("580.65.06", "NVIDIA GeForce RTX 5090", "12.0"));
  assert.deepEqual([blackwell.tensorflow, blackwell.onnx], ["cuda", "cuda"]);
  assert.match(line(blackwell, "engine")?.text ?? "", /first run/);
});

test("a driver of CUDA 12: TensorFlow on CUDA, models not, and why", () => {
  const got = plan(card("550.90.07"));
  assert.deepEqual([got.tensorflow, got.onnx], ["cuda", "cpu"]);
  assert.match(line(got, "models")?.text ?? "", /550\.90\.07 is too old .*580/);
  assert.match(line(got, "models")?.cure ?? "", /driver/);
});

test("a driver that is too old: the CPU, with the reason and the cure", () => {
  const got = plan({ ...card("470.223.02"), old: true });
  assert.deepEqual([got.tensorflow, got.onnx], ["cpu", "cpu"]);
  assert.match(line(got, "engine")?.text ?? "", /for the CPU: driver 470\.223\.02 is too old/);
  assert.match(line(got, "engine")?.cure ?? "", /install/);
});

test("--cpu and SAELAB_DEVICE=cpu: the CPU despite a card, and who wanted it", () => {
  const byOption = plan(card("580.65.06"), { words: ["--cpu"] });
  assert.deepEqual([byOption.tensorflow, byOption.onnx], ["cpu", "cpu"]);
  assert.match(line(byOption, "engine")?.text ?? "", /--cpu/);
  assert.match(line(plan(card("580.65.06"), { device: "cpu" }), "engine")?.text ?? "", /SAELAB_DEVICE=cpu/);
  assert.match(line(plan(card("580.65.06"), { kept: "cpu" }), "engine")?.text ?? "", /earlier set-up; --auto/);
});

test("an option beats SAELAB_DEVICE, which beats what was asked earlier", () => {
  assert.deepEqual(readOptions(["--cuda", "--test"], "cpu", "none"), { asked: "cuda", by: "option", testing: true, planning: false });
  assert.deepEqual(readOptions(["--plan"], "cpu", "none"), { asked: "cpu", by: "SAELAB_DEVICE", testing: false, planning: true });
  assert.equal(readOptions([], undefined, "none").asked, "none");
  assert.equal(readOptions(["--auto"], "cpu", "none").asked, "auto");
  assert.throws(() => readOptions(["--gpu"]), /--gpu: expected .*--cuda/);
  assert.throws(() => readOptions(["--cuda", "--cpu"]), /at most one/);
  assert.throws(() => readOptions([], "tpu"), /SAELAB_DEVICE: expected .* found tpu/);
});

test("--cuda without a card: CUDA's builds, said to compute on the CPU", () => {
  const got = plan(undefined, { words: ["--cuda"] });
  assert.deepEqual([got.tensorflow, got.onnx], ["cuda", "cuda"]);
  assert.match(line(got, "engine")?.text ?? "", /will compute on the CPU: no NVIDIA driver/);
});

test("a driver that is away for once does not take CUDA's builds away", () => {
  const got = plan(undefined, { before: { tensorflow: "cuda", onnx: true } } as object);
  assert.deepEqual([got.tensorflow, got.onnx], ["cuda", "cuda"]);
  assert.match(line(got, "engine")?.text ?? "", /is kept, and computes on the CPU/);
});

test("where there is no TensorFlow, and with --no-tensorflow: without, said, never an error", () => {
  for (const [platform, arch] of [["darwin", "arm64"], ["darwin", "x64"], ["linux", "arm64"]]) {
    const got = plan(undefined, { platform, arch } as object);
    assert.deepEqual([got.tensorflow, got.onnx], ["none", "cpu"]);
    assert.match(line(got, "engine")?.text ?? "", new RegExp(`no TensorFlow for ${platform} ${arch}`));
    assert.throws(() => plan(undefined, { words: ["--cuda"], platform, arch } as object), /expected Linux on x86-64/);
  }
  const asked = plan(card("580.65.06"), { words: ["--no-tensorflow"] });
  assert.deepEqual([asked.tensorflow, asked.onnx], ["none", "cpu"]);
});

test("Python 3.10 has no ONNX Runtime for CUDA: said, with the cure", () => {
  const got = plan(card("580.65.06"), { python: "3.10" } as object);
  assert.deepEqual([got.tensorflow, got.onnx], ["cuda", "cpu"]);
  assert.match(line(got, "models")?.text ?? "", /Python 3\.11/);
});

test("a shared environment is taken as it is, or refused", () => {
  const shared = (before: object, words: string[] = []) => plan(card("580.65.06"), { words, before, shared: true } as object);
  assert.equal(shared({ tensorflow: "cpu" }).tensorflow, "cpu");
  assert.match(line(shared({ tensorflow: "cpu" }), "engine")?.text ?? "", /there is a card/);
  assert.deepEqual([shared({ tensorflow: "cuda", onnx: true }).tensorflow, shared({ tensorflow: "cuda", onnx: true }).onnx], ["cuda", "cuda"]);
  assert.throws(() => shared({ tensorflow: "cpu" }, ["--cuda"]), /expected TensorFlow for CUDA \(--cuda\).*found that for the CPU/);
  assert.throws(() => shared({}), /found none/);
});

// The command as a user gives it, with --plan: an environment of its own, so that nothing of this one is looked at or changed.

interface Printed extends Plan {
  asked: string;
  disk: { needed: number; free: number } & number;
  nvidia: { there: boolean };
  steps: { name: string; commands?: string[][] }[];
}
function printed(words: string[], env: Record<string, string>): Printed {
  const cli = path.join(packageRoot, "build", "src", "adapters", "cli.js");
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(SAELAB_|LD_LIBRARY_PATH)/.test(name)));
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "setup", "--plan", ...words], { encoding: "utf8", env: { ...clean, ...env } });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as Printed;
}
const stepOf = ({ steps }: Printed, name: string) => steps.find((each) => each.name === name);
const packages = (file: string): string[] => readFileSync(path.join(packageRoot, "kernel-ext", file), "utf8").split("\n").filter((each) => /^\w/.test(each));

test("setup --plan with a card: the commands that would be run, for TensorFlow and for ONNX Runtime", () => {
  const got = printed(["--auto"], environmentWith(card("580.65.06"), folder("card")));
  assert.deepEqual([got.tensorflow, got.onnx, got.nvidia.there], ["cuda", "cuda", true]);
  const [venv, ...pip] = (stepOf(got, "python")?.commands ?? []).filter((command) => !command.includes("uninstall"));
  assert.deepEqual(venv.slice(1, 3), ["-m", "venv"]);
  assert.deepEqual(pip.at(-1)?.slice(-13), packages("requirements-cuda.txt"));
  assert.ok(pip.at(-1)?.includes("--no-deps"));
  assert.ok(!pip[0].some((word) => word.startsWith("tensorflow")), "Jupyter's packages, of one call, with their dependencies");
  assert.deepEqual(stepOf(got, "onnx")?.commands?.[0].slice(-8), packages("requirements-onnx-cuda.txt"));
  assert.ok(stepOf(got, "cuda") && stepOf(got, "binding") && stepOf(got, "ops"));
});

test("setup --plan --cpu, and without TensorFlow", () => {
  const env = environmentWith(card("580.65.06"), folder("cpu"));
  const cpu = printed(["--cpu"], env);
  assert.equal(stepOf(cpu, "python")?.commands?.at(-1)?.at(-1), "tensorflow-cpu==2.21.0");
  assert.deepEqual([stepOf(cpu, "onnx"), stepOf(cpu, "cuda")], [undefined, undefined]);
  const none = printed([], { ...env, SAELAB_DEVICE: "none" });
  assert.equal(none.asked, "none");
  assert.ok(!JSON.stringify(stepOf(none, "python")?.commands?.filter((command) => !command.includes("uninstall"))).includes("tensorflow"));
  assert.deepEqual([stepOf(none, "binding"), stepOf(none, "ops")], [undefined, undefined]);
  assert.ok(stepOf(none, "kernel"));
});

test("an old driver: the plan is that of the CPU, and its lines say why", () => {
  const got = printed(["--auto"], environmentWith({ ...card("470.223.02"), old: true }, folder("old")));
  assert.equal(got.tensorflow, "cpu");
  assert.match(line(got, "engine")?.text ?? "", /470\.223\.02/);
});

test("the two builds of TensorFlow, and ONNX Runtime and its provider, are of one version each", () => {
  const pinned = (file: string, name: string) => packages(file).find((each) => each.startsWith(`${name}==`))?.split("==")[1];
  assert.ok(pinned("requirements.txt", "tensorflow-cpu"));
  assert.equal(pinned("requirements-cuda.txt", "tensorflow"), pinned("requirements.txt", "tensorflow-cpu"));
  const { version } = JSON.parse(readFileSync(require.resolve("onnxruntime-node/package.json"), "utf8")) as { version: string };
  assert.equal(pinned("requirements-onnx-cuda.txt", "onnxruntime-gpu"), version);
  for (const file of ["requirements-cuda.txt", "requirements-onnx-cuda.txt"]) for (const each of packages(file)) assert.match(each, /^[\w-]+==[\d.]+$/, "pinned");
});

test("as on a Mac: set-up does without TensorFlow, and cures with what a Mac has", () => {
  const mac = path.join(folder("mac"), "mac.cjs");
  writeFileSync(mac, 'Object.defineProperty(process, "platform", { value: "darwin" }); Object.defineProperty(process, "arch", { value: "arm64" });');
  const env = { NODE_OPTIONS: `--require ${JSON.stringify(mac)}` };
  const got = printed([], env);
  assert.deepEqual([got.tensorflow, stepOf(got, "binding"), stepOf(got, "ops")], ["none", undefined, undefined]);
  assert.match(line(got, "engine")?.text ?? "", /^no TensorFlow for darwin arm64: the kernel, models, and training/);
  assert.match(line(plan(undefined, { platform: "darwin", arch: "x64" } as object), "engine")?.text ?? "", /Models do not run/);
  const { status, stderr } = spawnSync(process.execPath, [path.join(packageRoot, "kernel-ext", "setup.mjs"), "--plan"], { encoding: "utf8", env: { ...env, PATH: mac } });
  assert.equal(status, 1);
  assert.match(stderr, /cure: brew install python@3\.12/);
});

test("the handler of SIGINT asks for nothing that only Linux has: a Mac compiles it too", { skip: process.platform !== "linux" }, () => {
  const { include_dir: headers } = require("node-api-headers") as { include_dir: string };
  const { status, stderr } = spawnSync("g++", ["-std=c++17", "-fsyntax-only", "-U_GNU_SOURCE", "-D_POSIX_C_SOURCE=200809L", `-I${headers}`, path.join(packageRoot, "kernel-ext", "signal.cc")], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
});

// CUDA's libraries for ONNX Runtime. The real ones are some GB; what matters here is what is said of them.

test("the provider's libraries: none installed, one missing, one broken", () => {
  const child = (at: string): string => {
    const code = `process.stdout.write(String(require(${JSON.stringify(path.join(packageRoot, "build", "src", "adapters", "onnxcuda.js"))}).loadOnnxCuda(${JSON.stringify(at)})))`;
    return spawnSync(process.execPath, ["-e", code], { encoding: "utf8" }).stdout;
  };
  const home = folder("onnx");
  const capi = path.join(home, "onnxruntime", "capi");
  assert.match(child(capi), /is not there: npx saelab setup --cuda/);
  mkdirSync(capi, { recursive: true });
  writeFileSync(path.join(capi, "libonnxruntime_providers_cuda.so"), "");
  assert.equal(child(capi), "undefined", "a provider that is not set-up's is left to the system's loader");
  mkdirSync(path.join(home, "nvidia", "cu13", "lib"), { recursive: true });
  assert.match(child(capi), /libcudart\.so\.13: expected in .*, not found/);
  writeFileSync(path.join(home, "nvidia", "cu13", "lib", "libcudart.so.13"), "not a library");
  assert.match(child(capi), /libcudart\.so\.13: .*(file too short|invalid ELF header)/);
});

test("a library that is no addon stays loaded, also from a worker thread", { skip: !existsSync("/proc/self/maps") }, () => {
  const home = folder("kept");
  const [capi, lib] = [path.join(home, "onnxruntime", "capi"), path.join(home, "nvidia", "cu13", "lib")];
  for (const each of [capi, lib]) mkdirSync(each, { recursive: true });
  writeFileSync(path.join(capi, "libonnxruntime_providers_cuda.so"), "");
  const made = spawnSync("g++", ["-shared", "-fPIC", "-x", "c++", "-", "-o", path.join(lib, "libcudart.so.13")], { input: "extern \"C\" int answer() { return 42; }", encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const code = `const { loadOnnxCuda } = require(${JSON.stringify(path.join(packageRoot, "build", "src", "adapters", "onnxcuda.js"))});
    const { parentPort } = require("node:worker_threads");
    parentPort.postMessage([loadOnnxCuda(${JSON.stringify(capi)}), require("node:fs").readFileSync("/proc/self/maps", "utf8").includes("cu13/lib/libcudart.so.13")]);`;
  const parent = `new (require("node:worker_threads").Worker)(${JSON.stringify(code)}, { eval: true }).on("message", (said) => console.log(JSON.stringify(said)));`;
  const [why, mapped] = JSON.parse(spawnSync(process.execPath, ["-e", parent], { encoding: "utf8" }).stdout) as [string, boolean];
  assert.match(why, /libnvJitLink\.so\.13: expected/, "the next one is missing");
  assert.equal(mapped, true);
});

test("of two libraries of one name the first that was loaded serves: a second copy is not loaded", { skip: !existsSync("/proc/self/maps") }, () => {
  const [first, home] = [folder("first"), folder("second")];
  const [capi, lib] = [path.join(home, "onnxruntime", "capi"), path.join(home, "nvidia", "cu13", "lib")];
  for (const each of [capi, lib]) mkdirSync(each, { recursive: true });
  writeFileSync(path.join(capi, "libonnxruntime_providers_cuda.so"), "");
  writeFileSync(path.join(lib, "libcudart.so.13"), "not a library, and never looked at");
  const made = spawnSync("g++", ["-shared", "-fPIC", "-x", "c++", "-", "-o", path.join(first, "libcudart.so.13")], { input: "extern \"C\" int answer() { return 42; }", encoding: "utf8" });
  assert.equal(made.status, 0, made.stderr);
  const code = `try { process.dlopen({ exports: {} }, ${JSON.stringify(path.join(first, "libcudart.so.13"))}, 0x1001); } catch {}
    process.stdout.write(String(require(${JSON.stringify(path.join(packageRoot, "build", "src", "adapters", "onnxcuda.js"))}).loadOnnxCuda(${JSON.stringify(capi)})))`;
  assert.match(spawnSync(process.execPath, ["-e", code], { encoding: "utf8" }).stdout, /libnvJitLink\.so\.13: expected/, "on to the next one");
});

test("the command that set-up built can be run by name", { skip: !existsSync(path.join(packageRoot, "build", ".saelab-build")) }, () => {
  accessSync(path.join(packageRoot, "build", "src", "adapters", "cli.js"), constants.X_OK);
});

test("this installation: the provider is absent, or its libraries load", () => {
  const why = loadOnnxCuda();
  assert.ok(why === undefined || /is not there/.test(why), why);
});
