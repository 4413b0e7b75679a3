/**
 * ONNX files, as far as this library writes and looks at them: the protobuf wire format and the field numbers of
 * ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
 * Weights stay where they are: an initialiser names a file, an offset and a length.
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 * @see https://protobuf.dev/programming-guides/encoding
 */
/** TensorProto.DataType. */
export declare const ELEMENT: {
    readonly FLOAT: 1;
    readonly INT32: 6;
    readonly INT64: 7;
    readonly FLOAT16: 10;
    readonly BFLOAT16: 16;
};
export type Attribute = number | bigint | string | number[] | bigint[];
/** A whole number as an attribute must be a bigint; a number is written as a float. */
export interface Node {
    op: string;
    domain?: string;
    name?: string;
    inputs: string[];
    outputs: string[];
    attributes?: Record<string, Attribute>;
}
export interface Initializer {
    name: string;
    type: number;
    dims: number[];
    /** Little-endian bytes in the model itself … */
    raw?: Uint8Array;
    /** … or where they lie; the location is relative to the folder told to the runtime. */
    external?: {
        location: string;
        offset: number;
        length: number;
    };
}
export interface Value {
    name: string;
    /** 0 or absent: let the runtime infer it. */
    type?: number;
    /** Names stand for free dimensions. */
    dims?: (number | string)[];
}
export interface OnnxModel {
    irVersion: number;
    opsets: Record<string, number>;
    producer?: string;
    name: string;
    nodes: Node[];
    initializers: Initializer[];
    inputs: Value[];
    outputs: Value[];
}
/** The bytes of a ModelProto. */
export declare function writeOnnx(model: OnnxModel): Uint8Array;
/**
 * What a ModelProto says: nodes, initialisers, inputs, outputs. For looking at models, not for rewriting them:
 * subgraphs, functions, quantisation notes, metadata and documentation are passed over.
 * @throws FormatError when the bytes are no protobuf or hold no graph
 */
export declare function readOnnx(data: Uint8Array, where?: string): OnnxModel;
