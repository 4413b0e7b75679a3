import { ELEMENT, type Attribute, type Initializer, type Node } from "./onnx";

/** A graph that is being written: nodes in order, constants by name. */
export interface Draft {
  nodes: Node[];
  initializers: Map<string, Initializer>;
  /** Adds a node with one output and gives that output's name; one that is there already is taken as the same. */
  add(op: string, inputs: string[], output: string, attributes?: Record<string, Attribute>): string;
  /** The same for an operator of com.microsoft, with as many outputs as it has. */
  contrib(op: string, inputs: string[], outputs: string[], attributes?: Record<string, Attribute>): void;
  /** Constants; a name that is there already is taken as the same. */
  ints(name: string, values: number[]): string;
  float(name: string, value: number): string;
}

export function draft(): Draft {
  const nodes: Node[] = [];
  const initializers = new Map<string, Initializer>();
  const made = new Set<string>();
  return {
    nodes,
    initializers,
    add(op, inputs, output, attributes = {}) {
      if (!made.has(output)) nodes.push({ op, inputs, outputs: [output], attributes });
      made.add(output);
      return output;
    },
    contrib(op, inputs, outputs, attributes = {}) {
      nodes.push({ op, inputs, outputs, attributes, domain: "com.microsoft" });
    },
    ints(name, values) {
      initializers.set(name, int64s(name, values));
      return name;
    },
    float(name, value) {
      initializers.set(name, { name, type: ELEMENT.FLOAT, dims: [], raw: new Uint8Array(Float32Array.of(value).buffer) });
      return name;
    },
  };
}

export const int64s = (name: string, values: number[]): Initializer =>
  ({ name, type: ELEMENT.INT64, dims: [values.length], raw: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) });
