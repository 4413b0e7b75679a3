import { test } from "node:test";
import assert from "node:assert/strict";
import { FormatError } from "../../src/core/errors";
import { bytesSource, fromBfloat16, fromFloat16, readFloats, readHeader, readInts, toBfloat16, toFloat16, widenFloat16, writeSafetensors } from "../../src/core/safetensors";

const join = (pieces: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces));

/** A file with this header and so many bytes of data. */
const file = (header: unknown, data: Uint8Array): Uint8Array => {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return join([length, json, data]);
};

test("what is written is read again, whole and in ranges, from bytes and from a Buffer", () => {
  const a = Float32Array.from({ length: 12 }, (_, i) => Math.fround(Math.sin(i) * 1e3));
  const b = Int32Array.of(-1, 2 ** 31 - 1, 7);
  const bytes = join(writeSafetensors([{ name: "a", shape: [3, 4], data: a }, { name: "b.ü", shape: [3], data: b }], { made: "here" }));
  for (const source of [bytesSource(bytes), bytesSource(Buffer.from(bytes))]) {
    const { tensors, metadata } = readHeader(source, "x");
    assert.deepEqual(metadata, { made: "here" });
    assert.deepEqual([...tensors.keys()], ["a", "b.ü"]);
    assert.equal(tensors.get("a")!.offset % 8, 0, "data begin on 8 bytes");
    assert.deepEqual(readFloats(source, tensors.get("a")!), a);
    assert.deepEqual(readFloats(source, tensors.get("a")!, 4, 8), a.slice(4, 8));
    assert.deepEqual(readInts(source, tensors.get("b.ü")!), b);
    assert.deepEqual(readInts(source, tensors.get("b.ü")!, 1, 2), b.slice(1, 2));
    assert.throws(() => readInts(source, tensors.get("a")!), FormatError);
    assert.throws(() => readFloats(source, tensors.get("b.ü")!), FormatError);
  }
});

test("a tensor that is no multiple of its shape is not written", () => {
  assert.throws(() => writeSafetensors([{ name: "a", shape: [5], data: new Float32Array(4) }]), RangeError);
});

test("bfloat16 is the upper half of float32", () => {
  const values = [0, -0, 1, -2.5, 3.140625, Infinity, 2 ** -133];
  const half = new Uint16Array(values.map((x) => new Uint32Array(Float32Array.of(x).buffer)[0] >>> 16));
  assert.deepEqual([...fromBfloat16(new Uint8Array(half.buffer))], values);
  const back = new Uint16Array(half.length);
  toBfloat16(Float32Array.from(values), back);
  assert.deepEqual(back, half);
});

test("float32 goes to the nearest bfloat16: 8 significant bits", () => {
  const table: [number, number][] = [
    [1 + 2 ** -9, 1], [1 + 2 ** -8, 1 + 2 ** -7], [-1 - 2 ** -8, -1 - 2 ** -7], [1.999, 2], [3.4e38, Infinity], [2 ** -149, 0], [NaN, NaN], [257, 258], [256.9, 256],
  ];
  const out = new Uint16Array(table.length);
  toBfloat16(Float32Array.from(table, ([value]) => value), out);
  assert.deepEqual([...fromBfloat16(new Uint8Array(out.buffer))], table.map(([, want]) => want));
  const odd = new Uint32Array([0x7fffffff, 0xffffffff]); // NaN, too, though all of its bits are set
  toBfloat16(new Float32Array(odd.buffer), out);
  assert.ok(fromBfloat16(new Uint8Array(out.buffer)).subarray(0, 2).every(Number.isNaN));
});

test("float16: normal, subnormal, infinite and not a number (IEEE 754 table of values)", () => {
  const table: [number, number][] = [
    [0x0000, 0], [0x8000, -0], [0x3c00, 1], [0xc000, -2], [0x7bff, 65504], [0x0400, 2 ** -14], [0x0001, 2 ** -24], [0x03ff, 1023 * 2 ** -24],
    [0x3555, 0.333251953125], [0x7c00, Infinity], [0xfc00, -Infinity],
  ];
  assert.deepEqual([...fromFloat16(new Uint8Array(Uint16Array.from(table.map(([code]) => code)).buffer))], table.map(([, value]) => value));
  assert.ok(Number.isNaN(fromFloat16(Uint8Array.of(0x00, 0x7e))[0]));
});

const toHalf = (...values: number[]): number[] => {
  const out = new Uint16Array(values.length);
  toFloat16(Float32Array.from(values), out);
  return [...out];
};

test("float16 is rounded to nearest, ties to even: at, between and beside all its values, of both signs", () => {
  const codes = Uint16Array.from({ length: 0x7c00 }, (_, i) => i); // 0 to 65,504
  const exact = fromFloat16(new Uint8Array(codes.buffer));
  const nearest = (x: number): number[] => toHalf(x, -x);
  const bits = new Int32Array(1);
  const beside = (x: number, by: number): number => {
    const float = new Float32Array(bits.buffer);
    float[0] = x;
    bits[0] += by; // the next float32
    return float[0];
  };
  const wrong: number[] = [];
  for (const code of codes) {
    const upper = code + 1 < 0x7c00 ? exact[code + 1] : 65536; // from 65,520, halfway, on: infinity
    const middle = (exact[code] + upper) / 2; // 12 bits: a float32
    const want: [number, number][] = [
      [exact[code], code], [beside(exact[code], 1), code], [beside(middle, -1), code], [middle, code + (code & 1)], [beside(middle, 1), code + 1], [beside(upper, -1), code + 1],
    ];
    if (want.some(([x, half]) => `${nearest(x)}` !== `${[half, half | 0x8000]}`)) wrong.push(code);
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(toHalf(Infinity, -Infinity, NaN, 1e30, -65520, 1e-40, -0), [0x7c00, 0xfc00, 0x7e00, 0x7c00, 0xfc00, 0, 0x8000]);
});

test("float16 is written by its bits, read as float32, and widened within its own memory", () => {
  const half = Uint16Array.from(toHalf(1, -2, 0.1, 65504));
  const bytes = join(writeSafetensors([{ name: "h", shape: [2, 2], data: half }, { name: "i", shape: [1], data: Int32Array.of(5) }]));
  const source = bytesSource(bytes);
  const { tensors } = readHeader(source, "x");
  assert.deepEqual([tensors.get("h")!.dtype, tensors.get("h")!.bytes], ["F16", 8]);
  assert.deepEqual([...readFloats(source, tensors.get("h")!)], [1, -2, 0.0999755859375, 65504]);
  assert.deepEqual([...readInts(source, tensors.get("i")!)], [5]);
  for (const length of [1, 2, 3, 1000]) {
    const all = Uint16Array.from({ length }, (_, i) => (i * 7919) % 0x7c00);
    const out = new Float32Array(length);
    const inside = new Uint16Array(out.buffer, 2 * length);
    inside.set(all);
    widenFloat16(inside, out);
    assert.deepEqual(out, fromFloat16(new Uint8Array(all.buffer)));
  }
});

test("half precision and float64 are read as float32", () => {
  const data = join([new Uint8Array(Float64Array.of(0.1, -3).buffer), Uint8Array.of(0x80, 0x3f), Uint8Array.of(0x00, 0x3c)]);
  const source = bytesSource(file({
    d: { dtype: "F64", shape: [2], data_offsets: [0, 16] }, b: { dtype: "BF16", shape: [1], data_offsets: [16, 18] }, h: { dtype: "F16", shape: [], data_offsets: [18, 20] },
  }, data));
  const { tensors } = readHeader(source, "x");
  assert.deepEqual([...readFloats(source, tensors.get("d")!)], [Math.fround(0.1), -3]);
  assert.deepEqual([...readFloats(source, tensors.get("b")!)], [1]);
  assert.deepEqual([...readFloats(source, tensors.get("h")!)], [1]);
});

test("what is not a whole, consistent file is refused, with its name and the reason", () => {
  const f = (info: object): Uint8Array => file({ a: info }, new Uint8Array(16));
  const cases: [string, Uint8Array, RegExp][] = [
    ["too short", Uint8Array.of(1, 2, 3), /at least 8 bytes, found 3/],
    ["header longer than file", join([Uint8Array.of(255, 0, 0, 0, 0, 0, 0, 0), new Uint8Array(8)]), /header length of 255/],
    ["no JSON", file("{", new Uint8Array()), /expected a JSON header/],
    ["a list", file([], new Uint8Array()), /JSON object/],
    ["not UTF-8", join([Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0), Uint8Array.of(0xff, 0xfe)]), /JSON header/],
    ["unknown dtype", f({ dtype: "F4", shape: [4], data_offsets: [0, 16] }), /found F4/],
    ["negative shape", f({ dtype: "F32", shape: [-4], data_offsets: [0, 16] }), /shape of counts/],
    ["shape and bytes differ", f({ dtype: "F32", shape: [5], data_offsets: [0, 16] }), /expected 20 bytes for F32 \[5\], found 16/],
    ["beyond the end", f({ dtype: "F32", shape: [8], data_offsets: [0, 32] }), /within 16 bytes/],
    ["gap", f({ dtype: "F32", shape: [2], data_offsets: [8, 16] }), /gap or an overlap/],
    ["left over", f({ dtype: "F32", shape: [2], data_offsets: [0, 8] }), /found/],
    ["no offsets", f({ dtype: "F32", shape: [2] }), /data_offsets/],
    ["metadata of numbers", file({ __metadata__: { a: 1 } }, new Uint8Array()), /__metadata__\.a/],
    ["overlap", file({ a: { dtype: "F32", shape: [4], data_offsets: [0, 16] }, b: { dtype: "F32", shape: [2], data_offsets: [8, 16] } }, new Uint8Array(16)), /"b".*overlap/],
  ];
  for (const [what, bytes, message] of cases) {
    assert.throws(() => readHeader(bytesSource(bytes), "m.safetensors"), (error: Error) => {
      assert.ok(error instanceof FormatError, what);
      assert.match(error.message, /^m\.safetensors: /, what);
      assert.match(error.message, message, what);
      return true;
    });
  }
});
