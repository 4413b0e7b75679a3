import { type Initializer, type Node, type OnnxModel, type Value } from "./onnx";
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
/** Nodes that some output needs, in order; likewise inputs and initialisers. Of a sum and its norm, the sum alone if that is all. */
export declare function prune(model: OnnxModel): OnnxModel;
/**
 * Puts nodes in the way of a tensor: its producer gives another name, the nodes make the old one again, so that whoever reads it,
 * later reads included, sees what was written. Where a norm computes the sum itself it is parted first, for it would read the sum unwritten.
 */
export declare function tap(model: OnnxModel, tensor: string, insert: (x: string, out: string) => Insert): OnnxModel;
/** A node that the runtime does not know: here the caller computes. See {@link segments}. */
export declare const EDIT: {
    readonly op: "Edit";
    readonly domain: "saelab";
};
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
export declare function segments(model: OnnxModel): Segment[];
