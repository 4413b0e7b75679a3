import { OptionError } from "../core/errors";
import { densityFigure } from "../core/evaluationplot";
import { activationFigure } from "../core/featureplots";
import { densityHistogram } from "../core/measure";
import type { Features } from "./features";
import { requireLatents } from "./latents";
import { plotted } from "./plots";
import type { Shown } from "./show";

/**
 * How strongly a latent fires: its rows by activation, on a logarithmic axis, with its mean and maximum.
 * @returns shows itself as `trainingCurve` does
 * @throws OptionError if there is no such latent, or it never fires
 */
export function activationHistogram(features: Features, latent: number): Shown {
  const feature = features.feature(latent);
  if (!feature.density) throw new OptionError(`${features.path}: expected a latent that fires, found ${latent}, which fires on none of ${features.rows} rows. features.top() has living ones.`);
  return plotted(activationFigure(feature));
}

/**
 * How often latents fire: all of them by the share of rows, on a logarithmic axis, and where some of them are among the others.
 * @param options `latents`: at most 20 that are marked, none by default
 * @returns shows itself as `trainingCurve` does
 * @throws OptionError if there is no such latent, or there are too many
 */
export function densityPlot(features: Features, { latents = [] }: { latents?: number[] } = {}): Shown {
  if (latents.length > MOST) throw new OptionError(`densityPlot: latents: expected at most ${MOST}, found ${latents.length}. Their numbers would cover one another.`);
  requireLatents(latents, features.count, features.path);
  const { density } = features.statistics;
  return plotted(densityFigure(densityHistogram(density), "Density of the latents", latents.map((latent) => ({ latent, density: density[latent] }))));
}

const MOST = 20;
