import { OptionError, ProviderError, StoreError } from "../core/errors";
import type { Suggestion } from "../core/labels";
import { labelPrompt, markedText, paraphrasePrompt, readLabel, readParaphrase } from "../core/labelprompts";
import { splitDocuments } from "../core/split";
import type { Example, Progress } from "../core/types";
import { askEach } from "./askeach";
import type { CollectedFeature, Features } from "./features";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import type { LabelProvider } from "./provider";
import { featureLabels, requireLatents, type FeatureLabels } from "./suggestlabels";

/** Labels by a language model. */

export interface LabelOptions {
  provider: LabelProvider;
  latents?: number[]; // the `count` strongest
  count?: number; // 20
  examples?: number; // 12: the strongest, and some of each quarter of the activations
  concurrency?: number; // 4 questions at once
  progress?: Progress; // a bar in a notebook, nothing elsewhere
}

/**
 * Asks a language model what the contexts of each latent have in common. Only documents on the training side are shown to it, so that
 * {@link detectionScore} can ask on the others whether the label is true. A latent whose answer cannot be read, or that the endpoint refuses after others
 * were answered, is among `none`.
 * @throws ProviderError when the first question is refused; OptionError for a latent out of range; InterruptError
 */
export async function labelFeatures(features: Features, options: LabelOptions): Promise<FeatureLabels> {
  const { provider, count = 20, examples = 12, concurrency = 4, progress = defaultProgress() } = options;
  if (typeof provider?.complete !== "function") throw new OptionError("labelFeatures: provider: expected one, such as openAiProvider({ endpoint, model }), found none.");
  if (!Number.isSafeInteger(examples) || examples < 1) throw new OptionError(`labelFeatures: examples: expected a whole number from 1 on, found ${examples}.`);
  requireLatents("labelFeatures", options.latents ?? [], features.count);
  const asked = options.latents ?? features.top({ count, examples: 1 }).map(({ latent }) => latent);
  const shown = await trainingSide(features);
  const labels = new Map<number, Suggestion>(), none = new Map<number, string>();
  const found = new Map<number, Suggestion | string>();
  const told = meter(`labels by ${provider.name}`, asked.length, "latents", progress);
  let refused: ProviderError | undefined;
  await askEach([...new Set(asked)], concurrency, async (latent) => {
    const feature = features.feature(latent);
    const contexts = contextsOf(feature, examples, shown);
    if (!contexts.length) found.set(latent, feature.density ? "fires on no document of the training side" : "never fires");
    else if (refused) found.set(latent, refused.message);
    else {
      try {
        const { token } = feature.words;
        // not the collection's triggers, which held-out documents are among
        const strongest = [...new Set(contexts.map(({ tokens, peak }) => token(tokens[peak])))].slice(0, 5);
        const hints = { promoted: feature.logits?.top.slice(0, 5).map(({ text }) => text), strongest };
        const label = readLabel(await provider.complete(labelPrompt(contexts.map((one) => markedText(one, token)), hints)));
        found.set(latent, label ? { label, why: `${provider.name}, of ${contexts.length} contexts` } : "the answer held no label");
      } catch (error) {
        if (!(error instanceof ProviderError) || ![...found.values()].some((one) => typeof one === "object")) throw error;
        refused = error; // what has been answered is worth keeping
        found.set(latent, error.message);
      }
    }
    told(found.size);
  });
  for (const latent of asked) {
    const one = found.get(latent)!;
    if (typeof one === "string") none.set(latent, one);
    else labels.set(latent, one);
  }
  return featureLabels(features, labels, none);
}

/** Whether a document may be shown to a labeller; all may where the texts, and with them the split, are gone. */
async function trainingSide(features: Features): Promise<(document: number) => boolean> {
  try {
    const sides = splitDocuments((await features.texts()).documents());
    return (document) => sides[document] !== "heldout";
  } catch (error) {
    if (error instanceof StoreError) return () => true;
    throw error;
  }
}

/** Two thirds of the strongest, the rest from the quarters of its activations, weakest last. */
function contextsOf({ top, more }: CollectedFeature, count: number, shown: (document: number) => boolean): Example[] {
  const fits = top.filter(({ document }) => shown(document));
  const others = more.flatMap(({ examples }) => examples.slice(0, 1)).filter(({ document }) => shown(document)).slice(0, Math.floor(count / 3));
  return [...fits.slice(0, count - others.length), ...others];
}

/** Texts in other words, for {@link falsify}: does a latent fire on what is said, or on how? */
export function paraphraser(provider: LabelProvider, { concurrency = 4 }: { concurrency?: number } = {}): { paraphrase(texts: string[]): Promise<string[]> } {
  return {
    async paraphrase(texts) {
      const out = new Array<string>(texts.length);
      await askEach([...texts.keys()], concurrency, async (i) => {
        out[i] = readParaphrase(await provider.complete(paraphrasePrompt(texts[i])), texts[i]);
      });
      return out;
    },
  };
}
