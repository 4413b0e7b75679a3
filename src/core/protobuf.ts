import { FormatError } from "./errors";
import type { ByteSource } from "./safetensors";

/**
 * Protobuf's wire format: a message is a list of fields, each a key (number and wire type) and a value.
 * Reads ranges, so that a message of gigabytes can be walked without its bytes; writes lists of pieces, so that nothing is copied twice.
 * @see https://protobuf.dev/programming-guides/encoding
 */

// ---- writing: a message is a list of pieces; lengths are known once the inner ones are made

export type Message = Uint8Array[];

const utf8 = new TextEncoder();

const size = (message: Message): number => message.reduce((sum, piece) => sum + piece.length, 0);

/** Base 128, low group first; negative numbers as 64-bit two's complement. */
function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  if (value >= 0 && value < 2 ** 31) {
    let low = Number(value);
    for (; low > 127; low >>>= 7) bytes.push((low & 127) | 128);
    bytes.push(low);
    return Uint8Array.from(bytes);
  }
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    const group = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest ? group | 128 : group);
  } while (rest);
  return Uint8Array.from(bytes);
}

export const number = (field: number, value: number | bigint): Message => [varint(field * 8), varint(value)];
export const bytes = (field: number, value: Uint8Array): Message => [varint(field * 8 + 2), varint(value.length), value];
export const text = (field: number, value: string): Message => bytes(field, utf8.encode(value));
export const message = (field: number, value: Message): Message => [varint(field * 8 + 2), varint(size(value)), ...value];
export const float = (field: number, value: number): Message => [varint(field * 8 + 5), new Uint8Array(Float32Array.of(value).buffer)];
export const double = (field: number, value: number): Message => [varint(field * 8 + 1), new Uint8Array(Float64Array.of(value).buffer)];

/** The pieces in one array. */
export function joined(message: Message): Uint8Array {
  const out = new Uint8Array(size(message));
  let at = 0;
  for (const piece of message) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

// ---- reading

/** A field as it stands in the source; what it holds is read when asked for. */
export interface Field {
  field: number;
  /** Wire type: 0 varint, 1 eight bytes, 2 a length and bytes, 5 four bytes. */
  wire: number;
  /** Where its key begins, where its value (after the length) begins and ends. */
  begin: number;
  from: number;
  to: number;
}

export interface Wire {
  /** Fields of the message that lies from … to; the whole source by default. */
  fields(from?: number, to?: number): Generator<Field>;
  /** The value's bytes, a view that is not to be kept where {@link kept} is meant. */
  bytes(field: Field): Uint8Array;
  /** A copy of the value's bytes, or of the whole field with its key. */
  kept(field: Field, whole?: "whole"): Uint8Array;
  text(field: Field): string;
  /** Signed 64-bit whole number. */
  whole(field: Field): bigint;
  /** Repeated whole numbers: one by one, or many packed into one field. */
  wholes(field: Field): bigint[];
  /** Repeated float32, likewise. */
  floats(field: Field): number[];
  fail(what: string): never;
}

/** Bytes read at once: nodes and names lie close together, weights are jumped over. */
const WINDOW = 1 << 14;

/**
 * Reads fields out of a source.
 * @param where name of the file, for messages
 * @throws FormatError, from every function, where a message breaks off, reaches beyond what holds it, or a field has another wire type than asked for
 */
export function readWire(source: ByteSource, where: string): Wire {
  let window = new Uint8Array(0);
  let start = 0;
  /** Bytes from … to of the source, a view. */
  const view = (from: number, to: number): Uint8Array => {
    if (to - from > WINDOW) return source.slice(from, to);
    if (from < start || to > start + window.length) {
      window = source.slice(from, Math.min(source.byteLength, from + WINDOW)) as Uint8Array<ArrayBuffer>;
      start = from;
    }
    return window.subarray(from - start, to - start);
  };
  const fail = (what: string): never => {
    throw new FormatError(`${where}: ${what}. The file is damaged or not ONNX: copy or download it again.`);
  };
  const short = (at: number): never => fail(`expected a whole protobuf message, found that it breaks off at byte ${at} of ${source.byteLength}`);
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  /** Position behind a varint that begins at `from`; `low` its lower 53 bits as a number, NaN where there are more. */
  let low = 0;
  const skip = (from: number, to: number): number => {
    const part = view(from, Math.min(to, from + 10));
    let factor = 1;
    low = 0;
    for (let i = 0; i < part.length; i++) {
      low += (part[i] & 127) * factor;
      factor *= 128;
      if (part[i] < 128) {
        if (!Number.isSafeInteger(low)) low = NaN;
        return from + i + 1;
      }
    }
    return part.length === 10 ? fail(`expected a number of at most ten bytes, found a longer one at byte ${from}`) : short(to);
  };
  const wanted = (field: Field, ...wires: number[]): void => {
    if (!wires.includes(field.wire)) fail(`field ${field.field} at byte ${field.begin}: expected protobuf wire type ${wires.join(" or ")}, found ${field.wire}`);
  };
  /** The varint that begins at `at`, exact. */
  const exact = (part: Uint8Array, at: number): { value: bigint; next: number } => {
    let value = 0n;
    for (let shift = 0n; at < part.length && shift < 70n; shift += 7n) {
      const byte = part[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return { value: BigInt.asIntN(64, value), next: at };
    }
    return fail("expected packed numbers, found that the last one breaks off");
  };

  const wire: Wire = {
    fail,
    *fields(from = 0, to = source.byteLength) {
      for (let at = from; at < to;) {
        const begin = at;
        at = skip(at, to);
        const field = Math.floor(low / 8);
        const kind = low % 8;
        if (!(field > 0 && field < 2 ** 29)) fail(`expected a protobuf field at byte ${begin}, found field number ${field}`);
        let end: number;
        if (kind === 0) end = skip(at, to);
        else if (kind === 1) end = at + 8;
        else if (kind === 5) end = at + 4;
        else if (kind === 2) {
          at = skip(at, to);
          end = at + low;
        } else end = fail(`expected protobuf wire type 0, 1, 2 or 5 at byte ${begin}, found ${kind}`);
        if (!(end <= to)) short(to);
        yield { field, wire: kind, begin, from: at, to: end };
        at = end;
      }
    },
    bytes(field) {
      wanted(field, 2);
      return view(field.from, field.to);
    },
    kept: (field, whole) => new Uint8Array(view(whole ? field.begin : field.from, field.to)), // not slice(): a Buffer's is a view
    text(field) {
      try {
        return decoder.decode(wire.bytes(field));
      } catch (error) {
        if (error instanceof FormatError) throw error;
        return fail(`field ${field.field} at byte ${field.begin}: expected UTF-8, found other bytes`);
      }
    },
    whole(field) {
      wanted(field, 0);
      return exact(view(field.from, field.to), 0).value;
    },
    wholes(field) {
      wanted(field, 0, 2);
      const part = view(field.from, field.to);
      const list: bigint[] = [];
      for (let at = 0; at < part.length;) {
        const { value, next } = exact(part, at);
        list.push(value);
        at = next;
      }
      return list;
    },
    floats(field) {
      wanted(field, 5, 2);
      if ((field.to - field.from) % 4) fail(`field ${field.field} at byte ${field.begin}: expected float32 numbers, found ${field.to - field.from} bytes`);
      return [...new Float32Array(wire.kept(field).buffer)];
    },
  };
  return wire;
}
