import type { NotedTable } from "./noted";
import type { Sparse } from "./types";

/**
 * Latents by prompt: in how many texts one fires, in how many it is among the strongest, and whether it follows a few tokens or many. The
 * first things that a study of reasoning features counts, before any label.
 */

/** How a latent's activation lies over tokens. */
export type PromptSpread = "few tokens" | "many tokens" | "between";

/** What counts as few: both must hold; as many: neither. */
export interface FewTokens {
  bits: number; // entropy of the tokens' shares of the activation mass, at most
  tokens: number; // different tokens among the 100 strongest firings, at most
}

export const spreadOf = (entropy: number, distinct: number, { bits, tokens }: FewTokens): PromptSpread =>
  entropy <= bits && distinct <= tokens ? "few tokens" : entropy > bits && distinct > tokens ? "many tokens" : "between";

export interface PromptCounts {
  documents: number;
  prompts: Int32Array; // [F] documents in which it fires
  topIn: Int32Array; // [F] documents in which its maximum is among the largest
}

/**
 * Counts chunk after chunk; rows of a document follow each other.
 * @param most how many latents are the strongest of a document; ties go to the smaller index
 */
export function promptCounts(latents: number, most: number) {
  const counts: PromptCounts = { documents: 0, prompts: new Int32Array(latents), topIn: new Int32Array(latents) };
  const max = new Float32Array(latents); // in the document at hand
  let seen = new Int32Array(1024);
  let many = 0;
  let held = -1;
  const flush = (): void => {
    if (held < 0) return;
    counts.documents++;
    const best: number[] = [];
    const before = (f: number, g: number): boolean => max[f] > max[g] || (max[f] === max[g] && f < g);
    for (let i = 0; i < many; i++) {
      const f = seen[i];
      counts.prompts[f]++;
      if (best.length === most && !before(f, best[most - 1])) continue;
      let at = best.length;
      while (at > 0 && before(f, best[at - 1])) at--;
      best.splice(at, 0, f);
      if (best.length > most) best.pop();
    }
    for (const f of best) counts.topIn[f]++;
    for (let i = 0; i < many; i++) max[seen[i]] = 0;
    many = 0;
  };
  return {
    add({ n, k, index, value }: Sparse, document: Int32Array): void {
      for (let r = 0; r < n; r++) {
        if (document[r] !== held) {
          flush();
          held = document[r];
        }
        for (let i = r * k; i < (r + 1) * k; i++) {
          const [f, v] = [index[i], value[i]];
          if (!(v > 0)) continue;
          if (max[f] === 0) {
            if (many === seen.length) {
              const longer = new Int32Array(2 * many);
              longer.set(seen);
              seen = longer;
            }
            seen[many++] = f;
          }
          if (v > max[f]) max[f] = v;
        }
      }
    },
    finish(): PromptCounts {
      flush();
      held = -1;
      return counts;
    },
  };
}

/** A latent's counts. */
export interface PromptFeature {
  latent: number;
  max: number;
  prompts: number;
  topIn: number;
  entropy: number;
  distinctTokens: number;
  spread: PromptSpread;
  tokens: string;
}

export interface PromptView {
  features: PromptFeature[];
  /** Latents that fire, of each spread. */
  spreads: Record<PromptSpread, number>;
  documents: number;
  most: number;
  few: FewTokens;
  by: string;
}

export function promptTable({ features, spreads, documents, most, few, by }: PromptView): NotedTable {
  const alive = Object.values(spreads).reduce((a, b) => a + b, 0);
  return {
    columns: ["latent", "max", "prompts", `top ${most} in`, "entropy", "distinct", "spread", "tokens"],
    rows: features.map((one) => [one.latent, one.max, one.prompts, one.topIn, one.entropy, one.distinctTokens, one.spread, one.tokens]),
    total: alive,
    notes: [
      `Latents by ${by}, of ${alive.toLocaleString("en")} that fire in ${documents.toLocaleString("en")} prompts. Prompts: those in which one fires; top ${most} in: those in which its maximum is among the ${most} largest; entropy: bits, of its tokens' shares of its activation.`,
      `Few tokens: at most ${few.bits} bits and ${few.tokens} different tokens among the 100 strongest firings (${spreads["few tokens"].toLocaleString("en")} latents); many tokens: more of both (${spreads["many tokens"].toLocaleString("en")}); the others lie between (${spreads.between.toLocaleString("en")}).`,
    ],
  };
}
