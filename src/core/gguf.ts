import { FormatError } from "./errors";
import { FORMATS, OTHER_TYPES } from "./ggufquants";
import type { ByteSource } from "./safetensors";

/**
 * GGUF, llama.cpp's one-file model: "GGUF", version, counts; metadata as typed keys and values; for each tensor name, dimensions, type and
 * offset; then, aligned, the data. Reads ranges: opening costs the header, which a vocabulary makes several MB long.
 * A length in the file is believed only as far as the file reaches and the limits below go, so that a damaged or hostile header
 * ends in an error after little work and memory.
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

/** A value of the metadata. Whole numbers of 64 bits are numbers where exact, else bigint; arrays of numbers of up to 32 bits are typed. */
export type GgufValue = number | bigint | boolean | string | GgufArray;
export type GgufArray = GgufValue[] | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array;

export interface GgufTensor {
  name: string;
  /** Of the blocks: F32, Q4_K … */
  type: string;
  /** Row-major, [out, in] for a matrix: GGUF's dimensions the other way round. */
  shape: number[];
  /** Position in the file. */
  offset: number;
  bytes: number;
}

export interface Gguf {
  version: number;
  alignment: number;
  metadata: Map<string, GgufValue>;
  /** In the order of the file. */
  tensors: Map<string, GgufTensor>;
}

const MAX_HEADER = 256 * 2 ** 20; // bytes; a vocabulary of 262,144 pieces with its merges takes 12 MB
const MAX_VALUES = 2 ** 24; // elements of all arrays together
const MAX_STRING = 16 * 2 ** 20; // bytes; chat templates are the longest, some 10 kB
const MAX_KEY = 65_535; // bytes, by the specification
const MAX_PAIRS = 65_536;
const MAX_TENSORS = 262_144;
const MAX_DIMS = 4;
const MAX_DEPTH = 4; // arrays in arrays; nothing known nests at all
const MAX_ALIGNMENT = 2 ** 20;

const CHUNK = 64 * 1024; // first read; doubled with every further one
const MAX_CHUNK = 4 * 2 ** 20;

/** Element types of the metadata: name, bytes, typed array. Strings are 8, arrays 9, booleans 7. */
const NUMBERS: Record<number, { name: string; bytes: number; array?: { new (buffer: ArrayBuffer): GgufArray }; read: (view: DataView, at: number) => number | bigint }> = {
  0: { name: "uint8", bytes: 1, array: Uint8Array, read: (view, at) => view.getUint8(at) },
  1: { name: "int8", bytes: 1, array: Int8Array, read: (view, at) => view.getInt8(at) },
  2: { name: "uint16", bytes: 2, array: Uint16Array, read: (view, at) => view.getUint16(at, true) },
  3: { name: "int16", bytes: 2, array: Int16Array, read: (view, at) => view.getInt16(at, true) },
  4: { name: "uint32", bytes: 4, array: Uint32Array, read: (view, at) => view.getUint32(at, true) },
  5: { name: "int32", bytes: 4, array: Int32Array, read: (view, at) => view.getInt32(at, true) },
  6: { name: "float32", bytes: 4, array: Float32Array, read: (view, at) => view.getFloat32(at, true) },
  10: { name: "uint64", bytes: 8, read: (view, at) => exact(view.getBigUint64(at, true)) },
  11: { name: "int64", bytes: 8, read: (view, at) => exact(view.getBigInt64(at, true)) },
  12: { name: "float64", bytes: 8, array: Float64Array, read: (view, at) => view.getFloat64(at, true) },
};
const BOOL = 7, STRING = 8, ARRAY = 9;

const exact = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER) ? Number(value) : value;

/** Reads a header from its beginning on, in chunks that grow; every read is checked against the end of the file and the limit of a header. */
function headerReader(source: ByteSource, fail: (what: string) => never) {
  const end = Math.min(source.byteLength, MAX_HEADER);
  let chunk: Uint8Array = new Uint8Array();
  let view = new DataView(chunk.buffer);
  let start = 0; // of the chunk, in the file
  let at = 0; // in the file
  let size = CHUNK;

  /** Makes the next `bytes` of the file present; gives their place in the chunk. */
  const take = (bytes: number, what: string): number => {
    if (bytes > end - at) {
      fail(end < source.byteLength && at + bytes <= source.byteLength
        ? `${what}: expected a header of at most ${MAX_HEADER} bytes, found a longer one`
        : `${what}: expected ${bytes} bytes at byte ${at}, found the end of the file at ${source.byteLength}`);
    }
    if (at + bytes > start + chunk.length) {
      chunk = source.slice(at, Math.min(end, at + Math.max(bytes, size)));
      view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      start = at;
      size = Math.min(MAX_CHUNK, size * 2);
    }
    at += bytes;
    return at - bytes - start;
  };
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    position: () => at,
    left: () => end - at,
    bytes(count: number, what: string): Uint8Array {
      const from = take(count, what); // first: it replaces the chunk
      return chunk.subarray(from, from + count);
    },
    number(type: number, what: string): number | bigint {
      const from = take(NUMBERS[type].bytes, what);
      return NUMBERS[type].read(view, from);
    },
    /** A length or count of 64 bits. @param unit bytes that each of them takes at least */
    count(what: string, limit: number, unit = 1): number {
      const from = take(8, what);
      const value = view.getBigUint64(from, true);
      if (value > BigInt(limit) || value * BigInt(unit) > BigInt(end - at)) {
        fail(`${what}: expected at most ${Math.min(limit, Math.floor((end - at) / unit))} (as the file is ${source.byteLength} bytes long), found ${value}`);
      }
      return Number(value);
    },
    string(what: string, limit: number): string {
      const length = this.count(`length of ${what}`, limit);
      return decoder.decode(this.bytes(length, what));
    },
  };
}

type HeaderReader = ReturnType<typeof headerReader>;

/**
 * Header of a GGUF file of version 2 or 3, checked: every tensor aligned, inside the file, its bytes as many as its type and shape say, none overlapping.
 * @param name file name, for the message of an error
 * @throws FormatError
 */
export function readGguf(source: ByteSource, name: string): Gguf {
  const fail = (what: string, remedy = "The file is damaged or not GGUF: copy or download it again."): never => {
    throw new FormatError(`${name}: ${what}. ${remedy}`);
  };
  const reader = headerReader(source, fail);
  const magic = ascii(reader.bytes(4, "magic"));
  if (magic !== "GGUF") fail(`expected the file to begin with "GGUF", found ${JSON.stringify(magic)}`);
  const version = Number(reader.number(4, "version"));
  if (version !== 2 && version !== 3) {
    if (version >= 2 ** 16) fail(`version: expected 2 or 3, found ${version}, a file of big-endian numbers`, "Convert it with gguf_convert_endian.py of llama.cpp.");
    fail(`version: expected 2 or 3, found ${version}`, version === 1
      ? "It is of August 2023: convert the model again, or load and save it with llama.cpp."
      : "A later format, or a damaged file: update saelab, or copy the file again.");
  }
  const tensorCount = reader.count("number of tensors", MAX_TENSORS, 24);
  const pairs = reader.count("number of metadata keys", MAX_PAIRS, 13);

  const metadata = new Map<string, GgufValue>();
  const budget = { values: MAX_VALUES };
  for (let i = 0; i < pairs; i++) {
    const key = reader.string(`metadata key ${i} of ${pairs}`, MAX_KEY);
    const where = `metadata ${JSON.stringify(key.slice(0, 100))}`;
    if (metadata.has(key)) fail(`${where}: expected every key once, found it twice`);
    metadata.set(key, readValue(reader, Number(reader.number(4, `${where}: type`)), where, fail, budget, 0));
  }

  const alignment = metadata.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || !Number.isInteger(alignment) || alignment < 1 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) !== 0) {
    return fail(`general.alignment: expected a power of two up to ${MAX_ALIGNMENT}, found ${String(alignment)}`);
  }
  const tensors = readTensors(reader, tensorCount, fail);
  const data = Math.ceil(reader.position() / alignment) * alignment;
  placeTensors(tensors, data, alignment, source.byteLength, fail);
  return { version, alignment, metadata, tensors };
}

const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

function readValue(
  reader: HeaderReader, type: number, where: string, fail: (what: string) => never, budget: { values: number }, depth: number,
): GgufValue {
  if (type in NUMBERS) return reader.number(type, where);
  if (type === BOOL) {
    const byte = Number(reader.number(0, where));
    return byte <= 1 ? byte === 1 : fail(`${where}: expected a boolean of 0 or 1, found ${byte}`);
  }
  if (type === STRING) return reader.string(where, MAX_STRING);
  if (type !== ARRAY) fail(`${where}: expected a value type of 0 to 12, found ${type}`);
  if (depth >= MAX_DEPTH) fail(`${where}: expected arrays at most ${MAX_DEPTH} deep, found deeper ones`);
  const element = Number(reader.number(4, `${where}: type of elements`));
  if (!(element in NUMBERS) && element !== BOOL && element !== STRING && element !== ARRAY) {
    fail(`${where}: expected an element type of 0 to 12, found ${element}`);
  }
  const unit = NUMBERS[element]?.bytes ?? (element === BOOL ? 1 : element === STRING ? 8 : 12);
  const count = reader.count(`${where}: number of elements`, budget.values, unit);
  budget.values -= count;
  const array = NUMBERS[element]?.array;
  if (array) return new array(new Uint8Array(reader.bytes(count * unit, where)).buffer);
  return Array.from({ length: count }, () => readValue(reader, element, where, fail, budget, depth + 1));
}

/** Tensor infos, offsets still as they are stored: from the beginning of the data. */
function readTensors(reader: HeaderReader, count: number, fail: (what: string, remedy?: string) => never): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  for (let i = 0; i < count; i++) {
    const name = reader.string(`name of tensor ${i} of ${count}`, MAX_KEY);
    const where = `tensor ${JSON.stringify(name.slice(0, 100))}`;
    if (tensors.has(name)) fail(`${where}: expected every name once, found it twice`);
    const dims = Number(reader.number(4, `${where}: number of dimensions`));
    if (dims > MAX_DIMS) fail(`${where}: expected at most ${MAX_DIMS} dimensions, found ${dims}`);
    const shape: number[] = [];
    let elements = 1;
    for (let j = 0; j < dims; j++) {
      const size = reader.number(10, `${where}: dimensions`);
      if (typeof size !== "number" || size < 1) return fail(`${where}: expected dimensions of 1 and more, found ${size}`);
      elements *= size;
      if (!Number.isSafeInteger(elements)) fail(`${where}: expected fewer than 2^53 elements, found dimensions ${[...shape].reverse().join(" × ")} × ${size}`);
      shape.unshift(size);
    }
    const type = Number(reader.number(4, `${where}: type`));
    const format = FORMATS.get(type);
    if (!format) {
      return fail(
        `${where}: expected a type of ${[...FORMATS].map(([number, { name }]) => `${name} (${number})`).join(", ")}, found ${OTHER_TYPES[type] ? `${OTHER_TYPES[type]} (${type})` : type}`,
        OTHER_TYPES[type] ? "This quantisation is not read: take the model in another, such as Q8_0, Q4_K_M or F16." : "A later format, or a damaged file: take the model in another quantisation, such as Q8_0.");
    }
    const row = shape.at(-1) ?? 1;
    if (row % format.block) fail(`${where}: expected rows of a multiple of ${format.block} for ${format.name}, found [${shape.join(", ")}]`);
    const offset = reader.number(10, `${where}: offset`);
    if (typeof offset !== "number") return fail(`${where}: expected an offset within the file, found ${offset}`);
    tensors.set(name, { name, type: format.name, shape, offset, bytes: (elements / format.block) * format.bytes });
  }
  return tensors;
}

/** Makes offsets those of the file, and checks them. */
function placeTensors(tensors: Map<string, GgufTensor>, data: number, alignment: number, byteLength: number, fail: (what: string) => never): void {
  for (const tensor of tensors.values()) {
    const where = `tensor ${JSON.stringify(tensor.name)}`;
    if (tensor.offset % alignment) fail(`${where}: expected an offset that is a multiple of ${alignment}, found ${tensor.offset}`);
    tensor.offset += data;
    if (!(tensor.offset + tensor.bytes <= byteLength)) {
      fail(`${where}: expected its ${tensor.bytes} bytes (${tensor.type} [${tensor.shape.join(", ")}]) at byte ${tensor.offset} to lie within the file, found its end at ${byteLength}`);
    }
  }
  let last: GgufTensor | undefined;
  for (const tensor of [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (last && tensor.offset < last.offset + last.bytes) {
      fail(`tensor ${JSON.stringify(tensor.name)}: expected to begin at byte ${last.offset + last.bytes} or later, after ${JSON.stringify(last.name)}, found ${tensor.offset} (an overlap)`);
    }
    last = tensor;
  }
}

const BY_NAME = new Map([...FORMATS.values()].map((format) => [format.name, format]));

/** Rows of a tensor: products of all dimensions but the last. */
export const rowsOf = ({ shape }: GgufTensor): number => shape.slice(0, -1).reduce((a, b) => a * b, 1);

/**
 * Rows from … to of a tensor (all by default) as float32 [to − from, last dimension]; what is quantised is expanded.
 * @throws RangeError for rows that the tensor does not have
 */
export function readGgufRows(source: ByteSource, tensor: GgufTensor, from = 0, to = rowsOf(tensor)): Float32Array {
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= rowsOf(tensor))) {
    throw new RangeError(`${tensor.name}: expected rows within 0 to ${rowsOf(tensor)}, found ${from} to ${to}`);
  }
  const width = tensor.shape.at(-1) ?? 1;
  const format = BY_NAME.get(tensor.type)!;
  const rowBytes = (width / format.block) * format.bytes;
  const out = new Float32Array((to - from) * width);
  format.decode(source.slice(tensor.offset + from * rowBytes, tensor.offset + to * rowBytes), out);
  return out;
}
