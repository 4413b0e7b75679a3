"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.bytesSource = void 0;
exports.readHeader = readHeader;
exports.fromBfloat16 = fromBfloat16;
exports.fromFloat16 = fromFloat16;
exports.readFloats = readFloats;
exports.readInts = readInts;
exports.writeSafetensors = writeSafetensors;
const errors_1 = require("./errors");
const BYTES = {
    F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1,
};
const MAX_HEADER = 100_000_000; // the reference implementation's own bound
const bytesSource = (bytes) => ({
    byteLength: bytes.byteLength,
    slice: (from, to) => bytes.subarray(from, to),
});
exports.bytesSource = bytesSource;
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
/**
 * Header of a safetensors file, checked: every tensor inside the file, its bytes as many as shape and dtype say, none overlapping, nothing left over.
 * @param name file name, for the message of an error
 * @throws FormatError
 */
function readHeader(source, name) {
    const fail = (what) => {
        throw new errors_1.FormatError(`${name}: ${what}. The file is damaged or not safetensors: copy or download it again.`);
    };
    if (source.byteLength < 8)
        fail(`expected at least 8 bytes, found ${source.byteLength}`);
    const first = source.slice(0, 8);
    const length = Number(new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true));
    if (length > source.byteLength - 8 || length > MAX_HEADER) {
        fail(`expected a header within the file's ${source.byteLength} bytes, found a header length of ${length}`);
    }
    let json;
    try {
        json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(source.slice(8, 8 + length)));
    }
    catch (error) {
        fail(`expected a JSON header, found: ${error.message}`);
    }
    if (typeof json !== "object" || json === null || Array.isArray(json))
        fail("expected the header to be a JSON object");
    const tensors = new Map();
    const metadata = {};
    for (const [key, value] of Object.entries(json)) {
        if (key === "__metadata__") {
            for (const [k, v] of Object.entries(value ?? {})) {
                if (typeof v !== "string")
                    fail(`__metadata__.${k}: expected a string, found ${typeof v}`);
                metadata[k] = v;
            }
            continue;
        }
        const { dtype, shape, data_offsets: offsets } = value ?? {};
        if (typeof dtype !== "string" || !Array.isArray(shape) || !Array.isArray(offsets) || offsets.length !== 2) {
            fail(`tensor "${key}": expected dtype, shape and data_offsets`);
        }
        if (!(dtype in BYTES))
            fail(`tensor "${key}": expected a dtype of ${Object.keys(BYTES).join(", ")}, found ${dtype}`);
        if (!shape.every(isCount))
            fail(`tensor "${key}": expected a shape of counts, found [${shape}]`);
        const [from, to] = offsets;
        if (!isCount(from) || !isCount(to) || from > to || 8 + length + to > source.byteLength) {
            fail(`tensor "${key}": expected data_offsets within ${source.byteLength - 8 - length} bytes of data, found [${offsets}]`);
        }
        const bytes = shape.reduce((a, b) => a * b, BYTES[dtype]);
        if (bytes !== to - from)
            fail(`tensor "${key}": expected ${bytes} bytes for ${dtype} [${shape}], found ${to - from}`);
        tensors.set(key, { dtype, shape, offset: 8 + length + from, bytes });
    }
    let end = 8 + length;
    for (const [key, info] of [...tensors].sort((a, b) => a[1].offset - b[1].offset || a[1].bytes - b[1].bytes)) {
        if (info.offset !== end)
            fail(`tensor "${key}": expected to begin at byte ${end}, found ${info.offset} (a gap or an overlap)`);
        end += info.bytes;
    }
    if (end !== source.byteLength)
        fail(`expected ${end} bytes, found ${source.byteLength}`);
    return { tensors, metadata };
}
/** Widens the upper half of a float32: exact. */
function fromBfloat16(bytes) {
    const half = new Uint16Array(aligned(bytes, 2), 0, bytes.byteLength / 2);
    const out = new Uint32Array(half.length);
    for (let i = 0; i < half.length; i++)
        out[i] = half[i] << 16;
    return new Float32Array(out.buffer);
}
/** IEEE half to float32, subnormal numbers, infinities and NaN included: exact. */
function fromFloat16(bytes) {
    const half = new Uint16Array(aligned(bytes, 2), 0, bytes.byteLength / 2);
    const out = new Float32Array(half.length);
    for (let i = 0; i < half.length; i++) {
        const sign = half[i] & 0x8000 ? -1 : 1;
        const exponent = (half[i] >> 10) & 31;
        const fraction = half[i] & 1023;
        out[i] = exponent === 31 ? (fraction ? NaN : sign * Infinity)
            : sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
    }
    return out;
}
/** An ArrayBuffer that begins with these bytes and holds just them: typed arrays want aligned offsets. */
const aligned = (bytes, size) => {
    if (bytes.byteLength % size)
        throw new RangeError(`expected a multiple of ${size} bytes, found ${bytes.byteLength}`);
    return new Uint8Array(bytes).buffer; // a copy, also of a Buffer, whose own slice() is a view
};
/** Elements from … to of a tensor (all by default) as float32; F16 and BF16 are widened exactly, F64 is rounded. */
function readFloats(source, info, from = 0, to = info.bytes / BYTES[info.dtype]) {
    const size = BYTES[info.dtype];
    const bytes = source.slice(info.offset + from * size, info.offset + to * size);
    switch (info.dtype) {
        case "F32": return new Float32Array(aligned(bytes, 4));
        case "F64": return Float32Array.from(new Float64Array(aligned(bytes, 8)));
        case "BF16": return fromBfloat16(bytes);
        case "F16": return fromFloat16(bytes);
        default: throw new errors_1.FormatError(`expected a floating dtype (F32, F16, BF16, F64), found ${info.dtype}`);
    }
}
/** Elements from … to of an I32 tensor. */
function readInts(source, info, from = 0, to = info.bytes / 4) {
    if (info.dtype !== "I32")
        throw new errors_1.FormatError(`expected dtype I32, found ${info.dtype}`);
    return new Int32Array(aligned(source.slice(info.offset + from * 4, info.offset + to * 4), 4));
}
/** The bytes of a file, in pieces to be written one after the other; the data are views, not copies. The header is padded so that data begin on 8 bytes. */
function writeSafetensors(tensors, metadata) {
    const header = metadata ? { __metadata__: metadata } : {};
    let at = 0;
    for (const { name, shape, data } of tensors) {
        const count = shape.reduce((a, b) => a * b, 1);
        if (count !== data.length)
            throw new RangeError(`${name}: expected ${count} elements for [${shape}], found ${data.length}`);
        header[name] = { dtype: data instanceof Int32Array ? "I32" : "F32", shape, data_offsets: [at, at + data.byteLength] };
        at += data.byteLength;
    }
    let json = JSON.stringify(header);
    json += " ".repeat((8 - (new TextEncoder().encode(json).length % 8)) % 8);
    const body = new TextEncoder().encode(json);
    const head = new Uint8Array(8 + body.length);
    new DataView(head.buffer).setBigUint64(0, BigInt(body.length), true);
    head.set(body, 8);
    return [head, ...tensors.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))];
}
//# sourceMappingURL=safetensors.js.map