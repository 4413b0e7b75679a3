import type { Scale } from "../core/trained";

/**
 * Rows in training units. Each hook's rows are taken times a scale of its own, to mean square 1 a coordinate; rows of several
 * hooks stand side by side, as one row. trainedWeights (core/trained) folds the scales back.
 */

/** A place whose rows are read or rebuilt, with what they are multiplied by. */
export interface Scaled {
  hook: string;
  width: number;
  scale: number;
}

/**
 * The rows [n, Σ widths] of these places.
 * @param free hooks whose rows nobody reads after this: they may be scaled where they lie
 */
export function inTrainingUnits(rows: Map<string, Float32Array>, places: Scaled[], n: number, free?: Set<string>): Float32Array {
  const d = places.reduce((sum, { width }) => sum + width, 0);
  const own = places.length === 1 && free?.has(places[0].hook) ? rows.get(places[0].hook) : undefined;
  const out = own ?? new Float32Array(n * d); // TensorFlow may share its memory: a fresh one each time
  let column = 0;
  for (const { hook, width, scale } of places) {
    const from = rows.get(hook)!;
    if (width === d) for (let i = 0; i < out.length; i++) out[i] = from[i] * scale;
    else {
      for (let row = 0; row < n; row++) {
        for (let j = 0; j < width; j++) out[row * d + column + j] = from[row * width + j] * scale;
      }
    }
    column += width;
  }
  return out;
}

/** The scale of each coordinate, [Σ widths]. */
export const scaleOf = (places: Scaled[]): Scale =>
  Float64Array.from(places.flatMap(({ width, scale }) => new Array<number>(width).fill(scale)));

/** Rows of several places side by side as they are, [n, Σ widths]; those of one are not copied. */
export function sideBySide(parts: Float32Array[], widths: number[]): Float32Array {
  if (parts.length === 1) return parts[0];
  const d = widths.reduce((a, b) => a + b, 0), n = parts[0].length / widths[0];
  const out = new Float32Array(n * d);
  let column = 0;
  parts.forEach((part, i) => {
    for (let row = 0; row < n; row++) out.set(part.subarray(row * widths[i], (row + 1) * widths[i]), row * d + column);
    column += widths[i];
  });
  return out;
}
