"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_test_1 = require("node:test");
const trace_1 = require("../../src/core/trace");
const document = {
    id: "d",
    text: "Ask <i>.\nNo 5. Yes",
    spans: [
        { start: 0, end: 8, label: "doubt" },
        { start: 9, end: 14, label: "deduction" },
        { start: 9, end: 11, label: "doubt" },
    ],
};
(0, node_test_1.test)("letters are the labels' own where they are free", () => {
    strict_1.default.deepEqual((0, trace_1.lettersOf)([
        "initializing",
        "deduction",
        "adding-knowledge",
        "example-testing",
        "uncertainty-estimation",
        "backtracking",
    ]), ["I", "D", "A", "E", "U", "B"]);
    strict_1.default.deepEqual((0, trace_1.lettersOf)(["doubt", "deduction", "do", "od", "d"]), ["D", "E", "O", "4", "5"]);
});
(0, node_test_1.test)("the pieces are the text; the innermost span names a piece", () => {
    const view = (0, trace_1.traceView)(document);
    strict_1.default.equal(view.pieces.map(({ text }) => text).join(""), document.text);
    strict_1.default.deepEqual(view.pieces.map(({ text, label }) => [text, label]), [
        ["Ask <i>.", "doubt"],
        ["\n", undefined],
        ["No", "doubt"],
        [" 5.", "deduction"],
        [" Yes", undefined],
    ]);
    const shaded = (0, trace_1.traceView)(document, undefined, {
        start: [0, 3, 8, 11],
        end: [3, 8, 11, 18],
        values: [0, 2, 0, 4],
        latent: 9,
        max: 4,
    });
    strict_1.default.equal(shaded.pieces.map(({ text }) => text).join(""), document.text);
    strict_1.default.deepEqual(shaded.pieces.map(({ value }) => value), [0, 2, 0, 0, 4, 4]);
});
(0, node_test_1.test)("marked without colour too: letters, bold, the peak underlined; markup is text", () => {
    const html = (0, trace_1.traceHtml)((0, trace_1.traceView)(document));
    strict_1.default.match(html, /title="doubt"><sup[^>]*>D<\/sup>Ask &lt;i&gt;\.<\/span>/);
    strict_1.default.match(html, /<sup[^>]*>E<\/sup>deduction<\/span> 1/);
    const shaded = (0, trace_1.traceHtml)((0, trace_1.traceView)(document, undefined, { start: [0, 3], end: [3, 8], values: [1, 4], latent: 9, max: 4 }));
    strict_1.default.match(shaded, /<b><u> &lt;i&gt;\.<\/u><\/b>/);
    strict_1.default.match(shaded, /rgba\(255,140,26,0\.25\)" title="1\.00">Ask</);
});
(0, node_test_1.test)("text has no colour when none is wanted", () => {
    strict_1.default.equal((0, trace_1.traceText)((0, trace_1.traceView)(document), false), "d\n  [D] doubt      2\n  [E] deduction  1\n\n[D]Ask <i>.\n[D]No 5. Yes");
    strict_1.default.match((0, trace_1.traceText)((0, trace_1.traceView)(document)), /\u001b\[4;38;2/);
});
(0, node_test_1.test)("a document without spans is a plain text", () => {
    const bare = { id: "bare", text: "So it is." }; // as a store harvested from plain JSON lines may hold it
    strict_1.default.match((0, trace_1.traceHtml)((0, trace_1.traceView)(bare)), /So it is\./);
});
//# sourceMappingURL=trace.test.js.map