import { OptionError } from "./errors";
import { short } from "./html";
import type { NotedTable } from "./noted";
import type { Sparse } from "./types";

/**
 * ReasonScore: does a latent fire around words of reasoning, around several of them rather than one, and little elsewhere?
 *
 *   S_i = μ⁺_i / Σ_j μ⁺_j · H_i^α − μ⁻_i / Σ_j μ⁻_j        H_i = −Σ_r p_ir ln p_ir / ln|R|        p_ir = μ_ir / Σ_r' μ_ir'
 *
 * μ⁺ is the mean activation on tokens within the windows around words, μ⁻ on all others, μ_ir within the windows of group r of |R|.
 * @see Galichin et al., "I Have Covered All the Bases Here: Interpreting Reasoning Features in Large Language Models via Sparse
 *   Autoencoders" (2025), https://arxiv.org/abs/2503.18878
 */

/** Groups of words, each with the spellings that are meant: as whole words, exactly so. Spaces before a word do not matter. */
export type WordGroups = Record<string, string[]>;

const both = (word: string): string[] => [word, word[0].toUpperCase() + word.slice(1)];

/** The ten groups of the paper. A sentence's "But" and "Another" are meant, not those within. */
export const REASONING_WORDS: WordGroups = {
  ...Object.fromEntries(["alternatively", "hmm", "maybe", "wait", "perhaps", "let me", "therefore", "however"].map((word) => [word, both(word)])),
  But: ["But"],
  Another: ["Another"],
};

/** Tokens to the left of a word and to its right. */
export type WordWindow = [left: number, right: number];

/** @throws OptionError for groups that no score could come of */
export function checkGroups(groups: WordGroups): void {
  const names = Object.keys(groups);
  if (names.length < 2 || names.length > 30)
    throw new OptionError(`reasonScore: groups: expected 2 to 30 groups of words, as an entropy over them is part of the score, found ${names.length}. REASONING_WORDS has ten.`);
  const empty = names.find((name) => !Array.isArray(groups[name]) || !groups[name].length || groups[name].some((word) => typeof word !== "string" || !word.trim()));
  if (empty !== undefined)
    throw new OptionError(`reasonScore: groups: ${empty}: expected a list of words, found ${JSON.stringify(groups[empty])}. Give each spelling that is meant: { ${empty}: ["wait", "Wait"] }.`);
}

const WITHIN = "[\\p{L}\\p{N}_]";

/** Finds words of groups in a text. @returns of each token a mask, bit g: it lies in the window of a word of group g */
export function windowsOf(groups: WordGroups, [left, right]: WordWindow): (text: string, offsets: { start: Int32Array; end: Int32Array }) => Int32Array {
  const patterns = Object.values(groups).map((words) => {
    const spelt = words.map((word) => word.trim().replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
    return new RegExp(`(?<!${WITHIN})(?:${spelt.join("|")})(?!${WITHIN})`, "gu");
  });
  return (text, { start, end }) => {
    const n = start.length;
    const masks = new Int32Array(n);
    patterns.forEach((pattern, g) => {
      let t = 0; // first token that ends behind the word's beginning
      for (const { index: from, 0: { length } } of text.matchAll(pattern)) {
        while (t < n && end[t] <= from) t++;
        let last = t;
        while (last + 1 < n && start[last + 1] < from + length) last++;
        for (let i = Math.max(0, t - left); i < Math.min(n, last + right + 1); i++) masks[i] |= 1 << g;
      }
    });
    return masks;
  };
}

/** What a latent's score is made of, for all latents. */
export interface ReasonMeasures {
  scores: Float32Array; // [F]
  inside: Float32Array; // [F] μ⁺, decoder norm folded in
  outside: Float32Array; // [F] μ⁻
  entropy: Float32Array; // [F] H, 0 one group … 1 all alike
  groups: Float32Array; // [F, groups] μ_ir
  rows: { inside: number; outside: number; groups: number[] };
}

/** Sums chunk after chunk. @param groups how many */
export function reasonSums(latents: number, groups: number) {
  const stride = groups + 2; // outside, inside, groups
  const sums = new Float64Array(latents * stride);
  const rows = new Float64Array(stride);
  return {
    /** @param mask of each row; −1: it does not count, as the first and the last token of a text */
    add({ n, k, index, value }: Sparse, mask: Int32Array): void {
      for (let r = 0; r < n; r++) {
        const m = mask[r];
        if (m < 0) continue;
        rows[m ? 1 : 0]++;
        for (let g = 0; g < groups; g++) rows[2 + g] += (m >> g) & 1;
        for (let i = r * k; i < (r + 1) * k; i++) {
          const v = value[i];
          if (!(v > 0)) continue;
          const at = index[i] * stride;
          sums[at + (m ? 1 : 0)] += v;
          for (let g = 0, left = m; left; g++, left >>= 1) if (left & 1) sums[at + 2 + g] += v;
        }
      }
    },
    /** @param norms of the decoder's rows, [latents]; absent: 1 */
    finish(alpha: number, norms?: ArrayLike<number>): ReasonMeasures {
      const mean = (f: number, c: number): number => (rows[c] ? (sums[f * stride + c] / rows[c]) * (norms ? norms[f] : 1) : 0);
      const total = (c: number): number => {
        let sum = 0;
        for (let f = 0; f < latents; f++) sum += mean(f, c);
        return sum;
      };
      const [outsideAll, insideAll] = [total(0), total(1)];
      const out: ReasonMeasures = {
        scores: new Float32Array(latents),
        inside: new Float32Array(latents),
        outside: new Float32Array(latents),
        entropy: new Float32Array(latents),
        groups: new Float32Array(latents * groups),
        rows: { inside: rows[1], outside: rows[0], groups: [...rows.subarray(2)] },
      };
      for (let f = 0; f < latents; f++) {
        let all = 0;
        for (let g = 0; g < groups; g++) all += out.groups[f * groups + g] = mean(f, 2 + g);
        let entropy = 0;
        for (let g = 0; g < groups && all; g++) {
          const p = mean(f, 2 + g) / all;
          if (p > 0) entropy -= (p * Math.log(p)) / Math.log(groups);
        }
        entropy = Math.max(0, entropy);
        [out.inside[f], out.outside[f], out.entropy[f]] = [mean(f, 1), mean(f, 0), entropy];
        out.scores[f] = (insideAll ? (mean(f, 1) / insideAll) * entropy ** alpha : 0) - (outsideAll ? mean(f, 0) / outsideAll : 0);
      }
      return out;
    },
  };
}

/** A latent's score and what it is made of. */
export interface ReasonScored {
  latent: number;
  score: number;
  /** Mean activation within the windows, and outside. */
  inside: number;
  outside: number;
  /** Of the groups' shares, 0 … 1. */
  entropy: number;
  /** Share of each group, largest first; those of 0 left out. */
  groups: Record<string, number>;
}

export interface ReasonView {
  scored: ReasonScored[];
  latents: number;
  rows: ReasonMeasures["rows"];
  groups: string[];
  alpha: number;
  window: WordWindow;
  /** Whether norms of the decoder were given. */
  norms: boolean;
}

export function reasonTable({ scored, latents, rows, groups, alpha, window, norms }: ReasonView): NotedTable {
  const missing = groups.filter((_, g) => !rows.groups[g]);
  const tokens = (n: number): string => n.toLocaleString("en");
  return {
    columns: ["latent", "ReasonScore", "inside", "outside", "entropy", "words"],
    rows: scored.map(({ latent, score, inside, outside, entropy, groups: shares }) => [
      latent, score, inside, outside, entropy,
      Object.entries(shares).slice(0, 4).map(([name, share]) => `${name} ${short(100 * share)} %`).join(", "),
    ]),
    total: latents,
    words: true,
    notes: [
      `${tokens(rows.inside)} tokens lie within ${window[0]} to the left and ${window[1]} to the right of a word of the ${groups.length} groups, ${tokens(rows.outside)} do not; α ${alpha}.` +
        (norms ? "" : " Decoder rows are taken for vectors of length 1: give { decoderNorms } where they are not.") +
        (missing.length ? ` Words that do not occur: ${missing.join(", ")}.` : ""),
      "Inside, outside: mean activation on the tokens of either kind; entropy: of the groups' shares, 0 one group, 1 all alike; words: those shares.",
      "A score says that a latent fires around these words, no more: many such latents fire on the words alone. scoreLabels and falsify tell whether it follows a behaviour.",
    ],
  };
}
