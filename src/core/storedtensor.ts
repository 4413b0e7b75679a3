import { FormatError } from "./errors";
import { readFloats, readHeader, type ByteSource } from "./safetensors";

/**
 * Tensors that lie in a file, of whatever container: nothing is read before it is asked for, and then only the ranges that hold it.
 * A matrix must have its rows or its columns whole in the file: a transposed one is read in blocks.
 */
export interface StoredTensor {
  dtype: string; // as safetensors name them: F32, BF16 …
  shape: number[];
  /** In elements, one a dimension. */
  strides: number[];
  /** Byte of the first element. */
  offset: number;
  source: ByteSource;
}

export const BYTES: Record<string, number> = { F64: 8, I64: 8, F32: 4, I32: 4, F16: 2, BF16: 2, I16: 2, I8: 1, U8: 1, BOOL: 1 };

const BLOCK = 2 ** 21; // elements read at a time: 8 MB of float32

/** Strides of an array that lies row by row (C), or column by column (Fortran). */
export function denseStrides(shape: number[], fortran = false): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = 0; i < shape.length; i++) {
    const at = fortran ? i : shape.length - 1 - i;
    strides[at] = step;
    step *= shape[at];
  }
  return strides;
}

/**
 * A view on a storage, checked before anything of its size is made: whole numbers, inside the storage, rows or columns whole, no
 * element twice.
 * @param room elements of the storage, from its own first one
 * @param first element of the storage that the view begins with
 * @throws FormatError
 */
export function viewOf(
  where: string, storage: { dtype: string; offset: number; source: ByteSource; room: number }, first: unknown, shape: unknown, strides: unknown,
): StoredTensor {
  const fail = (what: string): never => {
    throw new FormatError(`${where}: expected a tensor within its storage of ${storage.room} elements, found ${what}. The file is damaged: copy or download it again.`);
  };
  const counts = (list: unknown): list is number[] => Array.isArray(list) && list.length <= 8 && list.every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!counts(shape) || !counts(strides) || shape.length !== strides.length || !Number.isSafeInteger(first) || (first as number) < 0) {
    return fail(`shape ${said(shape)}, strides ${said(strides)}, offset ${said(first)}`);
  }
  const count = shape.reduce((a, b) => a * b, 1);
  const last = (first as number) + shape.reduce((sum, size, i) => sum + (size - 1) * strides[i], 0);
  if (!(count <= storage.room) || (count > 0 && !(last < storage.room))) {
    return fail(`shape [${shape}] with strides [${strides}] from ${first}`);
  }
  const order = shape.map((_, i) => i).filter((i) => shape[i] > 1).sort((a, b) => strides[a] - strides[b]);
  order.forEach((i, at) => {
    const least = at ? strides[order[at - 1]] * shape[order[at - 1]] : 1;
    if (count > 0 && (at ? strides[i] < least : strides[i] !== 1)) fail(`shape [${shape}] with strides [${strides}], which repeats elements or leaves some out`);
  });
  return { dtype: storage.dtype, shape, strides, offset: storage.offset + (first as number) * BYTES[storage.dtype], source: storage.source };
}

const said = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map((one) => (typeof one === "object" ? "…" : String(one)))}]`;
  return typeof value === "object" ? "an object" : String(value);
};

/** The tensors of a safetensors file. @throws FormatError */
export function safetensorsIn(source: ByteSource, where: string): Map<string, StoredTensor> {
  return new Map([...readHeader(source, where).tensors].map(([name, { dtype, shape, offset }]) => [name, { dtype, shape, strides: denseStrides(shape), offset, source }]));
}

export const isFloating = ({ dtype }: StoredTensor): boolean => ["F32", "F16", "BF16", "F64"].includes(dtype);

const floats = ({ dtype, source, offset, shape }: StoredTensor, from: number, to: number): Float32Array =>
  readFloats(source, { dtype, shape, offset, bytes: 0 }, from, to);

/** All elements of a tensor of at most one dimension. */
export function readVector(tensor: StoredTensor): Float32Array {
  return floats(tensor, 0, tensor.shape[0] ?? 1);
}

/** The only element of a tensor, of a floating or whole type. @throws FormatError when there are several */
export function readScalar(tensor: StoredTensor, where: string): number {
  const count = tensor.shape.reduce((a, b) => a * b, 1);
  if (count !== 1) throw new FormatError(`${where}: expected a single number, found [${tensor.shape}].`);
  if (isFloating(tensor)) return floats(tensor, 0, 1)[0];
  const size = BYTES[tensor.dtype];
  const bytes = tensor.source.slice(tensor.offset, tensor.offset + size);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (tensor.dtype) {
    case "I64": return Number(view.getBigInt64(0, true));
    case "I32": return view.getInt32(0, true);
    case "I16": return view.getInt16(0, true);
    case "I8": return view.getInt8(0);
    default: return view.getUint8(0);
  }
}

/**
 * A matrix as float32, row by row; half precision is widened exactly, double rounded.
 * @param transposed rows of what is given are the tensor's columns
 * @param rows which of them, ascending; all by default
 * @returns [rows, the other dimension]
 */
export function readMatrix(tensor: StoredTensor, { transposed = false, rows }: { transposed?: boolean; rows?: Int32Array } = {}): Float32Array {
  const [r, c] = transposed ? [1, 0] : [0, 1];
  const R = tensor.shape[r], C = tensor.shape[c], rowStep = tensor.strides[r], columnStep = tensor.strides[c];
  const n = rows ? rows.length : R;
  const row = (i: number): number => (rows ? rows[i] : i);
  const out = new Float32Array(n * C);
  if (!out.length) return out;
  if (columnStep === 1 || C === 1) {
    const bytes = new Uint8Array(out.buffer);
    for (let i = 0; i < n;) {
      let next = i + 1; // rows that lie one behind the other are read together
      if (rowStep === C) while (next < n && row(next) === row(next - 1) + 1 && (next + 1 - i) * C <= BLOCK) next++;
      const from = row(i) * rowStep, to = from + (next - i) * C;
      if (tensor.dtype === "F32") bytes.set(tensor.source.slice(tensor.offset + 4 * from, tensor.offset + 4 * to), 4 * i * C); // as it lies there
      else out.set(floats(tensor, from, to), i * C);
      i = next;
    }
    return out;
  }
  // columns lie whole: of each, the range that holds the wanted rows; as many at a time as fill a block, if the range is all of them
  const low = row(0), span = row(n - 1) + 1 - low;
  const together = span === R && columnStep === R ? Math.max(1, Math.min(C, Math.floor(BLOCK / R))) : 1;
  for (let from = 0; from < C; from += together) {
    const count = Math.min(together, C - from);
    const block = floats(tensor, low + from * columnStep, low + from * columnStep + (count - 1) * columnStep + span);
    const wide = count === 1 ? span : columnStep;
    for (let i = 0; i < n; i++) {
      const at = row(i) - low;
      for (let j = 0; j < count; j++) out[i * C + from + j] = block[j * wide + at];
    }
  }
  return out;
}
