/**
 * Where bytes stop being UTF-8: the offset of the first byte of the first sequence that is not well-formed (overlong forms, surrogates,
 * values past U+10FFFF and cut-off sequences included), or -1.
 * @see The Unicode Standard, table 3-7
 */
export declare function invalidUtf8(bytes: Uint8Array): number;
