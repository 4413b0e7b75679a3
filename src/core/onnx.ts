import { FormatError } from "./errors";
import { bytes, float, joined, message, number, readWire, text, type Field, type Message, type Wire } from "./protobuf";
import { bytesSource, type ByteSource } from "./safetensors";

/**
 * ONNX files: what of ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto and ValueInfoProto is looked at or changed
 * here has a field of its own; the rest is carried along as it stands on the wire, so that a file that is read and written again says the same.
 * Weights stay where they are: an initialiser names a file, an offset and a length.
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

/** TensorProto.DataType. */
export const ELEMENT = { FLOAT: 1, INT32: 6, INT64: 7, FLOAT16: 10, BFLOAT16: 16 } as const;

/** Bits of an element, by TensorProto.DataType; strings have none. */
const BITS: Record<number, number> = {
  1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
  17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
};

/** `raw`: an AttributeProto as it stands on the wire: tensors, graphs, lists of strings, empty lists, references. */
export type Attribute = number | bigint | string | number[] | bigint[] | { raw: Uint8Array };

/** A whole number as an attribute must be a bigint; a number is written as a float. */
export interface Node {
  op: string;
  domain?: string;
  name?: string;
  inputs: string[]; // "" where an optional one is left out
  outputs: string[];
  attributes?: Record<string, Attribute>;
  /** Fields of the message that have no name here, keys included; so below. */
  rest?: Uint8Array;
}

export interface Initializer {
  name: string;
  type: number;
  dims: number[];
  /** Little-endian bytes in the model itself … */
  raw?: Uint8Array;
  /** … or where they lie; the location is relative to the folder told to the runtime … */
  external?: { location: string; offset: number; length: number };
  /** … or in here, when the file has its numbers one by one (float_data, int64_data …). */
  rest?: Uint8Array;
}

export interface Value {
  name: string;
  /** 0 or absent: let the runtime infer it. */
  type?: number;
  /** Names stand for free dimensions, "" for unknown ones. */
  dims?: (number | string)[];
  /** The whole message, where type and dims do not say all of it. It is what is written: take it away when the others are changed. */
  raw?: Uint8Array;
}

export interface OnnxModel {
  irVersion: number;
  opsets: Record<string, number>; // "" is ai.onnx
  producer?: string;
  name: string;
  nodes: Node[];
  initializers: Initializer[];
  inputs: Value[];
  outputs: Value[];
  /** Types and shapes of tensors in between, as far as the file tells them. */
  values?: Value[];
  /** Of the model: functions, metadata …; of the graph: sparse initialisers, quantisation notes, documentation … */
  rest?: Uint8Array;
  graphRest?: Uint8Array;
}

// ---- writing

function writeAttribute(name: string, value: Attribute): Message {
  const head = text(1, name);
  const type = (code: number): Message => number(20, code);
  if (typeof value === "bigint") return [...head, ...number(3, value), ...type(2)];
  if (typeof value === "number") return [...head, ...float(2, value), ...type(1)];
  if (typeof value === "string") return [...head, ...text(4, value), ...type(3)];
  if (!Array.isArray(value)) return [value.raw];
  if (typeof value[0] === "bigint") return [...head, ...(value as bigint[]).flatMap((x) => number(8, x)), ...type(7)];
  return [...head, ...(value as number[]).flatMap((x) => float(7, x)), ...type(6)];
}

const rest = (value?: Uint8Array): Message => (value ? [value] : []);

function writeNode(node: Node): Message {
  return [
    ...node.inputs.flatMap((name) => text(1, name)),
    ...node.outputs.flatMap((name) => text(2, name)),
    ...(node.name ? text(3, node.name) : []),
    ...text(4, node.op),
    ...Object.entries(node.attributes ?? {}).flatMap(([name, value]) => message(5, writeAttribute(name, value))),
    ...(node.domain ? text(7, node.domain) : []),
    ...rest(node.rest),
  ];
}

function writeInitializer(tensor: Initializer): Message {
  const { name, type, dims, raw, external } = tensor;
  const entry = (key: string, value: string | number): Message => message(13, [...text(1, key), ...text(2, String(value))]);
  return [
    ...dims.flatMap((dim) => number(1, dim)),
    ...number(2, type),
    ...text(8, name),
    ...(external
      ? [...entry("location", external.location), ...entry("offset", external.offset), ...entry("length", external.length), ...number(14, 1)]
      : raw || !tensor.rest ? bytes(9, raw ?? new Uint8Array()) : []),
    ...rest(tensor.rest),
  ];
}

function writeValue({ name, type, dims, raw }: Value): Message {
  if (raw) return [raw];
  if (!type) return text(1, name);
  const shape = (dims ?? []).flatMap((dim) => message(1, typeof dim === "number" ? number(1, dim) : dim ? text(2, dim) : []));
  return [...text(1, name), ...message(2, message(1, [...number(1, type), ...(dims ? message(2, shape) : [])]))];
}

/** The bytes of a ModelProto. */
export function writeOnnx(model: OnnxModel): Uint8Array {
  const graph: Message = [
    ...model.nodes.flatMap((node) => message(1, writeNode(node))),
    ...text(2, model.name),
    ...model.initializers.flatMap((tensor) => message(5, writeInitializer(tensor))),
    ...model.inputs.flatMap((value) => message(11, writeValue(value))),
    ...model.outputs.flatMap((value) => message(12, writeValue(value))),
    ...(model.values ?? []).flatMap((value) => message(13, writeValue(value))),
    ...rest(model.graphRest),
  ];
  return joined([
    ...number(1, model.irVersion),
    ...(model.producer ? text(2, model.producer) : []),
    ...message(7, graph),
    ...Object.entries(model.opsets).flatMap(([domain, version]) => message(8, [...(domain ? text(1, domain) : []), ...number(2, version)])),
    ...rest(model.rest),
  ]);
}

// ---- reading

const small = (value: bigint): number | undefined => (Number.isSafeInteger(Number(value)) ? Number(value) : undefined);

/** A whole number that is used as one here: a dimension, a type, a version. */
const count = (wire: Wire, value: bigint): number => small(value) ?? wire.fail(`expected a whole number below 2^53, found ${value}`);

/** Fields of a message by their number, in order. */
function byNumber(wire: Wire, from: number, to: number): Map<number, Field[]> {
  const map = new Map<number, Field[]>();
  for (const field of wire.fields(from, to)) {
    const list = map.get(field.field);
    if (list) list.push(field);
    else map.set(field.field, [field]);
  }
  return map;
}

/** [name, value]. A value is taken apart only where name, type and just that value are all there is. */
function readAttribute(wire: Wire, outer: Field): [string, Attribute] {
  wire.bytes(outer);
  const has = byNumber(wire, outer.from, outer.to);
  const name = has.get(1) ? wire.text(has.get(1)![0]) : "";
  const type = has.get(20) ? Number(wire.whole(has.get(20)![0])) : 0;
  const only = (field: number): Field[] | undefined => (has.size === 3 && has.get(1)?.length === 1 && has.get(20)?.length === 1 ? has.get(field) : undefined);
  const one = (field: number): Field | undefined => (only(field)?.length === 1 ? only(field)![0] : undefined);
  const raw = { raw: wire.kept(outer) };
  switch (type) {
    case 1: return [name, one(2) ? wire.floats(one(2)!)[0] ?? raw : raw];
    case 2: return [name, one(3) ? wire.whole(one(3)!) : raw];
    case 3:
      try {
        return [name, one(4) ? wire.text(one(4)!) : raw];
      } catch {
        return [name, raw]; // bytes that are no text
      }
    case 6: return [name, nonEmpty(only(7)?.flatMap((field) => wire.floats(field))) ?? raw];
    case 7: return [name, nonEmpty(only(8)?.flatMap((field) => wire.wholes(field))) ?? raw];
    default: return [name, raw];
  }
}

const nonEmpty = <T>(list: T[] | undefined): T[] | undefined => (list?.length ? list : undefined);

/** Collects fields that are carried along. */
function carried(wire: Wire): { keep(field: Field): void; bytes(): Uint8Array | undefined } {
  const pieces: Message = [];
  return { keep: (field) => void pieces.push(wire.kept(field, "whole")), bytes: () => (pieces.length ? joined(pieces) : undefined) };
}

function readNode(wire: Wire, outer: Field): Node {
  const node: Node = { op: "", inputs: [], outputs: [] };
  const { keep, bytes } = carried(wire);
  wire.bytes(outer);
  for (const field of wire.fields(outer.from, outer.to)) {
    if (field.field === 1) node.inputs.push(wire.text(field));
    else if (field.field === 2) node.outputs.push(wire.text(field));
    else if (field.field === 3) node.name = wire.text(field);
    else if (field.field === 4) node.op = wire.text(field);
    else if (field.field === 5) {
      const [name, attribute] = readAttribute(wire, field);
      (node.attributes ??= {})[name] = attribute;
    } else if (field.field === 7) node.domain = wire.text(field) || undefined;
    else keep(field);
  }
  const rest = bytes();
  if (rest) node.rest = rest;
  if (!node.domain) delete node.domain;
  return node;
}

interface Whereabouts {
  location?: string;
  sidecar?: (location: string, end: number) => string;
}

/** Raw data up to so many bytes are copied into the skeleton: shapes and constants, which the runtime wants to look at while it loads. */
const INLINE = 1024;

function readInitializer(wire: Wire, outer: Field, { location, sidecar = (same) => same }: Whereabouts): Initializer {
  const tensor: Initializer = { name: "", type: 0, dims: [] };
  const entries = new Map<string, string>();
  const { keep, bytes } = carried(wire);
  let data: Field | undefined;
  let outside = false;
  if (outer.wire !== 2) wire.bytes(outer);
  for (const field of wire.fields(outer.from, outer.to)) {
    if (field.field === 1) tensor.dims.push(...wire.wholes(field).map((dim) => count(wire, dim)));
    else if (field.field === 2) tensor.type = count(wire, wire.whole(field));
    else if (field.field === 8) tensor.name = wire.text(field);
    else if (field.field === 9) data = field;
    else if (field.field === 14) outside = wire.whole(field) === 1n;
    else if (field.field === 13) {
      wire.bytes(field);
      const pair = byNumber(wire, field.from, field.to);
      const [key, value] = [1, 2].map((n) => (pair.get(n) ? wire.text(pair.get(n)![0]) : ""));
      if (["location", "offset", "length"].includes(key)) entries.set(key, value);
      else keep(field); // a checksum
    } else keep(field);
  }
  const rest = bytes();
  if (rest) tensor.rest = rest;
  if (outside || entries.has("location")) {
    const bits = BITS[tensor.type] ?? wire.fail(`tensor "${tensor.name}": expected an element type that can lie in another file, found ${tensor.type}`);
    const whole = tensor.dims.reduce((a, b) => a * b, 1);
    const place = (key: string, otherwise: number): number => {
      const value = entries.has(key) ? Number(entries.get(key)) : otherwise;
      return Number.isSafeInteger(value) && value >= 0 ? value : wire.fail(`tensor "${tensor.name}": expected ${key} of its data as a whole number from 0, found "${entries.get(key) ?? value}"`);
    };
    const offset = place("offset", 0);
    const length = place("length", Math.ceil((whole * bits) / 8));
    tensor.external = { location: sidecar(entries.get("location") ?? "", offset + length), offset, length };
  } else if (data) {
    if (data.wire !== 2) wire.bytes(data);
    const length = data.to - data.from;
    if (location !== undefined && length > INLINE) tensor.external = { location, offset: data.from, length };
    else tensor.raw = location === undefined ? wire.bytes(data) : wire.kept(data);
  }
  return tensor;
}

function readValue(wire: Wire, outer: Field): Value {
  const out: Value = { name: "" };
  let plain = true; // name, tensor type, shape: nothing more
  const part = (field: Field, most: number): Map<number, Field[]> => {
    wire.bytes(field);
    const has = byNumber(wire, field.from, field.to);
    for (const [number, list] of has) if (number > most || list.length > 1) plain = false;
    return has;
  };
  const has = part(outer, 2);
  if (has.get(1)) out.name = wire.text(has.get(1)![0]);
  if (has.get(2)) {
    const tensor = part(has.get(2)![0], 1).get(1);
    const said = tensor && part(tensor[0], 2);
    if (said?.get(1)) out.type = count(wire, wire.whole(said.get(1)![0]));
    if (!out.type) plain = false;
    if (said?.get(2)) {
      wire.bytes(said.get(2)![0]);
      out.dims = [...wire.fields(said.get(2)![0].from, said.get(2)![0].to)].flatMap((dim) => {
        if (dim.field !== 1) {
          plain = false;
          return [];
        }
        const inner = part(dim, 2);
        const [value, name] = [inner.get(1)?.[0], inner.get(2)?.[0]];
        if (value && name) plain = false;
        return [value ? count(wire, wire.whole(value)) : name ? wire.text(name) : ""];
      });
    }
  }
  if (!plain) out.raw = wire.kept(outer);
  return out;
}

/**
 * A model as it stands in memory; weights are views of `data`.
 * @throws FormatError when the bytes are no protobuf or hold no graph
 */
export const readOnnx = (data: Uint8Array, where = "ONNX model"): OnnxModel => read(bytesSource(data), where, {});

/**
 * A model without its weights: only the nodes of a file are read, by ranges, and raw data above 1 kB become references into it.
 * Written by {@link writeOnnx}, it says the same as the file; what is not looked at here is carried along.
 * @param location of the file, relative to the folder that the runtime will be told
 * @param sidecar for tensors that lie in further files: the location told to the runtime for the one that the file tells (untrusted: it may be
 *   absolute or point out of the folder), of which `end` bytes are needed; throws when there is no such file. By default the location stays.
 * @param where name of the file, for messages
 * @throws FormatError when the bytes are no protobuf or hold no graph
 */
export function readSkeleton(source: ByteSource, { location, sidecar, where = location }: { location: string; sidecar?: (location: string, end: number) => string; where?: string }): OnnxModel {
  return read(source, where, { location, sidecar });
}

function read(source: ByteSource, where: string, whereabouts: Whereabouts): OnnxModel {
  const wire = readWire(source, where);
  const model: OnnxModel = { irVersion: 0, opsets: {}, name: "", nodes: [], initializers: [], inputs: [], outputs: [] };
  const [outside, inside] = [carried(wire), carried(wire)];
  let graph: Field | undefined;
  for (const field of wire.fields()) {
    if (field.field === 1) model.irVersion = count(wire, wire.whole(field));
    else if (field.field === 2) model.producer = wire.text(field);
    else if (field.field === 7) {
      if (graph) wire.fail("expected one graph, found a second one");
      graph = field;
    } else if (field.field === 8) {
      wire.bytes(field);
      const pair = byNumber(wire, field.from, field.to);
      const [domain, version] = [pair.get(1)?.[0], pair.get(2)?.[0]];
      model.opsets[domain ? wire.text(domain) : ""] = version ? count(wire, wire.whole(version)) : 0;
    } else outside.keep(field);
  }
  if (graph?.wire !== 2) throw new FormatError(`${where}: expected a graph (field 7 of ModelProto), found none. The file is not an ONNX model.`);
  for (const field of wire.fields(graph.from, graph.to)) {
    if (field.field === 1) model.nodes.push(readNode(wire, field));
    else if (field.field === 2) model.name = wire.text(field);
    else if (field.field === 5) model.initializers.push(readInitializer(wire, field, whereabouts));
    else if (field.field === 11) model.inputs.push(readValue(wire, field));
    else if (field.field === 12) model.outputs.push(readValue(wire, field));
    else if (field.field === 13) (model.values ??= []).push(readValue(wire, field));
    else inside.keep(field);
  }
  const [rest, graphRest] = [outside.bytes(), inside.bytes()];
  return { ...model, ...(rest && { rest }), ...(graphRest && { graphRest }) };
}

/** How deep subgraphs may lie in one another. */
const DEPTH = 16;

/**
 * Names that a node reads: its inputs, and what the subgraphs of an If, Loop or Scan take from the graph around them.
 * @throws FormatError when a subgraph is damaged or lies more than 16 deep
 */
export function usedNames(node: Node): string[] {
  const used = new Set(node.inputs.filter((name) => name));
  for (const [name, attribute] of Object.entries(node.attributes ?? {})) {
    if (typeof attribute !== "object" || Array.isArray(attribute)) continue;
    const wire = readWire(bytesSource(attribute.raw), `attribute "${name}" of ${node.op} "${node.name ?? ""}"`);
    for (const found of takenBy(wire, [...wire.fields()].filter(({ field }) => field === 6 || field === 11), DEPTH)) used.add(found);
  }
  return [...used];
}

/** Names that graphs (fields that hold a GraphProto each) use and do not make themselves. */
function takenBy(wire: Wire, graphs: Field[], depth: number): Set<string> {
  if (depth < 0) wire.fail(`expected subgraphs at most ${DEPTH} deep, found deeper ones`);
  const taken = new Set<string>();
  for (const graph of graphs) {
    if (graph.wire !== 2) wire.bytes(graph);
    const used = new Set<string>();
    const made = new Set<string>();
    for (const field of wire.fields(graph.from, graph.to)) {
      if (field.field === 1) {
        for (const part of wire.fields(field.from, field.to)) {
          if (part.field === 1) used.add(wire.text(part));
          else if (part.field === 2) made.add(wire.text(part));
          else if (part.field === 5) {
            const inner = [...wire.fields(part.from, part.to)].filter(({ field }) => field === 6 || field === 11);
            for (const name of takenBy(wire, inner, depth - 1)) used.add(name);
          }
        }
      } else if ([5, 11, 12].includes(field.field)) {
        // initialisers have their name in field 8, values in field 1
        const named = [...wire.fields(field.from, field.to)].find((part) => part.field === (field.field === 5 ? 8 : 1));
        if (named) (field.field === 12 ? used : made).add(wire.text(named));
      }
    }
    for (const name of used) if (name && !made.has(name)) taken.add(name);
  }
  return taken;
}

/** Names of the sparse initialisers, which are carried along in `graphRest`. */
export function sparseNames({ graphRest }: OnnxModel): string[] {
  if (!graphRest) return [];
  const wire = readWire(bytesSource(graphRest), "sparse initialisers");
  return [...wire.fields()].filter(({ field }) => field === 15).flatMap((sparse) => {
    const values = [...wire.fields(sparse.from, sparse.to)].find(({ field }) => field === 1);
    return values ? [readInitializer(wire, values, {}).name] : [];
  });
}

/** The tensor that an attribute holds (of Constant: "value"), if it holds one. */
export function attributeTensor(attribute: Attribute | undefined): Initializer | undefined {
  if (typeof attribute !== "object" || Array.isArray(attribute)) return undefined;
  const wire = readWire(bytesSource(attribute.raw), "attribute");
  const tensor = [...wire.fields()].find(({ field }) => field === 5);
  return tensor && readInitializer(wire, tensor, {});
}

/** Values of an int32 or int64 tensor that lies in the model itself; undefined for others, and beyond 2^53. */
export function wholeNumbers({ type, raw, rest, external }: Initializer): number[] | undefined {
  if (external || (type !== ELEMENT.INT32 && type !== ELEMENT.INT64)) return undefined;
  let list: bigint[] = [];
  if (raw && raw.length % (type === ELEMENT.INT64 ? 8 : 4) === 0) {
    const { buffer } = new Uint8Array(raw);
    list = type === ELEMENT.INT64 ? [...new BigInt64Array(buffer)] : [...new Int32Array(buffer)].map(BigInt);
  } else if (rest) {
    const wire = readWire(bytesSource(rest), "tensor");
    for (const field of wire.fields()) if (field.field === (type === ELEMENT.INT64 ? 7 : 5)) list.push(...wire.wholes(field));
  }
  const values = list.map(small);
  return values.includes(undefined) ? undefined : (values as number[]);
}
