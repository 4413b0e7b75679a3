import { DeviceLostError, MemoryError } from "../core/errors";

/** How TensorFlow says that it has no memory, or no card any more, typed. */

const SIZES: Record<string, number> = { float: 4, int32: 4, double: 8, int64: 8, half: 2, bfloat16: 2, bool: 1, uint8: 1, int8: 1 };

/** Status 8 is RESOURCE_EXHAUSTED (tsl/protobuf/error_codes.proto); the others are what V8 and cuBLAS say. */
const EXHAUSTED = /TF_Status: 8\b|OOM when allocating|failed to allocate memory|Array buffer allocation failed|CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED/;

/**
 * @param where what was done
 * @param error as TensorFlow or its binding threw it
 * @returns nothing where it is another error. What failed did not begin: `intact` is true
 */
export function memoryErrorOf(where: string, error: unknown): MemoryError | undefined {
  if (error instanceof MemoryError) return error;
  const said = String((error as Error)?.message ?? error);
  if (!EXHAUSTED.test(said)) return undefined;
  const tensor = /shape ?\[([\d,]*)\] and type (\w+)/.exec(said);
  const bytes = tensor && tensor[2] in SIZES ? tensor[1].split(",").reduce((product, size) => product * Number(size || 1), SIZES[tensor[2]]) : undefined;
  const card = /GPU|CUDA/.test(said);
  const wanted = tensor ? `memory for a tensor [${tensor[1].replaceAll(",", ", ")}]${bytes === undefined ? "" : ` of ${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`}` : "memory";
  return new MemoryError(
    `${where}: expected ${wanted} ${card ? "on the card" : "of this machine"}, found it exhausted. ` +
    `End what else uses it${card ? " (nvidia-smi lists it)" : ""}, or take a smaller batch or fewer latents.`,
    { intact: true, bytes, cause: error });
}

/** CUDA's errors after which a process gets nothing more from the card (cudaError_enum in cuda.h). */
const LOST = /CUDA_ERROR_(ILLEGAL_ADDRESS|LAUNCH_FAILED|LAUNCH_TIMEOUT|ECC_UNCORRECTABLE|NVLINK_UNCORRECTABLE|HARDWARE_STACK_ERROR|DEVICE_UNAVAILABLE|CONTEXT_IS_DESTROYED|UNKNOWN)\b/;

/** @returns nothing where the card is still there */
export function lostErrorOf(where: string, error: unknown): DeviceLostError | undefined {
  const [said] = LOST.exec(String((error as Error)?.message ?? error)) ?? [];
  return said === undefined ? undefined : new DeviceLostError(
    `${where}: expected the card, found it lost (${said}), and with it what lay in its memory. ` +
    "Look for `NVRM: Xid` in `dmesg`, start this process again, and go on from the last checkpoint.", { cause: error });
}

/**
 * Changes a state in place: without memory in the middle of it the state is lost.
 * @throws MemoryError that says so
 */
export function changing<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    const memory = memoryErrorOf("an update", error);
    throw memory ? new MemoryError(memory.message, { intact: false, bytes: memory.bytes, cause: memory.cause }) : error;
  }
}
