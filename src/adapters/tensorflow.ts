import { EngineError, OptionError } from "../core/errors";
import { fromBfloat16, toBfloat16 } from "../core/safetensors";
import { DT, type Dtype } from "./dtype";
import { prepareEnvironment } from "./environment";
import { lostErrorOf, memoryErrorOf } from "./outofmemory";
import { leftOutTensorflow } from "./package";
import { portableBinding, type PortableDevice } from "./portable";

export { DT, type Dtype } from "./dtype";

/**
 * Finds TensorFlow, names it, and runs its kernels by name.
 *
 * TF.js reaches TensorFlow through a native binding whose executeOp runs any registered kernel eagerly, more of them than
 * TF.js itself wraps. Tensors are numbers here: ids of handles that the binding keeps until they are deleted. `tidy`
 * deletes what was made inside it.
 */

/** A tensor that the binding holds. */
export type Id = number & { readonly tensor: unique symbol };

/** What a kernel wants to know besides its inputs: { type } is a dtype, { shape } a shape; a number is an integer. */
export type Attributes = Record<string, number | boolean | string | { type: Dtype } | { shape: number[] }>;

/** The part of the native binding that is used; portable.ts has another one without TensorFlow. */
export interface Binding {
  TF_Version: string;
  TF_ATTR_STRING: number;
  TF_ATTR_INT: number;
  TF_ATTR_BOOL: number;
  TF_ATTR_TYPE: number;
  TF_ATTR_SHAPE: number;
  createTensor(shape: number[], dtype: number, data: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array;
  executeOp(name: string, attributes: unknown[], inputs: number[], outputs: number): { id: number; shape: number[]; dtype: number }[];
  getNumOfTensors(): number;
  isUsingGpuDevice(): boolean;
}

type TfModule = typeof import("@tensorflow/tfjs-node-gpu");

export interface Engine {
  /** TF.js, with TensorFlow underneath where the device is "cpu" or "cuda". */
  tf: TfModule;
  /** Version of the TensorFlow underneath, such as "2.21.0"; without one, of TF.js. */
  version: string;
  /** What computes, for messages and for what is remembered of a machine: "TensorFlow 2.21.0", "WebAssembly". */
  name: string;
  /** "wasm" and "js": without TensorFlow (portable.ts). */
  device: "cpu" | "cuda" | PortableDevice;
  /** Why it is not TensorFlow, where it is not. */
  instead?: Instead;
  /** Uploads an array. On the CPU the memory may be shared: the array must not change while the tensor lives. */
  tensor(data: Float32Array | Int32Array, shape: number[]): Id;
  /** The same, for a tensor that stays when the `tidy` around it ends: until it is freed. */
  lasting(data: Float32Array | Int32Array, shape: number[]): Id;
  /** Runs a kernel. @throws EngineError with the kernel's name; MemoryError where its memory could not be had */
  run(name: string, attributes: Attributes, inputs: Id[], outputs?: number): Id[];
  /** A copy of a tensor's values. */
  floats(id: Id): Float32Array;
  ints(id: Id): Int32Array;
  free(...ids: Id[]): void;
  /**
   * Deletes every tensor made inside `body`, also when it throws, but for those that `body` returns: as an Id, in an array
   * or in an object.
   */
  tidy<T>(body: () => T): T;
  /** Tensors the binding holds now, but for lasting ones: what a test of leaks counts. */
  live(): number;
}

/** What TensorFlow's place was taken for. */
export interface Instead {
  why: string;
  /** Where something helps. */
  cure?: string;
}

const REMEDY = "Run `npm run setup`: it installs TensorFlow into .venv and builds the binding against it (make and g++ are needed).";

let engine: Engine | undefined;

/**
 * The one TensorFlow of this process, loaded on first use; where it does not load, WebAssembly in its place, which is said once on
 * stderr. SAELAB_ENGINE=cpu takes TensorFlow on the processor or nothing, wasm and js do without it.
 * @throws EngineError when TensorFlow was asked for and is not there; OptionError when SAELAB_ENGINE is none of these
 */
export function tensorflow(): Engine {
  return (engine ??= load());
}

/** Why it is not TensorFlow that computes in this process; undefined while nothing was computed. */
export const withoutTensorflow = (): Instead | undefined => engine?.instead;

function load(): Engine {
  const asked = process.env.SAELAB_ENGINE || undefined;
  switch (asked) {
    case undefined: break;
    case "cpu":
      process.env.CUDA_VISIBLE_DEVICES = "-1"; // read by TensorFlow when it is loaded
      return native();
    case "wasm": case "js": return portable(asked, { why: `SAELAB_ENGINE=${asked} asks for it` });
    default: throw new OptionError(`SAELAB_ENGINE: expected cpu, wasm or js, found ${JSON.stringify(asked)}. Leave it unset for the best that there is.`);
  }
  try {
    return native();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const made = process.platform === "linux" && process.arch === "x64";
    if (made && leftOutTensorflow()) return portable("wasm", { why: "set-up was told to leave TensorFlow out (--no-tensorflow)", cure: "npx saelab setup --auto" });
    return portable("wasm", {
      why: made ? error.message.replace(` ${REMEDY}`, "").replace(/[.\s]+$/, "") : `TensorFlow's binding is made on Linux x64 only, this is ${process.platform} ${process.arch}`,
      ...(made ? { cure: "npx saelab setup" } : {}),
    });
  }
}

function native(): Engine {
  old();
  prepareEnvironment();
  let tf: TfModule;
  try {
    tf = require("@tensorflow/tfjs-node-gpu") as TfModule;
  } catch (error) {
    throw new EngineError(`@tensorflow/tfjs-node-gpu: expected its native binding, found: ${firstLine(error)}. ${REMEDY}`);
  }
  if (tf.getBackend() !== "tensorflow") {
    throw new EngineError(`TensorFlow.js: expected the backend "tensorflow", found "${tf.getBackend()}". ${REMEDY}`);
  }
  return engineOf(tf, (tf.backend() as unknown as { binding: Binding }).binding);
}

/** What TF.js 4.22 still calls and Node 23 removed. */
function old(): void {
  const util = require("node:util") as Record<string, unknown>;
  util.isNullOrUndefined ??= (value: unknown) => value === null || value === undefined;
  util.isArray ??= Array.isArray;
}

/** Kernels of portable.ts; TF.js, which danfojs and the reference of the training step want, on its own backend in JavaScript. */
function portable(device: PortableDevice, instead: Instead): Engine {
  old();
  const tf = require("@tensorflow/tfjs") as TfModule;
  void tf.setBackend("cpu"); // at once, as nothing is to be loaded for it
  if (tf.getBackend() !== "cpu") throw new EngineError(`TensorFlow.js: expected its backend "cpu", found "${tf.getBackend()}". Import saelab before another package that loads TensorFlow.js.`);
  (tf.backend() as unknown as { firstUse: boolean }).firstUse = false; // or it recommends another package at length
  const made = engineOf(tf, portableBinding(device), device, instead);
  const { why, cure } = instead;
  process.stderr.write(`saelab: ${made.name} computes instead of TensorFlow, several times as slowly: ${why}.${cure ? ` To have it: ${cure}` : ""}\n`);
  return made;
}

const firstLine = (error: unknown, without = /^/): string => String((error as Error)?.message ?? error).replace(without, "").split("\n")[0];
const STATUS = /^Invalid TF_Status: \d+\s+Message: /;

/** @param device of a binding that is not TensorFlow's own */
export function engineOf(tf: TfModule, binding: Binding, device?: PortableDevice, instead?: Instead): Engine {
  const name = device ? { wasm: "WebAssembly", js: "JavaScript" }[device] : `TensorFlow ${binding.TF_Version}`;
  const scopes: Set<Id>[] = [];
  const lasting = new Set<Id>();
  const keep = (id: number): Id => {
    scopes.at(-1)?.add(id as Id);
    return id as Id;
  };
  /** @throws MemoryError, DeviceLostError, or EngineError in place of what the binding throws */
  const typed = <T>(what: string, body: () => T): T => {
    try {
      return body();
    } catch (error) {
      throw memoryErrorOf(`${name}, ${what}`, error) ?? lostErrorOf(`${name}, ${what}`, error) ?? new EngineError(`${name}, ${what}: ${firstLine(error, STATUS)}`);
    }
  };
  const upload = (data: Float32Array | Int32Array, shape: number[]): Id =>
    typed(`a tensor [${shape.join(", ")}]`, () => binding.createTensor(shape, data instanceof Int32Array ? DT.i32 : DT.f32, data) as Id);
  const attribute = (name: string, value: Attributes[string]) => {
    switch (typeof value) {
      case "boolean": return { name, type: binding.TF_ATTR_BOOL, value };
      case "number": return { name, type: binding.TF_ATTR_INT, value };
      case "string": return { name, type: binding.TF_ATTR_STRING, value };
      default: return "type" in value ? { name, type: binding.TF_ATTR_TYPE, value: value.type } : { name, type: binding.TF_ATTR_SHAPE, value: value.shape };
    }
  };
  const free = (...ids: Id[]): void => {
    for (const id of ids) {
      for (const scope of scopes) scope.delete(id);
      lasting.delete(id);
      binding.deleteTensor(id);
    }
  };
  return {
    tf,
    version: device ? tf.version.tfjs : binding.TF_Version,
    name,
    device: device ?? (binding.isUsingGpuDevice() ? "cuda" : "cpu"),
    ...(instead ? { instead } : {}),
    tensor: (data, shape) => keep(upload(data, shape)),
    lasting(data, shape) {
      const id = upload(data, shape);
      lasting.add(id);
      return id;
    },
    run: (kernel, attributes, inputs, outputs = 1) => typed(`kernel ${kernel}`, () => {
      const encoded = Object.entries(attributes).map(([key, value]) => attribute(key, value));
      return binding.executeOp(kernel, encoded, inputs, outputs).map((out) => keep(out.id));
    }),
    floats: (id) => typed("reading a tensor", () => binding.tensorDataSync(id) as Float32Array),
    ints: (id) => typed("reading a tensor", () => binding.tensorDataSync(id) as Int32Array),
    free,
    tidy(body) {
      const scope = new Set<Id>();
      scopes.push(scope);
      let kept: unknown[] = [];
      try {
        const result = body();
        kept = ArrayBuffer.isView(result) ? [] : typeof result === "object" && result !== null ? Object.values(result) : [result];
        return result;
      } finally {
        scopes.pop();
        for (const id of scope) {
          if (kept.includes(id)) scopes.at(-1)?.add(id);
          else binding.deleteTensor(id);
        }
      }
    },
    live: () => binding.getNumOfTensors() - lasting.size,
  };
}

/** The kernels used here, typed and named. Shapes as in TensorFlow's own documentation. */
export function kernels(engine: Engine) {
  const { run, tensor } = engine;
  const f32 = { type: DT.f32 };
  const i32 = { type: DT.i32 };
  const scalar = (value: number): Id => tensor(Float32Array.of(value), []);
  const int = (value: number): Id => tensor(Int32Array.of(value), []);
  const ints = (...values: number[]): Id => tensor(Int32Array.from(values), [values.length]);
  const unary = (name: string) => (x: Id): Id => run(name, { T: f32 }, [x])[0];
  const binary = (name: string, T: Dtype = DT.f32) => (a: Id, b: Id): Id => run(name, { T: { type: T } }, [a, b])[0];
  const csr = (entries: Id, values: Id, shape: Id): Id => run("SparseTensorToCSRSparseMatrix", { T: f32 }, [entries, values, shape])[0];
  const off = { transpose_a: false, transpose_b: false, adjoint_a: false, adjoint_b: false, transpose_output: false, conjugate_output: false };
  const csrProduct = (sparse: Id, dense: Id): Id => run("SparseMatrixMatMul", { T: f32, ...off }, [sparse, dense])[0];
  return {
    scalar, int, ints,
    relu: (x: Id): Id => run("Relu", { T: f32 }, [x])[0],
    square: unary("Square"),
    rsqrt: unary("Rsqrt"),
    mul: binary("Mul"),
    add: binary("AddV2"),
    sub: binary("Sub"),
    squaredDifference: binary("SquaredDifference"),
    divide: binary("RealDiv"),
    /** Arithmetic of whole numbers. */
    whole: (type: Dtype) => ({
      add: binary("AddV2", type), sub: binary("Sub", type), mul: binary("Mul", type), divide: binary("FloorDiv", type),
      negate: (x: Id): Id => run("Neg", { T: { type } }, [x])[0],
    }),
    greater: (a: Id, b: Id): Id => run("Greater", { T: f32 }, [a, b])[0],
    /** a where `condition`, else b; scalars are spread. */
    select: (condition: Id, a: Id, b: Id): Id => run("SelectV2", { T: f32 }, [condition, a, b])[0],
    /** gradient where y > 0, else 0: what ReLU lets through. */
    reluGrad: (gradient: Id, y: Id): Id => run("ReluGrad", { T: f32 }, [gradient, y])[0],
    cast: (x: Id, from: Dtype, to: Dtype): Id => run("Cast", { SrcT: { type: from }, DstT: { type: to }, Truncate: false }, [x])[0],
    matMul: (a: Id, b: Id, { transposeA = false, transposeB = false, dtype = DT.f32 as Dtype } = {}): Id =>
      run("MatMul", { T: { type: dtype }, transpose_a: transposeA, transpose_b: transposeB }, [a, b])[0],
    batchMatMul: (a: Id, b: Id, transposeB = false): Id => run("BatchMatMulV2", { T: f32, adj_x: false, adj_y: transposeB }, [a, b])[0],
    reshape: (x: Id, shape: number[], dtype: Dtype = DT.f32): Id => run("Reshape", { T: { type: dtype }, Tshape: i32 }, [x, ints(...shape)])[0],
    slice: (x: Id, begin: number[], size: number[], dtype: Dtype = DT.f32): Id =>
      run("Slice", { T: { type: dtype }, Index: i32 }, [x, ints(...begin), ints(...size)])[0],
    concat: (parts: Id[], axis: number, dtype: Dtype = DT.f32): Id =>
      run("ConcatV2", { N: parts.length, T: { type: dtype }, Tidx: i32 }, [...parts, int(axis)])[0],
    /** Side by side, along a new axis. */
    pack: (parts: Id[], axis: number, dtype: Dtype): Id => run("Pack", { N: parts.length, T: { type: dtype }, axis }, parts)[0],
    /** The numbers of a vector. */
    unpack: (x: Id, count: number): Id[] => run("Unpack", { num: count, T: f32, axis: 0 }, [x], count),
    /** Rows of x [n, …] at `index`; with batchDims 1, of each batch row its own. */
    gather: (x: Id, index: Id, { batchDims = 0, dtype = DT.f32 as Dtype, indices = DT.i32 as Dtype } = {}): Id =>
      run("GatherV2", { batch_dims: batchDims, Tparams: { type: dtype }, Tindices: { type: indices }, Taxis: i32 }, [x, index, int(batchDims)])[0],
    sum: (x: Id, axes: number[], keepDims = false): Id => run("Sum", { T: f32, Tidx: i32, keep_dims: keepDims }, [x, ints(...axes)])[0],
    max: (x: Id, axis: number, dtype: Dtype = DT.f32): Id => run("Max", { T: { type: dtype }, Tidx: i32, keep_dims: false }, [x, int(axis)])[0],
    /** Largest k of each row, larger first, ties by smaller index. */
    topK: (x: Id, k: number, dtype: Dtype = DT.f32): Id[] =>
      run("TopKV2", { T: { type: dtype }, Tk: i32, index_type: i32, sorted: true }, [x, int(k)], 2),
    /**
     * Of each row of x [n, columns] the k largest, and those that equal the least of them; 0 elsewhere.
     * @param zero a scalar 0, where one is at hand
     */
    keepLargest(x: Id, k: number, n: number, card = engine.device === "cuda", zero = scalar(0)): Id {
      const least = card // which has no kernel for NthElement
        ? run("Slice", { T: f32, Index: i32 }, [run("TopKV2", { T: f32, Tk: i32, index_type: i32, sorted: true }, [x, int(k)], 2)[0], ints(0, k - 1), ints(n, 1)])[0]
        : run("NthElement", { T: f32, reverse: true }, [x, int(k - 1)])[0];
      const bound = run("Reshape", { T: f32, Tshape: i32 }, [least, ints(n, 1)])[0];
      const kept = run("GreaterEqual", { T: f32 }, [x, bound])[0];
      return run("SelectV2", { T: f32 }, [kept, x, zero])[0];
    },
    segmentSum: (x: Id, segments: Id, count: number): Id =>
      run("UnsortedSegmentSum", { T: f32, Tindices: i32, Tnumsegments: i32 }, [x, segments, int(count)])[0],
    /** The largest of each segment (int64); far below 0 where it has none. */
    segmentMax: (x: Id, segments: Id, count: number): Id =>
      run("UnsortedSegmentMax", { T: f32, Tindices: { type: DT.i64 }, Tnumsegments: i32 }, [x, segments, int(count)])[0],
    /** x with `updates` [m, w] added to its rows `index` [m, 1]. */
    addToRows: (x: Id, index: Id, updates: Id, type: Dtype = DT.i32): Id => run("TensorScatterAdd", { T: f32, Tindices: { type } }, [x, index, updates])[0],
    /**
     * Σ over rows b of values[b, i]·dense[b, :], gathered by latent index[b, i]: the transpose of a sparse [n, columns]
     * matrix with k entries a row, times dense [n, w]. → [columns, w]. Transposing the matrix first is several times as
     * fast as the product's own transpose_a.
     */
    scatterProduct: (entries: Id, values: Id, shape: Id, dense: Id): Id =>
      csrProduct(run("SparseMatrixTranspose", { conjugate: false, type: f32 }, [csr(entries, values, shape)])[0], dense),
    /** A sparse matrix, as scatterProduct takes it, times dense [columns, w] → [n, w]. */
    sparseProduct: (entries: Id, values: Id, shape: Id, dense: Id): Id => csrProduct(csr(entries, values, shape), dense),
    /** Places of a sparse [n, columns] matrix from column indices [n, k] (int32): [n·k, 2] and [2], int64. */
    entries(index: Id, n: number, k: number, columns: number): { entries: Id; shape: Id } {
      const rows = new Int32Array(n * k);
      for (let i = 0; i < rows.length; i++) rows[i] = Math.trunc(i / k);
      const long = (x: Id): Id => run("Cast", { SrcT: i32, DstT: { type: DT.i64 }, Truncate: false }, [x])[0];
      const flat = run("Reshape", { T: i32, Tshape: i32 }, [index, ints(n * k)])[0];
      const pairs = run("Pack", { N: 2, T: i32, axis: 1 }, [tensor(rows, [n * k]), flat])[0];
      return { entries: long(pairs), shape: long(ints(n, columns)) };
    },
    /** Eigenvalues ascending [d] and eigenvectors as columns [d, d] of a symmetric matrix, in float64. */
    eigen(x: Id): Id[] {
      const f64 = { type: DT.f64 };
      const wide = run("Cast", { SrcT: f32, DstT: f64, Truncate: false }, [x])[0];
      return run("SelfAdjointEigV2", { T: f64, compute_v: true }, [wide], 2).map((y) => run("Cast", { SrcT: f64, DstT: f32, Truncate: false }, [y])[0]);
    },
    /** A variable with a copy of `data`; make it outside `tidy`, and end it with `destroy`. */
    variable(data: Float32Array, shape: number[]): Id {
      const handle = run("VarHandleOp", { dtype: f32, shape: { shape }, shared_name: `saelab-${variables++}`, container: "" }, [])[0];
      const value = tensor(data.slice(), shape); // updates are made in place: never in the caller's memory
      run("AssignVariableOp", { dtype: f32 }, [handle, value], 0);
      engine.free(value);
      return handle;
    },
    /**
     * A tensor for kernels that write where it lies, never in the caller's memory. A typed array at an address that TensorFlow
     * takes (a multiple of 64) is its memory, and goes back to the system with it; TensorFlow keeps for itself what it allocates.
     */
    own(data: Float32Array, shape: number[]): Id {
      const copy = new Float32Array(...zeros(data.length));
      if (!allZero(data)) copy.set(data);
      return tensor(copy, shape);
    },
    /** The same as bfloat16, which the binding makes no tensors of: two in each int32 [⌈count / 2⌉]. `pairsOf` reads them. */
    ownPairs(data: Float32Array): Id {
      const pairs = new Int32Array(...zeros(Math.ceil(data.length / 2)));
      if (!allZero(data)) toBfloat16(data, new Uint16Array(pairs.buffer, pairs.byteOffset, data.length));
      return tensor(pairs, [pairs.length]);
    },
    /** Numbers from … to of such a tensor, widened. */
    pairsOf: (pairs: Id, from: number, to: number): Float32Array => engine.tidy(() => {
      const first = Math.floor(from / 2);
      const part = engine.ints(run("Slice", { T: i32, Index: i32 }, [pairs, ints(first), ints(Math.ceil(to / 2) - first)])[0]);
      return fromBfloat16(new Uint8Array(part.buffer, part.byteOffset + 2 * (from - 2 * first), 2 * (to - from)));
    }),
    read: (variable: Id): Id => run("ReadVariableOp", { dtype: f32 }, [variable])[0],
    assign: (variable: Id, value: Id): void => void run("AssignVariableOp", { dtype: f32 }, [variable, value], 0),
    destroy(variable: Id): void {
      run("DestroyResourceOp", { ignore_lookup_error: true }, [variable], 0);
      engine.free(variable);
    },
    /** One step of Adam in place. @param hyper six scalars: `adamNumbers` */
    adam: (variable: Id, m: Id, v: Id, gradient: Id, hyper: Id[]): void =>
      void run("ResourceApplyAdam", { T: f32, use_locking: false, use_nesterov: false }, [variable, m, v, ...hyper, gradient], 0),
  };
}

const LARGE = 2 ** 25; // bytes: from here on glibc maps blocks of their own

/** Where an array of so many numbers of 4 bytes begins at an address that TensorFlow takes. Pages of zeros cost nothing until they are written to. */
function zeros(count: number): [buffer: ArrayBuffer, offset: number, count: number] {
  const large = 4 * count >= LARGE;
  return [new ArrayBuffer(4 * count + (large ? 64 : 0)), large ? 48 : 0, count]; // large blocks begin 16 bytes behind a page
}

const allZero = (data: Float32Array): boolean => data.every((value) => Object.is(value, 0));

export const BETA1 = 0.9;
export const BETA2 = 0.999;
export const EPSILON = 1e-8;

/**
 * What Adam takes (β₁ 0.9, β₂ 0.999): β₁ᵗ, β₂ᵗ, the learning rate, β₁, β₂, ε. TensorFlow adds ε before the bias correction, PyTorch after
 * it: with ε·√(1 − β₂ᵗ) they agree.
 * @param t number of the step, from 1
 */
export const adamNumbers = (t: number, learningRate: number): number[] =>
  [BETA1 ** t, BETA2 ** t, learningRate, BETA1, BETA2, EPSILON * Math.sqrt(1 - BETA2 ** t)];

let variables = 0; // names must differ within the process
