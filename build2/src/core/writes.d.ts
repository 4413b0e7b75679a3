import type { Feed, Pass } from "./feeds";
import { type Insert } from "./splice";
import type { Hook, HookKind, SaeWeights, Write } from "./types";
/**
 * Writes, as a user says them → nodes in the way of a tensor, and what is fed to them in each pass.
 *
 *   add, scale, set, ablate   y = x∘s + v
 *   projectOut                y = x − (x·û)ûᵀ
 *   sae                       y = W_decᵀ·TopK(ReLU(W_enc·(x − b_dec) + b_enc)) + b_dec
 *   sae, latent j             y = x + (c − a_j)·W_dec[j], or the reconstruction so changed
 *
 * Where only some tokens, heads or keys are meant, a mask chooses between y and x, bit for bit. Strengths, vectors and masks are
 * inputs, so that the same structure with other numbers is the same session.
 */
export interface Lowered {
    hook: Hook;
    /** What a session is known by: the structure, not the numbers. */
    key: string;
    insert(x: string, out: string): Insert;
    feeds(pass: Pass): Record<string, Feed>;
    edit?: Extract<Write, {
        edit: unknown;
    }>["edit"];
}
/** What must be known of the model to check a write. */
export interface Shape {
    width(kind: HookKind): number;
    /** Dimensions of a head, of the places that have heads; of a pattern 1. */
    headDim(kind: HookKind): number | undefined;
}
/** Where an SAE's weights lie, for the graph to read them there: names of initialisers, added by whoever knows the file. */
export type SaeInitializers = (weights: SaeWeights) => {
    key: string;
    names: Record<"wEnc" | "bEnc" | "wDec" | "bDec", string>;
    insert: Pick<Insert, "initializers" | "inputs">;
};
/**
 * @param hook the place, already found
 * @param id unique among the writes of a pass, such as "write.0"
 * @throws OptionError, HookError naming the write and what is wrong with it
 */
export declare function lowerWrite(write: Write, hook: Hook, id: string, shape: Shape, saeInitializers: SaeInitializers): Lowered;
