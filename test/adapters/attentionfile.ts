import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { checkpointFiles } from "../../src/adapters/modelfiles";
import { builtSource } from "../../src/adapters/source";
import { ELEMENT, writeOnnx, type Initializer, type Node, type OnnxModel } from "../../src/core/onnx";

/** A checkpoint as exporters write it: one .onnx with GroupQueryAttention, an attention mask, a cache. Its weights stay in model.safetensors beside it. */
export function writeAttentionFile(folder: string, to: string): void {
  mkdirSync(to, { recursive: true });
  for (const file of ["config.json", "model.safetensors", "tokenizer.json"]) copyFileSync(join(folder, file), join(to, file));
  const source = builtSource(folder, checkpointFiles(folder));
  const { model } = source.build({ hooks: [source.rows.find(({ kind }) => kind === "logits")!], cache: true });
  const tables = source.tables(source.context, source.regime(1)).map(({ name, make }): Initializer => {
    const { data, dims } = make();
    return { name, type: ELEMENT.FLOAT, dims, raw: new Uint8Array(data.buffer) };
  });
  const whole = (name: string, values: number[], dims = [values.length]): Initializer => ({ name, type: ELEMENT.INT64, dims, raw: new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer) });
  const past = (name: string): string => name.replace(/^past\.(\d+)\./, "past_key_values.$1.");
  const node = (op: string, inputs: string[], output: string, attributes: Node["attributes"] = {}): Node => ({ op, inputs, outputs: [output], attributes });
  const cached = model.inputs.filter(({ name }) => name.startsWith("past."));
  const file: OnnxModel = {
    ...model,
    inputs: [
      { name: "input_ids", type: ELEMENT.INT64, dims: ["batch", "tokens"] }, { name: "attention_mask", type: ELEMENT.INT64, dims: ["batch", "all"] },
      ...cached.map(({ name, dims, ...rest }) => ({ ...rest, name: past(name), dims: ["batch", dims![1], "held", dims![3]] })),
    ],
    outputs: [
      { name: "logits", type: ELEMENT.FLOAT, dims: ["batch", "tokens", source.vocabulary] },
      ...cached.map(({ name, dims }) => ({ name: name.replace("past", "present"), type: ELEMENT.FLOAT, dims: ["batch", dims![1], "all", dims![3]] })),
    ],
    initializers: [
      ...model.initializers.map((one) => (one.external ? { ...one, external: { ...one.external, location: basename(one.external.location) } } : one)), ...tables,
      whole("file/one", [1]), whole("file/index", [1], []), whole("file/vocabulary", [source.vocabulary]),
    ],
    nodes: [
      node("ReduceSum", ["attention_mask", "file/one"], "file/tokens", { keepdims: 0n }), node("Sub", ["file/tokens", "file/one"], "file/last"), node("Cast", ["file/last"], "seqlens_k", { to: BigInt(ELEMENT.INT32) }),
      node("Shape", ["attention_mask"], "file/shape"), node("Gather", ["file/shape", "file/index"], "file/all", { axis: 0n }), node("Cast", ["file/all"], "total_sequence_length", { to: BigInt(ELEMENT.INT32) }),
      ...model.nodes.map((one) => ({ ...one, inputs: one.inputs.map(past), outputs: one.outputs.map((name) => (name === "logits" ? "file/logits" : name)) })),
      node("Shape", ["input_ids"], "file/ids"), node("Concat", ["file/ids", "file/vocabulary"], "file/whole", { axis: 0n }), node("Reshape", ["file/logits", "file/whole"], "logits"),
    ],
  };
  writeFileSync(join(to, "model.onnx"), writeOnnx(file));
}
