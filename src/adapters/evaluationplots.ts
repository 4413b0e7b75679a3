import { densityFigure } from "../core/evaluationplot";
import { densityHistogram as histogramOf, type DensityHistogram } from "../core/measure";
import type { Features } from "./features";
import { plotted } from "./plots";
import type { Shown } from "./show";

/**
 * Latents by how often they fire: a histogram over the logarithm of the share of rows, dead ones counted in the title.
 * @param of what `evaluate` gave, or a collection of features
 * @returns shows itself as `trainingCurve` does
 */
export function densityHistogram(of: { histogram: DensityHistogram } | Features): Shown {
  return plotted(densityFigure("histogram" in of ? of.histogram : histogramOf(of.statistics.density)));
}
