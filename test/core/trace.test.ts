import assert from "node:assert/strict";
import { test } from "node:test";
import { lettersOf, traceHtml, traceText, traceView } from "../../src/core/trace";
import type { Document } from "../../src/core/types";

const document: Document = {
  id: "d",
  text: "Ask <i>.\nNo 5. Yes",
  spans: [
    { start: 0, end: 8, label: "doubt" },
    { start: 9, end: 14, label: "deduction" },
    { start: 9, end: 11, label: "doubt" },
  ],
};

test("letters are the labels' own where they are free", () => {
  assert.deepEqual(
    lettersOf([
      "initializing",
      "deduction",
      "adding-knowledge",
      "example-testing",
      "uncertainty-estimation",
      "backtracking",
    ]),
    ["I", "D", "A", "E", "U", "B"],
  );
  assert.deepEqual(lettersOf(["doubt", "deduction", "do", "od", "d"]), ["D", "E", "O", "4", "5"]);
});

test("the pieces are the text; the innermost span names a piece", () => {
  const view = traceView(document);
  assert.equal(view.pieces.map(({ text }) => text).join(""), document.text);
  assert.deepEqual(
    view.pieces.map(({ text, label }) => [text, label]),
    [
      ["Ask <i>.", "doubt"],
      ["\n", undefined],
      ["No", "doubt"],
      [" 5.", "deduction"],
      [" Yes", undefined],
    ],
  );
  const shaded = traceView(document, undefined, {
    start: [0, 3, 8, 11],
    end: [3, 8, 11, 18],
    values: [0, 2, 0, 4],
    latent: 9,
    max: 4,
  });
  assert.equal(shaded.pieces.map(({ text }) => text).join(""), document.text);
  assert.deepEqual(
    shaded.pieces.map(({ value }) => value),
    [0, 2, 0, 0, 4, 4],
  );
});

test("marked without colour too: letters, bold, the peak underlined; markup is text", () => {
  const html = traceHtml(traceView(document));
  assert.match(html, /title="doubt"><sup[^>]*>D<\/sup>Ask &lt;i&gt;\.<\/span>/);
  assert.match(html, /<sup[^>]*>E<\/sup>deduction<\/span> 1/);
  const shaded = traceHtml(
    traceView(document, undefined, { start: [0, 3], end: [3, 8], values: [1, 4], latent: 9, max: 4 }),
  );
  assert.match(shaded, /<b><u> &lt;i&gt;\.<\/u><\/b>/);
  assert.match(shaded, /rgba\(255,140,26,0\.25\)" title="1\.00">Ask</);
});

test("text has no colour when none is wanted", () => {
  assert.equal(
    traceText(traceView(document), false),
    "d\n  [D] doubt      2\n  [E] deduction  1\n\n[D]Ask <i>.\n[D]No 5. Yes",
  );
  assert.match(traceText(traceView(document)), /\u001b\[4;38;2/);
});

test("a document without spans is a plain text", () => {
  const bare = { id: "bare", text: "So it is." } as Document; // as a store harvested from plain JSON lines may hold it
  assert.match(traceHtml(traceView(bare)), /So it is\./);
});
