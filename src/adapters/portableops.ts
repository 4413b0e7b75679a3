import { DT, type Dtype } from "./dtype";
import { blank, zeros, type Numbers } from "./portablepool";

/**
 * TensorFlow's kernels of one array or two, in JavaScript, by their names there: elementwise, shapes, sums, gathers, choices.
 * Those that are used here, with the meaning that TensorFlow gives them; portablelinear.ts has the products.
 */

/** An array as a kernel sees it. */
export interface Tensor {
  shape: number[];
  dtype: Dtype;
  data: Numbers;
  /** How many tensors and variables have this memory: only what has a single one is changed in place. */
  holders: { count: number };
  /** Of a tensor that stands for something else: a sparse matrix, a variable. */
  of?: unknown;
}

export type Attribute = number | boolean | string | number[];
export type Attributes = Record<string, Attribute>;
export type Kernel = (inputs: Tensor[], attributes: Attributes) => Tensor[];

export const tensorOf = (data: Numbers, shape: number[], dtype: Dtype, holders = { count: 0 }, of?: unknown): Tensor => ({ data, shape, dtype, holders, of });

const countOf = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);

const floats = (data: Numbers): Float32Array => {
  if (data instanceof Float32Array) return data;
  throw new RangeError("expected float32, found another dtype");
};

/** Each loop is a function of its own, so that it is compiled for its operation. */
const unary = (loop: (out: Numbers, x: Numbers) => void): Kernel => ([x]) => {
  const out = blank(x.dtype, x.data.length);
  loop(out, x.data);
  return [tensorOf(out, x.shape, x.dtype)];
};

/** Steps through an array as it is broadcast to `shape`: 0 along what it has only one of. */
function stridesIn(shape: number[], own: number[]): number[] {
  const strides: number[] = new Array<number>(shape.length).fill(0);
  for (let axis = own.length - 1, step = 1; axis >= 0; axis--) {
    const at = axis + shape.length - own.length;
    if (own[axis] !== 1 && own[axis] !== shape[at]) throw new RangeError(`expected shapes that broadcast, found [${own}] for [${shape}]`);
    if (own[axis] !== 1) strides[at] = step;
    step *= own[axis];
  }
  return strides;
}

function broadcastShape(shapes: number[][]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => shapes.reduce((size, shape) => {
    const own = shape[axis + shape.length - rank] ?? 1;
    return own === 1 ? size : own;
  }, 1));
}

/** Calls `row` with where each row of `shape` begins, in the result and in the inputs, and how far their columns are apart. */
function overRows(shape: number[], inputs: number[][], row: (at: number, columns: number, begins: number[], steps: number[]) => void): void {
  const rank = shape.length, columns = rank ? shape[rank - 1] : 1;
  const strides = inputs.map((own) => stridesIn(shape, own));
  const steps = strides.map((own) => (rank ? own[rank - 1] : 0));
  const place = new Array<number>(Math.max(0, rank - 1)).fill(0);
  const begins = inputs.map(() => 0);
  const count = countOf(shape);
  for (let at = 0; at < count; at += columns) {
    row(at, columns, begins, steps);
    for (let axis = rank - 2; axis >= 0; axis--) {
      place[axis]++;
      for (let i = 0; i < begins.length; i++) begins[i] += strides[i][axis];
      if (place[axis] < shape[axis]) break;
      for (let i = 0; i < begins.length; i++) begins[i] -= shape[axis] * strides[i][axis];
      place[axis] = 0;
    }
  }
}

/** out[at + c] of c < columns, from a[i + c·di] and b[j + c·dj] */
type Loop = (out: Numbers, at: number, columns: number, a: Numbers, i: number, di: number, b: Numbers, j: number, dj: number) => void;

const binary = (loop: Loop, result?: Dtype): Kernel => ([x, y]) => {
  const shape = broadcastShape([x.shape, y.shape]), dtype = result ?? x.dtype, count = countOf(shape);
  const out = blank(dtype, count), a = x.data, b = y.data;
  const [wholeA, wholeB] = [a.length === count, b.length === count];
  if ((wholeA || a.length === 1) && (wholeB || b.length === 1)) loop(out, 0, count, a, 0, wholeA ? 1 : 0, b, 0, wholeB ? 1 : 0);
  else overRows(shape, [x.shape, y.shape], (at, columns, [i, j], [di, dj]) => loop(out, at, columns, a, i, di, b, j, dj));
  return [tensorOf(out, shape, dtype)];
};

const compare = (holds: (x: number, y: number) => boolean): Kernel => binary((out, at, columns, a, i, di, b, j, dj) => {
  for (let c = 0; c < columns; c++) out[at + c] = holds(a[i + c * di], b[j + c * dj]) ? 1 : 0;
}, DT.bool);

const selectV2: Kernel = ([condition, x, y]) => {
  const shape = broadcastShape([condition.shape, x.shape, y.shape]);
  const out = blank(x.dtype, countOf(shape));
  overRows(shape, [condition.shape, x.shape, y.shape], (at, columns, [q, i, j], [dq, di, dj]) => {
    for (let c = 0; c < columns; c++) out[at + c] = condition.data[q + c * dq] ? x.data[i + c * di] : y.data[j + c * dj];
  });
  return [tensorOf(out, shape, x.dtype)];
};

const cast: Kernel = ([x], { DstT }) => {
  const dtype = DstT as Dtype, out = blank(dtype, x.data.length);
  if (dtype === DT.bool) for (let i = 0; i < out.length; i++) out[i] = x.data[i] ? 1 : 0;
  else out.set(x.data); // to int32 by truncation
  return [tensorOf(out, x.shape, dtype)];
};

/** The same memory in another shape; one size may be −1. */
const reshape: Kernel = ([x, wanted]) => {
  const shape = Array.from(wanted.data);
  const open = shape.indexOf(-1);
  if (open >= 0) shape[open] = x.data.length / -countOf(shape);
  if (countOf(shape) !== x.data.length) throw new RangeError(`expected ${x.data.length} numbers, found shape [${shape}]`);
  return [tensorOf(x.data, shape, x.dtype, x.holders)];
};

const slice: Kernel = ([x, begin, size]) => {
  const shape = Array.from(size.data, (count, axis) => (count === -1 ? x.shape[axis] - begin.data[axis] : count));
  shape.forEach((count, axis) => {
    if (begin.data[axis] < 0 || begin.data[axis] + count > x.shape[axis]) throw new RangeError(`expected a part of [${x.shape}], found [${shape}] from [${begin.data}]`);
  });
  const out = blank(x.dtype, countOf(shape));
  const inner = shape.length ? shape[shape.length - 1] : 1;
  const strides = x.shape.map((_, axis) => countOf(x.shape.slice(axis + 1)));
  const place = shape.map(() => 0);
  for (let at = 0; at < out.length; at += inner) {
    let from = 0;
    for (let axis = 0; axis < shape.length; axis++) from += (begin.data[axis] + place[axis]) * strides[axis];
    out.set(x.data.subarray(from, from + inner), at);
    for (let axis = shape.length - 2; axis >= 0 && ++place[axis] === shape[axis]; axis--) place[axis] = 0;
  }
  return [tensorOf(out, shape, x.dtype)];
};

/** Blocks that follow each other from part to part: of `concat` those behind an axis, of `pack` single numbers of it. */
function interleaved(parts: Tensor[], blocks: number[], shape: number[]): Tensor {
  const out = blank(parts[0].dtype, countOf(shape));
  const whole = blocks.reduce((a, b) => a + b, 0);
  let begin = 0;
  parts.forEach(({ data }, i) => {
    for (let from = 0, to = begin; from < data.length; from += blocks[i], to += whole) out.set(data.subarray(from, from + blocks[i]), to);
    begin += blocks[i];
  });
  return tensorOf(out, shape, parts[0].dtype);
}

const concat: Kernel = (inputs) => {
  const parts = inputs.slice(0, -1), axis = inputs[inputs.length - 1].data[0];
  const shape = parts[0].shape.slice();
  shape[axis] = parts.reduce((sum, part) => sum + part.shape[axis], 0);
  return [interleaved(parts, parts.map((part) => countOf(part.shape.slice(axis))), shape)];
};

const pack: Kernel = (parts, { axis }) => {
  const shape = parts[0].shape.slice();
  shape.splice(axis as number, 0, parts.length);
  return [interleaved(parts, parts.map((part) => countOf(part.shape.slice(axis as number))), shape)];
};

/** The parts of x along its first axis. */
const unpack: Kernel = ([x], { num, axis }) => {
  if (axis !== 0 || num !== x.shape[0]) throw new RangeError(`expected all parts along axis 0, found ${num} of [${x.shape}] along ${axis}`);
  const size = x.data.length / num;
  return Array.from({ length: num }, (_, i) => tensorOf(x.data.slice(i * size, (i + 1) * size), x.shape.slice(1), x.dtype));
};

const broadcastArgs: Kernel = ([a, b]) => {
  const shape = broadcastShape([Array.from(a.data), Array.from(b.data)]);
  return [tensorOf(Int32Array.from(shape), [shape.length], a.dtype)];
};

/** Rows of x along an axis; with batch_dims, of each batch row its own. The axis is the one behind the batch. */
const gather: Kernel = ([x, index, axis], { batch_dims: batchDims }) => {
  const batch = batchDims as number;
  if (axis.data[0] !== batch) throw new RangeError(`expected axis ${batch}, that of batch_dims, found ${axis.data[0]}`);
  const rows = x.shape[batch], inner = countOf(x.shape.slice(batch + 1));
  const batches = countOf(x.shape.slice(0, batch)), each = index.data.length / batches;
  const out = blank(x.dtype, index.data.length * inner);
  for (let i = 0; i < index.data.length; i++) {
    const row = index.data[i];
    if (!(row >= 0 && row < rows)) throw new RangeError(`expected indices of 0 to ${rows - 1}, found ${row}`);
    const from = (Math.floor(i / each) * rows + row) * inner;
    if (inner === 1) out[i] = x.data[from];
    else out.set(x.data.subarray(from, from + inner), i * inner);
  }
  return [tensorOf(out, [...index.shape, ...x.shape.slice(batch + 1)], x.dtype)];
};

/** Flat places of index tuples [..., depth] in x. */
function placesOf(index: Tensor, shape: number[]): { places: Int32Array; inner: number } {
  const depth = index.shape[index.shape.length - 1];
  const inner = countOf(shape.slice(depth));
  const places = new Int32Array(index.data.length / depth);
  for (let i = 0; i < places.length; i++) {
    let at = 0;
    for (let axis = 0; axis < depth; axis++) {
      const value = index.data[i * depth + axis];
      if (!(value >= 0 && value < shape[axis])) throw new RangeError(`expected indices within [${shape}], found ${value}`);
      at = at * shape[axis] + value;
    }
    places[i] = at * inner;
  }
  return { places, inner };
}

const gatherNd: Kernel = ([x, index]) => {
  const { places, inner } = placesOf(index, x.shape);
  const out = blank(x.dtype, places.length * inner);
  places.forEach((from, i) => out.set(x.data.subarray(from, from + inner), i * inner));
  return [tensorOf(out, [...index.shape.slice(0, -1), ...x.shape.slice(index.shape[index.shape.length - 1])], x.dtype)];
};

const scatterAdd: Kernel = ([x, index, updates]) => {
  const { places, inner } = placesOf(index, x.shape);
  const out = blank(x.dtype, x.data.length);
  out.set(x.data);
  places.forEach((to, i) => {
    for (let c = 0; c < inner; c++) out[to + c] += updates.data[i * inner + c];
  });
  return [tensorOf(out, x.shape, x.dtype)];
};

const segmentSum: Kernel = ([x, segments, count]) => {
  const inner = x.data.length / Math.max(1, segments.data.length), number = count.data[0];
  const out = zeros(x.dtype, number * inner);
  for (let i = 0; i < segments.data.length; i++) {
    const segment = segments.data[i];
    if (segment < 0 || segment >= number) continue; // TensorFlow leaves them out
    for (let c = 0; c < inner; c++) out[segment * inner + c] += x.data[i * inner + c];
  }
  return [tensorOf(out, [number, ...x.shape.slice(segments.shape.length)], x.dtype)];
};

const LOWEST = -3.4028234663852886e38; // of float32: where a segment has nothing

const segmentMax: Kernel = ([x, segments, count]) => {
  const inner = x.data.length / Math.max(1, segments.data.length), number = count.data[0];
  const out = blank(x.dtype, number * inner).fill(LOWEST);
  for (let i = 0; i < segments.data.length; i++) {
    const segment = segments.data[i];
    if (segment < 0 || segment >= number) continue;
    for (let c = 0; c < inner; c++) out[segment * inner + c] = Math.max(out[segment * inner + c], x.data[i * inner + c]);
  }
  return [tensorOf(out, [number, ...x.shape.slice(segments.shape.length)], x.dtype)];
};

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

/** Places of what is true, rows ascending: [m, rank], int64. */
const where: Kernel = ([x]) => {
  const rank = x.shape.length;
  let count = 0;
  for (let i = 0; i < x.data.length; i++) if (x.data[i]) count++;
  const out = new Int32Array(count * rank);
  for (let i = 0, at = 0; i < x.data.length; i++) {
    if (!x.data[i]) continue;
    for (let axis = rank - 1, rest = i; axis >= 0; axis--) {
      out[at + axis] = rest % x.shape[axis];
      rest = Math.floor(rest / x.shape[axis]);
    }
    at += rank;
  }
  return [tensorOf(out, [count, rank], DT.i64)];
};

/** By TensorFlow's names. */
export const ARRAY_KERNELS: Record<string, Kernel> = {
  Relu: unary((out, x) => { for (let i = 0; i < out.length; i++) out[i] = x[i] <= 0 ? 0 : x[i]; }),
  Square: unary((out, x) => { for (let i = 0; i < out.length; i++) out[i] = x[i] * x[i]; }),
  Rsqrt: unary((out, x) => { for (let i = 0; i < out.length; i++) out[i] = 1 / Math.sqrt(x[i]); }),
  Exp: unary((out, x) => { for (let i = 0; i < out.length; i++) out[i] = Math.exp(x[i]); }),
  Abs: unary((out, x) => { for (let i = 0; i < out.length; i++) out[i] = Math.abs(x[i]); }),
  Neg: unary((out, x) => { for (let i = 0; i < out.length; i++) out[i] = 0 - x[i]; }),
  AddV2: binary((out, at, n, a, i, di, b, j, dj) => { for (let c = 0; c < n; c++) out[at + c] = a[i + c * di] + b[j + c * dj]; }),
  Sub: binary((out, at, n, a, i, di, b, j, dj) => { for (let c = 0; c < n; c++) out[at + c] = a[i + c * di] - b[j + c * dj]; }),
  Mul: binary((out, at, n, a, i, di, b, j, dj) => {
    if (out instanceof Int32Array) for (let c = 0; c < n; c++) out[at + c] = Math.imul(a[i + c * di], b[j + c * dj]);
    else for (let c = 0; c < n; c++) out[at + c] = a[i + c * di] * b[j + c * dj];
  }),
  RealDiv: binary((out, at, n, a, i, di, b, j, dj) => { for (let c = 0; c < n; c++) out[at + c] = a[i + c * di] / b[j + c * dj]; }),
  FloorDiv: binary((out, at, n, a, i, di, b, j, dj) => { for (let c = 0; c < n; c++) out[at + c] = Math.floor(a[i + c * di] / b[j + c * dj]); }),
  SquaredDifference: binary((out, at, n, a, i, di, b, j, dj) => { for (let c = 0; c < n; c++) out[at + c] = (a[i + c * di] - b[j + c * dj]) ** 2; }),
  ReluGrad: binary((out, at, n, a, i, di, b, j, dj) => { for (let c = 0; c < n; c++) out[at + c] = b[j + c * dj] > 0 ? a[i + c * di] : 0; }),
  Greater: compare((x, y) => x > y),
  GreaterEqual: compare((x, y) => x >= y),
  Less: compare((x, y) => x < y),
  SelectV2: selectV2,
  Cast: cast,
  Reshape: reshape,
  Slice: slice,
  ConcatV2: concat,
  Pack: pack,
  Unpack: unpack,
  BroadcastArgs: broadcastArgs,
  GatherV2: gather,
  GatherNd: gatherNd,
  TensorScatterAdd: scatterAdd,
  UnsortedSegmentSum: segmentSum,
  UnsortedSegmentMax: segmentMax,
  Sum: sum,
  Max: max,
  ArgMax: argMax,
  TopKV2: topK,
  NthElement: nthElement,
  Where: where,
};

export { floats as floatsOf };
