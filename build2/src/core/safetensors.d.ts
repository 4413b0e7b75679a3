/**
 * Safetensors: 8 bytes little-endian header length, a JSON header, raw little-endian bytes.
 * Reads ranges, so that opening a file costs its header only.
 * @see https://huggingface.co/docs/safetensors (format)
 */
/** What every format here reads from: a file, a byte array, an HTTP resource. */
export interface ByteSource {
    byteLength: number;
    /** Bytes from … to (exclusive); may be a view, not to be written to. */
    slice(from: number, to: number): Uint8Array;
}
export interface TensorInfo {
    dtype: string;
    shape: number[];
    /** Position in the file, header included. */
    offset: number;
    bytes: number;
}
export interface SafetensorsHeader {
    tensors: Map<string, TensorInfo>;
    metadata: Record<string, string>;
}
export declare const bytesSource: (bytes: Uint8Array) => ByteSource;
/**
 * Header of a safetensors file, checked: every tensor inside the file, its bytes as many as shape and dtype say, none overlapping, nothing left over.
 * @param name file name, for the message of an error
 * @throws FormatError
 */
export declare function readHeader(source: ByteSource, name: string): SafetensorsHeader;
/** Widens the upper half of a float32: exact. */
export declare function fromBfloat16(bytes: Uint8Array): Float32Array;
/** IEEE half to float32, subnormal numbers, infinities and NaN included: exact. */
export declare function fromFloat16(bytes: Uint8Array): Float32Array;
/** Elements from … to of a tensor (all by default) as float32; F16 and BF16 are widened exactly, F64 is rounded. */
export declare function readFloats(source: ByteSource, info: TensorInfo, from?: number, to?: number): Float32Array;
/** Elements from … to of an I32 tensor. */
export declare function readInts(source: ByteSource, info: TensorInfo, from?: number, to?: number): Int32Array;
export interface TensorToWrite {
    name: string;
    shape: number[];
    data: Float32Array | Int32Array;
}
/** The bytes of a file, in pieces to be written one after the other; the data are views, not copies. The header is padded so that data begin on 8 bytes. */
export declare function writeSafetensors(tensors: TensorToWrite[], metadata?: Record<string, string>): Uint8Array[];
