import { escapeHtml } from "../core/html";
import { scatterFigure, trainingFigure, type Plot } from "../core/plot";
import type { Sae, TrainingPoint } from "../core/types";
import type { Features } from "./features";
import { OptionError } from "../core/errors";
import { figurePng } from "./png";
import { showing, type Bundle, type Shown } from "./show";

/**
 * Plots that a cell shows: interactive where there is a renderer for Plotly, a picture with a description everywhere
 * else.
 */

/** A figure that shows itself; it is drawn when it is shown. */
export function plotted({ figure, words }: Plot): Shown {
  let made: Promise<Bundle> | undefined;
  const draw = async (): Promise<Bundle> => {
    const png = Buffer.from(await figurePng(figure)).toString("base64");
    return {
      "application/vnd.plotly.v1+json": figure,
      "text/html": `<img alt="${escapeHtml(words)}" src="data:image/png;base64,${png}" width="${figure.layout.width}" style="max-width:100%;height:auto;border-radius:4px">`,
      "image/png": png,
      "text/plain": words,
    };
  };
  return showing(
    {},
    () => (made ??= draw()),
    () => words,
  );
}

/**
 * How training went: variance unexplained and dead latents against the tokens seen.
 * @param of an SAE, or the points of its curve, by step
 * @returns shows itself as `application/vnd.plotly.v1+json`, `image/png`, HTML with that picture, and a sentence; it is
 *   drawn when it is shown
 * @throws OptionError if the SAE has no curve (it was trained elsewhere)
 */
export function trainingCurve(of: Sae | TrainingPoint[]): Shown {
  const curve = Array.isArray(of) ? of : of.curve;
  if (!curve?.length) {
    throw new OptionError(
      "trainingCurve: expected an SAE with a training curve, found none. One that trainSae made has it, also after save and loadSae; other checkpoints do not.",
    );
  }
  return plotted(trainingFigure(curve));
}

/**
 * All latents at a glance: how often each fires (share of rows) against how strongly (maximum, in the model's own
 * units), a point each, both axes logarithmic.
 * @param features of which `statistics.density` and `.max` are shown, [latents] each
 * @returns shows itself as `trainingCurve` does
 */
export function featureScatter(features: Features): Shown {
  const { density, max } = features.statistics;
  return plotted(scatterFigure(density, max));
}
