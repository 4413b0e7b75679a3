import { PIECE, type Firings } from "./collect";
import type { RowOrigins } from "./examples";
import type { Pieces } from "./pieces";

/** Where in its documents a latent fires. */
export interface PositionSpread {
  documents: Int32Array; // [F] documents on which it fires
  mean: Float32Array; // [F] tokens before the firing, mean over the firings; 0 of a latent that never fires, as are the next two
  early: Float32Array; // [F] share of the firings that are within the first EARLY tokens of a document
  tenths: Float32Array; // [F, 10] share of the firings in each tenth of the document's length
}

export const EARLY = 5;
export const TENTHS = 10;

/** @param lengths tokens of each document, those without rows included */
export function* positionSpread({ from, to, offset, row }: Firings, origin: RowOrigins, lengths: Int32Array): Pieces<PositionSpread> {
  const latents = to - from;
  const out: PositionSpread = {
    documents: new Int32Array(latents),
    mean: new Float32Array(latents),
    early: new Float32Array(latents),
    tenths: new Float32Array(latents * TENTHS),
  };
  const counts = new Int32Array(TENTHS);
  let looked = 0;
  for (let f = 0; f < latents; f++) {
    const [a, b] = [offset[f], offset[f + 1]];
    if ((looked += b - a) > PIECE) {
      yield;
      looked = 0;
    }
    if (a === b) continue;
    let [sum, early, document] = [0, 0, -1];
    counts.fill(0);
    for (let i = a; i < b; i++) {
      const [here, position] = [origin.document[row[i]], origin.position[row[i]]];
      if (here !== document) out.documents[f]++; // rows of a document lie together
      document = here;
      sum += position;
      if (position < EARLY) early++;
      counts[Math.min(TENTHS - 1, Math.floor((TENTHS * position) / lengths[here]))]++;
    }
    out.mean[f] = sum / (b - a);
    out.early[f] = early / (b - a);
    for (let t = 0; t < TENTHS; t++) out.tenths[f * TENTHS + t] = counts[t] / (b - a);
  }
  return out;
}
