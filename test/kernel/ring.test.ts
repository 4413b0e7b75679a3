import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { parts, ringReader, ringWriter, sharedRing } from "../../kernel-ext/kernel/ring";

test("text comes out as it went in, put together by cell and stream", () => {
  const shared = sharedRing();
  const writer = ringWriter(shared, () => {});
  const reader = ringReader(shared);
  writer.write("A", "stdout", "ü😀");
  writer.write("A", "stdout", "\0");
  writer.write("B", "stdout", "b");
  writer.write("B", "stderr", "");
  writer.write("B", "stderr", "e");
  assert.deepEqual(reader.take(reader.position()), [
    { parent: "A", name: "stdout", text: "ü😀\0" }, { parent: "B", name: "stdout", text: "b" }, { parent: "B", name: "stderr", text: "e" },
  ]);
  assert.deepEqual(reader.take(reader.position()), []);
  writer.write("B", "stdout", "again");
  assert.deepEqual(reader.take(reader.position()), [{ parent: "B", name: "stdout", text: "again" }]);
});

test("many rounds through the ring, over its end and over a counter's sign, lose nothing", () => {
  const shared = sharedRing();
  new Int32Array(shared, 0, 2).fill(0x7fffff00); // the counters are about to become negative
  const writer = ringWriter(shared, () => {});
  const reader = ringReader(shared);
  for (let i = 0; i < 40; i++) {
    const text = String.fromCodePoint(0x1f600 + i).repeat(50_000) + i;
    writer.write(i % 3 ? "A" : "B", "stdout", text);
    assert.equal(reader.take(reader.position()).map((each) => each.text).join(""), text);
  }
});

test("a writer that is faster than its reader waits; nothing is lost", { timeout: 60_000 }, async () => {
  const shared = sharedRing();
  const source = `
    const { ringWriter } = require(${JSON.stringify(require.resolve("../../kernel-ext/kernel/ring"))});
    const { parentPort, workerData } = require("node:worker_threads");
    const writer = ringWriter(workerData, () => parentPort.postMessage("text"));
    for (let i = 0; i < 300_000; i++) writer.write("A", "stdout", "line " + i + " " + "x".repeat(40) + "\\n");
    parentPort.postMessage("done");
  `;
  const worker = new Worker(source, { eval: true, workerData: shared });
  const reader = ringReader(shared);
  let text = "";
  await new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (message) => {
      reader.rest();
      for (const each of reader.take(reader.position())) text += each.text;
      if (message === "done") resolve();
    });
  });
  await worker.terminate();
  const lines = text.split("\n");
  assert.equal(lines.length, 300_001);
  assert.ok(lines.slice(0, -1).every((line, i) => line.startsWith(`line ${i} `)));
});

test("a text is not cut inside of a character", () => {
  assert.deepEqual([...parts("a😀b", 2)], ["a", "😀", "b"]);
  assert.deepEqual([...parts("", 2)], []);
});
