import type { Dtype } from "./dtype";
import type { Numbers } from "./portablepool";

/** Arrays as the kernels see them that stand in for TensorFlow's, and how shapes are broadcast. */

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

export const countOf = (shape: number[]): number => shape.reduce((a, b) => a * b, 1);

export const floatsOf = (data: Numbers): Float32Array => {
  if (data instanceof Float32Array) return data;
  throw new RangeError("expected float32, found another dtype");
};

/** Steps through an array as it is broadcast to `shape`: 0 along what it has only one of. */
export function stridesIn(shape: number[], own: number[]): number[] {
  const strides: number[] = new Array<number>(shape.length).fill(0);
  for (let axis = own.length - 1, step = 1; axis >= 0; axis--) {
    const at = axis + shape.length - own.length;
    if (own[axis] !== 1 && own[axis] !== shape[at]) throw new RangeError(`expected shapes that broadcast, found [${own}] for [${shape}]`);
    if (own[axis] !== 1) strides[at] = step;
    step *= own[axis];
  }
  return strides;
}

export function broadcastShape(shapes: number[][]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => shapes.reduce((size, shape) => {
    const own = shape[axis + shape.length - rank] ?? 1;
    return own === 1 ? size : own;
  }, 1));
}
