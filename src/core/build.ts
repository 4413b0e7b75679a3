import { attention, headRoom, maskName, rotatesInside, type AttentionForm } from "./attention";
import { draft } from "./draft";
import { ModelError } from "./errors";
import { expectedTensors, type Architecture } from "./families";
import { ELEMENT, type Node, type OnnxModel, type Value } from "./onnx";
import { prune } from "./splice";
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
  /** With `last`: "token.last" [B] in its stead, the most likely token of each text below this number (first of equals). */
  greedy?: number;
  /** Keys and values of every block as inputs `past.i.key` and outputs `present.i.key`. */
  cache?: boolean;
  /** Places that will be written: they decide how attention is built. */
  written?: Hook[];
  /** Attention operator by operator: graphics cards' attention operators are no common ground (adapters/providers). */
  decomposed?: boolean;
  /** Of an ONNX file: its own inputs and outputs stay, and hooks come beside them. */
  whole?: boolean;
  /** Rows of the stream → logits, and nothing else: input `rows` [N, D]. */
  lens?: boolean;
}

/** A pair of a graph's cache and the shape of one that is empty, for a batch of 0. */
export interface CachePair {
  past: string;
  present: string;
  dims: number[];
  type?: "float32" | "float16";
}

export interface Built {
  model: OnnxModel;
  /** Tensor of each hook that was asked for, read or written, by the hook's name. */
  tensors: Map<string, string>;
  /** Output that gives a hook's rows as float32, where that is not the tensor itself. */
  outputs?: Map<string, string>;
  /** What a write finds in a hook's tensor, where that is not float32 [N, width]. */
  kept?: Map<string, { type: number; width?: number }>;
  /** Where it is not asked for, inputs that must be fed empty all the same. */
  cache: CachePair[];
}

const DTYPES: Record<string, number> = { F32: ELEMENT.FLOAT, F16: ELEMENT.FLOAT16, BF16: ELEMENT.BFLOAT16 };
const SIZES: Record<string, number> = { F32: 4, F16: 2, BF16: 2 };

/** Elements of a tensor of this shape. */
export const product = (shape: number[]): number => shape.reduce((p, q) => p * q, 1);

/**
 * Checks the checkpoint against the architecture, and gives the weights under the names that {@link buildGraph} uses.
 * @param weights by the checkpoint's own names
 * @param where folder, for messages
 * @throws ModelError naming the tensor that is missing, has another shape or dtype, or that the family's row does not know
 */
export function checkWeights(a: Architecture, weights: Map<string, Weight>, where: string): Map<string, Weight> {
  const { names } = a.row;
  const prefix = names.prefixes.find((one) => weights.has(`${one}${names.embed}.weight`)) ?? names.prefixes[0];
  const out = new Map<string, Weight>();
  const known = new Set<string>();
  for (const { name, stored: bare, shape, rows } of expectedTensors(a)) {
    const head = bare.startsWith(`${names.head}.`);
    const stored = !head ? prefix + bare : weights.has(bare) ? bare : weights.has(`language_model.${bare}`) ? `language_model.${bare}` : bare;
    const weight = weights.get(stored);
    const whole = rows ? [rows[1], ...shape.slice(1)] : shape;
    const wanted = `[${whole.join(", ")}]`;
    if (!weight) {
      throw new ModelError(`${where}: ${stored}: expected a tensor ${wanted}, found none. ` + (
        head ? "The checkpoint has no output head: set tie_word_embeddings in config.json if the embedding serves as one."
          : `The weights are incomplete or not of family ${a.family}: copy them again.`));
    }
    if (weight.shape.join() !== whole.join()) {
      throw new ModelError(`${where}: ${stored}: expected ${wanted} by config.json, found [${weight.shape.join(", ")}]. Config and weights belong to different models: copy both again.`);
    }
    if (!(weight.dtype in DTYPES)) {
      throw new ModelError(`${where}: ${stored}: expected dtype ${Object.keys(DTYPES).join(", ")}, found ${weight.dtype}. Quantised checkpoints are not read: use the full one.`);
    }
    known.add(stored);
    const row = SIZES[weight.dtype] * product(shape.slice(1));
    out.set(name, rows ? { ...weight, shape, offset: weight.offset + rows[0] * row, bytes: shape[0] * row } : weight);
  }
  // what lies inside a block and is not read would silently change the model
  const block = new RegExp(`^${prefix.replaceAll(".", "\\.")}${names.layers}\\.(\\d+)\\.`);
  const foreign = [...weights.keys()].filter((name) => Number(block.exec(name)?.[1] ?? Infinity) < a.layers && !known.has(name) && !names.ignored?.test(name));
  if (foreign.length) {
    throw new ModelError(
      `${where}: ${foreign[0]}: expected no such tensor in family ${a.family}, found ${foreign.length} of this sort. ` +
      "The checkpoint is of a variant that src/core/families.ts does not describe; the numbers would be wrong without it.");
  }
  return out;
}

/** The tensor that a hook reads or writes. */
export const tensorOf = (hook: Hook): string =>
  hook.kind === "resid_pre" ? (hook.layer ? `layers.${hook.layer - 1}` : "embed_tokens") : hook.name;

/** logits.last [B, V] → token.last [B], among the first `below`. */
export function mostLikely(nodes: Node[], ints: (name: string, values: number[]) => string, below: number): void {
  nodes.push(
    { op: "Slice", inputs: ["logits.last", ints("token/from", [0]), ints("token/below", [below]), ints("token/axis", [1])], outputs: ["logits.last/drawn"] },
    { op: "ArgMax", inputs: ["logits.last/drawn"], outputs: ["token.last"], attributes: { axis: 1n, keepdims: 0n } });
}

/** Numbers in a hook's row; of a pattern, heads. */
export function hookWidth(a: Architecture, kind: HookKind): number {
  switch (kind) {
    case "q": case "rot_q": case "z": return a.heads * a.headDim;
    case "k": case "v": case "rot_k": return a.kvHeads * a.headDim;
    case "mlp_act": return a.inner;
    case "pattern": return a.heads;
    case "logits": return a.vocabulary;
    default: return a.width;
  }
}

/**
 * The graph that gives what is wanted and nothing more.
 *
 * Inputs, those that are needed: `input_ids` int32 [B, T], right-padded; `seqlens_k` int32 [B], valid tokens of each text, past
 * included, less one; `total_sequence_length` int32 scalar, past + T; `cos.r`, `sin.r` [≥ past + T, R/2] of core/rope;
 * `position_ids` int64 [B, T]; `mask`, `mask.w` [B or 1, 1, 1, T, S], added to scores in blocks whose pattern is written; `last`
 * int32 [B], rows of the last tokens; the cache.
 */
export function buildGraph(a: Architecture, weights: Map<string, Weight>, wanted: Wanted): Built {
  const { row } = a;
  const g = draft();
  const reads = new Set(wanted.hooks.map(({ name }) => name));
  const writes = new Set((wanted.written ?? []).map(({ name }) => name));

  /** A tensor as it is stored. */
  const stored = (name: string): string => {
    const { dtype, shape, location, offset, bytes } = weights.get(name)!;
    g.initializers.set(name, { name, type: DTYPES[dtype], dims: shape, external: { location, offset, length: bytes } });
    return name;
  };
  const widened = new Map<string, string>();
  /** A tensor as float32: half precision is cast in the graph. */
  const float = (name: string): string => {
    if (stored(name) && weights.get(name)!.dtype === "F32") return name;
    if (!widened.has(name)) widened.set(name, g.add("Cast", [name], `${name}/float`, { to: BigInt(ELEMENT.FLOAT) }));
    return widened.get(name)!;
  };
  const turned = row.packed === "columns" ? 0n : 1n; // Conv1D keeps [in, out]
  const linear = (x: string, name: string, out: string): string =>
    g.add("Gemm", [x, float(`${name}.weight`), ...(weights.has(`${name}.bias`) ? [float(`${name}.bias`)] : [])], out, { transB: turned });

  /** Weight and bias of a norm. */
  const scales = (name: string): string[] => {
    const weight = float(`${name}.weight`);
    if (row.norm === "layer") return [weight, float(`${name}.bias`)];
    if (row.norm === "rms") return [weight];
    if (!widened.has(`${name}/one`)) widened.set(`${name}/one`, g.add("Add", [weight, g.float("one", 1)], `${name}/scale`));
    return [widened.get(`${name}/one`)!];
  };
  const rms = (x: string, weight: string[], out: string): string =>
    g.add("SimplifiedLayerNormalization", [x, ...weight], out, { axis: -1n, epsilon: a.epsilon, stash_type: 1n });
  const norm = (x: string, name: string, out: string): string =>
    row.norm === "layer" ? g.add("LayerNormalization", [x, ...scales(name)], out, { axis: -1n, epsilon: a.epsilon }) : rms(x, scales(name), out);
  /** skip + branch as `sum`, and the norm of that as `out`; without a norm, `out` is the sum itself. */
  const addAndNorm = (branch: string, skip: string, sum: string, name: string, out: string): string => {
    if (!weights.has(`${name}.weight`)) {
      g.add("Add", [skip, branch], sum);
      return g.add("Identity", [sum], out);
    }
    g.contrib(row.norm === "layer" ? "SkipLayerNormalization" : "SkipSimplifiedLayerNormalization", [branch, skip, ...scales(name)], [out, "", "", sum], { epsilon: a.epsilon });
    return out;
  };

  const embed = (): void => {
    /** Gathered as stored, then widened, so that the table is never copied. */
    const rowsOf = (table: string, ids: string, out: string): string => {
      const half = weights.get(table)!.dtype !== "F32";
      g.add("Gather", [stored(table), ids], `${out}/rows`, { axis: 0n });
      if (half) g.add("Cast", [`${out}/rows`], `${out}/float`, { to: BigInt(ELEMENT.FLOAT) });
      return g.add("Reshape", [half ? `${out}/float` : `${out}/rows`, g.ints("flat", [-1, a.width])], out);
    };
    if (row.positions === "learned") {
      g.add("Add", [rowsOf("embed_tokens.weight", "input_ids", "embed_tokens.token"), rowsOf("positions.weight", "position_ids", "embed_tokens/positions")], "embed_tokens");
    } else if (row.scaled) {
      g.add("Mul", [rowsOf("embed_tokens.weight", "input_ids", "embed_tokens.token"), g.float("root", Math.sqrt(a.width))], "embed_tokens");
    } else rowsOf("embed_tokens.weight", "input_ids", "embed_tokens");
  };

  /** q, k and v after bias, before head norms and rotation, as hooks; then with the head norms. */
  const project = (i: number, x: string): Record<"q" | "k" | "v", string> => {
    const at = `layers.${i}.attn`;
    const heads = { q: a.heads, k: a.kvHeads, v: a.kvHeads };
    if (row.packed === "columns") {
      linear(x, `layers.${i}.qkv_proj`, `${at}/qkv`);
      const sizes = Object.values(heads).map((count) => count * a.headDim);
      g.nodes.push({ op: "Split", inputs: [`${at}/qkv`, g.ints("split/columns", sizes)], outputs: ["q", "k", "v"].map((part) => `${at}.${part}`), attributes: { axis: 1n } });
    } else if (row.packed === "heads") { // [N, H, 3, hd]
      linear(x, `layers.${i}.qkv_proj`, `${at}/qkv`);
      g.add("Reshape", [`${at}/qkv`, g.ints("flat/three", [-1, 3 * a.headDim])], `${at}/qkv/heads`);
      g.nodes.push({
        op: "Split", inputs: [`${at}/qkv/heads`, g.ints("split/heads", [a.headDim, a.headDim, a.headDim])],
        outputs: ["q", "k", "v"].map((part) => `${at}.${part}/packed`), attributes: { axis: 1n },
      });
      for (const part of ["q", "k", "v"]) g.add("Reshape", [`${at}.${part}/packed`, g.ints("flat/heads", [-1, a.heads * a.headDim])], `${at}.${part}`);
    } else for (const part of ["q", "k", "v"]) linear(x, `layers.${i}.${part}_proj`, `${at}.${part}`);
    const normed = (part: "q" | "k"): string => {
      if (row.headNorm === "no") return `${at}.${part}`;
      const scale = scales(`layers.${i}.${part}_norm`);
      if (row.headNorm === "all") return rms(`${at}.${part}`, scale, `${at}.${part}/normed`);
      // one norm for each head: rows of one head's width
      g.add("Reshape", [`${at}.${part}`, g.ints("flat/head", [-1, a.headDim])], `${at}.${part}/head`);
      rms(`${at}.${part}/head`, scale, `${at}.${part}/head/normed`);
      return g.add("Reshape", [`${at}.${part}/head/normed`, g.ints(`flat/${heads[part]}`, [-1, heads[part] * a.headDim])], `${at}.${part}/normed`);
    };
    return { q: normed("q"), k: normed("k"), v: `${at}.v` };
  };

  const form = (i: number): AttentionForm =>
    wanted.decomposed || writes.has(`layers.${i}.attn.pattern`) ? "decomposed"
      : rotatesInside(a) && !writes.has(`layers.${i}.attn.rot_q`) && !writes.has(`layers.${i}.attn.rot_k`) ? "inside" : "apart";

  const attend = (i: number, x: string): string => {
    const at = `layers.${i}.attn`;
    const z = attention(a, g, {
      i, form: form(i), ...project(i, x), cache: wanted.cache === true, pattern: reads.has(`${at}.pattern`),
      rotatedWritten: writes.has(`${at}.rot_q`) || writes.has(`${at}.rot_k`),
    });
    return linear(z, `layers.${i}.o_proj`, `layers.${i}.self_attn`);
  };

  const mlp = (i: number, x: string): string => {
    const at = `layers.${i}.mlp`;
    const gated = row.mlp !== "plain";
    const gate = linear(x, `layers.${i}.${gated ? "gate" : "up"}_proj`, `${at}/gate`);
    const open = gated ? `${at}/open` : `${at}.act`;
    if (a.activation === "silu") g.contrib("QuickGelu", [gate], [open], { alpha: 1 }); // x·sigmoid(1·x)
    else if (a.activation === "relu") g.add("Relu", [gate], open);
    else g.add("Gelu", [gate], open, { approximate: a.activation === "gelu_tanh" ? "tanh" : "none" });
    if (gated) g.add("Mul", [open, linear(x, `layers.${i}.up_proj`, `${at}/up`)], `${at}.act`);
    return linear(`${at}.act`, `layers.${i}.down_proj`, at);
  };

  const head = (x: string, out: string): string => {
    const bias = weights.has("lm_head.bias") ? [float("lm_head.bias")] : [];
    const made = g.add("Gemm", [x, float(a.tied ? "embed_tokens.weight" : "lm_head.weight"), ...bias], a.logitCap ? `${out}/raw` : out, { transB: 1n });
    if (!a.logitCap) return out;
    g.add("Div", [made, g.float("cap/logits", a.logitCap)], `${out}/share`);
    g.add("Tanh", [`${out}/share`], `${out}/bent`);
    return g.add("Mul", [`${out}/bent`, "cap/logits"], out);
  };

  /** Where a norm follows, a branch's own name is its hook; what is added is made of it. */
  const after = (branch: string, i: number, part: "attn" | "mlp"): string =>
    row.norms === "before" ? branch : norm(branch, `layers.${i}.${part}_post_norm`, `layers.${i}.${part}.add`);

  if (wanted.lens) head(norm("rows", "norm", "norm"), "logits");
  else {
    embed();
    // one norm for both sublayers: each reads a name of its own, so that writing one leaves the other
    const shared = row.parallel === "one norm";
    const entry = (i: number): string => (shared ? `layers.${i}/norm` : `layers.${i}.attn.in`);
    let x = row.norms === "after" ? g.add("Identity", ["embed_tokens"], entry(0)) : norm("embed_tokens", "layers.0.attn_norm", entry(0));
    for (let i = 0; i < a.layers; i++) {
      const stream = i ? `layers.${i - 1}` : "embed_tokens";
      const next = i + 1 < a.layers;
      const [following, out] = next ? [row.norms === "after" ? "" : `layers.${i + 1}.attn_norm`, entry(i + 1)] : ["norm", "norm"];
      if (a.parallel) {
        const n = shared ? g.add("Identity", [x], `layers.${i}.mlp.in`) : norm(stream, `layers.${i}.mlp_norm`, `layers.${i}.mlp.in`);
        g.add("Add", [stream, attend(i, shared ? g.add("Identity", [x], `layers.${i}.attn.in`) : x)], `layers.${i}/both`);
        x = addAndNorm(mlp(i, n), `layers.${i}/both`, `layers.${i}`, following, out);
      } else {
        const mid = `layers.${i}.mid`;
        const n = addAndNorm(after(attend(i, x), i, "attn"), stream, mid, `layers.${i}.mlp_norm`, `layers.${i}.mlp.in`);
        x = addAndNorm(after(mlp(i, n), i, "mlp"), mid, `layers.${i}`, following, out);
      }
    }
    // the logits of the last tokens alone, unless all are read or written
    const all = reads.has("logits") || writes.has("logits");
    if (all || !wanted.last) head("norm", "logits");
    if (wanted.last && all) g.add("Gather", ["logits", "last"], "logits.last", { axis: 0n });
    else if (wanted.last) head(g.add("Gather", ["norm", "last"], "norm/last", { axis: 0n }), "logits.last");
    if (wanted.last && wanted.greedy) mostLikely(g.nodes, g.ints, wanted.greedy);
  }

  const room = headRoom(a);
  const cache = !wanted.cache ? [] : Array.from({ length: a.layers }, (_, i) => ["key", "value"].map((part): CachePair => ({
    past: `past.${i}.${part}`, present: `present.${i}.${part}`, dims: [0, a.kvHeads, 0, form(i) === "decomposed" ? a.headDim : room],
  }))).flat();
  const tensors = new Map([...wanted.hooks, ...(wanted.written ?? [])].map((hook) => [hook.name, tensorOf(hook)]));
  const outputs = [
    ...new Set(wanted.hooks.map((hook) => tensors.get(hook.name)!)),
    ...(wanted.last ? [wanted.greedy ? "token.last" : "logits.last"] : []),
    ...cache.map(({ present }) => present),
  ];
  const inputs: Value[] = [
    { name: "input_ids", type: ELEMENT.INT32, dims: ["batch", "tokens"] },
    { name: "rows", type: ELEMENT.FLOAT, dims: ["rows", a.width] },
    { name: "seqlens_k", type: ELEMENT.INT32, dims: ["batch"] },
    { name: "total_sequence_length", type: ELEMENT.INT32, dims: [] },
    ...a.ropes.flatMap((_, r) => ["cos", "sin"].map((part): Value => ({ name: `${part}.${r}`, type: ELEMENT.FLOAT, dims: ["positions", a.rotated / 2] }))),
    { name: "position_ids", type: ELEMENT.INT64, dims: ["batch", "tokens"] },
    ...[...new Set(a.window)].map((window): Value => ({ name: maskName(window), type: ELEMENT.FLOAT, dims: ["batch or 1", 1, 1, "tokens", "all"] })),
    { name: "last", type: ELEMENT.INT32, dims: ["batch"] },
    ...cache.map(({ past, dims }): Value => ({ name: past, type: ELEMENT.FLOAT, dims: ["batch", dims[1], past.replace("past", "held"), dims[3]] })),
  ];
  const model = prune({
    irVersion: 10,
    opsets: { "": 21, "com.microsoft": 1 },
    producer: "saelab",
    name: a.family,
    nodes: g.nodes,
    initializers: [...g.initializers.values()],
    inputs,
    outputs: outputs.map((name) => ({ name })), // the runtime infers type and shape
  });
  return { model, tensors, cache };
}
