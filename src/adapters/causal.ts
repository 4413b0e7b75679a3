import { causalTable, likeDense, meanOf, occurrences, wordCount, type BehaviourRate, type CausalView, type Effect, type Mean, type Parts, type WrittenWay } from "../core/causal";
import { cutContexts, leadOf } from "../core/batches";
import { OptionError } from "../core/errors";
import { random } from "../core/random";
import { isPlain } from "../core/sae";
import type { Document, GenerateOptions, Model, Progress, Sae, Write } from "../core/types";
import { breathe, stopIfInterrupted } from "./interrupt";
import { loss, type Loss } from "./lens";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { showing, type ShownNow } from "./show";
import { placesOf } from "./spliceloss";
import { tableBundle } from "./table";

/** What a latent does in its model: ablated and steered, what changes of the next token and of the texts that are written. */

export interface CausalOptions {
  texts: (string | Document)[]; // on which the next token is looked at
  hook?: string; // the SAE's own: where it reads and is changed
  clamp?: number; // none: steers, its value at all tokens
  times?: number; // none: steers, by a factor where it is active
  tokens?: number; // 4096 of the texts at most
  controls?: number; // 3 latents that fire about as often
  behaviours?: Record<string, string[] | ((text: string) => number)>; // none: words or phrases, or what counts in a continuation
  prompts?: (string | Document)[]; // what is continued, for the behaviours; documents that have a prompt: up to its end
  samples?: number; // 1 continuation of each prompt
  generate?: Pick<GenerateOptions, "temperature" | "topK" | "topP" | "maxTokens" | "stop" | "chat">; // temperature 0.7, 100 tokens
  resamples?: number; // 200 bootstrap draws of texts
  seed?: number; // 0: controls, continuations, bootstrap
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface CausalCheck extends CausalView, ShownNow {
  /** What the model wrote, each way. */
  continuations: { way: WrittenWay["way"]; latent?: number; texts: string[] }[];
}

const STOPPED = "Nothing of the causal check is kept.";
const LONGEST = 512; // tokens of a context, as harvest cuts

/**
 * Ablates a latent (and steers it, where `clamp` or `times` says how) while the model reads texts, and measures KL(as it is ‖ changed) of the next
 * token and the change of the cross-entropy; beside it the same of some random latents that fire about as often on these texts. A control that is
 * clamped is clamped to the value that adds as long a vector.
 *
 * With `behaviours` the model continues `prompts` as it is, ablated, steered, and with the first control changed alike, from the same random
 * numbers; rates are in 100 words written, with 95 % intervals by bootstrap over continuations, and differences paired.
 *
 * What the SAE does not explain of a row stays. First positions are let be: they are attention sinks that no SAE was trained on.
 * An effect says that the direction matters to what the model writes, not that it means what its label says.
 * @returns also shows itself as a table
 * @throws OptionError, HookError when the SAE does not belong there; InterruptError
 */
export async function causalCheck(model: Model, sae: Sae, latent: number, options: CausalOptions): Promise<CausalCheck> {
  const { clamp, times, controls = 3, resamples = 200, seed = 0, progress = defaultProgress() } = options;
  const { hook, texts, prompts } = checked(model, sae, latent, options);
  const lead = Math.max(1, ...texts.map(({ lead: own }) => own));
  const ids = texts.map((text) => text.ids);
  const tokens = ids.reduce((sum, { length }) => sum + length, 0);
  const { fired, mass } = await activity(model, sae, hook, ids, lead);
  if (!fired[latent] && clamp === undefined)
    throw new OptionError(`causalCheck: expected texts on which latent ${latent} is active, found none among ${tokens} tokens. Take texts of features.feature(${latent}), or steer it: { clamp }.`);
  const alike = likeDense(fired, latent, controls, random(seed, 31));
  const norms = (one: number): number => Math.hypot(...sae.weights.wDec.subarray(one * dOutOf(sae), (one + 1) * dOutOf(sae)));
  const amount = (one: number, by: { clamp?: number; times?: number }): { clamp?: number; times?: number } =>
    by.clamp === undefined ? by : { clamp: one === latent ? by.clamp : (by.clamp * norms(latent)) / (norms(one) || 1) };

  const ways: { by: { clamp?: number; times?: number }; kept: (effect: Effect & { controls: Effect[] }) => void }[] = [];
  let ablated!: CausalView["ablated"];
  let steered: CausalView["steered"];
  ways.push({ by: { times: 0 }, kept: (effect) => (ablated = effect) });
  if (clamp !== undefined || times !== undefined) ways.push({ by: clamp !== undefined ? { clamp } : { times: times! }, kept: (effect) => (steered = effect) });
  const told = meter("causal check", ways.length * (1 + alike.length), "passes", progress);
  let done = 0;
  const measured = async (one: number, by: { clamp?: number; times?: number }): Promise<Effect> => {
    stopIfInterrupted(STOPPED);
    const own = amount(one, by);
    const result = await loss(model, ids, { writes: [latentWrite(hook, sae, one, own, lead)] });
    const rng = random(seed, 32);
    const added = own.clamp === undefined ? Math.abs(own.times! - 1) * mass[one] : Math.abs(own.clamp) * tokens; // of a clamp: where it is silent, which is nearly everywhere
    told(++done);
    return { latent: one, ...own, kl: await inPieces(meanOf(klOf(result), rng, resamples), STOPPED), loss: await inPieces(meanOf(lossOf(result), rng, resamples), STOPPED), norm: (added * norms(one)) / tokens };
  };
  for (const { by, kept } of ways) {
    const effect = await measured(latent, by);
    const others: Effect[] = [];
    for (const one of alike) others.push(await measured(one, by));
    kept({ ...effect, controls: others });
  }

  const continuations: CausalCheck["continuations"] = [];
  const written: WrittenWay[] = [];
  if (options.behaviours) {
    const last = ways.at(-1)!.by;
    const wanted: { way: WrittenWay["way"]; latent?: number; by?: { clamp?: number; times?: number } }[] = [
      { way: "as it is" }, { way: "ablated", latent, by: { times: 0 } }, ...(ways.length > 1 ? [{ way: "steered" as const, latent, by: last }] : []),
      ...(alike.length ? [{ way: "control" as const, latent: alike[0], by: last }] : []),
    ];
    let plain: { counted: Record<string, Parts> } | undefined;
    for (const { way, latent: which, by } of wanted) {
      const writes = by ? [latentWrite(hook, sae, which!, amount(which!, by), lead)] : [];
      const made = await model.generate(prompts, { temperature: 0.7, maxTokens: 100, ...options.generate, seed, writes, progress });
      const own = made.map(({ text, prompt }) => text.slice(prompt));
      const counted = counts(own, options.behaviours);
      const behaviours: BehaviourRate[] = [];
      for (const [name, parts] of Object.entries(counted)) {
        const rate = (less?: Parts): Promise<Mean> => inPieces(meanOf(parts, random(seed, 33), resamples, less), STOPPED);
        behaviours.push({ name, rate: await rate(), ...(plain ? { difference: await rate(plain.counted[name]) } : {}), texts: parts.sum.filter((found) => found > 0).length });
      }
      plain ??= { counted };
      continuations.push({ way, ...(which === undefined ? {} : { latent: which }), texts: own });
      written.push({ way, ...(which === undefined ? {} : { latent: which }), texts: own.length, words: own.reduce((sum, text) => sum + wordCount(text), 0), behaviours });
    }
  }
  const view: CausalView = { latent, hook, tokens, fired: fired[latent], texts: texts.length, ablated, ...(steered ? { steered } : {}), written };
  return showing<Omit<CausalCheck, keyof ShownNow>>({ ...view, continuations }, () => tableBundle(causalTable(view))) as CausalCheck;
}

const dOutOf = ({ weights: { d, dOut = d } }: Sae): number => dOut;

/** @throws OptionError, HookError */
function checked(model: Model, sae: Sae, latent: number, options: CausalOptions): { hook: string; texts: { ids: Int32Array; lead: number }[]; prompts: (string | Document)[] } {
  const { texts, clamp, times, tokens = 4096, controls = 3, samples = 1, resamples = 200, seed = 0, behaviours } = options;
  const fail = (what: string): never => {
    throw new OptionError(`causalCheck: ${what}`);
  };
  const { hook } = placesOf(sae, model, { hook: options.hook }, "causalCheck");
  if (!(Number.isInteger(latent) && latent >= 0 && latent < sae.weights.latents)) fail(`latent: expected a number from 0 to ${sae.weights.latents - 1}, found ${latent}.`);
  if (clamp !== undefined && times !== undefined) fail("expected clamp or times, found both. Steer one way at a time.");
  for (const [name, value] of Object.entries({ clamp, times })) if (value !== undefined && !Number.isFinite(value)) fail(`${name}: expected a finite number, found ${value}.`);
  for (const [name, value, least] of [["tokens", tokens, 2], ["controls", controls, 0], ["samples", samples, 1], ["resamples", resamples, 20], ["seed", seed, -Infinity]] as [string, number, number][])
    if (!Number.isSafeInteger(value) || value < least) fail(`${name}: expected a whole number${least > -Infinity ? ` from ${least} on` : ""}, found ${value}. Leave it out for the default.`);
  if (!Array.isArray(texts) || !texts.length) fail("texts: expected a list of texts or documents, found none. Take those on which the latent fires.");
  const longest = Math.min(model.context ?? Infinity, LONGEST);
  const cut: { ids: Int32Array; lead: number }[] = [];
  let left = tokens;
  for (const text of texts) {
    const read = model.tokenizer.encode(typeof text === "string" ? text : text.text);
    const lead = leadOf(model.tokenizer, read);
    for (const one of cutContexts([read.ids.length], longest, Math.min(lead, longest - 1))) {
      const ids = Int32Array.of(...read.ids.subarray(0, one.lead), ...read.ids.subarray(one.from, one.from + one.length)).subarray(0, left);
      if (ids.length < 2) continue;
      cut.push({ ids, lead });
      left -= ids.length;
    }
  }
  if (!cut.length) fail("texts: expected one of at least two tokens, found none. Give longer ones.");
  const given = options.prompts ?? texts.filter((text): text is Document => typeof text !== "string" && text.prompt !== undefined);
  if (behaviours && !given.length) fail('prompts: expected texts to be continued beside behaviours, found none. Such as { prompts: ["Is 91 a prime number? <think>"] }.');
  if (behaviours) for (const [name, one] of Object.entries(behaviours)) if (typeof one !== "function" && !(Array.isArray(one) && one.length && one.every((word) => typeof word === "string" && wordCount(word)))) fail(`behaviours: ${name}: expected words, or a function that counts, found ${JSON.stringify(one)}.`);
  const until = (text: string | Document): string | Document => (typeof text === "string" || text.prompt === undefined ? text : { ...text, text: text.text.slice(0, text.prompt), spans: [] });
  return { hook, texts: cut, prompts: Array.from({ length: samples }, () => given.map(until)).flat() };
}

/** On how many tokens each latent is active, and the sum of its values. */
async function activity(model: Model, sae: Sae, hook: string, ids: Int32Array[], lead: number): Promise<{ fired: Int32Array; mass: Float64Array }> {
  const { d, latents } = sae.weights;
  const fired = new Int32Array(latents);
  const mass = new Float64Array(latents);
  for (const text of ids) {
    stopIfInterrupted(STOPPED);
    const rows = (await model.run([text], { hooks: [hook] }))[hook];
    if (text.length <= lead) continue;
    const { index, value } = sae.encode(rows.slice(lead * d));
    for (let i = 0; i < index.length; i++) {
      if (!(value[i] > 0)) continue;
      fired[index[i]]++;
      mass[index[i]] += value[i];
    }
    await breathe();
  }
  return { fired, mass };
}

/**
 * A write that changes one latent and keeps what the SAE does not explain. A plain top-k SAE is part of the graph; of other kinds rows go through its
 * encoder here, and get what the changed latent adds to its reconstruction.
 */
function latentWrite(hook: string, sae: Sae, latent: number, by: { clamp?: number; times?: number }, from = 1): Write {
  const at = { from };
  if (isPlain(sae.weights)) return { hook, at, sae, latent, ...(by.clamp === undefined ? { times: by.times! } : { clamp: by.clamp }) };
  return {
    hook, at,
    edit: (rows) => {
      const codes = sae.encode(rows);
      const { n, k } = codes;
      const wide = k + 1; // room for the latent where it is silent
      const index = new Int32Array(n * wide);
      const [is, changed] = [new Float32Array(n * wide), new Float32Array(n * wide)];
      for (let r = 0; r < n; r++) {
        let own = 0;
        for (let j = 0; j < k; j++) if (codes.index[r * k + j] === latent && codes.value[r * k + j] > 0) own = codes.value[r * k + j];
        index[r * wide] = latent;
        is[r * wide] = own;
        changed[r * wide] = by.clamp ?? own * by.times!;
      }
      // the decoder's offset and the other latents are in both
      const [before, after] = [is, changed].map((value) => sae.decode({ ...codes, k: wide, index, value }));
      return rows.map((x, i) => x + after[i] - before[i]);
    },
  };
}

const klOf = ({ texts }: Loss): Parts => ({ sum: texts.map(({ kl }) => kl!.reduce((a, b) => a + b, 0)), of: texts.map(({ kl }) => kl!.length) });
const lossOf = ({ texts }: Loss): Parts => ({ sum: texts.map(({ loss: was, written }) => written!.reduce((sum, value, t) => sum + value - was[t], 0)), of: texts.map(({ loss: was }) => was.length) });

/** Of each behaviour: how often in each text, and its hundreds of words. */
function counts(texts: string[], behaviours: NonNullable<CausalOptions["behaviours"]>): Record<string, Parts> {
  return Object.fromEntries(Object.entries(behaviours).map(([name, one]) => {
    const sum = texts.map((text) => {
      const found = typeof one === "function" ? Number(one(text)) : occurrences(text, one);
      if (!(Number.isFinite(found) && found >= 0)) throw new OptionError(`causalCheck: behaviours: ${name}: expected a count, a number from 0 on, found ${found}.`);
      return found;
    });
    return [name, { sum, of: texts.map((text) => wordCount(text) / 100) }];
  }));
}
