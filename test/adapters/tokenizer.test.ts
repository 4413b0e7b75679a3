import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeTokenizer, openTokenizer } from "../../src/adapters/tokenizer";
import { ModelError } from "../../src/core/errors";
import type { Tokenizer } from "../../src/core/types";
import { FIXTURES, found } from "../fixtures";

const ORACLE = join(__dirname, "../../../test/oracle");
const FAMILIES = ["llama", "qwen2", "gemma2", "gemma3", "gpt2", "mistral", "neox", "olmo2", "phi3", "qwen3"];

const folderOf = (family: string): string | undefined => found(
  join(ORACLE, "models", family), join(ORACLE, "tokenizers", family), join(FIXTURES, "models", family));
const golden = (family: string): any => JSON.parse(readFileSync(join(folderOf(family)!, "golden.json"), "utf8"));
const json = (family: string): any => JSON.parse(readFileSync(join(folderOf(family)!, "tokenizer.json"), "utf8"));

/** Text with everything that makes offsets hard. */
const HARD = [
  "Wait, hmm — let me check: 9:45 – oh, why…", "naïve café", "é vs e\u0301, Å vs A\u030a", "🤔👩‍🚀 한국어 \u1112\u1161\u11ab", "  two spaces\n\n\ttab\r\n", "<s>inside</s> of <s> text",
  "zero\u200bwidth\u00a0nbsp", "▁literal▁", "ﬁ ligature Ω", "क़ i̇", "lone \ud83e surrogate", " ", "\n", "", "a",
];

/** What offsets must satisfy whatever the tokenizer: in order, inside, nothing of the text left out, and the bytes of a token those of its range. */
function checkOffsets(tokenizer: Tokenizer, text: string, exact: boolean): void {
  const { ids, start, end } = tokenizer.encode(text);
  let reached = 0;
  let from = 0;
  ids.forEach((id, t) => {
    const where = `${JSON.stringify(text)} token ${t} of ${ids}`;
    assert.ok(start[t] <= end[t] && end[t] <= text.length, where);
    if (start[t] === end[t]) return; // put there by the tokenizer, not of the text
    assert.ok(start[t] >= from, where);
    assert.ok(start[t] <= reached, `${where}: text left out before it`);
    from = start[t];
    reached = Math.max(reached, end[t]);
    if (exact) {
      const range = Buffer.from(text.slice(start[t], end[t]));
      assert.ok(range.includes(Buffer.from(tokenizer.bytes(id))), `${where}: ${Buffer.from(tokenizer.bytes(id)).toString("hex")} in ${range.toString("hex")}`);
    }
  });
  assert.equal(reached, text.length, `${JSON.stringify(text)}: text left out at the end`);
}

for (const family of FAMILIES) {
  const folder = folderOf(family);
  if (!folder) continue;
  test(`${family}: ids of transformers, text back, offsets that cover the text`, () => {
    const tokenizer = openTokenizer(folder);
    assert.equal(tokenizer.vocabularySize, 320);
    for (const { text, ids, decoded } of golden(family).prompts) {
      const found = tokenizer.encode(text);
      assert.deepEqual([...found.ids], ids, text);
      assert.equal(tokenizer.decode(ids.filter((id: number) => !tokenizer.isSpecial(id))), decoded);
      checkOffsets(tokenizer, text, true);
    }
    const sentencePiece = json(family).model.byte_fallback === true;
    const normalises = json(family).normalizer?.type === "NFC";
    for (const text of HARD) {
      checkOffsets(tokenizer, text, !normalises && !(sentencePiece && text.includes("▁")));
      if (!sentencePiece) assert.equal(tokenizer.decode(tokenizer.encode(text).ids), Buffer.from(normalises ? text.normalize("NFC") : text).toString()); // lone surrogates become U+FFFD;
    }
  });
}

test("offsets of tokens within a character cover the whole character", () => {
  const { ids, start, end } = openTokenizer(join(ORACLE, "models", "llama")).encode("a – 🤔b");
  assert.deepEqual([...start].map((from, t) => [from, end[t]]), [[0, 1], [1, 2], [2, 3], [2, 3], [2, 3], [3, 4], [4, 6], [4, 6], [4, 6], [4, 6], [6, 7]].slice(0, ids.length));
  assert.equal(end.at(-1), 7);
});

test("text that is normalised keeps the offsets of what was written", () => {
  const tokenizer = openTokenizer(join(ORACLE, "models", "qwen2")); // NFC
  const text = "xe\u0301y";
  const { start, end } = tokenizer.encode(text);
  assert.deepEqual([...start].map((from, t) => text.slice(from, end[t])), ["x", "e\u0301", "e\u0301", "y"]);
});

test("special tokens in the text are one token each; they stand for their own names", () => {
  const tokenizer = openTokenizer(join(ORACLE, "models", "llama"));
  const { ids, start, end } = tokenizer.encode("a<s>b");
  assert.deepEqual([...start], [0, 1, 4]);
  assert.deepEqual([...end], [1, 4, 5]);
  assert.ok(tokenizer.isSpecial(ids[1]) && !tokenizer.isSpecial(ids[0]));
  assert.equal(Buffer.from(tokenizer.bytes(ids[1])).toString(), "<s>");
  assert.equal(tokenizer.decode(ids), "a<s>b");
});

test("what a post-processor puts in front has offsets 0, 0; a space put in front covers nothing", () => {
  const tokenizer = openTokenizer(folderOf("mistral")!);
  const { ids, start, end } = tokenizer.encode("The");
  assert.ok(tokenizer.isSpecial(ids[0]));
  assert.deepEqual([start[0], end[0]], [0, 0]);
  assert.equal(end.at(-1), 3);
  assert.equal(tokenizer.encode("").ids.length, 1);
});

test("an added token that swallows spaces: its own range, the spaces are no token's", () => {
  const spec = json("llama");
  spec.added_tokens.push({ id: 320, content: "<think>", special: false, lstrip: true, rstrip: true, normalized: false, single_word: false });
  const tokenizer = makeTokenizer(spec, {}, "test");
  const { ids, start, end } = tokenizer.encode("a  <think> \n b");
  assert.deepEqual([...ids].indexOf(320), 1);
  assert.deepEqual([start[1], end[1]], [3, 10]);
  assert.deepEqual([start[2], end[2]], [13, 14]);
});

test("a tokenizer that rewrites the text unaccountably is an error, not a wrong offset", () => {
  const spec = json("llama");
  spec.normalizer = { type: "Replace", pattern: { String: "cat" }, content: "dog" };
  const tokenizer = makeTokenizer(spec, {}, "folder/tokenizer.json");
  checkOffsets(tokenizer, "no such animal", true);
  assert.throws(() => tokenizer.encode("the cat sat"), (error: Error) => error.name === "TextError" && /^folder\/tokenizer\.json: token \d+/.test(error.message));
});

test("a long text has the offsets of its repeated part, shifted", () => {
  const tokenizer = openTokenizer(join(ORACLE, "models", "qwen2"));
  const unit = "Wait, 12 – naïve e\u0301\n";
  const one = tokenizer.encode(unit);
  const many = tokenizer.encode(unit.repeat(4000));
  assert.equal(many.ids.length, one.ids.length * 4000);
  for (let t = 0; t < many.ids.length; t++) {
    const shift = Math.floor(t / one.ids.length) * unit.length;
    assert.equal(many.start[t] - shift, one.start[t % one.ids.length]);
    assert.equal(many.end[t] - shift, one.end[t % one.ids.length]);
  }
});

test("a tokenizer that cannot be used is named, with the remedy", () => {
  const folder = mkdtempSync(join(tmpdir(), "saelab-"));
  try {
    assert.throws(() => openTokenizer(folder), (error: Error) => error instanceof ModelError && /tokenizer\.json: expected the tokenizer, found no such file/.test(error.message));
    writeFileSync(join(folder, "tokenizer.json"), "{");
    assert.throws(() => openTokenizer(folder), (error: Error) => error instanceof ModelError && /expected JSON/.test(error.message));
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({ ...json("llama"), model: { type: "WordPiece", vocab: {} } }));
    assert.throws(() => openTokenizer(folder), (error: Error) => error instanceof ModelError && /found WordPiece/.test(error.message));
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.throws(() => openTokenizer(join(ORACLE, "models", "llama")).bytes(320), RangeError);
});
