import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { readTexts } from "../../src/adapters/texts";
import { OptionError, TextError } from "../../src/core/errors";

const folder = mkdtempSync(join(tmpdir(), "saelab-texts-"));
after(() => rmSync(folder, { recursive: true }));

const write = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const fails = (path: string, message: RegExp, options = {}): Promise<void> =>
  assert.rejects(readTexts(path, options), (error: Error) => {
    assert.ok(error instanceof TextError, `${error.name}: ${error.message}`);
    assert.match(error.message, message);
    return true;
  });

test("a .txt file is one document, kept as it stands", async () => {
  const path = write("one.txt", "first\r\nsecond 🙂 ");
  assert.deepEqual(await readTexts(path), [{ id: "one.txt", text: "first\r\nsecond 🙂 ", spans: [] }]);
});

test("a byte order mark is taken off, at the beginning of the file only", async () => {
  assert.equal((await readTexts(write("bom.txt", "\ufeffa\ufeffb")))[0].text, "a\ufeffb");
  const lines = await readTexts(write("bom.jsonl", '\ufeff{"text":"a"}\n{"text":"\ufeffb"}\n'));
  assert.deepEqual(lines.map(({ text }) => text), ["a", "\ufeffb"]);
});

test("JSONL lines give id, spans and split; lines without id are numbered as in the file", async () => {
  const path = write("some.jsonl", [
    '{"id":"p7","text":"so 2 + 2","spans":[{"start":0,"end":2,"label":"deduction"}],"split":"heldout","more":1}',
    "",
    '{"text":"b","split":"test"}\r',
    '{"id":12,"text":"c","split":"train"}',
    "",
  ].join("\n"));
  assert.deepEqual(await readTexts(path), [
    { id: "p7", text: "so 2 + 2", spans: [{ start: 0, end: 2, label: "deduction" }], split: "heldout" },
    { id: "some.jsonl:3", text: "b", spans: [], split: "heldout" },
    { id: "12", text: "c", spans: [], split: "train" },
  ]);
});

test("a number called prompt is where the prompt ends; a text of that name is not ours", async () => {
  const path = write("prompts.jsonl", '{"id":"a","text":"Why? So.","prompt":4}\n{"id":"b","text":"So.","prompt":"Why?"}\n{"id":"c","text":"So.","prompt":0}\n');
  assert.deepEqual(await readTexts(path), [
    { id: "a", text: "Why? So.", spans: [], prompt: 4 }, { id: "b", text: "So.", spans: [] }, { id: "c", text: "So.", spans: [], prompt: 0 },
  ]);
  for (const prompt of ["4", "-1", "0.5"]) {
    await fails(write("far.jsonl", `{"text":"So.","prompt":${prompt}}\n`), /far\.jsonl:1: prompt: expected a whole number from 0 to 3/);
  }
});

test("question and answer are joined by a line break; fields names others", async () => {
  const path = write("qa.jsonl", '{"question":"How many?","answer":"7","hint":"odd"}\n');
  assert.equal((await readTexts(path))[0].text, "How many?\n7");
  assert.equal((await readTexts(path, { fields: "hint" }))[0].text, "odd");
  assert.equal((await readTexts(path, { fields: ["hint", "answer"] }))[0].text, "odd\n7");
  await fails(path, /qa\.jsonl:1: expected the field "prompt", found "question", "answer", "hint"/, { fields: "prompt" });
  await assert.rejects(readTexts(path, { fields: [] }), OptionError);
});

test("a folder is read in the order of its paths, below included; ids begin with the file", async () => {
  write("tree/b.txt", "B");
  write("tree/a/z.jsonl", '{"id":"1","text":"Z"}\n{"text":"Y"}\n');
  write("tree/c.jsonl", '{"id":"1","text":"C"}');
  write("tree/readme.md", "not a text");
  write("tree/.hidden.txt", "nor this");
  symlinkSync(join(folder, "tree"), join(folder, "tree/loop"));
  assert.deepEqual((await readTexts(join(folder, "tree"))).map(({ id, text }) => [id, text]), [
    ["a/z.jsonl:1", "Z"], ["a/z.jsonl:2", "Y"], ["b.txt", "B"], ["c.jsonl:1", "C"],
  ]);
});

test("text that is not UTF-8 is refused with file and byte", async () => {
  await fails(write("latin.txt", Buffer.from("caf\xe9 au lait", "latin1")), /latin\.txt: expected UTF-8, found the bytes e9 20 61 75 at byte 3/);
  await fails(write("latin.jsonl", Buffer.concat([Buffer.from('{"text":"ok"}\n'), Buffer.from('{"text":"\xff"}', "latin1")])), /at byte 23\./);
  await fails(write("utf16.txt", Buffer.from("\ufeffabc", "utf16le")), /found UTF-16/);
  await fails(write("half.jsonl", '{"text":"a\\ud83d"}'), /half\.jsonl:1: expected well-formed text/);
});

test("what is missing or malformed is named with file and line", async () => {
  await fails(join(folder, "no.txt"), /no\.txt: expected .*found ENOENT/);
  await fails(write("none.md", "x"), /expected a name that ends in \.txt or \.jsonl/);
  await fails(write("empty.txt", ""), /empty\.txt: expected text, found an empty file/);
  await fails(write("blank.txt", " \n"), /nothing but white space/);
  await fails(write("blank.jsonl", "\n\n"), /blank\.jsonl: expected at least one document/);
  mkdirSync(join(folder, "void"));
  await fails(join(folder, "void"), /expected \.txt or \.jsonl files in this folder, found none/);
  await fails(write("bad.jsonl", '{"text":"a"}\n{"text":\n'), /bad\.jsonl:2: expected one JSON object on this line, found: /);
  await fails(write("list.jsonl", "[1]"), /list\.jsonl:1: expected a JSON object, found an array/);
  await fails(write("other.jsonl", '{"prompt":"a"}'), /expected the field "text" \(or "question" and "answer"\), found "prompt"/);
  await fails(write("number.jsonl", '{"text":3}'), /expected text, found 3/);
  await fails(write("side.jsonl", '{"text":"a","split":"dev"}'), /split: expected "train", "heldout"/);
  await fails(write("id.jsonl", '{"text":"a","id":{}}'), /id: expected a string or a whole number/);
  const twice = write("twice.jsonl", '{"id":"a","text":"1"}\n{"id":"b","text":"2"}\n{"id":"a","text":"3"}');
  await fails(twice, /twice\.jsonl:3: .*"a" again \(first in .*twice\.jsonl:1\)/);
});

test("spans lie inside their text and carry a label", async () => {
  const line = (spans: unknown): string => write("spans.jsonl", JSON.stringify({ text: "abc", spans }));
  for (const [start, end] of [[-1, 2], [2, 2], [2, 1], [0, 4], [0.5, 2], ["0", 2], [0, undefined]]) {
    await fails(line([{ start: 0, end: 3, label: "a" }, { start, end, label: "a" }]), /spans\.jsonl:1: spans\[1\]: expected 0 ≤ start < end ≤ 3/);
  }
  await fails(line([{ start: 0, end: 3 }]), /spans\[0\]\.label/);
  await fails(line({}), /spans: expected a list/);
  await fails(line([null]), /spans\[0\]/);
});
