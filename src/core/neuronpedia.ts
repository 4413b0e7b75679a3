import type { ShownFeature, Words } from "./heatmap";
import type { Pieces } from "./pieces";
import type { Example, Sparse } from "./types";

/**
 * Features as Neuronpedia takes them, in two layouts:
 *
 *   SAEDashboard's batches  batch-0.json …: { model_id, layer, sae_set, features: DashboardFeature[] }
 *   the bulk import         rows of its tables, a JSON object a line: Neuron, Activation, Explanation, and one each of what they belong to
 *
 * Examples carry the interval of activations that they were drawn from: five as wide as one another from 0 to the maximum; the strongest have −1.
 * @see https://github.com/jbloomAus/SAEDashboard, sae_dashboard/neuronpedia; https://github.com/hijohnnylin/neuronpedia, schema.prisma and the admin import
 */

export const BARS = 50; // of an activation histogram, as wide as one another
const INTERVALS = 5;

/** Six digits: as much as a float32 has. */
const round = (value: number): number => (Number.isFinite(value) ? Number(value.toPrecision(6)) : 0);

/** Counts of firing rows by activation in BARS bins as wide as one another, from 0 to each latent's maximum: [F, BARS]. */
export function* linearHistograms(codes: (from: number, to: number) => Sparse, rows: number, max: Float32Array, chunk = 8192): Pieces<Int32Array> {
  const out = new Int32Array(max.length * BARS);
  for (let from = 0; from < rows; from += chunk) {
    const { index, value } = codes(from, Math.min(rows, from + chunk));
    for (let i = 0; i < value.length; i++) {
      if (!(value[i] > 0)) continue;
      const f = index[i];
      out[f * BARS + Math.min(BARS - 1, Math.floor((BARS * value[i]) / max[f]))]++;
    }
    yield;
  }
  return out;
}

export interface DashboardActivation {
  bin_min: number;
  bin_max: number;
  bin_contains: number;
  tokens: string[];
  values: number[];
  qualifying_token_index: number;
}

/** A feature of a batch, as SAEDashboard names its fields. What saelab does not measure is an empty list. */
export interface DashboardFeature {
  feature_index: number;
  neuron_alignment_indices: number[];
  neuron_alignment_values: number[];
  neuron_alignment_l1: number[];
  correlated_neurons_indices: number[];
  correlated_neurons_l1: number[];
  correlated_neurons_pearson: number[];
  correlated_features_indices: number[];
  correlated_features_l1: number[];
  correlated_features_pearson: number[];
  neg_str: string[];
  neg_values: number[];
  pos_str: string[];
  pos_values: number[];
  frac_nonzero: number;
  freq_hist_data_bar_values: number[];
  freq_hist_data_bar_heights: number[];
  logits_hist_data_bar_heights: number[];
  logits_hist_data_bar_values: number[];
  n_prompts_total: number;
  n_tokens_in_prompt: number;
  dataset: string;
  decoder_weights_dist: number[];
  activations: DashboardActivation[];
  vector: number[];
}

/** Where the texts come from, as far as a dashboard says it. */
export interface Prompts {
  dataset: string;
  prompts: number;
  tokensInPrompt: number;
}

/**
 * @param bars of this latent, as linearHistograms counts them
 * @param rows of the collection
 * @param vector its decoder row, or nothing
 */
export function dashboardFeature(feature: ShownFeature, words: Words, bars: Int32Array, rows: number, prompts: Prompts, vector: ArrayLike<number> = []): DashboardFeature {
  const { latent, max, density, top, more = [], logits } = feature;
  const activation = (example: Example, bin_min: number, bin_max: number, bin_contains: number): DashboardActivation => ({
    bin_min: round(bin_min),
    bin_max: round(bin_max),
    bin_contains: round(bin_contains),
    tokens: Array.from(example.tokens, (id) => words.token(id).toWellFormed()),
    values: Array.from(example.values, round),
    qualifying_token_index: example.peak,
  });
  const width = max / INTERVALS;
  const silent = rows - bars.reduce((sum, n) => sum + n, 0);
  const share = (interval: number): number => {
    const own = bars.subarray((interval * BARS) / INTERVALS, ((interval + 1) * BARS) / INTERVALS).reduce((sum, n) => sum + n, 0);
    return (own + (interval ? 0 : silent)) / rows; // the lowest begins at 0: rows on which it does not fire are in it
  };
  const drawn = more.flatMap(({ examples }) => examples).map((example) => ({
    example, interval: Math.min(INTERVALS - 1, Math.max(0, Math.floor(example.values[example.peak] / width))),
  }));
  const living = max > 0;
  return {
    feature_index: latent,
    neuron_alignment_indices: [], neuron_alignment_values: [], neuron_alignment_l1: [],
    correlated_neurons_indices: [], correlated_neurons_l1: [], correlated_neurons_pearson: [],
    correlated_features_indices: [], correlated_features_l1: [], correlated_features_pearson: [],
    neg_str: logits?.bottom.map(({ text }) => text.toWellFormed()) ?? [],
    neg_values: logits?.bottom.map(({ value }) => round(value)) ?? [],
    pos_str: logits?.top.map(({ text }) => text.toWellFormed()) ?? [],
    pos_values: logits?.top.map(({ value }) => round(value)) ?? [],
    frac_nonzero: density,
    freq_hist_data_bar_values: living ? Array.from(bars, (_, b) => round(((b + 0.5) * max) / BARS)) : [],
    freq_hist_data_bar_heights: living ? [...bars] : [],
    logits_hist_data_bar_heights: [], logits_hist_data_bar_values: [],
    n_prompts_total: prompts.prompts,
    n_tokens_in_prompt: prompts.tokensInPrompt,
    dataset: prompts.dataset,
    decoder_weights_dist: [],
    activations: [
      ...top.map((example) => activation(example, -1, max, -1)),
      ...drawn.sort((a, b) => b.interval - a.interval).map(({ example, interval }) => activation(example, interval * width, (interval + 1) * width, share(interval))),
    ],
    vector: Array.from(vector, round),
  };
}

/** What the rows of an import belong to. */
export interface SourceNames {
  modelId: string;
  /** "10-res-16k": layer, set and what tells sources of a set apart. */
  sourceId: string;
  sourceSet: string;
  creatorId: string;
  creatorName: string;
  release: string;
  description: string;
  urls: string[];
  hfRepoId: string | null;
  hfFolderId: string | null;
  createdAt: string;
  notes: string;
  /** TransformerLens' name of the place, where it has one: what steering is done at. */
  hookName: string | null;
}

/** The single rows that everything else refers to: file name → rows. */
export function sourceRows(names: SourceNames, prompts: Prompts): Record<"release" | "model" | "sourceset" | "source", Record<string, unknown>[]> {
  const { modelId, sourceId, sourceSet, creatorId, creatorName, release, description, urls, createdAt } = names;
  return {
    release: [{
      name: release, description, descriptionShort: description, urls, creatorName, creatorNameShort: creatorName, creatorId, createdAt, visibility: "PUBLIC", isNewUi: false,
      featured: false, creatorEmail: null, defaultSourceSetName: null, defaultSourceId: null, defaultUmapSourceIds: [],
    }],
    model: [{
      id: modelId, instruct: /-(it|instruct|chat)$/i.test(modelId), creatorId, displayNameShort: modelId, displayName: modelId, tlensId: null, dimension: null, visibility: "PUBLIC",
      defaultSourceSetName: null, defaultSourceId: null, inferenceEnabled: false, layers: 0, neuronsPerLayer: 0, createdAt, owner: "", updatedAt: createdAt, website: null,
    }],
    sourceset: [{
      modelId, name: sourceSet, creatorId, hasDashboards: true, visibility: "PUBLIC", description, type: "", creatorName, urls: [], creatorEmail: null, releaseName: release,
      defaultOfModelId: null, defaultRange: 1, defaultShowBreaks: true, showDfa: false, showCorrelated: false, showHeadAttribution: false, showUmap: false, createdAt,
    }],
    source: [{
      id: sourceId, modelId, setName: sourceSet, creatorId, hasDashboards: true, inferenceEnabled: false, inferenceHosts: [], saelensConfig: null, saelensRelease: null, saelensSaeId: null,
      hfRepoId: names.hfRepoId, hfFolderId: names.hfFolderId, visibility: "PUBLIC", defaultOfModelId: null, hasUmap: false, hasUmapLogSparsity: false, hasUmapClusters: false,
      num_prompts: prompts.prompts, num_tokens_in_prompt: prompts.tokensInPrompt, dataset: prompts.dataset, notes: names.notes, createdAt,
    }],
  };
}

/** Rows of the tables Neuron and Activation. @param id makes a name of a row that no other row has */
export function importRows(feature: DashboardFeature, names: SourceNames, id: (kind: string, index: number, n: number) => string): { feature: Record<string, unknown>; activations: Record<string, unknown>[] } {
  const { modelId, sourceId: layer, creatorId, createdAt } = names;
  const { feature_index, n_prompts_total: _, n_tokens_in_prompt: __, dataset: ___, activations, vector, ...measured } = feature;
  const index = String(feature_index);
  const largest = activations.reduce((most, { values }) => values.reduce((a, b) => Math.max(a, b), most), 0);
  return {
    feature: {
      modelId, layer, index, creatorId, createdAt, maxActApprox: largest, hasVector: vector.length > 0, vector, vectorLabel: null,
      vectorDefaultSteerStrength: vector.length ? largest : 10, hookName: vector.length ? names.hookName : null, topkCosSimIndices: [], topkCosSimValues: [], ...measured, sourceSetName: names.sourceSet,
    },
    activations: activations.map(({ tokens, values, bin_min, bin_max, bin_contains, qualifying_token_index }, n) => {
      const maxValue = values.reduce((a, b) => Math.max(a, b), -Infinity);
      return {
        id: id("activation", feature_index, n), tokens, modelId, layer, index, maxValue, maxValueTokenIndex: values.indexOf(maxValue), minValue: values.reduce((a, b) => Math.min(a, b), Infinity), values,
        dfaValues: [], dfaTargetIndex: null, dfaMaxValue: null, creatorId, createdAt, lossValues: [], logitContributions: null,
        binMin: bin_min, binMax: bin_max, binContains: bin_contains, qualifyingTokenIndex: qualifying_token_index, dataIndex: null, dataSource: null,
      };
    }),
  };
}

/** A row of the table Explanation. */
export const explanationRow = (latent: number, label: string, verdict: string | undefined, { modelId, sourceId, creatorId, createdAt }: SourceNames, id: string): Record<string, unknown> => ({
  id, modelId, layer: sourceId, index: String(latent), description: label.toWellFormed(), authorId: creatorId, triggeredByUserId: null, notes: verdict ? `Tested: ${verdict}` : null,
  typeName: null, explanationModelName: null, scoreV1: 0, createdAt, updatedAt: createdAt,
});
