import { fromBfloat16, fromFloat16 } from "./safetensors";

/**
 * Block formats of GGML: so many weights share a scale and are stored together, the scale as float16. Every value is
 *
 *   w = d·q   or   w = d·q + m   or   w = (d·s)·q − (dmin·m)     d, m, dmin float16; q, s, m small integers
 *
 * computed in float32, each product and sum rounded once, so that the numbers are those of gguf-py bit for bit.
 * @see https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h (block_q4_0 …), ggml-quants.c (dequantize_row_…)
 */
export interface BlockFormat {
  name: string;
  /** Weights a block; rows are whole blocks. */
  block: number;
  /** Bytes a block. */
  bytes: number;
  /** Whole blocks → as many float32 as they hold. */
  decode(bytes: Uint8Array, out: Float32Array): void;
}

const round = Math.fround;

/** Value of each of the 65,536 float16 codes; made when first needed. */
let halves: Float32Array | undefined;
const halfTable = (): Float32Array =>
  (halves ??= fromFloat16(new Uint8Array(Uint16Array.from({ length: 65_536 }, (_, code) => code).buffer)));

/** A format whose blocks are decoded one by one; `half(i)` is the float16 at byte i. */
function blocks(
  name: string, block: number, bytes: number,
  decode: (data: Uint8Array, at: number, half: (at: number) => number, out: Float32Array, to: number) => void,
): BlockFormat {
  return {
    name, block, bytes,
    decode(data, out) {
      const table = halfTable();
      const half = (at: number): number => table[data[at] | (data[at + 1] << 8)];
      for (let at = 0, to = 0; to < out.length; at += bytes, to += block) decode(data, at, half, out, to);
    },
  };
}

/** 32 weights of 4 bits, byte j holding j and j + 16, and for the five-bit formats a fifth bit each in a 32-bit word. */
function nibbles(name: string, fifth: boolean, minimum: boolean): BlockFormat {
  const high = 2 + (minimum ? 2 : 0);
  const low = high + (fifth ? 4 : 0);
  const zero = minimum ? 0 : fifth ? 16 : 8; // without a minimum, q is centred
  return blocks(name, 32, low + 16, (data, at, half, out, to) => {
    const d = half(at);
    const m = minimum ? half(at + 2) : 0;
    const bits = fifth ? data[at + high] | (data[at + high + 1] << 8) | (data[at + high + 2] << 16) | (data[at + high + 3] << 24) : 0;
    for (let j = 0; j < 16; j++) {
      const byte = data[at + low + j];
      const first = ((byte & 15) | (((bits >>> j) & 1) << 4)) - zero;
      const second = ((byte >> 4) | (((bits >>> (j + 16)) & 1) << 4)) - zero;
      out[to + j] = minimum ? round(d * first) + m : d * first;
      out[to + j + 16] = minimum ? round(d * second) + m : d * second;
    }
  });
}

const q8 = blocks("Q8_0", 32, 34, (data, at, half, out, to) => {
  const d = half(at);
  for (let j = 0; j < 32; j++) out[to + j] = d * ((data[at + 2 + j] << 24) >> 24);
});

/** scales[16] (low nibble scale, high nibble minimum), q[64] of 2 bits, d, dmin. */
const q2k = blocks("Q2_K", 256, 84, (data, at, half, out, to) => {
  const d = half(at + 80);
  const dmin = half(at + 82);
  for (let group = 0; group < 16; group++) {
    const dl = round(d * (data[at + group] & 15));
    const ml = round(dmin * (data[at + group] >> 4));
    // groups of 16: eight share 32 bytes, two a shift
    const from = at + 16 + (group >> 3) * 32 + (group & 1) * 16;
    const shift = ((group >> 1) & 3) * 2;
    for (let j = 0; j < 16; j++) out[to + group * 16 + j] = round(dl * ((data[from + j] >> shift) & 3)) - ml;
  }
});

/** hmask[32] (third bits, inverted), q[64] of 2 bits, 16 scales of 6 bits in 12 bytes, d. */
const q3k = blocks("Q3_K", 256, 110, (data, at, half, out, to) => {
  const d = half(at + 108);
  const scales = at + 96;
  for (let group = 0; group < 16; group++) {
    const low = group < 8 ? data[scales + group] & 15 : data[scales + group - 8] >> 4;
    const high = (data[scales + 8 + (group & 3)] >> ((group >> 2) * 2)) & 3;
    const dl = round(d * ((low | (high << 4)) - 32));
    const from = at + 32 + (group >> 3) * 32 + (group & 1) * 16;
    const mask = at + (group & 1) * 16;
    const shift = ((group >> 1) & 3) * 2;
    for (let j = 0; j < 16; j++) {
      const q = ((data[from + j] >> shift) & 3) - ((data[mask + j] >> (group >> 1)) & 1 ? 0 : 4);
      out[to + group * 16 + j] = dl * q;
    }
  }
});

/** d, dmin, 8 scales and 8 minima of 6 bits in 12 bytes, for Q5_K fifth bits [32], then q[128] of 4 bits. */
function q45k(name: string, fifth: boolean): BlockFormat {
  const low = fifth ? 48 : 16;
  return blocks(name, 256, low + 128, (data, at, half, out, to) => {
    const d = half(at);
    const dmin = half(at + 2);
    const s = at + 4;
    for (let group = 0; group < 8; group++) {
      const scale = group < 4 ? data[s + group] & 63 : (data[s + group + 4] & 15) | ((data[s + group - 4] >> 2) & 48);
      const minimum = group < 4 ? data[s + group + 4] & 63 : (data[s + group + 4] >> 4) | ((data[s + group] >> 2) & 48);
      const dl = round(d * scale);
      const ml = round(dmin * minimum);
      const from = at + low + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let j = 0; j < 32; j++) {
        const q = ((data[from + j] >> shift) & 15) | (fifth ? ((data[at + 16 + j] >> group) & 1) << 4 : 0);
        out[to + group * 32 + j] = round(dl * q) - ml;
      }
    }
  });
}

/** q[128] low 4 bits, q[64] high 2 bits, 16 scales of 8 bits, d. */
const q6k = blocks("Q6_K", 256, 210, (data, at, half, out, to) => {
  const d = half(at + 208);
  for (let group = 0; group < 8; group++) { // of 32 weights, two scales each
    const low = at + (group >> 2) * 64 + (group & 1) * 32;
    const high = at + 128 + (group >> 2) * 32;
    const nibble = ((group >> 1) & 1) * 4;
    const shift = (group & 3) * 2;
    for (let j = 0; j < 32; j++) {
      const scale = (data[at + 192 + group * 2 + (j >> 4)] << 24) >> 24;
      const q = (((data[low + j] >> nibble) & 15) | (((data[high + j] >> shift) & 3) << 4)) - 32;
      out[to + group * 32 + j] = round(d * scale) * q;
    }
  }
});

const plain = (name: string, bytes: number, widen: (bytes: Uint8Array) => Float32Array): BlockFormat =>
  ({ name, block: 1, bytes, decode: (data, out) => out.set(widen(data)) });

/** Type number of a tensor → its format. To read a further one, add a row. */
export const FORMATS: ReadonlyMap<number, BlockFormat> = new Map([
  [0, plain("F32", 4, (data) => new Float32Array(new Uint8Array(data).buffer))],
  [1, plain("F16", 2, fromFloat16)],
  [2, nibbles("Q4_0", false, false)],
  [3, nibbles("Q4_1", false, true)],
  [6, nibbles("Q5_0", true, false)],
  [7, nibbles("Q5_1", true, true)],
  [8, q8],
  [10, q2k],
  [11, q3k],
  [12, q45k("Q4_K", false)],
  [13, q45k("Q5_K", true)],
  [14, q6k],
  [30, plain("BF16", 2, fromBfloat16)],
]);

/** Names of the type numbers that are not read, for messages. */
export const OTHER_TYPES: Readonly<Record<number, string>> = {
  9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
  24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
};
