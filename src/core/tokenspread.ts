import { bySize, PIECE, type Firings } from "./collect";
import { atOnce, type Pieces } from "./pieces";

/** How a latent's activation is spread over tokens of the vocabulary. */
export interface TokenSpread {
  entropy: Float32Array; // [F] bits, of the tokens' shares of its activation mass: 0 one token, 10 about a thousand
  distinct: Int32Array; // [F] different tokens among its 100 strongest firings
  token: Int32Array; // [F, TRIGGERS] tokens of largest mean activation, of those it fires on at least 3 times and on 1 % of its firings; −1: none
  tokenMean: Float32Array; // [F, TRIGGERS] that mean
  shareToken: Int32Array; // [F, SHARES] tokens of the largest shares of its activation mass; −1: none
  share: Float32Array; // [F, SHARES] those shares, 0 … 1
}

export const TRIGGERS = 5;
export const SHARES = 5;
const STRONGEST = 100;

/** @param vocabulary one more than the largest token id */
export function* tokenSpread(
  firings: Firings,
  token: Int32Array,
  vocabulary: number,
  order = atOnce(bySize(firings)),
): Pieces<TokenSpread> {
  const latents = firings.to - firings.from;
  const out: TokenSpread = {
    entropy: new Float32Array(latents),
    distinct: new Int32Array(latents),
    token: new Int32Array(latents * TRIGGERS).fill(-1),
    tokenMean: new Float32Array(latents * TRIGGERS),
    shareToken: new Int32Array(latents * SHARES).fill(-1),
    share: new Float32Array(latents * SHARES),
  };
  const mass = new Float64Array(vocabulary);
  const times = new Int32Array(vocabulary);
  let looked = 0;
  for (let f = 0; f < latents; f++) {
    const a = firings.offset[f];
    const b = firings.offset[f + 1];
    if ((looked += b - a) > PIECE) {
      yield;
      looked = 0;
    }
    if (a === b) continue;
    const seen: number[] = [];
    let total = 0;
    for (let i = a; i < b; i++) {
      const id = token[firings.row[i]];
      if (!times[id]++) seen.push(id);
      mass[id] += firings.value[i];
      total += firings.value[i];
    }
    const enough = Math.max(3, (b - a) / 100);
    const often = seen.filter((id) => times[id] >= enough);
    largest(often, TRIGGERS, (id) => mass[id] / times[id]).forEach((id, i) => {
      out.token[f * TRIGGERS + i] = id;
      out.tokenMean[f * TRIGGERS + i] = mass[id] / times[id];
    });
    largest(seen, SHARES, (id) => mass[id]).forEach((id, i) => {
      out.shareToken[f * SHARES + i] = id;
      out.share[f * SHARES + i] = mass[id] / total;
    });
    for (const id of seen) {
      out.entropy[f] -= (mass[id] / total) * Math.log2(mass[id] / total);
      mass[id] = times[id] = 0;
    }
    out.entropy[f] = Math.max(0, out.entropy[f]);
    out.distinct[f] = new Set(order.subarray(a, Math.min(b, a + STRONGEST)).map((entry) => token[firings.row[entry]])).size;
  }
  return out;
}

/** The `count` ids of largest value, larger first, ties by smaller id. */
function largest(ids: number[], count: number, valueOf: (id: number) => number): number[] {
  const best: number[] = [];
  for (const id of ids) {
    const value = valueOf(id);
    let at = best.length;
    while (at > 0 && (valueOf(best[at - 1]) < value || (valueOf(best[at - 1]) === value && best[at - 1] > id))) at--;
    if (at === count) continue;
    best.splice(at, 0, id);
    if (best.length > count) best.pop();
  }
  return best;
}
