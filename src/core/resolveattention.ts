import type { Draft, Place } from "./resolvedraft";
import { placeInput } from "./resolvedraft";
import { behind, type Flow, type Linear } from "./flow";
import type { Node } from "./onnx";
import { ATTENTIONS, isMixing, sameBefore, type Branch } from "./stream";

/** The places inside an attention: its input, q, k, v and the pattern. */

/**
 * @param n block
 * @throws what `stranger` throws, when the block's attention does not read the block's own cache
 */
export function placeAttention(draft: Draft, n: number, branch: Branch, stranger: (past: string) => never): void {
  const { flow, stream, cache, isStream, lack } = draft;
  const keys = ["q", "k", "v"].map((part) => `${part}.${n}`);
  const { last, inner } = branch;
  if (!last || !inner) return lack("the attention could not be followed", `attn_in.${n}`, ...keys, `pattern.${n}`);
  const past = cache.slice(2 * n, 2 * n + 2);
  const seen = past.length ? behind(flow, last.input, isStream, true).tensors : undefined;
  for (const entry of past) if (!seen!.has(entry.past)) stranger(entry.past);
  placeInput(draft, `attn_in.${n}`, inner.linears);

  const nodes = [...inner.nodes];
  const core = nodes.find((node) => ATTENTIONS.has(node.op));
  if (core) {
    draft.heads ||= Number(core.attributes?.num_heads ?? core.attributes?.q_num_heads ?? 0);
    draft.headDim ||= draft.heads ? last.from / draft.heads : 0;
    draft.heads ||= draft.headDim ? last.from / draft.headDim : 0;
    draft.kvHeads ||= Number(core.attributes?.kv_num_heads ?? draft.heads);
    if (core.op === "Attention" && core.domain === "com.microsoft") lack("the projections lie inside Attention", ...keys);
    else if (core.op === "MultiHeadAttention" && core.inputs[3]) lack("their bias lies inside MultiHeadAttention", ...keys);
    else if (!core.inputs[1]) placePacked(draft, keys, core);
    else placeProjections(draft, keys, core.inputs.slice(0, 3));
    return placeInnerPattern(draft, `pattern.${n}`, core);
  }

  // scores = product of two activations, pattern = softmax, then product with the values
  const mixing = nodes.filter((node) => isMixing(flow, node));
  const softmax = (name: string): boolean => [...behind(flow, name, isStream).nodes].some(({ op }) => op === "Softmax");
  const values = mixing.find((node) => softmax(node.inputs[0]) || softmax(node.inputs[1]));
  const scores = mixing.find((node) => node !== values);
  if (!values || !scores) return lack("no Softmax between two products was found", ...keys, `pattern.${n}`);
  const p = softmax(values.inputs[0]) ? 0 : 1;
  const chain = sameBefore(flow, values.inputs[p], stream.of);
  draft.put(`pattern.${n}`, chain.find((name) => flow.producer.get(name)?.op === "Softmax") ?? chain[0], 0, { rank: "pattern" });
  const cached = (name: string): boolean => {
    const { tensors } = behind(flow, name, isStream, true);
    return past.some((entry) => tensors.has(entry.past));
  };
  const k = cached(scores.inputs[0]) && !cached(scores.inputs[1]) ? 0 : 1;
  placeProjections(draft, keys, [scores.inputs[1 - k], scores.inputs[k], values.inputs[1 - p]], last);
}

/** A second attention that gives its pattern away; it is to be computed only where that is asked for. */
function placeInnerPattern({ flow, hooks, insert, declare, lack }: Draft, key: string, core: Node): void {
  const tensor = `saelab/${key}`;
  const place: Place = { tensor, type: flow.types.get(core.outputs[0]) ?? 0, width: 0, rank: "pattern", readOnly: `it lies inside ${core.op}, which gives it out but takes none` };
  const again = (cached: string[], last: string, attributes: Node["attributes"] = {}): Node =>
    ({ ...core, name: tensor, outputs: [`${tensor}/z`, ...cached, last], attributes: { ...core.attributes, ...attributes } });
  if (core.op === "GroupQueryAttention") insert(core.outputs[0], again([`${tensor}/key`, `${tensor}/value`], tensor, { qk_output: 2n }));
  else if (core.op === "Attention" && !core.domain) insert(core.outputs[0], again(["", ""], tensor, { qk_matmul_output_mode: 3n }));
  else if (core.op === "MultiHeadAttention" && place.type) {
    // its fourth output is the scores, scaled and masked
    declare({ name: `${tensor}/scores`, type: place.type });
    insert(core.outputs[0], again(["", ""], `${tensor}/scores`), { op: "Softmax", inputs: [`${tensor}/scores`], outputs: [tensor], attributes: { axis: -1n } });
  } else return lack(`it lies inside ${core.op}, which does not give it out`, key);
  hooks.set(key, place);
}

/** q, k and v in one tensor: split, and given to the attention one by one. */
function placePacked(draft: Draft, keys: string[], core: Node): void {
  const { flow, graph, heads, kvHeads, headDim, isStream } = draft;
  const [tensor] = core.inputs;
  const { linears, tensors } = behind(flow, tensor, isStream);
  if (core.op !== "GroupQueryAttention" || !headDim || linears.length !== 1 || projected(flow, linears[0], tensors, false)?.tensor !== tensor) {
    return draft.lack(`they are packed inside ${core.op}`, ...keys);
  }
  const sizes = [heads, kvHeads, kvHeads].map((count) => count * headDim);
  const outputs = keys.map((key) => `saelab/${key}`);
  core.inputs = [...outputs, ...core.inputs.slice(3)];
  draft.insert(tensor, (graph.opsets[""] ?? 0) >= 13
    ? { op: "Split", inputs: [tensor, draft.numbers(sizes)], outputs, attributes: { axis: -1n } }
    : { op: "Split", inputs: [tensor], outputs, attributes: { axis: -1n, split: sizes.map(BigInt) } });
  keys.forEach((key, i) => draft.hooks.set(key, { tensor: outputs[i], type: flow.types.get(tensor) ?? 0, width: sizes[i], rank: "rows" }));
}

/** q, k and v, each traced back to its product. @param last o_proj, where the operators themselves do not tell the number of heads */
function placeProjections(draft: Draft, keys: string[], operands: string[], last?: Linear): void {
  const { flow, hooks, isStream, put, lack, insert } = draft;
  const parts = operands.map((operand) => behind(flow, operand, isStream));
  parts.forEach((part, i) => {
    const [linear] = part.linears;
    if (part.linears.length !== 1) return lack("it is made from more than one projection", keys[i]);
    const found = projected(flow, linear, part.tensors, parts.some((other) => other !== part && other.linears[0] === linear));
    if (!found) return lack("q, k and v are packed in a way that could not be followed", keys[i]);
    if (last && i === 0) draft.headDim ||= found.headDim;
    if (!found.headAxis) return put(keys[i], found.tensor, 0);
    // [B, T, H, hd] or [B, H, T, hd] → [B, T, H·hd]: beside the way that the numbers take
    const tensor = `saelab/${keys[i]}`;
    const turned: Node[] = found.headAxis === 1 ? [{ op: "Transpose", inputs: [found.tensor], outputs: [`${tensor}/turned`], attributes: { perm: [0n, 2n, 1n, 3n] } }] : [];
    insert(found.tensor, ...turned, { op: "Reshape", inputs: [turned.length ? `${tensor}/turned` : found.tensor, draft.numbers([0, 0, -1])], outputs: [tensor] });
    hooks.set(keys[i], { tensor, type: flow.types.get(found.tensor) ?? 0, width: 0, rank: "rows", readOnly: "q, k and v lie side by side within each head in this file" });
  });
  if (last && draft.headDim) {
    draft.heads ||= last.from / draft.headDim;
    const [q, k] = parts.map(({ linears }) => linears[0]);
    draft.kvHeads ||= k && k !== q ? k.to / draft.headDim : 0;
  }
  for (const [i, key] of keys.entries()) if (hooks.has(key)) hooks.get(key)!.width = (i ? draft.kvHeads : draft.heads) * draft.headDim;
}

/**
 * A projection as it comes out, bias included; of packed ones the part that flows on.
 * @param within tensors on the way to where the part is used
 * @param together q, k and v come from this one product
 * @returns undefined when packed ones are not taken apart by one operator; `headAxis`: where the heads have an axis of their own
 */
function projected(flow: Flow, linear: Linear, within: Set<string>, together: boolean): { tensor: string; headAxis?: 1 | 2; headDim: number } | undefined {
  let tensor = linear.output;
  let headAxis: 1 | 2 | undefined;
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
    else if (together && (node.op === "Split" || node.op === "Slice" || node.op === "Gather")) return { tensor: next, headAxis, headDim };
    else if (together && node.op === "Reshape") headAxis = 2;
    else if (together && node.op === "Transpose") headAxis = 1;
    else if (node.op === "Reshape" || (node.op !== "Cast" && node.op !== "Identity")) break;
    at = next;
  }
  return together ? undefined : { tensor, headDim };
}
