import { OptionError } from "../core/errors";
import { share, type Injection, type Rate } from "../core/falsify";
import { BEFORE, pasted, TRIGGER_KINDS, type Sequence, type Trigger, type TriggerKind } from "../core/injection";
import { permutation, random, sample } from "../core/random";
import type { Pooling } from "../core/score";
import type { Model, Sae } from "../core/types";
import { pooled } from "./inplace";
import { positives, type Labelled } from "./labelled";
import { latentValues, type ReadOptions } from "./latentrows";
import { MOVED, type Ordinary } from "./ordinary";

/** The changed texts that a model reads for falsify, and what latents do on them. */

const PLACES = 40; // in ordinary text, where tokens are pasted
const PASTES = 40; // of each kind, shared by its triggers: the interval of 1 in 3 then ends at a half
const REPHRASED = 40; // sentences of the label, and as many others, that are paraphrased
const MOST = 128; // tokens of a sentence that are moved

export interface TestPlan {
  labelled: Labelled;
  ordinary: Ordinary;
  /** Of each latent. */
  triggers: Record<TriggerKind, Trigger[]>[];
  sentences: number;
  seed: number;
  model: Model;
  paraphrase?: (texts: string[]) => Promise<string[]>;
}

export interface TestTexts {
  ordinary: Sequence[];
  /** Ordinary text is cut into stretches of so many tokens: the median length of the label's training sentences. */
  stretch: number;
  none: Sequence[];
  random: Sequence[][]; // one, two, three tokens
  triggers: Record<TriggerKind, Trigger[]>[];
  /** By the trigger's tokens and their number: latents that share one share its texts. */
  pasted: Map<string, Sequence[]>;
  /** Held-out sentences that are moved: numbers among those of the test side, the label's first. */
  chosen: Int32Array;
  moved: Sequence[];
  shuffled: Sequence[];
  rephrased?: { chosen: Int32Array; texts: Sequence[] };
  tokens: number;
}

/** Makes the texts. @throws OptionError when paraphrases are not as many texts as were asked for */
export async function chosenTexts({ labelled, ordinary, triggers, sentences: most, seed, model, paraphrase }: TestPlan): Promise<TestTexts> {
  const { documents, tokenIds, sentences, test, train } = labelled;
  const places = ordinary.places(BEFORE, PLACES, random(seed, 11));
  const lengths = [...train.of].filter((_, u) => train.mask[u] & 1).map((s) => sentences.tokens[s]).sort((a, b) => a - b);
  const stretch = Math.max(5, lengths[lengths.length >> 1] ?? 5);

  const rng = random(seed, 12);
  const drawn = (): number => {
    for (;;) {
      const ids = tokenIds[sentences.document[train.of[rng.below(train.of.length)]]];
      const id = ids[rng.below(ids.length)];
      if (!model.tokenizer.isSpecial(id)) return id;
    }
  };
  const none = places.map((place) => pasted(place, [], 3));
  const randoms = [1, 2, 3].map((length) => places.map((place) => pasted(place, Array.from({ length }, drawn))));
  const bySame = new Map<string, Sequence[]>();
  for (const kinds of triggers) for (const kind of TRIGGER_KINDS) for (const { tokens } of kinds[kind]) {
    const each = pastesOf(kinds[kind]);
    const key = keyOf(tokens, each);
    const first = tokens.reduce((at, id) => (31 * at + id) % places.length, 0); // the same places whatever other latents are asked for
    if (!bySame.has(key)) bySame.set(key, Array.from({ length: each }, (_, i) => pasted(places[(first + i) % places.length], tokens)));
  }

  const chosen = chosenSentences(labelled, most, seed);
  const before = ordinary.places(MOVED, chosen.length, random(seed, 13));
  const longest = Math.min(MOST, (model.context ?? Infinity) - ordinary.lead - MOVED);
  const order = random(seed, 14);
  const [moved, shuffled]: Sequence[][] = [[], []];
  chosen.forEach((u, i) => {
    const ids = sentenceTokens(labelled, test.of[u]).subarray(0, longest);
    const put = (tokens: Int32Array): Sequence => ({ ids: Int32Array.of(...before[i].before, ...tokens), from: before[i].before.length, to: before[i].before.length + tokens.length });
    moved.push(put(ids));
    shuffled.push(put(Int32Array.from(permutation(ids.length, order), (at) => ids[at])));
  });

  const texts: Omit<TestTexts, "tokens"> = {
    ordinary: ordinary.contexts.map((ids) => ({ ids, from: Math.max(1, ordinary.lead), to: ids.length })).filter(({ from, to }) => from < to),
    stretch, none, random: randoms, triggers, pasted: bySame, chosen, moved, shuffled,
  };
  if (paraphrase) {
    const some = chosenSentences(labelled, Math.min(REPHRASED, most), seed);
    const spans = Array.from(some, (u) => ({ document: sentences.document[test.of[u]], start: sentences.start[test.of[u]], end: sentences.end[test.of[u]] }));
    const asked = spans.map(({ document, start, end }) => documents[document].text.slice(start, end));
    const answer: unknown = await paraphrase(asked);
    if (!Array.isArray(answer) || answer.length !== asked.length || answer.some((text) => typeof text !== "string" || !text.trim()))
      throw new OptionError(`falsify: paraphrase: expected ${asked.length} texts, one for each that was asked for and none empty, found ${Array.isArray(answer) ? answer.length : typeof answer}. Return the text itself where there is no other wording.`);
    texts.rephrased = { chosen: some, texts: spans.map(({ document, start }, i) => rephrased(model, documents[document].text.slice(0, start), /^\s*/.exec(asked[i])![0] + (answer[i] as string).trim())) };
  }
  const all = listed(texts);
  return { ...texts, tokens: all.reduce((sum, { ids }) => sum + ids.length, 0) };
}

/** Pastes of one trigger among all of a kind; more than there are places would be the same again. */
const pastesOf = (triggers: Trigger[]): number => Math.min(PLACES, Math.ceil(PASTES / triggers.length));
const keyOf = (tokens: number[], each: number): string => `${tokens.join()} × ${each}`;

/** Held-out sentences of the label, then others; at most so many each, at random. */
function chosenSentences({ test }: Labelled, most: number, seed: number): Int32Array {
  const positive = positives({ ...test }, 0);
  return Int32Array.from([1, 0].flatMap((side) => {
    const all = [...positive.keys()].filter((u) => positive[u] === side);
    return Array.from(sample(all.length, most, random(seed, 15 + side)), (i) => all[i]);
  }));
}

function sentenceTokens({ sentences, tokenIds }: Labelled, sentence: number): Int32Array {
  const document = sentences.document[sentence];
  const of = sentences.ofToken[document];
  const ids: number[] = [];
  for (let t = sentences.first[sentence]; t < of.length && ids.length < sentences.tokens[sentence]; t++) if (of[t] === sentence) ids.push(tokenIds[document][t]);
  return Int32Array.from(ids);
}

/** Other words behind the text that stands before the sentence, as much of it as the model reads. */
function rephrased(model: Model, before: string, words: string): Sequence {
  const { ids, start, end } = model.tokenizer.encode(before + words);
  let from = ids.length - 1;
  while (from > 0 && start[from - 1] >= before.length && end[from - 1] > start[from - 1]) from--;
  const cut = Math.max(0, ids.length - Math.min(512, model.context ?? Infinity));
  const kept = Math.max(1, from - cut);
  return { ids: ids.slice(cut), from: kept, to: ids.length - cut };
}

const listed = ({ ordinary, none, random: randoms, pasted: bySame, moved, shuffled, rephrased: other }: Omit<TestTexts, "tokens">): Sequence[] => [
  ...ordinary, ...none, ...randoms.flat(), ...[...bySame.values()].flat(), ...moved, ...shuffled, ...(other?.texts ?? []),
];

/** What one latent does on the texts. */
export interface TestsRead {
  kinds: { kind: TriggerKind; rate: Rate; triggers: (Trigger & { rate: Rate })[] }[];
  none: Injection["none"];
  random: Injection["random"];
  /** Pooled, in the order of the texts. */
  moved: Float32Array;
  shuffled: Float32Array;
  rephrased?: Float32Array;
  ordinary: { tokens: Rate; stretches: { score: number; position: number; context: number; fired: boolean }[] };
}

/** Lets the model read all of them once. @param thresholds of each latent, from which on it fires */
export async function readTests(
  texts: TestTexts, { model, sae, latents, poolings, thresholds, ...options }: ReadOptions & { model: Model; sae: Sae; latents: number[]; poolings: Pooling[]; thresholds: number[] },
): Promise<{ latents: TestsRead[] }> {
  const all = listed(texts);
  const number = new Map(all.map((sequence, i) => [sequence, i]));
  const L = latents.length;
  const fired = all.map(() => new Uint8Array(L)); // of each text, by latent
  const scores = new Map([...texts.moved, ...texts.shuffled, ...(texts.rephrased?.texts ?? [])].map((one) => [one, new Float32Array(L)]));
  const ordinary = latents.map((): TestsRead["ordinary"] => ({ tokens: { fired: 0, of: 0 }, stretches: [] }));
  const isOrdinary = texts.ordinary.length; // those come first
  await latentValues(model, sae, latents, all, options, (sequence, values) => {
    const n = values.length / L;
    const score = scores.get(all[sequence]);
    for (let l = 0; l < L; l++) {
      const own = Float32Array.from({ length: n }, (_, t) => values[t * L + l]);
      if (pooled(own, "max") >= thresholds[l]) fired[sequence][l] = 1;
      if (score) score[l] = pooled(own, poolings[l]);
      if (sequence >= isOrdinary) continue;
      const { tokens, stretches } = ordinary[l];
      for (const value of own) {
        if (Number.isNaN(value)) continue;
        tokens.of++;
        if (value >= thresholds[l]) tokens.fired++;
      }
      for (let from = 0; from + texts.stretch <= n || (from === 0 && n > 0); from += texts.stretch) {
        const part = own.subarray(from, from + texts.stretch);
        stretches.push({ score: pooled(part, poolings[l]), position: texts.ordinary[sequence].from + from, context: sequence, fired: pooled(part, "max") >= thresholds[l] });
      }
    }
  });
  const rate = (sequences: Sequence[], l: number): Rate => ({ fired: sequences.filter((one) => fired[number.get(one)!][l]).length, of: sequences.length });
  const pooledOf = (sequences: Sequence[], l: number): Float32Array => Float32Array.from(sequences, (one) => scores.get(one)![l]);
  const together = (rates: Rate[]): Rate => ({ fired: rates.reduce((sum, one) => sum + one.fired, 0), of: rates.reduce((sum, one) => sum + one.of, 0) });
  return {
    latents: latents.map((_, l): TestsRead => {
      const kinds = TRIGGER_KINDS.map((kind) => {
        const own = texts.triggers[l][kind];
        const triggers = own.map((trigger) => ({ ...trigger, rate: rate(texts.pasted.get(keyOf(trigger.tokens, pastesOf(own)))!, l) }));
        return { kind, rate: together(triggers.map((one) => one.rate)), triggers: triggers.sort((a, b) => share(b.rate) - share(a.rate) || b.mean - a.mean) };
      });
      return {
        kinds, none: rate(texts.none, l), random: texts.random.map((some) => rate(some, l)),
        moved: pooledOf(texts.moved, l), shuffled: pooledOf(texts.shuffled, l), ...(texts.rephrased ? { rephrased: pooledOf(texts.rephrased.texts, l) } : {}),
        // whatever order the passes had
        ordinary: { ...ordinary[l], stretches: ordinary[l].stretches.sort((a, b) => a.context - b.context || a.position - b.position) },
      };
    }),
  };
}
