"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const output_1 = require("../../kernel-ext/kernel/output");
const fakes_1 = require("./fakes");
function setUp(limit) {
    const clock = (0, fakes_1.fakeClock)();
    const said = [];
    const output = (0, output_1.createOutput)({
        clock, limit,
        publish: (cell, type, content) => said.push({ type, content, cell: cell.name }),
        print: (cell, name, text) => said.push({ type: "text", content: { name, text }, cell: cell.name }),
    });
    const texts = (name) => said.filter(({ type, content }) => type === "text" && (!name || content.name === name)).map(({ content }) => content.text).join("");
    return { clock, said, output, texts };
}
(0, node_test_1.test)("text, displays, updates and clearing are said in order, each for its cell", () => {
    const { said, output } = setUp();
    const [one, two] = [(0, fakes_1.fakeCell)("", "cell-1.ts"), (0, fakes_1.fakeCell)("", "cell-2.ts")];
    output.stream(one, "stdout", "1");
    output.stream(two, "stderr", "2");
    output.display(one, { "text/plain": "3" }, { display_id: "d" });
    output.display(two, { "text/plain": "4" }, { display_id: "d", update: true, metadata: { m: 1 } });
    output.clear(one, true);
    strict_1.default.deepEqual(said, [
        { type: "text", content: { name: "stdout", text: "1" }, cell: "cell-1.ts" },
        { type: "text", content: { name: "stderr", text: "2" }, cell: "cell-2.ts" },
        { type: "display_data", content: { data: { "text/plain": "3" }, metadata: {}, transient: { display_id: "d" } }, cell: "cell-1.ts" },
        { type: "update_display_data", content: { data: { "text/plain": "4" }, metadata: { m: 1 }, transient: { display_id: "d" } }, cell: "cell-2.ts" },
        { type: "clear_output", content: { wait: true }, cell: "cell-1.ts" },
    ]);
});
(0, node_test_1.test)("half a character in one chunk and half in the next is one character; half a surrogate pair becomes U+FFFD", () => {
    const { output, texts } = setUp();
    const cell = (0, fakes_1.fakeCell)();
    const bytes = Buffer.from("ü😀");
    output.stream(cell, "stdout", bytes.subarray(0, 4));
    output.stream(cell, "stdout", bytes.subarray(4));
    output.stream(cell, "stdout", "\ud83d.");
    strict_1.default.equal(texts(), "ü😀\ufffd.");
});
(0, node_test_1.test)("past the limit text is cut, at once with a notice, at the cell's end with how much", () => {
    const { output, texts, said } = setUp(10);
    const cell = (0, fakes_1.fakeCell)();
    output.stream(cell, "stdout", "12345\n");
    output.stream(cell, "stdout", "7890ab\ncd\n");
    output.stream(cell, "stderr", "more");
    strict_1.default.equal(texts("stdout"), "12345\n7890");
    strict_1.default.match(texts("stderr"), /printed 10 characters, the most that is shown/);
    output.display(cell, { "text/plain": "still shown" });
    strict_1.default.equal(said.at(-1)?.type, "display_data");
    output.end(cell);
    strict_1.default.match(texts("stderr"), /Not shown: 10 characters in 2 lines\./);
    strict_1.default.equal(texts("stderr").match(/the most that is shown/g)?.length, 1);
    const other = (0, fakes_1.fakeCell)("", "cell-2.ts");
    output.stream(other, "stdout", "its own ");
    output.end(other);
    strict_1.default.match(texts("stdout"), /its own $/);
});
(0, node_test_1.test)("what a cell's timers print past the limit after its end is said now and then", () => {
    const { output, texts, clock } = setUp(4);
    const cell = (0, fakes_1.fakeCell)();
    output.stream(cell, "stdout", "1234");
    output.end(cell);
    for (let i = 0; i < 5; i++)
        output.stream(cell, "stdout", "x\n");
    strict_1.default.doesNotMatch(texts("stderr"), /Not shown/);
    clock.advance(10_000);
    strict_1.default.match(texts("stderr"), /Not shown: 10 characters in 5 lines\./);
    output.stream(cell, "stdout", "y");
    clock.advance(10_000);
    strict_1.default.match(texts("stderr"), /Not shown: 1 character\./);
});
(0, node_test_1.test)("process.stdout is led to the current cell, and given back", async () => {
    const { output, texts } = setUp();
    const original = process.stdout;
    const cell = (0, fakes_1.fakeCell)();
    const restore = (0, output_1.captureStreams)(output, () => cell);
    let called = false;
    try {
        console.log("by console");
        process.stdout.write("plain ");
        process.stdout.write("68656c6c6f", "hex", () => (called = true));
        await Promise.resolve();
    }
    finally {
        restore();
    }
    strict_1.default.equal(process.stdout, original);
    strict_1.default.match(texts(), /plain hello$/);
    strict_1.default.ok(called);
});
//# sourceMappingURL=output.test.js.map