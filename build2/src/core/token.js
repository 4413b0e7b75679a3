"use strict";
/**
 * Bytes of a token → text a reader can see. Tokens are pieces of UTF-8: one may hold half a character, only spaces, or a line break.
 */
Object.defineProperty(exports, "__esModule", { value: true });
exports.bytesToText = bytesToText;
exports.characterBytes = characterBytes;
exports.visible = visible;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/**
 * UTF-8 bytes as text. Bytes that are no whole character (a token that begins or ends within one) are shown in hexadecimal: `‹E2 80›`.
 * The longest decodable pieces are kept: `bytesToText([0x61, 0xE2, 0x80])` is `a‹E2 80›`.
 */
function bytesToText(bytes) {
    try {
        return decoder.decode(bytes);
    }
    catch {
        // falls through to the slow way: some byte is not part of a whole character
    }
    let text = "";
    let loose = [];
    const flush = () => {
        if (loose.length)
            text += `‹${loose.join(" ")}›`;
        loose = [];
    };
    for (let i = 0; i < bytes.length;) {
        const size = characterBytes(bytes, i);
        if (size) {
            flush();
            text += decoder.decode(bytes.subarray(i, i + size));
            i += size;
        }
        else {
            loose.push(bytes[i++].toString(16).toUpperCase().padStart(2, "0"));
        }
    }
    flush();
    return text;
}
/** Bytes of the whole, valid UTF-8 character that begins at `i`; 0 when there is none (RFC 3629: no overlong forms, no surrogates). */
function characterBytes(bytes, i) {
    const a = bytes[i];
    if (a < 0x80)
        return 1;
    const size = a >= 0xc2 && a < 0xe0 ? 2 : a >= 0xe0 && a < 0xf0 ? 3 : a >= 0xf0 && a < 0xf5 ? 4 : 0;
    if (!size || i + size > bytes.length)
        return 0;
    for (let j = 1; j < size; j++)
        if ((bytes[i + j] & 0xc0) !== 0x80)
            return 0;
    const b = bytes[i + 1];
    if ((a === 0xe0 && b < 0xa0) || (a === 0xed && b > 0x9f) || (a === 0xf0 && b < 0x90) || (a === 0xf4 && b > 0x8f))
        return 0;
    return size;
}
/** Characters that take no room or break the line, with what stands for them. Tab and line breaks keep the usual glyphs; the rest are named by number. */
const glyph = (character) => {
    if (character === "\n")
        return "↵";
    if (character === "\r")
        return "␍";
    if (character === "\t")
        return "→";
    return `‹U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}›`;
};
// controls, soft hyphen, zero-width and direction marks, line and paragraph separators, spaces that are not U+0020, byte order mark, tags;
// U+200D (joiner) and the variation selectors stay, they are part of emoji
const HIDDEN = /[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u115f\u1160\u1680\u180e\u2000-\u200c\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;
/**
 * Text with every invisible character shown: line break ↵, carriage return ␍, tab →, trailing spaces ·, other controls and
 * zero-width characters by number (`‹U+200B›`). Leading and inner spaces stay spaces: they are a word's left edge.
 * @param text decoded text of one token, or of several; for bytes that are no text use {@link bytesToText} first
 */
function visible(text) {
    const body = text.replace(/ +$/, "");
    return body.replace(HIDDEN, glyph) + "·".repeat(text.length - body.length);
}
//# sourceMappingURL=token.js.map