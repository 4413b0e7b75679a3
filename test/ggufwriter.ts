/** GGUF bytes for tests, also of files that no writer would make: every part can be replaced. Values are written as they are given, unchecked. */

export interface Item {
  key: string;
  type: number;
  value: unknown;
}

export interface Stored {
  name: string;
  dims: (number | bigint)[];
  type: number;
  data: Uint8Array;
  offset?: number | bigint;
}

export const T = { u8: 0, i32: 5, u32: 4, f32: 6, bool: 7, string: 8, array: 9, u64: 10 } as const;

export const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out;
};
export const u64 = (value: number | bigint): Buffer => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out;
};
export const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

/** An array's value: [element type, elements]. */
export const bytesOf = (type: number, value: any): Buffer => {
  switch (type) {
    case T.u8: case T.bool: return Buffer.of(Number(value));
    case T.u32: case T.i32: return u32(value);
    case T.u64: return u64(value);
    case T.f32: return Buffer.from(Float32Array.of(value).buffer);
    case T.string: return text(value);
    default: return Buffer.concat([u32(value[0]), u64(value[1].length), ...value[1].map((one: unknown) => bytesOf(value[0], one))]);
  }
};

export const item = (key: string, type: number, value: unknown): Item => ({ key, type, value });

export function ggufBytes(items: Item[], tensors: Stored[] = [], { magic = "GGUF", version = 3, alignment = 32 } = {}): Uint8Array {
  const pad = (length: number): number => (alignment - (length % alignment)) % alignment;
  const data: Buffer[] = [];
  let at = 0;
  const infos = tensors.map(({ name, dims, type, data: bytes, offset }) => {
    const info = Buffer.concat([text(name), u32(dims.length), ...dims.map(u64), u32(type), u64(offset ?? at)]);
    data.push(Buffer.from(bytes), Buffer.alloc(pad(bytes.length)));
    at += bytes.length + pad(bytes.length);
    return info;
  });
  const head = Buffer.concat([
    Buffer.from(magic, "latin1"), u32(version), u64(tensors.length), u64(items.length),
    ...items.map(({ key, type, value }) => Buffer.concat([text(key), u32(type), bytesOf(type, value)])), ...infos,
  ]);
  return new Uint8Array(Buffer.concat([head, ...(tensors.length ? [Buffer.alloc(pad(head.length)), ...data] : [])]));
}

/** A float32 tensor, `shape` row-major. */
export const floats = (name: string, shape: number[], values: Float32Array): Stored =>
  ({ name, dims: [...shape].reverse(), type: 0, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) });
