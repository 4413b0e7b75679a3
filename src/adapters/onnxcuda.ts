import { existsSync, readFileSync, realpathSync } from "node:fs";
import { constants } from "node:os";
import path from "node:path";

/**
 * The libraries of CUDA 13 that ONNX Runtime's CUDA provider asks for.
 *
 * Set-up lays the provider beside ONNX Runtime's own library as a link into a folder that has those libraries too. The system's loader would
 * look for them only where LD_LIBRARY_PATH said when Node started; what is loaded already it finds by name. So they are loaded by their paths.
 */

/** In this order: each finds those that it needs. cuDNN is the only one that lies elsewhere. */
const LIBRARIES = ["libcudart.so.13", "libnvJitLink.so.13", "libnvrtc.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcufft.so.12", "libcudnn.so.9"];
const FOLDERS = ["nvidia/cu13/lib", "nvidia/cudnn/lib"];

const KEEP = 0x1000; // RTLD_NODELETE: Node closes what turns out to be no addon

export const PROVIDER = "libonnxruntime_providers_cuda.so";

/** Where onnxruntime-node looks for its providers: beside its own library. */
export const providerFolder = (): string => path.join(path.dirname(require.resolve("onnxruntime-node/package.json")), "bin", "napi-v6", process.platform, process.arch);

let loaded: { why?: string } | undefined;

/**
 * Loads them, once for the process, from any of its threads; before the first session on CUDA is made. Without a card it does no harm.
 * @returns undefined when all are there, or when the provider is not set-up's and finds its libraries by itself; else what is wrong
 */
export function loadOnnxCuda(folder = providerFolder()): string | undefined {
  return (loaded ??= { why: load(folder) }).why;
}

function load(folder: string): string | undefined {
  const provider = path.join(folder, PROVIDER);
  if (!existsSync(provider)) return `${provider} is not there: npx saelab setup --cuda installs it`;
  const home = path.resolve(path.dirname(realpathSync(provider)), "..", "..");
  if (!existsSync(path.join(home, "nvidia"))) return undefined;
  const mapped = readFileSync("/proc/self/maps", "utf8");
  for (const name of LIBRARIES) {
    // TensorFlow on CUDA has a cuDNN of this very name. A second one would mix its parts with the first one's: whichever came first serves both.
    if (mapped.includes(`/${name}`)) continue;
    const file = FOLDERS.map((at) => path.join(home, at, name)).find(existsSync);
    if (!file) return `${name}: expected in ${home}, not found: npx saelab setup --cuda installs it`;
    try {
      process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_LAZY | KEEP);
    } catch (error) {
      if (!/did not self-register/.test((error as Error).message)) return `${file}: ${(error as Error).message}`; // that one says: loaded, and no addon
    }
  }
  return undefined;
}
