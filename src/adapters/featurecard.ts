import { cardHtml, cardText, packCard, shadingOf, type CardView } from "../core/featurecard";
import { featureView } from "../core/heatmap";
import type { Shading } from "../core/shading";
import { textColumn } from "./columns";
import type { Features } from "./features";
import { colored, shown, type ShownNow } from "./show";

const SHOWN = ["label", "verdict"]; // columns that stand in the header

/**
 * All that a collection knows of one latent: how often and how strongly it fires, on which tokens, where in documents, what it writes, what fires with it,
 * the columns that were found later, and its examples with their whole contexts.
 * @returns shows itself as `application/vnd.saelab.card.v1+json` (a PackedCard), HTML without script, and text
 * @throws OptionError if there is no such latent
 */
export function featureCard(features: Features, latent: number, { shading = "linear" }: { shading?: Shading } = {}): ShownNow {
  const feature = features.feature(latent);
  const label = textColumn(features, "label");
  const names = features.columns().filter((name) => !SHOWN.includes(name));
  const view: CardView = {
    feature: featureView(feature, features.words, { context: "whole", examples: Infinity }),
    latents: features.count,
    hook: features.manifest.sae.hook,
    rows: features.rows,
    entropy: feature.entropy,
    triggers: feature.triggers.map(({ text, mean }) => ({ text, mean })),
    together: feature.together.map((partner) => ({ ...partner, ...(label(partner.latent) ? { label: label(partner.latent) } : {}) })),
    columns: names.flatMap((name) => {
      const value = features.column(name)[latent];
      return value === undefined || Number.isNaN(value) ? [] : [{ name, value }];
    }),
    ...shadingOf(shading),
  };
  return shown(() => ({
    "application/vnd.saelab.card.v1+json": packCard(view),
    "text/html": cardHtml(view),
    "text/plain": cardText(view, colored()),
  }));
}
