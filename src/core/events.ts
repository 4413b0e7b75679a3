import { bytes, double, float, joined, message, number, text, type Message } from "./protobuf";

/**
 * TensorBoard's event files: a list of records, each a length, an Event in protobuf, and a checksum of either.
 * @see https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto
 */

/** CRC-32C (Castagnoli): the polynomial 0x1EDC6F41, bits reversed. @see RFC 3720, 12.1 */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

export function crc32c(data: Uint8Array): number {
  let crc = ~0;
  for (const byte of data) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Checksums are stored rotated and shifted, as data that hold checksums of themselves would else weaken them. */
const masked = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;

/** A record: length (uint64), its checksum, the data, their checksum; all little-endian. */
export function record(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 16);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(crc32c(out.subarray(0, 8))), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, masked(crc32c(data)), true);
  return out;
}

const event = (wallTime: number, ...fields: Message[]): Uint8Array => record(joined([double(1, wallTime), ...fields].flat()));
const stepOf = (step: number): Message => (step ? number(2, step) : []);

/** The record that every event file begins with. @param wallTime seconds since 1970, as everywhere here */
export const fileVersion = (wallTime: number): Uint8Array => event(wallTime, text(3, "brain.Event:2"));

/** A run goes on here: what earlier files hold of this step and later ones is void. */
export const sessionStart = (step: number, wallTime: number): Uint8Array => event(wallTime, stepOf(step), message(7, number(1, 1)));

/** Values of one step, float32 as the format has them. */
export const scalarSummary = (step: number, values: Record<string, number>, wallTime: number): Uint8Array =>
  event(wallTime, stepOf(step), bytes(5, joined(Object.entries(values).flatMap(([tag, value]) => message(1, [...text(1, tag), ...float(2, value)])))));
