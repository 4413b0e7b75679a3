import { saeOf } from "../../src/adapters/saevalue";
import { allHooks, makeHook, parseHook, transformerLensName } from "../../src/core/hookname";
import { random } from "../../src/core/random";
import type { Document, Model, Sae, Store, Tokenizer, Tokens } from "../../src/core/types";

/**
 * A model that is a formula, and an SAE whose latents do what is written here and nothing else: what falsify has to find out. A word is a
 * token; the row of a token is the sum of the directions of the latents that are active there, of its word's direction, and of noise.
 *
 * Sentences are labelled. Those of "backtracking" begin with " wait", " hmm" and " let me" more often than others; most of them stand in documents
 * that begin with "<proof>", whose words are of one topic. Those of "weaving" go on with words of two classes in turn, where others have the same
 * words in any order. The first sentence of a document is "initializing". Half of all sentences have no word of a third class: "calm". A few are "rare".
 */
export const PLANTED = {
  token: 0, // fires on " wait"
  after: 1, // on the token after " hmm", whatever it is
  pair: 2, // on " me" after " let", on neither alone
  position: 3, // on the first 20 tokens of a text
  context: 4, // here and there in any text that begins with "<proof>"
  noise: 5, // here and there
  order: 6, // where the last six words alternate between the classes: it needs the sentence, and nothing else
  topic: 7, // where six of the last nine words are of the topic
  calm: 8, // where no word of the third class has come within the last twenty
} as const;

const OWN = 9;
const [WAIT, HMM, LET, ME, STOP, PROOF] = [0, 1, 2, 3, 4, 5];
const NAMES = "bdfgklmnprstvz";
const named = (count: number, vowel: string): string[] => Array.from({ length: count }, (_, i) => ` ${NAMES[i % 14]}${vowel}${NAMES[(i * 5 + Math.floor(i / 14)) % 14]}${vowel}`);
const [A, B, LOUD] = [named(24, "a"), named(24, "e"), named(8, "u")];
const WORDS = [" wait", " hmm", " let", " me", ".", "<proof>", ...A, ...B, ...LOUD];
const FIRST_A = 6, FIRST_B = FIRST_A + A.length, FIRST_LOUD = FIRST_B + B.length;
const TOPIC = 6; // words of each class that are of the topic
const D = 96;

const classOf = (id: number): number => (id >= FIRST_A && id < FIRST_B ? 1 : id >= FIRST_B && id < FIRST_LOUD ? 2 : 0);
const ofTopic = (id: number): boolean => classOf(id) > 0 && (id - (classOf(id) === 1 ? FIRST_A : FIRST_B)) < TOPIC;
/** Some number of a token and its neighbours, below n. */
const hash = (ids: ArrayLike<number>, t: number, salt: number, n: number): number => {
  let h = salt * 7919 + t * 31;
  for (let j = Math.max(0, t - 2); j <= t; j++) h = Math.imul(h ^ (ids[j] + 1), 0x9e3779b1) ^ (h >>> 13);
  return (h >>> 8) % n;
};

/** How strongly each planted latent is active at a token: it sees what came before only, as in a model. */
function active(ids: ArrayLike<number>, t: number): number[] {
  const last = (many: number): number[] => Array.from({ length: Math.min(many, t + 1) }, (_, j) => ids[t - j]);
  const strength = new Array<number>(OWN).fill(0);
  if (ids[t] === WAIT) strength[PLANTED.token] = 6;
  if (t > 0 && ids[t - 1] === HMM) strength[PLANTED.after] = 6;
  if (t > 0 && ids[t - 1] === LET && ids[t] === ME) strength[PLANTED.pair] = 6;
  if (t < 20) strength[PLANTED.position] = 4;
  if (ids[0] === PROOF && hash(ids, t, 3, 3)) strength[PLANTED.context] = 4;
  if (hash(ids, t, 5, 4) === 0) strength[PLANTED.noise] = 4;
  const six = last(6).map(classOf);
  if (six.length === 6 && six.every((one, j) => one > 0 && (j === 0 || one !== six[j - 1]))) strength[PLANTED.order] = 6;
  if (last(9).filter(ofTopic).length >= 6) strength[PLANTED.topic] = 4;
  if (!last(20).some((id) => id >= FIRST_LOUD)) strength[PLANTED.calm] = 4;
  return strength;
}

const directions = ((): Float32Array[] => {
  const rng = random(11);
  const made: Float32Array[] = [];
  for (let i = 0; i < OWN + WORDS.length; i++) {
    let v = Float32Array.from({ length: D }, () => rng.normal());
    // at right angles to all before: a latent sees nothing of another
    for (const other of made) {
      const along = v.reduce((sum, x, j) => sum + x * other[j], 0);
      v = v.map((x, j) => x - along * other[j]);
    }
    const norm = Math.hypot(...v);
    made.push(v.map((x) => x / norm));
  }
  return made;
})();

function rowsOf(ids: ArrayLike<number>): Float32Array {
  const rows = new Float32Array(ids.length * D);
  for (let t = 0; t < ids.length; t++) {
    const put = (latent: number, by: number): void => directions[latent].forEach((v, i) => (rows[t * D + i] += by * v));
    active(ids, t).forEach((by, latent) => by && put(latent, by + hash(ids, t, latent, 100) / 100));
    put(OWN + ids[t], 5 + hash(ids, t, 71, 100) / 50);
    for (let i = 0; i < D; i++) rows[t * D + i] += (hash(ids, t, 100 + i, 1000) / 1000 - 0.5) * 0.4;
  }
  return rows;
}

const tokenizer: Tokenizer = {
  vocabularySize: WORDS.length,
  encode(text): Tokens {
    const found = [...text.matchAll(/<proof>|\.| ?[^\s.<]+|\s/g)];
    return {
      ids: Int32Array.from(found, ([word]) => {
        const id = WORDS.indexOf(word.startsWith(" ") || word === "." || word === "<proof>" ? word : ` ${word}`);
        return id >= 0 ? id : FIRST_A + ([...word].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 7) % (A.length + B.length)); // words of ordinary text are of any class
      }),
      start: Int32Array.from(found, ({ index }) => index),
      end: Int32Array.from(found, ({ index, 0: word }) => index + word.length),
    };
  },
  decode: (ids) => Array.from(ids, (id) => WORDS[id]).join(""),
  bytes: (id) => new TextEncoder().encode(WORDS[id]),
  isSpecial: () => false,
  chat: () => "",
};

/** A text in other words: each of the two classes by the next one of its class, the words that give labels away left out. */
export const reworded = (text: string): string =>
  text.replace(/ (?:wait|hmm)/g, "").replace(/ \w[ae]\w[ae]/g, (word) => {
    const words = A.includes(word) ? A : B;
    return words[(words.indexOf(word) + 1) % words.length];
  });

const HASH = "p".repeat(64);

export function plantedModel(): Model & { read: { texts: number; tokens: number } } {
  const layers = 2;
  const read = { texts: 0, tokens: 0 };
  return {
    source: "planted", family: "planted", layers, width: D, vocabularySize: WORDS.length, context: 512, tokenizer, read,
    hash: async () => HASH,
    hooks: () => allHooks(layers).map((hook) => ({ ...hook, transformerLens: transformerLensName(hook), width: D, shape: `[tokens, ${D}]` })),
    hook: (name) => {
      const { kind, layer } = parseHook(name, layers);
      return makeHook(kind, layer);
    },
    async run(texts, { hooks = [] }) {
      const batch = texts as ArrayLike<number>[];
      read.texts += batch.length;
      const parts = batch.map(rowsOf);
      const rows = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const part of parts) {
        rows.set(part, at);
        at += part.length;
      }
      read.tokens += rows.length / D;
      return Object.fromEntries(hooks.map((hook) => [hook, rows.slice()]));
    },
    generate: () => { throw new Error("a formula writes nothing"); },
    unembed: async () => { throw new Error("a formula has no head"); },
    describe: () => "a formula",
    close: async () => {},
  };
}

/**
 * @param kind "topk", or "jumprelu", of which latents can be computed alone
 * @param other another SAE: its latents stand in the opposite order, a little off, and it has none for " wait"
 */
export function plantedSae(kind: "topk" | "jumprelu" = "topk", other = false): Sae {
  const latents = directions.length;
  const rng = random(5);
  const wEnc = Float32Array.from((other ? directions.toReversed() : directions).flatMap((row) => [...row]));
  if (other) for (let i = 0; i < wEnc.length; i++) wEnc[i] = i >= (latents - 1) * D ? 0.1 * rng.normal() : wEnc[i] + 0.02 * rng.normal();
  const weights = { d: D, latents, k: kind === "topk" ? 8 : latents, wEnc, bEnc: new Float32Array(latents).fill(-2), wDec: wEnc, bDec: new Float32Array(D) };
  return saeOf(kind === "topk" ? weights : { ...weights, kind, threshold: new Float32Array(latents).fill(0.5) }, { hook: "layers.1" });
}

/** A store in memory of labelled documents as that model reads them; every fourth is held out. */
export function plantedStore({ documents: many = 240, sentences = 8, seed = 3 } = {}): Store {
  const rng = random(seed);
  const below = (n: number): number => rng.below(n);
  const chance = (p: number): boolean => rng.uniform() < p;
  const documents: Document[] = [];
  const tokens: Tokens[] = [];
  const rows: Float32Array[] = [];
  const origin = { document: [] as number[], position: [] as number[], token: [] as number[] };
  for (let d = 0; d < many; d++) {
    const proof = chance(0.4);
    const ids: number[] = proof ? [PROOF] : [FIRST_A];
    const spans: { from: number; to: number; label: string }[] = [];
    for (let s = 0; s < sentences; s++) {
      const from = ids.length;
      const is = chance(proof ? 0.55 : 0.1);
      const word = (which: number): number => (which === 1 ? FIRST_A : FIRST_B) + (proof && chance(0.6) ? below(TOPIC) : below(A.length));
      const any = (): number => word(1 + below(2));
      const loud = chance(0.5);
      if (loud) ids.push(FIRST_LOUD + below(LOUD.length));
      if (chance(is ? 0.75 : 0.15)) ids.push(WAIT);
      if (chance(is ? 0.75 : 0.15)) ids.push(HMM, any());
      if (chance(is ? 0.75 : 0.1)) ids.push(LET, ME);
      else ids.push(...(chance(0.5) ? [LET, any(), ME] : [ME, any(), LET])); // both words, apart
      if (chance(0.3)) ids.push(any());
      let turn = 1 + below(2);
      const weaves = chance(0.4);
      const alternates = weaves !== chance(0.03);
      for (let w = 0; w < 12; w++) {
        // a run of four of one class in other sentences: no six of them alternate by accident
        ids.push(alternates ? word((turn = 3 - turn)) : w % 4 === 1 ? ids.at(-1)! : any());
      }
      ids.push(STOP);
      const put = (label: string): void => void spans.push({ from, to: ids.length, label });
      put(is ? "backtracking" : "deduction");
      if (weaves) put("weaving");
      if (s === 0 ? chance(0.9) : chance(0.03)) put("initializing");
      if (!loud) put("calm");
      if (chance(0.02)) put("rare");
    }
    const [start, end]: number[][] = [[], []];
    let text = "";
    for (const id of ids) {
      start.push(text.length);
      text += WORDS[id];
      end.push(text.length);
    }
    documents.push({ id: `doc ${d}`, text, spans: spans.map(({ from, to, label }) => ({ start: start[from], end: end[to - 1], label })), split: d % 4 === 3 ? "heldout" : "train" });
    tokens.push({ ids: Int32Array.from(ids), start: Int32Array.from(start), end: Int32Array.from(end) });
    rows.push(rowsOf(ids).subarray(D)); // the first token is dropped, as a sink is
    for (let t = 1; t < ids.length; t++) {
      origin.document.push(d);
      origin.position.push(t);
      origin.token.push(ids[t]);
    }
  }
  const n = origin.token.length;
  const flat = new Float32Array(n * D);
  const first = new Int32Array(many + 1);
  rows.forEach((part, d) => {
    flat.set(part, first[d] * D);
    first[d + 1] = first[d] + part.length / D;
  });
  return {
    path: "planted",
    rows: n,
    manifest: {
      format: "saelab-store", version: 1, model: { source: "planted", family: "planted", sha256: HASH },
      texts: { documents: many, tokens: n + many, sha256: "t" }, hooks: [{ name: "layers.1", kind: "resid_post", layer: 1, width: D }],
      dtype: "F32", rows: n, shards: [], dropped: { first: many, norm: 0 }, settings: { context: 512, dropFirst: true, dropNorm: 10 },
    },
    hook: () => "layers.1",
    width: () => D,
    documents: () => documents,
    tokens: (document) => tokens[document],
    origin: (from, to) => ({ document: Int32Array.from(origin.document.slice(from, to)), position: Int32Array.from(origin.position.slice(from, to)), token: Int32Array.from(origin.token.slice(from, to)) }),
    read: (_, from, to) => flat.slice(from * D, to * D),
    documentRows: () => first,
    tokenizer,
    close: () => {},
  };
}
