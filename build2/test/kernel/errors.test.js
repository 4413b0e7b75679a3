"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const errors_1 = require("../../kernel-ext/kernel/errors");
const cell = { label: "cell 2", source: "one();\ntwo();\nthree();\nfour();\nfive();" };
const tracer = {
    root: "/home/notebooks",
    cell: (file) => (file === "cell-2.ts" ? cell : undefined),
    locate: (file, line, column) => (file === "cell-2.ts" && line < 90 ? { file, line: line - 10, column } : undefined),
    hidden: (file) => file.startsWith("/kernel/"),
};
/** The traceback of an error with that stack, without colours. */
function trace(stack, message = "expected 1", more = {}) {
    const error = Object.assign(new Error(message), { name: "OddError", ...more });
    error.stack = [`OddError: ${message}`, ...stack.map((each) => `    at ${each}`)].join("\n");
    return (0, errors_1.errorContent)(error, tracer, cell).traceback.join("\n").replace(/\u001b\[\d+m/g, "");
}
(0, node_test_1.test)("frames: places of the cell, paths from the notebook's folder, nothing of the kernel or Node", () => {
    strict_1.default.equal(trace([
        "deep (/home/notebooks/lib.js:1:2)", "mine (cell-2.ts:13:3)", "async cell-2.ts:14:1", "cell-2.ts:95:7",
        "new Script (node:vm:1:1)", "Object.execute (/kernel/run.js:9:9)", "new Promise (<anonymous>)",
    ]), `OddError: expected 1
cell 2, line 3
     1 | one();
     2 | two();
>    3 | three();
       |   ^
     4 | four();
     5 | five();
    at deep (lib.js:1:2)
    at mine (cell 2, line 3:3)
    at cell 2, line 4:1`);
});
(0, node_test_1.test)("many frames of packages in a row are folded", () => {
    const stack = Array.from({ length: 6 }, (_, i) => `f${i} (/home/node_modules/p/i.js:${i + 1}:1)`);
    const lines = trace([...stack, "cell-2.ts:12:1"]).split("\n").slice(-4).map((line) => line.trim());
    strict_1.default.deepEqual(lines, [
        "at f0 (../node_modules/p/i.js:1:1)", "at f1 (../node_modules/p/i.js:2:1)", "… 4 more frames of packages", "at cell 2, line 2:1",
    ]);
});
(0, node_test_1.test)("a message that looks like a stack is no frame", () => {
    const text = trace(["cell-2.ts:12:1"], "first\n    at fake (cell-2.ts:11:1)");
    strict_1.default.equal(text.match(/line 1:1/g), null);
    strict_1.default.match(text, /at cell 2, line 2:1/);
});
(0, node_test_1.test)("causes and the errors of an AggregateError follow; a cause that is its own cause ends", () => {
    const loop = new Error("loop");
    loop.cause = loop;
    strict_1.default.equal(trace([], "outer", { cause: loop }).match(/Caused by/g)?.length, 4);
    const several = (0, errors_1.errorContent)(new AggregateError([new TypeError("a"), "b"], "both"), tracer, cell).traceback.join("\n");
    strict_1.default.match(several, /Holds .*TypeError.*: a[\s\S]*Holds 'b'/);
});
(0, node_test_1.test)("a class's own name is used where `name` says only Error; a value that is no error is shown", () => {
    class StoreError extends Error {
    }
    strict_1.default.equal((0, errors_1.errorContent)(new StoreError("x"), tracer, cell).ename, "StoreError");
    strict_1.default.deepEqual([(0, errors_1.errorContent)({ a: 1 }, tracer, cell).ename, (0, errors_1.errorContent)({ a: 1 }, tracer, cell).evalue], ["Uncaught", "{ a: 1 }"]);
});
(0, node_test_1.test)("an error whose message, name or stack throws or is no text is still shown", () => {
    const odd = new Error("x");
    Object.defineProperty(odd, "stack", { get: () => 7 });
    Object.defineProperty(odd, "message", { value: 8 });
    strict_1.default.equal((0, errors_1.errorContent)(odd, tracer, cell).evalue, "8");
    const hostile = new Error("x");
    Object.defineProperty(hostile, "message", { get() { throw new Error("no"); } });
    strict_1.default.equal((0, errors_1.errorContent)(hostile, tracer, cell).ename, "Uncaught");
});
(0, node_test_1.test)("the links of one message's chain are one error; the parser's errors are SyntaxError; of very many the first are shown", () => {
    const at = (line, messageText, code, syntax = false) => ({ start: { line, character: 0 }, messageText, code, syntax });
    const error = new errors_1.CompileError([at(1, "Outer.\n  Inner.", 2345), at(2, "Other.", 2304)]);
    const { ename, evalue, traceback } = (0, errors_1.errorContent)(error, tracer, cell);
    strict_1.default.deepEqual([ename, evalue, traceback.length], ["TypeScriptError", "line 2: Outer. (TS2345)", 2]);
    strict_1.default.match(traceback[0], /Outer\.\n {6}Inner\..*\n.*cell 2, line 2:1/);
    strict_1.default.equal(new errors_1.CompileError([at(0, "Expression expected.", 1109, true)]).name, "SyntaxError");
    const many = (0, errors_1.errorContent)(new errors_1.CompileError(Array.from({ length: 50 }, () => at(0, "Again.", 2304))), tracer, cell).traceback;
    strict_1.default.deepEqual([many.length, many.at(-1)], [21, "… and 30 more"]);
});
(0, node_test_1.test)("a variable of the notebook is named as it was written", () => {
    strict_1.default.match(trace(["cell-2.ts:12:1"], "(0 , $$_run.v) is not a function"), /OddError: run is not a function/);
    strict_1.default.match(trace(["cell-2.ts:12:1"], "$$_a$b.v.c is not iterable"), /OddError: a\$b\.c is not iterable/);
});
(0, node_test_1.test)("the place of a top-level await is added to what it was rejected with, once", () => {
    const error = new RangeError("late");
    error.stack = "RangeError: late\n    at deep (lib.js:1:2)";
    (0, errors_1.addAwaited)(error, "cell-2.ts", 13, 4);
    (0, errors_1.addAwaited)(error, "cell-2.ts", 14, 4);
    strict_1.default.equal(error.stack, "RangeError: late\n    at deep (lib.js:1:2)\n    at async cell-2.ts?awaited:13:4");
    const located = { ...tracer, locate: (file, line, column) => (file === `cell-2.ts${errors_1.AWAITED}` ? { file: "cell-2.ts", line: line - 10, column } : undefined) };
    strict_1.default.match((0, errors_1.errorContent)(error, located, cell).traceback.join("\n"), /at .*cell 2, line 3:4/);
});
//# sourceMappingURL=errors.test.js.map