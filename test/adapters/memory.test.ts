import assert from "node:assert/strict";
import { test } from "node:test";
import { freeOn, unusedMemory, type CardSource } from "../../src/adapters/memory";
import type { Nvidia, NvidiaCard } from "../../src/adapters/nvidia";
import { checkMemory, planSae, planShared, type Plan, type Room } from "../../src/adapters/trainplan";
import { OptionError } from "../../src/core/errors";

const GB = 1e9;
const none: Nvidia = { there: false, why: "no NVIDIA driver" };
const nvidia = (...cards: NvidiaCard[]): Nvidia => ({ there: true, driver: "580.65.06", cuda: "13.0", wsl: false, cards });
const rtx = (index: number, free?: number, processes: NvidiaCard["processes"] = []): NvidiaCard =>
  ({ index, name: "NVIDIA GeForce RTX 4090", uuid: `GPU-${index}`, memory: 24 * GB, ...(free === undefined ? {} : { free }), processes });
const machine = (found: Nvidia, files: Record<string, string> = {}, rest: Partial<CardSource> = {}): CardSource => ({
  nvidia: () => found, platform: "linux", env: {}, pid: 7, read: (path) => files[path],
  list: (folder) => [...new Set(Object.keys(files).filter((path) => path.startsWith(`${folder}/`)).map((path) => path.slice(folder.length + 1).split("/")[0]))], ...rest,
});
const amd = (total: number, used: number): Record<string, string> =>
  ({ "/sys/class/drm/card1/device/mem_info_vram_total": `${total}\n`, "/sys/class/drm/card1/device/mem_info_vram_used": `${used}\n`, "/sys/class/drm/card1-DP-1/status": "connected\n" });

test("memory on macOS: pages that give way count, of which Node does not tell", () => {
  const said = `Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                                4096.
Pages active:                            310342.
Pages inactive:                          300000.
Pages speculative:                         3524.
Pages wired down:                        121213.
"Translation faults":                1103947212.
`;
  assert.equal(unusedMemory("darwin", () => said), 16384 * (4096 + 300000 + 3524));
  assert.ok(unusedMemory("darwin", () => "") > 0);
  assert.ok(unusedMemory("linux", () => assert.fail("not asked")) > 0);
});

test("free memory of a card: what its driver says, who else is on it", () => {
  const busy = machine(nvidia(rtx(0, 2 * GB, [{ pid: 99, name: "python3", memory: 21 * GB }]), rtx(1, 1 * GB)));
  assert.deepEqual(freeOn("cuda", undefined, busy, 5), { host: 5, card: 2 * GB, told: "card 0, NVIDIA GeForce RTX 4090 with 24.0 GB; on it: python3 (pid 99, 21,000 MB)" });
  assert.equal(freeOn("cuda", undefined, { ...busy, env: { CUDA_VISIBLE_DEVICES: "1" } }, 5).card, GB);
  const old = { ...rtx(2, 20 * GB), name: "NVIDIA Tesla K80", capability: "3.7" };
  assert.equal(freeOn("cuda", undefined, machine(nvidia(rtx(0, 2 * GB), old)), 5).card, 2 * GB);
  const again = machine(nvidia(rtx(0, 4 * GB, [{ pid: 7, name: "node", memory: 19 * GB }])));
  assert.equal(freeOn("cuda", undefined, again, 5).card, 23 * GB); // TensorFlow has what the last run had
  for (const unknown of [none, nvidia(rtx(0))]) {
    const { card, told } = freeOn("cuda", undefined, machine(unknown), 5);
    assert.equal(card, Infinity);
    assert.match(told!, /not known: no NVIDIA driver|does not say/);
  }
});

test("free memory for WebGPU: of NVIDIA's and AMD's cards; others share the machine's, or do not say", () => {
  const found = machine(nvidia({ ...rtx(0, 9 * GB), name: "NVIDIA A2" }, rtx(1, 3 * GB)));
  assert.equal(freeOn("webgpu", { name: "NVIDIA GeForce RTX 4090", software: false }, found, 5).card, 3 * GB);
  assert.equal(freeOn("webgpu", { name: "nvidia-geforce-rtx-4090 (NVIDIA: 580.65.06)", software: false }, found, 5).card, 3 * GB); // as Dawn tells it
  const radeon = { name: "AMD Radeon RX 7900 XTX (RADV NAVI31)", software: false };
  assert.deepEqual(freeOn("webgpu", radeon, machine(none, amd(24 * GB, 4 * GB)), 5), { host: 5, card: 20 * GB, told: "a card with 24.0 GB" });
  assert.equal(freeOn("webgpu", radeon, machine(none, amd(0.5 * GB, 0)), 5).shared, true); // part of a processor
  assert.deepEqual(freeOn("webgpu", radeon, machine(none), 5), { host: 5, card: Infinity, told: "the driver does not say how much memory is free" });
  assert.equal(freeOn("webgpu", { name: "SwiftShader Device", software: true }, found, 5).shared, true);
  assert.equal(freeOn("webgpu", { name: "Intel(R) UHD Graphics 770", software: false }, found, 5).shared, true);
  assert.equal(freeOn("webgpu", { name: "Apple M2", software: false }, machine(none, {}, { platform: "darwin" }), 5).shared, true);
  assert.deepEqual(freeOn("cpu", undefined, found, 5), { host: 5, card: 0 });
});

const planned = (options: Partial<Parameters<typeof planSae>[0]> = {}, tokens = 1e8): Plan =>
  planSae({ latents: 65_536, k: 32, ...options }, planShared({ tokens, batch: 4096 }, undefined, "a model"), [{ hook: "layers.10", width: 1536 }]);
const refusal = (plans: Plan[], room: Room): string => {
  try {
    checkMemory(plans, 2 ** 31, room);
  } catch (error) {
    assert.ok(error instanceof OptionError);
    return error.message;
  }
  return assert.fail("it fitted");
};

test("a run that does not fit on a card says so, with who has the memory and what would fit", () => {
  const free = { host: 64 * GB, card: 3 * GB, told: "card 0, NVIDIA GeForce RTX 4090 with 24.0 GB; on it: python3 (pid 99, 21,000 MB)" };
  const message = refusal([planned()], { device: "cuda", free });
  assert.match(message, /latents 65536, batch 4096: expected to need at most the 3\.0 GB of the card's memory that are free \(card 0, .*pid 99, 21,000 MB\)\), found about \d+\.\d GB \(gradients \d\.\d GB, /);
  assert.match(message, /\{ device: "cpu" \} would fit \(\d+\.\d GB\); about [\d,]+ latents would fit \(\d\.\d GB\); or end what else runs on the card\./);
  const latents = Number(/about ([\d,]+) latents/.exec(message)![1].replaceAll(",", ""));
  assert.ok(checkMemory([planned({ latents })], 2 ** 31, { device: "cuda", free }) >= 16);
});

test("a run that does not fit into the machine says so, with what would fit", () => {
  const free = { host: 7 * GB, card: 0 };
  const message = refusal([planned()], { free });
  assert.match(message, /at most the 7\.0 GB of memory that are free, found about \d+\.\d GB .*\{ step: "fused" \} would fit \(\d\.\d GB\); about [\d,]+ latents would fit .*; or close other programs/);
  assert.equal(checkMemory([planned({ step: "fused" })], 2 ** 31, { free }), 4096);
  const known = { host: 9 * GB, card: 0 };
  assert.ok(checkMemory([planned()], 2 ** 31, { free: known, fusedOps: true }) >= 1024); // which "auto" then takes, with moments in bfloat16
  assert.match(refusal([planned()], { free: known, fusedOps: false }), /found about \d+\.\d GB/);
  assert.match(refusal([planned({ step: "fused" }), planned({ step: "fused" })], { free: { host: 5.2 * GB, card: 0 } }), /batch 4096 and 1 more SAEs: .*1 of the SAEs at once would fit/);
});

test("where all fits, all rows are encoded at once; else as few as fit", () => {
  const plans = [planned()];
  assert.equal(checkMemory(plans, 0, { device: "cuda", free: { host: 64 * GB, card: 80 * GB } }), 4096);
  const rows = checkMemory(plans, 0, { device: "cuda", free: { host: 64 * GB, card: 9 * GB } });
  assert.ok(rows >= 16 && rows < 4096, `${rows}`);
  assert.equal(checkMemory(plans, 0, { device: "cuda", free: { host: 64 * GB, card: Infinity } }), 4096);
});
