import { DT } from "./dtype";
import { blank, type Numbers } from "./portablepool";
import { countOf, stridesIn, tensorOf, type Kernel, type Tensor } from "./portabletensor";

/** TensorFlow's kernels that reduce and choose, in JavaScript, by their names there: sums, maxima, the k largest. */

/** Shape of a reduction, and for its steps those of the axes that stay. */
function reduced(x: Tensor, axes: Numbers, keepDims: boolean): { shape: number[]; strides: number[] } {
  const gone = new Set(Array.from(axes, (axis) => (axis < 0 ? axis + x.shape.length : axis)));
  const kept = x.shape.map((size, axis) => (gone.has(axis) ? 1 : size));
  return { shape: keepDims ? kept : x.shape.filter((_, axis) => !gone.has(axis)), strides: stridesIn(x.shape, kept) };
}

/** Sums are made in float64. */
const sum: Kernel = ([x, axes], { keep_dims: keepDims }) => {
  const { shape, strides } = reduced(x, axes.data, keepDims as boolean);
  const out = new Float64Array(countOf(shape));
  eachRow(x.shape, strides, (from, columns, to, step) => {
    if (step) for (let c = 0; c < columns; c++) out[to + c * step] += x.data[from + c];
    else {
      let total = 0;
      for (let c = 0; c < columns; c++) total += x.data[from + c];
      out[to] += total;
    }
  });
  const result = blank(x.dtype, out.length);
  result.set(out);
  return [tensorOf(result, shape, x.dtype)];
};

/** Walks along x, row by row, and along the result of a reduction of it. */
function eachRow(shape: number[], strides: number[], row: (from: number, columns: number, to: number, step: number) => void): void {
  const last = shape.length - 1, columns = shape.length ? shape[last] : 1;
  const place = new Array<number>(Math.max(0, last)).fill(0);
  let to = 0;
  for (let from = 0, count = countOf(shape); from < count; from += columns) {
    row(from, columns, to, shape.length ? strides[last] : 0);
    for (let axis = last - 1; axis >= 0; axis--) {
      to += strides[axis];
      if (++place[axis] < shape[axis]) break;
      to -= shape[axis] * strides[axis];
      place[axis] = 0;
    }
  }
}

/** NaN wins, as in TensorFlow. */
const max: Kernel = ([x, axes], { keep_dims: keepDims }) => {
  const { shape, strides } = reduced(x, axes.data, keepDims as boolean);
  const out = blank(x.dtype, countOf(shape)).fill(x.dtype === DT.i32 ? -(2 ** 31) : -Infinity);
  eachRow(x.shape, strides, (from, columns, to, step) => {
    if (step) for (let c = 0; c < columns; c++) out[to + c * step] = Math.max(out[to + c * step], x.data[from + c]);
    else {
      let best = out[to];
      for (let c = 0; c < columns; c++) if (!(x.data[from + c] <= best)) best = x.data[from + c] > best ? x.data[from + c] : NaN;
      out[to] = best;
    }
  });
  return [tensorOf(out, shape, x.dtype)];
};

const argMax: Kernel = ([x, axis]) => {
  const at = axis.data[0] < 0 ? axis.data[0] + x.shape.length : axis.data[0];
  const size = x.shape[at], inner = countOf(x.shape.slice(at + 1)), outer = countOf(x.shape.slice(0, at));
  const out = new Int32Array(outer * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const from = o * size * inner + i;
      let best = 0;
      for (let s = 1; s < size; s++) if (x.data[from + s * inner] > x.data[from + best * inner]) best = s;
      out[o * inner + i] = best;
    }
  }
  return [tensorOf(out, x.shape.filter((_, axis) => axis !== at), DT.i32)];
};

/** Of each row the k largest, larger first, ties by smaller index; NaN comes first, so that it is not overlooked. */
const topK: Kernel = ([x, count]) => {
  const k = count.data[0], columns = x.shape[x.shape.length - 1];
  if (!(k >= 0 && k <= columns)) throw new RangeError(`expected k of 0 to ${columns}, found ${k}`);
  const rows = x.data.length / columns;
  const values = blank(x.dtype, rows * k), indices = new Int32Array(rows * k);
  const heap = new Float64Array(k), places = new Int32Array(k);
  const key = (value: number): number => (value !== value ? Infinity : value);
  /** The root is the first to go: the smallest value, of equal ones the last. */
  const below = (a: number, b: number): boolean => heap[a] < heap[b] || (heap[a] === heap[b] && places[a] > places[b]);
  const swap = (a: number, b: number): void => {
    const value = heap[a], place = places[a];
    [heap[a], places[a]] = [heap[b], places[b]];
    [heap[b], places[b]] = [value, place];
  };
  const sink = (from: number, size: number): void => {
    for (let at = from; ;) {
      let next = 2 * at + 1;
      if (next >= size) return;
      if (next + 1 < size && below(next + 1, next)) next++;
      if (!below(next, at)) return;
      swap(at, next);
      at = next;
    }
  };
  for (let row = 0; row < rows && k > 0; row++) {
    const from = row * columns;
    for (let i = 0; i < k; i++) {
      heap[i] = key(x.data[from + i]);
      places[i] = i;
    }
    for (let i = (k >> 1) - 1; i >= 0; i--) sink(i, k);
    for (let i = k, least = heap[0]; i < columns; i++) {
      const value = x.data[from + i];
      if (value <= least) continue;
      heap[0] = key(value);
      places[0] = i;
      sink(0, k);
      least = heap[0];
      if (least === Infinity) break; // nothing is larger
    }
    for (let size = k - 1; size >= 0; size--) { // the root goes behind the rest
      indices[row * k + size] = places[0];
      values[row * k + size] = x.data[from + places[0]];
      swap(0, size);
      sink(0, size);
    }
  }
  const shape = [...x.shape.slice(0, -1), k];
  return [tensorOf(values, shape, x.dtype), tensorOf(indices, shape, DT.i32)];
};

/** The n-th smallest of each row, from 0, or with `reverse` the n-th largest. */
const nthElement: Kernel = ([x, count], { reverse }) => {
  const columns = x.shape[x.shape.length - 1], n = count.data[0];
  if (!(n >= 0 && n < columns)) throw new RangeError(`expected n of 0 to ${columns - 1}, found ${n}`);
  const out = blank(x.dtype, x.data.length / columns);
  for (let row = 0; row < out.length; row++) {
    const sorted = x.data.slice(row * columns, (row + 1) * columns).sort();
    out[row] = sorted[reverse ? columns - 1 - n : n];
  }
  return [tensorOf(out, x.shape.slice(0, -1), x.dtype)];
};

/** By TensorFlow's names. */
export const RANK_KERNELS: Record<string, Kernel> = {
  Sum: sum,
  Max: max,
  ArgMax: argMax,
  TopKV2: topK,
  NthElement: nthElement,
};
