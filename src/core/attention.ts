import type { Draft } from "./draft";
import type { Architecture } from "./families";

/**
 * softmax(q·kᵀ·scale + mask)·v in one of three forms, chosen by what is asked of the block:
 *
 *   inside      GroupQueryAttention, which rotates q and k itself
 *   apart       RotaryEmbedding, then GroupQueryAttention: heads that it cannot rotate, or rotated q and k that are written
 *   decomposed  operator by operator: a pattern that is written, or all blocks where a graphics card computes
 *
 * GroupQueryAttention keeps texts of unequal length side by side in its cache; the decomposed form keeps what padding came with a
 * step, and its mask, fed from outside, hides it.
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (GroupQueryAttention, RotaryEmbedding)
 */
export type AttentionForm = "inside" | "apart" | "decomposed";

/** Width of a head inside GroupQueryAttention, which wants a multiple of 8: narrower ones are filled up with zeros, which change no score. */
export const headRoom = (a: Architecture): number => Math.ceil(a.headDim / 8) * 8;

/** Rotation inside GroupQueryAttention wants whole heads of a multiple of 16 on the CPU. */
export const rotatesInside = (a: Architecture): boolean => a.rotated === a.headDim && a.headDim % 16 === 0;

export const maskName = (window: number): string => (window ? `mask.${window}` : "mask");

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
export function attention(a: Architecture, g: Draft, block: Block): string {
  const { i, form } = block;
  const at = `layers.${i}.attn`;
  const room = headRoom(a);
  const rope = a.ropeOf[i];
  batchShape(g);

  const rotate = (x: string, heads: number, out: string): string => {
    g.add("Reshape", [x, "shape/batch"], `${x}/batch`);
    g.contrib("RotaryEmbedding", [`${x}/batch`, "position_ids", `cos.${rope}`, `sin.${rope}`], [out], { num_heads: BigInt(heads), rotary_embedding_dim: BigInt(a.rotated) });
    return out;
  };
  /** Rotated q or k, [B, T, heads·hd] or flat; its hook is made beside it, or stands in the way where it is written. */
  const turned = (x: string, part: "q" | "k", heads: number): string => {
    if (!a.rotated) return x;
    const y = rotate(x, heads, `${at}.rot_${part}/batch`);
    const hook = g.add("Reshape", [y, g.ints(`flat/${heads}`, [-1, heads * a.headDim])], `${at}.rot_${part}`);
    return form === "inside" ? x : block.rotatedWritten ? hook : y;
  };
  const q = turned(block.q, "q", a.heads);
  const k = turned(block.k, "k", a.kvHeads);
  const z = `${at}.z`;
  const flat = g.ints("flat/heads", [-1, a.heads * a.headDim]);

  if (form === "decomposed") {
    const groups = a.heads / a.kvHeads;
    const dims = (name: string, rest: number[]): string => g.add("Concat", ["shape/ids", g.ints(`${name}/rest`, rest)], name, { axis: 0n });
    const head = (x: string, past: string, present: string): string => {
      g.add("Reshape", [x, dims(`${x}/dims`, [a.kvHeads, a.headDim])], `${x}/apart`);
      let y = g.add("Transpose", [`${x}/apart`], block.cache ? `${x}/new` : present, { perm: [0n, 2n, 1n, 3n] });
      if (block.cache) y = g.add("Concat", [past, y], present, { axis: 2n });
      return g.add("Unsqueeze", [y, g.ints("axis/2", [2])], `${x}/all`); // [B, KV, 1, S, hd]: one for the whole group of query heads
    };
    g.add("Reshape", [q, dims(`${q}/dims`, [a.kvHeads, groups, a.headDim])], `${q}/apart`);
    g.add("Transpose", [`${q}/apart`], `${q}/heads`, { perm: [0n, 2n, 3n, 1n, 4n] }); // [B, KV, G, T, hd]
    const keys = head(k, `past.${i}.key`, `present.${i}.key`);
    const values = head(block.v, `past.${i}.value`, `present.${i}.value`);
    g.add("Transpose", [keys], `${keys}/turned`, { perm: [0n, 1n, 2n, 4n, 3n] });
    let scores = g.add("MatMul", [`${q}/heads`, `${keys}/turned`], `${at}/products`);
    scores = g.add("Mul", [scores, g.float("scale", a.scale)], `${at}/scaled`);
    if (a.scoreCap) {
      g.add("Div", [scores, g.float("cap", a.scoreCap)], `${at}/share`);
      g.add("Tanh", [`${at}/share`], `${at}/bent`);
      scores = g.add("Mul", [`${at}/bent`, "cap"], `${at}/capped`);
    }
    g.add("Add", [scores, maskName(a.window[i])], `${at}/masked`);
    g.add("Softmax", [`${at}/masked`], `${at}/weights`, { axis: -1n });
    g.add("Shape", ["input_ids"], "shape/rows", { start: 0n, end: 1n });
    g.add("Shape", [`${at}/weights`], `${at}/last`, { start: 3n });
    g.add("Concat", ["shape/rows", g.ints("heads/all", [a.heads]), `${at}/last`], `${at}/dims`, { axis: 0n });
    g.add("Reshape", [`${at}/weights`, `${at}/dims`], `${at}.pattern`);
    g.add("Concat", ["shape/rows", g.ints("heads/groups", [a.kvHeads, groups]), `${at}/last`], `${at}/dims/groups`, { axis: 0n });
    g.add("Reshape", [`${at}.pattern`, `${at}/dims/groups`], `${at}/weights/groups`);
    g.add("MatMul", [`${at}/weights/groups`, values], `${at}/mixed`);
    g.add("Transpose", [`${at}/mixed`], `${at}/mixed/rows`, { perm: [0n, 3n, 1n, 2n, 4n] });
    return g.add("Reshape", [`${at}/mixed/rows`, flat], z);
  }

  /** [B, T, heads·room]: each head filled up to its room. */
  const filled = (x: string): string => {
    if (room === a.headDim) return g.add("Reshape", [x, "shape/batch"], `${x}/in`);
    g.add("Concat", ["shape/ids", g.ints("rest/head", [-1, a.headDim])], "shape/heads", { axis: 0n });
    g.add("Reshape", [x, "shape/heads"], `${x}/heads`);
    g.add("Pad", [`${x}/heads`, g.ints("room/pads", [0, 0, 0, 0, 0, 0, 0, room - a.headDim])], `${x}/padded`);
    return g.add("Reshape", [`${x}/padded`, "shape/batch"], `${x}/in`);
  };
  const inside = form === "inside" && a.rotated > 0;
  const inputs = [
    filled(q), filled(k), filled(block.v), ...(block.cache ? [`past.${i}.key`, `past.${i}.value`] : ["", ""]), "seqlens_k", "total_sequence_length",
    ...(inside ? [`cos.${rope}`, `sin.${rope}`] : []),
  ];
  const attributes = {
    num_heads: BigInt(a.heads), kv_num_heads: BigInt(a.kvHeads), scale: a.scale, do_rotary: inside ? 1n : 0n,
    rotary_interleaved: 0n, local_window_size: BigInt(a.window[i] || -1), ...(a.scoreCap ? { softcap: a.scoreCap } : {}),
  };
  g.contrib("GroupQueryAttention", inputs, [`${z}/batch`, `present.${i}.key`, `present.${i}.value`], attributes);
  // the operator rounds otherwise when it also gives the pattern (2: after the softmax), so that a second one does: a read changes nothing
  if (block.pattern) g.contrib("GroupQueryAttention", inputs, [`${at}/beside`, `${at}/beside.key`, `${at}/beside.value`, `${at}.pattern`], { ...attributes, qk_output: 2n });
  if (room === a.headDim) return g.add("Reshape", [`${z}/batch`, flat], z);
  g.add("Reshape", [`${z}/batch`, g.ints("room/flat", [-1, room])], `${z}/rows`);
  g.add("Slice", [`${z}/rows`, g.ints("room/from", [0]), g.ints("room/to", [a.headDim]), g.ints("axis/1", [1])], `${z}/cut`);
  return g.add("Reshape", [`${z}/cut`, flat], z);
}

/** [N, w] → [B, T, w]: the batch's own shape, then what is left. */
function batchShape(g: Draft): void {
  if (g.initializers.has("rest")) return;
  g.add("Shape", ["input_ids"], "shape/ids");
  g.add("Concat", ["shape/ids", g.ints("rest", [-1])], "shape/batch", { axis: 0n });
}
