import { traceHtml, traceText, traceView, type TraceView } from "../core/trace";
import { OptionError } from "../core/errors";
import type { Document } from "../core/types";
import type { Features } from "./features";
import { colored, shown, type ShownNow } from "./show";

/** A document to be looked at. */
const traced = (view: TraceView): ShownNow =>
  shown(() => ({
    "application/vnd.saelab.trace.v1+json": { version: 1, ...view, pieces: JSON.stringify(view.pieces) },
    "text/html": traceHtml(view),
    "text/plain": traceText(view, colored()),
  }));

/**
 * A document with its labelled sentences marked.
 * @param labels names in the order of their colours, so that several documents agree; by first appearance when absent
 */
export const showTrace = (document: Document, labels?: string[]): ShownNow => traced(traceView(document, labels));

/**
 * A whole document shaded by one latent, its labelled sentences underlined.
 * @param document its number in the store, or its id
 * @throws OptionError if there is no such document or latent, or its rows were not collected
 */
export async function traceMap(features: Features, latent: number, document: number | string): Promise<ShownNow> {
  const texts = await features.texts();
  const documents = texts.documents();
  const number = typeof document === "number" ? document : documents.findIndex(({ id }) => id === document);
  if (!documents[number])
    throw new OptionError(
      `${features.path}: expected a document from 0 to ${documents.length - 1} or the id of one, found ${JSON.stringify(document)}.`,
    );
  if (!Number.isInteger(latent) || latent < 0 || latent >= features.count)
    throw new OptionError(`${features.path}: expected a latent from 0 to ${features.count - 1}, found ${latent}.`);
  const { from, to } = features.documentRows(number);
  if (from === to)
    throw new OptionError(
      `${features.path}: expected a document on the side "${features.manifest.split}" with rows, found ${documents[number].id}. collect(store, sae) takes all.`,
    );
  const codes = features.codes(from, to);
  const { position } = features.origin(from, to);
  const tokens = texts.tokens(number);
  const values = new Float32Array(tokens.ids.length);
  for (let i = 0; i < codes.index.length; i++)
    if (codes.index[i] === latent && codes.value[i] > 0) values[position[Math.floor(i / codes.k)]] = codes.value[i];
  const labels = [...new Set(documents.flatMap(({ spans = [] }) => spans.map(({ label }) => label)))];
  return traced(traceView(documents[number], labels, { ...tokens, values, latent, max: features.statistics.max[latent] }));
}
