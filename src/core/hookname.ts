import { HookError } from "./errors";
import type { Hook, HookKind } from "./types";

/**
 * Three communities, one place. Ours is the spelling of the sparsify checkpoints:
 *
 *   | meaning                        | ours                 | TransformerLens          | Hugging Face             |
 *   |--------------------------------|----------------------|--------------------------|--------------------------|
 *   | where the stream starts        | `embed_tokens`       | `hook_embed`             | `model.embed_tokens`     |
 *   | stream after block n           | `layers.n`           | `blocks.n.hook_resid_post` | `model.layers.n`       |
 *   | MLP output of block n          | `layers.n.mlp`       | `blocks.n.hook_mlp_out`  | `model.layers.n.mlp`     |
 *   | attention output of block n    | `layers.n.self_attn` | `blocks.n.hook_attn_out` | `model.layers.n.self_attn` |
 *
 * Module paths of other checkpoints (`transformer.h.n.mlp`, `gpt_neox.layers.n.attention`) and `hidden_states[n]` are understood too.
 * The last entry of Hugging Face's hidden_states is refused: it is taken after the final norm and is no `layers.n`.
 */

const OURS: Record<HookKind, (n: number) => string> = {
  embed: () => "embed_tokens",
  resid_post: (n) => `layers.${n}`,
  mlp_out: (n) => `layers.${n}.mlp`,
  attn_out: (n) => `layers.${n}.self_attn`,
};

const LENS: Record<HookKind, (n: number) => string> = {
  embed: () => "hook_embed",
  resid_post: (n) => `blocks.${n}.hook_resid_post`,
  mlp_out: (n) => `blocks.${n}.hook_mlp_out`,
  attn_out: (n) => `blocks.${n}.hook_attn_out`,
};

/** Order within a block: what comes later in the list is computed later. */
const KINDS: HookKind[] = ["attn_out", "mlp_out", "resid_post"];

export const makeHook = (kind: HookKind, layer: number): Hook => ({ name: OURS[kind](layer), kind, layer });

/** TransformerLens' name of the same place. */
export const transformerLensName = (hook: Hook): string => LENS[hook.kind](hook.layer);

/** Every hook of a model with so many blocks, in the order in which a forward pass reaches them. */
export function allHooks(layers: number): Hook[] {
  const hooks = [makeHook("embed", -1)];
  for (let n = 0; n < layers; n++) for (const kind of KINDS) hooks.push(makeHook(kind, n));
  return hooks;
}

/** Which of two hooks the forward pass reaches later: positive when `a` does. */
export const deeper = (a: Hook, b: Hook): number => a.layer - b.layer || KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind);

const EMBED = /^(?:(?:model\.|transformer\.|gpt_neox\.)?(?:embed_tokens|embed_in|wte)|hook_embed)$/;
const BLOCK = /^(?:(?:model\.|transformer\.|gpt_neox\.)?(?:layers|h)\.(-?\d+)(?:\.(mlp|self_attn|attn|attention))?|blocks\.(-?\d+)\.hook_(resid_post|mlp_out|attn_out))$/;
const HIDDEN = /^hidden_states\[(-?\d+)\]$/;
const MODULES: Record<string, HookKind> = { mlp: "mlp_out", self_attn: "attn_out", attn: "attn_out", attention: "attn_out" };

/**
 * A name in any of the spellings → the place.
 * @param layers number of blocks of the model
 * @throws HookError with near matches and the range of blocks
 */
export function parseHook(name: string, layers: number): Hook {
  const range = `blocks 0 to ${layers - 1}`;
  if (EMBED.test(name)) return makeHook("embed", -1);
  const hidden = HIDDEN.exec(name);
  if (hidden) {
    const n = Number(hidden[1]);
    if (n === 0) return makeHook("embed", -1);
    if (n > 0 && n < layers) return makeHook("resid_post", n - 1);
    throw new HookError(
      `"${name}": expected hidden_states[0] to hidden_states[${layers - 1}], found ${n}. ` +
      `hidden_states[${layers}] (or [-1]) of Hugging Face is taken after the final norm and has no hook; the stream before that norm is "${OURS.resid_post(layers - 1)}".`);
  }
  const found = BLOCK.exec(name);
  if (!found) {
    throw new HookError(
      `"${name}": expected a hook such as "layers.0", "layers.0.mlp", "layers.0.self_attn" (${range}) or "embed_tokens", ` +
      `in our, TransformerLens' or Hugging Face's spelling. Near matches: ${near(name, layers).map((x) => `"${x}"`).join(", ")}. model.hooks() lists all.`);
  }
  const layer = Number(found[1] ?? found[3]);
  const kind = found[4] ? (found[4] as HookKind) : found[2] ? MODULES[found[2]] : "resid_post";
  if (!(layer >= 0 && layer < layers)) {
    throw new HookError(`"${name}": expected a block of this model (${range}), found ${layer}. The last of this kind is "${OURS[kind](layers - 1)}".`);
  }
  return makeHook(kind, layer);
}

/** The three names nearest to a misspelt one, by edits, among ours and TransformerLens'. */
function near(name: string, layers: number): string[] {
  const names = allHooks(layers).flatMap((hook) => [hook.name, transformerLensName(hook)]);
  const wanted = name.replace(/^(model|transformer|gpt_neox)\./, "");
  return names.map((candidate) => ({ candidate, edits: edits(wanted, candidate) }))
    .sort((a, b) => a.edits - b.edits)
    .slice(0, 3).map(({ candidate }) => candidate);
}

/** Levenshtein distance, one row at a time. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
