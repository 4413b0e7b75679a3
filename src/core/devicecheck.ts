import type { Built } from "./build";
import type { OnnxModel } from "./onnx";
import { prune, tap } from "./splice";

/**
 * Whether a device computes a model as the CPU does: what is run for it, and how two answers are compared. Providers have ignored
 * attributes of attention without a word (a soft cap), and gone wrong from a certain length of the text on; nothing but a comparison
 * tells. The tokens are few, the CPU computes some blocks only, each from the device's own stream, so that differences do not add up.
 */

/** Lengths of the texts: short ones, one beyond the tiles (32, 64, 128 rows) at which kernels change. */
const LENGTHS = [150, 40, 7];

/** Ids spread over the vocabulary, the same each time. @param context the longest text that the model takes */
export function checkTexts(vocabulary: number, context: number): Int32Array[] {
  return LENGTHS.map((length, text) => Int32Array.from({ length: Math.min(length, context) }, (_, t) =>
    Math.floor(((text * 0.37 + (t + 1) * 0.6180339887498949) % 1) * vocabulary)));
}

/**
 * Blocks to be compared: the first, the middle and the last, and the first of every other kind (a window, another rotation).
 * @param built a graph that goes through all blocks
 */
export function checkBlocks({ model }: Pick<Built, "model">, layers: number): number[] {
  const inputs = new Set(model.inputs.map(({ name }) => name));
  const kinds = new Map<string, number>();
  for (let i = 0; i < layers; i++) {
    const own = model.nodes.filter(({ outputs }) => outputs[0].startsWith(`layers.${i}.`) || outputs[0].startsWith(`layers.${i}/`));
    const kind = own.map(({ op, inputs: read, attributes = {} }) =>
      [op, ...read.filter((name) => inputs.has(name)), ...Object.entries(attributes).map(([name, value]) => `${name} ${value instanceof Uint8Array ? "" : value}`)].join()).join(";");
    if (!kinds.has(kind)) kinds.set(kind, i);
  }
  return [...new Set([0, layers >> 1, layers - 1, ...[...kinds.values()].slice(0, 6)])].sort((x, y) => x - y);
}

/** A graph that begins at a tensor: what made it is fed as the input `fed`. */
export const fedAt = (model: OnnxModel, tensor: string): OnnxModel =>
  prune(tap(model, tensor, (_, out) => ({ nodes: [{ op: "Identity", inputs: ["fed"], outputs: [out] }], inputs: [{ name: "fed", type: 1 }] })));

/** Some of a graph's outputs, and those pairs of its cache that lead to them. */
export function cutTo({ model, cache }: Built, outputs: string[]): { model: OnnxModel; cache: Built["cache"] } {
  const cut = prune({ ...model, outputs: outputs.map((name) => ({ name })) });
  const made = new Set(cut.nodes.flatMap((node) => node.outputs));
  const kept = cache.filter(({ present }) => made.has(present));
  return { model: prune({ ...model, outputs: [...outputs, ...kept.map(({ present }) => present)].map((name) => ({ name })) }), cache: kept };
}

/** Rows whose largest number is below this share of the middle row's are measured against that: they are what larger sums have left. */
const FLOOR = 0.05;

/**
 * How far apart two answers are: the largest difference in a row, as a share of the row's largest number.
 * @param width numbers a row; @returns 0 for the same bits, Infinity where a number is missing or not finite
 */
export function apart(found: Float32Array, wanted: Float32Array, width: number): number {
  if (found.length !== wanted.length) return Infinity;
  const differences = new Float64Array(wanted.length / width), scales = new Float64Array(wanted.length / width);
  for (let row = 0; row < scales.length; row++) {
    for (let i = row * width; i < (row + 1) * width; i++) {
      if (Object.is(found[i], wanted[i])) continue; // infinities too
      const one = Math.abs(found[i] - wanted[i]);
      if (!(one < Infinity)) return Infinity;
      differences[row] = Math.max(differences[row], one);
    }
    for (let i = row * width; i < (row + 1) * width; i++) scales[row] = Math.max(scales[row], Math.abs(wanted[i]));
  }
  const floor = FLOOR * (scales.toSorted()[scales.length >> 1] ?? 0); // an attention sink is a thousand times longer than other rows
  return differences.reduce((most, difference, row) => (difference > 0 ? Math.max(most, difference / Math.max(scales[row], floor)) : most), 0);
}

/** Operators of a pass by where they ran: of ONNX Runtime's profile. */
export interface Placement {
  /** On the device. */
  device: number;
  /** On the CPU, by name: those that compute numbers; shapes are always computed there. */
  cpu: Record<string, number>;
}

/** An event of a profile, as far as it is read. */
interface ProfileEvent {
  cat?: string;
  name?: string;
  args?: { provider?: string; op_name?: string; output_type_shape?: Record<string, unknown>[] };
}

/** @param events of one run, as ONNX Runtime's profile has them */
export function placement(events: ProfileEvent[]): Placement {
  const out: Placement = { device: 0, cpu: {} };
  for (const { cat, name, args } of events) {
    if (cat !== "Node" || !name?.endsWith("_kernel_time") || !args?.provider || args.op_name?.startsWith("Memcpy")) continue;
    if (args.provider !== "CPUExecutionProvider") out.device++;
    else if (args.output_type_shape?.some((one) => Object.keys(one).some((type) => /float/.test(type)))) out.cpu[args.op_name!] = (out.cpu[args.op_name!] ?? 0) + 1;
  }
  return out;
}
