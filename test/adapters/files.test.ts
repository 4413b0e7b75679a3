import { test } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, readFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fewOpen, fileSource, requireSpace, writeAtomic } from "../../src/adapters/files";
import { DiskError } from "../../src/core/errors";
import { scratch } from "./folders";

test("ranges of a file are copies of its bytes, cut at its end", () => scratch(async (folder) => {
  const path = join(folder, "a");
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
  writeFileSync(path, bytes);
  const source = fileSource(path);
  assert.equal(source.byteLength, 1000);
  assert.deepEqual(source.slice(3, 700), bytes.slice(3, 700));
  assert.deepEqual(source.slice(990, 2000), bytes.slice(990));
  assert.equal(source.slice(5, 5).length, 0);
  const slice = source.slice(0, 16);
  assert.equal(slice.buffer.byteLength, 16, "a buffer of its own, fit to be transferred");
  slice.fill(0);
  assert.deepEqual(source.slice(0, 16), bytes.slice(0, 16));
  truncateSync(path, 500);
  assert.throws(() => source.slice(400, 600), (error: Error) => error instanceof DiskError && /ends at 500/.test(error.message));
  source.close();
  source.close();
  const other = fileSource(join(folder, "a")); // takes over the number of the file that was closed
  assert.throws(() => source.slice(0, 16), (error: Error) => error instanceof DiskError && /a: expected an open file, found one that was closed\. .*openFeatures/.test(error.message));
  other.close();
  assert.throws(() => fileSource(join(folder, "none")), /ENOENT/);
}));

test("a file is written whole: pieces of every kind, over an older one, nothing else left", () => scratch(async (folder) => {
  const path = join(folder, "a.json");
  await writeAtomic(path, ["{\"ü\":", Uint8Array.of(0x31), "}"]);
  assert.equal(readFileSync(path, "utf8"), "{\"ü\":1}");
  const many = (async function* () {
    for (let i = 0; i < 3; i++) yield `line ${i}\n`;
  })();
  await writeAtomic(path, many);
  assert.equal(readFileSync(path, "utf8"), "line 0\nline 1\nline 2\n");
  assert.deepEqual(readdirSync(folder), ["a.json"]);
}));

test("a file whose writing fails half-way is as it was before", () => scratch(async (folder) => {
  const path = join(folder, "a");
  await writeAtomic(path, ["old"]);
  const failing = (function* () {
    yield "new, but";
    throw new Error("the source broke");
  })();
  await assert.rejects(writeAtomic(path, failing), /the source broke/);
  assert.equal(readFileSync(path, "utf8"), "old");
  assert.deepEqual(readdirSync(folder), ["a"]);
}));

test("a folder that is missing, a file in its place, or one that may not be written to is a DiskError with the remedy", () => scratch(async (folder) => {
  await assert.rejects(writeAtomic(join(folder, "none", "a"), ["x"]), (error: Error) => error instanceof DiskError && /ENOENT.*make it first/.test(error.message));
  writeFileSync(join(folder, "file"), "");
  await assert.rejects(writeAtomic(join(folder, "file", "a"), ["x"]), (error: Error) => error instanceof DiskError && /ENOTDIR/.test(error.message));
  await assert.rejects(requireSpace(join(folder, "file", "sub"), 1), DiskError);
  if (process.getuid?.() === 0) return; // to root every folder is open
  chmodSync(folder, 0o500);
  await assert.rejects(writeAtomic(join(folder, "a"), ["x"]), (error: Error) => error instanceof DiskError && /EACCES/.test(error.message));
  chmodSync(folder, 0o700);
}));

test("space is checked before: the folder is made, too little is said in figures", () => scratch(async (folder) => {
  await requireSpace(join(folder, "new", "deep"), 1000);
  assert.deepEqual(readdirSync(join(folder, "new")), ["deep"]);
  await assert.rejects(requireSpace(folder, 1e18), (error: Error) => error instanceof DiskError && /expected 1,000,000,000,064 MB free .*found [\d,]+ MB\. Free some space/.test(error.message));
}));

test("few files are held open: the one asked for longest ago is closed, all at the end", () => {
  const closed: string[] = [];
  const files = fewOpen(2, (name: string) => ({ name, close: () => void closed.push(name) }));
  const first = files.get("a");
  files.get("b");
  assert.equal(files.get("a"), first, "what is open is not opened again");
  files.get("c");
  assert.deepEqual(closed, ["b"]);
  assert.notEqual(files.get("b"), undefined);
  assert.deepEqual(closed, ["b", "a"]);
  files.close();
  assert.deepEqual(closed, ["b", "a", "c", "b"]);
});
