import { test } from "node:test";
import assert from "node:assert/strict";
import { bytesToText, characterBytes, visible } from "../../src/core/token";

test("whole characters are decoded, halves shown in hexadecimal", () => {
  assert.equal(bytesToText(Buffer.from("why… 🤔 é")), "why… 🤔 é");
  assert.equal(bytesToText(Uint8Array.of(0x61, 0xe2, 0x80)), "a‹E2 80›");
  assert.equal(bytesToText(Uint8Array.of(0xa6, 0x20, 0x62)), "‹A6› b");
  assert.equal(bytesToText(Uint8Array.of()), "");
  assert.equal(bytesToText(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa", "a byte order mark is kept");
});

test("what RFC 3629 forbids is not text: overlong forms, surrogates, beyond U+10FFFF", () => {
  for (const bytes of [[0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80]]) {
    assert.match(bytesToText(Uint8Array.from(bytes)), /^‹[0-9A-F ]+›$/);
    assert.equal(characterBytes(Uint8Array.from(bytes), 0), 0);
  }
});

test("characterBytes agrees with TextDecoder on every pair and on random quadruples", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const valid = (bytes: Uint8Array): boolean => {
    try {
      strict.decode(bytes);
      return true;
    } catch {
      return false;
    }
  };
  let seed = 1;
  const random = (): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 16;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Uint8Array.from({ length: 4 }, (_, j) => (j === 0 ? 0xc0 | random() : 0x80 | (random() & 0x7f)));
    const size = characterBytes(bytes, 0);
    if (size) assert.ok(valid(bytes.subarray(0, size)), String(bytes));
    else for (let n = 1; n <= 4; n++) assert.ok(!valid(bytes.subarray(0, n)), `${bytes} ${n}`);
  }
});

test("invisible characters get glyphs, words keep their left space", () => {
  assert.equal(visible(" wait"), " wait");
  assert.equal(visible("wait "), "wait·");
  assert.equal(visible("   "), "···");
  assert.equal(visible("a\n\n"), "a↵↵");
  assert.equal(visible("\r\n\t"), "␍↵→");
  assert.equal(visible(" \n"), " ↵", "a space before a line break is not at the end");
  assert.equal(visible("\u200b\u00a0\u0007"), "‹U+200B›‹U+00A0›‹U+0007›");
  assert.equal(visible("👩‍🚀"), "👩‍🚀", "the joiner of an emoji stays");
  assert.equal(visible("<script>"), "<script>", "escaping is the renderer's work");
});
