import { quoted } from "./featurehead";
import { short } from "./html";
import type { TokenLogit } from "./heatmap";
import type { NotedTable } from "./noted";
import type { HeadRows } from "./types";

/**
 * Logit lens of a latent: which tokens its decoder row w speaks for when it is added to the stream in front of the final norm.
 *
 *   rms     logits = W_U·(g∘w)                    layer   logits = W_U·(g∘(w − mean w))
 *
 * for one unit of activation and up to the norm's scale, 1/√(mean(x²) + ε), which depends on the stream x and is the same for all tokens.
 * What w does through later blocks is not seen, nor what is the same whatever w is: biases of norm and head.
 * @see nostalgebraist, "interpreting GPT: the logit lens" (2020); Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021)
 */

/** Norm weight, and the mean that a LayerNorm takes off, folded into the head's rows, in place: logits are then rows·w. */
export function foldNorm({ rows, norm, kind }: HeadRows): Float32Array {
  const d = norm.length;
  for (let at = 0; at < rows.length; at += d) {
    let sum = 0;
    for (let i = 0; i < d; i++) sum += rows[at + i] *= norm[i];
    if (kind === "layer") for (let i = 0; i < d; i++) rows[at + i] -= sum / d;
  }
  return rows;
}

/** The largest of each latent so far: ids and values, [latents, count], largest first; −1: none yet. */
export interface Largest {
  id: Int32Array;
  value: Float32Array;
}

export const noneYet = (latents: number, count: number): Largest => ({ id: new Int32Array(latents * count).fill(-1), value: new Float32Array(latents * count) });

/**
 * Puts the largest of some more tokens, [n, count] by size, among those so far; of equal ones the earlier comes first.
 * @param first latent they belong to @param from id of the tokens' number 0 @param sign −1: values are of the smallest, negated
 */
export function keepLargest(kept: Largest, count: number, first: number, index: Int32Array, value: Float32Array, found: number, from: number, sign: 1 | -1): void {
  for (let r = 0; r < index.length / found; r++) {
    const base = (first + r) * count;
    for (let j = 0; j < found; j++) {
      const v = value[r * found + j];
      const before = (at: number): boolean => kept.id[base + at] < 0 || v > sign * kept.value[base + at];
      if (!before(count - 1)) break;
      let at = count - 1;
      for (; at > 0 && before(at - 1); at--) {
        kept.id[base + at] = kept.id[base + at - 1];
        kept.value[base + at] = kept.value[base + at - 1];
      }
      kept.id[base + at] = from + index[r * found + j];
      kept.value[base + at] = sign * v;
    }
  }
}

export interface LogitsView {
  latents: { latent: number; label?: string; top: TokenLogit[]; bottom: TokenLogit[] }[];
  total: number;
  notes: string[];
}

const SHOWN = 6; // tokens of each kind
const LONGEST = 24; // characters

/** One row a latent. */
export function logitsTable({ latents, total, notes }: LogitsView): NotedTable {
  const said = (list: TokenLogit[]): string => list.slice(0, SHOWN).map(({ text, value }) => `${quoted(text, LONGEST)} ${short(value)}`.replaceAll(" ", "\u00a0")).join(", "); // a line ends between pairs
  return {
    columns: ["latent", "likelier", "less likely"],
    rows: latents.map(({ latent, top, bottom }) => [latent, said(top), said(bottom)]),
    total,
    notes,
  };
}
