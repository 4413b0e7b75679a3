/** The public names of saelab, one by one. */
export { readTexts } from "./adapters/texts";
export { openModel } from "./adapters/open";
export { attribution, logitLens, loss } from "./adapters/lens";
export { preflight } from "./adapters/preflight";
export { hookPipeline } from "./adapters/pipeline";
export { downloadSnapshot, listFiles } from "./adapters/hub";
export { harvest, harvestPart } from "./adapters/harvest";
export { mergeStores } from "./adapters/merge";
export { partFolders } from "./adapters/storestate";
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
export type { Attribution, AttributionOptions, AttributionPart, Lens, LensOptions, Loss, LossOptions, TextLoss } from "./adapters/lens";
export type { Preflight, PreflightOptions } from "./adapters/preflight";
export type { PlaceMeasures } from "./core/preflight";
export type { HookedPipeline, PipelineHookOptions, PipelinePass } from "./adapters/pipeline";
export type { DownloadOptions, HubFile, HubOptions } from "./adapters/hub";
export type { HarvestOptions, StorePart } from "./adapters/harvest";
export type { MergeOptions } from "./adapters/merge";
export type { Part, PartManifest } from "./adapters/storestate";
export type { ChatFormat } from "./core/chat";
export type { CheckpointFormat } from "./core/checkpoint";
export type { Foreseen, LensCell, LossMeans } from "./core/lens";
export type { TrainOptions } from "./adapters/train";
export type { EvaluateOptions, Evaluation, LoadOptions } from "./adapters/sae";
export type { CollectOptions } from "./adapters/collect";
export type { CollectedFeature, Features, TopOptions } from "./adapters/features";
export type { LabelScores, ScoreOptions } from "./adapters/score";
export type { PublishOptions } from "./adapters/publish";
export type {
  Activation, ChatMessage, ChatOptions, Document, EditPlace, Example, Feature, GeneratedDocument, GenerateOptions, Generation, HeadOutput, HeadRows, Hook, HookKind, HookRow, Model, Origin, Piece, Positions,
  Progress, RunOptions, Sae, SaeFormat, SaeParts, SaeWeights, SaveOptions, Span, Sparse, Store, StoreManifest, Tokenizer, Tokens, TrainingPoint, Write,
} from "./core/types";
export {
  CheckpointError, DiskError, EngineError, FormatError, HookError, HubError, InterruptError, ModelError, OptionError, StoreError, TextError, TrainError,
} from "./core/errors";
