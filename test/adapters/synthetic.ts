import type { Document, Sae, Sparse, Store, Tokenizer, Tokens } from "../../src/core/types";

/**
 * A store and an SAE made in memory, with known contents: every word is a token, and a row is the sum of the directions
 * of what is active there, plus noise. Latent 0 follows the behaviour "backtracking" whatever its words; latent 1 the
 * word " wait"; latent 2 the first tokens of a document; latent 3 the behaviour "deduction"; the rest are words. Latent
 * `latents − 1` never fires.
 */
export interface Synthetic {
  store: Store;
  sae: Sae;
}

const WORDS = [
  "\n",
  " wait",
  " so",
  " the",
  " box",
  " has",
  " 12",
  " 7",
  " pears",
  ".",
  " no",
  " that",
  " gives",
  " 19",
  " check",
  " again",
  " maybe",
  " then",
  " Ann",
  " is",
  " older",
  "<think>",
  " é",
  " $x$",
  " <b>",
  " &",
  " 日本",
  " back",
  " total",
  " we",
];

export const words = WORDS;

/** Numbers in [0, 1) from a seed (a linear congruence: tests need no better). */
export function numbers(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

export function synthetic({
  documents = 40,
  sentences = 12,
  length = 9,
  d = 32,
  latents = 32,
  k = 6,
  seed = 1,
} = {}): Synthetic {
  const random = numbers(seed);
  const below = (n: number): number => Math.floor(random() * n);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const directions = Array.from({ length: latents }, () => {
    const v = Array.from({ length: d }, normal);
    const norm = Math.hypot(...v);
    return v.map((x) => x / norm);
  });
  const texts: Document[] = [];
  const tokens: Tokens[] = [];
  const rows: number[][] = [];
  const origin = { document: [] as number[], position: [] as number[], token: [] as number[] };
  for (let document = 0; document < documents; document++) {
    let text = "";
    const spans: Document["spans"] = [];
    const ids: number[] = [];
    const start: number[] = [];
    const end: number[] = [];
    for (let s = 0; s < sentences; s++) {
      const label = ["backtracking", "deduction", "initializing", "deduction"][below(4)];
      const from = text.length;
      const many = length + below(4);
      for (let w = 0; w < many; w++) {
        // " wait" is a little more common where there is backtracking: a keyword, and no perfect one
        const word =
          w === many - 1
            ? 9
            : w === 1 && random() < (label === "backtracking" ? 0.5 : 0.25)
              ? 1
              : 2 + below(WORDS.length - 2);
        const position = ids.length;
        ids.push(word);
        start.push(text.length);
        text += WORDS[word];
        end.push(text.length);
        if (position === 0) continue; // dropped, as a sink is
        const x = Array.from({ length: d }, () => 0.1 * normal());
        const put = (latent: number, strength: number): void =>
          directions[latent].forEach((v, i) => (x[i] += strength * v));
        if (label === "backtracking" && w >= 2 && random() < 0.7) put(0, 3 + random());
        if (label === "deduction" && w >= 1 && random() < 0.4) put(3, 2 + random());
        if (word === 1) put(1, 5 + random());
        if (position < 20) put(2, 2);
        if (4 + word < latents - 1) put(4 + word, 1.5 + 0.5 * random());
        rows.push(x);
        origin.document.push(document);
        origin.position.push(position);
        origin.token.push(word);
      }
      spans.push({ start: from, end: text.length, label });
    }
    texts.push({ id: `doc-${document}`, text, spans, split: document % 4 === 3 ? "heldout" : "train" });
    tokens.push({ ids: Int32Array.from(ids), start: Int32Array.from(start), end: Int32Array.from(end) });
  }
  const flat = Float32Array.from(rows.flat());
  const tokenizer: Tokenizer = {
    vocabularySize: WORDS.length,
    encode: () => tokens[0],
    decode: (ids) => Array.from(ids, (id) => WORDS[id]).join(""),
    bytes: (id) => new TextEncoder().encode(WORDS[id]),
    isSpecial: () => false,
    chat: (messages) => messages.map(({ content }) => content).join(""),
  };
  const store: Store = {
    path: "synthetic",
    manifest: {
      format: "saelab-store",
      version: 1,
      model: { source: "synthetic", family: "none", sha256: "m" },
      texts: { documents, tokens: tokens.reduce((sum, { ids }) => sum + ids.length, 0), sha256: "t" },
      hooks: [{ name: "layers.1", kind: "resid_post", layer: 1, width: d }],
      dtype: "F32",
      rows: rows.length,
      shards: [],
      dropped: { first: documents, norm: 0 },
      settings: {},
    },
    rows: rows.length,
    hook: () => "layers.1",
    width: () => d,
    documents: () => texts,
    tokens: (document) => tokens[document],
    origin: (from, to) => ({
      document: Int32Array.from(origin.document.slice(from, to)),
      position: Int32Array.from(origin.position.slice(from, to)),
      token: Int32Array.from(origin.token.slice(from, to)),
    }),
    read: (_, from, to) => flat.slice(from * d, to * d),
    documentRows: () => {
      const first = new Int32Array(documents + 1);
      for (const document of origin.document) first[document + 1]++;
      for (let i = 0; i < documents; i++) first[i + 1] += first[i];
      return first;
    },
    tokenizer,
    close: () => {},
  };
  const wEnc = Float32Array.from(directions.flat());
  const bEnc = new Float32Array(latents).fill(-1);
  bEnc[latents - 1] = -100;
  const sae: Sae = {
    weights: { d, latents, k, wEnc, bEnc, wDec: wEnc, bDec: new Float32Array(d) },
    hook: "layers.1",
    card: {},
    encode: (x) => encodePlainly(x, wEnc, bEnc, d, latents, k),
    decode: () => new Float32Array(0),
    reconstruct: () => new Float32Array(0),
    save: async () => {},
  };
  return { store, sae };
}

/** TopK(ReLU(W x + b)) by sorting everything: slow and plain. */
function encodePlainly(x: Float32Array, w: Float32Array, b: Float32Array, d: number, latents: number, k: number): Sparse {
  const n = x.length / d;
  const out: Sparse = { n, k, index: new Int32Array(n * k), value: new Float32Array(n * k) };
  for (let r = 0; r < n; r++) {
    const all = Array.from({ length: latents }, (_, f) => {
      let sum = b[f];
      for (let i = 0; i < d; i++) sum += w[f * d + i] * x[r * d + i];
      return { f, v: Math.fround(Math.max(0, sum)) };
    }).sort((p, q) => q.v - p.v || p.f - q.f);
    for (let j = 0; j < k; j++) {
      out.index[r * k + j] = all[j].f;
      out.value[r * k + j] = all[j].v;
    }
  }
  return out;
}
