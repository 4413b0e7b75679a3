"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.invalidUtf8 = invalidUtf8;
/**
 * Where bytes stop being UTF-8: the offset of the first byte of the first sequence that is not well-formed (overlong forms, surrogates,
 * values past U+10FFFF and cut-off sequences included), or -1.
 * @see The Unicode Standard, table 3-7
 */
function invalidUtf8(bytes) {
    const n = bytes.length;
    for (let i = 0; i < n;) {
        const first = bytes[i];
        if (first < 0x80) {
            i++;
            continue;
        }
        const more = first >= 0xc2 && first <= 0xdf ? 1 : first >= 0xe0 && first <= 0xef ? 2 : first >= 0xf0 && first <= 0xf4 ? 3 : 0;
        if (!more || i + more >= n)
            return i;
        // the second byte alone rules out overlong forms, surrogates and what lies past U+10FFFF
        const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
        const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
        if (bytes[i + 1] < low || bytes[i + 1] > high)
            return i;
        for (let j = 2; j <= more; j++)
            if ((bytes[i + j] & 0xc0) !== 0x80)
                return i;
        i += more + 1;
    }
    return -1;
}
//# sourceMappingURL=utf8.js.map