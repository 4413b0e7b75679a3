import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { InferenceSession } from "onnxruntime-node";
import { ELEMENT, readSkeleton, writeOnnx, type Node, type OnnxModel } from "../src/core/onnx";
import type { Resolved } from "../src/core/resolve";
import { bytesSource } from "../src/core/safetensors";

/** Runs of resolved graphs, for the tests of core/resolve. */

export const ort = require("onnxruntime-node") as typeof import("onnxruntime-node");

/** A model file and the folder it lies in. */
export interface File {
  model: string;
  folder: string;
  name: string;
}

export const skeleton = ({ folder, name }: File): OnnxModel => readSkeleton(bytesSource(readFileSync(join(folder, name))), { location: name });

export const load = (graph: OnnxModel, folder: string): Promise<InferenceSession> => ort.InferenceSession.create(writeOnnx(graph), {
  logSeverityLevel: 3,
  extra: { session: { model_external_initializers_file_folder_path: folder } },
});

export type Tensors = Record<string, InstanceType<typeof ort.Tensor>>;

/** Feeds for one text without padding; `before` are the outputs of a run of the first `past` tokens. */
export function feeds(resolved: Resolved, ids: number[], past = 0, before?: Tensors): Tensors {
  const { inputs, cache } = resolved;
  const whole = (values: number[]) => new ort.Tensor("int64", BigInt64Array.from(values.map(BigInt)), [1, values.length]);
  return {
    [inputs.ids]: whole(ids.slice(past)),
    ...(inputs.mask && { [inputs.mask]: whole(ids.map(() => 1)) }),
    ...(inputs.positions && { [inputs.positions]: whole(ids.map((_, i) => i).slice(past)) }),
    ...Object.fromEntries(cache.map(({ past, present, shape, type }) => {
      if (before) return [past, before[present]];
      const dims = [1, Number(shape[1]), 0, Number(shape[3])];
      return [past, type === ELEMENT.FLOAT16 ? new ort.Tensor("float16", new Uint16Array(0), dims) : new ort.Tensor("float32", new Float32Array(0), dims)];
    })),
  };
}

/** The graph with the hooks as outputs `hook/<key>`, in float32. */
export function tapped({ graph, hooks }: Resolved): OnnxModel {
  const casts = [...hooks].map(([key, { tensor }]): Node => ({ op: "Cast", inputs: [tensor], outputs: [`hook/${key}`], attributes: { to: 1n } }));
  return { ...graph, nodes: [...graph.nodes, ...casts], outputs: [...graph.outputs, ...casts.map(({ outputs }) => ({ name: outputs[0] }))] };
}

/** A steering vector, or zero, in place of a hook: its maker's output gets another name. A skip-norm whose sum is edited is taken apart. */
export function edited({ graph, hooks }: Resolved, key: string, edit: (from: string, to: string) => Node[], extra: OnnxModel["initializers"]): OnnxModel {
  const { tensor } = hooks.get(key)!;
  const nodes = graph.nodes.flatMap((node): Node[] => {
    if (!node.outputs.includes(tensor)) return [node];
    const changed = edit(`${tensor}/before`, tensor);
    if (!node.op.startsWith("Skip") || node.outputs[3] !== tensor) return [{ ...node, outputs: node.outputs.map((name) => (name === tensor ? `${tensor}/before` : name)) }, ...changed];
    const simple = node.op === "SkipSimplifiedLayerNormalization";
    return [
      { op: "Add", inputs: node.inputs.slice(0, 2), outputs: [`${tensor}/before`] }, ...changed,
      {
        op: simple ? "SimplifiedLayerNormalization" : "LayerNormalization", inputs: [tensor, ...node.inputs.slice(2)], outputs: [node.outputs[0]],
        attributes: { epsilon: node.attributes!.epsilon, axis: -1n, stash_type: 1n },
      },
    ];
  });
  return { ...graph, nodes, initializers: [...graph.initializers, ...extra] };
}

export const float = (name: string, values: Float32Array) =>
  ({ name, type: ELEMENT.FLOAT, dims: [values.length], raw: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) });

/** max|a − b| / max|b|. */
export function distance(a: Float32Array, b: Float32Array): number {
  assert.equal(a.length, b.length);
  let [most, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    most = Math.max(most, Math.abs(a[i] - b[i]));
    size = Math.max(size, Math.abs(b[i]));
  }
  return most / size;
}
