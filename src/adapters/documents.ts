import { documentHtml, documentText, documentView as viewOf, MOST_LATENTS, packDocument, type DocumentLatent } from "../core/documentview";
import { OptionError } from "../core/errors";
import { timelineFigure } from "../core/featureplots";
import type { Document, Tokens } from "../core/types";
import { textColumn } from "./columns";
import type { Features } from "./features";
import { requireLatents } from "./latents";
import { plotted } from "./plots";
import { colored, shown, type Shown, type ShownNow } from "./show";

/** What some latents of a collection do along one whole document. */
export interface DocumentFirings {
  /** Its number in the collection. */
  number: number;
  document: Document;
  tokens: Tokens;
  /** Of each latent asked for its activation at every token: 0 where it has no row. */
  values: Float32Array[];
  /** Tokens without a row. */
  dropped: number;
}

/**
 * @param document its number in the collection, or its id
 * @throws OptionError if there is no such document or latent, or its rows were not collected
 */
export async function documentFirings(features: Features, latents: number[], document: number | string): Promise<DocumentFirings> {
  const texts = await features.texts();
  const documents = texts.documents();
  const number = typeof document === "number" ? document : documents.findIndex(({ id }) => id === document);
  if (!documents[number])
    throw new OptionError(`${features.path}: expected a document from 0 to ${documents.length - 1} or the id of one, found ${JSON.stringify(document)}.`);
  requireLatents(latents, features.count, features.path);
  const { from, to } = features.documentRows(number);
  if (from === to)
    throw new OptionError(`${features.path}: expected a document on the side "${features.manifest.split}" with rows, found ${documents[number].id}. collect(store, sae) takes all.`);
  const codes = features.codes(from, to);
  const { position } = features.origin(from, to);
  const tokens = texts.tokens(number);
  const values = latents.map(() => new Float32Array(tokens.ids.length));
  const place = new Map(latents.map((latent, i) => [latent, i]));
  for (let i = 0; i < codes.index.length; i++) {
    const at = place.get(codes.index[i]);
    if (at !== undefined && codes.value[i] > 0) values[at][position[Math.floor(i / codes.k)]] = codes.value[i];
  }
  return { number, document: documents[number], tokens, values, dropped: tokens.ids.length - (to - from) };
}

/** @throws OptionError for none, too many, or one twice */
function checkLatents(verb: string, latents: number[]): void {
  if (!Array.isArray(latents)) throw new OptionError(`${verb}: latents: expected a number or a list of numbers, found ${JSON.stringify(latents)}.`);
  if (!latents.length || latents.length > MOST_LATENTS)
    throw new OptionError(`${verb}: latents: expected 1 to ${MOST_LATENTS}, found ${latents.length}. More cannot be told apart by their colours.`);
  const twice = latents.find((latent, i) => latents.indexOf(latent) !== i);
  if (twice !== undefined) throw new OptionError(`${verb}: latents: expected each once, found ${twice} twice.`);
}

/** Activations with what is known of each latent. */
function known(features: Features, latents: number[], values: Float32Array[]): DocumentLatent[] {
  const label = textColumn(features, "label");
  const verdict = textColumn(features, "verdict");
  return latents.map((latent, i) => ({
    latent,
    ...(label(latent) ? { label: label(latent) } : {}),
    ...(verdict(latent) ? { verdict: verdict(latent) } : {}),
    max: features.statistics.max[latent],
    values: values[i],
  }));
}

/**
 * One whole document, each of up to eight latents in a colour of its own, its labelled sentences marked where they begin.
 * @param document its number in the collection, or its id
 * @returns shows itself as `application/vnd.saelab.document.v1+json` (a PackedDocument), HTML without script, and text
 * @throws OptionError for another document or latent, no latent or more than eight, or a document whose rows were not collected; StoreError if the store is gone
 */
export async function documentView(features: Features, latents: number | number[], document: number | string): Promise<ShownNow> {
  const asked = typeof latents === "number" ? [latents] : latents;
  checkLatents("documentView", asked);
  const found = await documentFirings(features, asked, document);
  const notes = found.dropped ? [`${found.dropped} token${found.dropped === 1 ? " has" : "s have"} no row, as attention sinks or by the harvest's choice, and no shade.`] : [];
  const view = viewOf(found.document, found.tokens, known(features, asked, found.values), notes);
  return shown(() => ({
    "application/vnd.saelab.document.v1+json": packDocument(view),
    "text/html": documentHtml(view),
    "text/plain": documentText(view, colored()),
  }));
}

/** Index of the first token that ends behind an offset. */
const tokenAt = ({ end }: Tokens, offset: number): number => {
  const found = end.findIndex((at) => at > offset);
  return found < 0 ? end.length : found;
};

/**
 * How strongly some latents fire along a document, token by token, over bands of its labelled sentences.
 * @param document its number in the collection, or its id
 * @returns shows itself as `application/vnd.plotly.v1+json`, `image/png`, HTML with that picture, and a sentence; it is drawn when it is shown
 * @throws as `documentView`
 */
export async function timeline(features: Features, latents: number | number[], document: number | string): Promise<Shown> {
  const asked = typeof latents === "number" ? [latents] : latents;
  checkLatents("timeline", asked);
  const { document: { id, text, spans = [] }, tokens, values } = await documentFirings(features, asked, document);
  return plotted(timelineFigure({
    id,
    tokens: Array.from(tokens.start, (start, t) => text.slice(start, tokens.end[t])),
    latents: known(features, asked, values),
    sentences: spans.map(({ label, start, end }) => ({ label, start: tokenAt(tokens, start), end: Math.max(tokenAt(tokens, start), tokenAt(tokens, end - 1) + 1) })).filter(({ start }) => start < tokens.ids.length),
  }));
}
