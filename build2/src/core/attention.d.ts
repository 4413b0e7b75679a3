import type { Draft } from "./draft";
import type { Architecture } from "./families";
/**
 * softmax(q·kᵀ·scale + mask)·v in one of three forms, chosen by what is asked of the block:
 *
 *   inside      GroupQueryAttention, which rotates q and k itself
 *   apart       RotaryEmbedding, then GroupQueryAttention: heads that it cannot rotate, or rotated q and k that are written
 *   decomposed  operator by operator: a pattern that is written
 *
 * GroupQueryAttention keeps texts of unequal length side by side in its cache; the decomposed form keeps what padding came with a
 * step, and its mask, fed from outside, hides it.
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (GroupQueryAttention, RotaryEmbedding)
 */
export type AttentionForm = "inside" | "apart" | "decomposed";
/** Width of a head inside GroupQueryAttention, which wants a multiple of 8: narrower ones are filled up with zeros, which change no score. */
export declare const headRoom: (a: Architecture) => number;
/** Rotation inside GroupQueryAttention wants whole heads of a multiple of 16 on the CPU. */
export declare const rotatesInside: (a: Architecture) => boolean;
export declare const maskName: (window: number) => string;
interface Block {
    i: number;
    form: AttentionForm;
    /** After the projections and head norms, [N, heads·hd]. */
    q: string;
    k: string;
    v: string;
    cache: boolean;
    /** The pattern is read: GroupQueryAttention gives it as an output. */
    pattern: boolean;
    /** Rotated q and k are written: what follows must read them from the hook's tensor. */
    rotatedWritten: boolean;
}
/**
 * Nodes of one block's attention, from projections to z [N, H·hd], which is `layers.i.attn.z`. Also makes `layers.i.attn.rot_q`,
 * `.rot_k` (of what form ever) and, where it is asked for, `.pattern` [B, H, T, S].
 */
export declare function attention(a: Architecture, g: Draft, block: Block): string;
export {};
