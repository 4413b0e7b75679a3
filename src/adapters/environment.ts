import { existsSync, readdirSync } from "node:fs";
import { chooseCard, type FoundCards } from "../core/cards";
import { judgeNvidia, readNvidia, usableCards } from "./nvidia";

/**
 * What libtensorflow, CUDA and cuBLAS read from the environment when they are loaded; what a user has set stays.
 * @param find the cards; asked only where nobody has said which are visible
 */
export function prepareEnvironment(env: NodeJS.ProcessEnv = process.env, find: () => FoundCards & { seen?: number } = () => cards(env)): void {
  env.TF_ENABLE_ONEDNN_OPTS ??= "1"; // products are up to 1.4 times as fast
  env.TF_CPP_MIN_LOG_LEVEL ??= "2"; // no start-up notices on stderr
  env.NVIDIA_TF32_OVERRIDE ??= "0"; // float32 is float32: TF32 has 10 bits of fraction
  env.TF_FORCE_GPU_ALLOW_GROWTH ??= "true"; // not the whole card at once: others may be on it, ONNX Runtime of this process too
  env.CUDA_DEVICE_ORDER ??= "PCI_BUS_ID"; // cards are numbered as nvidia-smi numbers them
  env.CUDA_CACHE_MAXSIZE ??= String(2 ** 32); // bytes: what the driver compiles for a new card is kept for the next start
  if (env.SAELAB_DEVICE === "cpu") env.CUDA_VISIBLE_DEVICES ??= "-1"; // or TensorFlow would compute on a card all the same
  if (env.CUDA_VISIBLE_DEVICES !== undefined) return;
  // Of several cards TF.js' binding puts tensors on the last one and runs kernels on the first.
  const found = find(), { visible } = chooseCard(found, env, found.seen);
  if (visible !== undefined) env.CUDA_VISIBLE_DEVICES = visible;
}

/** Those that TensorFlow can compute on. nvidia-smi takes a tenth of a second: it is asked only where there may be several. */
function cards(env: NodeJS.ProcessEnv): FoundCards & { seen?: number } {
  const several = env.SAELAB_NVIDIA_SMI !== undefined || existsSync("/dev/dxg") || listed("/proc/driver/nvidia/gpus") > 1;
  if (!several) return { there: false, why: "there are not several" };
  const found = readNvidia({ env });
  return found.there ? { ...found, cards: usableCards(found, judgeNvidia(found).tensorflow), seen: found.cards.length } : found;
}

function listed(folder: string): number {
  try {
    return readdirSync(folder).length;
  } catch {
    return 0;
  }
}
