import { FormatError } from "./errors";
import type { ByteSource } from "./safetensors";

/**
 * Zip archives, by their central directory: what PyTorch and NumPy put their files into. Entries are stored, or deflated.
 * @see PKWARE APPNOTE.TXT 6.3.10: 4.3.7 local header, 4.3.12 central directory, 4.3.14–16 its end, 4.5.3 Zip64
 */
export interface ZipEntry {
  name: string;
  /** 0 stored, 8 deflated. */
  method: number;
  compressed: number;
  size: number;
  /** Byte of its local header. */
  header: number;
}

/**
 * Decompresses a raw deflate stream: zlib is the adapter's.
 * @param atMost more bytes than these are an error; with `partial`, the stream may be cut off, and what it gives is returned
 */
export type Inflate = (bytes: Uint8Array, options: { atMost: number; partial?: boolean }) => Uint8Array;

const END = 0x06054b50, END64 = 0x06064b50, LOCATOR64 = 0x07064b50, CENTRAL = 0x02014b50, LOCAL = 0x04034b50;
const MAX_DIRECTORY = 2 ** 26;

export const isZip = (source: ByteSource): boolean => source.byteLength >= 22 && viewAt(source, 0, 4).getUint32(0, true) === LOCAL;

function viewAt(source: ByteSource, from: number, to: number): DataView {
  const bytes = source.slice(from, to);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const failing = (where: string) => (what: string): never => {
  throw new FormatError(`${where}: expected a zip archive, found ${what}. The file is damaged or cut off: copy or download it again.`);
};

/** @throws FormatError when the directory is not there, or says what cannot be */
export function readZip(source: ByteSource, where: string): Map<string, ZipEntry> {
  const fail = failing(where);
  const length = source.byteLength;
  const from = Math.max(0, length - 22 - 0xffff); // the end may carry a comment
  const tail = viewAt(source, from, length);
  let end = tail.byteLength - 22;
  while (end >= 0 && !(tail.getUint32(end, true) === END && end + 22 + tail.getUint16(end + 20, true) === tail.byteLength)) end--;
  if (end < 0) return fail("no central directory at its end");
  let count = tail.getUint16(end + 10, true), size = tail.getUint32(end + 12, true), offset = tail.getUint32(end + 16, true);
  if (count === 0xffff || size === 0xffffffff || offset === 0xffffffff) {
    const locator = from + end - 20;
    if (locator < 0) return fail("no Zip64 locator");
    const located = viewAt(source, locator, locator + 20);
    const at = Number(located.getBigUint64(8, true));
    if (located.getUint32(0, true) !== LOCATOR64 || at + 56 > length) return fail("no Zip64 end of its directory");
    const end64 = viewAt(source, at, at + 56);
    if (end64.getUint32(0, true) !== END64) return fail("no Zip64 end of its directory");
    count = Number(end64.getBigUint64(32, true));
    size = Number(end64.getBigUint64(40, true));
    offset = Number(end64.getBigUint64(48, true));
  }
  if (offset + size > length || size > MAX_DIRECTORY || count * 46 > size) return fail(`a directory of ${count} entries and ${size} bytes at ${offset}, of ${length}`);
  const directory = viewAt(source, offset, offset + size);
  const entries = new Map<string, ZipEntry>();
  for (let i = 0, at = 0; i < count; i++) {
    if (at + 46 > size || directory.getUint32(at, true) !== CENTRAL) return fail(`no entry ${i} in its directory`);
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => directory.getUint16(at + field, true));
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > size) return fail(`entry ${i} beyond the end of its directory`);
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, directory.byteOffset + at + 46, nameLength));
    if (directory.getUint16(at + 8, true) & 1) return fail(`${JSON.stringify(name)} encrypted`);
    const wide = wideSizes(directory, at, nameLength, extraLength);
    const entry = { name, method: directory.getUint16(at + 10, true), ...wide };
    if (entry.header + 30 + entry.compressed > length || (entry.method === 0 && entry.compressed !== entry.size)) {
      return fail(`${JSON.stringify(name)} of ${entry.compressed} bytes at ${entry.header}, of ${length}`);
    }
    if (entries.has(name)) return fail(`${JSON.stringify(name)} twice`);
    entries.set(name, entry);
    at = next;
  }
  return entries;
}

/** Sizes and place of an entry; from the Zip64 field where 32 bits do not hold them. */
function wideSizes(directory: DataView, at: number, nameLength: number, extraLength: number): { compressed: number; size: number; header: number } {
  const sizes = { size: directory.getUint32(at + 24, true), compressed: directory.getUint32(at + 20, true), header: directory.getUint32(at + 42, true) };
  const end = at + 46 + nameLength + extraLength;
  for (let field = at + 46 + nameLength; field + 4 <= end;) {
    const next = field + 4 + directory.getUint16(field + 2, true);
    if (directory.getUint16(field, true) === 1) {
      let value = field + 4;
      for (const name of ["size", "compressed", "header"] as const) {
        if (sizes[name] !== 0xffffffff || value + 8 > Math.min(next, end)) continue;
        sizes[name] = Number(directory.getBigUint64(value, true));
        value += 8;
      }
    }
    field = next;
  }
  return sizes;
}

/** First byte of an entry's content. @throws FormatError when there is no such entry at its place */
export function contentOffset(source: ByteSource, entry: ZipEntry, where: string): number {
  const local = viewAt(source, entry.header, entry.header + 30);
  if (local.getUint32(0, true) !== LOCAL) return failing(where)(`no header of ${JSON.stringify(entry.name)} at ${entry.header}`);
  const offset = entry.header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  if (offset + entry.compressed > source.byteLength) return failing(where)(`${JSON.stringify(entry.name)} beyond its end`);
  return offset;
}
