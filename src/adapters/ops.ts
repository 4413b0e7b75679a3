import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { packageRoot } from "./package";
import type { Engine } from "./tensorflow";

/**
 * Brings the ops of src/native/ops.cc into the running TensorFlow, where they are then kernels like any other, run by name.
 * Set-up compiles them for the processor it runs on.
 *
 * For a card there are none: kernels in CUDA would be registered through the same C API, for the device "GPU" in place of "CPU", and be
 * compiled where nvcc is; there was no card to run them on, and one must not train by what never ran. A card has deferredstep.ts.
 */

export const OPS = join(packageRoot, "kernel-ext", "ops.node");

/** Beside OPS, written by set-up: `cpu`, for which it was compiled, `source`, of what, and `id`, of these and the compiler. */
export const OPS_BUILD = `${OPS}.json`;

/** What OPS is compiled of: the first includes the others. */
export const OPS_SOURCES = ["ops.cc", "half.h"].map((file) => join(packageRoot, "src", "native", file));

/** Names the sources as they are now. */
export function opsSource(): string {
  const hash = createHash("sha256");
  for (const file of OPS_SOURCES) hash.update(readFileSync(file));
  return hash.digest("hex").slice(0, 12);
}

/** Products in half precision, numbered as in src/native/half.h: AMX's tiles, AVX512-FP16, AVX512-BF16. */
export const HALVES = ["tiles", "fp16", "bf16"] as const;
export type Half = (typeof HALVES)[number];

export type Ops =
  | {
    /** Of the source, compiler and processor: other bits may come of another one. */
    id: string;
    /** Half-precision products that the processor has. */
    halves: Half[];
    setThreads(count: number): void;
  }
  | { why: string };

/** Names the processor as far as compiled code depends on it: its model and what it can do. Empty where Linux does not say. */
export function cpu(): string {
  let text: string;
  try {
    text = readFileSync("/proc/cpuinfo", "latin1");
  } catch {
    return "";
  }
  const line = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1] ?? "";
  const flags = createHash("sha256").update(line("flags")).digest("hex").slice(0, 12);
  return `${line("model name").trim()}, flags ${flags}`;
}

let loaded: Ops | undefined;

/** The ops, loaded on first use, with as many threads as the process may use; or why there are none. */
export function loadOps({ device }: Engine, file = OPS): Ops {
  if (file !== OPS) return load(device, file);
  return (loaded ??= load(device, file));
}

function load(device: Engine["device"], file: string): Ops {
  if (device === "wasm" || device === "js") return { why: "they are made for TensorFlow, which does not compute here" };
  if (device !== "cpu") return { why: "TensorFlow runs on a GPU, and they are made for the CPU" };
  const remedy = "run `npm run setup` (in a clone) or `npx saelab setup`";
  if (!existsSync(file)) return { why: `${file} was not built: ${remedy}` };
  try {
    const build = JSON.parse(readFileSync(`${file}.json`, "utf8")) as { cpu?: unknown; id?: unknown; source?: unknown };
    // Code for another processor would end the process at its first unknown instruction.
    if (build.cpu !== cpu() || typeof build.id !== "string") return { why: `${file} was built for another CPU (${build.cpu}): ${remedy}` };
    // An op that takes other inputs than it is given ends the process too.
    if (build.source !== opsSource()) return { why: `${file} was built of another version of src/native: ${remedy}` };
    const module = { exports: {} as { setThreads(count: number): void; halves: string[] } };
    process.dlopen(module, file);
    module.exports.setThreads(availableParallelism());
    const halves = HALVES.filter((name, number) => module.exports.halves[number] === name);
    return { id: build.id, halves, setThreads: module.exports.setThreads };
  } catch (error) {
    return { why: `${file} does not load (${String((error as Error).message).split("\n")[0]}): ${remedy}` };
  }
}
