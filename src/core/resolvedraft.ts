import { SKIP_NORMS, readFlow, type Flow, type Linear } from "./flow";
import { ELEMENT, type Initializer, type Node, type OnnxModel, type Value } from "./onnx";
import { followStream, sameBefore, type Stream } from "./stream";

/**
 * A graph while its hooks are being found: what is known of it, the places found so far, and the operators to be added.
 */

export interface Place {
  tensor: string;
  /** TensorProto.DataType; FLOAT16 and BFLOAT16 want a Cast before they are given out. 0: the graph does not tell. */
  type: number;
  /** Numbers a row; 0 for the pattern, whose rows are as long as the text, and where the graph does not tell. */
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

export interface Draft {
  graph: OnnxModel;
  flow: Flow;
  stream: Stream;
  cache: Cached[];
  hooks: Map<string, Place>;
  missing: Map<string, string>;
  width: number;
  /** 0 until an attention tells. */
  heads: number;
  kvHeads: number;
  headDim: number;
  isStream(tensor: string): boolean;
  put(key: string, tensor: string, width: number, more?: Partial<Place>): void;
  lack(reason: string, ...keys: string[]): void;
  /** Operators to stand behind the one that makes a tensor. */
  insert(after: string, ...nodes: Node[]): void;
  /** A constant of whole numbers, by its name. */
  numbers(values: number[]): string;
  /** Type of a tensor that the runtime does not infer. */
  declare(value: Value): void;
  /** The graph with all that was added. */
  finish(): OnnxModel;
}

/**
 * Begins with a copy in which every residual sum has a name and no bias is folded into a norm: a sublayer's bias belongs to its output.
 * @param sorted the graph's operators in order
 * @returns undefined when there is no embedding with a residual sum behind it; `embedded` tells whether there is an embedding
 */
export function startDraft(given: OnnxModel, sorted: Node[], ids: string, cache: Cached[]): { draft?: Draft; embedded?: string } {
  const nodes = sorted.map((node, i): Node => {
    const copy = { ...node, inputs: [...node.inputs], outputs: [...node.outputs] };
    if (copy.op in SKIP_NORMS && !copy.outputs[3]) copy.outputs = [0, 1, 2, 3].map((k) => copy.outputs[k] || (k === 3 ? `saelab/sum.${i}` : ""));
    return copy;
  });
  const graph: OnnxModel = { ...given, nodes };
  const added = new Map<Node | undefined, Node[]>(); // undefined: at the beginning
  const put = (node: Node | undefined, more: Node[]): void => void added.set(node, [...(added.get(node) ?? []), ...more]);
  const settle = (): void => {
    graph.nodes = [...(added.get(undefined) ?? []), ...graph.nodes.flatMap((node) => [node, ...(added.get(node) ?? [])])];
    added.clear();
  };

  let flow = readFlow(graph, ids);
  let stream = followStream(flow, graph.nodes);
  const biased = stream?.blocks.flatMap((block) => block.sums).filter(({ node }) => node.inputs[SKIP_NORMS[node.op]]) ?? [];
  if (biased.length) {
    for (const { node, at, branch } of biased) {
      const whole = `${branch}/biased`;
      put(flow.producer.get(branch), [{ op: "Add", inputs: [branch, node.inputs[SKIP_NORMS[node.op]]], outputs: [whole] }]);
      node.inputs = node.inputs.slice(0, SKIP_NORMS[node.op]);
      node.inputs[at] = whole;
    }
    settle();
    flow = readFlow(graph, ids);
    stream = followStream(flow, graph.nodes);
  }
  const embedded = flow.embedded[0];
  if (!stream?.blocks.length) return { embedded };

  const { blocks, of } = stream;
  const constants = new Map<string, Initializer>();
  const values: Value[] = [];
  const hooks = new Map<string, Place>();
  const missing = new Map<string, string>();
  const draft: Draft = {
    graph, flow, stream, cache, hooks, missing,
    width: [blocks[0].attention, blocks[0].mlp].map((branch) => branch?.last?.to ?? 0).find((n) => n) ?? 0,
    heads: 0,
    kvHeads: Number(cache[0]?.shape[1]) || 0,
    headDim: Number(cache[0]?.shape[3]) || 0,
    isStream: (name) => of.has(name),
    put: (key, tensor, width, more) => void hooks.set(key, { tensor, type: flow.types.get(tensor) ?? 0, width, rank: "rows", ...more }),
    lack: (reason, ...keys) => keys.forEach((key) => void missing.set(key, reason)),
    insert: (after, ...more) => put(flow.producer.get(after), more),
    numbers(list) {
      const name = `saelab/numbers/${list.join(",")}`;
      constants.set(name, { name, type: ELEMENT.INT64, dims: [list.length], raw: new Uint8Array(BigInt64Array.from(list.map(BigInt)).buffer) });
      return name;
    },
    declare: (value) => void values.push(value),
    finish() {
      settle();
      // shapes noted for tensors in between are let go: exporters get some wrong (GenAI's MultiHeadAttention with a cache), and the runtime
      // then plans buffers that do not fit; it infers them itself
      const types = (given.values ?? []).flatMap(({ name, type }): Value[] => (type ? [{ name, type }] : []));
      const all = [...types, ...values];
      return { ...graph, initializers: [...given.initializers, ...constants.values()], ...(all.length && { values: all }) };
    },
  };
  return { draft, embedded };
}

/** The input that a sublayer's first products share: a tensor that they alone read, an Identity where others read it too. */
export function placeInput({ flow, stream, width, put, lack, insert, hooks }: Draft, key: string, group: Linear[]): void {
  const chains = group.map(({ input }) => sameBefore(flow, input, stream.of));
  const common = chains[0]?.find((name) => chains.every((chain) => chain.includes(name)));
  if (!common) return lack(group.length ? "the projections read different tensors" : "the projections lie inside an operator", key);
  const path = new Set(group.flatMap((linear) => linear.nodes));
  for (const chain of chains) for (const name of chain.slice(0, chain.indexOf(common))) path.add(flow.producer.get(name)!);
  const readers = (flow.consumers.get(common) ?? []).filter((node) => node.outputs.some((name) => flow.activation.has(name)));
  const mine = readers.filter((node) => path.has(node));
  // an operator on the way may serve others too: one quantisation for both sublayers (its scale goes to products' Muls in any case)
  const ends = new Set(group.map(({ output }) => output));
  const shared = [...path].some((node) => !node.outputs.some((name) => ends.has(name)) &&
    node.outputs.some((name) => (flow.consumers.get(name) ?? []).some((next) => !path.has(next) && !(node.op === "DynamicQuantizeLinear" && next.op === "Mul"))));
  if (shared) return put(key, common, width, { readOnly: "both sublayers read it through one operator" });
  if (mine.length === readers.length && !stream.of.has(common)) return put(key, common, width);
  const own = `saelab/${key}`;
  insert(common, { op: "Identity", inputs: [common], outputs: [own] });
  for (const node of mine) node.inputs = node.inputs.map((name) => (name === common ? own : name));
  hooks.set(key, { tensor: own, type: flow.types.get(common) ?? 0, width, rank: "rows" });
}
