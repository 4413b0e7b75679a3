import { detectionContexts, detectionScoreOf, detectionTable, heldoutFirings, type DetectionContext, type DetectionScore } from "../core/detection";
import { OptionError, ProviderError } from "../core/errors";
import { detectionPrompt, readVerdicts } from "../core/labelprompts";
import { splitDocuments } from "../core/split";
import type { Progress } from "../core/types";
import { askEach } from "./askeach";
import type { CollectedTexts } from "./familytexts";
import type { Features } from "./features";
import { inPieces } from "./pieces";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import type { LabelProvider } from "./provider";
import { showing, type ShownNow } from "./show";
import { requireLatents, type FeatureLabels } from "./suggestlabels";
import { notedBundle } from "./table";

export type { DetectionScore } from "../core/detection";

export interface DetectionOptions {
  provider: LabelProvider;
  count?: number; // 20 contexts on which a latent fires
  silent?: number; // as many on which it does not
  context?: number; // 16 tokens on either side, as the examples have
  perPrompt?: number; // 5 contexts a question: more cost less, and help each other
  concurrency?: number; // 4 questions at once
  seed?: number; // 0: which contexts
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

export interface DetectionScores extends ShownNow {
  scores: DetectionScore[];
  /** Writes balanced accuracies into the family's column "detection". */
  keep(): Promise<void>;
}

const STOPPED = "No score was kept: ask again.";

/**
 * How well labels tell where their latents fire, on held-out documents, of which labelFeatures shows none: a language model reads contexts around firings of
 * every strength, and as many where the latent is silent, and says where the label fits. (suggestLabels reads the statistics of all documents.)
 * @param labels by latent, or what suggestLabels and labelFeatures gave
 * @returns shows itself as a table, each number with its n and interval
 * @throws StoreError where the texts are gone; OptionError when no row is held out; ProviderError; InterruptError
 */
export async function detectionScore(features: Features, labels: Record<number, string> | FeatureLabels, options: DetectionOptions): Promise<DetectionScores> {
  const { provider, count = 20, silent = count, context = 16, perPrompt = 5, concurrency = 4, seed = 0, progress = defaultProgress() } = options;
  if (typeof provider?.complete !== "function") throw new OptionError("detectionScore: provider: expected one, such as openAiProvider({ endpoint, model }), found none.");
  for (const [name, value, least] of [["count", count, 1], ["silent", silent, 1], ["context", context, 0], ["perPrompt", perPrompt, 1]] as const) {
    if (!Number.isSafeInteger(value) || value < least) throw new OptionError(`detectionScore: ${name}: expected a whole number from ${least} on, found ${value}.`);
  }
  const named = labels as { labels?: unknown };
  const given: [number, string][] = named.labels instanceof Map ? Array.from((labels as FeatureLabels).labels, ([latent, { label }]) => [latent, label])
    : Object.entries(labels as Record<number, string>).map(([latent, label]) => [Number(latent), label]);
  if (!given.length) throw new OptionError("detectionScore: labels: expected at least one, found none.");
  requireLatents("detectionScore", given.map(([latent]) => latent), features.count);
  const empty = given.find(([, label]) => typeof label !== "string" || !label.trim());
  if (empty) throw new OptionError(`detectionScore: labels: expected a text for latent ${empty[0]}, found ${JSON.stringify(empty[1])}.`);

  const texts = await features.texts();
  const sides = splitDocuments(texts.documents());
  const found = await inPieces(heldoutFirings(given.map(([latent]) => latent), features.codes, features.origin, features.rows, (document) => sides[document] === "heldout"), STOPPED);
  if (!found.document.length) {
    throw new OptionError(
      `${features.path}: expected rows of held-out documents, found none (split "${features.manifest.split}", ${sides.length} ${sides.length === 1 ? "document" : "documents"}). ` +
      `Collect both sides: collect(store, sae, { split: "all" }).`);
  }
  const asked = given.map(([latent, label]) => {
    const contexts = detectionContexts(found, latent, { count, silent, reach: context, seed });
    return { latent, label, contexts, said: new Array<boolean | undefined>(contexts.length).fill(undefined) };
  });
  const questions = asked.flatMap((one) => Array.from({ length: Math.ceil(one.contexts.length / perPrompt) }, (_, i) => ({ one, from: i * perPrompt })));
  const told = meter(`detection by ${provider.name}`, questions.length, "questions", progress);
  let done = 0, answered = 0;
  await askEach(questions, concurrency, async ({ one, from }) => {
    const excerpts = one.contexts.slice(from, from + perPrompt).map((where) => excerpt(texts, where, context));
    for (const reminder of [false, true]) {
      const verdicts = readVerdicts(await provider.complete(detectionPrompt(one.label, excerpts, reminder)), excerpts.length);
      if (!verdicts) continue;
      verdicts.forEach((fits, i) => (one.said[from + i] = fits));
      answered++;
      break;
    }
    told((done += 1));
  });
  if (questions.length && !answered) throw new ProviderError(`${provider.name}: expected lists of 0 and 1, found none in any of ${questions.length} answers. Take a model that follows instructions.`);
  const scores = asked.map(({ latent, label, contexts, said }) => detectionScoreOf(latent, label, contexts, said, seed));
  return showing<Omit<DetectionScores, keyof ShownNow>>({
    scores,
    async keep() {
      const column = features.columns().includes("detection") ? features.column("detection") : undefined;
      const values = column instanceof Float32Array ? column.slice() : new Float32Array(features.count).fill(NaN);
      for (const { latent, balancedAccuracy } of scores) values[latent] = balancedAccuracy;
      await features.setColumn("detection", values);
    },
  }, () => {
    const table = detectionTable(scores);
    return notedBundle({ ...table, rows: table.rows.slice(0, 50) });
  }) as DetectionScores;
}

/** The text of a context, cut out of its document where tokens begin and end. */
function excerpt(texts: CollectedTexts, { document, position }: DetectionContext, reach: number): string {
  const { start, end } = texts.tokens(document);
  const [from, to] = [Math.max(0, position - reach), Math.min(start.length - 1, position + reach)];
  return texts.documents()[document].text.slice(start[from], end[to]);
}
