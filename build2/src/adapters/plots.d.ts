import type { Sae, TrainingPoint } from "../core/types";
import type { Features } from "./features";
import { type Shown } from "./show";
/**
 * How training went: variance unexplained and dead latents against the tokens seen.
 * @param of an SAE, or the points of its curve, by step
 * @returns shows itself as `application/vnd.plotly.v1+json`, `image/png`, HTML with that picture, and a sentence; it is
 *   drawn when it is shown
 * @throws OptionError if the SAE has no curve (it was trained elsewhere)
 */
export declare function trainingCurve(of: Sae | TrainingPoint[]): Shown;
/**
 * All latents at a glance: how often each fires (share of rows) against how strongly (maximum, in the model's own
 * units), a point each, both axes logarithmic.
 * @param features of which `statistics.density` and `.max` are shown, [latents] each
 * @returns shows itself as `trainingCurve` does
 */
export declare function featureScatter(features: Features): Shown;
