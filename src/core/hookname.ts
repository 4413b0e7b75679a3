import { HookError } from "./errors";
import type { Hook, HookKind, Model } from "./types";

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

interface Place {
  ours: string;
  lens: string;
  /** Below the block, as modules of the families call them; what comes out of the module. */
  modules: string[];
}

/** In the order in which a forward pass reaches them; n stands for the block. */
const PLACES: Record<HookKind, Place> = {
  tok_embed: { ours: "embed_tokens.token", lens: "hook_embed", modules: [] },
  embed: { ours: "embed_tokens", lens: "hook_embed", modules: [] },
  resid_pre: { ours: "layers.n.pre", lens: "blocks.n.hook_resid_pre", modules: [] },
  attn_in: { ours: "layers.n.attn.in", lens: "blocks.n.attn.hook_in", modules: ["input_layernorm", "ln_1"] },
  q: { ours: "layers.n.attn.q", lens: "blocks.n.attn.hook_q", modules: ["self_attn.q_proj"] },
  k: { ours: "layers.n.attn.k", lens: "blocks.n.attn.hook_k", modules: ["self_attn.k_proj"] },
  v: { ours: "layers.n.attn.v", lens: "blocks.n.attn.hook_v", modules: ["self_attn.v_proj"] },
  rot_q: { ours: "layers.n.attn.rot_q", lens: "blocks.n.attn.hook_rot_q", modules: [] },
  rot_k: { ours: "layers.n.attn.rot_k", lens: "blocks.n.attn.hook_rot_k", modules: [] },
  pattern: { ours: "layers.n.attn.pattern", lens: "blocks.n.attn.hook_pattern", modules: [] },
  z: { ours: "layers.n.attn.z", lens: "blocks.n.attn.hook_z", modules: [] },
  attn_out: { ours: "layers.n.self_attn", lens: "blocks.n.hook_attn_out", modules: ["self_attn", "attn", "attention", "self_attn.o_proj", "self_attn.dense", "attention.dense", "attn.c_proj"] },
  attn_add: { ours: "layers.n.attn.add", lens: "blocks.n.hook_attn_out", modules: [] },
  resid_mid: { ours: "layers.n.mid", lens: "blocks.n.hook_resid_mid", modules: [] },
  mlp_in: { ours: "layers.n.mlp.in", lens: "blocks.n.mlp.hook_in", modules: ["pre_feedforward_layernorm", "ln_2"] },
  mlp_act: { ours: "layers.n.mlp.act", lens: "blocks.n.mlp.hook_post", modules: [] },
  mlp_out: { ours: "layers.n.mlp", lens: "blocks.n.hook_mlp_out", modules: ["mlp", "mlp.down_proj", "mlp.c_proj", "mlp.fc2", "mlp.dense_4h_to_h"] },
  mlp_add: { ours: "layers.n.mlp.add", lens: "blocks.n.hook_mlp_out", modules: ["post_feedforward_layernorm"] },
  resid_post: { ours: "layers.n", lens: "blocks.n.hook_resid_post", modules: [""] },
  final_norm: { ours: "norm", lens: "ln_final.hook_normalized", modules: [] },
  logits: { ours: "logits", lens: "unembed.hook_out", modules: [] },
};

const KINDS = Object.keys(PLACES) as HookKind[];
const BLOCK_KINDS = KINDS.filter((kind) => PLACES[kind].ours.includes(".n"));

const put = (template: string, layer: number): string => template.replace(".n", `.${layer}`);

/** On a hook that a model gave: which one. Not enumerable, so that it is neither compared nor written. */
const OWNER = Symbol.for("saelab.model");

export const withModel = (hook: Hook, model: Model): Hook => Object.defineProperty(hook, OWNER, { value: model, enumerable: false });

/** The model whose `hook()` gave this; undefined of a hook that was written down or read from a file. */
export const modelOfHook = (hook: Hook): Model | undefined => (hook as { [OWNER]?: Model })[OWNER];

export const makeHook = (kind: HookKind, layer: number): Hook => ({ name: put(PLACES[kind].ours, layer), kind, layer });

const anatomyOf = (anatomy: Anatomy | number): Anatomy => (typeof anatomy === "number" ? { layers: anatomy } : anatomy);

/** TransformerLens' name of the same place; of a place that it has no name for in this family, undefined. */
export function transformerLensName(hook: Hook, anatomy: Anatomy | number = { layers: Infinity }): string | undefined {
  const { postNorm, embedding } = anatomyOf(anatomy);
  const other = postNorm ? ["attn_out", "mlp_out"] : ["attn_add", "mlp_add"];
  if (other.includes(hook.kind)) return undefined;
  // learned positions: hook_embed is the token's row alone; a scale is folded into the table there
  if (hook.kind === (embedding === "positions" ? "embed" : "tok_embed")) return undefined;
  return put(PLACES[hook.kind].lens, hook.layer);
}

/** Every hook of a model, in the order in which a forward pass reaches them; places that are always another's tensor are left out. */
export function allHooks(anatomy: Anatomy | number): Hook[] {
  const { layers, postNorm, parallel, embedding, rotary = true } = anatomyOf(anatomy);
  const absent = new Set<HookKind>([
    ...(postNorm ? [] : ["attn_add", "mlp_add"] as const), ...(parallel ? ["resid_mid"] as const : []),
    ...(rotary ? [] : ["rot_q", "rot_k"] as const), ...(!embedding || embedding === "plain" ? ["tok_embed"] as const : []),
  ]);
  const at = (kinds: HookKind[], layer: number): Hook[] => kinds.filter((kind) => !absent.has(kind)).map((kind) => makeHook(kind, layer));
  return [
    ...at(["tok_embed", "embed"], -1),
    ...Array.from({ length: layers }, (_, n) => at(BLOCK_KINDS, n)).flat(),
    ...at(["final_norm", "logits"], layers),
  ];
}

/** Which of two hooks the forward pass reaches later: positive when `a` does. */
export const deeper = (a: Hook, b: Hook): number => a.layer - b.layer || KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind);

const ROOT = "(?:model\\.language_model\\.|language_model\\.model\\.|model\\.|transformer\\.|gpt_neox\\.)?";
const EMBED = new RegExp(`^${ROOT}(?:embed_tokens|embed_in|wte)$`);
const FINAL = new RegExp(`^${ROOT}(?:norm|ln_f|final_layer_norm|final_layernorm)$`);
const HEAD = /^(?:lm_head|embed_out)$/;
const MODULE = new RegExp(`^${ROOT}(?:layers|h)\\.(-?\\d+)(?:\\.([a-z].*))?$`);
const HIDDEN = /^hidden_states\[(-?\d+)\]$/;
const LENS_BLOCK = /^blocks\.(-?\d+)\.(.+)$/;

const byModule = new Map<string, HookKind>();
const byLens = new Map<string, HookKind>();
for (const kind of BLOCK_KINDS) {
  for (const module of PLACES[kind].modules) byModule.set(module, kind);
  byModule.set(PLACES[kind].ours.replace(/^layers\.n\.?/, ""), kind);
  if (!kind.endsWith("_add")) byLens.set(PLACES[kind].lens.replace("blocks.n.", ""), kind);
}

/**
 * A name in any of the spellings → the place.
 * @param anatomy of the model, or just its number of blocks
 * @throws HookError with near matches and the range of blocks, or why this model has no such place
 */
export function parseHook(name: string, anatomy: Anatomy | number): Hook {
  if (typeof name !== "string") throw new HookError(`expected a hook's name, such as "layers.0", found ${JSON.stringify(name)}. model.hooks() lists all.`);
  const shape = anatomyOf(anatomy);
  const { layers } = shape;
  const range = `blocks 0 to ${layers - 1}`;
  const { postNorm, embedding = "plain" } = shape;

  if (name === PLACES.tok_embed.ours) return makeHook(embedding === "plain" ? "embed" : "tok_embed", -1);
  if (name === "hook_embed") return makeHook(embedding === "positions" ? "tok_embed" : "embed", -1);
  if (EMBED.test(name)) {
    // our own bare name is where the stream starts; a module's path names what the module gives
    const module = name !== PLACES.embed.ours && (embedding === "positions" || embedding === "scaled");
    return makeHook(module ? "tok_embed" : "embed", -1);
  }
  if (FINAL.test(name) || name === PLACES.final_norm.lens) return makeHook("final_norm", layers);
  if (HEAD.test(name) || name === PLACES.logits.ours || name === PLACES.logits.lens) return makeHook("logits", layers);
  const hidden = HIDDEN.exec(name);
  if (hidden) {
    const n = Number(hidden[1]) + (hidden[1].startsWith("-") ? layers + 1 : 0);
    if (n === 0) return makeHook("embed", -1);
    if (n === layers) return makeHook("final_norm", layers); // Hugging Face's last one is taken after the final norm
    if (n > 0 && n < layers) return makeHook("resid_post", n - 1);
    throw new HookError(`"${name}": expected hidden_states[0] to hidden_states[${layers}], found ${hidden[1]}. The stream after the last block is "${put("layers.n", layers - 1)}".`);
  }

  const module = MODULE.exec(name);
  const lens = LENS_BLOCK.exec(name);
  let kind = module ? byModule.get(module[2] ?? "") : lens ? byLens.get(lens[2]) : undefined;
  // one module name, two meanings: before the MLP it is its norm, after the sublayer what is added
  if (module?.[2] === "post_attention_layernorm") kind = postNorm ? "attn_add" : "mlp_in";
  if (lens && postNorm && kind === "attn_out") kind = "attn_add";
  if (lens && postNorm && kind === "mlp_out") kind = "mlp_add";
  if (!kind) {
    throw new HookError(
      `"${name}": expected a hook such as "layers.0", "layers.0.mlp", "layers.0.attn.z" (${range}) or "embed_tokens", ` +
      `in our, TransformerLens' or Hugging Face's spelling. Near matches: ${near(name, shape).map((x) => `"${x}"`).join(", ")}. model.hooks() lists all.`);
  }
  const layer = Number((module ?? lens)![1]);
  if (!(layer >= 0 && layer < layers)) {
    throw new HookError(`"${name}": expected a block of this model (${range}), found ${layer}. The last of this kind is "${makeHook(kind, layers - 1).name}".`);
  }
  if (kind === "resid_mid" && shape.parallel) {
    throw new HookError(`"${name}": expected a place of this model, found that its attention and MLP read the same stream, so that nothing lies between them. The stream before both is "layers.${layer}.pre".`);
  }
  if ((kind === "rot_q" || kind === "rot_k") && shape.rotary === false) {
    throw new HookError(`"${name}": expected a place of this model, found that its positions are learned and nothing is rotated. Take "layers.${layer}.attn.${kind.slice(4)}".`);
  }
  // where no norm follows the sublayer, what is added is what came out
  if (!postNorm && kind === "attn_add") kind = "attn_out";
  if (!postNorm && kind === "mlp_add") kind = "mlp_out";
  return makeHook(kind, layer);
}

/** The three names nearest to a misspelt one, by edits, among ours and TransformerLens'. */
function near(name: string, anatomy: Anatomy): string[] {
  const wanted = name.replace(new RegExp(`^${ROOT}`), "");
  // blocks are alike: only the one that is named, or the first, is compared
  const layer = Math.min(Number(/\.(\d+)/.exec(name)?.[1] ?? 0), anatomy.layers - 1);
  const names = allHooks(anatomy).filter((hook) => hook.layer === layer || hook.layer === -1 || hook.layer === anatomy.layers)
    .flatMap((hook) => [hook.name, transformerLensName(hook, anatomy) ?? hook.name]);
  return [...new Set(names)].map((candidate) => ({ candidate, edits: edits(wanted, candidate) }))
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
