import assert from "node:assert/strict";
import { test } from "node:test";
import { captureStreams, createOutput } from "../../kernel-ext/kernel/output";
import type { Content } from "../../kernel-ext/kernel/wire";
import { fakeCell, fakeClock } from "./fakes";

function setUp(limit?: number) {
  const clock = fakeClock();
  const said: { type: string; content: Content; cell: string }[] = [];
  const output = createOutput({
    clock, limit,
    publish: (cell, type, content) => said.push({ type, content, cell: cell.name }),
    print: (cell, name, text) => said.push({ type: "text", content: { name, text }, cell: cell.name }),
  });
  const texts = (name?: string): string =>
    said.filter(({ type, content }) => type === "text" && (!name || content.name === name)).map(({ content }) => content.text).join("");
  return { clock, said, output, texts };
}

test("text, displays, updates and clearing are said in order, each for its cell", () => {
  const { said, output } = setUp();
  const [one, two] = [fakeCell("", "cell-1.ts"), fakeCell("", "cell-2.ts")];
  output.stream(one, "stdout", "1");
  output.stream(two, "stderr", "2");
  output.display(one, { "text/plain": "3" }, { display_id: "d" });
  output.display(two, { "text/plain": "4" }, { display_id: "d", update: true, metadata: { m: 1 } });
  output.clear(one, true);
  assert.deepEqual(said, [
    { type: "text", content: { name: "stdout", text: "1" }, cell: "cell-1.ts" },
    { type: "text", content: { name: "stderr", text: "2" }, cell: "cell-2.ts" },
    { type: "display_data", content: { data: { "text/plain": "3" }, metadata: {}, transient: { display_id: "d" } }, cell: "cell-1.ts" },
    { type: "update_display_data", content: { data: { "text/plain": "4" }, metadata: { m: 1 }, transient: { display_id: "d" } }, cell: "cell-2.ts" },
    { type: "clear_output", content: { wait: true }, cell: "cell-1.ts" },
  ]);
});

test("half a character in one chunk and half in the next is one character; half a surrogate pair becomes U+FFFD", () => {
  const { output, texts } = setUp();
  const cell = fakeCell();
  const bytes = Buffer.from("ü😀");
  output.stream(cell, "stdout", bytes.subarray(0, 4));
  output.stream(cell, "stdout", bytes.subarray(4));
  output.stream(cell, "stdout", "\ud83d.");
  assert.equal(texts(), "ü😀\ufffd.");
});

test("past the limit text is cut, at once with a notice, at the cell's end with how much", () => {
  const { output, texts, said } = setUp(10);
  const cell = fakeCell();
  output.stream(cell, "stdout", "12345\n");
  output.stream(cell, "stdout", "7890ab\ncd\n");
  output.stream(cell, "stderr", "more");
  assert.equal(texts("stdout"), "12345\n7890");
  assert.match(texts("stderr"), /printed 10 characters, the most that is shown/);
  output.display(cell, { "text/plain": "still shown" });
  assert.equal(said.at(-1)?.type, "display_data");
  output.end(cell);
  assert.match(texts("stderr"), /Not shown: 10 characters in 2 lines\./);
  assert.equal(texts("stderr").match(/the most that is shown/g)?.length, 1);
  const other = fakeCell("", "cell-2.ts");
  output.stream(other, "stdout", "its own ");
  output.end(other);
  assert.match(texts("stdout"), /its own $/);
});

test("what a cell's timers print past the limit after its end is said now and then", () => {
  const { output, texts, clock } = setUp(4);
  const cell = fakeCell();
  output.stream(cell, "stdout", "1234");
  output.end(cell);
  for (let i = 0; i < 5; i++) output.stream(cell, "stdout", "x\n");
  assert.doesNotMatch(texts("stderr"), /Not shown/);
  clock.advance(10_000);
  assert.match(texts("stderr"), /Not shown: 10 characters in 5 lines\./);
  output.stream(cell, "stdout", "y");
  clock.advance(10_000);
  assert.match(texts("stderr"), /Not shown: 1 character\./);
});

test("process.stdout is led to the current cell, and given back", async () => {
  const { output, texts } = setUp();
  const original = process.stdout;
  const cell = fakeCell();
  const restore = captureStreams(output, () => cell);
  let called = false;
  try {
    console.log("by console");
    process.stdout.write("plain ");
    process.stdout.write("68656c6c6f", "hex", () => (called = true));
    await Promise.resolve();
  } finally {
    restore();
  }
  assert.equal(process.stdout, original);
  assert.match(texts(), /plain hello$/);
  assert.ok(called);
});
