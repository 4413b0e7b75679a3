import { makeHook, allHooks, parseHook, transformerLensName } from "../../src/core/hookname";
import type { Model } from "../../src/core/types";

/**
 * A model that is a formula: one token a UTF-16 unit, rows that depend on token and position within the context alone, so that every row of a store can be foretold.
 * Position 0 is an attention sink (100 × longer), the character § one in the middle of a text (50 × longer).
 */
export const WIDTH = 8;
export const SINK = "§".charCodeAt(0);

export function fakeRow(hook: string, id: number, position: number): Float32Array {
  const row = new Float32Array(WIDTH);
  const scale = position === 0 ? 100 : id === SINK && hook === "layers.1" ? 50 : 1;
  for (let j = 0; j < WIDTH; j++) row[j] = scale * Math.sin((id + 1) * (j + 1) + hook.length + position / 7);
  return row;
}

export interface FakeOptions {
  hash?: string;
  /** Milliseconds a forward pass takes. */
  delay?: number;
  /** Called before each pass with the lengths of its texts; the pass waits for what it returns. */
  onRun?: (lengths: number[]) => unknown;
  /** Token whose rows are not finite. */
  poison?: number;
  /** Token whose rows are beyond float16. */
  huge?: number;
}

export function fakeModel({ hash = "a".repeat(64), delay = 0, onRun, poison, huge }: FakeOptions = {}): Model {
  const layers = 3;
  return {
    source: "fake",
    family: "fake",
    layers,
    width: WIDTH,
    vocabularySize: 2 ** 16,
    tokenizer: {
      vocabularySize: 2 ** 16,
      encode: (text) => ({
        ids: Int32Array.from(text, (_, i) => text.charCodeAt(i)).slice(0, text.length),
        start: Int32Array.from({ length: text.length }, (_, i) => i),
        end: Int32Array.from({ length: text.length }, (_, i) => i + 1),
      }),
      decode: (ids) => String.fromCharCode(...Array.from(ids)),
      bytes: (id) => new TextEncoder().encode(String.fromCharCode(id)),
      isSpecial: () => false,
      chat: (messages, { addGenerationPrompt } = {}) =>
        messages.map(({ role, content }) => `<${role}>${content.trim()}</${role}>`).join("") + (addGenerationPrompt ? "<assistant>" : ""),
    },
    hash: async () => hash,
    hooks: () => allHooks(layers).map((hook) => ({ ...hook, transformerLens: transformerLensName(hook), width: WIDTH, shape: `[tokens, ${WIDTH}]` })),
    hook: (name) => {
      const { kind, layer } = parseHook(name, layers);
      return makeHook(kind, layer);
    },
    async run(texts, { hooks = [] }) {
      const batch = texts as ArrayLike<number>[];
      await onRun?.(batch.map(({ length }) => length));
      if (delay) await new Promise((resolve) => setTimeout(resolve, delay));
      return Object.fromEntries(hooks.map((hook) => {
        const rows = new Float32Array(batch.reduce((sum, { length }) => sum + length, 0) * WIDTH);
        let at = 0;
        for (const ids of batch) {
          for (let position = 0; position < ids.length; position++, at += WIDTH) {
            rows.set(fakeRow(hook, ids[position], position), at);
            if (ids[position] === poison) rows[at + 3] = NaN;
            if (ids[position] === huge) rows[at + 5] = -70_000;
          }
        }
        return [hook, rows];
      }));
    },
    generate: () => { throw new Error("a formula writes nothing"); },
    unembed: async () => { throw new Error("a formula has no head"); },
    describe: () => "a formula",
    close: async () => {},
  };
}

/** Documents of unequal lengths, some longer than a context, from a seed. */
export function fakeDocuments(count: number, seed = 1) {
  let state = seed;
  const next = (below: number) => {
    state = (state * 48271) % 0x7fffffff;
    return state % below;
  };
  return Array.from({ length: count }, (_, i) => ({
    id: `doc ${i}`,
    text: Array.from({ length: 2 + next(60) }, () => (next(40) === 0 ? "§" : String.fromCharCode(97 + next(26)))).join(""),
    spans: [],
  }));
}
