import { OptionError } from "../core/errors";
import { suggestLabel, type Suggestion } from "../core/labels";
import type { Progress } from "../core/types";
import type { Features } from "./features";
import { breathe, stopIfInterrupted } from "./interrupt";
import { meter } from "./progress";
import { defaultProgress } from "./progressbar";
import { showing, type ShownNow } from "./show";
import { notedBundle } from "./table";

/** Labels of latents, however they were found, and how they get into the family. */

const TOGETHER = 64; // latents looked at between two looks at the interrupt

export interface FeatureLabels extends ShownNow {
  /** By latent, in the order asked for. */
  labels: Map<number, Suggestion>;
  /** Latents without one, and why. */
  none: Map<number, string>;
  /**
   * Writes them into the family's column "label", which is shown with a feature and is a column of `table()`. One that is there stays, unless `overwrite`.
   * @returns how many were written
   */
  keep(options?: { overwrite?: boolean }): Promise<number>;
}

export function featureLabels(features: Features, labels: Map<number, Suggestion>, none: Map<number, string>): FeatureLabels {
  return showing<Omit<FeatureLabels, keyof ShownNow>>({
    labels, none,
    async keep({ overwrite = false } = {}) {
      const there = features.columns().includes("label") ? features.column("label") : [];
      const all: Record<number, string> = {};
      Array.from(there as ArrayLike<string | undefined>).forEach((text, latent) => {
        if (typeof text === "string") all[latent] = text;
      });
      let written = 0;
      for (const [latent, { label }] of labels) {
        if (!overwrite && all[latent] !== undefined) continue;
        all[latent] = label;
        written++;
      }
      await features.setColumn("label", all);
      return written;
    },
  }, () => {
    const rows = [
      ...Array.from(labels, ([latent, { label, why }]) => [latent, label, why]),
      ...Array.from(none, ([latent, why]) => [latent, "–", why]),
    ];
    return notedBundle({
      columns: ["latent", "label", "why"], rows: rows.slice(0, 20), total: rows.length, words: true,
      notes: ["A label says where a latent fires, and is not tested: detectionScore asks whether it holds, falsify whether there is more to the latent than these tokens."],
    });
  }) as FeatureLabels;
}

export function requireLatents(what: string, latents: number[], count: number): void {
  const wrong = latents.find((latent) => !Number.isInteger(latent) || latent < 0 || latent >= count);
  if (wrong !== undefined) throw new OptionError(`${what}: latents: expected numbers from 0 to ${count - 1}, found ${wrong}.`);
}

/**
 * A label for each latent out of its statistics, without a network or a model: tokens of its activation mass, its strongest tokens, where in a text it fires,
 * what its decoder row makes likelier where that was kept. What it says is where a latent fires; what it is for has to be tested.
 * @returns shows itself as a table; `keep()` writes the labels into the family
 * @throws OptionError for a latent out of range; InterruptError
 */
export async function suggestLabels(features: Features, { latents, progress = defaultProgress() }: { latents?: number[]; progress?: Progress } = {}): Promise<FeatureLabels> {
  requireLatents("suggestLabels", latents ?? [], features.count);
  const asked = latents ?? Array.from(features.fired.keys()).filter((f) => features.fired[f] > 0);
  const told = meter("suggest labels", asked.length, "latents", progress);
  const labels = new Map<number, Suggestion>(), none = new Map<number, string>();
  for (let from = 0; from < asked.length; from += TOGETHER) {
    const some = features.top({ latents: asked.slice(from, from + TOGETHER), examples: 0 });
    for (const { latent, density, entropy, triggers, tokenShares, position, documents, logits } of some) {
      const found = suggestLabel({ density, entropy, triggers, tokenShares, early: position.early, fired: features.fired[latent], documents, logits });
      if (found) labels.set(latent, found);
      else none.set(latent, features.fired[latent] ? "fires too rarely" : "never fires");
    }
    told(from + some.length);
    stopIfInterrupted("No label was kept: ask again.");
    await breathe();
  }
  return featureLabels(features, labels, none);
}
