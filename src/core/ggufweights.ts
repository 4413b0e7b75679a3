import { readGgufRows, rowsOf, type GgufTensor } from "./gguf";
import type { TensorPlan } from "./ggufmodel";
import type { ByteSource } from "./safetensors";

/** A tensor of the checkpoint, computed from the file in pieces: what is large is never whole in memory, but for GPT-2's transposed matrices. */

const PIECE = 4 * 2 ** 20; // elements: 16 MB of float32

/**
 * The elements of a planned tensor in order, float32, in pieces of whole rows.
 * @param tensor the one that `plan.from` names
 */
export function* plannedFloats(source: ByteSource, tensor: GgufTensor, plan: TensorPlan): Generator<Float32Array> {
  const flat = tensor.shape.length < 2; // a bias: rows of one element
  const width = flat ? 1 : tensor.shape[tensor.shape.length - 1];
  const whole = flat ? readGgufRows(source, tensor) : undefined;
  const read = (from: number, to: number): Float32Array => whole?.slice(from, to) ?? readGgufRows(source, tensor, from, to);
  const [first, end] = plan.rows ?? [0, flat ? whole!.length : rowsOf(tensor)];
  const add = (values: Float32Array): Float32Array => {
    if (plan.add) for (let i = 0; i < values.length; i++) values[i] += plan.add;
    return values;
  };
  if (plan.transpose && !flat) {
    yield add(transposed(read(first, end), end - first, width));
    return;
  }
  const step = Math.max(1, Math.floor(PIECE / width));
  if (plan.unpairHeads) {
    const size = (end - first) / plan.unpairHeads;
    for (let at = first; at < end; at += size) yield add(unpaired(read(at, at + size), size, width));
    return;
  }
  if (plan.gatherHeads) {
    const size = (end - first) / plan.gatherHeads / 3;
    for (let head = 0; head < plan.gatherHeads; head++) {
      for (let part = 0; part < 3; part++) {
        const at = first + (part * plan.gatherHeads + head) * size;
        yield add(read(at, at + size));
      }
    }
    return;
  }
  for (let at = first; at < end; at += step) yield add(read(at, Math.min(end, at + step)));
}

/** Rows stored 0, hd/2, 1, hd/2 + 1, …, of one head → 0, 1, …, hd − 1: [size, width]. */
function unpaired(values: Float32Array, size: number, width: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < size / 2; i++) {
    out.set(values.subarray(2 * i * width, (2 * i + 1) * width), i * width);
    out.set(values.subarray((2 * i + 1) * width, (2 * i + 2) * width), (i + size / 2) * width);
  }
  return out;
}

/** [rows, width] → [width, rows]. */
function transposed(values: Float32Array, rows: number, width: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < width; j++) out[j * rows + i] = values[i * width + j];
  return out;
}

/** The beginning of a safetensors file that holds these tensors in this order, as float32; the data begin on 8 bytes. */
export function checkpointHeader(tensors: TensorPlan[]): { head: Uint8Array; bytes: number } {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const { to, shape } of tensors) {
    const bytes = shape.reduce((a, b) => a * b, 4);
    header[to] = { dtype: "F32", shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const body = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(8 + Math.ceil(body.length / 8) * 8).fill(32); // spaces to the end
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(body, 8);
  return { head, bytes: head.length + at };
}
