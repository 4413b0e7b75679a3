"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const node_worker_threads_1 = require("node:worker_threads");
const ring_1 = require("../../kernel-ext/kernel/ring");
(0, node_test_1.test)("text comes out as it went in, put together by cell and stream", () => {
    const shared = (0, ring_1.sharedRing)();
    const writer = (0, ring_1.ringWriter)(shared, () => { });
    const reader = (0, ring_1.ringReader)(shared);
    writer.write("A", "stdout", "ü😀");
    writer.write("A", "stdout", "\0");
    writer.write("B", "stdout", "b");
    writer.write("B", "stderr", "");
    writer.write("B", "stderr", "e");
    strict_1.default.deepEqual(reader.take(reader.position()), [
        { parent: "A", name: "stdout", text: "ü😀\0" }, { parent: "B", name: "stdout", text: "b" }, { parent: "B", name: "stderr", text: "e" },
    ]);
    strict_1.default.deepEqual(reader.take(reader.position()), []);
    writer.write("B", "stdout", "again");
    strict_1.default.deepEqual(reader.take(reader.position()), [{ parent: "B", name: "stdout", text: "again" }]);
});
(0, node_test_1.test)("many rounds through the ring, over its end and over a counter's sign, lose nothing", () => {
    const shared = (0, ring_1.sharedRing)();
    new Int32Array(shared, 0, 2).fill(0x7fffff00); // the counters are about to become negative
    const writer = (0, ring_1.ringWriter)(shared, () => { });
    const reader = (0, ring_1.ringReader)(shared);
    for (let i = 0; i < 40; i++) {
        const text = String.fromCodePoint(0x1f600 + i).repeat(50_000) + i;
        writer.write(i % 3 ? "A" : "B", "stdout", text);
        strict_1.default.equal(reader.take(reader.position()).map((each) => each.text).join(""), text);
    }
});
(0, node_test_1.test)("a writer that is faster than its reader waits; nothing is lost", { timeout: 60_000 }, async () => {
    const shared = (0, ring_1.sharedRing)();
    const source = `
    const { ringWriter } = require(${JSON.stringify(require.resolve("../../kernel-ext/kernel/ring"))});
    const { parentPort, workerData } = require("node:worker_threads");
    const writer = ringWriter(workerData, () => parentPort.postMessage("text"));
    for (let i = 0; i < 300_000; i++) writer.write("A", "stdout", "line " + i + " " + "x".repeat(40) + "\\n");
    parentPort.postMessage("done");
  `;
    const worker = new node_worker_threads_1.Worker(source, { eval: true, workerData: shared });
    const reader = (0, ring_1.ringReader)(shared);
    let text = "";
    await new Promise((resolve, reject) => {
        worker.on("error", reject);
        worker.on("message", (message) => {
            reader.rest();
            for (const each of reader.take(reader.position()))
                text += each.text;
            if (message === "done")
                resolve();
        });
    });
    await worker.terminate();
    const lines = text.split("\n");
    strict_1.default.equal(lines.length, 300_001);
    strict_1.default.ok(lines.slice(0, -1).every((line, i) => line.startsWith(`line ${i} `)));
});
(0, node_test_1.test)("a text is not cut inside of a character", () => {
    strict_1.default.deepEqual([...(0, ring_1.parts)("a😀b", 2)], ["a", "😀", "b"]);
    strict_1.default.deepEqual([...(0, ring_1.parts)("", 2)], []);
});
//# sourceMappingURL=ring.test.js.map