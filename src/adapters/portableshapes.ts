import { DT, type Dtype } from "./dtype";
import { blank, zeros } from "./portablepool";
import { broadcastShape, countOf, tensorOf, type Kernel, type Tensor } from "./portabletensor";

/** TensorFlow's kernels that move numbers, in JavaScript, by their names there: casts, parts, gathers, scatters, segments. */

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
export const SHAPE_KERNELS: Record<string, Kernel> = {
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
  Where: where,
};
