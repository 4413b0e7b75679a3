import { readFileSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../core/errors";
import { packageRoot } from "./package";
import type { Gpu } from "./webgpu";

/** The kernels of src/native/*.wgsl: compiled with a step's sizes as constants, and run one behind the other. */

export interface Kernel {
  label: string;
  pipeline: GPUComputePipeline;
  source: Source;
}

/** A file, and what it says of its inputs. */
interface Source {
  text: string;
  /** Of the struct Given, in order. */
  given: { name: string; type: string }[];
  bindings: Record<string, number>;
}

/** What a source wants to know: numbers and truths become constants, text stands before it as it is. */
export type Constants = Record<string, number | boolean | string>;

const sources = new Map<string, Source>();

function source(file: string): Source {
  let found = sources.get(file);
  if (!found) {
    const text = readFileSync(join(packageRoot, "src", "native", `${file}.wgsl`), "utf8");
    const given = /^struct Given \{([^}]*)\}/m.exec(text)![1].replace(/\/\/.*$/gm, "");
    found = {
      text,
      given: Array.from(given.matchAll(/(\w+): (u32|f32)/g), ([, name, type]) => ({ name, type })),
      bindings: Object.fromEntries(Array.from(text.matchAll(/@binding\((\d+)\) var<[^>]*> (\w+):/g), ([, number, name]) => [name, Number(number)])),
    };
    sources.set(file, found);
  }
  return found;
}

/** Threads of a workgroup, by what they share. */
export interface Shape {
  T: 8 | 16; // each way in a dense product, whose tiles are T²/2 outputs each way
  rank: number; // of a row of pre-activations
  row: number; // of a row of width dOut
  lanes: number; // of a latent
}

/** As cards have it, and as a driver in software has it easier: there a barrier costs as much as it has threads. */
export const CARD: Shape = { T: 16, rank: 256, row: 128, lanes: 64 };
export const SOFTWARE: Shape = { T: 8, rank: 16, row: 8, lanes: 8 };

const constant = ([name, value]: [string, Constants[string]]): string =>
  typeof value === "string" ? value : `const ${name}${typeof value === "boolean" ? "" : ": u32"} = ${value}${typeof value === "boolean" ? "" : "u"};`;

const compilers = new WeakMap<GPUDevice, Compile>();

/**
 * Compiles on demand, each kernel once a device.
 * @returns a function that gives the kernel of an entry point, whose file is compiled with these constants
 */
export function compiler(gpu: Gpu): Compile {
  let compile = compilers.get(gpu.device);
  if (!compile) compilers.set(gpu.device, (compile = compilerOf(gpu)));
  return compile;
}

export type Compile = (file: string, entry: string, constants?: Constants) => Promise<Kernel>;

function compilerOf({ device, name }: Gpu): Compile {
  const modules = new Map<string, GPUShaderModule>();
  const kernels = new Map<string, Promise<Kernel>>();
  return (file, entry, constants = {}) => {
    const head = Object.entries(constants).map(constant).join("\n");
    const key = `${file}\n${head}`;
    const label = `${file}.${entry}`;
    const made = async (): Promise<Kernel> => {
      let module = modules.get(key);
      if (!module) modules.set(key, (module = device.createShaderModule({ label: file, code: `${head}\n${source(file).text}` })));
      try {
        return { label, source: source(file), pipeline: await device.createComputePipelineAsync({ label, layout: "auto", compute: { module, entryPoint: entry } }) };
      } catch (error) {
        throw new EngineError(
          `WebGPU on ${name}: expected to compile ${label} of src/native, found: ${String((error as Error).message).trim().split("\n")[0]}. ` +
          'Please report it; { device: "cpu" } trains meanwhile.');
      }
    };
    const which = `${entry}\n${key}`;
    let kernel = kernels.get(which);
    if (!kernel) kernels.set(which, (kernel = made()));
    return kernel;
  };
}

const SLOT = 256; // bytes, as uniform buffers are aligned
const SLOTS = 256; // kernels in one submission

export interface Commands {
  /**
   * @param groups workgroups, spread over two dimensions where one is too short: kernels number them as x + y·(groups in x)
   * @param buffers those that the kernel uses, by their names in its source
   * @param given the numbers of its struct Given; 0 for those left out
   */
  run(kernel: Kernel, groups: number, buffers: Record<string, GPUBuffer>, given: Record<string, number>): void;
  copy(from: GPUBuffer, fromByte: number, to: GPUBuffer, toByte: number, bytes: number): void;
  clear(buffer: GPUBuffer): void;
  /** Sends what was recorded; nothing waits for it. */
  submit(): void;
  dispose(): void;
}

/** Receives how long a kernel ran on the card. */
export type Trace = (kernel: string, milliseconds: number) => void;

/**
 * Records kernels for the device, which runs them in order, each after what the one before has written.
 * @param trace slows a little: each kernel is then measured, where the card has a clock
 */
export function commands({ device, limits }: Gpu, trace?: Trace): Commands {
  const clock = trace && device.features.has("timestamp-query") ? clockOf(device, trace) : undefined;
  const uniforms = device.createBuffer({ label: "given", size: SLOT * SLOTS, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  const written = new ArrayBuffer(SLOT * SLOTS);
  const numbers = new WeakMap<object, number>();
  let numbered = 0;
  const numberOf = (one: Kernel | GPUBuffer): number => {
    let number = numbers.get(one);
    if (number === undefined) numbers.set(one, (number = numbered++));
    return number;
  };
  // An update does the same as the one before it: binding buffers again would take longer than running small kernels.
  const groupsMade = new Map<string, GPUBindGroup>();
  let encoder: GPUCommandEncoder | undefined, pass: GPUComputePassEncoder | undefined, slot = 0;
  const recording = (): GPUCommandEncoder => (encoder ??= device.createCommandEncoder());
  const endPass = (): void => {
    pass?.end();
    pass = undefined;
  };
  const submit = (): void => {
    endPass();
    if (!encoder) return;
    const told = clock?.resolve(encoder);
    if (slot) device.queue.writeBuffer(uniforms, 0, written, 0, slot * SLOT);
    device.queue.submit([encoder.finish()]);
    told?.();
    encoder = undefined;
    slot = 0;
  };
  return {
    run(kernel, groups, bound, given) {
      if (groups === 0) return;
      if (slot === SLOTS) submit();
      const { given: fields, bindings } = kernel.source;
      const view = new DataView(written, slot * SLOT, SLOT);
      fields.forEach(({ name, type }, i) => (type === "f32" ? view.setFloat32(4 * i, given[name] ?? 0, true) : view.setUint32(4 * i, given[name] ?? 0, true)));
      const entries = Object.entries(bound).map(([name, buffer]) => ({ binding: bindings[name], resource: { buffer } }));
      const key = `${numberOf(kernel)} ${slot} ${entries.map(({ binding, resource }) => `${binding}:${numberOf(resource.buffer)}`).join(" ")}`;
      let group = groupsMade.get(key);
      if (!group) {
        if (groupsMade.size >= 4 * SLOTS) groupsMade.clear();
        group = device.createBindGroup({
          layout: kernel.pipeline.getBindGroupLayout(0),
          entries: [{ binding: 0, resource: { buffer: uniforms, offset: slot * SLOT, size: SLOT } }, ...entries],
        });
        groupsMade.set(key, group);
      }
      if (clock) endPass();
      pass ??= recording().beginComputePass(clock?.measures(kernel.label));
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, group);
      const down = Math.ceil(groups / limits.maxComputeWorkgroupsPerDimension);
      pass.dispatchWorkgroups(Math.ceil(groups / down), down);
      slot++;
    },
    copy(from, fromByte, to, toByte, bytes) {
      endPass();
      recording().copyBufferToBuffer(from, fromByte, to, toByte, bytes);
    },
    clear(buffer) {
      endPass();
      recording().clearBuffer(buffer);
    },
    submit,
    dispose() {
      uniforms.destroy();
      clock?.dispose();
    },
  };
}

/** Two times for each kernel of a submission, read when they are there. */
function clockOf(device: GPUDevice, trace: Trace) {
  const times = device.createQuerySet({ type: "timestamp", count: 2 * SLOTS });
  const resolved = device.createBuffer({ label: "times", size: 16 * SLOTS, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  let labels: string[] = [];
  return {
    measures(label: string): GPUComputePassDescriptor {
      const at = 2 * (labels.push(label) - 1);
      return { timestampWrites: { querySet: times, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } };
    },
    /** @returns what is to be done when it was submitted */
    resolve(encoder: GPUCommandEncoder): (() => void) | undefined {
      if (!labels.length) return undefined;
      const mine = labels, size = 16 * mine.length;
      labels = [];
      const staging = device.createBuffer({ label: "times", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      encoder.resolveQuerySet(times, 0, 2 * mine.length, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
      return () => void staging.mapAsync(GPUMapMode.READ).then(() => {
        const at = new BigUint64Array(staging.getMappedRange().slice(0));
        staging.destroy();
        mine.forEach((label, i) => trace(label, Number(at[2 * i + 1] - at[2 * i]) / 1e6));
      }, () => undefined); // a device that is lost measures nothing
    },
    dispose() {
      times.destroy();
      resolved.destroy();
    },
  };
}
