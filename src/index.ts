/** The public names of saelab, one by one. */
export { readTexts } from "./adapters/texts";
export { openModel } from "./adapters/open";
export { harvest } from "./adapters/harvest";
export { openStore, rowsOf } from "./adapters/store";
export { trainSae } from "./adapters/train";
export { evaluate, loadSae } from "./adapters/sae";
export { collect } from "./adapters/collect";
export { openFeatures } from "./adapters/features";
export { scoreLabels } from "./adapters/score";
export { display, heatMap } from "./adapters/show";
export { featureScatter, trainingCurve } from "./adapters/plots";
export { featureTable } from "./adapters/table";
export { showTrace, traceMap } from "./adapters/traces";
export { progressBar } from "./adapters/progressbar";
export { publish } from "./adapters/publish";

export type { ReadOptions } from "./adapters/texts";
export type { OpenOptions } from "./adapters/open";
export type { HarvestOptions } from "./adapters/harvest";
export type { TrainOptions } from "./adapters/train";
export type { EvaluateOptions, Evaluation, LoadOptions } from "./adapters/sae";
export type { CollectOptions } from "./adapters/collect";
export type { CollectedFeature, Features, TopOptions } from "./adapters/features";
export type { LabelScores, ScoreOptions } from "./adapters/score";
export type { PublishOptions } from "./adapters/publish";
export type {
  Document, Example, Feature, GenerateOptions, Hook, HookKind, Model, Origin, Progress, Sae, SaeWeights, Span, Sparse, Store, StoreManifest, Tokenizer, Tokens, TrainingPoint,
} from "./core/types";
export {
  CheckpointError, DiskError, EngineError, FormatError, HookError, InterruptError, ModelError, OptionError, StoreError, TextError, TrainError,
} from "./core/errors";
