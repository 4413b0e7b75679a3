/**
 * NVIDIA's driver and cards as this machine has them, and what of ours can run on them.
 * Node built-ins only: set-up uses it before anything is installed or built; `src/adapters/nvidia.ts` types it.
 *
 * @typedef {{ status: number | null, stdout: string, stderr: string }} Ran  status null: the command could not be started, or did not end
 * @typedef {{ read(path: string): string | undefined, list(folder: string): string[] }} Files  undefined and []: not there
 * @typedef {{ pid: number, name: string, memory?: number }} Process  memory in bytes, where the driver tells (WSL2 does not)
 * @typedef {{ index: number, name: string, uuid?: string, memory?: number, free?: number, capability?: string, processes: Process[] }} Card  bytes
 * @typedef {{ there: true, driver: string, cuda?: string, wsl: boolean, library?: string | null, cards: Card[] }} Driver
 *   cuda: the newest CUDA that the driver speaks; library: where libcuda.so.1 is, null: nowhere
 * @typedef {{ there: false, why: string, cure?: string }} NoDriver
 * @typedef {{ ok: boolean, cards: number[], why?: string, cure?: string, note?: string }} Judgement  cards: index of each that can be used
 */
const { spawnSync } = require("node:child_process");
const { readFileSync, readdirSync } = require("node:fs");

/** @type {(command: string, args: string[]) => Ran} */
const runCommand = (command, args) => {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "pipe"] });
  return { status: error ? null : status, stdout: stdout ?? "", stderr: stderr ?? "" };
};

/** @type {Files} */
const disk = {
  read(path) {
    try { return readFileSync(path, "utf8"); } catch { return undefined; }
  },
  list(folder) {
    try { return readdirSync(folder); } catch { return []; }
  },
};

const MIB = 2 ** 20;
const WSL_SMI = "/usr/lib/wsl/lib/nvidia-smi";
const WSL_DRIVER = "install NVIDIA's newest driver in Windows (https://www.nvidia.com/drivers), run `wsl --shutdown` there, then npx saelab setup";
const LINUX_DRIVER = "install NVIDIA's newest driver (Ubuntu: sudo ubuntu-drivers install; others: https://www.nvidia.com/drivers), restart the machine, then npx saelab setup";
const driverCure = (wsl) => (wsl ? WSL_DRIVER : LINUX_DRIVER);

/**
 * Reads driver and cards: from nvidia-smi (SAELAB_NVIDIA_SMI names another), else from what the kernel module says in /proc.
 * Nothing is loaded and no device is opened; about 0.1 s where there is a card.
 * @param {{ run?: typeof runCommand, files?: Files, env?: NodeJS.ProcessEnv }} [machine] what to ask; this machine
 * @returns {Driver | NoDriver}
 */
function readNvidia({ run = runCommand, files = disk, env = process.env } = {}) {
  const wsl = /microsoft/i.test(files.read("/proc/version") ?? "");
  const named = env.SAELAB_NVIDIA_SMI;
  for (const smi of named ? [named] : ["nvidia-smi", WSL_SMI, "/usr/bin/nvidia-smi"]) {
    const found = askSmi(smi, run, wsl);
    if (!found) continue;
    return found.there ? { ...found, library: findLibrary(run, files, env) } : found;
  }
  if (named) return { there: false, why: `SAELAB_NVIDIA_SMI: ${named} cannot be started` };
  const module = askModule(files);
  if (module) return { ...module, wsl, library: findLibrary(run, files, env) };
  const slot = files.list("/sys/bus/pci/devices").find((device) =>
    /^0x10de/.test(files.read(`/sys/bus/pci/devices/${device}/vendor`) ?? "") && /^0x03/.test(files.read(`/sys/bus/pci/devices/${device}/class`) ?? ""));
  if (slot) return { there: false, why: `an NVIDIA card (PCI ${slot}) without NVIDIA's driver`, cure: driverCure(wsl) };
  return { there: false, why: "no NVIDIA driver" };
}

/** What nvidia-smi says; undefined where there is none. */
function askSmi(smi, run, wsl) {
  const query = (what, fields) => run(smi, [`--query-${what}=${fields}`, "--format=csv,noheader,nounits"]);
  const fields = "index,uuid,memory.total,memory.free,driver_version";
  let { status, stdout, stderr } = query("gpu", `${fields},compute_cap,name`);
  if (status === null) return undefined;
  let fieldsMore = 2;
  if (status !== 0 && /compute_cap/.test(stdout + stderr)) { // drivers before 510 do not know the field
    ({ status, stdout, stderr } = query("gpu", `${fields},name`));
    fieldsMore = 1;
  }
  const text = `${stdout}\n${stderr}`.split("\n").map((line) => line.trim()).filter(Boolean);
  if (status !== 0 || /^No devices/i.test(text[0] ?? "")) {
    const why = `${smi}: ${text[0] ?? `ended with ${status}`}`;
    // the library of another version than the loaded module: an update without a restart
    return { there: false, why, cure: /version mismatch/i.test(why) ? "restart the machine: the driver was updated while it ran" : driverCure(wsl) };
  }
  const rows = stdout.split("\n").filter((line) => line.includes(",")).map((line) => line.split(",").map((cell) => cell.trim()));
  const cards = rows.map(([index, uuid, memory, free, , ...rest]) => ({
    index: Number(index), name: rest.slice(fieldsMore - 1).join(", "), uuid, memory: bytes(memory), free: bytes(free),
    capability: fieldsMore === 2 && /^\d+\.\d+$/.test(rest[0]) ? rest[0] : undefined, processes: [],
  }));
  const driver = rows[0]?.[4] ?? "";
  if (!/^\d+(\.\d+)+$/.test(driver)) return { there: false, why: `${smi}: expected cards with a driver's version, found ${JSON.stringify(text[0] ?? "")}`, cure: driverCure(wsl) };
  for (const line of query("compute-apps", "gpu_uuid,pid,used_memory,process_name").stdout.split("\n")) {
    const [uuid, pid, memory, ...name] = line.split(",").map((cell) => cell.trim());
    if (/^\d+$/.test(pid ?? "")) cards.find((card) => card.uuid === uuid)?.processes.push({ pid: Number(pid), name: name.join(", "), memory: bytes(memory) });
  }
  const cuda = /CUDA (?:UMD )?Version\s*:\s*(\d+\.\d+)/.exec(run(smi, []).stdout)?.[1] ?? cudaOf(driver);
  return { there: true, driver, cuda, wsl, cards };
}

/** MiB as text → bytes; undefined for "[N/A]", as unified memory and WSL2 have it. */
const bytes = (text) => (/^\d+$/.test(text ?? "") ? Number(text) * MIB : undefined);

/** What the kernel module says of itself: no memory, no compute capability. undefined where it is not loaded. */
function askModule(files) {
  const driver = /^NVRM version:.*?\s(\d{3,}(?:\.\d+)+)\s/m.exec(files.read("/proc/driver/nvidia/version") ?? "")?.[1];
  if (!driver) return undefined;
  const cards = files.list("/proc/driver/nvidia/gpus").sort().map((slot, index) => {
    const text = files.read(`/proc/driver/nvidia/gpus/${slot}/information`) ?? "";
    const line = (name) => new RegExp(`^${name}:\\s*(.+)$`, "m").exec(text)?.[1].trim();
    return { index, name: line("Model") ?? "NVIDIA card", uuid: line("GPU UUID"), processes: [] };
  });
  return cards.length ? { there: true, driver, cuda: cudaOf(driver), cards } : { there: false, why: `NVIDIA's driver ${driver} finds no card` };
}

/** Where libcuda.so.1 is, the driver's part that programs load; null: nowhere (a container may come without). */
function findLibrary(run, files, env) {
  const listed = /libcuda\.so\.1 .*x86-64.*=> (\S+)/.exec(run("/sbin/ldconfig", ["-p"]).stdout)?.[1];
  const folders = [...(env.LD_LIBRARY_PATH ?? "").split(":").filter(Boolean), "/usr/lib/wsl/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/nvidia/lib64", "/run/opengl-driver/lib"];
  const folder = folders.find((each) => files.list(each).includes("libcuda.so.1"));
  return listed ?? (folder ? `${folder}/libcuda.so.1` : null);
}

/** First driver branch for each CUDA. @see https://docs.nvidia.com/cuda/cuda-toolkit-release-notes table of driver versions */
const BRANCHES = [[590, "13.1"], [580, "13.0"], [575, "12.9"], [570, "12.8"], [565, "12.7"], [560, "12.6"], [555, "12.5"], [550, "12.4"], [545, "12.3"], [535, "12.2"], [530, "12.1"], [525, "12.0"]];
const cudaOf = (driver) => BRANCHES.find(([branch]) => Number(driver.split(".")[0]) >= branch)?.[1];

/** Negative, 0, positive: as versions compare, number by number. */
function compareVersions(a, b) {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < Math.max(x.length, y.length); i++) if ((x[i] ?? 0) !== (y[i] ?? 0)) return (x[i] ?? 0) - (y[i] ?? 0);
  return 0;
}

/**
 * tensorflow 2.21.0: built with CUDA 12.5.1, kernels of sm_60, 70, 80 and 89, and PTX of compute_90, which drivers compile for 9.0 and newer.
 * Libraries of CUDA 12 run from the first driver of CUDA 12 on; PTX only where the driver is as new as its compiler.
 * @see https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
 * @see https://docs.nvidia.com/cuda/archive/12.5.1/cuda-toolkit-release-notes/ tables 2 and 3; the architectures are those of the wheel's fatbin headers
 */
const TENSORFLOW = { what: "TensorFlow (CUDA 12.5)", binaries: ["6.0", "7.0", "8.0", "8.9"], ptx: "9.0", driver: { linux: "525.60.13", wsl: "528.33" }, jit: { linux: "555.42.06", wsl: "555.85" } };

/** onnxruntime-gpu 1.30.0: CUDA 13, kernels of sm_75, 80, 86, 89, 90 and 120, no PTX (as its fatbin headers say). */
const ONNX = { what: "ONNX Runtime (CUDA 13)", binaries: ["7.5", "8.0", "8.6", "8.9", "9.0", "12.0"], ptx: undefined, driver: { linux: "580.65.06", wsl: "580" } };

/**
 * Whether TensorFlow and ONNX Runtime, as set-up would install them, run on what was found; where not, why, and what would help.
 * A card whose compute capability is unknown counts as usable.
 * @param {Driver | NoDriver} found
 * @returns {{ tensorflow: Judgement, onnx: Judgement }}
 */
function judgeNvidia(found) {
  return { tensorflow: judge(found, TENSORFLOW), onnx: judge(found, ONNX) };
}

function judge(found, { what, binaries, ptx, driver, jit }) {
  const no = (why, cure) => ({ ok: false, cards: [], why, ...(cure ? { cure } : {}) });
  if (!found.there) return no(found.why, found.cure);
  const system = found.wsl ? "wsl" : "linux";
  if (compareVersions(found.driver, driver[system]) < 0) {
    return no(`driver ${found.driver} is too old for ${what}: ${driver[system]} or newer is needed`, driverCure(found.wsl));
  }
  if (found.library === null) {
    return no("the driver's library libcuda.so.1 is not to be found", "in a container: start it with NVIDIA's container toolkit (docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility); else reinstall the driver");
  }
  const cards = found.cards.map(({ index, name, capability }) => {
    const called = `${name}${capability ? ` (compute capability ${capability})` : ""}`;
    if (capability === undefined || binaries.some((binary) => runsOn(binary, capability))) return { index, called, fits: true };
    if (!ptx || compareVersions(capability, ptx) < 0) return { index, called, why: `${what} has no kernels for ${called}` };
    if (compareVersions(found.driver, jit[system]) < 0) {
      return { index, called, why: `driver ${found.driver} is too old for ${called}: its kernels are compiled by the driver, ${jit[system]} or newer`, cure: driverCure(found.wsl) };
    }
    return { index, called, fits: true, compiled: true };
  });
  const usable = cards.filter((card) => card.fits);
  if (!usable.length) return no(cards[0] ? cards[0].why : `driver ${found.driver} finds no card`, cards[0]?.cure);
  const notes = cards.filter((card) => !card.fits).map((card) => card.why);
  const compiled = usable.find((card) => card.compiled);
  if (compiled) notes.push(`the first run on ${compiled.called} may take minutes longer: the driver compiles kernels, and keeps them`);
  return { ok: true, cards: usable.map((card) => card.index), ...(notes.length ? { note: notes.join("; ") } : {}) };
}

/** Machine code runs on its own major version, from its minor version on. */
function runsOn(binary, capability) {
  const [[major, minor], [ofMajor, ofMinor]] = [binary, capability].map((version) => version.split(".").map(Number));
  return major === ofMajor && minor <= ofMinor;
}

module.exports = { readNvidia, judgeNvidia };
