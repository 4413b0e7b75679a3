import { EngineError, MemoryError } from "../core/errors";
import type { Gpu } from "./webgpu";

/** Memory of a card: buffers that are asked for before they are used, what goes there and what comes back. */

const PIECE = 2 ** 25; // bytes sent or read at a time: Dawn holds as much again for each

export interface Memory {
  /**
   * A buffer of zeros.
   * @throws MemoryError when there is no room for it, or the card has no buffers of that size
   */
  make(what: string, bytes: number): Promise<GPUBuffer>;
  free(...buffers: (GPUBuffer | undefined)[]): void;
  write(buffer: GPUBuffer, data: Float32Array | Uint32Array | Int32Array, fromByte?: number): void;
  /** @throws DeviceLostError */
  read(buffer: GPUBuffer, fromByte: number, bytes: number): Promise<ArrayBuffer>;
  /** Bytes held. */
  held(): number;
  /** Frees all. */
  dispose(): void;
}

export function memory(gpu: Gpu): Memory {
  const { device, limits, name } = gpu;
  const buffers = new Set<GPUBuffer>();
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  const scoped = async (what: string, bytes: number, make: () => GPUBuffer): Promise<GPUBuffer> => {
    device.pushErrorScope("validation");
    device.pushErrorScope("out-of-memory");
    let made: GPUBuffer | undefined, thrown: unknown;
    try {
      made = make();
    } catch (error) {
      thrown = error;
    }
    const scopes = [device.popErrorScope(), device.popErrorScope()];
    const [short, invalid] = await settled(gpu, Promise.all(scopes));
    if (short || invalid) made?.destroy();
    if (short || thrown instanceof RangeError) {
      throw new MemoryError(
        `WebGPU on ${name}: ${what}: expected ${inMegabytes(bytes)} of the card's memory, found less left. Take fewer latents or a smaller batch, or end what else uses the card.`,
        { intact: true, bytes });
    }
    if (invalid || thrown) {
      throw new EngineError(`WebGPU on ${name}: ${what}: expected a buffer of ${bytes} bytes, found: ${(invalid?.message ?? (thrown as Error).message).trim().split("\n")[0]}. Please report it.`);
    }
    return made!;
  };
  const free: Memory["free"] = (...some) => {
    for (const buffer of some) {
      if (!buffer) continue;
      buffers.delete(buffer);
      buffer.destroy();
    }
  };
  return {
    async make(what, bytes) {
      const size = Math.max(16, 16 * Math.ceil(bytes / 16));
      if (size > most) {
        throw new MemoryError(
          `WebGPU on ${name}: ${what}: expected at most ${inMegabytes(most)} in one piece, found ${inMegabytes(size)}. Take a smaller batch or k.`, { intact: true, bytes });
      }
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
      const buffer = await scoped(what, size, () => device.createBuffer({ label: what, size, usage }));
      buffers.add(buffer);
      return buffer;
    },
    free,
    write(buffer, data, fromByte = 0) {
      for (let at = 0; at < data.length; at += PIECE / 4) {
        const count = Math.min(PIECE / 4, data.length - at);
        device.queue.writeBuffer(buffer, fromByte + 4 * at, data.buffer as ArrayBuffer, data.byteOffset + 4 * at, 4 * count);
      }
    },
    async read(buffer, fromByte, bytes) {
      const out = new Uint8Array(bytes);
      const size = Math.min(PIECE, bytes);
      if (size === 0) return out.buffer;
      const staging = await scoped("reading", size, () => device.createBuffer({ label: "reading", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }));
      try {
        for (let at = 0; at < bytes; at += size) {
          const count = Math.min(size, bytes - at);
          const encoder = device.createCommandEncoder();
          encoder.copyBufferToBuffer(buffer, fromByte + at, staging, 0, count);
          device.queue.submit([encoder.finish()]);
          await settled(gpu, staging.mapAsync(GPUMapMode.READ, 0, count));
          out.set(new Uint8Array(staging.getMappedRange(0, count)), at);
          staging.unmap();
        }
      } finally {
        staging.destroy();
      }
      return out.buffer;
    },
    held: () => Array.from(buffers).reduce((sum, { size }) => sum + size, 0),
    dispose: () => free(...buffers),
  };
}

/** What a device that is lost still answers is of no use, and what fails fails by what was wrong before it: that is said. */
async function settled<T>(gpu: Gpu, answer: Promise<T>): Promise<T> {
  try {
    const value = await answer;
    if (!gpu.lost()) return value;
  } catch (error) {
    await new Promise((resolve) => setImmediate(resolve)); // a loss is told a moment after what it broke
    throw gpu.lost() ?? gpu.fault() ?? error;
  }
  throw gpu.lost()!;
}

const inMegabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;
