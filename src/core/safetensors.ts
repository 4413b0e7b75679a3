import { FormatError } from "./errors";

/**
 * Safetensors: 8 bytes little-endian header length, a JSON header, raw little-endian bytes.
 * Reads ranges, so that opening a file costs its header only.
 * @see https://huggingface.co/docs/safetensors (format)
 */

/** What every format here reads from: a file, a byte array, an HTTP resource. */
export interface ByteSource {
  byteLength: number;
  /** Bytes from … to (exclusive); may be a view, not to be written to. */
  slice(from: number, to: number): Uint8Array;
}

export interface TensorInfo {
  dtype: string;
  shape: number[];
  /** Position in the file, header included. */
  offset: number;
  bytes: number;
}

export interface SafetensorsHeader {
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
}

const BYTES: Record<string, number> = {
  F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1,
};

const MAX_HEADER = 100_000_000; // the reference implementation's own bound

export const bytesSource = (bytes: Uint8Array): ByteSource => ({
  byteLength: bytes.byteLength,
  slice: (from, to) => bytes.subarray(from, to),
});

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * Header of a safetensors file, checked: every tensor inside the file, its bytes as many as shape and dtype say, none overlapping, nothing left over.
 * @param name file name, for the message of an error
 * @throws FormatError
 */
export function readHeader(source: ByteSource, name: string): SafetensorsHeader {
  const fail = (what: string): never => {
    throw new FormatError(`${name}: ${what}. The file is damaged or not safetensors: copy or download it again.`);
  };
  if (source.byteLength < 8) fail(`expected at least 8 bytes, found ${source.byteLength}`);
  const first = source.slice(0, 8);
  const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true));
  if (length > source.byteLength - 8 || length > MAX_HEADER) {
    fail(`expected a header within the file's ${source.byteLength} bytes, found a header length of ${length}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(source.slice(8, 8 + length)));
  } catch (error) {
    fail(`expected a JSON header, found: ${(error as Error).message}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) fail("expected the header to be a JSON object");
  const tensors = new Map<string, TensorInfo>();
  const metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(json as Record<string, any>)) {
    if (key === "__metadata__") {
      for (const [k, v] of Object.entries(value ?? {})) {
        if (typeof v !== "string") fail(`__metadata__.${k}: expected a string, found ${typeof v}`);
        metadata[k] = v as string;
      }
      continue;
    }
    const { dtype, shape, data_offsets: offsets } = value ?? {};
    if (typeof dtype !== "string" || !Array.isArray(shape) || !Array.isArray(offsets) || offsets.length !== 2) {
      fail(`tensor "${key}": expected dtype, shape and data_offsets`);
    }
    if (!(dtype in BYTES)) fail(`tensor "${key}": expected a dtype of ${Object.keys(BYTES).join(", ")}, found ${dtype}`);
    if (!shape.every(isCount)) fail(`tensor "${key}": expected a shape of counts, found [${shape}]`);
    const [from, to] = offsets;
    if (!isCount(from) || !isCount(to) || from > to || 8 + length + to > source.byteLength) {
      fail(`tensor "${key}": expected data_offsets within ${source.byteLength - 8 - length} bytes of data, found [${offsets}]`);
    }
    const bytes = shape.reduce((a: number, b: number) => a * b, BYTES[dtype]);
    if (bytes !== to - from) fail(`tensor "${key}": expected ${bytes} bytes for ${dtype} [${shape}], found ${to - from}`);
    tensors.set(key, { dtype, shape, offset: 8 + length + from, bytes });
  }
  let end = 8 + length;
  for (const [key, info] of [...tensors].sort((a, b) => a[1].offset - b[1].offset || a[1].bytes - b[1].bytes)) {
    if (info.offset !== end) fail(`tensor "${key}": expected to begin at byte ${end}, found ${info.offset} (a gap or an overlap)`);
    end += info.bytes;
  }
  if (end !== source.byteLength) fail(`expected ${end} bytes, found ${source.byteLength}`);
  return { tensors, metadata };
}

/** Widens the upper half of a float32: exact. */
export function fromBfloat16(bytes: Uint8Array): Float32Array {
  const half = new Uint16Array(aligned(bytes, 2), 0, bytes.byteLength / 2);
  const out = new Uint32Array(half.length);
  for (let i = 0; i < half.length; i++) out[i] = half[i] << 16;
  return new Float32Array(out.buffer);
}

/**
 * The upper halves of float32, rounded to the nearest, ties away from 0. What is a bfloat16 stays what it is.
 * @param out as many
 */
export function toBfloat16(values: Float32Array, out: Uint16Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) out[i] = Number.isNaN(values[i]) ? 0x7fc0 : (bits[i] + 0x8000) >>> 16;
}

/** What each of the 65,536 halves is as float32: 256 KB, made when the first is read. */
let halves: Float32Array | undefined;

function halfTable(): Float32Array {
  if (halves) return halves;
  halves = new Float32Array(2 ** 16);
  for (let half = 0; half < halves.length; half++) {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    halves[half] = exponent === 31 ? (fraction ? NaN : sign * Infinity)
      : sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
  }
  return halves;
}

/**
 * IEEE halves to float32, subnormal numbers, infinities and NaN included: exact.
 * @param out as many; the halves may lie in its own second half, as number i is read before it is written over
 */
export function widenFloat16(half: Uint16Array, out: Float32Array): void {
  const table = halfTable();
  for (let i = 0; i < half.length; i++) out[i] = table[half[i]];
}

/** {@link widenFloat16} of the bytes of a file. */
export function fromFloat16(bytes: Uint8Array): Float32Array {
  const half = new Uint16Array(aligned(bytes, 2), 0, bytes.byteLength / 2);
  const out = new Float32Array(half.length);
  widenFloat16(half, out);
  return out;
}

const rounding = new Float32Array(1);
const roundingBits = new Uint32Array(rounding.buffer);

/**
 * float32 to IEEE halves, rounded to nearest, ties to even: 11 bits stay, a relative error of at most 2⁻¹¹ from 2⁻¹⁴ on, steps of 2⁻²⁴
 * below. From 65,520 on it is infinity; NaN stays one.
 * @param out as many, filled from 0
 * @see IEEE 754-2019, 4.3.1
 */
export function toFloat16(x: Float32Array, out: Uint16Array): void {
  const bits = new Uint32Array(x.buffer, x.byteOffset, x.length);
  for (let i = 0; i < bits.length; i++) {
    const size = bits[i] & 0x7fffffff;
    let half: number;
    if (size >= 0x38800000 && size < 0x47800000) {
      // 2⁻¹⁴ ≤ |x| < 2¹⁶: another bias, and half a step added (a little less where the last bit that stays is 0) that carries on its own
      half = (size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13;
    } else if (size < 0x38800000) {
      rounding[0] = Math.abs(x[i]) + 0.5; // floats of 0.5 to 1 lie 2⁻²⁴ apart, as subnormal halves do: storing rounds
      half = roundingBits[0] - 0x3f000000;
    } else {
      half = size > 0x7f800000 ? 0x7e00 : 0x7c00;
    }
    out[i] = half | ((bits[i] >>> 16) & 0x8000);
  }
}

/** An ArrayBuffer that begins with these bytes and holds just them: typed arrays want aligned offsets. */
const aligned = (bytes: Uint8Array, size: number): ArrayBuffer => {
  if (bytes.byteLength % size) throw new RangeError(`expected a multiple of ${size} bytes, found ${bytes.byteLength}`);
  return new Uint8Array(bytes).buffer; // a copy, also of a Buffer, whose own slice() is a view
};

/** Elements from … to of a tensor (all by default) as float32; F16 and BF16 are widened exactly, F64 is rounded. */
export function readFloats(source: ByteSource, info: TensorInfo, from = 0, to = info.bytes / BYTES[info.dtype]): Float32Array {
  const size = BYTES[info.dtype];
  const bytes = source.slice(info.offset + from * size, info.offset + to * size);
  switch (info.dtype) {
    case "F32": return new Float32Array(aligned(bytes, 4));
    case "F64": return Float32Array.from(new Float64Array(aligned(bytes, 8)));
    case "BF16": return fromBfloat16(bytes);
    case "F16": return fromFloat16(bytes);
    default: throw new FormatError(`expected a floating dtype (F32, F16, BF16, F64), found ${info.dtype}`);
  }
}

/** Elements from … to of an I32 tensor. */
export function readInts(source: ByteSource, info: TensorInfo, from = 0, to = info.bytes / 4): Int32Array {
  if (info.dtype !== "I32") throw new FormatError(`expected dtype I32, found ${info.dtype}`);
  return new Int32Array(aligned(source.slice(info.offset + from * 4, info.offset + to * 4), 4));
}

export interface TensorToWrite {
  name: string;
  shape: number[];
  /** Uint16Array: the bits of float16, as {@link toFloat16} makes them. */
  data: Float32Array | Int32Array | Uint16Array | Uint8Array;
}

/** Element types that are written, as safetensors names them. */
export type WrittenDtype = "F32" | "I32" | "F16" | "U8";

/** Header of a file whose tensors follow in this order, [length, JSON]; padded so that data begin on 8 bytes. */
export function safetensorsHead(tensors: { name: string; dtype: WrittenDtype; shape: number[] }[], metadata?: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let at = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = shape.reduce((a, b) => a * b, BYTES[dtype]);
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  let json = JSON.stringify(header);
  json += " ".repeat((8 - (new TextEncoder().encode(json).length % 8)) % 8);
  const body = new TextEncoder().encode(json);
  const head = new Uint8Array(8 + body.length);
  new DataView(head.buffer).setBigUint64(0, BigInt(body.length), true);
  head.set(body, 8);
  return head;
}

/** The bytes of a file, in pieces to be written one after the other; the data are views, not copies. */
export function writeSafetensors(tensors: TensorToWrite[], metadata?: Record<string, string>): Uint8Array[] {
  for (const { name, shape, data } of tensors) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (count !== data.length) throw new RangeError(`${name}: expected ${count} elements for [${shape}], found ${data.length}`);
  }
  const dtypeOf = (data: TensorToWrite["data"]): WrittenDtype => (data instanceof Int32Array ? "I32" : data instanceof Uint16Array ? "F16" : data instanceof Uint8Array ? "U8" : "F32");
  const head = safetensorsHead(tensors.map(({ name, shape, data }) => ({ name, shape, dtype: dtypeOf(data) })), metadata);
  return [head, ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))];
}
