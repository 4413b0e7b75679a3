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

export interface ChatMessage {
  /** "system", "user", "assistant", or what else the template knows. */
  role: string;
  content: string;
}

export interface ChatOptions {
  addGenerationPrompt?: boolean; // true: ends where the model's answer begins
  template?: string; // "default": which of the checkpoint's templates
  variables?: Record<string, unknown>; // none: what this template asks besides, such as { enable_thinking: false }
  date?: Date; // now: for templates that write the date
}

export interface Tokenizer {
  vocabularySize: number;
  /** Special tokens written in the text (such as `<think>`) are recognised; none is added unless the tokenizer's own post-processor adds one (offsets 0, 0), and not where the text begins with it. */
  encode(text: string): Tokens;
  decode(ids: ArrayLike<number>): string;
  /** The bytes a token stands for; a special token stands for its own name in UTF-8. */
  bytes(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  /**
   * A conversation as the text that the model was trained on, by the checkpoint's chat template; encode(chat(…)) gives the tokens.
   * @throws ModelError when the checkpoint has no template (a base model), TextError when the template refuses the messages
   */
  chat(messages: ChatMessage[], options?: ChatOptions): string;
}

/** What is read or written where, in the order of a forward pass: see core/hookname. */
export type HookKind =
  | "tok_embed" | "embed" | "resid_pre" | "attn_in" | "q" | "k" | "v" | "rot_q" | "rot_k" | "pattern" | "z" | "attn_out" | "attn_add"
  | "resid_mid" | "mlp_in" | "mlp_act" | "mlp_out" | "mlp_add" | "resid_post" | "final_norm" | "logits";

/** A place in a model. `name` is our spelling: "embed_tokens", "layers.10", "layers.10.mlp", "layers.10.self_attn". */
export interface Hook {
  name: string;
  kind: HookKind;
  /** Block number from 0; -1 for the embedding, the number of blocks for what follows the last one. */
  layer: number;
}

/** A row of {@link Model.hooks}. */
export interface HookRow extends Hook {
  /** The same place in the other spellings, where they have a name for it. */
  transformerLens?: string;
  /** Numbers in a row; of a pattern, heads. */
  width: number;
  /** What `run` gives: "[tokens, 1536]", or "[heads, query, key] of each text". */
  shape: string;
  /** What a reader of another spelling should know. */
  note?: string;
  /** Why this model's file does not offer the place; such a row cannot be read or written. */
  missing?: string;
  /** Why it can be read only. */
  readOnly?: string;
}

/** Which tokens of a text: positions from 0, a range (`to` exclusive), or what was given and what the model wrote. Negative ones count from the end of what was given. */
export type Positions = number | number[] | { from?: number; to?: number } | "prompt" | "generated";

/** What an edit is told about the rows that it is given. */
export interface EditPlace {
  hook: string;
  /** Which of the texts that were given these are: a pass of `generate` has a part of them, by length; one of `run`, where LongRoPE parts them. */
  texts: number[];
  /** Tokens of each text in this pass (0 once it is finished), and how many came before in the cache (0 in `run`). */
  lengths: number[];
  past: number[];
}

/**
 * One change of one place. Several are made in the order of the pass; at the same place in the order given. What comes later, reads included, sees what was written.
 * Rows have the hook's width; where rows of all tokens are given, they lie as `run` gives them.
 */
export type Write = {
  hook: string;
  at?: Positions; // all tokens
  heads?: number | number[]; // all heads; for q, k, v, rot_q, rot_k, z and the pattern
  keys?: Positions; // of a pattern: the positions looked at; all
} & (
  | { add: ArrayLike<number>; times?: number } // 1
  | { scale: number }
  | { set: ArrayLike<number> | number }
  | { ablate: "zero" }
  | { ablate: "mean" | "resample"; of: Float32Array; seed?: number } // rows [n, width]: their mean, or one of them for each token
  | { projectOut: ArrayLike<number> } // x − (x·u)u/‖u‖²
  /** The SAE's reconstruction; or x with one latent at another value, what the SAE does not explain kept unless `keepError` is false. */
  | { sae: Pick<Sae, "weights" | "stored">; latent?: number; clamp?: number; times?: number; keepError?: boolean }
  /** Anything: gets rows [Σ lengths, width] ([heads, query, key] of each text for a pattern), may change them or give others. */
  | { edit: (rows: Float32Array, place: EditPlace) => Float32Array | void | Promise<Float32Array | void> }
);

export interface RunOptions {
  hooks?: string[]; // none: places to read, in any spelling
  logits?: boolean; // false: also "logits", [Σ lengths, vocabulary]
  writes?: Write[]; // none
  /** Cuts the pass after this place even if nothing later is read: for its cost alone. */
  upTo?: string;
}

/** An open language model. */
/** Where a model computes. */
export interface ModelDevice {
  device: "cuda" | "webgpu" | "cpu";
  /** Of the card, or the processor. */
  name: string;
  /** Better ones, and why it is none of them. */
  instead: { device: string; why: string; cure?: string }[];
  note?: string;
  /** Of a card: how its numbers compare with the CPU's. */
  checked?: string;
}

export interface Model {
  /** Where it was read from. */
  source: string;
  /** Folder with the tokenizer's files; absent: `source`. */
  folder?: string;
  /** model_type of config.json, such as "qwen2". */
  family: string;
  layers: number;
  width: number;
  vocabularySize: number;
  /** Longest text, in tokens. */
  context?: number;
  /** Where it computes: the CPU, where absent. */
  device?: ModelDevice;
  tokenizer: Tokenizer;
  /** SHA-256 over config and weights: what a manifest records. */
  hash(): Promise<string>;
  /** Every place of this model, in the order of a pass, with the width of its rows, its other name, and what is missing and why. */
  hooks(): HookRow[];
  /** Accepts the three spellings; throws HookError for a place this model does not have. */
  hook(name: string): Hook;
  /**
   * One forward pass over a right-padded batch, cut after the deepest hook asked for.
   * @param batch token ids of each text, unequal lengths allowed, none empty; or texts
   * @returns for each hook name asked for (the caller's spelling) the rows of all texts, one after the other, padding removed: [Σ lengths, width];
   *   of a pattern [heads, query, key] of each text, one after the other. With `logits: true` also "logits" [Σ lengths, vocabulary].
   */
  run(batch: ArrayLike<number>[] | string[] | string, options: RunOptions): Promise<Record<string, Float32Array>>;
  /** Continues texts, or token ids; seeded sampling, greedy at temperature 0; stops at the end-of-text token. `for await` gives pieces as they come. */
  generate(prompts: (string | Document | ArrayLike<number>)[], options?: GenerateOptions): Generation;
  /** Rows of the stream [n, width] → logits [n, vocabulary]: final norm and output head. */
  unembed(rows: Float32Array): Promise<Float32Array>;
  /** Weights of the head's rows for some tokens and of the final norm, as float32: what attribution needs. */
  head?(tokens: number[]): HeadRows;
  /** Weights from a block's heads to what it adds to the stream: what attribution to heads needs. */
  headOutput?(layer: number): HeadOutput;
  describe(): string;
  /** Ends the worker and frees the sessions. */
  close(): Promise<void>;
}

/** logit of token i = rows[i]·norm(x) + offsets[i], then cap·tanh(·/cap) where there is a cap. */
export interface HeadRows {
  rows: Float32Array; // [tokens, width]
  /** The final norm: its weight and, of LayerNorm, its bias, [width]. */
  norm: Float32Array;
  bias?: Float32Array;
  kind: "rms" | "layer";
  epsilon: number;
  /** The head's own bias, [tokens]. */
  offsets?: Float32Array;
  cap?: number;
  /** The rows are the embedding's too. */
  tied?: true;
}

/** attention output = weight·z + bias, then an RMS norm where there is one. */
export interface HeadOutput {
  weight: Float32Array; // [width, heads·headDim], heads side by side as in z
  bias?: Float32Array; // [width]
  heads: number;
  norm?: Float32Array; // [width]
  epsilon: number;
}

/** A piece of a text that is being written. */
export interface Piece {
  /** Which prompt it continues. */
  prompt: number;
  token: number;
  /** Whole characters only: bytes of one that is not finished come with the next piece. */
  text: string;
}

/** A continued text. */
export interface GeneratedDocument extends Document {
  /** UTF-16 offset where what the model wrote begins. */
  prompt: number;
  /** Where hooks were read: all tokens, the prompt's and those written. */
  ids?: Int32Array;
  /** Rows of the hooks that were read: of all tokens that went through the model, [tokens, width]: the last one written did not, unless an end-of-text token came after it. */
  rows?: Record<string, Float32Array>;
}

/** Texts on their way: await all, or `for await` the pieces. It begins when either is asked for. */
export interface Generation extends Promise<GeneratedDocument[]>, AsyncIterable<Piece> {}

export interface GenerateOptions {
  temperature?: number; // 0: greedy
  topK?: number; // 0: all; else only the most likely so many
  topP?: number; // 1: all; else only the most likely that together have this probability
  maxTokens?: number; // 256 new tokens a text
  seed?: number; // 0: same seed, same text
  stop?: string[]; // none: texts end before the first of these
  hooks?: string[]; // none: places to read
  writes?: Write[]; // none
  chat?: boolean; // false: prompts as they are; true: each is a user's message in the checkpoint's chat template
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
  /** device: what computed its rows, where that was not the CPU: "NVIDIA GeForce RTX 4090 (cuda)". Shards of one store may come from several. */
  shards: { file: string; rows: number; bytes: number; device?: string }[];
  /**
   * Tokens that gave no row, by reason: first of a context, norm, part of the prompt (with mask), in a document that was too long
   * (kept whole). Together with the rows these are all tokens.
   */
  dropped: { first: number; norm: number; prompt?: number; long?: number };
  /** Settings that change the rows: context length, drop rules. */
  settings: Record<string, unknown>;
}

/**
 * Which latents of a row are active, and how much: v, from its pre-activations p = W_enc·(x − b_dec) + b_enc. Only positive
 * ones ever are, so that ReLU before or after the choice is the same.
 */
export type Activation =
  /** v = TopK(ReLU(p)): the k largest */
  | { kind?: "topk" }
  /** v = ReLU(p) of the largest of each of k groups of F/k neighbours (sparsify) */
  | { kind: "groupmax" }
  /** v = ReLU(p) */
  | { kind: "relu" }
  /** v = ReLU(p)·[p > θ], a θ for each latent, or one for all; trained as such, or what batch-top-k leaves for inference */
  | { kind: "jumprelu" | "batchtopk"; threshold: Float32Array | number }
  /** with q = W_enc·(x − b_dec): v = [q + b_gate > 0]·ReLU(q∘exp(r_mag) + b_enc) (b_enc is b_mag of the papers) */
  | { kind: "gated"; bGate: Float32Array; rMag: Float32Array };

/** Which latents a training step lets through, and what its loss is made of: adapters/kinds.ts and jumprelu.ts have the equations. */
export type TrainKind = "topk" | "batchtopk" | "multitopk" | "groupmax" | "matryoshka" | "jumprelu";

export interface SaeParts {
  d: number;
  latents: number;
  /** At most so many latents of a row are active: k of a top-k, F where only thresholds bound them. */
  k: number;
  wEnc: Float32Array; // [F, d]
  bEnc: Float32Array; // [F]
  wDec: Float32Array; // [F, dOut]
  bDec: Float32Array; // [dOut]
  dOut?: number; // d: width of what is rebuilt
  transcoder?: boolean; // false: rebuilds the rows it reads, not those of another hook
  subtractBDec?: boolean; // true: p is of x − b_dec; false: of x
  /** false; true: v is of p∘‖W_dec row‖, and decoding divides by the norm again. */
  rescaleByDecoderNorm?: boolean;
  /**
   * What is done to a row before, and undone behind b_dec. "constant_norm_rescale": x·√d/‖x‖. "layer_norm": (x − mean)/(std + 1e-5), with
   * the unbiased std, undone by std·x̂ + mean (as SAELens does both). None by default.
   */
  normalize?: "none" | "constant_norm_rescale" | "layer_norm";
  wSkip?: Float32Array; // [dOut, d]: x̂ has W_skip·x besides
  /** Numbers of the latents in the whole SAE, where only these were loaded; ascending. */
  subset?: Int32Array;
}

/**
 * A sparse autoencoder as plain arrays: x̂ = W_decᵀ·v + b_dec, F latents, rows of width d. Without the optional fields a plain top-k one. Of
 * a loaded checkpoint the matrices are read on first use.
 */
export type SaeWeights = SaeParts & Activation;

/**
 * The active latents of each row, larger first, ties by smaller index, in k columns: k of a top-k SAE, else as many as the row with most
 * has (at least 1). What is left over has the value 0, and may carry any index.
 */
export interface Sparse {
  n: number;
  k: number;
  index: Int32Array; // [n, k]
  value: Float32Array; // [n, k]
  /** Of an SAE that normalises its rows: what decoding multiplies by and adds, for each row. */
  units?: { scale: Float32Array; shift: Float32Array }; // [n]
}

/** Layouts that are written; more are read. */
export type SaeFormat = "sparsify" | "saelens";

export interface SaveOptions {
  format?: SaeFormat; // "sparsify" where it can say what this SAE does, else "saelens"
  readme?: boolean; // false: true writes README.md too, the model card that the hub shows (recipe, data, measures, hashes)
}

export interface Sae {
  weights: SaeWeights;
  /** Where the weights lie as float32: a real path and byte offsets. A model's graph reads them there. */
  stored?: { file: string; offsets: Record<"wEnc" | "bEnc" | "wDec" | "bDec", number> };
  /** Hook the SAE was trained on, when known. */
  hook?: string;
  /** How it was made: recipe, data hashes, metrics, choices made by measurement. Written to the model card. */
  card: Record<string, unknown>;
  /** Loss and other measures by step, of a run of this session or read from the checkpoint. */
  curve?: TrainingPoint[];
  encode(x: Float32Array): Sparse;
  /** Without a skip connection's part, which needs x: {@link reconstruct} has it. */
  decode(sparse: Sparse): Float32Array;
  /** x̂ [n, dOut] of rows x [n, d]: decode(encode(x)), and W_skip·x where there is one. */
  reconstruct(x: Float32Array): Float32Array;
  /**
   * Writes a checkpoint: "sparsify" (cfg.json, sae.safetensors) where that layout can say what this SAE does, else or when asked for "saelens"
   * version 6 (cfg.json, sae_weights.safetensors); saelab.json beside them holds the card and the curve.
   * @throws CheckpointError when the layout cannot say what this SAE does, or another tool's checkpoint is in the folder
   */
  save(folder: string, options?: SaveOptions): Promise<void>;
}

export interface TrainingPoint {
  step: number;
  tokens: number;
  /** Fraction of variance unexplained of the batch. */
  fvu: number;
  /** Share of latents that did not fire within the last `deadAfter` tokens. */
  dead: number;
  learningRate: number;
  /** What the step made smaller: FVU and the further terms of the recipe, weighted. Absent in files of older versions, as is `l0`. */
  loss?: number;
  /** Latents active in a row, mean over the batch. */
  l0?: number;
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
