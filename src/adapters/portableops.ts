import { DT, type Dtype } from "./dtype";
import { blank, type Numbers } from "./portablepool";
import { broadcastShape, countOf, stridesIn, tensorOf, type Kernel } from "./portabletensor";

/** TensorFlow's elementwise kernels in JavaScript, by their names there: those that are used here, with the meaning that TensorFlow gives them. */

/** Each loop is a function of its own, so that it is compiled for its operation. */
const unary = (loop: (out: Numbers, x: Numbers) => void): Kernel => ([x]) => {
  const out = blank(x.dtype, x.data.length);
  loop(out, x.data);
  return [tensorOf(out, x.shape, x.dtype)];
};

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

/** By TensorFlow's names. */
export const ELEMENT_KERNELS: Record<string, Kernel> = {
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
};
