import { type Architecture } from "./families";
import { type OnnxModel } from "./onnx";
import type { Hook, HookKind } from "./types";
/**
 * Config and weights by reference → an ONNX graph with its hooks. A decoder, block i, on the stream h [N, D], N = B·T rows:
 *
 *   a = Attention(norm(h)) W_oᵀ                                hook layers.i.self_attn
 *   m = (act(n W_gᵀ) ∘ n W_uᵀ) W_dᵀ,  n = norm(h + a)          hook layers.i.mlp
 *   h ← h + a + m                                              hook layers.i
 *
 * and what families do otherwise (core/families): norms after the sublayers, attention and MLP side by side, packed weights. Tensors
 * bear their hooks' names. Residual sum and norm are one operator whose fourth output is the sum. Only what an output needs is kept,
 * so that a graph ends at its deepest hook.
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (SkipSimplifiedLayerNormalization, QuickGelu)
 */
/** Where a tensor of the checkpoint lies. */
export interface Weight {
    dtype: string;
    shape: number[];
    /** File, relative to the folder that the runtime is told. */
    location: string;
    offset: number;
    bytes: number;
}
export interface Wanted {
    hooks: Hook[];
    /** Also "logits.last" [B, V], one row a text, as told by the input `last`. */
    last?: boolean;
    /** Keys and values of every block as inputs `past.i.key` and outputs `present.i.key`. */
    cache?: boolean;
    /** Places that will be written: they decide how attention is built. */
    written?: Hook[];
    /** Rows of the stream → logits, and nothing else: input `rows` [N, D]. */
    lens?: boolean;
}
/** A pair of a graph's cache and the shape of one that is empty, for a batch of 0. */
export interface CachePair {
    past: string;
    present: string;
    dims: number[];
}
export interface Built {
    model: OnnxModel;
    /** Tensor of each hook that was asked for, read or written, by the hook's name. */
    tensors: Map<string, string>;
    cache: CachePair[];
    /** Elements of the checkpoint's tensors that are read: what the graph weighs, times four bytes in float32. */
    elements: number;
    /** Some of them are in half precision. */
    half: boolean;
}
/**
 * Checks the checkpoint against the architecture, and gives the weights under the names that {@link buildGraph} uses.
 * @param weights by the checkpoint's own names
 * @param where folder, for messages
 * @throws ModelError naming the tensor that is missing, has another shape or dtype, or that the family's row does not know
 */
export declare function checkWeights(a: Architecture, weights: Map<string, Weight>, where: string): Map<string, Weight>;
/** The tensor that a hook reads or writes. */
export declare const tensorOf: (hook: Hook) => string;
/** Numbers in a hook's row; of a pattern, heads. */
export declare function hookWidth(a: Architecture, kind: HookKind): number;
/**
 * The graph that gives what is wanted and nothing more.
 *
 * Inputs, those that are needed: `input_ids` int32 [B, T], right-padded; `seqlens_k` int32 [B], valid tokens of each text, past
 * included, less one; `total_sequence_length` int32 scalar, past + T; `cos.r`, `sin.r` [≥ past + T, R/2] of core/rope;
 * `position_ids` int64 [B, T]; `mask`, `mask.w` [B or 1, 1, 1, T, S], added to scores in blocks whose pattern is written; `last`
 * int32 [B], rows of the last tokens; the cache.
 */
export declare function buildGraph(a: Architecture, weights: Map<string, Weight>, wanted: Wanted): Built;
