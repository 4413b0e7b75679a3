import { FormatError } from "./errors";
import { base64 } from "./html";

/** Typed arrays as strings, "u16:AAEC…": base64 of little-endian numbers, since notebook files write a number of a list on each line. */

const KINDS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };
type Packable = Uint8Array | Uint16Array | Uint32Array | Float32Array;

export function packArray(values: Packable): string {
  const [kind] = Object.entries(KINDS).find(([, type]) => values instanceof type)!;
  return `${kind}:${base64(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))}`;
}

/** Whole numbers in as few bytes as the largest needs. */
export function packWhole(values: ArrayLike<number>): string {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);
  return packArray(most < 1 << 8 ? Uint8Array.from(values) : most < 1 << 16 ? Uint16Array.from(values) : Uint32Array.from(values));
}

/**
 * @param what names the array in an error
 * @param length that it must have
 * @throws FormatError where it is no such string, or of another length
 */
export function unpackArray(text: unknown, what: string, length?: number): Packable {
  const [, kind, coded] = (typeof text === "string" && /^(u8|u16|u32|f32):([A-Za-z0-9+/]*=*)$/.exec(text)) || [];
  if (!kind) throw new FormatError(`${what}: expected numbers such as "u16:AAEC", found ${JSON.stringify(text)?.slice(0, 40)}. Run the cell again.`);
  const binary = atob(coded);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const type = KINDS[kind as keyof typeof KINDS];
  if (bytes.length % type.BYTES_PER_ELEMENT || (length !== undefined && bytes.length !== length * type.BYTES_PER_ELEMENT))
    throw new FormatError(`${what}: expected ${length ?? "whole"} numbers (${kind}), found ${bytes.length / type.BYTES_PER_ELEMENT}. The output is cut short: run the cell again.`);
  return new type(bytes.buffer);
}
