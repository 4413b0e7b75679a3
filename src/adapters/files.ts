import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { access, mkdir, open, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DiskError } from "../core/errors";
import type { ByteSource } from "../core/safetensors";

/** Disk: ranges out of files, whole files into place. */

/**
 * A file as a byte source. Reads are synchronous range reads (the page cache keeps what is read often); each slice is a fresh copy, `fill`
 * reads into memory that is there.
 * Close it when done: it holds a file descriptor.
 * @throws Error of the file system (ENOENT …) on opening; DiskError when the file ends before the range does, or was closed
 */
export function fileSource(path: string): ByteSource & { fill(from: number, bytes: Uint8Array): void; close(): void } {
  const file = openSync(path, "r");
  const byteLength = fstatSync(file).size;
  let closed = false;
  const fill = (from: number, bytes: Uint8Array): void => {
    if (closed) // its number may be another file's by now
      throw new DiskError(`${path}: expected an open file, found one that was closed. Open again what it belongs to, such as with openFeatures(folder) or openStore(folder).`);
    for (let at = 0; at < bytes.length;) {
      // one read is at most 1 GiB: Linux stops a little short of 2 GiB
      const got = readSync(file, bytes, at, Math.min(bytes.length - at, 2 ** 30), from + at);
      if (!got) {
        throw new DiskError(
          `${path}: expected ${byteLength} bytes, as when it was opened, found that it ends at ${from + at}. ` +
          "Something shortened it while it was being read: copy it again.");
      }
      at += got;
    }
  };
  return {
    byteLength,
    fill,
    slice(from, to) {
      // allocUnsafeSlow: memory of its own, not a window on the shared pool, so that `buffer` may be transferred
      const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(to, byteLength) - from));
      fill(from, bytes);
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
    close() {
      if (closed) return;
      closed = true;
      closeSync(file);
    },
  };
}

/**
 * Writes a file all or not at all: pieces go to a temporary file beside it, which is flushed to disk and then renamed over `path`.
 * A reader sees the old file or the new one, never half of one; what a killed run leaves is named `.<name>.<pid>….part` and is never read.
 * @throws DiskError when the disk is full or may not be written to; the temporary file is removed
 */
export async function writeAtomic(path: string, pieces: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>): Promise<void> {
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.part`);
  let file;
  try {
    file = await open(part, "wx");
    for await (const piece of pieces) {
      const bytes = typeof piece === "string" ? Buffer.from(piece, "utf8") : piece;
      for (let at = 0; at < bytes.byteLength;) {
        at += (await file.write(bytes, at, Math.min(bytes.byteLength - at, 2 ** 30))).bytesWritten;
      }
    }
    await file.sync();
    await file.close();
    file = undefined;
    await rename(part, path);
    await syncFolder(dirname(path)); // the rename itself lives in the folder
  } catch (error) {
    await file?.close().catch(() => {});
    await rm(part, { force: true }).catch(() => {});
    throw diskError(error, path);
  }
}

/** Flushes a folder's list of names; file systems that cannot (some network ones) are let be. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, constants.O_RDONLY);
    await handle.sync().finally(() => handle.close());
  } catch {
    // the data are safe; only the name may be lost in a power cut
  }
}

const REMEDIES: Record<string, string> = {
  ENOSPC: "The disk is full: free some space or choose another folder",
  EDQUOT: "Your quota on this disk is used up: free some space or choose another folder",
  EACCES: "It may not be written to: choose another folder or change its permissions",
  EPERM: "It may not be written to: choose another folder or change its permissions",
  EROFS: "The disk is read-only: choose another folder",
  ENOENT: "Its folder does not exist: make it first",
  ENOTDIR: "Part of the path is a file: choose another folder",
  EEXIST: "A file is in the way of a folder: choose another folder",
  EISDIR: "A folder is in the way of the file: choose another name",
  EFBIG: "The file system does not take files of this size: choose another disk",
};

/** A file-system error as a DiskError that names the remedy; anything else as it came. */
export function diskError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException)?.code;
  if (!code || !(code in REMEDIES)) return error;
  return new DiskError(`${path}: expected to write it, found ${code}. ${REMEDIES[code]}.`, { cause: error });
}

/**
 * Makes the folder and checks, before long work starts, that it takes `bytes` more (and 64 MB to spare) and may be written to.
 * @throws DiskError naming the free and the needed space
 */
export async function requireSpace(folder: string, bytes: number): Promise<void> {
  const path = resolve(folder);
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK);
  } catch (error) {
    throw diskError(error, path);
  }
  const { bavail, bsize } = await statfs(path);
  const free = bavail * bsize;
  const needed = bytes + 64e6;
  if (free < needed) {
    throw new DiskError(
      `${path}: expected ${megabytes(needed)} free (${megabytes(bytes)} to write and 64 MB to spare), found ${megabytes(free)}. ` +
      "Free some space or choose a folder on another disk.");
  }
}

const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString("en")} MB`;

/**
 * Keeps at most `limit` files open: one that is asked for again stays, the one asked for longest ago is closed.
 * @param open opens the file of a key
 */
export function fewOpen<K, F extends { close(): void }>(limit: number, open: (key: K) => F): { get(key: K): F; close(): void } {
  const held = new Map<K, F>(); // least recently used first
  return {
    get(key) {
      const found = held.get(key) ?? open(key);
      held.delete(key);
      held.set(key, found);
      for (const [old, file] of held) {
        if (held.size <= limit) break;
        held.delete(old);
        file.close();
      }
      return found;
    },
    close() {
      for (const file of held.values()) file.close();
      held.clear();
    },
  };
}
