import type { Hook, HookKind } from "./types";
/**
 * Three communities, one place. Ours is the spelling of the sparsify checkpoints, continued:
 *
 *   | meaning                           | ours                  | TransformerLens             | Hugging Face module          |
 *   |-----------------------------------|-----------------------|-----------------------------|------------------------------|
 *   | where the stream starts           | `embed_tokens`        | `hook_embed`                | `model.embed_tokens`         |
 *   | stream before, within, after n    | `layers.n.pre .mid`, `layers.n` | `blocks.n.hook_resid_pre _mid _post` | `model.layers.n` |
 *   | attention output of block n       | `layers.n.self_attn`  | `blocks.n.hook_attn_out`    | `model.layers.n.self_attn`   |
 *   | MLP output of block n             | `layers.n.mlp`        | `blocks.n.hook_mlp_out`     | `model.layers.n.mlp`         |
 *   | projections, rotated ones, heads  | `layers.n.attn.q .rot_q .z …` | `blocks.n.attn.hook_q _rot_q _z …` | `…self_attn.q_proj` |
 *
 * Module paths of other checkpoints (`transformer.h.n.mlp`, `gpt_neox.layers.n.attention`) and `hidden_states[n]` are understood too.
 * All spellings name one tensor, but where families differ, which {@link Anatomy} tells:
 * with norms after the sublayers, TransformerLens' attn_out and mlp_out are what is added to the stream (`layers.n.attn.add`, `.mlp.add`);
 * with learned positions or a scaled embedding, the module's rows are `embed_tokens.token`; the last of Hugging Face's hidden_states is `norm`.
 */
export interface Anatomy {
    layers: number;
    /** A norm sits between each sublayer's output and the stream (Gemma 2 and 3, OLMo 2). */
    postNorm?: boolean;
    /** Attention and MLP read the same stream: nothing lies between them. */
    parallel?: boolean;
    /** The stream starts with more than rows of the table: positions are added, or it is scaled. */
    embedding?: "plain" | "positions" | "scaled" | "scaled rows";
    /** Queries and keys are rotated. */
    rotary?: boolean;
}
export declare const makeHook: (kind: HookKind, layer: number) => Hook;
/** TransformerLens' name of the same place; of a place that it has no name for in this family, undefined. */
export declare function transformerLensName(hook: Hook, anatomy?: Anatomy | number): string | undefined;
/** Every hook of a model, in the order in which a forward pass reaches them; places that are always another's tensor are left out. */
export declare function allHooks(anatomy: Anatomy | number): Hook[];
/** Which of two hooks the forward pass reaches later: positive when `a` does. */
export declare const deeper: (a: Hook, b: Hook) => number;
/**
 * A name in any of the spellings → the place.
 * @param anatomy of the model, or just its number of blocks
 * @throws HookError with near matches and the range of blocks, or why this model has no such place
 */
export declare function parseHook(name: string, anatomy: Anatomy | number): Hook;
