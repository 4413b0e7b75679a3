/** Bits of rows → 64 bits that tell whether rows are those that were seen before, bit for bit. Against accidents, not against attackers. */

const rotated = (x: number, by: number): number => (x << by) | (x >>> (32 - by));

/**
 * Two lanes of MurmurHash3's 32-bit mixing over the words of x: about a nanosecond a number.
 * @see https://github.com/aappleby/smhasher (MurmurHash3, public domain)
 */
export function rowHash(x: Float32Array): [number, number] {
  const words = new Int32Array(x.buffer, x.byteOffset, x.length);
  let [a, b] = [x.length, ~x.length];
  for (let i = 0; i < words.length; i++) {
    const word = Math.imul(rotated(Math.imul(words[i], 0xcc9e2d51), 15), 0x1b873593);
    a = (Math.imul(rotated(a ^ word, 13), 5) + 0xe6546b64) | 0;
    b = (Math.imul(rotated(b ^ word, 19), 0x2545f491) + 0x38495ab5) | 0;
  }
  return [a, b];
}
