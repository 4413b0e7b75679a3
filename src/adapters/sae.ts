/** SAEs as values: opened from checkpoints, made of weights, held against rows. */
export { evaluate, type EvaluateOptions, type Evaluation } from "./evaluate";
export { loadSae, type LoadOptions } from "./loadsae";
export { checkTarget, saeOf } from "./saevalue";
