"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const node_test_1 = require("node:test");
const strict_1 = __importDefault(require("node:assert/strict"));
const token_1 = require("../../src/core/token");
(0, node_test_1.test)("whole characters are decoded, halves shown in hexadecimal", () => {
    strict_1.default.equal((0, token_1.bytesToText)(Buffer.from("why… 🤔 é")), "why… 🤔 é");
    strict_1.default.equal((0, token_1.bytesToText)(Uint8Array.of(0x61, 0xe2, 0x80)), "a‹E2 80›");
    strict_1.default.equal((0, token_1.bytesToText)(Uint8Array.of(0xa6, 0x20, 0x62)), "‹A6› b");
    strict_1.default.equal((0, token_1.bytesToText)(Uint8Array.of()), "");
    strict_1.default.equal((0, token_1.bytesToText)(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa", "a byte order mark is kept");
});
(0, node_test_1.test)("what RFC 3629 forbids is not text: overlong forms, surrogates, beyond U+10FFFF", () => {
    for (const bytes of [[0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0x80]]) {
        strict_1.default.match((0, token_1.bytesToText)(Uint8Array.from(bytes)), /^‹[0-9A-F ]+›$/);
        strict_1.default.equal((0, token_1.characterBytes)(Uint8Array.from(bytes), 0), 0);
    }
});
(0, node_test_1.test)("characterBytes agrees with TextDecoder on every pair and on random quadruples", () => {
    const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    const valid = (bytes) => {
        try {
            strict.decode(bytes);
            return true;
        }
        catch {
            return false;
        }
    };
    let seed = 1;
    const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 16;
    for (let round = 0; round < 20_000; round++) {
        const bytes = Uint8Array.from({ length: 4 }, (_, j) => (j === 0 ? 0xc0 | random() : 0x80 | (random() & 0x7f)));
        const size = (0, token_1.characterBytes)(bytes, 0);
        if (size)
            strict_1.default.ok(valid(bytes.subarray(0, size)), String(bytes));
        else
            for (let n = 1; n <= 4; n++)
                strict_1.default.ok(!valid(bytes.subarray(0, n)), `${bytes} ${n}`);
    }
});
(0, node_test_1.test)("invisible characters get glyphs, words keep their left space", () => {
    strict_1.default.equal((0, token_1.visible)(" wait"), " wait");
    strict_1.default.equal((0, token_1.visible)("wait "), "wait·");
    strict_1.default.equal((0, token_1.visible)("   "), "···");
    strict_1.default.equal((0, token_1.visible)("a\n\n"), "a↵↵");
    strict_1.default.equal((0, token_1.visible)("\r\n\t"), "␍↵→");
    strict_1.default.equal((0, token_1.visible)(" \n"), " ↵", "a space before a line break is not at the end");
    strict_1.default.equal((0, token_1.visible)("\u200b\u00a0\u0007"), "‹U+200B›‹U+00A0›‹U+0007›");
    strict_1.default.equal((0, token_1.visible)("👩‍🚀"), "👩‍🚀", "the joiner of an emoji stays");
    strict_1.default.equal((0, token_1.visible)("<script>"), "<script>", "escaping is the renderer's work");
});
//# sourceMappingURL=token.test.js.map