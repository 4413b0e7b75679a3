import { ModelError } from "./errors";
import { ELEMENT, attributeTensor, sparseNames, usedNames, wholeNumbers, type Initializer, type Node, type OnnxModel } from "./onnx";

/**
 * What flows where in a graph: who makes and who reads each tensor, which tensors are constants, which hold a function of the token's
 * embedding ("activations"; shapes computed from them are none), and which operators multiply an activation by a weight.
 */

/** x W (+ b): one operator, or the four that an 8-bit product takes. */
export interface Linear {
  /** The activation multiplied, before it is quantised. */
  input: string;
  /** The product in floating point; a bias added by a further operator is not in it. */
  output: string;
  /** Features in and out; 0 where the file does not tell. */
  from: number;
  to: number;
  /** Operators from the input to the output. */
  nodes: Node[];
}

export interface Flow {
  producer: Map<string, Node>;
  /** Operators that read a tensor, in order; subgraphs count with the operator that holds them. */
  consumers: Map<string, Node[]>;
  /** What an operator reads, its subgraphs included. */
  reads: Map<Node, string[]>;
  /** TensorProto.DataType of a tensor, as far as it follows from inputs, weights and casts; 0: unknown. */
  types: Map<string, number>;
  constant: Set<string>;
  activation: Set<string>;
  /** By their output. */
  linears: Map<string, Linear>;
  /** Outputs of the operators that look token ids up in a table. */
  embedded: string[];
  /** Whole numbers of a constant, where they lie in the graph. */
  numbers(tensor: string): number[] | undefined;
  /** Shape of a constant, where it is known. */
  shape(tensor: string): number[] | undefined;
}

/** Norms that add first: the sum is their fourth output. → which input is a bias of the sum. */
export const SKIP_NORMS: Record<string, number> = { SkipLayerNormalization: 4, SkipSimplifiedLayerNormalization: 3 };

const LOOKUPS = new Set(["Gather", "GatherBlockQuantized"]);
const PRODUCTS = new Set(["MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulNBits", "MatMulBnb4", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"]);
const UNCHANGED = new Set(["Cast", "DequantizeLinear", "Identity"]);

/**
 * The operators in an order in which each finds its inputs made; where that is so already, as they stand.
 * (The format asks for it, some converters to float16 do not keep to it, and the runtime sorts for itself.)
 * @throws ModelError when an input is made nowhere or needs itself, or a tensor is made twice
 */
export function inOrder(graph: OnnxModel, where: string): Node[] {
  const damaged = (node: Node, expected: string, found: string): never => {
    throw new ModelError(`${where}: ${node.op} "${node.name ?? ""}": expected ${expected}, found ${found}. The file is damaged: copy or export it again.`);
  };
  const given = new Set([...[...graph.inputs, ...graph.initializers].map(({ name }) => name), ...sparseNames(graph)]);
  const maker = new Map<string, Node>();
  for (const node of graph.nodes) {
    for (const name of node.outputs) {
      if (name && (maker.has(name) || given.has(name))) damaged(node, `to be the only one that makes "${name}"`, "another one");
      maker.set(name, node);
    }
  }
  const sorted: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  for (const first of graph.nodes) {
    const open = [first];
    while (open.length) {
      const node = open.at(-1)!;
      if (state.get(node) === "done") {
        open.pop();
        continue;
      }
      const again = state.get(node) === "open"; // its inputs have been seen to
      state.set(node, "open");
      const wanting = usedNames(node).filter((name) => !given.has(name)).map((name) => maker.get(name) ?? damaged(node, `its input "${name}" from another operator`, "none"))
        .filter((other) => state.get(other) !== "done");
      if (!wanting.length) {
        sorted.push(node);
        state.set(node, "done");
        open.pop();
      } else if (again || wanting.some((other) => state.get(other) === "open")) damaged(node, "inputs that do not need its output", "a circle");
      else open.push(...wanting);
    }
  }
  return sorted;
}

/**
 * Looks through a graph once, in its order (see {@link inOrder}).
 * @param ids name of the input that holds the token ids
 */
export function readFlow(graph: OnnxModel, ids: string): Flow {
  const producer = new Map<string, Node>();
  const consumers = new Map<string, Node[]>();
  const reads = new Map<Node, string[]>();
  const types = new Map<string, number>();
  const constant = new Set<string>(sparseNames(graph));
  const activation = new Set<string>();
  const embedded: string[] = [];
  const tensors = new Map<string, Initializer>(graph.initializers.map((tensor) => [tensor.name, tensor]));
  const shapes = new Map<string, number[]>();
  const ofIds = new Set([ids]); // the ids themselves, reshaped or cast
  for (const { name, type = 0 } of [...(graph.values ?? []), ...graph.outputs, ...graph.inputs, ...graph.initializers]) if (type) types.set(name, type);
  for (const { name, dims } of graph.initializers) {
    shapes.set(name, dims);
    constant.add(name);
  }

  for (const node of graph.nodes) {
    const read = usedNames(node);
    reads.set(node, read);
    for (const name of read) {
      const list = consumers.get(name);
      if (list) list.push(node);
      else consumers.set(name, [node]);
    }
    if (node.op === "Constant") {
      const tensor = attributeTensor(node.attributes?.value);
      const name = node.outputs[0];
      if (tensor) {
        tensors.set(name, tensor);
        shapes.set(name, tensor.dims);
        types.set(name, tensor.type);
      }
    }
    const fixed = read.every((name) => constant.has(name)) && !node.op.startsWith("Random");
    const lookup = LOOKUPS.has(node.op) && constant.has(node.inputs[0]) && ofIds.has(node.inputs[1]);
    const active = lookup || (node.op !== "Shape" && node.op !== "Size" && read.some((name) => activation.has(name)));
    const fromIds = node.op !== "Shape" && node.inputs.length > 0 && ofIds.has(node.inputs[0]) && ["Cast", "Reshape", "Identity", "Unsqueeze", "Squeeze"].includes(node.op);
    if (lookup) embedded.push(node.outputs[0]);
    node.outputs.forEach((name, i) => {
      if (!name) return;
      producer.set(name, node);
      if (fixed) constant.add(name);
      if (active) activation.add(name);
      if (fromIds) ofIds.add(name);
      if (!types.has(name)) types.set(name, typeOf(node, i, types));
    });
    if (fixed && shapes.has(node.inputs[0])) {
      const shape = shapes.get(node.inputs[0])!;
      if (UNCHANGED.has(node.op)) shapes.set(node.outputs[0], shape);
      else if (node.op === "Transpose") {
        const perm = (node.attributes?.perm as bigint[] | undefined)?.map(Number) ?? shape.map((_, i) => shape.length - 1 - i);
        shapes.set(node.outputs[0], perm.map((i) => shape[i]));
      }
    }
  }

  const flow: Flow = {
    producer, consumers, reads, types, constant, activation, linears: new Map(), embedded,
    numbers: (name) => (tensors.has(name) ? wholeNumbers(tensors.get(name)!) : undefined),
    shape: (name) => shapes.get(name),
  };
  for (const node of graph.nodes) {
    const linear = readLinear(flow, node);
    if (linear) flow.linears.set(linear.output, linear);
  }
  return flow;
}

/** Type of an operator's output i, from those of its inputs. */
function typeOf(node: Node, i: number, types: Map<string, number>): number {
  const of = (k: number): number => types.get(node.inputs[k]) ?? 0;
  switch (node.op) {
    case "Cast": return Number(node.attributes?.to ?? 0);
    case "Shape": case "Size": return ELEMENT.INT64;
    case "MatMulInteger": return ELEMENT.INT32;
    case "DynamicQuantizeLinear": return i === 1 ? ELEMENT.FLOAT : 2;
    case "DequantizeLinear": return of(1);
    case "Where": return of(1);
    case "GatherBlockQuantized": return of(2);
    case "DynamicQuantizeMatMul": case "MatMulIntegerToFloat": return of(2);
    case "Constant": case "ConstantOfShape": return attributeTensor(node.attributes?.value)?.type ?? ELEMENT.FLOAT;
    default: return of(0);
  }
}

/** Before quantisation: what a tensor of small whole numbers was made from. */
function unquantized(flow: Flow, name: string): { input: string; nodes: Node[] } {
  const node = flow.producer.get(name);
  return node && (node.op === "DynamicQuantizeLinear" || node.op === "QuantizeLinear") ? { input: node.inputs[0], nodes: [node] } : { input: name, nodes: [] };
}

/** The product that begins with this operator, if it is one of an activation and a weight. */
function readLinear(flow: Flow, node: Node): Linear | undefined {
  const [x, weight] = node.inputs;
  if (!flow.activation.has(x) || !flow.constant.has(weight)) return undefined;
  const shape = flow.shape(weight);
  const whole = (name: string): number => Number(node.attributes?.[name] ?? 0);
  if (node.op === "MatMulInteger") {
    // int32 → float, times the scales of both
    const only = (name: string, op: string): Node | undefined => {
      const readers = flow.consumers.get(name) ?? [];
      return readers.length === 1 && readers[0].op === op ? readers[0] : undefined;
    };
    const cast = only(node.outputs[0], "Cast");
    const scaled = cast && only(cast.outputs[0], "Mul");
    if (!scaled) return undefined;
    const { input, nodes } = unquantized(flow, x);
    return { input, output: scaled.outputs[0], from: shape?.[0] ?? 0, to: shape?.[1] ?? 0, nodes: [...nodes, node, cast, scaled] };
  }
  if (!PRODUCTS.has(node.op)) return undefined;
  const { input, nodes } = node.op === "MatMulIntegerToFloat" ? unquantized(flow, x) : { input: x, nodes: [] };
  const linear = { input, output: node.outputs[0], nodes: [...nodes, node] };
  if (node.op === "MatMulNBits" || node.op === "MatMulBnb4") return { ...linear, from: whole("K"), to: whole("N") };
  const [rows = 0, columns = 0] = shape?.length === 2 ? shape : [];
  return whole("transB") ? { ...linear, from: columns, to: rows } : { ...linear, from: rows, to: columns };
}

/** What lies behind a tensor, up to the products it is made from. */
export interface Behind {
  /** Products whose outputs were met. */
  linears: Linear[];
  /** Tensors at which the search was told to stop. */
  stops: string[];
  nodes: Set<Node>;
  tensors: Set<string>;
}

/**
 * Goes back from a tensor through activations, no further than products of a weight and the tensors to stop at.
 * @param all goes through tensors that are no activations too, but not through shapes
 */
export function behind(flow: Flow, from: string, stop: (tensor: string) => boolean, all = false): Behind {
  const result: Behind = { linears: [], stops: [], nodes: new Set(), tensors: new Set() };
  const open = [from];
  while (open.length) {
    const name = open.pop()!;
    if (result.tensors.has(name)) continue;
    result.tensors.add(name);
    const linear = flow.linears.get(name);
    if (linear) result.linears.push(linear);
    else if (stop(name)) result.stops.push(name);
    else {
      const node = flow.producer.get(name);
      if (!node || node.op === "Shape") continue;
      result.nodes.add(node);
      // what a skip-norm norms is the sum
      const sum = node.op in SKIP_NORMS && node.outputs[3] !== name && node.outputs[3];
      for (const input of sum ? [sum] : flow.reads.get(node)!) if (all || flow.activation.has(input)) open.push(input);
    }
  }
  return result;
}
