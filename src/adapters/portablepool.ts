import { DT, type Dtype } from "./dtype";

/** Memory of the kernels that stand in for TensorFlow's: what a tensor no longer needs is used again, or collecting it took a third of a training. */

/** int64 lies as int32, bool as bytes. */
export type Numbers = Float32Array | Float64Array | Int32Array | Uint8Array;

const MOST = 2 ** 28; // bytes kept; beyond, arrays are left to the collector
const LEAST = 256; // numbers: smaller arrays are not worth it

const idle = new Map<number, Float32Array[]>(); // by length
let held = 0;

export function zeros(dtype: Dtype, count: number): Numbers {
  return dtype === DT.f32 ? new Float32Array(count) : blank(dtype, count);
}

/** An array of any contents: for what is written to as a whole. */
export function blank(dtype: Dtype, count: number): Numbers {
  switch (dtype) {
    case DT.f32: return blankFloats(count);
    case DT.f64: return new Float64Array(count);
    case DT.i32: case DT.i64: return new Int32Array(count);
    case DT.bool: return new Uint8Array(count);
    default: throw new RangeError(`expected float32, float64, int32, int64 or bool, found dtype ${dtype}`);
  }
}

const made = new WeakSet<Numbers>();

export function blankFloats(count: number): Float32Array {
  if (count < LEAST) return new Float32Array(count);
  const array = idle.get(count)?.pop();
  if (array) {
    held -= array.byteLength;
    return array;
  }
  try {
    const fresh = new Float32Array(count);
    made.add(fresh);
    return fresh;
  } catch {
    throw new RangeError(`Array buffer allocation failed: ${count.toLocaleString("en")} numbers`); // V8's words, which are known as want of memory
  }
}

/** Takes back what `blank` gave and nothing reads any more; other arrays, a caller's own, are left alone. */
export function takeBack(array: Numbers): void {
  if (!(array instanceof Float32Array) || !made.has(array) || held + array.byteLength > MOST) return;
  held += array.byteLength;
  const same = idle.get(array.length);
  if (same) same.push(array);
  else idle.set(array.length, [array]);
}
