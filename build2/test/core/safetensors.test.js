"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const errors_1 = require("../../src/core/errors");
const safetensors_1 = require("../../src/core/safetensors");
const join = (pieces) => new Uint8Array(Buffer.concat(pieces));
/** A file with this header and so many bytes of data. */
const file = (header, data) => {
    const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return join([length, json, data]);
};
(0, node_test_1.test)("what is written is read again, whole and in ranges, from bytes and from a Buffer", () => {
    const a = Float32Array.from({ length: 12 }, (_, i) => Math.fround(Math.sin(i) * 1e3));
    const b = Int32Array.of(-1, 2 ** 31 - 1, 7);
    const bytes = join((0, safetensors_1.writeSafetensors)([{ name: "a", shape: [3, 4], data: a }, { name: "b.ü", shape: [3], data: b }], { made: "here" }));
    for (const source of [(0, safetensors_1.bytesSource)(bytes), (0, safetensors_1.bytesSource)(Buffer.from(bytes))]) {
        const { tensors, metadata } = (0, safetensors_1.readHeader)(source, "x");
        strict_1.default.deepEqual(metadata, { made: "here" });
        strict_1.default.deepEqual([...tensors.keys()], ["a", "b.ü"]);
        strict_1.default.equal(tensors.get("a").offset % 8, 0, "data begin on 8 bytes");
        strict_1.default.deepEqual((0, safetensors_1.readFloats)(source, tensors.get("a")), a);
        strict_1.default.deepEqual((0, safetensors_1.readFloats)(source, tensors.get("a"), 4, 8), a.slice(4, 8));
        strict_1.default.deepEqual((0, safetensors_1.readInts)(source, tensors.get("b.ü")), b);
        strict_1.default.deepEqual((0, safetensors_1.readInts)(source, tensors.get("b.ü"), 1, 2), b.slice(1, 2));
        strict_1.default.throws(() => (0, safetensors_1.readInts)(source, tensors.get("a")), errors_1.FormatError);
        strict_1.default.throws(() => (0, safetensors_1.readFloats)(source, tensors.get("b.ü")), errors_1.FormatError);
    }
});
(0, node_test_1.test)("a tensor that is no multiple of its shape is not written", () => {
    strict_1.default.throws(() => (0, safetensors_1.writeSafetensors)([{ name: "a", shape: [5], data: new Float32Array(4) }]), RangeError);
});
(0, node_test_1.test)("bfloat16 is the upper half of float32", () => {
    const values = [0, -0, 1, -2.5, 3.140625, Infinity, 2 ** -133];
    const half = new Uint16Array(values.map((x) => new Uint32Array(Float32Array.of(x).buffer)[0] >>> 16));
    strict_1.default.deepEqual([...(0, safetensors_1.fromBfloat16)(new Uint8Array(half.buffer))], values);
});
(0, node_test_1.test)("float16: normal, subnormal, infinite and not a number (IEEE 754 table of values)", () => {
    const table = [
        [0x0000, 0], [0x8000, -0], [0x3c00, 1], [0xc000, -2], [0x7bff, 65504], [0x0400, 2 ** -14], [0x0001, 2 ** -24], [0x03ff, 1023 * 2 ** -24],
        [0x3555, 0.333251953125], [0x7c00, Infinity], [0xfc00, -Infinity],
    ];
    strict_1.default.deepEqual([...(0, safetensors_1.fromFloat16)(new Uint8Array(Uint16Array.from(table.map(([code]) => code)).buffer))], table.map(([, value]) => value));
    strict_1.default.ok(Number.isNaN((0, safetensors_1.fromFloat16)(Uint8Array.of(0x00, 0x7e))[0]));
});
(0, node_test_1.test)("half precision and float64 are read as float32", () => {
    const data = join([new Uint8Array(Float64Array.of(0.1, -3).buffer), Uint8Array.of(0x80, 0x3f), Uint8Array.of(0x00, 0x3c)]);
    const source = (0, safetensors_1.bytesSource)(file({
        d: { dtype: "F64", shape: [2], data_offsets: [0, 16] }, b: { dtype: "BF16", shape: [1], data_offsets: [16, 18] }, h: { dtype: "F16", shape: [], data_offsets: [18, 20] },
    }, data));
    const { tensors } = (0, safetensors_1.readHeader)(source, "x");
    strict_1.default.deepEqual([...(0, safetensors_1.readFloats)(source, tensors.get("d"))], [Math.fround(0.1), -3]);
    strict_1.default.deepEqual([...(0, safetensors_1.readFloats)(source, tensors.get("b"))], [1]);
    strict_1.default.deepEqual([...(0, safetensors_1.readFloats)(source, tensors.get("h"))], [1]);
});
(0, node_test_1.test)("what is not a whole, consistent file is refused, with its name and the reason", () => {
    const f = (info) => file({ a: info }, new Uint8Array(16));
    const cases = [
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
        strict_1.default.throws(() => (0, safetensors_1.readHeader)((0, safetensors_1.bytesSource)(bytes), "m.safetensors"), (error) => {
            strict_1.default.ok(error instanceof errors_1.FormatError, what);
            strict_1.default.match(error.message, /^m\.safetensors: /, what);
            strict_1.default.match(error.message, message, what);
            return true;
        });
    }
});
//# sourceMappingURL=safetensors.test.js.map