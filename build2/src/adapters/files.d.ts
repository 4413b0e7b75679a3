import type { ByteSource } from "../core/safetensors";
/** Disk: ranges out of files, whole files into place. */
/**
 * A file as a byte source. Reads are synchronous range reads (the page cache keeps what is read often); each slice is a fresh copy.
 * Close it when done: it holds a file descriptor.
 * @throws Error of the file system (ENOENT …) on opening; DiskError when the file ends before the range does
 */
export declare function fileSource(path: string): ByteSource & {
    close(): void;
};
/**
 * Writes a file all or not at all: pieces go to a temporary file beside it, which is flushed to disk and then renamed over `path`.
 * A reader sees the old file or the new one, never half of one; what a killed run leaves is named `.<name>.<pid>….part` and is never read.
 * @throws DiskError when the disk is full or may not be written to; the temporary file is removed
 */
export declare function writeAtomic(path: string, pieces: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>): Promise<void>;
/** Flushes a folder's list of names; file systems that cannot (some network ones) are let be. */
export declare function syncFolder(folder: string): Promise<void>;
/** A file-system error as a DiskError that names the remedy; anything else as it came. */
export declare function diskError(error: unknown, path: string): unknown;
/**
 * Makes the folder and checks, before long work starts, that it takes `bytes` more (and 64 MB to spare) and may be written to.
 * @throws DiskError naming the free and the needed space
 */
export declare function requireSpace(folder: string, bytes: number): Promise<void>;
/**
 * Keeps at most `limit` files open: one that is asked for again stays, the one asked for longest ago is closed.
 * @param open opens the file of a key
 */
export declare function fewOpen<K, F extends {
    close(): void;
}>(limit: number, open: (key: K) => F): {
    get(key: K): F;
    close(): void;
};
