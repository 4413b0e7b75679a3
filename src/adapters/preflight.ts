import { OptionError } from "../core/errors";
import { modelOfHook } from "../core/hookname";
import { measuring } from "../core/measure";
import { targetOf } from "../core/modelcard";
import { rowNorms } from "../core/norms";
import { placesAround, preflightHtml, preflightTable, preflightText, preflightTitle, rowsAround, toldBy, verdictOn, type PlaceMeasures, type Reading, type Verdict } from "../core/preflight";
import { PREFLIGHT_TEXTS } from "../core/preflighttext";
import { addSkip, decoderNorms, describeKind, prepared } from "../core/sae";
import { closeGaps, keptRows, normLimit } from "../core/sinks";
import type { Document, Hook, HookRow, Model, Progress, Sae, SaeWeights, Sparse } from "../core/types";
import { defaultGroups, forward } from "./coder";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { showing, type ShownNow } from "./show";
import { saidBundle } from "./table";
import { DT, kernels, tensorflow, type Id } from "./tensorflow";

/** Does this SAE belong to this place of this model? Its measures there and around it (core/preflight), from one pass of the model. */

export interface PreflightOptions {
  /** What is read: texts, documents or token ids, from the first on; a built-in sample of prose and sums of some 1,000 tokens by default. */
  texts?: (string | Document | ArrayLike<number>)[];
  tokens?: number; // 2000: at most so many of them; FVU is then known to a few hundredths
  target?: string | Hook; // of a transcoder: the place that it predicts; what its card tells
  progress?: Progress;
}

/** A verdict, and what it is from. */
export interface Preflight extends Verdict {
  /** One each place and reading, the declared one first. */
  places: PlaceMeasures[];
  /** Tokens that were read, and whether of the built-in sample. */
  sample: { tokens: number; builtIn: boolean };
}

const PASS = 512; // tokens of a pass: as the model likes them
const SINKS = { dropFirst: true, dropNorm: 10 as const }; // as harvest leaves rows out
const DECODED = 128; // rows of a top-k decoded at a time: what is gathered for them stays in the cache
const CHUNK = 2 ** 22; // pre-activations held at a time: 16 MB
const F32 = { type: DT.f32 };

/**
 * Measures an SAE at a hook and at the places around it: the stream before, within and after the block, output of attention and MLP, the
 * MLP's input, the same of the neighbouring blocks; each with b_dec subtracted and without, at the hook also with other normalisations of the rows.
 * One pass of the model over the sample gives all of them. Rows are left out as by `harvest`: first positions, and norms over 10 × the median.
 *
 * A transcoder is held against `target` at each place that it might read. Of a wide SAE places around are measured on fewer rows, at least 256.
 * @param hook where the SAE is meant to read, in any spelling, or what model.hook() gave; the SAE's own by default
 * @returns also shows itself as a table, one row a place
 * @throws OptionError when the hook has another width, belongs to another model, or nothing can be measured; HookError; InterruptError
 * @see core/preflight for the thresholds of the verdict
 */
export async function preflight(sae: Sae, model: Model, hook: string | Hook | undefined = sae.hook, options: PreflightOptions = {}): Promise<Preflight & ShownNow> {
  const { weights, card } = sae;
  const { d, dOut = d, latents } = weights;
  const rows = model.hooks();
  const declared = placeOf(model, rows, hook, "hook", d, "rows that the SAE reads");
  const goal = options.target ?? (weights.transcoder ? targetOf(card) : undefined);
  if (Boolean(weights.transcoder) !== (goal !== undefined)) {
    throw new OptionError(
      `preflight: target: expected ${weights.transcoder ? "the hook that a transcoder predicts" : "none, for an SAE rebuilds the rows that it reads"}, found ${goal === undefined ? "none" : "one"} for ${describeKind(weights)}. ` +
      `${weights.transcoder ? 'Say which: { hook: "layers.3.mlp.in", target: "layers.3.mlp" }, or leave it unmeasured: { preflight: "off" }' : "Leave it out"}.`);
  }
  if (weights.subset) throw new OptionError(`preflight: expected a whole SAE, found ${latents} of its latents. Load it without { latents }.`);
  const target = goal === undefined ? undefined : placeOf(model, rows, goal, "target", dOut, "what the transcoder predicts");

  const around = placesAround(rows, declared, d);
  const names = [...new Set([declared.name, ...around.map(({ name }) => name), ...(target ? [target.name] : [])])];
  const contexts = contextsOf(model, options);
  const found = await readRows(model, contexts, names);
  const isFirst = Uint8Array.from(contexts.flatMap((ids) => Array.from(ids, (_, position) => Number(position === 0))));

  const others = around.filter(({ name }) => name !== declared.name);
  const most = rowsAround(latents, d, others.length);
  const told = meter("preflight", others.length + 1, "places", options.progress ?? defaultProgress());
  const places: PlaceMeasures[] = [];
  const encoder = encoderOf(weights);
  try {
    for (const [i, place] of [declared, ...others].entries()) {
      stopIfInterrupted("Nothing of the preflight is kept.");
      const read = keep(place.name, found, target?.name, isFirst, d, dOut, i === 0 ? Infinity : most);
      if (typeof read !== "string") places.push(...encoder.measure(place.name, read, i === 0));
      else if (i === 0) throw new OptionError(`preflight: ${place.name}: expected rows that can be measured, found ${read}. Give more texts: { texts }.`);
      told(i + 1, place.name);
      await breathe();
    }
  } finally {
    encoder.free();
  }
  const { kind = "topk", k } = weights;
  const verdict = verdictOn(places, toldBy(card, spelt(model, card.hook ?? sae.hook), kind === "topk" || kind === "groupmax" ? k : undefined), target?.name);
  const result: Preflight = { ...verdict, places, sample: { tokens: isFirst.length, builtIn: options.texts === undefined } };
  return showing(result, () => saidBundle(preflightTable(places, verdict), { title: preflightTitle(verdict), notes: verdict.notes, html: preflightHtml(places, verdict), text: preflightText(places, verdict) }));
}

/** A name of a card in our spelling, if it is one of this model's. */
function spelt(model: Model, name: unknown): string | undefined {
  try {
    return typeof name === "string" ? model.hook(name).name : undefined;
  } catch {
    return undefined;
  }
}

/** @throws OptionError when the place is another model's, or not of this width; HookError when there is none */
function placeOf(model: Model, rows: HookRow[], hook: string | Hook | undefined, option: "hook" | "target", width: number, what: string): HookRow {
  if (hook === undefined) throw new OptionError(`preflight: ${option}: expected a place of ${model.source}, found none, and the SAE does not tell. Say where it reads: "layers.3.mlp".`);
  const owner = typeof hook === "string" ? undefined : modelOfHook(hook);
  if (owner && owner !== model) throw new OptionError(`preflight: ${option}: expected a place of ${model.source}, found ${(hook as Hook).name} of ${owner.source}. Take model.hook(…) of the same model.`);
  const { name } = model.hook(typeof hook === "string" ? hook : hook.name);
  const place = rows.find((row) => row.name === name);
  if (place?.width === width) return place;
  const fitting = rows.filter((row) => row.width === width && !row.missing).map((row) => row.name);
  throw new OptionError(
    `preflight: ${name}: expected ${what}, of width ${width}, found width ${place?.width}. ` +
    (fitting.length ? `Places of ${model.source} with that width: ${fitting.slice(0, 6).join(", ")}${fitting.length > 6 ? ` and ${fitting.length - 6} more` : ""}.` : `${model.source} has no place of that width: the SAE belongs to another model.`));
}

/** Token ids, cut into contexts, until there are enough. */
function contextsOf(model: Model, { texts = PREFLIGHT_TEXTS, tokens = 2000 }: PreflightOptions): Int32Array[] {
  if (!(Number.isSafeInteger(tokens) && tokens >= 3)) throw new OptionError(`preflight: tokens: expected a whole number from 3, found ${tokens}. 2,000 are usual.`);
  if (!Array.isArray(texts) || texts.some((text) => text === null || !["string", "object"].includes(typeof text))) {
    throw new OptionError("preflight: texts: expected a list of texts, documents or lists of token ids, found something else. Put one text in brackets.");
  }
  const longest = Math.min(model.context ?? PASS, PASS);
  const contexts: Int32Array[] = [];
  let left = tokens;
  for (const text of texts) {
    if (left <= 1) break; // of a corpus the first texts are enough
    const ids = typeof text === "string" || "text" in text ? model.tokenizer.encode(typeof text === "string" ? text : text.text).ids : Int32Array.from(text);
    for (let from = 0; from < ids.length && left > 1; from += longest) {
      const part = ids.slice(from, Math.min(from + longest, from + left));
      if (part.length < 2) continue; // its only row would be dropped
      contexts.push(part);
      left -= part.length;
    }
  }
  if (tokens - left - contexts.length < 2) throw new OptionError(`preflight: texts: expected at least 2 tokens beside the first ones of texts, found ${tokens - left - contexts.length}. Give longer texts.`);
  return contexts;
}

/** Rows of all places, [Σ tokens, width] each. */
async function readRows(model: Model, contexts: Int32Array[], hooks: string[]): Promise<Map<string, Float32Array>> {
  const parts: Record<string, Float32Array>[] = [];
  for (let from = 0; from < contexts.length;) {
    stopIfInterrupted("Nothing of the preflight is kept.");
    let to = from, longest = 0; // padded to the longest
    while (to < contexts.length && (to === from || (to - from + 1) * Math.max(longest, contexts[to].length) <= PASS)) longest = Math.max(longest, contexts[to++].length);
    parts.push(await model.run(contexts.slice(from, to), { hooks }));
    from = to;
  }
  return new Map(hooks.map((hook) => {
    const rows = new Float32Array(parts.reduce((sum, part) => sum + part[hook].length, 0));
    let at = 0;
    for (const part of parts) {
      rows.set(part[hook], at);
      at += part[hook].length;
    }
    return [hook, rows];
  }));
}

/** Rows that the SAE reads, and of a transcoder those that it is to predict. */
interface Read {
  x: Float32Array; // [n, d]
  y?: Float32Array; // [n, dOut]
  outlier: number;
}

/** A place's rows without sinks, at most so many, evenly taken; or why there is nothing to measure. */
function keep(hook: string, found: Map<string, Float32Array>, target: string | undefined, isFirst: Uint8Array, d: number, dOut: number, most: number): Read | string {
  const all = found.get(hook)!, goal = target === undefined ? undefined : found.get(target)!;
  const norms = new Float64Array(isFirst.length), goalNorms = new Float64Array(isFirst.length);
  if (rowNorms(all, d, norms) >= 0 || (goal && rowNorms(goal, dOut, goalNorms) >= 0)) return "NaN or infinity among them";
  const every = goal ? [norms, goalNorms] : [norms];
  const limits = every.map((list) => normLimit(list, isFirst, SINKS));
  const { runs } = keptRows(every, limits, isFirst, true);
  const largest = norms.reduce((a, norm, row) => (isFirst[row] ? a : Math.max(a, norm)), 0);
  const kept = Int32Array.from(runs.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)));
  const n = Math.min(kept.length, most);
  const chosen = Array.from({ length: n }, (_, i) => kept[Math.floor((i * kept.length) / n)]).map((row) => ({ from: row, to: row + 1 }));
  const x = closeGaps(all.slice(), d, chosen), y = goal && closeGaps(goal.slice(), dOut, chosen);
  const rebuilt = y ?? x;
  if (!rebuilt.some((value, i) => value !== rebuilt[i % dOut])) return `${n} rows that differ in nothing`;
  return { x, y, outlier: limits[0] === null ? NaN : (SINKS.dropNorm * largest) / limits[0] };
}

/** A way to read rows: the SAE with one thing changed, and what rows are multiplied by before. */
interface Way {
  other?: Reading;
  weights: SaeWeights;
  scale: number;
}

/**
 * Measures rows on TensorFlow. W_enc's product is made once for all ways that prepare rows alike: b_dec's part of it, W_enc·b_dec, is the same for each row.
 * Of a top-k only the k are decoded; of other kinds any number may be active, and one dense product does it.
 */
function encoderOf(own: SaeWeights) {
  const weights: SaeWeights = { ...own }; // matrices are read once
  const { d, dOut = d, latents, k, wEnc, bEnc, wDec, bDec, subtractBDec = true, normalize = "none", transcoder, rescaleByDecoderNorm } = weights;
  const engine = tensorflow();
  const K = kernels(engine);
  const encoder = engine.tensor(wEnc, [latents, d]);
  const decoder = engine.tensor(wDec, [latents, dOut]);
  const { rebuild: chosenRows, topK } = forward(engine);
  const groups = defaultGroups(latents, k);
  const divided = (a: Id, b: Id): Id => engine.run("RealDiv", { T: F32 }, [a, b])[0];
  const product = (rows: Float32Array, n: number): Id => K.matMul(engine.tensor(rows, [n, d]), encoder, { transposeB: true });
  const canSubtract = dOut === d;
  const ofBDec = canSubtract ? engine.tidy(() => engine.floats(product(bDec.slice(), 1))) : new Float32Array(latents);
  const norms = rescaleByDecoderNorm ? decoderNorms(weights).map((norm) => norm || 1) : undefined;
  const gain = weights.kind === "gated" ? weights.rMag.map(Math.exp) : undefined;

  const ways = (x: Float32Array, all: boolean): Way[] => {
    const flipped: Way[] = canSubtract ? [{ other: subtractBDec ? "b_dec not subtracted" : "b_dec subtracted", weights: { ...weights, subtractBDec: !subtractBDec }, scale: 1 }] : [];
    const plain: Way[] = [{ weights, scale: 1 }, ...flipped];
    if (!all || transcoder) return plain; // a transcoder's normalisation would be undone in the target's units
    const norms = new Float64Array(x.length / d);
    rowNorms(x, d, norms);
    const mean = norms.reduce((sum, norm) => sum + norm, 0) / norms.length;
    const modes = (["none", "constant_norm_rescale", "layer_norm"] as const).filter((mode) => mode !== normalize);
    return [
      ...plain,
      ...modes.map((mode): Way => ({ other: `rows normalised: ${mode}`, weights: { ...weights, normalize: mode }, scale: 1 })),
      // FVU has no unit: what is rebuilt is held against the rows so scaled
      ...(normalize === "none" && mean > 0 ? [{ other: "rows normalised: expected_average_only_in", weights, scale: Math.sqrt(d) / mean } as Way] : []),
    ];
  };

  /** W_enc·x of rows [n, F] → v [n, F] as core/sae has it, before a top-k chooses. */
  const activations = (way: SaeWeights, wx: Id, n: number): Id => {
    const row = (values: Float32Array): Id => engine.tensor(values, [latents]);
    const where = (test: "Greater" | "GreaterEqual", a: Id, b: Id, x: Id): Id => engine.run("SelectV2", { T: F32 }, [engine.run(test, { T: F32 }, [a, b])[0], x, K.scalar(0)])[0];
    const q = way.subtractBDec ?? true ? K.sub(wx, row(ofBDec)) : wx;
    if (way.kind === "gated") return where("Greater", K.add(q, row(way.bGate)), K.scalar(0), K.relu(K.add(K.mul(q, row(gain!)), row(bEnc))));
    const biased = K.add(q, row(bEnc));
    const p = norms ? K.mul(biased, row(norms)) : biased;
    const v = K.relu(p);
    switch (way.kind) {
      case "jumprelu":
      case "batchtopk":
        return where("Greater", p, typeof way.threshold === "number" ? K.scalar(way.threshold) : row(way.threshold), v);
      case "groupmax": {
        const grouped = K.reshape(v, [n, k, latents / k]);
        return K.reshape(where("GreaterEqual", grouped, K.reshape(K.max(grouped, 2), [n, k, 1]), grouped), [n, latents]);
      }
      default:
        return v;
    }
  };

  /** Latents and values of each row, and x̂ without a skip. */
  const rebuild = (way: SaeWeights, wx: Id, n: number, units: Sparse["units"]): { index: Int32Array; value: Float32Array; xHat: Float32Array } => engine.tidy(() => {
    const v = activations(way, wx, n);
    let sparse: { index: Int32Array; value: Float32Array }, product: Id;
    if ((way.kind ?? "topk") === "topk") {
      const { value, index } = topK(v, n, latents, k, groups);
      sparse = { index: engine.ints(index), value: engine.floats(value) };
      product = chosenRows({ value: norms ? divided(value, K.gather(engine.tensor(norms, [latents]), index)) : value, index }, decoder, { n, d: dOut, k, chunk: DECODED });
    } else {
      sparse = { index: Int32Array.from({ length: n * latents }, (_, i) => i % latents), value: engine.floats(v) };
      product = K.matMul(norms ? divided(v, engine.tensor(norms, [latents])) : v, decoder);
    }
    const xHat = engine.floats(product);
    for (let i = 0; i < xHat.length; i++) {
      const row = Math.floor(i / dOut);
      xHat[i] = (xHat[i] + bDec[i % dOut]) * (units ? units.scale[row] : 1) + (units ? units.shift[row] : 0);
    }
    return { ...sparse, xHat };
  });

  const measure = (hook: string, { x, y, outlier }: Read, all: boolean): PlaceMeasures[] => {
    const n = x.length / d, chunk = Math.max(1, Math.floor(CHUNK / latents));
    const tallies = ways(x, all).map((way) => ({ way, tally: measuring(dOut, latents) }));
    for (let from = 0; from < n; from += chunk) {
      const to = Math.min(n, from + chunk);
      const part = x.slice(from * d, to * d);
      engine.tidy(() => {
        const products = new Map<string, { wx: Id; units: Sparse["units"] }>();
        for (const { way: { weights: way, scale }, tally } of tallies) {
          const rows = scale === 1 ? part : part.map((value) => value * scale);
          const key = `${way.normalize} ${scale}`;
          if (!products.has(key)) {
            const ready = prepared({ ...way, subtractBDec: false }, rows, to - from);
            products.set(key, { wx: product(ready.rows.slice(), to - from), units: ready.units });
          }
          const { wx, units } = products.get(key)!;
          const { index, value, xHat } = rebuild(way, wx, to - from, units);
          tally.rows(y ? y.subarray(from * dOut, to * dOut) : rows, addSkip(way, rows, xHat));
          tally.latents(index, value);
        }
      });
    }
    return tallies.map(({ way: { other }, tally }) => {
      const { fvu, l0, dead, dense, rows } = tally.result();
      return { hook, ...(other ? { other } : {}), fvu, l0, dead, dense, rows, outlier };
    });
  };
  return { measure, free: () => engine.free(encoder, decoder) };
}
