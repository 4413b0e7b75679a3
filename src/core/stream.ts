import { SKIP_NORMS, behind, type Behind, type Flow, type Linear } from "./flow";
import type { Node } from "./onnx";

/**
 * The residual stream of a decoder, found in its graph: where it starts, every sum that adds to it, and what is added, attention or MLP.
 *
 * A sum is an Add of two activations, or a Skip(Simplified)LayerNormalization, one operand of which is the stream itself;
 * the other operand is a branch. Names of operators and tensors play no part.
 */

/** Operators that compute a whole attention. */
export const ATTENTIONS = new Set([
  "GroupQueryAttention", "MultiHeadAttention", "Attention", "DecoderMaskedMultiHeadAttention", "PagedAttention", "SparseAttention",
]);

/** Operators that show the same numbers in another type or shape. */
const LOOK_THROUGH = new Set(["Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"]);

export interface Sum {
  node: Node;
  /** The stream after it. */
  sum: string;
  /** What is added. */
  branch: string;
  /** Which input of the node that is. */
  at: number;
}

/** One sublayer: from the norm's output to what is added. */
export interface Branch {
  kind: "attention" | "mlp";
  /** As it enters the sum. */
  add: string;
  /** The last product (o_proj, down_proj); undefined where there is not just one. */
  last?: Linear;
  /** What lies between the first products (q, k, v; gate, up) and the last one. */
  inner?: Behind;
}

export interface Block {
  sums: Sum[];
  attention?: Branch;
  mlp?: Branch;
}

export interface Stream {
  start: string;
  blocks: Block[];
  /** Every tensor that holds the stream, its casts and reshapes included → the tensor that the sum gave. */
  of: Map<string, string>;
}

/** The tensor and what shows the same numbers. */
function aliases(flow: Flow, tensor: string): Set<string> {
  const all = new Set([tensor]);
  for (const name of all) {
    for (const node of flow.consumers.get(name) ?? []) {
      if (LOOK_THROUGH.has(node.op) && node.inputs[0] === name) all.add(node.outputs[0]);
    }
  }
  return all;
}

/** The first sum that the stream enters. */
function nextSum(flow: Flow, order: Map<Node, number>, stream: Set<string>): Sum | undefined {
  let first: Sum | undefined;
  for (const name of stream) {
    for (const node of flow.consumers.get(name) ?? []) {
      if (node.op !== "Add" && !(node.op in SKIP_NORMS)) continue;
      const at = node.inputs[0] === name ? 1 : node.inputs[1] === name ? 0 : -1;
      if (at < 0 || !flow.activation.has(node.inputs[at]) || stream.has(node.inputs[at])) continue;
      if (!first || order.get(node)! < order.get(first.node)!) first = { node, at, branch: node.inputs[at], sum: node.outputs[node.op === "Add" ? 0 : 3] };
    }
  }
  return first;
}

/** Follows the stream from the embedding to its last sum; undefined when no sum is found. */
export function followStream(flow: Flow, nodes: Node[]): Stream | undefined {
  const order = new Map(nodes.map((node, i) => [node, i]));
  let start = flow.embedded[0];
  const of = new Map<string, string>();
  // dequantised, scaled, positions added, normed: until a sum takes it
  for (let sum: Sum | undefined; start && !sum;) {
    sum = nextSum(flow, order, aliases(flow, start));
    if (sum) break;
    const readers = (flow.consumers.get(start) ?? []).filter(({ op }) => op !== "Shape");
    start = readers.length === 1 ? readers[0].outputs[readers[0].op in SKIP_NORMS ? 3 : 0] : "";
  }
  if (!start) return undefined;
  const sums: Sum[] = [];
  for (let at = start; ;) {
    const same = aliases(flow, at);
    for (const name of same) of.set(name, at);
    const sum = nextSum(flow, order, same);
    if (!sum) break;
    sums.push(sum);
    at = sum.sum;
  }
  const blocks: Block[] = [];
  let block: Block | undefined;
  for (const sum of sums) {
    for (const branch of branches(flow, sum.branch, of)) {
      if (!block || block[branch.kind]) blocks.push((block = { sums: [] }));
      block[branch.kind] = branch;
      if (block.sums.at(-1) !== sum) block.sums.push(sum);
    }
  }
  return { start, blocks, of };
}

/** The branch, or the two that are added to each other first in a parallel block. */
function branches(flow: Flow, tensor: string, of: Map<string, string>): Branch[] {
  const node = flow.producer.get(tensor);
  if (node?.op === "Add" && node.inputs.every((name) => flow.activation.has(name) && !of.has(name))) {
    const two = node.inputs.map((name) => branch(flow, name, of));
    if (two.every(({ last }) => last) && two[0].kind !== two[1].kind) return two;
  }
  return [branch(flow, tensor, of)];
}

/** A product of two activations: scores, or the pattern times the values. */
export const isMixing = (flow: Flow, node: Node): boolean =>
  ["MatMul", "FusedMatMul", "Einsum"].includes(node.op) && node.inputs.slice(0, 2).every((name) => flow.activation.has(name));

function branch(flow: Flow, add: string, of: Map<string, string>): Branch {
  const isStream = (name: string): boolean => of.has(name);
  const before = behind(flow, add, isStream);
  const last = before.linears.length === 1 && !before.stops.length ? before.linears[0] : undefined;
  const inner = last && behind(flow, last.input, isStream);
  const nodes = [...(inner ?? before).nodes];
  const kind = nodes.some((node) => ATTENTIONS.has(node.op) || isMixing(flow, node)) ? "attention" : "mlp";
  return { kind, add, last, inner };
}

/** Goes back from a tensor through operators that show the same numbers: the tensor itself first. */
export function sameBefore(flow: Flow, tensor: string, of: Map<string, string>): string[] {
  const chain = [tensor];
  for (let at = tensor; !of.has(at);) {
    const node = flow.producer.get(at);
    if (!node || !LOOK_THROUGH.has(node.op) || flow.linears.has(at)) break;
    chain.push((at = node.inputs[0]));
  }
  return chain;
}

/** A product with its bias, in the stream's shape: the last tensor before something else is done to it. */
export function withBias(flow: Flow, linear: Linear, until: string): string {
  let best = linear.output;
  for (let at = best; at !== until;) {
    const readers = (flow.consumers.get(at) ?? []).filter((node) => node.outputs.some((name) => flow.activation.has(name)));
    if (readers.length !== 1) break;
    const [node] = readers;
    const other = node.inputs[node.inputs[0] === at ? 1 : 0];
    if (node.op === "Add" ? !flow.constant.has(other) : !LOOK_THROUGH.has(node.op)) break;
    at = node.outputs[0];
    if (node.op !== "Cast" || at === until) best = at;
  }
  return best;
}
