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
export { trainSae, trainSaes } from "./adapters/train";
export { loadSae } from "./adapters/sae";
export { evaluate } from "./adapters/evaluate";
export { evaluateSplice } from "./adapters/spliceloss";
export { compareSaes, comparison } from "./adapters/compare";
export { sparseProbing } from "./adapters/probe";
export { dictionaryRecovery } from "./adapters/dictionary";
export { densityHistogram } from "./adapters/evaluationplots";
export { collect } from "./adapters/collect";
export { openFeatures } from "./adapters/features";
export { scoreLabels } from "./adapters/score";
export { display, heatMap } from "./adapters/show";
export { featureScatter, trainingCurve } from "./adapters/plots";
export { featureTable } from "./adapters/table";
export { showTrace, traceMap } from "./adapters/traces";
export { progressBar } from "./adapters/progressbar";
export { trainingDisplay } from "./adapters/traindisplay";
export { openEventFile } from "./adapters/tensorboard";
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
export type { SaeOptions, SharedOptions, TrainFailure, TrainInterrupt, TrainOptions } from "./adapters/train";
export type { LoadOptions } from "./adapters/sae";
export type { EvaluateOptions, Evaluation } from "./adapters/evaluate";
export type { SpliceOptions } from "./adapters/spliceloss";
export type { ComparedMeasure, Comparison, SaeToCompare } from "./adapters/compare";
export type { ProbeOptions, SparseProbes } from "./adapters/probe";
export type { RecoveryOptions } from "./adapters/dictionary";
export type { ComparedSae } from "./core/evaluationtable";
export type { DensityHistogram, Measures } from "./core/measure";
export type { LabelProbes, SparseProbe } from "./core/probetable";
export type { ProbeScore } from "./core/probe";
export type { Recovery } from "./core/recovery";
export type { SpliceMeasures } from "./core/spliceloss";
export type { CollectOptions } from "./adapters/collect";
export type { CollectedFeature, Features, TopOptions } from "./adapters/features";
export type { ScoreOptions } from "./adapters/score";
export type { EveryLatent, LabelScores } from "./adapters/labelscores";
export type { LatentScore } from "./core/latentscoretable";
export type { PublishOptions } from "./adapters/publish";
export type { TrainingState } from "./core/trainingview";
export type {
  Activation, ChatMessage, ChatOptions, Document, EditPlace, Example, Feature, GeneratedDocument, GenerateOptions, Generation, HeadOutput, HeadRows, Hook, HookKind, HookRow, Model, Origin, Piece, Positions,
  Progress, RunOptions, Sae, SaeFormat, SaeParts, SaeWeights, SaveOptions, Span, Sparse, Store, StoreManifest, Tokenizer, Tokens, TrainingPoint, TrainKind, Write,
} from "./core/types";
export {
  CheckpointError, DiskError, EngineError, FormatError, HookError, HubError, InterruptError, ModelError, OptionError, StoreError, TextError, TrainError,
} from "./core/errors";
