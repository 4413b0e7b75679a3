import { createHash } from "node:crypto";
import { OptionError } from "../core/errors";
import { DENSE } from "../core/measure";
import { packText, textHtml, textText, type TextLatent, type TextView } from "../core/textview";
import { bytesToText } from "../core/token";
import type { Model, Sae, Sparse } from "../core/types";
import { textColumn } from "./columns";
import type { Features } from "./features";
import { listen } from "./livetext";
import { requireSameSae, requireWholeSae } from "./samesae";
import { colored, showing, type ShownNow } from "./show";

export interface TextOptions {
  model: Model;
  sae: Sae;
  features?: Features; // none: with those collected from the same SAE, shades compare with their maxima, and labels are shown
  hook?: string; // the SAE's, or that of the features
  top?: number; // 5 latents of each token
  dense?: boolean; // false: latents that fire on more than a tenth of the collection's rows are passed over
  first?: boolean; // false: the first token is not encoded, an attention sink that gave no row of a harvest either
}

export interface TextFeatures extends TextView, ShownNow {
  text: string;
  /** Of the whole text: latent numbers and activations of each token that was encoded, from token `skipped` on. */
  codes: Sparse;
}

const LONGEST = 1024; // tokens: it is read at once, and has a row for each
const NONE: Sparse = { n: 0, k: 1, index: new Int32Array(0), value: new Float32Array(0) };
const LINES = 12; // latents that are kept for having one of the largest peaks, though they are no token's strongest

/**
 * The latents of an SAE that fire on a text: of each token the strongest, and where in the text the strongest of all fire.
 *
 * Shows itself as `application/vnd.saelab.text.v1+json` (a PackedText), HTML without script, and text. In a saelab kernel the JSON has an id by which a
 * front end can ask for the latents of other texts while they are typed: see adapters/livetext. It works as long as the model is open.
 * @throws OptionError for a text without tokens or of more than 1,024, an SAE whose rows the hook does not have, or a bad `top`; StoreError for features of another SAE
 */
export async function textFeatures(text: string, options: TextOptions): Promise<TextFeatures> {
  const { model, sae, features, top = 5 } = options;
  if (typeof text !== "string") throw new OptionError(`textFeatures: expected a text, found ${JSON.stringify(text)}.`);
  if (!Number.isSafeInteger(top) || top < 1) throw new OptionError(`textFeatures: top: expected a whole number from 1 on, found ${top}.`);
  requireWholeSae("textFeatures", sae);
  const hook = hookOf(options);
  if (features && features.count !== sae.weights.latents)
    throw new OptionError(`textFeatures: features: expected those of an SAE of ${sae.weights.latents} latents, found ${features.count} in ${features.path}. Give the features that were collected with this SAE.`);
  if (features) await requireSameSae(features, sae, "No text was read.");
  const read = async (asked: string): Promise<{ view: TextView; codes: Sparse }> => latentsOf(asked, { ...options, hook, top });
  const { view, codes } = await read(text);
  const name = createHash("sha256").update(JSON.stringify([model.source, hook, sae.weights.latents, features?.path, text, top, options.dense, options.first])).digest("hex").slice(0, 12);
  let live: { id?: string } | undefined;
  const id = (): string | undefined => (live ??= { id: listen(name, async (asked) => (await read(asked)).view) }).id;
  return showing({ text, codes, ...view }, () => ({
    "application/vnd.saelab.text.v1+json": packText(view, id()),
    "text/html": textHtml(view),
    "text/plain": textText(view, colored()),
  }));
}

/** @throws OptionError when no hook is known, or it has rows of another width */
function hookOf({ model, sae, features, hook }: TextOptions): string {
  const named = hook ?? sae.hook ?? features?.manifest.sae.hook;
  if (!named) throw new OptionError("textFeatures: hook: expected the place that the SAE reads, found none in the SAE. Name it: { hook }.");
  const { name } = model.hook(named);
  const width = model.hooks().find((row) => row.name === name)?.width;
  if (width !== sae.weights.d)
    throw new OptionError(`textFeatures: ${name}: expected rows of width ${sae.weights.d}, as the SAE has, found ${width} in ${model.source}. Name the hook it was trained on: { hook }.`);
  return name;
}

async function latentsOf(text: string, { model, sae, features, hook, top, dense = false, first = false }: TextOptions & { hook: string; top: number }): Promise<{ view: TextView; codes: Sparse }> {
  const { ids } = model.tokenizer.encode(text);
  if (!ids.length) throw new OptionError("textFeatures: expected a text of at least one token, found none.");
  const longest = Math.min(LONGEST, model.context ?? LONGEST);
  if (ids.length > longest) throw new OptionError(`textFeatures: expected a text of at most ${longest} tokens, found ${ids.length}. documentView shows long texts of a store.`);
  const skipped = first ? 0 : 1;
  const codes = ids.length > skipped ? sae.encode((await model.run([ids], { hooks: [hook] }))[hook].slice(skipped * sae.weights.d)) : NONE;
  const { latents, passed } = firing(codes, { n: ids.length, skipped, top, passOver: (latent) => !dense && (features?.statistics.density[latent] ?? 0) > DENSE });
  const label = textColumn(features, "label");
  const verdict = textColumn(features, "verdict");
  const largest = latents.reduce((most, { peak }) => Math.max(most, peak), 0);
  const view: TextView = {
    hook, skipped, top,
    tokens: Array.from(ids, (id) => bytesToText(model.tokenizer.bytes(id))),
    of: features ? "collection" : "text",
    latents: latents.map(({ latent, values }): TextLatent => ({
      latent,
      ...(label(latent) ? { label: label(latent) } : {}),
      ...(verdict(latent) ? { verdict: verdict(latent) } : {}),
      ...(features ? { density: features.statistics.density[latent] } : {}),
      max: features ? features.statistics.max[latent] : largest,
      values,
    })),
    notes: passed ? [`${passed} latent${passed === 1 ? " that fires" : "s that fire"} on more than a tenth of the collection’s rows ${passed === 1 ? "is" : "are"} passed over; { dense: true } shows ${passed === 1 ? "it" : "them"}.`] : [],
  };
  return { view, codes };
}

/** Latents with their activations by token: of each token the `top` strongest, and those of the largest peaks, which come first. */
function firing({ n: encoded, k, index, value }: Sparse, { n, skipped, top, passOver }: { n: number; skipped: number; top: number; passOver: (latent: number) => boolean }) {
  const found = new Map<number, { latent: number; peak: number; values: Float32Array; shown: boolean }>();
  const passed = new Set<number>();
  for (let row = 0; row < encoded; row++) {
    let rank = 0; // a row's latents come larger first
    for (let i = row * k; i < (row + 1) * k; i++) {
      if (!(value[i] > 0)) continue;
      const latent = index[i];
      if (passOver(latent)) {
        passed.add(latent);
        continue;
      }
      let one = found.get(latent);
      if (!one) found.set(latent, (one = { latent, peak: 0, values: new Float32Array(n), shown: false }));
      one.values[row + skipped] = value[i];
      one.peak = Math.max(one.peak, value[i]);
      if (rank++ < top) one.shown = true;
    }
  }
  const latents = [...found.values()].sort((a, b) => b.peak - a.peak || a.latent - b.latent).filter(({ shown }, i) => shown || i < LINES);
  return { latents, passed: passed.size };
}
