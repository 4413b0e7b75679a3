import { FormatError } from "../core/errors";
import { readFloats, readHeader, readInts } from "../core/safetensors";
import { fileSource } from "./files";

/** A file of tensors whose names, types and shapes are known beforehand; ranges are read when they are asked for. */
export interface Tensors {
  ints(name: string, from?: number, to?: number): Int32Array;
  floats(name: string, from?: number, to?: number): Float32Array;
  bytes(name: string, from?: number, to?: number): Uint8Array;
  /** Reads numbers from one on into memory that is there. */
  fill(name: string, from: number, into: Int32Array | Float32Array): void;
  /** Size of the first axis. */
  length(name: string): number;
  close(): void;
}

type Shape = [dtype: "I32" | "F32" | "U8", ...shape: (number | string)[]];

/** That a file of a family is not what it should be. */
export const damaged = (path: string, expected: string, found: string): FormatError =>
  new FormatError(`${path}: expected ${expected}, found ${found}. The family is damaged: collect again.`);

/**
 * Reads the header alone.
 * @param expected type and shape of each tensor; a name in a shape stands for a size that all tensors with that name share
 * @throws FormatError if the file is missing, cut off, or holds something else
 */
export function openTensors(path: string, expected: Record<string, Shape>): Tensors {
  let source: ReturnType<typeof fileSource>;
  try {
    source = fileSource(path);
  } catch (error) {
    throw damaged(path, "a file that can be read", (error as NodeJS.ErrnoException).code ?? String(error));
  }
  try {
    const { tensors } = readHeader(source, path);
    const sizes = new Map<string, number>();
    for (const [name, [dtype, ...shape]] of Object.entries(expected)) {
      const info = tensors.get(name);
      const size = (axis: number | string, i: number): number | undefined => {
        if (typeof axis === "number") return axis;
        if (!sizes.has(axis) && info) sizes.set(axis, info.shape[i]);
        return sizes.get(axis);
      };
      if (info?.dtype === dtype && info.shape.length === shape.length && shape.every((axis, i) => size(axis, i) === info.shape[i]))
        continue;
      const wanted = shape.map((axis, i) => size(axis, i) ?? axis).join(", ");
      throw damaged(path, `a tensor "${name}" ${dtype} [${wanted}]`, info ? `${info.dtype} [${info.shape.join(", ")}]` : "none of this name");
    }
    return {
      ints: (name, from, to) => readInts(source, tensors.get(name)!, from, to),
      floats: (name, from, to) => readFloats(source, tensors.get(name)!, from, to),
      bytes(name, from = 0, to = tensors.get(name)!.bytes) {
        const { offset } = tensors.get(name)!;
        return source.slice(offset + from, offset + to);
      },
      fill: (name, from, into) => source.fill(tensors.get(name)!.offset + 4 * from, new Uint8Array(into.buffer, into.byteOffset, into.byteLength)),
      length: (name) => tensors.get(name)!.shape[0],
      close: source.close,
    };
  } catch (error) {
    source.close();
    if (error instanceof FormatError && !error.message.includes("collect again"))
      throw new FormatError(`${error.message} The family is damaged: collect again.`);
    throw error;
  }
}
