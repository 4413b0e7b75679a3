import { FormatError } from "./errors";
import type { ByteSource } from "./safetensors";
import { BYTES, denseStrides, viewOf, type StoredTensor } from "./storedtensor";
import { contentOffset, readZip, type Inflate, type ZipEntry } from "./zip";

/**
 * NumPy's .npz: a zip of .npy files, stored (numpy.savez) or deflated (savez_compressed).
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */

const DTYPES: Record<string, string> = {
  "<f4": "F32", "<f8": "F64", "<f2": "F16", "<i4": "I32", "<i8": "I64", "<i2": "I16", "|i1": "I8", "|u1": "U8", "|b1": "BOOL",
};

const HEADER = 4096; // bytes of an entry that surely hold what is said of an array of numbers
const RATIO = 64; // an archive may unpack to so many times its own size: weights do not even halve, but biases may all be 0

/**
 * The arrays of an .npz, by name. Those that are stored are read where they lie; a deflated one is decompressed when it is first read.
 * @throws FormatError for what is no archive of arrays of numbers; objects, which would be code, are refused
 */
export function readNpz(source: ByteSource, where: string, inflate: Inflate): Map<string, StoredTensor> {
  const arrays = new Map<string, StoredTensor>();
  for (const entry of readZip(source, where).values()) {
    if (entry.name.endsWith(".npy")) arrays.set(entry.name.slice(0, -4), readNpy(entry, contentOf(source, entry, where, inflate), `${where}: ${entry.name}`));
  }
  return arrays;
}

/** An entry's own bytes, and its first ones, which cost less. */
function contentOf(source: ByteSource, entry: ZipEntry, where: string, inflate: Inflate): ByteSource & { head: Uint8Array } {
  const offset = contentOffset(source, entry, where);
  const { compressed, size, name } = entry;
  if (entry.method === 0) {
    const slice = (from: number, to: number): Uint8Array => source.slice(offset + from, offset + Math.min(to, size));
    return { byteLength: size, slice, head: slice(0, HEADER) };
  }
  const fail = (what: string): never => {
    throw new FormatError(`${where}: ${name}: ${what}. The file is damaged: copy or download it again.`);
  };
  if (entry.method !== 8) return fail(`expected it stored or deflated, found method ${entry.method}`);
  if (size > RATIO * source.byteLength) return fail(`expected at most ${RATIO} times the archive's ${source.byteLength} bytes, found ${size}`);
  const unpack = (bytes: Uint8Array, options: Parameters<Inflate>[1]): Uint8Array => {
    try {
      return inflate(bytes, options);
    } catch (error) {
      return fail(`expected ${size} deflated bytes, found: ${(error as Error).message}`);
    }
  };
  let all: Uint8Array | undefined;
  return {
    byteLength: size,
    head: unpack(source.slice(offset, offset + Math.min(compressed, HEADER)), { atMost: HEADER * 1100, partial: true }).subarray(0, HEADER),
    slice(from, to) {
      all ??= unpack(source.slice(offset, offset + compressed), { atMost: size });
      if (all.length !== size) fail(`expected ${size} bytes, found ${all.length}`);
      return all.subarray(from, to);
    },
  };
}

function readNpy(entry: ZipEntry, content: ByteSource & { head: Uint8Array }, where: string): StoredTensor {
  const fail = (what: string): never => {
    throw new FormatError(`${where}: expected an array of numbers, little-endian, found ${what}. Save it with numpy.savez, of float32.`);
  };
  const { head } = content;
  if (head.length < 12 || String.fromCharCode(...head.subarray(0, 6)) !== "\x93NUMPY") return fail("no .npy file");
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  const begin = head[6] === 1 ? 10 : 12;
  const end = begin + (head[6] === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (end > head.length || end > entry.size) return fail(`a header of ${end} bytes`);
  const text = new TextDecoder().decode(head.subarray(begin, end));
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1] ?? "a structure";
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const dimensions = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  const dtype = DTYPES[descr];
  if (!dtype || !fortran || dimensions === undefined) return fail(JSON.stringify(descr));
  const shape = dimensions.split(",").map((one) => one.trim()).filter(Boolean).map(Number);
  const room = (entry.size - end) / BYTES[dtype];
  if (!Number.isInteger(room) || shape.reduce((a, b) => a * b, 1) !== room) return fail(`shape [${shape}] in ${entry.size - end} bytes of ${descr}`);
  return viewOf(where, { dtype, offset: end, source: content, room }, 0, shape, denseStrides(shape, fortran === "True"));
}
