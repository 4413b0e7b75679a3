import assert from "node:assert/strict";
import { test } from "node:test";
import { captureStreams, createOutput } from "../../kernel-ext/kernel/output";
import type { Content } from "../../kernel-ext/kernel/wire";
import { fakeCell, fakeClock } from "./fakes";

function setUp() {
  const clock = fakeClock();
  const published: { type: string; content: Content; cell: string }[] = [];
  const output = createOutput({ publish: (cell, type, content) => published.push({ type, content, cell: cell.name }), clock });
  return { clock, published, output, texts: () => published.map(({ content }) => content.text) };
}

test("text waits 20 ms for more, then goes as one message", () => {
  const { clock, published, output, texts } = setUp();
  const cell = fakeCell();
  output.stream(cell, "stdout", "a");
  output.stream(cell, "stdout", "b");
  clock.advance(19);
  assert.deepEqual(texts(), []);
  clock.advance(1);
  assert.deepEqual(published, [{ type: "stream", content: { name: "stdout", text: "ab" }, cell: "cell-1.ts" }]);
});

test("stdout, stderr and displays keep their order", () => {
  const { published, output } = setUp();
  const cell = fakeCell();
  output.stream(cell, "stdout", "1");
  output.stream(cell, "stderr", "2");
  output.stream(cell, "stdout", "3");
  output.display(cell, { "text/plain": "4" }, { display_id: "d" });
  output.stream(cell, "stdout", "5");
  output.display(cell, { "text/plain": "6" }, { display_id: "d", update: true });
  assert.deepEqual(published.map(({ type, content }) => content.text ?? (content.data as Content)["text/plain"] ?? type),
    ["1", "2", "3", "4", "5", "6"]);
  assert.deepEqual(published.map(({ type }) => type),
    ["stream", "stream", "stream", "display_data", "stream", "update_display_data"]);
  assert.deepEqual(published[5].content.transient, { display_id: "d" });
});

test("a loop that gives no turn is served by its own writes, and no line is lost", () => {
  const { clock, output, texts, published } = setUp();
  const cell = fakeCell();
  let want = "";
  for (let i = 0; i < 1000; i++) {
    const line = `line ${i}\n`;
    want += line;
    output.stream(cell, "stdout", line);
    if (i % 100 === 99) clock.advance(20);
  }
  assert.ok(published.length >= 9, `expected a message each 20 ms, found ${published.length}`);
  output.flush(cell);
  assert.equal(texts().join(""), want);
});

test("much text is sent at once, without a clock", () => {
  const { output, published } = setUp();
  output.stream(fakeCell(), "stdout", "x".repeat(300_000));
  assert.equal(published.length, 1);
});

test("half a character in one chunk and half in the next is one character; half a surrogate pair becomes U+FFFD", () => {
  const { output, texts } = setUp();
  const cell = fakeCell();
  const bytes = Buffer.from("ü😀");
  output.stream(cell, "stdout", bytes.subarray(0, 4));
  output.stream(cell, "stdout", bytes.subarray(4));
  output.stream(cell, "stdout", "\ud83d.");
  output.flush(cell);
  assert.equal(texts().join(""), "ü😀\ufffd.");
});

test("each cell's text is its own", () => {
  const { output, published } = setUp();
  const [one, two] = [fakeCell("", "cell-1.ts"), fakeCell("", "cell-2.ts")];
  output.stream(one, "stdout", "a");
  output.stream(two, "stdout", "b");
  output.stream(one, "stdout", "c");
  output.flush();
  assert.deepEqual(published.map(({ cell, content }) => [cell, content.text]), [["cell-1.ts", "ac"], ["cell-2.ts", "b"]]);
});

test("process.stdout is led to the current cell, and given back", async () => {
  const { output, texts } = setUp();
  const original = process.stdout.write;
  const cell = fakeCell();
  const restore = captureStreams(output, () => cell);
  let called = false;
  try {
    process.stdout.write("plain ");
    process.stdout.write("68656c6c6f", "hex", () => (called = true));
    await Promise.resolve();
  } finally {
    restore();
  }
  output.flush();
  assert.equal(process.stdout.write, original);
  assert.equal(texts().join(""), "plain hello");
  assert.ok(called);
});
