"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.ELEMENT = void 0;
exports.writeOnnx = writeOnnx;
exports.readOnnx = readOnnx;
const errors_1 = require("./errors");
/**
 * ONNX files, as far as this library writes and looks at them: the protobuf wire format and the field numbers of
 * ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
 * Weights stay where they are: an initialiser names a file, an offset and a length.
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 * @see https://protobuf.dev/programming-guides/encoding
 */
/** TensorProto.DataType. */
exports.ELEMENT = { FLOAT: 1, INT32: 6, INT64: 7, FLOAT16: 10, BFLOAT16: 16 };
// ---- writing: a message is a list of pieces; lengths are known once the inner ones are made
const utf8 = new TextEncoder();
const size = (message) => message.reduce((sum, piece) => sum + piece.length, 0);
/** Base 128, low group first; negative numbers as 64-bit two's complement. */
function varint(value) {
    let rest = BigInt.asUintN(64, BigInt(value));
    const bytes = [];
    do {
        const group = Number(rest & 127n);
        rest >>= 7n;
        bytes.push(rest ? group | 128 : group);
    } while (rest);
    return Uint8Array.from(bytes);
}
const number = (field, value) => [varint(field << 3), varint(value)];
const bytes = (field, value) => [varint((field << 3) | 2), varint(value.length), value];
const text = (field, value) => bytes(field, utf8.encode(value));
const message = (field, value) => [varint((field << 3) | 2), varint(size(value)), ...value];
const float = (field, value) => [varint((field << 3) | 5), new Uint8Array(Float32Array.of(value).buffer)];
function writeAttribute(name, value) {
    const head = text(1, name);
    const type = (code) => number(20, code);
    if (typeof value === "bigint")
        return [...head, ...number(3, value), ...type(2)];
    if (typeof value === "number")
        return [...head, ...float(2, value), ...type(1)];
    if (typeof value === "string")
        return [...head, ...text(4, value), ...type(3)];
    if (typeof value[0] === "bigint")
        return [...head, ...value.flatMap((x) => number(8, x)), ...type(7)];
    return [...head, ...value.flatMap((x) => float(7, x)), ...type(6)];
}
function writeNode(node) {
    return [
        ...node.inputs.flatMap((name) => text(1, name)),
        ...node.outputs.flatMap((name) => text(2, name)),
        ...(node.name ? text(3, node.name) : []),
        ...text(4, node.op),
        ...Object.entries(node.attributes ?? {}).flatMap(([name, value]) => message(5, writeAttribute(name, value))),
        ...(node.domain ? text(7, node.domain) : []),
    ];
}
function writeInitializer({ name, type, dims, raw, external }) {
    const entry = (key, value) => message(13, [...text(1, key), ...text(2, String(value))]);
    return [
        ...dims.flatMap((dim) => number(1, dim)),
        ...number(2, type),
        ...text(8, name),
        ...(external
            ? [...entry("location", external.location), ...entry("offset", external.offset), ...entry("length", external.length), ...number(14, 1)]
            : bytes(9, raw ?? new Uint8Array())),
    ];
}
function writeValue({ name, type, dims }) {
    if (!type)
        return text(1, name);
    const shape = (dims ?? []).flatMap((dim) => message(1, typeof dim === "number" ? number(1, dim) : text(2, dim)));
    return [...text(1, name), ...message(2, message(1, [...number(1, type), ...(dims ? message(2, shape) : [])]))];
}
/** The bytes of a ModelProto. */
function writeOnnx(model) {
    const graph = [
        ...model.nodes.flatMap((node) => message(1, writeNode(node))),
        ...text(2, model.name),
        ...model.initializers.flatMap((tensor) => message(5, writeInitializer(tensor))),
        ...model.inputs.flatMap((value) => message(11, writeValue(value))),
        ...model.outputs.flatMap((value) => message(12, writeValue(value))),
    ];
    const pieces = [
        ...number(1, model.irVersion),
        ...(model.producer ? text(2, model.producer) : []),
        ...message(7, graph),
        ...Object.entries(model.opsets).flatMap(([domain, version]) => message(8, [...(domain ? text(1, domain) : []), ...number(2, version)])),
    ];
    const out = new Uint8Array(size(pieces));
    let at = 0;
    for (const piece of pieces) {
        out.set(piece, at);
        at += piece.length;
    }
    return out;
}
function* fields(data, where) {
    let at = 0;
    const short = () => {
        throw new errors_1.FormatError(`${where}: expected a whole protobuf message, found that it breaks off at byte ${at} of ${data.length}. The file is damaged: copy it again.`);
    };
    const read = () => {
        let value = 0n;
        for (let shift = 0n; shift < 70n; shift += 7n) {
            if (at >= data.length)
                short();
            const byte = data[at++];
            value |= BigInt(byte & 127) << shift;
            if (byte < 128)
                return BigInt.asUintN(64, value);
        }
        return short();
    };
    const take = (count) => {
        if (at + count > data.length)
            short();
        return data.subarray(at, (at += count));
    };
    while (at < data.length) {
        const key = Number(read());
        const field = key >>> 3;
        switch (key & 7) {
            case 0:
                yield { field, value: read() };
                break;
            case 1:
                yield { field, value: new DataView(new Uint8Array(take(8)).buffer).getBigUint64(0, true) };
                break;
            case 2:
                yield { field, value: take(Number(read())) };
                break;
            case 5:
                yield { field, value: take(4) };
                break;
            default:
                throw new errors_1.FormatError(`${where}: expected protobuf wire type 0, 1, 2 or 5 at byte ${at}, found ${key & 7}. The file is damaged or not ONNX.`);
        }
    }
}
const decode = (value) => new TextDecoder().decode(value);
const signed = (value) => BigInt.asIntN(64, value);
const single = (value) => new Float32Array(new Uint8Array(value).buffer)[0];
/** Repeated numbers come one by one, or packed into one field. */
function numbers(value) {
    if (typeof value === "bigint")
        return [signed(value)];
    const list = [];
    for (let at = 0; at < value.length;) {
        let number = 0n;
        for (let shift = 0n, more = true; more && at < value.length; shift += 7n) {
            const byte = value[at++];
            number |= BigInt(byte & 127) << shift;
            more = byte > 127;
        }
        list.push(BigInt.asIntN(64, number));
    }
    return list;
}
const floats = (value) => [...new Float32Array(new Uint8Array(value).buffer)];
function readAttribute(data, where) {
    let name = "";
    let one;
    const many = [];
    for (const { field, value } of fields(data, where)) {
        if (field === 1)
            name = decode(value);
        else if (field === 2)
            one = single(value);
        else if (field === 3)
            one = signed(value);
        else if (field === 4)
            one = decode(value);
        else if (field === 7)
            many.push(...floats(value));
        else if (field === 8)
            many.push(...numbers(value));
    }
    return [name, many.length ? many : one];
}
function readNode(data, where) {
    const node = { op: "", inputs: [], outputs: [] };
    for (const { field, value } of fields(data, where)) {
        if (field === 1)
            node.inputs.push(decode(value));
        else if (field === 2)
            node.outputs.push(decode(value));
        else if (field === 3)
            node.name = decode(value);
        else if (field === 4)
            node.op = decode(value);
        else if (field === 5) {
            const [name, attribute] = readAttribute(value, where);
            if (attribute !== undefined)
                (node.attributes ??= {})[name] = attribute;
        }
        else if (field === 7 && value.length)
            node.domain = decode(value);
    }
    return node;
}
function readInitializer(data, where) {
    const tensor = { name: "", type: 0, dims: [] };
    const entries = {};
    for (const { field, value } of fields(data, where)) {
        if (field === 1)
            tensor.dims.push(...numbers(value).map(Number));
        else if (field === 2)
            tensor.type = Number(value);
        else if (field === 8)
            tensor.name = decode(value);
        else if (field === 9)
            tensor.raw = value;
        else if (field === 13) {
            const pair = [...fields(value, where)];
            const part = (n) => decode(pair.find((x) => x.field === n)?.value ?? new Uint8Array());
            entries[part(1)] = part(2);
        }
    }
    if (entries.location !== undefined) {
        tensor.external = { location: entries.location, offset: Number(entries.offset ?? 0), length: Number(entries.length ?? -1) };
    }
    return tensor;
}
function readValue(data, where) {
    const out = { name: "" };
    for (const { field, value } of fields(data, where)) {
        if (field === 1)
            out.name = decode(value);
        if (field !== 2)
            continue;
        for (const type of fields(value, where)) {
            if (type.field !== 1)
                continue;
            for (const part of fields(type.value, where)) {
                if (part.field === 1)
                    out.type = Number(part.value);
                if (part.field !== 2)
                    continue;
                out.dims = [...fields(part.value, where)].filter((x) => x.field === 1).map((dim) => {
                    const inner = [...fields(dim.value, where)][0];
                    return inner?.field === 1 ? Number(signed(inner.value)) : inner?.field === 2 ? decode(inner.value) : "";
                });
            }
        }
    }
    return out;
}
/**
 * What a ModelProto says: nodes, initialisers, inputs, outputs. For looking at models, not for rewriting them:
 * subgraphs, functions, quantisation notes, metadata and documentation are passed over.
 * @throws FormatError when the bytes are no protobuf or hold no graph
 */
function readOnnx(data, where = "ONNX model") {
    const model = { irVersion: 0, opsets: {}, name: "", nodes: [], initializers: [], inputs: [], outputs: [] };
    let graph;
    for (const { field, value } of fields(data, where)) {
        if (field === 1)
            model.irVersion = Number(value);
        else if (field === 2)
            model.producer = decode(value);
        else if (field === 7)
            graph = value;
        else if (field === 8) {
            const pair = [...fields(value, where)];
            const domain = pair.find((x) => x.field === 1)?.value;
            model.opsets[domain ? decode(domain) : ""] = Number(pair.find((x) => x.field === 2)?.value ?? 0);
        }
    }
    if (!graph)
        throw new errors_1.FormatError(`${where}: expected a graph (field 7 of ModelProto), found none. The file is not an ONNX model.`);
    for (const { field, value } of fields(graph, where)) {
        const inner = value;
        if (field === 1)
            model.nodes.push(readNode(inner, where));
        else if (field === 2)
            model.name = decode(inner);
        else if (field === 5)
            model.initializers.push(readInitializer(inner, where));
        else if (field === 11)
            model.inputs.push(readValue(inner, where));
        else if (field === 12)
            model.outputs.push(readValue(inner, where));
    }
    return model;
}
//# sourceMappingURL=onnx.js.map