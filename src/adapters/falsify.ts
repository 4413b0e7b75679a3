import { OptionError, StoreError } from "../core/errors";
import { injectionOutcome, verdictOn, type Control, type Falsified, type FalsifyVerdict, type Tested } from "../core/falsify";
import { falsifiedHtml, falsifiedText, type FalsificationView } from "../core/falsifytable";
import { averagePrecision } from "../core/ranking";
import { random } from "../core/random";
import { POOLINGS, type Pooling } from "../core/score";
import type { LabelScore } from "../core/scoretable";
import { bytesToText, visible } from "../core/token";
import type { Document, Model, Progress, Sae, Store } from "../core/types";
import { chosenTexts, readTests, type TestPlan } from "./falsifytexts";
import { measuresOf } from "./falsifymeasures";
import type { CollectedFeature, Features } from "./features";
import { firingsOfSome, inPlace, latentTriggers } from "./inplace";
import { labelledSentences, positives } from "./labelled";
import { ordinaryDocuments, ordinaryText } from "./ordinary";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import type { LabelScores } from "./labelscores";
import { scoreLabels } from "./score";
import { secondOpinions } from "./secondsae";
import { DISPLAY, heatMap, showing, type FeatureList, type ShownNow } from "./show";

export interface FalsifyOptions {
  model: Model; // the one that the rows came from: it reads changed texts
  sae: Sae; // the one that was collected
  label: string; // what the latents are said to correlate with
  latents?: number[]; // the best by AUROC on training documents
  count?: number; // 20 of them
  scores?: LabelScores; // scoreLabels(features, { labels: [label] }): for the controls
  ordinary?: (string | Document)[]; // 2,000 words of plain prose: text that has nothing to do with the label
  second?: { features: Features; sae: Sae; scores?: LabelScores }; // none: another SAE of the same rows, such as one of another seed
  /** None. The same in other words, without the words that give it away; up to 80 sentences are asked for at once. */
  paraphrase?: (texts: string[]) => Promise<string[]>;
  sentences?: number; // 100 held-out ones of the label, and as many others, are moved and shuffled
  resamples?: number; // 200 bootstrap draws of documents
  seed?: number; // 0: sentences, places, order of shuffled tokens, bootstrap
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface Falsification extends FalsificationView, ShownNow {
  /** @throws OptionError if the latent was not tested */
  of(latent: number): Falsified;
  /** Latents of a verdict (of all, by default) as features, with label and verdict. */
  features(verdict?: FalsifyVerdict): FeatureList<CollectedFeature> & ShownNow;
  /** Writes the column "verdict" of the features, and "label" where a latent has none. Latents that were not tested keep theirs. */
  keep(): Promise<void>;
}

const TRIGGERS = 5; // of each kind are pasted
const CONTEXTS = "Contexts come from training and held-out documents alike; scores and verdicts from held-out ones only.";
const STOPPED = "Nothing of the tests is kept.";

/**
 * Tests whether latents that correlate with a label do so for a reason that a token, a position or a context explains, or that needs no SAE:
 * a verdict for each, with all its figures (core/falsify has the rules and where their thresholds come from).
 *
 * All that is chosen (latents, pooling, threshold, triggers) is chosen on training documents; all figures are of held-out ones.
 * The model reads: ordinary text; that text with trigger tokens and windows of two and three of them pasted in, with random tokens, and as it
 * is; held-out sentences behind ordinary text, in order and shuffled; paraphrases, where there is who writes them.
 * A latent that survives correlates with the label; for detection a probe is the better tool.
 *
 * Shows itself as `application/vnd.saelab.verdicts.v1+json` ({ version: 1 } and a FalsificationView), HTML and text.
 * @throws OptionError for a model or SAE that the features are not from, or a label they do not have; StoreError if a side of the split is
 *   missing, or the label or all others on one; InterruptError, when asked to stop
 * @see "Falsifying Sparse Autoencoder Reasoning Features in Language Models", arXiv 2601.05679
 */
export async function falsify(features: Features, options: FalsifyOptions): Promise<Falsification> {
  const { model, sae, label, count = 20, second, paraphrase, sentences = 100, resamples = 200, seed = 0, progress = defaultProgress() } = options;
  checkOptions(features, options);
  const store = await features.store();
  if (features.manifest.split !== "all")
    throw new StoreError(`${features.path}: expected features of all rows, as latents are chosen on training documents and tested on held-out ones, found "${features.manifest.split}". collect(store, sae) takes all.`);
  requireSae(features, store, sae);
  await requireModel(store, model);
  const labelled = await labelledSentences(store, "falsify", STOPPED, [label]);
  const scores = options.scores ?? (await scoreLabels(features, { labels: [label], seed, progress }));
  const every = scores.every(label);
  const chosen = options.latents ?? scores.best(label, { count }).map(({ latent }) => latent);
  const poolings = chosen.map((latent): Pooling => POOLINGS[every.pooling[latent]]);
  const firings = await firingsOfSome(features, chosen, STOPPED);
  const places = inPlace(labelled, firings, poolings);
  const triggers = latentTriggers(labelled, firings, store.origin(0, store.rows), TRIGGERS);

  const ordinary = ordinaryText(options.ordinary ?? (await ordinaryDocuments()), model.tokenizer, model.context);
  const plan: TestPlan = { labelled, ordinary, triggers, sentences, seed, model, ...(paraphrase ? { paraphrase } : {}) };
  const texts = await chosenTexts(plan);
  const told = meter("falsify", texts.tokens, "tokens", progress);
  const { dropNorm = 10, context = 512, cut } = store.manifest.settings as { dropNorm?: number | false; context?: number; cut?: string };
  const read = await readTests(texts, { model, sae, latents: chosen, poolings, thresholds: places.map(({ threshold }) => threshold), hook: features.manifest.sae.hook, dropNorm, stopped: STOPPED, told });
  const opinions = second ? await secondOpinions(features, sae, label, chosen, labelled, { ...second, seed, stopped: STOPPED }) : undefined;

  const { test } = labelled;
  const positive = positives(test, 0);
  const n = positive.reduce((a, b) => a + b, 0);
  const word = (id: number): string => visible(bytesToText(model.tokenizer.bytes(id)));
  const score = scores.of(label);
  const byPlace = score.detectors.find(({ kind }) => kind === "position")?.what ?? "early";
  const tested: Falsified[] = [];
  for (const [i, latent] of chosen.entries()) {
    const { threshold, heldout, reached } = places[i];
    const measured = await measuresOf({ labelled, place: places[i], triggers: triggers[i], texts, read: read.latents[i], relative: byPlace.startsWith("near"), context: cut === "whole" ? Infinity : context, rng: random(seed, 100 + latent), resamples, word, stopped: STOPPED });
    const injected = {
      kinds: read.latents[i].kinds.map(({ triggers, ...kind }) => ({ ...kind, triggers: triggers.map(({ tokens, ...trigger }) => ({ text: tokens.map(word).join(""), ...trigger })) })),
      none: read.latents[i].none, random: read.latents[i].random,
    };
    const test: Tested = {
      latent, pooling: poolings[i], threshold,
      train: every.train[latent],
      q: every.q[latent],
      averagePrecision: averagePrecision(heldout, positive),
      ...measured,
      ordinary: { ...measured.ordinary, sentences: reached },
      controls: controlsOf(score, latent, poolings[i], measured),
      injection: { ...injected, outcome: injectionOutcome(injected) },
      ...(opinions ? { second: opinions[i] } : {}),
    };
    tested.push({ ...test, ...verdictOn(test, n) });
  }
  const documents = new Set(Array.from(test.of, (s) => labelled.sentences.document[s])).size;
  const view: FalsificationView = {
    label, latents: tested, searched: options.latents ? chosen.length : features.count * POOLINGS.length,
    heldout: { positives: n, sentences: test.of.length, documents }, baseRate: n / test.of.length,
    ordinary: { tokens: ordinary.contexts.reduce((sum, { length }) => sum + length - ordinary.lead, 0), own: options.ordinary === undefined },
  };
  return showing<Omit<Falsification, keyof ShownNow>>(
    {
      ...view,
      of(latent) {
        const one = tested.find((other) => other.latent === latent);
        if (!one) throw new OptionError(`falsify: expected one of the latents ${chosen.join(", ")}, found ${latent}. Ask for it: { latents: [${latent}] }.`);
        return one;
      },
      features: (verdict) => verdictFeatures(features, view, verdict),
      keep: () => keepVerdicts(features, view),
    },
    () => ({ "application/vnd.saelab.verdicts.v1+json": { version: 1, ...view }, "text/html": falsifiedHtml(view), "text/plain": falsifiedText(view) }),
  ) as Falsification;
}

/** @throws OptionError */
function checkOptions(features: Features, { model, sae, label, latents, count = 20, sentences = 100, resamples = 200, seed = 0, scores }: FalsifyOptions): void {
  const fail = (what: string): never => {
    throw new OptionError(`falsify: ${what}`);
  };
  if (typeof model?.run !== "function") fail("model: expected the model that the rows came from, as it has to read changed texts, found none. openModel opens it.");
  if (typeof sae?.encode !== "function") fail("sae: expected the SAE that was collected, found none.");
  if (typeof label !== "string" || !label) fail('label: expected the label that latents are said to correlate with, found none. Such as { label: "backtracking" }.');
  for (const [name, value, least] of [["count", count, 1], ["sentences", sentences, 20], ["resamples", resamples, 20], ["seed", seed, -Infinity]] as [string, number, number][])
    if (!Number.isSafeInteger(value) || value < least) fail(`${name}: expected a whole number${least > 0 ? ` from ${least} on` : ""}, found ${value}. Leave it out for the default.`);
  if (latents !== undefined) {
    if (!Array.isArray(latents) || !latents.length) fail("latents: expected a list of latents, found none. Leave it out for the best ones.");
    const wrong = latents.find((latent) => !(Number.isInteger(latent) && latent >= 0 && latent < features.count));
    if (wrong !== undefined) fail(`latents: expected numbers from 0 to ${features.count - 1}, found ${wrong}.`);
    const twice = latents.find((latent, i) => latents.indexOf(latent) !== i);
    if (twice !== undefined) fail(`latents: expected each once, found ${twice} twice.`);
    const silent = latents.find((latent) => !features.fired[latent]);
    if (silent !== undefined) fail(`latents: expected latents that fire, found ${silent}, which is silent on these rows. Leave it out.`);
  }
  if (scores && scores.latents !== features.count) fail(`scores: expected those of these features, of ${features.count} latents, found scores of ${scores.latents}. scoreLabels(features) makes them.`);
}

/** The SAE is the one that was collected: the first rows' codes are the same. @throws OptionError */
function requireSae(features: Features, store: Store, sae: Sae): void {
  const { latents, d } = features.manifest.sae;
  if (sae.weights.latents !== latents || sae.weights.d !== d)
    throw new OptionError(`falsify: sae: expected the SAE that was collected, of ${latents} latents and width ${d}, found ${sae.weights.latents} and ${sae.weights.d}. Give that one, or collect with this one.`);
  const rows = Math.min(32, features.rows);
  const dense = ({ k, index, value }: { k: number; index: Int32Array; value: Float32Array }): Map<number, number> => {
    const out = new Map<number, number>();
    for (let i = 0; i < rows * k; i++) if (value[i] > 0) out.set(Math.floor(i / k) * latents + index[i], value[i]);
    return out;
  };
  const [was, is] = [dense(features.codes(0, rows)), dense(sae.encode(store.read(features.manifest.sae.hook, 0, rows)))];
  let [differing, all] = [0, 0];
  for (const key of new Set([...was.keys(), ...is.keys()])) {
    const [a, b] = [was.get(key) ?? 0, is.get(key) ?? 0];
    differing += Math.abs(a - b);
    all += Math.max(a, b);
  }
  if (differing <= 0.01 * all) return; // sums in another order may exchange latents that are equally active
  throw new OptionError(`falsify: sae: expected the SAE that was collected, found one whose codes of the first ${rows} rows are others. Give that one, or collect with this one.`);
}

/** @throws OptionError */
async function requireModel(store: Store, model: Model): Promise<void> {
  const { source, sha256 } = store.manifest.model;
  if ((await model.hash()) === sha256) return;
  throw new OptionError(`falsify: model: expected ${source}, which the rows of ${store.path} came from, found ${model.source}, whose config or weights are others. Open that one.`);
}

/**
 * The controls of a label, with the lead of this latent over each. Of the latent that scoreLabels picked it is known from the same draws; of another one it is
 * taken from both intervals as if they were independent, which makes it wider: sentences are the same.
 */
function controlsOf(score: LabelScore, latent: number, pool: Pooling, { heldout, interval }: Pick<Tested, "heldout" | "interval">): Control[] {
  const own = score.latent === latent && score.pooling === pool;
  const error = ([low, high]: [number, number]): number => (high - low) / 2;
  return score.detectors.slice(1).map((control) => {
    if (own) return control;
    const [lead, by] = [heldout - control.heldout, Math.hypot(error(interval), error(control.interval))];
    return { ...control, lead: [lead - by, lead + by] };
  });
}

function verdictFeatures(features: Features, { label, latents }: FalsificationView, verdict?: FalsifyVerdict): FeatureList<CollectedFeature> & ShownNow {
  const list = latents.filter((one) => !verdict || one.verdict === verdict).map((one) => {
    const feature: CollectedFeature = showing(
      { ...features.feature(one.latent), label: `correlates with ${label} (held-out AUROC ${one.heldout.toFixed(2)})`, verdict: one.verdict }, () => heatMap(feature)[DISPLAY]());
    return feature;
  });
  const shown: FeatureList<CollectedFeature> = Object.assign(list, { words: features.words, note: CONTEXTS });
  return showing(shown, () => heatMap(shown, { count: shown.length })[DISPLAY]());
}

async function keepVerdicts(features: Features, { label, latents }: FalsificationView): Promise<void> {
  const column = (name: string): (string | undefined)[] => {
    const held = features.columns().includes(name) ? features.column(name) : undefined;
    return Array.isArray(held) ? [...held] : new Array<string | undefined>(features.count).fill(undefined);
  };
  const [verdicts, labels] = [column("verdict"), column("label")];
  const mine = `correlates with ${label}`;
  for (const { latent, verdict } of latents) {
    labels[latent] ||= mine;
    verdicts[latent] = labels[latent] === mine ? verdict : `${verdict} (${label})`;
  }
  await features.setColumn("label", labels);
  await features.setColumn("verdict", verdicts);
}
