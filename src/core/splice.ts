import { ELEMENT, usedNames, type Initializer, type Node, type OnnxModel, type Value } from "./onnx";

/**
 * Surgery on a graph, whoever made it: leave out what no output needs, put nodes in the way of a tensor, cut at places where
 * something else than the runtime is to compute. Weights are references and stay where they are.
 */

/** What is put in the way of a tensor: reads `x`, makes `out`. */
export interface Insert {
  nodes: Node[];
  initializers?: Initializer[];
  inputs?: Value[];
}

/** Given the names of what is read and what is to be made. */
export type Inserter = (x: string, out: string) => Insert;

/** Nodes that some output needs, in order; likewise inputs and initialisers. Of a sum and its norm, the sum alone if that is all. */
export function prune(model: OnnxModel): OnnxModel {
  const needed = new Set(model.outputs.map(({ name }) => name));
  const kept: Node[] = [];
  for (let i = model.nodes.length - 1; i >= 0; i--) {
    const node = model.nodes[i];
    const used = node.outputs.filter((name) => name && needed.has(name));
    if (!used.length) continue;
    const nodes = isSkipNorm(node) && used.length === 1 && used[0] === node.outputs[3] ? part(node).slice(0, -1) : [node];
    for (const one of nodes) for (const name of usedNames(one)) needed.add(name);
    kept.push(...nodes.reverse());
  }
  const read = ({ name }: { name: string }): boolean => needed.has(name);
  return { ...model, nodes: kept.reverse(), initializers: model.initializers.filter(read), inputs: model.inputs.filter(read) };
}

/**
 * Puts nodes in the way of a tensor: its producer gives another name, the nodes make the old one again, so that whoever reads it,
 * later reads included, sees what was written. Where a norm computes the sum itself it is parted first, for it would read the sum unwritten.
 */
export function tap(model: OnnxModel, tensor: string, insert: Inserter): OnnxModel {
  let nodes = model.nodes;
  let at = nodes.findIndex(({ outputs }) => outputs.includes(tensor));
  if (at < 0) throw new RangeError(`${tensor}: expected a tensor that a node of the graph makes, found none.`);
  if (isSkipNorm(nodes[at]) && nodes[at].outputs[3] === tensor) {
    const parts = part(nodes[at]);
    nodes = nodes.toSpliced(at, 1, ...parts);
    at += parts.length - 2; // the last but one makes the sum
  }
  const x = `${tensor}/before.${nodes.filter(({ outputs }) => outputs.some((name) => name.startsWith(`${tensor}/before.`))).length}`;
  const producer = { ...nodes[at], outputs: nodes[at].outputs.map((name) => (name === tensor ? x : name)) };
  const { nodes: more, initializers = [], inputs = [] } = insert(x, tensor);
  const has = new Set([...model.initializers, ...model.inputs].map(({ name }) => name));
  const fresh = <T extends { name: string }>(list: T[]): T[] => list.filter(({ name }) => !has.has(name));
  return {
    ...model,
    nodes: nodes.toSpliced(at, 1, producer, ...more),
    initializers: [...model.initializers, ...fresh(initializers)],
    inputs: [...model.inputs, ...fresh(inputs)],
  };
}

/** A write's nodes on a tensor that is not float32 [N, width]: made so before, and as it was after. */
export function around(insert: Inserter, kept?: { type: number; width?: number }): Inserter {
  if (!kept) return insert;
  const { type, width } = kept;
  return (x, out) => {
    const before: Node[] = [];
    const after: Node[] = [];
    let [from, to] = [x, out];
    if (width) {
      before.push(
        { op: "Shape", inputs: [x], outputs: [`${x}/shape`] }, { op: "Constant", inputs: [], outputs: [`${x}/flat`], attributes: { value_ints: [-1n, BigInt(width)] } },
        { op: "Reshape", inputs: [from, `${x}/flat`], outputs: [`${x}/rows`] });
      from = `${x}/rows`;
      after.unshift({ op: "Reshape", inputs: [`${x}/restored`, `${x}/shape`], outputs: [to] });
      to = `${x}/restored`;
    }
    if (type !== ELEMENT.FLOAT) {
      before.push({ op: "Cast", inputs: [from], outputs: [`${x}/wide`], attributes: { to: BigInt(ELEMENT.FLOAT) } });
      from = `${x}/wide`;
      after.unshift({ op: "Cast", inputs: [`${x}/changed`], outputs: [to], attributes: { to: BigInt(type) } });
      to = `${x}/changed`;
    }
    const made = insert(from, to);
    return { ...made, nodes: [...before, ...made.nodes, ...after] };
  };
}

const isSkipNorm = ({ op }: Node): boolean => op === "SkipSimplifiedLayerNormalization" || op === "SkipLayerNormalization";

/** Skip(Simplified)LayerNormalization as what it stands for: sums, then a norm of the sum. */
function part(node: Node): Node[] {
  const simplified = node.op.includes("Simplified");
  const [input, skip, gamma, ...rest] = node.inputs;
  const [beta, bias] = simplified ? ["", rest[0] ?? ""] : [rest[0] ?? "", rest[1] ?? ""];
  const [out, , , sum] = node.outputs;
  const plain = `${sum}/unbiased`;
  const epsilon = (node.attributes?.epsilon as number | undefined) ?? 1e-12; // what the operator itself assumes
  return [
    { op: "Add", inputs: [skip, input], outputs: [bias ? plain : sum] },
    ...(bias ? [{ op: "Add", inputs: [plain, bias], outputs: [sum] }] : []),
    simplified
      ? { op: "SimplifiedLayerNormalization", inputs: [sum, gamma], outputs: [out], attributes: { axis: -1n, epsilon, stash_type: 1n } }
      : { op: "LayerNormalization", inputs: [sum, gamma, ...(beta ? [beta] : [])], outputs: [out], attributes: { axis: -1n, epsilon } },
  ];
}

/** A node that the runtime does not know: here the caller computes. See {@link segments}. */
export const EDIT = { op: "Edit", domain: "saelab" } as const;
const isEdit = (node: Node): boolean => node.op === EDIT.op && node.domain === EDIT.domain;

export interface Segment {
  model: OnnxModel;
  /** Outputs that a later segment reads. */
  kept: string[];
  /** What the caller computes after this segment: from one of its outputs, something that a later segment reads. */
  edit?: Edit;
}

export interface Edit {
  /** The node's own, by which the caller knows what to compute. */
  name: string;
  from: string;
  to: string;
}

/**
 * Cuts a graph at its edits, in the order of the pass: each segment gives what the next edit reads, and what later ones need of it.
 * A segment has no nodes where an edit reads what another one, or an earlier segment, has made, and where nothing is left after the last.
 * What is made of constants, or of the batch's shape, is made again in each rather than handed on.
 */
export function segments(model: OnnxModel): Segment[] {
  const producer = new Map<string, Node>();
  for (const node of model.nodes) for (const name of node.outputs) if (name) producer.set(name, node);
  const type = typesOf(model);
  const constant = new Set(model.initializers.map(({ name }) => name));
  const again = new Set<Node>(); // cheap, and made of nothing that a segment computes
  for (const node of model.nodes) {
    const light = node.inputs.every((name) => !name || constant.has(name)) || (node.op === "Shape" && !producer.has(node.inputs[0]));
    if (!light || isEdit(node)) continue;
    again.add(node);
    for (const name of node.outputs) constant.add(name);
  }
  const done = new Set<Node>(); // made by an earlier segment
  const closure = (names: Iterable<string>): Set<Node> => {
    const found = new Set<Node>();
    const stack = [...names];
    while (stack.length) {
      const node = producer.get(stack.pop()!);
      if (!node || found.has(node) || done.has(node) || isEdit(node)) continue;
      found.add(node);
      stack.push(...node.inputs.filter(Boolean));
    }
    return found;
  };
  const final = model.outputs.map(({ name }) => name);
  const parts: { nodes: Set<Node>; edit?: Edit }[] = [];
  for (const node of model.nodes.filter(isEdit)) {
    const nodes = closure([node.inputs[0]]);
    parts.push({ nodes, edit: { name: node.name ?? node.outputs[0], from: node.inputs[0], to: node.outputs[0] } });
    for (const one of nodes) if (!again.has(one)) done.add(one);
  }
  parts.push({ nodes: closure(final) });
  return parts.map(({ nodes, edit }, i): Segment => {
    const made = new Set([...nodes].flatMap(({ outputs }) => outputs));
    const later = new Set(parts.slice(i + 1).flatMap((other) => [...other.nodes].flatMap(({ inputs }) => inputs)));
    // an edit's own input may have been made before: then it is handed on again
    const wanted = new Set([...final, ...parts.slice(i).flatMap((other) => other.edit?.from ?? [])]);
    const kept = [...made].filter((name) => name && !constant.has(name) && (later.has(name) || parts.slice(i + 1).some((other) => other.edit?.from === name)));
    const outputs = [...new Set([...kept, ...[...made].filter((name) => wanted.has(name))])];
    const needed = new Set([...nodes].flatMap(({ inputs }) => inputs).filter((name) => name && !made.has(name)));
    const inputs: Value[] = [
      ...model.inputs.filter(({ name }) => needed.has(name)),
      ...[...needed].filter((name) => producer.has(name)).map((name) => ({ name, type: type(name) })),
    ];
    return {
      kept, edit,
      model: {
        ...model, inputs, nodes: model.nodes.filter((node) => nodes.has(node)), outputs: outputs.map((name) => ({ name })),
        initializers: model.initializers.filter(({ name }) => needed.has(name)),
      },
    };
  });
}

const BOOL = 9;
const INT64_OPS = new Set(["Shape", "Size", "NonZero", "ArgMax", "ArgMin"]);
const BOOL_OPS = new Set(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "And", "Or", "IsNaN"]);

/** Element types as far as they decide what a cut hands on: by operator, else as the first input's. */
function typesOf(model: OnnxModel): (name: string) => number {
  const types = new Map<string, number>([...model.initializers, ...model.inputs].map(({ name, type }) => [name, type || ELEMENT.FLOAT]));
  for (const node of model.nodes) {
    const of = (i: number): number => types.get(node.inputs[i] ?? "") ?? ELEMENT.FLOAT;
    const type = INT64_OPS.has(node.op) ? ELEMENT.INT64 : BOOL_OPS.has(node.op) ? BOOL
      : node.op === "Cast" ? Number(node.attributes?.to ?? ELEMENT.FLOAT) : node.op === "Where" ? of(1) : node.op === "MatMulInteger" ? ELEMENT.INT32
        : node.op === "Gather" || node.inputs.length ? of(0) : ELEMENT.FLOAT;
    for (const name of node.outputs) if (name) types.set(name, type);
    if (node.op === "TopK") types.set(node.outputs[1], ELEMENT.INT64);
  }
  return (name) => types.get(name) ?? ELEMENT.FLOAT;
}
