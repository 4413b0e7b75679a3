import { type Attribute, type Initializer, type Node } from "./onnx";
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
export declare function draft(): Draft;
export declare const int64s: (name: string, values: number[]) => Initializer;
