import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeNvidia, readNvidia, type Nvidia } from "../../src/adapters/nvidia";
import { machineWith, type Stub } from "../nvidiastub";

/** NVIDIA's drivers as their own command and files show them; what each can run. */

const RTX4090 = { name: "NVIDIA GeForce RTX 4090", capability: "8.9" };
const there = (found: Nvidia): Nvidia & { there: true } => {
  assert.ok(found.there, JSON.stringify(found));
  return found;
};
const judged = (stub: Stub, files?: Record<string, string>) => judgeNvidia(readNvidia(machineWith(stub, files)));

test("two cards, one in use: names, memory in bytes, capability, processes", () => {
  const found = there(readNvidia(machineWith({
    driver: "580.65.06", cuda: "13.0", cards: [RTX4090, { name: "NVIDIA RTX A6000, Ada", capability: "8.6", memory: 49_140, free: 100 }],
    processes: [{ card: 1, pid: 4711, name: "/usr/bin/python3", memory: 40_000 }, { card: 1, pid: 12, name: "Xorg", memory: "[N/A]" }],
  })));
  assert.deepEqual([found.driver, found.cuda, found.wsl, found.library], ["580.65.06", "13.0", false, "/usr/lib/x86_64-linux-gnu/libcuda.so.1"]);
  assert.deepEqual(found.cards.map(({ index, name, capability }) => [index, name, capability]), [[0, RTX4090.name, "8.9"], [1, "NVIDIA RTX A6000, Ada", "8.6"]]);
  assert.deepEqual([found.cards[0].memory, found.cards[1].free], [24_564 * 2 ** 20, 100 * 2 ** 20]);
  assert.deepEqual(found.cards[0].processes, []);
  assert.deepEqual(found.cards[1].processes, [{ pid: 4711, name: "/usr/bin/python3", memory: 40_000 * 2 ** 20 }, { pid: 12, name: "Xorg", memory: undefined }]);
  const { tensorflow, onnx } = judgeNvidia(found);
  assert.deepEqual([tensorflow, onnx], [{ ok: true, cards: [0, 1] }, { ok: true, cards: [0, 1] }]);
});

test("memory that the driver does not tell is absent, not 0 or NaN", () => {
  const { cards } = there(readNvidia(machineWith({ driver: "580.65.06", cards: [{ ...RTX4090, memory: "[N/A]", free: "[Not Supported]" }] })));
  assert.deepEqual([cards[0].memory, cards[0].free], [undefined, undefined]);
});

for (const [what, driver, capability, tensorflow, onnx] of [
  ["Turing, Ampere and Ada from the first driver of CUDA 12 on", "525.60.13", "7.5", true, false],
  ["one driver older", "525.60.12", "8.9", false, false],
  ["the last driver before CUDA 13", "575.64.03", "8.6", true, false],
  ["CUDA 13", "580.65.06", "7.5", true, true],
  ["Pascal: TensorFlow's machine code, nothing of CUDA 13", "580.65.06", "6.1", true, false],
  ["Maxwell", "580.65.06", "5.2", false, false],
  ["Hopper, whose kernels the driver compiles: from 555 on", "550.90.07", "9.0", false, false],
  ["Hopper", "555.42.06", "9.0", true, false],
  ["Blackwell", "580.65.06", "12.0", true, true],
  ["a B200: none of ONNX Runtime's kernels, and no PTX", "580.65.06", "10.0", true, false],
] as const) {
  test(`${what}: driver ${driver}, compute capability ${capability}`, () => {
    const got = judged({ driver, cards: [{ name: "NVIDIA card", capability }] });
    assert.deepEqual([got.tensorflow.ok, got.onnx.ok], [tensorflow, onnx]);
    for (const { ok, why, cards } of [got.tensorflow, got.onnx]) {
      assert.deepEqual(cards, ok ? [0] : []);
      if (!ok) assert.match(why ?? "", new RegExp(`${driver.replace(/\./g, "\\.")}|${capability}`), "names what was found");
    }
  });
}

test("a driver that is too old: what is needed, and how to get it", () => {
  const { tensorflow } = judged({ driver: "470.223.02", cards: [RTX4090], old: true });
  assert.match(tensorflow.why ?? "", /driver 470\.223\.02 .* 525\.60\.13 or newer/);
  assert.match(tensorflow.cure ?? "", /ubuntu-drivers install/);
});

test("of two cards one can be used: the other is named", () => {
  const { tensorflow } = judged({ driver: "580.65.06", cards: [{ name: "NVIDIA GeForce GTX 980", capability: "5.2" }, { name: "NVIDIA GeForce RTX 5090", capability: "12.0" }] });
  assert.deepEqual([tensorflow.ok, tensorflow.cards], [true, [1]]);
  assert.match(tensorflow.note ?? "", /no kernels for NVIDIA GeForce GTX 980.*first run on NVIDIA GeForce RTX 5090 .*may take/);
});

test("WSL2: its own nvidia-smi, drivers counted as Windows counts them", () => {
  const files = { "/proc/version": "Linux version 6.6.87.2-microsoft-standard-WSL2", "/usr/lib/wsl/lib/libcuda.so.1": "" };
  const wsl = (driver: string, capability: string) => readNvidia(machineWith({ driver, cards: [{ name: "NVIDIA GeForce RTX 4070", capability }] }, files, "/usr/lib/wsl/lib/nvidia-smi"));
  const found = there(wsl("528.49", "8.9"));
  assert.deepEqual([found.wsl, found.library, found.cuda], [true, "/usr/lib/wsl/lib/libcuda.so.1", "12.0"]);
  assert.equal(judgeNvidia(found).tensorflow.ok, true);
  const old = judgeNvidia(wsl("522.06", "8.9")).tensorflow;
  assert.match(old.why ?? "", /528\.33/);
  assert.match(old.cure ?? "", /in Windows.*wsl --shutdown/);
  assert.match(judgeNvidia(wsl("551.61", "9.0")).tensorflow.why ?? "", /555\.85/);
});

test("the driver's library is missing, as in a container: said, with the cure", () => {
  const { tensorflow, onnx } = judged({ driver: "580.65.06", cards: [RTX4090] }, {});
  assert.deepEqual([tensorflow.ok, onnx.ok], [false, false]);
  assert.match(tensorflow.why ?? "", /libcuda\.so\.1/);
  assert.match(tensorflow.cure ?? "", /--gpus all/);
});

test("without nvidia-smi the kernel module says what there is", () => {
  const found = there(readNvidia(machineWith(undefined, {
    "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder)\nGCC version:  gcc\n",
    "/proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA GeForce RTX 3060\nIRQ:   \t\t 51\nGPU UUID: \t GPU-1234\n",
    "/usr/lib64/libcuda.so.1": "",
  })));
  assert.deepEqual(found, {
    there: true, driver: "570.86.15", cuda: "12.8", wsl: false, library: "/usr/lib64/libcuda.so.1",
    cards: [{ index: 0, name: "NVIDIA GeForce RTX 3060", uuid: "GPU-1234", processes: [] }],
  });
  assert.equal(judgeNvidia(found).tensorflow.ok, true, "a capability that is not known refuses nothing");
});

test("no driver: nothing there, or a card that waits for one", () => {
  assert.deepEqual(readNvidia(machineWith(undefined, {})), { there: false, why: "no NVIDIA driver" });
  const slot = "/sys/bus/pci/devices/0000:01:00.0";
  const found = readNvidia(machineWith(undefined, { [`${slot}/vendor`]: "0x10de\n", [`${slot}/class`]: "0x030000\n" }));
  assert.ok(!found.there);
  assert.match(found.why, /NVIDIA card \(PCI 0000:01:00\.0\) without/);
  assert.match(found.cure ?? "", /drivers/);
  const amd = readNvidia(machineWith(undefined, { [`${slot}/vendor`]: "0x1002\n", [`${slot}/class`]: "0x030000\n" }));
  assert.equal(!amd.there && amd.cure, undefined);
});

test("nvidia-smi that fails: its own words; after an update without a restart, that one is due", () => {
  const failing = (stdout: string) => readNvidia({ ...machineWith(undefined, {}), run: (command) => ({ status: command === "nvidia-smi" ? 18 : null, stdout, stderr: "" }) });
  const mismatch = failing("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.65\n");
  assert.ok(!mismatch.there);
  assert.match(mismatch.why, /version mismatch$/);
  assert.match(mismatch.cure ?? "", /restart the machine/);
  const none = failing("No devices were found\n");
  assert.ok(!none.there && /No devices were found/.test(none.why));
});

test("SAELAB_NVIDIA_SMI that cannot be started is said, and nothing else is asked", () => {
  const found = readNvidia({ ...machineWith({ driver: "580.65.06", cards: [RTX4090] }), env: { SAELAB_NVIDIA_SMI: "/no/such/nvidia-smi" } });
  assert.deepEqual(found, { there: false, why: "SAELAB_NVIDIA_SMI: /no/such/nvidia-smi cannot be started" });
});
