import { FormatError } from "./errors";
import type { ShownFeature, TokenLogit, Words } from "./heatmap";
import type { Example } from "./types";

/**
 * A feature's JSON, as Neuronpedia's API, SAEDashboard's batches and the rows of an import have it → a feature that heat maps show. Tokens have no numbers
 * there: each different text gets one.
 */

export interface ImportedFeature extends ShownFeature {
  words: Words;
  /** "gemma-2-2b/20-gemmascope-res-16k", as far as the file says it. */
  source: string;
  /** All explanations; the first one is `label`. */
  explanations: string[];
}

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

/** "▁" of SentencePiece and "Ġ", "Ċ" of byte-level BPE, where a dashboard was made with the vocabulary's own spelling. */
const plainToken = (text: string): string => text.replaceAll("▁", " ").replaceAll("Ġ", " ").replaceAll("Ċ", "\n");

/** Numbers for texts, shared by the features of one file. */
export function interning(): { words: Words; token(text: string): number; document(name: string): number } {
  const list = (): { texts: string[]; of(text: string): number } => {
    const numbers = new Map<string, number>();
    const texts: string[] = [];
    return {
      texts,
      of(text) {
        const found = numbers.get(text);
        if (found !== undefined) return found;
        numbers.set(text, texts.length);
        return texts.push(text) - 1;
      },
    };
  };
  const tokens = list(), documents = list();
  return { words: { token: (id) => tokens.texts[id] ?? `‹${id}›`, document: (id) => documents.texts[id] ?? String(id) }, token: tokens.of, document: documents.of };
}

/**
 * @param where file and place in it, for errors
 * @throws FormatError naming the field that is not as it should be
 */
export function shownFeature(raw: unknown, where: string, names: ReturnType<typeof interning>): ImportedFeature {
  const fail = (field: string, expected: string, found: unknown): never => {
    throw new FormatError(`${where}: ${field}: expected ${expected}, found ${JSON.stringify(found)?.slice(0, 80)}. Is it the JSON of a Neuronpedia feature (…/api/feature/<model>/<source>/<index>) or an SAEDashboard batch?`);
  };
  if (!isObject(raw)) return fail("feature", "an object", raw);
  const latent = Number(raw.index ?? raw.feature_index ?? NaN);
  if (!Number.isInteger(latent) || latent < 0) fail("index", "the number of a latent", raw.index ?? raw.feature_index);
  const numbers = (field: string, value: unknown): number[] => {
    if (value === undefined || value === null) return [];
    return Array.isArray(value) && value.every((one) => typeof one === "number") ? (value as number[]) : fail(field, "a list of numbers", value);
  };
  const texts = (field: string, value: unknown): string[] => {
    if (value === undefined || value === null) return [];
    return Array.isArray(value) && value.every((one) => typeof one === "string") ? (value as string[]) : fail(field, "a list of texts", value);
  };
  const logits = (sign: "pos" | "neg"): TokenLogit[] => {
    const values = numbers(`${sign}_values`, raw[`${sign}_values`]);
    return texts(`${sign}_str`, raw[`${sign}_str`]).flatMap((text, i) => (i < values.length ? [{ text: plainToken(text), value: values[i] }] : []));
  };
  const source = [raw.modelId ?? raw.model_id, raw.layer].filter((part) => part !== undefined).join("/");
  const given = raw.activations ?? [];
  if (!Array.isArray(given)) return fail("activations", "a list", given);
  const top: Example[] = [];
  const intervals = new Map<string, { from: number; examples: Example[] }>();
  given.forEach((one: unknown, i) => {
    const place = `activations[${i}]`;
    if (!isObject(one)) return fail(place, "an object", one);
    const tokens = texts(`${place}.tokens`, one.tokens), values = numbers(`${place}.values`, one.values);
    if (tokens.length !== values.length || !tokens.length) fail(place, "as many values as tokens, and one at least", `${tokens.length} tokens, ${values.length} values`);
    const named = Number(one.qualifyingTokenIndex ?? one.qualifying_token_index ?? -1);
    const example: Example = {
      tokens: Int32Array.from(tokens, (text) => names.token(plainToken(text))),
      values: Float32Array.from(values),
      peak: values[named] > 0 ? named : values.reduce((best, value, at) => (value > values[best] ? at : best), 0),
      document: names.document(typeof one.dataSource === "string" ? one.dataSource : source || "neuronpedia"),
      position: 0, count: 1,
    };
    const [low, high] = [Number(one.binMin ?? one.bin_min ?? -1), Number(one.binMax ?? one.bin_max ?? 0)];
    if (low < 0) return void top.push(example);
    const name = `${low}–${high}`;
    if (!intervals.has(name)) intervals.set(name, { from: low, examples: [] });
    intervals.get(name)!.examples.push(example);
  });
  const peak = ({ values, peak: at }: Example): number => values[at];
  const all = [...top, ...[...intervals.values()].flatMap(({ examples }) => examples)];
  const strongest = (top.length ? top : all).sort((a, b) => peak(b) - peak(a));
  const histogram = histogramOfBars(numbers("freq_hist_data_bar_values", raw.freq_hist_data_bar_values), numbers("freq_hist_data_bar_heights", raw.freq_hist_data_bar_heights));
  const said = (Array.isArray(raw.explanations) ? raw.explanations : []).flatMap((one: unknown) => (isObject(one) && typeof one.description === "string" && one.description ? [one.description] : []));
  const [positive, negative] = [logits("pos"), logits("neg")];
  const counted = histogram.counts.reduce((sum, n) => sum + n, 0);
  return {
    latent,
    density: typeof raw.frac_nonzero === "number" ? raw.frac_nonzero : 0,
    mean: counted ? histogram.counts.reduce((sum, n, b) => sum + n * ((histogram.edges[b] + histogram.edges[b + 1]) / 2), 0) / counted : NaN,
    max: typeof raw.maxActApprox === "number" && raw.maxActApprox > 0 ? raw.maxActApprox : all.reduce((most, { values }) => values.reduce((a, b) => Math.max(a, b), most), 0),
    histogram,
    top: strongest,
    more: top.length ? [...intervals].sort(([, a], [, b]) => b.from - a.from).map(([name, { examples }]) => ({ name, examples })) : [],
    ...(said.length ? { label: said[0] } : {}),
    ...(positive.length || negative.length ? { logits: { top: positive, bottom: negative } } : {}),
    words: names.words, source, explanations: said,
  };
}

/** Bars by their middles → bins by their edges; nothing where they do not fit each other. */
function histogramOfBars(middles: number[], heights: number[]): ShownFeature["histogram"] {
  if (!middles.length || middles.length !== heights.length) return { edges: [], counts: [] };
  const half = middles.length > 1 ? (middles[1] - middles[0]) / 2 : middles[0] / 2;
  return { edges: [...middles.map((middle) => Math.max(0, middle - half)), middles.at(-1)! + half], counts: heights };
}
