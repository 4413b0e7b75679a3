import type { Anatomy } from "./hookname";
import { type Rope } from "./rope";
/**
 * One row a model family: what differs between architectures that are otherwise the same decoder. To add a family, add a row;
 * when it needs what no row has yet (another norm, another packing), teach core/build that first.
 * Every row has been run against PyTorch on a tiny model with random weights (test/oracle).
 */
export interface Family {
    /** `model_type` of config.json. */
    type: string;
    /** RMS: x/rms(x)·w; "rms 1+w": x/rms(x)·(1 + w); layer: LayerNorm with bias. */
    norm: "rms" | "rms 1+w" | "layer";
    /** Where norms sit: before the sublayers, after them (before the sum), or both. */
    norms: "before" | "after" | "both";
    /** Attention and MLP side by side: with a norm each, with one norm for both, or where this flag is set. */
    parallel?: "one norm" | "use_parallel_residual";
    /** How q, k and v are stored: apart, as rows of one matrix, as columns of one (Conv1D), or as rows by head. */
    packed: "no" | "rows" | "columns" | "heads";
    /** act(gate)·up, from one matrix each or from rows of one; or act(up). */
    mlp: "gated" | "gated rows" | "plain";
    /** Biases of the q, k and v projections, of the attention's output, of the MLP, of the head: always, never, or where this flag is set. */
    bias: {
        qkv: boolean | string;
        out: boolean | string;
        mlp: boolean | string;
        head: boolean;
    };
    /** RMS norm of q and k before the rotation: of each head, or of all heads at once. */
    headNorm: "no" | "each" | "all";
    positions: "rotary" | "learned";
    /** Share of a head that is rotated, where the config says nothing. */
    rotated?: number;
    /** Which blocks see only the last `sliding_window` tokens, where the config has no layer_types. */
    window: "none" | "all" | "from max_window_layers" | "even" | "pattern";
    /** The embedding is multiplied by √D: by the model, or by the embedding's own module. */
    scaled?: "by the model" | "by the module";
    /** What stands for a field that config.json leaves out. */
    defaults?: Record<string, unknown>;
    names: Names;
}
/** Tensor names of a checkpoint, without prefix; "" where there is no such tensor. `layers` stands before the number of the block. */
interface Names {
    prefixes: string[];
    embed: string;
    positions?: string;
    layers: string;
    attnNorm: string;
    attnPostNorm: string;
    /** q, k and v; or the packed one. */
    qkv: string[];
    out: string;
    mlpNorm: string;
    mlpPostNorm: string;
    /** gate and up; or the packed or only one. */
    up: string[];
    down: string;
    norm: string;
    head: string;
    /** Tensors of old checkpoints that are no weights. */
    ignored?: RegExp;
}
export declare const FAMILIES: Family[];
/** A config.json, read and checked: the numbers that core/build needs. */
export interface Architecture {
    /** `model_type`. */
    family: string;
    row: Family;
    layers: number;
    width: number;
    heads: number;
    kvHeads: number;
    headDim: number;
    inner: number;
    vocabulary: number;
    /** Longest text, in tokens. */
    context: number;
    epsilon: number;
    activation: "silu" | "gelu" | "gelu_tanh" | "relu";
    /** Scale of the scores: 1/√hd, or what the family says. */
    scale: number;
    /** c in c·tanh(x/c) on scores and on logits; 0: none. */
    scoreCap: number;
    logitCap: number;
    parallel: boolean;
    /** Dimensions of a head that are rotated; 0 where positions are learned. */
    rotated: number;
    /** One or two ways of rotating, and which of them each block takes. */
    ropes: Rope[];
    ropeOf: number[];
    /** Head = transposed embedding. */
    tied: boolean;
    qkvBias: boolean;
    outBias: boolean;
    mlpBias: boolean;
    headBias: boolean;
    /** Tokens that block i sees, its own included; 0: all. */
    window: number[];
    /** End-of-text ids, as config.json gives them. */
    eos: number[];
}
export declare const anatomyOf: (a: Architecture) => Anatomy;
/**
 * Reads a config.json, in the form of hub checkpoints (`rope_theta`, `rope_scaling`) or of transformers 5 (`rope_parameters`).
 * @param where name of the file, for messages
 * @throws ModelError for an unknown family, a field that is missing or not what it should be, or a variant that no row describes
 */
export declare function readArchitecture(config: unknown, where: string): Architecture;
/** A tensor of the family's graph: its name there, as stored without prefix, its shape. */
export interface ExpectedTensor {
    name: string;
    stored: string;
    shape: number[];
    /** Rows of the stored tensor that it is, where several are packed into one: [first, of how many]. */
    rows?: [number, number];
}
/**
 * Every tensor that the family's graph reads. Packed rows (Phi-3) are three tensors at three offsets; packed columns (GPT-2's
 * Conv1D, [in, out]) and rows by head (NeoX) cannot be told apart by offsets and are split in the graph.
 */
export declare function expectedTensors(a: Architecture): ExpectedTensor[];
export {};
