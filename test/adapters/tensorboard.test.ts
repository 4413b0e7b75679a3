import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { openEventFile } from "../../src/adapters/tensorboard";
import { tensorflow } from "../../src/adapters/tensorflow";
import { DiskError, OptionError } from "../../src/core/errors";
import { crc32c, fileVersion, record, scalarSummary, sessionStart } from "../../src/core/events";
import { freshFolders } from "./folders";

const { fresh } = freshFolders("tensorboard");
const filesIn = (folder: string): string[] => readdirSync(folder).sort();

/** Records of an event file, whole; where they end says their length alone. */
function records(bytes: Buffer): Buffer[] {
  const list: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += list.at(-1)!.length) list.push(bytes.subarray(at, at + 16 + Number(bytes.readBigUInt64LE(at))));
  return list;
}
/** An event's first field is its time. */
const timeOf = (whole: Buffer): number => whole.readDoubleLE(13);

test("CRC-32C of the RFC's own examples", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
});

test("TensorFlow's own writer makes the same bytes", () => {
  const folder = fresh();
  const values: [string, number, number][] = [["loss", 0.25, 0], ["loss", 1 / 3, 1], ["dead/share é", -1e-30, 300], ["x".repeat(200), NaN, 2 ** 31 - 2], ["b", Infinity, 5]];
  const theirs = tensorflow().tf.node.summaryFileWriter(folder);
  for (const [tag, value, step] of values) theirs.scalar(tag, value, step);
  theirs.flush();
  const [first, ...rest] = records(readFileSync(join(folder, filesIn(folder)[0])));
  assert.equal(rest.length, values.length);
  values.forEach(([tag, value, step], i) => assert.deepEqual(Buffer.from(scalarSummary(step, { [tag]: value }, timeOf(rest[i]))), rest[i], tag));
  // theirs says in the first record what wrote it, too
  const ours = Buffer.from(fileVersion(timeOf(first)));
  assert.deepEqual(ours.subarray(12, -4), first.subarray(12, 12 + ours.length - 16));
});

test("several values of a step are one event, steps beyond 2^31 are exact, a restart is a record of its own", () => {
  // made by hand from event.proto: 1 wall_time double, 2 step varint, 5 summary { 1 value { 1 tag, 2 simple_value } }, 7 session_log { 1 status START = 1 }
  const time = Buffer.alloc(8);
  time.writeDoubleLE(1.5);
  const step = [0x10, 0x80, 0x80, 0x80, 0x80, 0x20]; // 2^33
  assert.deepEqual(Buffer.from(scalarSummary(2 ** 33, { a: 1, b: 2 }, 1.5)),
    Buffer.from(record(Buffer.from([0x09, ...time, ...step, 0x2a, 20, 0x0a, 8, 0x0a, 1, 0x61, 0x15, 0, 0, 0x80, 0x3f, 0x0a, 8, 0x0a, 1, 0x62, 0x15, 0, 0, 0, 0x40]))));
  assert.deepEqual(Buffer.from(sessionStart(2 ** 33, 1.5)), Buffer.from(record(Buffer.from([0x09, ...time, ...step, 0x3a, 2, 0x08, 1]))));
});

test("an event file grows as values come; a run that goes on has a later file beside it", () => {
  const folder = fresh();
  const one = openEventFile(folder, "lr 1e-3/k 32");
  one.scalars(0, { loss: 0.5 }, 10);
  const grown = readFileSync(one.path); // before it is closed
  one.scalars(1, { loss: 0.25, fvu: 0.125 });
  one.close();
  one.close();
  assert.throws(() => one.scalars(2, {}), OptionError);
  assert.deepEqual(filesIn(folder), ["lr 1e-3_k 32"]);
  const whole = readFileSync(one.path);
  assert.deepEqual(whole.subarray(0, grown.length), grown);
  assert.deepEqual(records(grown)[1], Buffer.from(scalarSummary(0, { loss: 0.5 }, 10)));
  const [, , last] = records(whole);
  assert.deepEqual(last, Buffer.from(scalarSummary(1, { loss: 0.25, fvu: 0.125 }, timeOf(last))));
  assert.ok(Math.abs(timeOf(last) - Date.now() / 1000) < 3600);

  const two = openEventFile(folder, "lr 1e-3/k 32", { resumedAt: 1 });
  two.scalars(1, { loss: 0.25 }, 11);
  two.close();
  assert.deepEqual(filesIn(join(folder, "lr 1e-3_k 32")), [basename(one.path), basename(two.path)]); // read in this order
  const [, start, again] = records(readFileSync(two.path));
  assert.deepEqual(start, Buffer.from(sessionStart(1, timeOf(start))));
  assert.deepEqual(again, Buffer.from(scalarSummary(1, { loss: 0.25 }, 11)));
  assert.deepEqual(readFileSync(one.path), whole);
});

test("bad steps and folders are refused; a full disk leaves no half record", (t) => {
  const folder = fresh();
  const file = openEventFile(folder);
  for (const step of [-1, 0.5, NaN, 2 ** 60]) assert.throws(() => file.scalars(step, { a: 1 }), OptionError);
  assert.throws(() => openEventFile(folder, undefined, { resumedAt: -1 }), OptionError);
  file.close();
  assert.throws(() => openEventFile(file.path), DiskError);
  // writes to a file of which 40 bytes fit
  const fs = require("node:fs") as typeof import("node:fs");
  const full = openEventFile(folder, "full");
  full.scalars(1, { a: 1 }, 1);
  const before = readFileSync(full.path);
  const { writeSync } = fs;
  const mocked = t.mock.method(fs, "writeSync", ((fd: number, bytes: Uint8Array, at: number) => {
    if (at) throw Object.assign(new Error("ENOSPC: no space left on device"), { code: "ENOSPC" });
    return writeSync(fd, bytes, 0, 5);
  }) as never);
  assert.throws(() => full.scalars(2, { a: 2 }, 2), (error: Error) => error instanceof DiskError && /disk is full/.test(error.message));
  mocked.mock.restore();
  assert.deepEqual(readFileSync(full.path), before);
  full.scalars(3, { a: 3 }, 3);
  full.close();
  assert.deepEqual(records(readFileSync(full.path)).slice(1), [Buffer.from(scalarSummary(1, { a: 1 }, 1)), Buffer.from(scalarSummary(3, { a: 3 }, 3))]);
});
