/**
 * Bytes of a token → text a reader can see. Tokens are pieces of UTF-8: one may hold half a character, only spaces, or a line break.
 */
/**
 * UTF-8 bytes as text. Bytes that are no whole character (a token that begins or ends within one) are shown in hexadecimal: `‹E2 80›`.
 * The longest decodable pieces are kept: `bytesToText([0x61, 0xE2, 0x80])` is `a‹E2 80›`.
 */
export declare function bytesToText(bytes: Uint8Array): string;
/** Bytes of the whole, valid UTF-8 character that begins at `i`; 0 when there is none (RFC 3629: no overlong forms, no surrogates). */
export declare function characterBytes(bytes: Uint8Array, i: number): number;
/**
 * Text with every invisible character shown: line break ↵, carriage return ␍, tab →, trailing spaces ·, other controls and
 * zero-width characters by number (`‹U+200B›`). Leading and inner spaces stay spaces: they are a word's left edge.
 * @param text decoded text of one token, or of several; for bytes that are no text use {@link bytesToText} first
 */
export declare function visible(text: string): string;
