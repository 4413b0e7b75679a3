import { ModelError } from "./errors";
import { SKIP_NORMS, behind, inOrder, readFlow, type Flow, type Linear } from "./flow";
import { ELEMENT, type Initializer, type Node, type OnnxModel } from "./onnx";
import { ATTENTIONS, followStream, isMixing, sameBefore, withBias, type Branch, type Stream } from "./stream";

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

export const ROW_KINDS = ["resid_pre", "attn_in", "q", "k", "v", "pattern", "z", "attn_out", "attn_add", "resid_mid", "mlp_in", "mlp_act", "mlp_out", "mlp_add", "resid_post"] as const;

export interface Place {
  tensor: string;
  /** TensorProto.DataType; FLOAT16 and BFLOAT16 want a Cast before they are given out. 0: the graph does not tell. */
  type: number;
  /** Numbers a row; 0 for the pattern, whose rows are as long as the text. */
  width: number;
  /** [B, T, width] or [B·T, width]; or [B, H, T, S]. */
  rank: "rows" | "pattern";
  /** Why it can be read but not changed. */
  readOnly?: string;
}

export interface Cached {
  past: string;
  present: string;
  /** [B, kvHeads, past, headDim], the free ones by name. */
  shape: (number | string)[];
  type: number;
}

export interface Resolved {
  /** The graph with what was added; nothing of the one given is changed. */
  graph: OnnxModel;
  layers: number;
  width: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  vocabulary: number;
  /** By `kind.layer`; embed, final_norm and logits without a layer. */
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
  /** The file computes logits of the last position only. */
  lastLogitsOnly: boolean;
}

/**
 * @param where file name, for messages
 * @throws ModelError when the graph is no decoder that can be followed: what was found and what was expected is told
 */
export function resolve(given: OnnxModel, where = "ONNX model"): Resolved {
  const fail = (expected: string, found: string, remedy: string): never => {
    throw new ModelError(`${where}: expected ${expected}, found ${found}. ${remedy}`);
  };
  const inputs = readInputs(given, fail);
  // a copy, in which every sum has a name
  const nodes = inOrder(given, where).map((node, i): Node => {
    const copy = { ...node, inputs: [...node.inputs], outputs: [...node.outputs] };
    if (copy.op in SKIP_NORMS && !copy.outputs[3]) copy.outputs = [0, 1, 2, 3].map((k) => copy.outputs[k] || (k === 3 ? `saelab/sum.${i}` : ""));
    return copy;
  });
  const graph: OnnxModel = { ...given, nodes, initializers: [...given.initializers], inputs: [...given.inputs], outputs: [...given.outputs] };
  const merged = nodes.find((node) => node.op === "If" && node.outputs.some((name) => given.outputs.some((output) => output.name === name)));
  if (merged) fail("one graph", "an If that chooses between two (decoder_model_merged)", "Use model.onnx or decoder_model.onnx of the same folder.");

  const added = new Map<Node | undefined, Node[]>(); // operators to stand behind another one; undefined: at the beginning
  const insert = (flow: Flow, after: string, ...more: Node[]): void => {
    const node = flow.producer.get(after);
    added.set(node, [...(added.get(node) ?? []), ...more]);
  };
  const settle = (): void => {
    graph.nodes = [...(added.get(undefined) ?? []), ...graph.nodes.flatMap((node) => [node, ...(added.get(node) ?? [])])];
    added.clear();
  };
  const constants = new Map<string, Initializer>();
  const values = [...(given.values ?? [])];
  const numbers = (values: number[]): string => {
    const name = `saelab/numbers/${values.join(",")}`;
    constants.set(name, { name, type: ELEMENT.INT64, dims: [values.length], raw: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) });
    return name;
  };

  let flow = readFlow(graph, inputs.ids);
  const follow = (): Stream => {
    const found = followStream(flow, graph.nodes);
    if (!found?.blocks.length) {
      const what = flow.embedded.length ? `an embedding ("${flow.embedded[0]}") that no residual sum follows` : `no table that ${inputs.ids} are looked up in`;
      fail("a decoder: embedding, then sums of attention and MLP", what, "Models of other kinds (encoders, post-norm, image parts) are not followed.");
    }
    return found!;
  };
  let stream = follow();
  // a bias folded into a norm belongs to the branch
  const sums = stream.blocks.flatMap((block) => block.sums).filter(({ node }) => node.inputs[SKIP_NORMS[node.op]]);
  if (sums.length) {
    for (const { node, at, branch } of sums) {
      const biased = `${branch}/biased`;
      insert(flow, branch, { op: "Add", inputs: [branch, node.inputs[SKIP_NORMS[node.op]]], outputs: [biased] });
      node.inputs = node.inputs.slice(0, SKIP_NORMS[node.op]);
      node.inputs[at] = biased;
    }
    settle();
    flow = readFlow(graph, inputs.ids);
    stream = follow();
  }

  const hooks = new Map<string, Place>();
  const missing = new Map<string, string>();
  const { blocks, of } = stream;
  const put = (key: string, tensor: string, width: number, more: Partial<Place> = {}): void =>
    void hooks.set(key, { tensor, type: flow.types.get(tensor) ?? 0, width, rank: "rows", ...more });
  const lack = (reason: string, ...keys: string[]): void => keys.forEach((key) => void missing.set(key, reason));

  const cache = readCache(given, fail);
  if (cache.length && cache.length !== 2 * blocks.length) {
    fail(`${cache.length / 2} blocks, as there are caches`, `${blocks.length} that could be followed`, "The layout is not known: please report it with the name of the model.");
  }
  const isStream = (name: string): boolean => of.has(name);
  const width = [blocks[0].attention, blocks[0].mlp].map((branch) => branch?.last?.to ?? 0).find((n) => n) ?? 0;
  let heads = 0;
  let kvHeads = Number(cache[0]?.shape[1]) || 0;
  let headDim = Number(cache[0]?.shape[3]) || 0;

  /** One tensor that the group alone reads; an Identity where others read it too. */
  const inputOf = (key: string, group: Linear[]): void => {
    const chains = group.map(({ input }) => sameBefore(flow, input, of));
    const common = chains[0]?.find((name) => chains.every((chain) => chain.includes(name)));
    if (!common) return lack(group.length ? "the projections read different tensors" : "the projections lie inside an operator", key);
    const path = new Set(group.flatMap((linear) => linear.nodes));
    for (const chain of chains) for (const name of chain.slice(0, chain.indexOf(common))) path.add(flow.producer.get(name)!);
    const readers = (flow.consumers.get(common) ?? []).filter((node) => node.outputs.some((name) => flow.activation.has(name)));
    const mine = readers.filter((node) => path.has(node));
    // an operator of the path may serve others as well: a quantisation that both sublayers share
    const shared = [...path].some((node) => !group.some(({ output }) => node.outputs.includes(output)) &&
      node.outputs.some((name) => (flow.consumers.get(name) ?? []).some((next) => !path.has(next) && !(next.op === "Mul" && group.some(({ nodes }) => nodes.includes(node))))));
    if (shared) return put(key, common, width, { readOnly: "it is shared with the other sublayer in a form that cannot be taken apart" });
    if (mine.length === readers.length && !of.has(common)) return put(key, common, width);
    const own = `saelab/${key}`;
    insert(flow, common, { op: "Identity", inputs: [common], outputs: [own] });
    for (const node of mine) node.inputs = node.inputs.map((name) => (name === common ? own : name));
    hooks.set(key, { tensor: own, type: flow.types.get(common) ?? 0, width, rank: "rows" });
  };

  const outputsOf = (n: number, kind: "attn" | "mlp", inside: "z" | "mlp_act", branch: Branch): void => {
    put(`${kind}_add.${n}`, branch.add, width);
    if (!branch.last) return lack("its output is not one projection", `${kind}_out.${n}`, `${inside}.${n}`);
    put(`${kind}_out.${n}`, withBias(flow, branch.last, branch.add), width);
    put(`${inside}.${n}`, branch.last.input, branch.last.from);
  };

  const attention = (n: number, branch: Branch): void => {
    outputsOf(n, "attn", "z", branch);
    const keys = ["q", "k", "v"].map((part) => `${part}.${n}`);
    if (!branch.inner) return lack("the attention could not be followed", `attn_in.${n}`, ...keys, `pattern.${n}`);
    const inner = [...branch.inner.nodes];
    const core = inner.find((node) => ATTENTIONS.has(node.op));
    let operands: string[];
    if (core) {
      operands = core.inputs.slice(0, 3);
      heads ||= Number(core.attributes?.num_heads ?? core.attributes?.q_num_heads ?? 0);
      kvHeads ||= Number(core.attributes?.kv_num_heads ?? heads);
      headDim ||= heads ? branch.last!.from / heads : 0;
      heads ||= headDim ? branch.last!.from / headDim : 0;
      // a second attention that gives its pattern away; it is computed only where that is asked for
      const tensor = `saelab/pattern.${n}`;
      const place: Place = { tensor, type: flow.types.get(core.outputs[0]) ?? 0, width: 0, rank: "pattern", readOnly: `it lies inside ${core.op}, which gives it out but takes none` };
      if (core.op === "GroupQueryAttention") {
        insert(flow, core.outputs[0], { ...core, name: tensor, outputs: [`${tensor}/z`, `${tensor}/key`, `${tensor}/value`, tensor], attributes: { ...core.attributes, qk_output: 2n } });
        hooks.set(`pattern.${n}`, place);
      } else if (core.op === "Attention" && !core.domain) {
        insert(flow, core.outputs[0], { ...core, name: tensor, outputs: [`${tensor}/z`, "", "", tensor], attributes: { ...core.attributes, qk_matmul_output_mode: 3n } });
        hooks.set(`pattern.${n}`, place);
      } else if (core.op === "MultiHeadAttention" && place.type) {
        // its fourth output is the scores, scaled and masked; the runtime does not infer their type
        values.push({ name: `${tensor}/scores`, type: place.type });
        insert(flow, core.outputs[0],
          { ...core, name: tensor, outputs: [`${tensor}/z`, "", "", `${tensor}/scores`] },
          { op: "Softmax", inputs: [`${tensor}/scores`], outputs: [tensor], attributes: { axis: -1n } });
        hooks.set(`pattern.${n}`, place);
      } else lack(`it lies inside ${core.op}, which does not give it out`, `pattern.${n}`);
    } else {
      const mixing = inner.filter((node) => isMixing(flow, node));
      const softmax = (name: string): boolean => [...behind(flow, name, isStream).nodes].some(({ op }) => op === "Softmax");
      const values = mixing.find((node) => softmax(node.inputs[0]) || softmax(node.inputs[1]));
      const scores = mixing.find((node) => node !== values);
      if (!values || !scores) return lack("no Softmax between two products was found", `attn_in.${n}`, ...keys, `pattern.${n}`);
      const p = softmax(values.inputs[0]) ? 0 : 1;
      const chain = sameBefore(flow, values.inputs[p], of);
      put(`pattern.${n}`, chain.find((name) => flow.producer.get(name)?.op === "Softmax") ?? chain[0], 0, { rank: "pattern" });
      const cached = (name: string): boolean => cache.some(({ past }) => behind(flow, name, isStream, true).tensors.has(past));
      const k = cached(scores.inputs[0]) && !cached(scores.inputs[1]) ? 0 : 1;
      operands = [scores.inputs[1 - k], scores.inputs[k], values.inputs[1 - p]];
    }
    checkCache(n, branch);
    inputOf(`attn_in.${n}`, branch.inner.linears);
    if (core && !operands[1]) return packed(n, core, operands[0]);
    if (core && (core.op === "Attention" && core.domain === "com.microsoft" || (core.op === "MultiHeadAttention" && core.inputs[3]))) {
      return lack(`bias or projections lie inside ${core.op}`, ...keys);
    }
    const parts = operands.map((operand) => behind(flow, operand, isStream));
    parts.forEach((part, i) => {
      const [linear] = part.linears;
      if (part.linears.length !== 1) return lack("it is made from more than one projection", keys[i]);
      const together = parts.some((other) => other !== part && other.linears[0] === linear);
      const found = projected(flow, linear, part.tensors, together);
      if (!headDim && !core && i === 0) headDim = found.headDim;
      if (!found.heads) return put(keys[i], found.tensor, 0);
      // [B, T, H, hd] or [B, H, T, hd] → [B, T, H·hd]: beside the way that the numbers take
      const tensor = `saelab/${keys[i]}`;
      const turned = found.heads === "first" ? [{ op: "Transpose", inputs: [found.tensor], outputs: [`${tensor}/turned`], attributes: { perm: [0n, 2n, 1n, 3n] } }] : [];
      insert(flow, found.tensor, ...turned, { op: "Reshape", inputs: [turned.length ? `${tensor}/turned` : found.tensor, numbers([0, 0, -1])], outputs: [tensor] });
      hooks.set(keys[i], { tensor, type: flow.types.get(found.tensor) ?? 0, width: 0, rank: "rows", readOnly: "q, k and v lie side by side within each head in this file" });
    });
    if (!core) {
      heads ||= headDim ? branch.last!.from / headDim : 0;
      kvHeads ||= parts[1].linears[0] && headDim && parts[1].linears[0] !== parts[0].linears[0] ? parts[1].linears[0].to / headDim : heads;
    }
    for (const [i, key] of keys.entries()) if (hooks.has(key)) hooks.get(key)!.width = (i ? kvHeads : heads) * headDim;
  };

  /** q, k and v in one tensor: split, and given to the attention one by one. */
  const packed = (n: number, core: Node, tensor: string): void => {
    const keys = ["q", "k", "v"].map((part) => `${part}.${n}`);
    if (core.op !== "GroupQueryAttention" || !headDim) return lack(`they are packed inside ${core.op}`, ...keys);
    const sizes = [heads, kvHeads, kvHeads].map((count) => count * headDim);
    const outputs = keys.map((key) => `saelab/${key}`);
    insert(flow, tensor, (graph.opsets[""] ?? 0) >= 13
      ? { op: "Split", inputs: [tensor, numbers(sizes)], outputs, attributes: { axis: -1n } }
      : { op: "Split", inputs: [tensor], outputs, attributes: { axis: -1n, split: sizes.map(BigInt) } });
    for (const node of [core, ...(added.get(core) ?? [])]) if (node.op === core.op) node.inputs = [...outputs, ...node.inputs.slice(3)];
    keys.forEach((key, i) => hooks.set(key, { tensor: outputs[i], type: flow.types.get(tensor) ?? 0, width: sizes[i], rank: "rows" }));
  };

  /** The block's attention reads the block's own cache. */
  const checkCache = (n: number, branch: Branch): void => {
    if (!cache.length) return;
    const seen = behind(flow, branch.last!.input, isStream, true).tensors;
    if (!cache.slice(2 * n, 2 * n + 2).every(({ past }) => seen.has(past))) {
      fail(`block ${n} to read ${cache[2 * n].past}`, "an attention that does not", "The layout is not known: please report it with the name of the model.");
    }
  };

  put("embed", stream.start, width);
  let before = stream.start;
  blocks.forEach((block, n) => {
    put(`resid_pre.${n}`, before, width);
    if (block.attention) attention(n, block.attention);
    else lack("this block has none", ...["attn_in", "q", "k", "v", "pattern", "z", "attn_out", "attn_add"].map((kind) => `${kind}.${n}`));
    let source = "";
    if (block.mlp) {
      outputsOf(n, "mlp", "mlp_act", block.mlp);
      const first = block.mlp.inner?.linears ?? [];
      inputOf(`mlp_in.${n}`, first);
      const stops = first.flatMap(({ input }) => behind(flow, input, isStream).stops);
      source = of.get(stops[0]) ?? "";
    } else lack("this block has none", ...["mlp_in", "mlp_act", "mlp_out", "mlp_add"].map((kind) => `${kind}.${n}`));
    const [mid] = block.sums;
    if (block.sums.length === 2 && (!block.mlp?.inner || source === mid.sum)) put(`resid_mid.${n}`, mid.sum, width);
    else lack("attention and MLP read the same stream in this model (parallel block)", `resid_mid.${n}`);
    before = block.sums.at(-1)!.sum;
    put(`resid_post.${n}`, before, width);
  });

  // the head: from the logits back to the product, and before it to what was normed
  let lastLogitsOnly = false;
  let vocabulary = 0;
  const logits = given.outputs.find(({ name }) => name === "logits");
  const head = logits && behind(flow, logits.name, isStream).linears;
  if (logits && head?.length === 1) {
    vocabulary = head[0].to || Number(logits.dims?.at(-1)) || 0;
    put("logits", logits.name, vocabulary);
    let at = head[0].input;
    for (const moves = ["Gather", "GatherND", "GatherElements", "Slice"]; !of.has(at);) {
      const node = flow.producer.get(at)!;
      if (!moves.includes(node.op) && sameBefore(flow, at, of).length < 2) break;
      if (moves.includes(node.op)) lastLogitsOnly = true;
      at = node.inputs[0];
    }
    put("final_norm", at, width);
  } else {
    lack(logits ? "they are not made by one product" : "the file has no output of that name", "logits");
    lack("the head was not found", "final_norm");
  }
  settle();
  graph.initializers.push(...constants.values());
  if (values.length) graph.values = values;
  return { graph: concrete(graph, cache, headDim), layers: blocks.length, width, heads, kvHeads, headDim, vocabulary, hooks, missing, inputs, cache, lastLogitsOnly };
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
  const fix = (value: OnnxModel["inputs"][number]): OnnxModel["inputs"][number] =>
    names.has(value.name) && value.dims?.length === 4 && value.dims[3] !== headDim ? { name: value.name, type: value.type, dims: [...value.dims.slice(0, 3), headDim] } : value;
  return { ...graph, inputs: graph.inputs.map(fix), outputs: graph.outputs.map(fix) };
}

/**
 * A projection as it comes out, bias included; of packed ones the part that flows on.
 * @param within tensors on the way to where the part is used
 * @param together q, k and v come from this one product
 */
function projected(flow: Flow, linear: Linear, within: Set<string>, together: boolean): { tensor: string; heads?: "first" | "second"; headDim: number } {
  let tensor = linear.output;
  let heads: "first" | "second" | undefined;
  let headDim = 0;
  for (let at = tensor; ;) {
    const readers = (flow.consumers.get(at) ?? []).filter((node) => node.outputs.some((name) => within.has(name)));
    if (readers.length !== 1) break;
    const [node] = readers;
    const next = node.outputs.find((name) => within.has(name))!;
    if (node.op === "Reshape") {
      const shape = flow.numbers(node.inputs[1]) ?? flow.producer.get(node.inputs[1])?.inputs.flatMap((name) => flow.numbers(name) ?? [0]) ?? [];
      headDim = Math.max(0, shape.at(-1) ?? 0);
    }
    if (node.op === "Add" && flow.constant.has(node.inputs[node.inputs[0] === at ? 1 : 0])) tensor = next;
    else if (together && (node.op === "Split" || node.op === "Slice" || node.op === "Gather")) return { tensor: next, heads, headDim };
    else if (together && node.op === "Reshape") heads = "second";
    else if (together && node.op === "Transpose") heads = "first";
    else if (node.op === "Reshape" || (node.op !== "Cast" && node.op !== "Identity")) break;
    at = next;
  }
  return { tensor, headDim };
}
