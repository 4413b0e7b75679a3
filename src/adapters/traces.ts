import { traceHtml, traceText, traceView, type TraceView } from "../core/trace";
import type { Document } from "../core/types";
import { documentFirings } from "./documents";
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
  const found = await documentFirings(features, [latent], document);
  const documents = (await features.texts()).documents();
  const labels = [...new Set(documents.flatMap(({ spans = [] }) => spans.map(({ label }) => label)))];
  return traced(traceView(found.document, labels, { ...found.tokens, values: found.values[0], latent, max: features.statistics.max[latent] }));
}
