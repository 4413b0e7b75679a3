import { execFile } from "node:child_process";
import { DeviceLostError, EngineError, MemoryError } from "../core/errors";

/**
 * WebGPU outside a browser: the npm package `webgpu`, which is Dawn with its binaries. On Linux it asks the Vulkan driver of the
 * card, on macOS Metal, on Windows Direct3D 12.
 * @see https://github.com/dawn-gpu/node-webgpu
 */

/** What bounds the shapes of a step; a subset of GPUSupportedLimits. */
export const LIMITS = [
  "maxStorageBufferBindingSize", "maxBufferSize", "maxStorageBuffersPerShaderStage", "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX", "maxComputeWorkgroupsPerDimension",
] as const;
export type Limits = Record<(typeof LIMITS)[number], number>;

/** A card as it was found. */
export type FoundGpu =
  | { there: true; name: string; software: boolean; limits: Limits }
  | { there: false; why: string; cure?: string };

/** A device that is open. */
export interface Gpu {
  device: GPUDevice;
  name: string;
  /** Computed by the CPU: a driver for tests. */
  software: boolean;
  /** A copy: tests make them smaller, so that tiny shapes take the ways of large ones. */
  limits: Limits;
  /** Why nothing comes from this device any more, if so. */
  lost(): DeviceLostError | undefined;
  /** The first fault since the last call that no scope had asked for: of a shader, a size, a binding. None must pass in silence. */
  fault(): EngineError | MemoryError | undefined;
}

type Dawn = { create(options: string[]): GPU; globals: Record<string, unknown> };

/** @throws EngineError where the package has nothing for this platform */
function dawn(): Dawn {
  try {
    const loaded = require("webgpu") as unknown as Dawn;
    // Constants as GPUBufferUsage and the classes of errors, which belong to the global scope as in a browser.
    for (const [name, value] of Object.entries(loaded.globals)) (globalThis as Record<string, unknown>)[name] ??= value;
    return loaded;
  } catch (error) {
    throw new EngineError(
      `webgpu: expected Dawn for ${process.platform} ${process.arch}, found: ${String((error as Error).message).split("\n")[0]}. ` +
      "Train on the CPU: { device: \"cpu\" }.");
  }
}

const numbers = (limits: GPUSupportedLimits): Limits => Object.fromEntries(LIMITS.map((name) => [name, limits[name]])) as Limits;

type Told = Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">;

/**
 * The card and its driver, on both of which rounding depends: "nvidia-geforce-rtx-4090 (NVIDIA: 580.65.06)". Dawn has the card's name in
 * `device`, in small letters with dashes, and the driver's in `description`.
 */
export function nameOf({ vendor, architecture, device, description }: Told): string {
  const card = device || [vendor, architecture].filter(Boolean).join(" ") || "unnamed";
  return description ? `${card} (${description})` : card;
}

/** Dawn calls the adapter a fallback where the driver says that it is a CPU: SwiftShader, lavapipe. */
const isSoftware = ({ isFallbackAdapter, architecture, description }: GPUAdapterInfo): boolean =>
  isFallbackAdapter || architecture === "swiftshader" || /llvmpipe|lavapipe|swiftshader/i.test(description);

const PREFERENCE: GPURequestAdapterOptions = { powerPreference: "high-performance" };

const ANSWER = "saelab: ";

/** What a child prints for findWebGpu, as JSON on a line that begins so. */
async function tell(): Promise<void> {
  const adapter = await dawn().create([]).requestAdapter(PREFERENCE);
  const found = adapter && { name: nameOf(adapter.info), software: isSoftware(adapter.info), limits: numbers(adapter.limits) };
  process.stdout.write(`\n${ANSWER}${JSON.stringify(found)}\n`);
}

const TIMEOUT = 60_000; // ms: the first start of a driver compiles things

const cures: Partial<Record<NodeJS.Platform, string>> = {
  linux: "Install the Vulkan loader and the card's driver (Debian, Ubuntu: apt install libvulkan1 mesa-vulkan-drivers; NVIDIA's driver brings its own).",
  darwin: "WebGPU needs macOS 11 and a card that Metal knows.",
  win32: "Update the card's driver: Direct3D 12 is needed.",
};

let found: Promise<FoundGpu> | undefined;

/**
 * Asks Dawn which card it would use; opens no device. A driver may write to stderr or end its process when it is asked, so a child
 * does that, once a process.
 * @returns never rejects: what went wrong is in `why`
 */
export function findWebGpu(): Promise<FoundGpu> {
  return (found ??= new Promise((resolve) => {
    const cure = cures[process.platform];
    const absent = (why: string): void => resolve({ there: false, why, ...(cure ? { cure } : {}) });
    execFile(process.execPath, [__filename], { timeout: TIMEOUT, encoding: "utf8" }, (error, stdout, stderr) => {
      const said = stderr.split("\n").find((line) => /\S/.test(line) && !/^\s+at /.test(line))?.trim();
      const last = stdout.split("\n").find((line) => line.startsWith(ANSWER))?.slice(ANSWER.length); // drivers may write there too
      if (error || !last) return absent(`WebGPU's driver did not answer (${said ?? error?.message.split("\n")[0] ?? "it said nothing"})`);
      const answer = JSON.parse(last) as { name: string; software: boolean; limits: Limits } | null;
      if (!answer) return absent(`WebGPU finds no card${said ? ` (${said.replace(/^Warning: /, "")})` : ""}`);
      resolve({ there: true, ...answer });
    });
  }));
}

let open: Promise<Gpu | undefined> = Promise.resolve(undefined);

/**
 * The one device of this process, with the card's own limits; a new one after a loss.
 * @throws EngineError when there is no card, naming the cure
 */
export function openWebGpu(): Promise<Gpu> {
  const one = open.catch(() => undefined).then((before) => (before && !before.lost() ? before : opened())); // one behind the other
  open = one;
  return one;
}

/** Devices keep it: Dawn ends with its last reference, and Node does not wait for it. */
const instances = new WeakMap<GPUDevice, GPU>();

async function opened(): Promise<Gpu> {
  const answer = await findWebGpu(); // also so that nothing is written to stderr where there is no driver
  if (!answer.there) throw new EngineError(`WebGPU: expected a card, found none: ${answer.why}. ${answer.cure ?? ""} Or train on the CPU: { device: "cpu" }.`);
  const gpu = dawn().create(["disable-dawn-features=timestamp_quantization"]); // which hides from web pages what a kernel took
  const adapter = await gpu.requestAdapter(PREFERENCE);
  if (!adapter) throw new EngineError(`WebGPU: expected ${answer.name}, which was there before, found no card. Is its driver being changed? Start Node again.`);
  const wanted: GPUFeatureName[] = ["timestamp-query", "shader-f16"];
  const device = await adapter.requestDevice({
    requiredFeatures: wanted.filter((feature) => adapter.features.has(feature)), requiredLimits: numbers(adapter.limits),
  });
  instances.set(device, gpu);
  const name = nameOf(adapter.info);
  let lost: DeviceLostError | undefined, fault: EngineError | MemoryError | undefined;
  void device.lost.then(({ message, reason }) => {
    lost = new DeviceLostError(
      `WebGPU: expected ${name} to stay, found it lost (${message.split("\n")[0] || reason}). What was on it is gone; a driver that was reset, a computation ` +
      "that took too long for it, or a card taken away do that. Go on from the last checkpoint: resume: true.");
  });
  device.addEventListener("uncapturederror", (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    event.preventDefault(); // Dawn would print it
    fault ??= faultOf(name, error);
  });
  return {
    device, name, software: isSoftware(adapter.info), limits: numbers(device.limits), lost: () => lost,
    fault() {
      const first = fault;
      fault = undefined;
      return first;
    },
  };
}

/** A fault in words; memory's has its own class. */
function faultOf(name: string, error: GPUError): EngineError | MemoryError {
  const said = error.message.trim().split("\n")[0].replace(/\.$/, "");
  if (error instanceof (globalThis as unknown as { GPUOutOfMemoryError: new (message: string) => GPUError }).GPUOutOfMemoryError) {
    return new MemoryError(`WebGPU on ${name}: expected memory for this step, found none left (${said}). Take fewer latents or a smaller batch.`, { intact: false });
  }
  return new EngineError(`WebGPU on ${name}: expected the card to accept a command, found: ${said}. This is a fault of saelab or of the driver: please report it.`);
}

if (require.main === module) void tell();
