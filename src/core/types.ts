/**
 * The values that pass between the rooms of saelab. Arrays are row-major; [n, d] is n rows of width d.
 *
 *   text -model-> tokens -harvest-> rows [n, d] -train-> Sae
 *   rows + Sae -collect-> Features -heatmap, plot-> cell
 */

/** A labelled piece of a document: UTF-16 offsets into its text, `end` exclusive. */
export interface Span {
  start: number;
  end: number;
  label: string;
}

export interface Document {
  id: string;
  text: string;
  spans: Span[];
  /** Which side of the split the document is on; absent when its source does not say. */
  split?: "train" | "heldout";
  /** UTF-16 offset where what the model wrote begins; absent: nothing is known of it. */
  prompt?: number;
}

/** Tokens of one text. `start` and `end` are UTF-16 offsets of each token into the text; a token that is part of a character covers it whole. */
export interface Tokens {
  ids: Int32Array;
  start: Int32Array;
  end: Int32Array;
}

export interface Tokenizer {
  vocabularySize: number;
  /** Special tokens written in the text (such as `<think>`) are recognised; none is added unless the tokenizer's own post-processor adds one (offsets 0, 0). */
  encode(text: string): Tokens;
  decode(ids: ArrayLike<number>): string;
  /** The bytes a token stands for; a special token stands for its own name in UTF-8. */
  bytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  /** A conversation in the checkpoint's own format; absent when it has no chat template. */
  chat?(messages: { role: string; content: string }[], options?: { addGenerationPrompt?: boolean }): string;
}

/** What sits where in the residual stream: see core/hookname. */
export type HookKind = "embed" | "resid_post" | "mlp_out" | "attn_out";

/** A place in a model. `name` is our spelling: "embed_tokens", "layers.10", "layers.10.mlp", "layers.10.self_attn". */
export interface Hook {
  name: string;
  kind: HookKind;
  /** Block number from 0; -1 for the embedding. */
  layer: number;
}

/** An open language model. */
export interface Model {
  /** Where it was read from. */
  source: string;
  /** model_type of config.json, such as "qwen2". */
  family: string;
  layers: number;
  width: number;
  vocabularySize: number;
  tokenizer: Tokenizer;
  /** SHA-256 over config and weights: what a manifest records. */
  hash(): Promise<string>;
  /** Every hook this model offers, with the width of its rows. */
  hooks(): { name: string; transformerLens: string; kind: HookKind; layer: number; width: number }[];
  /** Accepts the three spellings; throws HookError for a place this model does not have. */
  hook(name: string): Hook;
  /**
   * One forward pass over a right-padded batch, cut after the deepest hook asked for.
   * @param batch token ids of each text, unequal lengths allowed, none empty
   * @returns for each hook name asked for (the caller's spelling) the rows of all texts, one after the other, padding removed: [Σ lengths, width].
   *   With `logits: true` also "logits" [Σ lengths, vocabulary].
   */
  run(batch: ArrayLike<number>[], options: { hooks: string[]; logits?: boolean }): Promise<Record<string, Float32Array>>;
  /** Continues texts; seeded sampling, greedy at temperature 0; stops at the end-of-text token. */
  generate(prompts: (string | Document)[], options?: GenerateOptions): Promise<Document[]>;
  describe(): string;
  /** Ends the worker and frees the sessions. */
  close(): Promise<void>;
}

export interface GenerateOptions {
  temperature?: number; // 0: greedy
  maxTokens?: number; // 256 new tokens a text
  seed?: number; // 0: same seed, same text
  progress?: Progress;
}

/** Rows of activations on disk, in the order in which documents were read. Dropped rows (sinks) are not there; their tokens still are. */
export interface Store {
  path: string;
  manifest: StoreManifest;
  rows: number;
  /** Name of the only hook, or an error that lists the hooks when there are several: what trainSae and others take by default. */
  hook(name?: string): string;
  width(hook: string): number;
  /** All documents, in order; row documents are indices into this list. */
  documents(): Document[];
  /** All tokens of a document, dropped positions included. */
  tokens(document: number): Tokens;
  /** Where rows from … to come from; arrays of to − from. */
  origin(from: number, to: number): Origin;
  /** Rows from … to of one hook, [to − from, width], across shards; a copy the caller owns. Synchronous: a range read of the page cache. */
  read(hook: string, from: number, to: number): Float32Array;
  /** First row of each document, and one past the last: [documents + 1], ascending. */
  documentRows(): Int32Array;
  /** Decodes and shows tokens; rebuilt from the tokenizer files kept in the store, so that no model is needed. */
  tokenizer: Tokenizer;
  close(): void;
}

export interface Origin {
  document: Int32Array;
  position: Int32Array;
  token: Int32Array;
}

export interface StoreManifest {
  format: "saelab-store";
  version: 1;
  model: { source: string; family: string; sha256: string };
  texts: { documents: number; tokens: number; sha256: string };
  hooks: { name: string; kind: HookKind; layer: number; width: number }[];
  /** How rows lie on disk; they are read as float32 always. */
  dtype: "F32" | "F16";
  rows: number;
  shards: { file: string; rows: number; bytes: number }[];
  /**
   * Tokens that gave no row, by reason: first of a context, norm, part of the prompt (with mask), in a document that was too long
   * (kept whole). Together with the rows these are all tokens.
   */
  dropped: { first: number; norm: number; prompt?: number; long?: number };
  /** Settings that change the rows: context length, drop rules. */
  settings: Record<string, unknown>;
}

/** A top-k sparse autoencoder as plain arrays: x̂ = W_decᵀ·TopK(ReLU(W_enc·(x − b_dec) + b_enc)) + b_dec. F latents, rows of width d. */
export interface SaeWeights {
  d: number;
  latents: number;
  k: number;
  wEnc: Float32Array; // [F, d]
  bEnc: Float32Array; // [F]
  wDec: Float32Array; // [F, d]
  bDec: Float32Array; // [d]
}

/** The k chosen latents of each row, larger first, ties by smaller index; a value of 0 may carry any index. */
export interface Sparse {
  n: number;
  k: number;
  index: Int32Array; // [n, k]
  value: Float32Array; // [n, k]
}

export interface Sae {
  weights: SaeWeights;
  /** Hook the SAE was trained on, when known. */
  hook?: string;
  /** How it was made: recipe, data hashes, metrics, choices made by measurement. Written to the model card. */
  card: Record<string, unknown>;
  /** Loss and other measures by step, of a run of this session or read from the checkpoint. */
  curve?: TrainingPoint[];
  encode(x: Float32Array): Sparse;
  decode(sparse: Sparse): Float32Array;
  /** Writes the sparsify layout: cfg.json, sae.safetensors, and saelab.json with the card and the curve. */
  save(folder: string): Promise<void>;
}

export interface TrainingPoint {
  step: number;
  tokens: number;
  /** Fraction of variance unexplained of the batch. */
  fvu: number;
  /** Share of latents that did not fire within the last `deadAfter` tokens. */
  dead: number;
  learningRate: number;
}

export interface Example {
  /** Token ids and the feature's activation at each, peak included. */
  tokens: Int32Array;
  values: Float32Array;
  /** Index of the peak within `tokens`. */
  peak: number;
  document: number;
  /** Token position of `tokens[0]` in its document. */
  position: number;
  /** How many near-identical contexts this one stands for, itself included. */
  count: number;
  /** The document goes on after these tokens. */
  goesOn?: boolean;
}

export interface Feature {
  /** Number of the latent. */
  latent: number;
  /** Share of rows on which it fires. */
  density: number;
  /** Mean over the rows on which it fires, in the model's own units. */
  mean: number;
  max: number;
  /** Counts of firing rows by activation; bin b covers edges[b] ≤ value < edges[b + 1], the last one its upper edge too. */
  histogram: { edges: number[]; counts: number[] };
  /** Best first. */
  top: Example[];
  label?: string;
}

/** Called at most ten times a second, and once at the end. */
export type Progress = (state: {
  stage: string;
  done: number;
  total: number;
  unit: string;
  /** Units a second over the last seconds. */
  rate: number;
  secondsLeft: number;
  detail?: string;
}) => void;
