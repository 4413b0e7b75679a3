import { join } from "node:path";

/** What Jupyter keeps in kernel.json: how to start the kernel, and under which name to offer it. */
export interface KernelSpec {
  argv: string[];
  display_name: string;
  language: string;
  interrupt_mode: "signal" | "message";
  env: Record<string, string>;
  metadata: Record<string, unknown>;
}

/**
 * The kernelspec of saelab. Only node:path is used, so a set-up script may load this file before anything is installed.
 * @param node absolute path of the Node that runs the kernel: the one the native modules were built for
 * @param packageRoot folder of this package, the one that holds build/
 * @returns the object to write as <jupyter data folder>/kernels/saelab/kernel.json
 */
export function kernelSpec({ node, packageRoot }: { node: string; packageRoot: string }): KernelSpec {
  return {
    argv: [node, join(packageRoot, "build", "kernel-ext", "kernel", "main.js"), "{connection_file}"],
    display_name: "TypeScript (saelab)",
    language: "typescript",
    // A message reaches the kernel alone; a signal would also reach the processes that it and its cells have started.
    interrupt_mode: "message",
    env: {
      TF_ENABLE_ONEDNN_OPTS: "1", // up to 1.4× in TensorFlow's products
      TF_CPP_MIN_LOG_LEVEL: "2",
      TF_FORCE_GPU_ALLOW_GROWTH: "true", // take of the card what is needed, not all of it at once
      CUDA_CACHE_MAXSIZE: String(2 ** 32), // bytes: what the driver compiles for a new card is kept for the next start
      // bytes: keep freed tensors in the heap instead of giving pages back to the system at each step (up to 1.1×)
      MALLOC_MMAP_THRESHOLD_: String(1 << 30),
      MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
      MALLOC_TOP_PAD_: String(1 << 26),
    },
    metadata: { debugger: false },
  };
}
