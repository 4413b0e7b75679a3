import { placeAttention } from "./resolveattention";
import { placeInput, startDraft, type Cached, type Draft, type Place } from "./resolvedraft";
import { ModelError } from "./errors";
import { behind, inOrder } from "./flow";
import type { OnnxModel, Value } from "./onnx";
import { sameBefore, withBias, type Block, type Branch } from "./stream";

/**
 * An existing ONNX graph → which tensor each hook is. By structure, never by the names of operators or tensors; only the graph's inputs and
 * outputs (`input_ids`, `past_key_values.n.key` …) are known by name. Where a hook has no tensor of its own (packed q, k and v, a bias
 * folded into a norm), operators are added that give it one; weights stay untouched.
 *
 *   kind              tensor                                          width
 *   embed             where the stream starts: scaled, positions added   D
 *   resid_pre|mid|post.n   the stream before, within, after block n      D
 *   attn_in, mlp_in.n input of the first projections: after the norm     D
 *   q, k, v.n         projections with bias, before head norms and RoPE  H·hd, KV·hd
 *   pattern.n         attention probabilities [B, H, T, S]               (S: past included)
 *   z.n               heads' outputs side by side: input of o_proj       H·hd
 *   mlp_act.n         input of down_proj                                 inner
 *   attn_out, mlp_out.n    the module's output, bias included, before a post-norm   D
 *   attn_add, mlp_add.n    what is added to the stream: after a post-norm, if any   D
 *   final_norm, logits                                                   D, V
 */

export const BLOCK_KINDS = ["resid_pre", "attn_in", "q", "k", "v", "pattern", "z", "attn_out", "attn_add", "resid_mid", "mlp_in", "mlp_act", "mlp_out", "mlp_add", "resid_post"] as const;

export interface Resolved {
  /**
   * The graph with what was added, its operators in order; the one given stays as it was. Some of what was added serves one hook only
   * (a second attention that gives its pattern, copies of q, k and v): drop what no wanted output needs before it is run.
   */
  graph: OnnxModel;
  layers: number;
  width: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabulary: number;
  /** By `kind.layer`; embed, final_norm and logits without a layer. In the order of a forward pass. */
  hooks: Map<string, Place>;
  /** By the same names: why there is none. */
  missing: Map<string, string>;
  inputs: {
    ids: string;
    mask?: string;
    positions?: string;
    /** How many of the last positions get logits; a scalar. */
    keep?: string;
  };
  /** Of each block: key, value. Empty in files made without a cache. */
  cache: Cached[];
  /** The file computes logits of the last position only, and cannot be told otherwise (inputs.keep). */
  lastLogitsOnly: boolean;
}

/**
 * @param where file name, for messages
 * @throws ModelError when the graph is no decoder that can be followed: what was expected and what was found is told
 */
export function resolve(given: OnnxModel, where = "ONNX model"): Resolved {
  const fail: Fail = (expected, found, remedy) => {
    throw new ModelError(`${where}: expected ${expected}, found ${found}. ${remedy}`);
  };
  const ends = new Set(given.outputs.map(({ name }) => name));
  if (given.nodes.some((node) => node.op === "If" && node.outputs.some((name) => ends.has(name)))) {
    fail("one graph", "an If that chooses between two (decoder_model_merged)", "Use model.onnx or decoder_model.onnx of the same folder.");
  }
  const inputs = readInputs(given, fail);
  const cache = readCache(given, fail);
  const { draft, embedded } = startDraft(given, inOrder(given, where), inputs.ids, cache);
  if (!draft) {
    return fail("a decoder: embedding, then sums of attention and MLP",
      embedded ? `an embedding ("${embedded}") that no residual sum follows` : `no table that ${inputs.ids} are looked up in`,
      "Models of other kinds (encoders, norms after the sum, image parts) are not followed.");
  }
  const { blocks, start } = draft.stream;
  const unknown = "The layout is not known: please report it with the name of the model.";
  if (cache.length && cache.length !== 2 * blocks.length) fail(`${cache.length / 2} blocks, as there are caches`, `${blocks.length} that could be followed`, unknown);

  draft.put("embed", start, draft.width);
  blocks.forEach((block, n) => {
    const before = n ? blocks[n - 1].sums.at(-1)!.sum : start;
    draft.put(`resid_pre.${n}`, before, draft.width);
    placeBlock(draft, block, n, (past) => fail(`block ${n} to read ${past}`, "an attention that does not", unknown));
    draft.put(`resid_post.${n}`, block.sums.at(-1)!.sum, draft.width);
  });
  const { vocabulary, lastLogitsOnly } = placeHead(draft, given);

  const order = ["embed", ...blocks.flatMap((_, n) => BLOCK_KINDS.map((kind) => `${kind}.${n}`)), "final_norm", "logits"];
  const { width, heads, kvHeads, headDim, hooks, missing } = draft;
  return {
    graph: concrete(draft.finish(), cache, headDim), layers: blocks.length, width, heads, kvHeads, headDim, vocabulary,
    hooks: new Map(order.flatMap((key) => (hooks.has(key) ? [[key, hooks.get(key)!]] : []))), missing, inputs, cache,
    lastLogitsOnly: lastLogitsOnly && inputs.keep === undefined,
  };
}

/** The places of both sublayers and between them. */
function placeBlock(draft: Draft, { attention, mlp, sums }: Block, n: number, stranger: (past: string) => never): void {
  const { flow, stream, width, isStream, put, lack } = draft;
  const at = (...kinds: string[]): string[] => kinds.map((kind) => `${kind}.${n}`);
  const ends = (kind: "attn" | "mlp", inside: "z" | "mlp_act", { add, last }: Branch): void => {
    put(`${kind}_add.${n}`, add, width);
    if (!last) return lack("its output is not one projection", ...at(`${kind}_out`, inside));
    put(`${kind}_out.${n}`, withBias(flow, last, add), width);
    put(`${inside}.${n}`, last.input, last.from);
  };
  if (attention) {
    ends("attn", "z", attention);
    placeAttention(draft, n, attention, stranger);
  } else lack("this block has no attention", ...at("attn_in", "q", "k", "v", "pattern", "z", "attn_out", "attn_add"));
  let source: string | undefined; // the stream that the MLP reads
  if (mlp) {
    ends("mlp", "mlp_act", mlp);
    const first = mlp.inner?.linears ?? [];
    placeInput(draft, `mlp_in.${n}`, first);
    source = first.flatMap(({ input }) => behind(flow, input, isStream).stops).map((name) => stream.of.get(name)!)[0];
  } else lack("this block has no MLP", ...at("mlp_in", "mlp_act", "mlp_out", "mlp_add"));
  const [mid] = sums;
  if (sums.length === 2 && (source === undefined || source === mid.sum)) put(`resid_mid.${n}`, mid.sum, width);
  else lack(attention && mlp ? "attention and MLP read the same stream in this model (parallel block)" : "this block has one sublayer", ...at("resid_mid"));
}

/** From the logits back to the product, and before it to what was normed. */
function placeHead({ flow, stream, width, isStream, put, lack }: Draft, { outputs }: OnnxModel): { vocabulary: number; lastLogitsOnly: boolean } {
  const logits = outputs.find(({ name }) => name === "logits");
  const head = logits && behind(flow, logits.name, isStream).linears;
  if (!logits || head!.length !== 1) {
    lack(logits ? "they are not made by one product" : "the file has no output of that name", "logits");
    lack("the head was not found", "final_norm");
    return { vocabulary: 0, lastLogitsOnly: false };
  }
  const vocabulary = head![0].to || Number(logits.dims?.at(-1)) || 0;
  put("logits", logits.name, vocabulary);
  const picks = ["Gather", "GatherND", "GatherElements", "Slice"];
  let lastLogitsOnly = false;
  let at = head![0].input;
  while (!isStream(at)) {
    const node = flow.producer.get(at)!;
    const picking = picks.includes(node.op);
    if (!picking && sameBefore(flow, at, stream.of).length < 2) break;
    lastLogitsOnly ||= picking;
    at = node.inputs[0];
  }
  put("final_norm", at, width);
  return { vocabulary, lastLogitsOnly };
}

type Fail = (expected: string, found: string, remedy: string) => never;

const PAST = /^past/;

/** Which input is what. */
function readInputs(graph: OnnxModel, fail: Fail): Resolved["inputs"] {
  const weights = new Set(graph.initializers.map(({ name }) => name));
  const names = graph.inputs.map(({ name }) => name).filter((name) => !weights.has(name));
  const find = (...known: string[]): string | undefined => names.find((name) => known.includes(name));
  const ids = find("input_ids") ?? fail("an input input_ids", names.join(", ") || "no inputs",
    "This is another part of a model, or one that wants embeddings: choose the file that takes token ids.");
  const inputs = { ids, mask: find("attention_mask"), positions: find("position_ids"), keep: find("num_logits_to_keep", "logits_to_keep") };
  const other = names.find((name) => !PAST.test(name) && !Object.values(inputs).includes(name));
  if (other) fail("inputs input_ids, attention_mask, position_ids, past keys and values", `"${other}"`, "Export the model for text generation, or use another file of the same folder.");
  return inputs;
}

/** Keys and values by block, as the names of inputs and outputs tell. */
function readCache(graph: OnnxModel, fail: Fail): Cached[] {
  const sign = (name: string): string => `${/\d+/.exec(name)?.[0]} ${/value/.test(name.replace("key_values", "")) ? "value" : "key"}`;
  const presents = new Map(graph.outputs.filter(({ name }) => /^present/.test(name)).map(({ name }) => [sign(name), name]));
  const pasts = graph.inputs.filter(({ name }) => PAST.test(name));
  const sorted = pasts.map((value) => ({ value, sign: sign(value.name) }))
    .sort((x, y) => parseInt(x.sign, 10) - parseInt(y.sign, 10) || (x.sign < y.sign ? -1 : 1)); // key before value
  return sorted.map(({ value, sign }, i) => {
    const present = presents.get(sign);
    if (!present || value.dims?.length !== 4 || sign !== `${i >> 1} ${i % 2 ? "value" : "key"}`) {
      fail("keys and values [B, heads, past, width] of every block, as inputs past… and outputs present…", `"${value.name}" [${value.dims}]${present ? "" : " without its output"}`,
        "Export the model with Optimum or use another file of the same folder.");
    }
    return { past: value.name, present: present!, shape: [...value.dims!], type: value.type ?? 0 };
  });
}

/** Writes the width of a head where the file has a name for it: some readers take names for 0. */
function concrete(graph: OnnxModel, cache: Cached[], headDim: number): OnnxModel {
  if (!headDim) return graph;
  for (const entry of cache) entry.shape[3] = headDim;
  const names = new Set(cache.flatMap(({ past, present }) => [past, present]));
  const fix = (value: Value): Value =>
    names.has(value.name) && value.dims?.length === 4 && value.dims[3] !== headDim ? { name: value.name, type: value.type, dims: [...value.dims.slice(0, 3), headDim] } : value;
  return { ...graph, inputs: graph.inputs.map(fix), outputs: graph.outputs.map(fix) };
}
