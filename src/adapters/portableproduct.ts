import { blankFloats } from "./portablepool";
import { threaded, type Rows } from "./portablethreads";

/**
 * Products of matrices without TensorFlow: a kernel of WebAssembly's 128-bit instructions, assembled here, or the same in
 * JavaScript where the engine has none. Measured at 256 × 1536 · 1536 × 4096, one core: 30 GFLOP/s, and 3 in JavaScript; the
 * product of TF.js' own wasm backend 1. No file and no network is needed, and nothing to wait for.
 */

/** A matrix [rows, columns] as it lies in memory, or the transpose of one that lies as [columns, rows]. */
export interface Matrix {
  data: Float32Array;
  rows: number;
  columns: number;
  transposed: boolean;
}

/** a [n, k] · bᵀ, b [m, k] → [n, m] */
export type Product = (a: Matrix, b: Matrix) => Float32Array;

/** Of two tiles of rows of `inner` floats each, a multiple of 4, in `memory`: every row of one with every row of the other. */
interface Kernel {
  memory: Float32Array;
  run(tile: { n: number; m: number; inner: number }): void;
}

const ROWS = 512, INNER = 2048; // of a tile: 4 MB
const SECOND = ROWS * INNER, OUT = 2 * SECOND; // where the second tile and the result begin, in floats
const FLOATS = OUT + ROWS * ROWS;

const up = (n: number, to = 4): number => Math.ceil(n / to) * to;

/** Cuts matrices of any size into tiles that the kernel takes. Sums of more than 2048 numbers are made of partial ones. */
const tiled = ({ memory, run }: Kernel): Product => (a, b) => {
  const n = a.rows, m = b.rows, k = a.columns;
  const out = blankFloats(n * m);
  if (k === 0) out.fill(0);
  for (let p = 0; p < k; p += INNER) {
    const inner = Math.min(INNER, k - p), width = up(inner);
    for (let j = 0; j < m; j += ROWS) {
      const right = Math.min(ROWS, m - j);
      pack(memory, SECOND, b, j, right, p, inner);
      for (let i = 0; i < n; i += ROWS) {
        const left = Math.min(ROWS, n - i);
        if (n > ROWS || j === 0) pack(memory, 0, a, i, left, p, inner);
        run({ n: up(left), m: up(right), inner: width });
        for (let row = 0; row < left; row++) {
          const from = OUT + row * up(right), to = (i + row) * m + j;
          if (p === 0) out.set(memory.subarray(from, from + right), to);
          else for (let c = 0; c < right; c++) out[to + c] += memory[from + c];
        }
      }
    }
  }
  return out;
};

/** Rows from … of a matrix, columns first …, each filled up with zeros to a multiple of 4 floats. */
function pack(memory: Float32Array, at: number, { data, rows, columns, transposed }: Matrix, from: number, count: number, first: number, inner: number): void {
  const width = up(inner);
  for (let row = 0; row < count; row++) {
    const to = at + row * width;
    if (!transposed) {
      const begin = (from + row) * columns + first;
      memory.set(data.subarray(begin, begin + inner), to);
    }
    memory.fill(0, to + inner, to + width);
  }
  if (!transposed) return;
  for (let c = 0; c < inner; c++) { // reads go along the memory
    const begin = (first + c) * rows + from;
    for (let row = 0, to = at + c; row < count; row++, to += width) memory[to] = data[begin + row];
  }
}

/** What is used of it: Node's types name no values. */
interface Assembly {
  Memory: new (size: { initial: number; maximum: number; shared: boolean }) => { buffer: SharedArrayBuffer };
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> };
  CompileError: ErrorConstructor;
}
const assembly = (): Assembly | undefined => (globalThis as unknown as { WebAssembly?: Assembly }).WebAssembly; // none with node --jitless

const PAGES = Math.ceil((4 * FLOATS) / 65536);

/** The kernel of a module over a memory. */
export function rowsOf(bytes: Uint8Array, memory: object): Rows {
  const { Instance, Module } = assembly()!;
  return new Instance(new Module(bytes), { host: { memory } }).exports.product as Rows;
}

/** The product by WebAssembly; undefined where the engine has none of its 128-bit instructions. */
export function wasmProduct(): Product | undefined {
  const found = assembly();
  if (!found) return undefined;
  try {
    const memory = new found.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    const bytes = assembled();
    return tiled({ memory: new Float32Array(memory.buffer), run: threaded(bytes, memory, rowsOf(bytes, memory)) });
  } catch (error) {
    if (error instanceof found.CompileError) return undefined;
    throw error;
  }
}

/** The same in JavaScript, sums in float64. */
export function plainProduct(): Product {
  const memory = new Float32Array(FLOATS);
  return tiled({
    memory,
    run({ n, m, inner }) {
      for (let j = 0; j < m; j += 4) {
        const b = SECOND + j * inner;
        for (let i = 0; i < n; i += 2) {
          const a = i * inner;
          let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
          for (let p = 0; p < inner; p++) {
            const x0 = memory[a + p], x1 = memory[a + inner + p];
            const y0 = memory[b + p], y1 = memory[b + inner + p], y2 = memory[b + 2 * inner + p], y3 = memory[b + 3 * inner + p];
            s00 += x0 * y0; s01 += x0 * y1; s02 += x0 * y2; s03 += x0 * y3;
            s10 += x1 * y0; s11 += x1 * y1; s12 += x1 * y2; s13 += x1 * y3;
          }
          memory.set([s00, s01, s02, s03], OUT + i * m + j);
          memory.set([s10, s11, s12, s13], OUT + (i + 1) * m + j);
        }
      }
    },
  });
}

/**
 * A module that imports host.memory and exports product(from, n, m, innerBytes, outBytes), for rows from … n: of 2 rows and 4 rows at a time the 8 sums
 * of products, 4 numbers at once, whose parts are added up at the end. 11 registers; 3 × 4 and 4 × 4 were slower.
 * @see https://webassembly.github.io/spec/core/binary/: modules, instructions, vector instructions
 */
function assembled(): Uint8Array<ArrayBuffer> {
  const R = 2, C = 4;
  const I32 = 0x7f, V128 = 0x7b;
  let locals = 5;
  const local = (): number => locals++;
  const [from, n, m, inner, outBytes] = [0, 1, 2, 3, 4];
  const i = local(), j = local(), p = local(), to = local();
  const left = Array.from({ length: R }, local), right = Array.from({ length: C }, local);
  const integers = locals - 5;
  const sums = Array.from({ length: R * C }, local), x = Array.from({ length: R }, local), y = local();
  const vectors = locals - 5 - integers;

  const get = (of: number): number[] => [0x20, of];
  const set = (of: number): number[] => [0x21, of];
  const constant = (value: number): number[] => [0x41, ...signed(value)];
  const ADD = 0x6a, MULTIPLY = 0x6c, LESS = 0x49; // of i32, LESS without signs
  const LOAD = [0xfd, 0x00, 4, 0], F32X4_ADD = [0xfd, ...unsigned(0xe4)], F32X4_MULTIPLY = [0xfd, ...unsigned(0xe6)];
  const ZERO = [0xfd, 0x0c, ...new Array<number>(16).fill(0)];
  /** Runs the body with a counter that grows from `begin` by `step`, while it is below `end`; once at least. */
  const loop = (counter: number, begin: number[], step: number, end: number, body: number[]): number[] => [
    ...begin, ...set(counter), 0x03, 0x40, ...body, ...get(counter), ...constant(step), ADD, 0x22, counter, ...get(end), LESS, 0x0d, 0, 0x0b,
  ];
  /** base + (counter + offset)·innerBytes */
  const row = (base: number, counter: number, offset: number): number[] =>
    [...get(counter), ...constant(offset), ADD, ...get(inner), MULTIPLY, ...constant(base), ADD];
  const sumOf = (vector: number): number[] => [0, 1, 2, 3].flatMap((lane) => [...get(vector), 0xfd, 0x1f, lane, ...(lane ? [0x92] : [])]);

  const products = [
    ...left.flatMap((base, r) => [...get(base), ...get(p), ADD, ...LOAD, ...set(x[r])]),
    ...right.flatMap((base, c) => [
      ...get(base), ...get(p), ADD, ...LOAD, ...set(y),
      ...x.flatMap((vector, r) => [...get(sums[r * C + c]), ...get(vector), ...get(y), ...F32X4_MULTIPLY, ...F32X4_ADD, ...set(sums[r * C + c])]),
    ]),
  ];
  const stores = sums.flatMap((sum, at) => [
    ...get(to), ...(at >= C ? [...get(outBytes), ADD] : []), ...sumOf(sum), 0x38, 2, 4 * (at % C), // R = 2: the second row is one further
  ]);
  const code = [
    ...loop(j, constant(0), C, m, [
      ...right.flatMap((base, c) => [...row(4 * SECOND, j, c), ...set(base)]),
      ...loop(i, get(from), R, n, [
        ...left.flatMap((base, r) => [...row(0, i, r), ...set(base)]),
        ...get(i), ...get(outBytes), MULTIPLY, ...get(j), ...constant(4), MULTIPLY, ADD, ...constant(4 * OUT), ADD, ...set(to),
        ...sums.flatMap((sum) => [...ZERO, ...set(sum)]),
        ...loop(p, constant(0), 16, inner, products),
        ...stores,
      ]),
    ]),
    0x0b,
  ];
  const body = [2, integers, I32, vectors, V128, ...code];
  const section = (id: number, bytes: number[]): number[] => [id, ...unsigned(bytes.length), ...bytes];
  const text = (word: string): number[] => [word.length, ...Buffer.from(word)];
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 5, I32, I32, I32, I32, I32, 0]),
    ...section(2, [1, ...text("host"), ...text("memory"), 2, 3, ...unsigned(PAGES), ...unsigned(PAGES)]), // shared
    ...section(3, [1, 0]),
    ...section(7, [1, ...text("product"), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}

/** LEB128 */
function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}
