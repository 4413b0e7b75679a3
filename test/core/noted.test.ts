import assert from "node:assert/strict";
import { test } from "node:test";
import { tableHtml, tableText } from "../../src/core/featuretable";
import { notedHtml, packedHtml, packTable } from "../../src/core/noted";

const table = { columns: ["latent", "rows", "why"], rows: [[65_535, 1204, "a <b>"], [1017, 3, "b"]], total: 2, words: true };

test("a packed table keeps what must be read with it: a renderer draws what the page has", () => {
  const notes = ["Base rate: 0.110.", "p < 0.05 & <i>"];
  const { rows, ...packed } = JSON.parse(JSON.stringify(packTable(table, { notes }))) as ReturnType<typeof packTable>;
  assert.equal(packedHtml(packed, JSON.parse(rows)), notedHtml({ ...table, notes }));
  assert.match(packedHtml({ ...packed, title: "⚠ fits <nowhere>" }, table.rows), /^<p [^>]*><b>⚠ fits &lt;nowhere&gt;<\/b><\/p>/);
  assert.equal(packedHtml(packTable(table), table.rows), tableHtml(table));
});

test("a latent's number has no comma: it is typed into a program; other whole numbers have one", () => {
  assert.match(tableText(table), /^latent +rows +why\n +65535 +1,204 +a <b>\n +1017 +3 +b$/);
});
