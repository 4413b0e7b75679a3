import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Card } from "../../src/core/cards";
import { prepareEnvironment } from "../../src/adapters/environment";

const card = (index: number, free: number): Card => ({ index, name: "RTX 4090", uuid: `GPU-${index}`, memory: 24e9, free, processes: [] });
const none = () => ({ there: false as const, why: "no NVIDIA driver" });

test("float32 is float32, memory grows, cards are numbered as nvidia-smi does; what a user has set stays", () => {
  const env: NodeJS.ProcessEnv = {};
  prepareEnvironment(env, none);
  assert.deepEqual(env, {
    TF_ENABLE_ONEDNN_OPTS: "1", TF_CPP_MIN_LOG_LEVEL: "2", NVIDIA_TF32_OVERRIDE: "0", TF_FORCE_GPU_ALLOW_GROWTH: "true", CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    CUDA_CACHE_MAXSIZE: "4294967296", // in a plain script as in the kernel: or a new card's kernels are compiled at each start
  });
  const own = { TF_ENABLE_ONEDNN_OPTS: "0", TF_CPP_MIN_LOG_LEVEL: "0", NVIDIA_TF32_OVERRIDE: "1", TF_FORCE_GPU_ALLOW_GROWTH: "false", CUDA_DEVICE_ORDER: "FASTEST_FIRST", CUDA_CACHE_MAXSIZE: "0", CUDA_VISIBLE_DEVICES: "" };
  const kept = { ...own };
  prepareEnvironment(kept, () => assert.fail("cards are not asked for"));
  assert.deepEqual(kept, own);
});

test("of several cards the one with the most free memory is visible; of one nothing is said", () => {
  for (const [cards, want] of [[[card(0, 2e9), card(1, 20e9)], "GPU-1"], [[card(0, 2e9)], undefined]] as const) {
    const env: NodeJS.ProcessEnv = {};
    prepareEnvironment(env, () => ({ there: true, cards: [...cards] }));
    assert.equal(env.CUDA_VISIBLE_DEVICES, want);
  }
});

test("SAELAB_DEVICE=cpu: TensorFlow sees no card, unless somebody has said which", () => {
  const env: NodeJS.ProcessEnv = { SAELAB_DEVICE: "cpu" }, said: NodeJS.ProcessEnv = { SAELAB_DEVICE: "cpu", CUDA_VISIBLE_DEVICES: "1" };
  prepareEnvironment(env, () => assert.fail("cards are not asked for"));
  prepareEnvironment(said, () => assert.fail("cards are not asked for"));
  assert.deepEqual([env.CUDA_VISIBLE_DEVICES, said.CUDA_VISIBLE_DEVICES], ["-1", "1"]);
});

test("a driver that lists two cards is asked; one that fails leaves the variable alone", () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-smi-")), smi = join(folder, "nvidia-smi");
  const says = (body: string): string | undefined => {
    writeFileSync(smi, `#!/bin/sh\n${body}\n`);
    chmodSync(smi, 0o755);
    const env: NodeJS.ProcessEnv = { SAELAB_NVIDIA_SMI: smi };
    prepareEnvironment(env);
    return env.CUDA_VISIBLE_DEVICES;
  };
  try {
    const two = "0, GPU-aa, 24564, 300, 580.65.06, 8.9, NVIDIA GeForce RTX 4090\n1, GPU-bb, 24564, 24000, 580.65.06, 8.9, NVIDIA GeForce RTX 4090";
    assert.equal(says(`case "$1" in --query-gpu*) cat <<END\n${two}\nEND\n;; esac`), "GPU-bb");
    // the first is too new for this driver: TensorFlow would take it all the same
    const one = two.replace("580.65.06, 8.9", "550.90.07, 12.0").replace("580.65.06", "550.90.07");
    assert.equal(says(`case "$1" in --query-gpu*) cat <<END\n${one}\nEND\n;; esac`), "GPU-bb");
    assert.equal(says("exit 9"), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
