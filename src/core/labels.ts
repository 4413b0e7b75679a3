import type { TokenLogit } from "./heatmap";
import { DENSE } from "./measure";
import { visible } from "./token";

/**
 * What statistics alone say of a latent, in a few words: which tokens it fires on, where, what it makes likelier. It is a description of where it fires, no
 * claim of what it means.
 */

export interface LabelFacts {
  density: number;
  /** Bits, of the tokens' shares of the activation mass. */
  entropy: number;
  triggers: { text: string; mean: number }[];
  tokenShares: { text: string; share: number }[];
  /** Share of the firings within the first five tokens of a document, and firings in all. */
  early: number;
  fired: number;
  /** Documents on which it fires. */
  documents: number;
  logits?: { top: TokenLogit[] };
}

export interface Suggestion {
  label: string;
  /** The numbers behind it. */
  why: string;
}

const MOST = 4; // words named
const COVER = 0.75; // of the activation mass: enough to be named by these words alone
const LEAST = 5; // firings fewer than which say nothing

const percent = (share: number): string => `${Math.round(100 * share)} %`;

/** Spaces before and after, and capitals, make no other word. */
const plain = (text: string): string => text.trim().toLowerCase();

const shown = (text: string): string => `“${visible(text.trim() || text)}”`;

type Kind = "number" | "line break" | "space" | "punctuation" | "piece" | "word";

function kindOf(text: string): Kind {
  if (/^\s*$/.test(text)) return /[\n\r]/.test(text) ? "line break" : "space";
  if (/^\s*[+-]?[\d.,]*\d[\d.,]*\s*$/.test(text)) return "number";
  if (/^[\p{P}\p{S}\s]+$/u.test(text)) return "punctuation";
  return /‹[0-9A-F]{2}/.test(text) ? "piece" : "word";
}

const PLURAL: Record<Kind, string> = { number: "numbers", "line break": "line breaks", space: "spaces", punctuation: "punctuation", piece: "parts of characters", word: "words" };

/** Texts with their shares, those that are one word to a reader put together, larger first. */
function merged(tokenShares: LabelFacts["tokenShares"]): { text: string; share: number }[] {
  const by = new Map<string, { text: string; share: number }>();
  for (const { text, share } of tokenShares) {
    const name = plain(text) || text;
    const held = by.get(name);
    if (held) held.share += share;
    else by.set(name, { text, share });
  }
  return [...by.values()].sort((a, b) => b.share - a.share);
}

const several = (texts: string[]): string => (texts.length > 1 ? `${texts.slice(0, -1).map(shown).join(", ")} or ${shown(texts.at(-1)!)}` : shown(texts[0]));

/** @returns nothing for a latent that fires too rarely to be described */
export function suggestLabel(facts: LabelFacts): Suggestion | undefined {
  const { density, entropy, triggers, early, fired, documents, logits } = facts;
  if (fired < LEAST) return undefined;
  const places = `${fired.toLocaleString("en")} firings in ${documents.toLocaleString("en")} ${documents === 1 ? "document" : "documents"}`;
  if (early >= 0.8) return { label: "the first tokens of a text", why: `${percent(early)} of ${places} are among the first five tokens` };
  const shares = merged(facts.tokenShares);
  const bits = `${entropy.toFixed(1)} bits`;
  let sum = 0;
  const covering: typeof shares = [];
  for (const one of shares) {
    if (sum >= COVER || covering.length === MOST) break;
    covering.push(one);
    sum += one.share;
  }
  const kinds = new Map<Kind, number>();
  for (const { text, share } of shares) kinds.set(kindOf(text), (kinds.get(kindOf(text)) ?? 0) + share);
  const known = shares.reduce((all, { share }) => all + share, 0);
  const [kind, ofKind] = [...kinds].sort((a, b) => b[1] - a[1])[0] ?? (["word", 0] as const);
  if (density > DENSE) {
    const most = covering.slice(0, 2).map(({ text }) => text);
    return { label: `dense: many tokens${most.length ? `, most ${several(most)}` : ""}`, why: `fires on ${percent(density)} of the rows; ${bits}` };
  }
  if (sum >= COVER) {
    const all = covering.map(({ text }) => text);
    const same = covering.length > 2 && kind !== "word" && covering.every(({ text }) => kindOf(text) === kind);
    return { label: same ? `${PLURAL[kind]}, such as ${several(all.slice(0, 2))}` : several(all), why: `${percent(sum)} of the activation mass; ${places}` };
  }
  if (kind !== "word" && known > 0.2 && ofKind / known > 0.9) {
    const some = shares.map(({ text }) => text).filter((text) => kindOf(text) === kind).slice(0, 2);
    return { label: `${PLURAL[kind]}, such as ${several(some)}`, why: `${percent(ofKind / known)} of the largest shares, which are ${percent(known)} of the mass; ${bits}` };
  }
  const strongest = merged(triggers.map(({ text, mean }) => ({ text, share: mean }))).slice(0, 3).map(({ text }) => text);
  const named = strongest.length ? strongest : covering.slice(0, 3).map(({ text }) => text);
  const next = logits?.top.slice(0, 2).map(({ text }) => text) ?? [];
  if (!named.length) return { label: "many tokens", why: `${bits}; ${places}` };
  return {
    label: `${entropy >= 5 ? "many tokens" : "some tokens"}, strongest ${several(named)}${next.length ? `; before ${several(next)}` : ""}`,
    why: `${bits}; the largest shares are ${percent(sum)} of the mass; ${places}`,
  };
}
