import { type Step, type StepState } from "./step";
import { type Engine } from "./tensorflow";
/**
 * Dense, with TF.js's own gradients: every latent is computed, and a mask of 0 and 1 keeps the chosen. Slow; the reference
 * of the stock step.
 */
export declare function plainStep({ tf }: Engine, initial: StepState): Step;
