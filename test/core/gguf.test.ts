import { test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../../src/core/errors";
import { readGguf, readGgufRows, rowsOf, type Gguf } from "../../src/core/gguf";
import { randomNumbers } from "../../src/core/sample";
import { bytesSource, readFloats, readHeader, type ByteSource } from "../../src/core/safetensors";
import { bytesOf, floats, ggufBytes, item, T, text, u32, u64, type Item, type Stored } from "../ggufwriter";

const ORACLE = join(__dirname, "../../../test/oracle/gguf");
const bytesOfFile = (name: string): Uint8Array => new Uint8Array(readFileSync(join(ORACLE, name)));
const bits = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer, values.byteOffset, values.length);

test("every block format: the numbers of gguf-py, bit for bit, whole and by rows", () => {
  const source = bytesSource(bytesOfFile("quants.gguf"));
  const { tensors, alignment } = readGguf(source, "quants.gguf");
  const golden = bytesSource(bytesOfFile("quants.safetensors"));
  const want = readHeader(golden, "quants.safetensors").tensors;
  assert.equal(alignment, 64);
  assert.deepEqual([...tensors.keys()], ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]);
  for (const tensor of tensors.values()) {
    assert.equal(tensor.type, tensor.name);
    const expected = readFloats(golden, want.get(tensor.name)!);
    assert.deepEqual(tensor.shape, want.get(tensor.name)!.shape, tensor.name);
    assert.ok(expected.some((x) => x !== 0), tensor.name);
    assert.deepEqual(bits(readGgufRows(source, tensor)), bits(expected), tensor.name);
    const width = tensor.shape[1];
    for (let row = 0; row < rowsOf(tensor); row++) {
      assert.deepEqual(bits(readGgufRows(source, tensor, row, row + 1)), bits(expected.slice(row * width, (row + 1) * width)), `${tensor.name} row ${row}`);
    }
    assert.throws(() => readGgufRows(source, tensor, 0, rowsOf(tensor) + 1), RangeError);
  }
});

test("metadata of every kind", () => {
  const { metadata } = readGguf(bytesSource(bytesOfFile("quants.gguf")), "quants.gguf");
  assert.equal(metadata.get("general.architecture"), "test");
  assert.equal(metadata.get("test.bool"), true);
  assert.equal(metadata.get("test.double"), 0.1);
  assert.equal(metadata.get("test.long"), -(2n ** 60n));
  assert.deepEqual((metadata.get("test.nested") as Int32Array[]).map((list) => [...list]), [[1, 2], [3]]);
  const spm = readGguf(bytesSource(bytesOfFile("spm.gguf")), "spm.gguf").metadata;
  assert.ok(spm.get("tokenizer.ggml.scores") instanceof Float32Array);
  assert.equal((spm.get("tokenizer.ggml.tokens") as string[])[3], "<0x00>");
});

test("a header is read in few ranges, and no data with it", () => {
  const pieces = Array.from({ length: 40_000 }, (_, i) => `piece ${i}`);
  const data = new Float32Array(250_000);
  const bytes = ggufBytes([item("tokenizer.ggml.tokens", T.array, [T.string, pieces])], [floats("a", [500, 500], data)]);
  const reads: number[] = [];
  const source: ByteSource = { byteLength: bytes.length, slice: (from, to) => (reads.push(to - from), bytes.subarray(from, to)) };
  const { metadata, tensors } = readGguf(source, "x");
  assert.deepEqual(metadata.get("tokenizer.ggml.tokens"), pieces);
  assert.equal(tensors.get("a")!.offset + tensors.get("a")!.bytes, bytes.length);
  assert.ok(reads.length <= 6, `${reads.length} reads`);
  assert.ok(reads.reduce((a, b) => a + b) < 2 * (bytes.length - data.byteLength) + 2 ** 16, `${reads} bytes read`);
});

const tensor = (change: Partial<Stored> = {}): Stored => ({ name: "a", dims: [32, 2], type: 0, data: new Uint8Array(256), ...change });
const good = (): Uint8Array => ggufBytes([item("general.architecture", T.string, "llama")], [tensor()]);

test("what is not a whole, consistent file is refused, with its name, the place and the reason", () => {
  assert.equal(readGguf(bytesSource(good()), "x").tensors.size, 1);
  const value = (type: number, bytes: Uint8Array): Uint8Array =>
    new Uint8Array(Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(1), text("k"), u32(type), bytes, Buffer.alloc(64)]));
  const deep = (levels: number): [number, unknown[]] => [T.array, [levels ? deep(levels - 1) : [T.u8, [1]]]];
  const of = (tensors: Stored[], items: Item[] = []): Uint8Array => ggufBytes(items, tensors);
  const cases: [string, Uint8Array, RegExp][] = [
    ["empty", new Uint8Array(), /magic: expected 4 bytes at byte 0, found the end of the file at 0/],
    ["wrong magic", ggufBytes([], [], { magic: "GGML" }), /begin with "GGUF", found "GGML"/],
    ["version 1", ggufBytes([], [], { version: 1 }), /version: expected 2 or 3, found 1\. .*convert/],
    ["version 4", ggufBytes([], [], { version: 4 }), /version: expected 2 or 3, found 4/],
    ["big-endian", ggufBytes([], [], { version: 3 << 24 }), /big-endian.*gguf_convert_endian/],
    ["truncated header", good().subarray(0, 40), /end of the file|expected at most/],
    ["truncated data", good().subarray(0, good().length - 100), /tensor "a": expected its 256 bytes \(F32 \[2, 32\]\)/],
    ["too many tensors", new Uint8Array(Buffer.concat([Buffer.from("GGUF"), u32(3), u64(2n ** 60n), u64(0)])), /number of tensors: expected at most .*found 1152921504606846976/],
    ["too many keys", new Uint8Array(Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(2n ** 63n)])), /number of metadata keys/],
    ["a string of 2^60 bytes", value(T.string, u64(2n ** 60n)), /length of metadata "k": expected at most \d+ .*found 1152921504606846976/],
    ["an array of 2^60 elements", value(T.array, Buffer.concat([u32(T.f32), u64(2n ** 60n)])), /metadata "k": number of elements/],
    ["an array longer than the file", value(T.array, Buffer.concat([u32(T.string), u64(9)])), /number of elements: expected at most 8 /],
    ["unknown value type", value(13, Buffer.alloc(8)), /metadata "k": expected a value type of 0 to 12, found 13/],
    ["unknown element type", value(T.array, Buffer.concat([u32(99), u64(1)])), /element type of 0 to 12, found 99/],
    ["a boolean of 7", value(T.bool, Buffer.of(7)), /boolean of 0 or 1, found 7/],
    ["arrays too deep", ggufBytes([item("k", T.array, deep(4))]), /at most 4 deep/],
    ["a key twice", ggufBytes([item("k", T.u8, 1), item("k", T.u8, 1)]), /metadata "k": expected every key once/],
    ["alignment of 24", of([tensor()], [item("general.alignment", T.u32, 24)]), /general\.alignment: expected a power of two up to \d+, found 24/],
    ["alignment of 0", of([tensor()], [item("general.alignment", T.u32, 0)]), /general\.alignment/],
    ["alignment a string", of([tensor()], [item("general.alignment", T.string, "32")]), /general\.alignment/],
    ["unknown tensor type", of([tensor({ type: 77 })]), /tensor "a": expected a type of F32 \(0\), .*Q6_K \(14\).*found 77/],
    ["known but unread type", of([tensor({ type: 23 })]), /found IQ4_XS \(23\)\. .*take the model in another/],
    ["five dimensions", of([tensor({ dims: [1, 1, 1, 1, 1] })]), /at most 4 dimensions, found 5/],
    ["a dimension of 0", of([tensor({ dims: [0, 2] })]), /dimensions of 1 and more, found 0/],
    ["dimensions that overflow", of([tensor({ dims: [2 ** 32, 2 ** 32] })]), /fewer than 2\^53 elements, found dimensions 4294967296 × 4294967296/],
    ["a dimension of 2^63", of([tensor({ dims: [2n ** 63n] })]), /dimensions of 1 and more, found 9223372036854775808/],
    ["rows of no whole blocks", of([tensor({ dims: [48, 2], type: 2 })]), /rows of a multiple of 32 for Q4_0, found \[2, 48\]/],
    ["beyond the end", of([tensor({ dims: [32, 3] })]), /tensor "a": expected its 384 bytes/],
    ["offset beyond the end", of([tensor({ offset: 2 ** 40 })]), /to lie within the file/],
    ["offset of 2^63", of([tensor({ offset: 2n ** 63n })]), /expected an offset within the file/],
    ["offset not aligned", of([tensor({ offset: 8 })]), /offset that is a multiple of 32, found 8/],
    ["the same name", of([tensor(), tensor()]), /tensor "a": expected every name once/],
    ["overlap", of([tensor(), tensor({ name: "b", offset: 128 })]), /tensor "b": .*after "a".*overlap/],
  ];
  for (const [what, bytes, message] of cases) {
    assert.throws(() => readGguf(bytesSource(bytes), "m.gguf"), (error: Error) => {
      assert.ok(error instanceof FormatError, `${what}: ${error.stack}`);
      assert.match(error.message, /^m\.gguf: /, what);
      assert.match(error.message, message, what);
      return true;
    });
  }
});

test("every cut of a file, and 300 mutations of headers: a typed error or a whole file, and little read", () => {
  const header = bytesOfFile("spm.gguf");
  const files = [good(), header, bytesOfFile("quants.gguf"), ggufBytes([item("k", T.array, [T.array, [[T.u32, [1, 2]], [T.string, ["x"]]]])], [tensor(), tensor({ name: "b" })])];
  const attempt = (bytes: Uint8Array, what: string): Gguf | undefined => {
    let read = 0;
    const source: ByteSource = { byteLength: bytes.length, slice: (from, to) => ((read += to - from), bytes.subarray(from, to)) };
    try {
      const gguf = readGguf(source, "f");
      for (const one of gguf.tensors.values()) readGgufRows(source, one);
      return gguf;
    } catch (error) {
      assert.ok(error instanceof FormatError, `${what}: ${(error as Error).stack}`);
      return undefined;
    } finally {
      assert.ok(read <= 4 * bytes.length + 2 ** 20, `${what}: ${read} bytes read`);
    }
  };
  for (let length = 0; length < files[0].length; length++) assert.equal(attempt(files[0].subarray(0, length), `cut at ${length}`), undefined);
  const random = randomNumbers(7, 0);
  const below = (n: number): number => Math.floor(random() * n);
  const hostile = [0n, 1n, 2n ** 16n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 60n, 2n ** 64n - 1n];
  let refused = 0;
  for (let i = 0; i < 300; i++) {
    const bytes = Uint8Array.from(files[i % files.length]);
    const edits = 1 + below(3);
    for (let j = 0; j < edits; j++) {
      const at = below(Math.min(bytes.length - 8, 2000));
      if (below(2)) bytes[at] = below(256);
      else bytes.set(u64(hostile[below(hostile.length)]), at);
    }
    if (!attempt(bytes, `mutation ${i}`)) refused++;
  }
  assert.ok(refused > 100 && refused < 300, `${refused} refused`);
});

test("a value of each writer type is read as it was written", () => {
  const { metadata } = readGguf(bytesSource(ggufBytes([item("a", T.u64, 2n ** 40n), item("b", T.u64, 2n ** 60n), item("c", T.array, [T.u64, [1, 2]]), item("d", T.i32, -5)])), "x");
  assert.deepEqual([...metadata.values()], [2 ** 40, 2n ** 60n, [1, 2], -5]);
  assert.equal(bytesOf(T.string, "ü").length, 10);
});
