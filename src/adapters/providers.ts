import type { InferenceSession } from "onnxruntime-node";
import { EngineError } from "../core/errors";
import { ELEMENT, type OnnxModel } from "../core/onnx";
import { loadOnnxCuda } from "./onnxcuda";

/**
 * ONNX Runtime's execution providers: what each is told, and what its faults mean.
 *
 *   cuda    NVIDIA: libonnxruntime_providers_cuda.so beside ONNX Runtime's own library, with CUDA 13 and cuDNN 9
 *   webgpu  any card with Vulkan, Metal or Direct3D 12: inside ONNX Runtime's own library
 *   cpu
 *
 * Away from the CPU, attention is built operator by operator. GroupQueryAttention of version 1.30 is no common ground: WebGPU's ignores
 * the soft cap, does not give patterns, and on an adapter with subgroups of 4 was wrong in every text from 32 tokens on; CUDA's is for
 * half precision only.
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/OperatorKernels.md
 */
export interface Provider {
  device: "cuda" | "webgpu" | "cpu";
  /** Of the card or the processor. */
  name: string;
  /** Number of the card, of CUDA's. */
  card?: number;
  /** Bytes free on the card, where the driver tells. */
  memory?: number;
}

export const CPU: Provider = { device: "cpu", name: "CPU" };

type Providers = NonNullable<InferenceSession.SessionOptions["executionProviders"]>;

/** Names for the nodes that WebGPU must not have, so that they can be told: half precision as it is stored, which not every card computes. */
export function leftToCpu(model: OnnxModel): { model: OnnxModel; names: string[] } {
  const half = new Set(model.initializers.filter(({ type }) => type === ELEMENT.FLOAT16 || type === ELEMENT.BFLOAT16).map(({ name }) => name));
  const names: string[] = [];
  const nodes = model.nodes.map((node, i) => {
    if (!node.inputs.some((name) => half.has(name))) return node;
    // what is gathered is half as well, until it is cast
    if (node.op !== "Cast") for (const name of node.outputs) half.add(name);
    names.push(node.name ?? `left.${i}`);
    return { ...node, name: node.name ?? `left.${i}` };
  });
  return { model: { ...model, nodes }, names };
}

/**
 * @param onCpu names of nodes that are left to the CPU
 * @param stays outputs that stay on the card: keys and values for the next step
 */
export function providerOptions({ device, card }: Provider, onCpu: string[], stays: string[]): Pick<InferenceSession.SessionOptions, "executionProviders" | "preferredOutputLocation"> {
  if (device === "cpu") return { executionProviders: ["cpu"] };
  if (device === "cuda") return { executionProviders: [{ name: "cuda", deviceId: card ?? 0 }] as Providers };
  return {
    executionProviders: [{ name: "webgpu", ...(onCpu.length ? { forceCpuNodeNames: onCpu } : {}) }] as Providers, // an empty list is refused
    ...(stays.length ? { preferredOutputLocation: Object.fromEntries(stays.map((name) => [name, "gpu-buffer" as const])) } : {}),
  };
}

/**
 * Before the first session, from the main thread, whose environment is the process's: CUDA's products in float32, not in TF32, and its libraries.
 * @throws EngineError when one of them is missing
 */
export function prepareProcess({ device, name }: Provider): void {
  if (device !== "cuda") return;
  process.env.NVIDIA_TF32_OVERRIDE ??= "0";
  const why = loadOnnxCuda();
  if (why) throw new EngineError(`ONNX Runtime on ${name}: expected CUDA's libraries, found that one is missing: ${why}. Or open the model with { device: "webgpu" } or { device: "cpu" }.`);
}

/** What an error of ONNX Runtime says of the device: that it is gone, or that its memory is full. */
export function faultOf(message: string): "lost" | "memory" | undefined {
  if (/device (is |was )?lost|DeviceLost|DEVICE_LOST|CUDA failure (4|46|74|700|702|709|710|719|999)\b|cudaErrorIllegalAddress|unspecified launch failure|illegal memory access|CUDNN_STATUS_EXECUTION_FAILED|GPU is lost/i.test(message)) return "lost";
  if (/out of memory|OutOfMemory|OUT_OF_(DEVICE|HOST)_MEMORY|Failed to allocate memory|Available memory of \d+ is smaller|CUDA failure 2\b|CUBLAS_STATUS_ALLOC_FAILED|Cannot allocate|bad_alloc/i.test(message)) return "memory";
  return undefined;
}

