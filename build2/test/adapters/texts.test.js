"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const strict_1 = __importDefault(require("node:assert/strict"));
const node_fs_1 = require("node:fs");
const node_os_1 = require("node:os");
const node_path_1 = require("node:path");
const node_test_1 = require("node:test");
const texts_1 = require("../../src/adapters/texts");
const errors_1 = require("../../src/core/errors");
const folder = (0, node_fs_1.mkdtempSync)((0, node_path_1.join)((0, node_os_1.tmpdir)(), "saelab-texts-"));
(0, node_test_1.after)(() => (0, node_fs_1.rmSync)(folder, { recursive: true }));
const write = (name, content) => {
    const path = (0, node_path_1.join)(folder, name);
    (0, node_fs_1.mkdirSync)((0, node_path_1.dirname)(path), { recursive: true });
    (0, node_fs_1.writeFileSync)(path, content);
    return path;
};
const fails = (path, message, options = {}) => strict_1.default.rejects((0, texts_1.readTexts)(path, options), (error) => {
    strict_1.default.ok(error instanceof errors_1.TextError, `${error.name}: ${error.message}`);
    strict_1.default.match(error.message, message);
    return true;
});
(0, node_test_1.test)("a .txt file is one document, kept as it stands", async () => {
    const path = write("one.txt", "first\r\nsecond 🙂 ");
    strict_1.default.deepEqual(await (0, texts_1.readTexts)(path), [{ id: "one.txt", text: "first\r\nsecond 🙂 ", spans: [] }]);
});
(0, node_test_1.test)("a byte order mark is taken off, at the beginning of the file only", async () => {
    strict_1.default.equal((await (0, texts_1.readTexts)(write("bom.txt", "\ufeffa\ufeffb")))[0].text, "a\ufeffb");
    const lines = await (0, texts_1.readTexts)(write("bom.jsonl", '\ufeff{"text":"a"}\n{"text":"\ufeffb"}\n'));
    strict_1.default.deepEqual(lines.map(({ text }) => text), ["a", "\ufeffb"]);
});
(0, node_test_1.test)("JSONL lines give id, spans and split; lines without id are numbered as in the file", async () => {
    const path = write("some.jsonl", [
        '{"id":"p7","text":"so 2 + 2","spans":[{"start":0,"end":2,"label":"deduction"}],"split":"heldout","more":1}',
        "",
        '{"text":"b","split":"test"}\r',
        '{"id":12,"text":"c","split":"train"}',
        "",
    ].join("\n"));
    strict_1.default.deepEqual(await (0, texts_1.readTexts)(path), [
        { id: "p7", text: "so 2 + 2", spans: [{ start: 0, end: 2, label: "deduction" }], split: "heldout" },
        { id: "some.jsonl:3", text: "b", spans: [], split: "heldout" },
        { id: "12", text: "c", spans: [], split: "train" },
    ]);
});
(0, node_test_1.test)("question and answer are joined by a line break; fields names others", async () => {
    const path = write("qa.jsonl", '{"question":"How many?","answer":"7","hint":"odd"}\n');
    strict_1.default.equal((await (0, texts_1.readTexts)(path))[0].text, "How many?\n7");
    strict_1.default.equal((await (0, texts_1.readTexts)(path, { fields: "hint" }))[0].text, "odd");
    strict_1.default.equal((await (0, texts_1.readTexts)(path, { fields: ["hint", "answer"] }))[0].text, "odd\n7");
    await fails(path, /qa\.jsonl:1: expected the field "prompt", found "question", "answer", "hint"/, { fields: "prompt" });
    await strict_1.default.rejects((0, texts_1.readTexts)(path, { fields: [] }), errors_1.OptionError);
});
(0, node_test_1.test)("a folder is read in the order of its paths, below included; ids begin with the file", async () => {
    write("tree/b.txt", "B");
    write("tree/a/z.jsonl", '{"id":"1","text":"Z"}\n{"text":"Y"}\n');
    write("tree/c.jsonl", '{"id":"1","text":"C"}');
    write("tree/readme.md", "not a text");
    write("tree/.hidden.txt", "nor this");
    (0, node_fs_1.symlinkSync)((0, node_path_1.join)(folder, "tree"), (0, node_path_1.join)(folder, "tree/loop"));
    strict_1.default.deepEqual((await (0, texts_1.readTexts)((0, node_path_1.join)(folder, "tree"))).map(({ id, text }) => [id, text]), [
        ["a/z.jsonl:1", "Z"], ["a/z.jsonl:2", "Y"], ["b.txt", "B"], ["c.jsonl:1", "C"],
    ]);
});
(0, node_test_1.test)("text that is not UTF-8 is refused with file and byte", async () => {
    await fails(write("latin.txt", Buffer.from("caf\xe9 au lait", "latin1")), /latin\.txt: expected UTF-8, found the bytes e9 20 61 75 at byte 3/);
    await fails(write("latin.jsonl", Buffer.concat([Buffer.from('{"text":"ok"}\n'), Buffer.from('{"text":"\xff"}', "latin1")])), /at byte 23\./);
    await fails(write("utf16.txt", Buffer.from("\ufeffabc", "utf16le")), /found UTF-16/);
    await fails(write("half.jsonl", '{"text":"a\\ud83d"}'), /half\.jsonl:1: expected well-formed text/);
});
(0, node_test_1.test)("what is missing or malformed is named with file and line", async () => {
    await fails((0, node_path_1.join)(folder, "no.txt"), /no\.txt: expected .*found ENOENT/);
    await fails(write("none.md", "x"), /expected a name that ends in \.txt or \.jsonl/);
    await fails(write("empty.txt", ""), /empty\.txt: expected text, found an empty file/);
    await fails(write("blank.txt", " \n"), /nothing but white space/);
    await fails(write("blank.jsonl", "\n\n"), /blank\.jsonl: expected at least one document/);
    (0, node_fs_1.mkdirSync)((0, node_path_1.join)(folder, "void"));
    await fails((0, node_path_1.join)(folder, "void"), /expected \.txt or \.jsonl files in this folder, found none/);
    await fails(write("bad.jsonl", '{"text":"a"}\n{"text":\n'), /bad\.jsonl:2: expected one JSON object on this line, found: /);
    await fails(write("list.jsonl", "[1]"), /list\.jsonl:1: expected a JSON object, found an array/);
    await fails(write("other.jsonl", '{"prompt":"a"}'), /expected the field "text" \(or "question" and "answer"\), found "prompt"/);
    await fails(write("number.jsonl", '{"text":3}'), /expected text, found 3/);
    await fails(write("side.jsonl", '{"text":"a","split":"dev"}'), /split: expected "train", "heldout"/);
    await fails(write("id.jsonl", '{"text":"a","id":{}}'), /id: expected a string or a whole number/);
    const twice = write("twice.jsonl", '{"id":"a","text":"1"}\n{"id":"b","text":"2"}\n{"id":"a","text":"3"}');
    await fails(twice, /twice\.jsonl:3: .*"a" again \(first in .*twice\.jsonl:1\)/);
});
(0, node_test_1.test)("spans lie inside their text and carry a label", async () => {
    const line = (spans) => write("spans.jsonl", JSON.stringify({ text: "abc", spans }));
    for (const [start, end] of [[-1, 2], [2, 2], [2, 1], [0, 4], [0.5, 2], ["0", 2], [0, undefined]]) {
        await fails(line([{ start: 0, end: 3, label: "a" }, { start, end, label: "a" }]), /spans\.jsonl:1: spans\[1\]: expected 0 ≤ start < end ≤ 3/);
    }
    await fails(line([{ start: 0, end: 3 }]), /spans\[0\]\.label/);
    await fails(line({}), /spans: expected a list/);
    await fails(line([null]), /spans\[0\]/);
});
//# sourceMappingURL=texts.test.js.map